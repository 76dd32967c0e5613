"""The complete, frozen configuration of one model.

A `TrialConfig` has one `Choice` with all parameters per section of `SECTIONS`, except `[network]`
and `[training]`, which become plain fields. It is made from flat parameters (`from_params`, the
names of Optuna's trials), nested tables (`from_dict`) or JSON (`from_json`), and converts back to
each of them exactly.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

from autotrain.errors import SpaceError, unknown
from autotrain.space.naming import flatten, mistake, nest
from autotrain.space.sections import SECTIONS, Section, locate
from autotrain.space.values import decode, parse_value, show
from autotrain.techniques.technique import Parameter, Value


@dataclass(frozen=True)
class Choice:
    """A technique and all its parameters: its own and those its section shares.

    Args:
        name: a row of the section's table.
        parameters: every value by key. Do not change it.
    """

    name: str
    parameters: Mapping[str, Value]

    def __getitem__(self, key: str) -> Any:
        return self.parameters[key]

    def __hash__(self) -> int:
        return hash((self.name, frozenset(self.parameters.items())))


@dataclass(frozen=True)
class TrialConfig:
    """All settings of one model and its training, except seeds and data.

    Args:
        hidden_units: the width of every hidden layer; empty for a linear model.
        batch_size: rows per optimizer step.
        epochs: largest number of epochs; `one_cycle` and `cosine` are spread over all of them.

    The other fields are the sections of a search space; see their tables in `techniques/`.
    """

    hidden_units: tuple[int, ...]
    batch_size: int
    epochs: int
    scaler: Choice
    missing: Choice
    encoder: Choice
    embedding: Choice
    input_scale: Choice
    parametrization: Choice
    initializer: Choice
    activation: Choice
    batch_norm: Choice
    dropout: Choice
    clipping: Choice
    optimizer: Choice
    schedule: Choice
    regularizer: Choice
    weight_decay: Choice
    constraint: Choice
    early_stopping: Choice
    loss: Choice
    target: Choice

    @classmethod
    def assemble(cls, choices: Mapping[str, Choice]) -> TrialConfig:
        """Make a configuration from one complete choice per section, without checks."""
        network, training = choices["network"], choices["training"]
        units = network["hidden_units"]
        if isinstance(units, str):
            widths = tuple(int(width) for width in units.split("-"))
        else:
            widths = (units,) * network["hidden_layers"]
        others = {name: choices[name] for name in _CHOICE_FIELDS}
        return cls(widths, training["batch_size"], training["epochs"], **others)

    @classmethod
    def from_params(cls, params: Mapping[Any, Any]) -> TrialConfig:
        """Make a configuration from flat parameters; parameters not named get their default.

        Args:
            params: by name: `activation`, `optimizer.learning_rate`,
                `activation.leaky_relu.negative_slope`, `network.hidden_units`, ...
        Raises:
            SpaceError: with all mistakes: unknown names, illegal values, parameters of a technique
                that is not chosen.
        """
        mistakes: list[str] = []
        given = _sort_by_section(params, mistakes)
        choices = {
            name: _complete(section, given[name], mistakes) for name, section in SECTIONS.items()
        }
        if mistakes:
            raise SpaceError("configuration", mistakes)
        return cls.assemble(choices)

    def choices(self) -> dict[str, Choice]:
        """Return one `Choice` per section of `SECTIONS`, the inverse of `assemble`."""
        params = {key.split(".")[1]: v for key, v in _network_params(self.hidden_units).items()}
        defaults = {key: p.default for key, p in SECTIONS["network"].parameters.items()}
        training = {"batch_size": self.batch_size, "epochs": self.epochs}
        others = {name: getattr(self, name) for name in _CHOICE_FIELDS}
        return {
            "network": Choice("network", {**defaults, **params}),
            "training": Choice("training", training),
            **others,
        }

    def to_params(self) -> dict[str, Value]:
        """Return the flat parameters that have an effect, the inverse of `from_params`."""
        params: dict[str, Value] = dict(_network_params(self.hidden_units))
        params["training.batch_size"] = self.batch_size
        params["training.epochs"] = self.epochs
        for name in _CHOICE_FIELDS:
            section, choice = SECTIONS[name], getattr(self, name)
            if section.rows:
                params[name] = choice.name
            for key in section.parameters:
                if section.applies(key, choice.name, choice.parameters):
                    params[f"{name}.{key}"] = choice[key]
            for key in section.own_parameters(choice.name):
                params[f"{name}.{choice.name}.{key}"] = choice[key]
        return params

    def to_dict(self) -> dict[str, Any]:
        """Return the configuration as nested tables, the inverse of `from_dict`.

        It contains every value that has an effect, as lists, numbers and text: ready for `tomli_w`
        and for `--config`.
        """
        return nest(self.to_params())

    @classmethod
    def from_dict(cls, written: Mapping[str, Any]) -> TrialConfig:
        """Make a configuration from nested tables; parameters left out get their default.

        Raises:
            SpaceError: with all mistakes.
        """
        return cls.from_params(flatten(written))

    def to_json(self) -> dict[str, Any]:
        """Return lists, dictionaries, text and numbers, the inverse of `from_json`."""
        written: dict[str, Any] = {
            "hidden_units": list(self.hidden_units),
            "batch_size": self.batch_size,
            "epochs": self.epochs,
        }
        for name in _CHOICE_FIELDS:
            choice = getattr(self, name)
            parameters = {
                key: list(value) if isinstance(value, tuple) else value
                for key, value in choice.parameters.items()
            }
            written[name] = {"name": choice.name, "parameters": parameters}
        return written

    @classmethod
    def from_json(cls, written: Any) -> TrialConfig:
        """Make a configuration from JSON; sections added in later versions get their defaults.

        Raises:
            SpaceError: with all mistakes.
        """
        if not isinstance(written, Mapping):
            raise SpaceError("configuration", [f"must be a table, got {show(written)}."])
        mistakes: list[str] = []
        params: dict[str, Any] = {}
        for name, value in written.items():
            if name == "hidden_units":
                _read_widths(value, params, mistakes)
            elif name in ("batch_size", "epochs"):
                params[f"training.{name}"] = value
            elif name not in _CHOICE_FIELDS:
                known = [field.name for field in fields(cls)]
                mistakes.append(f"{name}: {unknown('field', name, known)}")
            elif not _is_choice(value):
                mistakes.append(f"[{name}] must have a name and parameters, got {show(value)}.")
            else:
                section = SECTIONS[name]
                row = value["name"]
                if section.rows:
                    params[name] = row
                for key, item in value["parameters"].items():
                    owner = f"{name}.{row}" if key in section.own_parameters(row) else name
                    params[f"{owner}.{key}"] = item
        try:
            config = cls.from_params(params)
        except SpaceError as error:
            mistakes += error.mistakes
        if mistakes:
            raise SpaceError("configuration", mistakes)
        return config


_CHOICE_FIELDS = tuple(name for name in SECTIONS if name not in ("network", "training"))


class _Given(NamedTuple):
    """The flat parameters of one section: its row, and values by (row or None, key)."""

    row: list[str]
    values: dict[tuple[str | None, str], Value]


def _sort_by_section(params: Mapping[Any, Any], mistakes: list[str]) -> dict[str, _Given]:
    given = {name: _Given([], {}) for name in SECTIONS}
    for name, value in params.items():
        if not isinstance(name, str):
            mistakes.append(f"names must be text, got {name!r}.")
            continue
        try:
            section, row, key = path = locate(name)
            parameter = path.parameter
            if key is None or parameter is None:
                if not isinstance(value, str) or value not in section.rows:
                    raise ValueError(unknown(section.name, value, section.rows))
                given[section.name].row.append(value)
            else:
                parsed = parse_value(parameter, decode(parameter, value))
                given[section.name].values[row, key] = parsed
        except ValueError as error:
            mistakes.append(mistake(label(name), str(error)))
    return given


def label(name: str) -> str:
    """Write the name of a parameter as in a space file: `[optimizer] adam.beta_1`."""
    head, _, rest = name.partition(".")
    return f"[{head}] {rest}" if rest else f"[{head}]"


def _complete(section: Section, given: _Given, mistakes: list[str]) -> Choice:
    """Fill in defaults; append mistakes about parameters that have no effect."""
    name, values = section.name, given.values
    row = given.row[0] if given.row else section.default
    for other, key in values:
        if other not in (None, row):
            mistakes.append(
                f"[{name}] {other}.{key} has no effect with {name} = {show(row)}. It needs "
                f"{name} = {show(other)}."
            )
    parameters: dict[str, Value] = {}
    for key, parameter in section.parameters.items():
        given_values = [values[owner, key] for owner in (row, None) if (owner, key) in values]
        if len(given_values) > 1:
            mistakes.append(f"[{name}] {key} must be given once, got {row}.{key} too.")
        if section.applies(key, row, parameters):
            parameters[key] = given_values[0] if given_values else parameter.default
            continue
        parameters[key] = section.idle_value(key)
        if given_values and given_values[0] != parameters[key]:
            reason = _reason(section, key, row, parameters)
            mistakes.append(f"[{name}] {key} has no effect with {reason}. Leave it out.")
    for key, parameter in section.own_parameters(row).items():
        parameters[key] = values.get((row, key), parameter.default)
    if section.rows and not mistakes:
        conflict = section.conflict(section.rows[row], parameters)
        if conflict is not None:
            mistakes.append(mistake(f"[{name}] {row}", conflict))
    return Choice(row, parameters)


def _reason(section: Section, idle: str, row: str, parameters: Mapping[str, Value]) -> str:
    """Name the choices because of which a shared parameter has no effect."""
    reasons = [f"{section.name} = {show(row)}"] if section.rows else []
    reasons += [
        f"{key} = {show(parameters[key])}"
        for key in section.deciding
        # A parameter that has no effect itself is not a reason.
        if key in parameters and key != idle and section.applies(key, row, parameters)
    ]
    return " and ".join(reasons)


def _network_params(widths: tuple[int, ...]) -> dict[str, Value]:
    if not widths:
        return {"network.hidden_layers": 0}
    if len(set(widths)) == 1:
        return {"network.hidden_units": widths[0], "network.hidden_layers": len(widths)}
    return {"network.hidden_units": "-".join(str(width) for width in widths)}


def _read_widths(value: object, params: dict[str, Any], mistakes: list[str]) -> None:
    is_width = Parameter(1, "width", low=1, kind="integer").is_legal
    if isinstance(value, list | tuple) and all(is_width(width) for width in value):
        params.update(_network_params(tuple(value)))
    else:
        mistakes.append(f"hidden_units must be a list of integers, got {show(value)}.")


def _is_choice(value: object) -> bool:
    return (
        isinstance(value, Mapping)
        and set(value) == {"name", "parameters"}
        and isinstance(value["name"], str)
        and isinstance(value["parameters"], Mapping)
    )
