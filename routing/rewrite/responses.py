"""OpenAI's Responses, passed on: the stream and the whole answer with our id, model and cost.

Rule: the last event (`response.completed`, `.incomplete`, `.failed`) tells the usage and ends the answer; a `[DONE]` behind it is
nothing. Rule: an `error` event is read in both its forms, flat and nested. Item ids stay the provider's: callers send them back.
Source: OpenAI's Responses reference; recorded streams (tests/recorded).
"""

import re
from typing import Any, Final

import msgspec
from msgspec import Raw

from routing.failures.provider_error import no_answer, reported_error
from routing.metering.meter import Meter
from routing.plan.refusal import Refusal
from routing.rewrite.cost import usage_with_cost
from routing.rewrite.generated_text import text_bytes, without
from routing.rewrite.identity import Identity
from routing.rewrite.named_events import NamedEvents
from routing.rewrite.whole_answer import read_answer
from routing.wire.lenient_view import view
from routing.wire.members import REFUSED, Members, decode_members, replace
from routing.wire.repair import readable
from usage.record import FOREIGN_CHARS_MAX, SHORT_CHARS_MAX

_encode: Final = msgspec.json.encode
_HEADS: Final = frozenset(("response.created", "response.in_progress", "response.queued"))
_ENDS: Final = frozenset(("response.completed", "response.incomplete", "response.failed"))
_SEQUENCE: Final = re.compile(rb'"sequence_number":[ ]?(\d{1,9})')
_NOTHING: Final = (b"", b"null")


class _Details(msgspec.Struct, gc=False):
    reason: Any = None


class _Searches(msgspec.Struct, gc=False):
    num_requests: Any = None


class _Tools(msgspec.Struct, gc=False):
    web_search: _Searches | None = None


class _Response(msgspec.Struct, gc=False):
    id: Any = None
    status: Any = None
    service_tier: Any = None
    incomplete_details: _Details | None = None
    usage: Raw = Raw(b"")
    error: Raw = Raw(b"")
    output: Raw = Raw(b"")
    tool_usage: _Tools | None = None


class _ResponsesEvent(msgspec.Struct, gc=False):
    response: Raw = Raw(b"")
    item: Raw = Raw(b"")
    error: Raw = Raw(b"")
    sequence_number: Any = None


class _Item(msgspec.Struct, gc=False):
    """What was found or answered for an item: the pages of a search of files, the output of a program, a server's tools."""

    results: Raw = Raw(b"")
    output: Raw = Raw(b"")
    outputs: Raw = Raw(b"")
    tools: Raw = Raw(b"")


_has_answers = re.compile(rb'"(?:results|outputs?|tools)"\s*:').search
_decode_items = msgspec.json.Decoder(list[_Item]).decode
_decode_event = msgspec.json.Decoder(_ResponsesEvent).decode
_decode_response = msgspec.json.Decoder(_Response).decode


def counts_of(meter: Meter) -> dict[str, int]:
    """What is charged, by OpenAI's names."""
    tokens = meter.bill().tokens
    return {"input_tokens": tokens.prompt, "output_tokens": tokens.completion, "total_tokens": tokens.total}


def usage_of(meter: Meter) -> dict[str, Any]:
    """A usage object of ours, whole."""
    tokens = meter.bill().tokens
    return {
        **counts_of(meter),
        "input_tokens_details": {"cached_tokens": tokens.cached},
        "output_tokens_details": {"reasoning_tokens": tokens.reasoning},
    }


def _observe(response: _Response, meter: Meter) -> str:
    """What the answer says of itself; its finish in Chat's words."""
    usage = bytes(response.usage)
    if usage not in _NOTHING:
        searches = response.tool_usage.web_search if response.tool_usage is not None else None
        if searches is not None and isinstance(searches.num_requests, int):
            try:
                tools = Raw(b'{"web_search_requests":%d}' % searches.num_requests)
                told = replace(usage, decode_members(usage), {"server_tool_use": tools})
                meter.observe_usage(told)
            except REFUSED:
                meter.observe_usage(usage)
        else:
            meter.observe_usage(usage)
    if isinstance(response.service_tier, str):
        meter.tier = response.service_tier[:SHORT_CHARS_MAX]
    reason = response.incomplete_details.reason if response.incomplete_details is not None else None
    if isinstance(reason, str):
        return {"max_output_tokens": "length"}.get(reason, reason)[:SHORT_CHARS_MAX]
    return "stop" if response.status == "completed" else ""


def _text_bytes(items: bytes) -> int:
    """Bytes of what a model wrote in a list of items."""
    if _has_answers(items) is not None:
        try:
            items = without(items, [raw for item in _decode_items(items) for raw in msgspec.structs.astuple(item)])
        except REFUSED:
            pass
    return text_bytes(items)


class ResponsesStream(NamedEvents):
    """One stream."""

    PARTS = frozenset(
        (
            "response.output_text.delta",
            "response.function_call_arguments.delta",
            "response.custom_tool_call_input.delta",
            "response.reasoning_summary_text.delta",
            "response.reasoning_text.delta",
            "response.refusal.delta",
        )
    )
    QUIET = frozenset((*_HEADS, "keepalive", "ping"))

    def __init__(self, identity: Identity, meter: Meter, *, created: int, line_bytes_max: int) -> None:
        super().__init__(identity, meter, created=created, line_bytes_max=line_bytes_max)
        self._response: Members = {}
        self._items: list[Raw] = []
        self._sequence = -1
        self._said_bytes = 0

    def _take(self, kind: str, payload: bytes) -> bytes | None:
        if kind in self.PARTS:
            self.has_begun = True
            self._count(payload)
            self.last = payload
            return None
        if payload.startswith(b"[DONE]"):
            return None
        event = view(payload, _ResponsesEvent, _decode_event)
        if event is None:
            self._count(payload)
            return self._end_with(payload) if kind == "error" else None
        if isinstance(event.sequence_number, int):
            self._sequence = event.sequence_number
            self.last = b""
        if kind == "error" or (not kind and bytes(event.error) not in _NOTHING):
            return self._end_with(bytes(event.error) if bytes(event.error) not in _NOTHING else payload)
        if kind in _HEADS or kind in _ENDS:
            return self._take_response(kind, bytes(event.response), payload)
        if kind == "response.output_item.done" and bytes(event.item) not in _NOTHING:
            self._items.append(event.item)
            self._count_item(bytes(event.item))
        if kind not in self.QUIET:
            self.has_begun = True
        return None

    def _count_item(self, item: bytes) -> None:
        """An item that comes whole is text that no delta told: it counts if the stream is cut off before its usage. Items may be
        interleaved, so what all that are done have said is held against what all deltas have."""
        self._said_bytes += _text_bytes(b"[%b]" % item)
        if self._said_bytes > self.meter.text_bytes:
            self.meter.text_bytes = self._said_bytes
            self.meter.deltas += 1

    def _take_response(self, kind: str, text: bytes, payload: bytes) -> bytes | None:
        response = view(text, _Response, _decode_response)
        if response is None:
            self.is_over = kind in _ENDS
            return None
        if isinstance(response.id, str):
            self.upstream_id = response.id[:FOREIGN_CHARS_MAX]
        finish = _observe(response, self.meter)
        if kind == "response.failed":
            return self._end_with(bytes(response.error) if bytes(response.error) not in _NOTHING else payload)
        try:
            members = readable(text)[1]
        except REFUSED:
            members = {}
        if kind in _HEADS:
            self._response = members
            return self._renamed(payload, "response")
        self.finish_reason = finish or "stop"
        self.has_begun = self.is_done = self.is_finished = self.is_over = True
        return self._renamed(payload, "response", usage=usage_with_cost(members.get("usage"), self.meter, counts_of(self.meter)))

    def _next(self) -> int:
        found = _SEQUENCE.search(self.last)
        return max(self._sequence, -1 if found is None else int(found[1])) + 1

    def _ending(self, kind: str, changes: dict[str, Any]) -> bytes:
        identity = self._identity
        usage = usage_with_cost(Raw(_encode(usage_of(self.meter))), self.meter, {})
        base: dict[str, Any] = {"object": "response", "created_at": self.created, "output": [], "error": None}
        response = base | self._response | {"id": identity.id_json, "model": identity.model_json}
        response |= {"output": self._items, "usage": usage} | changes
        event = {"type": f"response.{kind}", "sequence_number": self._next(), "response": response}
        return self._drain() + b"event: response.%b\ndata: %b\n\n" % (kind.encode(), _encode(event))

    def cut(self) -> bytes:
        """See `Machine`."""
        return self._ending("incomplete", {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}})

    def fail(self, refusal: Refusal) -> bytes:
        """See `Machine`."""
        return self._ending(
            "failed", {"status": "failed", "error": {"code": refusal.code or "server_error", "message": refusal.message}}
        )


def whole(body: bytes, identity: Identity, meter: Meter) -> tuple[bytes, str, str]:
    """A whole response as the caller gets it, its finish and the provider's id. AttemptFailed."""
    members = read_answer(body)
    response = view(body, _Response, _decode_response) or _Response()
    if bytes(response.error) not in _NOTHING:
        raise reported_error(bytes(response.error))
    if "output" not in members:
        raise no_answer("no output")
    meter.count_text(_text_bytes(bytes(response.output)))
    finish = _observe(response, meter)
    values = {"id": identity.id_json, "model": identity.model_json}
    values["usage"] = usage_with_cost(members.get("usage"), meter, counts_of(meter))
    upstream_id = response.id[:FOREIGN_CHARS_MAX] if isinstance(response.id, str) else ""
    return replace(body, members, values), finish, upstream_id
