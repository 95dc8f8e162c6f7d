"""The steps of the pipeline, each a pure function and its declaration. This list has no order to keep."""

from anipipe.engine.declare import Registry
from anipipe.stages import (
    angles,
    calibrate,
    detect_boards,
    filter,
    filter_3d,
    pose_2d,
    pose_3d,
    summarize,
    write_config,
)

REGISTRY = Registry(
    [
        write_config.STAGE,
        pose_2d.STAGE,
        filter.STAGE,
        detect_boards.STAGE,
        calibrate.STAGE,
        pose_3d.STAGE,
        filter_3d.STAGE,
        angles.STAGE,
        *summarize.STAGES,
    ],
)
