from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from synthetic_board import BOARD, NAMES, SIZE, Found, detect, keep, make_rig, pair

from anipipe.errors import DataError
from anipipe.numerics.calibration.views import (
    check_views,
    corners_needed,
    groups,
    pair_views,
    shared_corners,
    usable,
)


@pytest.fixture
def seen():
    return detect(make_rig(), 12)


def blank(found: Found, remark: str = "") -> Found:
    nothing = keep(found, np.zeros(len(found.points), dtype=bool))
    nothing.remark = remark
    return nothing


def refused(views, *words: str, **options) -> str:
    with pytest.raises(DataError) as raised:
        check_views(views, BOARD, **options)
    for word in words:
        assert word in str(raised.value), str(raised.value)
    return str(raised.value)


def test_good_views_pass_and_hold_what_was_detected(seen):
    views = pair(seen)
    check_views(views, BOARD)
    assert views.cameras == NAMES  # in natural order
    assert views.sizes == (SIZE,) * 4 and views.frames == (12,) * 4 and views.remarks == ("",) * 4
    for index, name in enumerate(NAMES):
        found = seen[name]
        rows = [views.instants.index(("board", int(number))) for number in found.numbers]
        assert np.array_equal(views.pixels[index, rows, found.corners], found.points)
        assert views.seen[index].sum() == len(found.points)


def test_instants_are_in_natural_order_and_cameras_in_any():
    rig = make_rig()
    parts = [detect(rig, 3, trial=trial, missing=0) for trial in ("take10", "take9")]
    one = pair_views([found for each in parts for found in each.values()], len(BOARD))
    two = pair_views([found for each in parts[::-1] for found in list(each.values())[::-1]], len(BOARD))
    assert one.cameras == two.cameras and one.instants == two.instants
    assert [trial for trial, _ in one.instants] == ["take9"] * 3 + ["take10"] * 3
    assert np.array_equal(one.pixels, two.pixels, equal_nan=True)


def test_a_camera_without_one_trial_and_a_shorter_one_shift_nothing():
    rig = make_rig()
    first, second = detect(rig, 8, trial="a", seed=1), detect(rig, 8, trial="b", seed=2)
    whole = pair(first, second)
    lacking = pair(
        {name: found for name, found in first.items() if name != "cam2"},
        second | {"cam9": keep(second["cam9"], second["cam9"].numbers < 3)},
    )
    assert lacking.instants == whole.instants
    assert not lacking.seen[1, :8].any()
    for index, there in ((0, slice(None)), (1, slice(8, None)), (2, slice(0, 11)), (3, slice(None))):
        assert np.array_equal(lacking.pixels[index, there], whole.pixels[index, there], equal_nan=True)
    assert not lacking.seen[2, 11:].any()


def test_shared_corners_and_groups(seen):
    rng = np.random.default_rng(0)
    seen["cam9"] = keep(seen["cam9"], rng.random(len(seen["cam9"].points)) < 0.5)
    views = pair(seen)
    shared = shared_corners(views)
    sets = [{*zip(f.numbers.tolist(), f.corners.tolist(), strict=True)} for f in seen.values()]
    assert shared.tolist() == [[len(a & b) for b in sets] for a in sets]
    mask = np.ones((4, len(views.instants)), dtype=bool)
    mask[2] = False
    assert (shared_corners(views, mask)[2] == 0).all() and shared_corners(views, mask)[0, 1] == shared[0, 1]
    assert groups(shared) == [[0, 1, 2, 3]]
    linked = np.eye(6, dtype=int)
    for a, b in ((0, 4), (4, 2), (1, 5)):
        linked[a, b] = linked[b, a] = 3
    assert groups(linked) == [[0, 2, 4], [1, 5], [3]]
    assert groups(np.empty((0, 0))) == []


@pytest.mark.parametrize(
    ("corners", "needed"), [(88, 8), (12, 8), (11, 8), (9, 7), (6, 5), (5, 4), (4, 4), (1, 4)]
)
def test_corners_needed(corners, needed):
    assert corners_needed(corners) == needed


def test_usable_wants_enough_corners_off_one_line(seen):
    views = pair(seen)
    views.pixels[:] = np.nan
    views.pixels[0, 0, :8] = 5.0  # a row of seven and one below
    views.pixels[0, 1, :7] = 5.0
    views.pixels[0, 2, :6] = views.pixels[0, 2, 7:8] = 5.0
    good = usable(views, BOARD)
    assert good[0, 0] and good.sum() == 1
    diagonal = np.arange(20)[:, None] * np.array([3.0, 4.0, 0])
    line = pair_views(
        [Found("a", SIZE, 1, np.full(20, "t"), np.zeros(20, int), np.arange(20), np.ones((20, 2)))], 20
    )
    assert not usable(line, diagonal).any()
    diagonal[3, 0] += 1
    assert usable(line, diagonal).all()


def test_no_camera_saw_the_board(seen):
    views = pair({name: blank(found, "no marker at all.") for name, found in seen.items()})
    refused(views, "no camera saw", "cam10, 12 frames (no marker at all)", "[calibration]")


def test_one_camera_never_saw_the_board(seen):
    seen["cam9"] = blank(seen["cam9"], "markers of another dictionary")
    message = refused(
        pair(seen), "camera cam9, 12 frames (markers of another dictionary)", "record it before"
    )
    assert "cam10" not in message


def test_the_remark_of_an_empty_recording_beside_a_good_one_does_not_count(seen):
    views = pair(seen, {"cam1": blank(seen["cam1"], "nothing here")})
    assert views.remarks[0] == "" and views.frames[0] == 24


def test_only_one_camera(seen):
    refused(pair({"cam1": seen["cam1"]}), "only camera cam1", "cam_regex")
    refused(pair({}), "no camera has recordings")


def test_two_groups_apart(seen):
    late = {name: keep(found, found.numbers >= 6) for name, found in seen.items() if name in NAMES[2:]}
    early = {name: keep(found, found.numbers < 6) for name, found in seen.items() if name in NAMES[:2]}
    message = refused(pair(early, late), "cam1, cam2 | cam9, cam10", "Record the board once more")
    assert "in common" not in message


def test_groups_of_other_recordings_hint_at_names():
    rig = make_rig()
    one, two = detect(rig, 6, trial="morning"), detect(rig, 6, trial="evening", seed=3)
    views = pair({n: one[n] for n in NAMES[:2]}, {n: two[n] for n in NAMES[2:]})
    refused(views, "cam1, cam2 | cam9, cam10", "in common", "'morning' and 'evening'")


def test_frames_with_few_corners_link_nothing(seen):
    few = [keep(seen[name], seen[name].corners < 4) for name in NAMES[2:]]
    late = detect(make_rig(), 6, trial="late", seed=4)
    views = pair_views([seen["cam1"], seen["cam2"], *few, late["cam9"], late["cam10"]], len(BOARD))
    assert groups(shared_corners(views)) == [[0, 1, 2, 3]]
    refused(views, "8 or more corners", "cam1, cam2 | cam9, cam10")


def test_one_row_only(seen):
    seen["cam2"] = keep(seen["cam2"], seen["cam2"].corners < 7)
    refused(pair(seen), "camera cam2", "on one line", "more of it in the image")


def test_too_few_frames(seen):
    seen["cam2"] = keep(seen["cam2"], (seen["cam2"].numbers < 2) | (seen["cam2"].corners % 6 == 0))
    refused(pair(seen), "camera cam2: 2 of 12 frames", "8 corners or more", "3 are needed")
    check_views(pair(seen), BOARD, frames=1)


def test_recordings_of_different_size():
    rig = make_rig()
    one, two = detect(rig, 3, trial="a"), detect(rig, 3, trial="b")
    two["cam9"].size = (640, 480)
    with pytest.raises(DataError, match=r"camera cam9: .*640x480 and 1280x1024"):
        pair(one, two)


def test_a_corner_that_the_board_has_not(seen):
    with pytest.raises(DataError, match=r"camera cam1: corner 34 .* has 20 corners"):
        pair_views(seen.values(), 20)


def test_the_same_instant_twice(seen):
    with pytest.raises(DataError, match=r"camera cam1: two recordings .*board"):
        pair_views([*seen.values(), seen["cam1"]], len(BOARD))
    first = seen["cam2"]
    doubled = keep(first, np.r_[0 : len(first.points), 0])
    with pytest.raises(DataError, match="camera cam2"):
        pair({"cam2": doubled})


def read_as(found: dict[str, Found], **layouts: bool | None) -> dict[str, Found]:
    """The same with the layout that some cameras read the board in."""
    return found | {name: replace(found[name], legacy=legacy) for name, legacy in layouts.items()}


def test_cameras_that_read_the_board_in_different_layouts(seen):
    with pytest.raises(DataError, match=r": cam2, cam10 in that of OpenCV before 4\.6, cam1 in the present"):
        pair(read_as(seen, cam2=True, cam9=None, cam10=True))
    other = detect(make_rig(), 3, trial="late")
    with pytest.raises(DataError, match=r": cam1 in that .*, cam1, cam2, cam9, cam10 in the present one"):
        pair(seen, {"cam1": replace(other["cam1"], legacy=True)})
    blind = {name: blank(found) for name, found in read_as(seen, cam9=True).items() if name == "cam9"}
    assert pair(seen | blind).shown[2].sum() == 0, "what saw nothing read nothing"


def test_cameras_that_do_not_know_the_layout_count_as_those_that_do(seen):
    views = pair(seen)
    present = pair(read_as(seen, cam2=None, cam9=None))
    assert np.array_equal(present.pixels, views.pixels, equal_nan=True)
    one_more = {name: replace(seen[name], corners=seen[name].corners + 1) for name in ("cam2", "cam9")}
    legacy = read_as(seen | one_more, cam1=True, cam2=None, cam9=None, cam10=True)
    assert np.array_equal(
        pair_views(legacy.values(), len(BOARD) + 1).pixels[..., :-1, :], views.pixels, equal_nan=True
    )


def test_a_layout_that_no_camera_knows_moves_the_board_only(seen):
    """They all mean the same corners by the same numbers, which is all that takes."""
    unknown = read_as(seen, **dict.fromkeys(NAMES))
    assert np.array_equal(pair(unknown).pixels, pair(seen).pixels, equal_nan=True)
