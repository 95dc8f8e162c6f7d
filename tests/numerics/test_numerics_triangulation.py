from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pytest

from anipipe.errors import DataError
from anipipe.numerics import triangulation
from anipipe.numerics.cameras import Rig, project, undistort
from anipipe.numerics.triangulation import (
    contributing,
    dlt,
    intersect,
    quality,
    reprojection_errors,
    straightened,
)

SCENE = 100.0  # half the edge of the cube that the points fill


def images(points, rig):
    return np.stack([project(points, camera) for camera in rig.cameras])


def noisy(points, rig, seed=2, sigma=2.0, hidden=0.3):
    rng = np.random.default_rng(seed)
    pixels = images(points, rig)
    pixels += rng.normal(0, sigma, pixels.shape)
    pixels[rng.random(pixels.shape[:-1]) < hidden] = np.nan
    return pixels


def test_exact_pixels_give_the_truth(rig, points):
    found = dlt(images(points, rig), rig)
    assert found.shape == points.shape
    assert np.abs(found - points).max() < 1e-9 * SCENE


def test_every_pair_of_cameras_gives_the_truth(rig, points):
    pixels = images(points, rig)
    for pair in [(0, 1), (1, 3), (2, 0)]:
        some = np.full_like(pixels, np.nan)
        some[list(pair)] = pixels[list(pair)]
        assert np.abs(dlt(some, rig) - points).max() < 1e-9 * SCENE


def test_too_few_cameras_give_nothing(rig, points):
    pixels = images(points, rig)
    pixels[1:, 0] = np.nan  # one camera
    pixels[2:, 1] = np.nan  # two
    pixels[3:, 2] = np.nan  # three
    pixels[:, 3] = np.nan
    pixels[0, 4, :, 0] = np.nan  # half a pixel is none: three
    pixels[1, 5, :, 1] = np.inf
    for min_cams, present in [
        (2, [0, 1, 1, 0, 1, 1, 1]),
        (3, [0, 0, 1, 0, 1, 1, 1]),
        (4, [0, 0, 0, 0, 0, 0, 1]),
    ]:
        found = dlt(pixels, rig, min_cams=min_cams)
        assert np.array_equal(np.isfinite(found[:7]).all(axis=(1, 2)), np.array(present, dtype=bool))
        assert np.array_equal(np.isnan(found).any(axis=-1), np.isnan(found).all(axis=-1))
        good = np.isfinite(found)
        assert np.abs(found[good] - points[good]).max() < 1e-9 * SCENE


def test_least_squares_solution_is_the_smallest_singular_vector(mixed_rig, points):
    """Written out per point, with nothing shared but the undistortion."""
    pixels = noisy(points, mixed_rig, sigma=15.0)
    found = dlt(pixels, mixed_rig)
    checked = 0
    for index in np.ndindex(points.shape[:2]):
        rows = []
        for number, camera in enumerate(mixed_rig.cameras):
            x, y = undistort(pixels[number][index], camera)
            if np.isfinite(x):
                rows += [
                    x * camera.extrinsics[2] - camera.extrinsics[0],
                    y * camera.extrinsics[2] - camera.extrinsics[1],
                ]
        if len(rows) >= 4:
            vector = np.linalg.svd(np.array(rows))[2][-1]
            assert np.allclose(found[index], vector[:3] / vector[3], rtol=0, atol=1e-9 * SCENE)
            checked += 1
    assert checked > 200


def test_weights_multiply_squared_residuals(mixed_rig, points):
    """An integer weight is as many cameras of the same kind."""
    pixels = noisy(points, mixed_rig, sigma=5.0)
    weights = np.ones(pixels.shape[:-1])
    weights[0], weights[2] = 3, 2
    order = [0, 0, 0, 1, 2, 2, 3]
    many = Rig(tuple(replace(mixed_rig.cameras[at], name=str(i)) for i, at in enumerate(order)))
    expected = dlt(pixels[order], many)
    two = np.isfinite(pixels[..., 0]).sum(axis=0) >= 2
    found = dlt(pixels, mixed_rig, weights=weights)
    assert np.allclose(found[two], expected[two], rtol=0, atol=1e-9 * SCENE)
    assert np.isnan(found[~two]).all()
    smaller = dlt(pixels, mixed_rig, weights=weights * 1e-12)
    assert np.allclose(smaller, found, rtol=0, atol=1e-9 * SCENE, equal_nan=True)


def test_equal_weights_change_nothing(rig, points):
    pixels = noisy(points, rig, sigma=5.0)
    found = dlt(pixels, rig, weights=np.ones(pixels.shape[:-1]))
    assert found.tobytes() == dlt(pixels, rig).tobytes()


def test_cameras_without_weight_take_no_part(mixed_rig, points):
    pixels = noisy(points, mixed_rig)
    weights = np.random.default_rng(0).uniform(0.1, 1, pixels.shape[:-1])
    weights[1, ::2], weights[3, ::3] = 0, np.nan
    some = np.where((weights > 0)[..., None], pixels, np.nan)
    for min_cams in (2, 3):
        found = dlt(pixels, mixed_rig, min_cams=min_cams, weights=weights)
        expected = dlt(some, mixed_rig, min_cams=min_cams, weights=weights)
        assert found.tobytes() == expected.tobytes()
    assert np.isnan(dlt(pixels, mixed_rig, weights=np.zeros(pixels.shape[:-1]))).all()


@pytest.mark.parametrize("sigma", [0.0, 5.0, 300.0])
def test_repeated_squaring_finds_the_same_points(mixed_rig, points, sigma):
    pixels = images(points, mixed_rig) + np.random.default_rng(0).normal(0, sigma, (4, *points.shape[:-1], 2))
    rays = straightened(pixels.reshape(4, -1, 2), mixed_rig)
    rays = rays[:, np.isfinite(rays).all(axis=(0, 2))]
    extrinsics = np.stack([camera.extrinsics for camera in mixed_rig.cameras])
    extrinsics = np.broadcast_to(extrinsics[:, None], (4, rays.shape[1], 3, 4))
    exact, quick = intersect(rays, extrinsics), intersect(rays, extrinsics, quick=True)
    far = np.linalg.norm(exact, axis=-1)
    assert (np.linalg.norm(quick - exact, axis=-1) / np.maximum(far, SCENE)).max() < 1e-9
    alone = intersect(rays[:, 5:6], extrinsics[:, 5:6], quick=True)
    assert alone.tobytes() == quick[5:6].tobytes()


def test_rays_that_hardly_meet_take_the_decomposition(mixed_rig, monkeypatch):
    """Inverse iteration settles slowly where the two smallest singular values are alike."""
    rng = np.random.default_rng(0)
    pixels = rng.uniform(0, 1000, (4, 300, 2))
    with_both = dlt(pixels, mixed_rig)
    monkeypatch.setattr(triangulation, "SETTLED", -1.0)  # never settled: the decomposition alone
    alone = dlt(pixels, mixed_rig)
    monkeypatch.setattr(triangulation, "SETTLED", np.inf)  # always: inverse iteration alone
    iterated = dlt(pixels, mixed_rig)
    far = np.linalg.norm(alone, axis=-1)
    assert (np.linalg.norm(with_both - alone, axis=-1) / far).max() < 1e-9
    assert (np.linalg.norm(iterated - alone, axis=-1) / far).max() > 1e-6


def test_ordinary_points_do_not_need_the_decomposition(rig, points, monkeypatch):
    decompose, needed = np.linalg.svd, []
    monkeypatch.setattr(
        np.linalg, "svd", lambda matrices: needed.append(len(matrices)) or decompose(matrices)
    )
    dlt(images(points, rig), rig)
    assert not needed
    dlt(noisy(points, rig, sigma=2.0), rig)
    assert sum(needed) <= 3  # of 280


def test_order_of_cameras_changes_rounding_only(mixed_rig, points):
    pixels = noisy(points, mixed_rig)
    order = [2, 0, 3, 1]
    other = Rig(tuple(mixed_rig.cameras[i] for i in order))
    assert np.allclose(
        dlt(pixels[order], other), dlt(pixels, mixed_rig), rtol=0, atol=1e-9 * SCENE, equal_nan=True
    )


@pytest.mark.parametrize("sigma", [0.0, 2.0, 300.0])
def test_a_point_gives_the_same_bytes_alone_and_in_company(rig, points, sigma):
    pixels = noisy(points, rig, sigma=sigma)
    together = dlt(pixels, rig)
    assert dlt(pixels, rig).tobytes() == together.tobytes()
    for index in range(0, 40, 9):
        assert np.array_equal(dlt(pixels[:, index], rig), together[index], equal_nan=True)
        assert np.array_equal(dlt(pixels[:, index, 3], rig), together[index, 3], equal_nan=True)
    backwards = dlt(pixels[:, ::-1], rig)[::-1]
    assert backwards.tobytes() == together.tobytes()


def test_chunks_do_not_show(mixed_rig, points, monkeypatch):
    pixels = noisy(points, mixed_rig)
    whole = dlt(pixels, mixed_rig)
    monkeypatch.setattr(triangulation, "CHUNK", 11)
    assert dlt(pixels, mixed_rig).tobytes() == whole.tobytes()


def test_input_is_left_alone(mixed_rig, points):
    pixels = noisy(points, mixed_rig)
    before = pixels.copy()
    quality(dlt(pixels, mixed_rig), pixels, np.ones(pixels.shape[:-1]), mixed_rig)
    assert np.array_equal(pixels, before, equal_nan=True)


def test_parallel_rays_meet_nowhere(mixed_rig):
    camera = mixed_rig.cameras[0]
    twin = replace(camera, name="twin", translation=camera.translation + np.array([100.0, 0, 0]))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = dlt(np.array([[640.0, 500.0], [640.0, 500.0]]), Rig((camera, twin)))
        same = dlt(np.array([[640.0, 500.0], [640.0, 500.0]]), Rig((camera, replace(camera, name="same"))))
    assert np.isnan(found).all() or np.linalg.norm(found) > 1e12
    assert same.shape == (3,)


def test_empty_input(mixed_rig):
    assert dlt(np.empty((4, 0, 5, 2)), mixed_rig).shape == (0, 5, 3)
    assert dlt(np.full((4, 3, 2), np.nan), mixed_rig).shape == (3, 3)


def test_reprojection_errors_are_distances_in_pixels(mixed_rig, points):
    pixels = images(points, mixed_rig)
    pixels[2] += (3.0, 4.0)
    pixels[3, 0, 0] = np.nan
    errors = reprojection_errors(points, pixels, mixed_rig)
    assert errors.shape == (4, 40, 7)
    assert np.allclose(errors[:2], 0, atol=1e-9) and np.allclose(errors[2], 5)
    assert np.isnan(errors[3, 0, 0]) and np.isfinite(errors[3]).sum() == 40 * 7 - 1


def test_quality_follows_anipose(mixed_rig, points):
    pixels = images(points, mixed_rig)
    pixels[0] += (3.0, 4.0)
    pixels[1] += (0.0, 2.0)
    scores = np.broadcast_to(np.array([0.9, 0.8, 0.7, 0.6])[:, None, None], pixels.shape[:-1]).copy()
    pixels[3, 0] = np.nan  # 5, 2, 0
    pixels[2:, 1] = np.nan  # 5, 2
    pixels[1:, 2] = np.nan  # one camera
    pixels[:, 3] = np.nan
    scores[3, 4] = np.nan  # unknown: the others' minimum
    scores[:, 5] = np.nan
    error, ncams, score = quality(points, pixels, scores, mixed_rig)
    assert np.allclose(error[:2].T, [7 / 3, 7 / 2]) and np.allclose(error[4:], 7 / 4)
    assert np.array_equal(ncams[[0, 1, 4]].T, np.broadcast_to([3, 2, 4], (7, 3)))
    assert np.array_equal(score[[0, 1, 4, 6]].T, np.broadcast_to([0.7, 0.8, 0.7, 0.6], (7, 4)))
    for values in (error, ncams, score):
        assert np.isnan(values[2:4]).all()
    assert np.isnan(score[5]).all() and np.isfinite(error[5]).all()


def test_a_pixel_without_a_ray_does_not_contribute(plain_rig, points):
    folded = replace(plain_rig.cameras[0], distortions=np.array([-1.5, 0, 0, 0, 0]))  # images end at r = 0.31
    rig = Rig((folded, *plain_rig.cameras[1:]))
    pixels = images(points, plain_rig)
    pixels[0] = (1200.0, 900.0)
    used = contributing(pixels, rig)
    assert not used[0].any() and used[1:].all()
    found = dlt(pixels, rig)
    assert np.abs(found - points).max() < 1e-9 * SCENE
    error, ncams, _ = quality(found, pixels, np.ones(pixels.shape[:-1]), rig)
    assert (ncams == 3).all() and (error < 1e-9).all()


def test_shapes_that_do_not_fit_are_refused(mixed_rig, points):
    pixels = images(points, mixed_rig)
    with pytest.raises(DataError, match=r"expected \(4, ..., 2\) for cameras cam0, cam1, cam2, cam3"):
        dlt(pixels[:3], mixed_rig)
    with pytest.raises(DataError, match="at least 2"):
        dlt(pixels, mixed_rig, min_cams=1)
    with pytest.raises(DataError, match="weights have shape"):
        dlt(pixels, mixed_rig, weights=np.ones(4))
    for wrong in (-1.0, np.inf):
        with pytest.raises(DataError, match="finite and not negative"):
            dlt(pixels, mixed_rig, weights=np.full(pixels.shape[:-1], wrong))
    with pytest.raises(DataError, match="points have shape"):
        reprojection_errors(points[:-1], pixels, mixed_rig)
    with pytest.raises(DataError, match="scores have shape"):
        quality(points, pixels, np.ones((4, 40)), mixed_rig)


def test_parity_with_aniposelib(oracle, plain_rig, points):
    # Without distortion: OpenCV's undistortion, which aniposelib calls, stops after a few iterations.
    pixels = noisy(points, plain_rig)
    group = oracle(plain_rig)
    flat = pixels.reshape(4, -1, 2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = group.triangulate(flat)
        their_error = group.reprojection_error(theirs, flat, mean=True)
    ours = dlt(flat, plain_rig)
    assert np.allclose(ours, theirs, rtol=0, atol=1e-9 * SCENE, equal_nan=True)
    error, _, _ = quality(ours, flat, np.ones(flat.shape[:-1]), plain_rig)
    assert np.allclose(error, their_error, rtol=0, atol=1e-8, equal_nan=True)
