"""`OpenStorage`: an Optuna storage of a study that can be committed, closed and abandoned."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from optuna.storages import BaseStorage

from autotrain.search.record import Record
from autotrain.search.storage.lock import LOCK, StudyLock

JOURNAL = "journal.log"


class OpenStorage(BaseStorage):
    """An Optuna storage that can be committed and closed.

    Attributes:
        shown: its address without a password, for messages and records.
    """

    shown: str
    _lock: StudyLock | None = None
    _folder: Path | None = None
    _made: tuple[Path, ...] = ()
    _identity: str | None = None

    def watch(self, identity: str) -> None:
        """Make `remember` write the record of the study with this identity to the folder."""
        self._identity = identity

    def remember(self, study_id: int) -> None:
        """Record the number of trials of the study; call it when they are on disk."""
        if self._identity is not None and self._folder is not None:
            # The record only helps to detect lost trials. A full disk is reported by other writes.
            with contextlib.suppress(OSError):
                Record(self._identity, *self.count(study_id)).write(self._folder)

    def count(self, study_id: int) -> tuple[int, int]:
        """Return the number of trials of a study, and the number of those that have ended."""
        ended = [t.state.is_finished() for t in self.get_all_trials(study_id, deepcopy=False)]
        return len(ended), sum(ended)

    def claim(self, study_id: int) -> None:
        """Make this process the only writer of a study; the folder's lock is enough for a file."""

    def wait_for(self, notify: Callable[[str], None] | None, left_s: float | None = None) -> None:
        """Wait from now on while a server is not reachable; nothing for a file.

        Args:
            notify: shows a text to the user; "" when the server is reachable again. None: from now
                on raise an error at once.
            left_s: seconds that the search may take; None for no limit.
        """

    @contextlib.contextmanager
    def patience(self) -> Iterator[None]:
        """Limit the effect of `wait_for` to a `with` statement."""
        try:
            yield
        finally:
            self.wait_for(None)

    @contextlib.contextmanager
    def buffering(self, study_id: int) -> Iterator[None]:
        """Write the changes of running trials together inside a `with` statement.

        Only this process may run trials of the study meanwhile. A storage that cannot do it writes
        each change at once.
        """
        yield

    def refresh(self) -> None:
        """Read the trials that other processes have added, where they are not read at once."""

    def commit(self, *, durable: bool = True) -> None:
        """Make all changes visible to readers; with `durable` they also survive a power failure.

        Databases commit each operation themselves outside `buffering`.
        """

    def close(self) -> None:
        """Commit, close and unlock the study; a second call does nothing."""
        if self._lock is not None:
            self._lock.release()

    def abandon(self) -> None:
        """Close, and remove the study's folder if opening created it."""
        self.close()
        if self._folder is not None:
            remove_made(self._folder, self._made)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def remove_made(folder: Path, made: tuple[Path, ...]) -> None:
    """Remove the files and folders that opening created, if it created the study's folder."""
    if made:
        for name in (LOCK, JOURNAL):
            (folder / name).unlink(missing_ok=True)
    for path in made:
        with contextlib.suppress(OSError):
            path.rmdir()
