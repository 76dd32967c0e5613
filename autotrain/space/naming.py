"""Two ways to write values by name: nested tables (files) and flat dotted names (Optuna).

{"optimizer": {"choice": "adam", "learning_rate": 0.01}}
{"optimizer": "adam", "optimizer.learning_rate": 0.01}
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def flatten(written: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Write nested tables as dotted names; `choice` inside a section is the section itself."""
    flat: dict[str, Any] = {}
    for name, value in written.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{name}.")
        elif name == "choice" and prefix.count(".") == 1:
            flat[prefix.removesuffix(".")] = value
        else:
            flat[f"{prefix}{name}"] = value
    return flat


def nest(params: Mapping[str, Any]) -> dict[str, Any]:
    """Write dotted names as nested tables; a section that is only a choice is that word.

    `flatten` undoes it. Tuples become lists, as TOML has them.
    """
    tables: dict[str, dict[str, Any]] = {}
    for name, value in params.items():
        head, *rest = name.split(".")
        table = tables.setdefault(head, {})
        for part in rest[:-1]:
            table = table.setdefault(part, {})
        table[rest[-1] if rest else "choice"] = list(value) if isinstance(value, tuple) else value
    return {
        name: table["choice"] if set(table) == {"choice"} else table
        for name, table in tables.items()
    }
