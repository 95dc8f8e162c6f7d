"""A network whose answers are known: it finds spots of pure colour, one joint per colour."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from anipipe.networks.models import PeakDecoding, Preparation, TrainedModel

CELL = 4
COLOURS = ((0, 0, 255), (0, 255, 0))  # blue, green, red
JOINTS = ("red", "green")


class Spots(nn.Module):
    """Heatmaps: how much of a cell has a joint's colour. It lacks memory for batches above ``room``."""

    def __init__(self, room: int = 1000) -> None:
        super().__init__()
        self.room = room
        self.seen: list[tuple[int, ...]] = []

    def forward(self, images: Tensor) -> tuple[Tensor]:
        self.seen.append(tuple(images.shape))
        if len(images) > self.room:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        rgb = images.float() / 255
        heat = torch.stack([rgb[:, 0] * (1 - rgb[:, 1]), rgb[:, 1] * (1 - rgb[:, 0])], dim=1)
        return (F.avg_pool2d(heat, CELL),)


def spots_model(room: int = 1000) -> TrainedModel:
    decoding = PeakDecoding(stride=CELL, offset_scale=None)
    return TrainedModel("spots", JOINTS, Spots(room), Preparation(normalise=False), decoding)


def picture(places: np.ndarray, size: tuple[int, int] = (320, 256), brightness: float = 1.0) -> np.ndarray:
    """A grey picture with one square of a cell per joint; ``places`` are the cells (joints, 2), NaN: none."""
    image = np.full((size[1], size[0], 3), 40, dtype=np.uint8)
    for (x, y), colour in zip(places * CELL, COLOURS, strict=True):
        if np.isfinite(x):
            image[int(y) : int(y) + CELL, int(x) : int(x) + CELL] = np.array(colour) * brightness
    return image


def centres(places: np.ndarray) -> np.ndarray:
    """Where the joints are, in pixels."""
    return (places + 0.5) * CELL
