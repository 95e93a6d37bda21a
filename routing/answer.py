"""What the caller reads of an answer: our id, the model that was asked for, usage with its cost; every other byte the provider's.

Limits: an answer that is no JSON object, or an `error` inside a 200, is no answer; the relay turns it into a Failure.
"""

from typing import Any

import msgspec
from msgspec import Raw

from routing.dialects.openai import Chunk, decode_chunk
from routing.failure import Failure, Kind, Sent, Source
from routing.meter import Meter
from routing.splice import Members, decode_members, replace

_encode = msgspec.json.encode


class Identity:
    """The names an answer carries: ours instead of the provider's, as JSON texts."""

    __slots__ = ("gen_id", "id_json", "model", "model_json")

    def __init__(self, gen_id: str, model: str) -> None:
        self.gen_id = gen_id
        self.model = model
        self.id_json = Raw(f'"{gen_id}"')
        self.model_json = Raw(_encode(model))


class NotAnAnswer(Exception):
    """The body of a 200 that is none."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure)
        self.failure = failure


class _Error(msgspec.Struct):
    code: Any = None
    status: Any = None
    message: Any = None


_decode_error = msgspec.json.Decoder(_Error | str).decode


def failure_of_error(error: bytes, sent: Sent) -> Failure:
    """The failure that an `error` inside a 200 reports; its status is the number in it, or 502."""
    try:
        view = _decode_error(error)
    except msgspec.DecodeError:
        view = ""
    if isinstance(view, str):
        return Failure(Kind.STREAM_ERROR, Source.UPSTREAM, sent, 502, detail=view[:2_000])
    statuses = [int(code) for code in (view.code, view.status) if str(code).isdigit() and 400 <= int(code) < 600]
    message = view.message if isinstance(view.message, str) else ""
    return Failure(Kind.STREAM_ERROR, Source.UPSTREAM, sent, statuses[0] if statuses else 502, detail=message[:2_000])


def open_answer(body: bytes) -> tuple[Chunk, Members]:
    """The view and the members of a JSON answer; NotAnAnswer when it is none."""
    try:
        view, members = decode_chunk(body), decode_members(body)
    except (msgspec.DecodeError, RecursionError):
        raise NotAnAnswer(Failure(Kind.PROTOCOL, Source.UPSTREAM, Sent.REQUEST, detail="no JSON object")) from None
    if view.has_error:
        raise NotAnAnswer(failure_of_error(bytes(view.error), Sent.REQUEST))
    if view.choices is None:
        raise NotAnAnswer(Failure(Kind.PROTOCOL, Source.UPSTREAM, Sent.REQUEST, detail="no choices"))
    return view, members


def rewrite_answer(body: bytes, view: Chunk, members: Members, identity: Identity, meter: Meter) -> bytes:
    """The answer as the caller gets it. Counts into `meter`."""
    usage = view.any_usage
    if usage:
        meter.observe_usage(usage)
    if not meter.has_usage:
        meter.observe_text(body)
    return replace(body, members, {"id": identity.id_json, "model": identity.model_json, "usage": Raw(meter.usage_json())})


def error_chunk(identity: Identity, error_body: bytes, created: int) -> bytes:
    """The one event that ends a stream that failed after its head had gone out. `error_body` is `{"error":{...}}`."""
    return _event(identity, created, b'[{"index":0,"delta":{"content":""},"finish_reason":"error"}],' + error_body[1:-1])


def length_chunk(identity: Identity, usage: bytes, created: int) -> bytes:
    """The event that ends a stream whose reserved credit is used up."""
    tail = b'[{"index":0,"delta":{},"finish_reason":"length"}],"usage":' + usage + b',"ended_by":"credit"'
    return _event(identity, created, tail)


def usage_chunk(identity: Identity, usage: bytes, created: int) -> bytes:
    """OpenAI's last chunk for `include_usage`, when the provider did not send one itself."""
    return _event(identity, created, b'[],"usage":' + usage)


def _event(identity: Identity, created: int, choices_and_more: bytes) -> bytes:
    return b'data: {"id":%b,"object":"chat.completion.chunk","created":%d,"model":%b,"choices":%b}\n\n' % (
        identity.id_json,
        created,
        identity.model_json,
        choices_and_more,
    )
