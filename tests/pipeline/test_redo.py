"""What is done again after which change, and what `status --why` says of it before."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from anipipe.formats.poses3d import read_pose_3d
from tests.conftest import CONFIG, Lab, write_dlc_csv


def ran(lab: Lab, *arguments: str, check: int | None = 0) -> set[str]:
    """Run everything; return the jobs that were done, as the run's report tells them."""
    lab.run("run-all", "-j1", *arguments, check=check)
    return last_report(lab)


def last_report(lab: Lab) -> set[str]:
    reports = sorted((lab.root / ".anipipe/runs").glob("*.json"), key=lambda path: path.stat().st_mtime_ns)
    report = json.loads(reports[-1].read_text())
    return {entry["job"] for entry in report["jobs"] if entry["ran"] and entry["state"] == "fresh"}


@pytest.fixture
def done(lab: Lab) -> Lab:
    lab.run("run-all", "-j1")
    return lab


def trial_jobs(trial: str, stages: str) -> set[str]:
    return {f"{stage} {trial}" for stage in stages.split()}


def whole(*tables: str) -> set[str]:
    """The jobs that put the parts of tables together."""
    return {f"summarize-{table}-{what}" for table in tables for what in ("csv", "columns")}


TABLES_3D = whole("3d", "errors", "angles")


def test_first_run_makes_everything_and_the_truth_is_found(done: Lab):
    for trial, truth in done.truth.items():
        session, _, name = trial.rpartition("/")
        pose = read_pose_3d(done.root / session / "pose-3d" / f"{name}.csv")
        assert np.allclose(pose.points, truth, atol=1e-6)
        assert np.all(pose.ncams == 3)
    table = pd.read_csv(done.root / "summaries/pose_3d.csv")
    assert len(table) == 4 * 6
    assert list(table.columns[-4:]) == ["folder_1", "folder_2", "filename", "project"]
    assert set(zip(table["folder_1"], table["folder_2"], table["filename"], strict=True)) == {
        ("control", "mouse1", "t1"),
        ("control", "mouse1", "t2"),
        ("control", "mouse2", "t1"),
        ("treated", "mouse3", "t1"),
    }
    two_d = pd.read_parquet(done.root / "summaries/pose_2d.parquet")
    assert len(two_d) == 4 * 6 * 3
    assert {"nose_x", "nose_y", "nose_likelihood", "fnum", "filename", "project"} <= set(two_d.columns)
    errors = pd.read_parquet(done.root / "summaries/errors.parquet")
    assert errors["nose_error"].max() < 1e-6
    assert (errors["tail_ncams"] == 3).all()
    angles = pd.read_csv(done.root / "summaries/angles.csv")
    assert list(angles.columns[:3]) == ["back", "tail", "fnum"]
    assert (done.root / "summaries/missing.csv").read_text() == "session,trial,stage,state,reason\n"
    config = (done.root / "treated/mouse3/config/config.toml").read_text()
    assert "score_threshold = 0.4" in config


def test_second_run_does_nothing(done: Lab):
    before = done.files()
    times = {path: os.stat(done.root / path).st_mtime_ns for path in before}
    text = done.run("run-all")
    assert "0 jobs done" in text
    assert done.files() == before
    assert {path: os.stat(done.root / path).st_mtime_ns for path in before} == times
    assert all(line.split()[-1] != "stale" for line in done.run("status").splitlines() if line)


def test_touching_every_input_does_nothing(done: Lab):
    for path in done.root.rglob("*"):
        if path.is_file() and (
            "predictions" in path.parts or path.name in ("config.toml", "calibration.toml")
        ):
            os.utime(path)
    assert ran(done) == set()


def test_moving_and_copying_do_nothing(done: Lab, tmp_path: Path):
    shutil.copytree(done.root, tmp_path / "copy")
    assert ran(Lab(tmp_path / "copy", done.rig)) == set()
    done.root.rename(tmp_path / "elsewhere")
    assert ran(Lab(tmp_path / "elsewhere", done.rig)) == set()


def test_an_angle_redoes_angles_and_their_table(done: Lab):
    config = done.root / "config.toml"
    config.write_text(config.read_text() + 'nose = ["axis", "nose", "neck", "hip"]\n')
    why = done.run("status", "--why")
    assert "angles.nose = ['axis', 'nose', 'neck', 'hip'] was added" in why
    expected = {job for trial in done.truth for job in trial_jobs(trial, "angles summarize-angles")}
    expected |= {
        f"write-config {session}" for session in ("control/mouse1", "control/mouse2", "treated/mouse3")
    }
    assert ran(done) == expected | whole("angles")


def test_a_threshold_redoes_3d_and_what_follows(done: Lab):
    config = done.root / "config.toml"
    config.write_text(config.read_text().replace("score_threshold = 0.5", "score_threshold = 0.99"))
    why = done.run("status", "--why")
    assert "triangulation.score_threshold: 0.5 -> 0.99" in why
    assert "stale pose-3d treated" not in why
    stages = "pose-3d angles summarize-3d summarize-angles summarize-errors"
    trials = [trial for trial in done.truth if trial.startswith("control")]
    expected = {job for trial in trials for job in trial_jobs(trial, stages)}
    expected |= {f"write-config {session}" for session in ("control/mouse1", "control/mouse2")}
    assert ran(done) == expected | TABLES_3D


def test_identical_results_stop_there(done: Lab):
    config = done.root / "config.toml"
    config.write_text(config.read_text().replace("score_threshold = 0.5", "score_threshold = 0.6"))
    assert {job.split()[0] for job in ran(done)} == {"write-config", "pose-3d"}


def test_a_session_key_redoes_that_session_and_the_tables(done: Lab):
    (done.root / "control/mouse2/config.toml").write_text("[triangulation]\nscore_threshold = 0.99\n")
    stages = "pose-3d angles summarize-3d summarize-angles summarize-errors"
    expected = trial_jobs("control/mouse2/t1", stages) | {"write-config control/mouse2"}
    assert ran(done) == expected | TABLES_3D


def test_a_calibration_redoes_the_trials_under_it(done: Lab):
    shutil.copytree(done.root / "calibration", done.root / "treated/calibration")
    # A copy of the same calibration, nearer by: another input, yet the same content, hence the same result.
    assert ran(done) == {"pose-3d treated/mouse3/t1"}
    path = done.root / "treated/calibration/calibration.toml"
    path.write_text(
        path.read_text().replace("translation = [ 0.0, 0.0, 400.0", "translation = [ 1.0, 0.0, 400.0", 1)
    )
    why = done.run("status", "--why")
    assert "treated/calibration/calibration.toml changed" in why
    stages = "pose-3d angles summarize-3d summarize-angles summarize-errors"
    assert ran(done) == trial_jobs("treated/mouse3/t1", stages) | TABLES_3D


@pytest.mark.parametrize("path", ["pose-2d/t1_A.h5", "pose-3d/t1.csv", "angles/t1.csv", "config/config.toml"])
@pytest.mark.parametrize("damage", ["deleted", "truncated", "emptied"])
def test_a_damaged_output_is_made_again(done: Lab, path: str, damage: str):
    target = done.root / "control/mouse2" / path
    content = target.read_bytes()
    if damage == "deleted":
        target.unlink()
    else:
        target.write_bytes(content[: len(content) * 2 // 3 if damage == "truncated" else 0])
    why = done.run("status", "--why")
    assert f"control/mouse2/{path} {'was cut short' if damage == 'truncated' else 'was deleted'}" in why
    jobs = ran(done)
    assert len(jobs) == 1
    assert target.read_bytes() == content
    assert ran(done) == set()


def test_an_edited_output_is_kept_shown_and_used(done: Lab):
    target = done.root / "control/mouse2/pose-3d/t1.csv"
    lines = target.read_text().splitlines(keepends=True)
    cells = lines[1].split(",")
    cells[0] = "123.0"
    lines[1] = ",".join(cells)
    target.write_text("".join(lines))
    edited = target.read_bytes()
    assert "edited" in done.run("status")
    jobs = ran(done)
    assert "pose-3d control/mouse2/t1" not in jobs
    assert {"angles control/mouse2/t1", "summarize-3d control/mouse2/t1"} <= jobs
    assert target.read_bytes() == edited
    assert pd.read_csv(done.root / "summaries/pose_3d.csv")["nose_x"].max() == 123.0
    # Its inputs change: a conflict, told, and still nothing is lost.
    config = done.root / "config.toml"
    config.write_text(config.read_text().replace("score_threshold = 0.5", "score_threshold = 0.99"))
    text = done.run("run-all")
    assert "conflict pose-3d control/mouse2/t1" in text
    assert "--force control/mouse2/pose-3d/t1.csv" in text
    assert target.read_bytes() == edited
    # Named on the command line, it is made again.
    assert "pose-3d control/mouse2/t1" in ran(done, "--force", "control/mouse2/pose-3d/t1.csv")
    assert target.read_bytes() != edited
    assert ran(done) == set()


def test_a_removed_prediction_leaves_its_pose_archived(done: Lab):
    (done.root / "control/mouse2/predictions/t1_ADLC_net_x1.csv").unlink()
    assert "archived" in done.run("status")
    before = done.files()
    assert ran(done) == set()
    assert done.files() == before


def test_a_changed_prediction_redoes_its_video_and_trial(done: Lab):
    path = done.root / "control/mouse2/predictions/t1_ADLC_net_x1.csv"
    text = path.read_text()
    path.write_text(text.replace("0.95\n", "0.85\n", 1))
    jobs = ran(done)
    stages = "pose-3d angles summarize-2d summarize-3d summarize-errors"
    assert (
        jobs
        <= trial_jobs("control/mouse2/t1", stages) | {"pose-2d control/mouse2/t1_A"} | whole("2d") | TABLES_3D
    )
    assert {"pose-2d control/mouse2/t1_A", "summarize-2d control/mouse2/t1"} <= jobs


def test_a_removed_session_leaves_the_tables(done: Lab):
    shutil.rmtree(done.root / "treated")
    ran(done)
    assert not list((done.root / "summaries").glob("*.parquet/*mouse3*"))
    assert set(pd.read_csv(done.root / "summaries/pose_3d.csv")["folder_2"]) == {"mouse1", "mouse2"}


def test_a_renamed_session_is_not_twice_in_the_tables(done: Lab):
    (done.root / "treated/mouse3").rename(done.root / "treated/mouse4")
    ran(done)
    assert set(pd.read_csv(done.root / "summaries/pose_3d.csv")["folder_2"]) == {"mouse1", "mouse2", "mouse4"}
    assert ran(done) == set()


def test_given_files_are_used_and_never_replaced(lab: Lab):
    given = lab.root / "control/mouse1/pose-3d/t1.csv"
    lab.run("run-all", "-j1")
    content = given.read_bytes()
    shutil.rmtree(lab.root / ".anipipe")
    for folder in lab.root.rglob(".anipipe"):
        shutil.rmtree(folder)
    before = lab.files()
    text = lab.run("run-all")
    assert "0 jobs done" in text
    assert "given" in text
    assert lab.files() == before
    path = lab.root / "control/mouse1/predictions/t1_ADLC_net_x1.csv"
    path.write_text(path.read_text().replace("0.95\n", "0.85\n", 1))
    assert "conflict" in lab.run("run-all")
    assert given.read_bytes() == content


def test_a_stage_alone_uses_stale_inputs_and_says_so(done: Lab):
    config = done.root / "config.toml"
    config.write_text(config.read_text().replace("score_threshold = 0.5", "score_threshold = 0.99"))
    before = (done.root / "control/mouse1/pose-3d/t1.csv").read_bytes()
    text = done.run("angles", "-j1")
    assert "pose-3d control/mouse1/t1 is stale" in text
    assert (done.root / "control/mouse1/pose-3d/t1.csv").read_bytes() == before
    text = done.run("angles", "--upstream", "-j1")
    assert "is stale" not in text
    assert (done.root / "control/mouse1/pose-3d/t1.csv").read_bytes() != before


def test_summarize_alone_leaves_stale_results_out(done: Lab):
    (done.root / "control/mouse2/config.toml").write_text("[triangulation]\nscore_threshold = 0.99\n")
    text = done.run("summarize", "-j1", check=1)
    assert "missing.csv" in text
    assert "mouse2" in (done.root / "summaries/missing.csv").read_text()
    assert set(pd.read_csv(done.root / "summaries/pose_3d.csv")["folder_2"]) == {"mouse1", "mouse3"}


def test_only_some_sessions(lab: Lab):
    lab.run("run-all", "--only", "treated", "-j1")
    assert (lab.root / "treated/mouse3/pose-3d/t1.csv").exists()
    assert not (lab.root / "control/mouse1/pose-3d").exists()
    lab.run("run-all", "control/mouse2", "-j1")
    assert (lab.root / "control/mouse2/pose-3d/t1.csv").exists()
    assert not (lab.root / "control/mouse1/pose-3d").exists()
    assert "no session here" in lab.run("run-all", "--only", "nowhere", check=2)


def test_dry_run_changes_nothing(lab: Lab):
    before = lab.files()
    text = lab.run("run-all", "--dry-run")
    assert "stale pose-3d control/mouse1/t1" in text
    assert lab.files() == before
    assert not (lab.root / ".anipipe").exists()


def test_serial_and_parallel_are_equal(lab: Lab, tmp_path: Path):
    shutil.copytree(lab.root, tmp_path / "other")
    other = Lab(tmp_path / "other", lab.rig)
    lab.run("run-all", "-j1")
    other.run("run-all", "-j3")
    assert lab.files() == other.files()


def test_offsets_and_late_cameras(lab: Lab):
    session = lab.root / "treated/mouse3"
    for camera in "ABC":
        path = session / f"predictions/t1_{camera}DLC_net_x1.csv"
        table = pd.read_csv(path, header=[0, 1, 2], index_col=0)
        points = table.to_numpy().reshape(len(table), -1, 3)[..., :2]
        if camera == "B":
            points = points - [100, 50]
        if camera == "C":
            points = points[2:]
        write_dlc_csv(path, points)
    (session / "config.toml").write_text("[cameras]\nB.offset = [100, 50]\nC.frame_offset = 2\n")
    lab.run("run-all", "-j1")
    pose = read_pose_3d(session / "pose-3d/t1.csv")
    assert np.allclose(pose.points, lab.truth["treated/mouse3/t1"], atol=1e-6)
    assert np.all(pose.ncams[:2] == 2)
    assert np.all(pose.ncams[2:] == 3)


def test_tables_of_sessions_that_differ_hold_all_columns(lab: Lab):
    (lab.root / "treated/mouse3/config.toml").write_text('[angles]\nextra = ["nose", "hip", "tail"]\n')
    lab.add_session("mouse0")
    lab.run("run-all")
    for table, column in (("angles", "extra"), ("pose_3d", "folder_2"), ("pose_2d", "folder_2")):
        read = pd.read_parquet(lab.root / f"summaries/{table}.parquet")
        rows = read[column].notna()
        assert set(read.loc[rows, "filename"].str[:2]) == {"t1"} if column == "extra" else rows.any()
        assert rows.sum() == (6 if column == "extra" else len(read) * 4 // 5)
    written = pd.read_csv(lab.root / "summaries/angles.csv")
    read = pd.read_parquet(lab.root / "summaries/angles.parquet")
    assert list(written.columns) == list(read.columns)
    pd.testing.assert_frame_equal(written, read, check_dtype=False)


def test_a_session_renamed_or_copied_keeps_its_records(done: Lab):
    (done.root / "treated/mouse3").rename(done.root / "treated/mouse9")
    jobs = ran(done)
    assert not any(job.startswith(("pose-2d", "pose-3d", "angles")) for job in jobs), jobs
    shutil.copytree(done.root / "control/mouse2", done.root / "control/copy")
    path = done.root / "control/copy/predictions/t1_ADLC_net_x1.csv"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:-2]))
    assert {"pose-2d control/copy/t1_A", "pose-3d control/copy/t1"} <= ran(done)
    assert " given" not in done.run("status", "control/copy")


@pytest.mark.parametrize("shorter", ["first row", "last row", "no final newline", "comment"])
def test_edits_that_make_a_text_shorter_or_longer_are_kept(done: Lab, shorter: str):
    target = done.root / "control/mouse2/angles/t1.csv"
    lines = target.read_text().splitlines(keepends=True)
    if shorter == "first row":
        lines[1] = "1.0," + lines[1].split(",", 1)[1]
    elif shorter == "last row":
        lines[-1] = "1.0," + lines[-1].split(",", 1)[1]
    elif shorter == "no final newline":
        lines[1] = "1.0," + lines[1].split(",", 1)[1]
        lines[-1] = lines[-1].rstrip("\n")
    else:
        target = done.root / "control/mouse2/config/config.toml"
        lines = [*target.read_text().splitlines(keepends=True), "# my note\n"]
    target.write_text("".join(lines))
    for _ in range(2):
        done.run("run-all", check=None)
        assert target.read_text() == "".join(lines)
        assert "edited" in done.run("status")


def test_a_text_whose_last_lines_were_removed_is_edited(done: Lab):
    target = done.root / "control/mouse2/angles/t1.csv"
    lines = target.read_text().splitlines(keepends=True)
    target.write_text("".join(lines[:-2]))
    done.run("run-all")
    assert target.read_text() == "".join(lines[:-2])
    assert "edited" in done.run("status")


def test_a_text_cut_in_the_middle_of_a_line_is_made_again_whatever_else_changed(done: Lab):
    target = done.root / "control/mouse2/pose-3d/t1.csv"
    content = target.read_bytes()
    config = done.root / "config.toml"
    for threshold, keep in ((0.61, len(content) - 2), (0.62, len(content) // 2)):
        target.write_bytes(content[:keep])
        config.write_text(CONFIG.replace("score_threshold = 0.5", f"score_threshold = {threshold}"))
        done.run("run-all")
        assert target.read_bytes() == content


def test_a_text_cut_anywhere_in_a_line_is_made_again(done: Lab):
    target = done.root / "control/mouse2/pose-3d/t1.csv"
    content = target.read_text()
    lines = content.splitlines(keepends=True)
    for keep in range(len(lines)):
        target.write_text("".join(lines[:keep]) + lines[keep][: len(lines[keep]) // 2])
        done.run("run-all")
        assert target.read_text() == content


def test_part_of_an_experiment_leaves_the_other_tables_as_they_were(done: Lab):
    config = done.root / "config.toml"
    config.write_text(config.read_text().replace("score_threshold = 0.5", "score_threshold = 0.99"))
    done.run("run-all", "--only", "control/mouse1")
    read = pd.read_parquet(done.root / "summaries/pose_3d.parquet")
    written = pd.read_csv(done.root / "summaries/pose_3d.csv")
    assert set(read["folder_2"]) == set(written["folder_2"]) == {"mouse1", "mouse2", "mouse3"}
    assert (done.root / "summaries/missing.csv").read_text().count("\n") == 1
    shutil.rmtree(done.root / "treated")
    done.run("pose-3d")
    assert (done.root / "summaries/pose_3d.parquet/part-treated~mouse3~t1.parquet").exists()


def test_force_of_what_cannot_be_made_changes_nothing(done: Lab):
    shutil.rmtree(done.root / "control/mouse2/predictions")
    before = done.files()
    text = done.run("run-all", "--force", "control/mouse2/pose-2d")
    assert "cannot make it again" in text
    assert done.files() == before
    assert "was not asked" in done.run("angles", "--force", "control/mouse2/pose-3d/t1.csv", check=2)


def test_a_failure_that_was_taken_back_is_forgotten(done: Lab):
    config = done.root / "config.toml"
    text = config.read_text()
    path = done.root / "control/mouse2/predictions/t1_ADLC_net_x1.csv"
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    done.run("run-all", check=1)
    path.write_bytes(content)
    done.run("run-all")
    (done.root / "control/mouse2/pose-2d/t1_A.h5").unlink()
    assert "failed" not in done.run("status")
    assert config.read_text() == text
