"""Videos made from real ones."""

from __future__ import annotations

from pathlib import Path


def cut(source: Path, target: Path, *, frames: int) -> None:
    """Copy the first frames of a video, without decoding them."""
    import av

    with av.open(str(source)) as old, av.open(str(target), "w") as new:
        stream = new.add_stream_from_template(old.streams.video[0])
        for packet in [packet for packet in old.demux(video=0) if packet.dts is not None][:frames]:
            packet.stream = stream
            new.mux(packet)
