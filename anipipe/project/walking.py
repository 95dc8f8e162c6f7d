"""The walker: experiments, sessions, trials and cameras, as they lie in folders.

An experiment is a folder whose ``config.toml`` has no experiment above it. A session is a folder in it that
holds ``videos-raw``, ``videos-uncompressed``, ``predictions`` or ``pose-2d``; a trial is the videos of one
session that agree once the camera is taken out of their names. The walk ends in the engine's units.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from anipipe.config import Layer, Resolved, read_layer, resolve
from anipipe.engine.declare import Unit
from anipipe.errors import ConfigError, DataError, NotHereError
from anipipe.guards import check_names, visible
from anipipe.project.calibrations import check_shared, find_calibration
from anipipe.project.finding import (
    CONFIG,
    DEEPEST,
    RESOLVED_FOLDER,
    absolute,
    inside,
    is_ours,
    judge_link,
)
from anipipe.project.models import Models, name_joints
from anipipe.project.naming import (
    check_cameras,
    find_videos,
    join,
    natural,
    part_name,
    split_name,
)

#: DeepLabCut's and Anipose's folder of labelled frames, with copies of configurations in it.
_LABELED_DATA = "labeled-data"
#: What holds for all sessions together.
_OF_THE_EXPERIMENT = ("path", "nesting", "summaries", "pipeline.summaries", "jobs", "cluster", "nightly")
_RESULT_FOLDERS = ("pose_2d_filter", "pose_3d", "pose_3d_filter", "angles")
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
        Board recordings, calibrations, sessions, trials, videos, and last the experiment itself.
    problems : list of Problem
        Sessions, or folders of sessions, that cannot be processed.
    dangling : list of str
        Links that lead nowhere, perhaps to sessions on a disk that is not mounted.
    notices : list of str
        What a user should know about folders that were passed over, and about settings.
    objections : dict
        Why what is to be made for a unit cannot be.
    joints : dict
        What the network of a video finds, where its files say so.
    """

    root: Path
    settings: Resolved
    units: list[Unit] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    dangling: list[str] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)
    objections: dict[Unit, list[str]] = field(default_factory=dict)
    joints: dict[Unit, tuple[str, ...]] = field(default_factory=dict)

    def of(self, kind: str) -> list[Unit]:
        """Return the units of one kind."""
        return [unit for unit in self.units if unit.kind == kind]

    def below(self, folders: Iterable[Path]) -> list[Unit]:
        """Return the units of the sessions in or below ``folders``, their calibrations, and the experiment.

        Raises
        ------
        NotHereError
            If a folder holds no session.
        """
        chosen: dict[Unit, None] = {}
        for folder in folders:
            wanted = inside(self.root, folder)
            # A folder above sessions, a session, or a folder in one.
            sessions = [
                s
                for s in self.of("session")
                if not wanted or _within(s.home, wanted) or _within(wanted, s.home)
            ]
            broken = [p for p in self.problems if not wanted or _within(p.where, wanted)]
            if not sessions and not broken:
                known = ", ".join(s.label for s in self.of("session")[:8]) or "none at all"
                raise NotHereError(f"{folder}: no session here; sessions of {self.root}: {known}")
            for session in sessions:
                chosen.setdefault(session)
                for group in session.related.values():
                    chosen.update(dict.fromkeys(group))
                for calibration in session.related["calibration"]:
                    chosen.update(dict.fromkeys(calibration.related["board"]))
        return list(chosen)


def walk(root: Path) -> Experiment:
    """Read an experiment's folders and configurations.

    Raises
    ------
    ConfigError
        If the experiment's own ``config.toml`` cannot be used; what is wrong with those below is told in
        :attr:`Experiment.problems`.
    """
    return _Walker(absolute(root)).walk()


class _Walker:
    def __init__(self, root: Path) -> None:
        self._resolved: dict[tuple[int, ...], Resolved] = {}
        self._layers: list[Layer] = []
        self._visited: set[tuple[int, int]] = set()
        self._links: list[tuple[str, tuple[Layer, ...], int, Sequence[Unit]]] = []
        self.top = self._resolve((self._read(root / CONFIG),))
        if self.top.config.path is not None:  # the recordings may lie elsewhere than their configuration
            root = absolute(root / Path(self.top.config.path).expanduser())
            if not root.is_dir():
                raise ConfigError(f"{self._layers[0].path}: path = {root}: there is no such folder")
        self.root = root
        self.experiment = Experiment(root, self.top)
        self.models = Models(root)

    def walk(self) -> Experiment:
        experiment = self.experiment
        self._visit("", (self._layers[0],), 0, ())
        while self._links:  # after all real folders, so that what is linked twice is met under its own name
            link = self._links.pop(0)
            follow, remark = judge_link(self.root, link[0])
            self.experiment.notices += [remark] if remark else []
            if follow:
                self._visit(*link)
        config = self.top.config
        names = {
            **_folder_names(self.top),
            "session": "",
            "project": config.project or self.root.name,
        }
        related: dict[str, list[Unit]] = {"video": [], "trial": [], "session": [], "calibration": []}
        for unit in experiment.units:
            related.setdefault(unit.kind, []).append(unit)
        whole = Unit("experiment", "", "", "experiment", "", names, self.top, {}, related)
        experiment.units.append(whole)
        if not related["session"] and not experiment.problems:
            holding = ", ".join(f"SESSION/{names[key]}/" for key in _SESSION_FOLDERS)
            text = f"no session in {self.root}: it would hold one of {holding}"
            if any(unit.related["board"] for unit in related["calibration"]):
                experiment.notices.append(text)  # cameras are often calibrated before the first recording
            else:
                self._problem("", text)
        seen = dict.fromkeys(text for resolved in self._resolved.values() for text in resolved.warnings)
        experiment.notices += [*seen, *self.models.notices()]
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
        if depth > DEEPEST:
            self.experiment.notices.append(f"{folder}: {depth} folders deep; nothing in it is looked at")
            return
        try:
            stat = path.stat()
            if (stat.st_dev, stat.st_ino) in self._visited:
                return
            self._visited.add((stat.st_dev, stat.st_ino))
            entries = sorted(os.scandir(path), key=lambda entry: natural(entry.name))
            if folder and any(entry.name == CONFIG for entry in entries):
                layers = self._layers_below(folder, layers)
            resolved = self._resolve(layers)
            names = _folder_names(resolved)
            inside = [entry for entry in entries if entry.name[0] != "." and self._is_folder(folder, entry)]
            calibration = self._calibration(
                folder, names, {entry.name for entry in inside}, resolved, bool(calibrations)
            )
        except ConfigError as error:
            self._problem(folder, str(error))
            return
        except OSError as error:
            self._problem(folder, f"{error.filename or path}: cannot be read: {error.strerror}")
            return
        if calibration is not None:
            calibrations = (calibration,)
        holding = [names[key] for key in _SESSION_FOLDERS]
        if any(entry.name in holding for entry in inside):
            self._session_or_problem(folder, depth, resolved, calibrations)
        elif any(entry.name == names[key] for entry in inside for key in _RESULT_FOLDERS):
            self.experiment.notices.append(
                f"{folder or '.'}: passed over, it holds results but none of {', '.join(holding)}, by which "
                "a session is known"
            )
        own = {*names.values(), RESOLVED_FOLDER, _LABELED_DATA}
        for entry in inside:
            if entry.name in own:
                self._look_for_lost_session(join(folder, entry.name), holding)
                continue
            below = (join(folder, entry.name), layers, depth + 1, calibrations)
            if entry.is_symlink():
                self._links.append(below)
            else:
                self._visit(*below)

    def _layers_below(self, folder: str, layers: tuple[Layer, ...]) -> tuple[Layer, ...]:
        """Add the settings of a folder below the experiment's, unless they are another program's.

        Raises
        ------
        ConfigError
            If they cannot be used, or set what only the experiment can.
        """
        path = self.root / folder / CONFIG
        if not is_ours(path):
            self.experiment.notices.append(f"{path}: passed over, it holds no key of anipipe's")
            return layers
        layer = self._read(path)
        whole = [key for key in _OF_THE_EXPERIMENT if _sets(layer.values, key)]
        if whole:
            raise ConfigError(f"{path}: {', '.join(whole)} can only be set in the experiment's own {CONFIG}")
        return (*layers, layer)

    def _is_folder(self, folder: str, entry: os.DirEntry[str]) -> bool:
        try:
            if entry.is_symlink() and not (self.root / folder / entry.name).exists():
                raise OSError("")
            return entry.is_dir()
        except OSError:
            where = join(folder, entry.name)
            self.experiment.dangling.append(where)
            return False

    def _look_for_lost_session(self, folder: str, holding: Sequence[str]) -> None:
        place = f"{self.root}{os.sep}{folder}{os.sep}"  # as text: this is done for every folder of a lab
        if any(os.path.isdir(place + name) for name in holding):  # noqa: PTH112 - False, not an error
            self.experiment.notices.append(
                f"{folder} looks like a session, but is called like a folder of results: passed over"
            )

    def _problem(self, where: str, message: str) -> None:
        self.experiment.problems.append(Problem(visible(where), message))

    def _calibration(
        self, folder: str, names: Mapping[str, str], inside: set[str], resolved: Resolved, above: bool
    ) -> Unit | None:
        found = find_calibration(self.root, folder, names, inside, resolved, above=above)
        if found is None:
            return None
        self.experiment.notices += found.notices
        if found.objections:
            self.experiment.objections[found.unit] = found.objections
        self.experiment.units += [*found.unit.related["board"], found.unit]
        return found.unit

    def _session_or_problem(
        self, folder: str, depth: int, resolved: Resolved, calibrations: Sequence[Unit]
    ) -> None:
        nesting = resolved.config.nesting
        shown = folder or "."
        if nesting is not None and nesting >= 0 and depth != nesting:
            self.experiment.notices.append(
                f"{shown} looks like a session, but lies {depth} folders deep and nesting = {nesting}; "
                "passed over (leave `nesting` out to have sessions found at any depth)"
            )
            return
        try:
            check_shared(resolved, calibrations)
            session = self._session(folder, resolved, calibrations)
        except DataError as error:
            self._problem(folder, str(error))
            return
        except OSError as error:
            self._problem(folder, f"{error.filename}: cannot be read: {error.strerror}")
            return
        if not session.related["video"]:
            self.experiment.notices.append(f"{shown}: an empty session, with no video and no 2D pose in it")

    def _session(self, folder: str, resolved: Resolved, calibrations: Sequence[Unit]) -> Unit:
        config = resolved.config
        check_names([folder], self.root)
        names = {
            **_folder_names(resolved),
            "session": f"{folder}/" if folder else "",
            "project": config.project or self.root.name,
        }
        related: dict[str, list[Unit]] = {"video": [], "trial": [], "calibration": list(calibrations)}
        session = Unit("session", folder or ".", folder, "session", folder, names, resolved, {}, related)
        related["session"] = [session]
        found = find_videos(self.root, folder, names)
        check_names(found, self.root / folder)
        pattern = re.compile(config.triangulation.cam_regex) if config.triangulation.cam_regex else None
        trials: dict[str, list[tuple[str, str]]] = {}
        for video in sorted(found, key=natural):
            files = [path for paths in found[video].values() for path in paths]
            try:
                where = f"{self.root}{os.sep}{files[0] if files else folder}"
                camera, trial = split_name(video, pattern, where)
            except DataError:
                if files:
                    raise
                pose = join(folder, f"{names['pose_2d']}/{video}.h5")  # what nothing else is called after
                self.experiment.notices.append(f"{pose}: passed over, there is no camera in its name")
                continue
            trials.setdefault(trial, []).append((camera, video))
        for trial, views in trials.items():
            check_cameras(views, self.root / folder)
            part = part_name(join(folder, trial))
            trial_unit = self._unit(session, "trial", trial, {"trial": trial, "part": part})
            for camera, video in views:
                view = self._unit(session, "video", video, {"trial": trial, "camera": camera, "video": video})
                view.files = found[video]
                self._assign_model(view)
                view.related = {**related, "video": [view], "trial": [trial_unit]}
                trial_unit.related.setdefault("video", []).append(view)
                for unit in calibrations:
                    if unit.settings.config.calibration.animal_calibration:
                        unit.related.setdefault("video", []).append(view)
                related["video"].append(view)
            trial_unit.related |= {"session": [session], "calibration": related["calibration"]}
            related["trial"].append(trial_unit)
        name_joints([*related["trial"], *related["video"]], self.experiment.joints)
        self.experiment.units += [session, *related["trial"], *related["video"]]
        return session

    def _assign_model(self, view: Unit) -> None:
        try:
            joints = self.models.assign(view)
        except DataError as error:
            self.experiment.objections[view] = [str(error)]
        else:
            if joints:
                self.experiment.joints[view] = joints

    @staticmethod
    def _unit(session: Unit, kind: str, name: str, names: dict[str, str]) -> Unit:
        label = join(session.home, name)
        names = {**session.names, **names}
        batch = join(session.home, names["trial"])
        return Unit(kind, label, session.home, name, session.group, names, session.settings, batch=batch)


def _within(inner: str, outer: str) -> bool:
    """Say whether a folder is, or lies in, another one that is not the root."""
    return bool(outer) and f"{inner}/".startswith(f"{outer}/")


def _sets(values: Mapping[str, Any], key: str) -> bool:
    """Say whether a file sets a dotted key, or anything in a section."""
    inner: Any = values
    for name in key.split("."):
        if not isinstance(inner, Mapping) or name not in inner:
            return False
        inner = inner[name]
    return True


def _folder_names(resolved: Resolved) -> dict[str, str]:
    return dict(resolved.config.pipeline)
