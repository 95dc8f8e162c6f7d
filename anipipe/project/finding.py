"""Which experiments a path is in, is, or holds."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from anipipe.config import Config, nearest, read_layer
from anipipe.errors import ConfigError, UsageError
from anipipe.project.naming import natural

CONFIG = "config.toml"
#: Folder, in a session, that holds the configuration that the session was processed with.
RESOLVED_FOLDER = "config"


def find_experiments(paths: Sequence[Path]) -> dict[Path, list[Path]]:
    """Find the experiments that ``paths`` are in, are, or hold.

    Returns
    -------
    dict
        Experiment folder to the folders of it that were named; none if it was named as a whole.

    Raises
    ------
    UsageError
        If a path does not exist, or no experiment is there.
    """
    found: dict[Path, list[Path]] = {}
    for path in paths:
        if not path.exists():
            raise UsageError(f"{path}: there is no such folder")
        path = path.resolve()
        folder = path if path.is_dir() else path.parent
        root = _experiment_above(folder)
        if root is not None:
            parts = found.setdefault(root, [] if root == folder else [folder])
            if root == folder:
                parts.clear()
            elif parts and folder not in parts:
                parts.append(folder)
            continue
        below = list(_experiments_below(folder))
        if not below:
            raise UsageError(
                f"{path}: no {CONFIG} here, above or below, so this is no experiment; "
                "`anipipe init` writes one"
            )
        for root in below:
            found.setdefault(root, []).clear()
    return found


def _experiment_above(folder: Path) -> Path | None:
    """Return the topmost folder, from ``folder`` upwards, whose ``config.toml`` is one of ours."""
    found = None
    for candidate in (folder, *folder.parents):
        if (candidate / CONFIG).is_file() and _is_ours(candidate / CONFIG):
            found = candidate
    return found


def _is_ours(path: Path) -> bool:
    """Say whether a ``config.toml`` may be an experiment's: other programs use that name, and results too."""
    if path.parent.name == RESOLVED_FOLDER:
        return False
    try:
        values = read_layer(path).values
    except ConfigError:
        return True  # broken: let it be named rather than passed over
    known = list(Config.model_fields)
    return not values or any(nearest(name, known) for name in values)


def _experiments_below(folder: Path) -> Iterable[Path]:
    for path, folders, files in os.walk(folder):
        here = Path(path)
        if CONFIG in files and _is_ours(here / CONFIG):
            folders.clear()
            yield here
        folders[:] = sorted((name for name in folders if not name.startswith(".")), key=natural)
