"""Integers of a text file stay exact, even next to a missing cell."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from autotrain.data.arrays import plain
from autotrain.data.files import read_table

EXACT: dict[str, list[int | None]] = {
    "64 bits": [2**53 + 1, None, 2**60 + 1],
    "negative": [-(2**53) - 1, None, 5],
    "unsigned": [2**63 + 1, None, 5],
    "no gap": [2**60 + 1, 2**60 + 2, 3],
}


@pytest.mark.parametrize("what", EXACT)
def test_large_whole_numbers_are_those_of_the_file(what: str, tmp_path: Path) -> None:
    lines = ["" if cell is None else str(cell) for cell in EXACT[what]]
    path = tmp_path / "t.csv"
    path.write_text("a,b\n" + "".join(f"{line},x\n" for line in lines))
    cells: list[Any] = plain(read_table(path).frame["a"]).tolist()
    # pandas keeps numbers that are too large for it as texts.
    known = [None if cell in (None, "") else int(cell) for cell in cells]
    assert known == EXACT[what]


@pytest.mark.parametrize("cells", [["1e300", "", "2"], ["9007199254740993.5", "", "2"], ["1", ""]])
def test_other_numbers_stay_floats(cells: list[str], tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("a,b\n" + "".join(f"{cell},x\n" for cell in cells))
    assert read_table(path).frame["a"].dtype == float
