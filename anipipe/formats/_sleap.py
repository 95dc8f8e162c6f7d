"""SLEAP's predictions: the analysis file (``.analysis.h5``) and the project (``.slp``)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from anipipe.errors import DataError
from anipipe.formats._columns import no_single_track
from anipipe.formats._files import REMEDY, open_hdf5, translated
from anipipe.formats._frames import check_span
from anipipe.guards import check_names

_MOST_POINTS = 2**28  # 6 GiB
_AXES = ("frame", "track", "node", "xy")
_SLEAP_AXES = ("track", "xy", "node", "frame")  # where a file does not say


@dataclass(frozen=True, eq=False)
class Tracks:
    """A SLEAP file as it stands; points (frames, tracks, nodes, 2), scores (frames, tracks, nodes)."""

    nodes: tuple[str, ...]
    names: list[str]
    points: NDArray[np.float64]
    scores: NDArray[np.float64]


def is_analysis(file: Any) -> bool:
    """Whether an open HDF5 file has SLEAP's analysis layout."""
    return "tracks" in file and "node_names" in file


def _text(value: Any) -> str:
    return value.decode("utf-8") if isinstance(value, bytes) else str(value)


def read_analysis(path: Path) -> Tracks:
    """Read an analysis file: as long as the part of the video that was labelled, one row per frame."""
    with open_hdf5(path) as file:
        lacking = [name for name in ("tracks", "node_names", "point_scores") if name not in file]
        if lacking:
            raise DataError(
                f"{path}: no analysis file of SLEAP: it lacks {', '.join(lacking)}. Export it again."
            )
        stored = file["tracks"].attrs.get("dims")
        axes = tuple(json.loads(_text(stored))) if stored is not None else _SLEAP_AXES
        nodes = tuple(_text(name) for name in file["node_names"][()])
        names = [_text(name) for name in file["track_names"][()]] if "track_names" in file else []
        points = np.asarray(file["tracks"][()], dtype=np.float64)
        scores = np.asarray(file["point_scores"][()], dtype=np.float64)
    if sorted(axes) != sorted(_AXES) or points.ndim != 4 or scores.ndim != 3:
        raise DataError(f"{path}: its arrays have axes {axes} and {points.ndim} dimensions. Export it again.")
    points = points.transpose([axes.index(axis) for axis in _AXES])
    without_xy = [axis for axis in axes if axis != "xy"]
    scores = scores.transpose([without_xy.index(axis) for axis in _AXES[:3]])
    if points.shape != (*scores.shape, 2) or points.shape[2] != len(nodes):
        raise DataError(
            f"{path}: {len(nodes)} nodes, points {points.shape} and scores {scores.shape} do not fit. "
            "Export it again."
        )
    check_names([*nodes, *names], path)
    names += [f"track_{at}" for at in range(len(names), points.shape[1])]
    return Tracks(nodes, names, points, scores)


def read_slp(path: Path, video: str) -> Tracks:
    """Read a project file with sleap-io.

    Parameters
    ----------
    path
        The file.
    video
        Which of the project's videos to take, by its name without extension; a project of one video needs
        no agreement.
    """
    try:
        import sleap_io
    except ImportError as error:
        raise DataError(
            f'{path}: reading .slp files needs sleap-io. Install it with  pip install "anipipe[sleap]"  or '
            "export the predictions from SLEAP as an analysis file (.analysis.h5)."
        ) from error
    with open_hdf5(path) as file:
        if "metadata" not in file:
            raise DataError(
                f"{path}: an HDF5 file, but no SLEAP project. Put SLEAP's file in its place. {REMEDY}"
            )
    with translated(path, "a SLEAP project"):
        labels = sleap_io.load_slp(str(path), open_videos=False)
        return _tracks_of(labels, path, video)


def _tracks_of(labels: Any, path: Path, video: str) -> Tracks:
    """Sort a project's instances by track; instances without one share the name ``(no track)``."""
    videos = {id(one): _video_name(one) for one in labels.videos}
    if len(videos) > 1 and list(videos.values()).count(video) != 1:
        raise DataError(
            f"{path}: holds {len(videos)} videos ({', '.join(sorted(videos.values()))}) and not exactly "
            f"one is called {video!r}. Save the predictions of each video in a file of its own."
        )
    frames = [
        frame for frame in labels.labeled_frames if len(videos) == 1 or videos.get(id(frame.video)) == video
    ]
    if not labels.skeletons or not frames:
        raise DataError(f"{path}: holds no predicted frame. Predict the video again.")
    nodes = tuple(node.name for node in labels.skeletons[-1].nodes)
    check_names([*nodes, *(track.name or "" for track in labels.tracks)], path)
    slots = {id(track): at for at, track in enumerate(labels.tracks)}
    names = [track.name or f"track_{at}" for at, track in enumerate(labels.tracks)]
    length = max(int(frame.frame_idx) for frame in frames) + 1
    check_span(length - 1, len(frames), path)

    placed: list[tuple[int, int, Any]] = []
    for frame in frames:
        loose = len(labels.tracks)  # instances without a track: one more slot each
        for instance in _instances_to_use(frame, sleap_predicted=_is_predicted):
            if tuple(node.name for node in instance.skeleton.nodes) != nodes:
                raise DataError(
                    f"{path}: frame {frame.frame_idx} uses another skeleton. Save a file with only one."
                )
            slot = slots.get(id(instance.track), loose) if instance.track is not None else loose
            loose += slot == loose
            placed.append((int(frame.frame_idx), slot, instance))
    used = max((slot for _, slot, _ in placed), default=-1) + 1
    count = max(len(names), used)
    names += [f"(no track {at + 1})" for at in range(count - len(names))]
    if length * count * len(nodes) > _MOST_POINTS:
        raise DataError(
            f"{path}: {len(placed)} instances, spread over {length} frames, {count} tracks and {len(nodes)} "
            "nodes, need more memory than can be given. Export the predictions as an analysis file."
        )
    points = np.full((length, count, len(nodes), 2), np.nan)
    scores = np.full((length, count, len(nodes)), np.nan)
    for at, slot, instance in placed:
        points[at, slot] = instance.numpy()
        scores[at, slot] = instance.numpy(scores=True)[:, 2] if _is_predicted(instance) else 1.0
    # a track without any instance is a left-over of editing
    kept = [slot for slot in range(count) if any(one == slot for _, one, _ in placed)]
    return Tracks(nodes, [names[slot] for slot in kept], points[:, kept], scores[:, kept])


def _is_predicted(instance: Any) -> bool:
    return type(instance).__name__ == "PredictedInstance"


def _video_name(video: Any) -> str:
    filename = video.filename
    first = filename[0] if isinstance(filename, list) else filename
    return PureWindowsPath(str(first)).stem  # splits at both kinds of slash


def _instances_to_use(frame: Any, sleap_predicted: Any) -> list[Any]:
    """Return a frame's instances, a prediction giving way to the correction a person made of it."""
    by_hand = [one for one in frame.instances if not sleap_predicted(one)]
    predicted = [one for one in frame.instances if sleap_predicted(one)]
    replaced = {id(one.from_predicted) for one in by_hand if one.from_predicted is not None}
    tracks = {id(one.track) for one in by_hand if one.track is not None}
    left = [
        one
        for one in predicted
        if id(one) not in replaced and not (one.track is not None and id(one.track) in tracks)
    ]
    if len(by_hand) == len(left) == 1 and by_hand[0].track is None and left[0].track is None:
        left = []
    return by_hand + left


def pick_track(
    tracks: Tracks, path: Path, track: str | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return points (frames, nodes, 2) and scores (frames, nodes) of the track asked for, or of the only one.

    Absent nodes are NaN with the score the file gives (0 in SLEAP's own). A point without a score was set by
    a person and gets 1.
    """
    counts = dict.fromkeys(tracks.names, 0)
    for at, name in enumerate(tracks.names):
        counts[name] += int(np.isfinite(tracks.points[:, at]).any(axis=(1, 2)).sum())
    matching = [at for at, name in enumerate(tracks.names) if name == track] if track is not None else [0]
    if not tracks.names or len(matching) != 1 or (track is None and len(tracks.names) > 1):
        if len(counts) < len(tracks.names):
            counts = {
                f"{name} (number {at})": int(np.isfinite(tracks.points[:, at]).any(axis=(1, 2)).sum())
                for at, name in enumerate(tracks.names)
            }
        raise no_single_track(path, counts, track)
    points, scores = tracks.points[:, matching[0]], tracks.scores[:, matching[0]].copy()
    by_hand = np.isnan(scores) & np.isfinite(points).all(axis=-1)
    scores[by_hand] = 1.0
    return points, scores
