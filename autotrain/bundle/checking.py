"""Check the type and range of each field of a record, because a file can contain anything.

`check_fields` runs before a bundle is built. record.py then checks whether the fields fit each
other. There is no schema library, because prediction must need torch, numpy and safetensors only.
"""

from __future__ import annotations

import math
import numbers
import reprlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from autotrain.data.values import LARGEST
from autotrain.validation import is_number

FLOAT32_MAX = float(np.finfo(np.float32).max)
Check = Callable[[str, Any], None]
"""Takes the path and the value of a field; raises FieldError for an invalid value."""


class FieldError(ValueError):
    """A field with an invalid value.

    Args:
        expected: the valid values and the path of the field, such as "a text as data.name".
        got: the value.
    """

    def __init__(self, expected: str, got: str) -> None:
        self.expected = expected
        self.got = got
        super().__init__(f"must have {expected}, got {got}")


def _value(words: str, is_one: Callable[[Any], bool]) -> Check:
    def check(place: str, value: Any) -> None:
        if not is_one(value):
            raise FieldError(f"{words} as {place}", reprlib.repr(value))

    return check


def _optional(check: Check) -> Check:
    def check_some(place: str, value: Any) -> None:
        if value is not None:
            check(place, value)

    return check_some


def _list_of(check: Check, length: int | None = None) -> Check:
    def check_all(place: str, value: Any) -> None:
        if not isinstance(value, list) or len(value) != (length or len(value)):
            count = "" if length is None else f" of {length}"
            raise FieldError(f"a list{count} as {place}", reprlib.repr(value))
        for number, item in enumerate(value):
            check(f"{place}[{number}]", item)

    return check_all


def _table(
    fields: Mapping[str, Check] | None = None,
    *,
    optional: Mapping[str, Check] | None = None,
    others: Check | None = None,
) -> Check:
    """Return a check of a table with all `fields` and any of the `optional` ones.

    Args:
        others: the check of all other fields; None: they may contain anything.
    """

    def check_fields_of(place: str, value: Any) -> None:
        if not isinstance(value, dict):
            raise FieldError(f"a table as {place or 'record'}", reprlib.repr(value))
        start = f"{place}." if place else ""
        for name in fields or {}:
            if name not in value:
                raise FieldError(f"the field {start + name}", "none")
        known = {**(fields or {}), **(optional or {})}
        for name, item in value.items():
            check = known.get(name, others)
            if check is not None:
                check(start + reprlib.repr(name)[1:-1], item)

    return check_fields_of


def _number(words: str, low: float, high: float) -> Check:
    return _value(words, lambda value: is_number(value) and low <= value <= high)


def _count(words: str, low: int) -> Check:
    return _value(words, lambda value: is_number(value, numbers.Integral) and value >= low)


TEXT = _value("a text", lambda value: isinstance(value, str))
FLAG = _value("true or false", lambda value: isinstance(value, bool))
COUNT = _count("an integer of at least 0", 0)
POSITIVE_COUNT = _count("an integer of at least 1", 1)
LABEL = _value("a label", lambda value: isinstance(value, str | int | float))
NUMBER = _value("a finite number", lambda value: is_number(value) and math.isfinite(value))
SHARE = _number("a number from 0 to 1", 0.0, 1.0)
# Sums of larger numbers, and inverses of smaller ones, might not be finite.
IN_UNITS = _number(f"a number within ±{LARGEST:g}", -LARGEST, LARGEST)
NOT_NEGATIVE = _number(f"a number from 0 to {LARGEST:g}", 0.0, LARGEST)
POSITIVE = _number(f"a positive number up to {LARGEST:g}", 1 / LARGEST, LARGEST)
WEIGHT = _number(f"a positive number up to {LARGEST:g}", math.ulp(0.0), LARGEST)
FLOAT32 = _number("a number in the range of float32", -FLOAT32_MAX, FLOAT32_MAX)

_NOISE = _table(
    {
        "dof": _optional(
            _value(
                "an even number from 2 to 100",
                lambda value: is_number(value, numbers.Integral) and value in range(2, 101, 2),
            )
        ),
        "scale": POSITIVE,
        "spread": NOT_NEGATIVE,
        "typical_error": POSITIVE,
    }
)
_THRESHOLD = _table(
    {"value": SHARE, "positive": COUNT},
    optional={
        "goal": TEXT,
        "n_rows": COUNT,
        "metrics": _table(others=_optional(NUMBER)),
        "interval": _list_of(SHARE, length=2),
        "intervals": _table(others=_optional(_list_of(NUMBER, length=2))),
    },
)
_CALIBRATION = _table(
    optional={
        "threshold": _THRESHOLD,
        "answers": _table({"doubts": _list_of(SHARE), "is_wrong": _list_of(FLAG)}),
        "noise": _NOISE,
        "noise_point": _NOISE,
        "temperature": POSITIVE,
        "temperature_point": POSITIVE,
        "class_weights": _list_of(WEIGHT),
        "conformal_fold_scores": _list_of(_list_of(NOT_NEGATIVE)),
        "conformal_fold_weights": _list_of(_list_of(WEIGHT)),
        "conformal_fold_labels": _list_of(_list_of(COUNT)),
        "reliability": _list_of(
            _table({"expected": SHARE, "observed": SHARE, "n_rows": NOT_NEGATIVE})
        ),
        "n_rows": COUNT,
        "n_samples": COUNT,
        "seed": COUNT,
        "rows": TEXT,
        "note": TEXT,
    }
)
_COVERAGE = _table(
    {
        "coverage": SHARE,
        "coverage_error": NOT_NEGATIVE,
        # Infinite with too few calibration rows; then it is null in JSON.
        "size": _optional(NUMBER),
        "alpha": SHARE,
        "n_rows": NOT_NEGATIVE,
    }
)
_SCORES = _table(
    optional={
        "test_interval": _optional(_table(others=_list_of(NUMBER, length=2))),
        "test_coverage": _optional(_table(others=_COVERAGE)),
    },
    others=_optional(_table(others=_optional(NUMBER))),
)
_SELECTION = _table(
    {
        "trial": COUNT,
        "reason": TEXT,
        "n_trials": COUNT,
        "n_complete": COUNT,
        "best_trial": COUNT,
        "best_value": NUMBER,
    },
    optional={
        "n_trainings": COUNT,
        "mean": _optional(NUMBER),
        "seed_std": _optional(NUMBER),
        "best_mean": _optional(NUMBER),
        "kept_over": _optional(COUNT),
    },
)
_TRAINED = {"trial": _optional(COUNT), "repeat": COUNT, "seed": COUNT}
_TRAINING = _table(
    optional={
        **_TRAINED,
        "study": TEXT,
        "folds": POSITIVE_COUNT,
        "best_epoch": COUNT,
        "selection": _optional(_SELECTION),
        "ensemble": _list_of(
            _table(
                optional={
                    **_TRAINED,
                    "value": _optional(NUMBER),
                    "best_epochs": _list_of(COUNT),
                }
            )
        ),
    }
)


def _class_weights(place: str, value: Any) -> None:
    (TEXT if isinstance(value, str) else _table(others=NOT_NEGATIVE))(place, value)


_ROWS = ("n_train", "n_valid", "n_validated", "n_calibration", "n_test")
_DATA = _table(
    optional={
        "name": _optional(TEXT),
        "source": _optional(TEXT),
        "fingerprint": _optional(TEXT),
        "split": _table(),
        **dict.fromkeys(_ROWS, _optional(COUNT)),
        **dict.fromkeys(("n_test_repeats", "n_test_repeats_same_target"), COUNT),
        "commas": TEXT,
        "reading": _table(
            optional={
                "written": _table(others=_list_of(TEXT)),
                "names": _list_of(TEXT),
                "missing": _list_of(TEXT),
            }
        ),
        "weights": TEXT,
        "class_weights": _class_weights,
    }
)
_DIAGNOSIS = _table(
    optional={
        **dict.fromkeys(("start_loss", "loss"), NOT_NEGATIVE),
        **dict.fromkeys(("start_norms", "norms"), _list_of(NOT_NEGATIVE)),
        **dict.fromkeys(("dead_units", "saturated"), _list_of(SHARE)),
        "explosion": TEXT,
        "explosion_epoch": COUNT,
    }
)
_MEMBER = _table(
    {
        # `TrialConfig.from_json` checks the content.
        "config": _table(),
        "columns": _table(
            {"n_numeric": COUNT, "levels": _list_of(POSITIVE_COUNT), "n_plain": COUNT}
        ),
        "n_outputs": POSITIVE_COUNT,
        "target_mean": IN_UNITS,
        "target_std": POSITIVE,
        "target_low": _optional(FLOAT32),
        "target_high": _optional(FLOAT32),
        "fold": COUNT,
        "best_epoch": COUNT,
        "value": _optional(NUMBER),
        "preprocessing": _table(
            {
                "scaler": TEXT,
                "shapes": _table(others=_list_of(COUNT)),
                "features": _list_of(TEXT),
                "columns": _list_of(_table()),
            }
        ),
    },
    optional={"diagnosis": _DIAGNOSIS},
)
_RECORD = _table(
    {
        "task": TEXT,
        "target": _table({"name": TEXT, "classes": _list_of(LABEL), "label_dtype": TEXT}),
        "metric": _table({"name": TEXT, "direction": TEXT}),
        "scores": _SCORES,
        "calibration": _CALIBRATION,
        "members": _list_of(_MEMBER),
        "training": _TRAINING,
        "data": _DATA,
        "versions": _table(others=TEXT),
        "created": TEXT,
    }
)


def check_fields(record: Any) -> None:
    """Check the type and range of every field of a record.

    Unknown fields may contain anything.

    Raises: FieldError with the path and value of the first invalid field.
    """
    _RECORD("", record)
