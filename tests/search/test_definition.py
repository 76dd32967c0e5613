"""Definitions: the storage of a study with any password, the file `study.toml`."""

from __future__ import annotations

from pathlib import Path

import pytest

from autotrain.errors import StudyError
from autotrain.search.definition import Definition
from autotrain.search.opening import storage_of


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
