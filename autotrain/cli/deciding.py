"""Apply the option `--threshold` to a model."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from autotrain.validation import number_or_text

if TYPE_CHECKING:
    from autotrain.predictor import Predictor

NONE = "none"
"""The most probable class instead of a threshold."""


def check_positive(positive: str | None, threshold: str | None) -> None:
    """Check that `--positive` is not given without a threshold, where it would have no effect."""
    if positive is not None and threshold in (None, NONE):
        raise click.BadParameter(
            f"needs --threshold, which it is for, got {positive} alone.", param_hint="--positive"
        )


def decided(
    predictor: Predictor, threshold: str | None, positive: str | None, notices: list[str]
) -> Predictor:
    """Return the model with the decision threshold of `--threshold`.

    Args:
        predictor: the model.
        threshold: a goal, a probability or "none"; None for the threshold that the model has.
        positive: label of the positive class; None for the default.
        notices: receives a sentence about a threshold that was chosen here.
    Raises: AutotrainError when the threshold or the positive class is not possible.
    """
    from autotrain.predictor.thresholds import Goal

    if threshold is None:
        return predictor
    if threshold == NONE:
        return predictor.with_threshold(None)
    value = number_or_text(threshold)
    if isinstance(value, float):
        return predictor.with_threshold(value, positive=positive)
    found = predictor.threshold(**Goal.parse(threshold).arguments(), positive=positive)
    low, high = found.interval or (found.value, found.value)
    shown = ", ".join(
        f"{name} {value:.3g}"
        for name in ("precision", "recall", "cost")
        if (value := found.metrics.get(name)) is not None
    )
    notices.append(
        f"{found.positive} is predicted from a probability of {found.value:.4g} on (95 % bootstrap "
        f"interval {low:.4g} to {high:.4g}), chosen for {found.goal} on {found.n_rows:,} held-out "
        f"rows, with {shown} on these"
    )
    return predictor.with_threshold(found)
