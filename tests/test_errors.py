"""The exceptions and their messages."""

from __future__ import annotations

import inspect
import pickle
import re

import pytest

from autotrain import errors
from autotrain.errors import AutotrainError, SpaceError, nearest, unknown

NAMES = ("adagrad", "adam", "adamax", "adamw", "momentum", "nadam", "nesterov", "rmsprop", "sgd")


def test_exceptions_equal_the_tree_in_the_docstring() -> None:
    drawn = set(re.findall(r"\w+Error", errors.__doc__ or ""))
    defined = {
        name
        for name, value in vars(errors).items()
        if inspect.isclass(value) and issubclass(value, Exception)
    }
    assert drawn == defined
    for name in defined - {"AutotrainError"}:
        assert getattr(errors, name).__bases__ == (AutotrainError,)
    assert AutotrainError.__bases__ == (Exception,)


@pytest.mark.parametrize("name", ["DataError", "StudyError", "StorageError", "BundleError"])
def test_message_is_the_sentence(name: str) -> None:
    assert str(getattr(errors, name)("the file must exist")) == "the file must exist"


@pytest.mark.parametrize("name", ["AutotrainError", "DataError", "StudyError", "BundleError"])
def test_error_keeps_its_parameter_when_it_is_pickled(name: str) -> None:
    error = getattr(errors, name)("n_trials must be at least 1, got 0.", parameter="n_trials")
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error)
    assert str(copy) == "n_trials must be at least 1, got 0."
    assert copy.parameter == "n_trials"
    assert getattr(errors, name)("x").parameter is None


def test_space_error_lists_every_mistake_once() -> None:
    error = SpaceError("wide.toml", ["[a] b: wrong", "[c] d: wrong, too"])
    assert str(error) == "wide.toml: 2 mistakes\n  [a] b: wrong\n  [c] d: wrong, too"
    assert error.source == "wide.toml"
    assert error.mistakes == ("[a] b: wrong", "[c] d: wrong, too")
    assert str(SpaceError("search space", ["[a] b: wrong"])).startswith("search space: 1 mistake\n")


@pytest.mark.parametrize(
    ("word", "known", "expected"),
    [
        ("adan", NAMES, "adam"),
        ("ADAM", NAMES, "adam"),
        ("rms_prop", NAMES, "rmsprop"),
        ("Nestrov", NAMES, "nesterov"),
        ("lion", NAMES, None),
        ("", NAMES, None),
        ("median_income", ("MedInc", "Median_Income"), "Median_Income"),
        ("adam", (), None),
        # A generator can be read once only.
        ("sgdd", iter(NAMES), "sgd"),
    ],
)
def test_nearest_word(word: str, known: tuple[str, ...], expected: str | None) -> None:
    assert nearest(word, known) == expected


def test_unknown_word_is_reported_with_a_near_one_and_all_known_ones() -> None:
    assert unknown("optimizer", "adan", NAMES) == (
        "no optimizer 'adan'. Did you mean 'adam'? "
        "Known: adagrad, adam, adamax, adamw, momentum, nadam, nesterov, rmsprop, sgd."
    )
    assert unknown("optimizer", "lion", iter(("adam", "sgd"))) == (
        "no optimizer 'lion'. Known: adam, sgd."
    )
    assert unknown("optimizer", 3, ["sgd"]) == "no optimizer '3'. Known: sgd."


def test_long_lists_are_shortened_but_searched_completely() -> None:
    columns = [f"column_{i:03d}" for i in range(100)] + ["target"]
    message = unknown("column", "targt", columns, most=3)
    assert message == (
        "no column 'targt'. Did you mean 'target'? Known: column_000, column_001, column_002, …."
    )
    assert unknown("column", "z", ["a", "b"], most=2) == "no column 'z'. Known: a, b."
