from __future__ import annotations

import io
import zipfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anipipe.errors import DataError
from anipipe.networks import archives
from anipipe.networks.archives import Archive

from .model_folders import link, zipped

CONTENT = {"model/a.yaml": b"a: 1\n" * 100, "model/train/b.pt": bytes(range(256)) * 20}


def opened(path):
    return Archive(path, where="model.zip")


def test_members_are_listed_and_read(tmp_path):
    with opened(zipped(tmp_path / "m.zip", CONTENT)) as archive:
        assert archive.names == tuple(CONTENT)
        assert {name: archive.read(name) for name in archive.names} == CONTENT


def test_nothing_is_written(tmp_path):
    path = zipped(tmp_path / "m.zip", CONTENT)
    with opened(path) as archive:
        archive.read("model/a.yaml")
    assert list(tmp_path.iterdir()) == [path]


def test_what_systems_add_is_left_out(tmp_path):
    extras = {"__MACOSX/model/._a.yaml": b"?", "model/._a.yaml": b"?", "model/.DS_Store": b"?"}
    path = zipped(tmp_path / "m.zip", extras | CONTENT)
    with zipfile.ZipFile(path, "a") as archive:
        archive.mkdir("model/empty") if hasattr(archive, "mkdir") else None
        archive.writestr(link("__MACOSX/link"), "/etc/passwd")
    assert opened(path).names == tuple(CONTENT)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("../../up.pt", "points out of"),
        ("model/../../up.pt", "points out of"),
        ("/etc/cron.d/x", "absolute path"),
        ("C:/windows/x", "absolute path"),
        ("c:x", "absolute path"),
        ("..\\up.pt", "no portable name"),
        ("\\\\share\\x", "no portable name"),
    ],
)
def test_names_that_lead_elsewhere_are_refused(tmp_path, name, said):
    # Python writes no such names on Windows, so that a backslash has to be put in afterwards.
    path = zipped(tmp_path / "m.zip", CONTENT | {name.replace("\\", "|"): b"x"})
    raw = path.read_bytes().replace(name.replace("\\", "|").encode(), name.encode())
    with pytest.raises(DataError, match=said) as caught:
        opened(io.BytesIO(raw))
    assert "model.zip" in str(caught.value) and repr(name) in str(caught.value)


def test_links_are_refused(tmp_path):
    path = zipped(tmp_path / "m.zip", CONTENT)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(link("model/snapshot.pt"), "/etc/passwd")
    with pytest.raises(DataError, match=r"'model/snapshot.pt' is a link"):
        opened(path)


def test_names_that_occur_twice_are_refused(tmp_path):
    path = zipped(tmp_path / "m.zip", CONTENT)
    with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("model/a.yaml", b"another")
    with pytest.raises(DataError, match=r"'model/a.yaml' is in it twice"):
        opened(path)


def test_encrypted_members_are_refused(tmp_path):
    raw = bytearray(zipped(tmp_path / "m.zip", {"a.pt": b"secret"}).read_bytes())
    raw[6] |= 1
    raw[raw.index(b"PK\x01\x02") + 8] |= 1
    with pytest.raises(DataError, match="is encrypted"):
        opened(io.BytesIO(raw))


def test_unusual_packing_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "m.zip", "w", zipfile.ZIP_BZIP2) as archive:
        archive.writestr("a.pt", b"a" * 100)
    with pytest.raises(DataError, match="unusual method"):
        opened(tmp_path / "m.zip")


@pytest.mark.parametrize("keep", [0, 10, 200, -30])
def test_no_zip_and_cut_off(tmp_path, keep):
    content = zipped(tmp_path / "m.zip", CONTENT).read_bytes()[:keep]
    with pytest.raises(DataError, match=r"model.zip is damaged, cut off, or none of its kind"):
        opened(io.BytesIO(content))


def test_a_missing_zip_and_a_missing_member(tmp_path):
    with pytest.raises(DataError, match="cannot be read"):
        opened(tmp_path / "none.zip")
    with pytest.raises(DataError, match=r"there is no c.pt in it"):
        opened(zipped(tmp_path / "m.zip", CONTENT)).read("c.pt")


def test_damage_is_noticed_by_the_checksum(tmp_path):
    path = tmp_path / "m.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.pt", b"weights" * 50)
    raw = bytearray(path.read_bytes())
    raw[100] ^= 1
    with pytest.raises(DataError, match="damaged"):
        opened(io.BytesIO(raw)).read("a.pt")


def test_bombs_are_not_unpacked(tmp_path):
    path = zipped(tmp_path / "m.zip", {"a.pt": bytes(archives.UNSUSPICIOUS + 1)})
    assert path.stat().st_size < 100_000
    with pytest.raises(DataError, match=r"a.pt would unpack to 50.0 MiB, more than 200 times"):
        opened(path).read("a.pt")


@pytest.mark.parametrize("claim", [10, 10_000_000])
def test_headers_that_lie_do_no_harm(tmp_path, claim):
    """A member of 1 MB whose header says it has 10 bytes, or 10 MB."""
    raw = bytearray(zipped(tmp_path / "m.zip", {"a.pt": bytes(1_000_000)}).read_bytes())
    place = raw.index(b"PK\x01\x02") + 24
    raw[place : place + 4] = claim.to_bytes(4, "little")
    with pytest.raises(DataError, match=r"damaged|cut off"):
        opened(io.BytesIO(raw)).read("a.pt")


def test_sizes_are_limited(tmp_path, monkeypatch):
    path = zipped(tmp_path / "m.zip", CONTENT)
    with pytest.raises(DataError, match=r"would unpack to 0.0 MiB; at most"):
        opened(path).read("model/a.yaml", limit=10)
    monkeypatch.setattr(archives, "LARGEST", 6_000)  # bytes: the two are 500 and 5,120; not a third
    archive = opened(path)
    archive.read("model/a.yaml")
    archive.read("model/train/b.pt")
    with pytest.raises(DataError, match="at most"):
        archive.read("model/a.yaml")


@given(st.data())
@settings(max_examples=100, deadline=None)
def test_any_damage_is_noticed_or_harmless(tmp_path_factory, data):
    raw = bytearray(zipped(tmp_path_factory.getbasetemp() / "any.zip", CONTENT).read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    try:
        archive = opened(io.BytesIO(raw))
        read = {name: archive.read(name) for name in archive.names}
    except DataError:
        return
    assert list(read.values()) == list(CONTENT.values())[: len(read)]
