"""From labelled frames to 2D poses: create-training-dataset, train, evaluate, bench-model."""

from __future__ import annotations

import contextlib
import io
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest

from anipipe.cli import invoke
from anipipe.formats.poses2d import read_pose_2d
from tests.formats.videos import colourful, record
from tests.networks.test_training_projects import JOINTS, make_project, quick
from tests.pipeline.models import write_model


def run(*arguments: str | Path, check: int = 0) -> str:
    printed = io.StringIO()
    with redirect_stdout(printed), redirect_stderr(printed):
        status = invoke([str(argument) for argument in arguments])
    assert status == check, printed.getvalue()
    return printed.getvalue()


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A project, and what training it printed."""
    project = make_project(tmp_path_factory.mktemp("lab") / "spots", config={})
    quick(project)
    return project, run("train", project, "--epochs", "3")


def test_a_training_tells_its_epochs_and_where_the_best_snapshot_is(trained: tuple[Path, str]) -> None:
    project, told = trained
    assert "8 frames to learn from, 2 to test with" in told
    assert "epoch 3/3  loss " in told and "test error " in told and "px  snapshot-best-" in told
    assert told.splitlines()[-1].startswith("trained: ")
    assert Path(told.splitlines()[-1].removeprefix("trained: ")).is_file()
    assert "Train it anew with --fresh" in run("train", project, check=2)
    assert "there is no training to resume" in run("train", project, "--resume", check=2)


def test_evaluating_prints_a_table_and_draws_the_worst_frames(trained: tuple[Path, str]) -> None:
    project, _ = trained
    told = run("evaluate", project, "--worst", "1")
    rows = [line.split() for line in told.splitlines() if line.startswith(("train ", "test "))]
    assert [row[:2] for row in rows] == [
        [part, joint] for part in ("train", "test") for joint in ("all", *JOINTS)
    ]
    points = [int(row[2]) for row in rows]
    assert points[0] == points[1] + points[2] and points[3] == points[4] + points[5]
    assert points[0] + points[3] == 18  # of 10 frames, with a blank in each folder
    pictures = list((project / "evaluation-results-pytorch").rglob("*.png"))
    assert len(pictures) == 2
    assert str(pictures[0].parent) in told


def test_a_trained_project_finds_poses_and_its_retraining_makes_them_stale(
    trained: tuple[Path, str], tmp_path: Path
) -> None:
    project, _ = trained
    (tmp_path / "s/videos-raw").mkdir(parents=True)
    record(tmp_path / "s/videos-raw/walk.mp4", 4, size=(64, 48), paint=colourful)
    (tmp_path / "config.toml").write_text(f'model_folder = "{project.as_posix()}"\n')
    run("pose-2d", "-j1", tmp_path)
    assert read_pose_2d(tmp_path / "s/pose-2d/walk.h5").joints == JOINTS
    run("train", project, "--fresh", "--epochs", "1", "--seed", "7")
    with contextlib.chdir(tmp_path):
        assert "model changed" in run("status", "--why")


def test_a_training_dataset_is_told_and_not_made_twice(tmp_path: Path) -> None:
    project = make_project(tmp_path / "spots")
    told = run("create-training-dataset", project, "--net", "cspnext_tiny", "--seed", "3")
    assert "10 labelled frames, 2 joints, 18 points" in told
    assert f"next: anipipe train {project}" in told
    run("create-training-dataset", project, check=2)
    (tmp_path / "names.txt").write_text("one/img00.png\ntwo/img03.png\n")
    told = run("create-training-dataset", project, "--shuffle", "2", "--test-frames", tmp_path / "names.txt")
    assert "8 to learn from, 2 to test with" in told and told.rstrip().endswith("--shuffle 2")


def test_a_model_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("anipipe.commands.bench_model._LEAST_SECONDS", 0.01)
    (tmp_path / "s/videos-raw").mkdir(parents=True)
    record(tmp_path / "s/videos-raw/walk_A.mp4", 6, size=(160, 128), paint=colourful)
    write_model(tmp_path / "net")
    (tmp_path / "config.toml").write_text('model_folder = "net"\nnetwork.crop = [0, 0, 96, 128]\n')
    told = run("bench-model", tmp_path, "--device", "cpu", "--frames", "50")
    assert "net snapshot-001 on walk_A.mp4, 96 x 128 pixels, cpu" in told
    lines = {line.split()[0]: line for line in told.splitlines() if line[:1] in "fbd" and line}
    assert all(float(word) > 0 for word in lines["decoding"].split()[2:3])
    assert "% of the network alone (decoding " in told and "whole stage (6 frames)" in told
    (tmp_path / "config.toml").write_text("")
    assert "no video here has a network" in run("bench-model", tmp_path, check=2)
