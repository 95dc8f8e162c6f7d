"""Which checkpoint of a Lightning Pose model is meant. No torch here."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from anipipe.errors import DataError
from anipipe.networks.architectures.refusals import refuse
from anipipe.networks.listings import Found, Listing, file_of, folder_of
from anipipe.networks.settings_files import Settings, section

CONFIG = "config.yaml"

_CHECKPOINT = re.compile(r"tb_logs/(.+)/version_(\d+)/checkpoints/[^/]+\.ckpt")
_BEST = re.compile(r".*-best(-v\d+)?\.ckpt")
_STEP = re.compile(r"step=(\d+)")


def is_model(settings: Settings) -> bool:
    """Say whether settings are those of a Lightning Pose model."""
    return "model_type" in section(settings, "model") and bool(section(settings, "data"))


def find(listing: Listing, settings: Settings) -> Found:
    """Find the checkpoint that Lightning Pose would use.

    Parameters
    ----------
    listing
        The model's folder, with ``config.yaml`` and ``tb_logs``, or a folder around it.
    settings
        Of that ``config.yaml``.

    Returns
    -------
    Found

    Raises
    ------
    DataError
        No checkpoint, none whose name tells its step, or a kind of model that is not supported.
    """
    config = listing.top + CONFIG
    check_type(settings, listing.where(config))
    name = title(settings, listing.path.absolute().stem)
    folder, notes = _newest(listing, name)
    inside = [file_of(name) for name in listing.names if folder_of(name) == folder]
    checkpoint, more = choose(inside, listing.where(folder))
    return Found(folder + checkpoint, config, f"{name} {Path(checkpoint).stem}", notes + more)


def title(settings: Settings, otherwise: str) -> str:
    """Return what the lab calls the model."""
    return str(section(settings, "model").get("model_name") or otherwise)


def check_type(settings: Settings, where: str) -> None:
    """Refuse, by name, models that are no heatmap trackers."""
    kind = section(settings, "model").get("model_type")
    if kind != "heatmap":
        refuse(f"{where}: model.model_type = {kind!r}", "not a plain heatmap tracker", "Lightning Pose")


def choose(names: Sequence[str], where: str) -> tuple[str, tuple[str, ...]]:
    """Choose the best checkpoint, of several the one of the highest step; else the one of the highest step.

    Parameters
    ----------
    names
        Files of one folder; what is no checkpoint is left out.
    where
        The folder, for messages.

    Returns
    -------
    str
        The file.
    tuple of str
        What a user should be told.

    Raises
    ------
    DataError
        No name tells the step.
    """
    checkpoints = sorted(name for name in names if name.endswith(".ckpt"))
    best = [name for name in checkpoints if _BEST.fullmatch(name)]
    candidates = best or checkpoints
    if len(best) == 1:
        return best[0], ()
    steps = {name: int(match[1]) for name in candidates if (match := _STEP.search(name))}
    if not steps:
        raise DataError(
            f"{where}: no file's name tells its step (step=540, say), and none is called best; name the one "
            f"that is meant: {', '.join(candidates)}"
        )
    chosen = max(steps, key=lambda name: (steps[name], name))
    what = f"{len(best)} best checkpoints" if best else "no checkpoint that is called best"
    return chosen, (f"{where} holds {what} ({', '.join(candidates)}): {chosen} is used, of the highest step",)


def _newest(listing: Listing, name: str) -> tuple[str, tuple[str, ...]]:
    """Return the folder of checkpoints of the highest version, and what to tell."""
    top = len(listing.top)
    found = {folder_of(file): match for file in listing.names if (match := _CHECKPOINT.fullmatch(file[top:]))}
    if not found:
        raise DataError(
            f"{listing.path} holds no checkpoint (tb_logs/*/version_*/checkpoints/*.ckpt); was it trained?"
        )
    own = {folder: match for folder, match in found.items() if match[1] == name} or found
    chosen = max(own, key=lambda folder: (int(own[folder][2]), folder))
    if len(own) == 1:
        return chosen, ()
    return chosen, (f"{listing.path} was trained {len(own)} times: the newest, {chosen}, is used",)
