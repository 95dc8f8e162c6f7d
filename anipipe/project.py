"""The walker: experiments, sessions, trials and cameras, as they lie in folders.

An experiment is a folder whose ``config.toml`` has no experiment above it. A session is a folder in it that
holds ``videos-raw``, ``videos-uncompressed``, ``predictions`` or ``pose-2d``; a trial is the videos of one session
that agree once the camera is taken out of their names. The walk ends in the engine's units.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from anipipe.config import Layer, Resolved, read_layer, resolve
from anipipe.engine.declare import Unit
from anipipe.errors import ConfigError, DataError, UsageError
from anipipe.formats.importing import PREDICTION_SUFFIXES, meta_for, video_of

CONFIG = "config.toml"
#: Folder, in a session, that holds the configuration that the session was processed with.
RESOLVED_FOLDER = "config"
VIDEO_SUFFIXES = frozenset(
    ".mp4 .avi .mov .mkv .m4v .mpg .mpeg .wmv .webm .mts .m2ts .flv .3gp .ogv .h264 .mj2 .mjpeg .asf".split()
)
IMAGE_SUFFIXES = frozenset(".png .jpg .jpeg .tif .tiff .bmp".split())
_SESSION_FOLDERS = ("videos_raw", "videos_uncompressed", "predictions", "pose_2d")


@dataclass(frozen=True)
class Problem:
    """A folder that cannot be processed, and why; the others can."""

    where: str
    message: str


@dataclass
class Experiment:
    """An experiment as found on disk.

    Attributes
    ----------
    root : Path
    settings : Resolved
        The configuration of the experiment's own folder.
    units : list of Unit
        Calibrations, sessions, trials, videos, and last the experiment itself.
    problems : list of Problem
        Sessions, or folders of sessions, that cannot be processed.
    notices : list of str
        What a user should know about folders that were passed over, and about settings.
    """

    root: Path
    settings: Resolved
    units: list[Unit] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)

    def of(self, kind: str) -> list[Unit]:
        """Return the units of one kind."""
        return [unit for unit in self.units if unit.kind == kind]

    def below(self, folders: Iterable[Path]) -> list[Unit]:
        """Return the units of the sessions in or below ``folders``, their calibrations, and the experiment.

        Raises
        ------
        UsageError
            If a folder holds no session.
        """
        chosen: dict[Unit, None] = {}
        for folder in folders:
            wanted = _relative(self.root, folder)
            sessions = [
                s for s in self.of("session") if not wanted or (s.home + "/").startswith(wanted + "/")
            ]
            broken = [p for p in self.problems if not wanted or (p.where + "/").startswith(wanted + "/")]
            if not sessions and not broken:
                known = ", ".join(s.label for s in self.of("session")[:8]) or "none at all"
                raise UsageError(f"{folder}: no session here; sessions of {self.root}: {known}")
            for session in sessions:
                chosen.setdefault(session)
                for group in session.related.values():
                    chosen.update(dict.fromkeys(group))
        return list(chosen)


def natural(name: str) -> tuple[object, ...]:
    """Sort key that puts ``cam10`` after ``cam9``."""
    parts = re.split(r"(\d+)", name)
    return (*((int(part), part) if index % 2 else part.casefold() for index, part in enumerate(parts)), name)


def find_experiments(paths: Sequence[Path]) -> dict[Path, list[Path]]:
    """Find the experiments that ``paths`` are in, are, or hold.

    Returns
    -------
    dict
        Experiment folder to the folders of it that were named; none if it was named as a whole.

    Raises
    ------
    UsageError
        If a path does not exist, or no experiment is there.
    """
    found: dict[Path, list[Path]] = {}
    for path in paths:
        if not path.exists():
            raise UsageError(f"{path}: there is no such folder")
        path = path.resolve()
        folder = path if path.is_dir() else path.parent
        root = _experiment_above(folder)
        if root is not None:
            parts = found.setdefault(root, [] if root == folder else [folder])
            if root == folder:
                parts.clear()
            elif parts and folder not in parts:
                parts.append(folder)
            continue
        below = list(_experiments_below(folder))
        if not below:
            raise UsageError(
                f"{path}: no {CONFIG} here, above or below, so this is no experiment; `anipipe init` writes one"
            )
        for root in below:
            found.setdefault(root, []).clear()
    return found


def walk(root: Path) -> Experiment:
    """Read an experiment's folders and configurations.

    Raises
    ------
    ConfigError
        If the experiment's own ``config.toml`` cannot be used; what is wrong with those below is told in
        :attr:`Experiment.problems`.
    """
    return _Walker(root).walk()


class _Walker:
    def __init__(self, root: Path) -> None:
        self.root = root
        self._resolved: dict[tuple[int, ...], Resolved] = {}
        self._layers: list[Layer] = []
        self._visited: set[tuple[int, int]] = set()
        self._links: list[tuple[str, tuple[Layer, ...], int, Sequence[Unit]]] = []
        self.top = self._resolve((self._read(root / CONFIG),))
        self.experiment = Experiment(root, self.top)

    def walk(self) -> Experiment:
        experiment = self.experiment
        self._visit("", (self._layers[0],), 0, ())
        while self._links:  # after all real folders, so that what is linked twice is met under its own name
            self._visit(*self._links.pop(0))
        config = self.top.config
        names = {
            **_folder_names(self.top),
            "session": "",
            "project": config.project or self.root.name,
        }
        related: dict[str, list[Unit]] = {"video": [], "trial": [], "session": [], "calibration": []}
        for unit in experiment.units:
            related[unit.kind].append(unit)
        whole = Unit("experiment", "", "", "experiment", "", names, self.top, {}, related)
        experiment.units.append(whole)
        seen = dict.fromkeys(text for resolved in self._resolved.values() for text in resolved.warnings)
        experiment.notices.extend(seen)
        return experiment

    def _read(self, path: Path) -> Layer:
        layer = read_layer(path)
        self._layers.append(layer)
        return layer

    def _resolve(self, layers: tuple[Layer, ...]) -> Resolved:
        key = tuple(map(id, layers))
        if key not in self._resolved:
            self._resolved[key] = resolve(layers)
        return self._resolved[key]

    def _visit(
        self, folder: str, layers: tuple[Layer, ...], depth: int, calibrations: Sequence[Unit]
    ) -> None:
        """Look at one folder, and then at those in it; ``calibrations`` has the nearest one above, if any."""
        path = self.root / folder
        try:
            stat = path.stat()
            if (stat.st_dev, stat.st_ino) in self._visited:
                return
            self._visited.add((stat.st_dev, stat.st_ino))
            entries = sorted(os.scandir(path), key=lambda entry: natural(entry.name))
        except OSError as error:
            self._problem(folder, f"{path}: cannot be read: {error.strerror}")
            return
        try:
            if folder and any(entry.name == CONFIG and entry.is_file() for entry in entries):
                layers = (*layers, self._read(path / CONFIG))
            resolved = self._resolve(layers)
        except ConfigError as error:
            self._problem(folder, str(error))
            return
        names = _folder_names(resolved)
        inside = [entry for entry in entries if entry.is_dir()]
        calibration = self._calibration(folder, names, {entry.name for entry in inside}, resolved)
        if calibration is not None:
            calibrations = (calibration,)
        holding = [names[key] for key in _SESSION_FOLDERS]
        if any(entry.name in holding for entry in inside):
            self._session_or_problem(folder, depth, resolved, calibrations)
        own = {*names.values(), RESOLVED_FOLDER}
        for entry in inside:
            if entry.name in own or entry.name.startswith("."):
                continue
            below = (_join(folder, entry.name), layers, depth + 1, calibrations)
            if entry.is_symlink():
                self._links.append(below)
            else:
                self._visit(*below)

    def _problem(self, where: str, message: str) -> None:
        self.experiment.problems.append(Problem(where, message))

    def _calibration(
        self, folder: str, names: Mapping[str, str], inside: set[str], resolved: Resolved
    ) -> Unit | None:
        results, recordings = names["calibration_results"], names["calibration_videos"]
        files = [
            name
            for sub in dict.fromkeys((results, recordings))
            if sub in inside
            for name in _listed(self.root, folder, sub)
        ]
        if not any(
            name == "calibration.toml" or _suffix(name) in VIDEO_SUFFIXES | IMAGE_SUFFIXES for name in files
        ):
            return None
        unit = Unit(
            kind="calibration",
            label=_join(folder, results),
            home=folder,
            key="calibration",
            group=folder,
            names={**names, "session": f"{folder}/" if folder else ""},
            settings=resolved,
            related={},
        )
        self.experiment.units.append(unit)
        return unit

    def _session_or_problem(
        self, folder: str, depth: int, resolved: Resolved, calibrations: Sequence[Unit]
    ) -> None:
        nesting = resolved.config.nesting
        shown = folder or "."
        if nesting is not None and nesting >= 0 and depth != nesting:
            self.experiment.notices.append(
                f"{shown} looks like a session, but lies {depth} folders deep and nesting = {nesting}; passed over "
                "(leave `nesting` out to have sessions found at any depth)"
            )
            return
        try:
            _check_shared_calibration(resolved, calibrations)
            session = self._session(folder, resolved, calibrations)
        except DataError as error:
            self._problem(folder, str(error))
            return
        if not session.related["video"]:
            self.experiment.notices.append(f"{shown}: an empty session, with no video and no 2D pose in it")

    def _session(self, folder: str, resolved: Resolved, calibrations: Sequence[Unit]) -> Unit:
        config = resolved.config
        names = {
            **_folder_names(resolved),
            "session": f"{folder}/" if folder else "",
            "project": config.project or self.root.name,
        }
        related: dict[str, list[Unit]] = {"video": [], "trial": [], "calibration": list(calibrations)}
        session = Unit("session", folder or ".", folder, "session", folder, names, resolved, {}, related)
        related["session"] = [session]
        found = _videos(self.root, folder, names)
        pattern = re.compile(config.triangulation.cam_regex) if config.triangulation.cam_regex else None
        trials: dict[str, list[tuple[str, str]]] = {}
        for video in sorted(found, key=natural):
            camera, trial = _split(video, pattern, self.root / folder)
            trials.setdefault(trial, []).append((camera, video))
        for trial, views in trials.items():
            _check_cameras(views, self.root / folder)
            part = _part_name(_join(folder, trial))
            trial_unit = self._unit(session, "trial", trial, {"trial": trial, "part": part})
            for camera, video in views:
                view = self._unit(session, "video", video, {"trial": trial, "camera": camera, "video": video})
                view.files = found[video]
                view.related = {**related, "video": [view], "trial": [trial_unit]}
                trial_unit.related.setdefault("video", []).append(view)
                related["video"].append(view)
            trial_unit.related |= {"session": [session], "calibration": related["calibration"]}
            related["trial"].append(trial_unit)
        self.experiment.units += [session, *related["trial"], *related["video"]]
        return session

    @staticmethod
    def _unit(session: Unit, kind: str, name: str, names: dict[str, str]) -> Unit:
        label = _join(session.home, name)
        return Unit(
            kind, label, session.home, name, session.group, {**session.names, **names}, session.settings
        )


def _videos(root: Path, folder: str, names: Mapping[str, str]) -> dict[str, dict[str, tuple[str, ...]]]:
    """Return the videos of a session by name, each with the files that were found of it."""
    found: dict[str, dict[str, tuple[str, ...]]] = {}
    for kind in ("videos_uncompressed", "videos_raw"):
        for name in _listed(root, folder, names[kind]):
            stem, suffix = name[: len(name) - len(_suffix(name))], _suffix(name)
            if suffix not in VIDEO_SUFFIXES:
                continue
            files = found.setdefault(stem, {})
            path = _join(folder, f"{names[kind]}/{name}")
            if kind in files:
                raise DataError(
                    f"{root / files[kind][0]} and {root / path} are both video {stem!r}; remove or rename one"
                )
            files[kind] = (path,)
    for video, chosen in _predictions(_listed(root, folder, names["predictions"])).items():
        paths = tuple(_join(folder, f"{names['predictions']}/{name}") for name in chosen)
        found.setdefault(video, {})["prediction"] = paths
    for name in _listed(root, folder, names["pose_2d"]):
        if _suffix(name) == ".h5":
            found.setdefault(name[:-3], {})
    return found


def _predictions(names: Sequence[str]) -> dict[str, list[str]]:
    """Return the prediction files of each video, with DeepLabCut's record of the crop where there is one.

    Of one prediction in several formats only the best is an input, so that the others may come and go.
    """
    best: dict[str, tuple[int, str]] = {}
    for name in names:
        for rank, suffix in enumerate(PREDICTION_SUFFIXES):
            if name.casefold().endswith(suffix):
                stem = name[: -len(suffix)].removesuffix(".predictions")
                best[stem] = min(best.get(stem, (rank, name)), (rank, name))
                break
    there = set(names)
    found: dict[str, list[str]] = {}
    for _, name in best.values():
        meta = meta_for(Path(name)).name
        found.setdefault(video_of(name), []).extend([name, meta] if meta in there else [name])
    return found


def _split(video: str, pattern: re.Pattern[str] | None, session: Path) -> tuple[str, str]:
    """Return the camera of a video, and the name of its trial."""
    if pattern is None:
        return "", video
    match = pattern.search(video)
    if match is None:
        raise DataError(
            f"{session}: video {video!r} has no camera in its name that triangulation.cam_regex = "
            f"{pattern.pattern!r} would find; rename the file or change the key"
        )
    # What remains when every camera name is taken out; a name that is all camera still needs a trial.
    return match.group(1), pattern.sub("", video).strip() or "trial"


def _check_cameras(views: Sequence[tuple[str, str]], session: Path) -> None:
    taken: dict[str, str] = {}
    for camera, video in views:
        if camera in taken:
            raise DataError(
                f"{session}: videos {taken[camera]!r} and {video!r} are both of camera {camera!r} in one trial; "
                "rename one, or make triangulation.cam_regex tell them apart"
            )
        taken[camera] = video


def _check_shared_calibration(resolved: Resolved, calibrations: Sequence[Unit]) -> None:
    """Refuse settings of a calibration that stand below its folder, where they could have no effect."""
    for unit in calibrations:
        shared: Resolved = unit.settings
        if shared is resolved:
            continue
        ours, theirs = resolved.config, shared.config
        changed = [
            f"calibration.{name}"
            for name, value in theirs.calibration
            if getattr(ours.calibration, name) != value
        ]
        if ours.triangulation.cam_regex != theirs.triangulation.cam_regex:
            changed.append("triangulation.cam_regex")
        if changed:
            files = dict.fromkeys(str(resolved.origins[key]) for key in changed if resolved.origins.get(key))
            raise DataError(
                f"{', '.join(files)}: sets {', '.join(changed)}, but the calibration in {unit.label} is shared with other "
                "sessions; set it beside that folder, or give this session a calibration folder of its own"
            )


def _experiment_above(folder: Path) -> Path | None:
    """Return the topmost folder, from ``folder`` upwards, whose ``config.toml`` is one of ours."""
    found = None
    for candidate in (folder, *folder.parents):
        if (candidate / CONFIG).is_file() and _is_ours(candidate / CONFIG):
            found = candidate
    return found


def _is_ours(path: Path) -> bool:
    """Say whether a ``config.toml`` may be meant for anipipe: other programs use that name too."""
    try:
        values = read_layer(path).values
    except ConfigError:
        return True  # broken: let it be named rather than passed over
    from anipipe.config import Config

    return not values or any(name in Config.model_fields for name in values)


def _experiments_below(folder: Path) -> Iterable[Path]:
    for path, folders, files in os.walk(folder):
        here = Path(path)
        if CONFIG in files and _is_ours(here / CONFIG):
            folders.clear()
            yield here
        folders[:] = sorted((name for name in folders if not name.startswith(".")), key=natural)


def _folder_names(resolved: Resolved) -> dict[str, str]:
    return dict(resolved.config.pipeline)


def _listed(root: Path, folder: str, sub: str) -> list[str]:
    """Return the names of the files in a sub-folder, in natural order; hidden ones are nobody's."""
    try:
        with os.scandir(root / folder / sub) as entries:
            names = [entry.name for entry in entries if entry.name[0] != "." and entry.is_file()]
    except (FileNotFoundError, NotADirectoryError):
        return []
    return sorted(names, key=natural)


def _suffix(name: str) -> str:
    return os.path.splitext(name)[1].casefold()  # noqa: PTH122 - called for every file of a lab


def _part_name(label: str) -> str:
    """Return a file name that tells a trial from all others: readers of parquet folders skip names with ``_``."""
    return "part-" + label.replace("%", "%25").replace("~", "%7E").replace("/", "~")


def _join(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name


def _relative(root: Path, folder: Path) -> str:
    relative = folder.resolve().relative_to(root).as_posix()
    return "" if relative == "." else relative
