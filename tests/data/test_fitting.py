"""The preprocessing equals scikit-learn's `ColumnTransformer` on the same rows."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from autotrain.data.columns import Column, measure, read_columns
from autotrain.data.fitting import MAX_INPUTS, fit_preprocessor, rare_levels
from autotrain.data.values import DATE_PARTS
from autotrain.techniques.scalers import SCALERS
from autotrain.techniques.view import View


def table(seed: int, n_rows: int, *, n_levels: int = 5) -> pd.DataFrame:
    """Numbers, texts with and without missing cells, two levels, many levels."""
    rng = np.random.default_rng(seed)
    letters = np.array([f"level {number}" for number in range(n_levels)], dtype=object)
    weights = 1.0 / np.arange(1, n_levels + 1)
    frame = pd.DataFrame(
        {
            "a": rng.normal(1e3, 1e-2, n_rows),
            "b": rng.integers(0, 5, n_rows),
            "c": rng.choice(letters, n_rows, p=weights / weights.sum()),
            "d": rng.exponential(1e6, n_rows),
            "e": rng.choice(np.array(["yes", "no"], dtype=object), n_rows),
            "f": rng.choice(np.array(["u", "v", np.nan], dtype=object), n_rows),
        }
    )
    frame["g"] = frame["e"].where(frame["e"] == "yes")
    frame.loc[rng.random(n_rows) < 0.2, "d"] = np.nan
    return frame


def reference(frame: pd.DataFrame) -> ColumnTransformer:
    """Build what a user of scikit-learn would write: numbers first, each kind in its order."""
    number = make_pipeline(SimpleImputer(strategy="median"), StandardScaler())
    category = OneHotEncoder(
        handle_unknown="infrequent_if_exist",
        max_categories=64,
        drop="if_binary",
        sparse_output=False,
    )
    names = [str(name) for name in frame.columns]
    numeric = [name for name in names if name in "abd"]
    return ColumnTransformer(
        [
            ("numbers", number, numeric),
            ("categories", category, [name for name in names if name not in numeric]),
        ]
    )


@pytest.mark.parametrize("n_levels", [5, 63, 64, 65, 300])
@pytest.mark.parametrize("seed", range(3))
def test_matrix_equals_that_of_column_transformer(seed: int, n_levels: int) -> None:
    train, other = table(seed, 800, n_levels=n_levels), table(seed + 100, 200, n_levels=n_levels)
    other.loc[:20, ["a", "b", "c", "d", "e"]] = np.nan
    other.loc[20:40, ["c", "e", "f", "g"]] = "never seen"
    columns, _ = read_columns(train)
    preprocessor, _ = fit_preprocessor(train, columns, list(train.columns))
    # Strings as objects: there the missing cell is a level of its own for scikit-learn.
    as_objects = dict.fromkeys("cefg", "object")
    witness = reference(train).fit(train.astype(as_objects))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # "Found unknown categories"
        for frame in (train, other):
            wanted = np.asarray(witness.transform(frame.astype(as_objects))).astype(np.float32)
            for name, start in (("e", "categories__e_"), ("g", "categories__g_")):
                (place,) = [
                    place
                    for place, own in enumerate(witness.get_feature_names_out())
                    if own.startswith(start)
                ]
                is_known = frame[name].astype("object").isin(train[name].astype("object"))
                wanted[:, place] = np.where(is_known, 2 * wanted[:, place] - 1, 0)
            np.testing.assert_array_equal(preprocessor.encode(frame), wanted)


def test_rare_levels_share_one_input() -> None:
    frame = table(0, 3000, n_levels=300)[["c"]]
    preprocessor, levels = fit_preprocessor(frame, read_columns(frame)[0], ["c"])
    (column,) = preprocessor.columns
    counts = frame["c"].value_counts()
    own = counts.index.isin(column.levels)
    assert counts[own].min() >= counts[~own].max()
    assert preprocessor.n_inputs == MAX_INPUTS == len(column.levels) + 1
    assert levels == {"c": frame["c"].nunique()}


@pytest.mark.parametrize(
    ("n_levels", "limits", "said"),
    [
        (64, [0], []),
        (65, [0], ["the 63 most frequent have an input each"]),
        (65, [9], []),
        (65, [65], ["the 63 most frequent have an input each"]),
        (1024, [9], []),
        (1025, [9], ["the 1,023 most frequent have a vector each"]),
        (
            1025,
            [0, 9],
            [
                "one-hot encoded, the 63 most frequent have an input each",
                "embedded, the 1,023 most frequent have a vector each",
            ],
        ),
        (200, [0, 9], ["one-hot encoded, the 63 most frequent have an input each"]),
    ],
)
def test_notices_about_rare_levels_depend_on_the_space(
    n_levels: int, limits: list[int], said: list[str]
) -> None:
    frame = pd.DataFrame({"c": [f"level {n % n_levels}" for n in range(4 * n_levels)]})
    columns = measure(frame, read_columns(frame)[0])
    views = [View(one_hot_limit=limit) for limit in limits]
    fitted = [fit_preprocessor(frame, columns, ["c"], view) for view in views]
    found = rare_levels(columns, fitted[0][1], views)
    assert len(found) == len(said)
    for notice, words in zip(found, said, strict=True):
        assert f"has {n_levels:,} levels in the training rows: {words}, and the others" in notice
    # What is said is what the columns have become: two levels or more without a place of their own.
    kept = [len(preprocessor.columns[0].levels) for preprocessor, _ in fitted]
    own = {count for count in kept if n_levels - count > 1}
    assert own == {int(w.split("the ")[1].split(" most")[0].replace(",", "")) for w in said}


def test_ten_thousand_levels_take_64_inputs() -> None:
    texts = [f"text {number % 10_000}" for number in range(20_000)]
    frame = pd.DataFrame({"text": texts})
    preprocessor, _ = fit_preprocessor(frame, read_columns(frame)[0], ["text"])
    assert preprocessor.encode(frame).shape == (20_000, 64)
    assert len(str(preprocessor.to_json())) < 2_000


def test_dates_are_expanded_and_scaled() -> None:
    moments = pd.Series(pd.date_range("2023-12-25", periods=40, freq="31h"))
    moments = moments.where(moments.index != 3)
    frame = pd.DataFrame({"when": moments, "day": moments.dt.floor("D")})
    preprocessor, _ = fit_preprocessor(frame, read_columns(frame)[0], list(frame.columns))
    when, day = preprocessor.columns
    assert when.parts == DATE_PARTS
    earliest = pd.Timestamp(1970, 1, 1) + pd.Timedelta(days=when.origin)
    assert earliest == pd.Timestamp("2023-12-25") == frame["day"].min()
    assert day.parts == DATE_PARTS[:-1]  # no clock in the column, no hour
    clock = moments.dt
    parts = pd.DataFrame(
        {
            "year": clock.year,
            "month": clock.month,
            "day": clock.day,
            "weekday": clock.day_of_week,
            "days": (moments.dt.floor("D") - pd.Timestamp("2023-12-25")).dt.days,
            "hour": clock.hour + clock.minute / 60,
        }
    )
    pipeline = make_pipeline(SimpleImputer(strategy="median"), StandardScaler())
    wanted = pipeline.fit_transform(parts)
    np.testing.assert_allclose(preprocessor.encode(frame)[:, :6], wanted, atol=1e-5)
    np.testing.assert_allclose(preprocessor.encode(frame)[:, 6:], wanted[:, :5], atol=1e-5)


def test_pixels_share_one_mean_and_scale() -> None:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (5000, 9), dtype=np.uint8)
    pixels[:, 0] = 0
    frame = pd.DataFrame(pixels, columns=[f"pixel_{number}" for number in range(9)])
    columns = [Column(str(name), "pixel", "uint8") for name in frame.columns]
    preprocessor, _ = fit_preprocessor(frame, columns, list(frame.columns))
    wanted = StandardScaler().fit_transform(pixels.astype(np.float64).reshape(-1, 1))
    np.testing.assert_allclose(preprocessor.encode(frame), wanted.reshape(-1, 9), rtol=1e-6)


def test_extreme_values_stay_finite_without_warnings() -> None:
    columns: dict[str, Any] = {
        "huge": [1e99, -1e99, 0.0],
        "tiny": [1e-200, 2e-200, 3e-200],
        "far": [1e15, 1e15 + 1, 1e15 + 2],
    }
    frame = pd.DataFrame(columns)
    preprocessor, _ = fit_preprocessor(frame, read_columns(frame)[0], list(columns))
    assert np.isfinite(preprocessor.encode(frame)).all()


def number_table(n_rows: int) -> pd.DataFrame:
    """Columns of numbers of all kinds: floats, integers, ties, gaps, without any number."""
    rng = np.random.default_rng(3)
    frame = pd.DataFrame(rng.normal(size=(n_rows, 6)) * 10.0 ** np.arange(-2, 4))
    frame = frame.rename(columns=lambda place: f"x{place}")
    frame["x1"] = frame["x1"].where(rng.random(n_rows) < 0.8)
    frame["ties"] = rng.integers(0, 4, n_rows)
    frame["nullable"] = pd.Series(rng.integers(0, 9, n_rows), dtype="Int64").where(
        rng.random(n_rows) < 0.9
    )
    frame["gaps only"] = np.where(np.arange(n_rows) == 1, 2.0, np.nan)
    return frame


@pytest.mark.parametrize("scaler", SCALERS)
@pytest.mark.parametrize("n_rows", [2, 7, 1501])
def test_columns_fitted_together_equal_columns_fitted_alone(scaler: str, n_rows: int) -> None:
    frame = number_table(n_rows)
    names = [str(name) for name in frame]
    columns = [Column(name, "numeric", "", has_missing=name != "ties") for name in names]
    view = View(scaler=scaler, missing="indicator")
    together, _ = fit_preprocessor(frame, columns, names, view)
    arrays = together.to_arrays()
    for place, column in enumerate(columns):
        alone, _ = fit_preprocessor(frame, [column], names, view)
        assert together.columns[place] == alone.columns[0]
        for name, array in alone.to_arrays().items():
            np.testing.assert_array_equal(arrays[name][..., [place]], array)
        encoded = alone.encode(frame)
        np.testing.assert_array_equal(together.encode(frame)[:, [place]], encoded[:, :1])
