"""Commands that write what a stage does not: init, draw-board, and adopt, which writes records only."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import click
from tqdm import tqdm

from anipipe import views
from anipipe.cli._shared import CONTEXT, PATHS, print_lines, sessions_below, told, worst
from anipipe.commands import adopt as adopting
from anipipe.commands import draw_board as drawing
from anipipe.commands import init as init_command
from anipipe.commands import run as running
from anipipe.config import Resolved
from anipipe.console import paint, printable
from anipipe.errors import AnipipeError, UsageError
from anipipe.project import find_experiments, walk
from anipipe.stages import REGISTRY
from anipipe.stages.boards import BoardOptions


@click.command(context_settings=CONTEXT, short_help="Look at the videos, and write a config.toml.")
@click.option("--print", "printing", is_flag=True, help="Print the proposal; write nothing.")
@click.option(
    "--template",
    type=click.Choice(list(init_command.TEMPLATES)),
    help="Propose nothing; write what can be set in 2D, in 3D, or every key (full).",
)
@click.argument("folder", type=click.Path(path_type=Path), default=Path())
def init(folder: Path, printing: bool, template: str | None) -> int:
    """Write a config.toml in which every key is explained, with settings proposed for what lies there.

    Looked up are sessions, the cameras in the names of videos, the calibration board, and the joints of
    predictions. Beside each proposed key stands what it rests on. Nothing that is there is moved or changed.

    With --template nothing is looked at, so that one can begin before there are videos: "2d" has the keys of
    networks, filters, tables and videos; "3d" has those of calibration, triangulation and angles too; "full"
    also has those of Anipose that have no effect here. What has to be set is marked TO BE SET.

    A config.toml that is there is never overwritten.
    """
    init_command.check(folder, writing=not printing)
    if template is not None:
        draft = init_command.draft_of_template(template, folder)
    else:
        draft = init_command.draft(folder, lambda text: click.echo(printable(text), err=True))
    wrote = [] if printing else [f"wrote {init_command.write(folder, draft.text)}"]
    for line in (*draft.found, *wrote, *draft.advice):
        click.echo(printable(line), err=printing)
    if printing:
        click.echo(draft.text, nl=False)
    return 0


@click.command("draw-board", context_settings=CONTEXT, short_help="Draw the calibration board, for printing.")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="A .pdf at true size, with a ruler to check the print, or a .png.  [default: board.pdf, beside "
    "config.toml, if there is none]",
)
@click.option(
    "--dpi", type=click.IntRange(min=10), default=300, show_default=True, help="Pixels per inch of a .png."
)
@click.argument("path", type=click.Path(path_type=Path), default=Path())
def draw_board(path: Path, output: Path | None, dpi: int) -> int:
    """Draw the calibration board that [calibration] in the configuration describes.

    Print the pdf at 100 % ("actual size"), check its ruler with another one, and measure a square of the
    print: what you measure is what board_square_side_length has to say.
    """
    for root, parts in find_experiments([path]).items():
        experiment = walk(root)
        settings: Resolved = sessions_below(experiment, parts)[0].settings if parts else experiment.settings
        place = output or root / "board.pdf"
        if output is None and place.exists():
            raise UsageError(f"{place} is there already; name a file with -o")
        calibration = settings.config.calibration
        board = BoardOptions.of(settings).board(legacy=calibration.board_legacy is True)
        inverted = calibration.board_inverted
        print_lines([drawing.draw(board, place, units=calibration.units, inverted=inverted, dpi=dpi)])
    return 0


@click.command(context_settings=CONTEXT, short_help="Take in results of Anipose, DeepLabCut or yours.")
@click.option("--edited", is_flag=True, help="Take in also what anipipe made and somebody has changed since.")
@click.option("--dry-run", is_flag=True, help="Tell what would be taken in; record nothing.")
@PATHS
def adopt(paths: tuple[Path, ...], edited: bool, dry_run: bool) -> int:
    """Take in results that Anipose, DeepLabCut or you have made, without running anything.

    What lies where anipipe would put its own results is recorded as done, made from what is there now: it is
    up to date, and is made again once something that it rests on changes. No file is touched. Without this,
    such files are used as they are and never replaced.
    """
    found = find_experiments(paths or (Path(),))
    request, statuses = running.Request(REGISTRY.stages), [0]
    for root, parts in found.items():
        if len(found) > 1:
            click.echo(paint(str(root), "bold"))
        try:
            opened = running.prepare(root, parts, request, REGISTRY)
            progress = partial(tqdm, desc="looking", disable=None)
            adoption = adopting.adopt(opened, edited=edited, dry_run=dry_run, progress=progress)
        except (AnipipeError, OSError) as error:
            if len(found) == 1:
                raise
            statuses.append(told(error, root))
            continue
        print_lines(views.adoption_lines(adoption, dry_run=dry_run))
        for problem in opened.problems():
            print_lines([paint("problem: ", "red") + problem])
            statuses.append(1)
    return worst(statuses)
