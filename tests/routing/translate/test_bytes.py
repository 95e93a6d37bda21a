"""Bytes of any kind through every translator: nothing raises, and how they were cut makes no difference.

The deep form feeds 20,000 strings; the short one 600.
"""

import json
import random
from itertools import product

import pytest

from routing.failures.failure import AttemptFailed
from routing.rewrite.chat.answer import open_answer, rewrite_answer
from routing.translate import DOWNSTREAM, UPSTREAM, Format, upstream_pair
from tests.routing.translate import streams

PROVIDERS: list[Format] = [*UPSTREAM, "chat"]
CALLERS: list[Format] = ["chat", *DOWNSTREAM]
WORDS = (
    b"data: ", b"event: error\n", b"\n\n", b"\r\n", b"[DONE]", b"data: [DONE]\n\n", b"{}", b"null", b"[]", b'{"type":',
    b'"delta":',
    b'"\\ud83d"',
    b"NaN", b"-1", b"1e999", b'"index":', b'"usage":{"input_tokens":', b"[" * 2_000, b'{"a":' * 2_000, b"\x00\xff",
    b"true",
    b'{"type":"error","error":{"message":"x"}}', b'{"type":"message_start","message":null}', b'{"candidates":[null]}',
    b'{"choices":[{"index":0,"delta":{"tool_calls":[{"index":-5,"function":null},null]}}]}',
    b'{"choices":[{"delta":{"content":[{"type":"thinking","thinking":[null,{"text":5}]}]}}]}',
    b'{"type":"content_block_delta","index":9,"delta":{"type":"thinking_delta","thinking":5}}',
    b'{"type":"content_block_start","index":-1,"content_block":{"type":"tool_use","id":null}}',
    b'{"usageMetadata":{"promptTokenCount":-4,"promptTokensDetails":[{"modality":1}]}}',
)  # fmt: skip


def bodies(seed: int, count: int, provider: Format) -> list[bytes]:
    """Random ones, ones of words, and mutations of what the provider really sent."""
    dice = random.Random(f"{seed}{provider}")
    real = [streams.wire(name, is_short=True) for name in streams.names("chunks.txt", provider)]
    found = []
    for _ in range(count):
        kind = dice.random()
        if kind < 0.1:
            found.append(dice.randbytes(dice.randrange(300)))
            continue
        if kind < 0.35:
            found.append(b"".join(dice.choices(WORDS, k=dice.randrange(1, 12))))
            continue
        body = bytearray(dice.choice(real))
        start = dice.randrange(len(body))
        body = body[: dice.randrange(2_500)] + body[start : start + dice.randrange(2_500)]
        for _ in range(dice.randrange(1, 8)):
            at = dice.randrange(len(body) + 1)
            match dice.randrange(4):
                case 0:
                    body[at:at] = dice.choice(WORDS)
                case 1:
                    del body[at : at + dice.randrange(1, 30)]
                case 2:
                    body[at : at + 1] = dice.randbytes(1)
                case 3:
                    body[at : at + 1] = dice.choice((b'"', b"0", b"null", b"[", b"}", b","))
        found.append(bytes(body))
    return found


def tried(seed: int, count: int) -> int:
    done = 0
    for provider in PROVIDERS:
        for number, body in enumerate(bodies(seed, count, provider)):
            caller = CALLERS[number % len(CALLERS)]
            outcomes = []
            for size in (0, 17):
                chain = streams.chain(provider, caller)
                sent = streams.run(chain, body, size)
                outcomes.append((sent, chain.error, chain.is_complete, chain.meter.usage_json()))
                assert not sent or sent.endswith((b"\n\n", b"\n\r\n", b"\r\r"))
            assert outcomes[0] == outcomes[1], (provider, caller, body)
            if caller != "chat":
                assert all(isinstance(event, dict) for event in streams.events(sent))
            done += 1
    return done


@pytest.mark.parametrize("seed", range(3))
def test_bytes_of_any_kind(seed: int) -> None:
    """Whatever a provider sends, in whatever pieces, comes to a defined end; what goes out are whole events."""
    assert tried(seed, 40) == 40 * len(PROVIDERS)


@pytest.mark.deep
@pytest.mark.parametrize("seed", range(100, 110))
def test_twenty_thousand_strings_of_bytes(seed: int) -> None:
    """The same, long."""
    assert tried(seed, 400) == 400 * len(PROVIDERS)


@pytest.mark.parametrize(("provider", "seed"), list(product(UPSTREAM, range(2))))
def test_whole_bodies_of_any_kind(provider: Format, seed: int) -> None:
    """A whole body is an answer or none; it never raises anything else."""
    pair = upstream_pair(provider)
    assert pair is not None
    real = [streams.answer(name) for name in streams.names("json", provider)] or [b"{}"]
    dice = random.Random(seed)
    for body in [*bodies(seed, 40, provider), *real]:
        mutated = bytearray(body)
        if mutated:
            mutated[dice.randrange(len(mutated))] = dice.randrange(256)
        for each in (body, bytes(mutated), b"\xff" + body, b"[" + body + b"]"):
            said = pair.whole(each, streams.CONTEXT)
            try:
                rewrite_answer(said, open_answer(said), streams.IDENTITY, streams.rewriter().meter)
            except AttemptFailed:
                continue


def test_lone_surrogates_arrive_whole() -> None:
    """Half of a pair in one delta, the other half in the next: a client that puts them together has the character."""
    halves = [
        b'{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"%b"}}' % half
        for half in (b"\\ud83d", b"\\ude00")
    ]
    start = b'{"type":"message_start","message":{"id":"m","usage":{"input_tokens":1}}}'
    end = [b'{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":1}}', b'{"type":"message_stop"}']
    wire = streams.framed("messages", [start, *halves, *end])
    said = streams.chat_message(streams.run(streams.chain("messages", "chat"), wire))["content"]
    assert said.encode("utf-16", "surrogatepass").decode("utf-16") == "😀"
    for caller in DOWNSTREAM:
        sent = streams.run(streams.chain("messages", caller), wire)
        assert rb"\ud83d" in sent
        assert json.loads(b'"%b"' % rb"\ud83d\ude00") == "😀"
