"""The light of the example's scene, and the sensor that it falls on."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Singles = NDArray[np.float32]
Picture = NDArray[np.uint8]

#: Towards the sun, and what it, the sky, and the floor below send; linear red, green and blue.
SUN = np.array([-0.32, -0.52, 0.79]) / np.linalg.norm([-0.32, -0.52, 0.79])
SUN_COLOUR = np.array([1.50, 1.40, 1.22], dtype=np.float32)
SKY_COLOUR = np.array([0.50, 0.55, 0.62], dtype=np.float32)
BOUNCE_COLOUR = np.array([0.26, 0.23, 0.19], dtype=np.float32)
#: On a level surface.
SUN_ON_FLOOR = SUN_COLOUR * np.float32(SUN[2])

EXPOSURE, GAMMA = 1.25, 2.2
NOISE = 1.6  # grey levels


def develop(light: Singles, random: np.random.Generator) -> Picture:
    """Turn linear light, (height, width, 3), into a picture with a sensor's noise."""
    grey = 255 * np.clip(1 - np.exp(-EXPOSURE * light), 0, 1) ** (1 / GAMMA)
    noisy = grey + random.normal(0, NOISE, grey.shape[:2])[..., None]
    return np.clip(noisy + 0.5, 0, 255).astype(np.uint8)
