"""Anthropic's Messages, passed on: the stream and the whole answer with our id, model and cost.

Rule: `message_delta`, which tells the usage, waits for what ends the answer, so that its cost is the one that is charged.
Rule: a cut ends the answer as Anthropic ends one that has reached its cap: a client that sees an error asks again.
Source: Anthropic's Messages reference; recorded streams (tests/recorded).
"""

from typing import Any, Final

import msgspec
from msgspec import Raw

from routing.dialects.anthropic import FINISH, error_type, without_total
from routing.failures.provider_error import no_answer, reported_error
from routing.metering.meter import Meter
from routing.plan.refusal import Refusal
from routing.rewrite.cost import usage_with_cost
from routing.rewrite.generated_text import text_bytes, without
from routing.rewrite.identity import Identity
from routing.rewrite.named_events import NamedEvents
from routing.rewrite.whole_answer import read_answer
from routing.wire.lenient_view import view
from routing.wire.members import REFUSED, replace
from routing.wire.repair import readable
from usage.record import FOREIGN_CHARS_MAX, SHORT_CHARS_MAX

_encode: Final = msgspec.json.encode
_NOTHING: Final = (b"", b"null")


class _Message(msgspec.Struct, gc=False):
    type: Any = None
    id: Any = None
    stop_reason: Any = None
    usage: Raw = Raw(b"")
    error: Raw = Raw(b"")


class _Block(msgspec.Struct, gc=False):
    type: Any = None
    content: Raw = Raw(b"")


class _MessagesEvent(msgspec.Struct, gc=False):
    message: _Message | None = None
    delta: _Message | None = None
    index: Any = None
    content_block: Raw = Raw(b"")
    usage: Raw = Raw(b"")
    error: Raw = Raw(b"")


class _Tier(msgspec.Struct, gc=False):
    service_tier: Any = None


_decode_event = msgspec.json.Decoder(_MessagesEvent).decode
_decode_blocks = msgspec.json.Decoder(list[_Block]).decode
_decode_message = msgspec.json.Decoder(_Message).decode
_decode_tier = msgspec.json.Decoder(_Tier).decode


def counts_of(meter: Meter) -> dict[str, int]:
    """What is charged, by Anthropic's names."""
    tokens = meter.bill().tokens
    return {
        "input_tokens": max(tokens.prompt - tokens.cached - tokens.cache_write, 0),
        "cache_read_input_tokens": tokens.cached,
        "cache_creation_input_tokens": tokens.cache_write,
        "output_tokens": tokens.completion,
    }


def error_body(refusal: Refusal, request_id: str = "") -> bytes:
    """An error in Anthropic's words."""
    body: dict[str, Any] = {"type": "error", "error": {"type": error_type(refusal.status), "message": refusal.message}}
    details = {"code": refusal.code, **({"param": refusal.param} if refusal.param else {}), **(refusal.metadata or {})}
    body["error"]["details"] = details
    if request_id:
        body["request_id"] = request_id
    return _encode(body)


def _observe(usage: Raw, meter: Meter) -> None:
    """A usage object, and the tier that is named in it."""
    text = bytes(usage)
    if text in (b"", b"null"):
        return
    meter.observe_usage(without_total(text))
    try:
        tier = _decode_tier(text).service_tier
    except REFUSED:
        return
    if isinstance(tier, str):
        meter.tier = tier[:SHORT_CHARS_MAX]


def _said_in(blocks: bytes) -> bytes:
    """A list of blocks without what the provider's own tools answered (`mcp_tool_result` and its like): no model wrote that."""
    if b'_tool_result"' not in blocks:
        return blocks
    try:
        found = _decode_blocks(blocks)
    except REFUSED:
        return blocks
    return without(blocks, [each.content for each in found if isinstance(each.type, str) and each.type.endswith("_tool_result")])


class MessagesStream(NamedEvents):
    """One stream."""

    PARTS = frozenset(("content_block_delta",))
    QUIET = frozenset(("ping", "message_start"))

    def __init__(self, identity: Identity, meter: Meter, *, created: int, line_bytes_max: int) -> None:
        super().__init__(identity, meter, created=created, line_bytes_max=line_bytes_max)
        self._delta = b""
        self._open_block: int | None = None
        self._has_start = False

    def _take(self, kind: str, payload: bytes) -> bytes | None:
        if kind == "content_block_delta":
            self.has_begun = True
            self._count(payload)
            return None
        if kind == "ping":
            return None
        event = view(payload, _MessagesEvent, _decode_event)
        if event is None:
            self._count(payload)
            return self._end_with(payload) if kind == "error" else None
        if kind == "message_start":
            return self._start(event, payload)
        if kind == "message_delta":
            return self._note(event, payload)
        if kind == "error" or (not kind and bytes(event.error) not in _NOTHING):
            return self._end_with(bytes(event.error) or payload)
        self.has_begun = True
        if kind == "message_stop":
            self._conclude()
            self.is_done = self.is_over = True
        elif kind == "content_block_start":
            self._open_block = event.index if isinstance(event.index, int) else None
            self._count(_said_in(b"[%b]" % bytes(event.content_block)))
        elif kind == "content_block_stop":
            self._open_block = None
        return None

    def _start(self, event: _MessagesEvent, payload: bytes) -> bytes | None:
        message = event.message
        if self.has_begun:
            return self._end_with(b'{"type":"api_error","message":"the provider began its answer again"}')
        if message is None:
            return None
        if isinstance(message.id, str):
            self.upstream_id = message.id[:FOREIGN_CHARS_MAX]
        if self._has_start:
            return b""
        self._has_start = True
        _observe(message.usage, self.meter)
        return self._renamed(payload, "message")

    def _note(self, event: _MessagesEvent, payload: bytes) -> bytes:
        self._conclude()
        _observe(event.usage, self.meter)
        if event.delta is not None and isinstance(event.delta.stop_reason, str):
            self.has_begun = self.is_finished = True
            reason = event.delta.stop_reason
            self.finish_reason = FINISH.get(reason, reason)[:SHORT_CHARS_MAX]
        self._delta = payload
        return b""

    def _conclude(self) -> None:
        if self._delta:
            payload, self._delta = self._delta, b""
            self._out.append(b"event: message_delta\ndata: %b\n\n" % self._with_cost(payload))

    def _with_cost(self, payload: bytes) -> bytes:
        try:
            members = readable(payload)[1]
        except REFUSED:
            return payload  # half of a surrogate pair: it goes out as it came
        usage = usage_with_cost(members.get("usage"), self.meter, counts_of(self.meter))
        return replace(payload, members, {"usage": usage})

    def cut(self) -> bytes:
        """See `Machine`."""
        out = [self._drain()]
        if not self._has_start:
            message: dict[str, Any] = {"id": self._identity.id_json, "type": "message", "role": "assistant"}
            message |= {"model": self._identity.model_json, "content": [], "stop_reason": None, "stop_sequence": None}
            message["usage"] = counts_of(self.meter)
            start = b'event: message_start\ndata: {"type":"message_start","message":%b}\n\n'
            out.append(start % _encode(message))
        if self._open_block is not None:
            stop = b'event: content_block_stop\ndata: {"type":"content_block_stop","index":%d}\n\n'
            out.append(stop % self._open_block)
        usage = usage_with_cost(Raw(_encode(counts_of(self.meter))), self.meter, {})
        out.append(
            b'event: message_delta\ndata: {"type":"message_delta","delta":{"stop_reason":"max_tokens","stop_sequence":null},'
            b'"usage":%b}\n\nevent: message_stop\ndata: {"type":"message_stop"}\n\n' % bytes(usage)
        )
        return b"".join(out)

    def fail(self, refusal: Refusal) -> bytes:
        """See `Machine`."""
        return self._drain() + b"event: error\ndata: %b\n\n" % error_body(refusal)


def whole(body: bytes, identity: Identity, meter: Meter) -> tuple[bytes, str, str]:
    """A whole message as the caller gets it, its finish and the provider's id. AttemptFailed."""
    members = read_answer(body)
    message = view(body, _Message, _decode_message) or _Message()
    is_error = bytes(message.error) not in (b"", b"null")
    if message.type == "error" or (is_error and not text_bytes(_said_in(bytes(members.get("content", b""))))):
        raise reported_error(bytes(message.error) or body)
    if "content" not in members:
        raise no_answer("no content")
    meter.count_text(text_bytes(_said_in(bytes(members["content"]))))
    _observe(message.usage, meter)
    names = {"id": identity.id_json, "model": identity.model_json}
    values = names | {"usage": usage_with_cost(members.get("usage"), meter, counts_of(meter))}
    reason = message.stop_reason if isinstance(message.stop_reason, str) else ""
    upstream_id = message.id[:FOREIGN_CHARS_MAX] if isinstance(message.id, str) else ""
    return replace(body, members, values), FINISH.get(reason, reason)[:SHORT_CHARS_MAX], upstream_id
