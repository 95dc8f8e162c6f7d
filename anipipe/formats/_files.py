"""What each reader checks before a library sees the file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from anipipe.errors import DataError
from anipipe.guards import open_regular

REMEDY = "If anipipe made it, delete it and run again; if it came from elsewhere, copy it anew."


#: Bytes of a text that is read as a whole, of one line of a table, of numbers that little data may unfold to.
_LARGEST_TEXT, _LONGEST_LINE, _UNSUSPICIOUS = 64 * 2**20, 2**20, 256 * 2**20
_RATIO = 100  # by which no honest table shrinks


def check_not_empty(path: Path) -> None:
    """Raise DataError for a file of 0 bytes; a missing or forbidden one or a pipe raises its own OSError."""
    with open_regular(path) as file:
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

    HDF5 notes its own length in its first bytes, so every shorter copy is refused. So is one with numbers
    that lie elsewhere, or that a few bytes are to be unfolded to.
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
        _check_contained(file, path)
        yield file


def _check_contained(file: Any, path: Path) -> None:
    """Refuse an HDF5 file that leads to other files, or would fill the memory when it is read."""
    import h5py

    most = max(_UNSUSPICIOUS, _RATIO * path.stat().st_size)

    def check(name: str, node: Any) -> None:
        if isinstance(node, h5py.Group):
            for child in node:
                if not isinstance(node.get(child, getlink=True), h5py.HardLink):
                    raise _leading_away(path, f"{child!r} in /{name}", "a link to elsewhere")
        elif isinstance(node, h5py.Dataset):
            if node.is_virtual or node.external:
                raise _leading_away(path, f"/{name}", "kept in other files")
            size = (node.size or 0) * node.dtype.itemsize
            if size > most:
                raise DataError(
                    f"{path}: /{name} would unfold to {size / 2**30:,.1f} GiB, more than {_RATIO} times the "
                    f"file's size, as no table of measurements does. {REMEDY}"
                )

    check("", file)
    file.visititems(check)


def _leading_away(path: Path, where: str, what: str) -> DataError:
    return DataError(
        f"{path}: {where} is {what}, which is not followed. Predict the video again, or export the "
        "predictions as csv."
    )


def read_lines(path: Path, count: int) -> list[str]:
    """Return the first lines of a csv in UTF-8, or raise DataError; a byte order mark is dropped."""
    check_not_empty(path)
    lines: list[str] = []
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            while len(lines) < count and (line := file.readline(_LONGEST_LINE)):
                if len(line) == _LONGEST_LINE:
                    raise DataError(
                        f"{path}: line {len(lines) + 1} has a million characters or more, as no table has. "
                        f"{REMEDY}"
                    )
                lines.append(line)
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not a csv file in UTF-8 ({error}). Save it as UTF-8 text.") from error
    return lines


def read_text(path: Path, *, limit: int = _LARGEST_TEXT) -> str:
    """Return a UTF-8 file's text (a byte order mark is dropped), or raise DataError.

    Parameters
    ----------
    path
        The file.
    limit
        Bytes; larger ones are refused.
    """
    check_not_empty(path)
    size = path.stat().st_size
    if size > limit:
        raise DataError(
            f"{path}: {size / 2**20:,.0f} MiB, more than the {limit / 2**20:,.0f} MiB that such a file can "
            f"have. {REMEDY}"
        )
    try:
        # newline="": whoever takes the text apart decides what ends a line
        with path.open(encoding="utf-8-sig", newline="") as file:
            return file.read()
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
