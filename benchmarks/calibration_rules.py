"""Compares rules of calibration on recorded searches.

    python -m benchmarks.calibration_rules record FOLDER --data DATA [--sets …] [--seeds 0 1 2]
    python -m benchmarks.calibration_rules replay FOLDER [--noise]

`record` runs a search for each table and seed (splits as in quality.py). It stores the predictions
of the exported model and of the other stored trainings, for the validation rows (out of fold) and
for the test rows, without dropout and as Monte-Carlo mean over 100 masks. `replay` fits each rule
on the validation rows and scores it on the test rows. The unit of the paired comparison is one
search.

A record is a pickled dictionary in one file per search:

    name, seed, task, n_folds, y_valid [n], y_test [m], fold_of_row [n], shipped (trial, repeat)
    trainings   list of dictionaries: trial, repeat, has_dropout,
                valid_point, test_point   log p [n, C] or predictions [n], without dropout
                valid_mc, test_mc         log of the mean p [n, C], or samples [100, n]

Read only records that you created yourself, because reading a pickle can run code.
"""

from __future__ import annotations

import argparse
import math
import pickle
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.special import log_softmax, logsumexp

from autotrain import Study
from autotrain.export.calibration import fit_noise, significant_temperature
from autotrain.export.members import members_of
from autotrain.predictor import Predictor
from autotrain.predictor.evaluation import Truth, calibration_error
from autotrain.predictor.mixture import Noise, quantiles
from autotrain.search.checkpoints import Checkpoints
from benchmarks.quality import SETS, make_split
from benchmarks.uci_dropout import fit_tau

Record = dict[str, Any]
Rule = Callable[[np.ndarray, np.ndarray, np.ndarray, int], np.ndarray]
"""Arguments: log p and classes of the validation rows, log p of the test rows, number of folds."""
GRID = np.linspace(-2.5, 2.5, 201)
N_SAMPLES = 100
MOST_ROWS = 800
"""Rows of a regression on which the noise is fitted, and on which it is scored."""
LEVELS = torch.tensor([0.025, 0.05, *np.arange(0.1, 0.95, 0.1), 0.95, 0.975], dtype=torch.float64)


# ---- recording -----------------------------------------------------------------------------------


def record(data: Path, name: str, seed: int, seconds: float) -> Record:
    """Run a search, and return the predictions of its stored trainings."""
    with tempfile.TemporaryDirectory(prefix="rules-") as folder:
        split = make_split(data, name, seed, Path(folder))
        options: dict[str, Any] = {"task": split.task, "test": str(split.test), "seed": seed}
        options |= {"data": str(split.train), "target": split.target, "directory": folder}
        with Study("s", workers=2, **options) as study:
            study.optimize(timeout=seconds)
            return recorded(study) | {"name": name, "seed": seed}


def recorded(study: Study) -> Record:
    """Return the predictions of a study's exported model and of its other stored trainings."""
    dataset, shipped = study.dataset, study.best_predictor().bundle
    rows = [dataset.apart(dataset.raw.iloc[fold.valid_rows]) for fold in dataset.folds]
    test, labels = dataset.raw_test()
    trainings = []
    for kept in Checkpoints(study.folder / "checkpoints", study.metric.sign).all():
        bundle = replace(shipped, members=members_of(kept.config, kept.outcomes, dataset))
        together = Predictor(bundle)
        alone = [Predictor(replace(bundle, members=(member,))) for member in bundle.members]
        found: Record = {"trial": kept.number, "repeat": kept.repeat}
        found["has_dropout"] = together.has_dropout
        for kind, n_samples in (("point", 0), ("mc", N_SAMPLES if together.has_dropout else 0)):
            of_folds = [_drawn(own, x, n_samples) for own, (x, _) in zip(alone, rows, strict=True)]
            axis = 1 if n_samples and not bundle.is_classification else 0
            found[f"valid_{kind}"] = np.concatenate(of_folds, axis=axis)
            found[f"test_{kind}"] = _drawn(together, test, n_samples)
        trainings.append(found)
    truth = [Truth.read(shipped, y).y for _, y in rows]
    return {
        "task": dataset.task,
        "n_folds": len(dataset.folds),
        "y_valid": np.concatenate(truth),
        "y_test": Truth.read(shipped, labels).y,
        "fold_of_row": np.repeat(np.arange(len(truth)), list(map(len, truth))),
        "shipped": (shipped.training.get("trial"), shipped.training.get("repeat")),
        "trainings": trainings,
    }


def _drawn(predictor: Predictor, rows: Any, n_samples: int) -> np.ndarray:
    of_classes = predictor.bundle.is_classification
    drawn = predictor.draw(predictor.encoded(rows), n_samples, 0, averaged=of_classes)
    return (drawn if n_samples and not of_classes else drawn[0]).astype(np.float32)


def shipped_of(folder: Path, *, classes: bool) -> Iterator[tuple[Record, Record]]:
    """Yield each record of classification or of regression, with the exported training."""
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
        is_capped: whether T of several folds is at most 1.
        is_averaged: whether to use the posterior mean of p^(1/T) instead of the mode.
        shift: difference of log T between single networks and their average.
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
    """Return the rule with a prior of standard deviation ½ and a gain of one standard error."""

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
    """Print each rule relative to no temperature, then the chosen one by table."""
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
    """Print coverage and width of the 90 % intervals and the CRPS, by kind of noise."""
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


def main() -> None:
    """Record searches, or replay the rules on recorded ones."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    recording = commands.add_parser("record")
    recording.add_argument("folder", type=Path)
    recording.add_argument("--data", type=Path, required=True)
    recording.add_argument("--sets", nargs="+", default=list(SETS), choices=list(SETS))
    recording.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    recording.add_argument("--timeout", type=float, default=60.0)
    replaying = commands.add_parser("replay")
    replaying.add_argument("folder", type=Path)
    replaying.add_argument(
        "--noise",
        action="store_true",
        help="compare the noise of regression instead of temperatures",
    )
    arguments = parser.parse_args()
    if arguments.command == "replay":
        (noises if arguments.noise else temperatures)(arguments.folder)
        return
    arguments.folder.mkdir(parents=True, exist_ok=True)
    for seed in arguments.seeds:
        for name in arguments.sets:
            path = arguments.folder / f"{name}-{seed}.pkl"
            if not path.exists():
                found = record(arguments.data, name, seed, arguments.timeout)
                path.write_bytes(pickle.dumps(found))
                print(f"{path.name}: {len(found['trainings'])} trainings", flush=True)


if __name__ == "__main__":
    main()
