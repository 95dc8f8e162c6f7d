"""Decoded frames as arrays."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

_LUMA_FIRST = re.compile(r"yuvj?a?4\d\dp|nv\d\d?")  # 8 bits, brightness in a plane of its own
_FULL_RANGE = 2
_STRETCH = 255 / 219  # from 16..235, in which most cameras store brightness, to 0..255


class Pictures:
    """Turns decoded frames into arrays, upright.

    Parameters
    ----------
    rotation
        Degrees to turn counterclockwise; what is no multiple of 90 counts as 0.
    grey
        Brightness only.
    threads
        For the conversion of colours; 0 for as many as there are cores.
    """

    def __init__(self, rotation: int, grey: bool, threads: int) -> None:
        import cv2
        from av.video.reformatter import Interpolation, VideoReformatter

        self._turn = {
            90: cv2.ROTATE_90_COUNTERCLOCKWISE,
            180: cv2.ROTATE_180,
            270: cv2.ROTATE_90_CLOCKWISE,
        }.get(rotation % 360)
        self._grey, self._threads = grey, threads
        self._reformatter, self._bicubic = VideoReformatter(), Interpolation.BICUBIC

    def __call__(self, frame: VideoFrame) -> NDArray[np.uint8]:
        """Return a picture, (height, width) or (height, width, 3) in the order blue, green, red."""
        import cv2

        if not self._grey:
            picture = self._colours(frame)
        elif _LUMA_FIRST.fullmatch(frame.format.name):
            picture = _luma(frame)
        else:
            picture = cast(NDArray[np.uint8], cv2.cvtColor(self._colours(frame), cv2.COLOR_BGR2GRAY))
        return picture if self._turn is None else cast(NDArray[np.uint8], cv2.rotate(picture, self._turn))

    def _colours(self, frame: VideoFrame) -> NDArray[np.uint8]:
        # bicubic (chroma is smaller than the picture) and without exact rounding: OpenCV's own choices
        converted = self._reformatter.reformat(
            frame, format="bgr24", interpolation=self._bicubic, threads=self._threads
        )
        lines = _plane(converted, 3)
        # what was converted is ours, unless its lines are padded; the decoder may still need its own
        lines = lines.copy() if converted is frame else np.ascontiguousarray(lines)
        return lines.reshape(frame.height, frame.width, 3)


def _luma(frame: VideoFrame) -> NDArray[np.uint8]:
    import cv2

    plane = _plane(frame, 1)
    if frame.format.name.startswith("yuvj") or frame.color_range == _FULL_RANGE:
        return plane.copy()
    stretched: Any = cv2.convertScaleAbs(plane, alpha=_STRETCH, beta=-16 * _STRETCH)
    return cast(NDArray[np.uint8], stretched)


def _plane(frame: VideoFrame, channels: int) -> NDArray[np.uint8]:
    """Return the first plane, (height, bytes), as a view."""
    plane = frame.planes[0]
    lines = np.frombuffer(cast(Any, plane), dtype=np.uint8).reshape(-1, abs(plane.line_size))
    upright = lines if plane.line_size > 0 else lines[::-1]  # as in uncompressed AVI
    return upright[: frame.height, : channels * frame.width]
