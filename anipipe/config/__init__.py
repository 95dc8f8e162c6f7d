"""The configuration: every key once, with its type, default, unit, bounds and a line of help.

:func:`read_layer` reads one ``config.toml``; :func:`resolve` merges the files from the experiment down to a
session into a :class:`Config` and remembers which file set each value. Template, documentation and checks
all come from the models in ``schema``.
"""

from anipipe.config.folders import CameraSettings, PipelineSettings, SummariesSettings
from anipipe.config.joints import joints_named
from anipipe.config.keys import KEYS, SECTIONS, Key, default, lookup
from anipipe.config.layers import Layer, merge, read_layer
from anipipe.config.poses_2d import FilterSettings, LabelingSettings, NetworkSettings, PredictionsSettings
from anipipe.config.poses_3d import (
    CalibrationSettings,
    Filter3dSettings,
    ManualVerificationSettings,
    TriangulationSettings,
)
from anipipe.config.render import markdown, origin_table, template, to_toml
from anipipe.config.resolve import Resolved, resolve
from anipipe.config.schema import Config
from anipipe.config.values import ANGLE_MODES, split_angle
from anipipe.suggest import nearest

__all__ = [
    "ANGLE_MODES",
    "KEYS",
    "SECTIONS",
    "CalibrationSettings",
    "CameraSettings",
    "Config",
    "Filter3dSettings",
    "FilterSettings",
    "Key",
    "LabelingSettings",
    "Layer",
    "ManualVerificationSettings",
    "NetworkSettings",
    "PipelineSettings",
    "PredictionsSettings",
    "Resolved",
    "SummariesSettings",
    "TriangulationSettings",
    "default",
    "joints_named",
    "lookup",
    "markdown",
    "merge",
    "nearest",
    "origin_table",
    "read_layer",
    "resolve",
    "split_angle",
    "template",
    "to_toml",
]
