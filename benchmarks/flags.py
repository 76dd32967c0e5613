"""Prints diagnostic flags of random trials with the values behind them, for manual inspection.

    python benchmarks/flags.py DATA [--target NAME] [--space deep] [--trials 60] [--seed 0]
        [--epochs 6]

It draws random configurations of a space and trains each on the first fold without pruning. For
each trial it prints configuration and flags, training and validation loss of each epoch, gradient
norms by layer at the first step and in the last epoch (the output layer last), and the fractions of
dead units or of saturated outputs ("flat") by layer.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

os.environ.setdefault("OMP_NUM_THREADS", "1")

import optuna
import torch

from autotrain.network.config import view_of
from autotrain.search.facts import summary
from autotrain.space.config import TrialConfig
from autotrain.space.forbidding import ForbiddenCombination
from autotrain.space.search_space import SearchSpace
from autotrain.study import Study
from autotrain.training.rows import problem_of
from autotrain.training.slot import Admission, EpochReport, Outcome
from autotrain.training.trainer import Trainer


def main() -> None:
    """Train the trials and print them."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data")
    parser.add_argument("--target")
    parser.add_argument("--space", default="deep")
    parser.add_argument("--trials", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=6)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with tempfile.TemporaryDirectory() as folder:
        study = Study(
            "flags",
            data=arguments.data,
            target=arguments.target,
            space=arguments.space,
            validation="holdout",
            workers=1,
            directory=folder,
        )
        configs = draw(study.space, arguments.trials, arguments.seed, arguments.epochs)
        views = {view_of(config) for config in configs}
        problem = problem_of(study.dataset, study.metric)
        trainer = Trainer(problem, study.dataset.encoded_folds(views)[:1])
    for number, config in enumerate(configs):
        trainer.admit(Admission(number, config, seed=arguments.seed * 1000 + number))
    messages = trainer.run()
    found = []
    for number, config in enumerate(configs):
        own = [message for message in messages if message.slot == number]
        reports = [message for message in own if isinstance(message, EpochReport)]
        (end,) = [message for message in own if isinstance(message, Outcome)]
        found.append(end.diagnosis.flags)
        print("\n".join(lines_of(number, config, reports, end)), flush=True)
    counted = Counter(flag for flags in found for flag in flags)
    print(f"\n{len(configs)} trials: {dict(counted)}, {sum(not each for each in found)} without")


def draw(space: SearchSpace, n: int, seed: int, epochs: int) -> list[TrialConfig]:
    """Return configurations of a space, drawn at random."""
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed))
    configs: list[TrialConfig] = []
    while len(configs) < n:
        try:
            configs.append(replace(space.suggest(study.ask()), epochs=epochs))
        except ForbiddenCombination:
            continue
    return configs


def lines_of(
    number: int, config: TrialConfig, reports: Sequence[EpochReport], end: Outcome
) -> list[str]:
    """Return a description of one trial in a few lines."""
    diagnosis = end.diagnosis
    flags = " ".join(diagnosis.flags) or "-"
    if diagnosis.explosion is not None:
        flags += f" ({diagnosis.explosion}, epoch {diagnosis.explosion_epoch})"
    lines = [
        f"#{number} {_words(config)} -> {end.cause} after {end.epochs}: {flags}",
        f"   loss    start {_text(diagnosis.start_loss)}, train "
        + " ".join(_text(report.train_loss) for report in reports)
        + ", valid "
        + " ".join(_text(report.valid_loss) for report in reports),
        f"   start   {_row(diagnosis.start_norms)}",
        f"   last    {_row(diagnosis.norms)}   ratio {_text(diagnosis.ratio)}",
    ]
    for word, shares in (("dead", diagnosis.dead_units), ("flat", diagnosis.saturated)):
        if shares is not None:
            lines.append(f"   {word}    {' '.join(f'{share:.2f}' for share in shares)}")
    return lines


def _words(config: TrialConfig) -> str:
    """Return a configuration in one line; equal layers as 12×64."""
    widths = dict.fromkeys(config.hidden_units)
    name = "-".join(map(str, config.hidden_units)) or "linear"
    words = summary(config)
    if len(widths) == 1:
        words = words.replace(name, f"{len(config.hidden_units)}×{config.hidden_units[0]}", 1)
    extra = [
        config.initializer.name,
        f"clip {config.clipping.name}",
        f"scaler {config.scaler.name}",
    ]
    return ", ".join([words, *extra])


def _row(values: Sequence[float]) -> str:
    return " ".join(_text(value) for value in values)


def _text(value: float | None) -> str:
    return "–" if value is None else f"{value:.3g}"


if __name__ == "__main__":
    main()
