"""The free space of a disk is compared with what a search writes, before it writes anything."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

import autotrain
from autotrain.errors import StorageError
from autotrain.search.preflight import Need, check_free_space, need_of

SPACE = {
    "network": {"hidden_layers": {"low": 1, "high": 3}, "hidden_units": {"choices": [8, 256]}},
    "training": {"batch_size": 32, "epochs": 2},
    "forbid": [{"network.hidden_layers": 1, "network.hidden_units": 256}],
}


def free(monkeypatch: pytest.MonkeyPatch, n_bytes: int) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=n_bytes))


@pytest.fixture
def study(tmp_path: Path) -> autotrain.Study:
    return autotrain.Study(
        "wine", data="sklearn:wine", space=SPACE, workers=1, ensemble=0, directory=tmp_path
    )


def test_search_that_cannot_save_a_trial_is_refused(
    study: autotrain.Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    free(monkeypatch, 100_000)
    with pytest.raises(StorageError, match=r"must have at least \d+ kB free, got 100 kB"):
        study.optimize(n_trials=1, quiet=True)
    assert not list(tmp_path.iterdir())


def test_estimate_covers_what_a_search_writes(study: autotrain.Study) -> None:
    n_trials = 6
    with study:
        study.optimize(n_trials=n_trials, quiet=True)
    need = need_of(study.space, study.dataset, n_trials, 1)
    written = sum(file.stat().st_size for file in study.folder.rglob("*"))
    assert need.least < written < need.most
    assert need_of(study.space, study.dataset, None, 1).most > need.most


@pytest.mark.parametrize(
    ("free_bytes", "expected"), [(2_000_000, "50 MB"), (50_000_000, None), (10**12, None)]
)
def test_note_about_scarce_space(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free_bytes: int, expected: str | None
) -> None:
    free(monkeypatch, free_bytes)
    note = check_free_space(tmp_path, Need(1_000_000, 50_000_000))
    assert (note is None) == (expected is None)
    assert expected is None or (note is not None and expected in note and "2.0 MB free" in note)


def test_checkpoints_that_exist_are_not_counted_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    free(monkeypatch, 2_000_000)
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "trial-0-0.safetensors").write_bytes(b"x" * 1_000_000)
    assert check_free_space(tmp_path, Need(1_000, 2_900_000)) is None
    assert check_free_space(tmp_path, Need(1_000, 3_100_000)) is not None


def test_unknown_free_space_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> None:
        raise PermissionError

    monkeypatch.setattr(shutil, "disk_usage", refuse)
    assert check_free_space(tmp_path, Need(10**18, 10**18)) is None
