"""A damaged journal is repaired without losing a complete record, and the study is resumed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import optuna
import pytest
from optuna.trial import FrozenTrial, TrialState

from autotrain.doctor.finding import Severity
from autotrain.doctor.journal import CompleteRecord, Scan, assemble, invalid, lost_creations, scan
from autotrain.doctor.journal_repair import journal_finding, repair
from autotrain.doctor.place import Place, opened_store
from autotrain.errors import StudyError
from autotrain.search.storage.lock import StudyLock
from autotrain.search.storage.storages import FileStorage
from tests.doctor.test_study import of_study
from tests.test_study_folder import resume, search

optuna.logging.set_verbosity(optuna.logging.WARNING)
N_TRIALS = 3


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the folder of a finished study, which stays as it is."""
    return search(tmp_path_factory.mktemp("begun"), N_TRIALS)


@pytest.fixture
def place(begun: Path, tmp_path: Path) -> Place:
    """Give a copy of the study, to be damaged."""
    shutil.copytree(begun, tmp_path / "s")
    return Place.of(tmp_path / "s", None)


def journal(place: Place) -> Path:
    return place.folder / "journal.log"


def trials(folder: Path) -> list[FrozenTrial]:
    with FileStorage(folder / "journal.log", read_only=True) as storage:
        return storage.get_all_trials(0)


def result_of(trial: FrozenTrial) -> tuple[object, ...]:
    """Return the facts that a repair must keep, without times and diagnostics."""
    names = ("cause", "origin", "epochs", "n_parameters")
    facts = [trial.user_attrs.get(name) for name in names]
    return trial.number, trial.state, trial.value, sorted(trial.params.items()), facts


def damage_and_repair(place: Place, data: bytes) -> list[FrozenTrial]:
    """Repair a study with this journal, and return its trials."""
    for file in place.folder.glob("journal.log*"):
        file.unlink()
    journal(place).write_bytes(data)
    finding = journal_finding(place)
    assert finding is not None
    if finding.state != Severity.OK:
        entries = scan(data).entries
        repair(place)
        assert (place.folder / "journal.log.broken").read_bytes() == data
        lines = journal(place).read_bytes().splitlines()
        ends = [line for line in lines if b'"op_code":6' in line]
        for entry in entries:
            assert entry.line in lines or b'"op_code":6' in entry.line
        assert len(ends) >= N_TRIALS
    with opened_store(place):
        pass
    return trials(place.folder)


# ---- every place of damage -----------------------------------------------------------------------


def test_each_line_can_be_lost(begun: Path, place: Place) -> None:
    before = [result_of(trial) for trial in trials(begun)]
    lines = (begun / "journal.log").read_bytes().splitlines(keepends=True)
    for lost in range(len(lines)):
        damaged = [*lines[:lost], b"\xff\x00 garbage\n", *lines[lost + 1 :]]
        after = damage_and_repair(place, b"".join(damaged))
        assert [result_of(trial) for trial in after] == before, lines[lost]


def test_each_block_can_be_zeros(begun: Path, place: Place) -> None:
    before = [result_of(trial) for trial in trials(begun)]
    data = (begun / "journal.log").read_bytes()
    size = 512
    for start in range(0, len(data), size):
        after = damage_and_repair(place, data[:start] + bytes(size) + data[start + size :])
        assert [result_of(trial) for trial in after] == before, start


def last_bytes(data: bytes, n_lines: int) -> range:
    """Return the places of all bytes in the last lines."""
    kept = b"".join(data.splitlines(keepends=True)[:-n_lines])
    return range(len(kept), len(data))


def test_cut_at_every_byte_of_the_last_records_loses_no_complete_record(begun: Path) -> None:
    data = (begun / "journal.log").read_bytes()
    for end in last_bytes(data, 3):
        found = scan(data[:end])
        complete = data[: end + 1].splitlines(keepends=True)
        n_complete = sum(line.endswith(b"}") or line.endswith(b"}\n") for line in complete)
        # The line break after the last record may be missing.
        assert len(found.entries) >= data[:end].count(b"\n")
        assert len(found.entries) <= n_complete
        assert [entry.line for entry in found.entries] == data.splitlines()[: len(found.entries)]


@pytest.mark.parametrize("filling", [b"", bytes(64)], ids=["cut", "zeros"])
def test_study_is_resumed_after_the_end_of_its_journal_is_lost(
    begun: Path, place: Place, filling: bytes
) -> None:
    before = [result_of(trial) for trial in trials(begun)]
    data = (begun / "journal.log").read_bytes()
    for end in last_bytes(data, 12)[::97]:
        after = damage_and_repair_end(place, data[:end] + filling)
        assert [result_of(trial) for trial in after] == before, end
    assert resume(place.folder.parent) == [0, 1, 2, 3]


def damage_and_repair_end(place: Place, data: bytes) -> list[FrozenTrial]:
    """Repair a study whose journal ended early, also exactly after a line."""
    journal(place).write_bytes(data)
    found = of_study(place.folder.parent, fix=True)
    repaired = [found[name].state for name in ("journal", "record") if name in found]
    assert Severity.REPAIRED in repaired
    assert Severity.PROBLEM not in [finding.state for finding in found.values()]
    return trials(place.folder)


# ---- without checkpoints -------------------------------------------------------------------------


def test_trial_that_lost_its_records_is_trained_again(begun: Path, place: Place) -> None:
    shutil.rmtree(place.folder / "checkpoints")
    lines = (begun / "journal.log").read_bytes().splitlines(keepends=True)
    lost = next(
        n for n, line in enumerate(lines) if b'"trial_id":1' in line and b"param_na" in line
    )
    after = damage_and_repair(place, b"".join([*lines[:lost], b"\0\n", *lines[lost + 1 :]]))
    assert [trial.state for trial in after] == [
        TrialState.COMPLETE,
        TrialState.FAIL,
        TrialState.COMPLETE,
    ]
    assert after[1].user_attrs["cause"] == "interrupted"
    assert resume(place.folder.parent) == [0, 1, 2, 3]
    assert trials(place.folder)[3].user_attrs["retry_of"] == 1


def test_lost_creation_keeps_the_numbers_of_later_trials(begun: Path, place: Place) -> None:
    shutil.rmtree(place.folder / "checkpoints")
    lines = (begun / "journal.log").read_bytes().splitlines(keepends=True)
    first, last = (
        next(n for n, line in enumerate(lines) if f'"trial_id":{number}'.encode() in line)
        for number in (1, 2)
    )
    # All of trial 1 is lost, and the creations of trials 1 and 2.
    data = b"".join([*lines[: first - 1], bytes(2000), b"\n", *lines[last:]])
    before, after = trials(begun), damage_and_repair(place, data)
    assert [trial.state.name for trial in after] == ["COMPLETE", "FAIL", "COMPLETE"]
    assert result_of(after[2]) == result_of(before[2])


# ---- what is refused -----------------------------------------------------------------------------


def test_nothing_changes_while_a_search_is_running(begun: Path, place: Place) -> None:
    data = journal(place).read_bytes()
    damaged = data[:200] + b"\0" * 20 + data[220:]
    journal(place).write_bytes(damaged)
    lock = StudyLock(place.folder)
    found = of_study(place.folder.parent, fix=True)
    with pytest.raises(StudyError, match="locked"):
        repair(place)
    lock.release()
    assert (found["journal"].state, found["trials"].state) == (
        Severity.PROBLEM,
        Severity.WARNING,
    )
    assert "search is running" in found["journal"].fix
    assert journal(place).read_bytes() == damaged
    assert not list(place.folder.glob("*.broken"))


def test_last_line_of_a_running_search_may_be_incomplete(place: Place) -> None:
    journal(place).write_bytes(journal(place).read_bytes() + b'{"op_code":5,"wor')
    lock = StudyLock(place.folder)
    finding = journal_finding(place)
    lock.release()
    assert finding is not None
    assert finding.state == Severity.OK


def test_journal_of_another_study_is_refused(place: Place, tmp_path: Path) -> None:
    other = search(tmp_path / "others", 2)
    damaged = (other / "journal.log").read_bytes()[:-4]
    journal(place).write_bytes(damaged)
    (finding,) = [of_study(tmp_path, fix=True)["journal"]]
    assert finding.state == Severity.PROBLEM
    assert "another one" in finding.text
    assert journal(place).read_bytes() == damaged
    assert not list(place.folder.glob(".journal*"))


def test_other_file_is_not_replaced(place: Place) -> None:
    journal(place).write_bytes(b"my only copy of something")
    finding = of_study(place.folder.parent, fix=True)["journal"]
    assert finding.state == Severity.PROBLEM
    assert journal(place).read_bytes() == b"my only copy of something"


def test_journal_of_zeros_is_made_again_from_the_checkpoints(begun: Path, place: Place) -> None:
    before = [result_of(trial) for trial in trials(begun)]
    after = damage_and_repair(place, bytes(5000))
    assert [result_of(trial) for trial in after] == before


def test_earlier_copies_are_kept(place: Place) -> None:
    data = journal(place).read_bytes()
    for _ in range(3):
        journal(place).write_bytes(data + b"{")
        repair(place)
    names = sorted(file.name for file in place.folder.glob("*.broken*"))
    assert names == [f"journal.log.broken{end}" for end in ("", "-2", "-3")]
    assert journal(place).read_bytes() == data


# ---- scan and numbers ----------------------------------------------------------------------------


def line(op_code: int, **fields: object) -> bytes:
    return json.dumps(
        {"op_code": op_code, "worker_id": "w", **fields}, separators=(",", ":")
    ).encode()


STUDY = line(0, study_name="s", directions=[1])
NOTE = line(2, study_id=0, user_attr={"text": 'a "quote" and \\ and {"op_code":4'})


@pytest.mark.parametrize(
    ("data", "n_entries", "lost"),
    [
        (b"", 0, []),
        (STUDY + b"\n", 1, []),
        (STUDY, 1, []),
        (STUDY + NOTE + b"\n", 2, []),
        (STUDY[:-5] + NOTE + b"\n", 1, [STUDY[:-5]]),
        (b"\0" * 9 + STUDY + b"\0" * 5 + NOTE + b"\n", 2, [b"\0" * 9, b"\0" * 5]),
        (STUDY + b"\n\n\n" + NOTE + b"\n", 2, [b"\n"]),
        (STUDY + b"\n" + b"\0" * 30, 1, [b"\0" * 30]),
        (STUDY + b"\n" + line(99) + b"\n", 1, [line(99)]),
        (STUDY + b"\n" + line(5, trial_id=0) + b"\n" + NOTE + b"\n", 3, []),
    ],
)
def test_scan_finds_complete_records(data: bytes, n_entries: int, lost: list[bytes]) -> None:
    found = scan(data)
    assert (len(found.entries), [gap.lost for gap in found.gaps]) == (n_entries, lost)
    assert (
        found.is_whole == (not lost and data.endswith(b"\n") and data.count(b"\n") == n_entries)
        or not data
    )


def test_record_that_optuna_cannot_apply_is_a_gap() -> None:
    bad = line(4, study_id=0, datetime_start="no time")
    found = scan(b"\n".join([STUDY, bad, NOTE, b""]))
    assert [entry.line for entry in found.entries] == [STUDY, NOTE]
    assert [(gap.index, gap.lost) for gap in found.gaps] == [(1, bad)]
    assert invalid([json.loads(each) for each in (STUDY, bad, NOTE, bad)]) == [1, 3]


C, W = {"op_code": 4}, {"op_code": 4, "state": 4}


def refer(trial_id: int) -> dict[str, int]:
    return {"op_code": 5, "trial_id": trial_id}


@pytest.mark.parametrize(
    ("segments", "lost"),
    [
        ([[C, refer(0), C, refer(1)]], []),
        ([[C, refer(0)], [C, refer(1)]], [0]),
        ([[C, refer(0)], [refer(1), C, refer(2)]], [1]),
        ([[C, refer(0)], [C, refer(4)]], [3]),
        ([[], [C, refer(0)]], [0]),
        ([[], [refer(2)]], [3]),
        ([[C], [refer(1)], [C, refer(2), refer(3)]], [1, 1]),
        ([[W, W], [C, refer(3)], [W], []], [1, 0, 0]),
    ],
)
def test_lost_creations_follow_from_later_references(
    segments: list[list[dict[str, int]]], lost: list[int]
) -> None:
    assert lost_creations(segments) == lost


@pytest.mark.parametrize(
    "segments",
    [
        pytest.param([[C, refer(3)]], id="no gap"),
        pytest.param([[C, refer(0)], [W], [refer(2)]], id="either gap"),
    ],
)
def test_uncertain_numbers_are_refused(segments: list[list[dict[str, int]]]) -> None:
    with pytest.raises(StudyError, match="creation of each trial"):
        lost_creations(segments)


def test_lost_creation_of_the_study_is_replaced() -> None:
    made = assemble(Scan((CompleteRecord(NOTE, json.loads(NOTE)),), (), is_whole=False), "name", 2)
    created, note = made.records()
    assert (created["study_name"], created["directions"]) == ("name", [2])
    assert note == json.loads(NOTE)
