"""Event by event, as most reads are, a stream takes the short way through its translators: what comes out, and what is counted,
is what a stream comes to that is cut anywhere and so is read in full."""

import json
import random
import re
from collections.abc import Callable
from typing import Any

import pytest

from routing.metering.meter import Meter
from routing.rewrite.chat.stream import StreamRewrite
from routing.rewrite.gemini import GeminiStream
from routing.rewrite.identity import Identity
from routing.table.tariff import Tariff
from routing.translate import DOWNSTREAM, UPSTREAM, Format, downstream_pair, upstream_pair
from routing.translate.chain import Chain
from routing.translate.frames import Framed
from tests.routing.translate import streams
from tests.routing.wire.frames import frame
from usage.flavor import Flavor

PAIRS = [(provider, caller) for provider in (*UPSTREAM, "chat") for caller in ("chat", *DOWNSTREAM) if caller != provider]
FLAVORS = {"openai": Flavor.OPENAI, "openrouter": Flavor.OPENROUTER}
TEXTS = (
    "Hello", " wor", "ld, this", ' a "quoted" word', "back\\slash", "line\nbreak", "é", "\u2028", "😀", "x", "", '"', "\\",
    '", "finish_reason": "stop', '"}],"role":"model"},"index":0}],"usageMetadata":{', '","logprobs":[],"obfuscation":"a', "1",
    "\x01", "[DONE]", '": ', "data: {}\n\n", "</s>", "0",
)  # fmt: skip
RECORDED: dict[Format, str] = {
    "chat": "openai-text",
    "messages": "anthropic-text",
    "responses": "responses-xai-text-with-reasoning.1",
    "gemini": "google-text",
    "cohere": "cohere-text",
    "converse": "amazon-bedrock-text",
}
PIECES: dict[Format, Callable[[str, int], Any]] = {
    "chat": lambda text, number: json.loads(streams.lines("openai-text")[0]) | {
        "choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None}], "obfuscation": "ab"[: number % 3],
    },
    "messages": lambda text, number: {
        "type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text},
    },
    "responses": lambda text, number: {
        "type": "response.output_text.delta", "sequence_number": number, "item_id": "m", "output_index": 0, "content_index": 0,
        "delta": text, "logprobs": [], "obfuscation": "abcdefgh"[: number % 8],
    },
    "gemini": lambda text, number: {
        "candidates": [{"content": {"parts": [{"text": text}], "role": "model"}, "index": 0}],
        "usageMetadata": {"promptTokenCount": 9, "candidatesTokenCount": number, "totalTokenCount": number + 9},
        "modelVersion": "gemini-3", "responseId": "r",
    },
    "cohere": lambda text, number: {
        "type": "content-delta", "index": 0, "delta": {"message": {"content": {"text": text}}},
    },
    "converse": lambda text, number: {"contentBlockIndex": 0, "delta": {"text": text}, "p": "abcdefgh"[: number % 8]},
}  # fmt: skip


def made(provider: Format, value: Any, *, is_ascii: bool = True) -> bytes:
    if provider == "converse":
        return frame("contentBlockDelta", value)
    return streams.framed(provider, [json.dumps(value, separators=(",", ":"), ensure_ascii=is_ascii).encode()]).removesuffix(
        b"data: [DONE]\n\n"
    )


def events_of(provider: Format, wire: bytes) -> list[bytes]:
    """A stream, one event in each piece."""
    if provider != "converse":
        return [each for each in re.split(rb"(?<=\n\n)|(?<=\r\n\r\n)", wire) if each]
    found = []
    while wire:
        size = int.from_bytes(wire[:4], "big")
        found.append(wire[:size])
        wire = wire[size:]
    return found


def chain(provider: Format, caller: Format, flavor: Flavor = Flavor.OPENAI) -> Chain:
    upstream, downstream = upstream_pair(provider), downstream_pair(caller)
    identity = Identity("gen-1", "a/b", flavor if downstream is None else Flavor.OPENAI, "p", 1)
    rewrite = StreamRewrite(
        identity, Meter(Tariff(streams.RATES), 9), include_usage=downstream is not None, created=1, line_bytes_max=1 << 24
    )
    return Chain(
        identity,
        rewrite,
        upstream.machine(streams.CONTEXT) if upstream else None,
        downstream.machine(streams.CONTEXT) if downstream else None,
    )


def outcome(machine: Any, pieces: list[bytes]) -> tuple[Any, ...]:
    sent = b""
    for piece in pieces:
        if not machine.is_over:
            sent += machine.feed(piece)
    sent += machine.finish()
    meter = machine.meter
    return sent, meter.deltas, meter.text_bytes, meter.usage_json(), machine.is_complete, machine.error, machine.finish_reason


def cut(wire: bytes, size: int) -> list[bytes]:
    return [wire[at : at + size] for at in range(0, len(wire), size)]


def spoken(provider: Format, seed: int, *, is_ascii: bool) -> list[bytes]:
    """The head of a recording, pieces of text of any kind, its tail."""
    dice = random.Random(seed)
    head = events_of(provider, streams.wire(RECORDED[provider]))
    at = next((at for at, event in enumerate(head) if b"elta" in event or b"candidates" in event), 0) + 1
    return [
        *head[:at],
        *(made(provider, PIECES[provider](dice.choice(TEXTS), number), is_ascii=is_ascii) for number in range(60)),
        *head[at:],
    ]


@pytest.mark.parametrize("flavor", FLAVORS)
@pytest.mark.parametrize(("provider", "caller"), PAIRS)
def test_event_by_event_is_byte_by_byte(provider: Format, caller: Format, flavor: str) -> None:
    """Texts with quotes, escapes, ends of lines, other formats' words, between parts of a recording."""
    for seed in range(6):
        events = spoken(provider, seed, is_ascii=bool(seed % 2))
        whole = outcome(chain(provider, caller, FLAVORS[flavor]), events)
        assert outcome(chain(provider, caller, FLAVORS[flavor]), cut(b"".join(events), 7)) == whole
        assert whole[1] > 40


WORDS = (
    "content",
    "text",
    "delta",
    "model",
    "role",
    "reasoning",
    "chat.completion.chunk",
    "text_delta",
    "assistant",
    "gen-1",
    "a/b",
)
"""Of the formats and of our names."""


@pytest.mark.parametrize("flavor", FLAVORS)
@pytest.mark.parametrize(("provider", "caller"), PAIRS)
def test_text_that_is_a_word_of_the_format_teaches_nothing(provider: Format, caller: Format, flavor: str) -> None:
    """A model that says `content` or `text`, where the next piece is told by what stood around the last."""
    for word in WORDS:
        head = events_of(provider, streams.wire(RECORDED[provider]))
        at = next((at for at, event in enumerate(head) if b"elta" in event or b"candidates" in event), 0) + 1
        said = [
            made(provider, PIECES[provider](text, number)) for number, text in enumerate((word, word, "one more", word, "an end"))
        ]
        events = [*head[:at], *said, *head[at:]]
        whole = outcome(chain(provider, caller, FLAVORS[flavor]), events)
        assert outcome(chain(provider, caller, FLAVORS[flavor]), cut(b"".join(events), 7)) == whole


@pytest.mark.parametrize("caller", ["chat", *DOWNSTREAM])
@pytest.mark.parametrize("name", streams.names("chunks.txt", "chat", *UPSTREAM))
def test_recording_event_by_event(name: str, caller: Format) -> None:
    """The same of every recording: thoughts, signatures, calls, ends."""
    provider = streams.format_of(name)
    wire = streams.wire(name, is_short=True)
    whole = outcome(chain(provider, caller), events_of(provider, wire))
    assert outcome(chain(provider, caller), cut(wire, 11)) == whole


def test_gemini_passed_event_by_event() -> None:
    """Also where the provider speaks the caller's format."""
    for seed in range(6):
        events = spoken("gemini", seed, is_ascii=bool(seed % 2))
        machines = [
            GeminiStream(streams.IDENTITY, Meter(Tariff(streams.RATES), 9), created=1, line_bytes_max=1 << 24) for _ in range(2)
        ]
        assert outcome(machines[0], events) == outcome(machines[1], cut(b"".join(events), 7))


@pytest.mark.parametrize(("provider", "caller"), PAIRS)
def test_plain_pieces_take_the_short_way(provider: Format, caller: Format) -> None:
    """It is learned after a few, one step from the provider's event to the caller's; numbers and padding are no hindrance."""
    machine = chain(provider, caller)
    machine.feed(spoken(provider, 0, is_ascii=True)[0])
    taken = 0
    for number in range(40):
        event = made(provider, PIECES[provider](f"word {number}", number))
        if machine.swap(event):
            taken += 1
        else:
            machine.scan(event)
    assert taken > 30
    assert machine.swap(made(provider, PIECES[provider]("\ud83d", 41))) == b""


class Miscounting(Chain):
    """Wrong: the short way forgets to count."""

    def swap(self, data: bytes) -> bytes:
        counted = self.meter.text_bytes
        sent = super().swap(data)
        self.meter.text_bytes = counted
        return sent


class Careless(Chain):
    """Wrong: whatever stands between head and tail is a text."""

    def swap(self, data: bytes) -> bytes:
        upstream = self._upstream
        if isinstance(upstream, Framed) and (known := upstream.frame) is not None and data.startswith(known.head):
            return self._rewrite.scan(upstream.said(data[len(known.head) : len(data) - len(known.tail)]))
        return b""


@pytest.mark.parametrize("wrong", [Miscounting, Careless])
def test_wrong_short_way_is_seen(wrong: type[Chain]) -> None:
    """The comparison tells a way that counts nothing, and one that does not look at the text."""
    events = spoken("messages", 1, is_ascii=True)
    right = chain("messages", "chat")
    machine = wrong(right._identity, right._rewrite, right._upstream, right._downstream)
    assert outcome(machine, events) != outcome(chain("messages", "chat"), cut(b"".join(events), 7))
