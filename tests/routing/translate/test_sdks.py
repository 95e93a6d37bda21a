"""The official SDKs read every translated stream: their own types take each event, their own accumulators make the answer."""

from typing import Any

import pytest
from anthropic._models import construct_type
from anthropic.lib.streaming._messages import accumulate_event
from anthropic.types import Message, RawMessageStreamEvent
from openai import ContentFilterFinishReasonError, omit
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.lib.streaming.responses._responses import ResponseStreamState
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from routing.failures.failure import AttemptFailed
from routing.translate import UPSTREAM
from tests.routing.translate import streams

_MESSAGE_EVENT: TypeAdapter[Any] = TypeAdapter(RawMessageStreamEvent)
_RESPONSE_EVENT: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)


ENDS_IN_ERROR = ("responses-openai-error.1", "responses-openai-custom-tool.1")
"""A provider's error, and a tool that a Chat request cannot have asked for."""


def of(kind: str, *without: str) -> list[str]:
    formats = [format for format in ("chat", *UPSTREAM) if format not in without]
    return [name for name in streams.names(kind, *formats) if name not in ENDS_IN_ERROR]


@pytest.mark.parametrize("name", ENDS_IN_ERROR)
def test_stream_that_ends_in_an_error(name: str) -> None:
    """For the relay to tell; nothing of it goes out as an answer."""
    for caller in ("chat", "messages"):
        chain = streams.chain("responses", caller)
        assert b"[DONE]" not in streams.run(chain, streams.wire(name))
        assert chain.error
        assert not chain.has_begun


@pytest.mark.parametrize("name", of("chunks.txt"))
def test_anthropic_reads_a_translated_stream(name: str) -> None:
    """Each event is of its type, and what the SDK's accumulator makes of them is what was said."""
    events = streams.events(streams.translated(name, "messages"))
    snapshot: Any = None
    json_bufs: dict[int, bytes] = {}
    for event in events:
        _MESSAGE_EVENT.validate_python(event)
        built: Any = construct_type(type_=RawMessageStreamEvent, value=event)
        snapshot = accumulate_event(event=built, current_snapshot=snapshot, json_bufs=json_bufs)
    said = streams.message_of(events)
    assert [block.type for block in snapshot.content] == [block["type"] for block in said["blocks"]]
    assert snapshot.stop_reason == said["stop"]
    assert snapshot.usage.output_tokens == said["usage"]["output_tokens"]


@pytest.mark.parametrize("name", of("chunks.txt", "chat"))
def test_openai_reads_a_translated_stream(name: str) -> None:
    """As Chat: every chunk is of its type, and the accumulator makes the answer of them."""
    sent = streams.translated(name, "chat")
    state = ChatCompletionStreamState()
    for event in streams.events(sent):
        state.handle_chunk(ChatCompletionChunk.model_validate(event))
    try:
        answer = state.get_final_completion()
    except ContentFilterFinishReasonError:
        assert name.endswith("refusal")
        return
    said = streams.chat_message(sent)
    assert (answer.choices[0].message.content or "") == said["content"]
    calls = answer.choices[0].message.tool_calls or []
    assert [call.function.arguments for call in calls] == [call["arguments"] for call in said["calls"].values()]


@pytest.mark.parametrize("name", of("chunks.txt", "responses"))
def test_openai_reads_a_stream_of_responses(name: str) -> None:
    """Every event is of its type, sequence numbers have no gap, and the accumulator makes the response of the end."""
    events = streams.events(streams.translated(name, "responses"))
    state: ResponseStreamState[Any] = ResponseStreamState(input_tools=omit, text_format=omit)
    for number, event in enumerate(events):
        assert event["sequence_number"] == number
        state.handle_event(_RESPONSE_EVENT.validate_python(event))
    last = events[-1]["response"]
    said = streams.chat_message(streams.translated(name, "chat") if streams.format_of(name) != "chat" else streams.wire(name))
    items = last["output"]
    parts = [part for item in items if item["type"] == "message" for part in item["content"]]
    assert "".join(part["text"] for part in parts if part["type"] == "output_text") == said["content"]
    calls = [(item["name"], item["arguments"]) for item in items if item["type"] == "function_call"]
    assert calls == [(call["name"], call["arguments"]) for call in said["calls"].values()]
    thoughts = [part["text"] for item in items if item["type"] == "reasoning" for part in item["content"]]
    assert "".join(thoughts) == said["reasoning"]
    assert last["usage"]["output_tokens_details"]["reasoning_tokens"] >= 0
    assert last["usage"]["cost"] > 0


@pytest.mark.parametrize("name", of("json", "responses"))
def test_openai_reads_a_whole_response(name: str) -> None:
    """The whole answer is of the SDK's type."""
    try:
        Response.model_validate_json(streams.whole(name, "responses"))
    except AttemptFailed:
        assert "error" in streams.answer(name).decode()


@pytest.mark.parametrize("name", of("json"))
def test_anthropic_reads_a_translated_answer(name: str) -> None:
    """The whole answer is of the SDK's type."""
    try:
        Message.model_validate_json(streams.whole(name, "messages"))
    except AttemptFailed:
        assert "error" in streams.answer(name).decode()


@pytest.mark.parametrize("name", of("json", "chat"))
def test_openai_reads_a_translated_answer(name: str) -> None:
    """The whole answer is of the SDK's type."""
    try:
        ChatCompletion.model_validate_json(streams.whole(name, "chat"))
    except AttemptFailed:
        assert "error" in streams.answer(name).decode()
