"""What stands in the panels of previews: series against time, places in the field of view."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from anipipe.formats._preview_series import Flags, Floats, alone, beside, cell_counts, envelope, unbroken
from anipipe.formats._preview_sheets import DPI, SOFT, panel_width

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_AT_ONCE = 4  # so many frames to a column of pixels are drawn as they are
_PALE = 0.35  # opacity of bands, and of what was filled in
_DOTS = 30_000  # of more points than that, how often instead of dots
_CELL = 2  # pixels: what is one place then
_FAINTEST = 0.5  # opacity of a place where a joint was once


class Track(NamedTuple):
    """One joint: its colour, 0 to 1, its places (frames, 2), where it was seen, and where filled in."""

    colour: Floats
    points: Floats
    seen: Flags
    filled: Flags


def draw_series(axes: Axes, values: Floats, colour: Floats, largest_step: float = np.inf) -> None:
    """Draw a line through values (frames,); NaN are gaps, as are steps larger than that."""
    _line(axes, values, colour, 1.0, largest_step)


def draw_track(axes: Axes, track: Track, axis: int) -> None:
    """Draw one coordinate of a track; what was filled in is pale, and joined to what is not."""
    values = track.points[:, axis]
    if track.filled.any():
        joined = track.filled | (beside(track.filled) & track.seen)
        _line(axes, np.where(joined, values, np.nan), track.colour, _PALE)
    _line(axes, np.where(track.seen, values, np.nan), track.colour, 1.0)


def _line(axes: Axes, values: Floats, colour: Floats, opacity: float, largest_step: float = np.inf) -> None:
    look: dict[str, Any] = {"color": tuple(colour), "alpha": opacity}
    columns = panel_width(axes)
    frames: Floats
    if len(values) > _AT_ONCE * columns:
        frames, low, values, high = envelope(values, columns)
        gap = np.full(len(frames), np.nan)
        thick = 1.3 * columns / len(frames) * 72 / DPI  # a little wider than they are apart
        across = np.stack([frames, frames, gap], axis=1), np.stack([low, high, gap], axis=1)
        band = look | {"alpha": _PALE * opacity, "linewidth": thick, "solid_capstyle": "butt"}
        axes.plot(*map(np.ravel, across), **band)
    else:
        frames = np.arange(len(values), dtype=np.float64)
    frames, values = unbroken(frames, values, largest_step)
    axes.plot(frames, values, **look)
    single = alone(values)
    axes.plot(frames[single], values[single], "o", ms=2.2, mew=0, **look)


def along_time(panels: Sequence[Axes], frames: int) -> None:
    """Give panels one axis of frames, whose numbers stand below the last."""
    from matplotlib.ticker import MaxNLocator

    for panel in panels:
        panel.set_xlim(-0.5, max(frames, 1) - 0.5)
        panel.xaxis.set_major_locator(MaxNLocator(12, integer=True, min_n_ticks=1))
        panel.tick_params(axis="x", length=0, labelbottom=panel is panels[-1])
    panels[-1].set_xlabel("frame")


def draw_places(axes: Axes, tracks: Sequence[Track]) -> None:
    """Draw where joints were, in axes whose limits are set: as dots, or if too many, as how often."""
    if sum(np.count_nonzero(track.seen | track.filled) for track in tracks) > _DOTS:
        _draw_how_often(axes, tracks)
        return
    for track in tracks:
        colour = tuple(track.colour)
        way = np.where((track.seen | track.filled)[:, None], track.points, np.nan)
        axes.plot(*way.T, color=colour, lw=0.5, alpha=0.3)
        axes.plot(*track.points[track.filled].T, "o", color=colour, ms=3.2, mfc="none", mew=0.5, alpha=0.6)
        axes.plot(*track.points[track.seen].T, "o", color=colour, ms=2.2, mew=0, alpha=0.7)


def _draw_how_often(axes: Axes, tracks: Sequence[Track]) -> None:
    """Colour each place by the joints that were there, the stronger the more often."""
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    box = axes.get_window_extent()
    size = max(1, round(box.width / _CELL)), max(1, round(box.height / _CELL))
    total = np.zeros(size[::-1])
    mixed = np.zeros((*size[::-1], 3))
    for track in tracks:
        for flags, share in ((track.seen, 1.0), (track.filled, _PALE)):
            found = cell_counts(track.points[flags], size, np.array([left, top]), np.array([right, bottom]))
            total += found
            mixed += found[:, :, None] * (1 - share * (1 - track.colour))
    counted = np.maximum(total, 1)
    picture = np.empty((*total.shape, 4))
    picture[..., :3] = mixed / counted[:, :, None]
    picture[..., 3] = _FAINTEST + (1 - _FAINTEST) * np.log(counted) / max(np.log(counted.max()), 1.0)
    picture[total == 0] = 0
    axes.imshow(picture, extent=(left, right, bottom, top), aspect="auto", interpolation="nearest", zorder=2)


def say(axes: Axes, text: str) -> None:
    """Write into the middle of a panel why there is nothing in it."""
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", fontsize=11, color=SOFT)
