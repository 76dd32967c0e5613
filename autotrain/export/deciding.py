"""Choose the decision threshold of a study again for each model that is exported."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from autotrain.bundle import Bundle
from autotrain.errors import AutotrainError
from autotrain.predictor import Predictor
from autotrain.predictor.thresholds import Goal


class GoalOfStudy:
    """Adds the decision threshold that a study asks for to a bundle.

    Args:
        wanted: `goal` and `positive`, see `search.attributes.THRESHOLD`; None: no threshold.
    """

    def __init__(self, wanted: Mapping[str, Any] | None) -> None:
        self.wanted = wanted
        self.notes: tuple[str, ...] = ()
        """A sentence if this model cannot have the threshold."""

    def __call__(self, bundle: Bundle) -> Bundle:
        """Return the bundle with the threshold, or as it is if no threshold reaches the goal."""
        if self.wanted is None:
            return bundle
        predictor, goal = Predictor(bundle), Goal.parse(self.wanted["goal"])
        try:
            found = predictor.threshold(**goal.arguments(), positive=self.wanted["positive"])
        except AutotrainError as error:
            self.notes = (f"The model has no decision threshold: {error}",)
            return bundle
        return predictor.with_threshold(found).bundle
