"""A network over the frames of a video: every row its own, whatever the batches, crops and damage."""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np
import pytest
import torch

from anipipe.errors import ConfigError, DataError, Notice
from anipipe.networks import dynamic_crop
from anipipe.networks.devices import Compute, choose
from anipipe.networks.dynamic_crop import follow, window_size
from anipipe.networks.models import Preparation, TrainedModel
from anipipe.networks.streams import Stream, Times
from anipipe.networks.tracker import Tracker
from anipipe.networks.tracking import track
from tests.networks.known_network import CELL, Spots, centres, picture, spots_model

SIZE = (320, 256)


def walk(frames: int, seed: int = 0) -> np.ndarray:
    """Cells of two joints that stay together and wander, (frames, 2, 2)."""
    rng = np.random.default_rng(seed)
    high = np.array(SIZE) / CELL - 12
    place = np.clip(np.cumsum(rng.integers(-2, 3, (frames, 2)), axis=0) + high // 2, 8, high)
    return np.stack([place, place + rng.integers(1, 8, (frames, 2))], axis=1).astype(float)


def film(places: np.ndarray, damaged: tuple[int, ...] = ()) -> Iterator[tuple[int, np.ndarray | None]]:
    for row, place in enumerate(places):
        yield row, None if row in damaged else picture(place, SIZE)


def tracker(room: int = 1000, **more: int) -> Tracker:
    return Tracker(spots_model(room), Compute(torch.device("cpu"), torch.float32, 1), **more)


@pytest.mark.parametrize("batch_size", [1, 3, 50])
def test_every_row_is_its_own(batch_size: int) -> None:
    places, told = walk(20), []
    found = track(
        tracker(batch_size=batch_size),
        film(places, (4, 5, 19)),
        20,
        SIZE,
        progress=lambda *so_far: told.append(so_far),
    )
    expected = centres(places)
    expected[[4, 5, 19]] = np.nan
    np.testing.assert_array_equal(found.values[:, :, 0, :2], expected)
    assert np.isnan(found.values[[4, 5, 19]]).all() and (found.values[:4, ..., 2] > 0.9).all()
    assert told[-1] == (19, 20) and told == sorted(told)


def test_a_crop_changes_what_is_seen_and_not_where() -> None:
    places = np.array([[[50, 40], [52, 41]], [[5, 4], [52, 41]]], dtype=float)
    found = track(tracker(), film(places), 2, SIZE, crop=(160, 120, 120, 80))
    np.testing.assert_array_equal(found.values[0, :, 0, :2], centres(places)[0])
    assert found.values[1, 0, 0, 2] < 0.2  # red is outside
    with pytest.raises(ConfigError, match=r"reaches to \(330, 200\), and the frame has 320 x 256"):
        track(tracker(), film(places), 2, SIZE, crop=(210, 120, 120, 80))


def test_a_full_memory_halves_the_batch_and_says_so_once() -> None:
    places = walk(30)
    little = tracker(room=3, batch_size=16)
    with pytest.warns(Notice) as caught:
        found = track(little, film(places), 30, SIZE)
    assert "does not hold 16 pictures of 320 x 256 pixels at once; going on with 8" in str(caught[0].message)
    assert [str(each.message).split()[-2] for each in caught] == ["8", "4", "2"]
    np.testing.assert_array_equal(found.values[:, :, 0, :2], centres(places))
    assert little.batch_size(*SIZE) == 2
    with pytest.raises(DataError, match="does not hold one picture of 320 x 256"):
        track(tracker(room=0, batch_size=1), film(places), 30, SIZE)


def test_reading_fails_where_the_batches_are_used_and_ends_its_thread() -> None:
    def broken() -> Iterator[tuple[int, np.ndarray | None]]:
        yield from film(walk(3))
        raise DataError("the disk is gone")

    with pytest.raises(DataError, match="the disk is gone"):
        track(tracker(batch_size=2), broken(), 9, SIZE)
    with Stream(film(walk(500)), SIZE, None, 2, Times()) as stream:
        batch = next(iter(stream))  # and no more: the thread waits for a buffer that never comes back
        time.sleep(0.05)
    assert batch.rows.tolist() == [0, 1]
    assert not stream._thread.is_alive()


def test_pictures_are_scaled_or_filled_up_and_points_come_back() -> None:
    places = np.array([[[20, 10], [60, 50]]], dtype=float)
    for preparation, tolerance in (
        (Preparation(normalise=False, size=(160, 128)), 3),
        (Preparation(normalise=False, size=(160, 160), keep_ratio=True), 3),
        (Preparation(normalise=False, divisor=32), 0),
        (Preparation(normalise=False, divisor=48), 4),  # 8 pixels on each side: not whole cells
    ):
        model = spots_model()
        changed = TrainedModel(model.name, model.joints, Spots(), preparation, model.decoding)
        found = track(Tracker(changed, choose("cpu")), film(places), 1, SIZE)
        assert np.abs(found.values[:, :, 0, :2] - centres(places)).max() <= tolerance
    assert changed.network.seen[-1][2:] == (288, 336)


def test_a_window_follows_the_animal_and_finds_what_the_whole_frame_shows() -> None:
    places = walk(150)
    places[70:, :] = walk(80, seed=3)[::-1]  # a jump: the window has lost it
    places[100:110] = np.nan
    whole = track(tracker(batch_size=4), film(places, (31, 32, 64)), 150, SIZE)
    follower = tracker(batch_size=4)
    frames = list(film(places, (31, 32, 64)))
    found = follow(
        follower, iter(frames), 150, SIZE, read=lambda rows: (frames[row] for row in rows), crop=None
    )
    seen = whole.values[..., 2] > 0.6
    np.testing.assert_array_equal(found.values[seen], whole.values[seen])
    np.testing.assert_array_equal(np.isnan(found.values), np.isnan(whole.values))
    shapes = follower.model.network.seen
    assert sum(shape[0] for shape in shapes if shape[2:] == (256, 320)) < 45
    assert {shape[2:] for shape in shapes} == {(256, 320), (128, 128)}


def test_stretches_that_are_followed_side_by_side_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    places = walk(100, seed=5)
    frames = list(film(places))
    results = []
    for room in (1, 10**9):
        monkeypatch.setitem(dynamic_crop._BUFFER, "cpu", room)
        found = follow(
            tracker(),
            iter(frames),
            100,
            SIZE,
            read=lambda rows: (frames[row] for row in rows),
            crop=(0, 0, 320, 224),
        )
        results.append(found.values)
    np.testing.assert_array_equal(*results)


def test_the_window_holds_the_animal_with_a_margin_in_whole_steps() -> None:
    values = np.full((10, 3, 3), 0.9, dtype=np.float32)
    values[:, :, :2] = [[300, 300], [400, 300], [320, 360]]
    assert window_size(values, (1280, 1024)) == (192, 192)  # 100 and twice 40, and up to the grid
    values[..., 2] = 0.1
    assert window_size(values, (1280, 1024)) is None
    values[..., 2], values[..., 0] = 0.9, [0, 900, 1200]
    assert window_size(values, (1280, 1024)) is None


def test_windows_are_not_for_networks_that_scale_every_frame() -> None:
    model = spots_model()
    scaled = TrainedModel("lp", model.joints, Spots(), Preparation(size=(256, 256)), model.decoding)
    with pytest.raises(ConfigError, match="lp scales every frame to one size"):
        follow(Tracker(scaled, choose("cpu")), iter(()), 0, SIZE, read=lambda rows: iter(()))


def test_devices_that_are_not_there_are_told() -> None:
    if not torch.cuda.is_available():
        with pytest.raises(ConfigError, match=r'network.device = "cuda": .*"auto"'):
            choose("cuda")
    with pytest.raises(ConfigError, match=r'"gpu": there is no such kind of device'):
        choose("gpu")
    with pytest.raises(ConfigError, match=r'"bfloat16" is the quick one'):
        choose("cpu", "float16")
    assert choose("cpu", "bfloat16").dtype == torch.bfloat16 and choose("cpu").dtype == torch.float32
