"""Whether anipipe's own installation is sound: Python, packages, OpenCV, video, HDF5."""

from __future__ import annotations

import importlib.metadata
import platform
import tempfile
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from anipipe import __version__
from anipipe.commands.doctor.findings import Finding, Level, isolated
from anipipe.formats.films import Film, write_film
from anipipe.formats.video import Video

if TYPE_CHECKING:
    from packaging.requirements import Requirement

SUBJECT = "installation"
#: Wheels that all bring the one module cv2: installed together, they overwrite each other's files.
OPENCV = (
    *("opencv-contrib-python", "opencv-contrib-python-headless"),
    *("opencv-python", "opencv-python-headless"),
)
#: Distributions that serve in place of another one.
_INSTEAD = {"opencv-contrib-python": ("opencv-contrib-python-headless",)}
#: What extras are for; others are for those who change anipipe.
_EXTRAS = {"dask": "runs over several machines", "sleap": "reading SLEAP's .slp files"}
#: What recordings come in: H.264 from most cameras and programs, MJPEG from webcams, HEVC from phones.
_CODECS = ("h264", "mjpeg", "hevc", "mpeg4", "rawvideo")
_FRAMES = 5  # of the video that is written and read back


def findings() -> Iterator[Finding]:
    """Look at the installation."""
    checks = (
        ("Python", _python),
        ("packages", _packages),
        ("extras", _extras),
        ("OpenCV", _opencv),
        ("video", _video),
        ("HDF5", _hdf5),
    )
    for about, check in checks:
        yield from isolated(SUBJECT, about, check)


def _found(level: Level, about: str, text: str, remedy: str = "") -> Finding:
    return Finding(level, SUBJECT, about, text, remedy)


def _python() -> Iterator[Finding]:
    from packaging.specifiers import SpecifierSet

    asked, have = importlib.metadata.metadata("anipipe")["Requires-Python"], platform.python_version()
    text = f"{have}, {platform.system()} {platform.machine()}; anipipe {__version__}"
    if SpecifierSet(asked).contains(have, prereleases=True):
        yield _found("ok", "Python", text)
    else:
        yield _found(
            "critical", "Python", f"{text} needs {asked}", f"make an environment with Python {asked}"
        )


def _requirements() -> Iterator[Requirement]:
    from packaging.requirements import Requirement

    yield from map(Requirement, importlib.metadata.requires("anipipe") or ())


def _installed(name: str) -> str | None:
    """Return the version of a distribution, or of one that serves in its place; None if there is none."""
    for candidate in (name, *_INSTEAD.get(name, ())):
        try:
            return importlib.metadata.version(candidate)
        except PackageNotFoundError:
            continue
    return None


def _packages() -> Iterator[Finding]:
    asked = [one for one in _requirements() if one.marker is None or one.marker.evaluate({"extra": ""})]
    fine = 0
    for one in asked:
        have = _installed(one.name)
        remedy = f'python -m pip install "{one.name}{one.specifier}"'
        if have is None:
            yield _found("critical", one.name, "is not installed", remedy)
        elif not one.specifier.contains(have, prereleases=True):
            yield _found("critical", one.name, f"is {have}, and anipipe needs {one.specifier}", remedy)
        else:
            fine += 1
    yield _found("ok", "packages", f"{fine} of {len(asked)} as anipipe needs them")


def _extras() -> Iterator[Finding]:
    told = []
    for extra, purpose in _EXTRAS.items():
        asked = [
            one
            for one in _requirements()
            if one.marker is not None
            and one.marker.evaluate({"extra": extra})
            and not one.marker.evaluate({"extra": ""})
        ]
        lacking = [one.name for one in asked if _installed(one.name) is None]
        told.append(
            f'{extra} is not installed ({purpose}: pip install "anipipe[{extra}]")'
            if lacking
            else f"{extra} is installed"
        )
    yield _found("ok", "optional", "; ".join(told))


def _opencv() -> Iterator[Finding]:
    there = {name: version for name in OPENCV if (version := _version(name)) is not None}
    mend = (
        f"python -m pip uninstall -y {' '.join(there) or 'opencv-python'}, "
        "then python -m pip install opencv-contrib-python"
    )
    if len(there) > 1:
        both = " and ".join(f"{name} {version}" for name, version in there.items())
        yield _found(
            "warning", "OpenCV", f"{both} are installed over each other: parts of both are mixed", mend
        )
    try:
        import cv2

        seen = _marker_is_seen()
    except (ImportError, AttributeError) as error:
        yield _found("critical", "OpenCV", f"without the module for calibration boards ({error})", mend)
        return
    if not seen:
        yield _found("critical", "OpenCV", f"{cv2.__version__} does not find a marker drawn by itself", mend)
    elif len(there) <= 1:
        yield _found("ok", "OpenCV", f"{cv2.__version__}, finds the markers of calibration boards")


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except PackageNotFoundError:
        return None


def _marker_is_seen() -> bool:
    """Draw a marker and look for it."""
    import cv2

    dictionary = cv2.aruco.getPredefinedDictionary(cv2.aruco.DICT_4X4_50)
    picture = np.pad(cv2.aruco.generateImageMarker(dictionary, 7, 60), 20, constant_values=255)
    _, numbers, _ = cv2.aruco.ArucoDetector(dictionary).detectMarkers(picture)
    return numbers is not None and np.ravel(numbers).tolist() == [7]


def _video() -> Iterator[Finding]:
    import av

    lacking = [name for name in _CODECS if not _has(name, "r")]
    mend = "python -m pip install --force-reinstall av"
    if lacking:
        yield _found(
            "warning",
            "video",
            f"PyAV {av.__version__} cannot read {', '.join(lacking)}",
            f"{mend}; builds of Linux distributions often leave codecs out",
        )
    if not _has("libx264", "w"):
        yield _found(
            "critical",
            "video",
            f"PyAV {av.__version__} cannot write H.264 (libx264): no labelled or converted videos",
            mend,
        )
        return
    with tempfile.TemporaryDirectory(prefix="anipipe-doctor-") as folder:
        path = Path(folder) / "video.mp4"
        pictures = [np.full((32, 32, 3), 40 * number, np.uint8) for number in range(_FRAMES)]
        write_film(Film(pictures, (32, 32), _FRAMES, 30.0, 23, "veryfast"), path)
        shown = [float(p.mean()) for _, p in Video(path).frames() if p is not None]
    # x264 is not exact, but shades that are 40 apart stay apart
    right = len(shown) == _FRAMES and np.allclose(shown, [40 * n for n in range(_FRAMES)], atol=10)
    if right:
        yield _found("ok", "video", f"PyAV {av.__version__}, writes H.264; reads {', '.join(_CODECS)}")
    else:
        yield _found("critical", "video", f"PyAV {av.__version__} does not read back what it wrote", mend)


def _has(codec: str, mode: str) -> bool:
    import av

    try:
        av.codec.Codec(codec, "w" if mode == "w" else "r")
    except av.codec.codec.UnknownCodecError:
        return False
    return True


def _hdf5() -> Iterator[Finding]:
    """Write a table's worth with PyTables and read it with h5py, in memory, as 2D poses are."""
    import h5py
    import tables

    numbers = np.arange(6.0).reshape(2, 3)
    with tables.open_file("probe.h5", "w", driver="H5FD_CORE", driver_core_backing_store=0) as file:
        file.create_array("/", "numbers", numbers)
        file.flush()
        image = file.get_file_image()
    with h5py.File(BytesIO(image), "r") as file:
        same = np.array_equal(file["numbers"][()], numbers)
    text = f"h5py {h5py.__version__} and PyTables {tables.__version__} on HDF5 {h5py.version.hdf5_version}"
    if same:
        yield _found("ok", "HDF5", text)
    else:
        yield _found(
            "critical",
            "HDF5",
            f"{text} do not read each other's files",
            "python -m pip install --force-reinstall h5py tables",
        )
