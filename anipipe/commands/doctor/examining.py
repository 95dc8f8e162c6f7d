"""All checks, one after another."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from anipipe.commands.doctor import cameras, disk, experiment, gpu, installation, machine, recordings
from anipipe.commands.doctor.experiment import Tools
from anipipe.commands.doctor.findings import Finding, Report, Step, isolated
from anipipe.commands.doctor.synchrony import SUBJECT
from anipipe.commands.opening import Opened, open_experiment
from anipipe.engine.declare import Unit
from anipipe.errors import AnipipeError
from anipipe.project import inside


def examine_machine(*, quick: bool, step: Step) -> Report:
    """Look at the installation and at the machine.

    Parameters
    ----------
    quick
        Leave out the GPU, for which PyTorch has to be loaded.
    step
        Is told what is looked at next.
    """
    report = Report(None)
    step("installation", 0, 1)
    report.findings += [*installation.findings(), *machine.findings()]
    if quick:
        report.left_out.append("the GPU")
    else:
        step("PyTorch and the GPU", 0, 1)
        report.findings += gpu.findings()
    return report


def examine_experiment(root: Path, parts: Sequence[Path], tools: Tools, *, quick: bool, step: Step) -> Report:
    """Look at an experiment.

    Parameters
    ----------
    root
        Its folder.
    parts
        Folders in it, if only the sessions there are meant.
    tools
    quick
        Leave out the recordings.
    step
        Is told how far it is.

    Raises
    ------
    NotHereError
        There is no session in one of the parts.
    """
    report = Report(root)
    step("settings", 0, 1)
    try:
        opened = open_experiment(root, tools.registry)
    except AnipipeError as error:
        report.findings.append(Finding("critical", experiment.SETTINGS, "", str(error)))
        report.unreadable = True
        report.findings += disk.findings(root, (), None)
        return report
    units = _chosen(opened, parts)
    found = opened.experiment.root
    plan = opened.plan if _looked_ahead(opened, report) else None
    report.findings += experiment.settings_findings(opened, units) if plan is not None else ()
    report.findings += experiment.calibration_findings(opened, units, tools, step)
    report.findings += experiment.network_findings(opened, units)
    report.findings += isolated(SUBJECT, "", lambda: cameras.findings(found, units))
    report.findings += disk.findings(found, [unit.home for unit in units], plan)
    if quick:
        report.left_out.append("the recordings")
    else:
        takes = recordings.takes(found, units)
        report.findings += recordings.findings(found, takes, tools.check_size, step)
    return report


def _chosen(opened: Opened, parts: Sequence[Path]) -> list[Unit]:
    """Return the units that are meant, and have their jobs selected."""
    if not parts:
        return opened.experiment.units
    units = opened.experiment.below(parts)
    opened.restrict([inside(opened.experiment.root, part) for part in parts])
    opened.plan.select(opened.plan.registry.stages, units=units)
    return units


def _looked_ahead(opened: Opened, report: Report) -> bool:
    """Give every job its verdict; say whether that worked."""

    def look() -> list[Finding]:
        opened.look_ahead()
        return []

    failed = list(isolated(experiment.SETTINGS, "", look))
    report.findings += failed
    return not failed
