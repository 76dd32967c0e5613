"""`Predictor`: predicts raw rows with an exported bundle.

    predictor = autotrain.load("studies/churn/best")

More methods are in `decisions.py` and `effects.py`. The members are one model in `joint.py`.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from autotrain.bundle import Bundle, encode, read_bundle
from autotrain.bundle.temporary import temporary_folder
from autotrain.data.codes import are_texts
from autotrain.data.preprocessing import Preprocessor
from autotrain.data.reading import Reading
from autotrain.data.trained import reading_of
from autotrain.errors import AutotrainError
from autotrain.predictor.arguments import (
    check_tolerance,
    read_positive,
    read_sampling,
)
from autotrain.predictor.block_sizes import BLOCK_SIZES, BlockSizes
from autotrain.predictor.decisions import Decisions
from autotrain.predictor.distribution import Distribution
from autotrain.predictor.effects import Effects
from autotrain.predictor.evaluation import Truth, evaluate
from autotrain.predictor.joint import Joint
from autotrain.predictor.mixture import Noise, noise_in
from autotrain.predictor.monte_carlo import MonteCarlo, Request
from autotrain.predictor.plain import PlainPredictor, raw_inputs
from autotrain.predictor.probabilities import Recalibration


def load(path: str | Path) -> Predictor:
    """Load an exported model.

    Args:
        path: the folder of a bundle: `studies/NAME/best`, or a copy of it.
    Returns: a `Predictor`. It needs numpy, torch and safetensors only.
    Raises:
        BundleError: when the bundle is missing, incomplete, damaged or of another format.
    Examples:
        >>> import autotrain
        >>> autotrain.load("studies/iris/best")
        Predictor(multiclass 'target' from 4 columns)
    """
    return Predictor(read_bundle(path))


def _from_files(files: dict[str, bytes]) -> Predictor:
    with temporary_folder() as folder:
        for name, content in files.items():
            (folder / name).write_bytes(content)
        return load(folder)


class Predictor(Decisions, Effects):
    """Predicts with a bundle; `load` makes one from a folder.

    Every method takes a table `X`: a data frame, a mapping of column names to columns, a list of
    mappings, or rows whose cells are in the order of the training table. Named columns may have any
    order, and other columns are ignored. Missing cells and unseen categories are allowed.

    Methods with `notices` append sentences to that list about ignored columns, unseen categories,
    and missing cells in columns that had none in training.

    Args:
        bundle: the model.
        sizes: how much is computed at a time; no result depends on it.
    Raises:
        DataError: by every method with `X`, when columns are missing or cells cannot be read.
    Examples:
        >>> import autotrain
        >>> predictor = autotrain.load("studies/iris/best")
        >>> predictor.predict([[5.1, 3.5, 1.4, 0.2], [6.7, 3.0, 5.6, 2.3]])
        array(['setosa', 'virginica'], dtype='<U10')
    """

    def __init__(self, bundle: Bundle, sizes: BlockSizes = BLOCK_SIZES) -> None:
        self.bundle = bundle
        self.joint = Joint(bundle, sizes)
        """The members as one model, for calibration and export."""
        self._monte_carlo = MonteCarlo(bundle, self.joint)

    def _with(self, bundle: Bundle) -> Predictor:
        return Predictor(bundle, self.joint.sizes)

    def __reduce__(self) -> tuple[Any, ...]:
        return _from_files, (encode(self.bundle),)  # checked when it is loaded

    def __repr__(self) -> str:
        return f"Predictor({self.task} {self.target!r} from {len(self.column_names)} columns)"

    # ---- the model ---------------------------------------------------------------------------

    @property
    def task(self) -> str:
        """The task: "binary", "multiclass" or "regression".

        Examples:
            >>> predictor.task
            'multiclass'
        """
        return self.bundle.task

    @property
    def target(self) -> str:
        """Name of the column that is predicted.

        Examples:
            >>> predictor.target
            'target'
        """
        return self.bundle.target

    @property
    def weights_name(self) -> str | None:
        """Name of the column with the sample weights of training; None without weights.

        Examples:
            >>> print(predictor.weights_name)
            None
        """
        name = self.bundle.data.get("weights")
        return None if name is None else str(name)

    @property
    def preprocessors(self) -> tuple[Preprocessor, ...]:
        """The different preprocessors of the members, in the order of `raw_inputs`."""
        return self.joint.preprocessors

    @property
    def column_names(self) -> tuple[str, ...]:
        """Names of the columns that a table must have.

        Examples:
            >>> predictor.column_names[:2]
            ('sepal length (cm)', 'sepal width (cm)')
        """
        names = (name for p in self.preprocessors for name in p.column_names)
        return tuple(dict.fromkeys(names))

    @property
    def reading(self) -> Reading:
        """The settings for reading a text file of rows, equal to those of the training table.

        A text file cannot show that "007" is a text when all cells of its column look like numbers.
        """
        data = self.bundle.data
        labels = (self.target,) if are_texts(self.bundle.classes) else ()
        kept = data.get("reading", {})
        return reading_of(
            self.preprocessors, self.target, labels, data.get("commas"), kept, self.weights_name
        )

    @property
    def classes_(self) -> np.ndarray:
        """`[C]` the labels, sorted, in the type of the training table; classification only.

        Examples:
            >>> predictor.classes_
            array(['setosa', 'versicolor', 'virginica'], dtype='<U10')
        """
        if not self.bundle.is_classification:
            raise AttributeError("a regression has no classes_")
        return self._monte_carlo.classes

    @property
    def has_dropout(self) -> bool:
        """Whether at least one member has dropout, so that Monte-Carlo samples differ.

        A member without dropout is a component of the mixture like any other: its own samples are
        all equal, but they differ from those of the other members.

        Examples:
            >>> predictor.has_dropout
            True
        """
        return self._monte_carlo.has_dropout

    @property
    def noise(self) -> Noise | None:
        """The error that dropout does not explain; None for classification.

        Examples:
            >>> autotrain.load("studies/diabetes/best").noise.scale > 0
            True
        """
        return noise_in(self.bundle.calibration, "noise")

    @property
    def temperature(self) -> float | None:
        """Temperature of the Monte-Carlo probabilities; None for regression.

        Examples:
            >>> 0 < predictor.temperature <= 1
            True
        """
        value = self.bundle.calibration.get("temperature")
        return None if value is None else float(value)

    @property
    def recalibration(self) -> Recalibration:
        """The calibration of the mean Monte-Carlo probabilities; classification only."""
        return self._monte_carlo.recalibration

    @property
    def point_recalibration(self) -> Recalibration:
        """The calibration of the probabilities with dropout off; classification only."""
        return self._monte_carlo.point_recalibration

    # ---- predictions -------------------------------------------------------------------------

    def predict(self, X: Any, *, notices: list[str] | None = None) -> np.ndarray:
        """Predict the label or the number of each row, with dropout off.

        The label is the most probable class as trained, or that of the `stored_threshold`.

        Args:
            X: table of N rows.
            notices: receives sentences about the table.
        Returns: `[N]`: labels in the type of the training table, or float64 numbers in the units of
            the target.
        Raises:
            DataError: when columns are missing or cells cannot be read.
        Examples:
            >>> import autotrain
            >>> predictor = autotrain.load("studies/iris/best")
            >>> predictor.predict([[5.1, 3.5, 1.4, 0.2], [6.7, 3.0, 5.6, 2.3]])
            array(['setosa', 'virginica'], dtype='<U10')
        """
        parts = [self.joint.point(rows) for rows in self.joint.encoded(X, notices)]
        if not self.bundle.is_classification:
            return torch.cat(parts).numpy()
        labels: np.ndarray = self.classes_[self._monte_carlo.label_numbers(torch.cat(parts))]
        return labels

    def predict_proba(
        self, X: Any, *, calibrated: bool = True, notices: list[str] | None = None
    ) -> np.ndarray:
        """Predict the probability of each class, with dropout off.

        Args:
            X: table of N rows.
            calibrated: True: apply the temperature that was fitted on rows not used for training,
                and divide out the class weights of training. The result is the probability that a
                row like this has the class. False: the average of the networks as they were
                trained.
            notices: receives sentences about the table.
        Returns: `[N, C]` float64; each row sums to 1, and columns are in the order of `classes_`.
        Raises:
            AutotrainError: for a regression.
            DataError: when columns are missing or cells cannot be read.
        Examples:
            >>> import autotrain
            >>> predictor = autotrain.load("studies/iris/best")
            >>> proba = predictor.predict_proba([[5.1, 3.5, 1.4, 0.2]])
            >>> proba.shape, predictor.classes_[proba.argmax()]
            ((1, 3), np.str_('setosa'))
        """
        if not self.bundle.is_classification:
            raise AutotrainError(
                f"predict_proba needs a classification, and the target {self.target!r} is a "
                "number. Use predict, or predict_distribution for its uncertainty."
            )
        log_p = torch.cat([self.joint.point(rows) for rows in self.joint.encoded(X, notices)])
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
        """Predict each row with its uncertainty, by Monte-Carlo dropout.

            p̄(x) = 1/S Σ_s p(x; mask_s)

        Each sample is one dropout mask, shared by all rows. Only dropout is random: batch norm is
        as in `predict`. The first samples stay the same when `n_samples` grows, and rows do not
        influence each other.

        With K members, sample s is drawn from member s mod K, so the samples are those of the
        mixture of the members. `std` and `mutual_information` therefore contain both the effect of
        the masks and the disagreement of the members. Members have equal weight when `n_samples` is
        a multiple of K. With fewer than K samples the remaining members affect `point` only. All
        samples of a member without dropout are equal.

        Args:
            X: table of N rows.
            n_samples: S, from 1 to 100,000.
            alpha: error rate, in (0, 1): intervals and prediction sets contain the truth of about
                1 − alpha of the rows.
            seed: seed of the masks, at least 0.
            samples: True: keep the samples in the result; False: do not; None: keep them when they
                take at most 64 MB.
            tolerance: stop sampling a row when its `mc_error` (the largest of its classes) is at
                most this, in probability or the units of the target. `n_drawn` is then the number
                of samples of each row: at least 20 and one of each member, where `n_samples` allows
                it. Samples are not kept. None: draw all samples of every row.
            per_class: prediction sets contain the truth of 1 − alpha of the rows of each class,
                not only of all rows together (Mondrian conformal prediction). They are larger. A
                class with fewer than 1/alpha − 1 calibration rows is in every set.
            notices: receives sentences about the table, and those otherwise shown as warnings.
        Returns: a `ClassificationDistribution` or a `RegressionDistribution`, whose attributes are
            arrays with one entry per row.
        Warns:
            UserWarning: when sets or intervals do not have the promised coverage, because there are
                too few calibration rows or samples, or because the model predicts a quantile.
        Raises:
            BundleError: when the model has no dropout.
            AutotrainError: when an argument is out of its range.
            DataError: when columns are missing or cells cannot be read.
        Examples:
            >>> import autotrain
            >>> predictor = autotrain.load("studies/diabetes/best")
            >>> rows = [[0.04, 0.05, 0.06, 0.02, -0.04, -0.03, -0.04, 0.0, 0.02, -0.02]]
            >>> found = predictor.predict_distribution(rows, n_samples=50)
            >>> found.mean.shape, found.interval.shape, found.samples.shape
            ((1,), (1, 2), (50, 1))

        Source: Gal & Ghahramani 2016, arXiv:1506.02142.
        """
        n_samples, alpha, seed = read_sampling(n_samples, alpha, seed)
        check_tolerance(tolerance, samples)
        self._monte_carlo.check_per_class(per_class)
        self._monte_carlo.require_dropout()
        request = Request(n_samples, alpha, seed, tolerance, per_class)
        self._notify(request, notices)
        return self._monte_carlo.distribution(X, request, notices, keep=samples)

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
        positive: Any = None,
        interval: bool = False,
        notices: list[str] | None = None,
    ) -> dict[str, Any]:
        """Score the model on rows whose target is known, with dropout off and with Monte-Carlo.

        Rows without a target are left out and counted.

        Args:
            X: table of N rows.
            y: `[N]` labels or numbers.
            n_samples: S, Monte-Carlo samples; 0: dropout off only.
            alpha: error rate of intervals and prediction sets, in (0, 1).
            seed: seed of the masks.
            per_class: as in `predict_distribution`.
            weights: `[N]` sample weights of at least 0, as scikit-learn's `sample_weight`; None:
                equal weights. `weights_name` is the column that training used.
            positive: label of the positive class of two, for precision, recall, specificity, F₁ and
                average precision; None for that of the stored threshold, otherwise the second class
                of `classes_`.
            interval: add confidence intervals of 95 % for the scores over all rows like these, see
                below.
            notices: receives sentences about the table, and those otherwise shown as warnings.
        Returns: a dictionary:

            - "task", "metric" (the one that chose the model), "n_rows", "n_dropped" (rows without a
              target), "n_samples" (None without Monte-Carlo), "weighted", "alpha".
            - "deterministic": {metric: value} with dropout off, as trained.
            - "calibrated": the same of `predict_proba`; None for regression.
            - "monte_carlo", "monte_carlo_calibrated": the same of the mean over samples; None
              without Monte-Carlo.
            - "coverage": {answer: {"coverage": fraction of rows whose truth the answer contains,
              "coverage_error": its standard error, "size": mean number of classes, or mean width}}
              for "prediction_set", or "interval" and "conformal_interval"; empty without
              Monte-Carlo.
            - "positive": the label of the positive class; None without two classes.
            - "classes", "confusion_matrix": the labels, and the number of rows by true class
              (lines) and class of `predict` (columns), by weight relative to the mean; None for
              regression.
            - "threshold": the decision threshold of `predict`: "value", "positive", "goal", and the
              "metrics" of its labels; None without a `stored_threshold`. All other metrics are
              those of the most probable class.
            - with `interval=True` "interval": (low, high) of "metric" with dropout off, and
              "intervals": {metric: (low, high)}, with at most 20,000 rows for all metrics. None
              with fewer than ten rows, or where the metric is not defined. The score on another
              test set of this size may be outside of it. See `autotrain.predictor.intervals`.

            The metrics are those of `autotrain.metrics.METRICS` for the task, "nll" (mean of
            −log p(y), for regression in nats per unit of the target), for classes "precision",
            "recall", "specificity", "mcc" (see `autotrain.predictor.confusion`) and "ece" (expected
            calibration error), and for regression "log_likelihood". A value is None where it is not
            defined on these rows.
        Warns:
            UserWarning: as `predict_distribution`.
        Raises:
            DataError: when `y` or `weights` have another length than `X`, `y` contains an unknown
                label, or a weight is missing or negative.
            AutotrainError: when an argument is out of its range, or `positive` is no class.
        Examples:
            >>> import autotrain
            >>> predictor = autotrain.load("studies/iris/best")
            >>> rows = [[5.1, 3.5, 1.4, 0.2], [6.7, 3.0, 5.6, 2.3]]
            >>> found = predictor.evaluate(rows, ["setosa", "virginica"], n_samples=20)
            >>> found["n_rows"], found["calibrated"]["accuracy"]
            (2, 1.0)
        """
        n_samples, alpha, seed = read_sampling(n_samples, alpha, seed, least=0)
        self._monte_carlo.check_per_class(per_class)
        truth = Truth.read(self.bundle, y, weights)
        request = None
        if n_samples and self.has_dropout:
            request = Request(n_samples, alpha, seed, per_class=per_class)
            self._notify(request, notices)
        found = evaluate(
            self._monte_carlo,
            X,
            truth,
            request,
            positive=read_positive(self.bundle, positive),
            interval=interval,
            notices=notices,
        )
        return found | {"weighted": weights is not None, "alpha": alpha}

    # ---- the model in torch ------------------------------------------------------------------

    def to_torch(
        self, n_samples: int = 0, seed: int = 0, *, logits: bool = False
    ) -> PlainPredictor:
        """Return the model as a plain `torch.nn.Module`.

        The module is in evaluation mode. In training mode (`module.train()`) it draws new masks for
        each row and call, whereas the masks of `n_samples` are fixed and shared by all rows.

        Args:
            n_samples: S, number of Monte-Carlo samples, whose masks the module contains; 0: dropout
                off.
            seed: seed of the masks.
            logits: return logits, whose softmax are the probabilities that the module otherwise
                returns. For one network, and for each sample, these are the outputs before the
                softmax. Folds and ensembles average probabilities, so their logits are the
                logarithm of that average. `torch.nn.functional.cross_entropy` accepts both.
        Returns: a `PlainPredictor`: raw inputs → probabilities `[N, C]` as trained, or numbers
            `[N]`, float64; with samples `[S, N, C]` or `[S, N]`.
        Raises:
            BundleError: when `n_samples` > 0 and the model has no dropout.
            AutotrainError: when an argument is out of its range, or `logits` is True for a
                regression.
        Examples:
            >>> import autotrain
            >>> predictor = autotrain.load("studies/iris/best")
            >>> module = predictor.to_torch()
            >>> module(*predictor.raw_inputs([[5.1, 3.5, 1.4, 0.2]])).shape
            torch.Size([1, 3])
        """
        n_samples, _, seed = read_sampling(n_samples, 0.5, seed, least=0)
        if n_samples:
            self._monte_carlo.require_dropout()
        return PlainPredictor(self.bundle, n_samples, seed, logits=logits).eval()

    def raw_inputs(self, X: Any) -> tuple[Tensor, Tensor]:
        """Return the inputs of the module that `to_torch` returns.

        Args:
            X: table of N rows.
        Returns: numbers `[N, P]` float64, NaN where missing, and codes `[N, Q]` int64, −1 for
            unseen categories.
        Raises:
            DataError: when columns are missing or cells cannot be read.
        Examples:
            >>> numbers, codes = predictor.raw_inputs([[5.1, 3.5, 1.4, 0.2]])
            >>> numbers.shape, codes.shape
            (torch.Size([1, 4]), torch.Size([1, 0]))
        """
        return raw_inputs(X, self.preprocessors)

    def _notify(self, request: Request, notices: list[str] | None) -> None:
        """Append notices about sets and intervals to the caller's list, or warn."""
        found = self._monte_carlo.notices(request)
        if notices is not None:
            notices.extend(found)
        elif found:
            warnings.warn("; ".join(found), stacklevel=3)
