"""Times are read in the time zone of the training column."""

from __future__ import annotations

import datetime
from typing import Any, Literal
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from autotrain.data.columns import read_columns
from autotrain.data.fitting import fit_preprocessor
from autotrain.data.preprocessing import Preprocessor
from autotrain.data.values import days
from autotrain.data.zones import AS_WRITTEN, NAIVE
from autotrain.errors import DataError

BERLIN = "Europe/Berlin"
# Over the end of daylight saving time.
MOMENTS = pd.Series(pd.date_range("2024-10-26 03:00", periods=40, freq="h", tz=BERLIN))


def fitted(cells: Any) -> Preprocessor:
    frame = pd.DataFrame({"when": cells})
    preprocessor, _ = fit_preprocessor(frame, read_columns(frame)[0], ["when"])
    return preprocessor


ZONES: list[tuple[str, Any, str]] = [
    ("typed", MOMENTS, BERLIN),
    ("UTC", MOMENTS.dt.tz_convert("UTC"), "UTC"),
    ("fixed", pd.Series(pd.date_range("2024-01-01", periods=2, tz="+02:30")), "+02:30"),
    ("objects", MOMENTS.astype(object), BERLIN),
    ("no zone", MOMENTS.dt.tz_localize(None), NAIVE),
    ("dates", ["2024-01-31", None, "2024-02-01"], NAIVE),
    ("date objects", [datetime.date(2024, 1, 31), None], NAIVE),
    ("texts without a zone", ["2024-01-31 10:00", "2024-01-31"], NAIVE),
    ("texts in UTC", ["2024-01-31T10:00Z", "2024-01-31 10:00:00+00:00"], "UTC"),
    ("texts with offsets", ["2024-01-31T10:00+01:00", "2024-07-31T10:00+02:00"], AS_WRITTEN),
    (
        "two zones",
        [
            datetime.datetime(2024, 1, 1, 9, tzinfo=ZoneInfo(name))
            for name in (BERLIN, "Asia/Tokyo")
        ],
        AS_WRITTEN,
    ),
]


@pytest.mark.parametrize(("what", "cells", "zone"), ZONES, ids=[row[0] for row in ZONES])
def test_zone_of_a_column(what: str, cells: Any, zone: str) -> None:
    cells = cells if isinstance(cells, pd.Series) else pd.Series(cells, dtype="object")
    (column,), _ = read_columns(pd.DataFrame({"when": cells}))
    assert (column.kind, column.zone) == ("date", zone)


@pytest.mark.parametrize(
    "cells",
    [
        ["2024-01-31 10:00", "2024-01-31T10:00Z"],
        [datetime.datetime(2024, 1, 31), datetime.datetime(2024, 1, 31, tzinfo=datetime.UTC)],
    ],
)
def test_column_with_and_without_zones_is_refused(cells: list[Any]) -> None:
    with pytest.raises(DataError, match="'when' must have a time zone in every time or in none"):
        read_columns(pd.DataFrame({"when": pd.Series(cells, dtype="object")}))


FORMS: dict[str, Any] = {
    "pandas": pd.DataFrame({"when": MOMENTS}),
    "arrow": pa.table({"when": pa.Array.from_pandas(MOMENTS)}),
    "nanoseconds": pa.table({"when": pa.array(MOMENTS, pa.timestamp("ns", BERLIN))}),
    "records": [{"when": moment} for moment in MOMENTS],
    "datetimes": {"when": MOMENTS.dt.to_pydatetime().tolist()},
    "another zone": pd.DataFrame({"when": MOMENTS.dt.tz_convert("America/Lima")}),
    "UTC": pa.table({"when": pa.Array.from_pandas(MOMENTS.dt.tz_convert("UTC"))}),
    "texts": pd.DataFrame({"when": MOMENTS.astype("str")}),
    "texts in UTC": {"when": MOMENTS.dt.tz_convert("UTC").dt.strftime("%Y-%m-%dT%H:%M:%SZ")},
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_read_from_the_clock_of_training(form: str) -> None:
    preprocessor = fitted(MOMENTS)
    wall = fitted(MOMENTS.dt.tz_localize(None)).encode({"when": MOMENTS.dt.tz_localize(None)})
    np.testing.assert_array_equal(preprocessor.encode(FORMS[form]), wall)
    back = Preprocessor.from_parts(preprocessor.to_json(), preprocessor.to_arrays())
    np.testing.assert_array_equal(back.encode(FORMS[form]), wall)


def test_both_hours_of_the_changed_clock_are_converted() -> None:
    berlin, utc = MOMENTS, MOMENTS.dt.tz_convert("UTC")
    preprocessor = fitted(utc)
    wanted = preprocessor.encode({"when": utc})
    np.testing.assert_array_equal(
        preprocessor.encode({"when": berlin.dt.to_pydatetime().tolist()}), wanted
    )


@pytest.mark.parametrize(
    "cells",
    [
        MOMENTS.dt.tz_localize(None),
        MOMENTS.dt.tz_localize(None).astype("str"),
        [datetime.date(2024, 1, 31)],
        ["2024-01-31"],
    ],
    ids=["typed", "texts", "dates", "date texts"],
)
def test_times_without_a_zone_are_refused_if_training_had_one(cells: Any) -> None:
    with pytest.raises(DataError, match=r"'when', row 1: must have times with a time zone"):
        fitted(MOMENTS).encode({"when": cells})


@pytest.mark.parametrize(
    "cells", [MOMENTS, MOMENTS.astype("str"), ["2024-01-31T10:00Z"]], ids=["typed", "texts", "Z"]
)
def test_times_with_a_zone_are_refused_if_training_had_none(cells: Any) -> None:
    with pytest.raises(DataError, match=r"'when', row 1: must have times without a time zone"):
        fitted(MOMENTS.dt.tz_localize(None)).encode({"when": cells})


def test_missing_times_fit_every_zone() -> None:
    for cells in (MOMENTS, MOMENTS.dt.tz_localize(None)):
        encoded = fitted(cells).encode({"when": np.array(["NaT"], dtype="datetime64[s]")})
        np.testing.assert_array_equal(encoded, fitted(cells).encode({"when": [None]}))


def test_texts_with_offsets_are_read_as_written() -> None:
    preprocessor = fitted(["2024-01-31T10:00+01:00", "2024-07-31T11:00+02:00"] * 5)
    summer = ["2024-07-31T10:00+02:00"]
    np.testing.assert_array_equal(
        preprocessor.encode({"when": summer}), preprocessor.encode({"when": ["2024-07-31 10:00"]})
    )


def test_one_moment_on_two_clocks_is_two_times() -> None:
    noon = datetime.datetime(2024, 1, 1, 12, tzinfo=datetime.UTC)
    cells = [noon, noon.astimezone(ZoneInfo("Asia/Tokyo"))]
    preprocessor = fitted(pd.Series(cells * 4, dtype="object"))
    first, second = preprocessor.encode({"when": cells})
    assert (first != second).any()


def test_bundle_without_a_zone_reads_every_clock_as_written() -> None:
    preprocessor = fitted(MOMENTS.dt.tz_localize(None))
    parts = preprocessor.to_json()
    del parts["columns"][0]["zone"]
    without = Preprocessor.from_parts(parts, preprocessor.to_arrays())
    wanted = preprocessor.encode({"when": MOMENTS.dt.tz_localize(None)})
    np.testing.assert_array_equal(without.encode({"when": MOMENTS}), wanted)


def test_error_names_an_unknown_zone() -> None:
    parts = fitted(MOMENTS).to_json()
    parts["columns"][0]["zone"] = "Mars/Olympus"
    preprocessor = Preprocessor.from_parts(parts, fitted(MOMENTS).to_arrays())
    with pytest.raises(DataError, match=r"time zone 'Mars/Olympus'.*pip install tzdata"):
        preprocessor.encode({"when": MOMENTS})


@pytest.mark.parametrize("zone", [BERLIN, "UTC", "+02:30", "Asia/Tokyo", AS_WRITTEN])
@pytest.mark.parametrize("own", [BERLIN, "America/Lima", "UTC", "-03:30"])
@pytest.mark.parametrize("unit", ["ns", "us", "s"])
def test_typed_times_equal_times_read_one_by_one(
    zone: str, own: str, unit: Literal["ns", "us", "s"]
) -> None:
    rng = np.random.default_rng(0)
    around_changes = pd.date_range("2024-03-30 22:00", periods=60, freq="20min", tz="UTC").append(
        pd.date_range("2024-10-26 22:00", periods=60, freq="20min", tz="UTC")
    )
    anywhere = pd.to_datetime(rng.integers(-(10**18) * 4, 10**18 * 4, 200), utc=True)
    moments = pd.Series(around_changes.append([anywhere, pd.DatetimeIndex([pd.NaT], tz="UTC")]))
    typed = moments.dt.tz_convert(own).dt.as_unit(unit)
    found, bad = days(typed, zone)
    wanted, wanted_bad = days(np.array([*typed], dtype=object), zone)
    np.testing.assert_array_equal(found, wanted)
    assert bad is wanted_bad is None
    assert np.isnan(found[-1])


def test_typed_times_must_have_no_zone_if_training_had_none() -> None:
    typed = pd.concat([pd.Series([pd.NaT], dtype=MOMENTS.dtype), MOMENTS])
    assert days(typed, NAIVE)[1] == days(np.array([*typed], dtype=object), NAIVE)[1] == 1
    assert days(typed[:1], NAIVE)[1] is None
