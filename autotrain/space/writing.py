"""Write a complete space as a dictionary or TOML: every choice, domain and default.

Studies store this form and fingerprints are computed from it. Reading it gives the same space, even
if defaults change in a later version.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from autotrain.space.conditions import write_conditions
from autotrain.space.definition import Baseline, Block, SpaceDefinition
from autotrain.space.domains import Choices, Domain, Fixed
from autotrain.space.sections import SECTIONS
from autotrain.space.values import DOMAIN_KEYS, show
from autotrain.techniques.technique import Value


def to_dict(definition: SpaceDefinition) -> dict[str, Any]:
    """Return a space in the form of space files, as dictionaries and lists."""
    written: dict[str, Any] = {}
    for name, space in definition.sections.items():
        section: dict[str, Any] = {"choices": list(space.choices)} if space.choices else {}
        section |= {key: write_domain(domain) for key, domain in space.parameters.items()}
        for row, domains in space.rows.items():
            if domains:
                section[row] = {key: write_domain(domain) for key, domain in domains.items()}
        written[name] = section
    if definition.forbids:
        written["forbid"] = [
            {
                name: _write_value(v[0]) if len(v) == 1 else [_write_value(x) for x in v]
                for name, v in f.items()
            }
            for f in definition.forbids
        ]
    if definition.baselines:
        written["baseline"] = _baselines(definition.baselines)
    if definition.blocks:
        written["when"] = [_block(block) for block in definition.blocks]
    return written


def _baselines(baselines: Sequence[Baseline]) -> list[dict[str, Any]]:
    written = []
    for values, when in baselines:
        conditions = {"when": write_conditions(when)} if when else {}
        written.append(conditions | {name: _write_value(value) for name, value in values.items()})
    return written


def _block(block: Block) -> dict[str, Any]:
    written = write_conditions(block.when)
    if block.is_only and not block.baselines:
        written["baseline"] = []
    written |= block.sections
    if block.baselines:
        written["baseline"] = _baselines(block.baselines)
    return written


def write_domain(domain: Domain) -> Any:
    """Return a domain in the form of space files."""
    if isinstance(domain, Fixed):
        return _write_value(domain.value)
    if isinstance(domain, Choices):
        return {"choices": [_write_value(value) for value in domain.values]}
    written: dict[str, Any] = {"low": domain.low, "high": domain.high}
    if domain.log:
        written["log"] = True
    if domain.step is not None:
        written["step"] = domain.step
    return written


def _write_value(value: Value) -> Any:
    return list(value) if isinstance(value, tuple) else value


def to_toml(definition: SpaceDefinition) -> str:
    """Return a space as the text of a space file."""
    return "\n\n".join(_tables(to_dict(definition))) + "\n"


def _tables(written: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """Yield the text of every table; the tables of a block follow it."""
    for name, value in written.items():
        header = f"[[{prefix}{name}]]" if isinstance(value, list) else f"[{prefix}{name}]"
        for table in value if isinstance(value, list) else [value]:
            is_block = name == "when"
            inside = {k: v for k, v in table.items() if is_block and _is_table(k, v)}
            own = {key: item for key, item in table.items() if key not in inside}
            yield "\n".join([header, *_lines(own)])
            yield from _tables(inside, f"{name}.")


def _is_table(name: str, value: Any) -> bool:
    """Whether a key of a block is a table, not a condition."""
    return name in SECTIONS or (name == "baseline" and value != [])


def _lines(table: Mapping[str, Any]) -> list[str]:
    lines = []
    for key, value in table.items():
        is_domain = isinstance(value, Mapping) and set(value) & set(DOMAIN_KEYS)
        is_row = isinstance(value, Mapping) and not is_domain and key != "when"
        if is_row:
            lines += [f"{key}.{inner} = {show(item)}" for inner, item in value.items()]
        else:
            lines.append(f"{show(key) if '.' in key else key} = {show(value)}")
    return lines
