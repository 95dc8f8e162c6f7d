"""Predictions of whole labelled pictures."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

from anipipe.networks.devices import Compute
from anipipe.networks.models import TrainedModel
from anipipe.networks.tracker import Tracker
from anipipe.networks.training.batches import Frames


def predict(
    model: TrainedModel,
    frames: Frames,
    compute: Compute,
    *,
    step: Callable[[int, int], None] = lambda done, of: None,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Predict whole labelled pictures, one after the other, since they may differ in size.

    Parameters
    ----------
    model
        Its network is moved to the device, and left in evaluation mode.
    frames
        The pictures.
    compute
        Where to compute.
    step
        Called after each with how many there were, of how many.

    Returns
    -------
    Points (frames, joints, 2), pixels, and scores (frames, joints).

    Raises
    ------
    DataError
        An unreadable picture.
    """
    tracker = Tracker(model, compute)
    found = np.full((len(frames), len(model.joints), 3), np.nan)
    with compute.threads_at_work():
        for index in range(len(frames)):
            picture = torch.from_numpy(frames.picture(index)[None])
            found[index] = tracker(picture)[0, :, 0].cpu().numpy()
            step(index + 1, len(frames))
    return found[..., :2], found[..., 2]
