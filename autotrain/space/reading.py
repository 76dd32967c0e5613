"""Read a space from a file, a shipped name or a dictionary, and follow `extends`.

This file finds, parses and merges; `checking.py` checks the result.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from autotrain.errors import SpaceError
from autotrain.space.merging import merge, spell_out, to_builtin, without_overridden
from autotrain.space.naming import mistake
from autotrain.space.shipped import find_space
from autotrain.space.values import show

Rules = list[Any]


@dataclass
class WrittenSpace:
    """A space as it is written, before it is checked.

    Args:
        source: the file or name, for messages.
        sections: the merged sections: everything except `extends`, `forbid`, `baseline` and `when`.
        forbid, baseline, when: those of the space itself, as they are written.
        inherited_forbid, inherited_baseline, inherited_when: those of the spaces it extends.
        mistakes: mistakes found while reading.
        is_whole: False when the space to extend could not be read, so that parts are missing.
        above: the name for the source of inherited rules, for messages.
    """

    source: str
    sections: dict[str, Any]
    forbid: Any = None
    baseline: Any = None
    when: Any = None
    inherited_forbid: Rules = field(default_factory=list)
    inherited_baseline: Rules = field(default_factory=list)
    inherited_when: Rules = field(default_factory=list)
    mistakes: list[str] = field(default_factory=list)
    is_whole: bool = True
    above: str = "the space it extends"

    def all_forbid(self) -> Rules:
        """Return inherited and own forbids; `forbid = []` drops the inherited ones."""
        own = _rules(self.forbid)
        return own if self.forbid == [] else [*self.inherited_forbid, *own]

    def all_baseline(self) -> Rules:
        """Return own and inherited baselines; `baseline = []` drops the inherited ones."""
        own = _rules(self.baseline)
        return own if self.baseline == [] else [*own, *self.inherited_baseline]

    def all_when(self) -> Rules:
        """Return inherited and own blocks; `when = []` drops the inherited ones."""
        own = _rules(self.when)
        return own if self.when == [] else [*self.inherited_when, *own]


def _rules(written: Any) -> Rules:
    return written if isinstance(written, list) else []


ParentCheck = Callable[[WrittenSpace], object]


def read_file(
    path: Path, source: str, check: ParentCheck, above: tuple[Path, ...] = ()
) -> WrittenSpace:
    """Read a space file and the spaces it extends.

    Args:
        path: the file.
        source: its name in messages.
        check: raises `SpaceError` when an extended space has mistakes.
        above: the files that extend this one, to detect cycles.
    Raises:
        SpaceError: when the file cannot be read or is not TOML.
    """
    written = read_toml(path, source)
    return read_dict(written, source, path.parent, check, (*above, path.resolve()))


def read_dict(
    written: Mapping[Any, Any],
    source: str,
    folder: Path,
    check: ParentCheck,
    above: tuple[Path, ...] = (),
) -> WrittenSpace:
    """Read a space from a dictionary; `extends` is relative to `folder`."""
    described = to_builtin(written)
    mistakes = _drop_keys_that_are_not_text(described)
    extends = described.pop("extends", None)
    forbid, baseline = described.pop("forbid", None), described.pop("baseline", None)
    when = _spell_out_blocks(described.pop("when", None), mistakes)
    own = spell_out(described)
    space = WrittenSpace(source, own, forbid, baseline, when, mistakes=mistakes)
    if extends is None:
        return space
    try:
        parent = _read_parent(extends, folder, check, above)
    except SpaceError as error:
        space.mistakes += [mistake("extends", what) for what in error.mistakes]
        space.is_whole = False
        return space
    space.sections = merge(parent.sections, own)
    space.inherited_forbid = parent.all_forbid()
    space.inherited_baseline = parent.all_baseline()
    space.inherited_when = [_inherited(block, own, baseline) for block in parent.all_when()]
    return space


def _spell_out_blocks(when: Any, mistakes: list[str]) -> Any:
    if not isinstance(when, list):
        return when
    for number, block in enumerate(when, start=1):
        if isinstance(block, dict):
            wrong = _drop_keys_that_are_not_text(block)
            mistakes += [mistake(f"[[when]] {number}", what) for what in wrong]
    return [spell_out(block) if isinstance(block, dict) else block for block in when]


def _inherited(block: dict[str, Any], own: Mapping[str, Any], baseline: Any) -> dict[str, Any]:
    """Return the part of an inherited block that the space itself does not override."""
    left = without_overridden(block, own)
    if baseline == []:
        left.pop("baseline", None)
    return left


def _read_parent(
    extends: Any, folder: Path, check: ParentCheck, above: tuple[Path, ...]
) -> WrittenSpace:
    if not isinstance(extends, str):
        raise SpaceError("extends", [f"must be a name or path, got {show(extends)}."])
    path = find_space(extends, folder)
    if path.resolve() in above:
        cycle = [*above[above.index(path.resolve()) :], path]
        names = " → ".join(file.name for file in cycle)
        raise SpaceError(extends, [f"must not lead back to itself, got {names}."])
    try:
        parent = read_file(path, extends, check, above)
        check(parent)
    except SpaceError as error:
        inside = [mistake(extends, what) for what in error.mistakes]
        raise SpaceError(extends, inside) from None
    return parent


def read_toml(path: Path, source: str) -> dict[str, Any]:
    """Return a TOML file's content.

    Args:
        source: its name in messages.
    Raises:
        SpaceError: when it cannot be read, or is not TOML.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise SpaceError(source, [f"line {line} must be UTF-8 text."]) from None
    except OSError as error:
        raise SpaceError(source, [f"cannot be read: {error.strerror}."]) from None
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise SpaceError(source, ["is nested too deeply"]) from None
    except ValueError as error:  # also a number of too many digits
        what = re.sub(r"\s*\(at (line \d+, column \d+|end of document)\)$", "", str(error))
        position = re.search(r"line \d+, column \d+|end of document", str(error))
        where = position.group() if position else "the file"
        raise SpaceError(source, [f"{where} is not TOML: {what}."]) from None


def _drop_keys_that_are_not_text(described: dict[Any, Any], path: str = "") -> list[str]:
    mistakes = []
    for key, value in list(described.items()):
        if not isinstance(key, str):
            mistakes.append(f"{path or 'space'}: keys must be text, got {key!r}.")
            del described[key]
        elif isinstance(value, dict):
            mistakes += _drop_keys_that_are_not_text(value, f"{path}.{key}" if path else f"[{key}]")
    return mistakes
