"""Time zones: the clock from which the times of a column are read.

A network reads year, weekday and hour, so the clock must be that of the people or processes behind
the data. The training column decides:

    NAIVE       no cell has a zone: times are used as they are; a time with a zone is refused
    a zone      all cells have this zone, such as "Europe/Berlin": times of other zones are
                converted to it; a time without a zone is refused
    AS_WRITTEN  texts with offsets other than UTC, which change with daylight saving time, and
                objects of several zones: the clock as written
"""

from __future__ import annotations

import datetime
import re
import zoneinfo
from collections.abc import Iterable
from functools import cache
from typing import Any

import numpy as np

from autotrain.errors import DataError

NAIVE, AS_WRITTEN, UTC = "naive", "", "UTC"
ISO_DATE = re.compile(
    r"(\d{4}-\d{2}-\d{2})(?:[T ](\d{2}):(\d{2})(?::(\d{2})(?:\.\d+)?)?(?:Z|[+-]\d{2}:?\d{2})?)?"
)
_OFFSET = re.compile(r":\d{2}(?:\.\d+)?(Z|[+-]\d{2}:?\d{2})$")
_FIXED = re.compile(r"([+-])(\d{2}):(\d{2})")


def zone_of(cells: Iterable[Any], name: str) -> str:
    """Return the zone of a column's cells.

    Args:
        cells: the distinct cells of a column of dates, without missing ones.
        name: name of the column, for the error.
    Raises:
        DataError: when some cells have a zone and others do not.
    """
    found: dict[str, Any] = {}
    for cell in cells:
        found.setdefault(_zone_of(cell), cell)
    if NAIVE in found and len(found) > 1:
        aware = next(cell for zone, cell in found.items() if zone != NAIVE)
        raise DataError(
            f"column {name!r} must have a time zone in every time or in none, got "
            f"{str(found[NAIVE])!r} and {str(aware)!r}. Write all times in the same way."
        )
    return next(iter(found)) if len(found) == 1 else AS_WRITTEN


def _zone_of(cell: Any) -> str:
    if isinstance(cell, str):
        match = _OFFSET.search(cell.strip())
        if match is None:
            return NAIVE
        return UTC if match[1].replace(":", "") in ("Z", "+0000") else AS_WRITTEN
    tzinfo = getattr(cell, "tzinfo", None)
    return NAIVE if tzinfo is None else _name_of(tzinfo)


def _name_of(tzinfo: Any) -> str:
    """Return a name from which `_zone_named` returns the zone; AS_WRITTEN if it has no name."""
    name = getattr(tzinfo, "key", None) or getattr(tzinfo, "zone", None)
    offset = tzinfo.utcoffset(None) if name is None else None
    if offset == datetime.timedelta(0):
        return UTC
    if offset is not None:
        name = str(datetime.timezone(offset)).removeprefix(UTC)
    return name if isinstance(name, str) and _zone_named(name) is not None else AS_WRITTEN


@cache
def _zone_named(name: str) -> datetime.tzinfo | None:
    fixed = _FIXED.fullmatch(name)
    if name == UTC:
        return datetime.UTC
    if fixed is not None:
        offset = datetime.timedelta(hours=int(fixed[2]), minutes=int(fixed[3]))
        return datetime.timezone(-offset if fixed[1] == "-" else offset)
    try:
        return zoneinfo.ZoneInfo(name)
    except (ValueError, OSError, zoneinfo.ZoneInfoNotFoundError):
        return None


def _zone_to_convert_to(name: str) -> datetime.tzinfo:
    tzinfo = _zone_named(name)
    if tzinfo is None:
        raise DataError(
            f"the time zone {name!r} of the training table must be known on this machine, but it "
            "is not. Install the zones: pip install tzdata."
        )
    return tzinfo


def is_zone(name: Any) -> bool:
    """Whether a value may be the zone of a column."""
    return isinstance(name, str) and len(name) < 256


def on_clock(cell: Any, zone: str) -> Any:
    """Return a date or time on the clock of a zone; None if it does not fit the zone.

    Args:
        cell: a datetime, a date or a string.
        zone: NAIVE or the name of a zone.
    Raises:
        DataError: when this machine does not know the zone.
    """
    own = _zone_of(cell)
    if zone == NAIVE:
        return cell if own == NAIVE else None
    if own == NAIVE:
        return None
    if own == zone:
        return cell
    if isinstance(cell, str):
        if ISO_DATE.fullmatch(cell.strip()) is None:
            return None
        try:
            cell = datetime.datetime.fromisoformat(cell.strip())
        except ValueError:
            return None
    try:
        return cell.astimezone(_zone_to_convert_to(zone))
    except (OverflowError, ValueError):  # the first or last day of the calendar
        return None


def has_zone(column: Any) -> bool:
    """Whether a column is a pandas series of times with one time zone."""
    return getattr(getattr(column, "dtype", None), "tz", None) is not None and hasattr(column, "dt")


def zone_of_type(column: Any) -> str:
    """Return the zone of a column for which `has_zone` is True."""
    return _name_of(column.dtype.tz)


def wall_clock(column: Any, zone: str) -> np.ndarray | None:
    """Return a column's times on the clock of a zone, without a zone: `[N]` datetime64.

    Args:
        column: a column for which `has_zone` is True.
        zone: a zone's name or AS_WRITTEN.
    Returns: the times; None when they must be converted one by one, or must not have a zone.
    Raises:
        DataError: when this machine does not know the zone.
    """
    if zone == NAIVE:
        return None
    try:
        if zone not in (AS_WRITTEN, zone_of_type(column)):
            column = column.dt.tz_convert(_zone_to_convert_to(zone))
        return np.asarray(column.dt.tz_localize(None))
    except (OverflowError, ValueError):  # the first or last moment that the type can represent
        return None


def wrong_zone(cell: Any, zone: str) -> str:
    """Return the error for a time with a zone although training had none, or the reverse."""
    shown = repr(str(cell))
    if zone == NAIVE:
        return (
            f"must have times without a time zone, as in training, got {shown}. Convert them to "
            "the zone of the training table and remove the zone: "
            "times.dt.tz_convert(ZONE).dt.tz_localize(None)."
        )
    return (
        f"must have times with a time zone, as in training ({zone}), got {shown}. Add the zone "
        "with times.dt.tz_localize(ZONE), or write the offset, such as +02:00."
    )
