"""Jobs that hang are ended, whatever they hang in, and others go on."""

from __future__ import annotations

import time

import pytest

from anipipe.engine.executors import InProcess, LocalProcesses
from anipipe.engine.freshness import State
from anipipe.engine.progress import Patience

from .textline import Lab


def test_a_job_that_hangs_is_ended_at_once_and_told_with_where_it_was(lab: Lab) -> None:
    lab.put("a/source/one.txt", "HANG")
    began = time.monotonic()
    done = lab.run(LocalProcesses(2), patience=Patience(2.0))
    assert time.monotonic() - began < 30
    assert done.failed == {"upper a/one"}
    assert "gave no sign of life for" in done.why("upper a/one")
    (failed,) = done.outcome.failed
    assert "misbehave" in done.plan.claims(failed).failure["traceback"]
    assert {"upper a/two", "upper b/one", "upper b/three", "join b", "count"} <= done.made
    assert lab.leftovers() == []
    lab.put("a/source/one.txt", "alpha")
    assert "upper a/one" in lab.run(LocalProcesses(2), patience=Patience(20.0)).made
    assert set(lab.states().values()) == {State.FRESH}


def test_a_job_that_tells_how_far_it_is_may_take_as_long_as_it_likes(lab: Lab) -> None:
    lab.put("a/source/one.txt", "TELL")
    done = lab.run(LocalProcesses(2), only=["upper"], patience=Patience(1.5))
    assert not done.failed and not done.workers_died


@pytest.mark.parametrize(("frames", "fails"), [(0, True), (1000, False)])
def test_there_is_more_patience_the_more_there_is_to_do(lab: Lab, frames: int, fails: bool) -> None:
    """Where a job does all in one go, and tells only how much that is."""
    lab.put("a/source/one.txt", f"LONG {frames}")
    done = lab.run(LocalProcesses(2), only=["upper"], patience=Patience(1.5, 0.01))
    assert bool(done.failed) is fails


def test_patience_is_for_workers(lab: Lab) -> None:
    """What runs in this process would take all with it."""
    lab.put("a/source/one.txt", "SLOW")
    assert not lab.run(InProcess(), patience=Patience(0.01)).failed


def test_patience_without_end_is_as_good_as_none(lab: Lab) -> None:
    done = lab.run(LocalProcesses(2), only=["upper"], patience=Patience(1e300, 1e300))
    assert len(done.made) == 4 and not done.failed
