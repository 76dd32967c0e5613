"""Sentences about the facts of a report: the answer, its certainty and the next steps.

Every function is pure. A sentence never contains HTML; names and labels in it are untrusted text,
which the page escapes.
"""

from __future__ import annotations

from typing import NamedTuple

from autotrain.bundle import ENSEMBLE
from autotrain.bundle.selection import (
    optimism_words,
    reason_words,
    score_words,
    seed_words,
    selection_of,
)
from autotrain.network.flags import FLAGS
from autotrain.reporting.report.facts import ReportFacts
from autotrain.reporting.report.model import ALPHA
from autotrain.reporting.report.scores import CONSTANT, LINEAR, NETWORK, Scored
from autotrain.reporting.report.trials import FEW_TRIALS
from autotrain.reporting.status import EMPTY, RUNNING, STOPPED
from autotrain.search.attributes import Cause
from autotrain.search.settings import directory_words
from autotrain.vocabulary import (
    FEW_TEST_ROWS,
    count_text,
    duration_text,
    interval_text,
    shown_path,
    value_text,
)

LATE = 0.8
"""A best trial after this fraction of the trials is a reason to search longer."""
MANY_FAILED = 0.2
"""A larger fraction of failed or diverged trials is a reason to change the space."""
COVERAGE_ERRORS = 2.0
"""A coverage that is lower than promised by this number of standard errors is a warning."""


def headline(facts: ReportFacts) -> str:
    """Return the answer in one sentence."""
    network = scored_named(facts, NETWORK)
    name = facts.metric.name
    if network is None:
        return "The study has no model yet."
    if network.test is None:
        if network.validation is None:
            return f"The model has no defined {name} on the validation rows."
        return f"The model has {name} {value_text(network.validation)} on the validation rows."
    rows = count_text(facts.data.rows["test"], "test row")
    return f"The model has {name} {value_text(network.test)} on {rows} that the search did not use."


def found_sentences(facts: ReportFacts) -> list[str]:
    """Return the sentences about the model that was found."""
    if facts.predictor is None or facts.winner is None:
        return [_no_model(facts)]
    bundle, winner = facts.predictor.bundle, facts.winner
    members = bundle.training.get(ENSEMBLE)
    columns = count_text(len(facts.predictor.column_names), "column")
    what = "a network" if members is None else f"the average of {len(members)} trained networks"
    n_folds = facts.data.n_folds
    folds = f", each trained on {n_folds} folds," if n_folds > 1 else ""
    lines = [
        f"The model predicts {facts.data.target!r} ({facts.data.task}) from {columns}. It is "
        f"{what}{folds} in {_model_path(facts)}.",
        f"The winning trial is {winner.number}: {winner.words}.",
    ]
    selection = selection_of(bundle)
    if selection is not None:
        lines.append(_sentence(reason_words(bundle, selection)))
    status = facts.status
    lines.append(
        f"The study has {count_text(status.n_trials, 'ended trial')} "
        f"({status.n_complete:,} complete, {status.n_pruned:,} pruned, {status.n_failed:,} failed) "
        f"in {duration_text(status.seconds)}."
    )
    return lines


def comparison_sentences(facts: ReportFacts) -> list[str]:
    """Return the sentences that compare the model with simpler ones."""
    linear, constant = scored_named(facts, LINEAR), scored_named(facts, CONSTANT)
    return [
        sentence
        for scored, name in ((linear, "a linear model"), (constant, "a constant prediction"))
        if scored is not None and (sentence := _comparison(scored, name))
    ]


def _comparison(scored: Scored, name: str) -> str:
    if scored.gain is None or scored.gain_error is None:
        return ""
    by = f"{value_text(abs(scored.gain))} ± {value_text(scored.gain_error)}"
    paired = "(standard error of the difference on the same test rows)"
    if scored.verdict == "equal":
        return f"The model is not clearly different from {name}: the difference is {by} {paired}."
    word = "better" if scored.verdict == "better" else "worse"
    return f"The model is {word} than {name} ({scored.words}) by {by} {paired}."


def certainty_sentences(facts: ReportFacts) -> list[str]:
    """Return the sentences about the precision of the scores and of single predictions."""
    if facts.predictor is None:
        return []
    bundle = facts.predictor.bundle
    network = scored_named(facts, NETWORK)
    lines = []
    if network is not None and network.interval is not None:
        low, high = map(value_text, network.interval)
        explained = interval_text(facts.data.rows["test"])
        lines.append(f"Test: {low} to {high}, the {explained}")
    lines.append(f"Validation: {score_words(bundle)}.")
    selection = selection_of(bundle)
    if selection is not None:
        lines += [_sentence(seed_words(selection)), _sentence(optimism_words(bundle, selection))]
    lines += coverage_sentences(facts)
    if not facts.predictor.has_dropout:
        lines.append("The model has no dropout, so it gives no uncertainty estimate for a row.")
    return [line for line in lines if line]


def coverage_sentences(facts: ReportFacts) -> list[str]:
    """Return a sentence about the coverage of each kind of set or interval."""
    if facts.model is None:
        return []
    names = {
        "prediction_set": ("Prediction sets", "classes on average"),
        "interval": ("Intervals of the mixture", "wide on average"),
        "conformal_interval": ("Conformal intervals", "wide on average"),
    }
    return [
        f"{names[name][0]} of 90 % contain the truth of {found['coverage']:.1%} of "
        f"{count_text(facts.model.n_sampled, 'test row')} (standard error "
        f"{found['coverage_error']:.1%}). They are {value_text(found['size'])} {names[name][1]}."
        for name, found in facts.model.coverage.items()
    ]


class Step(NamedTuple):
    """Something to do next.

    Args:
        text: a sentence.
        command: a command of the terminal; may be empty.
    """

    text: str
    command: str = ""


def next_steps(facts: ReportFacts) -> list[Step]:
    """Return the next steps, the most important one first."""
    steps = [
        _unfinished(facts),
        _against_linear(facts),
        _longer(facts),
        _failures(facts),
        *_flags(facts),
        _undercovered(facts),
        _few_rows(facts),
        _no_dropout(facts),
    ]
    if facts.predictor is not None:
        command = f"autotrain predict {_model_path(facts)} DATA --output FILE"
        steps.append(Step("Predict new rows:", command))
    return [step for step in steps if step is not None]


def _unfinished(facts: ReportFacts) -> Step | None:
    state = facts.status.state
    if state == RUNNING:
        return Step("The search is still running. Create the report again when it has ended.")
    if state == STOPPED:
        return Step("The search was interrupted. Continue it:", _resume(facts))
    if state == EMPTY:
        return Step("No trial has ended. Search longer:", f"{_resume(facts)} --timeout 10m")
    return None


def _against_linear(facts: ReportFacts) -> Step | None:
    linear = scored_named(facts, LINEAR)
    if linear is None or linear.verdict not in ("equal", "worse"):
        return None
    return Step(
        f"The network is not clearly better than a {linear.words}. Use the simpler model, search "
        "longer, or add rows and informative columns."
    )


def _longer(facts: ReportFacts) -> Step | None:
    """Return advice to search longer when few trials ended, or the best one was among the last."""
    best, n_ended = facts.status.best, facts.status.n_trials
    if best is None or facts.status.state in (RUNNING, STOPPED) or facts.data.is_fixed:
        return None
    command = f"{_resume(facts)} --timeout 10m"
    if n_ended < FEW_TRIALS:
        return Step(f"The study has only {count_text(n_ended, 'trial')}. Search longer:", command)
    if sum(trial.number < best.number for trial in facts.trials) < LATE * n_ended:
        return None
    return Step(
        f"The best trial, {best.number}, is one of the last, so a longer search may find a better "
        "one:",
        command,
    )


def _failures(facts: ReportFacts) -> Step | None:
    n_trials = len(facts.trials)
    for row in facts.pruning.rows:
        if row.cause in _TO_AVOID and row.n_trials > MANY_FAILED * n_trials:
            n = f"{row.n_trials:,} of {count_text(n_trials, 'trial')}"
            return Step(f"{n} ended early: {row.cause.text}. {row.cause.advice}")
    return None


_TO_AVOID = (Cause.DIVERGED, Cause.OUT_OF_MEMORY, Cause.WORKER_DIED, Cause.GIVEN_UP, Cause.ERROR)


def _flags(facts: ReportFacts) -> list[Step]:
    if facts.winner is None:
        return []
    return [
        Step(f"The winning trial has a diagnostic flag ({FLAGS[name].label}). {sentence}")
        for name, sentence in facts.winner.flags.items()
    ]


def _undercovered(facts: ReportFacts) -> Step | None:
    if facts.model is None:
        return None
    for name in ("prediction_set", "conformal_interval"):
        found = facts.model.coverage.get(name)
        least = 1 - ALPHA
        if found and found["coverage"] < least - COVERAGE_ERRORS * found["coverage_error"]:
            return Step(
                f"The coverage on the test rows, {found['coverage']:.1%}, is clearly below "
                f"{least:.0%}. Check whether the test rows differ from the training rows, for "
                "example in time."
            )
    return None


def _few_rows(facts: ReportFacts) -> Step | None:
    network, n_test = scored_named(facts, NETWORK), facts.data.rows["test"]
    if network is None or network.interval is None or n_test >= FEW_TEST_ROWS:
        return None
    return Step(
        f"There are only {count_text(n_test, 'test row')}, so the interval of the score is wide. "
        "Evaluate the model on more rows:",
        f"autotrain evaluate {_model_path(facts)} DATA",
    )


def _no_dropout(facts: ReportFacts) -> Step | None:
    if facts.predictor is None or facts.predictor.has_dropout:
        return None
    return Step(
        "For an uncertainty estimate of each row, search a space whose [dropout] rate is above 0."
    )


def _resume(facts: ReportFacts) -> str:
    return f"autotrain resume {facts.definition.name}{directory_words(facts.status.folder)}"


def _model_path(facts: ReportFacts) -> str:
    return shown_path(facts.status.folder / "best")


def _no_model(facts: ReportFacts) -> str:
    if facts.status.n_complete == 0:
        return "No trial is complete, so there is no model."
    return (
        f"The model in {_model_path(facts)} is missing or damaged. Write it again: {_resume(facts)}"
    )


def scored_named(facts: ReportFacts, name: str) -> Scored | None:
    """Return the scores of the network or of a simpler model; None if they are missing."""
    return next((each for each in facts.scores if each.name == name), None)


def _sentence(words: str) -> str:
    """Return words as a sentence; "" for no words."""
    return f"{words[0].upper()}{words[1:].rstrip('.')}." if words else ""
