"""Settings to read test rows, or rows to predict, in the same way as the training table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from autotrain.data.numerals import Numeral
from autotrain.data.preprocessing import Preprocessor
from autotrain.data.reading import DECIMAL, THOUSANDS, Reading


def reading_of(
    preprocessors: Sequence[Preprocessor],
    target: str,
    labels: Iterable[str],
    commas: Any,
    kept: Mapping[str, Any],
    weights: str | None,
) -> Reading:
    """Return the settings found in the training table.

    Args:
        preprocessors: the fitted preprocessors.
        target: name of the target column.
        labels: the name of the target column if its labels are text; otherwise empty.
        commas: see `Reading`.
        kept: see `Dataset.reading`.
        weights: name of the column of sample weights.
    """
    texts = dict.fromkeys(name for each in preprocessors for name in each.text_columns)
    written = {
        column.name: Numeral.from_json(column.written)
        for each in preprocessors
        for column in each.columns
        if column.kind == "numeric"
    }
    written |= {name: Numeral.from_json(fields) for name, fields in kept.get("written", {}).items()}
    names = tuple(kept.get("names", ()))
    return Reading(
        texts=(*texts, *labels),
        commas=commas if commas in (DECIMAL, THOUSANDS) else "",
        written=written,
        missing=tuple(kept.get("missing", ())),
        header=False if names else None,
        names=names or preprocessors[0].features,
        optional_names=tuple(
            name for name in (target, weights) if name is not None and name in names
        ),
    )
