"""Runs the command line in this process, and notes when its trainings began and were heard of."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def run_noted(events: Path, arguments: Sequence[str], profile: str | None = None) -> int:
    """Run a command with searches in this process, and write what its workers did.

    Args:
        events: JSON file that is written: `runs` with one entry per training, `n_workers`, and
            `epochs` with one entry per report of an epoch: seconds of the monotonic clock, and the
            processor seconds that this process had used, without those for exports.
        arguments: the command's arguments.
        profile: file for a profile of this process, without the workers.

    Returns:
        The exit code of the command.
    """
    from autotrain.cli.main import main
    from autotrain.search.run import Run
    from autotrain.search.slots import Slots
    from autotrain.search.training_run import TrainingRun
    from autotrain.training.slot import EpochReport

    runs: dict[int, TrainingRun] = {}
    heard: dict[int, float] = {}
    epochs: list[tuple[float, float]] = []
    exports_s = 0.0
    admit, hear, publish = Slots.admit, TrainingRun.hear, Run._publish

    def noted_admit(slots: Slots, run: TrainingRun) -> None:
        admit(slots, run)
        runs[run.slots[0]] = run

    def noted_hear(run: TrainingRun, report: EpochReport, sign: float) -> None:
        hear(run, report, sign)
        heard[run.slots[0]] = report.at_s
        epochs.append((report.at_s, time.process_time() - exports_s))

    def noted_publish(*arguments: Any) -> None:
        nonlocal exports_s
        before_s = time.process_time()
        publish(*arguments)
        exports_s += time.process_time() - before_s

    Slots.admit = noted_admit  # type: ignore[method-assign,assignment]
    TrainingRun.hear = noted_hear  # type: ignore[method-assign,assignment]
    Run._publish = noted_publish  # type: ignore[method-assign,assignment]
    sys.argv = ["autotrain", *arguments]
    if profile is None:
        code = main()
    else:
        import cProfile

        profiler = cProfile.Profile()
        code = profiler.runcall(main)
        profiler.dump_stats(profile)
    found = [
        {
            "worker": run.worker.name,
            "repeat": run.repeat,
            "begun_s": run.started_s,
            "heard_s": heard.get(slot, run.started_s),
        }
        for slot, run in runs.items()
    ]
    n_workers = len({run["worker"] for run in found})
    events.write_text(json.dumps({"runs": found, "n_workers": n_workers, "epochs": epochs}))
    return code
