"""The configuration as text: TOML of what is set, a template, the table of all keys."""

from __future__ import annotations

import textwrap
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
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
_WIDTH = 110
_TABLE_HEAD = ("| key | type | default | unit | meaning |", "| --- | --- | --- | --- | --- |")


@dataclass(frozen=True)
class Remark:
    """What a template says of one key, beside its help.

    Attributes
    ----------
    text
        Stands behind the key's value where there is one and room for it, else above it.
    shown
        Values to show as comments in the place of the default, each with what is to be said of it.
    """

    text: str = ""
    shown: tuple[tuple[Any, str], ...] = ()


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


def template(
    values: dict[str, Any] | None = None,
    remarks: Mapping[str, Remark] | None = None,
    *,
    keys: Collection[str] | None = None,
    about: str = "",
) -> str:
    """Write the ``config.toml`` of a new experiment: every key with its help.

    Parameters
    ----------
    values
        Keys to set, nested as in TOML. All others are comments that show their default, or an example.
    remarks
        What more is to be said of single keys, by dotted key; ``angles.*`` stands for all angles.
    keys
        The keys that it holds, those of ``values`` among them; None: all.
    about
        What is to be said of it at its head.

    Returns
    -------
    str
        TOML that loads to exactly ``values``.

    Raises
    ------
    ConfigError
        If ``values`` are not valid.
    """
    values, remarks = values or {}, remarks or {}
    resolve([Layer(Path("template"), values)])
    lines = [*_TEMPLATE_HEAD.splitlines(), *_comment(about), ""]
    held = [key for key in KEYS.values() if keys is None or key.path in keys]
    for section, group in groupby(held, key=lambda key: key.section):
        if section == "cameras.*":
            lines += _cameras(list(group), values.get("cameras", {}))
            continue
        lines += [f"\n[{section}]"] if section else []
        given = values.get(section, {}) if section else values
        for key in group:
            lines += _entry(key, given, remarks.get(key.path, Remark()))
    return "\n".join(lines) + "\n"


def _entry(key: Key, given: dict[str, Any], remark: Remark) -> list[str]:
    """Return the lines of one key: its help, what is remarked, its value."""
    if key.name == "*":
        return [*_comment(remark.text), _help(key), *_angles(key, given)]
    if key.name not in given:
        return [*_comment(remark.text), *_not_set(key, remark)]
    setting, behind = _setting(key, given), _comment(remark.text)
    if len(behind) == 1 and len(setting) + 2 + len(behind[0]) <= _WIDTH:
        return [_help(key, given), f"{setting}  {behind[0]}", *_others(key, remark)]
    return [_help(key, given), *behind, setting, *_others(key, remark)]


def _not_set(key: Key, remark: Remark) -> list[str]:
    if not remark.shown:
        return [_help(key), _shown(key, key.name)]
    return [_help(key, {key.name: None}), *_others(key, remark)]


def _others(key: Key, remark: Remark) -> list[str]:
    """Return a comment for each value that is shown and not set."""
    return [
        line for value, text in remark.shown for line in (*_comment(text), f"# {key.name} = {inline(value)}")
    ]


def _comment(text: str) -> list[str]:
    """Return a text as lines of comment; what TOML allows in none, such as line feeds, is spelt out."""
    plain = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    lines = textwrap.wrap(plain, _WIDTH - 2, break_long_words=False, break_on_hyphens=False)
    return [f"# {line}" for line in lines]


def _help(key: Key, given: Mapping[str, Any] | None = None) -> str:
    unit = f" ({key.unit})" if key.unit else ""
    alone = key.default is not None or key.name in (given or {})
    return f"# {key.help}{unit}{'' if alone else '. An example:'}"


def _shown(key: Key, name: str) -> str:
    return f"# {name} = {inline(key.example if key.default is None else key.default)}"


def _setting(key: Key, given: dict[str, Any]) -> str:
    return f"{key.name} = {inline(given[key.name])}" if key.name in given else _shown(key, key.name)


def _angles(key: Key, given: dict[str, Any]) -> list[str]:
    return [f"{dotted([name])} = {inline(value)}" for name, value in given.items()] or [_shown(key, "L1_CF")]


def _cameras(keys: list[Key], given: dict[str, dict[str, Any]]) -> list[str]:
    # Without cameras the heading is a comment too, or a camera called NAME would come of it.
    lines = [] if given else ["\n# [cameras.NAME]"]
    for name, settings in (given or {"": {}}).items():
        if given:
            lines.append(f"\n[{dotted(['cameras', name])}]")
        for key in keys:
            lines += [_help(key, settings), _setting(key, settings)]
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
