"""How a request was routed, as the member of its answer: beside a whole one, at the end of a stream, or beside an error.

Rule: one place for every surface; it is added to JSON objects that are finished otherwise, and only where the caller asked.
Rule: nothing is worked out before it is told. Source: OpenRouter's `openrouter_metadata`.
Limits: what is no JSON object stays as it is; sound and plain text carry it in a header (`as_header`).
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgspec
from msgspec import Raw

from routing.plan.plan import Attempt
from routing.wire.members import REFUSED, Members, decode_members, replace
from usage.record import ANSWERED, Tried, outcome

HEADER_BYTES_MAX: Final = 8_000
"""Common clients and proxies take a header line of 8 KiB."""
_EVENTS: Final = (b"data: {", b"data:{")
_encode: Final = msgspec.json.encode


class Explanation:
    """Of one request whose caller asked for it, by the member's name."""

    __slots__ = ("_admitted", "_decide", "_name", "_tried")

    def __init__(self, name: str) -> None:
        self._name = name
        self._decide: Callable[[Sequence[Attempt]], dict[str, Any]] | None = None
        self._admitted: Sequence[Attempt] = ()
        self._tried: tuple[Tried, ...] = ()

    def plan(self, decide: Callable[[Sequence[Attempt]], dict[str, Any]]) -> None:
        """It has come as far as a plan: `decide` gives the decision, for the targets that can serve the request."""
        self._decide = decide

    def admit(self, attempts: Sequence[Attempt]) -> None:
        """These can serve the request."""
        self._admitted = attempts

    def note(self, tried: tuple[Tried, ...]) -> None:
        """These attempts came to nothing so far."""
        self._tried = tried

    def of_answer(self, attempt: Attempt, ended: str = ANSWERED) -> Members:
        """Of an answer, or of one that broke (`ended`: why) after it had begun."""
        return self._of(attempt, ended)

    def of_failure(self) -> Members:
        """Of a request that nobody answered."""
        return self._of(None, "")

    def _of(self, attempt: Attempt | None, ended: str) -> Members:
        if self._decide is None:
            return {}
        return {self._name: Raw(_encode(metadata(self._decide(self._admitted), self._tried, attempt, ended)))}


def metadata(taken: Mapping[str, Any], tried: Sequence[Tried], attempt: Attempt | None, ended: str = ANSWERED) -> dict[str, Any]:
    """What an answer, or an error, says of how it came about: the decision, and who was asked. With OpenRouter's names where they
    have one. `attempt` is the one that answered, None where none did; `ended`: why its answer broke off, if it did."""
    provider, upstream_model = ("", "") if attempt is None else (attempt.provider.name, attempt.model.name)
    asked = outcome(tried, provider, upstream_model, len(tried) + (attempt is not None), 200, ended)
    plan = taken.get("plan", ())
    available = [
        {"provider": at, "model": model, "selected": at == provider and upstream_name == upstream_model}
        for at, model, upstream_name in dict.fromkeys((each["provider"], each["model"], each["name"]) for each in plan)
    ]
    return {
        **taken,
        "summary": _summary(taken, tried, attempt, ended),
        **asked,
        "endpoints": {"total": len(available) + len(taken["not_asked"]), "available": available},
        "pipeline": [],
    }


def _summary(taken: Mapping[str, Any], tried: Sequence[Tried], attempt: Attempt | None, ended: str) -> str:
    came_of = [f"{each.provider}: {each.reason}" for each in tried]
    if attempt is None:
        return f"nobody answered; {', '.join(came_of) or taken.get('refused', {}).get('code') or 'nobody was asked'}"
    end = "" if ended == ANSWERED else f", and its answer broke off: {ended}"
    return f"{attempt.model.name} at {attempt.provider.name} answered{''.join(f'; before it {each}' for each in came_of)}{end}"


def in_object(body: bytes, metadata: Members) -> bytes:
    """A whole JSON object with these members."""
    try:
        return replace(body, decode_members(body), metadata)
    except REFUSED:
        return body


def in_stream(sent: bytes, metadata: Members) -> bytes:
    """The end of a stream, with these members in its last event: the one that tells the usage, or the error."""
    begin = max(_last(sent, mark) for mark in _EVENTS)
    if begin < 0:
        return sent
    end = sent.find(b"\n", begin)
    payload = sent[begin : end if end >= 0 else len(sent)].rstrip(b"\r")
    return sent[:begin] + in_object(payload, metadata) + sent[begin + len(payload) :]


def _last(sent: bytes, mark: bytes) -> int:
    """Where the last `mark` ends that begins a line; less than 0 without one. Within a line it is what a model wrote."""
    at = sent.rfind(b"\n" + mark)
    if at >= 0:
        return at + len(mark)
    return len(mark) - 1 if sent.startswith(mark) else -1


def as_header(metadata: Members) -> list[tuple[bytes, bytes]]:
    """The same as header lines, in ASCII; none where one would be too long."""
    told = [(name.replace("_", "-").encode(), _ascii(bytes(value))) for name, value in metadata.items()]
    return [(b"x-" + name, value) for name, value in told if len(value) <= HEADER_BYTES_MAX]


def _ascii(text: bytes) -> bytes:
    """JSON without a letter beyond ASCII: UTF-16's escapes, as JSON has them."""
    if text.isascii():
        return text
    units = ((each, each.encode("utf-16-be").hex()) for each in text.decode())
    return "".join(
        each if each.isascii() else "".join(f"\\u{hexed[at : at + 4]}" for at in range(0, len(hexed), 4)) for each, hexed in units
    ).encode()
