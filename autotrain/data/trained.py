"""How tables are to be read that are like the training table: rows to predict, test rows."""

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
    """Return what the training table has shown.

    Args:
        preprocessors: the fitted ones.
        target: the target's column.
        labels: the target's column again when its labels are texts.
        commas: see `Reading`.
        kept: see `Dataset.reading`.
        weights: the column of the rows' weights.
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
        beside=tuple(name for name in (target, weights) if name is not None and name in names),
    )
