"""In what two sets of facts differ, in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from anipipe.engine.records import Facts

#: Kinds of facts that are digests of what a job reads.
INPUTS = ("in", "with", "content")


class _Pending:
    def __repr__(self) -> str:
        return "PENDING"


#: Stands for the digest of an input that will be made again first.
PENDING: Any = _Pending()


def differences(then: Facts, now: Facts, introduced: Mapping[str, Any]) -> list[str]:
    """Name everything, save outputs, in which two sets of facts differ.

    Parameters
    ----------
    then, now : dict
        Facts. Inputs that are :data:`PENDING` now are passed over.
    introduced : mapping
        Value that an option is taken to have had in a record from before it existed.

    Returns
    -------
    list of str
        One sentence each; options first, then versions, then inputs by path.
    """
    options: list[str] = []
    versions: list[str] = []
    inputs: list[str] = []
    for key in {**now, **then}:
        kind, _, name = key.partition(":")
        if kind == "content" and key not in now:
            inputs.append(f"there is no {name} for it any more")
        elif kind in INPUTS:
            inputs += _input_change(name, then.get(key), now.get(key))
        elif kind == "option":
            default = introduced.get(name)
            options += _option_changes(name, then.get(key, default), now.get(key, default))
        elif kind == "library" and then.get(key, "") is None:
            continue  # adopted: nobody knows with which version it was made
        elif kind != "out" and then.get(key) != now.get(key):
            what = "stage version" if kind == "stage" else name
            versions.append(f"{what} {then.get(key, 'unknown')} -> {now.get(key, 'none')}")
    return [*sorted(options), *sorted(versions), *sorted(inputs)]


def _input_change(path: str, was: Any, now: Any) -> list[str]:
    if now is None:
        return [f"input {path} is gone"]
    if was is None:
        return [f"new input {path}"]
    return [] if now is PENDING or was == now else [f"{path} changed"]


def _option_changes(name: str, was: Any, now: Any) -> list[str]:
    if was == now:
        return []
    if isinstance(was, dict) and isinstance(now, dict):
        changes = []
        for key in {**was, **now}:
            if key not in was:
                changes.append(f"{_inside(name, key)} = {_short(now[key])} was added")
            elif key not in now:
                changes.append(f"{_inside(name, key)} was removed")
            else:
                changes.extend(_option_changes(_inside(name, key), was[key], now[key]))
        return changes
    return [f"{name}: {_short(was)} -> {_short(now)}"]


def _inside(name: str, key: str) -> str:
    """Name one entry of an option that is a table: of ``cameras.*.offset``, ``cameras.A.offset``."""
    return name.replace("*", key) if "*" in name else f"{name}.{key}"


def _short(value: Any) -> str:
    text = "(not set)" if value is None else repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
