"""Tables of a calibration's report, as HTML."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from anipipe.formats._calibration_drawings import escape
from anipipe.numerics.calibration.views import BoardViews
from anipipe.numerics.cameras import Camera, Rig

STATISTICS = ("mean", "median", "rms", "p95", "max")
_PLAIN = ("k1", "k2", "p1", "p2", "k3")
_FISHEYE = ("k1", "k2", "k3", "k4")
_NOTHING = "–"


def counted(count: int, noun: str) -> str:
    """Return a number with its noun."""
    return f"{count} {noun}" + ("s" if count > 1 else "")


def _px(value: float | None, digits: int = 2) -> str:
    return _NOTHING if value is None else f"{value:.{digits}f}"


def _share(value: float | None) -> str:
    return _NOTHING if value is None else f"{value:.0%}"


def _plus_minus(value: float, deviation: float | None) -> str:
    """Return a value with its standard deviation, to the digits that this leaves it."""
    if deviation is None or not deviation > 0:
        return f"{value:.5g}"
    digits = int(np.clip(1 - np.floor(np.log10(deviation)), 0, 6))
    return f"{value:.{digits}f} ± {deviation:.{digits}f}"


def _row(name: str, cells: Iterable[str], kind: str = "") -> str:
    marked = f' class="{kind}"' if kind else ""
    return f'<tr{marked}><th scope="row">{escape(name)}</th>{"".join(cells)}</tr>'


def _td(text: str, kind: str = "") -> str:
    return f'<td class="{kind}">{text}</td>' if kind else f"<td>{text}</td>"


def camera_tables(report: Mapping[str, Any], rig: Rig, units: str) -> str:
    """Tabulate each camera's errors and parameters, lengths in ``units``."""
    heads = "".join(f"<th{' class=gap' * (n == 0)}>{name}</th>" for n, name in enumerate(STATISTICS))
    rows = [_row(name, _error_cells(values)) for name, values in report["cameras"].items()]
    rows.append(_row("all", _error_cells(report["overall"]), "sum"))
    parameters = [_parameter_row(camera, report["cameras"][camera.name]) for camera in rig.cameras]
    unit = f", {escape(units)}" if units else ""
    return (
        "<h2>Cameras</h2>\n<p>How far corners of the board lie from where the calibrated cameras project the "
        "rigid board, in pixels: of the corners that took part in the last solution, and of all.</p>\n"
        '<div class="scroll"><table><thead><tr><th></th><th colspan="6" class="gap">took part</th>'
        '<th colspan="6" class="gap">all corners</th><th colspan="2" class="gap">frames</th></tr>'
        f"<tr><th></th>{heads}<th>corners</th>{heads}<th>corners</th><th class=gap>with board</th>"
        f"<th>looked at</th></tr></thead><tbody>{''.join(rows)}</tbody></table></div>\n"
        '<div class="scroll"><table><thead><tr><th></th><th class="gap">focal length, px</th>'
        f'<th class="gap">axis, px</th><th class="gap">lens</th><th class="gap">place{unit}</th>'
        '<th class="gap">depth ratio</th>'
        '<th class="gap">seen: picture</th><th>edges</th><th>corners</th></tr></thead>'
        f"<tbody>{''.join(parameters)}</tbody><caption>± one standard deviation, where it was estimated. "
        "Depth ratio: farthest over nearest corner that the camera saw; 2 or more is good. Seen: share of "
        "the cells of a 5 x 5 grid over the picture with corners in them; 80 %, 75 % and 50 % are "
        "good.</caption></table></div>"
    )


def _error_cells(values: Mapping[str, Any]) -> list[str]:
    cells = []
    for part in (values["kept"], values):
        cells += [_td(_px(part[name]), "gap" * (name == "mean")) for name in STATISTICS]
        cells.append(_td(str(part["corners"])))
    if "frames_with_board" in values:
        cells += [_td(str(values["frames_with_board"]), "gap"), _td(str(values["frames_looked_at"]))]
    return cells


def _parameter_row(camera: Camera, values: Mapping[str, Any]) -> str:
    told, seen = values["deviations"], values["coverage"]
    names = _FISHEYE if camera.fisheye else _PLAIN
    lens = [
        f"{name} {_plus_minus(value, told.get(name))}"
        for name, value in zip(names, values["distortions"], strict=True)
        if value or told.get(name)
    ]
    axes = [
        _plus_minus(value, told.get(f"axis_{axis}")) for axis, value in zip("xy", values["axis"], strict=True)
    ]
    places = [
        _plus_minus(value, told.get(f"centre_{axis}"))
        for axis, value in zip("xyz", values["centre"], strict=True)
    ]
    cells = [
        _td(_plus_minus(values["focal_length"], told.get("focal_length")), "gap"),
        _td("<br>".join(axes), "gap"),
        _td("<br>".join(lens) or "none", "gap"),
        _td("<br>".join(places), "gap"),
        _td(_px(values["depth_ratio"], 1), "gap"),
        _td(_share(seen["image"]), "gap"),
        *(_td(_share(seen[name])) for name in ("edges", "corners")),
    ]
    return _row(camera.name, cells)


def pair_matrix(report: Mapping[str, Any], views: BoardViews, units: str) -> str:
    """Tabulate what two cameras share, and how well they agree."""
    pairs = {tuple(pair["cameras"]): pair for pair in report["pairs"]}
    head = "".join(f'<th class="name">{escape(name)}</th>' for name in views.cameras)
    rows = []
    for one in views.cameras:
        cells = []
        for other in views.cameras:
            if one == other:
                cells.append(_td(f"{report['cameras'][one]['corners']}<span>seen</span>", "own"))
                continue
            pair = pairs.get((one, other))
            cells.append(_shared_cell(pair) if pair else _agreement_cell(pairs[other, one], units))
        rows.append(_row(one, cells))
    return (
        "<h2>Pairs of cameras</h2>\n<p>Above the diagonal: corners that both saw at one time, which tie "
        "the two together; 200 or more are good (green), 50 to 199 marginal (yellow), fewer insufficient "
        "(red). Below: how well the two agree when corners are triangulated from them alone (median), and "
        "how far they are apart; compare that with a tape measure.</p>\n"
        '<div class="scroll"><table class="matrix"><thead>'
        f"<tr><th></th>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def _shared_cell(pair: Mapping[str, Any]) -> str:
    frames = counted(pair["shared_frames"], "frame")
    return _td(f"<b>{pair['shared_corners']}</b><span>in {frames}</span>", pair["grade"])


def _agreement_cell(pair: Mapping[str, Any], units: str) -> str:
    return _td(f"{_px(pair['median'])} px<span>{pair['distance']:.4g} {escape(units)}</span>")


def worst_table(report: Mapping[str, Any]) -> str:
    """List the worst frames; empty if there are none."""
    frames: Sequence[Mapping[str, Any]] = report["worst_frames"]
    if not frames:
        return ""
    rows = [
        _row(
            frame["trial"],
            [
                _td(str(frame["frame"])),
                _td(escape(frame["camera"])),
                _td(str(frame["corners"])),
                _td(_px(frame["mean"])),
                _td(_px(frame["max"])),
            ],
        )
        for frame in frames
    ]
    return (
        "<h2>Worst frames</h2>\n<p>Look at these in the recordings. What is blurred, half hidden or "
        "mistaken can be deleted from calibration/detections/, row by row.</p>\n"
        '<div class="scroll"><table><thead><tr><th class="name">recording</th><th>frame</th><th>most off</th>'
        "<th>corners</th><th>mean, px</th><th>max, px</th></tr></thead>"
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )
