"""A calibration's report as a page to look at: ``calibration/report.html``.

One file without anything from elsewhere, readable in any browser and in ten years; the same calibration gives
the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from anipipe.formats._calibration_drawings import (
    arrow_drawing,
    coverage_drawing,
    escape,
    histogram,
    time_drawing,
)
from anipipe.formats._calibration_scene import scene_drawing
from anipipe.formats._calibration_style import SCRIPT, STYLE
from anipipe.formats._calibration_tables import camera_tables, counted, pair_matrix, worst_table
from anipipe.numerics.calibration.lengths import length_errors
from anipipe.numerics.calibration.solution import Solution
from anipipe.numerics.calibration.views import BoardViews
from anipipe.numerics.cameras import Rig
from anipipe.numerics.triangulation import dlt

Floats = NDArray[np.float64]


def calibration_page(
    report: Mapping[str, Any],
    views: BoardViews,
    solution: Solution,
    board_points: ArrayLike,
    pictures: Mapping[str, bytes],
) -> str:
    """Draw the report of a calibration.

    Parameters
    ----------
    report
        Of :func:`anipipe.numerics.calibration.errors.corner_errors`.
    views
        The board's corners in the cameras' images.
    solution
        The calibration, in the views' axes.
    board_points
        (corners, 3), on the board.
    pictures
        A JPEG of each camera to draw on, by name, of the size of its images; cameras without one get a grey
        rectangle.

    Returns
    -------
    The page, HTML in one piece.
    """
    rig = solution.rig.subset(views.cameras)
    units = str(report["units"] or "")
    sections = [
        _head(report, views),
        camera_tables(report, rig, units),
        _pictures(views, solution, pictures),
        _histograms(views, solution),
        pair_matrix(report, views, units),
        _times(views, solution),
        _lengths(report, length_errors(dlt(views.pixels, rig), board_points), units),
        _scene(rig, solution, board_points),
        worst_table(report),
    ]
    body = "\n".join(section for section in sections if section)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>Calibration</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n{body}\n"
        f"<script>\n{SCRIPT}</script>\n</body>\n</html>\n"
    )


def verdict(report: Mapping[str, Any]) -> tuple[str, str]:
    """Return the worst level of a report's alarms, or ``good``, and what that means in one sentence."""
    levels = [alarm["level"] for alarm in report["alarms"]]
    median = report["overall"]["median"]
    fit = "no corner could be measured" if median is None else f"corners fit to {median:.2f} px (median)"
    critical, warnings = levels.count("critical"), levels.count("warning")
    if critical:
        return "critical", f"Do not use this calibration: {counted(critical, 'critical fault')}; {fit}."
    if warnings:
        return "warning", f"Usable with care: {counted(warnings, 'warning')}; {fit}."
    rest = f"; {counted(len(levels), 'note')} below" if levels else ""
    return "good", f"Good: {fit}, and nothing is wrong with the cameras{rest}."


def alike(alarms: Iterable[Mapping[str, Any]]) -> list[tuple[str, list[str], str]]:
    """Put alarms of one level and remedy together, in the order in which they come.

    Returns
    -------
    Level, texts and remedy of each group.
    """
    found: dict[tuple[str, str], list[str]] = {}
    for alarm in alarms:
        found.setdefault((alarm["level"], alarm["remedy"]), []).append(alarm["text"])
    return [(level, texts, remedy) for (level, remedy), texts in found.items()]


def _head(report: Mapping[str, Any], views: BoardViews) -> str:
    level, sentence = verdict(report)
    facts = [
        counted(len(views.cameras), "camera"),
        f"{report['overall']['corners']} corners in {counted(report['overall']['frames'], 'instant')}",
        f"lengths in {escape(report['units'])}" if report["units"] else "",
        f"solved by {escape(report['engine'])}" if report["engine"] else "",
    ]
    parts = [
        "<h1>Calibration</h1>",
        f'<p class="soft">{", ".join(filter(None, facts))}</p>',
        f'<div class="verdict {level}">{escape(sentence)}</div>',
    ]
    for kind, texts, remedy in alike(report["alarms"]):
        items = "".join(f"<li>{escape(_capital(text))}.</li>" for text in texts)
        what = f"<ul>{items}</ul>" if len(texts) > 1 else f"<p>{escape(_capital(texts[0]))}.</p>"
        parts.append(
            f'<div class="alarm {kind}"><b class="level">{kind}</b>{what}'
            f"<p><b>What to do:</b> {escape(remedy)}</p></div>"
        )
    if report["remarks"]:
        items = "".join(f"<li>{escape(remark)}</li>" for remark in report["remarks"])
        parts.append(f"<p>What was done on the way:</p><ul>{items}</ul>")
    return "\n".join(parts)


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _pictures(views: BoardViews, solution: Solution, pictures: Mapping[str, bytes]) -> str:
    key = '<span class="key kept"></span>took part<span class="key left"></span>left out'
    seen, arrows = [], []
    for index, (name, size) in enumerate(zip(views.cameras, views.sizes, strict=True)):
        there = views.seen[index]
        pixels, kept = views.pixels[index][there], solution.kept[index][there]
        off = solution.residuals[index][there]
        known = kept & np.isfinite(off).all(axis=-1)
        told = f"{int(kept.sum())} corners took part, {int((~kept).sum())} did not"
        drawing = coverage_drawing(size, pixels, kept, pictures.get(name), f"corners seen by camera {name}")
        seen.append(_figure(name, drawing, told))
        drawing = arrow_drawing(size, pixels[known], off[known], f"residuals of camera {name}")
        arrows.append(_figure(name, drawing, ""))
    return (
        "<h2>Where the board was seen</h2>\n<p>Lenses are known only where there are corners: the board "
        f"has to come to every part of the picture, its edges and corners too. {key}</p>\n"
        f'<div class="grid two">{"".join(seen)}</div>\n'
        "<h2>Which way corners are off</h2>\n<p>Mean over the corners that took part, from where they were "
        "seen (dot) to where they are projected, enlarged as the bar says. Arrows should be short and point "
        "anywhere. If neighbouring ones agree, above all towards the border, the lens model does not fit; "
        "if all agree, the camera's place does not.</p>\n"
        f'<div class="grid">{"".join(arrows)}</div>'
    )


def _figure(name: str, drawing: str, caption: str) -> str:
    told = f"<figcaption>{caption}</figcaption>" if caption else ""
    return f"<figure><h3>{escape(name)}</h3>{drawing}{told}</figure>"


def _histograms(views: BoardViews, solution: Solution) -> str:
    off = solution.distances
    known = np.isfinite(off)
    if not known.any():
        return ""
    high = max(float(np.percentile(off[known & solution.kept], 99.5)) if solution.kept.any() else 0.0, 0.5)
    figures = []
    for index, name in enumerate(views.cameras):
        parts = [off[index][known[index] & part] for part in (solution.kept[index], ~solution.kept[index])]
        drawing = histogram(parts, ("kept", "left"), (0.0, high), f"errors of camera {name}")
        figures.append(_figure(name, drawing, ""))
    return (
        "<h2>How far corners are off</h2>\n<p>Distances in px, one scale for all cameras; the last bin holds "
        "all that are farther off.</p>\n"
        f'<div class="grid">{"".join(figures)}</div>'
    )


def _times(views: BoardViews, solution: Solution) -> str:
    off = solution.distances
    known = np.isfinite(off)
    count = known.sum(axis=-1)
    mean = np.where(known, off, 0.0).sum(axis=-1) / np.maximum(count, 1)
    errors = dict(zip(views.cameras, np.where(count > 0, mean, np.nan), strict=True))
    trials = [trial for trial, _ in views.instants]
    starts = [at for at, trial in enumerate(trials) if at == 0 or trials[at - 1] != trial]
    order = ", ".join(escape(trials[at]) for at in starts[:12]) + (", …" if len(starts) > 12 else "")
    return (
        "<h2>Errors over time</h2>\n<p>Mean over all corners of each instant, in px. Single spikes are blur, "
        "glare or mistaken corners; a camera that gets worse from some time on was moved, and one that is "
        "off when the board moves fast does not run in time with the others.</p>\n"
        f"<figure>{time_drawing(errors, starts)}<figcaption>Instants in order of the recordings: {order}"
        "</figcaption></figure>"
    )


def _lengths(report: Mapping[str, Any], off: Floats, units: str) -> str:
    told = report["board_lengths"]
    if not told["count"]:
        return ""
    reach = max(float(np.percentile(np.abs(off), 98)), np.finfo(float).tiny)
    share = told["rms"] / told["spacing"]
    drawing = histogram((off,), ("kept",), (-reach, reach), "errors of lengths")
    return (
        "<h2>Lengths on the board</h2>\n<p>Distances between neighbouring corners, triangulated without "
        f"knowledge of the board, less what they are on it ({told['spacing']:g} {escape(units)}): on average "
        f"{told['mean']:+.3g} {escape(units)}, root mean square {told['rms']:.3g} {escape(units)} "
        f"({share:.1%}), of {told['count']} distances. An average far from 0 means that the "
        "cameras' scale is not the board's.</p>\n"
        f'<div class="grid"><figure>{drawing}<figcaption>Errors in {escape(units)}; the end bins hold all '
        "that are larger.</figcaption></figure></div>"
    )


def _scene(rig: Rig, solution: Solution, board_points: ArrayLike) -> str:
    return (
        "<h2>Cameras and boards in space</h2>\n<p>Each camera opens the way that it looks, with a roof "
        "where its picture's upper edge is. Is everything where it stood? Drag to turn, Ctrl and wheel to "
        f"zoom.</p>\n<figure>{scene_drawing(rig, solution, board_points)}</figure>"
    )
