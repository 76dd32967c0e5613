"""Random text tables are read without a traceback, and without a wrong number."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import fuzz_readers
from benchmarks.fuzz_readers import Column, Table


def test_random_tables(tmp_path: Path) -> None:
    checker = fuzz_readers.run(150, 1, tmp_path)
    assert sum(checker.tables.values()) >= 150
    assert checker.tables["read"] > 75
    assert checker.columns["numbers, all equal"] > 100


def table(*columns: Column) -> Table:
    return Table(columns, ";", ",", 0, '"', "\n", "utf-8", True, True)


def test_wrong_number_is_found(tmp_path: Path) -> None:
    checker = fuzz_readers.Checker(tmp_path)
    right = Column("a", ("1,5", "2,5"), (1.5, 2.5))
    checker.check(table(right, Column("b", ("x", "y"), None)))
    wrong = Column("b", ("1,5", "2,5"), (1.5, 3.5))
    with pytest.raises(AssertionError):
        checker.check(table(right, wrong))


def test_text_without_a_word_is_found(tmp_path: Path) -> None:
    column = Column("a", ("x", "y"), (1.0, 2.0))
    with pytest.raises(AssertionError, match="without a word"):
        fuzz_readers.Checker(tmp_path).check(table(column, Column("b", ("x", "y"), None)))
