"""The settings of guardrails: which are loaded, and when the front has them asked."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from deployments.settings.base import Settings, StageSettings


class GuardrailPolicy(Settings):
    """What the front has checked; in a recipe `guardrails: off` stands for `guardrails: {mode: off}`.

    Attributes:
        mode: `off` checks nothing, and every answer says so; with `on` a request may send `guardrails: false`; with
            `required` such a request is refused.
        application: the application whose guardrails are asked. Without one, `on` refuses requests that do not send
            `guardrails: false`.
        timeout_s: how long a request waits for the verdict on its texts.
    """

    mode: Literal["on", "off", "required"] = "on"
    application: str | None = None
    timeout_s: Annotated[float, Field(gt=0)] = 60.0

    @model_validator(mode="before")
    @classmethod
    def _of_a_word(cls, given: Any) -> Any:
        return {"mode": given} if isinstance(given, (str, bool)) else given

    @field_validator("mode", mode="before")
    @classmethod
    def _yaml_boolean(cls, value: Any) -> Any:
        # YAML 1.1 reads a bare `off` as false.
        return ("on" if value else "off") if isinstance(value, bool) else value

    @model_validator(mode="after")
    def _someone_to_ask(self) -> Self:
        if self.mode == "required" and self.application is None:
            raise ValueError("must name the application of the guardrails, because mode is required")
        return self

    @property
    def asked(self) -> str | None:
        """The application whose guardrails are asked; None if none is."""
        return None if self.mode == "off" else self.application


class GuardrailsSettings(StageSettings):
    """The application of the guardrails: a folder for each that is to be loaded.

    Attributes:
        blocklist: a text file with an entry in each line, a folder of such files, or NVIDIA's `blocklist`.
        text_classifier: a model such as Qwen3Guard-Gen.
        frames_classifier: NVIDIA's `video_content_safety_filter`, or another encoder with a head.
        face_blur: NVIDIA's `face_blur_filter`.
    """

    blocklist: Path | None = None
    text_classifier: Path | None = None
    frames_classifier: Path | None = None
    face_blur: Path | None = None

    @model_validator(mode="after")
    def _any(self) -> Self:
        if not self.folders:
            raise ValueError("must name a folder of blocklist, text_classifier, frames_classifier or face_blur")
        return self

    @property
    def folders(self) -> dict[str, Path]:
        """The folders by the guardrails' names, in the order in which they are asked."""
        named = {
            "blocklist": self.blocklist,
            "text_classifier": self.text_classifier,
            "frames_classifier": self.frames_classifier,
            "face_blur": self.face_blur,
        }
        return {name: folder for name, folder in named.items() if folder is not None}
