"""LangChain's client for OpenAI, unmodified: answers, streams, structured output and tools, as people bring them."""

from __future__ import annotations

import base64
from typing import Literal

import pytest
from langchain_core.messages import AIMessageChunk, HumanMessage
from langchain_openai import ChatOpenAI
from pydantic import BaseModel, SecretStr

from deployments.local.launch import RunningGraph
from tests.surface.inputs import jpeg


class Found(BaseModel):
    """What a picture shows."""

    name: Literal["cup", "robot"]
    red: bool


@pytest.fixture
def chat(graph: RunningGraph) -> ChatOpenAI:
    key = SecretStr("EMPTY")
    return ChatOpenAI(
        model="cosmos3-tiny",
        base_url=f"{graph.url}/v1",
        api_key=key,
        temperature=0,
        max_retries=0,
        max_completion_tokens=8,
    )


def test_an_answer_and_its_usage(chat: ChatOpenAI) -> None:
    answer = chat.invoke("What is a robot?")
    assert answer.content and answer.usage_metadata is not None and answer.usage_metadata["output_tokens"] == 8


def test_a_stream_is_the_answer_in_pieces(chat: ChatOpenAI) -> None:
    chunks = list(chat.stream("What is a robot?"))
    assert len(chunks) > 3 and all(isinstance(chunk, AIMessageChunk) for chunk in chunks)
    assert "".join(str(chunk.content) for chunk in chunks) == chat.invoke("What is a robot?").content


def test_an_image_in_langchains_form(chat: ChatOpenAI) -> None:
    _, picture, _ = jpeg("cup", 96, 64)
    url = f"data:image/jpeg;base64,{base64.b64encode(picture).decode()}"
    message = HumanMessage([{"type": "text", "text": "What is it?"}, {"type": "image_url", "image_url": {"url": url}}])
    assert chat.invoke([message]).content


def test_structured_output(graph: RunningGraph) -> None:
    """Constrained decoding makes random weights obey."""
    url, key = f"{graph.url}/v1", SecretStr("EMPTY")
    chat = ChatOpenAI(model="cosmos3-tiny", base_url=url, api_key=key, seed=1, max_retries=0, max_completion_tokens=400)
    found = chat.with_structured_output(Found, method="json_schema").invoke("Is the cup red?")
    assert isinstance(found, Found)
