"""Faults of the journal: it is cut at every byte of its last records."""

from __future__ import annotations

import functools
import random
import shutil
import signal
import tempfile
import time
from pathlib import Path

from optuna.trial import FrozenTrial

from autotrain.doctor.finding import Severity
from autotrain.doctor.place import Place
from autotrain.doctor.study import study_findings
from autotrain.errors import AutotrainError
from autotrain.search.record import FILE
from autotrain.search.storage.opened import JOURNAL
from benchmarks.faulting import audit
from benchmarks.faulting.run import ALONE, Result, Run, Setting, Whole, checked, running
from benchmarks.searches import trials_of

PER_STUDY = 200
"""Number of bytes that are cut off from one study, one after the other."""
RESUMED_EVERY = 8
"""One in this number of cut journals is resumed; the others are checked and repaired."""


@functools.cache
def killed_study(parent: Path, setting: Setting, whole: Whole, seed: int) -> Path:
    """Return the folder of a study that was killed."""
    generator = random.Random(seed)
    while True:
        with running(parent, setting, share=generator.uniform(0.2, 0.95)) as run:
            run.start()
            if not run.wait(whole):
                continue
            run.command.signal(signal.SIGKILL)
            run.command.wait()
            if not run.is_unfinished():
                continue
            kept = Path(tempfile.mkdtemp(prefix="killed-", dir=parent))
            return Path(shutil.copytree(run.study, kept / run.study.name))


def cut(parent: Path, number: int, whole: Whole) -> Result:
    """Cut the journal of a killed study, repair or resume it, and check it.

    Args:
        parent: folder for temporary files.
        number: number of the run; it gives the study and the number of bytes.
        whole: the search without a fault.
    """
    study = killed_study(parent, ALONE, whole, number // PER_STUDY)
    n_bytes = 1 + number % PER_STUDY
    result = Result("journal_cut", number)
    with running(parent, ALONE) as run:
        shutil.copytree(study, run.study)
        journal = run.study / JOURNAL
        content = journal.read_bytes()[:-n_bytes]
        journal.write_bytes(content)
        trials, _ = trials_of(run.study)
        before = audit.ended(trials)
        begun_s = time.monotonic()
        if number % RESUMED_EVERY:
            repaired(run, result, before)
            result.recover_s = round(time.monotonic() - begun_s, 3)
        # What is left of the last line is kept in another file.
        whole_lines = content[: content.rfind(b"\n") + 1]
        if not journal.read_bytes().startswith(whole_lines):
            result.lost.append("the repair has changed records")
        if number % RESUMED_EVERY:
            return result
        run.over()
        run.start()
        run.command.wait()
        if run.command.code == 2 and "must have" in run.command.output:
            # An ended trial is missing. The error names the way to continue.
            if not journal.read_bytes().startswith(whole_lines):
                result.lost.append("the refused resume has changed records")
            result.notes += " refused"
            (run.study / FILE).unlink()
            run.start()
            run.command.wait()
        result.left += run.left_processes()
        if run.command.code:
            result.errors.append(f"exit code {run.command.code}: {run.command.output[-600:]}")
        result.recover_s = round(run.recover_s(), 3)
        return checked(run, result, whole, is_exact=False, before=before)


def repaired(run: Run, result: Result, before: dict[int, str]) -> None:
    """Repair a study as `autotrain doctor --fix` does, and check that no ended trial changes."""
    try:
        place = Place.of(run.study, None)
        found = [*study_findings(place, fix=True)]
    except AutotrainError as error:
        result.errors.append(f"doctor: {error}")
        return
    open_ones = [each for each in found if each.state != Severity.OK]
    lost_ones = [each for each in open_ones if each.name == "record"]
    if lost_ones:
        # The cut has removed an ended trial, which no repair can bring back.
        result.notes += " reported as lost"
    after: list[FrozenTrial] = trials_of(run.study)[0]
    ended = audit.ended(after)
    result.lost += [f"trial {n} changed" for n, text in before.items() if ended.get(n) != text]
