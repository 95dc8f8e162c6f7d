"""A pipeline of text files: what the engine is tested with.

::

    GROUP/source/ITEM.txt  --upper-->  GROUP/upper/ITEM.txt  [--shout-->  GROUP/shouted/ITEM.txt]
    all items of a group, and GROUP/note.txt if there is one  --join-->  GROUP/joined.txt
    GROUP/joined.txt  --split-->  GROUP/head.txt, GROUP/tail.txt
    GROUP/joined.txt  --part-->  tables/parts/GROUP.txt  --count (fan-in)-->  tables/count.txt

Everything is at the level of a module, so that workers can be sent it. Some words in a source make
its job misbehave: see :func:`misbehave`.
"""

from __future__ import annotations

import ctypes
import itertools
import os
import re
import signal
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from anipipe.engine.declare import (
    THIS_UNIT,
    Artifact,
    Registry,
    Stage,
    Unit,
    each,
    first_enabled,
    optional,
)
from anipipe.engine.digest import Disk
from anipipe.engine.executors import Executor, InProcess, LocalProcesses
from anipipe.engine.freshness import State, Verdict
from anipipe.engine.jobs import Job
from anipipe.engine.lanes import Lane
from anipipe.engine.lock import Lock
from anipipe.engine.outcome import Outcome
from anipipe.engine.plan import Plan
from anipipe.engine.progress import tell
from anipipe.engine.records import Records
from anipipe.engine.runner import Runner
from anipipe.engine.sweeping import Sweeper
from anipipe.errors import DataError, LockedError, Notice

#: Last line of every output, so that one that was cut short can be told.
END = "#end\n"
DEFAULTS: dict[str, Any] = {
    "suffix": "",
    "style": {"left": "<", "right": ">", "deep": {"level": 1}},
    "separator": "+",
    "shout": False,
    "joining": True,
    "pause": 0.0,
}
#: Called by stages while they run in this process, by the stage's name.
HOOKS: dict[str, Callable[[], None]] = {}


def call_hook(name: str) -> None:
    HOOKS.get(name, lambda: None)()


def read_plain(paths: Sequence[Path], names: Any) -> str:
    return paths[0].read_text(encoding="utf-8")


def read_text(paths: Sequence[Path], names: Any) -> str:
    text = paths[0].read_text(encoding="utf-8")
    if not text.endswith(END):
        raise DataError(f"{paths[0]}: cut short")
    return text.removesuffix(END)


def write_text(text: str, path: Path) -> None:
    whole = text + END
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.write(whole[: len(whole) // 2])
        file.flush()
        call_hook("write")
        if "DIE-WRITING" in text:
            os.kill(os.getpid(), signal.SIGKILL)
        if "LINGER" in text:
            time.sleep(60)
        file.write(whole[len(whole) // 2 :])


def describe_text(text: str) -> dict[str, Any]:
    return {"letters": len(text)}


def misbehave(text: str) -> None:
    if "FAIL" in text:
        raise DataError("this text does not fit")
    if "CRASH" in text:
        raise ValueError("a defect")
    if "DIE-RUNNING" in text:
        os.kill(os.getpid(), signal.SIGKILL)
    if re.search(r"\bHANG\b", text):  # and not where something CHANGED
        ctypes.PyDLL(None).sleep(60)  # in C, holding the interpreter's lock
    if "TELL" in text:
        for number in range(1, 7):
            tell(number, 6)
            time.sleep(0.55)
    if "LONG" in text:
        tell(0, int("".join(re.findall(r"LONG (\d+)", text))))
        time.sleep(4)
    if "NOTICE" in text:
        warnings.warn("an odd text", Notice, stacklevel=1)


@dataclass(frozen=True)
class UpperOptions:
    suffix: str
    style: dict[str, Any]
    pause: float

    @classmethod
    def of(cls, settings: Any) -> UpperOptions:
        return cls(settings["suffix"], settings["style"], settings["pause"])

    def facts(self) -> dict[str, Any]:
        return {"suffix": self.suffix, "style": self.style}

    @classmethod
    def introduced(cls) -> dict[str, Any]:
        return {"suffix": ""}


@dataclass(frozen=True)
class JoinOptions:
    separator: str

    @classmethod
    def of(cls, settings: Any) -> JoinOptions:
        return cls(settings["separator"])

    def facts(self) -> dict[str, Any]:
        return {"separator": self.separator}

    @classmethod
    def introduced(cls) -> dict[str, Any]:
        return {}


def run_upper(text: str, options: UpperOptions) -> str:
    call_hook("upper")
    if "SLOW" in text:
        time.sleep(0.8)
    time.sleep(options.pause)
    misbehave(text)
    return f"{options.style['left']}{text.strip().upper()}{options.suffix}{options.style['right']}\n"


def run_shout(text: str, options: Any) -> str:
    return text.strip() + "!\n"


def run_join(texts: Sequence[str], note: str | None, options: JoinOptions) -> str:
    call_hook("join")
    joined = options.separator.join(text.strip() for text in texts)
    misbehave(note or "")
    return joined + (f" ({note.strip()})" if note else "") + "\n"


def run_split(text: str, options: Any) -> tuple[str, str]:
    call_hook("split")
    middle = len(text) // 2
    return text[:middle] + "\n", text[middle:]


def run_part(text: str, unit: Any, options: Any) -> str:
    call_hook("part")
    misbehave(text.replace("<", "").replace(">", "").replace("PARTLESS", "FAIL"))
    return f"{unit['group']}: {text.strip()}\n"


def run_count(parts: Sequence[str], options: Any) -> str:
    call_hook("count")
    return "".join(parts) + f"{len(parts)} groups\n"


def joining(settings: Any) -> bool:
    return bool(settings["joining"])


def shouting(settings: Any) -> bool:
    return bool(settings["shout"])


def made(name: str, per: str, pattern: str, **more: Any) -> Artifact:
    return Artifact(name, per, pattern, read=read_text, write=write_text, describe=describe_text, **more)


SOURCE = Artifact("source", "item", read=read_plain, absent="put it into {folder}source/")
NOTE = Artifact("note", "group", read=read_plain)
UPPER = made("upper", "item", "{folder}upper/{item}.txt")
SHOUTED = made("shouted", "item", "{folder}shouted/{item}.txt")
JOINED = made("joined", "group", "{folder}joined.txt")
HEAD = made("head", "group", "{folder}head.txt")
TAIL = made("tail", "group", "{folder}tail.txt")
PART = made("part", "group", "tables/parts/{group}.txt", collected=True)
COUNT = made("count", "whole", "tables/count.txt", collected=True)

UPPER_STAGE = Stage("upper", "item", run_upper, UPPER, {"text": SOURCE}, UpperOptions)
SHOUT_STAGE = Stage("shout", "item", run_shout, SHOUTED, {"text": UPPER}, enabled=shouting)
JOIN_STAGE = Stage(
    "join",
    "group",
    run_join,
    JOINED,
    {"texts": each(first_enabled(SHOUTED, UPPER)), "note": optional(NOTE)},
    JoinOptions,
    enabled=joining,
    aliases=("glue",),
)
SPLIT_STAGE = Stage("split", "group", run_split, (HEAD, TAIL), {"text": JOINED})
PART_STAGE = Stage("part", "group", run_part, PART, {"text": JOINED, "unit": THIS_UNIT})
COUNT_STAGE = Stage("count", "whole", run_count, COUNT, {"parts": each(PART)}, fan_in=True)
#: On purpose not in the order in which they have to run.
STAGES = (COUNT_STAGE, PART_STAGE, SPLIT_STAGE, JOIN_STAGE, SHOUT_STAGE, UPPER_STAGE)


@dataclass
class Watcher:
    """Takes note of what the runner tells."""

    order: list[str] = field(default_factory=list)
    words: dict[str, list[tuple[int, int]]] = field(default_factory=dict)
    notices: dict[str, list[str]] = field(default_factory=dict)
    states: dict[str, State] = field(default_factory=dict)
    reasons: dict[str, tuple[str, ...]] = field(default_factory=dict)
    withdrawals: list[str] = field(default_factory=list)

    def begin(self, plan: Plan) -> None: ...

    def progressed(self, job: Job, done: int, total: int) -> None:
        self.words.setdefault(job.label, []).append((done, total))

    def started(self, job: Job) -> None:
        self.order.append(job.label)

    def settled(self, job: Job, verdict: Verdict, *, ran: bool, seconds: float, notices: list[str]) -> None:
        assert job.label not in self.states, f"{job.label} settled twice"
        self.states[job.label], self.reasons[job.label] = verdict.state, verdict.reasons
        self.notices[job.label] = notices

    def withdrawn(self, path: str) -> None:
        self.withdrawals.append(path)


@dataclass
class Done:
    """What a run of the text pipeline did."""

    plan: Plan
    outcome: Outcome
    watcher: Watcher

    @property
    def workers_died(self) -> bool:
        return self.outcome.deaths > 0

    @property
    def made(self) -> set[str]:
        return {job.label for job in self.outcome.made}

    @property
    def failed(self) -> set[str]:
        return {job.label for job in self.outcome.failed}

    @property
    def blocked(self) -> set[str]:
        return {job.label for job in self.outcome.blocked}

    def state(self, label: str) -> State:
        return self.watcher.states[label]

    def why(self, label: str) -> str:
        return "; ".join(self.watcher.reasons[label])


class Lab:
    """A folder of texts with its pipeline, run in the way that ``anipipe`` runs an experiment."""

    def __init__(self, root: Path, stages: Iterable[Stage] = STAGES) -> None:
        self.root = root
        self.stages = list(stages)
        self.settings: dict[str, Any] = dict(DEFAULTS)
        #: Items, as GROUP/ITEM, that there are though none of their files is there.
        self.listed: set[str] = set()
        self.plan: Plan | None = None

    def replace(self, name: str, **changes: Any) -> None:
        """Change a stage, as a new version of the program would."""
        import dataclasses

        self.stages = [dataclasses.replace(s, **changes) if s.name == name else s for s in self.stages]

    def path(self, relative: str) -> Path:
        return self.root / relative

    def text(self, relative: str) -> str:
        return self.path(relative).read_text(encoding="utf-8")

    def put(self, relative: str, text: str) -> Path:
        path = self.path(relative)
        path.parent.mkdir(parents=True, exist_ok=True)
        before = path.stat().st_mtime_ns if path.exists() else None
        path.write_text(text, encoding="utf-8")
        if before is not None and path.stat().st_mtime_ns <= before:
            os.utime(path, ns=(before + 1_000_000, before + 1_000_000))
        return path

    def lose(self, group: str, item: str) -> None:
        """Delete a source that is still known of."""
        self.path(f"{group}/source/{item}.txt").unlink()
        self.listed.add(f"{group}/{item}")

    def units(self) -> list[Unit]:
        settings = dict(self.settings)
        items: list[Unit] = []
        groups: list[Unit] = []
        for folder in sorted(p for p in self.root.iterdir() if p.is_dir() and p.name[0] not in ".t"):
            group = folder.name
            names = {"folder": f"{group}/", "group": group}
            found = {p.stem for kind in ("source", "upper") for p in (folder / kind).glob("[!.]*.txt")}
            found |= {name.partition("/")[2] for name in self.listed if name.startswith(f"{group}/")}
            own = [
                Unit(
                    "item",
                    f"{group}/{name}",
                    group,
                    name,
                    group,
                    {**names, "item": name},
                    settings,
                    {"source": (f"{group}/source/{name}.txt",)},
                    batch=group,
                )
                for name in sorted(found)
            ]
            note = (f"{group}/note.txt",) if (folder / "note.txt").exists() else ()
            groups.append(
                Unit("group", group, group, "", group, names, settings, {"note": note}, {"item": own})
            )
            items += own
        whole = Unit("whole", "", "", "", "", {}, settings, related={"group": groups, "item": items})
        return [*items, *groups, whole]

    def look(
        self, *, only: Iterable[str] | None = None, force: Sequence[str] = (), retrying: bool = True
    ) -> Plan:
        """Plan, and give every job its verdict, without a run; ``only`` names the selected stages."""
        disk = Disk(self.root, self.root / ".anipipe" / "stats.json")
        plan = Plan(Registry(self.stages), self.units(), disk, Records(self.root))
        if only is not None:
            plan.select([plan.registry[name] for name in only])
        plan.force(force)
        plan.examine_all(retrying=retrying)
        return plan

    def states(self, *, only: Iterable[str] | None = None, retrying: bool = True) -> dict[str, State]:
        plan = self.look(only=only, retrying=retrying)
        return {job.label: plan.state(job) for job in plan.jobs}

    def run(
        self,
        executor: Executor | None = None,
        *,
        only: Iterable[str] | None = None,
        force: Sequence[str] = (),
        watcher: Watcher | None = None,
        lanes: Sequence[Lane] = (),
        **more: Any,
    ) -> Done:
        watcher = watcher or Watcher()
        executor = executor or InProcess()
        with Lock(self.root) as lock:
            disk = Disk(self.root, self.root / ".anipipe" / "stats.json")
            plan = self.plan = Plan(Registry(self.stages), self.units(), disk, Records(self.root))
            if only is not None:
                plan.select([plan.registry[name] for name in only])
            plan.force(force)
            sweeper = Sweeper(self.root, {disk.path(path).parent for path in plan.by_output})
            sweeper.begin()
            plan.examine_all()
            plan.records.compact()
            lanes = lanes or [Lane(executor, lambda device: True)]
            runner = Runner(plan, lanes, lock, watcher, **more)
            finished = lost = False
            try:
                runner.run()
                finished = True
            except LockedError:
                lost = True
                raise
            finally:
                executor.close(kill=not finished)
                if not lost:
                    sweeper.end(clean=finished and not runner.outcome.deaths)
                disk.prune(plan.paths())
                disk.save()
        return Done(plan, runner.outcome, watcher)

    def leftovers(self) -> list[str]:
        """Name unfinished files anywhere, and what says that there may be some, or that a run is on."""
        own = (self.path(".anipipe").glob(pattern) for pattern in ("unfinished", "lock*", "clock*", "*.tmp"))
        found = itertools.chain(self.root.rglob(".anipipe-*"), *own)
        return sorted(str(p.relative_to(self.root)) for p in found)

    def tree(self) -> dict[str, bytes]:
        """Return every file outside the engine's own folders."""
        return {
            path.relative_to(self.root).as_posix(): path.read_bytes()
            for path in sorted(self.root.rglob("*"))
            if path.is_file() and ".anipipe" not in path.parts
        }


def job(plan: Plan, label: str) -> Job:
    return next(job for job in plan.jobs if job.label == label)


def reasons(plan: Plan, label: str) -> tuple[str, ...]:
    return plan.verdicts[job(plan, label)].verdict.reasons


if __name__ == "__main__":  # ROOT WORKERS PAUSE: a run that a test can kill
    sys.path.insert(0, str(Path(__file__).parent))
    import textline  # not as __main__, so that workers find the same functions

    killable = textline.Lab(Path(sys.argv[1]))
    killable.settings["pause"] = float(sys.argv[3])
    count = int(sys.argv[2])
    done = killable.run(LocalProcesses(count) if count else None)
    sys.exit(1 if done.failed or done.blocked else 0)
