"""Records searches, so that winners.py can compare rules for choosing a model.

    python -m benchmarks.records --data FOLDER --output RECORDS [--sets …] [--seeds 0 1]

`RECORDS/{table}-{seed}.pkl` is a pickled dictionary:

    name, seed, task, metric, classes, target_std (1.0 for classes)
    n_train, n_valid (of one fold), n_folds, seconds (of the search)
    fold_of_row [n]         fold of each validation row, rows of all folds one after another
    y_valid [n], y_test [m] class numbers, or numbers in the target's units
    trials                  number, state, value, cause and completed_s of every finished trial
    shipped                 (trial, repeat) of the exported single model
    trainings               stored trainings, best first; repeat > 0 means another seed
        trial, repeat, value, n_parameters, has_dropout
        completed_s         seconds since the search began; None for repeats
        valid_point         out of fold, without dropout:
                            log p [n, C], or numbers [n]
        test_point          average of the folds' networks, without dropout: log p [m, C], or [m]
        valid_mc, test_mc   the same with 100 samples: log of the mean p, or samples [100, n]

Tables and splits are those of quality.py. Existing files are kept.
"""

from __future__ import annotations

import argparse
import pickle
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from optuna.trial import TrialState

from autotrain import Study
from autotrain.data.dataset import Dataset
from autotrain.export.members import members_of
from autotrain.predictor import Predictor
from autotrain.predictor.evaluation import Truth
from autotrain.search.checkpoints import FOLDER, Checkpoints
from autotrain.search.progress import Silent
from autotrain.search.trained import Trained
from benchmarks.quality import LEFT_OUT, SETS, Split, make_split

SAMPLES = 100


def search(split: Split, folder: Path, timeout: float, workers: int) -> dict[str, Any]:
    """Run a search on a table and return its record."""
    with Study(
        "records",
        data=str(split.train),
        target=split.target,
        task=split.task,
        test=str(split.test),
        ensemble=0,
        workers=workers,
        seed=split.seed,
        directory=folder,
    ) as study:
        started = time.time()
        study.optimize(timeout=timeout, observer=Silent())
        trials = [
            {
                "number": trial.number,
                "state": trial.state.name,
                "value": trial.value,
                "cause": trial.user_attrs.get("cause"),
                "completed_s": trial.datetime_complete.timestamp() - started,
            }
            for trial in study.optuna_study.get_trials(deepcopy=False)
            if trial.datetime_complete is not None
        ]
        complete = {t["number"]: t for t in trials if t["state"] == TrialState.COMPLETE.name}
        kept = Checkpoints(study.folder / FOLDER, study.metric.sign).all()
        shipped = study.best_predictor()
        data, training = study.dataset, shipped.bundle.training
        frame, labels = data.raw_test()
        return {
            "name": split.name,
            "seed": split.seed,
            "task": data.task,
            "metric": study.metric.name,
            "classes": data.classes,
            "target_std": 1.0 if data.classes else data.target_std,
            "n_train": data.n_train,
            "n_valid": data.n_valid,
            "n_folds": len(data.folds),
            "seconds": timeout,
            "fold_of_row": np.repeat(
                np.arange(len(data.folds)), [len(fold.valid_rows) for fold in data.folds]
            ),
            "y_valid": np.concatenate([_truth(shipped, y) for _, y in _validation(data)]),
            "y_test": _truth(shipped, labels),
            "trials": trials,
            "shipped": (training["trial"], training["repeat"]),
            "trainings": [
                predictions(trained, shipped, data, frame)
                | {
                    "completed_s": None
                    if trained.repeat
                    else complete[trained.number]["completed_s"]
                }
                for trained in kept
                if trained.number in complete
            ],
        }


def predictions(
    trained: Trained, shipped: Predictor, data: Dataset, test_frame: Any
) -> dict[str, Any]:
    """Return the predictions of one training for the validation and the test rows."""
    members = members_of(trained.config, trained.outcomes, data)
    folds = [Predictor(replace(shipped.bundle, members=(member,))) for member in members]
    whole = Predictor(replace(shipped.bundle, members=members))
    n_samples = SAMPLES if whole.has_dropout else 0
    frames = [frame for frame, _ in _validation(data)]
    valid = [_drawn(fold, frame, n_samples) for fold, frame in zip(folds, frames, strict=True)]
    test = _drawn(whole, test_frame, n_samples)
    classifies = bool(data.classes)
    return {
        "trial": trained.number,
        "repeat": trained.repeat,
        "value": trained.value,
        "n_parameters": max(len(member.parameters) for member in members),
        "has_dropout": whole.has_dropout,
        "valid_point": np.concatenate([point for point, _ in valid]),
        "valid_mc": np.concatenate([mc for _, mc in valid], axis=0 if classifies else 1),
        "test_point": test[0],
        "test_mc": test[1],
    }


def _drawn(predictor: Predictor, frame: Any, n_samples: int) -> tuple[np.ndarray, np.ndarray]:
    """Return predictions without dropout, and of samples: mean of p, or each for regression."""
    classifies, x = predictor.bundle.is_classification, predictor.encoded(frame)
    point = predictor.draw(x, 0, 0)[0]
    samples = predictor.draw(x, n_samples, 0, averaged=classifies)
    return point.astype(np.float32), (samples[0] if classifies else samples).astype(np.float32)


def _validation(data: Dataset) -> list[tuple[Any, Any]]:
    return [data.apart(data.raw.iloc[fold.valid_rows]) for fold in data.folds]


def _truth(predictor: Predictor, labels: Any) -> np.ndarray:
    return Truth.read(predictor.bundle, labels).y


def main() -> None:
    """Record all searches that have no file yet."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--sets", nargs="+", default=[n for n in SETS if n not in LEFT_OUT])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--timeout", type=float, default=80.0)
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    for seed in arguments.seeds:
        for name in arguments.sets:
            path = arguments.output / f"{name}-{seed}.pkl"
            if path.exists():
                continue
            with tempfile.TemporaryDirectory() as folder:
                split = make_split(arguments.data, name, seed, Path(folder))
                record = search(split, Path(folder), arguments.timeout, arguments.workers)
            path.write_bytes(pickle.dumps(record))
            n_trials, n_kept = len(record["trials"]), len(record["trainings"])
            print(f"{path.name}: {n_trials} trials, {n_kept} trainings", flush=True)


if __name__ == "__main__":
    main()
