"""A network on a device, and batches of pictures through it."""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import Tensor

from anipipe.errors import DataError, Notice
from anipipe.networks.decoding import decode
from anipipe.networks.devices import Compute
from anipipe.networks.models import TrainedModel
from anipipe.networks.preparing import lay_out, prepare

#: Pixels of one batch, where nobody says how many pictures it shall have.
_PIXELS_PER_BATCH = {"cpu": 2 * 640 * 480, "cuda": 64 * 640 * 480, "mps": 8 * 640 * 480}
_LARGEST_BATCH = 256


class Tracker:
    """Finds the joints in pictures.

    Parameters
    ----------
    model
        Its network is moved to the device, and put into evaluation mode.
    compute
        Where, and in which arithmetic.
    candidates
        Places per joint.
    batch_size
        Pictures that are computed at once; None: as many as suit the device. Halved when its memory is full.
    """

    def __init__(
        self, model: TrainedModel, compute: Compute, *, candidates: int = 1, batch_size: int | None = None
    ) -> None:
        self.model, self.compute, self.candidates = model, compute, candidates
        self._asked, self._most = batch_size, _LARGEST_BATCH
        network: Any = model.network.eval()
        self._network = network.to(compute.device, compute.dtype, memory_format=torch.channels_last)
        if compute.device.type == "cuda":
            # TF32 has the mantissa of half precision: not what float32 promises
            torch.backends.cudnn.allow_tf32 = False

    @property
    def joints(self) -> tuple[str, ...]:
        """The joints' names, in order."""
        return self.model.joints

    def batch_size(self, width: int, height: int) -> int:
        """Return how many pictures of some size are to be computed at once."""
        if self._asked is not None:
            return min(self._asked, self._most)
        if self.model.preparation.size is not None:
            width, height = self.model.preparation.size
        fitting = _PIXELS_PER_BATCH[self.compute.device.type] // (width * height)
        return max(1, min(fitting, self._most))

    def __call__(self, pictures: Tensor) -> Tensor:
        """Find the joints in pictures of one size. On a GPU the answer is still being computed on return.

        Parameters
        ----------
        pictures
            (pictures, height, width, 3), uint8, in the order blue, green, red.

        Returns
        -------
        Tensor
            (pictures, joints, candidates, 3), on the device, float32: x, y (pixels of the picture, from the
            centre of its first one), score. NaN for candidates that there are none of.
        """
        height, width = pictures.shape[1:3]
        size, found, done = self.batch_size(width, height), [], 0
        with torch.inference_mode():
            while done < len(pictures):
                try:
                    found.append(self._run(pictures[done : done + size]))
                    done += size
                except torch.cuda.OutOfMemoryError as error:
                    size = self._smaller(size, width, height, error)
        return found[0] if len(found) == 1 else torch.cat(found)

    def _run(self, pictures: Tensor) -> Tensor:
        model, device = self.model, self.compute.device
        layout = lay_out(model.preparation, pictures.shape[2], pictures.shape[1])
        there = pictures.to(device, non_blocking=True)
        outputs = self._network(prepare(there, model.preparation, layout, self.compute.dtype))
        points, scores = decode(model.decoding, outputs, self.candidates)
        return torch.cat([layout.to_picture(points), scores[..., None]], dim=-1)

    def _smaller(self, size: int, width: int, height: int, error: Exception) -> int:
        """Return a smaller batch size, and remember it."""
        if size == 1:
            raise DataError(
                f"the memory of {self.compute.device} does not hold one picture of {width} x {height} "
                "pixels; give network.crop the part with the animal, end what else runs there, or set "
                'network.device = "cpu"'
            ) from error
        self._most = size // 2
        warnings.warn(
            f"the memory of {self.compute.device} does not hold {size} pictures of {width} x {height} pixels "
            f"at once; going on with {self._most} (network.batch_size)",
            Notice,
            stacklevel=3,
        )
        torch.cuda.empty_cache()
        return self._most
