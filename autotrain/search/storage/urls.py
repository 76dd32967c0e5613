"""URLs of storages: their permitted options, and their display without secrets."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import parse_qsl, quote, unquote

from autotrain.errors import StorageError, unknown
from autotrain.vocabulary import user_path

HIDDEN = "***"
_COMMON = ("connect_timeout",)
# Drivers accept many options in a URL. Some read files of this machine or send them to the server:
# MySQL's local_infile and read_default_file, PostgreSQL's service and passfile.
_POSTGRESQL = ("application_name", "dbname", "host", "port", "sslcert", "sslkey", "sslmode")
_MYSQL = ("charset", "read_timeout", "ssl_ca", "ssl_cert", "ssl_key", "ssl_verify_cert")
_REDIS = (
    "db",
    "health_check_interval",
    "socket_connect_timeout",
    "socket_keepalive",
    "socket_timeout",
    "ssl_ca_certs",
    "ssl_cert_reqs",
    "ssl_certfile",
    "ssl_check_hostname",
    "ssl_keyfile",
)
OPTIONS: dict[str, tuple[str, ...]] = {
    "sqlite": ("timeout",),
    "postgresql": (*_COMMON, *_POSTGRESQL, "sslrootcert", "user", "password"),
    "mysql": (
        *(*_COMMON, *_MYSQL, "ssl_verify_identity", "unix_socket", "write_timeout"),
        *("user", "password"),
    ),
    "journal+redis": (*_REDIS, "username", "password"),
    "journal+rediss": (*_REDIS, "username", "password"),
}
"""The permitted options in the URL of each database."""
_VISIBLE = {name for options in OPTIONS.values() for name in options} - {"password"}


def database_of(url: str) -> str:
    """Return a key of `OPTIONS`: the lower-case scheme without its driver."""
    scheme = url.partition("://")[0].lower()
    return scheme if scheme.startswith("journal+") else scheme.partition("+")[0]


def is_remote(url: str) -> bool:
    """Whether opening the URL connects to a server."""
    return database_of(url) != "sqlite"


def check_options(url: str) -> None:
    """Check that all options are in `OPTIONS`.

    Raises:
        StorageError: when one is not; it contains the name but not the value.
    """
    known = OPTIONS[database_of(url)]
    for name in _options(url):
        if name not in known:
            raise StorageError(
                f"storage {hide_password(url)!r}: {unknown('option', name, known)} Others are not "
                "passed on, because some let a server read files of this machine."
            )


def hide_password(url: str) -> str:
    """Return the URL with *** in place of all secrets, which can be printed and stored."""
    scheme, separator, rest = url.partition("://")
    # The login ends at the last @, because an unquoted password may contain any character.
    login, at, host = rest.rpartition("@")
    secret = _secret_of_login(url)
    if secret:
        login = f"{login.removesuffix(secret)}{HIDDEN}"
    address, mark, query = host.partition("?")
    shown = re.sub(r"([^=&;]+)=([^&;]*)", _shown_option, query)
    return f"{scheme}{separator}{login}{at}{address}{mark}{shown}"


def secrets_of(url: str) -> set[str]:
    """Return the secrets that `hide_password` hides, both quoted and unquoted."""
    found = {value for name, value in _options(url).items() if name not in _VISIBLE}
    found.add(_secret_of_login(url))
    return {text for secret in found for text in (secret, unquote(secret)) if text}


def absolute_url(url: str, folder: Path) -> str:
    """Return a storage URL that is independent of the working directory.

    SQLAlchemy resolves a relative SQLite path from the working directory, so a study that is
    resumed from another one would find no trials.

    Args:
        url: `sqlite:///study.db` is relative to the study's folder, `sqlite:////data/study.db` is
            absolute, and `~` is the home folder. All other URLs are returned as they are.
        folder: the study's folder.
    Raises:
        StorageError: when the database is in memory, because the study would be lost.
    """
    scheme, separator, rest = url.partition("://")
    if not separator or is_remote(url):
        return url
    name, mark, options = rest.removeprefix("/").partition("?")
    in_memory = ("", ":memory:", "file::memory:")
    if name in in_memory or "mode=memory" in options:
        raise StorageError(
            f"storage must be persistent, got {url!r}, which is in memory. "
            "Use a file, such as sqlite:///study.db, or omit the storage."
        )
    return f"{scheme}:///{folder.absolute() / user_path(name)}{mark}{options}"


def sqlite_file(url: str) -> Path | None:
    """Return the file of a SQLite URL; None for one in memory."""
    name = url.partition("://")[2].partition("?")[0].removeprefix("/")
    return None if name in ("", ":memory:") else Path(name)


def sqlite_reading_uri(path: Path, *, stays_open: bool) -> str:
    """Return a URI with which SQLite opens a file read-only.

    Args:
        path: an existing database.
        stays_open: whether others may write while it is open. SQLite may then create empty `-shm`
            and `-wal` files next to a database in write-ahead mode.
    """
    how = "mode=ro"
    if not stays_open and not path.with_name(path.name + "-wal").exists():
        # No process has it open for writing, so it can be read without locks.
        how += "&immutable=1"
    return f"file:{quote(str(path.absolute()))}?{how}"


def _secret_of_login(url: str) -> str:
    user, colon, password = url.partition("://")[2].rpartition("@")[0].partition(":")
    # A Redis URL may have a token without a user name.
    return user if not colon and url.lower().startswith("journal+redis") else password


def _options(url: str) -> dict[str, str]:
    query = url.partition("://")[2].rpartition("@")[2].partition("?")[2]
    pairs = parse_qsl(query.replace(";", "&"), keep_blank_values=True)
    return dict(pairs)


def _shown_option(match: re.Match[str]) -> str:
    name, value = unquote(match[1]), match[2]
    return f"{match[1]}={value if name in _VISIBLE else HIDDEN}"
