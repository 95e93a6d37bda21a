"""The built-in provider `echo`: answers in OpenAI's dialect with what the caller said last, without a network or a key.

It is an Upstream like any other, so everything around it (credit, journal, usage, rewriting) is the real thing.
Rule: it works on the event loop that everybody shares: what it makes for one request has bounds (`edge.providers.echo_bounds`),
and a stream is made event by event, with a turn of the loop in between.
Limits: one token is a word; `max_tokens` is obeyed; images and audio are named, not described.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from typing import Any

import msgspec

from edge.providers.echo_bounds import SAID_CHARS_MAX, EchoBoundExceeded, words_in
from edge.upstream import Header, PoolStats, Target
from edge.write_batch import WriteBatch
from usage.flavor import Flavor, error_body

CHAT_PATH = "/chat/completions"
_HEADERS: dict[bool, list[Header]] = {
    True: [(b"content-type", b"text/event-stream")],
    False: [(b"content-type", b"application/json")],
}


class _Function(msgspec.Struct, frozen=True):
    name: str = ""


class _Tool(msgspec.Struct):
    function: _Function = _Function()


class _EchoMessage(msgspec.Struct):
    role: str = ""
    content: Any = None


class _Request(msgspec.Struct):
    model: str
    messages: list[_EchoMessage]
    stream: bool | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    n: int | None = None
    tools: list[_Tool] | None = None
    tool_choice: Any = None
    reasoning_effort: Any = None


_decode = msgspec.json.Decoder(_Request, strict=False).decode
_encode = msgspec.json.encode


class EchoExchange:
    """An answer that is there at once, or is made event by event."""

    __slots__ = ("_next", "_pieces", "fields", "headers", "sink", "status")

    def __init__(self, status: int, headers: list[Header], pieces: Iterable[bytes]) -> None:
        self.status = status
        self.headers, self.fields = headers, dict(headers)
        self.sink: Callable[[bytes], bool] | None = None
        self._pieces = iter(pieces)
        self._next = next(self._pieces, b"")

    @property
    def is_whole(self) -> bool:
        return not self._next

    async def head(self) -> bool:
        return True

    async def read(self) -> bytes | None:
        piece, self._next = self._next, next(self._pieces, b"")
        if self._next:
            await asyncio.sleep(0)  # a provider's next event takes a turn of the loop, too
        return piece

    def poke(self) -> None:
        pass

    def abort(self) -> None:
        self._pieces = iter(())
        self._next = b""


MISREAD = (LookupError, AttributeError, TypeError, ValueError, RecursionError)
"""What reading a member raises that has another form than it should."""
MISREAD_MESSAGE = "echo cannot read this: a member is missing, or has another form than this API gives it"


class EchoUpstream:
    """Answers every request by itself."""

    write_batch: WriteBatch | None = None

    async def open(self, target: Target, head: bytes, body: Sequence[bytes | memoryview]) -> EchoExchange:
        path = head[5 : head.find(b" ", 5)].decode("latin-1")
        if path != CHAT_PATH:
            return _other(path, head, b"".join(body))
        try:
            return _answer(_decode(b"".join(body) if len(body) != 1 else body[0]))
        except msgspec.DecodeError as problem:
            error = error_body(Flavor.OPENAI, 400, f"echo cannot read this: {problem}", None)
        except MISREAD:
            error = error_body(Flavor.OPENAI, 400, MISREAD_MESSAGE, None)
        return EchoExchange(400, _HEADERS[False], [error])

    async def aclose(self) -> None:
        pass

    def stats(self) -> PoolStats:
        return PoolStats(open=0, idle=0, opened_total=0, reused_total=0)


def _other(path: str, head: bytes, body: bytes) -> EchoExchange:
    """An answer in another format than Chat's."""
    from edge.providers.echo_formats import answer

    try:
        kind, pieces = answer(path, head, body)
    except MISREAD as problem:
        error = error_body(Flavor.OPENAI, 400, str(problem) if isinstance(problem, EchoBoundExceeded) else MISREAD_MESSAGE, None)
        return EchoExchange(400, _HEADERS[False], [error])
    return EchoExchange(200, [(b"content-type", kind)], pieces)


def _answer(request: _Request) -> EchoExchange:
    choices = request.n or 1
    said = _text(request.messages[-1].content)[: SAID_CHARS_MAX // choices] or "(nothing)"
    cap = request.max_completion_tokens or request.max_tokens or 1_000_000
    words = said.count(" ") + 1
    kept, finish = (said, "stop") if words <= cap else (" ".join(said.split(" ", cap)[:cap]), "length")
    prompt = sum(words_in(_text(message.content)) + 4 for message in request.messages)
    completion = min(words, cap) * choices
    usage = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
    base = {"id": "echo", "object": "chat.completion", "created": int(time.time()), "model": request.model}
    message: dict[str, Any] = {"role": "assistant", "content": kept}
    if request.reasoning_effort not in (None, "none"):
        message["reasoning_content"] = "The caller wants to hear its own words."
    if called := _called(request):
        arguments = _encode({"text": kept}).decode()
        call = {"id": "call_echo", "type": "function", "function": {"name": called, "arguments": arguments}}
        message |= {"content": None, "tool_calls": [call]}
        finish = "tool_calls"
    if not request.stream:
        answers = [{"index": index, "message": message, "finish_reason": finish} for index in range(choices)]
        return EchoExchange(200, _HEADERS[False], [_encode({**base, "choices": answers, "usage": usage})])
    base["object"] = "chat.completion.chunk"
    return EchoExchange(200, _HEADERS[True], _events(base, _deltas(message), finish, choices, usage))


def _called(request: _Request) -> str:
    """The tool that the caller wants called whatever is said; empty when it leaves the choice."""
    choice, tools = request.tool_choice, request.tools or []
    if isinstance(choice, dict):
        function = choice.get("function")
        return str(function.get("name", "")) if isinstance(function, dict) else ""
    return tools[0].function.name if choice == "required" and tools else ""


def _deltas(message: dict[str, Any]) -> Iterator[dict[str, Any]]:
    first: dict[str, Any] = {"role": "assistant"}
    if "reasoning_content" in message:
        yield first
        first = {"reasoning_content": message["reasoning_content"]}
    if "tool_calls" in message:
        yield first
        yield {"tool_calls": [{"index": 0, **message["tool_calls"][0]}]}
        return
    for word in _spoken(message["content"]):
        yield first | {"content": word}
        first = {}


def _spoken(text: str) -> Iterator[str]:
    """Word by word, each with the space before it; a list of them would be many times as large as the text."""
    stop = text.find(" ")
    yield text if stop < 0 else text[:stop]
    while stop >= 0:
        start, stop = stop, text.find(" ", stop + 1)
        yield text[start:] if stop < 0 else text[start:stop]


def _events(
    base: dict[str, Any], deltas: Iterable[dict[str, Any]], finish: str, choices: int, usage: dict[str, int]
) -> Iterator[bytes]:
    of_choices = (
        {**base, "choices": [{"index": index, "delta": delta, "finish_reason": end}]}
        for delta, end in chain(((delta, None) for delta in deltas), [({}, finish)])
        for index in range(choices)
    )
    for event in chain(of_choices, [{**base, "choices": [], "usage": usage}]):
        yield b"data: " + _encode(event) + b"\n\n"
    yield b"data: [DONE]\n\n"


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return ""
    parts = [part for part in content if isinstance(part, dict)]
    return " ".join(str(part["text"]) if part.get("type") == "text" else f"[{part.get('type')}]" for part in parts)
