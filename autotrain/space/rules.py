"""Check `[[forbid]]` tables.

Mistakes in the space's own tables are errors. Inherited tables are reduced to the choices that are
left, and dropped when none is left.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import Any

from autotrain.space.definition import Forbid
from autotrain.space.forbidding import Forbids, Sections, explain
from autotrain.space.naming import flatten, mistake
from autotrain.space.reading import WrittenSpace
from autotrain.space.sections import ParameterPath, locate
from autotrain.space.values import contains, count_values, parse_value, show
from autotrain.techniques.technique import Value


def check_forbids(
    written: WrittenSpace, sections: Sections, broken: Set[str], mistakes: list[str]
) -> tuple[Forbid, ...]:
    """Return own and inherited forbids; report mistakes in own ones, reduce inherited ones."""
    before = len(mistakes)
    forbids: list[Forbid] = []
    n_inherited = len(written.all_forbid()) - len(own_rules(written.forbid, "forbid", mistakes))
    for number, table in enumerate(written.all_forbid(), start=1 - n_inherited):
        is_own = number > 0
        found: list[str] = []
        forbid = _parse_forbid(table, sections, broken, found, is_own=is_own)
        if is_own:
            mistakes += [mistake(f"[[forbid]] {number}", what) for what in found]
        if forbid is not None and not found and forbid not in forbids:
            forbids.append(forbid)
    if len(mistakes) == before and forbids and not Forbids(sections, forbids).can_complete({}):
        rules = "; ".join(explain(forbid) for forbid in forbids)
        origin = "" if written.forbid else f" of {written.above}"
        mistakes.append(
            "[[forbid]] must leave at least one combination, got none. These rules"
            f"{origin} forbid all: {rules}."
        )
    return tuple(forbids)


def own_rules(written: Any, word: str, mistakes: list[str]) -> list[Any]:
    """Return the own tables of `[[forbid]]`, `[[baseline]]` or `[[when]]`."""
    if written is None:
        return []
    if not isinstance(written, list):
        mistakes.append(f"[[{word}]] must be tables, got {show(written)}. Write [[{word}]].")
        return []
    return written


def _parse_forbid(
    written: Any, sections: Sections, broken: Set[str], mistakes: list[str], *, is_own: bool
) -> Forbid | None:
    if not isinstance(written, Mapping) or not written:
        mistakes.append(f"must be a table of names and values, got {show(written)}.")
        return None
    forbid: dict[str, tuple[Value, ...]] = {}
    for name, value in flatten(written).items():
        try:
            path = locate(name)
            values = _forbidden_values(
                path, value, sections, is_broken=name in broken, is_own=is_own
            )
        except ValueError as error:
            mistakes.append(mistake(name, str(error)))
            continue
        if path.row is not None and path.key in path.section.parameters:
            # A shared parameter of one row is two conditions: the row and the parameter.
            forbid[path.section.name] = (path.row,)
            name = f"{path.section.name}.{path.key}"
        forbid[name] = values
    return forbid


def _forbidden_values(
    path: ParameterPath, value: Any, sections: Sections, *, is_broken: bool, is_own: bool
) -> tuple[Value, ...]:
    """Return the values of a condition that are in the space."""
    space = sections[path.section.name]
    parameter = path.parameter
    is_one = not isinstance(value, list) or (
        parameter is not None
        and parameter.kind == "reals"
        and not any(isinstance(item, list) for item in value)
    )
    items = [value] if is_one else value
    if not items:
        raise ValueError("must name at least one value, got [].")
    if parameter is None:
        return _among(items, space.choices, is_own=is_own)
    if path.row is not None and path.row not in space.choices:
        raise ValueError(
            f"must be of a choice, got {path.row!r}. Choices: {', '.join(space.choices)}."
        )
    key = path.key or ""
    rows = space.row_names if path.row is None else (path.row,)
    domains = [space.domain(row, key)[1] for row in rows]
    parsed = [parse_value(parameter, item) for item in items]
    if is_broken:
        return tuple(parsed)
    if all(count_values(domain) is None for domain in domains):
        raise ValueError(
            "must be a parameter with countable values, got one with a continuous range."
        )
    kept = [v for v in parsed if any(contains(domain, v) for domain in domains)]
    if is_own and len(kept) < len(parsed):
        never = next(v for v in parsed if v not in kept)
        raise ValueError(f"must be a value of the space, got {show(never)}.")
    if not kept:
        raise ValueError("is not in the space.")
    return tuple(kept)


def _among(items: list[Any], choices: tuple[str, ...], *, is_own: bool) -> tuple[Value, ...]:
    kept = tuple(item for item in items if item in choices)
    if not kept or (is_own and len(kept) < len(items)):
        never = next(item for item in items if item not in choices)
        raise ValueError(
            f"must be one of the choices, got {show(never)}. Choices: {', '.join(choices)}."
        )
    return kept
