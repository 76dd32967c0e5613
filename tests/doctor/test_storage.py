"""Checks of storages, and the overview of all studies."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
from dataclasses import replace
from pathlib import Path

import optuna
import pytest

from autotrain.doctor import storage as storage_checks
from autotrain.doctor.check import check
from autotrain.doctor.finding import Finding, Severity
from autotrain.doctor.overview import overview
from autotrain.search.definition import Definition
from autotrain.search.opening import seen_study
from tests.doctor.test_models import states
from tests.doctor.test_study import content, leave_running, of_study
from tests.test_study_folder import search

optuna.logging.set_verbosity(optuna.logging.WARNING)
URL = "sqlite:///trials.db"


@pytest.fixture(scope="module")
def studies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder with a study in a database and one with a journal, which stay as they are."""
    folder = tmp_path_factory.mktemp("studies")
    search(folder, 1, "database", storage=URL)
    search(folder, 1, "journal")
    return folder


@pytest.fixture
def directory(studies: Path, tmp_path: Path) -> Path:
    shutil.copytree(studies, tmp_path / "studies")
    return tmp_path / "studies"


def change(folder: Path, statement: str) -> None:
    with contextlib.closing(sqlite3.connect(folder / "trials.db")) as connection:
        connection.execute(statement)
        connection.commit()


def test_database_is_checked_and_stays_as_it_is(directory: Path) -> None:
    before = content(directory / "database")
    found = of_study(directory, "database")
    assert states(found) == {}
    assert list(found)[:3] == ["pages", "storage", "schema"]
    assert "answers in" in found["storage"].text
    assert content(directory / "database") == before


def test_slow_storage_is_a_warning(directory: Path) -> None:
    with seen_study(directory / "journal") as seen:
        assert storage_checks.reachable(seen, slow_s=-1.0).state == Severity.WARNING


def test_missing_database_is_a_problem(directory: Path) -> None:
    (directory / "database" / "trials.db").unlink()
    found = of_study(directory, "database", fix=True)
    assert states(found) == {"storage": "problem"}
    assert "got none" in found["storage"].text
    assert not (directory / "database" / "trials.db").exists()


def test_damaged_pages_are_a_problem(directory: Path) -> None:
    folder = directory / "database"
    change(folder, "PRAGMA journal_mode=DELETE")
    data = bytearray((folder / "trials.db").read_bytes())
    with contextlib.closing(sqlite3.connect(folder / "trials.db")) as connection:
        query = "SELECT rootpage FROM sqlite_master WHERE name = 'ix_trials_study_id'"
        (page,) = connection.execute(query).fetchone()
        (size,) = connection.execute("PRAGMA page_size").fetchone()
    data[(page - 1) * size : page * size] = bytes(size)
    (folder / "trials.db").write_bytes(data)
    found = of_study(directory, "database")
    assert states(found) == {"pages": "problem", "trials": "warning"}
    assert ".recover" in found["pages"].fix


def test_file_that_is_no_database_is_a_problem(directory: Path) -> None:
    (directory / "database" / "trials.db").write_bytes(b"no database " * 100)
    found = of_study(directory, "database")
    assert states(found) == {"pages": "problem", "trials": "warning"}
    assert "not a database" in found["pages"].text


def test_tables_of_another_version_are_a_problem(directory: Path) -> None:
    change(directory / "database", "UPDATE alembic_version SET version_num = 'v2.4.0.a'")
    found = of_study(directory, "database")
    assert states(found) == {"storage": "problem"}
    assert "optuna storage upgrade" in found["storage"].text


def test_storage_object_is_a_warning(tmp_path: Path) -> None:
    search(tmp_path, 1, storage=optuna.storages.InMemoryStorage())
    found = of_study(tmp_path)
    assert states(found) == {"storage": "warning"}
    assert "storage=..." in found["storage"].text


def test_server_that_does_not_answer_is_a_problem(directory: Path) -> None:
    definition = Definition.read(directory / "journal")
    url = "journal+redis://127.0.0.1:1/0"
    replace(definition, storage=url).write(directory / "journal")
    found = of_study(directory, "journal")
    assert states(found) == {"storage": "problem"}
    assert "Check the address" in found["storage"].text
    (_, of_server) = overview(directory, None)
    assert (of_server.state, "on a server" in of_server.text) == (Severity.OK, True)


# ---- all studies ---------------------------------------------------------------------------------


def all_studies(directory: Path, *, fix: bool = False) -> dict[str, Finding]:
    found = check(directory=directory, fix=fix)
    return {each.name: each for each in found if each.group == "studies"}


def test_all_studies_are_listed_and_stay_as_they_are(directory: Path) -> None:
    before = content(directory)
    assert states(all_studies(directory, fix=True)) == {}
    assert list(all_studies(directory)) == ["database", "journal"]
    assert content(directory) == before


def test_studies_with_problems_are_named_and_not_repaired(directory: Path) -> None:
    leave_running(directory / "journal")
    shutil.rmtree(directory / "database" / "best")
    (directory / "database" / "study.toml").rename(directory / "study.toml")
    (directory / "lost").mkdir()
    (directory / "lost" / "journal.log").write_bytes(b"")
    (directory / "odd").mkdir()
    (directory / "odd" / "study.toml").write_text("name = 3")
    before = content(directory)
    found = all_studies(directory, fix=True)
    assert states(found) == {"journal": "problem", "lost": "problem", "odd": "problem"}
    assert found["journal"].text == "1 problem: trials."
    assert found["journal"].fix.startswith("Run: autotrain doctor journal --directory ")
    assert "study.toml is missing" in found["lost"].text
    assert content(directory) == before


def test_folder_without_studies_is_in_order(tmp_path: Path) -> None:
    (finding,) = overview(tmp_path / "none", None)
    assert (finding.state, "no studies yet" in finding.text) == (Severity.OK, True)
