"""Whether the cameras of a trial recorded the same moments: numbers of frames, rates, gaps, clocks.

anipipe takes frame n of every camera for one moment, ``cameras.NAME.frame_offset`` aside. What is said here
is what the files tell; that a camera was started late although its file looks like the others, only a flash
or a clap in the pictures can tell.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from anipipe.commands.doctor.findings import Finding, Level
from anipipe.formats.recording_times import OFTEN_LOST, Times

SUBJECT = "recordings"
#: Cameras that are stopped one after another differ by a frame; that is the last row, seen by fewer cameras.
APART_AT_END = 1  # frames
#: Beyond this share, rates were set differently; two clocks of crystals differ by a hundredth of it.
RATES_DIFFER = 0.01
#: From half a frame on, a frame fits its neighbour in the other camera better than its own number.
DRIFT = 0.5  # frames
#: Codecs that reorder frames let some files begin by so many frames later than others, without meaning it.
REORDERED = 4  # frames

_ONE_MOMENT = "anipipe takes frame n of every camera for one moment"
_TRIGGER = "A hardware trigger for all cameras prevents this"


@dataclass(frozen=True)
class Recording:
    """One camera's recording, as far as its head tells.

    Attributes
    ----------
    camera
    file
        Its name.
    size
        Width and height, pixels.
    times
    late
        How many frames later than the others it began, as the settings say.
    """

    camera: str
    file: str
    size: tuple[int, int]
    times: Times
    late: int = 0

    @property
    def end(self) -> int:
        """The row of the trial after its last one."""
        return self.times.rows + self.late

    @property
    def rate(self) -> float:
        """Frames per second; NaN of a single frame."""
        return 1 / self.times.step if self.times.step else math.nan

    def seconds(self, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return when rows of the trial were recorded, on the file's own clock."""
        return self.times.seconds[rows - self.late]


def judge(label: str, recordings: Sequence[Recording]) -> Iterator[Finding]:
    """Compare the recordings of one trial.

    Parameters
    ----------
    label
        The trial, for the findings.
    recordings
        Of its cameras, at least one.

    Yields
    ------
    What is not well; if it is all well, one finding that says what was compared.
    """
    faults = [fault for each in recordings for fault in _alone(label, each, len(recordings))]
    if len(recordings) > 1:
        reference, others = _reference(recordings)
        for each in recordings:
            if each is not reference:
                faults += _beside(label, each, reference, others)
    yield from faults
    if not any(fault.level != "note" for fault in faults):
        yield _ok(label, recordings, noted=bool(faults))


def _found(level: Level, label: str, text: str, remedy: str = "") -> Finding:
    return Finding(level, SUBJECT, label, text, remedy)


def _ok(label: str, recordings: Sequence[Recording], *, noted: bool) -> Finding:
    first = recordings[0]
    rows = sorted({each.times.rows for each in recordings})
    frames = f"{rows[0]} frames" if len(rows) == 1 else f"{rows[0]} to {rows[-1]} frames"
    rate = "" if math.isnan(first.rate) else f" at {first.rate:.6g} per second"
    counted = {"index": "as their index lists them", "reading": "counted by reading them"}
    how = " and ".join(dict.fromkeys(counted[each.times.counted] for each in recordings))
    cameras = "1 camera" if len(recordings) == 1 else f"{len(recordings)} cameras"
    together = "" if len(recordings) == 1 else " each" if len(rows) == 1 else ""
    regular = "" if noted else ", without gaps"
    return _found("ok", label, f"{cameras}, {frames}{together}{rate}{regular} ({how})")


def _reference(recordings: Sequence[Recording]) -> tuple[Recording, str]:
    """Return the camera to hold the others against, one that agrees with most, and what to call these."""

    def kind(each: Recording) -> tuple[int, int]:
        return each.end, round(1000 * each.rate) if each.rate == each.rate else 0

    alike = Counter(map(kind, recordings))
    reference = max(recordings, key=lambda each: alike[kind(each)])
    many = alike[kind(reference)] > 1
    return reference, "the others" if many else f"camera {reference.camera}"


def _alone(label: str, recording: Recording, cameras: int) -> Iterator[Finding]:
    """Say what is wrong with one recording, whatever the others are like."""
    times, camera = recording.times, f"camera {recording.camera}" if recording.camera else recording.file
    if times.beyond:
        yield _found(
            "warning",
            label,
            f"{camera}: {times.beyond} of {times.rows} frames lie past the end of {recording.file}, "
            "which was cut off",
            "copy the file again; until then anipipe leaves the rows of these frames empty",
        )
    gaps = times.gaps()
    if gaps:
        lost = sum(length for _, length in gaps)
        often = lost > OFTEN_LOST * times.rows
        share = f" ({100 * lost / times.rows:.2g} %)" if often else ""
        yield _found(
            "warning" if often else "note",
            label,
            f"{camera}: {_frames(lost)} lost{share} {_where(gaps, times.step)}",
            "nothing for 3D: anipipe leaves the rows of lost frames empty, and nothing after them shifts. If "
            "it happens often: a faster disk, less other work on the recording computer, fewer cameras on "
            "one USB host",
        )
    if not times.regular and times.rows > 2:
        steps = 1000 * times.steps[np.isfinite(times.steps)]
        yield _found(
            "warning" if cameras > 1 else "note",
            label,
            f"{camera}: its time stamps are irregular: {steps.min():.3g} to {steps.max():.3g} ms from one "
            f"frame to the next, mostly {np.median(steps):.3g}",
            "switch off a variable frame rate (phones, webcams in dim light, screen recorders): anipipe "
            f"takes such frames as they come, so that lost ones cannot be noticed. {_TRIGGER}",
        )


def _where(gaps: Sequence[tuple[int, int]], step: float) -> str:
    first, _ = gaps[0]
    at = f"at {first * step:.1f} s"
    if len(gaps) == 1:
        return f"{at}, frame {first} (a gap in its time stamps)"
    longest = max(length for _, length in gaps)
    return f"in {len(gaps)} places, the first {at}, at most {longest} in a row (gaps in its time stamps)"


def _beside(label: str, one: Recording, reference: Recording, others: str) -> Iterator[Finding]:
    """Say in what a recording differs from what most of the trial are like."""
    rates = _rates(label, one, reference, others)
    if rates is not None:
        yield rates
        return  # with other rates, ends and clocks differ as well
    yield from _ends(label, one, reference, others)
    yield from _clocks(label, one, reference, others)


def _rates(label: str, one: Recording, reference: Recording, others: str) -> Finding | None:
    ratio = one.rate / reference.rate
    if math.isnan(ratio) or abs(ratio - 1) < RATES_DIFFER:
        return None
    camera = f"camera {one.camera}"
    ours, theirs = f"{one.rate:.5g} per second", f"{reference.rate:.5g}"
    if abs(one.end - reference.end) <= APART_AT_END:
        return _found(
            "warning",
            label,
            f"{camera} is noted as {ours}, {others} as {theirs}, for the same number of frames "
            f"({one.times.rows})",
            "nothing if one trigger drove all cameras: then only the rate noted in that file is wrong. Else "
            f"the cameras ran at different rates, and 3D is of different moments, for {_ONE_MOMENT}",
        )
    return _found(
        "critical",
        label,
        f"{camera} ran at another rate: {one.times.rows} frames at {ours}; {others} {reference.times.rows} "
        f"at {theirs}",
        f"do not use these recordings together: {_ONE_MOMENT}. Record at one rate, convert the recordings "
        f"to one rate, or leave this camera out. {_TRIGGER}",
    )


def _ends(label: str, one: Recording, reference: Recording, others: str) -> Iterator[Finding]:
    apart = reference.end - one.end
    if not apart:
        return
    known = " with frame_offset" if one.late or reference.late else ""
    text = f"camera {one.camera} has {_frames(one.end)}{known}, {others} {reference.end}"
    if abs(apart) <= APART_AT_END:
        yield _found("note", label, text, "nothing: usual where cameras are stopped one after another")
        return
    fewer, whose = (one, "its") if apart > 0 else (reference, "their")
    gap = "other gap" if fewer.times.gaps() else "gap"
    end, begin = ("stopped earlier", "began later") if apart > 0 else ("went on longer", "began earlier")
    yield _found(
        "warning",
        label,
        f"{text}, and no {gap} in {whose} time stamps tells where {abs(apart)} are missing",
        f"find out by a flash or clap at beginning and end of a recording: if camera {one.camera} only "
        f"{end}, nothing; if it {begin}, set cameras.{one.camera}.frame_offset = {one.late + apart}; if "
        f"frames were lost in between, 3D after that is of different moments, for {_ONE_MOMENT}. {_TRIGGER}",
    )


def _clocks(label: str, one: Recording, reference: Recording, others: str) -> Iterator[Finding]:
    step = reference.times.step
    first, end = max(one.late, reference.late), min(one.end, reference.end)
    rows = np.arange(max(first, 0), end)
    ours, theirs = one.seconds(rows), reference.seconds(rows)
    both = np.flatnonzero(np.isfinite(ours) & np.isfinite(theirs))
    if len(both) < 2 or math.isnan(step):
        return
    begin = both[0]
    apart = np.round((ours[both] - ours[begin]) - (theirs[both] - theirs[begin]), 6)
    worst = int(np.argmax(np.abs(apart)))
    frames = float(apart[worst]) / step
    if abs(frames) >= DRIFT:
        yield _found(
            "warning",
            label,
            f"by the time stamps, frame {int(rows[both[worst]])} of camera {one.camera} comes "
            f"{abs(apart[worst]):.3g} s ({abs(frames):.2g} frames) {'later' if frames > 0 else 'earlier'} "
            f"than that of {others}, counted from the first",
            "nothing if one trigger drove all cameras: then these are only the clocks of the recording "
            f"programs. Else the cameras run at paces of their own: make recordings shorter. {_TRIGGER}",
        )
    shift = round((one.times.start - reference.times.start) / step)
    # most files begin at 0 whenever the camera did: that says nothing against an offset that is set
    if min(abs(shift), abs(shift - (one.late - reference.late))) > REORDERED:
        yield _found(
            "note",
            label,
            f"the time stamps of camera {one.camera} begin {abs(shift) * step:.3g} s ({abs(shift)} frames) "
            f"{'after' if shift > 0 else 'before'} those of {others}",
            f"if that is when it began, set cameras.{one.camera}.frame_offset = {shift + reference.late}",
        )


def _frames(count: int) -> str:
    return "1 frame" if count == 1 else f"{count} frames"
