"""No code in HDF5 tables: PyTables unpickles attributes, and whatever a pickle names is called.

Tables of pandas hold lists, dicts, text and numbers there, which need no names. A file with others is refused
before PyTables sees it.
"""

from __future__ import annotations

import pickletools
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


def _refuse(path: Path, where: str, why: str) -> DataError:
    return DataError(
        f"{path}: {where} {why}; such a file could run a program and is not opened. Predict the video "
        "again, or export the predictions as csv."
    )


def refuse_code(file: Any, path: Path) -> None:
    """Raise DataError if a file that h5py has opened holds what PyTables would run, or points elsewhere.

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
            if isinstance(value, np.bytes_ | bytes) and value.endswith(b".") and _names_code(bytes(value)):
                raise _refuse(path, f"attribute {key!r} of /{name}", "holds code")
        if isinstance(node, h5py.Group):
            for child in node:
                if not isinstance(node.get(child, getlink=True), h5py.HardLink):
                    raise _refuse(path, f"{child!r} in /{name}", "is a link to elsewhere")
        elif bytes(node.attrs.get("PSEUDOATOM", b"")) == b"object":
            raise DataError(
                f"{path}: /{name} holds Python objects, hence cells that are not numbers. "
                "Predict the video again."
            )

    check("", file)
    file.visititems(check)
