"""A process that decodes: it reads calls from its socket and answers them, one after another, until the socket closes.

Run as `python -m deployments.decoding.process` by `deployments.decoding.worker`. It trusts its caller and nothing else.
"""

from __future__ import annotations

import io
import json
import os
import socket
import sys
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
from PIL import Image, ImageCms

from cosmos3_core.errors import RequestError
from cosmos3_core.media.allowance import on_work
from cosmos3_core.media.checks import MediaError, TooManyPixels
from cosmos3_core.media.clips import decode_video
from cosmos3_core.media.mp4 import encode_mp4
from cosmos3_core.media.sound import decode_audio
from cosmos3_core.media.source import IMAGE_FORMATS
from cosmos3_core.media.stills import decode_image
from deployments.decoding import packing
from deployments.decoding.calls import receive_call
from deployments.decoding.confinement import CpuTimer, limit, refuse_system_calls
from deployments.decoding.operations import WORK, Operation
from deployments.freed_memory import give_memory_back

# Three times what the slowest of the usual codecs takes on a slow processor: for a pixel or sample, and beside that for
# each frame or packet.
SECONDS_PER_VALUE, SECONDS_PER_PIECE = 6e-8, 5e-4
READY = b"ready"


def main() -> None:
    """Confine this process, say so, and serve."""
    settings: dict[str, Any] = json.loads(sys.argv[1])
    channel = socket.socket(fileno=settings["socket"])
    connection = Connection(os.dup(channel.fileno()))
    _load_decoders()
    nowhere = os.open(os.devnull, os.O_WRONLY)
    limit(settings["memory_bytes"], settings["memory_bytes"])
    if settings["confined"]:
        refuse_system_calls()
    # What it prints later is what its files have it print.
    for stream in (sys.stdout, sys.stderr):
        os.dup2(nowhere, stream.fileno())
    connection.send_bytes(READY)
    _serve(channel, connection, settings["output"], settings["seconds"], settings["wall_seconds"])


def _load_decoders() -> None:
    """Decode a file of each kind, because modules that are loaded at their first use cannot be loaded later."""
    Image.init()
    ImageCms.createProfile("LAB")
    # `check_size` has the limit; Pillow's own would warn below it.
    Image.MAX_IMAGE_PIXELS = None
    for name in IMAGE_FORMATS:
        Image.new("RGB", (16, 16)).save(still := io.BytesIO(), name)
        decode_image(still.getvalue(), on_white=True)
    encode_mp4(clip := io.BytesIO(), [np.zeros((16, 16, 3), np.uint8)] * 2, 24, np.zeros((2, 4800), np.float32))
    decode_video(clip.getvalue())
    decode_audio(clip.getvalue())


def _serve(channel: socket.socket, connection: Connection, output: int, seconds: float, wall_seconds: int) -> None:
    timer = CpuTimer()
    on_work(lambda values: timer.extend(SECONDS_PER_PIECE + values * SECONDS_PER_VALUE))
    while True:
        try:
            number, operation, arguments = receive_call(channel, connection)
        except EOFError:
            return
        timer.start(seconds, wall_seconds)
        answer = _answer(operation, arguments, output)
        timer.stop()
        connection.send_bytes(json.dumps({"call": number} | answer).encode())
        del arguments
        give_memory_back()


def _answer(operation: Operation, arguments: tuple[Any, ...], output: int) -> dict[str, Any]:
    refusal: dict[str, Any]
    try:
        return {"result": packing.write(WORK[operation](*arguments), output)}
    except RequestError as error:
        refusal = {"field": error.field, "reason": error.reason}
    except MediaError as error:
        refusal = {"reason": str(error), "size": isinstance(error, TooManyPixels)}
    except MemoryError:
        refusal = {"reason": "it takes too much memory to decode; use a smaller one", "size": False}
    return {"refused": refusal}


if __name__ == "__main__":
    main()
