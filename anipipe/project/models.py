"""Which network finds the 2D poses of a video."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from anipipe.config import Config
from anipipe.engine.declare import Unit
from anipipe.errors import DataError
from anipipe.networks.sources import ModelSource, find_model, known_joints
from anipipe.project.finding import absolute


class Models:
    """The trained networks that an experiment's settings name, each looked at once.

    Parameters
    ----------
    root : Path
        The experiment, which relative paths start from.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._found: dict[tuple[Path, str | None], tuple[ModelSource, tuple[str, ...]] | DataError] = {}
        self._passed_over: dict[str, list[str]] = {}

    def assign(self, view: Unit) -> tuple[str, ...]:
        """Add to a video's unit what its 2D poses are to be made with, where that is a network.

        Predictions of other programs come first, for they lie there for this very video; an explicit
        ``model_type`` of a network's kind turns that round.

        Returns
        -------
        tuple of str
            What the network finds; empty where that is another program's business, or not known yet.

        Raises
        ------
        DataError
            The network cannot be used.
        """
        config: Config = view.settings.config
        folder, kind = model_folder(config, view.names["camera"]), config.model_type
        if folder is None or kind == "import" or "video" not in view.files:
            return ()
        if "prediction" in view.files:
            if kind is None:
                self._passed_over.setdefault(view.group, []).append(view.key)
                return ()
            view.files = {name: paths for name, paths in view.files.items() if name != "prediction"}
        source, joints = self._find(folder, kind)
        view.files = {**view.files, "model": tuple(self._from_root(path) for path in source.files)}
        view.names = {**view.names, "model": str(source.path), "model_type": source.kind}
        return joints

    def _from_root(self, path: Path) -> str:
        """Return a path as units give them; on another drive than the experiment's, the whole path."""
        try:
            return Path(os.path.relpath(absolute(path), self._root)).as_posix()
        except ValueError:
            return absolute(path).as_posix()

    def _find(self, folder: str, kind: str | None) -> tuple[ModelSource, tuple[str, ...]]:
        """Return the model that settings name, and its joints; raises DataError if it is no good."""
        key = (absolute(self._root / Path(folder).expanduser()), kind)
        if key not in self._found:
            try:
                source = find_model(key[0], kind=kind)
                self._found[key] = source, known_joints(source) or ()
            except DataError as error:
                self._found[key] = error
        found = self._found[key]
        if isinstance(found, DataError):
            raise found
        return found

    def notices(self) -> list[str]:
        """Say what a user should know about the models, and about those that are not run."""
        found = self._found.values()
        texts = [f"model_folder: {error}" for error in found if isinstance(error, DataError)]
        texts += [note for each in found if not isinstance(each, DataError) for note in each[0].notes]
        return [*texts, *(_instead(session, videos) for session, videos in self._passed_over.items())]


def name_joints(units: Sequence[Unit], joints: Mapping[Unit, tuple[str, ...]]) -> None:
    """Add the joints of all cameras to units, if their networks know different ones, one name a line.

    For what has to be alike in all of them, such as colours.
    """
    known = dict.fromkeys(joints[unit] for unit in units if unit in joints)
    if len(known) > 1:
        merged = "\n".join(dict.fromkeys(joint for each in known for joint in each))
        for unit in units:
            unit.names = {**unit.names, "joints": merged}


def model_folder(config: Config, camera: str) -> str | None:
    """Return what the settings name for a camera: its own network, or everybody's."""
    own = config.cameras.get(camera)
    return (own.model_folder if own is not None else None) or config.model_folder


def _instead(session: str, videos: Sequence[str]) -> str:
    some = ", ".join(videos[:3]) + (f" and {len(videos) - 3} more" if len(videos) > 3 else "")
    return (
        f"{session or '.'}: there are predictions for {some}, which are taken instead of running the "
        'network; model_type = "deeplabcut" or "lightning-pose" has it run all the same, "import" says that '
        "this is meant"
    )
