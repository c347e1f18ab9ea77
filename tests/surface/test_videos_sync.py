"""`/v1/videos/sync`: the README's request, references, limits, hanging up, seeds."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from cosmos3_core.media.stills import encode_image
from deployments.cli.client import Client
from deployments.local.launch import RunningGraph
from tests.graph.figures import STEPS, eventually, idle, settled, steps_until_stopped
from tests.surface.inputs import LONG, TINY, as_parts, compact_prompt, jpeg, mp4, picture, without
from tests.surface.reading import error_of, sound_of, stage_durations, video_in

PATH = "/v1/videos/sync"
README: dict[str, Any] = {
    "size": "80x64",
    "num_frames": 189,
    "fps": 24,
    "num_inference_steps": 2,
    "guidance_scale": 6.0,
    "flow_shift": 10.0,
    "seed": 0,
    "extra_params": {"use_resolution_template": False, "use_duration_template": False, "guardrails": True},
}


def test_c08_the_readmes_video(http: httpx.Client) -> None:
    """C8 and C9 at 80x64 and with 2 steps; frames, rate and sound are those of the README."""
    prompts = {
        "prompt": compact_prompt("t2v_robot_pouring_water_audio"),
        "negative_prompt": compact_prompt("negative_text2video"),
    }
    sound = {"generate_sound": True, "sound_duration": "7.875"}
    headers = {"Accept": "video/mp4", "X-Request-Id": "tenant 7/c8"}
    answer = http.post(PATH, files=as_parts(README | prompts | sound), headers=headers)
    clip = video_in(answer)
    assert clip.frames.shape == (189, 64, 80, 3) and clip.fps == 24
    assert sound_of(answer.content) == ("aac", 48_000, 2)
    assert answer.headers.get_list("x-request-id") == ["tenant 7/c8"]
    assert answer.headers["x-model"] == "cosmos3-tiny"
    assert set(stage_durations(answer)) == {"encode", "denoise", "decode"}
    seconds = answer.headers["x-inference-time-s"]
    assert len(seconds.partition(".")[2]) == 3
    assert float(seconds) == pytest.approx(sum(stage_durations(answer).values()), abs=0.001)
    assert float(answer.headers["x-peak-memory-mb"]) > 1


def test_higher_qualities_make_larger_files(http: httpx.Client) -> None:
    """The same latents give larger files at higher values of `quality`."""
    answers = [http.post(PATH, files=as_parts(TINY | {"quality": word})) for word in ("auto", "high", "lossless")]
    assert all(video_in(answer).frames.shape == (5, 64, 64, 3) for answer in answers)
    assert len({answer.headers["x-latents-sha256"] for answer in answers}) == 1
    sizes = [len(answer.content) for answer in answers]
    assert sizes == sorted(set(sizes))


def test_sizes_and_lengths_that_vllm_omni_takes(http: httpx.Client) -> None:
    """Sides are floored to multiples of 16, frames rounded up to 4k + 1; the job keeps the size as it was sent."""
    clip = video_in(http.post(PATH, files=as_parts(TINY | {"size": "100x90", "num_frames": 2})))
    assert clip.frames.shape == (5, 80, 96, 3)
    one = video_in(http.post(PATH, files=as_parts(TINY | {"num_frames": 1})))
    assert one.frames.shape == (1, 64, 64, 3)


@pytest.mark.parametrize(
    ("image", "size"), [((300, 180), (320, 192)), ((200, 200), (256, 256)), ((180, 300), (192, 320))]
)
def test_c10_the_size_follows_the_image(image: tuple[int, int], size: tuple[int, int], http: httpx.Client) -> None:
    """C10 at a tier of 256, whose sizes have the usual aspects.

    Without any size in the request, the area is that of 720p, which test_full_size.py tests.
    """
    file = ("x.png", encode_image(picture("humanoid_robot", *image), "png"), "image/png")
    fields = without(TINY, "size") | {"extra_params": {"resolution": "256"}}
    clip = video_in(http.post(PATH, files=as_parts(fields, input_reference=file)))
    assert clip.frames.shape == (5, size[1], size[0], 3)


def test_c11_a_video_is_continued(http: httpx.Client) -> None:
    """C11 at 128x80: latent frames 0 and 1, which are five frames of the video, are kept with every seed."""
    file = mp4("av_0", 128, 80, frames=9, fps=10)

    def clip(seed: int, given: list[int]) -> Any:
        fields = {"prompt": "a road", "size": "128x80", "num_frames": 13, "num_inference_steps": 2, "seed": seed}
        fields["extra_params"] = {"condition_frame_indexes_vision": given}
        frames = video_in(http.post(PATH, files=as_parts(fields, input_reference=file))).frames
        assert frames.shape == (13, 80, 128, 3)
        return frames.astype(np.float64)

    one, other, with_less = clip(1, [0, 1]), clip(2, [0, 1]), clip(1, [0])
    differences = np.abs(one - other).mean(axis=(1, 2, 3))
    assert differences[:5].max() < 5 and differences[5:].min() > 20, differences
    assert np.abs(one - with_less)[1:5].mean() > 20


def test_c39_too_long_for_a_client_that_waits(http: httpx.Client, client: Client) -> None:
    """C39: after the graph's limit the work is cancelled between two steps, and the client is told not to retry."""
    before = settled(client)
    answer = http.post(PATH, files=as_parts(LONG))
    assert "/v1/videos" in error_of(answer, 504)["message"]
    assert answer.headers["x-should-retry"] == "false"
    assert 0 < steps_until_stopped(client, before) < LONG["num_inference_steps"]


@contextmanager
def pending_request(graph: RunningGraph, files: list[tuple[str, Any]]) -> Iterator[None]:
    """A client that requests a video and hangs up at the end of the block."""
    url = httpx.URL(graph.url)
    request = httpx.Request("POST", url.join(PATH), files=files)
    connection = HTTPConnection(url.host, url.port or 80)
    try:
        connection.request("POST", PATH, request.read(), dict(request.headers))
        yield
    finally:
        connection.close()


def test_c40_a_client_that_hangs_up(graph: RunningGraph, graph_data: Path, client: Client) -> None:
    """C40: the generation stops before its next step, its files are removed, and the next request is served."""

    def files() -> set[Path]:
        return {path for path in (graph_data / "media").rglob("*_gen_*") if path.is_file()}

    before, files_before = settled(client), files()
    with pending_request(graph, as_parts(LONG, input_reference=jpeg("humanoid_robot", 512, 320))):
        eventually(client, lambda figures: figures[STEPS] > before[STEPS], timeout=60)
        assert any(path.parent.name == "inputs" for path in files() - files_before)
        made = client.figures()[STEPS] - before[STEPS]
    # The figures are up to a second old.
    assert steps_until_stopped(client, before) <= made + 10
    deadline = time.monotonic() + 10
    while files() - files_before and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not files() - files_before
    video_in(httpx.post(f"{graph.url}{PATH}", files=as_parts(TINY), timeout=60))
    eventually(client, idle)


def test_c41_a_seed_decides_every_byte(http: httpx.Client) -> None:
    """C41 at 64x64 and one step: the same seed gives the same file; 0 is a seed, and the default is 42."""

    def video(**seed: int) -> tuple[bytes, str]:
        answer = http.post(PATH, files=as_parts(without(TINY, "seed") | seed))
        video_in(answer)
        return answer.content, answer.headers["x-seed"]

    first, second = video(seed=0), video(seed=0)
    assert first == second and first[1] == "0"
    seedless = video()
    assert seedless == video(seed=42)
    assert len({first[0], video(seed=1)[0], seedless[0]}) == 3
