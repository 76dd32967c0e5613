"""Estimate how long the end of a run takes, from the times of an export while it runs.

    end = export of the last training + export of the ensemble or winner + test score

While workers use the cores, the wall time of an export is longer than at the end, so its processor
time counts. If other programs use the cores, too, the wall time is still longer, and a part of it
counts. `search/budget.py` reserves the estimate.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from autotrain.bundle import Bundle
from autotrain.data.dataset import Dataset
from autotrain.export.ensemble import ensemble_seconds
from autotrain.export.scoring import COVERAGE_ROWS
from autotrain.export.writer import CALIBRATING

MARGIN = 1.5
"""Factor between the reserved and the expected time, because other processes share the machine."""
IDLE_SHARE = 2 / 3
"""Share of the wall time that remains at the end, when the workers are idle. Two workers and an
export share two cores."""
PASSES = 3
"""Number of times that the check of an export predicts each validation row, dropout off."""


def _processor_and_wall_s() -> tuple[float, float]:
    return time.process_time(), time.monotonic()


class StageTimes:
    """The time that each stage of an export will take at the end of a run.

    Args:
        on_stage: called with the name of each stage.
        now: returns the processor time and the wall time in seconds.
    """

    def __init__(
        self,
        on_stage: Callable[[str], None],
        now: Callable[[], tuple[float, float]] = _processor_and_wall_s,
    ) -> None:
        self._on_stage = on_stage
        self._now = now
        self._begun = now()
        self._entered: list[tuple[str, tuple[float, float]]] = []

    def enter(self, stage: str) -> None:
        """Record the start of a stage, which is the end of the stage before."""
        self._entered.append((stage, self._now()))
        self._on_stage(stage)

    def total_s(self) -> float:
        """Return the seconds of all stages so far."""
        return _expected_s(self._begun, self._now())

    def seconds_in(self, stage: str) -> float:
        """Return the seconds of a stage; the last one lasts until now."""
        ends = [*(start for _, start in self._entered[1:]), self._now()]
        return sum(
            _expected_s(start, end)
            for (name, start), end in zip(self._entered, ends, strict=True)
            if name == stage
        )

    def scoring_seconds(self, bundle: Bundle, dataset: Dataset) -> float:
        """Estimate the seconds of scoring the exported model on the test rows.

        The calibration draws the same number of samples for each of its rows. The rest of an
        export predicts the validation rows with the networks of one fold, and reads and writes the
        bundle about three times, like the score.
        """
        if not dataset.n_test:
            return 0.0
        sampled_s = self.seconds_in(CALIBRATING)
        rest_s = self.total_s() - sampled_s
        n_calibrated = max(int(bundle.calibration.get("n_rows", 0)), 1)
        n_sampled = min(dataset.n_test, COVERAGE_ROWS) / n_calibrated
        n_predicted = dataset.n_test * len(dataset.folds) / (PASSES * dataset.n_validated)
        return sampled_s * n_sampled + rest_s * max(n_predicted, 1.0)


def _expected_s(start: tuple[float, float], end: tuple[float, float]) -> float:
    """Return the expected seconds at the end of a run, from processor and wall time now."""
    processor_s, wall_s = (after - before for before, after in zip(start, end, strict=True))
    return max(processor_s, IDLE_SHARE * wall_s)


def end_seconds(n_members: int, n_candidates: int, export_s: float, scoring_s: float) -> float:
    """Return an upper estimate of the seconds that the end of a run takes.

    Args:
        n_members: largest number of members of the ensemble; below 2 for the winner alone.
        n_candidates: number of checkpoints.
        export_s: seconds of the export of one model.
        scoring_s: the same of its test score; 0 if it is not scored.
    """
    last_s = export_s
    final_s = max(ensemble_seconds(n_members, n_candidates, export_s), export_s)
    return MARGIN * (last_s + final_s + max(n_members, 1) * scoring_s)
