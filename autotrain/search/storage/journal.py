"""Optuna journal file of a study, with one writer and buffered writes.

Each line is a JSON record in the format of Optuna's `JournalFileBackend`, so optuna-dashboard can
open the file, also during a search. Optuna's backend locks and syncs the file for every record
(about 28 times per trial). `GroupCommitBackend` buffers records in memory and syncs once per
`commit`. Readers always see whole lines.

Other processes may append too, for example optuna-dashboard when a note is saved. Their records
are read at the next write and passed to Optuna in the order of the file.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

from optuna.storages.journal import BaseJournalBackend

from autotrain.bundle.full_disk import repeat
from autotrain.bundle.own_files import open_own
from autotrain.bundle.systems import read_at, sync_folder
from autotrain.errors import StorageError

Record = dict[str, Any]

_OPERATIONS = range(11)
CHUNK = 1000
"""Number of lines that are parsed together."""
# Optuna numbers studies and trials by the order of these records in the file.
CREATE_OPERATIONS = (0, 4)
TORN = ".torn"
"""Suffix of the file with incomplete lines that were cut off from a journal."""

# macOS has no fdatasync.
_sync = getattr(os, "fdatasync", os.fsync)


class JournalReader(BaseJournalBackend):
    """Reads a journal, also while another process writes it, and never changes it.

    Attributes:
        line: number of the last line that was returned, from 1.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.line = 0
        self._offset = 0

    def read_logs(self, log_number_from: int) -> Iterator[Record]:
        """Yield the records from that number on, up to the last complete one.

        It may lack its line break, which the next writer adds.
        """
        if log_number_from < self.line:
            self.line = self._offset = 0
        with self._open() as file:
            file.seek(self._offset)
            while lines := list(islice(file, CHUNK)):
                rest = b"" if lines[-1].endswith(b"\n") else lines.pop()
                for record in _parse_all(self.path, self.line, lines):
                    self.line += 1
                    if self.line > log_number_from:
                        yield record
                self._offset += sum(map(len, lines))
                last = record_in(rest)
                if last is not None and self.line >= log_number_from:
                    yield last

    def _open(self) -> BinaryIO:
        try:
            return os.fdopen(open_own(self.path, os.O_RDONLY), "rb")
        except OSError as error:
            raise StorageError(
                f"{self.path} must be a file that can be read, got: {error.strerror}."
            ) from error

    def append_logs(self, logs: list[Record]) -> None:
        """Raise StorageError, because a reader must not write."""
        raise StorageError(
            f"{self.path} is open read-only and cannot be written. "
            "Open the study with `open_storage` to change it."
        )


class GroupCommitBackend(BaseJournalBackend):
    """Writes a journal with a buffer in memory, which `commit` writes to disk.

    If a writer was killed, its last line may be incomplete. It is cut off when the file is opened,
    and saved in `journal.log.torn`. Records that create a study or a trial are written at once
    (without a sync), because their order in the file defines the numbers.

    The memory contains only records that are not yet written or not yet read; `JournalStorage`
    reads after each write.

    Args:
        path: the file; it is created if it does not exist.
        most_buffered_bytes: a buffer that is larger is written without a `commit`.
        sync: writes a file of a descriptor to the disk.
    Raises:
        StorageError: when the file cannot be opened, or is not a journal.
    """

    def __init__(
        self,
        path: Path,
        *,
        most_buffered_bytes: int = 1 << 20,
        sync: Callable[[int], None] = _sync,
    ) -> None:
        self.path = path
        self.most_buffered_bytes = most_buffered_bytes
        self._sync = sync
        self._reader = JournalReader(path)
        self._mutex = threading.Lock()
        self._buffer: list[bytes] = []
        self._n_buffered_bytes = 0
        self._unread: list[Record] = []
        self._needs_sync = False
        self._broken: StorageError | None = None
        is_new = not path.exists()
        try:
            self._fd = open_own(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
        except OSError as error:
            raise StorageError(
                f"{path} must be a file that can be written, got: {error.strerror}."
            ) from error
        self._is_open = True
        try:
            if is_new:
                sync_folder(path.parent)
            self._size = _cut_torn_line(self._fd, path)
            self._n_lines = self._n_read = _count_lines(self._fd)
        except BaseException:
            os.close(self._fd)
            raise

    def __reduce__(self) -> tuple[type[JournalReader], tuple[Path]]:
        """Pickle as a reader, because only one process may write."""
        self.commit(durable=False)
        return JournalReader, (self.path,)

    @property
    def line(self) -> int:
        """Number of the last line that was read from the file, from 1."""
        return self._reader.line

    def read_logs(self, log_number_from: int) -> Iterable[Record]:
        """Return the records from that number on, including those that are not written yet."""
        with self._mutex:
            if log_number_from >= self._n_read:
                logs = self._unread[log_number_from - self._n_read :]
                self._n_read += len(self._unread)
                self._unread = []
                return logs
            self._write()
        return self._reader.read_logs(log_number_from)

    def append_logs(self, logs: list[Record]) -> None:
        """Append records to the buffer; they are on disk after the next `commit`."""
        lines = [json.dumps(log, separators=(",", ":")).encode() + b"\n" for log in logs]
        with self._mutex:
            if not self._is_open:
                raise StorageError(
                    f"{self.path} is closed and cannot be written. "
                    "Open it again with `open_storage`."
                )
            self._buffer += lines
            self._n_buffered_bytes += sum(map(len, lines))
            creates = any(log["op_code"] in CREATE_OPERATIONS for log in logs)
            if creates or self._n_buffered_bytes > self.most_buffered_bytes:
                try:
                    self._write()
                except BaseException:
                    # Optuna ignores the records after this error, or after Ctrl-C while the disk
                    # is full: they must not be written later.
                    del self._buffer[-len(lines) :]
                    self._n_buffered_bytes -= sum(map(len, lines))
                    raise
            # These records equal those of a later reader of the file: JSON types, nothing shared.
            self._unread += [json.loads(line) for line in lines]

    def commit(self, *, durable: bool = True) -> None:
        """Write the buffer; with `durable`, return when it would survive a power failure.

        Raises:
            StorageError: when it cannot be written; the records stay in the buffer.
        """
        with self._mutex:
            if not self._is_open:
                return
            self._write()
            if not (durable and self._needs_sync):
                return
            self._needs_sync = False
        # The sync is outside the lock, because it can be slow and must not block `append_logs`.
        try:
            self._sync(self._fd)
        except OSError as error:
            self._needs_sync = True
            raise self._cannot_write(error) from error

    def close(self) -> None:
        """Commit and close the file; a second call does nothing."""
        try:
            self.commit()
        finally:
            with self._mutex:
                if self._is_open:
                    self._is_open = False
                    os.close(self._fd)

    def _write(self) -> None:
        if self._broken is not None:
            raise self._broken
        if os.fstat(self._fd).st_nlink == 0:
            raise StorageError(
                f"{self.path} was deleted while the study was open, so its trials cannot be saved."
            )
        data = b"".join(self._buffer)
        try:
            repeat(lambda: self._append(data), self.path.parent)
        except OSError as error:
            raise self._cannot_write(error) from error
        if data:
            self._needs_sync = True
            n_lines = len(self._buffer)
            self._buffer, self._n_buffered_bytes = [], 0
            end = os.lseek(self._fd, 0, os.SEEK_CUR)
            self._take_foreign(end - len(data), must_be_whole=True)
            self._size = end
            self._n_lines += n_lines
        else:
            self._take_foreign(os.fstat(self._fd).st_size, must_be_whole=False)

    def _append(self, data: bytes) -> None:
        """Append bytes to the file: all of them or, if it fails, none."""
        n_written = 0
        try:
            # A single call, so that no other process sees or writes part of a line. It is
            # incomplete only when the disk is full.
            while n_written < len(data):
                n_written += os.write(self._fd, data[n_written:])
        except BaseException:
            if n_written:
                os.ftruncate(self._fd, os.lseek(self._fd, 0, os.SEEK_CUR) - n_written)
            raise

    def _take_foreign(self, end: int, *, must_be_whole: bool) -> None:
        """Read the records that other processes appended between our last write and `end`."""
        if end <= self._size:
            return
        data = read_at(self._fd, end - self._size, self._size)
        whole = data[: data.rfind(b"\n") + 1]
        for line in whole.splitlines(keepends=True):
            self._n_lines += 1
            self._size += len(line)
            self._unread.append(parse(self.path, self._n_lines, line))
        if must_be_whole and len(whole) < len(data):
            self._broken = _corrupt(self.path, self._n_lines + 1, data[len(whole) :])
            raise self._broken

    def _cannot_write(self, error: OSError) -> StorageError:
        return StorageError(
            f"{self.path} must be writable, got: {error.strerror}. "
            "Free space, then resume the study; finished trials are saved."
        )


def parse(path: Path, line_number: int, line: bytes) -> Record:
    """Return the record in one line of a journal.

    Raises:
        StorageError: when it is not a record of an Optuna journal.
    """
    record = record_in(line)
    if record is None:
        raise _corrupt(path, line_number, line)
    return record


def record_in(line: bytes) -> Record | None:
    """Return the record in one line; None when it is not a record of an Optuna journal."""
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return record if _is_record(record) else None


def _parse_all(path: Path, n_before: int, lines: list[bytes]) -> Iterable[Record]:
    """Return the records in lines, of which `n_before` lines are before."""
    try:
        # One call is several times faster than one for each line.
        records: list[Record] = json.loads(b"[" + b",".join(lines) + b"]")
    except (ValueError, RecursionError):
        records = []
    if len(records) == len(lines) and all(map(_is_record, records)):
        return records
    # The records before the invalid one are valid.
    return (parse(path, number, line) for number, line in enumerate(lines, n_before + 1))


def _is_record(record: object) -> bool:
    return (
        isinstance(record, dict) and record.get("op_code") in _OPERATIONS and "worker_id" in record
    )


def _corrupt(path: Path, line_number: int, line: bytes) -> StorageError:
    shown = repr(line[:60].decode(errors="replace").rstrip("\n"))
    return StorageError(
        f"{path}, line {line_number} must be a record of an Optuna journal, got "
        f"{shown}{' …' if len(line) > 60 else ''}. {repair_text(path)}"
    )


def repair_text(path: Path) -> str:
    """Return the fix of a damaged journal."""
    name = path.absolute().parent.name
    return f"To keep all complete records, run: autotrain doctor {name} --fix"


def _cut_torn_line(fd: int, path: Path, chunk: int = 1 << 16) -> int:
    """Move an incomplete last line to the `.torn` file, and return the size of the journal.

    A complete record without its line break stays.
    """
    size = keep = os.fstat(fd).st_size
    while keep > 0:
        start = max(0, keep - chunk)
        newline = read_at(fd, keep - start, start).rfind(b"\n")
        if newline >= 0:
            keep = start + newline + 1
            break
        keep = start
    if keep == size:
        return size
    torn = read_at(fd, size - keep, keep)
    if record_in(torn) is not None:
        os.write(fd, b"\n")
        os.fsync(fd)
        return size + 1
    # After a power failure there may be zeros. Other bytes that do not begin a record are not
    # written by autotrain.
    opening = b'{"op_code":'
    if torn.strip(b"\0") and not torn.startswith(opening) and not opening.startswith(torn):
        raise _corrupt(path, _count_lines(fd) + 1, torn)
    torn_path = path.with_name(path.name + TORN)
    try:
        kept = open_own(torn_path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    except OSError as error:
        raise StorageError(
            f"{torn_path} must be a file that can be written, got: {error.strerror}."
        ) from error
    with os.fdopen(kept, "ab") as file:
        file.write(torn + b"\n")
        file.flush()
        os.fsync(file.fileno())
    os.ftruncate(fd, keep)
    os.fsync(fd)
    return keep


def _count_lines(fd: int, chunk: int = 1 << 20) -> int:
    n_lines = offset = 0
    while data := read_at(fd, chunk, offset):
        n_lines += data.count(b"\n")
        offset += len(data)
    return n_lines
