from __future__ import annotations

import json
import os
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anipipe.engine import digest as module
from anipipe.engine.digest import EMPTY, Disk, digest_file

SECOND = 1_000_000_000


def aged(path, content: str, seconds: float = 10.0) -> int:
    """Write a file as if it had been written some time ago; return its time."""
    path.write_text(content, encoding="utf-8")
    when = time.time_ns() - int(seconds * SECOND) + 7
    os.utime(path, ns=(when, when))
    return when


def notes(root):
    return root / ".anipipe" / "stats.json"


def looked(root, name="x.txt") -> str | None:
    """Digest a file with a fresh eye, notes loaded and saved."""
    disk = Disk(root, notes(root))
    result = disk.digest(name)
    disk.save()
    return result


def test_same_size_and_time_means_same_and_the_content_is_not_read(tmp_path):
    when = aged(tmp_path / "x.txt", "first")
    first = looked(tmp_path)
    (tmp_path / "x.txt").write_text("other", encoding="utf-8")
    os.utime(tmp_path / "x.txt", ns=(when, when))
    assert looked(tmp_path) == first
    notes(tmp_path).unlink()
    assert looked(tmp_path) not in (first, None)


def test_touched_file_is_read_again_and_found_equal(tmp_path):
    aged(tmp_path / "x.txt", "first")
    first = looked(tmp_path)
    os.utime(tmp_path / "x.txt")
    assert looked(tmp_path) == first


@pytest.mark.parametrize("shift", [-3 * SECOND, 1, 3 * SECOND])
def test_edit_that_moves_the_time_either_way_is_noticed(tmp_path, shift):
    when = aged(tmp_path / "x.txt", "first")
    first = looked(tmp_path)
    (tmp_path / "x.txt").write_text("other", encoding="utf-8")
    os.utime(tmp_path / "x.txt", ns=(when + shift, when + shift))
    assert looked(tmp_path) != first


def test_edit_that_changes_only_the_size_is_noticed(tmp_path):
    when = aged(tmp_path / "x.txt", "first")
    first = looked(tmp_path)
    (tmp_path / "x.txt").write_text("first and more", encoding="utf-8")
    os.utime(tmp_path / "x.txt", ns=(when, when))
    assert looked(tmp_path) != first


def test_rewrite_within_the_same_clock_tick_is_noticed(tmp_path):
    path = tmp_path / "x.txt"
    path.write_text("first", encoding="utf-8")
    when = path.stat().st_mtime_ns
    first = looked(tmp_path)
    path.write_text("other", encoding="utf-8")
    os.utime(path, ns=(when, when))
    assert looked(tmp_path) != first


def test_rewrite_within_the_same_tick_is_noticed_though_notes_are_saved_later(tmp_path):
    """A run looks at a file, somebody rewrites it at once, and the run's end comes long after."""
    path = tmp_path / "x.txt"
    path.write_text("first", encoding="utf-8")
    when = path.stat().st_mtime_ns
    disk = Disk(tmp_path, notes(tmp_path))
    first = disk.digest("x.txt")
    path.write_text("other", encoding="utf-8")
    os.utime(path, ns=(when, when))
    time.sleep(0.05)
    disk.save()
    assert looked(tmp_path) != first


def test_rewrite_within_the_same_whole_second_of_a_coarse_clock_is_noticed(tmp_path):
    path = tmp_path / "x.txt"
    path.write_text("first", encoding="utf-8")
    when = time.time_ns() // SECOND * SECOND
    os.utime(path, ns=(when, when))
    first = looked(tmp_path)
    path.write_text("other", encoding="utf-8")
    os.utime(path, ns=(when, when))
    assert looked(tmp_path) != first


def test_file_from_the_future_is_read_each_time(tmp_path):
    path = tmp_path / "x.txt"
    when = aged(path, "first", seconds=-3600)
    first = looked(tmp_path)
    path.write_text("other", encoding="utf-8")
    os.utime(path, ns=(when, when))
    assert looked(tmp_path) != first


def test_what_was_written_is_known_by_its_digest_and_noted(tmp_path):
    when = aged(tmp_path / "x.txt", "first")
    disk = Disk(tmp_path, notes(tmp_path))
    assert disk.digest("x.txt") is not None
    disk.wrote("x.txt", "abc")
    assert disk.digest("x.txt") == "abc"
    disk.save()
    assert os.stat(tmp_path / "x.txt").st_mtime_ns == when
    assert looked(tmp_path) == "abc"


def test_young_file_is_noted_once_it_is_old_enough(tmp_path, monkeypatch):
    (tmp_path / "x.txt").write_text("first", encoding="utf-8")
    looked(tmp_path)
    time.sleep(0.05)
    first = looked(tmp_path)
    monkeypatch.setattr(module, "digest_file", lambda *a, **k: pytest.fail("was read again"))
    assert looked(tmp_path) == first


def noted(root) -> dict:
    try:
        return json.loads(notes(root).read_text(encoding="utf-8"))["files"]
    except FileNotFoundError:
        return {}


@pytest.mark.parametrize("known", ["digested", "written"])
def test_file_that_was_young_is_noted_when_notes_are_saved_after_a_while(tmp_path, known, monkeypatch):
    """Else each run would read once more everything that the run before it has made."""
    path = tmp_path / "x.txt"
    path.write_text("first", encoding="utf-8")
    expected = digest_file(path)
    disk = Disk(tmp_path, notes(tmp_path))
    if known == "digested":
        assert disk.digest("x.txt") == expected
    else:
        disk.wrote("x.txt", expected)
    time.sleep(0.05)
    disk.save()
    stat = path.stat()
    assert noted(tmp_path) == {"x.txt": [stat.st_size, stat.st_mtime_ns, expected]}
    monkeypatch.setattr(module, "digest_file", lambda *a, **k: pytest.fail("was read again"))
    assert looked(tmp_path) == expected
    disk.save()  # nor is it read once more here


def test_file_that_is_still_young_when_notes_are_saved_is_noted_by_a_later_save(tmp_path, monkeypatch):
    (tmp_path / "x.txt").write_text("first", encoding="utf-8")
    disk = Disk(tmp_path, notes(tmp_path))
    disk.digest("x.txt")
    with monkeypatch.context() as patch:
        patch.setattr(module, "_young", lambda stat: True)
        disk.save()
    assert noted(tmp_path) == {}
    time.sleep(0.05)
    disk.save()
    assert list(noted(tmp_path)) == ["x.txt"]


@pytest.mark.parametrize("change", ["longer", "later", "gone", "same stat", "empty"])
def test_young_file_that_changed_before_notes_are_saved_is_not_noted(tmp_path, change, monkeypatch):
    path = tmp_path / "x.txt"
    path.write_text("first", encoding="utf-8")
    when = path.stat().st_mtime_ns
    disk = Disk(tmp_path, notes(tmp_path))
    first = disk.digest("x.txt")
    if change == "gone":
        path.unlink()
    else:
        path.write_text({"longer": "longer text", "empty": ""}.get(change, "other"), encoding="utf-8")
        if change != "later":
            os.utime(path, ns=(when, when))
    time.sleep(0.05)
    with monkeypatch.context() as patch:
        if change != "same stat":  # which only a look into it can tell
            patch.setattr(module, "digest_file", lambda *a, **k: pytest.fail("was read"))
        disk.save()
    assert noted(tmp_path) == {}
    assert looked(tmp_path) != first


def test_young_file_that_cannot_be_read_when_notes_are_saved_stops_nothing(tmp_path, monkeypatch):
    (tmp_path / "x.txt").write_text("first", encoding="utf-8")
    aged(tmp_path / "y.txt", "second")
    disk = Disk(tmp_path, notes(tmp_path))
    disk.digest("x.txt")
    disk.digest("y.txt")
    time.sleep(0.05)

    def broken(*args, **more):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(module, "digest_file", broken)
    disk.save()
    assert list(noted(tmp_path)) == ["y.txt"]


def test_note_that_was_good_goes_when_the_file_is_young_again(tmp_path):
    when = aged(tmp_path / "x.txt", "first")
    looked(tmp_path)
    (tmp_path / "x.txt").write_text("other", encoding="utf-8")
    looked(tmp_path)
    assert noted(tmp_path) == {}
    os.utime(tmp_path / "x.txt", ns=(when, when))
    assert looked(tmp_path) == digest_file(tmp_path / "x.txt")


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "null",
        "5",
        '{"version": 1}',
        '{"version": 1, "files": []}',
        '{"version": 1, "files": {"x.txt": 3}}',
        '{"version": 1, "files": {"x.txt": [1, 2]}}',
        '{"version": 1, "files": {"x.txt": null}}',
        '{"version": 1, "files": {"x.txt": ["a", null, {}]}}',
    ],
)
def test_notes_that_are_no_notes_cost_only_time(tmp_path, content):
    aged(tmp_path / "x.txt", "first")
    notes(tmp_path).parent.mkdir()
    notes(tmp_path).write_text(content, encoding="utf-8")
    expected = digest_file(tmp_path / "x.txt")
    assert looked(tmp_path) == expected
    assert looked(tmp_path) == expected
    assert json.loads(notes(tmp_path).read_text())["files"]["x.txt"][2] == expected


def test_notes_of_another_version_and_binary_notes_are_not_believed(tmp_path):
    when = aged(tmp_path / "x.txt", "first")
    notes(tmp_path).parent.mkdir()
    lie = {"version": 2, "files": {"x.txt": [5, when, "lie"]}}
    notes(tmp_path).write_text(json.dumps(lie), encoding="utf-8")
    assert looked(tmp_path) == digest_file(tmp_path / "x.txt")
    notes(tmp_path).write_bytes(b"\xff\xfe\x00garbage")
    assert looked(tmp_path) == digest_file(tmp_path / "x.txt")


def test_notes_that_cannot_be_written_cost_only_time(tmp_path):
    aged(tmp_path / "x.txt", "first")
    (tmp_path / ".anipipe").write_text("a file where the folder should be", encoding="utf-8")
    assert looked(tmp_path) == looked(tmp_path) == digest_file(tmp_path / "x.txt")


def test_saving_without_news_leaves_the_notes_alone(tmp_path):
    aged(tmp_path / "x.txt", "first")
    looked(tmp_path)
    os.utime(notes(tmp_path), ns=(5, 5))
    looked(tmp_path)
    assert notes(tmp_path).stat().st_mtime_ns == 5


class Below:
    """Holds, in the sense of a container and no more, what begins with a letter."""

    def __init__(self, letter: str) -> None:
        self.letter = letter

    def __contains__(self, path: str) -> bool:
        return path.startswith(self.letter)


def test_pruning_that_drops_nothing_is_no_news(tmp_path):
    aged(tmp_path / "x.txt", "first")
    looked(tmp_path)
    os.utime(notes(tmp_path), ns=(5, 5))
    disk = Disk(tmp_path, notes(tmp_path))
    disk.prune({"x.txt", "y.txt"})
    disk.save()
    assert notes(tmp_path).stat().st_mtime_ns == 5


def test_pruned_notes_are_forgotten_others_are_not(tmp_path):
    aged(tmp_path / "x.txt", "first")
    aged(tmp_path / "y.txt", "first")
    disk = Disk(tmp_path, notes(tmp_path))
    disk.digest("x.txt")
    disk.digest("y.txt")
    disk.prune(Below("y"))
    disk.save()
    assert list(json.loads(notes(tmp_path).read_text())["files"]) == ["y.txt"]


def test_absent_file_is_missing(tmp_path):
    disk = Disk(tmp_path)
    assert not disk.exists("x.txt")
    assert disk.digest("x.txt") is None
    assert not disk.exists("x.txt")


def test_empty_file_is_there_with_nothing_in_it(tmp_path):
    (tmp_path / "x.txt").write_bytes(b"")
    disk = Disk(tmp_path, notes(tmp_path))
    assert disk.exists("x.txt")
    assert disk.digest("x.txt", sampled=True) == EMPTY
    assert disk.exists("x.txt") and disk.unchanged_since("x.txt")
    disk.save()
    assert not notes(tmp_path).exists(), "there is nothing to spare"
    (tmp_path / "x.txt").write_text("first")
    assert not disk.unchanged_since("x.txt")
    disk.forget("x.txt")
    assert disk.digest("x.txt") == digest_file(tmp_path / "x.txt")
    assert digest_file(tmp_path / "x.txt") != EMPTY


def test_path_below_a_file_is_missing(tmp_path):
    (tmp_path / "x.txt").write_text("first", encoding="utf-8")
    disk = Disk(tmp_path)
    assert disk.digest("x.txt/y.txt") is None
    assert not disk.exists("x.txt/z.txt")


def test_unreadable_file_is_there_with_a_digest_of_its_own_that_is_not_noted(tmp_path):
    (tmp_path / "x.txt").mkdir()  # what root cannot read either
    os.utime(tmp_path / "x.txt", (1, 1))
    result = looked(tmp_path)
    assert result is not None and result.startswith("!")
    assert not notes(tmp_path).exists()


def test_name_that_is_too_long_is_missing_and_stops_nothing(tmp_path):
    """The job that is to write it fails and says so; looking at it must not end the whole run."""
    disk = Disk(tmp_path)
    name = "x" * 300 + ".txt"
    assert not disk.exists(name)
    assert disk.digest(name) is None


def test_answer_is_kept_until_forgotten(tmp_path):
    path = tmp_path / "x.txt"
    aged(path, "first")
    disk = Disk(tmp_path)
    first = disk.digest("x.txt")
    assert disk.unchanged_since("x.txt")
    path.write_text("other", encoding="utf-8")
    assert disk.digest("x.txt") == first
    assert not disk.unchanged_since("x.txt")
    disk.forget("x.txt")
    assert disk.digest("x.txt") != first
    assert disk.unchanged_since("x.txt")
    path.unlink()
    assert not disk.unchanged_since("x.txt")


def test_moved_experiment_knows_its_files(tmp_path, monkeypatch):
    (tmp_path / "old").mkdir()
    aged(tmp_path / "old" / "x.txt", "first")
    first = looked(tmp_path / "old")
    (tmp_path / "old").rename(tmp_path / "new")
    monkeypatch.setattr(module, "digest_file", lambda *a, **k: pytest.fail("was read again"))
    assert looked(tmp_path / "new") == first


@given(st.binary(min_size=1, max_size=300), st.binary(min_size=1, max_size=300))
@settings(max_examples=50, deadline=None)
def test_whole_digests_are_equal_exactly_if_contents_are(tmp_path_factory, one, two):
    folder = tmp_path_factory.mktemp("digests")
    (folder / "one").write_bytes(one)
    (folder / "two").write_bytes(two)
    for sampled in (False, True):
        same = digest_file(folder / "one", sampled=sampled) == digest_file(folder / "two", sampled=sampled)
        assert same == (one == two)


SIZE = 100_000


@pytest.fixture
def small_samples(monkeypatch):
    monkeypatch.setattr(module, "SAMPLED_ABOVE", 10_000)
    monkeypatch.setattr(module, "_BLOCK", 1000)
    monkeypatch.setattr(module, "_SAMPLES", 11)


@pytest.mark.parametrize(
    "change",
    [
        lambda b: b[:-1],
        lambda b: b + b"\0",
        lambda b: b[:1] + b"x" + b[2:],
        lambda b: b[:-1] + b"x",
        lambda b: b[:50_000] + b"x" + b[50_001:],
        lambda b: b[:40_000] + b"x" + b[40_000:],
        lambda b: b[:40_000] + b[40_001:] + b"\0",
        lambda b: b[: SIZE // 2],
    ],
    ids=["cut", "appended", "first", "last", "middle", "inserted", "shifted", "halved"],
)
def test_sampled_digest_notices_what_editors_do_to_videos(tmp_path, small_samples, change):
    content = bytes(range(251)) * (SIZE // 251) + b"\0" * (SIZE % 251)
    (tmp_path / "one").write_bytes(content)
    (tmp_path / "two").write_bytes(change(content))
    assert digest_file(tmp_path / "one", sampled=True) != digest_file(tmp_path / "two", sampled=True)


def test_young_video_is_noted_by_its_samples(tmp_path, small_samples):
    path = tmp_path / "x.txt"
    path.write_bytes(b"a" * SIZE)
    disk = Disk(tmp_path, notes(tmp_path))
    first = disk.digest("x.txt", sampled=True)
    assert first.startswith("~")
    disk.forget("x.txt")
    disk.wrote("x.txt", first)
    time.sleep(0.05)
    disk.save()
    assert noted(tmp_path)["x.txt"][2] == first


def test_only_large_files_are_sampled_and_only_where_allowed(tmp_path, small_samples, monkeypatch):
    path = tmp_path / "one"
    path.write_bytes(b"a" * SIZE)
    assert digest_file(path, sampled=True).startswith("~")
    assert not digest_file(path).startswith("~")
    path.write_bytes(b"a" * 10_000)
    assert digest_file(path, sampled=True) == digest_file(path)


def test_sampled_digest_reads_little_of_a_large_sparse_file(tmp_path):
    path = tmp_path / "video"
    with path.open("wb") as file:
        file.truncate(50 * 2**30)
    began = time.perf_counter()
    first = digest_file(path, sampled=True)
    assert time.perf_counter() - began < 5
    with path.open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"x")
    assert digest_file(path, sampled=True) != first
