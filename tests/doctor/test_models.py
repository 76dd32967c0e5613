"""Checks and repairs of a study's files, checkpoints and exported model."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autotrain.bundle import ENSEMBLE, read_bundle
from autotrain.doctor.check import check
from autotrain.doctor.finding import Finding, Severity
from autotrain.predictor import load
from autotrain.search.checkpoints import Checkpoints
from autotrain.search.storage.lock import StudyLock
from autotrain.study import Study
from tests.doctor.test_study import content, of_study
from tests.search.test_checkpoints import trained
from tests.test_study_folder import search, table


@pytest.fixture(scope="module")
def studies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder with finished studies, which stay as they are.

    "alone" has exported one model, "ensemble" several, "finals" the winner of the finals.
    """
    folder = tmp_path_factory.mktemp("studies")
    options: dict[str, dict[str, Any]] = {
        "alone": {},
        "ensemble": {"ensemble": 3},
        "finals": {"finalists": 2},
    }
    for name, changes in options.items():
        search(folder, 6, name, test=0.2, **changes)
        with Study.resume(name, data=table(), directory=folder) as study:
            study.test()
    assert ENSEMBLE in read_bundle(folder / "ensemble" / "best").training
    return folder


@pytest.fixture
def directory(studies: Path, tmp_path: Path) -> Path:
    """Give copies of the studies, to be damaged."""
    shutil.copytree(studies, tmp_path / "studies")
    return tmp_path / "studies"


def states(found: dict[str, Finding]) -> dict[str, str]:
    return {name: str(each.state) for name, each in found.items() if each.state != Severity.OK}


def predictions(best: Path) -> np.ndarray:
    """Return class probabilities with dropout off, and the mean of Monte-Carlo samples."""
    predictor = load(best)
    rows = table()
    return np.hstack(
        [predictor.predict_proba(rows), predictor.predict_distribution(rows, 7, seed=3).mean]
    )


# ---- best/ ---------------------------------------------------------------------------------------


def remove(best: Path) -> None:
    shutil.rmtree(best)


def cut_weights(best: Path) -> None:
    weights = best / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])


def change_weights(best: Path) -> None:
    weights = best / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)


def zero_record(best: Path) -> None:
    (best / "bundle.json").write_bytes(bytes(1000))


def remove_record(best: Path) -> None:
    (best / "bundle.json").unlink()


def remove_weights(best: Path) -> None:
    (best / "model.safetensors").unlink()


def empty_folder(best: Path) -> None:
    shutil.rmtree(best)
    best.mkdir()


DAMAGES: list[Callable[[Path], None]] = [
    remove,
    cut_weights,
    change_weights,
    zero_record,
    remove_record,
    remove_weights,
    empty_folder,
]


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", ["alone", "ensemble", "finals"])
def test_damaged_model_is_rebuilt_with_the_same_predictions(
    directory: Path, name: str, damage: Callable[[Path], None]
) -> None:
    best = directory / name / "best"
    before, bundle = predictions(best), read_bundle(best)
    damage(best)
    assert states(of_study(directory, name)) == {"best": "problem"}
    assert states(of_study(directory, name, fix=True)) == {"best": "repaired"}
    assert states(of_study(directory, name)) == {}
    np.testing.assert_array_equal(predictions(best), before)
    again = read_bundle(best)
    assert again.training == bundle.training
    assert again.scores == bundle.scores


def test_model_without_checkpoints_is_trained_again(directory: Path) -> None:
    best = directory / "alone" / "best"
    before = predictions(best)
    remove(best)
    shutil.rmtree(directory / "alone" / "checkpoints")
    assert states(of_study(directory, "alone", fix=True)) == {"best": "repaired"}
    np.testing.assert_allclose(predictions(best), before, rtol=1e-4, atol=1e-5)


def test_model_of_an_interrupted_search_is_the_best_so_far(tmp_path: Path) -> None:
    folder = search(tmp_path, 3, finalists=2)
    with Study.resume("s", data=table(), directory=tmp_path) as study:
        study._note("is_exported", False)
    before = predictions(folder / "best")
    cut_weights(folder / "best")
    assert states(of_study(tmp_path, fix=True)) == {"best": "repaired"}
    np.testing.assert_array_equal(predictions(folder / "best"), before)
    with Study.resume("s", data=table(), directory=tmp_path) as study:
        assert study.optuna_study.user_attrs["is_exported"] is False


def test_winner_that_replaced_an_ensemble_is_rebuilt_alone(directory: Path) -> None:
    best = directory / "ensemble" / "best"
    with Study.resume("ensemble", data=table(), directory=directory) as study:
        study.export_best(ensemble=0)
    before = predictions(best)
    cut_weights(best)
    assert states(of_study(directory, "ensemble", fix=True)) == {"best": "repaired"}
    np.testing.assert_array_equal(predictions(best), before)
    assert ENSEMBLE not in read_bundle(best).training


def test_model_in_a_database_study_is_rebuilt(tmp_path: Path) -> None:
    folder = search(tmp_path, storage="sqlite:///trials.db")
    before = predictions(folder / "best")
    remove(folder / "best")
    assert states(of_study(tmp_path, fix=True)) == {"best": "repaired"}
    np.testing.assert_array_equal(predictions(folder / "best"), before)


def test_without_its_table_a_model_stays_damaged(directory: Path) -> None:
    cut_weights(directory / "alone" / "best")
    before = content(directory / "alone")
    found = {each.name: each for each in check("alone", directory=directory, fix=True)}
    assert found["best"].state == Severity.PROBLEM
    assert "data must be given" in found["best"].text
    assert content(directory / "alone").items() >= before.items()


def test_other_table_is_refused(directory: Path) -> None:
    cut_weights(directory / "alone" / "best")
    other = table().assign(a=np.arange(60.0))
    found = {each.name: each for each in check("alone", directory=directory, data=other, fix=True)}
    assert found["best"].state == Severity.PROBLEM
    assert "its data differ" in found["best"].text


def test_model_of_another_study_is_not_replaced(directory: Path) -> None:
    other = search(directory / "other", 1, test=0.2, seed=9)
    best = directory / "alone" / "best"
    remove(best)
    shutil.copytree(other / "best", best)
    before = content(best)
    assert states(of_study(directory, "alone", fix=True)) == {"best": "warning"}
    assert content(best) == before


def test_missing_card_is_written_again(directory: Path) -> None:
    card = directory / "alone" / "best" / "MODEL_CARD.md"
    before = card.read_bytes()
    card.unlink()
    assert states(of_study(directory, "alone")) == {"best": "warning"}
    assert states(of_study(directory, "alone", fix=True)) == {"best": "repaired"}
    assert card.read_bytes() == before


def test_models_are_not_repaired_while_a_search_is_running(directory: Path) -> None:
    folder = directory / "alone"
    cut_weights(folder / "best")
    (folder / "checkpoints" / ".trial-9-0.safetensors").write_bytes(b"half")
    lock = StudyLock(folder)
    before = content(folder)
    found = of_study(directory, "alone", fix=True)
    lock.release()
    assert states(found) == {"best": "problem"}
    assert "A search is running" in found["best"].fix
    assert content(folder) == before


# ---- files of a killed search --------------------------------------------------------------------


def test_temporary_files_are_removed(directory: Path) -> None:
    folder = directory / "alone"
    before = content(folder)
    for name in (
        ".study.toml",
        ".trials.json",
        ".journal.log",
        "checkpoints/.trial-7-0.safetensors",
    ):
        (folder / name).write_bytes(b"half")
    shutil.copytree(folder / "best", folder / ".best.new")
    (folder / ".best.new" / "bundle.json").write_bytes(b"half")
    assert states(of_study(directory, "alone")) == {"files": "warning"}
    assert states(of_study(directory, "alone", fix=True)) == {"files": "repaired"}
    after = content(folder)
    del before["lock"], after["lock"]
    assert after == before


def test_model_that_was_being_replaced_is_there_again(directory: Path) -> None:
    """As on file systems without an exchange of folders, between its two steps."""
    folder = directory / "alone"
    before = content(folder / "best")
    shutil.copytree(folder / "best", folder / ".best.new")
    (folder / "best").rename(folder / ".best.old")
    assert states(of_study(directory, "alone")) == {"files": "problem"}
    assert states(of_study(directory, "alone", fix=True)) == {"files": "repaired"}
    assert content(folder / "best") == before
    assert not list(folder.glob(".best.*"))


def test_link_is_removed_and_its_target_stays(directory: Path, tmp_path: Path) -> None:
    target = tmp_path / "mine.txt"
    target.write_text("mine")
    (directory / "alone" / ".best.new").symlink_to(target)
    assert states(of_study(directory, "alone", fix=True)) == {"files": "repaired"}
    assert target.read_text() == "mine"


@pytest.mark.parametrize("content", [None, b"", b"\0" * 70], ids=["missing", "empty", "zeros"])
def test_record_of_the_trials_is_written_again(directory: Path, content: bytes | None) -> None:
    record = directory / "alone" / "trials.json"
    before = record.read_bytes()
    record.unlink()
    if content is not None:
        record.write_bytes(content)
    assert states(of_study(directory, "alone")) == {"record": "warning"}
    assert states(of_study(directory, "alone", fix=True)) == {"record": "repaired"}
    assert record.read_bytes() == before


# ---- checkpoints ---------------------------------------------------------------------------------


def test_checkpoints_of_no_complete_trial_are_removed(directory: Path) -> None:
    folder = directory / "alone" / "checkpoints"
    before = content(folder)
    Checkpoints(folder, most=99).keep(trained(2, 0.1))  # another configuration
    Checkpoints(folder, most=99).keep(trained(77, 0.1))  # no such trial
    (folder / "trial-3-0.safetensors").write_bytes(b"half")
    (folder / "notes.txt").write_text("mine")
    finding = of_study(directory, "alone")["checkpoints"]
    assert "1 checkpoint cannot be read: trial-3-0" in finding.text
    assert "2 checkpoints of no complete trial" in finding.text
    assert states(of_study(directory, "alone", fix=True)) == {"checkpoints": "repaired"}
    kept = before.keys() - {"trial-2-0.safetensors", "trial-3-0.safetensors"}
    assert content(folder).keys() == kept | {"notes.txt"}
    assert states(of_study(directory, "alone")) == {}


def test_checkpoints_stay_when_trials_are_lost(directory: Path) -> None:
    other = search(directory / "other", 1)
    folder = directory / "alone"
    shutil.copy(other / "journal.log", folder / "journal.log")
    before = content(folder / "checkpoints")
    found = of_study(directory, "alone", fix=True)
    assert found["record"].state == Severity.PROBLEM
    assert found["checkpoints"].state == Severity.WARNING
    assert "lost trials" in found["checkpoints"].fix
    assert content(folder / "checkpoints") == before
