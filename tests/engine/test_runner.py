from __future__ import annotations

import dataclasses
import errno
import os
import shutil
import time
from pathlib import Path

import pytest

from anipipe.engine import digest
from anipipe.engine.differences import PENDING
from anipipe.engine.digest import Disk
from anipipe.engine.freshness import State
from anipipe.engine.plan import Plan
from anipipe.engine.records import Records
from anipipe.errors import LockedError

from .textline import (
    DEFAULTS,
    END,
    HEAD,
    SHOUTED,
    SOURCE,
    TAIL,
    UPPER,
    UPPER_STAGE,
    Watcher,
    job,
    read_text,
    reasons,
)


def claims(lab, label):
    plan = lab.look()
    return plan.claims(job(plan, label))


def times(lab, *paths) -> list[int]:
    return [lab.path(path).stat().st_mtime_ns for path in paths]


# --- what is done again


def test_second_run_does_nothing(lab):
    assert len(lab.run().made) == 11
    before = {path: lab.path(path).stat().st_mtime_ns for path in lab.tree()}
    records = lab.path("a/.anipipe/records.jsonl").read_bytes()
    again = lab.run()
    assert again.watcher.order == [] and again.made == set()
    assert {path: lab.path(path).stat().st_mtime_ns for path in lab.tree()} == before
    assert lab.path("a/.anipipe/records.jsonl").read_bytes() == records
    assert set(again.watcher.states.values()) == {State.FRESH}


def test_results_are_right(lab):
    lab.run()
    assert lab.text("a/joined.txt") == "<ALPHA>+<BETA>\n" + END
    assert lab.text("a/head.txt") == "<ALPHA>\n" + END
    assert lab.text("a/tail.txt") == "+<BETA>\n" + END
    assert lab.text("tables/count.txt") == "a: <ALPHA>+<BETA>\nb: <GAMMA>+<DELTA Ü>\n2 groups\n" + END


DOWN_A = {"join a", "split a", "part a", "count"}
DOWN = {*DOWN_A, "join b", "split b", "part b"}
UPPERS = {"upper a/one", "upper a/two", "upper b/one", "upper b/three"}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda lab: lab.put("a/source/one.txt", "other"), {"upper a/one", *DOWN_A}),
        (lambda lab: lab.put("a/source/new.txt", "new"), {"upper a/new", *DOWN_A}),
        (
            lambda lab: lab.put("c/source/new.txt", "new"),
            {"upper c/new", "join c", "split c", "part c", "count"},
        ),
        (lambda lab: lab.put("a/note.txt", "a note"), DOWN_A),
        (lambda lab: lab.settings.update(suffix="?"), UPPERS | DOWN),
        (lambda lab: lab.settings.update(separator="-"), DOWN),
        (lambda lab: lab.settings.update(pause=0.001), set()),
        (lambda lab: lab.replace("upper", version=2), UPPERS),
        (lambda lab: lab.replace("split", version=2), {"split a", "split b"}),
        (lambda lab: lab.path("a/upper/one.txt").unlink(), {"upper a/one"}),
        (lambda lab: lab.path("a/tail.txt").unlink(), {"split a"}),
        (lambda lab: lab.path("tables/parts/a.txt").unlink(), {"part a"}),
        (lambda lab: lab.path("a/upper/one.txt").write_text("cut sho"), {"upper a/one"}),
        (lambda lab: lab.path("a/upper/one.txt").write_text(""), {"upper a/one"}),
        (lambda lab: os.utime(lab.path("a/source/one.txt")), set()),
        (lambda lab: lab.path(".anipipe/stats.json").unlink(missing_ok=True), set()),
        (lambda lab: lab.path(".anipipe/stats.json").write_text("garbage"), set()),
    ],
)
def test_change_redoes_exactly_what_depends_on_it(lab, change, expected):
    lab.run()
    change(lab)
    ahead = {label for label, state in lab.states().items() if state in (State.STALE, State.PENDING)}
    assert lab.run().made == expected
    assert expected <= ahead, "a look ahead names at least what will be done"
    assert lab.run().made == set()


def test_identical_bytes_stop_there(lab):
    lab.run()
    before = times(lab, "a/upper/one.txt", "a/joined.txt")
    lab.put("a/source/one.txt", "ALPHA\n")
    done = lab.run()
    assert done.made == {"upper a/one"}
    assert done.state("join a") is State.FRESH
    assert times(lab, "a/upper/one.txt", "a/joined.txt") == before, "the file is left untouched"
    assert lab.leftovers() == []
    assert lab.run().made == set()


@pytest.mark.parametrize("missing", ["tables/count.txt", "tables/parts/a.txt", "a/head.txt"])
def test_what_is_missing_is_made_also_where_the_change_before_it_came_to_nothing(lab, missing):
    """Looking ahead, its input is going to be made again; then it stays as it was."""
    lab.run()
    complete = lab.tree()
    lab.put("a/source/one.txt", "ALPHA\n")
    lab.path(missing).unlink()
    done = lab.run()
    assert not done.failed
    assert lab.tree() == {**complete, "a/source/one.txt": b"ALPHA\n"}
    assert lab.run().made == set()


def test_verdict_of_the_look_ahead_never_stands_where_inputs_were_to_be_made_again(lab, monkeypatch):
    """Also not where the job before it turned out to have nothing to do."""
    lab.run()
    lab.put("a/source/one.txt", "ALPHA\n")
    lab.replace("part", version=2)
    done = lab.run()
    assert done.made == {"upper a/one", "part a", "part b"}
    assert set(done.watcher.states.values()) == {State.FRESH}, "nothing is left pending"
    for one, examined in done.plan.verdicts.items():
        assert PENDING not in examined.situation.facts.values(), one.label
    for file in lab.root.rglob("records.jsonl"):
        assert "PENDING" not in file.read_text(encoding="utf-8")


def test_each_job_is_looked_at_once_where_nothing_changed_and_twice_where_it_may_have(lab, monkeypatch):
    lab.run()
    looked: list[str] = []
    original = Plan.examine
    monkeypatch.setattr(Plan, "examine", lambda plan, one: looked.append(one.label) or original(plan, one))
    lab.run()
    assert sorted(looked) == sorted(lab.states())
    lab.put("a/source/one.txt", "other")
    looked.clear()
    lab.run()
    twice = {label for label in looked if looked.count(label) == 2}
    assert twice == DOWN_A
    assert len(looked) == 11 + len(twice)


def test_verdict_of_the_look_ahead_never_stands_where_the_job_before_it_came_out_otherwise(lab):
    """A text of two is gone, so that the join of both was archived; now that the other one fails, what
    rests on the join is not current any more."""
    lab.run()
    lab.path("a/source/two.txt").unlink()
    lab.path("a/upper/two.txt").unlink()
    lab.put("a/source/one.txt", "FAIL")
    assert lab.states()["join a"] is State.ARCHIVED
    assert lab.states()["split a"] is lab.states()["part a"] is State.FRESH
    done = lab.run()
    assert {done.state(label) for label in ("join a", "split a", "part a")} == {State.BLOCKED}
    assert done.outcome.withdrawn == ["tables/parts/a.txt"]


def test_what_rests_on_a_failure_is_not_judged_by_the_look_ahead(lab):
    lab.run()
    lab.put("a/source/one.txt", "FAIL")
    done = lab.run()
    assert {done.state(label) for label in ("join a", "split a", "part a")} == {State.BLOCKED}
    assert "upper a/one failed" in done.why("join a") and "join a is blocked" in done.why("split a")


def test_moved_or_copied_experiment_recomputes_nothing(lab):
    lab.run()
    shutil.copytree(lab.root, lab.root.parent / "copy")
    lab.root = lab.root.parent / "copy"
    assert lab.run().made == set()


def test_renamed_session_recomputes_only_its_part_of_the_tables(lab):
    lab.put("a/note.txt", "a note")
    lab.run()
    lab.path("a").rename(lab.path("c"))
    done = lab.run()
    assert done.made == {"part c", "count"} and done.watcher.withdrawals == ["tables/parts/a.txt"]
    assert set(done.watcher.states.values()) == {State.FRESH}
    lab.put("c/upper/one.txt", "better and longer\n" + END)
    assert lab.run().state("upper c/one") is State.EDITED


def test_copied_session_recomputes_only_its_part_of_the_tables(lab):
    lab.run()
    shutil.copytree(lab.path("a"), lab.path("c"))
    assert lab.run().made == {"part c", "count"}
    lab.put("a/source/one.txt", "other")
    assert lab.run().made == {"upper a/one", *DOWN_A}, "they are not the same any more"


def test_given_up_and_restored_input_needs_nothing(lab):
    lab.run()
    lab.put("a/source/one.txt", "FAIL\n")
    lab.run()
    lab.put("a/source/one.txt", "alpha\n")
    assert lab.run().made == {"part a", "count"}, "only what was taken out of the tables"
    assert set(lab.states().values()) == {State.FRESH}


def test_reason_of_a_rerun_is_told(lab):
    lab.run()
    lab.settings["suffix"] = "?"
    lab.settings["style"] = {**DEFAULTS["style"], "right": "]"}
    done = lab.run()
    assert "suffix: '' -> '?'" in done.why("upper a/one")
    assert "style.right: '>' -> ']'" in done.why("upper a/one")


def test_option_that_the_records_lack_counts_as_introduced(lab):
    lab.run()
    for file in lab.root.rglob("records.jsonl"):
        text = file.read_text(encoding="utf-8")
        assert '"option:suffix":"",' in text or file.parent.parent == lab.root
        file.write_text(text.replace('"option:suffix":"",', ""), encoding="utf-8")
    assert lab.run().made == set()
    lab.settings["suffix"] = "?"
    assert lab.run().made >= UPPERS


def test_a_trial_is_finished_before_the_next_one_is_opened(lab):
    order = lab.run().watcher.order
    assert order.index("split a") < order.index("upper b/three")


def test_empty_output_is_a_failure(lab):
    """An empty file counts as missing, so that a job that writes one cannot be called done."""
    lab.replace("shout", run=make_nothing)
    lab.settings["shout"] = True
    bare = dataclasses.replace(SHOUTED, write=write_bare, read=None)
    lab.replace("shout", writes=bare)
    done = lab.run(only=["upper", "shout"])
    assert done.made == UPPERS
    assert done.failed == {label.replace("upper", "shout") for label in UPPERS}
    assert "ValueError: shouted was written with nothing in it" in done.why("shout a/one")
    assert not list(lab.path("a/shouted").iterdir())


def make_nothing(text, options):
    return ""


def write_bare(text, path):
    path.write_text(text)


# --- failures


def test_failure_is_its_own(lab):
    lab.put("a/source/one.txt", "FAIL")
    done = lab.run()
    assert done.failed == {"upper a/one"}
    assert done.blocked == {"join a", "split a", "part a"}
    assert done.made == {
        "upper a/two",
        "upper b/one",
        "upper b/three",
        "join b",
        "split b",
        "part b",
        "count",
    }
    assert "upper a/one failed" in done.why("join a")
    failure = claims(lab, "upper a/one").failure
    assert failure["message"].startswith("this text does not fit")
    assert "a/source/one.txt" in failure["message"], "a message that names no file gets one"
    assert "DataError" in failure["traceback"] and "run_upper" in failure["traceback"]
    assert failure["time"]
    assert lab.leftovers() == []
    assert "this text does not fit" in reasons(lab.look(), "upper a/one")[0]


def test_next_run_retries_only_what_failed(lab):
    lab.put("a/source/one.txt", "FAIL")
    lab.run()
    again = lab.run()
    assert (again.failed, again.made) == ({"upper a/one"}, set())
    lab.put("a/source/one.txt", "fine")
    assert lab.run().made == {"upper a/one", *DOWN_A}
    assert set(lab.states().values()) == {State.FRESH}
    assert claims(lab, "upper a/one").failure is None


def test_failure_is_forgotten_when_its_cause_is_taken_back(lab):
    lab.run()
    before = claims(lab, "upper a/one")
    lab.put("a/source/one.txt", "FAIL\n")
    lab.run()
    assert claims(lab, "upper a/one").failure is not None
    lab.put("a/source/one.txt", "alpha\n")
    assert lab.run().made == {"part a", "count"}
    assert claims(lab, "upper a/one") == before
    records = lab.path("a/.anipipe/records.jsonl").read_bytes()
    assert lab.run().made == set()
    assert lab.path("a/.anipipe/records.jsonl").read_bytes() == records, "once is enough"


def unconfirmed(lab, monkeypatch, **run):
    """Run until the first output of upper a/one is in place, but not yet confirmed."""
    append = Records.append

    def dying(self, home, job, event, **more):
        if (event, job) == ("done", "upper:one"):
            raise KeyboardInterrupt
        append(self, home, job, event, **more)

    monkeypatch.setattr(Records, "append", dying)
    with pytest.raises(KeyboardInterrupt):
        lab.run(only=["upper"], **run)
    monkeypatch.undo()


@pytest.mark.parametrize("again", [False, True])
def test_failure_is_forgotten_also_of_what_was_never_confirmed(lab, monkeypatch, again):
    """Killed between rename and record, then a failure whose cause is taken back."""
    if again:
        lab.run()
        lab.put("a/source/one.txt", "other\n")
    unconfirmed(lab, monkeypatch)
    text = lab.text("a/source/one.txt")
    lab.put("a/source/one.txt", "FAIL\n")
    assert "upper a/one" in lab.run().failed
    lab.put("a/source/one.txt", text)
    assert lab.states()["upper a/one"] is State.FRESH
    assert lab.run().state("upper a/one") is State.FRESH
    seen = claims(lab, "upper a/one")
    assert seen.failure is None
    assert lab.states()["upper a/one"] is State.FRESH, "it is still known to be ours"


def test_defect_of_a_stage_is_told_as_one(lab):
    lab.put("a/source/one.txt", "CRASH")
    done = lab.run()
    assert done.failed == {"upper a/one"}
    assert "ValueError: a defect" in done.why("upper a/one")
    assert "ValueError" in claims(lab, "upper a/one").failure["traceback"]


def test_failing_again_keeps_the_old_output_and_blocks_what_rests_on_it(lab):
    lab.run()
    before = lab.text("a/upper/one.txt")
    lab.put("a/source/one.txt", "FAIL")
    done = lab.run()
    assert done.failed == {"upper a/one"} and done.blocked == {"join a", "split a", "part a"}
    assert lab.text("a/upper/one.txt") == before
    assert lab.states()["upper a/one"] is State.FAILED


def test_notices_are_kept_and_told(lab):
    lab.put("a/source/one.txt", "NOTICE")
    done = lab.run()
    assert done.watcher.notices["upper a/one"] == ["an odd text"]
    assert claims(lab, "upper a/one").notes == {"letters": 9, "notices": ["an odd text"]}


def test_missing_input_blocks(lab):
    lab.lose("a", "one")
    done = lab.run()
    assert done.blocked == {"upper a/one", "join a", "split a", "part a"}
    assert done.failed == set()


def test_empty_input_fails_in_its_reader_by_name(lab):
    """It is there, and its owner believes that it holds something."""
    lab.put("a/upper/one.txt", "<ALPHA>\n" + END)
    lab.replace("upper", reads={"text": dataclasses.replace(SOURCE, read=read_text)})
    for path in ("a/source/two.txt", "b/source/one.txt", "b/source/three.txt"):
        lab.put(path, "text\n" + END)
    lab.put("a/source/two.txt", "")
    done = lab.run()
    assert done.failed == {"upper a/two"} and done.blocked == {"join a", "split a", "part a"}
    assert "a/source/two.txt" in done.why("upper a/two")
    lab.put("a/source/two.txt", "text\n" + END)
    assert "upper a/two" in lab.run().made


@pytest.mark.parametrize("where", ["before", "meanwhile"])
def test_empty_output_is_nobodys_work(lab, hooks, where):
    """It is what a crashed program leaves."""
    lab.put("a/upper/one.txt", "")
    if where == "before":
        lab.put("a/joined.txt", "")
    else:
        hooks["join"] = lambda: (hooks.clear(), lab.put("a/joined.txt", ""))
    done = lab.run()
    assert len(done.made) == 11
    assert lab.text("a/joined.txt") == "<ALPHA>+<BETA>\n" + END


def test_input_that_is_emptied_while_its_job_runs_fails_it(lab, hooks):
    hooks["upper"] = lambda: (hooks.clear(), lab.put("a/source/one.txt", ""))
    done = lab.run()
    assert done.failed == {"upper a/one"}
    assert not lab.path("a/upper/one.txt").exists()


def test_name_that_is_too_long_fails_its_job_only(lab):
    """A pattern with a prefix or a longer suffix can push a name over the file system's limit."""
    long = dataclasses.replace(UPPER, pattern="{folder}other/" + "long" * 57 + "{item}.txt")
    lab.stages = [dataclasses.replace(UPPER_STAGE, writes=long)]
    lab.put("c/source/" + "x" * 30 + ".txt", "text")
    for _ in range(2):  # the second time, the folder is there
        done = lab.run(only=["upper"])
        assert done.failed | done.blocked == {"upper c/" + "x" * 30}
        assert "too long" in done.why("upper c/" + "x" * 30)


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, ["disk is full", "a/upper/one.txt"]),
        (errno.EACCES, ["no permission", "a/upper"]),
        (errno.EROFS, [os.strerror(errno.EROFS), "a/upper"]),
        (errno.EIO, ["a/upper/one.txt", os.strerror(errno.EIO)]),
    ],
)
def test_writer_that_meets_an_error_of_the_system_explains_it(lab, hooks, number, words):
    def meet():
        hooks.clear()
        raise OSError(number, os.strerror(number))

    hooks["write"] = meet
    done = lab.run()
    assert done.failed == {"upper a/one"}
    message = claims(lab, "upper a/one").failure["message"]
    assert all(word in message for word in words), message
    assert ".anipipe-" not in message, "users know nothing of temporary files"
    assert lab.leftovers() == []
    assert lab.run().made == {"upper a/one", *DOWN_A}


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_read_only_folder(lab):
    lab.path("a/upper").mkdir()
    lab.path("a/upper").chmod(0o555)
    done = lab.run()
    assert done.failed == {"upper a/one", "upper a/two"}
    assert "no permission" in done.why("upper a/one")


def test_rename_that_fails_leaves_nothing_and_is_retried(lab, monkeypatch):
    original = Path.replace

    def fail(self, target):
        if Path(target).name == "tail.txt":
            raise OSError(errno.ENOSPC, "No space left on device", str(self))
        return original(self, target)

    monkeypatch.setattr(Path, "replace", fail)
    done = lab.run()
    assert done.failed == {"split a", "split b"}
    assert "disk is full" in done.why("split a")
    assert lab.leftovers() == []
    monkeypatch.undo()
    assert lab.run().made == {"split a", "split b"}


def test_records_that_cannot_be_written_fail_the_job_and_commit_nothing(lab, monkeypatch):
    lab.run()
    lab.put("a/source/one.txt", "other")
    before = lab.tree()
    original = Records.append

    def full(self, home, job, event, **more):
        if home == "a":
            raise OSError(errno.ENOSPC, "No space left on device")
        original(self, home, job, event, **more)

    monkeypatch.setattr(Records, "append", full)
    done = lab.run(only=["upper"])
    assert done.failed == {"upper a/one"} and "disk is full" in done.why("upper a/one")
    assert lab.tree() == before
    monkeypatch.undo()
    assert "upper a/one" in lab.run().made


def test_source_whose_name_is_no_unicode_is_processed(lab):
    """Old programs named files in Latin-1; one such file must not end the run of a whole lab."""
    path = os.fsencode(lab.path("a/source")) + b"/caf\xe9.txt"
    Path(os.fsdecode(path)).write_text("coffee\n", encoding="utf-8")
    done = lab.run()
    assert len(done.made | done.failed | done.blocked) == 12
    assert done.made >= {"upper b/one", "join b", "part b", "upper a/one"}


def test_description_that_cannot_be_recorded_fails_its_job_only(lab):
    lab.replace("split", writes=(dataclasses.replace(HEAD, describe=describe_badly), TAIL))
    done = lab.run()
    assert done.failed == {"split a", "split b"}
    assert "TypeError" in done.why("split a")
    assert lab.leftovers() == []
    assert not lab.path("a/head.txt").exists() and not lab.path("a/tail.txt").exists()


def test_description_is_the_same_at_once_and_from_the_record(lab):
    lab.replace("split", writes=(dataclasses.replace(HEAD, describe=describe_loosely), TAIL))
    done = lab.run()
    assert done.plan.claims(job(done.plan, "split a")).notes == claims(lab, "split a").notes
    assert claims(lab, "split a").notes == {"pair": [1, 2], "1": "one", "letters": 8}


def describe_loosely(text):
    return {"pair": (1, 2), 1: "one"}


def describe_badly(text):
    return {"thing": object()}


# --- other people's work


def test_given_output_is_used_and_never_replaced(lab):
    lab.put("a/upper/one.txt", "mine\n" + END)
    done = lab.run()
    assert done.state("upper a/one") is State.GIVEN
    assert lab.text("a/upper/one.txt") == "mine\n" + END
    assert lab.text("a/joined.txt").startswith("mine+<BETA>")
    lab.put("a/source/one.txt", "other")
    lab.settings["suffix"] = "?"
    done = lab.run()
    assert done.state("upper a/one") is State.CONFLICT
    assert "a/source/one.txt changed" in done.why("upper a/one")
    assert lab.text("a/upper/one.txt") == "mine\n" + END
    done = lab.run(force=["a/upper/one.txt"])
    assert "upper a/one" in done.made
    assert lab.text("a/upper/one.txt") == "<OTHER?>\n" + END
    assert set(lab.states().values()) == {State.FRESH}


def test_given_output_that_its_owner_replaces_is_seen_anew(lab):
    """They made it again from what is there now: no conflict, until that changes once more."""
    lab.put("a/upper/one.txt", "mine\n" + END)
    lab.run()
    lab.put("a/source/one.txt", "other")
    lab.put("a/upper/one.txt", "mine, too\n" + END)
    assert lab.states()["upper a/one"] is State.GIVEN
    done = lab.run()
    assert done.state("upper a/one") is State.GIVEN and done.made == DOWN_A
    given = claims(lab, "upper a/one").given
    digest = done.plan.disk.digest
    assert given["out:a/upper/one.txt"] == digest("a/upper/one.txt")
    assert given["in:a/source/one.txt"] == digest("a/source/one.txt")
    lab.put("a/source/one.txt", "third")
    done = lab.run()
    assert done.state("upper a/one") is State.CONFLICT and "a/source/one.txt changed" in done.why(
        "upper a/one"
    )
    assert claims(lab, "upper a/one").given == given, "a conflict lasts until its owner does something"
    assert lab.run().state("upper a/one") is State.CONFLICT
    lab.put("a/source/one.txt", "other")
    assert lab.run().state("upper a/one") is State.GIVEN


def test_given_output_is_recorded_once(lab):
    lab.put("a/upper/one.txt", "mine\n" + END)
    lab.run()
    before = lab.path("a/.anipipe/records.jsonl").read_bytes()
    lab.run()
    assert lab.path("a/.anipipe/records.jsonl").read_bytes() == before


def test_given_output_that_is_deleted_is_made(lab):
    lab.put("a/upper/one.txt", "mine\n" + END)
    lab.run()
    lab.path("a/upper/one.txt").unlink()
    assert "upper a/one" in lab.run().made
    assert set(lab.states().values()) == {State.FRESH}


def test_edited_output_is_kept_and_used(lab):
    lab.run()
    lab.put("a/upper/one.txt", "better\n" + END)
    done = lab.run()
    assert done.state("upper a/one") is State.EDITED
    assert done.made == DOWN_A
    assert lab.text("a/joined.txt").startswith("better+<BETA>")
    assert lab.text("a/upper/one.txt") == "better\n" + END
    assert lab.run().made == set()
    lab.put("a/source/one.txt", "other")
    done = lab.run()
    assert (done.state("upper a/one"), done.made) == (State.CONFLICT, set())
    assert lab.text("a/upper/one.txt") == "better\n" + END
    assert "upper a/one" in lab.run(force=["a/upper"]).made


def test_truncated_given_output_is_not_replaced(lab):
    lab.put("a/upper/one.txt", "min")
    assert lab.run().state("upper a/one") is State.GIVEN
    assert lab.text("a/upper/one.txt") == "min"


def test_output_edited_while_its_job_runs_is_kept(lab, hooks):
    lab.run()
    lab.put("a/note.txt", "a note")

    def edit():
        hooks.clear()
        lab.put("a/joined.txt", "precious\n" + END)

    hooks["join"] = edit
    done = lab.run()
    assert done.failed == {"join a"}
    assert "written by somebody" in done.why("join a") and "a/joined.txt" in done.why("join a")
    assert lab.text("a/joined.txt") == "precious\n" + END
    assert lab.leftovers() == []
    assert lab.run().state("join a") is State.CONFLICT
    assert lab.text("a/joined.txt") == "precious\n" + END


def test_output_that_somebody_puts_there_while_its_job_runs_is_kept(lab, hooks):
    def give():
        hooks.clear()
        lab.put("a/joined.txt", "precious\n" + END)

    hooks["join"] = give
    done = lab.run()
    assert lab.text("a/joined.txt") == "precious\n" + END
    assert done.failed == {"join a"}
    assert lab.leftovers() == []
    assert lab.run().state("join a") is State.GIVEN
    assert lab.text("tables/count.txt").startswith("a: precious")


def test_output_that_somebody_puts_there_before_its_job_starts_is_kept(lab, hooks):
    """A run takes all night; what was missing in the evening may have been given since."""

    def give():
        hooks.clear()
        lab.put("a/joined.txt", "precious\n" + END)

    hooks["upper"] = give
    lab.run()
    assert lab.text("a/joined.txt") == "precious\n" + END


def test_input_changed_while_its_job_runs_fails_it_and_commits_nothing(lab, hooks):
    def change():
        hooks.clear()
        lab.put("a/source/one.txt", "changed meanwhile")

    hooks["upper"] = change
    done = lab.run()
    assert done.failed == {"upper a/one"}
    assert "changed while" in done.why("upper a/one") and "a/source/one.txt" in done.why("upper a/one")
    assert not lab.path("a/upper/one.txt").exists()
    assert lab.leftovers() == []
    assert "upper a/one" in lab.run().made
    assert lab.text("a/upper/one.txt") == "<CHANGED MEANWHILE>\n" + END


def test_input_deleted_while_its_job_runs_fails_it(lab, hooks):
    def delete():
        hooks.clear()
        lab.path("a/note.txt").unlink()

    lab.put("a/note.txt", "a note")
    hooks["join"] = delete
    done = lab.run()
    assert done.failed == {"join a"} and not lab.path("a/joined.txt").exists()


def test_archived_input_leaves_its_output_in_use(lab):
    lab.run()
    lab.path("a/source/one.txt").unlink()
    done = lab.run()
    assert done.state("upper a/one") is State.ARCHIVED
    assert done.made == done.failed == done.blocked == set()
    assert done.outcome.left_out == []
    lab.settings["separator"] = "-"
    assert lab.run().made == DOWN
    assert lab.text("a/joined.txt").startswith("<ALPHA>-<BETA>")


# --- collections


@pytest.mark.parametrize("text", ["FAIL", "CRASH"])
def test_part_of_a_blocked_job_is_taken_out_and_comes_back(lab, text):
    lab.run()
    complete = lab.text("tables/count.txt")
    lab.put("a/source/one.txt", text)
    done = lab.run()
    assert done.outcome.withdrawn == done.watcher.withdrawals == ["tables/parts/a.txt"]
    assert not lab.path("tables/parts/a.txt").exists()
    assert lab.text("tables/count.txt").endswith("1 groups\n" + END)
    assert lab.run().outcome.withdrawn == []
    lab.put("a/source/one.txt", "alpha\n")
    assert {"part a", "count"} <= lab.run().made
    assert lab.text("tables/count.txt") == complete
    assert set(lab.states().values()) == {State.FRESH}


def test_part_is_taken_out_also_where_what_lies_between_was_deleted(lab):
    """Its source is there, and has changed: what was made of it before is out of date, and not archived."""
    lab.run()
    lab.put("a/source/one.txt", "FAIL")
    lab.path("a/joined.txt").unlink()
    done = lab.run()
    assert done.state("part a") is State.BLOCKED
    assert done.outcome.withdrawn == ["tables/parts/a.txt"]
    assert lab.text("tables/count.txt").endswith("1 groups\n" + END)


def test_part_whose_own_job_fails_is_taken_out(lab):
    lab.run()
    lab.put("b/source/one.txt", "partless")
    done = lab.run()
    assert done.failed == {"part b"}
    assert done.outcome.withdrawn == ["tables/parts/b.txt"]
    assert lab.text("tables/count.txt") == "a: <ALPHA>+<BETA>\n1 groups\n" + END


def test_part_of_a_group_that_vanished_is_taken_out_and_comes_back(lab, tmp_path):
    lab.run()
    complete = lab.text("tables/count.txt")
    lab.path("b").rename(tmp_path / "b")
    done = lab.run()
    assert done.outcome.withdrawn == ["tables/parts/b.txt"]
    assert done.made == {"count"}
    assert lab.text("tables/count.txt") == "a: <ALPHA>+<BETA>\n1 groups\n" + END
    (tmp_path / "b").rename(lab.path("b"))
    assert lab.run().made == {"part b", "count"}
    assert lab.text("tables/count.txt") == complete


def test_table_of_nothing_is_taken_out(lab, tmp_path):
    lab.run()
    for group in "ab":
        lab.path(group).rename(tmp_path / group)
    done = lab.run()
    assert sorted(done.outcome.withdrawn) == [
        "tables/count.txt",
        "tables/parts/a.txt",
        "tables/parts/b.txt",
    ]


def test_edited_part_of_a_group_that_vanished_is_not_removed(lab, tmp_path):
    lab.run()
    lab.put("tables/parts/b.txt", "precious\n" + END)
    lab.path("b").rename(tmp_path / "b")
    assert lab.run().outcome.withdrawn == []
    assert lab.text("tables/parts/b.txt") == "precious\n" + END


def test_edited_part_is_kept_and_used(lab):
    lab.run()
    lab.put("tables/parts/b.txt", "precious\n" + END)
    lab.put("b/source/one.txt", "FAIL")
    lab.run()
    assert lab.text("tables/parts/b.txt") == "precious\n" + END
    assert "precious" in lab.text("tables/count.txt")


def test_given_part_is_not_removed(lab):
    lab.put("tables/parts/b.txt", "precious\n" + END)
    lab.put("b/source/one.txt", "FAIL")
    assert lab.run().outcome.withdrawn == []
    assert lab.text("tables/parts/b.txt") == "precious\n" + END


def test_what_is_not_collected_stays_where_its_job_fails(lab):
    lab.run()
    lab.put("a/source/one.txt", "FAIL")
    lab.run()
    assert lab.path("a/joined.txt").exists() and lab.path("a/upper/one.txt").exists()


def test_part_that_cannot_be_removed_is_still_ours(lab, monkeypatch):
    """Such as one that another program holds open on Windows: it must not pass for somebody else's work."""
    lab.run()
    lab.put("a/source/one.txt", "FAIL")
    original = Path.unlink

    def refuse(self, missing_ok=False):
        if self.name == "a.txt":
            raise PermissionError(errno.EACCES, "Permission denied", str(self))
        original(self, missing_ok)

    monkeypatch.setattr(Path, "unlink", refuse)
    lab.run()
    monkeypatch.undo()
    assert lab.states(retrying=False)["part a"] is State.BLOCKED
    assert claims(lab, "part a").done is not None
    lab.put("a/source/one.txt", "other")
    assert {"part a", "count"} <= lab.run().made
    assert lab.text("tables/count.txt").startswith("a: <OTHER>+<BETA>")


# --- interrupted


@pytest.mark.parametrize("where", ["upper", "write", "join", "split", "count"])
def test_interrupted_run_goes_on_from_there(lab, hooks, where):
    def interrupt():
        raise KeyboardInterrupt

    hooks[where] = interrupt
    with pytest.raises(KeyboardInterrupt):
        lab.run()
    assert lab.leftovers() == []
    assert not lab.path(".anipipe/lock").exists()
    hooks.clear()
    states = set(lab.states().values())
    assert states <= {State.FRESH, State.STALE, State.PENDING}
    done = lab.run()
    assert not done.failed
    assert lab.run().made == set()
    assert lab.text("tables/count.txt").endswith("2 groups\n" + END)


class Interrupting(Watcher):
    def settled(self, job, verdict, **more):
        super().settled(job, verdict, **more)
        if len(self.states) == 3:
            raise KeyboardInterrupt


def test_interrupted_between_jobs(lab):
    with pytest.raises(KeyboardInterrupt):
        lab.run(watcher=Interrupting())
    assert lab.leftovers() == []
    first = {label for label, state in lab.states().items() if state is State.FRESH}
    assert len(first) == 3
    assert lab.run().made.isdisjoint(first)


@pytest.mark.parametrize("moment", ["intent", "first rename", "second rename"])
def test_killed_while_committing_several_outputs(lab, monkeypatch, moment):
    """Whatever the moment, nothing of ours looks foreign, and nothing mixed looks fresh."""
    lab.run()
    lab.put("a/note.txt", "a note")
    append, replace = Records.append, Path.replace
    renamed = []

    def dying_append(self, home, job, event, **more):
        append(self, home, job, event, **more)
        if moment == "intent" and event == "intent" and job.startswith("split"):
            raise KeyboardInterrupt

    def dying_replace(self, target):
        result = replace(self, target)
        if Path(target).name in ("head.txt", "tail.txt"):
            renamed.append(target)
            if len(renamed) == (1 if moment == "first rename" else 2):
                raise KeyboardInterrupt
        return result

    monkeypatch.setattr(Records, "append", dying_append)
    if moment != "intent":
        monkeypatch.setattr(Path, "replace", dying_replace)
    with pytest.raises(KeyboardInterrupt):
        lab.run(only=["upper", "join", "split"])
    monkeypatch.undo()
    expected = State.FRESH if moment == "second rename" else State.STALE
    assert lab.states()["split a"] is expected
    lab.run()
    assert lab.text("a/head.txt") + lab.text("a/tail.txt") == f"<ALPHA>+<BET\n{END}A> (a note)\n{END}"
    assert lab.leftovers() == [], "at the latest, the next run cleans up"


def test_run_whose_lock_is_taken_away_writes_nothing_more(lab, hooks):
    def steal():
        hooks.clear()
        lab.path(".anipipe/lock").write_text('{"token": "thief", "host": "elsewhere"}')

    hooks["join"] = steal
    with pytest.raises(LockedError, match="taken away"):
        lab.run()
    assert not lab.path("a/joined.txt").exists()
    assert lab.path(".anipipe/lock").exists(), "it is the thief's"


def test_run_whose_lock_is_taken_away_leaves_alone_what_the_thief_is_at(lab, hooks):
    """A machine that slept wakes up to find that another one has gone on with its work."""

    def steal():
        hooks.clear()
        lab.path(".anipipe/lock").write_text('{"token": "thief", "host": "elsewhere"}')
        lab.put("a/upper/.anipipe-thief-0123456789ab.txt", "half of")

    hooks["join"] = steal
    with pytest.raises(LockedError, match="taken away"):
        lab.run()
    assert lab.leftovers() == [
        ".anipipe/lock",
        ".anipipe/unfinished",
        "a/upper/.anipipe-thief-0123456789ab.txt",
    ]


@pytest.mark.parametrize("word", ["FAIL", ""])
def test_run_whose_lock_is_taken_away_notes_no_failure_and_takes_nothing_out(lab, hooks, word):
    """The other one may have made just that in the meantime."""
    lab.run()
    lab.put("a/source/one.txt", f"{word} other")
    known = lab.path("a/.anipipe/records.jsonl").read_bytes()

    def steal():
        hooks.clear()
        lab.path(".anipipe/lock").write_text('{"token": "thief", "host": "elsewhere"}')

    hooks["upper"] = steal
    with pytest.raises(LockedError, match="taken away"):
        lab.run()
    assert lab.path("a/.anipipe/records.jsonl").read_bytes() == known
    assert lab.path("tables/parts/a.txt").exists()


def test_run_whose_lock_is_taken_away_leaves_nothing_unfinished(lab, hooks):
    hooks["join"] = lab.path(".anipipe/lock").unlink
    with pytest.raises(LockedError):
        lab.run()
    assert list(lab.root.rglob(".anipipe-*")) == []
    hooks.clear()
    lab.run()
    assert lab.leftovers() == []


def test_what_a_run_knows_of_files_it_wrote_needs_no_second_reading(lab, monkeypatch):
    lab.run()
    time.sleep(0.05)
    lab.run()
    read = []
    original = digest.digest_file
    monkeypatch.setattr(digest, "digest_file", lambda path, **k: read.append(path) or original(path, **k))
    lab.run()
    assert read == []
    assert Disk(lab.root).digest("a/upper/one.txt") is not None
