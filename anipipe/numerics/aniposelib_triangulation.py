"""Triangulation, subset search and optimisation by aniposelib itself, to compare with.

Its functions are called as Anipose calls them, with cameras that have our matrices and distortions.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from anipipe.errors import DataError
from anipipe.numerics.aniposelib_cameras import camera_group, quiet
from anipipe.numerics.cameras import Rig
from anipipe.numerics.lenses import Floats
from anipipe.numerics.refinement.start import optimisable

ENGINE = "aniposelib"


def triangulate(pixels: Floats, rig: Rig) -> Floats:
    """Triangulate (cameras, points, 2) px: (points, 3), NaN where fewer than two cameras see a point."""
    out = np.full((pixels.shape[1], 3), np.nan)
    if out.size:  # aniposelib fails on none
        with _called():
            out[:] = camera_group(rig).triangulate(pixels)
    return out


def triangulate_ransac(pixels: Floats, rig: Rig, *, min_cams: int) -> tuple[Floats, NDArray[np.bool_]]:
    """Search subsets of cameras.

    Takes (cameras, points, 2) px; gives (points, 3), and (cameras, points) of those that were picked. Points
    that no camera sees are not handed over: aniposelib fails on them.
    """
    seen = np.isfinite(pixels[..., 0])
    there = seen.any(axis=0)
    points, used = np.full((pixels.shape[1], 3), np.nan), np.zeros_like(seen)
    if there.any():
        with _called():
            found = camera_group(rig).triangulate_ransac(pixels[:, there], min_cams=min_cams)
        points[there] = found[0]
        used[:, there] = np.asarray(found[1])[:, :, 0].astype(bool)
    return points, used & np.isfinite(points[:, 0])


def optimise(points: Floats, pixels: Floats, rig: Rig, settings: Mapping[str, Any]) -> tuple[Floats, str]:
    """Optimise (frames, joints, 3) points that are seen at (cameras, frames, joints, 2) px.

    Joints that are in no frame are not handed over, nor are their constraints: aniposelib puts them into the
    origin. The settings are those of :func:`anipipe.numerics.refinement.solver.optimise`, constraints
    included.

    Returns
    -------
    points
        (frames, joints, 3).
    reason
        Why they are those that were given, by the rule of the other engine; empty if they were optimised.
    """
    present, reason = optimisable(points, pixels)
    if reason:
        return points, reason
    place = np.cumsum(present) - 1
    limbs = {
        name: [place[list(pair)].tolist() for pair in settings[name] if present[list(pair)].all()]
        for name in ("constraints", "constraints_weak")
    }
    out = np.full_like(points, np.nan)
    with _called():
        out[:, present] = camera_group(rig).optim_points(
            pixels[:, :, present], points[:, present], **{**settings, **limbs}
        )
    return out, ""


@contextlib.contextmanager
def _called() -> Iterator[None]:
    """Let aniposelib print nothing, and say what to do where it fails on its numbers."""
    try:
        with quiet():
            yield
    except (ValueError, np.linalg.LinAlgError) as error:
        raise DataError(
            f"aniposelib fails on this trial ({error}), as it does on animals that do not move, for example; "
            'set triangulation.engine = "anipipe"'
        ) from error
