"""The search loop, with workers whose messages are scripted."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.trial import TrialState

from autotrain.errors import StudyError
from autotrain.metrics import METRICS
from autotrain.search import trial_store
from autotrain.search.attributes import CAUSE, CURVE, REPEATS, Cause
from autotrain.search.budget import RunClock
from autotrain.search.facts import trial_seed
from autotrain.search.finals import Finals
from autotrain.search.loop import SearchLoop
from autotrain.search.progress import ENDING, Progress, Silent
from autotrain.search.pruning.comparison import Comparison
from autotrain.search.pruning.plateaus import PlateauRule
from autotrain.search.recorder import Recorder
from autotrain.search.scheduler import next_repeat
from autotrain.search.storage.open import open_storage, read_storage
from autotrain.search.storage.opened import OpenStorage
from autotrain.search.trained import Trained
from autotrain.search.trial_store import TrialStore
from autotrain.search.workers.protocol import Close, Command, Crashed, Message, StopSlot
from autotrain.space.config import TrialConfig
from autotrain.space.search_space import SearchSpace
from autotrain.training.slot import Admission, EpochReport, Outcome

SPACE = {"optimizer": {"choices": ["adam"], "learning_rate": {"low": 1e-4, "high": 1e-1}}}


class Script:
    """A worker that trains nothing: slot number → values of its epochs.

    Args:
        curves: for each slot the validation values, epoch by epoch; then it ends by "epochs".
        crash_at: the slot whose first epoch breaks the worker.
        dies: whether it is gone then; `heir` takes its place.
        dropped: (slot, epoch) after which the learning rate drops.
    """

    name = "script"

    def __init__(
        self,
        curves: dict[int, list[float]],
        crash_at: int | None = None,
        dies: bool = False,
        heir: Script | None = None,
        dropped: Collection[tuple[int, int]] = (),
    ) -> None:
        self.curves = curves
        self.dropped = dropped
        self.crash_at = crash_at
        self.dies = dies
        self.heir = heir
        self.at_once: list[tuple[int, ...]] = []
        self.admitted: list[Admission] = []
        self.stopped: list[int] = []
        self.epoch: dict[int, int] = {}
        self.closed = False

    def send(self, command: Command) -> None:
        if isinstance(command, Admission):
            self.admitted.append(command)
            self.epoch[command.slot] = 0
        elif isinstance(command, StopSlot):
            if command.slot in self.epoch:
                self.stopped.append(command.slot)
        else:
            assert isinstance(command, Close)

    def receive(self) -> list[Message]:
        messages: list[Message] = []
        self.at_once.append(tuple(self.epoch))
        if self.crash_at in self.epoch:
            lost = tuple(self.epoch)
            self.epoch.clear()
            self.crash_at = None
            return [Crashed(lost, Cause.ERROR, "Traceback: boom", is_alive=not self.dies)]
        for slot in list(self.epoch):
            curve = self.curves[slot]
            done = self.epoch[slot]
            if slot in self.stopped or done == len(curve):
                messages.append(self._end(slot, "stopped" if slot in self.stopped else "epochs"))
                continue
            value = curve[done]
            self.epoch[slot] = done + 1
            messages.append(
                EpochReport(
                    slot,
                    epoch=done + 1,
                    samples_seen=100 * (done + 1),
                    train_loss=0.5,
                    valid_loss=value,
                    value=value,
                    dropped=(slot, done + 1) in self.dropped,
                    learning_rate=1e-3,
                )
            )
            if not math.isfinite(value):
                messages.append(self._end(slot, "diverged"))
        return messages

    def _end(self, slot: int, cause: str) -> Outcome:
        done = self.epoch.pop(slot)
        seen = [v for v in self.curves[slot][:done] if math.isfinite(v)]
        if not seen:
            return Outcome(slot, cause, done, 0, math.nan, None, None)
        best = int(np.argmin(seen))
        weights = np.full(3, slot, dtype=np.float32)
        return Outcome(slot, cause, done, best + 1, seen[best], weights, weights)

    def close(self) -> None:
        self.closed = True

    def renew(self) -> Script | None:
        return self.heir


class Impatient(Script):
    """A script that fails when nothing comes to an end."""

    def receive(self) -> list[Message]:
        assert len(self.at_once) < 200, "it waits for ever"
        return super().receive()


@pytest.fixture
def storage(tmp_path: Path) -> Iterator[OpenStorage]:
    with open_storage(tmp_path / "study") as opened:
        yield opened


def make_store(
    storage: OpenStorage, *, load: bool = False, schedule: str = "constant"
) -> TrialStore:
    space = SearchSpace(SPACE | {"schedule": {"choices": [schedule]}}).resolve(100, 3, "binary")
    study = optuna.create_study(
        storage=storage,
        study_name="s",
        sampler=optuna.samplers.RandomSampler(seed=0),
        load_if_exists=load,
    )
    return TrialStore(study, storage, space, METRICS["log_loss"])


def make_loop(
    store: TrialStore,
    worker: Script,
    published: list[Trained],
    *,
    publish: Callable[[Trained], None] | None = None,
    folds: int = 1,
    width: int = 1,
    comparison: Comparison | None = None,
    finals: Finals | None = None,
    keep: Callable[[Trained], None] = lambda trained: None,
) -> SearchLoop:
    def width_of(_: TrialConfig) -> int:
        return width

    recorder = Recorder(
        store,
        comparison=comparison,
        pruner=None,
        publish=published.append if publish is None else publish,
        finals=finals,
        keep=keep,
    )
    return SearchLoop(
        recorder, [worker], n_folds=folds, study_seed=7, width_of=width_of, observer=Silent()
    )


def test_best_value_and_its_weights_are_recorded(storage: OpenStorage) -> None:
    store = make_store(storage)
    published: list[Trained] = []
    worker = Script({0: [0.5, 0.3, 0.9], 1: [0.4, 0.2, 0.6], 2: [0.7, 0.8]})
    loop = make_loop(store, worker, published)
    loop.run(3, None)
    assert [trial.value for trial in store.study.trials] == [0.3, 0.2, 0.7]
    assert all(trial.state == TrialState.COMPLETE for trial in store.study.trials)
    assert store.study.trials[1].intermediate_values == {1: 0.4, 2: 0.2, 3: 0.2}
    assert store.study.trials[1].user_attrs[CURVE] == [[1, 0.4], [2, 0.2], [3, 0.6]]
    assert store.study.trials[1].user_attrs["best_epoch"] == 2
    last = published[-1]
    assert (last.number, last.value) == (1, 0.2)
    assert last.outcomes[0].parameters is not None
    assert last.outcomes[0].parameters[0] == 1
    assert worker.closed
    assert loop.progress.best_value == 0.2


def test_seed_follows_study_and_trial(storage: OpenStorage) -> None:
    store = make_store(storage)
    worker = Script({0: [0.5], 1: [0.4]})
    make_loop(store, worker, []).run(2, None)
    assert [a.seed for a in worker.admitted] == [trial_seed(7, 0), trial_seed(7, 1)]
    assert trial_seed(7, 0) != trial_seed(8, 0)


def test_diverged_trial_is_pruned_and_keeps_its_curve(
    storage: OpenStorage,
) -> None:
    store = make_store(storage)
    worker = Script({0: [0.5, 0.9], 1: [0.4, math.nan], 2: [math.nan]})
    make_loop(store, worker, []).run(3, None)
    _, diverged, at_once = store.study.trials
    for trial in (diverged, at_once):
        assert trial.state == TrialState.PRUNED
        assert trial.user_attrs["cause"] == "diverged"
    assert diverged.intermediate_values == {1: 0.4}
    assert diverged.user_attrs[CURVE] == [[1, 0.4]]
    assert at_once.intermediate_values == {}
    assert CURVE not in at_once.user_attrs
    assert store.study.best_trial.number == 0


def test_value_of_a_trial_is_the_mean_of_its_folds(storage: OpenStorage) -> None:
    store = make_store(storage)
    worker = Script({0: [0.4, 0.2], 1: [0.6, 0.5, 0.4]})
    published: list[Trained] = []
    make_loop(store, worker, published, folds=2).run(1, None)
    trial = store.study.trials[0]
    assert trial.value == pytest.approx((0.2 + 0.4) / 2)
    assert trial.intermediate_values[1] == pytest.approx(0.5)
    # The first fold has ended: its best value counts at the third epoch.
    assert trial.intermediate_values[3] == pytest.approx((0.2 + 0.4) / 2)
    assert [a.fold for a in worker.admitted] == [0, 1]
    assert len(published[-1].outcomes) == 2


def test_curve_ends_with_the_value_if_folds_end_at_different_epochs(
    storage: OpenStorage,
) -> None:
    """Folds have their best epochs apart, end apart, and more epochs than a curve has points."""
    generator = np.random.default_rng(3)
    lengths = [3, 260, 31, 258, 259, 1]
    curves = {slot: generator.random(n).tolist() for slot, n in enumerate(lengths)}
    store = make_store(storage)
    make_loop(store, Script(curves), [], folds=3).run(2, None)
    for number, trial in enumerate(store.study.trials):
        folds = [curves[3 * number + fold] for fold in range(3)]
        assert trial.value == np.mean([min(fold) for fold in folds])
        steps = sorted(trial.intermediate_values)
        assert min(trial.intermediate_values.values()) == trial.value
        assert trial.intermediate_values[steps[-1]] == trial.value
        assert steps[-1] == max(map(len, folds))
        for step in steps:
            so_far = np.mean([min(fold[:step]) for fold in folds])
            assert trial.intermediate_values[step] == so_far
        raw = trial.user_attrs[CURVE]
        assert [raw[0][0], raw[-1][0], len(raw)] == [1, steps[-1], 50]
        for epoch, score in raw:
            mean = np.mean([fold[min(epoch, len(fold)) - 1] for fold in folds])
            assert score == pytest.approx(mean, rel=1e-5)


def test_faster_fold_does_not_change_the_curve(storage: OpenStorage) -> None:
    """Folds of one trial may train in two fleets, one of which is faster."""
    curves = {0: [0.9, 0.5, 0.1], 1: [0.8, 0.7, 0.6]}
    script = Script(curves)
    receive = script.receive

    def one_after_the_other() -> list[Message]:
        messages = [message for _ in range(4) for message in receive()]
        return sorted(messages, key=lambda message: message.slot)  # type: ignore[union-attr]

    script.receive = one_after_the_other  # type: ignore[method-assign]
    store = make_store(storage)
    make_loop(store, script, [], folds=2).run(1, None)
    trial = store.study.trials[0]
    assert trial.value == np.mean([0.1, 0.6])
    assert trial.intermediate_values[3] == trial.value
    assert min(trial.intermediate_values.values()) == trial.value
    assert trial.intermediate_values[1] == np.mean([0.9, 0.8])


def test_pruned_trials_curve_ends_with_its_value(storage: OpenStorage) -> None:
    store = make_store(storage)
    good = {slot: [0.5, 0.4, 0.45, 0.45, 0.45] for slot in range(2)}
    worker = Script(good | {2: [0.9, 0.8, 0.85, 0.85, 0.85, 0.85]})
    comparison = Comparison(PlateauRule(patience=2, n_startup=2))
    make_loop(store, worker, [], comparison=comparison).run(3, None)
    pruned = store.study.trials[2]
    assert pruned.state == TrialState.PRUNED
    assert pruned.value == 0.8
    assert pruned.intermediate_values == {1: 0.9, 2: 0.8, 3: 0.8, 4: 0.8}


def test_later_points_of_a_lost_attempt_are_set_to_the_value(storage: OpenStorage) -> None:
    store = make_store(storage)
    trial, _ = store.ask()
    for epoch, value in enumerate([0.5, 0.4, 0.3, 0.2], 1):
        store.report(trial, epoch, 10, value)
    store.finish(trial, TrialState.COMPLETE, 0.4, {}, last_epoch=2)
    assert store.study.trials[0].intermediate_values == {1: 0.5, 2: 0.4, 3: 0.4, 4: 0.4}


def test_workers_never_exceed_their_capacity(storage: OpenStorage) -> None:
    store = make_store(storage)
    worker = Script({slot: [0.5] * 4 for slot in range(20)})
    most = 0
    receive = worker.receive

    def counting() -> list[Message]:
        nonlocal most
        most = max(most, len(worker.epoch))
        return receive()

    worker.receive = counting  # type: ignore[method-assign]
    make_loop(store, worker, [], width=3).run(20, None)
    assert most == 3


def test_pruner_stops_a_trial_that_is_worse_at_its_plateau(storage: OpenStorage) -> None:
    store = make_store(storage)
    rule = PlateauRule(patience=2, n_startup=2, grace=0, max_plateaus=2)
    good, bad = [0.5, 0.3, 0.3, 0.3, 0.3, 0.3, 0.3], [0.9] * 30
    worker = Script({0: good, 1: good, 2: bad})
    make_loop(store, worker, [], comparison=Comparison(rule)).run(3, None)
    states = [trial.state for trial in store.study.trials]
    assert states == [TrialState.COMPLETE, TrialState.COMPLETE, TrialState.PRUNED]
    assert store.study.trials[0].user_attrs["cause"] == "converged"
    assert store.study.trials[2].user_attrs["cause"] == "plateau"
    assert len(store.study.trials[2].intermediate_values) < 10


def test_best_running_trial_is_complete_at_the_deadline(storage: OpenStorage) -> None:
    store = make_store(storage)
    worker = Script({0: [0.5, 0.4] * 10_000, 1: [0.3] * 20_000, 2: [0.6] * 20_000})
    published: list[Trained] = []
    loop = make_loop(store, worker, published, width=3)
    assert loop.progress.stage == ""
    loop.run(None, RunClock(0.2))
    assert loop.progress.stage == ENDING
    by_number = {trial.number: trial for trial in store.study.trials if trial.number < 3}
    assert by_number[1].state == TrialState.COMPLETE
    assert by_number[1].user_attrs["cause"] == "time"
    assert [by_number[n].state for n in (0, 2)] == [TrialState.PRUNED] * 2
    assert by_number[0].value == 0.4
    assert [winner.number for winner in published] == [1], "one export, not one for each better"


def test_timeout_before_the_first_epoch_still_gives_a_model(storage: OpenStorage) -> None:
    store = make_store(storage)
    published: list[Trained] = []
    worker = Script({0: [0.5] * 50_000, 1: [0.4] * 50_000})
    loop = make_loop(store, worker, published, width=2)
    slow = worker.receive
    calls: Iterator[list[Message]] = iter([[], [], []])
    worker.receive = lambda: next(calls, None) or slow()  # type: ignore[method-assign]
    loop.run(None, RunClock(1e-9))
    assert len(published) == 1
    assert len(worker.admitted) == 1


def test_crash_fails_its_trials_and_the_search_continues(storage: OpenStorage) -> None:
    store = make_store(storage)
    worker = Script({0: [0.5], 1: [0.4], 2: [0.3]}, crash_at=1)
    loop = make_loop(store, worker, [])
    loop.run(3, None)
    states = [trial.state for trial in store.study.trials]
    assert states == [TrialState.COMPLETE, TrialState.FAIL, TrialState.COMPLETE]
    assert "boom" in store.study.trials[1].user_attrs["error"]
    assert loop.progress.n_failed == 1


def test_error_of_one_trial_does_not_end_others(storage: OpenStorage) -> None:
    """Both are tried again, each alone: the innocent one ends, the guilty one fails."""
    store = make_store(storage)
    # Slots 0 and 1 begin together; 2 and 3 are their second tries.
    curves = {0: [0.6, 0.5], 1: [0.4] * 3, 2: [0.6, 0.5], 3: [0.4] * 3, 4: [0.7]}
    worker = Script(curves, crash_at=1)
    receive = worker.receive

    def breaking() -> list[Message]:
        if 3 in worker.epoch:
            worker.crash_at = 3
        return receive()

    worker.receive = breaking  # type: ignore[method-assign]
    loop = make_loop(store, worker, [], width=2, comparison=Comparison(PlateauRule()))
    loop.recorder.n_before = 12  # of fifteen trials three may run at once
    loop.run(3, None)
    assert [a.seed for a in worker.admitted] == [trial_seed(7, n) for n in (0, 1, 0, 1, 2)]
    assert worker.at_once[0] == (0, 1)
    assert all(len(slots) <= 1 for slots in worker.at_once[1:])
    innocent, guilty, third = store.study.trials
    assert third.value == 0.7
    assert (innocent.state, innocent.value) == (TrialState.COMPLETE, 0.5)
    assert guilty.state == TrialState.FAIL
    assert guilty.user_attrs["cause"] == "error"
    assert loop.progress.n_failed == 1


class Small(Script):
    """A worker whose memory is too small for more than `most` slots."""

    most = 1

    def receive(self) -> list[Message]:
        if len(self.epoch) > self.most:
            self.at_once.append(tuple(self.epoch))
            lost = tuple(self.epoch)
            self.epoch.clear()
            return [Crashed(lost, Cause.OUT_OF_MEMORY, "MemoryError", is_alive=True)]
        return super().receive()


@pytest.mark.parametrize(("most", "sizes"), [(2, [4, 2]), (1, [4, 2, 1])])
def test_fleet_that_is_out_of_memory_is_halved(
    most: int, sizes: list[int], storage: OpenStorage
) -> None:
    store = make_store(storage)
    worker = Small({slot: [0.5, 0.4] for slot in range(30)})
    worker.most = most
    loop = make_loop(store, worker, [], width=4, comparison=Comparison(PlateauRule()))
    loop.recorder.n_before = 12  # of twenty trials four may run at once
    loop.run(8, None)
    assert [trial.state for trial in store.study.trials] == [TrialState.COMPLETE] * 8
    found = [len(slots) for slots in worker.at_once]
    assert [size for size in sizes if size in found] == sizes
    assert max(found[found.index(sizes[-1]) :]) == sizes[-1], "it is not filled again"


def test_trial_that_is_too_large_alone_is_pruned(storage: OpenStorage) -> None:
    store = make_store(storage)
    worker = Small({slot: [0.5, 0.4] for slot in range(30)})
    worker.most = 0
    make_loop(store, worker, [], width=4).run(2, None)
    assert [trial.state for trial in store.study.trials] == [TrialState.PRUNED] * 2
    causes = {trial.user_attrs["cause"] for trial in store.study.trials}
    assert causes == {Cause.OUT_OF_MEMORY}


@pytest.mark.filterwarnings("error")
def test_trials_of_a_dead_worker_are_retried_on_a_new_one(storage: OpenStorage) -> None:
    store = make_store(storage)
    heir = Script({1: [0.5, 0.4, 0.3], 2: [0.6]})
    worker = Script({0: [0.5, 0.4, 0.3]}, dies=True, heir=heir)
    receive = worker.receive
    calls = iter([1, 2])

    def dying() -> list[Message]:
        if next(calls, None) is None:
            worker.crash_at = 0
        return receive()

    worker.receive = dying  # type: ignore[method-assign]
    loop = make_loop(store, worker, [], comparison=Comparison(PlateauRule()))
    loop.run(2, None)
    assert [a.seed for a in heir.admitted] == [trial_seed(7, 0), trial_seed(7, 1)]
    trials = store.study.trials
    assert [trial.state for trial in trials] == [TrialState.COMPLETE] * 2
    assert trials[0].intermediate_values == {1: 0.5, 2: 0.4, 3: 0.3}
    assert worker.closed
    assert heir.closed


def test_death_of_the_last_worker_is_an_error_and_resume_retries_its_trial(
    storage: OpenStorage,
) -> None:
    store = make_store(storage)
    worker = Script({0: [0.5]}, crash_at=0, dies=True)
    with pytest.raises(StudyError, match="boom"):
        make_loop(store, worker, []).run(3, None)
    assert store.study.trials[0].state == TrialState.FAIL
    assert make_store(storage, load=True).recover() == 1


def test_trial_is_given_up_after_three_deaths(storage: OpenStorage) -> None:
    make_store(storage).ask()
    for death in range(1, 5):
        store = make_store(storage, load=True)
        # Nothing was closed: the run was killed.
        assert store.recover() == (1 if death < 3 else 0)
        if death < 3:
            trial, _ = store.ask()
            assert trial.number == death
    causes = [trial.user_attrs["cause"] for trial in store.study.trials]
    assert causes == ["interrupted", "interrupted", "given_up"]


def test_a_trial_whose_worker_dies_twice_fails(storage: OpenStorage) -> None:
    store = make_store(storage)
    last = Script({2: [0.4]})
    heir = Script({1: [0.5]}, crash_at=1, dies=True, heir=last)
    worker = Script({0: [0.5]}, crash_at=0, dies=True, heir=heir)
    make_loop(store, worker, []).run(2, None)
    states = [trial.state for trial in store.study.trials]
    assert states == [TrialState.FAIL, TrialState.COMPLETE]


def test_best_model_is_published_before_the_trial_is_recorded(storage: OpenStorage) -> None:
    """Whatever ends the process, what the storage calls the best can be loaded."""
    store = make_store(storage)
    seen = []

    def publish(trained: Trained) -> None:
        seen.append((trained.number, [trial.state for trial in store.study.trials]))

    worker = Script({0: [0.5], 1: [0.6], 2: [0.4]})
    make_loop(store, worker, [], publish=publish).run(3, None)
    done, running = TrialState.COMPLETE, TrialState.RUNNING
    assert [(number, states[: number + 1]) for number, states in seen] == [
        (0, [running]),
        (2, [done, done, running]),
    ]


def test_model_that_cannot_be_exported_does_not_win(storage: OpenStorage) -> None:
    store = make_store(storage)
    published = []

    def publish(trained: Trained) -> None:
        if trained.number == 1:
            raise RuntimeError("the written bundle scores otherwise")
        published.append(trained.number)

    worker = Script({0: [0.5], 1: [0.2], 2: [0.4]})
    loop = make_loop(store, worker, [], publish=publish)
    loop.run(3, None)
    assert published == [0, 2]
    assert store.study.best_trial.number == 2
    failed = store.study.trials[1]
    assert (failed.state, failed.user_attrs["cause"]) == (TrialState.FAIL, "export")
    assert "scores otherwise" in failed.user_attrs["error"]


def test_number_of_running_trials_is_limited(storage: OpenStorage) -> None:
    store = make_store(storage)
    worker = Script({slot: [0.5] * 2 for slot in range(30)})
    make_loop(store, worker, [], folds=3, width=30).run(10, None)
    assert max(map(len, worker.at_once)) == 2 * 3  # a fifth of ten trials


def test_interrupted_trials_of_several_folds_are_recorded_once(storage: OpenStorage) -> None:
    store = make_store(storage)
    worker = Script({slot: [0.5] * 9 for slot in range(6)})
    receive = worker.receive
    calls = iter([1, 2, 3])

    def interrupted() -> list[Message]:
        if next(calls, None) is None:
            raise KeyboardInterrupt
        return receive()

    worker.receive = interrupted  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        make_loop(store, worker, [], folds=3, width=30).run(10, None)
    causes = [trial.user_attrs["cause"] for trial in store.study.trials]
    assert causes == ["interrupted", "interrupted"]
    assert make_store(storage, load=True).recover() == 2


def test_interrupted_trials_are_retried_with_their_seed(storage: OpenStorage) -> None:
    store = make_store(storage)
    worker = Script({0: [0.5] * 9, 1: [0.4] * 9})
    loop = make_loop(store, worker, [], width=2)
    calls = 0
    receive = worker.receive

    def interrupted() -> list[Message]:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise KeyboardInterrupt
        return receive()

    worker.receive = interrupted  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        loop.run(10, None)
    assert [t.user_attrs["cause"] for t in store.study.trials[:2]] == ["interrupted"] * 2

    again = make_store(storage, load=True)
    assert again.recover() >= 2
    assert again.recover() == 0  # once each
    worker = Script({slot: [0.5] for slot in range(4)})
    make_loop(again, worker, [], width=2).run(2, None)
    before = {t.number: t for t in again.study.trials}
    repeated = [t for t in again.study.trials if t.state == TrialState.COMPLETE]
    assert [t.params for t in repeated] == [before[0].params, before[1].params]
    assert [a.seed for a in worker.admitted] == [trial_seed(7, 0), trial_seed(7, 1)]


def test_progress_estimates_the_time_left() -> None:
    progress = Progress(n_done=10, n_trials=40, elapsed_s=20.0, timeout_s=30.0)
    assert progress.trials_per_minute == 30
    assert progress.left_s == 10.0
    assert Progress(n_done=10, n_trials=40, elapsed_s=20.0).left_s == 60.0
    assert Progress(n_done=40, n_trials=40, elapsed_s=20.0).left_s is None, "the finals go on"
    assert Progress().left_s is None


SIX = {n: [value] for n, value in enumerate([0.5, 0.3, 0.6, 0.31, 0.7, 0.8])}


def test_finals_follow_the_last_trial(storage: OpenStorage) -> None:
    store = make_store(storage)
    worker = Script({**SIX, 6: [0.9, 0.4], 7: [0.32, 0.5], 8: [0.42], 9: [0.33]})
    kept: list[Trained] = []
    finals = Finals(4)
    published: list[Trained] = []
    loop = make_loop(store, worker, published, finals=finals, keep=kept.append)
    loop.run(6, None)
    again = worker.admitted[6:]
    # Two of six are finalists; trial 1 is clearly behind after a repeat.
    assert [(a.repeat, a.seed) for a in again] == [
        (1, trial_seed(7, 1)),
        (1, trial_seed(7, 3)),
        (2, trial_seed(7, 1)),
        (2, trial_seed(7, 3)),
    ]
    assert again[0].config == worker.admitted[1].config
    trials = store.study.trials
    assert len(trials) == 6, "repeats are no trials"
    assert [t.value for t in trials] == [0.5, 0.3, 0.6, 0.31, 0.7, 0.8]
    assert trials[1].intermediate_values == {1: 0.3}
    assert store.study.user_attrs[REPEATS] == [
        {"trial": 1, "repeat": 1, "value": 0.4, "epochs": [2]},
        {"trial": 1, "repeat": 2, "value": 0.42, "epochs": [1]},
        {"trial": 3, "repeat": 1, "value": 0.32, "epochs": [2]},
        {"trial": 3, "repeat": 2, "value": 0.33, "epochs": [1]},
    ]
    winner = finals.decide()
    assert winner is not None
    assert (winner.number, winner.leader) == (3, 1)
    assert [(t.number, t.repeat, t.value) for t in kept[6:]] == [
        (1, 1, 0.4),
        (3, 1, 0.32),
        (1, 2, 0.42),
        (3, 2, 0.33),
    ]
    assert [t.number for t in published] == [0, 1], "the finals are not published trial by trial"
    assert loop.progress.n_repeats == 4
    assert loop.progress.n_complete == 6


def test_finals_of_folds_are_means(storage: OpenStorage) -> None:
    store = make_store(storage)
    curves = {slot: [SIX[slot // 2][0]] for slot in range(12)}
    worker = Script(
        {
            **curves,
            12: [0.1],
            13: [0.3],
            14: [0.3],
            15: [0.4],
            **{slot: [0.5] for slot in range(16, 20)},
        }
    )
    finals = Finals(2)
    make_loop(store, worker, [], folds=2, finals=finals).run(6, None)
    assert [(a.fold, a.repeat) for a in worker.admitted[12:16]] == [(0, 1), (1, 1), (0, 1), (1, 1)]
    assert finals.known[1].scores() == [0.3, 0.2, 0.5]
    assert finals.known[3].scores() == [0.31, 0.35, 0.5]


def test_last_part_of_the_time_is_for_repeats_that_fit(
    storage: OpenStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = make_store(storage)
    curves = {**SIX, **{slot: [0.9, 0.9] for slot in range(6, 40)}}
    worker = Script(curves)
    finals = Finals(2)
    loop = make_loop(store, worker, [], finals=finals)

    def elapsed() -> float:
        # Six trials in the first 80 s, and then two seconds for each epoch.
        n = len(worker.at_once)
        return 6.0 * n if n <= 13 else 78 + 2.0 * (n - 12)

    loop.run(None, RunClock(100.0, now=elapsed))
    kinds = [bool(a.repeat) for a in worker.admitted]
    assert not any(kinds[:6])
    assert any(kinds[6:]), "the last fifth belongs to the finals"
    ended = [r.score for finalist in finals.finalists() for r in finalist.repeats.values()]
    assert ended
    assert set(ended) == {0.9}
    states = [t.state for t in store.study.trials]
    assert TrialState.RUNNING not in states


@pytest.mark.parametrize(("whole", "begins"), [(0.0, False), (100.0, True), (30.0, False)])
def test_resumed_budget_continues_with_its_finals(
    storage: OpenStorage, monkeypatch: pytest.MonkeyPatch, whole: float, begins: bool
) -> None:
    finals = Finals(2)
    worker = Script({**SIX, **{slot: [0.9] for slot in range(6, 40)}})
    loop = make_loop(make_store(storage), worker, [], finals=finals)
    loop.run(6)
    for finalist in finals.known.values():
        finalist.repeats = {}
    # 15 of so many seconds are left, and nothing of them is spent.
    loop.n_trials, loop.clock = None, RunClock(15.0, whole_s=whole, now=lambda: 0.0)
    assert (next_repeat(loop.state()) is not None) == begins


def test_finished_fold_does_not_affect_others(
    storage: OpenStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[int, bool]] = []
    record = Comparison.record

    def spy(comparison: Comparison, number: int, score: float, **facts: Any) -> Any:
        seen.append((facts["samples_seen"], facts["lr_dropped"]))
        return record(comparison, number, score, **facts)

    monkeypatch.setattr(Comparison, "record", spy)
    # The first fold ends after two epochs, its rate dropped at the last.
    worker = Script({0: [0.9, 0.8], 1: [0.9, 0.8, 0.7, 0.6, 0.5]}, dropped={(0, 2)})
    comparison = Comparison(PlateauRule())
    make_loop(make_store(storage), worker, [], folds=2, comparison=comparison).run(1, None)
    assert [samples for samples, _ in seen] == [100, 200, 300, 400, 500]
    assert not any(dropped for _, dropped in seen[3:])


@pytest.mark.parametrize(("reserved", "end"), [(0.0, 100.0), (20.0, 80.0), (80.0, 50.0)])
def test_reserved_time_remains(
    storage: OpenStorage, monkeypatch: pytest.MonkeyPatch, reserved: float, end: float
) -> None:
    worker = Script({**SIX, **{slot: [0.9, 0.9] for slot in range(6, 40)}})
    loop = make_loop(make_store(storage), worker, [])
    clock = RunClock(100.0, now=lambda: 3.0 * len(worker.at_once))
    clock.reserve(reserved)
    loop.run(None, clock)
    assert end <= clock.elapsed_s <= end + 9


def test_repeat_that_cannot_end_in_time_does_not_start(
    storage: OpenStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = make_store(storage)
    finals = Finals(2)
    curves = {**SIX, **{slot: [0.4] for slot in range(6, 20)}}
    loop = make_loop(store, Script(curves), [], finals=finals)
    loop.run(6, RunClock(1e9))
    assert finals.next() is None, "all were repeated"
    for finalist in finals.known.values():
        finalist.repeats, finalist.seconds = {}, 30.0
    time = {"s": 0.0}
    loop.clock = RunClock(100.0, now=lambda: time["s"])
    for now, n_trials, begins in ((59.0, None, False), (71.0, None, False), (69.0, 6, True)):
        time["s"], loop.n_trials = now, n_trials
        assert (next_repeat(loop.state()) is not None) == begins
    for finalist in finals.known.values():
        finalist.seconds = 15.0
    time["s"] = 84.0
    assert next_repeat(loop.state()) is not None


@pytest.mark.parametrize(
    ("schedule", "epoch", "value", "repeat_s", "stopped"),
    [
        ("cosine", 100, 0.9, 1.0, True),
        ("cosine", 0, 0.9, 1.0, False),  # nothing is known yet
        ("cosine", 190, 0.9, 1.0, False),  # it ends in time
        ("cosine", 100, 0.2, 1.0, False),  # it leads, and counts as it is when time is over
        ("constant", 100, 0.9, 1.0, False),  # it may converge at any time
        ("cosine", 100, 0.9, 13.9, True),
        ("cosine", 100, 0.9, 14.1, False),  # until it has left, a second, the repeat fits no more
    ],
)
def test_trial_that_cannot_end_in_time_is_stopped_for_a_repeat(
    storage: OpenStorage, schedule: str, epoch: int, value: float, repeat_s: float, stopped: bool
) -> None:
    finals = Finals(2)
    worker = Script({**SIX, **{slot: [0.4] for slot in range(6, 40)}})
    store = make_store(storage, schedule=schedule)
    loop = make_loop(store, worker, [], finals=finals)
    loop.run(6)
    for finalist in finals.known.values():
        finalist.repeats, finalist.seconds = {}, repeat_s
    time = {"s": 0.0}
    loop.n_trials, loop.clock = None, RunClock(100.0, now=lambda: time["s"])
    loop.act()
    (long,) = loop.slots.runs()
    assert long.config.epochs == 200
    # A second for each epoch so far, and fifteen seconds are left.
    (slot,) = long.slots
    for done in {1, *([epoch] if epoch else [])}:
        long.hear(EpochReport(slot, done, 100, 0.5, value, value, False, 1e-3, float(done)), 1)
    time["s"] = 85.0
    loop.act()
    assert (long.cause == "time") == stopped
    for message in worker.receive():
        loop._handle(worker, message)
    loop.act()
    assert [bool(running.repeat) for running in loop.slots.runs()] == [stopped]


@pytest.mark.parametrize(("folds", "widths"), [(5, (10, 11)), (1, (2, 9))])
def test_rounding_of_loads_blocks_no_trial(
    storage: OpenStorage, folds: int, widths: tuple[int, int]
) -> None:
    """Of 5/10 and 5/11, or 1/2 and 1/9, added and taken off again, 5e-17 is left."""
    curves = {slot: [0.5] * (3 if slot < folds else 4) for slot in range(20 * folds)}
    worker = Impatient(curves, crash_at=1 if folds == 1 else None)
    loop = make_loop(make_store(storage), worker, [], folds=folds)
    asked: dict[float, int] = {}

    def width_of(config: TrialConfig) -> int:
        following = widths[len(asked)] if len(asked) < 2 else 4
        return asked.setdefault(config.optimizer["learning_rate"], following)

    loop.placement.width_of = width_of
    loop.run(10)
    assert len(loop.store.study.trials) == 10


def test_repeat_lost_with_its_worker_is_retried_once(storage: OpenStorage) -> None:
    store = make_store(storage)
    worker = Script({**SIX, **{slot: [0.4] for slot in range(6, 20)}}, crash_at=6)
    finals = Finals(2)
    make_loop(store, worker, [], finals=finals, width=2).run(6, None)
    assert finals.known[1].scores() == [0.3, 0.4, 0.4]
    assert finals.known[3].scores() == [0.31, 0.4, 0.4]
    assert all(t.state == TrialState.COMPLETE for t in store.study.trials)


def test_failed_repeat_is_left_to_the_next_run(storage: OpenStorage) -> None:
    store = make_store(storage)
    worker = Script({**SIX, **{slot: [0.4] for slot in range(6, 20)}}, crash_at=6)
    finals = Finals(2)
    make_loop(store, worker, [], finals=finals).run(6, None)
    assert finals.known[1].scores() == [0.3]
    assert finals.known[3].scores() == [0.31, 0.4, 0.4]
    assert {entry["trial"] for entry in store.study.user_attrs[REPEATS]} == {3}


def test_repeats_lost_with_their_workers_decide_nothing(storage: OpenStorage) -> None:
    store = make_store(storage)
    # Each of the two finalists' first repeats, 6 and 8, loses a worker, and its second try another.
    workers = [Script(SIX, crash_at=slot, dies=True) for slot in (6, 7, 8, 9)]
    for worker, heir in zip(workers, [*workers[1:], Script({})], strict=True):
        worker.curves = {**SIX, **{slot: [0.4] for slot in range(6, 20)}}
        worker.heir = heir
    finals = Finals(2)
    make_loop(store, workers[0], [], finals=finals).run(6, None)
    assert finals.decide() is None
    assert store.study.user_attrs.get(REPEATS, []) == []
    later = Finals(2)
    later.known = finals.known
    assert later.next() is not None


@pytest.mark.parametrize("is_recorded", [False, True])
def test_interrupt_while_a_trial_ends_leaves_no_running_trial(
    storage: OpenStorage, monkeypatch: pytest.MonkeyPatch, is_recorded: bool
) -> None:
    store = make_store(storage)

    def interrupt(trained: Trained) -> None:
        raise KeyboardInterrupt

    finish = store.finish

    def finish_and_interrupt(trial: optuna.Trial, state: TrialState, *rest: Any) -> None:
        finish(trial, state, *rest)
        if state == TrialState.COMPLETE:
            raise KeyboardInterrupt

    if is_recorded:
        monkeypatch.setattr(store, "finish", finish_and_interrupt)
    loop = make_loop(store, Script({0: [0.5, 0.3]}), [], publish=None if is_recorded else interrupt)
    with pytest.raises(KeyboardInterrupt):
        loop.run(3, None)
    (trial,) = store.study.trials
    if is_recorded:
        assert (trial.state, trial.value) == (TrialState.COMPLETE, 0.3)
    else:
        assert trial.state == TrialState.FAIL
        assert trial.user_attrs[CAUSE] == Cause.INTERRUPTED


def test_interrupt_while_a_trial_is_sampled_leaves_no_running_trial(
    storage: OpenStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = make_store(storage)

    def ask_and_interrupt() -> None:
        store.study.ask()
        raise KeyboardInterrupt

    monkeypatch.setattr(store, "ask", ask_and_interrupt)
    with pytest.raises(KeyboardInterrupt):
        make_loop(store, Script({}), []).run(3, None)
    (trial,) = store.study.trials
    assert (trial.state, trial.user_attrs[CAUSE]) == (TrialState.FAIL, Cause.INTERRUPTED)


def test_curves_are_visible_to_other_processes_after_a_second(
    storage: OpenStorage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = {"s": 1000.0}
    monkeypatch.setattr(trial_store, "time", SimpleNamespace(monotonic=lambda: now["s"]))
    store = make_store(storage)
    with storage.buffering(store.study._study_id):
        trial, _ = store.ask()
        store.commit()
        reported = {}
        for epoch in range(1, 10):
            now["s"] += 0.3
            store.report(trial, epoch, 20, 0.5)
            reported[epoch] = now["s"]
            store.show_curves()
            with read_storage(tmp_path / "study", None, stays_open=False) as reader:
                (seen,) = reader.get_all_trials(store.study._study_id)
            hidden = [at_s for step, at_s in reported.items() if step > (seen.last_step or 0)]
            assert seen.state == TrialState.RUNNING
            assert now["s"] - min(hidden, default=now["s"]) <= 1.0
    assert seen.last_step is not None
