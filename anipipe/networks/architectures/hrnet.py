"""HRNet: branches of several resolutions side by side, fused again and again (Wang et al. 2021).

Tensor names are those of timm. Only the branch of the highest resolution is returned, so what would feed the
others at the end is not computed; its tensors are there, since trained weights have them.
"""

from __future__ import annotations

from torch import Tensor, nn

from anipipe.networks.architectures.resnet import BasicBlock, Bottleneck, conv

BLOCKS = 4  # of each branch, in each fusion


class Fusion(nn.Module):
    """Branches of their own blocks, then each made the sum of all, brought to its size.

    Takes and returns a list of features, (batch, channels, rows, columns), each of half the rows and columns
    and twice the channels of the one before.

    Parameters
    ----------
    widths
        Channels of the branches.
    wanted
        How many branches are returned, the first ones.
    """

    def __init__(self, widths: list[int], wanted: int) -> None:
        super().__init__()
        self.wanted = wanted
        self.branches = nn.ModuleList(nn.Sequential(*_blocks(width)) for width in widths)
        self.fuse_layers = nn.ModuleList(
            nn.ModuleList(_exchange(widths, source, target) for source in range(len(widths)))
            for target in range(len(widths))
        )
        self.relu = nn.ReLU(inplace=True)

    def forward(self, features: list[Tensor]) -> list[Tensor]:
        """Compute the branches that are wanted."""
        own = [branch(each) for branch, each in zip(self.branches, features, strict=True)]
        fused = []
        for layers in list(self.fuse_layers.children())[: self.wanted]:
            first, *others = [layer(each) for layer, each in zip(layers.children(), own, strict=True)]
            fused.append(self.relu(sum(others, start=first)))
        return fused


class HRNet(nn.Module):
    """A network that keeps a high resolution, without its classifier.

    Takes (batch, 3, H, W), returns (batch, width, H / 4, W / 4). H and W must be multiples of 32, or else
    the branches do not fit together.

    Parameters
    ----------
    width
        Channels of the branch of the highest resolution: 18, 32 or 48.

    Attributes
    ----------
    stride : int
        4.
    channels : int
        The width.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.stride, self.channels = 4, width
        widths = [width * 2**branch for branch in range(4)]
        self.conv1 = conv(3, 64, 3, 2)
        self.bn1 = nn.BatchNorm2d(64)
        self.conv2 = conv(64, 64, 3, 2)
        self.bn2 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU(inplace=True)
        first = Bottleneck(64, 64, 1, 1, 1, nn.BatchNorm2d)
        more = [Bottleneck(256, 64, 1, 1, 1, nn.BatchNorm2d) for _ in range(1, BLOCKS)]
        self.layer1 = nn.Sequential(first, *more)
        self.transition1 = nn.ModuleList(
            [nn.Sequential(*_unit(256, width)), nn.Sequential(_halving(256, widths[1]))]
        )
        # in this order, by which optimizers number their states
        self.stage2 = nn.Sequential(Fusion(widths[:2], 2))
        self.transition2 = _one_more(widths[:3])
        self.stage3 = nn.Sequential(*(Fusion(widths[:3], 3) for _ in range(4)))
        self.transition3 = _one_more(widths[:4])
        self.stage4 = nn.Sequential(*(Fusion(widths, wanted) for wanted in (4, 4, 1)))

    def forward(self, images: Tensor) -> Tensor:
        """Compute the features of images."""
        features = self.relu(self.bn1(self.conv1(images)))
        features = self.layer1(self.relu(self.bn2(self.conv2(features))))
        branches = self.stage2([start(features) for start in self.transition1])
        branches = self.stage3(_grown(self.transition2, branches))
        highest: Tensor = self.stage4(_grown(self.transition3, branches))[0]
        return highest


def _grown(transition: nn.ModuleList, branches: list[Tensor]) -> list[Tensor]:
    """Keep the branches, and start one more from the last."""
    return [start(each) for start, each in zip(transition, [*branches, branches[-1]], strict=True)]


def _one_more(widths: list[int]) -> nn.ModuleList:
    kept = [nn.Identity() for _ in widths[:-1]]
    return nn.ModuleList([*kept, nn.Sequential(_halving(*widths[-2:]))])


def _blocks(width: int) -> list[nn.Module]:
    return [BasicBlock(width, width, 1, 1, 1, nn.BatchNorm2d) for _ in range(BLOCKS)]


def _unit(inputs: int, outputs: int, stride: int = 1) -> list[nn.Module]:
    return [conv(inputs, outputs, 3, stride), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)]


def _halving(inputs: int, outputs: int) -> nn.Module:
    return nn.Sequential(*_unit(inputs, outputs, 2))


def _exchange(widths: list[int], source: int, target: int) -> nn.Module:
    """Bring the features of one branch to the size and the channels of another."""
    inputs, outputs = widths[source], widths[target]
    if source == target:
        return nn.Identity()
    if source > target:
        larger = nn.Upsample(scale_factor=2 ** (source - target), mode="nearest")
        return nn.Sequential(conv(inputs, outputs, 1), nn.BatchNorm2d(outputs), larger)
    last = nn.Sequential(conv(inputs, outputs, 3, 2), nn.BatchNorm2d(outputs))
    return nn.Sequential(*(_halving(inputs, inputs) for _ in range(target - source - 1)), last)
