"""What the walker finds in folders."""

from __future__ import annotations

from pathlib import Path

import pytest

from anipipe.errors import ConfigError, UsageError
from anipipe.project import find_experiments, walk
from anipipe.project.naming import natural, part_name


def make(root: Path, *files: str, config: str = "[triangulation]\ncam_regex = 'cam([0-9]+)'\n") -> Path:
    root.mkdir(exist_ok=True, parents=True)
    for name in files:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    (root / "config.toml").write_text(config)
    return root


def labels(root: Path, kind: str) -> list[str]:
    return [unit.label for unit in walk(root).of(kind)]


def test_sessions_at_any_depth_trials_and_cameras(tmp_path: Path):
    root = make(
        tmp_path,
        "a/videos-raw/v1 cam1.avi",
        "a/videos-raw/v1 cam2.AVI",
        "a/videos-raw/v2 cam1.mp4",
        "g/b/predictions/w cam1DLC_x.h5",
        "g/c/pose-2d/u cam1.h5",
        "g/d/videos-uncompressed/t cam3.mkv",
        "notes/readme.txt",
    )
    experiment = walk(root)
    assert not experiment.problems
    assert [u.label for u in experiment.of("session")] == ["a", "g/b", "g/c", "g/d"]
    assert [u.label for u in experiment.of("trial")] == ["a/v1", "a/v2", "g/b/w", "g/c/u", "g/d/t"]
    cameras = {u.key: u.names["camera"] for u in experiment.of("video")}
    assert cameras == {
        "v1 cam1": "1",
        "v1 cam2": "2",
        "v2 cam1": "1",
        "w cam1": "1",
        "u cam1": "1",
        "t cam3": "3",
    }
    video = next(u for u in experiment.of("video") if u.key == "v1 cam2")
    assert video.files["video"] == ("a/videos-raw/v1 cam2.AVI",)
    assert [u.label for u in experiment.of("experiment")[0].related["trial"]] == labels(root, "trial")


def test_one_video_in_several_folders_is_one(tmp_path: Path):
    root = make(tmp_path, "s/videos-raw/v cam1.mp4", "s/predictions/v cam1DLC_net.csv", "s/pose-2d/v cam1.h5")
    (video,) = walk(root).of("video")
    assert video.files == {
        "video": ("s/videos-raw/v cam1.mp4",),
        "prediction": ("s/predictions/v cam1DLC_net.csv",),
    }


def test_formats_of_one_prediction_and_its_crop(tmp_path: Path):
    root = make(
        tmp_path,
        "s/predictions/v cam1DLC_net.csv",
        "s/predictions/v cam1DLC_net.h5",
        "s/predictions/v cam1DLC_net_meta.pickle",
        "s/predictions/v cam1DLC_net_full.pickle",
        "s/predictions/v cam2.analysis.h5",
        "s/predictions/v cam2.predictions.slp",
        "s/predictions/v cam3.csv",
        "s/predictions/v cam3_temporal_norm.csv",
        "s/predictions/v cam3_pca_singleview_error.csv",
        "s/predictions/notes.txt",
    )
    found = {u.key: [Path(p).name for p in u.files["prediction"]] for u in walk(root).of("video")}
    assert found == {
        "v cam1": ["v cam1DLC_net.h5", "v cam1DLC_net_meta.pickle"],
        "v cam2": ["v cam2.analysis.h5"],
        "v cam3": ["v cam3.csv"],
    }


def test_natural_order(tmp_path: Path):
    root = make(tmp_path, *(f"s{n}/videos-raw/v cam{n}.mp4" for n in (10, 9, 1)))
    assert labels(root, "session") == ["s1", "s9", "s10"]
    assert sorted(["cam10", "Cam2", "cam9", "cam٣"], key=natural)[-1] == "cam10"


def test_outputs_hidden_folders_and_summaries_are_no_sessions(tmp_path: Path):
    root = make(
        tmp_path,
        "s/videos-raw/v cam1.mp4",
        "s/pose-3d/videos-raw/x cam1.mp4",
        "s/config/videos-raw/x cam1.mp4",
        "s/.hidden/videos-raw/x cam1.mp4",
        "summaries/videos-raw/x cam1.mp4",
        "calibration/videos-raw/x cam1.mp4",
        "s/videos-raw/.v cam2.mp4",
    )
    assert labels(root, "session") == ["s"]
    assert labels(root, "video") == ["s/v cam1"]


def test_symlinks_are_followed_once_and_loops_do_no_harm(tmp_path: Path):
    root = make(tmp_path / "e", "g/s/videos-raw/v cam1.mp4")
    outside = tmp_path / "outside"
    make(outside, "far/videos-raw/w cam1.mp4")
    (outside / "config.toml").unlink()
    (root / "a-link").symlink_to(root / "g")
    (root / "g/s/loop").symlink_to(root)
    (root / "elsewhere").symlink_to(outside)
    (root / "again").symlink_to(outside)
    found = labels(root, "session")
    assert found == ["g/s", "again/far"] or found == ["g/s", "elsewhere/far"]


def test_nesting(tmp_path: Path):
    files = ("videos-raw/v cam1.mp4", "a/videos-raw/v cam1.mp4", "a/b/videos-raw/v cam1.mp4")
    regex = "[triangulation]\ncam_regex = 'cam([0-9])'\n"
    root = make(tmp_path, *files, config=regex)
    assert labels(root, "session") == [".", "a", "a/b"]
    for nesting, expected in ((0, ["."]), (1, ["a"]), (2, ["a/b"]), (-1, [".", "a", "a/b"])):
        make(root, config=f"nesting = {nesting}\n{regex}")
        assert labels(root, "session") == expected
        passed_over = [text for text in walk(root).notices if "passed over" in text]
        assert len(passed_over) == 3 - len(expected)


def test_names_without_camera_regex_are_trials_of_their_own(tmp_path: Path):
    root = make(tmp_path, "s/videos-raw/one.mp4", "s/videos-raw/two.mp4", config="")
    assert labels(root, "trial") == ["s/one", "s/two"]
    assert {u.names["camera"] for u in walk(root).of("video")} == {""}


def test_a_name_that_is_all_camera(tmp_path: Path):
    root = make(tmp_path, "s/videos-raw/cam1.mp4", "s/videos-raw/cam2.mp4")
    assert labels(root, "trial") == ["s/trial"]


def test_two_files_of_one_video(tmp_path: Path):
    root = make(tmp_path, "s/videos-raw/v cam1.mp4", "s/videos-raw/v cam1.avi", "t/videos-raw/v cam1.mp4")
    experiment = walk(root)
    (problem,) = experiment.problems
    assert problem.where == "s"
    assert "v cam1.avi" in problem.message
    assert "v cam1.mp4" in problem.message
    assert [u.label for u in experiment.of("session")] == ["t"]


def test_nearest_calibration(tmp_path: Path):
    root = make(
        tmp_path,
        "calibration/calibration.toml",
        "g/calibration/board_cam1.mp4",
        "g/s/videos-raw/v cam1.mp4",
        "g/t/videos-raw/v cam1.mp4",
        "g/t/calibration/calibration.toml",
        "h/s/videos-raw/v cam1.mp4",
        "h/calibration/readme.txt",
    )
    nearest = {u.label: [c.label for c in u.related["calibration"]] for u in walk(root).of("session")}
    assert nearest == {"g/s": ["g/calibration"], "g/t": ["g/t/calibration"], "h/s": ["calibration"]}


def test_settings_of_each_level(tmp_path: Path):
    root = make(tmp_path, "g/s/videos-raw/v cam1.mp4", "g/t/videos-raw/v cam1.mp4", "u/videos-raw/v cam1.mp4")
    (root / "g/config.toml").write_text("[triangulation]\nscore_threshold = 0.1\nmin_cams = 3\n")
    (root / "g/t/config.toml").write_text("[triangulation]\nscore_threshold = 0.2\n")
    settings = {u.label: u.settings.config.triangulation for u in walk(root).of("session")}
    assert [settings[name].score_threshold for name in ("g/s", "g/t", "u")] == [0.1, 0.2, 0.8]
    assert [settings[name].min_cams for name in ("g/s", "g/t", "u")] == [3, 3, 2]


def test_the_recordings_may_lie_elsewhere(tmp_path: Path):
    data = make(tmp_path / "data", "s/videos-raw/v cam1.mp4")
    (data / "config.toml").unlink()
    home = make(tmp_path / "home", config="path = '../data'\n[triangulation]\ncam_regex = 'cam([0-9])'\n")
    experiment = walk(home)
    assert experiment.root == data
    assert [u.label for u in experiment.of("session")] == ["s"]


def test_find_experiments(tmp_path: Path):
    one = make(tmp_path / "lab/one", "g/s/videos-raw/v cam1.mp4", "g/t/videos-raw/v cam1.mp4")
    two = make(tmp_path / "lab/two", "s/videos-raw/v cam1.mp4")
    (one / "g/s/config.toml").write_text("[filter]\nenabled = false\n")
    (tmp_path / "lab/config.toml").write_text("[tool.other]\nsetting = 1\n")  # another program's
    assert find_experiments([tmp_path / "lab"]) == {one: [], two: []}
    assert find_experiments([one]) == {one: []}
    assert find_experiments([one / "g/s"]) == {one: [one / "g/s"]}
    assert find_experiments([one / "g/s/videos-raw", one / "g/t"]) == {
        one: [one / "g/s/videos-raw", one / "g/t"]
    }
    assert find_experiments([one / "g/s", one]) == {one: []}
    with pytest.raises(UsageError, match="no such folder"):
        find_experiments([tmp_path / "nowhere"])
    with pytest.raises(UsageError, match="no experiment"):
        (tmp_path / "empty").mkdir()
        find_experiments([tmp_path / "empty"])


def test_a_broken_config_above_is_named_and_not_passed_over(tmp_path: Path):
    root = make(tmp_path / "e", "s/videos-raw/v cam1.mp4", config="[triangulation\n")
    (root / "s/config.toml").write_text("[filter]\nenabled = true\n")
    assert find_experiments([root / "s"]) == {root: [root / "s"]}
    with pytest.raises(ConfigError, match="line 1"):
        walk(root)


def test_part_names_tell_trials_apart():
    labels = ["a/b", "a~b", "a%7Eb", "_a/b", "a/~b", "a~/b", "b"]
    parts = [part_name(label) for label in labels]
    assert len(set(parts)) == len(labels)
    assert not any("/" in part or part[0] in "._" for part in parts)
