"""Rules of calibration, replayed on recorded searches; and what calibration does to exports.

    python -m benchmarks.records --data FOLDER --output RECORDS [--sets …] [--seeds 0 1 2]
    python -m benchmarks.calibration_rules RECORDS
    python -m benchmarks.calibration_rules RECORDS --noise

Each rule is fitted on the validation rows, predicted out of fold, and scored on the test rows, with
dropout off and for the mean over 100 masks. The unit of the paired comparison is one search. The
last table compares what the exported models predict with and without calibration. `--noise` judges
the noise of regressions. The format of a record is that of records.py.
"""

from __future__ import annotations

import argparse
import math
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.special import log_softmax, logsumexp

from autotrain.calibration import fit_noise, significant_temperature
from autotrain.predictor.evaluation import calibration_error
from autotrain.predictor.mixture import Noise, quantiles
from benchmarks.uci_dropout import fit_tau

Record = dict[str, Any]
Rule = Callable[[np.ndarray, np.ndarray, np.ndarray, int], np.ndarray]
"""Takes log p and classes of the validation rows, log p of the test rows, the number of folds."""
GRID = np.linspace(-2.5, 2.5, 201)
ENDINGS = ("", "_calibrated")
MOST_ROWS = 800
"""Rows of a regression that the noise is fitted on, and scored on."""
LEVELS = torch.tensor([0.025, 0.05, *np.arange(0.1, 0.95, 0.1), 0.95, 0.975], dtype=torch.float64)


def shipped_of(folder: Path, *, classes: bool) -> Iterator[tuple[Record, Record]]:
    """Yield each record of classes, or of numbers, and the training that was exported."""
    for path in sorted(folder.glob("*.pkl")):
        found: Record = pickle.loads(path.read_bytes())
        if (found["task"] != "regression") == classes:
            for own in found["trainings"]:
                if (own["trial"], own["repeat"]) == tuple(found["shipped"]):
                    yield found, own


# ---- temperatures --------------------------------------------------------------------------------


def grid_rule(std: float, *, is_capped: bool, is_averaged: bool, shift: float = 0.0) -> Rule:
    """Return a rule with the prior log T ~ N(0, std²) and no gate.

    Args:
        is_capped: T of several folds is at most 1.
        is_averaged: the posterior mean of p^(1/T); else its mode.
        shift: by how much log T of single networks is above that of their average.
    """

    def apply(log_p: np.ndarray, y: np.ndarray, new: np.ndarray, n_folds: int) -> np.ndarray:
        rows = np.arange(len(y))
        each = [log_softmax(log_p / math.exp(g), axis=1)[rows, y].sum() for g in GRID]
        of_folds = np.interp(GRID + shift * (n_folds > 1), GRID, each)
        log_posterior = of_folds - GRID**2 / (2 * std**2)
        if is_capped and n_folds > 1:
            log_posterior[GRID > 1e-9] = -np.inf
        if not is_averaged:
            log_posterior[np.arange(len(GRID)) != log_posterior.argmax()] = -np.inf
        log_weights = log_posterior - logsumexp(log_posterior)
        parts = [
            weight + log_softmax(new / math.exp(g), axis=1)
            for weight, g in zip(log_weights, GRID, strict=True)
            if weight > -15
        ]
        found: np.ndarray = logsumexp(parts, axis=0)
        return found

    return apply


def gated_rule(*, is_capped: bool) -> Rule:
    """Return the rule with the prior's standard deviation ½ and a gain above one standard error."""

    def apply(log_p: np.ndarray, y: np.ndarray, new: np.ndarray, n_folds: int) -> np.ndarray:
        highest = 1.0 if is_capped and n_folds > 1 else 20.0
        found: np.ndarray = log_softmax(
            new / significant_temperature(log_p, y, highest=highest), axis=1
        )
        return found

    return apply


RULES: dict[str, Rule] = {
    "none": lambda log_p, y, new, n_folds: new,
    "SD ½, gain > 1 SE": gated_rule(is_capped=False),
    "SD ½, gain > 1 SE, T ≤ 1": gated_rule(is_capped=True),
    "MAP, SD ¼": grid_rule(0.25, is_capped=False, is_averaged=False),
    "MAP, SD ¼, T ≤ 1": grid_rule(0.25, is_capped=True, is_averaged=False),
    "posterior mean, SD ¼": grid_rule(0.25, is_capped=False, is_averaged=True),
    "posterior mean, SD ¼, T ≤ 1": grid_rule(0.25, is_capped=True, is_averaged=True),
    "posterior mean, SD ¼, shift 0.15": grid_rule(
        0.25, is_capped=False, is_averaged=True, shift=0.15
    ),
}
CHOSEN = "SD ½, gain > 1 SE, T ≤ 1"


def temperatures(folder: Path) -> None:
    """Print each rule against no temperature, then the chosen one table by table."""
    losses: dict[tuple[str, str], list[np.ndarray]] = {}
    errors: dict[tuple[str, str], list[float]] = {}
    units: list[str] = []
    for found, own in shipped_of(folder, classes=True):
        units.append(found["name"])
        rows = np.arange(len(found["y_test"]))
        for kind in ("point", "mc"):
            log_p, new = (
                log_softmax(own[f"{part}_{kind}"].astype(np.float64), axis=1)
                for part in ("valid", "test")
            )
            for name, rule in RULES.items():
                log_q = rule(log_p, found["y_valid"], new, found["n_folds"])
                losses.setdefault((kind, name), []).append(-log_q[rows, found["y_test"]])
                p, y = torch.from_numpy(np.exp(log_q)), torch.from_numpy(found["y_test"])
                errors.setdefault((kind, name), []).append(calibration_error(p, y, None))
    base = np.array([each.mean() for each in losses["point", "none"]])
    print(f"{len(units)} searches of {len(set(units))} tables\n")
    print("| dropout | rule | log loss | against none | against dropout off, none | error |")
    print("| --- | --- | --- | --- | --- | --- |")
    for (kind, name), each in losses.items():
        means = np.array([loss.mean() for loss in each])
        alone = np.array([loss.mean() for loss in losses[kind, "none"]])
        print(
            f"| {'off' if kind == 'point' else 'Monte-Carlo'} | {name} | {means.mean():.4f} | "
            f"{paired(means - alone)} | {paired(means - base)} | "
            f"{np.mean(errors[kind, name]):.4f} |"
        )
    print("\n| table | off: none | rule | difference | Monte-Carlo: none | rule | difference |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for table in dict.fromkeys(units):
        cells = [table]
        for kind in ("point", "mc"):
            places = [place for place, name in enumerate(units) if name == table]
            before, after = (
                [losses[kind, name][place] for place in places] for name in ("none", CHOSEN)
            )
            cells += [f"{np.mean([e.mean() for e in side]):.4f}" for side in (before, after)]
            cells.append(of_rows(before, after))
        print(f"| {' | '.join(cells)} |")


def paired(differences: np.ndarray) -> str:
    """Return a mean and its standard error."""
    error = differences.std(ddof=1) / math.sqrt(len(differences)) if len(differences) > 1 else 0.0
    return f"{differences.mean():+.4f} ± {error:.4f}"


def of_rows(none: list[np.ndarray], rule: list[np.ndarray]) -> str:
    """Return the mean difference over searches, and its standard error by the test rows."""
    each = [after - before for before, after in zip(none, rule, strict=True)]
    error = math.sqrt(sum(float(own.var()) / len(own) for own in each)) / len(each)
    return f"{np.mean([own.mean() for own in each]):+.4f} ± {error:.4f}"


# ---- noise of numbers ----------------------------------------------------------------------------


def noises(folder: Path) -> None:
    """Print what the intervals of 90 % hold, their width and the CRPS, by the kind of noise."""
    rules: dict[str, Callable[[np.ndarray, np.ndarray], Noise]] = {
        "normal, by likelihood": lambda s, y: Noise.normal(fit_tau(s, y)),
        "Student t and a factor on the spread": fit_noise,
    }
    found_of: dict[str, list[tuple[float, float, float]]] = {name: [] for name in rules}
    generator = np.random.default_rng(0)
    print("| search | test rows | noise | inside 90 % | width | CRPS | degrees | factor |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for found, own in shipped_of(folder, classes=False):
        if not own["has_dropout"]:
            continue
        y, new = found["y_valid"], found["y_test"]
        fitted = generator.permutation(len(y))[:MOST_ROWS]
        judged = generator.permutation(len(new))[:MOST_ROWS]
        drawn = own["valid_mc"][:, fitted].astype(np.float64)
        samples = torch.from_numpy(own["test_mc"][:, judged].astype(np.float64))
        truth, unit = new[judged], float(new.std())
        for name, rule in rules.items():
            noise = rule(drawn, y[fitted])
            q = quantiles(samples, noise, LEVELS).numpy()
            low, high = q[:, 1], q[:, -2]
            error = truth[:, None] - q
            levels = LEVELS.numpy()
            crps = 2 * float(np.maximum(levels * error, (levels - 1) * error).mean()) / unit
            inside = float(((low <= truth) & (truth <= high)).mean())
            width = float((high - low).mean()) / unit
            found_of[name].append((inside, width, crps))
            about = f"{noise.dof:g} | {noise.spread:.2f}"
            print(
                f"| {found['name']} {found['seed']} | {len(truth)} | {name} | {inside:.1%} | "
                f"{width:.2f} | {crps:.4f} | {about} |"
            )
    first = np.array(next(iter(found_of.values())))
    for name, each in found_of.items():
        values = np.array(each)
        ratio = np.log(values[:, 2] / first[:, 2])
        error = ratio.std(ddof=1) / math.sqrt(len(ratio))
        print(
            f"{name}: {values[:, 0].mean():.1%} inside, {values[:, 1].mean():.3f} wide, CRPS "
            f"{100 * ratio.mean():+.1f} ± {100 * error:.1f} %"
        )


def exports(folder: Path) -> None:
    """Print the log loss of exported models, calibrated and not, table by table."""
    of_tables: dict[str, list[Record]] = {}
    for path in sorted(folder.glob("*.pkl")):
        found: Record = pickle.loads(path.read_bytes())
        if found["task"] != "regression":
            of_tables.setdefault(found["name"], []).append(found["exports"][-1]["losses"])
    print(
        "\n| exported models | off | calibrated | difference | Monte-Carlo | calibrated | "
        "difference |\n| --- | --- | --- | --- | --- | --- | --- |"
    )
    all_of: dict[str, list[float]] = {"point": [], "mc": []}
    for table, losses in of_tables.items():
        cells = [table]
        for kind, differences in all_of.items():
            before, after = ([each[f"{kind}{end}"] for each in losses] for end in ENDINGS)
            cells += [f"{np.mean([e.mean() for e in side]):.4f}" for side in (before, after)]
            cells.append(of_rows(before, after))
            differences += [a.mean() - b.mean() for b, a in zip(before, after, strict=True)]
        print(f"| {' | '.join(cells)} |")
    off, mc = (paired(np.array(differences)) for differences in all_of.values())
    print(f"| {len(all_of['mc'])} searches | | | {off} | | | {mc} |")


def main() -> None:
    """Replay the rules."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("records", type=Path)
    parser.add_argument("--noise", action="store_true", help="numbers instead of classes")
    arguments = parser.parse_args()
    if arguments.noise:
        noises(arguments.records)
    else:
        temperatures(arguments.records)
        exports(arguments.records)


if __name__ == "__main__":
    main()
