"""Opening an experiment: its folders, what is on disk, what is recorded, and the jobs that follow."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from anipipe.config import Config, NetworkSettings, Resolved, joints_named
from anipipe.engine.declare import Registry
from anipipe.engine.digest import Disk
from anipipe.engine.plan import Plan
from anipipe.engine.records import OWN_FOLDER, Records
from anipipe.project import Experiment, walk
from anipipe.suggest import no_joint

#: Settings whose stages this version lacks: when they are in force, and what that means.
NOT_YET: tuple[tuple[Callable[[Config], bool], str], ...] = (
    (
        lambda config: config.filter.enabled,
        "filter.enabled: this version does not filter 2D poses; what follows uses the unfiltered ones",
    ),
    (
        lambda config: config.filter3d.enabled,
        "filter3d.enabled: this version does not filter 3D poses; what follows uses the unfiltered ones",
    ),
    (
        lambda config: config.triangulation.optim,
        "triangulation.optim: this version does not optimise; each point is triangulated by itself",
    ),
    (
        lambda config: config.triangulation.ransac,
        "triangulation.ransac: this version uses all cameras that see a point",
    ),
    (
        lambda config: config.triangulation.weights is not None,
        "triangulation.weights: this version gives all 2D points the same weight",
    ),
    (
        lambda config: config.triangulation.engine != "anipipe",
        "triangulation.engine: this version has none but its own",
    ),
    (
        lambda config: config.calibration.calibration_init is not None,
        "calibration_init: this version does not calibrate; it reads calibration/calibration.toml",
    ),
    (
        lambda config: config.network != NetworkSettings(),
        "network: this version runs no networks, so these settings have no effect",
    ),
    (
        lambda config: config.model_type not in (None, "import"),
        "model_type: this version runs no networks; what is in pose-2d/ is used as it is "
        '(model_type = "import" reads predictions/)',
    ),
)
#: What a job finds out for itself when it comes to a joint that is not there.
_CHECKED_BY_JOBS = ("angles", "triangulation.axes", "triangulation.reference_point")


@dataclass
class Opened:
    """An experiment with its plan."""

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
        self.plan.disk, self.plan.records = self.disk, Records(self.disk.root)

    def problems(self) -> list[str]:
        """Say what is wrong that is no job's failure."""
        texts = []
        for problem in self.experiment.problems:
            if not self.folders or any(_touches(problem.where, folder) for folder in self.folders):
                texts.append(f"{problem.where or '.'}: cannot be processed\n{problem.message}")
        return texts + unknown_joints(self)

    def notices(self) -> list[str]:
        """Say what a user should know about folders and settings."""
        configs = {id(unit.settings): unit.settings for unit in self.experiment.units}
        missing = [text for used, text in NOT_YET if any(used(s.config) for s in configs.values())]
        return [*self.experiment.notices, *missing]


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
    return Opened(experiment, disk, Plan(registry, experiment.units, disk, Records(experiment.root)))


def unknown_joints(opened: Opened) -> list[str]:
    """Name joints in settings that no 2D pose of the session has, where its poses are known by now.

    Those in settings that a job reads are left to that job, which fails.
    """
    known: dict[str, dict[str, None]] = {}
    settings: dict[str, Resolved] = {}
    for job in opened.plan.jobs:
        joints = opened.plan.claims(job).notes.get("joints") if job.unit.kind == "video" else None
        if joints:
            known.setdefault(job.unit.group, {}).update(dict.fromkeys(joints))
            settings[job.unit.group] = job.unit.settings
    texts: dict[str, list[str]] = {}
    for session, resolved in settings.items():
        for key, joint in joints_named(resolved.config):
            if joint in known[session] or key.startswith(_CHECKED_BY_JOBS):
                continue
            text = f"{resolved.origins.get(key)}: {key}: {no_joint(joint, known[session])}"
            texts.setdefault(text, []).append(session)
    return [f"{text} (in {_some(sessions)})" for text, sessions in texts.items()]


def _some(names: list[str]) -> str:
    shown = ", ".join(name or "." for name in names[:4])
    return shown if len(names) <= 4 else f"{shown} and {len(names) - 4} more sessions"


def _touches(where: str, folder: str) -> bool:
    return f"{where}/".startswith(f"{folder}/") or f"{folder}/".startswith(f"{where}/")
