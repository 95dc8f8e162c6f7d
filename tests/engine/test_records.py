from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anipipe.engine.records import Claims, Records

ONE, TWO, THREE = {"in:a": "1", "out:b": "x"}, {"in:a": "2", "out:b": "y"}, {"in:a": "3", "out:b": "z"}


def again(records: Records) -> Records:
    return Records(records.root)


def meaning(records: Records, homes=("",)) -> dict:
    found = {(home, job): claims for home in homes for job, claims in records.jobs(home)}
    return {key: claims for key, claims in found.items() if claims != Claims()}


def test_nothing_is_recorded_of_an_unknown_job(tmp_path):
    records = Records(tmp_path)
    assert records.claims("", "x") == Claims()
    assert list(records.claims("", "x").made()) == []
    assert list(records.jobs("")) == []
    assert records.claims("no/such/folder", "x") == Claims()


def test_intent_then_done_confirms_the_intent(tmp_path):
    records = Records(tmp_path)
    records.append("", "x", "intent", sync=True, facts=ONE)
    assert (records.claims("", "x").done, records.claims("", "x").intents) == (None, [ONE])
    records.append("", "x", "done", notes={"n": 1})
    for seen in (records, again(records)):
        assert seen.claims("", "x") == Claims(done=ONE, notes={"n": 1})


def test_unconfirmed_intents_may_be_on_disk_the_latest_first(tmp_path):
    records = Records(tmp_path)
    records.append("", "x", "intent", facts=ONE)
    records.append("", "x", "done", notes={})
    records.append("", "x", "intent", facts=TWO)
    records.append("", "x", "intent", facts=THREE)
    for seen in (records, again(records)):
        assert list(seen.claims("", "x").made()) == [THREE, TWO, ONE]
        assert seen.claims("", "x").done == ONE


def test_last_one_wins_and_a_success_clears_failure_and_given(tmp_path):
    records = Records(tmp_path)
    records.append("", "x", "given", facts=ONE)
    records.append("", "x", "failed", message="no", traceback="tb", time="now")
    records.append("", "x", "failed", message="still no", traceback="tb2", time="later")
    claims = again(records).claims("", "x")
    assert claims.given == ONE
    assert claims.failure == {"message": "still no", "traceback": "tb2", "time": "later"}
    records.append("", "x", "intent", facts=TWO)
    records.append("", "x", "done", notes={})
    assert again(records).claims("", "x") == Claims(done=TWO)


def test_failure_leaves_what_was_made(tmp_path):
    records = Records(tmp_path)
    records.append("", "x", "intent", facts=ONE)
    records.append("", "x", "done", notes={})
    records.append("", "x", "failed", message="no")
    assert again(records).claims("", "x").done == ONE


def test_withdrawn_is_as_if_never_made(tmp_path):
    records = Records(tmp_path)
    records.append("", "x", "intent", facts=ONE)
    records.append("", "x", "done", notes={})
    records.append("", "x", "intent", facts=TWO)
    records.append("", "x", "withdrawn")
    assert list(again(records).claims("", "x").made()) == []


def test_what_was_found_to_be_edited_is_remembered_until_it_is_made_again(tmp_path):
    records = Records(tmp_path)
    records.append("", "x", "intent", facts=ONE)
    records.append("", "x", "done", notes={})
    for digest in ("a.1", "b.2"):
        records.append("", "x", "kept", digest=digest)
    records.append("", "x", "failed", message="no")
    records.append("", "x", "intent", facts=TWO)
    for seen in (records, again(records)):
        assert seen.claims("", "x").kept == ["a.1", "b.2"]
    records.append("", "x", "done", notes={})
    for seen in (records, again(records)):
        assert seen.claims("", "x") == Claims(done=TWO)


HOME_FACTS = {
    "stage": 1,
    "option:in:a/b": "a/b",
    "in:a/b/source.txt": "1.1",
    "in:a/b/deep/er.txt": "2.1",
    "in:a/bc.txt": "3.1",
    "in:a/calibration.toml": "4.1",
    "in:table/a/b/x.txt": "5.1",
    "out:a/b/made é.txt": "6.1",
    "out:tables/b.txt": "7.1",
}


def filled(root: Path, home: str, times=1) -> Claims:
    records = Records(root)
    (root / home).mkdir(parents=True)
    for _ in range(times):
        records.append(home, "x", "intent", facts=HOME_FACTS)
        records.append(home, "x", "done", notes={"prefixes": {"made é.txt": "00"}})
        records.append(home, "x", "intent", facts={**HOME_FACTS, "stage": 2})
        records.append(home, "x", "given", facts={**HOME_FACTS, "stage": 3})
        records.append(home, "x", "failed", message="no")
        records.append(home, "x", "kept", digest="8.1")
    return records.claims(home, "x")


def in_home(home: str, stage: int) -> dict:
    """Return the facts as they are for another home: what is below it has moved, the rest has not."""
    moved = {
        "in:a/b/source.txt": f"in:{home}/source.txt",
        "in:a/b/deep/er.txt": f"in:{home}/deep/er.txt",
        "out:a/b/made é.txt": f"out:{home}/made é.txt",
    }
    return {moved.get(key, key): value for key, value in {**HOME_FACTS, "stage": stage}.items()}


@pytest.mark.parametrize("copied", [False, True])
@pytest.mark.parametrize("compacted", [False, True])
@pytest.mark.parametrize("new", ["a/c", "z", "a/b b/b", "other/a/b"])
def test_renamed_or_copied_home_keeps_its_records(tmp_path, copied, compacted, new):
    before = filled(tmp_path, "a/b", 40 if compacted else 1)
    if compacted:
        long = Records(tmp_path)
        long.claims("a/b", "x")
        length = long.file("a/b").stat().st_size
        long.compact()
        assert long.file("a/b").stat().st_size < length / 5
    (tmp_path / new).parent.mkdir(parents=True, exist_ok=True)
    (shutil.copytree if copied else shutil.move)(tmp_path / "a/b", tmp_path / new)
    claims = Records(tmp_path).claims(new, "x")
    assert (claims.done, claims.given) == (in_home(new, 1), in_home(new, 3))
    assert claims.intents[-1] == in_home(new, 2)
    assert (claims.failure, claims.kept[-1:], claims.notes) == (before.failure, ["8.1"], before.notes)
    assert Records(tmp_path).claims("a/b", "x") == (before if copied else Claims())


def test_paths_of_the_root_and_of_other_homes_are_kept_as_they_are(tmp_path):
    (tmp_path / "a").mkdir()
    records = Records(tmp_path)
    facts = {"in:a/x": "1", "in:b/x": "2", "in:x": "3", "out:tables/a/x": "4"}
    records.append("", "x", "intent", facts=facts)
    records.append("a", "x", "intent", facts=facts)
    lines = [json.loads(records.file(home).read_bytes())["facts"] for home in ("", "a")]
    assert lines == [facts, {"in:./x": "1", "in:b/x": "2", "in:x": "3", "out:tables/a/x": "4"}]
    assert again(records).claims("a", "x").intents == again(records).claims("", "x").intents == [facts]


def test_records_that_name_whole_paths_are_still_understood(tmp_path):
    """As they were written before."""
    (tmp_path / "a/.anipipe").mkdir(parents=True)
    facts = {"in:a/x": "1", "in:note": "2", "out:a/y": "3"}
    line = {"job": "x", "event": "done", "facts": facts, "notes": {}}
    Records(tmp_path).file("a").write_text(json.dumps(line) + "\n", encoding="utf-8")
    assert Records(tmp_path).claims("a", "x") == Claims(done=facts)


def test_jobs_and_homes_are_kept_apart(tmp_path):
    (tmp_path / "a").mkdir()
    records = Records(tmp_path)
    records.append("", "x", "intent", facts=ONE)
    records.append("a", "x", "intent", facts=TWO)
    records.append("a", "y", "intent", facts=THREE)
    seen = again(records)
    assert seen.claims("", "x").intents == [ONE]
    assert seen.claims("a", "x").intents == [TWO]
    assert dict(seen.jobs("a")).keys() == {"x", "y"}
    assert (tmp_path / "a" / ".anipipe").is_dir()


@pytest.mark.parametrize("cut", range(1, 40, 3))
def test_torn_tail_is_ignored_and_the_next_line_stands(tmp_path, cut):
    records = Records(tmp_path)
    records.append("", "x", "intent", facts=ONE)
    records.append("", "x", "done", notes={})
    records.append("", "x", "intent", facts=TWO)
    file = records.file("")
    file.write_bytes(file.read_bytes()[:-cut])
    seen = again(records)
    assert seen.claims("", "x").done == ONE
    assert seen.claims("", "x").intents == ([TWO] if cut == 1 else [])  # only the line's end was lost
    seen.append("", "x", "intent", facts=THREE)
    assert again(seen).claims("", "x").intents == [*([TWO] if cut == 1 else []), THREE]
    assert again(seen).claims("", "x").done == ONE


def test_text_beyond_ascii_survives(tmp_path):
    facts = {"in:sé ance/видео.mp4": "1", "option:x": 'a "b"\n\u2028'}
    Records(tmp_path).append("", "jöb", "intent", facts=facts)
    assert Records(tmp_path).claims("", "jöb").intents == [facts]


def test_name_that_is_no_valid_unicode_survives(tmp_path):
    """A file that an old program named in Latin-1 reaches Python with lone surrogates."""
    facts = {"in:" + b"caf\xe9.txt".decode("utf-8", "surrogateescape"): "1"}
    Records(tmp_path).append("", "x", "intent", facts=facts)
    assert Records(tmp_path).claims("", "x").intents == [facts]


HOSTILE = [
    b"",
    b"null",
    b"5",
    b'"text"',
    b"[]",
    b"[1, 2]",
    b"{}",
    b"{",
    b"\x00" * 50,
    b"\xff\xfe\xfd",
    b"NaN",
    b'{"job": "x"}',
    b'{"event": "done"}',
    b'{"job": "x", "event": "intent"}',
    b'{"job": "x", "event": "dance"}',
    b'{"job": ["x"], "event": "intent", "facts": {}}',
    b'{"job": {}, "event": "intent", "facts": {}}',
    b'{"job": "x", "event": ["done"]}',
    b'{"job": "x", "event": "given"}',
    b'{"job": 5, "event": "intent", "facts": {"out:b": "y"}}',
    b'{"job": null, "event": "intent", "facts": {"out:b": "y"}}',
    b'{"job": "x", "event": "intent", "facts": [1]}',
    b'{"job": "x", "event": "intent", "facts": "text"}',
    b'{"job": "x", "event": "intent", "facts": null}',
    b'{"job": "x", "event": "done", "facts": "text"}',
    b'{"job": "x", "event": "done", "facts": [1], "notes": {}}',
    b'{"job": "x", "event": "done", "notes": 7}',
    b'{"job": "x", "event": "given", "facts": 3}',
    b'{"job": "x", "event": "failed", "message": 3}',
    b'{"job": "x", "event": "kept"}',
    b'{"job": "x", "event": "kept", "digest": 5}',
    b'{"job": "x", "event": "kept", "digest": ["a.5"]}',
    b'{"job": "x", "event": "failed", "message": ["a"], "traceback": null}',
]


@pytest.mark.parametrize("line", HOSTILE)
def test_line_that_is_no_record_is_ignored(tmp_path, line):
    records = Records(tmp_path)
    records.append("", "x", "intent", facts=ONE)
    records.append("", "x", "done", notes={})
    with records.file("").open("ab") as file:
        file.write(line + b"\n")
    seen = again(records)
    seen.append("", "y", "intent", facts=TWO)
    for now in (seen, again(seen)):
        assert meaning(now) == {("", "x"): Claims(done=ONE), ("", "y"): Claims(intents=[TWO])}


@given(st.lists(st.binary(max_size=40), max_size=6))
@settings(max_examples=60, deadline=None)
def test_garbage_between_lines_is_ignored(garbage):
    with tempfile.TemporaryDirectory() as folder:
        records = Records(Path(folder))
        records.append("", "x", "intent", facts=ONE)
        with records.file("").open("ab") as file:
            file.writelines(piece + b"\n" for piece in garbage)
        again(records).append("", "x", "intent", facts=TWO)
        assert again(records).claims("", "x").intents == [ONE, TWO]


facts_of = st.dictionaries(
    st.sampled_from(["in:a", "in:h/a", "out:b", "out:h/b", "option:ü"]), st.integers(0, 3), min_size=1
)
events = st.one_of(
    st.tuples(st.just("intent"), st.fixed_dictionaries({"facts": facts_of})),
    st.tuples(
        st.just("made"),
        st.fixed_dictionaries({"facts": facts_of, "notes": st.dictionaries(st.text(), st.integers())}),
    ),
    st.tuples(st.just("given"), st.fixed_dictionaries({"facts": facts_of})),
    st.tuples(
        st.just("failed"),
        st.fixed_dictionaries({"message": st.text(), "traceback": st.text(), "time": st.text()}),
    ),
    st.tuples(st.just("kept"), st.fixed_dictionaries({"digest": st.sampled_from(["1.2", "~3.4"])})),
    st.tuples(st.just("withdrawn"), st.just({})),
)


def record(records: Records, home: str, job: str, event: str, content: dict) -> None:
    if event == "made":  # as the runner does it
        records.append(home, job, "intent", facts=content["facts"])
        records.append(home, job, "done", notes=content["notes"])
    else:
        records.append(home, job, event, **content)


@given(
    st.lists(st.tuples(st.sampled_from("xyz"), events), max_size=30),
    st.integers(1, 20),
    st.sampled_from(["", "h"]),
)
@settings(max_examples=80, deadline=None)
def test_compaction_keeps_the_meaning_of_any_history(history, repeat, home):
    with tempfile.TemporaryDirectory() as folder:
        records = Records(Path(folder))
        (Path(folder) / home).mkdir(exist_ok=True)
        for _ in range(repeat if len(history) < 10 else 3):
            for name, (event, content) in history:
                record(records, home, name, event, content)
        before = meaning(records, [home])
        assert meaning(again(records), [home]) == before
        long = again(records)
        list(long.jobs(home))
        long.compact()
        assert meaning(long, [home]) == before
        assert meaning(again(records), [home]) == before
        assert {p.name for p in records.file(home).parent.glob("*")} <= {"records.jsonl"}


def grown(tmp_path, times=60) -> Records:
    records = Records(tmp_path)
    for _ in range(times):
        records.append("", "x", "intent", facts=ONE)
        records.append("", "x", "done", notes={"n": 1})
    return records


def test_file_of_overtaken_lines_shrinks_and_goes_on(tmp_path):
    grown(tmp_path)
    records = Records(tmp_path)
    records.claims("", "x")
    records.compact()
    lines = records.file("").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["event"] for line in lines] == ["done"]
    records.append("", "x", "intent", facts=TWO)
    assert again(records).claims("", "x") == Claims(done=ONE, intents=[TWO], notes={"n": 1})


def test_short_file_is_left_alone(tmp_path):
    records = grown(tmp_path, 3)
    before = records.file("").read_bytes()
    records.compact()
    assert records.file("").read_bytes() == before


def test_compaction_that_cannot_be_written_loses_nothing(tmp_path, monkeypatch):
    records = grown(tmp_path)
    before = records.file("").read_bytes()

    def full(self, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    records.compact()
    monkeypatch.undo()
    assert records.file("").read_bytes() == before
    assert [p.name for p in records.file("").parent.iterdir()] == ["records.jsonl"]


def test_what_could_not_be_written_is_not_taken_to_be_recorded(tmp_path):
    records = Records(tmp_path)
    (tmp_path / ".anipipe").write_text("in the way", encoding="utf-8")
    with pytest.raises(OSError):
        records.append("", "x", "intent", facts=ONE)
    assert records.claims("", "x") == Claims()
