"""From videos to 2D poses: networks, predictions of other programs, filtering, drawing."""

from __future__ import annotations

from typing import Literal

from anipipe.config.values import BatchSize, Crop, Filters, Odd, Scheme, Section, key

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
    """``[labeling]``: how poses are drawn."""

    scheme: Scheme = key((), "Lines that are drawn, each through a list of joints")


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
