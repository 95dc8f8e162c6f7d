from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anipipe.engine.differences import PENDING, differences
from anipipe.engine.digest import size_in
from anipipe.engine.freshness import (
    MEANINGS,
    Damage,
    Situation,
    State,
    Verdict,
    judge,
)
from anipipe.engine.records import Claims

FACTS: dict[str, Any] = {
    "stage": 1,
    "option:size": 3,
    "option:style": {"left": "<", "deep": {"level": 1, "other": 2}},
    "library:opencv": "4.8",
    "in:a": "a1",
    "in:b": "b1",
}
RECORD = {**FACTS, "out:x": "x1.10", "out:y": "y1.10"}
OUTPUTS = {"x": "x1.10", "y": "y1.10"}


def without(facts: dict[str, Any], *keys: str) -> dict[str, Any]:
    return {key: value for key, value in facts.items() if key not in keys}


@dataclass
class Case:
    """A job's situation and record; by default, everything is as recorded."""

    now: dict[str, Any] = field(default_factory=lambda: dict(FACTS))
    outputs: dict[str, str | None] = field(default_factory=lambda: dict(OUTPUTS))
    done: dict[str, Any] | None = field(default_factory=lambda: dict(RECORD))
    intents: list[dict[str, Any]] = field(default_factory=list)
    given: dict[str, Any] | None = None
    failure: dict[str, Any] | None = None
    missing: list[str] = field(default_factory=list)
    introduced: dict[str, Any] = field(default_factory=dict)
    strict: bool = True
    forced: bool = False
    on_disk: tuple[str, ...] = ()
    kept: list[str] = field(default_factory=list)
    failing: bool = False
    #: What is found of outputs; to be asked about any other is a failure of the test.
    damage: dict[str, Damage] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def look(self, path: str) -> Damage:
        self.asked.append(path)
        return self.damage[path]

    def judged(self) -> Verdict:
        return judge(
            Situation(self.now, self.outputs, self.missing, failing=self.failing),
            Claims(self.done, self.intents, self.given, self.failure, self.kept),
            introduced=self.introduced,
            strict=self.strict,
            forced=self.forced,
            exists=lambda path: path in self.on_disk,
            damage=self.look,
        )


NEVER = {"done": None, "outputs": {"x": None, "y": None}}
FOREIGN = {"done": None, "outputs": {"x": "foreign.4", "y": "foreign.4"}}
SEEN = {**FACTS, "out:x": "foreign.4", "out:y": "foreign.4"}
EDITED = {"outputs": {"x": "edited.10", "y": "y1.10"}}
GONE_A = {"now": without(FACTS, "in:a"), "missing": ["no a"]}
FAILURE = {"failure": {"message": "it broke", "traceback": "", "time": ""}}
TORN = {"outputs": {"x": "torn.4", "y": "y1.10"}, "damage": {"x": Damage.TORN}}
UNSURE = {"outputs": {"x": "shorter.4", "y": "y1.10"}, "damage": {"x": Damage.UNSURE}}
SHORTENED = {"outputs": {"x": "shorter.4", "y": "y1.10"}, "damage": {"x": Damage.NONE}}
NEXT = {**FACTS, "in:a": "a2", "out:x": "x2.10", "out:y": "y2.10"}

# state, and what each reason has to hold, all of them and no more
CASES: dict[str, tuple[dict[str, Any], State, list[str]]] = {
    "as recorded": ({}, State.FRESH, []),
    "as recorded, failed once since": (FAILURE, State.FRESH, []),
    "as recorded, fan-in": ({"strict": False}, State.FRESH, []),
    # never made
    "never made": (NEVER, State.STALE, ["x is not there yet", "y is not there yet"]),
    "never made, failed": (
        {**NEVER, **FAILURE},
        State.FAILED,
        ["it broke", "x is not there yet", "y is not there yet"],
    ),
    "never made, input missing": ({**NEVER, **GONE_A}, State.BLOCKED, ["no a"]),
    "never made, failed, input missing": ({**NEVER, **GONE_A, **FAILURE}, State.BLOCKED, ["no a"]),
    "never made, input pending": (
        {**NEVER, "now": {**FACTS, "in:a": PENDING}},
        State.STALE,
        ["x is not there yet", "y is not there yet"],
    ),
    # each kind of difference
    "input changed": ({"now": {**FACTS, "in:a": "a2"}}, State.STALE, ["a changed"]),
    "input added": ({"now": {**FACTS, "in:c": "c1"}}, State.STALE, ["new input c"]),
    "input gone from the job": (
        {"now": without(FACTS, "in:a"), "on_disk": ("a",)},
        State.STALE,
        ["input a is gone"],
    ),
    "option changed": ({"now": {**FACTS, "option:size": 4}}, State.STALE, ["size: 3 -> 4"]),
    "nested option": (
        {"now": {**FACTS, "option:style": {"left": "<", "deep": {"level": 7, "other": 2}}}},
        State.STALE,
        ["style.deep.level: 1 -> 7"],
    ),
    "nested options of all kinds": (
        {"now": {**FACTS, "option:style": {"right": ">", "deep": {"level": 1}}}},
        State.STALE,
        ["style.deep.other was removed", "style.left was removed", "style.right = '>' was added"],
    ),
    "nested option becomes plain": (
        {"now": {**FACTS, "option:style": None}},
        State.STALE,
        ["style: {'left': '<', 'deep': {'level': 1, 'other': 2}} -> (not set)"],
    ),
    "version": ({"now": {**FACTS, "stage": 2}}, State.STALE, ["stage version 1 -> 2"]),
    "library": ({"now": {**FACTS, "library:opencv": "5.0"}}, State.STALE, ["opencv 4.8 -> 5.0"]),
    "library that was not recorded": (
        {"now": {**FACTS, "library:new": "1"}},
        State.STALE,
        ["new unknown -> 1"],
    ),
    "everything at once": (
        {
            "now": {**without(FACTS, "in:b"), "stage": 2, "in:a": "a2", "in:c": "c", "option:size": 4},
            "outputs": {"x": None, "y": "y1.10"},
            "on_disk": ("b",),
        },
        State.STALE,
        [
            "x was deleted",
            "size: 3 -> 4",
            "stage version 1 -> 2",
            "a changed",
            "input b is gone",
            "new input c",
        ],
    ),
    "fan-in lost an input": (
        {"now": without(FACTS, "in:a"), "strict": False},
        State.STALE,
        ["input a is gone"],
    ),
    # options that came after the record
    "new option at its default": (
        {"now": {**FACTS, "option:new": 5}, "introduced": {"new": 5}},
        State.FRESH,
        [],
    ),
    "new option not at its default": (
        {"now": {**FACTS, "option:new": 6}, "introduced": {"new": 5}},
        State.STALE,
        ["new: 5 -> 6"],
    ),
    "new option without a default": (
        {"now": {**FACTS, "option:new": 6}},
        State.STALE,
        ["new: (not set) -> 6"],
    ),
    "a default is no excuse for what is recorded": (
        {"now": {**FACTS, "option:size": 5}, "introduced": {"size": 5}},
        State.STALE,
        ["size: 3 -> 5"],
    ),
    # pending
    "pending": ({"now": {**FACTS, "in:a": PENDING}}, State.PENDING, ["a is made again first"]),
    "pending and new": ({"now": {**FACTS, "in:c": PENDING}}, State.STALE, ["new input c"]),
    "pending and changed": (
        {"now": {**FACTS, "in:a": PENDING, "in:b": "b2"}},
        State.STALE,
        ["b changed"],
    ),
    "pending and failed": (
        {"now": {**FACTS, "in:a": PENDING}, **FAILURE},
        State.PENDING,
        ["a is made again"],
    ),
    # outputs
    "output deleted": ({"outputs": {"x": None, "y": "y1.10"}}, State.STALE, ["x was deleted"]),
    "outputs deleted": (
        {"outputs": {"x": None, "y": None}},
        State.STALE,
        ["x was deleted", "y was deleted"],
    ),
    "output deleted, failed": (
        {"outputs": {"x": None, "y": "y1.10"}, **FAILURE},
        State.FAILED,
        ["it broke", "x was deleted"],
    ),
    "own output torn": (TORN, State.STALE, ["x was cut short"]),
    "own output torn, failed": ({**TORN, **FAILURE}, State.FAILED, ["it broke", "x was cut short"]),
    "own output torn, input changed": (
        {**TORN, "now": {**FACTS, "in:a": "a2"}},
        State.STALE,
        ["x was cut short", "a changed"],
    ),
    "own output torn, the other deleted": (
        {**TORN, "outputs": {"x": "torn.4", "y": None}},
        State.STALE,
        ["x was cut short", "y was deleted"],
    ),
    "own output torn, input pending": (
        {**TORN, "now": {**FACTS, "in:a": PENDING}},
        State.STALE,
        ["x was cut short"],
    ),
    "own intended output torn": (
        {
            "done": None,
            "intents": [RECORD],
            "outputs": {"x": "torn.4", "y": None},
            "damage": {"x": Damage.TORN},
        },
        State.STALE,
        ["x was cut short", "y is not there yet"],
    ),
    "own output torn, input missing": ({**TORN, **GONE_A}, State.BLOCKED, ["no a"]),
    "own output torn, the other edited": (
        {**TORN, "outputs": {"x": "torn.4", "y": "edited.10"}},
        State.EDITED,
        ["y was changed since anipipe made it"],
    ),
    # cut short or edited near the end
    "unsure": (UNSURE, State.STALE, ["x was cut short, or edited near its end"]),
    "unsure, failed": (
        {**UNSURE, **FAILURE},
        State.FAILED,
        ["it broke", "x was cut short, or edited near its end"],
    ),
    "unsure, the other deleted": (
        {**UNSURE, "outputs": {"x": "shorter.4", "y": None}},
        State.STALE,
        ["x was cut short, or edited near its end", "y was deleted"],
    ),
    "unsure, the other torn": (
        {
            "outputs": {"x": "shorter.4", "y": "torn.4"},
            "damage": {"x": Damage.UNSURE, "y": Damage.TORN},
        },
        State.STALE,
        ["y was cut short", "x was cut short, or edited near its end"],
    ),
    "both unsure": (
        {
            "outputs": {"x": "shorter.4", "y": "shorter.5"},
            "damage": {"x": Damage.UNSURE, "y": Damage.UNSURE},
        },
        State.STALE,
        ["x was cut short, or edited near its end", "y was cut short, or edited near its end"],
    ),
    "unsure, the other edited": (
        {**UNSURE, "outputs": {"x": "shorter.4", "y": "edited.10"}},
        State.EDITED,
        ["x was changed since anipipe made it", "y was changed since anipipe made it"],
    ),
    "unsure, input changed": (
        {**UNSURE, "now": {**FACTS, "in:a": "a2"}},
        State.CONFLICT,
        ["x was changed since", "a changed", "--force x"],
    ),
    "unsure, option changed, failed": (
        {**UNSURE, **FAILURE, "now": {**FACTS, "option:size": 4}},
        State.CONFLICT,
        ["x was changed since", "size: 3 -> 4", "--force x"],
    ),
    "unsure, input pending": (
        {**UNSURE, "now": {**FACTS, "in:a": PENDING}},
        State.EDITED,
        ["x was changed since"],
    ),
    "unsure, input missing": ({**UNSURE, **GONE_A}, State.EDITED, ["x was changed since"]),
    "unsure, and found to be edited before": (
        {**UNSURE, "damage": {}, "kept": ["older.3", "shorter.4"]},
        State.EDITED,
        ["x was changed since"],
    ),
    "unsure, and something else was found to be edited before": (
        {**UNSURE, "kept": ["older.3"]},
        State.STALE,
        ["x was cut short, or edited near its end"],
    ),
    "kept, input changed": (
        {**UNSURE, "damage": {}, "kept": ["shorter.4"], "now": {**FACTS, "in:a": "a2"}},
        State.CONFLICT,
        ["x was changed since", "a changed", "--force x"],
    ),
    "shorter, but somebody's work": (SHORTENED, State.EDITED, ["x was changed since"]),
    "shorter, but somebody's work, input changed": (
        {**SHORTENED, "now": {**FACTS, "in:a": "a2"}},
        State.CONFLICT,
        ["x was changed since", "a changed", "--force x"],
    ),
    "as long as it was": (
        {"outputs": {"x": "other.10", "y": "y1.10"}},
        State.EDITED,
        ["x was changed since"],
    ),
    "longer than it was": (
        {"outputs": {"x": "other.11", "y": "y1.10"}},
        State.EDITED,
        ["x was changed since"],
    ),
    "cannot be looked at": (
        {"outputs": {"x": "!Permission denied", "y": "y1.10"}},
        State.EDITED,
        ["x was changed since"],
    ),
    "text cut": ({**TORN, "damage": {"x": Damage.CUT}}, State.STALE, ["x was cut short"]),
    "text cut, option changed": (
        {**TORN, "damage": {"x": Damage.CUT}, "now": {**FACTS, "stage": 99}},
        State.STALE,
        ["x was cut short", "stage version"],
    ),
    "shorter than intended, as long as before": (
        {
            "intents": [{**RECORD, "out:x": "x2.20"}],
            "outputs": {"x": "torn.10", "y": "y1.10"},
            "damage": {"x": Damage.TORN},
        },
        State.STALE,
        ["x was cut short"],
    ),
    # interrupted between renames, or before the confirmation
    "renamed, not confirmed": ({"done": None, "intents": [RECORD]}, State.FRESH, []),
    "made again, renamed, not confirmed": (
        {
            "intents": [NEXT],
            "now": {**FACTS, "in:a": "a2"},
            "outputs": {"x": "x2.10", "y": "y2.10"},
        },
        State.FRESH,
        [],
    ),
    "made again, not yet renamed": (
        {"intents": [NEXT], "now": {**FACTS, "in:a": "a2"}},
        State.STALE,
        ["a changed"],
    ),
    "made again, one of two renamed": (
        {
            "intents": [NEXT],
            "now": {**FACTS, "in:a": "a2"},
            "outputs": {"x": "x2.10", "y": "y1.10"},
        },
        State.STALE,
        ["x is from an interrupted run", "a changed"],
    ),
    "made again, one of two renamed, and input as before": (
        {"intents": [NEXT], "outputs": {"x": "x2.10", "y": "y1.10"}},
        State.STALE,
        ["x is from an interrupted run"],
    ),
    "first made, one of two renamed": (
        {"done": None, "intents": [RECORD], "outputs": {"x": "x1.10", "y": None}},
        State.STALE,
        ["y was deleted"],
    ),
    "interrupted twice, never confirmed, one of each": (
        {
            "done": None,
            "intents": [RECORD, NEXT],
            "now": {**FACTS, "in:a": "a2"},
            "outputs": {"x": "x2.10", "y": "y1.10"},
        },
        State.STALE,
        ["x is from an interrupted run", "y is from an interrupted run"],
    ),
    # given
    "given": (FOREIGN, State.GIVEN, ["x was not made by anipipe", "y was not made by anipipe"]),
    "one output given": (
        {"done": None, "outputs": {"x": "foreign.4", "y": None}},
        State.GIVEN,
        ["x was not made by anipipe"],
    ),
    "given, torn": (
        {**FOREIGN, "damage": {}},
        State.GIVEN,
        ["x was not made by anipipe", "y was not made by anipipe"],
    ),
    "given, inputs missing": (
        {**FOREIGN, **GONE_A},
        State.GIVEN,
        ["x was not made by anipipe", "y was not made by anipipe"],
    ),
    "given, failed before": (
        {**FOREIGN, **FAILURE},
        State.GIVEN,
        ["x was not made by anipipe", "y was not made by anipipe"],
    ),
    "given, as first seen": (
        {**FOREIGN, "given": SEEN},
        State.GIVEN,
        ["x was not made by anipipe", "y was not made by anipipe"],
    ),
    "given, inputs archived": (
        {**FOREIGN, "given": SEEN, **GONE_A},
        State.GIVEN,
        ["x was not made by anipipe", "y was not made by anipipe"],
    ),
    "given, input changed": (
        {**FOREIGN, "given": SEEN, "now": {**FACTS, "in:a": "a2", "option:size": 9}},
        State.CONFLICT,
        ["x was not made", "y was not made", "size: 3 -> 9", "a changed", "--force x"],
    ),
    "given, input pending": (
        {**FOREIGN, "given": SEEN, "now": {**FACTS, "in:a": PENDING}},
        State.GIVEN,
        ["x was not made by anipipe", "y was not made by anipipe"],
    ),
    "given, replaced, input changed": (
        {**FOREIGN, "given": {**SEEN, "out:y": "before.4"}, "now": {**FACTS, "in:a": "a2"}},
        State.GIVEN,
        ["x was not made by anipipe", "y was not made by anipipe"],
    ),
    "given, one output of two, input changed": (
        {
            "done": None,
            "outputs": {"x": "foreign.4", "y": None},
            "given": {**SEEN, "out:y": None},
            "now": {**FACTS, "in:a": "a2"},
        },
        State.CONFLICT,
        ["x was not made", "a changed", "--force x"],
    ),
    "given, seen before its digest was kept": (
        {**FOREIGN, "given": FACTS, "now": {**FACTS, "in:a": "a2"}},
        State.GIVEN,
        ["x was not made by anipipe", "y was not made by anipipe"],
    ),
    "made, then given beside it, input changed since it was given": (
        {
            "done": without(RECORD, "out:y"),
            "outputs": {"x": "x1.10", "y": "foreign.4"},
            "given": {**FACTS, "out:x": "x1.10", "out:y": "foreign.4"},
            "now": {**FACTS, "in:a": "a2"},
        },
        State.CONFLICT,
        ["y was not made", "a changed", "--force y"],
    ),
    # edited
    "edited": (EDITED, State.EDITED, ["x was changed since anipipe made it"]),
    "edited, input changed": (
        {**EDITED, "now": {**FACTS, "in:a": "a2"}},
        State.CONFLICT,
        ["x was changed since", "a changed", "--force x"],
    ),
    "edited, inputs missing": ({**EDITED, **GONE_A}, State.EDITED, ["x was changed since"]),
    "edited, with nothing left that makes such a thing": (
        {
            **EDITED,
            "done": {**RECORD, "content:model": "m"},
            "now": FACTS,
        },
        State.EDITED,
        ["x was changed since anipipe made it"],
    ),
    "edited, other output deleted": (
        {"outputs": {"x": "edited.10", "y": None}},
        State.EDITED,
        ["x was changed since anipipe made it"],
    ),
    "edited after an unconfirmed making": (
        {"done": None, "intents": [RECORD], "outputs": {"x": "edited.10", "y": "y1.10"}},
        State.EDITED,
        ["x was changed since"],
    ),
    # archived
    "archived": ({**GONE_A}, State.ARCHIVED, ["input a is gone"]),
    "archived, all of it": (
        {"now": without(FACTS, "in:a", "in:b"), "missing": ["no a", "no b"]},
        State.ARCHIVED,
        ["input a is gone", "input b is gone"],
    ),
    "archived, options changed": (
        {"now": {**without(FACTS, "in:a"), "option:size": 4}, "missing": ["no a"]},
        State.ARCHIVED,
        ["size: 3 -> 4", "input a is gone"],
    ),
    "archived, everything else changed": (
        {
            "now": {**without(FACTS, "in:a"), "stage": 2, "library:opencv": "5.0", "in:b": "b2"},
            "missing": ["no a"],
        },
        State.ARCHIVED,
        ["stage version 1 -> 2", "opencv 4.8 -> 5.0", "b changed", "input a is gone"],
    ),
    "not archived: what it rests on failed, and may yet come": (
        {**GONE_A, "failing": True},
        State.BLOCKED,
        ["no a"],
    ),
    "as recorded, though something failed": ({"failing": True}, State.FRESH, []),
    "archived, failed before": ({**GONE_A, **FAILURE}, State.ARCHIVED, ["input a is gone"]),
    "not archived: the file is there, but cannot be used": (
        {**GONE_A, "on_disk": ("a",)},
        State.BLOCKED,
        ["no a"],
    ),
    "not archived: one of two is still there": (
        {"now": without(FACTS, "in:a", "in:b"), "missing": ["no a"], "on_disk": ("b",)},
        State.BLOCKED,
        ["no a"],
    ),
    "not archived: another input took its place": (
        {"now": {**without(FACTS, "in:a"), "in:c": "c1"}},
        State.STALE,
        ["input a is gone", "new input c"],
    ),
    "not archived: an output is missing": (
        {**GONE_A, "outputs": {"x": "x1.10", "y": None}},
        State.BLOCKED,
        ["no a"],
    ),
    "not archived: a fan-in goes on without": (
        {**GONE_A, "strict": False, "missing": []},
        State.STALE,
        ["input a is gone"],
    ),
    # forced
    "forced, as recorded": ({"forced": True}, State.STALE, ["--force"]),
    "forced, given": ({**FOREIGN, "forced": True}, State.STALE, ["--force"]),
    "forced, edited": ({**EDITED, "forced": True}, State.STALE, ["--force"]),
    "forced, unsure": ({**UNSURE, "damage": {}, "forced": True}, State.STALE, ["--force"]),
    "forced, given, inputs missing": (
        {**FOREIGN, **GONE_A, "forced": True},
        State.GIVEN,
        ["x was not made", "y was not made", "--force cannot make it again: no a"],
    ),
    "forced, edited, inputs missing": (
        {**EDITED, **GONE_A, "forced": True},
        State.EDITED,
        ["x was changed since", "--force cannot make it again: no a"],
    ),
    "forced, archived": (
        {**GONE_A, "forced": True},
        State.ARCHIVED,
        ["input a is gone", "--force cannot make it again: no a"],
    ),
    "forced, blocked": (
        {**NEVER, **GONE_A, "missing": ["no a", "no b"], "forced": True},
        State.BLOCKED,
        ["no a", "no b", "--force cannot make it again: no a", "--force cannot make it again: no b"],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_judge(name):
    changes, state, expected = CASES[name]
    verdict = Case(**changes).judged()
    assert verdict.state is state, verdict
    assert len(verdict.reasons) == len(expected), verdict.reasons
    for part in expected:
        assert any(part in reason for reason in verdict.reasons), (part, verdict.reasons)
    unsure = " was cut short, or edited near its end"
    doubtful = {r.removesuffix(unsure) for r in verdict.reasons if r.endswith(unsure)}
    cut = {path for path, what in (changes.get("damage") or {}).items() if what is Damage.CUT}
    assert set(verdict.compare) - cut == doubtful, "exactly what the reasons are in doubt about"
    assert set(verdict.compare) & cut == (cut if len(expected) == len(cut | doubtful) else set())


@pytest.mark.parametrize(
    ("digest", "asked"),
    [
        ("other.9", ["x"]),
        ("other.1", ["x"]),
        ("~other.9", ["x"]),
        ("other.10", []),
        ("other.11", []),
        ("x1.10", []),
        ("x2.12", []),
        ("!Permission denied", []),
        ("kept.9", []),
        (None, []),
    ],
)
@pytest.mark.parametrize("intended", [False, True])
def test_damage_is_asked_of_what_is_shorter_than_it_was_made_and_not_known_to_be_edited(
    digest, asked, intended
):
    case = Case(outputs={"x": digest, "y": "y1.10"}, kept=["kept.9"], damage={"x": Damage.NONE})
    if intended:  # the latest making counts
        case.intents = [{**RECORD, "out:x": "x2.12"}]
        asked = asked or (["x"] if digest in ("other.10", "other.11") else [])
    case.judged()
    assert case.asked == asked


@pytest.mark.parametrize("digest", ["foreign.4", "foreign.1", "foreign.100"])
def test_damage_is_not_asked_of_what_was_never_made(digest):
    case = Case(done=without(RECORD, "out:x"), outputs={"x": digest, "y": "y1.10"})
    assert case.judged().state is State.GIVEN and case.asked == []


def test_every_state_is_covered_and_has_a_meaning():
    of_the_plan = {State.SPARED, State.WAITING}  # rest on other jobs, which judge() does not see
    assert {state for _, state, _ in CASES.values()} == set(State) - of_the_plan
    assert set(MEANINGS) == set(State)


def test_what_is_used_and_what_is_done():
    assert {s for s in State if s.current} == {
        State.FRESH,
        State.GIVEN,
        State.EDITED,
        State.CONFLICT,
        State.ARCHIVED,
    }
    assert {s for s in State if s.to_do} == {State.STALE, State.FAILED}


def test_option_that_is_gone_is_a_difference():
    """A record *is* the facts: an option that no longer takes part made another result."""
    assert differences(FACTS, without(FACTS, "option:size"), {}) != []


@pytest.mark.parametrize(
    ("was", "default", "expected"),
    [
        (3, {}, "size: 3 -> (not set)"),
        (3, {"size": 4}, "size: 3 -> 4"),
        (4, {"size": 4}, None),
        (None, {}, None),
    ],
)
def test_option_that_is_gone_is_taken_to_have_its_default(was, default, expected):
    then = {**FACTS, "option:size": was}
    found = differences(then, without(FACTS, "option:size"), default)
    assert found == ([] if expected is None else [expected])
    back = differences(without(FACTS, "option:size"), then, default)
    assert len(back) == len(found), "the same, whichever of the two is the older"


@pytest.mark.parametrize(
    ("was", "now", "expected"),
    [
        ({"A": 0, "B": 1}, {"A": 5, "B": 1}, ["cameras.A.offset: 0 -> 5"]),
        ({"A": 0}, {"A": None}, ["cameras.A.offset: 0 -> (not set)"]),
        ({"A": None}, {"A": 0}, ["cameras.A.offset: (not set) -> 0"]),
        ({"A": 0}, {"A": 0, "B": 2}, ["cameras.B.offset = 2 was added"]),
        ({"A": 0, "B": 2}, {"A": 0}, ["cameras.B.offset was removed"]),
        ({"A": {"x": 1}}, {"A": {"x": 2}}, ["cameras.A.offset.x: 1 -> 2"]),
        ({"A": 0}, {"A": 0}, []),
    ],
)
def test_option_of_each_entry_is_named_by_the_entry(was, now, expected):
    key = "option:cameras.*.offset"
    assert differences({key: was}, {key: now}, {}) == expected


def test_library_that_is_gone_is_a_difference():
    assert differences(FACTS, without(FACTS, "library:opencv"), {}) != []


def test_long_values_are_shortened():
    (text,) = differences({"option:a": "x" * 500}, {"option:a": "y" * 500}, {})
    assert len(text) < 200


leaf = st.sampled_from([1, 2, "s", None])
fact = st.one_of(leaf, st.dictionaries(st.sampled_from("pq"), leaf, max_size=2))
base = st.fixed_dictionaries({"stage": st.integers(1, 2), "option:o": fact, "option:n": fact})
inputs = st.dictionaries(st.sampled_from(["in:a", "in:b", "in:c"]), st.sampled_from("12"), max_size=3)
facts = st.builds(lambda one, two: {**one, **two}, base, inputs)
digests = st.sampled_from(["1.5", "2.9", "3.7"])
damages = st.fixed_dictionaries({"x": st.sampled_from(Damage), "y": st.sampled_from(Damage)})
outputs = st.fixed_dictionaries({"x": digests, "y": digests})
maybe_outputs = st.fixed_dictionaries({"x": st.none() | digests, "y": st.none() | digests})


def record(of, out) -> dict[str, Any]:
    return {**of, **{f"out:{path}": digest for path, digest in out.items()}}


records = st.builds(record, facts, outputs)


@given(facts, facts | st.none(), outputs, st.booleans(), st.booleans(), st.booleans())
@settings(max_examples=400, deadline=None)
def test_fresh_exactly_if_facts_are_equal(now, then, out, strict, failed, failing):
    then = now if then is None else then
    case = Case(
        now,
        dict(out),
        record(then, out),
        strict=strict,
        failure={"message": "no"} if failed else None,
        failing=failing,
    )
    assert (case.judged().state is State.FRESH) == (then == now)
    assert case.asked == []


@given(
    facts,
    maybe_outputs,
    st.none() | records,
    st.lists(records, max_size=3),
    st.none() | facts,
    st.booleans(),
    st.lists(st.just("missing"), max_size=1),
    st.booleans(),
    st.sets(st.sampled_from("xyabc")),
    st.booleans(),
    damages,
    st.lists(digests, max_size=1),
    st.booleans(),
)
@settings(max_examples=800, deadline=None)
def test_nobodys_work_is_overwritten_and_fresh_is_true(
    now, out, done, intents, given_facts, failed, missing, strict, on_disk, forced, damage, kept, failing
):
    """Whatever is recorded and on disk."""
    case = Case(
        now,
        out,
        done,
        intents,
        given_facts,
        {"message": "no"} if failed else None,
        missing,
        strict=strict,
        on_disk=tuple(on_disk),
        damage=damage,
        kept=kept,
        failing=failing,
    )
    verdict = case.judged()
    state = verdict.state
    if forced:
        case.forced = True
        cannot = tuple(f"--force cannot make it again: {text}" for text in missing)
        expected = Verdict(state, (*verdict.reasons, *cannot)) if missing else None
        assert case.judged() == (expected or Verdict(State.STALE, ("asked for with --force",)))
    made = [*intents, *([done] if done else [])]
    latest = [*reversed(intents), *([done] if done else [])]
    found = {}
    for path, digest in out.items():
        if digest is not None and digest not in [facts[f"out:{path}"] for facts in made]:
            shorter = latest and size_in(digest) < size_in(latest[0][f"out:{path}"])
            found[path] = damage[path] if shorter and digest not in kept else Damage.NONE
    foreign = [path for path, what in found.items() if what is Damage.NONE]
    unsure = [path for path, what in found.items() if what is Damage.UNSURE]
    cut = [path for path, what in found.items() if what is Damage.CUT]
    others = (State.GIVEN, State.EDITED, State.CONFLICT)
    # All is as it was when it was made, so that there is something to compare.
    alike = not missing and (done is None or not differences(done, now, {}))
    if foreign:
        assert state in others
    elif unsure:
        assert (state in (State.STALE, State.FAILED)) if alike else state in others
    else:
        assert state not in others
    assert verdict.compare == (() if foreign or not alike else (*cut, *unsure))
    if state is State.FRESH:
        assert any(record(now, out) == facts for facts in made)
    if state.current and state not in others:
        assert None not in out.values() and not found
    if missing and not foreign and not unsure:
        assert state is State.BLOCKED if failing else state in (State.BLOCKED, State.ARCHIVED)
