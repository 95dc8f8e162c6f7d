"""Networks that stay loaded: one process runs them over many videos."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

from anipipe.networks.architectures.fold import folded
from anipipe.networks.devices import Compute, choose
from anipipe.networks.loading import load_model
from anipipe.networks.models import Precision
from anipipe.networks.sources import ModelSource
from anipipe.networks.tracker import Tracker

#: How many are kept: a lab may have one per camera.
_KEPT = 8


def open_tracker(
    source: ModelSource,
    device: str = "auto",
    precision: Precision = "auto",
    candidates: int = 1,
    batch_size: int | None = None,
) -> Tracker:
    """Return a network that is ready to run, the same one as last time if its files are the same.

    Raises
    ------
    ConfigError
        The device is not there.
    DataError
        The model cannot be read.
    """
    stamps = tuple((stat.st_size, stat.st_mtime_ns) for stat in (path.stat() for path in source.files))
    return _opened(source, stamps, choose(device, precision), candidates, batch_size)


@lru_cache(maxsize=_KEPT)
def _opened(
    source: ModelSource,
    stamps: tuple[tuple[int, int], ...],
    compute: Compute,
    candidates: int,
    batch_size: int | None,
) -> Tracker:
    model = load_model(source)
    model = replace(model, network=folded(model.network))
    return Tracker(model, compute, candidates=candidates, batch_size=batch_size)
