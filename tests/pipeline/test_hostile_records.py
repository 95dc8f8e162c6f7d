"""Records, notes and locks that somebody else has put there."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from anipipe.engine.committing import Committer
from anipipe.engine.declare import Registry, Unit
from anipipe.engine.digest import Disk, digest_file
from anipipe.engine.lock import Lock
from anipipe.engine.plan import Plan
from anipipe.engine.records import OWN_FOLDER, Records
from tests.conftest import Lab
from tests.engine.textline import DEFAULTS, STAGES
from tests.engine.textline import Lab as TextLab

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


def hostile_line(key: str, path: str, digest: str) -> bytes:
    """Return a record that somebody else has written; ``path`` is JSON, perhaps with escapes."""
    return f'{{"job":"{key}","event":"done","facts":{{"stage":1,"out:{path}":"{digest}"}}}}\n'.encode()


@pytest.mark.parametrize("way", ["..", r"\u002e\u002e", r".\u002e", r"a\/..\/..", "a/../..", r"a\\..\\.."])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_records_of_what_lies_outside_are_passed_over(tmp_path: Path, way: str, encoding: str):
    file = tmp_path / OWN_FOLDER / "records.jsonl"
    file.parent.mkdir()
    good, bad = hostile_line("part:a", "tables/parts/a.txt", "1.1"), hostile_line("part:b", f"{way}/x", "1.1")
    file.write_bytes(good + bad.decode().encode(encoding).strip())
    assert [key for key, _ in Records(tmp_path).jobs("")] == ["part:a"]


@pytest.mark.parametrize("path", ["/far/x", r"\/far/x", r"\u002ffar/x"])
def test_records_of_absolute_places_are_passed_over(tmp_path: Path, path: str):
    file = tmp_path / OWN_FOLDER / "records.jsonl"
    file.parent.mkdir()
    file.write_bytes(hostile_line("part:b", path, "1.1"))
    assert list(Records(tmp_path).jobs("")) == []


def test_records_remove_nothing_but_parts_of_tables(lab: Lab):
    """Each names a file with its true digest, as if it were the part of a trial that is there no more."""
    outside = lab.root.parent / "precious"
    names = ("precious", "pose_3d.parquet/precious.parquet")
    ours = ("control/mouse1/predictions/t1_ADLC_net_x1.csv", "calibration/calibration.toml", "config.toml")
    inside = ("summaries/notes.parquet", "control/pose_3d.parquet/x.parquet", "control/pose_3d.csv")
    gone = "summaries/pose_3d.parquet/gone.parquet"
    places = {
        r"\u002e\u002e/precious/precious": outside / "precious",
        "../precious/precious": outside / "precious",
    }
    places |= {f"link/{name}": outside / name for name in names}
    places |= {path: lab.root / path for path in (*ours, *inside, gone)}
    places["summaries/angles.parquet/linked.parquet"] = outside / "linked.parquet"
    for place in places.values():
        place.parent.mkdir(parents=True, exist_ok=True)
        if not place.exists():
            place.write_text(f"precious {place.name}\n")
    (lab.root / "link").symlink_to(outside)
    (lab.root / "summaries/angles.parquet").symlink_to(outside)
    stages = {
        "control/pose_3d.csv": "summarize-3d-csv",
        "summaries/angles.parquet/linked.parquet": "summarize-angles",
    }
    own(lab, "records.jsonl").write_bytes(
        b"".join(
            hostile_line(f"{stages.get(path, 'summarize-3d')}:gone/{number}", path, digest_file(place))
            for number, (path, place) in enumerate(places.items())
        )
    )
    lab.run("run-all")
    assert [path for path, place in places.items() if not place.exists()] == [gone]


def test_what_another_job_reads_or_makes_is_no_part_of_a_table(tmp_path: Path):
    """Though it lies where such parts do."""
    files = [f"tables/parts/{name}.txt" for name in ("read", "a", "gone")]
    (tmp_path / "tables/parts").mkdir(parents=True)
    (tmp_path / OWN_FOLDER).mkdir()
    lines = []
    for path in files:
        (tmp_path / path).write_text("precious\n")
        lines.append(hostile_line(f"part:not-{path[13:-4]}", path, digest_file(tmp_path / path)))
    lines.append(hostile_line("part:no-name", r"tables/parts/\u0000.txt", "1.1"))
    (tmp_path / OWN_FOLDER / "records.jsonl").write_bytes(b"".join(lines))
    names = {"folder": "a/", "group": "a", "item": "one"}
    item = Unit("item", "a/one", "a", "one", "a", names, DEFAULTS, {"source": (files[0],)})
    group = Unit("group", "a", "a", "", "a", names, DEFAULTS, related={"item": [item]})
    plan = Plan(Registry(STAGES), [item, group], Disk(tmp_path), Records(tmp_path))
    with Lock(tmp_path) as lock:
        committer = Committer(plan, lock)
        assert [path for key in plan.unclaimed() for path in committer.take_out("", key)] == files[2:]
    assert [(tmp_path / path).exists() for path in files] == [True, True, False]


def test_a_part_is_taken_out_of_a_folder_that_lies_on_another_disk(tmp_path: Path):
    """While there is its job: the plan then tells where it lies, and not only the records."""
    (tmp_path / "disk").mkdir()
    (tmp_path / "lab").mkdir()
    lab = TextLab(tmp_path / "lab")
    lab.path("tables").symlink_to(tmp_path / "disk")
    lab.put("a/source/one.txt", "alpha")
    lab.run()
    lab.put("a/source/one.txt", "FAIL")
    assert "tables/parts/a.txt" in lab.run().outcome.withdrawn
    assert not (tmp_path / "disk/parts/a.txt").exists()


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
