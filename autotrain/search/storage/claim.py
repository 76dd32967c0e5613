"""`Claim`: makes one process the only writer of a study in a database or on a server.

The lock of the study's folder does not keep out a process with a copy of the folder on another
machine. So the writer also sets a system attribute of the Optuna study to its name, and renews it
while it runs. The attribute changes only by a comparison with the value that was read before, so
two processes cannot both succeed.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from autotrain.errors import StudyError
from autotrain.search.storage.lock import is_held

WRITER = "autotrain:writer"
RENEW_EVERY_S = 15.0
EXPIRES_S = 90.0
"""Age of a claim of another machine that has ended without its release."""
Value = dict[str, Any]


class Claimable(Protocol):
    """A storage of which several machines may have a URL."""

    def get_study_system_attrs(self, study_id: int) -> dict[str, Any]:
        """Return the system attributes of a study."""

    def swap(self, study_id: int, name: str, old: Value | None, new: Value) -> bool:
        """Set a system attribute if it has the value `old` (None: if it is missing)."""


class Claim:
    """The claim of this process, renewed by a thread until `release`.

    Args:
        storage: contains the study.
        study_id: Optuna's number of the study.
        folder: the study's folder, which this process has locked.
        machine: a text that differs between machines, and between containers.
        expires_s: age of a claim of another machine that is taken over.
    Raises:
        StudyError: when another process is the writer.
    """

    def __init__(
        self,
        storage: Claimable,
        study_id: int,
        folder: Path,
        *,
        machine: str | None = None,
        expires_s: float = EXPIRES_S,
    ) -> None:
        self._storage = storage
        self._study_id = study_id
        self._mutex = threading.Lock()
        self._lost: str | None = None
        self._value: Value = {
            "study": study_id,
            "id": uuid.uuid4().hex,
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "machine": machine or this_machine(),
            "folder": os.path.realpath(folder),
            "since": datetime.now(UTC).isoformat(timespec="seconds"),
            "renewed": time.time(),
        }
        found = self._found()
        is_taken = is_alive(found, study_id, folder, machine, expires_s)
        if is_taken or not storage.swap(study_id, WRITER, found, self._value):
            raise StudyError(
                f"study in folder {folder} must have one writer, but {_words(self._found())} "
                "writes to it. Wait for that process, stop it, or choose another study name. If it "
                f"was killed, try again after {expires_s:.0f} s."
            )
        self._renewed_s = time.monotonic()
        self._has_ended = threading.Event()
        threading.Thread(target=self._renew_regularly, name="claim", daemon=True).start()

    def check(self) -> None:
        """Check that this process is still the writer; call it before a write.

        Raises:
            StudyError: when another process has taken the study over.
        """
        if self._lost is None and time.monotonic() - self._renewed_s > 2 * RENEW_EVERY_S:
            # The server was not reachable, or this process was suspended.
            self.renew()
        if self._lost is not None:
            raise StudyError(self._lost)

    def renew(self) -> None:
        """Record that this process is alive."""
        with self._mutex:
            if self._has_ended.is_set() or self._lost is not None:
                return
            new = {**self._value, "renewed": time.time()}
            if not self._storage.swap(self._study_id, WRITER, self._value, new):
                found = self._found() or {}
                # The answer to an earlier renewal may have been lost.
                if found.get("id") != self._value["id"]:
                    self._lost = (
                        f"study must have one writer, but {_words(found)} has taken it over. "
                        "This search ends; trials that were running are not saved."
                    )
                    return
                new = found
            self._value, self._renewed_s = new, time.monotonic()

    def release(self) -> None:
        """End the claim, so that another process can write at once."""
        with self._mutex:
            self._has_ended.set()
            if self._lost is None:
                self._storage.swap(self._study_id, WRITER, self._value, {})

    def _renew_regularly(self) -> None:
        while not self._has_ended.wait(RENEW_EVERY_S):
            # While the server is not reachable, `check` renews the claim.
            with contextlib.suppress(Exception):
                self.renew()

    def _found(self) -> Value | None:
        found: Value | None = self._storage.get_study_system_attrs(self._study_id).get(WRITER)
        return found


def is_alive(
    found: Value | None,
    study_id: int,
    folder: Path,
    machine: str | None = None,
    expires_s: float = EXPIRES_S,
) -> bool:
    """Whether a claim belongs to another process that may still write.

    Args:
        found: the system attribute `WRITER` of the study.
        study_id: Optuna's number of the study.
        folder: the study's folder on this machine, whose own lock is not part of the claim.
        machine: a text that differs between machines; None for this one.
        expires_s: age of a claim of another machine that has ended.
    """
    # Optuna copies the attribute when it copies a study.
    if not found or found.get("study") != study_id:
        return False
    try:
        if found["machine"] == (machine or this_machine()):
            other = found["folder"]
            return other != os.path.realpath(folder) and is_held(Path(other))
        return time.time() - float(found["renewed"]) < expires_s
    except (KeyError, TypeError, ValueError):
        return False  # Not written by autotrain.


def this_machine() -> str:
    """Return a text that differs between machines, and between containers."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {Path('/proc/self/ns/mnt').readlink()}"
    except OSError:
        return socket.gethostname()


def _words(found: Value | None) -> str:
    if not found:
        return "another process"
    return f"process {found['pid']} on {found['host']} (folder {found['folder']})"
