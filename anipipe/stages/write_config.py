"""``write-config``: the configuration that a session is processed with, all of it in one file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

from anipipe.artifacts import RESOLVED_CONFIG
from anipipe.config import KEYS, Config, Resolved, default, lookup, to_toml
from anipipe.engine.declare import Stage

_SECTIONS = ("cameras", "angles")
_PLAIN = tuple(key for key in KEYS if not key.startswith(tuple(f"{name}." for name in _SECTIONS)))


@dataclass(frozen=True)
class ConfigOptions:
    """The whole configuration: what differs from the defaults is what is recorded."""

    config: Config

    @classmethod
    def of(cls, settings: Resolved) -> Self:
        """Take all of it."""
        return cls(settings.config)

    def facts(self) -> dict[str, Any]:
        """Return the keys that are set to something else than their default."""
        values = {key: lookup(self.config, key) for key in (*_PLAIN, *_SECTIONS)}
        return {key: value for key, value in values.items() if value != default(key)}

    @classmethod
    def introduced(cls) -> dict[str, Any]:
        """Return the defaults."""
        return {key: default(key) for key in (*_PLAIN, *_SECTIONS)}


def write_config(*, options: ConfigOptions) -> str:
    """Write the configuration of a session, merged from all levels, into one file."""
    head = "# The configuration that this session was processed with; edit config.toml, not this file.\n\n"
    return head + to_toml(options.config)


STAGE = Stage(
    name="write-config",
    per="session",
    run=write_config,
    writes=RESOLVED_CONFIG,
    options=ConfigOptions,
)
