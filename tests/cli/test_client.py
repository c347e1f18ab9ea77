"""The client against a real HTTP server whose answers the tests choose."""

from __future__ import annotations

import base64
import json
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from starlette.responses import JSONResponse, PlainTextResponse, Response

from cosmos3_core.request import Event, Finished, Started, Step
from deployments.cli.client import Client, ServerError
from tests.cli.answering_server import COMPLETED, Server, chunk, envelope, stream

VIDEO = {"mode": "text2video", "prompt": "a robot"}
STEP = {"index": 1, "count": 2, "seconds": 0.1, "seconds_left": 0.1}


def event(kind: str, data: Any) -> str:
    return f"event: {kind}\r\ndata: {json.dumps(data)}\r\n\r\n"


def no_event(found: Event) -> None:
    raise AssertionError(found)


def failure(call: Callable[[], object]) -> str:
    with pytest.raises(ServerError) as caught:
        call()
    return str(caught.value)


def asked(server: Server, client: Client, answer: Response) -> str:
    pieces: list[str] = []
    server.answers["POST", "/v1/chat/completions"] = answer
    client.ask("what?", None, 5, pieces.append)
    return "".join(pieces)


def test_a_video_comes_with_its_events(server: Server, client: Client) -> None:
    server.makes_a_video(
        event("started", {"try": 1}),
        event("stage", {"stage": "denoise", "state": "started"}),
        ": ping - 2026-01-01 00:00:00+00:00\r\n\r\n",
        event("step", STEP),
        event("stage", {"stage": "denoise", "state": "finished", "seconds": 0.25}),
        "id: 7\r\nretry: 500\r\n",
        event("done", {"seconds": 1.0}),
    )
    events: list[Event] = []
    content, job = client.generate(VIDEO, events.append)
    assert (content, job) == (b"an mp4", COMPLETED)
    assert events == [Started("denoise"), Step(**STEP), Finished("denoise", 0.25)]  # type: ignore[arg-type]
    assert server.calls() == [
        "POST /v1/videos",
        "GET /v1/videos/video_1/events",
        "GET /v1/videos/video_1",
        "GET /v1/videos/video_1/content",
        "DELETE /v1/videos/video_1",
    ]


def test_fields_of_a_video(server: Server, client: Client, tmp_path: Path) -> None:
    server.makes_a_video()
    (image := tmp_path / "robot.png").write_bytes(b"\x89PNG")
    fields = {"mode": "image2video", "prompt": "é", "width": 832, "height": 480, "image": image, "video": None}
    more = {"seed": 7, "generate_sound": True, "action": [[0.5, 1]], "guidance_scale": None, "fps": 24.0}
    client.generate(fields | more, no_event)
    assert server.sent[0].headers["content-type"].startswith("multipart/form-data")
    assert server.sent[0].fields == {
        "mode": "image2video",
        "prompt": "é",
        "size": "832x480",
        "seed": "7",
        "generate_sound": "true",
        "action": "[[0.5, 1]]",
        "fps": "24.0",
        "input_reference": ("robot.png", b"\x89PNG"),
    }


def test_files_of_controls_and_of_a_soundtrack(server: Server, client: Client, tmp_path: Path) -> None:
    server.makes_a_video()
    (depth := tmp_path / "d.mp4").write_bytes(b"depth")
    (seg := tmp_path / "s.png").write_bytes(b"seg")
    (video := tmp_path / "v.mp4").write_bytes(b"video")
    controls: list[dict[str, Any]] = [
        {"kind": "edge", "strength": "low", "video": None},
        {"kind": "blur"},
        {"kind": "depth", "weight": 0.5, "video": depth},
        {"kind": "seg", "video": seg},
    ]
    client.generate({"mode": "transfer", "prompt": "a", "controls": controls, "video": video}, no_event)
    assert sorted(server.sent[0].parts, key=repr) == [
        ("blur", "{}"),
        ("depth", '{"control_weight": 0.5}'),
        ("depth", ("d.mp4", b"depth")),
        ("edge", '{"preset_edge_threshold": "low"}'),
        ("input_reference", ("v.mp4", b"video")),
        ("mode", "transfer"),
        ("prompt", "a"),
        ("seg", ("s.png", b"seg")),
    ]
    (sound := tmp_path / "s.wav").write_bytes(b"sound")
    client.generate(VIDEO | {"sound": sound, "state": [[0.5]]}, no_event)
    sent = next(found for found in server.sent[1:] if found.method == "POST")
    assert sent.fields == VIDEO | {"audio_reference": ("s.wav", b"sound"), "state": "[[0.5]]"}


def test_a_failed_generation_says_why_and_is_removed(server: Server, client: Client) -> None:
    error = {"code": 500, "message": "the stage broke"}
    server.makes_a_video(event("failed", {"error": error}), job=COMPLETED | {"status": "failed", "error": error})
    assert failure(lambda: client.generate(VIDEO, no_event)) == "the generation failed: the stage broke"
    assert server.calls()[-1] == "DELETE /v1/videos/video_1"
    assert "GET /v1/videos/video_1/content" not in server.calls()


def test_a_failure_without_an_error_names_the_status(server: Server, client: Client) -> None:
    server.makes_a_video(job=COMPLETED | {"status": "failed"})
    assert failure(lambda: client.generate(VIDEO, no_event)) == "the generation failed: failed"


def test_a_refused_video_is_not_removed(server: Server, client: Client) -> None:
    server.answers["POST", "/v1/videos"] = envelope(400, "size is 0x0; expected more")
    assert failure(lambda: client.generate(VIDEO, no_event)) == "400: size is 0x0; expected more"
    assert server.calls() == ["POST /v1/videos"]


@pytest.mark.parametrize("path", ["/v1/videos/video_1/events", "/v1/videos/video_1", "/v1/videos/video_1/content"])
def test_a_job_is_removed_wherever_it_goes_wrong(server: Server, client: Client, path: str) -> None:
    server.makes_a_video()
    server.answers["GET", path] = envelope(503, "later")
    assert failure(lambda: client.generate(VIDEO, no_event)) == "503: later"
    assert server.calls()[-1] == "DELETE /v1/videos/video_1"


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_a_job_is_removed_when_its_client_is_interrupted(
    server: Server, client: Client, error: type[BaseException]
) -> None:
    server.makes_a_video(event("step", STEP))

    def interrupt(found: Event) -> None:
        raise error

    with pytest.raises(error):
        client.generate(VIDEO, interrupt)
    assert server.calls()[-2:] == ["GET /v1/videos/video_1/events", "DELETE /v1/videos/video_1"]


def test_a_job_that_cannot_be_removed_is_no_failure(server: Server, client: Client) -> None:
    server.makes_a_video()
    server.answers["DELETE", "/v1/videos/video_1"] = envelope(500, "no")
    assert client.generate(VIDEO, no_event)[0] == b"an mp4"


def test_an_image(server: Server, client: Client) -> None:
    image = {"b64_json": base64.b64encode(b"a png").decode(), "revised_prompt": "r"}
    answer = {"data": [image], "metrics": {"stage_durations": {"decode": 0.5}}}
    server.answers["POST", "/v1/images/generations"] = JSONResponse(answer)
    fields = {"mode": "text2image", "prompt": "a robot", "width": 64, "height": 48, "seed": None}
    content, said = client.generate(fields, no_event)
    assert content == b"a png"
    assert said == {"b64_json": None, "revised_prompt": "r", "stage_durations": {"decode": 0.5}}
    assert server.sent[0].fields == {"prompt": "a robot", "size": "64x48"}
    assert server.calls() == ["POST /v1/images/generations"]


def test_an_edited_image(server: Server, client: Client, tmp_path: Path) -> None:
    (picture := tmp_path / "a.png").write_bytes(b"a png")
    answer = {"data": [{"b64_json": base64.b64encode(b"edited").decode()}], "metrics": {}}
    server.answers["POST", "/v1/images/edits"] = JSONResponse(answer)
    assert client.generate({"mode": "i2i", "prompt": "red", "seed": 3, "image": picture}, no_event)[0] == b"edited"
    assert server.sent[0].fields == {"prompt": "red", "seed": "3", "image": ("a.png", b"a png")}


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (envelope(429, "the queue is full"), "429: the queue is full"),
        (PlainTextResponse("Internal Server Error", 500), "500: Internal Server Error"),
        (PlainTextResponse("x" * 9999, 502), "502: " + "x" * 500),
        (PlainTextResponse("", 503), "503: Service Unavailable"),
        (JSONResponse({"detail": "no"}, 404), '404: {"detail":"no"}'),
        (JSONResponse(["no"], 404), '404: ["no"]'),
        (JSONResponse({"error": "no"}, 404), '404: {"error":"no"}'),
        (Response(b"\xff\xfe", 500, media_type="application/json"), "500: "),
    ],
)
def test_what_a_refusal_says(server: Server, client: Client, answer: Response, says: str) -> None:
    server.answers["GET", "/metrics"] = answer
    assert failure(client.figures).startswith(says)
    server.answers["POST", "/v1/chat/completions"] = answer
    assert failure(lambda: client.ask("a", None, 5, print)).startswith(says)


def test_another_server_at_that_url_is_a_server_error(server: Server, client: Client) -> None:
    server.answers["POST", "/v1/videos"] = PlainTextResponse("<html>")
    failure(lambda: client.generate(VIDEO, no_event))


def test_an_unreachable_server(server: Server) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    client = Client(f"http://127.0.0.1:{port}")
    calls: list[Callable[[], object]] = [
        client.figures,
        lambda: client.wait_healthy(1),
        lambda: client.ask("a", None, 5, print),
        lambda: client.generate(VIDEO, no_event),
    ]
    for call in calls:
        message = failure(call)
        assert f"127.0.0.1:{port}" in message and message.endswith("is the server up?")
    client.close()


@pytest.mark.parametrize("url", ["ftp://127.0.0.1", "127.0.0.1:8000", "nothing"])
def test_urls_of_another_scheme(url: str) -> None:
    client = Client(url)
    assert failure(client.figures).endswith("is the server up?")
    client.close()


@pytest.mark.parametrize("url", ["http://127.0.0.1:port", "http://[::1"])
def test_urls_that_are_none(url: str) -> None:
    failure(lambda: Client(url).figures())


def test_a_server_that_hangs_up(server: Server) -> None:
    def hang_up() -> None:
        connection, _ = listener.accept()
        connection.recv(1000)
        connection.close()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=hang_up)
        thread.start()
        client = Client(f"http://127.0.0.1:{listener.getsockname()[1]}")
        assert failure(client.figures).endswith("is the server up?")
        client.close()
        thread.join(30)


@pytest.mark.parametrize(("key", "header"), [("secret", "Bearer secret"), (None, None), ("", None)])
def test_the_key_is_sent(server: Server, key: str | None, header: str | None) -> None:
    server.answers["GET", "/metrics"] = PlainTextResponse("")
    client = Client(server.url + "/", key)
    client.figures()
    client.close()
    assert server.sent[0].headers.get("authorization") == header
    assert server.sent[0].path == "/metrics"


def test_a_question(server: Server, client: Client) -> None:
    answer = stream(chunk(None) + chunk("Hel") + chunk("lo é") + 'data: {"choices": []}\n\ndata: [DONE]\n\n')
    assert asked(server, client, answer) == "Hello é"
    assert server.sent[0].fields == {
        "messages": [{"role": "user", "content": [{"type": "text", "text": "what?"}]}],
        "max_tokens": 5,
        "stream": True,
    }


def test_a_question_about_an_image(server: Server, client: Client, tmp_path: Path) -> None:
    (image := tmp_path / "a.png").write_bytes(b"\x89PNG")
    server.answers["POST", "/v1/chat/completions"] = stream("data: [DONE]\n\n")
    client.ask("what?", image, 5, print, temperature=0)
    (message,) = server.sent[0].fields["messages"]
    url = f"data:image/*;base64,{base64.b64encode(image.read_bytes()).decode()}"
    assert message["content"] == [
        {"type": "image_url", "image_url": {"url": url}},
        {"type": "text", "text": "what?"},
    ]
    assert server.sent[0].fields["temperature"] == 0


def test_nothing_is_read_after_the_end(server: Server, client: Client) -> None:
    assert asked(server, client, stream(chunk("a") + "data: [DONE]\n\n" + chunk("b"))) == "a"


def test_a_stream_that_just_ends(server: Server, client: Client) -> None:
    assert asked(server, client, stream(chunk("a"))) == "a"


def test_an_error_within_a_stream(server: Server, client: Client) -> None:
    text = chunk("a") + 'data: {"error": {"message": "the stage broke"}}\n\ndata: [DONE]\n\n'
    assert failure(lambda: asked(server, client, stream(text))) == "the stage broke"


@pytest.mark.parametrize("piece", [1, 2, 3, 1000])
def test_pieces_of_any_size(server: Server, client: Client, piece: int) -> None:
    text = chunk("Übung") + chunk("\U0001f916") + "data: [DONE]\n\n"
    assert asked(server, client, stream(text, piece)) == "Übung\U0001f916"
    assert asked(server, client, stream(text.replace("\n", "\r\n"), piece)) == "Übung\U0001f916"


@pytest.mark.parametrize("end", ["\u2028", "\u2029", "\x85"])
def test_line_ends_of_unicode_arrive_where_they_are_escaped(server: Server, client: Client, end: str) -> None:
    assert asked(server, client, stream(chunk(f"a{end}b", ascii_only=True))) == f"a{end}b"


@pytest.mark.parametrize("end", ["\u2028", "\u2029", "\x85"])
def test_line_ends_of_unicode_end_no_line(server: Server, client: Client, end: str) -> None:
    assert asked(server, client, stream(chunk(f"a{end}b"))) == f"a{end}b"


def test_the_space_after_the_colon_is_optional(server: Server, client: Client) -> None:
    assert asked(server, client, stream(chunk("a").replace("data: ", "data:"))) == "a"


def test_waiting_until_it_is_healthy(server: Server, client: Client) -> None:
    answers = [JSONResponse({"status": "unhealthy"}, 503), JSONResponse({"status": "healthy"})]
    server.answers["GET", "/health"] = lambda: answers.pop(0)
    client.wait_healthy(30)
    assert server.calls() == ["GET /health"] * 2


def test_waiting_until_the_timeout(server: Server, client: Client) -> None:
    server.answers["GET", "/health"] = JSONResponse({"reason": "nano: is not deployed"}, 503)
    message = failure(lambda: client.wait_healthy(0.01))
    assert message.startswith("not ready within 0.01 s: ") and "nano: is not deployed" in message


def test_figures_are_summed_over_labels(server: Server, client: Client) -> None:
    server.answers["GET", "/metrics"] = PlainTextResponse(
        "# HELP cosmos3_jobs_accepted accepted\n# TYPE cosmos3_jobs_accepted gauge\n"
        'cosmos3_jobs_accepted{application="front",replica="0"} 2.0\n'
        'cosmos3_jobs_accepted{application="a b{c} d",replica="1"} 1.5\n'
        "cosmos3_plain 1e3\n"
        'cosmos3_http_seconds_bucket{le="+Inf"} 4\n'
    )
    assert client.figures() == {
        "cosmos3_jobs_accepted": 3.5,
        "cosmos3_plain": 1000.0,
        "cosmos3_http_seconds_bucket": 4.0,
    }


def test_a_manifest_is_fetched_before_the_job_is_removed(server: Server, client: Client) -> None:
    server.makes_a_video()
    server.answers["GET", "/v1/videos/video_1/manifest"] = JSONResponse({"format": 1})
    assert client.generate(VIDEO, no_event, with_manifest=True)[1] == COMPLETED | {"manifest": {"format": 1}}
    assert server.calls()[-2:] == ["GET /v1/videos/video_1/manifest", "DELETE /v1/videos/video_1"]


@pytest.mark.parametrize("reason", ["stop", "length", None])
def test_a_chat_says_why_it_ended(server: Server, client: Client, reason: str | None) -> None:
    last: dict[str, Any] = {"choices": [{"delta": {}, "finish_reason": reason}]}
    text = chunk("a") + f"data: {json.dumps(last)}\n\n" + 'data: {"choices": []}\n\ndata: [DONE]\n\n'
    server.answers["POST", "/v1/chat/completions"] = stream(text)
    body = {"messages": [], "top_k": 20}
    pieces: list[str] = []
    assert client.chat(body, pieces.append) == reason
    assert "".join(pieces) == "a" and body == {"messages": [], "top_k": 20}
    assert server.sent[0].fields == body | {"stream": True}
