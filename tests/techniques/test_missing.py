"""Replacement of missing numbers equals scikit-learn's `SimpleImputer`.

To add a row, add a function (training values, values) → unscaled inputs to `REFERENCES`.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from sklearn.impute import SimpleImputer

from autotrain.data.codes import Columns
from autotrain.data.columns import measure, read_columns
from autotrain.data.fitting import fit_preprocessor
from autotrain.data.preprocessing import Preprocessor
from autotrain.techniques.missing import MISSING
from autotrain.techniques.scalers import SCALERS
from autotrain.techniques.view import View


def _filled(train: np.ndarray, x: np.ndarray, *, indicates: bool) -> np.ndarray:
    imputer = SimpleImputer(
        strategy="median", add_indicator=indicates, keep_empty_features=True
    ).fit(train)
    filled: np.ndarray = imputer.transform(x)
    return filled


REFERENCES: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "median": lambda train, x: _filled(train, x, indicates=False),
    "indicator": lambda train, x: _filled(train, x, indicates=True),
}


def rows(n_rows: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n_rows, 4)) * [1, 10, 100, 1000]
    x[rng.random(x.shape) < 0.2] = np.nan
    x[:, 1] = rng.normal(size=n_rows)  # never missing
    return x


def fitted(train: np.ndarray, missing: str) -> Preprocessor:
    frame = pd.DataFrame(train, columns=list("abcd"))
    columns = measure(frame, read_columns(frame)[0])
    return fit_preprocessor(frame, columns, list("abcd"), View(missing=missing))[0]


@pytest.mark.parametrize("name", MISSING)
def test_inputs_equal_simple_imputer(name: str) -> None:
    train, x = rows(200, 0), rows(50, 1)
    preprocessor = fitted(train, name)
    arrays = preprocessor.to_arrays()
    for values in (train, x):
        wanted = REFERENCES[name](train, values)
        wanted[:, :4] = (wanted[:, :4] - arrays["mean"]) / arrays["scale"]
        np.testing.assert_allclose(preprocessor.encode(values), wanted, rtol=1e-5, atol=1e-6)
    n_indicators = 3 if MISSING[name].indicates else 0
    assert preprocessor.input_columns == Columns(4, (), n_indicators)
    names = ("a=(missing)", "c=(missing)", "d=(missing)")[:n_indicators]
    assert preprocessor.input_names == (*"abcd", *names)


@pytest.mark.parametrize("name", MISSING)
@pytest.mark.parametrize("has_gaps", [True, False])
def test_missing_date_is_indicated_like_a_missing_number(name: str, has_gaps: bool) -> None:
    days = pd.Series(pd.date_range("2024-01-31", periods=40, freq="D"))
    frame = pd.DataFrame({"day": days, "number": np.arange(40.0)})
    frame.loc[:9, "day"] = pd.NaT if has_gaps else days[0]
    columns = measure(frame, read_columns(frame)[0])
    found, _ = fit_preprocessor(frame, columns, ["day", "number"], View(missing=name))
    encoded, last = found.encode(frame), found.input_names[-1]
    tells = has_gaps and MISSING[name].indicates
    assert (last == "day=(missing)") == tells
    assert found.input_columns == Columns(6, (), int(tells))
    again = Preprocessor.from_parts(found.to_json(), found.to_arrays())
    np.testing.assert_array_equal(again.encode(frame), encoded)
    if tells:
        np.testing.assert_array_equal(encoded[:, -1], frame["day"].isna())
    assert not np.isnan(encoded).any()


@pytest.mark.parametrize("name", MISSING)
@pytest.mark.parametrize("scaler", SCALERS)
@pytest.mark.parametrize("value", [7.0, "2024-01-31"])
def test_column_without_distinct_values_has_an_indicator(
    name: str, scaler: str, value: object
) -> None:
    frame = pd.DataFrame({"x": pd.Series([value, None, value, value] * 10, dtype="object")})
    columns = measure(frame, read_columns(frame)[0])
    found, _ = fit_preprocessor(frame, columns, ["x"], View(scaler, name))
    encoded = found.encode(frame)
    assert found.input_names[-1] == "x=(missing)"
    np.testing.assert_array_equal(encoded[:, -1], frame["x"].isna())
    np.testing.assert_array_equal(encoded[:, :-1], 0)


def test_number_that_is_never_missing_in_training_has_no_indicator() -> None:
    train = rows(200, 0)
    x = train[:3].copy()
    x[:, 1] = np.nan
    found = fitted(train, "indicator").encode(x)
    wanted = (np.median(train[:, 1]) - train[:, 1].mean()) / train[:, 1].std()
    np.testing.assert_allclose(found[:, 1], wanted, rtol=1e-5)
    assert found.shape == (3, 7)
