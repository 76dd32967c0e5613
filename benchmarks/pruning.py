"""Compares pruners on recorded learning curves: regret and epochs spent.

    python benchmarks/pruning.py record FOLDER FILE:TARGET [FILE:TARGET …] [--trials 40]
    python benchmarks/pruning.py replay FOLDER [--orders 20] [--at-once 4]
    python benchmarks/pruning.py converge FOLDER

`record` trains random configurations of a space to their last epoch, without pruning or early
stopping, and writes their curves to FOLDER, one file per data set, with the folds of a study.
`replay` applies every rule to the same curves, in many random orders and with some trials at once,
as in a study: on means over the folds. Every rule, including `none`, has early stopping of each
fold with the patience of the space. The value of a trial is the mean of the best values of its
folds.

`converge` measures rules for convergence without pruning, on schedules that do not anneal. It
prints epochs per trial, the final η as a fraction of η₀ (median, lowest fold), and the loss in
value in percent: on average, for the best fifth, and for the best trial.

- epochs: number of epochs as a fraction of those of `none`;
- regret: difference of the best value from that of `none`, in percent;
- lost best: fraction of orders in which the best trial is pruned before its best epoch.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import optuna
import torch

from autotrain.data.loading import load_dataset
from autotrain.metrics import metric_for
from autotrain.search.pruning.comparison import Comparison
from autotrain.search.pruning.plateaus import rule_of
from autotrain.search.pruning.pruners import make_pruner
from autotrain.search.sampling.allowed import AllowedSampler
from autotrain.search.sampling.samplers import make_sampler
from autotrain.space.config import Choice, TrialConfig
from autotrain.space.search_space import SearchSpace
from autotrain.techniques.schedules import SCHEDULES, Plateau
from autotrain.training.rows import problem_of
from autotrain.training.slot import Admission, EpochReport, Outcome
from autotrain.training.trainer import Trainer

Curve = dict[str, Any]
Result = tuple[int, np.ndarray]
FOREVER = 1_000_000
REPORTED = ("value", "loss", "dropped", "rate")
# Number of slots of a fleet while recording; it does not change the curves.
AT_ONCE = 8


def record(
    source: str, target: str, space: str, n_trials: int, folder: Path, validation: str
) -> None:
    """Train random configurations to the end and write their curves."""
    torch.set_num_threads(1)
    dataset = load_dataset(source, target or None, validation=validation)
    metric = metric_for(dataset.task, None)
    resolved = SearchSpace.from_toml(space).resolve(
        dataset.n_train,
        dataset.n_inputs,
        dataset.task,
        dataset.is_pictures,
        dataset.preprocessor().input_columns.n_numeric,
    )
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sampler = AllowedSampler(make_sampler("random", 1), resolved, 1)
    study = optuna.create_study(sampler=sampler)
    configs = []
    for _ in range(n_trials):
        trial = study.ask()
        configs.append(resolved.suggest(trial))
        study.tell(trial, state=optuna.trial.TrialState.FAIL)
    trainer = Trainer(problem_of(dataset, metric), dataset.encoded_folds(resolved.views()))
    n_folds = len(dataset.folds)
    curves: list[Curve] = [
        {
            "patience": config.early_stopping["patience"],
            "anneals": SCHEDULES[config.schedule.name].anneals,
            "schedule": {"name": config.schedule.name, **config.schedule.parameters},
            "folds": [{name: [] for name in REPORTED} for _ in range(n_folds)],
        }
        for config in configs
    ]
    diverged = set()
    waiting = list(enumerate(configs))
    while waiting or trainer.n_slots:
        while waiting and trainer.n_slots < AT_ONCE:
            number, config = waiting.pop(0)
            for fold in range(n_folds):
                slot = number * n_folds + fold
                longer = without_patience(config)
                trainer.admit(Admission(slot, longer, seed=number, fold=fold))
        for message in trainer.step():
            number, fold = divmod(message.slot, n_folds)
            curve = curves[number]["folds"][fold]
            if isinstance(message, EpochReport):
                curve["value"].append(metric.sign * message.value)
                curve["loss"].append(message.valid_loss)
                curve["dropped"].append(message.dropped)
                curve["rate"].append(message.learning_rate)
            elif isinstance(message, Outcome) and message.cause == "diverged":
                diverged.add(number)
    # These trials end by themselves, without pruning.
    curves = [curve for number, curve in enumerate(curves) if number not in diverged]
    written = {"rows": dataset.n_train, "metric": metric.name, "curves": curves}
    path = folder / f"{dataset.name}.json"
    path.write_text(json.dumps(written), encoding="utf-8")
    epochs = sum(len(fold["value"]) for curve in curves for fold in curve["folds"])
    print(
        f"{dataset.name}: {len(curves)} of {n_trials} trials, {n_folds} folds, {epochs} epochs "
        f"→ {path}",
        flush=True,
    )


def without_patience(config: TrialConfig) -> TrialConfig:
    """Return the configuration without early stopping."""
    stopping = config.early_stopping
    parameters = {**stopping.parameters, "patience": FOREVER}
    return replace(config, early_stopping=Choice(stopping.name, parameters))


def of_folds(recorded: Curve) -> Curve:
    """Return a trial's curve in a study: means over folds, each with its own early stopping.

    A fold that has ended keeps its last report. `best` is the mean of the folds' best values, which
    is the value of the trial if it ends there.
    """
    patience = recorded["patience"]
    folds = [
        {name: numbers[: stopped_early(fold["value"], patience)] for name, numbers in fold.items()}
        for fold in recorded["folds"]
    ]
    n_epochs = max(len(fold["value"]) for fold in folds)

    def at(name: str, epoch: int) -> list[Any]:
        return [fold[name][min(epoch, len(fold[name]) - 1)] for fold in folds]

    bests = [np.minimum.accumulate(fold["value"]) for fold in folds]
    return {
        "anneals": recorded["anneals"],
        "schedule": recorded["schedule"],
        "n_folds": len(folds),
        "epochs": n_epochs,
        "loss": [float(np.mean(at("loss", e))) for e in range(n_epochs)],
        # A fold that has ended does not lower its rate any more.
        "dropped": [
            any(fold["dropped"][e] for fold in folds if e < len(fold["dropped"]))
            for e in range(n_epochs)
        ],
        "rate": [min(at("rate", e)) for e in range(n_epochs)],
        "best": [
            float(np.mean([best[min(e, len(best) - 1)] for best in bests])) for e in range(n_epochs)
        ],
    }


def stopped_early(values: list[float], patience: int) -> int:
    """Return the number of epochs of a fold with the patience of its trial."""
    plateau = Plateau(patience)
    for epoch, value in enumerate(values, 1):
        if plateau.update(value):
            return epoch
    return len(values)


# ---- rules -------------------------------------------------------------------------------------


class Rule(Protocol):
    """Decides after each epoch of a trial whether it ends."""

    def epoch(self, number: int, curve: Curve, epoch: int) -> str | None:
        """Return "prune", "converged" or None."""

    def end(self, number: int, epoch: int, *, pruned: bool) -> None:
        """Record the end of a trial."""


class Performance:
    """The default pruner, used exactly as in a study."""

    def __init__(self, rows: int, **changes: Any) -> None:
        self.comparison = Comparison(rule_of(changes, rows))
        self.rows = rows
        self.begun: set[int] = set()

    def epoch(self, number: int, curve: Curve, epoch: int) -> str | None:
        if number not in self.begun:
            self.begun.add(number)
            self.comparison.begin(number, *self._plateau(curve))
        decision = self.comparison.record(
            number,
            curve["best"][epoch - 1],
            loss=curve["loss"][epoch - 1],
            samples_seen=epoch * self.rows,
            lr_dropped=epoch > 1 and curve["dropped"][epoch - 2],
            lr_share=curve["rate"][epoch - 1] / max(curve["rate"]) if curve["anneals"] else 0.0,
        )
        if decision.kind == "prune":
            return "prune"
        return "converged" if decision.kind == "converged" and not curve["anneals"] else None

    def _plateau(self, curve: Curve) -> tuple[int, float]:
        rule, schedule = self.comparison.rule, curve["schedule"]
        if schedule["name"] != "performance":
            return rule.patience, rule.min_delta
        longest = rule.patience if curve["n_folds"] > 1 else 1
        return max(schedule["patience"], longest), schedule["min_delta"]

    def end(self, number: int, epoch: int, *, pruned: bool) -> None:
        self.comparison.end(number)


class OptunaRule:
    """A pruner of Optuna, called after each epoch."""

    def __init__(self, pruner: optuna.pruners.BasePruner) -> None:
        self.study = optuna.create_study(pruner=pruner)
        self.trials: dict[int, optuna.Trial] = {}

    def epoch(self, number: int, curve: Curve, epoch: int) -> str | None:
        if number not in self.trials:
            self.trials[number] = self.study.ask()
        trial = self.trials[number]
        trial.report(curve["best"][epoch - 1], epoch)
        return "prune" if trial.should_prune() else None

    def end(self, number: int, epoch: int, *, pruned: bool) -> None:
        states = optuna.trial.TrialState
        trial = self.trials[number]
        if pruned:
            self.study.tell(trial, state=states.PRUNED)
            return
        reported = self.study.get_trials(deepcopy=False)[trial.number].intermediate_values
        self.study.tell(trial, min(reported.values()))


def rules(rows: int, longest: int) -> dict[str, Callable[[], Rule]]:
    """Return functions that create the rules, by name."""
    hyperband = optuna.pruners.HyperbandPruner
    return {
        "performance": lambda: Performance(rows),
        "median": lambda: OptunaRule(make_pruner("median")),
        "asha": lambda: OptunaRule(make_pruner("asha")),
        "hyperband": lambda: OptunaRule(hyperband(4, max(longest, 5), reduction_factor=3)),
    }


def replay(curves: list[Curve], order: np.ndarray, rule: Rule | None, at_once: int) -> Result:
    """Run all trials in an order, some at once; return epochs spent and best values."""
    waiting = list(order)
    active: dict[int, int] = {}
    best = np.full(len(curves), np.inf)
    spent = 0
    while waiting or active:
        while waiting and len(active) < at_once:
            number = int(waiting.pop(0))
            active[number] = 0
        for number in list(active):
            curve = curves[number]
            active[number] = epoch = active[number] + 1
            spent += 1
            best[number] = curve["best"][epoch - 1]
            said = None if rule is None else rule.epoch(number, curve, epoch)
            if said is not None or epoch >= curve["epochs"]:
                del active[number]
                if rule is not None:
                    rule.end(number, epoch, pruned=said == "prune")
    return spent, best


def converge(path: Path) -> None:
    """Print one line per rule for convergence."""
    written = json.loads(path.read_text(encoding="utf-8"))
    curves = [c for c in map(of_folds, written["curves"]) if not c["anneals"]]
    whole = np.array([curve["best"][-1] for curve in curves])
    ways = {"early stopping alone": (0, 0), "fourth plateau": (0, 4)}
    ways |= {f"{n} plateaus in a row": (n, 0) for n in (1, 2, 3, 4, 6)}
    for way, (in_a_row, in_all) in ways.items():
        ends = [converged(curve, in_a_row, in_all) for curve in curves]
        best = np.array([c["best"][end - 1] for c, end in zip(curves, ends, strict=True)])
        rates = [c["rate"][end - 1] / c["rate"][0] for c, end in zip(curves, ends, strict=True)]
        lost = 100 * (best - whole) / np.abs(whole)
        top = np.argsort(whole)[: max(len(whole) // 5, 1)]
        regret = 100 * (best.min() - whole.min()) / abs(whole.min())
        print(
            f"{path.stem[:16]:16} {len(curves):4} {way:21} {np.mean(ends):7.1f} "
            f"{np.median(rates):8.4f} {lost.mean():7.2f}% {lost[top].mean():7.2f}% {regret:7.2f}%",
            flush=True,
        )


def converged(curve: Curve, in_a_row: int, in_all: int) -> int:
    """Return the epoch in which a trial has converged, without other trials."""
    rule = Performance(1, n_startup=FOREVER, max_plateaus=in_a_row)
    for epoch in range(1, curve["epochs"] + 1):
        decision = rule.epoch(0, curve, epoch)
        if decision is not None or 0 < in_all <= len(rule.comparison.history(0).plateaus):
            return epoch
    return int(curve["epochs"])


def main() -> None:
    """Record curves, or replay them and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    recording = commands.add_parser("record")
    recording.add_argument("folder", type=Path)
    recording.add_argument("data", nargs="+", help="FILE:TARGET")
    recording.add_argument("--trials", type=int, default=40)
    recording.add_argument("--space", default="default")
    recording.add_argument("--validation", default="auto")
    replaying = commands.add_parser("replay")
    replaying.add_argument("folder", type=Path)
    replaying.add_argument("--orders", type=int, default=20)
    replaying.add_argument("--at-once", type=int, default=4)
    commands.add_parser("converge").add_argument("folder", type=Path)
    arguments = parser.parse_args()
    if arguments.command == "record":
        arguments.folder.mkdir(parents=True, exist_ok=True)
        for item in arguments.data:
            source, _, target = item.rpartition(":")
            record(
                source,
                target,
                arguments.space,
                arguments.trials,
                arguments.folder,
                arguments.validation,
            )
        return
    if arguments.command == "converge":
        print("data        trials way                    epochs  η/η₀     mean   top fifth    best")
        for path in sorted(arguments.folder.glob("*.json")):
            converge(path)
        return
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    print(f"{'data':20} {'rule':12} {'epochs':>7} {'regret':>8} {'worst':>8} {'lost best':>10}")
    for path in sorted(arguments.folder.glob("*.json")):
        compare(path, arguments.orders, arguments.at_once)


def compare(path: Path, n_orders: int, at_once: int) -> None:
    """Print one line per rule for one data set."""
    written = json.loads(path.read_text(encoding="utf-8"))
    curves = [of_folds(recorded) for recorded in written["curves"]]
    longest = max(curve["epochs"] for curve in curves)
    generator = np.random.default_rng(0)
    orders = [generator.permutation(len(curves)) for _ in range(n_orders)]
    whole, full = replay(curves, orders[0], None, at_once)
    for name, make in rules(written["rows"], longest).items():
        shares, regrets, lost = [], [], []
        for order in orders:
            spent, best = replay(curves, order, make(), at_once)
            shares.append(spent / whole)
            regrets.append(100 * (best.min() - full.min()) / abs(full.min()))
            lost.append(best[full.argmin()] > full.min())
        print(
            f"{path.stem[:20]:20} {name:12} {np.mean(shares):7.2f} {np.mean(regrets):7.2f}% "
            f"{np.max(regrets):7.2f}% {100 * np.mean(lost):9.0f}%",
            flush=True,
        )


if __name__ == "__main__":
    main()
