"""What the ``config.yaml`` of a Lightning Pose model says on its network. No torch here.

Values may be ``${...}``, places of other values; none that is needed here ever is.
"""

from __future__ import annotations

from anipipe.errors import DataError
from anipipe.networks.models import Preparation, SoftArgmaxDecoding
from anipipe.networks.settings_files import Settings, checked_joints, section

#: Where the file does not say ``downsample_factor``.
USUAL_FACTOR = 2


def joints(settings: Settings, where: str) -> tuple[str, ...]:
    """Return the joints in the order of the network's channels; raises DataError where they are no names."""
    data = section(settings, "data")
    key = "keypoint_names" if data.get("keypoint_names") else "keypoints"  # as it was called at first
    names = checked_joints(data.get(key), f"{where}: data.keypoint_names")
    count = data.get("num_keypoints")
    if type(count) is int and count != len(names):
        raise DataError(f"{where}: data.num_keypoints is {count}, but {len(names)} joints are named")
    return names


def preparation(settings: Settings, where: str) -> Preparation:
    """Return how frames are prepared; raises DataError where the size of the input is not known."""
    table = section(settings, "data", "image_resize_dims")
    width, height = table.get("width"), table.get("height")
    if type(width) is not int or type(height) is not int or min(width, height) <= 0:
        raise DataError(
            f"{where}: data.image_resize_dims needs width and height, whole numbers; found {width!r} and "
            f"{height!r}"
        )
    return Preparation(size=(width, height))


def decoding(settings: Settings) -> SoftArgmaxDecoding:
    """Return how heatmaps become points."""
    return SoftArgmaxDecoding(doublings=factor(settings))


def factor(settings: Settings) -> int:
    """Return how many times smaller by half the heatmaps are; not checked."""
    given = section(settings, "data").get("downsample_factor")
    return USUAL_FACTOR if given is None else given
