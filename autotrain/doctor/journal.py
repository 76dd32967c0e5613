"""Complete records in a damaged journal: `scan` finds them, `assemble` makes a journal of them.

A journal is damaged by a power failure or a broken disk: the end of the file is cut or consists of
zeros, or bytes in the middle are overwritten. All records that are complete are kept, in their
order. The bytes between them are a gap.

A gap may contain the creation of a trial. Optuna numbers trials by the order of their creation, so
without it all later records would belong to the wrong trials. The later records contain the numbers
that they refer to: `lost_creations` counts from them how many trials were created in each gap, and
`assemble` creates these again, without parameters. Digits that have changed inside a record are not
found, because records have no checksum.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

from optuna.storages import JournalStorage
from optuna.storages.journal import BaseJournalBackend
from optuna.trial import TrialState

from autotrain.errors import StorageError, StudyError
from autotrain.search.storage.journal import record_in

CREATE_STUDY = 0
CREATE_TRIAL = 4
SET_STATE = 6
RUNNING = int(TrialState.RUNNING)
OPEN = (RUNNING, int(TrialState.WAITING))
WRITER = "autotrain-doctor"
"""The `worker_id` of records that a repair adds."""
START = re.compile(rb'\{"op_code":')
_decoder = json.JSONDecoder()


@dataclass(frozen=True)
class CompleteRecord:
    """A complete record.

    Args:
        line: its bytes, without the line break.
        record: its content.
    """

    line: bytes
    record: dict[str, Any]


@dataclass(frozen=True)
class Gap:
    """Bytes that are not part of a complete record.

    Args:
        index: number of complete records before the gap.
        line: line of the file, from 1.
        lost: the bytes.
    """

    index: int
    line: int
    lost: bytes


@dataclass(frozen=True)
class Scan:
    """The content of a journal.

    Args:
        entries: the complete records.
        gaps: what is between them.
        is_whole: whether the file consists of one complete record per line.
    """

    entries: tuple[CompleteRecord, ...]
    gaps: tuple[Gap, ...]
    is_whole: bool

    @property
    def is_torn(self) -> bool:
        """Whether nothing but the end of the file is lost."""
        return all(gap.index == len(self.entries) for gap in self.gaps)

    def segments(self) -> list[list[dict[str, Any]]]:
        """Return the records before the first gap, between the gaps, and after the last one."""
        ends = [0, *(gap.index for gap in self.gaps), len(self.entries)]
        return [[entry.record for entry in self.entries[a:b]] for a, b in pairwise(ends)]


def scan(data: bytes) -> Scan:
    """Find all complete records in the bytes of a journal."""
    entries: list[CompleteRecord] = []
    gaps: list[Gap] = []
    lines = data.split(b"\n")
    for number, line in enumerate(lines[:-1] if not lines[-1] else lines, 1):
        for piece in _pieces(line):
            if isinstance(piece, CompleteRecord):
                entries.append(piece)
            elif gaps and gaps[-1].index == len(entries):
                last = gaps.pop()
                gaps.append(Gap(last.index, last.line, last.lost + b"\n" + piece))
            else:
                gaps.append(Gap(len(entries), number, piece))
    found = Scan(tuple(entries), tuple(gaps), is_whole=False)
    for index in reversed(invalid([entry.record for entry in entries])):
        found = _without(found, index)
    content = b"".join(entry.line + b"\n" for entry in found.entries)
    return Scan(found.entries, found.gaps, is_whole=content == data)


def _pieces(line: bytes) -> Iterator[CompleteRecord | bytes]:
    """Yield the complete records in a line, and the other bytes between them."""
    record = record_in(line)
    if record is not None:
        yield CompleteRecord(line, record)
        return
    # A record contains ASCII characters only, so each byte is one character.
    text, end = line.decode("latin-1"), 0
    for match in START.finditer(line):
        if match.start() < end:
            continue
        try:
            _, stop = _decoder.raw_decode(text, match.start())
        except (ValueError, RecursionError):
            continue
        found = line[match.start() : stop]
        record = record_in(found) if found.isascii() else None
        if record is None:
            continue
        if match.start() > end:
            yield line[end : match.start()]
        yield CompleteRecord(found, record)
        end = stop
    if end < len(line) or not line:
        yield line[end:]


def _without(found: Scan, index: int) -> Scan:
    """Return a scan in which a record is part of a gap, because it is not valid."""
    entries = list(found.entries)
    lost = entries.pop(index).line
    before = [gap for gap in found.gaps if gap.index < index]
    around = [gap for gap in found.gaps if index <= gap.index <= index + 1]
    after = [Gap(g.index - 1, g.line, g.lost) for g in found.gaps if g.index > index + 1]
    line = min((gap.line for gap in around), default=index + 1 + len(before))
    merged = Gap(index, line, b"\n".join([lost, *(gap.lost for gap in around)]))
    return Scan(tuple(entries), (*before, merged, *after), is_whole=False)


class MemoryJournal(BaseJournalBackend):
    """A journal in memory, which is only read."""

    def __init__(self, records: Sequence[dict[str, Any]]) -> None:
        self.records = records
        self.n_read = 0

    def read_logs(self, log_number_from: int) -> Iterator[dict[str, Any]]:
        """Yield the records from that number on."""
        for record in self.records[log_number_from:]:
            log_number_from += 1
            self.n_read = log_number_from
            yield record

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Raise StorageError, because nothing is written."""
        raise StorageError("a journal in memory is only read.")


def invalid(records: Sequence[dict[str, Any]]) -> list[int]:
    """Return the places of the records that Optuna cannot apply."""
    found: list[int] = []
    memory = MemoryJournal([])
    storage = JournalStorage(memory)
    memory.records = records
    while True:
        try:
            storage.get_all_studies()
        except Exception:
            # Optuna continues with the next record. The kind of error depends on what is wrong.
            found.append(memory.n_read - 1)
        else:
            return found


def lost_creations(segments: Sequence[Sequence[dict[str, Any]]]) -> list[int]:
    """Return the number of trials that were created in each gap.

    Args:
        segments: the records before the first gap, between the gaps, and after the last one.
    Raises:
        StudyError: when the numbers do not follow from the records.
    """
    lost: list[int] = []
    begin, is_certain = 0, True
    for segment in segments:
        needed, n_created, largest, has_content = begin, 0, -1, False
        for record in segment:
            if record["op_code"] == CREATE_TRIAL:
                n_created += 1
                has_content |= "state" in record
            elif "trial_id" in record:
                needed = max(needed, record["trial_id"] + 1 - n_created)
                largest = max(largest, record["trial_id"])
        if needed > begin and not (lost and is_certain):
            raise StudyError(
                "the journal must contain the creation of each trial that it refers to, got "
                f"references to {needed + n_created:,} trials and no certain order of them."
            )
        # A reference to a trial of this segment confirms the numbers of the segment.
        is_certain &= not (lost and has_content and largest < needed)
        lost.append(needed - begin)
        begin = needed + n_created
    return lost[1:]


@dataclass(frozen=True)
class Assembled:
    """A journal of the complete records, in which each trial has its number.

    Args:
        lines: its lines, without the line breaks.
        unsure: Optuna's numbers of the trials that may have lost records, because they were open
            at a gap.
        are_open: the numbers of those that have not ended.
    """

    lines: tuple[bytes, ...]
    unsure: frozenset[int]
    are_open: frozenset[int]

    def records(self) -> list[dict[str, Any]]:
        """Return the content of the lines."""
        return [json.loads(line) for line in self.lines]

    def ended_by_writers_of(self, name: str) -> frozenset[int]:
        """Return the trials that were ended by a process that sets this user attribute."""
        records = self.records()
        writers = {r["worker_id"] for r in records if name in r.get("user_attr", {})}
        return frozenset(r["trial_id"] for r in records if _is_end(r) and r["worker_id"] in writers)

    def without_ends(self, trials: Collection[int]) -> Assembled:
        """Return the journal without the ends of some trials, which are then open."""
        kept = [
            line
            for line, record in zip(self.lines, self.records(), strict=True)
            if not (_is_end(record) and record["trial_id"] in trials)
        ]
        return Assembled(tuple(kept), self.unsure, self.are_open)


def assemble(found: Scan, study_name: str, direction: int) -> Assembled:
    """Make a journal of all complete records.

    Args:
        found: the content of the damaged journal.
        study_name, direction: of the Optuna study, if the record of its creation is lost.
    Raises:
        StudyError: when the numbers of the trials do not follow from the records.
    """
    lines: list[bytes] = []
    if not any(entry.record["op_code"] == CREATE_STUDY for entry in found.entries):
        lines.append(_line(CREATE_STUDY, study_name=study_name, directions=[direction]))
    lost = lost_creations(found.segments())
    counts = dict(zip((gap.index for gap in found.gaps), lost, strict=True))
    now = datetime.now(UTC).isoformat(timespec="microseconds")
    n_created, unsure = 0, set[int]()
    are_open: set[int] = set()
    for index in range(len(found.entries) + 1):
        if index in counts:
            lines += [_line(CREATE_TRIAL, study_id=0, datetime_start=now)] * counts[index]
            are_open |= set(range(n_created, n_created + counts[index]))
            n_created += counts[index]
            unsure |= are_open
        if index < len(found.entries):
            entry = found.entries[index]
            lines.append(entry.line)
            if entry.record["op_code"] == CREATE_TRIAL:
                if entry.record.get("state", RUNNING) in OPEN:
                    are_open.add(n_created)
                n_created += 1
            elif _is_end(entry.record):
                are_open.discard(entry.record["trial_id"])
    return Assembled(tuple(lines), frozenset(unsure), frozenset(are_open))


def _is_end(record: dict[str, Any]) -> bool:
    return record["op_code"] == SET_STATE and record["state"] not in OPEN


def _line(op_code: int, **fields: Any) -> bytes:
    record = {"op_code": op_code, "worker_id": WRITER, **fields}
    return json.dumps(record, separators=(",", ":")).encode()
