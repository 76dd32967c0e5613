"""Faults of database servers, of the connections to them, and of the clock."""

from __future__ import annotations

import atexit
import functools
import os
import random
import time
from pathlib import Path

from benchmarks.faulting.launch import CLOCK
from benchmarks.faulting.run import Run, Whole
from tests.search.storage.servers import KINDS, Server

LIBRARIES = ("/usr/lib/*/faketime/libfaketime.so.1", "/usr/lib/faketime/libfaketime.so.1")
MOST_JUMP_S = 3 * 24 * 3600


@functools.cache
def server_of(kind: str) -> Server:
    """Return the server of a kind, which is stopped at the end of the benchmark."""
    server = KINDS[kind]()
    atexit.register(server.remove)
    return server


def stop_server(run: Run, whole: Whole, generator: random.Random) -> int:
    """Stop the server of a search for up to two seconds, which also cuts all connections."""
    if not run.wait(whole):
        return 0
    server = _server(run)
    server.stop()
    is_alive = run.command.sleep(generator.uniform(0.0, 2.0))
    server.start()
    run.over()
    return int(is_alive)


def cut_connections(run: Run, whole: Whole, generator: random.Random) -> int:
    """Cut all connections of a search."""
    if not run.wait(whole):
        return 0
    _server(run).cut()
    run.over()
    return 1


def _server(run: Run) -> Server:
    assert run.url is not None
    return next(s for s in map(server_of, ("postgresql", "redis")) if s.url() == run.url)


def clock_environment(folder: Path) -> dict[str, str]:
    """Return the environment in which the clock of the machine can be set for a process.

    Raises:
        RuntimeError: when libfaketime is missing.
    """
    found = [path for pattern in LIBRARIES for path in Path("/").glob(pattern[1:])]
    if not found:
        raise RuntimeError("libfaketime is missing. Install it: apt-get install faketime")
    file = folder / "clock"
    file.write_text("+0s\n")
    return {
        "LD_PRELOAD": str(found[0]),
        CLOCK: str(file),
        "FAKETIME_NO_CACHE": "1",
        # Steps of the wall clock do not change the time since the start of the machine.
        "DONT_FAKE_MONOTONIC": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }


def jump(run: Run, whole: Whole, generator: random.Random) -> int:
    """Set the clock forwards or backwards by up to three days, and perhaps back again."""
    file = Path(os.environ[CLOCK])
    if not run.wait(whole):
        return 0
    before_s = time.time()
    seconds = generator.choice((-1, 1)) * int(generator.uniform(10, MOST_JUMP_S))
    file.write_text(f"{seconds:+d}s\n")
    if abs(time.time() - before_s - seconds) > 5:
        raise RuntimeError("the clock was not set")
    run.over()
    if generator.random() < 0.5:
        run.command.sleep(generator.uniform(0.1, 0.5))
        file.write_text("+0s\n")
    run.command.wait()
    file.write_text("+0s\n")
    return 1
