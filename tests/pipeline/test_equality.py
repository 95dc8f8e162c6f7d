"""What comes out does not depend on where it is made: here, in other processes, or in a Dask cluster."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from anipipe.engine.records import OWN_FOLDER, Records
from anipipe.formats.poses2d import read_pose_2d
from tests.conftest import Lab
from tests.engine.test_dask import Processes
from tests.formats.videos import opencv
from tests.pipeline.film_lab import add_network_session, files, film_lab, small_rig

NETWORK, WITH_PREVIEWS = "net", "group/s2"


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Processes]:
    (tmp_path / "cluster").mkdir()
    started = Processes(tmp_path / "cluster")
    started.start_worker()
    started.start_worker()
    yield started
    started.close()


def prepare(root: Path, scheduler: Path) -> Path:
    film_lab(root, ["group/s1", WITH_PREVIEWS])
    add_network_session(root, NETWORK)
    with (root / "config.toml").open("a") as config:
        config.write(f"\n[cluster]\naddress = '{scheduler.as_posix()}'\n")
    (root / WITH_PREVIEWS / "config.toml").write_text(
        "labeling.pictures = ['previews']\nfilter.enabled = false\nfilter3d.enabled = false\n"
    )
    return root


def recorded(root: Path) -> dict[tuple[str, str], Any]:
    """What is on record of each job: from what it was made, and what was noted."""
    records = Records(root)
    homes = [path.parent.parent.relative_to(root).as_posix() for path in root.rglob("records.jsonl")]
    found = [
        (home.removeprefix("."), *entry) for home in homes for entry in records.jobs(home.removeprefix("."))
    ]
    assert not any(claims.intents or claims.failure for _, _, claims in found)
    return {(home, job): (claims.done, claims.given, claims.notes) for home, job, claims in found}


def last_report(root: Path) -> dict[str, Any]:
    return json.loads(max((root / OWN_FOLDER / "runs").glob("*.json")).read_text())


def assert_same(path: str, ours: Path, theirs: Path) -> None:
    """As promised: bytes; but poses of networks to 0.01 px, and videos once they are decoded."""
    if (ours / path).read_bytes() == (theirs / path).read_bytes():
        return
    if path.endswith(".mp4"):
        assert np.array_equal(opencv(ours / path), opencv(theirs / path)), path
        return
    assert path.startswith(f"{NETWORK}/pose-2d/"), f"{path} differs"
    one, other = (read_pose_2d(root / path) for root in (ours, theirs))
    assert np.abs(one.points - other.points).max() < 0.01 and np.abs(one.scores - other.scores).max() < 1e-4


def test_one_process_two_and_a_cluster_make_the_same(tmp_path: Path, cluster: Processes):
    here = prepare(tmp_path / "here", cluster.file)
    two, dask = (Path(shutil.copytree(here, tmp_path / name)) for name in ("two", "dask"))
    Lab(here, small_rig("AB")).run("run-all", "-j1")
    Lab(two, small_rig("AB")).run("run-all", "-j2")
    command = [sys.executable, "-m", "anipipe.cli", "run-all", "--executor", "dask"]
    ended = subprocess.run(command, cwd=dask, capture_output=True, text=True, timeout=200)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert not list(tmp_path.rglob(".anipipe-*"))
    with cluster.connect() as client:
        assert all(client.run(lambda: "anipipe.engine.perform" in sys.modules).values()), (
            "each had jobs to do"
        )
    reports = [last_report(root) for root in (here, two, dask)]
    assert [report["executor"] for report in reports] == ["processes", "processes", "dask"]
    assert {"pose-2d", "filter", "pose-3d", "filter-3d", "angles", "previews-3d", "summarize-3d-csv"} <= {
        job["stage"] for job in reports[0]["jobs"] if job["ran"]
    }
    for other in (two, dask):
        assert list(files(other)) == list(files(here))
        for path in files(here):
            assert_same(path, here, other)
        assert recorded(other) == recorded(here)
