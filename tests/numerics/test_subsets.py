from __future__ import annotations

import itertools
import warnings
from dataclasses import replace

import numpy as np
import pytest

from anipipe.errors import DataError
from anipipe.numerics import subsets
from anipipe.numerics.cameras import Rig, project
from anipipe.numerics.subsets import choose_cameras, choose_hypotheses
from anipipe.numerics.triangulation import dlt, intersect, reprojection_errors


@pytest.fixture
def scattered() -> np.ndarray:
    return np.random.default_rng(8).uniform(-100, 100, (300, 3))


def seen(points, rig, *, sigma=1.0, outliers=0.0, hidden=0.0, seed=1):
    """Return pixels (cameras, points, 2), and where they are outliers, far off in any direction."""
    rng = np.random.default_rng(seed)
    pixels = np.stack([project(points, camera) for camera in rig.cameras])
    pixels += rng.normal(0, sigma, pixels.shape)
    wrong = rng.random(pixels.shape[:-1]) < outliers
    turn, distance = rng.uniform(0, 2 * np.pi, wrong.sum()), rng.uniform(60, 300, wrong.sum())
    pixels[wrong] += np.stack([distance * np.cos(turn), distance * np.sin(turn)], axis=-1)
    pixels[rng.random(pixels.shape[:-1]) < hidden] = np.nan
    return pixels, wrong


def errors_of(pixels, rig, cameras):
    """Return the distances of one point's pixels, (cameras,), solved from some cameras."""
    some = np.full_like(pixels, np.nan)
    some[list(cameras)] = pixels[list(cameras)]
    return reprojection_errors(dlt(some, rig), pixels, rig)[list(cameras)]


def all_subsets(pixels):
    there = np.flatnonzero(np.isfinite(pixels[:, 0]))
    sizes = range(len(there), 1, -1)
    return [subset for size in sizes for subset in itertools.combinations(there, size)]


def by_agreement(pixels, rig, threshold, limit=200.0):
    """Choose as the rule "agreement" says, in its words."""
    errors = {subset: errors_of(pixels, rig, subset) for subset in all_subsets(pixels)}
    errors = {subset: error for subset, error in errors.items() if error.mean() < limit}
    while errors:
        agreeing = [subset for subset, error in errors.items() if error.max() <= threshold]
        if agreeing:
            return min(agreeing, key=lambda subset: (-len(subset), errors[subset].mean()))
        threshold *= 2
    return ()


def used_by(choice, index):
    return tuple(np.flatnonzero(choice.used[:, index]))


@pytest.mark.parametrize("threshold", [2.0, 10.0])
def test_agreement_is_an_exhaustive_search(mixed_rig, scattered, threshold):
    pixels, _ = seen(scattered[:20], mixed_rig, outliers=0.3, hidden=0.1)
    found = choose_cameras(pixels, mixed_rig, threshold=threshold)
    for index in range(pixels.shape[1]):
        assert used_by(found, index) == by_agreement(pixels[:, index], mixed_rig, threshold)


def test_smallest_error_is_an_exhaustive_search(mixed_rig, scattered):
    pixels, _ = seen(scattered[:20], mixed_rig, outliers=0.3, hidden=0.1)
    found = choose_cameras(pixels, mixed_rig, rule="smallest-error")
    for index in range(pixels.shape[1]):
        errors = {
            subset: errors_of(pixels[:, index], mixed_rig, subset).mean()
            for subset in all_subsets(pixels[:, index])
        }
        used = used_by(found, index)
        assert not used or errors[used] == pytest.approx(found.error[index], abs=1e-9)
        smallest = min(errors.values(), default=np.inf)
        assert (found.error[index] < 0.5) if smallest < 0.5 else (used == () or errors[used] == smallest)


@pytest.mark.parametrize("rule", ["agreement", "smallest-error"])
def test_screening_chooses_as_exact_solutions_do(mixed_rig, rule, monkeypatch):
    points = np.random.default_rng(1).uniform(-100, 100, (20_000, 3))
    pixels, _ = seen(points, mixed_rig, sigma=2.0, outliers=0.2, hidden=0.05)
    found = choose_cameras(pixels, mixed_rig, rule=rule)
    monkeypatch.setattr(subsets, "intersect", lambda *rays, quick: intersect(*rays))
    exact = choose_cameras(pixels, mixed_rig, rule=rule)
    tied = np.isclose(found.error, exact.error, rtol=1e-6, equal_nan=True)
    assert tied.all() and (found.used == exact.used).all(axis=0).sum() >= 19_998


def test_the_result_is_the_linear_solution_of_the_chosen_cameras(rig, scattered):
    pixels, _ = seen(scattered, rig, outliers=0.2, hidden=0.2)
    for rule in ("agreement", "smallest-error"):
        found = choose_cameras(pixels, rig, rule=rule)
        chosen = np.where(found.used[..., None], pixels, np.nan)
        assert found.points.tobytes() == dlt(chosen, rig).tobytes()
        expected = reprojection_errors(found.points, chosen, rig)
        there = found.used.any(axis=0)
        assert np.allclose(np.nanmean(expected[:, there], axis=0), found.error[there], rtol=0, atol=1e-6)
        assert np.isnan(found.error[~there]).all() and np.isnan(found.points[~there]).all()
        assert np.array_equal(found.used, found.hypotheses == 0)


@pytest.mark.parametrize(("kind", "cameras", "min_cams"), [("plain", 3, 2), ("mixed", 4, 3)])
def test_smallest_error_picks_what_aniposelib_picks(oracle, plain_rig, mixed_rig, kind, cameras, min_cams):
    whole = plain_rig if kind == "plain" else mixed_rig
    rig = Rig(whole.cameras[:cameras])
    points = np.random.default_rng(2).uniform(-100, 100, (15, 3))
    pixels, _ = seen(points, rig, sigma=0.5, outliers=0.15, hidden=0.1)
    pixels = pixels[:, np.isfinite(pixels[..., 0]).any(axis=0)]  # aniposelib fails on points that none sees
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs, picked, _, error = oracle(rig).triangulate_ransac(pixels, min_cams=min_cams)
    ours = choose_cameras(pixels, rig, rule="smallest-error", min_cams=min_cams)
    assert np.array_equal(ours.used, picked[..., 0])
    assert (ours.error < 0.5).any() and (ours.error > 0.5).any()  # with and without an early end
    if kind == "plain":  # OpenCV undistorts lenses less exactly
        assert np.allclose(ours.points, theirs, rtol=0, atol=1e-6, equal_nan=True)
        assert np.allclose(np.nan_to_num(ours.error), error, rtol=0, atol=1e-6)


def test_hypotheses_follow_aniposelib(oracle, plain_rig):
    rig = Rig(plain_rig.cameras[:3])
    points = np.random.default_rng(2).uniform(-100, 100, (8, 3))
    pixels = np.stack(
        [seen(points, rig, sigma=0.5, outliers=share, seed=9)[0] for share in (0.4, 0.1)], axis=2
    )
    pixels[0, ::4, 1] = np.nan
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        _, picked, _, _ = oracle(rig).triangulate_possible(pixels)
    ours = choose_hypotheses(pixels, rig, rule="smallest-error")
    assert np.array_equal(ours.hypotheses[..., None] == np.arange(2), picked)


@pytest.mark.parametrize("sigma", [0.5, 2.0])
def test_good_cameras_stay_and_outliers_go(mixed_rig, scattered, sigma):
    clean, _ = seen(scattered, mixed_rig, sigma=sigma)
    assert choose_cameras(clean, mixed_rig).used.all()
    for share in (0.05, 0.3):
        pixels, wrong = seen(scattered, mixed_rig, sigma=sigma, outliers=share)
        tellable = wrong.sum(axis=0) <= 1  # three good cameras agree
        found = choose_cameras(pixels[:, tellable], mixed_rig)
        assert np.array_equal(found.used, ~wrong[:, tellable])
        without = dlt(np.where(wrong[..., None], np.nan, pixels), mixed_rig)
        assert found.points.tobytes() == without[tellable].tobytes()
        smallest = choose_cameras(pixels[:, tellable], mixed_rig, rule="smallest-error")
        assert smallest.used.sum() < 0.9 * found.used.sum()


def test_nearly_parallel_rays_through_strong_lenses(mixed_rig):
    """Four cameras like fly-3cam's, at 1 degree of view."""
    far = [
        replace(
            camera,
            matrix=np.array([[136_000.0, 0, 416], [0, 136_000.0, 316], [0, 0, 1]]),
            distortions=np.array([-6469.0, 0, 0, 0, 0]),
            translation=np.array([0, 0, 300.0]),
            fisheye=False,
        )
        for camera in mixed_rig.cameras
    ]
    points = np.random.default_rng(0).uniform(-0.5, 0.5, (200, 3))
    pixels, wrong = seen(points, Rig(tuple(far)), sigma=0.5)
    wrong[np.random.default_rng(1).integers(0, 4, 200), np.arange(200)] = True
    pixels[wrong] += (60.0, 80.0)
    found = choose_cameras(pixels, Rig(tuple(far)))
    assert np.array_equal(found.used, ~wrong)
    assert np.abs(found.points - points).max() < 0.01


def test_two_cameras_cannot_be_told_apart(plain_rig, scattered):
    pixels, _ = seen(scattered, plain_rig, outliers=0.3)
    pixels[2:] = np.nan
    found = choose_cameras(pixels, plain_rig)
    together = dlt(pixels, plain_rig)
    there = np.isfinite(found.error)
    assert there.mean() > 0.8 and np.array_equal(found.points[there], together[there])
    assert found.used[:2, there].all() and not found.used[2:].any()


def test_contradictions_beyond_the_limit_give_no_point(plain_rig):
    pixels = np.array([[640.0, 100.0], [640.0, 950.0], [100.0, 100.0], [1200.0, 900.0]])
    assert choose_cameras(pixels, plain_rig, limit=1000.0).used.any()
    found = choose_cameras(pixels, plain_rig, limit=1.0)
    assert np.isnan(found.points).all() and np.isnan(found.error) and not found.used.any()
    assert (found.hypotheses == -1).all()


def test_points_behind_a_camera_are_not_agreed_upon(plain_rig):
    behind = 2 * plain_rig.cameras[0].centre
    pixels, _ = seen(behind[None], plain_rig, sigma=0.0)
    assert not choose_cameras(pixels, plain_rig).used[0].any()
    assert choose_cameras(pixels, plain_rig, rule="smallest-error").used.all()


def test_min_cams(plain_rig, scattered):
    pixels, _ = seen(scattered, plain_rig, outliers=0.3, hidden=0.3)
    count = np.isfinite(pixels[..., 0]).sum(axis=0)
    found = choose_cameras(pixels, plain_rig, min_cams=3)
    assert (found.used.sum(axis=0)[found.used.any(axis=0)] >= 3).all()
    assert not found.used[:, count < 3].any() and found.used[:, count >= 3].any()
    likewise = choose_cameras(pixels, plain_rig, rule="smallest-error", min_cams=3)
    assert (likewise.used.sum(axis=0)[count == 2] == 2).any()  # as aniposelib: all that there are


def test_too_small_a_threshold_is_doubled(plain_rig, scattered):
    pixels, wrong = seen(scattered, plain_rig, sigma=1.0, outliers=0.1)
    one = wrong.sum(axis=0) == 1
    tight = choose_cameras(pixels[:, one], plain_rig, threshold=1e-3)
    assert np.isfinite(tight.error).all() and not (tight.used & wrong[:, one]).mean() > 0.05


def test_the_right_hypothesis_may_come_second(mixed_rig, scattered):
    right, _ = seen(scattered, mixed_rig)
    wrong, _ = seen(scattered, mixed_rig, outliers=1.0)
    swapped = np.random.default_rng(0).random(right.shape[:-1]) < 0.3
    swapped[:, (~swapped).sum(axis=0) < 2] = False
    first, second = np.where(swapped[..., None], wrong, right), np.where(swapped[..., None], right, wrong)
    pixels = np.stack([first, second], axis=-2)
    found = choose_hypotheses(pixels, mixed_rig)
    assert np.array_equal(found.hypotheses, swapped.astype(int)) and found.used.all()
    assert found.points.tobytes() == dlt(right, mixed_rig).tobytes()


def test_many_cameras_grow_from_pairs(mixed_rig, scattered, monkeypatch):
    """What grows from pairs is what an exhaustive search finds, where that is still possible."""
    twins = [
        replace(camera, name=f"{camera.name}'", translation=camera.translation + np.array([90, 40, 0]))
        for camera in mixed_rig.cameras[:2]
    ]
    rig = Rig((*mixed_rig.cameras, *twins))
    scattered = scattered[:100]
    pixels, _ = seen(scattered, rig, outliers=0.2, hidden=0.1)
    exhaustive = choose_cameras(pixels, rig)
    assert 3 ** len(rig) > subsets.EXHAUSTIVE  # with two hypotheses it grows without being told to
    monkeypatch.setattr(subsets, "EXHAUSTIVE", 1)
    grown = choose_cameras(pixels, rig)
    assert (grown.used == exhaustive.used).all(axis=0).mean() > 0.98
    witnessed = choose_cameras(pixels, rig, min_cams=4)
    assert set(np.unique(witnessed.used.sum(axis=0))) <= {0, 4, 5, 6}
    several = np.stack([pixels, seen(scattered, rig, outliers=1.0)[0]], axis=-2)
    several[:, ::2] = several[:, ::2, ::-1]  # the right one second
    found = choose_hypotheses(several, rig)
    assert (found.used == exhaustive.used).all(axis=0).mean() > 0.9
    assert (found.hypotheses[:, ::2][found.used[:, ::2]] == 1).mean() > 0.97


@pytest.mark.parametrize("outliers", [0.1, 0.4])
def test_ten_cameras_grow_to_what_an_exhaustive_search_finds(mixed_rig, scattered, outliers, monkeypatch):
    around = [
        replace(camera, name=f"{camera.name}{index}", translation=camera.translation + np.array(shift))
        for index, shift in enumerate([(0.0, 0, 0), (90, 40, 0), (-80, 60, 0)])
        for camera in mixed_rig.cameras
    ]
    rig = Rig(tuple(around[:10]))
    pixels, _ = seen(scattered[:60], rig, sigma=2.0, outliers=outliers, hidden=0.1)
    grown = choose_cameras(pixels, rig)
    monkeypatch.setattr(subsets, "EXHAUSTIVE", 1024)
    exhaustive = choose_cameras(pixels, rig)
    assert (grown.used == exhaustive.used).all(axis=0).mean() > 0.98


@pytest.mark.parametrize("rule", ["agreement", "smallest-error"])
def test_a_point_gives_the_same_bytes_alone_and_in_company(mixed_rig, scattered, rule, monkeypatch):
    pixels, _ = seen(scattered, mixed_rig, sigma=2.0, outliers=0.3, hidden=0.2)
    whole = choose_cameras(pixels, mixed_rig, rule=rule)
    for index in range(0, 300, 37):
        alone = choose_cameras(pixels[:, index], mixed_rig, rule=rule)
        assert np.array_equal(alone.points, whole.points[index], equal_nan=True)
        assert np.array_equal(alone.error, whole.error[index], equal_nan=True)
        assert np.array_equal(alone.used, whole.used[:, index])
    monkeypatch.setattr(subsets, "CHUNK", 71)
    chunked = choose_cameras(pixels, mixed_rig, rule=rule)
    assert chunked.points.tobytes() == whole.points.tobytes()
    assert chunked.error.tobytes() == whole.error.tobytes()


def test_any_shape_and_untouched_input(mixed_rig, scattered):
    pixels, _ = seen(scattered, mixed_rig, outliers=0.2, hidden=0.1)
    before = pixels.copy()
    flat = choose_cameras(pixels, mixed_rig)
    found = choose_cameras(pixels.reshape(4, 30, 10, 2), mixed_rig)
    assert np.array_equal(pixels, before, equal_nan=True)
    assert found.points.shape == (30, 10, 3) and found.error.shape == (30, 10)
    assert found.used.shape == found.hypotheses.shape == (4, 30, 10)
    assert found.points.tobytes() == flat.points.tobytes()
    assert choose_cameras(np.empty((4, 0, 5, 2)), mixed_rig).points.shape == (0, 5, 3)


def test_what_does_not_fit_is_refused(mixed_rig):
    pixels = np.zeros((4, 5, 2))
    for call, message in [
        (lambda: choose_cameras(pixels[:3], mixed_rig), "expected"),
        (lambda: choose_hypotheses(pixels[:, 0], mixed_rig), "hypotheses, 2"),
        (lambda: choose_hypotheses(np.zeros((4, 5, 0, 2)), mixed_rig), "hypotheses, 2"),
        (lambda: choose_cameras(pixels, mixed_rig, min_cams=1), "at least 2 cameras"),
        (lambda: choose_cameras(pixels, mixed_rig, threshold=0.0), "positive"),
        (lambda: choose_cameras(pixels, mixed_rig, limit=np.inf), "positive and finite"),
        (lambda: choose_cameras(pixels, mixed_rig, rule="best"), "no rule 'best'"),
        (
            lambda: choose_hypotheses(np.zeros((4, 5, 9, 2)), mixed_rig, rule="smallest-error"),
            "more than 4096 combinations",
        ),
    ]:
        with pytest.raises(DataError, match=message):
            call()
