"""How large a table may be when it is unpacked: a small file may hold far more than memory."""

from __future__ import annotations

from pathlib import Path

from autotrain.errors import DataError

SHARE = 0.5
"""A table is copied while it is read and split: more than this share of memory does not fit."""
_MEMINFO = Path("/proc/meminfo")
GIB = 1 << 30


def available() -> int | None:
    """Return the bytes of memory that are free to use, None where the system does not say."""
    try:
        lines = dict(line.split(":", 1) for line in _MEMINFO.read_text().splitlines())
        return int(lines["MemAvailable"].split()[0]) * 1024
    except (OSError, ValueError, KeyError, IndexError):
        return None


def check_fits(where: str, n_bytes: int) -> None:
    """Refuse a table that would not fit in memory, before it is unpacked.

    Args:
        where: names the file.
        n_bytes: of the table as unpacked.
    Raises: DataError.
    """
    free = available()
    if free is not None and n_bytes > SHARE * free:
        raise DataError(
            f"{where} must take at most {SHARE:.0%} of the available memory when unpacked "
            f"({SHARE * free / GIB:.3g} GiB), got {n_bytes / GIB:.3g} GiB. Give fewer rows or "
            "columns, or a machine with more memory."
        )
