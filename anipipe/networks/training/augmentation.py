"""Pictures as the animal might have been seen: turned, nearer, elsewhere, blurred, noisy.

All that moves pixels is one affine map per picture, from the picture straight to the crop, so that pixels are
interpolated once and points are moved exactly. Settings are those of DeepLabCut 3's ``data.train``; a change
of brightness and contrast, which it has not, is set apart.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from anipipe.errors import ConfigError

Picture = NDArray[Any]  # uint8; OpenCV's own hints know no narrower type
Points = NDArray[np.float64]
Sampling = Literal["uniform", "keypoints", "density", "hybrid"]

#: How often blur, noise, brightness and the like are applied.
OFTEN = 0.5
#: Crops centred on a point stay that near to it, as a share of their size, so that it is in them.
MOST_SHIFT = 0.4
#: Points as near as this share of the picture's shorter side count as neighbours for "density".
NEIGHBOURS = 0.1
#: Widths of the streak that motion draws, pixels.
STREAKS = (3, 5, 7)


@dataclass(frozen=True)
class Augmentation:
    """What may happen to a picture; without any settings, nothing does.

    Attributes
    ----------
    crop : (int, int), optional
        Width and height of what is cut out; None: all of the picture.
    sampling : {"uniform", "keypoints", "density", "hybrid"}
        Crops lie anywhere, about a labelled point, about one where there are many, or by turns anywhere and
        where there are many.
    shift : float
        By how much the crop's middle may miss the point, as a share of its size.
    affine : float
        Probability that a picture is turned, scaled and moved.
    rotation : float
        Degrees, either way.
    scale : (float, float)
        Least and largest.
    translation : float
        Pixels, either way.
    flip : float
        Probability of a mirrored picture.
    symmetries : tuple of (int, int)
        Joints that a mirror exchanges.
    blur, equalise, cover, grey : bool
        Motion blur, equalised histograms, black patches, less colour: half of the pictures.
    noise : float
        Largest standard deviation of Gaussian noise, grey levels; half of the pictures.
    brightness, contrast : float
        Largest change as a share of the white level and of the picture's own contrast; half of the pictures.
    """

    crop: tuple[int, int] | None = None
    sampling: Sampling = "hybrid"
    shift: float = 0.0
    affine: float = 0.0
    rotation: float = 0.0
    scale: tuple[float, float] = (1.0, 1.0)
    translation: float = 0.0
    flip: float = 0.0
    symmetries: tuple[tuple[int, int], ...] = ()
    blur: bool = False
    equalise: bool = False
    cover: bool = False
    grey: bool = False
    noise: float = 0.0
    brightness: float = 0.0
    contrast: float = 0.0


#: Keys of ``data.train`` that change what the network is to learn, and that are not known here.
UNKNOWN = ("resize", "longest_max_size", "top_down_crop", "random_bbox_transform", "elastic_transform")


def read_augmentation(train: Mapping[str, Any], extra: Mapping[str, Any], source: str) -> Augmentation:
    """Read the settings of a training.

    Parameters
    ----------
    train
        ``data.train`` of a pytorch_config.yaml; keys that are null count as absent.
    extra
        ``brightness`` and ``contrast``.
    source
        The file, for messages.

    Raises
    ------
    ConfigError
        A key that asks for something else than this can do, or a value that makes no sense.
    """
    for key in UNKNOWN:
        if train.get(key):
            raise ConfigError(f"{source}: data.train.{key}: anipipe cannot train with it. Set it to null.")
    try:
        return Augmentation(
            **_crop(train.get("crop_sampling")),
            **_affine(train.get("affine")),
            **_flip(train.get("hflip")),
            blur=bool(train.get("motion_blur")),
            equalise=bool(train.get("hist_eq")),
            cover=bool(train.get("covering")),
            grey=bool(train.get("grayscale")),
            noise=_noise(train.get("gaussian_noise")),
            brightness=float(extra.get("brightness") or 0),
            contrast=float(extra.get("contrast") or 0),
        )
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise ConfigError(f"{source}: data.train: {error}") from error


def _crop(crop: Mapping[str, Any] | None) -> dict[str, Any]:
    if not crop:
        return {}
    method = crop.get("method") or "hybrid"
    if method not in ("uniform", "keypoints", "density", "hybrid"):
        raise ValueError(f"crop_sampling.method {method!r}: one of uniform, keypoints, density, hybrid")
    width, height = int(crop["width"]), int(crop["height"])
    if min(width, height) < 32:
        raise ValueError(f"crop_sampling of {width} x {height} pixels: at least 32 x 32")
    shift = min(max(float(crop.get("max_shift") or 0), 0), MOST_SHIFT)
    return {"crop": (width, height), "sampling": method, "shift": shift}


def _affine(affine: Mapping[str, Any] | None) -> dict[str, Any]:
    if not affine:
        return {}
    probability = affine.get("p")
    least, largest = (float(value) for value in affine.get("scaling") or (1, 1))
    if not 0 < least <= largest:
        raise ValueError(f"affine.scaling [{least:g}, {largest:g}]: give the least and the largest, above 0")
    return {
        "affine": 0.9 if probability is None else float(probability),
        "rotation": float(affine.get("rotation") or 0),
        "scale": (least, largest),
        "translation": float(affine.get("translation") or 0),
    }


def _flip(flip: Mapping[str, Any] | float | bool | None) -> dict[str, Any]:
    if not flip:
        return {}
    if isinstance(flip, Mapping):
        pairs = tuple((int(a), int(b)) for a, b in flip.get("symmetries") or ())
        return {"flip": float(flip.get("p", OFTEN)), "symmetries": pairs}
    return {"flip": OFTEN if flip is True else float(flip)}


def _noise(noise: float | bool | None) -> float:
    return 0.05 * 255 if noise is True else float(noise or 0)


def augment(
    picture: Picture, points: Points, augmentation: Augmentation, random: np.random.Generator
) -> tuple[Picture, Points]:
    """Change a picture, and its points with it.

    Parameters
    ----------
    picture
        (height, width, 3), blue first.
    points
        (joints, 2), pixels, NaN where unlabelled.
    augmentation
        What may happen.
    random
        Decides what does.

    Returns
    -------
    The picture, of the crop's size (or its own, without one), black where there was none; and the points in
    it. Those outside are kept: where a point lies is known, also if it cannot be seen.
    """
    height, width = picture.shape[:2]
    transform, mirrored = _whole_picture(width, height, augmentation, random)
    size = (width, height)
    if augmentation.crop is not None:
        size = augmentation.crop
        corner = _corner(moved(points, transform), (width, height), augmentation, random)
        transform[:, 2] -= corner
    points = moved(points, transform)
    if mirrored:
        for a, b in augmentation.symmetries:
            points[[a, b]] = points[[b, a]]
    if augmentation.crop is None and np.array_equal(transform, np.eye(2, 3)):
        return _pixels(picture, augmentation, random), points
    picture = cv2.warpAffine(picture, transform, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
    return _pixels(picture, augmentation, random), points


def moved(points: Points, transform: NDArray[np.float64]) -> Points:
    """Return points (..., 2) moved by an affine map (2, 3)."""
    return points @ transform[:, :2].T + transform[:, 2]


def _whole_picture(
    width: int, height: int, augmentation: Augmentation, random: np.random.Generator
) -> tuple[NDArray[np.float64], bool]:
    """Return the map of the whole picture onto a canvas of its own size, and whether it is mirrored."""
    centre = (np.array([width, height]) - 1) / 2  # 0 is the middle of the first pixel
    linear, shift = np.eye(2), np.zeros(2)
    if random.random() < augmentation.affine:
        angle = np.deg2rad(random.uniform(-augmentation.rotation, augmentation.rotation))
        cosine, sine = np.cos(angle), np.sin(angle)
        linear = random.uniform(*augmentation.scale) * np.array([[cosine, -sine], [sine, cosine]])
        shift = random.uniform(-augmentation.translation, augmentation.translation, 2)
    mirrored = bool(random.random() < augmentation.flip)
    if mirrored:
        linear = np.diag([-1.0, 1.0]) @ linear
    return np.column_stack([linear, centre - linear @ centre + shift]), mirrored


def _corner(
    points: Points, canvas: tuple[int, int], augmentation: Augmentation, random: np.random.Generator
) -> NDArray[np.float64]:
    """Choose where a crop begins, in whole pixels; within the canvas where it fits."""
    assert augmentation.crop is not None
    size, crop = np.array(canvas), np.array(augmentation.crop)
    room = size - crop
    sampling = augmentation.sampling
    if sampling == "hybrid":
        sampling = "density" if random.random() < OFTEN else "uniform"
    within = np.isfinite(points).all(axis=1) & (points >= 0).all(axis=1) & (points < size).all(axis=1)
    seen = points[within]
    if sampling == "uniform" or not len(seen):
        corner = random.uniform(0, np.maximum(room, 0))
    else:
        weights = np.ones(len(seen))
        if sampling == "density":
            distances = np.linalg.norm(seen[:, None] - seen[None], axis=-1)
            weights = (distances <= NEIGHBOURS * size.min()).sum(axis=1) + 1.0
        centre = seen[random.choice(len(seen), p=weights / weights.sum())]
        shift = random.uniform(-augmentation.shift, augmentation.shift, 2) * crop
        corner = np.clip(centre + shift - crop / 2, 0, np.maximum(room, 0))
    placed: Points = np.where(room < 0, room // 2, np.round(corner)).astype(np.float64)
    return placed


def _pixels(picture: Picture, augmentation: Augmentation, random: np.random.Generator) -> Picture:
    """Change brightness, sharpness and the like, each by chance."""
    if augmentation.equalise and random.random() < OFTEN:
        picture = np.dstack([cv2.equalizeHist(channel) for channel in cv2.split(picture)])
    if augmentation.blur and random.random() < OFTEN:
        picture = cv2.filter2D(picture, -1, _streak(random))
    if augmentation.cover and random.random() < OFTEN:
        picture = _covered(picture, random)
    if augmentation.grey and random.random() < OFTEN:
        grey = cv2.cvtColor(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)
        share = random.uniform(0.5, 1)
        picture = cv2.addWeighted(grey, share, picture, 1 - share, 0)
    if (augmentation.brightness or augmentation.contrast) and random.random() < OFTEN:
        gain = 1 + random.uniform(-augmentation.contrast, augmentation.contrast)
        level = 255 * random.uniform(-augmentation.brightness, augmentation.brightness)
        middle = float(picture.mean())
        values = np.clip(np.arange(256) * gain + middle * (1 - gain) + level, 0, 255)
        picture = cv2.LUT(picture, np.round(values).astype(np.uint8))
    if augmentation.noise and random.random() < OFTEN:
        spread = np.sqrt(random.uniform(0, augmentation.noise**2))
        noise = random.standard_normal(picture.shape, dtype=np.float32) * np.float32(spread)
        picture = np.clip(np.round(picture + noise), 0, 255).astype(np.uint8)
    return np.ascontiguousarray(picture)


def _streak(random: np.random.Generator) -> NDArray[Any]:
    """Return the kernel of a short straight motion in any direction, of sum 1."""
    length = int(random.choice(STREAKS))
    kernel: NDArray[Any] = np.zeros((length, length), np.float32)
    middle = (length - 1) / 2
    angle = random.uniform(0, np.pi)
    end = np.round(middle * np.array([np.cos(angle), np.sin(angle)])).astype(int)
    cv2.line(kernel, tuple(int(v) for v in middle - end), tuple(int(v) for v in middle + end), 1.0, 1)
    kernel /= kernel.sum()
    return kernel


def _covered(picture: Picture, random: np.random.Generator) -> Picture:
    """Return a picture with up to ten small black patches on it."""
    picture = picture.copy()
    height, width = picture.shape[:2]
    for _ in range(random.integers(1, 11)):
        w, h = np.maximum(1, (random.uniform(0.01, 0.05, 2) * (width, height)).astype(int))
        x, y = random.integers(0, width - w + 1), random.integers(0, height - h + 1)
        picture[y : y + h, x : x + w] = 0
    return picture
