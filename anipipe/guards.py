"""What stands between anipipe and files that somebody else has made, by mistake or to do harm.

A pipe in place of a file would be waited for without end, a file without end would fill the memory, a name
with control characters would command the terminal. Whoever opens, reads or shows such things asks here.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

from anipipe.errors import DataError

#: Control characters, breaks of lines, what turns the direction of writing, and what is no valid text: a
#: terminal, a log or a page of HTML would obey them, or cannot hold them.
_UNSEEN = r"\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff"
_CONTROL = re.compile(f"[{_UNSEEN}]")
#: What the console itself puts into text: ends of lines, and its own few colours.
_SHOWN = re.compile(rf"(\n|\t|\x1b\[(?:0|1|3[1-6])m)|[{_UNSEEN}]")
_PIECE = 2**20  # bytes that are read at once
_KINDS = (
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def open_regular(path: str | Path, *, buffering: int = -1) -> BinaryIO:
    """Open a file for reading bytes, and nothing that is no file: a pipe would be waited for without end.

    Parameters
    ----------
    path
        Links are followed.
    buffering
        As :func:`open` has it.

    Raises
    ------
    OSError
        It is a pipe, a socket or a device; or as :func:`open` raises it.
    """
    mode = os.stat(path).st_mode  # opening alone does things to some devices
    for is_kind, name in _KINDS:
        if is_kind(mode):
            raise OSError(errno.EINVAL, f"{name}, not a file; remove it, or put the file here", str(path))
    return open(path, "rb", buffering, opener=_at_once)


def _at_once(path: str, flags: int) -> int:
    # A pipe that has taken the file's place since is then empty at once, rather than waited for.
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def read_regular(path: str | Path, *, limit: int) -> bytes:
    """Return a file's content.

    Parameters
    ----------
    path
        As in :func:`open_regular`.
    limit
        Bytes; so much is never reached by an honest file of its kind.

    Raises
    ------
    OSError
        It is larger; or as :func:`open_regular` raises it.
    """
    content = bytearray()
    with open_regular(path) as file:
        while len(content) <= limit and (piece := file.read(_PIECE)):
            content += piece
    if len(content) > limit:
        raise OSError(errno.EFBIG, f"more than {_amount(limit)}, which no file of its kind has", str(path))
    return bytes(content)


def _amount(size: int) -> str:
    return f"{size // 2**20} MiB" if size >= 2**20 else f"{size // 2**10} KiB"


def visible(text: str) -> str:
    """Return text on one line that hides nothing: control characters are shown as Python writes them."""
    return _CONTROL.sub(_escaped, text)


def visible_lines(text: str) -> str:
    """Return the same of text that may have several lines, and the console's own colours."""
    return _SHOWN.sub(lambda match: match[1] or _escaped(match), text)


def _escaped(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape").decode()


def check_names(names: Iterable[str], where: object) -> None:
    """Refuse names that cannot be shown, logged and written into tables as they are.

    Parameters
    ----------
    names
        Of sessions, videos, joints, cameras.
    where
        What they are in or of, for the message.

    Raises
    ------
    DataError
        Showing the first one as Python writes it.
    """
    for name in names:
        if _CONTROL.search(name):
            raise DataError(
                f"{where}: the name {name!a} has something in it that is no letter (a line break, a control "
                "character, bytes that are no text); give it another name"
            )
