"""Notices about a Monte-Carlo prediction whose intervals or sets are not as good as they look.

Each function returns sentences for the user, none where all is well. To add a notice: write a
function and add its result to `notices_of`.
"""

from __future__ import annotations

from collections.abc import Sequence

from autotrain.bundle import Bundle
from autotrain.predictor import conformal
from autotrain.predictor.arguments import LEAST_SAMPLES

Scores = Sequence[conformal.ConformalScores] | None


def notices_of(
    bundle: Bundle, scores: Scores, *, n_samples: int, alpha: float, per_class: bool
) -> list[str]:
    """Return all notices about a call of `Predictor.predict_distribution`."""
    too_few_rows = _too_few_rows_of_a_class if per_class else _too_few_rows
    return [
        *too_few_rows(bundle, scores, alpha),
        *_too_few_samples(bundle, scores, n_samples),
        *_predicts_a_quantile(bundle),
    ]


def _too_few_rows(bundle: Bundle, scores: Scores, alpha: float) -> list[str]:
    if not scores or not conformal.are_too_few(scores, alpha):
        return []
    answers, everything = (
        ("prediction sets", "all classes")
        if bundle.is_classification
        else ("conformal intervals", "all numbers")
    )
    return [
        f"{answers} with alpha = {alpha:g} contain {everything}, because they need at least "
        f"{conformal.least_rows(alpha)} calibration rows and the bundle has "
        f"{conformal.n_effective(scores):.0f}"
    ]


def _too_few_rows_of_a_class(bundle: Bundle, scores: Scores, alpha: float) -> list[str]:
    if not scores:
        return []
    few = [
        str(name)
        for label, name in enumerate(bundle.classes)
        if conformal.are_too_few([of_fold.of_class(label) for of_fold in scores], alpha)
    ]
    if not few:
        return []
    return [
        f"prediction sets by class with alpha = {alpha:g} always contain {', '.join(few)}, because "
        f"each class needs at least {conformal.least_rows(alpha)} calibration rows"
    ]


def _too_few_samples(bundle: Bundle, scores: Scores, n_samples: int) -> list[str]:
    """Compare with the number of samples that conformal intervals were fitted with."""
    if bundle.is_classification or scores is None:
        return []
    fitted = int(bundle.calibration.get("n_samples", 0))
    if n_samples >= min(LEAST_SAMPLES, fitted):
        return []
    return [
        f"conformal intervals were fitted with {fitted} samples and may be too narrow with "
        f"{n_samples}; use at least {LEAST_SAMPLES}"
    ]


def _predicts_a_quantile(bundle: Bundle) -> list[str]:
    """Report that only conformal intervals suit a model that was chosen by `pinball:Q`."""
    if bundle.quantile is None:
        return []
    return [
        f"the model predicts the {bundle.quantile:g} quantile: conformal intervals keep their "
        "coverage, but the mixture's intervals and likelihoods assume symmetric noise around that "
        "quantile"
    ]
