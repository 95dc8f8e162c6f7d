"""Whether each camera has recorded each trial: a file that is called otherwise makes a trial of its own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from anipipe.artifacts import CALIBRATION
from anipipe.commands.doctor.findings import Finding
from anipipe.commands.doctor.synchrony import SUBJECT
from anipipe.engine.declare import Unit
from anipipe.errors import AnipipeError
from anipipe.formats.calibrations import read_calibration

_REMEDY = (
    "look at what the session's other files are called, for what is left of a name without the camera is the "
    "trial: one that differs makes a trial of its own. Or was a file not copied? If the camera did not run, "
    "nothing: 3D is made from the others, at least two"
)


def findings(root: Path, units: Sequence[Unit]) -> Iterator[Finding]:
    """Tell which cameras have nothing of a trial, or of a session, that they have of others.

    Parameters
    ----------
    root
        Of the experiment.
    units
        Those that are meant.
    """
    sessions = [unit for unit in units if unit.kind == "session" and unit.related["trial"]]
    seen = {session: Counter(_cameras(session)) for session in sessions}
    for session in sessions:
        yield from _trials(session, seen[session])
    for unit in units:
        if unit.kind == "calibration":
            yield from _calibrated(
                root, unit, {s: c for s, c in seen.items() if unit in s.related["calibration"]}
            )


def _cameras(unit: Unit) -> list[str]:
    """Return the camera of each video of a trial or session, where cameras are told apart."""
    return [view.names["camera"] for view in unit.related["video"] if view.names["camera"]]


def _trials(session: Unit, seen: Counter[str]) -> Iterator[Finding]:
    trials = session.related["trial"]
    often = {camera for camera, count in seen.items() if 2 * count >= len(trials)}
    for trial in trials:
        there = set(_cameras(trial))
        if lacking := often - there:
            yield _found(trial.label, f"nothing of {_named(lacking)}, unlike other trials of the session")
        if rare := there - often:
            yield _found(trial.label, f"there is {_named(rare)}, unlike in most trials of the session")


def _calibrated(root: Path, calibration: Unit, seen: dict[Unit, Counter[str]]) -> Iterator[Finding]:
    recorded = {camera for cameras in seen.values() for camera in cameras}
    known = _names(root, calibration)
    if recorded and (idle := known - recorded):
        yield _found(calibration.label, f"nothing of {_named(idle)} in any session, though calibrated")
    for session, cameras in seen.items():
        if lacking := (known & recorded) - set(cameras):
            yield _found(session.label, f"nothing of {_named(lacking)}, unlike other sessions")


def _names(root: Path, calibration: Unit) -> set[str]:
    """Return the cameras of a calibration, or of the recordings that one is to be made from."""
    path = root / CALIBRATION.paths(calibration)[0]
    try:
        return set(read_calibration(path).names)
    except (AnipipeError, OSError):  # told with the calibrations
        return {board.names["camera"] for board in calibration.related["board"]}


def _named(cameras: set[str]) -> str:
    return f"camera{'' if len(cameras) == 1 else 's'} {' and '.join(sorted(cameras))}"


def _found(label: str, text: str) -> Finding:
    return Finding("warning", SUBJECT, label, text, _REMEDY)
