"""Predictions held against labels: numbers, tables, pictures."""

from __future__ import annotations

import csv
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import yaml

from anipipe.commands.evaluate import Errors, errors, evaluate
from anipipe.commands.evaluation_pictures import around, colours, draw
from anipipe.commands.training_dataset import create_training_dataset
from anipipe.errors import DataError, UsageError
from anipipe.networks.training.batches import Frames
from tests.networks.test_training_projects import JOINTS, make_project

ERRORS = {"one/img00.png": (3.0, 4.0), "two/img02.png": (30.0, 40.0)}


def test_errors():
    distances = np.array([[1.0, np.nan], [3.0, 20.0], [50.0, np.nan]])
    assert errors(distances) == Errors(count=4, mean=18.5, median=11.5, missed=0.25)
    none = errors(np.full((2, 2), np.nan))
    assert none.count == 0 and np.isnan([none.mean, none.median, none.missed]).all()


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project whose network answers with the labels, but for two frames; tails are unsure."""
    from anipipe.networks.training import predicting

    project = make_project(tmp_path / "p", config={"pcutoff": 0.4})
    made = create_training_dataset(project, net="resnet_18", test_frames=["two/img02.png", "two/img03.png"])
    (made.shuffle.train / "snapshot-best-030.pt").write_bytes(b"")
    (made.shuffle.train / "snapshot-040.pt").write_bytes(b"")

    def answer(model, frames: Frames, compute, *, step):
        points = np.where(np.isfinite(frames.points), frames.points, 5.0)
        scores = np.tile([0.9, 0.3], (len(frames), 1))
        for row, path in enumerate(frames.paths):
            points[row, 0] += ERRORS.get(f"{path.parent.name}/{path.name}", (0, 0))
            step(row + 1, len(frames))
        scores[1, 1] = 0.4
        return points, scores

    class Model:
        joints = JOINTS

    monkeypatch.setattr("anipipe.networks.loading.load_model", lambda source: Model())
    monkeypatch.setattr(predicting, "predict", answer)
    return project


def read(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text().splitlines()))


def test_the_numbers(project):
    steps = []
    result = evaluate(project, device="cpu", step=lambda done, of: steps.append((done, of)))
    assert result.scorer == "DLC_Resnet50_spotsJan2shuffle1_snapshot_best-30"
    assert result.cutoff == 0.4
    assert steps == [(row, 10) for row in range(1, 11)]
    rows = {(row.frames, row.joint): row for row in result.rows}
    # each folder has 5 frames; the tail of the first one is not labelled
    assert rows["train", "all"].every == Errors(14, pytest.approx(5 / 14), 0, 0)
    assert rows["train", "nose"].every == Errors(8, pytest.approx(5 / 8), 0, 0)
    assert rows["train", "all"].found.count == 9, "8 noses, and the one tail whose score equals the cutoff"
    assert rows["train", "tail"].found.count == 1
    assert rows["test", "all"].every == Errors(4, 12.5, 0, 0.25)
    assert rows["test", "nose"].every == Errors(2, 25, 25, 0.5)
    assert rows["test", "tail"].found.count == 0 and np.isnan(rows["test", "tail"].found.mean)
    assert any("snapshot-best-030" in note for note in result.notes)


def test_the_tables(project):
    result = evaluate(project, device="cpu", worst=0)
    place = project / "evaluation-results-pytorch" / "iteration-0" / "spotsJan2-trainset80shuffle1"
    assert result.files == [
        place / f"{result.scorer}-{what}.csv" for what in ("results", "keypoint-results", "predictions")
    ]
    (line,) = read(result.files[0])
    assert {key: line[key] for key in list(line)[:8]} == {
        "%Training dataset": "80",
        "Shuffle number": "1",
        "Training epochs": "30",
        "pcutoff": "0.4",
        "train rmse": "0.36",
        "train rmse_pcutoff": "0.56",
        "test rmse": "12.5",
        "test rmse_pcutoff": "25.0",
    }
    assert line["test share_over_20px"] == "0.25" and line["train median"] == "0.0"
    by_joint = read(result.files[1])
    assert [(row["frames"], row["joint"]) for row in by_joint] == [
        (frames, joint) for frames in ("train", "test") for joint in ("all", *JOINTS)
    ]
    assert by_joint[-1]["mean_pcutoff"] == ""
    lines = read(result.files[2])
    assert len(lines) == 20
    wrong = next(row for row in lines if row["picture"] == "two/img02.png" and row["joint"] == "nose")
    assert float(wrong["distance"]) == 50 and wrong["frames"] == "test"
    assert float(wrong["x"]) - float(wrong["label_x"]) == pytest.approx(30, abs=2e-3)
    blank = next(row for row in lines if row["picture"] == "one/img00.png" and row["joint"] == "tail")
    assert blank["label_x"] == blank["distance"] == ""
    assert result.pictures == []


def test_the_worst_frames_are_drawn(project):
    result = evaluate(project, device="cpu", worst=2)
    folder = result.files[0].parent / f"LabeledImages_{result.scorer}"
    names = [path.relative_to(folder).as_posix() for path in result.pictures]
    assert names[0] == "train-one-img00.png" and names[2:] == ["test-two-img02.png", "test-two-img03.png"]
    picture = cv2.imread(str(result.pictures[2]))
    assert picture.shape[0] > 300 and picture.shape[1] > 1000


def test_a_snapshot_by_name(project):
    assert evaluate(project, snapshot="snapshot-040", device="cpu", worst=0).scorer.endswith("snapshot_40")
    with pytest.raises(UsageError, match=r"no such file in .*snapshot-040.pt, snapshot-best-030.pt"):
        evaluate(project, snapshot="snapshot-050.pt", device="cpu")


def test_a_network_of_other_joints(project, monkeypatch):
    class Other:
        joints = ("a", "b")

    monkeypatch.setattr("anipipe.networks.loading.load_model", lambda source: Other())
    with pytest.raises(DataError, match=r"snapshot-best-030.pt: finds a, b, labelled are nose, tail"):
        evaluate(project, device="cpu")


def test_nothing_trained(tmp_path):
    project = make_project(tmp_path / "p", config={})
    create_training_dataset(project)
    with pytest.raises(DataError, match="no snapshot"):
        evaluate(project, device="cpu")


def test_the_part_that_is_shown():
    picture = np.arange(300 * 400).reshape(300, 400, 1)
    points = np.array([[100.0, 50.0], [200.0, 70.0], [np.nan, 3.0]])
    part, corner = around(picture, points)
    assert corner.tolist() == [60, 0]
    assert part.shape[:2] == (127, 180)
    assert part[0, 0, 0] == picture[0, 60, 0]
    for nothing in (np.full((2, 2), np.nan), np.array([[900.0, 900.0]])):
        part, corner = around(picture, nothing)
        assert part.shape == picture.shape and corner.tolist() == [0, 0]


def test_marks_lie_where_the_points_are():
    picture = np.zeros((100, 120, 3), np.uint8)
    labels = np.array([[20.0, 30.0], [80.0, 70.0], [np.nan, np.nan]])
    points = np.array([[50.0, 30.0], [80.0, 70.0], [100.0, 20.0]])
    drawn = draw(picture, labels, points, np.array([True, True, False]), ["a", "b", "c", "head"])
    scale = 9
    assert drawn.shape[0] == 100 * scale
    ink = colours(3)
    assert len(set(ink)) == 3

    def at(x: float, y: float) -> np.ndarray:
        return drawn[round((y + 0.5) * scale - 0.5), round((x + 0.5) * scale - 0.5)].astype(int)

    for x in (20, 35, 50):  # label, the line between, prediction
        np.testing.assert_allclose(at(x, 30), ink[0], atol=30)
    np.testing.assert_allclose(at(80, 70), ink[1], atol=2)
    assert at(35, 34).max() == 0
    assert at(100, 20).max() == 0, "unsure predictions are rings"
    coloured = np.argwhere(np.abs(drawn[:, : 120 * scale].astype(int) - ink[2]).max(axis=-1) < 60)
    np.testing.assert_allclose((coloured.mean(axis=0) + 0.5) / scale - 0.5, (20, 100), atol=0.2)


def test_a_real_network_end_to_end(tmp_path):
    """Weights at random, but everything else as it is."""
    from tests.networks.test_training_projects import network

    project = make_project(tmp_path / "p", count=4, config={})
    made = create_training_dataset(project, net="resnet_18")
    assert yaml.safe_load(made.shuffle.config.read_text())["model"]["backbone"]["model_name"] == "resnet18"
    torch.save(
        {"metadata": {"epoch": 7}, "model": network().state_dict()}, made.shuffle.train / "snapshot-007.pt"
    )
    result = evaluate(project, device="cpu", worst=1)
    assert result.scorer.endswith("shuffle1_snapshot_7")
    assert all(np.isfinite(row.every.mean) for row in result.rows if row.every.count)
    assert len(result.pictures) == 2 and all(path.is_file() for path in result.pictures)
