"""The report of a night as a page to look at, and the list of nights.

Each is one file without scripts and without anything from elsewhere: it can be read on a phone, and from a
mail's attachment. All that it shows comes from the report for programs; ``docs/nightly.md`` tells what that
holds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any

from anipipe.formats._night_experiment import VERDICTS, chip, experiment
from anipipe.formats._night_parts import clock, duration, line, lines, number, table
from anipipe.formats._night_style import STYLE

__all__ = ["MARK", "VERDICTS", "index_page", "night_page", "tally", "verdict"]

#: By this a page is known to be a night's, near its beginning.
MARK = '<meta name="generator" content="anipipe nightly">'
Record = Mapping[str, Any]


def night_page(report: Record) -> str:
    """Draw the report of a night.

    Parameters
    ----------
    report : mapping
        As nights write it for programs.

    Returns
    -------
    str
        HTML in one piece.
    """
    order = list(VERDICTS)
    records = sorted(report["experiments"], key=lambda record: order.index(record["verdict"]))
    level, sentence = verdict(report)
    facts = [
        f"{clock(report['started'])} to {clock(report['ended'])[11:]} ({duration(report['seconds'])})",
        f"on {line(report['host'])}",
        f"anipipe {line(report['version'])}",
        f"nothing new after {clock(report['until'])[11:]}" if report["until"] else "",
    ]
    parts = [
        "<h1>Night report</h1>",
        f'<p class="soft">{", ".join(filter(None, facts))}</p>',
        f'<p class="verdict {level}">{line(sentence)}</p>',
        _tiles(records),
        *(
            f'<div class="item bad"><p>{lines(problem["message"])}</p></div>'
            for problem in report["problems"]
        ),
        _overview(records) if len(records) > 1 else "",
        *(experiment(index, record) for index, record in enumerate(records)),
        f'<p class="soft">Command: {line(" ".join(report["command"]))}</p>',
    ]
    return _page("Night report", parts)


def tally(report: Record) -> dict[str, Any]:
    """Return what the list of nights tells of one: a small part of its report."""
    records = report["experiments"]
    return {
        "started": report["started"],
        "seconds": report["seconds"],
        "level": verdict(report)[0],
        "word": _WORDS.get(report["exit_status"], "failed"),
        "done": sum(record.get("done", 0) for record in records),
        "failed": sum(len(record.get("failed", ())) for record in records),
    }


def index_page(nights: Sequence[Record]) -> str:
    """Draw the list of nights.

    Parameters
    ----------
    nights : sequence of mapping
        A :func:`tally` of each, the newest first, with its ``name`` and the ``files`` that there are of it
        (suffixes); of a night that was killed there is only ``started`` besides.
    """
    rows = []
    for night in nights:
        unread = "its report cannot be read" if ".json" in night["files"] else "killed, or still running"
        level, word = night.get("level", "warn"), night.get("word", unread)
        links = [
            f'<a href="{line(night["name"] + suffix)}">{_FILES[suffix]}</a>' for suffix in night["files"]
        ]
        rows.append(
            [
                clock(night["started"]),
                f'<td><span class="chip {level}">{word}</span></td>',
                str(night.get("done", 0)),
                str(night.get("failed", 0)),
                duration(night["seconds"]) if "seconds" in night else "",
                " ".join(links),
            ]
        )
    header = ("night", "", "jobs done", "failed", "time", "")
    return _page("Nights", ["<h1>Nights</h1>", table(header, rows)])


_FILES = {".html": "report", ".json": "for programs", ".log": "log"}
_WORDS = {0: "all well", 1: "failed", 2: "nothing usable", 75: "locked", 130: "interrupted"}


def verdict(report: Record) -> tuple[str, str]:
    """Return how bad a night was (``bad``, ``warn`` or ``good``), and what happened in one sentence."""
    records = report["experiments"]
    bad = [record for record in records if VERDICTS[record["verdict"]] == "bad"]
    done = sum(record.get("done", 0) for record in records)
    told = f"{number(done, 'job')} done" if done else "nothing had to be done"
    left = sum(record.get("put_off", 0) for record in records)
    if report["interrupted"]:
        return "warn", f"Interrupted: {told} until then, and kept."
    if report["exit_status"] == 75:
        return "warn", "Nothing was done: all experiments were being processed by somebody else."
    if bad or report["problems"]:
        faults = []
        if bad:
            of = (
                f"{len(bad)} of {number(len(records), 'experiment')}"
                if len(records) > 1
                else "The experiment"
            )
            faults.append(f"{of} {'needs' if len(bad) == 1 else 'need'} a look")
        if report["problems"]:
            faults.append(f"{number(len(report['problems']), 'folder')} could not be used")
        rest = told if done else "nothing was done"
        return "bad", f"{' and '.join(faults)}; {rest}."
    doubtful = len(
        {(record["root"], note["job"]) for record in records for note in record.get("concerns", ())}
    )
    if doubtful:
        return "warn", f"Results of {number(doubtful, 'job')} should be looked at; {told}."
    if left:
        return "warn", f"Time was up: {told}, {left} left for the next night."
    if any(record["verdict"] == "locked" for record in records):
        return "warn", f"Well, but for what was locked: {told}."
    if any(record.get("waiting") for record in records):
        return "good", f"All well: {told}; some recordings are still being written."
    return "good", f"All well: {told}."


def _page(title: str, parts: Sequence[str]) -> str:
    body = "\n".join(part for part in parts if part)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f"{MARK}\n"
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n{body}\n</body>\n</html>\n"
    )


def _tiles(records: Sequence[Record]) -> str:
    def total(key: str) -> int:
        values = [record.get(key, 0) for record in records]
        return sum(value if isinstance(value, int) else len(value) for value in values)

    waiting = sum(record.get("waiting", {}).get("jobs", 0) for record in records)
    tiles = [
        ("", len(records), "experiment" if len(records) == 1 else "experiments"),
        ("", total("done"), "jobs done"),
        ("bad", total("failed"), "failed"),
        ("warn", total("blocked") + total("blocked_after"), "blocked"),
        ("warn", total("concerns"), "to look at"),
        ("odd", total("conflicts"), "conflict" if total("conflicts") == 1 else "conflicts"),
        ("calm", waiting, "waiting"),
        ("warn", total("put_off"), "left for later"),
    ]
    items = (
        f'<li class="{look if count else ""}"><b>{count}</b><span>{what}</span></li>'
        for look, count, what in tiles
        if count or look in ("", "bad")
    )
    return f'<ul class="tiles">{"".join(items)}</ul>'


def _overview(records: Sequence[Record]) -> str:
    rows = [
        [
            f'<a href="#e{index}">{line(name)}</a>',
            f"<td>{chip(record)}</td>",
            str(record.get("done", 0)),
            str(len(record.get("failed", ()))),
            str(record.get("waiting", {}).get("jobs", 0)),
            str(record.get("put_off", 0)),
            duration(record["seconds"]),
        ]
        for index, (record, name) in enumerate(zip(records, _short_names(records), strict=True))
    ]
    return table(("experiment", "", "done", "failed", "waiting", "left", "time"), rows)


def _short_names(records: Sequence[Record]) -> list[str]:
    """Return the experiments' folders without what is common to all."""
    roots = [PurePath(record["root"]) for record in records]
    shared = [len(set(parts)) == 1 for parts in zip(*(root.parent.parts for root in roots), strict=False)]
    common = [*shared, False].index(False)
    return ["/".join(root.parts[common:]) for root in roots]
