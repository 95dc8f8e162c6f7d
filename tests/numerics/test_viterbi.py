from __future__ import annotations

import itertools
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anipipe.numerics.viterbi import _log_probability, _transition, viterbi

GOLDEN = Path(__file__).parent / "golden" / "anipose_filters.npz"  # written by make_anipose_filters.py
SETTINGS = {"n_back": 5, "offset_threshold": 25.0, "score_threshold": 0.05}


def walk(frames, joints, seed=0, step=3.0):
    rng = np.random.default_rng(seed)
    return 300 + np.cumsum(rng.normal(0, step, (frames, joints, 2)), axis=0)


def by_trying(points, scores, n_back, sigma, threshold):
    """The best track of one joint: every sequence of states, written down from the definition."""
    frames = len(points)
    states = []
    for frame in range(frames):
        here = []
        for age in range(min(n_back, frame + 1)):
            kept: list = []
            for place, score in zip(points[frame - age], scores[frame - age], strict=True):
                if np.isnan(place).any() or score < threshold:
                    continue
                here += (
                    [] if any(math.dist(place, one) <= 5 for one in kept) else [(place, score / 2**age, age)]
                )
                kept.append(place)
        states.append(here or [(None, 0.001, 0)])

    def step(a, b):
        if a is None or b is None:
            return math.log(0.001)
        high, low = ((math.dist(a, b) + edge) / sigma / math.sqrt(2) for edge in (-2, 2))
        chance = (math.erfc(high) - math.erfc(low)) / 2
        return max(math.log(chance), -100) if chance > 0 else -100

    def total(track):
        ways = sum(step(a[0], b[0]) for a, b in itertools.pairwise(track))
        return ways + sum(math.log(weight) for _, weight, _ in track)

    return max(itertools.product(*states), key=total)


@pytest.mark.parametrize("number", range(4))
def test_aniposes_result(number):
    golden = np.load(GOLDEN)
    n_back, offset, least = golden["viterbi_settings"][number]
    points, scores, filled = viterbi(
        golden["viterbi_points"],
        golden["viterbi_scores"],
        n_back=int(n_back),
        offset_threshold=offset,
        score_threshold=least,
    )
    theirs, their_scores = golden[f"viterbi_points_{number}"], golden[f"viterbi_scores_{number}"]
    missing = (theirs == -1).all(axis=-1)
    assert (16 if n_back > 1 else 30) <= missing.sum() < 40
    assert np.array_equal(np.isnan(points).all(axis=-1), missing) and np.isnan(scores[missing]).all()
    assert np.array_equal(points[~missing], theirs[~missing])
    assert np.array_equal(scores[~missing], their_scores[~missing])
    assert not filled[missing].any() and filled.any() == (n_back > 1)
    assert (points != golden["viterbi_points"][:, :, 0]).any(axis=-1).mean() > 0.4


@pytest.mark.parametrize("n_back", [1, 2, 3])
@pytest.mark.parametrize("seed", range(40))
def test_the_best_of_all_tracks(n_back, seed):
    rng = np.random.default_rng(seed)
    points = walk(4, 1, seed)[:, :, None] + rng.normal(0, 30, (4, 1, 2, 2))
    scores = rng.random((4, 1, 2))
    scores[rng.random(scores.shape) < 0.3] = 0.0
    points[rng.random(scores.shape) < 0.1] = np.nan
    found, weights, filled = viterbi(
        points, scores, n_back=n_back, offset_threshold=9.0, score_threshold=0.05
    )
    expected = by_trying(points[:, 0], scores[:, 0], n_back, 9.0, 0.05)
    for frame, (place, weight, age) in enumerate(expected):
        assert np.array_equal(found[frame, 0], [np.nan] * 2 if place is None else place, equal_nan=True)
        assert np.isnan(weights[frame, 0]) if place is None else weights[frame, 0] == pytest.approx(weight)
        assert filled[frame, 0] == (age > 0)


def test_the_probability_of_a_step():
    for sigma in (3.0, 25.0, 400.0):
        for distance in (0.0, 1.0, 2.0, 7.5, 60.0, 7 * sigma, 9 * sigma, 13 * sigma, 20 * sigma, 1e6):
            high, low = ((distance + edge) / sigma / math.sqrt(2) for edge in (-2, 2))
            chance = (math.erfc(high) - math.erfc(low)) / 2
            expected = max(math.log(chance), -100) if chance > 0 else -100
            assert _log_probability(np.array([distance]), sigma)[0] == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("n_back", [1, 2, 4])
def test_the_probabilities_of_all_steps(n_back):
    places = np.random.default_rng(3).uniform(0, 60, (n_back + 6, 2, 3, 2))
    found = _transition(places, n_back, 20.0)
    assert found.shape == (6, n_back * 3, n_back * 3, 2)
    for frame, before, after, joint in np.ndindex(found.shape):
        start = places[n_back + frame - 1 - before // 3, joint, before % 3]
        end = places[n_back + frame - after // 3, joint, after % 3]
        expected = _log_probability(np.array([math.dist(start, end)]), 20.0)[0]
        assert found[frame, before, after, joint] == pytest.approx(expected, rel=1e-12)


def test_candidates_that_changed_places_are_put_right():
    rng = np.random.default_rng(5)
    truth = walk(500, 4)
    points = np.stack([truth + rng.normal(0, 0.5, truth.shape), truth + np.array([60.0, -40.0])], axis=2)
    scores = np.stack([np.full((500, 4), 0.9), np.full((500, 4), 0.85)], axis=2)
    swapped = rng.random((500, 4)) < 0.15
    swapped[0] = False
    points[swapped] = points[swapped][:, ::-1]
    found, weights, filled = viterbi(points, scores, **SETTINGS)
    assert swapped.sum() > 250
    assert np.linalg.norm(found - truth, axis=-1).max() < 3 and not filled.any()
    assert np.array_equal(weights, np.where(swapped, 0.85, 0.9))


def test_lone_outliers_are_bridged_by_what_was_before():
    points, scores = walk(60, 2)[:, :, None], np.full((60, 2, 1), 0.8)
    wrong = np.zeros((60, 2), dtype=bool)
    wrong[[10, 11, 40], 0] = wrong[25, 1] = True
    points[wrong] += 150
    found, weights, filled = viterbi(points, scores, **SETTINGS)
    assert np.array_equal(filled, wrong)
    assert np.array_equal(found[~wrong], points[:, :, 0][~wrong])
    assert np.array_equal(found[[10, 11], 0], np.repeat(points[9:10, 0, 0], 2, axis=0))
    assert weights[9:13, 0].tolist() == [0.8, 0.4, 0.2, 0.8]


@pytest.mark.parametrize("n_back", [1, 2, 4])
@pytest.mark.parametrize("gap", [1, 3, 5])
def test_gaps_are_held_as_long_as_that_is_allowed_and_then_missing(n_back, gap):
    points, scores = walk(30, 2)[:, :, None], np.full((30, 2, 1), 0.9)
    scores[12 : 12 + gap, 0] = 0.04
    found, weights, filled = viterbi(
        points, scores, n_back=n_back, offset_threshold=25.0, score_threshold=0.05
    )
    held = min(gap, n_back - 1)
    assert np.flatnonzero(filled[:, 0]).tolist() == list(range(12, 12 + held))
    assert (found[12 : 12 + held, 0] == points[11, 0, 0]).all()
    assert np.flatnonzero(np.isnan(found).all(axis=-1)[:, 0]).tolist() == list(range(12 + held, 12 + gap))
    assert np.array_equal(np.isnan(weights), np.isnan(found).any(axis=-1))
    assert np.allclose(weights[12 : 12 + held, 0], 0.9 / 2.0 ** np.arange(1, held + 1))
    assert np.array_equal(found[:, 1], points[:, 1, 0]) and not (found == -1).any()


def test_joints_that_are_never_seen_and_recordings_of_a_few_frames():
    for frames in range(4):
        points, scores = walk(frames, 3)[:, :, None], np.full((frames, 3, 1), 0.9)
        points[:, 1] = np.nan
        scores[:, 2] = np.nan
        found, weights, filled = viterbi(points, scores, **SETTINGS)
        assert np.array_equal(found[:, 0], points[:, 0, 0]) and not filled.any()
        assert np.isnan(found[:, 1:]).all() and np.isnan(weights[:, 1:]).all()
    empty = viterbi(np.zeros((5, 0, 2, 2)), np.zeros((5, 0, 2)), **SETTINGS)
    assert [part.shape for part in empty] == [(5, 0, 2), (5, 0), (5, 0)]


def test_what_is_no_candidate():
    """No score, a score of 0 with a threshold of 0, half a point, an infinite one."""
    points, scores = np.full((6, 1, 5, 2), 50.0), np.full((6, 1, 5), 0.9)
    points += np.arange(5)[:, None] * 20
    scores[:, :, 0], scores[:, :, 1] = np.nan, 0
    points[:, :, 1] = 128
    points[:, :, 2, 1], points[:, :, 3, 0] = np.nan, np.inf
    found, weights, _ = viterbi(points, scores, n_back=3, offset_threshold=25.0, score_threshold=0)
    assert (found == 130).all() and (weights == 0.9).all()


def test_the_second_of_two_close_candidates_is_left_out():
    points = np.array([100.0, 105.0, 110.1])[:, None] * np.array([1.0, 0.0]) + np.array([0.0, 70.0])
    scores = np.array([0.2, 0.9, 0.3])
    found, weights, _ = viterbi(points[None, None], scores[None, None], **SETTINGS)
    assert (
        found[0, 0].tolist() == [110.1, 70] and weights[0, 0] == 0.3
    )  # 105 is as near as a duplicate can be
    points[1, 0] += 1e-3
    found, weights, _ = viterbi(points[None, None], scores[None, None], **SETTINGS)
    assert weights[0, 0] == 0.9


def test_parts_that_are_computed_apart_fit_together(monkeypatch):
    golden = np.load(GOLDEN)
    arrays = golden["viterbi_points"], golden["viterbi_scores"]
    whole = viterbi(*arrays, **SETTINGS)
    for cells in (1, 3 * 15 * 15 * 7):
        monkeypatch.setattr("anipipe.numerics.viterbi.CELLS", cells)
        for one, other in zip(viterbi(*arrays, **SETTINGS), whole, strict=True):
            assert np.array_equal(one, other, equal_nan=True)


@given(st.permutations(range(3)), st.floats(-500, 500), st.integers(0, 20), st.integers(1, 4))
@settings(max_examples=40, deadline=None)
def test_order_and_company_of_joints_and_place_do_not_matter(order, shift, seed, n_back):
    rng = np.random.default_rng(seed)
    points = walk(25, 3, seed)[:, :, None] + rng.normal(0, 20, (25, 3, 2, 2))
    scores = rng.random((25, 3, 2))
    scores[rng.random(scores.shape) < 0.3] = 0.01
    options = {**SETTINGS, "n_back": n_back}
    found, weights, filled = viterbi(points, scores, **options)
    moved = viterbi(points[:, order] + shift, scores[:, order], **options)
    assert np.allclose(moved[0], found[:, order] + shift, equal_nan=True)
    assert np.array_equal(moved[1], weights[:, order], equal_nan=True)
    assert np.array_equal(moved[2], filled[:, order])
    alone = viterbi(points[:, 1:2], scores[:, 1:2], **options)
    assert np.array_equal(alone[0], found[:, 1:2], equal_nan=True)


def test_input_is_not_changed():
    points, scores = walk(20, 2)[:, :, None], np.full((20, 2, 1), 0.01)
    before = points.copy()
    viterbi(points, scores, **SETTINGS)
    assert np.array_equal(points, before)


@pytest.mark.parametrize(
    ("shape", "options"),
    [((4, 2, 1), {}), ((4, 3, 1, 2), {}), ((4, 2, 0, 2), {}), ((4, 2, 1, 2), {"n_back": 0})]
    + [((4, 2, 1, 2), {"offset_threshold": value}) for value in (0.0, math.nan)],
)
def test_wrong_arguments(shape, options):
    with pytest.raises(ValueError):
        viterbi(np.zeros(shape), np.zeros((4, 2, shape[2])), **{**SETTINGS, **options})
