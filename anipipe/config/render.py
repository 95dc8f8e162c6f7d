"""The configuration as text: TOML of what is set, a template, the table of all keys."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from anipipe.config.keys import KEYS, Key, plain
from anipipe.config.layers import Layer
from anipipe.config.resolve import Resolved, resolve
from anipipe.config.schema import Config
from anipipe.config.toml_text import dotted, inline
from anipipe.config.values import Section

_TEMPLATE_HEAD = """\
# Settings of this experiment.
# A line such as "# key = value" shows a key that is not set, with its default; remove the "# " to set it.
# Any session, and any folder on the way to it, may have a config.toml of its own that overrides single keys.
"""
_TABLE_HEAD = ("| key | type | default | unit | meaning |", "| --- | --- | --- | --- | --- |")


def to_toml(
    config: Config, origins: Mapping[str, Path | None] | None = None, root: Path | None = None
) -> str:
    """Write a configuration as TOML that reads back to an equal one.

    Keys stand in the order of the schema. Left out are those that are not set, and those that do nothing
    here unless they differ from their default (reading them back would only bring warnings).

    Parameters
    ----------
    config
        The configuration.
    origins
        Which file set each key; if given, stands behind each value as a comment.
    root
        The folder that these files are named relative to, the experiment's. A file outside it, or any file
        if there is no root, is named without its folder: the text must not depend on the machine.

    Returns
    -------
    str
        TOML, with a newline at its end.
    """
    lines: list[str] = []
    section = ""
    for path, value in _entries(config):
        *above, name = path
        if dotted(above) != section:
            section = dotted(above)
            lines += ["", f"[{section}]"]
        comment = ""
        if origins is not None:
            file = origins.get(dotted(path)) or _file_within(origins, dotted(path) + ".")
            comment = f"  # {_origin(file, root)}"
        lines.append(f"{dotted([name])} = {inline(value)}{comment}")
    return "\n".join(lines).lstrip("\n") + "\n"


def _entries(config: Config) -> Iterator[tuple[list[str], Any]]:
    for path, value, key in _values(config):
        if value is not None and not (key.notice is not None and value == key.default):
            yield path, value


def _values(config: Config) -> Iterator[tuple[list[str], Any, Key]]:
    """Yield every key of a configuration, with the names of its angles and cameras, in the schema's order."""
    for name, section in config:
        if name == "cameras":
            for camera, settings in section.items():
                for field, value in settings:
                    yield [name, camera, field], plain(value), KEYS[f"cameras.*.{field}"]
        elif name == "angles":
            for angle, value in section.items():
                yield [name, angle], plain(value), KEYS["angles.*"]
        elif isinstance(section, Section):
            for field, value in section:
                yield [name, field], plain(value), KEYS[f"{name}.{field}"]
        else:
            yield [name], plain(section), KEYS[name]


def _file_within(origins: Mapping[str, Path | None], prefix: str) -> Path | None:
    return next((file for path, file in origins.items() if path.startswith(prefix)), None)


def _origin(file: Path | None, root: Path | None) -> str:
    if file is None:
        return "default"
    if root is not None and file.is_relative_to(root):
        return file.relative_to(root).as_posix()
    return file.name


def origin_table(resolved: Resolved) -> list[tuple[str, str, Path | None]]:
    """List every key with its value and where it comes from.

    Parameters
    ----------
    resolved
        The configuration.

    Returns
    -------
    list of (str, str, Path or None)
        Dotted key, value as TOML ("" for a key that is not set), and the file that set it (None: a default).
    """
    rows: list[tuple[str, str, Path | None]] = []
    for path, value, _ in _values(resolved.config):
        entries = {tuple(path): value}
        if isinstance(value, dict):
            entries = {(*path, name): item for name, item in value.items()}
        for parts, item in entries.items():
            key = dotted(parts)
            rows.append((key, "" if item is None else inline(item), resolved.origins.get(key)))
    return rows


def template(values: dict[str, Any] | None = None) -> str:
    """Write the ``config.toml`` of a new experiment: every key with its help.

    Parameters
    ----------
    values
        Keys to set, nested as in TOML. All others are comments that show their default, or an example.

    Returns
    -------
    str
        TOML that loads to exactly ``values``.

    Raises
    ------
    ConfigError
        If ``values`` are not valid.
    """
    values = values or {}
    resolve([Layer(Path("template"), values)])
    lines = [_TEMPLATE_HEAD]
    section = ""
    for key in KEYS.values():
        if key.section != section:
            section = key.section
            if section == "cameras.*":
                lines += _cameras(values.get("cameras", {}))
            else:
                lines.append(f"\n[{section}]")
        if section == "cameras.*":
            continue
        given = values.get(key.section, {}) if key.section else values
        lines.append(_help(key))
        if key.name == "*":
            lines += _angles(key, given)
        else:
            lines.append(_setting(key, given))
    return "\n".join(lines) + "\n"


def _help(key: Key) -> str:
    unit = f" ({key.unit})" if key.unit else ""
    return f"# {key.help}{unit}{'' if key.default is not None else '. An example:'}"


def _shown(key: Key, name: str) -> str:
    return f"# {name} = {inline(key.example if key.default is None else key.default)}"


def _setting(key: Key, given: dict[str, Any]) -> str:
    return f"{key.name} = {inline(given[key.name])}" if key.name in given else _shown(key, key.name)


def _angles(key: Key, given: dict[str, Any]) -> list[str]:
    return [f"{dotted([name])} = {inline(value)}" for name, value in given.items()] or [_shown(key, "L1_CF")]


def _cameras(given: dict[str, dict[str, Any]]) -> list[str]:
    keys = [key for key in KEYS.values() if key.section == "cameras.*"]
    # Without cameras the heading is a comment too, or a camera called NAME would come of it.
    lines = [] if given else ["\n# [cameras.NAME]"]
    for name, settings in (given or {"": {}}).items():
        if given:
            lines.append(f"\n[{dotted(['cameras', name])}]")
        for key in keys:
            lines += [_help(key), _setting(key, settings)]
    return lines


def markdown() -> str:
    """Write the table of all keys for the documentation, section by section."""
    lines: list[str] = []
    section: str | None = None
    for key in KEYS.values():
        if key.section != section:
            section = key.section
            title = f"`[{section.replace('*', 'NAME')}]`" if section else "Above the first section"
            lines += ["", f"### {title}", "", *_TABLE_HEAD]
        shown = "" if key.default is None else f"`{inline(key.default)}`"
        cells = [f"`{key.name.replace('*', 'NAME')}`", key.allowed, shown, key.unit, key.help]
        lines.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
    return "\n".join(lines).lstrip("\n") + "\n"
