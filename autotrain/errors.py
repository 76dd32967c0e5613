"""The errors that a user can fix.

    AutotrainError                 exit code 2
    ├── DataError                  the table: a file, a column, the target
    ├── SpaceError                 the search space file or dictionary
    ├── StudyError                 the study: its name, its state, its definition
    ├── StorageError               the storage of a study
    ├── BundleError                an exported model that is unreadable, damaged or too old
    ├── DeviceError                a device that is not available
    └── NoTrialSucceededError      a search without a model; exit code 3

All messages follow one grammar: "`parameter` must be X, got Y. Fix." Any other exception is a bug,
and the command line reports it as one (exit code 1).
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence


class AutotrainError(Exception):
    """A mistake that the user can fix; its message explains how.

    Args:
        message: the whole sentence.
        parameter: the Python parameter that is wrong, where one is; the command line shows the
            name of its option instead.
    Examples:
        >>> import autotrain
        >>> try:
        ...     autotrain.Study("iris", data="sklearn:iris", metric="acuracy")
        ... except autotrain.AutotrainError as error:
        ...     print(error.parameter)
        metric
    """

    def __init__(self, message: str = "", *, parameter: str | None = None) -> None:
        super().__init__(message)
        self.parameter = parameter


class DataError(AutotrainError):
    """The table cannot be used as it is.

    Examples:
        >>> import autotrain
        >>> try:
        ...     autotrain.Study("iris", data="sklearn:iris", target="colour")
        ... except autotrain.DataError as error:
        ...     print(str(error).partition(".")[0])
        sklearn:iris: no target column 'colour'
    """


class SpaceError(AutotrainError):
    """The search space is invalid.

    Args:
        source: the file (or "search space") that contains the mistakes.
        mistakes: one line each: "[section] key must be X, got Y. Fix."
    Examples:
        >>> import autotrain
        >>> try:
        ...     autotrain.SearchSpace({"activation": "rellu"})
        ... except autotrain.SpaceError as error:
        ...     print(len(error.mistakes), error.source)
        1 search space
    """

    def __init__(self, source: str, mistakes: Sequence[str]) -> None:
        self.source = source
        self.mistakes = tuple(mistakes)
        count = len(self.mistakes)
        header = f"{source}: {count} mistake{'s' if count != 1 else ''}"
        super().__init__("\n  ".join([header, *self.mistakes]))

    def __reduce__(self) -> tuple[type[SpaceError], tuple[str, tuple[str, ...]]]:
        return type(self), (self.source, self.mistakes)


class StudyError(AutotrainError):
    """The study cannot be opened, resumed or changed in this way.

    Examples:
        >>> import autotrain
        >>> try:
        ...     autotrain.Study("my study", data="sklearn:iris")
        ... except autotrain.StudyError as error:
        ...     print(error.parameter)
        name
    """


class StorageError(AutotrainError):
    """The storage cannot be reached, read or written.

    Examples:
        >>> import autotrain
        >>> try:
        ...     autotrain.Study("iris", data="sklearn:iris", storage="sqlite:///:memory:")
        ... except autotrain.StorageError as error:
        ...     print(str(error).partition(",")[0])
        storage must be persistent
    """


class BundleError(AutotrainError):
    """The bundle is not complete, not intact or not of a known version.

    Examples:
        >>> import autotrain
        >>> try:
        ...     autotrain.load("missing")
        ... except autotrain.BundleError as error:
        ...     print(str(error).partition(",")[0])
        missing must be a bundle
    """


class DeviceError(AutotrainError):
    """The device that was asked for is not available.

    Examples:
        >>> import autotrain
        >>> try:
        ...     autotrain.Study("iris", data="sklearn:iris", device="tpu")
        ... except autotrain.DeviceError as error:
        ...     print(error)
        device must be auto, cpu or cuda, got 'tpu'.
    """


class NoTrialSucceededError(AutotrainError):
    """Every trial of the search failed or was pruned; there is no best model.

    Examples:
        >>> import autotrain
        >>> try:
        ...     autotrain.Study("new", data="sklearn:iris").best_trial
        ... except autotrain.NoTrialSucceededError as error:
        ...     print(error)
        study 'new' has no complete trial yet. Call optimize().
    """


COPY_AGAIN = (
    "Copy the bundle again, or export it again with `autotrain export`; `autotrain doctor "
    "NAME --fix` rebuilds a study's own `best/`."
)
"""The fix for a damaged bundle."""


def nearest(word: str, known: Iterable[str]) -> str | None:
    """Return the known word that is nearest to a misspelled one, or None.

    Examples:
        >>> nearest("adm", ["adam", "sgd"])
        'adam'
    """
    known = list(known)
    by_lower = {name.lower(): name for name in known}
    if word.lower() in by_lower:
        return by_lower[word.lower()]
    matches = difflib.get_close_matches(word.lower(), by_lower, n=1, cutoff=0.6)
    return by_lower[matches[0]] if matches else None


def unknown(kind: str, word: object, known: Iterable[str], *, most: int = 30) -> str:
    """Return "no KIND 'word'. Did you mean 'x'? Known: a, b, c."

    Args:
        most: the largest number of known words to list.
    Examples:
        >>> unknown("optimizer", "adm", ["adam", "sgd"])
        "no optimizer 'adm'. Did you mean 'adam'? Known: adam, sgd."
    """
    known = list(known)
    near = nearest(str(word), known)
    hint = f" Did you mean {near!r}?" if near is not None else ""
    listed = ", ".join(known[:most]) + (", …" if len(known) > most else "")
    options = f"Known: {listed}." if known else "None is available."
    return f"no {kind} {str(word)!r}.{hint} {options}"
