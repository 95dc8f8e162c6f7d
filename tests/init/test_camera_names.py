"""Finding the camera in the names of videos."""

from __future__ import annotations

import re
from collections.abc import Sequence
from string import ascii_uppercase

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anipipe.commands.init.camera_names import Reading, read_names, sounds_like_camera
from anipipe.commands.init.camera_patterns import pieces
from anipipe.config import Config


def named(scheme: str, cameras: Sequence[object], trials: Sequence[object] = ("",)) -> list[str]:
    return [scheme.format(c=camera, t=trial) for trial in trials for camera in cameras]


def best(sessions: dict[str, list[str]], boards: dict[str, list[str]] | None = None, known=()) -> Reading:
    readings = read_names(sessions, boards, known)
    assert readings.best is not None, readings
    Config.model_validate({"triangulation": {"cam_regex": readings.best.regex}})
    return readings.best


VIEWS = ("back", "mid", "side", "top")
SCHEMES = {
    "views": ("mouse_{c}", VIEWS, [""], "_(back|mid|side|top)$"),
    "views of trials": ("m{t}_{c}", VIEWS, [1, 2, 3], "_(back|mid|side|top)$"),
    "Cam-A": ("fly{t}_Cam-{c}", "ABC", [4], "_Cam-([A-C])$"),
    "camera first": ("cam{c}_trial{t}", [1, 2, 3], [1, 2, 3, 4], "^cam([0-9]+)_"),
    "as Anipose": ("2019-05-20-{c}-trial{t}", "ABC", [1, 2], "-([A-C])-"),
    "as Anipose's page": ("2019-08-02-vid0{t}-cam{c}", "ABCDEF", [1, 2], "-cam([A-F])$"),
    "vid-cam": ("vid{t}-cam{c}", "AB", [1, 2], "-cam([AB])$"),
    "C2": ("trial_{t}_C{c}", [1, 2, 3, 4], [1, 2, 3], "_C([0-9]+)$"),
    "more cameras than trials": ("x{t}_cam{c}", range(1, 12), [1, 2], "_cam([0-9]+)$"),
    "serial numbers": ("trial{t}.{c}", [17190968, 17190969, 22345678], [1, 2], r"\.([0-9]+)$"),
    "beside dates": ("{t}_{c}", [17190968, 17190969], [20200501, 20200502], "_([0-9]+)$"),
    "amid words": ("m_{c}_{t}", ["back", "side"], ["walk", "run", "turn"], "_(back|side)_"),
    "brackets": ("mouse [{c}] (run {t})", "AB", [1, 2], r"\[([AB])\]"),
    "spaces": ("mouse {t} cam {c}", [1, 2], [1, 2, 3], " cam ([0-9]+)$"),
    "no ASCII": ("Käfer{t}_Kamera-{c}", "äöü", [1, 2], "_Kamera-([äöü])$"),
    "dots": ("exp.{t}.view{c}", [1, 2], ["a+b", "c*d"], r"\.view([0-9]+)$"),
    "camel": ("mouse{t}Cam{c}", [1, 2], [1, 2], "Cam([0-9]+)$"),
    "small letters": ("{t}cam{c}", "ab", ["x1", "x2"], "cam([ab])$"),
    "word in the value": ("m{t}_{c}", ["leftcam", "topcam"], [1, 2], "_(leftcam|topcam)$"),
    "word behind": ("m{t}_{c}_cam", ["left", "right"], [1, 2], "_(left|right)_cam"),
    "one in another": ("{t}_{c}", ["left", "right", "top-left"], ["m1", "m2"], "_(left|right|top-left)$"),
    "nothing but the camera": ("{c}", ["back", "side"], [""], "^(back|side)$"),
    "any words": ("{t}_{c}", ["red", "blue"], ["m1", "m2", "m3"], "_(blue|red)$"),
    "processed": ("m{t}_cam{c}_raw", [1, 2], [1, 2], "_cam([0-9]+)"),
}


@pytest.mark.parametrize("scheme", SCHEMES)
def test_what_a_person_would_write(scheme: str):
    pattern, cameras, trials, regex = SCHEMES[scheme]
    found = best({"s1": named(pattern, cameras, trials)})
    assert found.regex == regex
    assert sorted(found.cameras) == sorted(map(str, cameras))
    assert (found.trials, found.whole) == (len(trials), len(trials))
    assert found.found == found.names == len(cameras) * len(trials)


@pytest.mark.parametrize(
    "names",
    [
        [f"trial{number}" for number in range(20)],
        [f"2020-05-{day:02d}_m1" for day in range(10, 20)],
        [f"2020-05-{day:02d}_m{mouse}" for day in range(10, 14) for mouse in (1, 2)],
        ["mouseA", "mouseB", "mouseC"],
        ["mouse1_trial1", "mouse1_trial2", "mouse2_trial1", "mouse2_trial2"],
        ["GX010012", "GX010013", "GX010014"],
        ["recording"],
        [],
    ],
    ids=lambda names: names[0] if names else "none",
)
def test_one_camera_is_taken_for_one_camera(names: list[str]):
    readings = read_names({"s1": names, "s2": names})
    assert readings.best is None
    assert not readings.others


@pytest.mark.parametrize(
    "names", [["1", "2", "3"], ["mouse_A", "mouse_B", "mouse_C"], ["rest", "run", "walk"]]
)
def test_what_could_be_either_is_not_decided(names: list[str]):
    readings = read_names({"s1": names})
    assert readings.best is None
    assert all(set(reading.cameras) <= set("".join(names)) | set(names) for reading in readings.others)


def test_of_two_readings_the_other_is_told():
    readings = read_names({"s": named("{t}_{c}", [1, 2], [1, 2])})
    assert readings.best is not None
    assert readings.best.regex == "_([0-9]+)$"
    assert [other.regex for other in readings.others] == ["^([0-9]+)_"]


def test_board_recordings_decide():
    names = named("{t}_{c}", [1, 2], [1, 2, 3])
    assert best({"s": names}, {"calibration": ["board-1", "board-2"]}).cameras == ("1", "2")
    assert best({"s": names}, {"calibration": ["1_board", "2_board", "3_board"]}).cameras == ("1", "2", "3")
    # ... about numbers that would have been taken for trials
    runs = [f"{mouse}_run{run}" for mouse in (1, 2) for run in (1, 2, 3)]
    assert best({"s": runs}, {"calibration": ["run1", "run2", "run3"]}).cameras == ("1", "2", "3")


@pytest.mark.parametrize(
    ("videos", "boards", "regex"),
    [
        ("mouse_{c}", "board_{c}", "_(back|mid|side|top)$"),
        ("mouse_{c}", "{c}", "_?(back|mid|side|top)$"),
        ("{c}_mouse", "{c}", "^(back|mid|side|top)_?"),
        ("mouse_{c}", "{c}_001", "_?(back|mid|side|top)_?"),
        ("cam_{c}_trial1", "cam_{c}", "^cam_(back|mid|side|top)_?"),
    ],
)
def test_one_expression_for_videos_and_board_recordings(videos: str, boards: str, regex: str):
    found = best({"s": named(videos, VIEWS)}, {"calibration": named(boards, VIEWS)})
    assert (found.regex, found.boards, found.boards_found) == (regex, 4, 4)
    for name in [*named(videos, VIEWS), *named(boards, VIEWS)]:
        assert re.sub(regex, "", name) in {"mouse", "board", "trial1", "001", ""}


def test_without_videos_board_recordings_are_read():
    assert best({}, {"calibration": named("board_cam{c}", range(4))}).regex == "_cam([0-9]+)$"


def test_cameras_are_called_as_in_the_calibration():
    names = {"s": named("fly4_Cam-{c}", "ABC")}
    assert best(names, known=("Cam-A", "Cam-B", "Cam-C")).regex == "_(Cam-[A-C])$"
    assert best(names, known=("A", "B", "C")).regex == "_Cam-([A-C])$"
    assert best(names, known=("left", "right")).regex == "_Cam-([A-C])$"


@pytest.mark.parametrize("odd", ["notes", "mouse1_test", "", "x" * 500, "\udce9", "a\nb"])
def test_an_odd_file_changes_nothing_and_is_named(odd: str):
    found = best({"s": [*named("mouse{t}_{c}", ["back", "side", "top"], [1, 2, 3]), odd]})
    assert found.regex == "_(back|side|top)$"
    assert found.odd == (f"s/{odd}",)
    assert (found.found, found.names) == (9, 10)


def test_incomplete_trials():
    names = [name for at, name in enumerate(named("m{t}_{c}", VIEWS, range(8))) if at % 5]
    found = best({"s": names})
    assert (found.regex, found.trials, found.whole) == ("_(back|mid|side|top)$", 8, 1)
    # no trial has all cameras
    found = best({"s": ["t1_camA", "t1_camB", "t2_camB", "t2_camC", "t3_camA", "t3_camC"]})
    assert (found.cameras, found.whole) == (("A", "B", "C"), 0)


def test_one_camera_name_may_begin_another():
    cameras = ("left", "leftback")
    found = best({"s": named("m{t}_{c}", cameras, [1, 2])}, {"calibration": named("{c}_001", cameras)})
    assert (found.regex, found.cameras) == ("_?(leftback|left)_?", cameras)


def test_names_that_are_no_text_are_not_proposed():
    readings = read_names({"s": named("run{t}\udce9{c}", "AB", [1, 2])})
    for reading in filter(None, (readings.best, *readings.others)):
        reading.regex.encode()


def test_trials_that_share_few_cameras_are_none():
    animals = ("rex", "tom", "kim", "ada", "bob")
    pairs = [f"cam{day}_{animal}" for day, animal in enumerate(animals)]
    pairs += [f"cam{day}_{animal}" for day, animal in enumerate(animals[1:])]
    readings = read_names({"s": pairs})
    assert readings.best is None and not readings.others


def test_sessions_of_many_lengths():
    sessions = {
        f"s{day}": named(f"2022-01-0{day}_{{t}}_{{c}}", "AB", range(1, day + 2)) for day in range(1, 5)
    }
    assert best(sessions).regex == "_([AB])$"


def test_two_videos_of_one_camera_are_never_proposed():
    # what a run would refuse: the same camera twice in a trial
    names = ["walk-1A", "walk-1B", "walk-2A", "walk-2B", "A-walk"]
    readings = read_names({"s": names})
    for reading in filter(None, (readings.best, *readings.others)):
        seen = [
            (re.sub(reading.regex, "", name), match[1])
            for name in names
            if (match := re.search(reading.regex, name))
        ]
        assert len(set(seen)) == len(seen)


def test_thousands_of_names_take_no_time():
    sessions = {
        f"s{number}": named("mouse{t}_2022-01-01_cam{c}", range(6), range(10)) for number in range(100)
    }
    found = best(sessions)
    assert (found.regex, found.found, found.trials) == ("_cam([0-9]+)$", 6000, 1000)


def test_names_are_cut_where_people_join_them():
    assert pieces("fly4_camA 2") == ["fly", "4", "_", "cam", "A", " ", "2"]
    assert pieces("mouseBack.VIDEO") == ["mouse", "Back", ".", "VIDEO"]
    assert sounds_like_camera("Cam1") and sounds_like_camera("left") and not sounds_like_camera("monday")


_WORDS = st.sampled_from(["mouse", "fly", "walk", "run", "wt", "mutant", "exp", "control", "Lena", "größe"])
_SEPARATORS = st.sampled_from(["_", "-", ".", " ", "__"])
_CAMERAS = st.one_of(
    st.integers(2, 5).map(lambda count: [f"cam{number}" for number in range(1, count + 1)]),
    st.integers(2, 6).map(lambda count: [f"Cam-{letter}" for letter in ascii_uppercase[:count]]),
    st.integers(2, 6).map(lambda count: list(ascii_uppercase[:count])),
    st.lists(
        st.sampled_from(["left", "right", "top", "bottom", "front", "rear", "side"]), min_size=2, unique=True
    ),
)


@st.composite
def schemes(draw: st.DrawFn) -> tuple[dict[str, list[str]], dict[str, list[str]], dict[tuple[str, str], str]]:
    """Sessions, board recordings, and the trial that each video truly belongs to."""
    cameras, separator = draw(_CAMERAS), draw(_SEPARATORS)
    word, count = draw(_WORDS), draw(st.integers(2, 5))
    trials = [
        f"{word}{number}" if draw(st.booleans()) else f"{word}{separator}{number}" for number in range(count)
    ]
    if draw(st.booleans()):
        trials = [f"2021-03-0{at + 1}{separator}{trial}" for at, trial in enumerate(trials)]
    at_end = draw(st.booleans())
    sessions: dict[str, list[str]] = {}
    truth: dict[tuple[str, str], str] = {}
    for session in [f"s{number}" for number in range(draw(st.integers(1, 3)))]:
        for trial in trials[: draw(st.integers(2, count))]:
            for camera in cameras:
                name = f"{trial}{separator}{camera}" if at_end else f"{camera}{separator}{trial}"
                sessions.setdefault(session, []).append(name)
                truth[session, name] = trial
    join = (f"board{separator}{{}}" if at_end else f"{{}}{separator}board").format
    boards = {"calibration": [join(camera) for camera in cameras]} if draw(st.booleans()) else {}
    return sessions, boards, truth


@settings(max_examples=150, deadline=None)
@given(schemes())
def test_the_true_trials_are_recovered(scheme):
    sessions, boards, truth = scheme
    found = best(sessions, boards)
    groups: dict[tuple[str, str], set[str]] = {}
    for session, names in sessions.items():
        for name in names:
            match = re.search(found.regex, name)
            assert match is not None and match[1] in found.cameras
            groups.setdefault((session, re.sub(found.regex, "", name)), set()).add(truth[session, name])
    assert all(len(trials) == 1 for trials in groups.values())
    assert len(groups) == len({(session, trial) for (session, _), trial in truth.items()})
    assert found.boards_found == found.boards


@settings(max_examples=200, deadline=None)
@given(
    st.dictionaries(st.sampled_from("abc"), st.lists(st.text(max_size=12), max_size=6)), st.lists(st.text())
)
def test_no_names_are_too_strange(sessions, boards):
    readings = read_names(sessions, {"calibration": boards})
    for reading in filter(None, (readings.best, *readings.others)):
        assert re.compile(reading.regex).groups == 1
