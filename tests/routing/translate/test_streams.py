"""Translated streams: the same whatever way TCP cut them, and the same content as the provider's."""

import json
from typing import Any

import pytest

from routing.translate import DOWNSTREAM, UPSTREAM, Format, upstream_pair
from tests.routing.cuts import every_cut
from tests.routing.translate import streams

CALLERS: list[Format] = ["chat", *DOWNSTREAM]
EACH = [
    (name, caller)
    for provider in ("chat", *UPSTREAM)
    for name in streams.names("chunks.txt", provider)
    for caller in CALLERS
    if caller != provider
]


@pytest.mark.parametrize(("name", "caller"), EACH)
def test_stream_in_pieces(name: str, caller: Format) -> None:
    """Byte by byte, in small pieces and in large ones, the same goes out."""
    whole = streams.translated(name, caller, is_short=True)
    for size in (1, 7, 61, 300, 4_000):
        assert streams.translated(name, caller, is_short=True, size=size) == whole


@pytest.mark.parametrize(("name", "caller"), [each for each in EACH if len(streams.wire(each[0], is_short=True)) < 2_600])
def test_stream_cut_at_every_position(name: str, caller: Format) -> None:
    """In two pieces, cut anywhere."""
    wire = streams.wire(name, is_short=True)
    known = streams.run(streams.chain(streams.format_of(name), caller), wire)
    for parts in every_cut(wire):
        machine = streams.chain(streams.format_of(name), caller)
        sent = b"".join([machine.feed(part) for part in parts]) + machine.finish()
        assert sent == known


@pytest.mark.parametrize("name", streams.names("chunks.txt", "messages"))
def test_messages_to_chat_and_back(name: str) -> None:
    """The same blocks, signatures, inputs, reason and counts."""
    there = streams.translated(name, "chat")
    chain = streams.chain("messages", "messages")
    back = streams.message_of(streams.events(streams.run(chain, streams.wire(name))))
    first = streams.message_of([json.loads(line) for line in streams.lines(name)])
    assert streams.same_blocks(back["blocks"]) == streams.same_blocks(first["blocks"])
    assert back["stop"] == ("end_turn" if first["stop"] == "stop_sequence" else first["stop"])
    for count in ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens", "output_tokens"):
        assert (back["usage"].get(count) or 0) == (first["usage"].get(count) or 0), count
    assert json.loads(there.split(b"data: ")[-2])["choices"]


@pytest.mark.parametrize("name", streams.names("chunks.txt", "chat"))
def test_chat_to_messages_keeps_what_was_said(name: str) -> None:
    """Texts, thoughts, calls and counts of every provider that speaks Chat."""
    first = streams.chat_message(streams.wire(name))
    back = streams.message_of(streams.events(streams.translated(name, "messages")))
    blocks = back["blocks"]
    assert "".join(block.get("text", "") for block in blocks) == first["content"]
    assert "".join(block.get("thinking", "") for block in blocks) == first["reasoning"]
    calls = [(block["name"], block["json"]) for block in blocks if block["type"] == "tool_use"]
    assert calls == [(call["name"], call["arguments"]) for call in first["calls"].values()]
    if first["usage"]:
        usage = back["usage"]
        prompt = usage["input_tokens"] + usage["cache_read_input_tokens"] + usage["cache_creation_input_tokens"]
        assert prompt == first["usage"]["prompt_tokens"]
        assert usage["cost"] > 0


@pytest.mark.parametrize("name", streams.names("json", "messages"))
def test_whole_message_to_chat_and_back(name: str) -> None:
    """Whole answers say the same as streams, by construction; this is that they do."""
    first: dict[str, Any] = json.loads(streams.answer(name))
    back: dict[str, Any] = json.loads(streams.whole(name, "messages"))
    assert streams.same_blocks(back["content"]) == streams.same_blocks(first["content"])
    assert back["usage"]["output_tokens"] == first["usage"]["output_tokens"]
    assert (back["id"], back["model"], back["type"]) == ("gen-1", "a/b", "message")


WHOLE_CALLS: dict[Format, tuple[bytes, bytes]] = {
    "gemini": (
        b'{"candidates":[{"content":{"parts":[{"functionCall":{"id":"c","name":"f","args":@}}]},"finishReason":"STOP"}]}',
        b"",
    ),
    "messages": (
        b'{"type":"message","content":[{"type":"tool_use","id":"c","name":"f","input":@}],"stop_reason":"tool_use"}',
        b'event: message_start\ndata: {"type":"message_start","message":{"id":"m"}}\n\n'
        b"event: content_block_start\ndata: "
        b'{"type":"content_block_start","index":0,"content_block":{"type":"tool_use","id":"c","name":"f","input":@}}\n\n'
        b'event: content_block_stop\ndata: {"type":"content_block_stop","index":0}\n\n'
        b'event: message_delta\ndata: {"type":"message_delta","delta":{"stop_reason":"tool_use"}}\n\n'
        b'event: message_stop\ndata: {"type":"message_stop"}\n\n',
    ),
    "converse": (
        b'{"output":{"message":{"content":[{"toolUse":{"toolUseId":"c","name":"f","input":@}}]}},"stopReason":"tool_use"}',
        b"",
    ),
}


@pytest.mark.parametrize("provider", WHOLE_CALLS)
@pytest.mark.parametrize(("given", "arguments"), [(b"null", {}), (b"{}", {}), (b'{"x":1}', {"x": 1})])
def test_call_that_comes_whole_has_an_object_for_arguments(provider: Format, given: bytes, arguments: dict[str, int]) -> None:
    """Null is what a provider writes who has none: a client that reads them as an object is not broken by it."""
    body, stream = (text.replace(b"@", given) for text in WHOLE_CALLS[provider])
    pair = upstream_pair(provider)
    assert pair is not None
    (call,) = json.loads(pair.whole(body, streams.CONTEXT))["choices"][0]["message"]["tool_calls"]
    assert (call["id"], call["function"]["name"], json.loads(call["function"]["arguments"])) == ("c", "f", arguments)
    wire = stream or streams.framed(provider, [body]) if provider != "converse" else b""
    if wire:
        (told,) = streams.chat_message(streams.run(streams.chain(provider, "chat"), wire))["calls"].values()
        assert (told["id"], json.loads(told["arguments"])) == ("c", arguments)
