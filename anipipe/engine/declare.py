"""What a pipeline is made of: units, artifacts and stages, all of them plain values.

A *unit* is something that jobs are done for (a video, a trial, a session, an experiment). An *artifact*
is a kind of file: where it lies for a unit, how it is read and written. A *stage* is a function from
artifacts to artifacts. Which stage comes before which is nowhere written down: whoever writes what a
stage reads comes first.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol, Self

Json = Any
Names = Mapping[str, str]


@dataclass(eq=False)
class Unit:
    """Something that jobs are done for.

    Attributes
    ----------
    kind : str
        ``"video"``, ``"trial"``, … : what :attr:`Stage.per` and :attr:`Artifact.per` name.
    label : str
        How it is shown to people; unique within its kind.
    home : str
        Folder, relative to the root (``""`` for the root itself), that keeps the records of its jobs.
    key : str
        Its name within ``home``.
    group : str
        What it is listed under in tables (the session); ``""`` for what belongs to no group.
    names : mapping of str
        Fills the patterns of artifacts; also handed to their readers.
    files : mapping
        Files that were found rather than made: artifact name to paths relative to the root.
    settings : object
        Whatever :meth:`Options.of` understands.
    related : mapping
        Units of other kinds that belong to this one, in order.
    batch : str
        What it is a part of that is brought to its end before another is begun (a trial); by default itself.
    """

    kind: str
    label: str
    home: str
    key: str
    group: str
    names: Names
    settings: Any
    files: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    related: dict[str, list[Unit]] = field(default_factory=dict)
    batch: str = ""


@dataclass(frozen=True)
class Artifact:
    """A kind of file.

    Attributes
    ----------
    name : str
        Unique name.
    per : str
        Kind of the unit that one such file belongs to.
    pattern : str
        Path relative to the root, with the unit's names in braces; empty for files that only
        :attr:`Unit.files` knows.
    read : callable
        ``read(paths, names)``; ``paths`` has one path, or all that :attr:`Unit.files` lists.
    check : callable
        ``check(path)`` raises an error where a file that was made is not whole; left out where reading does.
    write : callable
        ``write(value, path)``; the path is a temporary one with the right suffix.
    describe : callable
        ``describe(value)``: small facts worth keeping with the record, such as joint names. ``frames`` among
        them says how much work there is in it, which those who read it may take time for.
    absent : str
        What to tell a user when it is missing: where it should be, or what to do.
    sampled : bool
        Large files are digested by size and sampled blocks instead of whole (videos).
    text : bool
        Text that people edit. One that is shorter than it was made may be edited as well as cut short,
        which reading it cannot tell; other files that are cut short cannot be read.
    content : str
        What its files go by among the facts, all together, where it is their content alone that counts and
        not where they lie (a trained network); empty: each goes by its path.
    collected : bool
        Part of a collection that others read as a whole (one table in many files): it is taken
        out again when it cannot be kept current.
    """

    name: str
    per: str
    pattern: str = ""
    read: Callable[[Sequence[Path], Names], Any] | None = None
    write: Callable[[Any, Path], None] | None = None
    check: Callable[[Path], None] | None = None
    describe: Callable[[Any], dict[str, Json]] | None = None
    absent: str = ""
    sampled: bool = False
    text: bool = False
    content: str = ""
    collected: bool = False

    def paths(self, unit: Unit) -> tuple[str, ...]:
        """Where the artifact lies for ``unit``, relative to the root; empty if it cannot be told."""
        found = unit.files.get(self.name)
        if found is not None:
            return found
        return (self.pattern.format_map(unit.names),) if self.pattern else ()


@dataclass(frozen=True)
class Read:
    """One input of a stage: the first enabled of some artifacts, for one unit or for each."""

    artifacts: tuple[Artifact, ...]
    each: bool = False
    optional: bool = False
    consulted: bool = False
    gathered: bool = False
    found: bool = False


class ThisUnit:
    """An input that is no file: the names of the unit that the job is for."""


THIS_UNIT = ThisUnit()


def first_enabled(*artifacts: Artifact) -> Read:
    """Read the first of ``artifacts`` that the settings switch on."""
    return Read(artifacts)


def each(what: Artifact | Read) -> Read:
    """Read an artifact of every related unit, as a list in the units' order."""
    return dataclasses.replace(as_read(what), each=True)


def gathered(what: Artifact | Read) -> Read:
    """Read an artifact of those related units where it is current, and leave the others out."""
    return dataclasses.replace(as_read(what), each=True, optional=True, gathered=True)


def optional(what: Artifact | Read) -> Read:
    """Read an artifact if it is there, else ``None``."""
    return dataclasses.replace(as_read(what), optional=True)


def consulted(what: Artifact | Read) -> Read:
    """Read an artifact while it is there; once it is gone, what was made with it stays as it is.

    For recordings that a lab moves to its archive: what a stage looks up in them is known by then.
    """
    return dataclasses.replace(as_read(what), optional=True, consulted=True)


def found(what: Artifact | Read) -> Read:
    """Read an artifact where there is one, or one is to be made; where there is none, there is nothing to do.

    For what only some units have by their nature: there is no labelled video where there is no video. What
    was made while there was one stays, as archived.
    """
    return dataclasses.replace(as_read(what), found=True)


def as_read(what: Artifact | Read) -> Read:
    """Turn a bare artifact into a :class:`Read` of it."""
    return what if isinstance(what, Read) else Read((what,))


class Options(Protocol):
    """What a stage may see of the settings, and hence all of them that can make it stale."""

    @classmethod
    def of(cls, settings: Any) -> Self:
        """Take the options out of a unit's settings."""

    def facts(self) -> dict[str, Json]:
        """Return every option by name, in plain JSON values."""

    @classmethod
    def introduced(cls) -> dict[str, Json]:
        """Return the value that a record made before an option existed is taken to have had."""


@dataclass(frozen=True)
class NoOptions:
    """The options of a stage that has none."""

    @classmethod
    def of(cls, settings: Any) -> Self:
        """Take nothing."""
        return cls()

    def facts(self) -> dict[str, Json]:
        """Return nothing."""
        return {}

    @classmethod
    def introduced(cls) -> dict[str, Json]:
        """Return nothing."""
        return {}


def always(settings: Any) -> bool:
    """Say yes: the default of :attr:`Stage.enabled`."""
    return True


def no_device(unit: Unit) -> str:
    """Say none: the default of :attr:`Stage.device`."""
    return ""


@dataclass(frozen=True)
class Stage:
    """A step of a pipeline: a pure function, what it reads, and what it writes.

    ``run`` is called with the inputs by their names in ``reads`` and with ``options=``; it returns
    the value to write, or a tuple of them if the stage writes several artifacts.

    Attributes
    ----------
    version : int
        Raised whenever the same inputs and options give another result.
    fan_in : bool
        Runs on those of its inputs that are current and leaves the others out: all are :func:`gathered`.
    command : str
        The command that runs it, where that is not its own name: several stages may share one.
    group : str
        Which family of commands it belongs to.
    libraries : tuple of str
        Distributions whose version is a fact, since their results differ between versions.
    one_of : tuple of str
        Optional inputs of which there has to be at least one.
    narrow : callable, optional
        ``narrow(options, unit)``: the part of the options that concerns a unit.
    device : callable
        ``device(unit)``: which device its job takes the whole of (``"auto"``, ``"cuda:1"``), empty for jobs
        that take one thread. A device has one job at a time, beside the others, and all of them in one
        process, which may keep what is slow to load.
    on_demand : bool
        Its output only serves what is made from it: where that is there already, somebody's work or
        adopted, and nothing of the kind was ever made here, it is not made for its own sake.
    """

    name: str
    per: str
    run: Callable[..., Any]
    writes: Artifact | tuple[Artifact, ...]
    reads: Mapping[str, Artifact | Read | ThisUnit] = field(default_factory=dict)
    options: type[Any] = NoOptions
    version: int = 1
    aliases: tuple[str, ...] = ()
    command: str = ""
    group: str = "data"
    help: str = ""
    enabled: Callable[[Any], bool] = always
    fan_in: bool = False
    libraries: tuple[str, ...] = ()
    one_of: tuple[str, ...] = ()
    narrow: Callable[[Any, Unit], Any] | None = None
    device: Callable[[Unit], str] = no_device
    on_demand: bool = False

    @property
    def outputs(self) -> tuple[Artifact, ...]:
        """The artifacts it writes, always as a tuple."""
        return self.writes if isinstance(self.writes, tuple) else (self.writes,)

    @cached_property
    def collected(self) -> bool:
        """Whether its output is part of a collection (:attr:`Artifact.collected`)."""
        return any(artifact.collected for artifact in self.outputs)

    @cached_property
    def file_reads(self) -> tuple[tuple[str, Read], ...]:
        """Its inputs that are files, with their names."""
        reads = self.reads.items()
        return tuple((name, as_read(what)) for name, what in reads if not isinstance(what, ThisUnit))


class Registry:
    """The stages of a pipeline, in an order in which each comes after those it reads from."""

    def __init__(self, stages: Sequence[Stage]) -> None:
        self.producers = {artifact.name: stage for stage in stages for artifact in stage.outputs}
        self._by_name = {name: stage for stage in stages for name in (stage.name, *stage.aliases)}
        if len(self._by_name) != sum(1 + len(stage.aliases) for stage in stages):
            raise ValueError("two stages share a name or an alias")
        self.stages = self._in_order(stages)

    def __iter__(self) -> Iterator[Stage]:
        return iter(self.stages)

    def __getitem__(self, name: str) -> Stage:
        return self._by_name[name]

    def before(self, stage: Stage) -> tuple[Stage, ...]:
        """Return the stages that write something ``stage`` may read."""
        found = []
        for _, read in stage.file_reads:
            for artifact in read.artifacts:
                producer = self.producers.get(artifact.name)
                if producer is not None and producer not in found:
                    found.append(producer)
        return tuple(found)

    def upstream(self, stages: Sequence[Stage]) -> tuple[Stage, ...]:
        """Return ``stages`` and everything they depend on, in order."""
        wanted: set[str] = set()
        pending = list(stages)
        while pending:
            stage = pending.pop()
            if stage.name not in wanted:
                wanted.add(stage.name)
                pending.extend(self.before(stage))
        return tuple(stage for stage in self.stages if stage.name in wanted)

    def _in_order(self, stages: Sequence[Stage]) -> tuple[Stage, ...]:
        done: dict[str, Stage] = {}

        def visit(stage: Stage, path: tuple[str, ...]) -> None:
            if stage.name in path:
                raise ValueError(f"stages depend on each other: {' -> '.join((*path, stage.name))}")
            if stage.name not in done:
                for producer in self.before(stage):
                    visit(producer, (*path, stage.name))
                done[stage.name] = stage

        for stage in stages:
            visit(stage, ())
        return tuple(done.values())
