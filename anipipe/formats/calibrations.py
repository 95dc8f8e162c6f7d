"""Cameras: ``calibration.toml``, in Anipose's layout.

One section ``[cam_N]`` per camera with ``name``, ``size`` = [width, height] in pixels, ``matrix`` (3 x 3),
``distortions``, ``rotation`` (Rodrigues) and ``translation``, world to camera: ``x_camera = R X + t``;
``fisheye = true`` for fisheye lenses; then ``[metadata]`` with ``adjusted``, ``error`` (median, px) and
whatever else was noted.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from anipipe.config import toml_text
from anipipe.errors import DataError
from anipipe.formats._files import REMEDY, check_last_line, read_text
from anipipe.guards import check_names
from anipipe.numerics.cameras import Camera, Rig

_NUMBERED = re.compile(r"cam_(\d+)")
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_LARGEST = 2**20  # bytes; a camera takes less than one thousand
_REMEDY = "Correct the file, or calibrate again."


def read_calibration(path: Path) -> Rig:
    """Read cameras from a calibration file.

    Parameters
    ----------
    path
        A ``calibration.toml`` of anipipe, Anipose, aniposelib, FreeMoCap or Pose2Sim.

    Returns
    -------
    The cameras, ``[cam_N]`` by their numbers (10 after 9), sections of other names after them as they stand;
    lengths stay in the file's unit. Fewer than 5 distortions are completed with zeros (k1, k2, p1, p2, k3);
    more are accepted if they are 0.

    Raises
    ------
    DataError
        Not TOML, cut off, no cameras, or a camera that is incomplete, not finite or named like another. A
        file cut off exactly between two cameras is a whole file with fewer cameras: no reader can see it.
    """
    text = read_text(path, limit=_LARGEST)
    try:
        content = toml_text.parse(text)
    except ValueError as error:
        raise DataError(f"{path}: not readable as TOML: {error}. {_REMEDY}") from error
    check_last_line(path)
    metadata = content.pop("metadata", {})
    if not isinstance(metadata, dict):
        raise DataError(f"{path}: metadata is not a section. {_REMEDY}")
    sections = {key: value for key, value in content.items() if isinstance(value, dict)}
    if not sections:
        raise DataError(f"{path}: holds no camera (sections [cam_0], [cam_1], ...). {REMEDY}")
    cameras = tuple(_camera(path, key, sections[key]) for key in sorted(sections, key=_order))
    names = [camera.name for camera in cameras]
    check_names(names, path)
    double = next((name for name in names if names.count(name) > 1), None)
    if double is not None:
        raise DataError(f"{path}: two cameras are called {double!r}. Give each camera its own name.")
    return Rig(cameras, metadata)


def _order(key: str) -> tuple[bool, int]:
    match = _NUMBERED.fullmatch(key)
    return (False, int(match[1])) if match else (True, 0)


def _camera(path: Path, key: str, section: Mapping[str, Any]) -> Camera:
    where = f"{path}: camera [{key}]"
    lacking = [name for name in ("name", "matrix", "rotation", "translation") if name not in section]
    if lacking:
        raise DataError(f"{where} lacks {', '.join(lacking)}. {_REMEDY}")
    name = section["name"]
    if not isinstance(name, str | int) or isinstance(name, bool) or str(name) == "":
        raise DataError(f"{where}: name = {name!r} is no name. {_REMEDY}")
    fisheye = section.get("fisheye", False)
    if not isinstance(fisheye, bool):
        raise DataError(f"{where}: fisheye = {fisheye!r} should be true or false. {_REMEDY}")
    size = section.get("size")
    if size is not None:
        pair = _numbers(where, "size", size, (2,))
        if (pair < 1).any() or (pair != np.round(pair)).any():
            raise DataError(f"{where}: size = {size!r} should be width and height in whole pixels. {_REMEDY}")
        size = (int(pair[0]), int(pair[1]))
    try:
        return Camera(
            name=str(name),
            size=size,
            matrix=_numbers(where, "matrix", section["matrix"], (3, 3)),
            distortions=_distortions(where, section.get("distortions", []), fisheye),
            rotation=_numbers(where, "rotation", section["rotation"], (3,)),
            translation=_numbers(where, "translation", section["translation"], (3,)),
            fisheye=fisheye,
        )
    except DataError as error:
        if str(error).startswith(where):
            raise
        raise DataError(f"{where}: {error}. {_REMEDY}") from error


def _numbers(where: str, key: str, value: Any, shape: tuple[int, ...] | None) -> NDArray[np.float64]:
    """Return a finite array of the wanted shape (None: any length), or raise DataError."""
    try:
        given = np.asarray(value)
    except ValueError:  # lists of different lengths
        given = np.asarray(str(value))
    if given.dtype.kind not in "iuf" and given.size:
        raise DataError(f"{where}: {key} = {_shown(value)} is not made of numbers. {_REMEDY}")
    array = given.astype(np.float64)
    if shape is not None and array.shape != shape and array.size == math.prod(shape) and 1 in array.shape:
        array = array.reshape(shape)  # a column, as OpenCV returns vectors
    if array.shape != shape and not (shape is None and array.ndim == 1):
        expected = " x ".join(map(str, shape)) + " numbers" if shape else "a list of numbers"
        hint = " (the Rodrigues vector, not the matrix)" if key == "rotation" else ""
        raise DataError(f"{where}: {key} has the shape {array.shape}, expected {expected}{hint}. {_REMEDY}")
    if not np.isfinite(array).all():
        raise DataError(f"{where}: {key} = {_shown(value)} is not finite. {_REMEDY}")
    return array


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:199]}…"


def _distortions(where: str, value: Any, fisheye: bool) -> NDArray[np.float64]:
    """Return the 5 (k1, k2, p1, p2, k3), or for fisheye lenses 4, coefficients in use."""
    count = 4 if fisheye else 5
    given = _numbers(where, "distortions", value, None)
    if np.any(given[count:] != 0):
        raise DataError(
            f"{where}: has {len(given)} distortions; anipipe knows {count} for this kind of lens and the "
            "others are not 0. Calibrate again."
        )
    result = np.zeros(count)
    result[: len(given)] = given[:count]
    return result


def write_calibration(rig: Rig, path: Path) -> None:
    """Write cameras in Anipose's layout; aniposelib reads the file.

    Parameters
    ----------
    rig
        The cameras; every number reads back exactly equal. Metadata that is None is left out.
    path
        The file; replaced if it exists.
    """
    blocks: list[str] = []
    for number, camera in enumerate(rig.cameras):
        section: dict[str, Any] = {"name": camera.name}
        if camera.size is not None:
            section["size"] = camera.size
        section |= {
            "matrix": camera.matrix,
            "distortions": camera.distortions,
            "rotation": camera.rotation,
            "translation": camera.translation,
        }
        if camera.fisheye:
            section["fisheye"] = True
        blocks += _section(f"cam_{number}", section)
    blocks += _section("metadata", rig.metadata)
    path.write_text("\n".join(blocks), encoding="utf-8", newline="\n")


def _section(name: str, content: Mapping[str, Any]) -> list[str]:
    """Return a section's text and that of the sections within it."""
    plain = {
        key: value for key, value in content.items() if value is not None and not isinstance(value, Mapping)
    }
    lines = [f"[{name}]", *(f"{_key(key)} = {_value(value)}" for key, value in plain.items())]
    blocks = ["\n".join(lines) + "\n"]
    for key, value in content.items():
        if isinstance(value, Mapping):
            blocks += _section(f"{name}.{_key(key)}", value)
    return blocks


def _key(key: Any) -> str:
    return str(key) if _BARE_KEY.fullmatch(str(key)) else _text(str(key))


def _text(text: str) -> str:
    # JSON's escapes are TOML's; DEL alone is forbidden in TOML and left as it is by JSON
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _value(value: Any) -> str:
    """Return a value as the toml package writes it (Anipose's writer), lists with a trailing comma."""
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        # no leading zeros in exponents: the toml package, with which Anipose reads, stumbles over them
        return repr(value).replace("e-0", "e-").replace("e+0", "e+")
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, list | tuple):
        return "[" + "".join(f" {_value(item)}," for item in value) + "]"
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{_key(key)} = {_value(item)}" for key, item in value.items()) + " }"
    return str(value)  # whole numbers; dates in ISO format
