"""Read a single configuration: a search space with one value for every parameter.

    space = fixed_space({"activation": "elu", "optimizer": {"choice": "nadam"}})
    space = fixed_space("config.toml")

A configuration has the form of space files; dotted names (`optimizer.learning_rate`) are allowed.
Parameters that it leaves out get their default. Values may depend on the data (`"auto"`). To
support another form, extend `read_config`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from autotrain.errors import SpaceError
from autotrain.space.auto import AUTO_VALUES
from autotrain.space.config import TrialConfig, label
from autotrain.space.merging import to_builtin
from autotrain.space.naming import flatten, nest
from autotrain.space.reading import read_toml
from autotrain.space.search_space import SearchSpace
from autotrain.space.section_checking import OTHER_WORDS
from autotrain.space.sections import SECTIONS
from autotrain.space.values import AUTO, DOMAIN_KEYS, show
from autotrain.vocabulary import user_path

Config = Mapping[str, Any] | str | Path | TrialConfig
"""A dictionary, the path of a TOML file, or the configuration of a trial."""
SEARCH = "To try several values, use `autotrain search`."


class WrittenConfig(NamedTuple):
    """A configuration as it is written, before its values are checked.

    Args:
        values: values by flat name, without "auto".
        automatic: names whose value is "auto".
        source: the file or "configuration", for messages.
        mistakes: parts that are not allowed in a configuration.
    """

    values: dict[str, Any]
    automatic: tuple[str, ...]
    source: str
    mistakes: tuple[str, ...]


def read_config(config: Config) -> WrittenConfig:
    """Read a configuration.

    Raises:
        SpaceError: when it is neither a table nor a TOML file that can be read.
    """
    source = "configuration"
    written: Any = config
    if isinstance(config, TrialConfig):
        written = config.to_dict()
    elif isinstance(config, str | Path):
        source = str(config)
        written = read_toml(user_path(source), source)
    if not isinstance(written, Mapping):
        raise SpaceError(
            source,
            [f"must be a dictionary or the path of a TOML file, got {type(config).__name__}."],
        )
    mistakes: list[str] = []
    flat = flatten(_only_values(to_builtin(written), "", mistakes))
    automatic = tuple(name for name in AUTO_VALUES if flat.get(name) == AUTO)
    values = {name: value for name, value in flat.items() if name not in automatic}
    return WrittenConfig(values, automatic, source, tuple(mistakes))


def fixed_space(config: Config) -> SearchSpace:
    """Return the space that contains one configuration and nothing else.

    `resolve` it for the data; `config_from({})` is then the configuration.

    Raises:
        SpaceError: with all mistakes at once.
    """
    values, automatic, source, found = read_config(config)
    mistakes = list(found)
    try:
        TrialConfig.from_params(values)
    except SpaceError as error:
        mistakes += error.mistakes
    if mistakes:
        raise SpaceError(source, mistakes)
    return SearchSpace(nest(values | dict.fromkeys(automatic, AUTO)), source=source)


def params_in(space: SearchSpace, config: Config) -> dict[str, Any]:
    """Return the parameters of a configuration in a resolved space; see `SearchSpace.fit`.

    Raises:
        SpaceError: with all mistakes, and all values that are not in the space.
    """
    written = read_config(config)
    mistakes, params = list(written.mistakes), {}
    try:
        params = space.fit(written.values, written.source)
    except SpaceError as error:
        mistakes += error.mistakes
    if mistakes:
        raise SpaceError(written.source, mistakes)
    return params


def _only_values(written: Mapping[Any, Any], path: str, mistakes: list[str]) -> dict[Any, Any]:
    """Return the part of a table that is allowed in a configuration; report the rest."""
    kept: dict[Any, Any] = {}
    for key, value in written.items():
        name = f"{path}.{key}" if path else str(key)
        if not path and key in OTHER_WORDS:
            mistakes.append(f"{key} must not be in a configuration, which is complete on its own.")
        elif path in SECTIONS and key == "choices":
            mistakes.append(
                f"{label(path)} choices must be one choice, got {show(value)}. {SEARCH}"
            )
        elif not isinstance(value, Mapping):
            kept[key] = value
        elif "." in name and set(value) & set(DOMAIN_KEYS):
            mistakes.append(f"{label(name)} must be one value, got {show(value)}. {SEARCH}")
        else:
            kept[key] = _only_values(value, name, mistakes)
    return kept
