"""The reader of videos on real recordings; see the README beside them for what they are."""

from __future__ import annotations

import os
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pytest

from anipipe.formats.video import Video

DATA = Path(os.environ.get("ANIPIPE_REAL_DATA") or Path(__file__).parents[3] / "shared" / "data")

pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason=f"the real recordings are not at {DATA}")

#: Of cameras that were recorded alike, two.
COUNTS = {
    **{f"mouse-4cam/videos-raw/mouse_{camera}.mp4": 120 for camera in ("back", "top")},
    **{f"mouse-4cam/calibration/board_{camera}.mov": 21 for camera in ("back", "top")},
    **{f"charuco-4cam-inverted/calibration/board_cam{camera}.mp4": 48 for camera in (0, 3)},
    "mirror-mouse/clip.mp4": 120,
    "openfield/m3v1mp4.mp4": 2330,
}
MOST = 300  # frames that are compared


@pytest.mark.parametrize("name", COUNTS)
def test_frames_equal_opencv(name):
    video, capture = Video(DATA / name), cv2.VideoCapture(str(DATA / name), cv2.CAP_FFMPEG)
    assert video.info.frames == video.count() == COUNTS[name]
    assert video.info.size == (capture.get(cv2.CAP_PROP_FRAME_WIDTH), capture.get(cv2.CAP_PROP_FRAME_HEIGHT))
    assert video.info.rate == pytest.approx(capture.get(cv2.CAP_PROP_FPS), rel=1e-3)
    kept, worst = {}, 0
    for row, picture in islice(video.frames(), MOST):
        expected = capture.read()[1]
        worst = max(worst, int(cv2.absdiff(picture, expected).max()))
        if row % 37 == 5:
            kept[row] = picture
    assert capture.read()[0] is (COUNTS[name] > MOST)
    assert worst <= 1
    assert np.isfinite(video.timestamps()).all()
    for row, picture in video.read(kept):
        np.testing.assert_array_equal(picture, kept[row])


def test_brightness_of_the_open_field():
    video = Video(DATA / "openfield/m3v1mp4.mp4")
    rows = range(0, 500, 50)
    for (_, grey), (_, picture) in zip(video.read(rows, grey=True), video.read(rows), strict=True):
        difference = cv2.absdiff(grey, cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY))
        assert difference.max() <= 8
        assert difference.mean() < 1


def test_frames_far_from_each_other_are_those_of_reading_all_in_order():
    """Only the first of its key frames makes all earlier ones dispensable."""
    path = DATA / "openfield/m3v1mp4.mp4"
    rows = [500, 900]  # beyond the first key frames
    kept = {row: picture for row, picture in Video(path).frames(stop=901) if row in rows}
    for chosen in ([500], rows):
        for row, picture in Video(path).read(chosen):
            np.testing.assert_array_equal(picture, kept[row])
