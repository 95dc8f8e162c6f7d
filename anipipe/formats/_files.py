"""What each reader checks before a library sees the file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from anipipe.errors import DataError

REMEDY = "If anipipe made it, delete it and run again; if it came from elsewhere, copy it anew."


def check_not_empty(path: Path) -> None:
    """Raise DataError for a file of 0 bytes; a missing or forbidden one raises its own OSError."""
    with path.open("rb") as file:
        if not file.read(1):
            raise DataError(f"{path}: the file is empty (0 bytes). {REMEDY}")


@contextmanager
def translated(path: Path, what: str) -> Iterator[None]:
    """Turn what a library raises on a damaged file into a DataError.

    HDF5, pickle and Arrow raise almost anything on damaged bytes, hence the wide net. Only for code that
    reads one file which is known to exist.

    Parameters
    ----------
    path
        The file, for the message.
    what
        What it should have been, such as "an HDF5 file".
    """
    try:
        yield
    except (DataError, MemoryError, Warning):
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # the disk or the permissions, not the content
        reason = str(error).strip().split("\n")[0] or type(error).__name__
        raise DataError(
            f"{path}: cannot be read as {what}: it is damaged or cut off ({reason}). {REMEDY}"
        ) from error


@contextmanager
def open_hdf5(path: Path) -> Iterator[Any]:
    """Open an HDF5 file with h5py; DataError if it is empty, something else, or cut off.

    HDF5 notes its own length in its first bytes, so every shorter copy is refused.
    """
    import h5py

    check_not_empty(path)
    if not h5py.is_hdf5(str(path)):
        raise DataError(
            f"{path}: not an HDF5 file, whatever its name says, or one cut off near its start. {REMEDY}"
        )
    with translated(path, "an HDF5 file"):
        file = h5py.File(path, "r")
    with file, translated(path, "an HDF5 file"):
        yield file


def read_text(path: Path) -> str:
    """Return a UTF-8 file's text (a byte order mark is dropped), or raise DataError."""
    check_not_empty(path)
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not a UTF-8 text file ({error}). Save it as UTF-8.") from error


def check_last_line(path: Path) -> None:
    """Raise DataError for a text file whose last line is not ended, as when a copy breaks off."""
    check_not_empty(path)
    with path.open("rb") as file:
        file.seek(-1, 2)
        if file.read(1) not in (b"\n", b"\r"):
            raise DataError(
                f"{path}: the last line is not ended, as in a file that was cut off while being written or "
                f"copied. {REMEDY} If you are sure that it is complete, add a line break at its end."
            )
