"""Weights on disk while training: written whole or not at all, the best one and the latest ones kept."""

from __future__ import annotations

import os
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import torch

from anipipe.errors import DataError
from anipipe.networks.deeplabcut_sources import SNAPSHOT

RESUME = "resume.pt"


def snapshots(folder: Path) -> list[Path]:
    """Return the snapshots in a folder by epoch, best ones last."""
    found = [
        (path, match) for path in folder.glob("snapshot*.pt") if (match := SNAPSHOT.fullmatch(path.name))
    ]
    return [path for path, match in sorted(found, key=lambda one: (one[1][1] is not None, int(one[1][2])))]


def write_state(state: Mapping[str, Any], path: Path) -> None:
    """Write a state; what stood there before stands until all is on disk.

    Raises
    ------
    DataError
        The disk is full, or forbids it.
    """
    content = BytesIO()
    torch.save(dict(state), content)
    part = path.with_name(f".{path.name}.part")
    try:
        with part.open("wb") as file:
            file.write(content.getbuffer())
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise DataError(
            f"{path}: cannot be written ({error.strerror or error}); earlier snapshots are intact. Make "
            "room, then run `anipipe train` again: it goes on from where it was."
        ) from error


def read_state(path: Path) -> dict[str, Any]:
    """Read what :func:`write_state` wrote; tensors on the CPU, and nothing that could run.

    Raises
    ------
    DataError
        Damaged.
    """
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise DataError(
            f"{path}: the training cannot go on from it: it is damaged ({type(error).__name__}). Train anew "
            "with --fresh."
        ) from error
    return state


def keep_snapshot(
    folder: Path, state: Mapping[str, Any], *, best: bool, due: bool, save_epochs: int, most: int
) -> Path | None:
    """Write the snapshot of an epoch if it is worth one, and remove those that it supersedes.

    Parameters
    ----------
    folder
        Where they lie.
    state
        With ``metadata.epoch``.
    best
        It is better than all before: then it takes their place; the one before stays, as a plain one, if its
        epoch is a multiple of ``save_epochs``.
    due
        It is kept whether it is better or not.
    save_epochs
        After how many epochs one is due.
    most
        Of the plain ones, so many stay, the latest.

    Returns
    -------
    What was written.

    Raises
    ------
    DataError
        The disk is full.
    """
    if not best and not due:
        return None
    epoch = int(state["metadata"]["epoch"])
    path = folder / f"snapshot-{'best-' if best else ''}{epoch:03}.pt"
    write_state(state, path)
    if best:
        for other in snapshots(folder):
            match = SNAPSHOT.fullmatch(other.name)
            if match and match[1] and other != path:
                if int(match[2]) % save_epochs:
                    other.unlink()
                else:
                    other.replace(folder / f"snapshot-{int(match[2]):03}.pt")
    plain = [one for one in snapshots(folder) if "best" not in one.name]
    for other in plain[:-most]:
        other.unlink()
    return path
