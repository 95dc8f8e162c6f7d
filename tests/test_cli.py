"""The command line: help, aliases, and the commands that run nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import click
import pytest

from anipipe.cli import cli, invoke
from tests.conftest import Lab, make_lab


def test_every_command_and_option_is_explained():
    for name, command in cli.commands.items():
        assert command.help, name
        for option in command.params:
            assert isinstance(option, click.Argument) or option.help, (name, option.name)


@pytest.mark.parametrize(
    ("alias", "name"),
    [("analyze", "pose-2d"), ("label", "pose-2d"), ("triangulate", "pose-3d"), ("summaries", "summarize")],
)
def test_aliases(alias: str, name: str):
    assert cli.commands[alias].callback is cli.commands[name].callback


def test_usage_errors_have_status_2(capsys: pytest.CaptureFixture[str]):
    assert invoke(["run-al"]) == 2
    assert invoke(["run-all", "--job", "x"]) == 2
    assert invoke(["run-all", "--jobs", "many"]) == 2
    assert "No such command" in capsys.readouterr().err


def test_config_shows_what_a_session_is_processed_with(lab: Lab):
    assert "score_threshold = 0.5" in lab.run("config")
    assert "score_threshold = 0.4" in lab.run("config", "treated/mouse3")
    lines = lab.run("config", "--origin", "treated/mouse3").splitlines()
    assert any(
        line.split() == ["triangulation.score_threshold", "treated/mouse3/config.toml", "0.4"]
        for line in lines
    )
    assert any(line.split()[:2] == ["triangulation.cam_regex", "config.toml"] for line in lines)


def test_status_as_json(lab: Lab):
    (described,) = json.loads(lab.run("status", "--json"))
    assert described["counts"] == {"stale": 3 + 12 + 4 + 4 + 16 + 3 + 4, "given": 1}  # the calibration
    lab.run("run-all")
    (described,) = json.loads(lab.run("status", "--json"))
    assert set(described["counts"]) == {"fresh", "given"}
    one = next(job for job in described["jobs"] if job["stage"] == "pose-3d")
    assert one["outputs"] == ["control/mouse1/pose-3d/t1.csv"]
    make_lab(lab.root.parent / "second")
    assert [Path(d["experiment"]).name for d in json.loads(lab.run("status", "--json", ".."))] == [
        "experiment",
        "second",
    ]


def test_status_of_part_of_an_experiment(lab: Lab):
    text = lab.run("status", "treated")
    assert "treated/mouse3" in text
    assert "control" not in text


def test_quiet_prints_nothing_unless_something_failed(lab: Lab):
    assert lab.run("run-all", "-q") == ""
    (lab.root / "control/mouse1/predictions/t1_ADLC_net_x1.csv").write_text("")
    text = lab.run("run-all", "-q", check=1)
    assert "failed pose-2d control/mouse1/t1_A" in text
    assert "done" not in text.split("failed")[0]


def test_after_a_failure_status_agrees_with_the_run(lab: Lab):
    (lab.root / "control/mouse1/predictions/t1_ADLC_net_x1.csv").write_text("")
    lab.run("run-all", check=1)
    counts = json.loads(lab.run("status", "--json"))[0]["counts"]
    assert counts["failed"] == 1
    assert counts["blocked"] == 6
    assert set(counts) == {"failed", "blocked", "fresh", "given"}  # the calibration is


def test_force_outside_or_of_nothing(lab: Lab):
    assert "no stage writes this" in lab.run("run-all", "--force", "config.toml", check=2)
    assert "outside the experiment" in lab.run("run-all", "--force", "/", check=2)


@pytest.mark.parametrize("command", ["--help", "status"])
def test_looking_loads_no_heavy_library(lab: Lab, command: str):
    code = (
        "import sys, anipipe.cli; status = anipipe.cli.invoke(sys.argv[1:]);"
        "heavy = {'torch', 'aniposelib', 'numba', 'jax', 'pandas', 'tables', 'matplotlib', 'cv2', 'pyarrow'};"
        "print('LOADED', sorted(heavy & set(sys.modules))); sys.exit(status)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, command], cwd=lab.root, capture_output=True, text=True, check=True
    )
    assert "LOADED []" in done.stdout


def test_a_step_that_is_switched_off_says_so(lab: Lab):
    assert "label-3d has nothing to do here" in lab.run("label-3d", "--upstream")
    assert "labeling.pictures" in lab.run("previews")
    assert "nothing to do here" not in lab.run("pose-3d", "--upstream") + lab.run("run-viz")
