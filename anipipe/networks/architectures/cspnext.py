"""CSPNeXt, the backbone of RTMDet and RTMPose (Lyu et al. 2022), under the tensor names of DeepLabCut."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

WIDTHS = (64, 128, 256, 512, 1024)  # of the stem and of the four stages, before they are scaled
BLOCKS = (3, 6, 6, 3)  # of the stages, before they are scaled
POOLS = (5, 9, 13)  # cells, of the pyramid


class Unit(nn.Module):
    """Convolution, batch normalisation, SiLU.

    Parameters
    ----------
    inputs, outputs
        Channels.
    size
        Of the kernel, odd; stride 1 keeps the size of the map.
    stride
    groups
        Of channels that have nothing to do with each other.
    """

    def __init__(self, inputs: int, outputs: int, size: int, stride: int = 1, groups: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, size, stride, size // 2, groups=groups, bias=False)
        self.norm = nn.BatchNorm2d(outputs)

    def forward(self, features: Tensor) -> Tensor:
        """Compute the unit; the map gets smaller by the stride."""
        normal: Tensor = self.norm(self.conv(features))
        return functional.silu(normal, inplace=True)


class DepthwiseUnit(nn.Module):
    """A 5x5 unit in each channel on its own, then a 1x1 unit.

    Parameters
    ----------
    channels
        That come in and go out.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.depthwise_conv = Unit(channels, channels, 5, groups=channels)
        self.pointwise_conv = Unit(channels, channels, 1)

    def forward(self, features: Tensor) -> Tensor:
        """Compute both units."""
        mixed: Tensor = self.pointwise_conv(self.depthwise_conv(features))
        return mixed


class Block(nn.Module):
    """A 3x3 unit and a depthwise one, perhaps with a shortcut.

    Parameters
    ----------
    channels
        That come in and go out.
    residual
        Whether the features are added to what is made of them.
    """

    def __init__(self, channels: int, residual: bool) -> None:
        super().__init__()
        self.residual = residual
        self.conv1 = Unit(channels, channels, 3)
        self.conv2 = DepthwiseUnit(channels)

    def forward(self, features: Tensor) -> Tensor:
        """Compute the block."""
        inner: Tensor = self.conv2(self.conv1(features))
        return features + inner if self.residual else inner


class Attention(nn.Module):
    """Weigh each channel by what the means of all channels say.

    Parameters
    ----------
    channels
        That come in and go out.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.fc = nn.Conv2d(channels, channels, 1)

    def forward(self, features: Tensor) -> Tensor:
        """Multiply the features by the weights, 0 to 1."""
        means = features.mean(dim=(2, 3), keepdim=True)
        weights: Tensor = functional.hardsigmoid(self.fc(means))
        return features * weights


class Pyramid(nn.Module):
    """Maxima of surroundings of several sizes, beside the features themselves (He et al. 2015, SPP).

    Parameters
    ----------
    channels
        That come in and go out.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        half = channels // 2
        self.conv1 = Unit(channels, half, 1)
        self.poolings = nn.ModuleList(nn.MaxPool2d(size, stride=1, padding=size // 2) for size in POOLS)
        self.conv2 = Unit(half * (1 + len(POOLS)), channels, 1)

    def forward(self, features: Tensor) -> Tensor:
        """Compute the pyramid."""
        half = self.conv1(features)
        maxima: Tensor = self.conv2(torch.cat([half, *(pool(half) for pool in self.poolings)], dim=1))
        return maxima


class CrossStage(nn.Module):
    """Half of the channels pass through blocks, the others do not; then attention to both (CSP).

    Parameters
    ----------
    channels
        That come in and go out.
    count
        Of blocks.
    residual
        Whether they have shortcuts.
    """

    def __init__(self, channels: int, count: int, residual: bool) -> None:
        super().__init__()
        half = channels // 2
        self.main_conv = Unit(channels, half, 1)
        self.short_conv = Unit(channels, half, 1)
        self.final_conv = Unit(2 * half, channels, 1)
        self.blocks = nn.Sequential(*(Block(half, residual) for _ in range(count)))
        self.attention = Attention(2 * half)

    def forward(self, features: Tensor) -> Tensor:
        """Compute the layer."""
        both = torch.cat([self.blocks(self.main_conv(features)), self.short_conv(features)], dim=1)
        mixed: Tensor = self.final_conv(self.attention(both))
        return mixed


class CSPNeXt(nn.Module):
    """A network of cross-stage layers, without its classifier.

    Takes (batch, 3, H, W), returns (batch, channels, ceil(H / 32), ceil(W / 32)).

    Parameters
    ----------
    deepen
        Blocks of each stage relative to 3, 6, 6, 3; there is always one.
    widen
        Channels relative to 64 to 1024.

    Attributes
    ----------
    stride : int
        32.
    channels : int
        Of the features, 1024 times ``widen``.
    """

    def __init__(self, deepen: float, widen: float) -> None:
        super().__init__()
        widths = [int(width * widen) for width in WIDTHS]
        thin = int(WIDTHS[0] * widen // 2)
        self.stride, self.channels = 32, widths[-1]
        self.stem = nn.Sequential(Unit(3, thin, 3, 2), Unit(thin, thin, 3), Unit(thin, widths[0], 3))
        for stage, (inputs, outputs) in enumerate(pairwise(widths), start=1):
            last = stage == len(BLOCKS)
            layer = CrossStage(outputs, max(round(BLOCKS[stage - 1] * deepen), 1), residual=not last)
            parts = [Unit(inputs, outputs, 3, 2), *([Pyramid(outputs)] if last else []), layer]
            setattr(self, f"stage{stage}", nn.Sequential(*parts))

    def forward(self, images: Tensor) -> Tensor:
        """Compute the features of images."""
        features = images
        for part in self.children():
            features = part(features)
        return features
