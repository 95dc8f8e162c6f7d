from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from anipipe.errors import DataError
from anipipe.numerics import aniposelib_triangulation
from anipipe.numerics.aniposelib_cameras import camera_group
from anipipe.numerics.cameras import project
from anipipe.numerics.reconstruction import InTime, Method, Search, reconstruct
from anipipe.numerics.refinement import solver

SMOOTH = InTime((), (), 2.0, 2.0, 1.0, 2, 5.0)
FRAMES = 30


@pytest.fixture
def truth() -> np.ndarray:
    """(frames, 2, 3) of two joints that move."""
    time = np.arange(FRAMES)[:, None] / 10
    one = 40 * np.concatenate([np.sin(time), np.cos(time), time / 3], axis=1)
    return np.stack([one, one + np.array([0, 0, 20])], axis=1)


def sightings(truth, rig):
    """Return pixels and scores of one hypothesis."""
    noise = np.random.default_rng(0).normal(0, 0.5, (len(rig), *truth.shape[:2], 2))
    pixels = (np.stack([project(truth, camera) for camera in rig.cameras]) + noise)[:, :, :, None]
    return pixels, np.full(pixels.shape[:-1], 0.9)


@pytest.fixture
def aniposelib(oracle):
    """Skip where it is not installed."""
    return oracle


METHODS = [
    Method(),
    Method(search=Search("agreement", 10.0)),
    Method(search=Search("smallest-error", 10.0)),
    Method(search=Search("smallest-error", 10.0), refined=True),
    Method(engine="aniposelib"),
    Method(engine="aniposelib", search=Search("agreement", 10.0)),
]


@pytest.mark.parametrize("method", METHODS, ids=str)
def test_fewer_than_min_cams_cameras_make_no_point(aniposelib, mixed_rig, truth, method):
    pixels, scores = sightings(truth, mixed_rig)
    pixels[2:, 4:8, 0] = np.nan
    found = reconstruct(pixels, scores, mixed_rig, replace(method, min_cams=3))
    lost = np.zeros((FRAMES, 2), dtype=bool)
    lost[4:8, 0] = True
    for values in (found.points[..., 0], found.error, found.ncams, found.score):
        assert np.array_equal(np.isnan(values), lost)
    assert found.excluded is None or not found.excluded[:, lost].any()
    assert np.isfinite(reconstruct(pixels, scores, mixed_rig, method).points).all()


@pytest.mark.parametrize("rule", ["agreement", "smallest-error"])
def test_sightings_of_too_few_cameras_are_still_optimised_with(mixed_rig, truth, rule):
    pixels, scores = sightings(truth, mixed_rig)
    pixels[2:, 4:8, 0] = np.nan
    method = Method(min_cams=3, search=Search(rule, 10.0), in_time=SMOOTH)
    found = reconstruct(pixels, scores, mixed_rig, method)
    assert np.isfinite(found.points).all() and not found.filled.any() and not found.remarks
    assert (found.ncams[4:8, 0] == 2).all()


@pytest.mark.parametrize("nothing", [0.0, np.nan])
@pytest.mark.parametrize(
    "method",
    [
        Method(),
        Method(refined=True),
        Method(search=Search("agreement", 10.0)),
        Method(search=Search("agreement", 10.0), in_time=SMOOTH),
        Method(in_time=SMOOTH),
    ],
    ids=str,
)
def test_without_weight_nothing_was_seen(mixed_rig, truth, method, nothing):
    pixels, scores = sightings(truth, mixed_rig)
    pixels[3] += 30
    weights = scores.copy()
    weights[3] = scores[3] = nothing
    found = reconstruct(pixels, scores, mixed_rig, method, weights)
    pixels[3] = np.nan
    without = reconstruct(pixels, scores, mixed_rig, method, np.full_like(weights, 0.9))
    for name in ("points", "error", "ncams", "score"):
        assert np.array_equal(getattr(found, name), getattr(without, name))
    assert (found.ncams == 3).all() and (found.score == 0.9).all()
    assert found.excluded is None or not found.excluded.any()


def test_an_end_before_it_has_settled_is_told(mixed_rig, truth, monkeypatch):
    pixels, scores = sightings(truth, mixed_rig)
    assert reconstruct(pixels, scores, mixed_rig, Method(in_time=SMOOTH)).remarks == ()
    monkeypatch.setattr(solver, "MOST_TRIALS", 1)
    found = reconstruct(pixels, scores, mixed_rig, Method(in_time=SMOOTH))
    assert found.remarks == ("stopped after 1 steps before it had settled",)


def test_aniposelibs_failure_is_told_with_a_remedy(aniposelib, mixed_rig, truth, monkeypatch):
    monkeypatch.setattr(aniposelib_triangulation, "camera_group", uncompiled)
    still = np.repeat(truth[:1], FRAMES, axis=0)
    pixels = np.stack([project(still, camera) for camera in mixed_rig.cameras])[:, :, :, None]
    method = Method(engine="aniposelib", in_time=SMOOTH)
    with pytest.raises(DataError, match=r'aniposelib fails.*set triangulation\.engine = "anipipe"'):
        reconstruct(pixels, np.ones(pixels.shape[:-1]), mixed_rig, method)


@pytest.mark.parametrize("engine", ["anipipe", "aniposelib"])
@pytest.mark.parametrize("frames", [0, 5, FRAMES])
def test_little_is_not_optimised(aniposelib, mixed_rig, truth, engine, frames):
    pixels, scores = sightings(truth, mixed_rig)
    pixels[:, 5:] = np.nan
    pixels, scores = pixels[:, :frames], scores[:, :frames]
    plain = reconstruct(pixels, scores, mixed_rig, Method(engine=engine))
    found = reconstruct(pixels, scores, mixed_rig, Method(engine=engine, in_time=SMOOTH))
    count = 2 * min(frames, 5)
    assert found.remarks == (f"nothing was optimised: {count} points to start from, fewer than 20",)
    assert np.array_equal(found.points, plain.points, equal_nan=True)


def test_aniposelib_invents_no_joint(aniposelib, mixed_rig, truth, monkeypatch):
    monkeypatch.setattr(aniposelib_triangulation, "camera_group", uncompiled)
    pixels, scores = sightings(np.concatenate([truth, truth[:, :1]], axis=1), mixed_rig)
    pixels[:, :, 0] = np.nan
    limbs = replace(SMOOTH, constraints=((0, 1), (2, 1)))
    method = Method(engine="aniposelib", in_time=limbs)
    found = reconstruct(pixels, scores, mixed_rig, method)
    assert np.isnan(found.points[:, 0]).all() and np.isfinite(found.points[:, 1:]).all()
    assert not found.filled.any() and np.isnan(found.ncams[:, 0]).all()
    assert np.linalg.norm(found.points[:, 1:] - truth[:, ::-1], axis=-1).max() < 2


def uncompiled(rig):
    """Return aniposelib's cameras, whose objective is not compiled: that would take longer than it saves."""
    group = camera_group(rig)
    group._error_fun_triangulation = type(group)._error_fun_triangulation.py_func.__get__(group)
    return group
