"""The example experiment: made again it is the same, and the command line makes of it what is true.

The command line is tried on one trial of each session. All four, videos and previews too, are for a full run:
``anipipe run-all example_experiment``, then ``python example_experiment/check.py``.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest

from anipipe.commands.training_dataset import read_training_dataset
from anipipe.formats.video import Video
from anipipe.networks.loading import load_model
from anipipe.networks.sources import find_model

EXAMPLE = Path(__file__).resolve().parent.parent / "example_experiment"
IGNORED = (EXAMPLE / ".gitignore").read_text(encoding="utf-8").splitlines()
#: What anipipe makes.
RESULTS = [line.strip("/").rsplit("/", 1)[-1] for line in IGNORED if line and not line.startswith("#")]
#: What is run here, for the sake of time: one trial, of the session with a cropped camera.
TRIAL, OTHER_SESSION = "walk1", "session-1"
SESSIONS = ("arena/session-2",)


def own_files() -> list[Path]:
    """Return the files of the example that anipipe did not make, relative to it."""
    files = (path.relative_to(EXAMPLE) for path in EXAMPLE.rglob("*") if path.is_file())
    skipped = {*RESULTS, "__pycache__"}
    return sorted(path for path in files if not skipped & set(path.parts))


def copy_example(folder: Path) -> Path:
    """Copy the example with one trial of one session, without results."""
    for path in own_files():
        if OTHER_SESSION in path.parts or (path.name.startswith("walk") and not path.name.startswith(TRIAL)):
            continue
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(EXAMPLE / path, folder / path)
    return folder


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


@pytest.fixture(scope="module")
def experiment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of the example with poses, angles and tables."""
    folder = copy_example(tmp_path_factory.mktemp("example") / "experiment")
    done = anipipe("run-data", folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture(scope="module")
def programs() -> Iterator[SimpleNamespace]:
    """Return the example's make.py and practice.py as modules, which are forgotten again."""
    before, writing = set(sys.modules), sys.dont_write_bytecode
    sys.path.insert(0, str(EXAMPLE))
    sys.dont_write_bytecode = True
    try:
        names = ("make", "practice")
        yield SimpleNamespace(**{name: import_module(name) for name in names})
    finally:
        sys.path.remove(str(EXAMPLE))
        sys.dont_write_bytecode = writing
        for name in {path.stem for path in EXAMPLE.glob("*.py")} - before:
            sys.modules.pop(name, None)


def difference(one: Any, other: Any) -> float:
    """Return the root mean square difference of pictures in grey levels."""
    assert one.shape == other.shape
    return float(np.sqrt(np.mean((one.astype(float) - other) ** 2)))


def decoded(path: Path, index: int) -> Any:
    """Return a frame of a video, red first."""
    (_, picture), *_ = Video(path).read([index])
    assert picture is not None
    return picture[..., ::-1]


def test_rendered_again_the_pictures_are_the_same(programs: SimpleNamespace) -> None:
    # Compression changes grey levels by about 4; the frames before and after are less alike.
    cropped, index = programs.make.TRIALS[2], 40
    path = EXAMPLE / cropped.session / "videos-raw" / f"{cropped.name}-camB.mp4"
    picture = programs.make.frame(cropped, "B", index)
    before, same, after = (difference(decoded(path, index + step), picture) for step in (-1, 0, 1))
    assert same < min(5.5, before, after)
    board = EXAMPLE / "calibration" / "board-camB.mp4"
    assert difference(decoded(board, 7), programs.make.board_frame("B", 7)) < 8
    picture, points = programs.practice.practice("B", 9)
    labelled = cv2.imread(str(EXAMPLE / "network" / programs.practice.picture_path("B", 9)))
    assert difference(labelled[..., ::-1], picture) < 6
    labels = read_training_dataset(EXAMPLE / "network").labels
    row = labels.pictures.index(programs.practice.picture_path("B", 9).parts[1:])
    np.testing.assert_allclose(labels.points[row], points, atol=0.02)


def test_the_truth_is_made_again(programs: SimpleNamespace, tmp_path: Path) -> None:
    programs.make.write_truth(tmp_path)
    made = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*.csv"))
    assert made == [path for path in own_files() if path.parts[0] == "truth" and path.suffix == ".csv"]
    for path in made:
        one, other = (np.loadtxt(folder / path, delimiter=",", skiprows=1) for folder in (tmp_path, EXAMPLE))
        np.testing.assert_allclose(one, other, atol=0.011)


def test_it_is_small() -> None:
    sizes = {path: (EXAMPLE / path).stat().st_size for path in own_files()}
    assert sum(sizes.values()) < 10_000_000
    assert sum(size for path, size in sizes.items() if path.parts[0] == "network") < 4_500_000


def test_the_network_is_one_that_can_be_trained_on(programs: SimpleNamespace) -> None:
    practice = programs.practice
    data = read_training_dataset(EXAMPLE / "network")
    assert (len(data.train), len(data.test)) == (3 * (practice.SHIPPED - practice.TESTS), 3 * practice.TESTS)
    assert data.labels.joints == practice.JOINTS
    assert load_model(find_model(EXAMPLE / "network")).joints == practice.JOINTS


def test_results_agree_with_the_truth(experiment: Path) -> None:
    done = python(experiment / "check.py", experiment)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "all as expected" in done.stdout
    for session in SESSIONS:
        assert f"{session}/{TRIAL}" in done.stdout


def test_a_second_run_does_nothing(experiment: Path) -> None:
    done = anipipe("run-data", "-j1", experiment)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("0 jobs done, ")


def test_the_check_notices_a_wrong_crop(experiment: Path, tmp_path: Path) -> None:
    folder = tmp_path / "experiment"
    shutil.copytree(experiment, folder)
    (folder / "arena/session-2/config.toml").write_text("[cameras.B]\noffset = [0.0, 0.0]\n")
    assert anipipe("run-data", "-j1", "--only", "arena/session-2", folder).returncode == 0
    done = python(folder / "check.py", folder)
    assert done.returncode == 1
    faults = done.stdout.splitlines()
    assert any(line.startswith("arena/session-2/walk1: 3D median") for line in faults)


def test_the_check_notices_missing_results(tmp_path: Path) -> None:
    folder = copy_example(tmp_path / "experiment")
    done = python(folder / "check.py", folder)
    assert done.returncode == 1
    assert "anipipe run-all" in done.stderr
