"""Checks of a study's models: its files, the checkpoints, and the exported model in `best/`."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from autotrain.bundle import CARD, ENSEMBLE, encode, publish, read_bundle, stage
from autotrain.bundle.own_files import remove_own
from autotrain.bundle.publishing import leftovers
from autotrain.doctor.finding import Finding, Repair, Severity
from autotrain.doctor.place import RUNNING, Place
from autotrain.errors import COPY_AGAIN, BundleError
from autotrain.export.origin import Origin
from autotrain.reporting.results import BEST
from autotrain.search.attributes import IS_EXPORTED
from autotrain.search.checkpoints import FOLDER as CHECKPOINTS
from autotrain.search.checkpoints import Checkpoints
from autotrain.search.opening import Seen
from autotrain.search.storage.lock import StudyLock
from autotrain.search.storage.open import remove_unfinished, unfinished
from autotrain.space.search_space import SearchSpace
from autotrain.study import Study
from autotrain.vocabulary import count_text, size_text

GROUP = "study"
MOST_NAMED = 3
NAME = re.compile(r"trial-(0|[1-9]\d*)-(0|[1-9]\d*)\.safetensors")
"""Name of a checkpoint: number of the trial, and of its training."""


@dataclass(frozen=True)
class Models:
    """A study and its models.

    Args:
        place, seen: the study, and its trials.
        is_running: whether a search is running; then nothing is repaired.
    """

    place: Place
    seen: Seen
    is_running: bool

    @property
    def best(self) -> Path:
        """The folder of the exported model."""
        return self.place.folder / BEST

    def origin(self) -> Origin:
        """Return the trials that a model can come from."""
        definition = self.place.definition
        study = self.place.optuna_study(self.seen)
        space = SearchSpace.from_dict(definition.space)
        checkpoints = Checkpoints(self.place.folder / CHECKPOINTS)
        return Origin(study, space, checkpoints, definition.seed, definition.fingerprint)

    def found(
        self, name: str, severity: Severity, text: str, fix: str, repair: Repair | None
    ) -> Finding:
        """Return a finding that is repaired only if no search is running."""
        if self.is_running:
            return Finding(GROUP, name, severity, text, RUNNING)
        return Finding(GROUP, name, severity, text, fix, repair)


def model_checks(place: Place) -> list[Callable[[Seen], Iterator[Finding]]]:
    """Return the checks of the checkpoints and the exported model of a study."""

    def part(check: Callable[[Models], Finding], seen: Seen) -> Iterator[Finding]:
        if seen.study_id is not None:
            yield check(Models(place, seen, place.is_in_use(seen)))

    return [partial(part, check) for check in (checkpoints, best_model)]


# ---- files of a killed search --------------------------------------------------------------------


def temporary_files(place: Place, seen: Seen) -> Iterator[Finding]:
    """Check that a killed search left no temporary files in the study's folder."""
    models = Models(place, seen, place.is_in_use(seen))
    folder = models.place.folder
    folders = leftovers(models.best)
    found = [*folders, *unfinished(folder)]
    if not found or models.is_running:
        yield Finding(GROUP, "files", Severity.OK, "No temporary files of a killed search.")
        return
    is_exchanging = not models.best.exists() and any(each.suffix == ".old" for each in folders)
    text = f"{count_text(len(found), 'temporary name')} of a killed search: {_names(found)}."
    if is_exchanging:
        text += f" {BEST}/ is missing, because it was being replaced."

    def repair() -> str:
        with _locked(folder):
            remove_unfinished(folder)
        return f"{BEST}/ is there again." if models.best.exists() and is_exchanging else "Removed."

    severity = Severity.PROBLEM if is_exchanging else Severity.WARNING
    yield models.found("files", severity, text, f"Run: {models.place.command}", repair)


# ---- checkpoints ---------------------------------------------------------------------------------


def checkpoints(models: Models) -> Finding:
    """Check that each checkpoint can be read and belongs to a complete trial."""
    origin = models.origin()
    complete = {trial.number: trial for trial in origin.complete}
    files: dict[Path, tuple[int, int]] = {}
    for file in sorted(origin.checkpoints.folder.glob("trial-*")):
        named = NAME.fullmatch(file.name)
        if named is not None:
            files[file] = int(named[1]), int(named[2])
    orphans, damaged = [], []
    for file, (number, repeat) in files.items():
        kept = origin.checkpoints.find(number, repeat)
        if kept is None:
            damaged.append(file)
        elif number not in complete or not origin.is_of(complete[number], kept):
            orphans.append(file)
    if models.is_running:
        orphans = []  # The trial of a checkpoint may not be recorded yet.
    if not orphans and not damaged:
        known = f"{count_text(len(files), 'checkpoint')}, each of a complete trial."
        text = known if files else "No checkpoint yet."
        return Finding(GROUP, "checkpoints", Severity.OK, text)
    parts = []
    if damaged:
        parts.append(f"{count_text(len(damaged), 'checkpoint')} cannot be read: {_names(damaged)}.")
    if orphans:
        size = size_text(sum(file.stat().st_size for file in orphans))
        what = f"{count_text(len(orphans), 'checkpoint')} of no complete trial ({size})"
        parts.append(f"{what}: {_names(orphans)}.")
    text = " ".join(parts)
    if models.seen.lost is not None:
        fix = "They stay, because they may belong to the lost trials. Restore these first."
        return models.found("checkpoints", Severity.WARNING, text, fix, None)

    def repair() -> str:
        with _locked(models.place.folder):
            for file in (*damaged, *orphans):
                remove_own(file)
        return "Removed; a model is trained again from its record when it is needed."

    return models.found(
        "checkpoints", Severity.WARNING, text, f"Run: {models.place.command}", repair
    )


# ---- the exported model --------------------------------------------------------------------------


def best_model(models: Models) -> Finding:
    """Check that `best/` contains an intact model of the study."""
    origin, best = models.origin(), models.best
    is_there = best.exists() or best.is_symlink()
    if not origin.complete and not is_there:
        return Finding(GROUP, BEST, Severity.OK, "No trial is complete, so there is no model yet.")
    try:
        bundle = read_bundle(best)
    except BundleError as error:
        if not origin.complete:
            fix = f"Remove {best}; no trial is complete that a model could come from."
            return models.found(BEST, Severity.PROBLEM, str(error), fix, None)
        what = f"{best} must contain the best model, got nothing."
        if is_there:
            what = str(error).removesuffix(COPY_AGAIN).strip()
        fix = f"Run: {models.place.command}, or resume the study."
        if models.seen.lost is not None:
            return models.found(
                BEST, Severity.PROBLEM, what, "Restore the lost trials first.", None
            )
        return models.found(BEST, Severity.PROBLEM, what, fix, lambda: rebuild(models.place))
    if origin.bundle_in(best) is None:
        return models.found(
            BEST,
            Severity.WARNING,
            f"{best} must contain a model of this study, got one of no trial that is recorded.",
            "Copy the folder if you need the model: `autotrain resume` replaces it.",
            None,
        )
    members = bundle.training.get(ENSEMBLE)
    what = (
        f"the model of trial {bundle.training['trial']}"
        if members is None
        else f"an ensemble of {count_text(len(members), 'training')}"
    )
    if best.is_dir() and not (best / CARD).is_file():

        def write_card() -> str:
            with _locked(models.place.folder):
                publish(stage(best, encode(bundle)), best)
            return "Written again."

        text = f"{best / CARD} is missing. The model itself is intact."
        fix = f"Run: {models.place.command}"
        return models.found(BEST, Severity.WARNING, text, fix, write_card)
    return Finding(GROUP, BEST, Severity.OK, f"{BEST}/ contains {what}; it is intact.")


def rebuild(place: Place) -> str:
    """Write the model in `best/` again, and return a sentence about it."""
    given = {"data": place.data, "test": place.test, "storage": place.url, "workers": 1}
    directory = place.folder.absolute().parent
    with Study.resume(place.folder.name, directory=directory, **given) as study:
        study.restore_best()
        if study.optuna_study.user_attrs.get(IS_EXPORTED) and study.dataset.n_test:
            study.test()
        failures = study.export_failures
    return " ".join(["Written again from the study's trials.", *failures])


# ---- help ----------------------------------------------------------------------------------------


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    lock = StudyLock(folder)
    try:
        yield
    finally:
        lock.release()


def _names(files: Sequence[Path]) -> str:
    more = f" and {len(files) - MOST_NAMED} more" if len(files) > MOST_NAMED else ""
    return ", ".join(file.name for file in files[:MOST_NAMED]) + more
