"""The protocol by which a search exports models, so that it does not depend on `autotrain.export`.

`export/best_model.py` implements it, `study.py` connects the two.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from autotrain.bundle import Bundle
from autotrain.search.checkpoints import Checkpoints
from autotrain.search.trained import Trained


@dataclass(frozen=True)
class Published:
    """The result of an export.

    Args:
        bundle: the exported model; None when the folder already contained the right model, or
            nothing could be exported.
        notes: what the user should know about the exported model.
        failures: which models could not be exported, and why.
        export_s: seconds that the export would take with idle workers.
        scoring_s: estimated seconds of scoring the model on the test rows.
    """

    bundle: Bundle | None = None
    notes: tuple[str, ...] = ()
    failures: tuple[str, ...] = ()
    export_s: float = 0.0
    scoring_s: float = 0.0


class Publisher(Protocol):
    """Exports trained models while a search runs."""

    @property
    def checkpoints(self) -> Checkpoints:
        """The weights of the leading trials."""

    def publish(self, trained: Trained, *others: Trained) -> Published:
        """Export a trained model, or the ensemble of several."""

    def restore(self) -> Published:
        """Export the study's winner unless the folder has a model of the study."""

    def seconds_for_export(self, export_s: float, scoring_s: float) -> float:
        """Return an upper estimate of the seconds that the end of a run takes.

        Args:
            export_s: seconds of the export of one model.
            scoring_s: the same of its test score; 0 if it is not scored.
        """
