"""Gemini's generateContent, passed on: the stream and the whole answer with our id, model and cost.

Rule: each event is a whole answer of its own; the one with the finish waits for the body's end, so that its usage and cost are
the last word. Usage is Google's; `cost` is added to it. Source: Google's GenerateContentResponse; recorded streams.
"""

import re
from typing import Any, Final

import msgspec
from msgspec import Raw

from routing.dialects.gemini import finish_of, read_usage
from routing.dialects.gemini_frame import GeminiFrame, learned
from routing.failures.provider_error import no_answer, reported_error
from routing.metering.meter import Meter
from routing.plan.refusal import Refusal
from routing.rewrite.cost import usage_with_cost
from routing.rewrite.generated_text import text_bytes, without
from routing.rewrite.identity import Identity
from routing.rewrite.named_events import NamedEvents
from routing.rewrite.whole_answer import read_answer
from routing.wire.lenient_view import view
from routing.wire.members import REFUSED, Members, replace
from routing.wire.repair import readable
from routing.wire.sse import payload_of
from usage.record import FOREIGN_CHARS_MAX, SHORT_CHARS_MAX

_encode: Final = msgspec.json.encode
_NOTHING: Final = (b"", b"null")
_NAMES: Final = re.compile(rb'"(responseId|modelVersion)"\s*:\s*"[^"\\]*"')
_find_decisive: Final = re.compile(rb'"(?:finishReason|error|promptFeedback|groundingMetadata)"').search
STATUSES: Final = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    402: "FAILED_PRECONDITION",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    408: "DEADLINE_EXCEEDED",
    413: "INVALID_ARGUMENT",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    502: "INTERNAL",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}


class _Candidate(msgspec.Struct, gc=False):
    finish_reason: Any = msgspec.field(default=None, name="finishReason")
    index: Any = 0
    grounding: Raw = msgspec.field(default=Raw(b""), name="groundingMetadata")
    """What was found, and the answer's sentences once more: no further text of a model's."""


class _GeminiAnswer(msgspec.Struct, gc=False):
    candidates: list[_Candidate] | None = None
    usage: Raw = msgspec.field(default=Raw(b""), name="usageMetadata")
    feedback: Raw = msgspec.field(default=Raw(b""), name="promptFeedback")
    response_id: Any = msgspec.field(default=None, name="responseId")
    error: Raw = Raw(b"")


_decode_answer: Final = msgspec.json.Decoder(_GeminiAnswer).decode


def observe(usage: Raw, meter: Meter) -> None:
    """Google's usage, in OpenAI's sense."""
    if bytes(usage) not in _NOTHING:
        told = read_usage(usage)
        if told is None:
            return
        meter.tier = told.tier or meter.tier
        meter.observe_usage(told.chat.json)


def counts_of(meter: Meter) -> dict[str, int]:
    tokens = meter.bill().tokens
    return {
        "promptTokenCount": tokens.prompt,
        "candidatesTokenCount": tokens.completion - tokens.reasoning,
        "totalTokenCount": tokens.total,
    }


def _named(identity: Identity) -> Members:
    return {"responseId": identity.id_json, "modelVersion": identity.model_json}


def error_body(refusal: Refusal) -> bytes:
    """An error in Google's words."""
    status = STATUSES.get(refusal.status, "UNKNOWN")
    info = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": refusal.code.upper(), "domain": "tollway"}
    return _encode({"error": {"code": refusal.status, "message": refusal.message, "status": status, "details": [info]}})


def _renamed(payload: bytes, identity: Identity) -> bytes:
    """With our names; what cannot be read member by member (half of a surrogate pair) as it came."""
    try:
        members = readable(payload)[1]
    except REFUSED:
        return payload
    return replace(payload, members, {name: value for name, value in _named(identity).items() if name in members})


class GeminiStream(NamedEvents):
    """One stream."""

    def __init__(self, identity: Identity, meter: Meter, *, created: int, line_bytes_max: int, choices: int = 1) -> None:
        super().__init__(identity, meter, created=created, line_bytes_max=line_bytes_max)
        self._choices = choices
        self._finished: set[int] = set()
        self._names: list[tuple[bytes, bytes]] = []
        """The provider's members with names, as it writes them, and ours."""
        self._unread = b""
        self._held: list[bytes] = []
        """What came from the finish on."""
        self._frame: GeminiFrame | None = None
        self._named_tail = b""
        """What goes out for the frame's tail."""
        self._is_piece = False

    def swap(self, data: bytes) -> bytes:
        """`feed` for one event that is like the last one but for its text and its counts."""
        frame = self._frame
        if frame is None or (text := frame.text_in(data)) is None:
            return b""
        self.meter.deltas += 1
        self.meter.text_bytes += len(text)
        self._unread = data
        return data[: -len(frame.tail)] + self._named_tail

    def scan(self, data: bytes) -> bytes:
        self._frame = None
        self._is_piece = False
        sent = super().scan(data)
        if self._is_piece and not (self._event or self._lines.pieces):
            self._learn_frame(data)
        return sent

    def _learn_frame(self, data: bytes) -> None:
        """From an event that was nothing but a piece of text; the names have to stand behind its usage."""
        frame = learned(data)
        if frame is None or _NAMES.search(frame.head) is not None or _NAMES.search(frame.near) is not None:
            return
        tail = frame.tail
        for old, new in self._names:
            tail = tail.replace(old, new)
        self._frame, self._named_tail = frame, tail

    def _take(self, kind: str, payload: bytes) -> bytes | None:
        if self._names and not self._held and _find_decisive(payload) is None:
            # One more piece of text: the names are where they were, and of its usage a later one is the last word.
            self._count(payload)
            self._unread = payload
            self._is_piece = True
            for old, new in self._names:
                payload = payload.replace(old, new)
            return payload
        answer = view(payload, _GeminiAnswer, _decode_answer)
        if answer is None:
            self._count(payload)
            return None
        if bytes(answer.error) not in _NOTHING:
            return self._end_with(bytes(answer.error))
        if isinstance(answer.response_id, str):
            self.upstream_id = self.upstream_id or answer.response_id[:FOREIGN_CHARS_MAX]
        self._count(without(payload, [candidate.grounding for candidate in answer.candidates or ()]))
        observe(answer.usage, self.meter)
        for candidate in answer.candidates or ():
            self.has_begun = True
            if isinstance(candidate.finish_reason, str) and candidate.finish_reason:
                self._finished.add(candidate.index if isinstance(candidate.index, int) else 0)
                self.finish_reason = finish_of(candidate.finish_reason)[:SHORT_CHARS_MAX]
        if not answer.candidates and bytes(answer.feedback) not in _NOTHING:
            # The prompt was refused: there is no candidate, and the prompt is billed.
            self.has_begun, self.finish_reason = True, "content_filter"
            self._finished = set(range(self._choices))
        self.is_finished = len(self._finished) >= self._choices
        named = _renamed(payload, self._identity)
        if not self.is_finished:
            self._learn_names(payload)
            return named
        if self._held:
            self._out.append(b"data: %b\r\n\r\n" % self._held.pop())
        self._held.append(named)
        return b""

    def _learn_names(self, payload: bytes) -> None:
        """How this provider writes the two members that change."""
        ours = {name.encode(): bytes(value) for name, value in _named(self._identity).items()}
        self._names = [(found[0], b'"%b":%b' % (found[1], ours[found[1]])) for found in _NAMES.finditer(payload)]

    def _observe_unread(self) -> None:
        """The usage of the last piece that was passed without being read."""
        if self._unread:
            event, self._unread = self._unread, b""
            answer = view(payload_of(event.rstrip()) or event, _GeminiAnswer, _decode_answer)
            if answer is not None:
                observe(answer.usage, self.meter)

    def finish(self) -> bytes:
        self._observe_unread()
        return super().finish()

    def _conclude(self) -> None:
        if self._held:
            payload = self._held.pop()
            try:
                members = readable(payload)[1]
                usage = usage_with_cost(members.get("usageMetadata"), self.meter, counts_of(self.meter))
                payload = replace(payload, members, {"usageMetadata": usage})
            except REFUSED:
                pass  # half of a surrogate pair: it goes out as it came
            self._out.append(b"data: %b\r\n\r\n" % payload)
            self.is_done = True

    def cut(self) -> bytes:
        """See `Machine`."""
        self._observe_unread()
        usage = usage_with_cost(Raw(_encode(counts_of(self.meter))), self.meter, {})
        end: dict[str, Any] = {
            "candidates": [{"content": {"parts": [], "role": "model"}, "finishReason": "MAX_TOKENS", "index": 0}],
            "usageMetadata": usage,
        }
        return self._drain() + b"data: %b\r\n\r\n" % _encode(end | _named(self._identity))

    def fail(self, refusal: Refusal) -> bytes:
        """See `Machine`."""
        self._observe_unread()
        return self._drain() + b"data: %b\r\n\r\n" % error_body(refusal)


def whole(body: bytes, identity: Identity, meter: Meter, *names: str) -> tuple[bytes, str, str]:
    """A whole answer as the caller gets it, its finish and the provider's id; it has one of `names`. AttemptFailed."""
    answer = view(body, _GeminiAnswer, _decode_answer) or _GeminiAnswer()
    members = read_answer(body)
    said = bytes(members.get("candidates", b""))
    if bytes(answer.error) not in _NOTHING and not text_bytes(said):
        raise reported_error(bytes(answer.error))
    if not any(name in members for name in names):
        raise no_answer(f"no {names[0]}")
    meter.observe_text(without(said, [candidate.grounding for candidate in answer.candidates or ()]))
    observe(answer.usage, meter)
    reasons = [each.finish_reason for each in answer.candidates or () if isinstance(each.finish_reason, str)]
    values = {name: value for name, value in _named(identity).items() if name in members}
    values["usageMetadata"] = usage_with_cost(members.get("usageMetadata"), meter, counts_of(meter))
    upstream_id = answer.response_id[:FOREIGN_CHARS_MAX] if isinstance(answer.response_id, str) else ""
    return replace(body, members, values), finish_of(reasons[0])[:SHORT_CHARS_MAX] if reasons else "", upstream_id
