"""TPE by groups: Optuna's groups, Optuna's points, only those groups that the trial needs."""

from __future__ import annotations

import warnings
from typing import Any

import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.distributions import BaseDistribution, FloatDistribution
from optuna.samplers import RandomSampler, TPESampler
from optuna.search_space.group_decomposed import _SearchSpaceGroup
from optuna.trial import TrialState, create_trial

from autotrain.search.sampling.grouped_tpe import GroupedTPESampler, groups_of

optuna.logging.set_verbosity(optuna.logging.WARNING)


def conditional(trial: optuna.Trial) -> float:
    """Best: kind = "b", b1 = b2 = 1, x = 0."""
    x = trial.suggest_float("x", -1, 1)
    if trial.suggest_categorical("kind", ["a", "b", "c"]) == "b":
        return x**2 + (trial.suggest_float("b1", 0, 2) - trial.suggest_float("b2", 0, 2)) ** 2
    trial.suggest_float("rest", 1e-3, 1, log=True)
    return x**2 + 1


def study_of(n_trials: int, seed: int = 0) -> optuna.Study:
    study = optuna.create_study(sampler=RandomSampler(seed=seed))
    study.optimize(conditional, n_trials=n_trials)
    return study


@given(st.lists(st.sets(st.sampled_from("abcdef")), max_size=8))
def test_groups_are_optunas(key_sets: list[set[str]]) -> None:
    theirs = _SearchSpaceGroup()
    trials = []
    for keys in key_sets:
        distributions: dict[str, BaseDistribution]
        distributions = {key: FloatDistribution(0, 1) for key in sorted(keys)}
        trials.append(
            create_trial(value=0.0, params=dict.fromkeys(keys, 0.5), distributions=distributions)
        )
        theirs.add_distributions(distributions)
    assert groups_of(trials) == theirs.search_spaces


def test_changed_range_counts_from_the_latest_trial() -> None:
    trials = [
        create_trial(value=0.0, params={"x": 0.5}, distributions={"x": FloatDistribution(0, high)})
        for high in (1, 2)
    ]
    assert groups_of(trials) == [{"x": FloatDistribution(0, 2)}]


@pytest.mark.parametrize("n_running", [0, 2])
def test_points_of_a_space_without_conditions_are_optunas(n_running: int) -> None:
    def plain(trial: optuna.Trial) -> float:
        x = trial.suggest_float("x", -1, 1)
        y = trial.suggest_int("y", 1, 100, log=True)
        kind = trial.suggest_categorical("kind", ["a", "b"])
        trial.suggest_int("only", 3, 3)  # not sampled: it would move the points of the others
        return x**2 + y / 100 + (kind == "a")

    study = optuna.create_study(sampler=RandomSampler(seed=0))
    study.optimize(plain, n_trials=15)
    for _ in range(n_running):
        plain(study.ask())
    points: list[dict[str, Any]] = []
    for i in range(6):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            theirs = TPESampler(seed=i // 2, multivariate=True, group=True)
        study.sampler = theirs if i % 2 else GroupedTPESampler(i // 2)
        trial = study.ask()
        plain(trial)
        points.append(trial.params)
        study.tell(trial, state=TrialState.FAIL)
    assert points[0::2] == points[1::2]
    assert points[0] != points[2]


def test_only_groups_that_are_needed_are_sampled(monkeypatch: pytest.MonkeyPatch) -> None:
    study = study_of(20)
    sampled: list[list[str]] = []
    sample = TPESampler._sample

    def spy(self: TPESampler, study: Any, trial: Any, space: dict) -> dict:
        sampled.append(list(space))
        return sample(self, study, trial, space)

    monkeypatch.setattr(TPESampler, "_sample", spy)
    for seed in range(8):
        sampled.clear()
        study.sampler = GroupedTPESampler(seed)
        trial = study.ask()
        conditional(trial)
        is_b = trial.params["kind"] == "b"
        assert sampled == [["kind", "x"], ["b1", "b2"] if is_b else ["rest"]]


def test_random_until_ten_trials_have_finished() -> None:
    study = study_of(9)
    for _ in range(3):  # running ones do not count
        conditional(study.ask())
    trials = []
    for sampler in (GroupedTPESampler(3), RandomSampler(seed=3)):
        study.sampler = sampler
        trials.append(study.ask())
        conditional(trials[-1])
    assert trials[0].params == trials[1].params


def test_running_trials_are_kept_away_from() -> None:
    def ask(study: optuna.Study) -> optuna.Trial:
        study.sampler = GroupedTPESampler(1)
        trial = study.ask()
        trial.suggest_float("x", -1, 1)
        return trial

    study = optuna.create_study(sampler=RandomSampler(seed=0))
    study.optimize(lambda trial: trial.suggest_float("x", -1, 1) ** 2, n_trials=30)
    first = ask(study)
    for _ in range(4):
        study.enqueue_trial(first.params)
        ask(study)
    assert ask(study).params != first.params  # the same seed, but others run there
    for trial in study.trials[30:]:
        study.tell(trial.number, state=TrialState.FAIL)
    assert ask(study).params == first.params


def test_changed_range_is_respected() -> None:
    study = optuna.create_study(sampler=RandomSampler(seed=0))
    study.optimize(
        lambda t: t.suggest_float("x", -1, 1) ** 2 + t.suggest_float("y", 0, 1), n_trials=15
    )
    for seed in range(5):
        study.sampler = GroupedTPESampler(seed)
        trial = study.ask()
        assert 2 <= trial.suggest_float("x", 2, 3) <= 3
        assert 0 <= trial.suggest_float("y", 0, 1) <= 1
        study.tell(trial, 1.0)


def test_finds_the_good_group_and_its_parameters() -> None:
    study = study_of(15)
    for seed in range(45):
        study.sampler = GroupedTPESampler(seed)
        study.optimize(conditional, n_trials=1)
    values = [trial.value or 0.0 for trial in study_of(60).trials]
    tpe = [trial.value or 0.0 for trial in study.trials]
    assert sum(tpe[-20:]) < 0.6 * sum(values[-20:])
