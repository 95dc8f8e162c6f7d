"""From pictures to the network's input, on the device; and points back to the pictures."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from anipipe.networks.models import IMAGENET_MEAN, IMAGENET_STD, Preparation


@dataclass(frozen=True)
class Layout:
    """Where a picture lies in the network's input.

    Attributes
    ----------
    scaled : (int, int), optional
        Width and height that the picture is scaled to; None: it is not.
    padding : (int, int, int, int)
        Pixels added left, right, above and below.
    reflect : bool
        They show the picture reflected; else they are black.
    picture : (int, int)
        Width and height of the picture.
    """

    scaled: tuple[int, int] | None
    padding: tuple[int, int, int, int]
    reflect: bool
    picture: tuple[int, int]

    def to_picture(self, points: Tensor) -> Tensor:
        """Turn points (..., 2) of the input into points of the picture: pure shift and scaling, in place."""
        points -= torch.tensor([self.padding[0], self.padding[2]], device=points.device)
        if self.scaled is not None:
            wide, high = self.picture
            points *= torch.tensor([wide / self.scaled[0], high / self.scaled[1]], device=points.device)
        return points


def lay_out(preparation: Preparation, width: int, height: int) -> Layout:
    """Find where a picture of some size comes to lie in the network's input."""
    if preparation.size is not None:
        wide, high = preparation.size
        if not preparation.keep_ratio:
            return Layout((wide, high), (0, 0, 0, 0), False, (width, height))
        scale = min(wide / width, high / height)
        inner = (min(wide, round(width * scale)), min(high, round(height * scale)))
        return Layout(inner, (0, wide - inner[0], 0, high - inner[1]), False, (width, height))
    across, down = -width % preparation.divisor, -height % preparation.divisor
    padding = (across // 2, across - across // 2, down // 2, down - down // 2)
    return Layout(None, padding, True, (width, height))


def prepare(pictures: Tensor, preparation: Preparation, layout: Layout, dtype: torch.dtype) -> Tensor:
    """Turn pictures into input.

    Parameters
    ----------
    pictures : Tensor
        (batch, height, width, 3), uint8, in the order blue, green, red, on the device.
    preparation, layout
    dtype : torch.dtype
        Arithmetic of the network; what comes before it is done in float32.

    Returns
    -------
    Tensor
        (batch, 3, rows, columns), channels last.
    """
    images = pictures.permute(0, 3, 1, 2).to(torch.float32)
    if preparation.rgb:
        images = images.flip(1)
    if layout.scaled is not None:
        wide, high = layout.scaled
        images = F.interpolate(images, (high, wide), mode="bilinear", align_corners=False)
    if any(layout.padding):
        images = F.pad(images, layout.padding, mode="reflect" if layout.reflect else "constant")
    if preparation.normalise:
        mean, deviation = (
            255 * torch.tensor(values if preparation.rgb else values[::-1], device=images.device)
            for values in (IMAGENET_MEAN, IMAGENET_STD)
        )
        images = (images - mean[:, None, None]) / deviation[:, None, None]
    return images.to(dtype, memory_format=torch.channels_last)
