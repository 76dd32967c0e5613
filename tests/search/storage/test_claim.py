"""The claim of the only writer: refused, expired, released, lost."""

from __future__ import annotations

from pathlib import Path

import pytest

from autotrain.errors import StudyError
from autotrain.search.storage.claim import Claim, Value
from autotrain.search.storage.lock import StudyLock


class Memory:
    """A storage in memory.

    Args:
        is_slower: another process always changes the attribute first.
    """

    def __init__(self, *, is_slower: bool = False) -> None:
        self.attributes: dict[str, Value] = {}
        self.is_slower = is_slower

    def get_study_system_attrs(self, study_id: int) -> dict[str, Value]:
        """Return the attributes."""
        return dict(self.attributes)

    def swap(self, study_id: int, name: str, old: Value | None, new: Value) -> bool:
        """Compare and set."""
        if self.is_slower or self.attributes.get(name) != old:
            return False
        self.attributes[name] = new
        return True


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Give a folder that another process has not locked."""
    (tmp_path / "study").mkdir()
    return tmp_path / "study"


def test_second_machine_is_refused_until_the_release(folder: Path) -> None:
    storage = Memory()
    first = Claim(storage, 1, folder, machine="a")
    with pytest.raises(StudyError, match="must have one writer"):
        Claim(storage, 1, folder, machine="b")
    first.renew()
    first.check()
    first.release()
    Claim(storage, 1, folder, machine="b").check()


def test_expired_claim_is_taken_over_and_its_owner_stops(folder: Path) -> None:
    storage = Memory()
    first = Claim(storage, 1, folder, machine="a")
    second = Claim(storage, 1, folder, machine="b", expires_s=0)
    first.renew()
    with pytest.raises(StudyError, match="has taken it over"):
        first.check()
    first.release()
    second.renew()
    second.check()


def test_claim_of_the_same_machine_ends_with_the_lock_of_its_folder(folder: Path) -> None:
    storage = Memory()
    lock = StudyLock(folder)
    Claim(storage, 1, folder)
    with pytest.raises(StudyError, match="must have one writer"):
        Claim(storage, 1, folder.parent)
    lock.release()
    Claim(storage, 1, folder.parent)


def test_next_process_in_the_same_folder_takes_the_claim_over(folder: Path) -> None:
    storage = Memory()
    Claim(storage, 1, folder)
    Claim(storage, 1, folder).check()


def test_copied_claim_of_another_study_counts_nothing(folder: Path) -> None:
    storage = Memory()
    Claim(storage, 1, folder, machine="a")
    Claim(storage, 2, folder, machine="b").check()


def test_slower_of_two_processes_is_refused(folder: Path) -> None:
    with pytest.raises(StudyError, match="must have one writer"):
        Claim(Memory(is_slower=True), 1, folder)


def test_renewal_whose_answer_was_lost_keeps_the_claim(folder: Path) -> None:
    storage = Memory()
    claim = Claim(storage, 1, folder)
    (name,) = storage.attributes
    storage.attributes[name] = {**storage.attributes[name], "renewed": 1.0}
    claim.renew()
    claim.renew()
    claim.check()
