"""Several pictures in one: nothing is cut, covered, stretched or enlarged."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from anipipe.numerics.drawing.tiles import arrange

SIDES = some.integers(2, 4000)


@settings(max_examples=150, deadline=None)
@given(
    some.lists(some.tuples(SIDES, SIDES), min_size=1, max_size=12),
    some.sampled_from([(1920, 1200), (640, 480), (200, 900)]),
)
def test_nothing_is_cut_covered_stretched_or_enlarged(
    sizes: list[tuple[int, int]], limit: tuple[int, int]
) -> None:
    tiles, (width, height) = arrange(sizes, limit)
    assert len(tiles) == len(sizes)
    assert width % 2 == height % 2 == 0 and width <= limit[0] and height <= limit[1]
    taken = np.zeros((height, width), np.int64)
    for tile, (own_width, own_height) in zip(tiles, sizes, strict=True):
        assert tile.x >= 0 and tile.y >= 0 and tile.x + tile.width <= width
        assert tile.y + tile.height <= height
        taken[tile.y : tile.y + tile.height, tile.x : tile.x + tile.width] += 1
        assert tile.width <= own_width and tile.height <= own_height
        across, down = tile.width / own_width, tile.height / own_height
        assert tile.width - 1 <= own_width * down + own_width / own_height  # of a pixel, no more
        assert tile.height - 1 <= own_height * across + own_height / own_width
        corners = tile.points(np.array([[-0.5, -0.5], [own_width - 0.5, own_height - 0.5]]))
        expected = np.array([[-0.5, -0.5], [tile.width - 0.5, tile.height - 0.5]])
        np.testing.assert_allclose(corners, expected, atol=1e-6)
    assert taken.max() == 1
    rows = [(tile.y + tile.height / 2, tile.x + tile.width / 2) for tile in tiles]
    assert all(later[1] > sooner[1] or later[0] > sooner[0] for sooner, later in pairwise(rows))


@pytest.mark.parametrize("size", [(640, 480), (641, 481), (959, 600)])
def test_what_fits_is_shown_as_it_is(size: tuple[int, int]) -> None:
    """Pixel by pixel, also where a side is odd."""
    tiles, whole = arrange([size, size])
    assert all((tile.width, tile.height) == size for tile in tiles)
    assert whole == (2 * (size[0] + size[0] % 2), size[1] + size[1] % 2)
    points = np.array([[3.25, 100.5]])
    np.testing.assert_array_equal(tiles[1].points(points), points)


def test_they_go_from_left_to_right_and_downwards_as_large_as_may_be() -> None:
    tiles, whole = arrange([(640, 480)] * 4, (1300, 1000))
    assert [(tile.x, tile.y) for tile in tiles] == [(0, 0), (640, 0), (0, 480), (640, 480)]
    assert whole == (1280, 960)
    tiles, whole = arrange([(640, 480)] * 4, (640, 500))  # halves, two by two, not quarters in a row
    assert [(tile.x, tile.y, tile.width) for tile in tiles] == [
        (0, 0, 320),
        (320, 0, 320),
        (0, 240, 320),
        (320, 240, 320),
    ]


def test_smaller_ones_stand_in_the_middle_of_their_place() -> None:
    tiles, _ = arrange([(100, 200), (60, 80)])
    assert (tiles[1].x, tiles[1].y, tiles[1].width, tiles[1].height) == (100 + 20, 60, 60, 80)


def test_a_point_of_a_picture_is_that_point_of_its_tile() -> None:
    """A spot is found again where it is said to be, in a picture that was shrunk."""
    rng = np.random.default_rng(0)
    for size in ((1000, 700), (333, 777)):
        tiles, whole = arrange([size] * 6, (400, 300))
        for tile in tiles[:2]:
            x, y = rng.uniform(0.2, 0.8, 2) * size
            columns, rows = np.meshgrid(np.arange(size[0]), np.arange(size[1]))
            spot = 250 * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * 12.0**2))
            shown = np.zeros((whole[1], whole[0], 3), np.uint8)
            picture = np.repeat(spot[..., None], 3, axis=2).astype(np.uint8)
            part = tile.fit(picture)
            assert part.shape == (tile.height, tile.width, 3)
            tile.put(part, shown)
            weights = shown[..., 0].astype(float)
            rows, columns = np.indices(weights.shape)
            found = np.array([(columns * weights).sum(), (rows * weights).sum()]) / weights.sum()
            expected = tile.points(np.array([x, y])) + np.array([tile.x, tile.y])
            assert np.abs(found - expected).max() < 0.1
