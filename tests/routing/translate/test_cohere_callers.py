"""Cohere's clients on models of other providers: what is asked, what is refused, what is answered."""

import json
from typing import Any

import pytest

from routing.plan.refusal import Refusal
from routing.request.invalid import Invalid
from routing.translate import HUB, UPSTREAM, Target, downstream_pair
from tests.routing.translate import streams
from tests.routing.translate.test_reports import MIXED, USED, call, chunk, ran

TOOL = {"type": "function", "function": {"name": "look", "description": "d", "parameters": {"type": "object"}}}
CALL = {"id": "c", "type": "function", "function": {"name": "look", "arguments": '{"x":1}'}}
USER = {"role": "user", "content": "hi"}
RECORDED = [name for name in streams.names("chunks.txt", "chat", *UPSTREAM) if streams.format_of(name) != "cohere"]


def asked(body: dict[str, Any], *, traits: frozenset[str] = HUB) -> tuple[dict[str, Any], tuple[str, ...]]:
    pair = downstream_pair("cohere")
    assert pair is not None
    said = pair.request(json.dumps({"model": "x", "messages": [USER], **body}).encode(), Target("p", "m", traits=traits))
    return json.loads(said.body), said.ignored


def said_by(events: list[Any]) -> dict[str, Any]:
    """What a client reads of a stream."""
    said: dict[str, Any] = {"text": "", "thinking": "", "calls": {}, "end": None}
    open_pieces: list[tuple[str, int]] = []
    for event in events:
        kind, message = event["type"], (event.get("delta") or {}).get("message", {})
        if kind.endswith("-start") and kind not in ("message-start", "citation-start"):
            assert not open_pieces
            open_pieces.append((kind.removesuffix("-start"), event["index"]))
        elif kind.endswith("-end") and kind not in ("message-end", "citation-end"):
            assert open_pieces.pop() == (kind.removesuffix("-end"), event["index"])
        if kind == "content-delta":
            for name, text in message["content"].items():
                said[name] += text
        elif kind == "tool-call-start":
            said["calls"][event["index"]] = message["tool_calls"]
        elif kind == "tool-call-delta":
            said["calls"][event["index"]]["function"]["arguments"] += message["tool_calls"]["function"]["arguments"]
        elif kind == "message-end":
            assert said["end"] is None
            said["end"] = event["delta"]
    return said


def test_request_of_cohere() -> None:
    """Parameters under Chat's names; a plan is the thought that led to the calls; documents stand before the last question."""
    history = [
        {"role": "system", "content": "be"},
        {"role": "user", "content": "first"},
        {"role": "assistant", "tool_plan": "I will", "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "c", "content": [{"type": "document", "document": {"data": {"a": "1"}}}]},
        {"role": "assistant", "content": [{"type": "text", "text": "so"}], "citations": [{"start": 0}]},
        {"role": "user", "content": [{"type": "text", "text": "and"}, {"type": "image_url", "image_url": {"url": "https://x/a.png"}}]},
    ]  # fmt: skip
    sent, ignored = asked({
        "messages": history, "tools": [TOOL], "strict_tools": True, "tool_choice": "REQUIRED", "k": 3, "p": 0.5, "seed": 1,
        "stop_sequences": ["x"], "max_tokens": 9, "documents": ["plain", {"id": "d", "data": {"t": "blue"}}],
        "thinking": {"type": "enabled", "token_budget": 5}, "response_format": {"type": "json_object", "json_schema": {"a": 1}},
        "citation_options": {"mode": "FAST"}, "safety_mode": "STRICT", "temperature": 0.3, "stream": True,
    })  # fmt: skip
    assert ignored == ("citation_options", "safety_mode", "messages[].citations")
    assert sent["messages"][2] == {"role": "assistant", "content": None, "tool_calls": [CALL], "reasoning": "I will"}
    assert sent["messages"][3] == {"role": "tool", "tool_call_id": "c", "content": 'Document: {"a": "1"}'}
    assert [part.get("text") for part in sent["messages"][5]["content"]] == ["plain", 'Document d: {"t":"blue"}', "and", None]
    assert (sent["top_k"], sent["top_p"], sent["seed"], sent["stop"], sent["max_tokens"]) == (3, 0.5, 1, ["x"], 9)
    assert (sent["tool_choice"], sent["tools"][0]["function"]["strict"]) == ("required", True)
    assert sent["reasoning"] == {"max_tokens": 5}
    assert sent["response_format"] == {"type": "json_schema", "json_schema": {"name": "answer", "schema": {"a": 1}}}
    assert (sent["stream"], sent["temperature"]) == (True, 0.3)


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"logprobs": True}, "logprobs"),
        ({"brand_new": 1}, "brand_new"),
        ({"stop_sequences": ["a"] * 5}, "stop_sequences"),
        ({"tool_choice": "REQUIRED"}, "tool_choice"),
        ({"tool_choice": "LOOK", "tools": [TOOL]}, "tool_choice"),
        ({"thinking": {"type": "sometimes"}}, "thinking.type"),
        ({"response_format": {"type": "xml"}}, "response_format.type"),
        ({"documents": [{"id": "d"}]}, "documents[0].data"),
        ({"documents": "d"}, "documents"),
        ({"documents": ["d"], "messages": [{"role": "system", "content": "x"}]}, "documents"),
        ({"messages": [{"role": "user", "content": [{"type": "audio"}]}]}, "messages[0].content[0]"),
        ({"messages": [{"role": "bot", "content": "x"}]}, "messages[0].role"),
    ],
)
def test_demand_that_cannot_be_met(body: dict[str, Any], param: str) -> None:
    """Refused, with its path."""
    with pytest.raises(Invalid) as caught:
        asked(body)
    assert caught.value.param == param


def test_accents_of_providers_are_heard() -> None:
    """Ids of nine characters, and thoughts where they are wanted back; where nobody reads them it is reported."""
    turn = {"role": "assistant", "tool_plan": "I will", "tool_calls": [CALL]}
    messages = [USER, turn, {"role": "tool", "tool_call_id": "c", "content": "k"}]
    sent, ignored = asked({"messages": messages}, traits=frozenset(("short_ids",)))
    assert len(sent["messages"][1]["tool_calls"][0]["id"]) == 9
    assert sent["messages"][1]["tool_calls"][0]["id"] == sent["messages"][2]["tool_call_id"]
    assert ignored == ("messages[].tool_plan",)
    sent, ignored = asked({"messages": messages}, traits=frozenset(("reasoning_content",)))
    assert sent["messages"][1]["reasoning_content"] == "I will"
    assert ignored == ()


def test_name_of_a_tool_comes_back_as_it_was() -> None:
    """OpenAI takes no dots."""
    pair = downstream_pair("cohere")
    assert pair is not None
    tool = {"type": "function", "function": {"name": "look.up"}}
    body = json.dumps({"model": "x", "messages": [USER], "tools": [tool]}).encode()
    made = pair.request(body, Target("p", "m", traits=HUB))
    name = json.loads(made.body)["tools"][0]["function"]["name"]
    assert name != "look.up"
    chain = streams.chain("chat", "cohere", made.memo)
    wire = streams.framed("chat", [chunk(call(0, "c", name, "{}")), chunk(finish="tool_calls"), USED])
    assert said_by(streams.events(streams.run(chain, wire)))["calls"][0]["function"]["name"] == "look.up"


@pytest.mark.parametrize("name", RECORDED)
def test_cohere_reads_a_translated_stream(name: str) -> None:
    """Texts, thoughts and calls are those of the stream in Chat; pieces stand one behind the other; the end has the usage."""
    chain = streams.chain(streams.format_of(name), "cohere")
    events = streams.events(streams.run(chain, streams.wire(name)))
    if chain.error:
        return
    said = said_by(events)
    provider = streams.format_of(name)
    first = streams.chat_message(streams.translated(name, "chat") if provider != "chat" else streams.wire(name))
    assert said["text"] == first["content"] or name.endswith("refusal")
    assert said["thinking"] == first["reasoning"]
    calls = [(each["function"]["name"], each["function"]["arguments"]) for each in said["calls"].values()]
    assert calls == [(each["name"], each["arguments"]) for each in first["calls"].values() if each["name"]]
    if chain.is_complete:
        assert said["end"]["usage"]["cost"] > 0


def test_parallel_calls_go_out_one_behind_the_other() -> None:
    """However their fragments were mixed; a stop with calls is a call."""
    events, _ = ran("cohere", *MIXED, chunk(finish="stop"), USED)
    said = said_by(events)
    assert [json.loads(each["function"]["arguments"]) for each in said["calls"].values()] == [{"x": 1}, {"y": 2}]
    assert said["end"]["finish_reason"] == "TOOL_CALL"
    assert said["end"]["usage"]["cached_tokens"] == 12


@pytest.mark.parametrize(("finish", "word"), [("stop", "COMPLETE"), ("length", "MAX_TOKENS"), ("content_filter", "ERROR")])
def test_finish_in_coheres_words(finish: str, word: str) -> None:
    events, _ = ran("cohere", chunk({"content": "hi"}), chunk(finish=finish), USED)
    assert events[-1]["delta"]["finish_reason"] == word
    assert ("error" in events[-1]["delta"]) == (word == "ERROR")


def test_pages_that_are_quoted_are_citations() -> None:
    page = {"url": "https://x", "title": "X", "start_index": 1, "end_index": 2}
    said = {"content": "hi", "annotations": [{"type": "url_citation", "url_citation": page}]}
    events, _ = ran("cohere", chunk(said), chunk(finish="stop"), USED)
    (start,) = [event for event in events if event["type"] == "citation-start"]
    citation = start["delta"]["message"]["citations"]
    assert (citation["start"], citation["end"]) == (1, 2)
    assert citation["sources"] == [{"type": "document", "id": "https://x", "document": {"url": "https://x", "title": "X"}}]


def test_answer_that_broke() -> None:
    """Once, behind what was open; no finish is made up."""
    events, chain = ran("cohere", chunk({"content": "hi"}), done=False)
    assert events[-1]["type"] == "content-delta"
    rest = streams.events(chain.fail(Refusal(503, "provider_overloaded", "it is overloaded")))
    assert [event["type"] for event in rest] == ["content-end", "message-end"]
    assert (rest[1]["delta"]["finish_reason"], rest[1]["delta"]["error"]) == ("ERROR", "it is overloaded")
    assert chain.fail(Refusal(500, "x", "again")) == b""


@pytest.mark.parametrize("name", streams.names("json", "chat"))
def test_whole_answer(name: str) -> None:
    """The same as its stream."""
    told = json.loads(streams.whole(name, "cohere"))
    message = json.loads(streams.answer(name))["choices"][0]["message"]
    text = "".join(part["text"] for part in told["message"].get("content", []) if part["type"] == "text")
    assert text == streams.text_of(message.get("content"))
    assert (told["id"], told["usage"]["cost"] > 0) == ("gen-1", True)
    assert told["finish_reason"] in ("COMPLETE", "MAX_TOKENS", "TOOL_CALL")
