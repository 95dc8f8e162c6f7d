"""Compare what anipipe made of the example with the truth: ``python check.py [FOLDER]``.

Beside each error stands what exact input would give: the corners of the board and the joints where they truly
are in the pictures, to the last digit, through the same calibration and triangulation. Lengths and places are
compared after the found cameras were laid on the true ones (a rotation and a shift, from the cameras alone).
The exit status is 1 if a result is missing or an error is larger than it should be.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from comparing import Cameras, Trial, calibrate_exactly, compare_cameras, load
from numpy.typing import NDArray

from anipipe.errors import AnipipeError
from anipipe.formats.calibrations import read_calibration
from anipipe.formats.tables import read_parquet
from anipipe.project import walk

#: What the results have to reach; "body" is the length of the animal's body, nose to tail base.
BOUNDS = {
    "focal length, %": 0.5,
    "camera's place, mm": 1.0,
    "2D median, px": 3.0,
    "3D median, % of body": 1.5,
    "angle median, degrees": 5.0,
}
#: Exact input leads to exact cameras, up to rounding, in these units.
EXACT = 1e-3


class Report:
    """Prints the errors as tables, and gathers those that are too large, in words."""

    def __init__(self) -> None:
        self.faults: list[str] = []

    def head(self, first: str, *columns: str) -> None:
        """Begin a table."""
        print(f"\n{first:<26}" + "".join(f"{column:>13}" for column in columns))

    def row(self, first: str, *values: float) -> None:
        """Print a row."""
        print(f"{first:<26}" + "".join(f"{value:>13.3f}" for value in values))

    def judge(self, where: str, what: str, value: float) -> None:
        """Hold a value against its bound."""
        if not value <= BOUNDS[what]:
            self.faults.append(f"{where}: {what} is {value:.3g}, expected at most {BOUNDS[what]:g}")

    def cameras(self, found: Cameras, exact: Cameras) -> None:
        """Tell about the calibration."""
        self.head("camera", "focal %", "exact", "axis px", "exact", "place mm", "exact")
        for index, name in enumerate(found.names):
            pairs = zip(
                (found.focal, found.axis, found.place), (exact.focal, exact.axis, exact.place), strict=True
            )
            self.row(name, *(float(one[index]) for pair in pairs for one in pair))
            self.judge(f"camera {name}", "focal length, %", float(found.focal[index]))
            self.judge(f"camera {name}", "camera's place, mm", float(found.place[index]))
        self.head("between cameras", "mm", "exact")
        for pair, off in found.apart.items():
            self.row(pair, off, exact.apart[pair])
            self.judge(f"cameras {pair}", "camera's place, mm", off)
        if not max(exact.focal.max(), exact.place.max()) <= EXACT:
            self.faults.append("exact corners do not lead to the true cameras")

    def trials(self, trials: Sequence[Trial]) -> None:
        """Tell about points in 2D and 3D, trial by trial and joint by joint."""
        body = float(np.mean([trial.body for trial in trials]))
        print(f"\nlength of the body: {body:.1f} mm")
        columns = (
            "px median",
            "px 95 %",
            "unsure %",
            "filtered",
            "mm median",
            "mm 95 %",
            "exact",
            "% of body",
        )
        self.head("trial", *columns)
        for trial in trials:
            self._points(trial.name, [trial], np.arange(len(trial.joints)), trial.body)
        self.head("joint", *columns)
        for index, joint in enumerate(trials[0].joints):
            self._points(joint, trials, np.array([index]), body, judged=False)
        self._points("all", trials, np.arange(len(trials[0].joints)), body)

    def _points(
        self,
        name: str,
        trials: Sequence[Trial],
        joints: NDArray[np.intp],
        body: float,
        *,
        judged: bool = True,
    ) -> None:
        pixels, filtered, places, exact = (
            np.concatenate([getattr(trial, kind)[..., joints].ravel() for trial in trials])
            for kind in ("pixels", "filtered", "places", "exact")
        )
        middle = float(np.nanmedian(places))
        flat = float(np.nanmedian(pixels))
        self.row(
            name,
            flat,
            float(np.nanpercentile(pixels, 95)),
            100 * float(np.isnan(pixels).mean()),
            float(np.nanmedian(filtered)),
            middle,
            float(np.nanpercentile(places, 95)),
            float(np.median(exact)),
            100 * middle / body,
        )
        if judged:
            self.judge(name, "2D median, px", flat)
            self.judge(name, "3D median, % of body", 100 * middle / body)

    def angles(self, trials: Sequence[Trial]) -> None:
        """Tell about angles."""
        self.head("angle", "deg median", "deg 95 %", "exact")
        for name in trials[0].angles:
            off, exact = (np.concatenate([trial.angles[name][kind] for trial in trials]) for kind in (0, 1))
            middle = float(np.nanmedian(off))
            self.row(name, middle, float(np.nanpercentile(off, 95)), float(np.nanmedian(exact)))
            self.judge(name, "angle median, degrees", middle)


def check_tables(folder: Path, trials: Sequence[Trial]) -> list[str]:
    """Compare the tables over all sessions with the trials: say what they lack."""
    faults = []
    rows = sum(len(trial.places) for trial in trials)
    for table, videos in (("pose_2d", 3), ("pose_3d", 1), ("angles", 1), ("errors", 1)):
        parts = sorted((folder / "summaries" / f"{table}.parquet").glob("*.parquet"))
        count = sum(len(read_parquet(part)["fnum"]) for part in parts)
        if count != videos * rows:
            faults.append(f"summaries/{table}.parquet has {count} rows, expected {videos * rows}")
    return faults


def main(folder: Path) -> int:
    """Check an experiment; return the exit status."""
    report = Report()
    try:
        true = read_calibration(folder / "truth" / "cameras.toml")
        found = read_calibration(folder / "calibration" / "calibration.toml")
        experiment = walk(folder.resolve())
        settings = {session.label: session.settings for session in experiment.of("session")}
        trials = [
            load(folder, session, path.stem, settings[session], found, true)
            for session in settings
            for path in sorted((folder / "truth" / session).glob("*.csv"))
        ]
        if not trials:
            raise AnipipeError(f"{folder}: there is no truth to compare with; make.py writes it")
        exact = calibrate_exactly(folder, experiment.settings.config, true)
        print("how far results are from the truth; exact: with the true corners and joints in the pictures")
        report.cameras(compare_cameras(found, true), compare_cameras(exact, true))
        report.trials(trials)
        report.angles(trials)
        report.faults += check_tables(folder, trials)
    except FileNotFoundError as error:
        print(f"{error.filename} is missing: run `anipipe run-all {folder}` first", file=sys.stderr)
        return 1
    except AnipipeError as error:
        print(error, file=sys.stderr)
        return 1
    print("\n" + "\n".join(report.faults or ["all as expected"]))
    return int(bool(report.faults))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parent))
