"""`autotrain evaluate`: score a model on rows whose target is known."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from autotrain.cli.bundles import bundle_argument, find_bundle, rows_to_predict
from autotrain.cli.deciding import decided
from autotrain.cli.options import (
    data_argument,
    directory_option,
    json_option,
    positive_option,
    quiet_option,
    sampling_options,
    threshold_option,
)
from autotrain.cli.printing import columns, note, print_json, say
from autotrain.cli.reading import reading_asked, reading_options
from autotrain.vocabulary import count_text, interval_text, value_text

ANSWERS = {
    "prediction_set": ("prediction sets", "mean size {} classes"),
    "interval": ("intervals of the mixture", "mean width {}"),
    "conformal_interval": ("conformal intervals", "mean width {}"),
}

MOST_CLASSES = 12
"""A confusion matrix of more classes does not fit into a terminal."""


@click.command(short_help="Score a model on rows whose target is known.")
@bundle_argument
@data_argument
@sampling_options
@positive_option
@threshold_option
@click.option(
    "--importances",
    "with_importances",
    is_flag=True,
    help="Also print how much each column matters (permutation importance).",
)
@reading_options
@directory_option
@json_option
@quiet_option
def evaluate(
    bundle: str,
    data: str,
    samples: int,
    alpha: float,
    per_class: bool,
    seed: int,
    positive: str | None,
    threshold: str | None,
    with_importances: bool,
    directory: str,
    as_json: bool,
    quiet: bool,
    **options: Any,
) -> None:
    """Score BUNDLE, a bundle's folder or the name of a study, on the rows of DATA.

    If DATA has its own test split (for example an image folder), that split is used. The table has
    every metric of the task with dropout off, with Monte-Carlo dropout and, for classes, with
    calibrated probabilities. For classes, the confusion matrix follows. If the model was trained
    with a column of sample weights and DATA has it, the scores are weighted.
    """
    from autotrain.data.files import read_table
    from autotrain.data.labelled import target_of
    from autotrain.predictor import load

    predictor = load(find_bundle(bundle, Path(directory)))
    table = read_table(data, predictor.reading.given(reading_asked(options)))
    target = target_of(table, predictor.target)
    notices: list[str] = list(table.notes)
    predictor = decided(predictor, threshold, positive, notices)
    frame = rows_to_predict(table, notices, target)
    features, name, weights = frame.drop(columns=target), predictor.weights_name, None
    if name is not None and name in features:
        weights = features.pop(name)
        notices.append(f"scores are weighted by column {name!r}")
    elif name is not None:
        notices.append(f"scores are not weighted, because column {name!r} is missing")
    result = predictor.evaluate(
        features,
        frame[target],
        n_samples=samples,
        alpha=alpha,
        seed=seed,
        per_class=per_class,
        weights=weights,
        positive=positive,
        interval=True,
        notices=notices,
    )
    if with_importances:
        found = predictor.importances(features, frame[target], seed=seed, weights=weights)
        result["importances"] = {
            "metric": found.metric,
            "score": found.score,
            "n_repeats": found.n_repeats,
            "columns": [
                {"columns": group, "drop": drop, "standard_error": error, "interval": interval}
                for group, drop, error, interval in zip(
                    found.columns, found.drop, found.standard_error, found.interval, strict=True
                )
            ],
        }
    if result["n_dropped"]:
        rows = count_text(result["n_dropped"], "row")
        notices.append(f"left out {rows} without a value of {target!r}")
    for notice in notices:
        note(f"Note: {notice}", quiet=quiet)
    if as_json:
        print_json({"bundle": bundle, "data": data, "target": target, **result, "notes": notices})
    else:
        say("\n".join(side_by_side(result)))
        if with_importances:
            say("\n".join(["", *importances_table(result["importances"])]))


def side_by_side(result: dict[str, Any]) -> list[str]:
    """Return the scores as a table with one line per metric."""
    monte_carlo = result["monte_carlo"]
    sides = {"dropout off": result["deterministic"]}
    if result["calibrated"] is not None:
        sides["calibrated"] = result["calibrated"]
    if monte_carlo is not None:
        sides[f"Monte-Carlo, {count_text(result['n_samples'], 'sample')}"] = monte_carlo
    if result["monte_carlo_calibrated"] is not None:
        sides["calibrated Monte-Carlo"] = result["monte_carlo_calibrated"]
    if result["threshold"] is not None:
        sides[f"threshold {result['threshold']['value']:.4g}"] = result["threshold"]["metrics"]
    rows = [[count_text(result["n_rows"], "row"), *sides]]
    rows += [
        [name, *(_score(scores[name]) if name in scores else "" for scores in sides.values())]
        for name in result["deterministic"]
    ]
    lines = columns(rows, right=range(1, len(sides) + 1))
    lines += _confusion(result)
    if result["interval"] is not None:
        low, high = map(_score, result["interval"])
        lines.append(f"{result['metric']} with dropout off: {low} to {high}")
        lines.append(interval_text(result["n_rows"]))
    for name, found in result["coverage"].items():
        what, of_size = ANSWERS[name]
        share = f"{found['coverage']:.1%} ± {found['coverage_error']:.1%}"
        lines.append(
            f"{what} of {1 - result['alpha']:.4g}: contain the truth of {share} of the rows; "
            f"{of_size.format(value_text(found['size']))}"
        )
    if result["coverage"]:
        lines.append("± is one standard error.")
    if monte_carlo is None:
        lines.append("The model has no dropout, so there are no Monte-Carlo scores.")
    return lines


def _confusion(result: dict[str, Any]) -> list[str]:
    """Return the confusion matrix as lines; an empty list for a regression."""
    matrix, classes = result["confusion_matrix"], result["classes"]
    if matrix is None:
        return []
    if len(classes) > MOST_CLASSES:
        return [f"--json has the confusion matrix of the {len(classes)} classes."]
    lines = ["Confusion matrix: one line per true class, one column per predicted class"]
    rows = [["", *map(str, classes)]]
    rows += [
        [str(label), *(f"{count:,.6g}" for count in counts)]
        for label, counts in zip(classes, matrix, strict=True)
    ]
    lines += columns(rows, right=range(1, len(classes) + 1))
    if result["positive"] is not None:
        lines.append(
            "precision, recall, specificity, f1 and average_precision are those of class "
            f"{result['positive']}."
        )
    return lines


def importances_table(found: dict[str, Any]) -> list[str]:
    """Return the importances as a table with one line per column or group of columns."""
    rows = [["column", f"drop of {found['metric']}", "95 % interval"]]
    rows += [
        [
            shortened(each["columns"]),
            value_text(each["drop"]),
            " to ".join(value_text(end) for end in each["interval"]),
        ]
        for each in found["columns"]
    ]
    return [
        *columns(rows, right=(1, 2)),
        f"The drop is how much worse {found['metric']} is when the cells of the column are "
        f"shuffled between the rows, the mean of {count_text(found['n_repeats'], 'permutation')}.",
    ]


def shortened(names: Sequence[str], most: int = 3) -> str:
    """Return the names of a group of columns joined by " + ", without those after the first few."""
    shown = " + ".join(names[:most])
    return shown if len(names) <= most else f"{shown} + {len(names) - most} more"


def _score(value: float | None) -> str:
    return "not defined" if value is None else value_text(value)
