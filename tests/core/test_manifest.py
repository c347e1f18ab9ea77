"""Manifests: what they say, and that it makes the same bits again, here and through the stages of the graph."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import ray
import torch
from typer.testing import CliRunner, Result

from cosmos3_core import Checkpoint, GenerationRequest, LocalPipeline, Manifest
from cosmos3_core.manifest import Upsampled, differences
from cosmos3_core.media.mp4 import encode_mp4
from cosmos3_core.media.stills import encode_image
from cosmos3_core.tiny.checkpoint import write_checkpoint
from deployments.cli import client
from deployments.cli.main import app
from deployments.encoder import Encoder
from deployments.generator.rank import Rank
from deployments.jobs.flow import GenerationOutcome, MadePart, Timings
from deployments.settings.generator import GeneratorSettings
from deployments.settings.model import EncoderSettings, ModelSettings
from deployments.wire.calls import DecodedFile, GenerationCall
from tests.manifests import IMAGE, a_request
from tests.parity.cases import picture

SMALL = ("--steps", "2", "--prompt", "a robot waves", "--size", "64x64")
ACTION = ("--steps", "2", "--prompt", "lift", "--size", "96x80", "--domain-name", "av", "--action-chunk-size", "4")


@dataclass
class Command:
    """`cosmos3 generate` in a folder of its own, on the CPU."""

    checkpoint: Path
    folder: Path

    def __call__(self, *arguments: str | Path) -> Result:
        given = ["generate", "--checkpoint", str(self.checkpoint), *map(str, arguments)]
        return CliRunner().invoke(app, given, catch_exceptions=True)

    def make(self, *arguments: str | Path) -> Manifest:
        """Generate something, and what its manifest says."""
        path = self.folder / "made.json"
        done = self(*arguments, "-o", self.folder / "made.mp4", "--manifest", path, "--device", "cpu")
        assert done.exit_code == 0, (done.output, done.exception)
        assert str(path) in done.stdout
        return Manifest.model_validate_json(path.read_bytes())

    def remake(self, *arguments: str | Path, name: str = "made.json") -> Result:
        """Make it again."""
        return self("--from-manifest", self.folder / name, "-o", self.folder / "again.mp4", *arguments)

    def write(self, manifest: Manifest, name: str, **changes: Any) -> None:
        (self.folder / name).write_text(manifest.model_copy(update=changes).model_dump_json())


@pytest.fixture
def cosmos3(nano: Path, tmp_path: Path) -> Command:
    return Command(nano, tmp_path)


@pytest.fixture(scope="module")
def pipeline(nano: Path) -> LocalPipeline:
    return LocalPipeline.from_pretrained(nano, device="cpu", dtype="float32")


@pytest.fixture
def image(tmp_path: Path) -> Path:
    (path := tmp_path / "image.png").write_bytes(encode_image(picture(96, 128, 1), "png"))
    return path


@pytest.fixture
def video(tmp_path: Path) -> Path:
    encode_mp4(path := tmp_path / "video.mp4", np.stack([picture(96, 160, seed) for seed in range(5)]), 10.0)
    return path


def sentence(done: Result) -> str:
    """What a command said, without the frame that typer draws around it."""
    return " ".join(done.stderr.replace("│", " ").split())


def test_a_video_of_words_is_made_again(cosmos3: Command, pipeline: LocalPipeline) -> None:
    made = cosmos3.make("--mode", "t2v", "--num-frames", "5", "--seed", "7", "--negative-prompt", "blurry", *SMALL)
    fields = {"num_frames": 5, "seed": 7, "negative_prompt": "blurry"}
    assert made.latents_sha256 == pipeline.generate(a_request(**fields)).latents_sha256
    again = cosmos3.remake("--manifest", cosmos3.folder / "again.json")
    assert again.exit_code == 0 and "the same latents" in again.stderr
    second = Manifest.model_validate_json((cosmos3.folder / "again.json").read_bytes())
    assert second.latents_sha256 == made.latents_sha256 and second.resolved == made.resolved
    assert (cosmos3.folder / "again.mp4").read_bytes() == (cosmos3.folder / "made.mp4").read_bytes()


def test_a_video_of_an_image_wants_the_image_again(cosmos3: Command, image: Path) -> None:
    made = cosmos3.make("--mode", "i2v", "--image", image, "--num-frames", "5", *SMALL)
    content = image.read_bytes()
    (medium,) = made.media.values()
    assert (medium.of, medium.sha256, medium.bytes) == ("file", hashlib.sha256(content).hexdigest(), len(content))
    assert "image" not in made.request and str(cosmos3.folder) not in made.model_dump_json()
    moved = shutil.copy(image, cosmos3.folder / "elsewhere.png")
    again = cosmos3.remake("--image", moved)
    assert again.exit_code == 0 and "the same latents" in again.stderr


@pytest.mark.parametrize("mode", ["policy", "inverse_dynamics"])
def test_actions_are_made_again(mode: str, cosmos3: Command, image: Path, video: Path) -> None:
    media = ("--image", image) if mode == "policy" else ("--video", video)
    made = cosmos3.make("--mode", mode, *media, *ACTION)
    assert set(made.latents_sha256) == {"vision", "action"}
    actions = (cosmos3.folder / "made.action.json").read_bytes()
    again = cosmos3.remake(*media)
    assert again.exit_code == 0 and "the same latents" in again.stderr
    assert (cosmos3.folder / "again.action.json").read_bytes() == actions


def test_given_actions_are_in_the_manifest(cosmos3: Command, image: Path) -> None:
    rows = cosmos3.folder / "rows.json"
    rows.write_text(json.dumps((np.arange(36).reshape(4, 9) / 70).tolist()))
    made = cosmos3.make("--mode", "forward_dynamics", "--image", image, "--action", rows, *ACTION)
    assert len(made.request["action"]) == 4
    rows.unlink()
    assert cosmos3.remake("--image", image).exit_code == 0


def test_another_precision_makes_other_latents_and_is_named(cosmos3: Command) -> None:
    cosmos3.make("--mode", "t2v", "--num-frames", "5", *SMALL)
    again = cosmos3.remake("--dtype", "bfloat16")
    assert again.exit_code == 3
    assert "other latents: vision" in again.stderr and "the same latents" not in again.stderr
    assert 'precision.denoise.dtype: "bfloat16", was "float32"' in again.stderr
    assert (cosmos3.folder / "again.mp4").is_file()


def test_the_precision_is_the_manifests_unless_an_option_says_otherwise(cosmos3: Command) -> None:
    arguments = ("--mode", "t2v", "--num-frames", "5", "--dtype", "bfloat16", "--attention", "math", *SMALL)
    made = cosmos3.make(*arguments)
    denoise = made.precision["denoise"]
    assert (denoise.dtype, denoise.attention) == ("bfloat16", "math")
    assert cosmos3.remake().exit_code == 0
    fewer = denoise.model_copy(update={"threads": 1})
    cosmos3.write(made, "fewer.json", precision={**made.precision, "denoise": fewer})
    threads = torch.get_num_threads()
    try:
        cosmos3.remake("--manifest", cosmos3.folder / "again.json", name="fewer.json")
    finally:
        torch.set_num_threads(threads)
    again = Manifest.model_validate_json((cosmos3.folder / "again.json").read_bytes())
    assert again.precision["denoise"].threads == 1


def test_other_weights_of_one_shape_are_found_by_the_latents_alone(cosmos3: Command) -> None:
    cosmos3.make("--mode", "t2v", "--num-frames", "5", *SMALL)
    cosmos3.checkpoint = write_checkpoint(cosmos3.folder / cosmos3.checkpoint.name, "nano", seed=3)
    again = cosmos3.remake()
    assert again.exit_code == 3 and "other latents: vision" in again.stderr
    # The tiny tokenizer is made from the seed, too.
    assert "checkpoint" not in again.stderr and "resolved" not in again.stderr


def test_another_checkpoint_is_named(cosmos3: Command, edge: Path) -> None:
    cosmos3.make("--mode", "t2v", "--num-frames", "5", *SMALL)
    cosmos3.checkpoint = edge
    again = cosmos3.remake()
    assert again.exit_code == 3
    assert 'checkpoint.family: "edge", was "nano"' in again.stderr
    assert (
        "checkpoint.config_sha256" in again.stderr and "resolved.sampling.guidance.scale: 5.0, was 6.0" in again.stderr
    )


@pytest.mark.parametrize(("asked", "revision"), [("nvidia/Cosmos3-Nano", "abc"), ("nvidia/Cosmos3-Edge", None)])
def test_the_revision_is_the_manifests_for_the_same_repository(
    asked: str, revision: str | None, cosmos3: Command, pipeline: LocalPipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = pipeline.generate(a_request()).manifest
    published = made.checkpoint.model_copy(update={"name": "nvidia/Cosmos3-Nano", "revision": "abc"})
    cosmos3.write(made, "made.json", checkpoint=published)
    found: list[tuple[str, str | None]] = []

    def find(name: str, revision: str | None) -> Checkpoint:
        found.append((name, revision))
        return pipeline.checkpoint

    monkeypatch.setattr(Checkpoint, "find", find)
    cosmos3.checkpoint = Path(asked)
    assert cosmos3.remake().exit_code == 0
    assert found == [(asked, revision)]


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--mode", "t2v"),
        ("--prompt", "a robot waves"),
        ("--negative-prompt", ""),
        ("--seed", "42"),
        ("--steps", "2"),
        ("--size", "64x64"),
        ("--sound", None),
        ("--preset", "vllm-omni"),
        ("--set", "use_system_prompt=true"),
    ],
)
def test_options_that_the_manifest_says_are_refused(option: str, value: str | None, cosmos3: Command) -> None:
    done = cosmos3.remake(option, *([value] if value is not None else []))
    assert done.exit_code == 2
    assert option in sentence(done) and "cannot be combined with --from-manifest" in sentence(done)


def test_wrong_media_are_refused_by_the_options_name(cosmos3: Command, image: Path, video: Path) -> None:
    cosmos3.make("--mode", "i2v", "--image", image, "--num-frames", "5", *SMALL)
    other = cosmos3.folder / "other.png"
    # The same pixels in another file are another file.
    other.write_bytes(encode_image(picture(96, 128, 1), "webp"))
    cases: list[tuple[tuple[str | Path, ...], str, str]] = [
        ((), "--image", "is missing; the manifest names one"),
        (("--image", other), "--image", "is another file"),
        (("--image", cosmos3.folder / "absent.png"), "--image", "cannot read"),
        (("--image", image, "--video", video), "--video", "the manifest names no video"),
    ]
    (cosmos3.folder / "made.mp4").unlink()
    for arguments, option, message in cases:
        done = cosmos3.remake(*arguments)
        assert done.exit_code == 2 and not (cosmos3.folder / "again.mp4").exists()
        assert option in sentence(done) and message in sentence(done), sentence(done)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: "", "is no manifest of format 1"),
        (lambda text: text.replace('"format":1', '"format":2'), "format: "),
        (lambda text: text.replace('"seed":42', '"seed":null'), "seed"),
        (lambda text: text.replace('"request":{', '"request":{"image":"/etc/hostname",'), "holds media"),
        (lambda text: text.replace('"media":{', '"media":{"action":{"of":"file","sha256":"0","bytes":1}'), "names"),
        (lambda text: text.replace('"tries":1', '"tries":1,"more":2'), "more: "),
        (lambda text: text.replace('"noise":"torch"', '"noise":"given"'), "nowhere kept"),
    ],
)
def test_what_is_no_manifest_is_refused(
    change: Callable[[str], str], message: str, cosmos3: Command, pipeline: LocalPipeline
) -> None:
    text = pipeline.generate(a_request(seed=42)).manifest.model_dump_json()
    assert change(text) != text
    (cosmos3.folder / "made.json").write_text(change(text))
    done = cosmos3.remake()
    assert done.exit_code == 2 and "--from-manifest" in sentence(done) and message in sentence(done)


def test_a_manifest_that_is_absent_or_cannot_be_written(cosmos3: Command) -> None:
    done = cosmos3.remake(name="absent.json")
    assert done.exit_code == 2 and "cannot read" in sentence(done)
    out = cosmos3.folder / "out.mp4"
    done = cosmos3("--mode", "t2v", "-o", out, "--manifest", cosmos3.folder / "no" / "m.json", *SMALL)
    assert "manifest is" in str(done.exception) and not out.exists()
    done = cosmos3("-o", out, *SMALL)
    assert done.exit_code == 2 and "--mode" in sentence(done)


def test_pictures_without_a_file_are_known_by_their_pixels(cosmos3: Command, pipeline: LocalPipeline) -> None:
    pixels = picture(96, 128, 1)
    made = pipeline.generate(a_request(mode="image2video", image=pixels)).manifest
    assert made.media["image"].of == "frames" and made.media["image"].bytes == pixels.nbytes
    cosmos3.write(made, "made.json")
    for seed, status in ((1, 0), (2, 2)):
        (path := cosmos3.folder / "image.png").write_bytes(encode_image(picture(96, 128, seed), "png"))
        done = cosmos3.remake("--image", path)
        assert done.exit_code == status, sentence(done)
    assert "is another picture" in sentence(done)


@pytest.fixture
def object_store(monkeypatch: pytest.MonkeyPatch) -> None:
    class Here:
        def get_node_id(self) -> str:
            return "node"

    monkeypatch.setattr(ray, "put", lambda value: value)
    monkeypatch.setattr(ray, "get", lambda value: value)
    monkeypatch.setattr(ray, "get_runtime_context", Here)


def served(nano: Path, request: GenerationRequest, media: dict[str, str]) -> Manifest:
    """What the graph's stages make of a request, with an object store that is this process."""
    stage: dict[str, Any] = {"device": "cpu", "dtype": "float32", "threads": torch.get_num_threads()}
    encoder, generator = EncoderSettings(**stage), GeneratorSettings(**stage)
    settings = ModelSettings(name="m", checkpoint=str(nano), encoder=encoder, generator=generator, reasoner=None)
    call = GenerationCall.of("video_gen_1", request, media)
    encoded = Encoder(settings)._encode(call, 0, None)
    rank = Rank(settings, 0)
    rank.load(None)
    rank.begin("a", encoded, None)
    for _ in range(encoded.sampling.steps):
        rank.step(["a"])
    file = DecodedFile("file:///out.mp4", 1, 5, None)
    outcome = GenerationOutcome(file, (MadePart(encoded, rank.finish("a"), file),), Timings({"encode": 1.0}))
    return outcome.manifest(call, tries=2, created_at=5.0)


@pytest.mark.usefixtures("object_store")
def test_the_graphs_manifest_is_that_of_one_process(
    cosmos3: Command, pipeline: LocalPipeline, image: Path, nano: Path
) -> None:
    request = a_request(mode="image2video", image=image, seed=9)
    made = served(nano, request, {"image": f"file://{image}"})
    local = pipeline.generate(request).manifest
    assert made.latents_sha256 == local.latents_sha256 and differences(local, made) == []
    assert (made.job_id, made.tries, made.created_at) == ("video_gen_1", 2, 5.0)
    assert made.media == local.media and made.request == local.request
    # As a server sends it, and a client keeps it.
    cosmos3.write(Manifest.model_validate(json.loads(json.dumps(made.model_dump(mode="json")))), "made.json")
    again = cosmos3.remake("--image", image)
    assert again.exit_code == 0 and "the same latents" in again.stderr


@dataclass
class Server:
    """Plays a server to the command: it generates in this process, and says what a server says."""

    pipeline: LocalPipeline
    asked: list[dict[str, Any]]
    changes: dict[str, Any]
    says_hashes: bool = True
    ignores: tuple[str, ...] = ()

    def generate(self, fields: dict[str, Any], on_event: Any, with_manifest: bool) -> tuple[bytes, dict[str, Any]]:
        self.asked.append(fields)
        fields = {name: value for name, value in fields.items() if name not in self.ignores}
        result = self.pipeline.generate(GenerationRequest(**fields | self.changes))
        said: dict[str, Any] = {"stage_durations": result.seconds}
        if self.says_hashes:
            said["latents_sha256"] = result.latents_sha256
        if with_manifest and not result.request.mode.is_image:
            said["manifest"] = result.manifest.model_dump(mode="json")
        return encode_image(result.frames[0], "png"), said

    def close(self) -> None:
        pass


@pytest.fixture
def server(pipeline: LocalPipeline, monkeypatch: pytest.MonkeyPatch) -> Server:
    server = Server(pipeline, [], {})
    monkeypatch.setattr(client, "Client", lambda url, key: server)
    return server


def there(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["generate", "--url", "http://127.0.0.1:1", *map(str, arguments)])


def test_on_a_server(server: Server, pipeline: LocalPipeline, image: Path, tmp_path: Path) -> None:
    made, out = tmp_path / "made.json", tmp_path / "out.mp4"
    asked = ("--mode", "i2v", "--image", image, "--num-frames", "5", "--seed", "3")
    done = there(*asked, "-o", out, "--manifest", made, *SMALL)
    assert done.exit_code == 0, (done.output, done.exception)
    assert Manifest.model_validate_json(made.read_bytes()).resolved["sampling"]["seed"] == 3
    again = there("--from-manifest", made, "--image", image, "-o", out)
    assert again.exit_code == 0 and "the same latents" in again.stderr
    assert server.asked[1]["seed"] == 3 and server.asked[1]["image"] == image
    server.changes = {"guidance_scale": 2.0}
    other = there("--from-manifest", made, "--image", image, "-o", out)
    assert other.exit_code == 3 and "resolved.sampling.guidance.scale: 2.0, was 6.0" in other.stderr


def test_an_image_on_a_server_has_no_manifest(server: Server, pipeline: LocalPipeline, tmp_path: Path) -> None:
    request = GenerationRequest(**IMAGE)
    made, out = tmp_path / "made.json", tmp_path / "out.png"
    made.write_text(pipeline.generate(request).manifest.model_dump_json())
    again = there("--from-manifest", made, "-o", out)
    assert again.exit_code == 0 and "the same latents" in again.stderr
    server.changes = {"seed": 7}
    other = there("--from-manifest", made, "-o", out)
    assert other.exit_code == 3 and "no manifest of images" in other.stderr
    server.says_hashes = False
    silent = there("--from-manifest", made, "-o", out)
    assert silent.exit_code == 1 and "nothing can be compared" in str(silent.exception)
    refused = there("--from-manifest", made, "-o", out, "--manifest", tmp_path / "m.json")
    assert refused.exit_code == 2 and "--manifest" in sentence(refused)


def upsampled(pipeline: LocalPipeline) -> Manifest:
    """The manifest of a server whose Reasoner wrote a caption for plain words."""
    caption = json.dumps({"temporal_caption": "A robot waves."})
    made = pipeline.generate(a_request().model_copy(update={"prompt": caption})).manifest
    wrote = Upsampled(prompt=caption, template_sha256="0" * 64)
    return made.model_copy(update={"request": made.request | {"prompt": "a robot waves"}, "upsampled": wrote})


def test_an_upsampled_prompt_is_used_again(cosmos3: Command, pipeline: LocalPipeline) -> None:
    """What the client wrote would make other latents."""
    made = upsampled(pipeline)
    cosmos3.write(made, "made.json")
    again = cosmos3.remake("--manifest", cosmos3.folder / "again.json")
    assert again.exit_code == 0 and "the same latents" in again.stderr
    found = Manifest.model_validate_json((cosmos3.folder / "again.json").read_bytes())
    assert found.upsampled is None and made.upsampled is not None
    assert found.request["prompt"] == made.upsampled.prompt
    cosmos3.write(made, "made.json", upsampled=None)
    assert cosmos3.remake().exit_code == 3


def test_a_server_that_makes_it_again_is_not_asked_to_upsample(
    server: Server, pipeline: LocalPipeline, tmp_path: Path
) -> None:
    made = upsampled(pipeline)
    (path := tmp_path / "made.json").write_text(made.model_dump_json())
    again = there("--from-manifest", path, "-o", tmp_path / "out.mp4")
    assert again.exit_code == 0 and "the same latents" in again.stderr
    (asked,) = server.asked
    assert made.upsampled is not None and asked["prompt"] == made.upsampled.prompt
    assert "upsample_prompt" not in asked
    both = there("--from-manifest", path, "--upsample-prompt", "-o", tmp_path / "out.mp4")
    assert both.exit_code == 2 and "--upsample-prompt" in sentence(both)


def test_the_option_asks_a_server_to_upsample(server: Server, cosmos3: Command, tmp_path: Path) -> None:
    server.ignores = ("upsample_prompt",)
    arguments = ("--mode", "t2i", "-o", tmp_path / "out.png", *SMALL)
    assert there("--upsample-prompt", *arguments).exit_code == 0
    assert there(*arguments).exit_code == 0
    assert [fields.get("upsample_prompt") for fields in server.asked] == [True, None]
    here = cosmos3("--upsample-prompt", *arguments)
    assert here.exit_code == 2 and "give --url" in sentence(here)


def test_a_result_of_shared_steps_says_that_it_cannot_be_repeated(
    server: Server, pipeline: LocalPipeline, tmp_path: Path
) -> None:
    made = pipeline.generate(a_request()).manifest
    wrong = {"vision": "0" * 64}
    shared = made.model_copy(update={"approximations": ("batch_tasks",), "latents_sha256": wrong})
    (path := tmp_path / "made.json").write_text(shared.model_dump_json())
    done = there("--from-manifest", path, "-o", tmp_path / "out.mp4")
    assert done.exit_code == 3 and "made together with other requests'" in done.stderr
