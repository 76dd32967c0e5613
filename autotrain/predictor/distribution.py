"""What `predict_distribution` returns: frozen results with named arrays, for each kind of task.

Axes: N rows, C classes in the predictor's `classes_` order, S Monte-Carlo samples. Numbers are
float64; those of a regression are in the target's units.
"""

from __future__ import annotations

import importlib
import math
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


@dataclass(frozen=True, eq=False)
class ClassificationDistribution:
    """How sure a classifier is of each row.

    Args:
        classes: `[C]`, the user's labels.
        n_samples: S.
        label: `[N]` the predicted class, as of `Predictor.predict`: dropout off, after the class
            weights of training.
        proba: `[N, C]` how likely each class is, as of `Predictor.predict_proba`: dropout off,
            calibrated, with the class weights of training divided out.
        point: `[N, C]` probabilities with dropout off, as trained.
        mean: `[N, C]` probabilities averaged over the samples, as trained: what the entropies are
            of.
        calibrated_mean: `[N, C]` `mean` with its own temperature and without the class weights.
        std: `[N, C]` standard deviation over the samples (of the S numbers, so 0 when S = 1).
        entropy: `[N]` −Σ p̄ log p̄ in nats: all uncertainty. At most log C.
        expected_entropy: `[N]` mean over samples of −Σ p log p: how unsure single samples are.
        mutual_information: `[N]` entropy − expected_entropy ≥ 0: how much the samples disagree
            (BALD).
        variation_ratio: `[N]` share of the samples that do not vote for the commonest label.
        alpha: `prediction_set` contains the true class of about 1 − alpha of the rows: of all rows
            together, or of the rows of each class when it was asked for `per_class`.
        prediction_set: `[N, C]` bool, the classes that are not less likely, with dropout off, than
            the true class was in all but alpha of the calibration rows (see conformal.py for what
            is guaranteed). Several classes where the model is unsure; none where it was surer of
            nearly all rows. None when the bundle has no conformal scores; all classes when it has
            too few for alpha.
        samples: `[S, N, C]`, or None when they were not kept.
        n_drawn: `[N]`, how many samples a row got where there was a tolerance; None: all n_samples.
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
        """`[N, C]` standard error of `mean`: std / √S."""
        if self.n_drawn is None:
            return self.std / math.sqrt(self.n_samples)
        return self.std / np.sqrt(self.n_drawn)[:, None]

    def to_dict(self) -> dict[str, np.ndarray]:
        """Return one array `[N]` per column: prediction (`label`), proba_CLASS, mc_proba_CLASS, …

        `mc_proba_CLASS` is `calibrated_mean`.
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
        """Return `to_dict` as a pandas data frame, rows in the order of the input."""
        return _frame(self.to_dict())


@dataclass(frozen=True, eq=False)
class RegressionDistribution:
    """How sure a regression is of each row; everything in the target's units.

    Args:
        n_samples: S.
        alpha: `interval` holds 1 − alpha of the distribution.
        noise: the error that dropout does not explain, and the factor on the samples' spread.
        mean: `[N]`, averaged over the samples.
        point: `[N]`, dropout off.
        std: `[N]` standard deviation over the samples (of the S numbers, so 0 when S = 1).
        interval: `[N, 2]` quantiles alpha/2 and 1 − alpha/2 of the mixture.
        conformal_interval: `[N, 2]` around the prediction with dropout off, wider where the samples
            spread more, and so wide that it contains the truth of about 1 − alpha of the rows,
            whatever the distribution of the errors (see conformal.py for what is guaranteed; 20
            samples or more). None when the bundle has no conformal scores; infinite when it has
            too few for alpha.
        samples: `[S, N]`, or None when they were not kept.
        n_drawn: `[N]`, how many samples a row got where there was a tolerance; None: all n_samples.
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
        """`[N]` standard error of `mean`: std / √S."""
        return self.std / np.sqrt(self.n_samples if self.n_drawn is None else self.n_drawn)

    @property
    def typical_error(self) -> float:
        """The typical error that dropout does not explain; the same for all rows.

        68 % of the errors stay below it where all samples agree. It contains the noise of the
        target, and what is wrong with the model in a way that dropout does not show.
        """
        return self.noise.typical_error

    @property
    def total_error(self) -> np.ndarray:
        """`[N]` √((c · std)² + typical_error²), c the noise's factor on the spread."""
        found: np.ndarray = mixture.total_error(self.std, self.noise)
        return found

    def quantiles(self, q: Any) -> np.ndarray:
        """Return quantiles of the mixture: `[N]` for one level, `[N, Q]` for several.

        Raises: AutotrainError when a level is not inside (0, 1) or the samples were not kept.
        """
        levels = np.asarray(q)
        levels = levels.astype(np.float64) if levels.dtype.kind in "fiu" else np.array(np.nan)
        if levels.ndim > 1 or not levels.size or not ((levels > 0) & (levels < 1)).all():
            raise AutotrainError(
                f"q: expected levels greater than 0 and less than 1, however: {q}. "
                "0.05 is the level below which one value in twenty lies."
            )
        found = mixture.quantiles(self._kept(), self.noise, torch.tensor(np.atleast_1d(levels)))
        return found.numpy() if levels.ndim else found[:, 0].numpy()

    def log_likelihood(self, y: Any) -> np.ndarray:
        """Return log p(y | x) of each row `[N]`, in nats per unit of the target.

        Raises: AutotrainError when `y` has another length or the samples were not kept.
        """
        cells = plain(y)
        target, bad = numbers(cells)
        if bad is not None:
            raise AutotrainError(
                f"y: expected numbers, however: row {bad + 1} holds {cells[bad]!r}. Give the "
                "target of the same rows."
            )
        if target.shape != self.mean.shape:
            raise AutotrainError(
                f"y: expected one number for each of the {len(self.mean)} rows, however: its "
                f"shape is {target.shape}. Give the target of the same rows."
            )
        return mixture.log_likelihood(self._kept(), torch.tensor(target), self.noise).numpy()

    def to_dict(self) -> dict[str, np.ndarray]:
        """Return one array `[N]` per column: prediction (`point`), mean, std, …, lower, upper, …"""
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
        """Return `to_dict` as a pandas data frame, rows in the order of the input."""
        return _frame(self.to_dict())

    def _kept(self) -> Tensor:
        if self.n_drawn is not None:
            raise AutotrainError(
                "expected as many samples of each row, however: with a tolerance rows get "
                "different numbers of them. Call predict_distribution(…, samples=True) without it."
            )
        if self.samples is None:
            raise AutotrainError(
                "expected the samples of predict_distribution, however: they were not kept, "
                "being too many or not wanted. Call predict_distribution(…, samples=True)."
            )
        return torch.from_numpy(self.samples)


Distribution = ClassificationDistribution | RegressionDistribution


def class_summary(samples: Tensor, recalibration: Recalibration) -> dict[str, Tensor]:
    """Summarize log-probabilities `[S, N, C]` by the words of `ClassificationDistribution`.

    Args:
        recalibration: what calibrates the mean.
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
        # By Jensen's inequality never below 0; rounding may say otherwise.
        "mutual_information": (entropy - expected).clamp(min=0),
        "variation_ratio": 1 - votes.amax(-1) / len(samples),
    }


def value_summary(samples: Tensor, noise: mixture.Noise, alpha: float) -> dict[str, Tensor]:
    """Summarize predictions `[S, N]` by the words of `RegressionDistribution`."""
    levels = torch.tensor([alpha / 2, 1 - alpha / 2], dtype=torch.float64)
    mean, std = samples.mean(0), mixture.deviation(samples)
    return {"mean": mean, "std": std, "interval": mixture.quantiles(samples, noise, levels)}


def _frame(columns: Mapping[str, np.ndarray]) -> Any:
    # Prediction must not need pandas, so it is not imported before someone wants a frame.
    try:
        pandas = importlib.import_module("pandas")
    except ModuleNotFoundError:
        raise AutotrainError(
            "to_frame: expected pandas to be installed, however: it is not. "
            "Install it, or use to_dict()."
        ) from None
    return pandas.DataFrame(dict(columns))
