"""The configuration as a whole."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from anipipe.config.folders import CameraSettings, PipelineSettings, SummariesSettings
from anipipe.config.poses_2d import (
    ConvertSettings,
    FilterSettings,
    LabelingSettings,
    NetworkSettings,
    PredictionsSettings,
)
from anipipe.config.poses_3d import (
    CalibrationSettings,
    Filter3dSettings,
    ManualVerificationSettings,
    TriangulationSettings,
)
from anipipe.config.running import ClusterSettings, JobsSettings, NightlySettings
from anipipe.config.values import Angle, AngleName, Name, Section, key


def _check_model_type(value: object) -> object:
    if value == "sleap":
        raise ValueError(
            "SLEAP's networks are not run here: put its predictions into the folder predictions "
            'and set model_type = "import"'
        )
    return value


ModelType = Annotated[Literal["deeplabcut", "lightning-pose", "import"], BeforeValidator(_check_model_type)]


class Config(Section):
    """All settings of a session, validated; ``Config()`` holds the defaults."""

    project: str | None = key(
        None, "Name of the project in tables; left out: the folder's name", example="flies"
    )
    path: str | None = key(
        None, "Folder of the experiment; left out: where the config.toml lies", example="~/data/flies"
    )
    model_folder: str | None = key(
        None,
        "Trained network: project or model folder of DeepLabCut 3, a zip or exported file of it, folder of "
        "Lightning Pose; relative to the experiment",
        example="networks/fly",
    )
    model_type: ModelType | None = key(
        None,
        "Program that trained the network, or import (predictions of other programs); left out: predictions "
        "where there are any, else the network in model_folder",
        example="deeplabcut",
    )
    nesting: int | None = key(
        None, "Folders from the experiment down to a session; -1: any; left out: found", example=1, ge=-1
    )
    video_extension: str = key(
        "avi", "Anipose's: not needed here", notice="not needed: videos with any usual extension are read"
    )
    converted_video_speed: float = key(
        1.0, "Speed of the videos that convert-videos makes; 0.5 plays at half speed", gt=0
    )
    pipeline: PipelineSettings = PipelineSettings()
    calibration: CalibrationSettings = CalibrationSettings()
    manual_verification: ManualVerificationSettings = ManualVerificationSettings()
    filter: FilterSettings = FilterSettings()
    filter3d: Filter3dSettings = Filter3dSettings()
    triangulation: TriangulationSettings = TriangulationSettings()
    cameras: dict[Name, CameraSettings] = Field(default_factory=dict)
    labeling: LabelingSettings = LabelingSettings()
    convert: ConvertSettings = ConvertSettings()
    angles: dict[AngleName, Angle] = Field(
        default_factory=dict,
        description='Angle (degrees): three joints, or "axis" or "cross-axis" and three, or "chain" and more',
        json_schema_extra={"example": ["L1A", "L1B", "L1C"]},
    )
    predictions: PredictionsSettings = PredictionsSettings()
    network: NetworkSettings = NetworkSettings()
    summaries: SummariesSettings = SummariesSettings()
    jobs: JobsSettings = JobsSettings()
    cluster: ClusterSettings = ClusterSettings()
    nightly: NightlySettings = NightlySettings()
