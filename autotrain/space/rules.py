"""The tables beside the sections: reading `[[forbid]]`, and what `[[baseline]]` shares with it.

A space's own rules must be right; inherited ones are cut to fit the choices that are left, and
dropped when nothing of them fits.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import Any

from autotrain.space.definition import Forbid
from autotrain.space.forbidding import Forbids, Sections, explain
from autotrain.space.naming import flatten
from autotrain.space.reading import Reading
from autotrain.space.sections import Place, locate
from autotrain.space.values import contains, count_values, parse_value, show
from autotrain.techniques.technique import Value


def check_forbids(
    reading: Reading, sections: Sections, broken: Set[str], mistakes: list[str]
) -> tuple[Forbid, ...]:
    """Return the forbids in force; own ones must be right, inherited ones are cut to fit."""
    before = len(mistakes)
    forbids: list[Forbid] = []
    n_inherited = len(reading.all_forbid()) - len(own_rules(reading.forbid, "forbid", mistakes))
    for number, written in enumerate(reading.all_forbid(), start=1 - n_inherited):
        is_own = number > 0
        found: list[str] = []
        forbid = _parse_forbid(written, sections, broken, found, is_own=is_own)
        if is_own:
            mistakes += [f"[[forbid]] {number}: {mistake}" for mistake in found]
        if forbid is not None and not found and forbid not in forbids:
            forbids.append(forbid)
    if len(mistakes) == before and forbids and not Forbids(sections, forbids).can_complete({}):
        rules = "; ".join(explain(forbid) for forbid in forbids)
        mistakes.append(
            "[[forbid]]: must leave at least one combination, "
            f"however: all are forbidden by {rules}"
            + ("" if reading.forbid else f", of {reading.above}")
        )
    return tuple(forbids)


def own_rules(written: Any, word: str, mistakes: list[str]) -> list[Any]:
    """Return the tables of `[[forbid]]` or `[[baseline]]`, complaining about anything else."""
    if written is None:
        return []
    if not isinstance(written, list):
        mistakes.append(f"[[{word}]]: must be tables, however: {show(written)}. Write [[{word}]].")
        return []
    return written


def _parse_forbid(
    written: Any, sections: Sections, broken: Set[str], mistakes: list[str], *, is_own: bool
) -> Forbid | None:
    if not isinstance(written, Mapping) or not written:
        mistakes.append(f"must be a table of names and values, however: {show(written)}")
        return None
    forbid: dict[str, tuple[Value, ...]] = {}
    for name, value in flatten(written).items():
        try:
            place = locate(name)
            values = _forbidden_values(
                place, value, sections, is_broken=name in broken, is_own=is_own
            )
        except ValueError as error:
            mistakes.append(f"{name}: {error}")
            continue
        if place.row is not None and place.key in place.section.parameters:
            # A shared parameter, said for one row: two conditions.
            forbid[place.section.name] = (place.row,)
            name = f"{place.section.name}.{place.key}"
        forbid[name] = values
    return forbid


def _forbidden_values(
    place: Place, value: Any, sections: Sections, *, is_broken: bool, is_own: bool
) -> tuple[Value, ...]:
    """Return the values that a condition names and the space has."""
    space = sections[place.section.name]
    parameter = place.parameter
    is_one = not isinstance(value, list) or (
        parameter is not None
        and parameter.kind == "reals"
        and not any(isinstance(item, list) for item in value)
    )
    items = [value] if is_one else value
    if not items:
        raise ValueError("must name at least one value, however: []")
    if parameter is None:
        return _among(items, space.choices, is_own=is_own)
    if place.row is not None and place.row not in space.choices:
        raise ValueError(f"{place.row!r} is not among the choices: {', '.join(space.choices)}")
    key = place.key or ""
    rows = space.row_names if place.row is None else (place.row,)
    domains = [space.domain(row, key)[1] for row in rows]
    parsed = [parse_value(parameter, item) for item in items]
    if is_broken:
        return tuple(parsed)
    if all(count_values(domain) is None for domain in domains):
        raise ValueError(
            "must be a parameter with values to count, however: it has a range of reals"
        )
    kept = [v for v in parsed if any(contains(domain, v) for domain in domains)]
    if is_own and len(kept) < len(parsed):
        never = next(v for v in parsed if v not in kept)
        raise ValueError(f"must be a value of the space, however: {show(never)} is never tried")
    if not kept:
        raise ValueError("is never tried")
    return tuple(kept)


def _among(items: list[Any], choices: tuple[str, ...], *, is_own: bool) -> tuple[Value, ...]:
    kept = tuple(item for item in items if item in choices)
    if not kept or (is_own and len(kept) < len(items)):
        never = next(item for item in items if item not in choices)
        raise ValueError(
            f"must be among the choices, however: {show(never)}. Choices: {', '.join(choices)}."
        )
    return kept
