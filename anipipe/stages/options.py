"""Options of stages: frozen dataclasses whose fields name keys of the configuration."""

from __future__ import annotations

import dataclasses
import importlib.metadata
from typing import Any, Self

from anipipe.config import Resolved, default, lookup


def setting(key: str, *, fact: bool = True) -> Any:
    """Declare a field that holds the value of a key; with ``cameras.*.KEY``, of all cameras that set it.

    What says how to run, and not what comes out, is no ``fact``.
    """
    return dataclasses.field(metadata={"key": key, "fact": fact})


@dataclasses.dataclass(frozen=True)
class SettingsOptions:
    """Base of options that are taken from the configuration as they stand there.

    All of the configuration that a stage can see are the keys of its fields; hence they are all of it
    that can make it stale.
    """

    @classmethod
    def of(cls, settings: Resolved) -> Self:
        """Look the fields' keys up."""
        return cls(**{name: lookup(settings.config, key) for name, key in _keys(cls)})

    def facts(self) -> dict[str, Any]:
        """Return every key with its value."""
        return {key: getattr(self, name) for name, key in _keys(type(self), facts_only=True)}

    @classmethod
    def introduced(cls) -> dict[str, Any]:
        """Return the keys' defaults; a default that changes raises the version of the stages that read it."""
        return {key: default(key) for _, key in _keys(cls, facts_only=True)}


def engine_version(engine: str) -> dict[str, Any]:
    """Return the facts about the program that was chosen for a stage; what is anipipe's own has none."""
    if engine == "anipipe":
        return {}
    try:
        return {f"engine {engine}": importlib.metadata.version(engine)}
    except importlib.metadata.PackageNotFoundError:
        return {f"engine {engine}": None}


def _keys(cls: type[SettingsOptions], *, facts_only: bool = False) -> tuple[tuple[str, str], ...]:
    settings = (field for field in dataclasses.fields(cls) if "key" in field.metadata)
    fields = (field for field in settings if field.metadata["fact"] or not facts_only)
    return tuple((field.name, field.metadata["key"]) for field in fields)
