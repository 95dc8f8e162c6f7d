"""Where calibrations start from: lenses, poses of the board, places of the cameras."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from synthetic_board import BOARD, NAMES, SIZE, board_in_space, detect, make_rig, moved, pair

from anipipe.errors import DataError
from anipipe.numerics.calibration.lens_start import spread_views, start_lens
from anipipe.numerics.calibration.pose_start import (
    agreed_boards,
    agreed_transform,
    board_poses,
    start_extrinsics,
    to_matrix,
    to_vectors,
)
from anipipe.numerics.cameras import Camera, project


def one_camera(frames: int = 20, **options) -> tuple[Camera, np.ndarray]:
    views = pair(detect(make_rig(), frames, **options))
    return make_rig().cameras[0], views.pixels[0]


def test_the_lens_of_one_camera():
    camera, pixels = one_camera()
    lens = start_lens("cam1", SIZE, pixels, BOARD, distortion="k1k2", fisheye=False)
    assert lens.matrix[0, 0] == pytest.approx(camera.matrix[0, 0], rel=0.02)
    assert lens.distortions[0] == pytest.approx(-0.3, abs=0.05)
    assert not lens.rotation.any() and lens.size == SIZE


def test_a_fisheye_lens_is_found_and_not_only_guessed():
    truth = make_rig("fisheye")
    pixels = pair(detect(truth)).pixels[0]
    lens = start_lens("cam1", SIZE, pixels, BOARD, distortion="k1", fisheye=True)
    assert lens.matrix[0, 0] == pytest.approx(truth.cameras[0].matrix[0, 0], rel=0.03)


def distant(focal: float, away: float) -> Camera:
    matrix = np.array([[focal, 0, 639.5], [0, focal, 511.5], [0, 0, 1]])
    return Camera("a", SIZE, matrix, np.zeros(5), np.zeros(3), np.array([0, 0, away]))


def test_head_on_views_do_not_tell_the_focal_length():
    rng = np.random.default_rng(3)
    boards = BOARD + np.array([[[x, y, 0]] for x, y in rng.uniform(-150, 50, (8, 2))])
    pixels = project(boards, distant(900, 500)) + rng.normal(scale=0.2, size=(8, len(BOARD), 2))
    lens = start_lens("a", SIZE, pixels, BOARD, distortion="k1", fisheye=False)
    assert 0.3 * 1280 <= lens.matrix[0, 0] <= 5 * 1280


def test_a_long_lens_is_believed_where_views_show_it():
    truth = distant(12_000, 4000)
    pixels = project(board_in_space(20), truth)
    lens = start_lens("a", SIZE, pixels, BOARD, distortion="none", fisheye=False)
    assert 8_000 < lens.matrix[0, 0] < 24_000  # what is left is for the solver


def test_spread_views_choose_what_differs():
    _, pixels = one_camera(6, missing=0)
    many = np.concatenate([pixels, np.repeat(pixels[:1], 50, axis=0) + 1e-3])
    assert set(spread_views(many, BOARD, SIZE, 6)) - {0, *range(6, 56)} == {1, 2, 3, 4, 5}
    assert spread_views(pixels, BOARD, SIZE, 99).tolist() == [0, 1, 2, 3, 4, 5]


def test_poses_and_places_without_noise_are_exact():
    truth = make_rig()
    views = pair(detect(truth, 8, noise=0, missing=0.3))
    poses = np.stack(
        [board_poses(image, BOARD, c)[0] for image, c in zip(views.pixels, truth.cameras, strict=True)]
    )
    placed = start_extrinsics(poses, np.ones((4, 4)), NAMES)
    for camera, place in zip(moved(truth).cameras, placed, strict=True):
        assert place == pytest.approx(to_matrix(camera.rotation, camera.translation), abs=1e-3)
    boards = agreed_boards(poses, moved(truth).cameras, views.pixels, BOARD)
    seen = board_in_space(8)[[number for _, number in views.instants]]
    first = truth.cameras[0]
    expected = seen @ first.rotation_matrix.T + first.translation
    found = np.einsum("iab,kb->ika", boards[:, :3, :3], BOARD) + boards[:, None, :3, 3]
    assert found == pytest.approx(expected, abs=1e-2)


def test_a_pose_needs_four_corners():
    truth = make_rig()
    pixels = pair(detect(truth, 2, noise=0, missing=0)).pixels[0]
    pixels[0, 3:] = np.nan
    poses, good = board_poses(pixels, BOARD, truth.cameras[0])
    assert np.isnan(poses[0]).all() and np.isfinite(poses[1]).all()
    assert not good[0].any() and good[1].all()


def test_corners_that_cannot_be_are_left_out_of_a_pose():
    truth = make_rig()
    pixels = pair(detect(truth, 3, missing=0)).pixels[0]
    expected = board_poses(pixels, BOARD, truth.cameras[0])[0]
    pixels[:, [4, 20]] += [[40.0, -25], [-60, 10]]
    poses, good = board_poses(pixels, BOARD, truth.cameras[0])
    assert (~good).nonzero()[1].tolist() == [4, 20] * 3
    assert np.abs(poses - expected).max() < 2


def test_mistaken_corners_do_not_bend_the_lens():
    camera, pixels = one_camera()
    rng = np.random.default_rng(0)
    bad = rng.random(pixels.shape[:2]) < 0.03
    pixels[bad] += rng.normal(scale=40, size=(int(bad.sum()), 2))
    lens = start_lens("cam1", SIZE, pixels, BOARD, distortion="k1", fisheye=False)
    assert lens.matrix[0, 0] == pytest.approx(camera.matrix[0, 0], rel=0.02)


def test_agreement_outvotes_mistaken_poses_also_near_half_a_turn():
    rng = np.random.default_rng(0)
    right = [Rotation.from_rotvec([0, 0, np.pi]) * Rotation.from_rotvec(rng.normal(scale=0.01, size=3))
             for _ in range(9)]  # fmt: skip
    wrong = Rotation.random(5, random_state=1)
    transforms = np.tile(np.eye(4), (14, 1, 1))
    transforms[:, :3, :3] = [turn.as_matrix() for turn in (*right, *wrong)]
    transforms[:9, :3, 3] = [1, 2, 3]
    transforms[9:, :3, 3] = 500
    agreed = agreed_transform(transforms)
    off = Rotation.from_matrix(agreed[:3, :3]) * Rotation.from_rotvec([0, 0, -np.pi])
    assert np.degrees(off.magnitude()) < 1 and agreed[:3, 3].tolist() == [1, 2, 3]
    assert agreed_transform(transforms[:1]) == pytest.approx(transforms[0])


def test_cameras_without_a_common_pose_are_refused():
    poses = np.full((2, 2, 4, 4), np.nan)
    poses[0, 0] = poses[1, 1] = np.eye(4)
    with pytest.raises(DataError, match="no other camera to left: "):
        start_extrinsics(poses, np.ones((2, 2)), ["left", "right"])


@pytest.mark.parametrize("turn", [np.zeros(3), np.array([0, np.pi, 0]), np.array([0.3, -2, 1])])
def test_vectors_and_matrices(turn):
    rotation, translation = to_vectors(to_matrix(turn, [1, 2, 3]))
    assert to_matrix(rotation, translation) == pytest.approx(to_matrix(turn, [1, 2, 3]))
