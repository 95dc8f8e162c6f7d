"""How work is run: time-outs, clusters, nights. Nothing here changes what comes out."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Strict

from anipipe.config.values import Kind, Section, key

Lines = Annotated[tuple[str, ...], Strict(False), Kind("a list of texts")]


def _check_memory(value: str) -> str:
    if not re.fullmatch(r"[0-9]+(\.[0-9]+)? ?[kMGT]i?B", value) or not float(re.split("[ kMGT]", value)[0]):
        raise ValueError('must be a number and a unit, such as "8GB" or "500MB"')
    return value


Memory = Annotated[str, AfterValidator(_check_memory)]


class JobsSettings(Section):
    """``[jobs]``: when a job is given up that shows no sign of life."""

    timeout: float = key(
        30.0,
        "A job that does not get on for so long is ended and has failed (a decoder that hangs); 0: never",
        unit="min",
        ge=0,
    )
    timeout_per_frame: float = key(
        0.1, "Longer by this for each frame, where a job does all frames in one go", unit="s", ge=0
    )


class ClusterSettings(Section):
    """``[cluster]``: where ``--executor dask`` runs."""

    kind: Literal["local", "slurm"] = key(
        "local", "Where there is no address: workers on this machine, or jobs of SLURM"
    )
    address: str | None = key(
        None,
        "A Dask scheduler that runs: tcp://host:8786, or its scheduler file, relative to the experiment",
        example="tcp://gpubox:8786",
    )
    workers: int = key(0, "Workers that are started, each for one job at a time; 0: as --jobs says", ge=0)
    gpus: int = key(0, "Of these, workers with a GPU; only they run networks, if there are any", ge=0)
    memory: Memory = key("8GB", "Memory of one worker; one that takes more is ended")
    queue: str | None = key(None, "SLURM: partition", example="normal")
    gpu_queue: str | None = key(None, "SLURM: partition of the workers with a GPU", example="gpu")
    account: str | None = key(None, "SLURM: account that is charged", example="mylab")
    walltime: str = key("08:00:00", "SLURM: how long one worker may run")
    directives: Lines = key((), 'SLURM: further options of sbatch, such as "--constraint=haswell"')
    prologue: Lines = key((), 'SLURM: lines of shell before a worker starts, such as "module load python"')


class NightlySettings(Section):
    """``[nightly]``: this experiment in ``anipipe nightly``."""

    enabled: bool = key(True, "Process this experiment at night; false: leave it out")
    stages: Literal["all", "data"] = key(
        "all", 'What is brought up to date: as run-all does, or "data", as run-data does (no pictures)'
    )
    keep: int = key(90, "So many nights' reports are kept (as the first experiment says)", ge=1)
