"""`anipipe train`: a network that learns from labelled frames."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from anipipe.commands.training_dataset import Dataset, read_training_dataset
from anipipe.errors import DataError, UsageError
from anipipe.networks.settings_files import Settings, read_settings
from anipipe.networks.training.configs import EXTRA, with_changes, write_yaml

if TYPE_CHECKING:
    from anipipe.networks.training.initial import Taken
    from anipipe.networks.training.loop import Epoch, Task


@dataclass(frozen=True)
class Trained:
    """What came of a training.

    Attributes
    ----------
    folder : Path
        Where the snapshots are.
    epochs : list of Epoch
        Those of this run.
    snapshots : list of Path
        What is kept, the best one last.
    """

    folder: Path
    epochs: list[Epoch]
    snapshots: list[Path]


@dataclass(frozen=True)
class Start:
    """What a training begins with, to tell the user.

    Attributes
    ----------
    folder : Path
        Where the snapshots will be.
    train, test : int
        Frames to learn from and to test with.
    device : str
        Where it is computed.
    resumed : int, optional
        The epoch after which it goes on with one that was interrupted; None: it begins.
    taken : Taken, optional
        Weights that it starts from; None: random ones.
    """

    folder: Path
    train: int
    test: int
    device: str
    resumed: int | None
    taken: Taken | None


def train(
    folder: Path,
    *,
    shuffle: int = 1,
    epochs: int | None = None,
    batch_size: int | None = None,
    seed: int | None = None,
    device: str = "auto",
    init_weights: Path | None = None,
    resume: bool | None = None,
    started: Callable[[Start], None] = lambda start: None,
    report: Callable[[Epoch], None] = lambda epoch: None,
    step: Callable[[int, int], None] = lambda done, of: None,
) -> Trained:
    """Train the network of a project.

    Parameters
    ----------
    folder
        The project.
    shuffle
        Which training dataset.
    epochs, batch_size, seed
        Written into the pytorch_config.yaml, in place of what it says; None: as it says. The epochs at which
        the learning rate falls move in proportion.
    device
        ``auto``, ``cpu``, ``cuda``, ``cuda:1``, ``mps``.
    init_weights
        Where to start from: a state dict of torchvision or timm, or a snapshot of DeepLabCut; None: random.
    resume
        True: go on with a killed training, which must be there. False: begin anew, and delete the snapshots
        that are there. None: go on if there is something to go on with, begin if there is nothing yet.
    started, report, step
        Called at the beginning, after each epoch, and after each batch with how many there were of how many.

    Raises
    ------
    UsageError
        There is nothing to resume, or a finished training would be overwritten.
    DataError, ConfigError
        As of :func:`anipipe.networks.training.loop.train`.
    """
    import torch

    from anipipe.networks import devices
    from anipipe.networks.architectures.build import initialise
    from anipipe.networks.training import loop
    from anipipe.networks.training.initial import take_weights
    from anipipe.networks.training.snapshots import RESUME, read_state, snapshots

    compute = devices.choose(device, "float32")
    where = compute.device
    data = read_training_dataset(folder, shuffle)
    place = data.shuffle.train
    going_on = (place / RESUME).is_file() if resume is None else resume
    there = snapshots(place)
    if going_on and not (place / RESUME).is_file():
        raise UsageError(f"{place}: there is no training to resume here: none was begun, or it was finished.")
    if resume is None and not going_on and there:
        raise UsageError(
            f"{place}: has been trained ({there[-1].name}). Train it anew with --fresh, which deletes its "
            "snapshots, or make another training dataset with another --shuffle."
        )
    config = read_settings(data.shuffle.config)
    changed = with_changes(config, epochs=epochs, batch_size=batch_size, seed=seed)
    if going_on and (changed != config or init_weights is not None):
        raise UsageError(
            f"{place}: a training that goes on keeps its weights and settings (--init-weights, --epochs, "
            "--batch-size, --seed). Begin anew with --fresh."
        )
    task = prepare_task(data, changed)
    taken = None
    if not going_on:
        initialise(task.model.network, torch.Generator().manual_seed(task.settings.seed))
        taken = take_weights(task.model.network, init_weights) if init_weights else None
        for old in (*there, place / RESUME):
            old.unlink(missing_ok=True)
        if changed != config:
            write_yaml(changed, data.shuffle.config)
    resumed = int(read_state(place / RESUME)["epoch"]) if going_on else None
    started(Start(place, len(task.train), len(task.test), str(where), resumed, taken))
    with compute.threads_at_work():
        done = loop.train(
            task, device=where, resume=going_on, workers=compute.threads, report=report, step=step
        )
    return Trained(place, done, snapshots(place))


def prepare_task(data: Dataset, config: Settings) -> Task:
    """Make what a training consists of, with weights not yet set.

    Raises
    ------
    DataError, ConfigError
        Settings that make no sense, or that are about other joints than the labels.
    """
    from anipipe.networks import deeplabcut_settings as deeplabcut
    from anipipe.networks.architectures.build import build_deeplabcut
    from anipipe.networks.models import TrainedModel
    from anipipe.networks.training.batches import Frames
    from anipipe.networks.training.loop import Task
    from anipipe.networks.training.losses import read_weights
    from anipipe.networks.training.settings import read_settings as read_training_settings
    from anipipe.networks.training.targets import read_targets

    source = str(data.shuffle.config)
    joints = deeplabcut.joints(config, source)
    if joints != data.labels.joints:
        raise DataError(
            f"{source}: metadata.bodyparts are {', '.join(joints)}, labelled are "
            f"{', '.join(data.labels.joints)}. Make the training dataset again, with --overwrite."
        )
    extra_path = data.shuffle.train / EXTRA
    extra = read_settings(extra_path) if extra_path.is_file() else {}
    settings = read_training_settings(config, extra, source)
    network = build_deeplabcut(config, where=source)
    head = config["model"]["heads"]["bodypart"]
    model = TrainedModel(
        name=data.shuffle.name,
        joints=joints,
        network=network,
        preparation=deeplabcut.preparation(config, source),
        decoding=deeplabcut.decoding(config, network.stride, source),
    )
    paths = data.labels.paths(data.shuffle.project.folder)
    # a frame without labels teaches nothing
    labelled: NDArray[np.bool_] = np.any(np.isfinite(data.labels.points), axis=(1, 2))
    train, test = (
        Frames([paths[row] for row in rows], data.labels.points[rows])
        for rows in (data.train[labelled[data.train]], data.test)
    )
    return Task(
        model=model,
        train=train,
        test=test,
        targets=read_targets(head, network.stride, source),
        weights=read_weights(head, source),
        settings=settings,
        folder=data.shuffle.train,
        source=source,
    )
