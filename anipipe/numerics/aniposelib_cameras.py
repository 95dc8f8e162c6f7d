"""aniposelib's cameras, made of ours, and kept from talking."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Callable, Iterator
from typing import Any

from anipipe.numerics.cameras import Rig

#: Makes an ordinary camera of what one is made of, and a fisheye.
Kinds = tuple[Callable[..., Any], Callable[..., Any]]


def camera_group(rig: Rig, kinds: Kinds | None = None) -> Any:
    """Return aniposelib's ``CameraGroup`` of a rig, of its own kinds of cameras if no others are named."""
    with quiet():
        from aniposelib.cameras import Camera, CameraGroup, FisheyeCamera
    ordinary, fisheye = kinds or (Camera, FisheyeCamera)
    return CameraGroup(
        [
            (fisheye if camera.fisheye else ordinary)(
                matrix=camera.matrix,
                dist=camera.distortions,
                size=camera.size,
                rvec=camera.rotation,
                tvec=camera.translation,
                name=camera.name,
            )
            for camera in rig.cameras
        ],
        metadata={},
    )


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Print nothing, and warn of nothing."""
    silence = io.StringIO()
    with contextlib.ExitStack() as stack:
        stack.enter_context(contextlib.redirect_stdout(silence))
        stack.enter_context(contextlib.redirect_stderr(silence))
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")
        yield
