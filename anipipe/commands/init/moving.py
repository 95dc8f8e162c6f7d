"""Commands that put recordings where they are looked for: shown to the user, never run."""

from __future__ import annotations

import shlex
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePosixPath

from anipipe.commands.init.camera_names import sounds_like_camera
from anipipe.commands.init.looking import Found
from anipipe.project.naming import join, suffix_of

_RAW, _PREDICTIONS, _CALIBRATION = "videos-raw", "predictions", "calibration"
_OF_VIDEOS = ("videos", "video", "raw", "movies", "recordings")


def moving(found: Found) -> Iterator[str]:
    """Yield the commands for a POSIX shell in the experiment's folder.

    Boards come first, since the patterns for all videos of a folder would take them along.
    """
    yield from _boards(found)
    by_camera = camera_folders(found.loose)
    for parent, cameras in by_camera.items():
        yield _gathering(parent, cameras)
    inside = {join(parent, camera) for parent, cameras in by_camera.items() for camera in cameras}
    for folder, files in found.loose.items():
        if folder not in inside:
            yield _moving(folder, files, _target(folder))
    for folder, files in found.loose_predictions.items():
        yield _moving(folder, files, join(parent_of(_target(folder)), _PREDICTIONS))
    for path in found.loose_calibrations:
        target = _quoted(join(parent_of(path), _CALIBRATION))
        yield f"mkdir -p {target} && mv -n {_quoted(path)} {target}/"


def camera_folders(loose: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """Find folders in which videos lie by camera: called like cameras, and with the same names in each.

    Returns
    -------
    dict
        The folder above to the names of those in it.
    """
    groups: dict[str, list[str]] = defaultdict(list)
    for folder in loose:
        if folder and sounds_like_camera(PurePosixPath(folder).name):
            groups[parent_of(folder)].append(folder)
    return {
        parent: [PurePosixPath(folder).name for folder in folders]
        for parent, folders in groups.items()
        if len(folders) > 1 and set.intersection(*(_stems(loose[folder]) for folder in folders))
    }


def _stems(files: Sequence[str]) -> set[str]:
    return {name[: len(name) - len(suffix_of(name))] for name in files}


def _gathering(parent: str, cameras: Sequence[str]) -> str:
    """Return a command that puts the videos of several cameras together, with the camera in their names."""
    above = "" if not parent else f"{_quoted(parent)}/"
    target = above if PurePosixPath(parent).name == _RAW else f"{above or 'session1/'}{_RAW}/"
    return (
        f'mkdir -p {target} && for c in {" ".join(map(_quoted, cameras))}; do for f in {above}"$c"/*.*; do '
        f'n="${{f##*/}}"; mv -n "$f" {target}"${{n%.*}}_$c.${{n##*.}}"; done; done'
    )


def _boards(found: Found) -> Iterator[str]:
    for folder, files in found.loose_boards.items():
        target = _quoted(join(parent_of(folder) if folder not in found.loose else folder, _CALIBRATION))
        if folder in found.loose or not folder:
            names = " ".join(_quoted(join(folder, name)) for name in files)
            yield f"mkdir -p {target} && mv -n {names} {target}/"
        else:
            yield f"mv -n {_quoted(folder)} {target}"


def _target(folder: str) -> str:
    """Return where the videos of a folder belong."""
    path = PurePosixPath(folder)
    if path.parent.name == _RAW:
        return parent_of(folder)
    if path.name.casefold() in _OF_VIDEOS and parent_of(folder):
        return join(parent_of(folder), _RAW)
    # A session in the experiment's own folder would leave no room for others.
    return join(folder or "session1", _RAW)


def _moving(folder: str, files: Sequence[str], target: str) -> str:
    suffixes = dict.fromkeys(name[len(name) - len(suffix_of(name)) :] for name in files)
    source = f"{_quoted(folder)}/" if folder else ""
    globs = " ".join(f"{source}*{suffix}" for suffix in suffixes)
    return f"mkdir -p {_quoted(target)} && mv -n {globs} {_quoted(target)}/"


def _quoted(path: str) -> str:
    # A leading - would be read as an option.
    return shlex.quote(path if path[:1] != "-" else f"./{path}")


def parent_of(path: str) -> str:
    """Return the folder that a path lies in, empty for the experiment's."""
    parent = PurePosixPath(path).parent.as_posix()
    return "" if parent == "." else parent
