"""Calibrations, as they lie in folders: a ``calibration.toml``, recordings of the board, or both."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from anipipe.config import Resolved
from anipipe.engine.declare import Unit
from anipipe.errors import DataError
from anipipe.project.naming import BOARD_SUFFIXES, camera_in, find_recordings, join, listed, suffix_of

_CALIBRATION = "calibration.toml"


@dataclass
class Found:
    """The calibration of a folder.

    Attributes
    ----------
    unit : Unit
        With its recordings of the board as related units.
    notices : list of str
        What a user should know about its files.
    objections : list of str
        Why the cameras cannot be calibrated with what lies there; a calibration that is given stands.
    """

    unit: Unit
    notices: list[str] = field(default_factory=list)
    objections: list[str] = field(default_factory=list)


def find_calibration(
    root: Path, folder: str, names: Mapping[str, str], inside: set[str], resolved: Resolved, *, above: bool
) -> Found | None:
    """Return the calibration of a folder, if it has one.

    Parameters
    ----------
    root : Path
        Of the experiment.
    folder : str
        Relative to it.
    names : mapping
        What the folders of the pipeline are called.
    inside : set of str
        The folders that are in ``folder``.
    resolved : Resolved
        The settings that hold there.
    above : bool
        Whether there is a calibration in a folder above, which an empty folder does not hide.
    """
    results, recordings = names["calibration_results"], names["calibration_videos"]
    files: list[str] = []
    for sub in dict.fromkeys((results, recordings)):
        try:
            files += listed(root, folder, sub) if sub in inside else []
        except OSError:
            files.append(_CALIBRATION)  # the job that needs it will say what is wrong with it
    # Without any recording, the calibration to start from is the calibration.
    named = resolved.config.calibration.calibration_init is not None and results in inside and not above
    if not named and not any(name == _CALIBRATION or suffix_of(name) in BOARD_SUFFIXES for name in files):
        return None
    unit = Unit(
        kind="calibration",
        label=join(folder, results),
        home=folder,
        key="calibration",
        group=folder,
        names={**names, "session": f"{folder}/" if folder else ""},
        settings=resolved,
        related={"board": []},
    )
    found = Found(unit)
    _add_start(root, found, resolved)
    pattern = resolved.config.triangulation.cam_regex
    if pattern is not None:
        try:
            _add_recordings(root, found, resolved, re.compile(pattern))
        except DataError as error:
            found.objections.append(str(error))
        except OSError as error:
            found.objections.append(f"{error.filename}: cannot be read: {error.strerror}")
    return found


def _add_start(root: Path, found: Found, resolved: Resolved) -> None:
    """Give a calibration the one that it starts from."""
    init = resolved.config.calibration.calibration_init
    if init is None:
        return
    place = Path(os.path.relpath(root / Path(init).expanduser(), root)).as_posix()
    if place == f"{found.unit.label}/{_CALIBRATION}":
        file = resolved.origins.get("calibration.calibration_init")
        found.objections.append(
            f"{file}: calibration.calibration_init = {init!r} is the file that is to be made from it; give "
            "the file to start from another name"
        )
        return
    found.unit.files = {"starting calibration": (place,)}


def _add_recordings(root: Path, found: Found, resolved: Resolved, pattern: re.Pattern[str]) -> None:
    """Give a calibration its recordings of the board, also those that only their detections are left of."""
    unit = found.unit
    recordings, nameless = find_recordings(root, unit.home, unit.names, pattern)
    left = listed(root, unit.label, "detections")
    for name in (name.removesuffix(".csv") for name in left if name.endswith(".csv")):
        camera = camera_in(name, pattern)
        if camera is not None:
            recordings.setdefault(name, (camera, ()))
    for recording, (camera, paths) in recordings.items():
        board = Unit(
            kind="board",
            label=join(unit.label, recording),
            home=unit.home,
            key=recording,
            group=unit.group,
            names={**unit.names, "recording": recording, "camera": camera},
            settings=resolved,
            files={"board recording": paths},
            batch=unit.label,
        )
        unit.related["board"].append(board)
    told = [
        f"{path}: passed over, there is no camera in its name that triangulation.cam_regex = "
        f"{pattern.pattern!r} would find"
        for path in nameless
    ]
    if recordings:
        found.notices += told
    else:
        found.objections += told


def check_shared(resolved: Resolved, calibrations: Sequence[Unit]) -> None:
    """Refuse settings of a calibration that stand below its folder, where they could have no effect.

    Raises
    ------
    DataError
        Naming the files and the keys.
    """
    for unit in calibrations:
        shared: Resolved = unit.settings
        if shared is resolved:
            continue
        ours, theirs = resolved.config, shared.config
        changed = [
            f"calibration.{name}"
            for name, value in theirs.calibration
            if getattr(ours.calibration, name) != value
        ]
        if ours.triangulation.cam_regex != theirs.triangulation.cam_regex:
            changed.append("triangulation.cam_regex")
        if ours.triangulation.triangulate and not theirs.triangulation.triangulate:
            changed.append("triangulation.triangulate")
        if changed:
            files = dict.fromkeys(str(resolved.origins[key]) for key in changed if resolved.origins.get(key))
            raise DataError(
                f"{', '.join(files)}: sets {', '.join(changed)}, but the calibration in {unit.label} is "
                "shared with other sessions; set it beside that folder, or give this session a calibration "
                "folder of its own"
            )
