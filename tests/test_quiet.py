"""Output of a study's methods, and their arguments."""

from __future__ import annotations

import inspect
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from autotrain import MLPSearchClassifier, Study
from autotrain.search.progress import Progress

SPACE = {"network": {"hidden_units": 4}, "training": {"epochs": 2, "batch_size": 16}}


def frame() -> pd.DataFrame:
    x = np.random.default_rng(0).normal(size=(60, 2))
    return pd.DataFrame({"a": x[:, 0], "b": x[:, 1], "y": (x[:, 0] > 0).astype(int)})


def study(folder: Path) -> Study:
    return Study(
        "quiet",
        data=frame(),
        target="y",
        space=SPACE | {"optimizer": {"learning_rate": {"low": 1e-3, "high": 1e-1}}},
        validation="holdout",
        workers=1,
        finalists=0,
        directory=folder,
    )


@pytest.mark.parametrize("is_quiet", [True, False])
def test_quiet_search_writes_nothing(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], is_quiet: bool
) -> None:
    with study(tmp_path) as searched:
        searched.optimize(n_trials=1, quiet=is_quiet)
        searched.finish(quiet=is_quiet)
    shown = capfd.readouterr()
    assert shown.out == ""
    assert (shown.err == "") is is_quiet


def test_observer_is_called_in_a_quiet_search(tmp_path: Path) -> None:
    seen: list[Progress] = []

    class Notes:
        def update(self, progress: Progress) -> None:
            seen.append(progress)

    with study(tmp_path) as searched:
        searched.optimize(n_trials=1, observer=Notes(), quiet=True)
    assert seen[-1].n_done == 1


@pytest.mark.parametrize("verbose", [0, 1])
def test_verbose_estimator_shows_progress(capfd: pytest.CaptureFixture[str], verbose: int) -> None:
    table = frame()
    model = MLPSearchClassifier(space=SPACE, n_trials=1, timeout=None, verbose=verbose)
    model.fit(table[["a", "b"]], table["y"])
    assert (capfd.readouterr().err != "") is bool(verbose)


def test_public_methods_take_no_command_line_plumbing() -> None:
    for name, method in inspect.getmembers(Study, inspect.isfunction):
        if not name.startswith("_"):
            assert not {"started_s", "reserve_s", "budget"} & set(
                inspect.signature(method).parameters
            ), name
