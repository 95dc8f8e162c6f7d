"""The steps of the pipeline, each a pure function and its declaration. This list has no order to keep."""

from anipipe.engine.declare import Registry
from anipipe.stages import (
    angles,
    calibrate,
    convert_videos,
    detect_boards,
    filter,
    filter_3d,
    label_2d,
    label_3d,
    pose_2d,
    pose_3d,
    previews,
    project_2d,
    summarize,
    write_config,
)

REGISTRY = Registry(
    [
        write_config.STAGE,
        convert_videos.STAGE,
        pose_2d.STAGE,
        filter.STAGE,
        detect_boards.STAGE,
        calibrate.STAGE,
        pose_3d.STAGE,
        filter_3d.STAGE,
        angles.STAGE,
        *label_2d.STAGES,
        project_2d.STAGE,
        *label_3d.STAGES,
        *previews.STAGES,
        *summarize.STAGES,
    ],
)
