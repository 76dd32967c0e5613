"""One trial of a study: its configuration, curve, diagnostics by layer, flags and cause."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import FrozenTrial, TrialState

from autotrain.errors import StudyError
from autotrain.network.flags import FLAGS, LAYERS, Diagnosis
from autotrain.reporting.trial import TrialReport, explosion_text, read_trial
from autotrain.search.attributes import Cause
from autotrain.search.facts import health_of
from autotrain.search.storage.open import open_storage
from autotrain.space.naming import flatten
from tests.reporting.test_status import DISTRIBUTIONS, make

SICK = Diagnosis(
    start_loss=0.7,
    loss=0.6,
    start_norms=(4000.0, 1.0),
    norms=(5e-4, 2.0),
    dead_units=(0.75,),
    explosion=LAYERS,
    explosion_epoch=1,
)
HEALTHY = Diagnosis(start_loss=0.7, loss=0.2, start_norms=(2.0, 1.0), norms=(0.5, 0.25))
FACTS = {"cause": "early_stopping", "epochs": 9, "best_epoch": 4, "seconds": 1.5}


@pytest.fixture(autouse=True)
def quiet_optuna() -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)


def trial(state: TrialState, attributes: dict[str, Any], **more: Any) -> FrozenTrial:
    params = {"activation": "elu", "optimizer.learning_rate": 0.002}
    given: dict[str, Any] = {"params": params, "distributions": DISTRIBUTIONS, **more}
    value = 0.25 if state == TrialState.COMPLETE else None
    return optuna.create_trial(state=state, value=value, user_attrs=attributes, **given)


def reports(folder: Path, *trials: FrozenTrial) -> list[TrialReport]:
    """Write trials into a new study and read each back."""
    make(folder, metric="log_loss")
    with open_storage(folder) as storage:
        study = optuna.create_study(storage=storage, study_name=folder.name)
        for each in trials:
            study.add_trial(each)
    return [read_trial(folder, number) for number in range(len(trials))]


def test_report_has_configuration_curve_and_cause(tmp_path: Path) -> None:
    attributes = FACTS | health_of([HEALTHY]) | {"curve": [[1, 0.5], [4, 0.25], [9, 0.375]]}
    (found,) = reports(tmp_path / "one", trial(TrialState.COMPLETE, attributes))
    assert (found.study, found.number, found.state, found.value) == ("one", 0, "complete", 0.25)
    assert (found.epochs, found.best_epoch, found.seconds) == (9, 4, 1.5)
    assert found.config["optimizer.learning_rate"] == 0.002
    assert found.config["dropout.rate"] == 0.2, "fixed by the space"
    assert found.words.startswith("8 elu adam 0.002")
    assert found.curve == ((1, 0.5), (4, 0.25), (9, 0.375))
    assert found.ending == Cause.EARLY_STOPPING.text
    assert found.flags == {}
    assert [fold.diagnosis for fold in found.folds] == [HEALTHY]


def test_each_flag_has_a_sentence_and_the_numbers_of_its_fold(tmp_path: Path) -> None:
    attributes = FACTS | health_of([HEALTHY, SICK])
    (found,) = reports(tmp_path / "one", trial(TrialState.PRUNED, attributes))
    assert list(found.flags) == ["vanishing", "exploding", "dead_units"]
    for name, sentence in found.flags.items():
        assert sentence == FLAGS[name].sentence
        assert sentence.endswith(".")
    (fold,) = found.folds
    assert fold.fold == 2
    assert fold.to_json()["layers"] == [
        {
            "layer": 1,
            "start_norm": 4000.0,
            "norm": 5e-4,
            "ratio": 2.5e-4,
            "dead_units": 0.75,
            "saturated": None,
        },
        {
            "layer": "output",
            "start_norm": 1.0,
            "norm": 2.0,
            "ratio": 1.0,
            "dead_units": None,
            "saturated": None,
        },
    ]
    assert "epoch 1" in explosion_text(SICK)
    assert explosion_text(HEALTHY) == ""


def test_report_of_a_trial_that_diverged_in_its_first_epoch(tmp_path: Path) -> None:
    lost = Diagnosis(start_loss=2.0, start_norms=(3.0, 4.0), norms=(3.0, 4.0), explosion="loss")
    attributes = {"cause": "diverged", "epochs": 1} | health_of([lost])
    unmeasured = {"cause": "diverged", "epochs": 1} | health_of([Diagnosis(explosion="not_finite")])
    with_norms, without = reports(
        tmp_path / "one",
        trial(TrialState.PRUNED, attributes),
        trial(TrialState.PRUNED, unmeasured),
    )
    assert with_norms.ending == Cause.DIVERGED.text
    assert with_norms.folds[0].to_json()["layers"][0]["norm"] == 3.0
    assert with_norms.folds[0].to_json()["loss"] is None
    assert list(without.flags) == ["exploding"]
    assert without.folds[0].to_json()["layers"] == []


@pytest.mark.parametrize(
    ("state", "attributes", "wanted"),
    [
        (
            TrialState.COMPLETE,
            {"cause": "time"},
            "the time limit was reached; the trial was the best so far and is complete",
        ),
        (TrialState.PRUNED, {"cause": "time"}, Cause.TIME.text),
        (TrialState.FAIL, {"cause": "error", "error": "ValueError: x"}, Cause.ERROR.text),
        (TrialState.RUNNING, {}, None),
    ],
)
def test_cause_in_plain_words(
    state: TrialState, attributes: dict[str, Any], wanted: str | None, tmp_path: Path
) -> None:
    (found,) = reports(tmp_path / "one", trial(state, attributes, intermediate_values={1: 0.5}))
    assert found.ending == wanted
    assert found.error == attributes.get("error")
    # The curve of a running trial is the one in the dashboard.
    assert found.curve == ((1, 0.5),)
    assert found.folds == ()


def test_waiting_trial_has_no_configuration_yet(tmp_path: Path) -> None:
    (found,) = reports(tmp_path / "one", trial(TrialState.WAITING, {}, params={}, distributions={}))
    assert (found.state, found.config, found.words, found.ending) == ("waiting", {}, "", None)


def test_report_is_json(tmp_path: Path) -> None:
    attributes = FACTS | health_of([SICK])
    (found,) = reports(tmp_path / "one", trial(TrialState.PRUNED, attributes))
    again = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert again["flags"] == found.flags
    assert again["folds"][0]["explosion"] == LAYERS
    assert flatten(again["config"]) == found.config


@pytest.mark.parametrize("number", [-1, 2, 17])
def test_unknown_number_of_a_trial_is_refused(number: int, tmp_path: Path) -> None:
    reports(tmp_path / "one", *[trial(TrialState.PRUNED, FACTS)] * 2)
    with pytest.raises(StudyError, match=r"trials 0 to 1"):
        read_trial(tmp_path / "one", number)
    make(tmp_path / "none")
    with open_storage(tmp_path / "none"), pytest.raises(StudyError, match="no trial yet"):
        read_trial(tmp_path / "none", 0)


@pytest.mark.parametrize("cause", Cause)
def test_every_cause_has_words(cause: Cause) -> None:
    assert cause.text[0].islower() or cause.text[0].isdigit()
