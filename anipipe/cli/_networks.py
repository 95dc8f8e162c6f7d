"""Commands about networks: create-training-dataset, train, evaluate, bench-model."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from tqdm import tqdm

from anipipe import network_views as views
from anipipe.cli._shared import CONTEXT, noting, print_lines
from anipipe.networks.training.configs import NETS

if TYPE_CHECKING:
    from anipipe.commands.train import Start
    from anipipe.networks.training.loop import Epoch

_PROJECT = click.argument("project", type=click.Path(path_type=Path), default=Path())
_SHUFFLE = click.option(
    "--shuffle",
    type=click.IntRange(min=0),
    default=1,
    show_default=True,
    metavar="N",
    help="Number of the training dataset.",
)
_DEVICE = click.option(
    "--device", default="auto", show_default=True, metavar="NAME", help="auto, cpu, cuda, cuda:1, mps."
)


@click.command(
    "create-training-dataset",
    context_settings=CONTEXT,
    short_help="Divide labelled frames into those to learn from and to test with.",
)
@_SHUFFLE
@click.option(
    "--net", type=click.Choice(list(NETS)), default="resnet_18", show_default=True, help="Network to train."
)
@click.option(
    "--train-fraction",
    type=float,
    metavar="F",
    help="Share of the frames to learn from.  [default: the first of TrainingFraction in config.yaml]",
)
@click.option(
    "--seed", type=int, default=42, show_default=True, metavar="N", help="Of the division, and the training."
)
@click.option(
    "--test-frames",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    metavar="FILE",
    help="Names of the pictures to test with, one per line, in place of a random choice.",
)
@click.option("--overwrite", is_flag=True, help="Replace a dataset of this number.")
@_PROJECT
def create_training_dataset(
    project: Path,
    shuffle: int,
    net: str,
    train_fraction: float | None,
    seed: int,
    test_frames: Path | None,
    overwrite: bool,
) -> int:
    """Divide the labelled frames of a DeepLabCut project into those to learn from and those to test with.

    PROJECT holds labeled-data/VIDEO/CollectedData_SCORER.csv (or .h5) beside the pictures, and a config.yaml;
    without one, it is written from the labels. What is made has the files of DeepLabCut 3, which can go on
    with it. The settings of the training stand in the pytorch_config.yaml that is printed, and can be edited.
    """
    from anipipe.commands import training_dataset as datasets

    names = datasets.read_test_frames(test_frames) if test_frames is not None else ()
    with noting():
        made = datasets.create_training_dataset(
            project,
            shuffle=shuffle,
            fraction=train_fraction,
            seed=seed,
            net=net,
            test_frames=names,
            overwrite=overwrite,
        )
    print_lines(views.dataset_lines(made))
    return 0


@click.command(context_settings=CONTEXT, short_help="Train a network on labelled frames.")
@_SHUFFLE
@click.option(
    "--epochs", type=click.IntRange(min=1), metavar="N", help="[default: as pytorch_config.yaml says]"
)
@click.option(
    "--batch-size", type=click.IntRange(min=1), metavar="N", help="[default: as pytorch_config.yaml says]"
)
@click.option("--seed", type=int, metavar="N", help="[default: as pytorch_config.yaml says]")
@click.option(
    "--init-weights",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    metavar="FILE",
    help="Start from these: a ResNet of torchvision or timm, or a snapshot of DeepLabCut (SuperAnimal too).",
)
@click.option(
    "--resume/--fresh",
    default=None,
    help="Go on with a training that was interrupted, or begin anew and delete its snapshots.  "
    "[default: go on if there is something to go on with]",
)
@_DEVICE
@_PROJECT
def train(project: Path, resume: bool | None, **options: Any) -> int:
    """Train the network of a training dataset (`create-training-dataset` makes one).

    An interrupted training goes on where it was. Snapshots lie in the folder that is printed, the best one by
    the error on test frames among them; `model_folder = "PROJECT"` has `anipipe pose-2d` use it.
    """
    from anipipe.commands import train as training

    bar: Any = None

    def started(start: Start) -> None:
        nonlocal bar
        print_lines(views.training_lines(start))
        bar = tqdm(total=1, unit="batch", leave=False, disable=None)

    def step(done: int, of: int) -> None:
        bar.total, bar.n = of, done
        bar.refresh()

    def report(epoch: Epoch) -> None:
        tqdm.write(views.epoch_line(epoch), file=sys.stdout)

    with noting():
        done = training.train(project, resume=resume, started=started, report=report, step=step, **options)
    if bar is not None:
        bar.close()
    click.echo(f"trained: {done.snapshots[-1]}" if done.snapshots else "no snapshot was due yet")
    return 0


@click.command(context_settings=CONTEXT, short_help="Hold a network against the labels.")
@_SHUFFLE
@click.option(
    "--snapshot", metavar="NAME", help="Which one.  [default: as snapshotindex in config.yaml chooses]"
)
@click.option(
    "--worst",
    type=click.IntRange(min=0),
    default=10,
    show_default=True,
    metavar="N",
    help="How many pictures to draw of train and of test frames each, the worst ones.",
)
@_DEVICE
@_PROJECT
def evaluate(project: Path, shuffle: int, snapshot: str | None, worst: int, device: str) -> int:
    """Tell how far a network's points are from the labels: on train and test frames, and joint by joint.

    Writes tables and pictures of the worst frames, with labels and predictions, into
    evaluation-results-pytorch/ of the project.
    """
    from anipipe.commands import evaluate as evaluating

    with noting(), tqdm(desc="frames", unit="frame", leave=False, disable=None) as bar:
        result = evaluating.evaluate(
            project,
            shuffle=shuffle,
            snapshot=snapshot,
            device=device,
            worst=worst,
            step=partial(_move, bar),
        )
    print_lines(views.evaluation_lines(result))
    return 0


def _move(bar: Any, done: int, of: int) -> None:
    bar.total, bar.n = of, done
    bar.refresh()


@click.command("bench-model", context_settings=CONTEXT, short_help="Measure how fast a network runs here.")
@click.option("--model", type=click.Path(path_type=Path), help="A trained network.  [default: model_folder]")
@click.option(
    "--video",
    type=click.Path(path_type=Path),
    help="A video to run it on.  [default: the experiment's first]",
)
@click.option("--frames", type=click.IntRange(min=1), default=100, show_default=True, help="How many of it.")
@click.option(
    "--device", metavar="NAME", help="auto, cpu, cuda, cuda:1, mps.  [default: network.device, or auto]"
)
@click.argument("path", type=click.Path(path_type=Path), default=Path())
def bench_model(path: Path, model: Path | None, video: Path | None, frames: int, device: str | None) -> int:
    """Measure how fast a network runs on this machine, and what it spends its time on. Writes nothing.

    The network alone is measured in each arithmetic and with several frames at once; then all that `pose-2d`
    does, from the video to the points. What is best is what network.batch_size and network.precision can be
    set to. Takes no lock: nothing else should run meanwhile.
    """
    from anipipe.commands import bench_model as benching

    subject = benching.find_subject(path, model, video)
    if device is not None:
        subject = replace(subject, device=device)
    say: Callable[[str], None] = lambda what: click.echo(f"measuring {what}", err=True)  # noqa: E731
    with noting():
        bench = benching.bench_model(subject, frames=frames, report=say)
    print_lines(views.bench_lines(bench))
    return 0
