"""Values as TOML text."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any

_BARE = re.compile(r"[A-Za-z0-9_-]+\Z")
_NOT_LITERAL = re.compile(r"['\x00-\x1f\x7f]")


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
    # JSON's escapes are TOML's too, and TOML wants one more character escaped.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
