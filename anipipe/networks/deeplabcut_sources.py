"""Which snapshot of a DeepLabCut 3 model is meant. No torch here."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from anipipe.errors import DataError
from anipipe.networks.architectures.refusals import refuse
from anipipe.networks.listings import Found, Listing, file_of, folder_of
from anipipe.networks.settings_files import Settings, read_settings

CONFIG = "pytorch_config.yaml"
SNAPSHOT = re.compile(r"snapshot(-best)?-(\d+)\.pt")

MODELS = "dlc-models-pytorch"
_DETECTOR = re.compile(r"snapshot-detector(-best)?-\d+\.pt")
_TENSORFLOW = re.compile(r"snapshot-\d+\.(index|meta|data-\d+-of-\d+)")

#: What models are that cannot be run.
TENSORFLOW = (
    "a TensorFlow model of DeepLabCut 2 (retrained by DeepLabCut 3 with engine: pytorch, from the same "
    "labels, it could be run here)"
)
TOP_DOWN = "the detector of a top-down network"


def is_project(settings: Settings) -> bool:
    """Say whether settings are those of a DeepLabCut project."""
    return "Task" in settings and "scorer" in settings


def is_tensorflow(name: str) -> bool:
    """Say whether a file belongs to a TensorFlow model."""
    return _TENSORFLOW.fullmatch(file_of(name)) is not None


def is_detector(name: str) -> bool:
    """Say whether a file holds the weights of a detector."""
    return _DETECTOR.fullmatch(file_of(name)) is not None


def find(listing: Listing, project: Settings) -> Found | None:
    """Find the snapshot that DeepLabCut would use.

    Parameters
    ----------
    listing
        A project, a model folder, its folder ``train``, or a folder around one of these.
    project
        The ``config.yaml`` at the top; empty if there is none: then that of the project around counts.

    Returns
    -------
    Found or None
        None if there is nothing of DeepLabCut.

    Raises
    ------
    DataError
        Several models; no snapshot; a model of TensorFlow; a top-down model; no ``pytorch_config.yaml``; or
        a ``snapshotindex`` that does not fit.
    """
    names = _of_iteration(listing, project)
    folders = sorted({folder_of(name) for name in names if SNAPSHOT.fullmatch(file_of(name))})
    if not folders:
        _explain(listing, project)
        return None
    if len(folders) > 1:
        remedy = "zip one of them alone" if listing.packed else "name one of them"
        raise DataError(f"{listing.path} holds {len(folders)} trained models; {remedy}: {', '.join(folders)}")
    [folder] = folders
    inside = [file_of(name) for name in names if folder_of(name) == folder]
    if any(is_detector(name) for name in inside):
        refuse(f"{listing.where(folder)} holds a detector", "a top-down network", "DeepLabCut")
    if CONFIG not in inside:
        raise DataError(
            f"{listing.where(folder)} holds snapshots, but no {CONFIG}, which says what the network is; "
            "copy it from the folder in which the model was trained"
        )
    if not project and not listing.packed:
        project = _project_above(listing.path.absolute() / folder)
    snapshot, notes = choose(inside, project.get("snapshotindex"), listing.where(folder))
    title = f"{_title(listing, folder)} {Path(snapshot).stem}"
    return Found(folder + snapshot, folder + CONFIG, title, notes)


def choose(names: Sequence[str], index: object, where: str) -> tuple[str, tuple[str, ...]]:
    """Choose among snapshots as DeepLabCut does.

    They are ordered by epoch, the best one last; ``snapshotindex`` counts in that order.

    Parameters
    ----------
    names
        Files of one folder; what is no snapshot is left out.
    index
        ``snapshotindex``: an integer (from the end if negative), ``"best"``, or ``"all"``, which cannot be
        had and counts, like its absence, as -1.
    where
        The folder, for messages.

    Returns
    -------
    str
        The file.
    tuple of str
        What a user should be told.

    Raises
    ------
    DataError
        There is no such snapshot, or the index makes no sense.
    """
    found = {name: match for name in names if (match := SNAPSHOT.fullmatch(name))}
    ordered = sorted(found, key=lambda name: (found[name][1] is not None, int(found[name][2])))
    listed = ", ".join(ordered)
    if index == "best":
        if not found[ordered[-1]][1]:
            raise DataError(f"{where}: snapshotindex is best, but no snapshot is called so: {listed}")
        place = -1
    elif index in (None, "", "all"):
        place = -1
    else:
        place = _whole(index, where)
    if not -len(ordered) <= place < len(ordered):
        raise DataError(
            f"{where}: snapshotindex {place} is out of range, there are {len(ordered)} snapshots: {listed}"
        )
    chosen = ordered[place]
    if len(ordered) == 1:
        return chosen, ()
    why = "the best, else the last" if index in (None, "", "all") else f"snapshotindex {index}"
    return chosen, (f"{where} holds {len(ordered)} snapshots ({listed}): {chosen} is used ({why})",)


def _project_above(path: Path) -> Settings:
    """Read the ``config.yaml`` of the project that a model's folder lies in; empty if it lies in none."""
    for folder in [path, *path.parents][:4]:
        config = folder.parent / "config.yaml"
        if folder.name == MODELS and config.is_file():
            return read_settings(config)
    return {}


def _whole(index: object, where: str) -> int:
    try:
        if isinstance(index, str | int) and not isinstance(index, bool):
            return int(index)
    except ValueError:
        pass
    raise DataError(f"{where}: snapshotindex in config.yaml is {index!r}; it may be an integer, best or all")


def _of_iteration(listing: Listing, project: Settings) -> Sequence[str]:
    """Leave only what belongs to the project's present iteration."""
    models = f"{listing.top}{MODELS}/"
    inside = [name for name in listing.names if name.startswith(models)]
    if not is_project(project) or not inside:
        return listing.names
    number = project.get("iteration") or 0
    iteration = f"{models}iteration-{number}/"
    chosen = [name for name in inside if name.startswith(iteration)]
    if not chosen:
        others = sorted({name[len(models) :].split("/")[0] for name in inside})
        raise DataError(
            f"{listing.where(iteration)} is not there, but config.yaml says iteration: {number}; there are "
            f"{', '.join(others)}. Correct config.yaml, or name a model's folder"
        )
    return chosen


def _explain(listing: Listing, project: Settings) -> None:
    """Say why there is no snapshot; nothing, if nothing looks like DeepLabCut."""
    names = [file_of(name) for name in listing.names]
    if any(map(is_tensorflow, names)) or project.get("engine") == "tensorflow":
        refuse(str(listing.path), TENSORFLOW, "DeepLabCut")
    if any(map(is_detector, names)):
        refuse(str(listing.path), TOP_DOWN, "DeepLabCut")
    if CONFIG in names or is_project(project):
        others = [name for name in names if name.endswith((".pt", ".pth"))]
        remedy = f"name the file that is meant: {', '.join(others)}" if others else "was it trained?"
        raise DataError(
            f"{listing.path} holds no snapshot of a trained network (snapshot-050.pt or the like); {remedy}"
        )


def _title(listing: Listing, folder: str) -> str:
    """Name a model by its folder; "train" says nothing, as it is always called so."""
    path = listing.path.absolute()
    parts = [*path.parent.parts, path.stem if listing.packed else path.name, *folder.split("/")]
    return [part for part in parts if part not in ("", "train")][-1]
