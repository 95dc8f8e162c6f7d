"""``anipipe init``: what it finds, proposes, says and writes."""

from __future__ import annotations

import os
import re
import subprocess
import tomllib
from collections.abc import Sequence
from pathlib import Path

import pytest

from anipipe.cli import invoke
from anipipe.commands.init import draft, looking
from anipipe.commands.init.moving import camera_folders
from anipipe.config import Config, read_layer, resolve, template
from anipipe.config.render import Remark
from tests.networks.model_folders import deeplabcut, lightning, write, zipped

VIEWS = ("back", "side", "top")


def put(root: Path, *names: str) -> None:
    """Make empty files."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def videos(scheme: str, cameras: Sequence[str] = VIEWS, trials: Sequence[int] = (1, 2)) -> list[str]:
    return [scheme.format(c=camera, t=trial) for trial in trials for camera in cameras]


def started(root: Path) -> Config:
    """Write a configuration; return it, after all that reads it has been tried on it."""
    assert invoke(["init", str(root)]) == 0
    config = resolve([read_layer(root / "config.toml")]).config
    assert invoke(["status", str(root)]) == 0
    return config


def line(root: Path, key: str) -> str:
    return next(
        one for one in (root / "config.toml").read_text(encoding="utf-8").splitlines() if one.startswith(key)
    )


def above(root: Path, key: str) -> str:
    """Return the comments that stand above a key."""
    text = (root / "config.toml").read_text(encoding="utf-8")
    before = text[: text.index(f"\n# {key} = ")].splitlines()
    return "\n".join(before[-8:])


def test_a_new_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    root = tmp_path / "new lab"
    assert started(root) == resolve([read_layer(root / "config.toml")]).config
    assert tomllib.loads((root / "config.toml").read_text())["project"] == "new lab"
    out = capsys.readouterr().out
    assert f"anipipe status '{root}'" in out and f"anipipe run-all '{root}'" in out
    assert "SESSION/videos-raw/" in out


def test_nothing_is_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert invoke(["init", str(tmp_path)]) == 0
    text = (tmp_path / "config.toml").read_bytes()
    assert invoke(["init", str(tmp_path)]) == 2
    assert "is there already" in capsys.readouterr().err
    assert invoke(["init", str(tmp_path / "session")]) == 2
    assert "lies in the experiment" in capsys.readouterr().err
    assert not (tmp_path / "session").exists()
    assert invoke(["init", str(tmp_path / "config.toml")]) == 2
    assert "is a file" in capsys.readouterr().err
    assert (tmp_path / "config.toml").read_bytes() == text


def test_a_config_of_anipose_works_as_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    path = tmp_path / "config.toml"
    path.write_text("nesting = 1\n[triangulation]\ncam_regex = 'cam([0-9])'\n")
    assert invoke(["init", str(tmp_path)]) == 2
    told = capsys.readouterr().err
    assert all(word in told for word in ("works as it is", "anipipe status", "anipipe adopt"))
    path.write_text("[tool.other]\nx = 1\n")  # some other program's
    assert invoke(["init", str(tmp_path)]) == 2
    assert "works as it is" not in capsys.readouterr().err


def test_print_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    put(tmp_path, *videos("s1/videos-raw/m{t}_{c}.mp4"))
    before = sorted(tmp_path.rglob("*"))
    assert invoke(["init", "--print", str(tmp_path)]) == 0
    shown = capsys.readouterr()
    assert tomllib.loads(shown.out)["triangulation"] == {"cam_regex": "_(back|side|top)$"}
    assert "6 in 2 trials" in shown.err
    assert sorted(tmp_path.rglob("*")) == before
    (tmp_path / "config.toml").touch()  # as `anipipe init --print > config.toml` does first
    assert invoke(["init", "--print", str(tmp_path)]) == 0
    assert tomllib.loads(capsys.readouterr().out)["nesting"] == 1


def test_sessions_and_cameras(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    for session in ("wt/mouse1", "wt/mouse2", "ko/mouse3"):
        put(tmp_path, *videos(f"{session}/videos-raw/run{{t}}-{{c}}.avi"), f"{session}/videos-raw/notes.txt")
    config = started(tmp_path)
    assert (config.nesting, config.triangulation.cam_regex) == (2, "-(back|side|top)$")
    assert line(tmp_path, "cam_regex").endswith("  # found in 18 of 18 videos")
    assert line(tmp_path, "nesting") == "nesting = 2  # all 3 sessions lie 2 folders deep"
    out = capsys.readouterr().out
    for text in ("3 (ko/mouse3, wt/mouse1, wt/mouse2)", "18 in 6 trials", "back, side, top by cam_regex"):
        assert text in out


def test_sessions_at_several_depths_leave_nesting_out(tmp_path: Path):
    put(tmp_path, *videos("a/videos-raw/x{t}_{c}.mp4"), *videos("b/c/videos-raw/x{t}_{c}.mp4"))
    assert started(tmp_path).nesting is None
    assert "1 to 2 folders deep" in above(tmp_path, "nesting")


def test_the_experiment_may_be_a_session(tmp_path: Path):
    put(tmp_path, *videos("predictions/x{t}_{c}DLC_net.h5"))
    config = started(tmp_path)
    assert (config.nesting, config.triangulation.cam_regex) == (0, "_(back|side|top)$")


def test_one_camera(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    put(tmp_path, *(f"day{day}/videos-raw/trial{trial}.mp4" for day in (1, 2) for trial in (1, 2, 3)))
    assert started(tmp_path).triangulation.cam_regex is None
    assert "a trial of its own, in 2D" in above(tmp_path, "cam_regex").replace("\n# ", " ")
    assert "each video is a trial, in 2D" in capsys.readouterr().out


def test_what_is_not_certain_is_shown_and_not_set(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    put(tmp_path, *(f"s/videos-raw/mouse_{letter}.mp4" for letter in "ABC"))
    assert started(tmp_path).triangulation.cam_regex is None
    assert line(tmp_path, "# cam_regex") == '# cam_regex = "_([A-C])$"'
    assert "To be chosen: triangulation.cam_regex" in capsys.readouterr().out


def test_an_odd_video_is_named(tmp_path: Path):
    put(tmp_path, *videos("s/videos-raw/x{t}_{c}.mp4", trials=range(4)), "s/videos-raw/te\nst.mp4")
    assert invoke(["init", str(tmp_path)]) == 0
    text = (tmp_path / "config.toml").read_text()
    assert re.search(r"# found in 12 of 13 videos. Not in s/te\\nst: take", text)
    assert tomllib.loads(text)["triangulation"]["cam_regex"] == "_(back|side|top)$"


LAYOUTS = {
    "flat": [*videos("run{t}_{c}.mp4"), "notes.txt"],
    "in sessions": [*videos("my lab/s1/run{t}_{c}.MP4"), *videos("my lab/it's 2/run{t}_{c}.MP4")],
    "in videos": [*videos("s1/videos/run{t}_{c}.avi"), *videos("s2/videos/run{t}_{c}.avi")],
    "with a minus": videos("-s1/run{t}_{c}.mp4"),
    "by camera": [*(f"s1/{c}/run{t}.mp4" for c in ("cam1", "cam2", "cam3") for t in (1, 2))],
    "by camera, in videos-raw": [*(f"s1/videos-raw/{c}/run{t}.v.mp4" for c in VIEWS for t in (1, 2))],
    "with boards": [*videos("run{t}_{c}.mp4"), *(f"calib_{c}.mp4" for c in VIEWS)],
    "boards apart": [*videos("s1/run{t}_{c}.mp4"), *(f"Calib videos/{c}.mp4" for c in VIEWS)],
    "with predictions": [*videos("s1/run{t}_{c}.mp4"), *videos("s1/run{t}_{c}DLC_resnet50_x.h5")],
    "a calibration": [*videos("s1/videos-raw/run{t}_{c}.mp4"), "calibration.toml"],
}


@pytest.mark.skipif(os.name != "posix", reason="the commands are for a POSIX shell")
@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_commands_put_everything_in_place(
    layout: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    put(tmp_path, *LAYOUTS[layout])
    before = sorted(tmp_path.rglob("*"))
    first = draft(tmp_path, print)
    assert sorted(tmp_path.rglob("*")) == before
    commands = [text.strip() for text in first.advice if text.startswith("    ")]
    assert commands[0].startswith("cd ") and "nothing has been moved" in "".join(first.advice)
    subprocess.run(["bash", "-ec", "\n".join(commands)], check=True)
    found = looking.look(tmp_path)
    assert not found.loose and not found.loose_boards and not found.loose_predictions
    assert not found.loose_calibrations
    assert found.videos == 12 if layout in ("in sessions", "in videos") else 6
    assert sum(path.is_file() for path in tmp_path.rglob("*")) == len(LAYOUTS[layout])
    second = tomllib.loads(draft(tmp_path, print).text)
    regex = second["triangulation"]["cam_regex"]
    assert regex == tomllib.loads(first.text)["triangulation"]["cam_regex"]
    assert sorted(found.boards) == (["calibration"] if "board" in layout else [])
    names = [name for session in found.sessions for name in session.videos]
    assert {re.sub(regex, "", name) for name in names} in ({"run1", "run2"}, {"run1.v", "run2.v"})


def test_another_name_for_videos_raw_is_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    put(tmp_path, *videos("s1/my_videos/run{t}_{c}.avi"), *videos("s2/my_videos/run{t}_{c}.avi"))
    assert invoke(["init", str(tmp_path)]) == 0
    assert line(tmp_path, "# videos_raw =") == '# videos_raw = "my_videos"'
    assert 'pipeline.videos_raw = "my_videos"' in capsys.readouterr().out


def test_drawn_videos_are_no_recordings(tmp_path: Path):
    put(tmp_path, "s1/plots/run1_camADLC_resnet50_labeled.mp4", *videos("s1/videos-raw/run{t}_{c}.mp4"))
    assert not any("move" in text for text in draft(tmp_path, print).advice)


def test_folders_by_camera():
    assert camera_folders({"s/cam1": ["a.mp4"], "s/cam2": ["a.mp4"]}) == {"s": ["cam1", "cam2"]}
    assert camera_folders({"s/cam1": ["a.mp4"], "s/cam2": ["b.mp4"]}) == {}
    assert camera_folders({"monday": ["a.mp4"], "tuesday": ["a.mp4"]}) == {}


def test_a_project_of_deeplabcut(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    put(tmp_path, "dlc/videos/train1.mp4", *videos("s1/videos-raw/x{t}_{c}.mp4"))
    (tmp_path / "dlc/config.yaml").write_text("    # Project definitions\nTask: reach\nscorer: me\n")
    started(tmp_path)
    out = capsys.readouterr().out
    assert "dlc: a project of DeepLabCut" in out and "train1" not in out
    assert line(tmp_path, "# model_folder") == '# model_folder = "dlc"'
    assert any("in another folder" in text for text in draft(tmp_path / "dlc", print).advice)


def test_strange_things_are_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    put(tmp_path, *videos("s1/videos-raw/x{t}_{c}.mp4"), "s2/videos-raw", "s3/calibration", "s4/pose-2d/x.h5")
    put(tmp_path, "s1/predictions/x1_back.h5", "s1/predictions/x1_topDLC_n.csv", "s1/predictions/x2_top.slp")
    (tmp_path / "s1/predictions/x1_back.h5").write_bytes(b"\x89HDF\r\n\x1a\nbroken")
    (tmp_path / "s1/predictions/x1_topDLC_n.csv").write_bytes(b"scorer\xff\xfe,\x00")
    put(tmp_path, "s5/videos-raw/a_top.mp4", "s5/videos-raw/a_top.avi")  # two videos of one name
    put(tmp_path, "s6/config.toml", "dlc/config.yaml")
    (tmp_path / "loop").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    (tmp_path / "locked/videos-raw").mkdir(parents=True)
    scandir = os.scandir

    def refusing(path="."):
        if Path(path).name == "locked":
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(looking.os, "scandir", refusing)
    made = draft(tmp_path, print)
    monkeypatch.undo()
    assert tomllib.loads(made.text)["triangulation"]["cam_regex"] == "_(back|side|top)$"
    told = "\n".join(made.advice)
    assert "locked: Permission denied" in told and "both video 'a_top'" in told
    assert "s6: has a config.toml of its own" in told
    found = looking.look(tmp_path)
    assert [session.folder for session in found.sessions] == ["locked", "s1", "s4"]  # each once


def test_links_are_followed_once(tmp_path: Path):
    put(tmp_path / "disk", *videos("s1/videos-raw/x{t}_{c}.mp4"))
    root = tmp_path / "lab"
    root.mkdir()
    (root / "a").symlink_to(tmp_path / "disk/s1", target_is_directory=True)
    (root / "b").symlink_to(tmp_path / "disk/s1", target_is_directory=True)
    config = started(root)
    assert (config.nesting, config.triangulation.cam_regex) == (1, "_(back|side|top)$")
    assert [session.folder for session in looking.look(root).sessions] == ["a"]


def test_looking_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(looking, "_MOST_FOLDERS", 20)
    for number in range(40):
        put(tmp_path, *videos(f"s{number}/videos-raw/x{{t}}_{{c}}.mp4"))
    made = draft(tmp_path, print)
    assert any("more folders than were looked at" in text for text in made.found)
    assert any(text.startswith("sessions     19 ") or " 19 (" in text for text in made.found)


@pytest.mark.parametrize("name", ['a"b', "tab\there", "ünï", "# no", "[x]", b"\xe9t\xe9", "new\nline"])
def test_a_folder_of_any_name(tmp_path: Path, name: str | bytes):
    root = Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + os.fsencode(name)))
    try:
        root.mkdir()
    except OSError:
        pytest.skip("this disk takes no such name")
    put(root, *videos(f"{root.name}/videos-raw/x{{t}}_{{c}}.mp4"))
    config = started(root)
    assert config.triangulation.cam_regex == "_(back|side|top)$"
    assert config.project


def test_remarks_in_a_template():
    long = "word " * 60
    remarks = {
        "nesting": Remark("why\x00 not\n"),
        "project": Remark(long),
        "triangulation.cam_regex": Remark("choose", (("a(b)", "one:"), ("(c)", "two:"))),
    }
    text = template({"project": "p", "nesting": 2}, remarks)
    assert tomllib.loads(text) == {**tomllib.loads(template({"project": "p", "nesting": 2}))}
    assert "nesting = 2  # why\\x00 not\\n\n" in text
    assert '# one:\n# cam_regex = "a(b)"\n# two:\n# cam_regex = "(c)"\n' in text
    assert max(len(one) for one in text.splitlines() if one.startswith("# word")) <= 110


def test_a_network_that_lies_there_is_proposed_and_of_several_all_are_shown(tmp_path: Path) -> None:
    (tmp_path / "s1/videos-raw").mkdir(parents=True)
    (tmp_path / "s1/videos-raw/walk.mp4").touch()
    (tmp_path / "notes.zip").write_bytes(b"no zip")
    write(tmp_path / "networks/mouse", deeplabcut("snapshot-050.pt"))
    drafted = draft(tmp_path, lambda text: None)
    assert tomllib.loads(drafted.text)["model_folder"] == "networks/mouse"
    assert any(line.startswith("network ") and "snapshot-050" in line for line in drafted.found)
    zipped(tmp_path / "side.zip", lightning("epoch=1-step=2-best.ckpt"))
    drafted = draft(tmp_path, lambda text: None)
    assert "model_folder" not in tomllib.loads(drafted.text)
    assert re.search(r"# model_folder = .side\.zip.", drafted.text), drafted.text[:1500]
    assert "To be chosen: model_folder, one of the networks." in drafted.advice


def test_videos_without_a_network_or_predictions_are_told(tmp_path: Path) -> None:
    (tmp_path / "s1/videos-raw").mkdir(parents=True)
    (tmp_path / "s1/videos-raw/walk.mp4").touch()
    assert any(
        "set model_folder to your network" in line for line in draft(tmp_path, lambda text: None).advice
    )
