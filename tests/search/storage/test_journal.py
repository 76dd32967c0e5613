"""The journal has Optuna's format, always whole lines, and survives crashes and full disks."""

from __future__ import annotations

import errno
import json
import os
import pickle
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from autotrain.errors import StorageError
from autotrain.search.storage import journal
from autotrain.search.storage.journal import GroupCommitBackend, JournalReader

optuna.logging.set_verbosity(optuna.logging.WARNING)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.log"


@pytest.fixture
def backend(path: Path) -> Iterator[GroupCommitBackend]:
    backend = GroupCommitBackend(path)
    yield backend
    if backend._is_open:
        os.close(backend._fd)


def run_trial(study: optuna.Study, x: float = 0.5) -> None:
    trial = study.ask()
    trial.suggest_float("x", 0, 1)
    trial.suggest_categorical("kind", ["a", "b"])
    trial.set_user_attr("note", {"x": x})
    trial.report(x, 0)
    trial.report(float("nan"), 1)
    study.tell(trial, x)


def new_study(backend: GroupCommitBackend) -> optuna.Study:
    sampler = optuna.samplers.RandomSampler(seed=0)
    return optuna.create_study(study_name="s", storage=JournalStorage(backend), sampler=sampler)


def optunas_trials(path: Path) -> list[optuna.trial.FrozenTrial]:
    storage = JournalStorage(JournalFileBackend(str(path)))
    return optuna.load_study(study_name="s", storage=storage).trials


def same(ours: list[optuna.trial.FrozenTrial], theirs: list[optuna.trial.FrozenTrial]) -> bool:
    return repr(ours) == repr(theirs) and len(ours) > 0  # repr: nan is not nan


def record(op_code: int = 2, **fields: object) -> dict:
    return {"op_code": op_code, "worker_id": "w", "study_id": 0, "user_attr": {}, **fields}


def test_optuna_reads_our_journal(backend: GroupCommitBackend, path: Path) -> None:
    study = new_study(backend)
    for _ in range(3):
        run_trial(study)
        backend.commit()
    assert same(study.trials, optunas_trials(path))


def test_journal_of_optuna_is_read_and_continued(path: Path) -> None:
    theirs = optuna.create_study(
        study_name="s", storage=JournalStorage(JournalFileBackend(str(path)))
    )
    run_trial(theirs)
    backend = GroupCommitBackend(path)
    study = optuna.load_study(study_name="s", storage=JournalStorage(backend))
    assert same(study.trials, theirs.trials)
    run_trial(study)
    backend.close()
    assert same(study.trials, optunas_trials(path))
    assert len(optunas_trials(path)) == 2


def test_lines_equal_those_of_optuna(path: Path, tmp_path: Path) -> None:
    theirs = JournalFileBackend(str(tmp_path / "theirs.log"))
    ours = GroupCommitBackend(path)
    records = [record(4, text="é\n", value=float("nan")), record(2, state=TrialState.PRUNED)]
    for backend in (theirs, ours):
        backend.append_logs(records)
    ours.close()
    assert path.read_bytes() == (tmp_path / "theirs.log").read_bytes()


def test_records_are_readable_at_once_and_written_at_commit(
    backend: GroupCommitBackend, path: Path
) -> None:
    study = new_study(backend)
    trial = study.ask()
    size = path.stat().st_size
    trial.suggest_float("x", 0, 1)
    trial.report(0.5, 0)
    assert path.stat().st_size == size
    assert study.trials[0].intermediate_values == {0: 0.5}
    backend.commit(durable=False)
    assert path.stat().st_size > size
    assert same(study.trials, optunas_trials(path))


def test_one_sync_per_commit_and_none_without_changes(path: Path) -> None:
    synced: list[int] = []
    backend = GroupCommitBackend(path, sync=synced.append)
    study = new_study(backend)
    for n_trials in (1, 2, 3):
        run_trial(study)
        assert len(synced) == n_trials - 1
        backend.commit(durable=False)
        assert len(synced) == n_trials - 1
        backend.commit()  # syncs the records that are already written
        backend.commit()
        assert len(synced) == n_trials
    backend.close()


def test_each_write_is_one_call_with_whole_lines(
    backend: GroupCommitBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    writes: list[bytes] = []
    write = os.write

    def spy(fd: int, data: bytes) -> int:
        writes.append(data)
        return write(fd, data)

    monkeypatch.setattr(os, "write", spy)
    study = new_study(backend)
    run_trial(study)
    backend.commit()
    assert len(writes) == 3  # the study, the trial, the rest
    assert all(data.endswith(b"\n") for data in writes)
    assert sum(data.count(b"\n") for data in writes) == backend._n_read


def test_returned_records_equal_those_in_the_file(backend: GroupCommitBackend) -> None:
    attributes = {"shape": (1, 2), 3: [0.1]}
    backend.append_logs([record(user_attr=attributes)])
    (served,) = backend.read_logs(0)
    attributes["shape"] = (9, 9)
    assert served["user_attr"] == {"shape": [1, 2], "3": [0.1]}


def test_record_that_is_not_json_is_not_kept(backend: GroupCommitBackend, path: Path) -> None:
    study = new_study(backend)
    with pytest.raises(TypeError):
        study.set_user_attr("bad", object())
    study.set_user_attr("good", 1)
    backend.commit()
    storage = JournalStorage(JournalFileBackend(str(path)))
    assert optuna.load_study(study_name="s", storage=storage).user_attrs == {"good": 1}


def test_records_that_were_read_and_written_are_freed(backend: GroupCommitBackend) -> None:
    study = new_study(backend)
    for _ in range(3):
        run_trial(study)
        assert len(backend._unread) == 0
    backend.commit()
    assert len(backend._buffer) == 0


def test_full_buffer_is_written_without_commit(
    path: Path,
) -> None:
    backend = GroupCommitBackend(path, most_buffered_bytes=1000)
    for i in range(40):
        backend.append_logs([record(user_attr={"i": i})])
        assert backend._n_buffered_bytes <= 1000
    assert path.stat().st_size > 1000
    assert len(list(backend.read_logs(0))) == 40
    backend.close()


def test_second_reader_gets_all_records(backend: GroupCommitBackend) -> None:
    study = new_study(backend)
    run_trial(study)
    again = optuna.load_study(study_name="s", storage=JournalStorage(backend))
    assert same(again.trials, study.trials)


@pytest.mark.parametrize("torn", [b'{"op_code":4,"wor', b'{"op', b"\0\0\0\0", b'{"op_code":4}'])
def test_incomplete_last_line_is_moved_to_another_file(path: Path, torn: bytes) -> None:
    first = GroupCommitBackend(path)
    study = new_study(first)
    run_trial(study)
    first.close()
    whole = path.read_bytes()
    path.write_bytes(whole + torn)
    backend = GroupCommitBackend(path)
    assert path.read_bytes() == whole
    assert path.with_name("journal.log.torn").read_bytes() == torn + b"\n"
    again = optuna.load_study(study_name="s", storage=JournalStorage(backend))
    assert same(again.trials, study.trials)
    run_trial(again)
    backend.close()
    assert len(optunas_trials(path)) == 2


def test_complete_last_record_without_its_line_break_stays(path: Path) -> None:
    first = GroupCommitBackend(path)
    study = new_study(first)
    run_trial(study)
    first.close()
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    reader = JournalReader(path)
    records = list(reader.read_logs(0))
    assert list(reader.read_logs(len(records))) == []
    seen = optuna.load_study(study_name="s", storage=JournalStorage(reader))
    assert same(seen.trials, study.trials)
    backend = GroupCommitBackend(path)
    assert list(JournalReader(path).read_logs(0)) == records
    again = optuna.load_study(study_name="s", storage=JournalStorage(backend))
    assert same(again.trials, study.trials)
    backend.close()
    assert path.read_bytes() == whole
    assert not path.with_name("journal.log.torn").exists()


def test_incomplete_line_longer_than_one_read(path: Path) -> None:
    torn = b'{"op_code":4,"text":"' + b"x" * 200_000
    path.write_bytes(b"\n" + torn)
    fd = os.open(path, os.O_RDWR)
    assert journal._cut_torn_line(fd, path) == 1
    os.close(fd)
    assert path.with_name("journal.log.torn").read_bytes() == torn + b"\n"


def test_other_file_is_refused_and_not_changed(path: Path) -> None:
    path.write_bytes(b"my only copy of something")
    with pytest.raises(StorageError, match="line 1 must be a record of an Optuna journal"):
        GroupCommitBackend(path)
    assert path.read_bytes() == b"my only copy of something"


@pytest.mark.parametrize("broken", [b"nonsense", b"", b"[4]", b'{"op_code":77,"worker_id":""}'])
def test_error_names_the_invalid_line_and_the_fix(path: Path, broken: bytes) -> None:
    first = GroupCommitBackend(path)
    run_trial(new_study(first))
    first.close()
    lines = path.read_bytes().splitlines()
    lines[3] = broken
    path.write_bytes(b"\n".join(lines) + b"\n")
    with pytest.raises(StorageError) as caught:
        JournalStorage(GroupCommitBackend(path))
    assert str(caught.value).startswith(f"{path}, line 4 must be a record of an Optuna journal")
    assert "got '" in str(caught.value)
    assert str(caught.value).endswith(f"autotrain doctor {path.parent.name} --fix")


def test_records_of_another_process_are_read_in_order(
    backend: GroupCommitBackend, path: Path
) -> None:
    study = new_study(backend)
    ours = study.ask()
    ours.suggest_float("x", 0, 1)
    other = optuna.load_study(study_name="s", storage=JournalStorage(JournalFileBackend(str(path))))
    other.set_user_attr("note", "from the dashboard")
    other.enqueue_trial({"x": 0.25})
    ours.report(0.5, 0)
    run_trial(study)
    study.tell(ours, 0.5)
    backend.commit()
    assert study.user_attrs == {"note": "from the dashboard"}
    states = [trial.state for trial in study.trials]
    assert states == [TrialState.COMPLETE, TrialState.WAITING, TrialState.COMPLETE]
    assert same(study.trials, optunas_trials(path))


def test_commit_without_own_records_reads_those_of_others(
    backend: GroupCommitBackend, path: Path
) -> None:
    study = new_study(backend)
    other = optuna.load_study(study_name="s", storage=JournalStorage(JournalFileBackend(str(path))))
    other.set_user_attr("note", 1)
    assert study.user_attrs == {}
    backend.commit()
    assert study.user_attrs == {"note": 1}


def test_incomplete_line_of_another_process_is_reported(
    backend: GroupCommitBackend, path: Path
) -> None:
    study = new_study(backend)
    with path.open("ab") as file:
        file.write(b'{"op_code":')
    backend.commit()  # the other process may still be writing
    study.set_user_attr("note", 1)
    for _ in range(2):
        with pytest.raises(StorageError, match="line 2 must be a record"):
            backend.commit()


def test_full_disk_loses_no_records_and_leaves_whole_lines(
    backend: GroupCommitBackend, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = new_study(backend)
    run_trial(study)
    whole = path.read_bytes()
    write = os.write

    def half_then_full(fd: int, data: bytes) -> int:
        if path.stat().st_size > len(whole):
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(fd, data[: len(data) // 2])

    monkeypatch.setattr(os, "write", half_then_full)
    with pytest.raises(StorageError, match="got: No space left on device"):
        backend.commit()
    assert path.read_bytes() == whole
    with pytest.raises(StorageError, match="No space left"):
        study.ask()
    monkeypatch.setattr(os, "write", write)
    run_trial(study)
    backend.commit()
    assert same(study.trials, optunas_trials(path))
    assert len(study.trials) == 2  # without the refused trial


def test_failed_sync_is_reported_and_repeated(path: Path) -> None:
    errors = [OSError(errno.EIO, "Input/output error")] * 2
    synced: list[int] = []

    def fail_twice(fd: int) -> None:
        if errors:
            raise errors.pop()
        synced.append(fd)

    backend = GroupCommitBackend(path, sync=fail_twice)
    new_study(backend)
    for _ in range(2):
        with pytest.raises(StorageError, match="Input/output error"):
            backend.commit()
    backend.commit()
    assert len(synced) == 1
    backend.close()


def test_deleted_file_is_reported(backend: GroupCommitBackend, path: Path) -> None:
    study = new_study(backend)
    path.unlink()
    study.set_user_attr("note", 1)
    with pytest.raises(StorageError, match="was deleted"):
        backend.commit()


def test_closed_journal_accepts_no_records(path: Path) -> None:
    backend = GroupCommitBackend(path)
    study = new_study(backend)
    backend.close()
    backend.close()
    backend.commit()
    assert study.trials == []
    with pytest.raises(StorageError, match="is closed"):
        study.ask()


def test_reader_follows_the_writer_and_does_not_write(
    backend: GroupCommitBackend, path: Path
) -> None:
    study = new_study(backend)
    reader = JournalReader(path)
    seen = optuna.load_study(study_name="s", storage=JournalStorage(reader))
    for _ in range(2):
        run_trial(study)
        backend.commit()
        with path.open("ab") as file:  # being written
            file.write(b'{"op_')
        assert same(seen.trials, study.trials)
        os.truncate(path, path.stat().st_size - 5)
    assert len(list(reader.read_logs(0))) == reader.line
    with pytest.raises(StorageError, match="read-only"):
        seen.ask()


def test_pickled_copy_only_reads(backend: GroupCommitBackend) -> None:
    run_trial(study := new_study(backend))
    copy = pickle.loads(pickle.dumps(backend))
    assert isinstance(copy, JournalReader)
    again = optuna.load_study(study_name="s", storage=JournalStorage(copy))
    assert same(again.trials, study.trials)


KILLED = """
import os, pathlib, signal, sys
import optuna
from optuna.storages import JournalStorage
from autotrain.search.storage.journal import GroupCommitBackend
optuna.logging.set_verbosity(optuna.logging.WARNING)
backend = GroupCommitBackend(pathlib.Path(sys.argv[1]))
study = optuna.create_study(study_name="s", storage=JournalStorage(backend))
for i in range(3):
    trial = study.ask()
    study.tell(trial, trial.suggest_float("x", 0, 1))
    backend.commit()
    print("finished", i, flush=True)
trial = study.ask()
trial.suggest_float("x", 0, 1)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_committed_records_survive_a_killed_process(path: Path) -> None:
    child = subprocess.run(
        [sys.executable, "-c", KILLED, str(path)], capture_output=True, text=True, check=False
    )
    assert child.returncode == -9
    assert child.stdout.count("finished") == 3
    states = [trial.state for trial in optunas_trials(path)]
    assert states == [TrialState.COMPLETE] * 3 + [TrialState.RUNNING]
    assert all(json.loads(line) for line in path.read_bytes().splitlines())
