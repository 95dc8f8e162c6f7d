"""`anipipe calibration check` on calibrations of real rigs, one of which is known to be wrong."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from anipipe.cli import invoke

DATA = Path(os.environ.get("ANIPIPE_REAL_DATA", Path(__file__).parents[3] / "shared" / "data"))
pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason=f"no real recordings in {DATA}")
MOUSE = ("--poses", DATA / "mouse-4cam/predictions", "--cam-regex", "_(back|mid|side|top)$")


@pytest.fixture
def check(capsys: pytest.CaptureFixture[str]):
    def run(*arguments: object, status: int) -> dict:
        assert invoke(["calibration", "check", "--json", *map(str, arguments)]) == status
        return json.loads(capsys.readouterr().out)[0]

    return run


def test_a_copied_camera_is_seen_without_any_poses(check):
    told = check(DATA / "mouse-4cam/reference/calibration_defective.toml", status=1)
    critical = [alarm for alarm in told["alarms"] if alarm["level"] == "critical"]
    assert [alarm["cameras"] for alarm in critical] == [["side", "top"]]


def test_poses_tell_which_of_the_two_is_the_copy(check, tmp_path: Path):
    shutil.copytree(DATA / "mouse-4cam/predictions", tmp_path / "s1/predictions")
    (tmp_path / "calibration").mkdir()
    shutil.copy(
        DATA / "mouse-4cam/reference/calibration_defective.toml", tmp_path / "calibration/calibration.toml"
    )
    (tmp_path / "config.toml").write_text(
        "[triangulation]\ncam_regex = '_(back|mid|side|top)$'\nscore_threshold = 0.5\n"
    )
    told = check(tmp_path, status=1)
    assert ["side"] in [alarm["cameras"] for alarm in told["alarms"] if alarm["level"] == "critical"]


def test_a_good_calibration_passes(check):
    told = check(DATA / "mouse-4cam/reference/calibration_anipose.toml", *MOUSE, status=0)
    assert {row["name"]: row["pose_error"] < 10 for row in told["cameras"]} == dict.fromkeys(
        ("back", "mid", "side", "top"), True
    )
    # it has k1 only, which these wide lenses outrun
    assert all("leads nowhere" in alarm["text"] for alarm in told["alarms"])


def test_telecentric_lenses_are_doubtful_but_usable(check):
    folder = DATA / "fly-3cam"
    told = check(folder, "--poses", folder / "predictions", "--cam-regex", "_(Cam-[A-C])", status=0)
    assert [alarm["level"] for alarm in told["alarms"]] == ["warning"] * 3
    assert all("narrow" in alarm["text"] for alarm in told["alarms"])
    assert all(row["pose_error"] < 2.5 for row in told["cameras"])
