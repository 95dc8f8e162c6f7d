"""Opening an experiment: its folders, what is on disk, what is recorded, and the jobs that follow."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from anipipe.artifacts import POSE_2D
from anipipe.config import Resolved, default, joints_named, lookup, nearest
from anipipe.engine.declare import Registry
from anipipe.engine.digest import Disk
from anipipe.engine.freshness import State
from anipipe.engine.jobs import Job
from anipipe.engine.plan import Plan
from anipipe.engine.records import OWN_FOLDER, Records
from anipipe.guards import visible
from anipipe.project import Experiment, Problem, walk
from anipipe.suggest import no_joint

#: Keys and sections whose stages this version lacks, and what that means where they are set.
NOT_YET = {
    "triangulation.weights": "this version has no error model yet; all 2D points count alike",
}
#: Values that are not the default and still ask for nothing that is lacking.
_HARMLESS = {"triangulation.weights": ("score",)}
_NOWHERE = "a link that leads nowhere (to a disk that is not mounted?)"
#: Kinds of units whose jobs name joints.
_POSED = ("video", "trial")


@dataclass
class Opened:
    """An experiment with its plan.

    Attributes
    ----------
    folders : tuple of str
        What was asked for, relative to the root; everything if empty.
    """

    experiment: Experiment
    disk: Disk
    plan: Plan
    folders: tuple[str, ...] = ()

    @property
    def restricted(self) -> bool:
        """Whether only some sessions were asked for."""
        return bool(self.folders)

    def restrict(self, folders: Sequence[str]) -> None:
        """Note which folders, relative to the root, were asked for."""
        self.folders = tuple(folder for folder in folders if folder)

    def forget(self) -> None:
        """Forget what was seen on disk and in the records so far."""
        self.disk = Disk(self.disk.root, notes_path(self.disk.root))
        self.plan.disk = self.disk
        self.plan.records.look_again()

    def look_ahead(self, *, retrying: bool = True) -> None:
        """Give every job its verdict, and check the joints that settings name where they are known by now.

        Parameters
        ----------
        retrying : bool
            See :meth:`Plan.examine_all`.
        """
        self.plan.examine_all(retrying=retrying)
        if self._object_to_unknown_joints():
            self.plan.examine_all(retrying=retrying)

    def problems(self) -> list[str]:
        """Say what is wrong that is no job's failure."""
        texts = []
        for problem in self.experiment.problems:
            if not self.folders or any(_touches(problem.where, folder) for folder in self.folders):
                head = f"{problem.where}: cannot be processed\n" if problem.where else ""
                texts.append(head + problem.message)
        texts += [f"{problem.where}: {problem.message}" for problem in self.unreachable()]
        return [*texts, *self._unknown_cameras(), *self._unknown_joints_of_no_job()]

    def unreachable(self) -> list[Problem]:
        """Return the links that lead nowhere, and behind which there were sessions before."""
        return [Problem(visible(where), _NOWHERE) for where in self._dangling(known=True)]

    def notices(self) -> list[str]:
        """Say what a user should know about folders and settings."""
        settings = {id(unit.settings): unit.settings for unit in self.experiment.units}.values()
        texts = dict.fromkeys(text for resolved in settings for text in _without_effect(resolved))
        lost = [f"{visible(where)}: {_NOWHERE}" for where in self._dangling(known=False)]
        return [*self.experiment.notices, *lost, *texts]

    def _dangling(self, *, known: bool) -> list[str]:
        """Return the links that lead nowhere: those that sessions were found behind before, or the others."""
        labels = [key.partition(":")[2] for key, _ in self.plan.records.jobs("")]
        return [
            where
            for where in self.experiment.dangling
            if known == any(label.startswith(f"{where}/") for label in labels)
        ]

    def _unknown_cameras(self) -> Iterator[str]:
        """Name cameras in settings that no video is of: what is said of them would have no effect."""
        cameras = dict.fromkeys(filter(None, (unit.names["camera"] for unit in self.experiment.of("video"))))
        if not cameras or self.restricted:
            return
        settings = {id(unit.settings): unit.settings for unit in self.experiment.of("session")}.values()
        told = set()
        for resolved in settings:
            for key in _keys_of_cameras(resolved):
                name = key.rpartition(".")[2]
                if name not in cameras and key not in told:
                    told.add(key)
                    near = nearest(name, cameras)
                    hint = f", did you mean {near!r}?" if near else ""
                    there = ", ".join(cameras)
                    yield f"{key}: no video is of a camera {name!r}{hint} (cameras: {there})"

    def _known_joints(self) -> dict[str, dict[str, None]]:
        """Return the joints of each session whose 2D poses are all there and will stay."""
        known: dict[str, dict[str, None]] = {}
        unknown = set()
        for job in self.plan.jobs:
            if POSE_2D not in job.outputs.values():
                continue
            joints = self.experiment.joints.get(job.unit)
            if self.plan.state(job).current:
                joints = self.plan.claims(job).notes.get("joints") or None
            if joints:
                known.setdefault(job.unit.group, {}).update(dict.fromkeys(joints))
            else:
                unknown.add(job.unit.group)
        return {session: joints for session, joints in known.items() if session not in unknown}

    def _unknown_joints(self) -> Iterator[tuple[str, str, str]]:
        """Yield session, key and text of each joint in settings that no 2D pose of the session has."""
        known = self._known_joints()
        for session in self.experiment.of("session"):
            joints = known.get(session.group)
            if joints is None:
                continue
            resolved: Resolved = session.settings
            for key, joint in joints_named(resolved.config):
                if joint not in joints:
                    yield session.group, key, f"{resolved.origins.get(key)}: {key}: {no_joint(joint, joints)}"

    def _object_to_unknown_joints(self) -> bool:
        """Block the jobs whose settings name a joint that is not there, before they are tried."""
        objections: dict[str, list[tuple[str, str]]] = {}
        for session, key, text in self._unknown_joints():
            objections.setdefault(session, []).append((key, text))
        for job in self.plan.jobs:
            if job.unit.kind in _POSED:
                for key, text in objections.get(job.unit.group, ()):
                    if job.has_option(key):
                        self.plan.objections.setdefault(job, []).append(text)
        return bool(self.plan.objections)

    def _unknown_joints_of_no_job(self) -> list[str]:
        told = (State.BLOCKED, State.FAILED)  # what was drawn without it, while it was not known yet, was not
        read = [j for j in self.plan.jobs if j.unit.kind in _POSED and self.plan.state(j) in told]
        texts: dict[str, list[str]] = {}
        for session, key, text in self._unknown_joints():
            if not any(job.unit.group == session and job.has_option(key) for job in read):
                texts.setdefault(text, []).append(session)
        return [f"{text} (in {_some(sessions)})" for text, sessions in texts.items()]


def notes_path(root: Path) -> Path:
    """Return where the sizes, times and digests of an experiment's files are noted."""
    return root / OWN_FOLDER / "stats.json"


def open_experiment(root: Path, registry: Registry) -> Opened:
    """Walk an experiment and plan its jobs.

    Raises
    ------
    ConfigError
        If its ``config.toml`` cannot be used.
    """
    experiment = walk(root)
    disk = Disk(experiment.root, notes_path(experiment.root))
    plan = Plan(registry, experiment.units, disk, Records(experiment.root))
    for job in plan.jobs:
        # What was found fault with on disk concerns the jobs that read what was found there.
        found = experiment.objections.get(job.unit, ()) if _reads_found(job) else ()
        objections = [*found, *_lacking_filters(job)]
        if objections:
            plan.objections[job] = objections
    return Opened(experiment, disk, plan)


def _keys_of_cameras(resolved: Resolved) -> list[str]:
    """Return the keys in settings that end in the name of a camera."""
    crop = resolved.config.network.crop
    boxes = crop if isinstance(crop, dict) else {}
    return [
        *(f"cameras.{name}" for name in resolved.config.cameras),
        *(f"network.crop.{name}" for name in boxes),
    ]


def _reads_found(job: Job) -> bool:
    return any(source.producer is None for source in job.sources)


def _lacking_filters(job: Job) -> list[str]:
    """Say which filters a job would need that there are none of, before it is tried for every video."""
    if job.stage.name != "filter":
        return []
    resolved: Resolved = job.unit.settings
    lacking = [name for name in resolved.config.filter.type if name.startswith("autoencoder")]
    return [
        f"{resolved.origins.get('filter.type')}: filter.type: this version has no {name}; there are medfilt "
        "and viterbi"
        for name in lacking
    ]


def _without_effect(resolved: Resolved) -> Iterator[str]:
    """Say which settings do nothing, and why."""
    config = resolved.config
    for key, text in NOT_YET.items():
        value = lookup(config, key)
        if value != default(key) and value not in _HARMLESS.get(key, ()):
            yield f"{key}: {text}"
    if config.angles and config.triangulation.cam_regex is None:
        yield "angles: they are of 3D poses, which need triangulation.cam_regex to tell the cameras apart"
    for table, section in (("pose_2d_filtered", "filter"), ("pose_3d_filtered", "filter3d")):
        if table in config.summaries.csv and not lookup(config, f"{section}.enabled"):
            yield f"summaries.csv: there is no table {table} unless {section}.enabled = true"


def _some(names: list[str]) -> str:
    shown = ", ".join(name or "." for name in names[:4])
    return shown if len(names) <= 4 else f"{shown} and {len(names) - 4} more sessions"


def _touches(where: str, folder: str) -> bool:
    return f"{where}/".startswith(f"{folder}/") or f"{folder}/".startswith(f"{where}/")
