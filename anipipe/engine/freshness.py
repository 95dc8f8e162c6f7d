"""The one function that decides whether a job has to be done, and explains why.

A job's *facts* are a flat dict: the digest of each input (``in:PATH``; ``with:PATH`` if what was made stays
when the file is gone; ``content:NAME`` if it counts wherever it lies) and output (``out:PATH``), each option
(``option:KEY``), the stage's version (``stage``) and that of libraries whose results differ between versions
(``library:NAME``; null if that is not known). What is recorded when a job is done is that dict. The job is up
to date when the facts then equal the facts now, and the explanation is their difference, all of it.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from anipipe.engine.differences import INPUTS, PENDING, differences
from anipipe.engine.digest import size_in
from anipipe.engine.records import Claims, Facts


class State(enum.StrEnum):
    """What :func:`judge` finds."""

    FRESH = "fresh"
    STALE = "stale"
    PENDING = "pending"
    BLOCKED = "blocked"
    FAILED = "failed"
    GIVEN = "given"
    EDITED = "edited"
    CONFLICT = "conflict"
    ARCHIVED = "archived"
    SPARED = "spared"
    WAITING = "waiting"

    @property
    def current(self) -> bool:
        """Whether the output on disk is what others are meant to use."""
        return self in _CURRENT

    @property
    def to_do(self) -> bool:
        """Whether the job should be run."""
        return self in (State.STALE, State.FAILED)


_INPUTS = tuple(f"{kind}:" for kind in INPUTS)
_NEEDED = ("in:", "content:")
#: There is nothing to tell about a job in one of these.
QUIET = frozenset({State.FRESH, State.SPARED})

#: What has to be done, or could be if its inputs were there, waits for those that are still being written.
_WAITED_FOR = (State.STALE, State.FAILED, State.PENDING, State.BLOCKED)
_CURRENT = {State.FRESH, State.GIVEN, State.EDITED, State.CONFLICT, State.ARCHIVED}

#: One line each, for people.
MEANINGS: Mapping[State, str] = {
    State.FRESH: "up to date",
    State.STALE: "has to be made (again)",
    State.PENDING: "will be looked at once its inputs are made",
    State.BLOCKED: "cannot be made: an input is missing or failed, or a setting does not fit",
    State.FAILED: "the last try failed",
    State.GIVEN: "not made by anipipe: used as it is",
    State.EDITED: "changed since anipipe made it: used as it is",
    State.CONFLICT: "given or edited, and what it was made from has changed since",
    State.ARCHIVED: "kept, though what it was made from is gone",
    State.SPARED: "not needed: what would be made from it is there already",
    State.WAITING: "left for a later run: a recording is still being written",
}


class Damage(enum.Enum):
    """What happened to an output that is shorter than it was made."""

    NONE = "somebody's work"
    TORN = "cut short, and unreadable"
    CUT = "a text that was cut short, as far as can be told"
    UNSURE = "one of both"


@dataclass(slots=True)
class Situation:
    """What is true of a job now.

    Attributes
    ----------
    facts : dict
        Inputs that are on disk (or :data:`PENDING`), options, versions; no outputs.
    outputs : dict
        Digest of each output, ``None`` where it is missing.
    missing : list of str
        For each input that is needed and not there: what to tell the user.
    left_out : list of str
        For a fan-in: labels of the inputs that are not current.
    failing : bool
        Something that it rests on failed, so that what is missing has not gone but is yet to come.
    waiting : list of str
        Inputs that are still being written, or rest on what is: what to tell the user.
    """

    facts: Facts
    outputs: dict[str, str | None]
    missing: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    failing: bool = False
    waiting: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Verdict:
    """The state of a job and every reason for it, in words.

    ``compare`` names outputs that were either cut short or edited: if they do not begin what is made anew,
    they were edited, and are kept.
    """

    state: State
    reasons: tuple[str, ...] = ()
    compare: tuple[str, ...] = ()


_FRESH = Verdict(State.FRESH)


def judge(
    situation: Situation,
    claims: Claims,
    *,
    introduced: Mapping[str, Any],
    strict: bool = True,
    forced: bool = False,
    exists: Callable[[str], bool],
    damage: Callable[[str], Damage],
) -> Verdict:
    """Decide what state a job is in, and say why.

    Parameters
    ----------
    situation : Situation
        What is true now.
    claims : Claims
        What is recorded.
    introduced : mapping
        See :func:`differences`.
    strict : bool
        The job needs all its inputs (no fan-in), so that one that vanished means its output is archived.
    forced : bool
        The user asked for it by name: given, edited and archived outputs are no obstacle.
    exists : callable
        Whether a path is on disk.
    damage : callable
        What may have happened to an output that we made and that is shorter now.
    """
    if forced and not situation.missing and not situation.waiting:
        return Verdict(State.STALE, ("asked for with --force",))
    verdict = _judge(situation, claims, introduced, strict, exists, damage)
    if situation.waiting and verdict.state in _WAITED_FOR:
        return Verdict(State.WAITING, tuple(situation.waiting))
    if forced:
        cannot = (f"--force cannot make it again: {text}" for text in situation.missing)
        return Verdict(verdict.state, (*verdict.reasons, *cannot))
    return verdict


def _judge(
    situation: Situation,
    claims: Claims,
    introduced: Mapping[str, Any],
    strict: bool,
    exists: Callable[[str], bool],
    damage: Callable[[str], Damage],
) -> Verdict:
    now, outputs = situation.facts, situation.outputs
    if not situation.missing and _as_recorded(claims, now, outputs):
        return _FRESH
    present = {path: digest for path, digest in outputs.items() if digest is not None}
    odd = _not_as_recorded(present, claims, damage)
    record = _record_on_disk(claims, present)
    consulted: list[str] = []
    if record is not None:  # what was only consulted may go
        consulted = [key[5:] for key in record if key[:5] == "with:" and key not in now]
        record = {key: value for key, value in record.items() if key[:5] != "with:" or key in now}
    changed = [] if record is None else differences(record, now, introduced)
    pending = [key.partition(":")[2] for key, value in now.items() if value is PENDING]
    cut = [path for path, what in odd.items() if what is Damage.CUT]
    unsure = [path for path, what in odd.items() if what is Damage.UNSURE]
    foreign = [path for path, what in odd.items() if what is Damage.NONE]
    if unsure and (foreign or changed or pending or situation.missing):
        foreign += unsure  # there is nothing to compare it with: better to keep it
    if foreign:
        return _judge_foreign(foreign, situation, claims, record, introduced)
    expected = [path for path in outputs if record is None or f"out:{path}" in record]
    whole = record is not None and all(path in present for path in expected) and not odd
    if record is not None and whole and strict and not situation.failing:
        gone = [key for key in record if key.startswith(_NEEDED) and key not in now]
        added = [key for key in now if key.startswith(_NEEDED) and key not in record]
        if gone and not added and not any(key.startswith("in:") and exists(key[3:]) for key in gone):
            return Verdict(State.ARCHIVED, (*(f"input {path} is gone" for path in consulted), *changed))
    if situation.missing:
        return Verdict(State.BLOCKED, tuple(situation.missing))
    reasons = [f"{path} was cut short" for path, what in odd.items() if what in (Damage.TORN, Damage.CUT)]
    reasons += [f"{path} was cut short, or edited near its end" for path in unsure]
    word = "is not there yet" if record is None else "was deleted"
    reasons += [f"{path} {word}" for path in expected if path not in present]
    reasons += [
        f"{path} is from an interrupted run"
        for path, digest in present.items()
        if path not in odd and (record is None or record.get(f"out:{path}") != digest)
    ]
    reasons += changed
    compare = tuple(unsure if changed else [*cut, *unsure])
    if reasons:
        if claims.failure is not None:
            return Verdict(State.FAILED, (claims.failure.get("message", "failed"), *reasons), compare)
        return Verdict(State.STALE, tuple(reasons), compare)
    if pending:
        return Verdict(State.PENDING, tuple(f"{path} is made again first" for path in pending))
    return _FRESH


def _as_recorded(claims: Claims, now: Facts, outputs: Mapping[str, str | None]) -> bool:
    """Say whether everything is just as it was confirmed last, which most jobs are most of the time."""
    done = claims.done
    if done is None or not now.items() <= done.items():
        return False
    # An output that the record lacks was not there when the others were adopted, and is not asked for.
    there = sum(digest is not None for digest in outputs.values())
    return len(done) == len(now) + there and all(
        done.get(f"out:{path}") == digest for path, digest in outputs.items()
    )


def _not_as_recorded(
    present: Mapping[str, str], claims: Claims, damage: Callable[[str], Damage]
) -> dict[str, Damage]:
    """Return the outputs that are not as any making left them, with what may have happened to them."""
    odd = {}
    for path, digest in present.items():
        recorded = [facts[f"out:{path}"] for facts in claims.made() if f"out:{path}" in facts]
        if digest not in recorded:
            # What is as long as it was, or longer, was not cut short; what cannot be looked at is somebody's.
            shorter = recorded and 0 < size_in(digest) < size_in(recorded[0]) and digest not in claims.kept
            odd[path] = damage(path) if shorter else Damage.NONE
    return odd


def _judge_foreign(
    foreign: list[str],
    situation: Situation,
    claims: Claims,
    record: Facts | None,
    introduced: Mapping[str, Any],
) -> Verdict:
    edited = any(f"out:{path}" in facts for path in foreign for facts in claims.made())
    state = State.EDITED if edited else State.GIVEN
    words = "was changed since anipipe made it" if edited else "was not made by anipipe"
    reasons = [f"{path} {words}; it is used as it is" for path in foreign]
    then = record if edited else _remembered(claims, foreign, situation)
    now = situation.facts
    there = {key: value for key, value in (then or {}).items() if not key.startswith(_INPUTS) or key in now}
    if then is not None and (changed := differences(there, now, introduced)):
        reasons += changed
        reasons.append(f"to make it again, and lose what it holds: --force {foreign[0]}")
        state = State.CONFLICT
    return Verdict(state, tuple(reasons))


def _remembered(claims: Claims, foreign: list[str], situation: Situation) -> Facts | None:
    """Return the facts that a given output was first seen with, if it still is that output."""
    then = claims.given
    if then is None or any(then.get(f"out:{path}") != situation.outputs[path] for path in foreign):
        return None
    return then


def _record_on_disk(claims: Claims, present: Mapping[str, str]) -> Facts | None:
    """Return the facts of the making whose outputs are those on disk, else of the one confirmed last."""
    if present:
        for facts in claims.made():
            if all(facts.get(f"out:{path}") == digest for path, digest in present.items()):
                return facts
    return claims.done
