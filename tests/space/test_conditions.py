"""Conditions on the data."""

from __future__ import annotations

from typing import Any

import pytest

from autotrain.space.auto import DataShape
from autotrain.space.conditions import (
    CONDITIONS,
    conditions_text,
    hold,
    parse_conditions,
    write_conditions,
)

# (the condition, data for which it holds, data for which it does not)
EXAMPLES: list[tuple[dict[str, Any], DataShape, DataShape]] = [
    ({"rows_above": 20}, DataShape(21, 5, "binary"), DataShape(20, 5, "binary")),
    ({"rows_below": 20}, DataShape(20, 5, "binary"), DataShape(21, 5, "binary")),
    ({"columns_above": 5}, DataShape(20, 6, "binary"), DataShape(20, 5, "binary")),
    ({"columns_below": 5}, DataShape(20, 5, "binary"), DataShape(20, 6, "binary")),
    (
        {"numbers_above": 5},
        DataShape(20, 9, "binary", n_numbers=6),
        DataShape(20, 9, "binary", n_numbers=5),
    ),
    (
        {"numbers_below": 5},
        DataShape(20, 9, "binary", n_numbers=5),
        DataShape(20, 9, "binary", n_numbers=6),
    ),
    ({"task": "binary"}, DataShape(20, 5, "binary"), DataShape(20, 5, "regression")),
    (
        {"task": ["regression", "multiclass"]},
        DataShape(20, 5, "multiclass"),
        DataShape(20, 5, "binary"),
    ),
    ({"pictures": True}, DataShape(9, 5, "binary", pictures=True), DataShape(9, 5, "binary")),
    ({"pictures": False}, DataShape(9, 5, "binary"), DataShape(9, 5, "binary", pictures=True)),
]


def parsed(written: dict[str, Any]) -> Any:
    mistakes: list[str] = []
    conditions = parse_conditions(written, (), mistakes)
    assert not mistakes
    return conditions


@pytest.mark.parametrize(("written", "inside", "outside"), EXAMPLES)
def test_limits(written: dict[str, Any], inside: DataShape, outside: DataShape) -> None:
    assert hold(parsed(written), inside)
    assert not hold(parsed(written), outside)


def test_every_condition_has_an_example() -> None:
    assert {name for written, _, _ in EXAMPLES for name in written} == set(CONDITIONS)


def test_all_conditions_must_hold() -> None:
    both = parsed({"rows_above": 20, "columns_below": 5})
    assert hold(both, DataShape(21, 5, "binary"))
    assert not hold(both, DataShape(21, 6, "binary"))
    assert not hold(both, DataShape(20, 5, "binary"))
    assert hold({}, DataShape(1, 1, "binary"))


def test_text_and_written_form() -> None:
    conditions = parsed({"pictures": False, "task": ["multiclass", "binary"], "rows_above": 20_000})
    assert conditions_text(conditions) == "rows > 20,000, binary or multiclass, no pictures"
    plain = {"rows_above": 20_000, "task": ["binary", "multiclass"], "pictures": False}
    assert write_conditions(conditions) == plain
    assert write_conditions(parsed({"task": ["binary"]})) == {"task": "binary"}
    limits = {"rows_below": 5, "columns_above": 1, "columns_below": 1_000, "pictures": True}
    assert conditions_text(parsed(limits)) == "rows ≤ 5, columns > 1, columns ≤ 1,000, pictures"
