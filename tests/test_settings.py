"""What a recipe's `args:` may say, and what follows from it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal

import pytest
import yaml
from pydantic import ValidationError
from sqlalchemy.engine import make_url

from cosmos3_core.action_statistics import ActionStatistics, Normalisation, StatisticsError
from cosmos3_core.adapters.use import AdapterUse
from cosmos3_core.checkpoint import Checkpoint
from deployments.settings.base import Settings, StageSettings
from deployments.settings.decoder import DecoderSettings
from deployments.settings.fetching import FetchSettings, FetchTimeouts
from deployments.settings.front import FrontSettings, ServedModel, ServedModels
from deployments.settings.generator import GeneratorSettings
from deployments.settings.guardrails import GuardrailPolicy, GuardrailsSettings
from deployments.settings.model import EncoderSettings, ModelSettings, ReasonerSettings

NEEDED: dict[type[Settings], dict[str, Any]] = {
    EncoderSettings: {},
    ReasonerSettings: {},
    GeneratorSettings: {},
    ModelSettings: {"name": "m", "checkpoint": "tiny:nano"},
    DecoderSettings: {"checkpoint": "tiny:nano"},
    FrontSettings: {},
    FetchSettings: {},
    FetchTimeouts: {},
    GuardrailPolicy: {},
    GuardrailsSettings: {"blocklist": "/list"},
    ServedModel: {"application": "nano"},
    ServedModels: {},
}


def model(**fields: Any) -> ModelSettings:
    return ModelSettings(**NEEDED[ModelSettings] | fields)


def front(text: str) -> FrontSettings:
    return FrontSettings(**yaml.safe_load(text))


@pytest.mark.parametrize("kind", NEEDED, ids=lambda kind: kind.__name__)
def test_unknown_names_are_refused(kind: type[Settings]) -> None:
    kind(**NEEDED[kind])
    with pytest.raises(ValidationError, match=r"guardrail\n.*[Ee]xtra inputs"):
        kind(**NEEDED[kind] | {"guardrail": "off"})


@pytest.mark.parametrize("kind", NEEDED, ids=lambda kind: kind.__name__)
def test_settings_do_not_change(kind: type[Settings]) -> None:
    found = kind(**NEEDED[kind])
    with pytest.raises(ValidationError, match="frozen"):
        setattr(found, next(iter(kind.model_fields)), "other")


@pytest.mark.parametrize("stage", ["encoder", "reasoner", "generator"])
def test_unknown_names_within_a_model_are_refused(stage: str) -> None:
    with pytest.raises(ValidationError, match=rf"{stage}\.dtyp\n"):
        model(**{stage: {"dtyp": "bfloat16"}})


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        (EncoderSettings, {"threads": 0}),
        (EncoderSettings, {"key_value_bytes": -1}),
        (EncoderSettings, {"memory_limit_bytes": -1}),
        (EncoderSettings, {"dtype": "int8"}),
        (EncoderSettings, {"batch_guidance": False}),
        (DecoderSettings, {"checkpoint": "c", "attention": "math"}),
        (DecoderSettings, {"checkpoint": "c", "batch_guidance": False}),
        (ReasonerSettings, {"vision": "vllm"}),
        (ReasonerSettings, {"environment": {"A": 1}}),
        (GeneratorSettings, {"step_deadline_s": 0}),
        (GeneratorSettings, {"placement_strategy": "pack"}),
        (GeneratorSettings, {"adapters": {"": "a.safetensors"}}),
        (GeneratorSettings, {"adapters": {"a": "a.safetensors"}, "default_adapters": {"b": 1}}),
        (GeneratorSettings, {"adapters": {"a": "a.safetensors"}, "default_adapters": {"a": 100}}),
        (GeneratorSettings, {"rank_resources": {"GPU": "many"}}),
        (FrontSettings, {"sync_timeout_s": 0}),
        (FrontSettings, {"max_running": 0}),
        (FrontSettings, {"lease_s": 0}),
        (FrontSettings, {"admission": {"max_unfinished": 0}}),
        (FrontSettings, {"retention": {"stray_after_s": 5}}),
        (FrontSettings, {"keys": [{"name": "alice"}]}),
        (FrontSettings, {"keys": [{"name": "a", "environment": "A"}, {"name": "a", "environment": "B"}]}),
        (FrontSettings, {"max_tries": 0}),
        (FrontSettings, {"intake": {"share": 0}}),
        (FrontSettings, {"intake": {"window_bytes": 1}}),
        (FrontSettings, {"intake": {"disk_bytes": 2**20}}),
        (FrontSettings, {"intake": {"replica_bytes": 511 * 2**20}}),
        (FrontSettings, {"fetch": {"max_bytes": 2**30}}),
        (FrontSettings, {"guardrails": "maybe"}),
        (FrontSettings, {"guardrails": None}),
        (FrontSettings, {"guardrails": 0}),
        (FrontSettings, {"guardrails": "required"}),
        (FrontSettings, {"guardrails": {"mode": "required"}}),
        (FrontSettings, {"guardrails": {"mode": "maybe", "application": "a"}}),
        (GuardrailPolicy, {"application": "a", "timeout_s": 0}),
        (GuardrailsSettings, {}),
        (ModelSettings, {"name": "m"}),
        (ModelSettings, {"checkpoint": "c"}),
        (ServedModel, {}),
    ],
)
def test_values_that_are_refused(kind: type[Settings], fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        kind(**fields)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("guardrails: off", "off"),
        ("guardrails: 'off'", "off"),
        ("guardrails: false", "off"),
        ("guardrails: on", "on"),
        ("guardrails: yes", "on"),
        ("guardrails: 'on'", "on"),
        ("max_tries: 1", "on"),
    ],
)
def test_guardrails_as_yaml_reads_them(text: str, word: Literal["on", "off"]) -> None:
    assert front(text).guardrails == GuardrailPolicy(mode=word)


@pytest.mark.parametrize(
    ("text", "mode", "asked"),
    [
        ("guardrails: {mode: on, application: checks}", "on", "checks"),
        ("guardrails: {application: checks}", "on", "checks"),
        ("guardrails: {mode: off, application: checks}", "off", None),
        ("guardrails: {mode: required, application: checks}", "required", "checks"),
    ],
)
def test_guardrails_of_an_application(text: str, mode: str, asked: str | None) -> None:
    found = front(text).guardrails
    assert (found.mode, found.asked) == (mode, asked)


def test_guardrails_are_asked_in_one_order() -> None:
    found = GuardrailsSettings(face_blur=Path("/d"), text_classifier=Path("/b"), blocklist=Path("/a"))
    assert list(found.folders) == ["blocklist", "text_classifier", "face_blur"]


def test_the_bundles_are_the_leader_and_a_rank() -> None:
    assert GeneratorSettings().bundles() == [{"CPU": 1.0}, {"CPU": 1.0, "GPU": 1.0}]
    given = GeneratorSettings(leader_resources={"CPU": 0.5}, rank_resources={"GPU": 1, "accelerator_type:H200": 0.001})
    assert given.bundles() == [{"CPU": 0.5}, {"GPU": 1.0, "accelerator_type:H200": 0.001}]
    assert len(given.bundles()) == 1 + given.world_size


def test_bundles_are_copies() -> None:
    given = GeneratorSettings()
    given.bundles()[1]["GPU"] = 8.0
    assert given.bundles()[1]["GPU"] == 1.0 == GeneratorSettings().rank_resources["GPU"]


@pytest.mark.parametrize(
    ("fields", "needs"),
    [
        ({}, True),
        ({"reasoner": None}, True),
        ({"generator": None}, True),
        ({"generator": None, "reasoner": {"vision": "engine"}}, False),
        ({"reasoner": {"vision": "engine"}}, True),
        ({"generator": None, "reasoner": None}, False),
    ],
)
def test_who_needs_an_encoder(fields: dict[str, Any], needs: bool) -> None:
    assert model(**fields).needs_encoder is needs


def test_engine_arguments_pass_through() -> None:
    given = {"max_model_len": 4096, "hf_overrides": {"a": [1, None]}}
    assert ReasonerSettings(engine=given).engine == given


@pytest.mark.parametrize(
    ("kind", "own"),
    [
        (EncoderSettings, {"attention": "math"}),
        (GeneratorSettings, {"attention": "math", "batch_guidance": False}),
        (DecoderSettings, {}),
    ],
)
def test_execution_settings_carry_everything(
    kind: type[StageSettings], own: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    set_to: list[int] = []
    monkeypatch.setattr("torch.set_num_threads", set_to.append)
    given: dict[str, Any] = {"device": "cpu", "dtype": "float32", **own}
    found = kind(**NEEDED[kind], **given, memory_limit_bytes=7).execution()
    assert {name: getattr(found, name) for name in given} == given
    assert (found.memory_limit_bytes, found.text_cache_bytes, set_to) == (7, 0, [])
    kind(**NEEDED[kind], threads=3).execution()
    assert set_to == [3]


def test_a_stage_leaves_what_it_has_no_setting_for_to_the_core() -> None:
    execution = DecoderSettings(checkpoint="tiny:nano", device="cpu").execution()
    assert (execution.attention, execution.batch_guidance) == ("auto", True)


def test_the_default_places() -> None:
    home = os.path.expanduser("~")
    found = FrontSettings()
    assert found.folder == Path(home, ".local/share/cosmos3/default")
    assert found.database_url == f"sqlite:///{home}/.local/share/cosmos3/default/jobs.sqlite3"
    assert found.media_url == f"file://{home}/.local/share/cosmos3/default/media"


def test_a_tilde_is_the_home_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    assert front("data: ~/here").folder == Path("/home/somebody/here")
    # YAML reads a bare tilde as null.
    assert front("data: '~'").folder == Path("/home/somebody")


@pytest.mark.parametrize("data", ["here", "./here", "x/../here"])
def test_a_relative_folder_is_below_this_one(data: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = FrontSettings(data=Path(data))
    assert found.folder == Path(os.getcwd(), "here")
    assert make_url(found.database_url).database == f"{os.getcwd()}/here/jobs.sqlite3"


@pytest.mark.parametrize("name", ["a b", "é", "100%", "a#b", "a&b"])
def test_folders_of_any_name(name: str, tmp_path: Path) -> None:
    found = FrontSettings(data=tmp_path / name)
    assert make_url(found.database_url).database == str(tmp_path / name / "jobs.sqlite3")


def test_a_folder_with_a_question_mark(tmp_path: Path) -> None:
    found = FrontSettings(data=tmp_path / "a?b")
    assert make_url(found.database_url).database == str(tmp_path / "a?b" / "jobs.sqlite3")


def test_named_places_win_over_the_folder() -> None:
    found = FrontSettings(data=Path("/data"), database="postgresql://h/jobs", media="s3://bucket/media")
    assert (found.database_url, found.media_url) == ("postgresql://h/jobs", "s3://bucket/media")


@pytest.mark.parametrize(
    ("database", "media", "places"),
    [
        (None, None, ("the database is", "the media are")),
        ("postgresql://h/jobs", None, ("the media are",)),
        (None, "s3://bucket/media", ("the database is",)),
        ("postgresql://h/jobs", "s3://bucket/media", ()),
        ("sqlite:////srv/jobs.sqlite3", "file:///srv/media", ("the database is", "the media are")),
        ("sqlite+pysqlite:////srv/jobs.sqlite3", "gs://bucket/media", ("the database is",)),
    ],
)
def test_what_is_on_this_machines_disk(database: str | None, media: str | None, places: tuple[str, ...]) -> None:
    assert FrontSettings(database=database, media=media).local_places == places


@pytest.mark.parametrize("media", ["/srv/media", "local:///srv/media"])
def test_media_in_a_folder_without_the_scheme_are_on_disk(media: str) -> None:
    assert FrontSettings(database="postgresql://h/jobs", media=media).local_places == ("the media are",)


def test_user_config() -> None:
    found = ServedModels(**yaml.safe_load("models: [{application: nano}, {application: edge}]"))
    assert [served.application for served in found.models] == ["nano", "edge"]
    with pytest.raises(ValidationError):
        ServedModels(**yaml.safe_load("models: [{application: nano, decoder: d}]"))


@pytest.mark.parametrize(
    ("given", "files"),
    [
        ({}, {}),
        ("/a.json", {"*": ("/a.json", "quantile")}),
        ({"path": "/a.json", "method": "minmax"}, {"*": ("/a.json", "minmax")}),
        ({"UMI": "/a.json", 8: "/b.json"}, {"umi": ("/a.json", "quantile"), "8": ("/b.json", "quantile")}),
        ({"libero": {"path": "/a.json", "method": "quantile_rot"}}, {"libero": ("/a.json", "quantile_rot")}),
    ],
)
def test_statistics_of_actions_are_named_for_all_embodiments_or_for_each(
    given: Any, files: dict[str, tuple[str, str]]
) -> None:
    found = model(action_statistics=given).action_statistics
    assert {name: (str(file.path), file.method.value) for name, file in found.items()} == files


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"marvin": "/a.json"}, "domain 'marvin' is not known"),
        ({"umi": {"path": "/a.json", "method": "asinh"}}, "method 'asinh' of action statistics is not known"),
        ({"umi": {"method": "quantile"}}, "path"),
        ({"umi": 3}, "action_statistics.umi"),
        (["/a.json"], "action_statistics"),
    ],
)
def test_statistics_of_actions_that_cannot_be_used_are_refused(given: Any, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        model(action_statistics=given)


def test_files_of_statistics_are_read_by_embodiment(tmp_path: Path) -> None:
    (path := tmp_path / "umi.json").write_text('{"min": [0.0, 1.0], "max": [2.0, 5.0]}')
    found = model(action_statistics={"umi": {"path": str(path), "method": "minmax"}}).read_action_statistics()
    assert found == {"umi": ActionStatistics(Normalisation.MINMAX, offset=(1.0, 3.0), scale=(1.0, 2.0))}
    with pytest.raises(StatisticsError, match=r"none\.json: cannot be read"):
        model(action_statistics=str(tmp_path / "none.json")).read_action_statistics()


def test_the_facts_of_a_model_name_its_adapters(nano: Path) -> None:
    recipe = "{adapters: {style: /loras/style, look: /loras/look.safetensors}, default_adapters: {style: 0.5}}"
    checkpoint = Checkpoint.find(nano)
    facts = model(generator=yaml.safe_load(recipe)).facts(checkpoint)
    assert facts.adapters == ("look", "style")
    assert facts.default_adapters == (AdapterUse(name="style", weight=0.5),)
    assert model().facts(checkpoint) == model(generator=None).facts(checkpoint) == checkpoint.facts


@pytest.mark.parametrize(
    ("engine", "given", "tokens"),
    [
        ({}, None, 20_000),
        ({"max_model_len": 65_536}, None, 20_000),
        ({"max_model_len": 4096}, None, 2048),
        ({"max_model_len": 4096}, 3000, 3000),
    ],
)
def test_a_prompt_has_room_beside_its_question(engine: dict[str, Any], given: int | None, tokens: int) -> None:
    settings = model(reasoner={"engine": engine}, upsampling={"max_tokens": given})
    assert settings.upsampled_tokens == tokens


@pytest.mark.parametrize("wrong", [{"max_tokens": 0}, {"timeout_s": 0}, {"cached_prompts": -1}, {"template": "x"}])
def test_upsampling_that_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="upsampling"):
        model(upsampling=wrong)
