"""The exported model at work: raw columns in, labels, probabilities or distributions out.

    predictor = autotrain.load("studies/churn/best")

Needs numpy, torch and safetensors only. How several members speak as one is in joint.py.
"""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from autotrain.bundle import Bundle, encode, read_bundle
from autotrain.bundle.record import LABEL_TYPES
from autotrain.data.codes import are_texts
from autotrain.data.preprocessing import Preprocessor
from autotrain.data.reading import Reading
from autotrain.data.trained import reading_of
from autotrain.errors import ANEW, AutotrainError, BundleError
from autotrain.predictor import conformal
from autotrain.predictor.arguments import LEAST_SAMPLES, check_tolerance, read_sampling
from autotrain.predictor.distribution import (
    ClassificationDistribution,
    Distribution,
    RegressionDistribution,
    class_summary,
    value_summary,
)
from autotrain.predictor.evaluation import Coverage, Scores, Truth
from autotrain.predictor.joint import Joint, Rows
from autotrain.predictor.masks import dropout_sites
from autotrain.predictor.mixture import Noise, total_error
from autotrain.predictor.plain import PlainPredictor, raw_inputs
from autotrain.predictor.probabilities import Recalibration, log_mean_exp

KEPT_NUMBERS = 1 << 23
"""Samples are kept unasked up to this many numbers: 64 MB."""


def load(path: str | Path) -> Predictor:
    """Load a bundle, the folder that a search leaves in `studies/NAME/best`.

    Raises: BundleError when it is missing, incomplete, changed or of a newer version.
    """
    return Predictor(read_bundle(path))


def _from_files(files: dict[str, bytes]) -> Predictor:
    with tempfile.TemporaryDirectory(prefix="autotrain-") as folder:
        for name, content in files.items():
            (Path(folder) / name).write_bytes(content)
        return load(folder)


class _Asked(NamedTuple):
    """Checked arguments of `predict_distribution`."""

    n_samples: int
    alpha: float
    seed: int
    tolerance: float | None
    per_class: bool


class Predictor:
    """Predicts with a bundle.

    Every method takes a data frame, columns by name, a list of mappings, or rows in the order of
    the training table. The order of named columns is free, other columns are ignored, missing cells
    and unseen categories are accepted. `notices`, a list, receives a sentence about columns that
    are ignored, categories that training never saw, and cells missing where it had none missing.

    Raises: DataError when columns are missing or cells cannot be read.
    """

    def __init__(self, bundle: Bundle) -> None:
        self.bundle = bundle
        self._joint = Joint(bundle)

    def __reduce__(self) -> tuple[Any, ...]:
        # A pickle holds the bundle's files, and is checked like them.
        return _from_files, (encode(self.bundle),)

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
    def preprocessors(self) -> tuple[Preprocessor, ...]:
        """The different ones of the members, in the order of `raw_inputs`."""
        return self._joint.preprocessors

    @property
    def column_names(self) -> tuple[str, ...]:
        """The columns that are needed."""
        names = (name for p in self.preprocessors for name in p.column_names)
        return tuple(dict.fromkeys(names))

    @property
    def reading(self) -> Reading:
        """How a text file of rows is to be read, as the training table was.

        A file does not say that "007" is no number where all cells of its column look like some.
        """
        data = self.bundle.data
        labels = (self.target,) if are_texts(self.bundle.classes) else ()
        kept = data.get("reading", {})
        return reading_of(
            self.preprocessors, self.target, labels, data.get("commas"), kept, self.weights_name
        )

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
    def noise(self) -> Noise | None:
        """The error that dropout does not explain; None for classification."""
        return self._noise("noise")

    @property
    def temperature(self) -> float | None:
        """Temperature of the Monte-Carlo probabilities; None for regression."""
        return self._calibration("temperature")

    @property
    def recalibration(self) -> Recalibration:
        """What calibrates the Monte-Carlo probabilities."""
        return self._recalibration("temperature")

    @property
    def point_recalibration(self) -> Recalibration:
        """What calibrates the probabilities with dropout off."""
        return self._recalibration("temperature_point")

    def predict(self, X: Any, *, notices: list[str] | None = None) -> np.ndarray:
        """Predict each row: labels of the user's own type, or numbers in the target's units.

        Returns: `[N]`; numbers are float64.
        """
        parts = [self._joint.point(xs) for xs in self._joint.encoded(X, notices)]
        if not self.bundle.is_classification:
            return torch.cat(parts).numpy()
        places = torch.cat([part.argmax(1) for part in parts]).numpy()
        labels: np.ndarray = self.classes_[places]
        return labels

    def predict_proba(
        self, X: Any, *, calibrated: bool = True, notices: list[str] | None = None
    ) -> np.ndarray:
        """Return the probability of each class, dropout off: `[N, C]` float64, rows sum to 1.

        Columns are in the order of `classes_`.

        Args:
            calibrated: with the temperature that was fitted on rows that did not train, and
                without the weights that classes had in training: how likely each class is. False:
                as the networks were trained, averaged.
        Raises: AutotrainError for a regression.
        """
        if not self.bundle.is_classification:
            raise AutotrainError(
                f"predict_proba: expected a classification, however: {self.target!r} is a number. "
                "Use predict, or predict_distribution for its spread."
            )
        log_p = torch.cat([self._joint.point(xs) for xs in self._joint.encoded(X, notices)])
        if calibrated:
            log_p = self.point_recalibration.apply(log_p)
        return log_p.exp().numpy()

    def predict_distribution(
        self,
        X: Any,
        n_samples: int = 100,
        alpha: float = 0.1,
        seed: int = 0,
        *,
        samples: bool | None = None,
        tolerance: float | None = None,
        per_class: bool = False,
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
            alpha: in (0, 1); a regression's intervals and the sets of classes contain the truth of
                about 1 − alpha of the rows.
            seed: of the masks, at least 0.
            samples: keep them in the result; None keeps them when they take at most 64 MB.
            tolerance: a row gets no more samples once its `mc_error` (of a classification the
                largest of its classes') is at most so much, in probability or the target's units;
                `n_drawn` says how many it got, at least 20 and one of each member where
                `n_samples` allows, and no samples are kept. None: all.
            per_class: prediction sets contain the truth of 1 − alpha of the rows of every class,
                not only of all rows together (Mondrian conformal prediction). They are larger, and
                a class with fewer than 1/alpha − 1 calibration rows is in every set.
        Warns:
            UserWarning: when sets or intervals do not hold what they promise, for want of
                rows that calibrate or of samples, or because the model predicts a quantile;
                `notices` receives it instead where it is given.
        Raises:
            BundleError: when the model was trained without dropout: its spread would be 0.
            AutotrainError: when an argument is out of its range.
        Source: Gal & Ghahramani 2016, arXiv:1506.02142.
        """
        n_samples, alpha, seed = read_sampling(n_samples, alpha, seed)
        check_tolerance(tolerance, samples)
        self._check_per_class(per_class)
        self._require_dropout()
        # Samples of rows that got different numbers of them are no array.
        keep = (samples is None or bool(samples)) and tolerance is None
        kept: list[Tensor] = []
        parts: list[dict[str, Tensor]] = []
        size = 0
        asked = _Asked(n_samples, alpha, seed, tolerance, per_class)
        for answers, drawn in self._distributed(X, asked, notices):
            parts.append(answers)
            size += drawn.numel()
            keep = keep and (bool(samples) or size <= KEPT_NUMBERS)
            if keep:
                kept.append(drawn)
            else:
                kept.clear()
        # Taken out on the way: a million rows must not be there twice.
        names = list(parts[0])
        joined = {name: torch.cat([part.pop(name) for part in parts]).numpy() for name in names}
        values = torch.cat(kept, dim=1) if keep else None
        return self._distribution(joined, values, n_samples, alpha)

    def evaluate(
        self,
        X: Any,
        y: Any,
        *,
        n_samples: int = 100,
        alpha: float = 0.1,
        seed: int = 0,
        per_class: bool = False,
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
            alpha: intervals and sets contain the truth of about 1 − alpha of the rows.
            seed: of its masks.
            per_class: prediction sets as `predict_distribution` gives them with `per_class`.
            interval: add "interval": the 95 % confidence interval (low, high) of the metric that
                chose the model, dropout off, for the score over all rows like these; another test
                set of this size may lie further away. None with fewer than ten rows, or where it is
                not defined. And "intervals": {metric: (low, high)}, with at most 20,000 rows those
                of all metrics. See `autotrain.predictor.intervals` for the methods.
        Returns: {"task", "metric", "n_rows", "n_dropped", "n_samples", "weighted",
            "deterministic": {metric: value} with dropout off, as trained; "calibrated": the same
            of `predict_proba`, None for regression; "monte_carlo" and "monte_carlo_calibrated": of
            the mean over samples, None when they were left out or the model has no dropout;
            "alpha", "coverage": {answer: {"coverage": share of the rows whose truth it contains,
            "coverage_error": standard error of that share, "size": mean number of classes or
            width}} of the Monte-Carlo side's "prediction_set", or "interval" and
            "conformal_interval"; empty without that side}.
            Metrics: all of `tasks.METRICS` for the task, "nll" (mean of −log p(y), for regression
            in nats per unit of the target), for classes "ece" (expected calibration error), and for
            regression "log_likelihood". A value that is not defined on these rows is None.
        Raises: DataError when `y` has another length, or a label that the model does not know, or
            weights are missing or negative.
        """
        n_samples, alpha, seed = read_sampling(n_samples, alpha, seed, least=0)
        self._check_per_class(per_class)
        truth = Truth.read(self.bundle, y, weights)
        is_sampled = bool(n_samples) and self.has_dropout
        point = Scores(self.bundle, truth, self._noise("noise_point"))
        sampled = Scores(self.bundle, truth, self.noise)
        coverage = Coverage(truth)
        if is_sampled:
            asked = _Asked(n_samples, alpha, seed, None, per_class)
            for answers, drawn in self._distributed(X, asked, notices):
                point.add(answers["point"].unsqueeze(0))
                sampled.add(drawn)
                coverage.add(answers)
        else:
            for xs in self._joint.encoded(X, notices):
                point.add(self._joint.point(xs).unsqueeze(0))
        calibrated: dict[str, Any] = {"calibrated": None, "monte_carlo_calibrated": None}
        if self.bundle.is_classification:
            calibrated["calibrated"] = point.values(self.point_recalibration)
            if is_sampled:
                calibrated["monte_carlo_calibrated"] = sampled.values(self.recalibration)
        intervals = {}
        if interval:
            found = point.intervals()
            intervals = {"interval": found[self.bundle.metric], "intervals": found}
        return {
            **intervals,
            "task": self.task,
            "metric": self.bundle.metric,
            "n_rows": int(truth.is_known.sum()),
            "n_dropped": int((~truth.is_known).sum()),
            "n_samples": n_samples if is_sampled else None,
            "weighted": weights is not None,
            "deterministic": point.values(),
            "monte_carlo": sampled.values() if is_sampled else None,
            **calibrated,
            "alpha": alpha,
            "coverage": coverage.values(),
        }

    def to_torch(
        self, n_samples: int = 0, seed: int = 0, *, logits: bool = False
    ) -> PlainPredictor:
        """Return the model as a plain `torch.nn.Module`, see `PlainPredictor`.

            module(*predictor.raw_inputs(table))

        It comes in evaluation mode. In training mode (`module.train()`) each row has masks of its
        own, drawn anew with each call, where those inside are shared by all rows.

        Args:
            n_samples: S Monte-Carlo samples, their masks inside; 0: dropout off.
            seed: of the masks.
            logits: return logits, `softmax(logits)` being the probabilities that the module returns
                otherwise. For one network, and for each sample, they are the outputs before the
                softmax. Folds and ensembles average probabilities: their logits are the logarithm
                of that average. A loss such as `torch.nn.functional.cross_entropy` takes both.
        Raises:
            BundleError: when samples are asked of a model without dropout.
            AutotrainError: when an argument is out of its range, logits of a regression are asked
                for, or the bundle is of an older version that scaled otherwise.
        """
        n_samples, _, seed = read_sampling(n_samples, 0.5, seed, least=0)
        if n_samples:
            self._require_dropout()
        return PlainPredictor(self.bundle, n_samples, seed, logits=logits).eval()

    def raw_inputs(self, X: Any) -> tuple[Tensor, Tensor]:
        """Return what the module of `to_torch` reads of a table.

        Returns: numbers `[N, P]` float64, NaN where missing; codes `[N, Q]` int64, −1 for what
            training never saw.
        Raises: DataError when columns are missing or cells cannot be read.
        """
        return raw_inputs(X, self.preprocessors)

    def encoded(self, X: Any) -> list[np.ndarray]:
        """Return a table's rows as the members read them, `[N, D]` float32, one array per member.

        Raises: DataError when columns are missing or cells cannot be read.
        """
        parts = zip(*self._joint.encoded(X, []), strict=True)
        return [torch.cat(of_member).numpy() for of_member in parts]

    def draw(
        self, encoded: list[np.ndarray], n_samples: int, seed: int, *, averaged: bool = False
    ) -> np.ndarray:
        """Return Monte-Carlo samples of encoded rows: predictions `[S, N]`, or log p `[S, N, C]`.

        Args:
            encoded: what `encoded` returns.
            n_samples: S; 0 gives one sample with dropout off.
            averaged: of classes: log of the mean p alone, `[1, N, C]`. Samples of many rows and
                classes are large.
        """
        xs = [torch.from_numpy(x) for x in encoded]
        if n_samples == 0:
            return self._joint.point(xs).unsqueeze(0).numpy()
        banks = self._joint.banks(n_samples, seed)
        blocks = []
        for x in self._joint.blocks(xs, n_samples):
            drawn = self._joint.samples(x, banks)
            blocks.append(log_mean_exp(drawn).unsqueeze(0) if averaged else drawn)
        return torch.cat(blocks, dim=1).numpy()

    def by_fold(
        self, encoded: list[np.ndarray], n_samples: int, seed: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the predictions of each fold's networks, as conformal intervals use them.

        Args:
            encoded: as from `encoded`.
            n_samples: S of all members together; 0: dropout off, without a spread.
            seed: of the masks.
        Returns: the prediction with dropout off, and the standard deviation of the samples,
            `[G, N]` each.
        """
        xs = [torch.from_numpy(x) for x in encoded]
        _, center = self._joint.point_and_folds(xs)
        if n_samples == 0:
            return center.numpy(), np.zeros(center.shape)
        banks = self._joint.banks(n_samples, seed)
        spreads = [
            self._joint.spread_of_folds(self._joint.samples(rows, banks))
            for rows in self._joint.blocks(xs, n_samples)
        ]
        return center.numpy(), torch.cat(spreads, dim=1).numpy()

    # ---- inside ----------------------------------------------------------------------------

    def _distributed(
        self, X: Any, asked: _Asked, notices: list[str] | None
    ) -> Iterator[tuple[dict[str, Tensor], Tensor]]:
        """Yield, block of rows by block, what a distribution holds by its words, and the samples.

        With a tolerance these are some rows' only.
        """
        n_samples, _, seed, tolerance, _ = asked
        doubts = [
            *self._too_few_scores(asked),
            *self._too_few_samples(n_samples),
            *self._not_of_a_quantile(),
        ]
        if notices is not None:
            notices.extend(doubts)
        elif doubts:
            warnings.warn("; ".join(doubts), stacklevel=3)
        # With a tolerance masks are made as they are needed.
        banks = self._joint.banks(n_samples, seed) if tolerance is None else []
        for xs in self._joint.encoded(X, notices):
            for rows in self._joint.blocks(xs, n_samples):
                answers, of_folds = self._answers(rows, asked)
                if tolerance is None:
                    drawn = self._joint.samples(rows, banks)
                    yield answers | self._summary(drawn, of_folds, asked.alpha), drawn
                    continue
                places, found = [], []
                for own, drawn in self._joint.settled(rows, n_samples, seed, tolerance):
                    places.append(own)
                    n_drawn = torch.full((len(own),), len(drawn))
                    summary = self._summary(drawn, of_folds[:, own], asked.alpha)
                    found.append(summary | {"n_drawn": n_drawn})
                order = torch.cat(places).argsort()
                joined = {n: torch.cat([each[n] for each in found])[order] for n in found[0]}
                yield answers | joined, drawn

    def _answers(self, rows: Rows, asked: _Asked) -> tuple[dict[str, Tensor], Tensor]:
        """Return the results that do not depend on samples (dropout off, sets).

        And the prediction with dropout off of each fold's networks, `[G, N]` or log p `[G, N, C]`.
        """
        point, of_folds = self._joint.point_and_folds(rows)
        answers = {"point": point}
        if self.bundle.is_classification:
            answers["proba"] = self.point_recalibration.apply(point).exp()
        if self.bundle.is_classification and self._conformal_scores is not None:
            answers["prediction_set"] = conformal.class_sets(
                of_folds.exp(), self._conformal_scores, asked.alpha, per_class=asked.per_class
            )
        return answers, of_folds

    def _summary(self, drawn: Tensor, of_folds: Tensor, alpha: float) -> dict[str, Tensor]:
        if self.bundle.is_classification:
            return class_summary(drawn, self.recalibration)
        noise = self._required_noise()
        summary = value_summary(drawn, noise, alpha)
        if self._conformal_scores is not None:
            scale = total_error(self._joint.spread_of_folds(drawn), noise)
            summary["conformal_interval"] = conformal.intervals(
                of_folds, scale, self._conformal_scores, alpha
            )
        return summary

    def _distribution(
        self, arrays: dict[str, np.ndarray], samples: Tensor | None, n_samples: int, alpha: float
    ) -> Distribution:
        if not self.bundle.is_classification:
            return RegressionDistribution(
                n_samples=n_samples,
                alpha=alpha,
                noise=self._required_noise(),
                samples=None if samples is None else samples.numpy(),
                **arrays,
            )
        return ClassificationDistribution(
            classes=self.classes_,
            n_samples=n_samples,
            alpha=alpha,
            label=self.classes_[arrays["point"].argmax(1)],
            samples=None if samples is None else samples.exp_().numpy(),
            **{**arrays, "point": np.exp(arrays["point"])},
        )

    @cached_property
    def _conformal_scores(self) -> tuple[conformal.Scores, ...] | None:
        """One for each fold; None when there are none."""
        return conformal.scores_in(self.bundle.calibration)

    def _check_per_class(self, per_class: bool) -> None:
        if not per_class:
            return
        if not self.bundle.is_classification:
            raise AutotrainError(
                "per_class must be False for a regression, which has no classes, got True. "
                "Leave it out."
            )
        scores = self._conformal_scores
        if scores is not None and any(own.labels is None for own in scores):
            raise BundleError(
                "per_class needs a bundle whose conformal scores have classes, got one without. "
                f"{ANEW}"
            )

    def _too_few_scores(self, asked: _Asked) -> list[str]:
        """Return what to say when there are too few conformal scores for this alpha."""
        scores, alpha = self._conformal_scores, asked.alpha
        if not scores:
            return []
        least = conformal.least_rows(alpha)
        if asked.per_class:
            few = [
                str(name)
                for place, name in enumerate(self.bundle.classes)
                if conformal.are_too_few([own.of_class(place) for own in scores], alpha)
            ]
            if not few:
                return []
            return [
                f"prediction sets of alpha {alpha:g} by class always contain {', '.join(few)}: "
                f"each class needs {least} calibration rows"
            ]
        if not conformal.are_too_few(scores, alpha):
            return []
        what, everything = (
            ("prediction sets", "all classes")
            if self.bundle.is_classification
            else ("conformal intervals", "all numbers")
        )
        return [
            f"{what} of alpha {alpha:g} contain {everything}: {least} calibration rows are needed, "
            f"got {conformal.n_effective(scores):.0f}"
        ]

    def _too_few_samples(self, n_samples: int) -> list[str]:
        """Return what to say when intervals rest on fewer samples than they were fitted with."""
        if self.bundle.is_classification or self._conformal_scores is None:
            return []
        fitted = int(self.bundle.calibration.get("n_samples", 0))
        if n_samples >= min(LEAST_SAMPLES, fitted):
            return []
        return [
            f"conformal intervals were fitted with {fitted} samples and may contain fewer rows "
            f"with {n_samples}: at least {LEAST_SAMPLES} are needed"
        ]

    def _not_of_a_quantile(self) -> list[str]:
        """Return what to say when the model predicts a quantile, and noise is taken for normal."""
        if self.bundle.quantile is None:
            return []
        return [
            f"the model predicts the {self.bundle.quantile:g} quantile: conformal intervals have "
            "their coverage, the mixture's intervals and likelihoods lie around that quantile"
        ]

    def _calibration(self, name: str) -> float | None:
        value = self.bundle.calibration.get(name)
        return None if value is None else float(value)

    def _recalibration(self, name: str) -> Recalibration:
        calibration = self.bundle.calibration
        return Recalibration(float(calibration[name]), calibration.get("class_weights"))

    def _noise(self, name: str) -> Noise | None:
        record = self.bundle.calibration.get(name)
        return None if record is None else Noise.from_json(record)

    def _required_noise(self) -> Noise:
        noise = self.noise
        assert noise is not None, "a regression's bundle has its noise: record.py checks it"
        return noise

    def _require_dropout(self) -> None:
        if not self.has_dropout:
            raise BundleError(
                "predict_distribution: expected a model trained with dropout, however: this one "
                "has none, so all its samples would be equal. Search a space whose [dropout] rate "
                "(input_rate, where there is no hidden layer) is greater than 0, or use predict."
            )
