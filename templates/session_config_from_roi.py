"""Write the ROIs that cameras recorded into a session's config.toml, as cameras.NAME.offset.

Needs Python 3.11 or newer and nothing else. An ROI file is one of

  FILE.toml       of all cameras: for each a section [cameras.NAME] with roi = [x, y, width, height],
                  Matlab's ROIPosition, or OffsetX and OffsetY
  FILE.csv        of all cameras: the line "camera,x,y" or "camera,x,y,width,height", then one for each
  NAME=FILE.pfs   of the camera NAME: what Basler's pylon Viewer saves; without NAME= the file is called so

x and y are the top-left corner of what was recorded, in the picture that was calibrated: pixels, from 0.
What config.toml says already stays; if it says another offset, nothing is written.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import re
import sys
import tomllib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

NAMES = ("roi", "ROI", "ROIPosition")
PARTS = ("OffsetX", "OffsetY", "Width", "Height")
HEADS = (["camera", "x", "y"], ["camera", "x", "y", "width", "height"])

Corner = list[int | float]


class Fault(Exception):
    """Something that the user can mend; the message says what."""


def read(path: Path) -> str:
    """Return a file's text, with its line endings as they are."""
    try:
        return path.read_bytes().decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise Fault(f"{path} cannot be read: {error}") from None


def parse(path: Path, text: str) -> dict[str, Any]:
    """Return what a TOML file says."""
    try:
        return tomllib.loads(text)
    except ValueError as error:
        raise Fault(f"{path} is not TOML: {error}") from None


def number(value: Any, where: str) -> int | float:
    """Return a number that may be given as text."""
    try:
        result = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        result = math.nan
    if not math.isfinite(result):
        raise Fault(f"{where}: {value!r} is not a number")
    return int(result) if result.is_integer() else result


def corner(roi: Sequence[Any], where: str) -> Corner:
    """Return the top-left corner of an ROI."""
    if len(roi) not in (2, 4):
        raise Fault(f"{where}: an ROI is 2 or 4 numbers, x, y, width, height, not {len(roi)}")
    x, y, *size = (number(value, where) for value in roi)
    if min(x, y) < 0:
        raise Fault(f"{where}: the corner {[x, y]} is negative, outside the picture")
    if min(size, default=1) <= 0:
        raise Fault(f"{where}: width and height must be more than 0")
    return [x, y]


def corner_among(settings: object, where: str) -> Corner:
    """Return the corner that the settings of a camera tell."""
    if isinstance(settings, dict):
        for name in NAMES:
            if name in settings:
                roi = settings[name]
                return corner(roi if isinstance(roi, list) else [roi], where)
        if all(name in settings for name in PARTS[:2]):
            return corner([settings[name] for name in PARTS if name in settings], where)
        if "video" in settings:
            return corner_among(settings["video"], where)
    raise Fault(f"{where} has no ROI: neither {', '.join(NAMES)}, nor OffsetX and OffsetY")


def from_toml(path: Path) -> Iterator[tuple[str, Corner]]:
    """Yield camera and corner from a TOML file."""
    cameras = parse(path, read(path)).get("cameras")
    if not isinstance(cameras, dict):
        raise Fault(f"{path} has no section [cameras.NAME]")
    for name, settings in cameras.items():
        yield name, corner_among(settings, f"{path}: camera {name}")


def from_csv(path: Path) -> Iterator[tuple[str, Corner]]:
    """Yield camera and corner from a csv file; in many countries Excel writes semicolons for commas."""
    lines = read(path).splitlines()
    rows = csv.reader(lines, delimiter=";" if lines and ";" in lines[0] else ",")
    if [cell.strip() for cell in next(rows, [])] not in HEADS:
        raise Fault(f"{path}: the first line must be camera,x,y or camera,x,y,width,height")
    for row in rows:
        name, *roi = (cell.strip() for cell in row or [""])
        if any(roi):
            yield name, corner(roi, f"{path}: camera {name}")
        elif name:
            raise Fault(f"{path}: camera {name} has no ROI")


def from_pfs(name: str, path: Path) -> Iterator[tuple[str, Corner]]:
    """Yield camera and corner from a feature file of pylon: names and values, separated by tabs."""
    where = f"{path}: camera {name}"
    features: dict[str, str] = {}
    for line in read(path).splitlines():
        feature, *values = (cell.strip() for cell in line.split("\t"))
        if values and features.setdefault(feature, values[-1]) != values[-1] and feature in PARTS:
            raise Fault(f"{where}: {feature} has several values; write the right one into a csv file")
    for feature, part in (("CenterX", "OffsetX"), ("CenterY", "OffsetY")):
        if features.get(feature) == "1" and part not in features:
            raise Fault(
                f"{where}: the camera centred the picture ({feature} = 1), and where that is the file does "
                "not tell; write the corner into a csv file"
            )
    yield name, corner_among(features, where)


def corners(sources: Iterable[str]) -> dict[str, tuple[Corner, str]]:
    """Return the corner of each camera, and the name of the file that tells it."""
    found: dict[str, tuple[Corner, str]] = {}
    for source in sources:
        pfs = re.fullmatch(r"(?:(.*)=)?(.*\.pfs)", source, re.IGNORECASE | re.DOTALL)
        path = Path(pfs[2] if pfs else source)
        if pfs:
            rows = from_pfs(pfs[1] or path.stem, path)
        elif path.suffix.lower() in (".toml", ".csv"):
            rows = from_toml(path) if path.suffix.lower() == ".toml" else from_csv(path)
        else:
            raise Fault(f"{source} is neither FILE.toml, nor FILE.csv, nor NAME=FILE.pfs")
        for name, xy in rows:
            if not name:
                raise Fault(f"{path}: a camera has no name")
            if name in found:
                raise Fault(f"{path}: camera {name} has an ROI already, from {found[name][1]}")
            found[name] = xy, path.name
    return found


def inserted(text: str, name: str, line: str) -> str:
    """Return a config.toml with a line in the section of a camera, which is added if there is none."""
    newline = "\r\n" if "\r\n" in text else "\n"
    header = rf'^[ \t]*\[[ \t]*cameras[ \t]*\.[ \t]*"?{re.escape(name)}"?[ \t]*\][^\r\n]*'
    found = re.search(header, text, re.MULTILINE)
    if found:
        return f"{text[: found.end()]}{newline}{line}{text[found.end() :]}"
    key = name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else json.dumps(name, ensure_ascii=False)
    above = text.rstrip()
    return newline.join([*([above, ""] if above else []), f"[cameras.{key}]", line, ""])


def added(path: Path, text: str, found: dict[str, tuple[Corner, str]]) -> str:
    """Return a config.toml with the offsets that it lacks, all else as it was."""
    values, result = parse(path, text), text
    try:
        for name, (xy, file) in found.items():
            settings = values.setdefault("cameras", {}).setdefault(name, {})
            if "offset" not in settings:
                result = inserted(result, name, f"offset = {xy}  # px, from {file}")
            if settings.setdefault("offset", xy) != xy:
                raise Fault(
                    f"{path} says cameras.{name}.offset = {settings['offset']}, and {file} says {xy}; take "
                    "that line out if it is wrong, and run this again. Nothing was written"
                )
        if tomllib.loads(result) == values:
            return result
    except (ValueError, AttributeError):  # a section twice; cameras is no table
        pass
    lines = [f"cameras.{name}.offset = {xy}" for name, (xy, _) in found.items()]
    raise Fault(f"{path} is written so that nothing can be added safely; set there {', '.join(lines)}")


def write(session: Path, sources: Sequence[str], cameras: Sequence[str] | None) -> str:
    """Write a session's config.toml, and return what to tell."""
    if not session.is_dir():
        raise Fault(f"{session} is no folder")
    found = corners(sources)
    for name in cameras or ():
        if name not in found:
            raise Fault(f"camera {name} has no ROI; there are those of {', '.join(found) or 'none'}")
    chosen = {name: found[name] for name in cameras or found}
    if not chosen:
        raise Fault(f"no camera in {', '.join(sources)}")
    path = session / "config.toml"
    before = read(path) if path.exists() else ""
    text = added(path, before or "# What differs in this session.\n", chosen)
    listed = ", ".join(f"{name} {xy}" for name, (xy, _) in chosen.items())
    if text == before:
        return f"{path} says so already: {listed}"
    place = path.resolve()
    new = place.with_name(f"{place.name}.new")  # so that a half-written file never takes the old one's place
    new.write_bytes(text.encode())
    new.replace(place)
    return f"wrote {path}: {listed}"


def main() -> None:
    """Read the command line."""
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=formatter)
    parser.add_argument("session", type=Path, help="folder of the session; or of a group, or the experiment")
    parser.add_argument("roi", nargs="+", help="ROI file, as above")
    parser.add_argument(
        "--cameras",
        nargs="+",
        metavar="NAME",
        help="these must have an ROI, others are left out; else all that have one are written",
    )
    arguments = parser.parse_args()
    try:
        done = write(arguments.session, arguments.roi, arguments.cameras)
    except (Fault, OSError) as error:
        sys.exit(f"error: {error}")
    sys.stdout.write(f"{done}\n")


if __name__ == "__main__":
    main()
