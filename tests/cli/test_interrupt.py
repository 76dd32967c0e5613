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

from autotrain.leaderboard import read_standing
from autotrain.study.ledger import INTERRUPTED, NOT_STARTED, RETRY_OF
from tests.cli.conftest import Run

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


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
def test_an_interrupted_search_goes_on(here: Path, autotrain: Run, signum: int) -> None:
    study = here / "studies" / "shop"
    (here / "space.toml").write_text(
        (here / "space.toml").read_text().replace("epochs = 4", "epochs = 400")
        + "[early_stopping]\npatience = 1000\n"
    )
    n_workers = "2" if signum == signal.SIGINT else "1"
    words = ["search", "shop.csv", "--target", "bought", "--space", "space.toml"]
    words += ["--pruner", "none", "--workers", n_workers, "--device", "cpu", "--trials", "40"]
    process = start(*words)

    def is_training() -> bool:
        journal = study / "journal.log"
        return journal.is_file() and journal.read_text().count("intermediate_value") >= 4

    wait_for(is_training, process)
    assert read_standing(study).state == "running"
    if signum == signal.SIGINT:
        os.killpg(process.pid, signum)
    else:
        process.send_signal(signum)
    out, err = process.communicate(timeout=PATIENCE_S)

    assert process.returncode == 130, err
    assert out == ""
    assert "Traceback" not in err
    assert "Interrupted; everything is saved." in err
    assert "\n  autotrain resume shop\n" in err
    before = trials_of(study)
    # Besides those in training, one may have been asked for and not begun.
    cut = [t for t in before if t.user_attrs.get("cause") in (INTERRUPTED, NOT_STARTED)]
    assert len(cut) >= 2
    assert all(t.state.is_finished() or t.state.name == "WAITING" for t in before)
    standing = read_standing(study)
    assert standing.state == "stopped"
    assert standing.left.n_trials == 40 - standing.n_trials

    done = autotrain("resume", "shop", "--trials", 1, "--workers", 1, "--quiet", "--json")

    assert done.code == 0, done.err
    after = trials_of(study)
    retried = {t.user_attrs[RETRY_OF]: t for t in after if RETRY_OF in t.user_attrs}
    assert {t.number for t in cut} == retried.keys()
    for trial in cut:
        again = retried[trial.number]
        params = again.params or again.system_attrs["fixed_params"]
        assert params == trial.params
    assert sum(done.json()["trials"].values()) == standing.n_trials + 1
