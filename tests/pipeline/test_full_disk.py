"""The disk is full at any write of a run: what is there is whole, the user is told, and the next run goes on.

``ANIPIPE_KILLS`` of 20 or more has each write fail, rather than some of all kinds.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from anipipe.engine.lock import Lock
from tests.conftest import Lab
from tests.pipeline.film_lab import files, film_lab, small_rig
from tests.pipeline.full_disk import FillingDisk
from tests.pipeline.looking import left_over, told_of_full_disk, wrong_of

FULL = int(os.environ.get("ANIPIPE_KILLS", "4")) >= 20
PICTURES = "pictures = ['label-2d', 'label-3d']\n"


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Nothing made yet."""
    return film_lab(tmp_path_factory.mktemp("given") / "lab", ["s1"], frames=3, pictures=PICTURES)


@pytest.fixture(scope="module")
def whole(given: Path) -> tuple[Path, int]:
    """Everything made, and how many writes that took."""
    root = Path(shutil.copytree(given, given.with_name("whole")))
    with FillingDisk(root).here() as disk:
        Lab(root, small_rig("AB")).run("run-all")
    return root, disk.count


def chosen(count: int, lasting: bool) -> list[int]:
    """Return the numbers of the writes that fail: of a few, the first ones and some over the whole run."""
    if FULL:
        return list(range(1, count + 1))
    return sorted(
        {1, 2, 4, *np.linspace(6, count, 6).astype(int).tolist()}
        if lasting
        else {3, 5, *np.linspace(30, count - 5, 5).astype(int).tolist()}
    )


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("lasting", [True, False], ids=["from then on", "for a moment"])
def test_any_write_may_be_refused(given: Path, whole: tuple[Path, int], tmp_path: Path, lasting: bool):
    truth, count = whole
    expected, statuses = files(truth), set()
    for number in chosen(count, lasting):
        root = Path(shutil.copytree(given, tmp_path / f"lab{number}"))
        lab = Lab(root, small_rig("AB"))
        with FillingDisk(root, number, lasting=lasting).here() as disk:
            text = lab.run("run-all", check=None)
            status = json.loads(lab.run("status", "--json"))
        about = f"write {number} ({', '.join(disk.refused[:3])} …) of {count}:\n{text}"
        assert disk.refused, about
        wrong = wrong_of(root, truth, status)
        assert not wrong, f"{wrong} at {about}"
        complete = all(job["state"] in ("fresh", "given") for job in status[0]["jobs"])
        statuses.add(complete)
        assert complete or told_of_full_disk(text), about
        assert not left_over(root), about
        lab.run("run-all")
        assert files(root) == expected, about
        assert "0 jobs done" in lab.run("run-all") and not left_over(root), about
        shutil.rmtree(root)
    assert statuses == {True, False} or not lasting, "some writes are needed, and some are not"


def test_half_a_lock_keeps_nobody_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def link(*paths: object) -> None:
        raise OSError(errno.EOPNOTSUPP, "no hard links here")

    monkeypatch.setattr(os, "link", link)
    (tmp_path / ".anipipe").mkdir()
    refused = []
    for number in range(1, 9):
        with FillingDisk(tmp_path, number, lasting=number % 2 == 0).here() as disk:
            try:
                Lock(tmp_path).__enter__().__exit__(None, None, None)
            except OSError as error:
                assert error.errno == errno.ENOSPC
                refused += disk.refused
        assert left_over(tmp_path) == [], number
    assert "write" in refused and f"open {tmp_path / '.anipipe/lock'}" in refused
    with Lock(tmp_path) as lock:
        lock.check()


def may_mount(place: Path) -> bool:
    if shutil.which("unshare") is None:
        return False
    mount = ["unshare", "-rm", "mount", "-t", "tmpfs", "none", str(place)]
    return subprocess.run(mount, capture_output=True).returncode == 0


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("options", [(), *([("-j2",)] if FULL else [])])
def test_real_disks_that_are_too_small(
    given: Path, whole: tuple[Path, int], tmp_path: Path, options: tuple[str, ...]
):
    if not may_mount(tmp_path):
        pytest.skip("this user may not mount anything")
    place = tmp_path / "disk"
    place.mkdir()
    arguments = map(str, (given, whole[0], place, 40 if FULL else 4, *options))
    ended = subprocess.run(
        ["unshare", "-rm", sys.executable, "-m", "tests.pipeline.full_tmpfs", *arguments],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=3000,
    )
    assert ended.returncode == 0, ended.stderr
    found = [json.loads(line) for line in ended.stdout.splitlines()]
    assert [disk for disk in found if disk["wrong"]] == []
    assert {disk["complete"] for disk in found} == {True, False}, "some are too small, some are not"
