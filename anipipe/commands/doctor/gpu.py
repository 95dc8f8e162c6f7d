"""Whether networks can run on a GPU, and compute rightly there."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from anipipe.commands.doctor.findings import Finding, Level, isolated
from anipipe.commands.resources import nvidia_driver

if TYPE_CHECKING:
    import torch

SUBJECT = "machine"
MIB = 2**20
#: The largest of the usual networks takes about so much for a few frames at once.
LEAST_MEMORY = 2 * 1024 * MIB
_SIDE = 64  # of the matrices that are multiplied
_GET = "see https://pytorch.org/get-started for the command that fits the driver"


@dataclass(frozen=True)
class Card:
    """A GPU as PyTorch has it; memory in bytes; ``fault`` says what is wrong with its arithmetic."""

    name: str
    memory: int
    free: int
    capability: tuple[int, int]
    fault: str = ""


@dataclass(frozen=True)
class Seen:
    """What there is of GPUs.

    Attributes
    ----------
    driver
        The driver's version, as nvidia-smi says; empty without it.
    names
        The GPUs that the driver has.
    complaint
        Why nvidia-smi has nothing to say, although it is there.
    torch, cuda
        PyTorch's version, and the version of CUDA that it was built for; None: without CUDA.
    reason
        What PyTorch says where it finds no GPU.
    cards
        Those that PyTorch can use.
    apple
        It can use the GPU of an Apple computer.
    hidden
        What CUDA_VISIBLE_DEVICES is set to; None where it is not.
    """

    driver: str = ""
    names: tuple[str, ...] = ()
    complaint: str = ""
    torch: str = ""
    cuda: str | None = None
    reason: str = ""
    cards: tuple[Card, ...] = field(default=())
    apple: bool = False
    hidden: str | None = None


def findings() -> Iterator[Finding]:
    """Look at GPUs; imports PyTorch."""
    yield from isolated(SUBJECT, "GPU", lambda: judge(look()))


def look() -> Seen:
    """Ask the driver and PyTorch for GPUs, and try each."""
    import torch

    driver, names, complaint = nvidia_driver()
    reason = ""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        there = torch.cuda.is_available()
        if not there and torch.version.cuda is not None and names:
            try:
                torch.cuda.init()  # type: ignore[no-untyped-call]
            except (RuntimeError, AssertionError) as error:
                reason = str(error)
        reason = reason or next((str(warning.message) for warning in caught), "")
    cards = tuple(_card(number) for number in range(torch.cuda.device_count())) if there else ()
    return Seen(
        *(driver, names, complaint, torch.__version__, torch.version.cuda),
        reason=reason.strip().split("\n")[0],
        cards=cards,
        apple=torch.backends.mps.is_available(),
        hidden=os.environ.get("CUDA_VISIBLE_DEVICES"),
    )


def _card(number: int) -> Card:
    import torch

    where = torch.device("cuda", number)
    properties = torch.cuda.get_device_properties(where)
    try:
        free, memory = torch.cuda.mem_get_info(where)
        fault = _fault(where)
    except RuntimeError as error:
        free, memory, fault = 0, properties.total_memory, str(error).strip().split("\n")[0]
    return Card(properties.name, memory, free, (properties.major, properties.minor), fault)


def _fault(where: torch.device) -> str:
    """Multiply matrices of small whole numbers, which every arithmetic has to do exactly."""
    import torch

    one = torch.arange(_SIDE * _SIDE).reshape(_SIDE, _SIDE) % 7
    expected = one @ one.T
    there = one.to(where, torch.float32)
    right = torch.equal((there @ there.T).cpu().to(torch.int64), expected)
    return "" if right else "a product of two matrices comes out wrong"


def judge(seen: Seen) -> Iterator[Finding]:
    """Say what is well with GPUs and what is not."""
    if seen.complaint:
        yield _found(
            "warning",
            f"nvidia-smi is there but does not answer: {seen.complaint}",
            "the driver is broken, or does not fit the kernel since an update: restart; else install it anew",
        )
    if not seen.cards:
        yield from _without(seen)
        return
    if len(seen.cards) < len(seen.names) and seen.hidden is None:
        yield _found(
            "warning",
            f"the driver has {len(seen.names)} GPUs, PyTorch finds {len(seen.cards)}",
            f"one may be too old for PyTorch {seen.torch}; {_GET}",
        )
    for number, card in enumerate(seen.cards):
        yield _judged(number, card, seen)


def _judged(number: int, card: Card, seen: Seen) -> Finding:
    size = f"{card.memory / MIB / 1024:.0f} GB, {card.free / MIB / 1024:.0f} GB of it free"
    text = f"{card.name} (cuda:{number}), {size}, capability {card.capability[0]}.{card.capability[1]}"
    if card.fault:
        return _found(
            "critical",
            f"{text}: does not compute: {card.fault}",
            f"PyTorch {seen.torch} may not be built for this GPU: {_GET}. Until then, network.device = "
            '"cpu" or another GPU. Wrong numbers from a build that fits mean that the card is defective',
        )
    if card.free < min(LEAST_MEMORY, card.memory // 2):
        return _found(
            "warning",
            f"{text}: hardly any memory is free",
            "other programs use this GPU (nvidia-smi lists them): wait for them, or name another in "
            "network.device",
        )
    return _found("ok", f"{text}; computes rightly with PyTorch {seen.torch}")


def _without(seen: Seen) -> Iterator[Finding]:
    slow = "so networks run on the processor, ten times slower or more"
    names = ", ".join(dict.fromkeys(seen.names))
    if seen.apple:
        yield _found("ok", f'an Apple GPU, used with network.device = "mps" (PyTorch {seen.torch})')
    elif not seen.names:
        yield _found("ok", f"no NVIDIA GPU: networks run on the processor (PyTorch {seen.torch})")
    elif seen.cuda is None:
        yield _found(
            "warning",
            f"{names} is there, but PyTorch {seen.torch} was built without CUDA, {slow}",
            f"install a PyTorch with CUDA: {_GET}",
        )
    elif seen.hidden is not None:
        yield _found(
            "warning",
            f"{names} is there, but CUDA_VISIBLE_DEVICES = {seen.hidden!r} hides it, {slow}",
            "unset that environment variable, or set it to the number of a GPU; a cluster sets it for jobs "
            "that asked for none",
        )
    else:
        why = f" ({seen.reason})" if seen.reason else ""
        yield _found(
            "warning",
            f"{names} is there (driver {seen.driver}), but PyTorch {seen.torch} for CUDA {seen.cuda} cannot "
            f"use it{why}, {slow}",
            f"the driver is mostly too old for this PyTorch: update the driver, or install a PyTorch for an "
            f"older CUDA; {_GET}",
        )


def _found(level: Level, text: str, remedy: str = "") -> Finding:
    return Finding(level, SUBJECT, "GPU", text, remedy)
