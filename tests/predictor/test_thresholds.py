"""Decision thresholds: no other threshold is better, by scikit-learn's metrics; wrong goals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

from autotrain.errors import AutotrainError
from autotrain.predictor.thresholds import Goal, Threshold, choose

GOALS = ("cost=1:10", "cost=3:1", "precision=0.7", "recall=0.8", "recall=1")
LEVELS = (0.0, 0.1, 0.25, 0.3, 0.5, 0.75, 0.9, 1.0)
BETWEEN = (0.05, 0.2, 0.28, 0.4, 0.6, 0.8, 0.95)


def rows_of(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    p = generator.beta(0.7, 1.3, n)
    return p, generator.uniform(size=n) < p


def quality(goal: Goal, y: np.ndarray, predicted: np.ndarray, w: np.ndarray) -> tuple[float, ...]:
    """Return what the goal maximizes; the first number is −inf where the goal is not reached."""
    precision = metrics.precision_score(y, predicted, sample_weight=w, zero_division=0)
    recall = metrics.recall_score(y, predicted, sample_weight=w)
    if goal.kind == "cost":
        false = (w * (predicted & ~y)).sum() * goal.amounts[0]
        missed = (w * (y & ~predicted)).sum() * goal.amounts[1]
        return (-(false + missed) / w.sum(),)
    first, second = (precision, recall) if goal.kind == "precision" else (recall, precision)
    return (second, first) if first >= goal.amounts[0] - 1e-9 else (-np.inf,)


@settings(max_examples=20)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(LEVELS),
            st.booleans(),
            st.sampled_from([0.5, 1.0, 3.0]),
        ),
        min_size=2,
        max_size=20,
    ),
    st.sampled_from(GOALS),
)
def test_no_other_threshold_is_better(rows: list[tuple[float, bool, float]], goal: str) -> None:
    p, y, w = (np.array(column) for column in zip(*rows, strict=True))
    wanted = Goal.parse(goal)
    if len(set(y.tolist())) < 2:
        with pytest.raises(AutotrainError, match="threshold must be chosen on rows of both"):
            choose(p, y, w, wanted, "yes")
        return
    others = [quality(wanted, y, p >= t, w) for t in (*BETWEEN, *LEVELS)]
    if max(others)[0] == -np.inf:
        with pytest.raises(AutotrainError, match="precision must be at most"):
            choose(p, y, w, wanted, "yes")
        return
    found = choose(p, y, w, wanted, "yes")
    own = quality(wanted, y, p >= found.value, w)
    assert own == pytest.approx(max(others))
    assert found.metrics["recall"] == pytest.approx(
        metrics.recall_score(y, p >= found.value, sample_weight=w)
    )
    matrix = metrics.confusion_matrix(y, p >= found.value, sample_weight=w)
    assert found.metrics["accuracy"] == pytest.approx(np.trace(matrix) / matrix.sum())
    assert found.metrics["f1"] == pytest.approx(
        metrics.f1_score(y, p >= found.value, sample_weight=w, zero_division=0)
    )
    if wanted.kind == "cost":
        assert found.metrics["cost"] == pytest.approx(-own[0])


@pytest.mark.parametrize(("false", "missed"), [(1, 10), (1, 1), (4, 1)])
def test_cost_of_right_probabilities_is_lowest_at_the_known_fraction(
    false: float, missed: float
) -> None:
    p, y = rows_of(8_000)
    found = choose(p, y, None, Goal("cost", (false, missed)), "yes")
    assert found.interval is not None
    low, high = found.interval
    assert low < false / (false + missed) < high
    assert found.value == pytest.approx(false / (false + missed), abs=0.1)
    ends = found.intervals["cost"]
    assert ends is not None
    cost = found.metrics["cost"]
    assert cost is not None
    assert ends[0] < cost < ends[1]


def test_equal_costs_take_the_threshold_of_right_probabilities() -> None:
    p, y = np.array([0.05, 0.1, 0.8, 0.9]), np.array([False, False, True, True])
    assert choose(p, y, None, Goal.parse("cost=1:3"), "yes").value == 0.25
    # 0.95 is above all rows of the positive class.
    assert choose(p, y, None, Goal.parse("cost=19:1"), "yes").value == pytest.approx(0.45)


def test_weights_count_as_rows() -> None:
    p, y = rows_of(60)
    w = np.random.default_rng(1).integers(0, 4, 60)
    for goal in GOALS:
        weighted = choose(p, y, w.astype(float), Goal.parse(goal), "yes")
        repeated = choose(np.repeat(p, w), np.repeat(y, w), None, Goal.parse(goal), "yes")
        assert weighted.metrics == pytest.approx(repeated.metrics)
        assert (p >= weighted.value)[w > 0].tolist() == (p >= repeated.value)[w > 0].tolist()


def test_interval_contains_the_threshold_of_all_rows() -> None:
    """The threshold of 100,000 rows is in about 95 % of the intervals of 300 rows."""
    goal = Goal.parse("recall=0.8")
    p, y = rows_of(100_000, seed=5)
    wanted = choose(p, y, None, goal, "yes").value
    inside = 0
    for seed in range(30):
        found = choose(*rows_of(300, seed=100 + seed), None, goal, "yes")
        assert found.interval is not None
        inside += found.interval[0] <= wanted <= found.interval[1]
    # With a coverage of 95 %, at least 23 of 30 contain it (four standard errors).
    assert inside >= 23


def test_seed_decides_the_interval_only() -> None:
    p, y = rows_of(200)
    first, same, other = (choose(p, y, None, Goal.parse("cost=1:2"), "yes", s) for s in (0, 0, 1))
    assert first == same
    assert (first.value, first.metrics) == (other.value, other.metrics)
    assert first.intervals != other.intervals


@pytest.mark.parametrize("goal", GOALS)
def test_text_of_a_goal_is_read_again(goal: str) -> None:
    assert Goal.parse(goal).text == goal
    assert Goal.of(**Goal.parse(goal).arguments()) == Goal.parse(goal)


@pytest.mark.parametrize(
    ("text", "parameter"),
    [
        *((text, "threshold") for text in ("", "f1=0.5", "cost", "cost=1", "cost=1:2:3")),
        *((text, "threshold") for text in ("recall=a", "precision=0.5:1", "0,5")),
        *((text, "cost") for text in ("cost=0:1", "cost=1:-1", "cost=inf:1", "cost=nan:1")),
        *(("precision=0", "precision"), ("precision=1.1", "precision"), ("recall=nan", "recall")),
    ],
)
def test_wrong_goal_raises(text: str, parameter: str) -> None:
    with pytest.raises(AutotrainError, match=f"{parameter} must be") as caught:
        Goal.parse(text)
    assert caught.value.parameter == parameter


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "threshold must have one goal .* got none"),
        ({"recall": 0.9, "precision": 0.9}, "got precision, recall"),
        ({"recall": True}, "recall must be greater than 0"),
        ({"cost": 3}, "cost must be positive numbers"),
        ({"cost": {"false_positive": 1}}, "cost must be positive numbers"),
        ({"cost": {"false_positive": 1, "false_negative": "2"}}, "cost must be positive numbers"),
        ({"cost": {"fp": 1, "fn": 2}}, "cost must be positive numbers"),
    ],
)
def test_wrong_arguments_raise(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(AutotrainError, match=message):
        Goal.of(**arguments)


def test_impossible_precision_names_the_highest_one() -> None:
    p, y = np.array([0.9, 0.9, 0.2]), np.array([True, False, False])
    with pytest.raises(AutotrainError, match=r"must be at most 0\.5, the highest") as error:
        choose(p, y, None, Goal.parse("precision=0.6"), "yes")
    assert error.value.parameter == "precision"


def test_threshold_is_written_and_read() -> None:
    found = choose(*rows_of(50), None, Goal.parse("cost=1:2"), "yes")
    assert Threshold.from_json(found.to_json(("no", "yes")), ("no", "yes")) == found
    given = Threshold(0.3, "no")
    assert Threshold.from_json(given.to_json(("no", "yes")), ("no", "yes")) == given
