"""Residual networks (He et al. 2016), of features only.

Tensor names are those of torchvision and timm. The stride of a bottleneck is in its 3x3 convolution
("version 1.5"). An output stride below 32 is reached by dilation, as in timm and DeepLab (Chen et al. 2018):
where a stage would halve the map it keeps its size, and all that follows is dilated twice as far.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from torch import Tensor, nn

Norm = nn.BatchNorm2d | nn.GroupNorm
MakeNorm = Callable[[int], Norm]

GROUPS = 32  # of group normalisation, whatever the number of channels


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut: (batch, inputs, H, W) to (batch, width, ceil(H / stride), ...).

    Parameters
    ----------
    inputs, width
        Channels that come in, and channels within.
    stride, dilation
        Of the first 3x3 convolution.
    later_dilation
        Of 3x3 convolutions after it.
    norm
        Makes the normalisation of so many channels.
    """

    expansion = 1

    def __init__(
        self,
        inputs: int,
        width: int,
        stride: int,
        dilation: int,
        later_dilation: int,
        norm: MakeNorm,
    ) -> None:
        super().__init__()
        self.conv1 = conv(inputs, width, 3, stride, dilation)
        self.bn1 = norm(width)
        self.conv2 = conv(width, width, 3, 1, later_dilation)
        self.bn2 = norm(width)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = _shortcut(inputs, width, stride, norm)

    @property
    def last_norm(self) -> Norm:
        """The normalisation before the sum."""
        return self.bn2

    def forward(self, features: Tensor) -> Tensor:
        """Add what the convolutions make of the features to the features."""
        inner = self.relu(self.bn1(self.conv1(features)))
        both: Tensor = self.relu(self.bn2(self.conv2(inner)) + self.downsample(features))
        return both


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolutions and a shortcut; ends with four times its width of channels.

    Parameters
    ----------
    inputs, width, stride, dilation, later_dilation, norm
        As of :class:`BasicBlock`; there is one 3x3 convolution only.
    """

    expansion = 4

    def __init__(
        self,
        inputs: int,
        width: int,
        stride: int,
        dilation: int,
        later_dilation: int,
        norm: MakeNorm,
    ) -> None:
        super().__init__()
        outputs = self.expansion * width
        self.conv1 = conv(inputs, width, 1)
        self.bn1 = norm(width)
        self.conv2 = conv(width, width, 3, stride, dilation)
        self.bn2 = norm(width)
        self.conv3 = conv(width, outputs, 1)
        self.bn3 = norm(outputs)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = _shortcut(inputs, outputs, stride, norm)

    @property
    def last_norm(self) -> Norm:
        """The normalisation before the sum."""
        return self.bn3

    def forward(self, features: Tensor) -> Tensor:
        """Add what the convolutions make of the features to the features."""
        inner = self.relu(self.bn1(self.conv1(features)))
        inner = self.relu(self.bn2(self.conv2(inner)))
        both: Tensor = self.relu(self.bn3(self.conv3(inner)) + self.downsample(features))
        return both


#: By depth: the kind of block, and how many of them each of the four stages has.
DEPTHS: dict[int, tuple[type[BasicBlock | Bottleneck], tuple[int, ...]]] = {
    18: (BasicBlock, (2, 2, 2, 2)),
    34: (BasicBlock, (3, 4, 6, 3)),
    50: (Bottleneck, (3, 4, 6, 3)),
    101: (Bottleneck, (3, 4, 23, 3)),
    152: (Bottleneck, (3, 8, 36, 3)),
}


class ResNet(nn.Module):
    """A residual network without its classifier.

    Takes (batch, 3, H, W), returns (batch, channels, ceil(H / stride), ceil(W / stride)).

    Parameters
    ----------
    depth
        18, 34, 50, 101 or 152.
    norm
        Batch normalisation, or group normalisation of 32 groups in its place, under the same names.
    output_stride
        8, 16 or 32: pixels of the input per cell of the features.

    Attributes
    ----------
    stride : int
        The output stride.
    channels : int
        Of the features.
    """

    def __init__(
        self, depth: int, *, norm: Literal["batch", "group"] = "batch", output_stride: int = 32
    ) -> None:
        super().__init__()
        block, counts = DEPTHS[depth]
        make_norm: MakeNorm = nn.BatchNorm2d if norm == "batch" else _group_norm
        self.stride = output_stride
        self.conv1 = conv(3, 64, 7, 2)
        self.bn1 = make_norm(64)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        reached, dilation, self.channels = 4, 1, 64
        for stage, count in enumerate(counts):
            before, stride = dilation, 1
            if stage and reached < output_stride:
                stride = 2
                reached *= 2
            elif stage:
                dilation *= 2
            width = 64 * 2**stage
            blocks = [block(self.channels, width, stride, before, dilation, make_norm)]
            self.channels = width * block.expansion
            blocks += [block(self.channels, width, 1, dilation, dilation, make_norm) for _ in range(1, count)]
            setattr(self, f"layer{stage + 1}", nn.Sequential(*blocks))

    def parts(self) -> list[nn.Module]:
        """Return what the network consists of, in the order in which it is computed.

        In a :class:`~torch.nn.Sequential` they get the names under which Lightning Pose keeps them: 0 and 1
        are the first convolution and its normalisation, 4 to 7 the stages.
        """
        return list(self.children())

    def forward(self, images: Tensor) -> Tensor:
        """Compute the features of images."""
        features = images
        for part in self.parts():
            features = part(features)
        return features


def conv(inputs: int, outputs: int, size: int, stride: int = 1, dilation: int = 1) -> nn.Conv2d:
    """Make a convolution without bias, padded so that stride 1 keeps the size of the map.

    Parameters
    ----------
    inputs, outputs
        Channels.
    size
        Of the kernel, odd.
    stride, dilation
    """
    padding = size // 2 * dilation
    return nn.Conv2d(inputs, outputs, size, stride, padding, dilation, bias=False)


def _group_norm(channels: int) -> Norm:
    return nn.GroupNorm(GROUPS, channels)


def _shortcut(inputs: int, outputs: int, stride: int, norm: MakeNorm) -> nn.Module:
    """Pass on what can be added as it is; else bring it to the right size and number of channels."""
    if stride == 1 and inputs == outputs:
        return nn.Identity()
    return nn.Sequential(conv(inputs, outputs, 1, stride), norm(outputs))
