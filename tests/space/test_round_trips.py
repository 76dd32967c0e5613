"""A space that is written and read again is the same space."""

from __future__ import annotations

import copy
import json
import pickle
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings

from autotrain.space.domains import Choices, Domain, Range
from autotrain.space.search_space import SearchSpace
from autotrain.space.sections import SECTIONS, Section
from autotrain.techniques.technique import Parameter, Words
from tests.space import strategies


def all_parameters() -> list[tuple[str, Section, str | None, str, Parameter]]:
    found: list[tuple[str, Section, str | None, str, Parameter]] = []
    for name, section in SECTIONS.items():
        found += [(f"{name}.{key}", section, None, key, p) for key, p in section.parameters.items()]
        for row in section.rows:
            found += [
                (f"{name}.{row}.{key}", section, row, key, p)
                for key, p in section.own_parameters(row).items()
            ]
    return found


@given(strategies.spaces())
@settings(max_examples=30, deadline=None)
def test_dictionary_json_toml_pickle(described: dict[str, Any]) -> None:
    space = SearchSpace(described)
    written = space.to_dict()
    assert SearchSpace.from_dict(written).to_dict() == written
    assert SearchSpace(json.loads(json.dumps(written))) == space
    assert SearchSpace(tomllib.loads(space.to_toml())) == space
    assert pickle.loads(pickle.dumps(space)) == space
    assert copy.deepcopy(space) == space
    assert SearchSpace(written).fingerprint() == space.fingerprint()
    assert SearchSpace(written).distributions() == space.distributions()


@given(strategies.spaces())
@settings(max_examples=20, deadline=None)
def test_resolved_spaces(described: dict[str, Any]) -> None:
    space = SearchSpace(described).resolve(n_train=70_000, n_inputs=3, task="regression")
    assert SearchSpace(space.to_dict()) == space
    assert space.resolve(n_train=5, n_inputs=3, task="regression") == space


@pytest.mark.parametrize("name", ["default", "quick", "notes", "notes_plus", "deep", "regularized"])
def test_shipped_spaces(name: str, tmp_path: Path) -> None:
    space = SearchSpace.from_toml(name)
    path = tmp_path / "again.toml"
    path.write_text(space.to_toml(), encoding="utf-8")
    again = SearchSpace.from_toml(path)
    assert again == space
    assert hash(again) == hash(space)
    assert again.to_toml() == space.to_toml()
    resolved = space.resolve(3000, 10, "multiclass")
    assert SearchSpace.from_dict(resolved.to_dict()).baselines() == resolved.baselines()


def test_written_form_is_readable() -> None:
    space = SearchSpace(
        {
            "activation": {
                "choices": ["relu", "leaky_relu"],
                "leaky_relu": {"negative_slope": {"low": 0.01, "high": 0.3, "log": True}},
            },
            "baseline": [{"activation": "leaky_relu", "activation.leaky_relu.negative_slope": 0.1}],
        }
    )
    text = space.to_toml()
    assert (
        "[activation]\n"
        'choices = ["relu", "leaky_relu"]\n'
        "parametric = false\n"
        "mix_learning_rate = 1.0\n"
        "leaky_relu.negative_slope = { low = 0.01, high = 0.3, log = true }\n"
    ) in text
    assert (
        '[[baseline]]\nactivation = "leaky_relu"\n"activation.leaky_relu.negative_slope" = 0.1'
        in (text)
    )
    assert 'batch_size = "auto"' in text


def test_fingerprint_depends_on_the_meaning() -> None:
    space = SearchSpace({"activation": "relu", "dropout": {"rate": 0.1}})
    same = SearchSpace({"dropout": {"rate": {"choices": [0.1]}}})
    other = SearchSpace({"dropout": {"rate": 0.2}})
    assert space.fingerprint() == same.fingerprint() != other.fingerprint()
    assert space == same != other
    assert space != "space"
    assert len(space.fingerprint()) == 64


# Other settings that give a shared parameter an effect.
NEEDS: dict[str, dict[str, Any]] = {
    "activation.mix_learning_rate": {"parametric": True},
    "dropout.floor": {"annealing": "flat_cos"},
}


@pytest.mark.parametrize(
    ("name", "section", "row", "key", "parameter"),
    all_parameters(),
    ids=[name for name, *_ in all_parameters()],
)
def test_every_parameter_of_every_technique_can_be_searched(
    name: str, section: Section, row: str | None, key: str, parameter: Parameter
) -> None:
    domain: Any
    expected: Domain
    if parameter.kind == "boolean":
        domain, expected = {"choices": [False, True]}, Choices((False, True))
    elif isinstance(parameter, Words):
        domain, expected = {"choices": list(parameter.words)}, Choices(parameter.words)
    elif parameter.kind == "reals":
        assert isinstance(parameter.default, tuple)
        other = tuple(value * 2 for value in parameter.default)
        values = (parameter.default, other)
        domain, expected = {"choices": [list(value) for value in values]}, Choices(values)
    else:
        integer = parameter.kind == "integer"
        small = (0.125, 0.25) if parameter.is_legal(0.125) else (1.5, 2.5)
        low, high = (3, 8) if integer else small
        domain, expected = {"low": low, "high": high}, Range(low, high, integer=integer)
    written: dict[str, Any] = {key: domain} if row is None else {"choice": row, row: {key: domain}}
    written |= NEEDS.get(name, {})
    if section.rows and row is None:
        written["choices"] = list(section.rows)
    space = SearchSpace(
        {section.name: written, "training": {"batch_size": 9, "epochs": 9}}
        | (
            {"training": {"batch_size": 9, "epochs": 9} | written}
            if section.name == "training"
            else {}
        )
    )
    assert space.distributions()[name] == expected
    assert SearchSpace(tomllib.loads(space.to_toml())) == space


def test_repr() -> None:
    assert repr(SearchSpace({"activation": {"choices": ["relu", "elu"]}})) == (
        "SearchSpace('search space': 2 combinations, 0 continuous parameters)"
    )
