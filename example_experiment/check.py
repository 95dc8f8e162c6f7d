"""Compare what anipipe made of the example with the truth: ``python check.py [FOLDER]``.

Beside each error stands that of exact 2D points of the same cameras, which is what the method itself adds.
The exit status is 1 if a result is missing or an error is not what the noise of the 2D points explains.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from anipipe.errors import AnipipeError
from anipipe.formats.calibrations import read_calibration
from anipipe.formats.poses3d import Pose3D, read_pose_3d
from anipipe.formats.tables import read_angles, read_parquet
from anipipe.numerics.alignment import unstandardise
from anipipe.numerics.angles import compute_angles
from anipipe.numerics.cameras import Rig, apply_matrix, project
from anipipe.numerics.triangulation import dlt, reprojection_errors
from anipipe.project import walk

Floats = NDArray[np.float64]

#: What noise of 0.5 px in each coordinate explains: 1 px is about 1.6 mm on the floor, an angle's arms are
#: 15 to 75 mm long. Of what is left out or off in 2D, little may be lost or come through in 3D.
BOUNDS = {
    "px median": 0.6,
    "mm median": 1.2,
    "mm 95 %": 2.5,
    "degrees median": 3.0,
    "missing %": 5.0,
}
#: Exact 2D points lead to exact 3D points, up to rounding.
EXACT = 1e-6


@dataclass(frozen=True)
class Trial:
    """A trial's truth and results, in the calibration's frame; the angles in the result's."""

    name: str
    joints: tuple[str, ...]
    true: Floats
    found: Floats
    exact: Floats
    error: Floats
    exact_error: Floats
    angles: dict[str, tuple[Floats, Floats]]

    @property
    def distance(self) -> Floats:
        """How far each point is from the true one, (frames, joints), mm."""
        return np.linalg.norm(self.found - self.true, axis=-1)

    @property
    def exact_distance(self) -> Floats:
        """The same for exact 2D points."""
        return np.linalg.norm(self.exact - self.true, axis=-1)


def load(folder: Path, session: str, name: str, rig: Rig, definitions: dict[str, list[str]]) -> Trial:
    """Read a trial and compute what exact 2D points would have given."""
    result = read_pose_3d(folder / session / "pose-3d" / f"{name}.csv")
    true = _read_truth(folder / "truth" / session / f"{name}.csv", result.joints)
    if len(true) != len(result.points):
        raise AnipipeError(f"{session}/{name}: {len(result.points)} frames in 3D, {len(true)} in truth")
    pixels = np.stack([project(true, camera) for camera in rig.cameras])
    exact = dlt(pixels, rig)
    measured = read_angles(folder / session / "angles" / f"{name}.csv")
    return Trial(
        name=f"{session}/{name}",
        joints=result.joints,
        true=true,
        found=unstandardise(result.points, result.rotation, result.center),
        exact=exact,
        error=result.error,
        exact_error=reprojection_errors(exact, pixels, rig).mean(axis=0),
        angles=_angle_errors(measured, result, true, exact, definitions),
    )


def _read_truth(path: Path, joints: Iterable[str]) -> Floats:
    """Return the true points of these joints, (frames, joints, 3)."""
    with path.open(encoding="utf-8") as file:
        names = file.readline().strip().split(",")
    values = np.loadtxt(path, delimiter=",", skiprows=1, ndmin=2)
    columns = [[names.index(f"{joint}_{axis}") for axis in "xyz"] for joint in joints]
    return values[:, columns]


def _angle_errors(
    measured: dict[str, Floats],
    result: Pose3D,
    true: Floats,
    exact: Floats,
    definitions: dict[str, list[str]],
) -> dict[str, tuple[Floats, Floats]]:
    """Return how far measured angles, and those of exact 2D points, are from the true ones, degrees."""

    def angles(points: Floats) -> dict[str, Floats]:
        # Some kinds of angles count from the axes, so the truth is brought to the result's.
        placed = apply_matrix(result.rotation, points) - result.center
        names, values = compute_angles(placed, result.joints, definitions)
        return dict(zip(names, values.T, strict=True))

    wanted, ideal = angles(true), angles(exact)
    lacking = [name for name in wanted if name not in measured]
    if lacking:
        raise AnipipeError(f"the angles {', '.join(lacking)} are missing")
    return {
        name: (_turn(measured[name] - values), _turn(ideal[name] - values)) for name, values in wanted.items()
    }


def _turn(difference: Floats) -> Floats:
    """Return differences of directions without sign, 0 to 180 degrees."""
    return np.abs((difference + 180) % 360 - 180)


def check_tables(folder: Path, trials: list[Trial]) -> list[str]:
    """Compare the tables over all sessions with the trials: say what they lack."""
    faults = []
    rows = sum(len(trial.true) for trial in trials)
    for table, videos in (("pose_2d", 3), ("pose_3d", 1), ("angles", 1), ("errors", 1)):
        parts = sorted((folder / "summaries" / f"{table}.parquet").glob("*.parquet"))
        count = sum(len(read_parquet(part)["fnum"]) for part in parts)
        if count != videos * rows:
            faults.append(f"summaries/{table}.parquet has {count} rows, expected {videos * rows}")
    return faults


def report(trials: list[Trial]) -> list[str]:
    """Print the errors; return those out of bounds, in words."""
    faults: list[str] = []

    def judge(what: str, where: str, value: float, exact: float | None = None) -> None:
        if not value <= BOUNDS[what]:
            faults.append(f"{where}: {what} is {value:.3g}, expected at most {BOUNDS[what]:g}")
        if exact is not None and not exact <= EXACT:
            faults.append(f"{where}: {what} from exact 2D points is {exact:.3g}, expected next to nothing")

    print(f"{'trial':<24}{'px median':>12}{'exact':>9}{'mm median':>12}{'exact':>9}{'missing %':>12}")
    for trial in trials:
        pixels, exact_pixels = np.nanmedian(trial.error), trial.exact_error.max()
        length, exact_length = np.nanmedian(trial.distance), trial.exact_distance.max()
        missing = 100 * np.isnan(trial.distance).mean()
        print(
            f"{trial.name:<24}{pixels:>12.3f}{exact_pixels:>9.0e}"
            f"{length:>12.3f}{exact_length:>9.0e}{missing:>12.2f}"
        )
        judge("px median", trial.name, pixels, exact_pixels)
        judge("mm median", trial.name, length, exact_length)
        judge("missing %", trial.name, missing)

    print(f"\n{'joint':<24}{'mm median':>12}{'mm 95 %':>12}{'exact':>9}")
    for index, joint in enumerate(trials[0].joints):
        distance = np.concatenate([trial.distance[:, index] for trial in trials])
        exact = max(trial.exact_distance[:, index].max() for trial in trials)
        middle, high = np.nanmedian(distance), np.nanpercentile(distance, 95)
        print(f"{joint:<24}{middle:>12.3f}{high:>12.3f}{exact:>9.0e}")
        judge("mm median", joint, middle, exact)
        judge("mm 95 %", joint, high)

    print(f"\n{'angle':<24}{'deg median':>12}{'deg 95 %':>12}{'exact':>9}")
    for name in trials[0].angles:
        off = np.concatenate([trial.angles[name][0] for trial in trials])
        exact = max(float(np.nanmax(trial.angles[name][1])) for trial in trials)
        middle, high = np.nanmedian(off), np.nanpercentile(off, 95)
        print(f"{name:<24}{middle:>12.3f}{high:>12.3f}{exact:>9.0e}")
        judge("degrees median", name, middle, exact)
    return faults


def main(folder: Path) -> int:
    """Check an experiment; return the exit status."""
    try:
        rig = read_calibration(folder / "calibration" / "calibration.toml")
        config = walk(folder.resolve()).settings.config
        definitions = {name: list(value) for name, value in config.angles.items()}
        found = sorted((folder / "truth").rglob("*.csv"))
        trials = [
            load(folder, path.parent.relative_to(folder / "truth").as_posix(), path.stem, rig, definitions)
            for path in found
        ]
        if not trials:
            raise AnipipeError(f"{folder}: there is no truth to compare with; make.py writes it")
        faults = report(trials) + check_tables(folder, trials)
    except FileNotFoundError as error:
        print(f"{error.filename} is missing: run `anipipe run-all {folder}` first", file=sys.stderr)
        return 1
    except AnipipeError as error:
        print(error, file=sys.stderr)
        return 1
    print("\n" + "\n".join(faults or ["all as expected"]))
    return int(bool(faults))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parent))
