"""Common code of the rivals: read the job, write the predictions.

A rival is a module that runs as `python -m benchmarks.rivals.NAME JOB.json`, possibly in its own
environment, so it does not import autotrain. The job has the paths of two CSV files; the test rows
have no target. The result is an NPZ file with `prediction`: probabilities `[N, C]` in the order of
the sorted labels, or numbers `[N]`; after a search also `trials` and `validation_value`.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd


@dataclass(frozen=True)
class Job:
    """Training rows and test rows.

    Attributes:
        x_train, x_test: frames with equal columns and types: numbers as float64 with NaN for
            missing cells, all others as categories with `""` for missing cells.
        y_train: `[N]` indices of the sorted labels, or numbers.
        n_classes: number of classes; 0 for regression.
        deadline: `time.time()` at which a search must end; None for methods without a time limit.
    """

    x_train: pd.DataFrame
    x_test: pd.DataFrame
    y_train: np.ndarray
    n_classes: int
    seed: int
    deadline: float | None
    output: Path

    @property
    def numbers(self) -> list[str]:
        """Names of the numeric columns."""
        return list(self.x_train.select_dtypes("number").columns)

    @property
    def categories(self) -> list[str]:
        """Names of the other columns."""
        return list(self.x_train.select_dtypes("category").columns)

    def answer(
        self,
        prediction: np.ndarray,
        *,
        trials: int | None = None,
        validation_value: float | None = None,
    ) -> None:
        """Write the predictions of the test rows."""
        extra = {"trials": trials, "validation_value": validation_value}
        arrays: dict[str, Any] = {k: np.asarray(v) for k, v in extra.items() if v is not None}
        np.savez(self.output, prediction=np.asarray(prediction, dtype=np.float64), **arrays)


def read_job() -> Job:
    """Read the job from the command line."""
    given = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    train, x_test = typed(read_texts(given["train"]), read_texts(given["test"]))
    target = pd.read_csv(given["train"], usecols=[given["target"]], dtype=str, na_filter=False)
    labels = target[given["target"]]
    classes = given["classes"]
    y = labels.astype(float) if not classes else labels.map({c: i for i, c in enumerate(classes)})
    return Job(
        x_train=train.drop(columns=given["target"]),
        x_test=x_test,
        y_train=y.to_numpy(),
        n_classes=len(classes),
        seed=given["seed"],
        deadline=given["deadline"],
        output=Path(given["output"]),
    )


def read_texts(path: str) -> pd.DataFrame:
    """Read a CSV file with all cells as text."""
    return pd.read_csv(path, dtype=str, na_filter=False)


def typed(train: pd.DataFrame, test: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Set the types of the columns by the training rows.

    A column is numeric if each training cell is a number or empty. Categories are those of the
    training rows; other categories of the test rows count as missing (`""`).
    """
    columns, tests = {}, {}
    for name in train.columns:
        numbers = pd.to_numeric(train[name], errors="coerce")
        if not (numbers.isna() & (train[name] != "")).any():
            columns[name] = numbers.astype(float)
            if name in test.columns:
                tests[name] = pd.to_numeric(test[name], errors="coerce").astype(float)
            continue
        levels = sorted({"", *train[name]})
        columns[name] = pd.Series(pd.Categorical(train[name], levels))
        if name in test.columns:
            known = test[name].where(test[name].isin(levels), "")
            tests[name] = pd.Series(pd.Categorical(known, levels))
    return pd.DataFrame(columns), pd.DataFrame(tests)
