"""The typed arguments of the applications: what `args:` in a recipe may say. Serve's own options stay Serve's."""

from __future__ import annotations

import os
import re
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from cosmos3_core.action_statistics import (
    ANY_DOMAIN,
    ActionStatistics,
    Normalisation,
    check_domain,
    find_normalisation,
)
from cosmos3_core.adapters.use import AdapterName, AdapterUse, AdapterWeight
from cosmos3_core.parallel.degrees import Degrees
from cosmos3_core.settings import DtypeName, ExecutionSettings
from cosmos3_core.upsampling.schema import MAX_TOKENS
from deployments.wire.media_store import is_local

if TYPE_CHECKING:
    from cosmos3_core.checkpoint import Checkpoint
    from cosmos3_core.resolving.facts import ModelFacts

MEGABYTE = 1024**2
Bytes = Annotated[int, Field(ge=0)]
_HOST = re.compile(r"(?:\*\.)?[a-z0-9_-]+(?:\.[a-z0-9_-]+)*|[0-9a-f:.]*:[0-9a-f:.]*")


class Settings(BaseModel):
    """Base of all settings: unknown names are refused, so that a typing error is not a silent default."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class StageSettings(Settings):
    """How a stage that runs on the core executes; each kind of stage adds what only it uses.

    Attributes:
        device, dtype, memory_limit_bytes: see `cosmos3_core.settings`.
        threads: torch's threads in the stage's process; results are equal only for equal numbers.
    """

    device: str = "auto"
    dtype: DtypeName = "auto"
    memory_limit_bytes: Bytes | None = None
    threads: Annotated[int, Field(ge=1)] | None = None

    def execution(self) -> ExecutionSettings:
        """The core's settings of the same names, with the threads applied to this process.

        The deployments have their own caches for keys and values, so the core's cache is off.
        """
        import torch

        if self.threads is not None:
            torch.set_num_threads(self.threads)
        own = self.model_dump(include={field.name for field in fields(ExecutionSettings)})
        return ExecutionSettings(**own, text_cache_bytes=0)


class DecodingSettings(Settings):
    """The processes in which a replica decodes media files; see `deployments.decoding`.

    Attributes:
        processes: how many work at a time.
        memory_bytes: what each may use beyond what it needs without a file, so it bounds a decoded clip as well.
        seconds: CPU time for a file before the time that is granted for each pixel that it turns out to hold.
        confined: refuse them the system calls that open files and connections; only where the kernel or the container
            does not allow such a filter may it be off.
    """

    processes: Annotated[int, Field(ge=1)] = 2
    memory_bytes: Annotated[int, Field(ge=256 * MEGABYTE)] = 4096 * MEGABYTE
    seconds: Annotated[float, Field(gt=0)] = 2.0
    confined: bool = True


class EncoderSettings(StageSettings):
    """The Encoder.

    Attributes:
        attention: the attention kernel of the understanding tower; see `cosmos3_core.settings`.
        key_value_bytes: budget for prompts' keys and values kept in the object store for Generators to fetch.
        embedding_bytes: budget for image embeddings kept there for the Reasoner.
    """

    attention: str = "auto"
    key_value_bytes: Bytes = 1024 * MEGABYTE
    embedding_bytes: Bytes = 256 * MEGABYTE


class ReasonerSettings(Settings):
    """The Reasoner.

    Attributes:
        vision: who embeds images and videos: our Encoder, or vLLM with a ViT of its own.
        engine: vLLM's engine arguments, passed through.
        server: the other arguments of `vllm serve`, passed through, such as `tool_call_parser` and `lora_modules`.
        environment: variables set before vLLM is imported.
    """

    vision: Literal["encoder", "engine"] = "encoder"
    engine: dict[str, Any] = Field(default_factory=dict)
    server: dict[str, Any] = Field(default_factory=dict)
    environment: dict[str, str] = Field(default_factory=dict)

    @property
    def adapters(self) -> list[str]:
        """The names under which LoRA adapters are served beside the model."""
        return [module["name"] for module in self.server.get("lora_modules", [])]


class ParallelSettings(Settings):
    """How a gang is split; see `cosmos3_core.parallel.degrees`.

    Attributes:
        tp: ranks over heads and MLP columns; splits the weights.
        cfg: 2 runs the guidance branches side by side.
        ulysses: ranks over generation tokens.
    """

    tp: Annotated[int, Field(ge=1)] = 1
    cfg: Annotated[int, Field(ge=1, le=2)] = 1
    ulysses: Annotated[int, Field(ge=1)] = 1

    @property
    def degrees(self) -> Degrees:
        """The same for the core."""
        return Degrees(self.tp, self.cfg, self.ulysses)

    @property
    def world_size(self) -> int:
        """Number of ranks."""
        return self.degrees.world_size


class PatienceSettings(Settings):
    """How long a task of each class waits for its next step, in seconds, before it goes ahead of shorter ones."""

    interactive: Annotated[float, Field(gt=0)] = 5.0
    standard: Annotated[float, Field(gt=0)] = 30.0
    batch: Annotated[float, Field(gt=0)] = 120.0


class GeneratorSettings(StageSettings):
    """A Generator: a leader and its gang of ranks.

    Attributes:
        attention, batch_guidance: see `cosmos3_core.settings`.
        parallel: how the ranks share the work; their number is the product.
        adapters: safetensors files with LoRA, or their folders, on the ranks' machines, by the names that requests use.
        default_adapters: the weights of those that a request gets when it names none.
        spread: `auto` lets every rank compute all of a small request where sharing it would be slower; `always` shares.
        leader_resources, rank_resources: of one placement group bundle each, such as `{CPU: 1, GPU: 1}`.
        placement_strategy: Serve's placement group strategy.
        key_value_bytes: budget of a rank for prompts' keys and values.
        resident_bytes: what the tasks that a rank holds may take on it; more wait outside.
        batch_tasks: requests of one geometry that may share a forward pass. Above 1 results are no longer bit-identical
            to running alone.
        patience_s: bounds on waiting.
        snapshot_interval_s: how often the state of a running task is saved.
        preview_interval_s: how often a preview is made, where the model's `previews` are on.
        step_deadline_s: a step that takes longer makes the gang unhealthy.
    """

    attention: str = "auto"
    batch_guidance: bool = True
    parallel: ParallelSettings = ParallelSettings()
    adapters: dict[AdapterName, Path] = Field(default_factory=dict)
    default_adapters: dict[AdapterName, AdapterWeight] = Field(default_factory=dict)
    spread: Literal["auto", "always"] = "auto"
    leader_resources: dict[str, float] = Field(default_factory=lambda: {"CPU": 1.0})
    rank_resources: dict[str, float] = Field(default_factory=lambda: {"CPU": 1.0, "GPU": 1.0})
    placement_strategy: Literal["PACK", "STRICT_PACK", "SPREAD", "STRICT_SPREAD"] = "STRICT_PACK"
    key_value_bytes: Bytes = 2048 * MEGABYTE
    resident_bytes: Bytes = 4096 * MEGABYTE
    batch_tasks: Annotated[int, Field(ge=1)] = 1
    patience_s: PatienceSettings = PatienceSettings()
    snapshot_interval_s: Annotated[float, Field(gt=0)] = 30.0
    preview_interval_s: Annotated[float, Field(ge=1)] = 1.0
    step_deadline_s: Annotated[float, Field(gt=0)] = 300.0

    @model_validator(mode="after")
    def _known_defaults(self) -> Self:
        unknown = sorted(self.default_adapters.keys() - self.adapters.keys())
        if unknown:
            raise ValueError(f"default_adapters names {', '.join(unknown)}, which adapters does not")
        return self

    @property
    def world_size(self) -> int:
        """Number of ranks."""
        return self.parallel.world_size

    def bundles(self) -> list[dict[str, float]]:
        """The replica's placement group: the leader first, then a bundle per rank."""
        return [dict(self.leader_resources), *(dict(self.rank_resources) for _ in range(self.world_size))]


class ActionStatisticsSettings(Settings):
    """Statistics by which predicted actions are also given in physical units.

    Attributes:
        path: JSON file with an array per statistic, as those of the framework.
        method: how the training normalised actions: quantile, quantile_rot, minmax or meanstd.
    """

    path: Path
    method: Annotated[Normalisation, BeforeValidator(find_normalisation)] = Normalisation.QUANTILE


class UpsamplingSettings(Settings):
    """How a model's Reasoner writes structured prompts for requests with `upsample_prompt`.

    Attributes:
        templates: folder with a text and a form for each mode, named as those of NVIDIA's framework; null takes the
            project's own.
        max_tokens: the most tokens of an answer; null is 20,000, or half of the Reasoner's `max_model_len` if that
            is less.
        timeout_s: how long a request waits for its prompt.
        cached_prompts: how many prompts are kept for requests that come again.
    """

    templates: Path | None = None
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    timeout_s: Annotated[float, Field(gt=0)] = 300.0
    cached_prompts: Annotated[int, Field(ge=0)] = 256


class ModelSettings(Settings):
    """One model: an application with the stages that are not null.

    Attributes:
        name: what clients send as `model`.
        checkpoint: a folder, a Hugging Face id, or `tiny:nano` and the like for a tiny one made where it is absent.
        revision: of a Hugging Face id.
        decoder: the application that decodes this model's latents.
        previews: whether running generations show previews of their results.
        action_statistics: statistics of actions by the name or the id of their embodiment, each a file or
            `{path: ..., method: ...}`; or one of these for all embodiments.
        upsampling: how its Reasoner writes structured prompts.
        decoding: how its stages decode media.
    """

    name: str
    checkpoint: str
    revision: str | None = None
    decoder: str = "decoder"
    previews: bool = False
    action_statistics: dict[str, ActionStatisticsSettings] = Field(default_factory=dict)
    encoder: EncoderSettings = EncoderSettings()
    reasoner: ReasonerSettings | None = ReasonerSettings()
    generator: GeneratorSettings | None = GeneratorSettings()
    upsampling: UpsamplingSettings = UpsamplingSettings()
    decoding: DecodingSettings = DecodingSettings()

    @field_validator("action_statistics", mode="before")
    @classmethod
    def _by_domain(cls, given: Any) -> Any:
        if isinstance(given, str) or (isinstance(given, dict) and "path" in given):
            given = {ANY_DOMAIN: given}
        if not isinstance(given, dict):
            return given
        files = {check_domain(str(name)): file for name, file in given.items()}
        return {name: {"path": file} if isinstance(file, str) else file for name, file in files.items()}

    def read_action_statistics(self) -> dict[str, ActionStatistics]:
        """The statistics of actions by embodiment.

        Raises:
            StatisticsError: a file cannot be read or used.
        """
        return {name: ActionStatistics.read(file.path, file.method) for name, file in self.action_statistics.items()}

    def find_checkpoint(self) -> Checkpoint:
        """The checkpoint's configuration; weights follow when a stage asks for them."""
        # A builder reads settings and opens no checkpoint.
        from cosmos3_core.checkpoint import Checkpoint

        return Checkpoint.find(self.checkpoint, self.revision)

    def facts(self, checkpoint: Checkpoint) -> ModelFacts:
        """What a request must know of the model: its checkpoint's facts, and its Generator's adapters."""
        if self.generator is None:
            return checkpoint.facts
        weights = self.generator.default_adapters
        defaults = tuple(AdapterUse(name=name, weight=weight) for name, weight in weights.items())
        return replace(checkpoint.facts, adapters=tuple(sorted(self.generator.adapters)), default_adapters=defaults)

    @property
    def upsampled_tokens(self) -> int:
        """The most tokens of a prompt that the Reasoner writes."""
        length = None if self.reasoner is None else self.reasoner.engine.get("max_model_len")
        longest = MAX_TOKENS if length is None else min(MAX_TOKENS, int(length) // 2)
        return self.upsampling.max_tokens or longest

    @property
    def needs_encoder(self) -> bool:
        """Whether any stage asks the Encoder for anything."""
        return self.generator is not None or (self.reasoner is not None and self.reasoner.vision == "encoder")


class DecoderSettings(StageSettings):
    """The shared Decoder: any checkpoint with the codecs to decode with.

    Attributes:
        checkpoint, revision: see `ModelSettings`.
        decoding: how it decodes soundtracks that requests carry.
    """

    checkpoint: str
    revision: str | None = None
    decoding: DecodingSettings = DecodingSettings(processes=1)


class BoundSettings(Settings):
    """The most unfinished work that is accepted; null is no limit.

    Attributes:
        max_unfinished: the number of jobs.
        max_gpu_seconds: the GPU-seconds that they are expected to take, by formulas (`cosmos3_core.planning.cost`). A
            job larger than that is accepted when nothing else is unfinished.
    """

    max_unfinished: Annotated[int, Field(ge=1)] | None = None
    max_gpu_seconds: Annotated[float, Field(gt=0)] | None = None


class KeySettings(BoundSettings):
    """An API key: its name, and either its hash or the variable that holds it; never the key itself.

    Attributes:
        name: the key's name, in logs and in the jobs that it came with.
        sha256: the key's SHA-256 in hexadecimal, as `printf %s KEY | sha256sum` prints it.
        environment: the environment variable of the Ingress process that holds the key, instead of `sha256`.
        max_unfinished, max_gpu_seconds: bounds for this key, instead of those of `each_key`.
    """

    name: Annotated[str, Field(min_length=1, max_length=64)]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None
    environment: str | None = None

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.sha256 is None) == (self.environment is None):
            raise ValueError("must have one of sha256 and environment")
        return self


class RetentionSettings(Settings):
    """How long jobs and files are kept.

    Attributes:
        finished_s: how long a completed or failed job and its file are kept; null keeps them until they are deleted.
        sweep_interval_s: seconds between two sweeps, which remove expired jobs and stray files.
        stray_after_s: age at which a file without a job is removed. It has a lower bound because a request's media are
            stored before its job, and because clocks differ.
    """

    finished_s: Annotated[float, Field(gt=0)] | None = 7 * 24 * 3600.0
    sweep_interval_s: Annotated[float, Field(gt=0)] = 60.0
    stray_after_s: Annotated[float, Field(ge=60)] = 3600.0


class WebhookSettings(Settings):
    """Webhooks, which tell clients that their jobs have ended.

    Attributes:
        secret_environment: environment variable of the Jobs processes that holds the signing secret, such as
            `whsec_...`.
        allow_private: whether addresses that are not public may be called.
        timeout_s: time limit of one call.
    """

    secret_environment: str = "COSMOS3_WEBHOOK_SECRET"
    allow_private: bool = False
    timeout_s: Annotated[float, Field(gt=0, le=60)] = 10.0

    def secret(self) -> str:
        """The signing secret.

        Raises:
            RuntimeError: the variable is not set.
        """
        secret = os.environ.get(self.secret_environment, "")
        if not secret:
            raise RuntimeError(f"webhooks need a secret; set {self.secret_environment}")
        return secret


class FetchTimeouts(Settings):
    """How long one file may take to fetch, in seconds, redirects and all; vLLM's own limits.

    Attributes:
        image, audio: where the field that names the file says that it is one.
        video: all other files.
    """

    image: Annotated[float, Field(gt=0, le=600)] = 5.0
    audio: Annotated[float, Field(gt=0, le=600)] = 10.0
    video: Annotated[float, Field(gt=0, le=600)] = 30.0


class FetchSettings(Settings):
    """Media that requests name by their address, which each Ingress replica fetches for itself.

    Attributes:
        enabled: whether http and https are fetched at all.
        hosts: the only hosts to fetch from, such as `example.com` or `*.example.com`, on any port; null is all. vLLM
            calls it `--allowed-media-domains`.
        allow_private: whether hosts that are not on the public internet may be fetched from.
        roots: folders of the Ingress' machine whose files `file://` and paths may name; vLLM calls it
            `--allowed-local-media-path`.
        proxy: URL of the proxy to fetch through, which then decides what a host's name means. The environment's
            proxies are not used.
        redirects: how many redirects of one file are followed.
        max_bytes: the most that one file may have.
        timeouts_s: how long one file may take.
        per_request: how many files of one request are fetched side by side.
        concurrent: how many files a replica fetches side by side; a request that waits too long for its turn gets 429.
        held_bytes: what all files that a replica is fetching may hold; a request beyond it gets 429.
        cache_bytes: what a replica keeps of fetched files, for requests that name the same addresses.
        cache_s: how long an address stands for the file that it led to, in seconds.
    """

    enabled: bool = True
    hosts: tuple[str, ...] | None = None
    allow_private: bool = False
    roots: tuple[Path, ...] = ()
    proxy: str | None = None
    redirects: Annotated[int, Field(ge=0, le=20)] = 10
    max_bytes: Annotated[int, Field(ge=1)] = 128 * MEGABYTE
    timeouts_s: FetchTimeouts = FetchTimeouts()
    per_request: Annotated[int, Field(ge=1)] = 4
    concurrent: Annotated[int, Field(ge=1)] = 32
    held_bytes: Annotated[int, Field(ge=1)] = 512 * MEGABYTE
    cache_bytes: Bytes = 256 * MEGABYTE
    cache_s: Annotated[float, Field(ge=0)] = 60.0

    @field_validator("hosts")
    @classmethod
    def _host_names(cls, hosts: tuple[str, ...] | None) -> tuple[str, ...] | None:
        if hosts is None:
            return None
        lowered = tuple(host.lower().removesuffix(".") for host in hosts)
        for host in lowered:
            if not _HOST.fullmatch(host):
                raise ValueError(f"has {host!r}; expected a host such as example.com or *.example.com, without a port")
        return lowered

    @field_validator("roots")
    @classmethod
    def _absolute(cls, roots: tuple[Path, ...]) -> tuple[Path, ...]:
        for root in roots:
            if not root.is_absolute():
                raise ValueError(f"has {str(root)!r}; expected an absolute path")
        return roots

    @field_validator("proxy")
    @classmethod
    def _proxy_url(cls, proxy: str | None) -> str | None:
        if proxy is not None and not proxy.startswith(("http://", "https://")):
            raise ValueError("is not an http or https URL; expected one such as http://proxy:3128")
        return proxy

    @model_validator(mode="after")
    def _one_file_fits(self) -> Self:
        if self.held_bytes < self.max_bytes:
            raise ValueError("has less held_bytes than max_bytes, so the largest file could never be fetched")
        return self


class FrontSettings(Settings):
    """Ingress and Jobs.

    Attributes:
        data: folder for the database and the media, unless `database` and `media` name other places.
        database: SQLAlchemy URL of SQLite or PostgreSQL.
        media: fsspec URL of the media folder; no other database may use it.
        single_host: states that all nodes of the cluster share one disk. Without it, a database or media folder on a
            disk is refused as soon as the cluster has a second node.
        guardrails: `off` runs requests unchecked, and every answer says so. No guardrail model can be loaded yet, so
            `on` refuses requests that ask for one.
        sync_timeout_s: how long a synchronous generation may take.
        max_running: how many jobs of each service class a Jobs replica drives at a time. These wait at the Generators,
            where short work goes first, with their keys and values in the object store. The others wait in the order
            in which they came; their API keys take turns.
        admission: bounds on all unfinished jobs together.
        each_key: bounds on the unfinished jobs of each API key; null is half of `admission`, if there are keys.
        keys: the API keys; if there are none, requests need no key.
        max_tries: how often a job is started before it fails, if processes that work on it die.
        lease_s: how long a job stays with a Jobs replica that no longer responds before another one takes it over.
        retention: how long jobs and files are kept.
        webhooks: how webhooks are called; null refuses requests that name one.
        decoding: how the Ingress decodes media to check them.
        fetch: how media are fetched that requests name by their address.
        failed_job_answer: `ok` answers 200 for a failed job, as OpenAI does; `error` answers the job's error code, as
            vLLM-Omni does.
    """

    data: Path = Path("~/.local/share/cosmos3/default")
    database: str | None = None
    media: str | None = None
    single_host: bool = False
    guardrails: Literal["on", "off"] = "on"
    sync_timeout_s: Annotated[float, Field(gt=0)] = 600.0
    max_running: Annotated[int, Field(ge=1)] = 32
    admission: BoundSettings = BoundSettings(max_unfinished=4096, max_gpu_seconds=1e6)
    each_key: BoundSettings | None = None
    keys: tuple[KeySettings, ...] = ()
    max_tries: Annotated[int, Field(ge=1)] = 3
    lease_s: Annotated[float, Field(ge=1)] = 15.0
    retention: RetentionSettings = RetentionSettings()
    webhooks: WebhookSettings | None = None
    decoding: DecodingSettings = DecodingSettings()
    fetch: FetchSettings = FetchSettings()
    failed_job_answer: Literal["ok", "error"] = "ok"

    @field_validator("keys")
    @classmethod
    def _distinct_names(cls, keys: tuple[KeySettings, ...]) -> tuple[KeySettings, ...]:
        if len({key.name for key in keys}) != len(keys):
            raise ValueError("must have a different name for each key")
        return keys

    @field_validator("guardrails", mode="before")
    @classmethod
    def _yaml_boolean(cls, value: Any) -> Any:
        # YAML 1.1 reads a bare `off` as false.
        return {True: "on", False: "off"}.get(value, value) if isinstance(value, bool) else value

    @property
    def folder(self) -> Path:
        """`data` as an absolute path."""
        return Path(os.path.abspath(self.data.expanduser()))

    @property
    def database_url(self) -> str:
        """SQLAlchemy URL of the database that keeps the jobs."""
        if self.database is not None:
            return self.database
        from sqlalchemy import URL

        return URL.create("sqlite", database=str(self.folder / "jobs.sqlite3")).render_as_string(hide_password=False)

    @property
    def media_url(self) -> str:
        """URL of the folder that keeps the media."""
        return self.media or f"file://{self.folder / 'media'}"

    @property
    def local_places(self) -> tuple[str, ...]:
        """What this machine's disk keeps, in words for a message; empty if all of it is shared."""
        found = {
            "the database is": self.database_url.startswith("sqlite"),
            "the media are": is_local(self.media_url),
        }
        return tuple(name for name, local in found.items() if local)


class ServedModel(Settings):
    """One entry of the front's `user_config`: an application that serves a model."""

    application: str


class ServedModels(Settings):
    """The front's `user_config`; a change of it restarts nothing."""

    models: tuple[ServedModel, ...] = ()
