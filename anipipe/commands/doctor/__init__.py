"""``anipipe doctor``: what is not well, and what to do about it.

- :mod:`~anipipe.commands.doctor.findings`      what is found, and reports
- :mod:`~anipipe.commands.doctor.installation`  Python, packages, codecs
- :mod:`~anipipe.commands.doctor.machine`       processors, memory, temporary files
- :mod:`~anipipe.commands.doctor.gpu`           GPUs, and PyTorch's use of them
- :mod:`~anipipe.commands.doctor.disk`          an experiment's disk
- :mod:`~anipipe.commands.doctor.experiment`    its settings, calibrations and networks
- :mod:`~anipipe.commands.doctor.recordings`    its recordings: readable, fitting the calibration
- :mod:`~anipipe.commands.doctor.synchrony`     the cameras of a trial beside one another
"""

from anipipe.commands.doctor.examining import examine_experiment, examine_machine
from anipipe.commands.doctor.experiment import Tools
from anipipe.commands.doctor.findings import LEVELS, Finding, Level, Report, Step

__all__ = [
    "LEVELS",
    "Finding",
    "Level",
    "Report",
    "Step",
    "Tools",
    "examine_experiment",
    "examine_machine",
]
