"""A trained model, as everything else sees it: a network, what goes in, what comes out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from torch import nn

Precision = Literal["auto", "float32", "float16", "bfloat16"]

#: Mean and standard deviation of red, green and blue in ImageNet, of values 0 to 1.
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Preparation:
    """How a frame becomes the network's input.

    Attributes
    ----------
    size : (int, int), optional
        Width and height that every frame is scaled to (bilinear, without anti-aliasing); None: its own.
    keep_ratio : bool
        Scale both sides alike, and fill up with black on the right and below.
    divisor : int
        Width and height are filled up to a multiple of this by reflection, the frame in the middle.
    normalise : bool
        Values 0 to 1, less ImageNet's mean, by its standard deviation; else they stay 0 to 255.
    rgb : bool
        The order of colours that the network knows; else blue, green, red.
    """

    size: tuple[int, int] | None = None
    keep_ratio: bool = False
    divisor: int = 1
    normalise: bool = True
    rgb: bool = True


@dataclass(frozen=True)
class PeakDecoding:
    """Points are the highest places of heatmaps, refined by offsets (DeepLabCut).

    Attributes
    ----------
    stride : float
        Pixels of the network's input per cell of the heatmap.
    offset_scale : float, optional
        Pixels per unit of the offsets (``locref_std``); None: there are none.
    sigmoid : bool
        The heatmap holds logits.
    clip : bool
        Scores are kept within 0 to 1.
    """

    stride: float
    offset_scale: float | None = 7.2801
    sigmoid: bool = False
    clip: bool = True


@dataclass(frozen=True)
class SoftArgmaxDecoding:
    """Points are the mean places of sharpened heatmaps (Lightning Pose).

    Attributes
    ----------
    doublings : int
        How many times smaller by half the heatmap is than the input (``downsample_factor``).
    """

    doublings: int


@dataclass(frozen=True)
class TrainedModel:
    """A network that is ready to run.

    Attributes
    ----------
    name : str
        How it is called in messages and in the scorer's row of tables.
    joints : tuple of str
        In the order of the network's channels.
    network : torch.nn.Module
        In evaluation mode, float32, on the CPU. Takes (batch, 3, height, width). Returns a tuple: heatmaps
        (batch, joints, rows, columns), and offsets (batch, 2 joints, rows, columns) where there are any,
        x and y of the first joint first.
    preparation : Preparation
    decoding : PeakDecoding or SoftArgmaxDecoding
    """

    name: str
    joints: tuple[str, ...]
    network: nn.Module
    preparation: Preparation
    decoding: PeakDecoding | SoftArgmaxDecoding
