"""``anipipe init``: a first ``config.toml``."""

from __future__ import annotations

from pathlib import Path

from anipipe.config import template
from anipipe.errors import UsageError
from anipipe.project import CONFIG, absolute, experiment_above


def write_template(folder: Path) -> Path:
    """Write a commented ``config.toml`` into a folder, which is made if it is not there.

    Raises
    ------
    UsageError
        If there is one already, in this folder or above it, or it cannot be written.
    """
    path = folder / CONFIG
    above = experiment_above(absolute(folder))
    if above is not None and above != absolute(folder):
        raise UsageError(
            f"{folder} lies in the experiment {above}; a {CONFIG} here needs only the keys that differ"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8", newline="\n") as file:
            file.write(template({"project": folder.resolve().name}))
    except FileExistsError:
        raise UsageError(f"{path} is there already; edit it, or remove it first") from None
    except OSError as error:
        raise UsageError(f"{path}: cannot be written: {error.strerror}") from error
    return path
