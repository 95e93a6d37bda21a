"""Chat's chunks → Anthropic's event stream: one state machine.

Rule: one block is open at a time. Of tool calls whose fragments come mixed, the open one streams and the others wait.
Rule: `message_start` goes out with the first part of an answer; usage and the reason of the end go out once, behind everything.
Limits: annotations have no counterpart (Anthropic's citations carry an index of its own), nor have choices behind the first; a
picture that the model made is told in a text.
"""

from typing import Final

import msgspec

from routing.dialects.anthropic import TIERS, error_type
from routing.dialects.chat_usage import count
from routing.plan.refusal import Refusal
from routing.translate import Context
from routing.translate.chat_view import (
    Call,
    Calls,
    Delta,
    Detail,
    PendingCall,
    PromptDetails,
    decoded,
    literal_of,
    pictures_of,
    read_usage,
    text_of,
    texts_of,
)
from routing.translate.event_translator import ChunkTranslator
from routing.translate.events import NOTHING
from routing.translate.reader import joined
from routing.translate.thoughts import ANTHROPIC, Seal, sealed

STOP: Final = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "function_call": "tool_use",
    "content_filter": "refusal",
}
_STARTS: Final = {"text": b'{"type":"text","text":""}', "thinking": b'{"type":"thinking","thinking":"","signature":""}'}
_TIERS: Final = {b'"%b"' % name.encode(): tier.encode() for tier, name in TIERS.items()} | {b'"standard"': b"standard"}
_encode: Final = msgspec.json.Encoder().encode


def event(name: bytes, body: bytes) -> bytes:
    return b'event: %b\ndata: {"type":"%b"%b}\n\n' % (name, name, body)


class ChatToMessages(ChunkTranslator):
    """One stream."""

    __slots__ = ("_block", "_calls", "_context", "_is_signed", "_kind", "_names", "_open_tool", "_refusal", "_tools")

    def __init__(self, context: Context) -> None:
        super().__init__(context.line_bytes_max)
        self._context = context
        self._names: dict[str, str] = context.memo or {}
        self._block = -1
        self._kind = ""
        self._is_signed = False
        self._calls = Calls()
        self._tools: list[PendingCall] = []
        self._open_tool = -1
        self._refusal: list[bytes] = []
        """Words of a refusal. They wait for the end, which tells whether they are the answer or the reason why there is none."""

    def fail(self, refusal: Refusal, usage: bytes = b"") -> bytes:
        """An error event ends the answer: nothing may follow it."""
        if self._is_over:
            return b""
        self._is_over = True
        return failed(refusal, self._context.gen_id)

    def _begin(self) -> bytes:
        self._has_begun = True
        context = self._context
        usage = b'{"input_tokens":%d,"output_tokens":0}' % max(context.prompt_tokens, 1)
        message = (
            b',"message":{"id":%b,"type":"message","role":"assistant","model":%b,"content":[],'
            b'"stop_reason":null,"stop_sequence":null,"usage":%b}'
        )
        return event(b"message_start", message % (_encode(context.gen_id), _encode(context.model), usage))

    def _delta(self, delta: Delta, out: list[bytes]) -> None:
        details = delta.reasoning_details or ()
        if thought := delta.thought or text_of(details):
            self._say("thinking", thought, out)
        for detail in details:
            self._sign(detail, out)
        for kind, text in texts_of(delta.content):
            self._say(kind, text, out)
        if refusal := literal_of(delta.refusal):
            self._refusal.append(refusal)
        for picture in pictures_of(delta.images):
            self._say("text", picture.note, out)
        for call in delta.tool_calls or ():
            self._call(call, out)

    def _say(self, kind: str, text: bytes, out: list[bytes]) -> None:
        if self._kind != kind or self._is_signed:
            self._close(out)
            self._open(kind, _STARTS[kind], out)
        name = kind.encode()
        out.append(self._piece(b'{"type":"%b_delta","%b":%b}' % (name, name, text)))
        self._text = text

    def _sign(self, detail: Detail, out: list[bytes]) -> None:
        """Anthropic's own signatures are its own; others' thoughts stand sealed where Anthropic has what it encrypted."""
        signature, data = literal_of(detail.signature), literal_of(detail.data)
        if signature and detail.format in (None, ANTHROPIC):
            if self._kind != "thinking" or self._is_signed:
                self._close(out)
                self._open("thinking", _STARTS["thinking"], out)
            out.append(self._piece(b'{"type":"signature_delta","signature":%b}' % signature))
            self._is_signed = True
        elif data or signature:
            if detail.format not in (None, ANTHROPIC):
                kind = "encrypted" if data else "signature"
                data = _encode(sealed(Seal(detail.format or "", kind, detail.id or "", decoded(data or signature))))
            self._close(out)
            self._open("redacted_thinking", b'{"type":"redacted_thinking","data":%b}' % data, out)
            self._close(out)

    def _call(self, call: Call, out: list[bytes]) -> None:
        place = self._calls.place(call)
        if place == len(self._tools):
            self._tools.append(PendingCall())
        tool = self._tools[place]
        tool.add(call)
        if self._open_tool in (-1, place):
            self._pour(place, tool, out)

    def _pour(self, place: int, tool: PendingCall, out: list[bytes]) -> None:
        """What is there of a call. Without a name it cannot begin."""
        if not tool.name or tool.is_closed:
            return
        if self._open_tool != place:
            self._close(out)
            tool_id = tool.id or _encode(f"toolu_{self._context.gen_id}_{place}")
            self._open("tool_use", b'{"type":"tool_use","id":%b,"name":%b,"input":{}}' % (tool_id, self._named(tool.name)), out)
            self._open_tool = place
        out += [self._piece(b'{"type":"input_json_delta","partial_json":%b}' % part) for part in tool.waiting]
        tool.waiting.clear()

    def _named(self, name: bytes) -> bytes:
        """The tool's name as the request had it."""
        return _encode(self._names.get(decoded(name), decoded(name))) if self._names else name

    def _open(self, kind: str, block: bytes, out: list[bytes]) -> None:
        self._block += 1
        self._kind = kind
        self._is_signed = False
        out.append(event(b"content_block_start", b',"index":%d,"content_block":%b' % (self._block, block)))

    def _piece(self, delta: bytes) -> bytes:
        return event(b"content_block_delta", b',"index":%d,"delta":%b' % (self._block, delta))

    def _close(self, out: list[bytes]) -> None:
        if not self._kind:
            return
        out.append(event(b"content_block_stop", b',"index":%d' % self._block))
        if self._open_tool >= 0:
            self._tools[self._open_tool].is_closed = True
            self._open_tool = -1
        self._kind = ""

    def _conclude(self) -> bytes:
        if self._is_over:
            return b""
        self._is_over = True
        out = [] if self._has_begun else [self._begin()]
        for place, tool in enumerate(self._tools):
            if not tool.is_closed and (place != self._open_tool or tool.waiting):
                self._pour(place, tool, out)
        why = b""
        if self._refusal and self._finish == "content_filter":
            why = b',"stop_details":{"type":"refusal","category":null,"explanation":%b}' % joined(self._refusal)
        elif self._refusal:
            self._say("text", joined(self._refusal), out)
        self._close(out)
        if self._finish == "error":
            refusal = Refusal(502, "provider_error", "the provider could not finish its answer")
            return b"".join([*out, failed(refusal, self._context.gen_id)])
        stop = STOP.get(self._finish, "end_turn")
        if self._tools and stop == "end_turn":
            # A provider that calls tools and says "stop": an agent would end here.
            stop = "tool_use"
        delta = b',"delta":{"stop_reason":"%b","stop_sequence":null%b},"usage":%b'
        out.append(
            event(
                b"message_delta", delta % (stop.encode(), why, usage_json(self._usage, self._context.prompt_tokens, self._tier))
            )
        )
        out.append(event(b"message_stop", b""))
        return b"".join(out)


def failed(refusal: Refusal, gen_id: str) -> bytes:
    """The event that ends an answer that broke."""
    error = _encode({"type": error_type(refusal.status), "message": refusal.message})
    return event(b"error", b',"error":%b,"request_id":%b' % (error, _encode(gen_id)))


def usage_json(usage: bytes, prompt_estimate: int, tier: bytes = b"") -> bytes:
    """Our usage object in Anthropic's words, with its cost. `input_tokens` are those beside the cache. `tier` is Chat's."""
    read = read_usage(usage) if usage else None
    if read is None:
        return b'{"input_tokens":%d,"output_tokens":0}' % prompt_estimate
    parts = read.prompt_tokens_details or PromptDetails()
    cached, written = count(parts.cached_tokens), count(parts.cache_write_tokens, parts.cache_creation_input_tokens)
    fresh = max(count(read.prompt_tokens) - cached - written, 0)
    out = b'{"input_tokens":%d,"cache_creation_input_tokens":%d,"cache_read_input_tokens":%d,"output_tokens":%d'
    out %= (fresh, written, cached, count(read.completion_tokens))
    long = count((parts.cache_write_tokens_details or {}).get("ephemeral_1h_input_tokens"))
    if written:
        split = b',"cache_creation":{"ephemeral_5m_input_tokens":%d,"ephemeral_1h_input_tokens":%d}'
        out += split % (max(written - long, 0), min(long, written))
    if read.completion_tokens_details is not None:
        thought = count(read.completion_tokens_details.reasoning_tokens)
        out += b',"output_tokens_details":{"thinking_tokens":%d}' % thought
    if searches := count((read.server_tool_use or {}).get("web_search_requests")):
        out += b',"server_tool_use":{"web_search_requests":%d,"web_fetch_requests":0}' % searches
    if served := _TIERS.get(tier):
        out += b',"service_tier":"%b"' % served
    for name in ("cost", "usage_source"):
        if (value := bytes(getattr(read, name))) not in NOTHING:
            out += b',"%b":%b' % (name.encode(), value)
    return out + b"}"
