"""Where the camera stands in the names of videos: a regular expression, from nothing but the names.

Within a trial the names of videos differ only in the camera. Parts in which names differ are therefore read
as the camera, one after another, and each reading is judged by the trials that it leads to: all cameras in
each, the same in every session and in the recordings of the board. Trial numbers repeat as regularly as
cameras do; words tell them apart ("cam", "trial", "left"), and that cameras are few.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from anipipe.commands.init.camera_patterns import Slot, find_slots, patterns, pieces
from anipipe.project.naming import natural

Names = Mapping[str, Sequence[str]]

_SURE, _POSSIBLE = 6.0, 4.5
_CLOSE = 1.5  # readings whose marks differ by less are as good as each other
_FEWEST_FOUND = 0.8
_FEWEST_THERE = 0.5
_MOST = 24  # cameras of a rig
_CAMERA_WORDS = re.compile(r"cam(era)?|kamera|view|kinect|gopro|sensor|angle", re.IGNORECASE)
_TRIAL_WORDS = frozenset(
    re.findall(
        r"\w+",
        "trial tr t take rec recording run rep repeat vid video session sess ses s day d date mouse m fly f "
        "rat r animal subject subj sub id block epoch bout exp experiment clip part p chunk seg segment week "
        "cohort group test scene condition cond file movie mov img image frame worm fish bird finger hand "
        "patient calib calibration board",
    )
)
_VIEWS = re.compile(
    r"(back|front|rear|side|top|bottom|mid|middle|cent(er|re)|left|right|above|below|lateral|ventral|dorsal|overhead"
    r"|north|south|east|west|upper|lower|face|body|eye|sagittal|frontal|upside|under|proximal|distal|near|far)",
    re.IGNORECASE,
)
_DATES = re.compile(
    r"(?<![0-9])(19|20)[0-9]{2}([-_. ]?)(0[1-9]|1[0-2])\2(0[1-9]|[12][0-9]|3[01])(?![0-9])"
    r"|(?<![0-9])[0-9]{2}([-_. ])[0-9]{2}\5([0-9]{2}|20[0-9]{2})(?![0-9])"
)


@dataclass(frozen=True)
class Reading:
    """One way to find the camera in the names.

    Attributes
    ----------
    regex
        For ``triangulation.cam_regex``.
    cameras
        The cameras that it finds, in natural order.
    trials, whole
        Trials that result, and how many of them have all cameras.
    names, found
        Names of videos, and in how many of them it finds a camera.
    odd
        Those in which it finds none.
    boards, boards_found
        The same of the recordings of the board.
    mark
        How plausible it is.
    """

    regex: str
    cameras: tuple[str, ...]
    trials: int
    whole: int
    names: int
    found: int
    odd: tuple[str, ...] = ()
    boards: int = 0
    boards_found: int = 0
    mark: float = field(default=0.0, compare=False)


@dataclass(frozen=True)
class Readings:
    """What the names say.

    Attributes
    ----------
    best
        The reading to use; None if there is none to rely on.
    others
        Other ways to read the names that are possible, the more plausible first.
    """

    best: Reading | None
    others: tuple[Reading, ...] = ()


@dataclass(frozen=True)
class _Split:
    """What a pattern makes of names: cameras and where they stand, trials, names without a camera."""

    cameras: dict[tuple[str, str], str]
    places: dict[tuple[str, str], tuple[int, int]]
    trials: dict[tuple[str, str], tuple[str, str]]
    odd: tuple[str, ...]
    clash: bool

    @property
    def grouping(self) -> frozenset[frozenset[tuple[str, str]]]:
        groups = defaultdict(set)
        for name, trial in self.trials.items():
            groups[trial].add(name)
        return frozenset(map(frozenset, groups.values()))

    def values(self) -> set[str]:
        return set(self.cameras.values())


def read_names(sessions: Names, boards: Names | None = None, known: Collection[str] = ()) -> Readings:
    """Find out where the camera stands in the names of videos.

    Parameters
    ----------
    sessions
        Session to the names of its videos, without suffix.
    boards
        Calibration folder to the names of the recordings in it. Where there is no video, these are read.
    known
        What cameras are called in a calibration that is there.

    Returns
    -------
    Readings
        Nothing in it where no two videos look like views of one trial.

    Examples
    --------
    >>> read_names({"": ["walk1-camA", "walk1-camB", "walk2-camA", "walk2-camB"]}).best.regex
    '-cam([AB])$'
    """
    boards = {} if boards is None else boards
    if not any(sessions.values()):
        sessions, boards = boards, {}
    tried: dict[str, tuple[int, Slot]] = {}
    for slot in find_slots([*sessions.values(), *boards.values()]):
        for rank, pattern in enumerate(patterns(slot, bare=any(boards.values()), worded=bool(known))):
            tried.setdefault(pattern, (rank, slot))
    best: dict[object, Reading] = {}
    for pattern, (rank, slot) in tried.items():
        judged = _judge(pattern, slot, sessions, boards, frozenset(known))
        if judged is None:
            continue
        reading, grouping = judged
        # Of expressions that do the same, the one that a person would rather write.
        reading = replace(reading, mark=reading.mark - 0.02 * rank - 0.001 * len(pattern))
        if grouping not in best or best[grouping].mark < reading.mark:
            best[grouping] = reading
    ranked = sorted(best.values(), key=lambda reading: -reading.mark)
    possible = [reading for reading in ranked if reading.mark >= _POSSIBLE]
    if not possible:
        return Readings(None)
    if possible[0].mark < _SURE:
        return Readings(None, tuple(possible[:2]))
    return Readings(
        possible[0], tuple(other for other in possible[1:3] if other.mark > possible[0].mark - _CLOSE)
    )


def sounds_like_camera(name: str) -> bool:
    """Say whether a name could be that of a camera: "cam1", "left view", "top"."""
    return bool(_CAMERA_WORDS.search(name) or _VIEWS.match(name))


def _judge(
    pattern: str, slot: Slot, sessions: Names, boards: Names, known: frozenset[str]
) -> tuple[Reading, frozenset[frozenset[tuple[str, str]]]] | None:
    """Return a reading with the trials that it leads to, None where it cannot be right."""
    compiled = re.compile(pattern)
    split = _split(compiled, sessions)
    names = sum(map(len, sessions.values()))
    cameras = split.values()
    found = len(split.cameras)
    if split.clash or not 2 <= len(cameras) <= _MOST:
        return None
    if found < _FEWEST_FOUND * names and not (names - found == 1 and found >= 2):
        return None
    sizes: dict[tuple[str, str], int] = defaultdict(int)
    for trial in split.trials.values():
        sizes[trial] += 1
    there = found / (len(cameras) * len(sizes))
    if there < _FEWEST_THERE:
        return None
    on_boards = _split(compiled, boards)
    whole = sum(size == len(cameras) for size in sizes.values())
    mark = 4 * there - (1 + 5 * (1 - found / names) if found < names else 0)
    mark += _structure(split, len(sizes), there)
    mark += _words(slot, cameras, len(sizes), len({folder for folder, _ in sizes}))
    mark += _board_mark(on_boards, cameras, boards)
    mark += _place(split)
    if known:
        mark += 4 if cameras <= known else -1
    mark -= 0.3 * any(not (trial[0].isalnum() and trial[-1].isalnum()) for _, trial in sizes)
    reading = Reading(
        regex=pattern,
        cameras=tuple(sorted(cameras, key=natural)),
        trials=len(sizes),
        whole=whole,
        names=names,
        found=found,
        odd=split.odd,
        boards=sum(map(len, boards.values())),
        boards_found=len(on_boards.cameras),
        mark=mark,
    )
    return reading, split.grouping


def _split(pattern: re.Pattern[str], groups: Names) -> _Split:
    """Do what the walker does with each name."""
    cameras: dict[tuple[str, str], str] = {}
    places: dict[tuple[str, str], tuple[int, int]] = {}
    trials: dict[tuple[str, str], tuple[str, str]] = {}
    odd: list[str] = []
    taken: set[tuple[str, str, str]] = set()
    clash = False
    for folder, names in groups.items():
        for name in names:
            match = pattern.search(name)
            if match is None or not match.group(1):
                odd.append(f"{folder}/{name}" if folder else name)
                continue
            camera, trial = match.group(1), pattern.sub("", name).strip() or "trial"
            clash |= (folder, trial, camera) in taken
            taken.add((folder, trial, camera))
            cameras[folder, name], trials[folder, name] = camera, (folder, trial)
            places[folder, name] = match.span(1)
    return _Split(cameras, places, trials, tuple(odd), clash)


def _structure(split: _Split, trials: int, there: float) -> float:
    """Mark how regular the trials are, and whether all sessions have the same cameras."""
    cameras = Counter(split.cameras.values())
    mark = 1.0 if trials > 1 and there > 0.8 else 0.0
    mark += 0.5 if len(cameras) <= trials else 0.0
    mark -= 0.3 * max(0, len(cameras) - 8)
    mark -= sum(2 * count < max(cameras.values()) for count in cameras.values())
    sessions: dict[str, set[str]] = defaultdict(set)
    for (folder, _), camera in split.cameras.items():
        sessions[folder].add(camera)
    same = sum(found == set(cameras) for found in sessions.values())
    return mark + (1.0 if len(sessions) > 1 and same >= 0.8 * len(sessions) else 0.0)


def _words(slot: Slot, cameras: set[str], trials: int, sessions: int) -> float:
    """Mark what the values, and the words beside them, sound like."""
    mark = 0.0
    joined = [_parts(value) for value in cameras if not value.isalnum() and len(_parts(value)) > 1]
    if len(joined) > len(cameras) / 2:  # are these not rather several parts of the name?
        mark = 1 if all(_VIEWS.match(part) for parts in joined for part in parts) else -6
    if _CAMERA_WORDS.search(slot.word):
        return mark + 5
    if all(value.isdigit() for value in cameras):
        return mark + _numbers(slot, cameras, trials, sessions)
    if all(len(value) == 1 for value in cameras):
        trial = slot.word in _TRIAL_WORDS
        letters = 2.0 if all(value.isupper() for value in cameras) else 1.5
        return mark + letters - (0 if not trial else 1 if slot.apart else 5)
    named = sum(value.isalpha() and _CAMERA_WORDS.search(value) is not None for value in cameras)
    views = sum(_VIEWS.match(value) is not None for value in cameras)
    if named > len(cameras) / 2 or (_CAMERA_WORDS.search(slot.right) and all(map(str.isalpha, cameras))):
        return mark + 5
    return mark + (4 if views >= len(cameras) / 2 else 0)


def _parts(value: str) -> list[str]:
    """Return the words and numbers in a value that say more than that it is a camera."""
    return [part for part in pieces(value) if part.isalnum() and not _CAMERA_WORDS.fullmatch(part)]


def _numbers(slot: Slot, values: set[str], trials: int, sessions: int) -> float:
    """Mark plain numbers, which may be cameras' or trials'."""
    lengths = {len(value) for value in values}
    if slot.word in _TRIAL_WORDS:
        return -5.0
    if slot.word == "c":
        return 1.5
    if len(lengths) == 1 and min(lengths) >= 6:  # as long as the serial numbers of cameras
        return 1.5 if slot.apart and trials > 1 else -2.5
    if max(lengths) >= 3 or (slot.word and not slot.apart):
        return -2.5
    # Plain numbers are cameras only if something else in the name tells trials apart.
    return 0.0 if trials > sessions and slot.apart and not slot.word else -2.0


def _board_mark(split: _Split, cameras: set[str], boards: Names) -> float:
    """Mark whether the recordings of the board have the same cameras in their names."""
    count = sum(map(len, boards.values()))
    if not count:
        return 0.0
    shared = split.values() & cameras
    if split.clash or len(shared) < 2:
        return -4.0
    if split.odd:
        return 2.0
    return 6.0 if split.values() == cameras else 4.0


def _place(split: _Split) -> float:
    """Mark where in the names the camera stands: at an end most likely, in a date hardly."""
    dates = ends = starts = 0
    for (_, name), (start, end) in split.places.items():
        dates += any(date.start() <= start and end <= date.end() for date in _DATES.finditer(name))
        ends += end == len(name)
        starts += start == 0
    half = len(split.places) / 2
    return (1.0 if ends > half else 0.5 if starts > half else 0.0) - (6 if dates > half else 0)
