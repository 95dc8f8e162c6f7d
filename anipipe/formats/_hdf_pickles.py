"""No code in HDF5 tables: PyTables unpickles attributes, and whatever a pickle names is called.

Tables of pandas hold lists, dicts, text and numbers there, which need no names. A file with others is refused
before PyTables sees it; and while PyTables reads, nothing else can be named, wherever it may find it.
"""

from __future__ import annotations

import pickle
import pickletools
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from anipipe.errors import DataError

# what pandas and numpy of all ages put into their attributes
_HARMLESS = {
    "_codecs encode",
    "numpy dtype",
    *(f"numpy.{core}.multiarray scalar" for core in ("core", "_core")),
    *(f"{module} _reconstructor" for module in ("copy_reg", "copyreg")),
    *(f"{module} list" for module in ("__builtin__", "builtins")),
    *(f"pandas.{module} FrozenList" for module in ("core.base", "indexes.frozen", "core.indexes.frozen")),
}
_NAMING = {"GLOBAL", "INST", "STACK_GLOBAL", "EXT1", "EXT2", "EXT4", "PERSID", "BINPERSID"}


def _names_code(data: bytes) -> bool:
    """Whether a pickle names something that is not known to be harmless, or cannot be followed to its end."""
    try:
        return any(
            code.name in _NAMING and not (code.name == "GLOBAL" and argument in _HARMLESS)
            for code, argument, _ in pickletools.genops(data)
        )
    except Exception:  # bytes that pickletools stumbles over in one of many ways
        return True


def _texts(value: Any) -> Iterator[bytes]:
    """Yield the texts in an attribute, of fixed and of variable length, as PyTables may get to see them."""
    for text in np.asarray(value).ravel().tolist() if np.asarray(value).dtype.kind in "SOU" else ():
        content = text.encode("utf-8", "surrogateescape") if isinstance(text, str) else text
        if isinstance(content, bytes):
            yield content.rstrip(b"\0 ")


_reading = threading.local()


@contextmanager
def no_code() -> Iterator[None]:
    """Keep every pickle that this thread reads meanwhile from naming what is not known to be harmless."""
    _watch()
    _reading.now = True
    try:
        yield
    finally:
        _reading.now = False


@cache
def _watch() -> None:
    def forbid(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "pickle.find_class" and getattr(_reading, "now", False):
            name = " ".join(map(str, arguments))
            if name not in _HARMLESS:
                raise pickle.UnpicklingError(f"{name} is named by a table of numbers")

    sys.addaudithook(forbid)


def _refuse(path: Path, where: str, why: str) -> DataError:
    return DataError(
        f"{path}: {where} {why}; such a file could run a program and is not opened. Predict the video "
        "again, or export the predictions as csv."
    )


def refuse_code(file: Any, path: Path) -> None:
    """Raise DataError if a file that h5py has opened holds what PyTables would run.

    Parameters
    ----------
    file
        The open file.
    path
        Its path, for the message.
    """
    import h5py

    def check(name: str, node: Any) -> None:
        for key, value in node.attrs.items():
            if any(text.endswith(b".") and _names_code(text) for text in _texts(value)):
                raise _refuse(path, f"attribute {key!r} of /{name}", "holds code")
        if isinstance(node, h5py.Dataset) and bytes(node.attrs.get("PSEUDOATOM", b"")) == b"object":
            raise DataError(
                f"{path}: /{name} holds Python objects, hence cells that are not numbers. "
                "Predict the video again."
            )

    check("", file)
    file.visititems(check)
