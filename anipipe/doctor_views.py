"""What the user reads of the doctor's findings, as lines of text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from anipipe.commands.doctor import LEVELS, Finding, Level, Report
from anipipe.console import paint, wrapped

_COLOURS: dict[Level, str] = {"critical": "red", "warning": "yellow", "note": "cyan", "ok": "green"}
_WIDTH = max(map(len, LEVELS))
_BESIDE = " " * (_WIDTH + 4)
#: Of findings of one kind, so many are shown; of those with the same text, so many names.
_SHOWN, _NAMED = 20, 3


def report_lines(report: Report) -> Iterator[str]:
    """Yield what was found on a machine or in an experiment, by subject: what is worst comes first."""
    if report.experiment is not None:
        yield paint(str(report.experiment), "bold")
    subjects: dict[str, list[Finding]] = {}
    for finding in report.findings:
        subjects.setdefault(finding.subject, []).append(finding)
    worst = {subject: min(_rank(finding) for finding in own) for subject, own in subjects.items()}
    for subject in sorted(subjects, key=lambda subject: worst[subject]):
        yield paint(subject, "bold")
        own = subjects[subject]
        for level in LEVELS:
            yield from _level_lines(level, [finding for finding in own if finding.level == level])


def _rank(finding: Finding) -> int:
    return LEVELS.index(finding.level)


def _level_lines(level: Level, findings: Iterable[Finding]) -> Iterator[str]:
    """Yield findings of one level: those with one remedy together, and the same of several in one line."""
    remedies: dict[str, dict[str, list[str]]] = {}
    for finding in findings:
        remedies.setdefault(finding.remedy, {}).setdefault(finding.text, []).append(finding.about)
    for remedy, texts in remedies.items():
        groups = list(texts.items())
        for text, names in groups[:_SHOWN]:
            more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
            about = ", ".join(filter(None, names[:_NAMED])) + more
            lead = f"  {paint(level.ljust(_WIDTH), _COLOURS[level])}  "
            yield wrapped(f"{about}: {text}" if about else text, lead)
        rest = sum(len(names) for _, names in groups[_SHOWN:])
        if rest:
            yield f"{_BESIDE}and {rest} more like these (--json lists all)"
        if remedy:
            yield wrapped(remedy, f"{_BESIDE}what to do: ")


def summary_line(reports: Iterable[Report]) -> str:
    """Return how many findings of each level there are in all."""
    reports = list(reports)
    counts = Counter(finding.level for report in reports for finding in report.findings)
    faults = [f"{counts[level]} {_many(level, counts[level])}" for level in LEVELS[:-1] if counts[level]]
    left_out = dict.fromkeys(text for report in reports for text in report.left_out)
    behind = f"; left out: {', '.join(left_out)} (--quick)" if left_out else ""
    if not counts["critical"] and not counts["warning"]:
        return f"all is well{f' ({faults[0]})' if faults else ''}{behind}"
    return f"{', '.join(faults)}, {counts['ok']} well{behind}"


def _many(level: str, count: int) -> str:
    return level if count == 1 or level == "critical" else f"{level}s"
