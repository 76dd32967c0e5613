"""What stands in files is shown, never obeyed: by a terminal, a browser or a spreadsheet."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from autotrain.bundle import encode
from autotrain.bundle.card import model_card
from autotrain.cli.printing import columns, fields, note, print_json, say, say_table
from autotrain.search import opening
from autotrain.search.definition import Definition
from autotrain.vocabulary import visible
from tests.cli.conftest import Run
from tests.search.test_definition import kept_in
from tests.winners import random_bundle, save

ESCAPES = "\x1b]0;owned\x07\x1b[2K\x9b31m\r\x7f\x08\u202edrow"
OBEYED = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def test_control_characters_are_escaped() -> None:
    assert visible("a\x1b[1m\u202e\x9b\tb\n") == "a\\x1b[1m\\u202e\\x9b\tb\n"
    assert visible("Größe 非 ± – 👍🏽") == "Größe 非 ± – 👍🏽"


@pytest.mark.parametrize("is_terminal", [True, False])
def test_printed_text_controls_no_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, is_terminal: bool
) -> None:
    for stream in ("stdout", "stderr"):
        monkeypatch.setattr(f"sys.{stream}.isatty", lambda: is_terminal)
    say(ESCAPES)
    say(ESCAPES, err=True)
    note(f"{ESCAPES}\nError: forged")
    print_json({ESCAPES: [ESCAPES]})
    say("\n".join([*columns([[f"a{ESCAPES}\nb", "c"]]), *fields([("x", f"{ESCAPES}\nforged")])]))
    out, err = capsys.readouterr()
    assert not OBEYED.search(out + err)
    assert "\nError" not in err
    assert "\nforged" not in out
    start = out.index("{")
    assert json.JSONDecoder().raw_decode(out[start:])[0] == {ESCAPES: [ESCAPES]}


def test_table_for_programs_is_escaped_only_on_a_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    say_table(f'"{ESCAPES}"\n')
    assert capsys.readouterr().out == f'"{ESCAPES}"\n'
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    say_table(f'"{ESCAPES}"\n')
    assert not OBEYED.search(capsys.readouterr().out)


def test_commands_print_through_one_module() -> None:
    commands = Path(__file__).parents[2] / "autotrain" / "cli"
    found = {
        path.name
        for path in commands.glob("*.py")
        if re.search(r"click\.s?echo|click\.secho|\bprint\(", path.read_text(encoding="utf-8"))
    }
    assert found == {"printing.py"}


def test_names_of_columns_and_labels_in_notes_and_errors(here: Path, autotrain: Run) -> None:
    lines = Path("shop.csv").read_text().splitlines()
    odd = [f"x{ESCAPES[:12]}y,{lines[0]}", *(f"{n},{line}" for n, line in enumerate(lines[1:]))]
    odd[1:] = [f"const,{line.partition(',')[2]}" for line in odd[1:]]
    Path("odd.csv").write_text("\n".join(odd) + "\n")
    told = autotrain("search", "odd.csv", "--target", "bought", "--dry-run")
    assert told.code == 0, told.err
    assert "owned" in told.out + told.err
    wrong = autotrain("search", "odd.csv", "--target", f"bougt{ESCAPES}", "--dry-run")
    assert wrong.code == 2
    bad_option = autotrain("search", "odd.csv", "--sampler", f"tpe{ESCAPES}")
    assert bad_option.code == 2
    for done in (told, wrong, bad_option):
        assert not OBEYED.search(done.out + done.err)


def test_foreign_study_is_shown_without_control_characters(
    finished: Path, here: Path, autotrain: Run
) -> None:
    shutil.copytree(finished / "studies" / "shop", here / "studies" / "shop")
    folder = here / "studies" / "shop"
    definition = Definition.read(folder)
    Definition(**{**definition.__dict__, "data": ESCAPES, "target": f"t{ESCAPES}"}).write(folder)
    for words in (("show", "shop"), ("show",), ("show", "shop", "--json")):
        done = autotrain(*words)
        assert done.code == 0, done.err
        assert not OBEYED.search(done.out + done.err)
    assert "owned" in autotrain("show", "shop").out


BAIT = "<img src=x onerror=alert(1)> [link](http://evil) | cell |\n# Heading `code` **bold**"


def test_card_shows_the_text_of_a_bundle_escaped() -> None:
    bundle = random_bundle(classes=("a", f"b{BAIT}{ESCAPES}", ""))
    scores = {"validation": {"log_loss": 0.5, BAIT: 1.0}, f"part{BAIT}": {"log_loss": 1.0}}
    changed = {
        "scores": scores,
        "calibration": {"note": BAIT, "rows": BAIT, "temperature": 1.0, "temperature_point": 1.0},
        "data": {**bundle.data, "class_weights": BAIT, "name": BAIT, "source": BAIT + ESCAPES},
    }
    card = model_card(type(bundle)(**{**bundle.__dict__, **changed}))
    outside_code = re.sub(r"`[^`\n]*`", "", card)
    outside_code = re.sub(r"\\[\\`*_{}\[\]<>#|!~&]", "", outside_code)
    assert "<img" in card
    for markup in ("<img", "](http", "**bold", "\n# Heading"):
        assert markup not in outside_code
    assert not OBEYED.search(card)
    rows = [line for line in card.splitlines() if line.startswith("|")]
    table = [row for row in rows if "log_loss" in row or "img" in row]
    assert len({row.count("|") for row in table}) == 1, table


def test_labels_that_are_formulas_are_escaped_on_request(
    here: Path, autotrain: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    labels = ("=cmd|' /C calc'!A0", "-3", "+a", "@b", "plain")
    bundle = random_bundle(classes=labels, seed=4)
    save(bundle, here / "model")
    n = len(bundle.members[0].preprocessor.column_names)
    rng = np.random.default_rng(0)
    names = ",".join(f"x{place}" for place in range(n))
    rows = [",".join(f"{cell:.3f}" for cell in row) for row in 5 * rng.standard_normal((60, n))]
    Path("rows.csv").write_text("\n".join([names, *rows]) + "\n")

    plain = autotrain("predict", "model", "rows.csv")
    assert plain.code == 0, plain.err
    safe = autotrain("predict", "model", "rows.csv", "--csv-safe")
    assert re.search(r"^=cmd", plain.out, re.MULTILINE)
    for line, other in zip(safe.out.splitlines()[1:], plain.out.splitlines()[1:], strict=True):
        assert not line.startswith(("=", "+", "-", "@"))
        # Numbers stay numbers.
        assert line.removeprefix("'") == other
    autotrain("predict", "model", "rows.csv", "--csv-safe", "--output", "safe.csv")
    assert Path("safe.csv").read_text() == safe.out
    for words in (["--json"], ["--output", "x.json"], ["--output", "x.parquet"]):
        done = autotrain("predict", "model", "rows.csv", "--csv-safe", *words)
        assert (done.code, "--csv-safe" in done.err) == (2, True)
    assert encode(bundle)  # the bundle itself is not changed


def test_storage_from_the_environment_is_for_new_studies(
    here: Path, autotrain: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick = ["--space", "space.toml", "--trials", "1", "--workers", "1", "--finalists", "0"]
    words = ["shop.csv", "--target", "bought", *quick, "--validation", "holdout", "--quiet"]
    assert autotrain("search", *words, "--study", "local").code == 0
    monkeypatch.setenv("AUTOTRAIN_STORAGE", f"sqlite:///{here}/all.db")
    done = autotrain("search", *words, "--study", "shared")
    assert done.code == 0, done.err
    assert Definition.read(here / "studies" / "shared").storage == f"sqlite:///{here}/all.db"
    assert not (here / "studies" / "shared" / "journal.log").exists()
    # Studies that are kept elsewhere stay where they are.
    for study in ("local", "shared"):
        assert autotrain("show", study, "--json").json()["trials"]["complete"] == 1
        assert autotrain("show", study, "--trial", "0").code == 0
        assert autotrain("resume", study, "--trials", "1", "--quiet").code == 0
    assert len(autotrain("show", "--json").json()["studies"]) == 2
    # A storage that is given is meant, and refused.
    assert autotrain("show", "local", "--storage", f"sqlite:///{here}/all.db").code == 2


def test_list_opens_only_the_server_that_the_user_named(
    here: Path, autotrain: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, host in (("mine", "h"), ("theirs", "evil")):
        (here / "studies" / name).mkdir(parents=True)
        kept_in(f"mysql+pymysql://me:x@{host}/d").write(here / "studies" / name)
    opened = []

    def read(folder: Path, url: str | None, **options: object) -> None:
        opened.append(url)
        raise ValueError("seen")

    monkeypatch.setattr(opening, "read_storage", read)
    monkeypatch.setenv("AUTOTRAIN_STORAGE", "mysql+pymysql://me:secret@h/d")
    done = autotrain("show")
    assert opened == ["mysql+pymysql://me:secret@h/d"]
    assert "not opened" in done.out
    assert "secret" not in done.out + done.err
