"""A large lab with recordings and all pictures, in which there is nothing to do.

One session is processed, and its folder copied: a session that is copied with its records is known for what
it is, so that the first run over the lab only gathers the tables.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np

from anipipe.formats.films import Film, write_film
from benchmarks import lab
from benchmarks.measure import process, show

SIZE = (640, 480)
STATUS_S, NOOP_S, MEMORY_MIB = 2.0, 3.0, 300.0  # aims for 1000 sessions
REPEATS = 5


def run(sessions: int) -> None:
    """Print how long `status` and a run that does nothing take, and their memory."""
    with tempfile.TemporaryDirectory(prefix="anipipe-nothing-") as name:
        root, log = Path(name) / "lab", Path(name) / "output.txt"
        command = [sys.executable, "-m", "anipipe.cli"]
        print(
            f"nothing: a lab of {sessions} sessions is made, which takes minutes", file=sys.stderr, flush=True
        )
        make(root)
        first = process([*command, "run-all", root], log)
        copy(root, sessions)
        gathered = process([*command, "run-all", root], log)
        jobs = gathered.output.strip().rpartition("\n")[2]
        if first.status or gathered.status:
            print(f"warning: exit status {first.status}, {gathered.status}: {jobs}")
        rows = []
        for label, name, aim in (
            ("status", "status", STATUS_S),
            ("run that does nothing", "run-all", NOOP_S),
        ):
            ended = [process([*command, name, root], log) for _ in range(REPEATS)]
            middle = sorted(one.seconds for one in ended)[REPEATS // 2]
            peak = max(one.peak for one in ended)
            rows.append([label, f"{middle:.2f}", f"{aim:.1f}", f"{peak:.0f}", f"{MEMORY_MIB:.0f}"])
        rows.append(
            ["the run before it", f"{gathered.seconds:.0f}", "", f"{gathered.peak:.0f}", f"{MEMORY_MIB:.0f}"]
        )
        show(
            f"nothing: {sessions} sessions of {lab.CAMERAS} cameras with recordings, labelled and 3D videos\n"
            f"previews; wall time from start to exit, middle of {REPEATS}; largest memory; aims for 1000\n"
            f"{ended[0].output.strip()}",
            ["", "s", "aim", "MiB", "aim"],
            rows,
        )


def make(root: Path) -> None:
    """Write one session with videos of a few frames."""
    lab.make(root, 1)
    config = root / "config.toml"
    config.write_text(config.read_text(encoding="utf-8").partition("[labeling]")[0], encoding="utf-8")
    session = root / "group-0" / "session-0"
    (session / "config.toml").unlink()
    (session / "videos-raw").mkdir()
    rng = np.random.default_rng(0)
    for camera in range(lab.CAMERAS):
        pictures = (rng.integers(0, 255, (*SIZE[::-1], 3), dtype=np.uint8) // 8 for _ in range(lab.FRAMES))
        film = Film(pictures, SIZE, lab.FRAMES, 30.0, 40, "veryfast")
        write_film(film, session / "videos-raw" / f"walk-cam{camera}.mp4")


def copy(root: Path, sessions: int) -> None:
    """Copy the session, in groups."""
    for number in range(1, sessions):
        group = root / f"group-{number // lab.GROUP}"
        group.mkdir(exist_ok=True)
        shutil.copytree(root / "group-0" / "session-0", group / f"session-{number}")
