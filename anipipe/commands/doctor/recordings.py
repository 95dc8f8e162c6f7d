"""Whether the recordings of an experiment can be read, fit its calibration and one another."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path

from anipipe.artifacts import BOARD_RECORDING, CALIBRATION, UNCOMPRESSED_VIDEO, VIDEO
from anipipe.commands.doctor.findings import Finding, Step, isolated
from anipipe.commands.doctor.synchrony import SUBJECT, Recording, judge
from anipipe.config import Config
from anipipe.engine.declare import Unit
from anipipe.errors import AnipipeError
from anipipe.formats.calibrations import read_calibration
from anipipe.formats.prediction_names import VIDEO_SUFFIXES
from anipipe.formats.recording_times import read_times
from anipipe.formats.video import Video
from anipipe.numerics.cameras import Rig

Size = tuple[int, int]
#: Raises DataError where a camera's recording does not lie within the picture that it was calibrated with:
#: given its name, the two sizes and the offset that is set.
CheckSize = Callable[[str, Size, Size, Sequence[float] | None], None]

#: A file that cannot be read and was changed so lately may be one that is still being written.
GROWING = 300.0  # seconds
_AT_ONCE = 8  # files that are looked at: what takes time on a network share is waiting


@dataclass(frozen=True)
class Take:
    """Recordings that were made together.

    Attributes
    ----------
    label
        The trial's, or that of the calibration whose board was filmed.
    views
        Camera, and file relative to the root.
    settings
        The configuration that holds for them.
    calibration
        The file of the cameras' calibration, where there is one to compare sizes with.
    """

    label: str
    views: tuple[tuple[str, str], ...]
    settings: Config
    calibration: Path | None = None


def takes(root: Path, units: Sequence[Unit]) -> list[Take]:
    """Return the recordings of trials and of calibrations among the units of an experiment that are there."""
    found = []
    for unit in units:
        label = unit.label
        if unit.kind == "calibration":
            label = f"board in {unit.label}"
            views = [(board.names["camera"], _board(board)) for board in unit.related["board"]]
        elif unit.kind == "trial":
            views = [(view.names["camera"], _raw(root, view)) for view in unit.related["video"]]
        else:
            continue
        there = tuple((camera, path) for camera, path in views if path is not None)
        if there:
            found.append(Take(label, there, unit.settings.config, _calibration(root, unit)))
    return found


def _raw(root: Path, view: Unit) -> str | None:
    """Return the recording of a video that is there: as it was converted, else as the camera wrote it."""
    files = (*view.files.get(VIDEO.name, ()), *view.files.get(UNCOMPRESSED_VIDEO.name, ()))
    return next((path for path in files if (root / path).is_file()), None)


def _board(board: Unit) -> str | None:
    """Return a board's recording if it is a video that is there."""
    files = board.files.get(BOARD_RECORDING.name, ())
    is_video = len(files) == 1 and Path(files[0]).suffix.casefold() in VIDEO_SUFFIXES
    return files[0] if is_video else None


def _calibration(root: Path, unit: Unit) -> Path | None:
    nearest = next(iter(unit.related.get("calibration", ())), None)
    path = None if nearest is None else root / CALIBRATION.paths(nearest)[0]
    return path if path is not None and path.is_file() else None


def findings(root: Path, found: Sequence[Take], check_size: CheckSize, step: Step) -> Iterator[Finding]:
    """Look at the heads of recordings, take by take.

    Parameters
    ----------
    root
        Of the experiment.
    found
        What :func:`takes` returns.
    check_size
    step
        Is told how far it is.
    """
    rig_of = lru_cache(_rig)
    pool = ThreadPoolExecutor(_AT_ONCE)
    try:
        views = [
            [pool.submit(_look, root / path, camera, take.settings) for camera, path in take.views]
            for take in found
        ]
        for number, (take, looks) in enumerate(zip(found, views, strict=True)):
            step("recordings", number, len(found))
            rig = rig_of(take.calibration)
            yield from isolated(SUBJECT, take.label, partial(_judged, root, take, looks, rig, check_size))
    finally:
        pool.shutdown(cancel_futures=True)
    if not found:
        yield Finding("ok", SUBJECT, "", "there are none here to look at")


def _rig(path: Path | None) -> Rig | None:
    try:
        return None if path is None else read_calibration(path)
    except (AnipipeError, OSError):
        return None  # told with the calibrations


def _judged(
    root: Path, take: Take, looks: Sequence[Future[Recording]], rig: Rig | None, check_size: CheckSize
) -> Iterator[Finding]:
    readable = []
    for (_, path), look in zip(take.views, looks, strict=True):
        try:
            readable.append(look.result())
        except AnipipeError as error:
            yield _unreadable(root, take.label, path, str(error))
    for each in readable:
        if rig is not None and each.camera in rig.names:
            yield from _misfit(take, each, rig.camera(each.camera).size, check_size)
    if readable:
        yield from judge(take.label, readable)


def _look(path: Path, camera: str, settings: Config) -> Recording:
    """Read the head of a recording, and decode its first frame."""
    own = settings.cameras.get(camera)
    late = 0 if own is None else own.frame_offset
    return Recording(camera, path.name, Video(path).info.size, read_times(path), late)


def _unreadable(root: Path, label: str, path: str, reason: str) -> Finding:
    text = reason.replace(f"{root}{os.sep}", "")
    if time.time() - (root / path).stat().st_mtime < GROWING:
        return Finding(
            "warning",
            SUBJECT,
            label,
            f"{path} cannot be read, and was changed minutes ago: is it still being recorded or copied?",
            f"wait until it is done, and look again. If it is done: {text}",
        )
    return Finding("critical", SUBJECT, label, text)


def _misfit(take: Take, each: Recording, calibrated: Size | None, check_size: CheckSize) -> Iterator[Finding]:
    own = take.settings.cameras.get(each.camera)
    if calibrated is None:
        return
    try:
        check_size(each.camera, each.size, calibrated, None if own is None else own.offset)
    except AnipipeError as error:
        yield Finding("critical", SUBJECT, take.label, str(error))
