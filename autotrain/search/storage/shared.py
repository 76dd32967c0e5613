"""`SharedStorage`: studies in a database or on a server, which may fail.

It forwards all calls to an Optuna storage. During a search (after `wait_for`) it waits while the
server is not reachable, and repeats the call. A call whose answer was lost is not carried out
twice: before a trial is created or ended again, the storage is searched for the first result. All
other calls set a value, so a repetition changes nothing.
"""

from __future__ import annotations

import contextlib
import copy
import math
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from optuna.storages import BaseStorage, JournalStorage, RDBStorage, get_storage
from optuna.trial import FrozenTrial, TrialState, create_trial

from autotrain.bundle.full_disk import repeat
from autotrain.errors import StorageError
from autotrain.search.storage.buffer import RunningTrial
from autotrain.search.storage.buffered import BufferedStorage
from autotrain.search.storage.claim import Claim
from autotrain.search.storage.failures import UnreachableError, describe, storage_error
from autotrain.search.storage.opened import OpenStorage
from autotrain.search.storage.redis_journal import RedisStorage
from autotrain.search.storage.rows import TrialRows, fits
from autotrain.search.storage.storages import BorrowedDatabase, DatabaseStorage, GivenStorage
from autotrain.search.storage.urls import hide_password, sqlite_file
from autotrain.search.storage.writers import OrdinaryWriter, RecordWriter, TrialWriter

FIRST_DELAY_S = 0.5
MOST_DELAY_S = 15.0
GRACE_S = 60.0
REQUEST = "autotrain:request"
"""System attribute of a trial: a random text by which its creation is recognized."""
Answer = TypeVar("Answer")
Inner = DatabaseStorage | RedisStorage | BorrowedDatabase


class WaitingStorage(GivenStorage):
    """A storage in a database or on a server, each of whose calls may have to wait.

    Args:
        inner: the Optuna storage.
        grace_s: seconds that a search waits for its server also when its time is over.
    """

    def __init__(self, inner: Inner, *, grace_s: float = GRACE_S) -> None:
        self.grace_s = grace_s
        self.shown = hide_password(inner.url)
        self._inner = inner
        self._given = get_storage(_storage_of(inner))
        # Only SQLite writes to a disk of this machine.
        self._disk = (sqlite_file(inner.url) or Path.cwd()).parent
        self._claim: Claim | None = None
        self._notify: Callable[[str], None] | None = None
        self._end_s = math.inf
        self._lost: StorageError | None = None

    def claim(self, study_id: int) -> None:
        """Make this process the only writer of a study."""
        assert self._folder is not None
        folder = self._folder
        self._claim = self._ask(lambda: Claim(self._inner, study_id, folder))

    def wait_for(self, notify: Callable[[str], None] | None, left_s: float | None = None) -> None:
        """Wait from now on while the server is not reachable, and repeat the call."""
        self._notify = notify
        self._end_s = math.inf if left_s is None else time.monotonic() + left_s

    def create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> int:
        """Create a trial once, also if the answer is lost."""
        template = copy.copy(template_trial or create_trial(state=TrialState.RUNNING))
        request = uuid.uuid4().hex
        template.system_attrs = {**template.system_attrs, REQUEST: request}

        def found() -> int | None:
            trials = self._given.get_all_trials(study_id, deepcopy=False)
            same = [t for t in trials if t.system_attrs.get(REQUEST) == request]
            return same[0]._trial_id if same else None

        return self._repeat(lambda: self._given.create_new_trial(study_id, template), found)

    def set_trial_state_values(
        self, trial_id: int, state: TrialState, values: Sequence[float] | None = None
    ) -> bool:
        """Begin or end a trial once, also if the answer is lost."""

        def found() -> bool | None:
            return True if self._given.get_trial(trial_id).state == state else None

        call = self._given.set_trial_state_values
        return self._repeat(lambda: call(trial_id, state, values), found)

    def close(self) -> None:
        """Release the study and close the connections; a second call does nothing."""
        try:
            if self._claim is not None and self._lost is None:
                # If the server is not reachable, the claim expires.
                with contextlib.suppress(UnreachableError, *self._inner.errors):
                    self._claim.release()
        finally:
            self._claim = None
            self._inner.close()
            OpenStorage.close(self)

    def _ask(self, call: Callable[..., Answer], *arguments: Any, **named: Any) -> Answer:
        return self._repeat(lambda: call(*arguments, **named), lambda: None)

    def _repeat(self, call: Callable[[], Answer], found: Callable[[], Answer | None]) -> Answer:
        """Return the answer to a call, which is repeated while the server is not reachable.

        Args:
            call: asks the server.
            found: returns the answer if an earlier attempt was carried out; otherwise None.
        Raises:
            StorageError: when the call fails, or the search does not wait any longer.
        """
        if self._lost is not None:
            raise self._lost
        n_failed, begun_s, delay_s = 0, math.inf, FIRST_DELAY_S
        while True:
            try:
                if self._claim is not None:
                    self._claim.check()
                answer = found() if n_failed else None
                answer = repeat(call, self._disk) if answer is None else answer
                break
            except UnreachableError as error:
                n_failed += 1
                if n_failed == 1:
                    continue  # A single connection was cut.
                if self._notify is None:
                    raise storage_error(self._inner.url, "cannot be reached", error) from None
                if n_failed == 2:
                    begun_s = time.monotonic()
                    self._notify(
                        f"{self._failure(error)} The search waits and tries again. Stop with "
                        "Ctrl-C."
                    )
                if time.monotonic() + delay_s > max(self._end_s, begun_s + self.grace_s):
                    raise self._give_up(error) from None
            except self._inner.errors as error:
                raise storage_error(self._inner.url, "failed", error) from None
            except KeyboardInterrupt:
                if not n_failed:
                    raise
                raise self._give_up(UnreachableError("stopped while waiting")) from None
            delay_s = self._sleep(delay_s)
        if n_failed > 1 and self._notify is not None:
            self._notify("")
        return answer

    def _sleep(self, delay_s: float) -> float:
        """Wait, and return the next delay."""
        try:
            time.sleep(delay_s)
        except KeyboardInterrupt:
            raise self._give_up(UnreachableError("stopped while waiting")) from None
        return min(2 * delay_s, MOST_DELAY_S)

    def _failure(self, error: UnreachableError) -> str:
        return describe(self._inner.url, "is not reachable", error)

    def _give_up(self, error: UnreachableError) -> StorageError:
        """Return the error with which this call and all later ones end."""
        now = datetime.now().strftime("%H:%M:%S")
        self._lost = StorageError(
            f"{self._failure(error)} Trials that were running at {now} are not saved; all earlier "
            "ones are. Start the server, then resume the study, which trains them again."
        )
        return self._lost


class SharedStorage(BufferedStorage, WaitingStorage):
    """A storage in a database or on a server, which writes the trials of a search together.

    Args:
        inner, grace_s: as for `WaitingStorage`.
    """

    def __init__(self, inner: Inner, *, grace_s: float = GRACE_S) -> None:
        WaitingStorage.__init__(self, inner, grace_s=grace_s)
        self._trials = _writer(_storage_of(inner), self._given)

    def _begin(self, study_id: int, after: tuple[int, int]) -> FrozenTrial:
        request = uuid.uuid4().hex

        def found() -> FrozenTrial | None:
            new = self._trials.news(study_id, after, {})
            return next((t for t in new if t.system_attrs.get(REQUEST) == request), None)

        return self._repeat(lambda: self._trials.begin(study_id, after, {REQUEST: request}), found)

    def _write(self, running: Sequence[RunningTrial], study_id: int) -> None:
        ends = {trial.change.trial_id: trial.change.end for trial in running if trial.change.end}

        def found() -> bool | None:
            # A writer writes an end last.
            states = ((self._given.get_trial(number).state, end) for number, end in ends.items())
            return True if ends and all(state == end.state for state, end in states) else None

        self._repeat(lambda: super(SharedStorage, self)._write(running, study_id), found)

    def _news(
        self, study_id: int, last: tuple[int, int], known: Mapping[int, TrialState]
    ) -> list[FrozenTrial]:
        return self._ask(self._trials.news, study_id, last, known)


def _storage_of(inner: Inner) -> BaseStorage:
    return inner.storage if isinstance(inner, BorrowedDatabase) else inner


def _writer(inner: BaseStorage, cached: BaseStorage) -> TrialWriter:
    """Return the writer of a storage.

    Args:
        inner: the storage.
        cached: the same one, where Optuna keeps finished trials in memory.
    """
    if isinstance(inner, JournalStorage):
        return RecordWriter(inner)
    if isinstance(inner, RDBStorage) and fits():
        return TrialRows(inner)
    return OrdinaryWriter(cached)
