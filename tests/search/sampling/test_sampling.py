"""Every sampler: an interrupted study goes on as if it had not been."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.samplers._tpe.sampler import _split_trials
from optuna.study import StudyDirection
from optuna.trial import TrialState
from scipy.stats import qmc

from autotrain.errors import StudyError
from autotrain.search.sampling.samplers import (
    SAMPLERS,
    LearnedStudy,
    SamplerRow,
    SeededSampler,
    make_sampler,
    sampler_seed,
)
from autotrain.search.storage.open import open_storage

optuna.logging.set_verbosity(optuna.logging.WARNING)


def suggest(trial: optuna.Trial) -> float:
    x = trial.suggest_float("x", -1, 1)
    y = trial.suggest_float("y", 1e-3, 1, log=True)
    if trial.suggest_categorical("kind", ["a", "b"]) == "b":
        return x**2 + y + trial.suggest_int("b", 1, 9) / 9
    return x**2 + y


def search(folder: Path, name: str, n_trials: int, stop_every: int, seed: int = 7) -> list[Any]:
    """Run a study, three trials at a time, closed and opened again after so many."""
    n_done = 0
    while n_done < n_trials:
        with open_storage(folder) as storage:
            study = optuna.create_study(
                study_name="s",
                storage=storage,
                load_if_exists=True,
                sampler=make_sampler(name, seed),
                pruner=optuna.pruners.NopPruner(),
            )
            for _ in range(0, min(stop_every, n_trials - n_done), 3):
                trials = [study.ask() for _ in range(3)]
                values = [suggest(trial) for trial in trials]
                for trial, value in reversed(list(zip(trials, values, strict=True))):
                    trial.report(value, 0)
                    if trial.number % 4 == 3:
                        study.tell(trial, state=TrialState.PRUNED)
                    else:
                        study.tell(trial, value)
                n_done += 3
            points = [trial.params for trial in study.trials]
    return points


# Gaussian processes are slow: the last three trials follow on ten complete random ones.
N_TRIALS = {"tpe": 30, "gp": 18, "cmaes": 48, "random": 12, "qmc": 24}


@pytest.mark.parametrize("name", SAMPLERS)
def test_resumed_study_is_the_uninterrupted_one(name: str, tmp_path: Path) -> None:
    n_trials = N_TRIALS[name]
    through = search(tmp_path / "through", name, n_trials, stop_every=n_trials)
    assert search(tmp_path / "stopped", name, n_trials, stop_every=6) == through
    assert search(tmp_path / "other", name, 12, stop_every=12, seed=8) != through[:12]
    assert len({str(sorted(point.items())) for point in through}) == n_trials


@pytest.mark.parametrize("name", SAMPLERS)
def test_conditional_space_brings_no_warning(name: str, caplog: pytest.LogCaptureFixture) -> None:
    optuna.logging.enable_propagation()
    try:
        with caplog.at_level(logging.WARNING):
            study = optuna.create_study(sampler=make_sampler(name))
            study.optimize(suggest, n_trials=14)
    finally:
        optuna.logging.disable_propagation()
    # Optuna says once a process that its Gaussian processes would be faster with greenlet.
    assert [message for message in caplog.messages if "greenlet" not in message] == []
    assert len(study.trials) == 14


def test_seeds_of_trials_and_studies_are_unrelated() -> None:
    seeds = {sampler_seed(study, number) for study in range(50) for number in range(50)}
    assert len(seeds) == 2500
    assert sampler_seed(1, 2) == sampler_seed(1, 2)
    assert all(0 <= seed < 2**32 for seed in seeds)


def test_trials_sampled_in_turns_keep_their_sampler() -> None:
    def ask(in_turns: bool) -> list[dict[str, Any]]:
        study = optuna.create_study(sampler=make_sampler("random", 3))
        trials = [study.ask() for _ in range(2)]
        pairs = [(trial, name) for trial in trials for name in "xy"]
        for trial, name in sorted(pairs, key=lambda p: p[1]) if in_turns else pairs:
            trial.suggest_float(name, 0, 1)
        return [trial.params for trial in trials]

    assert ask(in_turns=True) == ask(in_turns=False)
    assert ask(in_turns=True)[0] != ask(in_turns=True)[1]


def test_trial_interrupted_during_sampling_can_be_sampled_again() -> None:
    study = optuna.create_study(sampler=make_sampler("random", 3))
    first = study.ask()
    value = suggest(first)
    study._storage.create_new_trial(study._study_id)
    study.sampler = make_sampler("random", 3)
    again = optuna.Trial(study, first._trial_id)
    assert suggest(again) == value
    fresh = make_sampler("random", 3)
    study.sampler = fresh
    cut_off = optuna.Trial(study, study.trials[1]._trial_id)
    suggest(cut_off)
    uninterrupted = optuna.create_study(sampler=make_sampler("random", 3))
    uninterrupted.ask()
    trial = uninterrupted.ask()
    suggest(trial)
    assert cut_off.params == trial.params


@pytest.mark.parametrize("direction", ["minimize", "maximize"])
def test_pruned_trials_are_learned_by_epochs_then_value_and_diverged_ones_are_the_worst(
    direction: str,
) -> None:
    sign = 1 if direction == "minimize" else -1
    study = optuna.create_study(direction=StudyDirection[direction.upper()])
    ends = {
        "complete": (0.9, 5, "epochs"),
        "short": (0.1, 3, "rung"),
        "long and bad": (0.6, 20, "plateau"),
        "long and good": (0.3, 20, "plateau"),
        "diverged": (0.01, 30, "diverged"),
        "too large": (0.01, 40, "out_of_memory"),
    }
    for name, (value, epochs, cause) in ends.items():
        study.add_trial(
            optuna.create_trial(
                state=TrialState.COMPLETE if name == "complete" else TrialState.PRUNED,
                value=sign * value,
                intermediate_values={epochs - 1: sign * value, epochs: sign * value},
                user_attrs={"cause": cause},
            )
        )
    learned = LearnedStudy(study)
    order = []
    for n_below in range(len(ends)):
        below, above = _split_trials(learned, learned.get_trials(), n_below)
        assert len(below) + len(above) == len(ends)
        order.append({list(ends)[trial.number] for trial in below})
    assert order[:5] == [
        set(),
        {"complete"},
        {"complete", "long and good"},
        {"complete", "long and good", "long and bad"},
        {"complete", "long and good", "long and bad", "short"},
    ]
    # Nothing else is another study, and the real curves are where they were.
    assert learned.direction == study.direction
    assert study.trials[4].intermediate_values == {29: sign * 0.01, 30: sign * 0.01}


def test_trials_that_samplers_learn_from(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[optuna.Study] = []

    class Spy(optuna.samplers.RandomSampler):
        def sample_independent(self, study: optuna.Study, *rest: Any) -> Any:
            seen.append(study)
            return super().sample_independent(study, *rest)

    monkeypatch.setitem(SAMPLERS, "spy", SamplerRow(lambda _, seed: Spy(seed=seed), "a spy"))
    study = optuna.create_study(sampler=make_sampler("spy"))
    study.ask().suggest_float("x", 0, 1)
    assert all(isinstance(each, LearnedStudy) for each in seen)
    assert len(seen) == 1


def test_samplers_of_ended_trials_are_dropped() -> None:
    sampler = make_sampler("tpe")
    study = optuna.create_study(sampler=sampler)
    study.optimize(suggest, n_trials=12)
    assert sampler._running == {}


def test_trial_of_an_earlier_run_can_be_finished() -> None:
    study = optuna.create_study(sampler=make_sampler("qmc"))
    suggest(study.ask())
    study.sampler = make_sampler("qmc")
    study.tell(0, 1.0)
    assert study.trials[0].state == TrialState.COMPLETE


def test_qmc_follows_one_sobol_sequence_in_any_order_of_ends() -> None:
    points = []
    study = optuna.create_study(sampler=make_sampler("qmc", 5))
    trials: list[optuna.Trial] = []
    for number in range(17):
        if number % 4 == 0:
            study.sampler = make_sampler("qmc", 5)
        trial = study.ask()
        points.append((trial.suggest_float("x", 0, 1), trial.suggest_float("y", 0, 1)))
        trials.append(trial)
        if number == 8:
            study.tell(trials.pop(3), 0.0)
    # Optuna scrambles with the seed alone; the first trial shows the space, then it begins.
    expected = qmc.Sobol(2, scramble=True, seed=sampler_seed(5, 0)).random(16)
    np.testing.assert_allclose(points[1:], expected)


def test_cmaes_restores_its_state_from_the_storage() -> None:
    study = optuna.create_study()
    generations = set()
    for _ in range(60):
        study.sampler = make_sampler("cmaes", 1)
        study.optimize(
            lambda t: t.suggest_float("x", -1, 1) ** 2 + t.suggest_float("y", -1, 1) ** 2,
            n_trials=1,
        )
        generations.add(study.trials[-1].system_attrs.get("cma:generation"))
    assert generations >= {0, 1, 2, 3}
    values = [trial.value or 0.0 for trial in study.trials]
    assert np.mean(values[-10:]) < 0.2 * np.mean(values[:10])


@pytest.mark.parametrize(
    ("name", "package"), [("cmaes", "cmaes"), ("gp", "scipy"), ("gp", "torch"), ("qmc", "scipy")]
)
def test_missing_package_is_named(name: str, package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(StudyError) as caught:
        make_sampler(name)
    assert str(caught.value) == (
        f"sampler {name!r} needs the package {package}, which is not installed. "
        f"Run: pip install {package}"
    )


def test_unknown_sampler_suggests_a_name() -> None:
    with pytest.raises(StudyError, match=r"no sampler 'cma-es'\. Did you mean 'cmaes'\?"):
        make_sampler("cma-es")


def test_negative_seed_is_refused() -> None:
    with pytest.raises(StudyError, match="seed must be at least 0, got -1"):
        make_sampler("tpe", -1)


def test_default_is_tpe_and_every_row_has_a_description() -> None:
    assert make_sampler().name == "tpe"
    assert isinstance(make_sampler(), SeededSampler)
    assert all(row.doc for row in SAMPLERS.values())
