"""``convert-videos``: what the camera wrote, as H.264 that takes a fraction of the room."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from anipipe.artifacts import UNCOMPRESSED_VIDEO, VIDEO
from anipipe.engine.declare import Stage, found
from anipipe.formats.films import Film, ahead
from anipipe.formats.video import Video
from anipipe.stages.labeling import common_rate
from anipipe.stages.options import SettingsOptions, setting


@dataclass(frozen=True)
class ConvertOptions(SettingsOptions):
    """How videos are compressed."""

    quality: int = setting("convert.quality")
    preset: str = setting("convert.preset")
    speed: float = setting("converted_video_speed")


def convert(video: Video, *, options: ConvertOptions) -> Film:
    """Compress the videos in videos-uncompressed/ into videos-raw/, as H.264; the originals stay as they are.

    Frame for frame: also frames that are missing or damaged have their place, as black pictures, and what
    comes after them is not shifted.
    """
    size, count, remarks = video.info.size, video.count(), list[str]()

    def pictures() -> Iterator[NDArray[np.uint8]]:
        lost = 0
        for _, picture in ahead(video.frames()):
            lost += picture is None
            yield np.zeros((size[1], size[0], 3), np.uint8) if picture is None else picture
        if lost:
            remarks.append(f"{video.path.name}: {lost} of {count} frames are missing or damaged: black")

    rate = common_rate([video]) * options.speed
    return Film(pictures(), size, count, rate, options.quality, options.preset, remarks)


STAGE = Stage(
    name="convert-videos",
    aliases=("compress",),
    per="video",
    run=convert,
    reads={"video": found(UNCOMPRESSED_VIDEO)},
    writes=VIDEO,
    options=ConvertOptions,
)
