"""CMA-ES from the recorded trials: the state that Optuna would have kept, and no pickle."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import optuna
import pytest
from optuna._transform import _SearchSpaceTransform
from optuna.samplers import CmaEsSampler
from optuna.study import StudyDirection
from optuna.trial import TrialState

from autotrain.search.sampling import replayed_cmaes
from autotrain.search.sampling.replayed_cmaes import ReplayedCmaEsSampler
from autotrain.search.sampling.samplers import make_sampler
from autotrain.search.storage.open import open_storage
from tests.search.planted import Planted

optuna.logging.set_verbosity(optuna.logging.WARNING)


def bowl(trial: optuna.Trial) -> float:
    x = trial.suggest_float("x", -1, 1)
    y = trial.suggest_float("y", 1e-4, 1, log=True)
    n = trial.suggest_int("n", 1, 9)
    return (x - 0.3) ** 2 + abs(np.log10(y) + 2) + (n - 4) ** 2 / 10


@pytest.fixture(autouse=True)
def without_memory(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    def forget() -> None:
        monkeypatch.setattr(replayed_cmaes, "_last", replayed_cmaes._Replay())

    forget()
    return forget


@pytest.mark.parametrize("direction", ["minimize", "maximize"])
def test_replayed_state_is_the_one_that_optuna_stores(direction: str) -> None:
    sign = 1 if direction == "minimize" else -1
    study = optuna.create_study(
        direction=StudyDirection[direction.upper()],
        sampler=CmaEsSampler(seed=3, n_startup_trials=5),
    )
    study.optimize(lambda trial: sign * bowl(trial), n_trials=60)
    n_compared = 0
    for number in range(1, 60):
        before = study.trials[:number]
        stored = CmaEsSampler()._restore_optimizer(before)
        if stored is None:
            continue
        space = ReplayedCmaEsSampler().infer_relative_search_space(study, before[-1])
        replayed = ReplayedCmaEsSampler(seed=99)._replay(
            before, _SearchSpaceTransform(space, True, transform_0_1=True), study.direction
        )
        if replayed.generation == stored.generation:
            np.testing.assert_array_equal(replayed.mean, stored.mean)
            np.testing.assert_array_equal(replayed._C, stored._C)
            assert replayed._sigma == stored._sigma
            n_compared += 1
    assert n_compared > 40


def test_continued_replay_equals_one_from_the_start(without_memory: Callable[[], None]) -> None:
    def search(forgets: bool) -> list[dict[str, float]]:
        study = optuna.create_study(sampler=make_sampler("cmaes", 4))
        for _ in range(45):
            study.optimize(bowl, n_trials=1)
            if forgets:
                without_memory()
        return [trial.params for trial in study.trials]

    assert search(forgets=False) == search(forgets=True)


def test_late_trial_does_not_change_earlier_generations(
    without_memory: Callable[[], None],
) -> None:
    study = optuna.create_study(sampler=ReplayedCmaEsSampler(seed=1, n_startup_trials=5))
    study.optimize(bowl, n_trials=6)
    late = study.ask()
    bowl(late)
    study.optimize(bowl, n_trials=30)

    def state() -> np.ndarray:
        without_memory()
        sampler, trials = ReplayedCmaEsSampler(), study.get_trials(states=(TrialState.COMPLETE,))
        space = sampler.infer_relative_search_space(study, trials[-1])
        transform = _SearchSpaceTransform(space, True, transform_0_1=True)
        covariance: np.ndarray = sampler._replay(trials, transform, StudyDirection.MINIMIZE)._C
        return covariance

    before = state()
    study.tell(late, 1e-9)
    np.testing.assert_array_equal(state(), before)


def test_pickle_in_the_journal_is_never_loaded(tmp_path: Path) -> None:
    witness = tmp_path / "ran"
    planted = pickle.dumps(Planted(str(witness))).hex()
    with open_storage(tmp_path / "study") as storage:
        study = optuna.create_study(study_name="s", storage=storage)
        for _ in range(12):
            trial = study.ask()
            value = bowl(trial)
            storage.set_trial_system_attr(trial._trial_id, "cma:optimizer:0", planted)
            study.tell(trial, value)
    with open_storage(tmp_path / "study") as storage:
        sampler = make_sampler("cmaes", 1)
        study = optuna.load_study(study_name="s", storage=storage, sampler=sampler)
        study.optimize(bowl, n_trials=3)
        assert study.trials[-1].system_attrs == {"cma:generation": 0}
        assert not witness.exists()
        # What was planted does run where it is unpickled.
        CmaEsSampler()._restore_optimizer(study.trials)
        assert witness.exists()


def test_no_pickle_is_written_to_the_storage(tmp_path: Path) -> None:
    with open_storage(tmp_path) as storage:
        study = optuna.create_study(storage=storage, sampler=make_sampler("cmaes", 1))
        study.optimize(bowl, n_trials=40)
        generations = {trial.system_attrs.get("cma:generation") for trial in study.trials}
        names = {name for trial in study.trials for name in trial.system_attrs}
    assert generations >= {0, 1, 2}
    assert names == {"cma:generation"}
