"""What `anipipe clean` removes, and above all what it does not."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from anipipe.artifacts import Prediction
from anipipe.clean_views import readable
from anipipe.commands.lineage import Lineage, Recorded, is_gone
from anipipe.engine.declare import Unit
from anipipe.engine.digest import Disk, digest_file
from anipipe.engine.lock import Lock
from anipipe.engine.records import Claims
from anipipe.formats.calibrations import write_calibration
from anipipe.formats.poses2d import Pose2D
from anipipe.networks.sources import ModelSource
from anipipe.numerics.cameras import project
from anipipe.stages import REGISTRY, pose_2d
from tests.conftest import CONFIG, Lab, make_lab, make_rig, motion, write_dlc_csv
from tests.formats.videos import record

from .models import JOINTS, settings
from .test_redo import ran

FILTERS = "\n[filter]\nenabled = true\nmedfilt = 3\n\n[filter3d]\nenabled = true\nmedfilt = 3\n"
ALL_ON = CONFIG.replace("[triangulation]", FILTERS + "\n[triangulation]")
#: Filtering in 3D is off, filtering in 2D is on.
OFF_3D = ALL_ON.replace("[filter3d]\nenabled = true", "[filter3d]\nenabled = false")
TRIALS = ("control/mouse1/t1", "control/mouse1/t2", "control/mouse2/t1", "treated/mouse3/t1")
TABLES = ("2d", "2d-filter", "3d", "3d-filter", "angles", "errors")
FILTERED_3D = {f"{trial.replace('/t', '/pose-3d-filtered/t')}.csv" for trial in TRIALS}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    """Three sessions with everything made, filtered poses too."""
    lab = make_lab(tmp_path_factory.mktemp("made") / "experiment")
    lab.add_session("control/mouse2", frames=7)  # else it moves just as another one does, and is taken for it
    (lab.root / "config.toml").write_text(ALL_ON)
    lab.run("run-all")
    return lab


@pytest.fixture(scope="module")
def made_off(made: Lab, tmp_path_factory: pytest.TempPathFactory) -> Lab:
    """The same after filtering in 3D was switched off, and a run."""
    root = tmp_path_factory.mktemp("off") / "experiment"
    shutil.copytree(made.root, root)
    lab = replace(made, root=root)
    (root / "config.toml").write_text(OFF_3D)
    lab.run("run-all")
    return lab


@pytest.fixture
def lab(made: Lab, tmp_path: Path) -> Lab:
    """All of it, for a test to change."""
    shutil.copytree(made.root, tmp_path / "experiment", symlinks=True)
    return replace(made, root=tmp_path / "experiment")


@pytest.fixture
def off(made_off: Lab, tmp_path: Path) -> Lab:
    """What is there after filtering in 3D was switched off, for a test to change."""
    shutil.copytree(made_off.root, tmp_path / "experiment", symlinks=True)
    return replace(made_off, root=tmp_path / "experiment")


@pytest.fixture(scope="module")
def made_renamed(made: Lab, tmp_path_factory: pytest.TempPathFactory) -> Lab:
    """All of it after a trial was renamed, and a run."""
    root = tmp_path_factory.mktemp("renamed") / "experiment"
    shutil.copytree(made.root, root)
    lab = replace(made, root=root)
    move(lab, "control/mouse1", "t1", "reach")
    lab.run("run-all")
    return lab


@pytest.fixture
def renamed(made_renamed: Lab, tmp_path: Path) -> Lab:
    """What is there after a trial was renamed, for a test to change."""
    shutil.copytree(made_renamed.root, tmp_path / "experiment", symlinks=True)
    return replace(made_renamed, root=tmp_path / "experiment")


def told(lab: Lab, *arguments: str, check: int | None = 0) -> dict[str, Any]:
    text = lab.run("clean", "--json", *arguments, check=check)
    return json.loads(text[text.index("[\n") :])[0]


def cleaned(lab: Lab, *arguments: str, check: int | None = 0) -> set[str]:
    """Delete; return what is gone from the disk, having seen that this is what was announced and told."""
    announced = {file["path"] for file in told(lab, *arguments)["files"]}
    before = lab.files()
    result = told(lab, "--delete", *arguments, check=check)
    after = lab.files()
    assert all(before[path] == content for path, content in after.items())
    gone = set(before) - set(after)
    assert set(result["removed"]) == gone
    if not result["failed"]:
        assert announced == gone
    return gone


def kept(lab: Lab, *arguments: str) -> dict[str, str]:
    return {entry["path"]: entry["why"] for entry in told(lab, *arguments)["kept"]}


def left_out(lab: Lab, *arguments: str) -> set[str]:
    return {entry["where"] for entry in told(lab, *arguments)["left_out"]}


def move(lab: Lab, session: str, old: str, new: str, target: str = "") -> None:
    """Rename the predictions of a trial, perhaps into another session."""
    for path in sorted((lab.root / session / "predictions").glob(f"{old}_*")):
        place = lab.root / (target or session) / "predictions" / path.name.replace(f"{old}_", f"{new}_")
        place.parent.mkdir(parents=True, exist_ok=True)
        path.rename(place)


def append(lab: Lab, home: str, **line: Any) -> None:
    with (lab.root / home / ".anipipe/records.jsonl").open("a") as file:
        file.write(json.dumps(line) + "\n")


def of_trial(trial: str, files: Iterable[str]) -> set[str]:
    """Those of some files that are results of a trial."""
    session, _, name = trial.rpartition("/")
    start = f"{session}/"
    return {
        path
        for path in files
        if path.startswith(start) and path.rpartition("/")[2].startswith((f"{name}_", f"{name}."))
    } - {path for path in files if "/predictions/" in path}


# --- switched off ---------------------------------------------------------------------------------------


def test_where_everything_is_claimed_nothing_goes(lab: Lab):
    assert "nothing to clean away" in lab.run("clean")
    assert cleaned(lab) == set()


def test_listing_changes_nothing_and_tells_how_to_go_on(off: Lab):
    before = off.files(), sorted(off.root.rglob("*"))
    said = off.run("clean")
    assert (off.files(), sorted(off.root.rglob("*"))) == before
    assert "anipipe clean --delete" in said.splitlines()[-1]
    sizes = sum((off.root / path).stat().st_size for path in FILTERED_3D)
    row = next(line for line in said.splitlines() if "filter-3d" in line)
    assert row.split() == ["switched", "off", "filter-3d", "4", *readable(sizes).split()]
    named = off.run("clean", "-v")
    assert all(path in named for path in FILTERED_3D)
    assert f"--delete {off.root / 'control'}" in off.run("clean", str(off.root / "control"))


def test_what_a_stage_made_that_is_switched_off_goes_and_is_made_anew(off: Lab, made: Lab):
    status = off.run("status", "--why")
    assert cleaned(off) == FILTERED_3D
    assert off.run("status", "--why") == status
    assert not (off.root / "control/mouse1/pose-3d-filtered").exists()
    assert (off.root / "control/mouse1/pose-3d").is_dir()
    assert ran(off) == set()
    assert cleaned(off) == set()
    (off.root / "config.toml").write_text(ALL_ON)
    assert {f"filter-3d {trial}" for trial in TRIALS} <= ran(off)
    assert {path: off.files()[path] for path in FILTERED_3D} == {p: made.files()[p] for p in FILTERED_3D}


def test_what_rests_on_what_is_switched_off_goes_too(lab: Lab):
    config = CONFIG.replace("[triangulation]", "[triangulation]\ntriangulate = false")
    (lab.root / "config.toml").write_text(config)
    lab.run("run-all")
    folders = {path.split("/")[-2] for path in cleaned(lab)}
    assert folders == {"pose-2d-filtered", "pose-3d", "pose-3d-filtered", "angles"}
    assert (lab.root / "calibration/calibration.toml").exists()
    assert ran(lab) == set()


def test_a_table_that_is_switched_off_goes_as_a_run_would_take_it_out(lab: Lab):
    (lab.root / "config.toml").write_text(ALL_ON + "[summaries]\ncsv = ['angles']\n")
    assert cleaned(lab) == {"summaries/pose_3d.csv", "summaries/errors.csv"}
    assert {job.partition(" ")[0] for job in ran(lab)} == {"write-config"}
    assert (lab.root / "summaries/angles.csv").exists()


def test_pictures_of_a_kind_that_is_not_asked_for_any_more(tmp_path: Path):
    lab = Lab(tmp_path, make_rig())
    lab.add_session("s")
    for camera in "BC":
        (tmp_path / f"s/predictions/t1_{camera}DLC_net_x1.csv").unlink()
    config = "labeling.pictures = {}\n[triangulation]\ncam_regex = '_([A-Z])$'\ntriangulate = false\n"
    (tmp_path / "config.toml").write_text(config.format("['previews']"))
    lab.run("run-all")
    pictures = {path for path in lab.files() if path.startswith("s/previews/")}
    assert len(pictures) == 4
    (tmp_path / "config.toml").write_text(config.format("[]"))
    (tmp_path / "s/previews/t1_A.plot.png").write_bytes(b"touched up")
    assert cleaned(lab) == set()  # of one job's files all or none, else the others would be missed
    assert set(kept(lab)) == pictures
    (tmp_path / "s/previews/t1_A.plot.png").unlink()
    assert cleaned(lab) == pictures - {"s/previews/t1_A.plot.png"}


def test_what_is_to_be_made_again_first_keeps_what_it_was_made_from(lab: Lab):
    (lab.root / "config.toml").write_text(OFF_3D)
    assert not {path for path in cleaned(lab) if "pose-3d-filtered" in path}
    assert set(kept(lab)) == FILTERED_3D
    assert "run-all" in kept(lab)[min(FILTERED_3D)]
    lab.run("run-all")
    assert cleaned(lab) == FILTERED_3D


def test_only_the_sessions_that_are_named(off: Lab):
    gone = {path for path in FILTERED_3D if path.startswith("control/mouse1")}
    with_folder = cleaned(off, str(off.root / "control/mouse1/angles"))
    assert with_folder == gone
    assert cleaned(off, str(off.root / "treated")) == {path for path in FILTERED_3D if "treated" in path}
    assert "no session here" in off.run("clean", str(off.root / "summaries"), check=2)
    assert cleaned(off) == {path for path in FILTERED_3D if "mouse2" in path}


def test_several_experiments_and_a_broken_one(off: Lab, tmp_path: Path):
    (tmp_path / "other").mkdir()
    (tmp_path / "other/config.toml").write_text("[filter]\nenabled = 'perhaps'\n")
    before = off.files()
    assert "filter.enabled" in off.run("clean", "--delete", str(tmp_path), check=2)
    assert set(before) - set(off.files()) == FILTERED_3D


# --- what stays -----------------------------------------------------------------------------------------


def test_what_was_edited_stays(off: Lab):
    path = off.root / "control/mouse1/pose-3d-filtered/t1.csv"
    content = path.read_text()
    number = content.splitlines()[1].split(",")[0]
    stamp = path.stat()
    path.write_text(content.replace(number, number[::-1], 1))  # as long as before, and with its old time
    os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    assert path.read_text() != content and path.stat().st_size == len(content)
    (off.root / "control/mouse1/pose-3d-filtered/t2.csv").write_text("short\n")
    stays = {"control/mouse1/pose-3d-filtered/t1.csv", "control/mouse1/pose-3d-filtered/t2.csv"}
    told(off, "--delete")
    assert {path for path in FILTERED_3D if (off.root / path).exists()} == stays
    assert set(kept(off)) == stays and "changed" in kept(off)[min(stays)]


def test_an_edit_that_keeps_size_and_time_is_seen_before_it_is_removed(off: Lab):
    off.run("clean")
    path = off.root / "control/mouse1/pose-3d-filtered/t1.csv"
    stamp, content = path.stat(), path.read_bytes()
    notes = off.root / ".anipipe/stats.json"
    known = json.loads(notes.read_text())
    known["files"]["control/mouse1/pose-3d-filtered/t1.csv"] = [
        *(stamp.st_size, stamp.st_mtime_ns),
        next(
            line["facts"]["out:./pose-3d-filtered/t1.csv"]
            for line in map(
                json.loads, (off.root / "control/mouse1/.anipipe/records.jsonl").read_text().splitlines()
            )
            if "out:./pose-3d-filtered/t1.csv" in line.get("facts", {})
        ),
    ]
    notes.write_text(json.dumps(known))
    path.write_bytes(content[:-3] + b"0.\n")
    os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    off.run("clean", "--delete")
    assert path.exists()


def test_what_was_given_or_adopted_stays(off: Lab):
    home = off.root / "control/mouse2"
    given = (home / "pose-3d-filtered/t1.csv").read_bytes()
    (off.root / "config.toml").write_text(ALL_ON)
    shutil.rmtree(home / ".anipipe")
    adopted = off.run("adopt")
    assert "filter-3d" in adopted
    off.run("run-all", check=None)
    (off.root / "config.toml").write_text(OFF_3D)
    off.run("run-all", check=None)
    assert cleaned(off) == {path for path in FILTERED_3D if "mouse2" not in path}
    assert "adopted" in kept(off)["control/mouse2/pose-3d-filtered/t1.csv"]
    assert (home / "pose-3d-filtered/t1.csv").read_bytes() == given
    shutil.rmtree(home / ".anipipe")  # and without any record
    assert cleaned(off) == set()


def test_an_adopted_file_that_is_made_here_later_is_ours(off: Lab):
    (off.root / "config.toml").write_text(ALL_ON)
    shutil.rmtree(off.root / "control/mouse2/.anipipe")
    off.run("adopt")
    off.run("run-all", "--force", "control/mouse2/pose-3d-filtered", check=None)
    (off.root / "config.toml").write_text(OFF_3D)
    off.run("run-all", check=None)
    assert cleaned(off) == FILTERED_3D


def test_results_whose_recordings_are_in_the_archive_stay(off: Lab):
    shutil.rmtree(off.root / "control/mouse1/predictions")
    assert cleaned(off) == {path for path in FILTERED_3D if "mouse1" not in path}
    assert len(kept(off)) == 2 and all("archived" in why for why in kept(off).values())


def test_an_archived_trial_stays_although_another_one_is_alike_but_for_one_camera(lab: Lab):
    for camera in "AB":
        shutil.copy(
            lab.root / f"control/mouse1/predictions/t1_{camera}DLC_net_x1.csv",
            lab.root / f"control/mouse1/predictions/t9_{camera}DLC_net_x1.csv",
        )
    lab.run("run-all")
    for path in (lab.root / "control/mouse1/predictions").glob("t1_*"):
        path.unlink()
    lab.run("run-all")
    assert cleaned(lab) == set()


def test_a_result_behind_a_link_stays(off: Lab, tmp_path: Path):
    folder = off.root / "control/mouse1/pose-3d-filtered"
    folder.rename(tmp_path / "big disk")
    folder.symlink_to(tmp_path / "big disk")
    file = off.root / "control/mouse2/pose-3d-filtered/t1.csv"
    file.rename(tmp_path / "one.csv")
    file.symlink_to(tmp_path / "one.csv")
    session = off.root / "treated/mouse3"
    session.rename(tmp_path / "mouse3")
    session.symlink_to(tmp_path / "mouse3")
    assert cleaned(off) == set()
    assert set(kept(off)) == FILTERED_3D
    assert all("is a link" in why for why in kept(off).values())
    assert len(list((tmp_path / "big disk").iterdir())) == 2 and (tmp_path / "one.csv").exists()
    assert (tmp_path / "mouse3/pose-3d-filtered/t1.csv").exists()


def replaced(lab: Lab, name: str) -> None:
    """Put another prediction in the place of one."""
    path = lab.root / name
    path.write_text(path.read_text().replace("0.95", "0.94", 1))


def test_what_was_made_from_a_prediction_that_was_replaced_since_stays(off: Lab):
    """It could be made anew, but as something else."""
    replaced(off, "control/mouse2/predictions/t1_ADLC_net_x1.csv")
    stays = "control/mouse2/pose-3d-filtered/t1.csv"
    assert "pending" in kept(off)[stays]  # before anything is made of that
    off.run("run-all")
    assert cleaned(off) == FILTERED_3D - {stays}
    assert "before that changed" in kept(off)[stays]
    # Nor does a new name, under which the last prediction is there but not the one before, make it go.
    move(off, "control/mouse2", "t1", "reach")
    off.run("run-all")
    assert "control/mouse2/pose-3d/t1.csv" in cleaned(off)
    assert (off.root / stays).exists()


def test_what_rests_on_a_replaced_prediction_by_way_of_what_is_off_stays(lab: Lab):
    """What it was made from itself is there as it was; but it could not be made again."""
    config = "[triangulation]\ntriangulate = false\n\n[filter]\nenabled = false\n"
    (lab.root / "control/mouse2/config.toml").write_text(config)
    replaced(lab, "control/mouse2/predictions/t1_ADLC_net_x1.csv")
    lab.run("run-all")
    folders = ("pose-2d-filtered", "pose-3d", "pose-3d-filtered", "angles")
    made = {
        path for path in lab.files("") if path.startswith("control/mouse2/") and path.split("/")[2] in folders
    }
    assert len(made) == 3 + 3
    assert cleaned(lab) == {path for path in made if path.endswith(("_B.h5", "_C.h5"))}


def test_what_lies_between_and_was_made_again_just_the_same_keeps_nothing(off: Lab):
    (off.root / "control/mouse2/pose-3d/t1.csv").unlink()
    assert cleaned(off) == FILTERED_3D - {"control/mouse2/pose-3d-filtered/t1.csv"}
    off.run("run-all")
    assert cleaned(off) == {"control/mouse2/pose-3d-filtered/t1.csv"}


@pytest.mark.parametrize(
    "path",
    [
        "./predictions/t1_ADLC_net_x1.csv",
        "./../mouse2/predictions/t1_ADLC_net_x1.csv",
        "../outside.csv",
        "{outside}",
        "config.toml",
        "./pose-3d/t1.csv",
        "./../../calibration/calibration.toml",
    ],
)
def test_records_that_somebody_has_edited_lead_nowhere(off: Lab, tmp_path: Path, path: str):
    """A record names some file with its true digest, as if a stage that is off had made it."""
    outside = tmp_path / "outside.csv"
    outside.write_text("somebody's\n")
    path = path.format(outside=outside)
    home = off.root / "control/mouse1"
    place = home / path[2:] if path.startswith("./") else off.root / path
    leads_out = ".." in path or path.startswith("/")
    before = place.read_bytes()
    facts = {"stage": 1, f"out:{path}": digest_file(place)}
    for key in ("filter-3d:t1", "filter-3d:t7", "filter-3d:../../../outside", "pose-2d:gone", "calibrate:x"):
        append(off, "control/mouse1", job=key, event="done", facts=facts)
    files = told(off, "--delete")["removed"]
    # A record that leads out is passed over, and what was recorded before it counts.
    stays = set() if leads_out else {"control/mouse1/pose-3d-filtered/t1.csv"}
    assert set(files) == FILTERED_3D - stays
    assert place.read_bytes() == before


def test_nonsense_in_records_is_no_reason_to_remove_or_to_break(off: Lab):
    home = off.root / "control/mouse1"
    with (home / ".anipipe/records.jsonl").open("ab") as file:
        file.write(
            b'{"job": "filter-3d:t2", "event": "done", "facts": {"out:./x\\u0000": [1], "in:a": {}}}\n'
        )
        file.write(b'{"job": "filter-3d:", "event": "done", "facts": {"in:": 3, "out:": null}}\n')
        file.write(b'{"job": ":::", "event": "intent", "facts": {}}\n\xff\xfe\n{"job": "no-such-stage:t1"\n')
        file.write(b'{"job": "no-such-stage:t1", "event": "done", "facts": {"out:./angles/t1.csv": "x"}}\n')
        file.write(b'{"job": "angles:q", "event": "done", "facts": {"in:./a": "1", "out:./a": "1"}}\n')
    assert cleaned(off) == FILTERED_3D - {"control/mouse1/pose-3d-filtered/t2.csv"}


# --- whatever is wrong with reading the experiment --------------------------------------------------------


def test_a_session_whose_configuration_is_wrong_is_left_alone(off: Lab):
    (off.root / "treated/mouse3/config.toml").write_text("[filter3d]\nenabled = 'maybe'\n")
    assert left_out(off) == {"treated/mouse3"}
    assert cleaned(off) == {path for path in FILTERED_3D if "treated" not in path}
    assert "treated/mouse3" in off.run("clean")


def test_a_wrong_configuration_above_sessions_leaves_all_of_them_alone(off: Lab):
    (off.root / "control/config.toml").write_text("[filter3d]\nno_such_key = 1\n")
    assert cleaned(off) == {"treated/mouse3/pose-3d-filtered/t1.csv"}


def test_a_session_with_two_videos_of_one_camera_is_left_alone(off: Lab):
    shutil.copy(
        off.root / "control/mouse2/predictions/t1_ADLC_net_x1.csv",
        off.root / "control/mouse2/predictions/x_ADLC_net_x1.csv",
    )
    shutil.copytree(off.root / "control/mouse2/predictions", off.root / "control/mouse2/videos-raw")
    for suffix in (".mp4", ".avi"):
        (off.root / f"control/mouse2/videos-raw/t1_A{suffix}").write_bytes(b"video")
    assert left_out(off) == {"control/mouse2"}
    assert cleaned(off) == {path for path in FILTERED_3D if "mouse2" not in path}


def test_a_disk_that_is_not_mounted_is_no_reason_to_remove(off: Lab, tmp_path: Path):
    videos = off.root / "control/mouse1/predictions"
    videos.rename(tmp_path / "disk")
    videos.symlink_to(tmp_path / "away")
    assert left_out(off) == {"control/mouse1/predictions"}
    assert cleaned(off) == {path for path in FILTERED_3D if "mouse1" not in path}


def test_a_link_to_a_prediction_that_is_away_does_not_count_as_renamed(renamed: Lab, tmp_path: Path):
    predictions = renamed.root / "control/mouse1/predictions"
    for path in list(predictions.glob("reach_*")):
        link = path.with_name(path.name.replace("reach_", "t1_"))
        link.symlink_to(tmp_path / "away" / link.name)
    assert cleaned(renamed) == set()


def test_tables_stay_while_any_session_cannot_be_read(lab: Lab):
    (lab.root / "config.toml").write_text(ALL_ON + "[summaries]\ncsv = ['angles']\n")
    (lab.root / "treated/mouse3/config.toml").write_text("nonsense\n")
    assert cleaned(lab) == set()


def test_a_folder_that_cannot_be_read_is_left_alone(off: Lab, monkeypatch: pytest.MonkeyPatch):
    scan = os.scandir

    def refuse(path):
        if str(path).endswith("control/mouse1/pose-2d"):
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)
    assert cleaned(off) == {path for path in FILTERED_3D if "mouse1" not in path}
    assert left_out(off) == {"control/mouse1"}


def test_is_gone_only_where_that_is_certain(tmp_path: Path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/file").touch()
    (tmp_path / "link").symlink_to("folder")
    (tmp_path / "dead").symlink_to("nowhere")
    gone = ["x", "x/y/z", "folder/x", "link/x", "folder/file/x"]
    unsure = ["folder/file", "link/file", "dead", "dead/x", "dead/x/y", "../x", "/x", "", "folder//x", "a\0b"]
    assert [path for path in (*gone, *unsure) if is_gone(tmp_path, path)] == gone
    assert not is_gone(tmp_path / "unmounted", "x")


# --- renamed --------------------------------------------------------------------------------------------


def test_a_renamed_trial_goes_once_the_new_one_is_made(lab: Lab):
    before = of_trial("control/mouse1/t1", lab.files())
    assert len(before) == 3 + 3 + 3
    move(lab, "control/mouse1", "t1", "reach")
    assert told(lab)["files"] == []  # nothing has been made of it yet
    lab.run("run-all")
    assert {file["now"] for file in told(lab)["files"]} >= {"control/mouse1/reach"}
    assert cleaned(lab) == before
    assert {job.partition(" ")[0] for job in ran(lab)} <= {
        *(f"summarize-{table}-{what}" for table in TABLES for what in ("csv", "columns"))
    }
    assert ran(lab) == set()
    assert not [path for path in lab.files() if "mouse1" in path and "t1" in path.rpartition("/")[2]]
    rows = (lab.root / "summaries/angles.csv").read_text().splitlines()
    assert sum("mouse1" in row for row in rows) == 2 * 6


def test_a_trial_that_was_moved_to_another_session(lab: Lab):
    before = of_trial("control/mouse1/t1", lab.files())
    move(lab, "control/mouse1", "t1", "t1", target="control/mouse4")
    lab.run("run-all")
    assert cleaned(lab) == before
    assert (lab.root / "control/mouse4/pose-3d/t1.csv").exists()


def test_a_session_of_which_only_the_predictions_were_moved(lab: Lab):
    before = of_trial("control/mouse2/t1", lab.files())
    (lab.root / "control/mouse5").mkdir()
    (lab.root / "control/mouse2/predictions").rename(lab.root / "control/mouse5/predictions")
    lab.run("run-all")
    config = lab.root / "control/mouse2/config.toml"
    config.write_text("nonsense\n")
    assert cleaned(lab) == set()  # while its old session cannot be read
    config.unlink()
    assert cleaned(lab) == before
    lab.run("run-all")  # which takes it out of the tables
    assert [path for path in lab.files() if "mouse2" in path] == ["control/mouse2/config/config.toml"]
    assert ran(lab) == set()


def test_a_session_that_was_renamed_as_a_whole_has_nothing_to_clean(lab: Lab):
    (lab.root / "control/mouse2").rename(lab.root / "control/mouse7")
    lab.run("run-all")
    assert cleaned(lab) == set()


def test_a_renamed_trial_stays_whole_if_any_of_it_was_edited(renamed: Lab):
    lab = renamed
    path = lab.root / "control/mouse1/angles/t1.csv"
    path.write_text(path.read_text().replace(".", ".1", 1))
    assert cleaned(lab) == set()
    assert "changed" in kept(lab)["control/mouse1/angles/t1.csv"]
    assert "control/mouse1/pose-2d/t1_A.h5" in kept(lab)


def test_a_trial_of_which_one_camera_kept_its_name_stays(lab: Lab):
    predictions = lab.root / "control/mouse1/predictions"
    for camera in "AB":
        name = f"{camera}DLC_net_x1.csv"
        (predictions / f"t1_{name}").rename(predictions / f"reach_{name}")
    lab.run("run-all", check=None)
    assert cleaned(lab) == set()


def test_a_renamed_trial_stays_if_its_new_results_are_not_up_to_date(renamed: Lab):
    lab, before = renamed, of_trial("control/mouse1/t1", renamed.files())
    config = (lab.root / "config.toml").read_text()
    (lab.root / "config.toml").write_text(config.replace("score_threshold = 0.5", "score_threshold = 0.6"))
    assert not {path for path in cleaned(lab) if "pose-2d/" in path or "pose-3d/" in path}
    lab.run("run-all")
    assert cleaned(lab) == before


def test_a_prediction_that_changed_when_it_was_renamed_is_another_one(lab: Lab):
    move(lab, "control/mouse1", "t1", "reach")
    path = lab.root / "control/mouse1/predictions/reach_ADLC_net_x1.csv"
    path.write_text(path.read_text().replace("0.95", "0.94", 1))
    lab.run("run-all")
    assert cleaned(lab) == set()


def test_two_trials_of_the_same_recordings_that_are_both_gone_both_stay(lab: Lab):
    predictions = lab.root / "control/mouse1/predictions"
    for path in list(predictions.glob("t1_*")):
        shutil.copy(path, predictions / path.name.replace("t1_", "t9_"))
    lab.run("run-all")
    for path in [*predictions.glob("t1_*"), *predictions.glob("t9_*")]:
        path.unlink()
    lab.run("run-all", check=None)
    assert cleaned(lab) == set()


def test_of_a_trial_without_2d_poses_only_what_is_made_of_the_same_goes(lab: Lab):
    before = of_trial("control/mouse1/t1", lab.files())
    move(lab, "control/mouse1", "t1", "reach")
    path = lab.root / "control/mouse1/predictions/reach_ADLC_net_x1.csv"
    content = path.read_text()
    path.write_text(content.replace("0.95", "0.94", 1))
    lab.run("run-all")
    for camera in "ABC":
        (lab.root / f"control/mouse1/pose-2d/t1_{camera}.h5").unlink()
    assert cleaned(lab) == {f"control/mouse1/pose-2d-filtered/t1_{camera}.h5" for camera in "BC"}
    path.write_text(content)
    lab.run("run-all")
    cleaned(lab)
    assert before.isdisjoint(lab.files())


def test_a_trial_without_2d_poses_stays_if_the_recordings_of_its_like_are_gone_too(lab: Lab):
    session = lab.root / "control/mouse1"
    for path in list((session / "predictions").glob("t1_*")):
        shutil.copy(path, path.with_name(path.name.replace("t1_", "t9_")))
    lab.run("run-all")
    shutil.rmtree(session / "predictions")
    for path in (session / "pose-2d").glob("t1_*"):
        path.unlink()
    lab.run("run-all", check=None)
    assert cleaned(lab) == set()


def test_a_trial_renamed_while_a_stage_is_switched_off_goes_with_what_that_had_made(lab: Lab):
    before = of_trial("control/mouse1/t1", lab.files())
    move(lab, "control/mouse1", "t1", "reach")
    (lab.root / "config.toml").write_text(OFF_3D)
    lab.run("run-all")
    removed = cleaned(lab)
    assert before <= removed <= before | FILTERED_3D


def same_twice(root: Path, **settings: str) -> Lab:
    """The same predictions in two sessions, each with settings of its own; gone from the first one."""
    lab = Lab(root, make_rig())
    scores = np.linspace(0.3, 0.95, 24).reshape(6, 4)
    for session, text in settings.items():
        for number, camera in enumerate(lab.rig.cameras):
            points = project(motion(6, 1), camera)
            place = root / session / f"predictions/t1_{camera.name}DLC_net_x1.csv"
            write_dlc_csv(place, points, scores=np.roll(scores, number))
        (root / session / "config.toml").write_text(text)
    (root / "config.toml").write_text(CONFIG)
    (root / "calibration").mkdir()
    write_calibration(lab.rig, root / "calibration/calibration.toml")
    lab.run("run-all")
    shutil.rmtree(root / "old/predictions")
    return lab


@pytest.mark.parametrize(
    ("old", "again", "other"),
    [
        (
            "triangulation.score_threshold = 0.6\n",
            "",
            {"pose-3d": "pose-3d: triangulation.score_threshold: 0.6 -> 0.5", "angles": "pose-3d: "},
        ),
        (
            "[filter]\nenabled = true\nscore_threshold = 0.6\n",
            "filter.enabled = true\n",
            dict.fromkeys(("pose-3d", "angles"), "filter: filter.score_threshold: 0.6 -> 0.05"),
        ),
        ("angles = {back = ['nose', 'neck', 'tail']}\n", "", {"angles": "angles: angles.back: "}),
    ],
)
def test_what_was_made_of_the_same_with_other_settings_stays(
    tmp_path: Path, old: str, again: str, other: dict[str, str]
):
    lab = same_twice(tmp_path, old=old, again=again)
    archived = of_trial("old/t1", lab.files())
    assert cleaned(lab) == set()
    reasons = kept(lab)
    assert set(reasons) == archived
    why = "again/t1 was made of the same recordings, but otherwise "
    for folder, difference in other.items():
        assert reasons[f"old/{folder}/t1.csv"].startswith(f"{why}({difference}")
    assert "is there too" in reasons["old/pose-2d/t1_A.h5"]
    lab.run("run-all")
    assert archived <= set(lab.files())


def test_what_was_made_of_the_same_with_the_same_settings_goes(tmp_path: Path):
    lab = same_twice(tmp_path, again="triangulation.score_threshold = 0.6\n", old="", third="")
    archived = of_trial("old/t1", lab.files())
    assert len(archived) == 3 + 1 + 1
    assert {file["now"] for file in told(lab)["files"]} <= {"third/t1", *(f"again/t1_{c}" for c in "ABC")}
    assert cleaned(lab) == archived


def film_twice(root: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    """The same film in two sessions, each with a network of its own."""

    def find(source: ModelSource, video: Any, options: Any) -> Pose2D:
        seed = len(source.weights.read_bytes())  # the network that these weights make
        points = np.random.default_rng(seed).uniform(10, 40, size=(6, 3, 1, 2))
        return Pose2D(JOINTS, points, np.full((6, 3, 1), 0.9), scorer=source.name, size=(64, 48))

    monkeypatch.setattr(pose_2d, "run_network", find)
    for session in ("old", "again"):
        film = root / session / "videos-raw/t_A.mp4"
        film.parent.mkdir(parents=True)
        record(film, 6, size=(64, 48))
        train = root / f"networks/{session}/train"
        train.mkdir(parents=True)
        (train / "pytorch_config.yaml").write_text(yaml.safe_dump(settings()))
        (train / "snapshot-001.pt").write_bytes(b"weights")
        (root / session / "config.toml").write_text(f"model_folder = 'networks/{session}'\n")
    (root / "config.toml").write_text("labeling.pictures = []\n[filter]\nenabled = true\nmedfilt = 3\n")
    return Lab(root, make_rig())


@pytest.mark.parametrize("other", [True, False])
def test_what_another_network_made_of_the_same_film_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, other: bool
):
    lab = film_twice(tmp_path, monkeypatch)
    if other:
        (tmp_path / "networks/again/train/snapshot-001.pt").write_bytes(b"other weights")
    lab.run("run-all")
    made = {"old/pose-2d/t_A.h5", "old/pose-2d-filtered/t_A.h5"}
    assert made <= set(lab.files())
    shutil.rmtree(tmp_path / "old/videos-raw")
    assert cleaned(lab) == (set() if other else made)
    if other:
        why = "again/t_A was made of the same recordings, but otherwise (pose-2d: model changed)"
        assert kept(lab) == dict.fromkeys(made, why)


def test_a_renamed_trial_goes_although_nothing_of_it_comes_out_the_same_to_the_byte(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
):
    """As where a network was run on another kind of graphics card."""
    before = of_trial("control/mouse1/t1", lab.files())
    move(lab, "control/mouse1", "t1", "reach")
    load = Prediction.load

    def inexact(self: Prediction, **options: Any) -> Pose2D:
        pose = load(self, **options)
        return replace(pose, points=pose.points * (1 + 1e-9))

    with monkeypatch.context() as patch:
        patch.setattr(Prediction, "load", inexact)
        lab.run("run-all")
    now = lab.files()
    for path in before:
        assert now[path] != now[path.replace("/t1", "/reach")]
    with monkeypatch.context() as patch:
        refusing(patch, "angles/t1.csv")
        lab.run("clean", "--delete", check=1)
    assert of_trial("control/mouse1/t1", lab.files()) == {"control/mouse1/angles/t1.csv"}
    assert cleaned(lab) == {"control/mouse1/angles/t1.csv"}


@pytest.mark.parametrize("cameras", [{"A": "B", "B": "A"}, {"A": "B", "B": "C"}])
def test_a_trial_of_which_the_cameras_go_by_other_names_is_another_one(lab: Lab, cameras: dict[str, str]):
    lab.add_session("control/mouse6")
    predictions = lab.root / "control/mouse6/predictions"
    (predictions / "t1_CDLC_net_x1.csv").unlink()
    lab.run("run-all")
    for old, new in cameras.items():
        (predictions / f"t1_{old}DLC_net_x1.csv").rename(predictions / f"reach_{new}DLC_net_x1.csv")
    lab.run("run-all")
    assert cleaned(lab) == set()
    why = "control/mouse6/reach was made of the same recordings, but otherwise"
    assert kept(lab)["control/mouse6/pose-3d/t1.csv"].startswith(why)


def test_what_was_made_with_a_calibration_that_changed_since_stays(lab: Lab):
    session = lab.root / "control/mouse1"
    move(lab, "control/mouse1", "t1", "reach")
    for folder in ("pose-2d", "pose-2d-filtered"):
        for path in list((session / folder).glob("t1_*")):
            path.unlink()
    place = lab.root / "calibration/calibration.toml"
    place.write_text(place.read_text().replace("600.0", "601.0"))
    lab.run("run-all")
    stays = {f"control/mouse1/{folder}/t1.csv" for folder in ("pose-3d", "pose-3d-filtered", "angles")}
    assert cleaned(lab) == set()
    assert set(kept(lab)) == stays
    assert "(pose-3d: calibration/calibration.toml changed)" in kept(lab)[min(stays)]


FACTS = {
    "stage": 2,
    "option:a": 1,
    "library:x": "1.0",
    "content:model": "0.1",
    "in:S/T_A": "1",
    "in:S/T_B": "2",
}


def recorded(stage: str, session: str, trial: str, facts: dict[str, Any]) -> Recorded:
    """A job of that stage; the facts are about ``S/T``."""
    named = {name.replace("S/T", f"{session}/{trial}"): value for name, value in facts.items()}
    unit = Unit("trial", f"{session}/{trial}", session, trial, session, {}, None)
    return Recorded(session, f"{stage}:{trial}", REGISTRY[stage], unit, True, None, Claims(done=named))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, ""),
        ({"option:a": 3}, "filter: a: 1 -> 3"),
        ({"stage": 3}, "filter: stage version 2 -> 3"),
        ({"library:x": "1.1"}, "filter: x 1.0 -> 1.1"),
        ({"library:x": None}, "filter: x 1.0 -> unknown"),
        ({"content:model": "0.2"}, "filter: model changed"),
        ({"in:S/T_A": "2", "in:S/T_B": "1"}, "filter: old/t_A is not the same as new/u_A"),
        ({"in:S/T_B": "9"}, "filter: old/t_B is not the same as new/u_B"),
        ({"in:S/T_C": "3"}, "filter: of 2 files, not 3"),
        ({"out:S/T.h5": "old", "option:a": 3}, ""),
    ],
)
def test_in_what_two_jobs_of_one_stage_differ(changes: dict[str, Any], said: str):
    """Those of which something else was made differ in the same, though they themselves are alike."""
    jobs = []
    for session, trial, own in (("old", "t", {}), ("new", "u", changes)):
        facts = {**FACTS, "out:S/T.h5": session, **own}
        after = {"stage": 1, "in:S/T.h5": facts["out:S/T.h5"], "out:S/T.csv": session}
        jobs.append((recorded("filter", session, trial, facts), recorded("pose-3d", session, trial, after)))
    lineage = Lineage(job for pair in jobs for job in pair)
    for old, new in zip(*jobs, strict=True):
        assert lineage.difference(old, new, {}) == said
        assert bool(lineage.difference(new, old, {})) == bool(said)


def test_what_another_stage_made_is_something_else():
    facts, after = (
        {"stage": 1, "in:x": "1", "out:S/T.h5": "S"},
        {"stage": 1, "in:S/T.h5": "S", "out:S/T": "S"},
    )
    jobs = []
    for session, stage in (("old", "filter"), ("new", "pose-2d")):
        made, last = (
            {key: session if value == "S" else value for key, value in own.items()} for own in (facts, after)
        )
        jobs.append((recorded(stage, session, "t", made), recorded("pose-3d", session, "t", last)))
    lineage = Lineage(job for pair in jobs for job in pair)
    assert lineage.difference(jobs[0][1], jobs[1][1], {}) == "filter: not pose-2d"


def test_all_that_a_job_may_have_left_has_to_be_the_same():
    old, new = (recorded("filter", session, "t", {**FACTS, "out:S/T": session}) for session in ("old", "new"))
    lineage = Lineage([old, new])
    old.claims.intents.append({**old.facts, "out:old/t": "begun again"})
    assert lineage.difference(old, new, {}) == ""
    old.claims.intents.insert(0, {**old.facts, "option:a": 2, "out:old/t": "begun otherwise"})
    assert lineage.difference(old, new, {}) == "filter: a: 2 -> 1"


def test_records_that_lead_in_circles_come_to_an_end():
    facts = {"stage": 1, "in:S/T": "S", "out:S/T": "S"}
    old, new = (
        recorded("filter", name, "t", {key: name if value == "S" else value for key, value in facts.items()})
        for name in ("old", "new")
    )
    Lineage([old, new]).difference(old, new, {})


def test_a_converted_video_goes_with_the_recording_that_was_renamed(tmp_path: Path):
    lab = Lab(tmp_path, make_rig())
    (tmp_path / "config.toml").write_text("labeling.pictures = []\n")
    (tmp_path / "s/videos-uncompressed").mkdir(parents=True)
    record(tmp_path / "s/videos-uncompressed/t.avi", 6, size=(64, 48))
    write_dlc_csv(tmp_path / "s/predictions/tDLC_net_x1.csv", np.full((6, 4, 2), 20.0))
    lab.run("run-all")
    assert "s/videos-raw/t.mp4" in lab.files()
    (tmp_path / "s/videos-uncompressed/t.avi").rename(tmp_path / "s/videos-uncompressed/u.avi")
    lab.run("run-all", check=1)
    assert cleaned(lab) == set()  # the prediction has kept its name, and with it the 2D pose
    (tmp_path / "s/predictions/tDLC_net_x1.csv").rename(tmp_path / "s/predictions/uDLC_net_x1.csv")
    lab.run("run-all")
    assert cleaned(lab) == {"s/videos-raw/t.mp4", "s/pose-2d/t.h5"}
    assert {path for path in lab.files() if path.startswith("s/videos-")} == {
        "s/videos-raw/u.mp4",
        "s/videos-uncompressed/u.avi",
    }


def test_a_calibration_that_others_use_stays(lab: Lab):
    """As if it had been made here, from recordings that have moved to another calibration since."""
    place = lab.root / "calibration/calibration.toml"
    (lab.root / "elsewhere").mkdir()
    shutil.copytree(lab.root / "calibration", lab.root / "elsewhere/calibration")
    (lab.root / "elsewhere/calibration/board_A.png").write_bytes(b"picture")
    for home, recording in (("", "calibration/board_A.png"), ("elsewhere", "./calibration/board_A.png")):
        output = f"out:{'./' if home else ''}calibration/calibration.toml"
        (lab.root / home / ".anipipe").mkdir(exist_ok=True)
        facts = {f"in:{recording}": "0123.7", output: digest_file(place)}
        append(lab, home, job="calibrate:calibration", event="done", facts=facts)
    move(lab, "control/mouse1", "t1", "reach")
    (lab.root / "treated/mouse3/config.toml").write_text("[triangulation]\ntriangulate = false\n")
    lab.run("run-all", check=None)
    removed = cleaned(lab)
    assert any("mouse3/pose-3d/" in path for path in removed)
    assert not any("calibration" in path for path in removed)


# --- leftovers of killed runs ---------------------------------------------------------------------------


def test_what_a_killed_run_left_goes(off: Lab):
    unfinished = "control/mouse1/pose-3d-filtered/.anipipe-0123abcd-0123456789ab.csv"
    files = {
        unfinished: 0,
        "summaries/pose_3d.parquet/.anipipe-0123abcd-0123456789ab.parquet": 0,
        ".anipipe/lock.0123abcd": 7200,
        ".anipipe/stats.4711.tmp": 7200,
        ".anipipe/runs/.2026-01-01T00-00-00-0123abcd.tmp": 7200,
        "control/mouse1/.anipipe/records.4711.tmp": 7200,
        ".anipipe/.anipipe-0123abcd-7.tmp": 0,
        ".anipipe/doctor.0123abcd": 7200,
        "summaries/.anipipe-missing.csv": 7200,
    }
    others = {
        ".anipipe/lock.89abcdef": 0,  # of somebody who is about to take the lock
        ".anipipe/unfinished": 7200,
        "control/mouse1/.anipipe/.anipipe-0123abcd-7.tmp": 7200,
        "control/mouse1/.anipipe-notes": 7200,
        "control/mouse1/pose-3d/.hidden.csv": 7200,
        "control/mouse1/predictions/.anipipe-0123abcd-0123456789ab.csv": 7200,  # none of ours is made there
    }
    for path, age in {**files, **others}.items():
        (off.root / path).write_bytes(b"begun")
        os.utime(off.root / path, (time.time() - age,) * 2)
    found = told(off)["files"]
    assert {file["path"] for file in found if file["reason"] == "left unfinished"} == set(files)
    told(off, "--delete")
    assert not [path for path in files if (off.root / path).exists()]
    assert all((off.root / path).exists() for path in others)
    assert not (off.root / "control/mouse1/pose-3d-filtered").exists()


def test_whatever_a_run_writes_beside_its_place_is_known(lab: Lab, monkeypatch: pytest.MonkeyPatch):
    drafts, put = set(), Path.replace

    def noting(self: Path, target: Path) -> Path:
        drafts.add(self.relative_to(lab.root).as_posix())
        return put(self, target)

    lab.add_session("control/mouse9")
    (lab.root / "control/mouse2/predictions/t1_ADLC_net_x1.csv").write_text("nonsense\n")
    records = lab.root / "treated/mouse3/.anipipe/records.jsonl"
    records.write_text(records.read_text() * 5)  # too long, so that it is written anew
    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", noting)
        lab.run("run-all", check=1)
    places = {path.rpartition("/")[0] for path in drafts}
    assert places > {".anipipe", ".anipipe/runs", "treated/mouse3/.anipipe", "control/mouse9/pose-2d"}
    assert "summaries/.anipipe-missing.csv" in drafts
    for path in drafts:
        (lab.root / path).write_bytes(b"begun")
        os.utime(lab.root / path, (time.time() - 7200,) * 2)
    found = told(lab)["files"]
    assert {file["path"] for file in found if file["reason"] == "left unfinished"} == drafts


def test_what_a_run_is_writing_is_no_leftover(off: Lab):
    with Lock(off.root) as lock:
        (off.root / f".anipipe/.anipipe-{lock.token}-7.tmp").write_bytes(b"begun")
        for token in (lock.token, "0123abcd"):
            (off.root / f"control/mouse1/angles/.anipipe-{token}-0123456789ab.csv").write_bytes(b"begun")
        found = {file["path"] for file in told(off)["files"]} - FILTERED_3D
        assert found == {"control/mouse1/angles/.anipipe-0123abcd-0123456789ab.csv"}
        before = off.files()
        assert "is being processed" in off.run("clean", "--delete", check=75)
        assert off.files() == before
    assert not (off.root / ".anipipe/lock").exists()


# --- failures in the middle -----------------------------------------------------------------------------


def refusing(monkeypatch: pytest.MonkeyPatch, *endings: str) -> None:
    remove = Path.unlink

    def unlink(self: Path, missing_ok: bool = False) -> None:
        if str(self).endswith(endings):
            raise PermissionError(13, "Permission denied", str(self))
        remove(self, missing_ok=missing_ok)

    monkeypatch.setattr(Path, "unlink", unlink)


def test_what_cannot_be_removed_is_told_and_the_rest_goes(off: Lab, monkeypatch: pytest.MonkeyPatch):
    stays = "control/mouse1/pose-3d-filtered/t2.csv"
    with monkeypatch.context() as patch:
        refusing(patch, stays)
        said = off.run("clean", "--delete", check=1)
        assert stays in said and "Permission denied" in said and "removed 3 files" in said
    assert {path for path in FILTERED_3D if (off.root / path).exists()} == {stays}
    assert ran(off) == set()
    assert cleaned(off) == {stays}


def test_half_a_renamed_trial_goes_the_next_time(renamed: Lab, monkeypatch: pytest.MonkeyPatch):
    lab, before = renamed, of_trial("control/mouse1/t1", renamed.files())
    with monkeypatch.context() as patch:
        refusing(patch, "pose-2d/t1_A.h5")
        lab.run("clean", "--delete", check=1)
    assert of_trial("control/mouse1/t1", lab.files()) == before
    with monkeypatch.context() as patch:
        refusing(patch, "angles/t1.csv")
        lab.run("clean", "--delete", check=1)
    assert of_trial("control/mouse1/t1", lab.files()) == {"control/mouse1/angles/t1.csv"}
    assert not {job for job in ran(lab) if not job.startswith("summarize-")}
    assert cleaned(lab) == {"control/mouse1/angles/t1.csv"}


def test_what_rests_on_each_other_goes_from_the_end_so_that_the_next_call_finds_the_rest(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
):
    config = CONFIG.replace("[triangulation]", "[triangulation]\ntriangulate = false")
    (lab.root / "config.toml").write_text(config)
    lab.run("run-all")
    remove = Path.unlink

    def interrupted(self: Path, missing_ok: bool = False) -> None:
        if self.parent.name == "pose-3d":
            raise KeyboardInterrupt
        remove(self, missing_ok=missing_ok)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", interrupted)
        lab.run("clean", "--delete", check=None)
    assert not list(lab.root.rglob("angles/*.csv"))
    assert {path.split("/")[-2] for path in cleaned(lab)} == {"pose-2d-filtered", "pose-3d"}


def test_killed_in_the_middle_nothing_is_taken_for_foreign(off: Lab, after: int = 2):
    """A cleaning that ends, without a word, once it has removed so many files."""
    code = (
        "import os, pathlib, sys\n"
        "from anipipe.cli import invoke\n"
        "unlink, left = pathlib.Path.unlink, [int(sys.argv[1])]\n"
        "def die(self, missing_ok=False):\n"
        "    if self.parent.name == 'pose-3d-filtered':\n"
        "        if not left[0]: os._exit(9)\n"
        "        left[0] -= 1\n"
        "    unlink(self, missing_ok=missing_ok)\n"
        "pathlib.Path.unlink = die\n"
        "invoke(['clean', '--delete'])\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(after)], cwd=off.root, check=False, timeout=60)
    assert done.returncode == 9
    assert sum((off.root / path).exists() for path in FILTERED_3D) == 4 - after
    assert ran(off) == set()
    assert "nothing to clean" not in off.run("clean")
    (off.root / "config.toml").write_text(ALL_ON)
    jobs = json.loads(off.run("status", "--json"))[0]["jobs"]
    states = {job["state"] for job in jobs if job["stage"] != "calibrate"}
    assert not {"given", "edited", "conflict"} & states
    assert len([job for job in ran(off) if job.startswith("filter-3d")]) == after


def test_a_file_that_changes_while_it_is_looked_at_stays(off: Lab, monkeypatch: pytest.MonkeyPatch):
    path = off.root / "control/mouse1/pose-3d-filtered/t1.csv"
    digest = Disk.digest

    def edit_after(self, relative, **options):
        found = digest(self, relative, **options)
        if relative.endswith("mouse1/pose-3d-filtered/t1.csv"):
            path.write_bytes(path.read_bytes() + b"# checked\n")
        return found

    monkeypatch.setattr(Disk, "digest", edit_after)
    said = off.run("clean", "--delete", check=1)
    assert "changed while" in said
    assert path.exists() and path.read_bytes().endswith(b"# checked\n")


def test_what_was_removed_is_in_the_log(off: Lab):
    off.run("clean", "--delete")
    newest = max((off.root / ".anipipe/runs").glob("*.json"), key=lambda path: path.stat().st_mtime_ns)
    report = json.loads(newest.read_text())
    assert set(report["withdrawn"]) == FILTERED_3D
    assert report["exit_status"] == 0


def test_sizes_are_readable():
    assert [readable(n) for n in (0, 999, 1000, 999_499, 43_210_000, 5e9, 7e12)] == [
        *("0 B", "999 B", "1 kB", "999 kB", "43.2 MB", "5 GB", "7 TB")
    ]
