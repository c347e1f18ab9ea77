"""PNG files without what describes the picture: comments and colour profiles, which say nothing about its pixels here.

Pillow refuses a file whose descriptions are long once they are decompressed.
"""

from __future__ import annotations

import io
import struct
from typing import IO

SIGNATURE = b"\x89PNG\r\n\x1a\n"
DESCRIPTIONS = (b"iCCP", b"tEXt", b"zTXt", b"iTXt")


def without_descriptions(stream: IO[bytes]) -> io.BytesIO | None:
    """The same picture without descriptions; None if the file is no PNG or has none.

    Every other chunk stays as it is, damage included.
    """
    stream.seek(0)
    if stream.read(len(SIGNATURE)) != SIGNATURE:
        return None
    kept, dropped = io.BytesIO(), False
    kept.write(SIGNATURE)
    while len(head := stream.read(8)) == 8:
        length, kind = struct.unpack(">I4s", head)
        if kind in DESCRIPTIONS:
            dropped = True
            stream.seek(length + 4, io.SEEK_CUR)
        else:
            kept.write(head)
            kept.write(stream.read(length + 4))
    kept.seek(0)
    return kept if dropped else None
