"""`anipipe doctor`: faults made on purpose are found, with their figures; what is well is left in peace."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from types import SimpleNamespace

import click
import numpy as np
import pytest

from anipipe.cli import invoke
from anipipe.commands import resources
from anipipe.commands.doctor import disk, experiment, gpu, installation, machine, recordings
from anipipe.commands.doctor.findings import Finding, isolated
from anipipe.commands.doctor.synchrony import Recording, judge
from anipipe.doctor_views import report_lines, summary_line
from anipipe.engine.freshness import State, Verdict
from anipipe.engine.jobs import Job
from anipipe.engine.lock import Lock
from anipipe.errors import DataError
from anipipe.formats.calibrations import write_calibration
from anipipe.formats.recording_times import Times, read_times
from anipipe.formats.video import Video
from anipipe.numerics.cameras import Rig
from tests.conftest import CONFIG, Lab, make_lab, make_rig
from tests.formats.videos import INTRA, REORDERED, cut, record

SIZE = (640, 480)


@pytest.fixture
def doctor(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    def run(*arguments: object, status: int = 0) -> str:
        assert invoke(["doctor", *map(str, arguments)]) == status
        printed = capsys.readouterr()
        return printed.out + printed.err

    return run


@pytest.fixture
def found(doctor: Callable[..., str]) -> Callable[..., list[Finding]]:
    """The findings of the one experiment that is looked at."""

    def run(*arguments: object, status: int = 0) -> list[Finding]:
        own = json.loads(doctor("--json", *arguments, status=status))[1]
        return [Finding(**each) for each in own["findings"]]

    return run


@pytest.fixture
def _experiment_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """The installation and PyTorch are looked at by tests of their own: that takes seconds."""
    for module in (installation, machine, gpu):
        monkeypatch.setattr(module, "findings", lambda: [])


experiment_only = pytest.mark.usefixtures("_experiment_only")


def of(findings: list[Finding], level: str, subject: str = "") -> list[Finding]:
    return [each for each in findings if each.level == level and subject in each.subject]


def faults(findings: list[Finding]) -> list[Finding]:
    return [each for each in findings if each.level != "ok"]


def only(findings: list[Finding], level: str) -> Finding:
    (one,) = faults(findings)
    assert one.level == level
    return one


# --- the cameras of a trial beside one another -------------------------------------------------------------


def taken(
    camera: str,
    rows: int = 600,
    *,
    rate: float = 30.0,
    lost: tuple[int, ...] = (),
    late: int = 0,
    start: float = 0.0,
    beyond: int = 0,
    stamps: np.ndarray | None = None,
) -> Recording:
    seconds = np.arange(rows) / rate if stamps is None else stamps
    seconds = np.where(np.isin(np.arange(rows), lost), np.nan, seconds)
    times = Times(seconds, stamps is None, start, "index", beyond)
    return Recording(camera, f"t1_{camera}.mp4", SIZE, times, late)


def beside(other: Recording, cameras: str = "AC") -> list[Finding]:
    """What is said of a recording between cameras of 600 frames."""
    return list(judge("t1", [taken(cameras[0]), other, *map(taken, cameras[1:])]))


def test_cameras_that_agree_are_one_line():
    (one,) = beside(taken("B"))
    assert one.level == "ok"
    assert "3 cameras, 600 frames each at 30 per second, without gaps (as their index lists them)" in one.text


def test_lost_frames_are_counted_and_placed():
    findings = beside(taken("B", lost=(96, 97)))
    one = only(findings, "note")
    assert one.text == "camera B: 2 frames lost at 3.2 s, frame 96 (a gap in its time stamps)"
    assert "rows of lost frames empty" in one.remedy
    assert [each.level for each in findings] == ["note", "ok"]  # the trial is usable


def test_many_lost_frames_are_a_warning():
    one = only(beside(taken("B", lost=(30, 31, 32, 90, *range(300, 309)))), "warning")
    assert "13 frames lost (2.2 %) in 3 places, the first at 1.0 s, at most 9 in a row" in one.text


@pytest.mark.parametrize(
    ("rows", "apart", "sign"), [(597, "3", "stopped earlier"), (604, "4", "went on longer")]
)
def test_another_number_of_frames_without_a_gap(rows, apart, sign):
    one = only(beside(taken("B", rows)), "warning")
    assert f"camera B has {rows} frames, the others 600" in one.text
    assert f"tells where {apart} are missing" in one.text
    assert sign in one.remedy and f"cameras.B.frame_offset = {600 - rows};" in one.remedy


def test_two_cameras_name_one_another():
    one = only(list(judge("t1", [taken("A"), taken("B", 590)])), "warning")
    assert "camera B has 590 frames, camera A 600" in one.text


def test_the_odd_one_out_is_named_wherever_it_stands():
    one = only(list(judge("t1", [taken("A", 590), taken("B"), taken("C")])), "warning")
    assert "camera A has 590 frames, the others 600" in one.text


def test_one_frame_more_or_less_is_usual():
    one = only(beside(taken("B", 599)), "note")
    assert "camera B has 599 frames, the others 600" in one.text


def test_a_frame_offset_that_is_set_explains_the_difference():
    assert not faults(beside(taken("B", 588, late=12)))
    one = only(beside(taken("B", 588, late=10)), "warning")
    assert "camera B has 598 frames with frame_offset" in one.text
    assert "cameras.B.frame_offset = 12;" in one.remedy


def test_lost_frames_that_are_found_do_not_count_as_missing():
    findings = faults(beside(taken("B", 598, lost=(100, 101, 102))))
    assert [each.level for each in findings] == ["note", "warning"]
    assert "no other gap in its time stamps tells where 2 are missing" in findings[1].text


def test_another_rate_for_the_same_time_is_critical():
    one = only(beside(taken("B", 500, rate=25.0)), "critical")
    assert "500 frames at 25 per second; the others 600 at 30" in one.text


def test_another_rate_for_the_same_frames_may_be_a_slip_of_the_pen():
    one = only(beside(taken("B", rate=25.0)), "warning")
    assert "noted as 25 per second, the others as 30, for the same number of frames (600)" in one.text


def test_clocks_that_drift_apart():
    slow = taken("B", rate=30 / 1.005)  # half a per cent: 3 frames in 600
    one = only(beside(slow), "warning")
    assert "frame 599 of camera B comes 0.0998 s (3 frames) later than that of the others" in one.text
    assert not faults(beside(taken("B", rate=30 / 1.0005)))  # 0.3 frames
    one = only(beside(taken("B", rate=30 / 0.995)), "warning")
    assert "earlier" in one.text


def test_a_clock_is_compared_between_the_frames_of_one_moment():
    stamps = np.arange(600) / 30
    late = taken("B", 588, late=12, stamps=None)
    jumps = taken("C", stamps=np.where(np.arange(600) < 300, stamps, stamps + 0.1))
    findings = faults(
        list(judge("t1", [taken("A"), late, replace(jumps, times=replace(jumps.times, regular=True))]))
    )
    assert len(findings) == 1 and "frame 300 of camera C comes 0.1 s (3 frames) later" in findings[0].text


def test_irregular_time_stamps():
    stamps = np.cumsum(np.r_[0, np.tile([20.0, 50.0, 30.0], 200)[:599]]) / 1000
    texts = [each.text for each in faults(beside(taken("B", stamps=stamps)))]
    assert "irregular: 20 to 50 ms from one frame to the next, mostly 30" in texts[0]
    alone = list(judge("t1", [taken("B", stamps=stamps)]))
    assert faults(alone)[0].level == "note"  # no other camera to be matched with


@pytest.mark.parametrize(
    ("start", "late", "offset"), [(0.4, 0, 12), (-0.4, 0, -12), (0.1, 0, None), (0.4, 12, None)]
)
def test_time_stamps_that_begin_later(start, late, offset):
    findings = faults(beside(taken("B", 600 - late, start=start, late=late)))
    if offset is None:
        assert not findings
    else:
        assert "0.4 s (12 frames)" in findings[0].text and findings[0].level == "note"
        assert findings[0].remedy.endswith(f"cameras.B.frame_offset = {offset}")


def test_frames_past_the_end_of_the_file():
    one = only(beside(taken("B", beyond=22)), "warning")
    assert "22 of 600 frames lie past the end of t1_B.mp4" in one.text


def test_single_frames_and_single_cameras_do_no_harm():
    assert not faults(list(judge("t1", [taken("A", 1), taken("B", 1)])))
    assert not faults(list(judge("t1", [taken("", 5)])))


# --- what the heads of files tell --------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["mp4", "mov", "avi", "mkv"])
def test_the_times_of_a_file_are_those_of_the_reader(tmp_path, suffix):
    codec = "mpeg4" if suffix == "avi" else "libx264"
    path = record(tmp_path / f"v.{suffix}", 60, codec=codec, options=INTRA, lost=(20, 21, 40))
    times, video = read_times(path), Video(path)
    assert times.rows == video.count()
    assert times.counted == ("reading" if suffix == "mkv" else "index")
    np.testing.assert_allclose(times.seconds, video.timestamps(), atol=1e-6)
    if suffix != "avi":  # whose writer notes no gap
        assert times.gaps() == [(20, 2), (40, 1)] and times.regular and times.rows == 60
    assert times.step == pytest.approx(1 / 30, rel=1e-3)


def test_reordered_frames_are_looked_at_one_by_one_where_there_is_a_gap(tmp_path):
    stamps = [n for n in range(62) if n not in (31, 32)]
    whole = read_times(record(tmp_path / "whole.mp4", 60, options=REORDERED))
    gap = read_times(record(tmp_path / "gap.mp4", 60, options=REORDERED, times=stamps))
    assert (whole.counted, whole.gaps(), whole.rows) == ("index", [], 60)
    assert (gap.counted, gap.gaps(), gap.rows) == ("reading", [(31, 2)], 62)


def test_a_variable_rate_and_a_file_that_was_cut_off(tmp_path):
    uneven = [n * 20 + (n * 7) % 13 for n in range(60)]
    times = read_times(record(tmp_path / "uneven.mp4", 60, clock=Fraction(1, 600), times=uneven))
    assert not times.regular and times.rows == 60
    whole = record(tmp_path / "whole.mp4", 60, container={"movflags": "faststart"}, options=INTRA)
    assert read_times(whole).beyond == 0
    assert 10 < read_times(cut(whole, 0.7)).beyond < 30


# --- experiments -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("films")
    record(folder / "whole.mp4", 40, size=SIZE, options=INTRA)
    record(folder / "lost.mp4", 40, size=SIZE, options=INTRA, lost=(12, 13))
    record(folder / "small.mp4", 40, options=INTRA)
    return folder


@pytest.fixture
def lab(tmp_path: Path, films: Path) -> Lab:
    """An experiment with one session; two cameras of its trial recorded 40 frames, as their poses say."""
    lab = Lab(tmp_path / "experiment", make_rig())
    lab.add_session("mouse1", frames=40)
    (lab.root / "config.toml").write_text(CONFIG)
    (lab.root / "calibration").mkdir()
    write_calibration(lab.rig, lab.root / "calibration/calibration.toml")
    (lab.root / "mouse1/videos-raw").mkdir()
    for camera in "ABC":
        shutil.copy(films / "whole.mp4", raw(lab, camera))
    return lab


def raw(lab: Lab, camera: str) -> Path:
    return lab.root / f"mouse1/videos-raw/t1_{camera}.mp4"


@experiment_only
def test_an_experiment_that_is_well(lab, doctor):
    text = doctor(lab.root)
    assert "all is well" in text and "critical" not in text and "what to do" not in text
    assert "1 session, 1 trial, 3 videos, cameras A, B, C" in text
    assert "mouse1/t1: 3 cameras, 40 frames each at 30 per second, without gaps" in text
    assert "looked at 2D poses of 1 trial" in text


@experiment_only
def test_nothing_is_left_on_disk(lab, doctor):
    def seen() -> dict[str, tuple[int, int]]:
        paths = sorted(lab.root.rglob("*"))
        return {str(p): (p.stat().st_size, p.stat().st_mtime_ns) for p in paths if p.is_file()}

    folders = {path for path in lab.root.rglob("*") if path.is_dir()}
    before = seen()
    doctor(lab.root)
    assert seen() == before
    assert {path for path in lab.root.rglob("*") if path.is_dir()} == folders
    lab.run("pose-2d")  # now there is a folder of its own to try in
    before = seen()
    doctor(lab.root)
    assert seen() == before


@experiment_only
def test_faults_of_recordings_are_found_in_files(lab, films, found):
    shutil.copy(films / "lost.mp4", raw(lab, "B"))
    one = only(of(found(lab.root), "warning", "recordings"), "warning")
    assert one.about == "mouse1/t1"
    assert one.text == "camera B: 2 frames lost (5 %) at 0.4 s, frame 12 (a gap in its time stamps)"


@experiment_only
def test_a_camera_that_has_nothing_of_a_trial(lab, films, found):
    """Of what is not there, nothing else tells: a run makes 3D from the other cameras."""

    def lacking() -> list[tuple[str, str]]:
        warnings = of(found(lab.root), "warning", "recordings")
        return [
            (each.about, each.text) for each in warnings if "unlike" in each.text or "nothing" in each.text
        ]

    def rename(old: str, new: str) -> None:
        for file in list((lab.root / "mouse1").glob(f"*/{old}*")):
            file.rename(file.with_name(file.name.replace(old, new)))

    assert not lacking()
    for name in ("t2", "t3"):
        for file in list((lab.root / "mouse1").glob("*/t1_*")):
            shutil.copy(file, file.with_name(file.name.replace("t1", name)))
    assert not lacking()
    rename("t2_B", "t2x_B")  # a slip when it was named
    assert set(lacking()) == {
        ("mouse1/t2", "nothing of camera B, unlike other trials of the session"),
        ("mouse1/t2x", "nothing of cameras A and C, unlike other trials of the session"),
    }
    rename("t2x_B", "t2_B")
    for file in list((lab.root / "mouse1").glob("*/t[13]_C*")):
        file.unlink()
    assert lacking() == [("mouse1/t2", "there is camera C, unlike in most trials of the session")]
    shutil.copytree(lab.root / "mouse1", lab.root / "mouse2")
    for file in list((lab.root / "mouse1").glob("*/t2_C*")):
        file.unlink()
    assert ("mouse1", "nothing of camera C, unlike other sessions") in lacking()
    shutil.rmtree(lab.root / "mouse2")
    assert lacking() == [("calibration", "nothing of camera C in any session, though calibrated")]


@experiment_only
def test_a_size_that_is_not_the_calibrations(lab, films, found):
    shutil.copy(films / "small.mp4", raw(lab, "C"))
    one = only(of(found(lab.root, status=1), "critical", "recordings"), "critical")
    assert "camera C recorded 128 x 64 px but was calibrated with 640 x 480 px" in one.text
    (lab.root / "mouse1/config.toml").write_text("[cameras.C]\noffset = [512, 416]\n")
    assert not of(found(lab.root, status=1), "critical", "recordings")  # 3D from it is another matter
    (lab.root / "mouse1/config.toml").write_text("[cameras.C]\noffset = [513, 416]\n")
    assert "reaches beyond" in only(of(found(lab.root, status=1), "critical", "recordings"), "critical").text


@experiment_only
def test_a_frame_offset_of_the_settings_counts(lab, found):
    (lab.root / "mouse1/config.toml").write_text("[cameras.C]\nframe_offset = 5\n")
    one = only(of(found(lab.root), "warning", "recordings"), "warning")
    assert "camera C has 45 frames with frame_offset, the others 40" in one.text


@experiment_only
def test_a_broken_video(lab, films, found):
    cut(raw(lab, "A"), 0.6).replace(raw(lab, "A"))
    new = of(found(lab.root), "warning", "recordings")
    assert "is it still being recorded or copied?" in new[0].text
    then = time.time() - 2 * recordings.GROWING
    os.utime(raw(lab, "A"), (then, then))
    old = of(found(lab.root, status=1), "critical", "recordings")
    assert "t1_A.mp4" in old[0].text and "without a readable index" in old[0].text
    assert str(lab.root) not in old[0].text
    assert any("2 cameras" in each.text for each in of(found(lab.root, status=1), "ok", "recordings"))


@experiment_only
def test_board_recordings_are_compared_too(lab, films, found):
    for camera, film in zip("AB", ("whole", "lost"), strict=True):
        shutil.copy(films / f"{film}.mp4", lab.root / f"calibration/board_{camera}.mp4")
    one = of(found(lab.root), "warning", "recordings")[0]
    assert one.about == "board in calibration" and "camera B: 2 frames lost" in one.text


@experiment_only
def test_a_bad_calibration_is_critical(lab, found):
    cameras = lab.rig.cameras
    write_calibration(
        Rig((*cameras[:2], replace(cameras[0], name="C")), {}), lab.root / "calibration/calibration.toml"
    )
    texts = [each.text for each in of(found(lab.root, "--quick", status=1), "critical", "calibration")]
    assert any("one is a copy of the other" in text for text in texts)


@experiment_only
def test_a_calibration_that_cannot_be_read_ends_no_other_check(lab, found):
    (lab.root / "calibration/calibration.toml").write_text("[cam_0\n")
    findings = found(lab.root, status=1)
    assert of(findings, "critical", "calibration")
    assert of(findings, "ok", "recordings") and of(findings, "ok", "disk")


@experiment_only
def test_no_calibration(lab, found):
    shutil.rmtree(lab.root / "calibration")
    one = only(of(found(lab.root, "--quick", status=1), "critical"), "critical")
    assert "pose-3d mouse1/t1" in one.about and "calibration" in one.text


@experiment_only
def test_an_unknown_key_is_told_and_the_disk_looked_at(lab, doctor):
    (lab.root / "config.toml").write_text("[triangulation]\nscore_treshold = 1\n")
    text = doctor(lab.root, status=2)
    assert "score_treshold" in text and "score_threshold" in text
    assert "writing: works" in text and "1 critical" in text


@experiment_only
def test_other_experiments_are_looked_at_beside_one_that_cannot_be_opened(lab, doctor, tmp_path):
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "config.toml").write_text("modell_folder = 3\n")
    reports = json.loads(doctor("--json", tmp_path, status=2))
    assert [(each["experiment"] or "").rpartition("/")[2] for each in reports] == ["", "broken", "experiment"]
    assert [each["status"] for each in reports] == [0, 2, 0]


@experiment_only
def test_an_unknown_joint(lab, found):
    lab.run("pose-2d")
    (lab.root / "config.toml").write_text(CONFIG.replace('"nose", "neck"', '"nose", "nek"'))
    one = only(of(found(lab.root, "--quick", status=1), "critical"), "critical")
    assert "there is no joint 'nek', did you mean 'neck'?" in one.text and one.about == "angles mouse1/t1"


@experiment_only
def test_only_the_sessions_that_are_named(lab, films, found):
    lab.add_session("mouse2", frames=40)
    (lab.root / "mouse2/videos-raw").mkdir()
    shutil.copy(films / "whole.mp4", lab.root / "mouse2/videos-raw/t1_A.mp4")
    abouts = {each.about for each in found(lab.root / "mouse2") if each.subject == "recordings"}
    assert abouts == {"mouse2/t1"}


@experiment_only
def test_many_trials_are_few_lines(tmp_path, doctor):
    lab = make_lab(tmp_path / "experiment")
    record(tmp_path / "film.mp4", 6, size=SIZE, options=INTRA)
    for session in ("control/mouse1", "control/mouse2", "treated/mouse3"):
        (lab.root / session / "videos-raw").mkdir()
        for trial in ("t1", "t2") if session.endswith("1") else ("t1",):
            for camera in "ABC":
                shutil.copy(tmp_path / "film.mp4", lab.root / session / f"videos-raw/{trial}_{camera}.mp4")
    lines = [line for line in doctor(lab.root).splitlines() if "6 frames each" in line]
    assert len(lines) == 1 and "control/mouse2/t1 and 1 more: 3 cameras" in lines[0]


@experiment_only
def test_a_network_whose_file_was_cut_off(tmp_path):
    whole = tmp_path / "snapshot.pt"
    shutil.make_archive(str(tmp_path / "packed"), "zip", Path(__file__).parent, "__init__.py")
    whole.write_bytes((tmp_path / "packed.zip").read_bytes())
    assert [f.level for f in experiment._network(tmp_path, "m", "deeplabcut", ["snapshot.pt"])] == ["ok"]
    whole.write_bytes(whole.read_bytes()[:-10])
    (one,) = experiment._network(tmp_path, "m", "deeplabcut", ["snapshot.pt"])
    assert one.level == "critical" and "cut off" in one.text
    whole.write_bytes(b"")
    assert next(iter(experiment._network(tmp_path, "m", "deeplabcut", ["snapshot.pt"]))).level == "critical"


# --- disks -------------------------------------------------------------------------------------------------


@experiment_only
def test_a_folder_of_results_without_the_right_to_write(lab, found, monkeypatch):
    real = os.access
    (lab.root / "mouse1/pose-3d").mkdir()
    monkeypatch.setattr(os, "access", lambda path, mode: "pose-3d" not in str(path) and real(path, mode))
    one = only(of(found(lab.root, "--quick", status=1), "critical"), "critical")
    assert one.text == "no right to write in mouse1/pose-3d" and "chmod" in one.remedy


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="nothing is forbidden to root")
@experiment_only
def test_a_session_that_cannot_be_written(lab, found):
    (lab.root / "mouse1").chmod(0o555)
    try:
        texts = [each.text for each in of(found(lab.root, "--quick", status=1), "critical", "disk")]
    finally:
        (lab.root / "mouse1").chmod(0o755)
    assert any("nothing can be written in mouse1: Permission denied" in text for text in texts)


@experiment_only
def test_on_a_full_disk_the_remedy_is_room(lab, found, monkeypatch):
    def refuse(path: Path, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(Path, "write_bytes", refuse)
    (one,) = [each for each in of(found(lab.root, "--quick", status=1), "critical") if "written" in each.text]
    assert one.text.endswith("No space left on device") and one.remedy.startswith("make room")


@experiment_only
def test_a_conflict_is_one_warning_with_its_remedy(lab, found):
    lab.run("pose-2d")
    lab.run("pose-3d")
    pose = lab.root / "mouse1/pose-3d/t1.csv"
    pose.write_text(pose.read_text() + "\n")
    config = lab.root / "config.toml"
    config.write_text(config.read_text().replace("score_threshold = 0.5", "score_threshold = 0.4"))
    (one,) = of(found(lab.root, "--quick"), "warning", "experiment")
    assert one.about == "pose-3d mouse1/t1"
    assert "was changed since anipipe made it" in one.text and "score_threshold: 0.5 -> 0.4" in one.text
    assert one.remedy.startswith("to make it again") and "--force mouse1/pose-3d/t1.csv" in one.remedy


def test_what_many_jobs_failed_with_is_told_once():
    stage = SimpleNamespace(name="angles", fan_in=False)
    jobs = [
        Job(
            stage,
            SimpleNamespace(label=f"s/{name}"),
            "s",
            name,
            None,
            {},
            {},
            [],
            {f"s/angles/{name}.csv": None},
        )
        for name in ("one", "two", "three")
    ]
    said = {job: Verdict(State.FAILED, (f"/lab/s/angles/{job.key}.csv: the disk is full",)) for job in jobs}
    plan = SimpleNamespace(
        jobs=jobs,
        state=lambda job: State.FAILED,
        verdicts={job: SimpleNamespace(verdict=verdict) for job, verdict in said.items()},
    )
    (one,) = experiment._kept_back(SimpleNamespace(plan=plan))
    assert one.about == "angles s/one and 2 more" and one.text == "/lab/s/angles/one.csv: the disk is full"


@experiment_only
def test_writing_is_really_tried(lab, found, monkeypatch):
    real = Path.write_bytes

    def refuse(path: Path, data: bytes) -> int:
        if path.parent.name == "mouse1":
            raise PermissionError(13, "Permission denied", str(path))
        return real(path, data)

    monkeypatch.setattr(Path, "write_bytes", refuse)
    monkeypatch.setattr(os, "access", lambda path, mode: "mouse1" not in Path(path).parts)  # told once
    one = only(of(found(lab.root, "--quick", status=1), "critical"), "critical")
    assert one.text == "nothing can be written in mouse1: Permission denied"


@pytest.mark.parametrize(
    ("free", "level", "status"), [(2**40, "ok", 0), (2 * 2**30, "warning", 0), (2**20, "critical", 1)]
)
@experiment_only
def test_room_on_the_disk(lab, found, monkeypatch, free, level, status):
    (lab.root / "config.toml").write_text(
        CONFIG.replace("labeling.pictures = []", 'labeling.pictures = ["label-2d"]')
    )
    monkeypatch.setattr(disk, "_size", lambda path: 2**30)  # of each of the three videos
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(total=2**41, used=0, free=free))
    (one,) = [each for each in found(lab.root, "--quick", status=status) if each.about == "free"]
    assert one.level == level and "videos still to be made take about 3.0 GB" in one.text


@pytest.mark.parametrize(("hours", "word"), [(1, "ahead of"), (-1, "behind")])
def test_a_clock_that_is_off(tmp_path, monkeypatch, hours, word):
    monkeypatch.setattr(disk, "_probe", lambda folder: time.time() + 3600 * hours)
    (one,) = [each for each in disk._clock_and_lock(tmp_path) if each.about == "clock"]
    assert one.level == "warning" and f"3600.0 s {word} this machine's" in one.text


def test_locks(tmp_path):
    def told() -> Finding:
        (one,) = [each for each in disk._clock_and_lock(tmp_path) if each.about == "lock"]
        return one

    assert told().level == "ok"
    with Lock(tmp_path) as lock:
        assert told().level == "note" and f"process {os.getpid()} on {socket.gethostname()}" in told().text
        holder = json.loads(lock.path.read_text())
    lock.path.write_text(json.dumps({**holder, "pid": 2**22 + 1}))
    assert told().level == "note" and "runs no more" in told().text
    lock.path.write_text(json.dumps({**holder, "host": "elsewhere"}))
    assert "is processing" in told().text
    then = time.time() - 1200
    os.utime(lock.path, (then, then))
    assert told().level == "warning" and "without a sign of life for 20 minutes" in told().text
    os.utime(lock.path, (then - 3600, then - 3600))
    assert "the next run removes it" in told().remedy
    assert lock.path.exists()


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such pipes")
def test_a_pipe_in_place_of_the_lock_is_told_and_not_waited_for(tmp_path):
    (tmp_path / ".anipipe").mkdir()
    os.mkfifo(tmp_path / ".anipipe/lock")
    (one,) = [each for each in disk._clock_and_lock(tmp_path) if each.about == "lock"]
    assert one.level == "critical" and "a pipe, not a file" in one.text and "delete it" in one.remedy


@pytest.mark.parametrize("content", ["[" * 60_000, "{", "[]", "\udcff", '{"pid": []}'])
def test_a_lock_that_says_nothing_is_left_behind(tmp_path, content):
    (tmp_path / ".anipipe").mkdir()
    lock = tmp_path / ".anipipe/lock"
    lock.write_bytes(content.encode("utf-8", "surrogateescape"))
    os.utime(lock, (time.time() - 7200,) * 2)
    (one,) = [each for each in disk._clock_and_lock(tmp_path) if each.about == "lock"]
    assert one.level == "note" and "left behind by process" in one.text


def test_mounts():
    table = (
        "/dev/sda1 / ext4 rw 0 0\nnas:/lab /data/my\\040lab nfs4 rw 0 0\n//box/share /data/my cifs rw 0 0\n"
    )
    assert disk.mount_of(Path("/data/my lab/x"), table) == disk.Mount(
        "nas:/lab", Path("/data/my lab"), "nfs4"
    )
    assert disk.mount_of(Path("/data/my/x"), table).kind == "cifs"
    assert disk.mount_of(Path("/data/mylab"), table).kind == "ext4"
    assert disk.mount_of(Path("/"), "") is None


@pytest.mark.parametrize(
    ("kind", "words"), [("nfs4", "network share"), ("vfat", "no file above 4 GB"), ("ext4", "")]
)
def test_kinds_of_disks(tmp_path, monkeypatch, kind, words):
    monkeypatch.setattr(disk, "mount_of", lambda path, table: disk.Mount("nas:/lab", Path("/"), kind))
    (one,) = [each for each in disk._kind(tmp_path) if each.about == "kind"]
    assert one.level == ("note" if words else "ok") and words in one.text


# --- installation and machine ------------------------------------------------------------------------------


def test_this_installation_is_sound():
    findings = list(installation.findings())
    assert not faults(findings), findings
    assert [each.about for each in findings] == ["Python", "packages", "optional", "OpenCV", "video", "HDF5"]


def versions(monkeypatch: pytest.MonkeyPatch, **known: str | None) -> None:
    """Have some distributions be of other versions, or not there."""
    real = installation.importlib.metadata.version
    others = {name.replace("_", "-"): version for name, version in known.items()}

    def version(name: str) -> str:
        if name not in others:
            return real(name)
        if others[name] is None:
            raise PackageNotFoundError(name)
        return others[name]

    monkeypatch.setattr(installation.importlib.metadata, "version", version)


def test_packages_that_are_lacking_or_too_old(monkeypatch):
    versions(monkeypatch, scipy=None, h5py="3.9.1")
    told = {each.about: each for each in installation._packages()}
    assert told["scipy"].level == "critical" and "not installed" in told["scipy"].text
    assert "is 3.9.1, and anipipe needs >=3.10" in told["h5py"].text
    assert told["h5py"].remedy == 'python -m pip install "h5py>=3.10"'
    assert re.match(r"(\d+) of (\d+)", told["packages"].text)
    good, asked = map(int, re.findall(r"\d+", told["packages"].text))
    assert good == asked - 2


def test_extras_that_are_not_there(monkeypatch):
    versions(monkeypatch, sleap_io=None)
    (one,) = installation._extras()
    assert one.level == "ok" and 'pip install "anipipe[sleap]"' in one.text


def test_opencv_without_a_display_serves_as_well(monkeypatch):
    versions(monkeypatch, opencv_contrib_python=None, opencv_contrib_python_headless="4.10.0")
    assert not faults(list(installation._packages()))
    assert not faults(list(installation._opencv()))


def test_two_opencvs_over_each_other(monkeypatch):
    versions(monkeypatch, opencv_contrib_python="4.10.0", opencv_python="4.9.0")
    one = only(list(installation._opencv()), "warning")
    assert "opencv-contrib-python 4.10.0 and opencv-python 4.9.0" in one.text
    assert "uninstall -y opencv-contrib-python opencv-python" in one.remedy


def test_opencv_without_contrib(monkeypatch):
    import cv2

    monkeypatch.delattr(cv2, "aruco")
    one = only(list(installation._opencv()), "critical")
    assert "without the module for calibration boards" in one.text


def test_codecs_that_are_lacking(monkeypatch):
    real = installation._has
    monkeypatch.setattr(installation, "_has", lambda codec, mode: codec != "hevc" and real(codec, mode))
    assert "cannot read hevc" in only(list(installation._video()), "warning").text
    monkeypatch.setattr(installation, "_has", lambda codec, mode: mode == "r")
    assert "cannot write H.264" in only(list(installation._video()), "critical").text
    assert not real("no such codec", "r")


def test_this_machine_can_be_described():
    findings = list(machine.findings())
    assert {"processors", "memory", "temporary files"} <= {each.about for each in findings}
    assert not of(findings, "critical")


def test_little_memory_and_few_processors(monkeypatch):
    monkeypatch.setattr(machine, "usable_processors", lambda: 8)
    monkeypatch.setattr(machine, "usable_memory", lambda: (16 * machine.GIB, 5 * machine.GIB))
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    (one,) = machine._processors()
    assert one.level == "note" and "8 of the machine's 64" in one.text
    (one,) = machine._memory()
    assert one.level == "note" and "16 GB, 5 GB of it free" in one.text and "-j 3" in one.remedy


def test_where_limits_of_memory_are_noted():
    limits = resources.memory_limits("0::/slurm/job_7\n")
    top = Path("/sys/fs/cgroup")
    assert limits == [top / f"{group}memory.max" for group in ("slurm/job_7/", "slurm/", "")]
    old = resources.memory_limits("9:cpu,cpuacct:/a\n4:memory:/docker\n")
    assert old == [top / f"memory/{group}memory.limit_in_bytes" for group in ("docker/", "")]
    assert resources.memory_limits("") == []


def test_the_memory_that_may_be_used_is_the_least_of_all_limits(monkeypatch):
    texts = {"/sys/fs/cgroup/job/memory.max": "2147483648\n", "/sys/fs/cgroup/memory.max": "max\n"}
    texts |= {"/proc/self/cgroup": "0::/job\n", "/proc/meminfo": "MemFree: 1 kB\nMemAvailable:  1048576 kB\n"}
    monkeypatch.setattr(resources, "_text", lambda path: texts.get(path.as_posix(), ""))
    assert resources.usable_memory() == (2 * resources.GIB, resources.GIB)
    texts["/sys/fs/cgroup/job/memory.current"] = f"{int(1.75 * resources.GIB)}\n"
    texts["/sys/fs/cgroup/job/memory.stat"] = f"file 1\ninactive_file {resources.GIB // 4}\nslab 3\n"
    assert resources.usable_memory() == (2 * resources.GIB, resources.GIB // 2)


def test_a_folder_for_temporary_files_that_is_full(monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=2**20))
    assert only(list(machine._temporary()), "warning").remedy.endswith("TMPDIR")
    monkeypatch.setattr(
        machine.tempfile, "gettempdir", lambda: (_ for _ in ()).throw(OSError("none is usable"))
    )
    assert only(list(machine._temporary()), "critical").text == "cannot be written: none is usable"


CARD = gpu.Card("NVIDIA T4", 16 * 1024 * gpu.MIB, 15 * 1024 * gpu.MIB, (7, 5))
SEEN = gpu.Seen("570.1", ("NVIDIA T4",), torch="2.9.0", cuda="12.8", cards=(CARD,))


@pytest.mark.parametrize(
    ("seen", "level", "words", "remedy"),
    [
        (SEEN, "ok", "16 GB, 15 GB of it free, capability 7.5; computes rightly", ""),
        (replace(SEEN, names=(), cards=(), driver=""), "ok", "networks run on the processor", ""),
        (replace(SEEN, names=(), cards=(), driver="", apple=True), "ok", 'network.device = "mps"', ""),
        (replace(SEEN, cards=(), cuda=None), "warning", "built without CUDA", "pytorch.org"),
        (replace(SEEN, cards=(), hidden=""), "warning", "CUDA_VISIBLE_DEVICES = ''", "unset"),
        (
            replace(SEEN, cards=(), reason="too old"),
            "warning",
            "cannot use it (too old)",
            "update the driver",
        ),
        (replace(SEEN, names=("T4", "K80")), "warning", "has 2 GPUs, PyTorch finds 1", "too old for"),
        (replace(SEEN, cards=(replace(CARD, free=2**20),)), "warning", "hardly any memory", "nvidia-smi"),
        (
            replace(SEEN, cards=(replace(CARD, fault="no kernel"),)),
            "critical",
            "not compute: no kernel",
            "built",
        ),
        (
            replace(SEEN, names=(), cards=(), complaint="mismatch"),
            "warning",
            "not answer: mismatch",
            "restart",
        ),
    ],
)
def test_gpus(seen, level, words, remedy):
    first = next(iter(gpu.judge(seen)))
    assert (first.level, words in first.text, remedy in first.remedy) == (level, True, True), first
    assert bool(first.remedy) == (level != "ok")


def test_the_driver_is_asked(monkeypatch, tmp_path):
    answer = SimpleNamespace(returncode=0, stdout="570.1, NVIDIA T4\n570.1, Tesla, big\n", stderr="")
    monkeypatch.setattr(shutil, "which", lambda name: "/usr/bin/nvidia-smi")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: answer)
    assert resources.nvidia_driver() == ("570.1", ("NVIDIA T4",), "")
    answer.returncode, answer.stdout = 9, "NVIDIA-SMI has failed because\nmore\n"
    assert resources.nvidia_driver() == ("", (), "NVIDIA-SMI has failed because")
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert resources.nvidia_driver() == ("", (), "")


def test_the_sum_on_a_device_is_checked(monkeypatch):
    import torch

    assert gpu._fault(torch.device("cpu")) == ""
    real = torch.Tensor.__matmul__
    monkeypatch.setattr(torch.Tensor, "__matmul__", lambda one, two: real(one, two) + one.is_floating_point())
    assert "comes out wrong" in gpu._fault(torch.device("cpu"))


# --- the whole ---------------------------------------------------------------------------------------------


def test_a_check_that_fails_is_a_finding_after_those_it_made():
    def check(error: Exception):
        yield Finding("ok", "disk", "first", "fine")
        raise error

    first, second = isolated("disk", "second", lambda: check(ZeroDivisionError("by nought")))
    assert first.about == "first"
    assert second.level == "warning" and "ZeroDivisionError: by nought" in second.text and second.remedy
    assert list(isolated("disk", "x", lambda: check(DataError("bad file"))))[1].level == "critical"
    assert "could not be looked at" in list(isolated("disk", "x", lambda: check(OSError("no"))))[1].text


@experiment_only
def test_a_check_that_fails_ends_no_other(lab, found, monkeypatch):
    def fails(*_: object, **__: object) -> None:
        raise ZeroDivisionError("by nought")

    monkeypatch.setattr(disk, "_room", fails)
    monkeypatch.setattr(experiment, "check", fails)
    monkeypatch.setattr(recordings, "_look", fails)
    findings = found(lab.root)
    broken = [each for each in findings if "this check failed itself: ZeroDivisionError" in each.text]
    assert [each.subject for each in broken] == ["calibration", "disk", "recordings"]
    assert {"writing", "clock", "lock", "kind"} <= {each.about for each in findings}


def test_outside_of_an_experiment(tmp_path, doctor, monkeypatch):
    for module in (machine, gpu):
        monkeypatch.setattr(module, "findings", lambda: [])
    with contextlib.chdir(tmp_path):
        monkeypatch.setenv("PWD", str(tmp_path))
        text = doctor("--quick")
    assert "OpenCV" in text and "all is well; left out: the GPU (--quick)" in text
    assert "recordings" not in text
    assert "no experiment" in doctor(tmp_path, status=2)


@experiment_only
def test_quick_leaves_the_recordings_out(lab, films, doctor):
    shutil.copy(films / "small.mp4", raw(lab, "C"))
    text = doctor("--quick", lab.root)
    assert "128 x 64" not in text and "left out: the GPU, the recordings (--quick)" in text


def test_looking_for_help_loads_nothing_heavy_and_quick_no_pytorch(lab):
    program = (
        "import sys; from anipipe.cli import invoke; "
        f"status = invoke(['doctor', '--quick', {str(lab.root)!r}]); print(status, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "0 False"


def test_what_is_worst_comes_first_and_remedies_once():
    from anipipe.commands.doctor import Report

    findings = [
        Finding("ok", "disk", "kind", "fine"),
        Finding("note", "recordings", "t1", "a little", "little"),
        *(Finding("warning", "recordings", f"t{n}", f"text {n}", "one remedy") for n in range(30)),
        Finding("critical", "calibration", "", "bad", "again"),
        *(Finding("ok", "recordings", f"u{n}", "alike") for n in range(9)),
    ]
    report = Report(None, findings)
    lines = [click.unstyle(line) for line in report_lines(report)]
    assert [line for line in lines if not line.startswith(" ")] == ["calibration", "recordings", "disk"]
    text = "\n".join(lines)
    assert text.count("one remedy") == 1 and "and 10 more like these" in text
    assert "u0, u1, u2 and 6 more: alike" in text
    assert summary_line([report]) == "1 critical, 30 warnings, 1 note, 10 well"
    assert report.exit_status == 1
