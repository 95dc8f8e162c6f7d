from __future__ import annotations

import dataclasses
import json
import time

import pytest

from anipipe.engine.declare import (
    Artifact,
    NoOptions,
    Registry,
    Stage,
    each,
    first_enabled,
    gathered,
    optional,
)
from anipipe.engine.freshness import State
from anipipe.errors import AnipipeError, UsageError

from . import textline
from .textline import (
    COUNT_STAGE,
    JOIN_STAGE,
    JOINED,
    NOTE,
    PART_STAGE,
    SHOUT_STAGE,
    SHOUTED,
    SOURCE,
    SPLIT_STAGE,
    STAGES,
    UPPER,
    UPPER_STAGE,
    Lab,
    job,
    reasons,
)


def names(stages) -> list[str]:
    return [stage.name for stage in stages]


@pytest.mark.parametrize("stages", [STAGES, STAGES[::-1], STAGES[3:] + STAGES[:3]])
def test_order_comes_from_the_artifacts(stages):
    order = names(Registry(stages))
    assert sorted(order) == sorted(names(STAGES))
    for before, after in [
        ("upper", "shout"),
        ("shout", "join"),
        ("upper", "join"),
        ("join", "split"),
        ("join", "part"),
        ("part", "count"),
    ]:
        assert order.index(before) < order.index(after)


def test_registry_knows_names_aliases_and_what_comes_before():
    registry = Registry(STAGES)
    assert registry["glue"] is registry["join"] is JOIN_STAGE
    assert set(names(registry.before(JOIN_STAGE))) == {"upper", "shout"}
    assert names(registry.upstream([SPLIT_STAGE])) == ["upper", "shout", "join", "split"]
    assert registry.upstream([UPPER_STAGE]) == (UPPER_STAGE,)


def test_stages_that_depend_on_each_other_are_refused_by_name():
    a, b = Artifact("a", "item", "a"), Artifact("b", "item", "b")
    one = Stage("one", "item", print, a, {"x": b})
    two = Stage("two", "item", print, b, {"x": a})
    with pytest.raises(ValueError, match="one -> two -> one"):
        Registry([one, two])
    with pytest.raises(ValueError, match="self -> self"):
        Registry([Stage("self", "item", print, a, {"x": optional(a)})])


@pytest.mark.parametrize("other", [{"name": "upper"}, {"name": "other", "aliases": ("glue",)}])
def test_two_stages_of_one_name_are_refused(other):
    out = Artifact("z", "item", "z")
    with pytest.raises(ValueError, match="name"):
        Registry([*STAGES, Stage(per="item", run=print, writes=out, **other)])


def test_reads_combine():
    read = each(optional(first_enabled(SHOUTED, UPPER)))
    assert read.each and read.optional and read.artifacts == (SHOUTED, UPPER)
    assert NoOptions.of(None).facts() == NoOptions.introduced() == {}


def test_two_jobs_that_write_one_path_are_refused_by_name(lab):
    again = dataclasses.replace(UPPER, name="again")
    lab.stages.append(Stage("again", "item", textline.run_shout, again, {"text": SOURCE}))
    with pytest.raises(AnipipeError, match=r"again a/one|upper a/one"):
        lab.look()


def test_stage_that_writes_one_path_twice_is_refused(lab):
    again = dataclasses.replace(textline.HEAD, name="again")
    lab.replace("split", writes=(textline.HEAD, again))
    with pytest.raises(AnipipeError, match=r"a/head\.txt"):
        lab.look()


def test_jobs_and_their_inputs(lab):
    lab.put("a/note.txt", "a note")
    plan = lab.look()
    assert {j.label for j in plan.jobs} == {
        *("upper a/one", "upper a/two", "upper b/one", "upper b/three"),
        *("join a", "join b", "split a", "split b", "part a", "part b", "count"),
    }
    joining = job(plan, "join a")
    assert [s.paths for s in joining.sources] == [
        ("a/upper/one.txt",),
        ("a/upper/two.txt",),
        ("a/note.txt",),
    ]
    assert list(job(plan, "split a").outputs) == ["a/head.txt", "a/tail.txt"]
    assert job(plan, "part a").home == "", "a collection's parts are recorded at the root"
    assert joining.home == "a"


def test_each_job_comes_after_those_it_reads_from(lab):
    lab.settings["shout"] = True
    plan = lab.look()
    for index, one in enumerate(plan.jobs):
        for source in one.sources:
            assert source.producer is None or plan.jobs.index(source.producer) < index


def test_look_ahead_tells_what_would_be_done_and_writes_nothing(lab):
    before = lab.tree()
    states = lab.states()
    assert set(states.values()) == {State.STALE}
    assert lab.tree() == before
    assert not lab.path(".anipipe").exists() and not lab.path("a/.anipipe").exists()


def test_look_ahead_after_a_change_tells_stale_and_pending(lab):
    lab.run()
    assert set(lab.states().values()) == {State.FRESH}
    lab.put("a/source/one.txt", "other")
    states = lab.states()
    assert states["upper a/one"] is State.STALE
    pending = {label for label, state in states.items() if state is State.PENDING}
    assert pending == {"join a", "split a", "part a", "count"}
    assert lab.run().made == {"upper a/one", *pending}


@pytest.mark.parametrize(("shout", "expected"), [(False, "<ALPHA>+<BETA>"), (True, "<ALPHA>!+<BETA>!")])
def test_first_enabled_is_what_is_read(lab, shout, expected):
    lab.settings["shout"] = shout
    lab.run()
    assert lab.text("a/joined.txt") == expected + "\n" + textline.END


def test_switching_a_step_off_goes_back_to_the_one_before(lab):
    lab.settings["shout"] = True
    lab.run()
    lab.settings["shout"] = False
    plan = lab.look()
    assert plan.state(job(plan, "join a")) is State.STALE
    assert set(reasons(plan, "join a")) == {
        *("new input a/upper/one.txt", "new input a/upper/two.txt"),
        *("input a/shouted/one.txt is gone", "input a/shouted/two.txt is gone"),
    }
    lab.run()
    assert lab.text("a/joined.txt").startswith("<ALPHA>+<BETA>\n")
    assert lab.path("a/shouted/one.txt").exists()


def test_switched_off_stage_takes_what_needs_it_along(lab):
    lab.run()
    lab.settings["joining"] = False
    before = {path: text for path, text in lab.tree().items() if "tables" not in path}
    done = lab.run()
    assert {j.stage.name for j in done.plan.jobs} == {"upper"}
    assert done.made == done.failed == done.blocked == set()
    assert {path: text for path, text in lab.tree().items() if "tables" not in path} == before


def test_optional_input_is_used_once_it_is_there(lab):
    lab.run()
    lab.put("a/note.txt", "a note")
    assert lab.run().made == {"join a", "split a", "part a", "count"}
    assert "(a note)" in lab.text("a/joined.txt")


def test_missing_input_says_what_to_do(lab):
    lab.lose("a", "one")
    plan = lab.look()
    assert plan.state(job(plan, "upper a/one")) is State.BLOCKED
    (reason,) = reasons(plan, "upper a/one")
    assert "a/source/one.txt" in reason and "put it into a/source/" in reason
    (reason,) = reasons(plan, "join a")
    assert "upper a/one is blocked" in reason


def test_input_that_lies_nowhere_is_named(lab):
    nowhere = Artifact("map", "world", "map.txt", read=textline.read_text, absent="draw one")
    lab.replace("split", reads={"text": JOINED, "map": nowhere})
    plan = lab.look()
    assert plan.state(job(plan, "split a")) is State.BLOCKED
    assert reasons(plan, "split a") == ("no map anywhere (draw one)",)


def test_fan_in_leaves_out_what_is_not_current_and_lists_it(lab):
    lab.put("a/source/one.txt", "FAIL")
    done = lab.run()
    assert done.state("count") is State.FRESH
    assert lab.text("tables/count.txt").startswith("b: ")
    assert done.outcome.left_out == ["part a: blocked"]
    again = lab.run()
    assert "count" not in again.made
    assert again.outcome.left_out == ["part a: blocked"], "also when there is nothing to do"


def test_an_ordinary_job_gathers_what_is_current_and_does_without_the_rest(lab):
    lab.replace("join", reads={"texts": gathered(UPPER), "note": optional(NOTE)})
    lab.put("a/note.txt", "n")
    lab.put("a/source/one.txt", "FAIL")
    done = lab.run()
    assert done.state("join a") is State.FRESH
    assert lab.text("a/joined.txt") == "<BETA> (n)\n" + textline.END
    assert done.outcome.without == ["join a does without upper a/one: failed"]
    assert done.outcome.left_out == []
    lab.put("a/source/one.txt", "well")
    assert "join a" in lab.run().made
    assert lab.text("a/joined.txt") == "<WELL>+<BETA> (n)\n" + textline.END
    assert lab.run().made == set()
    lab.put("a/source/one.txt", "FAIL")
    lab.put("a/source/two.txt", "FAIL")
    done = lab.run()
    assert lab.text("a/joined.txt") == " (n)\n" + textline.END  # all that is left of its inputs
    assert len(done.outcome.without) == 2


def test_fan_in_without_anything_is_blocked(lab):
    for path in ("a/source/one.txt", "b/source/one.txt"):
        lab.put(path, "FAIL")
    done = lab.run()
    assert done.state("count") is State.BLOCKED
    assert not lab.path("tables/count.txt").exists()


def test_fan_in_lists_a_source_that_is_missing(lab):
    tally = textline.made("tally", "whole", "tables/tally.txt")
    lab.stages.append(
        Stage("tally", "whole", textline.run_count, tally, {"parts": each(SOURCE)}, fan_in=True)
    )
    lab.lose("a", "one")
    done = lab.run(only=["tally"])
    assert lab.text("tables/tally.txt").endswith("3 groups\n" + textline.END)
    assert len(done.outcome.left_out) == 1
    assert "a/one" in done.outcome.left_out[0]


def test_fan_in_reads_a_source_that_is_empty(lab):
    """A table must not silently be without a file that is there: whether it is any good, its reader says."""
    tally = textline.made("tally", "whole", "tables/tally.txt")
    lab.stages.append(
        Stage("tally", "whole", textline.run_count, tally, {"parts": each(SOURCE)}, fan_in=True)
    )
    lab.put("a/source/one.txt", "")
    assert lab.run(only=["tally"]).outcome.left_out == []
    assert lab.text("tables/tally.txt") == "beta\ngamma\ndelta ü\n4 groups\n" + textline.END


def test_no_job_for_a_fan_in_of_nothing(tmp_path):
    empty = Lab(tmp_path)
    assert empty.look().jobs == []


def test_stage_alone_uses_stale_inputs_and_names_them(lab):
    lab.run()
    lab.put("a/source/one.txt", "other")
    lab.settings["separator"] = "-"
    done = lab.run(only=["join"])
    assert done.made == {"join a", "join b"}
    assert lab.text("a/joined.txt").startswith("<ALPHA>-<BETA>")
    stale = {j.label: e.stale_inputs for j, e in done.plan.verdicts.items() if e.stale_inputs}
    assert stale["join a"] == ["upper a/one is stale"]
    assert "join b" not in stale


def test_stale_inputs_are_named_across_a_step_that_was_not_selected(lab):
    lab.run()
    lab.put("a/source/one.txt", "other")
    plan = lab.look(only=["split"])
    assert plan.state(job(plan, "join a")) is State.PENDING, "true to a file that is not what it should be"
    assert plan.verdicts[job(plan, "split a")].stale_inputs == ["join a is pending"]
    assert plan.verdicts[job(plan, "split b")].stale_inputs == []
    assert plan.state(job(plan, "split a")) is State.FRESH


def test_stage_alone_is_blocked_by_an_input_that_was_never_made(lab):
    done = lab.run(only=["join"])
    assert done.blocked == {"join a", "join b"}
    assert "upper a/one is stale" in done.why("join a")


def test_tables_alone_leave_out_what_is_not_current(lab):
    lab.run()
    lab.put("a/source/one.txt", "other")
    done = lab.run(only=["part", "count"])
    assert done.outcome.left_out == ["part a: blocked"]
    assert lab.text("tables/count.txt").startswith("b: ")


def test_only_chosen_units(lab):
    registry = Registry(lab.stages)
    plan = lab.look()
    units = {j.unit for j in plan.jobs if j.unit.group == "a"}
    plan.select(registry.stages, units=units)
    assert {j.label for j in plan.jobs if j.selected} == {
        *("upper a/one", "upper a/two", "join a", "split a", "part a"),
    }


def test_force_of_a_file_and_of_a_folder(lab):
    first = lab.run()
    assert first.made
    assert lab.run(force=["a/upper/one.txt"]).made == {"upper a/one"}
    assert lab.run(force=["a/upper"]).made == {"upper a/one", "upper a/two"}
    assert lab.run(force=["a/head.txt"]).made == {"split a"}
    assert lab.run(force=["a", "tables/count.txt"]).made == {
        *("upper a/one", "upper a/two", "join a", "split a", "count"),
    }


def test_force_of_the_whole_experiment(lab):
    assert len(lab.run().made) == 11
    assert len(lab.run(force=[""]).made) == 11


@pytest.mark.parametrize("path", ["a/source/one.txt", "a/upp", "nonsense", "a/upper/one.txt/x"])
def test_force_of_what_no_stage_writes_is_refused(lab, path):
    with pytest.raises(UsageError, match="--force"):
        lab.run(force=["a", path])


def test_force_does_not_reach_beyond_what_is_selected(lab):
    lab.run()
    plan = lab.look(only=["join"], force=["a"])
    assert plan.state(job(plan, "upper a/one")) is State.FRESH, "it will not be made again"
    assert plan.verdicts[job(plan, "join a")].stale_inputs == []
    assert lab.run(only=["join"], force=["a"]).made == {"join a"}


def test_status_takes_what_failed_as_not_coming(lab):
    lab.put("a/source/one.txt", "FAIL")
    lab.run()
    states = lab.states(retrying=False)
    assert states["upper a/one"] is State.FAILED
    assert {label for label, state in states.items() if state is State.BLOCKED} == {
        *("join a", "split a", "part a"),
    }
    assert states["count"] is State.FRESH, "it is without that part already"
    plan = lab.look(retrying=False)
    assert reasons(plan, "join a") == ("upper a/one failed",)
    assert plan.verdicts[job(plan, "count")].situation.left_out == ["part a: blocked"]
    assert job(plan, "count") not in plan.ahead() and job(plan, "upper a/one") in plan.ahead()


def test_look_ahead_of_a_run_takes_what_failed_as_coming(lab):
    lab.put("a/source/one.txt", "FAIL")
    lab.run()
    states = lab.states()
    assert states["upper a/one"] is State.FAILED
    assert {states[label] for label in ("join a", "split a", "part a")} == {State.STALE}
    assert State.BLOCKED not in states.values()
    lab.put("a/source/one.txt", "alpha\n")
    assert {label for label, state in lab.states().items() if state.to_do or state is State.PENDING} == {
        *("upper a/one", "join a", "split a", "part a", "count"),
    }


def test_status_takes_what_is_stale_as_coming(lab):
    lab.run()
    lab.put("a/source/one.txt", "other")
    assert lab.states(retrying=False) == lab.states()
    assert lab.states()["join a"] is State.PENDING


def test_paths_are_all_that_is_read_or_written(lab):
    lab.put("a/note.txt", "a note")
    sources = {*("a/source/one.txt", "a/source/two.txt", "b/source/one.txt", "b/source/three.txt")}
    uppers = {path.replace("source", "upper") for path in sources}
    groups = {f"{group}/{name}.txt" for group in "ab" for name in ("joined", "head", "tail")}
    tables = {"tables/parts/a.txt", "tables/parts/b.txt", "tables/count.txt"}
    assert lab.look().paths() == {*sources, *uppers, *groups, *tables, "a/note.txt"}


def test_notes_of_what_no_job_mentions_any_more_are_dropped(lab):
    lab.run()
    time.sleep(0.05)
    lab.run()
    noted = json.loads(lab.path(".anipipe/stats.json").read_text(encoding="utf-8"))["files"]
    assert set(noted) == lab.look().paths()
    lab.stages = [UPPER_STAGE]
    lab.run()
    noted = json.loads(lab.path(".anipipe/stats.json").read_text(encoding="utf-8"))["files"]
    assert set(noted) == lab.look().paths()
    assert "a/joined.txt" not in noted


def test_counts(lab):
    lab.run()
    lab.put("a/source/one.txt", "FAIL")
    lab.run()
    counts = lab.look().counts()
    assert counts[State.FAILED] == 1 and counts.total() == 11


def test_libraries_are_facts(lab):
    lab.replace("upper", libraries=("pytest", "no-such-distribution"))
    fixed = job(lab.look(), "upper a/one").fixed
    assert fixed["library:pytest"] == pytest.__version__
    assert fixed["library:no-such-distribution"] == "none"


def test_names_of_other_stages_are_those_of_the_pipeline():
    assert {s.name for s in (COUNT_STAGE, PART_STAGE, SHOUT_STAGE)} <= set(names(STAGES))
