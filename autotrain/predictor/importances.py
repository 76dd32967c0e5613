"""Permutation importance: how much worse the model is when a column's cells are shuffled.

`importances` permutes one column or group of columns at a time and scores the predictions with
dropout off. `changed_columns.py` predicts the permuted rows without encoding them again,
`associations.py` finds the groups. The standard error combines the rows and the permutations, see
`RowEffects`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from autotrain.bundle import Bundle
from autotrain.errors import AutotrainError
from autotrain.metrics import Metric
from autotrain.network.metric_formulas import value_and_influence
from autotrain.predictor.associations import associated_groups
from autotrain.predictor.changed_columns import ChangedColumns
from autotrain.predictor.distribution import frame_of
from autotrain.predictor.evaluation import Truth
from autotrain.predictor.joint import Joint, MemberRows
from autotrain.predictor.shares import Z

AUTO = "auto"
Group = tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Importances:
    """The permutation importance of G columns and groups of columns, the highest first.

    Attributes:
        metric: name of the metric.
        score: the metric of the rows as they are, with dropout off.
        n_rows: number of rows with a target.
        n_repeats: R, permutations of each column or group.
        columns: the raw columns of each entry: one, or those of a group.
        drop: `[G]` mean over the permutations of how much worse the metric becomes, in its units.
            It is positive where the column matters, also for metrics to minimize.
        standard_error: `[G]` standard error of `drop`. It contains the choice of the rows and of
            the permutations, not the training of the model: another model of the same data may
            prefer another of two similar columns.
        interval: `[G, 2]` drop ± 1.96 standard errors, about 95 % of its distribution over other
            rows like these and other permutations.
        drops: `[G, R]` the drop of each permutation.
    Examples:
        >>> import autotrain
        >>> from sklearn.datasets import load_iris
        >>> predictor = autotrain.load("studies/iris/best")
        >>> X, y = load_iris(return_X_y=True)
        >>> names = load_iris().target_names[y]
        >>> found = predictor.importances(X, names, n_repeats=5)
        >>> found.metric, found.n_rows, found.drops.shape[1]
        ('log_loss', 150, 5)
        >>> bool((found.drop[0] > 0) & (found.drop[0] >= found.drop[-1]))
        True
    """

    metric: str
    score: float
    n_rows: int
    n_repeats: int
    columns: tuple[Group, ...]
    drop: np.ndarray
    standard_error: np.ndarray
    interval: np.ndarray
    drops: np.ndarray

    @property
    def names(self) -> tuple[str, ...]:
        """A name of each entry: the column, or the columns of a group joined by " + ".

        Examples:
            >>> len(found.names) == len(found.drop)
            True
        """
        return tuple(" + ".join(group) for group in self.columns)

    def to_dict(self) -> dict[str, np.ndarray]:
        """Return one array `[G]` per column: name, n_columns, drop, standard_error, low, high.

        Returns: arrays by column name.
        Examples:
            >>> list(found.to_dict())
            ['name', 'n_columns', 'drop', 'standard_error', 'low', 'high']
        """
        return {
            "name": np.array(self.names, dtype=object),
            "n_columns": np.array([len(group) for group in self.columns]),
            "drop": self.drop,
            "standard_error": self.standard_error,
            "low": self.interval[:, 0],
            "high": self.interval[:, 1],
        }

    def to_frame(self) -> Any:
        """Return `to_dict` as a pandas data frame.

        Returns: a frame with G rows, the highest drop first.
        Examples:
            >>> found.to_frame().shape == (len(found.drop), 6)
            True
        """
        return frame_of(self.to_dict())


def importances(
    bundle: Bundle,
    joint: Joint,
    xs: MemberRows,
    truth: Truth,
    metric: Metric,
    groups: Sequence[Group],
    *,
    n_repeats: int,
    seed: int,
) -> Importances:
    """Return the importance of each group of raw columns; see `Predictor.importances`.

    Args:
        bundle, joint: the model.
        xs: the encoded rows, one tensor `[N, D]` per member.
        truth: their targets.
        metric: a metric of the task.
        groups: raw columns that are permuted together; a single column is a group of one.
        n_repeats: R, at least 1.
        seed: seed of the permutations.
    """
    known = torch.from_numpy(truth.is_known)
    changed = ChangedColumns(joint, [x[known] for x in xs])
    scored = ScoredChanges.of(bundle, metric, truth, changed)
    n_rows, n_groups = changed.n_rows, len(groups)
    sources = torch.from_numpy(permutations(seed, n_rows, n_repeats))
    drops, errors = np.empty((n_groups, n_repeats)), np.empty(n_groups)
    at_once = max(joint.sizes.encoded // max(n_rows * bundle.members[0].n_outputs, 1), 1)
    repeats = sources.split(min(at_once, n_repeats))
    step = max(at_once // n_repeats, 1)
    for start in range(0, n_groups, step):
        part = groups[start : start + step]
        effects = [RowEffects(scored.influence) for _ in part]
        values = [scored.drops(changed.moved(part, own), own, effects) for own in repeats]
        drops[start : start + step] = np.concatenate(values, axis=1)
        for place, each in enumerate(effects, start):
            errors[place] = each.standard_error(drops[place])
    return _sorted(metric, scored.value, n_rows, groups, drops, errors)


def _sorted(
    metric: Metric,
    score: float,
    n_rows: int,
    groups: Sequence[Group],
    drops: np.ndarray,
    errors: np.ndarray,
) -> Importances:
    """Return the result, the highest drop first, of drops `[G, R]` and standard errors `[G]`."""
    mean = drops.mean(axis=1)
    order = np.argsort(-mean, kind="stable")
    mean, errors = mean[order], errors[order]
    return Importances(
        metric=metric.name,
        score=score,
        n_rows=n_rows,
        n_repeats=drops.shape[1],
        columns=tuple(groups[place] for place in order),
        drop=mean,
        standard_error=errors,
        interval=np.stack([mean - Z * errors, mean + Z * errors], axis=1),
        drops=drops[order],
    )


def groups_of(asked: Any, joint: Joint, xs: MemberRows, names: Sequence[str]) -> list[Group]:
    """Return the columns to permute: each one alone, then the groups of several columns.

    Args:
        asked: "auto", None, or lists of names of columns.
        joint, xs: the model and its encoded rows, one tensor `[N, D]` per member.
        names: the raw columns of the model.
    Raises:
        AutotrainError: when `asked` is something else.
    """
    single: list[Group] = [(name,) for name in names]
    if asked is None:
        return single
    if isinstance(asked, str) and asked == AUTO:
        return single + associated_groups(joint.members[0].preprocessor, xs[0].numpy())
    is_list = isinstance(asked, Sequence) and not isinstance(asked, str)
    if not is_list or not all(_is_group(group, names) for group in asked):
        raise AutotrainError(
            "groups must be 'auto', None, or a list of lists of at least two different columns "
            f"of the model, got {asked!r}. Its columns are Predictor.column_names.",
            parameter="groups",
        )
    return single + [tuple(group) for group in asked]


def _is_group(group: Any, names: Sequence[str]) -> bool:
    return (
        isinstance(group, list | tuple)
        and len(group) > 1
        and all(isinstance(name, str) and name in names for name in group)
        and len(set(group)) == len(group)
    )


def permutations(seed: int, n_rows: int, n_repeats: int) -> np.ndarray:
    """Return R permutations of the rows, `[R, N]`, independent of each other.

    They are those of `sklearn.inspection.permutation_importance` with `random_state=seed`, which
    uses the same ones for every column.
    """
    own = np.random.RandomState(np.random.RandomState(seed).randint(2**31))
    order, sources = np.arange(n_rows), np.arange(n_rows)
    found = np.empty((n_repeats, n_rows), dtype=np.int64)
    for repeat in range(n_repeats):
        # Each permutation is applied to the cells that the one before has moved.
        own.shuffle(order)
        sources = sources[order]
        found[repeat] = sources
    return found


@dataclass(frozen=True)
class ScoredChanges:
    """Scores predictions of changed rows against those of the rows as they are.

    Args:
        metric: the metric.
        y: `[N]` class numbers or numbers.
        weights: `[N]` sample weights; None: equal weights.
        class_weights: `[C]` those of training, divided out of probabilities; None: equal.
        value: the metric of the rows as they are.
        influence: `[N]` its derivative by the weight of each row.
    """

    metric: Metric
    y: Tensor
    weights: Tensor | None
    class_weights: Sequence[float] | None
    value: float = math.nan
    influence: Tensor = field(default_factory=lambda: torch.empty(0))

    @classmethod
    def of(
        cls, bundle: Bundle, metric: Metric, truth: Truth, changed: ChangedColumns
    ) -> ScoredChanges:
        """Score the rows as they are.

        Raises:
            AutotrainError: when the metric is not defined on these rows.
        """
        known = torch.from_numpy(truth.is_known)
        weights = None if truth.weights is None else torch.from_numpy(truth.weights)[known]
        class_weights = bundle.calibration.get("class_weights")
        empty = cls(metric, torch.from_numpy(truth.y)[known], weights, class_weights)
        unchanged = torch.arange(changed.n_rows)[None]
        values, influences = empty.score(changed.moved([()], unchanged)[0])
        if not math.isfinite(values[0]):
            raise AutotrainError(
                f"metric must be defined on the rows, got {metric.name}, which needs different "
                "targets. Pass more rows, or choose another metric.",
                parameter="metric",
            )
        return replace(empty, value=float(values[0]), influence=influences[0])

    def score(self, outputs: Tensor) -> tuple[Tensor, Tensor]:
        """Return values `[R]` and influences `[R, N]` of predictions `[R, N]` or `[R, N, C]`."""
        y = self.y.expand(len(outputs), -1)
        weights = None if self.weights is None else self.weights.expand(len(outputs), -1)
        return value_and_influence(self.metric, outputs, y, weights, self.class_weights)

    def drops(
        self, changes: Sequence[Tensor], sources: Tensor, effects: Sequence[RowEffects]
    ) -> np.ndarray:
        """Return the drops `[G, R]` of predictions `[R, N, …]` of G changes.

        Args:
            changes: the predictions of each change.
            sources: `[R, N]` the rows whose cells were used.
            effects: collects the effects of the rows, one for each change.
        """
        found = []
        for outputs, own in zip(changes, effects, strict=True):
            values, influences = self.score(outputs)
            own.add(influences, sources)
            found.append(self.metric.sign * (values - self.value).numpy())
        return np.stack(found)


class RowEffects:
    """The effect of each row on the mean drop of one change, for its standard error.

    A row i has two parts: it gets the cells of another row, π(i), and it gives its own cells to the
    row π⁻¹(i). To first order its effect on the drop of one permutation is

        b_i = d_i + d_{π⁻¹(i)},    d = influence with permuted cells − influence as it is

    Over the R permutations the effects of a row have a mean, its part in the sampling error, and a
    spread, which is noise. Products of different permutations are free of this noise:

        variance = Σ_i mean over r ≠ r' of b_ri b_r'i  +  variance over the permutations / R

    Args:
        influence: `[N]` influences of the rows as they are.
    Source: the first-order variance of a statistic of pairs (Hoeffding 1948,
        doi:10.1214/aoms/1177730196), with influences of the infinitesimal jackknife.
    """

    def __init__(self, influence: Tensor) -> None:
        self._influence = influence
        self._total = torch.zeros_like(influence)
        self._squares = 0.0

    def add(self, influences: Tensor, sources: Tensor) -> None:
        """Add the influences `[R, N]` of some permutations `sources` `[R, N]`."""
        got = influences - self._influence
        effects = got.scatter_add(1, sources, got)
        self._total += effects.sum(0)
        self._squares += float(effects.square().sum())

    def standard_error(self, drops: np.ndarray) -> float:
        """Return the standard error of the mean of the drops `[R]` of all permutations.

        With one permutation the error contains the noise twice and is too large.
        """
        n = len(drops)
        square = float(self._total.square().sum())
        if n == 1:
            return math.sqrt(square)
        of_rows = max((square - self._squares) / (n * (n - 1)), 0.0)
        return math.sqrt(of_rows + float(drops.var(ddof=1)) / n)
