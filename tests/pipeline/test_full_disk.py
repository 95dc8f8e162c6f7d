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

import pytest

from anipipe.engine.lock import Lock
from tests.conftest import Lab
from tests.pipeline.film_lab import files, film_lab, small_rig
from tests.pipeline.full_disk import FillingDisk
from tests.pipeline.looking import is_complete, left_over, told_of_full_disk, wrong_of

FULL = int(os.environ.get("ANIPIPE_KILLS", "4")) >= 20
PICTURES = "pictures = ['label-2d', 'label-3d']\n"


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Nothing made yet."""
    return film_lab(tmp_path_factory.mktemp("given") / "lab", ["s1"], frames=3, pictures=PICTURES)


@pytest.fixture(scope="module")
def whole(given: Path) -> tuple[Path, list[str]]:
    """Everything made, and the writes that took."""
    root = Path(shutil.copytree(given, given.with_name("whole")))
    with FillingDisk(root).here() as disk:
        Lab(root, small_rig("AB")).run("run-all")
    return root, disk.seen


def chosen(writes: list[str], lasting: bool) -> list[int]:
    """Return the numbers of writes that fail: half of their kinds each way, those of records both ways."""
    if FULL:
        return list(range(1, len(writes) + 1))
    kinds: dict[str, list[int]] = {}
    for number, write in enumerate(writes, start=1):
        what, _, path = write.partition(" ")
        own = ".anipipe" in Path(path).parts and Path(path).parent.name != "runs"
        kinds.setdefault(f"{what} {Path(path).name if own else Path(path).suffix}", []).append(number)
    middles = {kind: numbers[len(numbers) // 2] for kind, numbers in kinds.items()}
    return sorted({*list(middles.values())[lasting::2], middles["write records.jsonl"]})


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("lasting", [True, False], ids=["from then on", "for a moment"])
def test_any_write_may_be_refused(given: Path, whole: tuple[Path, list[str]], tmp_path: Path, lasting: bool):
    truth, writes = whole
    expected, statuses = files(truth), set()
    for number in chosen(writes, lasting):
        root = Path(shutil.copytree(given, tmp_path / f"lab{number}"))
        lab = Lab(root, small_rig("AB"))
        with FillingDisk(root, number, lasting=lasting).here() as disk:
            text = lab.run("run-all", check=None)
            status = json.loads(lab.run("status", "--json"))
        about = f"write {number} ({', '.join(disk.refused[:3])} …) of {len(writes)}:\n{text}"
        assert disk.refused, about
        wrong = wrong_of(root, truth, status)
        assert not wrong, f"{wrong} at {about}"
        complete = is_complete(status)
        statuses.add(complete)
        assert complete or told_of_full_disk(text), about
        assert not left_over(root), about
        lab.run("run-all")
        assert files(root) == expected, about
        assert "0 jobs done" in lab.run("run-all") and not left_over(root), about
        assert is_complete(json.loads(lab.run("status", "--json"))), about
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
    assert {f"{what} {tmp_path / '.anipipe/lock'}" for what in ("open", "write")} <= set(refused)
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
    given: Path, whole: tuple[Path, list[str]], tmp_path: Path, options: tuple[str, ...]
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
