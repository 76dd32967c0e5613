"""The figures of a report: facts → Plotly figures.

Each function of `FIGURES` returns a figure, or None where it has nothing to show. Colors come from
`COLORS` and are readable on a light and on a dark page; the page sets the colors of text and grid.
Plotly displays some HTML in texts, so names and labels pass through `plain`.
"""

from __future__ import annotations

import html
import math
from collections.abc import Callable, Sequence

import numpy as np
import plotly.graph_objects as go

from autotrain.predictor.shares import Z
from autotrain.reporting.report.facts import ReportFacts
from autotrain.reporting.report.model import Bin, ClassCurve, ModelFacts
from autotrain.reporting.trial import TrialReport
from autotrain.search.attributes import Cause
from autotrain.vocabulary import visible

COLORS = {
    "complete": "#2a7fd4",
    "pruned": "#e08a1e",
    "failed": "#d64550",
    "winner": "#1f9d63",
    "neutral": "#8a8f98",
}
SERIES = ("#2a7fd4", "#e08a1e", "#1f9d63", "#d64550", "#8e63ce", "#12a5a5", "#c2568f", "#8a8f98")
MOST_CURVES = 300
MOST_LINES = 100
MOST_BARS = 20
DIGITS = 5


def plain(text: object, most: int = 40) -> str:
    """Return a text that Plotly displays as it is, shortened to `most` characters."""
    shown = visible(str(text)).replace("\n", " ")
    shown = shown if len(shown) <= most else f"{shown[: most - 1]}…"
    return html.escape(shown, quote=False)


def history(facts: ReportFacts) -> go.Figure | None:
    """Return the value of each complete trial, and the best value so far."""
    sign = facts.metric.sign
    found = [
        (trial.number, trial.value, trial.words)
        for trial in facts.trials
        if trial.state == "complete" and trial.value is not None
    ]
    if not found:
        return None
    numbers = [number for number, _, _ in found]
    values = [_short(value) for _, value, _ in found]
    best = sign * np.minimum.accumulate(sign * np.array(values))
    figure = go.Figure(
        go.Scatter(
            x=numbers,
            y=values,
            mode="markers",
            name="complete trial",
            marker={"size": 6, "color": COLORS["complete"], "opacity": 0.7},
            text=[plain(words, most=80) for _, _, words in found],
            hovertemplate="trial %{x}: %{y}<br>%{text}<extra></extra>",
        )
    )
    figure.add_trace(
        go.Scatter(
            x=numbers,
            y=best.tolist(),
            mode="lines",
            name="best so far",
            line={"color": COLORS["winner"], "shape": "hv", "width": 2},
            hoverinfo="skip",
        )
    )
    _limit(figure, values, sign)
    figure.update_layout(xaxis_title="trial", yaxis_title=f"{facts.metric.name}, validation")
    return _finished(figure, 340)


def learning_curves(facts: ReportFacts) -> go.Figure | None:
    """Return the validation score by epoch of each trial, colored by how the trial ended."""
    with_curve = [trial for trial in facts.trials if trial.curve]
    if not with_curve:
        return None
    step = -(-len(with_curve) // MOST_CURVES)
    shown = with_curve[::step]
    figure = go.Figure()
    groups: dict[str, list[TrialReport]] = {"complete": [], "pruned": [], "failed": []}
    for trial in shown:
        key = "failed" if trial.cause in _BROKEN else trial.state
        groups.setdefault(key if key in groups else "complete", []).append(trial)
    for name, label in _OUTCOMES.items():
        if groups[name]:
            figure.add_trace(_curves_of(groups[name], name, f"{label} ({len(groups[name]):,})"))
    ends = groups["pruned"]
    if ends:
        figure.add_trace(
            go.Scatter(
                x=[trial.curve[-1][0] for trial in ends],
                y=[_short(trial.curve[-1][1]) for trial in ends],
                mode="markers",
                name="pruned here",
                marker={"symbol": "x", "size": 6, "color": COLORS["pruned"]},
                text=[_ending(trial) for trial in ends],
                hovertemplate="%{text}<extra></extra>",
            )
        )
    if facts.winner is not None and facts.winner.curve:
        figure.add_trace(_curves_of([facts.winner], "winner", "winning trial", width=3))
    points = [value for trial in shown for _, value in trial.curve]
    _limit(figure, points, facts.metric.sign)
    figure.update_layout(xaxis_title="epoch", yaxis_title=f"{facts.metric.name}, validation")
    return _finished(figure, 420)


_BROKEN = (Cause.DIVERGED, Cause.OUT_OF_MEMORY)
_OUTCOMES = {"complete": "complete", "pruned": "pruned", "failed": "diverged or failed"}


def _curves_of(
    trials: Sequence[TrialReport], outcome: str, name: str, width: float = 1
) -> go.Scatter:
    """Return the curves of several trials as one trace with gaps."""
    x: list[int | None] = []
    y: list[float | None] = []
    numbers: list[int | None] = []
    for trial in trials:
        x += [*(epoch for epoch, _ in trial.curve), None]
        y += [*(_short(value) for _, value in trial.curve), None]
        numbers += [trial.number] * len(trial.curve) + [None]
    return go.Scatter(
        x=x,
        y=y,
        customdata=numbers,
        mode="lines" if any(len(trial.curve) > 1 for trial in trials) else "markers",
        name=name,
        opacity=1.0 if width > 1 else 0.55,
        line={"width": width, "color": COLORS[outcome]},
        hovertemplate="trial %{customdata}, epoch %{x}: %{y}<extra></extra>",
    )


def _ending(trial: TrialReport) -> str:
    return plain(f"trial {trial.number}: {trial.ending}", most=120)


def importance(facts: ReportFacts) -> go.Figure | None:
    """Return the importances of the parameters as bars, the largest at the top."""
    values = list(facts.importances.values.items())[:MOST_BARS][::-1]
    if not values:
        return None
    figure = go.Figure(
        go.Bar(
            x=[_short(value) for _, value in values],
            y=[plain(name) for name, _ in values],
            orientation="h",
            marker={"color": COLORS["complete"]},
            hovertemplate="%{y}: %{x:.1%}<extra></extra>",
        )
    )
    figure.update_layout(xaxis={"title": "importance", "tickformat": ".0%"})
    return _finished(figure, 120 + 22 * len(values))


def layer_gradients(facts: ReportFacts) -> go.Figure | None:
    """Return the gradient norm of each layer over that of the output layer, by trial."""
    lines = facts.layers
    if not lines:
        return None
    flagged = [line for line in lines if line.flags]
    healthy = [line for line in lines if not line.flags]
    step = -(-len(healthy) // MOST_LINES) if healthy else 1
    figure = go.Figure()
    groups: dict[str, list[tuple[int, Sequence[float]]]] = {}
    for line in healthy[::step]:
        groups.setdefault("no flag", []).append((line.number, line.ratios))
    for line in flagged[:MOST_LINES]:
        groups.setdefault(", ".join(line.flags), []).append((line.number, line.ratios))
    colors = {"no flag": COLORS["neutral"]}
    palette = iter((COLORS["failed"], COLORS["pruned"], "#8e63ce", "#c2568f", *SERIES))
    for name, own in groups.items():
        x: list[int | None] = []
        y: list[float | None] = []
        numbers: list[int | None] = []
        for number, ratios in own:
            # A logarithmic axis has no 0.
            x += [*range(1, len(ratios) + 1), None]
            y += [*(_short(ratio) if ratio > 0 else None for ratio in ratios), None]
            numbers += [number] * (len(ratios) + 1)
        color = colors.setdefault(name, next(palette))
        figure.add_trace(
            go.Scatter(
                x=x,
                y=y,
                customdata=numbers,
                mode="lines+markers",
                name=f"{name.replace('_', ' ')} ({len(own):,})",
                opacity=0.45 if name == "no flag" else 0.8,
                line={"width": 1, "color": color},
                marker={"size": 4},
                hovertemplate="trial %{customdata}: %{y}<extra></extra>",
            )
        )
    figure.update_layout(
        xaxis={"title": "hidden layer, counted from the output", "dtick": 1},
        yaxis={"title": "gradient norm / output layer", "type": "log", "exponentformat": "power"},
    )
    return _finished(figure, 380)


def confusion(facts: ReportFacts) -> go.Figure | None:
    """Return the confusion matrix with numbers of rows."""
    model = facts.model
    if model is None or model.confusion is None:
        return None
    labels = [plain(label, most=20) for label in model.labels]
    counts = model.confusion
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    # Categories with equal texts would be merged, so the axes have numbers with texts as ticks.
    places = list(range(len(labels)))
    figure = go.Figure(
        go.Heatmap(
            z=np.round(shares, 4).tolist(),
            x=places,
            y=places,
            text=[[f"{count:,}" for count in row] for row in counts],
            texttemplate="%{text}",
            customdata=[[[a, b] for b in labels] for a in labels],
            colorscale=[[0, "rgba(42,127,212,0.06)"], [1, "rgba(42,127,212,0.85)"]],
            zmin=0,
            zmax=1,
            showscale=False,
            hovertemplate="true %{customdata[0]}, predicted %{customdata[1]}: %{text} rows "
            "(%{z:.1%} of the class)<extra></extra>",
        )
    )
    ticks = {"tickmode": "array", "tickvals": places, "ticktext": labels}
    figure.update_layout(
        xaxis={"title": "predicted", **ticks},
        yaxis={"title": "true", "autorange": "reversed", **ticks},
    )
    return _finished(figure, 220 + 30 * len(labels))


def residuals(facts: ReportFacts) -> go.Figure | None:
    """Return the errors of a regression by predicted value."""
    model = facts.model
    if model is None or not len(model.prediction):
        return None
    figure = go.Figure(
        go.Scatter(
            x=[_short(value) for value in model.prediction],
            y=[_short(value) for value in model.truth - model.prediction],
            mode="markers",
            marker={"size": 5, "opacity": 0.7, "color": COLORS["complete"]},
            hovertemplate="predicted %{x}, true − predicted %{y}<extra></extra>",
        )
    )
    figure.add_hline(y=0, line={"color": COLORS["neutral"], "width": 1})
    figure.update_layout(xaxis_title="predicted", yaxis_title="true − predicted")
    return _finished(figure, 380)


def predicted_and_true(facts: ReportFacts) -> go.Figure | None:
    """Return the true value of a regression by predicted value."""
    model = facts.model
    if model is None or not len(model.prediction):
        return None
    figure = go.Figure(
        go.Scatter(
            x=[_short(value) for value in model.prediction],
            y=[_short(value) for value in model.truth],
            mode="markers",
            marker={"size": 5, "opacity": 0.7, "color": COLORS["complete"]},
            hovertemplate="predicted %{x}, true %{y}<extra></extra>",
        )
    )
    both = np.concatenate([model.prediction, model.truth])
    _diagonal(figure, _short(both.min()), _short(both.max()))
    figure.update_layout(xaxis_title="predicted", yaxis_title="true")
    return _finished(figure, 380)


def roc(facts: ReportFacts) -> go.Figure | None:
    """Return the ROC curve of each class."""
    figure = _class_curves(facts.model, "roc", "AUC")
    if figure is not None:
        _diagonal(figure, 0, 1)
        figure.update_layout(xaxis_title="false positive rate", yaxis_title="true positive rate")
    return figure


def precision_recall(facts: ReportFacts) -> go.Figure | None:
    """Return the precision-recall curve of each class."""
    figure = _class_curves(facts.model, "precision_recall", "AP")
    if figure is not None:
        figure.update_layout(xaxis_title="recall", yaxis_title="precision")
    return figure


def _class_curves(model: ModelFacts | None, name: str, area: str) -> go.Figure | None:
    curves: tuple[ClassCurve, ...] = () if model is None else getattr(model, name)
    if not curves:
        return None
    figure = go.Figure()
    for place, curve in enumerate(curves):
        figure.add_trace(
            go.Scatter(
                x=[_short(value) for value in curve.x],
                y=[_short(value) for value in curve.y],
                mode="lines",
                name=f"{plain(curve.label, most=24)} ({area} {curve.area:.3f})",
                line={"width": 2, "color": SERIES[place % len(SERIES)]},
            )
        )
    figure.update_layout(
        xaxis={"range": [-0.02, 1.02]}, yaxis={"range": [-0.02, 1.02]}, showlegend=True
    )
    return _finished(figure, 360 + 9 * len(curves))


def reliability(facts: ReportFacts) -> go.Figure | None:
    """Return the observed frequency by predicted probability, or by level of the interval."""
    bins: tuple[Bin, ...] = () if facts.model is None else facts.model.reliability
    if not bins:
        return None
    figure = go.Figure(
        go.Scatter(
            x=[_short(each.expected) for each in bins],
            y=[_short(each.observed) for each in bins],
            error_y={
                "type": "data",
                "symmetric": False,
                "array": [_short(each.high - each.observed) for each in bins],
                "arrayminus": [_short(each.observed - each.low) for each in bins],
                "thickness": 1,
            },
            customdata=[each.n_rows for each in bins],
            mode="lines+markers",
            line={"color": COLORS["complete"]},
            hovertemplate="expected %{x:.1%}, observed %{y:.1%} of %{customdata} rows"
            "<extra></extra>",
        )
    )
    low = min(min(each.expected, each.low) for each in bins)
    _diagonal(figure, _short(low), 1)
    is_classes = bool(facts.model and facts.model.labels)
    figure.update_layout(
        xaxis={
            "title": "probability of the predicted class" if is_classes else "level of interval",
            "tickformat": ".0%",
        },
        yaxis={"title": "accuracy" if is_classes else "fraction inside", "tickformat": ".0%"},
    )
    return _finished(figure, 360)


def certain_rows(facts: ReportFacts) -> go.Figure | None:
    """Return the score of the most certain rows, by their fraction of all rows."""
    model = facts.model
    if model is None or not model.certain_shares:
        return None
    is_classes = bool(model.labels)
    figure = go.Figure(
        go.Scatter(
            x=list(model.certain_shares),
            y=[_short(score) for score in model.certain_scores],
            mode="lines+markers",
            line={"color": COLORS["winner"]},
            hovertemplate="the most certain %{x:.0%} of the rows: %{y}<extra></extra>",
        )
    )
    figure.update_layout(
        xaxis={"title": "most certain fraction of rows", "tickformat": ".0%"},
        yaxis={
            "title": "accuracy" if is_classes else "mean absolute error",
            "tickformat": ".1%" if is_classes else "",
        },
    )
    return _finished(figure, 360)


def column_importance(facts: ReportFacts) -> go.Figure | None:
    """Return the permutation importances of the columns as bars, the largest at the top."""
    found = facts.columns
    if found is None or not len(found.drop):
        return None
    shown = range(min(len(found.drop), MOST_BARS))[::-1]
    figure = go.Figure(
        go.Bar(
            # Equal texts would share a bar, so the axis has numbers with texts as ticks.
            x=[_short(found.drop[place]) for place in shown],
            y=list(range(len(shown))),
            error_x={
                "type": "data",
                "array": [_short(Z * found.standard_error[place]) for place in shown],
                "thickness": 1,
                "color": COLORS["neutral"],
            },
            orientation="h",
            marker={"color": COLORS["winner"]},
            hovertemplate="%{customdata}: %{x}<extra></extra>",
            customdata=[plain(found.names[place], most=200) for place in shown],
        )
    )
    figure.update_layout(
        xaxis={"title": f"{found.metric}: worse by"},
        yaxis={
            "tickmode": "array",
            "tickvals": list(range(len(shown))),
            "ticktext": [plain(found.names[place], most=24) for place in shown],
        },
    )
    return _finished(figure, 120 + 22 * len(shown))


FIGURES: dict[str, Callable[[ReportFacts], go.Figure | None]] = {
    "history": history,
    "curves": learning_curves,
    "importance": importance,
    "layers": layer_gradients,
    "confusion": confusion,
    "residuals": residuals,
    "predicted": predicted_and_true,
    "roc": roc,
    "precision_recall": precision_recall,
    "reliability": reliability,
    "certain": certain_rows,
    "columns": column_importance,
}
"""The figures by name, as the template of the page uses them."""


def figures_of(facts: ReportFacts) -> dict[str, go.Figure]:
    """Return the figures that have something to show, by name."""
    made = {name: function(facts) for name, function in FIGURES.items()}
    return {name: figure for name, figure in made.items() if figure is not None}


def _finished(figure: go.Figure, height: int) -> go.Figure:
    """Set the layout that all figures share."""
    many = len(figure.data) > 1
    figure.update_layout(
        title=None,
        template="none",
        height=height,
        margin={"l": 10, "r": 10, "t": 10, "b": 10},
        showlegend=figure.layout.showlegend if figure.layout.showlegend is not None else many,
        legend={"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"},
        dragmode=False,
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        hovermode="closest",
    )
    figure.update_xaxes(automargin=True)
    figure.update_yaxes(automargin=True)
    return figure


def _diagonal(figure: go.Figure, low: float, high: float) -> None:
    figure.add_trace(
        go.Scatter(
            x=[low, high],
            y=[low, high],
            mode="lines",
            line={"color": COLORS["neutral"], "width": 1, "dash": "dot"},
            hoverinfo="skip",
            showlegend=False,
        )
    )
    figure.update_layout(showlegend=figure.layout.showlegend or False)


def _limit(figure: go.Figure, values: Sequence[float], sign: float) -> None:
    """Limit the axis of scores to the better 90 % of the values; the others are outside."""
    known = np.array([value for value in values if math.isfinite(value)]) * sign
    if len(known) < 2:
        return
    best, worst = known.min(), np.quantile(known, 0.9)
    pad = 0.06 * (worst - best) or 0.06 * abs(best) or 0.5
    ends = sorted([sign * (best - pad), sign * (worst + pad)])
    figure.update_yaxes(range=[float(end) for end in ends])


def _short(value: float) -> float:
    """Return a number with few digits, so that the page stays small."""
    return float(f"{float(value):.{DIGITS}g}")
