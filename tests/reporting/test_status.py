"""The status of a study: states, causes, flags, the order of the leaderboard."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.trial import TrialState

from autotrain.errors import StudyError
from autotrain.reporting.status import TOP, read_status, summaries
from autotrain.search.definition import Definition
from autotrain.search.storage.lock import StudyLock, is_held
from autotrain.search.storage.open import open_storage
from autotrain.space.search_space import SearchSpace

SPACE = {
    "network": {"hidden_layers": 1, "hidden_units": 8},
    "activation": {"choices": ["relu", "elu"]},
    "dropout": {"choice": "dropout", "rate": 0.2},
    "optimizer": {"choice": "adam", "learning_rate": {"low": 0.001, "high": 0.1}},
    "training": {"batch_size": 32, "epochs": 4},
}
DISTRIBUTIONS = {
    "activation": CategoricalDistribution(["relu", "elu"]),
    "optimizer.learning_rate": FloatDistribution(0.001, 0.1),
}


def make(folder: Path, *, metric: str = "accuracy", n_trials: int | None = 20) -> Definition:
    """Write the definition of a study."""
    definition = Definition(
        name=folder.name,
        data="table.csv",
        target="y",
        task="binary",
        metric=metric,
        fingerprint="0",
        split={"test": 0.2, "validation": "holdout", "seed": 0},
        test="",
        validation="holdout",
        space=SearchSpace(SPACE).resolve(100, 4, "binary").to_dict(),
        seed=0,
        sampler="tpe",
        pruner="none",
        n_trials=n_trials,
    )
    folder.mkdir(parents=True)
    definition.write(folder)
    return definition


def fill(folder: Path, *trials: tuple[TrialState, float | None, dict[str, Any]]) -> None:
    """Write trials: state, value, user attributes."""
    with open_storage(folder) as storage:
        study = optuna.create_study(
            storage=storage, study_name=folder.name, direction="maximize", load_if_exists=True
        )
        for number, (state, value, attributes) in enumerate(trials):
            params = {"activation": "elu", "optimizer.learning_rate": 0.001 * (number + 1)}
            study.add_trial(
                optuna.create_trial(
                    state=state,
                    value=value,
                    params=params,
                    distributions=DISTRIBUTIONS,
                    user_attrs={"n_parameters": 10, "seconds": 0.5} | attributes,
                    intermediate_values={1: 0.5},
                )
            )


COMPLETE, PRUNED, FAIL = TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL


@pytest.fixture(autouse=True)
def quiet_optuna() -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)


def test_best_trials_come_first_and_the_earlier_of_equals(tmp_path: Path) -> None:
    folder = tmp_path / "one"
    make(folder)
    values = [0.5, 0.9, 0.7, 0.9, *[0.1] * TOP]
    fill(folder, *[(COMPLETE, value, {"epochs": 4, "seconds": 0.5}) for value in values])
    status = read_status(folder)
    assert [entry.number for entry in status.top[:4]] == [1, 3, 2, 0]
    assert len(status.top) == TOP
    assert status.best == status.top[0]
    assert status.top[0].words.startswith("8 elu adam 0.002 dropout 0.2")
    assert (status.n_complete, status.n_trials) == (len(values), len(values))
    assert status.left.n_trials == 20 - len(values)
    assert status.bundle is None
    (folder / "best").mkdir()
    assert read_status(folder).bundle == folder / "best"


def test_metric_to_minimize_reverses_the_order(tmp_path: Path) -> None:
    make(tmp_path / "one", metric="log_loss")
    fill(tmp_path / "one", (COMPLETE, 0.5, {}), (COMPLETE, 0.2, {}))
    assert [entry.value for entry in read_status(tmp_path / "one").top] == [0.2, 0.5]


def test_causes_and_flags_are_counted(tmp_path: Path) -> None:
    make(tmp_path / "one")
    fill(
        tmp_path / "one",
        (COMPLETE, 0.5, {"cause": "converged", "flags": "dead_units"}),
        (PRUNED, None, {"cause": "plateau", "flags": "vanishing dead_units"}),
        (PRUNED, None, {"cause": "plateau"}),
        (PRUNED, None, {"cause": "diverged", "flags": "exploding"}),
        (FAIL, None, {"cause": "error"}),
        (FAIL, None, {"cause": "not_started"}),
        (FAIL, None, {"cause": "forbidden"}),
        (FAIL, None, {"cause": "interrupted"}),
        (FAIL, None, {}),
    )
    status = read_status(tmp_path / "one")
    assert status.causes == {
        "plateau": 2,
        "diverged": 1,
        "error": 1,
        "interrupted": 1,
        "unknown": 1,
    }
    assert next(iter(status.causes)) == "plateau"
    assert status.flags == {"dead_units": (0, 1), "vanishing": (1,), "exploding": (3,)}
    assert next(iter(status.flags)) == "dead_units"
    assert status.to_json()["flags"]["dead_units"] == [0, 1]
    assert (status.n_complete, status.n_pruned, status.n_failed) == (1, 3, 2)


def test_states(tmp_path: Path) -> None:
    for name in ("empty", "cut", "done"):
        make(tmp_path / name, n_trials=2)
    fill(tmp_path / "empty")
    fill(tmp_path / "cut", (COMPLETE, 0.5, {}), (FAIL, None, {"cause": "interrupted"}))
    fill(tmp_path / "done", (COMPLETE, 0.5, {}), (PRUNED, None, {"cause": "plateau"}))
    found = {name: read_status(tmp_path / name).state for name in ("empty", "cut", "done")}
    assert found == {"empty": "empty", "cut": "stopped", "done": "done"}

    lock = StudyLock(tmp_path / "cut")
    assert is_held(tmp_path / "cut")
    assert read_status(tmp_path / "cut").state == "running"
    assert is_held(tmp_path / "cut")  # reading the status has not released it
    lock.release()
    assert not is_held(tmp_path / "cut")
    assert read_status(tmp_path / "cut").state == "stopped"
    assert not is_held(tmp_path)


def test_latest_study_is_first_and_unreadable_ones_last(tmp_path: Path) -> None:
    for name in ("b", "a", "c"):
        make(tmp_path / name)
        fill(tmp_path / name, (COMPLETE, 0.5, {}))
        time.sleep(0.01)
    (tmp_path / "b" / "journal.log").unlink()
    found = summaries(tmp_path)
    assert [e[0] if isinstance(e, tuple) else e.definition.name for e in found] == ["c", "a", "b"]
    assert isinstance(found[2], tuple)
    assert "must be the journal of a study" in found[2][1]


def test_missing_study_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="there must be a study 'x'"):
        read_status(tmp_path / "x")
