"""The workers of one run: this process, local processes, or actors on a Ray cluster."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

from autotrain.bundle.temporary import remove_leftovers, temporary_folder
from autotrain.data.encoded import EncodedFold, PackedRows
from autotrain.search.workers.inline import InlineWorker
from autotrain.search.workers.processes import ProcessWorker, can_start_processes
from autotrain.search.workers.protocol import Worker
from autotrain.search.workers.ray_workers import Part, RayCluster
from autotrain.training.rows import Problem
from autotrain.training.trainer import Trainer


class WorkerPool(NamedTuple):
    """The workers of a run.

    Args:
        workers: the workers at the start.
        new_workers: returns workers that have become ready since the last call; None if the
            workers of the start are all.
    """

    workers: Sequence[Worker]
    new_workers: Callable[[], Sequence[Worker]] | None = None


@contextlib.contextmanager
def local_pool(
    problem: Problem, folds: Sequence[EncodedFold], devices: Sequence[str]
) -> Iterator[WorkerPool]:
    """Start workers on this machine.

    One worker on the CPU trains in this process, which is reproducible. So does a program that
    cannot start processes.

    Args:
        problem: the learning problem.
        folds: the rows, whose views may be encoded on request.
        devices: the device of each worker.
    """
    if list(devices) == ["cpu"] or not can_start_processes():
        remove_leftovers()
        yield WorkerPool([InlineWorker(partial(Trainer, problem, folds, devices[0]))])
        return
    with temporary_folder() as folder:
        workers = [
            ProcessWorker(device, f"worker {number}") for number, device in enumerate(devices, 1)
        ]
        try:
            rows = PackedRows(folds, folder)
        except BaseException:
            for worker in workers:
                worker.close()
            raise
        yield WorkerPool([worker.give(problem, rows) for worker in workers])


@contextlib.contextmanager
def ray_pool(
    problem: Problem, encode: Callable[[], Sequence[EncodedFold]], address: str, part: Part
) -> Iterator[WorkerPool]:
    """Start workers on a Ray cluster; nodes may join and leave later.

    Args:
        problem: the learning problem.
        encode: makes the rows.
        address: "ray" or "ray://HOST:PORT".
        part: resources of one worker.
    """
    cluster = RayCluster(address, part)
    try:
        cluster.give(problem, encode())
        yield WorkerPool([], cluster.new_workers)
    finally:
        cluster.close()
