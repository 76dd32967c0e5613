"""Choose the probability from which on a row is predicted as the positive of two classes.

    label = positive  where  p(positive) ≥ threshold

    cost         the lowest mean cost of false positives and false negatives
    precision    the highest recall among thresholds with at least this precision
    recall       the highest precision among thresholds with at least this recall

Every distinct probability of the rows is a candidate, and "no row is positive". The metrics at the
threshold are slightly optimistic, because the same rows chose it.

If probabilities are right, the lowest expected cost is at c_fp / (c_fp + c_fn), whatever the rows
(Elkan 2001). The cheapest threshold for a few hundred rows is partly luck. Therefore that fraction
is taken, unless another threshold is cheaper by more than one standard error of the difference over
the rows (measured: docs/benchmarks.md).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from autotrain.errors import AutotrainError
from autotrain.predictor.confusion import label_metrics
from autotrain.validation import is_number

RESAMPLES = 999
LEAST_RESAMPLES = 199
RESAMPLED_NUMBERS = 1 << 25
"""Largest number of rows in all resamples, as long as there are at least `LEAST_RESAMPLES`."""
AT_ONCE = 1 << 20
"""Largest number of weights drawn at a time: 8 MB."""
ROUNDING = 1e-12
CLEAR_ERRORS = 1.0
"""Standard errors by which a threshold must be cheaper than the ideal one."""
COSTS = ("false_positive", "false_negative")
GOALS = "cost=FP:FN, precision=P or recall=R"


@dataclass(frozen=True)
class Threshold:
    """A decision threshold on the calibrated probability of the positive class.

    Attributes:
        value: in [0, 1]; a row is predicted as positive from this probability on.
        positive: label of the positive class.
        goal: how it was chosen, such as "cost=1:10" (false positive : false negative),
            "precision=0.9" or "recall=0.95"; None for a value that was given.
        metrics: accuracy, balanced_accuracy, f1, precision, recall, specificity and mcc at `value`,
            with a cost also "cost", its mean per row. None where it is not defined.
        interval: 95 % bootstrap interval of `value`: it is chosen again on each resample. None for
            a value that was given.
        intervals: 95 % bootstrap interval of each metric at `value`, without the choice.
        n_rows: number of rows on which it was chosen.
    Examples:
        >>> Threshold(0.2, "yes").goal is None
        True
    """

    value: float
    positive: Any
    goal: str | None = None
    metrics: Mapping[str, float | None] = field(default_factory=dict)
    interval: tuple[float, float] | None = None
    intervals: Mapping[str, tuple[float, float] | None] = field(default_factory=dict)
    n_rows: int = 0

    def to_json(self, classes: tuple[Any, ...]) -> dict[str, Any]:
        """Return the entry of a bundle's calibration, with the number of the positive class."""
        found: dict[str, Any] = {
            "value": self.value,
            "positive": classes.index(self.positive),
            "n_rows": self.n_rows,
            "metrics": dict(self.metrics),
            "intervals": {
                name: None if ends is None else list(ends) for name, ends in self.intervals.items()
            },
        }
        if self.goal is not None:
            found["goal"] = self.goal
        if self.interval is not None:
            found["interval"] = list(self.interval)
        return found

    @classmethod
    def from_json(cls, record: Mapping[str, Any], classes: tuple[Any, ...]) -> Threshold:
        """Return the threshold of a bundle's calibration."""
        return cls(
            value=float(record["value"]),
            positive=classes[record["positive"]],
            goal=record.get("goal"),
            metrics=record.get("metrics", {}),
            interval=_pair(record.get("interval")),
            intervals={name: _pair(ends) for name, ends in record.get("intervals", {}).items()},
            n_rows=record.get("n_rows", 0),
        )


class Goal(NamedTuple):
    """The goal of a threshold.

    Args:
        kind: "cost", "precision" or "recall".
        amounts: the costs of a false positive and a false negative, or the least precision or
            recall.
    """

    kind: str
    amounts: tuple[float, ...]

    @classmethod
    def of(cls, *, cost: Any = None, precision: Any = None, recall: Any = None) -> Goal:
        """Check the arguments of `Predictor.threshold`.

        Raises: AutotrainError when not exactly one is given, or it is out of its range.
        """
        given = {"cost": cost, "precision": precision, "recall": recall}
        (kind, value), *others = [item for item in given.items() if item[1] is not None] or [
            ("", None)
        ]
        if others or not kind:
            names = ", ".join([kind, *(name for name, _ in others)] if others else ["none"])
            raise AutotrainError(
                f"threshold must have one goal (cost, precision or recall), got {names}. "
                "Pass one of them.",
                parameter="threshold",
            )
        if kind == "cost":
            return cls(kind, _costs(value))
        if not is_number(value) or not 0 < value <= 1:
            raise AutotrainError(
                f"{kind} must be greater than 0 and at most 1, got {value!r}.", parameter=kind
            )
        return cls(kind, (float(value),))

    @classmethod
    def parse(cls, text: str) -> Goal:
        """Read a goal such as "cost=1:10", "precision=0.9" or "recall=0.95".

        Raises: AutotrainError when the text is not a goal.
        Examples:
            >>> Goal.parse("cost=1:10")
            Goal(kind='cost', amounts=(1.0, 10.0))
        """
        kind, _, amounts = text.partition("=")
        try:
            numbers = [float(part) for part in amounts.split(":")]
        except ValueError:
            numbers = []
        if (kind, len(numbers)) not in {("cost", 2), ("precision", 1), ("recall", 1)}:
            raise AutotrainError(
                f"threshold must be a number from 0 to 1, {GOALS}, got {text!r}. For example, "
                "cost=1:10 makes a false negative ten times as expensive as a false positive.",
                parameter="threshold",
            )
        if kind == "cost":
            return cls.of(cost=dict(zip(COSTS, numbers, strict=True)))
        return cls.of(**{kind: numbers[0]})

    def arguments(self) -> dict[str, Any]:
        """Return the goal as the argument of `Predictor.threshold`."""
        if self.kind == "cost":
            return {"cost": dict(zip(COSTS, self.amounts, strict=True))}
        return {self.kind: self.amounts[0]}

    @property
    def text(self) -> str:
        """The goal as `parse` reads it."""
        return f"{self.kind}={':'.join(f'{amount:g}' for amount in self.amounts)}"

    @property
    def ideal(self) -> float | None:
        """The threshold of the lowest expected cost for probabilities that are right.

        Source: Elkan 2001, "The foundations of cost-sensitive learning", eq. 2.
        """
        return self.amounts[0] / sum(self.amounts) if self.kind == "cost" else None


class Candidates:
    """The thresholds that separate rows, from the highest to the lowest.

    Args:
        p: `[N]` probabilities of the positive class.
        is_positive: `[N]` bool.
    """

    def __init__(self, p: np.ndarray, is_positive: np.ndarray) -> None:
        self.order = np.argsort(-p, kind="stable")
        ordered = p[self.order]
        self.is_positive = is_positive[self.order]
        self.ends = np.append(np.flatnonzero(np.diff(ordered)), len(p) - 1)
        distinct = ordered[self.ends]
        # Threshold k is in (lows[k], highs[k]]: the rows of the first k distinct p are positive.
        self.lows, self.highs = np.append(distinct, 0.0), np.append(1.0, distinct)
        self.is_possible = self.highs > self.lows
        self.is_possible[-1] = True

    def values(self, index: np.ndarray | int, ideal: float | None) -> np.ndarray:
        """Return thresholds: the ideal one if it separates the same rows, otherwise the middle."""
        low, high = self.lows[index], self.highs[index]
        middle = (low + high) / 2
        middle = np.where(middle > low, middle, high)
        if ideal is None:
            return middle
        return np.where((low < ideal) & (ideal <= high), ideal, middle)

    def counts(self, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the true and the false positives at each threshold, `[B, T]` each.

        Args:
            weights: `[B, N]` numbers of rows that each row counts as, in the order of `order`.
        """
        found = []
        for counted in (weights * self.is_positive, weights * ~self.is_positive):
            sums = counted.cumsum(axis=1)[:, self.ends]
            found.append(np.concatenate([np.zeros((len(sums), 1)), sums], axis=1))
        return found[0], found[1]

    def best(self, weights: np.ndarray, goal: Goal) -> np.ndarray:
        """Return the index of the best threshold for each set of weights `[B]`; −1 if none is.

        Args:
            weights: as for `counts`.
        """
        true, false = self.counts(weights)
        n_positive = true[:, -1:]
        precision = np.divide(
            true, true + false, out=np.full(true.shape, -1.0), where=true + false > 0
        )
        if goal.kind == "cost":
            return self._cheapest(goal, true, false)
        if goal.kind == "precision":
            is_enough = self.is_possible & (precision >= goal.amounts[0] - ROUNDING)
            # The first of equal recalls has the highest precision.
            index = np.where(is_enough, true, -1.0).argmax(axis=1)
        else:
            is_enough = self.is_possible & (true >= (goal.amounts[0] - ROUNDING) * n_positive)
            ranked = np.where(is_enough, precision, -2.0)
            # The last of equal precisions has the highest recall.
            index = ranked.shape[1] - 1 - ranked[:, ::-1].argmax(axis=1)
        return np.where(is_enough.any(axis=1), index, -1)

    def _cheapest(self, goal: Goal, true: np.ndarray, false: np.ndarray) -> np.ndarray:
        """Return the index of the ideal threshold, or of the cheapest if it is clearly cheaper."""
        of_false, of_missed = goal.amounts
        costs = of_false * false - of_missed * true
        ideal = goal.ideal
        assert ideal is not None
        usual = int((self.lows[:-1] >= ideal).sum())
        best = np.where(self.is_possible, costs, math.inf).argmin(axis=1)
        places = np.arange(len(costs))
        gain = costs[:, usual] - costs[places, best]
        # The costs of the rows between the two thresholds change, those of the others do not.
        n_true = np.abs(true[:, usual] - true[places, best])
        n_false = np.abs(false[:, usual] - false[places, best])
        n_rows = np.maximum(true[:, -1] + false[:, -1], ROUNDING)
        squares = of_missed**2 * n_true + of_false**2 * n_false
        error = np.sqrt(np.maximum(squares - gain**2 / n_rows, 0.0))
        return np.where(gain > CLEAR_ERRORS * error, best, usual)

    def matrix(self, weights: np.ndarray, index: int) -> np.ndarray:
        """Return the confusion matrices at one threshold, `[B, 2, 2]`, positive second."""
        true, false = self.counts(weights)
        n_positive, n_negative = true[:, -1], false[:, -1]
        tp, fp = true[:, index], false[:, index]
        return np.stack([n_negative - fp, fp, n_positive - tp, tp], axis=1).reshape(-1, 2, 2)


def choose(
    p: np.ndarray,
    is_positive: np.ndarray,
    weights: np.ndarray | None,
    goal: Goal,
    positive: Any,
    seed: int = 0,
) -> Threshold:
    """Choose a threshold on labelled rows.

    Args:
        p: `[N]` probabilities of the positive class.
        is_positive: `[N]` bool.
        weights: `[N]` sample weights; None: equal weights.
        goal: what it is chosen for.
        positive: label of the positive class.
        seed: seed of the bootstrap.
    Raises:
        AutotrainError: when the rows have one class only, or no threshold has the precision.
    """
    own = np.ones(len(p)) if weights is None else weights
    if not own[is_positive].any() or not own[~is_positive].any():
        raise AutotrainError(
            f"threshold must be chosen on rows of both classes, got only rows "
            f"{'with' if own[is_positive].any() else 'without'} the class {positive!r}. "
            "Pass other rows.",
            parameter="threshold",
        )
    candidates = Candidates(p, is_positive)
    own = own[candidates.order]
    index = int(candidates.best(own[None], goal)[0])
    if index < 0:
        raise _impossible(candidates, own, goal, positive)
    scores = _metrics(candidates.matrix(own[None], index)[0], goal)
    resampled: list[dict[str, float]] = []
    values: list[np.ndarray] = []
    for drawn in _resamples(own, seed):
        best = candidates.best(drawn, goal)
        # Where no threshold reaches the precision, no row is positive.
        values.append(np.where(best < 0, 1.0, candidates.values(best, goal.ideal)))
        resampled += [_metrics(matrix, goal) for matrix in candidates.matrix(drawn, index)]
    return Threshold(
        value=float(candidates.values(index, goal.ideal)),
        positive=positive,
        goal=goal.text,
        metrics={name: value if math.isfinite(value) else None for name, value in scores.items()},
        interval=_interval(np.concatenate(values)),
        intervals={
            name: _interval(np.array([each.get(name, math.nan) for each in resampled]))
            for name in scores
        },
        n_rows=int((own > 0).sum()),
    )


def _metrics(matrix: np.ndarray, goal: Goal) -> dict[str, float]:
    if not matrix.any():
        return {}
    found = label_metrics(matrix, 1)
    if goal.kind == "cost":
        total = goal.amounts[0] * matrix[0, 1] + goal.amounts[1] * matrix[1, 0]
        found["cost"] = float(total / matrix.sum())
    return found


def _resamples(weights: np.ndarray, seed: int) -> Iterator[np.ndarray]:
    """Yield the weights of bootstrap resamples `[B, N]`, in parts."""
    n_rows, generator = len(weights), np.random.default_rng(seed)
    n_resamples = max(min(RESAMPLED_NUMBERS // n_rows, RESAMPLES), LEAST_RESAMPLES)
    at_once = max(AT_ONCE // n_rows, 1)
    for start in range(0, n_resamples, at_once):
        n = min(at_once, n_resamples - start)
        indices = generator.integers(n_rows, size=(n, n_rows)) + n_rows * np.arange(n)[:, None]
        times = np.bincount(indices.ravel(), minlength=n * n_rows).reshape(n, n_rows)
        yield times * weights


def _interval(values: np.ndarray) -> tuple[float, float] | None:
    """Return the 2.5 and 97.5 % quantiles of the finite values."""
    finite = values[np.isfinite(values)]
    if not len(finite):
        return None
    low, high = np.quantile(finite, [0.025, 0.975])
    return float(low), float(high)


def _impossible(
    candidates: Candidates, weights: np.ndarray, goal: Goal, positive: Any
) -> AutotrainError:
    true, false = candidates.counts(weights[None])
    share = (true / np.maximum(true + false, ROUNDING))[0, candidates.is_possible]
    return AutotrainError(
        f"precision must be at most {math.floor(share.max() * 1e4) / 1e4:g}, the highest precision "
        f"of class {positive!r} on these {int((weights > 0).sum()):,} rows, got "
        f"{goal.amounts[0]:g}. Pass a lower one, or a recall.",
        parameter="precision",
    )


def _costs(value: Any) -> tuple[float, float]:
    """Check {"false_positive": c, "false_negative": c}."""
    if isinstance(value, Mapping) and set(value) == set(COSTS):
        false_positive, false_negative = (value[name] for name in COSTS)
        if _is_cost(false_positive) and _is_cost(false_negative):
            return float(false_positive), float(false_negative)
    raise AutotrainError(
        "cost must be positive numbers for false_positive and false_negative, got "
        f"{value!r}. For example {{'false_positive': 1, 'false_negative': 10}}.",
        parameter="cost",
    )


def _is_cost(value: Any) -> bool:
    return is_number(value) and 0 < value < math.inf


def _pair(ends: Any) -> tuple[float, float] | None:
    return None if ends is None else (float(ends[0]), float(ends[1]))
