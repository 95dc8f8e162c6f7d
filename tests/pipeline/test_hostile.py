"""Input that would do harm, by mistake or on purpose: refused or contained, with a message; others go on."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import pytest

from anipipe.config import Layer, resolve
from anipipe.console import paint, printable
from anipipe.errors import ConfigError, DataError
from anipipe.formats._files import check_not_empty
from anipipe.formats.calibrations import read_calibration, write_calibration
from anipipe.formats.importing import import_pose
from anipipe.formats.video import Video
from anipipe.networks.settings_files import read_settings
from anipipe.networks.sources import find_model
from anipipe.networks.unpickling import load_tensors
from anipipe.numerics.cameras import project
from anipipe.project import naming
from tests.conftest import CONFIG, Lab, make_rig, motion, write_dlc_csv
from tests.pipeline.bombs import CASES

pipes = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes in folders")


class StillAtItError(BaseException):
    """Not to be taken for an error of a disk."""


@contextlib.contextmanager
def within(seconds: int) -> Iterator[None]:
    """Fail, rather than wait without end."""

    def stop(*_: object) -> None:
        raise StillAtItError(f"after {seconds} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    """Two sessions; what is wrong is wrong with the second one."""
    return make_lab(tmp_path / "experiment")


def make_lab(root: Path) -> Lab:
    lab = Lab(root, make_rig())
    for session in ("control/mouse1", "control/mouse2"):
        lab.add_session(session)
    (root / "config.toml").write_text(CONFIG)
    (root / "calibration").mkdir()
    write_calibration(lab.rig, root / "calibration/calibration.toml")
    return lab


def run(lab: Lab, check: int | None = 0) -> str:
    """Run as few steps as there can be: the others would tell nothing more of most of what is here."""
    return lab.run("triangulate", "--upstream", check=check)


def prediction(lab: Lab) -> Path:
    return lab.root / "control/mouse2/predictions/t1_ADLC_net_x1.csv"


def done(lab: Lab) -> set[str]:
    """Return the sessions that have got their 3D poses."""
    return {path.parents[1].name for path in lab.root.glob("*/*/pose-3d/*.csv") if path.is_file()}


def everything(folder: Path) -> dict[str, bytes | str]:
    """Return all files and links in a folder."""
    return {
        str(path): str(path.readlink()) if path.is_symlink() else path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_symlink() or path.is_file()
    }


# ---- configuration

NAMES = (
    *(
        "..",
        "../elsewhere",
        "/elsewhere",
        "a/b",
        "a\\b",
        "C:",
        ".",
        "",
        " ",
        ".anipipe",
        "config",
        "CONFIG",
    ),
    *("a\nb", "a\rb", "a\x1b[2Jb", "a\u202eb", "a\u0085b", "a.", "a ", "NUL", "nul.txt", "Com1", "x" * 101),
)


@pytest.mark.parametrize("name", NAMES)
def test_a_folder_is_called_plainly(name: str):
    with pytest.raises(ConfigError, match=r"(?s)config.toml: pipeline.pose_3d") as raised:
        resolve([Layer(Path("config.toml"), {"pipeline": {"pose_3d": name}})])
    assert printable(str(raised.value)) == str(raised.value)


@pytest.mark.parametrize("other", ["ANGLES", unicodedata.normalize("NFD", "winkel-ä").upper()])
def test_two_folders_have_two_names(other: str):
    pipeline = {"pose_3d": other, "angles": "angles" if other == "ANGLES" else "winkel-ä"}
    with pytest.raises(ConfigError, match=r"is the folder of pipeline.pose_3d too"):
        resolve([Layer(Path("config.toml"), {"pipeline": pipeline})])


def test_a_session_that_points_elsewhere_fails_alone(lab: Lab):
    before = everything(lab.root.parent)
    (lab.root / "control/mouse2/config.toml").write_text("[pipeline]\npose_3d = '../../../elsewhere'\n")
    text = run(lab, check=1)
    assert 'pipeline.pose_3d = "../../../elsewhere"' in text
    assert done(lab) == {"mouse1"}
    made = {path for path in set(everything(lab.root.parent)) - set(before)}
    assert all(path.startswith(str(lab.root)) for path in made)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("path = ''\nnesting = 1000000000000000000000000000000", "nesting"),
        ("project = 'a' \nnesting = " + "9" * 5000, "config.toml"),
        ("labeling.line_width = nan", "labeling.line_width"),
        ("converted_video_speed = inf", "converted_video_speed"),
        ("converted_video_speed = 1e999", "converted_video_speed"),
        ('project = "two\\nlines"', "line break"),
        ('project = "\\u001b[31mred"', "control character"),
        ('model_folder = "C:\\networks\\top"', "single quotes"),
        ("angles.\"a\\nb\" = ['a', 'b', 'c']", "line break"),
        ("a = " + "[" * 5000, "too deeply"),
        ("a = " + "[" * 100_000, "8000 characters"),
        ("nesting = 1\n" + ".".join("a" * 2000) + " = 1", "too deeply"),
        ("# " + "x" * 300_000, "256 KiB"),
        ("triangulation.cam_regex = 'x{99999999999999999999}(a)'", "triangulation.cam_regex"),
        ("triangulation.cam_regex = '" + "(" * 3000 + ")" * 3000 + "'", "triangulation.cam_regex"),
        ("nesting = 1\n" + "\n".join(f"key{number} = 1" for number in range(20_000)), "and 19980 more"),
    ],
)
def test_absurd_settings(lab: Lab, line: str, words: str):
    (lab.root / "config.toml").write_text(f"{line}\n")
    with within(10):
        text = lab.run("status", check=2)
    assert words in text
    assert "config.toml" in text
    assert "Traceback" not in text
    assert len(text) < 10_000


def test_a_pattern_without_end(lab: Lab, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(naming, "_LONGEST_SEARCH", 0.2)
    prediction(lab).rename(prediction(lab).with_name(f"{'a' * 60}_ADLC_net_x1.csv"))
    (lab.root / "control/mouse2/calibration").mkdir()
    shutil.copy(lab.root / "calibration/calibration.toml", lab.root / "control/mouse2/calibration")
    session = lab.root / "control/mouse2/config.toml"
    session.write_text("[triangulation]\ncam_regex = '^(?:[a-z]+)+!?_?[B-Z]?([B-C])$'\n")
    with within(20):
        text = run(lab, check=1)
    assert "triangulation.cam_regex" in text
    assert "does not come to an end" in text
    assert done(lab) == {"mouse1"}


def test_a_network_may_lie_anywhere_and_is_only_read(lab: Lab):
    (lab.root.parent / "secret").write_text("root:x:0:0\n")
    (lab.root / "control/mouse2/config.toml").write_text(
        f"model_type = 'deeplabcut'\nmodel_folder = '{lab.root.parent / 'secret'}'\n"
    )
    (lab.root / "control/mouse2/videos-raw").mkdir()
    (lab.root / "control/mouse2/videos-raw/t1_A.mp4").write_bytes(b"no video")
    text = run(lab, check=1)
    assert "secret is no trained network" in text
    assert "root:x" not in text
    assert done(lab) == {"mouse1"}


# ---- folders


def test_loops_of_links_come_to_an_end(lab: Lab):
    (lab.root / "control/mouse1/again").symlink_to(lab.root / "control/mouse1")
    (lab.root / "control/a").mkdir()
    (lab.root / "control/a/b").symlink_to(lab.root / "control/a")
    (lab.root / "control/itself").symlink_to("itself")
    (lab.root / "twice").symlink_to(lab.root / "control")
    (lab.root / "up").symlink_to(lab.root.parent)
    (lab.root / "control/root").symlink_to(lab.root)
    with within(30):
        text = run(lab)
    assert done(lab) == {"mouse1", "mouse2"}
    assert "up: passed over, it is a link to" in text
    assert "control/itself: a link that leads nowhere" in text
    assert "twice/mouse1" not in text


def test_a_session_of_another_experiment_is_told(lab: Lab):
    other = make_lab(lab.root.parent / "other")
    (lab.root / "borrowed").symlink_to(other.root / "control/mouse1")
    text = lab.run("status")
    assert f"borrowed is a link into another experiment, {other.root}" in text


def test_a_session_on_another_disk_is_processed_there(lab: Lab):
    (lab.root / "control/mouse2").rename(lab.root.parent / "disk")
    (lab.root / "control/mouse2").symlink_to(lab.root.parent / "disk")
    text = run(lab)
    assert "link" not in text
    assert (lab.root.parent / "disk/pose-3d/t1.csv").exists()


@contextlib.contextmanager
def nested(folder: Path, depth: int) -> Iterator[None]:
    """Put folders in each other, and take them away: none that removes trees, pytest's own, can do that."""
    start = Path.cwd()
    try:
        os.chdir(folder)
        for _ in range(depth):
            Path("d").mkdir()
            os.chdir("d")
        os.chdir(start)
        yield
    finally:
        os.chdir(folder)
        with contextlib.suppress(FileNotFoundError):
            for _ in range(depth):
                os.chdir("d")
        while Path.cwd() != folder:
            os.chdir("..")
            Path("d").rmdir()
        os.chdir(start)


def test_folders_without_end(lab: Lab):
    with nested(lab.root, 1200):
        text = lab.run("status")
        assert "100 folders deep; nothing in it is looked at" in text
        assert "control/mouse2" in text
        (lab.root / "config.toml").unlink()
        assert "no config.toml here, above or below" in lab.run("status", check=2)


@pipes
def test_pipes_in_place_of_files(lab: Lab):
    """Opening one waits for its other end, without end."""
    session = lab.root / "control/mouse2"
    for folder in ("videos-raw", "calibration", "pose-2d", "pose-3d", "angles", "config"):
        (session / folder).mkdir()
    for path in (
        *("videos-raw/t9_A.mp4", "videos-raw/t9_ADLC_x.csv", "predictions/t9_ADLC_net.h5"),
        *("calibration/calibration.toml", "calibration/board_A.mp4", "config.toml"),
        *("pose-2d/t1_A.h5", "pose-3d/t1.csv", "angles/t1.csv"),
    ):
        os.mkfifo(session / path)
    os.mkfifo(lab.root / "calibration/board_A.avi")
    with within(30):
        text = run(lab)
    assert "control/mouse2/config.toml: passed over" in text
    assert (session / "pose-3d/t1.csv").is_file()
    assert done(lab) == {"mouse1", "mouse2"}
    with within(30):
        assert "0 jobs done" in run(lab)


@pipes
@pytest.mark.parametrize(
    "read",
    [
        *(check_not_empty, read_calibration, read_settings),
        *(lambda path: import_pose([path]), lambda path: Video(path).info),
        lambda path: load_tensors(path, where=str(path)),
        lambda path: find_model(path.rename(path.with_suffix(".zip"))),
        lambda path: import_pose([path.rename(path.with_suffix(".h5"))]),
    ],
)
def test_no_reader_waits_for_a_pipe(tmp_path: Path, read):
    os.mkfifo(tmp_path / "pipe.csv")
    with (
        within(10),
        pytest.raises((OSError, DataError), match=r"a pipe, not a file|no trained network"),
    ):
        read(tmp_path / "pipe.csv")


def test_folders_in_place_of_files(lab: Lab):
    (lab.root / "control/mouse2/config.toml").mkdir()
    (lab.root / "control/mouse2/predictions/t7_ADLC_x.csv").mkdir()
    (lab.root / "control/mouse2/videos-raw/t7_B.mp4").mkdir(parents=True)
    (lab.root / "control/mouse1/pose-3d").write_text("a file where a folder should be\n")
    text = run(lab, check=1)
    assert "control/mouse2/config.toml: passed over" in text
    assert "control/mouse1" in text
    assert (lab.root / "control/mouse2/pose-3d/t1.csv").exists()
    assert (lab.root / "control/mouse1/pose-3d").read_text() == "a file where a folder should be\n"


def test_results_that_are_links_are_not_written_through(lab: Lab):
    precious = lab.root.parent / "precious"
    precious.write_text("precious\n")
    session = lab.root / "control/mouse2"
    names = ("pose-2d/t1_A.h5", "pose-3d/t1.csv", "angles/t1.csv", "config/config.toml")
    for name in names:
        (session / name).parent.mkdir()
        (session / name).symlink_to(precious)
    run(lab, check=None)
    assert (session / "pose-3d/t1.csv").is_symlink()  # somebody else's, and so not replaced
    lab.run("run-all", *(part for name in names for part in ("--force", f"control/mouse2/{name}")))
    assert not any((session / name).is_symlink() for name in names)
    assert precious.read_text() == "precious\n"


def test_results_may_lie_on_another_disk(lab: Lab):
    disk = lab.root.parent / "disk"
    disk.mkdir()
    (lab.root / "control/mouse2/pose-3d").symlink_to(disk)
    run(lab)
    assert (disk / "t1.csv").is_file()
    assert "0 jobs done" in run(lab)


def test_names_as_long_as_they_can_be(lab: Lab):
    session = lab.root / "control/mouse2/predictions"
    truth = motion(6, seed=1)
    for camera in lab.rig.cameras:
        write_dlc_csv(session / f"{'x' * 246}_{camera.name}.csv", project(truth, camera))
    text = lab.run("run-all", check=1)
    assert "the name is too long for this file system; shorten the name" in text
    assert done(lab) == {"mouse1", "mouse2"}


# ---- files


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, str]]:
    folder = tmp_path_factory.mktemp("bombs")
    command = [sys.executable, "-W", "ignore", "-m", "tests.pipeline.bombs", str(folder)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(
        command,
        cwd=folder,
        env={**environment, "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert not (folder / "RAN").exists()
    lines = map(json.loads, done.stdout.splitlines())
    return {line["name"]: line for line in lines}


@pytest.mark.parametrize("name", CASES)
def test_small_files_stay_small(outcomes: dict[str, dict[str, str]], name: str):
    found = outcomes[name]
    assert found["kind"] == "told", found
    assert re.search(CASES[name][2], found["message"]), found["message"]
    assert name in found["message"] or name in ("far.csv", "pixels.png")  # which the job's message adds
    assert len(found["message"]) < 1000
    assert float(found["seconds"]) < 5


@pytest.mark.parametrize("name", ["code.h5", "code-variable.h5"])
def test_no_pickle_of_a_table_names_code_whatever_was_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
):
    """What looks at a file first, and what reads it, are two programs; the second is held back by itself."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("anipipe.formats.poses2d.refuse_code", lambda *_: None)
    write, read, _ = CASES[name]
    write(tmp_path / name)
    with contextlib.suppress(DataError):
        read(tmp_path / name)
    assert not (tmp_path / "RAN").exists()
    monkeypatch.setattr("anipipe.formats.poses2d.no_code", contextlib.nullcontext)
    with contextlib.suppress(DataError):
        read(tmp_path / name)
    assert (tmp_path / "RAN").exists()  # else nothing is shown by what is above


# ---- names


def test_what_is_printed_commands_no_terminal():
    hostile = "a\x1b]0;title\x07b\x9b2Jc\rd\x08e\u202ef\udce9\x1b[8mg"
    shown = printable(paint("note: ", "yellow") + hostile + "\nnext\tline")
    assert shown == (
        "\x1b[33mnote: \x1b[0ma\\x1b]0;title\\x07b\\x9b2Jc\\rd\\x08e\\u202ef\\udce9\\x1b[8mg\nnext\tline"
    )


@pytest.mark.parametrize("name", ["new\nline", "back\rwards", "\x1b[2Jclear", "right\u202eleft", b"caf\xe9"])
def test_a_session_with_an_unspeakable_name(lab: Lab, name: str | bytes):
    other = os.fsencode(lab.root / "control") + b"/" + os.fsencode(name)
    try:
        os.rename(  # noqa: PTH104 - to bytes
            lab.root / "control/mouse2", other
        )
    except OSError:
        pytest.skip("this disk takes no such name")
    text = lab.run("run-all", check=1)
    assert ascii(os.fsdecode(name))[1:-1] in text
    assert "give it another name" in text
    assert done(lab) == {"mouse1"}
    text = text + lab.run("status", "--why", check=None)
    assert text == printable(text).replace("\x1b", "")
    with (lab.root / "summaries/missing.csv").open("rb") as file:
        assert not re.search(rb"[\x00-\x09\x0b-\x1f\x7f]|\r|\xe2\x80\xae", file.read())


def test_a_video_with_an_unspeakable_name(lab: Lab):
    prediction(lab).rename(prediction(lab).with_name("t\x1b[2J\n1_ADLC_net_x1.csv"))
    text = run(lab, check=1)
    assert r"'t\x1b[2J\n1_A'" in text
    assert done(lab) == {"mouse1"}


def test_a_joint_with_an_unspeakable_name(lab: Lab):
    path = prediction(lab)
    path.write_text(path.read_text().replace("nose,nose,nose", '"no\x1b[2Jse","no\x1b[2Jse","no\x1b[2Jse"'))
    text = run(lab, check=1)
    assert r"'no\x1b[2Jse'" in text
    assert "\x1b" not in text
    assert done(lab) == {"mouse1"}


def test_names_that_are_odd_and_fine(lab: Lab):
    names = ("-rf", "--help", "=cmd()", "a'b\"c", "$(x)", "<b>&amp;", "{x}", "a,b;c", "%00")
    for name in names:
        session = lab.root / "control" / name
        shutil.copytree(lab.root / "control/mouse2", session)
        for path in (session / "predictions").iterdir():
            path.rename(path.with_name(f"{name}{path.name}"))
    lab.run("run-all")
    with (lab.root / "summaries/pose_3d.csv").open(newline="") as file:
        rows = {(row["folder_2"], row["filename"]) for row in csv.DictReader(file)}
    assert rows == {("mouse1", "t1"), ("mouse2", "t1"), *((name, f"{name}t1") for name in names)}


def test_a_camera_with_an_unspeakable_name_in_a_calibration(lab: Lab):
    path = lab.root / "calibration/calibration.toml"
    path.write_text(path.read_text().replace('name = "A"', 'name = "A\\u001b[2J\\n"'))
    text = run(lab, check=1)
    assert r"'A\x1b[2J\n'" in text
    assert "\x1b" not in text
