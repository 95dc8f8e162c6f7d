"""A DeepLabCut 3 project: what it says of itself, and where its files are.

A network trained here lies where DeepLabCut looks for its own, with all that it asks for beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from anipipe.errors import ConfigError, DataError
from anipipe.networks.deeplabcut_sources import CONFIG, MODELS
from anipipe.networks.settings_files import checked_joints, read_settings
from anipipe.networks.training.batches import read_picture
from anipipe.networks.training.configs import write_yaml

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


@dataclass(frozen=True)
class Project:
    """What a project's ``config.yaml`` says.

    Attributes
    ----------
    folder : Path
        Where it lies, whatever ``project_path`` says: projects are moved.
    task, date, scorer : str
    joints : tuple of str
    iteration : int
        Of labelling and training.
    fractions : tuple of float
        Of the frames, to learn from; the first is the usual one.
    cutoff : float
        Scores below this count as "not found" (``pcutoff``).
    """

    folder: Path
    task: str
    date: str
    scorer: str
    joints: tuple[str, ...]
    iteration: int
    fractions: tuple[float, ...]
    cutoff: float

    @property
    def datasets(self) -> Path:
        """The folder of training datasets."""
        name = f"UnaugmentedDataSet_{self.task}{self.date}"
        return self.folder / "training-datasets" / f"iteration-{self.iteration}" / name

    @property
    def collected(self) -> Path:
        """All labels, as they were when the training datasets were made; without the ending."""
        return self.datasets / f"CollectedData_{self.scorer}"

    @property
    def models(self) -> Path:
        """The folder of networks."""
        return self.folder / MODELS / f"iteration-{self.iteration}"


@dataclass(frozen=True)
class Shuffle:
    """One division of the frames, and the network that learns from it.

    Attributes
    ----------
    project : Project
    number : int
    fraction : float
        Nominal share of the frames to learn from.
    """

    project: Project
    number: int
    fraction: float

    @property
    def _percent(self) -> int:
        return int(100 * self.fraction)  # as DeepLabCut counts: 0.29 gives 28

    @property
    def name(self) -> str:
        """What its folders are called."""
        return f"{self.project.task}{self.project.date}-trainset{self._percent}shuffle{self.number}"

    @property
    def model(self) -> Path:
        """The network's folder."""
        return self.project.models / self.name

    @property
    def train(self) -> Path:
        """Where snapshots go."""
        return self.model / "train"

    @property
    def config(self) -> Path:
        """The settings of the training."""
        return self.train / CONFIG

    @property
    def evaluation(self) -> Path:
        """Where results of the evaluation go."""
        folder = self.project.folder / "evaluation-results-pytorch"
        return folder / f"iteration-{self.project.iteration}" / self.name

    @property
    def documentation(self) -> Path:
        """Holds the division of the frames."""
        name = f"Documentation_data-{self.project.task}_{self._percent}shuffle{self.number}.pickle"
        return self.project.datasets / name

    @property
    def matrix(self) -> Path:
        """The frames to learn from, for DeepLabCut."""
        name = f"{self.project.task}_{self.project.scorer}{self._percent}shuffle{self.number}.mat"
        return self.project.datasets / name


def open_project(folder: Path) -> Project:
    """Read a project's ``config.yaml``.

    Parameters
    ----------
    folder
        The project, or its ``config.yaml``.

    Raises
    ------
    DataError
        There is none, or it cannot be read.
    ConfigError
        A key that is missing or makes no sense; several animals.
    """
    path = folder if folder.name == "config.yaml" else folder / "config.yaml"
    if not path.is_file():
        raise DataError(
            f"{path}: there is no such file. Name the folder of a DeepLabCut project, or one that holds "
            "labeled-data with tables of labels (CollectedData_…)."
        )
    config = read_settings(path)
    if config.get("multianimalproject"):
        raise ConfigError(
            f"{path}: multianimalproject: anipipe trains networks for one animal. Train it with "
            "DeepLabCut; its predictions can be imported."
        )
    missing = [key for key in ("Task", "scorer", "date", "bodyparts") if not config.get(key)]
    if missing:
        raise ConfigError(f"{path}: {', '.join(missing)} is not set. A DeepLabCut project names it.")
    fractions = config.get("TrainingFraction") or [0.95]
    try:
        return Project(
            folder=path.parent,
            task=str(config["Task"]),
            date=str(config["date"]),
            scorer=str(config["scorer"]),
            joints=checked_joints(config["bodyparts"], f"{path}: bodyparts"),
            iteration=int(config.get("iteration") or 0),
            fractions=tuple(float(one) for one in fractions),
            cutoff=float(config.get("pcutoff", 0.6)),
        )
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{path}: iteration, TrainingFraction or pcutoff is no number: {error}") from error


def _videos(labelled: Path) -> dict[str, dict[str, str]]:
    """Return what DeepLabCut knows folders of labelled frames by: the videos that they are called after."""
    found = {}
    for place in sorted(path for path in labelled.iterdir() if path.is_dir()):
        picture = next((path for path in sorted(place.iterdir()) if path.suffix == ".png"), None)
        height, width = (0, 0) if picture is None else read_picture(picture).shape[:2]
        found[f"videos/{place.name}.mp4"] = {"crop": f"0, {width}, 0, {height}"}
    return found


def write_project(folder: Path, scorer: str, joints: Sequence[str]) -> Path:
    """Write a ``config.yaml`` for a folder that has labels and none; returns its path."""
    today = date.today()
    path = folder / "config.yaml"
    write_yaml(
        {
            "Task": folder.absolute().name,
            "scorer": scorer,
            "date": f"{_MONTHS[today.month - 1]}{today.day}",
            "multianimalproject": False,
            "identity": False,
            "project_path": str(folder.absolute()),
            "engine": "pytorch",
            "video_sets": _videos(folder / "labeled-data"),
            "bodyparts": list(joints),
            "start": 0,
            "stop": 1,
            "numframes2pick": 20,
            "skeleton": [],
            "skeleton_color": "black",
            "pcutoff": 0.6,
            "dotsize": 8,
            "alphavalue": 0.7,
            "colormap": "rainbow",
            "TrainingFraction": [0.95],
            "iteration": 0,
            "default_net_type": "resnet_50",
            "default_augmenter": "albumentations",
            "snapshotindex": -1,
            "detector_snapshotindex": -1,
            "batch_size": 8,
            "detector_batch_size": 1,
            "cropping": False,
            "x1": 0,
            "x2": 640,
            "y1": 0,
            "y2": 480,
            "corner2move2": [50, 50],
            "move2corner": True,
        },
        path,
    )
    return path


def find_shuffle(project: Project, number: int) -> Shuffle:
    """Find a training dataset by its number.

    Raises
    ------
    DataError
        There is none, or there are several of that number.
    """
    found = [
        one for one in (Shuffle(project, number, part) for part in project.fractions) if one.config.is_file()
    ]
    if len({one.name for one in found}) == 1:
        return found[0]
    there = sorted(path.parent.parent.name for path in project.models.glob(f"*/train/{CONFIG}"))
    if found:
        raise DataError(
            f"{project.models}: several are shuffle {number}: {', '.join(one.name for one in found)}. Leave "
            "one of their fractions in TrainingFraction of config.yaml."
        )
    raise DataError(
        f"{project.models}: there is no shuffle {number} to train. Make it with "
        "`anipipe create-training-dataset`"
        + (f", or choose with --shuffle among {', '.join(there)}." if there else ".")
    )
