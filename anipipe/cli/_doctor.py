"""``anipipe doctor``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np
from tqdm import tqdm

from anipipe import doctor_views as views
from anipipe.cli._looking import _board, _stack
from anipipe.cli._shared import CONTEXT, PATHS, print_lines
from anipipe.commands import doctor as examining
from anipipe.errors import UsageError
from anipipe.formats.poses2d import Pose2D
from anipipe.project import find_experiments
from anipipe.stages import REGISTRY, pose_3d


@click.command(context_settings=CONTEXT, short_help="Find out what is not well, and what to do about it.")
@click.option("--quick", is_flag=True, help="Leave out what takes longest: the GPU, and the recordings.")
@click.option(
    "--json", "as_json", is_flag=True, help="Everything, for programs to read: a list with one object each."
)
@PATHS
def doctor(paths: tuple[Path, ...], quick: bool, as_json: bool) -> int:
    """Find out what is not well with installation, machine and experiment, and what to do about it.

    Looks at packages, codecs and the GPU; and of an experiment at rights and room on its disk, settings,
    calibrations, networks and recordings: whether they can be read, and whether the cameras of each trial
    have the same frames (numbers, rates, gaps and drift of their time stamps). Outside of an experiment, at
    installation and machine only. Changes nothing.

    \b
    Exit status: 0 nothing critical, 1 something critical: it would fail, or come out wrong,
                 2 wrong usage, or a configuration that cannot be used.
    """  # noqa: D301 - click's mark for lines that are not to be joined
    found = _experiments(paths)
    tools = examining.Tools(REGISTRY, _stack, _board, _check_size)
    reports = []
    with _Progress() as progress:
        for root, parts in (None, ()), *found.items():
            report = (
                examining.examine_machine(quick=quick, step=progress.step)
                if root is None
                else examining.examine_experiment(root, parts, tools, quick=quick, step=progress.step)
            )
            reports.append(report)
            progress.clear()
            if not as_json:
                print_lines(views.report_lines(report))
    if as_json:
        click.echo(json.dumps([report.as_values() for report in reports], indent=1))
    else:
        click.echo(views.summary_line(reports))
    return max(report.exit_status for report in reports)


def _experiments(paths: Sequence[Path]) -> dict[Path, list[Path]]:
    """Return the experiments that are meant: none, where none was named and there is none here."""
    try:
        return find_experiments(paths or (Path(),))
    except UsageError:
        if paths:
            raise
        return {}


class _Progress:
    """A bar on a terminal that tells what is being looked at."""

    def __init__(self) -> None:
        self._bar: Any = None

    def __enter__(self) -> _Progress:
        return self

    def __exit__(self, *_: object) -> None:
        self.clear()

    def step(self, what: str, done: int, of: int) -> None:
        """Show what is looked at next."""
        if self._bar is None:
            self._bar = tqdm(leave=False, disable=None, bar_format="{desc} {n_fmt}/{total_fmt}")
        self._bar.total, self._bar.n = of, done
        self._bar.set_description_str(f"looking at {what}", refresh=True)

    def clear(self) -> None:
        """Take the bar away, to print."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None


def _check_size(
    camera: str, size: tuple[int, int], calibrated: tuple[int, int], offset: Sequence[float] | None
) -> None:
    """Refuse a recording that is no part of the picture that its camera was calibrated with."""
    nothing = Pose2D((), np.zeros((0, 0, 1, 2)), np.zeros((0, 0, 1)), "", camera=camera, size=size)
    pose_3d.check_size(nothing, calibrated, offset)
