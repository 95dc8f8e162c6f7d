"""Faults of machines, disks and networks, one at a time: what the user reads, and that nothing is lost.

``ANIPIPE_FAULTS=1`` also tries those that take long: a Dask cluster that runs out of memory, or hangs.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from anipipe import __version__
from anipipe.cli import Interruption
from anipipe.engine import lanes, lock, perform, remote, shares
from anipipe.formats.calibrations import write_calibration
from anipipe.formats.poses2d import read_pose_2d
from tests.conftest import CONFIG, Lab, make_rig
from tests.engine.test_kill import all_zombies, kill_group
from tests.pipeline.film_lab import film_lab, small_rig

LONG = "ANIPIPE_FAULTS" in os.environ
posix = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals and mounts")
takes_long = pytest.mark.skipif(not LONG, reason="takes long: set ANIPIPE_FAULTS=1")
#: Up to the angles: enough for every kind of dependency, and without what takes long to import.
COMMAND = ("angles", "--upstream")
#: One session's jobs: two cameras, 3D, angles.
PER_SESSION = 4
ONE_FAILED = r"5 jobs done, 1 failed, 2 blocked"
FIRST, OTHER = "s1/predictions/t_ADLC_net_x1.csv", "s2/predictions/t_ADLC_net_x1.csv"


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    """Two sessions, one trial each, two cameras."""
    rig = make_rig(("A", "B"))
    lab = Lab(tmp_path / "lab", rig)
    for session in ("s1", "s2"):
        lab.add_session(session, ("t",), frames=4)
    (lab.root / "config.toml").write_text(CONFIG)
    (lab.root / "calibration").mkdir()
    write_calibration(rig, lab.root / "calibration/calibration.toml")
    return lab


At = Callable[[str, Callable[[perform.Task], Any] | None], None]


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch) -> At:
    """Have something happen once the job that reads a file has read it, in this process."""
    make = perform._make

    def arrange(match: str, action: Callable[[perform.Task], Any] | None) -> None:
        def faulty(task: perform.Task, temporaries: list[Path]) -> perform.Made:
            made = make(task, temporaries)
            if action and any(path.endswith(match) for item in task.inputs for path in item.paths):
                action(task)
            return made

        monkeypatch.setattr(perform, "_make", faulty)

    return arrange


def angles(lab: Lab) -> set[str]:
    """The sessions whose angles are there."""
    return {path.parts[-3] for path in lab.root.glob("s*/angles/t.csv")}


def left_over(lab: Lab) -> list[str]:
    own = (lab.root / ".anipipe").glob("*")
    names = [path.name for path in own if path.name.startswith(("lock", "clock", "unfinished"))]
    return [*names, *(path.name for path in lab.root.rglob(".anipipe-*")), *map(str, lab.root.rglob("*.tmp"))]


def jobs_done(text: str) -> int:
    (count,) = re.findall(r"^(\d+) jobs? done", text, re.MULTILINE)
    return int(count)


def recovers(lab: Lab, jobs: int) -> None:
    """The next run does just what is missing, and then all is as if nothing had been."""
    assert jobs_done(lab.run(*COMMAND)) == jobs
    assert jobs_done(lab.run(*COMMAND)) == 0
    assert angles(lab) == {"s1", "s2"}
    assert left_over(lab) == []
    (told,) = json.loads(lab.run("status", "--json"))
    states = {job["state"] for job in told["jobs"] if job["stage"] in ("pose-2d", "pose-3d", "angles")}
    assert states == {"fresh"}


def says(text: str, *patterns: str) -> None:
    for pattern in patterns:
        assert re.search(pattern, text), f"{pattern!r} is not in:\n{text}"
    assert "Traceback" not in text and "defect of anipipe" not in text, text


# ---- faults in other processes

_INJECTED = """
import ctypes, functools, importlib.util, os, signal, sys, time

class After:
    def find_spec(self, name, path=None, target=None):
        if name != {module!r}:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        execute = spec.loader.exec_module
        def then(module):
            execute(module)
            *owner, name = {function!r}.split(".")
            owner = functools.reduce(getattr, owner, module)
            function = getattr(owner, name)
            @functools.wraps(function)
            def faulty(*arguments):
                fault(arguments)
                return function(*arguments)
            setattr(owner, name, faulty)
        spec.loader.exec_module = then
        return spec

def reads(task):
    return any(path.endswith({match!r}) for item in task.inputs for path in item.paths)

def begin_to_write(task):
    target = task.root / task.outputs[0][1]
    target.parent.mkdir(exist_ok=True)
    target.with_name(f".anipipe-{{task.token}}-0123456789ab{{target.suffix}}").write_text("half of it")

def fault(arguments):
    if {module!r} == "anipipe.engine.perform":
        task, _ = arguments
        if not reads(task):
            return
        open({mark!r}, "w").close()
    {body}

{always}
sys.meta_path.insert(0, After())
"""

Inject = Callable[..., Path]


@pytest.fixture
def inject(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Inject:
    """Have a line of Python run in other processes: before jobs that read a file are done, or elsewhere."""

    def arrange(
        body: str,
        match: str = FIRST,
        *,
        always: str = "",
        module: str = "anipipe.engine.perform",
        function: str = "_make",
    ) -> Path:
        folder, mark = tmp_path / "injected", tmp_path / "mark"
        folder.mkdir(exist_ok=True)
        where = {"match": match, "module": module, "function": function, "mark": str(mark)}
        (folder / "sitecustomize.py").write_text(_INJECTED.format(body=body, always=always, **where))
        monkeypatch.setenv("PYTHONPATH", f"{folder}{os.pathsep}{Path(__file__).parents[2]}")
        return mark

    return arrange


def start(lab: Lab, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "anipipe.cli", *arguments],
        cwd=lab.root,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


@contextlib.contextmanager
def ended(process: subprocess.Popen[str]) -> Iterator[None]:
    try:
        yield
    finally:
        kill_group(process.pid)
        process.communicate()


def apart(lab: Lab, *arguments: str) -> str:
    """Return what is printed by a run, in a process of its own, in which something fails."""
    process = start(lab, *arguments)
    with ended(process):
        text, _ = process.communicate(timeout=200)
        assert process.returncode == 1, text
    return text


def wait_for(condition: Callable[[], Any], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.01)


# ---- ended from outside


@posix
@pytest.mark.parametrize("where", [("-j2",), ("-j2", "--executor", "dask")], ids=["processes", "dask"])
def test_sigterm_and_impatience(lab: Lab, inject: Inject, where: tuple[str, ...]):
    """A second signal, and a third, come while it tidies up."""
    if "dask" in where:
        pytest.importorskip("distributed")
    mark = inject("begin_to_write(task); time.sleep(600)")
    process = start(lab, *COMMAND, *where)
    with ended(process):
        wait_for(lambda: mark.exists() and "s2" in angles(lab))
        began = time.monotonic()
        for number in (signal.SIGTERM, signal.SIGTERM, signal.SIGINT):
            process.send_signal(number)
            time.sleep(0.1)
        text, _ = process.communicate(timeout=60)
        assert time.monotonic() - began < 15
        wait_for(lambda: all_zombies(process.pid), 5)
    assert process.returncode == 130
    says(text, "interrupted; what was finished is kept, and the next run goes on from there")
    assert left_over(lab) == []
    recovers(lab, 3)


def test_an_interruption_is_taken_once_in_a_while():
    interruption = Interruption()
    with pytest.raises(KeyboardInterrupt):
        interruption(signal.SIGTERM, None)
    interruption(signal.SIGTERM, None)
    interruption.PATIENCE = 0.0
    with pytest.raises(KeyboardInterrupt):
        interruption(signal.SIGINT, None)


@posix
def test_sigkill_of_the_coordinator(lab: Lab, inject: Inject):
    mark = inject("begin_to_write(task); time.sleep(600)")
    process = start(lab, *COMMAND, "-j2")
    with ended(process):
        wait_for(lambda: mark.exists() and "s2" in angles(lab))
        process.kill()
        process.wait()
        wait_for(lambda: all_zombies(process.pid), 5)
    assert {"lock", "unfinished"} < set(left_over(lab))
    recovers(lab, 3)


# ---- workers


@posix
def test_worker_killed_for_its_memory(lab: Lab, inject: Inject, monkeypatch: pytest.MonkeyPatch):
    """As by Linux, which ends what takes too much with SIGKILL."""
    monkeypatch.setattr(lanes, "MAX_STRIKES", 1)  # each more starts workers, which takes seconds
    inject("begin_to_write(task); os.kill(os.getpid(), signal.SIGKILL)")
    text = lab.run(*COMMAND, "-j2", check=1)
    says(
        text,
        r"failed pose-2d s1/t_A: its worker process died 1 times \(out of memory\?\): run with fewer --jobs",
        ONE_FAILED,
    )
    assert angles(lab) == {"s2"} and left_over(lab) == []
    recovers(lab, 3)


@posix
def test_worker_that_gets_no_memory(lab: Lab, at: At):
    import resource

    pages = int(Path("/proc/self/statm").read_text().split()[0]) if sys.platform == "linux" else 0

    def eat(task: perform.Task) -> None:
        soft, hard = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + 2**26, hard))
        try:
            bytearray(2**31)
        finally:
            resource.setrlimit(resource.RLIMIT_AS, (soft, hard))

    at(FIRST, eat)
    text = lab.run(*COMMAND, check=1)
    says(
        text,
        r"failed pose-2d s1/t_A: not enough memory: run with fewer --jobs, or on a larger machine; "
        r"with --executor dask, raise cluster\.memory",
        ONE_FAILED,
    )
    assert angles(lab) == {"s2"}
    at(FIRST, None)
    recovers(lab, 3)


@posix
@pytest.mark.parametrize("where", [("-j2",), pytest.param(("-j2", "--executor", "dask"), marks=takes_long)])
def test_a_job_that_hangs(lab: Lab, inject: Inject, where: tuple[str, ...]):
    """In C code that never returns to Python, as a decoder may."""
    (lab.root / "config.toml").write_text(CONFIG + "\n[jobs]\ntimeout = 0.05\ntimeout_per_frame = 0\n")
    inject("begin_to_write(task); ctypes.PyDLL(None).sleep(600)")
    began = time.monotonic()
    text = apart(lab, *COMMAND, *where)
    assert time.monotonic() - began < 60
    says(
        text,
        r"failed pose-2d s1/t_A: gave no sign of life for 0\.05 min, and was ended \(jobs\.timeout\); is a "
        r"recording damaged, or does a disk not answer\?",
        ONE_FAILED,
    )
    assert angles(lab) == {"s2"} and left_over(lab) == []
    assert "in fault" in (lab.root / "s1/.anipipe/records.jsonl").read_text(), "the traceback says where"
    (lab.root / "config.toml").write_text(CONFIG)
    recovers(lab, 3)


@posix
@takes_long
def test_worker_of_dask_that_takes_more_than_it_may(lab: Lab, inject: Inject):
    pytest.importorskip("distributed")
    (lab.root / "config.toml").write_text(CONFIG + '\n[cluster]\nmemory = "600MB"\n')
    inject("begin_to_write(task); taken = bytearray(os.urandom(2**20)) * 900; time.sleep(30)")
    text = apart(lab, *COMMAND, "-j2", "--executor", "dask")
    says(
        text,
        r"failed pose-2d s1/t_A: its worker process died 3 times \(out of memory\?\): run with fewer --jobs, "
        r"or on a larger machine; with --executor dask, raise cluster\.memory",
        ONE_FAILED,
    )
    assert angles(lab) == {"s2"} and left_over(lab) == []
    recovers(lab, 3)


@posix
@takes_long
def test_a_decoder_that_hangs(tmp_path: Path, inject: Inject):
    """In one of four recordings, told by its name."""
    root = film_lab(tmp_path / "lab", ["s1", "s2"], pictures='pictures = ["label-2d"]\n')
    lab = Lab(root, small_rig("AB"))
    settings = (root / "config.toml").read_text()
    (root / "config.toml").write_text(settings + "\n[jobs]\ntimeout = 0.1\ntimeout_per_frame = 0\n")
    inject(
        "if str(arguments[1]).endswith('s1/videos-raw/t_A.mp4'): ctypes.PyDLL(None).sleep(600)",
        module="anipipe.formats._video_decoding",
        function="Decoder.__init__",
    )
    text = apart(lab, "run-all", "-j2")
    says(text, r"failed label-2d s1/t_A: gave no sign of life for 0\.1 min, and was ended \(jobs\.timeout\)")
    assert "formats/video.py" in (root / "s1/.anipipe/records.jsonl").read_text()
    assert len(list(root.glob("s*/videos-labeled/*.mp4"))) == 3
    assert left_over(lab) == []


# ---- disks


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_disk_or_quota_used_up(lab: Lab, monkeypatch: pytest.MonkeyPatch, number: int):
    """From one write on, and only for what lies in one session."""
    sync = os.fsync

    def full(descriptor: int) -> None:
        if "/s1/pose-3d/" in str(Path(f"/proc/self/fd/{descriptor}").readlink()):
            raise OSError(number, os.strerror(number))
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    text = lab.run(*COMMAND, check=1)
    says(
        text,
        r"failed pose-3d s1/t: \S+/s1/pose-3d/t\.csv: the disk is full or the quota used up; free some space "
        r"and run again",
        r"6 jobs done, 1 failed, 1 blocked",
    )
    assert angles(lab) == {"s2"} and left_over(lab) == []
    monkeypatch.undo()
    recovers(lab, 2)


@contextlib.contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """A folder that cannot be written: by its mode, or for root as a file system that can only be read."""
    if os.geteuid() != 0:
        folder.chmod(0o555)
        try:
            yield
        finally:
            folder.chmod(0o755)
        return
    if subprocess.call(["mount", "--bind", str(folder), str(folder)], stderr=subprocess.DEVNULL):
        pytest.skip("a read-only file system cannot be mounted here")
    try:
        subprocess.check_call(["mount", "-o", "remount,bind,ro", str(folder)])
        yield
    finally:
        subprocess.call(["umount", "-l", str(folder)])


CANNOT_WRITE = r"(Read-only file system; mount it for writing|no permission to write)"


@posix
@pytest.mark.parametrize(
    ("folder", "jobs", "failed"),
    [
        ("s1", r"4 jobs done, 2 failed, 2 blocked", "pose-2d s1/t_A"),
        ("s1/.anipipe", r"4 jobs done, 2 failed, 2 blocked", "pose-2d s1/t_A"),
        ("s1/pose-3d", r"6 jobs done, 1 failed, 1 blocked", "pose-3d s1/t"),
    ],
)
def test_folders_that_cannot_be_written(lab: Lab, folder: str, jobs: str, failed: str):
    (lab.root / folder).mkdir(exist_ok=True)
    with read_only(lab.root / folder):
        text = lab.run(*COMMAND, check=1)
        assert lab.run("status")
    says(text, rf"failed {failed}: \S+/{folder}\S*: {CANNOT_WRITE}", jobs)
    assert angles(lab) == {"s2"} and left_over(lab) == []
    recovers(lab, int("".join(re.findall(r"(\d) blocked", text))) + text.count("failed pose"))


@posix
@pytest.mark.parametrize("folder", [".", ".anipipe"])
def test_an_experiment_that_cannot_be_written(lab: Lab, folder: str):
    (lab.root / ".anipipe").mkdir()
    before = lab.files()
    with read_only(lab.root / folder):
        text = lab.run(*COMMAND, check=2)
        assert "stale" in lab.run("status")
    where = lab.root if folder == "." else lab.root / folder
    says(
        text,
        rf"error: {where}(/\.anipipe)?: nothing can be written here \(.+\); check the permissions and the "
        r"free space of the disk",
    )
    assert lab.files() == before and left_over(lab) == []
    recovers(lab, 2 * PER_SESSION)


# ---- network shares


class Share:
    """What another machine has done shows late here: for some looks, a file is not there, or as it was."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, pattern: str, looks: int, answer: Any) -> None:
        self.pattern, self.left, self.answer, self._stat = pattern, looks, answer, os.stat
        self.on = True
        monkeypatch.setattr(os, "stat", self.stat)

    def stat(self, path: Any, *more: Any, **how: Any) -> Any:
        found = self._stat(path, *more, **how)
        if self.on and self.left and not isinstance(path, int) and re.search(self.pattern, os.fspath(path)):
            self.left -= 1
            return self.answer(path, found)
        return found


def no_such_file(path: Any, found: os.stat_result) -> None:
    raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))


def stale_handle(path: Any, found: os.stat_result) -> None:
    raise OSError(errno.ESTALE, os.strerror(errno.ESTALE), str(path))


def as_it_was(path: Any, found: os.stat_result) -> SimpleNamespace:
    """Its size and times before its end was written."""
    times = {"st_mtime_ns": found.st_mtime_ns - 10**9, "st_ctime_ns": found.st_ctime_ns - 10**9}
    return SimpleNamespace(st_mode=found.st_mode, st_size=found.st_size // 2, **times)


OUTPUT, UNFINISHED = r"s1/pose-2d/t_A\.h5$", r"s1/pose-2d/\.anipipe-\w+-\w+\.h5$"


def test_size_and_time_that_show_late_are_no_change(lab: Lab, monkeypatch: pytest.MonkeyPatch, at: At):
    """Those of an output, from when it is put in place until the job that reads it has done so."""
    share = Share(monkeypatch, OUTPUT, 1000, as_it_was)
    at("s1/pose-2d/t_A.h5", lambda task: setattr(share, "on", False))
    assert jobs_done(lab.run(*COMMAND)) == 8
    assert share.left < 1000
    recovers(lab, 0)


def test_output_of_a_worker_that_shows_late(lab: Lab, monkeypatch: pytest.MonkeyPatch):
    share = Share(monkeypatch, UNFINISHED, 2, no_such_file)
    assert jobs_done(lab.run(*COMMAND)) == 8
    assert not share.left


def test_output_of_a_worker_that_never_shows(lab: Lab, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(shares, "SHOWS_WITHIN", 0.1)
    share = Share(monkeypatch, UNFINISHED, 10**6, no_such_file)
    text = lab.run(*COMMAND, check=1)
    says(
        text,
        r"failed pose-2d s1/t_A: \S+: a worker has written this, but it does not show here after \d+ s; do "
        r"all machines see the same disk\?",
        r"4 jobs done, 2 failed, 2 blocked",
    )
    assert angles(lab) == {"s2"}
    share.on = False
    assert left_over(lab) == []
    recovers(lab, 4)


def elsewhere(monkeypatch: pytest.MonkeyPatch, share: Share) -> None:
    """Have jobs done as on another machine, which alone sees the share like that."""
    share.on = False

    def there(task: perform.Task) -> Any:
        share.on = True
        try:
            return remote.perform_remotely(task, __version__)
        finally:
            share.on = False

    monkeypatch.setattr(lanes, "perform", there)


def test_input_that_shows_late_to_a_worker(lab: Lab, monkeypatch: pytest.MonkeyPatch):
    share = Share(monkeypatch, OUTPUT, 2, as_it_was)
    elsewhere(monkeypatch, share)
    assert jobs_done(lab.run(*COMMAND)) == 8
    assert not share.left


@pytest.mark.parametrize("answer", [no_such_file, as_it_was])
def test_input_that_never_shows_to_a_worker(lab: Lab, monkeypatch: pytest.MonkeyPatch, answer: Any):
    monkeypatch.setattr(shares, "SHOWS_WITHIN", 0.1)
    elsewhere(monkeypatch, Share(monkeypatch, OUTPUT, 10**6, answer))
    text = lab.run(*COMMAND, check=1)
    says(
        text,
        rf"failed pose-3d s1/t: worker {socket.gethostname()}: \S+/s1/pose-2d/t_A\.h5 is not what the run "
        r"saw; is the disk shared, and up to date\?",
        r"6 jobs done, 1 failed, 1 blocked",
    )
    assert angles(lab) == {"s2"} and left_over(lab) == []
    monkeypatch.undo()
    recovers(lab, 2)


def test_a_worker_whose_run_is_over_throws_its_work_away(lab: Lab, monkeypatch: pytest.MonkeyPatch, at: At):
    """Its coordinator was killed, and another run holds the lock, or none."""
    monkeypatch.setattr(shares, "SHOWS_WITHIN", 0.1)
    elsewhere(monkeypatch, Share(monkeypatch, "^$", 0, no_such_file))
    there, answers = lanes.perform, []
    monkeypatch.setattr(lanes, "perform", lambda task: answers.append(there(task)) or answers[-1])
    at(FIRST, lambda task: (lab.root / ".anipipe/lock").unlink())
    says(lab.run(*COMMAND, check=75), "was taken away from this run; nothing more is written")
    assert [answer.message for answer in answers] == ["the run that asked for this is over"]
    assert not list(lab.root.rglob(".anipipe-*")) and not (lab.root / "s1/pose-2d/t_A.h5").exists()


@pytest.mark.parametrize("pattern", [FIRST, OUTPUT, UNFINISHED, r"\.anipipe/lock"])
def test_stale_file_handles_are_looked_up_again(lab: Lab, monkeypatch: pytest.MonkeyPatch, pattern: str):
    share = Share(monkeypatch, pattern, 2, stale_handle)
    assert jobs_done(lab.run(*COMMAND)) == 8
    assert pattern == r"\.anipipe/lock" or not share.left
    recovers(lab, 0)


def test_stale_file_handle_that_stays(lab: Lab, monkeypatch: pytest.MonkeyPatch):
    opened = os.open

    def gone(path: Any, *more: Any, **how: Any) -> int:
        if str(path).endswith(FIRST):
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE), str(path))
        return opened(path, *more, **how)

    monkeypatch.setattr(os, "open", gone)
    text = lab.run(*COMMAND, check=1)
    says(
        text,
        rf"failed pose-2d s1/t_A: \S+/{FIRST}: was replaced or removed on its server while in use; run again",
        ONE_FAILED,
    )
    monkeypatch.undo()
    recovers(lab, 3)


# ---- clocks


class Clock:
    """The time of day, which can be set."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.off = 0.0
        now, now_ns, text = time.time, time.time_ns, time.strftime

        def strftime(form: str, *when: time.struct_time) -> str:
            return text(form, *(when or (time.localtime(time.time()),)))

        monkeypatch.setattr(time, "time", lambda: now() + self.off)
        monkeypatch.setattr(time, "time_ns", lambda: now_ns() + int(self.off * 1e9))
        monkeypatch.setattr(time, "strftime", strftime)

    def write(self, path: Path, old: str, new: str) -> None:
        """Change a file to one of the same size, at this clock's time."""
        text = path.read_text()
        assert len(old) == len(new) and old in text
        path.write_text(text.replace(old, new))
        os.utime(path, ns=(time.time_ns(), time.time_ns()))


DAY = 86400.0


@pytest.mark.parametrize("day", [-DAY, DAY], ids=["back", "forward"])
def test_clock_is_set_between_runs(lab: Lab, monkeypatch: pytest.MonkeyPatch, day: float):
    clock = Clock(monkeypatch)
    assert jobs_done(lab.run(*COMMAND)) == 8
    for off, old, new in ((day, ",0.95", ",0.96"), (0.0, ",0.96", ",0.97"), (day, ",0.97", ",0.98")):
        clock.off = off
        clock.write(lab.root / FIRST, old, new)
        assert jobs_done(lab.run(*COMMAND)) == 2  # the scores change no angle
        assert jobs_done(lab.run(*COMMAND)) == 0
    names = [path.stem for path in (lab.root / ".anipipe/runs").glob("*.json")]
    assert len(set(names)) == 7
    recovers(lab, 0)


def test_files_of_tomorrow_that_are_rewritten_with_their_size_and_time(lab: Lab):
    path, tomorrow = lab.root / FIRST, time.time_ns() + int(DAY * 1e9)
    for old, new in ((",0.95", ",0.96"), (",0.96", ",0.97")):
        lab.run(*COMMAND)
        path.write_text(path.read_text().replace(old, new))
        os.utime(path, ns=(tomorrow, tomorrow))
        assert jobs_done(lab.run(*COMMAND)) == 2


@pytest.mark.parametrize("day", [-DAY, DAY], ids=["back", "forward"])
def test_clock_is_set_while_a_run_is_at_it(lab: Lab, monkeypatch: pytest.MonkeyPatch, at: At, day: float):
    clock = Clock(monkeypatch)
    at(FIRST, lambda task: setattr(clock, "off", day))
    at_once = time.monotonic()
    assert jobs_done(lab.run(*COMMAND)) == 8
    assert time.monotonic() - at_once < 30
    (report,) = (lab.root / ".anipipe/runs").glob("*.json")
    told = json.loads(report.read_text())
    assert 0 <= told["seconds"] < 60 and all(0 <= job["seconds"] < 60 for job in told["jobs"])
    clock.off = 0.0
    recovers(lab, 0)


# ---- files that are replaced, or go


def replaced(path: Path) -> None:
    other = path.with_name("other")
    other.write_text(path.read_text().replace("0.95", "0.8"))
    other.replace(path)


def rewritten(path: Path) -> None:
    path.write_text(path.read_text().replace("0.95", "0.8"))


def rewritten_with_size_and_time(path: Path) -> None:
    stat = path.stat()
    path.write_text(path.read_text().replace("0.95", "0.94"))
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert path.stat().st_size == stat.st_size


@pytest.mark.parametrize("change", [replaced, rewritten, rewritten_with_size_and_time])
def test_input_that_changes_while_it_is_read(lab: Lab, at: At, change: Callable[[Path], None]):
    old = time.time() - DAY
    os.utime(lab.root / FIRST, (old, old))
    lab.run("status")  # its digest is noted
    at(FIRST, lambda task: change(lab.root / FIRST))
    text = lab.run(*COMMAND, check=1)
    says(
        text,
        rf"failed pose-2d s1/t_A: \S+/{FIRST} changed while it was being read; run again",
        ONE_FAILED,
    )
    assert angles(lab) == {"s2"} and left_over(lab) == []
    at(FIRST, None)
    recovers(lab, 3)
    assert not np.allclose(read_pose_2d(lab.root / "s1/pose-2d/t_A.h5").scores, 0.95)


def test_input_that_is_merely_touched(lab: Lab, at: At):
    at(FIRST, lambda task: (lab.root / FIRST).write_bytes((lab.root / FIRST).read_bytes()))
    assert jobs_done(lab.run(*COMMAND)) == 8


def test_input_that_is_deleted_while_it_is_read(lab: Lab, at: At):
    content = (lab.root / FIRST).read_bytes()
    at(FIRST, lambda task: (lab.root / FIRST).unlink())
    text = lab.run(*COMMAND, check=1)
    says(
        text,
        rf"failed pose-2d s1/t_A: \S+/{FIRST} was taken away while it was being read; run again",
        ONE_FAILED,
    )
    assert angles(lab) == {"s2"} and left_over(lab) == []
    at(FIRST, None)
    (lab.root / FIRST).write_bytes(content)
    recovers(lab, 3)


def test_input_that_is_deleted_before_its_turn(lab: Lab, at: At):
    content = (lab.root / OTHER).read_bytes()
    at(FIRST, lambda task: (lab.root / OTHER).unlink())
    text = lab.run(*COMMAND, check=1)
    says(text, r"blocked pose-2d s2/t_A: no prediction for s2/t_A", r"5 jobs done, 3 blocked")
    assert angles(lab) == {"s1"}
    at(FIRST, None)
    (lab.root / OTHER).write_bytes(content)
    recovers(lab, 3)


def test_output_that_somebody_writes_meanwhile(lab: Lab, at: At):
    mine = lab.root / "s1/pose-2d/t_A.h5"
    at(FIRST, lambda task: mine.write_text("mine"))
    text = lab.run(*COMMAND, check=1)
    says(
        text,
        r"failed pose-2d s1/t_A: \S+/t_A\.h5 was written by somebody while this ran; it is kept",
        ONE_FAILED,
    )
    assert mine.read_text() == "mine" and angles(lab) == {"s2"}
    at(FIRST, None)
    mine.unlink()
    recovers(lab, 3)


# ---- two machines on one share


def held_elsewhere(lab: Lab, age: float) -> None:
    path = lab.root / ".anipipe/lock"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({**lock._me(), "host": "gpubox", "boot": "its own", "token": "0badcafe"}))
    os.utime(path, (time.time() - age,) * 2)


def test_second_machine_is_turned_away(lab: Lab):
    held_elsewhere(lab, 3000)
    text = lab.run(*COMMAND, check=75)
    says(
        text,
        rf"{lab.root} is being processed by process {os.getpid()} on gpubox since .*; if that is not so, "
        r"delete \S+/\.anipipe/lock",
    )
    assert angles(lab) == set()
    assert lab.run("status")


def test_second_machine_takes_what_was_left_for_an_hour(lab: Lab, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(lock, "HEARTBEAT", 0.1)
    held_elsewhere(lab, 3700)
    recovers(lab, 8)


@posix
def test_a_machine_that_wakes_up_after_its_lock_was_taken(
    lab: Lab, inject: Inject, monkeypatch: pytest.MonkeyPatch
):
    """It was asleep for more than an hour, and so were its workers, one in the middle of a job."""
    mark = inject(
        "time.sleep(1); begin_to_write(task)",
        always="import socket; socket.gethostname = lambda: 'laptop'",
    )
    process = start(lab, *COMMAND, "-j2")
    with ended(process):
        wait_for(lambda: mark.exists() and "s2" in angles(lab))
        os.killpg(process.pid, signal.SIGSTOP)
        path = lab.root / ".anipipe/lock"
        assert json.loads(path.read_text())["host"] == "laptop"
        os.utime(path, (time.time() - 4000,) * 2)
        monkeypatch.setattr(lock, "HEARTBEAT", 0.1)
        assert jobs_done(lab.run(*COMMAND)) == 3
        before = lab.files()
        os.killpg(process.pid, signal.SIGCONT)
        text, _ = process.communicate(timeout=60)
        wait_for(lambda: all_zombies(process.pid), 5)
    assert process.returncode == 75
    says(text, r"error: \S+/\.anipipe/lock was taken away from this run; nothing more is written")
    kept = {path: content for path, content in lab.files().items() if "/.anipipe-" not in path}
    assert kept == before
    recovers(lab, 0)
