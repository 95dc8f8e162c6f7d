"""What commands have in common."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import click

from anipipe.console import paint, printable
from anipipe.engine.declare import Unit
from anipipe.engine.perform import explain_os_error
from anipipe.errors import AnipipeError, LockedError, Notice
from anipipe.project import Experiment

CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 110}


class Jobs(click.ParamType[int]):
    """How many jobs at a time; ``auto`` is 0."""

    name = "jobs"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if value == "auto":
            return 0
        try:
            number = int(str(value))
        except ValueError:
            number = -1
        if number < 1:
            self.fail(f"{value!r}: a number of jobs, or auto", param, ctx)
        return number


JOBS = click.option(
    "-j",
    "--jobs",
    type=Jobs(),
    default="auto",
    metavar="N",
    help="Jobs at a time, each in a process of its own; 1 runs everything in this one.  [default: auto, one "
    "per processor, as far as there is memory for them]",
)
EXECUTOR = click.option(
    "--executor",
    type=click.Choice(["processes", "dask"]),
    default="processes",
    help="Where jobs run: processes of this machine, or the Dask cluster of [cluster] in the configuration.",
)
PATHS = click.argument("paths", nargs=-1, type=click.Path(path_type=Path))


def print_lines(lines: Iterable[str]) -> None:
    """Print lines, also those with names that are no valid text."""
    for line in lines:
        click.echo(printable(line))


@contextmanager
def noting(*, quiet: bool = False) -> Iterator[None]:
    """Print notices as they are issued, each once; none if ``quiet``."""
    told: set[str] = set()

    def show(message: Warning | str, category: type[Warning], *where: object, **more: object) -> None:
        if not quiet and str(message) not in told:
            told.add(str(message))
            click.echo(paint("note: ", "yellow") + printable(str(message)), err=True)

    with warnings.catch_warnings():
        warnings.simplefilter("always", Notice)
        warnings.showwarning = show
        yield


def complain(text: str) -> None:
    """Print an error."""
    click.echo(paint("error: ", "red") + printable(text), err=True)


def told(error: AnipipeError | OSError, root: Path) -> int:
    """Tell what keeps one experiment from being processed, and return the status for it."""
    complain(str(error) if isinstance(error, AnipipeError) else explain_os_error(error, root))
    return error.exit_status if isinstance(error, AnipipeError) else 1


def worst(statuses: Sequence[int]) -> int:
    """Return one exit status for several experiments; locked ones count only if all were locked."""
    others = [status for status in statuses if status != LockedError.exit_status]
    return max(others) if others else max(statuses, default=0)


def sessions_below(experiment: Experiment, folders: Iterable[Path]) -> list[Unit]:
    """Return the sessions in or below folders of an experiment; at least one.

    Raises
    ------
    AnipipeError
        If there is none, with what keeps them from being used.
    """
    sessions = [unit for unit in experiment.below(folders) if unit.kind == "session"]
    if not sessions:
        raise AnipipeError("\n".join(problem.message for problem in experiment.problems))
    return sessions
