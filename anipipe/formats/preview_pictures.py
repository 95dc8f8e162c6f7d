"""Pictures for a quick look at poses and angles: ``previews/VIDEO.trajectory.png`` and others.

The four pictures of a 2D pose are those that DeepLabCut users know. Long recordings are thinned out to what a
picture can show: where there are many frames to a column of pixels, a strong line runs through their middle
values and a pale band reaches from their least to their largest, so that single outliers stay visible. Places
in the field of view that are too many to be dots are coloured by how often a joint was there.

All pictures are of class ``matplotlib.figure.Figure``; :func:`png` makes files of them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from anipipe.errors import DataError
from anipipe.formats._preview_panels import (
    Track,
    along_time,
    draw_places,
    draw_series,
    draw_track,
    say,
)
from anipipe.formats._preview_series import Flags, Floats, Histograms, drawable, histograms
from anipipe.formats._preview_sheets import SOFT, Legend, png, sheet, style
from anipipe.formats.poses2d import Pose2D
from anipipe.formats.poses3d import Pose3D

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "Look",
    "angles_picture",
    "check_png",
    "differences",
    "hist_picture",
    "likelihood_picture",
    "plot_picture",
    "png",
    "pose_3d_picture",
    "trajectory_picture",
]

_FIELD = 1000, 760  # pixels: the field of view fits in
_NARROWEST = 2  # if it is not known, it is at most so many times as long as wide
_MARGIN = 0.04  # of a range, on each side of it
_BINS = 201
_NONE, _LEAST = 0.1, 0.7  # where on a logarithmic axis no count is drawn, and where the axis begins
_START, _END = b"\x89PNG\r\n\x1a\n", b"\x00\x00\x00\x00IEND\xaeB`\x82"


@dataclass(frozen=True)
class Look:
    """How the pictures of one pose look.

    Attributes
    ----------
    title
        Whose pictures they are.
    colours
        (joints, 3), 0 to 255, of all joints of the pose.
    shown
        (joints,), which are drawn.
    pcutoff
        2D points with a lower score are not drawn, unless they were filled in.
    """

    title: str
    colours: NDArray[np.uint8]
    shown: Flags
    pcutoff: float = 0.0

    def legend(self, names: Sequence[str]) -> Legend:
        """Return the names and colours of those that are shown."""
        return Legend([names[at] for at, _ in self.each()], self.colours[self.shown])

    def each(self) -> Iterator[tuple[int, Floats]]:
        """Yield the place and the colour, 0 to 1, of each that is shown."""
        for at in np.flatnonzero(self.shown):
            yield int(at), self.colours[at] / 255


def trajectory_picture(pose: Pose2D, look: Look) -> Figure:
    """Draw the places of joints as in the video: y downwards, and all of its picture if its size is known."""
    tracks = list(_tracks(pose, look))
    low, high = _field_of_view(pose.size, tracks)
    wide, tall = np.ceil((high - low) * np.min(_FIELD / (high - low))).astype(int).tolist()
    places = (track.points[track.seen | track.filled] for track in tracks)
    outside = sum(int(np.count_nonzero(((one < low) | (one > high)).any(axis=1))) for one in places)
    note = _counted(tracks, pose, look) + (f"; {outside} lie outside the picture" if outside else "")
    with style():
        figure, (panel,) = sheet(look.title, f"Trajectory: {note}", look.legend(pose.joints), [tall], wide)
        panel.set(xlim=(low[0], high[0]), ylim=(high[1], low[1]), xlabel="x (px)", ylabel="y (px)")
        draw_places(panel, tracks)
        _say_if_none([panel], tracks, pose, look)
    return figure


def plot_picture(pose: Pose2D, look: Look) -> Figure:
    """Draw x and y against time."""
    tracks = list(_tracks(pose, look))
    note = f"x and y against time: {_counted(tracks, pose, look)}"
    with style():
        figure, panels = sheet(look.title, note, look.legend(pose.joints), [300, 300])
        along_time(panels, len(pose.points))
        for axis, panel in enumerate(panels):
            panel.set_ylabel(f"{'xy'[axis]} (px)")
            for track in tracks:
                draw_track(panel, track, axis)
        _say_if_none(panels, tracks, pose, look)
    return figure


def likelihood_picture(pose: Pose2D, look: Look) -> Figure:
    """Draw all scores against time, and the cutoff."""
    note = f"Likelihood p against time; dashed: the cutoff, p = {look.pcutoff:g}"
    scores = [(_drawn(pose.scores[:, at, 0]), colour) for at, colour in look.each()]
    known = [values[~np.isnan(values)] for values, _ in scores]
    with style():
        figure, (panel,) = sheet(look.title, note, look.legend(pose.joints), [400])
        along_time([panel], len(pose.points))
        panel.set_ylabel("p")
        for values, colour in scores:
            draw_series(panel, values, colour)
        low = min((float(values.min()) for values in known if len(values)), default=0.0)
        high = max((float(values.max()) for values in known if len(values)), default=1.0)
        _limit(panel, min(low, 0.0), max(high, look.pcutoff, 1.0))
        panel.axhline(look.pcutoff, color=SOFT, ls=(0, (6, 4)), lw=1.0, zorder=3)
        if not any(map(len, known)):
            say(panel, "no scores" if len(pose.points) else "no frames")
    return figure


def hist_picture(pose: Pose2D, look: Look) -> Figure:
    """Draw how often a joint's x and y changed by how much from a frame to the next, in both directions."""
    from matplotlib.ticker import NullLocator

    tracks = list(_tracks(pose, look))
    note = f"Differences from frame to frame: {_counted(tracks, pose, look)}"
    with style():
        figure, panels = sheet(look.title, note, look.legend(pose.joints), [300, 300])
        for panel, (counts, edges), axis in zip(panels, differences(pose, look), "xy", strict=True):
            panel.set(
                yscale="log", xlim=(1.02 * edges[0], 1.02 * edges[-1]), ylabel=f"{axis}: pairs of frames"
            )
            panel.set_ylim(_LEAST, max(10.0, 2.0 * float(counts.max(initial=0))))
            panel.yaxis.set_major_formatter(lambda value, _: f"{value:.0f}" if value >= 1 else "")
            panel.yaxis.set_minor_locator(NullLocator())
            panel.tick_params(axis="x", length=0, labelbottom=panel is panels[-1])
            for one, track in zip(counts, tracks, strict=True):
                outline = np.repeat(edges, 2)[1:-1], np.repeat(np.maximum(one, _NONE), 2)
                panel.plot(*outline, color=tuple(track.colour))
            if not counts.any():
                say(panel, "no two frames in a row to compare")
        panels[-1].set_xlabel("change to the next frame (px)")
    return figure


def differences(pose: Pose2D, look: Look) -> tuple[Histograms, Histograms]:
    """Count the changes of x and of y from each frame to the next, of each joint that is shown.

    Between frames that both have a point, seen or filled in. The bins are those of both, and symmetrical
    about 0.
    """
    steps = []
    for track in _tracks(pose, look):
        there = track.seen | track.filled
        steps.append((track.points[1:] - track.points[:-1])[there[1:] & there[:-1]])
    found = histograms([one[:, axis] for axis in (0, 1) for one in steps], _BINS)
    of_x, of_y = np.split(found.counts, 2)
    return Histograms(of_x, found.edges), Histograms(of_y, found.edges)


def pose_3d_picture(pose: Pose3D, look: Look, units: str) -> Figure:
    """Draw coordinates, reprojection error and number of cameras against time."""
    tracks = []
    for at, colour in look.each():
        there = drawable(pose.points[:, at]).all(axis=1)
        filled = np.zeros_like(there) if pose.filled is None else pose.filled[:, at] & there
        tracks.append(Track(colour, pose.points[:, at], there & ~filled, filled))
    note = f"3D pose against time: {_shares(tracks, len(pose.points))}{_filled(tracks)}"
    names = [*(f"{axis} ({units})" for axis in "xyz"), "error (px)", "cameras"]
    with style():
        figure, panels = sheet(look.title, note, look.legend(pose.joints), [170, 170, 170, 130, 90])
        along_time(panels, len(pose.points))
        for panel, name in zip(panels, names, strict=True):
            panel.set_ylabel(name)
        for place, (at, colour) in enumerate(look.each()):
            for axis in range(3):
                draw_track(panels[axis], tracks[place], axis)
            draw_series(panels[3], _drawn(pose.error[:, at]), colour)
            # side by side, as otherwise all joints that as many cameras see would be one line
            aside = 0.5 * ((place + 0.5) / len(tracks) - 0.5)
            draw_series(panels[4], _drawn(pose.ncams[:, at]) - aside, colour)
        panels[3].set_ylim(bottom=0)
        _count_cameras(panels[4], pose.ncams)
        if not any(track.seen.any() or track.filled.any() for track in tracks):
            say(panels[0], "no points" if len(pose.points) else "no frames")
    return figure


def angles_picture(angles: Mapping[str, NDArray[np.float64]], look: Look) -> Figure:
    """Draw angles, in degrees, against time; a line does not join 180 and -180."""
    from matplotlib.ticker import MaxNLocator

    names = list(angles)
    frames = max(map(len, angles.values()), default=0)
    with style():
        figure, (panel,) = sheet(look.title, "Angles against time", look.legend(names), [480])
        along_time([panel], frames)
        panel.set_ylabel("angle (degrees)")
        panel.yaxis.set_major_locator(MaxNLocator(9, steps=[1, 1.5, 3, 4.5, 9, 10]))
        values = [_drawn(angles[names[at]]) for at, _ in look.each()]
        for one, (_, colour) in zip(values, look.each(), strict=True):
            draw_series(panel, one, colour, largest_step=180)
        if all(np.isnan(one).all() for one in values):
            say(panel, "no angles" if frames else "no frames")
    return figure


def check_png(path: Path) -> None:
    """Look whether a PNG file is whole.

    Raises
    ------
    DataError
        Cut off, or no PNG file.
    """
    with path.open("rb") as file:
        start = file.read(len(_START))
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - len(_END)))
        if start != _START or file.read() != _END:
            raise DataError(f"{path}: is cut off, or no PNG file. Remove it, and it will be made again.")


def _tracks(pose: Pose2D, look: Look) -> Iterator[Track]:
    for at, colour in look.each():
        points = pose.points[:, at, 0]
        there = drawable(points).all(axis=1)
        filled = np.zeros_like(there) if pose.filled is None else pose.filled[:, at] & there
        yield Track(colour, points, there & ~filled & (pose.scores[:, at, 0] >= look.pcutoff), filled)


def _drawn(values: Floats) -> Floats:
    return np.where(drawable(values), values, np.nan)


def _field_of_view(size: tuple[int, int] | None, tracks: Sequence[Track]) -> tuple[Floats, Floats]:
    """Return the least and the largest x and y of the video, or if its size is not known, of the points."""
    if size is not None:
        return np.full(2, -0.5), np.array(size) - 0.5  # pixels have their centres at whole numbers
    places = [track.points[track.seen | track.filled] for track in tracks]
    ends = np.array([end(one, axis=0) for one in places if len(one) for end in (np.min, np.max)] or [[0, 0]])
    low, high = ends.min(axis=0), ends.max(axis=0)
    sides = high - low
    wanted = (1 + 2 * _MARGIN) * np.maximum(sides, max(1.0, sides.max() / _NARROWEST))
    return (low + high - wanted) / 2, (low + high + wanted) / 2


def _counted(tracks: Sequence[Track], pose: Pose2D, look: Look) -> str:
    return f"{_shares(tracks, len(pose.points))} with p ≥ {look.pcutoff:g}{_filled(tracks)}"


def _shares(tracks: Sequence[Track], frames: int) -> str:
    """Say how many of all points are drawn."""
    total = frames * len(tracks)
    seen = sum(int(np.count_nonzero(track.seen)) for track in tracks)
    return f"{seen} of {total} points"


def _filled(tracks: Sequence[Track]) -> str:
    filled = sum(int(np.count_nonzero(track.filled)) for track in tracks)
    return f", and pale {filled} that were filled in" if filled else ""


def _limit(panel: Axes, low: float, high: float) -> None:
    margin = _MARGIN * (high - low)
    panel.set_ylim(low - margin, high + margin)


def _say_if_none(panels: Sequence[Axes], tracks: Sequence[Track], pose: Pose2D, look: Look) -> None:
    if not any(track.seen.any() or track.filled.any() for track in tracks):
        for panel in panels:
            say(panel, f"no point with p ≥ {look.pcutoff:g}" if len(pose.points) else "no frames")


def _count_cameras(panel: Axes, ncams: Floats) -> None:
    most = max(1, int(ncams[drawable(ncams)].max(initial=1.0)))
    panel.set_ylim(-0.5, most + 0.5)
    panel.set_yticks(range(0, most + 1, 1 + most // 8))
