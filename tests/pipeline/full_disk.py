"""A disk that is full from some write on, as this process sees it; no right to make a real one is needed.

Python's own writes go through :mod:`_pyio`, whose calls to :mod:`os` can be counted; those of C libraries are
led to ``/dev/full``, where there is one.
"""

from __future__ import annotations

import _pyio
import builtins
import contextlib
import errno
import io
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

DEVICE = Path("/dev/full")
_MAKING = os.O_CREAT | os.O_TRUNC


class FillingDisk:
    """What is written below a folder, counted; from the write with number ``first`` on there is no room.

    Parameters
    ----------
    root : Path
    first : int
        0: there is always room.
    lasting : bool
        There is no room for later writes either; else somebody has made some at once.

    Attributes
    ----------
    seen, refused : list of str
        All writes, and those there was no room for.
    """

    def __init__(self, root: Path, first: int = 0, *, lasting: bool = True) -> None:
        self.root, self.first, self.lasting = f"{root}{os.sep}", first, lasting
        self.seen: list[str] = []
        self.refused: list[str] = []
        self._open: dict[int, str] = {}

    @contextlib.contextmanager
    def here(self) -> Iterator[FillingDisk]:
        """Have this disk below the folder meanwhile."""
        import av
        import pyarrow.parquet as pq

        with contextlib.ExitStack() as stack:
            put = lambda where, name, new: stack.enter_context(mock.patch.object(where, name, new))
            for module in (io, builtins):
                put(module, "open", self._opening(io.open))
            for name, place in {"replace": 1, "rename": 1, "link": 1, "mkdir": 0, "symlink": 1}.items():
                put(os, name, self._checking(getattr(os, name), place, name))
            put(os, "open", self._opening_low(os.open))
            put(os, "close", self._closing(os.close))
            put(os, "write", self._writing(os.write))
            put(os, "fsync", self._syncing(os.fsync))
            put(av, "open", self._led_away(av.open, 0, lambda *args, **more: "w" in args[1:2]))
            put(pq, "write_table", self._led_away(pq.write_table, 1, lambda *args, **more: True))
            yield self

    def _is_full(self, what: str) -> bool:
        self.seen.append(what)
        count = len(self.seen)
        full = 0 < self.first <= count if self.lasting else count == self.first
        if full:
            self.refused.append(what)
        return full

    def _below(self, path: Any) -> bool:
        return isinstance(path, str | os.PathLike) and os.path.abspath(path).startswith(self.root)  # noqa: PTH100

    def _opening(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def opening(file: Any, mode: str = "r", *args: Any, **more: Any) -> Any:
            writes = set(mode) & set("wax+") and self._below(file)
            return (_pyio.open if writes else original)(file, mode, *args, **more)

        return opening

    def _opening_low(self, original: Callable[..., int]) -> Callable[..., int]:
        def opening(path: Any, flags: int, *args: Any, **more: Any) -> int:
            ours = self._below(path)
            if ours and flags & _MAKING and self._is_full(f"open {path}"):
                raise no_room(path)
            descriptor = original(path, flags, *args, **more)
            if ours:
                self._open[descriptor] = str(path)
            return descriptor

        return opening

    def _closing(self, original: Callable[[int], None]) -> Callable[[int], None]:
        def closing(descriptor: int) -> None:
            self._open.pop(descriptor, None)
            original(descriptor)

        return closing

    def _writing(self, original: Callable[[int, Any], int]) -> Callable[[int, Any], int]:
        def writing(descriptor: int, content: Any) -> int:
            path = self._open.get(descriptor)
            if path is None or not self._is_full(f"write {path}"):
                return original(descriptor, content)
            if len(content) > 1 and len(self.refused) == 1:  # what there is room for, and then no more
                self.seen.pop()
                return original(descriptor, bytes(content)[: len(content) // 2])
            raise no_room()

        return writing

    def _syncing(self, original: Callable[[int], None]) -> Callable[[int], None]:
        def syncing(descriptor: int) -> None:
            if descriptor in self._open and self._is_full(f"fsync {self._open[descriptor]}"):
                raise no_room()
            original(descriptor)

        return syncing

    def _checking(self, original: Callable[..., Any], place: int, name: str) -> Callable[..., Any]:
        def checking(*args: Any, **more: Any) -> Any:
            makes = self._below(args[place]) and not (name == "mkdir" and Path(args[place]).exists())
            if makes and self._is_full(f"{name} {args[place]}"):
                raise no_room(*args[: place + 1])
            return original(*args, **more)

        return checking

    def _led_away(
        self, original: Callable[..., Any], place: int, writes: Callable[..., bool]
    ) -> Callable[..., Any]:
        def led_away(*args: Any, **more: Any) -> Any:
            path = args[place]
            if writes(*args, **more) and self._below(path) and self._is_full(f"fill {path}"):
                if not DEVICE.exists():
                    raise no_room(path)
                _SYMLINK(DEVICE, path)
            return original(*args, **more)

        return led_away


_SYMLINK = os.symlink


def no_room(*paths: Any) -> OSError:
    """Return what the operating system says of a full disk."""
    names = (str(paths[0]), None, str(paths[1])) if len(paths) > 1 else tuple(map(str, paths))
    return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), *names)
