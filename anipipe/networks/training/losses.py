"""How wrong a network's answer is, as DeepLabCut 3 measures it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional

from anipipe.errors import ConfigError
from anipipe.networks.training.targets import Targets


@dataclass(frozen=True)
class LossWeights:
    """What the parts of the loss count.

    Attributes
    ----------
    heatmap, offsets : float
        Weight of the mean squared error of the hills, and of the Huber loss of the ways to the points.
    logits : bool
        Hills are compared by their cross entropy instead, the network's answer being logits.
    """

    heatmap: float = 1.0
    offsets: float = 0.05
    logits: bool = False


def losses(
    outputs: tuple[torch.Tensor, ...], targets: Targets, weights: LossWeights
) -> dict[str, torch.Tensor]:
    """Return the loss of a batch and its parts.

    Parameters
    ----------
    outputs
        Heatmaps (batch, joints, rows, columns), and perhaps offsets (batch, 2 joints, rows, columns).
    targets
        What they should be.
    weights
        What each part counts.

    Returns
    -------
    ``total_loss``, ``bodypart_heatmap`` and, if there are offsets, ``bodypart_locref``. Cells that do not
    count are 0, and part of the mean all the same.
    """
    heatmaps = outputs[0].float()
    if weights.logits:
        error = functional.binary_cross_entropy_with_logits(heatmaps, targets.heatmaps, reduction="none")
    else:
        error = (heatmaps - targets.heatmaps).square()
    parts = {"bodypart_heatmap": (error * targets.labelled).mean()}
    total = weights.heatmap * parts["bodypart_heatmap"]
    if len(outputs) > 1:
        error = functional.huber_loss(outputs[1].float(), targets.offsets, reduction="none")
        parts["bodypart_locref"] = (error * targets.near).mean()
        total = total + weights.offsets * parts["bodypart_locref"]
    return {"total_loss": total, **parts}


def read_weights(head: Mapping[str, Any], source: str) -> LossWeights:
    """Read the weights from a head's section of a pytorch_config.yaml.

    Raises
    ------
    ConfigError
        Another kind of loss.
    """
    criterion = head.get("criterion") or {}
    heatmap, offsets = criterion.get("heatmap") or {}, criterion.get("locref") or {}
    kinds = {
        "heatmap": (
            heatmap.get("type", "WeightedMSECriterion"),
            ("WeightedMSECriterion", "WeightedBCECriterion"),
        ),
        "locref": (offsets.get("type", "WeightedHuberCriterion"), ("WeightedHuberCriterion",)),
    }
    for part, (kind, known) in kinds.items():
        if kind not in known:
            raise ConfigError(
                f"{source}: model.heads.bodypart.criterion.{part} {kind!r}: anipipe trains with "
                + " or ".join(known)
            )
    return LossWeights(
        heatmap=float(heatmap.get("weight", 1.0)),
        offsets=float(offsets.get("weight", 0.05)),
        logits=kinds["heatmap"][0] == "WeightedBCECriterion",
    )
