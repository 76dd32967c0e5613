"""Ctrl-C in a search with worker processes: state saved, resume goes on, no trial lost."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import optuna
import pytest

from autotrain.reporting.display import PlainLines
from autotrain.reporting.status import read_status
from autotrain.search.attributes import RETRY_OF, Cause
from autotrain.search.progress import Progress
from tests.cli.conftest import Done, Run

PATIENCE_S = 120


def start(*words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "autotrain.cli.main", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])},
        # A group of its own gets the signal as a terminal would send it; where the tests run in
        # the background Ctrl-C may be ignored.
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )


def wait_for(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not condition():
        if process.poll() is not None or time.monotonic() > end:
            process.kill()
            pytest.fail(f"ended before: {process.communicate()}")
        time.sleep(0.05)


def trials_of(study: Path) -> list[optuna.trial.FrozenTrial]:
    backend = optuna.storages.journal.JournalFileBackend(str(study / "journal.log"))
    storage = optuna.storages.JournalStorage(backend)
    return optuna.load_study(study_name=study.name, storage=storage).trials


@pytest.fixture
def study(here: Path) -> Path:
    """Give the folder of a study to come, whose trials take long."""
    (here / "space.toml").write_text(
        (here / "space.toml").read_text().replace("epochs = 4", "epochs = 400")
        + "[early_stopping]\npatience = 1000\n"
    )
    return here / "studies" / "shop"


SEARCH = ["search", "shop.csv", "--target", "bought", "--space", "space.toml", "--pruner", "none"]
SEARCH += ["--device", "cpu", "--trials", "40", "--validation", "holdout"]


def test_ctrl_c_in_a_terminal_saves_everything(study: Path, autotrain: Run) -> None:
    process = start(*SEARCH, "--workers", "2")

    def is_training() -> bool:
        journal = study / "journal.log"
        return journal.is_file() and journal.read_text().count("intermediate_value") >= 4

    wait_for(is_training, process)
    assert read_status(study).state == "running"
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=PATIENCE_S)

    was_interrupted(study, autotrain, Done(process.returncode, out, err))


def test_sigterm_is_handled_as_ctrl_c(
    study: Path, autotrain: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def end(lines: PlainLines, progress: Progress) -> None:
        if progress.epochs > 10:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(PlainLines, "update", end)
    done = autotrain(*SEARCH, "--workers", "1")
    monkeypatch.undo()
    monkeypatch.chdir(study.parents[1])

    was_interrupted(study, autotrain, done)


def was_interrupted(study: Path, autotrain: Run, done: Done) -> None:
    """Check what the search left and said, go on with it, check that no trial is lost."""
    assert done.code == 130, done.err
    assert done.out == ""
    assert "Traceback" not in done.err
    assert "Interrupted; everything is saved." in done.err
    assert "\n  autotrain resume shop\n" in done.err
    before = trials_of(study)
    # Besides those in training, one may have been asked for and not begun.
    cut = [t for t in before if t.user_attrs.get("cause") in (Cause.INTERRUPTED, Cause.NOT_STARTED)]
    assert len(cut) >= 2
    assert all(t.state.is_finished() or t.state.name == "WAITING" for t in before)
    status = read_status(study)
    assert status.state == "stopped"
    assert status.left.n_trials == 40 - status.n_trials

    resumed = autotrain("resume", "shop", "--trials", 1, "--workers", 1, "--quiet", "--json")

    assert resumed.code == 0, resumed.err
    after = trials_of(study)
    retried = {t.user_attrs[RETRY_OF]: t for t in after if RETRY_OF in t.user_attrs}
    assert {t.number for t in cut} == retried.keys()
    for trial in cut:
        again = retried[trial.number]
        assert (again.params or again.system_attrs["fixed_params"]) == trial.params
    assert sum(resumed.json()["trials"].values()) == status.n_trials + 1


def test_closed_terminal_is_handled_as_ctrl_c(
    study: Path, autotrain: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)

    def end(lines: PlainLines, progress: Progress) -> None:
        if progress.epochs > 10:
            os.kill(os.getpid(), signal.SIGHUP)

    monkeypatch.setattr(PlainLines, "update", end)
    try:
        done = autotrain(*SEARCH, "--workers", "1")
    finally:
        signal.signal(signal.SIGHUP, before)
    assert done.code == 130, done.err
    assert "Interrupted; everything is saved." in done.err
    assert read_status(study).state == "stopped"


def test_nohup_keeps_a_search_running(here: Path, autotrain: Run) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        autotrain("show")
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)
