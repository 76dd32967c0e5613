"""Compares one common best epoch for all folds of a trial with a best epoch for each fold.

    python -m benchmarks.common_epoch --data FOLDER [--sets pima mpg] [--configurations 8]

Tables and splits are those of quality.py, with the folds that a search would have. Each of the
first configurations of `default` (its baselines, then random ones) is trained twice from the same
seed: once as in a search, where each fold keeps the weights of its own best epoch, and once until
the epoch with the best mean score of the folds, whose weights all folds keep. The average of the
folds is scored on the test rows. The table has the mean over configurations of log(common / own) of
the test loss (`FLOOR` is added to log losses), and its standard error.
"""

from __future__ import annotations

import argparse
import math
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import optuna
import torch

from autotrain import Study
from autotrain.bundle import Bundle
from autotrain.export.members import members_of
from autotrain.network.config import view_of
from autotrain.predictor.evaluation import Truth
from autotrain.predictor.joint import Joint
from autotrain.search.retraining import train_again
from autotrain.space.config import TrialConfig
from autotrain.training.rows import problem_of
from autotrain.training.slot import Admission, Outcome
from autotrain.training.trainer import Trainer
from benchmarks.longer import FLOOR
from benchmarks.quality import SETS, make_split

TABLES = ("pima", "ecoli", "mpg", "titanic", "wine", "insurance", "penguins", "bodyfat")
SEED = 1000


def configurations(study: Study, n: int) -> Iterator[TrialConfig]:
    """Yield the first configurations that a random search would try."""
    asked = optuna.create_study(sampler=study.sampler, direction=study.metric.direction)
    for baseline in study.space.baselines():
        asked.enqueue_trial(baseline)
    for _ in range(n):
        trial = asked.ask()
        yield study.space.suggest(trial)
        asked.tell(trial, 0.0)


def train(study: Study, config: TrialConfig, seed: int) -> tuple[tuple[Outcome, ...], int]:
    """Return the outcomes of all folds, and the epoch with the best mean score of the folds."""
    trainer = new_trainer(study, config)
    n_folds = len(study.dataset.folds)
    for fold in range(n_folds):
        trainer.admit(Admission(fold, config, seed, fold))
    scores: list[list[float]] = [[] for _ in range(n_folds)]
    outcomes: dict[int, Outcome] = {}
    for message in trainer.run():
        if isinstance(message, Outcome):
            outcomes[message.slot] = message
        else:
            scores[message.slot].append(message.value)
    n_epochs = min(map(len, scores))
    means = np.mean([own[:n_epochs] for own in scores], axis=0)
    common = int(np.argmin(study.metric.sign * means)) + 1
    return tuple(outcomes[fold] for fold in range(n_folds)), common


def train_until(study: Study, config: TrialConfig, seed: int, epoch: int) -> tuple[Outcome, ...]:
    """Return the outcomes of all folds with the weights of that epoch."""
    stopping = replace(
        config.early_stopping,
        parameters={**config.early_stopping.parameters, "restore_best_weights": False},
    )
    config = replace(config, early_stopping=stopping)
    n_folds = len(study.dataset.folds)
    trainer = new_trainer(study, config)
    return train_again(trainer, config, seed, n_folds=n_folds, epochs=[epoch])


def new_trainer(study: Study, config: TrialConfig) -> Trainer:
    """Return a trainer for the study's folds."""
    folds = study.dataset.encoded_folds([view_of(config)])
    return Trainer(problem_of(study.dataset, study.metric), folds)


def test_loss(study: Study, config: TrialConfig, outcomes: tuple[Outcome, ...]) -> float:
    """Return the log loss, or the root mean squared error, of the folds' average."""
    dataset = study.dataset
    bundle = Bundle(
        task=dataset.task,
        target=dataset.target,
        classes=dataset.classes,
        label_dtype=dataset.label_dtype,
        members=members_of(config, outcomes, dataset),
        metric=study.metric.name,
        training={},
        data={},
        versions={},
        created="",
    )
    frame, labels = dataset.raw_test()
    joint, y = Joint(bundle), Truth.read(bundle, labels, None).y
    (predicted,) = joint.draw(joint.rows_of(frame), 0, 0)
    if dataset.classes:
        return float(-predicted[np.arange(len(y)), y].mean()) + FLOOR
    return math.sqrt(float(((predicted - y) ** 2).mean()))


def compare(study: Study, n_configurations: int) -> list[float]:
    """Return log(common / own) of the test loss for each configuration that does not diverge."""
    found = []
    for number, config in enumerate(configurations(study, n_configurations)):
        own, epoch = train(study, config, SEED + number)
        if all(o.parameters is not None and o.cause != "diverged" for o in own):
            common = train_until(study, config, SEED + number, epoch)
            losses = [test_loss(study, config, each) for each in (common, own)]
            found.append(math.log(losses[0] / losses[1]))
    return found


def main() -> None:
    """Print a line per table, and the mean over the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--sets", nargs="+", default=list(TABLES), choices=list(SETS))
    parser.add_argument("--configurations", type=int, default=8)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    print("| data | configurations | common against own, % | ± |\n| --- | --- | --- | --- |")
    means = []
    for name in arguments.sets:
        with tempfile.TemporaryDirectory() as folder:
            split = make_split(arguments.data, name, 0, Path(folder))
            study = Study(
                "epochs",
                data=str(split.train),
                target=split.target,
                task=split.task,
                test=str(split.test),
                sampler="random",
                directory=folder,
            )
            ratios = compare(study, arguments.configurations)
        means.append(np.mean(ratios))
        error = np.std(ratios, ddof=1) / math.sqrt(len(ratios))
        print(
            f"| {name} | {len(ratios)} | {100 * means[-1]:+.1f} | {100 * error:.1f} |", flush=True
        )
    error = np.std(means, ddof=1) / math.sqrt(len(means))
    print(f"\nmean of the tables: {100 * np.mean(means):+.1f} ± {100 * error:.1f} %")


if __name__ == "__main__":
    main()
