"""Calibrations, as they lie in folders: a ``calibration.toml``, recordings of the board, or both."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from anipipe.config import Resolved
from anipipe.engine.declare import Unit
from anipipe.errors import DataError
from anipipe.project.naming import BOARD_SUFFIXES, find_recordings, join, listed, suffix_of

_CALIBRATION = "calibration.toml"


def find_calibration(
    root: Path, folder: str, names: Mapping[str, str], inside: set[str], resolved: Resolved
) -> tuple[Unit | None, list[str]]:
    """Return the calibration of a folder, if it has one, and what a user should know about its files.

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
    """
    results, recordings = names["calibration_results"], names["calibration_videos"]
    files: list[str] = []
    for sub in dict.fromkeys((results, recordings)):
        try:
            files += listed(root, folder, sub) if sub in inside else []
        except OSError:
            files.append(_CALIBRATION)  # the job that needs it will say what is wrong with it
    # Without any recording, the calibration to start from is the calibration.
    named = resolved.config.calibration.calibration_init is not None and results in inside
    if not named and not any(name == _CALIBRATION or suffix_of(name) in BOARD_SUFFIXES for name in files):
        return None, []
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
    return unit, _add_recordings(root, unit, resolved)


def _add_recordings(root: Path, unit: Unit, resolved: Resolved) -> list[str]:
    """Give a calibration its recordings of the board, and the calibration that it starts from."""
    init, pattern = resolved.config.calibration.calibration_init, resolved.config.triangulation.cam_regex
    if init is not None:
        place = os.path.relpath(root / Path(init).expanduser(), root)
        unit.files = {"starting calibration": (Path(place).as_posix(),)}
    if pattern is None:
        return []
    found, nameless = find_recordings(root, unit.home, unit.names, re.compile(pattern))
    for recording, (camera, paths) in found.items():
        board = Unit(
            kind="board",
            label=join(unit.label, recording),
            home=unit.home,
            key=recording,
            group=unit.group,
            names={**unit.names, "recording": recording, "camera": camera},
            settings=resolved,
            files={"board recording": paths},
        )
        unit.related["board"].append(board)
    return [
        f"{path}: passed over, there is no camera in its name that triangulation.cam_regex = {pattern!r} "
        "would find"
        for path in nameless
    ]


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
