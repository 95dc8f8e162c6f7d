"""What files are called: videos, cameras, trials, predictions."""

from __future__ import annotations

import os
import re
import signal
import threading
from collections.abc import Container, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

from anipipe.errors import DataError
from anipipe.formats.prediction_names import (
    PREDICTION_SUFFIXES,
    VIDEO_SUFFIXES,
    meta_for,
    video_of,
    without_suffix,
)
from anipipe.guards import check_names

SLEAP_SUFFIXES = frozenset({".analysis.h5", ".slp"})
#: What Lightning Pose writes beside its predictions: losses, and boxes for cropping.
_SIDE_FILE = re.compile(r"_(temporal_norm|pca_\w+_error|bbox)\.csv$", re.IGNORECASE)
#: Names by which DeepLabCut calls predictions; what it has drawn; what it has filtered itself.
_SCORED = re.compile(r".(DLC_|DeepCut_)")
_DRAWN = re.compile(r".(DLC_|DeepCut_).*_labeled$")
_FILTERED = re.compile(r"_filtered\.(h5|csv)$")
_LONGEST_SEARCH = 2.0  # seconds of computing that a regular expression may take with one name
#: What recordings of a calibration board end in.
BOARD_SUFFIXES = VIDEO_SUFFIXES | {".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp"}


@lru_cache(maxsize=10_000)  # the folders of a lab's sessions, and mostly their files, are called alike
def natural(name: str) -> tuple[tuple[object, ...], str]:
    """Sort key that puts ``cam10`` after ``cam9``."""
    parts = re.split(r"(\d+)", name)  # text and numbers take turns, so that like is compared with like
    return tuple(int(part) if index % 2 else part.casefold() for index, part in enumerate(parts)), name


def find_videos(root: Path, folder: str, names: Mapping[str, str]) -> dict[str, dict[str, tuple[str, ...]]]:
    """Return the videos of a session by name, each with the files that were found of it, or are to be."""
    found: dict[str, dict[str, tuple[str, ...]]] = {}
    keys = ("videos_uncompressed", "videos_raw", "predictions")
    there = {key: listed(root, folder, names[key]) for key in keys}
    for kind, key in (("uncompressed video", "videos_uncompressed"), ("video", "videos_raw")):
        for name in there[key]:
            stem, suffix = name[: len(name) - len(suffix_of(name))], suffix_of(name)
            if suffix not in VIDEO_SUFFIXES or _DRAWN.search(stem):
                continue
            files = found.setdefault(stem, {})
            path = join(folder, f"{names[key]}/{name}")
            if kind in files:
                raise DataError(
                    f"{root / files[kind][0]} and {root / path} are both video {stem!r}; remove or rename one"
                )
            files[kind] = (path,)
    # Beside the videos is where DeepLabCut and others put predictions if they are not told otherwise.
    # There, only what is marked as one, of a video that is there, is taken for a prediction.
    beside = [name for name in there["videos_raw"] if _is_marked(name, found)]
    for kind, candidates in (("videos_raw", beside), ("predictions", there["predictions"])):
        for video, chosen in _predictions(candidates, set(found)).items():
            paths = tuple(join(folder, f"{names[kind]}/{name}") for name in chosen)
            found.setdefault(video, {})["prediction"] = paths
    _add_poses(root, folder, names["pose_2d"], found)
    for video, files in found.items():
        if "uncompressed video" in files:  # what is converted lies where a recording would
            files.setdefault("video", (join(folder, f"{names['videos_raw']}/{video}.mp4"),))
    return found


def _is_marked(name: str, videos: Container[str]) -> bool:
    """Say whether a file beside videos is a network's own prediction for one of them."""
    marked = _SCORED.search(name) or name.casefold().endswith((".analysis.h5", ".predictions.slp"))
    return bool(marked) and not _FILTERED.search(name) and video_of(name) in videos


def _add_poses(root: Path, folder: str, sub: str, found: dict[str, dict[str, tuple[str, ...]]]) -> None:
    """Add the 2D poses that are there, which may be called as DeepLabCut calls its predictions."""
    poses = [name[:-3] for name in listed(root, folder, sub) if suffix_of(name) == ".h5"]
    for pose in poses:
        video = pose if pose in found else video_of(f"{pose}.h5")
        files = found.setdefault(video, {})
        if video != pose and video not in poses:
            path = join(folder, f"{sub}/{pose}.h5")
            if "pose-2d" in files:
                other = root / files["pose-2d"][0]
                raise DataError(f"{other} and {root / path} are both 2D poses of video {video!r}; keep one")
            files["pose-2d"] = (path,)


def find_recordings(
    root: Path, folder: str, names: Mapping[str, str], pattern: re.Pattern[str]
) -> tuple[dict[str, tuple[str, tuple[str, ...]]], list[str]]:
    """Find the recordings of a calibration board: each video, and all still images of a camera together.

    Returns
    -------
    recordings : dict
        Name of the recording to its camera and its files, relative to ``root``; images in natural order.
    nameless : list of str
        Files whose names have no camera in them.

    Raises
    ------
    DataError
        If two videos have one name.
    """
    found: dict[str, tuple[str, tuple[str, ...]]] = {}
    nameless: list[str] = []
    sub = names["calibration_videos"]
    for name in listed(root, folder, sub):
        suffix = suffix_of(name)
        if suffix not in BOARD_SUFFIXES:
            continue
        stem, path = name[: len(name) - len(suffix)], join(folder, f"{sub}/{name}")
        check_names([stem], root / folder / sub)
        camera = camera_in(stem, pattern)
        if camera is None:
            nameless.append(path)
            continue
        recording = stem if suffix in VIDEO_SUFFIXES else f"images_{camera}"
        if recording in found and (suffix in VIDEO_SUFFIXES or found[recording][0] != camera):
            other = found[recording][1][0]
            raise DataError(
                f"{root / other} and {root / path} are both board recording {recording!r}; "
                "remove or rename one"
            )
        found[recording] = camera, (*found.get(recording, (camera, ()))[1], path)
    return found, nameless


def _predictions(names: Sequence[str], videos: Container[str]) -> dict[str, list[str]]:
    """Return the prediction files of each video, with DeepLabCut's record of the crop where there is one.

    Of one prediction in several formats of one program only the best is an input, so that the others may
    come and go.
    """
    best: dict[tuple[str, bool], tuple[int, str]] = {}
    for name in names:
        if _SIDE_FILE.search(name):
            continue
        for rank, suffix in enumerate(PREDICTION_SUFFIXES):
            if name.casefold().endswith(suffix):
                stem = name[: -len(suffix)].removesuffix(".predictions")
                key = (stem, suffix in SLEAP_SUFFIXES)
                best[key] = min(best.get(key, (rank, name)), (rank, name))
                break
    there = set(names)
    found: dict[str, list[str]] = {}
    for _, name in best.values():
        meta = meta_for(Path(name)).name
        # What looks like a prefix that SLEAP adds on export may be part of a video's own name.
        whole = without_suffix(name)
        found.setdefault(whole if whole in videos else video_of(name), []).extend(
            [name, meta] if meta in there else [name]
        )
    return found


def split_name(video: str, pattern: re.Pattern[str] | None, where: str) -> tuple[str, str]:
    """Return the camera of a video and the name of its trial; ``where`` is for the error message."""
    if pattern is None:
        return "", video
    with _in_time(pattern, video):
        camera, rest = _camera(video, pattern), pattern.sub("", video).strip()
    if camera is None:
        raise DataError(
            f"{where}: the name {video!r} has no camera in it that triangulation.cam_regex = "
            f"{pattern.pattern!r} would find; rename or remove the file, or change the key"
        )
    return camera, rest or "trial"  # every camera name is taken out; one that is all camera is a trial still


def camera_in(name: str, pattern: re.Pattern[str]) -> str | None:
    """Return the camera in a name, None if there is none.

    Raises
    ------
    DataError
        The pattern would take for ever to find out.
    """
    with _in_time(pattern, name):
        return _camera(name, pattern)


def _camera(name: str, pattern: re.Pattern[str]) -> str | None:
    match = pattern.search(name)
    return (match.group(1) or None) if match is not None else None


@contextmanager
def _in_time(pattern: re.Pattern[str], name: str) -> Iterator[None]:
    """Stop a regular expression that does not come to an end: some try ever more ways to match.

    Where there are no timers (on Windows, and in other threads than the main one), Ctrl-C is left.
    """
    if not hasattr(signal, "setitimer") or threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(*_: object) -> None:
        raise DataError(
            f"triangulation.cam_regex = {pattern.pattern!r} does not come to an end with the name {name!a}; "
            "make it simpler: no repeat (+, *) of what holds a repeat itself"
        )

    before = signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, _LONGEST_SEARCH)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def check_cameras(views: Sequence[tuple[str, str]], session: Path) -> None:
    """Refuse two videos of one camera in one trial; ``views`` holds camera and video."""
    taken: dict[str, str] = {}
    for camera, video in views:
        if camera in taken:
            raise DataError(
                f"{session}: videos {taken[camera]!r} and {video!r} are both of camera {camera!r} "
                "in one trial; rename one, or make triangulation.cam_regex tell them apart"
            )
        taken[camera] = video


def listed(root: Path, folder: str, sub: str) -> list[str]:
    """Return the names of the files in a sub-folder, in natural order; hidden ones are nobody's."""
    try:
        with os.scandir(f"{root}{os.sep}{join(folder, sub)}") as entries:  # as text: the cheapest way
            names = [entry.name for entry in entries if entry.name[0] != "." and entry.is_file()]
    except (FileNotFoundError, NotADirectoryError):
        return []
    return sorted(names, key=natural)


def suffix_of(name: str) -> str:
    """Return a file name's suffix in small letters, with its dot."""
    return os.path.splitext(name)[1].casefold()  # noqa: PTH122 - called for every file of a lab


def part_name(label: str) -> str:
    """Return a file name that tells a trial from all others; readers of parquet folders skip ``_…``."""
    return "part-" + label.replace("%", "%25").replace("~", "%7E").replace("/", "~")


def join(folder: str, name: str) -> str:
    """Put a name behind a folder that may be the root, ``""``."""
    return f"{folder}/{name}" if folder else name
