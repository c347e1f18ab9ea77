"""Find a checkpoint, read its configuration, and fetch only the folders a stage asks for.

A checkpoint is a local folder or a Hugging Face id in the published layout (spec 1.2). Tensors are read by `weights`.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

from cosmos3_core.catalog import ALL_MODES, CATALOG, CatalogEntry, family_of, find_entry
from cosmos3_core.errors import CheckpointError
from cosmos3_core.model.config import ConfigError, TransformerConfig
from cosmos3_core.resolving.facts import ModelFacts, SchedulerFacts, SoundFacts
from cosmos3_core.tiny import IMITATED
from cosmos3_core.tiny.cache import TINY_NAMES, cached_checkpoint

DEFAULT_SOUND_STRIDES = (2, 4, 5, 6, 8)
ROOT_FILES = [
    "*.json",
    "*.jinja",
    "*.txt",
    "scheduler/*",
    "text_tokenizer/*",
    "*/config.json",
    "*/*.index.json",
]


class Checkpoint:
    """A checkpoint in the published layout.

    Attributes:
        name: the name that the caller gave.
        root: the local folder that holds its configuration.
    """

    def __init__(self, name: str, root: Path, fetch: Callable[[list[str]], Path] | None = None) -> None:
        self.name = name
        self.root = root
        self._fetch = fetch
        if not (root / "transformer" / "config.json").is_file():
            raise CheckpointError(f"{name}: no transformer/config.json in it, so not a Cosmos 3 checkpoint folder")

    @classmethod
    def find(cls, path_or_id: str | os.PathLike[str], revision: str | None = None) -> Checkpoint:
        """A local folder, or a repository on the Hugging Face hub (`HF_HOME`, `HF_TOKEN`, `HF_HUB_OFFLINE` apply).

        `tiny:nano` and the other `TINY_NAMES` are checkpoints in the user's cache folder, written where absent.
        Only configuration files are fetched here; weights follow when a stage asks for them.

        Raises:
            CheckpointError: it does not exist, is gated, or is not cached while offline.
        """
        name = os.fspath(path_or_id)
        if name in TINY_NAMES:
            return cls(name, cached_checkpoint(TINY_NAMES[name]))
        if name and Path(name).expanduser().is_dir():
            return cls(name, Path(name).expanduser())
        if name.startswith((".", "/", "~")) or name.count("/") != 1:
            raise CheckpointError(f"{name}: no such folder, and not a Hugging Face id of the form owner/name")

        # A local folder needs no hub library, which takes a quarter of a second to import.
        from cosmos3_core.hub import download

        def fetch(patterns: list[str]) -> Path:
            return download(name, revision, patterns)

        return cls(name, fetch(ROOT_FILES), fetch)

    @property
    def public_name(self) -> str:
        """Its Hugging Face id, or the name of its folder: no path of this machine."""
        named = self._fetch is not None or self.name in TINY_NAMES
        return self.name if named else self._folder_name

    @property
    def _folder_name(self) -> str:
        return os.path.basename(os.path.abspath(self.root))

    @property
    def revision(self) -> str | None:
        """The commit that was fetched from the hub, which the hub's cache names its folders after; else None."""
        return self.root.name if self._fetch else None

    def folder(self, component: str) -> Path:
        """The local folder of a component such as `vae`, downloaded first where the checkpoint is remote.

        Raises:
            CheckpointError: the checkpoint has no such component.
        """
        root = self._fetch([f"{component}/*"]) if self._fetch else self.root
        folder = root / component
        if not folder.is_dir():
            raise CheckpointError(f"{self.name}: no {component}/ folder; this checkpoint lacks that component")
        return folder

    def require(self, component: str) -> None:
        """Refuse a checkpoint without a component now, rather than when it is first used.

        Raises:
            CheckpointError: its configuration or, in a local folder, its weights are missing.
        """
        self.read_json(f"{component}/config.json")
        if self._fetch is None and not any((self.root / component).glob("*.safetensors")):
            raise CheckpointError(f"{self.name}: {component}/ holds no .safetensors file")

    def read_json(self, relative: str, required: bool = True) -> dict[str, Any]:
        """A configuration file as a dictionary; `{}` where it is absent and not required.

        Raises:
            CheckpointError: required and absent, or not a JSON object.
        """
        path = self.root / relative
        if not path.is_file():
            if required:
                raise CheckpointError(f"{self.name}: {relative} is missing")
            return {}
        try:
            value = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise CheckpointError(f"{self.name}: {relative} is not valid JSON: {error}") from error
        if not isinstance(value, dict):
            raise CheckpointError(f"{self.name}: {relative} holds no JSON object")
        return value

    @cached_property
    def transformer_config(self) -> TransformerConfig:
        """Hyper-parameters of the towers.

        Raises:
            CheckpointError: the file contradicts itself.
        """
        try:
            return TransformerConfig.from_dict(self.read_json("transformer/config.json"))
        except ConfigError as error:
            raise CheckpointError(f"{self.name}: transformer/config.json: {error}") from error

    @cached_property
    def entry(self) -> CatalogEntry | None:
        """What the catalog says of it: by its id, by what a tiny one says that it imitates, or by its folder's name."""
        if self.name in CATALOG:
            return CATALOG[self.name]
        imitated = self.read_json("model_index.json", required=False).get(IMITATED)
        return find_entry(imitated if isinstance(imitated, str) else self._folder_name)

    @cached_property
    def facts(self) -> ModelFacts:
        """What resolving a request must know about this checkpoint."""
        config, index = self.transformer_config, self.read_json("model_index.json", required=False)
        entry = self.entry
        modes = entry.modes if entry else ALL_MODES
        return ModelFacts(
            config=config,
            family=entry.family if entry else family_of(config),
            scheduler=self._scheduler(bool(index.get("use_native_flow_schedule", False))),
            sound=self._sound() if config.sound_gen else None,
            default_system_prompt=bool(index.get("default_use_system_prompt", True)),
            modes=tuple(mode for mode in modes if config.action_gen or not mode.is_action),
            numbers=entry.numbers if entry else None,
        )

    def _scheduler(self, native_flow: bool) -> SchedulerFacts:
        config = self.read_json("scheduler/scheduler_config.json", required=False)
        fixed = config.get("fixed_step_sampler_config") or {}
        if fixed and fixed.get("sample_type") != "sde":
            raise CheckpointError(f"{self.name}: fixed_step_sampler_config.sample_type is not 'sde'")
        defaults = SchedulerFacts()
        return SchedulerFacts(
            flow_shift=float(config.get("flow_shift") or defaults.flow_shift),
            karras=bool(config.get("use_karras_sigmas", False)),
            sigma_min=float(config.get("sigma_min") or defaults.sigma_min),
            sigma_max=float(config.get("sigma_max") or defaults.sigma_max),
            native_flow=native_flow,
            fixed_levels=tuple(float(x) for x in fixed["t_list"]) if fixed else None,
        )

    def _sound(self) -> SoundFacts | None:
        config = self.read_json("sound_tokenizer/config.json", required=False)
        if not config:
            return None
        hop = config.get("hop_size") or math.prod(config.get("dec_strides", DEFAULT_SOUND_STRIDES))
        return SoundFacts(sampling_rate=int(config.get("sampling_rate", 48_000)), hop=int(hop))
