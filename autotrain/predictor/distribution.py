"""The results of `predict_distribution`: one frozen class per kind of task.

Axes: N rows, C classes in the order of the predictor's `classes_`, S Monte-Carlo samples. Numbers
are float64; those of a regression are in the units of the target.
"""

from __future__ import annotations

import importlib
import math
import numbers as abstract
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from autotrain.data.arrays import plain
from autotrain.data.values import numbers
from autotrain.errors import AutotrainError
from autotrain.predictor import mixture
from autotrain.predictor.probabilities import Recalibration
from autotrain.validation import is_number


@dataclass(frozen=True, eq=False)
class ClassificationDistribution:
    """Class probabilities of each row with their uncertainty.

    Attributes:
        classes: `[C]` the labels, in the type of the training table.
        n_samples: S.
        label: `[N]` the predicted class, equal to `Predictor.predict`: dropout off, follows the
            class weights of training, or the decision threshold of the predictor.
        proba: `[N, C]` calibrated probabilities, equal to `Predictor.predict_proba`: dropout off,
            class weights of training divided out.
        point: `[N, C]` probabilities with dropout off, as trained.
        mean: `[N, C]` mean probabilities over the samples, as trained; the entropies use it.
        calibrated_mean: `[N, C]` `mean`, calibrated with its own temperature, class weights of
            training divided out.
        std: `[N, C]` standard deviation over the samples (divided by S, so 0 when S = 1).
        entropy: `[N]` −Σ p̄ log p̄ in nats, at most log C: the total uncertainty.
        expected_entropy: `[N]` mean over the samples of −Σ p log p, in nats: the uncertainty within
            samples.
        mutual_information: `[N]` entropy − expected_entropy ≥ 0, in nats: the disagreement of the
            samples (BALD).
        variation_ratio: `[N]` fraction of the samples that do not predict the most frequent label.
        alpha: error rate: `prediction_set` contains the true class of about 1 − alpha of the rows:
            of all rows together, or with `per_class` of the rows of each class.
        prediction_set: `[N, C]` bool, the classes that are as likely, with dropout off, as the true
            class was on all but alpha of the calibration rows (`conformal.py` has the guarantees).
            Uncertain rows have several classes. A row has none where every class is less likely
            than that. None when the bundle has no conformal scores; all classes when it has too few
            for alpha.
        samples: `[S, N, C]` probabilities, as trained; None when they were not kept.
        n_drawn: `[N]` number of samples of each row when `tolerance` was given; None: n_samples.
    Examples:
        >>> import autotrain
        >>> predictor = autotrain.load("studies/iris/best")
        >>> found = predictor.predict_distribution([[5.1, 3.5, 1.4, 0.2]], n_samples=20)
        >>> found.label, found.proba.shape, bool(found.entropy[0] < 1.1)
        (array(['setosa'], dtype='<U10'), (1, 3), True)

    See also: `RegressionDistribution`.
    """

    classes: np.ndarray
    n_samples: int
    label: np.ndarray
    proba: np.ndarray
    point: np.ndarray
    mean: np.ndarray
    calibrated_mean: np.ndarray
    std: np.ndarray
    entropy: np.ndarray
    expected_entropy: np.ndarray
    mutual_information: np.ndarray
    variation_ratio: np.ndarray
    alpha: float = 0.1
    prediction_set: np.ndarray | None = None
    samples: np.ndarray | None = None
    n_drawn: np.ndarray | None = None

    @property
    def mc_error(self) -> np.ndarray:
        """`[N, C]` standard error of `mean`: std / √S.

        Examples:
            >>> found.mc_error.shape
            (1, 3)
        """
        if self.n_drawn is None:
            return self.std / math.sqrt(self.n_samples)
        return self.std / np.sqrt(self.n_drawn)[:, None]

    def least_certain(self, n: int) -> np.ndarray:
        """Return the indices of the rows with the highest `entropy`, the highest first.

        Args:
            n: largest number of rows, at least 1.
        Returns: `[n]` int64, or fewer when there are fewer rows. Equal rows keep their order.
        Raises:
            AutotrainError: when `n` is not a positive integer.
        Examples:
            >>> found.least_certain(3)
            array([0])
        """
        return least_certain(self.entropy, n)

    def to_dict(self) -> dict[str, np.ndarray]:
        """Return one array `[N]` per column.

        Columns: prediction (`label`), proba_CLASS, mc_proba_CLASS (`calibrated_mean`), std_CLASS,
        entropy, expected_entropy, mutual_information, variation_ratio, in_set_CLASS.

        Returns: arrays by column name.
        Examples:
            >>> list(found.to_dict())[:3]
            ['prediction', 'proba_setosa', 'proba_versicolor']
        """
        columns = {"prediction": self.label}
        for kind, values in (
            ("proba", self.proba),
            ("mc_proba", self.calibrated_mean),
            ("std", self.std),
        ):
            columns |= {f"{kind}_{name}": values[:, c] for c, name in enumerate(self.classes)}
        for name in ("entropy", "expected_entropy", "mutual_information", "variation_ratio"):
            columns[name] = getattr(self, name)
        if self.prediction_set is not None:
            in_set = self.prediction_set
            columns |= {f"in_set_{name}": in_set[:, c] for c, name in enumerate(self.classes)}
        return columns

    def to_frame(self) -> Any:
        """Return `to_dict` as a pandas data frame, with rows in the order of the input.

        Returns: a frame with N rows.
        Examples:
            >>> found.to_frame().shape
            (1, 17)
        """
        return frame_of(self.to_dict())


@dataclass(frozen=True, eq=False)
class RegressionDistribution:
    """Predicted numbers of each row with their uncertainty, in the units of the target.

    Attributes:
        n_samples: S.
        alpha: error rate of the two intervals.
        noise: the error that dropout does not explain, and the factor on the spread of the samples.
        mean: `[N]` mean over the samples.
        point: `[N]` prediction with dropout off, equal to `Predictor.predict`.
        std: `[N]` standard deviation over the samples (divided by S, so 0 when S = 1).
        interval: `[N, 2]` quantiles alpha/2 and 1 − alpha/2 of the predictive distribution
            (`mixture.py`), without guarantee.
        conformal_interval: `[N, 2]` interval around `point` that contains the truth of about
            1 − alpha of the rows, whatever the distribution of the errors (`conformal.py` has the
            guarantees). It is wider where the samples spread more, and needs at least 20 samples.
            None when the bundle has no conformal scores; infinite when it has too few for alpha.
        samples: `[S, N]`; None when they were not kept.
        n_drawn: `[N]` number of samples of each row when `tolerance` was given; None: n_samples.
    Examples:
        >>> import autotrain
        >>> predictor = autotrain.load("studies/diabetes/best")
        >>> rows = [[0.04, 0.05, 0.06, 0.02, -0.04, -0.03, -0.04, 0.0, 0.02, -0.02]]
        >>> found = predictor.predict_distribution(rows, n_samples=50)
        >>> low, high = found.interval[0]
        >>> bool(low < found.mean[0] < high), found.quantiles([0.1, 0.5, 0.9]).shape
        (True, (1, 3))

    See also: `ClassificationDistribution`.
    """

    n_samples: int
    alpha: float
    noise: mixture.Noise
    mean: np.ndarray
    point: np.ndarray
    std: np.ndarray
    interval: np.ndarray
    conformal_interval: np.ndarray | None = None
    samples: np.ndarray | None = None
    n_drawn: np.ndarray | None = None

    @property
    def mc_error(self) -> np.ndarray:
        """`[N]` standard error of `mean`: std / √S.

        Examples:
            >>> found.mc_error.shape
            (1,)
        """
        return self.std / np.sqrt(self.n_samples if self.n_drawn is None else self.n_drawn)

    @property
    def typical_error(self) -> float:
        """The typical error that dropout does not explain, the same for all rows.

        Where all samples agree, 68 % of the errors are smaller. It contains the noise of the target
        and errors of the model that dropout does not show.

        Examples:
            >>> bool(found.typical_error > 0)
            True
        """
        return self.noise.typical_error

    @property
    def total_error(self) -> np.ndarray:
        """`[N]` √((c · std)² + typical_error²), with `noise.spread` as c.

        Examples:
            >>> bool(found.total_error[0] >= found.typical_error)
            True
        """
        found: np.ndarray = mixture.total_error(self.std, self.noise)
        return found

    def quantiles(self, q: Any) -> np.ndarray:
        """Return quantiles of the predictive distribution.

        Args:
            q: one level or Q levels, each in (0, 1).
        Returns: `[N]` for one level, `[N, Q]` for several.
        Raises:
            AutotrainError: when a level is not in (0, 1), or the samples were not kept.
        Examples:
            >>> low, high = found.quantiles([0.05, 0.95])[0]
            >>> bool(low < high)
            True
        """
        levels = np.asarray(q)
        levels = levels.astype(np.float64) if levels.dtype.kind in "fiu" else np.array(np.nan)
        if levels.ndim > 1 or not levels.size or not ((levels > 0) & (levels < 1)).all():
            raise AutotrainError(
                f"q must be levels greater than 0 and less than 1, got {q}. "
                "Level 0.05 is the number that one value in twenty does not exceed.",
                parameter="q",
            )
        found = mixture.quantiles(self._kept(), self.noise, torch.tensor(np.atleast_1d(levels)))
        return found.numpy() if levels.ndim else found[:, 0].numpy()

    def log_likelihood(self, y: Any) -> np.ndarray:
        """Return log p(y | x) of each row, in nats per unit of the target.

        Args:
            y: `[N]` true numbers.
        Returns: `[N]`.
        Raises:
            AutotrainError: when `y` has another length, or the samples were not kept.
        Examples:
            >>> found.log_likelihood([150.0]).shape
            (1,)
        """
        cells = plain(y)
        target, bad = numbers(cells)
        if bad is not None:
            raise AutotrainError(
                f"y must be numbers, got {cells[bad]!r} in row {bad + 1}. Pass the target of the "
                "same rows.",
                parameter="y",
            )
        if target.shape != self.mean.shape:
            raise AutotrainError(
                f"y must have one number for each of the {len(self.mean)} rows, got the shape "
                f"{target.shape}. Pass the target of the same rows.",
                parameter="y",
            )
        return mixture.log_likelihood(self._kept(), torch.tensor(target), self.noise).numpy()

    def least_certain(self, n: int) -> np.ndarray:
        """Return the indices of the rows with the widest `interval`, the widest first.

        Args:
            n: largest number of rows, at least 1.
        Returns: `[n]` int64, or fewer when there are fewer rows. Equal rows keep their order.
        Raises:
            AutotrainError: when `n` is not a positive integer.
        Examples:
            >>> found.least_certain(3)
            array([0])
        """
        return least_certain(self.interval[:, 1] - self.interval[:, 0], n)

    def to_dict(self) -> dict[str, np.ndarray]:
        """Return one array `[N]` per column.

        Columns: prediction (`point`), mean, std, mc_error, typical_error, total_error, lower and
        upper (`interval`), conformal_lower and conformal_upper.

        Returns: arrays by column name.
        Examples:
            >>> list(found.to_dict())[:3]
            ['prediction', 'mean', 'std']
        """
        columns = {
            "prediction": self.point,
            "mean": self.mean,
            "std": self.std,
            "mc_error": self.mc_error,
            "typical_error": np.full_like(self.mean, self.typical_error),
            "total_error": self.total_error,
            "lower": self.interval[:, 0],
            "upper": self.interval[:, 1],
        }
        if self.conformal_interval is not None:
            lower, upper = self.conformal_interval.T
            columns |= {"conformal_lower": lower, "conformal_upper": upper}
        return columns

    def to_frame(self) -> Any:
        """Return `to_dict` as a pandas data frame, with rows in the order of the input.

        Returns: a frame with N rows.
        Examples:
            >>> found.to_frame().shape
            (1, 10)
        """
        return frame_of(self.to_dict())

    def _kept(self) -> Tensor:
        if self.n_drawn is not None:
            raise AutotrainError(
                "quantiles and likelihoods need the same number of samples for each row, and with "
                "a tolerance rows have different numbers. Call predict_distribution(…, "
                "samples=True) without tolerance."
            )
        if self.samples is None:
            raise AutotrainError(
                "quantiles and likelihoods need the samples, which were not kept. Call "
                "predict_distribution(…, samples=True)."
            )
        return torch.from_numpy(self.samples)


Distribution = ClassificationDistribution | RegressionDistribution


def least_certain(uncertainty: np.ndarray, n: int) -> np.ndarray:
    """Return the indices of the `n` largest of `[N]` numbers, the largest first, ties in order.

    Raises: AutotrainError when `n` is not a positive integer.
    Examples:
        >>> least_certain(np.array([0.1, 0.7, 0.4, 0.7]), 3)
        array([1, 3, 2])
    """
    if not is_number(n, abstract.Integral) or n < 1:
        raise AutotrainError(f"n must be a positive integer, got {n!r}.", parameter="n")
    return np.argsort(-uncertainty, kind="stable")[: int(n)]


def class_summary(samples: Tensor, recalibration: Recalibration) -> dict[str, Tensor]:
    """Summarize samples by the names of the fields of `ClassificationDistribution`.

    Args:
        samples: log p `[S, N, C]`.
        recalibration: the calibration of the mean.
    Source: Gal 2016, "Uncertainty in Deep Learning", section 3.3.1; mutual information: Houlsby
    et al. 2011, arXiv:1112.5745.
    """
    p = samples.exp()
    mean = p.mean(0)
    entropy = -torch.special.xlogy(mean, mean).sum(-1)
    expected = -(p * samples).sum(-1).mean(0)
    votes = torch.zeros_like(mean).scatter_add_(
        1, samples.argmax(-1).T, mean.new_ones(1, 1).expand(samples.shape[1], len(samples))
    )
    return {
        "mean": mean,
        "calibrated_mean": recalibration.apply(mean.log()).exp(),
        "std": mixture.deviation(p),
        "entropy": entropy,
        "expected_entropy": expected,
        # Never below 0 by Jensen's inequality, except for rounding.
        "mutual_information": (entropy - expected).clamp(min=0),
        "variation_ratio": 1 - votes.amax(-1) / len(samples),
    }


def value_summary(samples: Tensor, noise: mixture.Noise, alpha: float) -> dict[str, Tensor]:
    """Summarize predictions `[S, N]` by the names of the fields of `RegressionDistribution`."""
    levels = torch.tensor([alpha / 2, 1 - alpha / 2], dtype=torch.float64)
    mean, std = samples.mean(0), mixture.deviation(samples)
    return {"mean": mean, "std": std, "interval": mixture.quantiles(samples, noise, levels)}


def frame_of(columns: Mapping[str, np.ndarray]) -> Any:
    """Return arrays of one length by name as a pandas data frame."""
    # Prediction must not need pandas, so it is imported only for a frame.
    try:
        pandas = importlib.import_module("pandas")
    except ModuleNotFoundError:
        raise AutotrainError(
            "to_frame needs pandas, which is not installed. Install it, or use to_dict()."
        ) from None
    return pandas.DataFrame(dict(columns))
