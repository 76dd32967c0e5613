"""`extends`: merge a space over the one it inherits from.

Sections and rows are merged; domains and choices are replaced. Three rules make short files
possible: a range with one bound takes the rest from the range it extends; parameters of a technique
that is no longer a choice are dropped; a technique given as the value of a section
(`optimizer = "adam"`) keeps the other inherited parameters of the section.

`[[when]]` blocks are merged over the rest in the same way. A space has priority over the blocks it
inherits: an inherited block is merged over the space it comes from, and the extending space over
both.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from autotrain.space.sections import SECTIONS, Section

CHOICE_WORDS = ("choices", "choice")


def to_builtin(value: Any) -> Any:
    """Convert mappings, tuples and NumPy's values to dictionaries, lists and Python's numbers."""
    if isinstance(value, Mapping):
        return {key: to_builtin(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_builtin(item) for item in value]
    if hasattr(value, "tolist"):
        return value.tolist()
    return value


def spell_out(sections: Mapping[str, Any]) -> dict[str, Any]:
    """Convert `activation = "relu"` to `[activation] choice = "relu"`."""
    return {
        name: {"choice": value}
        if isinstance(value, str) and name in SECTIONS and SECTIONS[name].rows
        else value
        for name, value in sections.items()
    }


def merge(inherited: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """Return the sections of a space that extends another; both in the form of `spell_out`."""
    merged = dict(inherited)
    for name, value in own.items():
        before = inherited.get(name)
        if name in SECTIONS and isinstance(value, Mapping) and isinstance(before, Mapping):
            merged[name] = _merge_section(SECTIONS[name], before, value)
        else:
            merged[name] = value
    return merged


def _merge_section(
    section: Section, inherited: Mapping[str, Any], own: Mapping[str, Any]
) -> dict[str, Any]:
    merged = dict(inherited)
    kept = _chosen(own)
    if kept is not None:
        merged = {
            key: value
            for key, value in merged.items()
            if key not in CHOICE_WORDS and (key not in section.rows or key in kept)
        }
    for key, value in own.items():
        before = merged.get(key)
        if not isinstance(value, Mapping) or not isinstance(before, Mapping):
            merged[key] = value
        elif key in section.rows and key not in section.parameters:
            merged[key] = {
                **before,
                **{inner: _merge_domain(before.get(inner), item) for inner, item in value.items()},
            }
        else:
            merged[key] = _merge_domain(before, value)
    return merged


def _merge_domain(inherited: Any, own: Any) -> Any:
    if not isinstance(inherited, Mapping) or "choices" in inherited or not _is_partial(own):
        return own
    return {**inherited, **own}


def _is_partial(domain: Any) -> bool:
    """Whether a domain is a range that takes a bound from the one it extends."""
    is_range = isinstance(domain, Mapping) and "choices" not in domain
    return is_range and not {"low", "high"} <= set(domain)


def without_overridden(block: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """Return the part of an inherited block that the space's own sections do not override.

    Both are in the form of `spell_out`. An own parameter replaces the block's, and own choices
    replace the block's choices and the parameters of techniques that they leave out.
    """
    left = {}
    for name, value in block.items():
        overriding = own.get(name)
        if name in SECTIONS and isinstance(value, Mapping) and isinstance(overriding, Mapping):
            value = _section_without_overridden(SECTIONS[name], value, overriding)
        elif name in own:
            continue
        if value or name not in own:
            left[name] = value
    return left


def _section_without_overridden(
    section: Section, block: Mapping[str, Any], own: Mapping[str, Any]
) -> dict[str, Any]:
    kept = _chosen(own)
    left = {}
    for key, value in block.items():
        is_choice = key in CHOICE_WORDS
        if kept is not None and (is_choice or (key in section.rows and key not in kept)):
            continue
        if key in own:
            is_row = key in section.rows and key not in section.parameters
            if not (is_row and isinstance(value, Mapping) and isinstance(own[key], Mapping)):
                continue
            value = {inner: item for inner, item in value.items() if inner not in own[key]}
            if not value:
                continue
        left[key] = value
    return left


def _chosen(section: Mapping[str, Any]) -> list[Any] | None:
    """Return the techniques that a written section chooses; None if it does not say."""
    chosen = section.get("choices", section.get("choice"))
    return [chosen] if chosen is not None and not isinstance(chosen, list) else chosen
