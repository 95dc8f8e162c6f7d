"""What the user reads of a cleaning, as lines of text and as JSON values."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from typing import Any

from anipipe.commands.clean import Cleaning
from anipipe.commands.unclaimed import Reason
from anipipe.console import paint, wrapped

#: Of files that are kept for one reason, so many are named.
_NAMED = 3


def cleaning_lines(
    cleaning: Cleaning, paths: Sequence[str], *, deleting: bool, listing: bool
) -> Iterator[str]:
    """Yield what may go or went, by reason and stage; what is kept, and why; and what to do next.

    Parameters
    ----------
    cleaning : Cleaning
    paths : sequence of str
        What the user had named.
    deleting : bool
        It was not only looked for.
    listing : bool
        Name every file.
    """
    if cleaning.sizes:
        yield from _table(cleaning)
    else:
        yield "nothing to clean away"
    if listing:
        yield from _listed(cleaning)
    yield from _kept(cleaning, listing=listing)
    for where, why in cleaning.left_out.items():
        yield wrapped(f"{where or '.'}: {why}", paint("not looked into: ", "yellow"))
    for path, why in cleaning.failed.items():
        yield wrapped(f"{path}: {why}", paint("failed: ", "red"))
    if deleting and cleaning.removed:
        yield from _removed(cleaning)
    elif cleaning.sizes and not deleting:
        yield f"nothing was removed; to remove it: {shlex.join(['anipipe', 'clean', '--delete', *paths])}"


def described(cleaning: Cleaning) -> dict[str, Any]:
    """Return everything about a cleaning in plain JSON values."""
    found = [
        {
            "path": path,
            "bytes": cleaning.sizes.get(path, 0),
            "reason": str(one.reason),
            "stage": one.recorded.stage.name,
            "unit": one.recorded.unit.label,
            "now": one.twin or None,
        }
        for one in cleaning.unclaimed
        for path in one.files
    ]
    found += [
        {"path": path, "bytes": cleaning.sizes.get(path, 0), "reason": UNFINISHED}
        for path in cleaning.leftovers
    ]
    return {
        "experiment": str(cleaning.root),
        "files": found,
        "kept": [{"path": path, "why": why} for path, why in cleaning.kept.items()],
        "left_out": [{"where": where, "why": why} for where, why in cleaning.left_out.items()],
        "removed": cleaning.removed,
        "folders": cleaning.folders,
        "failed": [{"path": path, "why": why} for path, why in cleaning.failed.items()],
    }


def readable(size: float) -> str:
    """Return a number of bytes as people read it.

    Examples
    --------
    >>> readable(999), readable(43_210_000)
    ('999 B', '43.2 MB')
    """
    for unit in ("B", "kB", "MB", "GB"):
        if size < 999.5:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} TB"


#: What the leftovers of killed runs are called, beside the reasons of all else.
UNFINISHED = "left unfinished"


def _table(cleaning: Cleaning) -> Iterator[str]:
    """Yield a line for each reason and stage, with files and bytes."""
    groups: dict[tuple[str, str], list[str]] = {}
    for one in cleaning.unclaimed:
        groups.setdefault((str(one.reason), one.recorded.stage.name), []).extend(one.files)
    if cleaning.leftovers:
        groups[UNFINISHED, "a run that was killed"] = cleaning.leftovers
    groups["in all", ""] = list(cleaning.sizes)
    rows = [("why", "made by", "files", "size")]
    for (why, maker), files in groups.items():
        total = sum(cleaning.sizes.get(path, 0) for path in files)
        rows.append((why, maker, str(len(files)), readable(total)))
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    for number, (why, maker, count, size) in enumerate(rows):
        line = f"{why:<{widths[0]}}  {maker:<{widths[1]}}  {count:>{widths[2]}}  {size:>{widths[3]}}"
        yield paint(line, "bold") if number == 0 else line


def _listed(cleaning: Cleaning) -> Iterator[str]:
    for one in cleaning.unclaimed:
        why = f"{one.reason} to {one.twin}" if one.twin else str(one.reason)
        for path in one.files:
            yield f"  {path}  {readable(cleaning.sizes.get(path, 0))}  ({why})"
    for path in cleaning.leftovers:
        yield f"  {path}  {readable(cleaning.sizes.get(path, 0))}  ({UNFINISHED})"


def _kept(cleaning: Cleaning, *, listing: bool) -> Iterator[str]:
    reasons: dict[str, list[str]] = {}
    for path, why in cleaning.kept.items():
        reasons.setdefault(why, []).append(path)
    for why, paths in reasons.items():
        named = paths if listing else paths[:_NAMED]
        more = f" and {len(paths) - len(named)} more" if len(paths) > len(named) else ""
        yield wrapped(f"{', '.join(named)}{more}: {why}", paint("kept: ", "cyan"))


def _removed(cleaning: Cleaning) -> Iterator[str]:
    folders = f", and {_count(len(cleaning.folders), 'empty folder')}" if cleaning.folders else ""
    size = readable(sum(cleaning.sizes.get(path, 0) for path in cleaning.removed))
    yield f"removed {_count(len(cleaning.removed), 'file')}, {size}{folders}"
    if any(one.reason is Reason.RENAMED for one in cleaning.unclaimed):
        yield "`anipipe run-all` takes what was renamed out of the tables, where it stood under both names"


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
