"""Folds in one fleet have different rows, targets and columns, and train as if alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from autotrain.data.encoded import EncodedFold
from autotrain.training.slot import Admission, Outcome
from tests.training.problems import (
    draw_models,
    inputs_of,
    make_config,
    make_fold,
    make_problem,
    make_reference,
    make_trainer,
    split,
    train_alone,
)

RTOL, ATOL = 1e-10, 1e-12
NARROW, WIDE = 4, 6


def two_folds(task: str, *, weighted: bool = False) -> list[EncodedFold]:
    """Return two folds of different size and width, with equal numbers of whole batches of 16."""
    small = make_fold(task, n_train=50, n_valid=30, n_inputs=NARROW, seed=1, weighted=weighted)
    large = make_fold(task, n_train=61, n_valid=19, n_inputs=WIDE, seed=2, weighted=weighted)
    return [small, replace(large, target_mean=-3.0, target_std=0.5)]


def on_folds(task: str, n_models: int = 7) -> list[Admission]:
    models = draw_models(task, 61, n_models)
    assert any(model.config.dropout["input_rate"] for model in models)
    assert any(model.config.batch_norm["input"] for model in models)
    return [
        replace(model, slot=model.slot * 10 + fold, fold=fold)
        for model in models
        for fold in (0, 1)
    ]


@pytest.mark.parametrize("weighted", [False, True], ids=["alike", "weighted"])
@pytest.mark.parametrize("task", ["multiclass", "regression"])
def test_folds_in_one_fleet_train_as_in_separate_trainers(task: str, weighted: bool) -> None:
    """The separate trainers have the rows of one fold only."""
    folds = two_folds(task, weighted=weighted)
    together = make_trainer(task, folds=folds)
    models = on_folds(task)
    for model in models:
        together.admit(model)
    first = together.step()
    assert len(together.fleets) == 1, "one fleet for both folds"
    reports, outcomes = split([*first, *together.run()])
    ends = {outcome.slot: outcome for outcome in outcomes}
    for model in models:
        # This fold is given for both numbers, because the number seeds the random streams.
        alone = make_trainer(task, folds=[folds[model.fold]] * 2)
        own_reports, own = train_alone(alone, model)
        in_fleet = [report for report in reports if report.slot == model.slot]
        for one, other in zip(in_fleet, own_reports, strict=True):
            assert one.valid_loss == pytest.approx(other.valid_loss, rel=RTOL)
            assert one.train_loss == pytest.approx(other.train_loss, rel=RTOL)
            assert one.value == pytest.approx(other.value, rel=RTOL)
        assert_same_weights(ends[model.slot], own)


def assert_same_weights(one: Outcome, other: Outcome) -> None:
    assert one.parameters is not None
    assert one.statistics is not None
    assert (one.cause, one.best_epoch) == (other.cause, other.best_epoch)
    np.testing.assert_allclose(one.parameters, other.parameters, RTOL, ATOL)  # type: ignore[arg-type]
    np.testing.assert_allclose(one.statistics, other.statistics, RTOL, ATOL)  # type: ignore[arg-type]


@pytest.mark.parametrize("task", ["binary", "regression"])
def test_each_fold_follows_the_reference(task: str) -> None:
    """Each fold has its own rows, order of rows and scale of the target."""
    folds, problem = two_folds(task), make_problem(task)
    trainer = make_trainer(task, folds=folds)
    config = make_config({"dropout": "dropout", "dropout.input_rate": 0.2})
    for fold in (0, 1):
        trainer.admit(Admission(fold, config, seed=5, fold=fold))
    reports, _ = split(trainer.run())
    for fold in (0, 1):
        reference = make_reference(config, problem, folds[fold], seed=5, fold_number=fold)
        for report in (r for r in reports if r.slot == fold):
            expected = reference.train_epoch()
            assert report.train_loss == pytest.approx(expected.train_loss, rel=1e-9)
            assert report.valid_loss == pytest.approx(expected.valid_loss, rel=1e-9)
            assert report.value == pytest.approx(expected.value, rel=1e-9)


def test_all_folds_have_the_steps_of_the_smallest() -> None:
    """Otherwise slots of one fleet would end their epochs at different times."""
    folds = [make_fold(n_train=50, seed=1), make_fold(n_train=90, seed=2)]
    trainer = make_trainer(folds=folds)
    for fold in (0, 1):
        trainer.admit(Admission(fold, make_config(), seed=5, fold=fold))
    reports, _ = split(trainer.run())
    assert {report.samples_seen // report.epoch for report in reports} == {48}
    reference = make_reference(
        make_config(), make_problem(), folds[1], seed=5, fold_number=1, n_steps=3
    )
    for report in (r for r in reports if r.slot == 1):
        assert report.train_loss == pytest.approx(reference.train_epoch().train_loss, rel=1e-9)


def test_fold_does_not_use_rows_of_other_folds() -> None:
    """The other fold contains rows that would break any training."""
    good = make_fold(seed=1)
    broken = make_fold(seed=2)
    inputs_of(broken).x_train[:] = np.nan
    inputs_of(broken).x_valid[:] = np.nan
    trainer, expected = make_trainer(folds=[good, broken]), make_trainer(folds=[good])
    model = Admission(0, make_config(), seed=5)
    _, outcome = train_alone(trainer, model)
    _, alone = train_alone(expected, model)
    assert outcome.cause == "epochs"
    assert np.array_equal(outcome.parameters, alone.parameters)  # type: ignore[arg-type]
    trainer.admit(model)
    trainer.admit(Admission(1, make_config(), seed=5, fold=1))
    _, outcomes = split(trainer.run())
    causes = {end.slot: end.cause for end in outcomes}
    assert causes == {0: "epochs", 1: "diverged"}
    [beside] = [end for end in outcomes if end.slot == 0]
    assert_same_weights(beside, alone)
