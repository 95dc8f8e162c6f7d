"""2D poses of one video: ``pose-2d/VIDEO.h5``.

The format is Anipose's and DeepLabCut's: a pandas table under the key ``df_with_missing``, columns
``(scorer, bodyparts, coords)`` with coords ``x, y, likelihood`` (``x2, y2, likelihood2``, ... for further
hypotheses), one row per frame. anipipe adds an array ``/anipipe/filled`` where it has filled gaps and the
video's width and height as ``/anipipe/size`` where it has seen the video; pandas and Anipose look at neither.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from anipipe.errors import DataError
from anipipe.formats._columns import LEVELS, Content, extract, name_columns
from anipipe.formats._files import open_hdf5, translated
from anipipe.formats._frames import by_frame
from anipipe.formats._hdf_pickles import no_code, refuse_code

KEY = "df_with_missing"
FILLED = "anipipe/filled"
SIZE = "anipipe/size"

# Anipose's viterbi filter writes these where a joint is not seen
_ABSENT, _ABSENT_SCORE = -1.0, 0.001

# PyTables shares state between threads
_PYTABLES = threading.Lock()


@dataclass(frozen=True, eq=False)
class Pose2D:
    """Where one camera saw each joint.

    Attributes
    ----------
    joints
        Names, each once.
    points
        (frames, joints, hypotheses, 2), pixels, float64; NaN where missing. Hypothesis 0 is the best one.
    scores
        (frames, joints, hypotheses), float64; the network's confidence, which may exceed 1.
    scorer
        The network that made them.
    filled
        (frames, joints), True where a filter invented the point; None if nothing was filled.
    video, camera, trial
        Names; empty where unknown. They are not stored in the file.
    computed
        The device and the arithmetic that a network ran on; empty if none did just now. Not stored either.
    size
        Width and height of the video, in pixels; None where unknown.

    Raises
    ------
    ValueError
        Shapes that do not agree, or a joint named twice.
    """

    joints: tuple[str, ...]
    points: NDArray[np.float64]
    scores: NDArray[np.float64]
    scorer: str
    filled: NDArray[np.bool_] | None = None
    video: str = ""
    camera: str = ""
    trial: str = ""
    size: tuple[int, int] | None = None
    computed: str = ""

    def __post_init__(self) -> None:
        points = np.asarray(self.points, dtype=np.float64)
        scores = np.asarray(self.scores, dtype=np.float64)
        joints = tuple(self.joints)
        if points.ndim != 4 or points.shape[-1] != 2 or points.shape[1] != len(joints) or not points.shape[2]:
            raise ValueError(
                f"points have shape {points.shape}, expected (frames, {len(joints)} joints, hypotheses, 2)"
            )
        if scores.shape != points.shape[:-1]:
            raise ValueError(f"scores have shape {scores.shape}, expected {points.shape[:-1]}")
        if len(set(joints)) < len(joints):
            raise ValueError(f"a joint is named twice: {', '.join(joints)}")
        if self.filled is not None:
            filled = np.asarray(self.filled, dtype=np.bool_)
            if filled.shape != points.shape[:2]:
                raise ValueError(f"filled has shape {filled.shape}, expected {points.shape[:2]}")
            object.__setattr__(self, "filled", filled)
        object.__setattr__(self, "joints", joints)
        object.__setattr__(self, "points", points)
        object.__setattr__(self, "scores", scores)


def write_pose_2d(pose: Pose2D, path: Path) -> None:
    """Write poses as pandas would, but with the same bytes each time.

    The table is laid out with PyTables rather than by pandas: pandas stores the time of writing, and its
    pickled column names depend on which strings happen to be one object in memory.

    Parameters
    ----------
    pose
        What to write; ``video`` and ``camera`` are not stored.
    path
        The file; replaced if it exists.

    Raises
    ------
    DataError
        So many columns that HDF5 cannot hold their names.
    """
    import tables

    frames, joints, hypotheses = pose.scores.shape
    width = joints * hypotheses * 3
    rows = np.zeros(frames, dtype=[("index", "<i8"), ("values_block_0", "<f8", (width,))])
    rows["index"] = np.arange(frames)
    cells = rows["values_block_0"].reshape(frames, joints, hypotheses, 3)
    cells[..., :2] = pose.points
    cells[..., 2] = pose.scores

    names = _column_names(pose, hypotheses)
    try:
        # Laid out in memory: HDF5 says nothing when it cannot write a file's last pages to a full disk.
        memory = {"driver": "H5FD_CORE", "driver_core_backing_store": 0}
        with _PYTABLES, tables.open_file("memory", "w", title="", pytables_sys_attrs=True, **memory) as file:
            group = file.create_group("/", KEY)
            # the chunk is given so that it cannot depend on PyTables' estimates
            chunk = (max(1, min(frames, 65536 // rows.dtype.itemsize)),)
            table = file.create_table(
                group, "table", rows, chunkshape=chunk, track_times=False, byteorder="little"
            )
            _describe(group._v_attrs, table.attrs, names)
            size = None if pose.size is None else np.array(pose.size, dtype="<i8")
            for name, array in ((FILLED, pose.filled), (SIZE, size)):
                if array is not None:
                    folder, _, leaf = name.partition("/")
                    file.create_array(
                        f"/{folder}", leaf, array, createparents=True, track_times=False, byteorder="little"
                    )
            image = file.get_file_image()
    except tables.HDF5ExtError as error:
        # HDF5 keeps the names of all columns in one attribute of at most 64 KiB
        if width > 1000:
            raise DataError(
                f"{path}: HDF5 cannot hold the names of {width} columns; keep fewer hypotheses "
                "(network.num_outputs)."
            ) from error
        raise OSError(f"{path}: cannot be written ({str(error).strip().splitlines()[-1]})") from error
    path.write_bytes(image)


def _column_names(pose: Pose2D, hypotheses: int) -> list[tuple[str, str, str]]:
    """Return the columns' names, equal texts being one object: pickle writes equal objects differently."""
    texts: dict[str, str] = {}

    def same(text: str) -> str:
        return texts.setdefault(str(text), str(text))

    suffixes = ["", *(str(number) for number in range(2, hypotheses + 1))]
    return [
        (same(pose.scorer), same(joint), same(coord + suffix))
        for joint in pose.joints
        for suffix in suffixes
        for coord in ("x", "y", "likelihood")
    ]


def _describe(group: Any, table: Any, names: list[tuple[str, str, str]]) -> None:
    """Set the attributes by which pandas knows its "frame_table"."""
    group.pandas_type = "frame_table"
    group.pandas_version = "0.15.2"
    group.encoding = "UTF-8"
    group.errors = "strict"
    group.table_type = "appendable_frame"
    group.index_cols = [(0, "index")]
    group.values_cols = ["values_block_0"]
    group.non_index_axes = [(1, names)]
    group.data_columns = []
    group.nan_rep = "nan"
    group.levels = 1
    group.info = {1: {"names": list(LEVELS), "type": "MultiIndex"}, "index": {}, "values_block_0": {}}
    table.index_kind = "integer"
    table.values_block_0_kind = names
    table.values_block_0_meta = None
    table.values_block_0_dtype = "float64"


class Additions(NamedTuple):
    """What only anipipe writes: flags of filled points, and the video's width and height."""

    filled: NDArray[np.bool_] | None
    size: tuple[int, int] | None


def read_content(path: Path) -> tuple[Content, Additions]:
    """Read the table of an HDF5 file of DeepLabCut, Anipose or anipipe as it stands, and what we added."""
    with open_hdf5(path) as file:
        if KEY not in file:
            raise DataError(
                f"{path}: an HDF5 file without the table {KEY!r} that DeepLabCut and Anipose write; it holds "
                f"{', '.join(sorted(file)) or 'nothing'}. Put predictions in its place, or remove it."
            )
        refuse_code(file, path)
        filled = np.asarray(file[FILLED][()], dtype=np.bool_) if FILLED in file else None
        size = tuple(int(side) for side in file[SIZE][()]) if SIZE in file else ()
    import pandas as pd

    with _PYTABLES, translated(path, "a table of poses"), no_code():
        frame = pd.read_hdf(path, key=KEY)
    if not isinstance(frame, pd.DataFrame):
        raise DataError(f"{path}: {KEY!r} is not a table. Put predictions in its place, or remove this file.")
    columns = frame.columns
    levels = list(columns.names)
    tuples = columns.tolist() if isinstance(columns, pd.MultiIndex) else [(name,) for name in columns]
    known = not all(name is None for name in levels)
    named = name_columns(tuples, levels, path, known)
    try:
        values = frame.to_numpy(dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(
            f"{path}: holds cells that are not numbers ({error}). Predict the video again."
        ) from error
    index = frame.index.tolist() if isinstance(frame.index, pd.MultiIndex) else frame.index.to_numpy()
    return Content(named, index, values), Additions(filled, (size[0], size[1]) if size else None)


def read_pose_2d(path: Path) -> Pose2D:
    """Read poses written by anipipe, Anipose or DeepLabCut.

    Parameters
    ----------
    path
        The file. DeepLabCut's may hold float32, more columns, and one animal by name.

    Returns
    -------
    One row per frame from 0 to the file's last; ``video`` is the file's name without ``.h5``. Frames without
    a row are NaN and said so in a Notice. So is the (-1, -1) with score 0.001 that Anipose's viterbi filter
    writes for "not there".

    Raises
    ------
    DataError
        The file is empty, cut off, no HDF5 file, or holds something else; the message says what to do.
    """
    content, (filled, size) = read_content(path)
    found = extract(content, path)
    if filled is not None:
        if filled.shape != (len(content.values), len(found.joints)):
            raise DataError(
                f"{path}: its flags of filled points have shape {filled.shape}, its table "
                f"{(len(content.values), len(found.joints))}: one was changed alone. Make the file again."
            )
        filled = by_frame(filled, found.rows, False)
    absent = (found.points == _ABSENT).all(axis=-1) & (found.scores == _ABSENT_SCORE)
    found.points[absent], found.scores[absent] = np.nan, np.nan
    return Pose2D(found.joints, found.points, found.scores, found.scorer, filled, video=path.stem, size=size)
