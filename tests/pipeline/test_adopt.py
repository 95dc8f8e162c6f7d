"""Results that somebody else made, taken in without running anything."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from tests.conftest import CONFIG, Lab, make_lab

from .test_redo import ran

FILTERS = "\n[filter]\nenabled = true\nmedfilt = 3\n\n[filter3d]\nenabled = true\nmedfilt = 3\n"


@pytest.fixture(scope="module")
def left(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    """A tree as Anipose leaves it: poses, angles and tables, with no record of how they were made."""
    lab = make_lab(tmp_path_factory.mktemp("left") / "experiment")
    (lab.root / "config.toml").write_text(CONFIG.replace("[triangulation]", FILTERS + "\n[triangulation]"))
    lab.run("run-all")
    for session in ("control/mouse1", "control/mouse2", "treated/mouse3"):
        shutil.rmtree(lab.root / session / ".anipipe")
        shutil.rmtree(lab.root / session / "config")
        shutil.rmtree(lab.root / session / "predictions")
        (lab.root / session / "pose-2d/t1_A.pickle").write_bytes(b"\x80\x04N.")
    shutil.rmtree(lab.root / ".anipipe")
    for table in (lab.root / "summaries").glob("*.parquet"):
        shutil.rmtree(table)
    (lab.root / "summaries/missing.csv").unlink()
    (lab.root / "calibration/detections.pickle").write_bytes(b"\x80\x04N.")
    (lab.root / "control/mouse1/videos-labeled").mkdir()
    (lab.root / "control/mouse1/videos-labeled/t1_A.mp4").write_bytes(b"video")
    return lab


@pytest.fixture
def foreign(left: Lab, tmp_path: Path) -> Lab:
    """The same, for a test to change."""
    shutil.copytree(left.root, tmp_path / "experiment")
    return replace(left, root=tmp_path / "experiment")


def results(lab: Lab) -> dict[str, tuple[bytes, int]]:
    """Content and time of every file of results that another program made."""
    folders = ("pose-2d", "pose-2d-filtered", "pose-3d", "pose-3d-filtered", "angles", "calibration")
    return {
        str(path): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in lab.root.rglob("*")
        if path.is_file() and path.parent.name in folders
    }


def states(lab: Lab) -> dict[str, str]:
    (described,) = json.loads(lab.run("status", "--json"))
    return {f"{job['stage']} {job['unit']}": job["state"] for job in described["jobs"]}


def test_nothing_is_touched_and_nothing_is_made_again(foreign: Lab):
    before = results(foreign)
    tables = {path: path.read_bytes() for path in (foreign.root / "summaries").glob("*.csv")}
    everything = foreign.files()
    said = foreign.run("adopt")
    assert foreign.files() == everything and results(foreign) == before
    assert "adopted: 12 filter, 4 pose-3d, 4 filter-3d, 4 angles" in said
    assert "12 pose-2d, 1 calibrate" in said.partition("nothing here to make them from")[2]
    done = ran(foreign)
    assert results(foreign) == before
    assert all(path.read_bytes() == content for path, content in tables.items())
    kinds = ("2d", "2d-filter", "3d", "3d-filter", "angles", "errors")
    assert {job.partition(" ")[0] for job in done} == {
        "write-config",
        *(f"summarize-{table}" for table in kinds),
        *(f"summarize-{table}-columns" for table in kinds),
    }
    assert ran(foreign) == set()


def test_what_is_not_known_is_named_with_a_reason(foreign: Lab):
    said = foreign.run("adopt")
    assert "calibration/detections.pickle" in said and "pickle can run any program" in said
    assert "control/mouse1/videos-labeled/t1_A.mp4" in said
    assert "control/mouse1/pose-2d/t1_A.pickle" in said


def test_what_was_adopted_is_made_again_once_something_changes(foreign: Lab):
    foreign.run("adopt")
    ran(foreign)
    config = foreign.root / "config.toml"
    config.write_text(config.read_text().replace("[filter3d]", "offset_threshold = 20\n[filter3d]"))
    assert states(foreign)["filter control/mouse1/t1_A"] == "stale"
    assert {job for job in ran(foreign) if job.startswith("filter ")} == {
        f"filter {trial}_{camera}" for trial in foreign.truth for camera in "ABC"
    }


def test_without_adopting_a_change_is_a_conflict(foreign: Lab):
    ran(foreign)
    assert states(foreign)["filter control/mouse1/t1_A"] == "given"
    config = foreign.root / "config.toml"
    config.write_text(config.read_text().replace("[filter3d]", "offset_threshold = 20\n[filter3d]"))
    assert states(foreign)["filter control/mouse1/t1_A"] == "conflict"
    foreign.run("adopt")
    assert states(foreign)["filter control/mouse1/t1_A"] == "fresh"


def test_dry_run_tells_the_same_and_records_nothing(foreign: Lab):
    before = states(foreign)
    said = foreign.run("adopt", "--dry-run")
    assert "would be adopted: 12 filter" in said
    assert states(foreign) == before
    assert "adopted: 12 filter" in foreign.run("adopt")


def test_an_edited_result_is_taken_in_only_if_asked_for(lab: Lab):
    lab.run("run-all")
    path = lab.root / "control/mouse1/angles/t1.csv"
    path.write_text(path.read_text().replace(".", ".1", 1))
    assert states(lab)["angles control/mouse1/t1"] == "edited"
    assert "--edited" in lab.run("adopt")
    assert states(lab)["angles control/mouse1/t1"] == "edited"
    assert "adopted: 1 angles" in lab.run("adopt", "--edited")
    assert states(lab)["angles control/mouse1/t1"] == "fresh"


def test_a_broken_file_is_not_taken_in(foreign: Lab):
    broken = foreign.root / "control/mouse2/pose-3d/t1.csv"
    broken.write_bytes(broken.read_bytes()[:500])
    said = foreign.run("adopt")
    assert "not adopted pose-3d control/mouse2/t1" in said
    assert "adopted: 12 filter, 3 pose-3d" in said


def test_deeplabcut_files_under_their_own_names_are_used_as_they_are(lab: Lab):
    lab.run("run-all")
    session = lab.root / "control/mouse1"
    for path in (session / "pose-2d").glob("*.h5"):
        path.rename(path.with_name(f"{path.stem}DLC_resnet50_reachJan1shuffle1_1000.h5"))
    shutil.rmtree(session / "predictions")
    shutil.rmtree(session / ".anipipe")
    before = (session / "pose-3d/t1.csv").read_bytes()
    assert states(lab)["pose-2d control/mouse1/t1_A"] == "given"
    assert "6 pose-2d" in lab.run("adopt")
    ran(lab)
    assert (session / "pose-3d/t1.csv").read_bytes() == before
    assert not Path(session / "pose-2d/t1_A.h5").exists()


def test_predictions_beside_the_videos_are_found(lab: Lab):
    lab.run("run-all")
    session = lab.root / "control/mouse2"
    (session / "predictions").rename(session / "videos-raw")
    for camera in "ABC":
        (session / f"videos-raw/t1_{camera}.mp4").write_bytes(b"a video")
    (session / "videos-raw/timestamps.csv").write_text("frame,time\n0,0.0\n")
    (session / "videos-raw/t1_ADLC_net_x1_filtered.csv").write_text("")
    (session / "videos-raw/t1_ADLC_net_x1_labeled.mp4").write_bytes(b"drawn")
    assert states(lab)["pose-2d control/mouse2/t1_A"] in ("stale", "fresh")
    ran(lab)
    assert states(lab)["pose-2d control/mouse2/t1_A"] == "fresh"
