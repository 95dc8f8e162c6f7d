"""Linear equations of a recording: block-banded in time, with a border for what all frames share.

With the coordinates of all joints ordered frame by frame, an unknown is tied to those of its own frame and to
itself up to ``order`` frames away, so the matrix is banded with half bandwidth ``order * 3 * joints``. Limb
lengths, of which there is one for the whole recording, add a border (an "arrow" matrix)::

    | A   B | | x |   | r |
    | B'  C | | z | = | 0 |

A is factorised by band Cholesky (Golub & Van Loan 2013, section 4.3) in segments of time, each a band matrix
of its own that is tied to the next through the last and first frames alone. What a segment takes off the next
one's first frames (its Schur complement) is handed on, so that no segment border shows in the solution. Only
what is handed on is kept of a long recording; on the way back the segments are factorised once more.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from math import comb

import numpy as np
import scipy  # which loads scipy.linalg when it is first used: most commands do without
from numpy.typing import NDArray

from anipipe.numerics.lenses import Floats

Integers = NDArray[np.intp]

SEGMENT_BYTES = 3 << 19  # 1.5 MiB of a segment's band: stays in the processor's cache
KEPT_BYTES = 128 << 20  # of factors that are not computed again on the way back
#: Rows and columns of the upper triangle of a joint's (3, 3) block, in the order in which it is kept.
TRIANGLE = ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2))


def difference_products(frames: int, order: int) -> Floats:
    """Multiply the matrix of n-th differences in time by its transpose.

    Parameters
    ----------
    frames
        Length of the recording.
    order
        n; at least 1.

    Returns
    -------
    (order + 1, frames): element (k, t) ties frame t to frame t + k; 0 beyond the end.
    """
    weights = [(-1.0) ** index * comb(order, index) for index in range(order + 1)]
    out = np.zeros((order + 1, frames))
    rows = max(frames - order, 0)
    for lag in range(order + 1):
        for index in range(order + 1 - lag):
            out[lag, index : index + rows] += weights[index] * weights[index + lag]
    return out


@dataclass(frozen=True, eq=False)
class ArrowMatrix:
    """The matrix, kept by its parts.

    Parameters
    ----------
    blocks
        (6, frames, joints), upper triangles (:data:`TRIANGLE`) of the joints' own (3, 3) blocks.
    limb_blocks
        (6, limbs, frames), the same of the blocks between the two joints of each limb, which are negative.
    ties
        (order + 1, frames), what ties a coordinate to itself some frames later.
    ends
        (limbs, 2), the two joints of each limb.
    border
        (limbs, 3, frames): what the limb's column of B holds at its first joint, the opposite at its second.
    corner
        (limbs,), the diagonal of C, the rest of which is 0.
    """

    blocks: Floats
    limb_blocks: Floats
    ties: Floats
    ends: Integers
    border: Floats
    corner: Floats

    @property
    def frames(self) -> int:
        """Length of the recording."""
        return int(self.blocks.shape[1])

    @property
    def order(self) -> int:
        """How many frames apart a coordinate is tied to itself."""
        return len(self.ties) - 1

    @property
    def width(self) -> int:
        """Unknowns of a frame."""
        return 3 * int(self.blocks.shape[2])

    def band(self, start: int, stop: int, damping: Floats) -> Floats:
        """Lay out A of some frames as LAPACK's lower band storage, transposed.

        Parameters
        ----------
        start, stop
            The frames.
        damping
            (frames of the recording,) by what share the diagonal is raised; where it is 0 because nothing
            holds the unknown, the share itself takes its place.

        Returns
        -------
        (frames * width, bandwidth + 1): column c of A from its diagonal element downwards.
        """
        count, depth = stop - start, self.order * self.width + 1
        band = np.zeros((count, self.width, depth))
        by_joint = band.reshape(count, -1, 3, depth)
        for block, (row, column) in zip(self.blocks, TRIANGLE, strict=True):
            by_joint[:, :, row, column - row] = block[start:stop]
        for limb, (first, second) in enumerate(np.sort(self.ends, axis=1)):
            below = 3 * (second - first)
            for block, (row, column) in zip(self.limb_blocks[:, limb, start:stop], TRIANGLE, strict=True):
                by_joint[:, first, row, below + column - row] -= block
                if row != column:
                    by_joint[:, first, column, below + row - column] -= block
        for lag, tie in enumerate(self.ties[:, start:stop]):
            band[:, :, lag * self.width] += tie[:, None]
        diagonal, share = band[:, :, 0], damping[start:stop, None]
        band[:, :, 0] = np.where(diagonal == 0, share, diagonal * (1 + share))
        return band.reshape(-1, depth)

    def bridge(self, stop: int) -> Floats:
        """Return what ties the last frames before ``stop`` (columns) to the first from it on (rows)."""
        ties = np.zeros((self.order, self.order))
        for row in range(self.order):
            for column in range(row, self.order):
                ties[row, column] = self.ties[self.order + row - column, stop - self.order + column]
        return ties

    def columns(self, start: int, stop: int) -> Floats:
        """Return the rows of B that belong to some frames, (frames, joints, 3, limbs)."""
        out = np.zeros((stop - start, self.width // 3, 3, len(self.ends)))
        for limb, (first, second) in enumerate(self.ends):
            out[:, first, :, limb] = self.border[limb, :, start:stop].T
            out[:, second, :, limb] = -self.border[limb, :, start:stop].T
        return out


def solve(
    matrix: ArrowMatrix, right: Floats, *, damping: Floats | None = None, segment: int | None = None
) -> Floats | None:
    """Solve the equations for x.

    Parameters
    ----------
    matrix
        The matrix.
    right
        (frames, joints, 3), the right hand side r; the border's is 0.
    damping
        (frames,) by what share the diagonal of A is raised; None is not at all.
    segment
        Frames of a segment, at least ``matrix.order``; None chooses.

    Returns
    -------
    x, (frames, joints, 3); None if the matrix is not positive definite.
    """
    damping = np.zeros(matrix.frames) if damping is None else damping
    segments = list(_segments(matrix, segment))
    width, reach = matrix.width, matrix.order * matrix.width
    limbs = len(matrix.ends)
    room = max(1, int(KEPT_BYTES // (8 * (reach + 1) * width * (segments[0][1] - segments[0][0]))))
    kept: dict[int, Floats] = {}
    handed: list[tuple[Floats, Floats]] = []  # to each segment, of A and of [r B]
    products = np.zeros((limbs + 1, limbs + 1))
    taken, taken_right = np.zeros((0, 0)), np.zeros((0, limbs + 1))
    for index, (start, stop) in enumerate(segments):
        handed.append((taken, taken_right))
        factor = _factorise(matrix.band(start, stop, damping), taken)
        if factor is None:
            return None
        if index >= len(segments) - room:
            kept[index] = factor
        sides = np.empty((len(factor), limbs + 1), order="F")
        sides[:, 0] = right[start:stop].ravel()
        sides[:, 1:] = matrix.columns(start, stop).reshape(len(factor), limbs)
        sides[: len(taken)] -= taken_right
        solved, _ = scipy.linalg.lapack.dtbtrs(factor.T, sides, uplo="L", overwrite_b=True)
        products += solved.T @ solved
        if stop < matrix.frames:
            tied = np.kron(matrix.bridge(stop).T, np.eye(width))
            reduced = scipy.linalg.solve_triangular(
                _last_square(factor, reach), tied, lower=True, check_finite=False
            )
            taken, taken_right = reduced.T @ reduced, reduced.T @ solved[-reach:]
    shared = _shared(matrix.corner, products)
    if shared is None:
        return None
    mix = np.concatenate([[1.0], -shared])
    out = np.empty_like(right)
    for index in range(len(segments) - 1, -1, -1):
        start, stop = segments[index]
        taken, taken_right = handed[index]
        factor = kept.pop(index, None)
        if factor is None:
            factor = _factorise(matrix.band(start, stop, damping), taken)
            assert factor is not None  # as on the way there
        side = right[start:stop] - matrix.columns(start, stop) @ shared
        flat = side.reshape(-1)
        flat[: len(taken)] -= taken_right @ mix
        if stop < matrix.frames:
            after = out[stop : stop + matrix.order].reshape(matrix.order, -1)
            flat[-reach:] -= (matrix.bridge(stop).T @ after).ravel()
        found, _ = scipy.linalg.lapack.dpbtrs(factor.T, flat, lower=True)
        out[start:stop] = found.reshape(side.shape)
    return out


def _segments(matrix: ArrowMatrix, length: int | None) -> Iterator[tuple[int, int]]:
    """Divide the frames evenly; no segment but a sole one is shorter than the matrix' order."""
    if length is None:
        frame_bytes = 8 * matrix.width * (matrix.order * matrix.width + 1)
        length = max(SEGMENT_BYTES // frame_bytes, 4 * matrix.order)
    count = max(1, matrix.frames // max(length, matrix.order, 1))
    bounds = [matrix.frames * index // count for index in range(count + 1)]
    return pairwise(bounds)


def _factorise(band: Floats, taken: Floats) -> Floats | None:
    """Factorise a band matrix, less a square at its beginning; both are overwritten or left unspecified."""
    row, column = np.tril_indices(len(taken))
    band[column, row - column] -= taken[row, column]
    factor, info = scipy.linalg.lapack.dpbtrf(band.T, lower=True, overwrite_ab=True)
    return None if info else np.asarray(factor.T)


def _last_square(factor: Floats, size: int) -> Floats:
    """Return the last rows and columns of a factor in band storage as a square matrix."""
    row, column = np.tril_indices(size)
    out = np.zeros((size, size), order="F")
    out[row, column] = factor[len(factor) - size + column, row - column]
    return out


def _shared(corner: Floats, products: Floats) -> Floats | None:
    """Solve for z what is left of the border, given ``[r B]' A^-1 [r B]``."""
    if not len(corner):
        return corner
    try:
        factor = scipy.linalg.cho_factor(np.diag(corner) - products[1:, 1:], lower=True)
    except (np.linalg.LinAlgError, ValueError):
        return None
    return np.asarray(scipy.linalg.cho_solve(factor, -products[1:, 0]))
