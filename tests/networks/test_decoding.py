"""Points from heatmaps: against sums written out, and against places that are known."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from anipipe.networks.decoding import decode
from anipipe.networks.models import PeakDecoding, SoftArgmaxDecoding


def test_peaks_are_the_highest_cells_refined_by_their_offsets() -> None:
    rng = np.random.default_rng(1)
    heat = rng.normal(0.4, 0.5, (3, 4, 7, 9)).astype(np.float32)
    offsets = rng.normal(size=(3, 8, 7, 9)).astype(np.float32)
    points, scores = decode(PeakDecoding(8.0), [torch.from_numpy(heat), torch.from_numpy(offsets)])
    for frame in range(3):
        for joint in range(4):
            row, column = np.unravel_index(np.argmax(heat[frame, joint]), (7, 9))
            dx, dy = offsets[frame, 2 * joint : 2 * joint + 2, row, column]
            expected = (column * 8 + 4 + 7.2801 * dx, row * 8 + 4 + 7.2801 * dy)
            assert points[frame, joint, 0].numpy() == pytest.approx(expected, abs=1e-4)
            assert scores[frame, joint, 0].item() == pytest.approx(min(1, heat[frame, joint].max()))


def test_the_first_of_equal_peaks_counts() -> None:
    heat = torch.zeros(1, 1, 5, 6)
    heat[0, 0, 2, 1] = heat[0, 0, 2, 4] = heat[0, 0, 4, 0] = 0.5
    points, _ = decode(PeakDecoding(2.0, offset_scale=None), [heat])
    assert points.flatten().tolist() == [3, 5]


def test_logits_become_shares_and_scores_stay_as_they_are_if_asked() -> None:
    heat = torch.full((1, 1, 3, 3), -2.0)
    heat[0, 0, 1, 1] = 3.0
    _, scores = decode(PeakDecoding(8, None, sigmoid=True), [heat])
    assert scores.item() == pytest.approx(1 / (1 + np.exp(-3)))
    assert decode(PeakDecoding(8, None, clip=False), [heat])[1].item() == 3


def test_further_candidates_are_local_maxima_in_order_and_then_nothing() -> None:
    heat = torch.zeros(1, 1, 12, 12)
    for height, row, column in ((0.9, 2, 2), (0.8, 2, 3), (0.5, 9, 9), (0.7, 9, 1)):
        heat[0, 0, row, column] = height  # 0.8 stands beside the highest: no maximum of its own
    heat[0, 0] -= torch.linspace(0, 0.01, 12)[:, None]  # no plateaus
    points, scores = decode(PeakDecoding(1.0, None), [heat], 3)
    assert points[0, 0].tolist() == [[2.5, 2.5], [1.5, 9.5], [9.5, 9.5]]
    assert scores[0, 0].numpy() == pytest.approx([0.9, 0.7, 0.5], abs=0.011)
    single = torch.zeros(1, 1, 1, 1)
    points, scores = decode(PeakDecoding(1.0, None), [single], 3)
    assert points[0, 0, 0].tolist() == [0.5, 0.5]
    assert points[0, 0, 1:].isnan().all() and scores[0, 0, 1:].isnan().all()


def test_one_candidate_equals_the_first_of_several() -> None:
    heat, offsets = torch.rand(2, 3, 20, 24), torch.randn(2, 6, 20, 24)
    one, several = (decode(PeakDecoding(8.0), [heat, offsets], count) for count in (1, 4))
    assert torch.equal(one[0], several[0][:, :, :1]) and torch.equal(one[1], several[1][:, :, :1])


def drawn(places: np.ndarray, doublings: int, size: int) -> torch.Tensor:
    """Heatmaps as they are drawn for training: a Gaussian about the place, in cells from the first one."""
    cells = np.arange(size // 2**doublings, dtype=float)
    away = [(cells - place[..., None] / 2**doublings) ** 2 for place in (places[..., 0], places[..., 1])]
    heat = np.exp(-(away[0][..., None, :] + away[1][..., :, None]) / (2 * 1.25**2))
    return torch.from_numpy(heat / heat.sum(axis=(-1, -2), keepdims=True)).float()


@pytest.mark.parametrize("doublings", [1, 2, 3])
def test_mean_places_come_back(doublings: int) -> None:
    places = np.random.default_rng(doublings).uniform(30, 98, (4, 5, 2))
    points, scores = decode(SoftArgmaxDecoding(doublings), [drawn(places, doublings, 128)])
    # after a single doubling a peak is so narrow that its sharpened place leans towards whole pixels
    assert np.abs(points[:, :, 0].numpy() - places).max() < {1: 0.25, 2: 0.01, 3: 0.01}[doublings]
    assert (scores > 0.2).all()


def test_mean_places_are_those_of_pyramids_written_out() -> None:
    heat = torch.rand(1, 2, 16, 12) * 0.01
    heat[0, 0, 5, 7] = 0.2
    points, scores = decode(SoftArgmaxDecoding(2), [heat])
    for joint in range(2):
        sharp = heat[0, joint].numpy().astype(np.float64)
        for _ in range(2):
            sharp = torch.nn.functional.interpolate(
                torch.from_numpy(sharp)[None, None], scale_factor=2, mode="bicubic", align_corners=False
            )[0, 0].numpy()
            kernel = np.outer([1, 4, 6, 4, 1], [1, 4, 6, 4, 1]) / 256
            sharp = cv2.filter2D(sharp, -1, kernel, borderType=cv2.BORDER_CONSTANT)
        sharp = np.exp(1000 * (sharp - sharp.max()))
        sharp /= sharp.sum()
        y, x = ((sharp * grid).sum() for grid in np.indices(sharp.shape))
        share = sharp[max(0, int(y) - 2) : int(y) + 3, max(0, int(x) - 2) : int(x) + 3].sum()
        assert points[0, joint, 0].tolist() == pytest.approx([x - 1.5, y - 1.5], abs=1e-3)
        assert scores[0, joint, 0].item() == pytest.approx(share, abs=1e-4)


def test_further_mean_places_are_those_of_lower_peaks() -> None:
    high, low = drawn(np.array([[[40.0, 80.0]]]), 2, 128), drawn(np.array([[[90.0, 30.0]]]), 2, 128)
    points, scores = decode(SoftArgmaxDecoding(2), [high + 0.5 * low], 2)
    assert points[0, 0].numpy() == pytest.approx(np.array([[40, 80], [90, 30]]), abs=0.05)
    heights = [peak.max().item() for peak in (high, 0.5 * low)]
    assert scores[0, 0, 1] / scores[0, 0, 0] == pytest.approx(heights[1] / heights[0], abs=1e-3)
