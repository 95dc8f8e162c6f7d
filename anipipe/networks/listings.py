"""What lies in a folder or in a zip, seen alike. No torch here."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from anipipe.errors import DataError
from anipipe.networks.archives import Archive
from anipipe.networks.settings_files import LARGEST_SETTINGS, Settings, parse, read_settings

DEEPEST = 5  # folders below the one that is named: a DeepLabCut project in a folder of its own
MOST = 20_000  # files; a folder with more is hardly a model's

# Folders of a project or model that hold pictures, tables and videos, often many thousands, and no network.
_NO_NETWORKS = {
    *("videos", "labeled-data", "training-datasets", "evaluation-results", "evaluation-results-pytorch"),
    *("image_preds", "video_preds", "cropped_images", "cropped_videos"),
}


@dataclass(frozen=True)
class Listing:
    """The files of a folder or of a zip.

    Attributes
    ----------
    path : Path
        The folder or the zip.
    names : tuple of str
        Relative to it, ``/`` between folders.
    packed : bool
        It is a zip.
    """

    path: Path
    names: tuple[str, ...]
    packed: bool

    @cached_property
    def top(self) -> str:
        """The folder, ending in ``/``, that holds everything; empty for the listing's own.

        A zip of a folder often has that folder as its only entry.
        """
        shared = posixpath.commonpath([folder_of(name) for name in self.names] or [""])
        return f"{shared}/" if shared else ""

    def where(self, name: str) -> str:
        """Say where a file lies, for messages."""
        return f"{self.path}: {name}" if self.packed and name else str(self.path / name)

    def settings(self, name: str) -> Settings:
        """Read a YAML file; empty if there is none of this name."""
        if name not in self.names:
            return {}
        if self.packed:
            with Archive(self.path, where=str(self.path)) as archive:
                return parse(archive.read(name, limit=LARGEST_SETTINGS), self.where(name))
        return read_settings(self.path / name)


@dataclass(frozen=True)
class Found:
    """A trained network among the files of a listing.

    Attributes
    ----------
    weights, config : str
        Names in the listing.
    title : str
        What the network is called.
    notes : tuple of str
        What a user should be told.
    """

    weights: str
    config: str
    title: str
    notes: tuple[str, ...] = ()


def list_folder(path: Path) -> Listing:
    """List the files of a folder, except those under folders that hold no networks.

    Raises
    ------
    DataError
        There are too many for a model's folder.
    """
    names: list[str] = []
    for name in _walk(path, "", DEEPEST):
        names.append(name)
        if len(names) > MOST:
            raise DataError(
                f"{path} holds more than {MOST:,} files: name the model's own folder, or its file of weights"
            )
    return Listing(path, tuple(sorted(names)), packed=False)


def list_zip(path: Path) -> Listing:
    """List the files of a zip; raises DataError as :class:`~anipipe.networks.archives.Archive`."""
    with Archive(path, where=str(path)) as archive:
        return Listing(path, tuple(sorted(archive.names)), packed=True)


def folder_of(name: str) -> str:
    """Return the folder of a name, ending in ``/``; empty at the top.

    Examples
    --------
    >>> folder_of("train/snapshot-050.pt")
    'train/'
    """
    return name[: name.rfind("/") + 1]


def file_of(name: str) -> str:
    """Return a name without its folder."""
    return name[name.rfind("/") + 1 :]


def _walk(folder: Path, prefix: str, depth: int) -> Iterator[str]:
    with os.scandir(folder) as entries:
        inside = sorted(entries, key=lambda entry: entry.name)
    for entry in inside:
        if not entry.is_dir():
            yield prefix + entry.name
        elif depth and entry.name not in _NO_NETWORKS and not entry.name.startswith("."):
            yield from _walk(folder / entry.name, f"{prefix}{entry.name}/", depth - 1)
