"""Training itself: epoch by epoch, from where it was, until it is done."""

from __future__ import annotations

import csv
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from anipipe.errors import ConfigError, DataError
from anipipe.networks.devices import Compute
from anipipe.networks.models import TrainedModel
from anipipe.networks.preparing import lay_out, prepare
from anipipe.networks.training.batches import Frames, batch_count, batches
from anipipe.networks.training.losses import LossWeights, losses
from anipipe.networks.training.predicting import predict
from anipipe.networks.training.schedule import make_optimizer, make_scheduler
from anipipe.networks.training.settings import Settings
from anipipe.networks.training.snapshots import RESUME, keep_snapshot, read_state, write_state
from anipipe.networks.training.targets import TargetMaker, make_targets

STATISTICS = "learning_stats.csv"
#: A training that is killed loses at most so many seconds, and the epoch it was in.
RESUME_EVERY = 60.0


@dataclass(frozen=True)
class Task:
    """What is to be learnt, from what.

    Attributes
    ----------
    model : TrainedModel
        The network, and how whole pictures are predicted with it.
    train, test : Frames
        Frames to learn from, and frames to tell how well; the second may be none.
    targets : TargetMaker
        How points become maps.
    weights : LossWeights
        What each part of the loss counts.
    settings : Settings
        How to train.
    folder : Path
        Where snapshots go.
    source : str
        The file with the settings, for messages.
    """

    model: TrainedModel
    train: Frames
    test: Frames
    targets: TargetMaker
    weights: LossWeights
    settings: Settings
    folder: Path
    source: str


@dataclass(frozen=True)
class Epoch:
    """What an epoch came to.

    Attributes
    ----------
    number, of : int
        Which one, from 1, of how many.
    loss : float
        Mean over its batches.
    learning_rate : float
        During it.
    seconds : float
        How long it took.
    test_error : float
        Mean distance of predictions and labels on test frames, px; NaN where it was not looked at.
    snapshot : Path, optional
        What was written.
    """

    number: int
    of: int
    loss: float
    learning_rate: float
    seconds: float
    test_error: float = np.nan
    snapshot: Path | None = None


@dataclass
class _State:
    """Where a training is."""

    epoch: int = 0
    best: float = np.inf
    rows: list[dict[str, float]] = field(default_factory=list)


def train(
    task: Task,
    *,
    device: torch.device,
    resume: bool = False,
    workers: int = 2,
    report: Callable[[Epoch], None] = lambda epoch: None,
    step: Callable[[int, int], None] = lambda done, of: None,
    resume_every: float = RESUME_EVERY,
) -> list[Epoch]:
    """Train a network.

    On a CPU with the same number of threads, the same settings give the same weights, bit for bit, also if
    the training was killed in between and resumed.

    Parameters
    ----------
    task
        The network, which is changed, and all else.
    device
        Where to compute; on CUDA in half precision where that is safe.
    resume
        Go on from what a killed training left in the folder.
    workers
        Threads that make pictures ready.
    report
        Called after each epoch.
    step
        Called after each batch with how many there were, of how many.
    resume_every
        After how many seconds the state to resume from is written, at the end of an epoch.

    Returns
    -------
    The epochs of this run.

    Raises
    ------
    ConfigError
        Settings that make no sense; a loss that is no number any more.
    DataError
        An unreadable picture, no labels, a full disk, a state that cannot be resumed.
    """
    settings, network = task.settings, task.model.network
    if not np.isfinite(task.train.points).all(axis=-1).any():
        raise DataError(f"{task.source}: no training frame has a single labelled point. Label some.")
    network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    if settings.freeze_normalisation:
        for part in _normalisations(network):
            part.requires_grad_(False)
    optimizer = make_optimizer(network, settings.optimizer, task.source)
    scheduler = make_scheduler(optimizer, settings.scheduler, task.source)
    scaler = torch.amp.GradScaler(device.type, enabled=_half(device) == torch.float16)
    state = _State()
    kept = {"model": network, "optimizer": optimizer, "scheduler": scheduler, "scaler": scaler}
    if resume:
        state = _resume(task, kept)
    epochs, written = [], time.monotonic()
    task.folder.mkdir(parents=True, exist_ok=True)
    if not resume:  # so that there is something to go on with from the first moment
        write_state(_resumable(task, state, kept), task.folder / RESUME)
    with ThreadPoolExecutor(workers) as pool:
        for number in range(state.epoch + 1, settings.epochs + 1):
            start = time.monotonic()
            rate = optimizer.param_groups[0]["lr"]
            parts = _epoch(task, number, optimizer, scaler, device, pool, step)
            scheduler.step()
            row = {"step": number} | {f"losses/train.{name}": value for name, value in parts.items()}
            last = number == settings.epochs
            error = np.nan
            if len(task.test) and (last or number % settings.eval_interval == 0):
                error = _test_error(task, device)
                row["metrics/test.rmse"] = error
            state.epoch = number
            state.rows.append(row)
            better = error < state.best
            state.best = min(state.best, error) if np.isfinite(error) else state.best
            snapshot = keep_snapshot(
                task.folder,
                _snapshot(task, row, optimizer, scheduler),
                best=better,
                due=last or number % settings.save_epochs == 0,
                save_epochs=settings.save_epochs,
                most=settings.max_snapshots,
            )
            _write_statistics(task.folder / STATISTICS, state.rows)
            if not last and time.monotonic() - written >= resume_every:
                write_state(_resumable(task, state, kept), task.folder / RESUME)
                written = time.monotonic()
            seconds = time.monotonic() - start
            epochs.append(Epoch(number, settings.epochs, parts["total_loss"], rate, seconds, error, snapshot))
            report(epochs[-1])
    (task.folder / RESUME).unlink(missing_ok=True)
    return epochs


def _half(device: torch.device) -> torch.dtype | None:
    """Return the number format of half precision that suits a device; None: full precision."""
    if device.type != "cuda":
        return None
    return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16


def _epoch(
    task: Task,
    number: int,
    optimizer: torch.optim.Optimizer,
    scaler: torch.amp.GradScaler,
    device: torch.device,
    pool: Executor,
    step: Callable[[int, int], None],
) -> dict[str, float]:
    """Learn from each frame once; return the mean losses."""
    settings, network, half = task.settings, task.model.network, _half(device)
    network.train()
    if settings.freeze_statistics:
        for part in _normalisations(network):
            part.eval()
    ready = batches(
        task.train,
        settings.augmentation,
        size=settings.batch_size,
        divisor=settings.preparation.divisor,
        seed=settings.seed,
        epoch=number,
        pool=pool,
    )
    of = batch_count(len(task.train), settings.batch_size)
    sums: list[dict[str, torch.Tensor]] = []
    for done, batch in enumerate(ready, 1):
        pictures = torch.from_numpy(batch.pictures).to(device)
        layout = lay_out(settings.preparation, batch.pictures.shape[2], batch.pictures.shape[1])
        images = prepare(pictures, settings.preparation, layout, torch.float32)
        points = torch.from_numpy(batch.points).to(device)
        with torch.autocast(device.type, dtype=half, enabled=half is not None):
            outputs = network(images)
        targets = make_targets(points, outputs[0].shape[2], outputs[0].shape[3], task.targets)
        parts = losses(outputs, targets, task.weights)
        optimizer.zero_grad(set_to_none=True)
        scaler.scale(parts["total_loss"]).backward()  # type: ignore[no-untyped-call]
        scaler.step(optimizer)
        scaler.update()
        sums.append({name: loss.detach() for name, loss in parts.items()})
        step(done, of)
    means = {name: float(torch.stack([one[name] for one in sums]).double().mean()) for name in sums[0]}
    if not np.isfinite(means["total_loss"]):
        rate = optimizer.param_groups[0]["lr"]
        raise ConfigError(
            f"{task.source}: in epoch {number} the loss became {means['total_loss']}: the training has "
            f"diverged. Lower the learning rate (runner.optimizer.params.lr, now {rate:g}), for example to "
            f"{rate / 10:g}, and train anew with --fresh."
        )
    return means


def _normalisations(network: nn.Module) -> list[nn.Module]:
    """Return the batch normalisations of a network's backbone."""
    parts = getattr(network, "backbone", network).modules()
    return [part for part in parts if isinstance(part, nn.modules.batchnorm._BatchNorm)]


def _test_error(task: Task, device: torch.device) -> float:
    """Return the mean distance on test frames, px; NaN if none is labelled."""
    points, _ = predict(task.model, task.test, Compute(device, torch.float32, torch.get_num_threads()))
    distances = np.linalg.norm(points - task.test.points, axis=-1)
    return float(np.nanmean(distances)) if np.isfinite(distances).any() else np.nan


def _snapshot(task: Task, row: Mapping[str, float], optimizer: Any, scheduler: Any) -> dict[str, Any]:
    """Return what a snapshot holds, as DeepLabCut 3 lays it out."""
    named = {name.split("/", 1)[1]: value for name, value in row.items() if name.startswith("losses/")}
    state = {
        "metadata": {
            "epoch": int(row["step"]),
            "metrics": {name: value for name, value in row.items() if name.startswith("metrics/")},
            "losses": named,
        },
        "model": task.model.network.state_dict(),
    }
    if task.settings.save_optimizer:
        state |= {"optimizer": optimizer.state_dict(), "scheduler": scheduler.state_dict()}
    return state


def _resumable(task: Task, state: _State, kept: Mapping[str, Any]) -> dict[str, Any]:
    states = {name: one.state_dict() for name, one in kept.items()}
    return states | {"task": _fingerprint(task), "epoch": state.epoch, "best": state.best, "rows": state.rows}


def _resume(task: Task, kept: Mapping[str, Any]) -> _State:
    """Bring network and optimizer to where a killed training was."""
    path = task.folder / RESUME
    state = read_state(path)
    if state.get("task") != _fingerprint(task):
        raise DataError(
            f"{path}: was left by a training with other settings than {task.source} has now, or with other "
            "labels. Put them back to go on, or train anew with --fresh."
        )
    for name, one in kept.items():
        one.load_state_dict(state[name])
    return _State(state["epoch"], state["best"], state["rows"])


def _fingerprint(task: Task) -> str:
    """Return what tells one training from another: its settings, and what it learns from."""
    about = sha256(repr((task.model.network, task.settings, task.targets, task.weights)).encode())
    for frames in (task.train, task.test):
        about.update(repr([(path.parent.name, path.name) for path in frames.paths]).encode())
        about.update(np.ascontiguousarray(frames.points).tobytes())
    return about.hexdigest()


def _write_statistics(path: Path, rows: list[dict[str, float]]) -> None:
    names = ["step", *sorted({name for row in rows for name in row} - {"step"})]
    part = path.with_name(f".{path.name}.part")
    with part.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, names, restval="")
        writer.writeheader()
        writer.writerows(rows)
    part.replace(path)
