"""The short way of a piece of text through a stream of named events: the same bytes and the same counts as the long way."""

import json
from typing import Any

import msgspec
import pytest

from routing.rewrite.cost import usage_with_cost
from routing.rewrite.generated_text import without
from tests.routing.rewrite.test_any_stream import machine
from tests.routing.surfaces.calls import meter

PIECES: dict[str, tuple[str, dict[str, Any]]] = {
    "messages": ("content_block_delta", {"index": 0, "delta": {"type": "text_delta", "text": "@"}}),
    "responses": ("response.output_text.delta", {"item_id": "i", "output_index": 0, "delta": "@"}),
    "cohere": ("content-delta", {"index": 0, "delta": {"message": {"content": {"text": "@"}}}}),
    "media": ("transcript.text.delta", {"delta": "@"}),
}
TEXTS = (
    b"a",
    b"",
    b"two words",
    rb"a \"quoted\" word",
    rb"ends in a quote\"",
    b"ends in a backslash\\\\",
    rb"\u00fc\ud83d\ude00",
    "größe".encode(),
    rb"\\\"",
    rb"\n",
    b"{}",
    b"x" * 5_000,
)
BROKEN = (b"never ends}", b'"', b"\x00", rb"\x41", rb"\ud800", b"\xff")


def piece(kind: str, text: bytes, end: bytes = b"\n") -> bytes:
    name, members = PIECES[kind]
    payload = json.dumps({"type": name, **members}, separators=(",", ":")).encode().replace(b"@", text)
    return b"event: %b%bdata: %b%b%b" % (name.encode(), end, payload, end, end)


def fed(kind: str, parts: list[bytes], *, at_once: bool) -> tuple[bytes, int, int]:
    rewrite = machine(kind)
    sent = b""
    for part in parts:
        # What comes in two pieces goes the long way.
        sent += rewrite.feed(part) if at_once else rewrite.feed(part[:3]) + rewrite.feed(part[3:])
    sent += rewrite.finish()
    return sent, rewrite.meter.deltas, rewrite.meter.text_bytes


@pytest.mark.parametrize("kind", PIECES)
@pytest.mark.parametrize("text", [*TEXTS, *BROKEN])
def test_piece_is_the_same_by_both_ways(kind: str, text: bytes) -> None:
    """Once its like was read, an event passes on sight; whatever its text is, it is counted alike."""
    parts = [piece(kind, b"first"), piece(kind, text), piece(kind, b"last")]
    assert fed(kind, parts, at_once=True) == fed(kind, parts, at_once=False)


@pytest.mark.parametrize("kind", PIECES)
def test_text_that_no_quote_ends_takes_nothing_off_the_count(kind: str) -> None:
    """A provider that breaks off its JSON does not undo what it said before."""
    name, members = PIECES[kind]
    head = json.dumps({"type": name, **members}, separators=(",", ":")).encode().partition(b"@")[0]
    broken = b"event: %b\ndata: %babc}\n\n" % (name.encode(), head)
    rewrite = machine(kind)
    counts = []
    for part in (piece(kind, b"first"), piece(kind, b"second"), broken, broken):
        rewrite.feed(part)
        counts.append(rewrite.meter.text_bytes)
    assert counts == sorted(counts)
    assert counts[1] == 11


@pytest.mark.parametrize("kind", PIECES)
@pytest.mark.parametrize(
    "odd",
    [
        *(b": x\n\n", b"\n", b"event: x\n\n", b"data: {}\n\n", b"id: 5\n", b"data: 5"),
        b'event: error\ndata: {"type":"error"}\n\n',
        b'event: content_block_delta\ndata: {"type":"content_block_delta","index":1,"delta":{"thinking":"hm"}}\n\n',
    ],
)
def test_piece_behind_something_else_is_the_same_by_both_ways(kind: str, odd: bytes) -> None:
    """Half an event, a comment or another kind of event between them."""
    parts = [piece(kind, b"first"), odd, piece(kind, b"second"), piece(kind, b"third")]
    assert fed(kind, parts, at_once=True) == fed(kind, parts, at_once=False)


@pytest.mark.parametrize("kind", PIECES)
def test_piece_with_carriage_returns_passes_as_it_came(kind: str) -> None:
    parts = [piece(kind, text, b"\r\n") for text in (b"first", b"second")]
    sent, deltas, text_bytes = fed(kind, parts, at_once=True)
    assert (sent, deltas, text_bytes) == (b"".join(parts), 2, 11)


@pytest.mark.parametrize(
    ("usage", "told"),
    [
        (None, {"n": 9, "cost": 9e-6, "usage_source": "counted"}),
        (b"null", {"n": 9, "cost": 9e-6, "usage_source": "counted"}),
        (b"5", {"n": 9, "cost": 9e-6, "usage_source": "counted"}),
        (b"{}", {"n": 9, "cost": 9e-6, "usage_source": "counted"}),
        (b'{"theirs":1}', {"theirs": 1, "n": 9, "cost": 9e-6, "usage_source": "counted"}),
        (b'{"n":1,"cost":5,"usage_source":"x"}', {"n": 9, "cost": 9e-6, "usage_source": "counted"}),
    ],
)
def test_usage_that_is_ours_stands_in_the_providers(usage: bytes | None, told: dict[str, Any]) -> None:
    """Its own members stay; what is charged and whose word it is are ours."""
    used = meter(msgspec.structs.replace(meter().tariff.rates, input=1_000_000, output=0))
    raw = None if usage is None else msgspec.Raw(usage)
    assert json.loads(bytes(usage_with_cost(raw, used, {"n": 9}))) == told


@pytest.mark.parametrize(
    ("text", "found", "left"),
    [
        (b'{"a":[{"text":"x"}],"b":1}', [b'[{"text":"x"}]'], b'{"a":0,"b":1}'),
        (b'{"a":{"text":"x"},"b":{"text":"x"}}', [b'{"text":"x"}'], b'{"a":0,"b":0}'),
        (b'{"a":[1],"b":"[1]"}', [b"[1]"], b'{"a":[1],"b":"[1]"}'),
        (b'{"a":"x"}', [b'"x"', b"", b"null"], b'{"a":"x"}'),
    ],
)
def test_what_tools_answered_is_taken_out(text: bytes, found: list[bytes], left: bytes) -> None:
    """Lists and objects with a text in them; nothing that could stand within a text."""
    assert without(text, [msgspec.Raw(each) for each in found]) == left


def gemini(
    text: bytes, usage: bytes = b'"usageMetadata":{"promptTokenCount":20,"candidatesTokenCount":%d},', count: int = 2
) -> bytes:
    head = b'data: {"candidates":[{"content":{"parts":[{"text":"%b"}],"role":"model"},"index":0}],'
    return head % text + usage % count + b'"modelVersion":"theirs","responseId":"theirs_1"}\r\n\r\n'


@pytest.mark.parametrize("odd", [b": x\r\n\r\n", b'data: {"candidates":[]}\r\n\r\n', b"", gemini(b"other", b'"x":%d,')])
def test_pieces_of_gemini_are_the_same_by_both_ways(odd: bytes) -> None:
    """An event that is like the last one but for its text and its counts passes on sight; the last usage counts."""
    texts = (b"first", b"second", rb"a \"quoted\" word", "größe".encode())
    parts = [gemini(text, count=at) for at, text in enumerate(texts)]
    parts.insert(2, odd)

    def fed_in(size: int) -> tuple[bytes, int, int, Any]:
        rewrite = machine("gemini")
        pieces = [part[at : at + size] for part in parts for at in range(0, len(part), size)]
        sent = b"".join([rewrite.feed(piece) for piece in pieces]) + rewrite.finish()
        return sent, rewrite.meter.deltas, rewrite.meter.text_bytes, rewrite.meter.tokens

    at_once = fed_in(100_000)
    assert at_once == fed_in(11)
    assert b"theirs" not in at_once[0]
    assert at_once[3].prompt == 20


@pytest.mark.parametrize("response", [b"5", b"null", b"[]", b'"x"'])
def test_head_of_a_response_that_is_none_passes(response: bytes) -> None:
    """There is no name of the provider's in it."""
    event = b'data: {"type":"response.created","response":%b}\n\n' % response
    assert machine("responses").feed(event) == event


@pytest.mark.parametrize("message", [b'{"id":"a"}', b'{"model":"a"}', b"{}"])
def test_head_of_a_message_gets_the_names_that_it_has(message: bytes) -> None:
    sent = machine("messages").feed(b'data: {"type":"message_start","message":%b}\n\n' % message)
    assert (b"gen-1" in sent, b"a/b" in sent) == (b"id" in message, b"model" in message)
