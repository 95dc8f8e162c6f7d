"""Bundle adjustment, where a calibration starts from, what it fixes, and how exact it says it is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from synthetic_board import BOARD, NAMES, SIZE, board_in_space, detect, make_rig, moved, pair

from anipipe.errors import DataError
from anipipe.numerics.calibration import solver
from anipipe.numerics.calibration.animal import pooled
from anipipe.numerics.calibration.bodies import Bodies, Freedom, State, sights_of
from anipipe.numerics.calibration.bundle import adjust, total_cost
from anipipe.numerics.calibration.placing import board_residuals, place_boards
from anipipe.numerics.calibration.selection import at_instants, chosen_instants
from anipipe.numerics.calibration.solver import calibrate, solve
from anipipe.numerics.calibration.start import Start, Wish, start
from anipipe.numerics.calibration.views import BoardViews, usable
from anipipe.numerics.calibration.world import World
from anipipe.numerics.cameras import Camera, Rig, project

GROSS = 60.0  # px


def noisy(rig: Rig, frames: int = 24, *, seed: int = 0, noise: float = 0.3, gross: float = 0.05):
    """Views with noise, and which corners are far off."""
    views = pair(detect(rig, frames, noise=noise, seed=seed))
    rng = np.random.default_rng(seed + 5000)
    wrong = views.seen & (rng.random(views.seen.shape) < gross)
    pixels = views.pixels.copy()
    pixels[wrong] += rng.uniform(-GROSS, GROSS, (int(wrong.sum()), 2))
    return replace(views, pixels=pixels), wrong


def small_problem() -> tuple[State, list, list[Freedom], Rig]:
    """Two cameras, three boards, a few points of an animal; 9 + 18 + 12 unknowns."""
    rig = make_rig(names=NAMES[:2])
    views, _ = noisy(rig, 3)
    rng = np.random.default_rng(1)
    boards = board_in_space(3)
    turns = np.stack([_turn_of(board) for board in boards])
    points = rng.uniform(-60, 60, (4, 3))
    seen = np.stack([project(points, camera) for camera in rig.cameras]) + rng.normal(0, 2, (2, 4, 2))
    sights = [
        [sights_of(view, BOARD) for view in views.pixels],
        [sights_of(view[:, None], np.zeros((1, 3)), 0.2) for view in seen],
    ]
    state = State(
        tuple(replace(camera, translation=camera.translation + 3.0) for camera in rig.cameras),
        (Bodies(boards[:, 0] + 2.0, turns), Bodies(points + 5.0)),
    )
    freedoms = [Freedom(placed=False, bends=(0,)), Freedom(bends=(0, 1))]
    return state, sights, freedoms, rig


def _turn_of(corners: np.ndarray) -> np.ndarray:
    x, y = corners[1] - corners[0], corners[7] - corners[0]
    x, y = x / np.linalg.norm(x), y / np.linalg.norm(y)
    return np.column_stack([x, y, np.cross(x, y)])


def changed(state: State, values: np.ndarray) -> State:
    """A state after (41,) changes: of the free parameters of both cameras, the boards and the points."""
    one, two = state.cameras
    first = replace(
        one,
        matrix=one.matrix + np.diag([values[0], values[0], 0]),
        distortions=one.distortions + np.array([values[1], 0, 0, 0, 0]),
    )
    turn = Rotation.from_rotvec(values[2:5]) * Rotation.from_matrix(two.rotation_matrix)
    second = replace(
        two,
        rotation=turn.as_rotvec(),
        translation=two.translation + values[5:8],
        matrix=two.matrix + np.diag([values[8], values[8], 0]),
        distortions=two.distortions + np.array([*values[9:11], 0, 0, 0]),
    )
    boards = state.kinds[0].moved(values[11:29].reshape(3, 6))
    return State((first, second), (boards, state.kinds[1].moved(values[29:].reshape(4, 3))))


def soft_l1(state: State, sights: list) -> float:
    """The cost, written down once more."""
    total = 0.0
    for kind, by_camera in zip(state.kinds, sights, strict=True):
        for camera, seen in zip(state.cameras, by_camera, strict=True):
            for body, mark, pixel in zip(seen.bodies, seen.marks, seen.pixels, strict=True):
                turn = np.eye(3) if kind.turns is None else kind.turns[body]
                off = np.linalg.norm(project(turn @ mark + kind.places[body], camera) - pixel) * seen.share
                total += np.sqrt(1 + off**2) - 1
    return total


def test_the_adjustment_ends_in_the_minimum():
    state, sights, freedoms, _ = small_problem()
    found = adjust(state, sights, freedoms, scale=1.0)
    assert found.cost == pytest.approx(soft_l1(found.state, sights), rel=1e-9)
    assert found.cost < 0.2 * soft_l1(state, sights)
    scales = np.array(
        [1, 1e-3, *[1e-3] * 3, *[1.0] * 3, 1, 1e-3, 1e-3, *([1e-3] * 3 + [1.0] * 3) * 3, *[1.0] * 12]
    )
    for index, scale in enumerate(scales):
        step = np.zeros(41)
        step[index] = 1e-4 * scale
        up, down = (total_cost(changed(found.state, way * step), sights, 1.0) for way in (1, -1))
        curvature = (up + down - 2 * found.cost) / 1e-8
        assert curvature > 0, index
        # a Newton step from here would gain nothing that shows
        assert ((up - down) / 2e-4) ** 2 / (2 * curvature) < 1e-7 * found.cost, index


def test_exact_corners_are_fitted_exactly():
    truth = make_rig()
    found = calibrate(pair(detect(truth, 12, noise=0.0)), BOARD)
    assert np.nanmax(found.distances) < 1e-6
    for camera, expected in zip(found.rig.cameras, moved(truth).cameras, strict=True):
        np.testing.assert_allclose(camera.centre, expected.centre, atol=1e-5)
        np.testing.assert_allclose(camera.matrix, expected.matrix, atol=1e-5)


@pytest.mark.parametrize(("kind", "cameras"), [("brown", 2), ("brown", 5), ("fisheye", 3), ("brown", 12)])
def test_outliers_leave_the_error_at_the_noise(kind, cameras):
    truth = make_rig(kind, tuple(f"c{index}" for index in range(cameras)), span=min(90, 30 * cameras))
    views, wrong = noisy(truth, 24 if cameras < 5 else 9, seed=cameras)
    found = calibrate(views, BOARD, wish=Wish(fisheye=kind == "fisheye"))
    right = np.isfinite(found.distances) & ~wrong
    free = 6 * found.boards.shape[0] + 9 * cameras
    sigma = np.sqrt((found.distances[right] ** 2).sum() / (2 * right.sum() - free))
    assert sigma == pytest.approx(0.3, rel=0.05)
    assert (found.kept & wrong).sum() <= 0.02 * wrong.sum()
    assert found.kept.sum() > 0.95 * right.sum()


def test_standard_deviations_are_true():
    truth = make_rig(names=NAMES[:3])
    expected = moved(truth).cameras
    off, focal = [], []
    for seed in range(5):
        found = calibrate(noisy(truth, 9, seed=seed)[0], BOARD)
        for camera, right in zip(found.rig.cameras, expected, strict=True):
            told = found.deviations[camera.name]
            focal.append((camera.matrix[0, 0] - right.matrix[0, 0]) / told["focal_length"])
            if "centre_x" in told:
                off += list((camera.centre - right.centre) / [told[f"centre_{axis}"] for axis in "xyz"])
    assert "centre_x" not in found.deviations["cam1"]  # the world
    assert np.mean(np.abs(off) < 3) >= 0.95
    assert 0.6 < np.sqrt(np.mean(np.square(off))) < 1.3 and 0.6 < np.sqrt(np.mean(np.square(focal))) < 1.3


def perturbed(begun: Start, seed: int) -> Start:
    """Focal lengths 10 % off, cameras turned by 5 degrees and shifted by a tenth of their distance."""
    rng = np.random.default_rng(seed)
    cameras = []
    for camera in begun.cameras:
        growth = 1 + 0.1 * rng.choice([-1, 1])
        axis, way = rng.normal(size=(2, 3))
        turn = Rotation.from_rotvec(np.radians(5) * axis / np.linalg.norm(axis))
        cameras.append(
            replace(
                camera,
                matrix=camera.matrix * [[growth, 1, 1], [1, growth, 1], [1, 1, 1]],
                rotation=(turn * Rotation.from_matrix(camera.rotation_matrix)).as_rotvec(),
                translation=camera.translation + 60 * way / np.linalg.norm(way),
            )
        )
    return replace(begun, cameras=tuple(cameras))


def apart(rig: Rig) -> np.ndarray:
    centres = np.array([camera.centre for camera in rig.cameras])
    return np.linalg.norm(centres[:, None] - centres, axis=-1)[np.triu_indices(len(centres), 1)]


def begin(views: BoardViews, wish: Wish) -> tuple[Start, np.ndarray]:
    chosen = chosen_instants(views, usable(views, BOARD))
    return start(at_instants(views, chosen), BOARD, None, wish), chosen


def test_all_starts_end_alike():
    views, _ = noisy(make_rig())
    begun, chosen = begin(views, Wish())
    wanted = solve(views, BOARD, begun, chosen, wish=Wish())
    for seed in range(4):
        found = solve(views, BOARD, perturbed(begun, seed), chosen, wish=Wish())
        assert np.nanmean(found.distances) == pytest.approx(np.nanmean(wanted.distances), rel=1e-6)
        np.testing.assert_allclose(apart(found.rig), apart(wanted.rig), rtol=1e-6)


def bits(solution) -> bytes:
    parts = ("matrix", "distortions", "rotation", "translation")
    cameras = b"".join(getattr(c, part).tobytes() for c in solution.rig.cameras for part in parts)
    return cameras + solution.residuals.tobytes() + solution.kept.tobytes()


def test_the_order_of_recordings_changes_no_bit():
    found = [detect(make_rig(), 8, trial=trial, seed=seed) for seed, trial in enumerate(("a", "b"))]
    backwards = [dict(reversed(part.items())) for part in reversed(found)]
    assert bits(calibrate(pair(*found), BOARD)) == bits(calibrate(pair(*backwards), BOARD))


def flat_camera(focal: float = 900.0) -> Rig:
    """Two cameras that see the board head-on from far away: nothing tells depth from focal length."""
    cameras = []
    for index in range(2):
        matrix = np.array([[focal, 0, 639.5], [0, focal, 511.5], [0, 0, 1]])
        place = np.array([-20.0 * index, 0, 900.0])
        cameras.append(Camera(f"c{index}", SIZE, matrix, np.zeros(5), np.zeros(3), place))
    return Rig(tuple(cameras))


def test_terms_that_are_not_determined_are_fixed_and_told():
    rig = flat_camera()
    rng = np.random.default_rng(0)
    boards = BOARD + np.array([[[x, y, 0]] for x, y in rng.uniform(-90, 10, (8, 2))])
    pixels = np.stack([project(boards, camera) for camera in rig.cameras])
    pixels += rng.normal(scale=0.3, size=pixels.shape)
    views = replace(pair(detect(make_rig(names=("c0", "c1")), 8, missing=0)), pixels=pixels)
    found = calibrate(views, BOARD)
    assert any(
        "camera c0: the recordings do not determine the focal length" in text for text in found.remarks
    )
    assert "focal_length" not in found.deviations["c0"]
    assert found.rig.cameras[0].matrix[0, 0] == 1280.0  # what is held is not what noise made of it
    for camera in found.rig.cameras:  # no coefficient says anything of where no board was seen
        away = np.linalg.norm(pixels - [639.5, 511.5], axis=-1)
        outermost = np.quantile(away, 0.99) / camera.matrix[0, 0]
        shifts = np.abs(camera.distortions[:2]) * camera.matrix[0, 0] * outermost ** np.array([3, 5])
        assert shifts.max() < 2


def test_the_board_as_the_world():
    truth = make_rig()
    views = pair(detect(truth, 10, noise=0.0))
    number = views.instants[3][1]
    found = calibrate(views, BOARD, wish=Wish(world=World("board", number)))
    there = int([instant[1] for instant in views.instants].index(number))
    board = found.boards[there]
    np.testing.assert_allclose(board[:3, 3], 0, atol=1e-8)
    np.testing.assert_allclose(board[:3, 0], [1, 0, 0], atol=1e-8)
    assert np.linalg.det(board[:3, :3]) == pytest.approx(1)
    assert abs(board[2, 2]) == pytest.approx(1)
    assert all(camera.centre[2] > 0 for camera in found.rig.cameras)
    np.testing.assert_allclose(apart(found.rig), apart(truth), rtol=1e-6)
    assert np.nanmax(found.distances) < 1e-6
    first = calibrate(views, BOARD, wish=Wish(world=World()))
    np.testing.assert_allclose(first.boards[0][:3, 3], 0, atol=1e-8)
    with pytest.raises(
        DataError, match=r"frame 999 of the recording 'board' \(it was in 'board' in frames 0 to 9\)"
    ):
        calibrate(views, BOARD, wish=Wish(world=World("board", 999)))


def test_at_most_so_many_instants_are_solved_and_all_are_placed(monkeypatch):
    truth = make_rig(names=NAMES[:3])
    views, _ = noisy(truth, 60, gross=0.0)
    monkeypatch.setattr(solver, "chosen_instants", lambda v, a: chosen_instants(v, a, most=15))
    found = calibrate(views, BOARD)
    assert found.kept.any(axis=(0, 2)).sum() == 15
    assert np.array_equal(np.isfinite(found.distances), views.seen)
    assert np.nanmedian(found.distances) < 0.5


def test_instants_are_chosen_for_what_they_add():
    views, _ = noisy(make_rig(names=NAMES[:2]), 12, gross=0.0)
    dull = [0] * 40  # a board that lay still for most of the recording
    views = replace(
        views,
        instants=tuple(("board", index) for index in range(52)),
        pixels=views.pixels[:, [*dull, *range(12)]],
    )
    chosen = chosen_instants(views, usable(views, BOARD), most=14)
    assert set(range(41, 52)) <= set(chosen.tolist()) and len(chosen) == 14
    assert chosen_instants(views, usable(views, BOARD)).tolist() == list(range(52))


def test_boards_are_placed_before_known_cameras():
    truth = make_rig()
    views, wrong = noisy(truth, 6, gross=0.03)
    boards = place_boards(views, truth.cameras, BOARD)
    seen = board_in_space(6)[[number for _, number in views.instants]]
    corners = np.einsum("iab,kb->ika", boards[:, :3, :3], BOARD) + boards[:, None, :3, 3]
    assert np.abs(corners - seen).max() < 1.0
    off = np.linalg.norm(board_residuals(views.pixels, truth.cameras, boards, BOARD), axis=-1)
    assert np.nanmedian(off[~wrong]) < 0.5 and np.median(off[wrong]) > 10


def animal(rig: Rig, count: int, noise: float, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    points = rng.uniform(-150, 150, (count, 3))
    pixels = np.stack([project(points, camera) for camera in rig.cameras])
    return pixels + rng.normal(scale=noise, size=pixels.shape)


def test_an_animal_helps_and_the_board_keeps_the_scale():
    truth = make_rig()
    views, _ = noisy(truth, 5, gross=0.0)
    views = replace(views, pixels=np.where(np.arange(35)[:, None] < 14, views.pixels, np.nan))
    expected = apart(truth)
    alone = calibrate(views, BOARD)
    helped = calibrate(views, BOARD, animal=animal(truth, 1500, 1.0))
    assert helped.rig.metadata["adjusted"] is True and alone.rig.metadata["adjusted"] is False

    def shape(rig: Rig) -> np.ndarray:
        return apart(rig) / apart(rig).mean()

    wanted = expected / expected.mean()
    assert np.abs(shape(helped.rig) - wanted).max() < 0.7 * np.abs(shape(alone.rig) - wanted).max()
    assert apart(helped.rig).mean() == pytest.approx(expected.mean(), rel=0.01)
    shifted = animal(truth, 1500, 1.0)
    shifted[:, ::10] += 200 * np.random.default_rng(3).normal(size=shifted[:, ::10].shape)
    robust = calibrate(views, BOARD, animal=shifted)
    np.testing.assert_allclose(apart(robust.rig), apart(helped.rig), rtol=2e-3)


def test_points_of_an_animal_are_chosen():
    rng = np.random.default_rng(0)
    pixels = rng.uniform(0, 500, (3, 500, 2))
    scores = rng.uniform(0, 1, (3, 500))
    scores[0, :50] = np.nan
    chosen = pooled([(pixels[:, :200], scores[:, :200]), (pixels[:, 200:], scores[:, 200:])], most=40)
    count = np.isfinite(chosen[..., 0]).sum(axis=0)
    assert (count >= 2).all()
    good = scores >= np.clip(np.quantile(scores[np.isfinite(scores)], 0.9), 0.8, 0.95)
    assert chosen.shape[1] == min(40, int((good.sum(axis=0) >= 2).sum()))
    assert pooled([]).shape[1] == 0 and pooled([(pixels, np.full((3, 500), np.nan))]).shape[1] == 0


def test_an_animal_that_contradicts_the_board_is_left_out_and_told():
    """Two cameras alone: an error along their epipolar lines shows nowhere but at the board."""
    truth = make_rig(names=NAMES[:2])
    views, _ = noisy(truth, 20, gross=0.0)
    alone = calibrate(views, BOARD)
    good = animal(truth, 2000, 1.5)
    assert calibrate(views, BOARD, animal=good).rig.metadata["adjusted"] is True
    shifted = good - np.array([[[0.0, 0]], [[60.0, 0]]])
    for wrong in (shifted, good * 0.5, np.full_like(good, np.nan)):
        found = calibrate(views, BOARD, animal=wrong)
        assert found.rig.metadata["adjusted"] is False
        assert any("animal" in text for text in found.remarks)
        np.testing.assert_allclose(apart(found.rig), apart(alone.rig), rtol=1e-9)
    cropped = calibrate(views, BOARD, animal=good - np.array([[[0.0, 0]], [[80.0, 30]]]))
    np.testing.assert_allclose(
        apart(cropped.rig), apart(alone.rig), rtol=3e-3
    )  # it counts for next to nothing


def test_rare_links_survive_the_choice_of_instants():
    views, _ = noisy(make_rig(names=NAMES[:2]), 12, gross=0.0)
    many = 30_000
    pixels = views.pixels[:, np.arange(many) % 12].copy()
    both = np.zeros(many, dtype=bool)
    both[[1003, 9007, 20011]] = True
    pixels[1, ~both & (np.arange(many) % 2 == 0)] = np.nan
    pixels[0, ~both & (np.arange(many) % 2 == 1)] = np.nan
    views = replace(views, instants=tuple(("board", index) for index in range(many)), pixels=pixels)
    chosen = chosen_instants(views, usable(views, BOARD))
    assert len(chosen) == 400 and set(np.flatnonzero(both)) <= set(chosen.tolist())
