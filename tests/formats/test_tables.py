from __future__ import annotations

import time

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from anipipe.errors import DataError, Notice
from anipipe.formats.tables import (
    parquet_columns,
    read_angles,
    read_parquet,
    write_angles,
    write_csv_from_parts,
    write_parquet,
)

from .helpers import assert_prefixes_refused


def make_table(rows=5, seed=0):
    rng = np.random.default_rng(seed)
    return {
        "nose_x": np.where(rng.random(rows) < 0.2, np.nan, rng.normal(size=rows)),
        "fnum": np.arange(rows),
        "seen": rng.random(rows) < 0.5,
        "folder_1": np.array(['ä, "b"' if at % 2 else "plain" for at in range(rows)]),
        "project": np.array(["p"] * rows, dtype=object),
    }


def assert_same(one, two):
    assert list(one) == list(two)
    for name in one:
        np.testing.assert_array_equal(np.asarray(one[name]), two[name])


# angles


@pytest.mark.parametrize("frames", [0, 1, 30_000])
def test_angles_round_trip(folder, frames):
    angles = {"knee": np.random.default_rng(0).uniform(-180, 180, frames), "a,b": np.full(frames, np.nan)}
    write_angles(angles, folder / "t.csv")
    assert_same(angles, read_angles(folder / "t.csv"))


def test_angles_golden(tmp_path):
    write_angles({"knee": np.array([90.0, np.nan]), "hip": np.array([0.1, -2e-7])}, tmp_path / "t.csv")
    assert (tmp_path / "t.csv").read_bytes() == b"knee,hip,fnum\n90.0,0.1,0\n,-2e-07,1\n"


def test_angles_without_any(tmp_path):
    write_angles({}, tmp_path / "t.csv")
    assert (tmp_path / "t.csv").read_bytes() == b"fnum\n"
    assert read_angles(tmp_path / "t.csv") == {}


def test_angles_by_frame_number(tmp_path):
    pd.DataFrame({"fnum": [2, 0], "knee": [5.0, 6.0]}).to_csv(tmp_path / "t.csv", index=False)
    with pytest.warns(Notice, match="1 of 3 frames"):
        read = read_angles(tmp_path / "t.csv")
    np.testing.assert_array_equal(read["knee"], [6.0, np.nan, 5.0])


def test_angles_that_are_wrong(tmp_path):
    for text, message in [
        ("", "empty"),
        ("knee\n1\n", "fnum"),
        ("knee,fnum\n1\n", "csv"),
        ("a,fnum\nx,0\n", "csv"),
    ]:
        (tmp_path / "t.csv").write_text(text)
        with pytest.raises(DataError, match=message):
            read_angles(tmp_path / "t.csv")
    with pytest.raises(ValueError, match="lengths"):
        write_angles({"a": np.zeros(2), "b": np.zeros(3)}, tmp_path / "t.csv")
    with pytest.raises(ValueError, match="fnum"):
        write_angles({"fnum": np.zeros(2)}, tmp_path / "t.csv")


def test_angles_cut_off(tmp_path):
    write_angles({"knee": np.arange(9) / 7, "hip": np.arange(9) / 3}, tmp_path / "t.csv")
    assert_prefixes_refused(tmp_path / "t.csv", read_angles, lambda prefix: prefix.endswith(b"\n"))


# parquet


@pytest.mark.parametrize("rows", [0, 1, 5])
def test_parquet_round_trip(folder, rows):
    table = make_table(rows)
    write_parquet(table, folder / "part [1].parquet")
    read = read_parquet(folder / "part [1].parquet")
    assert_same(table, read)
    assert (read["nose_x"].dtype, read["fnum"].dtype) == (np.float64, np.int64)
    assert parquet_columns(folder / "part [1].parquet") == list(table)
    pd.testing.assert_index_equal(pd.read_parquet(folder / "part [1].parquet").columns, pd.Index(list(table)))


def test_parquet_same_bytes(tmp_path, folder, monkeypatch):
    table = make_table(500)
    write_parquet(table, tmp_path / "1.parquet")
    time.sleep(1.1)
    monkeypatch.chdir(folder)
    write_parquet({name: values.copy() for name, values in table.items()}, folder / "other.parquet")
    assert (tmp_path / "1.parquet").read_bytes() == (folder / "other.parquet").read_bytes()
    footer = pq.read_metadata(tmp_path / "1.parquet")
    assert footer.metadata is None
    column = footer.row_group(0).column(list(table).index("project"))
    assert "RLE_DICTIONARY" in column.encodings


def test_parquet_that_is_wrong(tmp_path):
    path = tmp_path / "p.parquet"
    for data in (b"", b"a,b\n1,2\n", b"PAR1" + b"\0" * 40 + b"PAR1"):
        path.write_bytes(data)
        for read in (read_parquet, parquet_columns):
            with pytest.raises(DataError, match=r"p\.parquet"):
                read(path)
    with pytest.raises(FileNotFoundError):
        read_parquet(tmp_path / "absent.parquet")


def test_parquet_cut_off(tmp_path):
    write_parquet(make_table(300), tmp_path / "p.parquet")
    assert_prefixes_refused(tmp_path / "p.parquet", read_parquet, step=37)
    assert_prefixes_refused(tmp_path / "p.parquet", parquet_columns, step=37)


# parts to csv


def test_csv_from_parts(folder):
    one = {
        "a_x": np.array([1.0, np.nan]),
        "n": np.array([1, 2]),
        "M_00": np.array([0.5, 0.5]),
        "fnum": np.array([0, 1]),
        "folder_1": np.array(["s,1", "s,1"]),
        "project": np.array(["p", "p"]),
    }
    two = {
        "b_x": np.array([1e-5]),
        "n": np.array([2.5]),
        "fnum": np.array([0]),
        "folder_1": np.array(['q"']),
        "filename": np.array(["t"]),
        "project": np.array(["p"]),
    }
    write_parquet(one, folder / "1.parquet")
    write_parquet(two, folder / "2.parquet")
    parts = (folder / name for name in ("1.parquet", "2.parquet"))
    write_csv_from_parts(parts, folder / "all.csv", last=["folder_1", "folder_2", "filename", "project"])
    assert (folder / "all.csv").read_text() == (
        "a_x,n,M_00,fnum,b_x,folder_1,filename,project\n"
        '1.0,1.0,0.5,0,,"s,1",,p\n'
        ',2.0,0.5,1,,"s,1",,p\n'
        ',2.5,,0,1e-05,"q""",t,p\n'
    )


@pytest.mark.parametrize("rows", [3, 50_001])
def test_csv_from_parts_as_pandas_writes_it(tmp_path, rows):
    tables = [make_table(rows, seed) for seed in range(2)]
    for at, table in enumerate(tables):
        write_parquet(table, tmp_path / f"{at}.parquet")
    write_csv_from_parts(
        [tmp_path / "0.parquet", tmp_path / "1.parquet"], tmp_path / "all.csv", last=["project"]
    )
    expected = pd.concat([pd.DataFrame(table) for table in tables]).to_csv(index=False, lineterminator="\n")
    assert (tmp_path / "all.csv").read_bytes() == expected.encode()


def test_csv_with_two_header_rows(tmp_path):
    """As pandas writes Anipose's summary of 2D poses."""
    names = [
        ("left paw", "x"),
        ("left paw", "y"),
        ("left_ear", "likelihood2"),
        ("folder_1", ""),
        ("project", ""),
    ]
    cells = [[1.5, 2.5, 0.5, "s", "p"], [np.nan, 2.0, 1.0, "s", "p"]]
    frame = pd.DataFrame(cells, columns=pd.MultiIndex.from_tuples(names))
    table = {"_".join(name).strip("_"): frame[name].to_numpy() for name in names}
    write_parquet({name: values for name, values in table.items()}, tmp_path / "1.parquet")
    write_csv_from_parts(
        [tmp_path / "1.parquet"], tmp_path / "o.csv", last=["folder_1", "project"], two_header_rows=True
    )
    assert (tmp_path / "o.csv").read_text() == frame.to_csv(index=False, lineterminator="\n")
    with pytest.raises(ValueError, match="'plain'"):
        write_parquet({"plain": np.zeros(1)}, tmp_path / "2.parquet")
        write_csv_from_parts([tmp_path / "2.parquet"], tmp_path / "o.csv", two_header_rows=True)


def test_csv_from_no_parts(tmp_path):
    write_csv_from_parts([], tmp_path / "all.csv", last=["project"])
    assert (tmp_path / "all.csv").read_bytes() == b"\n"
    (tmp_path / "p.parquet").write_bytes(b"PAR1")
    with pytest.raises(DataError, match=r"p\.parquet"):
        write_csv_from_parts([tmp_path / "p.parquet"], tmp_path / "all.csv")
