"""`anipipe evaluate`: how far a network's predictions lie from the labels."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from anipipe.commands.evaluation_pictures import around, draw, write_picture
from anipipe.commands.training_dataset import Dataset, read_training_dataset
from anipipe.errors import DataError, UsageError
from anipipe.networks.settings_files import read_settings
from anipipe.networks.sources import find_model

Array = NDArray[np.float64]
Rows = NDArray[np.int64]

#: Pixels; a prediction farther off than this has missed the joint.
MISS = 20.0


@dataclass(frozen=True)
class Errors:
    """Distances of predictions and labels, pixels.

    Attributes
    ----------
    count : int
        Labelled points.
    mean, median : float
        NaN without any.
    missed : float
        Share of them farther off than 20 px.
    """

    count: int
    mean: float
    median: float
    missed: float


@dataclass(frozen=True)
class Row:
    """The errors of some joints on some frames.

    Attributes
    ----------
    frames : {"train", "test"}
    joint : str
        ``all`` for all together.
    every : Errors
        Of all predictions.
    found : Errors
        Of those with a score that is not below the cutoff.
    """

    frames: str
    joint: str
    every: Errors
    found: Errors


@dataclass(frozen=True)
class Evaluation:
    """What came out.

    Attributes
    ----------
    scorer : str
        The network's name as DeepLabCut forms it.
    cutoff : float
        ``pcutoff`` of config.yaml.
    rows : list of Row
        Train and test, all joints together and each alone.
    files : list of Path
        The tables.
    pictures : list of Path
        The worst frames, worst first.
    notes : tuple of str
        Which of several snapshots was taken.
    """

    scorer: str
    cutoff: float
    rows: list[Row]
    files: list[Path]
    pictures: list[Path]
    notes: tuple[str, ...]


def errors(distances: Array) -> Errors:
    """Sum up distances, NaN where there is none."""
    known = distances[np.isfinite(distances)]
    if not len(known):
        return Errors(0, np.nan, np.nan, np.nan)
    return Errors(len(known), float(known.mean()), float(np.median(known)), float((known > MISS).mean()))


def evaluate(
    folder: Path,
    *,
    shuffle: int = 1,
    snapshot: str | None = None,
    device: str = "auto",
    worst: int = 10,
    step: Callable[[int, int], None] = lambda done, of: None,
) -> Evaluation:
    """Predict all labelled frames of a project, and hold them against the labels.

    Parameters
    ----------
    folder
        The project.
    shuffle
        Which training dataset.
    snapshot
        Its file, or its name in the training's folder; None: as ``snapshotindex`` in config.yaml chooses.
    device
        ``auto``, ``cpu``, ``cuda``, ``cuda:1``, ``mps``.
    worst
        So many pictures are drawn of train and of test frames each.
    step
        Called after each frame with how many there were, of how many.

    Raises
    ------
    UsageError
        No such snapshot.
    DataError, ConfigError
        Nothing trained yet; files that cannot be read; a network of other joints.
    """
    import torch

    from anipipe.networks.devices import Compute, choose
    from anipipe.networks.loading import load_model
    from anipipe.networks.training.batches import Frames
    from anipipe.networks.training.predicting import predict

    data = read_training_dataset(folder, shuffle)
    source = find_model(_snapshot(data.shuffle.train, snapshot))
    model = load_model(source)
    if model.joints != data.labels.joints:
        raise DataError(
            f"{source.weights}: finds {', '.join(model.joints)}, labelled are "
            f"{', '.join(data.labels.joints)}. Name a snapshot of this training with --snapshot."
        )
    frames = Frames(data.labels.paths(data.shuffle.project.folder), data.labels.points)
    where = choose(device)
    points, scores = predict(model, frames, Compute(where.device, torch.float32, where.threads), step=step)
    distances = np.linalg.norm(points - data.labels.points, axis=-1)
    cutoff = data.shuffle.project.cutoff
    rows = list(_rows(data, distances, scores >= cutoff))
    scorer = _scorer(data, source.weights)
    place = data.shuffle.evaluation
    place.mkdir(parents=True, exist_ok=True)
    files = [place / f"{scorer}-{what}.csv" for what in ("results", "keypoint-results", "predictions")]
    _write(files[0], [_summary(data, source.weights, cutoff, rows)])
    _write(files[1], [_line(row) for row in rows])
    _write(files[2], _predictions(data, points, scores, distances))
    pictures = _draw_worst(data, frames, points, scores, distances, place / f"LabeledImages_{scorer}", worst)
    return Evaluation(scorer, cutoff, rows, files, pictures, source.notes)


def _snapshot(train: Path, name: str | None) -> Path:
    if name is None:
        return train
    for path in (train / name, train / f"{name}.pt", Path(name)):
        if path.is_file():
            return path
    there = ", ".join(sorted(path.name for path in train.glob("snapshot*.pt"))) or "none"
    raise UsageError(f"--snapshot {name}: there is no such file in {train} ({there})")


def _scorer(data: Dataset, weights: Path) -> str:
    """Return a network's name as DeepLabCut forms it."""
    net = str(read_settings(data.shuffle.config).get("net_type") or "net")
    net = "".join(part.capitalize() for part in net.split("_"))
    *best, epoch = weights.stem.removeprefix("snapshot-").split("-")
    uid = "-".join([*best, epoch.lstrip("0") or "0"])
    project = data.shuffle.project
    return f"DLC_{net}_{project.task}{project.date}shuffle{data.shuffle.number}_snapshot_{uid}"


def _sets(data: Dataset) -> list[tuple[str, Rows]]:
    return [("train", data.train), ("test", data.test)]


def _rows(data: Dataset, distances: Array, found: NDArray[np.bool_]) -> Any:
    """Yield the errors of train and test frames, all joints together first."""
    sure = np.where(found, distances, np.nan)
    for name, rows in _sets(data):
        yield Row(name, "all", errors(distances[rows]), errors(sure[rows]))
        for at, joint in enumerate(data.labels.joints):
            yield Row(name, joint, errors(distances[rows, at]), errors(sure[rows, at]))


def _summary(data: Dataset, weights: Path, cutoff: float, rows: Sequence[Row]) -> dict[str, Any]:
    """Return DeepLabCut's columns, where rmse is the mean distance, and behind them more."""
    epoch = weights.stem.split("-")[-1]
    line: dict[str, Any] = {
        "%Training dataset": int(100 * data.shuffle.fraction),
        "Shuffle number": data.shuffle.number,
        "Training epochs": int(epoch) if epoch.isdigit() else "",
        "pcutoff": cutoff,
    }
    whole = [row for row in rows if row.joint == "all"]
    for row in whole:
        line[f"{row.frames} rmse"] = _rounded(row.every.mean)
        line[f"{row.frames} rmse_pcutoff"] = _rounded(row.found.mean)
    for row in whole:
        line |= {
            f"{row.frames} {key}": value
            for key, value in _line(row).items()
            if key not in ("frames", "joint")
        }
    return line


def _line(row: Row) -> dict[str, Any]:
    line: dict[str, Any] = {"frames": row.frames, "joint": row.joint}
    for ending, one in (("", row.every), ("_pcutoff", row.found)):
        line |= {
            f"points{ending}": one.count,
            f"mean{ending}": _rounded(one.mean),
            f"median{ending}": _rounded(one.median),
            f"share_over_20px{ending}": _rounded(one.missed, 4),
        }
    return line


def _rounded(value: Any, digits: int = 2) -> float | str:
    return "" if np.isnan(value) else round(float(value), digits)


def _predictions(data: Dataset, points: Array, scores: Array, distances: Array) -> list[dict[str, Any]]:
    """Return a line per frame and joint."""
    of = {int(row): name for name, rows in _sets(data) for row in rows}
    lines = []
    for row, joint in np.ndindex(distances.shape):
        (x, y), (u, v) = points[row, joint], data.labels.points[row, joint]
        lines.append(
            {
                "picture": "/".join(data.labels.pictures[row]),
                "frames": of.get(row, ""),
                "joint": data.labels.joints[joint],
                "x": _rounded(x, 3),
                "y": _rounded(y, 3),
                "score": _rounded(scores[row, joint], 4),
                "label_x": _rounded(u, 3),
                "label_y": _rounded(v, 3),
                "distance": _rounded(distances[row, joint], 3),
            }
        )
    return lines


def _write(path: Path, lines: Sequence[Mapping[str, Any]]) -> None:
    part = path.with_name(f".{path.name}.part")
    with part.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(lines[0]))
        writer.writeheader()
        writer.writerows(lines)
    part.replace(path)


def _draw_worst(
    data: Dataset, frames: Any, points: Array, scores: Array, distances: Array, place: Path, worst: int
) -> list[Path]:
    """Draw the frames with the largest distances."""
    written = []
    largest = np.where(np.isfinite(distances), distances, -1).max(axis=1)
    for name, rows in _sets(data):
        chosen = sorted((row for row in rows if largest[row] >= 0), key=lambda row: -largest[row])[:worst]
        for row in chosen:
            folder, picture = data.labels.pictures[row]
            texts = [
                f"{joint}  {score:.2f}" + (f"  {distance:.1f} px" if np.isfinite(distance) else "  no label")
                for joint, score, distance in zip(
                    data.labels.joints, scores[row], distances[row], strict=True
                )
            ]
            both = np.stack([data.labels.points[row], points[row]])
            part, corner = around(frames.picture(row), both.reshape(-1, 2))
            drawn = draw(
                part,
                both[0] - corner,
                both[1] - corner,
                scores[row] >= data.shuffle.project.cutoff,
                [*texts, f"{name}: {folder}/{picture}"],
            )
            place.mkdir(parents=True, exist_ok=True)
            written.append(place / f"{name}-{folder}-{Path(picture).stem}.png")
            write_picture(drawn, written[-1])
    return written
