"""Inputs known by content, alternatives among inputs, options of one unit, and jobs that take the machine."""

from __future__ import annotations

import dataclasses
import itertools
import os
import signal
import tempfile
import time
from pathlib import Path

import pytest

from anipipe.engine.declare import Artifact, Registry, Stage, Unit, optional
from anipipe.engine.digest import Disk
from anipipe.engine.executors import InProcess, LocalProcesses
from anipipe.engine.freshness import State
from anipipe.engine.lanes import Lane
from anipipe.engine.lock import Lock
from anipipe.engine.plan import Plan
from anipipe.engine.progress import tell
from anipipe.engine.records import Records
from anipipe.engine.runner import Runner
from tests.engine.textline import Watcher, made, read_plain

SOURCE = Artifact("source", "item", read=read_plain, absent="put it there")


def read_tool(paths: object, names: object) -> str:
    return "".join(path.read_text() for path in paths)  # type: ignore[attr-defined]


TOOL = Artifact("tool", "item", read=read_tool, content="tool")
RESULT = made("result", "item", "out/{item}.txt")


@dataclasses.dataclass(frozen=True)
class Options:
    marks: dict[str, str]

    @classmethod
    def of(cls, settings: dict[str, str]) -> Options:
        return cls(settings)

    def facts(self) -> dict[str, object]:
        return {"marks": self.marks}

    @classmethod
    def introduced(cls) -> dict[str, object]:
        return {}


def own_mark(options: Options, unit: Unit) -> Options:
    return Options({name: mark for name, mark in options.marks.items() if name == unit.key})


def run(source: str | None, tool: str | None, options: Options) -> str:
    return f"{source or tool} {options.marks}\n"


STAGE = Stage(
    "work",
    "item",
    run,
    RESULT,
    {"source": optional(SOURCE), "tool": optional(TOOL)},
    Options,
    one_of=("source", "tool"),
    narrow=own_mark,
)


def plan(
    root: Path, files: dict[str, dict[str, tuple[str, ...]]], marks: dict[str, str], stage: Stage = STAGE
) -> Plan:
    units = [Unit("item", item, "", item, "", {"item": item}, marks, found) for item, found in files.items()]
    opened = Plan(Registry([stage]), units, Disk(root), Records(root))
    opened.examine_all()
    return opened


def bring_up_to_date(opened: Plan, heavy: LocalProcesses | None = None) -> Watcher:
    watcher = Watcher()
    executor = LocalProcesses(2)
    lanes = [Lane(executor, lambda device: heavy is None or not device)]
    lanes += [] if heavy is None else [Lane(heavy, bool)]
    with Lock(opened.disk.root) as lock:
        Runner(opened, lanes, lock, watcher).run()
    for each in (executor, heavy):
        if each is not None:
            each.close()
    return watcher


def states(opened: Plan) -> dict[str, State]:
    return {job.unit.key: opened.state(job) for job in opened.jobs}


def test_a_tool_is_known_by_its_content_wherever_it_lies(tmp_path: Path) -> None:
    root, elsewhere = tmp_path / "root", tmp_path / "elsewhere"
    for folder in (root, elsewhere):
        folder.mkdir()
    (elsewhere / "a").write_text("one"), (elsewhere / "b").write_text("two")
    files = {"x": {"tool": ("../elsewhere/a", "../elsewhere/b")}}
    bring_up_to_date(plan(root, files, {}))
    assert (root / "out/x.txt").read_text().startswith("onetwo")
    elsewhere.rename(tmp_path / "moved")
    files = {"x": {"tool": ("../moved/a", "../moved/b")}}
    assert states(plan(root, files, {})) == {"x": State.FRESH}
    (tmp_path / "moved/b").write_text("three")
    changed = plan(root, files, {})
    assert states(changed) == {"x": State.STALE}
    assert changed.verdicts[changed.jobs[0]].verdict.reasons == ("tool changed",)
    (tmp_path / "moved").rename(tmp_path / "share that is not mounted")
    assert states(plan(root, files, {})) == {"x": State.ARCHIVED}


def test_one_of_the_inputs_has_to_be_there(tmp_path: Path) -> None:
    (tmp_path / "s").write_text("text")
    opened = plan(tmp_path, {"x": {"source": ("s",)}, "y": {}, "z": {"tool": ("lost",)}}, {})
    assert states(opened) == {"x": State.STALE, "y": State.BLOCKED, "z": State.BLOCKED}
    reasons = {job.unit.key: opened.verdicts[job].verdict.reasons[0] for job in opened.jobs}
    assert reasons["y"] == "no source for y (put it there)"
    assert reasons["z"] == "no tool for z: lost is missing"


def test_the_options_of_one_unit_do_not_make_another_stale(tmp_path: Path) -> None:
    (tmp_path / "s").write_text("text")
    files = {"x": {"source": ("s",)}, "y": {"source": ("s",)}}
    bring_up_to_date(plan(tmp_path, files, {"x": "1"}))
    assert states(plan(tmp_path, files, {"x": "1", "y": "2"})) == {"x": State.FRESH, "y": State.STALE}


def meet(source: str | None, tool: str | None, options: Options) -> str:
    """Say when and where it ran; with a tool, not before one without has begun."""
    began, marker = time.time(), Path(source or tool or "") / "light has begun"
    if source:
        marker.touch()
    while not marker.exists() and time.time() < began + 60:
        time.sleep(0.02)
    assert marker.exists()
    return f"{os.getpid()} {began} {time.time()}\n"


def device(unit: Unit) -> str:
    return "auto" if "tool" in unit.files else ""


def test_heavy_jobs_run_one_at_a_time_in_one_process_and_others_beside_them(tmp_path: Path) -> None:
    for name in "ts":
        (tmp_path / name).write_text(str(tmp_path))
    stage = dataclasses.replace(STAGE, run=meet, device=device)
    files = {f"a{n}": {"tool": ("t",)} for n in range(4)} | {f"b{n}": {"source": ("s",)} for n in range(2)}
    bring_up_to_date(plan(tmp_path, files, {}, stage), LocalProcesses(1))
    lines = {item: (tmp_path / f"out/{item}.txt").read_text().split()[:3] for item in files}
    times = sorted(
        (float(began), float(ended)) for item, (_, began, ended) in lines.items() if item[0] == "a"
    )
    assert all(ended <= began for (_, ended), (began, _) in itertools.pairwise(times))
    heavy, light = ({pid for item, (pid, *_) in lines.items() if item[0] == kind} for kind in "ab")
    assert len(heavy) == 1 and not heavy & light


def count_to_three(source: str | None, tool: str | None, options: Options) -> str:
    for number in range(1, 4):
        tell(number, 3)
        time.sleep(0.7)
    return "counted\n"


@pytest.mark.parametrize("workers", [1, 2])
def test_how_far_a_job_is_is_told_here_and_from_workers(tmp_path: Path, workers: int) -> None:
    (tmp_path / "s").write_text("text")
    opened = plan(tmp_path, {"x": {"source": ("s",)}}, {}, dataclasses.replace(STAGE, run=count_to_three))
    before = set(Path(tempfile.gettempdir()).glob("anipipe-*"))
    watcher = Watcher()
    executor = LocalProcesses(workers) if workers > 1 else InProcess()
    with Lock(tmp_path) as lock:
        Runner(opened, [Lane(executor, lambda device: True)], lock, watcher).run()
    executor.close()
    assert {total for _, total in watcher.words["work x"]} == {3}
    assert len({done for done, _ in watcher.words["work x"]}) >= 1
    assert not set(Path(tempfile.gettempdir()).glob(f"anipipe-{os.getpid()}-*")) - before


def die_once(source: str | None, tool: str | None, options: Options) -> str:
    """Say how often it was begun; the one with a tool ends its worker the first time."""
    folder = Path(source or tool or "")
    marker = folder / ("heavy" if tool else "light")
    with marker.open("a") as file:
        file.write("x")
    if tool and marker.read_text() == "x":
        while not (folder / "light").exists():
            time.sleep(0.02)
        os.kill(os.getpid(), signal.SIGKILL)
    while not source and not (folder / "light").exists():
        time.sleep(0.02)
    while source and (folder / "heavy").read_text() != "xx":  # until the other has begun for the second time
        time.sleep(0.02)
    return f"{len(marker.read_text())}\n"


def test_a_heavy_job_that_ends_its_worker_leaves_the_others_alone(tmp_path: Path) -> None:
    for name in "ts":
        (tmp_path / name).write_text(str(tmp_path))
    stage = dataclasses.replace(STAGE, run=die_once, device=device)
    (tmp_path / "heavy").touch()
    opened = plan(tmp_path, {"a": {"tool": ("t",)}, "b": {"source": ("s",)}}, {}, stage)
    bring_up_to_date(opened, LocalProcesses(1))
    assert (tmp_path / "out/a.txt").read_text().startswith("2")
    assert (tmp_path / "out/b.txt").read_text().startswith("1")
