"""Previews in an experiment: which there are, and what makes them anew."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from anipipe.formats.calibrations import write_calibration
from anipipe.numerics.cameras import project
from anipipe.stages import REGISTRY
from tests.conftest import Lab, make_rig, motion, write_dlc_csv

CONFIG = """\
[triangulation]
cam_regex = '_([A-Z])$'

[angles]
back = ["nose", "neck", "hip"]
"""
FLAT = "[triangulation]\ntriangulate = false\n[filter]\nenabled = true\nmedfilt = 3\n"
KINDS = ("trajectory", "plot", "likelihood", "hist")


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    """A session of two cameras, in 3D, and one of one camera, filtered."""
    root = tmp_path_factory.mktemp("previews") / "experiment"
    rig = make_rig(("A", "B"))
    truth = motion(6, seed=0)
    for folder, camera in (("deep", rig.cameras[0]), ("deep", rig.cameras[1]), ("flat", rig.cameras[0])):
        write_dlc_csv(root / folder / f"predictions/t_{camera.name}DLC_net.csv", project(truth, camera))
    (root / "config.toml").write_text(CONFIG)
    (root / "flat/config.toml").write_text(FLAT)
    (root / "calibration").mkdir()
    write_calibration(rig, root / "calibration/calibration.toml")
    return Lab(root, rig)


def ran(lab: Lab, command: str) -> dict[str, int]:
    """Run a command; return how many jobs were done of each stage."""
    before = set((lab.root / ".anipipe/runs").glob("*.json"))
    lab.run(command)
    (report,) = set((lab.root / ".anipipe/runs").glob("*.json")) - before
    stages = [entry["job"].split()[0] for entry in json.loads(report.read_text())["jobs"] if entry["ran"]]
    return {stage: stages.count(stage) for stage in stages}


def pictures(lab: Lab, session: str) -> dict[str, bytes]:
    return {path.stem: path.read_bytes() for path in (lab.root / session / "previews").iterdir()}


def test_all_previews_are_made_once_and_again_when_they_would_be_others(lab: Lab):
    lab.run("run-data")
    made = ran(lab, "previews")
    assert made == {"previews-2d": 3, "previews-2d-filter": 1, "previews-3d": 1, "previews-angles": 1}
    deep, flat = pictures(lab, "deep"), pictures(lab, "flat")
    assert set(deep) == {
        "t.pose-3d",
        "t.angles",
        *(f"t_{camera}.{kind}" for camera in "AB" for kind in KINDS),
    }
    assert set(flat) == {f"t_A.{what}{kind}" for what in ("", "filtered-") for kind in KINDS}
    for name, content in (deep | flat).items():
        picture = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
        assert 500 < picture.shape[1] < 1500 and 300 < picture.shape[0] < 1100, name
    assert lab.run("previews").startswith("0 jobs done")

    config = lab.root / "flat/config.toml"
    config.write_text(FLAT + "[labeling]\ntrail_points = 3\ndraw_skeleton = false\n")
    assert lab.run("previews").startswith("0 jobs done")
    config.write_text(FLAT + '[labeling]\ncolormap = "viridis"\n')
    assert ran(lab, "run-data") == {"write-config": 1}
    assert ran(lab, "previews") == {"previews-2d": 1, "previews-2d-filter": 1}
    again = pictures(lab, "flat")
    assert set(again) == set(flat) and all(again[name] != flat[name] for name in again)
    assert pictures(lab, "deep") == deep

    (lab.root / "flat/previews/t_A.hist.png").write_bytes(again["t_A.hist"][:-10])
    assert ran(lab, "previews") == {"previews-2d": 1} and pictures(lab, "flat") == again


def test_a_joint_that_is_not_there_is_named(lab: Lab):
    (lab.root / "flat/config.toml").write_text(FLAT + '[labeling]\ndisplayed_bodyparts = ["nse"]\n')
    text = lab.run("previews", check=None)
    assert "displayed_bodyparts" in text and "nse" in text and "nose" in text


def test_names_never_clash():
    """Whatever videos and trials are called: the last part of a name tells what a picture shows."""
    shown = [
        Path(artifact.pattern)
        for stage in REGISTRY
        if stage.command == "previews"
        for artifact in stage.outputs
    ]
    kinds = [path.name.removesuffix(".png").partition("}.")[2] for path in shown]
    assert len(kinds) == 11 and len(set(kinds)) == 11
    assert not any("." in kind for kind in kinds)


def test_previews_see_nothing_that_they_do_not_show():
    for stage in REGISTRY:
        if stage.command == "previews":
            keys = set(stage.options.introduced()) - {"calibration.units"}
            drawn = {
                "labeling.colormap",
                "labeling.displayed_bodyparts",
                "labeling.scheme",
                "labeling.pcutoff",
            }
            assert keys <= drawn and "labeling.colormap" in keys
            assert ("labeling.pcutoff" in keys) == (stage.per == "video")
