"""Calibration: from board videos to cameras against Anipose's way, and the solvers against each other."""

from __future__ import annotations

import contextlib
import io
import json
import sys
import tempfile
import time
import warnings
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from anipipe.artifacts import BoardRecording
from anipipe.config import Layer, resolve
from anipipe.errors import DataError
from anipipe.formats.calibrations import read_calibration, write_calibration
from anipipe.numerics.boards.geometry import Board
from anipipe.numerics.calibration import aniposelib_solver, solver
from anipipe.numerics.calibration.errors import corner_errors
from anipipe.numerics.calibration.lens_start import one_thread
from anipipe.numerics.calibration.placing import board_residuals, place_boards
from anipipe.numerics.calibration.solution import Solution
from anipipe.numerics.calibration.start import Wish, start
from anipipe.numerics.calibration.views import BoardViews, pair_views
from anipipe.numerics.cameras import Rig
from anipipe.stages.detect_boards import DetectionOptions, detect_boards
from benchmarks.measure import Ended, best, process, show
from benchmarks.rigs import CORNERS, FAR, FRAMES, NOISE, WRONG, BoardSeen, board_seen
from benchmarks.triangulation import REAL

Floats = NDArray[np.float64]

MOUSE = REAL / "mouse-4cam" / "calibration"
CAMERAS = ("back", "mid", "side", "top")
CONFIG = {
    "calibration": {
        "board_type": "charuco",
        "board_size": [8, 11],
        "board_square_side_length": 24.0,
        "board_marker_length": 18.75,
        "board_marker_bits": 4,
        "board_marker_dict_number": 1000,
    },
    "triangulation": {"cam_regex": "_(back|mid|side|top)$"},
}
PATHS, SOLVES = 2, 3  # runs of each, the shortest counts
RIGS = ((2, False), (4, False), (8, False), (4, True))  # cameras, fisheye
SEEDS = 2


def run() -> None:
    """Print all tables."""
    if MOUSE.is_dir():
        board, views = _board(), _detected()
        _show_paths(views, board)
        _show_solvers(views, board)
    else:
        print(f"\ncalibration: no real recording in {MOUSE}; set ANIPIPE_REAL_DATA to where they are")
    _show_synthetic()


# From videos to cameras.


def _options() -> DetectionOptions:
    return DetectionOptions.of(resolve([Layer(Path("config.toml"), CONFIG)]))


def _board() -> Board:
    return _options().board()


def _detected() -> BoardViews:
    recordings = (BoardRecording((MOUSE / f"board_{camera}.mov",), camera) for camera in CAMERAS)
    found = [detect_boards(recording, options=_options()) for recording in recordings]
    return pair_views(found, len(_board().points))


def _ours(file: Path) -> tuple[float, float]:
    """Calibrate the four cameras as anipipe does; write the file, return seconds of detecting, of solving."""
    began = time.perf_counter()
    views = _detected()
    detected = time.perf_counter()
    rig = solver.calibrate(views, _board().points).rig
    solved = time.perf_counter()
    write_calibration(rig, file)
    return detected - began, solved - detected


def _theirs(file: Path) -> tuple[float, float]:
    """Calibrate the four cameras by the calls and settings of ``anipose calibrate``."""
    from aniposelib.boards import CharucoBoard
    from aniposelib.cameras import CameraGroup

    np.random.seed(0)  # else two runs differ
    began = time.perf_counter()
    board = CharucoBoard(8, 11, 24.0, 18.75, marker_bits=4, dict_size=1000, manually_verify=False)
    group = CameraGroup.from_names(list(CAMERAS), fisheye=False)
    videos = [[str(MOUSE / f"board_{camera}.mov")] for camera in CAMERAS]
    rows = group.get_rows_videos(videos, board, verbose=False)
    detected = time.perf_counter()
    group.set_camera_sizes_videos(videos)
    settings = {"max_nfev": 200, "n_iters": 6, "n_samp_iter": 200, "n_samp_full": 1000}
    with contextlib.redirect_stdout(io.StringIO()):
        group.calibrate_rows(
            rows, board, init_intrinsics=True, init_extrinsics=True, verbose=False, **settings
        )
    solved = time.perf_counter()
    group.dump(str(file))
    return detected - began, solved - detected


@dataclass(frozen=True)
class _Path:
    """What one way from videos to cameras took, and gave."""

    detecting: float
    solving: float
    ended: Ended
    rig: Rig


def _apart(what: str, folder: Path) -> _Path:
    """Go one of the ways, in a process of its own."""
    file = folder / f"{what}.toml"
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.calibration", what, str(file)]
    ended = process(command, folder / "log")
    if ended.status:
        raise RuntimeError(ended.output)
    detecting, solving = json.loads(ended.output.strip().splitlines()[-1])
    return _Path(detecting, solving, ended, read_calibration(file))


def _show_paths(views: BoardViews, board: Board) -> None:
    runs: dict[str, list[_Path]] = {"ours": [], "theirs": []}
    with tempfile.TemporaryDirectory(prefix="anipipe-calibration-") as folder:
        for _ in range(PATHS):  # by turns, so that what else the machine does hits both
            for what, found in runs.items():
                found.append(_apart(what, Path(folder)))
    quickest = {
        what: min(found, key=lambda path: path.detecting + path.solving) for what, found in runs.items()
    }
    mine = quickest["ours"].detecting + quickest["ours"].solving
    rows = []
    for name, what in (("anipipe", "ours"), ("Anipose", "theirs")):
        path = quickest[what]
        seconds = path.detecting + path.solving
        times = [path.detecting, path.solving, seconds, path.ended.seconds]
        rows.append(
            [
                name,
                *(f"{value:.1f}" for value in times),
                f"{seconds / mine:.2f}",
                f"{path.ended.peak:.0f}",
                *_errors(_placed(path.rig.subset(CAMERAS), views, board.points), views, board.points),
            ]
        )
    show(
        "calibration: four board videos of mouse-4cam to cameras, detection included; the quickest of\n"
        f"{PATHS} processes each, by turns; total: without imports, process: with them; peak memory, MiB;\n"
        "errors of all corners that anipipe detected, px; Anipose estimates k1, anipipe k1 and k2",
        ["", "detect, s", "solve, s", "total, s", "process, s", "times", "MiB", "mean", "median", *_FOCALS],
        rows,
    )


_FOCALS = tuple(f"f {camera}" for camera in CAMERAS)


def _placed(rig: Rig, views: BoardViews, corners: Floats) -> Solution:
    """Return cameras as they are, with the board where it fits them best."""
    boards = place_boards(views, rig.cameras, corners)
    return Solution(rig, boards, board_residuals(views.pixels, rig.cameras, boards, corners), views.seen)


def _errors(solution: Solution, views: BoardViews, corners: Floats) -> list[str]:
    """Return mean and median error of all corners, and each camera's focal length."""
    report = corner_errors(views, solution, corners)
    overall = report["overall"]
    return [
        f"{overall['mean']:.4f}",
        f"{overall['median']:.4f}",
        *(f"{report['cameras'][camera]['focal_length']:.1f}" for camera in views.cameras),
    ]


# The solvers from the same start.


def _solved(engine: Any, views: BoardViews, corners: Floats, wish: Wish) -> Solution:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        solution: Solution = engine.calibrate(views, corners, wish=wish)
    return solution


def _show_solvers(views: BoardViews, board: Board) -> None:
    def begun() -> None:
        with one_thread():
            start(views, board.points, None, Wish())

    shared = best(begun, SOLVES)
    rows = []
    for distortion in ("k1", "k1k2"):
        wish = Wish(distortion=distortion)
        mine = 0.0
        for engine in (solver, aniposelib_solver):
            solved = partial(_solved, engine, views, board.points, wish)
            seconds = best(solved, SOLVES) - shared
            mine = mine or seconds
            errors = _errors(solved(), views, board.points)
            rows.append(
                [f"{distortion}, {engine.ENGINE}", f"{seconds:.2f}", f"{seconds / mine:.1f}", *errors]
            )
    show(
        f"calibration: solvers alone, mouse-4cam, from the same corners and start; best of {SOLVES} once\n"
        f"compiled, less the start's {shared:.2f} s; errors of all corners, px",
        ["", "s", "times", "mean", "median", *_FOCALS],
        rows,
    )


# Synthetic rigs.


def _show_synthetic() -> None:
    rows = []
    for cameras, fisheye in RIGS:
        given = [board_seen(cameras, fisheye, seed) for seed in range(SEEDS)]
        for engine in (solver, aniposelib_solver):
            found = [_judged(engine, one, Wish(fisheye=fisheye)) for one in given]
            name = f"{cameras} {'fisheye' if fisheye else 'pinhole'}, {engine.ENGINE}"
            rows.append([name, *_summary([one for one in found if one is not None])])
    show(
        f"calibration: synthetic rigs, {SEEDS} each, {FRAMES} frames, {NOISE} px of noise, {WRONG:.0%} of\n"
        f"corners wrong by up to {FAR:.0f} px; how often cameras were found at all, and of these: median\n"
        "seconds, start included (aniposelib's compiles anew for numbers that it has not seen); errors of\n"
        "camera centres in the first camera's axes, mm; largest error of a focal length; median rms of a\n"
        "coordinate of the right corners, px; share of the centres' coordinates within 3 of their standard\n"
        "deviations",
        ["", "found", "s", "centres", "largest", "focal", "rms", "within 3 sd"],
        rows,
    )


def _summary(found: list[_Judged]) -> list[str]:
    if not found:
        return ["0", *[""] * 6]
    off = np.concatenate([np.linalg.norm(one.off, axis=1) for one in found])
    within = np.concatenate([one.within for one in found])
    return [
        str(len(found)),
        f"{median(one.seconds for one in found):.2f}",
        f"{np.median(off):.2f}",
        f"{off.max():.2f}",
        f"{max(one.focal for one in found):.2%}",
        f"{median(one.rms for one in found):.3f}",
        f"{within.mean():.1%}" if within.size else "",
    ]


@dataclass(frozen=True, eq=False)
class _Judged:
    """A solution beside the truth."""

    seconds: float
    off: Floats  # (cameras - 1, 3) mm
    focal: float
    rms: float
    within: NDArray[np.bool_]


def _judged(engine: Any, given: BoardSeen, wish: Wish) -> _Judged | None:
    """Calibrate, and compare with the truth; None where the engine finds no cameras."""
    began = time.perf_counter()
    try:
        found = _solved(engine, given.views, CORNERS, wish)
    except DataError:
        return None
    seconds = time.perf_counter() - began
    first, *others = given.rig.cameras
    truth = np.stack([first.rotation_matrix @ (camera.centre - first.centre) for camera in others])
    off = np.stack([camera.centre for camera in found.rig.cameras[1:]]) - truth
    told = [
        [found.deviations[camera.name][f"centre_{axis}"] for axis in "xyz"]
        for camera in others
        if found.deviations
    ]
    right = found.residuals[np.isfinite(found.residuals[..., 0]) & ~given.wrong]
    return _Judged(
        seconds,
        off,
        max(
            abs(camera.matrix[0, 0] / true.matrix[0, 0] - 1)
            for camera, true in zip(found.rig.cameras, given.rig.cameras, strict=True)
        ),
        float(np.sqrt(np.mean(right**2))),
        np.abs(off) < 3 * np.array(told) if told else np.empty((0, 3), dtype=bool),
    )


if __name__ == "__main__":
    if len(sys.argv) == 1:
        run()
    else:
        what, file = sys.argv[1:]
        print(json.dumps({"ours": _ours, "theirs": _theirs}[what](Path(file))))
