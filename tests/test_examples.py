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
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import autotrain
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
Names = dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("examples")
    for name in ("iris", "diabetes"):
        winner = train(f"sklearn:{name}", {"training.epochs": 20})
        winner.export(folder / "studies" / name / "best")
    return folder


@pytest.fixture(scope="module")
def names(folder: Path) -> Iterator[Names]:
    """Yield the names that the examples of classes made, by class; each class runs once."""
    made: Names = {}
    yield made
    for of_class in made.values():
        if isinstance(study := of_class.get("study"), autotrain.Study):
            study.close()


def is_public(name: str) -> bool:
    return not any(part.startswith("_") for part in name.split("."))


def class_with_example(test: doctest.DocTest) -> str | None:
    """Return the name of the class whose example a method continues; None for other tests.

    The methods of a base class without an example continue that of a public subclass.
    """
    owner, _, _ = test.name.rpartition(".")
    module = importlib.import_module(test.globs["__name__"])
    found: Any = module
    for part in owner.removeprefix(module.__name__).strip(".").split("."):
        found = getattr(found, part, None)
    if not inspect.isclass(found):
        return None
    for kind in (found, *(getattr(autotrain, name) for name in autotrain.__all__)):
        name = f"{kind.__module__}.{kind.__qualname__}"
        if inspect.isclass(kind) and issubclass(kind, found) and DOCSTRINGS[name].examples:
            return name
    return None


def failures(test: doctest.DocTest) -> str:
    """Run an example, keep the names it made in `test.globs`, and return the report."""
    report: list[str] = []
    doctest.DocTestRunner().run(test, out=report.append, clear_globs=False)
    return "".join(report)


def run(test: doctest.DocTest, names: Names) -> str:
    """Run an example with the names of its class, and return the report of its failures."""
    owner = class_with_example(test)
    if owner is not None and owner not in names:
        of_class = copy.copy(DOCSTRINGS[owner])
        assert failures(of_class) == ""
        names[owner] = of_class.globs
    test = copy.copy(test)
    test.globs = dict(names[owner] if owner is not None else test.globs)
    return failures(test)


def test_many_public_names_have_examples() -> None:
    assert sum(is_public(test.name) for test in EXAMPLES) >= LEAST_EXAMPLES


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
def test_example_shows_what_it_returns(
    example: doctest.DocTest, folder: Path, names: Names, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    assert run(example, names) == ""


def test_a_wrong_output_is_found(folder: Path, names: Names) -> None:
    parser = doctest.DocTestParser()
    for text, is_wrong in ((">>> 1 + 1\n2\n", False), (">>> 1 + 1\n3\n", True)):
        wrong = parser.get_doctest(text, {"__name__": "autotrain"}, "autotrain.text", None, 0)
        assert bool(run(wrong, names)) is is_wrong
