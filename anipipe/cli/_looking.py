"""Commands that look at what is there and change nothing: status, config, calibration check."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from anipipe import views
from anipipe.cli._shared import CONTEXT, PATHS, print_lines, sessions_below, told, worst
from anipipe.commands import calibration_files
from anipipe.commands import check_calibration as checking
from anipipe.commands import run as running
from anipipe.commands import status as states
from anipipe.config import Resolved, origin_table, to_toml
from anipipe.console import paint
from anipipe.errors import AnipipeError, UsageError
from anipipe.project import find_experiments, walk
from anipipe.stages import REGISTRY, pose_3d
from anipipe.stages.boards import BoardOptions


@click.command(context_settings=CONTEXT, short_help="Show what is up to date, and what is not.")
@click.option("--why", is_flag=True, help="Tell why what is not up to date is not, and what jobs noted.")
@click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="Everything, for programs to read: a list with one object per experiment.",
)
@PATHS
def status(paths: tuple[Path, ...], why: bool, as_json: bool) -> int:
    """Show what is up to date, stale, failed, given, edited: sessions by stages. Changes nothing."""
    found = find_experiments(paths or (Path(),))
    descriptions, statuses = [], []
    request = running.Request(REGISTRY.stages)
    for root, parts in found.items():
        try:
            opened = running.prepare(root, parts, request, REGISTRY)
            for job in opened.plan.jobs:
                job.selected = True
            opened.look_ahead(retrying=False)
        except (AnipipeError, OSError) as error:
            if len(found) == 1:
                raise
            descriptions.append({"experiment": str(root), "error": str(error)})
            statuses.append(told(error, root))
            continue
        statuses.append(0)
        if as_json:
            descriptions.append(states.describe(opened))
        else:
            if len(found) > 1:
                click.echo(paint(str(root), "bold"))
            print_lines(views.status_lines(opened, why=why))
    if as_json:
        click.echo(json.dumps(descriptions, indent=1))
    return worst(statuses)


@click.command(context_settings=CONTEXT, short_help="Show the configuration, merged from all levels.")
@click.option("--origin", is_flag=True, help="Tell which file sets which key.")
@click.argument("path", type=click.Path(path_type=Path), default=Path())
def config(path: Path, origin: bool) -> int:
    """Show the configuration of an experiment, or of one session, merged from all levels."""
    found = find_experiments([path])
    for root, parts in found.items():
        experiment = walk(root)
        settings: Resolved = experiment.settings
        if parts:
            sessions = sessions_below(experiment, parts)
            if len({id(unit.settings) for unit in sessions}) > 1:
                raise UsageError(f"{path}: its sessions have different settings; name one of them")
            settings = sessions[0].settings
        if not origin:
            click.echo(to_toml(settings.config), nl=False)
            continue
        rows = [(key, value, source) for key, value, source in origin_table(settings) if source is not None]
        width = max((len(key) for key, _, _ in rows), default=0)
        for key, value, source in rows:
            place = source.relative_to(root) if source.is_relative_to(root) else source
            click.echo(f"{key:<{width}}  {place}  {value}")
        click.echo("every other key has its default; `anipipe config` without --origin shows them all")
    return 0


@click.group(context_settings=CONTEXT)
def calibration() -> None:
    """Look at calibrations: `anipipe calibration check`."""


@calibration.command(context_settings=CONTEXT, short_help="Find out whether a calibration can be trusted.")
@click.option(
    "--poses",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="Hold it against the 2D predictions in this folder, instead of the sessions' own.",
)
@click.option(
    "--cam-regex",
    metavar="REGEX",
    help="With --poses: what finds the camera in a file's name, as triangulation.cam_regex does.",
)
@click.option("--json", "as_json", is_flag=True, help="Everything, for programs to read: one object each.")
@PATHS
def check(paths: tuple[Path, ...], poses: Path | None, cam_regex: str | None, as_json: bool) -> int:
    """Find out whether a calibration can be trusted. Changes nothing.

    Name a calibration.toml, from anywhere, or folders: experiments, sessions, calibration folders. The
    cameras are looked at by themselves (two in one place? a lens that ends within the picture?), then held
    against the corners of the board in calibration/detections/, and against the 2D poses of the sessions that
    use them: what several cameras see of an animal has to meet in space, and does not if one was moved.

    \b
    Exit status: 0 nothing critical, 1 a critical alarm: 3D would be wrong, 2 wrong usage.
    """  # noqa: D301 - click's mark for lines that are not to be joined
    if cam_regex is not None and poses is None:
        raise UsageError("--cam-regex is for the files of --poses")
    checks = [
        checking.check(source, stack=_stack, make_board=_board, poses=poses, cam_regex=cam_regex)
        for source in calibration_files.find(paths)
    ]
    if as_json:
        click.echo(json.dumps([each.as_values() for each in checks], indent=1))
    for each in () if as_json else checks:
        print_lines(views.check_lines(each))
    return int(any(each.critical for each in checks))


def _stack(poses: Sequence[Any], settings: Resolved) -> Any:
    """Return the pixels of a trial's views that triangulation would use."""
    options = pose_3d.TriangulationOptions.of(settings)
    return pose_3d.stack(poses, pose_3d.merge_joints(poses), options)[0][..., 0, :]


def _board(settings: Resolved) -> Any:
    """Return the calibration board that settings describe."""
    return BoardOptions.of(settings).board()
