"""Reports of nights before, as far as they are what a night writes: others may have put anything there."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from anipipe.formats.night_page import VERDICTS
from anipipe.guards import read_regular

_LARGEST = 2**28  # bytes
_MOST = 1e12  # seconds, jobs, nights: no more than that can be true
Json = dict[str, Any]


@dataclass(frozen=True)
class Known:
    """What an earlier night knew of an experiment.

    Attributes
    ----------
    failures : dict
        Those that stood then, tried or not, by the label of the job: ``session``, ``since``, ``nights``.
    sessions : tuple of str
        Those that it looked at, or knew of.
    """

    failures: dict[str, Json]
    sessions: tuple[str, ...]


@dataclass
class Past:
    """What earlier nights had to say; their reports are read as far back as somebody asks.

    Parameters
    ----------
    reports : iterator of dict
        The newest first.
    """

    reports: Iterator[Json]
    _known: dict[str, Known] = field(default_factory=dict, init=False)
    _found: dict[frozenset[str], list[Json]] = field(default_factory=dict, init=False)

    def of(self, root: str) -> Known | None:
        """Return what the last night that could look into an experiment knew of it."""
        while root not in self._known and self._reads_on():
            pass
        return self._known.get(root)

    def found(self, roots: Sequence[str]) -> list[Json]:
        """Return ``root``, ``verdict`` and ``because`` of what the last night with the same roots found."""
        wanted = frozenset(roots)
        while wanted not in self._found and self._reads_on():
            pass
        return self._found.get(wanted, [])

    def _reads_on(self) -> bool:
        report = next(self.reports, None)
        if report is None:
            return False
        records = report["experiments"]
        for record in records:
            if "sessions" in record:
                self._known.setdefault(record["root"], _known(record))
        briefly = [{key: record.get(key) for key in ("root", "verdict", "because")} for record in records]
        self._found.setdefault(frozenset(report.get("roots", ())), briefly)
        return True


def _known(record: Json) -> Known:
    carried = record.get("carried", {})
    failures = [*record.get("failed", ()), *carried.get("failed", ())]
    kept = {f["job"]: {key: f[key] for key in ("session", "since", "nights") if key in f} for f in failures}
    return Known(kept, (*record["sessions"], *carried.get("sessions", ())))


def load(path: Path) -> Json | None:
    """Return a night's report; None if there is none, or it lacks what lists and comparisons rest on."""
    try:
        report = json.loads(read_regular(path, limit=_LARGEST))
    except (OSError, ValueError, RecursionError):
        return None
    return report if _is_report(report) else None


def _is_report(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and isinstance(value.get("started"), str)
        and isinstance(value.get("interrupted"), bool)
        and isinstance(value.get("problems"), list)
        and _is_list_of(_is_text, value.get("roots", []))
        and all(_is_amount(value.get(key)) for key in ("exit_status", "seconds"))
        and _is_list_of(_is_record, value.get("experiments"))
    )


def _is_record(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and isinstance(value.get("root"), str)
        and isinstance(value.get("verdict"), str)
        and value["verdict"] in VERDICTS
        and isinstance(value.get("sessions", {}), dict)
        and all(_is_amount(value.get(key, 0)) for key in ("done", "put_off"))
        and _is_list_of(_is_failure, value.get("failed", []))
        and _is_carried(value.get("carried", {}))
    )


def _is_carried(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and _is_list_of(_is_failure, value.get("failed", []))
        and _is_list_of(_is_text, value.get("sessions", []))
    )


def _is_failure(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and isinstance(value.get("job"), str)
        and all(_is_text(value.get(key, "")) for key in ("session", "since"))
        and _is_amount(value.get("nights", 0))
    )


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_list_of(check: Any, value: Any) -> bool:
    return isinstance(value, list) and all(map(check, value))


def _is_amount(value: Any) -> bool:
    return isinstance(value, (int, float)) and 0 <= value < _MOST
