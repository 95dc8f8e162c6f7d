"""Zip files that come from anywhere: their members are checked by name, and read without unpacking anything.

Nothing is written to disk, so nothing can escape its folder or fill the disk; what is read into memory is
limited, whatever the headers claim.
"""

from __future__ import annotations

import re
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from anipipe.errors import DataError
from anipipe.guards import open_regular

GIB = 2**30
LARGEST = 8 * GIB  # bytes, all that is read; the largest snapshots, optimiser and all, are below 2 GiB
RATIO = 200  # by which no honest member shrinks: weights hardly shrink at all ...
UNSUSPICIOUS = 50 * 2**20  # ... bytes; unless it is small, where it does no harm

_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_ENCRYPTED = 0x1
_DAMAGED = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, NotImplementedError, ValueError)


class Archive:
    """An open zip whose names are all fine.

    Parameters
    ----------
    file
        The zip.
    where
        What it is called in messages.

    Raises
    ------
    DataError
        It cannot be read as a zip, is encrypted, or holds a name that points out of its folder, a link, or
        two members of one name.
    """

    def __init__(self, file: Path | BinaryIO, *, where: str) -> None:
        self._where = where
        self._read = 0
        with self._faults():
            if isinstance(file, Path):
                open_regular(file).close()
            self._zip = zipfile.ZipFile(file)
            self._members = dict(self._checked())

    def __enter__(self) -> Archive:
        return self

    def __exit__(self, *_: object) -> None:
        self._zip.close()

    @property
    def names(self) -> tuple[str, ...]:
        """The files in it, ``/`` between folders; what macOS adds for itself is left out."""
        return tuple(self._members)

    def read(self, name: str, *, limit: int = LARGEST) -> bytes:
        """Read one member into memory.

        Parameters
        ----------
        name
            As in :attr:`names`.
        limit
            Bytes, at most.

        Raises
        ------
        DataError
            There is no such member; it is larger than the limit, or than anything honest of its size in the
            zip; all that was read is more than 8 GiB; or it is damaged.
        """
        member = self._members.get(name)
        if member is None:
            raise DataError(f"{self._where}: there is no {name} in it")
        self._check_size(member, limit)
        with self._faults(), self._zip.open(member) as file:
            # No more than the header's size is given, and the checksum is compared at the end.
            content = file.read()
        if len(content) != member.file_size:
            raise DataError(f"{self._where}: {name} is cut off; make or copy the file again")
        return content

    def _checked(self) -> Iterator[tuple[str, zipfile.ZipInfo]]:
        seen = set()
        for member in self._zip.infolist():
            # As it stands in the file: ``filename`` is mended, on each system differently.
            name = member.orig_filename.removeprefix("./")
            if _is_of_macos(name):
                continue
            fault = "is in it twice" if name in seen else _fault(name, member)
            if fault:
                raise DataError(f"{self._where}: {name!r} {fault}; zip the model's folder anew")
            seen.add(name)
            if not name.endswith("/"):
                yield name, member

    def _check_size(self, member: zipfile.ZipInfo, limit: int) -> None:
        size = member.file_size
        claim = f"{self._where}: {member.filename} would unpack to {_amount(size)}"
        self._read += size
        if size > limit or self._read > LARGEST:
            raise DataError(f"{claim}; at most {_amount(min(limit, LARGEST))} are read")
        if size > UNSUSPICIOUS and size > RATIO * member.compress_size:
            raise DataError(f"{claim}, more than {RATIO} times its size in the zip: no trained network does")

    @contextmanager
    def _faults(self) -> Iterator[None]:
        try:
            yield
        except _DAMAGED as error:
            raise DataError(
                f"{self._where} is damaged, cut off, or none of its kind ({error}); make or copy it again"
            ) from error
        except OSError as error:
            raise DataError(f"{self._where} cannot be read: {error}") from error


def _is_of_macos(name: str) -> bool:
    return name.startswith("__MACOSX/") or name.rsplit("/", 1)[-1].startswith(("._", ".DS_Store"))


def _fault(name: str, member: zipfile.ZipInfo) -> str | None:
    if not name.strip("/") or "\\" in name or "\0" in name:
        return "is no portable name of a file"
    if name.startswith("/") or re.match("[A-Za-z]:", name):
        return "is an absolute path, not one inside the zip"
    if ".." in name.split("/"):
        return "points out of the zip's folder"
    if stat.S_ISLNK(member.external_attr >> 16):
        return "is a link, not a file"
    if member.flag_bits & _ENCRYPTED:
        return "is encrypted, which is not supported"
    if member.compress_type not in _METHODS:
        return "is packed by an unusual method (only store and deflate are read)"
    return None


def _amount(size: int) -> str:
    return f"{size / GIB:,.1f} GiB" if size >= GIB else f"{size / 2**20:,.1f} MiB"
