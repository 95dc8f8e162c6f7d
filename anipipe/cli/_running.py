"""Commands of stages, made from the registry, and of chains of them."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import click

from anipipe import views
from anipipe.cli._shared import CONTEXT, EXECUTOR, JOBS, PATHS, noting, print_lines, told, worst
from anipipe.commands import run as running
from anipipe.commands.opening import Opened
from anipipe.commands.workers import ExecutorName
from anipipe.console import Progress, paint
from anipipe.engine.declare import Registry, Stage
from anipipe.errors import AnipipeError, NotHereError
from anipipe.project import find_experiments
from anipipe.stages import REGISTRY


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
        JOBS,
        EXECUTOR,
        PATHS,
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
    executor: ExecutorName,
    asked: Sequence[Stage] = (),
) -> int:
    """Bring stages up to date in every experiment that the paths name; return the exit status.

    ``asked`` are those that the user named, if any: where they have nothing to do, that is said.
    """
    request = running.Request(tuple(stages), only, force, jobs, executor)
    found = find_experiments(paths or (Path(),))
    statuses: list[int] = []
    nowhere: list[NotHereError] = []
    for root, parts in found.items():
        if len(found) > 1 and not quiet:
            click.echo(paint(str(root), "bold"))
        try:
            opened = running.prepare(root, parts, request, REGISTRY)
            if not quiet:
                print_lines(views.idle_lines(opened, asked))
            if dry_run:
                opened.look_ahead()
                print_lines(views.plan_lines(opened))
            else:
                statuses.append(_run_one(opened, request, quiet=quiet))
        except NotHereError as error:
            nowhere.append(error)  # what --only or --force names may be in another experiment
        except (AnipipeError, OSError) as error:
            if len(found) == 1:
                raise
            statuses.append(told(error, root))
    if len(nowhere) == len(found):
        raise nowhere[0]
    return worst(statuses)


def _run_one(opened: Opened, request: running.Request, *, quiet: bool) -> int:
    if not quiet:
        print_lines(views.notice_lines(opened))
    with noting(quiet=quiet):
        result = running.run(
            opened, request, command=sys.argv[1:], observe=lambda opened: Progress(opened, quiet=quiet)
        )
    if not quiet or result.exit_status or result.conflicts:
        print_lines(views.result_lines(result))
    return result.exit_status


_ALONE = "\n\nRuns this step alone: stale inputs are used as they are, and named."
_DRAWN_ALONE = "\n\nMade where labeling.pictures names it, as it does unless it is set." + _ALONE
_TABLES_ALONE = (
    "\n\nRuns this step alone: what is stale is left out of the table, and named; "
    "--upstream brings it up to date first."
)


def _stage_command(name: str, stages: list[Stage]) -> click.Command:
    text = inspect.getdoc(stages[0].run) or ""

    @click.command(
        name,
        help=text + {"tables": _TABLES_ALONE, "pictures": _DRAWN_ALONE}.get(stages[0].group, _ALONE),
        short_help=text.partition("\n")[0],
        context_settings=CONTEXT,
    )
    @click.option("--upstream", is_flag=True, help="Bring what it reads up to date first.")
    @_options
    def command(upstream: bool, **options: Any) -> int:
        return _run(stages=REGISTRY.upstream(stages) if upstream else stages, asked=stages, **options)

    assert isinstance(command, click.Command)
    return command


def _chain_command(name: str, text: str, stages: Sequence[Stage]) -> click.Command:
    @click.command(name, help=text, short_help=text.partition(".")[0] + ".", context_settings=CONTEXT)
    @_options
    def command(**options: Any) -> int:
        return _run(stages=stages, **options)

    assert isinstance(command, click.Command)
    return command


def stage_commands(registry: Registry) -> Iterator[click.Command]:
    """Yield the commands that run stages: all of them, those of one step, and their other names."""
    yield _chain_command("run-all", "Bring everything up to date.", registry.stages)
    yield _chain_command(
        "run-data",
        "Bring poses, angles and tables up to date. No pictures or videos.",
        [stage for stage in registry if stage.group != "pictures"],
    )
    yield _chain_command(
        "run-viz",
        "Bring pictures and videos up to date, and what they show.",
        registry.upstream([stage for stage in registry if stage.group == "pictures"]),
    )
    families: dict[str, list[Stage]] = {}
    for stage in registry:
        families.setdefault(stage.command or stage.name, []).append(stage)
    for name, stages in families.items():
        command = _stage_command(name, stages)
        yield command
        for alias in stages[0].aliases:
            yield _alias(command, alias)
    tables = _stage_command("summarize", [stage for stage in registry if stage.group == "tables"])
    tables.help = "Gather everything in one table per kind." + _TABLES_ALONE
    tables.short_help = "Gather everything in one table per kind."
    yield tables
    yield _alias(tables, "summaries")


def _alias(command: click.Command, name: str) -> click.Command:
    return click.Command(
        name,
        params=command.params,
        callback=command.callback,
        help=f"Another name of `{command.name}`.\n\n{command.help}",
        hidden=True,
        context_settings=CONTEXT,
    )
