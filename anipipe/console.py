"""How things look on a terminal: colours, tables, progress. Text only; :mod:`anipipe.cli` prints it."""

from __future__ import annotations

import shutil
import sys
import textwrap
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import click

from anipipe.commands.opening import Opened
from anipipe.engine.freshness import State, Verdict
from anipipe.engine.jobs import Job
from anipipe.engine.plan import Plan
from anipipe.guards import visible, visible_lines

COLOURS = {
    State.FRESH: "green",
    State.STALE: "yellow",
    State.PENDING: "yellow",
    State.BLOCKED: "yellow",
    State.FAILED: "red",
    State.CONFLICT: "magenta",
    State.GIVEN: "cyan",
    State.EDITED: "cyan",
    State.ARCHIVED: "blue",
    State.SPARED: "blue",
    State.WAITING: "blue",
}
_STYLES: dict[str, dict[str, Any]] = {"bold": {"bold": True}}


def paint(text: str, colour: str) -> str:
    """Return coloured text; click takes the colour out where the output is no terminal."""
    return click.style(visible(text), **_STYLES.get(colour, {"fg": colour}))


def printable(text: str) -> str:
    """Return text that can be printed: names of files may be no valid text, or command the terminal."""
    return visible_lines(text)


def wrapped(text: str, lead: str = "") -> str:
    """Return text behind a lead, later lines indented; broken into lines only on a terminal."""
    if not sys.stdout.isatty():
        return lead + text.replace("\n", "\n    ")
    width = min(shutil.get_terminal_size().columns, 120)
    start = len(click.unstyle(lead))
    first, *rest = text.splitlines() or [""]
    lines = textwrap.wrap(first, max(20, width), initial_indent=" " * start, subsequent_indent="    ") or [""]
    lines[0] = lead + lines[0][start:]
    for line in rest:
        lines += textwrap.wrap(line, max(20, width), initial_indent="    ", subsequent_indent="      ")
    return "\n".join(lines)


def table_lines(
    corner: str,
    columns: Sequence[str],
    rows: Mapping[str, Sequence[Counter[State]]],
    marks: Mapping[State, str],
) -> Iterator[str]:
    """Yield the lines of a table of states; a cell names its states, the worst first, with their numbers."""
    if not rows:
        return
    cells = {name: [_cell(counts, marks) for counts in row] for name, row in rows.items()}
    first = max(len(corner), *(len(name) for name in cells))
    widths = [
        max(len(column), *(len(click.unstyle(row[index])) for row in cells.values()))
        for index, column in enumerate(columns)
    ]
    header = [
        corner.ljust(first),
        *(column.ljust(width) for column, width in zip(columns, widths, strict=True)),
    ]
    yield paint("  ".join(header).rstrip(), "bold")
    for name, row in cells.items():
        padded = [
            cell + " " * (width - len(click.unstyle(cell))) for cell, width in zip(row, widths, strict=True)
        ]
        yield "  ".join([name.ljust(first), *padded]).rstrip()


def table_of(header: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Yield the lines of a table of texts: the first two columns to the left, figures to the right."""
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]

    def line(cells: Sequence[str]) -> str:
        pairs = enumerate(zip(cells, widths, strict=True))
        return "  ".join(c.ljust(w) if place < 2 else c.rjust(w) for place, (c, w) in pairs).rstrip()

    yield paint(line(header), "bold")
    yield from map(line, rows)


def _cell(counts: Counter[State], marks: Mapping[State, str]) -> str:
    if not counts:
        return "-"
    parts = []
    for state, mark in marks.items():
        if counts[state]:
            number = f"{counts[state]} " if counts.total() > 1 else ""
            parts.append(paint(f"{number}{mark}", COLOURS[state]))
    return ", ".join(parts)


def _bar(job: Job) -> str:
    return job.stage.command or job.stage.name


class Progress:
    """Shows a run as it goes: one bar per stage on a terminal, else a line per job."""

    def __init__(self, opened: Opened, *, quiet: bool = False) -> None:
        self._quiet = quiet
        self._bars: dict[str, Any] = {}
        self._ahead: set[Job] = set()
        self._since: dict[Job, tuple[float, int]] = {}
        self._terminal = sys.stderr.isatty() and not quiet

    def begin(self, plan: Plan) -> None:
        """Draw the bars of the stages that have something to do."""
        if not self._terminal:
            return
        from tqdm import tqdm

        self._ahead = plan.ahead()
        ahead = Counter(_bar(job) for job in self._ahead)
        names = dict.fromkeys(stage.command or stage.name for stage in plan.registry)
        width = max((len(name) for name in ahead), default=0)
        for position, name in enumerate(name for name in names if ahead[name]):
            self._bars[name] = tqdm(
                total=ahead[name], desc=name.ljust(width), unit="job", position=position, dynamic_ncols=True
            )

    def started(self, job: Job) -> None:
        """Show nothing: a job is news when it ends."""

    def progressed(self, job: Job, done: int, total: int) -> None:
        """Show behind a bar how far the job is that spoke last, how fast, and how long it will still take."""
        bar = self._bars.get(_bar(job))
        if bar is None or not total:
            return
        then, before = self._since.setdefault(job, (time.monotonic(), done))
        rate = (done - before) / max(time.monotonic() - then, 1e-9)
        left = f", {bar.format_interval((total - done) / rate)} left" if rate > 0 else ""
        speed = f", {rate:.3g} frames/s" if rate > 0 else ""
        bar.set_postfix_str(f"{job.unit.key} {100 * done // total} %{speed}{left}")

    def settled(self, job: Job, verdict: Verdict, *, ran: bool, seconds: float, notices: list[str]) -> None:
        """Move a bar on, or tell what was done."""
        bar = self._bars.get(_bar(job))
        if bar is not None and job in self._ahead:
            bar.set_postfix_str("", refresh=False)
            bar.update(1)
            if all(other.n >= other.total for other in self._bars.values()):
                self._end()
        if ran and verdict.state is State.FAILED:
            self._say(wrapped(verdict.reasons[0], paint(f"failed {job.label}: ", "red")))
        elif ran and not self._terminal and not self._quiet:
            self._say(f"done {job.label} ({seconds:.2f} s)")
        for notice in () if self._quiet else notices:
            self._say(wrapped(notice, paint(f"note {job.label}: ", "yellow")))

    def withdrawn(self, path: str) -> None:
        """Tell that a part of a table was taken out."""
        if not self._quiet:
            self._say(f"taken out of its table, since it is not current: {path}")

    def _say(self, text: str) -> None:
        if self._bars:
            from tqdm import tqdm

            tqdm.write(printable(text), file=sys.stderr)
        else:
            click.echo(printable(text), err=True)

    def _end(self) -> None:
        for bar in self._bars.values():
            bar.close()
        self._bars = {}
