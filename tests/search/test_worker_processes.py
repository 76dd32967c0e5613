"""Worker processes: started from any kind of program, ended with it, and independent of it."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
from pathlib import Path

import pytest

from autotrain import validation as arguments
from autotrain.search.attributes import Cause
from autotrain.search.workers.processes import OWN_FOLDER, ProcessWorker, can_start_processes
from autotrain.search.workers.protocol import Close, Crashed
from autotrain.validation import default_workers, n_cores

PROGRAM = """
from autotrain.search.workers.processes import ProcessWorker
from autotrain.search.workers.protocol import Close

print("started")
worker = ProcessWorker("cpu", "worker 1")
worker.send(Close())
print("exit code", worker.process.wait())
"""


@pytest.mark.parametrize("way", ["script", "stdin"])
def test_programs_without_a_guard_start_workers(tmp_path: Path, way: str) -> None:
    (tmp_path / "script.py").write_text(PROGRAM)
    # A Python file of the user that is named like a module of the standard library.
    (tmp_path / "signal.py").write_text("raise ImportError('the user has a file of this name')")
    done = subprocess.run(
        [sys.executable, "-P", {"script": "script.py", "stdin": "-"}[way]],
        input=PROGRAM,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(Path(arguments.__file__).parents[1])},
        capture_output=True,
        text=True,
    )
    assert done.stdout == "started\nexit code 0\n", done.stderr


def test_worker_does_not_search_modules_in_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As at a prompt or in a notebook; autotrain itself is found through nothing else here.
    for module in ("signal", "tokenize", "numpy"):
        (tmp_path / f"{module}.py").write_text("open('ran', 'w').close()\nraise ImportError")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", ["", *(each for each in sys.path if each != OWN_FOLDER)])
    worker = ProcessWorker("cpu", "worker 1")
    worker.send(Close())
    assert worker.process.wait() == 0
    assert not (tmp_path / "ran").exists()
    worker.close()


def test_process_of_a_pool_may_start_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(multiprocessing.current_process(), "_config", {"daemon": True})
    worker = ProcessWorker("cpu", "worker 1")
    worker.send(Close())
    assert worker.process.wait() == 0
    worker.close()


def test_process_of_a_pool_uses_one_core_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    assert default_workers() == n_cores()
    monkeypatch.setattr("autotrain.validation.n_cores", lambda: 8)
    assert default_workers() == 8
    monkeypatch.setattr(multiprocessing.current_process(), "_config", {"daemon": True})
    assert default_workers() == 1


def test_worker_of_joblib_uses_one_core_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    loky = type("Process", (), {"daemon": False, "__module__": "joblib.externals.loky.process"})
    monkeypatch.setattr("autotrain.validation.n_cores", lambda: 8)
    monkeypatch.setattr(multiprocessing, "current_process", loky)
    assert default_workers() == 1


def test_frozen_program_starts_no_interpreter(monkeypatch: pytest.MonkeyPatch) -> None:
    assert can_start_processes()
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    assert not can_start_processes()


def test_process_that_is_killed_is_noticed() -> None:
    worker = ProcessWorker("cpu", "worker 7")
    worker.process.kill()
    worker.process.wait()
    (crashed,) = worker.receive()
    assert "worker 7" in crashed.text  # type: ignore[union-attr]
    worker.close()


@pytest.mark.parametrize(("n_after", "cause"), [(3, Cause.WORKER_DIED), (4, Cause.OUT_OF_MEMORY)])
def test_process_that_the_system_ended_was_out_of_memory(
    n_after: int, cause: Cause, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Linux counts the processes that it has ended because its memory was full."""
    vmstat = tmp_path / "vmstat"
    vmstat.write_text("pgfault 7\noom_kill 3\n")
    monkeypatch.setattr("autotrain.search.workers.processes.VMSTAT", vmstat)
    worker = ProcessWorker("cpu", "worker 1")
    vmstat.write_text(f"pgfault 9\noom_kill {n_after}\n")
    worker.process.kill()
    worker.process.wait()
    (crashed,) = worker.receive()
    assert isinstance(crashed, Crashed)
    assert crashed.cause == cause
    worker.close()
