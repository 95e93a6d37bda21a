"""Chat on Responses: items, strictness, encrypted thoughts that come back, and the ways in which an answer ends."""

import json
from typing import Any

import pytest

from routing.request.invalid import Invalid
from routing.translate import Target, upstream_pair
from tests.routing.translate import streams
from tests.routing.translate.test_requests import HI, PDF, PNG, SCHEMA, TOOL, called, upward, user

TARGET = Target("openai", "gpt-6-sol", 64_000)
OPENAI = "openai-responses-v1"


def to_responses(**body: Any) -> dict[str, Any]:
    sent: dict[str, Any] = json.loads(upward("responses", body, TARGET).body)
    return sent


def ended(*events: dict[str, Any]) -> Any:
    """A stream of these events, as a caller of Chat gets it: (bytes, chain)."""
    chain = streams.chain("responses", "chat")
    wire = streams.framed("responses", [json.dumps(event, separators=(",", ":")).encode() for event in events])
    return streams.run(chain, wire), chain


def test_conversation_in_items() -> None:
    """Nothing is kept there; strictness is said, because it is another by default."""
    history = [
        {"role": "system", "content": "be"},
        {"role": "user", "content": [
            {"type": "text", "text": "hi"}, {"type": "image_url", "image_url": {"url": PNG}},
            {"type": "file", "file": {"filename": "a.pdf", "file_data": PDF}},
        ]},
        {"role": "assistant", "content": "so", "tool_calls": [called("c", '{"x": 1}')]},
        {"role": "tool", "tool_call_id": "c", "content": "k"},
    ]  # fmt: skip
    body = to_responses(
        messages=history, tools=[TOOL], tool_choice={"type": "function", "function": {"name": "look"}}, max_tokens=99
    )
    assert body["store"] is False
    assert body["max_output_tokens"] == 99
    assert body["input"] == [
        {"type": "message", "role": "system", "content": "be"},
        {"type": "message", "role": "user", "content": [
            {"type": "input_text", "text": "hi"},
            {"type": "input_image", "image_url": PNG},
            {"type": "input_file", "filename": "a.pdf", "file_data": PDF},
        ]},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "so", "annotations": []}]},
        {"type": "function_call", "call_id": "c", "name": "look", "arguments": '{"x": 1}'},
        {"type": "function_call_output", "call_id": "c", "output": "k"},
    ]  # fmt: skip
    assert body["tools"] == [{"type": "function", "name": "look", "parameters": SCHEMA, "strict": False}]
    assert body["tool_choice"] == {"type": "function", "name": "look"}


def test_form_and_effort() -> None:
    """Flattened there; encrypted thoughts are asked for where there are thoughts."""
    form = {"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA}}
    body = to_responses(response_format=form, verbosity="low", reasoning={"effort": "max"})
    assert body["text"] == {"verbosity": "low", "format": {"type": "json_schema", "name": "n", "schema": SCHEMA}}
    assert body["reasoning"] == {"effort": "xhigh", "summary": "auto"}
    assert body["include"] == ["reasoning.encrypted_content"]
    assert "include" not in to_responses()
    assert to_responses(reasoning_effort="none")["reasoning"] == {"effort": "none"}


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"n": 2}, "n"),
        ({"stop": "x"}, "stop"),
        ({"logit_bias": {"1": 1}}, "logit_bias"),
        ({"presence_penalty": 1}, "presence_penalty"),
        ({"store": True}, "store"),
        (user({"type": "video_url", "video_url": {"url": "https://x.test/a.mp4"}}), "messages[0].content[0]"),
    ],
)
def test_demand_that_responses_cannot_meet(body: dict[str, Any], param: str) -> None:
    """Refused, with its path."""
    with pytest.raises(Invalid) as caught:
        upward("responses", body, TARGET)
    assert caught.value.param == param


def test_encrypted_thoughts_come_back_before_what_they_led_to() -> None:
    """Report 11: from the recorded answer through Chat and back: the same items; alone they are left out and reported."""
    name = "responses-openai-reasoning-encrypted-content.1"
    sent = streams.translated(name, "chat")
    said = streams.chat_message(sent)
    calls = [called(each["id"], each["arguments"], each["name"]) for each in said["calls"].values()]
    turn = {"role": "assistant", "content": said["content"] or None, "reasoning_details": said["details"], "tool_calls": calls}
    first = [json.loads(line) for line in streams.lines(name)]
    items = [event["item"] for event in first if event["type"] == "response.output_item.done"]
    body = to_responses(messages=[*HI, turn])
    before = [(item["id"], item["encrypted_content"]) for item in items if item["type"] == "reasoning"]
    back = [(item["id"], item["encrypted_content"]) for item in body["input"] if item["type"] == "reasoning"]
    assert back == before
    assert before
    places = [item["type"] for item in body["input"]]
    assert places.index("reasoning") < len(places) - 1
    alone = {"role": "assistant", "content": None, "reasoning_details": said["details"]}
    left = upward("responses", {"messages": [*HI, alone, *HI]}, TARGET)
    assert b"encrypted_content" not in left.body
    assert left.ignored


DONE = {"id": "r", "model": "m", "usage": {"input_tokens": 3, "output_tokens": 2}}
TEXT = {"type": "response.output_text.delta", "output_index": 0, "delta": "hi"}


@pytest.mark.parametrize(
    ("status", "details", "finish"),
    [
        ("completed", None, "stop"),
        ("incomplete", {"reason": "max_output_tokens"}, "length"),
        ("incomplete", {"reason": "content_filter"}, "content_filter"),
    ],
)
def test_end_of_a_response(status: str, details: Any, finish: str) -> None:
    """In Chat's words, with the provider's usage."""
    sent, _ = ended(TEXT, {"type": f"response.{status}", "response": {**DONE, "status": status, "incomplete_details": details}})
    said = streams.chat_message(sent)
    assert (said["content"], said["finish"], said["usage"]["prompt_tokens"]) == ("hi", finish, 3)


@pytest.mark.parametrize(
    "error",
    [
        {"type": "error", "code": "server_error", "message": "busy", "param": None},
        {"type": "error", "error": {"type": "server_error", "message": "busy"}},
        {
            "type": "response.failed",
            "response": {**DONE, "status": "failed", "error": {"code": "server_error", "message": "busy"}},
        },
    ],
)
def test_error_of_a_response(error: dict[str, Any]) -> None:
    """Report 57: flat, nested, or with the response."""
    sent, chain = ended(TEXT, error)
    assert b"busy" in chain.error
    assert b"[DONE]" not in sent


MESSAGE = {"type": "message", "content": [{"type": "output_text", "text": "hi"}]}
REASONING = {"type": "reasoning", "id": "rs", "summary": [{"text": "so"}, {"text": "then"}], "encrypted_content": "e"}


def item_done(index: int, item: dict[str, Any]) -> dict[str, Any]:
    return {"type": "response.output_item.done", "output_index": index, "item": item}


def test_items_without_deltas_are_said_when_they_are_done() -> None:
    """Servers that only look like OpenAI's send an item whole: thoughts, text and refusal reach the caller all the same."""
    refusal = {"type": "message", "content": [{"type": "refusal", "refusal": "no"}]}
    end = {"type": "response.completed", "response": {**DONE, "status": "completed"}}
    sent, _ = ended(item_done(0, REASONING), item_done(1, MESSAGE), item_done(2, refusal), end)
    said = streams.chat_message(sent)
    assert (said["reasoning"], said["content"], said["finish"]) == ("so\n\nthen", "hi", "stop")
    assert [detail["data"] for detail in said["details"] if detail["type"] == "reasoning.encrypted"] == ["e"]
    assert b'"refusal":"no"' in sent


@pytest.mark.parametrize(("status", "finish"), [("completed", "stop"), ("incomplete", "length")])
def test_items_that_come_with_the_end_alone_are_said_there(status: str, finish: str) -> None:
    """No event of an item at all: the last one has the answer. Where something was said before, it is no second time."""
    end = {"type": f"response.{status}", "response": {**DONE, "status": status, "output": [REASONING, MESSAGE]}}
    sent, chain = ended(end)
    said = streams.chat_message(sent)
    assert (said["reasoning"], said["content"], said["finish"]) == ("so\n\nthen", "hi", finish)
    assert (chain.upstream_id, said["usage"]["completion_tokens"]) == ("r", 2)
    sent, _ = ended(TEXT, end)
    assert streams.chat_message(sent)["content"] == "hi"


def test_items_with_deltas_are_said_once() -> None:
    """However many deltas an item had, and whichever way they took; the next item has a word of its own."""
    thought = {"type": "response.reasoning_summary_text.delta", "output_index": 0, "summary_index": 0, "delta": "so"}
    pieces = [{**TEXT, "output_index": 1, "delta": text} for text in ("hi, ", "you ", "there")]
    refused = {"type": "response.refusal.delta", "output_index": 3, "delta": "no"}
    refusal = {"type": "message", "content": [{"type": "refusal", "refusal": "no"}]}
    end = {"type": "response.completed", "response": {**DONE, "status": "completed"}}
    events = (thought, item_done(0, REASONING), *pieces, item_done(1, MESSAGE), item_done(2, MESSAGE), refused)
    sent, _ = ended(*events, item_done(3, refusal), end)
    said = streams.chat_message(sent)
    assert (said["reasoning"], said["content"]) == ("so", "hi, you therehi")
    assert sent.count(b'"refusal":"no"') == 1


def test_stream_that_ends_without_its_last_event_was_cut() -> None:
    """Nothing is invented."""
    sent, chain = ended(TEXT)
    assert not chain.is_complete
    assert b"[DONE]" not in sent


def test_whole_response_in_chat() -> None:
    """The recorded one says what its items say."""
    name = "responses-openai-reasoning-encrypted-content.1"
    pair = upstream_pair("responses")
    assert pair is not None
    answer = json.loads(pair.whole(streams.answer(name), streams.CONTEXT))
    items = json.loads(streams.answer(name))["output"]
    message = answer["choices"][0]["message"]
    texts = [part["text"] for item in items if item["type"] == "message" for part in item["content"]]
    assert (message["content"] or "") == "".join(texts)
    calls = [item["arguments"] for item in items if item["type"] == "function_call"]
    assert [call["function"]["arguments"] for call in message.get("tool_calls", ())] == calls
    assert pair.whole(b'{"x":1}', streams.CONTEXT) == b'{"x":1}'
    assert "error" in json.loads(pair.whole(b'{"error":{"message":"no"}}', streams.CONTEXT))
