"""CSV and TSV files are read, and every mistake in them is named."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from autotrain.data import text_files
from autotrain.data.reading import DECIMAL, THOUSANDS, Reading
from autotrain.data.text_tables import read_text
from autotrain.errors import DataError

TABLE = "size,colour,price\n1.5,red,10\n,blue,20\n2.5,red,30\n"


def write(folder: Path, content: str | bytes, name: str = "table.csv") -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def zstd(content: bytes) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.output_stream(sink, compression="zstd") as stream:
        stream.write(content)
    return bytes(sink.getvalue().to_pybytes())


WANTED = pd.DataFrame(
    {"size": [1.5, np.nan, 2.5], "colour": ["red", "blue", "red"], "price": [10, 20, 30]}
)

SAME = {
    "plain": ("table.csv", TABLE.encode()),
    "gzip": ("table.csv.gz", gzip.compress(TABLE.encode())),
    "gzip in two parts": (
        "table.csv.gz",
        gzip.compress(TABLE[:20].encode()) + gzip.compress(TABLE[20:].encode()),
    ),
    "gzip without its ending": ("table.csv", gzip.compress(TABLE.encode())),
    "zstd": ("table.csv.zst", zstd(TABLE.encode())),
    "tabs": ("table.tsv", TABLE.replace(",", "\t").encode()),
    "tabs, gzip": ("table.tsv.gz", gzip.compress(TABLE.replace(",", "\t").encode())),
    "byte order mark": ("table.csv", b"\xef\xbb\xbf" + TABLE.encode()),
    "Windows line ends": ("table.csv", TABLE.replace("\n", "\r\n").encode()),
    "no last line end": ("table.csv", TABLE.strip().encode()),
    "spaces": ("table.csv", TABLE.replace(",", ", ").replace("colour", "colour ").encode()),
    "quotes": ("table.csv", TABLE.replace("red", '"red"').encode()),
    "blank lines": ("table.csv", TABLE.replace("\n", "\n\n").encode()),
}


@pytest.mark.parametrize("what", SAME)
def test_one_table_in_many_files(what: str, tmp_path: Path) -> None:
    name, content = SAME[what]
    frame, notes, *_ = read_text(write(tmp_path, content, name))
    pd.testing.assert_frame_equal(frame, WANTED)
    assert notes == []


@pytest.mark.parametrize(("mark", "word"), [(";", "semicolon"), ("\t", "tab"), ("|", "bar")])
def test_other_delimiter_is_found_with_a_notice(mark: str, word: str, tmp_path: Path) -> None:
    frame, notes, *_ = read_text(write(tmp_path, TABLE.replace(",", mark)))
    pd.testing.assert_frame_equal(frame, WANTED)
    assert notes == [f"read with {word} as the delimiter"]


def test_commas_in_a_tsv_are_found(tmp_path: Path) -> None:
    frame, notes, *_ = read_text(write(tmp_path, TABLE, "table.tsv"))
    pd.testing.assert_frame_equal(frame, WANTED)
    assert notes == ["read with comma as the delimiter"]


def test_decimal_commas_are_found_with_a_notice(tmp_path: Path) -> None:
    content = TABLE.replace(",", ";").replace("1.5", "1,5").replace("2.5", "2,5")
    frame, notes, *_ = read_text(write(tmp_path, content))
    pd.testing.assert_frame_equal(frame, WANTED)
    assert notes == [
        "read with semicolon as the delimiter",
        "column 'size': 2 cells with decimal commas are read as numbers (for example '1,5' as 1.5)",
    ]


MEANINGS: list[tuple[list[str], list[str], list[float], str]] = [
    # The first comma comes late.
    (["1"] * 70 + ["3,5"], ["x"] * 71, [1.0] * 70 + [3.5], DECIMAL),
    (["1,25", "-,5", "2,5e3"], ["x"] * 3, [1.25, -0.5, 2500.0], DECIMAL),
    # Of three digits, but beside others that say what a comma is.
    (["1,125", "7"], ["0,5", "2"], [1.125, 7.0], DECIMAL),
    (["1,000", "500"], ["0.5", "2"], [1000.0, 500.0], THOUSANDS),
    (["1,000.5", "500"], ["x", "y"], [1000.5, 500.0], THOUSANDS),
    (["1,000,000", "7"], ["x", "y"], [1e6, 7.0], THOUSANDS),
    (["1,000", "7"], ["2.0", "3.0"], [1000.0, 7.0], THOUSANDS),
    (["1,000,000", "7"], ["1,2,3", "4,5"], [1e6, 7.0], THOUSANDS),
    (["1,000,000", "7"], ["2024,01,31", "2024,02,01"], [1e6, 7.0], THOUSANDS),
]


@pytest.mark.parametrize(("cells", "others", "wanted", "commas"), MEANINGS)
def test_commas_in_numbers(
    cells: list[str], others: list[str], wanted: list[float], commas: str, tmp_path: Path
) -> None:
    lines = ["a;b", *(f"{one};{other}" for one, other in zip(cells, others, strict=True))]
    frame, notes, found, *_ = read_text(write(tmp_path, "\n".join(lines) + "\n"))
    assert frame["a"].tolist() == wanted
    said = "with decimal commas" if commas == DECIMAL else "with ',' as the thousands separator"
    assert any(said in note and "'a'" in note for note in notes)
    assert found == commas
    if "1,2,3" in others or "2024,01,31" in others:
        assert frame["b"].tolist() == others


def test_ambiguous_comma_is_refused(tmp_path: Path) -> None:
    content = "a\tb\n980\tx\n1,000\ty\n"
    with pytest.raises(DataError, match=r"'1,000' in column 'a' may be 1000 or 1 "):
        read_text(write(tmp_path, content, "table.tsv"))


def test_ambiguous_comma_has_the_meaning_of_training(tmp_path: Path) -> None:
    path = write(tmp_path, "a;b\n980;x\n1,000;y\n")
    for commas, wanted in ((DECIMAL, [980.0, 1.0]), (THOUSANDS, [980.0, 1000.0])):
        frame, _, found, *_ = read_text(path, Reading(commas=commas))
        assert (frame["a"].tolist(), found) == (wanted, commas)
    # The file's own word counts more.
    path = write(tmp_path, "a;b\n980;x\n1,5;y\n")
    assert read_text(path, Reading(commas=THOUSANDS)).frame["a"].tolist() == [980.0, 1.5]
    # What is known to be text says nothing of numbers.
    path = write(tmp_path, "a;b\n980;1,5\n1,000;2,5\n")
    frame, *_ = read_text(path, Reading({"b"}, THOUSANDS))
    assert frame["a"].tolist() == [980, 1000]
    assert frame["b"].tolist() == ["1,5", "2,5"]
    path = write(tmp_path, "code;n\n1,000;1\n2,000;2\n")
    assert read_text(path, Reading({"code"})).frame["code"].tolist() == ["1,000", "2,000"]


@pytest.mark.parametrize(
    ("cells", "is_told"),
    [
        (["1,2,3", "4,5"], False),
        (["1,5", "3.5"], True),
        (["1,5", "A"], False),
        (["1,5", "1,000,000"], True),
    ],
)
def test_commas_in_other_cells_mean_nothing(
    cells: list[str], is_told: bool, tmp_path: Path
) -> None:
    frame, notes, *_ = read_text(
        write(tmp_path, "a;b\n" + "".join(f"{cell};1\n" for cell in cells))
    )
    assert frame["a"].tolist() == cells
    told = [note for note in notes if "column 'a' has numbers" in note and "as text" in note]
    assert len(told) == is_told


def test_known_columns_of_texts_are_texts_whatever_they_contain(tmp_path: Path) -> None:
    path = write(tmp_path, " code ,size,n\n007,1.50,1.50\n,2,2\n")
    frame, *_ = read_text(path, Reading(texts={"code", "size"}))
    assert frame["code"].tolist()[0] == "007"
    assert frame["code"].isna().tolist() == [False, True]
    assert frame["size"].tolist() == ["1.50", "2"]
    assert frame["n"].tolist() == [1.5, 2.0]


def test_delimiters_inside_quotes_are_text(tmp_path: Path) -> None:
    frame, notes, *_ = read_text(write(tmp_path, 'a,b\n"x;1, y",1\n"z;2\nw",2\n'))
    assert frame["a"].tolist() == ["x;1, y", "z;2\nw"]
    assert notes == []


def test_true_and_yes_keep_their_spelling(tmp_path: Path) -> None:
    content = "a,b,c,d\ntrue,yes,True,1\nfalse,no,,0\n"
    frame, *_ = read_text(write(tmp_path, content))
    assert frame["a"].tolist() == ["true", "false"]
    assert frame["b"].tolist() == ["yes", "no"]
    assert frame["c"].isna().tolist() == [False, True]
    assert frame["c"][0] == "True"
    assert frame["d"].tolist() == [1, 0]


def test_missing_cells(tmp_path: Path) -> None:
    cells = ["?", "NA", "", "NaN", "null", "None", "N/A", '" "', "2"]
    frame, *_ = read_text(write(tmp_path, "a,b\n" + "".join(f"{cell},1\n" for cell in cells)))
    assert frame["a"].isna().sum() >= 7
    frame, *_ = read_text(write(tmp_path, "a,b\n?,1\n3,1\n"))
    assert frame["a"].dtype == np.float64


def test_long_file_is_read_completely(tmp_path: Path) -> None:
    lines = [f"{number},text number {number}" for number in range(30_000)]
    frame, notes, *_ = read_text(write(tmp_path, "a,b\n" + "\n".join(lines)))
    assert len(frame) == 30_000
    assert notes == []


def test_wide_file_is_sampled_by_whole_lines(tmp_path: Path) -> None:
    header = ",".join(f"column{number}" for number in range(3000))
    line = ",".join(["12345.5"] * 3000)
    frame, notes, *_ = read_text(write(tmp_path, header + "\n" + (line + "\n") * 20))
    assert frame.shape == (20, 3000)
    assert notes == []


def test_delimiter_at_the_end_of_lines_is_not_a_cell(tmp_path: Path) -> None:
    frame, *_ = read_text(write(tmp_path, "a,b\n1,2,\n3,4,\n"))
    assert frame.to_dict("list") == {"a": [1, 3], "b": [2, 4]}


def test_index_column_without_a_name_gets_one(tmp_path: Path) -> None:
    frame, *_ = read_text(write(tmp_path, ",a\n0,5\n1,6\n"))
    assert list(frame.columns) == ["Unnamed: 0", "a"]


LATIN = "name,price\nüber,1\n".encode("latin-1")

WRONG: dict[str, tuple[str, bytes, list[str]]] = {
    "only blanks": ("a.csv", b" \n\n", ["has only blanks"]),
    "only a header": ("a.csv", b"a,b,c\n", ["must have rows", "only a header of 3 columns"]),
    "doubled names": ("a.csv", b"a,b,a\n1,2,3\n", ["column names must be unique", "'a' (2 times)"]),
    "no header, doubled": (
        "a.csv",
        b"1,2,1\n1,2,3\n",
        ["'1' (2 times)", "looks like data, not like column names"],
    ),
    "not UTF-8": ("a.csv", LATIN, ["byte 11 (line 2) is 0xfc", "iconv -f LATIN1 -t UTF-8 a.csv"]),
    "not UTF-8, far": (
        "a.csv",
        b"a,b\n" + b"\xc3\xa9,1\n" * 70_000 + b"\xe9,1\n",
        ["byte 350004 (line 70002) is 0xe9"],
    ),
    "not UTF-8, over two pieces": (
        "a.csv",
        b"a,b\n" + b"x" * (2**18 - 5) + b"\xc3x,1\n",
        ["byte 262143 (line 2) is 0xc3"],
    ),
    "cut inside a letter": ("a.csv", b"a,b\n1,\xc3", ["byte 6 (line 2) is 0xc3"]),
    "UTF-16": ("a.csv", TABLE.encode("utf-16"), ["got UTF-16", "iconv -f UTF-16"]),
    "zero bytes": ("a.csv", b"a,b\n1,\0\n", ["byte 6 is zero"]),
    "no text at all": (
        "a.csv",
        bytes(range(1, 256)) + b"\0",
        ["byte 255 is zero", "not a CSV file"],
    ),
    "broken gzip": ("a.csv.gz", gzip.compress(b"a,b\n1,2\n" * 99)[:-9], ["a complete .gz file"]),
    "broken zstd": ("a.csv.zst", zstd(b"a,b\n1,2\n" * 99)[:-3], ["a complete .zst file"]),
    "no gzip": ("a.csv.gz", TABLE.encode(), ["must be a .gz file", "starts with 73 69 7a 65"]),
    "a longer line": ("a.csv", b"a,b\n1,2\n1,2,3\n", ["got 2 in the header", "3 in line 3"]),
    "a longer line below": (
        "a.csv",
        b"a,b\n" + b"1,2\n" * 200 + b"1,2,3\n",
        ["same number of cells", "line 202, saw 3"],
    ),
    "longer lines": ("a.csv", b"a,b\n1,2,3\n1,2,3\n", ["got 2 in the header", "3 in line 2"]),
    "an open quote": ("a.csv", b'a,b\n1,"2\n1,2\n', ["EOF inside string"]),
    "other delimiter, uneven": (
        "a.csv",
        b"a;b;c\n1;2;3\n1;2\n",
        ["separated by comma", "the header 'a;b;c' looks separated by semicolon", "with commas"],
    ),
}


@pytest.mark.parametrize("what", WRONG)
def test_wrong_files_get_one_clear_error(what: str, tmp_path: Path) -> None:
    name, content, parts = WRONG[what]
    path = write(tmp_path, content, name)
    with pytest.raises(DataError) as caught:
        read_text(path)
    for part in (str(path), *parts):
        assert part in str(caught.value)


@pytest.mark.parametrize(
    ("header", "is_told"),
    [
        ("3,?,audi,gas,88.60", True),
        ("-2.3,0.568,4.78,3.99,0.11", True),
        ("age,city,income,grade,paid", False),
        ("0,1,2,3,price", False),
        ("1,2,3,4,price", False),
    ],
)
def test_table_without_names_gives_a_notice(header: str, is_told: bool, tmp_path: Path) -> None:
    path = write(tmp_path, f"{header}\n" + "3,1,audi,gas,88.60\n" * 12)
    notes = read_text(path)[1]
    assert any("is used as column names but looks like data" in note for note in notes) == is_told


def test_short_lines_give_a_notice(tmp_path: Path) -> None:
    frame, notes, *_ = read_text(write(tmp_path, "a,b,c\n1,2,3\n1,2\n4,5,6\n"))
    assert frame["c"].isna().tolist() == [False, True, False]
    assert notes == ["line 3 has only 2 of 3 cells; the others are read as missing"]


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_line_ends(line_end: str, tmp_path: Path) -> None:
    frame, notes, *_ = read_text(write(tmp_path, TABLE.replace("\n", line_end)))
    pd.testing.assert_frame_equal(frame, WANTED)
    assert notes == []


@pytest.mark.parametrize("first", ["sep=;\n", "\ufeffSEP=;\r\n", '"sep=;"\n'])
def test_first_line_that_names_the_delimiter(first: str, tmp_path: Path) -> None:
    content = first + TABLE.replace(",", ";")
    frame, notes, *_ = read_text(write(tmp_path, content))
    pd.testing.assert_frame_equal(frame, WANTED)
    assert notes == ["read with semicolon as the delimiter"]
    # It may be another one than those that are looked for; lines keep their numbers.
    content = "sep=^\n" + TABLE.replace(",", "^")
    pd.testing.assert_frame_equal(read_text(write(tmp_path, content)).frame, WANTED)
    with pytest.raises(DataError, match="4 in line 6"):
        read_text(write(tmp_path, content + "1^2^3^4\n"))


def test_table_with_a_column_named_sep(tmp_path: Path) -> None:
    frame, *_ = read_text(write(tmp_path, "sep=,b\n1,2\n"))
    assert list(frame) == ["sep=", "b"]


@pytest.mark.parametrize("length", [140_000, 300_000, 3_000_000])
def test_long_cell_in_the_first_row(length: int, tmp_path: Path) -> None:
    frame, notes, *_ = read_text(write(tmp_path, f"note,a\n{'x' * length},1\ny,2\n"))
    assert frame["note"].str.len().tolist() == [length, 1]
    assert notes == []


def test_cell_that_contains_rows_gives_a_notice(tmp_path: Path) -> None:
    rows = "".join(f"{n},text {n},{n / 2}\n" for n in range(20))
    content = f'a,b,c\n1,"open,2.5\n{rows}2,closed",3\n4,x,5\n'
    notes = read_text(write(tmp_path, content))[1]
    (note,) = (note for note in notes if "line breaks" in note)
    assert "column 'b', row 1: one cell has 21 line breaks" in note
    # Several lines of text are no rows.
    content = 'a,b,c\n1,"Dear all,\nthis, that\nand more\nbye",3\n4,x,5\n'
    assert read_text(write(tmp_path, content))[1] == []


def test_cells_quoted_by_apostrophes(tmp_path: Path) -> None:
    content = "a,b,c\n'red, dark','1.5',3\n'blue','2.5',4\n"
    frame, notes, *_ = read_text(write(tmp_path, content))
    assert frame.to_dict("list") == {"a": ["red, dark", "blue"], "b": [1.5, 2.5], "c": [3, 4]}
    assert notes == ["read with ' as the quotation mark"]
    frame, notes, *_ = read_text(write(tmp_path, "a,b\nit's,1\nthat's,2\n"))
    assert frame["a"].tolist() == ["it's", "that's"]


def test_decimal_commas_without_names_are_not_delimiters(tmp_path: Path) -> None:
    path = write(tmp_path, "1,5;2,25;a\n3,5;0,25;b\n")
    frame, *_ = read_text(path, Reading.of({"header": False}))
    assert frame.to_dict("list") == {"x1": [1.5, 3.5], "x2": [2.25, 0.25], "x3": ["a", "b"]}


@pytest.mark.parametrize("kind", ["gz", "zst"])
def test_compressed_file_may_not_become_too_large(kind: str, tmp_path: Path) -> None:
    content = b"a,b\n" + b"1,2\n" * 500_000
    packed = gzip.compress(content) if kind == "gz" else zstd(content)
    path = write(tmp_path, packed, f"bomb.csv.{kind}")
    assert len(read_text(path).frame) == 500_000
    with pytest.raises(DataError, match="decompressed table must be at most"):
        text_files.read_content(path, most_beyond=1000)


def test_delimiters_inside_apostrophes_are_text(tmp_path: Path) -> None:
    content = "'red';'0,5'\n'blue';'0,25'\n'x;y';'0,75'\n"
    frame, *_ = read_text(write(tmp_path, content), Reading.of({"header": False}))
    assert frame.to_dict("list") == {"x1": ["red", "blue", "x;y"], "x2": [0.5, 0.25, 0.75]}


def test_empty_cells_before_decimal_commas_are_cells(tmp_path: Path) -> None:
    path = write(tmp_path, "\t\t0,6\n\t\t0,75\n")
    frame, *_ = read_text(path, Reading.of({"header": False}))
    assert frame["x3"].tolist() == [0.6, 0.75]


def test_apostrophes_beside_quotation_marks_are_text(tmp_path: Path) -> None:
    path = write(tmp_path, '"6,311",it\'s\n"6,890",it\'s\n"8,376",x;y\n')
    reading = Reading.of({"header": False, "decimal": "."})
    assert read_text(path, reading).frame.to_dict("list") == {
        "x1": [6311, 6890, 8376],
        "x2": ["it's", "it's", "x;y"],
    }
