"""Settings of a study: one table for Python, the command line and the estimators."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from dataclasses import fields, replace
from typing import Any

import pytest

from autotrain.cli.options import DEFAULTS, PARAMETERS
from autotrain.cli.search import search
from autotrain.errors import StudyError
from autotrain.estimators import MLPSearchClassifier, MLPSearchRegressor
from autotrain.search.settings import SETTINGS, OnResume, StudySettings, names_of
from autotrain.study import Study

ARGUMENTS = inspect.signature(Study).parameters


def documented(function: object) -> dict[str, str]:
    """Return the entries of a docstring's Args by name, each in one line."""
    text = (inspect.getdoc(function) or "").partition("Args:")[2].partition("\nRaises:")[0]
    entries = re.split(r"\n    (\w+): ", text)
    return {
        name: " ".join(entry.split())
        for name, entry in zip(entries[1::2], entries[2::2], strict=True)
    }


def test_arguments_of_a_study_are_its_settings() -> None:
    expected = {each.name: each.default for each in fields(StudySettings)}
    found = {name: argument.default for name, argument in ARGUMENTS.items()}
    assert list(found) == list(expected)
    for name in ("name", "data"):
        assert found.pop(name) is inspect.Parameter.empty
        del expected[name]
    assert found == expected


@pytest.mark.parametrize("name", SETTINGS)
def test_docstring_of_a_study_starts_with_the_line_of_the_setting(name: str) -> None:
    assert documented(Study)[name].startswith(SETTINGS[name].doc.rstrip("."))


def test_docstring_of_a_study_has_no_other_arguments() -> None:
    assert list(documented(Study)) == list(SETTINGS)


def test_search_command_has_an_option_with_the_default_of_each_setting() -> None:
    options = {param.name: param for param in search.params}
    for name in SETTINGS.keys() - {"data", "reading"}:
        assert options[PARAMETERS.get(name, name)].default == DEFAULTS[name], name


def test_resume_takes_the_settings_that_may_change() -> None:
    changeable = set(SETTINGS) - {*names_of(OnResume.REFUSED)}
    assert set(inspect.signature(Study.resume).parameters) == changeable


@pytest.mark.parametrize("estimator", [MLPSearchClassifier, MLPSearchRegressor])
def test_estimators_have_the_defaults_of_the_settings(estimator: type) -> None:
    parameters = inspect.signature(estimator).parameters
    shared = SETTINGS.keys() & parameters.keys()
    assert {"sampler", "pruner", "validation", "finalists", "ensemble", "device"} <= shared
    for name in shared:
        assert parameters[name].default == ARGUMENTS[name].default, name


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("name", "a b"),
        ("name", "a.toml"),
        ("task", "binry"),
        ("sampler", "tpee"),
        ("pruner", "medain"),
        ("finalists", -1),
        ("finalists", True),
        ("ensemble", "all"),
        ("ensemble", -2),
        ("workers", -1),
        ("workers", 10**6),
        ("seed", 1.5),
    ],
)
def test_invalid_value_is_refused_with_its_parameter(name: str, value: Any) -> None:
    with pytest.raises(StudyError) as caught:
        replace(StudySettings(name="s", data=None), **{name: value}).checked()
    assert caught.value.parameter == name


def test_default_values_are_valid() -> None:
    settings = StudySettings(name=None, data=None)
    assert settings.checked() == settings


def test_settings_import_nothing_heavy() -> None:
    code = "import sys, autotrain.search.settings; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"torch", "optuna", "numpy", "pandas"} & set(done.stdout.split())
