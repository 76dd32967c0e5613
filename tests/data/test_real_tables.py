"""Real files; they need the folder of shared data."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from autotrain.data.loading import load_dataset
from autotrain.errors import DataError

TABLES = [
    ("adult.csv.gz", "income", "binary", 14, 107),
    ("bodyfat.csv", "class", "regression", 14, 14),
    ("california_housing.csv.gz", "median_house_value", "regression", 9, 13),
    ("car.csv", "class", "multiclass", 6, 21),
    ("ecoli.csv", "site", "multiclass", 7, 7),
    ("insurance.csv", "charges", "regression", 6, 9),
    ("ionosphere.csv", "quality", "binary", 33, 33),
    ("labor.csv", "class", "binary", 16, 37),
    ("letter.csv.gz", "class", "multiclass", 16, 16),
    ("mpg.csv", "mpg", "regression", 7, 9),
    ("optdigits.csv.gz", "class", "multiclass", 62, 62),
    ("penguins.csv", "species", "multiclass", 6, 10),
    ("pima.csv", "outcome", "binary", 8, 8),
    ("servo.csv", "class", "regression", 4, 12),
    ("telco_churn.csv.gz", "Churn", "binary", 19, 40),
    ("titanic.csv", "survived", "binary", 8, 17),
    ("wine.csv", "cultivar", "multiclass", 13, 13),
    ("winequality_white.csv", "quality", "regression", 11, 11),
]


@pytest.mark.parametrize(("name", "target", "task", "n_features", "n_inputs"), TABLES)
def test_tidy_tables(
    name: str, target: str, task: str, n_features: int, n_inputs: int, shared_data: Path
) -> None:
    data = load_dataset(shared_data / "tidy" / name, target)
    assert (data.task, data.n_features, data.n_inputs) == (task, n_features, n_inputs)
    for x in (data.encoded().x_train, data.encoded().x_valid, data.x_test):
        assert np.isfinite(x).all()
    np.testing.assert_array_equal(data.preprocessor().encode(data.raw_test()[0]), data.x_test)


def test_blank_numbers_and_an_id_column(shared_data: Path) -> None:
    data = load_dataset(shared_data / "raw" / "telco_id_column_blank_numbers.csv", "Churn")
    note, repeats = data.notes
    assert note.startswith("column 'customerID' is dropped: it has 5634 different texts")
    # Some customers differ in nothing else than their identifier.
    assert repeats.startswith("13 of 1,409 test rows")
    kinds = {column.name: column.kind for column in data.preprocessor().columns}
    assert kinds["TotalCharges"] == "numeric"


@pytest.mark.parametrize(
    "name", ["auto_imports_headerless_question_marks.csv", "german_headerless_quoted.csv"]
)
def test_files_without_header(name: str, shared_data: Path) -> None:
    with pytest.raises(DataError, match="The first line looks like data, not like column names"):
        load_dataset(shared_data / "raw" / name, "class")


def test_fashion_mnist(shared_data: Path) -> None:
    data = load_dataset(shared_data / "fashion-mnist")
    counts = (data.n_train, data.n_valid, data.n_calibration, data.n_test)
    assert counts == (50_000, 8_000, 2_000, 10_000)
    assert (data.task, data.classes, data.n_inputs) == ("multiclass", tuple(range(10)), 784)
    assert np.bincount(data.folds[0].y_valid).tolist() == [800] * 10
    # The mean and standard deviation that everyone uses for this set, from all its pictures.
    fitted = data.preprocessor().to_arrays()
    np.testing.assert_allclose(fitted["mean"] / 255, 0.2860, atol=1e-3)
    np.testing.assert_allclose(fitted["scale"] / 255, 0.3530, atol=1e-3)
