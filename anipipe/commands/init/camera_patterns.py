"""Parts in which names differ, and regular expressions that find them, as a person would write these."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, pairwise

from anipipe.project.naming import natural

_PIECE = re.compile(r"[0-9]+|[^\W\d_]+|[\W\d_]")
_CAMERA = re.compile(r"(cameras?|cams?|kamera|view|c)", re.IGNORECASE)
_WITH_LETTER = re.compile(r"(camera|cam|kamera|view)([a-z])", re.IGNORECASE)
_SPECIAL = re.compile(r"([\\.^$*+?{}\[\]|()])")
_WIDEST = 5  # pieces of a camera's name
_MOST_PIECES = 40
_MOST_GROUPS, _MOST_NAMES = 40, 100  # that are compared with each other; every name is judged by
_MOST_VALUES = 40
_OWN_SETS = 12


@dataclass(frozen=True)
class Slot:
    """A place in names that holds different values.

    Attributes
    ----------
    left, right
        What stands before and after it in all names: text, or ``"^"`` and ``"$"`` for their ends.
    values
        What it holds.
    word
        The word before it, in small letters; empty if there is none.
    apart
        Whether something stands between that word and the value.
    behind
        How often the character ``right`` comes after the value; 0 where that differs.
    """

    left: str
    right: str
    values: frozenset[str]
    word: str = ""
    apart: bool = True
    behind: int = 0

    @property
    def marked(self) -> bool:
        """Whether the word before the value says that this is the camera."""
        return _CAMERA.fullmatch(self.word) is not None


@dataclass(frozen=True)
class _Family:
    """Names that differ in one part only."""

    left: str
    right: str
    word: str
    apart: bool
    kind: str
    place: tuple[int, int]
    behind: int
    values: frozenset[str]


def pieces(name: str) -> list[str]:
    """Cut a name into numbers, words and single other characters.

    Examples
    --------
    >>> pieces("fly4_camA 2")
    ['fly', '4', '_', 'cam', 'A', ' ', '2']
    """
    cut: list[str] = []
    for piece in _PIECE.findall(name):
        if not piece[0].isalpha():
            cut.append(piece)
            continue
        start = 0
        for at, (one, two) in enumerate(pairwise(piece), start=1):
            if one.islower() and two.isupper():
                cut.append(piece[start:at])
                start = at
        last = piece[start:]
        lettered = _WITH_LETTER.fullmatch(last)
        cut += lettered.groups() if lettered else [last]
    return cut


def find_slots(groups: Iterable[Sequence[str]]) -> list[Slot]:
    """Find the places in which names of one group differ, those that most names agree on first.

    Parameters
    ----------
    groups
        Names that may be of one trial: those of a session, of a folder of board recordings.
    """
    shapes: dict[tuple[object, ...], list[_Family]] = defaultdict(list)
    for family in _families(groups):
        shape = (family.left, family.right, family.word, family.apart, family.kind)
        shapes[shape].append(family)
        shapes[(*shape, "start", family.place[0])].append(family)
        shapes[(*shape, "end", family.place[1])].append(family)
    slots: dict[Slot, None] = {}
    for alike in sorted(shapes.values(), key=len, reverse=True):
        for values in _value_sets(alike):
            one = alike[0]
            behind = {family.behind for family in alike}
            slots[
                Slot(
                    one.left, one.right, values, one.word, one.apart, behind.pop() if len(behind) == 1 else 0
                )
            ] = None
    return list(slots)


def _value_sets(families: Sequence[_Family]) -> Iterator[frozenset[str]]:
    """Yield the values of a place: all, those that are not rare, and those that come together most often."""
    counts = Counter(value for family in families for value in family.values)
    yield frozenset(counts)
    most = max(counts.values())
    yield frozenset(value for value, count in counts.items() if 2 * count >= most)
    for values, _ in Counter(family.values for family in families).most_common(_OWN_SETS):
        yield values


def _families(groups: Iterable[Sequence[str]]) -> Iterator[_Family]:
    for names in islice((group for group in groups if group), _MOST_GROUPS):
        middles: dict[tuple[tuple[str, ...], tuple[str, ...]], set[tuple[str, ...]]] = defaultdict(set)
        for name in names[:_MOST_NAMES]:
            cut = tuple(pieces(name))
            if len(cut) > _MOST_PIECES or any("\ud800" <= letter <= "\udfff" for letter in name):
                continue  # too much to try; no text, which no file of settings can hold
            for start in range(len(cut)):
                for end in range(start + 1, min(len(cut), start + _WIDEST) + 1):
                    if cut[start].isalnum() and cut[end - 1].isalnum():
                        middles[cut[:start], cut[end:]].add(cut[start:end])
        for (before, after), found in middles.items():
            # What all have in common at either end belongs to what stands around.
            if 2 <= len(found) <= _MOST_VALUES and _differ(found, 0) and _differ(found, -1):
                yield _family(before, after, found)


def _differ(found: set[tuple[str, ...]], end: int) -> bool:
    return len({middle[end] for middle in found}) > 1


def _family(before: Sequence[str], after: Sequence[str], found: set[tuple[str, ...]]) -> _Family:
    values = frozenset("".join(middle) for middle in found)
    kind = "words"
    if all(value.isdigit() for value in values):
        kind = "numbers"
    elif all(len(value) == 1 for value in values):
        kind = "letters"
    left, word, apart = _left(before, kind)
    right = after[0] if after else "$"
    if len(after) > 1 and not right.isalnum() and _CAMERA.fullmatch(after[1]) and len(after[1]) > 1:
        right += after[1]
    behind = list(after).count(right) if len(right) == 1 and after and not right.isalnum() else 0
    return _Family(left, right, word, apart, kind, (len(before), len(after)), behind, values)


def _left(before: Sequence[str], kind: str) -> tuple[str, str, bool]:
    """Return what stands before a value and marks its place; the word before it; whether that is apart."""
    if not before:
        return "^", "", True
    at = len(before)
    while at > 0 and not before[at - 1].isalnum():
        at -= 1
    between = "".join(before[at:])
    word = before[at - 1] if at > 0 and before[at - 1].isalpha() else ""
    camera = bool(_CAMERA.fullmatch(word))
    if word and (camera or (not between and kind != "words")):
        lead = before[at - 2] if at > 1 and not before[at - 2].isalnum() else ""
        return lead + word + between, word.casefold(), bool(between)
    return between[-1:], word.casefold(), bool(between)


def patterns(slot: Slot, *, bare: bool = False, worded: bool = False) -> Iterator[str]:
    """Yield regular expressions for a place in names, what a person would write first.

    Parameters
    ----------
    slot
        The place.
    bare
        Whether they should also suit names in which less stands around the camera.
    worded
        Whether the word before the value may belong to the camera's name.
    """
    left = "" if slot.left == "^" else escape(slot.left)
    right = "" if slot.right == "$" else escape(slot.right)
    for value in _values(slot.values):
        group = f"({value})"
        if slot.right == "$":
            yield f"^{group}$" if slot.left == "^" else f"{left}{group}$"
        elif slot.left == "^":
            yield f"^{group}{right}"
        yield from _amid(slot, left, right, group)
        if bare or slot.left == "^" or slot.right == "$":
            yield from _bare(slot, left, right, group)
        if worded and slot.marked:
            yield from _with_word(slot, right, value)


def _with_word(slot: Slot, right: str, value: str) -> Iterator[str]:
    """Yield expressions that take the word before the value as a part of the camera's name."""
    lead = "" if slot.left[0].isalnum() else escape(slot.left[0])
    group = f"({escape(slot.left[1:] if lead else slot.left)}{value})"
    if slot.right == "$":
        yield f"{lead}{group}$"
    if right:
        yield f"{lead}{group}{right}"
    yield f"{lead}{group}"
    if lead:
        yield f"{lead}?{group}"
    if right and not lead and not slot.right.isalnum():
        yield f"{group}{right}?"


def _amid(slot: Slot, left: str, right: str, group: str) -> Iterator[str]:
    """Yield expressions for a place amid a name."""
    if slot.marked:
        if slot.left[0].isalnum() and right and not right.isalnum():
            yield f"^{left}{group}{right}"
        yield f"{left}{group}"
    if right:
        yield f"{left}{group}{right}"
        yield f"{left}{group}(?={right})"
    if slot.behind:
        other = f"[^{slot.right}]*" if slot.right not in "^]\\" else rf"[^\{slot.right}]*"
        rest = f"{right}{other}" if slot.behind == 1 else f"(?:{right}{other}){{{slot.behind}}}"
        yield f"{left}{group}(?={rest}$)"
    if len(slot.left) > 1:
        yield f"{left}{group}"


def _bare(slot: Slot, left: str, right: str, group: str) -> Iterator[str]:
    """Yield expressions that need less around the camera."""
    lead = slot.left[0] if slot.left != "^" and slot.left and not slot.left[0].isalnum() else ""
    trail = slot.right if len(slot.right) == 1 and slot.right != "$" and not slot.right.isalnum() else ""
    core = escape(slot.left.removeprefix(lead)) if lead else left
    before = f"{escape(lead)}?" if lead else ""
    behind = f"{escape(trail)}?" if trail else ""
    if left:
        yield f"{left}{group}"
    if trail and slot.left[:1].isalnum():
        yield f"^{left}{group}{behind}"
    if slot.right == "$":
        yield f"{before}{core}{group}$"
        yield f"{core}{group}$"
    if slot.left == "^":
        yield f"^{group}{behind}"
    yield f"{before}{core}{group}{behind or ('_?' if before == '_?' else '')}"
    if slot.left == "^" and trail:
        yield f"{behind}{group}{behind}"
    yield f"{core}{group}"


def _values(values: frozenset[str]) -> Iterator[str]:
    """Yield expressions for one of the values."""
    ordered = sorted(values, key=natural)
    if all(value.isdigit() for value in ordered):
        yield "[0-9]+"
    if all(len(value) == 1 and value.isalnum() for value in ordered):
        first, last = ordered[0], ordered[-1]
        is_range = len(ordered) > 2 and ord(last) - ord(first) == len(ordered) - 1
        yield f"[{first}-{last}]" if is_range else f"[{''.join(ordered)}]"
        return
    if any(one != two and two.startswith(one) for one in ordered for two in ordered):
        ordered.sort(key=lambda value: (-len(value), natural(value)))
    yield "|".join(map(escape, ordered))


def escape(text: str) -> str:
    """Escape what has a meaning in a regular expression, and nothing else."""
    return _SPECIAL.sub(r"\\\1", text)
