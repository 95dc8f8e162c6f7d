"""Reports of nights before, as far as they are what a night writes: others may have put anything there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from anipipe.formats.night_page import VERDICTS
from anipipe.guards import read_regular

_LARGEST = 2**28  # bytes
_MOST = 1e12  # seconds, jobs, nights: no more than that can be true
Json = dict[str, Any]


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
    )


def _is_failure(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and isinstance(value.get("job"), str)
        and isinstance(value.get("since", ""), str)
        and _is_amount(value.get("nights", 0))
    )


def _is_list_of(check: Any, value: Any) -> bool:
    return isinstance(value, list) and all(map(check, value))


def _is_amount(value: Any) -> bool:
    return isinstance(value, (int, float)) and 0 <= value < _MOST
