"""The reason for a choice of model is recorded in its bundle."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from autotrain.bundle import SELECTION, Bundle
from autotrain.bundle.card import model_card
from autotrain.bundle.checking import FieldError, check_fields
from autotrain.bundle.selection import (
    Selection,
    optimism_words,
    reason_words,
    score_words,
    seed_words,
    selection_of,
)
from tests.winners import random_bundle

CHOSEN = Selection(
    trial=4,
    reason="mean",
    n_trials=25,
    n_complete=9,
    best_trial=17,
    best_value=0.0441,
    n_trainings=3,
    mean=0.0513,
    seed_std=0.0047,
    best_mean=0.0602,
)


def bundle_of(selection: Selection | None, *, n_rows: int = 455, error: Any = 0.0092) -> Bundle:
    bundle = random_bundle(n_members=2)
    training = {**bundle.training, "folds": 2}
    if selection is not None:
        training[SELECTION] = selection.to_json()
    return replace(
        bundle,
        training=training,
        data={**bundle.data, "n_validated": n_rows},
        scores={"validation": {"log_loss": 0.0442}, "validation_error": {"log_loss": error}},
    )


def test_selection_is_read_as_it_was_written() -> None:
    assert selection_of(bundle_of(CHOSEN)) == CHOSEN
    assert selection_of(bundle_of(None)) is None


def test_score_comes_with_its_error_over_rows() -> None:
    assert "0.0442 ± 0.0092 (standard error over 455 rows)" in score_words(bundle_of(CHOSEN))
    # Where no row is wrong, an error of 0 would claim certainty.
    for error in (0.0, None):
        assert "±" not in score_words(bundle_of(CHOSEN, error=error))


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({}, ["trial 4", "mean", "trial 17", "0.0441", "0.0602"]),
        ({"reason": "smaller"}, ["trial 4", "smallest", "trial 17"]),
        ({"reason": "value", "trial": 17}, ["trial 17", "best validation score", "9 complete"]),
        ({"reason": "only", "trial": 17}, ["only complete trial"]),
        ({"reason": "instead"}, ["trial 4", "could not be"]),
        ({"reason": "contenders"}, ["two standard errors"]),
        ({"reason": "greedy"}, ["average"]),
    ],
)
def test_reason_names_the_rule(change: dict[str, Any], named: list[str]) -> None:
    selection = replace(CHOSEN, **change)
    words = reason_words(bundle_of(selection), selection)
    assert all(part in words for part in named)
    assert words in model_card(bundle_of(selection)).replace("\n- T", "\n- t")


def test_leader_is_not_named_if_it_won() -> None:
    words = reason_words(bundle_of(CHOSEN), replace(CHOSEN, trial=17))
    assert words.count("trial 17") == 1


def test_values_of_seeds_are_named_by_their_meaning() -> None:
    assert "mean over 3 trainings (seeds): 0.0513" in seed_words(CHOSEN)
    assert "mean over" not in seed_words(replace(CHOSEN, n_trainings=1))
    assert not seed_words(replace(CHOSEN, mean=None, seed_std=None))


def test_optimism_names_epochs_and_the_number_of_trials() -> None:
    words = optimism_words(bundle_of(CHOSEN), CHOSEN)
    assert "455 validation rows" in words
    assert "epoch at which each fold's network stopped" in words
    assert "best of 25 trials" in words
    assert "noticeably" in words
    assert "noticeably" not in optimism_words(bundle_of(CHOSEN, n_rows=50_000), CHOSEN)
    assert "average of all 2 folds' networks" in words
    one = replace(CHOSEN, n_trials=1)
    assert "best of" not in optimism_words(bundle_of(one), one)


@pytest.mark.parametrize(
    "broken", [{"trial": -1}, {"best_value": None}, {"reason": 3}, {"mean": "much"}]
)
def test_contradictory_record_is_refused(broken: dict[str, Any]) -> None:
    record = bundle_of(CHOSEN).to_json()
    check_fields(record)
    record["training"][SELECTION].update(broken)
    with pytest.raises(FieldError):
        check_fields(record)
