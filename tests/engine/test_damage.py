"""Texts that are shorter than they were made: cut short, or somebody's work?"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import shutil
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from anipipe.engine import digest as module
from anipipe.engine.damage import damage_of_text
from anipipe.engine.digest import (
    EMPTY,
    begins,
    digest_file,
    known_prefixes,
    prefix_digests,
    size_in,
)
from anipipe.engine.freshness import Damage, State
from anipipe.engine.records import Claims
from anipipe.errors import DataError

from .textline import END, HEAD, JOINED, TAIL, UPPER, job, reasons

COUNT = 31
WHOLE = "whole.txt"


def ends(size: int) -> list[int]:
    """Return where the prefixes of a file end."""
    return [size * index // (COUNT + 1) for index in range(1, COUNT + 1)]


def common(one: bytes, two: bytes) -> int:
    """Return how many bytes two contents begin with alike."""
    return next(
        (at for at, (a, b) in enumerate(zip(one, two, strict=False)) if a != b), min(len(one), len(two))
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("texts")


class Text:
    """A text that was made with its prefixes noted, and what is found of others in its place."""

    def __init__(self, folder: Path, content: bytes) -> None:
        self.path, self.content = folder / WHOLE, content
        self.path.write_bytes(content)
        self.prefixes = prefix_digests(self.path)
        self.claims = Claims(
            {f"out:{WHOLE}": digest_file(self.path)}, notes={"prefixes": {WHOLE: self.prefixes}}
        )

    def damage(self, content: bytes) -> Damage:
        self.path.write_bytes(content)
        return damage_of_text(self.path, WHOLE, self.claims)


# --- digests with sizes, and of prefixes


@pytest.mark.parametrize("size", [0, 1, 9, 10, 2**20 - 1, 2**20, 2**20 + 1])
def test_digest_tells_the_size(tmp_path, size):
    path = tmp_path / "x"
    path.write_bytes(b"x" * size)
    digest = digest_file(path)
    assert size_in(digest) == size
    assert digest == f"{hashlib.blake2b(b'x' * size, digest_size=16).hexdigest()}.{size}"


def test_sampled_digest_tells_the_size_of_the_whole(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "SAMPLED_ABOVE", 1000)
    monkeypatch.setattr(module, "_BLOCK", 100)
    (tmp_path / "x").write_bytes(b"x" * 5000)
    digest = digest_file(tmp_path / "x", sampled=True)
    assert digest.startswith("~") and size_in(digest) == 5000


@pytest.mark.parametrize("digest", [EMPTY, "", "!No such device", "0123abcd", "a.", "a.-1", "a.x", "!x.5y"])
def test_what_is_no_digest_of_a_content_has_no_size(digest):
    assert size_in(digest) == 0


@pytest.mark.parametrize("block", [1, 7, 2**20])
@pytest.mark.parametrize("size", [0, 1, 2, 31, 32, 33, 1000, 4321])
def test_prefixes_are_those_of_the_content(tmp_path, monkeypatch, size, block):
    monkeypatch.setattr(module, "_BLOCK", block)
    content = os.urandom(size)
    path = tmp_path / "x"
    path.write_bytes(content)
    prefixes = prefix_digests(path)
    assert prefixes == "".join(
        hashlib.blake2b(content[:end], digest_size=3).hexdigest() for end in ends(size)
    )
    assert len(prefixes) == 6 * COUNT
    assert known_prefixes(path, size, prefixes) == (COUNT, COUNT)
    path.write_bytes(content + b"more")
    assert known_prefixes(path, size, prefixes) == (COUNT, COUNT)


def test_prefixes_of_a_file_of_several_blocks(tmp_path):
    """Its 32nd parts are longer than a block."""
    path = tmp_path / "x"
    path.write_bytes(bytes(range(256)) * (2**18 + 1000))
    size = path.stat().st_size
    assert size // 32 > module._BLOCK
    prefixes = prefix_digests(path)
    assert known_prefixes(path, size, prefixes) == (COUNT, COUNT)
    with path.open("rb+") as file:
        file.truncate(size // 2)
    assert known_prefixes(path, size, prefixes) == (16, 16)
    with path.open("rb+") as file:
        file.seek(size // 4 + 5)
        file.write(b"!!")
    assert known_prefixes(path, size, prefixes) == (8, 16)


@given(st.binary(max_size=300), st.binary(max_size=300))
@example(b"", b"")
@example(b"a" * 40, b"")
@example(b"", b"abc")
@settings(max_examples=300, deadline=None)
def test_known_prefixes_of_any_other_text(folder, whole, other):
    path = folder / "any"
    path.write_bytes(whole)
    prefixes = prefix_digests(path)
    path.write_bytes(other)
    agreeing, reached = known_prefixes(path, len(whole), prefixes)
    assert reached == sum(end <= len(other) for end in ends(len(whole)))
    assert agreeing == sum(end <= common(whole, other) for end in ends(len(whole)))


def test_known_prefixes_of_a_shorter_foreign_text(tmp_path):
    path = tmp_path / "x"
    path.write_bytes(b"m" * 3200)
    prefixes = prefix_digests(path)
    path.write_bytes(b"f" * 1650)
    assert known_prefixes(path, 3200, prefixes) == (0, 16)
    path.write_bytes(b"m" * 350 + b"f" * 1300)
    assert known_prefixes(path, 3200, prefixes) == (3, 16)
    path.write_bytes(b"f" * 99)
    assert known_prefixes(path, 3200, prefixes) == (0, 0), "too short to tell"


@pytest.mark.parametrize("prefixes", ["", "00", "zz" * 93, "00" * 3])
def test_prefixes_that_are_none_agree_with_nothing(tmp_path, prefixes):
    path = tmp_path / "x"
    path.write_bytes(b"m" * 3200)
    assert known_prefixes(path, 3200, prefixes) == (0, COUNT)


@pytest.mark.parametrize("block", [1, 3, 2**20])
@pytest.mark.parametrize(
    ("part", "whole", "expected"),
    [
        (b"", b"", True),
        (b"", b"abc", True),
        (b"abc", b"abcdef", True),
        (b"abc", b"abc", True),
        (b"abcd", b"abc", False),
        (b"abd", b"abcdef", False),
        (b"xbc", b"abcdef", False),
        (b"a", b"", False),
    ],
)
def test_begins(tmp_path, monkeypatch, block, part, whole, expected):
    monkeypatch.setattr(module, "_BLOCK", block)
    (tmp_path / "part").write_bytes(part)
    (tmp_path / "whole").write_bytes(whole)
    assert begins(tmp_path / "part", tmp_path / "whole") is expected


# --- what became of a text


def lines_of(size: int) -> bytes:
    text = b"".join(b"%d,%.3f,%d\n" % (n, n * 1.7, n % 7) for n in range(size // 8 + 1))
    return text[:size]


@pytest.mark.parametrize("size", [2, 3, 10, 31, 32, 33, 63, 64, 65, 100, 333, 1000])
def test_cut_at_any_length_is_never_taken_for_somebodys_work(tmp_path, size):
    text = Text(tmp_path, lines_of(size))
    found = {length: text.damage(text.content[:length]) for length in range(1, size)}
    # Cut is said as soon as there is anything to compare; whole lines are what somebody left.
    for length, what in found.items():
        assert what is expected_of_cut(text.content, length), length


def expected_of_cut(content: bytes, length: int) -> Damage:
    if content[:length].endswith(b"\n"):
        return Damage.NONE
    return Damage.CUT if length >= ends(len(content))[0] else Damage.UNSURE


def test_cut_of_a_large_text_is_never_taken_for_somebodys_work(tmp_path):
    text = Text(tmp_path, lines_of(3 * 2**20 + 17))
    size = len(text.content)
    near = {1, 2, size // 2, size - 2, size - 1, 2**20, 2**21 + 1}
    near |= {end + shift for end in ends(size) for shift in (-1, 0, 1)}
    for length in sorted(near):
        assert text.damage(text.content[:length]) is expected_of_cut(text.content, length), length


contents = st.one_of(
    st.binary(min_size=2, max_size=120),
    st.lists(st.integers(-(10**9), 10**9), min_size=1, max_size=120).map(
        lambda numbers: "".join(f"{n}\n" for n in numbers).encode()
    ),
    st.integers(200, 5000).map(lines_of),
)


@given(contents, st.data())
@settings(max_examples=400, deadline=None)
def test_cut_of_any_text(folder, content, data):
    length = data.draw(st.integers(1, len(content) - 1))
    assert Text(folder, content).damage(content[:length]) is expected_of_cut(content, length)


@given(contents, st.integers(1, 20), st.binary(max_size=20), st.data())
@settings(max_examples=600, deadline=None)
def test_edit_that_shortens_a_text_is_never_taken_for_a_cut_where_it_can_be_told(
    folder, content, shorter, put, data
):
    """It can be, unless all that was changed lies after the last prefix that what is left reaches."""
    shorter = min(shorter, len(content) - 1)
    put = put[: len(content) - shorter]
    start = data.draw(st.integers(0, len(content) - shorter - len(put)))
    edited = content[:start] + put + content[start + len(put) + shorter :]
    assert len(edited) == len(content) - shorter
    what = Text(folder, content).damage(edited)
    last = max((end for end in ends(len(content)) if end <= len(edited)), default=0)
    if edited.endswith(b"\n") or common(content, edited) < last:
        assert what is Damage.NONE
    else:
        assert what is (Damage.CUT if last else Damage.UNSURE)


@pytest.mark.parametrize("shorter", range(1, 21))
def test_edit_near_the_end_of_a_text_of_some_length_is_left_to_a_comparison(tmp_path, shorter):
    """The last 32nd is longer than what went: all the prefixes are still reached."""
    text = Text(tmp_path, lines_of(2000) + b"end")
    edited = text.content[: -shorter - 10] + text.content[-10:]
    assert text.damage(edited) is Damage.CUT
    assert text.damage(edited[:-1] + b"\n") is Damage.NONE


@pytest.mark.parametrize(
    "notes",
    [{}, {"prefixes": {}}, {"prefixes": {"other.txt": "00" * 93}}, {"prefixes": {WHOLE: None}}],
)
def test_nothing_can_be_told_without_prefixes(tmp_path, notes):
    """They were made before anipipe noted them, or never confirmed."""
    text = Text(tmp_path, lines_of(1000))
    text.claims.notes = notes
    assert text.damage(text.content[:502]) is text.damage(b"mine") is Damage.UNSURE
    text = Text(tmp_path, lines_of(1000))
    text.claims.done = None
    assert text.damage(text.content[:502]) is Damage.UNSURE


# --- in a run

ONE = "a/upper/one.txt"
DOWN_A = {"join a", "split a", "part a", "count"}


@pytest.fixture
def texts(lab):
    """Upper and joined texts of some length, noted as texts, made once."""
    lab.replace("upper", writes=dataclasses.replace(UPPER, text=True))
    lab.replace("join", writes=dataclasses.replace(JOINED, text=True))
    lab.replace("split", writes=tuple(dataclasses.replace(a, text=True) for a in (HEAD, TAIL)))
    for group, item in (("a", "one"), ("a", "two"), ("b", "one")):
        lab.put(f"{group}/source/{item}.txt", " ".join(f"{item}{n}" for n in range(200)))
    lab.run()
    return lab


def edited_near_the_end(text: str) -> str:
    """Take two letters from before the last mark."""
    whole = text.removesuffix(">\n" + END)
    assert whole != text
    return whole[:-2] + ">\n" + END


def broken_off_edit(text: str) -> str:
    """Edit near the end, and leave the last line without its end, as a cut would."""
    return edited_near_the_end(text).rstrip("\n")


def kept(lab, label) -> list[str]:
    plan = lab.look()
    return plan.claims(job(plan, label)).kept


def test_text_edited_near_its_end_is_kept_at_once(texts):
    mine = edited_near_the_end(texts.text(ONE))
    texts.put(ONE, mine)
    plan = texts.look()
    assert plan.state(job(plan, "upper a/one")) is State.EDITED
    done = texts.run()
    assert (done.state("upper a/one"), done.made) == (State.EDITED, DOWN_A)
    assert "upper a/one" not in done.watcher.order
    assert texts.text(ONE) == mine and kept(texts, "upper a/one") == []


def test_edit_that_looks_like_a_cut_is_kept_after_one_comparison(texts):
    mine = broken_off_edit(texts.text(ONE))
    texts.put(ONE, mine)
    plan = texts.look()
    assert plan.state(job(plan, "upper a/one")) is State.STALE
    assert reasons(plan, "upper a/one") == (f"{ONE} was cut short",)
    done = texts.run()
    assert done.watcher.order.count("upper a/one") == 1
    assert done.state("upper a/one") is State.EDITED
    assert f"{ONE} was changed since anipipe made it" in done.why("upper a/one")
    assert texts.text(ONE) == mine
    assert texts.leftovers() == []
    assert kept(texts, "upper a/one") == [digest_file(texts.path(ONE))]
    # Known from now on, also where it could no longer be compared.
    again = texts.run()
    assert "upper a/one" not in again.watcher.order
    assert again.state("upper a/one") is State.EDITED
    texts.put("a/source/one.txt", "other")
    done = texts.run()
    assert done.state("upper a/one") is State.CONFLICT and "upper a/one" not in done.watcher.order
    assert texts.text(ONE) == mine
    # Once it has been made again, nothing of that counts any more.
    assert "upper a/one" in texts.run(force=[ONE]).made
    assert kept(texts, "upper a/one") == []


def test_text_that_was_kept_and_is_edited_again_is_compared_again(texts):
    mine = broken_off_edit(texts.text(ONE))
    texts.put(ONE, mine)
    texts.run()
    texts.put(ONE, mine[:-7] + mine[-5:])
    done = texts.run()
    assert "upper a/one" in done.watcher.order and done.state("upper a/one") is State.EDITED
    assert len(kept(texts, "upper a/one")) == 2
    assert "upper a/one" not in texts.run().watcher.order


@pytest.mark.parametrize(
    ("length", "words"),
    [(-1, "was cut short"), (-12, "was cut short"), (700, "was cut short"), (2, "or edited near its end")],
)
def test_text_that_was_cut_is_made_again(texts, length, words):
    whole, label = texts.text(ONE), "upper a/one"
    texts.put(ONE, whole[:length])
    assert words in reasons(texts.look(), label)[0]
    done = texts.run()
    assert done.made == {label} and words in done.why(label)
    assert texts.text(ONE) == whole
    assert kept(texts, label) == []
    assert texts.run().watcher.order == []


def test_text_that_was_cut_once_and_is_cut_again_elsewhere_is_made_again(texts):
    """A cut is not remembered as an edit, nor an edit as a cut."""
    whole = texts.text(ONE)
    for length in (-3, -4, -3):
        texts.put(ONE, whole[:length])
        assert texts.run().made == {"upper a/one"} and texts.text(ONE) == whole
    texts.put(ONE, edited_near_the_end(whole))
    assert texts.run().state("upper a/one") is State.EDITED
    texts.put(ONE, whole[:-3])
    texts.run()
    assert texts.text(ONE) == whole


def test_edited_text_is_kept_also_where_more_has_changed(texts):
    mine = edited_near_the_end(texts.text(ONE))
    texts.put(ONE, mine)
    texts.put("a/source/one.txt", "other")
    done = texts.run()
    assert done.state("upper a/one") is State.CONFLICT and "upper a/one" not in done.watcher.order
    assert "a/source/one.txt changed" in done.why("upper a/one")
    assert texts.text(ONE) == mine
    texts.put("a/source/one.txt", " ".join(f"one{n}" for n in range(200)))
    assert texts.run().state("upper a/one") is State.EDITED


def test_text_of_which_next_to_nothing_is_left_is_kept_where_it_cannot_be_compared(texts):
    texts.put(ONE, "mine")
    texts.put("a/source/one.txt", "other")
    assert texts.run().state("upper a/one") is State.CONFLICT
    assert texts.text(ONE) == "mine"


@pytest.mark.parametrize("length", [700, -3])
def test_torn_text_is_made_again_also_where_more_has_changed(texts, length):
    texts.put(ONE, texts.text(ONE)[:length])
    texts.put("a/source/one.txt", "other")
    done = texts.run()
    assert "upper a/one" in done.made and texts.text(ONE) == "<OTHER>\n" + END


def test_comparison_that_fails_keeps_the_text_and_is_tried_again(texts, hooks):
    mine = broken_off_edit(texts.text(ONE))
    texts.put(ONE, mine)

    def fail():
        raise DataError("not now")

    hooks["upper"] = fail
    assert texts.run().failed == {"upper a/one"}
    assert texts.text(ONE) == mine and kept(texts, "upper a/one") == []
    hooks.clear()
    assert texts.run().state("upper a/one") is State.EDITED
    assert texts.text(ONE) == mine


def test_text_edited_while_it_is_compared_is_kept(texts, hooks):
    mine = broken_off_edit(texts.text(ONE))
    texts.put(ONE, mine)

    def edit():
        hooks.clear()
        texts.put(ONE, "precious\n" + END)

    hooks["upper"] = edit
    texts.run()
    assert texts.text(ONE) == "precious\n" + END
    assert texts.run().state("upper a/one") is State.EDITED
    assert texts.text(ONE) == "precious\n" + END


def test_text_that_is_deleted_while_it_is_compared_is_made_by_the_next_run(texts, hooks):
    whole = texts.text(ONE)
    texts.put(ONE, broken_off_edit(whole))

    def delete():
        hooks.clear()
        texts.path(ONE).unlink()

    hooks["upper"] = delete
    texts.run()
    assert texts.leftovers() == []
    texts.run()
    assert texts.text(ONE) == whole and set(texts.states().values()) == {State.FRESH}


def test_one_of_two_texts_cut_and_the_other_edited(texts):
    """Somebody's work wins: nothing of the two is replaced."""
    head, tail = texts.text("a/head.txt")[:-3], texts.text("a/tail.txt").replace(">\n" + END, "\n" + END)
    texts.put("a/head.txt", head)
    texts.put("a/tail.txt", tail)
    assert len(reasons(texts.look(), "split a")) == 1
    done = texts.run()
    assert (done.state("split a"), done.made) == (State.EDITED, set())
    assert (texts.text("a/head.txt"), texts.text("a/tail.txt")) == (head, tail)
    assert kept(texts, "split a") == []
    assert texts.run().watcher.order == []


def test_two_texts_cut_are_both_made_again(texts):
    before = texts.text("a/head.txt"), texts.text("a/tail.txt")
    texts.put("a/head.txt", before[0][:-3])
    texts.put("a/tail.txt", before[1][:-3])
    assert texts.run().made == {"split a"}
    assert (texts.text("a/head.txt"), texts.text("a/tail.txt")) == before


@pytest.mark.parametrize("text", [True, False])
def test_text_edited_in_its_middle_is_kept_without_a_comparison(texts, text):
    if not text:  # what is not noted as a text is read
        texts.replace("upper", writes=UPPER)
    mine = texts.text(ONE).replace("ONE100 ", "")
    texts.put(ONE, mine)
    done = texts.run()
    assert done.state("upper a/one") is State.EDITED and "upper a/one" not in done.watcher.order
    assert texts.text(ONE) == mine and kept(texts, "upper a/one") == []


def test_text_of_a_copied_session_is_known_for_what_it_is(texts):
    shutil.copytree(texts.path("a"), texts.path("c"))
    assert texts.run().made == {"part c", "count"}, "only the tables are new"
    whole = texts.text("c/upper/one.txt")
    texts.put("c/upper/one.txt", whole[:700])
    assert texts.run().made == {"upper c/one"}
    assert texts.text("c/upper/one.txt") == whole
    texts.put("c/upper/one.txt", edited_near_the_end(whole))
    assert texts.run().state("upper c/one") is State.EDITED
