"""What samples of recordings and predictions show: the board, joints, animals, the skeleton."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from anipipe.errors import AnipipeError
from anipipe.formats.prediction_names import VIDEO_SUFFIXES
from anipipe.project.naming import suffix_of

if TYPE_CHECKING:
    from anipipe.numerics.boards.guess import BoardGuess

_PICTURES = 12
_MOST_RECORDINGS = 6
_MOST_PREDICTIONS = 6
_LARGEST = 200 * 2**20  # bytes of a prediction that is read for its names


@dataclass(frozen=True)
class Poses:
    """Names in prediction files.

    Attributes
    ----------
    joints
        In the order of the files.
    partial
        Those that are not in all files.
    tracks
        Individuals or tracks, where a file has several.
    edges
        Lines of SLEAP's skeleton.
    files
        How many files were looked at.
    """

    joints: tuple[str, ...]
    partial: tuple[str, ...]
    tracks: tuple[str, ...]
    edges: tuple[tuple[str, str], ...]
    files: int


@dataclass(frozen=True)
class _Head:
    joints: tuple[str, ...]
    tracks: tuple[str, ...] = ()
    edges: tuple[tuple[str, str], ...] = ()


def spread(items: Sequence[Any], count: int) -> list[Any]:
    """Return up to ``count`` of the items, evenly spread over them.

    Examples
    --------
    >>> spread("abcdefghi", 3)
    ['b', 'e', 'h']
    """
    if len(items) <= count:
        return list(items)
    return [items[(2 * at + 1) * len(items) // (2 * count)] for at in range(count)]


def look_at_board(paths: Sequence[Path], say: Callable[[str], None]) -> tuple[BoardGuess | None, str]:
    """Find out which board recordings show, from a few pictures of them.

    Parameters
    ----------
    paths
        Videos or still images.
    say
        Is told what is looked at.

    Returns
    -------
    guess : BoardGuess or None
    remark : str
        In how many pictures it is seen, or why there is no guess.
    """
    try:
        for library in ("cv2", "av"):
            import_module(library)
    except ImportError as error:
        return None, f"the recordings were not looked at: {error}"
    from anipipe.numerics.boards.guess import guess_board

    pictures, looked, unreadable = _pictures(paths, say)
    if not pictures:
        return None, f"none of {looked} recordings that were looked at can be read"
    try:
        guess = guess_board(pictures)
    except Exception as error:  # whatever OpenCV makes of strange pictures, the other proposals stand
        return None, f"the board could not be looked for: {error}"
    if guess is None:
        return None, f"no board was seen in {len(pictures)} pictures that were looked at"
    lacking = f"; {unreadable} recordings cannot be read" if unreadable else ""
    return guess, f"seen in {guess.pictures} of {len(pictures)} pictures{lacking}"


def _pictures(paths: Sequence[Path], say: Callable[[str], None]) -> tuple[list[Any], int, int]:
    """Return a few pictures of recordings, how many of these were looked at, and how many cannot be read."""
    from anipipe.formats.video import Stills, Video

    videos = spread([path for path in paths if suffix_of(path.name) in VIDEO_SUFFIXES], _MOST_RECORDINGS)
    stills = [path for path in paths if suffix_of(path.name) not in VIDEO_SUFFIXES]
    stills = spread(stills, _MOST_RECORDINGS if videos else _PICTURES)
    each = max(1, _PICTURES // max(1, len(videos) + len(stills)))
    pictures: list[Any] = []
    unreadable = 0
    # Stills one by one: those of different cameras may differ in size.
    for path in (*videos, *stills):
        recording = Video(path) if path in videos else Stills((path,))
        say(f"looking for the board in {path.name}")
        try:
            rows = spread(range(recording.count()), each)
            pictures += [picture for _, picture in recording.read(rows, grey=True) if picture is not None]
        except (AnipipeError, OSError):
            unreadable += 1
    return pictures, len(videos) + len(stills), unreadable


def look_at_predictions(paths: Sequence[Path]) -> Poses | None:
    """Read names of joints and animals from a few prediction files; None if none can be read."""
    heads: list[_Head] = []
    for path in paths:
        if len(heads) == _MOST_PREDICTIONS:
            break
        head = _head(path)
        if head is not None and head.joints:
            heads.append(head)
    if not heads:
        return None
    joints = tuple(dict.fromkeys(joint for head in heads for joint in head.joints))
    several = [head.tracks for head in heads if len(head.tracks) > 1]
    return Poses(
        joints=joints,
        partial=tuple(joint for joint in joints if any(joint not in head.joints for head in heads)),
        tracks=tuple(dict.fromkeys(track for tracks in several for track in tracks)),
        edges=next((head.edges for head in heads if head.edges), ()),
        files=len(heads),
    )


def _head(path: Path) -> _Head | None:
    try:
        if not 0 < path.stat().st_size <= _LARGEST:
            return None
        if suffix_of(path.name) == ".csv":
            return _csv_head(path)
        if suffix_of(path.name) in (".h5", ".slp"):
            return _hdf5_head(path)
    except Exception:  # a broken file is told of when it is used, not here
        return None
    return None


def _csv_head(path: Path) -> _Head:
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = {row[0].strip(): row[1:] for row in islice(csv.reader(file), 4) if row}
    if "coords" not in rows:
        return _Head(())
    return _labelled(rows.get("bodyparts", []), rows.get("individuals", []))


def _labelled(joints: Sequence[str], individuals: Sequence[str]) -> _Head:
    animals = tuple(name for name in dict.fromkeys(individuals) if name != "single")
    return _Head(tuple(dict.fromkeys(joints)), animals)


def _hdf5_head(path: Path) -> _Head:
    import h5py

    with h5py.File(path, "r") as file:
        if "node_names" in file:
            nodes = _texts(file["node_names"])
            edges = file["edge_inds"][()].tolist() if "edge_inds" in file else []
            tracks = _texts(file["track_names"]) if "track_names" in file else ()
            return _Head(nodes, tracks, tuple((nodes[one], nodes[two]) for one, two in edges))
        if "metadata" in file:
            return _project_head(file)
    from anipipe.formats.poses2d import read_content

    columns = read_content(path)[0].columns
    return _labelled(
        [column.joint for column in columns], [column.individual for column in columns if column.individual]
    )


def _project_head(file: Any) -> _Head:
    """Read the names in a SLEAP project, without the package that reads its poses."""
    metadata = json.loads(_text(file["metadata"].attrs["json"]))
    names = [node["name"] for node in metadata["nodes"]]
    skeleton = metadata["skeletons"][-1]
    nodes = tuple(names[node["id"]] for node in skeleton["nodes"])
    tracks = tuple(str(json.loads(_text(track))[1]) for track in file["tracks_json"][()])
    return _Head(nodes, tracks)


def _texts(dataset: Any) -> tuple[str, ...]:
    return tuple(_text(value) for value in dataset[()])


def _text(value: Any) -> str:
    return value.decode("utf-8") if isinstance(value, bytes) else str(value)


def lines_through(edges: Sequence[tuple[str, str]]) -> list[list[str]]:
    """Join the edges of a skeleton to lines through several joints.

    Examples
    --------
    >>> lines_through([("nose", "neck"), ("neck", "hip"), ("neck", "paw")])
    [['nose', 'neck', 'hip'], ['neck', 'paw']]
    """
    lines: list[list[str]] = []
    for start, end in edges:
        line = next((line for line in lines if line[-1] == start), None)
        if line is None:
            lines.append([start, end])
        else:
            line.append(end)
    return lines
