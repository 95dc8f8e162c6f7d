"""Every file of the pipeline, once: its folder, its name, and how it is read and written."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from anipipe.engine.declare import Artifact, Json, Names
from anipipe.errors import DataError, Notice
from anipipe.formats.board_detections import (
    BoardDetections,
    read_board_detections,
    write_board_detections,
)
from anipipe.formats.calibrations import read_calibration, write_calibration
from anipipe.formats.films import check_film, write_film
from anipipe.formats.importing import import_pose
from anipipe.formats.poses2d import Pose2D, read_pose_2d, write_pose_2d
from anipipe.formats.poses3d import Pose3D, read_pose_3d, write_pose_3d
from anipipe.formats.prediction_names import VIDEO_SUFFIXES
from anipipe.formats.preview_pictures import check_png
from anipipe.formats.tables import (
    Table,
    parquet_columns,
    read_angles,
    write_angles,
    write_columns,
    write_csv_from_parts,
    write_parquet,
)
from anipipe.formats.video import Stills, Video
from anipipe.networks.sources import ModelSource, find_model
from anipipe.numerics.alignment import is_rotation
from anipipe.numerics.cameras import Rig

#: Tables, by the name that their files have in ``summaries/``.
TABLES = ("pose_2d", "pose_2d_filtered", "pose_3d", "pose_3d_filtered", "angles", "errors")


@dataclass(frozen=True)
class Prediction:
    """The prediction files of one video, not yet read: which animal is wanted is an option."""

    paths: tuple[Path, ...]
    video: str
    camera: str

    def load(self, *, track: str | None, cropped: bool) -> Pose2D:
        """Read the 2D pose of one animal; if the videos were cropped, only where the crop is on record."""
        pose = import_pose(self.paths, track=track, cropped=cropped)
        return replace(pose, video=self.video, camera=self.camera)


@dataclass(frozen=True)
class BoardRecording:
    """A recording of the calibration board: a video, or the still images of one camera."""

    paths: tuple[Path, ...]
    camera: str

    @property
    def stills(self) -> bool:
        """Whether it is made of images."""
        return self.paths[0].suffix.casefold() not in VIDEO_SUFFIXES

    def open(self) -> Video | Stills:
        """Return a reader of its frames."""
        return Stills(self.paths) if self.stills else Video(self.paths[0])


def _read_recording(paths: Sequence[Path], names: Names) -> BoardRecording:
    return BoardRecording(tuple(paths), names["camera"])


def _read_video(paths: Sequence[Path], names: Names) -> Video:
    return Video(paths[0])


def _read_board_detections(paths: Sequence[Path], names: Names) -> BoardDetections:
    return read_board_detections(paths[0])


def _read_prediction(paths: Sequence[Path], names: Names) -> Prediction:
    return Prediction(tuple(paths), names["video"], names["camera"])


def _read_model(paths: Sequence[Path], names: Names) -> ModelSource:
    source = find_model(Path(names["model"]), kind=names["model_type"])
    if sorted(path.resolve() for path in source.files) != sorted(path.resolve() for path in paths):
        raise DataError(f"{source.path}: has got another snapshot since this run began; run again")
    return source


def _read_pose_2d(paths: Sequence[Path], names: Names) -> Pose2D:
    trial = f"{names['session']}{names['trial']}"
    return replace(read_pose_2d(paths[0]), video=names["video"], camera=names["camera"], trial=trial)


def _describe_pose_2d(pose: Pose2D) -> dict[str, Json]:
    made = {"computed": pose.computed} if pose.computed else {}
    return {"joints": list(pose.joints), "frames": len(pose.points), **made}


def _read_pose_3d(paths: Sequence[Path], names: Names) -> Pose3D:
    pose = read_pose_3d(paths[0])
    if not is_rotation(pose.rotation):  # as Anipose has made them since 2024
        warnings.warn(
            f"{paths[0]}: its axes (columns M_00 to M_22) are not at right angles, so that lengths and "
            "angles in it are distorted",
            Notice,
            stacklevel=2,
        )
    return pose


def _describe_pose_3d(pose: Pose3D) -> dict[str, Json]:
    return {"joints": list(pose.joints), "frames": len(pose.points)}


def _read_angles(paths: Sequence[Path], names: Names) -> Table:
    return read_angles(paths[0])


def _read_calibration(paths: Sequence[Path], names: Names) -> Rig:
    return read_calibration(paths[0])


def _read_part(paths: Sequence[Path], names: Names) -> Path:
    parquet_columns(paths[0])  # its footer comes last: a part that was cut short has none
    return paths[0]


#: Columns that say where a row comes from: after all others, in Anipose's order.
ROW_LABELS = ("fnum", *(f"folder_{level}" for level in range(1, 100)), "filename", "project")


def _write_csv(parts: Iterable[Path], path: Path) -> None:
    write_csv_from_parts(parts, path, last=ROW_LABELS)


def _write_columns(parts: Iterable[Path], path: Path) -> None:
    write_columns(parts, path, last=ROW_LABELS)


def _write_csv_2d(parts: Iterable[Path], path: Path) -> None:
    write_csv_from_parts(parts, path, last=ROW_LABELS, two_header_rows=True)


def _write_json(content: Json, path: Path) -> None:
    _write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", path)


def _write_text(text: str, path: Path) -> None:
    path.write_text(text, encoding="utf-8", newline="\n")


RESOLVED_CONFIG = Artifact("config", "session", "{session}config/config.toml", write=_write_text, text=True)
UNCOMPRESSED_VIDEO = Artifact("uncompressed video", "video", read=_read_video, sampled=True)
#: Where it lies, the walker knows: as what a camera wrote, or where it is to be converted to.
VIDEO = Artifact("video", "video", read=_read_video, check=check_film, write=write_film, sampled=True)
BOARD_RECORDING = Artifact("board recording", "board", read=_read_recording, sampled=True)
BOARD_DETECTIONS = Artifact(
    "board detections",
    "board",
    "{session}{calibration_results}/detections/{recording}.csv",
    read=_read_board_detections,
    write=write_board_detections,
    text=True,
)
PREDICTIONS = Artifact(
    "prediction",
    "video",
    read=_read_prediction,
    absent="put its DeepLabCut, Lightning Pose or SLEAP file into {session}{predictions}/, "
    "under the video's name, or name a trained network in model_folder",
)
#: A trained network, wherever it lies: for everybody who uses it, its content is what counts.
MODEL = Artifact("model", "video", read=_read_model, content="model")
POSE_2D = Artifact(
    "pose-2d",
    "video",
    "{session}{pose_2d}/{video}.h5",
    read=_read_pose_2d,
    write=write_pose_2d,
    describe=_describe_pose_2d,
)
POSE_2D_FILTERED = Artifact(
    "pose-2d-filtered",
    "video",
    "{session}{pose_2d_filter}/{video}.h5",
    read=_read_pose_2d,
    write=write_pose_2d,
    describe=_describe_pose_2d,
)
STARTING_CALIBRATION = Artifact("starting calibration", "calibration", read=_read_calibration)
CALIBRATION = Artifact(
    "calibration",
    "calibration",
    "{session}{calibration_results}/calibration.toml",
    read=_read_calibration,
    write=write_calibration,
    text=True,
    absent="put recordings of the board by all cameras, or the calibration.toml of these cameras, into a "
    "folder calibration/ of the session, or of one above it; or switch 3D off with "
    "triangulation.triangulate = false",
)
CALIBRATION_REPORT = Artifact(
    "calibration report",
    "calibration",
    "{session}{calibration_results}/report.json",
    write=_write_json,
    text=True,
)
CALIBRATION_PAGE = Artifact(
    "calibration page",
    "calibration",
    "{session}{calibration_results}/report.html",
    write=_write_text,
    text=True,
)
POSE_3D = Artifact(
    "pose-3d",
    "trial",
    "{session}{pose_3d}/{trial}.csv",
    read=_read_pose_3d,
    write=write_pose_3d,
    text=True,
    describe=_describe_pose_3d,
)
POSE_2D_PROJECTED = Artifact(
    "pose-2d-proj",
    "video",
    "{session}{pose_2d_projected}/{video}.h5",
    read=_read_pose_2d,
    write=write_pose_2d,
)
POSE_3D_FILTERED = Artifact(
    "pose-3d-filtered",
    "trial",
    "{session}{pose_3d_filter}/{trial}.csv",
    read=_read_pose_3d,
    write=write_pose_3d,
    text=True,
    describe=_describe_pose_3d,
)
ANGLES = Artifact(
    "angles",
    "trial",
    "{session}{angles}/{trial}.csv",
    read=_read_angles,
    write=write_angles,
    text=True,
)


def _film(name: str, per: str, folder: str) -> Artifact:
    """Return a video that is made: one file per video, or per trial, in a folder of its own."""
    pattern = f"{{session}}{{{folder}}}/{{{per}}}.mp4"
    return Artifact(name, per, pattern, read=_read_video, check=check_film, write=write_film, sampled=True)


VIDEO_LABELED = _film("labelled video", "video", "videos_labeled_2d")
VIDEO_LABELED_FILTERED = _film("labelled video, filtered", "video", "videos_labeled_2d_filter")
VIDEO_COMPARED = _film("comparing video", "video", "videos_compare")
VIDEO_2D_PROJECTED = _film("video of projected poses", "video", "videos_2d_projected")
VIDEO_3D = _film("3D video", "trial", "videos_labeled_3d")
VIDEO_3D_FILTERED = _film("3D video, filtered", "trial", "videos_labeled_3d_filter")
VIDEO_COMBINED = _film("combined video", "trial", "videos_combined")


def _part(table: str) -> Artifact:
    return Artifact(
        f"{table} part",
        "trial",
        f"{{summaries}}/{table}.parquet/{{part}}.parquet",
        read=_read_part,
        write=write_parquet,
        collected=True,
    )


#: One parquet file per trial; the folder of them is the table, and every parquet reader takes it as one.
PARTS = {table: _part(table) for table in TABLES}
#: The columns of all parts; its name makes readers of the folder look at it first.
TABLE_COLUMNS = {
    table: Artifact(
        f"{table} columns",
        "experiment",
        f"{{summaries}}/{table}.parquet/all-columns.parquet",
        read=_read_part,
        write=_write_columns,
        collected=True,
    )
    for table in TABLES
}
#: The same table in one csv.
TABLE_CSV = {
    table: Artifact(
        f"{table} table",
        "experiment",
        f"{{summaries}}/{table}.csv",
        write=_write_csv_2d if table.startswith("pose_2d") else _write_csv,
        text=True,
        collected=True,
    )
    for table in TABLES
}


def _write_picture(picture: bytes, path: Path) -> None:
    path.write_bytes(picture)


def _preview(name: str, per: str, pattern: str) -> Artifact:
    where = f"{{session}}{{previews}}/{pattern}.png"
    return Artifact(name, per, where, check=check_png, write=_write_picture)


#: The pictures of a 2D pose: what comes after the last dot of a name tells them from all others.
PREVIEWS_2D, PREVIEWS_2D_FILTERED = (
    tuple(
        _preview(f"{kind}{what} picture", "video", f"{{video}}.{kind}{what}")
        for what in ("trajectory", "plot", "likelihood", "hist")
    )
    for kind in ("", "filtered-")
)
POSE_3D_PREVIEW = _preview("pose-3d picture", "trial", "{trial}.pose-3d")
POSE_3D_FILTERED_PREVIEW = _preview("pose-3d-filtered picture", "trial", "{trial}.filtered-pose-3d")
ANGLES_PREVIEW = _preview("angles picture", "trial", "{trial}.angles")
