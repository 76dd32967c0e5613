"""Conditions on the data, and shapes for every combination of them."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from autotrain.space.auto import DataShape
from autotrain.space.conditions import (
    CONDITIONS,
    conditions_text,
    every_shape,
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


def test_every_combination_of_conditions_has_a_shape() -> None:
    # For any data, one of the shapes satisfies exactly the same conditions.
    several = [
        parsed({"rows_above": 3}),
        parsed({"rows_below": 5, "task": ["binary", "regression"]}),
        parsed({"columns_above": 2, "pictures": True}),
        parsed({"columns_below": 4}),
        parsed({"rows_above": 0, "columns_below": 1}),
        parsed({"numbers_above": 2, "numbers_below": 3}),
        parsed({"numbers_above": 0}),
    ]

    def decided(shape: DataShape) -> tuple[bool, ...]:
        return tuple(hold(conditions, shape) for conditions in several)

    everything = itertools.product(
        range(1, 8),
        range(1, 7),
        ("binary", "multiclass", "regression"),
        (False, True),
        range(5),
    )
    met = {decided(shape) for shape in every_shape(several)}
    assert met == {decided(DataShape(*shape)) for shape in everything}
    assert all(shape.n_train > 0 and shape.n_inputs > 0 for shape in every_shape(several))


def test_text_and_written_form() -> None:
    conditions = parsed({"pictures": False, "task": ["multiclass", "binary"], "rows_above": 20_000})
    assert conditions_text(conditions) == "rows > 20,000, binary or multiclass, no pictures"
    plain = {"rows_above": 20_000, "task": ["binary", "multiclass"], "pictures": False}
    assert write_conditions(conditions) == plain
    assert write_conditions(parsed({"task": ["binary"]})) == {"task": "binary"}
    limits = {"rows_below": 5, "columns_above": 1, "columns_below": 1_000, "pictures": True}
    assert conditions_text(parsed(limits)) == "rows ≤ 5, columns > 1, columns ≤ 1,000, pictures"
