"""Definitions: the storage of a study with any password, the file `study.toml`."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tomli_w

from autotrain.data.loading import load_dataset
from autotrain.errors import StudyError
from autotrain.metrics import METRICS
from autotrain.search.definition import Definition
from autotrain.search.opening import storage_of
from autotrain.search.settings import StudySettings
from autotrain.space.search_space import SearchSpace


def kept_in(storage: str | None) -> Definition:
    return Definition(
        name="churn",
        data="churn.csv",
        target="churned",
        task="binary",
        metric="log_loss",
        fingerprint="",
        split={},
        test="",
        validation="auto",
        space={},
        seed=0,
        sampler="tpe",
        pruner="performance",
        storage=storage,
    )


@pytest.mark.parametrize(
    "given", [None, "postgresql+psycopg://me@h/d", "postgresql+psycopg://me:secret@h/d"]
)
def test_own_storage_is_used_with_the_given_password(given: str | None) -> None:
    own = "postgresql+psycopg://me:***@h/d"
    assert storage_of(kept_in(own), given, Path("studies/churn")) == (given or own)


@pytest.mark.parametrize(
    ("own", "given"),
    [
        (None, "sqlite:///a.db"),
        ("sqlite:///a.db", "sqlite:///b.db"),
        ("postgresql+psycopg://me:***@h/d", "postgresql+psycopg://me:secret@h/other"),
        ("postgresql+psycopg://me:***@h/d", "postgresql+psycopg://you:secret@h/d"),
    ],
)
def test_other_storage_is_refused_without_printing_the_password(
    own: str | None, given: str
) -> None:
    with pytest.raises(StudyError, match="must contain the trials of study") as caught:
        storage_of(kept_in(own), given, Path("studies/churn"))
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("n_rows", [0, 7])
def test_calibration_rows_are_part_of_the_split(n_rows: int) -> None:
    frame = pd.DataFrame({"x": [n * 7 % 11 for n in range(40)], "y": ["a", "b"] * 20})
    dataset = load_dataset(frame, "y", validation="holdout")
    parts = dataset.splits[0]._replace(calibration=np.arange(n_rows) if n_rows else None)
    settings = StudySettings(name="s", data=frame)
    space = SearchSpace.from_dict({}).resolve(30, 1, "binary")
    changed = replace(dataset, splits=(parts,))
    split = Definition.of(settings, changed, space, METRICS["log_loss"]).split
    assert split == dataset.split | ({"calibration": 7} if n_rows else {})


@pytest.mark.parametrize(
    ("changes", "mistake"),
    [
        ({"seed": None}, "seed is missing"),
        ({"seed": "1"}, "seed = '1' has a wrong type"),
        ({"task": "x"}, "task 'x'"),
        ({"metric": "x"}, "metric 'x'"),
        ({"sampler": None}, "sampler is missing"),
        ({"name": None}, "name is missing"),
        # An earlier format had `source` instead of `data`.
        ({"data": None, "source": "sklearn:wine"}, "data is missing"),
    ],
)
def test_damaged_file_and_other_format_are_refused(
    tmp_path: Path, changes: dict[str, object], mistake: str
) -> None:
    rewrite(tmp_path, changes)
    with pytest.raises(StudyError, match="must be a definition written by this version") as found:
        Definition.read(tmp_path)
    assert mistake in str(found.value)


def test_settings_of_a_run_may_be_missing(tmp_path: Path) -> None:
    rewrite(tmp_path, {"workers": None, "worker_cpus": None, "device": None})
    assert Definition.read(tmp_path).worker_cpus == 1.0


def rewrite(folder: Path, changes: dict[str, object]) -> None:
    """Write a definition, and change it; None removes a value."""
    kept_in(None).write(folder)
    values = tomllib.loads((folder / "study.toml").read_text()) | changes
    values = {name: value for name, value in values.items() if value is not None}
    (folder / "study.toml").write_text(tomli_w.dumps(values))


def test_definition_is_the_same_after_writing_and_reading(tmp_path: Path) -> None:
    definition = kept_in("sqlite:///a.db")
    (tmp_path / "churn").mkdir()
    definition.write(tmp_path / "churn")
    assert Definition.read(tmp_path / "churn") == definition
