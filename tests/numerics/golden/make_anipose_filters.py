"""Writes anipose_filters.npz, what Anipose's own 2D filters make of synthetic tracks.

To be run by a Python that has Anipose (1.1.24) and nothing of anipipe: ``python make_anipose_filters.py``.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from anipose.filter_pose import filter_pose_medfilt, viterbi_path

FRAMES, JOINTS, CANDIDATES = 60, 3, 3
#: n_back, offset_threshold, score_threshold
SETTINGS = ((1, 25.0, 0.05), (3, 10.0, 0.05), (5, 25.0, 0.05), (5, 25.0, 0.4))
MEDFILT = {"medfilt": 13, "offset_threshold": 25.0, "score_threshold": 0.05}


def candidates(rng):
    """Several candidates per joint: wrong ones first, low scores, duplicates, NaN, empty stretches."""
    truth = 300 + np.cumsum(rng.normal(0, 3, (FRAMES, JOINTS, 2)), axis=0)
    points = truth[:, :, None] + rng.normal(0, 1, (FRAMES, JOINTS, CANDIDATES, 2))
    points[:, :, 1:] += rng.uniform(-40, 40, (FRAMES, JOINTS, CANDIDATES - 1, 2))
    scores = rng.uniform(0.3, 1, (FRAMES, JOINTS, CANDIDATES)) * [1, 0.7, 0.5]
    swapped = rng.random((FRAMES, JOINTS)) < 0.2
    points[swapped] = points[swapped][:, ::-1]
    double = rng.random((FRAMES, JOINTS)) < 0.2
    points[double, 1] = points[double, 0] + rng.uniform(-3, 3, (double.sum(), 2))
    scores[rng.random(scores.shape) < 0.2] = 0.01
    points[rng.random(scores.shape) < 0.05] = np.nan
    for joint, start, end in ((0, 20, 23), (0, 40, 49), (1, 0, 4), (1, 30, 31), (2, 52, 60), (2, 5, 12)):
        scores[start:end, joint] = 0.02
    return points, scores


def track(rng):
    """One candidate with outliers and gaps; near (0, 0) at the ends, as zeros are put beyond them."""
    frames = 200
    time = np.arange(frames)[:, None, None]
    swing = np.sin(np.pi * time / (frames - 1)) * 200 + np.sin(time / [[7.0], [9], [11]]) * 15 * (time / 200)
    points = swing * (1 - time / (frames - 1)) * [1.0, 0.8] + rng.normal(0, 0.5, (frames, JOINTS, 2))
    scores = rng.uniform(0.5, 1, (frames, JOINTS))
    wrong = rng.random((frames, JOINTS)) < 0.05
    wrong[:8] = wrong[-8:] = False
    points[wrong] += rng.choice([-1, 1], (wrong.sum(), 2)) * rng.uniform(30, 80, (wrong.sum(), 2))
    scores[40:44, 0] = scores[100:103, 1] = 0.01
    return points, scores


def main() -> None:
    rng = np.random.default_rng(20)
    points, scores = candidates(rng)
    held = {"viterbi_points": points, "viterbi_scores": scores, "viterbi_settings": np.array(SETTINGS)}
    for number, (n_back, offset, least) in enumerate(SETTINGS):
        usable = np.where((scores < least)[..., None], np.nan, points)
        found = [viterbi_path(usable[:, j], scores[:, j], int(n_back), offset) for j in range(JOINTS)]
        held[f"viterbi_points_{number}"] = np.stack([one for one, _ in found], axis=1)
        held[f"viterbi_scores_{number}"] = np.stack([one for _, one in found], axis=1)
    points, scores = track(rng)
    held |= {"medfilt_points": points, "medfilt_scores": scores}
    for name, spline in (("cubic", True), ("linear", False)):
        cells = np.concatenate([points, scores[..., None]], axis=-1)[:, :, None]
        config = {"filter": {**MEDFILT, "spline": spline}}
        held[f"medfilt_{name}"] = filter_pose_medfilt(config, cells, range(JOINTS))[0]
    np.savez_compressed(Path(__file__).with_name("anipose_filters.npz"), **held)


if __name__ == "__main__":
    main()
