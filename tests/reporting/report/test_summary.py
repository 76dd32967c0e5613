"""The sentences of the answer and of the next steps, as a table of facts and decisions."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from autotrain.reporting.report.facts import ReportFacts
from autotrain.reporting.report.summary import (
    certainty_sentences,
    comparison_sentences,
    found_sentences,
    headline,
    next_steps,
)
from autotrain.reporting.report.trials import CauseRow
from autotrain.search.attributes import Cause
from autotrain.vocabulary import value_text


def with_linear(facts: ReportFacts, **changes: Any) -> ReportFacts:
    """Return facts whose linear model has other scores."""
    scores = tuple(
        replace(each, **changes) if each.name == "linear" else each for each in facts.scores
    )
    return replace(facts, scores=scores)


def with_status(facts: ReportFacts, **changes: Any) -> ReportFacts:
    return replace(facts, status=replace(facts.status, **changes))


def with_coverage(facts: ReportFacts, coverage: float) -> ReportFacts:
    assert facts.model is not None
    found = {"prediction_set": {"coverage": coverage, "coverage_error": 0.02, "size": 1.2}}
    return replace(facts, model=replace(facts.model, coverage=found))


def many_diverged(facts: ReportFacts) -> ReportFacts:
    row = CauseRow(Cause.DIVERGED, len(facts.trials), 3)
    return replace(facts, pruning=replace(facts.pruning, rows=(row,)))


def words(facts: ReportFacts) -> str:
    return "\n".join(f"{step.text} {step.command}" for step in next_steps(facts))


def test_answer_has_the_score_and_the_winner(class_facts: ReportFacts) -> None:
    network = class_facts.scores[0]
    assert network.test is not None
    assert value_text(network.test) in headline(class_facts)
    assert class_facts.winner is not None
    assert f"trial is {class_facts.winner.number}" in " ".join(found_sentences(class_facts))
    assert "95 % confidence interval" in " ".join(certainty_sentences(class_facts))


@pytest.mark.parametrize(
    ("gain", "expected"),
    [(0.5, "is better than a linear"), (-0.5, "is worse than"), (0.01, "not clearly different")],
)
def test_comparison_needs_a_clear_difference(
    class_facts: ReportFacts, gain: float, expected: str
) -> None:
    facts = with_linear(class_facts, gain=gain, gain_error=0.1)
    assert expected in comparison_sentences(facts)[0]
    assert ("simpler model" in words(facts)) == (gain < 0.2)


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ("running", "still running"),
        ("stopped", "autotrain resume classified"),
        ("done", "autotrain predict"),
    ],
)
def test_state_of_the_study_decides_the_first_step(
    class_facts: ReportFacts, state: str, expected: str
) -> None:
    text = words(with_status(class_facts, state=state))
    assert expected in text
    assert ("was interrupted" in text) == (state == "stopped")


def test_failures_coverage_and_flags_lead_to_advice(class_facts: ReportFacts) -> None:
    assert "smaller learning rate" in words(many_diverged(class_facts))
    assert "clearly below 90%" in words(with_coverage(class_facts, 0.8))
    assert "clearly below" not in words(with_coverage(class_facts, 0.87))


def test_study_without_a_model_gets_no_predictions(class_facts: ReportFacts) -> None:
    facts = replace(with_status(class_facts, n_complete=0), predictor=None, winner=None, scores=())
    assert headline(facts) == "The study has no model yet."
    assert found_sentences(facts) == ["No trial is complete, so there is no model."]
    assert certainty_sentences(facts) == []
    assert "autotrain predict" not in words(facts)
