"""Waiting for a server that is not reachable: notice, end of the time."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from autotrain.errors import StorageError
from autotrain.search.storage.failures import UnreachableError
from autotrain.search.storage.shared import SharedStorage
from autotrain.search.storage.storages import DatabaseStorage, GivenStorage


class Away(GivenStorage):
    """A server that fails some times."""

    url, errors = "postgresql://me:secret@host/db", (ZeroDivisionError,)

    def __init__(self, file: Path, n_failures: int) -> None:
        super().__init__(DatabaseStorage(f"sqlite:///{file}"))
        self.n_failures = n_failures
        self.n_calls = 0

    def _ask(self, call: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        self.n_calls += 1
        if self.n_calls <= self.n_failures:
            raise UnreachableError("refused for secret")
        return call(*arguments, **named)

    def close(self) -> None:
        """Close the database."""
        self._given._backend.close()  # type: ignore[attr-defined]


def failing(folder: Path, n_failures: int) -> tuple[Away, SharedStorage]:
    """Return a server that fails some times, and its storage, which waits 0.2 s."""
    away = Away(folder / "study.db", n_failures)  # type: ignore[abstract]
    return away, SharedStorage(away, grace_s=0.2)  # type: ignore[abstract, arg-type]


def test_search_gives_up_when_its_time_is_over(tmp_path: Path) -> None:
    away, storage = failing(tmp_path, 1000)
    notices: list[str] = []
    storage.wait_for(notices.append, left_s=0.1)
    with pytest.raises(StorageError, match="are not saved") as caught:
        storage.get_all_studies()
    n_calls = away.n_calls
    with pytest.raises(StorageError, match="are not saved"):
        storage.get_all_studies()
    assert away.n_calls == n_calls
    storage.close()
    assert len(notices) == 1
    assert "secret" not in notices[0] + str(caught.value)


def test_single_failure_is_not_shown(tmp_path: Path) -> None:
    _, storage = failing(tmp_path, 1)
    notices: list[str] = []
    storage.wait_for(notices.append, left_s=None)
    assert storage.get_all_studies() == []
    assert notices == []
    storage.close()


def test_other_errors_are_not_repeated(tmp_path: Path) -> None:
    away, storage = failing(tmp_path, 0)
    with pytest.raises(KeyError):
        storage.get_study_id_from_name("unknown")
    assert away.n_calls == 1
    storage.close()


def test_nothing_is_waited_for_outside_a_search(tmp_path: Path) -> None:
    _, storage = failing(tmp_path, 2)
    with pytest.raises(StorageError, match="cannot be reached"):
        storage.get_all_studies()
    assert storage.get_all_studies() == []
    storage.close()


def test_waiting_ends_with_the_search(tmp_path: Path) -> None:
    away, storage = failing(tmp_path, 2)
    with storage.patience():
        storage.wait_for(lambda text: None)
        assert storage.get_all_studies() == []
    away.n_calls = 0
    with pytest.raises(StorageError, match="cannot be reached"):
        storage.get_all_studies()
    storage.close()
