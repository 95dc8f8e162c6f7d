"""Experiments, sessions, trials and cameras, as they lie in folders.

- :mod:`~anipipe.project.finding`  which experiments a path belongs to
- :mod:`~anipipe.project.walking`  an experiment's folders, as the engine's units
- :mod:`~anipipe.project.calibrations`  calibrations and recordings of the board
- :mod:`~anipipe.project.naming`   what a file's name says: video, camera, trial
"""

from anipipe.project.finding import CONFIG, absolute, experiment_above, find_experiments, inside
from anipipe.project.walking import Experiment, Problem, walk

__all__ = [
    "CONFIG",
    "Experiment",
    "Problem",
    "absolute",
    "experiment_above",
    "find_experiments",
    "inside",
    "walk",
]
