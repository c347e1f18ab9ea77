"""A file to decode, opened so that whatever a decoder makes of bad input reaches the caller as a `MediaError`.

Uploads are treated as hostile: only self-contained formats are accepted, and a decoder never sees a path or a URL.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

import av
import pillow_heif
from av.container import InputContainer
from PIL import Image, UnidentifiedImageError

from cosmos3_core.media.checks import MAX_PIXELS, MediaError, TooManyPixels

Source = str | os.PathLike[str] | bytes
"""A file path (str or PathLike) or a file's whole content (bytes)."""

IMAGE_FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "AVIF", "HEIF")
"""Formats of stills that are decoded, by Pillow's names."""
pillow_heif.register_heif_opener(thumbnails=False)

# Playlist and concatenation formats (HLS, DASH, ffconcat, image sequences) name other files and hosts, so an upload in
# one of them could read this machine's files.
_CONTAINERS = "mov,matroska,avi,gif,mpegts,mpeg,flv,asf,ogg,wav,w64,mp3,flac,aac,aiff,caf"
_EXPECTED = {
    "image": "a complete " + ", ".join(IMAGE_FORMATS) + " file",
    "video": "a complete MP4, MOV, WebM, Matroska, AVI, MPEG or GIF file with a video track",
    "audio": "a complete MP4, MOV, WebM, Matroska, WAV, MP3, FLAC, AAC or Ogg file with a sound track",
}


@contextmanager
def opened(kind: str, source: Source) -> Iterator[IO[bytes]]:
    """The content of a source as a stream; errors raised inside the block become `MediaError`.

    Args:
        kind: `image`, `video` or `audio`; decides which formats the message names.
        source: the file.

    Raises:
        MediaError: the file cannot be read, or the block failed.
    """
    name = f"{len(source)} bytes" if isinstance(source, bytes) else f"{os.fspath(source)!r}"
    try:
        with io.BytesIO(source) if isinstance(source, bytes) else open(source, "rb") as stream:
            yield stream
    except TooManyPixels:
        raise
    except Image.DecompressionBombError as error:
        raise TooManyPixels(f"the {kind} is above the limit of {MAX_PIXELS} pixels") from error
    except UnidentifiedImageError as error:
        # Its text is the address of our stream.
        reason = "it is of another format, or its beginning is damaged"
        raise MediaError(f"cannot decode {kind} from {name}: {reason}; expected {_EXPECTED[kind]}") from error
    except MemoryError as error:
        raise MediaError(f"cannot decode {kind} from {name}: it takes too much memory; use a smaller one") from error
    except Exception as error:
        # Damage shows in too many ways (struct.error, SyntaxError, zlib.error, ...) for a complete list.
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise MediaError(f"cannot decode {kind} from {name}: {reason}; expected {_EXPECTED[kind]}") from error


@contextmanager
def demuxed(kind: str, source: Source) -> Iterator[InputContainer]:
    """A video or sound file as an open PyAV container.

    Raises:
        MediaError: unreadable, of another format, or cut short.
    """
    # FFmpeg would read "http://host/x" or "concat:a|b" as a protocol, so it never sees the path itself.
    options = {"format_whitelist": _CONTAINERS, "max_pixels": str(MAX_PIXELS)}
    with opened(kind, source) as content, av.open(content, "r", options=options) as container:
        # FFmpeg takes the end of an MP4 file that was cut short for the end of its tracks.
        places = (entry.pos + entry.size for stream in container.streams for entry in stream.index_entries)
        if container.format.name.startswith("mov") and max(places, default=0) > container.size:
            raise MediaError("the file is cut short")
        yield container
