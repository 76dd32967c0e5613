"""Study files: `studies/NAME.toml` contains the options of `autotrain search`.

    data = "sklearn:breast_cancer"
    space = "quick"
    trials = 40
    timeout = "1m"

A key is the name of an option, so a new option of `search` is a new key without further code. Paths
are relative to the file's folder. The study has the file's name unless the file sets `study`.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from autotrain.errors import DataError, StudyError, nearest, unknown
from autotrain.space.shipped import shipped_spaces
from autotrain.vocabulary import user_path

# Options about the output of one run are allowed on the command line only.
NOT_IN_FILES = ("as_json", "quiet", "dry_run")
TABLES = ("space", "class_weights", "pruner_options")
"""Keys that may also be tables: the search space, class weights by label, settings."""
LISTS = ("missing", "names")
"""Keys that may also be lists of strings."""


def merge(path: Path, ctx: click.Context, options: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return DATA and the options of a study file; the command line overrides the file.

    Args:
        path: the study file.
        ctx: context of the search command, whose options are the keys.
        options: options of the command line by parameter name.
    Raises:
        DataError: when the file does not exist.
        StudyError: when the file has mistakes; the message contains all of them.
    """
    content = _read(path)
    known = {
        param.name: param
        for param in ctx.command.params
        if param.name is not None and param.name not in NOT_IN_FILES
    }
    mistakes: list[str] = []
    values: dict[str, Any] = {}
    for key, value in content.items():
        param = known.get(key.replace("-", "_"))
        if param is None or param.name is None:
            mistakes.append(unknown("key", key, known))
            continue
        try:
            values[param.name] = _convert(key, value, param, ctx, path.parent)
        except click.BadParameter as error:
            mistakes.append(f"{key}: {error.message}")
    if "data" not in content and "data" not in {nearest(key, known) for key in content}:
        mistakes.append('data is missing. Add a line such as data = "table.csv".')
    if mistakes:
        count = f"{len(mistakes)} mistake{'s' if len(mistakes) > 1 else ''}"
        raise StudyError("\n  ".join([f"{path}: {count}", *mistakes]))
    values.setdefault("study", path.stem)
    for name in options:
        if name in values and ctx.get_parameter_source(name) is not ParameterSource.DEFAULT:
            del values[name]
    return values.pop("data"), {**options, **values}


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        near = nearest(path.name, [file.name for file in path.parent.glob("*.toml")])
        hint = f" Did you mean {path.with_name(near)}?" if near is not None else ""
        raise DataError(f"study file {path} does not exist.{hint}") from None
    except OSError as error:
        raise DataError(f"study file {path} must be readable, got: {error.strerror}.") from None
    except (ValueError, RecursionError) as error:  # also a number of too many digits
        raise StudyError(f"study file {path} must be TOML, got: {error}.") from None


def _convert(key: str, value: Any, param: click.Parameter, ctx: click.Context, folder: Path) -> Any:
    """Return a value in the form in which the option returns it."""
    if param.name in TABLES and isinstance(value, dict):
        return value
    if isinstance(value, list) and param.name in LISTS:
        return param.type.convert(value, param, ctx)
    if isinstance(value, bool) and isinstance(param.type, click.types.BoolParamType):
        return value
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise click.BadParameter(f"must be a string or a number, got {value!r}.")
    text = str(value)
    if _is_path(param.name, text):
        text = str(folder / user_path(text))
    return param.type.convert(text, param, ctx)


def _is_path(name: str | None, text: str) -> bool:
    if name == "space":
        return text not in shipped_spaces()
    if name == "test":
        return not text.replace(".", "", 1).isdigit()
    if name == "data":
        return not text.startswith(("sklearn:", "openml:"))
    return name == "directory"
