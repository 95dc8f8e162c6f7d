"""Configuration files as they are written, and how one is laid over another."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from anipipe.config import toml_text
from anipipe.errors import ConfigError
from anipipe.guards import read_regular

# Where each value of a merged configuration comes from: nested like the values, a file in place of each.
Origins = dict[str, Any]

_LARGEST = 256 * 2**10  # bytes; all keys with all their comments take a tenth of it
_POSITION = re.compile(r"\s*\(at (?:line (\d+), column (\d+)|end of document)\)$")


@dataclass(frozen=True)
class Layer:
    """What one file sets."""

    path: Path
    values: dict[str, Any]


def read_layer(path: Path) -> Layer:
    """Read a ``config.toml``.

    Parameters
    ----------
    path
        The file, UTF-8 with or without byte order mark.

    Raises
    ------
    ConfigError
        If there is no such file, it cannot be read, is larger than 256 KiB, is not UTF-8, or is not TOML
        (with line and column).
    """
    try:
        content = read_regular(path, limit=_LARGEST)
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file") from None
    except IsADirectoryError:
        raise ConfigError(f"{path}: is a folder, not a file") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror or error}") from error
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ConfigError(
            f"{path}, line {line}: not UTF-8 (byte 0x{content[error.start]:02x}); save the file as UTF-8"
        ) from None
    try:
        return Layer(path, toml_text.parse(text))
    except ValueError as error:
        raise ConfigError(_syntax_error(path, text, str(error))) from None


def _syntax_error(path: Path, text: str, message: str) -> str:
    lines = text.replace("\r\n", "\n").split("\n")
    found = _POSITION.search(message)
    reason = _POSITION.sub("", message)
    if found is None:
        return f"{path}: {reason}"
    if found[1] is None:
        full = [number for number, line in enumerate(lines, start=1) if line.strip()]
        number = full[-1] if full else 1
        column = len(lines[number - 1]) + 1
    else:
        number, column = int(found[1]), int(found[2])
    line = lines[number - 1].replace("\t", " ")
    report = f"{path}, line {number}, column {column}: {reason}\n    {line}\n    {' ' * (column - 1)}^"
    if "\\" in line and '"' in line:
        report += (
            "\n    A backslash in double quotes starts an escape: write paths with / or in single quotes."
        )
    return report


def merge(values: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """Lay one configuration over another: tables are merged, anything else is replaced.

    Parameters
    ----------
    values, over
        Nested dicts; neither is changed.

    Returns
    -------
    dict
        A new dict, with names in the order in which they first appear.
    """
    merged = dict(values)
    for name, value in over.items():
        below = merged.get(name)
        if isinstance(value, dict):
            merged[name] = merge(below if isinstance(below, dict) else {}, value)
        else:
            merged[name] = value
    return merged


def origins_of(values: dict[str, Any], path: Path) -> Origins:
    """Return the origins of values that all stand in one file."""
    return {
        name: origins_of(value, path) if isinstance(value, dict) else path for name, value in values.items()
    }
