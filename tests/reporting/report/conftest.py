"""Two small studies with hostile names, searched once, and the facts of their reports."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_breast_cancer, load_diabetes

from autotrain.reporting.report.facts import Content, ReportFacts, facts_of
from autotrain.search.opening import seen_study
from autotrain.study import Study

HOSTILE = "<script>alert(1)</script><img src='https://example.org/x.png'>"
LABEL = "<a href='http://example.org'>yes</a>&\"'"
SPACE = {
    "network": {"hidden_layers": 2, "hidden_units": 8},
    "activation": {"choices": ["relu", "elu", "tanh"]},
    "dropout": {"choice": "dropout", "rate": 0.1},
    "optimizer": {
        "choices": ["adam", "momentum"],
        "learning_rate": {"low": 1e-3, "high": 1e-1, "log": True},
    },
    "training": {"batch_size": 32, "epochs": 6},
}
OPTIONS: dict[str, Any] = {
    "space": SPACE,
    "workers": 1,
    "device": "cpu",
    "finalists": 0,
    "ensemble": 0,
    "sampler": "random",
}
N_TRIALS = 8


def labelled_table() -> pd.DataFrame:
    """Return a table with two classes, a text column and names that contain HTML."""
    X, y = load_breast_cancer(return_X_y=True)
    frame = pd.DataFrame(X[:, :5], columns=[HOSTILE, "b", "c", "d", "e"])
    frame["city"] = np.where(X[:, 1] > 20, "<b>Ulm</b>", "Bonn")
    frame["label"] = np.where(y == 1, LABEL, "no")
    return frame


def numbered_table() -> pd.DataFrame:
    X, y = load_diabetes(return_X_y=True)
    frame = pd.DataFrame(X, columns=[f"x{place}" for place in range(X.shape[1])])
    frame["amount"] = y
    return frame


def content_of(study: Study) -> Content:
    """Return the content of a closed study."""
    with seen_study(study.folder) as seen:
        return Content(
            folder=study.folder,
            definition=study.definition,
            space=study.space,
            metric=study.metric,
            dataset=study.dataset,
            trials=seen.trials,
            user_attrs=seen.user_attrs,
            lost=seen.lost,
            is_running=False,
            predictor=study.best_predictor(),
        )


@pytest.fixture(scope="session")
def studies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("reports")


@pytest.fixture(scope="session")
def classified(studies: Path) -> Study:
    """A closed study of two classes, validated by a holdout."""
    study = Study(
        "classified",
        data=labelled_table(),
        target="label",
        validation="holdout",
        directory=studies,
        **OPTIONS,
    )
    study.optimize(n_trials=N_TRIALS, quiet=True)
    study.close()
    return study


@pytest.fixture(scope="session")
def regressed(studies: Path) -> Study:
    """A closed study of numbers, validated by three folds."""
    study = Study(
        "regressed",
        data=numbered_table(),
        target="amount",
        validation="3-fold",
        directory=studies,
        **OPTIONS,
    )
    study.optimize(n_trials=N_TRIALS, quiet=True)
    study.close()
    return study


@pytest.fixture(scope="session")
def class_facts(classified: Study) -> ReportFacts:
    return facts_of(content_of(classified))


@pytest.fixture(scope="session")
def number_facts(regressed: Study) -> ReportFacts:
    return facts_of(content_of(regressed))
