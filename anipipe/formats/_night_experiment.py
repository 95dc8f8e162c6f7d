"""The section of one experiment in the page of a night."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from anipipe.formats._night_parts import (
    bar,
    bullets,
    duration,
    failure,
    folded,
    is_calm,
    legend,
    line,
    lines,
    number,
    size,
    state_table,
    table,
    unfolding,
    worst,
)

Record = Mapping[str, Any]

#: How an experiment's verdict is coloured; those that ask for a look come first.
VERDICTS = {
    "failed": "bad",
    "unusable": "bad",
    "gone": "bad",
    "interrupted": "warn",
    "locked": "warn",
    "unfinished": "warn",
    "waiting": "calm",
    "done": "good",
    "up to date": "good",
    "left out": "",
}
#: How often something is named before the rest is counted.
_FEW = 12
#: So many rows of the table of sessions are shown before the rest is folded.
_ROWS = 40


def chip(record: Record) -> str:
    """Return an experiment's verdict, coloured."""
    return f'<span class="chip {VERDICTS[record["verdict"]]}">{line(record["verdict"])}</span>'


def experiment(index: int, record: Record) -> str:
    """Return the section of one experiment; what asks for a look comes first."""
    parts = [
        f'<h2 id="e{index}">{line(record["root"])} {chip(record)}</h2>',
        _error(record),
        _list("Problems", [lines(text) for text in record.get("problems", ())], "bad"),
        _section("Failed", unfolding([failure(each) for each in record.get("failed", ())], "failures", _FEW)),
        _blocked(record),
        _list("To be looked at", [_noted(note) for note in record.get("concerns", ())], "warn"),
        _waiting(record),
        f"<p>{number(record['put_off'], 'job')} left for the next night: the time was up.</p>"
        if record.get("put_off")
        else "",
        _conflicts(record),
        _changes(record),
        _states(record),
        _times(record),
        _kept(record),
        _list("Notes", _notes(record), ""),
        _disk(record),
    ]
    return "\n".join(part for part in parts if part)


def _section(title: str, body: str) -> str:
    return f"<h3>{title}</h3>\n{body}" if body else ""


def _list(title: str, items: Sequence[str], look: str) -> str:
    if not items:
        return ""
    body = bullets(items)
    if look:
        return _section(title, f'<div class="item {look}">{body}</div>')
    return folded(f"{title} ({len(items)})", body)


def _error(record: Record) -> str:
    if "error" not in record:
        return "<p>Left out: <b>nightly.enabled = false</b>.</p>" if record["verdict"] == "left out" else ""
    trace = record.get("traceback")
    more = folded("traceback", f"<pre>{lines(trace)}</pre>") if trace else ""
    return f'<div class="item {VERDICTS[record["verdict"]]}"><p>{lines(record["error"])}</p>{more}</div>'


def _blocked(record: Record) -> str:
    items = [_reasons(job, "warn") for job in record.get("blocked", ())]
    if after := record.get("blocked_after", 0):
        items.insert(
            0, f"<p>{number(after, 'job')} could not be begun, since one before it could not be done.</p>"
        )
    return _section("Blocked", unfolding(items, "blocked jobs", _FEW))


def _reasons(job: Record, look: str) -> str:
    reasons = bullets([lines(reason) for reason in job["reasons"]], _FEW)
    return f'<div class="item {look}"><b>{line(job["job"])}</b>{reasons}</div>'


def _waiting(record: Record) -> str:
    waiting = record.get("waiting")
    if not waiting:
        return ""
    files = bullets([line(text) for text in waiting["files"]], _FEW)
    text = f"<p>{number(waiting['jobs'], 'job')} left for the next night:</p>{files}"
    return _section("Still being written", f'<div class="item calm">{text}</div>')


def _conflicts(record: Record) -> str:
    items = [_reasons(job, "odd") for job in record.get("conflicts", ())]
    return _section("Conflicts", unfolding(items, "conflicts", _FEW))


def _changes(record: Record) -> str:
    changes = record.get("changes") or {}
    told = []
    if record.get("done"):
        work = Counter[str]()
        for entry in record["stages"].values():
            work[entry["column"]] += entry["jobs"]
        sessions = [name for name in record["done_in"] if not name.startswith("(")]
        where = f" in {number(len(sessions), 'session')}" if sessions else ""
        kinds = ", ".join(f"{count} {line(column)}" for column, count in work.items())
        told.append(f"{number(record['done'], 'job')} done{where}: {kinds}")
    for key, what in _CHANGES.items():
        if names := changes.get(key, ()):
            told.append(f"{what}: {_some(names)}")
    if not told:
        return ""
    return _section("Since the night before" if changes else "Done", bullets(told))


_CHANGES = {
    "newly_failing": "newly failing",
    "recovered": "failed before, and does not any more",
    "not_tried": "failed before, and was not tried",
    "new_sessions": "new sessions",
    "removed_sessions": "sessions that are gone",
}


def _some(names: Sequence[str]) -> str:
    rest = f" and {len(names) - _FEW} more" if len(names) > _FEW else ""
    return ", ".join(line(name) for name in names[:_FEW]) + rest


def _states(record: Record) -> str:
    sessions = record.get("sessions", {})
    if not sessions:
        return ""
    columns = record["columns"]
    calm = {name: row for name, row in sessions.items() if is_calm(row)}
    rest = sorted((item for item in sessions.items() if item[0] not in calm), key=lambda item: worst(item[1]))
    parts = [state_table(columns, dict(rest[:_ROWS]))] if rest else []
    for rows, what in ((dict(rest[_ROWS:]), "more of these"), (calm, "with nothing left to do")):
        if rows:
            few = not rest and len(rows) <= _FEW
            shown = state_table(columns, rows)
            parts.append(shown if few else folded(f"{number(len(rows), 'row')} {what}", shown))
    return _section("Sessions", "\n".join([*parts, legend(sessions)]))


def _times(record: Record) -> str:
    stages = sorted(record.get("stages", {}).items(), key=lambda item: -item[1]["seconds"])
    if not stages:
        return ""
    first, most = stages[0][0], stages[0][1]["seconds"]
    rows = [
        [
            line(stage),
            str(entry["jobs"]),
            duration(entry["seconds"]),
            duration(entry["longest"]),
            bar(entry["seconds"] / (most or 1.0)),
        ]
        for stage, entry in stages
    ]
    slow = [f"{line(job['job'])}: {duration(job['seconds'])}" for job in record["slowest"]]
    body = (
        table(("stage", "jobs", "all together", "longest", ""), rows) + "<p>Slowest jobs:</p>" + bullets(slow)
    )
    return folded(
        f"Took {duration(record['seconds'])}; most of the work was {line(first)}, {duration(most)}", body
    )


def _kept(record: Record) -> str:
    parts = []
    for key in ("given", "edited"):
        if paths := record.get(key):
            use = "it is" if len(paths) == 1 else "they are"
            title = f"{number(len(paths), f'{key} file')}, used as {use}"
            parts.append(folded(title, bullets([line(path) for path in paths])))
    return "\n".join(parts)


def _notes(record: Record) -> list[str]:
    jobs = [_noted(note) for note in record.get("notes", ())]
    return [*(lines(text) for text in record.get("notices", ())), *jobs]


def _noted(note: Record) -> str:
    return f"{line(note['job'])}: {lines(note['text'])}"


def _disk(record: Record) -> str:
    disk = record.get("disk", {})
    outputs = disk.get("outputs", {})
    free = f"{size(disk['free'])} of {size(disk['size'])} free" if "free" in disk else ""
    if not outputs:
        return ""
    total, largest = sum(outputs.values()), max(outputs.values())
    rows = [[line(name), size(count), bar(count / largest)] for name, count in outputs.items()]
    title = ", ".join(filter(None, [f"Results take {size(total)}", free]))
    return folded(title, table(("stage", "size", ""), rows))
