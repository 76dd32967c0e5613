"""What is known of a trial in training: its value so far, its pace, what is left of it."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, cast

import pytest

from autotrain.network.flags import Diagnosis
from autotrain.search.facts import health_of, runs_to_end
from autotrain.search.pruning.plateaus import PlateauRule
from autotrain.search.runs import RepeatRun
from autotrain.search.training_run import TrainingRun
from autotrain.search.workers.protocol import Worker
from autotrain.space.config import TrialConfig
from autotrain.training.slot import EpochReport, Outcome


def trial(
    schedule: str = "cosine", n_folds: int = 2, *, restores: bool = True, **own: Any
) -> TrainingRun:
    config = TrialConfig.from_params(
        {
            "schedule": schedule,
            "training.epochs": 40,
            "early_stopping.restore_best_weights": restores,
            **{f"schedule.{schedule}.{key}": value for key, value in own.items()},
        }
    )
    slots = tuple(range(n_folds))
    return RepeatRun(0, config, cast(Worker, None), 1.0, 0, slots, repeat=1, own_comparison=None)


def report(slot: int, epoch: int, value: float = 0.5, at_s: float = 0.0) -> EpochReport:
    return EpochReport(slot, epoch, 100 * epoch, 0.5, value, value, False, 1e-3, at_s)


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_value_so_far_is_the_mean_of_the_best_scores(sign: float) -> None:
    found = trial()
    assert found.value_so_far() is None
    for slot, values in enumerate([(0.4, 0.1, 0.3), (0.2, 0.6, math.nan)]):
        for epoch, value in enumerate(values, start=1):
            found.hear(report(slot, epoch, value * sign), sign)
            if not slot:
                assert found.value_so_far() is None
    assert found.value_so_far() == pytest.approx(sign * 0.15)


def test_value_is_the_last_one_if_the_last_weights_are_kept() -> None:
    found = trial(restores=False)
    for slot in (0, 1):
        for epoch, value in enumerate((0.1, 0.3), start=1):
            found.hear(report(slot, epoch, value), 1)
    assert found.value_so_far() == pytest.approx(0.3)


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_value_at_an_epoch_equals_an_end_there(sign: float) -> None:
    kept_best, kept_last = trial(), trial(restores=False)
    for found in (kept_best, kept_last):
        for slot, values in enumerate([(0.4, 0.1, 0.3), (0.2, 0.6)]):
            for epoch, value in enumerate(values, start=1):
                found.hear(report(slot, epoch, value * sign), sign)
    at = [kept_best.value_at(epoch) for epoch in range(5)]
    assert at == [None, *(pytest.approx(sign * v) for v in (0.3, 0.15, 0.15, 0.15))]
    at = [kept_last.value_at(epoch) for epoch in range(5)]
    assert at == [None, *(pytest.approx(sign * v) for v in (0.3, 0.35, 0.45, 0.45))]


def test_score_without_a_finite_loss_is_ignored() -> None:
    found = trial(n_folds=1)
    lost = EpochReport(0, 1, 100, 0.5, math.nan, 0.01, False, 1e-3)
    found.hear(lost, 1)
    assert found.value_at(1) is None
    assert found.curve() == []
    found.hear(report(0, 2, 0.4), 1)
    found.hear(replace(lost, epoch=3), 1)
    assert found.value_at(3) == 0.4
    assert found.curve() == [[2, 0.4]]


def test_a_long_curve_keeps_its_first_and_last_epoch() -> None:
    found = trial(n_folds=1)
    for epoch in range(1, 124):
        found.hear(report(0, epoch, 1 / 3 + epoch), 1)
    curve = found.curve()
    assert len(curve) == 50
    assert (curve[0], curve[-1]) == ([1, 1.33333], [123, 123.333])
    assert sorted(curve) == curve


@pytest.mark.parametrize(
    ("schedule", "n_folds", "patience", "plateau"),
    [
        # The trial's own on a holdout, the longer of the two where folds drop apart.
        ("performance", 1, 3, (3, 0.01)),
        ("performance", 3, 3, (8, 0.01)),
        ("performance", 3, 12, (12, 0.01)),
        ("constant", 1, None, (8, 0.0)),
        ("cosine", 3, None, (8, 0.0)),
    ],
)
def test_plateau_uses_the_patience_of_the_schedule(
    schedule: str, n_folds: int, patience: int | None, plateau: tuple[int, float]
) -> None:
    own: dict[str, Any] = {} if patience is None else {"patience": patience, "min_delta": 0.01}
    found = trial(schedule, n_folds, **own)
    assert found.plateau_of(PlateauRule()) == plateau


@pytest.mark.parametrize(
    ("schedule", "share"), [("cosine", 0.5), ("power", 0.5), ("performance", 0), ("constant", 0)]
)
def test_learning_rate_share_of_annealing_schedules(schedule: str, share: float) -> None:
    found = trial(schedule, 1)
    rate = float(found.config.optimizer["learning_rate"])
    assert found.lr_share(replace(report(0, 1), learning_rate=rate / 2)) == share


def test_learning_rate_at_min_lr_is_lowest() -> None:
    found = trial("performance", 1, min_lr=1e-3)
    assert found.is_lowest(report(0, 1))
    assert not found.is_lowest(replace(report(0, 1), learning_rate=1.1e-3))
    assert not trial("performance", 1).is_lowest(report(0, 1))
    assert not trial("constant", 1).is_lowest(report(0, 1))


def test_remaining_seconds_follow_the_slowest_fold(monkeypatch: pytest.MonkeyPatch) -> None:
    now = {"s": 1000.0}
    monkeypatch.setattr("autotrain.search.training_run.time.monotonic", lambda: now["s"])
    found = trial()
    found.hear(report(0, 1, at_s=3.0), 1)
    assert (found.epoch_s(), found.left_s()) == (0.0, 0.0), "not known after one epoch"
    # The clock of the worker is another one.
    found.hear(report(1, 1, at_s=3.0), 1)
    found.hear(report(0, 5, at_s=7.0), 1)
    found.hear(report(1, 5, at_s=11.0), 1)
    assert found.epoch_s() == 2.0
    assert found.left_s() == 70.0
    # It trains on while nobody listens.
    now["s"] += 30
    assert found.left_s() == 40.0
    now["s"] += 90
    assert found.left_s() == 0.0


def test_pace_of_a_training_that_continues_is_measured_anew() -> None:
    found = replace(trial(n_folds=1), reports={0: report(0, 7, at_s=900.0)})
    assert found.epoch_s() == 0.0
    found.hear(report(0, 8, at_s=3.0), 1)
    found.hear(report(0, 9, at_s=5.0), 1)
    assert found.epoch_s() == 2.0


def test_ended_fold_does_not_delay_an_epoch() -> None:
    found = trial()
    for slot in (0, 1):
        for epoch in (1, 2):
            found.hear(report(slot, epoch, at_s=float(epoch)), 1)
    found.hear(report(1, 30, at_s=30.0), 1)
    assert found.left_s() == pytest.approx(38, abs=0.1)
    found.outcomes[0] = Outcome(0, "early_stopping", 2, 1, 0.5, None, None)
    assert found.left_s() == pytest.approx(10, abs=0.1)


def test_schedule_without_an_end_has_no_remaining_time() -> None:
    found = trial("performance", n_folds=1)
    found.hear(report(0, 1, at_s=1.0), 1)
    found.hear(report(0, 2, at_s=2.0), 1)
    assert found.left_s() == 0.0


FINE = Diagnosis(start_loss=1.0, loss=0.5, norms=(0.5, 0.25))
VANISHING = Diagnosis(start_loss=1.0, loss=1.0, norms=(2e-4, 1.0))
DEAD = Diagnosis(start_loss=1.0, loss=1.0, norms=(0.1, 1.0), dead_units=(0.75, 0.1))


def test_diagnostics_are_those_of_the_folds_with_flags() -> None:
    both = Diagnosis(start_loss=1.0, loss=1.0, norms=(1e-4, 1.0), dead_units=(0.9, 0.1))
    facts = health_of([FINE, DEAD, FINE, DEAD, VANISHING, both])
    assert facts["flags"] == "vanishing dead_units"
    assert facts["diagnostics"] == [
        {"fold": 2, **DEAD.to_json()},
        {"fold": 5, **VANISHING.to_json()},
    ]
    assert facts["gradient_ratio"] == 2e-4
    assert health_of([both, DEAD])["diagnostics"] == [{"fold": 1, **both.to_json()}]


def test_healthy_trial_keeps_the_numbers_of_its_first_fold() -> None:
    other = Diagnosis(start_loss=1.0, loss=0.4, norms=(0.1, 0.4))
    facts = health_of([FINE, other])
    assert "flags" not in facts
    assert facts["diagnostics"] == [{"fold": 1, **FINE.to_json()}]
    assert facts["gradient_ratio"] == 2.0


def test_flags_follow_from_the_numbers_that_are_kept() -> None:
    """0.50004 is kept as 0.5, which is not more than half."""
    close = Diagnosis(start_loss=1.0, loss=0.4, norms=(0.5, 0.5), dead_units=(0.50004,))
    assert close.flags == ("dead_units",)
    assert "flags" not in health_of([close])


def test_linear_trial_has_no_ratio() -> None:
    assert "gradient_ratio" not in health_of([Diagnosis(loss=0.5, norms=(0.5,))])


@pytest.mark.parametrize("schedule", ["constant", "performance", "cosine"])
@pytest.mark.parametrize("stops", [True, False])
def test_trial_without_early_stopping_runs_to_its_last_epoch(schedule: str, stops: bool) -> None:
    params = {"schedule": schedule, "early_stopping.enabled": stops}
    expected = schedule == "cosine" or not stops
    assert runs_to_end(TrialConfig.from_params(params)) is expected
