"""Values as TOML text, and back."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterable
from typing import Any

_BARE = re.compile(r"[A-Za-z0-9_-]+\Z")
_NOT_LITERAL = re.compile(r"['\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
_DEEPEST = 20  # tables and arrays within one another
_LONGEST_LINE = 8000  # characters; the time for a key of many parts grows with their square
_UNSEEN = re.compile(r"[\x7f-\x9f\u2028-\u202e\u2066-\u2069]")


def inline(value: Any) -> str:
    """Write a value on one line of TOML.

    Parameters
    ----------
    value
        Lists, dicts, strings, numbers, booleans, and whatever else TOML can hold.
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        # Literal strings keep paths of Windows and regular expressions legible.
        return f"'{value}'" if "\\" in value and not _NOT_LITERAL.search(value) else _quoted(value)
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(inline, value))}]"
    if isinstance(value, dict):
        pairs = ", ".join(f"{dotted([name])} = {inline(item)}" for name, item in value.items())
        return f"{{ {pairs} }}" if pairs else "{}"
    return str(value)


def dotted(path: Iterable[str]) -> str:
    """Join the parts of a key as TOML writes it, quoting those that need it."""
    return ".".join(part if _BARE.match(part) else _quoted(part) for part in path)


def _quoted(text: str) -> str:
    # JSON's escapes are TOML's too; TOML wants one more character escaped, and terminals obey a few others.
    return _UNSEEN.sub(lambda match: f"\\u{ord(match[0]):04x}", json.dumps(text, ensure_ascii=False))


def parse(text: str) -> dict[str, Any]:
    """Read TOML.

    Raises
    ------
    ValueError
        It is none; or lines are longer, or tables deeper within one another, than any that are written.
    """
    too_deep = ValueError("arrays or tables within one another too deeply")
    for number, line in enumerate(text.splitlines(), start=1):
        if len(line) > _LONGEST_LINE:
            raise ValueError(f"line {number} has more than {_LONGEST_LINE} characters; break it up")
    try:
        content = tomllib.loads(text)
    except RecursionError:
        raise too_deep from None
    level: list[Any] = [content]
    for _ in range(_DEEPEST):
        level = [inner for value in level for inner in _inside(value)]
    if level:
        raise too_deep
    return content


def _inside(value: Any) -> Iterable[Any]:
    return value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
