"""Serve a read-only optuna-dashboard of a study on the loopback address.

The storage is opened read-only, so a running search is not disturbed. Requests that would delete,
rename or save are refused. Artifacts are not served: autotrain has none, and artifacts in a copied
study folder could be links to any file of the user.

Every user of this machine can connect to the port, so the address contains a random token. Opening
it sets the token as a cookie. Requests without the token are refused.
"""

from __future__ import annotations

import contextlib
import hmac
import secrets
import socket
import socketserver
from collections.abc import Callable, Iterable, Sequence
from http.cookies import CookieError, SimpleCookie
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, urlencode
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import optuna_dashboard

from autotrain.errors import StudyError
from autotrain.reporting.dashboard_storage import DashboardStorage
from autotrain.search.opening import seen_study

HOST = "127.0.0.1"
PORT = 8080
MOST_TRIED = 100
READ_METHODS = ("GET", "HEAD", "OPTIONS")
TOKEN = "token"
# Sent with every response, because optuna-dashboard does not set these headers.
_HEADERS = (
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("X-Frame-Options", "DENY"),
    ("Cache-Control", "no-store"),
)
_ELSEWHERE = "access-control-allow-origin"

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class Dashboard:
    """A web page of one study, served until `close`.

    Args:
        folder: the study's folder.
        port: None for 8080 or the next free port, 0 for any free port.
        storage: URL with the password, when the study is not stored in its folder.
        connects: see `seen_study`.
        first_port: the first port that is tried when `port` is None.
    Raises:
        StudyError: when the study does not exist, or the port is in use.
        StorageError: when the study cannot be read.
    """

    def __init__(
        self,
        folder: Path,
        *,
        port: int | None = None,
        storage: str | None = None,
        connects: bool = True,
        first_port: int = PORT,
    ) -> None:
        ports = range(first_port, first_port + MOST_TRIED) if port is None else (port,)
        token = secrets.token_urlsafe(24)
        self._tickets: set[str] = set()
        with contextlib.ExitStack() as stack:
            seen = stack.enter_context(seen_study(folder, storage, connects=connects))
            storage_shown = DashboardStorage(seen.storage)  # type: ignore[abstract]
            page = optuna_dashboard.wsgi(storage_shown, artifact_store=None)
            self._server = _listen(_read_only(_with_token(token, self._tickets, page)), ports)
            self._opened = stack.pop_all()
        study_id = seen.study_id
        place = "dashboard" if study_id is None else f"dashboard/studies/{study_id}"
        self._place = f"http://{HOST}:{self._server.server_port}/{place}"
        self.address = f"{self._place}?{urlencode({TOKEN: token})}"

    def address_for_once(self) -> str:
        """Return an address that works once, because other users can see arguments of programs."""
        ticket = secrets.token_urlsafe(24)
        self._tickets.add(ticket)
        return f"{self._place}?{urlencode({TOKEN: ticket})}"

    def serve(self) -> None:
        """Answer requests until `stop` or an interrupt."""
        self._server.serve_forever(poll_interval=0.2)

    def stop(self) -> None:
        """Make `serve` return, which runs in another thread."""
        self._server.shutdown()

    def close(self) -> None:
        """Release the port and close the storage."""
        self._server.server_close()
        self._opened.close()


class _Server(socketserver.ThreadingMixIn, WSGIServer):
    daemon_threads = True
    # A restart must not wait for the system to release the port; `_is_taken` checks the port.
    allow_reuse_address = True

    def server_bind(self) -> None:
        """Bind without looking up this machine's name, which could be slow."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = HOST, self.socket.getsockname()[1]
        self.setup_environ()


class _QuietHandler(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """Print no requests to the terminal."""


def _listen(application: Application, ports: Sequence[int]) -> _Server:
    for number in ports:
        if number and _is_taken(number):
            continue
        try:
            return make_server(HOST, number, application, _Server, _QuietHandler)
        except OSError:
            continue
    shown = f"{ports[0]} to {ports[-1]}" if len(ports) > 1 else ports[0]
    raise StudyError(
        f"port must be free, got {shown}, which is in use or not permitted. Use another port, or 0 "
        "for any free port.",
        parameter="port",
    )


def _is_taken(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex((HOST, port)) == 0


def _read_only(page: Any) -> Application:
    def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        host = environ.get("HTTP_HOST", HOST).rpartition(":")[0] or environ.get("HTTP_HOST", HOST)
        # Without this check, another website could read the study through a host name that
        # resolves to this machine.
        if host not in (HOST, "localhost"):
            return _refuse(start_response, f"The host must be {HOST}, got {host}.")
        if environ["REQUEST_METHOD"] not in READ_METHODS:
            return _refuse(start_response, "This page is read-only.")
        answer: Iterable[bytes] = page(environ, start_response)
        return answer

    return application


def _with_token(token: str, tickets: set[str], page: Any) -> Application:
    """Answer only requests with the token in the address or in the cookie.

    Args:
        tickets: tokens for a single use; a used one is removed.
    """

    def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        # Cookies are shared by all ports, so each dashboard needs a cookie name of its own.
        name = f"autotrain-{environ.get('SERVER_PORT', '')}"
        given = parse_qs(environ.get("QUERY_STRING", "")).get(TOKEN, [""])[-1]
        used = next((ticket for ticket in list(tickets) if _same(given, ticket)), None)
        if used is not None:
            tickets.discard(used)
        if used is not None or _same(given, token):
            # The redirect removes the token from the address, so that bookmarks and screenshots
            # do not contain it.
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
                "Open the address that autotrain dashboard printed: it contains a token.",
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
