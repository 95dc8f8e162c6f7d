"""The steps of the pipeline, each a pure function and its declaration. This list has no order to keep."""

from anipipe.engine.declare import Registry
from anipipe.stages import angles, pose_2d, pose_3d, summarize, write_config

REGISTRY = Registry(
    [write_config.STAGE, pose_2d.STAGE, pose_3d.STAGE, angles.STAGE, *summarize.STAGES],
)
