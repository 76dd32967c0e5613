"""`autotrain report`: a file, while a search runs, as JSON, and what is refused."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from autotrain.search.storage.open import open_storage
from tests.cli.conftest import Run, listing


@pytest.fixture
def copied(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a copy of the folder of the finished studies."""
    folder = tmp_path / "work"
    shutil.copytree(finished, folder)
    monkeypatch.chdir(folder)
    return folder


def test_report_is_written_into_the_folder_of_the_study(copied: Path, autotrain: Run) -> None:
    before = listing(copied)
    done = autotrain("report", "shop")
    assert done.code == 0
    assert done.err == ""
    assert done.out.startswith("Wrote studies/shop/report.html (")
    after = listing(copied)
    assert {name for name in after if after[name] != before.get(name)} == {
        "studies/shop/report.html"
    }
    page = (copied / "studies/shop/report.html").read_text(encoding="utf-8")
    assert "Optimization history" in page


def test_output_and_json(copied: Path, autotrain: Run) -> None:
    found = autotrain("report", "paid", "--output", "paid.html", "--json").json()
    assert found == {
        "study": "paid",
        "report": "paid.html",
        "bytes": (copied / "paid.html").stat().st_size,
    }
    assert not (copied / "studies/paid/report.html").exists()


def test_model_without_dropout_has_a_report(copied: Path, autotrain: Run) -> None:
    assert autotrain("report", "plain").code == 0
    page = (copied / "studies/plain/report.html").read_text(encoding="utf-8")
    assert "The model has no dropout" in page


def test_study_can_be_reported_while_a_search_runs(copied: Path, autotrain: Run) -> None:
    with open_storage(copied / "studies/shop") as storage:
        storage.create_new_trial(storage.get_study_id_from_name("shop"))
        storage.commit()
        assert autotrain("report", "shop").code == 0
    page = (copied / "studies/shop/report.html").read_text(encoding="utf-8")
    assert "The search is still running." in page


def test_study_whose_model_is_missing_has_a_report(copied: Path, autotrain: Run) -> None:
    shutil.rmtree(copied / "studies/shop/best")
    assert autotrain("report", "shop").code == 0
    page = (copied / "studies/shop/report.html").read_text(encoding="utf-8")
    assert "is missing or damaged. Write it again: autotrain resume shop" in page


def test_moved_table_is_named_by_an_option(copied: Path, autotrain: Run) -> None:
    (copied / "shop.csv").rename(copied / "moved.csv")
    lost = autotrain("report", "shop")
    assert lost.code == 2
    assert "shop.csv" in lost.err
    assert autotrain("report", "shop", "--data", "moved.csv").code == 0


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("nothing",), "nothing"),
        (("shop", "--output", "studies"), "--output must be a file, got the folder studies"),
        (("shop", "--output", "no/such/r.html"), "--output must be a file that can be written"),
    ],
)
def test_wrong_input_is_refused(
    copied: Path, autotrain: Run, words: tuple[str, ...], expected: str
) -> None:
    done = autotrain("report", *words)
    assert done.code == 2
    assert expected in done.err
    assert "Traceback" not in done.err
