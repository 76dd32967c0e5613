"""Writing the trials of a search together: the result equals that of Optuna's own calls."""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.exceptions import ExperimentalWarning, UpdateFinishedTrialError
from optuna.samplers import RandomSampler
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend, JournalRedisBackend
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from autotrain.errors import StorageError
from autotrain.search.storage import shared
from autotrain.search.storage.buffer import Change, StudyBuffer
from autotrain.search.storage.buffered import BufferedStorage
from autotrain.search.storage.failures import UnreachableError
from autotrain.search.storage.open import SHORT_SCHEMES, open_storage, read_storage
from autotrain.search.storage.opened import JOURNAL, OpenStorage
from autotrain.search.storage.rows import COLUMNS, TrialRows, fits
from autotrain.search.storage.shared import SharedStorage
from autotrain.search.storage.storages import DatabaseStorage
from tests.search.storage.servers import KINDS, Server

optuna.logging.set_verbosity(optuna.logging.WARNING)


class Place:
    """A place for studies: a folder, and a server for some kinds of storages."""

    def __init__(self, kind: str, folder: Path) -> None:
        self.kind = kind
        self.folder = folder
        self.server: Server | None = KINDS[kind]() if kind in KINDS else None
        self._n_opened = 0

    @property
    def url(self) -> str | None:
        """The URL for `open_storage`."""
        if self.server is not None:
            return self.server.url()
        return f"sqlite:///{self.folder}/study.db" if self.kind == "sqlite" else None

    def open(self) -> OpenStorage:
        """Open the storage as a search does."""
        return open_storage(self.folder, self.url)

    def plain(self) -> BaseStorage:
        """Open the storage with Optuna alone."""
        if self.url is None:
            return JournalStorage(JournalFileBackend(str(self.folder / JOURNAL)))
        if self.kind == "redis":
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ExperimentalWarning)
                return JournalStorage(JournalRedisBackend(self.url.removeprefix("journal+")))
        scheme, _, rest = self.url.partition("://")
        return RDBStorage(f"{SHORT_SCHEMES.get(scheme, scheme)}://{rest}")


@pytest.fixture(scope="module", params=["journal", "sqlite", *KINDS])
def place(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Place]:
    """Start each kind of server once."""
    made = Place(request.param, tmp_path_factory.mktemp(request.param))
    try:
        yield made
    finally:
        if made.server is not None:
            made.server.remove()


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """Return a study name that no other test uses."""
    return str(request.node.originalname)


def new_study(storage: BaseStorage, name: str) -> optuna.Study:
    return optuna.create_study(storage=storage, study_name=name, sampler=RandomSampler(seed=0))


def closing(storage: BaseStorage) -> None:
    if isinstance(storage, RDBStorage):
        storage.remove_session()
        storage.engine.dispose()
    elif isinstance(storage, JournalStorage) and isinstance(storage._backend, JournalRedisBackend):
        storage._backend._redis.close()


def run(study: optuna.Study, commit: Callable[[int], object] = lambda number: None) -> None:
    """Run trials of all states, with all that a trial can contain, and leave two open."""
    storage = study._storage
    study.enqueue_trial({"p0": 0.25}, user_attrs={"given": "enqueue"})
    for number in range(6):
        trial = study.ask()
        for index in range(3):
            trial.suggest_float(f"p{index}", 0, 1)
        if number % 2:
            trial.suggest_categorical("kind", ["a", 2, None])
        trial.suggest_int("units", 1, 9, log=True)
        for step, point in enumerate([0.1, math.inf, math.nan, -math.inf, 3]):
            trial.report(point, step)
        commit(number)
        trial.set_user_attr("list", (1, [2, "ä"]))
        trial.set_user_attr("text", "before")
        trial.set_user_attr("text", "after")
        storage.set_trial_system_attr(trial._trial_id, "system", {"1": 2})
        storage.set_trial_intermediate_value(trial._trial_id, 4, 1 / 3)
        commit(number)
        states = {2: TrialState.PRUNED, 3: TrialState.FAIL}
        values = {1: math.inf, 4: -1e-300}
        state = states.get(number, TrialState.COMPLETE)
        value = None if number in states else values.get(number, number / 3)
        study.tell(trial, value, state=state)
    study.enqueue_trial({"p0": 0.75})
    trial = study.ask()
    trial.suggest_float("p0", 0, 1)
    trial.report(0.5, 1)
    study.enqueue_trial({"p0": 0.5})


def contents(trials: list[FrozenTrial]) -> list[dict[str, Any]]:
    """Return all fields of trials that do not depend on the time or the storage."""
    return [
        {
            "number": trial.number,
            "state": trial.state,
            "values": repr(trial.values),
            "params": list(trial.params.items()),
            "distributions": list(trial.distributions.items()),
            "user_attrs": trial.user_attrs,
            "system_attrs": {
                key: value for key, value in trial.system_attrs.items() if key != shared.REQUEST
            },
            "curve": sorted((step, repr(v)) for step, v in trial.intermediate_values.items()),
            "began": trial.datetime_start is not None,
            "ended": trial.datetime_complete is not None,
        }
        for trial in trials
    ]


@pytest.mark.parametrize("flushes", [False, True])
def test_study_equals_one_that_optuna_wrote(place: Place, name: str, flushes: bool) -> None:
    plain = place.plain()
    own = new_study(plain, f"{name}-{flushes}-plain")
    run(own)
    with place.open() as storage:
        study = new_study(storage, f"{name}-{flushes}")
        with storage.buffering(study._study_id):
            run(study, lambda n: storage.commit(durable=False) if flushes and n % 2 else None)
            in_memory = study.trials
            assert storage.get_n_trials(study._study_id, TrialState.FAIL) == 1
        assert contents(study.trials) == contents(in_memory)
    again = optuna.load_study(storage=plain, study_name=study.study_name)
    assert contents(again.trials) == contents(own.trials) == contents(in_memory)
    for one, other in zip(again.trials, in_memory, strict=True):
        assert one._trial_id == other._trial_id
        for at in ("datetime_start", "datetime_complete"):
            mine, its = getattr(one, at), getattr(other, at)
            # MariaDB keeps whole seconds.
            assert mine == its or abs((mine - its).total_seconds()) <= 1
    closing(plain)


def test_changes_are_visible_after_a_commit_and_with_the_end(place: Place, name: str) -> None:
    plain = place.plain()
    with place.open() as storage:
        study = new_study(storage, name)
        storage.commit()
        seen = optuna.load_study(storage=plain, study_name=name)
        with storage.buffering(study._study_id):
            first, second = study.ask(), study.ask()
            for trial in (first, second):
                trial.suggest_float("x", 0, 1)
                trial.report(0.5, 1)
            assert [(t.params, t.intermediate_values) for t in seen.trials] == [({}, {})] * 2
            storage.commit(durable=False)
            assert [t.intermediate_values for t in seen.trials] == [{1: 0.5}] * 2
            first.report(0.25, 2)
            second.report(0.25, 2)
            study.tell(first, 1.0)
            storage.commit()
            assert [t.intermediate_values for t in seen.trials] == [{1: 0.5, 2: 0.25}] * 2
            assert [t.state.name for t in seen.trials] == ["COMPLETE", "RUNNING"]
    closing(plain)


def test_trials_of_other_programs_are_found(place: Place, name: str) -> None:
    plain = place.plain()
    with place.open() as storage:
        study = new_study(storage, name)
        storage.commit()
        other = optuna.load_study(storage=plain, study_name=name)
        with storage.buffering(study._study_id):
            mine = study.ask()
            other.enqueue_trial({"x": 0.125})
            added = other.ask()
            added.suggest_float("x", 0, 1)
            waiting = other.ask()
            other.enqueue_trial({"x": 0.25})
            storage.refresh()
            given = study.ask()
            assert given.suggest_float("x", 0, 1) == 0.25
            assert mine.suggest_float("x", 0, 1) != 0.125
            other.tell(added, 3.0)
            # The number of a trial counts those that were added since the last `refresh`.
            last = study.ask()
            assert (added.number, waiting.number, given.number, last.number) == (1, 2, 3, 4)
            storage.refresh()
            assert study.trials[1].value == 3.0
            for trial in (mine, given, last):
                study.tell(trial, 1.0)
        assert [t.number for t in study.trials] == [0, 1, 2, 3, 4]
    assert contents(optuna.load_study(storage=plain, study_name=name).trials)[3]["params"] == [
        ("x", 0.25)
    ]
    closing(plain)


def test_trial_that_another_program_ends_does_not_lose_others(place: Place, name: str) -> None:
    plain = place.plain()
    with place.open() as storage:
        study = new_study(storage, name)
        storage.commit()
        other = optuna.load_study(storage=plain, study_name=name)
        with storage.buffering(study._study_id):
            first, second, third = study.ask(), study.ask(), study.ask()
            storage.commit()
            other.tell(first.number, 5.0)
            for trial in (first, second, third):
                trial.report(0.5, 1)
            study.tell(second, 1.0)
            with pytest.raises(UpdateFinishedTrialError):
                first.report(0.5, 2)
            other.tell(third.number, 6.0)
            with pytest.raises((UpdateFinishedTrialError, ValueError)):
                study.tell(third, 2.0)
        assert [t.value for t in study.trials] == [5.0, 1.0, 6.0]
        assert study.trials[1].intermediate_values == {1: 0.5}
    closing(plain)


def test_other_ranges_are_refused_as_by_optuna(place: Place, name: str) -> None:
    with place.open() as storage:
        study = new_study(storage, name)
        with storage.buffering(study._study_id):
            trial = study.ask()
            trial.suggest_categorical("x", ["a", "b"])
            study.tell(trial, 1.0)
            with pytest.raises(ValueError, match="dynamic value space"):
                study.ask().suggest_categorical("x", ["a", "c"])
            with pytest.raises(TypeError, match="JSON"):
                study.ask().set_user_attr("object", object())


def test_ordinary_calls_when_optuna_has_other_tables(
    place: Place, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared, "fits", lambda: False)
    with place.open() as storage:
        assert isinstance(storage, BufferedStorage)
        assert not isinstance(storage._trials, TrialRows)
        study = new_study(storage, name)
        with storage.buffering(study._study_id):
            run(study, lambda number: storage.commit())
            in_memory = study.trials
        assert contents(study.trials) == contents(in_memory)


def test_installed_optuna_has_the_known_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    assert fits()
    monkeypatch.setitem(COLUMNS, "trials", ("trial_id", "score"))
    assert not fits()


class Failing:
    """A writer that fails once after each call, as if the answer was lost."""

    def __init__(self, writer: Any) -> None:
        self._writer = writer
        self.n_lost = 0

    def __getattr__(self, name: str) -> Callable[..., Any]:
        call = getattr(self._writer, name)

        def losing(*arguments: Any) -> Any:
            answer = call(*arguments)
            if name in ("begin", "write") and self.n_lost % 2 == 0:
                self.n_lost += 1
                raise UnreachableError("the answer was lost")
            self.n_lost += name != "news"
            return answer

        return losing


@pytest.mark.parametrize("is_ordinary", [False, True])
def test_lost_answers_double_nothing(
    place: Place, name: str, is_ordinary: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if place.server is None:
        return  # Only servers lose answers.
    if is_ordinary:
        monkeypatch.setattr(shared, "fits", lambda: False)
    with place.open() as storage:
        own = new_study(storage, f"{name}-{is_ordinary}-ordinary")
        run(own)
        study = new_study(storage, f"{name}-{is_ordinary}")
        assert isinstance(storage, SharedStorage)
        failing: Any = Failing(storage._trials)
        storage._trials = failing
        with storage.buffering(study._study_id):
            run(study, lambda number: storage.commit(durable=False))
        assert failing.n_lost > 20
        assert contents(study.trials) == contents(own.trials)


def test_running_trial_that_the_server_lost_is_written_again(place: Place, name: str) -> None:
    with place.open() as storage:
        if not isinstance(storage, SharedStorage) or not isinstance(storage._trials, TrialRows):
            return  # Journals have no rows.
        inner = storage._inner
        assert isinstance(inner, DatabaseStorage)
        study = new_study(storage, name)
        with storage.buffering(study._study_id):
            trials = [study.ask(), study.ask()]
            for trial in trials:
                trial.suggest_float("x", 0, 1)
                trial.report(0.5, 1)
            storage.commit(durable=False)
            with inner.engine.begin() as connection:
                for table in ("params", "intermediate_values", "system_attributes"):
                    connection.exec_driver_sql(
                        f"DELETE FROM trial_{table} WHERE trial_id = {trials[1]._trial_id}"
                    )
                connection.exec_driver_sql(
                    f"DELETE FROM trials WHERE trial_id = {trials[1]._trial_id}"
                )
            trials[1].report(0.25, 2)
            study.tell(trials[1], 3.0)
            after = study.ask()
            assert after.number == 2
            in_memory = study.trials
        assert contents(study.trials) == contents(in_memory)


def test_trial_is_not_written_again_under_a_used_number(tmp_path: Path) -> None:
    storage = DatabaseStorage(f"sqlite:///{tmp_path}/study.db")
    study_id = storage.create_new_study([StudyDirection.MINIMIZE], "s")
    rows = TrialRows(storage)
    lost = rows.begin(study_id, (-1, 0), {})
    with storage.engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM trials")
    storage.create_new_trial(study_id)
    storage.create_new_trial(study_id)
    with storage.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE trials SET trial_id = trial_id + 10")
    change = Change(lost._trial_id, user_attrs={"a": 1})
    with pytest.raises(StorageError, match="trials 0 must be in the database"):
        rows.write([change], {lost._trial_id: lost}, study_id)
    storage.close()


def test_changes_stay_until_they_are_written(tmp_path: Path) -> None:
    with open_storage(tmp_path, f"sqlite:///{tmp_path}/study.db") as storage:
        assert isinstance(storage, SharedStorage)
        study = new_study(storage, "s")
        with storage.buffering(study._study_id):
            trial = study.ask()
            trial.set_user_attr("a", 1)
            writer = storage._trials
            broken: Any = Failing(None)
            storage._trials = broken
            with pytest.raises(AttributeError):
                study.tell(trial, 1.0)
            assert study.trials[0].state == TrialState.RUNNING
            storage._trials = writer
            study.tell(trial, 2.0)
        assert study.trials[0].value == 2.0
        assert study.trials[0].user_attrs == {"a": 1}


def test_seen_trials_do_not_change(tmp_path: Path) -> None:
    with open_storage(tmp_path) as storage:
        study = new_study(storage, "s")
        with storage.buffering(study._study_id):
            trial = study.ask()
            before = study.get_trials(deepcopy=False)
            trial.suggest_float("x", 0, 1)
            trial.report(1.0, 1)
            trial.set_user_attr("a", 1)
            study.tell(trial, 1.0)
            assert before[0].state == TrialState.RUNNING
            assert (before[0].params, before[0].user_attrs, before[0].intermediate_values) == (
                {},
                {},
                {},
            )


def test_open_trials_are_selected_by_state() -> None:
    def trial(number: int, state: TrialState) -> FrozenTrial:
        made = optuna.create_trial(state=state, value=1.0 if state.is_finished() else None)
        made.number, made._trial_id = number, 10 + number
        return made

    states = [TrialState.COMPLETE, TrialState.WAITING, TrialState.RUNNING]
    buffer = StudyBuffer(0, [trial(n, state) for n, state in enumerate(states)], {}, {})
    assert [t.number for t in buffer.trials((TrialState.WAITING,))] == [1]
    assert [t.number for t in buffer.trials((TrialState.WAITING, TrialState.COMPLETE))] == [0, 1]
    assert buffer.open_elsewhere() == {11: TrialState.WAITING, 12: TrialState.RUNNING}
    buffer.begin(trial(1, TrialState.RUNNING))
    running = buffer.running(11)
    assert running is not None
    running.set_param("x", 0.5, FloatDistribution(0, 1))
    assert [t.params for t in buffer.trials((TrialState.RUNNING,))] == [{"x": 0.5}, {}]
    assert (buffer.n_trials, buffer.n_ended, buffer.last_id) == (3, 1, 12)
    assert buffer.trial(99) is None
    assert buffer.trial_id(3) is None


def test_replay_equals_that_of_optuna(tmp_path: Path) -> None:
    with open_storage(tmp_path) as storage:
        study = new_study(storage, "s")
        run(study)
        added = optuna.create_trial(
            params={"p0": 0.5}, distributions={"p0": FloatDistribution(0, 1)}, value=2.0
        )
        study.add_trial(added)
        storage.commit()
        with (tmp_path / JOURNAL).open("a") as journal:
            # Another program uses a parameter with another type: Optuna ignores it.
            kind = optuna.distributions.distribution_to_json(
                optuna.distributions.CategoricalDistribution(["a"])
            )
            record = {"op_code": 5, "worker_id": "w", "trial_id": 6, "param_name": "p1"}
            journal.write(
                json.dumps({**record, "param_value_internal": 0, "distribution": kind}) + "\n"
            )
        plain = JournalStorage(JournalFileBackend(str(tmp_path / JOURNAL)))
        with read_storage(tmp_path) as reader:
            seen = reader.get_all_trials(0, deepcopy=False)
            assert repr(seen) == repr(plain.get_all_trials(0))
            before = repr(seen)
            study.tell(6, 1.0)
            storage.commit()
            assert reader.get_trial(6).state == TrialState.COMPLETE
            assert repr(seen) == before


def test_trials_that_a_database_returns_equal_those_of_optuna(place: Place, name: str) -> None:
    plain = place.plain()
    if not isinstance(plain, RDBStorage):
        return
    with place.open() as storage:
        study = new_study(storage, name)
        run(study)
        inner: Any = storage._inner  # type: ignore[attr-defined]
        last = study.trials[-1]._trial_id
        for states, included, after in (
            (None, set(), -1),
            ((TrialState.WAITING, TrialState.FAIL), set(), -1),
            (None, {last - 5, last - 3, last}, last - 2),
        ):
            arguments = (study._study_id, states, included, after)
            found, wanted = inner._get_trials(*arguments), plain._get_trials(*arguments)
            assert contents(found) == contents(wanted) != []
            times = [
                [(t._trial_id, t.datetime_start, t.datetime_complete) for t in trials]
                for trials in (found, wanted)
            ]
            assert times[0] == times[1]
        with pytest.raises(KeyError):
            inner._get_trials(10**6, None, set(), -1)
    closing(plain)
