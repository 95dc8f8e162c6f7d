"""The scripts in ``templates/`` that write a session's config.toml from ROI files: both do the same."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from anipipe.config import Layer, merge, read_layer, resolve
from anipipe.errors import DataError
from anipipe.formats.poses2d import Pose2D
from anipipe.stages.pose_3d import check_size

SCRIPTS = Path(__file__).resolve().parent.parent / "templates"
DONE = "--done--"

# Runs a script on a session, ROI files and perhaps cameras: did it succeed, and what did it say?
Tool = Callable[..., tuple[bool, str]]


def with_python(session: Path, rois: Sequence[str], cameras: Sequence[str] = ()) -> tuple[bool, str]:
    named = ["--cameras", *cameras] if cameras else []
    # Without what is installed: the standard library has to do.
    command = [sys.executable, "-IS", SCRIPTS / "session_config_from_roi.py", session, *rois, *named]
    done = subprocess.run(command, cwd=session.parent, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1), done.stderr
    assert "Traceback" not in done.stderr
    return done.returncode == 0, done.stdout + done.stderr


class Octave:
    """One Octave for all tests, since it is slow to start."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            ["octave-cli", "--quiet", "--no-init-file"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            encoding="utf-8",
        )

    def call(self, command: str) -> tuple[bool, str]:
        assert self.process.stdin and self.process.stdout
        failed = f"printf('error: %s\\n%s\\n', failure.message, '{DONE}')"
        self.process.stdin.write(f"try, {command}; disp('{DONE}'); catch failure, {failed}; end\n")
        self.process.stdin.flush()
        lines = list(iter(lambda: self.process.stdout.readline().rstrip("\n"), DONE))  # type: ignore[union-attr]
        return not any(line.startswith("error: ") for line in lines), "\n".join(lines)

    def __call__(self, session: Path, rois: Sequence[str], cameras: Sequence[str] = ()) -> tuple[bool, str]:
        named = f", {self.cells(cameras)}" if cameras else ""
        self.call(f"cd({self.quoted(str(session.parent))})")
        return self.call(f"session_config_from_roi({self.quoted(str(session))}, {self.cells(rois)}{named})")

    @staticmethod
    def quoted(text: str) -> str:
        return "'" + text.replace("'", "''") + "'"

    def cells(self, texts: Sequence[str]) -> str:
        return "{" + ", ".join(map(self.quoted, texts)) + "}"


@pytest.fixture(scope="module")
def octave() -> Iterator[Octave]:
    if shutil.which("octave-cli") is None:
        pytest.skip("octave-cli is not installed: the Matlab script is not run")
    running = Octave()
    assert running.call(f"addpath('{SCRIPTS}')") == (True, "")
    yield running
    running.process.communicate("exit\n")


@pytest.fixture(params=["python", "matlab"])
def tool(request: pytest.FixtureRequest) -> Tool:
    return with_python if request.param == "python" else request.getfixturevalue("octave")


@pytest.fixture
def session(tmp_path: Path) -> Path:
    (tmp_path / "session").mkdir()
    return tmp_path / "session"


def put(session: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (session.parent / name).write_bytes(text.encode())


def offsets(session: Path) -> dict[str, tuple[float, float] | None]:
    """What anipipe reads."""
    cameras = resolve([read_layer(session / "config.toml")]).config.cameras
    return {name: camera.offset for name, camera in cameras.items()}


PFS = """\
# {05D8C294-F295-4dfb-9D01-096BD04049F4}
# GenApi persistence file (version 3.1.0)
# Device = Basler::UsbCameraParams -- Basler USB3Vision camera interface
Width\t540
Height\t540
OffsetX\t92
OffsetY\t2
CenterX\t0
CenterY\t0
ROIZoneOffset\t7
AutoFunctionROIOffsetX\t410
TriggerMode\t{TriggerSelector=FrameStart}\tOn
"""

READ: dict[str, tuple[dict[str, str], list[str], dict[str, Any]]] = {
    "roi": (
        {"r.toml": "f = 1\n[cameras.A]\nroi = [32, 16, 640, 480]  # px\n[cameras.B]\nroi=[0,8]\n[x]\ny=1\n"},
        ["r.toml"],
        {"A": (32, 16), "B": (0, 8)},
    ),
    "Matlab's, as Anipose's authors kept it": (
        {
            "recorder.toml": '[cameras.A]\n[cameras.A.video]\nN = "x"\nROIPosition = [ 10.0, 20.0, 5.0, 6.0,]'
            "\n[cameras.B.video]\nROIPosition = [1, 2, 3, 4]\n"
        },
        ["recorder.toml"],
        {"A": (10, 20), "B": (1, 2)},
    ),
    "GenICam's names": (
        {"r.toml": '[cameras."cam 3"]\r\nWidth=9\r\nOffsetY = 4\r\nHeight=8\r\nOffsetX = 3\r\n'},
        ["r.toml"],
        {"cam 3": (3, 4)},
    ),
    "the parent's section": ({"r.toml": "[cameras]\n[cameras.A]\nroi=[1,2]\n"}, ["r.toml"], {"A": (1, 2)}),
    "csv": ({"r.csv": "camera,x,y\nA,1,2\n\nB, 0 ,0.5\n"}, ["r.csv"], {"A": (1, 2), "B": (0, 0.5)}),
    "csv of Excel": (
        {"R.CSV": '\ufeffcamera;x;y;width;height\r\nA;1;2;3;4\r\n"B";5;6;7;8\r\n;;;;\r\n'},
        ["R.CSV"],
        {"A": (1, 2), "B": (5, 6)},
    ),
    "pfs": ({"top.pfs": PFS}, ["top.pfs"], {"top": (92, 2)}),
    "pfs of several cameras": (
        {"1.pfs": PFS, "2.pfs": PFS.replace("\t92", "\t0").replace("\n", "\r\n")},
        ["A=1.pfs", "side-B=2.pfs"],
        {"A": (92, 2), "side-B": (0, 2)},
    ),
    "several files": (
        {"1.pfs": PFS, "r.csv": "camera,x,y\nB,3,4\n"},
        ["A=1.pfs", "r.csv"],
        {"A": (92, 2), "B": (3, 4)},
    ),
    "names that are no bare keys": (
        {"r.csv": "camera,x,y\nlinks oben,1,2\nüber,3,4\na.b,5,6\n"},
        ["r.csv"],
        {"links oben": (1, 2), "über": (3, 4), "a.b": (5, 6)},
    ),
}


@pytest.mark.parametrize("case", READ)
def test_reading(case: str, tool: Tool, session: Path):
    files, rois, expected = READ[case]
    put(session, files)
    done, said = tool(session, rois)
    assert done, said
    assert offsets(session) == expected
    assert "wrote" in said and all(name in said for name in expected)
    text = (session / "config.toml").read_text(encoding="utf-8")
    assert text.count("  # px, from ") == len(expected) and f"from {next(iter(files))}" in text
    assert [path.name for path in session.iterdir()] == ["config.toml"]


def test_a_second_run_changes_nothing(tool: Tool, session: Path):
    put(session, {"r.csv": "camera,x,y\nA,1,2.5\nlinks oben,3,4\n"})
    assert tool(session, ["r.csv"])[0]
    before = (session / "config.toml").read_bytes()
    done, said = tool(session, ["r.csv"])
    assert done and "says so already" in said
    assert (session / "config.toml").read_bytes() == before


@pytest.mark.parametrize("case", ["names that are no bare keys", "several files"])
def test_both_write_the_same_file(case: str, octave: Octave, session: Path):
    files, rois, _ = READ[case]
    put(session, files)
    texts = []
    for tool in (with_python, octave):
        (session / "config.toml").unlink(missing_ok=True)
        assert tool(session, rois)[0]
        texts.append((session / "config.toml").read_bytes())
    assert texts[0] == texts[1]


ADDED: dict[str, tuple[str, dict[str, Any]]] = {
    "nothing of cameras": (
        "# by hand\nmodel_folder = 'n'\n\n[filter]\nenabled = true  # yes",
        {"model_folder": "n", "filter": {"enabled": True}},
    ),
    "another camera": ("[cameras.C]\noffset = [7, 7]\n", {"cameras": {"C": {"offset": [7, 7]}}}),
    "the camera, without an offset": (
        '[triangulation]\nmin_cams = 3\n\n[cameras.A]  # late\nframe_offset = 3\n\n[cameras."B"]\n[filter]\n',
        {"triangulation": {"min_cams": 3}, "cameras": {"A": {"frame_offset": 3}}, "filter": {}},
    ),
    "the same offset": (
        "[cameras.A]\nframe_offset = 3\noffset = [32.0, 16]  # so\n",
        {"cameras": {"A": {"frame_offset": 3}}},
    ),
    "line endings of Windows": (
        "nesting = 1\r\n[cameras.A]\r\nframe_offset = 1\r\n",
        {"nesting": 1, "cameras": {"A": {"frame_offset": 1}}},
    ),
    "an empty file": ("", {}),
}


@pytest.mark.parametrize("case", ADDED)
def test_what_is_there_stays(case: str, tool: Tool, session: Path):
    text, values = ADDED[case]
    path = session / "config.toml"
    put(session, {"r.csv": "camera,x,y\nA,32,16\nB,0,8\n"})
    path.write_bytes(text.encode())
    done, said = tool(session, ["r.csv"])
    assert done, said
    new = path.read_bytes().decode()
    own = {"cameras": {"A": {"offset": [32, 16]}, "B": {"offset": [0, 8]}}}
    assert tomllib.loads(new) == merge(values, own)
    lines = iter(new.splitlines())
    assert all(line in lines for line in text.splitlines() if line.strip())  # all of them, in their order
    assert new.count("\r\n") == (new.count("\n") if "\r\n" in text else 0)
    assert new.endswith("\n")


REFUSED = {
    "another offset": (
        "[cameras.A]\noffset = [1, 1]\n",
        r"says cameras\.A\.offset = \[1, 1\].* says \[32, 16\]",
    ),
    "over several lines": ("[cameras.A]\noffset = [\n 1,\n 1,\n]\n", r"says cameras\.A\.offset = \["),
    "in one line": ("cameras = { A = { frame_offset = 1 } }\n", r"set there cameras\.B\.offset = \[0, 8\]"),
    "dotted": ("[cameras]\nA.frame_offset = 1\n", r"set there cameras\.B\.offset = \[0, 8\]"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_added_is_refused(case: str, tool: Tool, session: Path):
    text, message = REFUSED[case]
    put(session, {"r.csv": "camera,x,y\nB,0,8\nA,32,16\n"})
    (session / "config.toml").write_text(text)
    done, said = tool(session, ["r.csv"])
    assert not done
    assert re.search(message, said), said
    assert (session / "config.toml").read_text() == text


def csv(row: str) -> dict[str, str]:
    return {"r.csv": f"camera,x,y,width,height\nA,1,2,3,4\n{row}\n"}


FAULTY: dict[str, tuple[dict[str, str], list[str], str]] = {
    "no ROI in toml": ({"r.toml": "[cameras.B]\nfps = 3\n"}, ["r.toml"], "r.toml: camera B has no ROI"),
    "half an ROI": ({"r.toml": "[cameras.B]\nOffsetX = 3\n"}, ["r.toml"], "r.toml: camera B has no ROI"),
    "no cameras": ({"r.toml": "fps = 3\n"}, ["r.toml"], r"no section \[cameras.NAME\]"),
    "text": ({"r.toml": "[cameras.B]\nroi = ['a', 2]\n"}, ["r.toml"], "camera B: .*a.* is not a number"),
    "a flag": ({"r.toml": "[cameras.B]\nroi = [true, 2]\n"}, ["r.toml"], "camera B: [Tt]rue is not a number"),
    "one number": ({"r.toml": "[cameras.B]\nroi = 3\n"}, ["r.toml"], "2 or 4 numbers, .*, not 1"),
    "three": ({"r.toml": "[cameras.B]\nroi = [1, 2, 3]\n"}, ["r.toml"], "2 or 4 numbers, .*, not 3"),
    "negative": ({"r.toml": "[cameras.B]\nroi = [-1, 2]\n"}, ["r.toml"], r"\[-1, 2\] is negative"),
    "no ROI in csv": (csv("B,,,,"), ["r.csv"], "r.csv: camera B has no ROI"),
    "a cell that is empty": (csv("B,1,,3,4"), ["r.csv"], "camera B: .*is not a number"),
    "no number in csv": (csv("B,1,two,3,4"), ["r.csv"], "camera B: '?two'? is not a number"),
    "infinite": (csv("B,1,inf,3,4"), ["r.csv"], "camera B: '?inf'? is not a number"),
    "negative in csv": (csv("B,1,-2,3,4"), ["r.csv"], r"camera B: the corner \[1, -2\] is negative"),
    "no size": (csv("B,1,2,0,4"), ["r.csv"], "width and height must be more than 0"),
    "no name": (csv(",1,2,3,4"), ["r.csv"], "a camera has no name"),
    "twice": (csv("A,1,2,3,4"), ["r.csv"], "camera A has (an ROI already|more than one ROI)"),
    "no heading": ({"r.csv": "A,1,2\n"}, ["r.csv"], "first line must be camera,x,y"),
    "an empty csv": ({"r.csv": ""}, ["r.csv"], "first line must be camera,x,y"),
    "only a heading": ({"r.csv": "camera,x,y\n"}, ["r.csv"], "no camera in"),
    "centred": (
        {"1.pfs": re.sub("Offset[XY]\t.*\n", "", PFS).replace("CenterX\t0", "CenterX\t1")},
        ["A=1.pfs"],
        r"camera A: the camera centred the picture \(CenterX = 1\)",
    ),
    "no offset in pfs": ({"1.pfs": PFS.replace("OffsetY", "Other")}, ["A=1.pfs"], "camera A has no ROI"),
    "several regions": (
        {"1.pfs": PFS + "OffsetX\t{RegionSelector=Region1}\t8\n"},
        ["A=1.pfs"],
        "camera A: OffsetX has several values",
    ),
    "another kind": ({"r.yaml": "x: 1\n"}, ["r.yaml"], "r.yaml is neither FILE.toml"),
    "no such file": ({}, ["r.csv"], "r.csv cannot be read"),
}


@pytest.mark.parametrize("case", FAULTY)
def test_faulty_files_are_refused(case: str, tool: Tool, session: Path):
    files, rois, message = FAULTY[case]
    put(session, files)
    done, said = tool(session, rois)
    assert not done
    assert re.search(message, said), said
    assert not list(session.iterdir())


def test_some_cameras(tool: Tool, session: Path):
    put(session, {"r.csv": "camera,x,y\nA,1,2\nB,3,4\nC,5,6\n"})
    done, said = tool(session, ["r.csv"], ["A", "D"])
    assert not done and "camera D has no ROI; there are those of A, B, C" in said
    assert tool(session, ["r.csv"], ["C", "A"])[0]
    assert offsets(session) == {"C": (5, 6), "A": (1, 2)}


def test_no_such_session(tool: Tool, session: Path):
    put(session, {"r.csv": "camera,x,y\nA,1,2\n"})
    done, said = tool(session / "other", [str(session.parent / "r.csv")])
    assert not done and "is no folder" in said


def test_toml_that_only_python_reads(octave: Octave, session: Path):
    """All of TOML with Python; Matlab refuses what it does not understand rather than pass over it."""
    for text in (
        "cameras.A.roi = [1, 2]\ncameras.B.roi = [3, 4]\n",
        "[cameras]\nA = { roi = [1, 2] }\n[cameras.B]\nroi = [3, 4]\n",
        "[cameras.A]\nroi = [\n1,\n2]\n[cameras.B]\nroi = [3, 4]\n",
    ):
        put(session, {"r.toml": text})
        assert not octave(session, ["r.toml"])[0]
        assert not list(session.iterdir())
        assert with_python(session, ["r.toml"])[0]
        assert offsets(session) == {"A": (1, 2), "B": (3, 4)}
        (session / "config.toml").unlink()


def test_what_is_no_toml(session: Path):
    put(session, {"r.toml": "[cameras.A\n", "r.csv": "camera,x,y\nA,1,2\n"})
    done, said = with_python(session, ["r.toml"])
    assert not done and "r.toml is not TOML" in said
    (session / "config.toml").write_text("[x\n")
    done, said = with_python(session, ["r.csv"])
    assert not done and "config.toml is not TOML" in said
    assert (session / "config.toml").read_text() == "[x\n"


def test_a_struct_of_matlab(octave: Octave, session: Path):
    command = f"session_config_from_roi('{session}', struct('A', [12 34 640 480], 'B', [0 0]))"
    assert octave.call(command)[0]
    assert offsets(session) == {"A": (12, 34), "B": (0, 0)}
    assert not octave.call(command.replace("[0 0]", "[0 NaN]"))[0]


def test_the_session_adds_to_the_experiment(session: Path):
    put(session, {"r.csv": "camera,x,y\nA,1,2\n"})
    assert with_python(session, ["r.csv"])[0]
    above = {"cameras": {"A": {"frame_offset": 3, "offset": [9, 9]}, "B": {"offset": [4, 4]}}}
    config = resolve([Layer(Path("config.toml"), above), read_layer(session / "config.toml")]).config
    assert (config.cameras["A"].offset, config.cameras["A"].frame_offset) == ((1, 2), 3)
    assert config.cameras["B"].offset == (4, 4)


def test_the_page_shows_what_is_written(session: Path):
    page = (SCRIPTS.parent / "docs" / "rois.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```toml\n(.*?)^```$", page, flags=re.DOTALL | re.MULTILINE)
    roi = (
        "[cameras.side]\nroi = [320, 200, 640, 480]\n[cameras.top.video]\nROIPosition = [0, 128, 640, 480]\n"
    )
    put(session, {"recorder.toml": roi})
    assert with_python(session, ["recorder.toml"])[0]
    assert (session / "config.toml").read_text() == blocks[-1]
    layers = [Layer(Path("config.toml"), tomllib.loads(block)) for block in blocks[:2]]
    cameras = resolve(layers).config.cameras
    assert (cameras["side"].offset, cameras["top"].offset) == ((352, 200), (0, 128))


def test_the_page_shows_the_messages_about_sizes():
    page = " ".join((SCRIPTS.parent / "docs" / "rois.md").read_text(encoding="utf-8").split())
    points, scores = np.zeros((1, 1, 1, 2)), np.ones((1, 1, 1))
    view = Pose2D(("nose",), points, scores, "network", camera="side", size=(640, 480))
    for offset in (None, [900, 200]):
        with pytest.raises(DataError) as told:
            check_size(view, (1280, 1024), offset)
        assert str(told.value) in page
    check_size(view, (1280, 1024), [320, 200])
