"""Bodies that are nearly requests, on every surface of a running edge: each is answered, and no answer is a fault of ours.

Strategy: a body that is right is changed at a few places, as JSON (a value for another one, a member twice) or as bytes (cut,
doubled, spliced with what parsers choke on). Seeded; a case is named by its number.
"""

import asyncio
import contextlib
import json
from collections import Counter
from collections.abc import Sequence
from copy import deepcopy
from random import Random
from typing import Any

SAID = [{"role": "user", "content": "hello"}]
PARTS = [
    {
        "role": "user",
        "content": [{"type": "text", "text": "a"}, {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA"}}],
    }
]
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {"a": {"type": "string"}}}}}
MODEL = "echo/echo-1"
GEMINI = "/v1beta/models/echo/echo-1:"
RIGHT: tuple[tuple[str, Any], ...] = (
    ("/v1/chat/completions", {"model": MODEL, "messages": SAID, "stream": True, "stream_options": {"include_usage": True}}),
    ("/v1/chat/completions", {"model": MODEL, "messages": PARTS, "tools": [TOOL], "temperature": 0.5, "max_tokens": 5, "n": 2}),
    (
        "/api/v1/chat/completions",
        {
            "models": [MODEL],
            "messages": SAID,
            "provider": {"order": ["echo"]},
            "plugins": [{"id": "x"}],
            "reasoning": {"effort": "low"},
        },
    ),
    (
        "/v1/messages",
        {"model": MODEL, "max_tokens": 9, "system": [{"type": "text", "text": "s"}], "messages": SAID, "stream": True},
    ),
    ("/v1/messages/count_tokens", {"model": MODEL, "messages": SAID}),
    (
        "/v1/responses",
        {
            "model": MODEL,
            "input": SAID,
            "store": False,
            "reasoning": {"effort": "low"},
            "tools": [{"type": "function", "name": "f"}],
        },
    ),
    ("/v1/responses", {"model": MODEL, "input": "hello", "store": False, "text": {"format": {"type": "text"}}}),
    ("/v1/completions", {"model": MODEL, "prompt": ["a", "b"], "max_tokens": 3, "logprobs": 1}),
    ("/v1/embeddings", {"model": MODEL, "input": ["a", "b"], "dimensions": 3, "encoding_format": "float"}),
    ("/v1/moderations", {"model": MODEL, "input": [{"type": "text", "text": "a"}]}),
    ("/v1/images/generations", {"model": MODEL, "prompt": "a", "n": 1, "size": "256x256"}),
    ("/v1/audio/speech", {"model": MODEL, "input": "a", "voice": "alloy", "speed": 1.0}),
    ("/v1/rerank", {"model": MODEL, "query": "a", "documents": ["b", {"text": "c"}], "top_n": 1}),
    (
        GEMINI + "generateContent",
        {"contents": [{"role": "user", "parts": [{"text": "a"}]}], "generationConfig": {"maxOutputTokens": 4}},
    ),
    (
        GEMINI + "streamGenerateContent?alt=sse",
        {"contents": [{"parts": [{"text": "a"}]}], "tools": [{"functionDeclarations": []}]},
    ),
    (GEMINI + "countTokens", {"contents": [{"parts": [{"text": "a"}]}]}),
    (GEMINI + "embedContent", {"content": {"parts": [{"text": "a"}]}}),
    (GEMINI + "batchEmbedContents", {"requests": [{"model": "models/" + MODEL, "content": {"parts": [{"text": "a"}]}}]}),
)
FORMATS = ("chat", "messages", "responses", "gemini", "converse", "cohere")
"""Of providers that refuse all they are asked: what is tried with them is what we make of a request for them."""
VALUES: tuple[Any, ...] = (
    *(
        None,
        True,
        False,
        0,
        -1,
        1,
        2**63,
        2**64,
        10**40,
        1e308,
        0.1,
        "",
        "x",
        "null",
        "echo/echo-1",
        "\x00",
        "\ud800",
        "é",
        "x" * 5_000,
    ),
    *([], {}, [[]], [{}], [None], {"": ""}, {"type": "text"}, {"type": "image_url"}, ["a"] * 300, {"a": {"a": {"a": {}}}}),
)
BYTES = (
    *(
        b"{",
        b"}",
        b"[",
        b"]",
        b'"',
        b"\\",
        b",",
        b":",
        b"null",
        b"NaN",
        b"-Infinity",
        b"1e999",
        b"-0",
        b"0x1",
        b"\\u0000",
        b"\\ud800",
    ),
    *(
        b"\xff",
        b"\xef\xbb\xbf",
        b"\x00",
        b"\r\n",
        b"9" * 5_000,
        b"[" * 3_000,
        b'{"a":' * 2_000,
        b'"model":"other/m",',
        b'"Model":"x",',
    ),
)


def table(port: int) -> str:
    """providers.toml with a provider of each format, all of them at this port."""
    one = """
[providers.{0}]
base_url = "http://127.0.0.1:{1}/v1"
api_key = "none"
serves = ["{0}"]
[providers.{0}.models.m]
input = "1"
output = "2"
context_tokens = 100_000
max_output_tokens = 1_000
"""
    return "".join(one.format(name, port) for name in FORMATS)


async def _refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A provider."""
    try:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                length = head.partition(b"content-length: ")[2].partition(b"\r\n")[0]
                await reader.readexactly(int(length or b"0"))
                said = b'{"error":{"message":"no","type":"invalid_request_error"}}'
                writer.write(
                    b"HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
                    % (len(said), said)
                )
    finally:  # also when the loop ends, which no writer may outlive
        writer.close()


def case(random: Random) -> tuple[str, bytes]:
    """(path, body)."""
    path, value = random.choice(RIGHT)
    value = deepcopy(value)
    for _ in range(random.randrange(4)):
        _change_value(random, value)
    body = json.dumps(value).encode("utf-8", "surrogatepass")
    if random.random() < 0.5:
        model = f"{random.choice(FORMATS)}/m"
        path, body = path.replace(MODEL, model), body.replace(MODEL.encode(), model.encode())
    if random.random() < 0.5:
        for _ in range(random.randrange(1, 4)):
            body = _change_bytes(random, body)
    return path, body


def _value(random: Random) -> Any:
    return deepcopy(random.choice(VALUES))


def _change_value(random: Random, value: Any) -> None:
    """Replace, remove or add something at some depth."""
    while True:
        keys: Sequence[Any] = list(value) if isinstance(value, dict) else range(len(value))
        if not keys:
            return
        key = random.choice(keys)
        if isinstance(value[key], dict | list) and random.random() < 0.7:
            value = value[key]
            continue
        match random.randrange(4):
            case 0 | 1:
                value[key] = _value(random)
            case 2:
                del value[key]
            case 3 if isinstance(value, dict):
                value[random.choice(("x", "", "stream", "store", "n", "type", key.upper(), key + "s"))] = _value(random)
            case _:
                value.append(_value(random)) if isinstance(value, list) else None
        return


def _change_bytes(random: Random, body: bytes) -> bytes:
    at, to = sorted((random.randrange(len(body) + 1), random.randrange(len(body) + 1)))
    match random.randrange(5):
        case 0:
            return body[:at]
        case 1:
            return body[:at] + body[to:]
        case 2:
            return body[:to] + body[at:]
        case 3:
            return body[:at] + random.choice(BYTES) + body[at:]
        case _:
            return body[:at] + bytes([random.randrange(256)]) + body[at + 1 :]


async def send_all(
    port: int, key: str, provider_port: int, seed: int, count: int, connections: int = 8
) -> tuple[Counter[int], list[str]]:
    """(how many answers had which status, the cases whose answer is a fault)."""
    statuses: Counter[int] = Counter()
    faults: list[str] = []
    numbers = iter(range(count))

    async def run() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for number in numbers:
            path, body = case(Random(seed + number))
            head = f"POST {path} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {key}\r\nContent-Length: {len(body)}\r\n\r\n"
            writer.write(head.encode() + body)
            status = await _read_answer(reader)
            statuses[status] += 1
            if status >= 500:
                faults.append(f"case {seed + number}: {status} for {path} {body[:300]!r}")
        writer.close()

    provider = await asyncio.start_server(_refuse, "127.0.0.1", provider_port)
    async with asyncio.TaskGroup() as group:
        for _ in range(connections):
            group.create_task(run())
    provider.close()  # and no wait for the edge to close what it keeps open there
    return statuses, faults


async def _read_answer(reader: asyncio.StreamReader) -> int:
    """The status of an answer that is read to its end."""
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    if b"content-length: " in head:
        await reader.readexactly(int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0]))
    elif b"transfer-encoding: chunked" in head:
        size = -1
        while size:
            size = int(await reader.readuntil(b"\r\n"), 16)
            await reader.readexactly(size + 2)
    return int(head.split()[1])
