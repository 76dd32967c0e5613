"""A study's folder: trials are never lost, and the folder can be moved and renamed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pandas as pd
import pytest
from optuna.storages import InMemoryStorage, RDBStorage

from autotrain.bundle import read_bundle
from autotrain.errors import StorageError, StudyError
from autotrain.reporting.status import Unread, read_status, summaries
from autotrain.reporting.trial import read_trial
from autotrain.search.definition import FILE, Definition
from autotrain.search.progress import Silent
from autotrain.search.record import Record
from autotrain.study import Study

SPACE = {
    "network": {"hidden_layers": 1, "hidden_units": 4},
    "training": {"batch_size": 16, "epochs": 2},
    "optimizer": {"choice": "adam", "learning_rate": {"low": 0.003, "high": 0.03, "log": True}},
}
N = 60


def table() -> pd.DataFrame:
    rng = np.random.default_rng(4)
    frame = pd.DataFrame({"a": rng.normal(size=N), "b": rng.normal(size=N)})
    return frame.assign(y=np.where(frame.a > frame.b, "up", "down"))


def study_of(folder: Path, name: str = "s", **changes: Any) -> Study:
    options: dict[str, Any] = {
        "data": table(),
        "target": "y",
        "space": SPACE,
        "workers": 1,
        "validation": "holdout",
        "finalists": 0,
        "ensemble": 0,
        "directory": folder,
    }
    return Study(name, **(options | changes))


def search(folder: Path, n_trials: int = 2, name: str = "s", **changes: Any) -> Path:
    """Search, and return the study's folder."""
    with study_of(folder, name, **changes) as study:
        study.optimize(n_trials, observer=Silent())
        return study.folder


def resume(folder: Path, name: str = "s", n_trials: int = 1, **changes: Any) -> list[int]:
    """Resume a study, and return the numbers of its trials."""
    with Study.resume(name, data=table(), directory=folder, **changes) as study:
        study.optimize(n_trials, observer=Silent())
        return [trial.number for trial in study.optuna_study.trials]


def remove_journal(folder: Path) -> None:
    (folder / "journal.log").unlink()


def empty_journal(folder: Path) -> None:
    (folder / "journal.log").write_bytes(b"")


def cut_journal(folder: Path) -> None:
    lines = (folder / "journal.log").read_bytes().splitlines(keepends=True)
    ends = [n for n, line in enumerate(lines) if json.loads(line)["op_code"] == 6]
    (folder / "journal.log").write_bytes(b"".join(lines[: ends[-1]]))


def take_journal_of_another_study(folder: Path) -> None:
    other = search(folder.parent / "others", 3)
    shutil.copy(other / "journal.log", folder / "journal.log")


@pytest.mark.parametrize(
    ("lose", "words"),
    [
        (remove_journal, "got none"),
        (empty_journal, "got none"),
        (cut_journal, "got 2 trials (1 ended)"),
        (take_journal_of_another_study, "another study"),
    ],
)
@pytest.mark.parametrize("way", ["resume", "search"])
def test_study_with_lost_trials_is_not_restarted(
    tmp_path: Path, lose: Callable[[Path], None], words: str, way: str
) -> None:
    folder = search(tmp_path)
    before = (folder / "best" / "model.safetensors").read_bytes()
    lose(folder)
    journal = folder / "journal.log"
    left = journal.read_bytes() if journal.exists() else None
    with pytest.raises(StudyError) as caught:
        resume(tmp_path) if way == "resume" else search(tmp_path)
    assert words in str(caught.value)
    assert "must have 2 trials (2 ended)" in str(caught.value)
    assert (folder / "best" / "model.safetensors").read_bytes() == before
    assert (journal.read_bytes() if journal.exists() else None) == left


def test_older_study_without_a_record_is_not_restarted(tmp_path: Path) -> None:
    folder = search(tmp_path)
    (folder / "trials.json").unlink()
    remove_journal(folder)
    with pytest.raises(StudyError, match="the trials that its models come from"):
        resume(tmp_path)
    assert resume_after_restoring(folder, tmp_path) == [0, 1, 2]


def resume_after_restoring(folder: Path, studies: Path) -> list[int]:
    shutil.copy(search(studies / "same") / "journal.log", folder / "journal.log")
    return resume(studies)


def test_remaining_trials_are_resumed_on_request(tmp_path: Path) -> None:
    folder = search(tmp_path)
    cut_journal(folder)
    status = read_status(folder)
    assert status.lost is not None
    assert "trials.json" in status.lost
    assert status.to_json()["lost"] == status.lost
    (folder / "trials.json").unlink()
    assert read_status(folder).lost is None
    # The trial without an end is tried again.
    assert len(resume(tmp_path)) > 2


def test_lost_study_does_not_hide_the_others(tmp_path: Path) -> None:
    remove_journal(search(tmp_path, 1, "gone"))
    search(tmp_path, 1, "there")
    there, gone = summaries(tmp_path)
    assert not isinstance(there, Unread)
    assert isinstance(gone, Unread)
    assert gone.name == "gone"
    assert "got none" in gone.reason


def test_record_never_has_more_than_the_storage(tmp_path: Path) -> None:
    folder = search(tmp_path, 3)
    found = Record.read(folder)
    assert found is not None
    assert (found.n_trials, found.n_ended) == (3, 3)
    with study_of(tmp_path) as study:
        study.enqueue({"optimizer": {"learning_rate": 0.01}})
    found = Record.read(folder)
    assert found is not None
    assert (found.n_trials, found.n_ended) == (4, 3)


@pytest.mark.parametrize("content", [b"", b"[]", b'{"id": 1}', b"\xff"])
def test_damaged_record_is_ignored(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "trials.json").write_bytes(content)
    assert Record.read(tmp_path) is None


def test_models_without_their_study_file_are_not_replaced(tmp_path: Path) -> None:
    folder = search(tmp_path)
    (folder / FILE).unlink()
    remove_journal(folder)
    with pytest.raises(StudyError, match=r"best/ of an earlier study without its study\.toml"):
        search(tmp_path)
    assert not (folder / "journal.log").exists()


# ---- storages ------------------------------------------------------------------------------


def test_relative_database_path_is_in_the_folder_of_the_study(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = search(tmp_path / "studies", storage="sqlite:///trials.db")
    assert (folder / "trials.db").is_file()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert resume(tmp_path / "studies") == [0, 1, 2]
    assert read_status(folder).n_complete == 3
    assert read_trial(folder, 2).state == "complete"
    assert list(Path.cwd().iterdir()) == []
    (folder / "trials.db").unlink()
    with pytest.raises(StudyError, match="must have 3 trials"):
        resume(tmp_path / "studies")
    assert not (folder / "trials.db").exists()


@pytest.mark.parametrize(
    "url",
    [
        "sqlite://",
        "sqlite:///",
        "sqlite:///:memory:",
        "sqlite:///file::memory:?uri=true",
        "sqlite:///file:x?mode=memory&cache=shared&uri=true",
    ],
)
def test_database_in_memory_is_refused(tmp_path: Path, url: str) -> None:
    with pytest.raises(StorageError, match="in memory"):
        study_of(tmp_path, storage=url)
    assert list(tmp_path.iterdir()) == []


def test_trials_copied_to_another_storage_are_found(tmp_path: Path) -> None:
    folder = search(tmp_path)
    url = f"sqlite:///{tmp_path}/moved.db"
    journal = optuna.storages.JournalStorage(
        optuna.storages.journal.JournalFileBackend(str(folder / "journal.log"))
    )
    with pytest.raises(StudyError, match="must contain the trials"):
        resume(tmp_path, storage=url)
    assert not (tmp_path / "moved.db").exists()
    optuna.copy_study(from_study_name="s", from_storage=journal, to_storage=url)
    (folder / "journal.log").unlink()
    assert resume(tmp_path, storage=url) == [0, 1, 2]
    # The choice is saved.
    assert resume(tmp_path) == [0, 1, 2, 3]


def test_database_object_is_resumed_by_its_url(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    storage = RDBStorage("sqlite:///own.db")
    folder = search(tmp_path / "studies", storage=storage)
    assert len(optuna.load_study(study_name="s", storage=storage).trials) == 2
    monkeypatch.chdir(tmp_path / "studies")
    assert read_status(folder).n_complete == 2
    assert resume(tmp_path / "studies") == [0, 1, 2]
    storage.remove_session()


def test_storage_object_without_a_url_is_resumed_only_in_python(tmp_path: Path) -> None:
    storage = InMemoryStorage()
    folder = search(tmp_path, storage=storage)
    assert resume(tmp_path, storage=storage) == [0, 1, 2]
    for look in (lambda: read_status(folder), lambda: resume(tmp_path)):
        with pytest.raises(StorageError, match=r"Pass that object in Python: .*storage="):
            look()
    with pytest.raises(StudyError, match="must have 3 trials"):
        resume(tmp_path, storage=InMemoryStorage())


# ---- places --------------------------------------------------------------------------------


def test_renamed_study_works_under_its_new_name(tmp_path: Path) -> None:
    search(tmp_path, name="old")
    (tmp_path / "old").rename(tmp_path / "new")
    status = read_status(tmp_path / "new")
    assert (status.definition.name, status.n_complete) == ("new", 2)
    assert read_trial(tmp_path / "new", 1).study == "new"
    best = read_bundle(tmp_path / "new" / "best")
    assert resume(tmp_path, "new") == [0, 1, 2]
    assert not (tmp_path / "old").exists()
    assert read_bundle(tmp_path / "new" / "best").data == best.data
    (tmp_path / "new").rename(tmp_path / "newest")
    assert resume(tmp_path, "newest") == [0, 1, 2, 3]
    with pytest.raises(StudyError, match="Known: newest"):
        resume(tmp_path, "old")


def test_name_changed_in_the_file_is_the_same_study(tmp_path: Path) -> None:
    search(tmp_path, name="old")
    (tmp_path / "old").rename(tmp_path / "new")
    text = (tmp_path / "new" / FILE).read_text()
    (tmp_path / "new" / FILE).write_text(text.replace('name = "old"', 'name = "new"'))
    assert resume(tmp_path, "new") == [0, 1, 2]


@pytest.mark.parametrize("storage", [None, "sqlite:///in_folder.db", "shared"])
def test_copies_of_a_study_are_independent(tmp_path: Path, storage: str | None) -> None:
    if storage == "shared":
        storage = f"sqlite:///{tmp_path}/shared.db"
    search(tmp_path, name="one", storage=storage)
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    assert resume(tmp_path, "two", 2) == [0, 1, 2, 3]
    assert resume(tmp_path, "one") == [0, 1, 2]
    assert resume(tmp_path, "two") == [0, 1, 2, 3, 4]
    assert [read_status(tmp_path / name).n_complete for name in ("one", "two")] == [3, 5]


def test_study_in_a_database_keeps_its_trials_when_moved(tmp_path: Path) -> None:
    search(tmp_path, name="one", storage=f"sqlite:///{tmp_path}/shared.db")
    (tmp_path / "one").rename(tmp_path / "two")
    assert resume(tmp_path, "two") == [0, 1, 2]
    assert len(optuna.get_all_study_names(f"sqlite:///{tmp_path}/shared.db")) == 1


def test_working_directory_does_not_matter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "there").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    with study_of(Path("studies")) as study:
        monkeypatch.chdir(tmp_path / "there")
        study.optimize(1, observer=Silent())
        assert study.best_predictor().target == "y"
    assert list(Path.cwd().iterdir()) == []
    assert Definition.read(tmp_path / "here" / "studies" / "s").name == "s"
