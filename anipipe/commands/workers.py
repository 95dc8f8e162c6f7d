"""Where the jobs of a run are done: in this process, in others of this machine, or in a Dask cluster."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Literal

from anipipe.commands.clusters import open_cluster
from anipipe.commands.resources import (
    MEMORY_PER_WORKER,
    nvidia_driver,
    usable_memory,
    usable_processors,
)
from anipipe.config import Config
from anipipe.engine.dask_executor import DaskExecutor
from anipipe.engine.executors import DEVICE, InProcess, LocalProcesses
from anipipe.engine.lanes import Lane
from anipipe.engine.progress import Patience

ExecutorName = Literal["processes", "dask"]


def automatic_jobs() -> int:
    """Return how many jobs this machine can do at a time: its processors, if there is memory for so many."""
    processors, memory = usable_processors(), usable_memory()
    return processors if memory is None else max(1, min(processors, int(memory[1] // MEMORY_PER_WORKER)))


def patience(config: Config) -> Patience | None:
    """Return when a job is taken to hang, by the ``[jobs]`` of a configuration."""
    seconds = 60 * config.jobs.timeout
    return Patience(seconds, config.jobs.timeout_per_frame) if seconds else None


@contextmanager
def open_lanes(
    config: Config, root: Path, *, executor: ExecutorName, jobs: int, at_most: int, apart: bool
) -> Iterator[list[Lane]]:
    """Have somebody to do jobs, and send them away in the end.

    Parameters
    ----------
    config : Config
        Of the experiment.
    root : Path
    executor : {"processes", "dask"}
    jobs : int
        Jobs at a time; 0: as many as the machine can do.
    at_most : int
        There are no more jobs than these.
    apart : bool
        Not in this process, even if it is one at a time: a job that hangs there cannot be ended.

    Yields
    ------
    list of Lane
        For every job there is one that takes it.

    Raises
    ------
    UsageError
        There is no Dask.
    ClusterError
        Its scheduler does not answer.
    """
    wanted = jobs or automatic_jobs()
    if not at_most:
        yield [Lane(InProcess(), _anything)]
        return
    if executor == "dask":
        opened = _in_cluster(config, root, wanted, at_most)
    else:
        opened = _here(min(wanted, at_most), apart)
    with opened as lanes:
        yield lanes


@contextmanager
def _here(workers: int, apart: bool) -> Iterator[list[Lane]]:
    if workers == 1 and not apart:
        yield [Lane(InProcess(), _anything)]
        return
    gpus = gpu_count()
    names = [f"cuda:{number}" for number in range(gpus)] if gpus > 1 else []
    shared = ("auto", "cuda") if names else ()
    # A process of its own for each device: with networks in it, and started only if there are jobs for it.
    lanes = [Lane(LocalProcesses(1, {DEVICE: name}), (*shared, name).__contains__) for name in names]
    lanes.append(Lane(LocalProcesses(1), lambda device: bool(device) and device not in (*shared, *names)))
    lanes.append(Lane(LocalProcesses(workers), "".__eq__))
    finished = False
    try:
        yield lanes
        finished = True
    finally:
        for lane in lanes:
            lane.executor.close(kill=not finished)


@contextmanager
def _in_cluster(config: Config, root: Path, jobs: int, at_most: int) -> Iterator[list[Lane]]:
    with open_cluster(config.cluster, root, jobs=jobs, at_most=at_most) as cluster:
        expected = config.cluster.gpus if config.cluster.address is None else cluster.workers(gpu=True)
        if not expected:
            yield [Lane(DaskExecutor(cluster, everywhere=True), _anything)]
        elif config.cluster.address is not None and not cluster.workers(gpu=False):
            yield [Lane(DaskExecutor(cluster, gpu=True), _anything)]
        else:
            yield [Lane(DaskExecutor(cluster, gpu=True), bool), Lane(DaskExecutor(cluster), "".__eq__)]


def _anything(device: str) -> bool:
    return True


@cache
def gpu_count() -> int:
    """Return how many GPUs of NVIDIA this process may use, without loading what uses them."""
    allowed = os.environ.get("CUDA_VISIBLE_DEVICES")
    if allowed is not None:
        return len([name for name in allowed.split(",") if name.strip() not in ("", "-1")])
    return len(nvidia_driver()[1])
