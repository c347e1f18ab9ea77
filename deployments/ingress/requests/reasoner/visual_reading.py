"""How a request wants its images and videos read: vLLM's `mm_processor_kwargs` and `media_io_kwargs`, as one value.

vLLM samples a video when it decodes it and, told so, again in its processor, which takes the frames that are left for
those of the file. Here either field may say how densely a video is read, and it is sampled once.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cosmos3_core.errors import RequestError
from cosmos3_core.media.frame_sampling import MAX_FPS, MAX_FRAMES, FrameSampling
from deployments.wire.visual_input import VisualReading

PROCESSOR, LOADER = "mm_processor_kwargs", "media_io_kwargs"
READING_FIELDS = (PROCESSOR, LOADER)
LEAST_PIXELS, MOST_PIXELS = 1024, 25_165_824
# vLLM's flag for a video that is already sampled. Here nothing is sampled twice, so it changes nothing.
_IGNORED = "do_sample_frames"
_SAMPLING = ("fps", "num_frames")
_EDGES = {"shortest_edge": "min_pixels", "longest_edge": "max_pixels"}


def read_visual_reading(body: Mapping[str, Any]) -> VisualReading:
    """How the media of a request are read.

    Raises:
        RequestError: a field is unknown or out of range, or two of them contradict each other.
    """
    processor = _object(body.get(PROCESSOR), PROCESSOR, {*_SAMPLING, _IGNORED, "size", *_EDGES.values()})
    loader = _object(body.get(LOADER), LOADER, {"video", "image"})
    _object(loader.get("image"), f"{LOADER}.image", set())
    video = _object(loader.get("video"), f"{LOADER}.video", set(_SAMPLING))
    size = _object(processor.get("size"), f"{PROCESSOR}.size", set(_EDGES))
    pixels = [_pixels(processor, size, edge=edge, alias=alias) for edge, alias in _EDGES.items()]
    least, most = pixels
    if least is not None and most is not None and least > most:
        raise RequestError(PROCESSOR, f"asks for at least {least} and at most {most} pixels; expected a range")
    return VisualReading(_sampling(processor, video), least, most)


def without_reading(body: Mapping[str, Any]) -> dict[str, Any]:
    """The body without the fields that say how media are read, which vLLM must not read itself."""
    return {name: value for name, value in body.items() if name not in READING_FIELDS}


def _object(value: Any, path: str, known: set[str]) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise RequestError(path, "is not an object")
    for key in value:
        if key not in known:
            expected = ", ".join(sorted(known)) or "no fields"
            raise RequestError(f"{path}.{key[:40]}", f"is not supported; expected {expected}")
    return value


def _sampling(processor: Mapping[str, Any], video: Mapping[str, Any]) -> FrameSampling | None:
    """The one number that says how densely videos are read; None if there is none."""
    given: dict[tuple[str, float], str] = {}
    for path, fields in ((PROCESSOR, processor), (f"{LOADER}.video", video)):
        for name in _SAMPLING:
            value = fields.get(name)
            # What servers are started with to leave sampling to the processor.
            if value is not None and not (name == "num_frames" and value == -1):
                given[name, _checked(name, value, f"{path}.{name}")] = f"{path}.{name}"
    if len(given) > 1:
        first, second, *_ = given.values()
        raise RequestError(second, f"says something else than {first}; give one of them")
    for name, value in given:
        return FrameSampling(fps=value) if name == "fps" else FrameSampling(num_frames=int(value))
    return None


def _checked(name: str, value: Any, path: str) -> float:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if name == "fps" and not (number and 0 < value <= MAX_FPS):
        raise RequestError(path, f"must be a number above 0 and at most {MAX_FPS:g}")
    if name == "num_frames" and not (type(value) is int and 1 <= value <= MAX_FRAMES):
        raise RequestError(path, f"must be a whole number from 1 to {MAX_FRAMES}")
    return float(value)


def _pixels(processor: Mapping[str, Any], size: Mapping[str, Any], *, edge: str, alias: str) -> int | None:
    given = {
        f"{PROCESSOR}.size.{edge}": size.get(edge),
        f"{PROCESSOR}.{alias}": processor.get(alias),
    }
    found = {path: value for path, value in given.items() if value is not None}
    for path, value in found.items():
        if not (type(value) is int and LEAST_PIXELS <= value <= MOST_PIXELS):
            raise RequestError(path, f"must be a whole number of pixels from {LEAST_PIXELS} to {MOST_PIXELS}")
    if len(set(found.values())) > 1:
        raise RequestError(
            f"{PROCESSOR}.{alias}", f"says something else than {PROCESSOR}.size.{edge}; give one of them"
        )
    return next(iter(found.values()), None)
