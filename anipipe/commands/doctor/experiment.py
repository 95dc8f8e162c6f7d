"""What is wrong with an experiment's settings, calibrations and networks, before anything is run."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from anipipe.artifacts import CALIBRATION, MODEL
from anipipe.commands import calibration_files
from anipipe.commands.check_calibration import MakeBoard, Stack, check
from anipipe.commands.doctor.findings import Finding, Level, Step, isolated
from anipipe.commands.doctor.recordings import CheckSize
from anipipe.commands.opening import Opened
from anipipe.engine.declare import Registry, Unit
from anipipe.engine.freshness import State, Verdict
from anipipe.engine.jobs import Job

SETTINGS, CALIBRATIONS, NETWORKS = "experiment", "calibration", "networks"
#: How bad it is that a job is not done.
_LEVELS: dict[State, Level] = {
    State.BLOCKED: "critical",
    State.FAILED: "warning",
    State.CONFLICT: "warning",
}
_LABEL, _OUTPUT = "\0label\0", "\0output{}\0"  # stand for a job's own names in what is said of many
_ZIP = b"PK\x03\x04"  # what PyTorch's files begin with


@dataclass(frozen=True)
class Tools:
    """What checks borrow from the stages, so that they judge as a run would."""

    registry: Registry
    stack: Stack
    make_board: MakeBoard
    check_size: CheckSize


def settings_findings(opened: Opened, units: Sequence[Unit]) -> Iterator[Finding]:
    """Tell what an experiment's folders and settings do not allow; jobs have their verdicts already."""
    yield from isolated(SETTINGS, "", lambda: _settings(opened, units))


def _settings(opened: Opened, units: Sequence[Unit]) -> Iterator[Finding]:
    problems, notices = opened.problems(), opened.notices()
    for text in problems:
        yield Finding("critical", SETTINGS, "", text)
    yield from _kept_back(opened)
    for text in notices:
        yield Finding("note", SETTINGS, "", text)
    count = {kind: sum(unit.kind == kind for unit in units) for kind in ("session", "trial", "video")}
    cameras = {unit.names["camera"] for unit in units if unit.kind == "video"} - {""}
    named = f", cameras {', '.join(sorted(cameras))}" if cameras else ""
    there = ", ".join(f"{number} {kind}{'' if number == 1 else 's'}" for kind, number in count.items())
    yield Finding("ok", SETTINGS, "", f"config.toml can be read; {there}{named}")


def _kept_back(opened: Opened) -> Iterator[Finding]:
    """Tell which jobs cannot be begun, or went wrong: unknown joints, lacking calibrations and the like."""
    plan = opened.plan
    alike: dict[tuple[Level, str, str], list[Job]] = {}
    for job in plan.jobs:
        level = _LEVELS.get(plan.state(job))
        if level is not None and job.selected and not job.stage.fan_in:  # those gather what there is
            for reason, remedy in _reasons(plan.verdicts[job].verdict):
                alike.setdefault((level, _general(reason, job), _general(remedy, job)), []).append(job)
    for (level, reason, remedy), (job, *others) in alike.items():
        about = f"{job.label} and {len(others)} more" if others else job.label
        yield Finding(level, SETTINGS, about, _particular(reason, job), _particular(remedy, job))


def _reasons(verdict: Verdict) -> Iterator[tuple[str, str]]:
    """Yield why a job is not done, and what to do."""
    reasons = verdict.reasons
    if verdict.state is State.CONFLICT:  # what happened to it, and how to have it made again
        yield "; ".join(reasons[:-1]), reasons[-1]
    elif verdict.state is State.FAILED:  # the others follow from the first
        yield reasons[0], ""
    else:
        yield from ((text, "") for text in reasons if not text.endswith((" failed", " is blocked")))  # echoes


def _general(text: str, job: Job) -> str:
    """Return what is said of a job as it would be said of any."""
    for number, path in enumerate(job.outputs):
        text = text.replace(path, _OUTPUT.format(number))
    return text.replace(job.unit.label, _LABEL)


def _particular(text: str, job: Job) -> str:
    for number, path in enumerate(job.outputs):
        text = text.replace(_OUTPUT.format(number), path)
    return text.replace(_LABEL, job.unit.label)


def calibration_findings(
    opened: Opened, units: Sequence[Unit], tools: Tools, step: Step
) -> Iterator[Finding]:
    """Check each calibration that is there."""
    root, experiment = opened.experiment.root, opened.experiment
    chosen = set(units)
    there = [unit for unit in units if unit.kind == "calibration"]
    made = [unit for unit in there if (root / CALIBRATION.paths(unit)[0]).is_file()]
    for unit in there:
        if unit not in made:
            yield Finding(
                "ok",
                CALIBRATIONS,
                unit.label,
                f"{len(unit.related['board'])} recordings of the board; anipipe calibrate makes "
                "calibration.toml from them",
            )
    for number, unit in enumerate(made):
        step("calibrations", number, len(made))
        sessions = [s for s in experiment.of("session") if s in chosen and unit in s.related["calibration"]]
        source = calibration_files.Source(root / CALIBRATION.paths(unit)[0], root, unit, sessions)
        yield from isolated(CALIBRATIONS, unit.label, partial(_checked, source, unit.label, tools))


def _checked(source: calibration_files.Source, label: str, tools: Tools) -> Iterator[Finding]:
    result = check(source, stack=tools.stack, make_board=tools.make_board)
    for alarm in result.alarms:
        level: Level = alarm.level
        yield Finding(level, CALIBRATIONS, label, alarm.text, alarm.remedy)
    for notice in result.notices:
        yield Finding("note", CALIBRATIONS, label, notice)
    if not any(alarm.level != "note" for alarm in result.alarms):
        names = ", ".join(row.name for row in result.cameras)
        yield Finding("ok", CALIBRATIONS, label, f"cameras {names}; looked at {'; '.join(result.looked_at)}")


def network_findings(opened: Opened, units: Sequence[Unit]) -> Iterator[Finding]:
    """Look whether the files of trained networks are there and whole; they are not loaded."""
    root = opened.experiment.root
    files = {
        (unit.names["model"], unit.names["model_type"]): unit.files[MODEL.name]
        for unit in units
        if unit.kind == "video" and MODEL.name in unit.files
    }
    for (model, kind), paths in files.items():
        yield from isolated(NETWORKS, model, partial(_network, root, model, kind, paths))


def _network(root: Path, model: str, kind: str, paths: Sequence[str]) -> Iterator[Finding]:
    about = model.removeprefix(f"{root}/")
    weights = root / paths[0]
    with weights.open("rb") as file:
        is_zip = file.read(len(_ZIP)) == _ZIP
    # a zip's list of members stands at its end: what was cut off has none
    if not weights.stat().st_size or (is_zip and not zipfile.is_zipfile(weights)):
        yield Finding(
            "critical",
            NETWORKS,
            about,
            f"{weights.name} is cut off ({weights.stat().st_size} bytes)",
            "copy it again from where the network was trained",
        )
    else:
        size = weights.stat().st_size / 2**20
        yield Finding("ok", NETWORKS, about, f"{kind}, {weights.name} ({size:.0f} MB) is there and whole")
