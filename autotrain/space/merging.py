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
    if "choices" in own or "choice" in own:
        merged.pop("choices", None)
        merged.pop("choice", None)
        chosen = own.get("choices", own.get("choice"))
        kept = chosen if isinstance(chosen, list) else [chosen]
        merged = {key: v for key, v in merged.items() if key not in section.rows or key in kept}
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

    Merging the result over the inherited and the own sections is like merging the block first and
    the own sections then. The only difference: parameters of a technique that only the block
    removes are kept.
    """
    left = {}
    for name, value in block.items():
        overriding = own.get(name)
        if name not in own:
            left[name] = value
        elif name in SECTIONS and isinstance(value, Mapping) and isinstance(overriding, Mapping):
            rest = _section_without_overridden(SECTIONS[name], value, overriding)
            if rest:
                left[name] = rest
    return left


def _section_without_overridden(
    section: Section, block: Mapping[str, Any], own: Mapping[str, Any]
) -> dict[str, Any]:
    left = dict(block)
    if "choices" in own or "choice" in own:
        chosen = own.get("choices", own.get("choice"))
        kept = chosen if isinstance(chosen, list) else [chosen]
        gone = {"choices", "choice", *(row for row in section.rows if row not in kept)}
        left = {key: value for key, value in left.items() if key not in gone}
    for key in set(left) & set(own):
        value, overriding = left[key], own[key]
        rest: dict[str, Any] | None
        is_row = key in section.rows and key not in section.parameters
        if is_row and isinstance(value, Mapping) and isinstance(overriding, Mapping):
            inside = {
                k: _domain_without_overridden(v, overriding[k]) if k in overriding else v
                for k, v in value.items()
            }
            rest = {k: v for k, v in inside.items() if v is not None}
        else:
            rest = _domain_without_overridden(value, overriding)
        if rest:
            left[key] = rest
        else:
            del left[key]
    return left


def _domain_without_overridden(block: Any, own: Any) -> dict[str, Any] | None:
    """Return the part of a block's domain that is not overridden; None for nothing."""
    if not _is_partial(own) or not isinstance(block, Mapping) or "choices" in block:
        return None
    if _is_partial(block):
        return {key: value for key, value in block.items() if key not in own} or None
    return {**block, **own}
