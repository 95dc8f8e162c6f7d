"""Where and until when a night works: roots, the folder for its reports, and the time at which it ends."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from anipipe.engine.records import OWN_FOLDER
from anipipe.errors import AnipipeError, UsageError
from anipipe.project import CONFIG, absolute
from anipipe.project.finding import Search

#: The verdict on an experiment that is not where it was.
GONE = "gone"


def next_time(text: str, now: datetime) -> datetime:
    """Return the next time that a clock shows ``HH:MM``.

    Raises
    ------
    UsageError
        If that is no time.
    """
    try:
        clock = datetime.strptime(text, "%H:%M").time()
    except ValueError as error:
        raise UsageError(f"--until {text}: not a time; write hours and minutes, such as 07:00") from error
    then = datetime.combine(now.date(), clock)
    return then if then > now else then + timedelta(days=1)


def find(roots: Sequence[Path]) -> tuple[dict[Path, list[Path]], list[dict[str, str]]]:
    """Find the experiments of all roots, and tell what cannot be looked into.

    Returns
    -------
    found : dict
        As of :func:`anipipe.project.find_experiments`.
    problems : list of dict
        ``{"where", "message"}`` for each root that cannot be used, and each link that leads nowhere.
    """
    search = Search()
    problems = []
    for root in roots:
        try:
            search.look(root)
        except (AnipipeError, OSError) as error:
            problems.append({"where": str(root), "message": str(error)})
    for link in dict.fromkeys(search.lost):
        message = f"{link}: a link that leads nowhere, to a disk that is not mounted? Else remove it"
        problems.append({"where": str(link), "message": message})
    return search.experiments, problems


def vanished(
    earlier: Sequence[Mapping[str, Any]], found: Mapping[Path, object], problems: Sequence[Mapping[str, str]]
) -> list[dict[str, Any]]:
    """Return a record of each experiment that is not where it was in an earlier night.

    It is told once, since it may well have been moved; and again each night as long as something keeps its
    place, as for a disk that is not mounted: an empty folder, a link that leads nowhere, or a root.

    Parameters
    ----------
    earlier
        The records of the last night that had the same roots.
    found, problems
        See :func:`find`.
    """
    records = []
    for record in earlier:
        root = Path(record["root"])
        if _is_there(root, found):
            continue
        because = next((p["where"] for p in problems if root.is_relative_to(absolute(Path(p["where"])))), "")
        place = _kept_for(root)
        if because:
            text = f"was here the last night, and cannot be reached, since {because} cannot be used"
        elif place is not None:
            text = (
                f"is gone since an earlier night, and {place} is empty or cannot be read: not mounted? This "
                "is told every night, until the experiment is back or that folder is removed"
            )
        elif record["verdict"] != GONE or record.get("because"):
            text = (
                f"is gone since the last night: not mounted, renamed, removed, or without its {CONFIG}? This "
                "is told once, and not in the next night"
            )
        else:
            continue
        told = {"verdict": GONE, "error": f"{root}: {text}", "because": because}
        records.append({"root": str(root), "seconds": 0.0, "exit_status": UsageError.exit_status, **told})
    return records


def _is_there(root: Path, found: Mapping[Path, object]) -> bool:
    """Say whether an experiment, found or not, is where it was, or is part of a larger one by now."""
    if os.path.isfile(root / CONFIG):  # noqa: PTH113 - never raises
        return True
    return os.path.isdir(root) and any(place in found for place in root.parents)  # noqa: PTH112


def _kept_for(root: Path) -> Path | None:
    """Return what is in the place of a missing folder, or above it, if that is empty or cannot be read."""
    place = next(place for place in (root, *root.parents) if os.path.lexists(place))
    try:
        return None if os.listdir(place) else place
    except OSError:
        return place


def default_folder(roots: Sequence[Path], found: dict[Path, list[Path]]) -> Path | None:
    """Return where reports go: into the first root that holds an experiment, or is in one."""
    for place in map(absolute, roots):
        for experiment in found:
            if experiment == place or place in experiment.parents:
                return place / OWN_FOLDER / "nightly"
            if experiment in place.parents:
                return experiment / OWN_FOLDER / "nightly"
    return None
