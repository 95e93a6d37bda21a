"""Chat on Gemini: what goes there, what is refused, and the traps of its answers."""

import json
from typing import Any

import pytest

from routing.request.invalid import Invalid
from routing.translate import HUB, Context, Target, downstream_pair, upstream_pair
from tests.routing.translate import streams
from tests.routing.translate.test_requests import HI, PDF, PNG, SCHEMA, TOOL, called, upward, user

NEW = Target("google", "gemini-3.8-flash", 64_000)
OLD = Target("google", "gemini-2.5-pro", 64_000)
GEMINI = "google-gemini-v1"


def to_gemini(target: Target = NEW, **body: Any) -> dict[str, Any]:
    sent: dict[str, Any] = json.loads(upward("gemini", body, target).body)
    return sent


def event(*parts: Any, finish: str | None = None, **more: Any) -> bytes:
    candidate: dict[str, Any] = {"content": {"role": "model", "parts": list(parts)}, "index": 0}
    if finish:
        candidate["finishReason"] = finish
    return json.dumps({"candidates": [candidate], **more}).encode()


def chat_of(*events: bytes) -> dict[str, Any]:
    wire = streams.framed("gemini", list(events))
    return streams.chat_message(streams.run(streams.chain("gemini", "chat"), wire))


def test_conversation_in_contents() -> None:
    """System prompt apart, media inline, results of one turn in one content and in the order of the calls."""
    history = [
        {"role": "system", "content": "be"},
        {"role": "user", "content": [{"type": "text", "text": "hi"}, {"type": "image_url", "image_url": {"url": PNG}}]},
        {"role": "assistant", "content": "so", "tool_calls": [called("a"), called("b", '{"x": 1.50}')]},
        {"role": "tool", "tool_call_id": "b", "content": '{"y": 2}'},
        {"role": "tool", "tool_call_id": "a", "content": "k"},
        {"role": "user", "content": [{"type": "file", "file": {"file_data": PDF}}]},
    ]
    body = to_gemini(messages=history, max_tokens=9, stop="x", temperature=2, top_k=3)
    assert body["systemInstruction"] == {"parts": [{"text": "be"}]}
    assert [content["role"] for content in body["contents"]] == ["user", "model", "user", "user"]
    assert body["contents"][0]["parts"][1] == {"inlineData": {"mimeType": "image/png", "data": "iVBORw0KGgo="}}
    assert body["contents"][1]["parts"][1:] == [
        {"functionCall": {"name": "look", "args": {}}, "thoughtSignature": "skip_thought_signature_validator"},
        {"functionCall": {"name": "look", "args": {"x": 1.5}}},
    ]
    assert [part["functionResponse"]["response"] for part in body["contents"][2]["parts"]] == [{"output": "k"}, {"y": 2}]
    assert body["generationConfig"] == {"temperature": 2, "topK": 3, "maxOutputTokens": 9, "stopSequences": ["x"]}


def test_schemas_go_as_they_came() -> None:
    """Report 13: `const`, `$ref` and `oneOf` have no place in Google's own schema."""
    form = {"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA}}
    body = to_gemini(tools=[TOOL, {"type": "function", "function": {"name": "now", "parameters": {}}}], response_format=form)
    assert body["tools"][0]["functionDeclarations"] == [{"name": "look", "parametersJsonSchema": SCHEMA}, {"name": "now"}]
    assert body["generationConfig"]["responseJsonSchema"] == SCHEMA
    assert body["generationConfig"]["responseMimeType"] == "application/json"
    assert to_gemini(response_format={"type": "json_object"})["generationConfig"]["responseMimeType"] == "application/json"


@pytest.mark.parametrize(
    ("target", "body", "known"),
    [
        (NEW, {"reasoning_effort": "high"}, {"thinkingLevel": "HIGH", "includeThoughts": True}),
        (NEW, {"reasoning": {"max_tokens": 1_000, "exclude": True}}, {"thinkingLevel": "LOW", "includeThoughts": False}),
        (OLD, {"reasoning": {"effort": "medium"}, "max_tokens": 1_000}, {"thinkingBudget": 500, "includeThoughts": True}),
        (Target("google", "gemini-2.5-flash"), {"reasoning_effort": "none"}, {"thinkingBudget": 0}),
        (NEW, {}, None),
    ],
)
def test_effort_becomes_what_the_model_knows(target: Target, body: dict[str, Any], known: Any) -> None:
    """A level for the new, a budget for the old."""
    assert to_gemini(target, **body).get("generationConfig", {}).get("thinkingConfig") == known


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"logit_bias": {"1": 2}}, "logit_bias"),
        ({"logprobs": True}, "logprobs"),
        ({"reasoning_effort": "none"}, "reasoning_effort"),
        ({"modalities": ["text", "audio"]}, "modalities"),
        ({"service_tier": "scale"}, "service_tier"),
        ({"unknown": 1}, "unknown"),
        (user({"type": "image_url", "image_url": {"url": "https://x.test/a"}}), "messages[0].content[0]"),
        (user({"type": "file", "file": {"file_id": "f"}}), "messages[0].content[0].file.file_id"),
    ],
)
def test_demand_that_gemini_cannot_meet(body: dict[str, Any], param: str) -> None:
    """Refused, with its path."""
    with pytest.raises(Invalid) as caught:
        upward("gemini", body, NEW)
    assert caught.value.param == param


def test_url_with_a_known_ending_is_told() -> None:
    """The kind must be said; a provider that fetches nothing gets none."""
    part = {"type": "image_url", "image_url": {"url": "https://x.test/a.JPG?x=1"}}
    body = to_gemini(**user(part))
    assert body["contents"][0]["parts"] == [{"fileData": {"fileUri": "https://x.test/a.JPG?x=1", "mimeType": "image/jpeg"}}]
    with pytest.raises(Invalid):
        upward("gemini", user(part), Target("vertex", "gemini-3.8-flash", fetches_urls=False))


@pytest.mark.parametrize("finish_first", [False, True])
def test_stop_with_calls_is_tool_calls(finish_first: bool) -> None:
    """Report 35: whether the call comes before the finish or behind it; each call has an index and an id (report 27)."""
    call = {"functionCall": {"name": "look", "args": {"x": 1}}}
    events = [event({"text": "so"}, call, call)]  # report 36: text and call in one content keep their order
    events += [event({"text": ""}, finish="STOP"), event(call)] if finish_first else [event(call, finish="STOP")]
    said = chat_of(*events)
    assert (said["finish"], said["content"]) == ("tool_calls", "so")
    assert sorted(said["calls"]) == [0, 1, 2]
    assert len({each["id"] for each in said["calls"].values()}) == 3
    assert json.loads(said["calls"][0]["arguments"]) == {"x": 1}


@pytest.mark.parametrize(
    ("reason", "finish"),
    [
        ("STOP", "stop"),
        ("MAX_TOKENS", "length"),
        ("SAFETY", "content_filter"),
        ("MALFORMED_FUNCTION_CALL", "error"),
        ("NEW", "error"),
    ],
)
def test_finish_reasons(reason: str, finish: str) -> None:
    """In Chat's words."""
    assert chat_of(event({"text": "a"}, finish=reason))["finish"] == finish


def test_blocked_prompt_is_filtered_and_billed() -> None:
    """No candidate, and no error: the prompt was read."""
    blocked = b'{"promptFeedback":{"blockReason":"SAFETY"},"usageMetadata":{"promptTokenCount":7,"totalTokenCount":7}}'
    said = chat_of(blocked)
    assert (said["finish"], said["usage"]["prompt_tokens"]) == ("content_filter", 7)


@pytest.mark.parametrize("error", [b'{"error":{"code":429,"message":"busy"}}', b'[{"error":{"code":429,"message":"busy"}}]'])
def test_error_in_a_stream(error: bytes) -> None:
    """An object or a list of one."""
    chain = streams.chain("gemini", "chat")
    streams.run(chain, streams.framed("gemini", [event({"text": "a"}), error]))
    assert b"busy" in chain.error


def test_stream_without_a_finish_was_cut() -> None:
    """The end of the body alone is no end of an answer."""
    chain = streams.chain("gemini", "chat")
    sent = streams.run(chain, streams.framed("gemini", [event({"text": "a"})]))
    assert not chain.is_complete
    assert b"[DONE]" not in sent


def test_usage_of_gemini() -> None:
    """Thoughts are part of the completion, the tool's prompt of the prompt; the served tier is told."""
    usage = {
        "promptTokenCount": 10, "toolUsePromptTokenCount": 2, "cachedContentTokenCount": 4, "candidatesTokenCount": 5,
        "thoughtsTokenCount": 3, "totalTokenCount": 20, "trafficType": "ON_DEMAND_FLEX",
        "promptTokensDetails": [{"modality": "AUDIO", "tokenCount": 6}],
    }  # fmt: skip
    pair = upstream_pair("gemini")
    assert pair is not None
    body = pair.whole(event({"text": "a"}, finish="STOP", usageMetadata=usage), streams.CONTEXT)
    answer = json.loads(body)
    assert answer["service_tier"] == "flex"
    told = answer["usage"]
    assert (told["prompt_tokens"], told["completion_tokens"], told["total_tokens"]) == (12, 8, 20)
    assert told["prompt_tokens_details"] == {"cached_tokens": 4, "audio_tokens": 6}
    assert told["completion_tokens_details"] == {"reasoning_tokens": 3}


@pytest.mark.parametrize("caller", ["messages", "responses"])
def test_signatures_come_back_through_other_formats(caller: Any) -> None:
    """Report 12: from Gemini to a caller of Messages or Responses, and with the next request back onto the same call."""
    call = {"functionCall": {"name": "look", "args": {}}, "thoughtSignature": "SIG=="}
    chain = streams.chain("gemini", caller)
    events = streams.events(streams.run(chain, streams.framed("gemini", [event(call, finish="STOP")])))
    if caller == "messages":
        blocks = [
            {**block, "input": {}} if block["type"] == "tool_use" else block for block in streams.message_of(events)["blocks"]
        ]
        blocks = [{name: value for name, value in block.items() if name != "json"} for block in blocks]
        use = next(block["id"] for block in blocks if block["type"] == "tool_use")
        result = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": use, "content": "k"}]}
        again: dict[str, Any] = {"max_tokens": 9, "messages": [*HI, {"role": "assistant", "content": blocks}, result]}
    else:
        items = events[-1]["response"]["output"]
        use = next(item["call_id"] for item in items if item["type"] == "function_call")
        again = {"input": [*HI, *items, {"type": "function_call_output", "call_id": use, "output": "k"}]}
    down = downstream_pair(caller)
    assert down is not None
    chat = down.request(json.dumps({"model": "x", **again}).encode(), Target("google", "m", traits=HUB))
    assert chat.ignored == ()
    up = upstream_pair("gemini")
    assert up is not None
    body = json.loads(up.request(chat.body, NEW).body)
    assert body["contents"][1]["parts"] == [call]
    assert isinstance(streams.CONTEXT, Context)


def test_part_with_a_text_and_a_call_says_both() -> None:
    """Report 36: neither is lost, and the text stands before the call."""
    part = {"text": "so", "functionCall": {"name": "look", "args": {}}}
    answer = {"candidates": [{"content": {"parts": [part]}, "finishReason": "STOP", "index": 0}]}
    events = streams.events(streams.run(streams.chain("gemini", "chat"), streams.framed("gemini", [json.dumps(answer).encode()])))
    deltas = [choice["delta"] for event in events for choice in event.get("choices") or ()]
    kinds = [name for delta in deltas for name in delta if name in ("content", "tool_calls") and delta[name]]
    assert kinds == ["content", "tool_calls"]
