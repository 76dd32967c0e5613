"""The weights of a study's best trainings, as files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from autotrain.errors import StorageError
from autotrain.network.flags import Diagnosis
from autotrain.search.checkpoints import Checkpoints
from autotrain.search.trained import Trained
from autotrain.training.slot import Outcome
from tests.training.problems import make_config


def trained(number: int, value: float, repeat: int = 0, n_folds: int = 2) -> Trained:
    generator = np.random.default_rng(number)
    outcomes = tuple(
        Outcome(
            fold,
            "epochs",
            9,
            7,
            value,
            generator.standard_normal(5).astype(np.float32),
            np.zeros(0, dtype=np.float32),
            Diagnosis(start_loss=1.25, loss=0.5, norms=(0.25, 0.5), dead_units=(0.75,)),
        )
        for fold in range(n_folds)
    )
    return Trained(number, value, make_config(), 2**63 + number, outcomes, repeat)


def test_checkpoint_is_read_as_written(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path / "checkpoints")
    checkpoints.keep(kept := trained(3, 0.25, repeat=1))
    found = Checkpoints(tmp_path / "checkpoints").find(3, 1)
    assert found is not None
    assert (found.number, found.repeat, found.value, found.seed, found.config) == (
        3,
        1,
        0.25,
        2**63 + 3,
        kept.config,
    )
    for outcome, back in zip(kept.outcomes, found.outcomes, strict=True):
        assert (back.cause, back.epochs, back.best_epoch, back.best_value) == ("epochs", 9, 7, 0.25)
        np.testing.assert_array_equal(back.parameters, outcome.parameters)
        np.testing.assert_array_equal(back.statistics, outcome.statistics)
        assert back.diagnosis == outcome.diagnosis
    assert checkpoints.find(3, 0) is None


def test_only_the_best_stay(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, sign=-1.0, most=3)
    for number, value in enumerate([0.5, 0.9, 0.1, 0.7, 0.8]):
        checkpoints.keep(trained(number, value))
    # Another process, that goes on.
    later = Checkpoints(tmp_path, sign=-1.0, most=3)
    later.keep(trained(7, 0.85))
    assert [t.number for t in later.all()] == [1, 7, 4]
    assert len(list(tmp_path.iterdir())) == 3


def test_unreadable_checkpoint_is_ignored(tmp_path: Path) -> None:
    for number in range(3):
        Checkpoints(tmp_path).keep(trained(number, 0.1 * number))
    files = sorted(tmp_path.iterdir())
    files[0].write_bytes(files[0].read_bytes()[:40])
    files[1].write_bytes(b"")
    (tmp_path / "trial-9-0.new").write_bytes(b"half")
    checkpoints = Checkpoints(tmp_path)
    assert checkpoints.find(0, 0) is None
    assert [t.number for t in checkpoints.all()] == [2]
    checkpoints.keep(trained(0, 0.05))
    assert [t.number for t in checkpoints.all()] == [0, 2]


def test_unwritable_folder_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "checkpoints").write_text("a file")
    with pytest.raises(StorageError, match="must be a folder that can be written"):
        Checkpoints(tmp_path / "checkpoints").keep(trained(1, 0.5))
