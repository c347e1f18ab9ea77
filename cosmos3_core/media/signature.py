"""Whether a file is a still or a video, by its first bytes: no decoder sees it, and no name or media type is believed.

HEIF and AVIF files have the structure of MP4 files, so their brand decides. Whether a file can be decoded is another
question.
"""

from __future__ import annotations

from cosmos3_core.media.checks import MediaError
from cosmos3_core.media.source import Source
from cosmos3_core.modes import MediaKind

# Enough for two packets of an MPEG transport stream, in the form of discs and cameras as well.
SIGNATURE_BYTES = 400
_STILLS = (
    b"\xff\xd8\xff",  # JPEG
    b"\x89PNG\r\n\x1a\n",
    b"BM",
    b"GIF87a",
    b"GIF89a",
    b"II*\x00",  # TIFF, in both orders of bytes, then BigTIFF
    b"MM\x00*",
    b"II+\x00",
    b"MM\x00+",
)
# ISO/IEC 23008-12 (HEIF) and AVIF: single pictures and sequences, of which the first picture counts.
_STILL_BRANDS = (
    *(b"mif1", b"mif2", b"miaf", b"msf1", b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx"),
    *(b"avif", b"avis", b"avci", b"avcs", b"jpeg", b"jpgs"),
)
_VIDEOS = (
    b"\x1a\x45\xdf\xa3",  # Matroska and WebM
    b"\x00\x00\x01\xba",  # MPEG program stream
    b"\x00\x00\x01\xb3",  # MPEG video
    b"FLV\x01",
    b"\x30\x26\xb2\x75\x8e\x66\xcf\x11",  # ASF
    b"OggS",
)
# The first box of an MP4 or MOV file; old MOV files have no `ftyp`.
_BOXES = (
    *(b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot", b"styp", b"moof", b"sidx"),
    *(b"uuid", b"emsg", b"prft"),
)
# Where the packets of a transport stream begin with this byte: bare, and behind a time as discs and cameras have it.
_SYNC, _PACKETS = b"\x47", ((0, 188), (4, 196))


def media_kind(source: Source) -> MediaKind:
    """Whether a file is a still or a video.

    Raises:
        MediaError: it begins like none of the formats that are read, or cannot be opened.
    """
    if isinstance(source, bytes):
        content = source
    else:
        try:
            with open(source, "rb") as file:
                content = file.read(SIGNATURE_BYTES)
        except OSError as error:
            raise MediaError(f"the file cannot be opened: {error.strerror}") from error
    box, brand = content[4:8], content[8:12]
    container = content[8:12] if content[:4] == b"RIFF" else b""
    if content.startswith(_STILLS) or container == b"WEBP" or (box == b"ftyp" and brand in _STILL_BRANDS):
        return "image"
    transport = any(content[one : one + 1] == content[two : two + 1] == _SYNC for one, two in _PACKETS)
    if content.startswith(_VIDEOS) or container == b"AVI " or box in _BOXES or transport:
        return "video"
    formats = "JPEG, PNG, WEBP, BMP, GIF, TIFF, AVIF, HEIC, MP4, MOV, WebM, Matroska, AVI or MPEG"
    raise MediaError(f"cannot be read as an image or a video; expected a complete {formats} file")
