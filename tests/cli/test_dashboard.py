"""`autotrain dashboard`: the page and its list of studies on a free port; only for looking."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from autotrain.errors import StudyError
from autotrain.reporting.dashboard import Dashboard
from autotrain.reporting.status import latest_study
from autotrain.search.storage.lock import Lease
from tests.cli.conftest import N_TRIALS, Run
from tests.cli.test_interrupt import start


def ask(address: str, **options: object) -> tuple[int, bytes]:
    request = urllib.request.Request(address, **options)  # type: ignore[arg-type]
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=60) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


@pytest.fixture
def served(there: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    process = start("dashboard", "shop", "--port", "0", "--no-browser")
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        assert line.startswith("Study shop: http://127.0.0.1:"), process.communicate()
        yield process, line.split()[-1]
    finally:
        process.kill()
        process.communicate()


def test_the_page_and_the_study_are_served(
    served: tuple[subprocess.Popen[str], str], there: Path
) -> None:
    process, address = served
    root = address.partition("/dashboard")[0]
    # A search may start or go on meanwhile: the study is not locked.
    Lease(there / "studies" / "shop").release()

    status, page = ask(address)
    assert status == 200
    assert b"Optuna Dashboard" in page
    studies = json.loads(ask(f"{root}/api/studies")[1])["study_summaries"]
    assert [study["study_name"] for study in studies] == ["shop"]
    assert address == f"{root}/dashboard/studies/{studies[0]['study_id']}"
    trials = json.loads(ask(f"{root}/api/studies/{studies[0]['study_id']}")[1])["trials"]
    assert len(trials) >= N_TRIALS
    assert trials[0]["intermediate_values"]

    assert ask(f"{root}/api/studies/0", method="DELETE")[0] == 403
    assert ask(f"{root}/api/studies/0/note", method="PUT", data=b"{}")[0] == 403
    assert ask(address, headers={"Host": "example.org"})[0] == 403

    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "Traceback" not in err


def test_a_port_that_is_taken(there: Path, autotrain: Run) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        done = autotrain("dashboard", "shop", "--port", port, "--no-browser")
        assert done.code == 2
        assert f"--port must be free, however: {port} is taken" in done.err


def test_without_a_port_the_next_free_one_is_taken(
    there: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        monkeypatch.setattr("autotrain.reporting.dashboard.PORT", port)
        page = Dashboard(there / "studies" / "shop")
        page.close()
        assert port < int(page.address.split(":")[2].partition("/")[0]) < port + 100


def test_an_unknown_study_and_the_latest_one(there: Path, tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="there must be a study 'shp'"):
        Dashboard(there / "studies" / "shp")
    assert latest_study(tmp_path) is None
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "study.toml").write_text("")
        time.sleep(0.01)
    assert latest_study(tmp_path) == "two"
    (tmp_path / "one" / "journal.log").write_text("")
    assert latest_study(tmp_path) == "one"


def test_warnings_of_the_plots_stay_out_of_the_terminal(
    there: Path, autotrain: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def look(page: Dashboard) -> None:
        warnings.warn_explicit("few trials", UserWarning, "x.py", 1, "optuna.importance.x")

    monkeypatch.setattr(Dashboard, "serve", look)
    done = autotrain("dashboard", "shop", "--port", "0", "--no-browser")
    assert done.code == 0, done.err
    assert done.err == "Ctrl-C ends it.\n"
