"""Outputs that only serve what is made from them: item texts in capitals, for the joined text of a group."""

from __future__ import annotations

import dataclasses

import pytest

from anipipe.engine.declare import consulted, each
from anipipe.engine.freshness import State

from .textline import END, JOIN_STAGE, SOURCE, UPPER, UPPER_STAGE, Lab, job

UPPERS = {"upper a/one", "upper a/two"}


def run_join(texts, sources, options):
    return options.separator.join(text.strip() for text in texts) + f" of {len(sources)}\n"


@pytest.fixture
def lab(lab):
    lab.stages = [
        dataclasses.replace(UPPER_STAGE, on_demand=True),
        dataclasses.replace(JOIN_STAGE, run=run_join, reads={"texts": each(UPPER), "sources": each(SOURCE)}),
    ]
    return lab


def adopt(lab: Lab, label: str) -> None:
    """Record an output as it is, as if it had been made from what is there."""
    plan = lab.look()
    adopted = job(plan, label)
    situation = plan.verdicts[adopted].situation
    facts = {**situation.facts, **{f"out:{path}": digest for path, digest in situation.outputs.items()}}
    plan.records.append(adopted.home, adopted.key, "done", facts=facts)


def test_nothing_there_everything_is_made(lab):
    assert lab.run().made == {*UPPERS, "join a", "upper b/one", "upper b/three", "join b"}
    assert lab.text("a/joined.txt") == "<ALPHA>+<BETA> of 2\n" + END
    assert lab.run().made == set()


def test_what_serves_a_given_output_is_not_made(lab):
    lab.put("a/joined.txt", "from elsewhere\n" + END)
    done = lab.run()
    assert done.made == {"upper b/one", "upper b/three", "join b"}
    assert {done.state(label) for label in UPPERS} == {State.SPARED}
    assert done.state("join a") is State.GIVEN
    assert not lab.path("a/upper").exists()


def test_a_changed_input_of_a_given_output_is_a_conflict_and_makes_nothing(lab):
    lab.put("a/joined.txt", "from elsewhere\n" + END)
    lab.run()
    lab.put("a/source/one.txt", "other\n")
    done = lab.run()
    assert done.state("join a") is State.CONFLICT and "a/source/one.txt changed" in done.why("join a")
    assert done.made == set() and done.state("upper a/one") is State.SPARED


def test_an_adopted_output_is_fresh_without_what_serves_it(lab):
    lab.put("a/joined.txt", "from elsewhere\n" + END)
    adopt(lab, "join a")
    done = lab.run()
    assert done.state("join a") is State.FRESH and done.made == {"upper b/one", "upper b/three", "join b"}


@pytest.mark.parametrize("change", ["input", "option", "deleted", "force"])
def test_it_is_made_once_what_it_serves_has_to_be_made(lab, change):
    lab.put("a/joined.txt", "from elsewhere\n" + END)
    adopt(lab, "join a")
    lab.run()
    force = ()
    if change == "input":
        lab.put("a/source/one.txt", "other\n")
    elif change == "option":
        lab.settings["separator"] = "-"
    elif change == "deleted":
        lab.path("a/joined.txt").unlink()
    else:
        force = ("a/joined.txt",)
    assert lab.run(force=force).made >= {*UPPERS, "join a"}
    assert "<BETA>" in lab.text("a/joined.txt")
    assert lab.run().made == set()


def test_once_made_it_is_kept_up_like_anything_else(lab):
    lab.run()
    lab.path("a/upper/one.txt").unlink()
    assert lab.run().made == {"upper a/one"}


def test_a_failure_of_it_blocks_what_it_serves_and_is_forgotten_with_that(lab):
    lab.put("a/source/one.txt", "FAIL\n")
    done = lab.run()
    assert done.failed == {"upper a/one"} and done.blocked == {"join a"}
    lab.put("a/joined.txt", "from elsewhere\n" + END)
    done = lab.run()
    assert done.failed == set() and done.state("upper a/one") is State.SPARED


def test_one_that_is_asked_for_brings_those_that_serve_the_same(lab):
    lab.put("a/joined.txt", "from elsewhere\n" + END)
    adopt(lab, "join a")
    lab.run()
    assert lab.run(force=("a/upper/one.txt",)).made == {*UPPERS, "join a"}
    assert lab.text("a/joined.txt") == "<ALPHA>+<BETA> of 2\n" + END


def test_what_was_only_consulted_may_go(lab):
    reads = {"texts": each(UPPER), "sources": consulted(each(SOURCE))}
    lab.stages[1] = dataclasses.replace(lab.stages[1], reads=reads)
    assert "join a" in lab.run().made
    for item in ("one", "two"):
        lab.lose("a", item)
    done = lab.run()
    assert done.made == set() and done.state("join a") is State.FRESH
    lab.put("a/source/one.txt", "another\n")
    assert "join a" in lab.run().made
