"""Jobs: stages for units, with what they read and write."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from anipipe.engine.declare import Artifact, Options, Stage, Unit
from anipipe.engine.freshness import Situation, Verdict
from anipipe.engine.records import Facts


@dataclass(slots=True, eq=False)
class Source:
    """One input of a job: an artifact of one unit."""

    role: str
    artifact: Artifact
    unit: Unit
    paths: tuple[str, ...]
    producer: Job | None
    optional: bool
    consulted: bool = False
    gathered: bool = False

    def facts(self, digests: Sequence[str]) -> Facts:
        """Return what is to be recorded of its files, given the digest of each."""
        if self.artifact.content:
            return {f"content:{self.artifact.content}": " ".join(digests)}
        kind = "with" if self.consulted else "in"
        return {f"{kind}:{path}": digest for path, digest in zip(self.paths, digests, strict=True)}


@dataclass(slots=True, eq=False)
class Job:
    """A stage for one unit."""

    stage: Stage
    unit: Unit
    home: str
    key: str
    options: Options
    fixed: Facts
    introduced: Mapping[str, Any]
    sources: list[Source]
    outputs: dict[str, Artifact]
    selected: bool = True
    forced: bool = False

    def has_option(self, key: str) -> bool:
        """Say whether a setting is among its options, or in one that is a table, and is not empty there."""
        parts = key.split(".")
        return any(self.fixed.get(f"option:{'.'.join(parts[:end])}") for end in range(1, len(parts) + 1))

    @property
    def batch(self) -> str:
        """What it is a part of that is brought to its end before another is begun."""
        return self.unit.batch or self.unit.label

    @property
    def label(self) -> str:
        """How it is shown to people."""
        return f"{self.stage.name} {self.unit.label}".rstrip()


@dataclass(slots=True)
class Examined:
    """A verdict with what it rests on."""

    verdict: Verdict
    situation: Situation
    usable: list[Source]
    stale_inputs: list[str] = field(default_factory=list)
    postponed: list[str] = field(default_factory=list)


@lru_cache
def library_version(name: str) -> str:
    """Return the version of a distribution that is installed here, or ``"none"``."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "none"
