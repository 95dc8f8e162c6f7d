from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from synthetic_board import BOARD, NAMES, SIZE, detect, keep, make_rig, pair
from synthetic_solution import solution_of

from anipipe.numerics.calibration.alarms import (
    Alarm,
    as_values,
    is_critical,
    named,
    rayless_share,
    rig_alarms,
)
from anipipe.numerics.calibration.coverage import depth_ratio, grade, image_coverage
from anipipe.numerics.calibration.pose_alarms import POINTS, Trial, gather, pose_alarms, pose_errors
from anipipe.numerics.calibration.solution_alarms import solution_alarms
from anipipe.numerics.cameras import Camera, Rig, project


def changed(rig: Rig, index: int, **values: object) -> Rig:
    cameras = list(rig.cameras)
    cameras[index] = replace(cameras[index], **values)
    return Rig(tuple(cameras), rig.metadata)


def turned_away(rig: Rig) -> Rig:
    """The second camera looks the other way, so that all lies behind it."""
    camera, turn = rig.cameras[1], np.diag([-1.0, 1.0, -1.0])
    rotation = Rotation.from_matrix(turn @ camera.rotation_matrix).as_rotvec()
    return changed(rig, 1, rotation=rotation, translation=turn @ camera.translation)


def lens(camera: Camera, focal: float = 1.0, centre: tuple[float, float] | None = None) -> np.ndarray:
    matrix = camera.matrix.copy()
    matrix[[0, 1], [0, 1]] *= focal
    matrix[:2, 2] = matrix[:2, 2] if centre is None else centre
    return matrix


def only(alarms: list[Alarm], part: str) -> Alarm:
    (found,) = [alarm for alarm in alarms if part in alarm.text]
    assert found.remedy.endswith(".")
    return found


@pytest.fixture
def rig() -> Rig:
    return make_rig(names=("a", "b", "c", "d"))


@pytest.mark.parametrize("kind", ["brown", "fisheye"])
def test_a_good_rig_raises_no_alarm(kind):
    assert rig_alarms(make_rig(kind)) == []


def test_a_copied_camera(rig):
    alarm = only(rig_alarms(Rig((*rig.cameras, replace(rig.cameras[1], name="copy")))), "copy of the other")
    assert alarm.level == "critical" and alarm.cameras == ("b", "copy")


def test_two_cameras_in_one_place(rig):
    place = rig.cameras[1]
    twin = replace(rig.cameras[2], rotation=place.rotation, translation=place.translation)
    alarm = only(rig_alarms(Rig((*rig.cameras[:2], twin, rig.cameras[3]))), "one and the same place")
    assert alarm.level == "critical" and alarm.cameras == ("b", "c")
    assert only(rig_alarms(Rig((place, replace(place, name="z")))), "copy").cameras == ("b", "z")


def test_cameras_inside_each_other(rig):
    near = replace(
        rig.cameras[0], name="near", translation=rig.cameras[0].translation + np.array([1.0, 0, 0])
    )
    alarm = only(rig_alarms(Rig((*rig.cameras, near))), "inside each other")
    assert alarm.level == "critical" and alarm.cameras == ("a", "near")
    apart = replace(near, translation=near.translation + np.array([20.0, 0, 0]))
    assert rig_alarms(Rig((*rig.cameras, apart))) == []


def test_one_camera_or_none(rig):
    assert only(rig_alarms(Rig(rig.cameras[:1])), "only one camera").level == "critical"
    assert only(rig_alarms(Rig(())), "no camera").level == "critical"


def test_focal_lengths(rig):
    wide = changed(rig, 0, matrix=lens(rig.cameras[0], 0.3), distortions=np.zeros(5))
    assert only(rig_alarms(wide), "wide").cameras == ("a",)
    narrow = changed(rig, 0, matrix=lens(rig.cameras[0], 10))
    alarm = only(rig_alarms(narrow), "narrow")
    assert alarm.level == "warning" and "telecentric" in alarm.remedy
    assert rig_alarms(changed(narrow, 0, size=None)) == []


def test_the_axis_outside_the_picture(rig):
    moved = changed(rig, 3, matrix=lens(rig.cameras[3], centre=(-30.0, 500.0)), distortions=np.zeros(5))
    assert only(rig_alarms(moved), "optical axis").cameras == ("d",)


def test_a_lens_that_ends_within_the_picture(rig):
    folded = changed(rig, 2, distortions=np.array([-0.5, 0, 0, 0, 0]))
    alarm = only(rig_alarms(folded), "leads nowhere")
    assert alarm.level == "warning" and alarm.cameras == ("c",)
    # r (1 - r^2 / 2) stops growing at r = sqrt(2 / 3), where it is 2 / 3 of that
    reach = (2 / 3) ** 1.5 * folded.cameras[2].matrix[0, 0]
    y, x = np.mgrid[: SIZE[1], : SIZE[0]]
    truth = (np.hypot(x - 639.5, y - 511.5) > reach).mean()
    assert rayless_share(folded.cameras[2], SIZE) == pytest.approx(truth, abs=0.03)


def test_alarms_as_values_the_worst_first():
    alarms = [Alarm(level, ("x",), level, "do") for level in ("note", "critical", "warning")]
    assert [alarm["text"] for alarm in as_values(alarms)] == ["critical", "warning", "note"]
    assert as_values(alarms)[0] == {
        "level": "critical",
        "cameras": ["x"],
        "text": "critical",
        "remedy": "do",
    }
    assert is_critical(alarms) and not is_critical(alarms[:1])
    assert [named(names) for names in (["a"], ["a", "b"], ["a", "b", "c"])] == ["a", "a and b", "a, b and c"]


def test_coverage():
    cells = np.stack(np.meshgrid(np.arange(5) * 20 + 9.5, np.arange(5) * 10 + 4.5), axis=-1)
    assert image_coverage(cells, (100, 50)) == {"image": 1, "edges": 1, "corners": 1}
    assert image_coverage(cells[1:4, 1:4], (100, 50)) == {"image": 9 / 25, "edges": 0, "corners": 0}
    assert image_coverage(cells[:1], (100, 50)) == {"image": 0.2, "edges": 0.25, "corners": 0.5}
    assert image_coverage(np.full((3, 2), np.nan), (100, 50))["image"] == 0
    assert [grade(count) for count in (0, 1, 49, 50, 199, 200)] == [
        *("none", "insufficient", "insufficient", "marginal", "marginal", "good"),
    ]
    assert depth_ratio(np.array([np.nan, 2.0, 5.0, -1.0])) == 2.5
    assert depth_ratio(np.array([np.nan])) is None


# -- with a board


@pytest.fixture(scope="module")
def board_rig() -> Rig:
    return make_rig()


def alarms_of(rig: Rig, found, *, seen_with: Rig | None = None, board=BOARD, **changes) -> list[Alarm]:
    views = pair(found)
    return solution_alarms(views, replace(solution_of(views, seen_with or rig), **changes), board)


def texts(alarms: list[Alarm], level: str) -> list[str]:
    return [alarm.text for alarm in alarms if alarm.level == level]


def test_a_good_recording_has_notes_at_most(board_rig):
    exact = {name: {"focal_length": 0.1} for name in NAMES}
    alarms = alarms_of(board_rig, detect(board_rig, 40), deviations=exact)
    assert texts(alarms, "critical") == [] and texts(alarms, "warning") == []


def test_links(board_rig):
    found = detect(board_rig, 40)
    few = found | {"cam10": keep(found["cam10"], found["cam10"].numbers == 1)}
    assert only(alarms_of(board_rig, few), "place is a guess").cameras == ("cam10",)
    assert only(alarms_of(board_rig, few), "place is a guess").level == "critical"
    some = found | {"cam10": keep(found["cam10"], found["cam10"].numbers < 4)}
    assert only(alarms_of(board_rig, some), "200 or more").level == "warning"
    # three frames that only cam1 has too
    part = {name: keep(each, each.numbers >= 4) for name, each in found.items()}
    leaf = part | {
        "cam1": found["cam1"],
        "cam10": keep(found["cam10"], found["cam10"].numbers < 3),
    }
    assert only(alarms_of(board_rig, leaf), "nothing checks").cameras == ("cam10",)
    alone = part | {"cam10": keep(found["cam10"], found["cam10"].numbers < 4)}
    assert "cam10" in only(alarms_of(board_rig, alone), "never saw").text


def test_a_flat_recording(board_rig):
    found = detect(board_rig, 30)
    vague = {name: {"focal_length": 10.0} for name in NAMES}
    alarms = alarms_of(board_rig, found, deviations=vague)
    alarm = only([a for a in alarms if "cam1" in a.cameras], "as far away")
    assert alarm.level == "warning"
    told = {name: {"focal_length": 0.5} for name in NAMES}
    flat = [a for a in alarms_of(board_rig, found, deviations=told) if "as far away" in a.text]
    assert flat and all(a.level == "note" for a in flat)
    fixed = {name: {"rotation_x": 0.1} for name in NAMES}
    assert not any("as far away" in a.text for a in alarms_of(board_rig, found, deviations=fixed))


def test_a_focal_length_that_is_a_guess(board_rig):
    views = pair(detect(board_rig, 20))
    solution = replace(solution_of(views, board_rig), guessed=("cam2",), deviations={"cam2": {"k1": 0.1}})
    alarm = only(solution_alarms(views, solution, BOARD), "nothing tells the focal length")
    assert alarm.level == "warning" and alarm.cameras == ("cam2",) and "890 px" in alarm.text


def test_boards_behind_a_camera(board_rig):
    turned = turned_away(board_rig)
    views = pair(detect(board_rig, 20))
    solution = solution_of(views, board_rig)
    alarm = only(solution_alarms(views, replace(solution, rig=turned), BOARD), "behind")
    assert alarm.level == "critical" and alarm.cameras == ("cam2",)


def test_lengths_of_another_board(board_rig):
    found = detect(board_rig, 30)
    long = only(alarms_of(board_rig, found, board=BOARD * 0.97), "too long")
    assert long.level == "warning" and "3.1%" in long.text
    longer = only(alarms_of(board_rig, found, board=BOARD * 0.9), "too long")
    assert longer.level == "critical"
    short = only(alarms_of(board_rig, found, board=BOARD * 1.005), "too short")
    assert short.level == "warning"


def test_rough_lengths(board_rig):
    found = detect(board_rig, 30, noise=3.0)
    assert only(alarms_of(board_rig, found), "root mean square").level == "warning"


def test_large_errors_of_a_camera(board_rig):
    found = detect(board_rig, 30)
    views = pair(found)
    solution = solution_of(views, board_rig)
    for off, level in ((0.5, None), (2.0, "warning"), (12.0, "critical")):
        residuals = solution.residuals.copy()
        residuals[2] += off
        alarms = solution_alarms(views, replace(solution, residuals=residuals), BOARD)
        assert [a.level for a in alarms if "(median) from" in a.text] == ([level] if level else [])
        assert all(a.cameras == ("cam9",) for a in alarms if "(median) from" in a.text)


def test_a_lens_that_does_not_reach_the_border(board_rig):
    views = pair(detect(board_rig, 60))
    pixels = views.pixels.copy()
    pixels[1] = (pixels[1] - [639.5, 511.5]) * 2.6 + [639.5, 511.5]  # so that corners come to the border
    views = replace(views, pixels=pixels)
    solution = solution_of(views, board_rig)
    residuals = np.where(views.seen[..., None], [0.2, 0.2], np.nan)
    radius = np.linalg.norm(pixels - [639.5, 511.5], axis=-1) / np.hypot(639.5, 511.5)
    residuals[1][radius[1] > 0.8] = 3.0
    alarms = solution_alarms(views, replace(solution, residuals=residuals), BOARD)
    assert only(alarms, "does not reach the border").cameras == ("cam2",)


def test_a_few_corners_far_off_are_the_lens_at_the_border_and_chance_elsewhere(board_rig):
    views = pair(detect(board_rig, 30))
    solution = solution_of(views, board_rig)
    radius = np.linalg.norm(views.pixels[2] - [639.5, 511.5], axis=-1)
    outermost = np.argwhere(radius >= np.sort(radius[np.isfinite(radius)])[-8])
    anywhere = np.argwhere(np.isfinite(radius))[:: radius.size // 8]
    for places, told in ((outermost, 1), (anywhere, 0)):
        residuals = np.where(views.seen[..., None], [0.2, 0.2], np.nan)
        residuals[2][tuple(places.T)] = 20.0
        alarms = solution_alarms(views, replace(solution, residuals=residuals), BOARD)
        found = [alarm for alarm in alarms if "does not reach the border" in alarm.text]
        assert len(found) == told
        assert not told or (found[0].cameras == ("cam9",) and "off by up to 28 px" in found[0].text)


def test_what_the_board_did_not_come_to(board_rig):
    alarm = only(alarms_of(board_rig, detect(board_rig, 8)), "not seen everywhere")
    assert alarm.level == "note" and set(alarm.cameras) == set(NAMES)
    assert "picture's corners" in alarm.text


# -- with an animal


def animal(rig: Rig, points: int = 400, noise: float = 2.0, seed: int = 0) -> Trial:
    rng = np.random.default_rng(seed)
    world = rng.uniform(-80, 80, (points, 3))
    pixels = np.stack([project(world, camera) for camera in rig.cameras])
    return Trial(rig.names, pixels + rng.normal(scale=noise, size=pixels.shape))


def test_poses_that_agree(board_rig):
    trial = animal(board_rig)
    assert pose_alarms(board_rig, [trial]) == []
    errors = pose_errors(board_rig, gather(board_rig, [trial]))
    assert all(1 < error < 4 for error in errors)


def test_a_camera_that_was_moved_is_named(board_rig):
    moved = changed(board_rig, 2, translation=board_rig.cameras[2].translation + np.array([90.0, 0, 0]))
    (alarm,) = pose_alarms(moved, [animal(board_rig)])
    assert alarm.level == "critical" and alarm.cameras == ("cam9",) and "contradicts all others" in alarm.text


def test_two_cameras_that_contradict_each_other(board_rig):
    two = Rig(board_rig.cameras[:2])
    moved = changed(two, 1, translation=two.cameras[1].translation + np.array([0, 90.0, 0]))
    alarm = only(pose_alarms(moved, [animal(two)]), "contradict each other")
    assert alarm.level == "critical" and alarm.cameras == ("cam1", "cam2")
    without_size = Rig(tuple(replace(camera, size=None) for camera in moved.cameras))
    assert only(pose_alarms(without_size, [animal(two)]), "contradict each other").level == "critical"


@pytest.mark.parametrize(("count", "pair"), [(3, (0, 1)), (3, (1, 2)), (4, (0, 1)), (4, (0, 3)), (4, (2, 3))])
def test_two_cameras_that_are_confused_are_all_that_is_told(board_rig, count, pair):
    rig = Rig(board_rig.cameras[:count])
    trial, names = animal(rig), list(rig.names)
    names[pair[0]], names[pair[1]] = names[pair[1]], names[pair[0]]
    (alarm,) = pose_alarms(rig, [Trial(tuple(names), trial.pixels)])
    assert alarm.level == "critical" and alarm.cameras == tuple(rig.names[index] for index in pair)
    assert "confused with each other" in alarm.text and "of the animal meets within" in alarm.text


def test_confused_and_wrong_besides_is_not_called_confused(board_rig):
    trial = animal(board_rig)
    swapped = Trial((*trial.cameras[1::-1], *trial.cameras[2:]), trial.pixels)
    far = board_rig.cameras[2].translation + np.array([90.0, 0, 0])
    alarms = pose_alarms(changed(board_rig, 2, translation=far), [swapped])
    assert alarms and not any("confused with each other" in alarm.text for alarm in alarms)


def test_rough_poses(board_rig):
    two = Rig(board_rig.cameras[:2])
    moved = changed(two, 1, translation=two.cameras[1].translation + np.array([0, 30.0, 0]))
    alarms = pose_alarms(moved, [animal(two)])
    assert alarms and all(alarm.level == "warning" and "3D points" in alarm.text for alarm in alarms)


def test_points_behind_cameras(board_rig):
    (alarm,) = pose_alarms(turned_away(board_rig), [animal(turned_away(board_rig))])
    assert alarm.level == "critical" and alarm.cameras == ("cam2",) and "behind" in alarm.text


def test_poses_of_other_cameras_and_too_few(board_rig):
    trial = animal(board_rig)
    stranger = Trial(("cam1", "other"), trial.pixels[:2])
    (alarm,) = pose_alarms(board_rig, [stranger])
    assert alarm.level == "warning" and alarm.cameras == ("other",)
    assert pose_alarms(board_rig, []) == []
    assert pose_errors(board_rig, gather(board_rig, [])) == [None] * 4
    assert gather(board_rig, [animal(board_rig, 4000, seed=seed) for seed in range(2)]).shape == (
        4,
        POINTS,
        2,
    )


def test_cameras_of_trials_are_matched_by_name(board_rig):
    trial = animal(board_rig)
    mixed = Trial(trial.cameras[::-1], trial.pixels[::-1])
    assert np.array_equal(gather(board_rig, [mixed]), gather(board_rig, [trial]))
