"""The animal's tracked joints as further evidence of where the cameras are.

A network finds joints some pixels off where a board's corners are found to a fraction of one, but the animal
is where the results are wanted, and there may be much more of it. Its points join the board's residuals, each
kind by its own exactness; the board keeps the scale.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from anipipe.numerics.cameras import Rig
from anipipe.numerics.lenses import Floats
from anipipe.numerics.triangulation import dlt, reprojection_errors

MOST = 20_000  # points; more change nothing but the time
BEST_SCORES, CUT = 0.9, (0.8, 0.95)  # quantile of the scores that points must reach, and its bounds
FARTHEST = 5.0  # times the median reprojection error, beyond which a point is mistaken
SEED = 0


def pooled(trials: Iterable[tuple[Floats, Floats]], *, most: int = MOST, seed: int = SEED) -> Floats:
    """Choose points of an animal that calibration can rest on.

    Parameters
    ----------
    trials
        Pixels (cameras, points, 2), NaN where unseen, and scores (cameras, points) of each trial.
    most
        How many points to choose; those that more cameras see are likelier (by e per camera, as in Anipose).
    seed
        Of the choice.

    Returns
    -------
    (cameras, points, 2): pixels with a score in the best tenth (no less than 0.8 and no more than 0.95 is
    asked for), of points that two cameras or more see so. Empty if there are none.
    """
    scores: list[Floats] = []
    found: list[tuple[Floats, Floats]] = []
    for image, score in trials:
        certain = np.where(np.isfinite(image).all(axis=-1), score, np.nan)
        scores.append(certain[np.isfinite(certain)])
        # nothing below the lowest possible limit is kept any longer
        there = (certain >= CUT[0]).sum(axis=0) >= 2
        found.append((image[:, there], certain[:, there]))
    if not found:
        return np.empty((0, 0, 2))
    every = np.concatenate(scores)
    cut = float(np.clip(np.quantile(every, BEST_SCORES), *CUT)) if every.size else CUT[0]
    pixels = np.concatenate(
        [np.where((score >= cut)[..., None], image, np.nan) for image, score in found], axis=1
    )
    count = np.isfinite(pixels[..., 0]).sum(axis=0)
    there = np.flatnonzero(count >= 2)
    if len(there) > most:
        weight = np.exp(count[there] - count.max())
        generator = np.random.default_rng(seed)
        there = np.sort(generator.choice(there, most, replace=False, p=weight / weight.sum()))
    return np.asarray(pixels[:, there])


def placed_points(pixels: Floats, rig: Rig) -> tuple[Floats, Floats, float]:
    """Triangulate an animal's points, and leave out what cannot be right.

    Returns
    -------
    (cameras, points, 2) pixels of those that are left, their (points, 3) places, and their typical distance
    from where they are projected, px.
    """
    points = dlt(pixels, rig)
    off = reprojection_errors(points, pixels, rig)
    seen = np.isfinite(off)
    worst = np.max(np.where(seen, off, 0.0), axis=0)
    typical = float(np.median(off[seen])) if seen.any() else 0.0
    good = seen.any(axis=0) & (worst <= FARTHEST * typical)
    return pixels[:, good], points[good], typical
