from __future__ import annotations

import codecs
import collections
import enum
import functools
import io
import operator
import pickle
import subprocess
import sys
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from anipipe.errors import DataError
from anipipe.networks import unpickling
from anipipe.networks.unpickling import Unknown, load_tensors, plain


class Method(enum.StrEnum):
    BOTTOM_UP = "bu"


def saved(content, *, new=True, **options):
    file = io.BytesIO()
    torch.save(content, file, _use_new_zipfile_serialization=new, **options)
    file.seek(0)
    return file


def read(file):
    return load_tensors(file, where="snapshot.pt")


def with_pickle(pickled: bytes) -> io.BytesIO:
    """Make a file in torch's format out of a pickle, with the numbers 0 to 3 as its only storage."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a/data.pkl", pickled)
        archive.writestr("a/data/0", np.arange(4, dtype=np.float32).tobytes())
    file.seek(0)
    return file


FORMATS = pytest.mark.parametrize("new", [True, False], ids=["zip", "before 1.6"])


# what is read


@FORMATS
def test_tensors_come_out_as_they_went_in(new, tmp_path):
    table = torch.arange(12.0).reshape(3, 4)
    tensors = {
        "table": table,
        "turned": table.t(),
        "part": table[1:, 2:],
        "parameter": torch.nn.Parameter(table * 2),
        "number": torch.tensor(5),
        "empty": torch.empty(0, 3),
        "half": table.half(),
        "bfloat16": table.bfloat16(),
        "double": table.double(),
        "flags": table > 4,
        "bytes": table.to(torch.uint8),
    }
    path = tmp_path / "state.pt"
    path.write_bytes(saved(collections.OrderedDict(tensors), new=new).read())
    found = load_tensors(path, where="state.pt")
    assert type(found) is dict and list(found) == list(tensors)
    for name, tensor in tensors.items():
        assert torch.equal(found[name], tensor) and found[name].dtype == tensor.dtype, name
    assert found["turned"].data_ptr() == found["table"].data_ptr()


@FORMATS
def test_a_network_with_its_history(new):
    """State, numpy's numbers, enumerations, paths, tables of an unknown kind: only the state is needed."""
    network = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.BatchNorm2d(2))
    content = {
        "metadata": {"epoch": 7, "metrics": {"rmse": np.float64(2.5), "all": np.arange(3)}},
        "model": network.state_dict(),
        "config": {"method": Method.BOTTOM_UP, "path": Path("a") / "b", "sizes": (3, 2), "null": None},
        "counts": collections.Counter("abba"),
        "default": collections.defaultdict(list, {"a": [1]}),
        "names": {"a", "b"},
    }
    found = read(saved(content, new=new))
    assert found["metadata"]["epoch"] == 7
    assert isinstance(found["metadata"]["metrics"]["rmse"], Unknown)
    assert plain(found["config"]) == {"method": "bu", "path": None, "sizes": [3, 2], "null": None}
    assert found["model"].keys() == network.state_dict().keys()
    torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.BatchNorm2d(2)).load_state_dict(found["model"])


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_every_protocol(protocol):
    found = read(saved({"a": {"b": [torch.ones(2)]}}, pickle_protocol=protocol))
    assert torch.equal(found["a"]["b"][0], torch.ones(2))


def test_what_is_part_of_two_is_read_once():
    """Thirty tables, each twice in the next: a billion, if each were gone through by itself."""
    content = {"a": torch.ones(1)}
    for _ in range(30):
        content = {"left": content, "right": content}
    found = read(saved(content))
    assert found["left"]["right"] is found["right"]["right"]


# what must not happen


class Call:
    """Pickled as the call of a function."""

    def __init__(self, function, *args, state=None):
        self.parts = (function, args) if state is None else (function, args, state)

    def __reduce__(self):
        return self.parts

    def __call__(self):
        """Only what can be called may be pickled as a function."""


def touch(path):
    return f"__import__('pathlib').Path({str(path)!r}).touch()"


ATTACKS = {
    "eval": lambda p: Call(eval, touch(p)),
    "exec": lambda p: Call(exec, touch(p)),
    "process": lambda p: Call(subprocess.call, [sys.executable, "-c", touch(p)]),
    "method": lambda p: Call(Path.touch, p),
    "partial": lambda p: Call(Call(functools.partial, eval, touch(p))),
    "attribute": lambda p: Call(Call(getattr, Path(p), "touch")),
    "methodcaller": lambda p: Call(Call(operator.methodcaller, "touch"), Path(p)),
    "codecs": lambda p: Call(eval, Call(codecs.decode, codecs.encode(touch(p), "rot13"), "rot13")),
    "map": lambda p: Call(list, Call(map, eval, [touch(p)])),
    "argument of a table": lambda p: Call(collections.OrderedDict, Call(eval, touch(p))),
    "state of a table": lambda p: Call(collections.OrderedDict, state={"items": Call(eval, touch(p))}),
    "torch": lambda p: Call(torch.save, {}, str(p)),
    "numpy": lambda p: Call(np.save, str(p), [1]),
    "a tensor's rebuilder": lambda p: Call(
        torch._utils._rebuild_tensor_v2, Call(eval, touch(p)), 0, (1,), (1,), False, {}
    ),
}


class Hidden:
    """Pickled as a persistent id, whose second part is the type of a storage."""

    def __init__(self, call):
        self.call = call


class Hiding(pickle.Pickler):
    def persistent_id(self, thing):
        return ("storage", thing.call, "0", "cpu", 4) if isinstance(thing, Hidden) else None


PLACES = {
    "alone": lambda thing: thing,
    "in a table": lambda thing: {"model": {"a": thing}},
    "as a key": lambda thing: {"model": {(1, thing): 1}},
    "as a persistent id": lambda thing: {"model": Hidden(thing)},
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("attack", ATTACKS)
def test_nothing_is_executed(attack, place, tmp_path):
    mark = tmp_path / "mark.npy"
    attacker = ATTACKS[attack](mark)
    file = io.BytesIO()
    Hiding(file, 4).dump(PLACES[place](attacker))
    for reader in (with_pickle(file.getvalue()), io.BytesIO(file.getvalue())):
        try:
            read(reader)
        except DataError:
            pass
        assert not mark.exists()


@pytest.mark.parametrize("attack", ATTACKS)
def test_they_are_attacks(attack, tmp_path):
    """Python's own unpickler falls for each of them."""
    mark = tmp_path / "mark.npy"
    try:
        pickle.loads(pickle.dumps(ATTACKS[attack](mark), 4))
    except (TypeError, AttributeError):  # what came of it was of no use; it was called
        pass
    assert mark.exists()


@pytest.mark.parametrize("name", sorted({name for _, name in unpickling._KNOWN}))
@pytest.mark.parametrize("state", [{"x": 1}, (None, {"__class__": 1, "x": 1, "__defaults__": (1,)})])
def test_what_a_pickle_gets_cannot_be_changed(name, state):
    """BUILD sets attributes; it is tried on the things of the table themselves."""
    [module] = {module for module, known in unpickling._KNOWN if known == name}
    thing = unpickling._KNOWN[module, name]
    before = sorted(dir(thing))
    pickled = (
        b"\x80\x04"
        + b"".join(b"\x8c" + bytes([len(word)]) + word.encode() for word in (module, name))
        + b"\x93"  # the thing, by module and name
        + pickle.dumps(state, 4)[2:-1]
        + b"b."  # BUILD, STOP
    )
    with pytest.raises(DataError):
        read(with_pickle(pickled))
    assert sorted(dir(thing)) == before and not hasattr(thing, "x")


@pytest.mark.parametrize(
    ("size", "stride", "start"),
    [
        ((5,), (1,), 0),
        ((2, 2), (3, 1), 0),
        ((4,), (1,), 1),
        ((1,), (1,), -1),
        ((2,), (-1,), 3),
        ((-1,), (1,), 0),
    ],
)
def test_tensors_beyond_their_numbers_are_refused(size, stride, start):
    class Reaching(pickle.Pickler):
        def persistent_id(self, thing):
            return ("storage", torch.FloatStorage, "0", "cpu", 4) if thing is storage else None

    storage = object()
    rebuilt = Call(torch._utils._rebuild_tensor_v2, storage, start, size, stride, False, {})
    file = io.BytesIO()
    Reaching(file, 2).dump({"a": rebuilt})
    with pytest.raises(DataError, match="damaged"):
        read(with_pickle(file.getvalue()))


def test_odd_numbering_takes_no_memory():
    """Parts of a pickle are numbered; here the only one is the 16 millionth."""
    tracemalloc.start()
    try:
        assert read(with_pickle(b"\x80\x02}r\xff\xff\xff\x00.")) == {}
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()


# what is no such file


@pytest.mark.parametrize("content", [b"", b"weights", b"PK\x03\x04", b"\x80\x02K\x01.", bytes(1000)])
def test_foreign_files_are_refused(content):
    with pytest.raises(DataError, match=r"snapshot.pt .*(not written by torch|is damaged, cut off)"):
        read(io.BytesIO(content))


@FORMATS
def test_cut_off_files_are_refused(new):
    content = saved({"a": torch.ones(100), "b": torch.ones(50)}, new=new).read()
    for keep in range(0, len(content) - 1, 41):
        with pytest.raises(DataError):
            read(io.BytesIO(content[:keep]))


@pytest.mark.parametrize("content", [torch.ones(2), [1, 2], 5, torch.nn.Linear(2, 2)])
def test_other_content_is_refused(content):
    with pytest.raises(DataError, match="holds no table of tensors"):
        read(saved(content))


def test_an_ordinary_zip_and_a_missing_file(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.pt", "w") as archive:
        archive.writestr("a.txt", b"a")
    with pytest.raises(DataError, match=r"it holds no data.pkl"):
        load_tensors(tmp_path / "a.pt", where="a.pt")
    with pytest.raises(DataError, match=r"b.pt cannot be read"):
        load_tensors(tmp_path / "b.pt", where="b.pt")


@given(st.data())
@settings(max_examples=100, deadline=None)
def test_damaged_pickles_raise_one_error(data):
    with zipfile.ZipFile(saved({"a": torch.ones(4), "b": [1, {"c": Method.BOTTOM_UP}]})) as archive:
        [name] = [name for name in archive.namelist() if name.endswith("data.pkl")]
        raw = bytearray(archive.read(name))
    for _ in range(data.draw(st.integers(1, 3))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    try:
        assert isinstance(read(with_pickle(bytes(raw))), dict)
    except DataError:
        pass


def test_what_stands_in_many_places_is_turned_once_and_what_holds_itself_is_left_out() -> None:
    shared: list[object] = ["leaf"]
    for _ in range(60):
        shared = [shared, shared]
    turned = plain(shared)
    assert turned[0] is turned[1]
    endless: list[object] = [1]
    endless.append(endless)
    assert plain({"a": endless}) == {"a": [1, None]}
