"""Make the pictures of the documentation from a run of the example: ``python docs/pictures.py FOLDER``.

FOLDER is a copy of ``example_experiment`` that ``anipipe run-all`` has brought up to date. Frames are JPEG,
plots PNG of few colours, so that all together stay small.
"""

from __future__ import annotations

import argparse
import io
import re
import tempfile
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import matplotlib as mpl
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from anipipe.formats._preview_sheets import style
from anipipe.formats.board_detections import read_board_detections
from anipipe.formats.films import Film, write_film
from anipipe.formats.poses2d import Pose2D, read_pose_2d
from anipipe.formats.poses3d import read_pose_3d
from anipipe.formats.tables import read_angles
from anipipe.formats.video import Video
from anipipe.numerics.drawing.overlay import Overlay, Pen, caption
from anipipe.numerics.filtering import running_median
from anipipe.project import walk
from anipipe.stages.filter import FilterOptions, filter_2d
from anipipe.stages.label_2d import compare
from anipipe.stages.labeling import OverlayOptions

mpl.use("agg")
import matplotlib.pyplot as plt

Picture = NDArray[np.uint8]

HERE = Path(__file__).resolve().parent / "pictures"
SESSION, OTHER, TRIAL, CAMERA, CAMERAS = "arena/session-1", "arena/session-2", "walk1", "C", "ABC"
FRAME = 37  # is shown
MISTAKES = [35, 36, 52, 61]  # frames in which two joints are exchanged, to have something to filter
PLOT = (9.0, 3.4)  # inches


def frame(path: Path, number: int) -> Picture:
    """Return one frame of a video, (height, width, 3), blue first."""
    picture = next(islice(Video(path).frames(), number, None))[1]
    if picture is None:
        raise ValueError(f"{path}: frame {number} is damaged")
    return picture


def pose(folder: Path, kind: str, camera: str = CAMERA) -> Pose2D:
    """Return a 2D pose of the trial that is shown."""
    return read_pose_2d(folder / SESSION / kind / f"{TRIAL}-cam{camera}.h5")


def labelled(folder: Path, kind: str, number: int, camera: str = CAMERA) -> Picture:
    """Return a frame of a video of one camera."""
    return frame(folder / SESSION / kind / f"{TRIAL}-cam{camera}.mp4", number)


def save_frame(name: str, picture: Picture, width: int = 960) -> None:
    """Write a picture as JPEG, no wider than this."""
    cv2.imwrite(str(HERE / f"{name}.jpg"), narrowed(picture, width), [cv2.IMWRITE_JPEG_QUALITY, 82])


def narrowed(picture: Picture, width: int) -> Picture:
    """Return a picture that is no wider than this."""
    if picture.shape[1] <= width:
        return picture
    height = round(picture.shape[0] * width / picture.shape[1])
    return np.asarray(cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


def save_plot(name: str, image: Image.Image, width: int = 900) -> None:
    """Write a plot as PNG of few colours, no wider than this."""
    image = image.convert("RGB")
    if image.width > width:
        image = image.resize((width, round(image.height * width / image.width)), Image.Resampling.LANCZOS)
    image.quantize(256, kmeans=2, dither=Image.Dither.NONE).save(HERE / f"{name}.png", optimize=True)


def drawn(figure: Any) -> Image.Image:
    """Return a figure of matplotlib as a picture."""
    file = io.BytesIO()
    figure.savefig(file, dpi=110)
    plt.close(figure)
    return Image.open(file)


def before_and_after(name: str, rows: list[tuple[str, Any, Any]], title: str) -> None:
    """Plot series against time before and after a filter, one below the other."""
    with style():
        figure, panels = plt.subplots(
            len(rows), 1, figsize=PLOT, sharex=True, squeeze=False, layout="constrained"
        )
        for panel, (label, before, after) in zip(panels[:, 0], rows, strict=True):
            panel.plot(before, color="#d9480f", linewidth=1.1, label="before")
            panel.plot(after, color="#1c7ed6", linewidth=1.6, label="after")
            panel.set_ylabel(label)
        panels[0, 0].set_title(title, loc="left")
        panels[0, 0].legend(ncols=2, loc="upper right")
        panels[-1, 0].set_xlabel("frame")
    save_plot(name, drawn(figure))


def convert_videos(folder: Path) -> None:
    """Show the same part of a frame at several qualities."""
    source = folder / SESSION / "videos-raw" / f"{TRIAL}-cam{CAMERA}.mp4"
    video = Video(source)
    frames = [picture for _, picture in video.frames() if picture is not None]
    middle = np.nanmedian(pose(folder, "pose-2d").points[FRAME, :, 0], axis=0).astype(int)
    left, top = np.clip(middle - (60, 50), 0, np.array(video.info.size) - (120, 100))

    def part(picture: Picture, text: str) -> Picture:
        cut = picture[top : top + 100, left : left + 120]
        cut = np.asarray(cv2.resize(cut, None, fx=4, fy=4, interpolation=cv2.INTER_NEAREST), np.uint8)
        caption(cut, text)
        return cut

    parts = [part(frames[FRAME], "as recorded")]
    with tempfile.TemporaryDirectory() as place:
        for quality in (17, 28, 40):
            path = Path(place) / "video.mp4"
            write_film(Film(frames, video.info.size, len(frames), video.info.rate, quality, "medium"), path)
            parts.append(part(frame(path, FRAME), f"quality {quality}: {path.stat().st_size // 1000} kB"))
    save_frame("convert-videos", np.vstack([np.hstack(parts[:2]), np.hstack(parts[2:])]))


def detect_boards(folder: Path) -> None:
    """Show a frame of the board, and the corners that were found in it."""
    seen = read_board_detections(folder / "calibration" / "detections" / f"board-cam{CAMERA}.csv")
    number = int(np.argmax(np.bincount(seen.numbers)))
    points = seen.points[seen.numbers == number]
    colours = (mpl.colormaps["rainbow"](np.linspace(0, 1, len(points)))[:, :3] * 255).astype(np.uint8)
    picture = frame(folder / "calibration" / f"board-cam{CAMERA}.mp4", number).copy()
    Overlay(points[None], Pen(colours)).draw(picture, 0)
    save_frame("detect-boards", picture)


def calibrate(folder: Path) -> None:
    """Cut the cameras and the boards in space out of the report."""
    page = (folder / "calibration" / "report.html").read_text(encoding="utf-8")
    pattern = r'<svg id="scene" viewBox="(\S+) (\S+) (\S+) (\S+)".*?data-scene="[^"]*">(.*?)</svg>'
    found = re.search(pattern, page)
    if found is None:
        raise ValueError("the report shows no cameras in space")
    left, top, width, height, content = found.groups()
    look = (
        "path{fill:none;stroke:#222;stroke-width:1.3;stroke-linejoin:round}"
        "path.board{stroke:#1c7ed6;fill:#1c7ed6;fill-opacity:.08;stroke-opacity:.55;stroke-width:1}"
        "path.camera{fill:#e8590c;fill-opacity:.25}"
        "text{font:600 16px sans-serif;text-anchor:middle;dominant-baseline:middle}"
    )
    text = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{left} {top} {width} {height}" width="{width}" '
        f'height="{height}"><style>{look}</style>'
        f'<rect x="{left}" y="{top}" width="100%" height="100%" fill="#fff"/>{content}</svg>\n'
    )
    (HERE / "calibrate.svg").write_text(text, encoding="utf-8", newline="\n")


def with_mistakes(pose: Pose2D) -> Pose2D:
    """Return a 2D pose in which left and right hind paws are exchanged in some frames, as networks do it."""
    left, right = pose.joints.index("hindpaw_left"), pose.joints.index("hindpaw_right")
    points = pose.points.copy()
    points[np.ix_(MISTAKES, [left, right])] = points[np.ix_(MISTAKES, [right, left])]
    return replace(pose, points=points)


def filters(folder: Path) -> None:
    """Show what the filters do: the 2D one to a pose with mistakes, in a plot and in the video."""
    settings = walk(folder.resolve()).settings
    raw = with_mistakes(pose(folder, "pose-2d"))
    filtered = filter_2d(raw, options=FilterOptions.of(settings))
    paw = raw.joints.index("hindpaw_right")
    before, after = (one.points[:, paw, 0].T for one in (raw, filtered))
    rows = [(f"{axis} (px)", before[at], after[at]) for at, axis in enumerate("xy")]
    before_and_after("filter", rows, f"hindpaw_right, camera {CAMERA}")

    video = Video(folder / SESSION / "videos-raw" / f"{TRIAL}-cam{CAMERA}.mp4")
    film = compare(raw, filtered, video, options=OverlayOptions.of(settings))
    whole = next(islice(film.pictures, MISTAKES[0], None))
    left, top = (np.nanmean(filtered.points[MISTAKES[0], :, 0], axis=0) - (120, 80)).astype(int)
    halves = [half[top : top + 160, left : left + 240] for half in np.hsplit(whole, 2)]
    for half, text in zip(halves, ("as tracked", "filtered"), strict=True):
        caption(half, text)
    enlarged = cv2.resize(np.hstack(halves), None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
    save_frame("label-compare", np.asarray(enlarged, np.uint8))

    found = read_pose_3d(folder / SESSION / "pose-3d" / f"{TRIAL}.csv")
    height = found.points[:, found.joints.index("forepaw_left"), 2]
    smooth = running_median(height[:, None], 17)[:, 0]
    before_and_after("filter-3d", [("z (mm)", height, smooth)], "forepaw_left")


def previews(folder: Path) -> None:
    """Take over what ``previews`` has made."""
    video = f"{TRIAL}-cam{CAMERA}"
    for name, file in (
        ("pose-2d", f"{video}.likelihood"),
        ("previews-trajectory", f"{video}.trajectory"),
        ("previews-hist", f"{video}.hist"),
        ("pose-3d", f"{TRIAL}.pose-3d"),
        ("angles", f"{TRIAL}.angles"),
    ):
        save_plot(name, Image.open(folder / SESSION / "previews" / f"{file}.png"))


def videos(folder: Path) -> None:
    """Show frames of the videos, and those of the README side by side."""
    save_frame("label-2d", labelled(folder, "videos-labeled", FRAME))
    sides = [labelled(folder, "videos-2d-proj", FRAME, camera) for camera in CAMERAS]
    save_frame("project-2d", np.hstack(sides), 1200)
    in_space = frame(folder / SESSION / "videos-3d" / f"{TRIAL}.mp4", FRAME)
    save_frame("label-3d", in_space, 640)
    save_frame("label-combined", frame(folder / SESSION / "videos-combined" / f"{TRIAL}.mp4", FRAME), 1280)
    tiles = [labelled(folder, "videos-labeled", FRAME), in_space, angles_tile(folder)]
    small = [cv2.resize(tile, (400, 300), interpolation=cv2.INTER_AREA) for tile in tiles]
    save_frame("strip", np.hstack([np.asarray(tile, np.uint8) for tile in small]), 1200)


def angles_tile(folder: Path) -> Picture:
    """Return a plot of two angles, 800 x 600 pixels, blue first."""
    angles = read_angles(folder / SESSION / "angles" / f"{TRIAL}.csv")
    figure, panel = plt.subplots(figsize=(4, 3), layout="constrained")
    for name, colour in (("knee_left", "#1c7ed6"), ("knee_right", "#d9480f")):
        panel.plot(angles[name], color=colour, label=name)
        panel.axvline(FRAME, color="#888", linewidth=0.8)
    panel.set(xlabel="frame", ylabel="degrees")
    panel.legend(fontsize=8)
    file = io.BytesIO()
    figure.savefig(file, dpi=200)
    plt.close(figure)
    return np.asarray(cv2.imdecode(np.frombuffer(file.getvalue(), np.uint8), cv2.IMREAD_COLOR), np.uint8)


def summarize(folder: Path) -> None:
    """Plot a table of all sessions."""
    import pandas as pd

    table = pd.read_parquet(folder / "summaries" / "angles.parquet")
    with style():
        figure, panels = plt.subplots(1, 2, figsize=PLOT, sharex=True, sharey=True, layout="constrained")
        for panel, name in zip(panels, ("knee_left", "knee_right"), strict=True):
            for (session, trial), part in table.groupby(["folder_2", "filename"]):
                panel.plot(part["fnum"], part[name], label=f"{session} {trial}")
            panel.set(title=name, xlabel="frame")
        panels[0].set_ylabel("degrees")
        figure.legend(*panels[1].get_legend_handles_labels(), loc="outside lower center", ncols=4)
    save_plot("summarize", drawn(figure))


def main() -> None:
    """Make all of them."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    HERE.mkdir(exist_ok=True)
    for draw in (convert_videos, detect_boards, calibrate, filters, previews, videos, summarize):
        draw(folder)


if __name__ == "__main__":
    main()
