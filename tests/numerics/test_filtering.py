from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anipipe.numerics.filtering import fill_gaps, medfilt, running_median, smooth_in_space

GOLDEN = Path(__file__).parent / "golden" / "anipose_filters.npz"  # written by make_anipose_filters.py
SETTINGS = {"window": 13, "offset_threshold": 25.0, "score_threshold": 0.05}
FRAMES, JOINTS = 400, 6


def wave(frames=FRAMES, joints=JOINTS, dimensions=2, speed=3.0):
    """Smooth tracks; speed is about the largest step along an axis."""
    time = np.arange(frames)[:, None, None]
    period = np.linspace(35, 90, joints * dimensions).reshape(joints, dimensions)
    return 500 + speed * period / (2 * np.pi) * np.sin(2 * np.pi * time / period + period)


def middle(values):
    """The median by hand, NaN left out."""
    kept = sorted(value for value in values if not np.isnan(value))
    return np.nan if not kept else (kept[(len(kept) - 1) // 2] + kept[len(kept) // 2]) / 2


@pytest.fixture
def recording():
    """Truth, points, scores, and which points are wrong, or missing, or of low score."""
    rng = np.random.default_rng(7)
    truth = wave()
    points = truth + rng.normal(0, 0.3, truth.shape)
    scores = rng.uniform(0.5, 1, truth.shape[:2])
    kind = rng.random(scores.shape)
    kind[[0, -1], 0] = 0, 0.03  # outliers and gaps at the very ends too
    wrong, missing, low = kind < 0.02, (kind >= 0.02) & (kind < 0.04), (kind >= 0.04) & (kind < 0.06)
    way = rng.uniform(0, 2 * np.pi, wrong.sum())
    points[wrong] += np.stack([np.cos(way), np.sin(way)], axis=-1) * rng.uniform(45, 200, (wrong.sum(), 1))
    points[missing] = np.nan
    points[low] += rng.normal(0, 4, (low.sum(), 2))
    scores[low] = 0.01
    for joint, start in ((1, 50), (2, 120), (3, 300)):
        missing[start : start + 5, joint] = True
        points[start : start + 5, joint] = np.nan
    return truth, points, scores, wrong, missing, low


class TestMedfilt:
    def test_finds_what_is_wrong_and_nothing_else(self, recording):
        _, points, scores, wrong, missing, low = recording
        kept, filled = medfilt(points, scores, **SETTINGS)
        bad = wrong | missing | low
        changed = ~np.equal(kept, points).all(axis=-1)
        assert wrong.sum() > 40 and missing.sum() > 50 and low.sum() > 40
        assert np.array_equal(changed, bad)  # none missed, no false alarm
        empty = np.isnan(kept).any(axis=-1)
        assert np.array_equal(filled, bad & ~empty)

    def test_filled_points_are_close_to_the_truth(self, recording):
        truth, points, scores, *_ = recording
        for spline, worst, typical in ((True, 1.7, 0.45), (False, 1.7, 0.35)):
            kept, filled = medfilt(points, scores, **SETTINGS, spline=spline)
            off = np.linalg.norm(kept - truth, axis=-1)[filled]
            assert off.max() < worst and np.median(off) < typical
        assert filled.sum() > 150

    def test_nothing_is_invented_beyond_the_first_and_last_good_point(self, recording):
        _, points, scores, wrong, missing, low = recording
        kept, filled = medfilt(points, scores, **SETTINGS)
        good = ~(wrong | missing | low)
        assert not good[0, 0] and not good[-1, 0]
        for joint in range(JOINTS):
            first, *_, last = np.flatnonzero(good[:, joint])
            there = np.isfinite(kept[:, joint]).all(axis=-1)
            assert there[first : last + 1].all() and not there[:first].any() and not there[last + 1 :].any()
        assert not filled[[0, -1], 0].any()

    @pytest.mark.parametrize("frame", [0, 1, 5, 200, FRAMES - 2, FRAMES - 1])
    def test_an_outlier_is_found_wherever_it_is(self, frame):
        points = wave()
        points[frame] += 40
        kept, _ = medfilt(points, np.ones(points.shape[:2]), **SETTINGS)
        changed = ~np.equal(kept, points).all(axis=-1)
        assert changed[frame].all() and changed.sum() == JOINTS

    def test_motion_is_no_outlier_at_the_ends(self):
        steady = np.arange(40.0)[:, None, None] * [4.0, 4.0] + 500
        kept, filled = medfilt(steady, np.ones((40, 1)), **SETTINGS)
        assert np.array_equal(kept, steady) and not filled.any()

    def test_the_deviation_is_the_sum_of_both_axes_and_the_threshold_belongs_to_the_bad(self):
        points = np.full((20, 4, 2), 100.0)
        points[10] += [[12, -13], [12.4, 12.4], [0, 25], [24.9, 0]]
        kept, _ = medfilt(points, np.ones((20, 4)), **SETTINGS)
        assert (kept[10, 0] == 100).all() and (kept[10, 2] == 100).all()
        assert np.array_equal(kept[:, [1, 3]], points[:, [1, 3]])

    def test_scores_at_the_threshold_are_good_and_unknown_ones_bad(self):
        points = wave(30, 3)
        scores = np.ones((30, 3))
        scores[10] = 0.05, 0.0499, np.nan
        _, filled = medfilt(points, scores, **SETTINGS)
        assert filled[10].tolist() == [False, True, True] and filled.sum() == 2

    @pytest.mark.parametrize(("good", "fills"), [(10, False), (11, True)])
    def test_joints_that_are_mostly_bad_stay_with_gaps(self, good, fills):
        points = np.full((20, 1, 2), np.nan)
        where = np.linspace(0, 19, good).round().astype(int)
        points[where] = 50.0
        kept, filled = medfilt(points, np.ones((20, 1)), **SETTINGS)
        assert np.isfinite(kept).all() == fills and filled.any() == fills
        assert np.array_equal(kept[where], points[where])

    @pytest.mark.parametrize(("good", "fills"), [(5, False), (6, True)])
    def test_joints_of_few_points_stay_with_gaps(self, good, fills):
        points = np.full((good + 2, 1, 2), 50.0)
        points[[1, 3]] = np.nan
        kept, filled = medfilt(points, np.ones((good + 2, 1)), **SETTINGS)
        assert filled.sum() == 2 * fills and np.isnan(kept[[1, 3]]).all() != fills

    def test_filled_points_stay_within_the_threshold_of_the_straight_line(self):
        points = wave(200, 1, speed=4)
        points[80:140] = np.nan
        kept, filled = medfilt(points, np.ones((200, 1)), **SETTINGS)
        line, _ = medfilt(points, np.ones((200, 1)), **SETTINGS, spline=False)
        assert filled.sum() == 60
        assert np.abs(kept - line).sum(axis=-1)[filled].max() == pytest.approx(25)

    def test_half_a_point_is_no_point(self):
        points = wave(20, 1)
        points[8, 0, 1] = np.nan
        kept, filled = medfilt(points, np.ones((20, 1)), **SETTINGS, spline=False)
        assert filled[8, 0] and kept[8, 0, 0] == pytest.approx(points[[7, 9], 0, 0].mean())

    @pytest.mark.parametrize("frames", [0, 1, 2, 5, 8, 12, 13])
    def test_recordings_shorter_than_the_window(self, frames):
        points = np.full((frames, 2, 2), 100.0)
        points[1:2, 0] = np.nan
        if frames > 4:
            points[frames // 2, 1] += 60
        kept, filled = medfilt(points, np.ones((frames, 2)), **SETTINGS)
        enough = frames - 1 > 5
        bad = int(frames > 1) + int(frames > 4)
        assert filled.sum() == (bad if enough else 0)
        assert np.isnan(kept).all(axis=-1).sum() == (0 if enough else bad)
        assert np.allclose(kept[np.isfinite(kept)], 100)

    def test_joints_that_are_never_seen(self):
        points = wave(40, 3)
        points[:, 1] = np.nan
        kept, filled = medfilt(points, np.ones((40, 3)), **SETTINGS)
        assert np.isnan(kept[:, 1]).all() and not filled.any()
        assert np.array_equal(kept[:, [0, 2]], points[:, [0, 2]])

    def test_input_is_not_changed(self, recording):
        _, points, scores, *_ = recording
        before = points.copy(), scores.copy()
        medfilt(points, scores, **SETTINGS)
        assert np.array_equal(points, before[0], equal_nan=True) and np.array_equal(scores, before[1])

    @pytest.mark.parametrize("kind", ["cubic", "linear"])
    def test_aniposes_result(self, kind):
        """The track is near 0 at its ends, where Anipose's zeros are right; elsewhere they would not be."""
        golden = np.load(GOLDEN)
        points, scores = golden["medfilt_points"], golden["medfilt_scores"]
        kept, filled = medfilt(points, scores, **SETTINGS, spline=kind == "cubic")
        assert np.abs(kept - golden[f"medfilt_{kind}"]).max() < 1e-10
        assert filled.sum() == 23 and np.array_equal(filled, (kept != points).any(axis=-1))

    @given(st.permutations(range(JOINTS)), st.floats(-1000, 1000), st.integers(0, 9))
    @settings(max_examples=25, deadline=None)
    def test_order_of_joints_place_and_direction_of_time_do_not_matter(self, order, shift, seed):
        rng = np.random.default_rng(seed)
        points = wave(60) + np.where(rng.random((60, JOINTS, 1)) < 0.1, 60, 0)
        scores = rng.random((60, JOINTS))
        kept, filled = medfilt(points, scores, **SETTINGS)
        others = medfilt(points[:, order] + shift, scores[:, order], **SETTINGS)
        assert np.allclose(others[0], kept[:, order] + shift, atol=1e-7, equal_nan=True)
        assert np.array_equal(others[1], filled[:, order])
        back = medfilt(points[::-1], scores[::-1], **SETTINGS)
        assert np.allclose(back[0][::-1], kept, atol=1e-7, equal_nan=True)

    def test_wrong_arguments(self):
        points, scores = np.zeros((9, 2, 2)), np.zeros((9, 2))
        for window in (0, 12, -3):
            with pytest.raises(ValueError, match="odd"):
                medfilt(points, scores, **{**SETTINGS, "window": window})
        with pytest.raises(ValueError, match="scores"):
            medfilt(points, scores.T, **SETTINGS)
        with pytest.raises(ValueError, match="points"):
            medfilt(points[..., :1], scores, **SETTINGS)


class TestRunningMedian:
    @pytest.mark.parametrize("window", [1, 3, 7, 13])
    def test_against_the_definition(self, window):
        rng = np.random.default_rng(3)
        values = rng.normal(size=(50, 2, 3))
        values[rng.random(values.shape) < 0.2] = np.nan
        values[20:30, 0] = np.nan
        found, half = running_median(values, window), window // 2
        for index in np.ndindex(2, 3):
            one = values[(slice(None), *index)]
            mirrored = [
                [one[49 - abs(49 - abs(t))] for t in range(frame - half, frame + half + 1)]
                for frame in range(50)
            ]
            expected = [middle(around) for around in mirrored]
            assert np.array_equal(found[(slice(None), *index)], expected, equal_nan=True)

    def test_parts_that_are_computed_apart_fit_together(self, monkeypatch):
        values = np.random.default_rng(1).normal(size=(101, 3))
        whole = running_median(values, 9)
        monkeypatch.setattr("anipipe.numerics.filtering.CELLS", 9 * 3 * 7)
        assert np.array_equal(running_median(values, 9), whole)


class TestFillGaps:
    def test_a_cubic_is_filled_exactly(self):
        time = np.arange(40.0)
        truth = np.stack([1e-3 * time**3 - 0.02 * time**2, 2 * time - 5], axis=-1)[:, None]
        points = truth.copy()
        points[[3, 4, 17, 30, 31, 32]] = np.nan
        kept, filled = fill_gaps(points, spline=True)
        assert np.abs(kept - truth).max() < 1e-10 and filled.sum() == 6
        line, _ = fill_gaps(points, spline=False)
        assert np.allclose(line[3:5, 0], truth[2, 0] + np.outer([1, 2], truth[5, 0] - truth[2, 0]) / 3)

    def test_a_spline_that_swings_out_is_held_to_its_bound(self):
        time = np.arange(120)
        points = np.stack([30 * np.sin(time / 3), 10 * np.cos(time / 3)], axis=-1)[:, None]
        points[40:80] = np.nan
        wild, _ = fill_gaps(points, spline=True)
        tame, _ = fill_gaps(points, spline=True, furthest=25.0)
        line, _ = fill_gaps(points, spline=False)
        far = np.abs(wild - line).sum(axis=-1)
        assert far.max() > 60
        assert np.abs(tame - line).sum(axis=-1).max() == pytest.approx(25)
        assert np.array_equal(tame[far <= 25], wild[far <= 25])


class TestInSpace:
    SETTINGS = {"window": 5, "offset_threshold": 15.0}

    def test_a_known_track(self):
        rng = np.random.default_rng(2)
        truth = wave(300, 4, 3, speed=0.5)
        points, error = truth + rng.normal(0, 0.1, truth.shape), rng.uniform(0, 14, (300, 4))
        wrong = rng.random((300, 4)) < 0.1
        points[wrong] += rng.normal(0, 50, (wrong.sum(), 3))
        error[wrong] = rng.uniform(15.01, 90, wrong.sum())
        missing = rng.random((300, 4)) < 0.05
        points[missing] = np.nan
        error[missing] = np.nan
        kept, replaced, left = smooth_in_space(points, error, **self.SETTINGS)
        assert np.array_equal(replaced, wrong | missing) and not left.any()
        off = np.linalg.norm(kept - truth, axis=-1)
        assert off[replaced].max() < 1.5 and np.median(off[~replaced]) < 0.16
        roughness = [
            np.abs(np.diff(track, axis=0))[~replaced[1:] & ~replaced[:-1]].mean() for track in (points, kept)
        ]
        assert roughness[1] < roughness[0]

    def test_points_that_only_an_optimisation_knows_are_kept(self):
        points = wave(30, 1, 3)
        error = np.full((30, 1), 3.0)
        error[10:20] = np.nan
        points[10:20] += 7
        kept, replaced, _ = smooth_in_space(points, error, window=1, offset_threshold=15.0)
        assert np.array_equal(kept, points) and not replaced.any()

    def test_the_threshold_itself_is_good(self):
        points, error = wave(9, 2, 3), np.full((9, 2), 15.0)
        error[4, 1] = 15.001
        assert np.flatnonzero(
            smooth_in_space(points, error, window=1, offset_threshold=15.0)[1]
        ).tolist() == [9]

    def test_half_a_point_is_no_point(self):
        points = wave(9, 1, 3)
        points[4, 0, 1] = np.inf
        kept, replaced, _ = smooth_in_space(points, np.zeros((9, 1)), window=1, offset_threshold=15.0)
        assert replaced[4, 0] and np.allclose(kept[4, 0], points[[3, 5], 0].mean(axis=0))

    def test_ends_are_held(self):
        points = np.arange(12.0)[:, None, None] * np.ones((1, 1, 3))
        error = np.zeros((12, 1))
        error[:3], points[10:] = 99, np.nan
        kept, replaced, _ = smooth_in_space(points, error, window=1, offset_threshold=15.0)
        assert kept[:, 0, 0].tolist() == [3, 3, 3, 3, 4, 5, 6, 7, 8, 9, 9, 9]
        assert replaced[:, 0].tolist() == [True] * 3 + [False] * 7 + [True] * 2

    @pytest.mark.parametrize("frames", [1, 3, 4, 11, 40])
    @pytest.mark.parametrize("window", [1, 5, 17])
    def test_the_median_is_aniposes(self, frames, window):
        """Its padding and SciPy's filter, one coordinate after another."""
        from scipy import signal

        points = np.random.default_rng(4).normal(size=(frames, 2, 3))
        kept, *_ = smooth_in_space(points, np.zeros((frames, 2)), window=window, offset_threshold=1)
        for index in np.ndindex(2, 3):
            padded = np.pad(points[(slice(None), *index)], window + 5, mode="median", stat_length=5)
            expected = signal.medfilt(padded, window)[window + 5 : -window - 5]
            assert np.array_equal(kept[(slice(None), *index)], expected)

    @pytest.mark.parametrize(("bad", "stays"), [(17, False), (18, True), (20, True)])
    def test_joints_that_are_mostly_bad_stay_as_they_are(self, bad, stays):
        points = np.random.default_rng(5).normal(size=(20, 2, 3))
        error = np.zeros((20, 2))
        error[:bad, 0] = 99
        points[:3, 0] = np.nan
        kept, replaced, left = smooth_in_space(points, error, **self.SETTINGS)
        assert left.tolist() == [stays, False]
        assert np.array_equal(kept[:, 0], points[:, 0], equal_nan=True) == stays
        assert replaced.sum() == (0 if stays else bad) and np.isfinite(kept[:, 1]).all()

    def test_no_frames_and_no_joints(self):
        for shape in ((0, 3), (5, 0)):
            kept, replaced, left = smooth_in_space(np.zeros((*shape, 3)), np.zeros(shape), **self.SETTINGS)
            assert kept.shape == (*shape, 3) and replaced.shape == shape and left.shape == shape[1:]

    def test_wrong_arguments(self):
        with pytest.raises(ValueError, match="odd"):
            smooth_in_space(np.zeros((4, 1, 3)), np.zeros((4, 1)), window=4, offset_threshold=15)
        with pytest.raises(ValueError, match="error"):
            smooth_in_space(np.zeros((4, 1, 3)), np.zeros((4, 2)), **self.SETTINGS)
        with pytest.raises(ValueError, match="points"):
            smooth_in_space(np.zeros((4, 1, 2)), np.zeros((4, 1)), **self.SETTINGS)
