"""Templates: a ``config.toml`` for work in 2D, for work in 3D, or with every key, whatever lies there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

from anipipe.commands.init.advising import WHERE_TO_PUT, steps
from anipipe.commands.init.proposing import TO_BE_SET, Proposal, to_measure
from anipipe.config import KEYS, template

# Which keys matter where, by patterns; a key that matches one of the exceptions is kept.
_OF_3D = (
    *("calibration.*", "triangulation.*", "filter3d.*", "angles.*"),
    *("cameras.*.offset", "cameras.*.frame_offset"),
    *("pipeline.pose_2d_projected", "pipeline.pose_3d*", "pipeline.angles", "pipeline.calibration_*"),
    *("pipeline.videos_*3d*", "pipeline.videos_2d_projected", "pipeline.videos_combined"),
    *("labeling.*_3d", "labeling.azimuth", "labeling.elevation", "labeling.orbit"),
)
_NAMES_OF_CAMERAS = ("triangulation.triangulate", "triangulation.cam_regex")
_WITHOUT_EFFECT = (
    *(path for path, key in KEYS.items() if key.notice is not None),
    "triangulation.optim_chunking_size",
)


@dataclass(frozen=True)
class Template:
    """A configuration for a kind of work.

    Attributes
    ----------
    file
        Its name in the folder ``templates``.
    without
        Patterns of keys that it leaves out.
    but
        Patterns of keys that it has all the same.
    about
        What its head says of it.
    proposal
        What it sets, and what it says of single keys.
    """

    file: str
    without: tuple[str, ...] = ()
    but: tuple[str, ...] = ()
    about: str = ""
    proposal: Proposal = field(default_factory=Proposal)

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys that it holds, in the schema's order."""
        return tuple(path for path in KEYS if _matches(path, self.but) or not _matches(path, self.without))

    @property
    def text(self) -> str:
        """The ``config.toml``."""
        return template(self.proposal.values, self.proposal.remarks, keys=self.keys, about=self.about)

    def advice(self, folder: Path) -> Iterator[str]:
        """Yield what to do once it lies in a folder."""
        yield f"{WHERE_TO_PUT} For videos, set model_folder to your network."
        yield from steps(self.proposal.remarks, folder)


def _matches(path: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(path, pattern) for pattern in patterns)


def _for_2d() -> Proposal:
    proposal = Proposal()
    proposal.set(
        "triangulation.triangulate",
        False,
        "2D only. Cameras that are calibrated later: take this line out, and see the template for 3D.",
    )
    proposal.say(
        "triangulation.cam_regex",
        "In 2D it is needed only where cameras differ: in [cameras.NAME], or in network.crop.",
    )
    proposal.say("summaries.csv", "", ((["pose_2d", "pose_2d_filtered"], "For 2D:"),))
    return proposal


def _for_3d() -> Proposal:
    proposal = Proposal()
    proposal.say(
        "calibration.board_type",
        f"{TO_BE_SET}: the board that is filmed. Not if there is a calibration.toml: it is used as it is.",
    )
    proposal.say("calibration.board_size", f"{TO_BE_SET}: count them on the printed board.")
    proposal.say("calibration.board_square_side_length", to_measure("several squares in a row"))
    proposal.say("triangulation.cam_regex", f"{TO_BE_SET}: without it there is no 3D.")
    return proposal


_REST = "All keys: anipipe init --template full --print"

#: The templates, by the name that ``anipipe init --template`` takes.
TEMPLATES = {
    "2d": Template(
        "config-2d.toml",
        without=(*_OF_3D, *_WITHOUT_EFFECT),
        but=_NAMES_OF_CAMERAS,
        about=f"For 2D: from videos to 2D poses. {_REST}",
        proposal=_for_2d(),
    ),
    "3d": Template(
        "config-3d.toml",
        without=_WITHOUT_EFFECT,
        about=f"For 3D: several cameras that are calibrated with a board. {_REST}",
        proposal=_for_3d(),
    ),
    "full": Template("config.toml"),
}
