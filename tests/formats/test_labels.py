"""Labelled frames: tables as several programs and systems write them, and what is wrong with some."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from anipipe.errors import DataError, Notice
from anipipe.formats.labels import Labels, read_labels, read_project, scorers, usable, write_labels

JOINTS = ("nose", "left ear", "tail")
POINTS = np.array(
    [
        [[10.5, 20.25], [30, 40], [np.nan, np.nan]],
        [[np.nan, np.nan], [np.nan, np.nan], [np.nan, np.nan]],
        [[11, 21], [np.nan, np.nan], [51.125, 61]],
    ]
)
NAMES = ("img000.png", "img007.png", "img100.png")


def labels(folder: str = "video one", scorer: str = "Ann") -> Labels:
    return Labels(tuple((folder, name) for name in NAMES), POINTS.copy(), JOINTS, scorer)


def frame(index: pd.Index) -> pd.DataFrame:
    columns = pd.MultiIndex.from_product(
        [["Ann"], JOINTS, ["x", "y"]], names=["scorer", "bodyparts", "coords"]
    )
    return pd.DataFrame(POINTS.reshape(3, -1), index=index, columns=columns)


def one_column(separator: str = "/") -> pd.Index:
    return pd.Index([separator.join(("labeled-data", "video one", name)) for name in NAMES])


def three_columns() -> pd.MultiIndex:
    return pd.MultiIndex.from_tuples([("labeled-data", "video one", name) for name in NAMES])


def place(project: Path, folder: str = "video one") -> Path:
    path = project / "labeled-data" / folder
    path.mkdir(parents=True, exist_ok=True)
    return path / "CollectedData_Ann.csv"


def same(read: Labels, expected: Labels) -> None:
    assert read.pictures == expected.pictures
    assert read.joints == expected.joints
    assert read.scorer == expected.scorer
    np.testing.assert_array_equal(read.points, expected.points)


@pytest.mark.parametrize("index", [one_column("/"), one_column("\\"), three_columns()], ids=["/", "\\", "3"])
@pytest.mark.parametrize("ending", ["csv", "h5"])
def test_what_pandas_writes(tmp_path, index, ending):
    path = place(tmp_path).with_suffix(f".{ending}")
    table = frame(index)
    table.to_csv(path) if ending == "csv" else table.to_hdf(path, key="df_with_missing", mode="w")
    same(read_project(tmp_path, "Ann"), labels())
    assert scorers(tmp_path) == ["Ann"]


def test_paths_of_another_computer(tmp_path):
    path = place(tmp_path)
    frame(pd.Index([f"C:\\Users\\ann\\labeled-data\\video one\\{name}" for name in NAMES])).to_csv(path)
    same(read_project(tmp_path, "Ann"), labels())


def test_written_tables_read_back_and_in_pandas(tmp_path):
    path = place(tmp_path)
    write_labels(labels(), path.with_suffix(""))
    same(read_labels(path), labels())
    same(read_labels(path.with_suffix(".h5")), labels())
    same(read_project(tmp_path, "Ann"), labels())  # a difference of the two would be told
    table = pd.read_hdf(path.with_suffix(".h5"))
    pd.testing.assert_frame_equal(table, frame(three_columns()), check_names=False)
    text = pd.read_csv(path, header=[0, 1, 2], index_col=[0, 1, 2])
    np.testing.assert_array_equal(text.to_numpy(), table.to_numpy())


def test_first_row_blank_survives_pandas(tmp_path):
    """A csv with a blank first row, read and saved again as DeepLabCut's conversion does."""
    path = place(tmp_path)
    table = frame(one_column())
    table.iloc[0] = np.nan
    table.to_csv(path)
    again = pd.read_csv(path, header=[0, 1, 2], index_col=0)
    assert len(again) == 2, "pandas takes the first row for the name of the index"
    again.to_hdf(path.with_suffix(".h5"), key="df_with_missing", mode="w")
    expected = POINTS.copy()
    expected[0] = np.nan
    for one in (path, path.with_suffix(".h5")):
        read = read_labels(one)
        assert read.pictures == labels().pictures
        np.testing.assert_array_equal(read.points, expected)


def test_row_with_names_of_the_index_is_no_frame(tmp_path):
    path = place(tmp_path)
    index = three_columns()
    index.names = ["root", "video", "picture"]
    frame(index).to_csv(path)
    same(read_project(tmp_path, "Ann"), labels())


def test_several_folders_in_order_with_the_projects_joints(tmp_path):
    for folder in ("b", "a"):
        path = place(tmp_path, folder)
        write_labels(labels(folder), path.with_suffix(""))
    with pytest.warns(Notice, match=r"has no labels of paw"):
        read = read_project(tmp_path, "Ann", ["tail", "nose", "left ear", "paw"])
    assert read.pictures == labels("a").pictures + labels("b").pictures
    np.testing.assert_array_equal(read.points[:3, :3], POINTS[:, [2, 0, 1]])
    assert np.isnan(read.points[:, 3]).all()


def test_stray_likelihood_is_dropped(tmp_path):
    table = frame(one_column())
    table[("Ann", "nose", "likelihood")] = 1.0
    table.to_csv(place(tmp_path))
    same(read_project(tmp_path, "Ann"), labels())


def test_half_a_point_is_none(tmp_path):
    table = frame(one_column())
    table.loc[table.index[0], ("Ann", "nose", "y")] = np.nan
    table.to_csv(place(tmp_path))
    assert np.isnan(read_project(tmp_path, "Ann").points[0, 0]).all()


def test_csv_counts_where_h5_differs(tmp_path):
    path = place(tmp_path)
    write_labels(labels(), path.with_suffix(""))
    path.write_text(path.read_text().replace("51.125", "57.5"))
    with pytest.warns(Notice, match=r"tail in img100.png is at \(57.5, 61\) and \(51.125, 61\); 1 points"):
        read = read_project(tmp_path, "Ann")
    assert read.points[2, 2, 0] == 57.5


def test_a_frame_only_in_the_csv_is_told(tmp_path):
    path = place(tmp_path)
    write_labels(labels(), path.with_suffix(""))
    path.write_text(path.read_text() + "labeled-data,video one,img200.png,1,2,,,,\n")
    with pytest.warns(Notice, match=r"1 pictures are in one of them, such as img200.png"):
        assert len(read_project(tmp_path, "Ann")) == 4


def test_rows_that_come_twice(tmp_path):
    path = place(tmp_path)
    frame(one_column()).to_csv(path)
    line = "labeled-data/video one/img000.png,99,99,99,99,99,99\n"
    path.write_text(path.read_text() + line)
    with pytest.warns(Notice, match=r"1 of 4 rows .* such as img000.png"):
        same(read_project(tmp_path, "Ann"), labels())


def test_unknown_joints_are_left_out_and_told(tmp_path):
    frame(one_column()).to_csv(place(tmp_path))
    with pytest.warns(Notice) as told:
        read = read_project(tmp_path, "Ann", ["nose", "left ear", "tail1"])
    texts = [str(one.message) for one in told]
    assert any("there is no joint 'tail', did you mean 'tail1'" in text for text in texts)
    assert any("has no labels of tail1" in text for text in texts)
    np.testing.assert_array_equal(read.points[:, :2], POINTS[:, :2])


BAD = {
    "no joint of the project": (lambda path: frame(one_column()).to_csv(path), "none of its joints"),
    "empty": (lambda path: path.write_bytes(b""), "0 bytes"),
    "other header": (lambda path: path.write_text("a,b\n1,2\n"), "header rows scorer"),
    "text in a cell": (
        lambda path: path.write_text(
            "scorer,Ann,Ann\nbodyparts,nose,nose\ncoords,x,y\nlabeled-data/v/img0.png,1.5,left\n"
        ),
        "'left' in the row of labeled-data/v/img0.png is no number",
    ),
    "short row": (
        lambda path: path.write_text("scorer,Ann,Ann\nbodyparts,nose,nose\ncoords,x,y\nv/img0.png,1.5\n"),
        "has 2 cells, the header 3",
    ),
    "no rows": (
        lambda path: path.write_text("scorer,Ann,Ann\nbodyparts,nose,nose\ncoords,x,y\n"),
        "no labelled frame",
    ),
    "several animals": (
        lambda path: path.write_text(
            "scorer,Ann,Ann\nindividuals,m1,m1\nbodyparts,nose,nose\ncoords,x,y\nv/img0.png,1,2\n"
        ),
        "several animals .m1.",
    ),
}


@pytest.mark.parametrize("make, message", BAD.values(), ids=BAD)
def test_bad_tables_are_refused_by_name(tmp_path, make, message):
    path = place(tmp_path)
    make(path)
    joints = ["paw"] if "joints" in message else ["nose"]
    with pytest.raises(DataError, match=message) as error:
        read_project(tmp_path, "Ann", joints)
    assert "CollectedData_Ann.csv" in str(error.value)


def test_bad_h5_is_refused_by_name(tmp_path):
    path = place(tmp_path).with_suffix(".h5")
    frame(one_column()).to_hdf(path, key="df_with_missing", mode="w")
    whole = path.read_bytes()
    for cut in (0, 100, len(whole) - 10):
        path.write_bytes(whole[:cut])
        with pytest.raises(DataError, match=r"CollectedData_Ann\.h5"):
            read_project(tmp_path, "Ann")


def test_no_labels_names_other_scorers(tmp_path):
    frame(one_column()).to_csv(place(tmp_path))
    with pytest.raises(DataError, match=r"no labels of 'Bob'.* there are those of Ann"):
        read_project(tmp_path, "Bob")


def sized(path: Path) -> tuple[int, int] | None:
    return None if path.read_bytes() == b"damaged" else (60, 50)


def with_pictures(project: Path) -> None:
    for name in NAMES:
        (project / "labeled-data" / "video one").mkdir(parents=True, exist_ok=True)
        (project / "labeled-data" / "video one" / name).write_bytes(b"picture")


def test_pictures_that_are_missing_or_damaged_are_left_out(tmp_path):
    with_pictures(tmp_path)
    folder = tmp_path / "labeled-data" / "video one"
    (folder / NAMES[0]).unlink()
    (folder / NAMES[1]).write_bytes(b"damaged")
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        found = usable(labels(), tmp_path, sized)
    texts = [str(one.message) for one in told]
    assert any("1 of 3 labelled pictures are missing" in text and NAMES[0] in text for text in texts)
    assert any("1 of 3 labelled pictures are unreadable" in text and NAMES[1] in text for text in texts)
    assert found.labels.pictures == (("video one", NAMES[2]),)
    assert found.rows.tolist() == [2]
    assert found.sizes.tolist() == [[60, 50]]


def test_points_outside_count_as_unlabelled(tmp_path):
    with_pictures(tmp_path)
    given = labels()
    given.points[0, 0] = (0, 20)
    given.points[2, 2] = (59.9, 49.9)
    given.points[2, 0] = (60, 30)
    with pytest.warns(
        Notice, match=r"2 labelled points lie outside .*nose in video one/img000.png at \(0, 20\)"
    ):
        found = usable(given, tmp_path, sized)
    expected = given.points.copy()
    expected[0, 0] = expected[2, 0] = np.nan
    np.testing.assert_array_equal(found.labels.points, expected)


def test_nothing_to_learn_from(tmp_path):
    with_pictures(tmp_path)
    blank = Labels(labels().pictures, np.full_like(POINTS, np.nan), JOINTS, "Ann")
    with pytest.raises(DataError, match="no point is labelled"):
        usable(blank, tmp_path, sized)
    with (
        pytest.warns(Notice, match="missing"),
        pytest.raises(DataError, match="none of 3 labelled pictures can be read"),
    ):
        usable(labels("elsewhere"), tmp_path, sized)
