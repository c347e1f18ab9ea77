"""Puts MP4 files of consecutive parts of one video together, without encoding anything again."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from typing import BinaryIO

import av
from av.container import OutputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from cosmos3_core.media.checks import MediaError
from cosmos3_core.media.mp4 import delivered


def join_mp4(target: BinaryIO, parts: Sequence[bytes]) -> int:
    """Write the frames of some files, one after the other, into one file.

    Every part was encoded with the same settings and begins with a key frame, so its packets are copied.

    Args:
        target: the file to write.
        parts: MP4 files with one H.264 track each, as `encode_mp4` writes them without sound.

    Returns:
        The number of frames.

    Raises:
        MediaError: no parts.
    """
    if not parts:
        raise MediaError("there are no parts to join; give at least one")
    delay = max(_delay(part) for part in parts)
    with delivered(target) as path:
        options = {"movflags": "+faststart", "fflags": "+bitexact"}
        with av.open(str(path), "w", format="mp4", container_options=options) as joined:
            frames, stream = 0, None
            for part in parts:
                with av.open(io.BytesIO(part), "r", format="mp4") as source:
                    track = source.streams.video[0]
                    stream = stream or joined.add_stream_from_template(track)
                    frames += _copy(joined, source.demux(track), stream, frames, delay)
    return frames


def _delay(part: bytes) -> int:
    """How many frames a file is decoded ahead of what it shows; none where it is too short to be reordered."""
    with av.open(io.BytesIO(part), "r", format="mp4") as source:
        first = next(source.demux(source.streams.video[0]))
        if first.pts is None or first.dts is None or not first.duration:
            return 0
        return (first.pts - first.dts) // first.duration


def _copy(
    joined: OutputContainer, packets: Iterator[Packet[VideoStream]], stream: VideoStream, before: int, delay: int
) -> int:
    """Copy a track's packets behind `before` frames; returns how many there are."""
    count = 0
    for packet in packets:
        if packet.dts is None or packet.pts is None or packet.duration is None:
            continue
        # All frames have one duration. Files of one or two frames have no delay of their own, so what comes before
        # them would be decoded after them by their own times.
        packet.stream = stream
        packet.pts += before * packet.duration
        packet.dts = (before + count - delay) * packet.duration
        joined.mux(packet)
        count += 1
    return count
