"""What a network is shown, what it is to answer, and how wrong it is told to be."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
import torch

from anipipe.errors import ConfigError
from anipipe.networks.decoding import decode
from anipipe.networks.models import PeakDecoding
from anipipe.networks.training.augmentation import Augmentation, augment, read_augmentation
from anipipe.networks.training.losses import LossWeights, losses, read_weights
from anipipe.networks.training.schedule import make_optimizer, make_scheduler
from anipipe.networks.training.settings import read_settings
from anipipe.networks.training.targets import TargetMaker, Targets, make_targets, read_targets

PLACES = np.array([[60.0, 50.0], [100.0, 90.0], [140.0, 60.0], [np.nan, np.nan]])


def dots(points=PLACES, size=(200, 150)) -> np.ndarray:
    """A picture with a smooth spot of its own colour at each point."""
    x, y = np.meshgrid(np.arange(size[0]), np.arange(size[1]))
    picture = np.zeros((size[1], size[0], 3))
    for channel, (u, v) in enumerate(points[:3]):
        picture[..., channel] = 250 * np.exp(-((x - u) ** 2 + (y - v) ** 2) / (2 * 3.0**2))
    return np.round(picture).astype(np.uint8)


def centre(picture: np.ndarray, channel: int) -> np.ndarray:
    """Where a spot is: its centre of mass."""
    weight = picture[..., channel].astype(float)
    y, x = np.mgrid[: picture.shape[0], : picture.shape[1]]
    return np.array([(weight * x).sum(), (weight * y).sum()]) / weight.sum()


def inside(point: np.ndarray, picture: np.ndarray, margin: float = 15) -> bool:
    height, width = picture.shape[:2]
    return bool((point > margin).all() and (point < (width - margin, height - margin)).all())


MOVING = {
    "rotation": Augmentation(affine=1, rotation=40),
    "scale": Augmentation(affine=1, scale=(0.6, 1.4)),
    "translation": Augmentation(affine=1, translation=20),
    "crop": Augmentation(crop=(120, 100), shift=0.2),
    "crop larger than the picture": Augmentation(crop=(260, 240)),
    "all": Augmentation(crop=(150, 140), affine=1, rotation=30, scale=(0.7, 1.2), translation=5),
}


@pytest.mark.parametrize("augmentation", MOVING.values(), ids=MOVING)
def test_points_move_with_the_picture(augmentation):
    looked_at = 0
    for seed in range(15):
        picture, points = augment(dots(), PLACES, augmentation, np.random.default_rng(seed))
        assert picture.shape == ((*augmentation.crop[::-1], 3) if augmentation.crop else (150, 200, 3))
        assert picture.dtype == np.uint8 and np.isnan(points[3]).all()
        for channel in range(3):
            if inside(points[channel], picture):
                looked_at += 1
                np.testing.assert_allclose(centre(picture, channel), points[channel], atol=0.15)
    assert looked_at > 15


def test_a_mirror_exchanges_joints():
    augmentation = Augmentation(flip=1, symmetries=((0, 1),))
    picture, points = augment(dots(), PLACES, augmentation, np.random.default_rng(0))
    np.testing.assert_array_equal(picture, dots()[:, ::-1])
    np.testing.assert_allclose(points[1], (199 - 60, 50))
    np.testing.assert_allclose(points[0], (199 - 100, 90))
    np.testing.assert_allclose(points[2], (199 - 140, 60))


def test_nothing_happens_without_settings():
    picture, points = augment(dots(), PLACES, Augmentation(), np.random.default_rng(0))
    np.testing.assert_array_equal(picture, dots())
    np.testing.assert_array_equal(points, PLACES)


def test_the_same_seed_gives_the_same_picture():
    augmentation = Augmentation(
        crop=(96, 96),
        affine=1,
        rotation=30,
        blur=True,
        noise=12,
        brightness=0.2,
        contrast=0.2,
        cover=True,
        grey=True,
    )
    one, again, other = (
        augment(dots(), PLACES, augmentation, np.random.default_rng(seed)) for seed in (3, 3, 4)
    )
    np.testing.assert_array_equal(one[0], again[0])
    np.testing.assert_array_equal(one[1], again[1])
    assert not np.array_equal(one[0], other[0])


@pytest.mark.parametrize(
    "sampling, share", [("keypoints", 1), ("density", 1), ("uniform", 0.25), ("hybrid", 0.6)]
)
def test_where_crops_lie(sampling, share):
    """In a large picture, crops about points hold one; those anywhere seldom do."""
    points = np.array([[300.0, 200.0], [310.0, 210.0]])
    picture = np.zeros((800, 1000, 3), np.uint8)
    augmentation = Augmentation(crop=(100, 100), sampling=sampling, shift=0.3)
    seen = 0
    for seed in range(60):
        _, moved = augment(picture, points, augmentation, np.random.default_rng(seed))
        seen += bool(((moved >= 0) & (moved < 100)).all(axis=1).any())
    if share == 1:
        assert seen == 60
    elif sampling == "hybrid":
        assert 15 < seen < 50
    else:
        assert seen < 15


def test_crops_stay_in_the_picture():
    picture = np.full((150, 200, 3), 255, np.uint8)
    corners = np.array([[2.0, 3.0], [198.0, 147.0]])
    for seed in range(20):
        cropped, _ = augment(picture, corners, Augmentation(crop=(64, 64)), np.random.default_rng(seed))
        assert cropped.min() == 255


def test_noise_and_brightness():
    grey = np.full((100, 100, 3), 120, np.uint8)
    spreads, levels = [], []
    for seed in range(40):
        random = np.random.default_rng(seed)
        spreads.append(augment(grey, PLACES, Augmentation(noise=10), random)[0].std())
        levels.append(augment(grey, PLACES, Augmentation(brightness=0.2), random)[0].mean() - 120)
    assert 10 <= np.sum(np.array(spreads) == 0) <= 30
    assert 7 < max(spreads) < 10.5
    assert 10 <= np.sum(np.array(levels) == 0) <= 30
    assert 25 < np.abs(levels).max() <= 51 and min(levels) < -10 and max(levels) > 10


def test_blur_keeps_brightness_and_place():
    done = [
        augment(dots(), PLACES, Augmentation(blur=True), np.random.default_rng(seed))[0] for seed in range(12)
    ]
    blurred = [picture for picture in done if not np.array_equal(picture, dots())]
    assert 2 < len(blurred) < 11
    for picture in blurred:
        assert picture[..., 0].max() < dots()[..., 0].max()
        assert picture.sum() == pytest.approx(dots().sum(), rel=0.02)
        np.testing.assert_allclose(centre(picture, 0), PLACES[0], atol=0.3)


def test_augmentation_of_deeplabcut_is_read():
    read = read_augmentation(
        {
            "resize": None,
            "hflip": {"p": 0.25, "symmetries": [[0, 1]]},
            "affine": {"p": 0.5, "rotation": 30, "scaling": [0.5, 1.25], "translation": 0},
            "crop_sampling": {"width": 256, "height": 192, "max_shift": 0.9, "method": "density"},
            "motion_blur": True,
            "covering": None,
            "gaussian_noise": 12.75,
        },
        {"brightness": 0.1},
        "file",
    )
    assert read == Augmentation(
        crop=(256, 192),
        sampling="density",
        shift=0.4,
        affine=0.5,
        rotation=30,
        scale=(0.5, 1.25),
        flip=0.25,
        symmetries=((0, 1),),
        blur=True,
        noise=12.75,
        brightness=0.1,
    )
    assert read_augmentation({}, {}, "file") == Augmentation()


@pytest.mark.parametrize(
    "train, message",
    [
        ({"resize": {"width": 100, "height": 100}}, "data.train.resize"),
        ({"elastic_transform": True}, "data.train.elastic_transform"),
        ({"affine": {"scaling": [1.5, 0.5]}}, "affine.scaling"),
        ({"crop_sampling": {"width": 256}}, "height"),
        ({"crop_sampling": {"width": 256, "height": 8}}, "at least 32"),
        ({"crop_sampling": {"width": 256, "height": 256, "method": "center"}}, "one of uniform"),
    ],
)
def test_augmentation_that_is_not_known(train, message):
    with pytest.raises(ConfigError, match=message) as error:
        read_augmentation(train, {}, "the/file.yaml")
    assert "the/file.yaml" in str(error.value)


def test_targets_are_decoded_to_the_points_exactly():
    """What the network is to answer, read as its answer is read, gives the labels back."""
    points = torch.tensor(
        [[[33.3, 41.7], [100.01, 12.9], [4.0, 60.0]], [[127.0, 3.5], [64.0, 64.0], [50.5, 0.2]]]
    )
    for maker, stride in ((TargetMaker(8.0), 8.0), (TargetMaker(4.0, radius=9, offset_scale=3.0), 4.0)):
        rows, columns = 80 // int(stride) + 1, 136 // int(stride) + 1
        made = make_targets(points, rows, columns, maker)
        decoding = PeakDecoding(stride=stride, offset_scale=maker.offset_scale)
        found, scores = decode(decoding, (made.heatmaps, made.offsets))
        torch.testing.assert_close(found[:, :, 0], points, atol=1e-4, rtol=0)
        least = math.exp(-2 * (stride / 2) ** 2 / (2 * (2 * maker.radius / 3) ** 2))
        assert (scores >= least - 1e-5).all() and (scores <= 1).all()


def test_targets_cell_by_cell():
    maker = TargetMaker(stride=8.0)
    made = make_targets(torch.tensor([[[30.0, 21.0], [math.nan, math.nan]]]), 5, 6, maker)
    for row in range(5):
        for column in range(6):
            dx, dy = 30 - (8 * column + 4), 21 - (8 * row + 4)
            squared = dx**2 + dy**2
            assert made.heatmaps[0, 0, row, column] == pytest.approx(math.exp(-squared / (2 * (34 / 3) ** 2)))
            assert made.near[0, 0, row, column] == made.near[0, 1, row, column] == float(squared <= 17**2)
            assert made.offsets[0, 0, row, column] == pytest.approx(dx / 7.2801)
            assert made.offsets[0, 1, row, column] == pytest.approx(dy / 7.2801)
    assert made.labelled[0, :, 0, 0].tolist() == [1, 0]
    assert made.heatmaps[0, 1].abs().sum() == 0 and made.near[0, 2:].sum() == 0
    flat = make_targets(torch.tensor([[[30.0, 21.0]]]), 5, 6, TargetMaker(8.0, plateau=True))
    assert torch.equal(flat.heatmaps[0, 0], made.near[0, 0])


def test_points_outside_teach_absence():
    made = make_targets(torch.tensor([[[500.0, 20.0], [-5.0, 20.0]]]), 5, 6, TargetMaker(8.0))
    assert made.labelled.tolist() == [[[[1]], [[1]]]]
    assert made.heatmaps[0, 0].max() < 1e-6 and made.near[0, :2].sum() == 0
    assert 0.5 < made.heatmaps[0, 1].max() < 1 and made.heatmaps[0, 1].argmax() % 6 == 0


def test_losses_against_plain_loops():
    generator = torch.Generator().manual_seed(0)
    heat, offsets = (torch.randn(2, channels, 3, 4, generator=generator) for channels in (2, 4))
    targets = Targets(
        heatmaps=torch.rand(2, 2, 3, 4, generator=generator),
        labelled=torch.tensor([[1.0, 0.0], [1.0, 1.0]])[..., None, None],
        offsets=3 * torch.randn(2, 4, 3, 4, generator=generator),
        near=(torch.rand(2, 4, 3, 4, generator=generator) > 0.5).float(),
    )
    squared = huber = 0.0
    for index in np.ndindex(2, 2, 3, 4):
        squared += float(
            (heat[index] - targets.heatmaps[index]) ** 2 * targets.labelled[index[0], index[1], 0, 0]
        )
    for index in np.ndindex(2, 4, 3, 4):
        off = abs(float(offsets[index] - targets.offsets[index]))
        huber += float(targets.near[index]) * (off**2 / 2 if off < 1 else off - 0.5)
    found = losses((heat, offsets), targets, LossWeights(1.0, 0.05))
    assert float(found["bodypart_heatmap"]) == pytest.approx(squared / 48, rel=1e-5)
    assert float(found["bodypart_locref"]) == pytest.approx(huber / 96, rel=1e-5)
    assert float(found["total_loss"]) == pytest.approx(squared / 48 + 0.05 * huber / 96, rel=1e-5)
    assert set(losses((heat,), targets, LossWeights())) == {"total_loss", "bodypart_heatmap"}


def test_unlabelled_joints_teach_nothing():
    heat = torch.randn(1, 2, 3, 4, requires_grad=True)
    offsets = torch.randn(1, 4, 3, 4, requires_grad=True)
    targets = make_targets(torch.tensor([[[10.0, 10.0], [math.nan, 3.0]]]), 3, 4, TargetMaker(8.0))
    losses((heat, offsets), targets, LossWeights())["total_loss"].backward()
    assert heat.grad is not None and offsets.grad is not None
    assert heat.grad[0, 0].abs().min() > 0 and heat.grad[0, 1].abs().max() == 0
    assert offsets.grad[0, :2].abs().max() > 0 and offsets.grad[0, 2:].abs().max() == 0


def test_head_settings():
    head = {
        "criterion": {"heatmap": {"type": "WeightedBCECriterion", "weight": 2}, "locref": {"weight": 0.1}},
        "target_generator": {"type": "HeatmapPlateauGenerator", "pos_dist_thresh": 11, "locref_std": 5},
        "locref_config": {"channels": [1]},
    }
    assert read_weights(head, "file") == LossWeights(2, 0.1, logits=True)
    assert read_targets(head, 4.0, "file") == TargetMaker(4.0, 11, 5, plateau=True)
    assert read_weights({}, "file") == LossWeights()
    for wrong in (
        {"criterion": {"heatmap": {"type": "Other"}}},
        {"criterion": {"locref": {"type": "Other"}}},
    ):
        with pytest.raises(ConfigError, match="'Other'"):
            read_weights(wrong, "file")
    with pytest.raises(ConfigError, match="'Other'"):
        read_targets({"target_generator": {"type": "Other"}}, 8.0, "file")


def rates(config, epochs, lr=1e-3) -> list[float]:
    network = torch.nn.Linear(1, 1)
    optimizer = make_optimizer(network, {"type": "AdamW", "params": {"lr": lr}}, "file")
    scheduler = make_scheduler(optimizer, config, "file")
    seen = []
    for _ in range(epochs):
        seen.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return seen


def test_learning_rates_by_list():
    """Numbers such as 4e-05 are text to YAML; from after the milestone's epoch on the next rate holds."""
    params = {"lr_list": [[0.0002], ["4e-05"]], "milestones": [3, 5]}
    found = rates({"type": "LRListScheduler", "params": params}, 7)
    assert found == [1e-3] * 3 + [2e-4] * 2 + [4e-5] * 2
    assert rates(None, 3) == [1e-3] * 3


def test_learning_rates_in_sequence():
    config = {
        "type": "SequentialLR",
        "params": {
            "schedulers": [
                {"type": "LinearLR", "params": {"start_factor": 0.5, "end_factor": 1.0, "total_iters": 2}},
                {"type": "LRListScheduler", "params": {"lr_list": [[1e-4]], "milestones": [1]}},
            ],
            "milestones": [2],
        },
    }
    assert rates(config, 5) == pytest.approx([5e-4, 7.5e-4, 7.5e-4, 1e-4, 1e-4])


@pytest.mark.parametrize(
    "config, message",
    [
        ({"type": "LRListSchedule"}, "did you mean 'LRListScheduler'"),
        ({"type": "StepLR", "params": {}}, "StepLR"),
        ({"type": "LRListScheduler", "params": {"lr_list": [[1]], "milestones": [1, 2]}}, "LRListScheduler"),
    ],
)
def test_wrong_schedules(config, message):
    with pytest.raises(ConfigError, match=message):
        rates(config, 1)


def test_wrong_optimizers():
    for config, message in (
        ({"type": "Adaw"}, "did you mean 'Adam"),
        ({"params": {"lr": -1}}, "learning rate"),
    ):
        with pytest.raises(ConfigError, match=message):
            make_optimizer(torch.nn.Linear(1, 1), config, "file")


def test_settings_default_and_wrong_values():
    settings = read_settings({"data": None, "runner": {"snapshots": None}, "train_settings": {}}, {}, "file")
    assert (settings.epochs, settings.batch_size, settings.eval_interval, settings.save_epochs) == (
        200,
        8,
        10,
        25,
    )
    padded = {"data": {"train": {"auto_padding": {"pad_width_divisor": 32, "pad_height_divisor": 32}}}}
    assert read_settings(padded, {}, "file").preparation.divisor == 32
    for section, key, value in (
        ("train_settings", "epochs", 0),
        ("train_settings", "batch_size", "many"),
        ("runner", "eval_interval", 2.5),
    ):
        with pytest.raises(ConfigError, match=key):
            read_settings({section: {key: value}}, {}, "file")
    with pytest.raises(ConfigError, match="scale_to_unit_range"):
        read_settings({"data": {"train": {"scale_to_unit_range": True}}}, {}, "file")


def test_an_equalised_picture_uses_all_levels():
    dull = cv2.GaussianBlur(
        np.random.default_rng(0).integers(90, 130, (60, 60, 3), dtype=np.uint8), (3, 3), 0
    )
    made = [augment(dull, PLACES, Augmentation(equalise=True), np.random.default_rng(s))[0] for s in range(8)]
    assert sum(np.ptp(picture) > 240 for picture in made) >= 2
    assert sum(np.array_equal(picture, dull) for picture in made) >= 1
