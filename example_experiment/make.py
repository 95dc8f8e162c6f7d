"""Make the example's recordings: ``python make.py [FOLDER]``.

Writes the calibration of three cameras, what a network would have predicted in their videos, and the truth,
the same bytes each time. Without FOLDER, into the folder that this file is in. The configurations are not
written but read: where a camera was cropped stands in its session's ``config.toml``.
"""

from __future__ import annotations

import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from animal import JOINTS, Floats, Walk, pose
from scipy.spatial.transform import Rotation

from anipipe.formats.calibrations import write_calibration
from anipipe.numerics.cameras import Camera, Rig, project

HERE = Path(__file__).resolve().parent
SEED = 20250101
FPS = 50
SCORER = "DLC_Resnet50_exampleJan1shuffle1_snapshot_100"
SIZE = (640, 480)

NOISE = 0.5  # px, in x and in y
OUTLIERS, FAR = 0.02, (15.0, 60.0)  # how many points are off, and how far (px)
GAPS, GAP_FRAMES = 3, (5, 20)  # stretches without a joint, per video
OCCLUSIONS = 4  # stretches in which a joint is hidden and guessed badly, per video


@dataclass(frozen=True)
class Trial:
    """One recording: where it lies, its length, and what the animal does."""

    session: str
    name: str
    frames: int
    walk: Walk


TRIALS = (
    Trial("arena/session-1", "walk1", 180, Walk((-150, -60), 0, 78, 14)),
    Trial("arena/session-1", "walk2", 160, Walk((120, -130), 95, 72, 22)),
    Trial("arena/session-2", "walk1", 180, Walk((150, -10), 190, 70, -16)),
    Trial("arena/session-2", "walk2", 160, Walk((-90, 110), -70, 66, 30)),
)


def rig() -> Rig:
    """Return three cameras around the floor that look at it from above."""
    places = {"A": (-720, -480, 520), "B": (760, -420, 560), "C": (60, 820, 640)}
    lenses = {"A": (610.0, -0.21), "B": (618.0, -0.19), "C": (640.0, -0.24)}
    centres = {"A": (322.4, 241.7), "B": (316.1, 236.9), "C": (319.2, 243.3)}
    cameras = []
    for name, place in places.items():
        rotation, translation = _look_at(np.array(place, dtype=float), np.array([0.0, 0.0, 35.0]))
        (focal, k1), (cx, cy) = lenses[name], centres[name]
        matrix = np.array([[focal, 0, cx], [0, focal, cy], [0, 0, 1]])
        cameras.append(Camera(name, SIZE, matrix, np.array([k1, 0, 0, 0, 0]), rotation, translation))
    return Rig(tuple(cameras), {"adjusted": False, "error": 0.0})


def _look_at(place: Floats, target: Floats) -> tuple[Floats, Floats]:
    """Return world_to_camera, rounded: the last bits of a machine's arithmetic are not to matter."""
    z = (target - place) / np.linalg.norm(target - place)
    x = np.cross(z, [0.0, 0.0, 1.0])
    x /= np.linalg.norm(x)
    vector = Rotation.from_matrix(np.stack([x, np.cross(z, x), z])).as_rotvec().round(6)
    return vector, (-Rotation.from_rotvec(vector).as_matrix() @ place).round(4)


def truth(trial: Trial) -> Floats:
    """Return the true points of a trial, (frames, joints, 3) in mm, as precise as their file."""
    return pose(trial.walk, np.arange(trial.frames) / FPS).round(2)


def predict(pixels: Floats, rng: np.random.Generator) -> Floats:
    """Return what a network might make of exact pixels.

    Parameters
    ----------
    pixels : (frames, joints, 2) array
    rng : numpy.random.Generator

    Returns
    -------
    (frames, joints, 3) array
        x, y, likelihood; NaN in the gaps.
    """
    frames, joints = pixels.shape[:2]
    points = pixels + rng.normal(0, NOISE, pixels.shape)
    scores = 1 - 0.1 * rng.beta(1, 4, (frames, joints))
    off = rng.random((frames, joints)) < OUTLIERS
    for start, length, joint in _stretches(OCCLUSIONS, frames, joints, rng):
        off[start : start + length, joint] = True
    angle, distance = rng.uniform(0, 2 * np.pi, off.shape), rng.uniform(*FAR, off.shape)
    away = distance[..., None] * np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    points = np.where(off[..., None], points + away, points)
    scores = np.where(off, rng.uniform(0.01, 0.45, off.shape), scores)
    found = np.concatenate([points.round(1), scores.round(2)[..., None]], axis=-1)
    for start, length, joint in _stretches(GAPS, frames, joints, rng):
        found[start : start + length, joint] = np.nan
    return found


def _stretches(count: int, frames: int, joints: int, rng: np.random.Generator) -> list[tuple[int, int, int]]:
    """Choose stretches of frames: first frame, length, joint."""
    lengths = rng.integers(*GAP_FRAMES, count, endpoint=True)
    return [(int(rng.integers(frames - n)), int(n), int(rng.integers(joints))) for n in lengths]


def offsets(session: str) -> dict[str, Floats]:
    """Return where the recorded part of each cropped camera begins, from the session's configuration."""
    path = HERE / session / "config.toml"
    cameras = tomllib.loads(path.read_text(encoding="utf-8")).get("cameras", {}) if path.is_file() else {}
    return {name: np.array(camera.get("offset", (0, 0)), dtype=float) for name, camera in cameras.items()}


def write_truth(points: Floats, path: Path) -> None:
    """Write true points, a column per joint and coordinate."""
    header = ["fnum", *(f"{joint}_{axis}" for joint in JOINTS for axis in "xyz")]
    lines = [f"{number}," + _cells(row) for number, row in enumerate(points.reshape(len(points), -1))]
    _write(path, [",".join(header), *lines])


def write_prediction(found: Floats, path: Path) -> None:
    """Write a prediction as DeepLabCut does."""
    header = [
        ["scorer", *[SCORER] * (3 * len(JOINTS))],
        ["bodyparts", *(joint for joint in JOINTS for _ in range(3))],
        ["coords", *("x", "y", "likelihood") * len(JOINTS)],
    ]
    lines = [f"{number}," + _cells(row) for number, row in enumerate(found.reshape(len(found), -1))]
    _write(path, [*(",".join(row) for row in header), *lines])


def _cells(row: Floats) -> str:
    return ",".join("" if np.isnan(value) else repr(float(value + 0.0)) for value in row)


def _write(path: Path, lines: list[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8", newline="\n")


def make(folder: Path) -> None:
    """Write everything below a folder."""
    cameras = rig()
    (folder / "calibration").mkdir(parents=True, exist_ok=True)
    write_calibration(cameras, folder / "calibration" / "calibration.toml")
    for number, trial in enumerate(TRIALS):
        points = truth(trial)
        write_truth(points, folder / "truth" / trial.session / f"{trial.name}.csv")
        corners = offsets(trial.session)
        for index, camera in enumerate(cameras.cameras):
            # A generator for each video: one more trial or camera leaves the others as they are.
            rng = np.random.default_rng([SEED, number, index])
            pixels = project(points, camera) - corners.get(camera.name, 0.0)
            if not ((pixels >= 0) & (pixels < SIZE)).all():
                raise ValueError(
                    f"{trial.session} {trial.name}: the animal leaves the picture of {camera.name}"
                )
            name = f"{trial.name}-cam{camera.name}{SCORER}.csv"
            write_prediction(predict(pixels, rng), folder / trial.session / "predictions" / name)


if __name__ == "__main__":
    make(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE)
