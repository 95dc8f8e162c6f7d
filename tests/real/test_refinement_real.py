"""The optimisation in time of a real recording, by the objective of aniposelib itself."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from anipipe.formats.calibrations import read_calibration
from anipipe.numerics.refinement.solver import optimise
from anipipe.numerics.triangulation import dlt

DATA = Path(os.environ.get("ANIPIPE_REAL_DATA", Path(__file__).parents[3] / "shared" / "data"))
pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason=f"no real recordings in {DATA}")


def test_fly():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from aniposelib.cameras import CameraGroup, medfilt_data

    folder = DATA / "fly-3cam"
    rig = read_calibration(folder / "calibration.toml")
    tables = [
        pd.read_csv(folder / f"predictions/fly4_{name}.csv", header=[0, 1, 2], index_col=0)
        for name in rig.names
    ]
    values = np.stack([table.to_numpy(dtype=float).reshape(len(table), -1, 3) for table in tables])
    pixels = np.where(values[..., 2:] >= 0.3, values[..., :2], np.nan)
    start = dlt(pixels, rig)
    legs = [(first, first + 1) for first in range(0, 12, 2)]
    found = optimise(
        start,
        pixels,
        rig,
        constraints=legs,
        scale_smooth=5,
        scale_length=2,
        n_deriv_smooth=2,
        reproj_error_threshold=5,
    )
    group = CameraGroup.load(str(folder / "calibration.toml"))
    typical = np.mean(np.abs(np.diff(np.apply_along_axis(medfilt_data, 0, start, size=7), axis=0)))
    parameters = np.concatenate([found.points.ravel(), found.lengths])
    residuals = type(group)._error_fun_triangulation.py_func(
        group, parameters, pixels, legs, [], None, 5 / typical, 2, 1, 5, "soft_l1", 2
    )
    cost = 0.5 * float(np.sum(residuals**2))
    assert cost <= 33785
    assert found.cost == pytest.approx(cost, rel=1e-9)
    assert found.converged
    assert not found.filled.any()
