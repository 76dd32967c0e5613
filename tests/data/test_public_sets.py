"""Data sets that need no file."""

from __future__ import annotations

from typing import Any
from urllib.error import URLError

import pandas as pd
import pytest
from sklearn import datasets

from autotrain.data.files import read_table
from autotrain.data.public_sets import LOADED
from autotrain.errors import DataError


@pytest.mark.parametrize("name", LOADED)
def test_sets_inside_scikit_learn(name: str) -> None:
    table = read_table(f"sklearn:{name}")
    bunch = getattr(datasets, f"load_{name}")()
    assert (table.name, table.source, table.target) == (name, f"sklearn:{name}", "target")
    assert table.frame.shape == (len(bunch.data), bunch.data.shape[1] + 1)
    assert (table.frame.drop(columns="target").to_numpy() == bunch.data).all()


def test_classes_have_their_names() -> None:
    target = read_table("sklearn:iris").frame["target"]
    assert target[[0, 50, 100]].tolist() == ["setosa", "versicolor", "virginica"]
    assert read_table("sklearn:digits").frame["target"][:3].tolist() == [0, 1, 2]


def test_unknown_set() -> None:
    with pytest.raises(DataError, match=r"no scikit-learn dataset 'iris2'. Did you mean 'iris'"):
        read_table("sklearn:iris2")


def no_network(*_: Any, **__: Any) -> None:
    raise URLError("Name or service not known")


@pytest.mark.parametrize(
    ("source", "function"),
    [
        ("sklearn:california_housing", "fetch_california_housing"),
        ("openml:61", "fetch_openml"),
        ("openml:adult", "fetch_openml"),
    ],
)
def test_no_network(source: str, function: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets, function, no_network)
    with pytest.raises(DataError, match=f"{source} cannot be downloaded: .*Name or"):
        read_table(source)


class Bunch:
    """What scikit-learn gives for an OpenML set."""

    def __init__(self, target_names: list[str]) -> None:
        self.frame = pd.DataFrame({"a": [1, 2], "class": ["x", "y"]})
        self.target_names = target_names


def test_openml_gives_its_target(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, Any]] = []

    def fetch(**arguments: Any) -> Bunch:
        asked.append(arguments)
        return Bunch(["class"] if len(asked) < 3 else ["a", "class"])

    monkeypatch.setattr(datasets, "fetch_openml", fetch)
    table = read_table("openml:61")
    assert (table.name, table.target, len(table.frame)) == ("openml-61", "class", 2)
    read_table("openml:iris")
    assert read_table("openml:5").target is None
    assert [(call.get("data_id"), call.get("name")) for call in asked] == [
        (61, None),
        (None, "iris"),
        (5, None),
    ]
