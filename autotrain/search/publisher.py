"""The interface through which a search exports, so that it does not depend on the export.

`export/best_model.py` implements it, `study.py` connects the two.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import optuna

from autotrain.search.checkpoints import Checkpoints
from autotrain.search.trained import Trained


class Published(NamedTuple):
    """The result of an export.

    Args:
        notes: what the user should know about the exported model; None when the folder already had
            the right model.
        failures: which models could not be exported, and why.
    """

    notes: tuple[str, ...] | None
    failures: tuple[str, ...] = ()


class Publisher(Protocol):
    """Exports trained models while a search runs."""

    @property
    def checkpoints(self) -> Checkpoints:
        """The weights of the leading trials."""

    def publish(self, trained: Trained, *others: Trained) -> tuple[str, ...]:
        """Export a trial's model, alone or averaged with others; return notes for the user."""

    def restore(self, study: optuna.Study, device: str) -> Published:
        """Export the study's winner unless the folder has a model of the study."""

    def seconds_for_export(self, export_s: float) -> float:
        """Return the longest time in seconds that the export at the end takes.

        Args:
            export_s: processor time in seconds of the export of one model.
        """
