"""What ``anipipe init`` tells: what was found, and what to do next."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from anipipe.commands.init.camera_names import Readings
from anipipe.commands.init.looking import Found
from anipipe.commands.init.moving import moving
from anipipe.commands.init.proposing import TO_BE_SET, Proposal, common_name
from anipipe.commands.init.samples import Poses
from anipipe.config.render import Remark

_SHOWN = 6

WHERE_TO_PUT = "Put videos into SESSION/videos-raw/, or 2D poses into SESSION/predictions/."


def table(
    found: Found, readings: Readings, board: str, poses: Poses | None, models: Sequence[str]
) -> Iterator[str]:
    """Yield what was found, one line each.

    Parameters
    ----------
    found
        What lies there.
    readings
        What the names of videos say.
    board
        What is known of the board; empty if there are no recordings.
    poses
        What the predictions hold.
    models
        The names of trained networks.
    """
    rows = [
        ("sessions", _sessions(found)),
        ("videos", _videos(found, readings)),
        ("cameras", _cameras(readings)),
    ]
    recordings = sum(map(len, found.boards.values()))
    if recordings:
        rows.append(("board", f"{recordings} recordings in {_some(list(found.boards))}; {board}"))
    if found.calibrations:
        rows.append(("calibration", f"{_some(found.calibrations)}, used as it is"))
    count = sum(1 for _ in found.predictions())
    rows.append(
        ("predictions", f"{count}{f', {len(poses.joints)} joints' if poses else ''}" if count else "none")
    )
    if models:
        rows.append(("network" if len(models) == 1 else "networks", _some(models)))
    width = max(len(name) for name, _ in rows)
    for name, text in rows:
        yield f"{name:<{width}}  {text}"
    if not found.whole:
        yield "There are more folders than were looked at: check what is said of all."


def _sessions(found: Found) -> str:
    if not found.sessions:
        return "none"
    names = [session.folder or "." for session in found.sessions]
    return f"{len(names)} ({_some(names)})"


def _videos(found: Found, readings: Readings) -> str:
    if not found.videos:
        loose = sum(map(len, found.loose.values()))
        return f"none in a session, {loose} elsewhere" if loose else "none"
    best = readings.best
    if best is None:
        return str(found.videos)
    trials = f"{best.trials} {'trial' if best.trials == 1 else 'trials'}"
    return (
        f"{found.videos} in {trials}{'' if best.whole == best.trials else f', {best.whole} with all cameras'}"
    )


def _cameras(readings: Readings) -> str:
    if readings.best is None:
        return "not certain" if readings.others else "not told apart by names: each video is a trial, in 2D"
    return f"{', '.join(readings.best.cameras)} by cam_regex = '{readings.best.regex}'"


def advice(found: Found, readings: Readings, proposal: Proposal, folder: Path) -> Iterator[str]:
    """Yield what stands in the way, and the next commands."""
    for path in found.unreadable[:_SHOWN]:
        yield f"passed over: {path}"
    if found.inner:
        yield (
            f"{_some(found.inner)}: has a config.toml of its own. With one here too it becomes a part of "
            "this experiment, and its file sets what differs there."
        )
    yield from _of_deeplabcut(found)
    yield from _to_move(found)
    tracked = "model_folder" in proposal.remarks or any(True for _ in found.predictions())
    if found.videos and not tracked:
        yield (
            "Nothing here tells where the joints are: set model_folder to your network, or put 2D poses into "
            "SESSION/predictions/."
        )
    remark = proposal.remarks.get("model_folder")
    if remark is not None and remark.text.startswith("Several"):
        yield "To be chosen: model_folder, one of the networks."
    if readings.best is None and readings.others:
        yield "To be chosen: triangulation.cam_regex, what is the camera in the names of videos."
    yield from steps(proposal.remarks, folder)


def steps(remarks: Mapping[str, Remark], folder: Path) -> Iterator[str]:
    """Yield what remarks say is to be set, and the next commands."""
    todo = [key for key, remark in remarks.items() if remark.text.startswith(TO_BE_SET)]
    if todo:
        yield f"To be set first: {', '.join(todo)}."
    place = shlex.quote(str(folder))
    yield f"next: anipipe status{'' if str(folder) == '.' else f' {place}'}"
    yield f"then: anipipe run-all{'' if str(folder) == '.' else f' {place}'}"


def _of_deeplabcut(found: Found) -> Iterator[str]:
    if found.deeplabcut == [""]:
        yield (
            "This is a project of DeepLabCut, with a network and the videos that it was trained on. Begin an "
            "experiment in another folder, put recordings into SESSION/videos-raw/ there (or DeepLabCut's "
            "results into SESSION/predictions/), and set model_folder to this one."
        )
    elif found.deeplabcut:
        yield (
            f"{_some(found.deeplabcut)}: a project of DeepLabCut; model_folder runs its network. The "
            "videos in it are those that it was trained on, and no session. Put recordings into "
            "SESSION/videos-raw/."
        )


def _to_move(found: Found) -> Iterator[str]:
    """Yield the commands that put recordings where they are looked for."""
    commands = list(moving(found))
    if not commands:
        if not found.sessions and found.deeplabcut != [""]:
            yield WHERE_TO_PUT
        return
    yield "Some files lie where they are not looked for. To move them (nothing has been moved):"
    yield from (f"    {command}" for command in (f"cd {shlex.quote(str(found.root))}", *commands[:_SHOWN]))
    if len(commands) > _SHOWN:
        yield f"    and so on: {len(commands)} commands in all"
    name = common_name(found)
    if name is not None:
        yield f'or leave them there, and set pipeline.videos_raw = "{name}".'


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_SHOWN])
    return shown if len(names) <= _SHOWN else f"{shown} and {len(names) - _SHOWN} more"
