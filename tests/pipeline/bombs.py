"""Small files that would run a program, read other files, or fill the memory, if they were believed.

Run as a program, with a folder: makes each, reads it with the memory limited, and prints what came of it, one
JSON object a line.
"""

from __future__ import annotations

import json
import pickle
import resource
import struct
import sys
import time
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from anipipe.errors import AnipipeError
from anipipe.formats._meta import read_crop
from anipipe.formats.board_detections import read_board_detections
from anipipe.formats.calibrations import read_calibration
from anipipe.formats.importing import import_pose
from anipipe.formats.labels import read_labels
from anipipe.formats.poses2d import KEY, Pose2D, read_pose_2d, write_pose_2d
from anipipe.formats.poses3d import read_pose_3d
from anipipe.formats.video import Stills, Video
from anipipe.networks.settings_files import read_settings
from anipipe.networks.sources import find_model
from anipipe.networks.unpickling import load_tensors

MEMORY = 3 * 2**30
#: A pickle that makes a file, in the oldest form, which is text.
EVIL = "cos\nsystem\n(S'touch RAN'\ntR."
HEADER = "scorer{0}\nbodyparts{1}\ncoords{2}\n"
Case = tuple[Callable[[Path], Any], Callable[[Path], Any], str]


def pose(path: Path) -> Path:
    write_pose_2d(Pose2D(("a",), np.zeros((3, 1, 1, 2)), np.ones((3, 1, 1)), "s"), path)
    return path


def pose_with(path: Path, change: Callable[[h5py.File], None]) -> None:
    with h5py.File(pose(path), "r+") as file:
        change(file)


def replaced(name: str, **how: Any) -> Callable[[Path], None]:
    """Return what writes a pose whose array of a name is another one."""

    def change(file: h5py.File) -> None:
        if name in file:
            del file[name]
        file.create_dataset(name, **how)

    return lambda path: pose_with(path, change)


def attribute(**how: Any) -> Callable[[Path], None]:
    def change(file: h5py.File) -> None:
        del file[KEY].attrs["info"]
        file[KEY].attrs.create("info", EVIL, **how)

    return lambda path: pose_with(path, change)


def virtual(path: Path) -> None:
    other = path.with_name("other.h5")
    pose(other)
    layout = h5py.VirtualLayout(shape=(3, 1), dtype="f8")
    layout[:] = h5py.VirtualSource(other, "anipipe/x", shape=(3, 1))
    pose_with(path, lambda file: file.create_virtual_dataset("anipipe/filled", layout))


def link(kind: Any) -> Callable[[Path], None]:
    def change(file: h5py.File) -> None:
        file["anipipe/filled"] = kind

    return lambda path: pose_with(path, change)


def huge_tracks(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file.create_dataset("tracks", shape=(1, 2, 1, 10**10), dtype="f8", chunks=(1, 2, 1, 10**4))
        file.create_dataset("point_scores", shape=(1, 1, 10**10), dtype="f8", chunks=(1, 1, 10**4))
        file["node_names"] = [b"nose"]


def objects(path: Path) -> None:
    def change(file: h5py.File) -> None:
        kind = h5py.vlen_dtype(np.uint8)
        array = file.create_dataset(f"{KEY}/axis0", (1,), dtype=kind)
        array[0] = np.frombuffer(EVIL.encode(), np.uint8)
        array.attrs["PSEUDOATOM"] = np.bytes_(b"object")

    pose_with(path, change)


def zipped(size: int, *, claim: int | None = None) -> Callable[[Path], None]:
    """Return what writes a zip with a snapshot of zeros, whose header may claim another size."""

    def write(path: Path) -> None:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
            file.writestr("train/pytorch_config.yaml", "metadata: {bodyparts: [nose]}\n")
            with file.open("train/snapshot-050.pt", "w", force_zip64=True) as member:
                for _ in range(size // 2**20):
                    member.write(bytes(2**20))
        if claim is not None:
            raw = bytearray(path.read_bytes())
            at = raw.rindex(b"train/snapshot-050.pt") - 46
            raw[at + 24 : at + 28] = struct.pack("<I", claim)
            path.write_bytes(raw)

    return write


def load_packed(path: Path) -> Any:
    from anipipe.networks.loading import load_model

    return load_model(find_model(path))


def doubled(depth: int) -> bytes:
    """Return opcodes that leave a tuple of two equal ones of two equal ones on the stack, so many deep."""
    return b"K\x01" + b"".join(b"q" + bytes([n]) + b"h" + bytes([n]) + b"\x86" for n in range(depth))


def pickled(content: bytes, numbers: bytes = b"") -> Callable[[Path], None]:
    """Return what writes a file of torch with this for its table, and the numbers of one storage."""

    def write(path: Path) -> None:
        with zipfile.ZipFile(path, "w") as file:
            file.writestr("archive/data.pkl", b"\x80\x02" + content + b".")
            file.writestr("archive/data/0", numbers)

    return write


def tensor(size: tuple[int, ...], stride: tuple[int, ...]) -> bytes:
    """Return the opcodes of a table with one tensor, of this shape, in a storage of one number."""
    storage = b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x01tQ"
    parts = b"".join(
        b"(" + b"".join(pickle.dumps(n, 2)[2:-1] for n in axes) + b"t" for axes in (size, stride)
    )
    return (
        b"}X\x01\x00\x00\x00wctorch._utils\n_rebuild_tensor_v2\n(" + storage + b"K\x00" + parts + b"\x89}tRs"
    )


def laughs(path: Path) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    for n in range(1, 30):
        lines.append(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]")
    path.write_text("\n".join(lines))


def wide(path: Path) -> None:
    cells = "," * 400_000
    path.write_text(HEADER.format(cells, cells, cells) + "0" + cells + "\n")


def far(path: Path) -> None:
    joints = 2000
    header = HEADER.format(
        ",s" * 3 * joints,
        "".join(f",j{n},j{n},j{n}" for n in range(joints)),
        ",x,y,likelihood" * joints,
    )
    path.write_text(header + "1000000" + ",1,1,1" * joints + "\n")


def still(side: int) -> Callable[[Path], None]:
    def chunk(kind: bytes, content: bytes) -> bytes:
        return (
            struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        )

    def write(path: Path) -> None:
        packer = zlib.compressobj(9)
        row = bytes(1 + side // 8)
        data = b"".join([*(packer.compress(row) for _ in range(side)), packer.flush()])
        head = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
        path.write_bytes(
            b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
        )

    return write


def claiming(frames: int) -> Callable[[Path], None]:
    """Return what writes an MP4 whose head claims so many frames of one byte."""
    from tests.formats.videos import record

    def write(path: Path) -> None:
        record(path, 5, options={"bf": "0"})
        raw = bytearray(path.read_bytes())
        for box, offset, values in (
            (b"stsz", 8, (1, frames)),
            (b"stts", 12, (frames,)),
            (b"stsc", 16, (frames,)),
        ):
            at = raw.index(box) + offset
            raw[at : at + 4 * len(values)] = struct.pack(f">{len(values)}I", *values)
        path.write_bytes(raw)

    return write


def text(content: str) -> Callable[[Path], None]:
    return lambda path: path.write_text(content) and None


def data(content: bytes) -> Callable[[Path], None]:
    return lambda path: path.write_bytes(content) and None


def crop(path: Path) -> Any:
    return read_crop(path)


def predictions(path: Path) -> Any:
    return import_pose([path])


def tensors(path: Path) -> Any:
    return load_tensors(path, where=str(path))


def filled(path: Path) -> Any:
    from torch import nn

    from anipipe.networks.architectures.build import load_state

    load_state(nn.Linear(1, 1), {"weight": tensors(path)["w"]}, where=str(path))


CASES: dict[str, Case] = {
    # HDF5
    "huge-table.h5": (
        replaced("anipipe/filled", shape=(10**10, 1), dtype="?", chunks=(10**4, 1), compression="gzip"),
        read_pose_2d,
        "would unfold to 9.3 GiB",
    ),
    "huge.analysis.h5": (huge_tracks, predictions, "would unfold to"),
    "outside.h5": (
        replaced("anipipe/filled", shape=(3, 1), dtype="?", external=[("/etc/passwd", 0, 3)]),
        read_pose_2d,
        "is kept in other files",
    ),
    "virtual.h5": (virtual, read_pose_2d, "is kept in other files"),
    "external.h5": (link(h5py.ExternalLink("/etc/passwd", "x")), read_pose_2d, "is a link to elsewhere"),
    "soft.h5": (link(h5py.SoftLink("/df_with_missing/table")), read_pose_2d, "is a link to elsewhere"),
    "code.h5": (attribute(dtype=f"S{len(EVIL)}"), read_pose_2d, "holds code"),
    "code-variable.h5": (attribute(dtype=h5py.string_dtype("ascii")), read_pose_2d, "holds code"),
    "code-utf8.h5": (attribute(dtype=h5py.string_dtype("utf-8")), predictions, "holds code"),
    "CollectedData_x.h5": (attribute(dtype=h5py.string_dtype("ascii")), read_labels, "holds code"),
    "objects.h5": (objects, read_pose_2d, "holds Python objects"),
    # models
    "bomb.zip": (zipped(200 * 2**20), load_packed, "more than 200 times its size in the zip"),
    "lying.zip": (zipped(60 * 2**20, claim=1000), load_packed, "damaged, cut off"),
    "keys.pt": (pickled(b"}" + doubled(60) + b"K\x01s"), tensors, "a key that is no text or number"),
    "set.pt": (pickled(b"}K\x01\x8f(" + doubled(60) + b"\x90s"), tensors, "a key that is no text or number"),
    "length.pt": (pickled(b"}K\x01\x96" + struct.pack("<Q", 10**12) + b"s"), tensors, "damaged or cut off"),
    "shape.pt": (pickled(tensor((10**12,), (1,)), bytes(4)), tensors, "damaged or cut off"),
    "spread.pt": (pickled(tensor((10**12,), (0,)), bytes(4)), filled, "weight"),
    # settings
    "laughs.yaml": (laughs, read_settings, "hold one another over and over"),
    "deep.yaml": (text("[" * 100_000), read_settings, "more than 50 deep"),
    "itself.yaml": (text("a: &a [*a]"), read_settings, "hold one another over and over"),
    "large.yaml": (text("a: 1\n" * 2_000_000), read_settings, "more than 8 MiB"),
    # text
    "line.csv": (text("scorer" + ",a" * 2_000_000 + "\n"), predictions, "a million characters"),
    "wide.csv": (wide, predictions, "400000 columns"),
    "wide-3d.csv": (text("a_x" + "," * 500_000 + "\n1\n"), read_pose_3d, "500001 columns"),
    "far.csv": (far, predictions, "would unfold to"),
    "deep.toml": (text("a = " + "[" * 3000 + "]" * 3000 + "\n"), read_calibration, "too deeply"),
    "dotted.toml": (text(".".join("a" * 500_000) + " = 1\n"), read_calibration, "more than 8000 char"),
    "large.toml": (text("# comment\n" * 200_000), read_calibration, "more than the 1 MiB"),
    "absurd.toml": (
        text(f"[cam_0]\nname = 'A'\nmatrix = [{9**99}]\nrotation = [0, 0, 0]\ntranslation = [0, 0, 0]\n"),
        read_calibration,
        "is not made of numbers",
    ),
    "deep-board.csv": (
        text(f"# a = {'[' * 3000}\ntrial,frame,corner,x,y\n# end\n"),
        read_board_detections,
        "too",
    ),
    # DeepLabCut's record of a crop
    "bytes_meta.pickle": (
        data(
            b"\x80\x02}X\x04\x00\x00\x00datac__builtin__\nbytes\n\x8a\x06"
            + struct.pack("<Q", 2**40)[:6]
            + b"\x85Rs."
        ),
        crop,
        "does not say whether",
    ),
    "text_meta.pickle": (
        data(b"\x80\x02}X\x04\x00\x00\x00datac__builtin__\nstr\n" + doubled(60) + b"\x85Rs."),
        crop,
        "does not say whether",
    ),
    "keys_meta.pickle": (data(b"\x80\x02}" + doubled(60) + b"K\x01s."), crop, "a key that is no text"),
    "code_meta.pickle": (data(EVIL.encode()), crop, "does not say whether"),
    # recordings
    "frames.mp4": (claiming(2_000_000), lambda path: Video(path).info, "announces 2000000 frames"),
    "pixels.png": (still(40_000), lambda path: Stills((path,)).info, "none of 1 pictures can be read"),
}


def main(folder: Path) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    for name, (write, read, _) in CASES.items():
        path = folder / name
        write(path)
        began = time.perf_counter()
        try:
            read(path)
            kind, message = "", "read"
        except AnipipeError as error:
            kind, message = "told", str(error)
        except BaseException as error:
            kind, message = type(error).__name__, str(error)
        seconds = time.perf_counter() - began
        sys.stdout.write(
            json.dumps({"name": name, "kind": kind, "message": message, "seconds": seconds}) + "\n"
        )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
