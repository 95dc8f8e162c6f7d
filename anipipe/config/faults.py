"""Turn pydantic's errors into what a user needs to mend a file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from anipipe.config.keys import KEYS, SECTIONS, key_at
from anipipe.config.layers import Layer
from anipipe.config.toml_text import dotted, inline
from anipipe.config.values import KeyFaults
from anipipe.suggest import nearest

_LONGEST_VALUE = 100
_MOST_FAULTS = 20  # that are named; a file that is full of them is another program's
_Path = tuple[str, ...]


def describe(error: ValidationError, values: dict[str, Any], layers: Sequence[Layer]) -> str:
    """List all faults of a configuration, one a line: file, key, value, what is allowed.

    Parameters
    ----------
    error
        What validating ``values`` raised.
    values
        The merged files.
    layers
        The files themselves.

    Returns
    -------
    str
        One line for a single fault, else a line that counts them and an indented line for each.
    """
    found: dict[_Path, str] = {}
    general: set[_Path] = set()
    faults = error.errors(include_url=False)
    for item in faults[:_MOST_FAULTS]:
        path = _path_in(values, item["loc"])
        cause = item.get("ctx", {}).get("error")
        if isinstance(cause, KeyFaults):
            for name, text in cause.faults:
                found.setdefault((*path, name), text)
        elif item["loc"][-1:] == ("[key]",):
            found[path] = str(cause) if cause is not None else "needs a name"
        elif item["type"] == "value_error":
            found[path] = str(cause)
        elif item["type"] == "extra_forbidden":
            found[path] = _unknown(path, isinstance(_value_at(values, path), dict))
        elif path not in found:
            found[path] = _wrong(path)
            general.add(path)
    # A value of two possible kinds is reported once for each; the longer path says more.
    vague = {path for path in general if any(path != other and other[: len(path)] == path for other in found)}
    lines = [_line(path, text, values, layers) for path, text in found.items() if path not in vague]
    if len(lines) == 1:
        return lines[0]
    if len(faults) > _MOST_FAULTS:
        lines.append(f"and {len(faults) - _MOST_FAULTS} more")
    return "\n  ".join([f"{len(lines)} faults in the configuration:", *lines])


def _path_in(values: Any, loc: tuple[int | str, ...]) -> _Path:
    """Follow pydantic's location through the values, leaving out its names for kinds and places in arrays."""
    path: list[str] = []
    for part in loc:
        if isinstance(values, dict) and part in values:
            path.append(str(part))
            values = values[part]
        elif not isinstance(values, dict):
            break
    return tuple(path)


def _value_at(values: Any, path: _Path) -> Any:
    for part in path:
        if not isinstance(values, dict):
            return None
        values = values.get(part)
    return values


def _file_of(layers: Sequence[Layer], path: _Path) -> Path | None:
    return next((layer.path for layer in reversed(layers) if _value_at(layer.values, path) is not None), None)


def _wrong(path: _Path) -> str:
    key = key_at(path) or key_at(path[:-1])
    if key is not None:
        return f"must be {key.allowed}"
    if path[0] == "cameras":
        return "must be a section of its own for each camera, [cameras.NAME]"
    return f"must be a section, [{dotted(path)}]"


def _unknown(path: _Path, is_table: bool) -> str:
    *above, word = path
    if is_table and not above:
        guess = nearest(word, SECTIONS)
        return "unknown section" + (f", did you mean [{guess}]?" if guess else "")
    section = "cameras.*" if above and above[0] == "cameras" else ".".join(above)
    guess = nearest(word, (key.name for key in KEYS.values() if key.section == section))
    if guess is not None:
        return f"unknown key, did you mean {guess!r}?"
    names = {key.name for key in KEYS.values()} - {"*"}
    guess = word if word in names else nearest(word, names)
    places = " or ".join(
        key.path.replace("*", "NAME") if key.section else f"{key.name!r} above the first section"
        for key in KEYS.values()
        if key.name == guess
    )
    return f"unknown key, did you mean {places}?" if places else "unknown key"


def _line(path: _Path, text: str, values: dict[str, Any], layers: Sequence[Layer]) -> str:
    file = _file_of(layers, path)
    value = _value_at(values, path)
    if isinstance(value, dict) and (len(path) == 1 or path[0] == "cameras"):
        what = f"[{dotted(path)}]"
    elif value is None:
        what = dotted(path)
    else:
        shown = inline(value)
        if len(shown) > _LONGEST_VALUE:
            shown = shown[: _LONGEST_VALUE - 1] + "…"
        what = f"{dotted(path)} = {shown}"
    return f"{file}: {what}: {text}" if file is not None else f"{what}: {text}"
