"""`autotrain dashboard`: the page and its list of studies on a free port, read-only."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request
import warnings
from collections.abc import Iterator
from email.message import Message
from http.cookiejar import CookieJar
from pathlib import Path

import pytest

from autotrain.errors import StorageError, StudyError
from autotrain.reporting.dashboard import Dashboard
from autotrain.reporting.status import latest_study
from autotrain.search import opening
from autotrain.search.storage.lock import StudyLock
from autotrain.search.storage.opened import OpenStorage
from tests.cli.conftest import N_TRIALS, Run
from tests.cli.test_interrupt import start
from tests.search.test_definition import kept_in


class Browser:
    """Asks as a browser does: it follows redirections and keeps cookies."""

    def __init__(self) -> None:
        self.cookies = CookieJar()
        self.headers: Message = Message()
        self._opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPCookieProcessor(self.cookies)
        )

    def __call__(self, address: str, **options: object) -> tuple[int, bytes]:
        request = urllib.request.Request(address, **options)  # type: ignore[arg-type]
        try:
            with self._opener.open(request, timeout=60) as answer:
                self.address, self.headers = answer.url, answer.headers
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            with error:
                self.headers = error.headers
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


def test_dashboard_serves_the_page_and_the_study(
    served: tuple[subprocess.Popen[str], str], there: Path
) -> None:
    process, address = served
    root = address.partition("/dashboard")[0]
    ask = Browser()
    # A search may start or go on meanwhile: the study is not locked.
    StudyLock(there / "studies" / "shop").release()

    status, page = ask(address)
    assert status == 200
    assert b"Optuna Dashboard" in page
    studies = json.loads(ask(f"{root}/api/studies")[1])["study_summaries"]
    assert [study["study_name"] for study in studies] == ["shop"]
    page_address, _, query = address.partition("?")
    assert page_address == f"{root}/dashboard/studies/{studies[0]['study_id']}"
    # The token is in no bookmark and in no picture of the page.
    assert ask(address)[0] == 200
    assert ask.address == page_address
    assert query.startswith("token=")
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


def test_requests_without_the_token_are_refused(
    served: tuple[subprocess.Popen[str], str],
) -> None:
    _, address = served
    page, _, query = address.partition("?")
    root = page.partition("/dashboard")[0]
    port = root.rpartition(":")[2]
    for path in ("/", "/dashboard", "/api/studies", "/csv/0", "/static/bundle.js", "/favicon.ico"):
        for wrong in ("", "?token=", "?token=x", f"?token={query[6:-1]}", f"?token={query[6:]}x"):
            status, text = Browser()(f"{root}{path}{wrong}")
            assert (status, b"it contains a token" in text) == (403, True), path
        for sent in (
            "",
            "x",
            "; autotrain-1=",
            f"autotrain-{port}=x",
            f"autotrain-1={query[6:]}",
        ):
            assert Browser()(f"{root}{path}", headers={"Cookie": sent})[0] == 403
    visitor = Browser()
    assert visitor(address)[0] == 200
    assert [cookie.name for cookie in visitor.cookies] == [f"autotrain-{port}"]
    (cookie,) = visitor.cookies
    assert cookie.has_nonstandard_attr("HttpOnly")
    assert visitor(f"{root}/api/studies")[0] == 200
    assert visitor.headers["X-Content-Type-Options"] == "nosniff"
    assert visitor.headers["Access-Control-Allow-Origin"] is None


def test_artifacts_are_not_served(finished: Path, tmp_path: Path) -> None:
    shutil.copytree(finished / "studies" / "shop", tmp_path / "shop")
    artifacts = tmp_path / "shop" / "artifacts"
    artifacts.mkdir()
    (tmp_path / "id_rsa").write_text("PRIVATE")
    (artifacts / "aaaa").symlink_to(tmp_path / "id_rsa")
    (artifacts / "bbbb").write_text("<script>")
    page = Dashboard(tmp_path / "shop", port=0)
    # All users can see the arguments of the browser, so this address works only once.
    once = page.address_for_once()
    thread = threading.Thread(target=page.serve)
    thread.start()
    try:
        root = page.address.partition("/dashboard")[0]
        ask = Browser()
        assert ask(once)[0] == 200
        assert Browser()(once)[0] == 403
        assert Browser()(page.address)[0] == 200
        for artifact in ("aaaa", "bbbb"):
            for path in (f"/artifacts/0/{artifact}", f"/artifacts/0/0/{artifact}"):
                status, text = ask(root + path)
                assert status >= 400
                assert b"PRIVATE" not in text
                assert b"<script>" not in text
    finally:
        page.stop()
        thread.join()
        page.close()


@pytest.mark.parametrize("named", [True, False])
def test_unnamed_study_on_a_server_is_not_opened(
    here: Path, autotrain: Run, monkeypatch: pytest.MonkeyPatch, named: bool
) -> None:
    opened = []

    def read(folder: Path, url: str | None, **options: bool) -> OpenStorage:
        opened.append(url)
        raise StorageError("seen")

    monkeypatch.setattr(opening, "read_storage", read)
    folder = here / "studies" / "theirs"
    folder.mkdir(parents=True)
    kept_in("mysql+pymysql://evil/d").write(folder)
    done = autotrain("dashboard", *(["theirs"] if named else []), "--no-browser")
    assert done.code == 2
    assert opened == (["mysql+pymysql://evil/d"] if named else [])
    if not named:
        assert "autotrain show theirs --storage URL" in done.err


def test_occupied_port_is_refused(there: Path, autotrain: Run) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        done = autotrain("dashboard", "shop", "--port", port, "--no-browser")
        assert done.code == 2
        assert f"port must be free, got {port}" in done.err


def test_next_free_port_is_used_by_default(there: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        page = Dashboard(there / "studies" / "shop", first_port=port)
        page.close()
        assert port < int(page.address.split(":")[2].partition("/")[0]) < port + 100


def test_unknown_study_is_refused_and_the_latest_one_found(there: Path, tmp_path: Path) -> None:
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


def test_warnings_of_the_plots_are_not_printed(
    there: Path, autotrain: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def look(page: Dashboard) -> None:
        warnings.warn_explicit("few trials", UserWarning, "x.py", 1, "optuna.importance.x")

    monkeypatch.setattr(Dashboard, "serve", look)
    done = autotrain("dashboard", "shop", "--port", "0", "--no-browser")
    assert done.code == 0, done.err
    assert done.err == "Stop with Ctrl-C.\n"
