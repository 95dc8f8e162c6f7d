"""Parts of the page of a night: text made safe, numbers made readable, tables, lists."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from anipipe.engine.freshness import MEANINGS, State
from anipipe.guards import visible

#: Longer lists are cut; the report for programs has all.
SHOWN = 100
#: How a state is coloured, and what it is called in a cell; the worst first.
LOOKS: dict[State, tuple[str, str]] = {
    State.FAILED: ("b", "failed"),
    State.CONFLICT: ("o", "conflict"),
    State.BLOCKED: ("w", "blocked"),
    State.STALE: ("w", "to do"),
    State.PENDING: ("w", "to do"),
    State.WAITING: ("c", "waiting"),
    State.EDITED: ("c", "edited"),
    State.GIVEN: ("c", "given"),
    State.ARCHIVED: ("c", "archived"),
    State.SPARED: ("", "not needed"),
    State.FRESH: ("g", "ok"),
}
_CALM = {State.FRESH, State.GIVEN, State.EDITED, State.ARCHIVED, State.SPARED}
Cell = int | Mapping[str, int]


def line(text: object) -> str:
    """Return text for one line of HTML; what cannot be seen, line breaks too, is written out."""
    return html.escape(visible(str(text)), quote=True)


def lines(text: object) -> str:
    """Return text of several lines for HTML."""
    return "\n".join(map(line, str(text).split("\n")))


def number(count: int, what: str) -> str:
    """Return a number of things, in words."""
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def duration(seconds: float) -> str:
    """Return a time in units that are easy to read."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60:02d} min"


def size(count: float) -> str:
    """Return bytes in units that are easy to read."""
    units = ("bytes", "kB", "MB", "GB", "TB")
    place = 0
    while count >= 1000 and place < len(units) - 1:
        count, place = count / 1000, place + 1
    return f"{count:.0f} {units[place]}" if place == 0 or count >= 100 else f"{count:.1f} {units[place]}"


def clock(stamp: object) -> str:
    """Return a time stamp without what a reader does not need: ``2026-11-21 02:00``."""
    return line(str(stamp)[:16].replace("T", " "))


def bullets(items: Sequence[str], shown: int = SHOWN) -> str:
    """Return a list; what is too many is counted."""
    rest = [f"and {len(items) - shown} more, in the report for programs"] if len(items) > shown else []
    return "<ul>" + "".join(f"<li>{item}</li>" for item in [*items[:shown], *rest]) + "</ul>"


def folded(title: str, body: str, *, is_open: bool = False) -> str:
    """Return what can be unfolded."""
    return f"<details{' open' if is_open else ''}><summary>{title}</summary>\n{body}</details>"


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table whose first column names the rows; cells are HTML, those with a tag are whole cells."""
    head = "".join(f"<th>{cell}</th>" for cell in header)
    body = "".join(f"<tr><th>{first}</th>{''.join(map(_cell, rest))}</tr>\n" for first, *rest in rows)
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead>\n<tbody>\n{body}</tbody></table></div>'


def _cell(content: str) -> str:
    return content if content.startswith("<td") else f"<td>{content}</td>"


def bar(share: float) -> str:
    """Return a cell with a bar in it."""
    return f'<td class="meter"><span class="bar" style="width:{max(0.0, min(share, 1.0)):.1%}"></span></td>'


def worst(row: Sequence[Cell]) -> int:
    """Return the place of a session's worst state in :data:`LOOKS`."""
    states = {state for cell in row if not isinstance(cell, int) for state in cell}
    return next((place for place, state in enumerate(LOOKS) if state in states), len(LOOKS))


def is_calm(row: Sequence[Cell]) -> bool:
    """Say whether nothing in a session asks for somebody to look, or is left to do."""
    return all(isinstance(cell, int) or set(cell) <= _CALM for cell in row)


def state_table(columns: Sequence[str], sessions: Mapping[str, Sequence[Cell]]) -> str:
    """Draw sessions by stages: coloured, and in words where it is not simply up to date."""
    head = "".join(f"<th>{line(column)}</th>" for column in ("session", *columns))
    body = "".join(
        f'<tr><th title="{line(name)}">{line(name)}</th>{"".join(map(_state_cell, row))}</tr>\n'
        for name, row in sessions.items()
    )
    return (
        f'<div class="scroll"><table class="map"><thead><tr>{head}</tr></thead>\n<tbody>\n{body}</tbody>'
        "</table></div>"
    )


def _state_cell(cell: Cell) -> str:
    if isinstance(cell, int):
        return f'<td class="g">{cell}</td>' if cell else "<td></td>"
    known = [(state, cell[state]) for state in LOOKS if cell.get(state)]
    if not known:
        return "<td></td>"
    told = [f"{count} {LOOKS[state][1]}" for state, count in known]
    rest = f" <small>{', '.join(told[1:])}</small>" if told[1:] else ""
    return f'<td class="{LOOKS[known[0][0]][0]}">{told[0]}{rest}</td>'


def legend(sessions: Mapping[str, Sequence[Cell]]) -> str:
    """Say what the words in a table's cells mean."""
    cells = (cell for row in sessions.values() for cell in row)
    there = {state for cell in cells if not isinstance(cell, int) for state in cell}
    told = [
        f"<b>{line(LOOKS[state][1])}</b>: {line(MEANINGS[state])}"
        for state in LOOKS
        if state in there and state is not State.FRESH
    ]
    return f'<p class="soft">{"; ".join(["A number: so many jobs, up to date", *told])}.</p>'


def unfolding(parts: Sequence[str], what: str, few: int) -> str:
    """Return what comes one below another: the first few as they are, the others folded."""
    rest = len(parts) - few
    more = [folded(f"{rest} more {what}", "\n".join(parts[few:SHOWN]))] if rest > 0 else []
    return "\n".join([*parts[:few], *more])


def failure(told: Mapping[str, Any]) -> str:
    """Return a failure, with the end of its traceback folded away."""
    nights, tried = told.get("nights", 1), told.get("tried", True)
    age = (
        "new" if nights == 1 and tried else f"for {number(nights, 'night')}, since {clock(told.get('since'))}"
    )
    age += "" if tried else ", not tried now"
    trace = told.get("traceback")
    more = folded("end of the traceback", f"<pre>{lines(trace)}</pre>") if trace else ""
    return (
        f'<div class="item bad"><b>{line(told["job"])}</b> <span class="chip bad">{age}</span>'
        f"<p>{lines(told['message'])}</p>{more}</div>"
    )
