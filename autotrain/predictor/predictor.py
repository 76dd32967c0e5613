"""The exported model at work: raw columns in, labels, probabilities or distributions out.

    predictor = autotrain.load("studies/churn/best")

Needs numpy, torch and safetensors only. Several members (a winner of several folds, an ensemble of
several trials) predict together, with equal weight: their probabilities, or their predictions, are
averaged; Monte-Carlo samples are dealt to them in turn.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from autotrain.bundle import Bundle, read_bundle
from autotrain.bundle.record import LABEL_TYPES
from autotrain.errors import AutotrainError, BundleError
from autotrain.predictor.arguments import check_sampling
from autotrain.predictor.distribution import (
    ClassificationDistribution,
    Distribution,
    RegressionDistribution,
    class_summary,
    tempered,
    value_summary,
)
from autotrain.predictor.evaluation import Scores, Truth, log_mean_exp
from autotrain.predictor.masks import MaskBank, dropout_sites
from autotrain.predictor.passes import Ensemble
from autotrain.predictor.tables import encoded_parts

SAMPLE_NUMBERS = 1 << 21
"""Numbers of samples, or of members, worked on at a time: 16 MB in float64."""
KEPT_NUMBERS = 1 << 23
"""Samples are kept unasked up to this many numbers: 64 MB."""


def load(path: str | Path) -> Predictor:
    """Load a bundle, the folder that a search leaves in `studies/NAME/best`.

    Raises: BundleError when it is missing, incomplete, changed or of a newer version.
    """
    return Predictor(read_bundle(path))


class Predictor:
    """Predicts with a bundle.

    Every method takes a data frame, columns by name, a list of mappings, or rows in the order of
    the training table. The order of named columns is free, other columns are ignored, missing cells
    and unseen categories are accepted. `notices`, a list, receives a sentence about each of these.

    Raises: DataError when columns are missing or cells cannot be read.
    """

    def __init__(self, bundle: Bundle) -> None:
        self.bundle = bundle
        self._ensemble = Ensemble(bundle.members)
        # Members of one fold may share their preprocessing: rows are encoded once for all of them.
        shared = {id(member.preprocessor): member.preprocessor for member in bundle.members}
        self._preprocessors = list(shared.values())
        scales = [(member.target_mean, member.target_std) for member in bundle.members]
        self._scale = torch.tensor(scales, dtype=torch.float64).T.unsqueeze(2)
        self._encoders = [list(shared).index(id(m.preprocessor)) for m in bundle.members]

    def __repr__(self) -> str:
        columns = len(self.column_names)
        return f"Predictor({self.task} {self.target!r} from {columns} columns)"

    @property
    def task(self) -> str:
        """The task: "binary", "multiclass" or "regression"."""
        return self.bundle.task

    @property
    def target(self) -> str:
        """Name of the column that is predicted."""
        return self.bundle.target

    @property
    def weights_name(self) -> str | None:
        """Name of the column that weighed the rows in training; None when all counted alike."""
        name = self.bundle.data.get("weights")
        return None if name is None else str(name)

    @property
    def column_names(self) -> tuple[str, ...]:
        """The columns that are needed."""
        names = (name for p in self._preprocessors for name in p.column_names)
        return tuple(dict.fromkeys(names))

    @property
    def classes_(self) -> np.ndarray:
        """`[C]` the labels, sorted, in the user's own type."""
        if not self.bundle.is_classification:
            raise AttributeError("a regression has no classes_")
        return np.array(self.bundle.classes, dtype=LABEL_TYPES[self.bundle.label_dtype])

    @property
    def has_dropout(self) -> bool:
        """Whether Monte-Carlo dropout has something to drop, in some member at least.

        A member without dropout is a mixture's part like any other: what it says differs from what
        the others say, though never from itself. Where no member has any, nothing is random.
        """
        return any(dropout_sites(m.config, m.n_inputs) for m in self.bundle.members)

    @property
    def tau(self) -> float | None:
        """Precision of the noise in the target's units; None for classification."""
        return self._calibration("tau")

    @property
    def temperature(self) -> float | None:
        """Temperature of the Monte-Carlo probabilities; None for regression."""
        return self._calibration("temperature")

    def predict(self, X: Any, *, notices: list[str] | None = None) -> np.ndarray:
        """Predict each row: labels of the user's own type, or numbers in the target's units.

        Returns: `[N]`; numbers are float64.
        """
        parts = [self._point(xs) for xs in self._encoded(X, notices)]
        if not self.bundle.is_classification:
            return torch.cat(parts).numpy()
        places = torch.cat([part.argmax(1) for part in parts]).numpy()
        labels: np.ndarray = self.classes_[places]
        return labels

    def predict_proba(
        self, X: Any, *, calibrated: bool = False, notices: list[str] | None = None
    ) -> np.ndarray:
        """Return the probability of each class, dropout off: `[N, C]` float64, rows sum to 1.

        Columns are in the order of `classes_`.

        Args:
            calibrated: with the temperature that was fitted on validation rows.
        Raises:
            AutotrainError for a regression.
            BundleError when a temperature is asked for and the bundle has none.
        """
        if not self.bundle.is_classification:
            raise AutotrainError(
                f"predict_proba: expected a classification, however: {self.target!r} is a number. "
                "Use predict, or predict_distribution for its spread."
            )
        log_p = torch.cat([self._point(xs) for xs in self._encoded(X, notices)])
        if calibrated:
            temperature = self._calibration("temperature_point")
            if temperature is None:
                raise BundleError(
                    "predict_proba: expected a bundle with a temperature for calibrated=True, "
                    "however: it has none. Export the bundle again."
                )
            log_p = tempered(log_p, temperature)
        return log_p.exp().numpy()

    def predict_distribution(
        self,
        X: Any,
        n_samples: int = 100,
        alpha: float = 0.1,
        seed: int = 0,
        *,
        samples: bool | None = None,
        notices: list[str] | None = None,
    ) -> Distribution:
        """Predict how sure the model is of each row, by Monte-Carlo dropout.

            p̄(x) = 1/S Σ_s p(x; mask_s)

        Each sample is one mask for all rows; only dropout is random, batch norm is as in `predict`.
        The first samples stay the same when `n_samples` grows; rows do not influence each other.

        Of K members, sample s is drawn from member s mod K, so that the samples are those of their
        mixture: `std` and `mutual_information` hold what masks change and where members differ. All
        weigh the same when `n_samples` is a multiple of K, nearly the same when it is much larger;
        with fewer than K samples, members beyond speak in `point` only. A member without dropout
        always says the same.

        Args:
            n_samples: S, 1 to 100,000.
            alpha: in (0, 1); a regression's `interval` holds 1 − alpha.
            seed: of the masks, at least 0.
            samples: keep them in the result; None keeps them when they take at most 64 MB.
        Raises:
            BundleError: when the model was trained without dropout: its spread would be 0.
            AutotrainError: when an argument is out of its range.
        Source: Gal & Ghahramani 2016, arXiv:1506.02142.
        """
        check_sampling(n_samples, alpha, seed)
        self._require_dropout()
        banks = self._banks(n_samples, seed)
        kept: list[Tensor] = []
        parts: list[dict[str, Tensor]] = []
        size = 0
        for xs in self._encoded(X, notices):
            for rows in self._blocks(xs, n_samples):
                drawn = self._samples(rows, banks, n_samples)
                parts.append({"point": self._point(rows), **self._summary(drawn, alpha)})
                size += drawn.numel()
                if samples or (samples is None and size <= KEPT_NUMBERS):
                    kept.append(drawn)
                elif samples is None:
                    kept = []
        joined = {name: torch.cat([part[name] for part in parts]).numpy() for name in parts[0]}
        keep = bool(samples) or (samples is None and size <= KEPT_NUMBERS)
        values = torch.cat(kept, dim=1) if keep else None
        if not self.bundle.is_classification:
            return RegressionDistribution(
                n_samples=n_samples,
                alpha=alpha,
                tau=self._required_tau(),
                samples=None if values is None else values.numpy(),
                **joined,
            )
        calibrated = None
        if self.temperature is not None:
            log_mean = torch.from_numpy(joined["mean"]).log()
            calibrated = tempered(log_mean, self.temperature).exp().numpy()
        return ClassificationDistribution(
            classes=self.classes_,
            n_samples=n_samples,
            calibrated_proba=calibrated,
            label=self.classes_[joined["mean"].argmax(1)],
            samples=None if values is None else values.exp_().numpy(),
            **{**joined, "point": np.exp(joined["point"])},
        )

    def evaluate(
        self,
        X: Any,
        y: Any,
        *,
        n_samples: int = 100,
        seed: int = 0,
        weights: Any = None,
        interval: bool = False,
        notices: list[str] | None = None,
    ) -> dict[str, Any]:
        """Score the model on rows whose target is known, dropout off and Monte-Carlo.

        Rows without a target are left out and counted.

        Args:
            y: `[N]` labels or numbers.
            weights: `[N]` what each row counts, at least 0, as scikit-learn's `sample_weight`; None
                weighs all alike. `weights_name` is the column that training used.
            n_samples: S of the Monte-Carlo side; 0 leaves it out.
            seed: of its masks.
            interval: add "interval": a 95 % confidence interval (low, high) of the metric that
                chose the model, dropout off, by bootstrap over the rows.
        Returns: {"task", "metric", "n_rows", "n_dropped", "n_samples", "weighted",
            "deterministic": {metric: value}, "monte_carlo": {metric: value} or None when it was
            left out or the model has no dropout, "calibrated": those of the calibrated
            probabilities (Monte-Carlo where there is a Monte-Carlo side), None for regression}.
            Metrics: all of `tasks.METRICS` for the task, "nll" (mean of −log p(y), for regression
            in nats per unit of the target), and for regression "log_likelihood". A value that is
            not defined on these rows is None.
        Raises: DataError when `y` has another length, or a label that the model does not know, or
            weights are missing or negative.
        """
        check_sampling(n_samples, 0.5, seed, least=0)
        truth = Truth.read(self.bundle, y, weights)
        banks = self._banks(n_samples, seed) if n_samples and self.has_dropout else None
        point = Scores(self.bundle, truth, self._calibration("tau_point"))
        sampled = Scores(self.bundle, truth, self.tau)
        for xs in self._encoded(X, notices):
            point.add(self._point(xs).unsqueeze(0))
            if banks is None:
                continue
            for rows in self._blocks(xs, n_samples):
                sampled.add(self._samples(rows, banks, n_samples))
        values = point.values()
        best, name = (point, "temperature_point") if banks is None else (sampled, "temperature")
        temperature = self._calibration(name)
        return {
            **({"interval": point.interval()} if interval else {}),
            "task": self.task,
            "metric": self.bundle.metric,
            "n_rows": int(truth.is_known.sum()),
            "n_dropped": int((~truth.is_known).sum()),
            "n_samples": None if banks is None else n_samples,
            "weighted": weights is not None,
            "deterministic": values,
            "monte_carlo": None if banks is None else sampled.values(),
            "calibrated": None if temperature is None else best.values(temperature),
        }

    def draw(self, encoded: list[np.ndarray], n_samples: int, seed: int) -> np.ndarray:
        """Return Monte-Carlo samples of encoded rows: predictions `[S, N]`, or log p `[S, N, C]`.

        Args:
            encoded: `[N, D]` float32, one array per member.
            n_samples: S; 0 gives one sample with dropout off.
        """
        xs = [torch.from_numpy(x) for x in encoded]
        if n_samples == 0:
            return self._point(xs).unsqueeze(0).numpy()
        banks = self._banks(n_samples, seed)
        blocks = [self._samples(x, banks, n_samples) for x in self._blocks(xs, n_samples)]
        return torch.cat(blocks, dim=1).numpy()

    # ---- inside ----------------------------------------------------------------------------

    def _calibration(self, name: str) -> float | None:
        value = self.bundle.calibration.get(name)
        return None if value is None else float(value)

    def _encoded(self, X: Any, notices: list[str] | None) -> Iterator[list[Tensor]]:
        """Yield the encoded rows of a part of the table, `[n, D]`, one tensor per member."""
        for encoded in encoded_parts(X, self._preprocessors, notices):
            yield [encoded[place] for place in self._encoders]

    def _point(self, xs: list[Tensor]) -> Tensor:
        """Return the members' joint prediction, dropout off: `[N]`, or log p `[N, C]`."""
        parts = []
        for rows in self._blocks(xs, len(xs)):
            values = self._in_units(self._ensemble.outputs(rows), slice(None))
            parts.append(log_mean_exp(values) if self.bundle.is_classification else values.mean(0))
        return torch.cat(parts)

    def _in_units(self, outputs: Tensor, members: slice) -> Tensor:
        """Turn outputs `[K, N, C]` into log p, or `[K, N]` in the target's units; float64.

        Args:
            members: whose they are; one, or one per output.
        """
        if self.bundle.is_classification:
            return torch.log_softmax(outputs.double(), dim=-1)
        mean, std = (column[members] for column in self._scale)
        return outputs[..., 0].double() * std + mean

    def _banks(self, n_samples: int, seed: int) -> list[MaskBank]:
        members = self.bundle.members
        return [
            MaskBank(member.config, member.n_inputs, range(place, n_samples, len(members)), seed)
            for place, member in enumerate(members)
        ]

    def _blocks(self, xs: list[Tensor], n_samples: int) -> Iterator[list[Tensor]]:
        """Yield rows so few at a time that so many samples of each stay bounded."""
        n_outputs = max(len(self.bundle.classes), 1)
        rows = max(SAMPLE_NUMBERS // (n_samples * n_outputs), 1)
        for parts in zip(*(x.split(rows) for x in xs), strict=True):
            yield list(parts)

    def _samples(self, xs: list[Tensor], banks: list[MaskBank], n_samples: int) -> Tensor:
        """Return all samples: predictions `[S, N]`, or log p `[S, N, C]`."""
        n_members = len(xs)
        drawn: Tensor | None = None
        for place, (passes, x, bank) in enumerate(
            zip(self._ensemble.passes, xs, banks, strict=True)
        ):
            if not len(bank):
                continue
            own = self._in_units(passes.samples(x, bank), slice(place, place + 1))
            if drawn is None:
                drawn = own.new_empty(n_samples, *own.shape[1:])
            drawn[place::n_members] = own
        assert drawn is not None
        return drawn

    def _summary(self, drawn: Tensor, alpha: float) -> dict[str, Tensor]:
        if self.bundle.is_classification:
            return class_summary(drawn)
        return value_summary(drawn, self._required_tau(), alpha)

    def _required_tau(self) -> float:
        if self.tau is None:
            raise BundleError(
                "predict_distribution: expected a bundle with the noise τ of its target, however: "
                "it has none. Export the bundle again."
            )
        return self.tau

    def _require_dropout(self) -> None:
        if not self.has_dropout:
            raise BundleError(
                "predict_distribution: expected a model trained with dropout, however: this one "
                "has none, so all its samples would be equal. Search a space whose [dropout] rate "
                "is greater than 0, or use predict."
            )
