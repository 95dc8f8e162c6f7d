"""``anipipe init``: a first ``config.toml``, for what lies there."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from anipipe.commands.init.advising import advice, table
from anipipe.commands.init.camera_names import read_names
from anipipe.commands.init.looking import Found, calibrated_cameras, look
from anipipe.commands.init.proposing import (
    Proposal,
    names_of,
    propose_board,
    propose_cameras,
    propose_folders,
    propose_model,
    propose_nesting,
    propose_poses,
)
from anipipe.commands.init.samples import look_at_board, look_at_predictions, spread
from anipipe.commands.init.templates import TEMPLATES
from anipipe.config import template
from anipipe.engine.records import OWN_FOLDER
from anipipe.errors import DataError, UsageError
from anipipe.guards import visible
from anipipe.networks.sources import ModelSource, find_model
from anipipe.project import CONFIG, absolute, experiment_above
from anipipe.project.finding import is_ours

_PREDICTIONS = 12
_MODELS = 20


@dataclass(frozen=True)
class Draft:
    """A configuration that is not written yet.

    Attributes
    ----------
    text
        The ``config.toml``.
    found, advice
        What was found, and what to do now, line by line.
    """

    text: str
    found: tuple[str, ...]
    advice: tuple[str, ...]


def check(folder: Path, *, writing: bool = True) -> None:
    """Refuse to begin an experiment where there is one.

    Parameters
    ----------
    folder
        The folder.
    writing
        Whether a file is to be written.

    Raises
    ------
    UsageError
        If there is a ``config.toml`` already, in this folder or above it.
    """
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder}: is a file; name a folder")
    above = experiment_above(absolute(folder))
    if above is not None and above != absolute(folder):
        raise UsageError(
            f"{folder} lies in the experiment {above}; a {CONFIG} here needs only the keys that differ"
        )
    path = folder / CONFIG
    if not writing or not (path.exists() or path.is_symlink()):
        return
    if path.is_file() and is_ours(path) and not (folder / OWN_FOLDER).is_dir():
        raise UsageError(
            f"{path} is there already, and works as it is, also if it is Anipose's: `anipipe status` shows "
            "what it finds, `anipipe adopt` takes in the results that are there. `anipipe init --print` "
            "prints what would be proposed"
        )
    raise UsageError(f"{path} is there already; edit it, or remove it first")


def draft(folder: Path, say: Callable[[str], None]) -> Draft:
    """Look at a folder, which need not be there, and propose settings for what lies in it.

    Parameters
    ----------
    folder
        The folder of the experiment.
    say
        Is told what takes a while.
    """
    root = absolute(folder)
    found = look(root)
    videos, boards = names_of(found)
    calibrations = [*found.calibrations, *found.loose_calibrations]
    known = calibrated_cameras(root / calibrations[0]) if calibrations else frozenset()
    readings = read_names(videos, boards, known)
    proposal = Proposal({"project": visible(root.resolve().name)} if root.resolve().name else {})
    models = find_models(found)
    propose_model(proposal, found, models)
    propose_nesting(proposal, found)
    count = sum(map(len, videos.values()))
    names = count or sum(map(len, boards.values()))
    propose_cameras(proposal, readings, names, of_boards=not count, known=known)
    board = ""
    recordings = _recordings(found)
    if recordings:
        guess, board = look_at_board(recordings, say)
        propose_board(proposal, guess, board)
        board = f"{_described(proposal)}: {board}" if guess is not None else board
    poses = look_at_predictions([root / path for path in spread(list(found.predictions()), _PREDICTIONS)])
    propose_poses(proposal, poses)
    propose_folders(proposal, found)
    return Draft(
        text=template(proposal.values, proposal.remarks),
        found=tuple(table(found, readings, board, poses, [source.name for source in models.values()])),
        advice=tuple(advice(found, readings, proposal, folder)),
    )


def draft_of_template(name: str, folder: Path) -> Draft:
    """Take a template, by its name in :data:`~anipipe.commands.init.templates.TEMPLATES`, without looking."""
    chosen = TEMPLATES[name]
    return Draft(text=chosen.text, found=(), advice=tuple(chosen.advice(folder)))


def find_models(found: Found) -> dict[str, ModelSource]:
    """Return the trained networks among what may be some, by their paths."""
    models = {}
    for path in filter(None, found.models[:_MODELS]):
        with suppress(DataError):  # a project that is not trained yet, a zip of something else
            models[path] = find_model(found.root / path)
    return models


def _recordings(found: Found) -> Sequence[Path]:
    """Return the board recordings of the calibration that is nearest to the top."""
    folder = min(found.boards, key=lambda folder: folder.count("/"), default=None)
    return [] if folder is None else [found.root / folder / name for name in found.boards[folder]]


def _described(proposal: Proposal) -> str:
    return " ".join(_board_words(proposal.values["calibration"]))


def _board_words(values: dict[str, object]) -> Iterator[str]:
    if values.get("board_inverted"):
        yield "inverted"
    yield str(values["board_type"])
    size = values["board_size"]
    assert isinstance(size, list)
    yield f"{size[0]} x {size[1]}"


def write(folder: Path, text: str) -> Path:
    """Write the ``config.toml`` of a folder, which is made if it is not there.

    Raises
    ------
    UsageError
        If there is one already, or it cannot be written.
    """
    path = folder / CONFIG
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8", newline="\n") as file:
            file.write(text)
    except FileExistsError:
        raise UsageError(f"{path} is there already; edit it, or remove it first") from None
    except OSError as error:
        raise UsageError(f"{path}: cannot be written: {error.strerror}") from error
    return path
