from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import least_squares

from anipipe.errors import DataError
from anipipe.numerics import point_refinement
from anipipe.numerics.cameras import Camera, Rig, project, project_with_slopes
from anipipe.numerics.point_refinement import refine
from anipipe.numerics.triangulation import dlt, reprojection_errors

SCENE = 100.0  # half the edge of the cube that the points fill


def images(points, rig, sigma=0.0, seed=3):
    pixels = np.stack([project(points, camera) for camera in rig.cameras])
    return pixels + np.random.default_rng(seed).normal(0, sigma, pixels.shape)


def squared(points, pixels, rig, weights=1.0):
    return np.nansum(weights * reprojection_errors(points, pixels, rig) ** 2, axis=0)


def telecentric_rig():
    """Three cameras far away with long lenses that bend strongly, as fly-3cam's."""
    made = []
    for index, (focal, k1) in enumerate([(20_000.0, -58.0), (37_000.0, 21.0), (136_000.0, -6469.0)]):
        matrix = np.array([[focal, 0, 416], [0, focal, 316], [0, 0, 1]])
        rotation, translation = np.array([0.1, 0.6 * index, 0]), np.array([0, 0, focal / 400])
        made.append(Camera(str(index), None, matrix, np.array([k1, 0, 0, 0, 0]), rotation, translation))
    return Rig(tuple(made))


def scipys(start, pixels, rig, weights):
    roots = np.sqrt(weights)[:, None]

    def residuals(point):
        at = np.stack([project(point, camera) for camera in rig.cameras])
        return (roots * (at - pixels)).ravel()

    def slopes(point):
        each = [project_with_slopes(point, camera)[1] for camera in rig.cameras]
        return (roots[..., None] * np.stack(each)).reshape(-1, 3)

    return least_squares(residuals, start, slopes, xtol=1e-15, ftol=1e-15, gtol=1e-15, x_scale="jac").x


def test_it_reaches_the_optimum(rig, points):
    pixels = images(points, rig, sigma=3.0)[:, :10, 0]
    weights = np.random.default_rng(1).uniform(0.1, 4, pixels.shape[:-1])
    found = refine(dlt(pixels, rig), pixels, rig, weights=weights)
    for index, point in enumerate(found):
        best = scipys(points[index, 0], pixels[:, index], rig, weights[:, index])
        assert np.abs(point - best).max() < 1e-6


def test_it_reaches_the_optimum_of_nearly_parallel_rays():
    rig = telecentric_rig()
    truth = np.random.default_rng(0).uniform(-0.5, 0.5, (20, 3))
    pixels = images(truth, rig, sigma=1.5)
    found = refine(dlt(pixels, rig), pixels, rig)
    for index, point in enumerate(found):
        best = scipys(truth[index], pixels[:, index], rig, np.ones(3))
        assert np.abs(point - best).max() < 1e-6


@pytest.mark.parametrize("sigma", [0.0, 2.0, 100.0])
def test_the_error_never_rises(rig, points, sigma):
    pixels = images(points, rig, sigma)
    start = dlt(pixels, rig)
    found = refine(start, pixels, rig)
    before, after = squared(start, pixels, rig), squared(found, pixels, rig)
    assert (after <= before * (1 + 1e-12) + 1e-15).all()
    if sigma:
        assert (after < before).mean() > 0.9


def test_far_starts_come_home(rig, points):
    start = points + np.random.default_rng(2).uniform(-60, 60, points.shape)
    found = refine(start, images(points, rig), rig)
    assert np.abs(found - points).max() < 1e-7


def test_exact_pixels_leave_points_where_they_are(rig, points):
    pixels = images(points, rig)
    assert np.abs(refine(points, pixels, rig) - points).max() < 1e-9 * SCENE


def test_few_steps_do(rig, points):
    pixels = images(points, rig, sigma=1.0)
    start = dlt(pixels, rig)
    assert np.abs(refine(start, pixels, rig, steps=4) - refine(start, pixels, rig, steps=100)).max() < 1e-4
    assert np.array_equal(refine(start, pixels, rig, steps=0), start)


def test_cameras_without_weight_take_no_part(mixed_rig, points):
    pixels = images(points, mixed_rig, sigma=1.0)
    start = dlt(pixels, mixed_rig)
    weights = np.ones(pixels.shape[:-1])
    weights[1], weights[2] = 0, np.nan
    some = np.where((weights > 0)[..., None], pixels, np.nan)
    assert np.array_equal(
        refine(start, pixels, mixed_rig, weights=weights), refine(start, some, mixed_rig), equal_nan=True
    )
    heavy = np.ones(pixels.shape[:-1])
    heavy[0] = 1e6
    found = refine(start, pixels, mixed_rig, weights=heavy)
    assert reprojection_errors(found, pixels, mixed_rig)[0].max() < 1e-3


def test_the_scale_of_weights_does_not_matter(mixed_rig, points):
    pixels = images(points, mixed_rig, sigma=1.0)
    start = dlt(pixels, mixed_rig)
    small = refine(start, pixels, mixed_rig, weights=np.full(pixels.shape[:-1], 1e-9))
    assert np.abs(small - refine(start, pixels, mixed_rig)).max() < 1e-6


def test_what_cannot_be_refined_stays(mixed_rig, points):
    pixels = images(points, mixed_rig, sigma=1.0)
    start = points + 5.0
    start[0, 0] = np.nan
    pixels[1:, 1] = np.nan  # one camera
    behind = 2 * mixed_rig.cameras[2].centre
    start[2] = behind
    found = refine(start, pixels, mixed_rig)
    assert np.isnan(found[0, 0]).all() and np.isfinite(found[0, 1:]).all()
    assert np.array_equal(found[1], start[1]) and np.array_equal(found[2], start[2])
    assert (np.linalg.norm(found[3:] - points[3:], axis=-1) < 5).all()
    pixels[2, 2] = np.nan  # the camera that it lies behind does not see it
    assert not np.array_equal(refine(start, pixels, mixed_rig)[2], start[2])


def test_a_pixel_without_a_ray_takes_no_part(plain_rig, points):
    folded = replace(plain_rig.cameras[0], distortions=np.array([-1.5, 0, 0, 0, 0]))
    rig = Rig((folded, *plain_rig.cameras[1:]))
    pixels = images(points, plain_rig)
    pixels[0] = (1200.0, 900.0)
    assert np.abs(refine(points + 1.0, pixels, rig) - points).max() < 1e-7


def test_rays_that_never_cross(mixed_rig):
    camera = mixed_rig.cameras[0]
    rig = Rig((camera, replace(camera, name="same")))
    pixels = np.array([[640.0, 500.0], [660.0, 510.0]])
    found = refine(np.array([5.0, 3.0, 1.0]), pixels, rig)
    expected = np.tile(pixels.mean(axis=0), (2, 1))
    at = np.stack([project(found, each) for each in rig.cameras])
    assert np.isfinite(found).all() and np.abs(at - expected).max() < 1e-6


@pytest.mark.parametrize("sigma", [0.0, 2.0, 300.0])
def test_a_point_gives_the_same_bytes_alone_and_in_company(mixed_rig, points, sigma, monkeypatch):
    rig = mixed_rig
    pixels = images(points, rig, sigma)
    pixels[np.random.default_rng(1).random(pixels.shape[:-1]) < 0.3] = np.nan
    start = dlt(pixels, rig)
    together = refine(start, pixels, rig)
    for index in range(0, 40, 9):
        assert np.array_equal(refine(start[index], pixels[:, index], rig), together[index], equal_nan=True)
        alone = refine(start[index, 3], pixels[:, index, 3], rig)
        assert np.array_equal(alone, together[index, 3], equal_nan=True)
    monkeypatch.setattr(point_refinement, "CHUNK", 61)
    assert refine(start, pixels, rig).tobytes() == together.tobytes()


def test_input_is_left_alone(mixed_rig, points):
    pixels = images(points, mixed_rig, sigma=1.0)
    start = dlt(pixels, mixed_rig)
    before = start.copy(), pixels.copy()
    refine(start, pixels, mixed_rig)
    assert np.array_equal(start, before[0]) and np.array_equal(pixels, before[1])


def test_shapes_that_do_not_fit_are_refused(mixed_rig, points):
    pixels = images(points, mixed_rig)
    assert refine(np.empty((0, 3)), np.empty((4, 0, 2)), mixed_rig).shape == (0, 3)
    with pytest.raises(DataError, match="points have shape"):
        refine(points[:-1], pixels, mixed_rig)
    with pytest.raises(DataError, match="weights have shape"):
        refine(points, pixels, mixed_rig, weights=np.ones(4))
    with pytest.raises(DataError, match="not negative"):
        refine(points, pixels, mixed_rig, weights=-np.ones(pixels.shape[:-1]))
    with pytest.raises(DataError, match="steps = -1"):
        refine(points, pixels, mixed_rig, steps=-1)
