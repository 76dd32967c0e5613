"""Typical handwritten code: Optuna around the usual PyTorch loop.

It uses TPE and the median pruner. Two processes with one thread each share the study through a
journal file. Each trial trains an `nn.Sequential` with AdamW, on tensors in memory instead of a
`DataLoader`, with early stopping on a holdout of 20 % of the training rows. The best network is
stored, not retrained. A trial in training at the deadline counts with its best epoch so far.
"""

from __future__ import annotations

import copy
import multiprocessing
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import optuna
import torch
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from sklearn.model_selection import train_test_split
from torch import nn

from benchmarks.rivals.common import Job, read_job
from benchmarks.rivals.encoding import encoder

N_PROCESSES = 2
MAX_EPOCHS = 300
PATIENCE = 20
# Seconds of the time limit that are reserved for the test rows and the exit.
RESERVED_S = 0.5
ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "silu": nn.SiLU, "elu": nn.ELU}


@dataclass(frozen=True)
class Rows:
    """Encoded rows; `y` are indices of labels or standardized targets."""

    x_train: torch.Tensor
    y_train: torch.Tensor
    x_valid: torch.Tensor
    y_valid: torch.Tensor
    x_test: torch.Tensor
    n_outputs: int
    mean: float
    scale: float


def encoded(job: Job) -> Rows:
    """Hold out 20 % of the rows, and encode all rows by the others."""
    kept, held = train_test_split(
        np.arange(len(job.y_train)),
        test_size=0.2,
        random_state=job.seed,
        stratify=job.y_train if job.n_classes else None,
    )
    encoding = encoder(job).fit(job.x_train.iloc[kept])
    mean, scale = 0.0, 1.0
    y = torch.from_numpy(job.y_train)
    if not job.n_classes:
        mean, scale = float(job.y_train[kept].mean()), float(job.y_train[kept].std())
        y = ((y - mean) / scale).float()[:, None]

    def x_of(rows: object) -> torch.Tensor:
        return torch.from_numpy(encoding.transform(rows).astype(np.float32))

    return Rows(
        x_of(job.x_train.iloc[kept]),
        y[kept],
        x_of(job.x_train.iloc[held]),
        y[held],
        x_of(job.x_test),
        job.n_classes or 1,
        mean,
        scale,
    )


def network(trial: optuna.Trial, rows: Rows) -> nn.Sequential:
    """Return the network of a trial."""
    activation = ACTIVATIONS[trial.suggest_categorical("activation", list(ACTIVATIONS))]
    batch_norm = trial.suggest_categorical("batch_norm", [False, True])
    rate = trial.suggest_float("dropout", 0.0, 0.5)
    width = trial.suggest_int("width", 64, 512, log=True)
    layers: list[nn.Module] = []
    n_inputs = rows.x_train.shape[1]
    for _ in range(trial.suggest_int("layers", 1, 4)):
        layers.append(nn.Linear(n_inputs, width))
        layers += [nn.BatchNorm1d(width)] if batch_norm else []
        layers += [activation(), nn.Dropout(rate)]
        n_inputs = width
    return nn.Sequential(*layers, nn.Linear(n_inputs, rows.n_outputs))


class Search:
    """The part of the study in one process; stores its best network."""

    def __init__(self, job: Job, rows: Rows, number: int) -> None:
        assert job.deadline is not None
        self.job, self.rows, self.number = job, rows, number
        self.deadline = job.deadline - RESERVED_S
        self.loss = nn.CrossEntropyLoss() if job.n_classes else nn.MSELoss()
        self.best = float("inf")
        self.model: nn.Sequential | None = None

    def objective(self, trial: optuna.Trial) -> float:
        """Train a trial; return the validation loss of its best epoch."""
        rows = self.rows
        model = network(trial, rows)
        optimizer = torch.optim.AdamW(
            model.parameters(),
            lr=trial.suggest_float("lr", 1e-4, 1e-2, log=True),
            weight_decay=trial.suggest_float("weight_decay", 1e-6, 1e-1, log=True),
        )
        size = trial.suggest_categorical("batch_size", [32, 64, 128, 256, 512])
        best, since = float("inf"), 0
        for epoch in range(MAX_EPOCHS):
            in_time = self.epoch(model, optimizer, size)
            model.eval()
            with torch.no_grad():
                value = self.loss(model(rows.x_valid), rows.y_valid).item()
            if value < best:
                best, since = value, 0
                if value < self.best:
                    self.best, self.model = value, copy.deepcopy(model)
            else:
                since += 1
            if not in_time or since >= PATIENCE:
                break
            trial.report(value, epoch)
            if trial.should_prune():
                raise optuna.TrialPruned
        return best

    def epoch(self, model: nn.Sequential, optimizer: torch.optim.Optimizer, size: int) -> bool:
        """Train an epoch; return False if the time ended in it."""
        model.train()
        for batch in torch.randperm(len(self.rows.x_train)).split(size):
            if time.time() > self.deadline:
                return False
            if len(batch) == 1:  # batch norm needs two rows
                continue
            optimizer.zero_grad()
            self.loss(model(self.rows.x_train[batch]), self.rows.y_train[batch]).backward()
            optimizer.step()
        return True

    def run(self, journal: Path, output: Path) -> None:
        """Search until the deadline; write the best network's predictions and its value."""
        torch.set_num_threads(1)
        seed = self.job.seed * N_PROCESSES + self.number
        torch.manual_seed(seed)
        study = optuna.create_study(
            study_name="rival",
            storage=JournalStorage(JournalFileBackend(str(journal))),
            sampler=optuna.samplers.TPESampler(seed=seed, constant_liar=True),
            pruner=optuna.pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=5),
            load_if_exists=True,
        )
        while time.time() < self.deadline:
            study.optimize(self.objective, n_trials=1)
        assert self.model is not None, "no epoch of any trial ended in time"
        self.model.eval()
        with torch.no_grad():
            outputs = self.model(self.rows.x_test).double()
        if self.job.n_classes:
            prediction = outputs.softmax(1).numpy()
        else:
            prediction = outputs[:, 0].numpy() * self.rows.scale + self.rows.mean
        trials = len(study.get_trials(deepcopy=False))
        np.savez(output, prediction=prediction, value=self.best, trials=trials)


def main() -> None:
    """Run both processes, and use the better network."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    torch.set_num_threads(1)
    job = read_job()
    rows = encoded(job)
    folder = job.output.parent
    # With fork, the other process need not import and encode again. There is no other thread yet.
    context = multiprocessing.get_context("fork")
    parts = [folder / f"part{number}.npz" for number in range(N_PROCESSES)]
    searches = [Search(job, rows, number) for number in range(N_PROCESSES)]
    journal = folder / "journal.log"
    others = [
        context.Process(target=searches[number].run, args=(journal, parts[number]))
        for number in range(1, N_PROCESSES)
    ]
    for process in others:
        process.start()
    searches[0].run(journal, parts[0])
    for process in others:
        process.join()
    results = [dict(np.load(part)) for part in parts if part.is_file()]
    best = min(results, key=lambda result: float(result["value"]))
    value = float(best["value"]) if job.n_classes else float(best["value"]) ** 0.5 * rows.scale
    trials = max(int(result["trials"]) for result in results)
    job.answer(best["prediction"], trials=trials, validation_value=value)


if __name__ == "__main__":
    main()
