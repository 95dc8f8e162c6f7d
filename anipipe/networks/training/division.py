"""Which frames a network learns from and which test it, in the files where DeepLabCut looks for it."""

from __future__ import annotations

import codecs
import pickle
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from anipipe.errors import DataError
from anipipe.networks.settings_files import read_settings
from anipipe.networks.training.configs import write_yaml
from anipipe.networks.training.project import Shuffle

Rows = NDArray[np.int64]

_METADATA_HEAD = """\
# The training datasets that there are. Written by the program, not to be edited.
---
"""


def divide(count: int, fraction: float, random: np.random.Generator) -> tuple[Rows, Rows]:
    """Divide frames at random into those to learn from and those to test with, each in ascending order."""
    order = random.permutation(count).astype(np.int64)
    learning = int(count * fraction)
    return np.sort(order[:learning]), np.sort(order[learning:])


def write_division(
    shuffle: Shuffle,
    pictures: Sequence[tuple[str, ...]],
    points: NDArray[np.float64],
    sizes: NDArray[np.int64],
    train: Rows,
    test: Rows,
) -> None:
    """Write how frames are divided, in the files where DeepLabCut looks for it.

    Parameters
    ----------
    shuffle
        What is divided.
    pictures
        Paths within the project, part by part.
    points
        (frames, joints, 2), pixels, NaN where unlabelled.
    sizes
        (frames, 2), width and height.
    train, test
        Rows of those.
    """
    from scipy.io import savemat

    rows = []
    for row in train:
        known = np.flatnonzero(np.isfinite(points[row]).all(axis=-1))
        joints = np.column_stack([known, np.round(np.nan_to_num(points[row]))[known]]).astype(np.int64)
        if len(joints):
            rows.append((pictures[row], (3, int(sizes[row][1]), int(sizes[row][0])), joints))
    cells = np.empty(len(rows), dtype=[("image", "O"), ("size", "O"), ("joints", "O")])
    for cell, (picture, size, joints) in zip(cells, rows, strict=True):
        inner = np.empty((1, 1), dtype=object)
        inner[0, 0] = joints
        cell["image"], cell["size"], cell["joints"] = np.array([picture]), np.array([size]), inner
    savemat(shuffle.matrix, {"dataset": cells})
    frames = [{"image": one, "size": size, "joints": joints.tolist()} for one, size, joints in rows]
    content = [frames, train.tolist(), test.tolist(), float(shuffle.fraction)]
    shuffle.documentation.write_bytes(pickle.dumps(content, protocol=4))
    _note(shuffle)


def _note(shuffle: Shuffle) -> None:
    """Note a training dataset in ``metadata.yaml``, where DeepLabCut reads what it was made for."""
    path = shuffle.project.datasets / "metadata.yaml"
    there: dict[str, Any] = dict((read_settings(path) if path.is_file() else {}).get("shuffles") or {})
    there.pop(shuffle.name, None)
    split = max((int(one.get("split") or 0) for one in there.values()), default=0) + 1
    there[shuffle.name] = {
        "train_fraction": shuffle.fraction,
        "index": shuffle.number,
        "split": split,
        "engine": "pytorch",
    }
    ordered = sorted(there.items(), key=lambda one: (one[1]["train_fraction"], one[1]["index"]))
    write_yaml({"shuffles": dict(ordered)}, path, head=_METADATA_HEAD)


def read_division(shuffle: Shuffle) -> tuple[Rows, Rows]:
    """Read which rows are to learn from and which to test with; runs nothing that is in the file.

    Raises
    ------
    DataError
        It is missing or damaged.
    """
    path = shuffle.documentation
    try:
        with path.open("rb") as file:
            content = _Numbers(file).load()
        train, test = (np.array(content[at], dtype=np.int64).reshape(-1) for at in (1, 2))
    except FileNotFoundError as error:
        raise DataError(
            f"{path}: is missing, which says what frames to learn from. Make the training dataset again, "
            "with --overwrite."
        ) from error
    except Exception as error:  # a damaged pickle may fail in any way
        raise DataError(
            f"{path}: cannot be read, it is damaged ({error}). Make the training dataset again, "
            "with --overwrite."
        ) from error
    return train, test


class _Numbers(pickle.Unpickler):
    """Builds lists, texts, numbers and numpy arrays, and nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        return _HARMLESS[f"{module} {name}"]


def _scalar(dtype: np.dtype[Any], content: bytes) -> Any:
    return np.frombuffer(content, dtype)[0]


def _array(kind: type, shape: tuple[int, ...], typecode: bytes) -> NDArray[Any]:
    return np.empty(shape, dtype=typecode.decode())


def _from_buffer(content: bytes, dtype: np.dtype[Any], shape: tuple[int, ...], *_: Any) -> NDArray[Any]:
    return np.frombuffer(content, dtype).reshape(shape)


#: What numpy of all ages asks for in its pickles.
_HARMLESS: dict[str, Any] = {
    "numpy ndarray": np.ndarray,
    "numpy dtype": np.dtype,
    "_codecs encode": codecs.encode,
    **{f"numpy.{core}.multiarray scalar": _scalar for core in ("core", "_core")},
    **{f"numpy.{core}.multiarray _reconstruct": _array for core in ("core", "_core")},
    **{f"numpy.{core}.numeric _frombuffer": _from_buffer for core in ("core", "_core")},
}
