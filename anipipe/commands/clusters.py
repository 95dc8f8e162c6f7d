"""Dask clusters as ``[cluster]`` describes them: one that runs, workers on this machine, or jobs of SLURM."""

from __future__ import annotations

import contextlib
import copy
import json
import logging
import shutil
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from anipipe import __version__
from anipipe.config.running import ClusterSettings
from anipipe.engine.dask_executor import GPU, Cluster, ClusterError
from anipipe.engine.executors import DEVICE, THREADS
from anipipe.engine.records import OWN_FOLDER
from anipipe.errors import Notice, UsageError

if TYPE_CHECKING:
    from distributed import Client

_SOON = 4.0  # seconds in which it mostly does
_ANSWERS_WITHIN = 60.0  # seconds in which a scheduler answers, and has workers
#: Logs of Dask's that have levels of their own.
_LOUD = tuple(f"distributed{part}" for part in ("", ".client", ".core", ".nanny", ".utils", ".worker.memory"))
_ANY_PORT = "127.0.0.1:0"  # of the page on which Dask shows itself: there may be other clusters
#: Where SLURM's jobs write what they print, in the experiment.
_LOGS = f"{OWN_FOLDER}/cluster"
_KEPT = 30 * 86400.0  # seconds that they are kept
Refill = Callable[[], None]
#: A worker's death is the job's own; what is lost with it is begun anew by the run, which counts.
#: Workers hold no results that could be put aside: one that has used much memory goes on, until it is ended,
#: rather than pause, perhaps for good.
_SETTINGS = {
    "distributed.scheduler.allowed-failures": 0,
    **{f"distributed.worker.memory.{what}": False for what in ("target", "spill", "pause")},
}
#: The same for workers that are started elsewhere.
_ENVIRONMENT = {
    **THREADS,
    **{f"DASK_DISTRIBUTED__WORKER__MEMORY__{what}": "False" for what in ("TARGET", "SPILL", "PAUSE")},
}


@contextmanager
def open_cluster(settings: ClusterSettings, root: Path, *, jobs: int, at_most: int) -> Iterator[Cluster]:
    """Connect to a cluster, or start one and end it afterwards.

    Parameters
    ----------
    settings : ClusterSettings
    root : Path
        Of the experiment.
    jobs : int
        How many workers to start, where the settings leave that open.
    at_most : int
        There is work for no more than these.

    Raises
    ------
    UsageError
        Dask is not installed, or what the settings name is not there.
    ClusterError
        The scheduler does not answer, or has no workers.
    """
    try:
        import dask
        import distributed  # noqa: F401 - is it there?
    except ImportError as error:
        raise UsageError('--executor dask needs Dask: pip install "anipipe[dask]"') from error
    for name in _LOUD:  # workers and schedulers that die are told of by the run
        logging.getLogger(name).setLevel(logging.CRITICAL)
    with dask.config.set(_SETTINGS):
        if settings.address:
            with _there(settings.address, root) as cluster:
                yield cluster
            return
        count = max(settings.workers or jobs, settings.gpus)
        start = _slurm if settings.kind == "slurm" else _local
        started, refill = start(settings, root, min(count, max(at_most, settings.gpus)))
        try:
            where = started.scheduler_address
            with _closing(Cluster(started.get_client, where, refill=refill)) as cluster:
                if settings.kind == "local":
                    _await_workers(cluster)
                yield cluster
        finally:
            started.close(timeout=20)


@contextmanager
def _there(address: str, root: Path) -> Iterator[Cluster]:
    from distributed import Client

    file = None if "://" in address else root / Path(address).expanduser()
    if file is not None and not file.is_file():
        raise UsageError(
            f"cluster.address = {address!r}: neither tcp://host:port, nor a scheduler file "
            f"(there is no {file})"
        )

    def connect() -> Client:
        # Read here, since a client waits without end for a file that is not there.
        where = address if file is None else json.loads(file.read_text(encoding="utf-8"))["address"]
        try:
            return Client(where, timeout=min(_SOON, _ANSWERS_WITHIN), set_as_default=False)
        except OSError:
            text = f"waiting up to {_ANSWERS_WITHIN:g} s for the Dask scheduler at {where} (cluster.address)"
            warnings.warn(text, Notice, stacklevel=2)
        return Client(where, timeout=_ANSWERS_WITHIN, set_as_default=False)

    with _closing(Cluster(connect, address)) as cluster:
        _await_workers(cluster)
        _make_sure_of_versions(cluster)
        yield cluster


def _make_sure_of_versions(cluster: Cluster) -> None:
    """Refuse a cluster that cannot do our jobs: Dask itself says nothing, or nothing that helps.

    Raises
    ------
    ClusterError
        The scheduler or a worker has no anipipe, or another version.
    """
    from pydoc import locate  # slow to load, and seldom needed

    asked = "anipipe.__version__"  # looked up by a function that all have; None where there is none
    try:
        found = {"the scheduler": cluster.client.run_on_scheduler(locate, asked)}
        found |= cluster.client.run(locate, asked, on_error="return")
    except Exception as error:  # Dask's own are of many kinds, and there are those of the other side
        what = f"{type(error).__name__}: {error}"
        raise ClusterError(
            f"the Dask scheduler at {cluster.where} does not answer when it is asked for its anipipe ({what})"
        ) from error
    wrong = {who: version for who, version in found.items() if version != __version__}
    if wrong:
        who, version = next(iter(wrong.items()))
        more = f" and {len(wrong) - 1} more" if len(wrong) > 1 else ""
        what = f"anipipe {version}" if isinstance(version, str) else "no anipipe that can be loaded"
        raise ClusterError(
            f"the Dask cluster at {cluster.where}: {who}{more} has {what}; install anipipe {__version__} "
            "there, as here"
        )


@contextmanager
def _closing(cluster: Cluster) -> Iterator[Cluster]:
    finished = False
    try:
        yield cluster
        finished = True
    finally:
        cluster.close(kill=not finished)


def _await_workers(cluster: Cluster) -> None:
    try:
        cluster.client.wait_for_workers(1, timeout=_ANSWERS_WITHIN)
    except TimeoutError as error:
        raise ClusterError(
            f"the Dask scheduler at {cluster.where} has no workers; start some: "
            f"dask worker {cluster.where} --nthreads 1 --nworkers 4"
        ) from error


def _local(settings: ClusterSettings, root: Path, count: int) -> tuple[Any, Refill]:
    from distributed import LocalCluster, Nanny

    cluster = LocalCluster(
        n_workers=0,
        threads_per_worker=1,
        memory_limit=settings.memory,
        env=THREADS,
        dashboard_address=_ANY_PORT,
        silence_logs=logging.CRITICAL,
    )
    options = {**cluster.new_spec["options"], "resources": {GPU: 1}}
    for number in range(settings.gpus):
        env = {**THREADS, DEVICE: f"cuda:{number}" if settings.gpus > 1 else "auto"}
        cluster.worker_spec[f"gpu-{number}"] = {"cls": Nanny, "options": {**options, "env": env}}
    cluster.scale(count)
    return cluster, partial(cluster.scale, count)


def _slurm(settings: ClusterSettings, root: Path, count: int) -> tuple[Any, Refill]:
    if shutil.which("sbatch") is None:
        raise UsageError('cluster.kind = "slurm": there is no sbatch here; run this on a login node')
    try:
        from dask_jobqueue.slurm import SLURMCluster
    except ImportError as error:
        raise UsageError('cluster.kind = "slurm" needs dask-jobqueue: pip install "anipipe[dask]"') from error
    logs = root / _LOGS
    logs.mkdir(parents=True, exist_ok=True)
    _forget_old(logs)
    cluster = SLURMCluster(
        cores=1,
        processes=1,
        memory=settings.memory,
        queue=settings.queue,
        account=settings.account,
        walltime=settings.walltime,
        job_extra_directives=list(settings.directives),
        job_script_prologue=[*settings.prologue, *(f"export {k}={v}" for k, v in _ENVIRONMENT.items())],
        log_directory=str(logs),
        python=sys.executable,
        scheduler_options={"dashboard_address": _ANY_PORT},
        n_workers=0,
    )
    plain, gpu = cluster.new_spec, _with_gpu(cluster.new_spec, settings)
    try:
        for spec in ([gpu] if settings.gpus else []) + ([plain] if count > settings.gpus else []):
            _try_out(spec)
    except ClusterError:
        cluster.close(timeout=20)
        raise
    for number in range(settings.gpus):
        cluster.worker_spec[f"gpu-{number}"] = gpu
    cluster.scale(count)
    text = "workers are jobs of SLURM, and start when it has room for them (squeue --me)"
    warnings.warn(text, Notice, stacklevel=2)
    return cluster, partial(cluster.scale, count)


def _forget_old(logs: Path) -> None:
    """Remove what workers of long ago have printed: a night leaves a file for each."""
    for path in logs.iterdir():
        with contextlib.suppress(OSError):
            if path.is_file() and not path.is_symlink() and time.time() - path.stat().st_mtime > _KEPT:
                path.unlink()


def _try_out(spec: dict[str, Any]) -> None:
    """Ask SLURM whether it would take a worker: what it says of one that it refuses, Dask keeps to itself.

    Raises
    ------
    ClusterError
        It would not.
    """
    job = spec["cls"]("tcp://scheduler:8786", name="worker", **spec["options"])
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "worker.sh"
        script.write_text(job.job_script(), encoding="utf-8")
        asked = subprocess.run(
            ["sbatch", "--test-only", str(script)], capture_output=True, text=True, stdin=subprocess.DEVNULL
        )
    if asked.returncode:
        said = (asked.stderr or asked.stdout).strip()
        raise ClusterError(f"SLURM takes no worker as [cluster] describes it; sbatch says: {said}")


def _with_gpu(spec: dict[str, Any], settings: ClusterSettings) -> dict[str, Any]:
    """Return the description of a SLURM job whose worker has a GPU."""
    spec = copy.deepcopy(spec)
    options = spec["options"]
    options["worker_extra_args"] = ["--resources", f"{GPU}=1"]
    options["job_extra_directives"] = [*options["job_extra_directives"], "--gres=gpu:1"]
    if settings.gpu_queue:
        options["queue"] = settings.gpu_queue
    return spec
