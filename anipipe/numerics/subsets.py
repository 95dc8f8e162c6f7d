"""Which cameras to believe: triangulation that leaves out views that contradict the others.

A joint that a network takes for another, or finds on a reflection, lies far from where the other cameras see
it, and pulls a point that all cameras share. Nothing is drawn at random here: every subset of the cameras
that see a point is tried, and each is solved by the direct linear transform, so that the answer is that of an
exhaustive search. Two rules say which subset is best:

``agreement``, the default
    The largest subset whose cameras all lie within ``threshold`` of the point's projection; among subsets of
    one size the one of smallest mean error. Where no subset agrees that well, the threshold is doubled until
    one does. It is the consensus of Fischler & Bolles (1981). A camera is given up only for being
    contradicted, never because fewer cameras fit each other better, as they always do.
``smallest-error``
    aniposelib's (Karashchuk et al. 2021; its "ransac" option): the subset of smallest mean error, but the
    first one below 0.5 px ends the search, which goes from all cameras to few. Two rays nearly meet wherever
    they lie in one plane, so this rule mostly ends with two cameras.

Three cameras cannot always tell which of them is wrong: an outlier that happens to lie on the epipolar line
of one of the others agrees with it as well as these agree with each other. ``min_cams=3`` asks for a third
witness, at the price of the points that have none.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from anipipe.errors import DataError
from anipipe.numerics.cameras import Rig, project
from anipipe.numerics.lenses import Floats
from anipipe.numerics.point_refinement import depth
from anipipe.numerics.triangulation import CHUNK, checked, dlt, intersect, straightened

Ints = NDArray[np.intp]
Bools = NDArray[np.bool_]
Rule = Literal["agreement", "smallest-error"]

THRESHOLD = 10.0  # px: 3 to 4 standard deviations of what networks find, which is off by 2 to 3 px
LIMIT = 200.0  # px, aniposelib's: a point whose mean error is larger is none
EARLY = 0.5  # px, aniposelib's: below, the rule "smallest-error" looks no further
EXHAUSTIVE = 256  # combinations: 8 cameras, or 4 with 3 hypotheses each; beyond, growing is quicker
MOST = 4096  # combinations of the rule "smallest-error", which can but try all: 12 cameras
NONE = -1  # instead of a hypothesis: the camera is left out


@dataclass(frozen=True)
class Choice:
    """Points, and what they were triangulated from.

    Attributes
    ----------
    points
        World coordinates, (..., 3), by the direct linear transform; NaN where there is none.
    used
        (cameras, ...): the camera takes part. Nowhere where there is no point.
    hypotheses
        (cameras, ...): which hypothesis of the camera takes part, -1 for none.
    error
        Mean over these cameras of the distance between projection and pixel, px, (...); NaN where there is
        no point.
    """

    points: Floats
    used: Bools
    hypotheses: Ints
    error: Floats


def choose_cameras(
    pixels: ArrayLike,
    rig: Rig,
    *,
    rule: Rule = "agreement",
    threshold: float = THRESHOLD,
    min_cams: int = 2,
    limit: float = LIMIT,
) -> Choice:
    """Triangulate each point from the cameras that agree on it.

    Parameters
    ----------
    pixels
        (cameras, ..., 2), cameras as in the rig. A pixel that is not finite, or that the lens model reaches
        by no ray, is unseen.
    rig, rule, threshold, min_cams, limit
        As for :func:`choose_hypotheses`; one camera more doubles the number of subsets.

    Returns
    -------
    The points, and the cameras that each was triangulated from.

    Raises
    ------
    DataError
        As :func:`choose_hypotheses` does.
    """
    image = checked(pixels, rig)
    return choose_hypotheses(
        image[..., None, :], rig, rule=rule, threshold=threshold, min_cams=min_cams, limit=limit
    )


def choose_hypotheses(
    pixels: ArrayLike,
    rig: Rig,
    *,
    rule: Rule = "agreement",
    threshold: float = THRESHOLD,
    min_cams: int = 2,
    limit: float = LIMIT,
) -> Choice:
    """Triangulate each point from at most one of several hypotheses per camera.

    Each point is computed by itself: neither the number nor the order of the others changes a bit of it. All
    combinations are tried while ``(hypotheses + 1) ** cameras <= 256``, which is 8 cameras of one hypothesis
    each. Beyond that, the rule "agreement" tries the first hypotheses of all cameras, then grows a
    combination from each pair of hypotheses: each other camera joins with the hypothesis that lies nearest
    to where the pair's point is projected, if within the threshold. The first combination of all cameras
    that agrees ends this search. The rule "smallest-error" goes on trying all up to 4096 combinations, 12
    cameras of one hypothesis each.

    Parameters
    ----------
    pixels
        (cameras, ..., hypotheses, 2), cameras as in the rig, the likeliest hypothesis first. A pixel that is
        not finite, or that the lens model reaches by no ray, is no hypothesis.
    rig
        The cameras.
    rule
        What is best; see the module's documentation.
    threshold
        Largest distance, px, between a point's projection and the pixels of cameras that agree on it: some 3
        standard deviations of the 2D points' errors. Rule "agreement" only.
    min_cams
        From how many cameras on, at least 2, a combination is tried. A point seen by fewer is none; with
        "smallest-error" it is triangulated from all of them, as by aniposelib.
    limit
        Mean distance, px, from which on a combination is no candidate.

    Returns
    -------
    The points, and the cameras and hypotheses that each was triangulated from.

    Raises
    ------
    DataError
        If shapes do not agree, a parameter is out of bounds, or the rule "smallest-error" is asked of too
        many combinations.
    """
    image = checked(pixels, rig)
    if image.ndim < 3 or image.shape[-2] < 1:
        raise DataError(f"pixels have shape {image.shape}, expected ({len(rig)}, ..., hypotheses, 2)")
    if min_cams < 2 or not (0 < threshold < math.inf and 0 < limit < math.inf):
        bounds = f"min_cams = {min_cams}, threshold = {threshold}, limit = {limit}"
        raise DataError(f"{bounds}: a point needs at least 2 cameras, and distances are positive and finite")
    options = image.shape[-2]
    combinations = (options + 1) ** len(rig)
    if rule not in ("agreement", "smallest-error"):
        raise DataError(f'there is no rule {rule!r}; there are "agreement" and "smallest-error"')
    if rule == "smallest-error" and combinations > MOST:
        many = f"{len(rig)} cameras with {options} hypotheses each make more than {MOST} combinations"
        raise DataError(f'{many}, too many for the rule "smallest-error"; "agreement" does with fewer')
    shape = image.shape[1:-2]
    flat = image.reshape(len(rig), -1, options, 2)
    count = flat.shape[1]
    points, error = np.empty((count, 3)), np.empty(count)
    picks = np.empty((len(rig), count), dtype=np.intp)
    for start in range(0, count, CHUNK):
        part = slice(start, start + CHUNK)
        search = _Search(flat[:, part], rig, rule, threshold, min_cams, limit)
        if rule == "smallest-error" or combinations <= EXHAUSTIVE:
            search.try_all()
        else:
            search.grow_pairs()
        points[part], picks[:, part], error[part] = search.result()
    picks = picks.reshape(len(rig), *shape)
    return Choice(points.reshape(*shape, 3), picks != NONE, picks, error.reshape(shape))


class _Search:
    """Some points, and the best combination of hypotheses found so far for each.

    Parameters
    ----------
    pixels
        (cameras, points, hypotheses, 2).
    rig, rule, threshold, min_cams, limit
        As for :func:`choose_hypotheses`.
    """

    def __init__(
        self, pixels: Floats, rig: Rig, rule: Rule, threshold: float, min_cams: int, limit: float
    ) -> None:
        self.rig, self.threshold, self.limit, self.by_agreement = rig, threshold, limit, rule == "agreement"
        self.extrinsics = np.array([camera.extrinsics for camera in rig.cameras]).reshape(-1, 1, 3, 4)
        self.pixels = np.ascontiguousarray(pixels.swapaxes(1, 2))  # (cameras, hypotheses, points, 2)
        self.rays = straightened(self.pixels, rig)
        self.there = np.isfinite(self.rays[..., 0])
        count = pixels.shape[1]
        self.seen = self.there.any(axis=1).sum(axis=0)
        self.fewest = np.full(count, min_cams) if self.by_agreement else np.minimum(self.seen, min_cams)
        self.picks = np.full((len(rig), count), NONE)
        # What is best so far: the fewest doublings of the threshold, then the most cameras, then the
        # smallest error. By the smallest error alone, doublings and cameras are all 0.
        self.doublings = np.full(count, np.iinfo(np.intp).max)
        self.size = np.zeros(count, dtype=np.intp)
        self.error = np.full(count, np.inf)

    def result(self) -> tuple[Floats, Ints, Floats]:
        """Return points (points, 3), hypotheses (cameras, points) and mean errors (points,), px."""
        pixels = np.take_along_axis(self.pixels, self.picks[:, None, :, None], axis=1)[:, 0]
        pixels[self.picks == NONE] = np.nan
        return dlt(pixels, self.rig), self.picks, np.where(np.isinf(self.error), np.nan, self.error)

    def try_all(self) -> None:
        """Try all combinations, for each point until it is settled."""
        active = np.arange(self.seen.size)
        for combinations in self._rounds():
            for picks in combinations:
                cameras = np.flatnonzero(picks != NONE)
                rows = active[self.fewest[active] <= cameras.size]
                for camera in cameras:
                    rows = rows[self.there[camera, picks[camera], rows]]
                if rows.size:
                    self._consider(rows, cameras, picks[cameras, None])
            settled = self.doublings[active] == 0 if self.by_agreement else self.error[active] < EARLY
            active = active[~settled]

    def _rounds(self) -> list[list[Ints]]:
        """Order all combinations as the rule wants them; points may be settled after each round.

        aniposelib varies the last camera's hypothesis fastest and leaves it out last; as its search may end
        early, the order decides.
        """
        hypotheses = [*range(self.pixels.shape[1]), NONE]
        combinations = [np.array(picks) for picks in itertools.product(hypotheses, repeat=len(self.rig))]
        sizes = [int((picks != NONE).sum()) for picks in combinations]
        if not self.by_agreement:
            return [[picks] for picks, size in zip(combinations, sizes, strict=True) if size >= 2]
        return [
            [picks for picks, size in zip(combinations, sizes, strict=True) if size == wanted]
            for wanted in range(len(self.rig), 1, -1)
        ]

    def grow_pairs(self) -> None:
        """Try the first hypotheses of all cameras, then what grows from each pair of hypotheses."""
        everyone = np.arange(len(self.rig))
        active = np.flatnonzero(self.seen >= self.fewest)
        self._consider(active, everyone, np.where(self.there[:, 0, active], 0, NONE))
        for doublings in range(max(1, math.ceil(math.log2(self.limit / self.threshold)))):
            for pair in itertools.combinations(range(len(self.rig)), 2):
                for picks in itertools.product(range(self.pixels.shape[1]), repeat=2):
                    agree = self.doublings[active] <= doublings
                    active = active[~agree | (self.size[active] < self.seen[active])]
                    rows = active[self.there[pair, picks][:, active].all(axis=0)]
                    if rows.size:
                        self._consider_new(rows, everyone, self._grown(rows, pair, picks, doublings))
            active = active[self.doublings[active] > doublings]

    def _grown(self, rows: Ints, pair: tuple[int, ...], picks: tuple[int, ...], doublings: int) -> Ints:
        """Join to two cameras' hypotheses those of the others that lie near the pair's point.

        Returns
        -------
        (cameras, rows) hypotheses, -1 for cameras that have none within reach.
        """
        points = self._intersect(rows, np.array(pair), np.array(picks)[:, None])
        out = np.full((len(self.rig), rows.size), NONE)
        for index, camera in enumerate(self.rig.cameras):
            off = project(points, camera) - self.pixels[index][:, rows]
            distance = np.sqrt(off[..., 0] ** 2 + off[..., 1] ** 2)
            distance = np.where(self.there[index][:, rows] & ~np.isnan(distance), distance, np.inf)
            near = distance.min(axis=0) <= self.threshold * 2.0**doublings
            out[index] = np.where(near, distance.argmin(axis=0), NONE)
        out[list(pair)] = np.array(picks)[:, None]
        return out

    def _consider_new(self, rows: Ints, cameras: Ints, picks: Ints) -> None:
        """Consider combinations of all cameras, but those that cannot be better than what was found.

        Most pairs of cameras that are right grow to one and the same combination, and most of the others to
        one that is smaller than what agrees already.
        """
        known = (picks == self.picks[:, rows]).all(axis=0)
        smaller = (self.doublings[rows] == 0) & ((picks != NONE).sum(axis=0) < self.size[rows])
        new = ~known & ~smaller
        if new.any():
            self._consider(rows[new], cameras, picks[:, new])

    def _consider(self, rows: Ints, cameras: Ints, picks: Ints) -> None:
        """Solve points from a combination, and keep it where it is better than what was found before.

        Parameters
        ----------
        rows
            Which points.
        cameras
            (c,) their indices.
        picks
            (c, rows) or (c, 1) hypotheses, -1 for none.
        """
        points = self._intersect(rows, cameras, picks)
        error, furthest, size = self._measure(points, rows, cameras, picks)
        possible = (error < self.limit) & (size >= self.fewest[rows])  # not so if NaN: rays meet nowhere
        doublings = np.zeros_like(size)
        if self.by_agreement:
            fraction, power = np.frexp(furthest / self.threshold)  # a logarithm, rounded up exactly
            doublings = np.maximum(power - (fraction == 0.5), 0)
        else:
            size = np.zeros_like(size)
        fewer, same = doublings < self.doublings[rows], doublings == self.doublings[rows]
        larger, as_large = size > self.size[rows], size == self.size[rows]
        better = possible & (fewer | (same & (larger | (as_large & (error < self.error[rows])))))
        kept = rows[better]
        for best, new in ((self.doublings, doublings), (self.size, size), (self.error, error)):
            best[kept] = new[better]
        self.picks[:, kept] = NONE
        self.picks[cameras[:, None], kept] = np.broadcast_to(picks, (cameras.size, rows.size))[:, better]

    def _intersect(self, rows: Ints, cameras: Ints, picks: Ints) -> Floats:
        """Solve points, (rows, 3), from a combination; parameters as for :meth:`_consider`."""
        rays = self.rays[cameras[:, None], picks, rows]
        extrinsics = np.broadcast_to(self.extrinsics[cameras], (cameras.size, rows.size, 3, 4))
        taken = picks != NONE
        if taken.all():
            return intersect(rays, extrinsics, quick=True)
        rays = np.where(taken[..., None], rays, 0.0)
        scales = np.broadcast_to(taken, rays.shape[:2]).astype(np.float64)
        return intersect(rays, extrinsics, scales, quick=True)

    def _measure(self, points: Floats, rows: Ints, cameras: Ints, picks: Ints) -> tuple[Floats, Floats, Ints]:
        """Measure a combination; parameters as for :meth:`_consider`.

        Returns
        -------
        error, furthest
            (rows,) mean and largest distance between projection and pixel, px; by agreement, infinite behind
            a camera, where nothing is seen.
        size
            (rows,) number of cameras.
        """
        total, furthest = np.zeros(rows.size), np.zeros(rows.size)
        size = np.zeros(rows.size, dtype=np.intp)
        for index, chosen in zip(cameras, picks, strict=True):
            camera, taken = self.rig.cameras[index], chosen != NONE
            off = project(points, camera) - self.pixels[index, chosen, rows]
            distance = np.sqrt(off[:, 0] ** 2 + off[:, 1] ** 2)
            if self.by_agreement:
                distance = np.where(depth(points, camera) > 0, distance, np.inf)
            distance = np.where(taken, distance, 0.0)
            total += distance
            furthest = np.maximum(furthest, distance)
            size += taken
        return total / np.maximum(size, 1), furthest, size
