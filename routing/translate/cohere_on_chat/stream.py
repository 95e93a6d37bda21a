"""Chat's chunks → Cohere's events: one state machine; a whole answer is that stream put together.

Rule: one piece of content or one call is open at a time. Of calls whose fragments come mixed, the open one streams and the others
wait. Usage and the reason of the end go out once, behind everything.
Limits: choices behind the first have no place, nor have signatures of thoughts; a picture that a model made is told in a text.
"""

from typing import Any, Final

import msgspec
from msgspec import Raw

from routing.dialects.chat_usage import count
from routing.plan.refusal import Refusal
from routing.rewrite import cohere
from routing.rewrite.chat.reshape import events_of
from routing.rewrite.cohere import event
from routing.translate import Context
from routing.translate.chat_view import (
    Call,
    Calls,
    Delta,
    Page,
    PendingCall,
    PromptDetails,
    decoded,
    literal_of,
    pages_of,
    pictures_of,
    read_usage,
    text_of,
    texts_of,
)
from routing.translate.event_translator import ChunkTranslator
from routing.translate.events import NOTHING, dumped, loaded
from routing.wire.members import Members, decode_members
from routing.wire.repair import read_object

FINISH: Final = {
    "stop": b"COMPLETE",
    "length": b"MAX_TOKENS",
    "tool_calls": b"TOOL_CALL",
    "function_call": b"TOOL_CALL",
}
_WITHHELD: Final = b'"the answer was withheld by a content filter"'
_BROKEN: Final = b'"the provider could not finish its answer"'
_encode: Final = msgspec.json.Encoder().encode


class ChatToCohere(ChunkTranslator):
    """One stream."""

    __slots__ = ("_called", "_calls", "_citations", "_context", "_index", "_kind", "_open_call")

    def __init__(self, context: Context) -> None:
        super().__init__(context.line_bytes_max)
        self._context = context
        self._calls = Calls()
        self._called: list[PendingCall] = []
        self._citations = 0
        self._index = -1
        """Of the content that began last."""
        self._kind = ""
        """Of the content that is open."""
        self._open_call = -1

    def fail(self, refusal: Refusal, usage: bytes = b"") -> bytes:
        """An answer that broke ends with an error: nothing may follow it."""
        if self._is_over:
            return b""
        self._is_over = True
        out = [] if self._has_begun else [self._begin()]
        self._close(out)
        told = usage_json(usage or self._usage, self._context.prompt_tokens)
        return b"".join([*out, cohere.end(b"ERROR", told, _encode(refusal.message))])

    def _begin(self) -> bytes:
        self._has_begun = True
        return cohere.start(_encode(self._context.gen_id))

    def _delta(self, delta: Delta, out: list[bytes]) -> None:
        details = delta.reasoning_details or ()
        if thought := delta.thought or text_of(details):
            self._say("thinking", thought, out)
        for kind, text in texts_of(delta.content):
            self._say(kind, text, out)
        if refusal := literal_of(delta.refusal):
            self._say("text", refusal, out)
        for picture in pictures_of(delta.images):
            self._say("text", picture.note, out)
        for page in pages_of(delta.annotations):
            self._cite(page, out)
        for call in delta.tool_calls or ():
            self._call(call, out)

    def _say(self, kind: str, text: bytes, out: list[bytes]) -> None:
        name = kind.encode()
        if self._kind != kind:
            self._close(out)
            self._kind = kind
            self._index += 1
            content = b'{"type":"%b","%b":""}' % (name, name)
            out.append(event(b"content-start", b',"index":%d,"delta":{"message":{"content":%b}}' % (self._index, content)))
        out.append(event(b"content-delta", b',"index":%d,"delta":{"message":{"content":{"%b":%b}}}' % (self._index, name, text)))
        self._text = text

    def _cite(self, page: Page, out: list[bytes]) -> None:
        document = b'{"url":%b,"title":%b}' % (page.url, page.title)
        source = b'{"type":"document","id":%b,"document":%b}' % (page.url, document)
        place = b'"start":%d,"end":%d,"text":"","content_index":%d' % (page.start, page.end, max(self._index, 0))
        citation = b'{%b,"sources":[%b],"type":"TEXT_CONTENT"}' % (place, source)
        number, self._citations = self._citations, self._citations + 1
        out.append(event(b"citation-start", b',"index":%d,"delta":{"message":{"citations":%b}}' % (number, citation)))
        out.append(event(b"citation-end", b',"index":%d' % number))

    def _call(self, call: Call, out: list[bytes]) -> None:
        place = self._calls.place(call)
        if place == len(self._called):
            self._called.append(PendingCall())
        called = self._called[place]
        called.add(call)
        if self._open_call in (-1, place):
            self._pour(place, called, out)

    def _pour(self, place: int, called: PendingCall, out: list[bytes]) -> None:
        """What is there of a call. Without a name it cannot begin."""
        if not called.name or called.is_closed:
            return
        if self._open_call != place:
            self._close(out)
            self._open_call = place
            call_id = called.id or _encode(f"call_{self._context.gen_id}_{place}")
            call = b'{"id":%b,"type":"function","function":{"name":%b,"arguments":""}}' % (call_id, self._named(called.name))
            out.append(event(b"tool-call-start", b',"index":%d,"delta":{"message":{"tool_calls":%b}}' % (place, call)))
        delta = b',"index":%d,"delta":{"message":{"tool_calls":{"function":{"arguments":%b}}}}'
        out += [event(b"tool-call-delta", delta % (place, part)) for part in called.waiting]
        called.waiting.clear()

    def _named(self, name: bytes) -> bytes:
        """The tool's name as the request had it."""
        names: dict[str, str] = self._context.memo or {}
        return _encode(names.get(decoded(name), decoded(name))) if names else name

    def _close(self, out: list[bytes]) -> None:
        if self._kind:
            out.append(event(b"content-end", b',"index":%d' % self._index))
            self._kind = ""
        if self._open_call >= 0:
            out.append(event(b"tool-call-end", b',"index":%d' % self._open_call))
            self._called[self._open_call].is_closed = True
            self._open_call = -1

    def _conclude(self) -> bytes:
        if self._is_over:
            return b""
        self._is_over = True
        out = [] if self._has_begun else [self._begin()]
        for place, called in enumerate(self._called):
            if not called.is_closed and (place != self._open_call or called.waiting):
                self._pour(place, called, out)
        self._close(out)
        reason = FINISH.get(self._finish, b"COMPLETE")
        if self._called and reason == b"COMPLETE":
            # A provider that calls tools and says "stop": an agent would end here.
            reason = b"TOOL_CALL"
        error = {"content_filter": _WITHHELD, "error": _BROKEN}.get(self._finish, b"")
        usage = usage_json(self._usage, self._context.prompt_tokens)
        return b"".join([*out, cohere.end(b"ERROR" if error else reason, usage, error)])


def usage_json(usage: bytes, prompt_estimate: int) -> bytes:
    """Our usage object in Cohere's words, with its cost."""
    read = read_usage(usage) if usage else None
    if read is None:
        return cohere.usage_object(prompt_estimate, 0)
    cached = count((read.prompt_tokens_details or PromptDetails()).cached_tokens)
    out = cohere.usage_object(count(read.prompt_tokens), count(read.completion_tokens), cached)[:-1]
    for name in ("cost", "usage_source"):
        if (value := bytes(getattr(read, name))) not in NOTHING:
            out += b',"%b":%b' % (name.encode(), value)
    return out + b"}"


def whole(body: bytes, context: Context) -> bytes:
    """`body` is an answer that was accepted as one."""
    reading = read_object(body)
    assert reading is not None, "open_answer read it"
    machine = ChatToCohere(context)
    return assembled(machine.feed(events_of(body, reading)) + machine.finish())


def assembled(stream: bytes) -> bytes:
    """The answer that a stream of ours makes. Numbers keep the digits that they came with."""
    answer: Members = {}
    content: list[dict[str, Any]] = []
    calls: list[dict[str, Any]] = []
    citations: list[Any] = []
    for line in stream.split(b"\n"):
        payload = line[6:] if line.startswith(b"data: ") else b""
        match loaded(payload) if payload else None:
            case {"type": "message-start", "id": gen_id}:
                answer["id"] = Raw(_encode(gen_id))
            case {"type": "content-start", "delta": {"message": {"content": piece}}}:
                content.append(piece)
            case {"type": "content-delta", "delta": {"message": {"content": piece}}}:
                for name, text in piece.items():
                    content[-1][name] += text
            case {"type": "tool-call-start", "delta": {"message": {"tool_calls": call}}}:
                calls.append(call)
            case {"type": "tool-call-delta", "delta": {"message": {"tool_calls": {"function": {"arguments": part}}}}}:
                calls[-1]["function"]["arguments"] += part
            case {"type": "citation-start", "delta": {"message": {"citations": citation}}}:
                citations.append(citation)
            case {"type": "message-end"}:
                end = decode_members(decode_members(payload)["delta"])
    parts = {"content": content, "tool_calls": calls, "citations": citations}
    message = {"role": "assistant", **{name: value for name, value in parts.items() if value}}
    return _encode(answer | {"finish_reason": end["finish_reason"], "message": Raw(dumped(message)), "usage": end["usage"]})
