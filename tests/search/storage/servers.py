"""Private database servers for tests: PostgreSQL, MariaDB and Redis on free ports.

Each server has its data in a temporary folder and listens on 127.0.0.1 only. PostgreSQL and MariaDB
refuse to run as root, so root starts them as their own users. If a program is missing, the test is
skipped, which is a failure with CI=true.
"""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

USER, DATABASE = "searcher", "studies"
FOLDERS = [str(path) for path in sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)]
FOLDERS += [os.environ.get("PATH", ""), "/usr/sbin", "/usr/bin"]
PATIENCE_S = 60.0


def program(name: str, package: str) -> str:
    """Return the path of a program; skip the test if it is missing."""
    found = shutil.which(name, path=os.pathsep.join(FOLDERS))
    if found is None:
        pytest.skip(f"{name} is missing; install it with: apt-get install {package}")
    return found


class Server(ABC):
    """A server that a test can stop and start, and whose connections it can cut."""

    account: str
    """User of the system that runs the server, if this process is root."""

    def __init__(self) -> None:
        self.password = secrets.token_urlsafe(12)
        self.folder = Path(tempfile.mkdtemp(prefix="autotrain-server-"))
        self.folder.chmod(0o755)
        self.data = self.folder / "data"
        self.data.mkdir(mode=0o700)
        if os.geteuid() == 0:
            shutil.chown(self.data, self.account)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = int(free.getsockname()[1])

    def run(self, *command: object) -> None:
        """Run a program of the server to its end."""
        subprocess.run(
            [*self._as_account(), *map(str, command)],
            check=True,
            cwd=self.data,
            env={**os.environ, "TMPDIR": str(self.data)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def spawn(self, *command: object) -> subprocess.Popen[bytes]:
        """Start a program of the server."""
        return subprocess.Popen(
            [*self._as_account(), *map(str, command)],
            cwd=self.data,
            env={**os.environ, "TMPDIR": str(self.data)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def _as_account(self) -> list[str]:
        if os.geteuid() != 0:
            return []
        return ["setpriv", f"--reuid={self.account}", f"--regid={self.account}", "--clear-groups"]

    def url(
        self, user: str = USER, password: str | None = None, database: str | None = None
    ) -> str:
        """Return the URL of the storage."""
        return self._url(user, self.password if password is None else password, database)

    def wait(self, is_done: Callable[[], object]) -> None:
        """Wait until a call raises no exception."""
        end_s = time.monotonic() + PATIENCE_S
        while True:
            try:
                is_done()
                return
            except Exception:
                if time.monotonic() > end_s:
                    raise
                time.sleep(0.05)

    def remove(self) -> None:
        """Stop the server and delete its data."""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    @abstractmethod
    def _url(self, user: str, password: str, database: str | None) -> str: ...

    @abstractmethod
    def start(self) -> None:
        """Start the server and wait until it answers."""

    @abstractmethod
    def stop(self) -> None:
        """Stop the server, which cuts all connections."""

    @abstractmethod
    def cut(self) -> None:
        """Cut all connections of the searches."""

    @abstractmethod
    def add_reader(self, name: str, password: str) -> None:
        """Add a user who may connect, but may write nothing."""


class PostgreSQL(Server):
    """PostgreSQL with passwords."""

    account = "postgres"

    def __init__(self) -> None:
        self.initdb, self.pg_ctl = (program(name, "postgresql") for name in ("initdb", "pg_ctl"))
        super().__init__()
        secret = self.data / "password"
        secret.write_text(self.password)
        secret.chmod(0o644)
        cluster = self.data / "cluster"
        options = ("-U", "postgres", "-A", "scram-sha-256", f"--pwfile={secret}", "--no-sync")
        self.run(self.initdb, "-D", cluster, *options)
        self.start()
        self.query(f"CREATE ROLE {USER} LOGIN PASSWORD '{self.password}'")
        self.query(f"CREATE DATABASE {DATABASE} OWNER {USER}")

    def query(self, text: str, database: str = "postgres") -> list[Any]:
        """Return the rows of a query of the administrator."""
        import psycopg

        address = f"host=127.0.0.1 port={self.port} user=postgres dbname={database}"
        with psycopg.connect(address, password=self.password, autocommit=True) as connection:
            cursor = connection.execute(text.encode())
            return cursor.fetchall() if cursor.description else []

    def start(self) -> None:
        options = f"-p {self.port} -k {self.data} -c listen_addresses=127.0.0.1"
        command = (self.pg_ctl, "-D", self.data / "cluster", "-w", "-s", "-o", options)
        self.run(*command, "-l", self.data / "log", "start")

    def stop(self) -> None:
        self.run(self.pg_ctl, "-D", self.data / "cluster", "-w", "-s", "-m", "fast", "stop")

    def cut(self) -> None:
        self.query(
            f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{USER}'"
        )

    def add_reader(self, name: str, password: str) -> None:
        self.query(f"CREATE ROLE {name} LOGIN PASSWORD '{password}'")
        self.query("REVOKE CREATE ON SCHEMA public FROM PUBLIC", DATABASE)

    def _url(self, user: str, password: str, database: str | None) -> str:
        return f"postgresql://{user}:{password}@127.0.0.1:{self.port}/{database or DATABASE}"


class MariaDB(Server):
    """MariaDB with passwords."""

    account = "mysql"

    def __init__(self) -> None:
        self.daemon = program("mariadbd", "mariadb-server")
        super().__init__()
        install = program("mariadb-install-db", "mariadb-server")
        self.cluster = self.data / "cluster"
        options = ("--auth-root-authentication-method=normal", "--skip-test-db")
        self.run(install, "--no-defaults", f"--datadir={self.cluster}", *options)
        self.process: subprocess.Popen[bytes] | None = None
        self.start()
        self.query(f"CREATE USER {USER} IDENTIFIED BY '{self.password}'")
        self.query(f"CREATE DATABASE {DATABASE}")
        self.query(f"GRANT ALL ON {DATABASE}.* TO {USER}")

    def query(self, text: str) -> tuple[Any, ...]:
        """Return the rows of a query of the administrator."""
        import pymysql

        # PyMySQL does not close the socket of a connection that fails.
        (self.data / "socket").stat()
        connection = pymysql.connect(unix_socket=str(self.data / "socket"), user="root")
        try:
            with connection.cursor() as cursor:
                cursor.execute(text)
                rows: tuple[Any, ...] = cursor.fetchall()
                return rows
        finally:
            connection.close()

    def start(self) -> None:
        self.process = self.spawn(
            self.daemon,
            "--no-defaults",
            f"--datadir={self.cluster}",
            f"--port={self.port}",
            "--bind-address=127.0.0.1",
            f"--socket={self.data / 'socket'}",
            f"--pid-file={self.data / 'pid'}",
            "--skip-name-resolve",
        )
        self.wait(lambda: self.query("SELECT 1"))

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait(PATIENCE_S)
            self.process = None

    def cut(self) -> None:
        self.query(f"KILL CONNECTION USER {USER}")

    def add_reader(self, name: str, password: str) -> None:
        self.query(f"CREATE USER {name} IDENTIFIED BY '{password}'")
        self.query(f"GRANT SELECT ON {DATABASE}.* TO {name}")

    def _url(self, user: str, password: str, database: str | None) -> str:
        return f"mysql://{user}:{password}@127.0.0.1:{self.port}/{database or DATABASE}"


class Redis(Server):
    """Redis with a password, which writes every change to its disk."""

    account = "redis"

    def __init__(self) -> None:
        self.daemon = program("redis-server", "redis-server")
        super().__init__()
        self.process: subprocess.Popen[bytes] | None = None
        self.start()
        self.query("ACL", "SETUSER", USER, "on", f">{self.password}", "~*", "&*", "+@all")

    def query(self, *command: str) -> Any:
        """Return the answer to a command of the administrator."""
        import redis

        with redis.Redis(port=self.port, password=self.password) as client:
            return client.execute_command(*command)

    def start(self) -> None:
        users = self.data / "users"
        if not users.exists():
            users.write_text(f"user default on >{self.password} ~* &* +@all\n")
            if os.geteuid() == 0:
                shutil.chown(users, self.account)
        self.process = self.spawn(
            *(self.daemon, "--port", self.port, "--bind", "127.0.0.1", "--dir", self.data),
            *("--save", "", "--appendonly", "yes", "--appendfsync", "always"),
            *("--aclfile", users),
        )
        self.wait(lambda: self.query("PING"))

    def stop(self) -> None:
        if self.process is not None:
            self.query("ACL", "SAVE")
            self.process.terminate()
            self.process.wait(PATIENCE_S)
            self.process = None

    def cut(self) -> None:
        self.query("CLIENT", "KILL", "USER", USER)

    def add_reader(self, name: str, password: str) -> None:
        self.query("ACL", "SETUSER", name, "on", f">{password}", "~*", "+@read", "+@connection")

    def _url(self, user: str, password: str, database: str | None) -> str:
        return f"journal+redis://{user}:{password}@127.0.0.1:{self.port}/{database or 0}"


KINDS: dict[str, type[Server]] = {"postgresql": PostgreSQL, "mariadb": MariaDB, "redis": Redis}
