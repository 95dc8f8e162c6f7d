"""Pickles as data: the unpickler that others build on, in which nothing small unfolds to something large.

A pickle names what rebuilds its objects; whoever uses this decides, in ``find_class``, what it gets instead.
What is left are containers, and lengths that a file may lie about. Parts that contain one another twice over
need a few bytes each and double, each time, the work of comparing and showing them.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterable
from io import SEEK_END
from typing import Any, BinaryIO, ClassVar

_PLAIN = (str, bytes, int, float, bool, type(None))
_LARGE = 2**16  # bytes; shorter reads need no look at what is left
_MOST_PARTS = 1_000_000


class DataUnpickler(pickle._Unpickler):
    """Reads one pickle; subclasses say what names mean.

    The one written in Python: the one in C takes any amount of memory where lengths are damaged.

    Parameters
    ----------
    file
        Open for bytes, and to be sought in.
    **options
        Of :class:`pickle.Unpickler`.
    """

    dispatch: ClassVar[dict[int, Callable[[Any], None]]] = dict(pickle._Unpickler.dispatch)

    def __init__(self, file: BinaryIO, **options: Any) -> None:
        super().__init__(_Bounded(file), **options)

    def _load_bytearray(self) -> None:
        self.append(bytearray(self.read(int.from_bytes(self.read(8), "little"))))  # type: ignore[attr-defined]

    dispatch[pickle.BYTEARRAY8[0]] = _load_bytearray


class _Bounded:
    """A file of which no more is read than there is, whatever length is asked for."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.readline = file.readline
        here = file.tell()
        self._end = file.seek(0, SEEK_END)
        file.seek(here)

    def read(self, size: int) -> bytes:
        return self._file.read(size if size < _LARGE else min(size, self._end - self._file.tell()))


def _with_plain_keys(load: Callable[[Any], None], step: int) -> Callable[[Any], None]:
    """Return an opcode's function that refuses keys, or members of sets, that are containers."""

    def checked(self: Any) -> None:
        keys = self.stack[-2:-1] if load is _SETITEM else self.stack[::step]
        check_keys(keys)
        load(self)

    return checked


_SETITEM = pickle._Unpickler.dispatch[pickle.SETITEM[0]]
for _code, _step in ((pickle.SETITEM, 1), (pickle.SETITEMS, 2), (pickle.DICT, 2), (pickle.ADDITEMS, 1)):
    DataUnpickler.dispatch[_code[0]] = _with_plain_keys(pickle._Unpickler.dispatch[_code[0]], _step)
DataUnpickler.dispatch[pickle.FROZENSET[0]] = _with_plain_keys(
    pickle._Unpickler.dispatch[pickle.FROZENSET[0]], 1
)


def check_keys(keys: Iterable[Any]) -> None:
    """Raise UnpicklingError for a key that is no text or number: finding its place may take for ever."""
    for key in keys:
        parts = key if type(key) is tuple else (key,)
        if not all(isinstance(part, _PLAIN) for part in parts):
            raise pickle.UnpicklingError(f"a key that is no text or number, but a {type(key).__name__}")


def check_parts(content: Any) -> None:
    """Refuse content that is small only because its parts stand in it many times over.

    Parameters
    ----------
    content
        Dicts, lists, tuples and plain values, as pickles and YAML hold them.

    Raises
    ------
    ValueError
        Written out it would have more than a million parts, or it holds itself.
    """
    counts: dict[int, int] = {}
    try:
        total = _count(content, counts)
    except RecursionError:
        raise ValueError("parts within parts too deeply") from None
    if total > _MOST_PARTS:
        raise ValueError("parts that hold one another over and over, more than a million in all")


def _count(value: Any, counts: dict[int, int]) -> int:
    if not isinstance(value, dict | list | tuple):
        return 1
    if id(value) not in counts:
        counts[id(value)] = _MOST_PARTS + 1  # of what holds itself there is no end
        inner = value.values() if isinstance(value, dict) else value
        counts[id(value)] = 1 + sum(_count(part, counts) for part in inner)
    return counts[id(value)]
