"""The finals: who is trained again, who wins, and that choosing by mean is the better choice."""

from __future__ import annotations

import math

import numpy as np
import optuna
import pytest
from optuna.trial import TrialState

from autotrain.metrics import METRICS
from autotrain.search.attributes import WINNER
from autotrain.search.finalists import Finalist
from autotrain.search.finals import MOST_REPEATS, Finals
from autotrain.search.winner import Winner, winner_of
from tests.training.problems import make_config

CONFIG = make_config()


def make_finals(
    scores: list[float], n_finalists: int = 4, sizes: list[int] | None = None
) -> Finals:
    finals = Finals(n_finalists)
    for number, score in enumerate(scores):
        size = 100 if sizes is None else sizes[number]
        finals.enter(Finalist(number, score, size, CONFIG))
    return finals


def race(finals: Finals, outcome: dict[int, list[float]]) -> list[tuple[int, int]]:
    """Train whoever is next until nobody is; `outcome` holds each trial's repeats."""
    trained = []
    while (wanted := finals.next()) is not None:
        finalist, repeat = wanted
        trained.append((finalist.number, repeat))
        finals.record(finalist.number, repeat, outcome[finalist.number][repeat - 1], epochs=[7])
    return trained


def test_finalists_are_retrained_in_turns() -> None:
    finals = make_finals([0.42, 0.3, 0.4, 0.9, 0.8, 0.7, 0.6, 0.95, 0.97])
    noise = {1: [0.42, 0.41], 2: [0.39, 0.3], 0: [0.35, 0.35]}
    assert race(finals, noise) == [(1, 1), (2, 1), (0, 1), (1, 2), (2, 2), (0, 2)]


def test_at_most_a_third_of_the_trials_are_finalists() -> None:
    assert [len(make_finals([0.1] * n).finalists()) for n in (1, 3, 5, 6, 9, 12, 50)] == [
        0,
        0,
        0,
        2,
        3,
        4,
        4,
    ]
    assert make_finals([0.1] * 50, n_finalists=0).next() is None
    assert make_finals([0.1] * 50, n_finalists=1).next() is None


def test_too_long_repeat_is_skipped() -> None:
    finals = make_finals([0.1, 0.2, *[0.9] * 4])
    for number, seconds in ((0, 20.0), (1, 3.0)):
        finals.known[number].seconds = seconds
    wanted = finals.next(left_s=5.0)
    assert wanted is not None
    assert wanted[0].number == 1
    assert finals.next(left_s=2.0) is None
    wanted = finals.next(left_s=20.0)
    assert wanted is not None
    assert wanted[0].number == 0


def test_running_repeat_does_not_start_twice() -> None:
    finals = make_finals([0.1, 0.2, *[0.9] * 4])
    running: list[tuple[int, int]] = []
    while (wanted := finals.next(running)) is not None:
        running.append((wanted[0].number, wanted[1]))
    assert running == [(0, 1), (1, 1), (0, 2), (1, 2)]
    # The second one ends first; the first is cut off, and trained by a later run.
    finals.record(0, 2, 0.05, epochs=[30, 20])
    wanted = finals.next([(1, 1), (1, 2)])
    assert wanted is not None
    assert (wanted[0].number, wanted[1]) == (0, 1)
    finals.record(0, 1, 0.3, epochs=[10, 10])
    finals.record(1, 1, 0.4, epochs=[10, 10])
    winner = finals.decide()
    assert winner is not None
    assert (winner.number, winner.repeat, winner.epochs) == (0, 2, (30, 20))
    again = make_finals([0.1, 0.2, *[0.9] * 4])
    again.restore(finals.to_json())
    assert again.decide() == winner


def test_clearly_worse_finalist_drops_out() -> None:
    finals = make_finals([0.1, 0.11, *[0.9] * 4])
    trained = race(finals, {0: [0.1001, 0.1002], 1: [0.1101, 0.1]})
    assert trained == [(0, 1), (1, 1), (0, 2)]


def test_lucky_first_score_does_not_win() -> None:
    """Trial 0 had the best score of all; trained again it is the worst of the four."""
    finals = make_finals([0.20, 0.24, 0.25, 0.26, *[0.5] * 8], sizes=[100] * 12)
    race(finals, {0: [0.30, 0.31], 1: [0.24, 0.25], 2: [0.27, 0.28], 3: [0.28, 0.28]})
    winner = finals.decide()
    assert winner is not None
    assert (winner.number, winner.repeat, winner.epochs, winner.leader) == (1, 0, None, 0)
    gains = [0.10, 0.11, 0.0, 0.01, 0.02, 0.03, 0.02, 0.02]
    loss = sum(gains) / len(gains)
    assert winner.estimate == pytest.approx((0.24 + loss + 0.24 + 0.25) / 3)
    assert winner.gap == pytest.approx(0.005)
    groups = [[0.2, 0.3, 0.31], [0.24, 0.24, 0.25], [0.25, 0.27, 0.28], [0.26, 0.28, 0.28]]
    for group in groups:
        group[0] += loss
    spread = math.sqrt(sum(np.var(g) * 3 for g in groups) / 8)
    assert winner.standard_error == pytest.approx(spread / math.sqrt(3))
    assert winner.seed_std == pytest.approx(spread)
    assert winner.leader_estimate == pytest.approx((0.20 + loss + 0.30 + 0.31) / 3)
    assert not winner.is_smaller


def test_smallest_network_within_one_standard_error_wins() -> None:
    outcome = {0: [0.30, 0.34], 1: [0.31, 0.35]}
    scores = [0.32, 0.33, *[0.9] * 4]
    for sizes, expected in (([100, 50], 1), ([50, 100], 0)):
        finals = make_finals(scores, sizes=[*sizes, 1, 1, 1, 1])
        race(finals, outcome)
        winner = finals.decide()
        assert winner is not None
        assert winner.number == expected
        assert winner.is_smaller == bool(expected)
    # Farther behind than the noise, small or not.
    finals = make_finals(scores, sizes=[100, 50, 1, 1, 1, 1])
    race(finals, {0: [0.300, 0.302], 1: [0.33, 0.332]})
    assert (decided := finals.decide()) is not None
    assert decided.number == 0


def test_training_with_the_best_score_is_exported() -> None:
    finals = make_finals([0.3, 0.31, *[0.9] * 4])
    race(finals, {0: [0.32, 0.29], 1: [0.5, 0.5]})
    winner = finals.decide()
    assert winner is not None
    assert (winner.number, winner.repeat, winner.epochs) == (0, 2, (7,))


def test_diverged_repeat_never_wins() -> None:
    finals = make_finals([0.3, 0.31, *[0.9] * 4])
    trained = race(finals, {0: [math.inf], 1: [0.32, 0.33]})
    assert trained == [(0, 1), (1, 1), (1, 2)]
    winner = finals.decide()
    assert winner is not None
    assert winner.number == 1
    assert winner.leader_estimate is None
    assert winner.estimate == pytest.approx((0.31 + 0.015 + 0.32 + 0.33) / 3)


def test_no_decision_if_all_repeats_diverge() -> None:
    finals = make_finals([0.3, 0.31, *[0.9] * 4], sizes=[100, 50, 1, 1, 1, 1])
    race(finals, {0: [math.inf, math.inf], 1: [math.inf, math.inf]})
    assert finals.decide() is None


def test_lost_repeat_is_ignored_and_retried_by_the_next_run() -> None:
    finals = make_finals([0.3, 0.31, *[0.9] * 4])
    finals.lose(0)
    assert finals.decide() is None
    assert race(finals, {1: [0.32, 0.33]}) == [(1, 1), (1, 2)]
    later = make_finals([0.3, 0.31, *[0.9] * 4])
    later.restore(finals.to_json())
    assert race(later, {0: [0.31, 0.32]}) == [(0, 1), (0, 2)]


def test_direction_follows_the_metric() -> None:
    finals = Finals(4, sign=-1.0)
    for number, value in enumerate([0.9, 0.89, 0.5, 0.5, 0.5, 0.5]):
        finals.enter(Finalist(number, -value, 10, CONFIG))
    race(finals, {0: [-0.8, -0.81], 1: [-0.89, -0.88]})
    winner = finals.decide()
    assert winner is not None
    assert winner.number == 1
    assert 0.8 < winner.estimate < 0.89
    again = Finals(4, sign=-1.0)
    for number, value in enumerate([0.9, 0.89, 0.5, 0.5, 0.5, 0.5]):
        again.enter(Finalist(number, -value, 10, CONFIG))
    again.restore(finals.to_json())
    assert again.decide() == winner
    assert Winner.from_json(winner.to_json()) == winner


def test_no_decision_without_repeats() -> None:
    assert make_finals([0.1, 0.2, *[0.9] * 8]).decide() is None


def test_an_earlier_winner_is_kept_with_its_own_numbers() -> None:
    finals = make_finals([0.30, 0.24, 0.25, 0.26, *[0.5] * 8])
    race(finals, {1: [0.30, 0.31], 2: [0.24, 0.25], 3: [0.27, 0.28], 0: [0.3, 0.3]})
    decided = finals.decide()
    assert decided is not None
    assert decided.kept_over is None
    kept = finals.keep(3, 1, over=decided.number)
    assert kept is not None
    assert (kept.number, kept.repeat, kept.kept_over) == (3, 1, decided.number)
    assert (kept.n_trainings, kept.epochs, kept.leader) == (3, (7,), 1)
    assert kept.estimate > decided.estimate
    assert kept.seed_std == pytest.approx(decided.seed_std)
    assert Winner.from_json(kept.to_json()) == kept
    # What was never trained again has its own score alone; what is not known cannot stay.
    alone = finals.keep(7, 0, over=2)
    assert alone is not None
    assert alone.n_trainings == 1
    assert finals.keep(7, 1, over=2) is None
    assert finals.keep(99, 0, over=2) is None


def test_choice_by_mean_is_better_and_its_estimate_unbiased() -> None:
    """Trials of known quality, seen through noise: the truth is the witness."""
    generator = np.random.default_rng(0)
    by_value, by_mean, optimism, bias = [], [], [], []
    for _ in range(200):
        truth = 1 + 0.02 * generator.random(40)
        own = truth + 0.01 * generator.standard_normal(40)
        finals = make_finals(list(own))
        race(
            finals,
            {n: list(truth[n] + 0.01 * generator.standard_normal(MOST_REPEATS)) for n in range(40)},
        )
        winner = finals.decide()
        assert winner is not None
        by_value.append(truth[own.argmin()])
        by_mean.append(truth[winner.number])
        optimism.append(truth[own.argmin()] - own.min())
        bias.append(truth[winner.number] - winner.estimate)
    assert np.mean(by_mean) < np.mean(by_value)
    assert np.mean(optimism) > 0.01, "without repeats a search promises too much"
    assert 0 < np.mean(bias) < np.mean(optimism) / 2, "the best of four is chosen, too"


def test_better_trial_makes_the_decision_void() -> None:
    def trial(number: int, value: float) -> optuna.trial.FrozenTrial:
        frozen = optuna.trial.create_trial(state=TrialState.COMPLETE, value=value)
        frozen.number = number
        return frozen

    trials = [trial(0, 0.3), trial(1, 0.32)]
    winner = Winner(1, 2, 0.31, 0.01, 3, (12,), 0.0, leader=0)
    found, decided = winner_of(trials, {WINNER: winner.to_json()}, METRICS["log_loss"])
    assert found is trials[1]
    assert decided == winner
    trials.append(trial(2, 0.2))
    assert winner_of(trials, {WINNER: winner.to_json()}, METRICS["log_loss"]) == (trials[2], None)
    assert winner_of(trials, {}, METRICS["log_loss"]) == (trials[2], None)
    assert winner_of([], {}, METRICS["log_loss"]) == (None, None)


def test_record_does_not_depend_on_which_repeat_ended_first() -> None:
    """A resumed search may record the repeats in another order."""
    decisions = []
    for order in ([(1, 1), (1, 2), (2, 1)], [(2, 1), (1, 2), (1, 1)]):
        finals = Finals(3)
        for number in (2, 1, 3, 4, 5, 6, 7, 8, 9):
            finals.enter(Finalist(number, 0.1 * number, 10, make_config()))
        for number, repeat in order:
            finals.record(number, repeat, 0.1 / 3 + 0.07 * number + 0.011 * repeat, [5])
        decisions.append((finals.to_json(), finals.decide()))
    assert decisions[0] == decisions[1]
    assert [(e["trial"], e["repeat"]) for e in decisions[0][0]] == [(1, 1), (1, 2), (2, 1)]
