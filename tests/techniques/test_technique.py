"""Legal values of hyperparameters, and tables of techniques."""

from __future__ import annotations

import dataclasses
import math
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autotrain.space.domains import Choices, Fixed, Range
from autotrain.techniques.technique import Parameter, Technique, table

SHARE = Parameter(0.5, "a share", low=0.0, high=1.0, open_high=True)
POSITIVE = Parameter(1.0, "above zero", low=0.0, open_low=True)
COUNT = Parameter(2, "how many", low=1, high=64, kind="integer")
SWITCH = Parameter(False, "on or off", kind="boolean")
WORD = Parameter("auto", "a word", kind="text")
STEPS = Parameter((1.0, 2.0), "epochs", low=0.0, kind="reals")
FREE = Parameter(0.0, "any number")


@pytest.mark.parametrize(
    ("parameter", "legal", "illegal"),
    [
        (SHARE, [0, 0.0, 0.999], [1, 1.0, -1e-9, math.nan, math.inf, "0.5", True, None, [0.5]]),
        (POSITIVE, [5e-324, 1, 1e300], [0, 0.0, -1.0, math.nan, False]),
        (COUNT, [1, 64], [0, 65, 2.0, 2.5, True, "2", math.nan]),
        (SWITCH, [True, False], [0, 1, 1.0, "true", None]),
        (WORD, ["", "300-100"], [3, None, True, ["a"]]),
        (STEPS, [(), [], (0.0, 3), [5]], [3.0, (-1.0,), ("1",), (True,), (math.nan,), None]),
        (FREE, [-1e300, 0, 1e300], [math.nan, True, "0", None]),
    ],
)
def test_legal_values(parameter: Parameter, legal: list[Any], illegal: list[Any]) -> None:
    assert [value for value in legal if not parameter.is_legal(value)] == []
    assert [value for value in illegal if parameter.is_legal(value)] == []
    assert parameter.is_legal(parameter.default)


@pytest.mark.parametrize(
    ("parameter", "words"),
    [
        (SHARE, "a number of at least 0 and less than 1"),
        (POSITIVE, "a number greater than 0"),
        (COUNT, "an integer of at least 1 and at most 64"),
        (SWITCH, "true or false"),
        (WORD, "text"),
        (STEPS, "a list of numbers, each of at least 0"),
        (FREE, "a number"),
    ],
)
def test_legal_values_in_words(parameter: Parameter, words: str) -> None:
    assert parameter.explain() == words


@settings(derandomize=True, database=None, deadline=None)
@given(
    value=st.floats(-10, 10),
    low=st.integers(-9, 0),
    high=st.integers(0, 9),
    open_low=st.booleans(),
    open_high=st.booleans(),
)
def test_bounds(value: float, low: int, high: int, open_low: bool, open_high: bool) -> None:
    parameter = Parameter(0.0, "x", low, high, open_low, open_high)
    inside = low < value < high
    at_an_end = (value == low and not open_low) or (value == high and not open_high)
    # If low = high, the value is legal only if both bounds are closed.
    if low == high:
        at_an_end = value == low and not open_low and not open_high
    assert parameter.is_legal(value) == (inside or at_an_end)


def test_table_is_indexed_by_name_in_order() -> None:
    b, a = Technique("b", "second"), Technique("a", "first", {"x": SHARE})
    rows = table(b, a)
    assert list(rows.items()) == [("b", b), ("a", a)]


def test_duplicate_names_raise() -> None:
    with pytest.raises(ValueError, match=r"names must be unique, got \['a', 'a'\]"):
        table(Technique("a", "one"), Technique("a", "another"))


@pytest.mark.parametrize(
    "thing", [SHARE, Fixed(1), Choices((1, 2)), Range(0.0, 1.0), Technique("a", "one")]
)
def test_values_are_immutable(thing: Any) -> None:
    name = dataclasses.fields(thing)[0].name
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(thing, name, 3)


def test_domains_compare_by_value() -> None:
    assert Range(0.0, 1.0) == Range(0.0, 1.0, log=False, step=None, integer=False)
    assert Range(1.0, 2.0) != Range(1.0, 2.0, log=True)
    assert len({Fixed(1), Fixed(1), Choices((1, 2)), Choices((2, 1))}) == 3


def test_techniques_without_parameters_share_nothing() -> None:
    first, second = Technique("a", "one"), Technique("b", "two")
    assert dict(first.parameters) == {}
    assert first.parameters is not second.parameters


@pytest.mark.parametrize(
    "module", ["techniques.technique", "space.domains", "errors", "metrics", "vocabulary"]
)
def test_module_imports_nothing_heavy(module: str) -> None:
    heavy = "{'numpy', 'optuna', 'pandas', 'sklearn', 'torch'}"
    code = f"import sys, autotrain.{module}; print(sorted({heavy} & set(sys.modules)))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
