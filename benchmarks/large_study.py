"""Measures `show`, `report`, `resume` and the dashboard on a study of many trials, per storage.

    python -m benchmarks.large_study [--trials 10000] [--points 30] [--storages journal sqlite ...]

The trials are copies of one that was trained, with other parameters and longer curves. They are
written directly, without a search. Each line has processor time and wall time in seconds:

    show       all that `autotrain show NAME` reads
    report     load the table, compute the report of the study and write it
    open       open the study for writing, as `resume` and `search` do
    resume     open it, recover it, sample and train one trial, and export
    dashboard  the answer of the dashboard with all trials and curves
"""

from __future__ import annotations

import argparse
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.trial import FrozenTrial, TrialState

import autotrain
from autotrain.reporting.dashboard import Dashboard
from autotrain.reporting.status import read_status
from autotrain.search.attributes import IDENTITY, ORIGIN
from autotrain.search.record import origin
from autotrain.search.storage.buffer import Change, End
from autotrain.search.storage.buffered import BufferedStorage
from tests.search.storage.servers import KINDS

BATCH = 500
NAME = "large"


def add_trials(study: optuna.Study, storage: BufferedStorage, n: int, n_points: int) -> None:
    """Write copies of the first trial."""
    generator = np.random.default_rng(0)
    template = study.trials[0]
    identity = {IDENTITY: study.user_attrs[IDENTITY]}
    study_id, last, count = study._study_id, study.trials[-1]._trial_id, len(study.trials)
    while count < n:
        changes: list[Change] = []
        whole: dict[int, FrozenTrial] = {}
        for _ in range(min(BATCH, n - count)):
            trial = storage._trials.begin(study_id, (last, count), {})
            last, count = trial._trial_id, trial.number + 1
            change = Change.whole(template)
            change.trial_id = last
            for name, (value, kind) in change.params.items():
                if isinstance(kind, optuna.distributions.FloatDistribution):
                    low, high = kind.low, kind.high
                    change.params[name] = (float(generator.uniform(low, high)), kind)
                else:
                    change.params[name] = (value, kind)
            change.user_attrs[ORIGIN] = origin(identity, trial.number)
            value = float(generator.uniform(0.5, 2))
            curve = value + 1 / np.arange(1, n_points + 1)
            change.intermediate_values = {step + 1: float(v) for step, v in enumerate(curve)}
            change.intermediate_values[n_points] = value
            assert template.datetime_complete is not None
            change.end = End(TrialState.COMPLETE, [value], template.datetime_complete)
            changes.append(change)
            whole[last] = trial
        storage._trials.write(changes, whole, study_id)
    storage.commit()


def seconds(call: Callable[[], Any]) -> tuple[float, float]:
    """Return the processor time of this process and the wall time of a call."""
    start_s, used_s = time.perf_counter(), time.process_time()
    call()
    return time.process_time() - used_s, time.perf_counter() - start_s


def dashboard_seconds(folder: Path, url: str | None) -> tuple[float, float]:
    """Return the time of the answer with all trials."""
    page = Dashboard(folder, port=0, storage=url)
    thread = threading.Thread(target=page.serve)
    thread.start()
    try:
        cookies = urllib.request.HTTPCookieProcessor()
        browser = urllib.request.build_opener(urllib.request.ProxyHandler({}), cookies)
        browser.open(page.address).close()
        address = page.address.partition("?")[0].replace("/dashboard/", "/api/")

        def read() -> None:
            with browser.open(address) as answer:
                # Read only: a browser parses it in a process of its own.
                assert b'"trials": [{' in answer.read()

        return seconds(read)
    finally:
        page.stop()
        thread.join()
        page.close()


def measure(
    directory: Path, url: str | None, n_trials: int, n_points: int
) -> dict[str, tuple[float, float]]:
    """Return the times of a study in one storage."""
    storage = url
    options: dict[str, Any] = {"workers": 1, "device": "cpu", "finalists": 0, "ensemble": 0}
    with autotrain.Study(
        NAME,
        data="sklearn:iris",
        space={"extends": "quick", "training": {"epochs": 5}},
        storage=storage,
        directory=directory,
        validation="holdout",
        **options,
    ) as study:
        study.optimize(n_trials=1, quiet=True)
        opened = study._open()
        assert isinstance(opened, BufferedStorage)
        add_trials(study.optuna_study, opened, n_trials, n_points)
    folder = directory / NAME
    times = {"show": seconds(lambda: read_status(folder, url))}
    with autotrain.Study.resume(NAME, storage=url, directory=directory, workers=1) as study:
        times["report"] = seconds(study.report)
    times["dashboard"] = dashboard_seconds(folder, url)
    with autotrain.Study.resume(NAME, storage=url, directory=directory, workers=1) as study:
        times["open"] = seconds(lambda: study.optuna_study)
    with autotrain.Study.resume(NAME, storage=url, directory=directory, workers=1) as study:
        times["resume"] = seconds(lambda: study.optimize(n_trials=1, quiet=True))
    return times


def main() -> None:
    """Print one line per storage."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=10_000)
    parser.add_argument("--points", type=int, default=30)
    parser.add_argument("--storages", nargs="*", default=["journal", "sqlite", *KINDS])
    arguments = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    for kind in arguments.storages:
        server = KINDS[kind]() if kind in KINDS else None
        try:
            with tempfile.TemporaryDirectory() as folder:
                url = f"sqlite:///{folder}/study.db" if kind == "sqlite" else None
                url = server.url() if server is not None else url
                times = measure(Path(folder), url, arguments.trials, arguments.points)
        finally:
            if server is not None:
                server.remove()
        words = "  ".join(f"{name} {cpu:.1f}/{wall:.1f}" for name, (cpu, wall) in times.items())
        print(f"{kind:10} {words}", flush=True)


if __name__ == "__main__":
    main()
