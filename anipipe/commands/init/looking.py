"""What lies in a folder that is to become an experiment: sessions, recordings, predictions."""

from __future__ import annotations

import os
import re
import tomllib
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from anipipe.config import Config
from anipipe.errors import DataError
from anipipe.formats.prediction_names import VIDEO_SUFFIXES
from anipipe.project.finding import CONFIG, RESOLVED_FOLDER, is_ours
from anipipe.project.naming import BOARD_SUFFIXES, find_videos, join, listed, natural, suffix_of

_SESSION_FOLDERS = ("videos_raw", "videos_uncompressed", "predictions", "pose_2d")
_LABELED_DATA = "labeled-data"
_CALIBRATION = "calibration.toml"
_BOARD = re.compile(r"calib|charuco|checker|chess|aruco|board", re.IGNORECASE)
_PREDICTION = re.compile(r".(DLC_|DeepCut_).*\.(h5|csv)$|\.analysis\.h5$|\.predictions\.slp$")
_DRAWN = re.compile(r"DLC_|DeepCut_|_labell?ed\.", re.IGNORECASE)
_MOST_FOLDERS = 20_000
_MOST_ENTRIES = 20_000  # of one folder

Files = dict[str, tuple[str, ...]]


@dataclass(frozen=True)
class FoundSession:
    """A session as it lies there.

    Attributes
    ----------
    folder
        Relative to the experiment; empty for its own folder.
    videos
        The names of its videos, each with its files by kind, as :func:`~anipipe.project.naming.find_videos`
        gives them.
    """

    folder: str
    videos: Mapping[str, Files]

    @property
    def depth(self) -> int:
        """How many folders lie between it and the experiment, its own included."""
        return len(Path(self.folder).parts)


@dataclass
class Found:
    """What lies in a folder. All paths are relative to it, with forward slashes.

    Attributes
    ----------
    root : Path
    sessions : list of FoundSession
    boards : dict
        Folder of board recordings to the files in it.
    calibrations, loose_calibrations : list of str
        Calibrations that are there, and those that lie where they are not looked for.
    loose : dict
        Folder to the videos that lie where no session has them.
    loose_boards : dict
        The same of those that are called like recordings of a board.
    loose_predictions : dict
        The same of files that are called like predictions.
    deeplabcut : list of str
        Projects of DeepLabCut.
    models : list of str
        What may be trained networks: projects, folders, zips.
    inner : list of str
        Folders with a configuration of anipipe's own.
    unreadable : list of str
        What cannot be looked into, and why.
    whole : bool
        Whether everything was looked at.
    """

    root: Path
    sessions: list[FoundSession] = field(default_factory=list)
    boards: dict[str, list[str]] = field(default_factory=dict)
    calibrations: list[str] = field(default_factory=list)
    loose_calibrations: list[str] = field(default_factory=list)
    loose: dict[str, list[str]] = field(default_factory=dict)
    loose_boards: dict[str, list[str]] = field(default_factory=dict)
    loose_predictions: dict[str, list[str]] = field(default_factory=dict)
    deeplabcut: list[str] = field(default_factory=list)
    models: list[str] = field(default_factory=list)
    inner: list[str] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    whole: bool = True

    @property
    def videos(self) -> int:
        """How many videos the sessions have."""
        return sum(len(session.videos) for session in self.sessions)

    def predictions(self) -> Iterator[str]:
        """Yield one file of predictions per video, one session after another."""
        for session in self.sessions:
            for files in session.videos.values():
                named = sorted(files.get("prediction", ()), key=lambda path: not path.endswith(".h5"))
                yield from named[:1]


def calibrated_cameras(path: Path) -> frozenset[str]:
    """Return what cameras are called in a calibration; none if it cannot be read."""
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return frozenset()
    names = (section.get("name") for section in content.values() if isinstance(section, dict))
    return frozenset(name for name in names if isinstance(name, str))


def look(root: Path) -> Found:
    """Look at a folder and those in it, as the walker will, but for anything that may be of use."""
    return _Look(root).everything()


class _Look:
    def __init__(self, root: Path) -> None:
        self._found = Found(root)
        self._names: dict[str, str] = dict(Config().pipeline)
        self._own = {*self._names.values(), RESOLVED_FOLDER, _LABELED_DATA}
        self._visited: set[tuple[int, int]] = set()

    def everything(self) -> Found:
        """Look at folders near the top first, and at links after all others, so that each counts once."""
        found, folders, links = self._found, deque([""]), deque[str]()
        looked = 0
        while folders or links:
            if looked == _MOST_FOLDERS:
                found.whole = False
                break
            looked += 1
            folder = folders.popleft() if folders else links.popleft()
            try:
                self._look_at(folder, folders, links)
            except OSError as error:
                if folder or (found.root / folder).is_dir():
                    found.unreadable.append(f"{error.filename or folder}: {error.strerror or error}")
        found.sessions.sort(key=lambda session: natural(session.folder))
        return found

    def _look_at(self, folder: str, folders: deque[str], links: deque[str]) -> None:
        path = self._found.root / folder
        stat = path.stat()
        if (stat.st_dev, stat.st_ino) in self._visited:
            return
        self._visited.add((stat.st_dev, stat.st_ino))
        with os.scandir(path) as content:
            entries = [entry for entry in islice(content, _MOST_ENTRIES) if entry.name[0] != "."]
        inside = {entry.name: entry for entry in entries if _is_folder(entry)}
        files = sorted((entry.name for entry in entries if entry.name not in inside), key=natural)
        if _is_deeplabcut(path, files, set(inside)):
            self._found.deeplabcut.append(folder)
            self._found.models.append(folder)
            return
        if "pytorch_config.yaml" in files or ("config.yaml" in files and "tb_logs" in inside):
            self._found.models.append(folder)
            return
        self._found.models += [join(folder, name) for name in files if suffix_of(name) == ".zip"]
        if folder and CONFIG in files and is_ours(path / CONFIG):
            self._found.inner.append(folder)
        self._recordings(folder, set(inside))
        if any(self._names[key] in inside for key in _SESSION_FOLDERS):
            self._session(folder)
        self._loose(folder, files)
        if _CALIBRATION in files:
            self._found.loose_calibrations.append(join(folder, _CALIBRATION))
        for name in sorted(set(inside) - self._own, key=natural):
            (links if inside[name].is_symlink() else folders).append(join(folder, name))

    def _session(self, folder: str) -> None:
        root, found = self._found.root, self._found
        try:
            videos = find_videos(root, folder, self._names)
        except (DataError, OSError) as error:
            found.unreadable.append(str(error))
            return
        found.sessions.append(FoundSession(folder, videos))
        raw = join(folder, self._names["videos_raw"])
        try:
            inside = [entry.name for entry in os.scandir(root / raw) if _is_folder(entry)]
        except OSError:
            return
        for name in inside:
            try:
                self._loose(join(raw, name), listed(root, raw, name))
            except OSError as error:
                found.unreadable.append(f"{join(raw, name)}: {error.strerror}")

    def _recordings(self, folder: str, inside: set[str]) -> None:
        """Note the recordings of a board, and a calibration that is there already."""
        found = self._found
        for sub in dict.fromkeys((self._names["calibration_videos"], self._names["calibration_results"])):
            if sub not in inside:
                continue
            try:
                files = listed(found.root, folder, sub)
            except OSError as error:
                found.unreadable.append(f"{join(folder, sub)}: {error.strerror}")
                continue
            recordings = [name for name in files if suffix_of(name) in BOARD_SUFFIXES]
            if recordings:
                found.boards[join(folder, sub)] = recordings
            if _CALIBRATION in files:
                found.calibrations.append(join(folder, f"{sub}/{_CALIBRATION}"))

    def _loose(self, folder: str, files: list[str]) -> None:
        """Note videos and predictions that lie where no session has them."""
        videos = [name for name in files if suffix_of(name) in VIDEO_SUFFIXES]
        boards = [name for name in videos if _BOARD.search(f"{Path(folder).name} {name}")]
        others = [name for name in videos if name not in set(boards)]
        if not all(map(_DRAWN.search, others)):
            self._found.loose[folder] = others
        if boards:
            self._found.loose_boards[folder] = boards
        predictions = [name for name in files if _PREDICTION.search(name)]
        if predictions:
            self._found.loose_predictions[folder] = predictions


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False


def _is_deeplabcut(path: Path, files: list[str], inside: set[str]) -> bool:
    """Say whether a folder is a project of DeepLabCut: its config.yaml, and folders that it makes."""
    made = inside & {"videos", _LABELED_DATA, "dlc-models", "dlc-models-pytorch", "training-datasets"}
    if "config.yaml" not in files or not made:
        return False
    try:
        with (path / "config.yaml").open(encoding="utf-8", errors="replace") as file:
            start = file.read(20_000)
    except OSError:
        return False
    return re.search(r"^(Task|bodyparts|multianimalbodyparts|scorer)\s*:", start, re.MULTILINE) is not None
