"""benchmarks/faults.py: it finds each kind of mistake, and a few faults cause none."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from optuna.distributions import FloatDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

from autotrain.search.attributes import CAUSE, IDENTITY, ORIGIN, RETRY_OF, Cause
from benchmarks import faults
from benchmarks.faulting import audit
from benchmarks.faulting.launch import processes_of
from benchmarks.faulting.run import Result
from benchmarks.faulting.table import FAULTS
from tests.winners import random_bundle, save

ROOT = Path(__file__).resolve().parents[1]
ATTRIBUTES = {IDENTITY: {"id": "a", "since": 0}}


def trial(number: int, value: float = 1.0, x: float | None = None, **attrs: Any) -> FrozenTrial:
    cause = attrs.pop(CAUSE, Cause.EPOCHS)
    found = create_trial(
        state=TrialState.FAIL if cause == Cause.INTERRUPTED else TrialState.COMPLETE,
        value=None if cause == Cause.INTERRUPTED else value,
        params={"x": float(number) if x is None else x},
        distributions={"x": FloatDistribution(0, 100)},
        intermediate_values={1: value},
        user_attrs={CAUSE: cause, ORIGIN: f"a/{number}", **attrs},
    )
    found.number = number
    return found


TRIALS = [trial(0), trial(1, cause=Cause.INTERRUPTED), trial(2, 0.5, x=1.0, retry_of=1)]


def test_trials_in_order_are_no_mistake() -> None:
    before = audit.ended(TRIALS[:1])
    assert before.keys() == {0}
    assert audit.lost(before, TRIALS, 2) == []
    assert audit.doubled(TRIALS, 2) == []
    assert audit.shown_and_lost(2, TRIALS) == []


def test_lost_trials_are_found() -> None:
    before = audit.ended(TRIALS)
    assert audit.lost(before, TRIALS[:2], 2) == ["trial 2 changed", "1 of 2 trials are counted"]
    assert audit.lost(before, [*TRIALS[:2], trial(2, 0.6, x=1.0)], 2) == ["trial 2 changed"]
    TRIALS[0].state, state = TrialState.RUNNING, TRIALS[0].state
    try:
        assert "trials [0] are marked as running" in audit.lost({}, TRIALS, 1)
    finally:
        TRIALS[0].state = state
    assert audit.shown_and_lost(3, TRIALS)


def test_doubled_trials_are_found() -> None:
    again = trial(3, x=1.0)
    assert audit.doubled([*TRIALS, again], 3) == ["trials 2 and 3 have the same parameters"]
    assert audit.doubled([*TRIALS, trial(3)], 2) == ["3 trials are counted, the budget has 2"]
    beside = trial(3, **{RETRY_OF: 2})
    assert audit.doubled([*TRIALS, beside], 3) == ["trial 3 counts besides the one that it repeats"]


def test_wrong_winner_and_a_broken_model_are_found(tmp_path: Path) -> None:
    save(random_bundle(), tmp_path / "best")
    trials = [trial(number, abs(number - 3)) for number in range(5)]
    assert audit.wrong_winner(tmp_path, trials, ATTRIBUTES, 0) == []
    trials[0] = trial(0, -1.0)
    assert audit.wrong_winner(tmp_path, trials, ATTRIBUTES, 0) == [
        "the model is that of trial 3, not of 0"
    ]
    assert audit.wrong_winner(tmp_path, [], ATTRIBUTES, 0) == ["no trial is complete"]
    rows = pd.DataFrame(np.zeros((4, 5)), columns=[f"x{n}" for n in range(5)])
    (found,) = audit.unloadable(tmp_path, trials, ATTRIBUTES, (rows, ["a", "b", "c", "a"]))
    assert found.endswith("recorded is 0")
    (path,) = (tmp_path / "best").glob("*.safetensors")
    path.write_bytes(path.read_bytes()[:-1])
    (found,) = audit.unloadable(tmp_path, trials, ATTRIBUTES, (rows, ["a", "b", "c", "a"]))
    assert found.startswith("the model cannot be used")


def test_files_and_processes_that_are_left_are_found(tmp_path: Path) -> None:
    study, temporary = tmp_path / "s", tmp_path / "temporary"
    (study / "checkpoints").mkdir(parents=True)
    temporary.mkdir()
    (study / "journal.log").touch()
    (study / "checkpoints" / "trial-3-0.safetensors").touch()
    assert audit.left_files(study, temporary) == []
    left = [study / ".trials.json", study / "checkpoints" / ".x", temporary / "y"]
    for path in left:
        path.touch()
    assert sorted(audit.left_files(study, temporary)) == sorted(f"left: {path}" for path in left)
    with subprocess.Popen(["sleep", "60"], start_new_session=True) as process:
        assert processes_of(process.pid) == [process.pid]
        process.kill()
    assert processes_of(process.pid) == []


def test_table_counts_runs_with_mistakes() -> None:
    good = Result("kill", 0, recover_s=1.0)
    bad = Result("kill", 1, lost=["a", "b"], recover_s=3.0)
    text = faults.table([good.to_json(), bad.to_json()], FAULTS[:2])
    assert text.splitlines()[2:] == [
        f"| {FAULTS[0].text} | 2 | 2 | 1 | 0 | 0 | 0 | 0 | 0 | 2.0 | 3.0 |",
        "| all | 2 | 2 | 1 | 0 | 0 | 0 | 0 | 0 | 2.0 | 3.0 |",
    ]
    assert not bad.is_good()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the benchmark reads /proc")
def test_faults_lose_nothing(tmp_path: Path) -> None:
    names = ["kill", "ctrl_c", "memory_error", "journal_cut"]
    output = tmp_path / "results.jsonl"
    command = [sys.executable, "-m", "benchmarks.faults", "--only", ",".join(names)]
    done = subprocess.run(
        [*command, "--runs", "1", "--output", str(output)],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1", "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    results = [json.loads(line) for line in output.read_text().splitlines()]
    assert [result["fault"] for result in results] == names
    assert list(tmp_path.iterdir()) == [output]
    # A benchmark that was stopped continues with the missing runs.
    assert faults.run_all(FAULTS[:1], 1, output) == 0
    assert len(faults.results_of(output)) == len(names)
