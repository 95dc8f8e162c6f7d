"""Small files that a run needs for a moment, and leaves if it is killed just then."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from anipipe.engine.lock import HEARTBEAT, Lock
from anipipe.engine.progress import FileMeter
from anipipe.engine.sweeping import Sweeper

DRAFTS = (".anipipe/stats.77.tmp", ".anipipe/runs/.2026-01-01T00-00-00-ab.tmp", "s/.anipipe/records.77.tmp")
OTHERS = (".anipipe/runs/2026-01-01T00-00-00-ab.jsonl", "s/.anipipe/records.jsonl", "s/pose-2d/mine.tmp")


def ended() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    for name in (*DRAFTS, *OTHERS):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    return tmp_path


@pytest.mark.parametrize("cut_short", [True, False])
def test_drafts_of_a_run_that_was_cut_short_are_removed(root: Path, cut_short: bool) -> None:
    if cut_short:
        (root / ".anipipe/unfinished").touch()
    Sweeper(root, [root / "s/pose-2d"]).begin()
    assert [(root / name).exists() for name in DRAFTS] == [not cut_short] * len(DRAFTS)
    assert all((root / name).exists() for name in OTHERS)


def test_meters_of_runs_that_were_killed_are_removed_and_no_others(root: Path) -> None:
    alive = FileMeter.new("0123abcd", 1)
    dead = FileMeter(alive.path.with_name(alive.path.name.replace(str(os.getpid()), str(ended()))))
    notes = FileMeter(alive.path.with_name(f"anipipe-{ended()}-notes"))
    for meter in (alive, dead, notes):
        meter.put(1, 2)
    (root / ".anipipe/unfinished").touch()
    Sweeper(root, []).begin()
    assert [meter.get() for meter in (alive, dead, notes)] == [(1, 2), None, (1, 2)]


def test_what_others_left_who_were_killed_while_they_took_the_lock_is_removed(root: Path) -> None:
    folder, names = root / ".anipipe", ("lock.0123abcd", "clock.0123abcd", "lock.turn")
    for name in names:
        (folder / name).touch()
    with Lock(root):
        assert all((folder / name).exists() for name in names), "somebody may be at it just now"
    for name in names:
        os.utime(folder / name, (time.time() - 2 * HEARTBEAT,) * 2)
    with Lock(root) as lock:
        assert not any((folder / name).exists() for name in names)
        lock.check()
