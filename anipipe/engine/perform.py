"""One job, wherever it runs: load, call, write beside the target, digest.

Nothing is renamed into place and nothing recorded here; that is the coordinator's.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import secrets
import time
import traceback
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, overload

from anipipe.engine.declare import Artifact, Names, Options, Stage, ThisUnit, as_read
from anipipe.engine.digest import digest_file, prefix_digests
from anipipe.engine.progress import Alarm, Meter, Patience, telling
from anipipe.engine.records import OWN_FOLDER
from anipipe.engine.shares import ESTALE, steadily
from anipipe.errors import AnipipeError, Concern, Notice

#: What the system says where a disk, or somebody's share of it, is full.
DISK_FULL = (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC))
#: What a user can do where there is too little.
MORE_MEMORY = "run with fewer --jobs, or on a larger machine; with --executor dask, raise cluster.memory"
#: What OpenCV, PyTorch, CUDA, the loader of libraries, and what starts threads say where there is none.
_NO_MEMORY = (
    *("Insufficient memory", "can't allocate memory", "out of memory", "failed to map segment"),
    *("can't start new thread", "Resource temporarily unavailable"),
)
#: Unfinished outputs are called ``.anipipe-TOKEN-…``, in the folder that they are meant for.
TEMPORARY = ".anipipe-"


@dataclass(frozen=True, slots=True)
class Input:
    """One artifact to be read."""

    role: str
    artifact: Artifact
    paths: tuple[str, ...]
    names: Names


@dataclass(frozen=True, slots=True)
class Task:
    """All that a worker needs to know of a job; small, and free of the graph.

    Attributes
    ----------
    token : str
        Of the run's lock.
    number : int
        Tells the jobs of one run apart.
    meter : Meter, optional
        Hears how far it is.
    patience : Patience, optional
        When it is taken to hang; never, if left out.
    frames : int
        How much there is in its inputs, where that is known.
    until : float, optional
        Seconds since the epoch, from which on it is not begun.
    digests : mapping
        What is known of its inputs, by path.
    libraries : mapping
        Versions that its results depend on.
    """

    stage: Stage
    root: Path
    names: Names
    options: Options
    inputs: tuple[Input, ...]
    outputs: tuple[tuple[Artifact, str], ...]
    token: str
    number: int = 0
    meter: Meter | None = None
    patience: Patience | None = None
    frames: int = 0
    until: float | None = None
    digests: Mapping[str, str] = field(default_factory=dict)
    libraries: Mapping[str, str] = field(default_factory=dict)

    @property
    def black_box(self) -> Path:
        """Where a worker says what it was at, if the job hangs; there as long as the job runs."""
        return self.root / OWN_FOLDER / f"{TEMPORARY}{self.token}-{self.number}.tmp"


@dataclass(slots=True)
class Made:
    """A job's outputs, written and waiting to be renamed: target to (temporary, digest)."""

    outputs: dict[str, tuple[Path, str]]
    notes: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0


@dataclass(slots=True)
class Failed:
    """Why a job could not be done."""

    message: str
    traceback: str = ""
    seconds: float = 0.0
    notes: dict[str, Any] = field(default_factory=dict)


class PutOff:
    """A job that was not begun, since the time was up."""


Result = Made | Failed | PutOff


class Loaded(Sequence[Any]):
    """The values of a lazy fan-in: each is read when it is asked for, and not kept."""

    def __init__(self, root: Path, inputs: Sequence[Input]) -> None:
        self._root, self._inputs = root, inputs

    def __len__(self) -> int:
        return len(self._inputs)

    def __iter__(self) -> Iterator[Any]:
        return (load(self._root, item) for item in self._inputs)

    @overload
    def __getitem__(self, index: int) -> Any: ...
    @overload
    def __getitem__(self, index: slice) -> Loaded: ...
    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return Loaded(self._root, self._inputs[index])
        return load(self._root, self._inputs[index])


def load(root: Path, item: Input) -> Any:
    """Read one input."""
    if item.artifact.read is None:
        raise TypeError(f"{item.artifact.name} cannot be read")
    read = item.artifact.read
    return steadily(lambda: read([root / path for path in item.paths], item.names))


def perform(task: Task) -> Result:
    """Do a job, up to the temporary files that hold its outputs.

    Every failure is returned, none raised, so that one job's is its own.
    """
    if task.until is not None and time.time() >= task.until:
        return PutOff()
    began = time.perf_counter()
    temporaries: list[Path] = []
    with warnings.catch_warnings(record=True) as caught, _watched(task):
        warnings.simplefilter("always", Notice)
        try:
            made = _make(task, temporaries)
            result: Made | Failed = made
        except Exception as error:
            discard(temporaries)
            result = _failure(error, task)
        except BaseException:
            discard(temporaries)
            raise
    for name, kind in (("notices", Notice), ("concerns", Concern)):  # these are among those
        if texts := list(dict.fromkeys(str(w.message) for w in caught if issubclass(w.category, kind))):
            result.notes[name] = texts
    result.seconds = time.perf_counter() - began
    return result


@contextlib.contextmanager
def _watched(task: Task) -> Iterator[None]:
    """Pass on how far a job is, and end this process if it hangs."""
    listeners = [] if task.meter is None else [task.meter.put]
    alarm = None
    if task.patience is not None:
        with contextlib.suppress(OSError):  # no place to write: that is for the job itself to tell
            alarm = Alarm(task.patience, task.black_box)
            alarm.put_off(0, task.frames)
            listeners.append(alarm.put_off)
    try:
        with telling(*listeners):
            yield
    finally:
        if alarm is not None:
            alarm.close()


def _make(task: Task, temporaries: list[Path]) -> Made:
    stage = task.stage
    values = stage.run(**_arguments(task), options=task.options)
    if not isinstance(stage.writes, tuple):
        values = (values,)
    made = Made({})
    for (artifact, target), value in zip(task.outputs, values, strict=True):
        if artifact.write is None:
            raise TypeError(f"{artifact.name} cannot be written")
        path = task.root / target
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f"{TEMPORARY}{task.token}-{secrets.token_hex(6)}{path.suffix}")
        temporaries.append(temporary)
        artifact.write(value, temporary)
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
            if not file.seek(0, os.SEEK_END):
                raise ValueError(f"{artifact.name} was written with nothing in it, like what a crash leaves")
        made.outputs[target] = temporary, digest_file(temporary, sampled=artifact.sampled)
        _merge(made.notes, learnt(artifact, value, temporary, path.name))
    return made


def learnt(artifact: Artifact, value: Any, file: Path, name: str) -> dict[str, Any]:
    """Return what is worth noting of one output: what describes it, and how its text begins.

    Parameters
    ----------
    artifact : Artifact
    value : object
        What is in the file.
    file : Path
        Where it is now.
    name : str
        What it is called in its place.
    """
    notes: dict[str, Any] = {"prefixes": {name: prefix_digests(file)}} if artifact.text else {}
    if artifact.describe is not None:
        notes.update(json.loads(json.dumps(artifact.describe(value))))
    return notes


def _merge(notes: dict[str, Any], more: dict[str, Any]) -> None:
    prefixes = {**notes.get("prefixes", {}), **more.get("prefixes", {})}
    notes.update(more)
    if prefixes:
        notes["prefixes"] = prefixes


def _arguments(task: Task) -> dict[str, Any]:
    arguments: dict[str, Any] = {}
    for role, what in task.stage.reads.items():
        if isinstance(what, ThisUnit):
            arguments[role] = task.names
            continue
        items = [item for item in task.inputs if item.role == role]
        if as_read(what).each:
            arguments[role] = Loaded(task.root, items)
        else:
            arguments[role] = load(task.root, items[0]) if items else None
    return arguments


def discard(temporaries: Iterable[Path]) -> None:
    """Remove outputs that are not going to be put in place."""
    for temporary in temporaries:
        try:
            temporary.unlink(missing_ok=True)
        except OSError:
            pass


def _failure(error: Exception, task: Task) -> Failed:
    text = "".join(traceback.format_exception(error))
    if any(map(_lacks_memory, _behind(error))):
        return Failed(f"not enough memory: {MORE_MEMORY}", text)
    if isinstance(error, AnipipeError):
        return Failed(_placed(str(error), task), text)
    if isinstance(error, OSError):
        return Failed(explain_os_error(error, task.root / task.outputs[0][1]), text)
    return Failed(f"unexpected {type(error).__name__}: {error} (a defect of anipipe; please report it)", text)


def _behind(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and what it was raised from."""
    while error is not None:
        yield error
        error = error.__cause__


def _lacks_memory(error: BaseException) -> bool:
    """Say whether an error is for want of memory; C libraries say so in words of their own."""
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    theirs = not isinstance(error, AnipipeError) and any(text in str(error) for text in _NO_MEMORY)
    return isinstance(error, MemoryError) or theirs


def _placed(message: str, task: Task) -> str:
    """Add to a message that names no file those that it is about: pure functions know of none."""
    files = [path for item in task.inputs if not item.artifact.content for path in item.paths]
    if not files or any(Path(path).name in message for path in files):
        return message
    shown = ", ".join(files[-4:]) + (f" and {len(files) - 4} more" if len(files) > 4 else "")
    return f"{message} (from {shown})"


def explain_os_error(error: OSError, target: Path) -> str:
    """Say what an operating system's error means for the user, and what to do."""
    path = Path(os.fsdecode(error.filename)) if isinstance(error.filename, str | bytes) else target
    if path.name.startswith(TEMPORARY):
        path = target
    if error.errno in DISK_FULL:
        return f"{path}: the disk is full or the quota used up; free some space and run again"
    if error.errno == errno.EROFS:
        return f"{path}: {error.strerror}; mount it for writing"
    if error.errno == ESTALE:
        return f"{path}: was replaced or removed on its server while in use; run again"
    if error.errno == errno.ENOENT:
        return f"{path}: {error.strerror}; was it moved or deleted while this ran?"
    if error.errno in (errno.EACCES, errno.EPERM):
        return f"{path}: no permission to write or read here; check the owner and the mode of {path.parent}"
    if error.errno == errno.ENAMETOOLONG:
        return (
            f"{path}: the name is too long for this file system; shorten the name of the video or the session"
        )
    return f"{path}: {error.strerror or error}"
