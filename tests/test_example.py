"""The example experiment: made again it is the same, and the command line makes of it what is true."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).resolve().parent.parent / "example_experiment"
MADE = ("calibration", "truth", "arena")
RESULTS = (
    ".anipipe",
    "__pycache__",
    "config",
    "pose-2d",
    "pose-3d",
    "angles",
    "summaries",
)


def python(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run Python in a process of its own, as a user would; it leaves no byte code in the example."""
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "PYTHONUTF8": "1"},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )


def anipipe(*arguments: object) -> subprocess.CompletedProcess[str]:
    return python("-m", "anipipe.cli", *arguments)


def generated(folder: Path) -> dict[str, bytes]:
    """Return the contents of the files that make.py writes, by their paths."""
    files = [path for part in MADE for path in (folder / part).rglob("*") if path.suffix in (".csv", ".toml")]
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in files
        if path.name != "config.toml" and not set(path.relative_to(folder).parts) & set(RESULTS)
    }


@pytest.fixture(scope="module")
def experiment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of the example, without what was made of it, brought up to date."""
    folder = tmp_path_factory.mktemp("example") / "experiment"
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns(*RESULTS))
    done = anipipe("run-all", folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_made_again_it_has_the_same_bytes(tmp_path):
    done = python(EXAMPLE / "make.py", tmp_path)
    assert done.returncode == 0, done.stderr
    made, committed = generated(tmp_path), generated(EXAMPLE)
    assert sorted(made) == sorted(committed)
    assert [path for path in made if made[path] != committed[path]] == []


def test_it_is_small():
    files = [path for path in EXAMPLE.rglob("*") if path.is_file()]
    own = [path for path in files if not set(path.relative_to(EXAMPLE).parts) & set(RESULTS)]
    assert 0 < sum(path.stat().st_size for path in own) < 900_000


def test_results_agree_with_the_truth(experiment):
    done = python(experiment / "check.py", experiment)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "all as expected" in done.stdout


def test_a_second_run_does_nothing(experiment):
    done = anipipe("run-all", "-j1", experiment)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("0 jobs done, ")


def test_the_check_notices_a_wrong_crop(experiment, tmp_path):
    folder = tmp_path / "experiment"
    shutil.copytree(experiment, folder)
    (folder / "arena/session-2/config.toml").write_text("[cameras.B]\noffset = [0.0, 0.0]\n")
    assert anipipe("run-all", "-j1", "--only", "arena/session-2", folder).returncode == 0
    done = python(folder / "check.py", folder)
    assert done.returncode == 1
    assert "arena/session-2/walk1: mm median" in done.stdout
    assert "arena/session-1" not in done.stdout.rpartition("exact")[2]


def test_the_check_notices_missing_results(tmp_path):
    folder = tmp_path / "experiment"
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns(*RESULTS))
    done = python(folder / "check.py", folder)
    assert done.returncode == 1
    assert "anipipe run-all" in done.stderr
