"""Records, notes and locks that somebody else has put there."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from anipipe.engine.records import OWN_FOLDER
from tests.conftest import Lab

pytestmark = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes in folders")


class StillAtItError(BaseException):
    """Not to be taken for an error of a disk."""


@pytest.fixture(autouse=True)
def _in_time():
    """Fail, rather than wait without end."""

    def stop(*_: object) -> None:
        raise StillAtItError

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(40)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def own(lab: Lab, name: str, session: str = "") -> Path:
    folder = lab.root / session / OWN_FOLDER
    folder.mkdir(exist_ok=True)
    return folder / name


def test_a_pipe_for_the_notes_is_replaced(lab: Lab):
    os.mkfifo(own(lab, "stats.json"))
    lab.run("run-all")
    assert own(lab, "stats.json").is_file()


def test_a_pipe_for_the_lock_is_told(lab: Lab):
    os.mkfifo(own(lab, "lock"))
    assert "a pipe, not a file; remove it" in lab.run("run-all", check=2)
    assert not (lab.root / "summaries").exists()


def test_a_pipe_for_the_records_fails_that_session_alone(lab: Lab):
    os.mkfifo(own(lab, "records.jsonl", "control/mouse2"))
    text = lab.run("run-all", check=1)
    assert "control/mouse2/.anipipe/records.jsonl: a pipe, not a file; remove it" in text
    assert (lab.root / "control/mouse1/pose-3d/t1.csv").exists()
    assert not (lab.root / "control/mouse2/pose-3d/t1.csv").exists()


def test_records_are_not_written_through_a_link(lab: Lab):
    precious = lab.root.parent / "precious"
    precious.write_text("precious\n")
    for name in ("records.jsonl", "stats.json", "unfinished"):
        own(lab, name, "control/mouse2" if name == "records.jsonl" else "").symlink_to(precious)
    (lab.root / "summaries").mkdir()
    (lab.root / "summaries/.anipipe-missing.csv").symlink_to(precious)
    before = precious.stat()
    text = lab.run("run-all", check=1)
    assert "control/mouse2/.anipipe/records.jsonl: a link, which is not written through" in text
    assert precious.read_text() == "precious\n"
    assert precious.stat().st_mtime_ns == before.st_mtime_ns
    assert (lab.root / "control/mouse1/pose-3d/t1.csv").exists()


@pytest.mark.parametrize("path", ["../precious", "control/../../precious", "{precious}"])
def test_records_remove_nothing_outside(lab: Lab, path: str):
    precious = lab.root.parent / "precious"
    precious.write_text("")
    lab.run("run-all")
    with own(lab, "records.jsonl").open("a") as file:
        facts = {f"out:{path.format(precious=precious)}": "empty", "stage": "summarize-3d"}
        for event in ("intent", "done"):
            file.write(json.dumps({"job": "summarize-3d gone/t1", "event": event, "facts": facts}) + "\n")
    lab.run("run-all")
    assert precious.exists()


def test_records_nested_without_end_are_passed_over(lab: Lab):
    own(lab, "records.jsonl", "control/mouse2").write_text("[" * 200_000 + "\n")
    own(lab, "stats.json").write_text("[" * 200_000)
    lab.run("run-all")
    assert "0 jobs done" in lab.run("run-all")


def test_one_entry_of_the_log_is_one_line(lab: Lab):
    path = lab.root / "control/mouse2/predictions/t1_ADLC_net_x1.csv"
    path.write_text(path.read_text().replace("nose,nose,nose", "'no\x1b[2J\r12:00:00 done,nose,nose"))
    (lab.root / "control/mouse1/config.toml").write_text("[filter]\nmedfilt = 4\nx = 1\n")
    lab.run("run-all", check=1)
    [log] = (lab.root / OWN_FOLDER / "runs").glob("*.log")
    content = log.read_bytes()
    assert b"\x1b" not in content
    assert b"\r" not in content
    assert all(line[:8].count(":") == 2 for line in content.decode().splitlines())
