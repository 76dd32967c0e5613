"""`autotrain doctor`: check the environment and a study, and repair it.

exit codes: 0 no problem · 1 problems remain · 2 user error
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from autotrain.cli.options import (
    any_study_argument,
    directory_option,
    json_option,
    storage_of,
    storage_option,
)
from autotrain.cli.parameters import FILE
from autotrain.cli.printing import print_json, say
from autotrain.search.settings import directory_words
from autotrain.vocabulary import count_text

if TYPE_CHECKING:
    from autotrain.doctor.finding import Finding

EXIT_PROBLEMS = 1
WIDEST = 100
"""Largest width of a line."""
NARROWEST = 40
TITLES = {
    "environment": "Environment",
    "storage": "Storage of study {name}",
    "study": "Study {name}",
    "studies": "Studies",
}


@click.command(short_help="Check the environment and a study, and repair it.")
@any_study_argument
@click.option(
    "--fix", is_flag=True, help="Make the repairs that lose nothing; without it nothing changes."
)
@click.option("--data", type=FILE, metavar="DATA", help="Path of the same table, if moved.")
@click.option("--test", type=FILE, metavar="FILE", help="Path of the test rows, if moved.")
@storage_option
@directory_option
@json_option
@click.pass_context
def doctor(
    ctx: click.Context,
    name: str | None,
    fix: bool,
    data: str | None,
    test: str | None,
    storage: str | None,
    directory: str,
    as_json: bool,
) -> None:
    """Check the environment and the study NAME, or all studies briefly.

    It explains what is wrong and how to repair it. With --fix it makes the repairs that are safe. A
    study is not repaired while a search is running. The exit code is 1 if problems remain.
    """
    from autotrain.doctor.check import findings
    from autotrain.doctor.finding import Severity, count_of

    studies = Path(directory)
    url = storage if name is None else storage_of(ctx, storage, studies / name)
    found: list[Finding] = []
    for finding in findings(name, studies, url, data, test, fix=fix):
        if not as_json:
            say("\n".join(_lines(finding, found, name)))
        found.append(finding)
    if as_json:
        counts = {str(state): count_of(found, state) for state in Severity}
        print_json(
            {"study": name, "counts": counts, "findings": [each.to_json() for each in found]}
        )
    else:
        say("\n".join(["", *_ending(found, studies / (name or ""), name, fix=fix)]))
    if count_of(found, Severity.PROBLEM):
        raise click.exceptions.Exit(EXIT_PROBLEMS)


def _lines(finding: Finding, before: Sequence[Finding], name: str | None) -> Iterator[str]:
    """Yield the lines of a finding, with a title if its group is new."""
    if not before or before[-1].group != finding.group:
        yield from [""] * bool(before)
        yield TITLES[finding.group].format(name=name)
    label = f"  {finding.state:<8}  {finding.name:<11}  "
    yield from _wrapped(finding.text, label)
    if finding.fix:
        yield from _wrapped(finding.fix, f"{'':<12}{'→':>11}  ")


def _wrapped(text: str, label: str) -> list[str]:
    """Return a text as lines that fit into the terminal, the first one after a label."""
    width = max(min(shutil.get_terminal_size().columns, WIDEST), len(label) + NARROWEST)
    wrapped = click.wrap_text(text, width - len(label)).splitlines() or [""]
    return [f"{label}{wrapped[0]}", *(f"{'':<{len(label)}}{line}" for line in wrapped[1:])]


def _ending(
    found: Sequence[Finding], folder: Path, name: str | None, *, fix: bool
) -> Iterator[str]:
    """Yield the lines with the number of problems and the next command."""
    from autotrain.doctor.finding import Severity, count_of

    counts = [
        count_text(count_of(found, Severity.PROBLEM), "problem"),
        count_text(count_of(found, Severity.WARNING), "warning"),
    ]
    if fix:
        counts.append(f"{count_of(found, Severity.REPAIRED):,} repaired")
    yield f"{', '.join(counts)}."
    if not fix and any(finding.repair is not None for finding in found):
        words = "" if name is None else f" {name}{directory_words(folder)}"
        yield f"Repair: autotrain doctor --fix{words}"
