"""From videos to 2D poses: networks, predictions of other programs, filtering, drawing."""

from __future__ import annotations

from typing import Literal

from anipipe.config.values import (
    DRAWN,
    BatchSize,
    Colormap,
    Colour,
    Crop,
    Drawn,
    Filters,
    Joints,
    Odd,
    PictureSize,
    Preset,
    Quality,
    Scheme,
    Section,
    key,
)

_PROCESSES = "not needed: videos are filtered in parallel by default; --jobs sets how many at once"


class FilterSettings(Section):
    """``[filter]``: filtering of 2D poses."""

    enabled: bool = key(False, "Filter 2D poses; later stages then use the filtered ones")
    type: Filters = key(("medfilt",), "Filter, or list of filters that are applied one after another")
    medfilt: Odd = key(13, "medfilt: length of the median filter, odd", unit="frames")
    offset_threshold: float = key(
        25.0,
        "medfilt: points further than this from the median are replaced; viterbi: typical motion per frame",
        unit="px",
        gt=0,
    )
    score_threshold: float = key(0.05, "medfilt, viterbi: points with a lower score are dropped", ge=0)
    spline: bool = key(True, "medfilt: fill gaps by a cubic spline; false: by straight lines")
    n_back: int = key(5, "viterbi: how far back candidates are kept", unit="frames", ge=1)
    multiprocessing: bool = key(
        False, "Anipose's: viterbi on several processes; not needed here", notice=_PROCESSES
    )
    multiprocess: bool = key(
        False, "Anipose's other name of multiprocessing; not needed here", notice=_PROCESSES
    )
    n_proc: int | None = key(
        None, "Anipose's: number of processes; not needed here", example=4, notice=_PROCESSES, ge=1
    )
    autoencoder_path: str | None = key(
        None, "autoencoder: its file, relative to the experiment", example="autoencoder.pickle"
    )
    autoencoder_points_path: str | None = key(
        None, "autoencoder_points: its file, relative to the experiment", example="autoencoder-points.pickle"
    )


class LabelingSettings(Section):
    """``[labeling]``: how poses are drawn, in videos and in previews."""

    pictures: Drawn = key(
        DRAWN, "Which videos and pictures are made, where there is what they show; []: none at all"
    )
    scheme: Scheme = key(
        (), "Lines that are drawn, each through a list of joints; joints take their colours in this order"
    )
    displayed_bodyparts: Joints = key(
        None, "Joints that are drawn, by their exact names; left out: all", example=["nose", "tail_base"]
    )
    pcutoff: float = key(0.6, "2D points with a lower score are not drawn", ge=0)
    dot_size: float | None = key(
        None, "Radius of the dots; left out: it grows with the picture", unit="px", example=5, gt=0, le=500
    )
    line_width: float = key(
        1.0, "Width of lines, as a multiple of what suits the picture's size", gt=0, le=50
    )
    colormap: Colormap = key("rainbow", "Colours of the joints: any colour map of matplotlib")
    draw_skeleton: bool = key(True, "Draw the lines of scheme")
    skeleton_color: Colour | None = key(
        None, "Colour of these lines, as matplotlib names them; left out: of their joints", example="white"
    )
    trail_points: int = key(
        0, "How many earlier places of each joint are drawn behind it", unit="frames", ge=0, le=1000
    )
    keypoints_only: bool = key(False, "Draw on black instead of the recorded picture")
    output_frame_rate: float | None = key(
        None,
        "Frames per second at which labelled videos play, all frames kept; left out: as recorded",
        unit="1/s",
        example=10,
        gt=0,
        le=1000,
    )
    quality: Quality = key(
        23, "Labelled videos: x264's quality, 0 (lossless) to 51; less is better and larger"
    )
    preset: Preset = key("veryfast", "Labelled videos: x264's preset; slower ones make smaller files")
    size_3d: PictureSize = key(
        (640, 480), "Width and height of the 3D view in videos", unit="px", example=[1280, 960]
    )
    azimuth: float = key(-60.0, "3D view: direction to look from, about the vertical", unit="degrees")
    elevation: float = key(
        25.0, "3D view: how far above the horizon to look from", unit="degrees", ge=-90, le=90
    )
    orbit: float = key(10.0, "3D view: how fast to go around; 0: the view stands still", unit="degrees/s")


class ConvertSettings(Section):
    """``[convert]``: from videos-uncompressed to videos-raw."""

    quality: Quality = key(17, "x264's quality, 0 (lossless) to 51; less is better and larger")
    preset: Preset = key("medium", "x264's preset; slower ones make smaller files of the same quality")


class PredictionsSettings(Section):
    """``[predictions]``: 2D poses made by other programs."""

    track: str | None = key(
        None,
        "Individual or track of a file that holds several animals; not needed if only one",
        example="mouse1",
    )
    cropped: bool = key(
        False,
        "They were made on cropped videos: DeepLabCut's files need their _meta.pickle, which says where",
    )


class NetworkSettings(Section):
    """``[network]``: how the network is run."""

    device: str = key("auto", "Where it runs: auto (a GPU if there is one), cpu, cuda, cuda:1, ..., mps")
    precision: Literal["auto", "float32", "float16", "bfloat16"] = key(
        "auto", "Its arithmetic; auto: float16 on GPUs that are quicker with it, else float32"
    )
    batch_size: BatchSize = key("auto", "Frames at once; auto: as suits the device", unit="frames")
    num_outputs: int = key(
        1, "Candidates kept per joint; viterbi chooses among them if there is more than one", ge=1
    )
    crop: Crop | None = key(
        None,
        "Part of the frame that the network sees, [x, y, width, height]; one for all cameras or a table",
        unit="px",
        example=[0, 0, 640, 480],
    )
    dynamic_crop: bool = key(
        False, "Compute only a window around the animal, once found; quicker, nearly as exact"
    )
