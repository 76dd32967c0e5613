"""Limit the size of an unpacked table; a small file may unpack to more than memory."""

from __future__ import annotations

from pathlib import Path

from autotrain.errors import DataError

SHARE = 0.5
"""Largest fraction of free memory for a table, which is copied while it is read and split."""
_MEMINFO = Path("/proc/meminfo")
GIB = 1 << 30


def available() -> int | None:
    """Return the available memory in bytes; None if the system does not report it."""
    try:
        lines = dict(line.split(":", 1) for line in _MEMINFO.read_text().splitlines())
        return int(lines["MemAvailable"].split()[0]) * 1024
    except (OSError, ValueError, KeyError, IndexError):
        return None


def check_fits(where: str, n_bytes: int) -> None:
    """Refuse a table that would not fit in memory, before it is unpacked.

    Args:
        where: name of the file.
        n_bytes: size of the unpacked table.
    Raises:
        DataError: when it does not fit.
    """
    free = available()
    if free is not None and n_bytes > SHARE * free:
        raise DataError(
            f"{where} must take at most {SHARE:.0%} of the available memory when unpacked "
            f"({SHARE * free / GIB:.3g} GiB), got {n_bytes / GIB:.3g} GiB. Give fewer rows or "
            "columns, or use a machine with more memory."
        )
