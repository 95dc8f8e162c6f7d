"""Which job is begun next, and what is left when the time is up or a recording is not finished."""

from __future__ import annotations

import dataclasses
import time
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from anipipe.engine.declare import Artifact, Registry, Stage, Unit, each
from anipipe.engine.digest import Disk
from anipipe.engine.executors import InProcess, LocalProcesses, WorkersDied
from anipipe.engine.freshness import State
from anipipe.engine.lanes import Lane
from anipipe.engine.lock import Lock
from anipipe.engine.order import Order, Queue
from anipipe.engine.plan import Plan
from anipipe.engine.records import Records
from anipipe.engine.runner import Runner
from tests.engine.textline import Lab, Watcher, job, made, read_plain

RAW = Artifact("raw", "view", read=read_plain)
BOARD = Artifact("board", "rig", read=read_plain)
POSE = made("pose", "view", "pose/{view}.txt")
RIG = made("rig", "rig", "rig.txt")
WHOLE = made("whole", "trial", "whole/{trial}.txt")


def copy(raw: str, options: object) -> str:
    return raw + "\n"


def join(poses: list[str], rig: str, options: object) -> str:
    return "".join(poses) + rig


STAGES = (
    Stage("see", "view", copy, POSE, {"raw": RAW}),
    Stage("measure", "rig", copy, RIG, {"raw": BOARD}),
    Stage("join", "trial", join, WHOLE, {"poses": each(POSE), "rig": RIG}),
)


def units(root: Path, sizes: dict[str, int]) -> list[Unit]:
    """Trials of two views whose recordings have so many MiB, and a small recording of the board."""
    (root / "board.txt").write_text("board")
    rig = Unit("rig", "rig", "", "rig", "", {}, {}, {"board": ("board.txt",)})
    found = [rig]
    for trial, size in sizes.items():
        views = []
        for camera in "AB":
            name = f"{trial}{camera}"
            with (root / f"{name}.raw").open("wb") as file:
                file.truncate(size << 20)  # sparse
            views.append(
                Unit("view", name, "", name, "", {"view": name}, {}, {"raw": (f"{name}.raw",)}, batch=trial)
            )
        related = {"view": views, "rig": [rig]}
        found += [*views, Unit("trial", trial, "", trial, "", {"trial": trial}, {}, {}, related, batch=trial)]
    return found


def test_what_others_wait_for_comes_first_then_the_largest_trial_and_each_is_finished(tmp_path: Path) -> None:
    plan = Plan(
        Registry(STAGES), units(tmp_path, {"s": 1, "l": 5, "m": 3}), Disk(tmp_path), Records(tmp_path)
    )
    plan.examine_all()
    watcher = Watcher()
    with Lock(tmp_path) as lock:
        Runner(plan, [Lane(InProcess(), lambda device: True)], lock, watcher).run()
    assert watcher.order == [
        "measure rig",
        *("see lA", "see lB", "join l"),
        *("see mA", "see mB", "join m"),
        *("see sA", "see sB", "join s"),
    ]


class Waiting:
    """What a queue holds: anything with a job."""

    def __init__(self, job: object) -> None:
        self.job = job


def test_the_trial_with_the_least_left_is_next_among_those_begun(tmp_path: Path) -> None:
    plan = Plan(
        Registry(STAGES), units(tmp_path, {"a": 9, "b": 1, "c": 5}), Disk(tmp_path), Records(tmp_path)
    )
    order = Order(plan.jobs, plan.dependents.__getitem__, lambda job: 0)
    queue = Queue(order)
    for label in ("see aB", "see bB", "join c", "see cB"):
        queue.push(Waiting(job(plan, label)))  # type: ignore[arg-type]
    for label in ("see aA", "see cA"):
        order.begun(job(plan, label))
    order.ended(job(plan, "see cA"))
    assert [queue.pop().job.label for _ in range(4)] == ["see cB", "join c", "see aB", "see bB"]
    assert not queue
    with pytest.raises(IndexError):
        queue.pop()


@pytest.mark.parametrize(("executor", "wait"), [(None, 0.0), (None, 0.5), (lambda: LocalProcesses(2), 0.0)])
def test_once_the_time_is_up_nothing_new_is_begun_and_the_next_run_goes_on(lab: Lab, executor, wait) -> None:
    lab.settings["pause"] = 0.3
    done = lab.run(executor() if executor else None, until=time.time() + wait)
    assert not done.failed and not done.blocked
    left = {each.label for each in done.outcome.put_off}
    assert left and not left & done.made and len(left | done.made) == 11
    assert lab.leftovers() == []
    assert lab.run().made == left


def test_a_job_that_waits_in_a_worker_is_not_begun_when_the_time_is_up(lab: Lab) -> None:
    """Each worker has one job in hand and one that waits; the second may be a long one."""
    lab.settings["pause"] = 1.0
    watcher = Watcher()
    done = lab.run(LocalProcesses(1), watcher=watcher, until=time.time() + 2.5)
    assert watcher.order[:2] == ["upper a/one", "upper a/two"]
    assert len(done.made) <= 3 and not done.failed


class Deserted:
    """An executor elsewhere whose one worker dies with the first job, or never begins it; no other comes."""

    elsewhere = tells = True

    def __init__(self, dies: bool) -> None:
        self.dies, self.capacity = dies, 1

    def meter(self, token: str, number: int, heard: object) -> None:
        return None

    def submit(self, function: object, argument: object) -> Future[Any]:
        future: Future[Any] = Future()
        self.capacity = 0
        if self.dies:
            future.set_exception(WorkersDied(1))
        return future

    def restart(self) -> None:
        pass

    def close(self, *, kill: bool = False) -> None:
        pass


@pytest.mark.parametrize("dies", [True, False])
def test_a_run_without_workers_ends_when_the_time_is_up_and_idles_until_then(lab: Lab, dies: bool) -> None:
    began, computed = time.monotonic(), time.process_time()
    done = lab.run(Deserted(dies), until=time.time() + 2.5)
    assert 2 < time.monotonic() - began < 10
    assert time.process_time() - computed < 1
    assert not done.made and not done.failed and len(done.outcome.put_off) == 11
    assert len(lab.run().made) == 11


def test_what_nobody_needs_is_not_asked_for(lab: Lab) -> None:
    class Refusing(Deserted):
        @property
        def capacity(self) -> int:
            raise AssertionError("there is nothing for this lane")

        @capacity.setter
        def capacity(self, value: int) -> None:
            pass

    lanes = [Lane(Refusing(dies=False), "cuda".__eq__), Lane(InProcess(), "".__eq__)]
    assert len(lab.run(lanes=lanes).made) == 11


def test_what_is_still_being_written_and_what_rests_on_it_waits(lab: Lab) -> None:
    lab.run()
    lab.put("a/source/one.txt", "half of it")
    lab.put("b/source/one.txt", "other")
    plan = lab.look()
    plan.wait_for({"a/source/one.txt": "a/source/one.txt is still being written"})
    plan.examine_all()
    waiting = {each.label for each in plan.jobs if plan.state(each) is State.WAITING}
    assert waiting == {"upper a/one", "join a", "split a", "part a"}
    assert plan.verdicts[job(plan, "upper a/one")].verdict.reasons == (
        "a/source/one.txt is still being written",
    )
    assert plan.verdicts[job(plan, "join a")].verdict.reasons == ("upper a/one waits",)
    with Lock(lab.root) as lock:
        outcome = Runner(plan, [Lane(InProcess(), lambda device: True)], lock, Watcher()).run()
    assert {each.label for each in outcome.waiting} == waiting
    assert {each.label for each in outcome.made} == {
        *("upper b/one", "join b", "split b", "part b", "count"),
    }
    assert not outcome.failed and not outcome.blocked and not outcome.left_out
    assert lab.text("a/upper/one.txt").startswith("<ALPHA>"), "what there was stays"
    assert lab.run().made == {"upper a/one", "join a", "split a", "part a", "count"}


def test_a_table_of_nothing_but_what_waits_waits(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    lab.put("a/source/one.txt", "text")
    plan = lab.look()
    plan.wait_for({"a/source/one.txt": "why"})
    plan.examine_all()
    assert {plan.state(each) for each in plan.jobs} == {State.WAITING}


def test_what_has_not_changed_does_not_wait(lab: Lab) -> None:
    """A clone or a touch: the content is what it was."""
    lab.run()
    plan = lab.look()
    plan.wait_for({"a/source/one.txt": "why"})
    plan.examine_all()
    assert {plan.state(each) for each in plan.jobs} == {State.FRESH}


def test_an_input_that_changes_while_its_job_waits_for_room_is_looked_at_again(lab: Lab, hooks) -> None:
    """Hours may lie between the look ahead and the start: the job is done with what is there then."""
    hooks["upper"] = lambda: (hooks.clear(), lab.put("b/source/three.txt", "more of it than before"))
    done = lab.run()
    assert not done.failed and len(done.made) == 11
    assert lab.text("b/upper/three.txt").startswith("<MORE OF IT")
    assert lab.run().made == set()


def test_several_devices_have_a_process_each_and_any_takes_what_is_for_any(tmp_path: Path) -> None:
    stage = dataclasses.replace(STAGES[0], device=lambda view: {"A": "cuda:1", "B": "auto"}[view.label[-1]])
    plan = Plan(Registry([stage]), units(tmp_path, {"a": 1, "b": 1}), Disk(tmp_path), Records(tmp_path))
    plan.examine_all()
    ran: dict[str, list[str]] = {}

    class Device(InProcess):
        def __init__(self, name: str) -> None:
            self.name = name

        def submit(self, function, argument):
            ran.setdefault(self.name, []).append(argument.names["view"])
            return super().submit(function, argument)

    lanes = [
        Lane(Device("cuda:0"), ("auto", "cuda", "cuda:0").__contains__),
        Lane(Device("cuda:1"), ("auto", "cuda", "cuda:1").__contains__),
        Lane(InProcess(), "".__eq__),
    ]
    with Lock(tmp_path) as lock:
        Runner(plan, lanes, lock, Watcher()).run()
    assert set(ran["cuda:1"]) >= {"aA", "bA"} and not {"aA", "bA"} & set(ran.get("cuda:0", []))
    assert sorted(name for names in ran.values() for name in names) == ["aA", "aB", "bA", "bB"]
