"""Studies on real PostgreSQL, MariaDB and Redis servers."""

from __future__ import annotations

import json
import os
import pickle
import re
import signal
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest
import sqlalchemy
from optuna.distributions import FloatDistribution
from optuna.exceptions import StorageInternalError
from optuna.storages import BaseStorage, RDBStorage
from optuna.study import StudyDirection
from optuna.trial import TrialState, create_trial

import autotrain
from autotrain.errors import StorageError, StudyError
from autotrain.reporting.dashboard import Dashboard
from autotrain.reporting.status import read_status
from autotrain.search.progress import Progress
from autotrain.search.storage import open as open_module
from autotrain.search.storage.failures import UnreachableError
from autotrain.search.storage.open import SCHEMES, SHORT_SCHEMES, open_storage, read_storage
from autotrain.search.storage.redis_journal import RedisStorage
from autotrain.search.storage.shared import SharedStorage
from autotrain.search.storage.storages import DatabaseStorage, GivenStorage
from tests.search.planted import Planted
from tests.search.storage.servers import KINDS, PostgreSQL, Redis, Server
from tests.search.storage.test_open import run_trials

optuna.logging.set_verbosity(optuna.logging.WARNING)

SPACE = {
    "network": {"hidden_layers": 1, "hidden_units": 4},
    "training": {"batch_size": 64, "epochs": 3},
    "optimizer": {"choice": "adam", "learning_rate": {"low": 0.003, "high": 0.03, "log": True}},
}

TOML = """
[network]
hidden_layers = 1
hidden_units = 4
[training]
batch_size = 64
epochs = 30
[optimizer]
choice = "adam"
learning_rate = { low = 0.003, high = 0.03, log = true }
"""


@pytest.fixture(scope="module", params=list(KINDS))
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """Start each kind of server once; other tests count the child processes."""
    made = KINDS[request.param]()
    try:
        yield made
    finally:
        made.remove()


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """Return a study name that no other test uses."""
    return request.node.originalname.removeprefix("test_").replace("_", "-")


def new_study(name: str, folder: Path, url: str | BaseStorage) -> autotrain.Study:
    """Return a study that is trained within a second."""
    return autotrain.Study(
        name,
        data="sklearn:iris",
        space=SPACE,
        storage=url,
        directory=folder,
        workers=1,
        device="cpu",
        validation="holdout",
        ensemble=0,
        finalists=0,
    )


def test_search_show_and_resume(server: Server, tmp_path: Path, name: str) -> None:
    with new_study(name, tmp_path, server.url()) as study:
        study.optimize(n_trials=3, quiet=True)
    assert read_status(tmp_path / name, server.url()).n_trials == 3
    assert numbers_in_dashboard(tmp_path / name, server.url()) == [0, 1, 2]
    with autotrain.Study.resume(name, storage=server.url(), directory=tmp_path) as study:
        study.optimize(n_trials=1, quiet=True)
        assert [trial.number for trial in study.optuna_study.trials] == [0, 1, 2, 3]


def numbers_in_dashboard(folder: Path, url: str) -> list[int]:
    """Return the numbers of the trials that the dashboard shows."""
    page = Dashboard(folder, port=0, storage=url)
    thread = threading.Thread(target=page.serve)
    thread.start()
    try:
        cookies = urllib.request.HTTPCookieProcessor()
        browser = urllib.request.build_opener(urllib.request.ProxyHandler({}), cookies)
        browser.open(page.address).close()
        address = page.address.partition("?")[0].replace("/dashboard/", "/api/")
        with browser.open(address) as answer:
            return [trial["number"] for trial in json.loads(answer.read())["trials"]]
    finally:
        page.stop()
        thread.join()
        page.close()


class Watcher:
    """An observer that does something after the first trial, and records the stages."""

    def __init__(self, act: Callable[[], object]) -> None:
        self.act, self.has_acted = act, False
        self.stages: list[str] = []

    def update(self, progress: Progress) -> None:
        """Act once."""
        if progress.stage and progress.stage not in self.stages:
            self.stages.append(progress.stage)
        if progress.n_done and not self.has_acted:
            self.has_acted = True
            self.act()


def check_whole(study: autotrain.Study, n_trials: int) -> None:
    """Check that no trial is missing, doubled, open or without its end."""
    trials = study.optuna_study.get_trials(deepcopy=False)
    assert [trial.number for trial in trials] == list(range(n_trials))
    assert {trial.state.name for trial in trials} <= {"COMPLETE", "PRUNED"}
    assert all(len(trial.params) == 1 and trial.user_attrs["origin"] for trial in trials)


@pytest.mark.usefixtures("shown_at_once")
# PyMySQL does not close the socket of a connection that fails.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_server_that_stops_and_starts(server: Server, tmp_path: Path, name: str) -> None:
    start = threading.Timer(1.5, server.start)

    def restart() -> None:
        server.stop()
        start.start()

    watcher = Watcher(restart)
    with new_study(name, tmp_path, server.url()) as study:
        study.optimize(n_trials=4, observer=watcher, quiet=True)
        start.join()
        check_whole(study, 4)
    (waiting,) = [stage for stage in watcher.stages if "The search waits" in stage]
    assert "is not reachable" in waiting
    assert server.password not in waiting


@pytest.mark.usefixtures("shown_at_once")
def test_connections_that_are_cut(server: Server, tmp_path: Path, name: str) -> None:
    watcher = Watcher(server.cut)
    with new_study(name, tmp_path, server.url()) as study:
        study.optimize(n_trials=3, observer=watcher, quiet=True)
        check_whole(study, 3)
    assert not [stage for stage in watcher.stages if "reachable" in stage]


# PyMySQL does not close the socket of a connection that fails.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_search_waits_for_a_server_that_starts_later(
    server: Server, tmp_path: Path, name: str
) -> None:
    stages: list[str] = []

    class Starter:
        def update(self, progress: Progress) -> None:
            """Start the server when the search waits for it."""
            stages.append(progress.stage)
            if "Trying again for 60 s" in progress.stage:
                server.start()

    server.stop()
    with new_study(name, tmp_path, server.url()) as study:
        study.optimize(n_trials=1, observer=Starter(), quiet=True)
        check_whole(study, 1)
    assert "is not reachable: " in stages[0]
    assert stages[1] == ""
    assert server.password not in stages[0]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_opening_gives_up(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(open_module, "OPENING_S", 1.0)
    notices: list[str] = []
    server.stop()
    try:
        with pytest.raises(StorageError, match="cannot be opened"):
            open_storage(tmp_path, server.url(), notify=notices.append)
    finally:
        server.start()
    assert len(notices) == 1
    open_storage(tmp_path, server.url()).close()


def given_storage(server: Server) -> RDBStorage:
    """Return a storage as a user opens it."""
    scheme, _, rest = server.url().partition("://")
    return RDBStorage(f"{SHORT_SCHEMES[scheme]}://{rest}")


@pytest.mark.usefixtures("shown_at_once")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_storage_object_of_a_server_waits_and_claims(
    server: Server, tmp_path: Path, name: str
) -> None:
    if isinstance(server, Redis):
        return  # Optuna has no storage class for it that a change can be compared in.
    start = threading.Timer(1.0, server.start)

    def restart() -> None:
        server.stop()
        start.start()

    def refuse() -> None:
        theirs = given_storage(server)
        second = open_storage(tmp_path / "other", None, theirs)
        with second, pytest.raises(StudyError, match="must have one writer"):
            second.claim(second.get_study_id_from_name(name))
        theirs.remove_session()
        theirs.engine.dispose()
        restart()

    given = given_storage(server)
    watcher = Watcher(refuse)
    with new_study(name, tmp_path, given) as study:
        study.optimize(n_trials=3, observer=watcher, quiet=True)
        start.join()
        check_whole(study, 3)
    assert [stage for stage in watcher.stages if "The search waits" in stage]
    # The object is still the user's, and raises its own exceptions again.
    assert len(optuna.load_study(study_name=name, storage=given).trials) == 3
    given.remove_session()
    server.cut()
    server.stop()
    try:
        with pytest.raises((StorageInternalError, sqlalchemy.exc.OperationalError)):
            given.get_all_studies()
    finally:
        server.start()
        given.engine.dispose()


def test_wrong_password_and_unknown_database(server: Server, tmp_path: Path) -> None:
    wrong = {
        server.url(password="wrong-secret"): "Check the user and the password.",
        server.url(database="99"): "Check the name of the database, and ",
    }
    for url, advice in wrong.items():
        for use in (open_storage, read_storage):
            with pytest.raises(StorageError) as caught:
                use(tmp_path / "study", url)
            assert advice in str(caught.value)
            assert caught.value.parameter == "storage"
            assert "wrong-secret" not in str(caught.value)
            assert server.password not in str(caught.value)
        notices: list[str] = []
        with pytest.raises(StorageError):
            open_storage(tmp_path / "study", url, notify=notices.append)
        assert notices == []
    assert not (tmp_path / "study").exists()


def test_user_without_permission(server: Server, tmp_path: Path, name: str) -> None:
    with open_storage(tmp_path / "first", server.url()):
        server.add_reader("reader", "reader-secret")
    url = server.url("reader", "reader-secret")
    with pytest.raises(StorageError) as caught, new_study(name, tmp_path, url) as study:
        study.optimize(n_trials=1, quiet=True)
    assert "Give the user the permission to create tables" in str(caught.value)
    assert "reader-secret" not in str(caught.value)


def test_tables_of_another_optuna_version(server: Server, tmp_path: Path) -> None:
    if isinstance(server, Redis):
        return  # A journal has no tables.
    with open_storage(tmp_path, server.url()) as storage:
        assert isinstance(storage, SharedStorage)
        engine = sqlalchemy.create_engine(storage._inner.url)
    with engine.begin() as connection:
        before = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = 'v9.0.0'")
    try:
        for use in (open_storage, read_storage):
            with pytest.raises(StorageError, match="Use the Optuna version that wrote the databas"):
                use(tmp_path, server.url())
    finally:
        with engine.begin() as connection:
            connection.exec_driver_sql(f"UPDATE alembic_version SET version_num = '{before}'")
        engine.dispose()


def test_second_writer_in_another_folder_is_refused(
    server: Server, tmp_path: Path, name: str
) -> None:
    with open_storage(tmp_path / "a", server.url()) as first:
        study_id = first.create_new_study([StudyDirection.MINIMIZE], name)
        first.claim(study_id)
        with open_storage(tmp_path / "b", server.url()) as second:
            with pytest.raises(StudyError, match="must have one writer"):
                second.claim(study_id)
            first.close()
            second.claim(study_id)


def test_only_one_of_two_simultaneous_claims_succeeds(
    server: Server, tmp_path: Path, name: str
) -> None:
    with (
        open_storage(tmp_path / "a", server.url()) as first,
        open_storage(tmp_path / "b", server.url()) as second,
    ):
        assert isinstance(first, SharedStorage)
        assert isinstance(second, SharedStorage)
        study_id = first.create_new_study([StudyDirection.MINIMIZE], name)
        for old, new in ((None, {"id": "1"}), ({"id": "1"}, {"id": "2"})):
            storages = (first, second) if old is None else (second, first)
            done = [storage._inner.swap(study_id, "writer", old, new) for storage in storages]
            assert done == [True, False]
            assert first.get_study_system_attrs(study_id)["writer"] == new


class LostAnswers(GivenStorage):
    """Carries out each call, and loses the answer to the first attempt of each change."""

    def __init__(self, storage: DatabaseStorage | RedisStorage) -> None:
        super().__init__(storage)
        self.url, self.errors = storage.url, storage.errors
        self._lost: set[str] = set()

    def _ask(self, call: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        answer, name = call(*arguments, **named), call.__name__
        if name.startswith(("set", "create")) and name not in self._lost:
            self._lost.add(name)
            raise UnreachableError("the answer was lost")
        return answer


def test_connection_that_is_cut_within_a_call_is_not_logged(
    server: Server, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    if isinstance(server, Redis):
        return  # It has no transactions.
    with open_storage(tmp_path, server.url()) as storage:
        assert isinstance(storage, SharedStorage)
        assert isinstance(storage._inner, DatabaseStorage)
        connection = storage._inner.engine.raw_connection()
        connection.cursor().execute("SELECT 1")
        server.cut()
        connection.close()
    assert not caplog.records


def test_call_whose_answer_is_lost_is_carried_out_once(server: Server, name: str) -> None:
    scheme, _, rest = server.url().partition("://")
    scheme = SHORT_SCHEMES.get(scheme, scheme)
    inner = SCHEMES[scheme].open(f"{scheme}://{rest}", None)
    study_id = inner.create_new_study([StudyDirection.MINIMIZE], name)
    waiting = create_trial(state=TrialState.WAITING)
    for template, state in ((waiting, TrialState.RUNNING), (None, TrialState.COMPLETE)):
        storage = SharedStorage(LostAnswers(inner))  # type: ignore[abstract, arg-type]
        trial_id = storage.create_new_trial(study_id, template)
        storage.set_trial_param(trial_id, "x", 0.5, FloatDistribution(0, 1))
        storage.set_trial_intermediate_value(trial_id, 1, 0.25)
        storage.set_trial_user_attr(trial_id, "a", 1)
        values = [0.5] if state == TrialState.COMPLETE else None
        assert storage.set_trial_state_values(trial_id, state, values)
    trials = inner.get_all_trials(study_id)
    assert [trial.state for trial in trials] == [TrialState.RUNNING, TrialState.COMPLETE]
    assert [trial.params for trial in trials] == [{"x": 0.5}] * 2
    assert trials[1].value == 0.5
    inner.close()


def test_announced_trial_is_saved_when_the_search_is_killed(
    server: Server, tmp_path: Path, name: str
) -> None:
    (tmp_path / "space.toml").write_text(TOML)
    command = ["search", "sklearn:iris", "--study", name, "--space", tmp_path / "space.toml"]
    # Worker processes have titles, too.
    n_workers = 2 if isinstance(server, PostgreSQL) else 1
    command += ["--directory", tmp_path, "--workers", n_workers, "--device", "cpu"]
    command += ["--storage", server.url()]
    process = subprocess.Popen(
        [sys.executable, "-m", "autotrain.cli.main", *map(str, command)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    printed, number = [], None
    for line in process.stderr:
        printed.append(line)
        if found := re.search(r"best .* \(trial (\d+)\)", line):
            number = int(found[1])
            break
    titles = [title_of(pid) for pid in (process.pid, *children_of(process.pid))]
    process.kill()
    printed += process.stderr.readlines()
    process.wait()
    process.stderr.close()
    assert number is not None, printed
    with read_storage(tmp_path / name, server.url()) as storage:
        study = optuna.load_study(study_name=name, storage=storage)
        assert study.trials[number].state == TrialState.COMPLETE
    files = [path.read_bytes() for path in (tmp_path / name).rglob("*") if path.is_file()]
    assert len(titles) >= n_workers
    for text in [*titles, *files, *(line.encode() for line in printed)]:
        assert server.password.encode() not in text
    with autotrain.Study.resume(name, storage=server.url(), directory=tmp_path, workers=1) as again:
        again.optimize(n_trials=1, quiet=True)


def title_of(pid: int) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes()


def children_of(pid: int) -> list[int]:
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for task in tasks for child in task.read_text().split()]


@pytest.mark.usefixtures("shown_at_once")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_search_that_is_stopped_while_it_waits(server: Server, tmp_path: Path, name: str) -> None:
    interrupt = threading.Timer(1.5, os.kill, (os.getpid(), signal.SIGINT))

    def stop() -> None:
        server.stop()
        interrupt.start()

    watcher = Watcher(stop)
    study = new_study(name, tmp_path, server.url())
    try:
        with pytest.raises(StorageError, match=r"are not saved.* resume the study"):
            study.optimize(n_trials=5, observer=watcher, quiet=True)
        with pytest.raises(StorageError, match=r"are not saved.* resume the study"):
            study.close()
    finally:
        interrupt.cancel()
        server.start()
    with autotrain.Study.resume(name, storage=server.url(), directory=tmp_path) as study:
        study.optimize(n_trials=1, quiet=True)
        trials = study.optuna_study.get_trials(deepcopy=False)
        assert all(trial.state.is_finished() for trial in trials)


@pytest.mark.usefixtures("shown_at_once")
def test_curves_of_running_trials_are_visible(server: Server, tmp_path: Path, name: str) -> None:
    curves: list[dict[int, float]] = []

    class Reader:
        def update(self, progress: Progress) -> None:
            """Read the curves as the dashboard does."""
            with read_storage(tmp_path / name, server.url()) as storage:
                trials = optuna.load_study(study_name=name, storage=storage).trials
            running = [trial for trial in trials if trial.state == TrialState.RUNNING]
            curves.extend(trial.intermediate_values for trial in running)

    with new_study(name, tmp_path, server.url()) as study:
        study.optimize(n_trials=2, observer=Reader(), quiet=True)
    assert any(curves)


def test_snapshot_of_a_redis_server_is_never_loaded(server: Server, tmp_path: Path) -> None:
    if not isinstance(server, Redis):
        return  # Only Optuna's journals have snapshots.
    witness = tmp_path / "ran"
    planted = pickle.dumps(Planted(str(witness)))
    server.query("SET", ":snapshot", planted.decode("latin1"))
    with open_storage(tmp_path / "study", server.url()) as storage:
        run_trials(storage, 101)  # Optuna keeps a snapshot with every hundredth trial.
    read_storage(tmp_path / "study", server.url()).close()
    assert not witness.exists()
    assert server.query("GET", ":snapshot").decode() == planted.decode("latin1")


def test_redis_server_that_lost_its_records(server: Server, tmp_path: Path) -> None:
    if not isinstance(server, Redis):
        return  # Databases keep their rows.
    with open_storage(tmp_path / "study", server.url(database="1")) as storage:
        storage.create_new_study([StudyDirection.MINIMIZE], "lost")
        server.query("FLUSHALL")
        with pytest.raises(StorageError, match="1 are missing"):
            storage.get_all_studies()


RACE = """
import sys, autotrain
from pathlib import Path
name, folder, url = sys.argv[1:]
study = autotrain.Study(
    name,
    data="sklearn:iris",
    space={"extends": "quick", "training": {"epochs": 1}},
    storage=url or None,
    directory=folder,
    workers=1,
    device="cpu",
    validation="holdout",
    ensemble=0,
    finalists=0,
)
print("ready", flush=True)
sys.stdin.readline()
try:
    study.optimize(n_trials=1, quiet=True)
    print("won", flush=True)
    sys.stdin.readline()
    study.close()
except autotrain.errors.StudyError as error:
    print(error, flush=True)
"""


@pytest.mark.parametrize("is_shared", [False, True], ids=["journal", "database"])
def test_one_of_two_new_studies_with_one_name_wins(
    server: Server, tmp_path: Path, name: str, is_shared: bool
) -> None:
    if not isinstance(server, PostgreSQL):
        return  # The names of studies are unique in every database.
    folders = [tmp_path / folder if is_shared else tmp_path for folder in ("a", "b")]
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", RACE, name, folder, server.url() if is_shared else ""],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for folder in folders
    ]
    answers = []
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    for process in processes:
        assert process.stdout is not None
        answers.append(process.stdout.readline().strip())
    for process in processes:
        process.communicate("\n")
    assert answers.count("won") == 1, answers
    (refused,) = [answer for answer in answers if answer != "won"]
    assert ("a study with that name" if is_shared else "is locked") in refused
    loser = folders[1 - answers.index("won")]
    assert (loser / name).exists() is not is_shared
    url = server.url() if is_shared else None
    with read_storage(folders[answers.index("won")] / name, url) as storage:
        study = optuna.load_study(study_name=name, storage=storage)
        assert sum(trial.state.is_finished() for trial in study.trials) == 1
