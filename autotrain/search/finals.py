"""The finals: the best trials are retrained with other seeds, and the best mean wins.

The best of many results is partly the luckiest. Two trainings that differ only in the seed differ
about as much as good trials do, so the trial with the best single value is often not the best
model, especially in a long search. The finalists are retrained in turns; one that is clearly worse
than the best drops out. This module only computes; the search loop trains.

    loss     δ = mean over all repeats of (repeat − first score of its finalist), at least 0
    estimate of a finalist = mean of (first score + δ, repeats …)
    winner   = the smallest network whose estimate is within one standard error of the best one

Scores: lower is better.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from autotrain.metrics import Metric
from autotrain.search.attributes import IS_EXPORTED, N_PARAMETERS, REPEATS, SECONDS
from autotrain.search.finalists import Finalist, RepeatScore
from autotrain.search.given import config_of
from autotrain.search.record import own_trials
from autotrain.search.winner import Winner
from autotrain.space.search_space import SearchSpace

MOST_REPEATS = 2
BEHIND = 2.0
"""A finalist behind by more than this number of standard errors of the difference drops out."""


class Finals:
    """Records all complete trials, and decides which to retrain and which wins.

    Args:
        n_finalists: number of best trials in the finals; with fewer than two the best trial wins.
        sign: 1 where lower values are better, −1 where higher ones are.
    """

    def __init__(self, n_finalists: int, sign: float = 1.0) -> None:
        self.n_finalists = n_finalists
        self.sign = sign
        self.known: dict[int, Finalist] = {}
        self.lost: set[int] = set()
        self.later: list[Mapping[str, Any]] = []
        """Repeats that an earlier run recorded and that are trained again."""

    def enter(self, finalist: Finalist) -> None:
        """Add a complete trial."""
        self.known[finalist.number] = finalist

    def record(self, number: int, repeat: int, score: float, epochs: Sequence[int]) -> None:
        """Record a finished repeat; an infinite score when it diverged."""
        repeats = self.known[number].repeats | {repeat: RepeatScore.of(score, epochs)}
        # In a fixed order, so that sums do not depend on which one ended first.
        self.known[number].repeats = dict(sorted(repeats.items()))
        self.later = [e for e in self.later if (e["trial"], e["repeat"]) != (number, repeat)]

    def lose(self, number: int) -> None:
        """Record that a finalist's repeat failed; the finalist keeps its other scores.

        It is not retrained in this run. A later run tries it once more.
        """
        self.lost.add(number)

    def to_json(self) -> list[Mapping[str, Any]]:
        """Return the repeats as a study attribute, in the order of their numbers."""
        repeats: list[Mapping[str, Any]] = [
            {
                "trial": finalist.number,
                "repeat": repeat,
                "value": self.sign * score if math.isfinite(score) else None,
                "epochs": list(epochs),
            }
            for finalist in self.known.values()
            for repeat, (score, epochs) in finalist.repeats.items()
        ]
        return sorted([*repeats, *self.later], key=lambda e: (e["trial"], e["repeat"]))

    @property
    def is_behind(self) -> bool:
        """Whether repeats that an earlier run recorded are still to be trained again."""
        return bool(self.later)

    def as_of(
        self, had_ended: Callable[[int], bool], repeats: Sequence[Mapping[str, Any]]
    ) -> Finals:
        """Return the finals as they were at an earlier moment.

        Args:
            had_ended: whether a trial had ended then.
            repeats: the repeats that had ended then, as of `to_json`.
        """
        then = Finals(self.n_finalists, self.sign)
        for finalist in self.known.values():
            if had_ended(finalist.number):
                then.enter(replace(finalist, repeats={}))
        then.restore(repeats)
        known = {(each["trial"], each["repeat"]) for each in repeats}
        then.later = [e for e in self.to_json() if (e["trial"], e["repeat"]) not in known]
        return then

    def restore(self, record: Sequence[Mapping[str, Any]]) -> None:
        """Add the repeats of earlier runs, as written by `to_json`."""
        for entry in record:
            if entry["trial"] in self.known:
                value = entry["value"]
                score = math.inf if value is None else self.sign * value
                self.record(entry["trial"], entry["repeat"], score, entry["epochs"])

    @property
    def n_raced(self) -> int:
        """Number of finalists, at most a third of the complete trials: worse ones could not win."""
        n = min(self.n_finalists, len(self.known) // 3)
        return n if n > 1 else 0

    def finalists(self) -> list[Finalist]:
        """Return the finalists, the best first."""
        return sorted(self.known.values(), key=_rank)[: self.n_raced]

    @property
    def best_seconds(self) -> float:
        """Duration of the best trial in seconds; 0 without finalists."""
        if not self.n_raced:
            return 0.0
        return min(self.known.values(), key=_rank).seconds

    def next(
        self, running: Collection[tuple[int, int]] = (), left_s: float = math.inf
    ) -> tuple[Finalist, int] | None:
        """Return the next finalist to retrain and the number of the repeat; None at the end.

        Args:
            running: (trial, repeat) of every running repeat.
            left_s: remaining seconds; a finalist that takes longer is skipped.
        """
        finalists = self.finalists()
        out = self._behind(finalists) | self.lost
        # All first repeats start before any second one.
        for repeat in range(1, MOST_REPEATS + 1):
            for finalist in finalists:
                is_begun = repeat in finalist.repeats or (finalist.number, repeat) in running
                fits = finalist.seconds <= left_s
                if finalist.number not in out and fits and not is_begun:
                    return finalist, repeat
        return None

    def decide(self) -> Winner | None:
        """Return the winner; None if the trial with the best value wins.

        That is the case without repeats, and when all of them diverged.
        """
        finalists = self.finalists()
        repeated = [f for f in finalists if f.repeats]
        if not repeated:
            return None
        loss = _loss(repeated)
        spread = _spread(finalists, loss)
        first = min(finalists, key=lambda f: f.estimate(loss))
        if not math.isfinite(first.estimate(loss)):
            return None
        margin = first.estimate(loss) + spread / math.sqrt(len(first.scores()))
        # A trial without repeats can win by a clear lead only, not by its small size.
        near = [f for f in repeated if f.estimate(loss) <= margin] or [first]
        winner = min(near, key=lambda f: (f.n_parameters, f.estimate(loss)))
        scored = {0: winner.score, **{n: each.score for n, each in winner.repeats.items()}}
        repeat = min(scored, key=lambda n: (scored[n], n))
        n_trainings = len(scored)
        return Winner(
            number=winner.number,
            repeat=repeat,
            estimate=self.sign * winner.estimate(loss),
            standard_error=spread / math.sqrt(n_trainings),
            n_trainings=n_trainings,
            epochs=winner.repeats[repeat].epochs if repeat else None,
            gap=_gain([winner]),
            leader=finalists[0].number,
            leader_estimate=_finite(self.sign * finalists[0].estimate(loss)),
            is_smaller=winner.number != first.number,
        )

    def keep(self, number: int, repeat: int, over: int) -> Winner | None:
        """Return the decision to keep the winner of an earlier run; None if it is unknown.

        Args:
            number, repeat: the training that the earlier run exported.
            over: number of the trial that would win otherwise.
        """
        kept = self.known.get(number)
        if kept is None or not (repeat == 0 or repeat in kept.repeats):
            return None
        finalists = self.finalists()
        loss = _loss([f for f in finalists if f.repeats])
        spread = _spread(finalists, loss)
        leader = min(self.known.values(), key=_rank)
        n_trainings = 1 + len(kept.repeats)
        return Winner(
            number=number,
            repeat=repeat,
            estimate=self.sign * kept.estimate(loss),
            standard_error=spread / math.sqrt(n_trainings),
            n_trainings=n_trainings,
            epochs=kept.repeats[repeat].epochs if repeat else None,
            gap=_gain([kept]),
            leader=leader.number,
            leader_estimate=_finite(self.sign * leader.estimate(loss)),
            kept_over=over,
        )

    def _behind(self, finalists: Sequence[Finalist]) -> set[int]:
        """Return the numbers of the finalists that have dropped out."""
        repeated = [f for f in finalists if f.repeats]
        if len(repeated) < 2:
            return set()
        loss = _loss(repeated)
        spread = _spread(finalists, loss)
        first = min(repeated, key=lambda f: f.estimate(loss))
        return {
            f.number
            for f in repeated
            if f.estimate(loss) - first.estimate(loss)
            > BEHIND * spread * math.sqrt(1 / len(f.scores()) + 1 / len(first.scores()))
        }


def _rank(finalist: Finalist) -> tuple[float, int]:
    """Return the sort key of finalists; ties are resolved in favor of the earlier trial."""
    return finalist.score, finalist.number


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _gain(repeated: Sequence[Finalist]) -> float:
    """Return the mean difference between the repeats and the first score of their finalist."""
    gains = [
        repeat.score - finalist.score
        for finalist in repeated
        for repeat in finalist.repeats.values()
        if math.isfinite(repeat.score)
    ]
    return sum(gains) / len(gains) if gains else 0.0


def _loss(repeated: Sequence[Finalist]) -> float:
    """Return δ, the mean optimism of the first score of a finalist."""
    return max(_gain(repeated), 0.0)


def _spread(finalists: Sequence[Finalist], loss: float) -> float:
    """Return the standard deviation between trainings of a trial, pooled over the finalists."""
    squares, freedom = 0.0, 0
    for finalist in finalists:
        scores = [score for score in finalist.scores(loss) if math.isfinite(score)]
        mean = sum(scores) / len(scores)
        squares += sum((score - mean) ** 2 for score in scores)
        freedom += len(scores) - 1
    return math.sqrt(squares / freedom) if freedom else 0.0


def finals_of(
    trials: Sequence[FrozenTrial],
    user_attrs: Mapping[str, Any],
    *,
    n_finalists: int,
    metric: Metric,
    space: SearchSpace,
) -> Finals | None:
    """Read the finals of a study from its storage; None for a study without finals.

    Args:
        trials, user_attrs, metric, space: those of the study.
        n_finalists: number of best trials in the finals.
    """
    if not n_finalists:
        return None
    finals = Finals(n_finalists, metric.sign)
    for trial in own_trials(trials, user_attrs):
        if trial.state == TrialState.COMPLETE and trial.value is not None:
            finalist = Finalist(
                number=trial.number,
                score=metric.sign * trial.value,
                n_parameters=trial.user_attrs[N_PARAMETERS],
                config=config_of(trial, space),
                seconds=trial.user_attrs[SECONDS],
            )
            finals.enter(finalist)
    finals.restore(user_attrs.get(REPEATS, []))
    return finals


def is_unfinished(
    finals: Finals | None, user_attrs: Mapping[str, Any], left_s: float = math.inf
) -> bool:
    """Whether repeats or the export of a study are missing.

    Args:
        finals, user_attrs: those of the study.
        left_s: remaining seconds of its budget; longer repeats are not missing.
    """
    repeats = finals is not None and finals.next(left_s=left_s) is not None
    return repeats or user_attrs.get(IS_EXPORTED) is False
