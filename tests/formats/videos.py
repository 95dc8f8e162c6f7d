"""Recordings made on the spot, each frame of which shows its own number."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

BITS, SIZE = 8, (128, 64)
REORDERED = {"x264-params": "b-adapt=0:bframes=3:keyint=20:scenecut=0:b-pyramid=none"}
INTRA = {"g": "1", "bf": "0"}


def picture_of(number: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    """Return a picture, (height, width), whose columns are the bits of a number."""
    bits = np.array([number >> bit & 1 for bit in range(BITS)], dtype=np.uint8)
    columns = bits[np.arange(size[0]) * BITS // size[0]]
    rng = np.random.default_rng(number)
    noise = rng.integers(0, 20, (size[1] // 8 + 1, size[0] // 8 + 1), dtype=np.uint8)
    return np.kron(noise, np.ones((8, 8), dtype=np.uint8))[: size[1], : size[0]] + 50 + 130 * columns


def number_in(picture: np.ndarray | None) -> int | None:
    """Return the number that a picture shows."""
    if picture is None:
        return None
    grey = picture if picture.ndim == 2 else picture[..., 1]
    width = grey.shape[1] / BITS
    parts = [grey[:, round((bit + 0.25) * width) : round((bit + 0.75) * width)] for bit in range(BITS)]
    return sum(int(part.mean() > 125) << bit for bit, part in enumerate(parts))


def damaged(packet: av.Packet, kept: float, torn: bool) -> av.Packet:
    """Return a packet of which only this share is left; the rest is torn off, or noise."""
    content = bytearray(bytes(packet))
    noise = len(content) - round(kept * len(content))
    content[-noise:] = np.random.default_rng(0).integers(0, 256, noise, dtype=np.uint8).tobytes()
    content = content[:-noise] if torn else content
    other = av.Packet(bytes(content))
    for name in ("pts", "dts", "time_base", "is_keyframe", "duration", "stream"):
        setattr(other, name, getattr(packet, name))
    return other


def record(
    path: Path,
    frames: int = 90,
    *,
    codec: str = "libx264",
    options: dict[str, str] | None = None,
    pixels: str = "yuv420p",
    size: tuple[int, int] = SIZE,
    times: Sequence[int] | None = None,
    clock: Fraction = Fraction(1, 30),
    lost: Collection[int] = (),
    hurt: Collection[int] = (),
    kept: float = 0.5,
    torn: bool = False,
    rotation: int | None = None,
    sound: bool = False,
    container: dict[str, str] | None = None,
    paint: Callable[[int, tuple[int, int]], np.ndarray] = picture_of,
    colours: tuple[int, int] | None = None,
) -> Path:
    """Write a video; packets that are lost or hurt are named by the frame that they hold."""
    with av.open(str(path), "w", options=container or {}) as output:
        stream = output.add_stream(codec, rate=30, options=options or {})
        stream.width, stream.height = size
        stream.pix_fmt, stream.codec_context.time_base = pixels, clock
        if rotation is not None:
            stream.set_display_rotation(rotation)
        if colours is not None:
            stream.codec_context.colorspace, stream.codec_context.color_range = colours
        audio = output.add_stream("aac", rate=8000) if sound else None
        numbers: dict[int, int] = {}

        def write(packets: Sequence[av.Packet]) -> None:
            for packet in packets:
                number = numbers[round(packet.pts * packet.time_base / clock)]
                if number not in lost:
                    output.mux(damaged(packet, kept, torn) if number in hurt else packet)

        for number in range(frames):
            image = paint(number, size)
            frame = av.VideoFrame.from_ndarray(image, "gray" if image.ndim == 2 else "bgr24")
            frame = frame.reformat(format=pixels)
            if colours is not None:
                frame.colorspace, frame.color_range = colours
            frame.pts, frame.time_base = number if times is None else times[number], clock
            numbers[frame.pts] = number
            write(stream.encode(frame))
            if audio is not None:
                wave = av.AudioFrame.from_ndarray(np.zeros((1, 267), dtype=np.float32), "fltp", "mono")
                wave.sample_rate = 8000
                output.mux(audio.encode(wave))
        write(stream.encode())
        if audio is not None:
            output.mux(audio.encode())
    return path


def cut(path: Path, share: float) -> Path:
    """Return a copy of a file's beginning."""
    content = path.read_bytes()
    other = path.with_name(f"cut {path.name}")
    other.write_bytes(content[: round(len(content) * share)])
    return other


def opencv(path: Path) -> np.ndarray:
    """Return what OpenCV reads, (frames, height, width, 3)."""
    capture, frames = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG), []
    while (read := capture.read())[0]:
        frames.append(read[1])
    return np.array(frames)


def colourful(number: int, size: tuple[int, int]) -> np.ndarray:
    """Return a picture in colours, (height, width, 3)."""
    x, y = np.meshgrid(np.arange(size[0]), np.arange(size[1]))
    channels = [x * 255 // size[0] + 9 * number, y * 255 // size[1], 3 * (x + y + 5 * number)]
    image = np.stack(channels, axis=-1).astype(np.uint8)
    image[: size[1] // 3, : size[0] // 3] = (255, 0, 20 * number)
    return image


def numbers(video, **options):
    """Return the numbers that the frames show, None where there is no picture."""
    rows, pictures = zip(*video.frames(**options), strict=True)
    assert list(rows) == list(range(len(rows)))
    return [number_in(picture) for picture in pictures]
