"""The settings files of trained models: YAML, read with care, and what all have to say. No torch here."""

from __future__ import annotations

from itertools import accumulate
from pathlib import Path
from typing import Any

from anipipe.errors import DataError
from anipipe.guards import check_names, read_regular
from anipipe.pickles import check_parts

Settings = dict[str, Any]

LARGEST_SETTINGS = 8 * 2**20  # bytes
DEEPEST_SETTINGS = 50  # sections within sections; libyaml takes minutes for, or crashes at, thousands


def read_settings(path: Path) -> Settings:
    """Read a YAML file.

    Raises
    ------
    DataError
        It cannot be read, is too large, or holds no keys and values.
    """
    try:
        content = read_regular(path, limit=LARGEST_SETTINGS)
    except OSError as error:
        raise DataError(f"{path} cannot be read as a settings file: {error.strerror or error}") from error
    return parse(content, str(path))


def parse(content: bytes, where: str) -> Settings:
    """Read YAML; raises DataError where it is none, or holds no keys and values."""
    import yaml

    class Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
        def flatten_mapping(self, node: yaml.MappingNode) -> None:
            # Merged keys ("<<") may multiply without bounds, and no program writes them into models.
            return

    try:
        text = content.decode()
        if _is_deep(text, Loader):
            raise ValueError(f"sections within sections, more than {DEEPEST_SETTINGS} deep")
        settings = yaml.load(text, Loader)
        check_parts(settings)
    except (yaml.YAMLError, ValueError) as error:
        raise DataError(f"{where} is no YAML file, or it is damaged: {error}") from error
    if settings is None:
        return {}
    if not isinstance(settings, dict):
        raise DataError(f"{where} holds no keys and values, but a {type(settings).__name__}")
    return settings


def _is_deep(text: str, loader: type) -> bool:
    """Say whether YAML nests deeper than any settings do; looks no further than there."""
    import yaml

    steps = (
        isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        for event in yaml.parse(text, loader)
    )
    return any(depth > DEEPEST_SETTINGS for depth in accumulate(steps))


def section(settings: Settings, *keys: str) -> Settings:
    """Return a section of settings, empty where it is absent or null."""
    for key in keys:
        found = settings.get(key)
        settings = found if isinstance(found, dict) else {}
    return settings


def checked_joints(names: object, where: str) -> tuple[str, ...]:
    """Return the names of joints; raises DataError where there are none, or they are no names, or not unique.

    Parameters
    ----------
    names
        As they stand in a model's settings, in the order of the network's channels.
    where
        The file and the key, for messages.
    """
    if not isinstance(names, list | tuple) or not names:
        raise DataError(f"{where} lists no joints; is this the file that was written at training?")
    joints = tuple(str(name) if type(name) is int else name for name in names)
    seen: set[str] = set()
    for place, name in enumerate(joints):
        if not isinstance(name, str) or not name.strip():
            raise DataError(f"{where}: joint {place + 1} is {name!r}, which is no name; put it into quotes")
        if name in seen:
            raise DataError(f"{where} lists the joint {name!r} twice")
        seen.add(name)
    check_names(joints, where)
    return joints
