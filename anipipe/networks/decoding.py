"""From heatmaps to points, on the device and for all joints and frames at once.

Pixels are those of the network's input, with the centre of the first one at (0, 0).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import singledispatch

import torch
import torch.nn.functional as F
from torch import Tensor

from anipipe.networks.models import PeakDecoding, SoftArgmaxDecoding

#: Lightning Pose sharpens its heatmaps by this before it takes their mean place.
_SHARPNESS = 1000.0
#: Half the side of the window that a score is gathered in, and in which a peak hides others.
_REACH = 2
_BINOMIAL = (1.0, 4.0, 6.0, 4.0, 1.0)


@singledispatch
def decode(
    decoding: PeakDecoding | SoftArgmaxDecoding, outputs: Sequence[Tensor], candidates: int = 1
) -> tuple[Tensor, Tensor]:
    """Find each joint's most likely places.

    Parameters
    ----------
    decoding : PeakDecoding or SoftArgmaxDecoding
        How the network means its output.
    outputs : sequence of Tensor
        What the network returned: see :class:`~anipipe.networks.models.TrainedModel`.
    candidates : int
        How many places per joint: the best one, and then further local maxima in the order of their height.

    Returns
    -------
    points : Tensor
        (frames, joints, candidates, 2), x and y, float32, pixels of the network's input; NaN where a heatmap
        has no further local maximum.
    scores : Tensor
        (frames, joints, candidates), float32.
    """
    raise TypeError(f"no such decoding: {decoding!r}")


@decode.register
def _(decoding: PeakDecoding, outputs: Sequence[Tensor], candidates: int = 1) -> tuple[Tensor, Tensor]:
    """Take the highest cells, refined by the offsets there.

    As DeepLabCut does: Mathis et al., Nature Neuroscience 21 (2018) 1281, doi:10.1038/s41593-018-0209-y.
    """
    heat = outputs[0].float()
    if decoding.sigmoid:
        heat = heat.sigmoid()
    columns = heat.shape[3]
    scores, cells = _peaks(heat, candidates)
    grid = torch.stack([cells % columns, cells // columns], dim=-1).to(torch.float32)
    points = (grid + 0.5) * decoding.stride
    if decoding.offset_scale is not None:
        points = points + decoding.offset_scale * _at(outputs[1], cells)
    points = torch.where(scores.isfinite()[..., None], points, torch.nan)
    scores = torch.where(scores.isfinite(), scores, torch.nan)
    return points, scores.clamp(0, 1) if decoding.clip else scores


def _peaks(heat: Tensor, candidates: int) -> tuple[Tensor, Tensor]:
    """Return the heights (-inf: no more) and cells of the highest places, (frames, joints, candidates)."""
    flat = heat.flatten(2)
    scores, cells = flat.max(dim=2, keepdim=True)
    if candidates == 1:
        return scores, cells
    is_peak = heat == F.max_pool2d(heat, 3, stride=1, padding=1)
    rest = torch.where(is_peak, heat, -torch.inf)
    all_scores, all_cells = [scores], [cells]
    for _ in range(candidates - 1):  # of a plateau only one cell counts, so what surrounds each is left out
        rest = _without_cell(rest, all_cells[-1], -torch.inf)
        found = rest.flatten(2).max(dim=2, keepdim=True)
        all_scores.append(found.values)
        all_cells.append(found.indices)
    return torch.cat(all_scores, dim=2), torch.cat(all_cells, dim=2)


def _at(offsets: Tensor, cells: Tensor) -> Tensor:
    """Return the offsets in some cells, (frames, joints, candidates, 2)."""
    maps = offsets.float().reshape(*cells.shape[:2], 2, -1)
    return maps.gather(3, cells[:, :, None].expand(-1, -1, 2, -1)).transpose(2, 3)


@decode.register
def _(decoding: SoftArgmaxDecoding, outputs: Sequence[Tensor], candidates: int = 1) -> tuple[Tensor, Tensor]:
    """Take the mean place of the sharpened heatmap; the score is its share within two pixels of that place.

    As Lightning Pose does: Biderman et al., Nature Methods 21 (2024) 1316, doi:10.1038/s41592-024-02319-1.
    Its shift of places is half a cell too small for three doublings; here it is right for any number.

    Further candidates are found in the heatmap without what surrounds those before; their score is that of
    the best one, times the ratio of their peaks' heights.
    """
    heat = outputs[0].float()
    points, scores = _mean_place(heat, decoding.doublings)
    height = heat.amax(dim=(2, 3))
    all_points, all_scores = [points], [scores]
    for _ in range(candidates - 1):
        heat = _without_cell(heat, heat.flatten(2).argmax(dim=2, keepdim=True), 0)
        rest = heat.amax(dim=(2, 3))
        further, _unused = _mean_place(heat, decoding.doublings)
        all_points.append(torch.where((rest > 0)[..., None], further, torch.nan))
        all_scores.append(torch.where(rest > 0, scores * rest / height, torch.nan))
    return torch.stack(all_points, dim=2), torch.stack(all_scores, dim=2)


def _mean_place(heat: Tensor, doublings: int) -> tuple[Tensor, Tensor]:
    for _ in range(doublings):
        heat = _doubled(heat)
    rows, columns = heat.shape[2:]
    sharp = (heat.flatten(2) * _SHARPNESS).softmax(dim=2).reshape(heat.shape)
    x = sharp.sum(dim=2) @ torch.arange(columns, dtype=torch.float32, device=heat.device)
    y = sharp.sum(dim=3) @ torch.arange(rows, dtype=torch.float32, device=heat.device)
    window = torch.arange(-_REACH, _REACH + 1, device=heat.device)
    near_x, near_y = x.long()[..., None] + window, y.long()[..., None] + window
    inside = _within(near_y, rows)[..., :, None] & _within(near_x, columns)[..., None, :]
    cells = near_y.clamp(0, rows - 1)[..., :, None] * columns + near_x.clamp(0, columns - 1)[..., None, :]
    share = sharp.flatten(2).gather(2, cells.flatten(2)) * inside.flatten(2)
    # a cell's first pixel, not its middle, is where its joint was drawn in training
    return torch.stack([x, y], dim=-1) - (2**doublings - 1) / 2, share.sum(dim=2)


def _doubled(heat: Tensor) -> Tensor:
    """Return heatmaps of twice the size, smoothed: the upper step of an image pyramid."""
    large = F.interpolate(heat, scale_factor=2, mode="bicubic", align_corners=False)
    kernel = torch.tensor(_BINOMIAL, device=heat.device) / sum(_BINOMIAL)
    flat = large.reshape(-1, 1, *large.shape[2:])
    flat = F.conv2d(flat, kernel.reshape(1, 1, 1, -1), padding=(0, _REACH))
    return F.conv2d(flat, kernel.reshape(1, 1, -1, 1), padding=(_REACH, 0)).reshape(large.shape)


def _without_cell(heat: Tensor, cell: Tensor, value: float) -> Tensor:
    """Return heatmaps with a cell (frames, joints, 1), and what surrounds it, set to a value."""
    rows, columns = heat.shape[2:]
    cell = cell[..., None]
    down = (torch.arange(rows, device=heat.device)[:, None] - cell // columns).abs()
    across = (torch.arange(columns, device=heat.device) - cell % columns).abs()
    return heat.masked_fill((down <= _REACH) & (across <= _REACH), value)


def _within(index: Tensor, size: int) -> Tensor:
    return (index >= 0) & (index < size)
