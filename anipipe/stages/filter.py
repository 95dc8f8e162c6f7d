"""``filter``: the 2D pose of each video without its outliers, one candidate per joint."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from anipipe.artifacts import POSE_2D, POSE_2D_FILTERED
from anipipe.config import Resolved
from anipipe.engine.declare import Stage
from anipipe.errors import DataError, Notice
from anipipe.formats.poses2d import Pose2D
from anipipe.numerics.filtering import medfilt
from anipipe.numerics.viterbi import viterbi
from anipipe.stages.options import SettingsOptions, setting

Flags = NDArray[np.bool_]

NOTABLE = 0.05  # joints are named of which a larger share was filled or dropped
NAMED = 3  # and of these, the most changed ones


@dataclass(frozen=True)
class FilterOptions(SettingsOptions):
    """Which filters, and how they are set."""

    type: list[str] = setting("filter.type")
    medfilt: int = setting("filter.medfilt")
    offset_threshold: float = setting("filter.offset_threshold")
    score_threshold: float = setting("filter.score_threshold")
    spline: bool = setting("filter.spline")
    n_back: int = setting("filter.n_back")


def filter_2d(pose: Pose2D, *, options: FilterOptions) -> Pose2D:
    """Clean the 2D pose of each video: drop outliers, fill gaps, choose among candidates.

    filter.type says how; the filters of a list are applied one after another. "medfilt" drops points that
    are filter.offset_threshold or more away from the median of filter.medfilt frames, or whose score is below
    filter.score_threshold. It fills the gaps of joints that are mostly good along a cubic spline, or along
    straight lines if filter.spline is false, and does not change scores. "viterbi" chooses the most likely
    track among the candidates (network.num_outputs) whose score is at least filter.score_threshold.
    filter.offset_threshold is the usual motion from frame to frame; where no candidate fits, one of the
    filter.n_back - 1 frames before is held, its score halved with each frame.

    Filled and held points are marked, and triangulation leaves them out unless triangulation.use_filled is
    set, which takes them whatever their score. What is dropped and not filled is missing.
    """
    unknown = [name for name in options.type if name not in _FILTERS]
    if unknown:
        raise DataError(
            f"filter.type: this version cannot filter by {' and '.join(unknown)}; there are "
            f"{' and '.join(_FILTERS)}, alone or in a list"
        )
    filtered = pose
    for name in options.type:
        filtered = _FILTERS[name](filtered, options)
    _say_what_changed(pose, filtered, options)
    return filtered


def _by_median(pose: Pose2D, options: FilterOptions) -> Pose2D:
    points, filled = medfilt(
        pose.points[:, :, 0],
        pose.scores[:, :, 0],
        window=options.medfilt,
        offset_threshold=options.offset_threshold,
        score_threshold=options.score_threshold,
        spline=options.spline,
    )
    return _with(pose, points, pose.scores[:, :, 0], filled)


def _by_viterbi(pose: Pose2D, options: FilterOptions) -> Pose2D:
    points, scores, held = viterbi(
        pose.points,
        pose.scores,
        n_back=options.n_back,
        offset_threshold=options.offset_threshold,
        score_threshold=options.score_threshold,
    )
    return _with(pose, points, scores, held)


_FILTERS = {"medfilt": _by_median, "viterbi": _by_viterbi}


def _with(pose: Pose2D, points: NDArray[np.float64], scores: NDArray[np.float64], filled: Flags) -> Pose2D:
    """Return a pose of one candidate; what was filled before stays marked."""
    there = np.isfinite(points).all(axis=-1)  # what one filter filled, the next may have dropped
    marks = (filled | _marked(pose)) & there
    return replace(pose, points=points[:, :, None], scores=scores[:, :, None], filled=marks)


def _marked(pose: Pose2D) -> Flags:
    return np.zeros(pose.points.shape[:2], dtype=np.bool_) if pose.filled is None else pose.filled


def _say_what_changed(before: Pose2D, after: Pose2D, options: FilterOptions) -> None:
    """Say which share of the points was changed, and in which joints most, if anything was."""
    old, new = before.points[:, :, 0], after.points[:, :, 0]
    there: Flags = np.all(np.isfinite(new), axis=-1)
    filled = _marked(after) & ~_marked(before) & there
    dropped: Flags = np.all(np.isfinite(old), axis=-1) & ~there
    other: Flags = np.any(new != old, axis=-1) & there & ~filled
    parts = [
        f"{_percent(flags.mean())} {what}{_joints_named(flags, before.joints)}"
        for flags, what in ((filled, "filled"), (dropped, "dropped"), (other, "taken from another candidate"))
        if flags.any()
    ]
    if parts:
        text = f"{' and '.join(options.type)}: of the points, {', '.join(parts)}"
        warnings.warn(text, Notice, stacklevel=3)


def _joints_named(flags: Flags, joints: tuple[str, ...]) -> str:
    """Name the joints of which notably many frames are flagged, the most first."""
    share = flags.mean(axis=0)
    most = [int(index) for index in np.argsort(-share, kind="stable")[:NAMED] if share[index] >= NOTABLE]
    return f" ({', '.join(f'{joints[index]} {_percent(share[index])}' for index in most)})" if most else ""


def _percent(share: float) -> str:
    return "less than 0.1 %" if share < 0.001 else f"{100 * share:.1f} %"


def _enabled(settings: Resolved) -> bool:
    return settings.config.filter.enabled


STAGE = Stage(
    name="filter",
    per="video",
    run=filter_2d,
    reads={"pose": POSE_2D},
    writes=POSE_2D_FILTERED,
    options=FilterOptions,
    enabled=_enabled,
)
