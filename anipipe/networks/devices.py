"""Where a network runs, and in which arithmetic."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from anipipe.engine.executors import DEVICE
from anipipe.errors import ConfigError
from anipipe.networks.models import Precision

_DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
_HALF_SINCE = (7, 0)  # CUDA capability from which half precision is quicker than single


@dataclass(frozen=True)
class Compute:
    """A device, the arithmetic on it, and the threads that a processor may use.

    Attributes
    ----------
    device : torch.device
    dtype : torch.dtype
    threads : int
        Of the processor, for the network as well as for decoding videos.
    """

    device: torch.device
    dtype: torch.dtype
    threads: int

    @contextmanager
    def threads_at_work(self) -> Iterator[None]:
        """Let the network take all threads meanwhile: elsewhere, numerical libraries are held to one."""
        before = torch.get_num_threads()
        torch.set_num_threads(self.threads)
        try:
            yield
        finally:
            torch.set_num_threads(before)

    def __str__(self) -> str:
        name = torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else str(self.device)
        return f"{name}, {str(self.dtype).removeprefix('torch.')}"


def choose(device: str = "auto", precision: Precision = "auto") -> Compute:
    """Choose where and how to run a network.

    Parameters
    ----------
    device
        ``"auto"`` (CUDA if there is any, else the processor), ``"cpu"``, ``"cuda"``, ``"cuda:1"``, ``"mps"``.
    precision
        ``"auto"``: half precision on GPUs that are quicker with it, else single.

    Raises
    ------
    ConfigError
        The device is not there, or lacks that arithmetic.
    """
    where = _device(device)
    if precision != "auto":
        if where.type == "cpu" and precision == "float16":
            raise ConfigError(
                'network.precision = "float16" is for GPUs; on a processor, "bfloat16" is the quick one'
            )
        return Compute(where, _DTYPES[precision], processors())
    half = where.type == "cuda" and torch.cuda.get_device_capability(where) >= _HALF_SINCE
    return Compute(where, torch.float16 if half else torch.float32, processors())


def processors() -> int:
    """Return how many processors this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _device(name: str) -> torch.device:
    own = os.environ.get(DEVICE, "auto")  # one of several, where each has a process to itself
    if name in ("auto", "cuda") and own != "auto" and torch.cuda.is_available():
        name = own
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ConfigError(
            f'network.device = "{name}": there is no such kind of device; it is "auto", "cpu", "cuda", '
            '"cuda:1" or "mps"'
        ) from None
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ConfigError(f'network.device = "{name}": {_without_cuda(device)}')
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise ConfigError('network.device = "mps": there is no such device here; "auto" takes what there is')
    if device.type not in ("cpu", "cuda", "mps"):
        raise ConfigError(f'network.device = "{name}": networks run on "cpu", "cuda" or "mps" here')
    return device


def _without_cuda(device: torch.device) -> str:
    if torch.version.cuda is None:
        return (
            f"this PyTorch ({torch.__version__}) was built without CUDA; install one that was "
            '(https://pytorch.org/get-started), or set "auto" to run on the processor'
        )
    count = torch.cuda.device_count()
    there = f"only {count} of them" if count else "none (is the driver installed, and does nvidia-smi run?)"
    return f'PyTorch finds {there} here; "auto" takes what there is'
