"""The kinds of value that a key can have, each with the words that describe it to a user."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, Strict

from anipipe.guards import visible
from anipipe.suggest import nearest

ANGLE_MODES = ("flex", "axis", "cross-axis", "chain")


@dataclass(frozen=True)
class Kind:
    """What a value may be, in words that complete "must be …"."""

    text: str


class KeyFaults(ValueError):
    """Faults of a section as a whole, each laid at the door of one key.

    Parameters
    ----------
    faults
        Pairs of a key of the section and what is wrong with it.
    """

    def __init__(self, *faults: tuple[str, str]) -> None:
        super().__init__("; ".join(f"{name}: {text}" for name, text in faults))
        self.faults = faults


class Section(BaseModel):
    """Base of every section: immutable, no unknown keys, no conversion between types.

    A whole number is accepted where a number is wanted; a boolean is no number.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


def key(
    default: Any,
    help_text: str,
    *,
    unit: str | None = None,
    example: Any = None,
    notice: str | None = None,
    notice_when: Any = None,
    **bounds: Any,
) -> Any:
    """Declare a key: everything that is known about it, in one place.

    Parameters
    ----------
    default
        Its value where no file sets it; None is "not set".
    help_text
        One line, for the template and the documentation.
    unit
        Unit of its value.
    example
        A value to show where the default is None.
    notice
        For keys that are accepted and do nothing here: what to do instead. Shown when a file sets the key.
    notice_when
        Only this value of the key brings the notice.
    **bounds
        Pydantic's ``ge``, ``gt``, ``le``, ``lt``.

    Returns
    -------
    Any
        A pydantic field.
    """
    about = {"unit": unit, "example": example, "notice": notice, "notice_when": notice_when}
    extra = {name: value for name, value in about.items() if value is not None}
    return Field(default, description=help_text, json_schema_extra=extra, **bounds)


def split_angle(angle: tuple[str, ...]) -> tuple[str, tuple[str, ...]]:
    """Split the value of ``angles.NAME`` into its mode and its joints.

    Parameters
    ----------
    angle
        ``(a, b, c)`` or ``(mode, joint, joint, ...)``.

    Returns
    -------
    mode : str
        One of :data:`ANGLE_MODES`; three bare joints are a "flex" angle.
    joints : tuple of str
        The joints as written; those of a "chain" may end in "/", which flips the sign of a rotation.
    """
    if len(angle) > 3 and angle[0] in ANGLE_MODES:
        return angle[0], angle[1:]
    return "flex", angle


def _check_odd(value: int) -> int:
    if value % 2 == 0:
        raise ValueError(f"must be odd: {value - 1} or {value + 1}")
    return value


def _check_pattern(value: str) -> str:
    try:
        pattern = re.compile(value)
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(f"is not a regular expression ({error}); an example: 'cam([0-9])'") from None
    if not pattern.groups:
        raise ValueError(
            "needs parentheses around the part that is the camera's name; an example: 'cam([0-9])'"
        )
    return value


_NOT_PLAIN = re.compile(r'[/\\:*?"<>|]')
#: Windows takes these for devices, whatever stands behind a dot.
_DEVICES = re.compile(r"(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])\s*(\..*)?", re.IGNORECASE)
_LONGEST_FOLDER = 100


def _check_folder(value: str) -> str:
    if (
        not value.strip()
        or value.startswith(".")
        or value.endswith((".", " "))
        or _NOT_PLAIN.search(value)
        or visible(value) != value
    ):
        raise ValueError(
            "must be the plain name of a folder inside the session: no separator, no leading dot, not empty"
        )
    if _DEVICES.fullmatch(value):
        raise ValueError("is a device on Windows, and no name of a folder there; choose another name")
    if len(value) > _LONGEST_FOLDER:
        raise ValueError(f"is too long for the name of a folder: {_LONGEST_FOLDER} characters at most")
    return value


def _as_list(value: object) -> object:
    return [value] if isinstance(value, str) else value


def _check_distinct(value: tuple[Any, ...]) -> tuple[Any, ...]:
    if len(set(value)) < len(value):
        raise ValueError("must not name anything twice")
    return value


def _check_axes(value: tuple[tuple[str, str, str], ...]) -> tuple[tuple[str, str, str], ...]:
    if len({axis for axis, _, _ in value}) < len(value):
        raise ValueError("must define two different axes")
    for _, start, end in value:
        if start == end:
            raise ValueError(f"must lead from one joint to another, not from {start!r} to itself")
    return value


def _check_angle(value: tuple[str, ...]) -> tuple[str, ...]:
    if len(value) == 3 and value[0] in ANGLE_MODES:
        needed = "at least three joints" if value[0] == "chain" else "three joints"
        raise ValueError(
            f"{value[0]!r} needs {needed} after it "
            f'(if it is the name of a joint here, put "flex" before the three joints)'
        )
    mode, joints = split_angle(value)
    if len(joints) < 3 or (mode != "chain" and len(joints) > 3):
        raise ValueError(f"must be {ANGLE_KIND.text}")
    names = [joint.removesuffix("/") if mode == "chain" else joint for joint in joints]
    neighbours = pairwise(names)
    if not all(names) or any(a == b for a, b in neighbours) or (mode != "chain" and names[0] == names[2]):
        raise ValueError("must lead from joint to joint, none of them twice")
    return value


def _check_angle_name(name: str) -> str:
    # Columns of every table, beside those of the angles.
    if name in ("fnum", "filename", "project") or re.fullmatch(r"folder_\d+", name):
        raise ValueError(f"{name!r} is a column of every table; call the angle something else")
    return name


def _guess(name: str, known: Iterable[str]) -> str:
    near = nearest(name, known)
    return f", did you mean {near!r}?" if near else ""


def _check_colormap(name: str) -> str:
    from matplotlib import colormaps

    if name not in colormaps:
        raise ValueError(f"is no colour map of matplotlib{_guess(name, colormaps)}")
    return name


def _check_colour(name: str) -> str:
    from matplotlib.colors import CSS4_COLORS, is_color_like, to_rgba

    if not is_color_like(name) or to_rgba(name)[3] < 1:
        raise ValueError(f"is no (opaque) colour that matplotlib knows{_guess(name, CSS4_COLORS)}")
    return name


ANGLE_KIND = Kind(
    '[a, b, c], ["flex" | "axis" | "cross-axis", a, b, c] or ["chain", a, b, c, ...] with names of joints'
)

Name = Annotated[str, Field(min_length=1), Kind("a name")]
Odd = Annotated[int, Field(ge=1), AfterValidator(_check_odd), Kind("an odd whole number >= 1")]
Folder = Annotated[str, AfterValidator(_check_folder), Kind("the name of a folder")]
Pattern = Annotated[
    str, AfterValidator(_check_pattern), Kind("a regular expression with the camera's name in parentheses")
]
AutoFlag = Annotated[bool | Literal["auto"], Kind('true, false or "auto"')]

_Filter = Literal["medfilt", "viterbi", "autoencoder", "autoencoder_points"]
Filters = Annotated[
    tuple[_Filter, ...],
    Strict(False),
    BeforeValidator(_as_list),
    Field(min_length=1),
    Kind('one or a list of "medfilt", "viterbi", "autoencoder", "autoencoder_points"'),
]

_Table = Literal["pose_2d", "pose_2d_filtered", "pose_3d", "pose_3d_filtered", "angles", "errors"]
Tables = Annotated[
    tuple[_Table, ...],
    Strict(False),
    AfterValidator(_check_distinct),
    Kind('a list of "pose_2d", "pose_2d_filtered", "pose_3d", "pose_3d_filtered", "angles", "errors"'),
]

_Fixed = Literal["intrinsics", "extrinsics"]
Fixed = Annotated[
    tuple[_Fixed, ...],
    Strict(False),
    AfterValidator(_check_distinct),
    Kind('a list of "intrinsics", "extrinsics"'),
]

_Pair = Annotated[tuple[Name, Name], Strict(False), AfterValidator(_check_distinct)]
Pairs = Annotated[tuple[_Pair, ...], Strict(False), Kind("a list of pairs of joints, [[a, b], ...]")]

_Line = Annotated[tuple[Name, ...], Strict(False), Field(min_length=1)]
Scheme = Annotated[
    tuple[_Line, ...], Strict(False), Kind("a list of lines through joints, [[a, b, c], [a, d], ...]")
]

_Axis = Annotated[tuple[Literal["x", "y", "z"], Name, Name], Strict(False)]
Axes = Annotated[
    tuple[_Axis, _Axis],
    Strict(False),
    AfterValidator(_check_axes),
    Kind('exactly two axes, [["x", from, to], ["z", from, to]], with names of joints'),
]

Angle = Annotated[tuple[Name, ...], Strict(False), AfterValidator(_check_angle), ANGLE_KIND]
AngleName = Annotated[Name, AfterValidator(_check_angle_name)]

_Positive = Annotated[int, Field(ge=1)]
_Corner = Annotated[int, Field(ge=0)]
BoardSize = Annotated[tuple[_Positive, _Positive], Strict(False), Kind("two whole numbers >= 1")]
Offset = Annotated[tuple[float, float], Strict(False), Kind("two numbers, [x, y]")]
Box = Annotated[tuple[_Corner, _Corner, _Positive, _Positive], Strict(False)]
Crop = Annotated[
    Box | dict[Name, Box],
    Kind("[x, y, width, height] in whole pixels, or a table with such a box for each camera's name"),
]
BatchSize = Annotated[_Positive | Literal["auto"], Kind('a whole number >= 1 or "auto"')]

_Drawn = Literal[
    "label-2d",
    "label-2d-filter",
    "label-compare",
    "project-2d",
    "label-2d-proj",
    "label-3d",
    "label-3d-filter",
    "label-combined",
    "previews",
]
DRAWN: tuple[str, ...] = get_args(_Drawn)
Drawn = Annotated[
    tuple[_Drawn, ...],
    Strict(False),
    AfterValidator(_check_distinct),
    Kind(f"a list of {', '.join(map(repr, DRAWN))}".replace("'", '"')),
]
Joints = Annotated[
    Annotated[tuple[Name, ...], Strict(False), Field(min_length=1), AfterValidator(_check_distinct)] | None,
    BeforeValidator(lambda value: None if value == "all" else value),
    Kind('a list of joints, [a, b, ...], or "all"'),
]
Colormap = Annotated[str, AfterValidator(_check_colormap), Kind("the name of a colour map of matplotlib")]
Colour = Annotated[
    str, AfterValidator(_check_colour), Kind('a colour of matplotlib, as "white" or "#ffcc00"')
]
Quality = Annotated[int, Field(ge=0, le=51), Kind("a whole number from 0 to 51")]
Preset = Literal[
    "ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow"
]
_Side = Annotated[int, Field(ge=64, le=7680, multiple_of=2)]
PictureSize = Annotated[
    tuple[_Side, _Side], Strict(False), Kind("[width, height], two even whole numbers from 64 to 7680")
]
