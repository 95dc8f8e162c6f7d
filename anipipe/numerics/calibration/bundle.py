"""Bundle adjustment: cameras and rigid boards moved together until the corners' images fit best.

The unknowns are each camera's pose and lens, each board's pose, and, where an animal takes part, its points.
What is minimised is the sum over all corners of a robust function of the distance d between the projected
and the detected corner (soft L1, ``2 s^2 (sqrt(1 + d^2 / s^2) - 1)``: squares up to about s pixels, lengths
beyond), by Levenberg-Marquardt steps with analytic slopes. As no two boards depend on each other, they are
taken out of each step's equations first (Schur complement), which leaves a system of the cameras alone
(Triggs, McLauchlan, Hartley & Fitzgibbon 2000, "Bundle adjustment, a modern synthesis", sections 4.3, 6.1).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from anipipe.numerics.calibration.bodies import Bodies, Freedom, Sights, State, parameter_ranges
from anipipe.numerics.cameras import Camera, project, project_with_jacobians
from anipipe.numerics.lenses import Floats

STEPS = 200
SETTLED = 1e-12  # relative decrease of the cost, over two steps
FIRST_DAMPING, MOST_DAMPING = 1e-4, 1e12


@dataclass(frozen=True, eq=False)
class Adjusted:
    """Where the adjustment ended.

    Attributes
    ----------
    state
        The cameras and bodies.
    cost
        Half the sum of the robust squares, px^2.
    steps
        How many steps were taken.
    normal
        (parameters, parameters) second derivatives of the cost by the cameras' parameters, the bodies
        following; a camera's come after those of the cameras before it, in the order of :class:`Freedom`.
    """

    state: State
    cost: float
    steps: int
    normal: Floats


def adjust(
    state: State,
    sights: Sequence[Sequence[Sights]],
    freedoms: Sequence[Freedom],
    *,
    scale: float,
    settled: float = SETTLED,
) -> Adjusted:
    """Move cameras and bodies to where the images fit best.

    Parameters
    ----------
    state
        Where to start.
    sights
        For each kind of bodies, what each camera saw.
    freedoms
        What may change of each camera.
    scale
        Distance in pixels from which on errors count less than their squares.
    settled
        Relative decrease of the cost, over two steps, at which to stop.

    Returns
    -------
    The best state that was reached; the cost never rises.
    """
    damping, steps = FIRST_DAMPING, 0
    system = System.of(state, sights, freedoms, scale)
    gains = [np.inf, np.inf]
    while steps < STEPS and damping < MOST_DAMPING and max(gains[-2:]) > settled:
        steps += 1
        trial = _moved(state, freedoms, *system.step(damping))
        cost = np.inf if trial is None else total_cost(trial, sights, scale)
        if trial is not None and cost <= system.cost:
            gains.append(1 - cost / system.cost if system.cost > 0 else 0.0)
            state, damping = trial, max(damping / 10, 1e-15)
            system = System.of(state, sights, freedoms, scale)
        else:
            damping *= 10
    return Adjusted(state, system.cost, steps, system.reduced(0.0)[0])


def total_cost(state: State, sights: Sequence[Sequence[Sights]], scale: float) -> float:
    """Return half the sum of the robust squares, px^2; infinite where something cannot be projected."""
    total = 0.0
    for bodies, by_camera in zip(state.kinds, sights, strict=True):
        for camera, seen in zip(state.cameras, by_camera, strict=True):
            off = (project(world_points(bodies, seen)[0], camera) - seen.pixels) * seen.share
            total += float(soft(off, scale).sum())
    return total if np.isfinite(total) else np.inf


def soft(off: Floats, scale: float) -> Floats:
    """Return half the soft L1 of each of (n, 2) residuals, (n,), px^2."""
    square = (off**2).sum(axis=-1) / scale**2
    # sqrt(1 + z) - 1 without cancellation
    return np.asarray(scale**2 * square / (np.sqrt(1 + square) + 1))


def world_points(bodies: Bodies, seen: Sights) -> tuple[Floats, Floats]:
    """Return the (n, 3) world coordinates of what was seen, and how each lies about its body's origin."""
    about = seen.marks
    if bodies.turns is not None:
        about = np.einsum("nij,nj->ni", bodies.turns[seen.bodies], seen.marks)
    return about + bodies.places[seen.bodies], about


def linearised(
    camera: Camera, freedom: Freedom, bodies: Bodies, seen: Sights, scale: float
) -> tuple[Floats, Floats, Floats, Floats]:
    """Linearise what one camera saw.

    Returns
    -------
    Weighted slopes by the camera, (n, 2, free), and by the body, (n, 2, freedoms), weighted residuals,
    (n, 2), and costs, (n,). The weights make of the robust function a sum of squares with the same gradient
    and, along the residual and across it, the same curvature (Triggs et al. 2000, section 4.3), which soft L1
    keeps positive.
    """
    world, about = world_points(bodies, seen)
    pixels, by_point, by_pose, by_lens = project_with_jacobians(world, camera)
    columns = [by_pose] if freedom.placed else []
    if freedom.focal:
        aspect = camera.matrix[1, 1] / camera.matrix[0, 0]
        columns.append(by_lens[:, :1] + aspect * by_lens[:, 1:2])
    if freedom.axis:
        columns.append(by_lens[:, 2:4])
    columns.append(by_lens[:, [4 + order for order in freedom.bends]])
    by_camera = np.concatenate(columns, axis=1).transpose(2, 0, 1) * seen.share
    by_body = by_point.transpose(2, 0, 1) * seen.share
    if bodies.turns is not None:
        by_body = np.concatenate([np.cross(about[:, None], by_body), by_body], axis=-1)
    off = (pixels - seen.pixels) * seen.share
    cost = soft(off, scale)
    across, along, residual = _weights(off, scale)
    return (
        across[:, None, None] * by_camera - _along(along, off, by_camera),
        across[:, None, None] * by_body - _along(along, off, by_body),
        residual,
        cost,
    )


def _weights(off: Floats, scale: float) -> tuple[Floats, Floats, Floats]:
    """Return (n,) weights across the residual, what they lack along it per squared px, and the residuals."""
    square = (off**2).sum(axis=-1)
    grown = np.sqrt(1 + square / scale**2)
    across = 1 / np.sqrt(grown)
    lacking = np.divide(across * (1 - 1 / grown), square, out=np.zeros_like(square), where=square > 0)
    return across, lacking, off * (across * grown)[:, None]


def _along(lacking: Floats, off: Floats, slopes: Floats) -> Floats:
    """Project (n, 2, k) slopes on their residuals, times (n,)."""
    inner = np.einsum("ni,nik->nk", off, slopes) * lacking[:, None]
    return np.asarray(off[:, :, None] * inner[:, None])


@dataclass(frozen=True, eq=False)
class System:
    """The normal equations of one step: the cameras' part, each kind's blocks, and what couples them."""

    cost: float
    costs: tuple[Floats, ...]  # (bodies,) of each kind
    cameras: Floats  # (parameters, parameters)
    pull: Floats  # (parameters,)
    blocks: tuple[Floats, ...]  # (bodies, freedoms, freedoms) of each kind
    pulls: tuple[Floats, ...]  # (bodies, freedoms)
    couplings: tuple[Floats, ...]  # (bodies, parameters, freedoms)

    @classmethod
    def of(
        cls, state: State, sights: Sequence[Sequence[Sights]], freedoms: Sequence[Freedom], scale: float
    ) -> System:
        """Add up what all cameras saw."""
        ranges = list(parameter_ranges(freedoms))
        size = ranges[-1].stop if ranges else 0
        cameras, pull, cost = np.zeros((size, size)), np.zeros(size), 0.0
        costs, blocks, pulls, couplings = [], [], [], []
        for bodies, by_camera in zip(state.kinds, sights, strict=True):
            count, free = len(bodies.places), bodies.freedoms
            own_cost, coupling = np.zeros(count), np.zeros((count, size, free))
            block, away = np.zeros((count, free, free)), np.zeros((count, free))
            for camera, freedom, own, seen in zip(state.cameras, freedoms, ranges, by_camera, strict=True):
                if not len(seen.bodies):
                    continue
                slope, inner, off, part = linearised(camera, freedom, bodies, seen, scale)
                cost += float(part.sum())
                flat = slope.reshape(2 * len(off), freedom.count)
                cameras[own, own] += flat.T @ flat
                pull[own] += flat.T @ off.ravel()
                starts = np.flatnonzero(np.diff(seen.bodies, prepend=-1))
                there = seen.bodies[starts]
                own_cost[there] += np.add.reduceat(part, starts)
                block[there] += _summed(inner, inner, starts)
                away[there] += np.add.reduceat(np.einsum("nij,ni->nj", inner, off), starts)
                coupling[there, own] += _summed(slope, inner, starts)
            costs.append(own_cost)
            blocks.append(block)
            pulls.append(away)
            couplings.append(coupling)
        return cls(cost, tuple(costs), cameras, pull, tuple(blocks), tuple(pulls), tuple(couplings))

    def reduced(self, damping: float) -> tuple[Floats, Floats, list[tuple[Floats, Floats]]]:
        """Take the bodies out; return the cameras' equations, and what gives the bodies from the cameras."""
        left, right = self.cameras + damping * _diagonal(self.cameras), self.pull.copy()
        back = []
        for block, pull, coupling in zip(self.blocks, self.pulls, self.couplings, strict=True):
            inverse = np.linalg.inv(damped(block, damping))
            carried = coupling @ inverse
            left -= np.tensordot(carried, coupling, axes=((0, 2), (0, 2)))
            right -= np.einsum("bpf,bf->p", carried, pull)
            back.append((np.einsum("bfg,bg->bf", inverse, pull), carried))
        return left, right, back

    def step(self, damping: float) -> tuple[Floats, list[Floats]]:
        """Return the change of the cameras, (parameters,), and of each kind's bodies, (bodies, freedoms)."""
        left, right, back = self.reduced(damping)
        change = -_solved(left, right)
        return change, [-own - np.einsum("bpf,p->bf", carried, change) for own, carried in back]


def damped(blocks: Floats, damping: float | Floats) -> Floats:
    """Damp the (bodies, n, n) equations of bodies, alike or each by its own (bodies,).

    Bodies that nothing was seen of stay where they are.
    """
    return blocks + (np.asarray(damping)[..., None, None] + 1e-13) * _diagonal(blocks) + _unseen(blocks)


def _summed(left: Floats, right: Floats, starts: NDArray[np.intp]) -> Floats:
    """Sum (n, 2, a) times (n, 2, b) over the rows of each body: (bodies, a, b)."""
    return np.asarray(np.add.reduceat(left.swapaxes(1, 2) @ right, starts))


def _diagonal(matrices: Floats) -> Floats:
    """Return (..., n, n) matrices with all but their diagonals set to 0."""
    return np.asarray(matrices * np.eye(matrices.shape[-1]))


def _unseen(blocks: Floats) -> Floats:
    """Return the identity for (bodies, n, n) blocks that are empty, else 0."""
    empty = np.asarray(~blocks.any(axis=(1, 2)))
    return np.asarray(empty[:, None, None] * np.eye(blocks.shape[-1]))


def _solved(left: Floats, right: Floats) -> Floats:
    """Solve symmetric equations whose unknowns differ by many orders of magnitude."""
    if not right.size:
        return right
    scale = np.sqrt(np.maximum(np.abs(np.diagonal(left)), np.finfo(np.float64).tiny))
    solved = np.linalg.lstsq(left / np.outer(scale, scale), right / scale, rcond=1e-15)[0]
    return np.asarray(solved / scale)


def _moved(
    state: State, freedoms: Sequence[Freedom], change: Floats, bodies: Sequence[Floats]
) -> State | None:
    """Return the state after a step, None where a focal length would not be positive."""
    cameras = []
    for camera, freedom, own in zip(state.cameras, freedoms, parameter_ranges(freedoms), strict=True):
        values = change[own]
        if freedom.placed:
            camera, values = _placed(camera, values[:6]), values[6:]
        if freedom.focal:
            growth = 1 + values[0] / camera.matrix[0, 0]
            if not growth > 0:
                return None
            camera = replace(
                camera, matrix=camera.matrix * np.array([[growth, 1, 1], [1, growth, 1], [1, 1, 1]])
            )
            values = values[1:]
        if freedom.axis:
            shift = np.array([[0, 0, values[0]], [0, 0, values[1]], [0, 0, 0]])
            camera, values = replace(camera, matrix=camera.matrix + shift), values[2:]
        bends = camera.distortions.copy()
        bends[list(freedom.bends)] += values
        cameras.append(replace(camera, distortions=bends))
    kinds = tuple(kind.moved(move) for kind, move in zip(state.kinds, bodies, strict=True))
    return State(tuple(cameras), kinds)


def _placed(camera: Camera, change: Floats) -> Camera:
    """Turn a camera by a small vector and shift it: ``R -> exp([w]x) R``, ``t -> t + d``."""
    from scipy.spatial.transform import Rotation

    turn = Rotation.from_rotvec(change[:3]) * Rotation.from_matrix(camera.rotation_matrix)
    return replace(camera, rotation=turn.as_rotvec(), translation=camera.translation + change[3:])
