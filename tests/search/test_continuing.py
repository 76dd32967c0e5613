"""A search that was killed and resumed equals the same search without an interruption."""

from __future__ import annotations

import hashlib
import math
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import FrozenTrial, TrialState

import autotrain
from autotrain.doctor.place import Place
from autotrain.doctor.study import release
from autotrain.reporting.status import read_status
from autotrain.search import saving
from autotrain.search.attributes import ABANDONED, CAUSE, RETRY_OF, SAVED_EPOCH, Cause
from autotrain.search.budget import Budget
from autotrain.search.checkpoints import FOLDER
from autotrain.search.continuing import Continuation
from autotrain.search.loop import SearchLoop
from autotrain.search.progress import Progress
from autotrain.search.recorder import Recorder
from autotrain.search.snapshot import FILE, SavedRun, Snapshot
from autotrain.search.storage.open import read_storage
from autotrain.space.config import TrialConfig
from autotrain.training.slot import Admission
from autotrain.training.trainer import Trainer

SPACE: dict[str, Any] = {
    "network": {"hidden_layers": {"low": 1, "high": 2}, "hidden_units": {"low": 4, "high": 24}},
    "dropout": {"choices": ["dropout"], "rate": {"low": 0.0, "high": 0.3}},
    "optimizer": {"choices": ["adam", "nesterov"]},
    "schedule": {"choices": ["performance", "constant", "one_cycle"]},
    "training": {"batch_size": {"choices": [16, 32]}, "epochs": 24},
}
DIFFERENT = {"seconds", "spent_s", "export_s", "place", "exported", ABANDONED, SAVED_EPOCH}
"""User attributes that are measured times, or tell that a trial continued."""


TICKS = 7
"""Number of epochs between two snapshots, so that epochs and trials end between them."""


@pytest.fixture(autouse=True, scope="module")
def frequent() -> Iterator[None]:
    """Take a snapshot every few epochs, and update the display after each."""
    tick = saving.Saver.tick

    def often(saver: saving.Saver, loop: SearchLoop) -> None:
        saver._due_s = 0.0 if loop.epochs % TICKS == 0 else math.inf
        tick(saver, loop)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(saving.Saver, "tick", often)
        patch.setattr("autotrain.search.loop.SHOW_EVERY_S", 0.0)
        yield


class Copies:
    """An observer that copies the study's folder, as a kill at that moment would leave it."""

    def __init__(self, folder: Path, copies: Path, every: int, most: int = 99) -> None:
        self.folder, self.copies, self.every, self.most = folder, copies, every, most
        self.n_updates = 0
        self.taken: list[Path] = []

    def update(self, progress: Progress) -> None:
        self.n_updates += 1
        is_due = self.n_updates % self.every == 0 and len(self.taken) < self.most
        if is_due and not progress.stage:
            copy = self.copies / str(self.n_updates) / self.folder.name
            shutil.copytree(self.folder, copy)
            self.taken.append(copy)


def facts_of(folder: Path, trials: list[optuna.trial.FrozenTrial]) -> dict[str, Any]:
    facts: dict[str, Any] = {
        f"trial {trial.number}": repr(
            (
                trial.state.name,
                trial.params,
                trial.values,
                trial.intermediate_values,
                {k: v for k, v in sorted(trial.user_attrs.items()) if k not in DIFFERENT},
            )
        )
        for trial in trials
    }
    files = [*(folder / FOLDER).glob("*.safetensors"), *(folder / "best").glob("*.safetensors")]
    facts |= {str(f.relative_to(folder)): hashlib.sha256(f.read_bytes()).hexdigest() for f in files}
    return facts


def resumed(copy: Path, workers: int = 1) -> dict[str, Any]:
    """Resume the copy of a study with what is left of its budget."""
    left = read_status(copy, None).left
    with autotrain.Study.resume(copy.name, directory=copy.parent, workers=workers) as study:
        if left.n_trials:
            study.optimize(left.n_trials, left.timeout_s, quiet=True)
        else:
            study.finish(quiet=True)
        trials = study.optuna_study.trials
    return facts_of(copy, trials)


SEARCHES = {
    "holdout": {"validation": "holdout"},
    "folds": {"validation": "3-fold"},
    "cmaes": {"sampler": "cmaes"},
    "qmc without pruning": {"sampler": "qmc", "pruner": "none"},
}


def search(
    folder: Path, every: int, n_trials: int = 12, timeout: float | None = None, **options: Any
) -> tuple[Copies, dict[str, Any]]:
    """Run a search without an interruption, and copy its folder now and then."""
    copies = Copies(folder / "s", folder / "copies", every)
    settings: dict[str, Any] = {"space": SPACE, "workers": 1, "seed": 2, "finalists": 3}
    settings |= {"ensemble": 0, "validation": "holdout", **options}
    with autotrain.Study("s", data="sklearn:wine", directory=folder, **settings) as study:
        study.optimize(n_trials, timeout, observer=copies)
        return copies, facts_of(folder / "s", study.optuna_study.trials)


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Path], dict[str, Any]]:
    """Return copies of a search at several moments, and the facts at its end."""
    copies, whole = search(tmp_path_factory.mktemp("searched"), 37)
    return copies.taken, whole


@pytest.fixture
def killed(searched: tuple[list[Path], dict[str, Any]], tmp_path: Path) -> Path:
    """Return the folder of a killed search with several trials in training."""
    return Path(shutil.copytree(searched[0][1], tmp_path / "killed" / "s"))


def snapshot_in(folder: Path) -> Snapshot | None:
    with read_storage(folder, None) as storage:
        [found] = storage.get_all_studies()
        return Snapshot.read(folder / FOLDER / FILE, found.user_attrs["identity"]["id"])


def trials_in(folder: Path) -> list[FrozenTrial]:
    with read_storage(folder, None) as storage:
        [found] = storage.get_all_studies()
        return storage.get_all_trials(found._study_id)


@pytest.mark.parametrize("options", SEARCHES.values(), ids=SEARCHES)
def test_resumed_search_equals_an_uninterrupted_one(
    options: dict[str, Any], tmp_path: Path
) -> None:
    copies, whole = search(tmp_path, 53, **options)
    assert not (tmp_path / "s" / FOLDER / FILE).exists(), "it ended in order"
    in_training = 0
    for copy in copies.taken:
        saved = snapshot_in(copy)
        assert saved is not None
        in_training += any(run.epoch for run in saved.runs)
        assert resumed(copy) == whole
    assert in_training >= 2


@pytest.mark.parametrize("every", [1, 3, 20])
def test_search_that_is_killed_again_and_again_ends_equally(
    every: int, searched: tuple[list[Path], dict[str, Any]], tmp_path: Path
) -> None:
    """Also when it is killed before it has computed again what the storage has."""
    (_, first, *_), whole = searched
    folder = Path(shutil.copytree(first, tmp_path / "s"))
    again = Copies(folder, tmp_path / "again", every, most=1)
    with autotrain.Study.resume("s", directory=tmp_path, workers=1) as study:
        left = read_status(folder, None).left
        study.optimize(left.n_trials, left.timeout_s, observer=again)
        assert facts_of(folder, study.optuna_study.trials) == whole
    [copy] = again.taken
    if every == 1:
        # It has not caught up, and continues from the same snapshot when it is killed again.
        assert (copy / FOLDER / FILE).read_bytes() == (first / FOLDER / FILE).read_bytes()
    assert resumed(copy) == whole


def test_search_with_a_time_limit_continues_its_trainings(tmp_path: Path) -> None:
    """Its steps depend on the time, so results differ; but no trial starts again."""
    copies, _ = search(tmp_path, 37, timeout=100.0)
    for copy in copies.taken[:3]:
        saved = snapshot_in(copy)
        assert saved is not None
        assert not saved.is_exact
        running = {t.number for t in trials_in(copy) if t.state == TrialState.RUNNING}
        continued = running & {run.number for run in saved.runs}
        resumed(copy)
        trials = trials_in(copy)
        assert all(
            trials[number].state in (TrialState.COMPLETE, TrialState.PRUNED) for number in continued
        )
        retried = {t.user_attrs[RETRY_OF] for t in trials if RETRY_OF in t.user_attrs}
        assert retried == running - continued
        counted = [t for t in trials if t.state in (TrialState.COMPLETE, TrialState.PRUNED)]
        assert len(counted) == 12


class Interrupt:
    """An observer that presses Ctrl-C after this number of epochs."""

    def __init__(self, epochs: int) -> None:
        self.epochs = epochs

    def update(self, progress: Progress) -> None:
        if progress.epochs >= self.epochs:
            raise KeyboardInterrupt


def test_interrupted_trainings_continue_after_ctrl_c(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = autotrain.Study(
        "s",
        data="sklearn:wine",
        space=SPACE,
        validation="holdout",
        workers=1,
        seed=2,
        directory=tmp_path,
    )
    with study, pytest.raises(KeyboardInterrupt):
        study.optimize(12, observer=Interrupt(70))
    saved = snapshot_in(tmp_path / "s")
    assert saved is not None
    before = trials_in(tmp_path / "s")
    interrupted = {t.number for t in before if t.user_attrs.get(CAUSE) == Cause.INTERRUPTED}
    epochs = {run.number: run.epoch for run in saved.runs if run.number in interrupted}
    assert any(epochs.values())
    admitted: list[Admission] = []
    admit = Trainer.admit

    def note(trainer: Trainer, admission: Admission) -> None:
        admitted.append(admission)
        admit(trainer, admission)

    monkeypatch.setattr(Trainer, "admit", note)
    resumed(tmp_path / "s")
    continued = [a.state.numbers["epoch"] for a in admitted if a.state is not None]
    assert sorted(continued) == sorted(epochs.values())
    trials = trials_in(tmp_path / "s")
    again = [t for t in trials if RETRY_OF in t.user_attrs]
    assert {t.user_attrs[RETRY_OF] for t in again} == interrupted
    for trial in again:
        known = before[trial.user_attrs[RETRY_OF]].intermediate_values
        shared = known.keys() & trial.intermediate_values.keys()
        n_saved = epochs.get(trial.user_attrs[RETRY_OF], 0)
        assert {epoch for epoch in known if epoch <= n_saved} <= shared
        assert all(trial.intermediate_values[e] == known[e] for e in shared if e <= n_saved)
    assert sum(t.state in (TrialState.COMPLETE, TrialState.PRUNED) for t in trials) == 12


@pytest.mark.parametrize("content", [b"", b"no snapshot", None])
def test_broken_snapshot_is_ignored(content: bytes | None, killed: Path) -> None:
    copy = killed
    file = copy / FOLDER / FILE
    file.write_bytes(file.read_bytes()[:-100] if content is None else content)
    running = [t.number for t in trials_in(copy) if t.state == TrialState.RUNNING]
    resumed(copy)
    trials = trials_in(copy)
    assert [t.user_attrs[RETRY_OF] for t in trials if RETRY_OF in t.user_attrs] == running
    assert {trials[number].user_attrs[CAUSE] for number in running} == {Cause.INTERRUPTED}


def test_snapshot_of_another_study_is_ignored(killed: Path) -> None:
    assert Snapshot.read(killed / FOLDER / FILE, "another") is None


def test_trials_that_were_closed_are_trained_again(killed: Path) -> None:
    """As `autotrain doctor --fix` closes them."""
    copy = killed
    running = [t.number for t in trials_in(copy) if t.state == TrialState.RUNNING]
    assert running
    release(Place.of(copy, None))
    resumed(copy)
    trials = trials_in(copy)
    assert [t.user_attrs[RETRY_OF] for t in trials if RETRY_OF in t.user_attrs] == running
    assert sum(t.state in (TrialState.COMPLETE, TrialState.PRUNED) for t in trials) == 12


def study_with(states: dict[int, dict[str, int]]) -> optuna.Study:
    """Return a study of running trials with these user attributes."""
    study = optuna.create_study()
    for number, attrs in states.items():
        trial = study.ask()
        assert trial.number == number
        for name, value in attrs.items():
            trial.set_user_attr(name, value)
    return study


def snapshot_of(*runs: tuple[int, int]) -> Snapshot:
    """Return a snapshot with trainings of (trial, epoch)."""
    saved = tuple(
        SavedRun(number, 0, 0, TrialConfig.from_params({}), (number,), {"epoch": epoch})
        for number, epoch in runs
    )
    numbers = tuple(number for number, _ in runs)
    counts = dict.fromkeys(("n_started", "n_admitted", "epochs"), 0)
    return Snapshot("s", True, len(runs), numbers, None, counts, runs=saved)


@pytest.mark.parametrize(
    ("attrs", "epoch", "deaths"),
    [
        ({}, 5, 1),
        ({ABANDONED: 1, SAVED_EPOCH: 5}, 5, 2),
        ({ABANDONED: 2, SAVED_EPOCH: 5}, 6, 1),
        ({ABANDONED: 1}, 5, 2),
    ],
)
def test_deaths_are_counted_since_the_last_progress(
    attrs: dict[str, int], epoch: int, deaths: int
) -> None:
    study = study_with({0: attrs})
    plan = Continuation.of(snapshot_of((0, epoch)), study, is_exact=True)
    assert plan.is_exact
    assert plan.marks(study.trials) == {0: {ABANDONED: deaths, SAVED_EPOCH: epoch}}


def test_training_that_kills_the_process_is_given_up() -> None:
    study = study_with({0: {ABANDONED: 2, SAVED_EPOCH: 5}, 1: {}})
    plan = Continuation.of(snapshot_of((0, 5), (1, 3)), study, is_exact=True)
    assert not plan.is_exact
    assert [run.number for run in plan.runs] == [1]
    assert list(plan.marks(study.trials)) == [1]


def test_storage_with_fewer_trials_than_the_snapshot() -> None:
    """After a power failure the storage may have lost the last trials."""
    plan = Continuation.of(snapshot_of((0, 5), (1, 3)), study_with({0: {}}), is_exact=True)
    assert plan == Continuation()


def test_snapshots_take_at_most_their_share_of_the_time(tmp_path: Path) -> None:
    saver = saving.Saver(tmp_path / "snapshot", "s", now=lambda: 0.0)
    assert saver.next_s(0.01) == saving.EVERY_S
    assert saver.next_s(3.0) == pytest.approx(300.0)


def test_repeat_that_was_running_is_completed_also_if_it_is_not_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The search had begun it before the others decided, and its result counts."""
    folder, copy = tmp_path / "studies" / "s", tmp_path / "copies" / "s"
    record = Recorder.record_repeat

    def copied(recorder: Recorder, *arguments: Any) -> None:
        if len(recorder.store.study.user_attrs.get("repeats", [])) == 3:
            recorder.store.commit()
            shutil.copytree(folder, copy)
        record(recorder, *arguments)

    options: dict[str, Any] = {"space": SPACE, "validation": "holdout", "pruner": "none"}
    options |= {"directory": folder.parent, "finalists": 2, "workers": 1, "seed": 5}
    with monkeypatch.context() as patch:
        patch.setattr(Recorder, "record_repeat", copied)
        with autotrain.Study("s", data="sklearn:wine", **options) as study:
            study.optimize(n_trials=8, quiet=True)
            repeats, winner = study.optuna_study.user_attrs["repeats"], study.winner
            expected = facts_of(folder, study.optuna_study.trials)
    assert len(repeats) == 4
    with autotrain.Study.resume("s", directory=copy.parent, workers=1) as study:
        finals = study._finals()
        assert finals is not None
        assert finals.next() is None
        study.finish(quiet=True)
        assert study.optuna_study.user_attrs["repeats"] == repeats
        assert study.winner == winner
        assert facts_of(copy, study.optuna_study.trials) == expected
    assert not (copy / FOLDER / FILE).exists()


def test_study_has_its_budget_from_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A search that is killed right after its study was created is resumed with its budget."""

    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(autotrain.Study, "_add_budget", killed)
    options: dict[str, Any] = {"space": SPACE, "validation": "holdout", "directory": tmp_path}
    with autotrain.Study("s", data="sklearn:wine", **options) as study:
        with pytest.raises(KeyboardInterrupt):
            study.optimize(n_trials=3, timeout=50, quiet=True)
        assert read_status(tmp_path / "s", None).left == Budget(3, 50)
