"""A space written down whole, as a dictionary or TOML: every choice, domain and default.

This is the form that studies keep and fingerprints are made of: reading it gives the same space,
also when defaults change one day.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from autotrain.domains import Choices, Domain, Fixed, Value
from autotrain.space.definition import Definition
from autotrain.space.values import show


def to_dict(definition: Definition) -> dict[str, Any]:
    """Return a space in the grammar of space files, as plain dicts and lists."""
    written: dict[str, Any] = {}
    for name, space in definition.sections.items():
        section: dict[str, Any] = {"choices": list(space.choices)} if space.choices else {}
        section |= {key: domain_to_plain(domain) for key, domain in space.parameters.items()}
        for row, domains in space.rows.items():
            if domains:
                section[row] = {key: domain_to_plain(domain) for key, domain in domains.items()}
        written[name] = section
    if definition.forbids:
        written["forbid"] = [
            {name: _plain(v[0]) if len(v) == 1 else [_plain(x) for x in v] for name, v in f.items()}
            for f in definition.forbids
        ]
    if definition.baselines:
        written["baseline"] = [
            {name: _plain(value) for name, value in baseline.items()}
            for baseline in definition.baselines
        ]
    return written


def domain_to_plain(domain: Domain) -> Any:
    """Return a domain as a space file writes it."""
    if isinstance(domain, Fixed):
        return _plain(domain.value)
    if isinstance(domain, Choices):
        return {"choices": [_plain(value) for value in domain.values]}
    written: dict[str, Any] = {"low": domain.low, "high": domain.high}
    if domain.log:
        written["log"] = True
    if domain.step is not None:
        written["step"] = domain.step
    return written


def _plain(value: Value) -> Any:
    return list(value) if isinstance(value, tuple) else value


def to_toml(definition: Definition) -> str:
    """Return a space as the text of a space file."""
    blocks = []
    for name, value in to_dict(definition).items():
        tables = value if isinstance(value, list) else [value]
        header = f"[[{name}]]" if isinstance(value, list) else f"[{name}]"
        blocks += ["\n".join([header, *_lines(table)]) for table in tables]
    return "\n\n".join(blocks) + "\n"


def _lines(table: Mapping[str, Any]) -> list[str]:
    lines = []
    for key, value in table.items():
        is_row = isinstance(value, Mapping) and not {"low", "choices"} & set(value)
        if is_row:
            lines += [f"{key}.{inner} = {show(item)}" for inner, item in value.items()]
        else:
            lines.append(f"{show(key) if '.' in key else key} = {show(value)}")
    return lines
