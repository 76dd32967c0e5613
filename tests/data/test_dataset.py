"""`load_dataset`: split, encoded, and fitted on training rows only."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_diabetes, load_iris

from autotrain.data.dataset import Dataset
from autotrain.data.loading import load_dataset
from autotrain.errors import DataError
from autotrain.techniques.view import View

N = 120


def table(seed: int = 0, n_rows: int = N) -> pd.DataFrame:
    """A table with every kind of column and missing cells in some."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "number": rng.normal(size=n_rows),
            "count": rng.integers(0, 9, n_rows),
            "letter": rng.choice(list("abcd"), n_rows),
            "flag": rng.random(n_rows) < 0.5,
            "day": pd.Timestamp("2024-01-01") + pd.to_timedelta(rng.integers(0, 99, n_rows), "D"),
            "id": rng.permutation(10 * n_rows)[:n_rows],
            "same": 1,
            "amount": rng.normal(size=n_rows),
            "label": rng.choice(["no", "yes", "maybe"], n_rows, p=[0.6, 0.3, 0.1]),
        }
    )
    frame.loc[rng.random(n_rows) < 0.1, "number"] = np.nan
    frame.loc[rng.random(n_rows) < 0.1, "letter"] = None
    return frame


def rows_of(data: Dataset) -> list[np.ndarray]:
    return [data.splits[0].train, data.splits[0].valid, data.test_rows]


def test_iris_is_ready_for_training() -> None:
    data = load_dataset("sklearn:iris")
    assert (data.name, data.source, data.target) == ("iris", "sklearn:iris", "target")
    assert (data.task, data.task_reason) == ("multiclass", "multiclass: 3 labels")
    assert data.classes == ("setosa", "versicolor", "virginica")
    assert (data.n_train, data.n_valid, data.n_test) == (96, 24, 30)
    assert (data.n_features, data.n_inputs, data.notes) == (4, 4, ())
    assert json.loads(json.dumps(data.split)) == {"test": 0.2, "validation": "holdout", "seed": 0}
    for x, y in (
        (data.encoded().x_train, data.folds[0].y_train),
        (data.encoded().x_valid, data.folds[0].y_valid),
        (data.x_test, data.y_test),
    ):
        assert x.dtype == np.float32
        assert y.dtype == np.int64
        assert x.flags.c_contiguous
        assert len(x) == len(y)
        np.testing.assert_array_equal(np.bincount(y), [len(y) / 3] * 3)
    bunch = load_iris()
    for x, y, rows in zip(
        (data.encoded().x_train, data.encoded().x_valid, data.x_test),
        (data.folds[0].y_train, data.folds[0].y_valid, data.y_test),
        rows_of(data),
        strict=True,
    ):
        train = bunch.data[data.splits[0].train]
        wanted = (bunch.data[rows] - train.mean(axis=0)) / train.std(axis=0)
        np.testing.assert_allclose(x, wanted, atol=1e-5)
        np.testing.assert_array_equal(y, bunch.target[rows])


def test_target_of_regression_is_standardized_on_training_rows() -> None:
    data = load_dataset("sklearn:diabetes")
    y = load_diabetes().target
    train, valid, test = rows_of(data)
    assert (data.task, data.classes, data.label_dtype) == ("regression", (), "float64")
    fold = data.folds[0]
    assert fold.target_mean == pytest.approx(y[train].mean())
    assert fold.target_std == pytest.approx(y[train].std())
    for coded, rows in (
        (fold.y_train, train),
        (fold.y_valid, valid),
        (data.y_test, test),
    ):
        assert coded.dtype == np.float32
        np.testing.assert_allclose(
            coded * data.folds[0].target_std + data.folds[0].target_mean, y[rows], rtol=1e-5
        )


@pytest.mark.parametrize("target", ["label", "amount", "flag"])
@pytest.mark.parametrize("validation", ["holdout", "4-fold"])
def test_parts_are_disjoint_and_complete(target: str, validation: str) -> None:
    data = load_dataset(table(), target, validation=validation)
    assert len(data.folds) == (4 if validation == "4-fold" else 1)
    for place, (fold, split) in enumerate(zip(data.folds, data.splits, strict=True)):
        encoded = data.encoded(place)
        rows = np.concatenate([split.train, split.valid, data.test_rows])
        assert sorted(rows) == list(range(N))
        assert len(encoded.x_train) == len(fold.y_train) == len(split.train)
        assert len(encoded.x_valid) == len(fold.y_valid) == len(split.valid)
        n_inputs = data.preprocessor(place).n_inputs
        assert encoded.x_train.shape[1] == encoded.x_valid.shape[1] == n_inputs
    if validation == "4-fold":
        validated = np.concatenate([split.valid for split in data.splits])
        assert sorted([*validated, *data.test_rows]) == list(range(N))


def test_calibration_rows_are_in_no_other_part() -> None:
    frame = table(n_rows=15_000)
    data = load_dataset(frame, "label", weights="count")
    (fold,), (split,) = data.folds, data.splits
    assert split.calibration is not None
    parts = (split.train, split.valid, split.calibration, data.test_rows)
    counting = np.flatnonzero(frame["count"] > 0)
    assert sorted(np.concatenate(parts)) == counting.tolist()
    assert data.n_calibration == len(split.calibration) >= 500
    assert fold.weights is not None
    assert len(fold.y_valid) == len(fold.weights.valid) == len(split.valid)
    assert load_dataset(frame, "label", validation="3-fold").n_calibration == 0


def test_seed_determines_the_split() -> None:
    first, again, other = (load_dataset(table(), "label", seed=seed) for seed in (1, 1, 2))
    for rows, same, different in zip(rows_of(first), rows_of(again), rows_of(other), strict=True):
        np.testing.assert_array_equal(rows, same)
        assert rows.tolist() != different.tolist()
    np.testing.assert_array_equal(first.encoded().x_train, again.encoded().x_train)


def spoil(frame: pd.DataFrame, rows: np.ndarray) -> pd.DataFrame:
    """Change every feature cell in some rows, to values that would show in any fitted number."""
    spoiled = frame.copy()
    places = frame.index[rows]
    spoiled.loc[places, "number"] = 1e6
    spoiled.loc[places, "count"] = -12345
    spoiled.loc[places, "letter"] = [f"new {row}" for row in rows]
    spoiled.loc[places, "flag"] = True
    spoiled.loc[places, "day"] = pd.Timestamp("1950-01-01")
    spoiled.loc[places, "same"] = 2
    return spoiled


@pytest.mark.parametrize("validation", ["holdout", "3-fold"])
def test_rows_outside_training_do_not_change_what_is_fitted(validation: str) -> None:
    frame = table()
    clean = load_dataset(frame, "amount", validation=validation)
    for place, (fold, split) in enumerate(zip(clean.folds, clean.splits, strict=True)):
        outside = np.concatenate([split.valid, clean.test_rows])
        changed = spoil(frame, outside)
        # But for which columns are of use: rows that validate say that too, once for all folds.
        changed["same"] = frame["same"]
        changed.loc[clean.test_rows, "same"] = 2
        changed.loc[outside, "amount"] = 1e9
        spoiled = load_dataset(changed, "amount", validation=validation)
        same = spoiled.folds[place]
        one, other = clean.encoded(place), spoiled.encoded(place)
        np.testing.assert_array_equal(spoiled.splits[place].train, split.train)
        np.testing.assert_array_equal(one.x_train, other.x_train)
        np.testing.assert_array_equal(same.y_train, fold.y_train)
        fitted, again = clean.preprocessor(place), spoiled.preprocessor(place)
        assert fitted.to_json() == again.to_json()
        for name, array in fitted.to_arrays().items():
            np.testing.assert_array_equal(again.to_arrays()[name], array)
        assert (same.target_mean, same.target_std) == (fold.target_mean, fold.target_std)
        assert not np.array_equal(one.x_valid, other.x_valid)


def test_limits_that_make_the_same_codes_share_their_arrays() -> None:
    frame = table().assign(
        few=[f"few {n % 3}" for n in range(N)], many=[f"{n % 11}x" for n in range(N)]
    )
    data = load_dataset(frame, "amount")
    counts = {column.name: column.n_levels for column in data.columns if column.n_levels}
    assert counts == {"letter": 5, "label": 3, "few": 3, "many": 11}
    found = {limit: data.encoded(0, View(one_hot_limit=limit)) for limit in range(13)}
    for limit, encoded in found.items():
        fitted = data.preprocessor(0, View(one_hot_limit=limit))
        codes = {column.name for column in fitted.columns if column.is_code}
        assert encoded.columns.n_codes == len(codes)
        assert codes == {name for name, count in counts.items() if 0 < limit < count}
    arrays = {limit: id(encoded.x_train) for limit, encoded in found.items()}
    for alike in ((0, 11, 12), (1, 2), (3, 4), (5, 6, 7, 8, 9, 10)):
        assert len({arrays[limit] for limit in alike}) == 1
    assert len(set(arrays.values())) == 4


def test_folds_have_the_same_columns() -> None:
    """A number that is missing, and a level that is rare, in the rows of one fold alone."""
    frame = table()
    frame["number"] = frame["number"].astype("float64")
    frame["hardly"] = 0
    frame.loc[3, ["number", "hardly"]] = [np.nan, 1]
    frame.loc[4, "letter"] = "rare"
    data = load_dataset(frame, "amount", validation="5-fold", test=0)
    assert "hardly" in data.preprocessor().column_names
    view = View("quantile_normal", "indicator", 2)
    kinds = [data.encoded(place, view).columns for place in range(5)]
    assert {(own.n_numeric, len(own.levels), own.n_plain) for own in kinds} == {
        (kinds[0].n_numeric, len(kinds[0].levels), kinds[0].n_plain)
    }


def test_column_may_have_the_name_of_an_input_for_gaps() -> None:
    frame = pd.DataFrame({"a": [1.0, None, 3.0, 4.0] * 10, "a=(missing)": np.sqrt(range(40))})
    frame["y"] = ["u", "v"] * 20
    data = load_dataset(frame, "y", validation="holdout")
    found = data.preprocessor(0, View("standard", "indicator", 0))
    assert found.input_names == ("a", "a=(missing)", "a=(missing)")
    encoded = found.encode(frame.drop(columns="y"))
    np.testing.assert_array_equal(encoded[:, 2], frame["a"].isna())
    assert (np.diff(encoded[:, 1]) > 0).all()


@pytest.mark.parametrize("validation", ["holdout", "3-fold"])
def test_rows_outside_training_change_no_view(validation: str) -> None:
    frame = table()
    view = View("robust_smooth_clip", "median", 2)
    clean = load_dataset(frame, "amount", validation=validation)
    for place, split in enumerate(clean.splits):
        outside = np.concatenate([split.valid, clean.test_rows])
        changed = spoil(frame, outside)
        changed["same"] = frame["same"]
        spoiled = load_dataset(changed, "amount", validation=validation)
        one, other = clean.encoded(place, view), spoiled.encoded(place, view)
        np.testing.assert_array_equal(one.x_train, other.x_train)
        fitted, again = (data.preprocessor(place, view) for data in (clean, spoiled))
        assert fitted.to_json() == again.to_json()
        assert not np.array_equal(one.x_valid, other.x_valid)


def test_training_rows_change_what_is_fitted() -> None:
    frame = table()
    clean = load_dataset(frame, "amount")
    spoiled = load_dataset(spoil(frame, clean.splits[0].train[:5]), "amount")
    assert spoiled.preprocessor().to_json() != clean.preprocessor().to_json()


def test_useless_columns_give_a_notice_and_are_not_encoded() -> None:
    data = load_dataset(table(), "label")
    assert [note.split(":")[0] for note in data.notes] == [
        "column 'id' is dropped",
        "column 'same' is dropped",
    ]
    assert data.preprocessor().column_names == (
        "number",
        "count",
        "letter",
        "flag",
        "day",
        "amount",
    )
    assert "id" in data.preprocessor().features
    assert data.n_features == 6


def test_leaks_give_a_notice_and_are_kept() -> None:
    frame = table().assign(copy=lambda rows: rows["label"].str.upper())
    data = load_dataset(frame, "label")
    assert any("column 'copy' has one value for each class" in note for note in data.notes)
    assert "copy" in data.preprocessor().column_names


def test_rows_without_target_are_dropped_and_counted() -> None:
    frame = table()
    frame["label"] = frame["label"].astype("object")
    frame.loc[[3, 50, 77], "label"] = [None, "?", " "]
    data = load_dataset(frame, "label")
    assert (
        "3 of 120 rows of data frame are dropped: their target 'label' is missing ('?' in 1 row, "
        "an empty cell in 2 rows). If such a word is a class, replace it by another word in the "
        "table"
    ) in data.notes
    rows = np.concatenate(rows_of(data))
    assert sorted(rows) == [row for row in range(N) if row not in (3, 50, 77)]
    np.testing.assert_array_equal(
        data.raw["label"].to_numpy()[rows_of(data)[0]],
        [data.classes[index] for index in data.folds[0].y_train],
    )


def test_column_that_counts_rows_is_dropped_although_rows_are_missing() -> None:
    frame = table().assign(row=np.arange(1, N + 1))
    frame["label"] = frame["label"].where(frame.index % 7 > 0)
    notes = load_dataset(frame.rename(columns={"row": "anything"}), "label").notes
    assert "column 'anything' is dropped: it only numbers the rows" in notes


def test_classes_of_two_rows_load() -> None:
    frame = table()
    frame["label"] = frame["label"].astype("object")
    frame.loc[[0, 1], "label"] = "rare"
    for validation in ("holdout", "5-fold"):
        for seed in range(5):
            data = load_dataset(frame, "label", validation=validation, seed=seed)
            for fold in data.folds:
                assert set(fold.y_train) == {0, 1, 2, 3}


def test_encoding_raw_rows_gives_the_encoded_ones() -> None:
    frame = table()
    data = load_dataset(frame, "label")
    for (features, labels), x, y in (
        (data.raw_test(), data.x_test, data.y_test),
        (data.raw_valid(), data.encoded().x_valid, data.folds[0].y_valid),
    ):
        assert list(features.columns) == [name for name in frame.columns if name != "label"]
        np.testing.assert_array_equal(data.preprocessor().encode(features), x)
        assert [data.classes[index] for index in y] == labels.tolist()
    pd.testing.assert_frame_equal(
        data.raw_test()[0], frame.drop(columns="label").iloc[data.test_rows]
    )


def test_test_rows_may_come_from_a_file(tmp_path: Path) -> None:
    frame, other = table(), table(1, 30)
    path = tmp_path / "test.csv"
    other[["label", *frame.columns[:-1]]].assign(extra=1).to_csv(path, index=False)
    data = load_dataset(frame, "label", test=str(path))
    assert (data.n_train, data.n_valid, data.n_test, len(data.test_rows)) == (96, 24, 30, 0)
    assert [data.classes[index] for index in data.y_test] == other["label"].tolist()
    np.testing.assert_array_equal(data.x_test, data.preprocessor().encode(other))
    assert data.split["test"] == str(path)
    assert load_dataset(frame, "label", **data.split).fingerprint == data.fingerprint
    changed = load_dataset(frame, "label", test=other.iloc[:-1])
    assert changed.fingerprint != data.fingerprint


def test_training_rows_as_test_rows_give_a_notice() -> None:
    notes = load_dataset(table(), "label", test=table()).notes
    assert "the test rows (data frame) are the training rows" in notes


def test_no_test_rows() -> None:
    data = load_dataset(table(), "label", test=0)
    assert data.x_test.shape == (0, data.n_inputs)
    assert len(data.y_test) == len(data.raw_test()[0]) == 0
    assert data.n_train + data.n_valid == N


def test_test_rows_of_a_format_are_used_unless_a_fraction_is_given(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 256, (50, 3, 3), dtype=np.uint8), np.arange(50) % 2
    np.savez(tmp_path / "a.npz", x_train=x, y_train=y, x_test=x[:7], y_test=y[:7])
    data = load_dataset(tmp_path / "a.npz")
    assert (data.n_train, data.n_valid, data.n_test) == (40, 10, 7)
    assert {column.kind for column in data.preprocessor().columns} == {"pixel"}
    assert data.encoded().x_train.mean() == pytest.approx(0, abs=1e-5)
    assert data.encoded().x_train.std() == pytest.approx(1, abs=1e-5)
    assert data.split["test"] == "auto"
    assert load_dataset(tmp_path / "a.npz", **data.split).n_test == 7
    data = load_dataset(tmp_path / "a.npz", test=0.2)
    assert (data.n_train, data.n_valid, data.n_test) == (32, 8, 10)


def test_path_does_not_change_the_fingerprint(tmp_path: Path) -> None:
    frame = table()
    for name in ("a.csv", "b.csv.gz"):
        frame.to_csv(tmp_path / name, index=False)
    prints = [load_dataset(tmp_path / name, "label") for name in ("a.csv", "b.csv.gz")]
    assert prints[0].fingerprint == prints[1].fingerprint
    frame.loc[7, "count"] = 99
    frame.to_csv(tmp_path / "a.csv", index=False)
    assert load_dataset(tmp_path / "a.csv", "label").fingerprint != prints[1].fingerprint
    assert load_dataset(tmp_path / "b.csv.gz", "flag").fingerprint != prints[1].fingerprint


def test_dataset_can_be_pickled() -> None:
    data = load_dataset(table(), "label")
    again = pickle.loads(pickle.dumps(data))
    np.testing.assert_array_equal(again.encoded().x_train, data.encoded().x_train)
    np.testing.assert_array_equal(
        again.preprocessor().encode(table()), data.preprocessor().encode(table())
    )


def test_wide_table_of_levels_is_bounded() -> None:
    n_rows = 4000
    frame = pd.DataFrame({"text": [f"level {n % 2500}" for n in range(n_rows)]})
    data = load_dataset(frame.assign(y=np.arange(n_rows) % 3), "y", test=0)
    assert data.n_inputs == 64
    assert not data.notes
    (note,) = data.notes_for([View()])
    assert "the 63 most frequent have an input each, and the others share one" in note
    (note,) = data.notes_for([View(one_hot_limit=9)])
    assert "the 1,023 most frequent have a vector each, and the others share one" in note


WRONG: dict[str, tuple[dict[str, Any], list[str]]] = {
    "no such target": ({"target": "lable"}, ["no target column 'lable'", "Did you mean 'label'?"]),
    "no target": (
        {"target": None},
        ["target must be the name of a column", "Choose from: number, count"],
    ),
    "constant target": ({"target": "same"}, ["target 'same'", "got 1 in all 120 rows"]),
    "identifier": (
        {"target": "label", "source": table().assign(label=[f"x{n}" for n in range(N)])},
        ["120 different labels in 120 rows", "an identifier"],
    ),
    "empty target": (
        {"source": table().assign(label=None)},
        ["the target 'label' must have values", "missing in all 120 rows"],
    ),
    "few rows": ({"source": table(0, 9)}, ["at least 10 rows with a target, got 9"]),
    "fewer rows than folds": ({"validation": "97-fold"}, ["fold (97), but only 96 rows"]),
    "validation": ({"validation": "k-fold"}, ["auto, holdout or K-fold", "'k-fold'"]),
    "fraction": ({"test": 1.2}, ["test must be a fraction", "got 1.2"]),
    "test file": ({"test": "nowhere.csv"}, ["nowhere.csv does not exist"]),
    "test columns": (
        {"test": table().drop(columns=["flag", "label"])},
        [
            "data frame: the table must have the 9 columns",
            "2 are missing: 'flag', 'label'",
        ],
    ),
    "test classes": (
        {"test": table().assign(label="perhaps")},
        ["must be classes of the training table", "got 'perhaps'"],
    ),
    "test cells": (
        {"test": table().assign(count="many")},
        ["data frame: column 'count' must contain numbers, got 'many' in row 1"],
    ),
    "infinities": (
        {"source": table().assign(number=np.inf)},
        ["must be finite", "'number' (120, the first in row 1)"],
    ),
    "task": ({"task": "regression"}, ["must contain numbers for regression", "task multiclass"]),
    "no columns left": (
        {"source": table()[["same", "label"]]},
        ["at least one useful column", "'same' is dropped"],
    ),
    "only a target": ({"source": table()[["label"]]}, ["the table has only the target"]),
    "doubled columns": (
        {"source": pd.concat([table(), table()[["count"]]], axis=1)},
        ["column names must be unique", "'count' (2 times)"],
    ),
}


@pytest.mark.parametrize("what", WRONG)
def test_wrong_tables_get_one_clear_error(what: str) -> None:
    change, parts = WRONG[what]
    with pytest.raises(DataError) as caught:
        load_dataset(**{"source": table(), "target": "label", **change})
    for part in parts:
        assert part in str(caught.value)


def test_table_without_header_is_recognised(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("1,2.5,a\n2,3.5,b\n")
    with pytest.raises(
        DataError, match=r"no target column 'y'.*looks like data, not like column names"
    ):
        load_dataset(path, "y")


def test_unknown_delimiter_is_recognised(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("a b y\n1 2 3\n4 5 6\n")
    with pytest.raises(DataError, match="the header is read as one column, 'a b y'"):
        load_dataset(path, "y")


@pytest.mark.parametrize("validation", ["holdout", "5-fold"])
def test_class_of_one_row_trains_and_never_validates(validation: str) -> None:
    labels = ["a", "b"] * (N // 2)
    labels[7] = "rare"
    dataset = load_dataset(
        table().assign(label=labels), "label", validation=validation, test=0.2, seed=3
    )
    assert any("'rare' has only one row, which is used for training" in n for n in dataset.notes)
    rare = dataset.classes.index("rare")
    for fold in dataset.folds:
        assert (fold.y_train == rare).sum() == 1
        assert (fold.y_valid != rare).all()
    assert (dataset.y_test != rare).all()


def test_several_classes_of_one_row_give_one_notice() -> None:
    labels = ["a", "b"] * (N // 2)
    labels[7:9] = ["rare", "seldom"]
    dataset = load_dataset(table().assign(label=labels), "label")
    assert any(
        "'rare', 'seldom' have only one row each, which is used" in note for note in dataset.notes
    )


@pytest.mark.parametrize(
    ("labels", "note"),
    [
        (
            [" yes", "no"],
            "target 'y': labels are read as text without surrounding spaces: ' yes'",
        ),
        (["a", "a ", "b"], "'a '; 1 label fewer than before"),
        ([1, "a", 2.5], "1, 2.5"),
        (["yes", "no"], None),
        ([1, 2], None),
        ([True, False], None),
    ],
)
def test_changed_labels_give_a_notice(labels: list[Any], note: str | None) -> None:
    frame = pd.DataFrame({"a": np.sin(range(60)), "y": pd.Series(labels * 30, dtype=object)[:60]})
    notes = [each for each in load_dataset(frame, "y").notes if "labels are read" in each]
    assert len(notes) == (note is not None)
    assert note is None or note in notes[0]


def test_error_has_the_notices_about_dropped_rows() -> None:
    frame = pd.DataFrame({"x": np.arange(40) / 7, "y": ["None", "Some"] * 20})
    with pytest.raises(DataError, match="at least two different values") as caught:
        load_dataset(frame, "y")
    (note,) = caught.value.__notes__
    assert note.startswith("Note: 20 of 40 rows of data frame are dropped")
    assert "'None'" in note


def test_unusual_cells_of_separate_test_rows_give_notices() -> None:
    train = pd.DataFrame(
        {"x": np.arange(60) / 7, "town": ["Bern", "Rom"] * 30, "y": ["a", "b", "c"] * 20}
    )
    test = train.head(12).assign(
        x=np.array([np.nan] + [0.5] * 11), town=["Oslo"] * 3 + ["Rom"] * 9, extra=np.arange(12)
    )
    notes = load_dataset(train, "y", test=test).notes
    for part in (
        "ignored 1 column that the training table did not have: extra",
        "column 'x': 1 cell missing, but no cell was missing in training",
        "column 'town': 3 cells with categories that are not in the training rows ('Oslo')",
    ):
        assert f"the test rows (data frame): {part}" in notes


def test_unusual_cells_of_held_out_test_rows_give_no_notice() -> None:
    frame = pd.DataFrame({"x": np.arange(60) / 7, "town": [f"t{n % 45}" for n in range(60)]})
    notes = load_dataset(frame.assign(y=["a", "b", "c"] * 20), "y").notes
    assert not [note for note in notes if "test rows" in note]


@pytest.mark.parametrize("options", [{}, {"names": ["x", "y"]}])
def test_words_that_are_read_as_missing_are_counted(
    options: dict[str, Any], tmp_path: Path
) -> None:
    lines = [f"{n / 7}; {('None', 'NA', '', 'a', 'b', 'a', 'b', 'zip')[n % 8]}" for n in range(40)]
    header = [] if options else ["x;y"]
    (tmp_path / "t.csv").write_text("\n".join(header + lines) + "\n")
    notes = load_dataset(tmp_path / "t.csv", "y", reading=options).notes
    (note,) = [note for note in notes if "are dropped" in note]
    assert "15 of 40 rows" in note
    assert "('None' in 5 rows, 'NA' in 5 rows, an empty cell in 5 rows)" in note
    (tmp_path / "t.csv").write_text("\n".join(header + [f"{n / 7};None" for n in range(40)]) + "\n")
    with pytest.raises(DataError, match=r"missing in all 40 rows \('None' in 40 rows\)"):
        load_dataset(tmp_path / "t.csv", "y", reading=options)
