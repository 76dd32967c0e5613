"""A search pauses while its disk is full, and loses nothing, whatever ends the pause."""

from __future__ import annotations

import errno
import json
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy
from optuna.study import StudyDirection
from optuna.trial import TrialState

import autotrain
from autotrain.bundle import full_disk, own_files
from autotrain.bundle.full_disk import waiting
from autotrain.errors import StorageError
from autotrain.search.progress import Progress
from autotrain.search.storage.lock import is_held
from autotrain.search.storage.open import open_storage
from autotrain.search.storage.shared import SharedStorage

SPACE = {
    "network": {"hidden_layers": 1, "hidden_units": {"choices": [4, 8]}},
    "optimizer": {"choices": ["adam"], "learning_rate": {"low": 1e-3, "high": 1e-2, "log": True}},
    "training": {"batch_size": 32, "epochs": 3},
}
N_TRIALS = 5
N_REFUSED = 3


class Disk:
    """A disk that is full at times, for the journal and for all other files of a study.

    Args:
        is_full: whether a file, such as "journal.log", does not fit at the moment.
    """

    def __init__(self, is_full: Callable[[str], bool]) -> None:
        self.is_full = is_full
        self.refused: list[str] = []
        self.n_writes = 0
        self._write = os.write
        self._open_own = own_files.open_own

    def install(self, patch: pytest.MonkeyPatch) -> None:
        patch.setattr(os, "write", self.write)
        patch.setattr(own_files, "open_own", self.open_own)
        patch.setattr(full_disk, "RETRY_S", 0.001)
        patch.setattr(full_disk, "GRACE_S", 0.005)

    def write(self, fd: int, data: bytes) -> int:
        """Write; when the journal does not fit, a half of the data and then nothing."""
        name = Path(f"/dev/fd/{fd}").resolve().name
        if name != "journal.log" or not self.is_full(name):
            return self._write(fd, data)
        self.n_writes += 1
        if self.n_writes % 2:
            return self._write(fd, data[: len(data) // 2])
        self.refused.append(name)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def open_own(self, path: Path, flags: int, mode: int = 0o666) -> int:
        if flags == own_files.NEW and self.is_full(path.name):
            self.refused.append(path.name)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        return self._open_own(path, flags, mode)


class Watcher:
    """An observer that keeps the messages about a full disk."""

    def __init__(self, on_message: Callable[[], None] = lambda: None) -> None:
        self.on_message = on_message
        self.messages: list[str] = []
        self.last = ""

    def update(self, progress: Progress) -> None:
        if progress.stage != self.last and " is full: " in progress.stage:
            self.messages.append(progress.stage)
            self.on_message()
        self.last = progress.stage


def interrupt() -> None:
    raise KeyboardInterrupt


def search(folder: Path, watcher: Watcher | None = None, **budget: Any) -> list[Any]:
    """Search in a folder and return the finished trials that were trained."""
    with autotrain.Study(
        "wine", data="sklearn:wine", space=SPACE, workers=1, seed=3, directory=folder
    ) as study:
        study.optimize(**({"n_trials": N_TRIALS} | budget), observer=watcher or Watcher())
        return trained(study)


def trained(study: autotrain.Study) -> list[Any]:
    trials = study.optuna_study.get_trials(deepcopy=False)
    assert all(trial.state != TrialState.RUNNING for trial in trials)
    ends = (TrialState.COMPLETE, TrialState.PRUNED)
    return [(trial.params, trial.values, trial.state) for trial in trials if trial.state in ends]


def is_whole(folder: Path) -> None:
    """Check that the journal has whole lines, and the model can be loaded."""
    lines = (folder / "wine" / "journal.log").read_bytes().splitlines(keepends=True)
    assert all(line.endswith(b"\n") and json.loads(line) for line in lines)
    assert not list((folder / "wine").glob(".*"))
    autotrain.load(folder / "wine" / "best")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    """Return the trials of a search whose disk is never full."""
    return search(tmp_path_factory.mktemp("undisturbed"))


@pytest.mark.parametrize(
    "name", ["journal.log", "model.safetensors", ".trial-1-0.safetensors", ".trials.json"]
)
def test_search_pauses_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, undisturbed: list[Any], name: str
) -> None:
    is_full = {"now": False}
    disk = Disk(lambda file: file == name and is_full["now"] and len(disk.refused) < N_REFUSED)
    disk.install(monkeypatch)
    watcher = Watcher()
    update = watcher.update

    def fill(progress: Progress) -> None:
        is_full["now"] = is_full["now"] or progress.epochs > 0
        update(progress)

    monkeypatch.setattr(watcher, "update", fill)
    assert search(tmp_path, watcher) == undisturbed
    assert disk.refused == [name] * N_REFUSED
    assert len(watcher.messages) == 1
    is_whole(tmp_path)


@pytest.mark.parametrize("name", ["journal.log", "model.safetensors", ".trial-1-0.safetensors"])
@pytest.mark.parametrize("end", ["time", "Ctrl-C"])
def test_disk_that_stays_full_loses_no_trial(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, undisturbed: list[Any], name: str, end: str
) -> None:
    search(tmp_path, n_trials=1)
    with monkeypatch.context() as patch:
        Disk(lambda file: file == name).install(patch)
        if end == "time":
            patch.setattr("autotrain.study.waiting", lambda notify, left_s: waiting(notify, 0.0))
            watcher = Watcher()
        else:
            watcher = Watcher(interrupt)
        with pytest.raises((StorageError, KeyboardInterrupt)) as raised:
            search(tmp_path, watcher, n_trials=N_TRIALS - 1)
    # After Ctrl-C, only what cannot be saved is an error.
    assert (raised.type is KeyboardInterrupt) == (end == "Ctrl-C" and name != "journal.log")
    assert len(watcher.messages) == 1
    assert not is_held(tmp_path / "wine")
    is_whole(tmp_path)
    n_done = len(trained_in(tmp_path))
    assert search(tmp_path, n_trials=N_TRIALS - n_done) == undisturbed
    is_whole(tmp_path)


def trained_in(folder: Path) -> list[Any]:
    with autotrain.Study.resume("wine", directory=folder) as study:
        trials = study.optuna_study.get_trials(deepcopy=False)
        return [t for t in trials if t.state in (TrialState.COMPLETE, TrialState.PRUNED)]


def test_sqlite_database_that_cannot_grow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(full_disk, "RETRY_S", 0.001)
    url = f"sqlite:///{tmp_path / 'study.db'}"
    with open_storage(tmp_path / "study", url) as storage:
        assert isinstance(storage, SharedStorage)
        study_id = storage.create_new_study([StudyDirection.MINIMIZE], "study")

        pages = {"most": 1}

        @sqlalchemy.event.listens_for(storage._inner.engine, "checkout")  # type: ignore[union-attr]
        def limit(connection: sqlite3.Connection, *_: object) -> None:
            connection.execute(f"PRAGMA max_page_count={pages['most']}").close()

        big = "x" * 50_000
        with pytest.raises(StorageError, match="disk is full"):
            storage.set_study_user_attr(study_id, "a", big)
        seen: list[str] = []

        def free(text: str) -> None:
            seen.append(text)
            pages["most"] = 100_000

        with waiting(free):
            storage.set_study_user_attr(study_id, "b", big)
            number = storage.create_new_trial(study_id)
        assert len(seen) == 2
        assert seen[0].startswith(f"the disk of {tmp_path} is full: ")
        assert storage.get_study_user_attrs(study_id) == {"b": big}
        assert [trial._trial_id for trial in storage.get_all_trials(study_id)] == [number]
