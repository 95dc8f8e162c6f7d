"""From files to one validated configuration."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from anipipe.config.faults import describe
from anipipe.config.keys import KEYS
from anipipe.config.layers import Layer, Origins, merge, origins_of
from anipipe.config.schema import Config
from anipipe.config.toml_text import dotted, inline
from anipipe.errors import ConfigError
from anipipe.guards import visible

_UNSET: dict[str, Path | None] = {path: None for path in KEYS if "*" not in path}
_LARGEST = 2**40  # of whole numbers; arithmetic on frames and pixels gives way beyond
_NOTICES = {
    tuple(path.split(".")): (key.notice, key.notice_when)
    for path, key in KEYS.items()
    if key.notice is not None
}


@dataclass(frozen=True)
class Resolved:
    """The configuration of a session.

    Attributes
    ----------
    config
        All settings.
    origins
        For each dotted key the file that set it, None for a default.
    warnings
        What a user should know about keys that do nothing here.
    """

    config: Config
    origins: dict[str, Path | None]
    warnings: tuple[str, ...]


def resolve(layers: Sequence[Layer]) -> Resolved:
    """Merge files and check the result.

    Parameters
    ----------
    layers
        From the experiment down to the session; a later one overrides an earlier one key by key.

    Returns
    -------
    Resolved
        The configuration, where each value comes from, and warnings.

    Raises
    ------
    ConfigError
        If anything is wrong; the message lists all faults with file, key, value and what is allowed.
    """
    values: dict[str, Any] = {}
    tree: Origins = {}
    for layer in layers:
        _check_sane(layer.values, (), layer.path)
        values = merge(values, layer.values)
        tree = merge(tree, origins_of(layer.values, layer.path))
    try:
        config = Config.model_validate(values)
    except ValidationError as error:
        raise ConfigError(describe(error, values, layers)) from None
    origins = dict(_UNSET)
    _record(tree, "", origins)
    for name, camera in config.cameras.items():
        for key in camera.model_fields_set ^ set(type(camera).model_fields):
            origins[dotted(["cameras", name, key])] = None
    return Resolved(config, origins, tuple(_warnings(values, tree)))


def _check_sane(value: Any, place: tuple[str, ...], path: Path) -> None:
    """Refuse what no key can have, before it is merged, compared and shown."""
    for word in [value, *place[-1:]]:
        if isinstance(word, str) and visible(word) != word:
            raise ConfigError(
                f"{path}: {dotted(place)}: {inline(word)} has a line break or a control character in it; in "
                "double quotes a backslash starts one: write paths with / or in single quotes"
            )
    if isinstance(value, int) and abs(value) > _LARGEST:
        raise ConfigError(f"{path}: {dotted(place)}: a number far beyond what any key can be; correct it")
    if isinstance(value, dict):
        for name, inner in value.items():
            _check_sane(inner, (*place, name), path)
    if isinstance(value, list):
        for number, inner in enumerate(value):
            _check_sane(inner, (*place, str(number)), path)


def _record(tree: Origins, prefix: str, origins: dict[str, Path | None]) -> None:
    for name, item in tree.items():
        path = prefix + dotted([name])
        if isinstance(item, Path):
            origins[path] = item
        else:
            origins.pop(path, None)  # a key that was set as a table: its entries stand for it
            _record(item, path + ".", origins)


def _warnings(values: dict[str, Any], tree: Origins) -> Iterator[str]:
    for path, (notice, only) in _NOTICES.items():
        value: Any = values
        file: Any = tree
        for part in path:
            value, file = value.get(part), file.get(part)
            if value is None:
                break
        else:
            if only is None or value == only:
                yield f"{file}: {'.'.join(path)} = {inline(value)}: {notice}"
