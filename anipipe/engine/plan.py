"""Each job's verdict.

The same :meth:`Plan.examine` serves a run, where inputs have just been made, and a look ahead (``status``,
``--dry-run``), where they are only known to be going to be.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from anipipe.engine.damage import damage_of
from anipipe.engine.declare import Artifact, Registry, Stage, Unit
from anipipe.engine.differences import PENDING
from anipipe.engine.digest import EMPTY, Disk
from anipipe.engine.freshness import Situation, State, Verdict, judge
from anipipe.engine.graph import Graph
from anipipe.engine.jobs import Examined, Job, Source
from anipipe.engine.records import Claims, Records
from anipipe.errors import NotHereError


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
        graph = Graph(registry, units, disk, records)
        self.jobs, self.by_output, self.dependents = graph.jobs, graph.by_output, graph.dependents
        self.verdicts: dict[Job, Examined] = {}
        self._stages, self._whole = {stage.name for stage in registry}, True
        #: Jobs that a run has tried and failed at: nothing more is to come from them.
        self.tried: set[Job] = set()
        #: What is known to be wrong with the settings of jobs, which are blocked for it.
        self.objections: dict[Job, list[str]] = {}
        self._waited_for: Mapping[str, str] = {}

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

    def _situation(self, job: Job, sources: Iterable[Source]) -> Examined:
        facts = dict(job.fixed)
        digest, verdicts = self.disk.digest, self.verdicts
        outputs = {path: digest(path, sampled=a.sampled) for path, a in job.outputs.items()}
        situation = Situation(facts, {path: None if d == EMPTY else d for path, d in outputs.items()})
        examined = Examined(Verdict(State.FRESH), situation, [])
        for source in sources:
            producer = source.producer
            state = State.FRESH if producer is None else verdicts[producer].verdict.state
            if state is State.SPARED:
                continue
            if producer is not None and not state.current:
                settled = self._wait_or_leave_out(source, producer, job, examined)
                if settled:
                    continue
            if self._waited_for:
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


def _plight(state: State) -> str:
    return {State.FAILED: "failed", State.BLOCKED: "is blocked"}.get(state, f"is {state}")


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
