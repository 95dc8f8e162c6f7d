"""Frames to label, and the network that learns from them.

They show the animal on other walks than those that are recorded, before the same cameras.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from shutil import copyfile
from typing import Any

import cv2
import numpy as np
from animal import JOINTS, Floats, Walk, pose, posture
from light import Picture
from rig import SEED, SIZE, inside, make_rig, view

from anipipe.commands.training_dataset import create_training_dataset
from anipipe.formats.labels import Labels, write_labels
from anipipe.networks.settings_files import read_settings
from anipipe.networks.training.configs import write_yaml
from anipipe.networks.training.project import find_shuffle, open_project, write_project
from anipipe.networks.training.snapshots import read_state, snapshots, write_state
from anipipe.numerics.cameras import project

SCORER = "render"
JPEG = 75  # how much pictures are compressed
#: Labelled frames of each camera: those in the example, and all that the network was trained with; the first
#: ones of both are for tests.
SHIPPED, TRAINING, TESTS = 16, 160, 4
NET = "cspnext_nano"


def _training(
    epochs: int,
    pictures: dict[str, Any],
    scheduler: dict[str, Any],
    *,
    rate: float = 0.001,
    offsets: float = 0.5,
) -> dict[str, Any]:
    """Return what is set for a training, beside what anipipe proposes.

    Parameters
    ----------
    epochs
    pictures
        How pictures are changed, ``data.train``.
    scheduler, rate
        Of the learning rate.
    offsets
        Weight of the points' offsets within a cell of the heatmap, which make them exact.
    """
    return {
        "data": {"train": pictures},
        "model": {"heads": {"bodypart": {"criterion": {"locref": {"weight": offsets}}}}},
        "runner": {"scheduler": scheduler, "eval_interval": 3, "optimizer": {"params": {"lr": rate}}},
        "train_settings": {"epochs": epochs},
        "metadata": {"project_path": "network", "pose_config_path": "pytorch_config.yaml"},
    }


def _cosine(epochs: int) -> dict[str, Any]:
    return {"type": "CosineAnnealingLR", "params": {"T_max": epochs, "eta_min": 0.00001}}


#: One after another, each from the weights of the one before: crops about a joint, changed much; crops that
#: are changed less; and whole pictures, as pose-2d sees them. (This network weighs its channels by what fills
#: the picture, so that points found in whole pictures are exact only if it has learnt from whole pictures.)
TRAININGS = (
    _training(
        48,
        {
            "affine": {"scaling": [0.8, 1.25]},
            "crop_sampling": {"method": "keypoints", "max_shift": 0.4},
            "gaussian_noise": 5.0,
        },
        {"params": {"milestones": [34, 43]}},
        offsets=0.05,
    ),
    _training(
        50,
        {
            "affine": {"scaling": [0.9, 1.1], "rotation": 15},
            "crop_sampling": {"method": "keypoints", "max_shift": 0.2, "width": 224, "height": 224},
            "gaussian_noise": 3.0,
            "motion_blur": False,
        },
        _cosine(72),
    ),
    _training(
        12,
        {"affine": None, "crop_sampling": None, "gaussian_noise": 3.0, "motion_blur": False},
        _cosine(12),
        rate=0.0005,
    ),
)


def practice(name: str, number: int) -> tuple[Picture, Floats]:
    """Return a frame to label, and its labels, (joints, 2): the animal somewhere, on a walk of its own.

    Joints are labelled where they are, also behind other parts of the body.
    """
    random = np.random.default_rng([SEED, 2000, ord(name), number])
    while True:
        heading, speed, turning = random.uniform(0, 360), random.uniform(35, 60), random.uniform(8, 32)
        now = np.array([random.uniform(0, 6)])
        about = Walk((0.0, 0.0), heading, speed, turning * random.choice([-1, 1]))
        x, y = (random.uniform(-140, 140, 2) - posture(about, now)["neck"][0, :2]).tolist()
        walk = Walk((x, y), heading, speed, about.turning)
        pixels = project(pose(walk, now)[0], view(name).camera)
        if inside(pixels, SIZE):
            return view(name).photograph(posture(walk, now), 0, random), pixels


def write_practice(folder: Path, name: str, first: int, last: int) -> Floats:
    """Write pictures to label; return the labels, (pictures, joints, 2)."""
    labels = []
    for number in range(first, last):
        picture, points = practice(name, number)
        path = folder / picture_path(name, number)
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, JPEG])
        labels.append(points.round(2))
    return np.array(labels)


def picture_path(name: str, number: int) -> Path:
    """Return where a labelled picture lies in its project."""
    return Path("labeled-data", f"practice-cam{name}", f"img{number:03}.jpg")


def write_labelled(folder: Path, points: dict[str, Floats]) -> None:
    """Write the labels of pictures that are there, and make it a project."""
    for name, labels in points.items():
        pictures = tuple(picture_path(name, number).parts[1:] for number in range(len(labels)))
        table = Labels(pictures, labels, JOINTS, SCORER)
        write_labels(table, folder / picture_path(name, 0).parent / f"CollectedData_{SCORER}")
    if not (folder / "config.yaml").exists():
        settings = read_settings(write_project(folder, SCORER, JOINTS))
        settings |= {"Task": "fox", "date": "Jan1", "project_path": "network"}
        whole = {"crop": f"0, {SIZE[0]}, 0, {SIZE[1]}"}
        settings["video_sets"] = {video: dict(whole) for video in settings["video_sets"]}
        write_yaml(settings, folder / "config.yaml")


def divide(folder: Path, trainings: Sequence[dict[str, Any]]) -> None:
    """Divide a project's frames into those to learn from and to test with: shuffle 1, 2, …."""
    names = make_rig().names
    tests = ["/".join(picture_path(name, number).parts[1:]) for name in names for number in range(TESTS)]
    for number, training in enumerate(trainings, 1):
        if not list(folder.glob(f"dlc-models-pytorch/*/*shuffle{number}")):
            made = create_training_dataset(folder, shuffle=number, net=NET, test_frames=tests)
            write_yaml(_merged(read_settings(made.shuffle.config), training), made.shuffle.config)


def _merged(settings: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Return settings with changes; what is no table, or of another type, is replaced whole."""
    merged = dict(settings)
    for key, value in changes.items():
        old = merged.get(key)
        nested = isinstance(old, dict) and isinstance(value, dict)
        nested = nested and value.get("type") in (None, old.get("type"))
        merged[key] = _merged(old, value) if nested else value
    return merged


def take(folder: Path, project: Path) -> None:
    """Put the best network of a training into a project, its weights in half precision: half as large."""
    trained = find_shuffle(open_project(folder), len(TRAININGS)).train
    own = find_shuffle(open_project(project), 1).train
    best = snapshots(trained)[-1]
    state = read_state(best)
    halves = {name: one.half() if one.is_floating_point() else one for name, one in state["model"].items()}
    for old in snapshots(own):
        old.unlink()
    write_state(state | {"model": halves}, own / best.name)
    copyfile(trained / "learning_stats.csv", own / "learning_stats.csv")
