"""Tables in parts: the same rows, row numbers of the whole table, each notice once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from autotrain.data.codes import ColumnCode
from autotrain.data.preprocessing import Preprocessor
from autotrain.errors import DataError
from autotrain.predictor.tables import encoded_parts

N_ROWS = 47
CODES = (
    ColumnCode("age", "numeric", "float64"),
    ColumnCode("city", "categorical", "str", levels=("Bern", "Oslo", "Rom")),
)
PREPROCESSOR = Preprocessor(
    CODES, ("age", "city"), {name: np.ones(1) for name in ("fill", "mean", "scale")}
)


class Polars:
    """A frame like those of polars: columns and slices, no `iloc`."""

    def __init__(self, columns: dict[Any, list[Any]]) -> None:
        self._columns = columns
        self.columns = list(columns)

    def __len__(self) -> int:
        return len(self._columns["age"])

    def __getitem__(self, name: str) -> list[Any]:
        return self._columns[name]

    def slice(self, start: int, length: int) -> Polars:
        return Polars({name: c[start : start + length] for name, c in self._columns.items()})


def frame() -> pd.DataFrame:
    generator = np.random.default_rng(0)
    return pd.DataFrame(
        {"age": generator.normal(size=N_ROWS), "city": generator.choice(["Rom", "Bern"], N_ROWS)}
    )


FORMS: dict[str, Callable[[pd.DataFrame], Any]] = {
    "frame": lambda table: table,
    "frame with an index": lambda table: table.set_index(np.arange(N_ROWS)[::-1]),
    "array": lambda table: table.to_numpy(),
    "structured array": lambda table: table.astype({"city": object}).to_records(index=False),
    "columns": lambda table: table.to_dict("list"),
    "columns of arrays": lambda table: {name: table[name].to_numpy() for name in table},
    "series by name": lambda table: {name: table[name] for name in table},
    "records": lambda table: table.to_dict("records"),
    "rows": lambda table: table.to_numpy().tolist(),
    "polars": lambda table: Polars(table.to_dict("list")),
}


TEN_ROWS = 10 * PREPROCESSOR.n_inputs


@pytest.mark.parametrize("form", FORMS)
def test_parts_together_equal_the_whole(form: str) -> None:
    table = FORMS[form](frame())
    parts = [part for (part,) in encoded_parts(table, [PREPROCESSOR], None, TEN_ROWS)]
    assert [len(part) for part in parts] == [10, 10, 10, 10, 7]
    whole = PREPROCESSOR.encode(frame())
    np.testing.assert_array_equal(torch.cat(parts).numpy(), whole)


def test_table_that_cannot_be_cut_is_one_part() -> None:
    class Frame(Polars):
        slice = property()

    table = Frame(frame().to_dict("list"))
    assert len(list(encoded_parts(table, [PREPROCESSOR], None, TEN_ROWS))) == 1


def test_every_preprocessor_encodes_every_part() -> None:
    other = Preprocessor(
        CODES, ("age", "city"), {n: np.full(1, 2.0) for n in ("fill", "mean", "scale")}
    )
    parts = list(encoded_parts(frame(), [PREPROCESSOR, other], None, TEN_ROWS))
    second = torch.cat([part[1] for part in parts]).numpy()
    np.testing.assert_array_equal(second, other.encode(frame()))


def test_error_names_the_row_of_the_whole_table() -> None:
    table = frame().astype(object)
    table.loc[36, "age"] = "old"
    with pytest.raises(DataError, match="got 'old' in row 37"):
        list(encoded_parts(table, [PREPROCESSOR], None, TEN_ROWS))


def test_columns_of_different_length_raise_before_cutting() -> None:
    table = {"age": [1.0] * 47, "city": ["Rom"] * 40}
    with pytest.raises(DataError, match="columns must have the same length"):
        list(encoded_parts(table, [PREPROCESSOR], None, TEN_ROWS))


def test_notices_are_not_repeated() -> None:
    table, notices = frame().assign(note="x"), list[str]()
    table.loc[[12, 13, 38], "city"] = ["Paris", "Paris", "Nice"]
    list(encoded_parts(table, [PREPROCESSOR], notices, TEN_ROWS))
    assert [notice for notice in notices if "note" in notice] == notices[:1]
    assert [notice.partition(":")[0] for notice in notices[1:]] == [
        "from row 11 on",
        "from row 31 on",
    ]
    assert "Paris" in notices[1]
    assert "Nice" in notices[2]
