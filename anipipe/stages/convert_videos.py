"""``convert-videos``: what the camera wrote, as H.264 that takes a fraction of the room."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from anipipe.artifacts import UNCOMPRESSED_VIDEO, VIDEO
from anipipe.engine.declare import Stage, found
from anipipe.errors import DataError
from anipipe.formats.films import Film, ahead
from anipipe.formats.video import Video
from anipipe.stages.labeling import common_rate
from anipipe.stages.options import SettingsOptions, setting

Image = NDArray[np.uint8]


@dataclass(frozen=True)
class ConvertOptions(SettingsOptions):
    """How videos are compressed."""

    quality: int = setting("convert.quality")
    preset: str = setting("convert.preset")
    speed: float = setting("converted_video_speed")


def convert(video: Video, *, options: ConvertOptions) -> Film:
    """Compress the videos in videos-uncompressed/ into videos-raw/, as H.264; the originals stay as they are.

    Frame for frame, in the same size: what is missing or damaged in the original is missing here as well,
    and nothing after it shifts. (Only at the very beginning and end a black picture holds its place.) A
    recording of which half or more cannot be decoded is refused.
    """
    size, count, remarks = video.info.size, video.count(), list[str]()

    def pictures() -> Iterator[Image | None]:
        lost = 0
        for row, picture in ahead(video.frames()):
            lost += picture is None
            between = 0 < row < count - 1
            yield np.zeros((size[1], size[0], 3), np.uint8) if picture is None and not between else picture
        if lost:
            _refuse_ruins(video, lost, count)
            remarks.append(f"{video.path.name}: {lost} of {count} frames are missing or damaged")

    rate = common_rate([video]) * options.speed
    return Film(pictures(), size, count, rate, options.quality, options.preset, remarks, exact=True)


def _refuse_ruins(video: Video, lost: int, count: int) -> None:
    """Refuse a recording of whose pace so little is left that nobody could tell which frames are missing."""
    if 2 * lost >= count:
        raise DataError(
            f"{video.path}: {lost} of {count} frames cannot be decoded. Copy it anew from where it was "
            "recorded, or cut it where it breaks off"
        )


STAGE = Stage(
    name="convert-videos",
    aliases=("compress",),
    per="video",
    run=convert,
    reads={"video": found(UNCOMPRESSED_VIDEO)},
    writes=VIDEO,
    options=ConvertOptions,
)
