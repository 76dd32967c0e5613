"""Facts about trials: medians, pruning, techniques, layers and importances."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from statistics import median

import numpy as np
import pytest
import scipy.stats

from autotrain.metrics import METRICS
from autotrain.network.flags import Diagnosis
from autotrain.reporting.report.facts import ReportFacts
from autotrain.reporting.report.figures import history
from autotrain.reporting.report.trials import (
    flags_of_trials,
    layers_of,
    median_interval,
    pruning_of,
    techniques_of,
)
from autotrain.reporting.trial import FoldHealth, TrialReport
from autotrain.search.attributes import Cause

TRIAL = TrialReport(
    study="s",
    number=0,
    state="complete",
    metric="log_loss",
    value=0.5,
    words="8-8 elu adam",
    config={"activation": "elu", "optimizer": "adam"},
    cause=Cause.EPOCHS,
    error=None,
    epochs=10,
    best_epoch=9,
    seconds=1.0,
    n_parameters=100,
    curve=((1, 0.7), (2, 0.5)),
    folds=(),
)


@pytest.mark.parametrize("n", [6, 9, 20, 57])
def test_interval_of_a_median_contains_it_at_least_95_percent_of_the_time(n: int) -> None:
    generator = np.random.default_rng(n)
    samples = generator.exponential(size=(4_000, n))
    found = [median_interval(sample) for sample in samples]
    inside = [low <= np.log(2) <= high for low, high in filter(None, found)]
    assert len(inside) == len(samples)
    assert np.mean(inside) >= 0.945
    # The next narrower pair of order statistics does not reach 95 %.
    k = sorted(samples[0]).index(found[0][0]) + 1 if found[0] else 0
    assert 1 - 2 * scipy.stats.binom.cdf(k - 1, n, 0.5) >= 0.95
    assert 1 - 2 * scipy.stats.binom.cdf(k, n, 0.5) < 0.95


def test_few_values_have_no_interval_of_their_median() -> None:
    assert median_interval([]) is None
    assert median_interval([1.0] * 5) is None
    assert median_interval([3.0, 1.0, 2.0, 6.0, 5.0, 4.0]) == (1.0, 6.0)


def test_pruning_counts_epochs_up_to_the_median_of_complete_trials() -> None:
    trials = [
        replace(TRIAL, number=0, epochs=10),
        replace(TRIAL, number=1, epochs=20),
        replace(TRIAL, number=2, epochs=30),
        replace(TRIAL, number=3, state="pruned", cause=Cause.PLATEAU, epochs=5),
        replace(TRIAL, number=4, state="pruned", cause=Cause.RUNG, epochs=25),
        replace(TRIAL, number=5, state="pruned", cause=Cause.PLATEAU, epochs=8),
        replace(TRIAL, number=6, state="failed", cause=Cause.ERROR, epochs=None),
        replace(TRIAL, number=7, state="failed", cause=Cause.NOT_STARTED, epochs=None),
    ]
    found = pruning_of(trials)
    assert found.complete_epochs == 20
    assert found.saved_epochs == (20 - 5) + (20 - 8)
    assert found.n_epochs == 98
    assert found.saved_share == pytest.approx(27 / (27 + 98))
    assert [(row.cause, row.n_trials, row.n_epochs) for row in found.rows] == [
        (Cause.PLATEAU, 2, 13),
        (Cause.RUNG, 1, 25),
        (Cause.ERROR, 1, 0),
    ]


def test_pruning_without_a_complete_trial_saves_nothing() -> None:
    found = pruning_of([replace(TRIAL, state="pruned", cause=Cause.DIVERGED)])
    assert (found.complete_epochs, found.saved_epochs, found.saved_share) == (None, 0, 0.0)
    assert pruning_of([]).saved_share == 0.0


def test_techniques_are_compared_where_trials_differ() -> None:
    trials = [
        replace(TRIAL, number=number, value=value, state=state, config={**TRIAL.config, **config})
        for number, (value, state, config) in enumerate(
            [
                (0.5, "complete", {}),
                (0.3, "complete", {}),
                (0.2, "complete", {"activation": "relu"}),
                (None, "pruned", {"activation": "relu"}),
                (None, "failed", {"activation": "tanh"}),
            ]
        )
    ]
    rows = techniques_of(trials, METRICS["log_loss"])
    assert [(row.section, row.name, row.best, row.median) for row in rows] == [
        ("activation", "relu", 0.2, 0.2),
        ("activation", "elu", 0.3, 0.4),
    ]
    assert (rows[0].n_complete, rows[0].n_pruned) == (1, 1)
    # For a metric to maximize, the best value is the largest and the order is reversed.
    rows = techniques_of(trials, METRICS["accuracy"])
    assert [(row.name, row.best) for row in rows] == [("elu", 0.5), ("relu", 0.2)]


def test_layers_are_those_of_the_fold_with_a_flag_counted_from_the_output() -> None:
    healthy = Diagnosis(loss=1.0, norms=(1.0, 2.0, 4.0))
    vanishing = Diagnosis(loss=1.0, norms=(0.001, 0.5, 1.0))
    trial = replace(TRIAL, folds=(FoldHealth(1, healthy), FoldHealth(2, vanishing)))
    linear = replace(TRIAL, number=1, folds=(FoldHealth(1, Diagnosis(norms=(1.0,))),))
    (line,) = layers_of([trial, linear])
    assert line.number == 0
    assert line.flags == ("vanishing",)
    assert line.ratios == (0.5, 0.001)
    rows = {row.name: row.numbers for row in flags_of_trials([trial, linear])}
    assert rows == {"vanishing": (0,), "exploding": (), "dead_units": (), "saturated": ()}


def test_facts_of_a_search_agree_with_its_trials(class_facts: ReportFacts) -> None:
    facts = class_facts
    counts = Counter(trial.state for trial in facts.trials)
    assert counts["complete"] == facts.status.n_complete == facts.pruning.n_complete
    of_relu = [
        trial.value
        for trial in facts.trials
        if trial.config["activation"] == "relu" and trial.state == "complete"
    ]
    row = next((row for row in facts.techniques if row.name == "relu"), None)
    if of_relu:
        assert row is not None
        assert row.median == median(value for value in of_relu if value is not None)
    assert facts.winner is not None
    assert facts.winner.number == facts.status.winner
    assert sum(facts.importances.values.values()) == pytest.approx(1.0)
    assert facts.importances.n_trials == counts["complete"]
    assert not facts.importances.is_reliable


def test_history_is_the_running_best(class_facts: ReportFacts, number_facts: ReportFacts) -> None:
    for facts in (class_facts, number_facts):
        figure = history(facts)
        assert figure is not None
        points, line = figure.data
        best = [min(points.y[: place + 1]) for place in range(len(points.y))]
        assert list(line.y) == best
        assert list(points.x) == [t.number for t in facts.trials if t.state == "complete"]
