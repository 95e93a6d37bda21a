"""What a scripted provider of the OpenAI dialect says: answers as steps, and the shapes they are usually made of.

Rule: an answer is a tuple of steps (bytes to write, a gate to wait at, a delay, an end); nothing is added to it later.
Strategy: `respond` and `stream` frame a body as HTTP; `whole`, `bytewise` and `cut_at_random` cut those wire bytes differently.
"""

import json
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Gate:
    """Wait here until `Provider.release(name)`, or until the connection is gone."""

    name: str


@dataclass(frozen=True)
class Delay:
    """Nothing for so long."""

    seconds: float


@dataclass(frozen=True)
class End:
    """The connection ends here: in good order, or with a reset."""

    reset: bool = False


Step = bytes | Gate | Delay | End
Answer = tuple[Step, ...]


def head(status: int, headers: Iterable[tuple[str, str]]) -> bytes:
    """A response head."""
    lines = [f"HTTP/1.1 {status} Scripted", *(f"{name}: {value}" for name, value in headers)]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def respond(
    body: Any, status: int = 200, headers: Sequence[tuple[str, str]] = (), content_type: str = "application/json"
) -> Answer:
    """One whole answer framed by its length. `body` is bytes as they are, or a value to be sent as JSON."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return (head(status, [("content-type", content_type), ("content-length", str(len(raw))), *headers]) + raw,)


def chunk(data: bytes) -> bytes:
    """A chunk of a chunked body."""
    return b"%x\r\n%s\r\n" % (len(data), data)


LAST_CHUNK = b"0\r\n\r\n"


def event(value: Any, line_end: str = "\n") -> bytes:
    """One event: bytes are a payload as it is, any other value is sent as JSON."""
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    end = line_end.encode()
    return b"data: " + raw + end + end


DONE = b"data: [DONE]\n\n"
STREAM_HEADERS = (("content-type", "text/event-stream; charset=utf-8"), ("cache-control", "no-cache"))


def stream(parts: Iterable[Step], headers: Sequence[tuple[str, str]] = (), framing: str = "chunked") -> Answer:
    """A streamed answer of these parts, each a write of its own; `framing` is "chunked" or "close"."""
    if framing == "close":
        return (head(200, [*STREAM_HEADERS, ("connection", "close"), *headers]), *parts, End())
    framed = (chunk(part) if isinstance(part, bytes) else part for part in parts)
    return (head(200, [*STREAM_HEADERS, ("transfer-encoding", "chunked"), *headers]), *framed, LAST_CHUNK)


def whole(answer: Answer) -> Answer:
    """The same bytes in one write."""
    assert all(isinstance(step, bytes | End) for step in answer)
    ends = tuple(step for step in answer if isinstance(step, End))
    return (b"".join(step for step in answer if isinstance(step, bytes)), *ends)


def bytewise(answer: Answer) -> Answer:
    """The same bytes, each in a write of its own."""
    wire, *ends = whole(answer)
    assert isinstance(wire, bytes)
    return (*(wire[at : at + 1] for at in range(len(wire))), *ends)


def cut_at_random(answer: Answer, cuts: int, seed: int, gap_s: float = 0.0005) -> Answer:
    """The same bytes in `cuts` + 1 writes, apart in time so that TCP delivers them apart."""
    wire, *ends = whole(answer)
    assert isinstance(wire, bytes)
    offsets = sorted(random.Random(seed).sample(range(1, len(wire)), min(cuts, len(wire) - 1)))
    steps: list[Step] = []
    for start, stop in zip([0, *offsets], [*offsets, len(wire)], strict=True):
        steps += [wire[start:stop], Delay(gap_s)]
    return (*steps, *ends)


def usage(prompt: int, completion: int, **details: Any) -> dict[str, Any]:
    """The usage object."""
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion, **details}


def completion(content: str | None = "Hello there.", *, prompt: int = 9, tokens: int = 3, **more: Any) -> dict[str, Any]:
    """A whole `chat.completion` as a provider sends it. `message` and `finish_reason` may be given in `more`."""
    message = {"role": "assistant", "content": content, "refusal": None} | more.pop("message", {})
    return {
        "id": "chatcmpl-scripted",
        "object": "chat.completion",
        "created": 1770000000,
        "model": "scripted-2026-01-01",
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": more.pop("finish_reason", "stop")}],
        "usage": usage(prompt, tokens),
        **more,
    }


def delta(finish_reason: str | None = None, /, **fields: Any) -> dict[str, Any]:
    """A `chat.completion.chunk` with one choice whose delta has these fields."""
    return {
        "id": "chatcmpl-scripted",
        "object": "chat.completion.chunk",
        "created": 1770000000,
        "model": "scripted-2026-01-01",
        "choices": [{"index": 0, "delta": fields, "logprobs": None, "finish_reason": finish_reason}],
        "usage": None,
    }


def usage_chunk(prompt: int, tokens: int, **details: Any) -> dict[str, Any]:
    """The last chunk of OpenAI's streams: no choices, the usage."""
    return delta() | {"choices": [], "usage": usage(prompt, tokens, **details)}


WORDS = ("Hel", "lo ", "there.")


def spoken(words: Sequence[str] = WORDS, *, prompt: int = 9, tokens: int = 3, line_end: str = "\n") -> list[bytes]:
    """The events of an ordinary stream, `[DONE]` included."""
    values = [delta(role="assistant", content=""), *(delta(content=word) for word in words), delta("stop")]
    return [*(event(value, line_end) for value in (*values, usage_chunk(prompt, tokens))), event(b"[DONE]", line_end)]
