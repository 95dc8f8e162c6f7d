"""What the user reads of nights and of past runs, as lines of text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from anipipe.commands.history import AS_BEFORE, COUNTED, ENDED, Event, Run
from anipipe.commands.nightly import Morning
from anipipe.console import paint, table_of, wrapped
from anipipe.formats.night_page import verdict

#: Of what went wrong in one experiment, so much is named in a summary; the report has all.
_NAMED = 5
_LOOKS = {"done": "green", "failed": "red", "blocked": "yellow"}


def asks_for_a_look(morning: Morning) -> bool:
    """Say whether somebody should read the summary of a night."""
    concerns = any(record.get("concerns") for record in morning.report["experiments"])
    return bool(morning.exit_status or morning.trouble or concerns)


def summary_lines(morning: Morning) -> Iterator[str]:
    """Yield what went wrong in a night, in few lines, and where the report is."""
    report = morning.report
    yield f"{paint('anipipe nightly: ', 'bold')}{verdict(report)[1]}"
    for problem in report["problems"]:
        yield wrapped(problem["message"], "  ")
    for record in report["experiments"]:
        if record["exit_status"] or record.get("concerns"):
            yield paint(record["root"], "bold")
            for text in _wrong(record):
                yield wrapped(text, "  ")
    if morning.trouble:
        yield wrapped(morning.trouble, paint("note: ", "yellow"))
    yield f"report: {morning.page}"


def _wrong(record: Mapping[str, Any]) -> Iterator[str]:
    if "error" in record:
        yield record["error"]
    yield from record.get("problems", ())[:_NAMED]
    failed, blocked = record.get("failed", ()), record.get("blocked", ())
    for failure in failed[:_NAMED]:
        yield f"{paint('failed', 'red')} {failure['job']}: {failure['message']}"
    for job in blocked[: max(_NAMED - len(failed), 0)]:
        yield f"{paint('blocked', 'yellow')} {job['job']}: {'; '.join(job['reasons'])}"
    rest = len(failed) + len(blocked) - _NAMED
    if rest > 0:
        yield f"and {rest} more"
    concerns = record.get("concerns", ())
    for note in concerns[:_NAMED]:
        yield f"{paint('look at', 'yellow')} {note['job']}: {note['text']}"
    if len(concerns) > _NAMED:
        yield f"and {len(concerns) - _NAMED} more to look at"


def runs_lines(runs: Sequence[Run]) -> Iterator[str]:
    """Yield past runs, one a line: when, how long, how it ended, what was done, the command."""
    header = ("started", "command", "time", *COUNTED, "exit")
    rows = []
    for run in runs:
        seconds, counts = run.seconds, run.counts
        command = " ".join(map(str, run.report.get("command", ())))
        told = [str(counts[word] or "-") for word in COUNTED]
        status = "-" if run.exit_status is None else str(run.exit_status)
        rows.append(
            [
                f"{run.started:%Y-%m-%d %H:%M:%S}",
                command if len(command) <= 40 else command[:37] + "...",
                "-" if seconds is None else _duration(seconds),
                *told,
                status if run.state == ENDED else run.state,
            ]
        )
    yield from table_of(header, rows)


def story_lines(events: Sequence[Event]) -> Iterator[str]:
    """Yield what was done for a session: when, what, how long, why, and the end of tracebacks."""
    name = ""
    for event in events:
        if event.run.name != name:
            name = event.run.name
            yield paint(_heading(event.run), "bold")
        job = event.job
        seconds = f" ({_duration(float(job.get('seconds', 0)))})" if job.get("ran") else ""
        state = paint(event.state, _LOOKS.get(event.state, "cyan"))
        yield wrapped("; ".join(event.why), f"  {event.when:%H:%M:%S} {state} {job.get('job')}{seconds}: ")
        for notice in job.get("notices", ()):
            yield wrapped(str(notice), paint("    note: ", "yellow"))
        if job.get("traceback") and AS_BEFORE not in event.why:
            yield from (f"    | {line}" for line in str(job["traceback"]).rstrip().splitlines()[-12:])


def _heading(run: Run) -> str:
    how = {ENDED: f"exit status {run.exit_status}"}.get(run.state, run.state)
    report = run.report
    where = f" on {report['host']}" if "host" in report else ""
    version = f", anipipe {report['version']}" if "version" in report else ""
    executor = f", {report['executor']}" if "executor" in report else ""
    return f"{run.started:%Y-%m-%d %H:%M:%S}{where} ({how}{version}{executor})"


def _duration(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d}" if minutes < 60 else f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"
