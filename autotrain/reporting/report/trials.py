"""Facts about the trials of a study: techniques, pruning, diagnostics and importances.

All functions are pure: they take the reports of trials (`reporting/trial.py`) and return
dataclasses. The trials must be the study's own.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median

import optuna
import scipy.stats
from optuna.trial import FrozenTrial, TrialState

from autotrain.metrics import Metric
from autotrain.network.flags import FLAGS
from autotrain.reporting.trial import TrialReport
from autotrain.search.attributes import Cause
from autotrain.search.opening import quiet_optuna
from autotrain.space.sections import SECTIONS

LEVEL = 0.95
"""Confidence level of the intervals of medians."""
FEW_TRIALS = 50
"""With fewer complete trials, importances and comparisons of techniques are unreliable."""


@dataclass(frozen=True)
class TechniqueRow:
    """The trials that used one technique.

    Args:
        section: kind of technique, such as "optimizer".
        name: the technique.
        n_complete, n_pruned: number of its trials by state.
        best: best value of its complete trials; None without one.
        median: median of these values.
        interval: 95 % confidence interval of the median; None with fewer than six values.
    """

    section: str
    name: str
    n_complete: int
    n_pruned: int
    best: float | None
    median: float | None
    interval: tuple[float, float] | None


@dataclass(frozen=True)
class CauseRow:
    """The trials that ended early for one cause.

    Args:
        cause: the cause.
        n_trials: number of trials.
        n_epochs: epochs that they trained, together.
    """

    cause: Cause
    n_trials: int
    n_epochs: int


@dataclass(frozen=True)
class PruningFacts:
    """The ends of the trials, and the epochs that pruning saved.

    Args:
        rows: trials that did not complete, the most frequent cause first.
        n_complete: number of complete trials.
        complete_epochs: median number of epochs of the complete trials; None without one.
        n_epochs: epochs of all trials together.
        saved_epochs: epochs that the pruned trials would have needed in addition to reach
            `complete_epochs`.
    """

    rows: tuple[CauseRow, ...]
    n_complete: int
    complete_epochs: float | None
    n_epochs: int
    saved_epochs: int

    @property
    def saved_share(self) -> float:
        """Fraction of the epochs that ending early saved."""
        total = self.n_epochs + self.saved_epochs
        return self.saved_epochs / total if total else 0.0


@dataclass(frozen=True)
class FlagRow:
    """One diagnostic flag and its trials.

    Args:
        name, label, definition, sentence: as in `network.flags.Flag`.
        numbers: numbers of the trials that have it.
    """

    name: str
    label: str
    definition: str
    sentence: str
    numbers: tuple[int, ...]


@dataclass(frozen=True)
class LayerLine:
    """Gradient norms of one training by layer.

    Args:
        number: number of the trial.
        flags: its flags.
        ratios: norm of each hidden layer over that of the output layer, from the last hidden layer
            to the first.
    """

    number: int
    flags: tuple[str, ...]
    ratios: tuple[float, ...]


@dataclass(frozen=True)
class ImportanceFacts:
    """The importance of each parameter.

    Args:
        values: importance by parameter, the largest first; they sum to 1. Empty if it cannot be
            computed.
        n_trials: number of complete trials that it was computed from.
    """

    values: dict[str, float]
    n_trials: int

    @property
    def is_reliable(self) -> bool:
        """Whether there are enough trials."""
        return self.n_trials >= FEW_TRIALS


def techniques_of(trials: Sequence[TrialReport], metric: Metric) -> tuple[TechniqueRow, ...]:
    """Return the techniques of the sections in which trials differ, the best median first."""
    rows: list[TechniqueRow] = []
    for section in (name for name, each in SECTIONS.items() if each.rows):
        by_name: dict[str, list[TrialReport]] = {}
        for trial in trials:
            if section in trial.config and trial.state in ("complete", "pruned"):
                by_name.setdefault(str(trial.config[section]), []).append(trial)
        if len(by_name) > 1:
            found = [_technique(section, name, own, metric) for name, own in by_name.items()]
            found.sort(key=lambda row: math.inf if row.median is None else row.median * metric.sign)
            rows += found
    return tuple(rows)


def _technique(
    section: str, name: str, trials: Sequence[TrialReport], metric: Metric
) -> TechniqueRow:
    values = sorted(t.value for t in trials if t.state == "complete" and t.value is not None)
    ordered = values if metric.sign > 0 else values[::-1]
    return TechniqueRow(
        section=section,
        name=name,
        n_complete=sum(trial.state == "complete" for trial in trials),
        n_pruned=sum(trial.state == "pruned" for trial in trials),
        best=ordered[0] if ordered else None,
        median=median(values) if values else None,
        interval=median_interval(values),
    )


def median_interval(values: Iterable[float]) -> tuple[float, float] | None:
    """Return a confidence interval of at least 95 % for a median, whatever the distribution.

        P(x₍ₖ₎ ≤ median ≤ x₍ₙ₊₁₋ₖ₎) = 1 − 2 · P(Bin(n, ½) < k)

    Returns: the two order statistics; None with fewer than six values.
    Source: Conover 1999, "Practical nonparametric statistics", section 3.2.
    """
    ordered = sorted(values)
    k = int(scipy.stats.binom.ppf((1 - LEVEL) / 2, len(ordered), 0.5)) if ordered else 0
    return (ordered[k - 1], ordered[-k]) if k else None


def pruning_of(trials: Sequence[TrialReport]) -> PruningFacts:
    """Return the ends of the trials, and the epochs that pruning saved."""
    by_cause: dict[Cause, list[TrialReport]] = {}
    for trial in trials:
        if trial.state in ("pruned", "failed") and trial.cause and trial.cause.was_trained:
            by_cause.setdefault(trial.cause, []).append(trial)
    rows = [
        CauseRow(cause, len(own), sum(trial.epochs or 0 for trial in own))
        for cause, own in by_cause.items()
    ]
    complete = [trial.epochs or 0 for trial in trials if trial.state == "complete"]
    usual = median(complete) if complete else None
    pruned = [trial.epochs or 0 for trial in trials if trial.state == "pruned"]
    saved = sum(max(usual - epochs, 0) for epochs in pruned) if usual is not None else 0
    return PruningFacts(
        rows=tuple(sorted(rows, key=lambda row: -row.n_trials)),
        n_complete=len(complete),
        complete_epochs=usual,
        n_epochs=sum(trial.epochs or 0 for trial in trials),
        saved_epochs=round(saved),
    )


def flags_of_trials(trials: Sequence[TrialReport]) -> tuple[FlagRow, ...]:
    """Return every flag with the trials that have it."""
    return tuple(
        FlagRow(
            name,
            flag.label,
            flag.definition,
            flag.sentence,
            tuple(trial.number for trial in trials if name in trial.flags),
        )
        for name, flag in FLAGS.items()
    )


def layers_of(trials: Sequence[TrialReport]) -> tuple[LayerLine, ...]:
    """Return the gradient norms by layer of each trial with hidden layers."""
    lines = []
    for trial in trials:
        shown = next((fold.diagnosis for fold in trial.folds if fold.diagnosis.flags), None)
        if shown is None and trial.folds:
            shown = trial.folds[0].diagnosis
        if shown is not None and len(shown.ratios) > 1:
            lines.append(LayerLine(trial.number, tuple(trial.flags), shown.ratios[-2::-1]))
    return tuple(lines)


def importances_of(trials: Sequence[FrozenTrial], metric: Metric) -> ImportanceFacts:
    """Return the importances of all parameters of complete trials, also of conditional ones.

    Trials whose value is not finite are left out.

    Source: Optuna's default evaluator, PED-ANOVA: Watanabe, Bansal & Hutter 2023, arXiv:2304.10255,
    and its conditional version, arXiv:2601.20800.
    """
    with quiet_optuna(), warnings.catch_warnings():
        # The report has its own warning about few trials.
        warnings.simplefilter("ignore")
        study = optuna.create_study(
            storage=optuna.storages.InMemoryStorage(), direction=metric.direction
        )
        # Optuna copies each trial, so curves and attributes are left out.
        lean = [
            optuna.trial.create_trial(
                value=trial.value, params=trial.params, distributions=trial.distributions
            )
            for trial in trials
            if trial.state == TrialState.COMPLETE and math.isfinite(trial.value or 0.0)
        ]
        study.add_trials(lean)
        try:
            values = optuna.importance.get_param_importances(study)
        except (ValueError, RuntimeError):
            # Fewer than two different values, or no common parameter.
            values = {}
    known = {name: float(value) for name, value in values.items() if math.isfinite(value)}
    return ImportanceFacts(dict(sorted(known.items(), key=lambda item: -item[1])), len(lean))
