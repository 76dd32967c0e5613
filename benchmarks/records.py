"""Record searches, so that rules can be replayed on them.

    python -m benchmarks.records --data FOLDER --output RECORDS [--sets …] [--seeds 0 1]

winners.py replays rules for choosing a model, calibration_rules.py rules for calibration, and
longer.py compares the two models that a search exported: a search is interrupted after `--share` of
its time, exports its model, and is resumed.

`RECORDS/{table}-{seed}.pkl` is a pickled dictionary. Read only records that you made yourself:
reading a pickle can run code.

    name, seed, task, metric, classes, target_std (1.0 for classes)
    n_train, n_valid (of one fold), n_folds, seconds (of the search)
    fold_of_row [n]         fold of each validation row, rows of all folds one after another
    y_valid [n], y_test [m] class numbers, or numbers in the target's units
    trials                  number, state, value, cause and completed_s of every trial that ended
    shipped                 (trial, repeat) of the winner; an export may average it with others
    exports                 the models exported after the share of the time and at the end
        seconds, n_trainings (averaged), n_trials, reason, validation
        losses              [m] loss of each test row by what was predicted: −log p for `point` and
                            `mc` (100 masks), each also `calibrated`; squared errors for numbers
    trainings               those that were kept, the best first; repeat > 0: from another seed
        trial, repeat, value, n_parameters, has_dropout
        completed_s         seconds since the search began; None for repeats
        valid_point         each row by the network that did not train on it, dropout off:
                            log p [n, C], or numbers [n]
        test_point          the average of the folds' networks, dropout off: log p [m, C], or [m]
        valid_mc, test_mc   the same of 100 samples: log of the mean p, or samples [100, n]

Tables are those of quality.py, split by it. Files that are there are kept.
"""

from __future__ import annotations

import argparse
import math
import pickle
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from optuna.trial import TrialState

from autotrain import Study
from autotrain.bundle.record import ENSEMBLE
from autotrain.data.dataset import Dataset
from autotrain.export.members import members_of
from autotrain.predictor import Predictor
from autotrain.predictor.evaluation import Truth
from autotrain.search.checkpoints import FOLDER, Checkpoints
from autotrain.search.progress import Silent
from autotrain.search.trained import Trained
from autotrain.search.winner import winner_of
from benchmarks.quality import LEFT_OUT, SETS, Split, make_split

SAMPLES = 100
LEAST_LOG_P = math.log(1e-7)
"""Test probabilities are clipped there, as in quality.py."""


def search(
    split: Split, folder: Path, timeout: float, workers: int, share: float
) -> dict[str, Any]:
    """Search a table and return its record."""
    with Study(
        "records",
        data=str(split.train),
        target=split.target,
        task=split.task,
        test=str(split.test),
        workers=workers,
        seed=split.seed,
        directory=folder,
    ) as study:
        started = time.time()
        exports = []
        for seconds in (share * timeout, (1 - share) * timeout):
            study.optimize(timeout=seconds, observer=Silent())
            exports.append(export_record(study) | {"seconds": seconds})
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
        data = study.dataset
        frame, labels = data.raw_test()
        trial, winner = winner_of(
            study.optuna_study.get_trials(deepcopy=False),
            study.optuna_study.user_attrs,
            study.metric,
        )
        assert trial is not None
        return {
            "name": split.name,
            "seed": split.seed,
            "task": data.task,
            "metric": study.metric.name,
            "classes": data.classes,
            "target_std": 1.0 if data.classes else data.folds[0].target_std,
            "n_train": data.n_train,
            "n_valid": data.n_valid,
            "n_folds": len(data.folds),
            "seconds": timeout,
            "fold_of_row": np.repeat(
                np.arange(len(data.folds)), [len(split.valid) for split in data.splits]
            ),
            "y_valid": np.concatenate([_truth(shipped, y) for _, y in _validation(data)]),
            "y_test": _truth(shipped, labels),
            "trials": trials,
            "shipped": (trial.number, 0 if winner is None else winner.repeat),
            "exports": exports,
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


def export_record(study: Study) -> dict[str, Any]:
    """Return a description of the exported model and the loss of each test row."""
    predictor, selection = study.best_predictor(), study.selection
    assert selection is not None
    frame, labels = study.dataset.raw_test()
    y, x = _truth(predictor, labels), predictor.joint.rows_of(frame)
    point = predictor.joint.draw(x, 0, 0)[0]
    n_samples = SAMPLES if predictor.has_dropout else 0
    if study.dataset.classes:
        mc = predictor.joint.draw(x, n_samples, 0, averaged=True)[0]
        rows = np.arange(len(y))
        calibrated = {
            "point_calibrated": np.log(predictor.predict_proba(frame)),
            "mc_calibrated": predictor.recalibration.apply(torch.from_numpy(mc)).numpy(),
        }
        losses = {
            name: -np.maximum(log_p[rows, y], LEAST_LOG_P).astype(np.float64)
            for name, log_p in ({"point": point, "mc": mc} | calibrated).items()
        }
    else:
        mc = predictor.joint.draw(x, n_samples, 0).mean(axis=0)
        losses = {"point": (point - y) ** 2, "mc": (mc - y) ** 2}
    return {
        "n_trainings": len(predictor.bundle.training.get(ENSEMBLE, (0,))),
        "n_trials": selection.n_trials,
        "reason": selection.reason,
        "validation": study.best_value,
        "losses": losses,
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
    """Return predictions with dropout off, and of samples: their mean, or of numbers each."""
    classifies, x = predictor.bundle.is_classification, predictor.joint.rows_of(frame)
    point = predictor.joint.draw(x, 0, 0)[0]
    samples = predictor.joint.draw(x, n_samples, 0, averaged=classifies)
    return point.astype(np.float32), (samples[0] if classifies else samples).astype(np.float32)


def _validation(data: Dataset) -> list[tuple[Any, Any]]:
    return [data.raw_valid(fold) for fold in range(len(data.folds))]


def _truth(predictor: Predictor, labels: Any) -> np.ndarray:
    return Truth.read(predictor.bundle, labels).y


def main() -> None:
    """Record what is not there yet."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--sets", nargs="+", default=[n for n in SETS if n not in LEFT_OUT])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--timeout", type=float, default=80.0)
    parser.add_argument("--share", type=float, default=0.25, help="of the time, first export")
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
                record = search(
                    split, Path(folder), arguments.timeout, arguments.workers, arguments.share
                )
            path.write_bytes(pickle.dumps(record))
            n_trials, n_kept = len(record["trials"]), len(record["trainings"])
            print(f"{path.name}: {n_trials} trials, {n_kept} trainings", flush=True)


if __name__ == "__main__":
    main()
