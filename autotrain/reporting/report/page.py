"""The page of a report: facts and figures → one HTML file that needs no other file.

The template is `page.html`, with `page.css` and `page.js`. Jinja escapes every text, because names
of columns and labels are not trusted. The library Plotly is compressed, because it has 5 MB. The
page unpacks it with `DecompressionStream`, which browsers have since 2023. A content security
policy in the page forbids every request.
"""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Mapping, Sequence
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

import plotly.graph_objects as go
import plotly.offline
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from autotrain.reporting.report.facts import ReportFacts
from autotrain.reporting.report.figures import MOST_CURVES
from autotrain.reporting.report.summary import (
    Step,
    certainty_sentences,
    comparison_sentences,
    coverage_sentences,
    found_sentences,
    headline,
    next_steps,
)
from autotrain.reporting.report.trials import FEW_TRIALS
from autotrain.reporting.trial import TrialReport
from autotrain.search.settings import SETTINGS, directory_words
from autotrain.search.storage.urls import hide_password
from autotrain.vocabulary import (
    count_text,
    duration_text,
    numbers_text,
    value_text,
    visible,
)

FOLDER = Path(__file__).parent
MOST_TRIALS = 500
"""Number of trials in the leaderboard."""
SECTIONS = (
    ("answer", "Answer"),
    ("history", "Search"),
    ("leaderboard", "Leaderboard"),
    ("importance", "Hyperparameters"),
    ("techniques", "Techniques"),
    ("gradients", "Gradients"),
    ("pruning", "Pruning"),
    ("test", "Test rows"),
    ("rows", "Single rows"),
    ("columns", "Columns"),
    ("data", "Data"),
    ("reproduce", "Reproduce"),
)
"""Identifiers and titles of the sections, in their order on the page."""
TRIAL_COLUMNS = (
    ("rank", "rank", "number"),
    ("number", "trial", "number"),
    ("score", "score", "number"),
    ("state", "state", "word"),
    ("epochs", "epochs", "number"),
    ("seconds", "time", "number"),
    ("n_parameters", "parameters", "number"),
    ("words", "configuration", "word"),
)
NOT_SHOWN = ("name", "data", "target", "space", "directory")
"""Settings that the page shows elsewhere, or not at all."""


class Cell(NamedTuple):
    """A cell of the leaderboard: its text, and the value that it is sorted by ("" for none)."""

    text: str
    value: str


def page_of(facts: ReportFacts, figures: Mapping[str, go.Figure]) -> str:
    """Return the HTML of a report.

    Args:
        figures: by name; see `figures.FIGURES`.
    """
    environment = Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "visible": lambda text: visible(str(text)),
        "score": lambda value: "–" if value is None else value_text(value),
        "numbers": lambda numbers: numbers_text(numbers, most=20),
    }
    leaderboard = _leaderboard(facts)
    return environment.get_template("page.html").render(
        **{field: getattr(facts, field) for field in facts.__dataclass_fields__}
        | {"techniques": _by_section(facts)},
        created_text=f"{facts.created:%Y-%m-%d %H:%M} UTC",
        definition=facts.definition,
        metric=facts.metric,
        headline=headline(facts),
        found=found_sentences(facts),
        comparison=comparison_sentences(facts),
        certainty=certainty_sentences(facts),
        coverage=coverage_sentences(facts),
        steps=next_steps(facts),
        sections=SECTIONS,
        leaderboard=leaderboard,
        leaderboard_words=_leaderboard_words(facts, len(leaderboard)),
        trial_columns=TRIAL_COLUMNS,
        curves_caption=_curves_caption(facts),
        columns_caption=_columns_caption(facts),
        no_columns=_no_columns(facts),
        few_trials=FEW_TRIALS,
        pruning_sentences=_pruning_sentences(facts),
        where=directory_words(facts.status.folder),
        reproduce=_reproduce(facts),
        settings=_settings(facts),
        heights={name: figure.layout.height for name, figure in figures.items()},
        figures_json=_as_script(figures),
        plotly=_packed_plotly(),
        css=(FOLDER / "page.css").read_text(encoding="utf-8"),
        script=(FOLDER / "page.js").read_text(encoding="utf-8"),
    )


@cache
def _packed_plotly() -> str:
    """Return the library Plotly, compressed and as base64."""
    source = plotly.offline.get_plotlyjs().encode()
    return base64.b64encode(gzip.compress(source, mtime=0)).decode()


def _as_script(figures: Mapping[str, go.Figure]) -> str:
    """Return the figures as JSON that cannot end the script element around it."""
    # The JSON of Plotly has arrays as base64 and NaN as null.
    texts = [f"{json.dumps(name)}: {figure.to_json()}" for name, figure in figures.items()]
    text = "{" + ", ".join(texts) + "}"
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _leaderboard(facts: ReportFacts) -> list[dict[str, Any]]:
    """Return the trials as rows: complete ones by score, then pruned and failed ones."""
    sign = facts.metric.sign
    order = ("complete", "pruned", "failed", "running", "waiting")

    def key(trial: TrialReport) -> tuple[int, bool, float]:
        score = _score_of(trial)
        return order.index(trial.state), score is None, 0.0 if score is None else sign * score

    ranked = sorted(facts.trials, key=key)[:MOST_TRIALS]
    return [_row(trial, rank, facts.status.winner) for rank, trial in enumerate(ranked, 1)]


def _row(trial: TrialReport, rank: int, winner: int | None) -> dict[str, Any]:
    score = _score_of(trial)
    flags = f" ({', '.join(trial.flags).replace('_', ' ')})" if trial.flags else ""
    state = trial.state if trial.cause is None else f"{trial.state}: {trial.cause}"
    return {
        "state_word": trial.state,
        "is_winner": trial.number == winner,
        "rank": _number(rank),
        "number": _number(trial.number),
        "score": Cell("–", "") if score is None else Cell(value_text(score), repr(score)),
        "state": Cell(state.replace("_", " "), state),
        "epochs": _number(trial.epochs),
        "seconds": Cell("–", "")
        if trial.seconds is None
        else Cell(duration_text(trial.seconds), repr(trial.seconds)),
        "n_parameters": _number(trial.n_parameters),
        "words": Cell(f"{trial.words}{flags}", trial.words),
    }


def _score_of(trial: TrialReport) -> float | None:
    """Return the score of a trial: its value, or the end of its curve."""
    if trial.value is not None:
        return trial.value
    return trial.curve[-1][1] if trial.curve else None


def _number(value: int | None) -> Cell:
    return Cell("–", "") if value is None else Cell(f"{value:,}", str(value))


def _leaderboard_words(facts: ReportFacts, n_rows: int) -> str:
    n_trials = len(facts.trials)
    which = "All trials" if n_rows == n_trials else f"The first {n_rows:,} of {n_trials:,} trials"
    winner = (
        "" if facts.winner is None else f" The winning trial, {facts.winner.number}, is marked."
    )
    return (
        f"{which}: complete ones by validation score, then pruned and failed ones with the last "
        f"score of their curve.{winner}"
    )


def _curves_caption(facts: ReportFacts) -> str:
    n_curves = sum(bool(trial.curve) for trial in facts.trials)
    step = -(-n_curves // MOST_CURVES) if n_curves else 1
    some = "" if step == 1 else f" Every {step}th of {n_curves:,} trials is drawn."
    return (
        "Validation score by epoch. A cross marks the epoch at which a trial was pruned. Scores "
        f"outside the best 90 % are cut off.{some}"
    )


def _columns_caption(facts: ReportFacts) -> str:
    found = facts.columns
    if found is None:
        return ""
    return (
        f"How much worse {found.metric} becomes on {count_text(found.n_rows, 'test row')} when the "
        f"cells of a column are shuffled: mean of {count_text(found.n_repeats, 'permutation')}, "
        "with the 95 % interval. Columns that move together are also shuffled as a group. A column "
        "that others can replace has a low importance."
    )


def _no_columns(facts: ReportFacts) -> str:
    if facts.model is None:
        return "The importance of columns needs test rows and a model."
    return (
        "The table has too many columns for their importances in a report. In Python, "
        "Predictor.importances measures them."
    )


def _by_section(facts: ReportFacts) -> list[tuple[str, list[Any]]]:
    grouped = groupby(facts.techniques, key=lambda row: row.section)
    return [(section.replace("_", " "), list(rows)) for section, rows in grouped]


def _pruning_sentences(facts: ReportFacts) -> list[str]:
    pruning = facts.pruning
    if pruning.complete_epochs is None:
        return ["No trial is complete, so nothing can be compared with a complete training."]
    n_pruned = sum(trial.state == "pruned" for trial in facts.trials)
    sentences = [
        f"{count_text(pruning.n_complete, 'trial')} trained to the end, for a median of "
        f"{pruning.complete_epochs:g} epochs. {count_text(n_pruned, 'trial')} "
        f"{'was' if n_pruned == 1 else 'were'} pruned."
    ]
    if pruning.saved_epochs:
        sentences.append(
            f"Pruned trials would have needed about {count_text(pruning.saved_epochs, 'epoch')} "
            f"more to reach that median: {pruning.saved_share:.0%} of all epochs were saved."
        )
    return sentences


def _reproduce(facts: ReportFacts) -> list[Step]:
    """Return the commands that repeat the result, and the seeds."""
    definition, where = facts.definition, directory_words(facts.status.folder)
    steps = [
        Step(
            "The settings, the space and the split are in study.toml in the folder of the study. "
            "This command continues the search with them:",
            f"autotrain resume {definition.name}{where}",
        )
    ]
    if facts.winner is not None:
        command = f"autotrain replay {definition.name} {facts.winner.number}{where}"
        steps.append(Step("Train the winning trial again, and compare the result:", command))
    seeds = f"Seed of the study: {definition.seed}."
    if facts.predictor is not None and "seed" in facts.predictor.bundle.training:
        seeds += f" Seed of the exported training: {facts.predictor.bundle.training['seed']}."
    return [*steps, Step(seeds), Step(f"Fingerprint of the data: {definition.fingerprint}")]


def _settings(facts: ReportFacts) -> list[tuple[str, str]]:
    definition = facts.definition
    found = []
    for name in SETTINGS:
        value = getattr(definition, name)
        if name in NOT_SHOWN or value is None or value == {}:
            continue
        text = hide_password(value) if name == "storage" else str(value)
        found.append((name.replace("_", " "), text))
    limits: Sequence[tuple[str, str]] = (
        ("trials", "" if definition.n_trials is None else f"{definition.n_trials:,}"),
        ("time limit", "" if not definition.timeout_s else duration_text(definition.timeout_s)),
    )
    return [*found, *(limit for limit in limits if limit[1])]
