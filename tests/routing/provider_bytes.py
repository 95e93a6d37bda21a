"""Arbitrary bytes as a provider's body: random, and mutations of real ones, in the ways that real ones go wrong. Seeded."""

import random

from tests.routing import recordings

TOKENS = (
    b"data: ",
    b"data:",
    b"event: error\n",
    b"error: ",
    b": keep-alive\n\n",
    b"\n\n",
    b"\r\n",
    b"\r",
    b"\n",
    b"[DONE]",
    b"data: [DONE]\n\n",
    b"\xef\xbb\xbf",
    b"\xff\xfe",
    "\u4f60\u597d".encode("gbk"),
    "caf\u00e9".encode("latin-1"),
    b'"code":"\xc2\xb2"',
    b'{"error":{"message":"\xc4\xe3","code":429}}',
    b'{"error":"busy"}',
    b'{"object":"error","message":"no"}',
    b'{"id":"x","model":"m","choices":[{"index":0,"delta":{"content":"hi"},"finish_reason":null}]}',
    b'{"choices":[{"index":1,"delta":{"content":"\\ud83d"},"finish_reason":"stop"}]}',
    b'{"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5}}',
    b'{"choices":null,"usage":{"prompt_tokens":1e999,"completion_tokens":-5,"total_tokens":"x"}}',
    b'{"choices":[{"usage":{"prompt_tokens":1,"completion_tokens":1},"delta":{}}]}',
    b"NaN",
    b"-Infinity",
    b"[" * 3_000,
    b'{"a":' * 3_000,
    b"0" * 5_000,
    b'"\\u12"',
    b'"\x00\x01"',
    b"null",
    b"{}",
    b"<html>",
    b"\x1f\x8b\x08\x00",
    b',"usage":{"prompt_tokens":1}',
    b'"finish_reason":"length"',
)


def bodies(seed: int, count: int) -> list[bytes]:
    """`count` bodies, the same for the same seed."""
    dice = random.Random(seed)
    real = [recordings.wire(name) for name in recordings.STREAMS] + [recordings.answer(name) for name in recordings.ANSWERS]
    return [_body(dice, real) for _ in range(count)]


def _body(dice: random.Random, real: list[bytes]) -> bytes:
    kind = dice.random()
    if kind < 0.1:
        return dice.randbytes(dice.randrange(400))
    if kind < 0.45:
        return b"".join(dice.choices(TOKENS, k=dice.randrange(1, 14)))
    body = bytearray(dice.choice(real))
    start = dice.randrange(len(body))
    if len(body) > 3_000 and dice.random() < 0.9:
        body = body[start : start + dice.randrange(3_000)] if dice.random() < 0.5 else body[:2_000] + body[-800:]
    for _ in range(dice.randrange(1, 6)):
        _mutate(dice, body)
    return bytes(body)


def _mutate(dice: random.Random, body: bytearray) -> None:
    at = dice.randrange(len(body) + 1)
    match dice.randrange(5):
        case 0:
            body[at:at] = dice.choice(TOKENS)
        case 1:
            del body[at : at + dice.randrange(1, 40)]
        case 2:
            body[at : at + 1] = dice.randbytes(1)
        case 3:
            other = dice.randrange(len(body) + 1)
            body[at:at] = body[other : other + dice.randrange(200)]
        case 4:
            del body[at:]
