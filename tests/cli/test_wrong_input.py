"""What users get wrong with `autotrain search`: one clear message, exit code 2, nothing written."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import HOLDOUT, Run, listing

ROWS = "\n".join(f"{i},{'ab'[i % 2]},{i * 7 % 11}" for i in range(30))
GOOD = f"age,kind,size\n{ROWS}\n"


def _write(name: str, content: str | bytes) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)

    return write


def _column(cell: Callable[[int], object]) -> str:
    lines = [f"{i * 7 % 11},{'ab'[i % 2]},{cell(i)}" for i in range(30)]
    return "\n".join(["age,kind,size", *lines]) + "\n"


SIZE = ("--target", "size")

# (name, what is written as t.csv, further words, what the message must say)
DATA = [
    ("missing file", None, (), "t.csv does not exist"),
    ("empty file", "", (), "t.csv must contain a table, but the file is empty (0 bytes)"),
    ("only a header", "age,kind,size\n", (), "must have rows, got only a header of 3 columns"),
    ("no target named", GOOD, None, "target must be the name of a column, got None"),
    ("target absent", GOOD, ("--target", "knid"), "no target column 'knid'. Did you mean 'kind'?"),
    (
        "target constant",
        GOOD.replace(",b,", ",a,"),
        (),
        "must have at least two different values",
    ),
    (
        "target empty",
        re.sub(",[ab],", ",,", GOOD),
        (),
        "missing in all 30 rows (an empty cell)",
    ),
    ("too few rows", "\n".join(GOOD.splitlines()[:6]), (), "at least 10 rows with a target"),
    ("wrong delimiter", GOOD.replace(",", "~"), (), "columns must be separated by commas"),
    (
        "not UTF-8",
        GOOD.replace("a,", "\xe4,").encode("latin-1"),
        (),
        "must be UTF-8 text, but",
    ),
    ("duplicate columns", GOOD.replace("size", "age"), (), "'age' (2 times)"),
    ("ragged rows", GOOD + "1,2,3,4,5\n", (), "same number of cells in every line"),
    ("infinite cell", _column(lambda i: "inf" if i == 3 else i), (), "must be finite"),
    (
        "infinite target",
        _column(lambda i: "inf" if i == 3 else i),
        SIZE,
        "must contain finite numbers",
    ),
    ("no column left", "a,kind\n" + ",x\n,y\n" * 15, (), "at least one useful column"),
    ("fewer rows than folds", GOOD, ("--validation", "40-fold"), "one row per fold (40)"),
    ("no such validation", GOOD, ("--validation", "5fold"), "K-fold with K at least 2"),
    ("one fold", GOOD, ("--validation", "1-fold"), "K-fold with K at least 2"),
    ("test fraction", GOOD, ("--test", "1.5"), "test must be a fraction"),
    ("test file missing", GOOD, ("--test", "u.csv"), "u.csv does not exist"),
    ("task that cannot be", GOOD, ("--task", "regression"), "must contain numbers for regression"),
    ("metric of another task", GOOD, ("--metric", "rmse"), "metric must be one of log_loss,"),
    ("unknown metric", GOOD, ("--metric", "acuracy"), "Did you mean 'accuracy'?"),
    ("unknown sampler", GOOD, ("--sampler", "tpee"), "no sampler 'tpee'. Did you mean 'tpe'?"),
    ("unknown pruner", GOOD, ("--pruner", "ash"), "no pruner 'ash'. Did you mean 'asha'?"),
    ("unknown task", GOOD, ("--task", "binry"), "no task 'binry'. Did you mean 'binary'?"),
    ("unknown device", GOOD, ("--device", "gpu"), "no device 'gpu'. Did you mean 'cuda'?"),
    ("no GPU", GOOD, ("--device", "cuda"), "device must be available, got 'cuda'"),
    ("timeout 0", GOOD, ("--timeout", "0"), "must be a positive duration such as 10m, 90s, 1h30m"),
    ("timeout no time", GOOD, ("--timeout", "soon"), "or 600 (seconds), got soon"),
    ("trials 0", GOOD, ("--trials", "0"), "0 is not in the range x>=1"),
    ("trials half", GOOD, ("--trials", "2.5"), "'2.5' is not a valid integer range"),
    ("workers 0", GOOD, ("--workers", "0"), "0 is not in the range x>=1"),
    (
        "workers no number",
        GOOD,
        ("--workers", "all"),
        "must be an integer, auto, ray or ray://HOST:PORT, got 'all'",
    ),
    ("seed negative", GOOD, ("--seed", "-1"), "-1 is not in the range x>=0"),
    ("study name", GOOD, ("--study", "a b"), "must consist of letters, digits"),
    ("study file as name", GOOD, ("--study", "a.toml"), "To use a study file, pass it as DATA"),
    ("storage no URL", GOOD, ("--storage", "here"), "must be a URL such as sqlite:///study.db"),
    ("unknown storage", GOOD, ("--storage", "sqlit:///a.db"), "Did you mean 'sqlite'?"),
    ("unwritable folder", GOOD, ("--directory", "shop.csv/x"), "must be a folder for the study"),
    ("unknown space", GOOD, ("--space", "defalt"), "Did you mean 'default'?"),
    ("space file missing", GOOD, ("--space", "no/such.toml"), "no search space 'no/such.toml'"),
    ("unknown option", GOOD, ("--trails", "5"), "No such option"),
]

# (name, the space file, what the message must say)
SPACES = [
    ("unknown technique", '[optimizer]\nchoices = ["adan"]', "no optimizer 'adan'. Did you mean"),
    ("unknown key", "[network]\nhiden_layers = 2", "Did you mean 'hidden_layers'?"),
    ("unknown section", "[netwrk]\nhidden_layers = 2", "Did you mean 'network'?"),
    ("low above high", "[dropout]\nrate = { low = 0.5, high = 0.1 }", "must have low at most high"),
    ("log with 0", "[regularizer]\nl2 = { low = 0.0, high = 0.1, log = true }", "log = true"),
    ("out of range", "[dropout]\nrate = 1.5", "[dropout] rate must be "),
    (
        "unsatisfiable forbid",
        '[activation]\nchoice = "relu"\n[[forbid]]\nactivation = "relu"',
        "forbid",
    ),
    ("no TOML", "[network", "TOML"),
]


@pytest.fixture
def nothing_written(here: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a folder, and a machine without a GPU."""
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    return here


@pytest.mark.parametrize(
    ("content", "words", "message"), [case[1:] for case in DATA], ids=[case[0] for case in DATA]
)
def test_invalid_table_or_option_is_refused(
    nothing_written: Path,
    autotrain: Run,
    content: str | bytes | None,
    words: tuple[str, ...] | None,
    message: str,
) -> None:
    folder = nothing_written
    if content is not None:
        _write("t.csv", content)(folder)
    before = listing(folder)

    target = () if words is None else ("--target", "kind")
    done = autotrain("search", "t.csv", *target, "--trials", "1", *HOLDOUT, *(words or ()))

    _is_refused(done.code, done.out, done.err, message)
    assert listing(folder) == before


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (_column(lambda i: ""), "column 'size' is dropped: all its cells"),
        (_column(lambda i: 5), "column 'size' is dropped: all training"),
        (GOOD.replace("3,b", "3,", 1), "1 of 30 rows of t.csv are dropped: their target"),
        (GOOD.replace(",", "|"), "read with bar as the delimiter"),
    ],
)
def test_repaired_table_is_noted(here: Path, autotrain: Run, content: str, told: str) -> None:
    _write("t.csv", content)(here)
    words = ("search", "t.csv", "--target", "kind", "--space", "space.toml", *HOLDOUT)
    done = autotrain(*words, "--trials", "1")
    assert done.code == 0, done.err
    assert f"Note: {told}" in " ".join(done.err.split())
    assert told in autotrain(*words, "--dry-run", "--json").json()["notes"][0]


@pytest.mark.parametrize(
    ("space", "message"), [case[1:] for case in SPACES], ids=[case[0] for case in SPACES]
)
def test_invalid_space_is_refused(
    nothing_written: Path, autotrain: Run, space: str, message: str
) -> None:
    folder = nothing_written
    (folder / "bad.toml").write_text(space + "\n")
    before = listing(folder)
    words = ("search", "shop.csv", "--target", "bought", "--trials", "1", *HOLDOUT)

    done = autotrain(*words, "--space", "bad.toml")
    _is_refused(done.code, done.out, done.err, message)
    assert "bad.toml" in done.err
    assert listing(folder) == before

    checked = autotrain("spaces", "check", "bad.toml")
    assert checked.err == done.err
    assert checked.code == 2


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("paid.csv", "--target", "amount"), "data"),
        (("shop.csv", "--target", "bought", "--space", "quick"), "space"),
        (("shop.csv", "--target", "bought", "--metric", "f1"), "metric ('log_loss', now 'f1')"),
        (("shop.csv", "--target", "bought", "--seed", "1"), "seed (0, now 1)"),
        (("shop.csv", "--target", "bought", "--sampler", "random"), "sampler"),
        (("shop.csv", "--target", "bought", "--test", "0.3"), "split"),
    ],
)
def test_name_of_another_study_is_refused(
    there: Path, autotrain: Run, words: tuple[str, ...], named: str
) -> None:
    space = () if "--space" in words else ("--space", "space.toml")
    done = autotrain("search", *words, *space, "--study", "shop", "--trials", "1", *HOLDOUT)
    _is_refused(done.code, done.out, done.err, "study 'shop' exists and can be resumed only with")
    assert named in done.err


def test_locked_study_is_refused(
    here: Path, autotrain: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    from autotrain.search.storage.lock import StudyLock

    words = ("search", "shop.csv", "--target", "bought", "--space", "space.toml", *HOLDOUT)
    assert autotrain(*words, "--trials", 1).code == 0
    lock = StudyLock(here / "studies" / "shop")
    before = listing(here)
    done = autotrain(*words, "--trials", 1)
    lock.release()
    _is_refused(done.code, done.out, done.err, "is locked, because")
    assert listing(here) == before


def test_name_of_a_study_in_a_shared_storage_is_refused(here: Path, autotrain: Run) -> None:
    words = ["search", "shop.csv", "--target", "bought", "--space", "space.toml", *HOLDOUT]
    # A relative path would be relative to the folder of each study.
    words += ["--trials", "1", "--storage", f"sqlite:///{here}/trials.db"]
    assert autotrain(*words, "--study", "one").code == 0
    done = autotrain(*words, "--study", "one", "--directory", "elsewhere")
    _is_refused(done.code, done.out, done.err, "study 'one' must be new in sqlite:///")
    assert not (here / "elsewhere").exists()


@pytest.mark.parametrize(
    "words",
    [
        (
            "search",
            "shop.csv",
            "--target",
            "bought",
            "--space",
            "space.toml",
            *HOLDOUT,
            "--study",
            "shop",
            "--trials",
            "1",
        ),
        ("resume", "shop", "--trials", "1"),
        ("show", "shop"),
        ("dashboard", "shop", "--no-browser"),
    ],
)
def test_other_storage_than_the_studys_is_refused(
    there: Path, autotrain: Run, words: tuple[str, ...]
) -> None:
    done = autotrain(*words, "--storage", "sqlite:///other.db")
    _is_refused(done.code, done.out, done.err, "must contain the trials of study 'shop'")
    assert "got sqlite:///other.db" in done.err


def test_unnamed_study_gets_a_free_name(here: Path, autotrain: Run) -> None:
    words = ["search", "shop.csv", "--target", "bought", "--space", "space.toml", *HOLDOUT]
    words += ["--trials", "1", "--quiet", "--json"]
    assert autotrain(*words).json()["study"] == "shop"
    database = ("--storage", "sqlite:///trials.db")
    assert autotrain(*words, *database).json()["study"] == "shop-2"
    assert autotrain(*words, *database).json()["study"] == "shop-2"
    assert autotrain("show", "shop-2", *database, "--json").json()["trials"]["complete"] == 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("serch",), "no command 'serch'. Did you mean 'search'?"),
        (("search",), "Missing argument 'DATA'"),
        (("search", "https://example.org/t.csv"), "got a URL. Download it first: curl -LO"),
        (("spaces", "list", "more"), "unexpected extra argument"),
        (("dashboard", "nothing"), "there must be a study 'nothing'"),
        (("dashboard",), "studies/ contains no study"),
        (("dashboard", "--port", "70000"), "70000 is not in the range 0<=x<=65535"),
        (("show", "nothing"), "there must be a study 'nothing'"),
        (("show", "../.."), "there must be a study"),
    ],
)
def test_invalid_command_is_refused(
    here: Path, autotrain: Run, words: tuple[str, ...], message: str
) -> None:
    done = autotrain(*words)
    _is_refused(done.code, done.out, done.err, message)


def _is_refused(code: int, out: str, err: str, message: str) -> None:
    assert code == 2, err
    assert out == ""
    assert "Traceback" not in err
    assert err.count("Error: ") == 1
    words = " ".join(err.split())
    assert message in words
