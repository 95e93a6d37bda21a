"""A stream of named events (Anthropic's, OpenAI's beside Chat) on its way from a provider to a caller of the same format.

Rule: of some two hundred events two change (the one that names the answer, the one that tells its usage); every other byte is the
provider's, whatever way TCP split it. Rule: an error is taken out of the stream and told by us; an end is never invented.
Strategy: the parts of an answer are told by how they begin. Once one of them was read in full, others that begin so are passed
as they came, their text counted; what is not one whole event of that kind is read line by line.
Source: Anthropic's Messages and OpenAI's Responses references; recorded streams (tests/recorded).
"""

import re
from typing import Any

import msgspec
from msgspec import Raw

from routing.metering.meter import Meter
from routing.rewrite.generated_text import TEXT, text_bytes
from routing.rewrite.identity import Identity
from routing.wire.members import REFUSED, Members, replace
from routing.wire.quiet import QUIET_BYTES_MAX
from routing.wire.repair import BOM, read_object, readable
from routing.wire.sse import BLANK, Lines, TooLong, payload_of

NULL = Raw(b"null")
_NAME = re.compile(rb"event:[ ]?([^\r\n]*)")
_BACKSLASH = 92


class _Typed(msgspec.Struct, gc=False):
    type: Any = None


_decode_type = msgspec.json.Decoder(_Typed).decode


class NamedEvents:
    """One stream; `routing.rewrite.chat.stream.StreamRewrite` says what the attributes mean.

    A format's class says what its events are: `_take(type, payload)` gives the payload to send, None to send it as it came, and
    b"" for one that is not sent (now).
    """

    PARTS: frozenset[str] = frozenset()
    """Types of events that are a piece of text and nothing else: they pass as they came."""
    QUIET: frozenset[str] = frozenset()
    """Types of events that are signs of life, but no part of an answer."""

    def __init__(self, identity: Identity, meter: Meter, *, created: int, line_bytes_max: int) -> None:
        self.meter = meter
        self.created = created
        self.finish_reason = ""
        self.upstream_id = ""
        self.error = b""
        self.has_begun = False
        self.is_done = False
        self.is_finished = False
        self.is_over = False
        self.is_framing = False
        self.is_notable = False
        self._identity = identity
        self._line_bytes_max = line_bytes_max
        self._lines = Lines(line_bytes_max)
        self._event: list[bytes] = []
        self._event_bytes = 0
        self._quiet_bytes = 0
        self._out: list[bytes] = []
        self._head: bytes | None = None
        self._mark = b""
        self.last = b""
        """The last event that was passed the short way."""

    @property
    def is_complete(self) -> bool:
        return bool(self.finish_reason or self.is_done)

    @property
    def is_at_boundary(self) -> bool:
        """Whether a comment may be put in between now: only whole events go out."""
        return not self.is_over

    def swap(self, data: bytes) -> bytes:
        """`feed` for one event that is a piece of text, the short way."""
        head = self._head
        if head is None or not data.startswith(head) or data.find(b"\n", len(head)) != len(data) - 2 or b"\r" in data:
            return b""
        if self._event or self._lines.pieces or not data.endswith(b"}\n\n"):
            return b""
        start = data.find(self._mark, len(head))
        if start < 0:
            return b""
        start += len(self._mark)
        end = data.find(b'"', start)
        if end < 0:
            return b""
        meter = self.meter
        if data[end - 1] == _BACKSLASH:
            found = TEXT.search(data, len(head))
            meter.text_bytes += 0 if found is None else len(found[1])
        else:
            meter.text_bytes += end - start
        meter.deltas += end > start
        self.last = data
        return data

    def feed(self, data: bytes) -> bytes:
        return self.swap(data) or self.scan(data)

    def scan(self, data: bytes) -> bytes:
        """`feed` for anything. TooLong."""
        self.is_framing = True
        for line in self._lines.feed(data):
            self._take_line(line)
        if self._event or (self._lines.pieces and self._lines.pieces[0][:1] != b":"):
            self.is_framing = False
        if self.is_framing or self.is_over or self.is_finished:
            self.is_notable = True
        self._quiet_bytes = self._quiet_bytes + len(data) if self.is_framing else 0
        if self._quiet_bytes > QUIET_BYTES_MAX:
            raise TooLong(f"{self._quiet_bytes} bytes and no more of the answer in them")
        return self._drain()

    def finish(self) -> bytes:
        """The provider's body ended, or is not waited for any longer."""
        rest = self._lines.finish()
        if rest and not self.is_over:
            self._take_line(rest + b"\n")
            self._drop_half()
        if self._event and not self.is_over:
            self._take_line(b"\n")
        if not self.is_over:
            self._conclude()
        self.is_over = True
        return self._drain()

    def _drain(self) -> bytes:
        sent = b"".join(self._out)
        self._out.clear()
        return sent

    def _take_line(self, line: bytes) -> None:
        if self.is_over:
            return
        if line not in BLANK:
            self._event.append(line.removeprefix(BOM) if not self._event else line)
            self._event_bytes += len(line)
            if self._event_bytes > self._line_bytes_max:
                raise TooLong(f"an event of more than {self._line_bytes_max} bytes")
            return
        lines, self._event, self._event_bytes = self._event, [], 0
        payloads = _payloads_of(lines)
        if not payloads:
            self._out += (*lines, line)
        elif len(payloads) > 1 and is_half(lines) and _are_objects(payloads):
            # Several events, with no blank line between them.
            while lines and not self.is_over:
                size = next((at for at, each in enumerate(lines, 1) if payload_of(each) is not None), len(lines))
                event, lines = lines[:size], lines[size:]
                self._take_event(event, b"\n", payload_of(event[-1]) or b"")
        else:
            self._take_event(lines, line, b"\n".join(payloads))

    def _drop_half(self) -> None:
        """What was cut off in the middle of a line is no event (SSE drops it, too): a client would fail on half of a JSON."""
        if is_half(self._event):
            self._event.pop()
            if is_half(self._event) and not _are_objects(_payloads_of(self._event)):
                self._event = []

    def _take_event(self, lines: list[bytes], line: bytes, payload: bytes) -> None:
        kind = _type_of(payload, lines)
        if kind not in self.QUIET:
            self.is_framing = False
        self._head = None
        sent = self._take(kind, payload)
        if sent is None:
            self._out += (*lines, line)
            if kind in self.PARTS and len(lines) == 2:
                self._learn(lines, payload)
        elif sent:
            end = lines[-1][len(lines[-1].rstrip(b"\r\n")) :] or b"\n"
            named = [each for each in lines if payload_of(each) is None]
            self._out += (*named, b"data: " + sent + end, line)

    def _learn(self, lines: list[bytes], payload: bytes) -> None:
        """Events that begin like this one, up to its type, and have their text under the same name."""
        found = TEXT.search(payload)
        at = payload.find(b'"type":"')
        end = payload.find(b'"', at + 8)
        if found is None or at != 1 or end < 0 or not lines[0].startswith(b"event:") or b"\r" in lines[0]:
            return
        self._head = lines[0] + lines[1][: lines[1].find(payload)] + payload[: end + 1]
        self._mark = payload[found.start() : found.start(1)]

    def _count(self, payload: bytes) -> None:
        self.meter.count_text(text_bytes(payload))

    def _take(self, kind: str, payload: bytes) -> bytes | None:
        raise NotImplementedError

    def _conclude(self) -> None:
        """The body ended without a last event."""

    def _end_with(self, error: bytes) -> bytes:
        """Behind the finish there is nothing left to break but the provider's own goodbye."""
        if self.is_finished:
            self._conclude()
        else:
            self.error = error
        self.is_over = True
        return b""

    def _renamed(self, payload: bytes, within: str, **more: Raw) -> bytes | None:
        """The payload with our names in the object under `within`, and what `more` says there; None when it cannot be read."""
        try:
            _, members = readable(payload)
            inner = readable(bytes(members[within]))[1]
        except (KeyError, *REFUSED):
            return None
        identity = self._identity
        names = {"id": identity.id_json, "model": identity.model_json}
        values: Members = {name: value for name, value in names.items() if name in inner} | more
        changed = replace(bytes(members[within]), inner, values)
        return replace(payload, members, {within: Raw(changed)})


def _payloads_of(lines: list[bytes]) -> list[bytes]:
    return [payload for each in lines if (payload := payload_of(each)) is not None]


def is_half(lines: list[bytes]) -> bool:
    """Whether the data of these lines begin a JSON object, and are none."""
    payload = b"\n".join(_payloads_of(lines))
    return payload.startswith(b"{") and read_object(payload) is None


def _are_objects(payloads: list[bytes]) -> bool:
    return all(read_object(payload) is not None for payload in payloads if not payload.startswith(b"[DONE]"))


def _type_of_odd(payload: bytes) -> Any:
    try:
        return _decode_type(readable(payload)[0]).type
    except REFUSED:
        return None


def _type_of(payload: bytes, lines: list[bytes]) -> str:
    """The type that the JSON names, else the event's name."""
    try:
        kind = _decode_type(payload).type
    except REFUSED:
        kind = _type_of_odd(payload)
    if isinstance(kind, str):
        return kind
    found = _NAME.match(lines[0])
    return "" if found is None else found[1].decode("latin-1").strip()
