"""One finding for each study of a folder."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from autotrain.doctor.finding import Finding, Severity, count_of
from autotrain.doctor.place import Place
from autotrain.doctor.study import study_findings
from autotrain.errors import AutotrainError
from autotrain.search.definition import FILE, Definition, study_names
from autotrain.search.settings import directory_words
from autotrain.search.storage.opened import JOURNAL
from autotrain.search.storage.storages import OBJECT
from autotrain.search.storage.urls import is_remote
from autotrain.vocabulary import count_text

GROUP = "studies"


def overview(studies: Path, storage: str | None) -> Iterator[Finding]:
    """Yield one finding for each study, and one for each journal without its study.

    Args:
        studies: the folder of all studies.
        storage: URL of the only server to connect to, for studies that are stored there.
    """
    names = study_names(studies)
    if not names:
        yield Finding(GROUP, "studies", Severity.OK, f"{studies}/ contains no studies yet.")
    for name in names:
        yield _of_study(studies / name, storage)
    for journal in sorted(studies.glob(f"*/{JOURNAL}")):
        if not (journal.parent / FILE).exists():
            yield Finding(
                GROUP,
                journal.parent.name,
                Severity.PROBLEM,
                f"{journal.parent} contains trials, but {FILE} is missing.",
                f"Restore {FILE} from a copy, or remove the folder.",
            )


def _of_study(folder: Path, storage: str | None) -> Finding:
    name = folder.name
    try:
        definition = Definition.read(folder)
        is_there = storage is not None and definition.is_kept_in(storage, folder)
        place = Place.of(folder, storage if is_there else None)
        if place.url is not None and not is_there and is_remote(place.url):
            text = f"Not checked, because its trials are on a server: {_command(folder)}"
            if place.url.startswith(OBJECT):
                text = "Not checked, because its trials are in a storage object of Python."
            return Finding(GROUP, name, Severity.OK, text)
        found = list(study_findings(place, fix=False))
    except AutotrainError as error:
        return Finding(GROUP, name, Severity.PROBLEM, str(error))
    except Exception as error:
        # One damaged study must not hide the others.
        text = f"{folder} cannot be checked, got {type(error).__name__}: {error}."
        return Finding(GROUP, name, Severity.PROBLEM, text)
    return _summary(folder, found)


def _summary(folder: Path, found: Sequence[Finding]) -> Finding:
    """Return the worst finding of a study, with the subjects of all that are not in order."""
    bad = [each for each in found if each.state != Severity.OK]
    if not bad:
        return Finding(GROUP, folder.name, Severity.OK, "In order.")
    n_problems = count_of(bad, Severity.PROBLEM)
    n_warnings = len(bad) - n_problems
    parts = [count_text(n_problems, "problem")] * bool(n_problems)
    parts += [count_text(n_warnings, "warning")] * bool(n_warnings)
    subjects = ", ".join(each.name for each in bad)
    state = Severity.PROBLEM if n_problems else Severity.WARNING
    text = f"{' and '.join(parts)}: {subjects}."
    return Finding(GROUP, folder.name, state, text, f"Run: {_command(folder)}")


def _command(folder: Path) -> str:
    return f"autotrain doctor {folder.name}{directory_words(folder)}"
