"""Monte-Carlo dropout: samples of the members, summarized block of rows by block.

`MonteCarlo` sits between the joint model (`joint.py`) and the results (`distribution.py`). It keeps
memory bounded: only the samples of one block exist at a time unless the caller keeps them.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from autotrain.bundle import Bundle
from autotrain.bundle.record import LABEL_TYPES
from autotrain.errors import AutotrainError, BundleError
from autotrain.network.config import has_dropout
from autotrain.predictor import conformal
from autotrain.predictor.distribution import (
    ClassificationDistribution,
    Distribution,
    RegressionDistribution,
    class_summary,
    value_summary,
)
from autotrain.predictor.joint import Joint, MemberRows
from autotrain.predictor.mixture import Noise, noise_in, total_error
from autotrain.predictor.notices import notices_of
from autotrain.predictor.probabilities import Recalibration, recalibration_in

Summary = dict[str, Tensor]
"""Results of some rows, by the names of the fields of `ClassificationDistribution` or
`RegressionDistribution`."""


class Request(NamedTuple):
    """Checked arguments of a Monte-Carlo prediction; see `Predictor.predict_distribution`."""

    n_samples: int
    alpha: float
    seed: int
    tolerance: float | None = None
    per_class: bool = False


class MonteCarlo:
    """Draws and summarizes the Monte-Carlo samples of a bundle.

    Args:
        bundle: the model.
        joint: its members as one model.
    """

    def __init__(self, bundle: Bundle, joint: Joint) -> None:
        self.bundle = bundle
        self.joint = joint

    @property
    def has_dropout(self) -> bool:
        """Whether at least one member has units to drop."""
        return any(has_dropout(m.config) for m in self.bundle.members)

    @property
    def classes(self) -> np.ndarray:
        """`[C]` the labels, sorted, in the type of the training table."""
        return np.array(self.bundle.classes, dtype=LABEL_TYPES[self.bundle.label_dtype])

    @property
    def noise(self) -> Noise:
        """The error of a regression that dropout does not explain."""
        noise = noise_in(self.bundle.calibration, "noise")
        assert noise is not None, "a regression's bundle has its noise: record.py checks it"
        return noise

    @property
    def recalibration(self) -> Recalibration:
        """The calibration of the mean probabilities of the samples."""
        return recalibration_in(self.bundle.calibration, "temperature")

    @property
    def point_recalibration(self) -> Recalibration:
        """The calibration of the probabilities with dropout off."""
        return recalibration_in(self.bundle.calibration, "temperature_point")

    def label_numbers(self, log_p: Tensor) -> np.ndarray:
        """Return the number of the predicted class of each row, `[N]`.

        Args:
            log_p: `[N, C]` as trained, dropout off.
        """
        threshold = self.bundle.calibration.get("threshold")
        if threshold is None:
            return log_p.argmax(1).numpy()
        positive = int(threshold["positive"])
        p = self.point_recalibration.apply(log_p)[:, positive].exp().numpy()
        return np.where(p >= threshold["value"], positive, 1 - positive)

    @cached_property
    def conformal_scores(self) -> tuple[conformal.ConformalScores, ...] | None:
        """The conformal scores of each fold; None when the bundle has none."""
        return conformal.scores_in(self.bundle.calibration)

    def check_per_class(self, per_class: bool) -> None:
        """Check that prediction sets by class are possible where they are requested.

        Raises:
            AutotrainError: for a regression.
        """
        if per_class and not self.bundle.is_classification:
            raise AutotrainError(
                "per_class must be False for a regression, which has no classes, got True. "
                "Leave it out.",
                parameter="per_class",
            )

    def require_dropout(self) -> None:
        """Raise BundleError when there is nothing to drop."""
        if not self.has_dropout:
            raise BundleError(
                "predict_distribution needs a model trained with dropout, and this one has none, "
                "so all its samples would be equal. Search a space whose [dropout] rate "
                "(input_rate without hidden layers) is greater than 0, or use predict."
            )

    def notices(self, request: Request) -> list[str]:
        """Return sentences about intervals and sets that are not as good as they look."""
        return notices_of(
            self.bundle,
            self.conformal_scores,
            n_samples=request.n_samples,
            alpha=request.alpha,
            per_class=request.per_class,
        )

    def distribution(
        self, X: Any, request: Request, notices: list[str] | None, *, keep: bool | None
    ) -> Distribution:
        """Return the result of `Predictor.predict_distribution`.

        Args:
            X: the user's table.
            notices: receives sentences about the table.
            keep: keep the samples; None: when there are at most `BlockSizes.kept` numbers.
        """
        # Rows with different numbers of samples cannot be kept in one array.
        keeps = (keep is None or bool(keep)) and request.tolerance is None
        kept: list[Tensor] = []
        parts: list[Summary] = []
        size = 0
        for summary, drawn in self.summaries(X, request, notices):
            parts.append(summary)
            size += drawn.numel()
            keeps = keeps and (bool(keep) or size <= self.joint.sizes.kept)
            if keeps:
                kept.append(drawn)
            else:
                kept.clear()
        # Parts are removed while they are joined, so that a million rows are never there twice.
        names = list(parts[0])
        arrays = {name: torch.cat([part.pop(name) for part in parts]).numpy() for name in names}
        samples = torch.cat(kept, dim=1) if keeps else None
        if not self.bundle.is_classification:
            return RegressionDistribution(
                n_samples=request.n_samples,
                alpha=request.alpha,
                noise=self.noise,
                samples=None if samples is None else samples.numpy(),
                **arrays,
            )
        classes = self.classes
        return ClassificationDistribution(
            classes=classes,
            n_samples=request.n_samples,
            alpha=request.alpha,
            label=classes[self.label_numbers(torch.from_numpy(arrays["point"]))],
            samples=None if samples is None else samples.exp_().numpy(),
            **{**arrays, "point": np.exp(arrays["point"])},
        )

    def summaries(
        self, X: Any, request: Request, notices: list[str] | None
    ) -> Iterator[tuple[Summary, Tensor]]:
        """Yield the results and the samples of one block of rows after the other.

        Args:
            X: the user's table.
            notices: receives sentences about the table.
        Yields: the results, and the samples: predictions `[S, n]`, or log p `[S, n, C]`. With a
            tolerance the samples are those of some rows only.
        """
        # With a tolerance masks are drawn as they are needed.
        banks = (
            self.joint.banks(request.n_samples, request.seed) if request.tolerance is None else []
        )
        for part in self.joint.encoded(X, notices):
            for rows in self.joint.blocks(part, request.n_samples):
                certain, of_folds = self._certain(rows, request)
                if request.tolerance is None:
                    drawn = self.joint.samples(rows, banks)
                    yield certain | self._summary(drawn, of_folds, request.alpha), drawn
                else:
                    summary, drawn = self._settled(rows, of_folds, request, request.tolerance)
                    yield certain | summary, drawn

    def _certain(self, rows: MemberRows, request: Request) -> tuple[Summary, Tensor]:
        """Return the results that do not depend on samples.

        Returns: the results with dropout off, and the prediction of each fold's networks,
            `[G, N]` or log p `[G, N, C]`.
        """
        point, of_folds = self.joint.point_and_folds(rows)
        summary = {"point": point}
        if self.bundle.is_classification:
            summary["proba"] = self.point_recalibration.apply(point).exp()
        if self.bundle.is_classification and self.conformal_scores is not None:
            summary["prediction_set"] = conformal.class_sets(
                of_folds.exp(), self.conformal_scores, request.alpha, per_class=request.per_class
            )
        return summary, of_folds

    def _settled(
        self, rows: MemberRows, of_folds: Tensor, request: Request, tolerance: float
    ) -> tuple[Summary, Tensor]:
        """Return the results of samples that end row by row, see `Joint.settled`."""
        indices, parts = [], []
        drawn = of_folds
        for settled, drawn in self.joint.settled(rows, request.n_samples, request.seed, tolerance):
            indices.append(settled)
            n_drawn = torch.full((len(settled),), len(drawn))
            summary = self._summary(drawn, of_folds[:, settled], request.alpha)
            parts.append(summary | {"n_drawn": n_drawn})
        order = torch.cat(indices).argsort()
        joined = {name: torch.cat([part[name] for part in parts])[order] for name in parts[0]}
        return joined, drawn

    def _summary(self, drawn: Tensor, of_folds: Tensor, alpha: float) -> Summary:
        if self.bundle.is_classification:
            return class_summary(drawn, self.recalibration)
        summary = value_summary(drawn, self.noise, alpha)
        if self.conformal_scores is not None:
            scale = total_error(self.joint.spread_of_folds(drawn), self.noise)
            summary["conformal_interval"] = conformal.intervals(
                of_folds, scale, self.conformal_scores, alpha
            )
        return summary
