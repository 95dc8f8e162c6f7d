"""The graph: which jobs there are, what each reads and writes, and who makes what it reads."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from anipipe.engine.declare import Artifact, Options, Read, Registry, Stage, Unit
from anipipe.engine.digest import Disk
from anipipe.engine.jobs import Job, Source, library_version
from anipipe.engine.records import Facts, Records
from anipipe.errors import AnipipeError


class Graph:
    """A job for each stage and each unit that there is something to do for.

    Parameters
    ----------
    registry : Registry
    units : iterable of Unit
    disk, records
        Of the same root.

    Attributes
    ----------
    jobs : list of Job
        Each after those it reads from.
    by_output : dict
        Path to the job that makes it.
    dependents : dict
        Job to those that read from it.

    Raises
    ------
    AnipipeError
        If two jobs would write one file.
    """

    def __init__(self, registry: Registry, units: Iterable[Unit], disk: Disk, records: Records) -> None:
        self.registry, self.disk, self.records = registry, disk, records
        self.by_output: dict[str, Job] = {}
        self.dependents: dict[Job, list[Job]] = {}
        self._facts: dict[tuple[str, int], tuple[Options, Facts, Mapping[str, Any]]] = {}
        self._places: dict[tuple[str, Unit], tuple[str, ...]] = {}
        by_kind: dict[str, list[Unit]] = {}
        for unit in units:
            by_kind.setdefault(unit.kind, []).append(unit)
        self.jobs = [
            job
            for stage in registry
            for unit in by_kind.get(stage.per, ())
            if stage.enabled(unit.settings) and (job := self._job(stage, unit)) is not None
        ]

    def _job(self, stage: Stage, unit: Unit) -> Job | None:
        options, fixed, introduced = self._options(stage, unit)
        sources: list[Source] = []
        for role, read in stage.file_reads:
            found = self._sources(role, read, unit, stage.fan_in)
            if found is None and not read.optional and not (read.found and self._was_made(stage, unit)):
                return None  # switched off for this unit, and with it what would be made of it
            sources.extend(found or ())
        reads = stage.file_reads
        if not sources and (stage.fan_in or (reads and all(read.optional for _, read in reads))):
            return None  # there is nothing to make it from
        if not self._is_ours_to_make(stage, unit):
            return None
        outputs = {self._paths(artifact, unit)[0]: artifact for artifact in stage.outputs}
        if len(outputs) < len(stage.outputs):
            raise AnipipeError(f"{stage.name} {unit.label}: two of its outputs would be {', '.join(outputs)}")
        home, key = _place(stage, unit)
        job = Job(stage, unit, home, key, options, fixed, introduced, sources, outputs)
        for path in outputs:
            if path in self.by_output:
                other = self.by_output[path]
                raise AnipipeError(
                    f"{job.label} and {other.label} would both write {path}: rename one of their files"
                )
            self.by_output[path] = job
        self.dependents[job] = []
        for source in sources:
            if source.producer is not None:
                self.dependents[source.producer].append(job)
        return job

    def _options(self, stage: Stage, unit: Unit) -> tuple[Options, Facts, Mapping[str, Any]]:
        # Most sessions of a lab share one settings object, and with it their options.
        key = (stage.name, id(unit.settings))
        if key not in self._facts:
            options = stage.options.of(unit.settings)
            self._facts[key] = options, _fixed(stage, options), stage.options.introduced()
        options, fixed, introduced = self._facts[key]
        own = options if stage.narrow is None else stage.narrow(options, unit)
        if own is options:
            return options, fixed, introduced
        return own, _fixed(stage, own), own.introduced()

    def _sources(self, role: str, read: Read, unit: Unit, fan_in: bool) -> list[Source] | None:
        """Return what a read comes to for a unit; ``None`` if it is switched off for all it could be of."""
        artifacts = read.artifacts
        units = [unit] if artifacts[0].per == unit.kind else unit.related.get(artifacts[0].per, [])
        found = []
        for other in units:
            for artifact in artifacts:
                paths = self._paths(artifact, other)
                if self._wanted(artifact, other, paths):
                    break
            else:
                continue
            if paths or not read.found:
                producer = self.by_output.get(paths[0]) if paths else None
                gathered = read.gathered or fan_in
                found.append(
                    Source(role, artifact, other, paths, producer, read.optional, read.consulted, gathered)
                )
        return found if found or not (units or read.found) else None

    def _paths(self, artifact: Artifact, unit: Unit) -> tuple[str, ...]:
        """Return where an artifact lies; worked out once, for several stages read it."""
        key = artifact.name, unit
        paths = self._places.get(key)
        if paths is None:
            paths = self._places[key] = artifact.paths(unit)
        return paths

    def _wanted(self, artifact: Artifact, unit: Unit, paths: Sequence[str]) -> bool:
        """Say whether an artifact is made for a unit, was found, or is made by no stage at all."""
        if artifact.name in unit.files or artifact.name not in self.registry.producers:
            return True
        return not self.by_output.keys().isdisjoint(paths)

    def _is_ours_to_make(self, stage: Stage, unit: Unit) -> bool:
        """Say whether outputs without a place of their own have one, and nobody's file lies in it."""
        places = [self._paths(artifact, unit) for artifact in stage.outputs if not artifact.pattern]
        if not places:
            return True
        if not all(places):
            return False
        return self._was_made(stage, unit) or not any(self.disk.exists(path) for path, *_ in places)

    def _was_made(self, stage: Stage, unit: Unit) -> bool:
        """Say whether a stage has once made something for a unit."""
        return any(True for _ in self.records.claims(*_place(stage, unit)).made())


def _place(stage: Stage, unit: Unit) -> tuple[str, str]:
    """Return the folder that keeps a job's records, and its key there."""
    # A collection outlives the folders of its parts, so the root remembers what is in it.
    home, key = ("", unit.label) if stage.collected else (unit.home, unit.key)
    return home, f"{stage.name}:{key}"


def _fixed(stage: Stage, options: Options) -> Facts:
    """Return the facts of a job that are no files."""
    fixed: Facts = {"stage": stage.version}
    fixed.update((f"option:{name}", value) for name, value in options.facts().items())
    fixed.update((f"library:{name}", library_version(name)) for name in stage.libraries)
    return fixed
