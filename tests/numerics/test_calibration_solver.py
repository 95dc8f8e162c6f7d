from __future__ import annotations

import re
import warnings
from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from synthetic_board import (
    BOARD,
    NAMES,
    SIZE,
    detect,
    keep,
    make_rig,
    moved,
    pair,
)

from anipipe.errors import DataError
from anipipe.numerics.calibration import aniposelib_solver, solver
from anipipe.numerics.calibration.start import Wish
from anipipe.numerics.cameras import Rig


@pytest.fixture(scope="module", autouse=True)
def aniposelib():
    """Loaded here, where its own import may warn."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pytest.importorskip("aniposelib.cameras", reason="aniposelib is not installed")


ENGINES = {"anipipe": solver, "aniposelib": aniposelib_solver}


def calibrator(engine):
    def calibrate(views, board, *, init=None, **wish):
        return ENGINES[engine].calibrate(views, board, init=init, wish=Wish(**wish))

    calibrate.engine = engine
    return calibrate


@pytest.fixture(scope="module", params=list(ENGINES))
def calibrate(request):
    """Each engine, with what is wished for as keywords."""
    return calibrator(request.param)


@pytest.fixture(scope="module")
def ours():
    """Our engine, for what both do before they solve, or what takes aniposelib long."""
    return calibrator("anipipe")


@pytest.fixture(scope="module")
def aniposelib_calibrate():
    return calibrator("aniposelib")


def off_truth(rig: Rig, truth: Rig) -> tuple[float, float, float]:
    """Largest error of a place (mm), of a rotation (degrees) and of a focal length (px)."""
    pairs = list(zip(rig.cameras, moved(truth).cameras, strict=True))
    assert all(one.name == two.name for one, two in pairs)
    turns = [Rotation.from_matrix(one.rotation_matrix @ two.rotation_matrix.T) for one, two in pairs]
    return (
        max(float(np.linalg.norm(one.centre - two.centre)) for one, two in pairs),
        max(float(np.degrees(turn.magnitude())) for turn in turns),
        max(abs(float(one.matrix[0, 0] - two.matrix[0, 0])) for one, two in pairs),
    )


def spoilt(rig: Rig, seed: int = 0) -> Rig:
    """The same cameras somewhere else, in another order, with a stranger among them."""
    rng = np.random.default_rng(seed)
    cameras = [
        replace(camera, rotation=rng.normal(size=3), translation=rng.normal(size=3) * 300)
        for camera in rig.cameras
    ]
    return Rig((cameras[2], replace(cameras[0], name="stranger"), *cameras[3:], *cameras[:2]))


def bits(rig: Rig) -> bytes:
    parts = ("matrix", "distortions", "rotation", "translation")
    return b"".join(getattr(camera, part).tobytes() for camera in rig.cameras for part in parts)


@pytest.fixture(scope="module")
def truth():
    return make_rig()


@pytest.fixture(scope="module")
def views(truth):
    return pair(detect(truth))


@pytest.fixture(scope="module")
def solution(views, calibrate):
    return calibrate(views, BOARD)


def test_the_rig_is_found(truth, solution):
    assert solution.rig.names == NAMES
    place, turn, focal = off_truth(solution.rig, truth)
    assert place < 1.5 and turn < 0.1 and focal < 3
    assert solution.rig.metadata["error"] < 0.3
    for camera in solution.rig.cameras:
        assert camera.size == SIZE and not camera.fisheye
        assert camera.distortions[0] == pytest.approx(-0.3, abs=0.03)
        assert (camera.distortions[2:] == 0).all()
        assert camera.matrix[0, 0] == camera.matrix[1, 1]
        assert camera.matrix[:2, 2].tolist() == [639.5, 511.5]


def test_the_first_camera_is_the_world(solution):
    first = solution.rig.cameras[0]
    assert not first.rotation.any() and not first.translation.any()


def test_metadata_and_counts(views, solution, calibrate):
    assert solution.rig.metadata == {
        "adjusted": False,
        "error": pytest.approx(np.median(solution.distances[solution.kept]), abs=0.05),
        "engine": calibrate.engine,
        "units": "mm",
    }
    assert 0.9 * views.seen.sum() < solution.kept.sum() <= views.seen.sum()
    assert np.array_equal(np.isfinite(solution.distances), views.seen)


def test_two_runs_agree_to_the_last_bit_and_leave_the_generator_alone(views, solution, capfd, calibrate):
    np.random.seed(7)
    expected = np.random.random(3)
    np.random.seed(7)
    again = calibrate(views, BOARD)
    assert np.array_equal(np.random.random(3), expected)
    assert bits(again.rig) == bits(solution.rig) and again.rig.metadata == solution.rig.metadata
    out, err = capfd.readouterr()
    assert out == "" and err == ""


def test_the_generator_is_given_back_after_a_failure():
    np.random.seed(7)
    expected = np.random.random(3)
    np.random.seed(7)
    with pytest.raises(RuntimeError), aniposelib_solver._undisturbed(0):
        np.random.random(5)
        raise RuntimeError
    assert np.array_equal(np.random.random(3), expected)


def test_the_board_may_be_seen_from_behind(truth, ours):
    rig = ours(pair(detect(truth, behind=True)), BOARD).rig
    assert off_truth(rig, truth)[0] < 1.5


def test_a_chain_of_neighbours_with_recordings_of_different_length(truth, ours):
    parts = []
    for index, frames in enumerate((9, 14, 11)):
        found = detect(truth, frames, trial=f"take {index}", seed=index)
        parts.append({name: found[name] for name in NAMES[index : index + 2]})
    parts[1]["cam9"] = keep(parts[1]["cam9"], parts[1]["cam9"].numbers < 12)
    rig = ours(pair(*parts), BOARD).rig
    assert off_truth(rig, truth)[0] < 10


def test_a_camera_that_lacks_a_trial_shifts_nothing(truth, ours):
    first, second = detect(truth, 10, trial="a", seed=1), detect(truth, 10, trial="b", seed=2)
    del first["cam2"]
    assert off_truth(ours(pair(first, second), BOARD).rig, truth)[0] < 2.5


def test_two_shared_instants_are_enough_to_hang_on_and_one_is_not(truth, ours):
    found = detect(truth, 14)
    apart = detect(truth, 10, trial="alone", seed=3)
    whole = found["cam10"]
    numbers = np.unique(whole.numbers)
    found["cam10"] = keep(whole, whole.numbers >= numbers[-3])
    rig = ours(pair(found, {"cam10": apart["cam10"]}), BOARD).rig
    assert off_truth(rig, truth)[0] < 30
    found["cam10"] = keep(whole, whole.numbers == numbers[-1])
    with pytest.raises(
        DataError, match=r"cam1, cam2, cam9 \| cam10. The most .* [1-4]\d corners, by cameras"
    ):
        ours(pair(found, {"cam10": apart["cam10"]}), BOARD)


def test_outliers_do_little(truth, ours):
    found = detect(truth)
    rng = np.random.default_rng(0)
    for each in found.values():
        bad = rng.random(len(each.points)) < 0.03
        each.points[bad] += rng.normal(scale=40, size=(int(bad.sum()), 2))
    found = ours(pair(found), BOARD)
    assert off_truth(found.rig, truth)[0] < 1.5 and found.rig.metadata["error"] < 0.3


@pytest.mark.parametrize("distortion", ["k1", "k1k2"])
def test_fisheye(distortion, ours):
    truth = make_rig("fisheye")
    rig = ours(pair(detect(truth)), BOARD, fisheye=True, distortion=distortion).rig
    assert all(camera.fisheye and len(camera.distortions) == 4 for camera in rig.cameras)
    assert off_truth(rig, truth)[0] < 3


def test_k1_alone_leaves_k2_at_0_and_none_leaves_all(ours):
    plain = Rig(tuple(replace(c, distortions=np.zeros(5)) for c in make_rig().cameras))
    views = pair(detect(plain))
    for distortion in ("none", "k1"):
        rig = ours(views, BOARD, distortion=distortion).rig
        assert off_truth(rig, plain)[0] < 1.5
        assert all(not camera.distortions[1 if distortion == "k1" else 0 :].any() for camera in rig.cameras)


def test_full_finds_tangential_distortion(ours):
    bent = (-0.3, 0.1, 0.004, -0.003, 0.0)
    truth = Rig(tuple(replace(c, distortions=np.array(bent)) for c in make_rig().cameras))
    rig = ours(pair(detect(truth, 40, noise=0.05)), BOARD, distortion="full").rig
    for camera in rig.cameras:
        assert camera.distortions[2:4] == pytest.approx(bent[2:4], abs=1e-3)


def odd(rig: Rig) -> Rig:
    """Lenses that aniposelib cannot hold by itself."""
    return Rig(
        tuple(
            replace(
                camera,
                matrix=np.array([[860.0 + index, 0, 630], [0, 850, 520], [0, 0, 1]]),
                distortions=np.array([-0.29, 0.09, 1e-3, -5e-4, 0.01 * index]),
            )
            for index, camera in enumerate(rig.cameras)
        )
    )


def test_known_intrinsics_are_kept(truth, calibrate):
    known = odd(truth)
    rig = calibrate(pair(detect(known)), BOARD, init=spoilt(known), fix=("intrinsics",)).rig
    assert rig.names == NAMES
    for one, two in zip(rig.cameras, known.cameras, strict=True):
        assert one.matrix.tolist() == two.matrix.tolist()
        assert one.distortions.tolist() == two.distortions.tolist()
    assert off_truth(rig, known)[0] < 0.5


def test_known_intrinsics_need_one_frame_only(truth, ours):
    views = pair(detect(truth, 1, missing=0))
    rig = ours(views, BOARD, init=spoilt(truth), fix=["intrinsics"]).rig
    assert off_truth(rig, truth)[0] < 25
    with pytest.raises(DataError, match="3 are needed"):
        ours(views, BOARD)


def test_a_start_keeps_what_is_not_estimated(truth, ours):
    known = odd(truth)
    start = Rig(tuple(replace(c, matrix=c.matrix * (1 + 0.05 * np.diag([1, 1, 0]))) for c in known.cameras))
    rig = ours(pair(detect(known)), BOARD, init=spoilt(start), distortion="k1").rig
    for one, two in zip(rig.cameras, known.cameras, strict=True):
        assert one.distortions[1:].tolist() == two.distortions[1:].tolist()
        assert one.matrix[1, 1] / one.matrix[0, 0] == pytest.approx(two.matrix[1, 1] / two.matrix[0, 0])
    assert off_truth(rig, known)[2] < 3


def test_known_extrinsics_are_kept(truth, calibrate):
    guess = Rig(tuple(replace(c, distortions=np.zeros(5)) for c in truth.cameras))
    rig = calibrate(pair(detect(truth)), BOARD, init=guess, fix=("extrinsics",)).rig
    for one, two in zip(rig.cameras, truth.cameras, strict=True):
        assert one.rotation.tolist() == two.rotation.tolist()
        assert one.translation.tolist() == two.translation.tolist()
        assert one.matrix[0, 0] == pytest.approx(two.matrix[0, 0], abs=2)
        assert one.distortions[0] == pytest.approx(-0.3, abs=0.03)


def test_with_both_kept_only_the_error_is_measured(truth, views, monkeypatch, aniposelib_calibrate):
    monkeypatch.setattr(aniposelib_solver, "_adjust", None)
    mixed = Rig(truth.cameras[::-1])
    found = aniposelib_calibrate(views, BOARD, init=mixed, fix=("extrinsics", "intrinsics"))
    assert found.rig.names == NAMES and bits(found.rig) == bits(truth)
    assert 0.1 < found.rig.metadata["error"] < 0.3


def test_init_lacks_a_camera(truth, views, ours):
    with pytest.raises(DataError, match=r"calibration_init lacks camera cam2, cam9; it has cam1, cam10"):
        ours(views, BOARD, init=truth.subset(["cam1", "cam10"]))


def test_init_of_another_size(truth, views, calibrate):
    small = Rig((replace(truth.cameras[0], size=(640, 512)), *truth.cameras[1:]))
    with pytest.raises(DataError, match=r"camera cam1: .*640x512 px, .*1280x1024"):
        calibrate(views, BOARD, init=small)
    unknown = Rig((replace(truth.cameras[0], size=None), *truth.cameras[1:]))
    kept = calibrate(views, BOARD, init=unknown, fix=("extrinsics", "intrinsics"))
    assert kept.rig.cameras[0].size == SIZE


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"fix": ("intrinsics",)}, "calibration_init, but there is none"),
        ({"fix": ("poses",)}, "cannot fix poses"),
        ({"distortion": "k3"}, "distortion = 'k3'"),
    ],
)
def test_options_that_make_no_sense(views, options, words, ours):
    with pytest.raises(DataError, match=re.escape(words)):
        ours(views, BOARD, **options)


def test_views_are_checked(truth, ours):
    with pytest.raises(DataError, match="only camera cam1"):
        ours(pair({"cam1": detect(truth)["cam1"]}), BOARD)


@pytest.mark.parametrize("problem", [ValueError("\nCould not build\n"), np.linalg.LinAlgError("SVD")])
def test_what_aniposelib_raises_is_translated(views, monkeypatch, problem, aniposelib_calibrate):
    def fail(*arguments, **options):
        raise problem

    monkeypatch.setattr("aniposelib.cameras.CameraGroup.bundle_adjust_iter", fail)
    with pytest.raises(DataError, match=r"found no cameras .*\(aniposelib: .*board's settings"):
        aniposelib_calibrate(views, BOARD)


def test_a_result_that_is_not_finite_is_refused(views, monkeypatch, aniposelib_calibrate):
    monkeypatch.setattr("aniposelib.cameras.CameraGroup.bundle_adjust_iter", lambda *a, **k: np.nan)
    with pytest.raises(DataError, match="not finite"):
        aniposelib_calibrate(views, BOARD)
