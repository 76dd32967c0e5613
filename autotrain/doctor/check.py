"""`check`: the checks of the environment, of one study or of all studies, one after the other.

The libraries are imported inside the functions, because one that is damaged must be a finding.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from autotrain.doctor.environment import environment_findings
from autotrain.doctor.finding import Finding, Severity, settled
from autotrain.search.settings import STUDIES
from autotrain.vocabulary import user_path


def check(
    name: str | None = None,
    *,
    directory: str | Path = STUDIES,
    storage: str | None = None,
    data: Any = None,
    test: Any = None,
    fix: bool = False,
) -> list[Finding]:
    """Check the environment and a study, or all studies briefly.

    Args:
        name: the study's name; None for all studies of the folder, which are not repaired.
        directory: the folder of all studies.
        storage: URL of the study's storage with its password.
        data, test: the study's tables, when they have moved or were in memory. Only the repair of
            a model reads them.
        fix: make the repairs that lose nothing. Otherwise nothing is written.
    Returns: one finding for each check.
    Raises:
        StudyError: when there is no study with that name.
    Examples:
        >>> from autotrain.doctor.check import check
        >>> [finding.name for finding in check()][:3]
        ['versions', 'libraries', 'devices']
    """
    return list(findings(name, user_path(str(directory)), storage, data, test, fix=fix))


def findings(
    name: str | None, studies: Path, storage: str | None, data: Any, test: Any, *, fix: bool
) -> Iterator[Finding]:
    """Yield the findings of `check` as they are made; for the arguments see there."""
    can_import = True
    for finding in environment_findings():
        can_import &= finding.name != "libraries" or finding.state == Severity.OK
        yield settled(finding, fix=fix)
    if not can_import:
        text = "Disk and studies are not checked, because the libraries cannot be imported."
        yield Finding("studies", "studies", Severity.PROBLEM, text, "Install the libraries first.")
        return

    from autotrain.doctor.disk import disk_findings
    from autotrain.doctor.overview import overview
    from autotrain.doctor.place import Place
    from autotrain.doctor.study import study_findings, unreadable_definition

    for finding in disk_findings(studies):
        yield settled(finding, fix=fix)
    damaged = None if name is None else unreadable_definition(studies / name)
    if name is None:
        yield from overview(studies, storage)
    elif damaged is not None:
        yield damaged
    else:
        place = Place.of(studies / name, storage, data, test)
        yield from study_findings(place, fix=fix)
