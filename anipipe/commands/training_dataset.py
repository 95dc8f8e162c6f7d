"""`anipipe create-training-dataset`: which labelled frames a network learns from, and which test it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from anipipe.errors import AnipipeError, DataError, UsageError
from anipipe.formats.labels import (
    Labels,
    Usable,
    read_labels,
    read_project,
    scorers,
    usable,
    write_labels,
)
from anipipe.networks.training.configs import EXTRA, EXTRA_DEFAULTS, make_config, write_yaml
from anipipe.networks.training.division import divide, read_division, write_division
from anipipe.networks.training.project import Project, Shuffle, find_shuffle, open_project, write_project

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Dataset:
    """Labelled frames, divided.

    Attributes
    ----------
    shuffle : Shuffle
        Where everything lies.
    labels : Labels
        Frames that have a picture.
    train, test : ndarray
        Rows of those.
    """

    shuffle: Shuffle
    labels: Labels
    train: Rows
    test: Rows


def create_training_dataset(
    folder: Path,
    *,
    shuffle: int = 1,
    fraction: float | None = None,
    seed: int = 42,
    net: str = "resnet_18",
    test_frames: Sequence[str] = (),
    overwrite: bool = False,
) -> Dataset:
    """Divide the labelled frames of a project, and write down how, as DeepLabCut does.

    A folder with ``labeled-data`` and without a ``config.yaml`` is given one.

    Parameters
    ----------
    folder
        The project.
    shuffle
        Number of this division.
    fraction
        Of the frames, to learn from, one of TrainingFraction in config.yaml; None: the first one.
    seed
        Decides the division; it becomes the seed of the training, too.
    net
        The network to train.
    test_frames
        Pictures to test with, ``img007.png`` or ``video/img007.png``, instead of dividing at random.
    overwrite
        Replace a dataset of this number, with the settings of its training.

    Raises
    ------
    UsageError
        There is one already; no such network, fraction or picture.
    DataError
        No labels, or labels that cannot be read.
    ConfigError
        A config.yaml that makes no sense.
    """
    project = _opened(folder)
    chosen = project.fractions[0] if fraction is None else fraction
    if chosen not in project.fractions:
        there = ", ".join(f"{one:g}" for one in project.fractions)
        raise UsageError(
            f"--train-fraction {chosen:g}: TrainingFraction in {project.folder / 'config.yaml'} has {there}. "
            "Add it there, where DeepLabCut looks, too."
        )
    new = Shuffle(project, shuffle, chosen)
    if not overwrite and (new.config.exists() or new.documentation.exists()):
        raise UsageError(
            f"{new.model}: there is a shuffle {shuffle} already. Give another number with --shuffle, or "
            "replace it with --overwrite."
        )
    config = make_config(net, project.joints, project.folder.absolute(), new.config.absolute(), seed)
    found = _with_pictures(read_project(project.folder, project.scorer, project.joints), project.folder)
    labels = found.labels
    if len(labels) < 2:
        raise DataError(f"{project.folder}: one labelled frame alone cannot be divided. Label more of them.")
    blank = np.flatnonzero(~np.isfinite(labels.points).all(axis=-1).any(axis=0))
    if len(blank):
        names = ", ".join(labels.joints[joint] for joint in blank)
        raise DataError(
            f"{project.folder}: no frame has a label for {names}, which config.yaml lists among its "
            "bodyparts. Label it, call it there as the labels do, or take it out."
        )
    if test_frames:
        test = _named(test_frames, labels)
        train = np.setdiff1d(np.arange(len(labels)), test)
    else:
        train, test = divide(len(labels), chosen, np.random.default_rng(seed))
    if not len(train):
        raise UsageError("no frame is left to learn from. Choose fewer to test with.")
    _write_collected(project, labels, overwrite)
    new.train.mkdir(parents=True, exist_ok=True)
    pictures = [path.relative_to(project.folder).parts for path in labels.paths(project.folder)]
    write_division(new, pictures, labels.points, found.sizes, train, test)
    write_yaml(config, new.config)
    write_yaml(EXTRA_DEFAULTS, new.train / EXTRA)
    _write_test_config(new)
    return Dataset(new, labels, train, test)


def read_training_dataset(folder: Path, shuffle: int = 1) -> Dataset:
    """Read a division that was made before, by anipipe or by DeepLabCut.

    Raises
    ------
    DataError
        There is none of this number; labels or pictures that cannot be read.
    ConfigError
        A config.yaml that makes no sense.
    """
    project = open_project(folder)
    found = find_shuffle(project, shuffle)
    train, test = read_division(found)
    path = project.collected.with_name(project.collected.name + ".csv")
    if not path.is_file():
        path = path.with_suffix(".h5")
    labels = read_labels(path)
    largest = max([*train, *test], default=-1)
    if largest >= len(labels):
        raise DataError(
            f"{found.documentation}: divides {largest + 1} frames, {path} has {len(labels)}: it was made "
            "anew since. Make the training dataset again, with --overwrite."
        )
    if labels.joints != project.joints:
        raise DataError(
            f"{path}: has the joints {', '.join(labels.joints)}, config.yaml "
            f"{', '.join(project.joints)}. Make the training dataset again, with --overwrite."
        )
    with_pictures = _with_pictures(labels, project.folder)
    train, test = (np.flatnonzero(np.isin(with_pictures.rows, rows)) for rows in (train, test))
    return Dataset(found, with_pictures.labels, train, test)


def read_test_frames(path: Path) -> list[str]:
    """Read the names of pictures to test with: a JSON file with ``test_frames``, or one name per line.

    Raises
    ------
    UsageError
        It holds none.
    """
    text = path.read_text(encoding="utf-8-sig")
    if path.suffix.lower() != ".json":
        return [line.strip() for line in text.splitlines() if line.strip()]
    try:
        content = json.loads(text)
        names = content["test_frames"] if isinstance(content, dict) else content
        return [str(name) for name in names]
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(
            f'{path}: give {{"test_frames": ["img007.png", …]}}, or one name per line'
        ) from error


def _opened(folder: Path) -> Project:
    """Open a project, giving it a config.yaml if it has none."""
    if folder.is_dir() and (folder / "labeled-data").is_dir() and not (folder / "config.yaml").exists():
        who = scorers(folder)
        if len(who) != 1:
            raise DataError(
                f"{folder}: has no config.yaml, and its labels are "
                + (f"of {', '.join(who)}: write one that names the scorer." if who else "not there yet.")
            )
        write_project(folder, who[0], read_project(folder, who[0]).joints)
    return open_project(folder)


def _with_pictures(labels: Labels, folder: Path) -> Usable:
    """Leave out what has no picture, or lies outside it."""
    paths = [path for path in labels.paths(folder) if path.is_file()]
    with ThreadPoolExecutor() as pool:
        sizes = dict(zip(paths, pool.map(_size, paths), strict=True))
    return usable(labels, folder, sizes.get)


def _size(path: Path) -> tuple[int, int] | None:
    from anipipe.networks.training.batches import read_picture

    try:
        height, width = read_picture(path).shape[:2]
    except AnipipeError:
        return None
    return width, height


def _named(names: Sequence[str], labels: Labels) -> Rows:
    """Return the rows of pictures by their names."""
    rows = []
    for name in names:
        parts = tuple(name.replace("\\", "/").split("/"))[-2:]
        found = [row for row, picture in enumerate(labels.pictures) if picture[-len(parts) :] == parts]
        if len(found) != 1:
            there = ", ".join("/".join(labels.pictures[row]) for row in found)
            why = f"means several: {there}" if found else "is not among the labelled pictures"
            raise UsageError(f"test frame {name!r} {why}. Give video/picture.")
        rows += found
    return np.array(sorted(set(rows)), dtype=np.int64)


def _write_collected(project: Project, labels: Labels, overwrite: bool) -> None:
    """Write all labels beside the divisions, which count rows of them."""
    path = project.collected.with_name(project.collected.name + ".csv")
    if path.is_file():
        there = read_labels(path)
        same = there.joints == labels.joints and there.pictures == labels.pictures
        if same and np.array_equal(there.points, labels.points, equal_nan=True):
            return
        others = list(project.datasets.glob("Documentation_data-*.pickle"))
        if others and not overwrite:
            raise UsageError(
                f"{project.datasets}: the labels have changed since {len(others)} training datasets were "
                f"made of them. Set iteration to {project.iteration + 1} in config.yaml, which keeps those, "
                "or replace them with --overwrite."
            )
    project.datasets.mkdir(parents=True, exist_ok=True)
    write_labels(labels, project.collected)


def _write_test_config(shuffle: Shuffle) -> None:
    """Write ``test/pose_cfg.yaml``, which DeepLabCut reads before it analyses a video."""
    joints = shuffle.project.joints
    path = shuffle.model / "test" / "pose_cfg.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_yaml(
        {
            "dataset": str(shuffle.matrix.relative_to(shuffle.project.folder)),
            "num_joints": len(joints),
            "all_joints": [[joint] for joint in range(len(joints))],
            "all_joints_names": list(joints),
            "net_type": "resnet_50",
            "dataset_type": "multi-animal-imgaug",
            "global_scale": 1.0,
            "scoremap_dir": "test",
        },
        path,
    )
