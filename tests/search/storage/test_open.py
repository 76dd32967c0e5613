"""Storages of a study: the default journal, URLs, and their errors."""

from __future__ import annotations

import pickle
import sqlite3
import sys
from collections.abc import Iterator
from pathlib import Path

import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.storages import BaseStorage
from optuna.testing.pytest_storages import StorageTestCase
from sqlalchemy.exc import IntegrityError

from autotrain.errors import StorageError, StudyError
from autotrain.search.storage.journal import GroupCommitBackend
from autotrain.search.storage.open import SCHEMES, Scheme, open_storage, read_storage
from autotrain.search.storage.opened import OpenStorage
from autotrain.search.storage.redis_journal import RedisJournal
from autotrain.search.storage.shared import SharedStorage
from autotrain.search.storage.storages import DatabaseStorage, FileStorage, ReadOnly
from autotrain.search.storage.urls import hide_password

optuna.logging.set_verbosity(optuna.logging.WARNING)


class TestOptunasOwnTests(StorageTestCase):
    """Calls that every Optuna storage must support."""

    @pytest.fixture
    def storage(self, tmp_path: Path) -> Iterator[BaseStorage]:
        with open_storage(tmp_path) as storage:
            yield storage


def run_trials(storage: BaseStorage, n_trials: int) -> optuna.Study:
    study = optuna.create_study(
        study_name="s",
        storage=storage,
        load_if_exists=True,
        sampler=optuna.samplers.RandomSampler(seed=0),
    )
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=n_trials)
    return study


@pytest.mark.parametrize("kind", ["journal", "sqlite"])
def test_closed_study_can_be_opened_again(tmp_path: Path, kind: str) -> None:
    url = None if kind == "journal" else f"sqlite:///{tmp_path}/study.db"
    folder = tmp_path / "studies" / "mine"
    with open_storage(folder, url) as storage:
        run_trials(storage, 2)
        storage.commit()
        run_trials(storage, 1)
    with open_storage(folder, url) as storage:
        assert len(run_trials(storage, 1).trials) == 4
    reader = read_storage(folder, url)
    assert len(optuna.load_study(study_name="s", storage=reader).trials) == 4
    reader.close()


@pytest.mark.parametrize("kind", ["journal", "sqlite"])
def test_reader_sees_commits_of_a_running_study(tmp_path: Path, kind: str) -> None:
    url = None if kind == "journal" else f"sqlite:///{tmp_path}/study.db"
    with open_storage(tmp_path, url) as storage, read_storage(tmp_path, url) as reader:
        study = run_trials(storage, 2)
        storage.commit(durable=False)
        seen = optuna.load_study(study_name="s", storage=reader)
        assert [trial.values for trial in seen.trials] == [trial.values for trial in study.trials]


def test_closed_journal_can_still_be_read_in_memory(tmp_path: Path) -> None:
    with open_storage(tmp_path) as storage:
        study = run_trials(storage, 3)
    storage.close()
    assert study.best_trial in study.trials
    with pytest.raises(StorageError, match="is closed"):
        study.ask()


def test_second_writer_is_refused_with_every_storage(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/study.db"
    with open_storage(tmp_path):
        for other in (None, url):
            with pytest.raises(StudyError, match="is locked"):
                open_storage(tmp_path, other)
    open_storage(tmp_path, url).close()


def test_second_writer_with_another_folder_is_refused(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/study.db"
    with open_storage(tmp_path / "a", url) as first, open_storage(tmp_path / "b", url) as second:
        study_id = run_trials(first, 1)._study_id
        first.claim(study_id)
        with pytest.raises(StudyError, match="must have one writer"):
            second.claim(study_id)


def test_abandoned_new_study_leaves_no_files(tmp_path: Path) -> None:
    open_storage(tmp_path / "studies" / "mine").abandon()
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(StorageError):
        open_storage(tmp_path / "studies" / "mine", "nonsense://")
    assert list(tmp_path.iterdir()) == []


def test_abandoned_study_keeps_older_files(tmp_path: Path) -> None:
    with open_storage(tmp_path) as storage:
        run_trials(storage, 2)
    open_storage(tmp_path).abandon()
    with open_storage(tmp_path) as storage:
        assert len(run_trials(storage, 0).trials) == 2


def test_lock_is_released_when_opening_fails(tmp_path: Path) -> None:
    with pytest.raises(StorageError):
        open_storage(tmp_path, "nonsense://")
    (tmp_path / "journal.log").write_text("nonsense\n")
    with pytest.raises(StorageError):
        open_storage(tmp_path)
    (tmp_path / "journal.log").write_text("")
    open_storage(tmp_path).close()


def test_study_is_closed_when_the_search_fails(tmp_path: Path) -> None:
    def search() -> None:
        with open_storage(tmp_path) as storage:
            run_trials(storage, 1)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        search()
    with open_storage(tmp_path) as storage:
        assert len(run_trials(storage, 0).trials) == 1


def test_error_names_a_record_out_of_order(tmp_path: Path) -> None:
    with open_storage(tmp_path) as storage:
        run_trials(storage, 1)
    path = tmp_path / "journal.log"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([lines[0], b'{"op_code":4,"worker_id":"w"}\n', *lines[1:]]))
    with pytest.raises(StorageError) as caught:
        open_storage(tmp_path)
    assert str(caught.value).startswith(
        f"{path}, line 2 must be a valid record of Optuna, got KeyError: 'study_id'"
    )
    assert str(caught.value).endswith(f"autotrain doctor {tmp_path.name} --fix")


def test_pickled_copy_is_a_reader_without_the_lock(tmp_path: Path) -> None:
    with open_storage(tmp_path) as storage:
        study = run_trials(storage, 1)
        copy = pickle.loads(pickle.dumps(storage))
        assert isinstance(copy, FileStorage)
        assert copy.get_all_trials(study._study_id) == study.trials
        copy.close()
        with pytest.raises(StorageError, match="read-only"):
            copy.set_study_user_attr(study._study_id, "note", 1)
        with pytest.raises(StudyError):
            open_storage(tmp_path)
        run_trials(storage, 1)


def test_reading_a_folder_without_a_study(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="must be the journal of a study"):
        read_storage(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_folder_that_cannot_be_created(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="must be a folder for the study, got: Not a direc"):
        open_storage(tmp_path / "file" / "study")


def test_sqlite_is_in_wal_mode_and_waits_for_locks(tmp_path: Path) -> None:
    with open_storage(tmp_path, f"sqlite:///{tmp_path}/study.db") as storage:
        assert isinstance(storage, SharedStorage)
        assert isinstance(storage._inner, DatabaseStorage)
        with storage._inner.engine.connect() as connection:
            query = connection.exec_driver_sql
            assert query("PRAGMA journal_mode").scalar() == "wal"
            assert query("PRAGMA busy_timeout").scalar() == 60_000
            assert query("PRAGMA synchronous").scalar() == 2  # a finished trial is on disk


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("sqlite:////nowhere/at/all.db", "cannot be opened: Operational"),
        ("sqlite:///{tmp_path}/text.db", "file is not a database"),
        ("study.db", "must be a URL such as sqlite:///study.db, got 'study.db'"),
        ("sqlit:///study.db", "no storage 'sqlit'. Did you mean 'sqlite'? Known: sqlite, postg"),
        ("postgresql+psycop://u@h/d", "Did you mean 'postgresql+psycopg'?"),
        ("postgresql+psycopg://u:***@h/d", "must contain the password"),
    ],
)
def test_wrong_url_is_refused(tmp_path: Path, url: str, message: str) -> None:
    (tmp_path / "text.db").write_text("no database, only text, long enough for a header" * 10)
    with pytest.raises(StorageError) as caught:
        open_storage(tmp_path, url.format(tmp_path=tmp_path))
    assert message in str(caught.value)
    assert str(caught.value).startswith("storage ")


@pytest.mark.parametrize(
    ("url", "package"),
    [
        ("postgresql+psycopg://u:secret@h/d", '"psycopg[binary]"'),
        ("postgresql://u:secret@h/d", '"psycopg[binary]"'),
        ("mysql+pymysql://u:secret@h/d", "pymysql"),
        ("mysql://u:secret@h/d", "pymysql"),
        ("journal+redis://:secret@h:6379", "redis"),
        ("journal+rediss://:secret@h:6379", "redis"),
    ],
)
def test_missing_driver_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str, package: str
) -> None:
    for scheme in SCHEMES.values():
        if scheme.driver:
            monkeypatch.setitem(sys.modules, scheme.driver, None)
    with pytest.raises(StorageError) as caught:
        open_storage(tmp_path, url)
    assert str(caught.value).endswith(f"not installed. Run: pip install {package}")
    assert "secret" not in str(caught.value)


def test_redis_url_has_timeouts_that_it_can_change() -> None:
    options = {}
    for url in ("redis://:pass@host:1/0", "redis://:pass@host:1/0?socket_connect_timeout=3"):
        client = RedisJournal(url).client
        options[url] = client.connection_pool.connection_kwargs["socket_connect_timeout"]
        client.close()
    assert list(options.values()) == [10, 3]


@pytest.mark.parametrize("scheme", ["journal+redis", "postgresql", "mysql"])
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_error_of_an_unreachable_server_hides_the_password(tmp_path: Path, scheme: str) -> None:
    # PyMySQL does not close the socket of a connection that fails.
    with pytest.raises(StorageError) as caught:
        open_storage(tmp_path, f"{scheme}://u:pa%20ss@127.0.0.1:1/0")
    assert "u:***@127.0.0.1:1/0' cannot be opened: " in str(caught.value)
    assert "refused" in str(caught.value)
    assert str(caught.value).endswith("that the server is running.")
    assert "pa%20ss" not in str(caught.value)
    assert "pa ss" not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    ("url", "hidden"),
    [
        ("sqlite:///study.db", "sqlite:///study.db"),
        ("sqlite:////data/a@b/study.db", "sqlite:////data/a@b/study.db"),
        ("postgresql+psycopg://me@host/db", "postgresql+psycopg://me@host/db"),
        ("postgresql+psycopg://me:secret@host:5/db", "postgresql+psycopg://me:***@host:5/db"),
        (
            "mysql+pymysql://me:se@c/r:et@host/db?ssl_ca=b",
            "mysql+pymysql://me:***@host/db?ssl_ca=b",
        ),
        ("journal+redis://:secret@host", "journal+redis://:***@host"),
        (
            "postgresql://h/d?user=me&password=secret&port=1",
            "postgresql://h/d?user=me&password=***&port=1",
        ),
        ("postgresql://h/d?sslPassword=secret", "postgresql://h/d?sslPassword=***"),
        ("study.db", "study.db"),
        ("journal+redis://token@host", "journal+redis://***@host"),
        ("journal+rediss://me:@host", "journal+rediss://me:@host"),
        ("postgresql://h/d?options=-c x=secret", "postgresql://h/d?options=***"),
        ("postgresql://h/d?port=1;token=secret", "postgresql://h/d?port=1;token=***"),
        ("mysql://h/d?init_command=secret", "mysql://h/d?init_command=***"),
    ],
)
def test_password_is_hidden(url: str, hidden: str) -> None:
    assert hide_password(url) == hidden
    assert hide_password(hidden) == hidden


@given(st.text(min_size=1).map(lambda text: f"se{text}cret"))
def test_password_is_hidden_in_every_message(password: str) -> None:
    assert (
        hide_password(f"mysql+pymysql://me:{password}@host/db") == "mysql+pymysql://me:***@host/db"
    )


def test_opened_storage_does_not_keep_the_password(tmp_path: Path) -> None:
    with open_storage(tmp_path) as storage:
        assert isinstance(storage, OpenStorage)
        assert isinstance(storage._backend, GroupCommitBackend)  # type: ignore[attr-defined]
        assert storage.shown == str(tmp_path / "journal.log")


def test_sqlite_file_is_an_ordinary_database(tmp_path: Path) -> None:
    with open_storage(tmp_path, f"sqlite:///{tmp_path}/study.db") as storage:
        run_trials(storage, 1)
    connection = sqlite3.connect(tmp_path / "study.db")
    assert connection.execute("select count(*) from trials").fetchone() == (1,)
    connection.close()


def test_tables_that_another_process_creates_at_the_same_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    n_failures = 3

    def opened(url: str, reading: ReadOnly | None) -> DatabaseStorage:
        nonlocal n_failures
        n_failures -= 1
        if n_failures >= 0:
            raise IntegrityError("CREATE TABLE studies", None, ValueError("duplicate key"))
        return DatabaseStorage(url, reading)

    monkeypatch.setitem(SCHEMES, "sqlite", Scheme(opened))
    url = f"sqlite:///{tmp_path}/study.db"
    with open_storage(tmp_path, url) as storage:
        assert storage.get_all_studies() == []
    n_failures = 1000
    with pytest.raises(StorageError, match="duplicate key"):
        open_storage(tmp_path, url)
