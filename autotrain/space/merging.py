"""`extends`: what a space inherits and what it says anew.

Sections and rows are merged, domains and choices replaced. Three rules keep a short file right:
a range that names only one bound takes the rest from the range it extends; what belongs to a
technique that is no longer among the choices is dropped; a technique named as the section's value
(`optimizer = "adam"`) leaves the other inherited parameters of its section standing.
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
    if not isinstance(inherited, Mapping) or not isinstance(own, Mapping):
        return own
    is_partial = "choices" not in own and not {"low", "high"} <= set(own)
    return {**inherited, **own} if is_partial and "choices" not in inherited else own
