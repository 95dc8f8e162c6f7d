"""Files of torch, read without executing anything that is in them.

Such a file holds a pickle, a program that builds objects, and the numbers of the tensors beside it. The
program is run here with nothing in reach: what it asks for by name is looked up in one short table, and
anything else becomes an :class:`Unknown`, which does nothing whatever is done to it. Nor are tensors made
while it runs. It only leaves notes of them, which are filled with numbers afterwards.

Both formats are read: the zip of torch 1.6 and later, and the one before it, in which many pretrained weights
are still given away.
"""

from __future__ import annotations

import pickle
import struct
from collections.abc import Callable, Iterable
from io import SEEK_END, BytesIO
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import torch
from torch import Tensor

from anipipe.errors import DataError
from anipipe.guards import open_regular
from anipipe.networks.archives import Archive
from anipipe.pickles import DataUnpickler, check_keys

_ZIP = b"PK\x03\x04"
_OLD_MAGIC = 0x1950A86A20F9469CFC6C
_OLD_PROTOCOL = 1001


class Unknown:
    """Whatever a pickle builds that is not known here: it can be made and changed, without effect.

    Attributes
    ----------
    args : tuple
        What it was made from; of an enumeration's member, its value.
    """

    __slots__ = ("args",)
    args: tuple[Any, ...]

    def __new__(cls, *args: Any, **_: Any) -> Unknown:
        """Keep what it is made from."""
        made = super().__new__(cls)
        made.args = args
        return made

    def __call__(self, *args: Any, **_: Any) -> Unknown:
        """Make another one; a pickle may take this for a function."""
        return Unknown(*args)

    def __setitem__(self, key: object, value: object) -> None: ...
    def __setstate__(self, state: object) -> None: ...
    def append(self, item: object) -> None: ...  # noqa: D102 - asked for by pickles of lists and sets
    def extend(self, items: object) -> None: ...  # noqa: D102
    def add(self, item: object) -> None: ...  # noqa: D102


class _Table(dict[Any, Any]):
    """A table whose attributes a pickle cannot set."""

    def __init__(self, items: Iterable[tuple[Any, Any]] = ()) -> None:
        super().__init__()
        for key, value in items:
            check_keys([key])
            self[key] = value

    def __setstate__(self, state: object) -> None: ...


class _Maker:
    """Something that a pickle may call, and cannot change."""

    __slots__ = ("_make",)

    def __init__(self, make: Callable[..., Any]) -> None:
        self._make = make

    def __call__(self, *args: Any) -> Any:
        return self._make(*args)

    def __setstate__(self, state: object) -> None: ...


class _Storage(NamedTuple):
    """A note of numbers in the file: under which key, of which type, from which one on."""

    key: str
    dtype: torch.dtype
    start: int


class _View(NamedTuple):
    """A note of a tensor in such a storage."""

    storage: _Storage
    start: int
    size: tuple[int, ...]
    stride: tuple[int, ...]


def _view(storage: _Storage, start: int, size: Iterable[int], stride: Iterable[int], *_: Any) -> _View:
    return _View(storage, start, tuple(size), tuple(stride))


def _parameter(data: _View, *_: Any) -> _View:
    return data


_DTYPES = {
    "FloatStorage": torch.float32,
    "DoubleStorage": torch.float64,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}

#: All that a pickle gets when it asks for something by module and name. None can be used for more than its
#: purpose: the classes keep no attributes, and the makers make notes.
_KNOWN: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): _Table,
    ("torch", "Size"): _Maker(tuple),
    ("torch._utils", "_rebuild_tensor"): _Maker(_view),
    ("torch._utils", "_rebuild_tensor_v2"): _Maker(_view),
    ("torch._utils", "_rebuild_parameter"): _Maker(_parameter),
    **{("torch", name): dtype for name, dtype in _DTYPES.items()},
}


class _Unpickler(DataUnpickler):
    """Builds what a pickle describes out of notes, tables, lists and plain values.

    Attributes
    ----------
    dtypes : dict
        Types of the storages that were asked for, by key.
    """

    def __init__(self, file: BinaryIO) -> None:
        super().__init__(file, encoding="utf-8")
        self.dtypes: dict[str, torch.dtype] = {}

    def find_class(self, module: str, name: str) -> Any:
        return _KNOWN.get((module, name), Unknown)

    def persistent_load(self, pid: Any) -> _Storage:
        kind, dtype, key, _device, _count, *part = pid
        if kind != "storage" or not isinstance(dtype, torch.dtype) or not isinstance(key, str | int):
            raise pickle.UnpicklingError("tensors of an unknown kind")
        self.dtypes[str(key)] = dtype
        # Before torch 1.6 a storage could be part of another: its own key, start, count.
        return _Storage(str(key), dtype, part[0][1] if part and part[0] else 0)


def load_tensors(file: Path | BinaryIO, *, where: str) -> dict[Any, Any]:
    """Read what ``torch.save`` wrote, a table of tensors, plain values and further tables.

    Parameters
    ----------
    file
        A path, or an open binary file that can be sought in.
    where
        What it is called in messages.

    Returns
    -------
    dict
        Tensors on the CPU; those that share numbers in the file share them here. What is neither tensor, nor
        plain value, list, tuple or table, is :class:`Unknown`.

    Raises
    ------
    DataError
        It cannot be read, was not written by torch, is damaged or cut off, or holds no table.
    """
    try:
        if isinstance(file, Path):
            with open_regular(file) as opened:
                content = _read(opened, where)
        else:
            content = _read(file, where)
    except (DataError, MemoryError):
        raise
    except OSError as error:
        raise DataError(f"{where} cannot be read: {error}") from error
    except Exception as error:  # a damaged pickle may fail in any way
        raise DataError(
            f"{where} was not written by torch, or it is damaged or cut off ({error}); copy it again from "
            "where the network was trained"
        ) from error
    if not isinstance(content, dict):
        raise DataError(f"{where} holds no table of tensors, which is what a trained network's file holds")
    return content


def plain(value: Any) -> Any:
    """Turn what was unpickled into plain values: members of enumerations into theirs, the rest into None.

    Examples
    --------
    >>> plain({"method": Unknown("bu"), "path": Unknown("a", "b"), "sizes": (3, 2)})
    {'method': 'bu', 'path': None, 'sizes': [3, 2]}
    """
    return _plain(value, {})


def _plain(value: Any, known: dict[int, Any]) -> Any:
    # What stands in several places is turned once; within itself, it counts as nothing.
    if isinstance(value, str | int | float | None):
        return value
    if id(value) not in known:
        known[id(value)] = None
        if isinstance(value, dict):
            known[id(value)] = {_plain(key, known): _plain(inner, known) for key, inner in value.items()}
        elif isinstance(value, list | tuple):
            known[id(value)] = [_plain(inner, known) for inner in value]
        elif isinstance(value, Unknown) and len(value.args) == 1:
            known[id(value)] = _plain(value.args[0], known)
    return known[id(value)]


def _read(file: BinaryIO, where: str) -> Any:
    start = file.read(len(_ZIP))
    file.seek(0)
    return _read_zip(file, where) if start == _ZIP else _read_old(file)


def _read_zip(file: BinaryIO, where: str) -> Any:
    """Read a zip of one folder: ``data.pkl``, and ``data/KEY`` with the numbers of each storage."""
    with Archive(file, where=where) as archive:
        folders = [name.removesuffix("data.pkl") for name in archive.names if name.endswith("/data.pkl")]
        if len(folders) != 1:
            raise pickle.UnpicklingError("it holds no data.pkl")
        [folder] = folders
        order = f"{folder}byteorder"
        if order in archive.names and archive.read(order) != b"little":
            raise pickle.UnpicklingError("numbers of another byte order")
        content = _Unpickler(BytesIO(archive.read(f"{folder}data.pkl"))).load()
        return _Filling(lambda key: archive.read(f"{folder}data/{key}")).fill(content)


def _read_old(file: BinaryIO) -> Any:
    """Read five pickles: magic number, protocol, machine, content, keys of storages; their numbers follow."""
    magic, protocol, machine = (_Unpickler(file).load() for _ in range(3))
    if magic != _OLD_MAGIC or protocol != _OLD_PROTOCOL or not machine["little_endian"]:
        raise pickle.UnpicklingError("another format")
    unpickler = _Unpickler(file)
    content = unpickler.load()
    keys = _Unpickler(file).load()
    numbers = {key: _old_storage(file, unpickler.dtypes[key]) for key in keys}
    return _Filling(numbers.__getitem__).fill(content)


def _old_storage(file: BinaryIO, dtype: torch.dtype) -> bytes:
    (count,) = struct.unpack("<q", file.read(8))
    start = file.tell()
    left = file.seek(0, SEEK_END) - start
    file.seek(start)
    if not 0 <= count * dtype.itemsize <= left:
        raise EOFError("numbers are missing")
    return file.read(count * dtype.itemsize)


class _Filling:
    """Puts tensors in the place of their notes.

    Parameters
    ----------
    numbers
        Gives the content of a storage by its key.
    """

    def __init__(self, numbers: Callable[[str], bytes]) -> None:
        self._numbers = numbers
        self._storages: dict[_Storage, Tensor] = {}
        self._filled: dict[int, Any] = {}

    def fill(self, value: Any) -> Any:
        """Return a value with tensors; each part once, however often it is part of others."""
        if not isinstance(value, dict | list | tuple):
            return value
        if id(value) not in self._filled:
            self._filled[id(value)] = self._made(value)
        return self._filled[id(value)]

    def _made(self, value: dict[Any, Any] | list[Any] | tuple[Any, ...]) -> Any:
        if isinstance(value, _View):
            return self._tensor(value)
        if isinstance(value, dict):
            return {key: self.fill(inner) for key, inner in value.items()}
        return type(value)(map(self.fill, value)) if type(value) in (list, tuple) else None

    def _tensor(self, view: _View) -> Tensor:
        whole = view.storage._replace(start=0)
        if whole not in self._storages:
            content = bytearray(self._numbers(whole.key))
            dtype = whole.dtype
            self._storages[whole] = (
                torch.frombuffer(content, dtype=dtype) if content else torch.empty(0, dtype=dtype)
            )
        # torch itself refuses what does not lie within the numbers.
        return self._storages[whole].as_strided(view.size, view.stride, view.storage.start + view.start)
