"""What the user reads of networks: training, evaluating and measuring them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

from anipipe.console import paint, table_of

if TYPE_CHECKING:
    from anipipe.commands.bench_model import Bench
    from anipipe.commands.evaluate import Errors, Evaluation
    from anipipe.commands.train import Start
    from anipipe.commands.training_dataset import Dataset
    from anipipe.networks.training.loop import Epoch


def dataset_lines(made: Dataset) -> Iterator[str]:
    """Yield what a training dataset consists of, and what comes next."""
    labels = made.labels
    points = int((labels.points == labels.points).all(axis=-1).sum())
    yield f"{len(labels)} labelled frames, {len(labels.joints)} joints, {points} points"
    yield f"{len(made.train)} to learn from, {len(made.test)} to test with"
    yield f"settings  {made.shuffle.config}"
    yield f"next: anipipe train {made.shuffle.project.folder}" + (
        f" --shuffle {made.shuffle.number}" if made.shuffle.number != 1 else ""
    )


def training_lines(start: Start) -> Iterator[str]:
    """Yield what a training begins with."""
    interrupted = start.resumed is not None
    how = f"going on after epoch {start.resumed} of an interrupted training" if interrupted else "training"
    yield f"{how} on {start.device}: {start.train} frames to learn from, {start.test} to test with"
    yield f"snapshots  {start.folder}"
    if start.taken is not None:
        yield f"weights    {start.taken}"
    elif not interrupted:
        yield "weights    random; --init-weights starts from pretrained ones"


def epoch_line(epoch: Epoch) -> str:
    """Return what one epoch came to."""
    width = len(str(epoch.of))
    parts = [
        f"epoch {epoch.number:>{width}}/{epoch.of}",
        f"loss {epoch.loss:.5f}",
        f"learning rate {epoch.learning_rate:.1e}",
        f"{epoch.seconds:.1f} s",
    ]
    if not math.isnan(epoch.test_error):
        parts.append(f"test error {epoch.test_error:.2f} px")
    if epoch.snapshot is not None:
        parts.append(epoch.snapshot.name)
    return "  ".join(parts)


def evaluation_lines(result: Evaluation) -> Iterator[str]:
    """Yield the errors of a network, and where the tables and pictures are."""
    yield from (f"note: {note}" for note in result.notes)
    yield f"{result.scorer}; errors in px, missed: beyond 20 px, sure: score >= {result.cutoff:g}"
    header = ["", "", "points", "median", "mean", "missed", "sure", "median", "mean", "missed"]
    rows = [
        [
            row.frames,
            row.joint,
            str(row.every.count),
            *_cells(row.every),
            str(row.found.count),
            *_cells(row.found),
        ]
        for row in result.rows
    ]
    yield from table_of(header, rows)
    for path in result.files:
        yield f"wrote {path}"
    if result.pictures:
        yield f"drew the worst frames into {result.pictures[0].parent}"


def _cells(errors: Errors) -> list[str]:
    if not errors.count:
        return ["-", "-", "-"]
    return [f"{errors.median:.2f}", f"{errors.mean:.2f}", f"{100 * errors.missed:.1f} %"]


def bench_lines(bench: Bench) -> Iterator[str]:
    """Yield what was measured of a network, and what follows from it."""
    width, height = bench.size
    yield f"{bench.model} on {bench.video}, {width} x {height} pixels, {bench.device}"
    sizes = list(dict.fromkeys(speed.batch_size for speed in bench.network))
    yield ""
    yield paint(
        "frames/s, network alone" + "".join(f"{size:>9}" for size in sizes) + "  frames at once", "bold"
    )
    for precision in bench.stage:
        rates = {speed.batch_size: speed.rate for speed in bench.network if speed.precision == precision}
        cells = "".join(f"{rates[size]:>9.3g}" if size in rates else f"{'-':>9}" for size in sizes)
        yield f"{precision:<23}{cells}"
    yield ""
    yield paint(f"frames/s, whole stage ({bench.frames} frames)", "bold")
    for precision, (rate, times) in bench.stage.items():
        best = bench.best(precision)
        total = bench.frames / rate
        parts = ", ".join(f"{name} {100 * seconds / total:.0f} %" for name, seconds in vars(times).items())
        yield f"{precision:<23}{rate:>9.3g}  {100 * rate / best.rate:.0f} % of the network alone ({parts})"
    if bench.followed is None:
        yield "dynamic_crop is not for this network, which scales every frame to one size"
    else:
        gain = bench.followed / bench.stage["float32"][0]
        yield f"{'float32, dynamic_crop':<23}{bench.followed:>9.3g}  {gain:.1f} times the whole frame"
    yield f"{'decoding alone':<23}{bench.decoding:>9.3g}"
    yield ""
    yield (
        "Parts overlap, so that their shares may add up to more than 100 %. Best batch sizes here: "
        + ", ".join(f"{precision} {bench.best(precision).batch_size}" for precision in bench.stage)
    )
