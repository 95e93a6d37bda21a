"""Cohere's chat, passed on: the stream and the whole answer with our id and cost. Its answers name no model.

Rule: `message-end` tells the usage and is the end: `cost` is added to its usage, and nothing follows. A cut ends the answer as
Cohere ends one that has reached its cap, an answer that broke as it says that itself: a finish of ERROR with the words beside it.
Source: Cohere's reference, version 2; recorded streams (tests/recorded).
"""

from typing import Any, Final

import msgspec
from msgspec import Raw

from routing.dialects.cohere import FINISH, Usage
from routing.failures.provider_error import no_answer, reported_error
from routing.metering.meter import Meter
from routing.plan.refusal import Refusal
from routing.rewrite.cost import usage_with_cost
from routing.rewrite.generated_text import text_bytes
from routing.rewrite.identity import Identity
from routing.rewrite.named_events import NamedEvents
from routing.rewrite.whole_answer import read_answer
from routing.wire.lenient_view import view
from routing.wire.members import REFUSED, replace
from routing.wire.repair import readable
from usage.record import FOREIGN_CHARS_MAX, SHORT_CHARS_MAX

_encode: Final = msgspec.json.encode
_NOTHING: Final = (b"", b"null")


class _Delta(msgspec.Struct, gc=False):
    finish_reason: Any = None
    error: Raw = Raw(b"")
    usage: Raw = Raw(b"")


class _CohereEvent(msgspec.Struct, gc=False):
    id: Any = None
    index: Any = None
    delta: Raw = Raw(b"{}")
    message: Raw = Raw(b"")


class _CohereAnswer(msgspec.Struct, gc=False):
    id: Any = None
    finish_reason: Any = None
    usage: Raw = Raw(b"")


_decode_delta: Final = msgspec.json.Decoder(_Delta).decode
_decode_event: Final = msgspec.json.Decoder(_CohereEvent).decode
_decode_answer: Final = msgspec.json.Decoder(_CohereAnswer).decode
_decode_usage: Final = msgspec.json.Decoder(Usage).decode


def start(gen_id_json: bytes) -> bytes:
    """The first event of an answer."""
    message = b'"message":{"role":"assistant","content":[],"tool_plan":"","tool_calls":[],"citations":[]}'
    return event(b"message-start", b',"id":%b,"delta":{%b}' % (gen_id_json, message))


def event(name: bytes, body: bytes) -> bytes:
    return b'event: %b\ndata: {"type":"%b"%b}\n\n' % (name, name, body)


def end(reason: bytes, usage: bytes, error: bytes = b"") -> bytes:
    """The last event. `error`: a JSON string; empty when there is none."""
    broken = b'"error":%b,' % error if error else b""
    return event(b"message-end", b',"delta":{%b"finish_reason":"%b","usage":%b}' % (broken, reason, usage))


def usage_object(prompt: int, completion: int, cached: int = 0) -> bytes:
    """Cohere's usage object."""
    units = b'{"input_tokens":%d,"output_tokens":%d}' % (prompt, completion)
    return b'{"billed_units":%b,"tokens":%b,"cached_tokens":%d}' % (units, units, cached)


def error_body(refusal: Refusal, request_id: str = "") -> bytes:
    """An error in Cohere's words; what it has no word for stands beside them."""
    named = {"id": request_id} if request_id else {}
    more = {"param": refusal.param} if refusal.param else {}
    return _encode({**named, "message": refusal.message, "code": refusal.code, **more, **(refusal.metadata or {})})


def _observe(usage: Raw, meter: Meter) -> None:
    """Cohere's usage, in OpenAI's sense."""
    if bytes(usage) not in _NOTHING:
        try:
            told = _decode_usage(usage)
        except REFUSED:
            return
        if told.is_told:
            meter.observe_usage(told.chat.json)


def _with_cost(usage: Raw | None, meter: Meter) -> Raw:
    """The usage with `cost`; where that is not the provider's word, with what is charged."""
    bill = meter.bill()
    if bill.source != "provider" or usage is None or bytes(usage) in _NOTHING:
        tokens = bill.tokens
        usage = Raw(usage_object(tokens.prompt, tokens.completion, tokens.cached))
    return usage_with_cost(usage, meter, {})


class CohereStream(NamedEvents):
    """One stream."""

    PARTS = frozenset(("content-delta", "tool-plan-delta", "tool-call-delta"))
    QUIET = frozenset(("message-start", "debug"))

    def __init__(self, identity: Identity, meter: Meter, *, created: int, line_bytes_max: int) -> None:
        super().__init__(identity, meter, created=created, line_bytes_max=line_bytes_max)
        self._has_start = False
        self._open: tuple[bytes, int] | None = None
        """What has begun and not ended: the event that would end it, and its index."""

    def _take(self, kind: str, payload: bytes) -> bytes | None:
        if kind in self.PARTS:
            self.has_begun = True
            self._count(payload)
            return None
        told = view(payload, _CohereEvent, _decode_event)
        if told is None:
            self._count(payload)
            return None
        match kind:
            case "message-start":
                self._has_start = True
                if isinstance(told.id, str):
                    self.upstream_id = told.id[:FOREIGN_CHARS_MAX]
                return self._named(payload)
            case "message-end":
                return self._end(told, payload)
            case "content-start" | "tool-call-start":
                self._open = (kind.replace("start", "end").encode(), told.index if isinstance(told.index, int) else 0)
            case "content-end" | "tool-call-end":
                self._open = None
            case "debug":
                return None
            case "" if bytes(told.message) not in _NOTHING:
                return self._end_with(payload)
        self.has_begun = True
        self._count(payload)
        return None

    def _named(self, payload: bytes, **more: Raw) -> bytes:
        try:
            members = readable(payload)[1]
        except REFUSED:
            return payload  # half of a surrogate pair: it goes out as it came
        return replace(payload, members, {"id": self._identity.id_json, **more} if "id" in members else {**more})

    def _end(self, told: _CohereEvent, payload: bytes) -> bytes:
        delta = view(bytes(told.delta), _Delta, _decode_delta) or _Delta()
        try:
            inner = readable(bytes(told.delta))[1]
        except REFUSED:
            inner = {}
        _observe(delta.usage, self.meter)
        if bytes(delta.error) not in _NOTHING:
            return self._end_with(bytes(delta.error))
        reason = delta.finish_reason if isinstance(delta.finish_reason, str) else "COMPLETE"
        self.has_begun = self.is_finished = self.is_done = self.is_over = True
        self.finish_reason = FINISH.get(reason, reason)[:SHORT_CHARS_MAX]
        usage = _with_cost(inner.get("usage"), self.meter)
        changed = replace(bytes(told.delta) if inner else b"{}", inner, {"usage": usage})
        return self._named(payload, delta=Raw(changed))

    def _closed(self) -> bytes:
        """What must stand before an end of ours."""
        sent = self._drain()
        if not self._has_start:
            sent += start(bytes(self._identity.id_json))
        if self._open is not None:
            sent += event(self._open[0], b',"index":%d' % self._open[1])
        return sent

    def cut(self) -> bytes:
        """See `Machine`."""
        return self._closed() + end(b"MAX_TOKENS", bytes(_with_cost(None, self.meter)))

    def fail(self, refusal: Refusal) -> bytes:
        """See `Machine`."""
        return self._closed() + end(b"ERROR", bytes(_with_cost(None, self.meter)), _encode(refusal.message))


def whole(body: bytes, identity: Identity, meter: Meter) -> tuple[bytes, str, str]:
    """A whole answer as the caller gets it, its finish and the provider's id. AttemptFailed."""
    answer = view(body, _CohereAnswer, _decode_answer) or _CohereAnswer()
    members = read_answer(body)
    if bytes(members.get("message", b""))[:1] == b'"':
        # Its errors are `{"message": "…"}`; that of an answer is an object.
        raise reported_error(body)
    if "message" not in members:
        raise no_answer("no message")
    meter.count_text(text_bytes(bytes(members["message"])))
    _observe(answer.usage, meter)
    values = {"id": identity.id_json, "usage": _with_cost(members.get("usage"), meter)}
    reason = answer.finish_reason if isinstance(answer.finish_reason, str) else ""
    upstream_id = answer.id[:FOREIGN_CHARS_MAX] if isinstance(answer.id, str) else ""
    return replace(body, members, values), FINISH.get(reason, reason)[:SHORT_CHARS_MAX], upstream_id
