"""The pruning rule: hand-worked examples, and what must hold for any curves."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from autotrain.errors import StudyError
from autotrain.search.pruning.plateaus import Event, History, PlateauRule, decide, quantile, rule_of

RULE = PlateauRule(patience=2, n_startup=2, grace=2, max_plateaus=3)

# Few different values, so that ties and plateaus are common.
scores = st.one_of(st.integers(0, 8).map(lambda n: n / 8), st.floats(0, 1))
curves = st.lists(scores, min_size=1, max_size=15)
rules = st.builds(
    PlateauRule,
    patience=st.integers(1, 4),
    min_delta=st.sampled_from([0.0, 0.1]),
    quantile=st.sampled_from([0.0, 0.3, 0.5, 1.0]),
    n_startup=st.integers(1, 4),
    grace=st.integers(0, 4),
    max_plateaus=st.sampled_from([0, 2, 4]),
    rung_base=st.sampled_from([0, 2, 3]),
)


def trained(rule: PlateauRule, curve: Sequence[float], ended: bool = False) -> History:
    history = History(rule)
    for score in curve:
        history.record(score)
    if ended:
        history.end()
    return history


def at_plateau(value: float, rule: PlateauRule = RULE) -> History:
    """A trial whose first plateau, with best score `value`, ends with its last epoch."""
    return trained(rule, [value] * (rule.patience + 1))


def test_plateau_is_patience_epochs_without_improvement() -> None:
    history = History(RULE)
    events = [history.record(score) for score in [0.9, 0.8, 0.8, 0.85, 0.7, 0.7, 0.7, 0.7, 0.7]]
    first, second, third = (Event("plateau", i, value) for i, value in enumerate([0.8, 0.7, 0.7]))
    assert events == [None, None, None, first, None, None, second, None, third]
    assert history.plateaus == [0.8, 0.7, 0.7]


@pytest.mark.parametrize("patience", [1, 2, 5])
@pytest.mark.parametrize("min_delta", [0.0, 0.02])
def test_plateaus_equal_those_of_reduce_lr_on_plateau(patience: int, min_delta: float) -> None:
    rng = np.random.default_rng(0)
    falling = np.exp(-np.arange(120) / 25)
    n_plateaus = 0
    for curve in (falling, falling + rng.normal(0, 0.05, 120), np.full(120, math.nan)):
        optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
        schedule = torch.optim.lr_scheduler.ReduceLROnPlateau(
            optimizer,
            factor=0.9,
            patience=patience - 1,
            threshold=min_delta,
            threshold_mode="abs",
            eps=0.0,
        )
        history = History(PlateauRule(patience=patience, min_delta=min_delta))
        for loss in curve:
            before = optimizer.param_groups[0]["lr"]
            schedule.step(float(loss))
            dropped = optimizer.param_groups[0]["lr"] < before
            assert (history.record(float(loss)) is not None) == dropped
        n_plateaus += len(history.plateaus)
    assert n_plateaus > 20


def test_loss_makes_plateaus_and_score_is_compared() -> None:
    history = History(RULE)
    for loss, score in [(1.0, 0.5), (1.0, 0.4), (1.0, 0.3)]:
        history.record(score, loss=loss)
    assert history.plateaus == [0.3]


def test_plateaus_use_the_patience_of_the_trial() -> None:
    history = History(RULE, patience=4, min_delta=0.1)
    events = [history.record(score) for score in [0.9, 0.85, 0.84, 0.82, 0.81, 0.7]]
    assert [event is not None for event in events] == [False] * 4 + [True, False]


def test_worse_than_the_median_at_the_same_plateau_is_pruned() -> None:
    others = [at_plateau(value) for value in (0.1, 0.3, 0.5)]
    assert decide(at_plateau(0.3), others).kind == "continue"
    decision = decide(at_plateau(0.31), others)
    assert (decision.kind, decision.cause) == ("prune", "plateau")
    assert decision.detail == "rank 3 of 4 at plateau 1, worse than the 0.5 quantile of the others"


def test_no_decision_between_plateaus() -> None:
    others = [at_plateau(value) for value in (0.1, 0.2, 0.3)]
    assert decide(trained(RULE, [0.9, 0.9]), others).kind == "continue"
    assert decide(trained(RULE, [0.9, 0.9, 0.9, 0.9]), others).kind == "continue"


def test_slow_trial_is_compared_at_first_plateaus() -> None:
    # The others were at 0.5 at their first plateau and are at 0.1 now.
    others = [trained(RULE, [0.5, 0.5, 0.5, 0.1, 0.1, 0.1]) for _ in range(3)]
    slow = trained(RULE, [*np.linspace(0.9, 0.45, 20), 0.45, 0.45])
    assert slow.event == Event("plateau", 0, 0.45)
    assert decide(slow, others).kind == "continue"


def test_last_value_is_carried_forward_for_ended_trials_only() -> None:
    curve = [0.5, 0.5, 0.5, 0.4]
    mine = trained(RULE, [0.6, 0.6, 0.6, 0.45, 0.45, 0.45])
    assert mine.event == Event("plateau", 1, 0.45)
    assert decide(mine, [trained(RULE, curve, ended=True)] * 2).kind == "prune"
    assert decide(mine, [trained(RULE, curve)] * 2).kind == "continue"


def test_diverged_others_count_as_worst() -> None:
    good, diverged = at_plateau(0.1), at_plateau(0.05)
    diverged.end(diverged=True)
    assert decide(at_plateau(0.3), [good, good, diverged]).kind == "prune"
    assert decide(at_plateau(0.3), [good, diverged, diverged]).kind == "continue"
    assert decide(trained(RULE, [math.nan] * 2), [good, good, diverged]).kind == "prune"


def test_trials_without_an_epoch_are_not_comparable() -> None:
    assert trained(RULE, [], ended=True).worth("plateau", 0) is None


def test_nothing_is_pruned_before_n_startup_are_comparable() -> None:
    rule = replace(RULE, n_startup=4)
    others = [at_plateau(0.1, rule)] * 3 + [trained(rule, [0.1])]
    assert decide(at_plateau(0.9, rule), others).kind == "continue"
    assert decide(at_plateau(0.9, rule), [*others, at_plateau(0.1, rule)]).kind == "prune"


@pytest.mark.parametrize(
    ("epochs_since_drop", "kind"), [(0, "continue"), (1, "continue"), (2, "prune")]
)
def test_grace_protects_epochs_at_a_dropped_rate(epochs_since_drop: int, kind: str) -> None:
    rule = replace(RULE, grace=2, patience=4)
    history = History(rule)
    for epoch in range(5):
        history.record(0.9, lr_dropped=epoch == 4 - epochs_since_drop)
    assert history.event is not None
    assert decide(history, [at_plateau(0.1, rule)] * 3).kind == kind


@pytest.mark.parametrize(
    ("high_rate", "share", "kind"),
    [
        (0.5, 0.0, "prune"),
        (0.5, 0.5, "prune"),
        (0.5, 0.51, "continue"),
        (0.5, 1.0, "continue"),
        (1.0, 1.0, "prune"),
        (0.0, 0.01, "continue"),
    ],
)
def test_annealing_trial_is_not_pruned_at_a_high_rate(
    high_rate: float, share: float, kind: str
) -> None:
    rule = replace(RULE, high_rate=high_rate)
    others = [at_plateau(0.1, rule)] * 3
    history = at_plateau(0.9, rule)
    history.lr_share = share
    assert decide(history, others).kind == kind


def test_high_learning_rate_prevents_pruning_at_plateaus_only() -> None:
    rule = PlateauRule(patience=9, n_startup=1, rung_base=2)
    good, bad = History(rule), History(rule)
    for score in (0.2, 0.1):
        good.record(score, lr_share=1.0)
        bad.record(score + 0.5, lr_share=1.0)
    assert decide(bad, [good]).cause == "rung"


def test_converged_trial_is_not_pruned() -> None:
    others = [trained(RULE, [0.1] * 7, ended=True)] * 3
    history = trained(RULE, [0.9] * 7)
    assert history.event == Event("plateau", 2, 0.9, converged=True)
    decision = decide(history, others)
    assert (decision.kind, decision.cause) == ("converged", "plateau")


@pytest.mark.parametrize(
    ("losses", "max_plateaus", "min_delta", "lowest_from", "converges_at"),
    [
        # A plateau is two epochs without improvement; the first epoch is an improvement.
        ([0.9] * 12, 3, 0.0, None, 7),
        ([0.9] * 12, 1, 0.0, None, 3),
        ([0.9] * 12, 0, 0.0, None, None),
        # An improvement after a drop: it helped, and two more drops are tried.
        ([0.9, 0.9, 0.9, 0.8, 0.8, 0.8, 0.8, 0.8, 0.8, 0.8], 3, 0.0, None, 10),
        ([0.9, 0.9, 0.9, 0.9, 0.9, 0.8, *[0.8] * 8], 3, 0.0, None, 12),
        # Every drop helps: there is no limit to their number.
        ([x / 100 for x in range(99, 60, -1) for _ in range(3)], 3, 0.0, None, None),
        # Improvements too small to count are none.
        ([x / 100 for x in range(99, 60, -1)], 3, 0.5, None, 7),
        ([x / 100 for x in range(99, 60, -1)], 3, 0.0, None, None),
        # The rate cannot fall any more: the first plateau at the lowest one is the last.
        ([0.9] * 12, 3, 0.0, 1, 3),
        ([0.9] * 12, 3, 0.0, 4, 5),
        ([0.9] * 12, 0, 0.0, 6, 7),
        # What still improves at the lowest rate goes on.
        ([x / 100 for x in range(99, 60, -1)], 3, 0.0, 1, None),
        # Worse is no improvement.
        ([0.5, *(x / 10 for x in range(6, 20))], 2, 0.0, None, 5),
    ],
)
def test_converged_when_another_drop_would_not_help(
    losses: list[float],
    max_plateaus: int,
    min_delta: float,
    lowest_from: int | None,
    converges_at: int | None,
) -> None:
    history = History(PlateauRule(patience=2, min_delta=min_delta, max_plateaus=max_plateaus))
    converged = None
    for epoch, loss in enumerate(losses, 1):
        lowest = lowest_from is not None and epoch >= lowest_from
        history.record(0.5, loss=loss, lr_lowest=lowest)
        if decide(history, []).kind == "converged":
            converged = epoch
            break
    assert converged == converges_at


def test_first_plateau_at_the_lowest_rate_is_the_last() -> None:
    """A trainer that drops at each plateau ends with the one at `min_lr`, none before."""
    history, rate, rates = History(PlateauRule(patience=2, max_plateaus=9)), 1.0, []
    while not (history.event is not None and history.event.converged):
        rates.append(rate)
        if history.record(0.5, lr_lowest=rate <= 0.25) is not None:
            rate = max(rate / 2, 0.25)
    assert rates == [1.0] * 3 + [0.5] * 2 + [0.25] * 2


def test_trials_that_never_plateau_meet_rungs_on_samples_seen() -> None:
    rule = replace(RULE, rung_base=100, rung_quantile=0.5)
    falling = [0.9, 0.8, 0.7, 0.6]

    def seen(curve: Sequence[float], samples: int) -> History:
        history = History(rule)
        for epoch, score in enumerate(curve):
            history.record(score, samples_seen=samples * (epoch + 1))
        return history

    # Rungs at 100, 200, 400 samples; an epoch may jump over one.
    assert seen(falling, 50).rungs == [0.8, 0.6]
    assert seen(falling, 100).rungs == [0.9, 0.8, 0.6]
    assert seen(falling[:1], 300).rungs == [0.9, 0.9]
    others = [seen([0.5, 0.4], 50), seen([0.5], 100), seen([0.5], 99)]
    mine = seen([0.6, 0.55], 50)
    assert mine.event == Event("rung", 0, 0.55)
    assert decide(mine, others).cause == "rung"
    assert decide(mine, [*others[:1], *others[2:]]).kind == "continue"  # one is not there yet


def test_no_rungs_after_the_first_plateau() -> None:
    rule = replace(RULE, rung_base=4)
    history = trained(rule, [0.9, 0.9, 0.9, 0.8])
    assert history.rungs == [0.8]
    assert history.event is None


def test_rungs_are_laxer_than_plateaus() -> None:
    rule = PlateauRule(n_startup=1, rung_base=1)
    others = [trained(rule, [value]) for value in (0.1, 0.2, 0.3, 0.6, 0.9)]
    worst_that_stays = quantile([0.1, 0.2, 0.3, 0.6, 0.9], rule.rung_quantile)
    assert worst_that_stays > 0.3
    assert decide(trained(rule, [worst_that_stays]), others).kind == "continue"
    assert decide(trained(rule, [worst_that_stays + 0.01]), others).kind == "prune"


@settings(max_examples=60)
@given(rules, curves, st.lists(st.tuples(curves, st.booleans()), max_size=6), st.randoms())
def test_order_of_others_does_not_matter(rule, curve, others, random) -> None:  # type: ignore[no-untyped-def]
    history = trained(rule, curve)
    histories = [trained(rule, *other) for other in others]
    shuffled = random.sample(histories, len(histories))
    assert decide(history, histories) == decide(history, shuffled)


@settings(max_examples=60)
@given(rules, curves, st.lists(st.tuples(curves, st.booleans()), max_size=6))
def test_best_so_far_is_never_pruned(
    rule: PlateauRule, curve: list[float], others: list[tuple[list[float], bool]]
) -> None:
    history = trained(rule, curve)
    histories = [trained(rule, *other) for other in others]
    decision = decide(history, histories)
    if decision.kind == "prune":
        assert history.event is not None
        worths = [other.worth(history.event.kind, history.event.level) for other in histories]
        assert any(worth is not None and worth < history.best for worth in worths)


@settings(max_examples=60)
@given(rules, curves, curves, st.lists(st.tuples(curves, st.booleans()), max_size=6))
def test_better_is_never_pruned_where_worse_survives(
    rule: PlateauRule, losses: list[float], gains: list[float], others: list
) -> None:
    worse, better = History(rule), History(rule)
    for epoch, loss in enumerate(losses):  # the same losses: the same plateaus
        worse.record(loss, loss=loss)
        better.record(loss - gains[epoch % len(gains)], loss=loss)
    histories = [trained(rule, *other) for other in others]
    if decide(worse, histories).kind == "continue":
        assert decide(better, histories).kind == "continue"


@settings(max_examples=60)
@given(rules, curves, st.lists(st.tuples(curves, st.booleans()), max_size=3))
def test_too_few_others_prune_nothing(rule: PlateauRule, curve: list[float], others: list) -> None:
    rule = replace(rule, n_startup=4)
    assert decide(trained(rule, curve), [trained(rule, *o) for o in others]).kind != "prune"


@settings(max_examples=60)
@given(rules, st.lists(st.tuples(scores, st.booleans()), min_size=1, max_size=30))
def test_never_pruned_within_grace(rule: PlateauRule, epochs: list[tuple[float, bool]]) -> None:
    others = [at_plateau(-1.0, rule)] * 5
    for other in others:
        other.end()
    history = History(rule)
    for epoch, (score, dropped) in enumerate(epochs):
        history.record(score, lr_dropped=dropped)
        recent = epochs[max(0, epoch + 1 - rule.grace) : epoch + 1]
        if any(dropped for _, dropped in recent):
            assert decide(history, others).kind != "prune"


@given(rules, curves, curves, st.sampled_from(["running", "ended", "diverged"]))
def test_history_continues_after_json(
    rule: PlateauRule, curve: list[float], rest: list[float], state: str
) -> None:
    history = trained(rule, curve)
    if state != "running":
        history.end(diverged=state == "diverged")
    text = json.dumps(history.to_json(), allow_nan=False)
    again = History.from_json(rule, json.loads(text))
    assert again.to_json() == history.to_json()
    # What has ended trains no more.
    for score in rest if state == "running" else []:
        assert again.record(score) == history.record(score)
    assert again.to_json() == history.to_json()
    for level in range(3):
        assert again.worth("plateau", level) == history.worth("plateau", level)
        assert again.worth("rung", level) == history.worth("rung", level)


def test_history_without_a_finite_score_is_json() -> None:
    history = trained(RULE, [math.nan, math.inf, -math.inf])
    assert history.best == math.inf
    again = History.from_json(RULE, json.loads(json.dumps(history.to_json(), allow_nan=False)))
    assert again.best == math.inf
    assert again.plateaus == history.plateaus


@given(st.lists(st.floats(-1e6, 1e6), min_size=1), st.floats(0, 1))
def test_quantile_is_numpys(values: list[float], q: float) -> None:
    assert quantile(sorted(values), q) == pytest.approx(np.quantile(values, q), abs=1e-6)


def test_quantile_with_infinity() -> None:
    assert quantile([1.0, math.inf, math.inf], 0.0) == 1.0
    assert quantile([1.0, math.inf], 0.1) == math.inf
    assert quantile([1.0, math.inf, math.inf], 0.75) == math.inf


def test_invalid_rule_lists_all_mistakes() -> None:
    with pytest.raises(StudyError) as caught:
        PlateauRule(patience=0, quantile=1.5, rung_base=-1)
    assert all(name in str(caught.value) for name in ("patience", "quantile", "rung_base"))


def test_defaults_of_rule_and_options_are_the_same() -> None:
    assert rule_of({}, 100) == PlateauRule(rung_base=1600)
    changed = rule_of({"first_rung": 4, "quantile": 0.4, "max_plateaus": 0}, 100)
    assert changed == PlateauRule(rung_base=400, quantile=0.4, max_plateaus=0)
    assert rule_of({"first_rung": 0}, 100) == PlateauRule()
