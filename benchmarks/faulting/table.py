"""`FAULTS`: all faults, and how often each is tried."""

from __future__ import annotations

import signal
from dataclasses import replace

from benchmarks.faulting.journals import cut
from benchmarks.faulting.kinds import (
    Fault,
    dashboard,
    freeze,
    full_disk,
    full_disk_and_end,
    impatient,
    kill_twice,
    less_memory,
    no_memory,
    nothing,
    send,
    small_disk,
    to_worker,
)
from benchmarks.faulting.ray_nodes import ray_run
from benchmarks.faulting.run import ALONE, TWO
from benchmarks.faulting.servers import cut_connections, jump, stop_server

FAULTS: tuple[Fault, ...] = (
    Fault("kill", "kill -9 of the search", 120, send(signal.SIGKILL), is_exact=True),
    Fault("kill_twice", "kill -9, and again after `resume`", 30, kill_twice, is_exact=True),
    Fault(
        "kill_coordinator",
        "kill -9 of the search alone, not of its 2 workers",
        15,
        send(signal.SIGKILL, to_all=False),
        TWO,
    ),
    Fault("kill_all", "kill -9 of the search and its 2 workers", 15, send(signal.SIGKILL), TWO),
    Fault("kill_worker", "kill -9 of one of 2 workers", 20, to_worker(signal.SIGKILL), TWO),
    Fault("sigterm", "SIGTERM", 25, send(signal.SIGTERM)),
    Fault("sighup", "SIGHUP", 25, send(signal.SIGHUP)),
    Fault("ctrl_c", "Ctrl-C", 30, send(signal.SIGINT)),
    Fault("ctrl_c_twice", "Ctrl-C twice", 30, send(signal.SIGINT, signal.SIGINT, wait_s=0.3)),
    Fault("ctrl_c_workers", "Ctrl-C with 2 workers", 10, send(signal.SIGINT), TWO),
    Fault("stop", "SIGSTOP for up to 2 s", 25, freeze, is_exact=True),
    Fault(
        "stop_worker",
        "SIGSTOP of one of 2 workers, for ever",
        10,
        to_worker(signal.SIGSTOP),
        TWO,
        change=lambda generator: impatient(4.0),
    ),
    Fault(
        "full_disk", "disk full for up to 2.5 s", 25, full_disk, is_exact=True, studies=small_disk
    ),
    Fault(
        "full_disk_kill",
        "disk full, then kill -9",
        20,
        full_disk_and_end(signal.SIGKILL),
        is_exact=True,
        studies=small_disk,
    ),
    Fault(
        "full_disk_ctrl_c",
        "disk full, then Ctrl-C",
        10,
        full_disk_and_end(signal.SIGINT),
        studies=small_disk,
    ),
    Fault("dashboard", "dashboard open and used during the search", 10, dashboard, is_exact=True),
    Fault(
        "nan",
        "NaN: learning rates up to 1e9",
        10,
        nothing,
        replace(ALONE, learning_rates=(1e-3, 1e9), n_finalists=0),
    ),
    Fault("memory_error", "out of memory in one step", 15, nothing, change=no_memory),
    Fault(
        "postgresql_stop",
        "PostgreSQL stopped and started",
        12,
        stop_server,
        is_exact=True,
        server="postgresql",
    ),
    Fault(
        "postgresql_cut",
        "connections to PostgreSQL cut",
        12,
        cut_connections,
        is_exact=True,
        server="postgresql",
    ),
    Fault(
        "postgresql_kill",
        "kill -9 of the search, trials in PostgreSQL",
        10,
        send(signal.SIGKILL),
        is_exact=True,
        server="postgresql",
    ),
    Fault(
        "redis_stop", "Redis stopped and started", 12, stop_server, is_exact=True, server="redis"
    ),
    Fault(
        "redis_cut", "connections to Redis cut", 12, cut_connections, is_exact=True, server="redis"
    ),
    Fault(
        "redis_kill",
        "kill -9 of the search, trials in Redis",
        10,
        send(signal.SIGKILL),
        is_exact=True,
        server="redis",
    ),
    Fault("clock", "clock set by up to 3 days", 15, jump, is_exact=True, needs_clock=True),
    Fault("ray", "kill of a node of a Ray cluster", 4, nothing, special=ray_run),
    Fault("journal_cut", "journal cut by 1, 2, … 200 bytes", 400, nothing, special=cut),
    Fault("memory_limit", "no more memory for one of 2 workers", 10, less_memory, TWO),
)
