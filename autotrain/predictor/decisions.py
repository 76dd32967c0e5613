"""`Decisions`: the methods of `Predictor` that turn probabilities into decisions.

    thresholds.py    the probability from which on a row is predicted as the positive class
    abstention.py    the rows that are not answered, so that few answers are wrong

Both are chosen on rows that did not train the model: those of the user, or those that `held_out.py`
reads from the bundle.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import replace
from typing import Any, Self

import numpy as np
import torch

from autotrain.bundle import Bundle
from autotrain.errors import AutotrainError, DataError
from autotrain.metrics import BINARY
from autotrain.predictor.abstention import Abstention, control
from autotrain.predictor.arguments import read_positive, read_sampling
from autotrain.predictor.evaluation import Truth
from autotrain.predictor.held_out import answers, doubts_of, held_out
from autotrain.predictor.joint import Joint
from autotrain.predictor.monte_carlo import MonteCarlo
from autotrain.predictor.thresholds import GOALS, Goal, Threshold, choose
from autotrain.validation import is_number


class Decisions(ABC):
    """The methods of `Predictor` that turn probabilities into decisions."""

    bundle: Bundle
    joint: Joint
    _monte_carlo: MonteCarlo

    @abstractmethod
    def predict_proba(self, X: Any) -> np.ndarray:
        """Return the calibrated probabilities `[N, C]`."""

    @abstractmethod
    def _with(self, bundle: Bundle) -> Self: ...

    @property
    def stored_threshold(self) -> Threshold | None:
        """The decision threshold of `predict`; None: the most probable class as trained.

        Examples:
            >>> print(predictor.stored_threshold)
            None
        """
        record = self.bundle.calibration.get("threshold")
        return None if record is None else Threshold.from_json(record, self.bundle.classes)

    def threshold(
        self,
        X: Any = None,
        y: Any = None,
        *,
        cost: Any = None,
        precision: float | None = None,
        recall: float | None = None,
        positive: Any = None,
        weights: Any = None,
        seed: int = 0,
    ) -> Threshold:
        """Choose the probability from which on a row is predicted as the positive class.

        Args:
            X: table of N rows that did not train the model; None: the held-out rows of the bundle,
                which are its calibration rows, or the validation rows of each fold, predicted by
                the networks that did not train on them.
            y: `[N]` labels of these rows.
            cost: {"false_positive": c, "false_negative": c}: the lowest mean cost.
            precision: the highest recall with at least this precision.
            recall: the highest precision with at least this recall.
            positive: label of the positive class; None for the second class of `classes_`, or that
                of the stored threshold.
            weights: `[N]` sample weights of at least 0 of these rows; None: equal weights.
            seed: seed of the bootstrap.
        Returns: a `Threshold` with its value, the metrics of these rows at it, and intervals.
            Because these rows chose it, the metrics are slightly optimistic; `evaluate` of other
            rows gives the metrics of `with_threshold`.
        Raises:
            AutotrainError: when the model has not two classes, not exactly one of `cost`,
                `precision` and `recall` is given, no threshold has the precision, or all rows have
                the same class.
            DataError: when `X` and `y` have different lengths, or only one of them is given.
            BundleError: when the bundle has no held-out rows and `X` is None.
        Examples:
            >>> import autotrain
            >>> predictor = autotrain.load("studies/iris/best")
            >>> try:
            ...     predictor.threshold(recall=0.9)
            ... except autotrain.AutotrainError as error:
            ...     print(str(error).partition(",")[0])
            threshold must be chosen for a model of two classes

        Source: costs: Elkan 2001, "The foundations of cost-sensitive learning".
        """
        self._require_two_classes()
        goal = Goal.of(cost=cost, precision=precision, recall=recall)
        place = read_positive(self.bundle, positive)
        _, _, seed = read_sampling(1, 0.5, seed)
        assert place is not None
        if X is None and y is None:
            rows = held_out(self.bundle)
            log_p = self._monte_carlo.point_recalibration.apply(torch.from_numpy(rows.log_p))
            p, is_positive, w = log_p.exp().numpy()[:, place], rows.y == place, rows.weights
        else:
            p, is_positive, w = self._labelled(X, y, weights, place)
        return choose(p, is_positive, w, goal, self.bundle.classes[place], seed)

    def with_threshold(self, threshold: Threshold | float | None, *, positive: Any = None) -> Self:
        """Return the same model with another decision threshold for its labels.

        `predict`, the labels of `predict_distribution` and the confusion matrix of `evaluate`
        follow it. Probabilities do not change.

        Args:
            threshold: the result of `threshold`; or a number from 0 to 1; or None, to predict the
                most probable class as trained.
            positive: label of the positive class for a number; None as in `threshold`.
        Returns: another `Predictor`.
        Raises:
            AutotrainError: when the threshold is not in [0, 1], or the model has not two classes.
        Examples:
            >>> predictor.with_threshold(None).predict([[5.1, 3.5, 1.4, 0.2]])
            array(['setosa'], dtype='<U10')
        """
        calibration = {k: v for k, v in self.bundle.calibration.items() if k != "threshold"}
        if threshold is None:
            return self._with(replace(self.bundle, calibration=calibration))
        self._require_two_classes()
        if not isinstance(threshold, Threshold):
            if not is_number(threshold) or not 0 <= threshold <= 1:
                raise AutotrainError(
                    f"threshold must be a number from 0 to 1, {GOALS}, got {threshold!r}.",
                    parameter="threshold",
                )
            place = read_positive(self.bundle, positive)
            assert place is not None
            threshold = Threshold(float(threshold), self.bundle.classes[place])
        calibration["threshold"] = threshold.to_json(self.bundle.classes)
        return self._with(replace(self.bundle, calibration=calibration))

    def abstention(
        self, max_risk: float, X: Any = None, y: Any = None, *, confidence: float = 0.9
    ) -> Abstention:
        """Choose which rows are answered, so that few of the answers are wrong.

        With a probability of at least `confidence` over the labelled rows, the error rate of the
        answered new rows is at most `max_risk`. `abstention.py` has the conditions: in particular,
        rows that chose the model have no guarantee.

        Args:
            max_risk: largest error rate among the answered rows, in (0, 1).
            X: table of N rows that did not train the model; None: the held-out rows of the bundle,
                as for `threshold`.
            y: `[N]` labels of these rows. Each row counts once, whatever its weight.
            confidence: in (0, 1).
        Returns: an `Abstention` for `is_unsure`. Its `limit` is None if no row can be answered.
        Raises:
            AutotrainError: for a regression, or when an argument is out of its range.
            DataError: when `X` and `y` have different lengths, or only one of them is given.
            BundleError: when the bundle has no held-out rows and `X` is None.
        Examples:
            >>> import autotrain
            >>> predictor = autotrain.load("studies/iris/best")
            >>> predictor.abstention(0.5).share_answered
            1.0

        Source: Angelopoulos, Bates, Candès, Jordan & Lei 2021, arXiv:2110.01052.
        """
        if not self.bundle.is_classification:
            raise AutotrainError(
                "max_risk must be left out for a regression, which has no wrong answers, got "
                f"{max_risk!r}. Use its intervals.",
                parameter="max_risk",
            )
        for name, value in (("max_risk", max_risk), ("confidence", confidence)):
            if not is_number(value) or not 0 < value < 1:
                raise AutotrainError(
                    f"{name} must be greater than 0 and less than 1, got {value!r}.",
                    parameter=name,
                )
        if X is None and y is None:
            doubts, is_wrong = answers(self.bundle, self._monte_carlo.label_numbers)
        else:
            truth, log_p = self._truth(X, y), self._log_p(X)
            truth.check_length(len(log_p))
            labels = self._monte_carlo.label_numbers(log_p)
            known = truth.is_known
            doubts, is_wrong = doubts_of(log_p, labels)[known], (labels != truth.y)[known]
        return control(doubts, is_wrong, float(max_risk), float(confidence))

    def is_unsure(self, X: Any, abstention: Abstention) -> np.ndarray:
        """Return which rows the rule of `abstention` does not answer.

        Args:
            X: table of N rows.
            abstention: the rule.
        Returns: `[N]` bool.
        Raises:
            DataError: when columns are missing or cells cannot be read.
        Examples:
            >>> predictor.is_unsure([[5.1, 3.5, 1.4, 0.2]], predictor.abstention(0.5))
            array([False])
        """
        log_p = self._log_p(X)
        return abstention.is_unsure(doubts_of(log_p, self._monte_carlo.label_numbers(log_p)))

    def _log_p(self, X: Any) -> torch.Tensor:
        """Return log p `[N, C]` as trained, dropout off."""
        return torch.cat([self.joint.point(rows) for rows in self.joint.encoded(X, None)])

    def _labelled(
        self, X: Any, y: Any, weights: Any, place: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """Return p(positive), whether each row is positive, and the weights, of known rows."""
        truth = self._truth(X, y, weights)
        proba = self.predict_proba(X)
        truth.check_length(len(proba))
        known = truth.is_known
        w = None if truth.weights is None else truth.weights[known]
        return proba[known, place], truth.y[known] == place, w

    def _truth(self, X: Any, y: Any, weights: Any = None) -> Truth:
        """Return the labels of rows that were passed."""
        if X is None or y is None:
            raise DataError(
                f"X and y must be given together, got no {'X' if X is None else 'y'}. Leave out "
                "both for the held-out rows of the bundle.",
                parameter="X" if X is None else "y",
            )
        return Truth.read(self.bundle, y, weights)

    def _require_two_classes(self) -> None:
        if self.bundle.task != BINARY:
            raise AutotrainError(
                "threshold must be chosen for a model of two classes, got a model for "
                f"{self.bundle.task}. Use predict_proba or predict_distribution.",
                parameter="threshold",
            )
