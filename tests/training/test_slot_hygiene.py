"""The state of a slot depends neither on other slots nor on earlier ones."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from autotrain.techniques.optimizers import OPTIMIZERS
from autotrain.training.fleet import Fleet
from autotrain.training.slot import Admission, EpochReport
from tests.training.problems import (
    draw_models,
    make_config,
    make_fleet,
    make_trainer,
    split,
    step_once,
)


def one_of_each_optimizer() -> list[Admission]:
    """Return deep and shallow models, with batch norm, momentum and all other kinds of state."""
    widths = ("7-5", "4-4", "9")
    return [
        Admission(
            k,
            make_config(
                {
                    "optimizer": optimizer,
                    "network.hidden_units": widths[k % 3],
                    "batch_norm": ("before_activation", "after_activation")[k % 2],
                    "batch_norm.input": k % 4 == 1,
                    "activation": ("prelu", "sigmoid", "elu")[k % 3],
                    "dropout": ("dropout", "alpha_dropout", "none")[k % 3],
                    "constraint": ("max_norm", "none")[k % 2],
                    "regularizer.l1": 0.01,
                }
            ),
            seed=k,
        )
        for k, optimizer in enumerate(OPTIMIZERS)
    ]


def test_step_changes_parameters_and_statistics_of_every_slot() -> None:
    fleet = make_fleet(one_of_each_optimizer())
    for step in range(3):  # momentum and warm-up have begun
        step_once(fleet, first_row=5 * step)
    parameters, statistics = fleet.weights.parameters.clone(), fleet.weights.statistics.clone()
    step_once(fleet)
    assert (fleet.weights.parameters != parameters).any(1).all()
    assert (fleet.weights.statistics != statistics).any(1).all()


def test_repacking_a_fleet_after_every_epoch_changes_nothing() -> None:
    models = draw_models("multiclass", 5, 8)
    kept, repacked = make_fleet(models), make_fleet(models)
    for _ in range(3):
        assert kept.run_epoch() == repacked.run_epoch()
        repacked = Fleet(repacked.release(), repacked.rows, repacked.backend)
    for one, other in zip(kept.release(), repacked.release(), strict=True):
        for name in ("parameters", "statistics", "m", "v", "t", "product"):
            assert torch.equal(getattr(one, name), getattr(other, name)), name
        assert torch.equal(one.best_parameters, other.best_parameters)
        assert torch.equal(one.best_statistics, other.best_statistics)


def test_released_slots_share_no_memory_with_the_fleet() -> None:
    fleet = make_fleet(draw_models("multiclass", 6, 3))
    fleet.run_epoch()
    slots = fleet.release()
    before = [tensor.clone() for slot in slots for tensor in state_of(slot)]
    for tensor in (*vars(fleet.weights).values(), fleet.best_parameters, fleet.best_statistics):
        tensor.fill_(torch.nan)
    after = [tensor for slot in slots for tensor in state_of(slot)]
    assert all(torch.equal(a, b) for a, b in zip(after, before, strict=True))


def state_of(slot: object) -> list[torch.Tensor]:
    """Return all tensors of a slot."""
    found = [value for value in vars(slot).values() if isinstance(value, torch.Tensor)]
    assert len(found) >= 8
    return found


@pytest.mark.parametrize("left_by", ["diverged", "stopped", "epochs"])
def test_model_in_a_reused_position_trains_as_in_a_fresh_trainer(left_by: str) -> None:
    """Another model trains at the same time; sizes are equal, so results are bit-identical."""
    neighbour = Admission(0, make_config({"training.epochs": 9, "activation": "tanh"}), seed=1)
    wild = {"optimizer.learning_rate": 1e300} if left_by == "diverged" else {}
    limit = {"training.epochs": 2} if left_by == "epochs" else {}
    lively = {"activation": "relu", "batch_norm": "after_activation"}
    earlier = Admission(1, make_config(lively | wild | limit), seed=2)
    newcomer = Admission(2, make_config(lively | {"optimizer": "nadam"}), seed=3)

    def train(first: Admission | None) -> tuple[list[EpochReport], np.ndarray, np.ndarray]:
        trainer = make_trainer()
        trainer.admit(neighbour)
        if first is not None:
            trainer.admit(first)
        causes = {o.cause for _ in range(2) for o in split(trainer.step())[1]}
        if first is not None and left_by == "stopped":
            trainer.stop(first.slot)
        elif first is not None:
            assert left_by in causes
        trainer.admit(newcomer)
        reports, outcomes = split(trainer.run())
        [own] = [outcome for outcome in outcomes if outcome.slot == newcomer.slot]
        assert own.parameters is not None
        assert own.statistics is not None
        own_reports = [report for report in reports if report.slot == newcomer.slot]
        assert own_reports
        return own_reports, own.parameters, own.statistics

    reports, parameters, statistics = train(earlier)
    fresh_reports, fresh_parameters, fresh_statistics = train(None)
    assert reports == fresh_reports
    assert np.array_equal(parameters, fresh_parameters)
    assert np.array_equal(statistics, fresh_statistics)
