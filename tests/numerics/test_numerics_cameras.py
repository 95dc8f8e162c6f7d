from __future__ import annotations

import pickle
from dataclasses import replace

import cv2
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from anipipe.errors import DataError
from anipipe.numerics.cameras import (
    Camera,
    Rig,
    apply_matrix,
    project,
    project_with_jacobians,
    project_with_slopes,
    rodrigues,
    undistort,
)
from anipipe.numerics.lenses import distort, fold, straighten, within_reach


def with_opencv(points, camera):
    function = cv2.fisheye.projectPoints if camera.fisheye else cv2.projectPoints
    arguments = (camera.rotation, camera.translation, camera.matrix, camera.distortions)
    return function(points.reshape(-1, 1, 3), *(np.array(a) for a in arguments))[0].reshape(
        *points.shape[:-1], 2
    )


def rays(points, camera):
    at = apply_matrix(camera.rotation_matrix, points) + camera.translation
    return at[..., :2] / at[..., 2:]


def telecentric(focal, k1):
    """One of the nearly telecentric cameras that calibrations of flies end up with."""
    matrix = np.array([[focal, 0, 416], [0, focal, 316], [0, 0, 1]])
    return Camera("fly", (832, 632), matrix, np.array([k1, 0, 0, 0, 0]), np.zeros(3), np.array([0, 0, 100.0]))


@pytest.mark.parametrize("vector", [(0, 0, 0), (1e-9, 0, 2e-9), (0.3, -1.2, 2.0), (np.pi, 0, 0), (0, 3, 4)])
def test_rodrigues_agrees_with_opencv(vector):
    ours = rodrigues(vector)
    assert np.allclose(ours, cv2.Rodrigues(np.array(vector, dtype=float))[0], atol=1e-15)
    assert np.allclose(ours @ ours.T, np.eye(3), atol=1e-15)


def test_projection_agrees_with_opencv(rig, points):
    for camera in rig.cameras:
        assert np.abs(project(points, camera) - with_opencv(points, camera)).max() < 1e-9


def test_projection_behind_the_camera_and_in_its_plane(mixed_rig):
    camera = mixed_rig.cameras[0]
    behind = (camera.centre * 1.7)[None]
    assert np.allclose(project(behind, camera), with_opencv(behind, camera))
    still = replace(camera, rotation=np.zeros(3), translation=np.zeros(3))
    assert np.isnan(project([1.0, 2.0, 0.0], still)).all()


def test_projection_matrix_is_the_undistorted_projection(points):
    camera = telecentric(2000.0, 0.0)
    image = np.concatenate([points, np.ones((*points.shape[:-1], 1))], axis=-1) @ camera.projection.T
    assert np.allclose(project(points, camera), image[..., :2] / image[..., 2:])
    assert np.allclose(camera.extrinsics @ [*camera.centre, 1], 0)


def test_undistort_returns_the_ray(rig, points):
    for camera in rig.cameras:
        assert np.abs(undistort(project(points, camera), camera) - rays(points, camera)).max() < 1e-14


@pytest.mark.parametrize(("focal", "k1"), [(20003.0, -58.19), (37108.4, 20.68), (136330.25, -6468.6)])
def test_undistort_converges_for_extreme_lenses(focal, k1):
    camera = telecentric(focal, k1)
    x, y = np.meshgrid(np.linspace(0, 831, 53), np.linspace(0, 631, 41))
    pixels = np.stack([x, y], axis=-1)
    ray = undistort(pixels, camera)
    assert np.isfinite(ray).all()
    back = project(
        np.concatenate([ray, np.ones((*ray.shape[:-1], 1))], axis=-1) * 100 - camera.translation, camera
    )
    assert np.abs(back[:, :, :] - with_opencv_rays(ray, camera)).max() < 1e-9
    assert np.abs(with_opencv_rays(ray, camera) - pixels).max() < 1e-9


def with_opencv_rays(ray, camera):
    points = np.concatenate([ray, np.ones((*ray.shape[:-1], 1))], axis=-1)
    return cv2.projectPoints(
        points.reshape(-1, 1, 3),
        np.zeros(3),
        np.zeros(3),
        np.array(camera.matrix),
        np.array(camera.distortions),
    )[0].reshape(ray.shape)


def test_undistort_far_out_with_tangential_distortion(mixed_rig):
    strong = replace(mixed_rig.cameras[0], distortions=np.array([0.4, -0.05, 0.03, -0.02, 0.004]))
    ray = np.random.default_rng(1).uniform(-0.8, 0.8, (500, 2))
    x, y = distort(ray[:, 0], ray[:, 1], strong.distortions, fisheye=False)
    pixels = np.stack([x, y], axis=-1) * strong.matrix[[0, 1], [0, 1]] + strong.matrix[:2, 2]
    assert np.abs(undistort(pixels, strong) - ray).max() < 1e-13


@pytest.mark.parametrize(
    "coefficients",
    [
        (0, 0, 0, 0, 3.0),
        (-0.9, 0.5, 0, 0, 0),
        (-1.0, 0.4501, 0, 0, 0),  # all but stands still at r = 0.8
        (-1.0, 0.4501, 1e-3, -1e-3, 0),
        (40.0, 0, 0, 0, 0),
        (3.0, -4.0, 0, 0, 2.1),
        (8.95, 1.41, 0, 0, -0.12),  # plain Newton steps lead beyond the fold
    ],
)
def test_undistort_of_unusual_lenses(coefficients):
    coefficients = np.array(coefficients)
    edge = min(fold(coefficients[[0, 1, 4]]), 3.0) * 0.999
    radius, turn = np.linspace(0, edge, 3000), np.linspace(0, 50, 3000)
    bent = distort(radius * np.cos(turn), radius * np.sin(turn), coefficients, fisheye=False)
    straight = straighten(*bent, coefficients, fisheye=False)
    back = distort(*straight, coefficients, fisheye=False)
    off = np.hypot(back[0] - bent[0], back[1] - bent[1])
    assert (off <= 1e-13 * (1 + np.hypot(*bent))).all()


def test_missing_pixels_stay_missing(rig):
    pixels = np.array([[np.nan, 3.0], [3.0, np.nan], [np.nan, np.nan], [np.inf, 0.0], [640.0, 512.0]])
    for camera in rig.cameras:
        ray = undistort(pixels, camera)
        assert np.isnan(ray[:4]).all() and np.isfinite(ray[4]).all()
        assert np.isnan(project([np.nan, 1.0, 2.0], camera)).all()


def test_no_ray_beyond_the_fold():
    """With k1 = -0.3 the model turns back at r = 1.054, which it images at 0.703."""
    assert fold([-0.3]) == pytest.approx(np.sqrt(1 / 0.9))
    assert fold([0.3, 0.0, 0.0]) == np.inf
    # The inner of two roots; the polynomial grows again beyond the outer one.
    assert fold([-1.0, 0.4]) == pytest.approx(np.sqrt((3 - np.sqrt(9 - 8)) / 4))
    coefficients = np.array([-0.3, 0, 0, 0, 0])
    bent = np.array([0.70, 0.702, 0.703, 0.71, 2.0])
    x, y = straighten(bent, np.zeros(5), coefficients, fisheye=False)
    assert np.isfinite(x[:2]).all() and np.isnan(x[3:]).all() and np.isnan(y[3:]).all()
    assert (x[:2] <= fold([-0.3])).all()
    assert np.allclose(distort(x[:2], y[:2], coefficients, fisheye=False)[0], bent[:2], atol=1e-14)


def test_no_ray_at_right_angles_to_a_fisheye():
    x, _ = straighten(np.array([1.5, 1.58, 3.0]), np.zeros(3), np.zeros(4), fisheye=True)
    assert x[0] == pytest.approx(np.tan(1.5)) and np.isnan(x[1:]).all()


def test_centre_pixel_is_the_axis(mixed_rig):
    plain = np.array([640.0, 500.0])
    assert np.array_equal(
        undistort(plain, replace(mixed_rig.cameras[0], distortions=np.array([-0.3, 0, 0, 0, 0]))), [0, 0]
    )
    fisheye = mixed_rig.cameras[1]
    assert np.array_equal(undistort(fisheye.matrix[:2, 2], fisheye), [0, 0])


def test_a_pixel_gives_the_same_bytes_alone_and_in_company(rig, points):
    for camera in rig.cameras:
        pixels = project(points, camera)
        ray = undistort(pixels, camera)
        for index in [(0, 0), (17, 3), (39, 6)]:
            assert np.array_equal(project(points[index], camera), pixels[index])
            assert np.array_equal(undistort(pixels[index], camera), ray[index])


def test_cameras_are_found_by_name(mixed_rig):
    assert mixed_rig.subset(["cam2", "cam0"]).names == ("cam2", "cam0")
    assert mixed_rig.subset(["cam2", "cam0"]).cameras[0] is mixed_rig.camera("cam2")
    with pytest.raises(DataError, match="camera left, right; it has cam0, cam1, cam2, cam3"):
        mixed_rig.subset(["cam1", "left", "right"])
    with pytest.raises(DataError, match="more than once: cam1"):
        Rig((mixed_rig.cameras[1], mixed_rig.cameras[1]))


def test_metadata_is_not_shared_between_rigs(mixed_rig):
    other = Rig(mixed_rig.cameras)
    assert other.metadata == {} and other.metadata is not Rig(mixed_rig.cameras).metadata


def test_cameras_are_copies_and_pickle(mixed_rig):
    matrix = np.array(mixed_rig.cameras[0].matrix)
    camera = replace(mixed_rig.cameras[0], matrix=matrix)
    matrix[0, 0] = 1
    assert camera.matrix[0, 0] == 800
    with pytest.raises(ValueError, match="read-only"):
        camera.matrix[0, 0] = 1
    copy = pickle.loads(pickle.dumps(mixed_rig))
    assert copy.names == mixed_rig.names
    assert np.array_equal(project([1.0, 2, 3], copy.cameras[1]), project([1.0, 2, 3], mixed_rig.cameras[1]))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"matrix": np.eye(4)}, "matrix has shape"),
        ({"matrix": np.array([[800.0, 3, 640], [0, 800, 500], [0, 0, 1]])}, "no skew"),
        ({"matrix": np.array([[0.0, 0, 640], [0, 800, 500], [0, 0, 1]])}, "must be positive"),
        ({"distortions": np.zeros(8)}, r"distortions has shape \(8,\), expected \(5,\) or \(4,\)"),
        ({"distortions": np.zeros(5), "fisheye": True}, r"expected \(4,\)"),
        ({"rotation": np.array([0, np.nan, 0])}, "not finite"),
        ({"translation": np.zeros(2)}, "translation has shape"),
    ],
)
def test_impossible_cameras_are_refused(mixed_rig, change, message):
    with pytest.raises(DataError, match=message) as caught:
        replace(mixed_rig.cameras[0], **change)
    assert "cam0" in str(caught.value)


def test_four_coefficients_are_opencvs(mixed_rig, points):
    short = replace(mixed_rig.cameras[0], distortions=np.array([-0.2, 0.05, 1e-3, 2e-3]))
    assert np.array_equal(short.distortions, [-0.2, 0.05, 1e-3, 2e-3, 0])
    assert np.allclose(project(points, short), with_opencv(points, short))


def _differences(function, count, step=1e-6):
    """Central differences of a function of a (count,) perturbation, along a new first axis."""
    return np.stack([(function(step * way) - function(-step * way)) / (2 * step) for way in np.eye(count)])


@pytest.mark.parametrize(
    ("fisheye", "bends"),
    [(False, [-0.2, 0.05, 0.001, -0.002, 0.01]), (True, [0.05, -0.01, 0.002, -0.001]), (False, [0.0] * 5)],
)
def test_jacobians_agree_with_differences(fisheye, bends):
    camera = Camera(
        "a",
        (640, 480),
        np.array([[500, 0, 320], [0, 510, 240], [0, 0, 1.0]]),
        np.array(bends),
        np.array([0.1, 0.2, -0.3]),
        np.array([1, 2, 50.0]),
        fisheye,
    )
    points = np.random.default_rng(0).normal(scale=12, size=(30, 3))
    points[0] = camera.centre + 40 * camera.rotation_matrix[2]  # on the axis
    pixels, by_point, by_pose, by_lens = project_with_jacobians(points, camera)
    assert np.array_equal(pixels, project(points, camera))

    def moved(change):
        turned = Rotation.from_rotvec(change[:3]) * Rotation.from_matrix(camera.rotation_matrix)
        place = camera.translation + change[3:]
        return project(points, replace(camera, rotation=turned.as_rotvec(), translation=place))

    def bent(change):
        more = np.array([[change[0], 0, change[2]], [0, change[1], change[3]], [0, 0, 0]])
        matrix = camera.matrix + more
        return project(points, replace(camera, matrix=matrix, distortions=camera.distortions + change[4:]))

    for slopes, function in (
        (by_point, lambda change: project(points + change, camera)),
        (by_pose, moved),
        (by_lens, bent),
    ):
        expected = _differences(function, slopes.shape[1]).transpose(2, 0, 1)
        np.testing.assert_allclose(slopes, expected, rtol=1e-6, atol=2e-6)
    again, alone = project_with_slopes(points, camera)
    assert np.array_equal(again, pixels) and np.array_equal(alone, by_point)


@pytest.mark.parametrize("fisheye", [False, True])
def test_rays_within_reach_are_those_that_lead_back(fisheye: bool) -> None:
    angles = np.radians(np.linspace(1, 80, 80))
    lens = np.array([-0.2, -0.05, 0, 0]) if fisheye else np.array([-0.35, 0, 0, 0, 0.0])
    x, y = np.tan(angles), np.zeros_like(angles)
    there = within_reach(x, y, lens, fisheye=fisheye)
    assert 20 < there.sum() < 79 and np.diff(there.astype(int)).max() <= 0  # up to the fold, no further
    back_x, _ = straighten(*distort(x, y, lens, fisheye=fisheye), lens, fisheye=fisheye)
    assert np.allclose(back_x[there], x[there], rtol=1e-6)
    assert not np.isclose(back_x[~there], x[~there], rtol=1e-3).any()
    assert not within_reach(np.array([np.nan]), np.zeros(1), lens, fisheye=fisheye).any()
