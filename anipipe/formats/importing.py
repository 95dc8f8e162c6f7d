"""2D poses made elsewhere, as they lie in ``session/predictions/``.

========================= =============================================================
``.h5``                   DeepLabCut (any age, one animal or several), Anipose
``.csv``                  DeepLabCut, Lightning Pose, EKS
``.analysis.h5``          SLEAP, exported
``.slp``                  SLEAP, with the optional package sleap-io
``_meta.pickle``          DeepLabCut's record beside its predictions: the crop
========================= =============================================================

All give pixels of the whole frame, hypotheses included, and one row per frame.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from anipipe.errors import DataError, Notice
from anipipe.formats import _prediction_csv, _sleap, poses2d
from anipipe.formats._columns import Content, Extracted, extract
from anipipe.formats._files import open_hdf5
from anipipe.formats._meta import read_crop
from anipipe.formats.poses2d import Pose2D
from anipipe.formats.prediction_names import PREDICTION_SUFFIXES, meta_for, video_of, without_suffix


def import_pose(files: Sequence[Path], *, track: str | None = None, cropped: bool = False) -> Pose2D:
    """Read the predictions of one video.

    Parameters
    ----------
    files
        The video's files. Of one prediction in several formats, h5 is taken before csv and ``.analysis.h5``
        before ``.slp``; DeepLabCut's ``_meta.pickle`` (see :func:`meta_for`) is read for the crop; other
        pickles are ignored.
    track
        The individual (DeepLabCut) or track (SLEAP) to take; None where there is only one. ``"single"``
        means DeepLabCut's body parts that exist once.
    cropped
        Whether the project crops its videos, which then must be said in a ``_meta.pickle``.

    Returns
    -------
    Points in pixels of the whole frame, one row per frame up to the file's last. Scores are the file's;
    where all are 0, as Lightning Pose's regression networks write them, they become 1, said so in a Notice.

    Raises
    ------
    DataError
        No file, or two different predictions for the video; several individuals and no ``track``; a crop that
        is not recorded; anything wrong with the file itself.
    """
    path = _choose([Path(file) for file in files])
    video = video_of(path.name)
    suffix = _suffix(path)
    if suffix == ".slp" or (suffix != ".csv" and _holds_tracks(path)):
        tracks = _sleap.read_slp(path, video) if suffix == ".slp" else _sleap.read_analysis(path)
        points, scores = _sleap.pick_track(tracks, path, track)
        if len(set(tracks.nodes)) < len(tracks.nodes):
            raise DataError(f"{path}: has two nodes of one name. Rename one in SLEAP and export again.")
        return Pose2D(tracks.nodes, points[:, :, None], scores[:, :, None], "SLEAP", video=video)
    found = extract(_labelled_content(path, suffix), path, track)
    points = found.points + np.asarray(_corner(path, files, cropped))
    return Pose2D(found.joints, points, _confidence(found, path), found.scorer, video=video)


def _suffix(path: Path) -> str:
    return next((suffix for suffix in PREDICTION_SUFFIXES if path.name.lower().endswith(suffix)), "")


def _choose(files: list[Path]) -> Path:
    """Return the one file to read among a video's files."""
    predictions = [path for path in files if _suffix(path)]
    tables = {without_suffix(path.name) for path in predictions if _suffix(path) == ".h5"}
    exported = any(_suffix(path) == ".analysis.h5" for path in predictions)
    left = [
        path
        for path in predictions
        if not (_suffix(path) == ".csv" and without_suffix(path.name) in tables)
        and not (_suffix(path) == ".slp" and exported)
    ]
    if len(left) == 1:
        return left[0]
    if not left:
        given = ", ".join(str(path) for path in files) or "no file"
        raise DataError(
            f"No predictions among {given}: expected a file ending in {', '.join(PREDICTION_SUFFIXES)}."
        )
    raise DataError(
        f"{left[0]}: there is more than one prediction for the video {video_of(left[0].name)!r}: "
        f"{', '.join(path.name for path in left)}. Keep one of them in this folder."
    )


def _holds_tracks(path: Path) -> bool:
    if path.name.lower().endswith(".analysis.h5"):
        return True
    with open_hdf5(path) as file:
        return _sleap.is_analysis(file)


def _labelled_content(path: Path, suffix: str) -> Content:
    return _prediction_csv.read_content(path) if suffix == ".csv" else poses2d.read_content(path)[0]


def _corner(path: Path, files: Sequence[Path], cropped: bool) -> tuple[float, float]:
    """Return what to add to the points of a DeepLabCut file: the corner of its crop."""
    meta = meta_for(path)
    given = [Path(file) for file in files if Path(file).name == meta.name]
    if given:
        return read_crop(given[0]) or (0.0, 0.0)
    if cropped:
        raise DataError(
            f"{path}: the project crops its videos, and {meta.name}, which says where, is missing. Copy it "
            "here from beside the predictions, or analyse the video again."
        )
    return 0.0, 0.0


def _confidence(found: Extracted, path: Path) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """Return the scores, or 1 for each point if the file holds nothing but zeros."""
    present = np.isfinite(found.points).all(axis=-1)
    if not present.any() or np.any(found.scores[present] != 0):
        return found.scores
    warnings.warn(Notice(f"{path}: all likelihoods are 0; taken as unknown and set to 1."), stacklevel=3)
    return np.where(present, 1.0, found.scores)
