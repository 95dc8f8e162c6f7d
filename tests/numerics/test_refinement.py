from __future__ import annotations

import types
import warnings
from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import least_squares

from anipipe.errors import DataError
from anipipe.numerics.cameras import project
from anipipe.numerics.refinement.banded import ArrowMatrix, difference_products, solve
from anipipe.numerics.refinement.objective import Objective, observe
from anipipe.numerics.refinement.solver import descend, optimise
from anipipe.numerics.refinement.start import components, interpolate, median_in_time, movement
from anipipe.numerics.triangulation import dlt

LIMBS = ((0, 1), (1, 2), (3, 1))
LENGTHS = (18.0, 25.0, 14.0)


def course(frames, seed=3):
    """Four joints in smooth motion, limbs of constant length, (frames, 4, 3)."""
    rng = np.random.default_rng(seed)
    time = np.arange(frames)
    points = np.zeros((frames, 4, 3))
    points[:, 1] = 30 * np.stack([np.sin(time / 40), np.cos(time / 31), np.sin(time / 23)], axis=1)
    for (first, second), length in zip(LIMBS, LENGTHS, strict=True):
        joint, base = (first, second) if second == 1 else (second, first)
        angles = np.sin(time[:, None] / rng.uniform(8, 20, 2) + rng.uniform(0, 6, 2)) + rng.uniform(0, 6, 2)
        a, b = angles.T
        points[:, joint] = points[:, base] + length * np.stack(
            [np.cos(a) * np.cos(b), np.sin(a) * np.cos(b), np.sin(b)], axis=1
        )
    return points


def seen(points, rig, seed=4, noise=1.0, lost=0.1, wrong=0.02):
    rng = np.random.default_rng(seed)
    pixels = np.stack([project(points, camera) for camera in rig.cameras])
    pixels += rng.normal(0, noise, pixels.shape)
    outliers = rng.random(pixels.shape[:-1]) < wrong
    pixels[outliers] += rng.normal(0, 50, (int(outliers.sum()), 2))
    pixels[rng.random(pixels.shape[:-1]) < lost] = np.nan
    return pixels


def recording(rig, frames=60, **options):
    truth = course(frames)
    pixels = seen(truth, rig, **options)
    return truth, pixels, dlt(pixels, rig)


def objective_of(pixels, rig, *, order=2, limbs=LIMBS, stiffness=2.0, weights=None):
    ends = np.array(limbs, dtype=np.intp).reshape(-1, 2)
    return Objective(
        observe(pixels, rig, weights), 5.0, stiffness, order, ends, np.linspace(200, 100, len(ends))
    )


def theirs(oracle, rig):
    """Return aniposelib's cameras, whose objective is not compiled: that would take longer than it saves."""
    group = oracle(rig)
    group._error_fun_triangulation = types.MethodType(type(group)._error_fun_triangulation.py_func, group)
    return group


@pytest.mark.parametrize("order", [1, 2, 3])
def test_residuals_are_aniposelibs(oracle, mixed_rig, order):
    _, pixels, start = recording(mixed_rig)
    start = interpolate(start)
    lengths = np.array([17.0, 26.0, 15.0])
    group = theirs(oracle, mixed_rig)
    parameters = np.concatenate([start.ravel(), lengths])
    reference = group._error_fun_triangulation(
        parameters, pixels, LIMBS[:1], LIMBS[1:], None, 1.7, 2.0, 1.0, 5.0, "soft_l1", order
    )
    mine = objective_of(pixels, mixed_rig, order=order, stiffness=1.7)
    mine = replace(mine, rigidity=np.array([200.0, 100.0, 100.0]))
    residuals = mine.residuals(start, lengths)
    assert residuals.shape == reference.shape
    assert np.abs(residuals - reference).max() < 1e-9 * np.abs(reference).max()


@pytest.mark.parametrize("kind", ["as it is", "a limb far too long", "a limb without length"])
def test_the_start_is_aniposelibs(oracle, plain_rig, kind):
    _, pixels, start = recording(plain_rig, wrong=0.1)
    if kind == "a limb far too long":
        start[:, 3] += 900
    elif kind == "a limb without length":
        start[:, 0] = start[:, 1]
    limbs = [*LIMBS, (0, 2), (2, 3), (0, 3)]
    group = theirs(oracle, plain_rig)
    from aniposelib.cameras import interpolate_data, medfilt_data

    full = np.apply_along_axis(interpolate_data, 0, start)
    typical = np.mean(np.abs(np.diff(np.apply_along_axis(medfilt_data, 0, full, size=7), axis=0)))
    assert np.array_equal(interpolate(start), full)
    assert movement(median_in_time(full), plain_rig) == pytest.approx(typical, rel=1e-12)
    parameters = group._initialize_params_triangulation(full, limbs[:4], limbs[4:])
    with np.errstate(all="ignore"):
        residuals = group._error_fun_triangulation(
            parameters, pixels, limbs[:4], limbs[4:], None, 3 / typical, 2.0, 0.5, 6.0, "soft_l1", 2
        )
    found = optimise(
        start,
        pixels,
        plain_rig,
        constraints=limbs[:4],
        constraints_weak=limbs[4:],
        scale_smooth=3.0,
        scale_length_weak=0.5,
        n_deriv_smooth=2,
        reproj_error_threshold=6.0,
    )
    assert found.start_cost == pytest.approx(0.5 * np.sum(residuals**2), rel=1e-9)
    assert found.cost < found.start_cost


@pytest.mark.parametrize("limbs", [(), LIMBS, (*LIMBS, (3, 1))])
def test_slopes_are_those_of_the_residuals(mixed_rig, limbs):
    truth, pixels, _ = recording(mixed_rig, frames=9)
    points = truth + np.random.default_rng(1).normal(0, 0.5, truth.shape)
    weights = np.random.default_rng(2).uniform(0.2, 2, pixels.shape[:-1])
    objective = objective_of(pixels, mixed_rig, limbs=limbs, weights=weights)
    there = objective.linearise(points, np.ones(len(limbs)))
    assert there.cost == pytest.approx(
        0.5 * np.sum(objective.residuals(points, there.lengths) ** 2), rel=1e-12
    )
    for length in np.eye(len(limbs)):  # none is better
        for off in (-1e-3, 1e-3):
            assert 0.5 * np.sum(objective.residuals(points, there.lengths + off * length) ** 2) > there.cost
    numeric = np.empty(points.size)
    for index in range(points.size):
        step = np.zeros(points.size)
        step[index] = 1e-5
        step = step.reshape(points.shape)
        after, before = (
            0.5 * np.sum(objective.residuals(points + sign * step, there.lengths) ** 2) for sign in (1, -1)
        )
        numeric[index] = (after - before) / 2e-5
    assert np.abs(numeric - there.gradient.ravel()).max() < 1e-6 * np.abs(numeric).max()


def dense(matrix):
    """Write the matrix out."""
    frames, width, limbs = matrix.frames, matrix.width, len(matrix.ends)
    out = np.zeros((frames, width, frames, width))
    rows, columns = np.triu_indices(3)
    for frame in range(frames):
        square = out[frame, :, frame]
        for joint in range(width // 3):
            block = np.zeros((3, 3))
            block[rows, columns] = block[columns, rows] = matrix.blocks[:, frame, joint]
            square[3 * joint : 3 * joint + 3, 3 * joint : 3 * joint + 3] += block
        for limb, (first, second) in enumerate(matrix.ends):
            block = np.zeros((3, 3))
            block[rows, columns] = block[columns, rows] = matrix.limb_blocks[:, limb, frame]
            square[3 * first : 3 * first + 3, 3 * second : 3 * second + 3] -= block
            square[3 * second : 3 * second + 3, 3 * first : 3 * first + 3] -= block
        for lag in range(min(matrix.order + 1, frames - frame)):
            out[frame, range(width), frame + lag, range(width)] += matrix.ties[lag, frame]
            if lag:
                out[frame + lag, range(width), frame, range(width)] += matrix.ties[lag, frame]
    side = np.zeros((frames, width // 3, 3, limbs))
    for limb, (first, second) in enumerate(matrix.ends):
        side[:, first, :, limb] += matrix.border[limb].T
        side[:, second, :, limb] -= matrix.border[limb].T
    side = side.reshape(frames * width, limbs)
    square = out.reshape(frames * width, frames * width)
    return np.block([[square, side], [side.T, np.diag(matrix.corner)]])


@pytest.mark.parametrize("order", [1, 2, 3])
@pytest.mark.parametrize("limbs", [(), LIMBS, (*LIMBS, (2, 1))])
@pytest.mark.parametrize("segment", [None, 5, 13])
def test_equations_are_solved_exactly(mixed_rig, order, limbs, segment):
    truth, pixels, _ = recording(mixed_rig, frames=31)
    points = truth + np.random.default_rng(1).normal(0, 0.5, truth.shape)
    there = objective_of(pixels, mixed_rig, order=order, limbs=limbs).linearise(points, np.ones(len(limbs)))
    damping = np.linspace(0, 0.3, 31)
    found = solve(there.matrix, -there.gradient, damping=damping, segment=segment)
    full = dense(there.matrix)
    count = points.size
    full[range(count), range(count)] *= 1 + np.repeat(damping, 12)
    side = np.concatenate([-there.gradient.ravel(), np.zeros(len(limbs))])
    expected = np.linalg.solve(full, side)[:count]
    assert np.abs(found.ravel() - expected).max() < 1e-8 * np.abs(expected).max()


def test_a_matrix_that_is_not_positive_definite_has_no_solution():
    nothing = np.zeros((6, 8, 2))
    matrix = ArrowMatrix(
        nothing,
        np.zeros((6, 0, 8)),
        -difference_products(8, 2),
        np.empty((0, 2), dtype=np.intp),
        np.empty((0, 3, 8)),
        np.empty(0),
    )
    assert solve(matrix, np.ones((8, 2, 3))) is None


@pytest.mark.parametrize("order", [2, 3])
def test_segments_leave_no_borders(monkeypatch, mixed_rig, order):
    from anipipe.numerics.refinement import banded

    _, pixels, start = recording(mixed_rig, frames=300)
    options = {"constraints": LIMBS, "n_deriv_smooth": order}
    whole = optimise(start, pixels, mixed_rig, **options)
    monkeypatch.setattr(banded, "SEGMENT_BYTES", 50 * 8 * 12 * (order * 12 + 1))
    monkeypatch.setattr(banded, "KEPT_BYTES", 0)
    parts = optimise(start, pixels, mixed_rig, **options)
    assert whole.converged
    assert parts.converged
    assert np.abs(parts.points - whole.points).max() < 1e-9 * np.abs(whole.points).max()


@pytest.mark.parametrize("order", [1, 2, 3])
def test_the_optimum_is_that_of_a_general_solver(mixed_rig, order):
    _, pixels, start = recording(mixed_rig, frames=14)
    objective = objective_of(pixels, mixed_rig, order=order)
    start = interpolate(start)
    found = descend(objective, start, np.ones(3), 1e-12)

    def residuals(parameters):
        return objective.residuals(parameters[:-3].reshape(start.shape), parameters[-3:])

    begin = np.concatenate([found.points.ravel() + 1e-2, found.lengths])
    general = least_squares(residuals, begin, xtol=1e-14, ftol=1e-14, gtol=1e-10)
    assert found.converged
    assert found.cost <= general.cost * (1 + 1e-8)
    assert np.abs(found.points.ravel() - general.x[:-3]).max() < 1e-3


def test_joints_that_nothing_connects_can_be_solved_apart(mixed_rig):
    _, pixels, start = recording(mixed_rig)
    limbs = ((0, 1), (2, 3))
    apart = optimise(start, pixels, mixed_rig, constraints=limbs, scale_length=2, n_deriv_smooth=2)
    filled = interpolate(start)
    stiffness = 2 / movement(median_in_time(filled), mixed_rig)
    objective = objective_of(pixels, mixed_rig, limbs=limbs, stiffness=stiffness)
    objective = replace(objective, rigidity=np.array([200.0, 200.0]))
    together = descend(objective, filled, np.ones(2), 1e-12)
    assert apart.cost == pytest.approx(together.cost, rel=2e-7)
    assert np.abs(apart.points - together.points).max() < 0.02


def test_groups_of_joints():
    groups = components(6, np.array([(4, 1), (1, 5), (2, 3), (3, 2)]))
    assert sorted(group.tolist() for group in groups) == [[0], [1, 4, 5], [2, 3]]


def test_better_than_triangulation_and_no_worse_than_aniposelib(oracle, plain_rig):
    rig = plain_rig.subset(plain_rig.names[:3])
    truth, pixels, start = recording(rig, frames=80, wrong=0.03)
    pixels[:, 30:36, 0] = np.nan
    start = dlt(pixels, rig)
    found = optimise(start, pixels, rig, constraints=LIMBS, n_deriv_smooth=2)
    group = theirs(oracle, rig)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        other = group.optim_points(
            pixels,
            start,
            constraints=LIMBS,
            scale_smooth=2,
            scale_length=2,
            n_deriv_smooth=2,
            reproj_error_threshold=5,
        )
    mine, peer = (np.linalg.norm(points - truth, axis=-1).mean() for points in (found.points, other))
    assert mine < np.nanmean(np.linalg.norm(start - truth, axis=-1))
    assert mine <= 1.01 * peer
    assert np.array_equal(found.filled, np.isnan(pixels[..., 0]).all(axis=0))
    assert found.filled[30:36, 0].all()
    assert np.allclose(found.lengths, LENGTHS, rtol=0.05)


@pytest.mark.parametrize("limbs", [(), LIMBS[:2]])
def test_gaps_without_smoothness(mixed_rig, limbs):
    truth, pixels, _ = recording(mixed_rig, lost=0, wrong=0)
    pixels[:, 20:30, 0] = np.nan
    pixels[1:, 40:44, 2] = np.nan  # a lone camera does not tell the distance
    start = dlt(pixels, mixed_rig)
    found = optimise(start, pixels, mixed_rig, constraints=limbs, scale_smooth=0)
    assert found.converged and found.steps > 0 and found.cost < found.start_cost
    held = interpolate(start)
    assert np.isfinite(found.points).all()
    assert np.linalg.norm(found.points - truth, axis=-1).max() < 10
    if not limbs:  # what no term holds stays
        assert np.array_equal(found.points[20:30, 0], held[20:30, 0])
    else:
        length = np.linalg.norm(found.points[:, 0] - found.points[:, 1], axis=-1)
        assert np.abs(length - found.lengths[0])[20:30].max() < 1e-3


def test_a_joint_seen_in_one_frame_only(mixed_rig):
    truth, pixels, _ = recording(mixed_rig, lost=0, wrong=0)
    pixels[:, np.arange(len(truth)) != 20, 3] = np.nan
    pixels[0, 40, 3] = project(truth[40, 3], mixed_rig.cameras[0])
    found = optimise(dlt(pixels, mixed_rig), pixels, mixed_rig)
    assert found.converged and found.steps < 20


def test_twice_the_same(mixed_rig):
    _, pixels, start = recording(mixed_rig)
    first, second = (optimise(start, pixels, mixed_rig, constraints=LIMBS) for _ in range(2))
    assert first.points.tobytes() == second.points.tobytes()
    assert first.lengths.tobytes() == second.lengths.tobytes()


def test_a_static_animal(mixed_rig):
    truth = np.repeat(course(1), 40, axis=0)
    pixels = np.stack([project(truth, camera) for camera in mixed_rig.cameras])
    found = optimise(truth, pixels, mixed_rig, constraints=LIMBS)
    assert np.abs(found.points - truth).max() < 1e-6
    assert found.converged


def test_a_joint_that_is_never_seen_changes_nothing(mixed_rig):
    _, pixels, start = recording(mixed_rig)
    pixels[:, :, 0] = np.nan
    start[:, 0] = np.nan
    found = optimise(start, pixels, mixed_rig, constraints=LIMBS)
    rest = optimise(start[:, 1:], pixels[:, :, 1:], mixed_rig, constraints=[(0, 1), (2, 0)])
    assert np.isnan(found.points[:, 0]).all()
    assert np.isnan(found.lengths[0])
    assert not found.filled[:, 0].any()
    assert np.array_equal(found.points[:, 1:], rest.points)
    assert np.array_equal(found.lengths[1:], rest.lengths)


def test_gaps_at_the_ends_and_a_lone_camera(mixed_rig):
    _, pixels, _ = recording(mixed_rig, lost=0, wrong=0)
    pixels[:, :4] = np.nan
    pixels[1:, 20:30, 2] = np.nan
    pixels[:, 40, :, 0] = np.nan  # half a pixel is none
    found = optimise(dlt(pixels, mixed_rig), pixels, mixed_rig, constraints=LIMBS)
    assert np.isfinite(found.points).all()
    assert found.filled[:4].all()
    assert found.filled[40].all()
    assert found.filled.sum() == 5 * 4


@pytest.mark.parametrize("frames", [1, 2, 3, 4])
def test_few_frames(mixed_rig, frames):
    points = np.random.default_rng(5).uniform(-80, 80, (frames, 24, 3))
    pixels = seen(points, mixed_rig, lost=0, wrong=0)
    found = optimise(dlt(pixels, mixed_rig), pixels, mixed_rig, constraints=[(0, 1)])
    assert np.isfinite(found.points).all()
    assert found.cost <= found.start_cost
    assert found.converged


def test_too_few_points_are_returned_as_they_are(mixed_rig):
    _, pixels, start = recording(mixed_rig, frames=4)
    found = optimise(start, pixels, mixed_rig, constraints=LIMBS)
    assert np.array_equal(found.points, start, equal_nan=True)
    assert (found.steps, found.converged) == (0, False)
    assert "fewer than 20" in found.reason


def test_weights(mixed_rig):
    truth, pixels, _ = recording(mixed_rig, wrong=0)
    pixels[0] += 30
    weights = np.ones(pixels.shape[:-1])
    weights[0] = 0
    weighted = optimise(truth, pixels, mixed_rig, constraints=LIMBS, weights=weights)
    pixels[0] = np.nan
    without = optimise(truth, pixels, mixed_rig, constraints=LIMBS)
    assert np.array_equal(weighted.points, without.points)
    heavy = optimise(truth, pixels, mixed_rig, constraints=LIMBS, weights=np.full(weights.shape, 1e4))
    assert heavy.cost > without.cost


def test_far_outliers_and_points_behind_cameras(mixed_rig):
    truth, pixels, start = recording(mixed_rig)
    pixels[2, 10:13, 1] = 1e7
    start[20] = 2000 * np.random.default_rng(1).normal(size=(4, 3))
    start[30, 2] = 1e9
    found = optimise(start, pixels, mixed_rig, constraints=LIMBS)
    assert found.cost < found.start_cost
    assert np.median(np.linalg.norm(found.points - truth, axis=-1)) < 1.5


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"constraints": [(1, 1)]}, "ties a joint to itself"),
        ({"constraints_weak": [(0, 4)]}, "not there"),
        ({"constraints": [(-1, 1)]}, "not there"),
        ({"scale_smooth": -1.0}, "must not be negative"),
        ({"reproj_error_threshold": 0.0}, "must be positive"),
        ({"n_deriv_smooth": 0}, "at least 1"),
        ({"weights": np.ones(3)}, "weights have shape"),
        ({"weights": -np.ones((4, 30, 4))}, "not negative"),
    ],
)
def test_what_makes_no_sense_is_refused(mixed_rig, options, message):
    _, pixels, start = recording(mixed_rig, frames=30)
    with pytest.raises(DataError, match=message):
        optimise(start, pixels, mixed_rig, **options)


def test_shapes_that_do_not_fit_are_refused(mixed_rig):
    _, pixels, start = recording(mixed_rig, frames=30)
    with pytest.raises(DataError, match="expected \\(frames, joints, 3\\)"):
        optimise(start[0], pixels, mixed_rig)
    with pytest.raises(DataError, match="pixels have shape"):
        optimise(start[1:], pixels, mixed_rig)
