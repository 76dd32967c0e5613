"""The examples in docstrings run, in a folder with two exported models.

`studies/iris/best` classifies, `studies/diabetes/best` is a regression. The examples of a method
start with the names that the example of its class made: those of `Study.test` use its `study`.
"""

from __future__ import annotations

import copy
import doctest
import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import autotrain
from autotrain.predictor import (
    ClassificationDistribution,
    Importances,
    PartialDependence,
    RegressionDistribution,
)
from tests.winners import train

LEAST_EXAMPLES = 60
"""Public names whose docstring has an example that runs."""


def docstrings() -> Iterator[doctest.DocTest]:
    finder = doctest.DocTestFinder(exclude_empty=True)
    for module in pkgutil.walk_packages(autotrain.__path__, "autotrain."):
        yield from finder.find(importlib.import_module(module.name))


def examples() -> Iterator[doctest.DocTest]:
    for test in docstrings():
        if any(not example.options.get(doctest.SKIP) for example in test.examples):
            yield test


DOCSTRINGS = {test.name: test for test in docstrings()}
EXAMPLES = list(examples())
Done = dict[str, tuple[str, dict[str, Any]]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("examples")
    for name in ("iris", "diabetes"):
        winner = train(f"sklearn:{name}", {"training.epochs": 20})
        winner.export(folder / "studies" / name / "best")
    return folder


@pytest.fixture(scope="module")
def done(folder: Path) -> Iterator[Done]:
    """Yield the examples of classes that ran, by class: the failures, and the names they made."""
    classes: Done = {}
    yield classes
    for _, names in classes.values():
        if isinstance(study := names.get("study"), autotrain.Study):
            study.close()


def is_public(name: str) -> bool:
    return not any(part.startswith("_") for part in name.split("."))


def named(test: doctest.DocTest, *, levels: int = 0) -> Any:
    """Return the object that a docstring is of, or the one some levels around it."""
    found: Any = importlib.import_module(test.globs["__name__"])
    parts = test.name.removeprefix(found.__name__).split(".")[1:]
    for part in parts[: len(parts) - levels]:
        found = getattr(found, part)
    return found


def class_with_example(test: doctest.DocTest) -> str | None:
    """Return the name of the class whose example a method continues; None for other tests.

    The methods of a base class without an example continue that of a public subclass.
    """
    owner = named(test, levels=1)
    if not inspect.isclass(owner):
        return None
    for kind in (owner, *(getattr(autotrain, name) for name in autotrain.__all__)):
        name = f"{kind.__module__}.{kind.__qualname__}"
        if inspect.isclass(kind) and issubclass(kind, owner) and DOCSTRINGS[name].examples:
            return name
    return None


def run(test: doctest.DocTest, names: dict[str, Any] | None = None) -> tuple[str, dict[str, Any]]:
    """Return the failures of an example, and the names that exist after it."""
    report: list[str] = []
    test = copy.copy(test)
    test.globs = dict(test.globs if names is None else names)
    doctest.DocTestRunner().run(test, out=report.append, clear_globs=False)
    return "".join(report), test.globs


def failures(test: doctest.DocTest, done: Done) -> str:
    """Return the failures of an example, which starts with the names of its class."""
    of_class = test.name if inspect.isclass(named(test)) else class_with_example(test)
    if of_class is None:
        return run(test)[0]
    if of_class not in done:
        done[of_class] = run(DOCSTRINGS[of_class])
    report, names = done[of_class]
    return report if of_class == test.name else report + run(test, names)[0]


def test_many_public_names_have_examples() -> None:
    assert sum(is_public(test.name) for test in EXAMPLES) >= LEAST_EXAMPLES
    assert all(not example.options for test in DOCSTRINGS.values() for example in test.examples)
    of_users = {f"{getattr(autotrain, name).__module__}.{name}" for name in autotrain.__all__}
    assert of_users <= {test.name for test in EXAMPLES}


def methods_of_users() -> Iterator[tuple[str, Any]]:
    """Yield the public methods and properties of the classes that users have, by name."""
    names = [getattr(autotrain, name) for name in autotrain.__all__]
    results = (ClassificationDistribution, RegressionDistribution, Importances, PartialDependence)
    for kind in (*names, *results):
        for name in dir(kind) if inspect.isclass(kind) else ():
            found = inspect.getattr_static(kind, name)
            function = getattr(found, "fget", None) or getattr(found, "__func__", found)
            of_base = getattr(function, "__module__", None) or ""
            if of_base.startswith("autotrain") and is_public(name) and callable(function):
                yield f"{kind.__name__}.{name}", function


OF_OTHER_MODULES = (
    *("Predictor.preprocessors", "Predictor.reading"),
    *("Predictor.recalibration", "Predictor.point_recalibration"),
    *("SearchSpace.conditions", "SearchSpace.views"),
)
"""Methods without an underscore that only the package calls."""


METHODS = {name: each for name, each in methods_of_users() if name not in OF_OTHER_MODULES}


@pytest.mark.parametrize("name", METHODS)
def test_methods_of_users_have_the_full_form(name: str) -> None:
    function = METHODS[name]
    text, signature = inspect.getdoc(function) or "", inspect.signature(function)
    assert ">>> " in text
    if set(signature.parameters) - {"self", "cls"}:
        assert re.search(r"^Args:", text, flags=re.MULTILINE)
        if signature.return_annotation not in (None, "None"):
            assert re.search(r"^Returns:", text, flags=re.MULTILINE)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
def test_example_shows_what_it_returns(
    example: doctest.DocTest, folder: Path, done: Done, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    assert failures(example, done) == ""


def test_a_wrong_output_is_found() -> None:
    parser = doctest.DocTestParser()
    for text, is_wrong in ((">>> 1 + 1\n2\n", False), (">>> 1 + 1\n3\n", True)):
        report, _ = run(parser.get_doctest(text, {}, "text", None, 0))
        assert bool(report) is is_wrong
