"""Workers on a Ray cluster: one actor per worker, wherever the cluster has free cores.

`RayCluster` connects to a cluster, puts the rows into its object store (each node fetches them
once), and starts an actor for every part of a node that is large enough. Nodes may join and leave
while a search runs: `RayCluster.new_workers` returns actors that have become ready, and a worker
whose actor died reports `Crashed`, as a local process does. An actor trains in a thread of its own,
so that it never waits for this process.
"""

from __future__ import annotations

import contextlib
import heapq
import importlib
import importlib.metadata
import os
import platform
import queue
import socket
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from multiprocessing import Pipe
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import torch

from autotrain.data.encoded import EncodedFold
from autotrain.errors import StudyError
from autotrain.search.attributes import Cause
from autotrain.search.workers.processes import WORKER_ENVIRONMENT
from autotrain.search.workers.protocol import (
    SIGN_EVERY_S,
    Alive,
    Command,
    Crashed,
    Message,
)
from autotrain.search.workers.training import Training
from autotrain.training.rows import Problem
from autotrain.training.slot import EpochReport
from autotrain.training.trainer import Trainer
from autotrain.validation import RAY

LOOK_EVERY_S = 1.0
"""Seconds between two looks at the resources of the cluster."""
COLLECT_S = 0.05
"""Seconds for which a worker collects reports before it sends them."""
VERSIONED = ("autotrain", "torch", "numpy")
"""Packages that must have the same version on all nodes, because results depend on them."""


class Part(NamedTuple):
    """The resources of a node that one worker uses.

    Args:
        cpus: CPUs; fractions are allowed.
        gpus: GPUs; fractions are allowed. With 0 the worker trains on the CPU.
    """

    cpus: float = 1.0
    gpus: float = 0.0


def versions() -> dict[str, str]:
    """Return the versions that must be equal on all nodes."""
    found = {"python": ".".join(platform.python_version_tuple()[:2])}
    for name in VERSIONED:
        # A checkout that is not installed has no version.
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name).partition("+")[0]
    return found


def check_versions(here: dict[str, str], there: dict[str, str], node: str) -> None:
    """Check that a node has the same versions as this process.

    Raises:
        StudyError: when it has not.
    """
    differing = [
        f"{name} {there.get(name, 'missing')} (here {version})"
        for name, version in here.items()
        if there.get(name) != version
    ]
    if differing:
        raise StudyError(
            f"all nodes of the Ray cluster must have the same versions, got {', '.join(differing)} "
            f"on node {node}. Install the same versions on all nodes.",
            parameter="workers",
        )


class TrainingActor:
    """The part of a worker that runs on a node of the cluster.

    Ray calls its methods in several threads: `send` and `receive` while a thread of the actor
    trains.

    Args:
        problem: the learning problem.
        folds: the rows, which Ray maps from the object store of the node, read-only.
        uses_gpu: whether to train on the GPU that Ray assigned.
    """

    def __init__(self, problem: Problem, folds: Sequence[EncodedFold], uses_gpu: bool) -> None:
        torch.set_num_threads(1)
        self._commands: queue.SimpleQueue[Command] = queue.SimpleQueue()
        self._messages: queue.SimpleQueue[list[Message]] = queue.SimpleQueue()
        self._early: list[tuple[int, Command]] = []
        self._lock = threading.Lock()
        self._n_taken = 0
        make_trainer = partial(Trainer, problem, folds, "cuda:0" if uses_gpu else "cpu")
        threading.Thread(target=self._train, args=(make_trainer,), daemon=True).start()

    def about(self) -> tuple[dict[str, str], str]:
        """Return the versions on the node, and its name."""
        return versions(), platform.node()

    def send(self, number: int, command: Command) -> None:
        """Take a command; `number` counts the commands, because Ray may swap two calls."""
        with self._lock:
            heapq.heappush(self._early, (number, command))
            while self._early and self._early[0][0] == self._n_taken:
                self._n_taken += 1
                self._commands.put(heapq.heappop(self._early)[1])

    def receive(self) -> list[Message]:
        """Wait for messages and return all that have arrived; after a while, none.

        Reports of epochs are collected for `COLLECT_S`, because each call costs the search loop
        about a millisecond. The end of a slot is returned at once.
        """
        messages: list[Message] = []
        until_s = time.monotonic() + SIGN_EVERY_S
        while (left_s := until_s - time.monotonic()) > 0:
            try:
                arrived = self._messages.get(timeout=left_s)
            except queue.Empty:
                break
            if not messages:
                until_s = time.monotonic() + COLLECT_S
            messages += arrived
            if not all(isinstance(message, EpochReport) for message in arrived):
                break
        return messages

    def _train(self, make_trainer: Callable[[], Trainer]) -> None:
        training = Training(make_trainer)
        while True:
            self._obey(training, waits=True)
            self._messages.put(training.step(partial(self._obey, training)))

    def _obey(self, training: Training, *, waits: bool = False) -> None:
        """Pass on the commands that have arrived; with `waits`, until there is something to train.

        `Close` has no effect: the actor is killed instead.
        """
        # An idle worker sleeps in get; a busy one looks every few steps.
        while (waits and training.is_idle) or not self._commands.empty():
            training.obey(self._commands.get())


class RayWorker:
    """The local end of an actor.

    Args:
        actor: handle of a `TrainingActor`.
        name: name for messages.
        kill: ends an actor.
    """

    def __init__(self, actor: Any, name: str, kill: Callable[[Any], None]) -> None:
        self.actor = actor
        self.name = name
        self._kill = kill
        # The search loop waits for the pipe; the messages themselves are in the queue.
        self.pipe, self._signal = Pipe(duplex=False)
        self._inbox: queue.SimpleQueue[list[Message] | Exception] = queue.SimpleQueue()
        self._n_sent = 0
        self.has_left = False
        self._ask()

    def _ask(self) -> None:
        """Ask for the next messages; they arrive in a thread of Ray."""
        self.actor.receive.remote().future().add_done_callback(self._arrived)

    def _arrived(self, future: Any) -> None:
        error = future.exception()
        self._inbox.put(future.result() if error is None else error)
        with contextlib.suppress(OSError):
            self._signal.send_bytes(b"1")

    def send(self, command: Command) -> None:
        """Send a command; the end of an actor is noticed by `receive`."""
        if not self.has_left:
            self.actor.send.remote(self._n_sent, command)
            self._n_sent += 1

    def receive(self) -> list[Message]:
        """Return all messages that have arrived, without waiting."""
        messages: list[Message] = []
        while not self.has_left and self.pipe.poll():
            self.pipe.recv_bytes()
            arrived = self._inbox.get()
            if isinstance(arrived, Exception):
                self.has_left = True
                text = f"{self.name} ended unexpectedly ({type(arrived).__name__}: {arrived})"
                messages.append(Crashed((), Cause.WORKER_DIED, text, is_alive=False))
            else:
                messages += arrived or [Alive()]
                self._ask()
        return messages

    def close(self) -> None:
        """End the actor."""
        if not self.pipe.closed:
            self.has_left = True
            self._kill(self.actor)
            self._signal.close()
            self.pipe.close()

    def renew(self) -> None:
        """Return None: `RayCluster` starts another actor when a node has free resources."""


class RayCluster:
    """A connection to a Ray cluster, and the actors of one run.

    Args:
        address: "ray" for a cluster on this machine or at RAY_ADDRESS; "ray://HOST:PORT".
        part: resources of one worker.
    Raises:
        StudyError: when Ray is not installed, or no cluster is reachable.
    """

    def __init__(self, address: str, part: Part) -> None:
        _prepare_environment(address)
        try:
            ray: Any = importlib.import_module("ray")
        except ImportError as error:
            raise StudyError(
                f"workers={address!r} needs the package ray, which is not installed. "
                "Run: pip install 'autotrain[ray]'",
                parameter="workers",
            ) from error
        self.ray = ray
        self.part = part
        self.is_ours = not ray.is_initialized()
        if self.is_ours:
            try:
                _check_reachable(address)
                ray.init(**_connection(address), logging_level="ERROR", log_to_driver=False)
            except (ConnectionError, RuntimeError, OSError, ValueError) as error:
                reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
                raise StudyError(
                    f"workers must be the address of a running Ray cluster, got {address!r} "
                    f"({reason}). Start one with `ray start --head`, or use workers='ray'.",
                    parameter="workers",
                ) from error
        self._starting: list[tuple[Any, Any]] = []
        self._running: list[RayWorker] = []
        self._n_started = 0
        self._looked_s = -LOOK_EVERY_S
        self._rows: tuple[Any, Any] | None = None

    def give(self, problem: Problem, folds: Sequence[EncodedFold]) -> None:
        """Put the rows into the object store, before any worker starts."""
        self._rows = self.ray.put(problem), self.ray.put(tuple(folds))

    def new_workers(self) -> list[RayWorker]:
        """Return the workers that have become ready, and start others on free resources.

        Raises:
            StudyError: when a node has other versions, or cannot import autotrain.
        """
        if time.monotonic() - self._looked_s >= LOOK_EVERY_S:
            self._looked_s = time.monotonic()
            self._running = [worker for worker in self._running if not worker.has_left]
            n_wanted = self.n_places() - len(self._running) - len(self._starting)
            for _ in range(n_wanted):
                self._start()
        ready = []
        for actor, about in list(self._starting):
            if self.ray.wait([about], timeout=0)[0]:
                self._starting.remove((actor, about))
                worker = self._ready(actor, about)
                ready += [] if worker is None else [worker]
        self._running += ready
        return ready

    def n_places(self) -> int:
        """Return the number of workers for which the nodes are large enough."""
        cpus, gpus = self.part
        n_places = 0
        for node in self.ray.nodes():
            if node["Alive"]:
                has = node["Resources"]
                of_node = [int(has.get("CPU", 0.0) / cpus + 1e-9)] if cpus else []
                of_node += [int(has.get("GPU", 0.0) / gpus + 1e-9)] if gpus else []
                n_places += min(of_node, default=0)
        return n_places

    def close(self) -> None:
        """End all actors, and the connection if this object made it."""
        for actor, _ in self._starting:
            self._kill(actor)
        for worker in self._running:
            worker.close()
        self._starting, self._running, self._rows = [], [], None
        if self.is_ours:
            self.ray.shutdown()

    def _start(self) -> None:
        assert self._rows is not None
        actor_class = self.ray.remote(
            num_cpus=self.part.cpus,
            num_gpus=self.part.gpus,
            max_restarts=0,
            # `receive` waits in one thread while `send` and `about` use others.
            max_concurrency=4,
            runtime_env={"env_vars": WORKER_ENVIRONMENT},
        )(TrainingActor)
        actor = actor_class.remote(*self._rows, self.part.gpus > 0)
        self._starting.append((actor, actor.about.remote()))

    def _ready(self, actor: Any, about: Any) -> RayWorker | None:
        """Return the worker of an actor that has started; None when its node died meanwhile."""
        try:
            found, node = self.ray.get(about)
        except self.ray.exceptions.RayError as error:
            if "ModuleNotFoundError" in str(error):
                raise StudyError(
                    "autotrain must be installed on all nodes of the Ray cluster, got a node "
                    "without it. Install the same version on all nodes.",
                    parameter="workers",
                ) from error
            return None
        check_versions(versions(), found, node)
        self._n_started += 1
        return RayWorker(actor, f"Ray worker {self._n_started} on {node}", self._kill)

    def _kill(self, actor: Any) -> None:
        with contextlib.suppress(Exception):
            self.ray.kill(actor)


def _check_reachable(address: str) -> None:
    """Check that a Ray Client address accepts connections; Ray itself would try for 30 s.

    Raises:
        OSError, ValueError: when it does not.
    """
    if address != RAY:
        parts = urlsplit(address)
        with socket.create_connection((parts.hostname or "", parts.port or 10001), timeout=5.0):
            pass


def _connection(address: str) -> dict[str, Any]:
    """Return the arguments of `ray.init` for an address."""
    if address != RAY:
        return {"address": address}
    if os.environ.get("RAY_ADDRESS"):
        return {}
    return {"address": "local", "include_dashboard": False}


def _prepare_environment(address: str) -> None:
    """Set variables that Ray reads when it is imported, unless the user has set them."""
    # Ray would send statistics about its use to its makers.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # A cluster that was started where a token exists accepts no client without it.
    is_elsewhere = address != RAY or os.environ.get("RAY_ADDRESS")
    if is_elsewhere and (Path.home() / ".ray" / "auth_token").is_file():
        os.environ.setdefault("RAY_AUTH_MODE", "token")
