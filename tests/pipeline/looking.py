"""What must not be found in an experiment, whatever was done to its runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from anipipe.formats.tables import parquet_columns

LEFT_OVER = (".anipipe-*", "lock", "lock.*", "clock.*", "*.tmp", "unfinished")

_TOLD = ("the disk is full", "nothing can be written here (No space left on device)")
_TOLD_OTHERWISE = ("Traceback", "unexpected", "a defect of anipipe")


def told_of_full_disk(text: str) -> bool:
    """Say whether what was printed tells a user that there is no room, in words meant for users."""
    return any(words in text for words in _TOLD) and not any(words in text for words in _TOLD_OTHERWISE)


def left_over(*folders: Path) -> list[str]:
    """Return what runs leave behind only if they are cut short."""
    return [str(path) for folder in folders for pattern in LEFT_OVER for path in folder.rglob(pattern)]


def is_complete(status: list[dict[str, Any]]) -> bool:
    """Say whether ``status --json`` finds nothing to do; the calibration is given."""
    return all(
        job["state"] == ("given" if job["stage"] == "calibrate" else "fresh") for job in status[0]["jobs"]
    )


def wrong_of(root: Path, truth: Path, status: list[dict[str, Any]]) -> list[str]:
    """Return what is wrong with an unfinished experiment, of which ``truth`` is the finished one.

    Parameters
    ----------
    root, truth : Path
    status : list of dict
        What ``status --json`` says of it.
    """
    paths = [path.relative_to(root) for path in root.rglob("*") if path.is_file()]
    wrong = [
        f"{path} is not as it should be"
        for path in paths
        if ".anipipe" not in path.parts and not _is_right(root / path, truth / path)
    ]
    states = {
        job["state"]: f"{job['stage']} {job['unit']}"
        for job in status[0]["jobs"]
        if job["stage"] != "calibrate"
    }
    odd = states.keys() - {"fresh", "stale", "pending", "failed", "blocked"}
    return wrong + [f"{states[state]} is {state}" for state in odd]


def _is_right(path: Path, truth: Path) -> bool:
    """Say whether a file is as it is in the end; what gathers others may still be without some of them."""
    if path.name.startswith("all-columns."):
        return set(parquet_columns(path)) <= set(parquet_columns(truth))
    content = path.read_bytes()
    if path.name == "missing.csv":
        return content.endswith(b"\n")
    if path.parent.name == "summaries":
        return content.endswith(b"\n") and set(content.split(b"\n")) <= set(truth.read_bytes().split(b"\n"))
    return truth.exists() and content == truth.read_bytes()
