"""What the network is to answer: a hill of height 1 at each labelled point, and the way to it from around.

The grid of cells, the width of the hills and the units of the ways are DeepLabCut 3's, so that its decoder
and ours read a network trained here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from anipipe.errors import ConfigError


@dataclass(frozen=True)
class TargetMaker:
    """How points become maps.

    Attributes
    ----------
    stride : float
        Pixels of the input per cell.
    radius : float
        Up to where the way to the point is taught, pixels (``pos_dist_thresh``); hills have a standard
        deviation of two thirds of it.
    offset_scale : float, optional
        Pixels per unit of the ways (``locref_std``); None: they are not taught.
    plateau : bool
        Hills are flat discs of that radius.
    """

    stride: float
    radius: float = 17.0
    offset_scale: float | None = 7.2801
    plateau: bool = False


@dataclass(frozen=True)
class Targets:
    """What to answer, and where it counts.

    Attributes
    ----------
    heatmaps : torch.Tensor
        (batch, joints, rows, columns), 0 to 1.
    labelled : torch.Tensor
        (batch, joints, 1, 1): 1 where the point is known, 0 where nobody labelled it.
    offsets, near : torch.Tensor
        (batch, 2 joints, rows, columns): x and y of the first joint first; 1 within the radius, else 0.
    """

    heatmaps: torch.Tensor
    labelled: torch.Tensor
    offsets: torch.Tensor
    near: torch.Tensor


def make_targets(points: torch.Tensor, rows: int, columns: int, maker: TargetMaker) -> Targets:
    """Make the maps of a batch.

    Parameters
    ----------
    points
        (batch, joints, 2), pixels of the input, NaN where unlabelled. They may lie outside: of such a hill
        only the slope is seen, or nothing, which teaches that the joint is not there.
    rows, columns
        Of the maps.
    maker
        Stride and sizes.
    """
    labelled = torch.isfinite(points).all(dim=-1)
    points = torch.where(labelled[..., None], points, torch.zeros_like(points))
    x = (torch.arange(columns, device=points.device, dtype=points.dtype) + 0.5) * maker.stride
    y = (torch.arange(rows, device=points.device, dtype=points.dtype) + 0.5) * maker.stride
    dx = points[..., 0, None] - x  # (batch, joints, columns)
    dy = points[..., 1, None] - y
    squared = dx.square()[..., None, :] + dy.square()[..., :, None]
    near = (squared <= maker.radius**2) & labelled[..., None, None]
    if maker.plateau:
        heatmaps = near.to(points.dtype)
    else:
        heatmaps = torch.exp(-squared / (2 * (2 * maker.radius / 3) ** 2)) * labelled[..., None, None]
    shape = (*squared.shape[:2], 1, rows, columns)
    offsets = torch.cat([dx[..., None, None, :].expand(shape), dy[..., None, :, None].expand(shape)], dim=2)
    return Targets(
        heatmaps=heatmaps,
        labelled=labelled[..., None, None].to(points.dtype),
        offsets=offsets.flatten(1, 2) / (maker.offset_scale or 1.0),
        near=near.to(points.dtype).repeat_interleave(2, dim=1),
    )


def read_targets(head: Mapping[str, Any], stride: float, source: str) -> TargetMaker:
    """Read how a head is taught from its section of a pytorch_config.yaml.

    Raises
    ------
    ConfigError
        Another kind of target.
    """
    generator = head.get("target_generator") or {}
    kind = generator.get("type", "HeatmapGaussianGenerator")
    kinds = ("HeatmapGaussianGenerator", "HeatmapPlateauGenerator")
    if kind not in kinds or str(generator.get("heatmap_mode") or "KEYPOINT").upper() != "KEYPOINT":
        raise ConfigError(
            f"{source}: model.heads.bodypart.target_generator {kind!r}: anipipe trains with {kinds[0]} or "
            f"{kinds[1]}, and heatmap_mode KEYPOINT"
        )
    if generator.get("gradient_masking"):
        raise ConfigError(
            f"{source}: model.heads.bodypart.target_generator.gradient_masking: anipipe trains without; "
            "set it to false"
        )
    scale = float(generator.get("locref_std") or 7.2801)
    return TargetMaker(
        stride=stride,
        radius=float(generator.get("pos_dist_thresh") or 17),
        offset_scale=scale if head.get("locref_config") and generator.get("generate_locref", True) else None,
        plateau=kind == kinds[1],
    )
