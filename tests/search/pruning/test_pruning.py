"""`Comparison` decides as the pure rule; Optuna's pruners work in an ordinary study."""

from __future__ import annotations

import math
import random
from collections import Counter
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.trial import TrialState

from autotrain.errors import StudyError
from autotrain.search.pruning.comparison import Comparison
from autotrain.search.pruning.plateaus import History, PlateauRule, decide, rule_of
from autotrain.search.pruning.pruners import PRUNERS, make_pruner, read_options

optuna.logging.set_verbosity(optuna.logging.WARNING)


@pytest.mark.parametrize("max_plateaus", [0, 3])
@pytest.mark.parametrize("rung_base", [0, 1, 3])
@pytest.mark.parametrize("seed", range(5))
def test_comparison_decides_as_the_pure_rule(max_plateaus: int, rung_base: int, seed: int) -> None:
    rule = PlateauRule(
        patience=2, n_startup=2, grace=1, max_plateaus=max_plateaus, rung_base=rung_base
    )
    rng = random.Random(seed)
    comparison = Comparison(rule)
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
                assert (
                    comparison.record(number, score, lr_dropped=dropped, lr_share=share) == decision
                )
                kinds[decision.kind] += 1
            case "fail":
                histories[number] = History(rule)
                comparison.forget(number)
            case "restart":  # the whole study stops and goes on
                comparison = Comparison(rule)
                for n in reversed(histories):
                    comparison.restore(n, History.from_json(rule, histories[n].to_json()))
            case end:
                history.end(diverged=end == "diverge")
                assert (
                    comparison.end(number, diverged=end == "diverge").to_json() == history.to_json()
                )
    assert kinds["prune"] > 2
    assert kinds["continue"] > 100


def test_ended_trial_returns_its_history() -> None:
    comparison = Comparison(PlateauRule(patience=1))
    for number in range(5):
        for _ in range(3):
            comparison.record(number, 1.0)
        ended = comparison.end(number)
        assert ended.plateaus == [1.0, 1.0]


def curve(bad: float, epochs: int = 12) -> list[float]:
    """Falls, then stays at `bad` from the fifth epoch on."""
    return [bad + max(0, 4 - epoch) / 10 for epoch in range(epochs)]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("performance", optuna.pruners.NopPruner),
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
    assert len(pruned) == 0 if name in ("none", "performance") else len(pruned) >= 5
    assert all(trial.params["bad"] > study.best_value for trial in pruned)


@pytest.mark.parametrize("name", PRUNERS)
def test_defaults_of_every_pruner_are_legal_and_not_stored(name: str) -> None:
    options = PRUNERS[name].options
    defaults = {key: parameter.default for key, parameter in options.items()}
    assert all(parameter.is_legal(parameter.default) for parameter in options.values())
    assert read_options(name, defaults) == read_options(name, None) == {}


def test_settings_come_to_the_pruner() -> None:
    options = {"patience": 7, "first_rung": np.int64(4), "quantile": np.float32(0.25)}
    rule = rule_of(read_options("performance", options), 1)
    assert rule == PlateauRule(patience=7, rung_base=4, quantile=0.25)
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


def test_unknown_pruner_suggests_a_name() -> None:
    with pytest.raises(StudyError, match=r"no pruner 'medain'\. Did you mean 'median'\?"):
        make_pruner("medain")
