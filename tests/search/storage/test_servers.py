"""Studies on real PostgreSQL, MariaDB and Redis servers."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import optuna
import pytest

import autotrain
from autotrain.reporting.status import read_status
from autotrain.search.progress import Progress
from tests.search.storage.servers import KINDS, Server

optuna.logging.set_verbosity(optuna.logging.WARNING)

SPACE = {
    "network": {"hidden_layers": 1, "hidden_units": 4},
    "training": {"batch_size": 64, "epochs": 3},
    "optimizer": {"choice": "adam", "learning_rate": {"low": 0.003, "high": 0.03, "log": True}},
}


@pytest.fixture(scope="session", params=list(KINDS))
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """Start each kind of server once."""
    made = KINDS[request.param]()
    try:
        yield made
    finally:
        made.remove()


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """Return a study name that no other test uses."""
    return request.node.originalname.removeprefix("test_").replace("_", "-")


def new_study(name: str, folder: Path, url: str) -> autotrain.Study:
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
    with autotrain.Study.resume(name, storage=server.url(), directory=tmp_path) as study:
        study.optimize(n_trials=1, quiet=True)
        assert [trial.number for trial in study.optuna_study.trials] == [0, 1, 2, 3]


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
    def restart() -> None:
        server.stop()
        threading.Timer(1.5, server.start).start()

    watcher = Watcher(restart)
    with new_study(name, tmp_path, server.url()) as study:
        study.optimize(n_trials=4, observer=watcher, quiet=True)
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
