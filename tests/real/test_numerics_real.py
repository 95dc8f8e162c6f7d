"""Triangulation of real recordings against the numbers that were measured on them."""

from __future__ import annotations

import os
import tomllib
import warnings
from pathlib import Path

import numpy as np
import pytest

from anipipe.numerics.cameras import Camera, Rig, project, undistort
from anipipe.numerics.triangulation import contributing, dlt, quality, reprojection_errors

DATA = Path(
    os.environ.get("ANIPIPE_REAL_DATA") or Path(__file__).resolve().parents[2].parent / "shared" / "data"
)


def folder(name: str) -> Path:
    if not (DATA / name).is_dir():
        pytest.skip(f"no real recordings in {DATA / name}; set ANIPIPE_REAL_DATA to where they are")
    return DATA / name


def read_rig(path: Path) -> Rig:
    tables = tomllib.loads(path.read_text(encoding="utf-8"))
    keys = ("name", "size", "matrix", "distortions", "rotation", "translation")
    return Rig(
        tuple(Camera(*(table[key] for key in keys)) for name, table in tables.items() if name != "metadata")
    )


def without_warnings(function, *arguments, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return function(*arguments, **options)


@pytest.fixture(scope="module")
def fly():
    """Rig, pixels (3, 500, 12, 2), scores (3, 500, 12)."""
    import pandas as pd

    here = folder("fly-3cam")
    rig = read_rig(here / "calibration.toml")
    tables = [
        pd.read_csv(here / f"predictions/fly4_{name}.csv", header=[0, 1, 2], index_col=0)
        for name in rig.names
    ]
    values = np.stack([table.to_numpy(dtype=float).reshape(len(table), -1, 3) for table in tables])
    pixels, scores = values[..., :2].copy(), values[..., 2]
    pixels[~(scores >= 0.3)] = np.nan
    return rig, pixels, scores


@pytest.fixture(scope="module")
def mouse():
    """Rig, joints, pixels (4, 120, 15, 2), scores (4, 120, 15)."""
    h5py = pytest.importorskip("h5py")
    here = folder("mouse-4cam")
    rig = read_rig(here / "reference/calibration_anipose.toml")
    pixels, scores, joints = [], [], []
    for name in rig.names:
        with h5py.File(here / f"predictions/mouse_{name}.analysis.h5") as file:
            joints.append([joint.decode() for joint in file["node_names"][:]])
            pixels.append(file["tracks"][0].transpose(2, 1, 0))
            scores.append(file["point_scores"][0].T)
    assert all(names == joints[0] for names in joints)
    pixels, scores = np.stack(pixels), np.stack(scores)
    pixels[~(scores >= 0.1)] = np.nan
    return rig, joints[0], pixels, scores


def test_fly_reprojection(fly):
    rig, pixels, scores = fly
    points = dlt(pixels, rig)
    assert np.isfinite(points).all() and points.shape == (500, 12, 3)
    errors = reprojection_errors(points, pixels, rig)
    assert np.nanmean(errors) == pytest.approx(1.586, abs=5e-4)
    assert np.nanmedian(errors) == pytest.approx(1.344, abs=5e-4)
    assert np.sqrt(np.nanmean(errors**2)) == pytest.approx(1.930, abs=5e-4)
    assert np.nanmean(errors, axis=(1, 2)) == pytest.approx([1.457, 1.288, 2.014], abs=5e-4)
    error, ncams, score = quality(points, pixels, scores, rig)
    assert np.array_equal(ncams, np.isfinite(pixels[..., 0]).sum(axis=0))
    assert np.allclose(error, np.nanmean(errors, axis=0)) and score.min() >= 0.3


def test_fly_pixels_have_rays_that_lead_back(fly):
    rig, pixels, _ = fly
    assert np.array_equal(contributing(pixels, rig), np.isfinite(pixels[..., 0]))
    for camera, image in zip(rig.cameras, pixels, strict=True):
        ray = undistort(image, camera)
        there = np.concatenate([ray, np.ones((*ray.shape[:-1], 1))], axis=-1)
        still = Camera("still", None, camera.matrix, camera.distortions, np.zeros(3), np.zeros(3))
        assert np.nanmax(np.abs(project(there, still) - image)) < 1e-9


def test_fly_points_are_aniposelibs(fly):
    rig, pixels, _ = fly
    cameras = without_warnings(pytest.importorskip, "aniposelib.cameras")
    group = without_warnings(cameras.CameraGroup.load, str(folder("fly-3cam") / "calibration.toml"))
    theirs = without_warnings(group.triangulate, pixels.reshape(3, -1, 2)).reshape(500, 12, 3)
    ours = dlt(pixels, rig)
    scene = np.linalg.norm(np.ptp(ours.reshape(-1, 3), axis=0))
    assert np.linalg.norm(ours - theirs, axis=-1).max() < 1e-9 * scene


@pytest.mark.parametrize(
    ("start", "end", "length"), [("Nose", "TTI", 74.9), ("Ear_L", "Ear_R", 26.8), ("TTI", "TailTip", 90.0)]
)
def test_mouse_lengths(mouse, start, end, length):
    rig, joints, pixels, _ = mouse
    points = dlt(pixels, rig)
    between = np.linalg.norm(points[:, joints.index(start)] - points[:, joints.index(end)], axis=-1)
    assert np.nanmedian(between) == pytest.approx(length, abs=1)


def test_mouse_reprojection(mouse):
    rig, _, pixels, _ = mouse
    errors = reprojection_errors(dlt(pixels, rig), pixels, rig)
    medians = dict(zip(rig.names, np.nanmedian(errors, axis=(1, 2)), strict=True))
    assert medians == pytest.approx({"back": 8.0, "mid": 3.9, "side": 8.4, "top": 4.0}, abs=0.5)


def test_mouse_points_are_aniposelibs_but_for_its_undistortion(mouse):
    """OpenCV stops undistorting before it has converged; given converged rays, aniposelib agrees."""
    rig, _, pixels, _ = mouse
    cameras = without_warnings(pytest.importorskip, "aniposelib.cameras")
    group = without_warnings(
        cameras.CameraGroup.load, str(folder("mouse-4cam") / "reference/calibration_anipose.toml")
    )
    flat = pixels.reshape(4, -1, 2)
    ours = dlt(flat, rig)
    scene = np.linalg.norm(np.nanmax(ours, axis=0) - np.nanmin(ours, axis=0))
    rays = np.stack([undistort(image, camera) for image, camera in zip(flat, rig.cameras, strict=True)])
    given_rays = without_warnings(group.triangulate, rays, undistort=False)
    theirs = without_warnings(group.triangulate, flat)
    assert np.array_equal(np.isnan(ours), np.isnan(theirs))
    assert np.nanmax(np.linalg.norm(ours - given_rays, axis=-1)) < 1e-10 * scene
    assert np.nanmax(np.linalg.norm(ours - theirs, axis=-1)) < 1e-5 * scene


def test_a_frame_alone_gives_the_same_bytes(mouse, fly):
    for rig, pixels in ((mouse[0], mouse[2]), fly[:2]):
        together = dlt(pixels, rig)
        for frame in (0, 50, 119):
            assert dlt(pixels[:, frame], rig).tobytes() == together[frame].tobytes()
