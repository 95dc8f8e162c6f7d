"""Runs on real disks that are too small: ``unshare -rm python -m tests.pipeline.full_tmpfs`` may mount them.

Prints a line of JSON for each disk: its size, and what was wrong there.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.conftest import Lab
from tests.pipeline.film_lab import files, small_rig
from tests.pipeline.looking import is_complete, left_over, told_of_full_disk, wrong_of

PLENTY = "size=64m"
PAGE = 4096


def main(given: Path, truth: Path, place: Path, steps: int, *options: str) -> None:
    """Try disks whose room is between what is given and what a run needs, ``steps`` of either kind."""
    mount(place, PLENTY)
    root = Path(shutil.copytree(given, place / "lab"))
    before = room_taken(place)
    Lab(root, small_rig("AB")).run("run-all", *options)
    after = room_taken(place)
    unmount(place)
    for size in sizes(before[0], after[0] + 64 * 1024, steps):  # a job's files are there twice for a moment
        tell(given, truth, place, f"size={-(-size // PAGE) * PAGE}", options)
    for count in sizes(before[1], after[1] + 4, steps):
        tell(given, truth, place, f"size=64m,nr_inodes={count}", options)


def sizes(least: int, most: int, steps: int) -> list[int]:
    return sorted({least + (most - least) * step // steps for step in range(1, steps + 1)})


def tell(given: Path, truth: Path, place: Path, disk: str, options: tuple[str, ...]) -> None:
    mount(place, disk)
    try:
        complete, wrong = attempt(given, truth, place, options)
        sys.stdout.write(json.dumps({"disk": disk, "complete": complete, "wrong": wrong}) + "\n")
        sys.stdout.flush()
    finally:
        unmount(place)


def attempt(given: Path, truth: Path, place: Path, options: tuple[str, ...]) -> tuple[bool, list[str]]:
    """Run on a small disk, and once there is room; return whether the first did it all, and what is wrong."""
    root = Path(shutil.copytree(given, place / "lab"))
    lab = Lab(root, small_rig("AB"))
    text = lab.run("run-all", *options, check=None)
    status = json.loads(lab.run("status", "--json"))
    complete = is_complete(status)
    return complete, list(_problems(lab, truth, text, status, complete, options))


def _problems(
    lab: Lab, truth: Path, text: str, status: list[Any], complete: bool, options: tuple[str, ...]
) -> Iterator[str]:
    if not complete and not told_of_full_disk(text):
        yield f"not told: {text}"
    yield from wrong_of(lab.root, truth, status)
    yield from left_over(lab.root)
    mount(lab.root.parent, f"remount,{PLENTY},nr_inodes=10000")
    text = lab.run("run-all", *options, check=None)
    if files(lab.root) != files(truth):
        yield f"in the end not as it should be: {text}"
    if "0 jobs done" not in lab.run("run-all", check=None):
        yield "never up to date"
    if not is_complete(json.loads(lab.run("status", "--json"))):
        yield "not all of it is taken for anipipe's own"
    yield from left_over(lab.root)


def room_taken(place: Path) -> tuple[int, int]:
    """Return the bytes and the entries that are taken on a disk."""
    found = os.statvfs(place)
    return (found.f_blocks - found.f_bfree) * found.f_frsize, found.f_files - found.f_ffree


def mount(place: Path, options: str) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", str(place)], check=True)


def unmount(place: Path) -> None:
    subprocess.run(["umount", "-l", str(place)], check=True)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:4]), int(sys.argv[4]), *sys.argv[5:])
