"""The 2D filters, against Anipose's own.

``ANIPIPE_ANIPOSE_PYTHON`` names a python that imports Anipose; without it only anipipe is timed. Further pose
files are timed by ``python -m benchmarks.filters FILE.h5 ...``.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from anipipe.engine.executors import limit_threads
from anipipe.formats.importing import import_pose
from anipipe.numerics.filtering import medfilt
from anipipe.numerics.viterbi import viterbi
from benchmarks.measure import REPEATS, best, show

Floats = NDArray[np.float64]

JOINTS, STEP = 12, 3.0
SIZES = ((500, 1), (5000, 1), (500, 3), (5000, 3))  # frames, candidates
SCORE, OFFSET, N_BACK, WINDOW = 0.05, 25.0, 5, 13
PEER_REPEATS = 2
REAL = Path(os.environ.get("ANIPIPE_REAL_DATA") or Path(__file__).resolve().parents[2] / "shared" / "data")
#: Anipose's own functions, joint after joint as its stage calls them, without starting its pool of processes.
_PEER = f"""
import json, sys, time
import numpy as np
from anipose.filter_pose import filter_pose_medfilt, viterbi_path
with np.load(sys.argv[1]) as given:
    points, scores = given["points"], given["scores"]
joints = range(points.shape[1])
config = dict(medfilt={WINDOW}, offset_threshold={OFFSET}, score_threshold={SCORE}, spline=True)

def by_viterbi():
    usable = points.copy()
    usable[scores < {SCORE}] = np.nan
    found = [viterbi_path(usable[:, j], scores[:, j], {N_BACK}, {OFFSET}) for j in joints]
    return np.stack([one for one, _ in found], axis=1)

def by_median():
    cells = np.concatenate([points, scores[..., None]], axis=-1)
    return filter_pose_medfilt(dict(filter=config), cells, joints)[0]

times = []
for function in (by_viterbi, by_median):
    runs = []
    for _ in range({PEER_REPEATS}):
        began = time.perf_counter()
        found = function()
        runs.append(time.perf_counter() - began)
    times.append(min(runs))
    np.save(sys.argv[2] + function.__name__, found)
print(json.dumps(times))
"""


def run(files: Sequence[Path] = ()) -> None:
    """Time the filters on synthetic tracks, real recordings and these files, and print milliseconds."""
    recordings = [(f"{frames} frames, {count}", *synthetic(frames, count)) for frames, count in SIZES]
    real = [
        *sorted((REAL / "fly-3cam" / "predictions").glob("*Cam-A.csv")),
        *(REAL / "openfield").glob("*.h5"),
    ]
    if not real:
        print(f"\nfilters: no real recordings in {REAL}; set ANIPIPE_REAL_DATA to where they are")
    for path in (*real, *files):
        pose = import_pose([path])
        recordings.append((path.stem[:20], pose.points, pose.scores))
    python = os.environ.get("ANIPIPE_ANIPOSE_PYTHON")
    if not python:
        print(
            "\nfilters: set ANIPIPE_ANIPOSE_PYTHON to a python that imports anipose to have it timed as well"
        )
    rows = [row for recording in recordings for row in _rows(*recording, python)]
    show(
        f"filters: ms, best of {REPEATS} (Anipose's, without its processes: of {PEER_REPEATS}); synthetic: "
        f"{JOINTS} joints,\nframes and candidates as named; ratio: how much faster than Anipose; points that "
        "differ by over 1e-6 px\nwhere both have one",
        ["", "filter", "anipipe", "anipose", "ratio", "points", "differ"],
        rows,
    )


def synthetic(frames: int, candidates: int) -> tuple[Floats, Floats]:
    """Return tracks with outliers, gaps and swapped candidates: points (.., 2) and scores."""
    rng = np.random.default_rng(frames + candidates)
    truth = 500 + np.cumsum(rng.normal(0, STEP, (frames, JOINTS, 2)), axis=0)
    points = truth[:, :, None] + rng.normal(0, 1, (frames, JOINTS, candidates, 2))
    points[:, :, 1:] += rng.normal(0, 60, (frames, JOINTS, candidates - 1, 2))
    scores = rng.uniform(0.5, 1, (frames, JOINTS, candidates)) * 0.7 ** np.arange(candidates)
    swapped = rng.random((frames, JOINTS)) < 0.1
    points[swapped] = points[swapped][:, ::-1]
    wrong = rng.random((frames, JOINTS)) < 0.03
    points[wrong, 0] += rng.normal(0, 40, (int(wrong.sum()), 2))
    for start in rng.integers(0, frames, frames // 50):
        scores[start : start + rng.integers(1, 12), rng.integers(JOINTS)] = 0.01
    return points, scores


def _rows(name: str, points: Floats, scores: Floats, python: str | None) -> list[list[str]]:
    def by_viterbi() -> Floats:
        return viterbi(points, scores, n_back=N_BACK, offset_threshold=OFFSET, score_threshold=SCORE)[0]

    def by_median() -> Floats:
        return medfilt(
            points[:, :, 0],
            scores[:, :, 0],
            window=WINDOW,
            offset_threshold=OFFSET,
            score_threshold=SCORE,
        )[0]

    peer = _peer(points, scores, python) if python else None
    rows = []
    for index, (filter_, function) in enumerate((("viterbi", by_viterbi), ("medfilt", by_median))):
        mine = best(function)
        cells = ["", "", ""]
        if peer is not None:
            seconds, theirs = peer[index]
            theirs[(theirs == -1).all(axis=-1)] = np.nan
            off = np.abs(function() - theirs).max(axis=-1)
            cells = [f"{1000 * seconds:.1f}", f"{seconds / mine:.1f}", str(int((off > 1e-6).sum()))]
        rows.append([name, filter_, f"{1000 * mine:.2f}", *cells[:2], str(points[:, :, 0, 0].size), cells[2]])
    return rows


def _peer(points: Floats, scores: Floats, python: str) -> list[tuple[float, Floats]]:
    """Have Anipose filter the same arrays in its own python; return seconds and points, by filter."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    with tempfile.TemporaryDirectory(prefix="anipipe-filters-") as folder:
        given = Path(folder) / "given.npz"
        np.savez(given, points=points, scores=scores)
        done = subprocess.run(
            [python, "-W", "ignore", "-c", _PEER, str(given), f"{folder}{os.sep}"],
            env=environment,
            stdout=subprocess.PIPE,
            check=True,
            text=True,
        )
        found = [np.load(Path(folder) / f"{name}.npy") for name in ("by_viterbi", "by_median")]
    times = json.loads(done.stdout.strip().splitlines()[-1])
    return list(zip(times, found, strict=True))


if __name__ == "__main__":
    limit_threads()
    run([Path(argument) for argument in sys.argv[1:]])
