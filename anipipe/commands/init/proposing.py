"""Settings for what was found in a folder, with what each rests on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from anipipe.commands.init.camera_names import Names, Reading, Readings
from anipipe.commands.init.looking import Found
from anipipe.commands.init.moving import camera_folders
from anipipe.commands.init.samples import Poses, lines_through
from anipipe.config.render import Remark
from anipipe.formats.prediction_names import video_of
from anipipe.networks.sources import ModelSource
from anipipe.project.naming import join, suffix_of

if TYPE_CHECKING:
    from anipipe.numerics.boards.guess import BoardGuess

_REGEX = "triangulation.cam_regex"
_NAMED = 4  # examples in a remark
_MOST_JOINTS = 200

#: How a remark begins that leaves a key to the user.
TO_BE_SET = "TO BE SET"


@dataclass
class Proposal:
    """Settings, nested as in TOML, and what is said of single keys, by dotted key."""

    values: dict[str, Any] = field(default_factory=dict)
    remarks: dict[str, Remark] = field(default_factory=dict)

    def set(self, key: str, value: Any, text: str, shown: tuple[tuple[Any, str], ...] = ()) -> None:
        """Set a key, say why, and show other values as comments."""
        section, _, name = key.rpartition(".")
        place = self.values.setdefault(section, {}) if section else self.values
        place[name] = value
        self.remarks[key] = Remark(text, shown)

    def say(self, key: str, text: str, shown: tuple[tuple[Any, str], ...] = ()) -> None:
        """Leave a key as it is, and say why; show values as comments."""
        self.remarks[key] = Remark(text, shown)


def names_of(found: Found) -> tuple[Names, Names]:
    """Return the names of videos by session, and those of board recordings by folder.

    Where there is no session yet, the videos that lie elsewhere speak for those to come.
    """
    videos: dict[str, list[str]] = {session.folder: list(session.videos) for session in found.sessions}
    if not any(videos.values()):
        poses = {folder: list(map(video_of, files)) for folder, files in found.loose_predictions.items()}
        videos = _moved(found.loose) or poses
    boards = {folder: _stems(files) for folder, files in found.boards.items()}
    return videos, boards or {folder: _stems(files) for folder, files in found.loose_boards.items()}


def _moved(loose: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """Return the names that videos will have in sessions: with the camera, if in folders by camera."""
    by_camera = camera_folders(loose)
    videos: dict[str, list[str]] = {}
    for parent, cameras in by_camera.items():
        names = [f"{name}_{camera}" for camera in cameras for name in _stems(loose[join(parent, camera)])]
        videos[parent] = names
    inside = {join(parent, camera) for parent, cameras in by_camera.items() for camera in cameras}
    return videos | {folder: _stems(files) for folder, files in loose.items() if folder not in inside}


def _stems(files: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(name[: len(name) - len(suffix_of(name))] for name in files))


def propose_nesting(proposal: Proposal, found: Found) -> None:
    """Propose how deep sessions lie."""
    depths = sorted({session.depth for session in found.sessions})
    if len(depths) > 1:
        proposal.say("nesting", f"Left out: the sessions found lie {depths[0]} to {depths[-1]} folders deep.")
    elif depths:
        count = len(found.sessions)
        what = "the only session lies" if count == 1 else f"all {count} sessions lie"
        how = "here" if depths[0] == 0 else f"{_many(depths[0], 'folder')} deep"
        proposal.set("nesting", depths[0], f"{what} {how}")


def propose_model(proposal: Proposal, found: Found, models: Mapping[str, ModelSource]) -> None:
    """Propose the network that lies there; of several, show all; else projects that may come to hold one."""
    shown = tuple((path, f"Possible too: {source.name}.") for path, source in models.items())
    if len(models) == 1:
        path, source = next(iter(models.items()))
        proposal.set("model_folder", path, source.name)
    elif models:
        proposal.say("model_folder", "Several networks lie here; choose:", shown)
    elif found.deeplabcut and found.deeplabcut != [""]:
        text = f"Projects of DeepLabCut here, without a network that could be run: {_some(found.deeplabcut)}."
        proposal.say("model_folder", text, ((found.deeplabcut[0], ""),))


def propose_cameras(
    proposal: Proposal,
    readings: Readings,
    videos: int,
    *,
    of_boards: bool,
    known: frozenset[str] = frozenset(),
) -> None:
    """Propose where the camera stands in names.

    Parameters
    ----------
    proposal
        Is added to.
    readings
        What the names say.
    videos
        How many names there are.
    of_boards
        Whether they are those of board recordings, for want of videos.
    known
        What cameras are called in a calibration that is there.
    """
    what = "board recording" if of_boards else "video"
    others = tuple((other.regex, f"Possible too: {_reading(other, what)}.") for other in readings.others)
    best = readings.best
    if best is not None:
        text = f"found in {best.found} of {_many(best.names, what)}"
        if best.boards:
            text += f", {best.boards_found} of {_many(best.boards, 'board recording')}"
        if known and not known.issuperset(best.cameras):
            text += f". The calibration calls its cameras otherwise: {_some(sorted(known))}"
        if best.odd:
            text += f". Not in {_some(best.odd)}: take these out of the session, or rename them"
        proposal.set(_REGEX, best.regex, text, others)
    elif others:
        text = f"What of the names of {_many(videos, what)} is the camera is not certain; choose:"
        proposal.say(_REGEX, text, others)
    elif videos > 1:
        proposal.say(
            _REGEX,
            f"No camera was found in the names of {_many(videos, what)}. With one camera leave this out: "
            "each video is a trial of its own, in 2D. With several, the names of a trial's videos must "
            "differ in the camera, and in nothing else.",
        )
    elif videos == 1:
        proposal.say(_REGEX, f"Left out: there is only one {what}.")


def _reading(reading: Reading, what: str) -> str:
    cameras = f"cameras {_some(reading.cameras)}, {_many(reading.trials, 'trial')}"
    if reading.found == reading.names:
        return cameras
    return f"{cameras}, found in {reading.found} of {_many(reading.names, what)}"


def propose_board(proposal: Proposal, guess: BoardGuess | None, remark: str) -> None:
    """Propose the calibration board that was seen; its lengths no camera can tell."""
    if guess is None:
        proposal.say("calibration.board_type", f"{remark[:1].upper()}{remark[1:]}. Say which board it is.")
        return
    proposal.set("calibration.board_type", guess.kind, remark)
    proposal.set("calibration.board_size", list(guess.size), _about_size(guess))
    if guess.inverted:
        proposal.set("calibration.board_inverted", True, "seen so")
    _propose_dictionary(proposal, guess)
    if guess.kind == "aruco":
        proposal.say("calibration.board_marker_length", to_measure("a marker"))
        proposal.say(
            "calibration.board_marker_separation_length",
            f"{TO_BE_SET}: measure it. It looks like {guess.ratio:.2f} of a marker's side.",
        )
        return
    proposal.say("calibration.board_square_side_length", to_measure("several squares in a row"))
    if guess.kind == "charuco":
        proposal.say(
            "calibration.board_marker_length",
            f"{TO_BE_SET}: measure it. It looks like {guess.ratio:.2f} of a square's side.",
        )


def _about_size(guess: BoardGuess) -> str:
    if guess.kind == "checkerboard":
        return "inner corners, one fewer than squares; which way is across cannot be seen"
    if guess.kind == "charuco" and guess.legacy:
        return f"markers up to number {guess.last} were seen; in the layout of OpenCV before 4.6"
    return f"markers up to number {guess.last} were seen: has the print more rows?"


def to_measure(what: str) -> str:
    """Return a remark that leaves a length of the board to the user."""
    return f"{TO_BE_SET}: measure {what} of the printed board, in mm (or another unit, see `units`)."


def _propose_dictionary(proposal: Proposal, guess: BoardGuess) -> None:
    if not guess.dictionary:
        return
    both = guess.bits_and_number
    if both is None:
        proposal.set("calibration.board_dictionary", guess.dictionary, "seen")
        return
    proposal.set("calibration.board_marker_bits", both[0], "seen")
    proposal.set(
        "calibration.board_marker_dict_number",
        both[1],
        "the smallest with these markers; larger ones have them too",
    )


def propose_poses(proposal: Proposal, poses: Poses | None) -> None:
    """Say which joints and animals the predictions have."""
    if poses is None:
        return
    joints = ", ".join(poses.joints[:_MOST_JOINTS])
    lacking = f" Not in all of them: {', '.join(poses.partial[:_MOST_JOINTS])}." if poses.partial else ""
    text = f"Joints in {_many(poses.files, 'prediction')} that were looked at: {joints}.{lacking}"
    proposal.say("angles.*", text)
    scheme = lines_through(poses.edges)
    if scheme:
        proposal.set("labeling.scheme", scheme, f"the skeleton as it is in SLEAP. {text}")
    else:
        proposal.say("labeling.scheme", text)
    if poses.tracks:
        names = tuple(poses.tracks[:_MOST_JOINTS])
        proposal.say(
            "predictions.track",
            f"{TO_BE_SET}: the predictions hold several animals: {', '.join(names)}.",
            ((names[0], ""),),
        )


def propose_folders(proposal: Proposal, found: Found) -> None:
    """Show keys that make use of what lies elsewhere."""
    name = common_name(found)
    if name is not None:
        proposal.say(
            "pipeline.videos_raw",
            "Videos were found in folders of this name. Set it, or move them; not both.",
            ((name, ""),),
        )


def common_name(found: Found) -> str | None:
    """Return what the folders of videos are called, if they could be those of sessions under another name."""
    names = Counter(PurePosixPath(folder).name for folder in found.loose)
    if found.sessions or len(names) != 1:
        return None
    (name,) = names
    telling = "video" in name.casefold() or name.casefold() in ("raw", "movies", "recordings")
    return name if name and telling else None


def _many(count: int, word: str) -> str:
    return f"{count} {word}" if count == 1 else f"{count} {word}s"


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(names[: max(_NAMED, 12 if len(names) <= 12 else 0)])
    return shown if len(names) <= 12 else f"{shown} and {len(names) - _NAMED} more"
