"""A study is resumed with a space that contains its trials, which are kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.trial import FrozenTrial, TrialState

import autotrain
from autotrain.errors import StudyError
from autotrain.search import widening
from autotrain.search.attributes import RETRY_OF
from autotrain.search.definition import Definition
from autotrain.search.given import config_of
from autotrain.search.progress import Progress
from autotrain.search.storage.open import read_storage

SPACE: dict[str, Any] = {
    "network": {"hidden_layers": 1, "hidden_units": {"low": 4, "high": 16}},
    "activation": {"choices": ["relu", "elu"]},
    "optimizer": {"choices": ["adam"], "learning_rate": {"low": 1e-3, "high": 1e-2}},
    "training": {"epochs": 4},
}
WIDER: dict[str, Any] = {
    "network": {"hidden_layers": {"low": 1, "high": 2}, "hidden_units": {"low": 2, "high": 32}},
    "activation": {"choices": ["relu", "elu", "selu"]},
    "optimizer": {"choices": ["adam", "nesterov"], "learning_rate": {"low": 1e-4, "high": 1e-1}},
    "training": {"epochs": 4},
}
NARROWER = SPACE | {"network": {"hidden_layers": 1, "hidden_units": {"low": 15, "high": 16}}}


def study(folder: Path, **options: Any) -> autotrain.Study:
    settings: dict[str, Any] = {
        "space": SPACE,
        "workers": 1,
        "validation": "holdout",
        "finalists": 0,
    }
    settings |= {"ensemble": 0, "sampler": "random", **options}
    return autotrain.Study("s", data="sklearn:wine", directory=folder, **settings)


def resume(folder: Path, space: Any, **options: Any) -> autotrain.Study:
    return autotrain.Study.resume("s", directory=folder, space=space, **options)


def trials_in(folder: Path, storage: str | None = None) -> list[FrozenTrial]:
    with read_storage(folder, storage) as opened:
        [found] = opened.get_all_studies()
        return opened.get_all_trials(found._study_id)


def results(trials: list[FrozenTrial]) -> list[Any]:
    """Return all of the trials but their parameters."""
    return [
        (t.number, t.state, t.values, t.intermediate_values, t.user_attrs, t.datetime_complete)
        for t in trials
    ]


@pytest.mark.parametrize("in_database", [False, True])
def test_old_trials_are_kept_in_a_wider_space(in_database: bool, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'trials.db'}" if in_database else None
    with study(tmp_path, storage=url) as first:
        first.optimize(5, quiet=True)
        before, old_space, best = first.optuna_study.trials, first.space, first.best_config
    with resume(tmp_path, WIDER) as wider:
        after = wider.optuna_study.trials
        assert results(after) == results(before)
        assert [config_of(t, wider.space) for t in after] == [
            config_of(t, old_space) for t in before
        ]
        assert after[0].distributions["activation"] == CategoricalDistribution(
            ("relu", "elu", "selu")
        )
        rate = after[0].distributions["optimizer.learning_rate"]
        assert isinstance(rate, FloatDistribution)
        assert (rate.low, rate.high) == (1e-4, 1e-1)
        assert {t.params["network.hidden_layers"] for t in after} == {1}
        assert wider.best_config == best
        wider.enqueue({"activation": "selu", "optimizer": "nesterov", "network.hidden_layers": 2})
        wider.optimize(4, quiet=True)
        assert wider.optuna_study.trials[5].params["activation"] == "selu"
    trials = trials_in(tmp_path / "s", url)
    assert [trial.state.is_finished() for trial in trials] == [True] * 9
    # The study has its new space for good.
    with autotrain.Study.resume("s", directory=tmp_path) as again:
        assert again.space.to_dict() == wider.space.to_dict()
        again.optimize(1, quiet=True)


def test_space_without_some_of_the_trials_is_refused(tmp_path: Path) -> None:
    with study(tmp_path) as first:
        first.optimize(4, quiet=True)
    files = {name: (tmp_path / "s" / name).read_bytes() for name in ("journal.log", "study.toml")}
    with pytest.raises(StudyError, match="space must contain all trials") as caught:
        resume(tmp_path, NARROWER)
    assert "network.hidden_units must be in the space, got" in str(caught.value)
    assert files == {name: (tmp_path / "s" / name).read_bytes() for name in files}


def test_waiting_trials_are_kept(tmp_path: Path) -> None:
    with study(tmp_path) as first:
        first.optimize(2, quiet=True)
        first.enqueue({"activation": "elu", "network.hidden_units": 9})
    with resume(tmp_path, WIDER) as wider:
        assert wider.optuna_study.trials[2].state == TrialState.WAITING
        wider.optimize(1, quiet=True)
        params = wider.optuna_study.trials[2].params
    assert (params["activation"], params["network.hidden_units"]) == ("elu", 9)
    assert params["network.hidden_layers"] == 1


class Interrupt:
    def update(self, progress: Progress) -> None:
        if progress.epochs >= 5:
            raise KeyboardInterrupt


def test_interrupted_trial_is_trained_again_in_a_wider_space(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("autotrain.search.loop.SHOW_EVERY_S", 0.0)
    with study(tmp_path) as first, pytest.raises(KeyboardInterrupt):
        first.optimize(6, observer=Interrupt())
    before = trials_in(tmp_path / "s")
    with resume(tmp_path, WIDER) as wider:
        wider.optimize(6, quiet=True)
        after = wider.optuna_study.trials
    repeated = [trial for trial in after if RETRY_OF in trial.user_attrs]
    assert repeated
    for trial in repeated:
        interrupted = before[trial.user_attrs[RETRY_OF]]
        assert interrupted.params.items() <= trial.params.items()
        assert trial.state.is_finished()


def stop(*_: object) -> None:
    raise OSError("killed here")


@pytest.mark.parametrize(
    ("place", "name", "is_wider"),
    [(Definition, "write", False), (widening, "_delete_others", True)],
)
def test_kill_while_the_space_is_changed(
    place: Any, name: str, is_wider: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with study(tmp_path) as first:
        first.optimize(3, quiet=True)
    with monkeypatch.context() as patch:
        patch.setattr(place, name, stop)
        with pytest.raises(OSError, match="killed here"):
            resume(tmp_path, WIDER)
    with autotrain.Study.resume("s", directory=tmp_path) as again:
        assert ("selu" in str(again.space.to_dict())) == is_wider
        assert len(again.optuna_study.trials) == 3
    # The next attempt leaves one Optuna study.
    resume(tmp_path, WIDER | {"training": {"epochs": {"low": 2, "high": 4}}}).close()
    assert len(trials_in(tmp_path / "s")) == 3


def test_same_space_changes_nothing(tmp_path: Path) -> None:
    with study(tmp_path) as first:
        first.optimize(2, quiet=True)
    before = (tmp_path / "s" / "journal.log").read_bytes()
    resume(tmp_path, SPACE).close()
    assert (tmp_path / "s" / "journal.log").read_bytes() == before
