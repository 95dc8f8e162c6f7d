"""Make the example's recordings: ``python make.py [FOLDER]``.

Renders the videos of the animal and of the board and the labelled frames, and writes the truth; without
FOLDER, into the folder that this file is in. Always the same: all chance comes from fixed seeds. The
configurations are not written but read: where a camera was cropped stands in its session's ``config.toml``.
What anipipe made, the network too, is left alone.

The network was trained with more frames of the same kind than the example holds::

    python make.py --training FOLDER      # render them, and write the settings of three trainings
    anipipe train FOLDER
    anipipe train FOLDER --shuffle 2 --init-weights SNAPSHOT    # the best one of the first
    anipipe train FOLDER --shuffle 3 --init-weights SNAPSHOT    # the last one of the second
    python make.py --take FOLDER          # put the network into the example
"""

from __future__ import annotations

import argparse
import os
import tomllib
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import av
import cv2
import numpy as np
from animal import JOINTS, Floats, Walk, pose, posture
from light import Picture
from practice import SHIPPED, TRAINING, TRAININGS, divide, take, write_labelled, write_practice
from rig import SEED, SIZE, board_poses, inside, make_rig, photograph_board, view
from scipy.spatial.transform import Rotation

from anipipe.formats.calibrations import write_calibration
from anipipe.numerics.cameras import project

HERE = Path(__file__).resolve().parent
FPS, FRAMES = 25, 75
CROPPED = (400, 300)  # px, of a camera that recorded a part of its sensor
WALK_CRF, BOARD_CRF = 22, 25  # how much videos are compressed


@dataclass(frozen=True)
class Trial:
    """One recording: where it lies, and what the animal does."""

    session: str
    name: str
    walk: Walk


TRIALS = (
    Trial("arena/session-1", "walk1", Walk((-110, -35), 12, 50, 14)),
    Trial("arena/session-1", "walk2", Walk((70, -80), 100, 46, 22)),
    Trial("arena/session-2", "walk1", Walk((95, 15), 195, 48, -16)),
    Trial("arena/session-2", "walk2", Walk((-60, 75), -75, 45, 28)),
)


def truth(walk: Walk) -> Floats:
    """Return the true points of a walk, (frames, joints, 3) in mm, as precise as their file."""
    return pose(walk, np.arange(FRAMES) / FPS).round(2)


def recorded(session: str, name: str) -> tuple[Floats, tuple[int, int]]:
    """Return where the part of the picture begins that a camera recorded, and its width and height, px."""
    path = HERE / session / "config.toml"
    cameras = tomllib.loads(path.read_text(encoding="utf-8")).get("cameras", {}) if path.is_file() else {}
    corner = cameras.get(name, {}).get("offset")
    return (np.zeros(2), SIZE) if corner is None else (np.array(corner), CROPPED)


def frame(trial: Trial, name: str, index: int) -> Picture:
    """Return one frame of a trial as the camera of that name recorded it."""
    # A generator for each frame: any one can be made without the others.
    random = np.random.default_rng([SEED, TRIALS.index(trial), ord(name), index])
    picture = view(name).photograph(posture(trial.walk, np.array([index / FPS])), 0, random)
    (left, top), (width, height) = recorded(trial.session, name)
    return picture[int(top) : int(top) + height, int(left) : int(left) + width]


def board_frame(name: str, index: int) -> Picture:
    """Return one frame of the recording of the board."""
    random = np.random.default_rng([SEED, 1000, ord(name), index])
    return photograph_board(view(name), board_poses(make_rig())[index], random)


def write_walk(folder: Path, trial: Trial, name: str) -> None:
    """Write the video of a trial."""
    corner, size = recorded(trial.session, name)
    if not inside(project(truth(trial.walk), view(name).camera) - corner, size):
        raise ValueError(f"{trial.session} {trial.name}: the animal leaves the picture of {name}")
    path = folder / trial.session / "videos-raw" / f"{trial.name}-cam{name}.mp4"
    write_video(path, [frame(trial, name, index) for index in range(FRAMES)], WALK_CRF)


def write_board(folder: Path, name: str) -> None:
    """Write the video of the board."""
    pictures = [board_frame(name, index) for index in range(len(board_poses(make_rig())))]
    write_video(folder / "calibration" / f"board-cam{name}.mp4", pictures, BOARD_CRF)


def write_video(path: Path, pictures: list[Picture], crf: int) -> None:
    """Write pictures as H.264."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", options={"movflags": "+faststart"}) as file:
        options = {"crf": str(crf), "preset": "slow", "threads": "1"}
        stream = file.add_stream("libx264", rate=FPS, options=options)
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt, stream.gop_size = "yuv420p", FPS
        for picture in pictures:
            file.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")))
        file.mux(stream.encode())


def write_truth(folder: Path) -> None:
    """Write true points, a column per joint and coordinate, the cameras, and where the board was."""
    header = ",".join(["fnum", *(f"{joint}_{axis}" for joint in JOINTS for axis in "xyz")])
    for trial in TRIALS:
        path = folder / "truth" / trial.session / f"{trial.name}.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        rows = enumerate(truth(trial.walk).reshape(FRAMES, -1) + 0.0)
        lines = [",".join([str(number), *(f"{value:.2f}" for value in row)]) for number, row in rows]
        path.write_text("\n".join([header, *lines]) + "\n", encoding="utf-8", newline="\n")
    write_calibration(make_rig(), folder / "truth" / "cameras.toml")
    poses = [
        [*Rotation.from_matrix(rotation).as_rotvec(), *place] for rotation, place in board_poses(make_rig())
    ]
    lines = [
        ",".join([str(number), *(f"{value + 0.0:.6f}" for value in row)]) for number, row in enumerate(poses)
    ]
    text = "\n".join(["fnum,turn_x,turn_y,turn_z,x,y,z", *lines]) + "\n"
    (folder / "truth" / "board.csv").write_text(text, encoding="utf-8", newline="\n")


def _workers() -> ProcessPoolExecutor:
    # One thread each: pictures are made side by side.
    os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    return ProcessPoolExecutor(mp_context=get_context("spawn"), initializer=cv2.setNumThreads, initargs=(1,))


def make(folder: Path) -> None:
    """Write everything below a folder."""
    names = make_rig().names
    write_truth(folder)
    with _workers() as pool:
        jobs = [pool.submit(write_board, folder, name) for name in names]
        labels = {name: pool.submit(write_practice, folder / "network", name, 0, SHIPPED) for name in names}
        jobs += [pool.submit(write_walk, folder, trial, name) for name in names for trial in TRIALS]
        for job in jobs:
            job.result()
        write_labelled(folder / "network", {name: job.result() for name, job in labels.items()})
    divide(folder / "network", TRAININGS[-1:])


def make_training(folder: Path) -> None:
    """Write the project to train with."""
    size = 40
    with _workers() as pool:
        jobs = {
            name: [
                pool.submit(write_practice, folder, name, first, first + size)
                for first in range(0, TRAINING, size)
            ]
            for name in make_rig().names
        }
        labels = {name: np.concatenate([job.result() for job in parts]) for name, parts in jobs.items()}
    write_labelled(folder, labels)
    divide(folder, TRAININGS)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, nargs="?", default=HERE)
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--training", dest="do", action="store_const", const=make_training, default=make)
    what.add_argument(
        "--take", dest="do", action="store_const", const=lambda trained: take(trained, HERE / "network")
    )
    arguments = parser.parse_args()
    arguments.do(arguments.folder)
