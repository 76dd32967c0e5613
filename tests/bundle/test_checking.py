"""A forged record with a valid checksum is refused, or its model works."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from autotrain.bundle import RECORD, encode, read_bundle
from autotrain.bundle.checking import FieldError, check_fields
from autotrain.bundle.files import checksum_of
from autotrain.errors import AutotrainError, BundleError
from autotrain.predictor import Predictor
from tests.winners import mixed_table, train

Place = tuple[str | int, ...]
ABSENT = "left out"
ODD: tuple[Any, ...] = (
    ABSENT,
    None,
    "",
    "x",
    -1,
    0,
    1,
    1.5,
    1e39,
    1e308,
    5e-324,
    2**63,
    True,
    [],
    {},
    [[]],
    [None],
    ["a"],
    {"a": None},
)
"""Values to put in place of others."""
TARGETS = {"classes": "left", "numbers": "age"}


def places(value: Any, at: Place = ()) -> Iterator[Place]:
    """Yield every place of a record; of long lists the first three."""
    if at:
        yield at
    items: Any = value.items() if isinstance(value, dict) else ()
    items = list(enumerate(value))[:3] if isinstance(value, list) else items
    for key, item in items:
        yield from places(item, (*at, key))


def replaced(record: Any, place: Place, odd: Any) -> Any:
    """Return a record with something else in a place, and a checksum that fits."""
    changed = json.loads(json.dumps(record))
    holder = changed
    for key in place[:-1]:
        holder = holder[key]
    if odd is ABSENT:
        del holder[place[-1]]
    else:
        holder[place[-1]] = odd
    if "checksums" in changed and isinstance(changed["checksums"], dict):
        changed["checksums"][RECORD] = checksum_of(changed)
    return changed


@pytest.fixture(scope="module", params=TARGETS)
def written(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Return the folder of a bundle with columns of every kind, its record and rows."""
    table, target = mixed_table(), TARGETS[request.param]
    winner = train(table, {"missing": "indicator"}, target=target, validation="2-fold")
    folder = winner.export(tmp_path_factory.mktemp(request.param) / "best").path
    record = json.loads((folder / RECORD).read_bytes())
    return folder, record, table.drop(columns=target).head(4)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_forged_record_is_refused_or_works(
    written: tuple[Path, Any, pd.DataFrame], data: st.DataObject
) -> None:
    place = data.draw(st.sampled_from(list(places(written[1]))))
    _is_refused_or_works(written, place, data.draw(st.sampled_from(ODD)))


@pytest.mark.parametrize("odd", [2**63, 10**99])
@pytest.mark.parametrize(
    "place",
    [
        ("calibration", "noise", "scale"),
        ("calibration", "noise", "spread"),
        ("calibration", "noise_point", "scale"),
        ("calibration", "temperature"),
        ("calibration", "conformal_fold_scores", 0, 0),
        ("members", 0, "target_mean"),
        ("members", 0, "target_std"),
    ],
)
def test_integer_beyond_64_bits_is_refused_or_works(
    written: tuple[Path, Any, pd.DataFrame], place: Place, odd: int
) -> None:
    if place in set(places(written[1])):
        _is_refused_or_works(written, place, odd)


def _is_refused_or_works(written: tuple[Path, Any, pd.DataFrame], place: Place, odd: Any) -> None:
    folder, record, rows = written
    try:
        (folder / RECORD).write_text(json.dumps(replaced(record, place, odd)), encoding="utf-8")
        bundle = read_bundle(folder)
    except BundleError:
        return
    finally:
        (folder / RECORD).write_text(json.dumps(record), encoding="utf-8")
    predictor = Predictor(bundle)
    assert encode(bundle)  # with its card
    assert repr(predictor)
    assert predictor.reading is not None
    assert predictor.raw_inputs(rows)
    try:
        predicted = predictor.predict(rows)
        drawn = predictor.predict_distribution(rows, n_samples=4, notices=[])
    except AutotrainError:
        return  # without dropout, or numbers too large for its weights
    assert len(predicted) == len(drawn.mean) == len(rows)
    assert np.isfinite(drawn.mean).all()
    assert len(drawn.to_frame()) == len(rows)


COVERAGE = {"coverage": 0.9, "coverage_error": 0.1, "size": 1.0, "alpha": 0.1, "n_rows": 9}
NOISE = {"dof": 4, "scale": 1.0, "spread": 1.0, "typical_error": 1.1}


@pytest.mark.parametrize(
    ("place", "odd", "message"),
    [
        (("created",), ABSENT, "must have the field created, got none"),
        (("members", 1, "fold"), -1, r"an integer of at least 0 as members\[1\]\.fold, got -1"),
        (("members", 0, "best_epoch"), True, r"an integer .*best_epoch, got True"),
        (("members", 0, "diagnosis", "norms"), [-1], r"a number from 0 .*diagnosis\.norms\[0\]"),
        (
            ("members", 0, "diagnosis", "dead_units"),
            [2.0],
            r"a number from 0 to 1 as .*dead_units\[0\]",
        ),
        (("members", 0, "target_mean"), "3", r"a number within ±1e\+100 as .*target_mean, got '3'"),
        (("members", 0, "preprocessing", "features", 0), None, r"a text as .*features\[0\]"),
        (("members", 0, "columns", "levels"), 3, r"a list as .*columns\.levels, got 3"),
        (("members", 0, "target_high"), 1e39, r"a number in the range of float32 as .*target_high"),
        (
            ("calibration", "temperature"),
            1e300,
            r"a positive number up to 1e\+100 as .*temperature",
        ),
        (("calibration", "noise"), {**NOISE, "dof": 3}, r"an even number .*dof"),
        (("calibration", "noise"), {**NOISE, "scale": 0}, r"a positive number .*scale"),
        (("calibration", "noise"), {**NOISE, "spread": -1}, r"a number from 0 .*spread"),
        (
            ("calibration", "conformal_fold_weights"),
            [[1e308]],
            r"a positive number up .*\[0\]\[0\]",
        ),
        (("calibration", "n_samples"), "x", r"an integer of at least 0 as .*n_samples, got 'x'"),
        (("calibration", "reliability", 0, "observed"), 1.5, "a number from 0 to 1 as .*observed"),
        (("calibration", "note"), 3, "a text as calibration.note, got 3"),
        (("scores", "validation"), [1], r"a table as scores\.validation, got \[1\]"),
        (("scores", "test_interval"), {"rmse": [1]}, "a list of 2 as .*rmse"),
        (
            ("scores", "test_coverage"),
            {"interval": {**COVERAGE, "size": "x"}},
            "a finite number as .*size",
        ),
        (("scores", "test_coverage"), {"interval": {**COVERAGE, "coverage": 2}}, "from 0 to 1"),
        (
            ("scores", "test_coverage"),
            {"interval": {"size": 1.0}},
            "coverage, got none",
        ),
        (("training", "ensemble"), [{"trial": "x"}], r"ensemble\[0\]\.trial"),
        (("data", "class_weights"), {"a": -1}, r"a number from 0 .*data\.class_weights\.a"),
        (("versions",), {"torch": 2}, r"a text as versions\.torch"),
    ],
)
def test_error_names_the_invalid_field(
    written: tuple[Path, Any, pd.DataFrame], place: Place, odd: Any, message: str
) -> None:
    with pytest.raises(FieldError, match=message):
        check_fields(replaced(written[1], place, odd))


def test_unknown_fields_may_contain_anything(
    written: tuple[Path, Any, pd.DataFrame],
) -> None:
    for table in ((), ("training",), ("calibration",), ("members", 0)):
        check_fields(replaced(written[1], (*table, "new"), [{"of": None}]))


def test_weights_may_be_tiny(written: tuple[Path, Any, pd.DataFrame]) -> None:
    weights = [[5e-324, 1.0, 1e100]]
    check_fields(replaced(written[1], ("calibration", "conformal_fold_weights"), weights))
