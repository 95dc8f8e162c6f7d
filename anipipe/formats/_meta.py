"""DeepLabCut's ``_meta.pickle``: where the frame was cropped, read without running what is pickled.

A pickle names the functions that rebuild its objects, and an unpickler calls them. This one knows containers,
numbers, text and numpy's scalars and arrays; every other name becomes an empty object.
"""

from __future__ import annotations

import math
import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from anipipe.errors import DataError
from anipipe.formats._files import REMEDY, check_not_empty, translated
from anipipe.pickles import DataUnpickler, check_keys

_NUMBER = re.compile(r"[<>=|]?[biuf][1248]")


class _Inert(dict):  # type: ignore[type-arg]
    """Takes the place of any object that is not plain data; whatever is put into it does nothing."""

    def __new__(cls, *_args: Any, **_kwargs: Any) -> _Inert:
        return super().__new__(cls)

    def __init__(self, *_args: Any, **_kwargs: Any) -> None:
        super().__init__()

    def __call__(self, *_args: Any, **_kwargs: Any) -> _Inert:
        return self

    def __setstate__(self, state: Any) -> None:
        pass

    def append(self, _item: Any) -> None:
        """Take an item as a list would."""

    def extend(self, _items: Any) -> None:
        """Take items as a list would."""

    def add(self, _item: Any) -> None:
        """Take an item as a set would."""


def _encode(text: str, encoding: str = "latin1") -> bytes:
    """Do what ``_codecs.encode`` does for bytes in old pickles, without looking up codecs by name."""
    if encoding not in ("latin1", "latin-1"):
        raise pickle.UnpicklingError(f"bytes encoded as {encoding!r}")
    return text.encode("latin1")


class _Dtype:
    """The type of a numpy number; numpy's own takes any state from a pickle and may crash on it."""

    def __init__(self, spec: Any = "", *_: Any) -> None:
        self.spec = spec if isinstance(spec, str) else ""
        self.order = "="

    def __setstate__(self, state: Any) -> None:
        order = state[1] if isinstance(state, tuple) and len(state) > 1 else "="
        self.order = order if order in ("<", ">", "=") else "="

    def read(self, data: Any) -> Any:
        """Return numbers from their bytes."""
        if isinstance(data, str):
            data = data.encode("latin1")
        if not _NUMBER.fullmatch(self.spec) or not isinstance(data, bytes | bytearray):
            return _Inert()
        return np.frombuffer(bytes(data), np.dtype(self.order + self.spec.lstrip("<>=|"))).tolist()


class _Array(list[Any]):
    """An array of numbers as a flat list."""

    def __setstate__(self, state: Any) -> None:
        if isinstance(state, tuple) and len(state) == 5 and isinstance(state[2], _Dtype):
            self[:] = state[2].read(state[4])


def _array(*_: Any) -> _Array:
    """Stand in for numpy's ``_reconstruct``; the state fills the array afterwards."""
    return _Array()


def _array_of_bytes(data: Any, dtype: Any, *_: Any) -> Any:
    """Rebuild an array of numbers as pickle protocol 5 holds it."""
    return dtype.read(data) if isinstance(dtype, _Dtype) else _Inert()


def _scalar(dtype: Any, data: Any = b"") -> Any:
    """Rebuild a numpy number from its bytes."""
    numbers = dtype.read(data) if isinstance(dtype, _Dtype) else []
    return numbers[0] if len(numbers) == 1 and isinstance(numbers, list) else _Inert()


def _table(items: Any = ()) -> dict[Any, Any]:
    """Make a dict; given to names of all kinds of dicts."""
    pairs = list(items.items() if isinstance(items, dict) else items if isinstance(items, list) else ())
    check_keys(key for key, _ in pairs)
    return dict(pairs)


def _group(items: Any = ()) -> list[Any]:
    """Make a list; given to names of all kinds of lists and sets."""
    return list(items) if isinstance(items, list | tuple | set | frozenset) else []


def _plain_value(value: Any = None, *_: Any) -> Any:
    """Give a number or a text as it stands; a number would make so many bytes, a list its text."""
    return value if isinstance(value, bool | int | float | str | bytes | None) else _Inert()


_BUILTINS: dict[str, Callable[..., Any]] = {
    "dict": _table,
    **dict.fromkeys(("list", "tuple", "set", "frozenset"), _group),
    **dict.fromkeys(("int", "float", "bool", "str", "bytes"), _plain_value),
}
_KNOWN: dict[tuple[str, str], Callable[..., Any]] = {
    **{("builtins", name): make for name, make in _BUILTINS.items()},
    **{("__builtin__", name): make for name, make in _BUILTINS.items()},
    ("collections", "OrderedDict"): _table,
    ("collections", "defaultdict"): lambda *_: {},
    ("_codecs", "encode"): _encode,
    ("numpy", "dtype"): _Dtype,
    **{(f"numpy.{core}.multiarray", "scalar"): _scalar for core in ("core", "_core")},
    **{(f"numpy.{core}.multiarray", "_reconstruct"): _array for core in ("core", "_core")},
    **{(f"numpy.{core}.numeric", "_frombuffer"): _array_of_bytes for core in ("core", "_core")},
}


class _Unpickler(DataUnpickler):
    def find_class(self, module: str, name: str) -> Any:
        return _KNOWN.get((module, name), _Inert)

    def persistent_load(self, _pid: Any) -> Any:
        return _Inert()


def read_crop(path: Path) -> tuple[float, float] | None:
    """Return the corner of the crop that DeepLabCut's points count from.

    Parameters
    ----------
    path
        A ``*_meta.pickle`` of DeepLabCut: ``data.cropping``, ``data.cropping_parameters`` = [x1, x2, y1, y2].

    Returns
    -------
    (x1, y1) in pixels of the whole frame, or None if the frame was not cropped.

    Raises
    ------
    DataError
        The file is damaged, or says that the frame was cropped and not where.
    """
    check_not_empty(path)
    with path.open("rb") as file, translated(path, "DeepLabCut's record of a prediction"):
        try:
            content = _Unpickler(file).load()
        except MemoryError as error:
            raise ValueError("a damaged length") from error
    data = content.get("data", content) if isinstance(content, dict) else None
    if not isinstance(data, dict) or "cropping" not in data:
        raise DataError(f"{path}: does not say whether the video was cropped (data.cropping). {REMEDY}")
    if not data["cropping"]:
        return None
    try:
        x1, _, y1, _ = (float(value) for value in data.get("cropping_parameters", ()))
    except (TypeError, ValueError):
        x1 = y1 = math.nan
    if not (math.isfinite(x1) and math.isfinite(y1)):
        raise DataError(
            f"{path}: says that the video was cropped, but not where (data.cropping_parameters, four numbers "
            "x1, x2, y1, y2). Analyse the video again with DeepLabCut."
        )
    return x1, y1
