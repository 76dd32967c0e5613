"""The board gives the rule's answers; the pruners work in an ordinary Optuna study."""

from __future__ import annotations

import math
import random
from collections import Counter
from typing import Any, Literal

import numpy as np
import optuna
import pytest
from optuna.trial import TrialState

from autotrain.errors import StudyError
from autotrain.search.pruning.pruners import (
    PRUNERS,
    Board,
    History,
    PerformancePruner,
    PlateauRule,
    decide,
    make_pruner,
    read_options,
)

optuna.logging.set_verbosity(optuna.logging.WARNING)


@pytest.mark.parametrize("max_plateaus", [0, 3])
@pytest.mark.parametrize("rung_base", [0, 1, 3])
@pytest.mark.parametrize("seed", range(5))
def test_board_decides_as_the_pure_rule(max_plateaus: int, rung_base: int, seed: int) -> None:
    rule = PlateauRule(
        patience=2, n_startup=2, grace=1, max_plateaus=max_plateaus, rung_base=rung_base
    )
    rng = random.Random(seed)
    board = Board(rule)
    histories: dict[int, History] = {}
    kinds = Counter[str]()
    for _ in range(600):
        number = rng.randrange(len(histories) // 2, len(histories) + 1)
        history = histories.setdefault(number, History(rule))
        if history.ended:
            continue
        match rng.choices(["epoch", "end", "diverge", "fail", "restart"], [40, 1, 1, 1, 1])[0]:
            case "epoch":
                score = rng.choice([rng.random(), 0.25, 0.5, math.nan])
                dropped = rng.random() < 0.1
                share = rng.choice([0.0, 0.0, 0.4, 0.9])
                history.record(score, lr_dropped=dropped, lr_share=share)
                others = [other for n, other in histories.items() if n != number]
                decision = decide(history, others)
                assert board.record(number, score, lr_dropped=dropped, lr_share=share) == decision
                kinds[decision.kind] += 1
            case "fail":
                histories[number] = History(rule)
                board.forget(number)
            case "restart":  # the whole study stops and goes on
                board = Board(rule)
                for n in reversed(histories):
                    board.restore(n, History.from_json(rule, histories[n].to_json()))
            case end:
                history.end(diverged=end == "diverge")
                assert board.end(number, diverged=end == "diverge").to_json() == history.to_json()
    assert kinds["prune"] > 2
    assert kinds["continue"] > 100


def test_board_keeps_no_history_of_ended_trials() -> None:
    board = Board(PlateauRule(patience=1))
    for number in range(5):
        for _ in range(3):
            board.record(number, 1.0)
        ended = board.end(number)
        assert ended.plateaus == [1.0, 1.0]
    assert not board._running


def curve(bad: float, epochs: int = 12) -> list[float]:
    """Falls, then stays at `bad` from the fifth epoch on."""
    return [bad + max(0, 4 - epoch) / 10 for epoch in range(epochs)]


@pytest.mark.parametrize("direction", ["minimize", "maximize"])
def test_performance_pruner_in_an_ordinary_study(
    direction: Literal["minimize", "maximize"],
) -> None:
    rule = PlateauRule(patience=3, n_startup=3)
    sign = 1.0 if direction == "minimize" else -1.0
    sampler = optuna.samplers.RandomSampler(seed=0)
    study = optuna.create_study(
        direction=direction, sampler=sampler, pruner=PerformancePruner(rule)
    )

    def objective(trial: optuna.Trial) -> float:
        bad = trial.suggest_float("bad", 0, 1)
        for epoch, score in enumerate(curve(bad)):
            trial.report(sign * score, epoch)
            if trial.should_prune():
                raise optuna.TrialPruned
        return sign * bad

    study.optimize(objective, n_trials=40)

    board = Board(rule)  # the same decisions, made epoch by epoch
    pruned = 0
    for trial in study.trials:
        expected = "continue"
        for epoch, score in enumerate(curve(trial.params["bad"])):
            expected = board.record(trial.number, score).kind
            if expected == "prune":
                assert trial.last_step == epoch
                break
        board.end(trial.number)
        assert (trial.state == TrialState.PRUNED) == (expected == "prune")
        pruned += expected == "prune"
    assert 10 <= pruned <= 30
    # Pruned where the plateau ends: the fifth epoch is the best, three more bring nothing.
    assert {t.last_step for t in study.get_trials(states=[TrialState.PRUNED])} == {7}
    assert study.best_value == sign * min(t.params["bad"] for t in study.trials)


def test_performance_pruner_counts_diverged_trials_as_worst() -> None:
    study = optuna.create_study(pruner=PerformancePruner(PlateauRule(patience=1, n_startup=3)))
    for last in (0.1, math.nan, math.nan, math.nan):
        trial = study.ask()
        trial.report(0.1, 0)
        trial.report(last, 1)
        study.tell(trial, state=TrialState.PRUNED)
    trial = study.ask()
    trial.report(0.9, 0)
    trial.report(0.9, 1)
    assert not trial.should_prune()


def test_performance_pruner_has_rungs_at_epochs_for_what_never_plateaus() -> None:
    study = optuna.create_study(pruner=PerformancePruner())
    for start in (0.5, 0.5, 0.5, 0.5, 0.5):
        trial = study.ask()
        for epoch in range(16):
            trial.report(start - epoch / 100, epoch)
        study.tell(trial, start)
    trial = study.ask()
    pruned = []
    for epoch in range(17):
        trial.report(0.9 - epoch / 100, epoch)
        pruned.append(trial.should_prune())
    assert pruned == [False] * 15 + [True, False]


def test_performance_pruner_leaves_failed_trials_out() -> None:
    study = optuna.create_study(pruner=PerformancePruner(PlateauRule(patience=1, n_startup=2)))
    for state in (TrialState.FAIL, TrialState.FAIL, TrialState.PRUNED):
        trial = study.ask()
        trial.report(0.1, 0)
        study.tell(trial, state=state)
    trial = study.ask()
    trial.report(0.9, 0)
    trial.report(0.9, 1)
    assert not trial.should_prune()


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("performance", PerformancePruner),
        ("asha", optuna.pruners.SuccessiveHalvingPruner),
        ("median", optuna.pruners.MedianPruner),
        ("none", optuna.pruners.NopPruner),
    ],
)
def test_every_pruner_stops_bad_trials_or_none(name: str, kind: type) -> None:
    pruner = make_pruner(name)
    assert isinstance(pruner, kind)
    sampler = optuna.samplers.RandomSampler(seed=1)
    study = optuna.create_study(sampler=sampler, pruner=pruner)

    def objective(trial: optuna.Trial) -> float:
        bad = trial.suggest_float("bad", 0, 1)
        for epoch, score in enumerate(curve(bad, 20)):
            trial.report(score, epoch)
            if trial.should_prune():
                raise optuna.TrialPruned
        return bad

    study.optimize(objective, n_trials=20)
    pruned = study.get_trials(states=[TrialState.PRUNED])
    assert len(pruned) == 0 if name == "none" else len(pruned) >= 5
    assert all(trial.params["bad"] > study.best_value for trial in pruned)


@pytest.mark.parametrize("name", PRUNERS)
def test_defaults_of_every_pruner_are_legal_and_need_not_be_written_down(name: str) -> None:
    options = PRUNERS[name].options
    defaults = {key: parameter.default for key, parameter in options.items()}
    assert all(parameter.is_legal(parameter.default) for parameter in options.values())
    assert read_options(name, defaults) == read_options(name, None) == {}


def test_settings_come_to_the_pruner() -> None:
    options = {"patience": 7, "first_rung": np.int64(4), "quantile": np.float32(0.25)}
    pruner = make_pruner("performance", options)
    assert isinstance(pruner, PerformancePruner)
    assert pruner.rule == PlateauRule(patience=7, rung_base=4, quantile=0.25)
    assert make_pruner("asha", {"min_resource": 9})._min_resource == 9  # type: ignore[attr-defined]
    median = make_pruner("median", {"n_warmup_steps": 2})
    assert median._n_warmup_steps == 2  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("name", "options", "named"),
    [
        ("performance", {"quantil": 0.4}, ["Did you mean 'quantile'"]),
        ("performance", {"quantile": 1.5}, ["quantile", "1.5"]),
        ("performance", {"quantile": math.nan}, ["quantile"]),
        ("performance", {"n_startup": 2.5}, ["n_startup", "2.5"]),
        ("performance", {"grace": True}, ["grace", "True"]),
        ("performance", {"grace": "three", "patience": 0}, ["grace", "'three'", "patience"]),
        ("performance", {"rung_factor": 1}, ["rung_factor"]),
        ("asha", {"quantile": 0.4}, ["quantile", "reduction_factor"]),
        ("asha", {"reduction_factor": 1}, ["reduction_factor"]),
        ("median", {"n_startup": 3}, ["Did you mean 'n_startup_trials'"]),
        ("none", {"grace": 3}, ["grace"]),
        ("performance", [("grace", 3)], ["pruner_options"]),
    ],
)
def test_wrong_settings_are_refused_all_at_once(name: str, options: Any, named: list[str]) -> None:
    with pytest.raises(StudyError) as caught:
        make_pruner(name, options)
    assert all(word in str(caught.value) for word in named)


def test_unknown_pruner_is_told_the_near_name() -> None:
    with pytest.raises(StudyError, match=r"no pruner 'medain'\. Did you mean 'median'\?"):
        make_pruner("medain")
