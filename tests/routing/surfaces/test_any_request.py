"""Whatever bytes a caller sends to a surface: an envelope or a plain refusal, and a body that a provider can read."""

import random
from typing import Any

import msgspec
import pytest

from routing.request.invalid import Invalid
from routing.surfaces.adapter import Adapter
from routing.table.endpoint import endpoint
from routing.translate import downstream_pair
from routing.wire.members import decode_members
from tests.routing.surfaces.calls import BODIES, CONTENTS, MODEL, OWN, TURN, asked, body_of, call, form, surface

CAPPED = msgspec.structs.replace(OWN, max_output_tokens=5)
RICH: dict[str, list[dict[str, Any]]] = {
    "chat": [
        {"tools": [{"type": "function", "function": {"name": "f"}}], "stream_options": {"include_usage": True}, "stream": True}
    ],
    "messages": [
        {"tools": [{"type": "web_search_20250305", "max_uses": 2}, {"name": "f"}], "tool_choice": {"type": "auto"}},
        {"system": [{"type": "text", "text": "x", "cache_control": {"ttl": "1h"}}], "thinking": {"budget_tokens": 5}},
    ],
    "responses": [
        {"tools": [{"type": "web_search"}, {"type": "function"}], "reasoning": {"mode": "standard"}, "tool_choice": "auto"},
        {"input": [{"type": "item_reference", "id": "x"}, TURN], "text": {"format": {"type": "text"}}},
    ],
    "embeddings": [{"input": ["a", "b"]}, {"input": [{"content": [{"type": "text", "text": "{"}]}]}, {"input": [[1, 2], [3]]}],
    "completions": [{"prompt": ["a", "b"], "stream_options": {"include_usage": True}, "stream": True, "n": 2}],
    "moderations": [{"input": [{"type": "text", "text": "a"}]}],
    "rerank": [{"documents": ["a", {"text": "b"}], "top_n": 1}],
    "images": [{"n": 2, "partial_images": 1, "stream": True}],
    "speech": [{"stream_format": "sse", "instructions": "slow", "voice": {"id": "x"}}],
    "gemini": [
        {"generationConfig": {"maxOutputTokens": 9, "seed": 3}, "tools": [{"googleSearch": {}}], "serviceTier": "flex"},
        {"contents": [{"parts": [{"inlineData": {"data": "AA"}}, {"fileData": {"fileUri": "files/x"}}]}]},
    ],
    "gemini_count_tokens": [{"generateContentRequest": {"model": f"models/{MODEL}", "contents": CONTENTS}}],
    "cohere": [{"documents": ["a", {"data": {"x": "y"}}], "stop_sequences": ["x"]}],
    "cohere_embeddings": [
        {"inputs": [{"content": [{"type": "image_url", "image_url": {"url": "data:,A"}}]}], "images": ["data:,A"]}
    ],
}
TO_ROUTER = {
    "provider": {"order": ["p"], "max_price": {"prompt": "1"}, "sort": "price"},
    "models": ["a/b"],
    "plugins": [{"id": "x"}],
}
MARKS = (
    *(
        b'"',
        b"{",
        b"}",
        b"[",
        b"]",
        b",",
        b":",
        b"\\",
        b"\\u0000",
        b"\\ud83d",
        b"\\x41",
        b"null",
        b"true",
        b"NaN",
        b"-Infinity",
        b"1e999",
    ),
    *(b"-1", b"0.5", b"\xff", b"\xef\xbb\xbf", b"\x00", b"[]", b"{}", b"9" * 30, b"9" * 5_000, b"[" * 1_200, b'{"a":' * 1_200),
    *(b'"file_id":1,', b'"type":"\\ud800",', b'"content":5,', b'"tool_choice":"\\udfff",', b'"n":1e400,', b'"url":{},'),
)
VALUES: tuple[bytes, ...] = (
    *(
        b"null",
        b"true",
        b"0",
        b"-1",
        b"1.5",
        b"1e400",
        b"-1e-400",
        b'""',
        b'"x"',
        b'"\\ud800"',
        b'"\\udc00x"',
        b'"\\u0000"',
        b"[]",
        b"{}",
    ),
    *(
        b"[null]",
        b"[[]]",
        b"[{}]",
        b'[{"type":"\\ud800"}]',
        b'{"type":"\\ud800"}',
        b'{"a":1,"a":2}',
        b"[5]",
        b'["x"]',
        b"9" * 400,
    ),
    *(
        b"9" * 5_000,
        b"[" * 200 + b"]" * 200,
        b"[" * 900 + b"]" * 900,
        b'{"a":' * 900 + b"1" + b"}" * 900,
        b'{"": ""}',
        b'"' + b"x" * 70_000 + b'"',
    ),
)


def bodies(format: str) -> list[bytes]:
    return [body_of(format, **more) for more in ({}, TO_ROUTER, *RICH.get(format, ()))]


def said(format: str, body: bytes) -> None:
    """Read, and said again to a provider of the same format, to one that has a smaller cap, and to one that speaks Chat."""
    own = surface(format)
    try:
        envelope = own.read(body, call(format))
    except Invalid:
        return
    assert envelope.prompt_bytes >= 0
    for changes in ({}, {"model": CAPPED, "cap": 3}):
        decode_members(b"".join(own.request(envelope, asked(format, **changes)).body))
    pair = downstream_pair(format)
    if pair is not None:
        try:
            request, _ = Adapter(own, endpoint("chat"), None, pair).request(envelope, asked("chat", cap=3))
        except Invalid:
            return
        decode_members(b"".join(request.body))


@pytest.mark.parametrize("format", BODIES)
def test_member_of_any_value_is_read_or_refused(format: str) -> None:
    """Each member that a surface knows, with each value that is none of its own."""
    for more in ({}, TO_ROUTER, *RICH.get(format, ())):
        members = {**BODIES[format], **more}
        for name in (*members, "temperature", "metadata", "service_tier", "stop", "cache_control", "tool_choice", "tools"):
            text = body_of(format, **{**more, name: "@@"})
            for value in VALUES:
                said(format, text.replace(b'"@@"', value))


@pytest.mark.parametrize("format", BODIES)
def test_member_within_of_any_value_is_read_or_refused(format: str) -> None:
    """The same one level deeper: of a configuration, a tool, an input."""
    for more in (TO_ROUTER, *RICH.get(format, ())):
        for name, outer in more.items():
            inner = outer[0] if isinstance(outer, list) and isinstance(outer[0], dict) else outer
            for key in inner if isinstance(inner, dict) else ():
                changed = {**inner, key: "@@"}
                text = body_of(format, **{**more, name: [changed] if isinstance(outer, list) else changed})
                for value in VALUES:
                    said(format, text.replace(b'"@@"', value))


@pytest.mark.parametrize("format", BODIES)
def test_body_that_was_changed_at_random_is_read_or_refused(format: str) -> None:
    """Bytes put in, taken out and replaced."""
    dice = random.Random(format)
    seeds = bodies(format)
    for _ in range(400):
        body = bytearray(dice.choice(seeds))
        for _ in range(dice.randint(1, 4)):
            at = dice.randint(0, len(body))
            match dice.randint(0, 3):
                case 0:
                    body[at:at] = dice.choice(MARKS)
                case 1:
                    del body[at : at + dice.randint(1, 12)]
                case 2:
                    body[at : at + 1] = dice.randbytes(1)
                case _:
                    body[at:at] = body[at // 2 : at // 2 + dice.randint(1, 30)]
        said(format, bytes(body))


@pytest.mark.parametrize("format", ["image_edits", "transcriptions", "translations"])
def test_form_that_was_changed_at_random_is_read_or_refused(format: str) -> None:
    """And one that is read is written as a form that says the same."""
    dice = random.Random(format)
    name = "image" if format == "image_edits" else "file"
    whole, kind = form(model=MODEL, **{name: b"RIFF" + bytes(40)}, prompt="x", stream="true", n="2", response_format="json")
    for _ in range(600):
        body = bytearray(whole)
        for _ in range(dice.randint(1, 3)):
            at = dice.randint(0, len(body))
            match dice.randint(0, 2):
                case 0:
                    body[at:at] = dice.choice((b"\r\n", b"--b", b"\xff", b'"', b";", b'; name="x"', b"\r\n--b\r\n", b"model"))
                case 1:
                    del body[at : at + dice.randint(1, 12)]
                case _:
                    body[at : at + 1] = dice.randbytes(1)
        try:
            envelope = surface(format).read(bytes(body), call(format, kind))
        except Invalid:
            continue
        sent = b"".join(surface(format).request(envelope, asked(format)).body)
        again = surface(format).read(sent, call(format, kind))
        assert (again.model, again.choices, again.stream) == ("own-m", envelope.choices, envelope.stream)
