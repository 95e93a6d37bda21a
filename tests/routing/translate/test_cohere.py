"""Chat on Cohere's own API: what goes there, what is refused, and the accents of its answers."""

import json
from typing import Any

import pytest

from routing.request.invalid import Invalid
from routing.translate import Target, upstream_pair
from tests.routing.translate import streams
from tests.routing.translate.test_requests import PNG, SCHEMA, TOOL, called, upward, user

TARGET = Target("cohere", "command-a-03-2025", 8_000)
USAGE = {"billed_units": {"input_tokens": 7.0, "output_tokens": 3}}
END = {"type": "message-end", "delta": {"finish_reason": "TOOL_CALL", "usage": USAGE}}


def to_cohere(**body: Any) -> dict[str, Any]:
    sent: dict[str, Any] = json.loads(upward("cohere", body, TARGET).body)
    return sent


def chat_of(*events: dict[str, Any]) -> dict[str, Any]:
    wire = streams.framed("cohere", [json.dumps(event, separators=(",", ":")).encode() for event in events])
    return streams.chat_message(streams.run(streams.chain("cohere", "chat"), wire))


def test_request_to_cohere() -> None:
    """A thought before calls is the tool plan; names of parameters are its own."""
    history = [
        {"role": "developer", "content": "be"},
        {"role": "user", "content": [{"type": "text", "text": "hi"}, {"type": "image_url", "image_url": {"url": PNG}}]},
        {"role": "assistant", "content": None, "reasoning": "I will look", "tool_calls": [called("c", '{"x": 1}')]},
        {"role": "tool", "tool_call_id": "c", "content": "k"},
    ]
    form = {"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA}}
    sent = upward("cohere", {
        "messages": history, "tools": [TOOL], "tool_choice": "required", "top_p": 0.5, "top_k": 3, "stop": "x", "max_tokens": 100,
        "response_format": form, "reasoning_effort": "medium",
    }, TARGET)  # fmt: skip
    body = json.loads(sent.body)
    assert sent.ignored == ()
    assert body["messages"][0] == {"role": "system", "content": "be"}
    assert body["messages"][2] == {
        "role": "assistant",
        "tool_calls": [{"id": "c", "type": "function", "function": {"name": "look", "arguments": '{"x": 1}'}}],
        "tool_plan": "I will look",
    }
    assert body["messages"][3] == {"role": "tool", "tool_call_id": "c", "content": "k"}
    assert (body["p"], body["k"], body["stop_sequences"], body["max_tokens"]) == (0.5, 3, ["x"], 100)
    assert (body["tool_choice"], body["thinking"]) == ("REQUIRED", {"type": "enabled", "token_budget": 50})
    assert body["response_format"] == {"type": "json_object", "json_schema": SCHEMA}


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"n": 2}, "n"),
        ({"logprobs": True}, "logprobs"),
        ({"service_tier": "priority"}, "service_tier"),
        ({"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "look"}}}, "tool_choice"),
        (user({"type": "input_audio", "input_audio": {"data": "AA==", "format": "mp3"}}), "messages[0].content[0]"),
    ],
)
def test_demand_that_cohere_cannot_meet(body: dict[str, Any], param: str) -> None:
    """Refused, with its path."""
    with pytest.raises(Invalid) as caught:
        upward("cohere", body, TARGET)
    assert caught.value.param == param


@pytest.mark.parametrize("arguments", [None, "", "{}"])
def test_call_without_arguments(arguments: Any) -> None:
    """Null and empty occur; they are an empty object. What is billed is what counts."""
    call = {"id": "c", "type": "function", "function": {"name": "look", "arguments": arguments}}
    said = chat_of(
        {"type": "tool-plan-delta", "delta": {"message": {"tool_plan": "I will"}}},
        {"type": "tool-call-start", "index": 0, "delta": {"message": {"tool_calls": call}}},
        {"type": "tool-call-end", "index": 0},
        END,
    )
    assert said["calls"] == {0: {"id": "c", "name": "look", "arguments": "{}"}}
    assert (said["finish"], said["reasoning"]) == ("tool_calls", "I will")
    assert (said["usage"]["prompt_tokens"], said["usage"]["completion_tokens"]) == (7, 3)


def test_whole_answer_of_cohere() -> None:
    """The same as its stream."""
    content = [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "so"}]
    body = {"id": "x", "finish_reason": "COMPLETE", "message": {"role": "assistant", "content": content}, "usage": USAGE}
    pair = upstream_pair("cohere")
    assert pair is not None
    answer = json.loads(pair.whole(json.dumps(body).encode(), streams.CONTEXT))
    message = answer["choices"][0]["message"]
    assert (message["content"], message["reasoning"], answer["choices"][0]["finish_reason"]) == ("so", "hm", "stop")
