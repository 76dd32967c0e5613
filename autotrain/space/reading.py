"""From a file, a shipped name or a dictionary to one merged description, `extends` followed.

What was read is not judged here, only found, parsed as TOML and merged; `checking.py` judges.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from autotrain.errors import SpaceError
from autotrain.space.merging import give_way, merge, plain, spell_out
from autotrain.space.shipped import find_space
from autotrain.space.values import show

Rules = list[Any]


@dataclass
class Reading:
    """What a space says, before it is judged.

    Args:
        source: the file or name, for messages.
        sections: everything but `extends` and the three words below, merged.
        forbid, baseline, when: the space's own, as they were written.
        inherited_forbid, inherited_baseline, inherited_when: those of the spaces it extends.
        mistakes: what was already found wrong.
        is_whole: False when the space to extend could not be read, so that much may be missing.
        above: what to call where inherited rules come from.
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
        """Return the forbids in force: inherited ones first, none of them after `forbid = []`."""
        own = _rules(self.forbid)
        return own if self.forbid == [] else [*self.inherited_forbid, *own]

    def all_baseline(self) -> Rules:
        """Return the baselines: own ones first, only these after `baseline = []`."""
        own = _rules(self.baseline)
        return own if self.baseline == [] else [*own, *self.inherited_baseline]

    def all_when(self) -> Rules:
        """Return the blocks: inherited ones first, none of them after `when = []`."""
        own = _rules(self.when)
        return own if self.when == [] else [*self.inherited_when, *own]


def _rules(written: Any) -> Rules:
    return written if isinstance(written, list) else []


Check = Callable[[Reading], object]


def read_file(path: Path, source: str, check: Check, above: tuple[Path, ...] = ()) -> Reading:
    """Read a space file and the spaces it extends.

    Args:
        path: the file.
        source: what to call it in messages.
        check: raises `SpaceError` when a space that is extended is itself wrong.
        above: the files that extend this one, to find circles.
    Raises:
        SpaceError: when the file cannot be read or is not TOML.
    """
    written = read_toml(path, source)
    return read_dict(written, source, path.parent, check, (*above, path.resolve()))


def read_dict(
    written: Mapping[Any, Any],
    source: str,
    folder: Path,
    check: Check,
    above: tuple[Path, ...] = (),
) -> Reading:
    """Take a space given as a dictionary; `extends` is relative to `folder`."""
    described = plain(written)
    mistakes = _drop_keys_that_are_not_text(described)
    extends = described.pop("extends", None)
    forbid, baseline = described.pop("forbid", None), described.pop("baseline", None)
    when = _spell_out_blocks(described.pop("when", None), mistakes)
    own = spell_out(described)
    reading = Reading(source, own, forbid, baseline, when, mistakes=mistakes)
    if extends is None:
        return reading
    try:
        parent = _read_parent(extends, folder, check, above)
    except SpaceError as error:
        reading.mistakes += [f"extends: {mistake}" for mistake in error.mistakes]
        reading.is_whole = False
        return reading
    reading.sections = merge(parent.sections, own)
    reading.inherited_forbid = parent.all_forbid()
    reading.inherited_baseline = parent.all_baseline()
    reading.inherited_when = [_beside(block, own, baseline) for block in parent.all_when()]
    return reading


def _spell_out_blocks(when: Any, mistakes: list[str]) -> Any:
    if not isinstance(when, list):
        return when
    for number, block in enumerate(when, start=1):
        if isinstance(block, dict):
            wrong = _drop_keys_that_are_not_text(block)
            mistakes += [f"[[when]] {number}: {mistake}" for mistake in wrong]
    return [spell_out(block) if isinstance(block, dict) else block for block in when]


def _beside(block: dict[str, Any], own: Mapping[str, Any], baseline: Any) -> dict[str, Any]:
    """Return an inherited block beside what a space says itself, which counts for more."""
    left = give_way(block, own)
    if baseline == []:
        left.pop("baseline", None)
    return left


def _read_parent(extends: Any, folder: Path, check: Check, above: tuple[Path, ...]) -> Reading:
    if not isinstance(extends, str):
        raise SpaceError("extends", [f"must be a name or path, however: {show(extends)}"])
    path = find_space(extends, folder)
    if path.resolve() in above:
        circle = [*above[above.index(path.resolve()) :], path]
        names = " → ".join(file.name for file in circle)
        raise SpaceError(extends, [f"must not come back to itself, however: {names}"])
    try:
        parent = read_file(path, extends, check, above)
        check(parent)
    except SpaceError as error:
        inside = [f"{extends}: {m}" for m in error.mistakes]
        raise SpaceError(extends, inside) from None
    return parent


def read_toml(path: Path, source: str) -> dict[str, Any]:
    """Return a TOML file's content.

    Args:
        source: what to call it in messages.
    Raises:
        SpaceError: when it cannot be read, or is not TOML.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise SpaceError(source, [f"line {line}: must be UTF-8 text"]) from None
    except OSError as error:
        raise SpaceError(source, [f"cannot be read: {error.strerror}"]) from None
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise SpaceError(source, ["is nested too deeply"]) from None
    except ValueError as error:  # also a number of too many digits
        what = re.sub(r"\s*\(at (line \d+, column \d+|end of document)\)$", "", str(error))
        place = re.search(r"line \d+, column \d+|end of document", str(error))
        where = place.group() if place else "somewhere"
        raise SpaceError(source, [f"{where}: is not TOML: {what}"]) from None


def _drop_keys_that_are_not_text(described: dict[Any, Any], path: str = "") -> list[str]:
    mistakes = []
    for key, value in list(described.items()):
        if not isinstance(key, str):
            mistakes.append(f"{path or 'space'}: keys must be text, however: {key!r}")
            del described[key]
        elif isinstance(value, dict):
            mistakes += _drop_keys_that_are_not_text(value, f"{path}.{key}" if path else f"[{key}]")
    return mistakes
