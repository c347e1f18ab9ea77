"""Media files made to harm whoever decodes them: small ones that claim much, damaged ones, and ones that name others.

Everything is drawn from a seed. `RESOURCE_FILES` each cost seconds or gigabytes in a decoder without bounds.
"""

from __future__ import annotations

import io
import random
import struct
import zlib
from collections.abc import Callable, Iterator
from functools import cache

import av
import numpy as np
from PIL import Image

MILLIONS = 50_000_000


# Stills


def png(width: int, height: int, colour: int = 2, *chunks: bytes) -> bytes:
    """A PNG of one colour: a row of zeros packs to a thousandth."""
    samples = {0: 1, 2: 3, 6: 4}[colour]
    packer, packed, left = zlib.compressobj(1), io.BytesIO(), height * (1 + width * samples)
    while left:
        size = min(left, 2**20)
        packed.write(packer.compress(bytes(size)))
        left -= size
    packed.write(packer.flush())
    head = struct.pack(">IIBBBBB", width, height, 8, colour, 0, 0, 0)
    body = [chunk(b"IHDR", head), *chunks, chunk(b"IDAT", packed.getvalue()), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(body)


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    target = io.BytesIO()
    image.save(target, kind, **options)
    return target.getvalue()


def flat(kind: str, width: int, height: int, mode: str = "RGB", **options: object) -> bytes:
    return saved(Image.new(mode, (width, height)), kind, **options)


def jpeg_of_many_scans(scans: int = 20_000, side: int = 1500) -> bytes:
    """A progressive JPEG that repeats its last scan: each is decoded over the whole picture."""
    content = flat("JPEG", side, side, progressive=True)
    last = content.rindex(b"\xff\xda")
    return content[:last] + content[last:-2] * scans + b"\xff\xd9"


def tiff_of_many_strips(strips: int = 1_000_000) -> bytes:
    """A TIFF of one pixel's width, each row a strip of its own."""
    entries = [
        (256, 3, 1, 1),  # width, height, bits, compression, grey
        (257, 4, 1, strips),
        (258, 3, 1, 8),
        (259, 3, 1, 1),
        (262, 3, 1, 1),
        (273, 4, strips, 200),
        (277, 3, 1, 1),
        (278, 3, 1, 1),
        (279, 4, strips, 200 + 4 * strips),
    ]
    table = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    head = b"II*\x00" + struct.pack("<IH", 8, len(entries)) + table + bytes(4)
    offsets = struct.pack("<I", 200) * strips
    return head.ljust(200, b"\0") + offsets + struct.pack("<I", 1) * strips


# Videos


def box(kind: bytes, *content: bytes) -> bytes:
    body = b"".join(content)
    return struct.pack(">I", 8 + len(body)) + kind + body


@cache
def clip(codec: str = "mpeg4", container: str = "mp4", side: int = 64, frames: int = 12, **options: str) -> bytes:
    target = io.BytesIO()
    with av.open(target, "w", format=container, options=options) as output:
        stream = output.add_stream(codec, 12)
        assert isinstance(stream, av.VideoStream)
        stream.width = stream.height = side
        stream.pix_fmt = "yuv420p"
        for number in range(frames):
            pixels = np.full((side, side, 3), number * 9 % 256, np.uint8)
            output.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, "rgb24")))
        output.mux(stream.encode(None))
    return target.getvalue()


def edited(content: bytes, path: tuple[bytes, ...], change: Callable[[bytes], bytes]) -> bytes:
    """An MP4 file with another content in one of its boxes."""
    result, position = b"", 0
    while position + 8 <= len(content):
        size, kind = struct.unpack_from(">I4s", content, position)
        inner = content[position + 8 : position + size]
        if kind == path[0]:
            inner = edited(inner, path[1:], change) if len(path) > 1 else change(inner)
        result += box(kind, inner)
        position += size
    return result


TABLE = (b"moov", b"trak", b"mdia", b"minf", b"stbl")


def claimed_samples(count: int = MILLIONS) -> bytes:
    """An MP4 whose table claims so many samples of one size."""
    sized = edited(clip(), (*TABLE, b"stsz"), lambda _: struct.pack(">III", 0, 1, count))
    timed = edited(sized, (*TABLE, b"stts"), lambda _: struct.pack(">IIII", 0, 1, count, 1))
    return edited(timed, (*TABLE, b"stsc"), lambda _: struct.pack(">IIIII", 0, 1, 1, count, 1))


def fragment_of_many_samples(count: int = MILLIONS) -> bytes:
    """An MP4 in fragments, one of which claims so many samples without describing any."""
    whole = clip(movflags="frag_keyframe+empty_moov")

    def run(_: bytes) -> bytes:
        return struct.pack(">II", 0, count)

    return edited(whole, (b"moof", b"traf", b"trun"), run)


def long_edit_list(entries: int = 1_000_000) -> bytes:
    """An MP4 that shows its frames in a million pieces."""
    pieces = struct.pack(">IiHH", 1, 0, 1, 0) * entries
    edits = box(b"edts", box(b"elst", struct.pack(">II", 0, entries) + pieces))
    return edited(clip(), (b"moov", b"trak"), lambda trak: edits + trak)


def external_reference(path: str) -> bytes:
    """A MOV whose media lie in another file."""
    alias = box(b"dref", struct.pack(">II", 0, 1), box(b"url ", struct.pack(">I", 0), path.encode() + b"\0"))
    return edited(clip(container="mov"), (b"moov", b"trak", b"mdia", b"minf", b"dinf"), lambda _: alias)


RESOURCE_FILES: dict[str, Callable[[], bytes]] = {
    "a tall PNG": lambda: png(1000, 178_000),
    "a PNG at the limit": lambda: png(7071, 7071),
    "a PNG with alpha at the limit": lambda: png(7071, 7071, 6),
    "a grey PNG at the limit": lambda: png(7071, 7071, 0),
    "a PNG above the limit": lambda: png(13_377, 13_377),
    "a large JPEG": lambda: flat("JPEG", 13_377, 13_377),
    "a JPEG above the limit": lambda: flat("JPEG", 30_000, 30_000, "L"),
    "a large WEBP": lambda: flat("WEBP", 7000, 7000),
    "a large GIF": lambda: flat("GIF", 7000, 7000, "P"),
    "a JPEG of many scans": jpeg_of_many_scans,
    "a TIFF of many strips": tiff_of_many_strips,
    "a PNG with a colour profile that unpacks": lambda: png(
        64, 64, 2, chunk(b"iCCP", b"x\0\0" + zlib.compress(bytes(300_000_000), 9))
    ),
    "a PNG with a text that unpacks": lambda: png(
        64, 64, 2, chunk(b"zTXt", b"x\0\0" + zlib.compress(bytes(300_000_000), 9))
    ),
    "an MP4 that claims samples": claimed_samples,
    "an MP4 with a fragment that claims samples": fragment_of_many_samples,
    "an MP4 with a long edit list": long_edit_list,
    "two frames of 8192x8192": lambda: clip("ffv1", "matroska", 8192, 2),
}


# Damage

_GOOD: tuple[Callable[[], bytes], ...] = (
    lambda: png(40, 30),
    lambda: flat("JPEG", 40, 30),
    lambda: flat("JPEG", 40, 30, progressive=True),
    lambda: flat("WEBP", 40, 30),
    lambda: flat("GIF", 40, 30, "P"),
    lambda: flat("BMP", 40, 30),
    lambda: flat("TIFF", 40, 30),
    lambda: flat("AVIF", 40, 30),
    lambda: flat("HEIF", 40, 30),
    clip,
    lambda: clip("libx264"),
    lambda: clip("libvpx-vp9", "webm"),
    lambda: clip("mpeg4", "avi"),
    lambda: clip("mpeg2video", "mpegts"),
)
NAMES_OTHERS: tuple[str, ...] = (
    "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{url}\n#EXT-X-ENDLIST\n",
    "ffconcat version 1.0\nfile '{url}'\n",
    '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011"><BaseURL>{url}</BaseURL></MPD>',
    '<svg xmlns="http://www.w3.org/2000/svg"><image href="{url}"/></svg>',
    "[playlist]\nFile1={url}\nNumberOfEntries=1\n",
)


def damaged_files(seed: int, count: int) -> Iterator[tuple[str, bytes]]:
    """Good files of every format, each hurt in one of several ways."""
    draw = random.Random(seed)
    good = [make() for make in _GOOD]
    for number in range(count):
        yield f"damage {seed}/{number}", _hurt(draw.choice(good), draw)


def _hurt(content: bytes, draw: random.Random) -> bytes:
    data = bytearray(content)
    match draw.randrange(5):
        case 0:
            del data[draw.randrange(1, len(data)) :]
        case 1:
            for _ in range(draw.randrange(1, 40)):
                data[draw.randrange(len(data))] = draw.randrange(256)
        case 2:
            start = draw.randrange(len(data))
            data[start : start + draw.randrange(1, 64)] = draw.randbytes(draw.randrange(64))
        case 3:
            start = draw.randrange(min(len(data) - 4, 512))
            struct.pack_into(draw.choice("<>") + "I", data, start, draw.choice((0, 1, 2**31 - 1, 2**31, 2**32 - 1)))
        case _:
            start = draw.randrange(len(data))
            data += data[start:] * draw.randrange(1, 20)
    return bytes(data)
