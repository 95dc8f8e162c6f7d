"""Commands for unattended work, and for looking back: nightly, runs, log."""

from __future__ import annotations

import json
import sys
from datetime import datetime
from pathlib import Path

import click
from click.core import ParameterSource

from anipipe import night_views
from anipipe.cli._shared import CONTEXT, EXECUTOR, Jobs, complain, noting, print_lines
from anipipe.commands import history, night_templates, on_failure
from anipipe.commands import nightly as nights
from anipipe.commands.night_places import next_time
from anipipe.commands.opening import Opened
from anipipe.commands.workers import ExecutorName
from anipipe.console import Progress, paint, printable
from anipipe.errors import INTERRUPTED, AnipipeError, NotHereError, UsageError
from anipipe.project import absolute, experiment_above, find_experiments, inside, walk
from anipipe.stages import REGISTRY
from anipipe.suggest import nearest


def _refuse_other_options() -> None:
    """Refuse what would not be in the template that is printed.

    Raises
    ------
    UsageError
        Naming it.
    """
    context = click.get_current_context()
    given = [
        option.opts[0]
        for option in context.command.params
        if isinstance(option, click.Option)
        and option.name != "template"
        and context.get_parameter_source(str(option.name)) is ParameterSource.COMMANDLINE
    ]
    if given:
        raise UsageError(f"--template takes no {', '.join(given)}: change what is printed to your taste")


@click.command(context_settings=CONTEXT, short_help="Bring a whole lab up to date, unattended.")
@click.option("--until", metavar="HH:MM", help="Begin nothing new after this time, the next one of its kind.")
@click.option(
    "-j",
    "--jobs",
    type=Jobs(),
    default="auto",
    metavar="N",
    help="Jobs at a time, each in a process of its own, so that one that hangs can be ended.  [default: "
    "auto, one per processor, as far as there is memory for them]",
)
@EXECUTOR
@click.option(
    "--on-failure",
    "command",
    metavar="COMMAND",
    help="Your own program, called if the exit status is not 0: with the report (HTML, then JSON) as last "
    "arguments and a summary to read.",
)
@click.option(
    "--report",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="FOLDER",
    help="Where reports go.  [default: .anipipe/nightly in the first ROOT]",
)
@click.option(
    "--settle",
    type=click.FloatRange(min=0),
    default=10.0,
    show_default=True,
    metavar="SECONDS",
    help="Time between two looks at recordings: one that differs is still being written, and waits.",
)
@click.option(
    "--template",
    type=click.Choice(list(night_templates.TEMPLATES)),
    help="Print what starts this command every night, filled in for this machine; do nothing else.",
)
@click.option("-v", "--verbose", is_flag=True, help="Show progress, and tell at the end where the report is.")
@click.argument("roots", nargs=-1, type=click.Path(path_type=Path), metavar="ROOT...", required=True)
def nightly(
    roots: tuple[Path, ...],
    until: str | None,
    jobs: int,
    executor: ExecutorName,
    command: str | None,
    folder: Path | None,
    settle: float,
    template: str | None,
    verbose: bool,
) -> int:
    """Bring all experiments in or under each ROOT up to date, unattended, and write a report.

    Prints nothing if all is well; else, also if all were locked, a summary that names the report. Whatever
    goes wrong with one experiment, the others are done. Recordings that are still being written wait for the
    next night, and experiments that somebody is processing are left out.

    \b
    Exit status: 0 done or up to date, 1 something failed, 2 nothing could be used (paths, configurations),
                 75 all were locked by other runs, 130 interrupted.
    """  # noqa: D301 - click's mark for lines that are not to be joined
    if template is not None:
        _refuse_other_options()
        click.echo(night_templates.filled(template, roots), nl=False)
        return 0
    words = on_failure.parse(command) if command is not None else []
    if words and not on_failure.is_there(words):  # a night is done all the same
        complain(
            f"--on-failure {words[0]}: there is no such program; nothing will be called if the night fails"
        )
    night = nights.Night(
        roots,
        until=next_time(until, datetime.now()) if until is not None else None,
        jobs=jobs,
        executor=executor,
        settle=settle,
        folder=folder,
        command=tuple(sys.argv[1:]),
    )

    def shown(opened: Opened) -> Progress:
        click.echo(paint(printable(str(opened.experiment.root)), "bold"), err=True)
        return Progress(opened)

    with noting(quiet=not verbose):
        morning = nights.nightly(night, REGISTRY, **({"observe": shown} if verbose else {}))
    status = morning.exit_status
    text = "\n".join(map(printable, night_views.summary_lines(morning)))
    if verbose or night_views.asks_for_a_look(morning):
        click.echo(text, err=True)
    if words and status not in (0, INTERRUPTED):
        trouble = on_failure.call(words, morning.page, morning.data, status, click.unstyle(text) + "\n")
        if trouble:
            complain(trouble)
    return status


@click.command(context_settings=CONTEXT, short_help="List past runs.")
@click.option("-n", "count", type=click.IntRange(min=1), metavar="N", help="Only the last N.")
@click.option("--json", "as_json", is_flag=True, help="For programs to read.")
@click.argument("path", type=click.Path(path_type=Path), default=Path())
def runs(path: Path, count: int | None, as_json: bool) -> int:
    """List past runs of an experiment: when, how long, what was done, how they ended.

    A run that was killed left a log and no report; one that holds the experiment's lock is still running.
    """
    found = find_experiments([path])
    described = []
    for root in found:
        listed = _runs_of(root)[-(count or 0) :]
        if as_json:
            described.append({"experiment": str(root), "runs": [run.describe() for run in listed]})
            continue
        if len(found) > 1:
            click.echo(paint(printable(str(root)), "bold"))
        print_lines(night_views.runs_lines(listed) if listed else ["nothing has been run here yet"])
    if as_json:
        click.echo(json.dumps(described, indent=1))
    return 0


@click.command(context_settings=CONTEXT, short_help="Tell what was done for a session, and when.")
@click.option("--stage", "stages", multiple=True, metavar="STAGE", help="Only this stage; repeatable.")
@click.option("-n", "count", type=click.IntRange(min=1), metavar="N", help="Only the last N entries.")
@click.option("--json", "as_json", is_flag=True, help="For programs to read.")
@click.argument("session", type=click.Path(path_type=Path))
def log(session: Path, stages: tuple[str, ...], count: int | None, as_json: bool) -> int:
    """Tell a session's story over all runs that are kept: what was done when and why, and what failed.

    SESSION is its folder, also one that is gone; or an experiment, for everything.
    """
    root, relative = _place(session)
    names = {name for stage in REGISTRY for name in (stage.name, stage.command, *stage.aliases) if name}
    for name in stages:
        if name not in names:
            near = nearest(name, names)
            hint = f"; did you mean {near}?" if near else f"; there are {', '.join(sorted(names))}"
            raise UsageError(f"--stage {name}: there is no such stage{hint}")
    wanted = [stage.name for stage in REGISTRY if {stage.name, stage.command, *stage.aliases} & set(stages)]
    past = _runs_of(root)
    events = history.story(past, relative, stages=wanted)[-(count or 0) :]
    if not events and not absolute(session).exists():
        known = history.sessions(past)
        near = next((name for name in known if name.endswith(f"/{relative}")), nearest(relative, known))
        hint = f"; did you mean {near}?" if near else ""
        raise NotHereError(f"{session}: no session here, and no run that is kept has one of that name{hint}")
    if as_json:
        click.echo(json.dumps([event.describe() for event in events], indent=1))
    else:
        nothing = f"no run that is kept has done anything for {relative or root}"
        print_lines(night_views.story_lines(events) if events else [nothing])
    return 0


def _place(session: Path) -> tuple[Path, str]:
    """Return the experiment that a session is or was in, and where in it."""
    place = absolute(session)
    there = next(folder for folder in (place, *place.parents) if folder.is_dir())
    root = experiment_above(there)
    if root is None:
        raise UsageError(f"{session}: is in no experiment (no config.toml there or above it)")
    return root, inside(root, place)


def _runs_of(root: Path) -> list[history.Run]:
    """Return the runs of an experiment, which lie where its recordings do."""
    try:
        root = walk(root).root
    except AnipipeError:
        pass  # its configuration cannot be used now; what was done before is there all the same
    return history.past_runs(root)
