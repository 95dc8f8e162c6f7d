"""Training on labelled frames that are known: how exact the network comes out, and how long an epoch takes.

``python -m benchmarks.training PROJECT SPLIT [VIDEO PREDICTIONS]`` trains a ResNet-18 from random weights on
the labelled frames of a project of DeepLabCut, for two seeds; SPLIT names the frames to test with.
PREDICTIONS are another network's on VIDEO, of which only sure points count.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from anipipe.commands.evaluate import evaluate
from anipipe.commands.train import train
from anipipe.commands.training_dataset import create_training_dataset, read_test_frames
from anipipe.formats.poses2d import read_pose_2d
from anipipe.formats.video import Video
from anipipe.networks.opening import open_tracker
from anipipe.networks.sources import find_model
from anipipe.networks.tracking import track
from benchmarks.measure import show

EPOCHS, SEEDS, SURE, MISS = 60, (0, 1), 0.9, 20.0


def run(project: Path, split: Path, video: Path | None = None, predictions: Path | None = None) -> None:
    """Train and evaluate, and print a row per seed."""
    rows = []
    for seed in SEEDS:
        with tempfile.TemporaryDirectory(prefix="anipipe-training-") as folder:
            copy = Path(folder) / "project"
            shutil.copytree(project / "labeled-data", copy / "labeled-data")
            shutil.copy(project / "config.yaml", copy)
            made = create_training_dataset(copy, seed=seed, test_frames=read_test_frames(split))
            # as DeepLabCut augments
            (made.shuffle.train / "anipipe.yaml").write_text("brightness: 0\ncontrast: 0\n")
            began = time.perf_counter()
            train(copy, epochs=EPOCHS, report=print)
            seconds = (time.perf_counter() - began) / EPOCHS
            row = [str(seed)]
            for part in (each.every for each in evaluate(copy).rows if each.joint == "all"):
                row += [f"{part.median:.2f}", f"{100 * part.missed:.1f} %"]
            row += [*_beside(copy, video, predictions), f"{seconds:.1f}"]
            rows.append(row)
    header = [
        "seed",
        "train median",
        "> 20 px",
        "test median",
        "> 20 px",
        "other network",
        "> 20 px",
        "s/epoch",
    ]
    show(f"training: {project.name}, ResNet-18, {EPOCHS} epochs; medians in px", header, rows)


def _beside(project: Path, video: Path | None, predictions: Path | None) -> list[str]:
    """Return the median distance to another network's sure points, and the share of those far off."""
    if video is None or predictions is None:
        return ["", ""]
    film, other = Video(video), read_pose_2d(predictions)
    tracker = open_tracker(find_model(project))
    found = track(tracker, film.frames(), film.count(), film.info.size).values[:, :, 0]
    count = min(len(found), len(other.points))
    places = [other.joints.index(joint) for joint in tracker.joints]
    there, scores = other.points[:count, places, 0], other.scores[:count, places, 0]
    apart = np.linalg.norm(found[:count, :, :2] - there, axis=-1)[scores > SURE]
    return [f"{np.median(apart):.2f}", f"{100 * (apart > MISS).mean():.1f} %"]


if __name__ == "__main__":
    run(*map(Path, sys.argv[1:]))
