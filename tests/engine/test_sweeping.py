from __future__ import annotations

import os
from pathlib import Path

import pytest

from anipipe.engine.freshness import State
from anipipe.engine.sweeping import Sweeper

OTHERS = ["mine.txt", ".anipipe", ".hidden", "anipipe-dead-1.txt", "x.anipipe-dead-1.txt"]


@pytest.fixture
def root(tmp_path):
    (tmp_path / ".anipipe").mkdir()
    for folder in ("one", "two/deep", "elsewhere"):
        (tmp_path / folder).mkdir(parents=True)
        for name in OTHERS:
            (tmp_path / folder / name).write_text("x")
    return tmp_path


def mark(root: Path) -> Path:
    return root / ".anipipe" / "unfinished"


def leave(root: Path, *folders: str) -> list[Path]:
    paths = [root / folder / f".anipipe-dead-{number}.txt" for folder in folders for number in "01"]
    for path in paths:
        path.write_text("half")
    return paths


def there(root: Path) -> list[str]:
    """Name unfinished files; make sure that everything else is still there."""
    for folder in ("one", "two/deep", "elsewhere"):
        assert {*OTHERS} <= {path.name for path in (root / folder).iterdir()}
    return sorted(path.relative_to(root).as_posix() for path in root.rglob(".anipipe-*"))


def sweeper(root: Path) -> Sweeper:
    return Sweeper(root, (root / folder for folder in ("one", "two/deep", "absent", "one/mine.txt")))


@pytest.fixture
def no_listing(monkeypatch):
    """Looking into the folders of a whole lab takes its time on a network's disk."""
    with monkeypatch.context() as patch:

        def refuse(*args):
            pytest.fail("looked into a folder")

        for name in ("listdir", "scandir", "walk"):
            patch.setattr(os, name, refuse)
        yield


def test_run_after_a_clean_one_looks_nowhere(root, no_listing):
    for _ in range(2):
        one = sweeper(root)
        one.begin()
        assert mark(root).exists()
        one.end(clean=True)
        assert not mark(root).exists()


def test_clean_run_leaves_alone_what_it_does_not_know_of(root):
    left = leave(root, "one")
    one = sweeper(root)
    one.begin()
    one.end(clean=True)
    assert len(there(root)) == len(left)


def test_mark_of_a_run_that_was_cut_short_has_it_swept_at_the_start_and_at_the_end(root):
    sweeper(root).begin()  # and never an end
    leave(root, "one", "two/deep", "elsewhere")
    one = sweeper(root)
    assert len(there(root)) == 6, "not before it is begun"
    one.begin()
    elsewhere = ["elsewhere/.anipipe-dead-0.txt", "elsewhere/.anipipe-dead-1.txt"]
    assert there(root) == elsewhere
    assert mark(root).exists()
    leave(root, "one")  # by workers that have not noticed yet
    one.end(clean=True)
    assert there(root) == elsewhere
    assert not mark(root).exists()


def test_run_that_is_cut_short_after_one_that_was_is_swept_as_well(root):
    sweeper(root).begin()
    sweeper(root).begin()
    leave(root, "one")
    sweeper(root).begin()
    assert there(root) == []
    assert mark(root).exists()


def test_unclean_end_sweeps_and_takes_the_mark_away(root):
    one = sweeper(root)
    one.begin()
    leave(root, "one", "two/deep")
    one.end(clean=False)
    assert there(root) == [] and not mark(root).exists()


def test_what_cannot_be_removed_stops_nothing_and_the_rest_goes(root):
    (root / "one" / ".anipipe-folder").mkdir()
    one = sweeper(root)
    one.begin()
    leave(root, "one", "two/deep")
    one.end(clean=False)
    assert there(root) == ["one/.anipipe-folder"]


def test_mark_that_somebody_deleted_is_no_trouble(root):
    one = sweeper(root)
    one.begin()
    mark(root).unlink()
    one.end(clean=True)
    two = sweeper(root)
    two.begin()
    two.end(clean=False)


def test_whole_runs_leave_no_mark(lab):
    lab.run()
    assert lab.leftovers() == []
    lab.put("a/source/one.txt", "FAIL")
    lab.run()
    assert lab.leftovers() == []


def test_mark_is_there_while_a_run_is_on(lab, hooks):
    seen = []
    hooks["upper"] = lambda: seen.append(lab.path(".anipipe/unfinished").exists())
    lab.run()
    assert seen == [True] * 4


def test_interrupted_run_sweeps_what_it_left(lab, hooks):
    def interrupt():
        lab.put("a/upper/.anipipe-x-1.txt", "left by a worker")
        raise KeyboardInterrupt

    hooks["join"] = interrupt
    with pytest.raises(KeyboardInterrupt):
        lab.run()
    assert lab.leftovers() == []
    hooks.clear()
    assert set(lab.run().watcher.states.values()) == {State.FRESH}
