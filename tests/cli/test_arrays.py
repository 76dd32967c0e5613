"""NPZ files and test tables on the command line: without labels, and with odd rows."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tests.cli.conftest import HOLDOUT, Run

SEARCH = (*HOLDOUT, "--space", "space.toml", "--trials", "1", "--finalists", "0")


def test_rows_without_labels_are_predicted_and_not_scored(here: Path, autotrain: Run) -> None:
    x = np.random.default_rng(0).normal(size=(60, 2))
    labels = (x[:, 0] > 0.5).astype(">i2")
    np.savez(here / "known.npz", X=x.astype(">f4"), y=labels)
    assert autotrain("search", "known.npz", "--study", "arrays", *SEARCH).code == 0
    for name in ("X", "x_test"):
        np.savez(here / f"{name}.npz", **{name: x[:3]})  # type: ignore[arg-type]
        done = autotrain("predict", "arrays", f"{name}.npz")
        assert done.code == 0, done.err
        assert len(done.out.splitlines()) == 4
        done = autotrain("evaluate", "arrays", f"{name}.npz")
        assert (done.code, done.out) == (2, "")
        assert "must contain labels for training or scoring" in done.err
    # Rows to predict beside rows with labels: only the latter can be scored.
    np.savez(here / "both.npz", x_train=x, y_train=labels, x_test=x[:3])
    assert len(autotrain("predict", "arrays", "both.npz").out.splitlines()) == 4
    assert autotrain("evaluate", "arrays", "both.npz").out.startswith("60 rows")


def test_search_and_evaluate_print_the_same_test_scores(here: Path, autotrain: Run) -> None:
    (here / "odd.csv").write_text(
        "age,city,income,bought\n30,Trier,2500,no\n,Ulm,2000,yes\n41,Trier,3100,no\n"
    )
    words = ("shop.csv", "--target", "bought", "--test", "odd.csv", "--study", "odd", *SEARCH)
    searched, evaluated = autotrain("search", *words), autotrain("evaluate", "odd", "odd.csv")
    assert searched.code == evaluated.code == 0, searched.err + evaluated.err
    for part in (
        "column 'age': 1 cell missing, but no cell was missing in training",
        "column 'city': 2 cells with categories that are not in the training rows ('Trier')",
    ):
        assert f"the test rows (odd.csv): {part}" in searched.err
        assert part in evaluated.err


def test_error_lists_the_rows_that_were_dropped(here: Path, autotrain: Run) -> None:
    rows = "".join(f"{n / 7},{'None' if n % 2 else 'Some'}\n" for n in range(40))
    (here / "damage.csv").write_text("x,damage\n" + rows)
    done = autotrain("search", "damage.csv", "--target", "damage", "--dry-run")
    assert (done.code, done.out) == (2, "")
    error, note = done.err.splitlines()
    assert error.startswith("Error: target 'damage' must have at least two different values")
    assert note.startswith("Note: 20 of 40 rows of damage.csv are dropped")
