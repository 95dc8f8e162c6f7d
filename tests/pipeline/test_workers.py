"""Where jobs run: how many at a time, on which devices, in which cluster."""

from __future__ import annotations

import contextlib
import os
import stat
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from anipipe import __version__
from anipipe.commands import clusters, workers
from anipipe.commands.workers import automatic_jobs, gpu_count, open_lanes
from anipipe.config import Config
from anipipe.engine.dask_executor import ClusterError
from anipipe.engine.executors import InProcess, LocalProcesses
from anipipe.networks.devices import choose
from tests.conftest import Lab, make_lab

PROJECT = Path(__file__).parents[2]


def takers(
    config: Config, jobs: int, devices: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, gpus: int
) -> list:
    monkeypatch.setattr(workers, "gpu_count", lambda: gpus)
    more = {"executor": "processes", "jobs": jobs, "at_most": 9, "apart": False}
    with open_lanes(config, Path(), **more) as lanes:
        return [[index for index, lane in enumerate(lanes) if lane.takes(device)] for device in devices]


def test_every_job_has_a_lane_and_devices_have_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    devices = ("", "auto", "cuda", "cuda:0", "cuda:1", "cpu", "mps")
    assert takers(Config(), 1, devices, monkeypatch, 2) == [[0]] * 7, "one at a time: all in this process"
    assert takers(Config(), 4, devices, monkeypatch, 1) == [[1], *[[0]] * 6]
    assert takers(Config(), 4, devices, monkeypatch, 2) == [[3], [0, 1], [0, 1], [0], [1], [2], [2]]


def test_unattended_not_even_one_job_runs_in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    for apart, kind in ((False, InProcess), (True, LocalProcesses)):
        with open_lanes(Config(), Path(), executor="processes", jobs=1, at_most=9, apart=apart) as lanes:
            assert {type(lane.executor) for lane in lanes} == {kind}


def test_the_gpus_that_a_process_may_use_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = tmp_path / "nvidia-smi"
    fake.write_text("#!/bin/sh\necho '550.54, NVIDIA A100'\necho '550.54, NVIDIA A100'\n")
    fake.chmod(fake.stat().st_mode | stat.S_IEXEC)
    for path, visible, expected in (
        (f"{tmp_path}:{os.environ['PATH']}", None, 2),
        (f"{tmp_path}:{os.environ['PATH']}", "1", 1),
        (f"{tmp_path}:{os.environ['PATH']}", "", 0),
        ("/nowhere", None, 0),
    ):
        monkeypatch.setenv("PATH", path)
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        if visible is not None:
            monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
        gpu_count.cache_clear()
        assert gpu_count() == expected
    gpu_count.cache_clear()


def test_auto_means_the_device_of_the_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANIPIPE_DEVICE", "meta-device")
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert str(choose("auto").device) == "cpu", "a GPU that PyTorch cannot use is of no use"
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    with pytest.raises(Exception, match="meta-device"):
        choose("auto")
    assert str(choose("cpu").device) == "cpu", "what is named is not overruled"


def test_jobs_at_a_time_follow_processors_and_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "usable_processors", lambda: 16)
    for gigabytes, expected in ((64, 16), (6, 4), (0.1, 1)):
        monkeypatch.setattr(workers, "usable_memory", lambda free=gigabytes: (128 * 2**30, free * 2**30))
        assert automatic_jobs() == expected


def test_jobs_are_a_number_or_auto(lab: Lab) -> None:
    assert "a number of jobs, or auto" in lab.run("run-all", "-jmany", check=2)
    assert "a number of jobs, or auto" in lab.run("run-all", "-j0", check=2)
    assert "46 jobs done" in lab.run("run-all", "-jauto")


SBATCH = """\
#!/bin/sh
# Runs the script here instead of queueing it, as SLURM would on a node.
if [ "$1" = --test-only ]; then exit 0; fi
cp "$1" "{folder}/script-$$.sh"
setsid sh "{folder}/script-$$.sh" >> "{folder}/worker.log" 2>&1 &
echo $! >> "{folder}/pids"
echo "Submitted batch job $!"
"""


def on_path(folder: Path, name: str, text: str) -> None:
    path = folder / name
    path.write_text(text)
    path.chmod(0o755)


@pytest.mark.skipif(sys.platform == "win32", reason="SLURM runs on Linux")
def test_jobs_of_slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Against a SLURM that starts each job at once on this machine."""
    pytest.importorskip("dask_jobqueue")
    slurm = tmp_path / "slurm"
    slurm.mkdir()
    on_path(slurm, "sbatch", SBATCH.format(folder=slurm))
    on_path(slurm, "scancel", '#!/bin/sh\nkill -- "-$1"\n')
    lab = make_lab(tmp_path / "experiment")
    config = lab.root / "config.toml"
    config.write_text(
        config.read_text()
        + textwrap.dedent("""
        [cluster]
        kind = "slurm"
        workers = 2
        gpus = 1
        memory = "2GB"
        queue = "short"
        gpu_queue = "gpu"
        account = "mylab"
        walltime = "00:30:00"
        directives = ["--constraint=fast"]
        prologue = ["export FROM_PROLOGUE=yes"]
        """)
    )
    environment = {**os.environ, "PATH": f"{slurm}:{os.environ['PATH']}", "PYTHONPATH": str(PROJECT)}
    command = [sys.executable, "-m", "anipipe.cli", "run-all", "--executor", "dask", str(lab.root)]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=200)
    assert ended.returncode == 0, ended.stderr
    assert "46 jobs done" in ended.stdout
    scripts = {path: path.read_text() for path in slurm.glob("script-*.sh")}
    assert len(scripts) == 2
    for line in ("-A mylab", "-t 00:30:00", "--constraint=fast", "export FROM_PROLOGUE=yes", "--nthreads 1"):
        assert all(line in text for text in scripts.values()), line
    (gpu,) = (text for text in scripts.values() if "GPU=1" in text)
    assert "-p gpu" in gpu and "--gres=gpu:1" in gpu
    (plain,) = (text for text in scripts.values() if "GPU=1" not in text)
    assert "-p short" in plain and "--gres" not in plain
    assert "export OMP_NUM_THREADS=1" in plain
    end = time.monotonic() + 20
    while (left := alive(slurm / "pids")) and time.monotonic() < end:
        time.sleep(0.2)
    assert not left, "its jobs end with the run"


def alive(pids: Path) -> list[int]:
    found = []
    for pid in map(int, pids.read_text().split()):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pid, 0)
            found.append(pid)
    return found


@pytest.mark.skipif(sys.platform == "win32", reason="SLURM runs on Linux")
def test_what_slurm_refuses_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("dask_jobqueue")
    on_path(tmp_path, "sbatch", "#!/bin/sh\necho 'invalid partition specified: fast' >&2; exit 1\n")
    lab = make_lab(tmp_path / "experiment")
    with (lab.root / "config.toml").open("a") as file:
        file.write('\n[cluster]\nkind = "slurm"\nqueue = "fast"\n')
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    said = lab.run("run-all", "--executor", "dask", "-j2", check=1)
    assert "SLURM takes no worker as [cluster] describes it" in said
    assert "sbatch says: invalid partition specified: fast" in said
    assert not (lab.root / ".anipipe/lock").exists()


@pytest.mark.parametrize(
    ("scheduler", "others", "said"),
    [
        (__version__, [__version__, __version__], ""),
        (None, [__version__], "the scheduler has no anipipe that can be loaded; install anipipe"),
        (__version__, [__version__, "0.0.9"], "tcp://1 has anipipe 0.0.9; install anipipe"),
        (__version__, [ImportError("numpy"), None], "tcp://0 and 1 more has no anipipe that can be loaded"),
    ],
)
def test_a_cluster_without_anipipe_is_refused_before_anything_is_sent(scheduler, others, said) -> None:
    class Client:
        def run_on_scheduler(self, function, name):
            assert function(name) == __version__, "it is the true name"
            return scheduler

        def run(self, function, name, on_error):
            return {f"tcp://{number}": found for number, found in enumerate(others)}

    cluster = SimpleNamespace(client=Client(), where="here")
    with pytest.raises(ClusterError, match=said) if said else contextlib.nullcontext():
        clusters._make_sure_of_versions(cluster)


def test_what_workers_printed_long_ago_is_removed(tmp_path: Path) -> None:
    for name, days in (("old.out", 31), ("new.out", 29)):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (time.time() - days * 86400,) * 2)
    (tmp_path / "folder").mkdir()
    clusters._forget_old(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"new.out", "folder"}


def test_a_cluster_that_is_not_there_is_told(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    config = lab.root / "config.toml"
    text = config.read_text()
    config.write_text(f'{text}\n[cluster]\naddress = "scheduler.json"\n')
    assert "neither tcp://host:port, nor a scheduler file" in lab.run("run-all", "--executor=dask", check=2)
    config.write_text(f'{text}\n[cluster]\nkind = "slurm"\n')
    monkeypatch.setenv("PATH", "/nowhere")
    assert "there is no sbatch here" in lab.run("run-all", "--executor=dask", check=2)
    config.write_text(f'{text}\n[cluster]\naddress = "tcp://127.0.0.1:9"\n')
    monkeypatch.setattr("anipipe.commands.clusters._ANSWERS_WITHIN", 1.0)
    said = lab.run("run-all", "--executor=dask", check=1)
    assert "the Dask scheduler at tcp://127.0.0.1:9 does not answer" in said
    assert not (lab.root / ".anipipe/lock").exists()
    config.write_text(text)
    assert "46 jobs done" in lab.run("run-all")
