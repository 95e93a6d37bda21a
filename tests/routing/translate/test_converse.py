"""Chat on Bedrock's Converse: what goes there, what is refused, and frames that break."""

import json
from typing import Any

import pytest

from routing.request.invalid import Invalid
from routing.translate import Target, upstream_pair
from tests.routing.cuts import pieces
from tests.routing.translate import streams
from tests.routing.translate.test_requests import HI, PDF, PNG, SCHEMA, TOOL, called, upward, user
from tests.routing.wire.frames import exception, frame

NOVA = Target("bedrock", "amazon.nova-2-lite-v1:0", 64_000)
CLAUDE = Target("bedrock", "anthropic.claude-sonnet-4-6-v1:0", 64_000)
TEXT = [
    frame("messageStart", {"role": "assistant"}),
    frame("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": "hi"}, "p": "abc"}),
    frame("contentBlockStop", {"contentBlockIndex": 0}),
]
STOP = frame("messageStop", {"stopReason": "end_turn"})
USAGE = {"inputTokens": 5, "outputTokens": 7, "cacheReadInputTokens": 2, "cacheWriteInputTokens": 4}


def to_converse(target: Target = NOVA, **body: Any) -> dict[str, Any]:
    sent: dict[str, Any] = json.loads(upward("converse", body, target).body)
    return sent


def test_conversation_in_converse() -> None:
    """Roles alternate, ids and names are acceptable, cache marks are points of their own."""
    mark = {"type": "ephemeral", "ttl": "1h"}
    history = [
        {"role": "system", "content": [{"type": "text", "text": "be", "cache_control": mark}]},
        {"role": "user", "content": [
            {"type": "image_url", "image_url": {"url": PNG}},
            {"type": "file", "file": {"file_data": PDF, "filename": "a/b_c.pdf"}},
        ]},
        {"role": "assistant", "tool_calls": [called("a b"), called("c")]},
        {"role": "tool", "tool_call_id": "a b", "content": "1", "is_error": True},
        {"role": "tool", "tool_call_id": "c", "content": "2"},
        *HI,
    ]  # fmt: skip
    body = to_converse(messages=history, tools=[TOOL], tool_choice="required", max_tokens=9, stop="x")
    assert body["system"] == [{"text": "be"}, {"cachePoint": {"type": "default", "ttl": "1h"}}]
    assert [message["role"] for message in body["messages"]] == ["user", "assistant", "user"]
    image, document = body["messages"][0]["content"]
    assert image == {"image": {"format": "png", "source": {"bytes": "iVBORw0KGgo="}}}
    assert (document["document"]["format"], document["document"]["name"]) == ("pdf", "a b c pdf 1")
    first, second, text = body["messages"][2]["content"]
    assert first["toolResult"]["toolUseId"] == body["messages"][1]["content"][0]["toolUse"]["toolUseId"] != "a b"
    assert (first["toolResult"]["status"], second["toolResult"]["content"], text) == ("error", [{"text": "2"}], {"text": "hi"})
    assert body["toolConfig"] == {
        "tools": [{"toolSpec": {"name": "look", "inputSchema": {"json": SCHEMA}}}],
        "toolChoice": {"any": {}},
    }
    assert body["inferenceConfig"] == {"maxTokens": 9, "stopSequences": ["x"]}


def test_members_of_claude_are_its_own() -> None:
    """Thinking and top_k go through beside; others are told what they cannot have."""
    body = to_converse(CLAUDE, top_k=4, reasoning_effort="low")
    assert body["additionalModelRequestFields"] == {
        "top_k": 4,
        "thinking": {"type": "adaptive", "display": "summarized"},
        "output_config": {"effort": "low"},
    }
    assert upward("converse", {"reasoning_effort": "low"}, NOVA).ignored == ("reasoning_effort",)


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"n": 2}, "n"),
        ({"top_k": 4}, "top_k"),
        ({"temperature": 1.2}, "temperature"),
        ({"response_format": {"type": "json_object"}}, "response_format"),
        ({"messages": [*HI, {"role": "assistant", "tool_calls": [called()]}]}, "tools"),  # report 19
        (
            {"messages": [*HI, {"role": "assistant", "tool_calls": [called()]}], "tools": [TOOL], "tool_choice": "none"},
            "tool_choice",
        ),
        (user({"type": "image_url", "image_url": {"url": "https://x.test/a.png"}}), "messages[0].content[0]"),
        (user({"type": "input_audio", "input_audio": {"data": "AA==", "format": "mp3"}}), "messages[0].content[0]"),
    ],
)
def test_demand_that_converse_cannot_meet(body: dict[str, Any], param: str) -> None:
    """Refused, with its path."""
    with pytest.raises(Invalid) as caught:
        upward("converse", body, NOVA)
    assert caught.value.param == param


def test_tools_that_may_not_be_called_are_left_out() -> None:
    """There is no way to say "none"."""
    assert "toolConfig" not in to_converse(tools=[TOOL], tool_choice="none")


def test_empty_result_of_a_tool_is_refused() -> None:
    """Report 19: a blank text is an error there."""
    history = [*HI, {"role": "assistant", "tool_calls": [called()]}, {"role": "tool", "tool_call_id": "call_1", "content": ""}]
    with pytest.raises(Invalid) as caught:
        upward("converse", {"messages": history, "tools": [TOOL]}, NOVA)
    assert caught.value.param == "messages[2].content"


@pytest.mark.parametrize("is_first", [False, True])
def test_usage_before_or_behind_the_stop(is_first: bool) -> None:
    """The answer ends when both are there; the cache is counted beside the input."""
    usage = frame(
        "metadata", {"usage": {**USAGE, "cacheDetails": [{"ttl": "1h", "inputTokens": 3}]}, "serviceTier": {"type": "flex"}}
    )
    wire = b"".join([*TEXT, *((usage, STOP) if is_first else (STOP, usage))])
    chain = streams.chain("converse", "chat")
    said = streams.chat_message(streams.run(chain, wire))
    assert (said["content"], said["finish"]) == ("hi", "stop")
    assert said["usage"]["prompt_tokens"] == 11
    assert said["usage"]["prompt_tokens_details"]["cache_write_tokens_details"]["ephemeral_1h_input_tokens"] == 3
    assert chain.meter.tier == "flex"


def test_end_without_usage_is_counted() -> None:
    """A body that ends behind the stop is an answer; one that ends before is not."""
    chain = streams.chain("converse", "chat")
    assert streams.chat_message(streams.run(chain, b"".join([*TEXT, STOP])))["usage"]["completion_tokens"] == 1
    cut = streams.chain("converse", "chat")
    assert b"[DONE]" not in streams.run(cut, b"".join(TEXT))
    assert not cut.is_complete


@pytest.mark.parametrize("size", [1, 5, 64, 10_000])
def test_broken_frame_is_an_error(size: int) -> None:
    """In the checksum of the lengths or of the whole: what came before goes out, the error ends it, wherever it was cut."""
    for at in (9, -2):
        broken = bytearray(TEXT[1])
        broken[at] ^= 1
        chain = streams.chain("converse", "chat")
        sent = b"".join([chain.feed(part) for part in pieces(TEXT[1] + bytes(broken) + TEXT[1], size)]) + chain.finish()
        assert streams.chat_message(sent)["content"] == "hi"
        assert b"checksum" in chain.error


def test_exception_in_a_stream() -> None:
    """A frame of its own kind."""
    chain = streams.chain("converse", "chat")
    streams.run(chain, TEXT[1] + exception("throttlingException", {"message": "slow down"}))
    assert json.loads(chain.error) == {"type": "throttlingException", "message": "slow down"}


def test_whole_answer_of_converse() -> None:
    """The same as its stream."""
    content = [
        {"reasoningContent": {"reasoningText": {"text": "hm", "signature": "S"}}},
        {"text": "so"},
        {"toolUse": {"toolUseId": "t", "name": "look", "input": {"x": 1.50}}},
    ]
    body = json.dumps(
        {"output": {"message": {"role": "assistant", "content": content}}, "stopReason": "tool_use", "usage": USAGE}
    )
    pair = upstream_pair("converse")
    assert pair is not None
    answer = json.loads(pair.whole(body.encode(), streams.CONTEXT))
    message = answer["choices"][0]["message"]
    assert (message["content"], message["reasoning"]) == ("so", "hm")
    assert message["tool_calls"][0]["function"] == {"name": "look", "arguments": '{"x": 1.5}'}
    assert [detail.get("signature") for detail in message["reasoning_details"]] == [None, "S"]
    assert answer["choices"][0]["finish_reason"] == "tool_calls"
    assert pair.whole(b'{"message":"no"}', streams.CONTEXT) == b'{"message":"no"}'
