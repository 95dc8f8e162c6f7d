from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from synthetic_board import BOARD, NAMES, Found, detect, keep, make_rig, pair
from synthetic_solution import solution_of

from anipipe.errors import DataError
from anipipe.numerics.calibration import errors
from anipipe.numerics.calibration.lengths import neighbours
from anipipe.numerics.calibration.views import BoardViews, pair_views
from anipipe.numerics.cameras import Rig
from anipipe.numerics.triangulation import contributing, dlt, reprojection_errors


@pytest.fixture
def rig():
    made = make_rig()
    return Rig(made.cameras, {"error": 0.25, "units": "mm", "engine": "anipipe"})


@pytest.fixture
def views(rig):
    return pair(detect(rig, 10))


def corner_errors(views: BoardViews, rig: Rig, board=BOARD):
    return errors.corner_errors(views, solution_of(views, rig), board)


def test_without_noise_there_is_no_error(rig):
    report = corner_errors(pair(detect(rig, 10, noise=0)), rig, BOARD)
    assert report["overall"]["max"] < 1e-6
    assert abs(report["board_lengths"]["mean"]) < 1e-6 and report["board_lengths"]["rms"] < 1e-6
    assert all(pair["mean"] < 1e-6 for pair in report["pairs"])


def test_statistics_are_of_the_solution_s_own_residuals(rig, views):
    solution = solution_of(views, rig)
    kept = solution.kept & (np.arange(len(BOARD)) % 3 > 0)
    report = errors.corner_errors(views, replace(solution, kept=kept), BOARD)
    off = np.linalg.norm(solution.residuals, axis=-1)
    for index, name in enumerate((*NAMES, "overall")):
        part = slice(None) if name == "overall" else slice(index, index + 1)
        told = report["overall"] if name == "overall" else report["cameras"][name]
        for ours, chosen in ((told, views.seen[part]), (told["kept"], kept[part])):
            values = off[part][chosen]
            assert ours["corners"] == chosen.sum()
            assert ours["frames"] == chosen.any(axis=(0, 2)).sum()
            expected = [values.mean(), np.median(values), (values**2).mean() ** 0.5, values.max()]
            assert [ours[key] for key in ("mean", "median", "rms", "max")] == pytest.approx(expected)
            assert ours["p95"] == pytest.approx(np.percentile(values, 95))
    assert report["cameras"]["cam1"]["frames_looked_at"] == 10
    assert report["cameras"]["cam1"]["corners_without_ray"] == 0
    assert report["units"] == "mm" and report["engine"] == "anipipe"


def test_parameters_and_what_was_covered(rig, views):
    solution = replace(
        solution_of(views, rig),
        deviations={"cam2": {"focal_length": 0.5, "k1": np.nan}},
        remarks=("fixed k2",),
    )
    report = errors.corner_errors(views, solution, BOARD)
    told = report["cameras"]["cam2"]
    assert told["focal_length"] == 890.0 and told["distortions"] == [-0.3, 0.1, 0, 0, 0]
    assert told["centre"] == pytest.approx(rig.cameras[1].centre.tolist())
    assert told["deviations"] == {"focal_length": 0.5, "k1": None}
    assert report["cameras"]["cam1"]["deviations"] == {}
    assert report["remarks"] == ["fixed k2"]
    world = np.einsum("iab,kb->ika", solution.boards[:, :3, :3], BOARD) + solution.boards[:, None, :3, 3]
    depth = (world @ rig.cameras[1].rotation_matrix.T + rig.cameras[1].translation)[..., 2][views.seen[1]]
    assert told["depth_ratio"] == pytest.approx(depth.max() / depth.min())
    assert 0 < told["coverage"]["image"] < 1 and set(told["coverage"]) == {"image", "edges", "corners"}
    assert report["pairs"][0]["distance"] == pytest.approx(
        np.linalg.norm(rig.cameras[0].centre - rig.cameras[1].centre)
    )
    assert {alarm["level"] for alarm in report["alarms"]} <= {"warning", "note"}


def test_alarms_of_the_cameras_are_in_the_report(rig, views):
    twin = replace(rig.cameras[0], name="cam2")
    report = corner_errors(views, Rig((rig.cameras[0], twin, *rig.cameras[2:])))
    assert report["alarms"][0]["level"] == "critical" and report["alarms"][0]["cameras"] == ["cam1", "cam2"]


def test_pairs(rig, views):
    report = corner_errors(views, rig, BOARD)
    assert [pair["cameras"] for pair in report["pairs"]] == [
        [a, b] for index, a in enumerate(NAMES) for b in NAMES[index + 1 :]
    ]
    both = views.seen[1] & views.seen[3]
    two = Rig((rig.cameras[1], rig.cameras[3]))
    image = views.pixels[[1, 3]]
    off = reprojection_errors(dlt(image, two), image, two).mean(axis=0)[both]
    pair_13 = report["pairs"][4]
    assert pair_13["shared_corners"] == both.sum() and pair_13["grade"] == "good"
    assert pair_13["shared_frames"] == both.any(axis=1).sum()
    assert [pair_13["mean"], pair_13["median"]] == pytest.approx([off.mean(), np.median(off)])


def test_a_moved_camera_is_found(rig, views):
    cameras = list(rig.cameras)
    cameras[2] = replace(cameras[2], translation=cameras[2].translation + np.array([0, 5.0, 0]))
    report = corner_errors(views, Rig(tuple(cameras)), BOARD)
    means = {tuple(pair["cameras"]): pair["mean"] for pair in report["pairs"]}
    assert all((mean > 1) == ("cam9" in names) for names, mean in means.items())


def test_board_lengths_tell_the_scale(rig, views):
    larger = corner_errors(views, rig, BOARD * 0.95)
    lengths = larger["board_lengths"]
    assert lengths["mean"] == pytest.approx(1.0, abs=0.05) and lengths["rms"] >= lengths["mean"]
    assert lengths["spacing"] == pytest.approx(19.0)
    smaller = corner_errors(views, rig, BOARD * 1.05)["board_lengths"]
    assert smaller["mean"] == pytest.approx(-1.0, abs=0.05)


def test_neighbours_of_grids_and_of_markers():
    assert len(neighbours(BOARD)) == 6 * 5 + 7 * 4
    marker = np.array([[0, 0, 0], [10, 0, 0], [10, 10, 0], [0, 10, 0]], dtype=float)
    row = np.concatenate([marker, marker + np.array([13, 0, 0])])
    found = {tuple(pair) for pair in neighbours(row).tolist()}
    assert {(0, 1), (0, 3), (1, 4), (2, 7), (4, 5), (5, 6)} - found == {(4, 5), (0, 1)} - found
    assert (1, 4) in found and (0, 2) not in found
    assert neighbours(BOARD[:1]).shape == (0, 2)


def test_the_worst_frame_is_named(rig):
    found = detect(rig, 15)
    spoiled = found["cam9"]
    spoiled.points[spoiled.numbers == 7] += 30.0
    worst = corner_errors(pair(found), rig, BOARD)["worst_frames"]
    assert worst[0]["trial"] == "board" and worst[0]["frame"] == 7 and worst[0]["camera"] == "cam9"
    assert len(worst) == 10
    assert [frame["mean"] for frame in worst] == sorted((frame["mean"] for frame in worst), reverse=True)
    assert worst[0]["max"] >= worst[0]["mean"] > worst[1]["mean"] + 1


def test_corners_beyond_the_lens_model_are_counted_apart(rig, views):
    cameras = list(rig.cameras)
    cameras[0] = replace(cameras[0], distortions=np.array([-3.0, 0, 0, 0, 0]))
    report = corner_errors(views, Rig(tuple(cameras)), BOARD)
    first = report["cameras"]["cam1"]
    assert 0 < first["corners_without_ray"] < views.seen[0].sum()
    rays = contributing(views.pixels, Rig(tuple(cameras)))
    assert first["corners_without_ray"] == (views.seen[0] & ~rays[0]).sum()
    json.dumps(report, allow_nan=False)


def test_cameras_are_matched_by_name(rig, views):
    mixed = Rig((*rig.cameras[::-1], replace(rig.cameras[0], name="spare")), rig.metadata)
    assert corner_errors(views, mixed, BOARD) == corner_errors(views, rig, BOARD)
    with pytest.raises(DataError, match="cam10"):
        corner_errors(views, Rig(rig.cameras[:3]), BOARD)


def test_json_without_nan_also_where_nothing_was_seen(rig):
    found = detect(rig, 3)
    lonely = {name: keep(each, each.numbers == index) for index, (name, each) in enumerate(found.items())}
    report = corner_errors(pair(lonely), rig, BOARD)
    assert json.loads(json.dumps(report, allow_nan=False)) == report
    assert all(pair["mean"] is None and pair["grade"] == "none" for pair in report["pairs"])
    assert report["board_lengths"]["mean"] is None
    empty = [Found(n, (1280, 1024), 5, *np.zeros((3, 0), int), np.empty((0, 2))) for n in NAMES]
    assert corner_errors(pair_views(empty, len(BOARD)), rig, BOARD)["overall"]["corners"] == 0
