"""optuna-dashboard on a study, on the loopback address, only for looking.

The storage is opened for reading only, so a search that runs is not disturbed. The page's own
routes that delete, rename and save are refused. It serves no artifacts: autotrain keeps none, and
those of a folder from elsewhere could be links to any file of the reader.

Every user of this machine reaches the port, so the address holds a random token. Who opens it gets
the token as a cookie; any other request is refused.
"""

from __future__ import annotations

import contextlib
import hmac
import secrets
import socket
import socketserver
from collections.abc import Callable, Iterable
from http.cookies import CookieError, SimpleCookie
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, urlencode
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import optuna_dashboard

from autotrain.errors import StudyError
from autotrain.study.opening import seen_study

HOST = "127.0.0.1"
PORT = 8080
MOST_TRIED = 100
LOOKING = ("GET", "HEAD", "OPTIONS")
TOKEN = "token"
# Sent with every answer; optuna-dashboard has no such rule of its own.
_HEADERS = (
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("X-Frame-Options", "DENY"),
    ("Cache-Control", "no-store"),
)
_ELSEWHERE = "access-control-allow-origin"

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class Dashboard:
    """The page of one study, served until `close`.

    Args:
        folder: of the study.
        port: None for 8080 or the next free one, 0 for any.
        storage: URL with the password, when the study is not kept in its folder.
        connects: see `seen_study`.
    Raises:
        StudyError: when there is no such study, or the port is taken.
        StorageError: when the study cannot be read.
    """

    def __init__(
        self,
        folder: Path,
        *,
        port: int | None = None,
        storage: str | None = None,
        connects: bool = True,
    ) -> None:
        token = secrets.token_urlsafe(24)
        self._tickets: set[str] = set()
        with contextlib.ExitStack() as stack:
            seen = stack.enter_context(seen_study(folder, storage, connects=connects))
            page = optuna_dashboard.wsgi(seen.storage, artifact_store=None)
            self._server = _listen(_only_looking(_only_with(token, self._tickets, page)), port)
            self._opened = stack.pop_all()
        study_id = seen.study_id
        place = "dashboard" if study_id is None else f"dashboard/studies/{study_id}"
        self._place = f"http://{HOST}:{self._server.server_port}/{place}"
        self.address = f"{self._place}?{urlencode({TOKEN: token})}"

    def address_for_once(self) -> str:
        """Return an address that works once: other users see those that programs are given."""
        ticket = secrets.token_urlsafe(24)
        self._tickets.add(ticket)
        return f"{self._place}?{urlencode({TOKEN: ticket})}"

    def serve(self) -> None:
        """Answer until interrupted."""
        self._server.serve_forever(poll_interval=0.2)

    def stop(self) -> None:
        """Make `serve`, in another thread, return."""
        self._server.shutdown()

    def close(self) -> None:
        """Give the port back."""
        self._server.server_close()
        self._opened.close()


class _Server(socketserver.ThreadingMixIn, WSGIServer):
    daemon_threads = True
    # Otherwise a second server could take the port of a first one on some systems.
    allow_reuse_address = True

    def server_bind(self) -> None:
        """Bind without asking a name server for this machine's name."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = HOST, self.socket.getsockname()[1]
        self.setup_environ()


class _QuietHandler(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """Leave requests out of the terminal."""


def _listen(application: Application, port: int | None) -> _Server:
    tried = [port] if port is not None else range(PORT, PORT + MOST_TRIED)
    for number in tried:
        if number and _is_taken(number):
            continue
        try:
            return make_server(HOST, number, application, _Server, _QuietHandler)
        except OSError:
            continue
    shown = port if port is not None else f"{PORT} to {PORT + MOST_TRIED - 1}"
    raise StudyError(
        f"--port must be free, however: {shown} is taken or not allowed. Give another one, "
        "or 0 for any."
    )


def _is_taken(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex((HOST, port)) == 0


def _only_looking(page: Any) -> Application:
    def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        host = environ.get("HTTP_HOST", HOST).rpartition(":")[0] or environ.get("HTTP_HOST", HOST)
        # Another site's page could otherwise read the study under a name that means this machine.
        if host not in (HOST, "localhost"):
            return _refuse(start_response, f"expected the host {HOST}, however: {host}")
        if environ["REQUEST_METHOD"] not in LOOKING:
            return _refuse(start_response, "this page is only for looking")
        answer: Iterable[bytes] = page(environ, start_response)
        return answer

    return application


def _only_with(token: str, tickets: set[str], page: Any) -> Application:
    """Answer those who know the token: from the address, or from the cookie set for it.

    Args:
        tickets: tokens that count once; a used one is removed.
    """

    def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        # Cookies do not tell ports apart: two dashboards must not take each other's.
        name = f"autotrain-{environ.get('SERVER_PORT', '')}"
        given = parse_qs(environ.get("QUERY_STRING", "")).get(TOKEN, [""])[-1]
        used = next((ticket for ticket in list(tickets) if _same(given, ticket)), None)
        if used is not None:
            tickets.discard(used)
        if used is not None or _same(given, token):
            # Out of the address, so that it is in no bookmark and no picture of the screen.
            cookie = f"{name}={token}; Path=/; HttpOnly; SameSite=Lax"
            place = environ.get("PATH_INFO", "/")
            headers = [
                ("Location", f"/{quote(place.lstrip('/'))}"),
                ("Set-Cookie", cookie),
                *_HEADERS,
            ]
            start_response("303 See Other", headers)
            return [b""]
        if not _same(_cookie(environ.get("HTTP_COOKIE", ""), name), token):
            return _refuse(
                start_response,
                "Open the address that autotrain dashboard has printed: it holds a token.",
            )

        def start(status: str, headers: list[tuple[str, str]], *more: Any) -> Any:
            own = {key.lower() for key, _ in _HEADERS} | {_ELSEWHERE}
            kept = [(key, value) for key, value in headers if key.lower() not in own]
            return start_response(status, [*kept, *_HEADERS], *more)

        answer: Iterable[bytes] = page(environ, start)
        return answer

    return application


def _same(given: str, token: str) -> bool:
    return hmac.compare_digest(given.encode(), token.encode())


def _cookie(header: str, name: str) -> str:
    with contextlib.suppress(CookieError):
        found = SimpleCookie(header).get(name)
        return "" if found is None else found.value
    return ""


def _refuse(start_response: Callable[..., Any], reason: str) -> Iterable[bytes]:
    start_response("403 Forbidden", [("Content-Type", "text/plain; charset=utf-8")])
    return [reason.encode()]
