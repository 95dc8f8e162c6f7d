"""The command line. Commands of stages come from the registry; nothing else in anipipe prints."""

from __future__ import annotations

import inspect
import json
import signal
import sys
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import click
from tqdm import tqdm

from anipipe import __version__
from anipipe.engine.executors import limit_threads

limit_threads()  # before anything imports a numerical library

from anipipe import views  # noqa: E402
from anipipe.commands import adopt as adopting  # noqa: E402
from anipipe.commands import calibration_files  # noqa: E402
from anipipe.commands import check_calibration as checking  # noqa: E402
from anipipe.commands import draw_board as drawing  # noqa: E402
from anipipe.commands import init as init_command  # noqa: E402
from anipipe.commands import run as running  # noqa: E402
from anipipe.commands import status as states  # noqa: E402
from anipipe.commands.opening import Opened  # noqa: E402
from anipipe.config import Resolved, origin_table, to_toml  # noqa: E402
from anipipe.console import Progress, paint, printable  # noqa: E402
from anipipe.engine.declare import Registry, Stage  # noqa: E402
from anipipe.errors import AnipipeError, LockedError, NotHereError, UsageError  # noqa: E402
from anipipe.project import find_experiments, walk  # noqa: E402
from anipipe.stages import REGISTRY, pose_3d  # noqa: E402
from anipipe.stages.boards import BoardOptions  # noqa: E402

_CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 110}
_PATHS = click.argument("paths", nargs=-1, type=click.Path(path_type=Path))


def main() -> None:
    """Run the command line and end the process."""
    signal.signal(signal.SIGTERM, _terminated)
    sys.exit(invoke(sys.argv[1:]))


def invoke(arguments: Sequence[str]) -> int:
    """Run one command and return its exit status; see `anipipe --help` for what they mean."""
    try:
        status = cli.main(list(arguments), prog_name="anipipe", standalone_mode=False)
    except click.exceptions.Abort:
        click.echo("interrupted; what was finished is kept, and the next run goes on from there", err=True)
        return 130
    except click.ClickException as error:
        error.show()
        return 2
    except AnipipeError as error:
        click.echo(paint("error: ", "red") + printable(str(error)), err=True)
        return error.exit_status
    except OSError as error:
        if isinstance(error, BrokenPipeError):  # the reader of a pipe, such as head, has seen enough
            sys.stderr.close()
            return 0
        click.echo(paint("error: ", "red") + printable(str(error)), err=True)
        return 1
    return status if isinstance(status, int) else 0


def _terminated(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


@click.group(context_settings=_CONTEXT)
@click.version_option(__version__, prog_name="anipipe")
def cli() -> None:
    """From folders of videos to 2D and 3D poses, joint angles and tables.

    Run a command in an experiment's folder (one with a config.toml), or name folders: experiments, sessions
    in them, or folders that hold many experiments. Only what changed is done again; `anipipe status --why`
    tells what, and because of what.

    \b
    Exit status: 0 done or up to date, 1 something failed, 2 wrong usage or configuration,
                 75 locked by another run, 130 interrupted.
    """  # noqa: D301 - click's mark for lines that are not to be joined


def _options(function: Callable[..., Any]) -> Callable[..., Any]:
    decorators = [
        click.option(
            "--only",
            multiple=True,
            metavar="SESSION",
            help="Only this session (a folder of the experiment, or one that holds sessions); repeatable.",
        ),
        click.option(
            "--force",
            multiple=True,
            type=click.Path(path_type=Path),
            metavar="PATH",
            help="Make this output, or all in this folder, again: also given and edited ones; repeatable.",
        ),
        click.option("-q", "--quiet", is_flag=True, help="Print nothing unless something went wrong."),
        click.option("--dry-run", is_flag=True, help="Tell what would be done, and why; do nothing."),
        click.option(
            "-j",
            "--jobs",
            type=click.IntRange(min=0),
            default=0,
            metavar="N",
            help="Worker processes; 1 runs everything in this one.  [default: one per processor]",
        ),
        _PATHS,
    ]
    for decorator in decorators:
        function = decorator(function)
    return function


def _run(
    paths: tuple[Path, ...],
    stages: Sequence[Stage],
    *,
    only: tuple[str, ...],
    force: tuple[Path, ...],
    dry_run: bool,
    quiet: bool,
    jobs: int,
) -> int:
    """Bring stages up to date in every experiment that the paths name; return the exit status."""
    request = running.Request(tuple(stages), only, force, jobs)
    found = find_experiments(paths or (Path(),))
    statuses: list[int] = []
    nowhere: list[NotHereError] = []
    for root, parts in found.items():
        if len(found) > 1 and not quiet:
            click.echo(paint(str(root), "bold"))
        try:
            opened = running.prepare(root, parts, request, REGISTRY)
            if dry_run:
                opened.look_ahead()
                _print(views.plan_lines(opened))
            else:
                statuses.append(_run_one(opened, request, quiet=quiet))
        except NotHereError as error:
            nowhere.append(error)  # what --only or --force names may be in another experiment
        except (AnipipeError, OSError) as error:
            if len(found) == 1:
                raise
            statuses.append(_told(error, root))
    if len(nowhere) == len(found):
        raise nowhere[0]
    return _worst(statuses)


def _told(error: AnipipeError | OSError, root: Path) -> int:
    """Tell what keeps one experiment from being processed, and return the status for it."""
    known = isinstance(error, AnipipeError)
    click.echo(paint("error: ", "red") + printable(str(error) if known else f"{root}: {error}"), err=True)
    return error.exit_status if isinstance(error, AnipipeError) else 1


def _run_one(opened: Opened, request: running.Request, *, quiet: bool) -> int:
    if not quiet:
        _print(views.notice_lines(opened))
    result = running.run(
        opened, request, command=sys.argv[1:], observe=lambda opened: Progress(opened, quiet=quiet)
    )
    if not quiet or result.exit_status or result.conflicts:
        _print(views.result_lines(result))
    return result.exit_status


def _print(lines: Iterable[str]) -> None:
    for line in lines:
        click.echo(printable(line))


def _worst(statuses: Sequence[int]) -> int:
    """Return one exit status for several experiments; locked ones count only if all were locked."""
    others = [status for status in statuses if status != LockedError.exit_status]
    return max(others) if others else max(statuses, default=0)


_ALONE = "\n\nRuns this step alone: stale inputs are used as they are, and named."
_TABLES_ALONE = (
    "\n\nRuns this step alone: what is stale is left out of the table, and named; "
    "--upstream brings it up to date first."
)


def _stage_command(name: str, stages: list[Stage]) -> click.Command:
    text = inspect.getdoc(stages[0].run) or ""

    @click.command(
        name,
        help=text + (_TABLES_ALONE if stages[0].group == "tables" else _ALONE),
        short_help=text.partition("\n")[0],
        context_settings=_CONTEXT,
    )
    @click.option("--upstream", is_flag=True, help="Bring what it reads up to date first.")
    @_options
    def command(upstream: bool, **options: Any) -> int:
        return _run(stages=REGISTRY.upstream(stages) if upstream else stages, **options)

    assert isinstance(command, click.Command)
    return command


def _chain_command(name: str, text: str, stages: Sequence[Stage]) -> None:
    @cli.command(name, help=text, short_help=text.partition(".")[0] + ".", context_settings=_CONTEXT)
    @_options
    def command(**options: Any) -> int:
        if not stages:
            click.echo("nothing to do: no stage of this version draws pictures or videos")
            return 0
        return _run(stages=stages, **options)


def _add_commands(registry: Registry) -> None:
    _chain_command("run-all", "Bring everything up to date.", registry.stages)
    _chain_command(
        "run-data",
        "Bring poses, angles and tables up to date. No pictures or videos.",
        [stage for stage in registry if stage.group != "pictures"],
    )
    _chain_command(
        "run-viz",
        "Bring pictures and videos up to date, and what they show.",
        registry.upstream([stage for stage in registry if stage.group == "pictures"]),
    )
    families: dict[str, list[Stage]] = {}
    for stage in registry:
        families.setdefault(stage.command or stage.name, []).append(stage)
    for name, stages in families.items():
        command = _stage_command(name, stages)
        cli.add_command(command)
        for alias in stages[0].aliases:
            cli.add_command(_alias(command, alias))
    tables = _stage_command("summarize", [stage for stage in registry if stage.group == "tables"])
    tables.help = "Gather everything in one table per kind." + _TABLES_ALONE
    tables.short_help = "Gather everything in one table per kind."
    cli.add_command(tables)
    cli.add_command(_alias(tables, "summaries"))


def _alias(command: click.Command, name: str) -> click.Command:
    return click.Command(
        name,
        params=command.params,
        callback=command.callback,
        help=f"Another name of `{command.name}`.\n\n{command.help}",
        hidden=True,
        context_settings=_CONTEXT,
    )


@cli.command(context_settings=_CONTEXT, short_help="Show what is up to date, and what is not.")
@click.option("--why", is_flag=True, help="Tell every reason for everything that is not up to date.")
@click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="Everything, for programs to read: a list with one object per experiment.",
)
@_PATHS
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
            statuses.append(_told(error, root))
            continue
        statuses.append(0)
        if as_json:
            descriptions.append(states.describe(opened))
        else:
            if len(found) > 1:
                click.echo(paint(str(root), "bold"))
            _print(views.status_lines(opened, why=why))
    if as_json:
        click.echo(json.dumps(descriptions, indent=1))
    return _worst(statuses)


@cli.command(context_settings=_CONTEXT, short_help="Take in results of Anipose, DeepLabCut or yours.")
@click.option("--edited", is_flag=True, help="Take in also what anipipe made and somebody has changed since.")
@click.option("--dry-run", is_flag=True, help="Tell what would be taken in; record nothing.")
@_PATHS
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
            statuses.append(_told(error, root))
            continue
        _print(views.adoption_lines(adoption, dry_run=dry_run))
        for problem in opened.problems():
            _print([paint("problem: ", "red") + problem])
            statuses.append(1)
    return _worst(statuses)


@cli.command(context_settings=_CONTEXT, short_help="Show the configuration, merged from all levels.")
@click.option("--origin", is_flag=True, help="Tell which file sets which key.")
@click.argument("path", type=click.Path(path_type=Path), default=Path())
def config(path: Path, origin: bool) -> int:
    """Show the configuration of an experiment, or of one session, merged from all levels."""
    found = find_experiments([path])
    for root, parts in found.items():
        experiment = walk(root)
        settings: Resolved = experiment.settings
        if parts:
            sessions = [unit for unit in experiment.below(parts) if unit.kind == "session"]
            if not sessions:
                raise AnipipeError("\n".join(problem.message for problem in experiment.problems))
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


@cli.command(context_settings=_CONTEXT, short_help="Look at the videos, and write a config.toml.")
@click.option("--print", "printing", is_flag=True, help="Print the proposal; write nothing.")
@click.argument("folder", type=click.Path(path_type=Path), default=Path())
def init(folder: Path, printing: bool) -> int:
    """Write a config.toml in which every key is explained, with settings proposed for what lies there.

    Looked up are sessions, the cameras in the names of videos, the calibration board, and the joints of
    predictions. Beside each proposed key stands what it rests on. Nothing that is there is moved or changed.
    """
    init_command.check(folder, writing=not printing)
    draft = init_command.draft(folder, lambda text: click.echo(printable(text), err=True))
    wrote = [] if printing else [f"wrote {init_command.write(folder, draft.text)}"]
    for line in (*draft.found, *wrote, *draft.advice):
        click.echo(printable(line), err=printing)
    if printing:
        click.echo(draft.text, nl=False)
    return 0


@cli.command("draw-board", context_settings=_CONTEXT, short_help="Draw the calibration board, for printing.")
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
        settings: Resolved = experiment.settings
        if parts:
            units = experiment.below(parts)
            chosen = [unit.settings for unit in units if unit.kind == "session"]
            if not chosen:
                raise AnipipeError("\n".join(problem.message for problem in experiment.problems))
            settings = chosen[0]
        place = output or root / "board.pdf"
        if output is None and place.exists():
            raise UsageError(f"{place} is there already; name a file with -o")
        calibration = settings.config.calibration
        board = BoardOptions.of(settings).board(legacy=calibration.board_legacy is True)
        inverted = calibration.board_inverted
        _print([drawing.draw(board, place, units=calibration.units, inverted=inverted, dpi=dpi)])
    return 0


@cli.group(context_settings=_CONTEXT)
def calibration() -> None:
    """Look at calibrations: `anipipe calibration check`."""


@calibration.command(context_settings=_CONTEXT, short_help="Find out whether a calibration can be trusted.")
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
@_PATHS
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
        _print(views.check_lines(each))
    return int(any(each.critical for each in checks))


def _stack(poses: Sequence[Any], settings: Resolved) -> Any:
    """Return the pixels of a trial's views that triangulation would use."""
    options = pose_3d.TriangulationOptions.of(settings)
    return pose_3d.stack(poses, pose_3d.merge_joints(poses), options)[0][..., 0, :]


def _board(settings: Resolved) -> Any:
    """Return the calibration board that settings describe."""
    return BoardOptions.of(settings).board()


_add_commands(REGISTRY)


if __name__ == "__main__":
    main()
