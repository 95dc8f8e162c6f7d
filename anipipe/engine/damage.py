"""What may have happened to an output that is shorter than it was made."""

from __future__ import annotations

import os
from pathlib import Path

from anipipe.engine.declare import Artifact, Names
from anipipe.engine.digest import known_prefixes, size_in
from anipipe.engine.freshness import Damage
from anipipe.engine.records import Claims
from anipipe.errors import DataError


def damage_of(artifact: Artifact, file: Path, path: str, names: Names, claims: Claims) -> Damage:
    """Look at an output.

    Parameters
    ----------
    artifact : Artifact
        What it is.
    file : Path
        Where it is.
    path : str
        What the records call it.
    names : mapping of str
        Those of its unit.
    claims : Claims
        What is recorded about the job that made it.
    """
    if artifact.text:
        return damage_of_text(file, path, claims)
    try:
        if artifact.check is not None:
            artifact.check(file)
        elif artifact.read is not None:
            artifact.read((file,), names)
    except DataError:
        return Damage.TORN
    except Exception:  # not to be read for another reason, such as permissions
        return Damage.NONE
    return Damage.NONE


def damage_of_text(file: Path, path: str, claims: Claims) -> Damage:
    """Tell a text that breaks off in the middle of a line, as nobody leaves it, from an edited one."""
    with file.open("rb") as content:
        content.seek(-1, os.SEEK_END)
        if content.read(1) == b"\n":
            return Damage.NONE
    prefixes = claims.notes.get("prefixes", {}).get(path.rpartition("/")[2])
    if claims.done is None or not isinstance(prefixes, str):
        return Damage.UNSURE
    size = size_in(claims.done.get(f"out:{path}", ""))
    agreeing, reached = known_prefixes(file, size, prefixes)
    if agreeing < reached:
        return Damage.NONE
    return Damage.CUT if reached else Damage.UNSURE
