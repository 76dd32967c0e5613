"""Two ways to write values by name: nested tables (files) and flat dotted names (Optuna).

    {"optimizer": {"choice": "adam", "learning_rate": 0.01}}
    {"optimizer": "adam", "optimizer.learning_rate": 0.01}

`mistake` writes an error about the value of a name.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_PREDICATES = ("must ", "has ", "is ", "cannot ")


def mistake(where: str, what: str) -> str:
    """Write a mistake at a place of a space.

    Args:
        where: the place, such as "[dropout] rate".
        what: a predicate ("must be a number, got true."), or a sentence of its own, which follows a
            colon ("no activation 'rel'. Did you mean 'relu'?").
    """
    return f"{where} {what}" if what.startswith(_PREDICATES) else f"{where}: {what}"


def flatten(written: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Convert nested tables to dotted names; `choice` inside a section is the section itself."""
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
    """Convert dotted names to nested tables, the inverse of `flatten`.

    A section with only a choice becomes that word. Tuples become lists, as in TOML.
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
