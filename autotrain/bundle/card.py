"""`MODEL_CARD.md`: the facts to know before using a bundle.

The card is written from the bundle alone. To add a section, add a function to `_SECTIONS`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from autotrain.bundle.record import ENSEMBLE, Bundle, Member
from autotrain.bundle.selection import (
    VALIDATION_ERROR,
    optimism_words,
    reason_words,
    score_words,
    seed_words,
    selection_of,
)
from autotrain.metrics import METRICS, row_of
from autotrain.network.config import has_dropout
from autotrain.network.flags import FLAGS
from autotrain.space.config import TrialConfig
from autotrain.vocabulary import interval_text, repeats_text, visible

MOST_LISTED = 30
BAR_WIDTH = 40
FEW_ROWS = 500
QUANTILE = (
    "The model predicts the {quantile:g} quantile: about {share:.0f} of every 100 rows lie below. "
    "Only `conformal_interval` has the requested coverage. `interval`, `quantiles`, "
    "`typical_error` and the likelihoods assume noise that is symmetric around this quantile, "
    "which it is not."
)


def model_card(bundle: Bundle) -> str:
    """Return the model card as Markdown."""
    title = f"# {_code(bundle.data.get('name') or bundle.target)}: {_code(bundle.target)}"
    parts = [title, *(section(bundle) for section in _SECTIONS)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _what_it_is(bundle: Bundle) -> str:
    if bundle.is_classification:
        what = f"Predicts {_code(bundle.target)} as one of {_listed(bundle.classes)}"
    else:
        of = "" if bundle.quantile is None else f"{bundle.quantile:g} quantile of the "
        what = f"Predicts the {of}number {_code(bundle.target)}"
    count = len(bundle.members)
    by = (
        "a multi-layer perceptron"
        if count == 1
        else f"an average of {count} multi-layer perceptrons"
    )
    study, n_trained = bundle.training.get("study"), len(_ensemble(bundle))
    who = "the winner" if n_trained == 1 else f"{n_trained} trained models"
    winner = f", {who} of the study {_code(study)}" if study else ""
    return f"{what}, by {by}{winner} ({bundle.task})."


def _data(bundle: Bundle) -> str:
    data = bundle.data
    lines = ["## Data", ""]
    for word, key in (("source", "source"), ("fingerprint", "fingerprint")):
        if data.get(key):
            lines.append(f"- {word}: {_code(data[key])}")
    rows = [
        f"{data[key]} {word}"
        for word, key in (("training", "n_train"), ("validation", "n_valid"))
        if data.get(key) is not None
    ]
    folds = bundle.training.get("folds")
    if rows and isinstance(folds, int) and folds > 1:
        rows[-1] += f" in each of {folds} folds"
    if data.get("n_calibration"):
        rows.append(f"{data['n_calibration']} calibration")
    if data.get("n_test") is not None:
        rows.append(f"{data['n_test']} test")
    if rows:
        lines.append(f"- rows: {', '.join(rows)}")
    if data.get("n_test") and data.get("n_test_repeats"):
        counts = data["n_test_repeats"], data["n_test"], data.get("n_test_repeats_same_target", 0)
        lines.append(f"- {repeats_text(*counts)}: the test score may be optimistic")
    if data.get("weights"):
        lines.append(
            f"- sample weights: column {_code(data['weights'])}, used for training and scores"
        )
    if data.get("class_weights"):
        lines.append(
            f"- class weights in training: {_class_weights(data['class_weights'])}; predicted "
            "labels follow these weights, calibrated probabilities have them divided out"
        )
    columns = bundle.members[0].preprocessor.column_names
    lines.append(f"- columns ({len(columns)}): {_listed(columns)}")
    lines.append("- missing cells and unseen categories are accepted")
    return "\n".join(lines)


def _scores(bundle: Bundle) -> str:
    parts = {p: values for p, values in bundle.scores.items() if values and p not in _EXACT}
    if not parts:
        return ""
    names = dict.fromkeys(name for values in parts.values() for name in values if name != "nll")
    chosen_ones = "winner" if len(_ensemble(bundle)) == 1 else "models"
    lines = [
        "## Scores",
        "",
        f"| metric | {' | '.join(map(_word, parts))} |",
        f"| --- |{' --- |' * len(parts)}",
    ]
    intervals = bundle.scores.get("test_interval") or {}
    for name in names:
        cells = " | ".join(
            _number(values.get(name)) + (_between(intervals.get(name)) if part == "test" else "")
            for part, values in parts.items()
        )
        chosen = f" (chose the {chosen_ones})" if name == bundle.metric else ""
        lines.append(f"| {_word(name)}{chosen} | {cells} |")
    if intervals:
        lines += ["", f"In brackets: {interval_text(bundle.data.get('n_test') or 0)}"]
    lines += ["", _what_is_scored(parts)]
    explained = [
        f"{_code(name)}: {_SUMMARIES[name.partition(':')[0]]}."
        for name in names
        if row_of(name) in _SUMMARIES
    ]
    return "\n".join([*lines, "", " ".join(explained)]) if explained else "\n".join(lines)


_EXACT = ("test_interval", "test_coverage", VALIDATION_ERROR)
"""Parts of `Bundle.scores` that are intervals or errors instead of scores."""
_SUMMARIES = {
    **{name: metric.summary for name, metric in METRICS.items()},
    "precision": "fraction of the rows predicted as the class that have it",
    "recall": "fraction of the rows of the class that are predicted as the class",
    "specificity": "fraction of the other rows that are not predicted as the class",
    "mcc": "Matthews correlation coefficient, from -1 to 1; 0 for guesses",
    "ece": "expected calibration error: mean difference between the probability of the most likely "
    "class and its accuracy, in 15 bins",
    "log_likelihood": "mean of log p(y), in nats per unit of the target",
}


def _what_is_scored(parts: Mapping[str, Any]) -> str:
    """Return a sentence about the predictions that were scored."""
    text = "All scores are for predictions with dropout off."
    if "test_monte_carlo" in parts:
        text = "All scores except `test_monte_carlo…` are for predictions with dropout off."
    if "test_calibrated" in parts:
        text += " `test_calibrated` scores `predict_proba`; the others are not calibrated."
    return text


def _choice(bundle: Bundle) -> str:
    """Return why this model was chosen, and how reliable its validation score is."""
    selection = selection_of(bundle)
    if selection is None:
        return ""
    lines = [
        f"Validation: {score_words(bundle)}",
        seed_words(selection),
        optimism_words(bundle, selection),
        reason_words(bundle, selection),
    ]
    items = [f"- {line[0].upper()}{line[1:]}." for line in lines if line]
    return "\n".join(["## How it was chosen", "", *items])


def _model(bundle: Bundle) -> str:
    trained = _ensemble(bundle)
    lines = ["## Model", ""]
    if len(trained) == 1:
        lines += [f"- {line}" for line in _described(bundle.members[0].config)]
        lines += [f"- {line}" for line in _health(bundle.members)]
    else:
        n_folds = len(bundle.members) // len(trained)
        what = "probabilities" if bundle.is_classification else "predictions"
        folds = f", each of {n_folds} folds," if n_folds > 1 else ""
        lines += [f"The {what} of these trained models{folds} are averaged with equal weight:", ""]
        for place, each in enumerate(trained):
            repeat = f", repeat {each['repeat']}" if each.get("repeat") else ""
            own = bundle.members[place * n_folds : (place + 1) * n_folds]
            about = "; ".join([*_described(own[0].config), *_flags_of(own)])
            lines.append(f"- trial {each.get('trial')}{repeat}: {about}")
        silent = sum(not has_dropout(member.config) for member in bundle.members)
        if 0 < silent < len(bundle.members):
            lines.append(
                f"- {silent} of the {len(bundle.members)} networks have no dropout, so their "
                "Monte-Carlo samples are all equal"
            )
    return "\n".join(lines)


def _calibration(bundle: Bundle) -> str:
    """Return the fitted calibration and the reliability table."""
    fitted = bundle.calibration
    if not fitted.get("note"):
        return ""
    note = _prose(fitted["note"])
    lines = ["## Calibration", "", f"{note[:1].upper()}{note[1:]}.", ""]
    if "conformal_fold_scores" in fitted:
        lines += [_guarantee(bundle), ""]
    if "temperature" in fitted:
        lines += [
            f"Temperature {_temperature(fitted['temperature'])} for the Monte-Carlo probabilities; "
            f"{_temperature(fitted['temperature_point'])} with dropout off.",
            "",
            "`predict_proba` is calibrated, with dropout off. The mean of the Monte-Carlo samples "
            "predicts about as well and costs one pass per sample. Use the samples for uncertainty "
            "(`std`, entropies, `mutual_information`).",
            "",
        ]
    if "threshold" in fitted:
        lines += [_threshold(bundle, fitted["threshold"]), ""]
    for sentence in _coverage(bundle):
        lines += [sentence, ""]
    if bundle.quantile is not None:
        share = 100 * bundle.quantile
        return "\n".join([*lines, QUANTILE.format(quantile=bundle.quantile, share=share)])
    if "noise" in fitted:
        lines += [_noise(fitted["noise"]), ""]
    groups = fitted.get("reliability")
    if groups:
        what = "probability of the most likely class | accuracy"
        if not bundle.is_classification:
            what = "level of the interval | fraction inside"
        lines += [f"Reliability on these rows, {_EXPLAINED[bundle.is_classification]}:", ""]
        lines += [f"| {what} | | rows |", "| ---: | ---: | --- | ---: |"]
        lines += [
            f"| {group['expected']:.1%} | {group['observed']:.1%} | "
            f"`{_bar(group['observed'], group['expected'])}` | {group['n_rows']:g} |"
            for group in groups
        ]
        lines += ["", "█: observed. │: expected."]
    return "\n".join(lines)


def _threshold(bundle: Bundle, threshold: Mapping[str, Any]) -> str:
    """Return the sentences about the decision threshold and its metrics."""
    label = _code(bundle.classes[threshold["positive"]])
    text = (
        f"Decision threshold: {label} is predicted from a calibrated probability of "
        f"{threshold['value']:.4g} on"
    )
    if not threshold.get("goal"):
        return f"{text}."
    found, interval = threshold.get("metrics", {}), threshold.get("interval")
    names = ("precision", "recall", "specificity", "accuracy", "cost")
    metrics = ", ".join(f"{name} {_number(found[name])}" for name in names if name in found)
    ends = "" if interval is None else f"; bootstrap interval{_between(interval)}"
    return (
        f"{text}. It was chosen for {_code(threshold['goal'])} on {threshold.get('n_rows', 0)} rows"
        f"{ends}. On these rows: {metrics}, slightly optimistic. Labels follow the threshold; the "
        "scores above are those of the most probable class."
    )


def _noise(noise: Mapping[str, Any]) -> str:
    """Return the typical error that dropout does not explain, and its distribution."""
    dof = noise["dof"]
    kind = "normal" if dof is None else f"Student's t, {dof} degrees of freedom"
    return (
        f"Typical error that dropout does not explain: ± {noise['typical_error']:.4g} ({kind}). "
        f"The spread of the Monte-Carlo samples is multiplied by {noise['spread']:.3g}."
    )


def _guarantee(bundle: Bundle) -> str:
    """Return the sentence about the coverage of conformal sets or intervals."""
    answers = "Prediction sets" if bundle.is_classification else "Conformal intervals"
    if bundle.calibration.get("rows") == "calibration":
        return f"{answers} of error rate alpha contain the truth of at least 1 − alpha of new rows."
    if len(bundle.calibration["conformal_fold_scores"]) > 1:
        return (
            f"{answers} of error rate alpha contain the truth of at least 1 − 2 alpha of new rows "
            "in theory (CV+), about 1 − alpha in measurements."
        )
    return (
        f"{answers} of error rate alpha contain the truth of about 1 − alpha of new rows, without "
        "a guarantee."
    )


def _coverage(bundle: Bundle) -> list[str]:
    """Return sentences about the coverage on the test rows."""
    return [
        f"On {found['n_rows']:,.0f} test rows, {_ANSWERS[name][0]} of {1 - found['alpha']:.4g} "
        f"contain the truth of {found['coverage']:.1%} of the rows (standard error "
        f"{found['coverage_error']:.1%}); {_ANSWERS[name][1].format(_size(found['size']))}."
        for name, found in (bundle.scores.get("test_coverage") or {}).items()
        if name in _ANSWERS
    ]


_ANSWERS = {
    "prediction_set": ("prediction sets", "mean size {} classes"),
    "interval": ("intervals of the mixture", "mean width {}"),
    "conformal_interval": ("conformal intervals", "mean width {}"),
}
_EXPLAINED = {
    True: "grouped by the calibrated probability of the most likely class",
    False: "for central intervals of the predictive distribution",
}


def _bar(observed: float, expected: float) -> str:
    """Return a fraction as a bar of BAR_WIDTH characters with a mark at its expected end."""
    place = min(round(expected * BAR_WIDTH), BAR_WIDTH - 1)
    cells = ["█" if cell < round(observed * BAR_WIDTH) else " " for cell in range(BAR_WIDTH)]
    cells[place] = "│"
    return "".join(cells)


def _described(config: TrialConfig) -> list[str]:
    """Return the main facts of a configuration as lines."""
    units = "-".join(str(units) for units in config.hidden_units)
    on_inputs = f"on inputs {config.dropout['input_rate']:g}"
    # Without hidden layers, activation, batch norm and dropout do not apply.
    built = [
        f"hidden units: {units}; activation: {config.activation.name}; "
        f"batch norm: {config.batch_norm.name}",
        f"dropout: {config.dropout.name}, rate {config.dropout['rate']:g}, {on_inputs}",
    ]
    norm = ", then batch norm on the inputs" if config.batch_norm["input"] else ""
    return [
        f"numbers: scaler {config.scaler.name}, missing cells by {config.missing.name}{norm}",
        *(built if units else ["hidden units: none (linear)", f"dropout: {on_inputs}"]),
        f"trained with {config.optimizer.name}, learning rate "
        f"{config.optimizer['learning_rate']:.3g}, schedule {config.schedule.name}",
    ]


def _health(members: Sequence[Member]) -> list[str]:
    """Return the flags of one training's folds and the gradient norms behind them."""
    flagged = [member for member in members if member.diagnosis.flags]
    shown = (flagged or list(members))[0]
    *hidden, output = shown.diagnosis.norms or (None,)
    if output is None:
        return []
    of_fold = f" of fold {shown.fold + 1}" if len(members) > 1 else ""
    norms = ", ".join([*(f"{norm:.3g}" for norm in hidden), f"{output:.3g} (output layer)"])
    sentences = [f"`{name}`: {FLAGS[name].sentence}" for name in _flags(members)]
    return [
        *_flags_of(members),
        *sentences,
        f"gradient norms by layer{of_fold} in the last epoch: {norms}",
    ]


def _flags_of(members: Sequence[Member]) -> list[str]:
    """Return the flags of one training in one line; an empty list without diagnostics."""
    if not any(member.diagnosis.norms for member in members):
        return []
    return [f"diagnostics: {', '.join(map(_code, _flags(members))) or 'no flag'}"]


def _flags(members: Sequence[Member]) -> list[str]:
    found = {flag for member in members for flag in member.diagnosis.flags}
    return [name for name in FLAGS if name in found]


def _temperature(value: float) -> str:
    """Return a temperature and its meaning."""
    if value == 1:
        return "1 (no other value fits clearly better)"
    return f"{value:.3g} ({'overconfident' if value > 1 else 'underconfident'} without it)"


def _ensemble(bundle: Bundle) -> Sequence[Mapping[str, Any]]:
    """Return the record of each training; its folds are consecutive members."""
    recorded = bundle.training.get(ENSEMBLE)
    if not isinstance(recorded, list) or not all(isinstance(each, Mapping) for each in recorded):
        return [bundle.training]
    return recorded if recorded and not len(bundle.members) % len(recorded) else [bundle.training]


def _limits(bundle: Bundle) -> str:
    lines = [
        "## Limits",
        "",
        "- The model knows rows like its training rows. Far from them it may be confident and "
        "wrong. `mutual_information` and `std` of `predict_distribution` are usually larger there, "
        "but not always.",
        "- The model captures correlations, not causal effects.",
        "- Scores are for one split of one table; other times and places may differ.",
    ]
    n_rows = bundle.data.get("n_train")
    if isinstance(n_rows, int) and n_rows < FEW_ROWS:
        lines.append(f"- With only {n_rows} training rows, expect the scores to vary.")
    if not any(has_dropout(member.config) for member in bundle.members):
        lines.append("- The model has no dropout, so it gives no uncertainty estimate.")
    return "\n".join(lines)


def _how_to_load(bundle: Bundle) -> str:
    drops_units = any(has_dropout(member.config) for member in bundle.members)
    sure = "predictor.predict_distribution(table)  # with uncertainty, by Monte-Carlo dropout"
    unsure = "# predict_distribution is not available: the model has no dropout"
    call = "predict_proba(table)" if bundle.is_classification else "predict(table)"
    return "\n".join(
        [
            "## Use",
            "",
            "```python",
            "import autotrain",
            "",
            'predictor = autotrain.load("this folder")',
            f"predictor.{call}",
            sure if drops_units else unsure,
            "```",
            "",
            "Needs autotrain, torch, numpy and safetensors. Loading runs no code of the folder.",
        ]
    )


_SECTIONS: tuple[Callable[[Bundle], str], ...] = (
    _what_it_is,
    _data,
    _scores,
    _choice,
    _calibration,
    _model,
    _limits,
    _how_to_load,
)


def _class_weights(given: Any) -> str:
    if isinstance(given, str):
        return _word(given)
    return ", ".join(f"{_code(label)} {weight:g}" for label, weight in given.items())


def _listed(items: Any) -> str:
    shown = ", ".join(_code(item) for item in list(items)[:MOST_LISTED])
    return shown + (", …" if len(items) > MOST_LISTED else "")


def _number(value: Any) -> str:
    if value is None:
        return "–"
    return f"{value:,.0f}" if 1e4 <= abs(value) < 1e9 else f"{value:.4g}"


def _size(value: float | None) -> str:
    """Return a mean size; intervals are infinite with too few calibration rows."""
    return "infinite" if value is None or math.isinf(value) else _number(value)


def _between(interval: Sequence[float] | None) -> str:
    return "" if interval is None else f" ({' to '.join(map(_number, interval))})"


def _code(text: object) -> str:
    """Return a name or label as inline code on one line."""
    line = " ".join(visible(str(text)).replace("`", "´").split())
    # Two adjacent backticks would start another kind of code.
    return f"`{line or ' '}`"


def _word(text: str) -> str:
    """Return a plain word unchanged, and any other text as code for a table cell."""
    return text if re.fullmatch(r"[\w.:]+", text) else _code(text.replace("|", "¦"))


def _prose(text: str) -> str:
    """Return a sentence of the record with Markdown and HTML escaped."""
    line = " ".join(visible(text).split())
    return re.sub(r"([\\`*_{}\[\]<>#|!~&])", r"\\\1", line)
