"""What prediction files are called: which video one belongs to, and where its crop is recorded.

Apart from the readers, so that walking over a lab's folders loads no numerical library.
"""

from __future__ import annotations

import re
from pathlib import Path

VIDEO_SUFFIXES = frozenset(
    {".mp4", ".avi", ".mov", ".mkv", ".m4v", ".mpg", ".mpeg", ".wmv", ".webm", ".mts", ".m2ts", ".flv"}
    | {".3gp", ".ogv", ".h264", ".mj2", ".mjpeg", ".asf"}
)
PREDICTION_SUFFIXES = (".analysis.h5", ".h5", ".csv", ".slp")
META_SUFFIX = "_meta.pickle"

_SCORER = re.compile(r"DLC_|DeepCut_")
_SLEAP_EXPORT = re.compile(r".+\.\d{3}_(.+)")
_VIDEO_EXTENSION = re.compile(rf"({'|'.join(map(re.escape, sorted(VIDEO_SUFFIXES)))})$", re.IGNORECASE)
_PROCESSED = re.compile(r"(_filtered|_el|_bx|_sk|_full|_assemblies|_meta)+$")


def without_suffix(name: str) -> str:
    """Return a prediction file's name without its suffix, which may have two dots."""
    for suffix in (*PREDICTION_SUFFIXES, ".pickle"):
        if name.lower().endswith(suffix) and len(name) > len(suffix):
            return name[: -len(suffix)]
    return name.rsplit(".", 1)[0] if "." in name[1:] else name


def video_of(filename: str) -> str:
    """Return the name of the video that a prediction file belongs to.

    Parameters
    ----------
    filename
        A file's name, without folder.

    Returns
    -------
    The name before its last ``DLC_`` or ``DeepCut_``, where DeepLabCut appends its scorer without a
    separator; else before ``.predictions`` or ``.analysis``; else without its suffix. A video extension that
    SLEAP leaves inside the name goes too (``clip.mp4.predictions.slp``), and so does what the SLEAP window
    puts before it on export (``labels.v001.000_clip.analysis.h5``: project, number of the video).

    Notes
    -----
    Files are matched to videos by equality of this name, so that ``cam1`` never takes a file of ``cam10``.

    Examples
    --------
    >>> video_of("cam1DLC_Resnet50_reachJan1shuffle1_snapshot_10_filtered.h5")
    'cam1'
    >>> video_of("mouse_back.analysis.h5")
    'mouse_back'
    """
    scorers = [match.start() for match in _SCORER.finditer(filename) if match.start() > 0]
    if scorers:
        return filename[: scorers[-1]]
    name = without_suffix(filename)
    if filename.lower().endswith(".analysis.h5"):
        export = _SLEAP_EXPORT.fullmatch(name)
        name = export[1] if export else name
    for mark in (".predictions", ".analysis"):
        at = name.rfind(mark)
        name = name[:at] if at > 0 else name
    shorter = _VIDEO_EXTENSION.sub("", name)
    return shorter or name


def meta_for(path: Path) -> Path:
    """Return where DeepLabCut puts its record of a prediction: beside it, ending in ``_meta.pickle``.

    Parameters
    ----------
    path
        A prediction file. Endings of later steps (``_filtered``, ``_el``, ...) are left out: the record is
        written once, by the analysis.

    Returns
    -------
    The path, whether or not there is such a file.
    """
    return path.with_name(_PROCESSED.sub("", without_suffix(path.name)) + META_SUFFIX)
