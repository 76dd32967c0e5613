"""One trial as text: its configuration, learning curve and diagnostics."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from autotrain.cli.printing import columns, fields
from autotrain.vocabulary import duration_text, value_text

if TYPE_CHECKING:
    from autotrain.reporting.trial import FoldHealth, TrialReport

MOST_POINTS = 12
"""Largest number of printed points of a learning curve."""


def trial_lines(report: TrialReport) -> list[str]:
    """Return a trial's state, configuration, learning curve and diagnostics as lines."""
    value = "" if report.value is None else f"{report.metric} {value_text(report.value)}"
    ending = "" if report.ending is None else f": {report.ending}"
    best = "" if report.best_epoch is None else f", best epoch {report.best_epoch}"
    lines = fields(
        [
            ("Trial", f"{report.number} of study {report.study}"),
            ("State", f"{report.state}{ending}"),
            ("Value", value),
            ("Epochs", "" if report.epochs is None else f"{report.epochs}{best}"),
            ("Time", "" if report.seconds is None else duration_text(report.seconds)),
            ("Size", "" if not report.n_parameters else f"{report.n_parameters:,} parameters"),
            ("Flags", ", ".join(report.flags) or ("none" if report.folds else "")),
        ]
    )
    if report.config:
        lines += ["", f"Configuration: {report.words}"]
        lines += fields([(k, param_text(v)) for k, v in report.config.items()], indent="  ")
    if report.curve:
        rows = [["epoch", report.metric]]
        rows += [[str(epoch), value_text(value)] for epoch, value in _thinned(report.curve)]
        lines += ["", "Learning curve, on validation rows:", *columns(rows, right=(0, 1))]
    for fold in report.folds:
        lines += ["", *_health(fold)]
    if report.flags:
        lines += ["", *fields(list(report.flags.items()))]
    if report.error:
        lines += ["", report.error.rstrip()]
    return lines


def _health(health: FoldHealth) -> list[str]:
    """Return a fold's losses and, layer by layer, its gradient norms and units."""
    from autotrain.reporting.trial import explosion_text

    found = health.to_json()
    start, last = _norm(found["start_loss"]), _norm(found["loss"])
    lines = [
        f"Fold {health.fold}: training loss {start} at the first step, {last} in the last epoch"
    ]
    if found["explosion"]:
        lines.append(f"First explosion: {explosion_text(health.diagnosis)}")
    header = ["layer", "gradient norm: first step", "last epoch", "/ output layer's"]
    units = [
        (word, title)
        for word, title in (("dead_units", "dead units"), ("saturated", "saturated outputs"))
        if any(layer[word] is not None for layer in found["layers"])
    ]
    rows = [[*header, *(title for _, title in units)]]
    for layer in found["layers"]:
        numbers = [_norm(layer[key]) for key in ("start_norm", "norm", "ratio")]
        shares = [f"{layer[w]:.0%}" if layer[w] is not None else "" for w, _ in units]
        rows.append([str(layer["layer"]), *numbers, *shares])
    return [*lines, *columns(rows, right=range(1, len(rows[0])))] if rows[1:] else lines


def _thinned(curve: Sequence[tuple[int, float]]) -> list[tuple[int, float]]:
    """Return evenly spaced points of a curve, including its first and last."""
    last = len(curve) - 1
    n = min(len(curve), MOST_POINTS)
    return [curve[round(place * last / max(n - 1, 1))] for place in range(n)]


def _norm(value: float | None) -> str:
    return "not finite" if value is None else f"{value:.3g}"


def param_text(value: object) -> str:
    """Return a hyperparameter with at most four significant digits."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)
