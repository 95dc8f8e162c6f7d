"""What turns the features of a backbone into heatmaps, as DeepLabCut 3 and Lightning Pose do."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import prod

from torch import Tensor, nn


class DeconvModule(nn.Module):
    """Transposed convolutions without padding, ReLU between them, and perhaps a convolution after them.

    Parameters
    ----------
    channels
        Of the features, then after each transposed convolution.
    kernel_sizes, strides
        Of the transposed convolutions, one fewer than channels; there may be none.
    final
        Channels and size of the kernel of the last convolution; None: there is none.

    Attributes
    ----------
    stride : int
        Cells of the output per cell of the features, along a side.
    """

    def __init__(
        self,
        channels: Sequence[int],
        kernel_sizes: Sequence[int],
        strides: Sequence[int],
        final: tuple[int, int] | None = None,
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for (inputs, outputs), size, stride in zip(pairwise(channels), kernel_sizes, strides, strict=True):
            layers += [nn.ConvTranspose2d(inputs, outputs, size, stride), nn.ReLU(inplace=True)]
        self.stride = prod(strides)
        self.deconv_layers = nn.Sequential(*layers[:-1])
        self.final_conv = nn.Conv2d(channels[-1], *final) if final else nn.Identity()

    def forward(self, features: Tensor) -> Tensor:
        """Compute maps (batch, channels, rows, columns) from features."""
        maps: Tensor = self.final_conv(self.deconv_layers(features))
        return maps


class HeatmapHead(nn.Module):
    """DeepLabCut's head: a heatmap of each joint, and the offsets of the joint from the cells' centres.

    Parameters
    ----------
    heatmap_head
        Makes one map a joint.
    locref_head
        Makes two maps a joint (x, y), of the same size; None: there are no offsets.

    Attributes
    ----------
    stride : int
        Cells of the output per cell of the features, along a side.
    """

    def __init__(self, heatmap_head: DeconvModule, locref_head: DeconvModule | None = None) -> None:
        super().__init__()
        self.stride = heatmap_head.stride
        self.heatmap_head = heatmap_head
        self.locref_head = locref_head

    def forward(self, features: Tensor) -> tuple[Tensor, ...]:
        """Compute (heatmaps,) or (heatmaps, offsets) from features."""
        if self.locref_head is None:
            return (self.heatmap_head(features),)
        return self.heatmap_head(features), self.locref_head(features)


class LightningHead(nn.Module):
    """Lightning Pose's head: the map doubles by PixelShuffle, then by each convolution; then it sums to 1.

    Parameters
    ----------
    channels
        Of the features, a multiple of 4.
    joints
        How many.
    doublings
        How many times the map doubles, at least 1.

    Attributes
    ----------
    stride : int
        Cells of the output per cell of the features, along a side.
    """

    def __init__(self, channels: int, joints: int, doublings: int) -> None:
        super().__init__()
        widths = [channels // 4, *[joints] * (doublings - 1)]
        deconvolutions = [
            nn.ConvTranspose2d(inputs, outputs, 3, stride=2, padding=1, output_padding=1)
            for inputs, outputs in pairwise(widths)
        ]
        self.stride = 2**doublings
        self.upsampling_layers = nn.Sequential(nn.PixelShuffle(2), *deconvolutions)

    def forward(self, features: Tensor) -> tuple[Tensor]:
        """Compute (heatmaps,) from features; each heatmap sums to 1."""
        maps = self.upsampling_layers(features)
        return (maps.flatten(2).softmax(dim=2).view_as(maps),)
