"""Where things lie and how a recording is described: folders, cameras, tables."""

from __future__ import annotations

import unicodedata

from pydantic import model_validator

from anipipe.config.values import Folder, KeyFaults, Offset, Section, Tables, key

# Folders of a session that belong to anipipe itself.
_RESERVED = {"config": "the folder of the resolved configuration"}


class PipelineSettings(Section):
    """``[pipeline]``: names of the folders that stages read and write."""

    videos_uncompressed: Folder = key(
        "videos-uncompressed", "What the camera wrote; videos_raw is made from it"
    )
    videos_raw: Folder = key("videos-raw", "Recorded videos")
    videos_raw_mp4: Folder = key("videos-raw-mp4", "Recorded videos, converted for viewing in a browser")
    predictions: Folder = key("predictions", "2D poses made by other programs")
    pose_2d: Folder = key("pose-2d", "2D poses")
    pose_2d_filter: Folder = key("pose-2d-filtered", "2D poses after filtering")
    pose_2d_projected: Folder = key("pose-2d-proj", "3D poses projected back into each camera")
    pose_3d: Folder = key("pose-3d", "3D poses")
    pose_3d_filter: Folder = key("pose-3d-filtered", "3D poses after filtering")
    angles: Folder = key("angles", "Joint angles")
    summaries: Folder = key("summaries", "Tables over all sessions, in the experiment's folder")
    calibration_videos: Folder = key("calibration", "Recordings of the calibration board")
    calibration_results: Folder = key("calibration", "The calibration; may be the folder of its recordings")
    videos_labeled_2d: Folder = key("videos-labeled", "Videos with 2D poses drawn in")
    videos_labeled_2d_filter: Folder = key(
        "videos-labeled-filtered", "Videos with filtered 2D poses drawn in"
    )
    videos_compare: Folder = key("videos-compare", "Videos of 2D poses before and after filtering")
    videos_labeled_3d: Folder = key("videos-3d", "Videos of 3D poses")
    videos_labeled_3d_filter: Folder = key("videos-3d-filtered", "Videos of filtered 3D poses")
    videos_combined: Folder = key("videos-combined", "Videos of all cameras beside the 3D pose")
    videos_2d_projected: Folder = key("videos-2d-proj", "Videos with projected 3D poses drawn in")
    previews: Folder = key("previews", "Pictures for a quick look at each step")

    @model_validator(mode="after")
    def _check_folders_differ(self) -> PipelineSettings:
        # One folder for two kinds of file would let one stage take another's output for its own.
        # Compared without case and however accents are put together, as on disks of Windows and macOS.
        faults: list[tuple[str, str]] = []
        owners: dict[str, str] = {}
        for name, folder in self:
            if name == "calibration_results" and folder == self.calibration_videos:
                continue
            same = unicodedata.normalize("NFC", folder.casefold())
            use = _RESERVED.get(same)
            if use is not None:
                faults.append((name, f"is {use}; choose another name"))
                continue
            other = owners.setdefault(same, name)
            if other != name:
                culprit, victim = (name, other) if name in self.model_fields_set else (other, name)
                faults.append((culprit, f"is the folder of pipeline.{victim} too; each needs its own"))
        if faults:
            raise KeyFaults(*faults)
        return self


class CameraSettings(Section):
    """``[cameras.NAME]``: what is particular to one camera."""

    offset: Offset | None = key(
        None,
        "Top-left corner [x, y] of the part of the calibrated picture that was recorded; left out: all of it",
        unit="px",
        example=[0, 0],
    )
    frame_offset: int = key(
        0, "How much later than the others this camera started; negative if earlier", unit="frames"
    )
    model_folder: str | None = key(
        None, "A network of this camera's own, instead of model_folder", example="networks/side-view"
    )


class SummariesSettings(Section):
    """``[summaries]``: tables over all sessions."""

    csv: Tables = key(
        ("pose_3d", "angles", "errors"),
        "Tables that are also written as one csv file; parquet is always written",
    )
