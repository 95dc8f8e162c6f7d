"""Weights to start from: a file that the user names, of which whatever fits is taken."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from anipipe.errors import DataError
from anipipe.networks.unpickling import load_tensors

#: Under which a file may keep the table of weights.
_TABLES = ("model", "state_dict", "model_state_dict", "pose", "net")
#: What trainers put before the names of torchvision and timm.
_PREFIXES = ("module.", "model.", "backbone.", "encoder.")
_BACKBONES = ("backbone.model.", "backbone.")
#: A file of which less than this share of the backbone fits is another network's.
_LEAST = 0.5


@dataclass(frozen=True)
class Taken:
    """What was taken from a file.

    Attributes
    ----------
    path : Path
        The file.
    taken : tuple of str
        Tensors of the network that were filled.
    fresh : tuple of str
        Those that the file had nothing for, and that start at random.
    unused : tuple of str
        Tensors of the file that the network has no place for.
    """

    path: Path
    taken: tuple[str, ...]
    fresh: tuple[str, ...]
    unused: tuple[str, ...]

    def __str__(self) -> str:
        def some(names: tuple[str, ...]) -> str:
            return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")

        text = f"{self.path}: {len(self.taken)} of {len(self.taken) + len(self.fresh)} tensors taken"
        text += f"; at random start {some(self.fresh)}" if self.fresh else ""
        return text + (f"; not used are {some(self.unused)}" if self.unused else "")


def take_weights(network: nn.Module, path: Path) -> Taken:
    """Fill a network with what fits in a file.

    Parameters
    ----------
    network
        With names such as ``backbone.model.conv1.weight`` and ``heads.bodypart.…``; changed in place.
    path
        A state dict of torchvision or timm, a checkpoint that holds one, or a snapshot of DeepLabCut. Heads
        of other joints do not fit, and are left out.

    Raises
    ------
    DataError
        The file cannot be read, or is another network's.
    """
    found = _table(load_tensors(path, where=str(path)))
    wanted = {name: tensor for name, tensor in network.state_dict().items() if _counts(name)}
    by_name = {_plain(name): (name, tensor) for name, tensor in found.items() if _counts(name)}
    state, used = {}, set()
    for name, tensor in wanted.items():
        original, given = by_name.get(_plain(name), ("", None))
        if given is not None and given.shape == tensor.shape:
            state[name] = given.to(tensor.dtype)
            used.add(original)
    backbone = [name for name in wanted if name.startswith(_BACKBONES)]
    if sum(name in state for name in backbone) < _LEAST * len(backbone):
        raise DataError(
            f"{path}: does not hold weights of this network: only {len(state)} of {len(wanted)} tensors fit. "
            f"It has {_examples(found)}; wanted are {_examples(wanted)}. Name a file of the same "
            "architecture (for ResNets one of torchvision or timm), or change model.backbone."
        )
    network.load_state_dict(state, strict=False)
    fresh = tuple(name for name in wanted if name not in state)
    unused = tuple(name for name, _ in by_name.values() if name not in used)
    return Taken(path, tuple(state), fresh, unused)


def _table(content: Mapping[Any, Any]) -> dict[str, torch.Tensor]:
    """Find the weights in a file, which may hold them under a name."""
    for name in _TABLES:
        inner = content.get(name)
        if isinstance(inner, Mapping):
            return _table(inner)
    return {str(name): one for name, one in content.items() if isinstance(one, torch.Tensor)}


def _plain(name: str) -> str:
    """Return a tensor's name as torchvision has it, without what trainers put before it."""
    before = ""
    while before != name:
        before = name
        for prefix in _PREFIXES:
            name = name.removeprefix(prefix)
    return name


def _counts(name: str) -> bool:
    return not name.endswith("num_batches_tracked")


def _examples(table: Mapping[str, torch.Tensor]) -> str:
    shown = [f"{name} {'x'.join(map(str, tensor.shape))}" for name, tensor in list(table.items())[:2]]
    return ", ".join(shown) or "no tensors"
