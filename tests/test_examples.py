"""The examples in docstrings run, in a folder with two exported models.

`studies/iris/best` classifies, `studies/diabetes/best` is a regression. Examples that need more are
marked `# doctest: +SKIP`.
"""

from __future__ import annotations

import doctest
import importlib
import pkgutil
from collections.abc import Iterator
from pathlib import Path

import pytest

import autotrain
from tests.winners import train


def examples() -> Iterator[doctest.DocTest]:
    finder = doctest.DocTestFinder(exclude_empty=True)
    for module in pkgutil.walk_packages(autotrain.__path__, "autotrain."):
        for test in finder.find(importlib.import_module(module.name)):
            if any(not example.options.get(doctest.SKIP) for example in test.examples):
                yield test


EXAMPLES = list(examples())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("examples")
    for name in ("iris", "diabetes"):
        winner = train(f"sklearn:{name}", {"training.epochs": 20})
        winner.export(folder / "studies" / name / "best")
    return folder


def test_examples_are_found() -> None:
    names = {test.name.removeprefix("autotrain.predictor.") for test in EXAMPLES}
    assert {"predictor.load", "predictor.Predictor.predict", "intervals.interval"} <= names


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
def test_example_shows_what_it_returns(
    example: doctest.DocTest, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    report: list[str] = []
    doctest.DocTestRunner().run(example, out=report.append)
    assert "".join(report) == ""
