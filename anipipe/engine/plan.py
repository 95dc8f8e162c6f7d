"""The graph of jobs, and each job's verdict.

The same :meth:`Plan.examine` serves a run, where inputs have just been made, and a look ahead (``status``,
``--dry-run``), where they are only known to be going to be.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from anipipe.engine.damage import damage_of
from anipipe.engine.declare import Artifact, Options, Read, Registry, Stage, Unit, library_version
from anipipe.engine.digest import EMPTY, Disk
from anipipe.engine.freshness import PENDING, Situation, State, Verdict, judge
from anipipe.engine.jobs import Examined, Job, Source
from anipipe.engine.records import Claims, Facts, Records
from anipipe.errors import AnipipeError, NotHereError


class Plan:
    """The jobs of one experiment, each after those it reads from, and their verdicts so far.

    Parameters
    ----------
    registry : Registry
    units : iterable of Unit
    disk, records
        Of the same root.
    """

    def __init__(self, registry: Registry, units: Iterable[Unit], disk: Disk, records: Records) -> None:
        self.registry, self.disk, self.records = registry, disk, records
        self.by_output: dict[str, Job] = {}
        self.dependents: dict[Job, list[Job]] = {}
        self.verdicts: dict[Job, Examined] = {}
        self._stages, self._whole = {stage.name for stage in registry}, True
        #: Jobs that a run has tried and failed at: nothing more is to come from them.
        self.tried: set[Job] = set()
        #: What is known to be wrong with the settings of jobs, which are blocked for it.
        self.objections: dict[Job, list[str]] = {}
        self._waited_for: Mapping[str, str] = {}
        by_kind: dict[str, list[Unit]] = {}
        for unit in units:
            by_kind.setdefault(unit.kind, []).append(unit)
        self._facts: dict[tuple[str, int], tuple[Options, Facts, Mapping[str, Any]]] = {}
        self.jobs = [
            job
            for stage in registry
            for unit in by_kind.get(stage.per, ())
            if stage.enabled(unit.settings) and (job := self._job(stage, unit)) is not None
        ]

    def select(self, stages: Iterable[Stage], *, units: Iterable[Unit] | None = None) -> None:
        """Choose which jobs are to be brought up to date.

        Parameters
        ----------
        stages : iterable of Stage
        units : iterable of Unit, optional
            Only jobs for these; all, if not told.
        """
        self._stages = {stage.name for stage in stages}
        chosen = None if units is None else set(units)
        self._whole = chosen is None
        for job in self.jobs:
            job.selected = job.stage.name in self._stages and (chosen is None or job.unit in chosen)

    def wait_for(self, paths: Mapping[str, str]) -> None:
        """Leave files that are still being written, and all that rests on them, for a later run.

        Parameters
        ----------
        paths : mapping
            Path relative to the root, to why it is waited for.
        """
        self._waited_for = paths

    def force(self, paths: Sequence[str]) -> None:
        """Mark the jobs whose outputs are named, or lie below a named folder, to be done whatever is there.

        Raises
        ------
        NotHereError
            If a path (relative to the root) is no output, or only of jobs that are not selected.
        """
        for wanted in paths:
            hits = [
                job
                for path, job in self.by_output.items()
                if not wanted or path == wanted or path.startswith(f"{wanted}/")
            ]
            if not hits:
                folders = dict.fromkeys(path.rpartition("/")[0] for path in self.by_output)
                there = ", ".join(list(folders)[:6]) or "nothing"
                raise NotHereError(
                    f"--force {wanted}: no stage writes this; there are outputs in {there}, ..."
                )
            for job in hits:
                job.forced = True
            if not any(job.selected for job in hits):
                names = ", ".join(dict.fromkeys(job.stage.command or job.stage.name for job in hits))
                raise NotHereError(
                    f"--force {wanted}: it is made by {names}, for which this run was not asked"
                )

    def examine_all(self, *, retrying: bool = True) -> None:
        """Look ahead: give every job its verdict, as if those before it were done.

        Parameters
        ----------
        retrying : bool
            Take it that what failed last time will be tried again and succeed; else that it will not,
            so that what rests on it is blocked.
        """
        for job in self.jobs:
            self.examine(job)
            if not retrying and self.state(job) is State.FAILED:
                self.tried.add(job)

    def examine(self, job: Job) -> Examined:
        """Give a job its verdict, from the verdicts of those before it and from what is on disk."""
        examined = self._situation(job, job.sources)
        examined.verdict = self._judge(job, examined)
        if examined.stale_inputs and not job.selected and examined.verdict.state is State.FRESH:
            # True to the files on disk, which are not what they should be: for those after it, not current.
            examined.verdict = Verdict(State.PENDING, tuple(examined.stale_inputs))
        if examined.verdict.state.to_do and self._is_spared(job):
            examined.verdict = Verdict(State.SPARED)
        self.verdicts[job] = examined
        return examined

    def _is_spared(self, job: Job) -> bool:
        """Say whether all that would be made from a job's output is there without it."""
        if not job.stage.on_demand or self._is_made(job):
            return False
        dependents = self.dependents[job]
        return bool(dependents) and all(self._stands_without(other, job.stage) for other in dependents)

    def _is_made(self, job: Job) -> bool:
        """Say whether a job has been done here, or will be since it was asked for."""
        return (job.forced and job.selected) or any(True for _ in self.claims(job).made())

    def _stands_without(self, job: Job, stage: Stage) -> bool:
        """Say whether a job is current if what ``stage`` would make for it, and did not yet, is left out."""
        sources = []
        for source in job.sources:
            producer = source.producer
            if producer is not None and producer.stage is stage:
                if not self._is_made(producer):
                    continue
                if producer not in self.verdicts:
                    self.examine(producer)
            sources.append(source)
        known = all(s.producer is None or s.producer in self.verdicts for s in sources)
        return known and self._judge(job, self._situation(job, sources)).state.current

    def _judge(self, job: Job, examined: Examined) -> Verdict:
        return judge(
            examined.situation,
            self.claims(job),
            introduced=job.introduced,
            strict=not job.stage.fan_in,
            forced=job.forced and job.selected,
            exists=self.disk.exists,
            damage=lambda path: damage_of(
                job.outputs[path], self.disk.path(path), path, job.unit.names, self.claims(job)
            ),
        )

    def claims(self, job: Job) -> Claims:
        """Return what is recorded about a job."""
        return self.records.claims(job.home, job.key)

    def state(self, job: Job) -> State:
        """Return the state that a job was last found in."""
        return self.verdicts[job].verdict.state

    def ahead(self) -> set[Job]:
        """Return the selected jobs that are to be done, or may have to be once their inputs are."""
        return {
            job
            for job in self.jobs
            if job.selected and (self.state(job).to_do or self.state(job) is State.PENDING)
        }

    def paths(self) -> set[str]:
        """Return every file that a job reads or writes."""
        inputs = (path for job in self.jobs for source in job.sources for path in source.paths)
        return {*self.by_output, *inputs}

    def counts(self, jobs: Iterable[Job] | None = None) -> Counter[State]:
        """Count jobs by state."""
        return Counter(self.state(job) for job in (self.jobs if jobs is None else jobs))

    def unclaimed(self) -> list[str]:
        """Return the keys of recorded parts of collections that no job makes any more.

        Only of selected stages, and only if all units are selected: no one else is to touch a collection.
        """
        if not self._whole:
            return []
        collected = {stage.name for stage in self.registry if stage.collected} & self._stages
        taken = {job.key for job in self.jobs if job.stage.collected}
        return [
            key
            for key, claims in self.records.jobs("")
            if key.partition(":")[0] in collected and key not in taken and (claims.done or claims.intents)
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
        outputs = {artifact.paths(unit)[0]: artifact for artifact in stage.outputs}
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
            artifact = next((a for a in artifacts if self._wanted(a, other)), None)
            if artifact is not None:
                paths = artifact.paths(other)
                if read.found and not paths:
                    continue
                producer = self.by_output.get(paths[0]) if paths else None
                found.append(
                    Source(
                        role,
                        artifact,
                        other,
                        paths,
                        producer,
                        read.optional,
                        read.consulted,
                        read.gathered or fan_in,
                    )
                )
        return found if found or not (units or read.found) else None

    def _wanted(self, artifact: Artifact, unit: Unit) -> bool:
        """Say whether an artifact is made for a unit, was found, or is made by no stage at all."""
        if artifact.name in unit.files or artifact.name not in self.registry.producers:
            return True
        return any(path in self.by_output for path in artifact.paths(unit))

    def _is_ours_to_make(self, stage: Stage, unit: Unit) -> bool:
        """Say whether outputs without a place of their own have one, and nobody's file lies in it."""
        places = [artifact.paths(unit) for artifact in stage.outputs if not artifact.pattern]
        if not all(places):
            return False
        return self._was_made(stage, unit) or not any(self.disk.exists(path) for path, *_ in places)

    def _was_made(self, stage: Stage, unit: Unit) -> bool:
        """Say whether a stage has once made something for a unit."""
        return any(True for _ in self.records.claims(*_place(stage, unit)).made())

    def _situation(self, job: Job, sources: Iterable[Source]) -> Examined:
        facts = dict(job.fixed)
        digest = self.disk.digest
        outputs = {path: digest(path, sampled=a.sampled) for path, a in job.outputs.items()}
        situation = Situation(facts, {path: None if d == EMPTY else d for path, d in outputs.items()})
        examined = Examined(Verdict(State.FRESH), situation, [])
        for source in sources:
            producer = source.producer
            if producer is not None and self.state(producer) is State.SPARED:
                continue
            if producer is not None and not self.state(producer).current:
                settled = self._wait_or_leave_out(source, producer, job, examined)
                if settled:
                    continue
            situation.waiting += [why for path in source.paths if (why := self._waited_for.get(path))]
            found = [digest(path, sampled=source.artifact.sampled) for path in source.paths]
            digests = [value for value in found if value is not None]
            if not found or len(digests) < len(found):
                if source.gathered:
                    situation.left_out.append(_absence(source))
                elif not source.optional:
                    situation.missing.append(_absence(source))
                continue
            facts.update(source.facts(digests))
            examined.usable.append(source)
        situation.missing += self.objections.get(job, []) or _none_of(job, examined.usable)
        if job.stage.fan_in and not examined.usable:
            situation.waiting += examined.postponed
            situation.missing.append("nothing to gather: none of its inputs is up to date")
        for role, read in job.stage.file_reads:
            if (read.found or not read.each) and not (
                read.optional or any(s.role == role for s in job.sources)
            ):
                situation.missing.append(_nowhere(read.artifacts[-1]))
        return examined

    def _wait_or_leave_out(self, source: Source, producer: Job, job: Job, examined: Examined) -> bool:
        """Take in an input that is not current; say whether that settles it, else it is used as it is."""
        situation, state = examined.situation, self.state(producer)
        failed = state is State.FAILED or self.verdicts[producer].situation.failing
        situation.failing = situation.failing or failed
        ahead = producer.selected and state in (State.STALE, State.FAILED, State.PENDING)
        if ahead and producer not in self.tried:
            situation.facts.update(source.facts([PENDING] * len(source.paths)))
            examined.usable.append(source)
            return True
        wanted_current = producer.selected or (job.stage.collected and not job.stage.fan_in)
        if not wanted_current and self._on_disk(source):
            if not source.gathered:
                examined.stale_inputs.append(f"{producer.label} is {state}")
            return False
        if state is State.WAITING:
            # What can do without it does; a table of nothing else waits, too.
            (examined.postponed if source.gathered else situation.waiting).append(f"{producer.label} waits")
        elif source.gathered:
            situation.left_out.append(f"{producer.label}: {state}")
        else:
            situation.missing.append(f"{producer.label} {_plight(state)}")
        return True

    def _on_disk(self, source: Source) -> bool:
        return all(self.disk.exists(path) for path in source.paths)


def _place(stage: Stage, unit: Unit) -> tuple[str, str]:
    """Return the folder that keeps a job's records, and its key there."""
    # A collection outlives the folders of its parts, so the root remembers what is in it.
    home, key = ("", unit.label) if stage.collected else (unit.home, unit.key)
    return home, f"{stage.name}:{key}"


def _plight(state: State) -> str:
    return {State.FAILED: "failed", State.BLOCKED: "is blocked"}.get(state, f"is {state}")


def _fixed(stage: Stage, options: Options) -> Facts:
    """Return the facts of a job that are no files."""
    fixed: Facts = {"stage": stage.version}
    fixed.update((f"option:{name}", value) for name, value in options.facts().items())
    fixed.update((f"library:{name}", library_version(name)) for name in stage.libraries)
    return fixed


def _absence(source: Source) -> str:
    where = f": {', '.join(source.paths)} is missing" if source.paths else ""
    hint = source.artifact.absent.format_map(source.unit.names) if source.artifact.absent else ""
    return f"no {source.artifact.name} for {source.unit.label}{where}" + (f" ({hint})" if hint else "")


def _none_of(job: Job, usable: Sequence[Source]) -> list[str]:
    """Say what is missing, if there is none of those inputs of which one is needed."""
    roles = job.stage.one_of
    lacking = [source for source in job.sources if source.role in roles]
    if not lacking or any(source.role in roles for source in usable):
        return []
    return [_absence(next((source for source in lacking if source.paths), lacking[0]))]


def _nowhere(artifact: Artifact) -> str:
    return f"no {artifact.name} anywhere" + (f" ({artifact.absent})" if artifact.absent else "")
