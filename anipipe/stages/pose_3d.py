"""``pose-3d``: the 2D poses of a trial's cameras, triangulated."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from anipipe.artifacts import CALIBRATION, POSE_2D, POSE_2D_FILTERED, POSE_3D, VIDEO
from anipipe.config import Resolved
from anipipe.engine.declare import Stage, consulted, each, first_enabled
from anipipe.errors import Concern, DataError, Notice
from anipipe.formats.poses2d import Pose2D
from anipipe.formats.poses3d import Pose3D
from anipipe.formats.video import Video
from anipipe.numerics.alignment import standardise
from anipipe.numerics.aniposelib_triangulation import ENGINE
from anipipe.numerics.calibration.pose_alarms import Trial, pose_alarms
from anipipe.numerics.cameras import Rig
from anipipe.numerics.reconstruction import InTime, Method, Reconstruction, Search, reconstruct
from anipipe.numerics.subsets import Rule
from anipipe.stages.options import SettingsOptions, engine_version, setting
from anipipe.suggest import no_joint

Floats = NDArray[np.float64]


#: Options that matter only where another one is set.
_ONLY_WITH = {
    "triangulation.ransac": ("ransac_rule", "ransac_threshold", "hypotheses"),
    "triangulation.optim": (
        "constraints",
        "constraints_weak",
        "scale_smooth",
        "scale_length",
        "scale_length_weak",
        "n_deriv_smooth",
        "reproj_error_threshold",
    ),
}
_ENOUGH = 1000  # points
_RARE = 0.5  # share of the frames below which it is said that a joint is often missing
#: Options that aniposelib has no use for.
_NOT_ANIPOSELIB = ("weights", "ransac_rule", "ransac_threshold", "hypotheses")


@dataclass(frozen=True)
class TriangulationOptions(SettingsOptions):
    """What triangulation sees of the configuration."""

    cam_regex: str | None = setting("triangulation.cam_regex")
    engine: str = setting("triangulation.engine")
    score_threshold: float = setting("triangulation.score_threshold")
    min_cams: int = setting("triangulation.min_cams")
    use_filled: bool = setting("triangulation.use_filled")
    weights: str | None = setting("triangulation.weights")
    ransac: bool = setting("triangulation.ransac")
    ransac_rule: Rule = setting("triangulation.ransac_rule")
    ransac_threshold: float = setting("triangulation.ransac_threshold")
    hypotheses: int = setting("triangulation.hypotheses")
    refine: bool = setting("triangulation.refine")
    optim: bool = setting("triangulation.optim")
    constraints: tuple[tuple[str, str], ...] = setting("triangulation.constraints")
    constraints_weak: tuple[tuple[str, str], ...] = setting("triangulation.constraints_weak")
    scale_smooth: float = setting("triangulation.scale_smooth")
    scale_length: float = setting("triangulation.scale_length")
    scale_length_weak: float = setting("triangulation.scale_length_weak")
    n_deriv_smooth: int = setting("triangulation.n_deriv_smooth")
    reproj_error_threshold: float = setting("triangulation.reproj_error_threshold")
    axes: list[list[str]] | None = setting("triangulation.axes")
    reference_point: str | None = setting("triangulation.reference_point")
    offsets: dict[str, list[float]] = setting("cameras.*.offset")
    frame_offsets: dict[str, int] = setting("cameras.*.frame_offset")

    def facts(self) -> dict[str, Any]:
        """Return every key with its value, or its default where it has no effect."""
        facts, defaults = super().facts(), self.introduced()
        idle = [name for switch, names in _ONLY_WITH.items() if not facts[switch] for name in names]
        if self.engine == ENGINE:
            idle += _NOT_ANIPOSELIB
        facts |= {key: defaults[key] for key in (f"triangulation.{name}" for name in idle)}
        return facts | engine_version(self.engine)

    def method(self, joints: Sequence[str]) -> Method:
        """Return how pixels of these joints become points."""
        return Method(
            min_cams=self.min_cams,
            search=Search(self.ransac_rule, self.ransac_threshold) if self.ransac else None,
            refined=self.refine,
            in_time=self._in_time(joints) if self.optim else None,
            engine=self.engine,
        )

    def _in_time(self, joints: Sequence[str]) -> InTime:
        return InTime(
            _indices(self.constraints, joints),
            _indices(self.constraints_weak, joints),
            scale_smooth=self.scale_smooth,
            scale_length=self.scale_length,
            scale_length_weak=self.scale_length_weak,
            n_deriv_smooth=self.n_deriv_smooth,
            reproj_error_threshold=self.reproj_error_threshold,
        )


def triangulate(
    views: Iterable[Pose2D], rig: Rig, videos: Iterable[Video] = (), *, options: TriangulationOptions
) -> Pose3D:
    """Triangulate the 2D poses of each trial from all cameras that see a joint.

    With triangulation.ransac, cameras that contradict the others are left out, joint by joint and frame by
    frame; with triangulation.optim, points are moved so that they fit the pixels, move smoothly and keep the
    lengths of limbs.
    """
    views = sorted(_with_sizes(views, videos), key=lambda view: view.camera)
    cameras = rig.subset([view.camera for view in views])
    _check_views(views, rig)
    for view, camera in zip(views, cameras.cameras, strict=True):
        check_size(view, camera.size, options.offsets.get(view.camera))
    joints = merge_joints(views)
    pixels, scores = stack(views, joints, options)
    # a score is a share of certainty: what is twice as likely wrong counts half as much
    weights = np.clip(scores, 0, None) if options.weights == "score" and _weighable(options) else None
    found = reconstruct(pixels, scores, cameras, options.method(joints), weights)
    _say_what_is_lost(found.points, joints, options)
    _say_what_does_not_fit(cameras, pixels)
    _say_how(found, cameras.names, pixels, options)
    points, rotation, center = found.points, np.eye(3), np.zeros(3)
    if options.axes and options.reference_point:
        points, rotation, center = standardise(points, joints, options.axes, options.reference_point)
    excluded = None if found.excluded is None else dict(zip(cameras.names, found.excluded, strict=True))
    return Pose3D(
        joints,
        points,
        found.error,
        found.ncams,
        found.score,
        rotation,
        center,
        filled=found.filled,
        excluded=excluded,
    )


def _indices(pairs: Iterable[tuple[str, str]], joints: Sequence[str]) -> tuple[tuple[int, int], ...]:
    """Return the places of pairs of joints among all."""
    found = list(pairs)
    lacking = next((joint for pair in found for joint in pair if joint not in joints), None)
    if lacking is not None:
        raise DataError(f"triangulation.constraints: {no_joint(lacking, joints)}")
    return tuple((joints.index(one), joints.index(two)) for one, two in found)


def _weighable(options: TriangulationOptions) -> bool:
    if options.engine != ENGINE:
        return True
    _say("triangulation.weights has no effect: aniposelib counts all 2D points alike")
    return False


def _say_how(
    found: Reconstruction, cameras: Sequence[str], pixels: Floats, options: TriangulationOptions
) -> None:
    for remark in found.remarks:
        _say(f"triangulation.optim: {remark}")
    if found.filled is not None and found.filled.any():
        _say(
            f"{100 * found.filled.mean():.2g} % of the points rest on no camera and follow from their "
            "neighbours in time (columns JOINT_filled)"
        )
    if found.excluded is not None and found.excluded.any():
        seen = np.isfinite(pixels[..., 0, 0]).sum(axis=(1, 2))
        shares = found.excluded.sum(axis=(1, 2)) / np.maximum(seen, 1)
        told = ", ".join(
            f"{100 * share:.2g} % of {name}" for name, share in zip(cameras, shares, strict=True)
        )
        limit = f"; cameras agree within triangulation.ransac_threshold = {options.ransac_threshold:g} px"
        within = limit if options.ransac_rule == "agreement" and options.engine != ENGINE else ""
        _say(f"triangulation.ransac left out {told} (columns JOINT_excluded{within})")


def _with_sizes(views: Iterable[Pose2D], videos: Iterable[Video]) -> Iterator[Pose2D]:
    """Look up in the videos what poses that were made elsewhere do not tell: the size of the picture."""
    known = {video.path.stem: video for video in videos}
    for view in views:
        video = known.get(view.video)
        if view.size is None and video is not None:
            with contextlib.suppress(DataError):  # a video that cannot be read is told where it is read
                view = replace(view, size=video.info.size)
        yield view


def merge_joints(views: Sequence[Pose2D]) -> tuple[str, ...]:
    """Return the joints of all views, in the order in which they first appear."""
    joints = tuple(dict.fromkeys(joint for view in views for joint in view.joints))
    for view in views:
        lacking = [joint for joint in joints if joint not in view.joints]
        if lacking:
            _say(f"camera {view.camera} lacks {', '.join(lacking)}: there they come from the other cameras")
    return joints


def stack(
    views: Sequence[Pose2D], joints: Sequence[str], options: TriangulationOptions
) -> tuple[Floats, Floats]:
    """Bring the views to common joints and frames, in full-frame pixels.

    Returns
    -------
    pixels : (cameras, frames, joints, hypotheses, 2) array
        With the crop offset added; NaN where the score is below the threshold, where the point was filled in
        by a filter (with ``use_filled`` those are in whatever their score), and where a camera has no such
        frame, joint or hypothesis. One hypothesis, unless ``ransac`` chooses among several, which
        aniposelib's does not.
    scores : (cameras, frames, joints, hypotheses) array
    """
    rows, frames = common_frames(views, options.frame_offsets)
    counts = {view.camera: len(view.points) for view in views}
    if len(set(counts.values())) > 1:
        lengths = ", ".join(f"{camera} {count}" for camera, count in counts.items())
        text = f"the cameras are of different length ({lengths} frames): rows go on to the last"
        # that they are stopped one after another is usual
        _say(text, Concern if max(counts.values()) - min(counts.values()) > 1 else Notice)
    wanted = options.hypotheses if options.ransac and options.engine != ENGINE else 1
    most = min(wanted, max(view.points.shape[2] for view in views))
    pixels = np.full((len(views), frames, len(joints), most, 2), np.nan)
    scores = np.full((len(views), frames, len(joints), most), np.nan)
    for index, (view, (own, common)) in enumerate(zip(views, rows, strict=True)):
        points = view.points[own, :, :most] + np.asarray(options.offsets.get(view.camera, (0.0, 0.0)))
        score = view.scores[own, :, :most]
        usable = score >= options.score_threshold
        if view.filled is not None:
            filled = view.filled[own][..., None]
            usable = usable | filled if options.use_filled else usable & ~filled
        where = [joints.index(joint) for joint in view.joints]
        count = score.shape[2]
        pixels[index, common, where, :count] = np.where(usable[..., None], points, np.nan).swapaxes(0, 1)
        scores[index, common, where, :count] = score.swapaxes(0, 1)
    return pixels, scores


def common_frames(
    views: Sequence[Pose2D], frame_offsets: Mapping[str, int]
) -> tuple[list[tuple[slice, slice]], int]:
    """Say which frames of each view are which frames of the trial, and how many the trial has.

    A camera that started ``frame_offset`` frames late shows in its frame 0 what the others show in that one.
    """
    rows, frames = [], 0
    for view in views:
        late = frame_offsets.get(view.camera, 0)
        start, end = max(0, late), max(0, len(view.points) + late)
        rows.append((slice(max(0, -late), None), slice(start, max(start, end))))
        frames = max(frames, end)
    return rows, frames


def check_size(view: Pose2D, size: tuple[int, int] | None, offset: Sequence[float] | None) -> None:
    """Refuse a recording whose pixels are not those that the camera was calibrated with.

    Raises
    ------
    DataError
        If the recorded part does not lie within the calibrated picture, or it is not told which part it is.
    """
    if view.size is None or size is None or (view.size == size and not offset):
        return
    recorded, calibrated = (f"{width} x {height}" for width, height in (view.size, size))
    key = f"cameras.{view.camera}.offset"
    what = f"camera {view.camera} recorded {recorded} px but was calibrated with {calibrated} px"
    if offset is None:
        raise DataError(
            f"{what}; if the recording is a part of that picture, set {key} = [x, y], its top-left corner; "
            "if it was scaled, calibrate with recordings of this size"
        )
    ends = [start + side for start, side in zip(offset, view.size, strict=True)]
    if min(offset) < 0 or any(end > side for end, side in zip(ends, size, strict=True)):
        raise DataError(
            f"{what}, and with {key} = [{offset[0]:g}, {offset[1]:g}] it reaches beyond that; "
            "correct the offset, or calibrate with recordings of this size"
        )


def _check_views(views: Sequence[Pose2D], rig: Rig) -> None:
    if len(views) < 2:
        have = ", ".join(view.camera for view in views) or "none"
        raise DataError(
            f"3D needs at least two cameras, and this trial has {have}; record the others, or set "
            "triangulation.triangulate = false in the session's config.toml"
        )
    for first, second in combinations(views, 2):
        here, there = rig.camera(first.camera).centre, rig.camera(second.camera).centre
        if np.allclose(here, there, rtol=1e-9, atol=0):
            raise DataError(
                f"the calibration has cameras {first.camera} and {second.camera} in one and the same place, "
                "so that 3D from it would be wrong; calibrate again (anipipe calibration check tells more)"
            )
    absent = [name for name in rig.names if name not in {view.camera for view in views}]
    if absent:
        _say(f"no video of camera {', '.join(absent)}: 3D comes from the other {len(views)}")


def _say_what_is_lost(points: Floats, joints: Sequence[str], options: TriangulationOptions) -> None:
    if not len(points):
        return
    share = np.isfinite(points[..., 0]).mean(axis=0)
    least = f"with a score of triangulation.score_threshold = {options.score_threshold:g} or more"
    lost = [joint for joint, there in zip(joints, share, strict=True) if not there]
    rare = [joint for joint, there in zip(joints, share, strict=True) if 0 < there < _RARE]
    if lost:
        _say(f"no 3D at all for {', '.join(lost)}: in no frame do {options.min_cams} cameras see it {least}")
    if rare:
        _say(
            f"3D in fewer than half of the frames for {', '.join(rare)}: in the others fewer than "
            f"{options.min_cams} cameras see it {least}"
        )


def _say_what_does_not_fit(cameras: Rig, pixels: Floats) -> None:
    """Tell of cameras that were moved or confused since they were calibrated: 3D comes out all the same."""
    points = pixels[..., 0, :].reshape(len(cameras), -1, 2)
    points = points[:, np.isfinite(points[..., 0]).sum(axis=0) >= 2]
    some = points[:, :: len(points[0]) // _ENOUGH + 1]  # medians of as many are settled
    for alarm in pose_alarms(cameras, [Trial(cameras.names, some)]):
        if alarm.level == "critical":
            _say(f"{alarm.text}. {alarm.remedy}", Concern)


def _say(message: str, kind: type[Notice] = Notice) -> None:
    warnings.warn(message, kind, stacklevel=3)


def in_three_dimensions(settings: Resolved) -> bool:
    """Say whether a session's settings ask for 3D: cameras can be told apart, and it is not switched off."""
    triangulation = settings.config.triangulation
    return triangulation.triangulate and triangulation.cam_regex is not None


STAGE = Stage(
    name="pose-3d",
    aliases=("triangulate",),
    per="trial",
    run=triangulate,
    reads={
        "views": each(first_enabled(POSE_2D_FILTERED, POSE_2D)),
        "rig": CALIBRATION,
        "videos": consulted(each(VIDEO)),
    },
    writes=POSE_3D,
    options=TriangulationOptions,
    enabled=in_three_dimensions,
)
