"""`Effects`: the methods of `Predictor` that measure what the columns do.

importances.py           how much worse the metric becomes without a column
partial_dependence.py    how the mean prediction depends on a column
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

from autotrain.bundle import Bundle
from autotrain.errors import AutotrainError, unknown
from autotrain.metrics import metric_for
from autotrain.predictor.arguments import read_grid, read_repeats, read_sampling
from autotrain.predictor.evaluation import Truth
from autotrain.predictor.importances import Importances, groups_of, importances
from autotrain.predictor.joint import Joint
from autotrain.predictor.monte_carlo import MonteCarlo, Request
from autotrain.predictor.partial_dependence import PartialDependence, partial_dependence


class Effects(ABC):
    """The methods of `Predictor` that measure what the columns do."""

    bundle: Bundle
    joint: Joint
    _monte_carlo: MonteCarlo

    @property
    @abstractmethod
    def task(self) -> str:
        """The task of the model."""

    @property
    @abstractmethod
    def column_names(self) -> Sequence[str]:
        """The names of the raw columns that the model reads."""

    def importances(
        self,
        X: Any,
        y: Any,
        *,
        metric: str | None = None,
        n_repeats: int = 10,
        seed: int = 0,
        weights: Any = None,
        groups: Any = "auto",
    ) -> Importances:
        """Measure how much each column matters, by permutation importance, with dropout off.

        The cells of one column are shuffled between the rows, and the drop is how much worse the
        metric becomes. A column that the model can replace by another one has a low drop, so
        columns that move together are also shuffled as a group. The same permutations of rows are
        used for all of them.

        Args:
            X: table of N rows, best of rows that were not used for training.
            y: `[N]` labels or numbers. Rows without a target are left out.
            metric: a metric of the task; None: the one that chose the model. The value of the rows
                as they are is that of `evaluate(X, y)["deterministic"]`.
            n_repeats: R, permutations of each column and group.
            seed: seed of the permutations, from 0 to 2³² − 1. They are those of
                `sklearn.inspection.permutation_importance(random_state=seed)`.
            weights: `[N]` sample weights of the metric; None: equal weights. Each row's cells are
                used equally often, whatever its weight.
            groups: "auto": also groups of columns of which every two have an association of at
                least 0.7 in X (`autotrain.predictor.associations`; needs scipy). None: single
                columns only. Otherwise a list of lists of column names.
        Returns: `Importances`: drops with standard errors and intervals, the highest first.
        Raises:
            DataError: when `y` or `weights` have another length than `X`, or cells cannot be read.
            AutotrainError: when an argument is out of its range, or the metric is not defined on
                the rows.
        Examples:
            >>> import autotrain
            >>> from sklearn.datasets import load_diabetes
            >>> predictor = autotrain.load("studies/diabetes/best")
            >>> X, y = load_diabetes(return_X_y=True)
            >>> found = predictor.importances(X, y, metric="mae", groups=[["s1", "s2"]])
            >>> found.names[0] in ("bmi", "s5"), "s1 + s2" in found.names, found.drop.shape
            (True, True, (11,))

        Source: Breiman 2001, "Random forests", doi:10.1023/A:1010933404324, section 10; Fisher,
        Rudin & Dominici 2019, arXiv:1801.01489.
        """
        n_repeats, seed = read_repeats(n_repeats, seed)
        chosen = metric_for(self.task, self.bundle.metric if metric is None else metric)
        truth = Truth.read(self.bundle, y, weights)
        xs = self.joint.rows_of(X)
        truth.check_length(len(xs[0]))
        entries = groups_of(groups, self.joint, xs, self.column_names)
        return importances(
            self.bundle, self.joint, xs, truth, chosen, entries, n_repeats=n_repeats, seed=seed
        )

    def partial_dependence(
        self,
        X: Any,
        column: str,
        *,
        grid: int = 20,
        n_samples: int = 50,
        alpha: float = 0.1,
        seed: int = 0,
    ) -> PartialDependence:
        """Measure how the mean prediction depends on one column.

            mean(v) = 1/N Σ_i prediction(row i with v in the column)

        Where the column moves together with others, some of these rows are unlike any row of the
        table, and the prediction for them is an extrapolation.

        Args:
            X: table of N rows. The time grows with N · grid · n_samples; a sample of a thousand
                rows is usually enough.
            column: name of a raw column.
            grid: largest number V of values. For numbers and dates: all values of X if there are
                at most V, otherwise values of X at V equally spaced quantiles from 5 to 95 %. For
                categories: the most frequent levels of X.
            n_samples: S, Monte-Carlo samples for the band; 0: no band.
            alpha: error rate of the band and fraction of rows outside of `rows`, in (0, 1).
            seed: seed of the masks.
        Returns: a `PartialDependence`.
        Raises:
            DataError: when X has no row, only missing cells in the column, or cells cannot be read.
            AutotrainError: when an argument is out of its range.
        Examples:
            >>> import autotrain
            >>> from sklearn.datasets import load_diabetes
            >>> predictor = autotrain.load("studies/diabetes/best")
            >>> X = load_diabetes().data
            >>> found = predictor.partial_dependence(X, "bmi", grid=5, n_samples=20)
            >>> found.grid.shape, found.mean.shape, found.band.shape, found.rows.shape
            ((5,), (5,), (5, 2), (5, 2))

        Source: Friedman 2001, doi:10.1214/aos/1013203451, section 8.2. Rows one by one: Goldstein
        et al. 2015, arXiv:1309.6392.
        See also: `sklearn.inspection.partial_dependence` with `method="brute"`, which has no band.
        """
        n_samples, alpha, seed = read_sampling(n_samples, alpha, seed, least=0)
        if column not in self.column_names:
            raise AutotrainError(
                f"column: {unknown('column', str(column), self.column_names)}", parameter="column"
            )
        return partial_dependence(
            self._monte_carlo, X, column, read_grid(grid), Request(n_samples, alpha, seed)
        )
