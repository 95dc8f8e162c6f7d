"""What a ``pytorch_config.yaml`` of DeepLabCut 3 says on input and output of its network. No torch here.

A key that is absent and one without a value are the same. Absent keys have the meaning that DeepLabCut 3.0.2
gives them.
"""

from __future__ import annotations

from typing import Any

from anipipe.errors import DataError
from anipipe.networks.models import PeakDecoding, Preparation
from anipipe.networks.settings_files import Settings, checked_joints, section

_INPUT = "data.inference"
#: Without effect on a network of whole frames.
_IDLE = {"top_down_crop", "collate"}
_SUPPORTED = {"resize", "auto_padding", "normalize_images"}


def joints(settings: Settings, where: str) -> tuple[str, ...]:
    """Return the joints in the order of the network's channels; raises DataError where they are no names."""
    names = section(settings, "metadata").get("bodyparts")
    return checked_joints(names, f"{where}: metadata.bodyparts")


def preparation(settings: Settings, where: str) -> Preparation:
    """Return how frames are prepared.

    Raises
    ------
    DataError
        In a way that is not supported; names the key.
    """
    chosen = _without_nulls(section(settings, *_INPUT.split(".")))
    for key, value in chosen.items():
        if value and key not in _IDLE | _SUPPORTED:
            raise DataError(f"{where}: {_INPUT}.{key} = {value!r} is not supported; train without it")
    size, keep_ratio = _resize(section(chosen, "resize"), where)
    divisor = _divisor(section(chosen, "auto_padding"), where)
    if size and (size[0] % divisor or size[1] % divisor):
        raise DataError(
            f"{where}: {_INPUT}.resize gives {size[0]} x {size[1]} pixels, which auto_padding would pad to "
            f"multiples of {divisor}; both together are not supported"
        )
    colours = section(settings, "data").get("colormode") or "RGB"
    if colours not in ("RGB", "BGR"):
        raise DataError(f"{where}: data.colormode = {colours!r} is not supported; it may be RGB or BGR")
    return Preparation(
        size=size,
        keep_ratio=keep_ratio,
        divisor=divisor,
        normalise=bool(chosen.get("normalize_images", True)),
        rgb=colours == "RGB",
    )


def decoding(settings: Settings, stride: float, where: str) -> PeakDecoding:
    """Return how heatmaps become points.

    Parameters
    ----------
    settings, where
        The content of the file, and what it is called.
    stride
        Pixels of the input per cell of the heatmaps.

    Raises
    ------
    DataError
        By another method, or with offsets that the network has not.
    """
    head = section(settings, "model", "heads", "bodypart")
    place = f"{where}: model.heads.bodypart"
    predictor = _without_nulls(section(head, "predictor"))
    method = predictor.get("type", "HeatmapPredictor")
    if method != "HeatmapPredictor":
        raise DataError(f"{place}.predictor.type = {method!r} is not supported, only HeatmapPredictor is")
    refined = predictor.get("location_refinement", True)
    if refined and not section(head, "locref_config"):
        raise DataError(f"{place}.predictor.location_refinement needs a locref_config, which is not there")
    scale = predictor.get("locref_std", 7.2801)
    if not _is_number(scale):
        raise DataError(f"{place}.predictor.locref_std = {scale!r} is no number")
    return PeakDecoding(
        stride=stride,
        offset_scale=float(scale) if refined else None,
        sigmoid=bool(predictor.get("apply_sigmoid", True)),
        clip=bool(predictor.get("clip_scores", False)),
    )


def _resize(table: Settings, where: str) -> tuple[tuple[int, int] | None, bool]:
    if not table:
        return None, False
    size = (table.get("width"), table.get("height"))
    if not all(_is_count(side) for side in size):
        raise DataError(f"{where}: {_INPUT}.resize needs width and height, whole numbers; found {table}")
    return (size[0], size[1]), bool(table.get("keep_ratio", True))  # type: ignore[return-value]


def _divisor(table: Settings, where: str) -> int:
    """Return what width and height are padded to a multiple of; where the picture lies in that is ours."""
    given = _without_nulls(table)
    unsupported = set(given) - {"pad_width_divisor", "pad_height_divisor", "position", "border_mode"}
    across, down = given.get("pad_width_divisor", 1), given.get("pad_height_divisor", 1)
    mode = given.get("border_mode", "reflect_101")
    if unsupported or across != down or not _is_count(across) or mode != "reflect_101":
        raise DataError(
            f"{where}: {_INPUT}.auto_padding = {given} is not supported, only by reflection, to multiples of "
            "one number (pad_width_divisor and pad_height_divisor, equal)"
        )
    return int(across)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_count(value: object) -> bool:
    return type(value) is int and value > 0


def _without_nulls(table: Settings) -> dict[str, Any]:
    return {key: value for key, value in table.items() if value is not None}
