"""Where and until when a night works: roots, the folder for its reports, and the time at which it ends."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

from anipipe.engine.records import OWN_FOLDER
from anipipe.errors import AnipipeError, UsageError
from anipipe.project import absolute, find_experiments


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
    """Find the experiments of all roots, and tell which roots hold none.

    Returns
    -------
    found : dict
        As of :func:`anipipe.project.find_experiments`.
    problems : list of dict
        ``{"where", "message"}`` for each root that cannot be used.
    """
    found: dict[Path, list[Path]] = {}
    problems = []
    for root in roots:
        try:
            for experiment, parts in find_experiments([root]).items():
                known = found.setdefault(experiment, list(parts))
                known[:] = [*dict.fromkeys([*known, *parts])] if known and parts else []
        except (AnipipeError, OSError) as error:
            problems.append({"where": str(root), "message": str(error)})
    return found, problems


def default_folder(roots: Sequence[Path], found: dict[Path, list[Path]]) -> Path | None:
    """Return where reports go: into the first root that holds an experiment, or is in one."""
    for place in map(absolute, roots):
        for experiment in found:
            if experiment == place or place in experiment.parents:
                return place / OWN_FOLDER / "nightly"
            if experiment in place.parents:
                return experiment / OWN_FOLDER / "nightly"
    return None
