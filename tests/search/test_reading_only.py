"""Reading a study writes nothing, runs nothing and connects only to servers that the user names."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import optuna
import pytest
import sqlalchemy

from autotrain.errors import StorageError
from autotrain.reporting.status import Unread, read_status, summaries
from autotrain.search.definition import Definition, NotConnectedError
from autotrain.search.storage.open import open_storage, read_storage
from autotrain.search.storage.storages import DatabaseStorage, ReadOnly
from autotrain.search.storage.urls import OPTIONS, check_options, secrets_of
from tests.reporting.test_status import fill, make
from tests.search.storage.test_open import run_trials
from tests.search.test_definition import kept_in

optuna.logging.set_verbosity(optuna.logging.WARNING)


def whole(folder: Path) -> None:
    """Make a study that can be shown."""
    make(folder)
    fill(folder)


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


@pytest.fixture(params=["delete", "wal"])
def victim(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """Give the database of another program, in either journal mode."""
    path = tmp_path / "home" / "mail%20 #1%3f.db"
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as database:
        database.execute(f"pragma journal_mode={request.param}")
        database.execute("create table mails(text)")
        database.commit()
    return path


@pytest.mark.parametrize("stays_open", [False, True])
def test_database_of_another_program_stays_as_it_is(victim: Path, stays_open: bool) -> None:
    before = victim.read_bytes()
    with pytest.raises(StorageError, match="there is no Optuna study in this database"):
        read_storage(victim.parent, f"sqlite:///{victim}", stays_open=stays_open)
    assert victim.read_bytes() == before
    if not stays_open:
        assert [path.name for path in victim.parent.iterdir()] == [victim.name]


def test_no_database_is_made_where_none_is(tmp_path: Path) -> None:
    for url in (f"sqlite:///{tmp_path}/none.db", "sqlite://", "sqlite:///:memory:"):
        with pytest.raises(StorageError, match=r"does not exist|in memory"):
            read_storage(tmp_path, url)
    (tmp_path / "folder").mkdir()
    with pytest.raises(StorageError, match="it is not a regular file"):
        read_storage(tmp_path, f"sqlite:///{tmp_path}/folder")
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_reading_a_study_does_not_change_its_database(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/{{study}}.db"
    with open_storage(tmp_path / "study", url) as storage:
        study = run_trials(storage, 2)
        study_id, trials = study._study_id, study.trials
    before = content(tmp_path)
    assert set(before) == {"{study}.db"}
    with read_storage(tmp_path / "study", url, stays_open=False) as reader:
        assert optuna.load_study(study_name="s", storage=reader).trials == trials
        with pytest.raises(StorageError, match="readonly database"):
            reader.set_study_user_attr(study_id, "note", 1)
    assert content(tmp_path) == before


def test_reader_that_stays_open_sees_what_is_written_later(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/study.db"
    with open_storage(tmp_path, url) as storage:
        run_trials(storage, 1)
    with read_storage(tmp_path, url) as reader, open_storage(tmp_path, url) as storage:
        run_trials(storage, 2)
        assert len(optuna.load_study(study_name="s", storage=reader).trials) == 3


@pytest.mark.parametrize(
    ("url", "forced"),
    [
        ("mysql+pymysql://u@h/d", {"init_command": "SET SESSION TRANSACTION READ ONLY"}),
        ("postgresql+psycopg://u@h/d", {"options": "-c default_transaction_read_only=on"}),
    ],
)
def test_servers_are_opened_read_only(
    monkeypatch: pytest.MonkeyPatch, url: str, forced: dict[str, str]
) -> None:
    seen: list[dict[str, Any]] = []

    def connect(url: str, **arguments: Any) -> Any:
        seen.append(arguments["connect_args"])
        raise ConnectionError

    monkeypatch.setattr(sqlalchemy, "create_engine", connect)
    with pytest.raises(ConnectionError):
        DatabaseStorage(url, ReadOnly())
    assert forced.items() <= seen[0].items()
    assert seen[0].get("local_infile", False) is False
    assert url.startswith("mysql") == ("local_infile" in seen[0])


@pytest.mark.parametrize(
    ("url", "option"),
    [
        ("mysql+pymysql://u@h/d?local_infile=1", "local_infile"),
        ("mysql://u@h/d?charset=utf8&read_default_file=/etc/v/.my.cnf", "read_default_file"),
        ("mysql+pymysql://u@h/d?init_command=DROP", "init_command"),
        ("postgresql://u@h/d?service=x", "service"),
        ("postgresql+psycopg://u@h/d?passfile=/etc/passwd", "passfile"),
        ("postgresql://u@h/d?port=1;options=-c%20x=secret", "options"),
        ("sqlite:///x.db?uri=true&vfs=other", "uri"),
        ("journal+redis://h?retry_on_error=x", "retry_on_error"),
        ("mysql+pymysql://u@h/d?%6cocal_infile=1", "local_infile"),
    ],
)
def test_options_that_a_driver_must_not_get(tmp_path: Path, url: str, option: str) -> None:
    for use in (open_storage, read_storage):
        with pytest.raises(StorageError, match=f"no option '{option}'") as caught:
            use(tmp_path / "study", url)
        for secret in ("/etc/v", "DROP", "etc/passwd", "secret"):
            assert secret not in str(caught.value)
    assert not (tmp_path / "study").exists()


def test_every_option_that_is_allowed_is_accepted() -> None:
    schemes = {"postgresql": "postgresql+psycopg", "mysql": "mysql+pymysql"}
    for database, names in OPTIONS.items():
        query = "&".join(f"{name}=1" for name in names)
        check_options(f"{schemes.get(database, database)}://u@h/d?{query}")


def test_secrets_of_a_url() -> None:
    assert secrets_of("mysql://me:pa%20ss@h/d") == {"pa%20ss", "pa ss"}
    assert secrets_of("postgresql://me@h/d?password=x&port=1") == {"x"}
    assert secrets_of("journal+redis://token@h") == {"token"}
    assert secrets_of("postgresql://me@h/d") == set()


@pytest.mark.parametrize(
    "url", ["journal+redis://evil", "mysql+pymysql://evil/d", "postgresql://evil/d"]
)
def test_listing_studies_connects_to_no_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    whole(tmp_path / "mine")
    (tmp_path / "theirs").mkdir()
    kept_in(url).write(tmp_path / "theirs")
    monkeypatch.setattr("autotrain.search.opening.read_storage", _only_files)
    found = summaries(tmp_path)
    (unread,) = [entry for entry in found if isinstance(entry, Unread)]
    assert (unread.name, unread.state) == ("theirs", "not opened")
    assert "evil" in unread.reason
    assert unread.reason.endswith("autotrain show theirs --storage URL")
    assert len(found) == 2
    with pytest.raises(NotConnectedError):
        read_status(tmp_path / "theirs", connects=False)


def _only_files(folder: Path, url: str | None, **options: Any) -> Any:
    assert url is None, url
    return read_storage(folder, url, **options)


BROKEN = {
    "metric": 'metric = "nonsense"',
    "task": 'task = "clustering"',
    "kind of a number": 'n_trials = "x"',
    "kind of a table": "space = 3",
    "name": 'name = "../../x"',
    "nested": "a = " + "[" * 3000 + "]" * 3000,
    "digits": "seed = " + "1" * 5000,
    "not TOML": "=",
    "not text": "\udcff",
    "class weights": 'class_weights = { a = "b" }',
}


@pytest.mark.parametrize("what", BROKEN)
def test_one_broken_study_does_not_hide_the_others(tmp_path: Path, what: str) -> None:
    whole(tmp_path / "good")
    whole(tmp_path / "broken")
    file = tmp_path / "broken" / "study.toml"
    line = BROKEN[what]
    key = line.partition(" ")[0]
    kept = [each for each in file.read_text().splitlines() if not each.startswith(f"{key} =")]
    text = "\n".join([line, *kept])
    if key == "space":
        text = text.partition("\n[space]")[0]
    file.write_bytes(text.encode(errors="surrogateescape"))
    good, broken = summaries(tmp_path)
    assert isinstance(broken, Unread)
    assert not isinstance(good, Unread)
    assert good.definition.name == "good"
    assert str(file) in broken.reason


def test_unreadable_study_does_not_hide_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole(tmp_path / "good")
    whole(tmp_path / "odd")

    def read(folder: Path, storage: str | None, **options: Any) -> Any:
        if folder.name == "odd":
            raise ZeroDivisionError("no one thought of this")
        return read_status(folder, storage, **options)

    monkeypatch.setattr("autotrain.reporting.status.read_status", read)
    good, odd = summaries(tmp_path)
    assert not isinstance(good, Unread)
    assert isinstance(odd, Unread)
    assert "ZeroDivisionError: no one thought of this" in odd.reason


def test_definition_that_was_written_is_read_again(tmp_path: Path) -> None:
    study = Definition(
        **{
            **kept_in("sqlite:///x.db").__dict__,
            "class_weights": {"a": 1, "b": 2.5},
            "timeout_s": 60,
            "ensemble": "auto",
        }
    )
    (tmp_path / "churn").mkdir()
    study.write(tmp_path / "churn")
    assert Definition.read(tmp_path / "churn") == study


def test_password_is_not_in_the_text_of_a_definition() -> None:
    assert "secret" not in repr(kept_in("mysql://me:secret@h/d"))
