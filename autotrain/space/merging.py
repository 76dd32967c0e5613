"""`extends`: what a space inherits and what it says anew.

Sections and rows are merged, domains and choices replaced. Three rules keep a short file right:
a range that names only one bound takes the rest from the range it extends; what belongs to a
technique that is no longer among the choices is dropped; a technique named as the section's value
(`optimizer = "adam"`) leaves the other inherited parameters of its section standing.

`[[when]]` blocks are laid over the rest in the same way. An inherited block gives way to what the
space says itself: it is laid over the space it comes from, and the space that extends over both.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from autotrain.space.sections import SECTIONS, Section


def plain(value: Any) -> Any:
    """Return dicts, lists and Python numbers where a caller gave tuples or NumPy's."""
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if hasattr(value, "tolist"):
        return value.tolist()
    return value


def spell_out(sections: Mapping[str, Any]) -> dict[str, Any]:
    """Write `activation = "relu"` as `[activation] choice = "relu"`."""
    return {
        name: {"choice": value}
        if isinstance(value, str) and name in SECTIONS and SECTIONS[name].rows
        else value
        for name, value in sections.items()
    }


def merge(inherited: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """Return the sections of a space that extends another; both as `spell_out` leaves them."""
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
    """Tell whether a domain is a range that leaves something to the one it is laid over."""
    is_range = isinstance(domain, Mapping) and "choices" not in domain
    return is_range and not {"low", "high"} <= set(domain)


def give_way(block: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """Return what an inherited block still says beside the sections of a space that extends it.

    Laying the result over both is laying the block first, then the space's own sections; but what
    the rest said of a technique stands when only the block had left it out.
    """
    left = {}
    for name, value in block.items():
        said = own.get(name)
        if name not in own:
            left[name] = value
        elif name in SECTIONS and isinstance(value, Mapping) and isinstance(said, Mapping):
            rest = _give_way_section(SECTIONS[name], value, said)
            if rest:
                left[name] = rest
    return left


def _give_way_section(
    section: Section, block: Mapping[str, Any], own: Mapping[str, Any]
) -> dict[str, Any]:
    left = dict(block)
    if "choices" in own or "choice" in own:
        chosen = own.get("choices", own.get("choice"))
        kept = chosen if isinstance(chosen, list) else [chosen]
        gone = {"choices", "choice", *(row for row in section.rows if row not in kept)}
        left = {key: value for key, value in left.items() if key not in gone}
    for key in set(left) & set(own):
        value, said = left[key], own[key]
        rest: dict[str, Any] | None
        is_row = key in section.rows and key not in section.parameters
        if is_row and isinstance(value, Mapping) and isinstance(said, Mapping):
            inside = {k: _give_way_domain(v, said[k]) if k in said else v for k, v in value.items()}
            rest = {k: v for k, v in inside.items() if v is not None}
        else:
            rest = _give_way_domain(value, said)
        if rest:
            left[key] = rest
        else:
            del left[key]
    return left


def _give_way_domain(block: Any, own: Any) -> dict[str, Any] | None:
    """Return what is left of a block's domain, None for nothing."""
    if not _is_partial(own) or not isinstance(block, Mapping) or "choices" in block:
        return None
    if _is_partial(block):
        return {key: value for key, value in block.items() if key not in own} or None
    return {**block, **own}
