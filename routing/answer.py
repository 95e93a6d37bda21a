"""What the caller reads of an answer: our id, the model that was asked for, usage with its cost; every other byte the provider's.

Limits: an answer that is no JSON object, or an `error` inside a 200, is no answer; the relay turns it into a Failure.
"""

import msgspec

from routing.dialects.openai import Chunk, decode_chunk
from routing.meter import Meter
from routing.splice import Members, decode_members, replace

_encode = msgspec.json.encode


class Identity:
    """The names an answer carries: ours instead of the provider's, as JSON texts."""

    __slots__ = ("gen_id", "id_json", "model", "model_json")

    def __init__(self, gen_id: str, model: str) -> None:
        self.gen_id = gen_id
        self.model = model
        self.id_json = b'"%b"' % gen_id.encode()
        self.model_json = _encode(model)


class NotAnAnswer(Exception):
    """The body of a 200 that is none: `error` holds the provider's error object, if it sent one."""

    def __init__(self, message: str, error: bytes = b"") -> None:
        super().__init__(message)
        self.error = error


def open_answer(body: bytes) -> tuple[Chunk, Members]:
    """The view and the members of a JSON answer; NotAnAnswer when it is none."""
    try:
        view, members = decode_chunk(body), decode_members(body)
    except (msgspec.DecodeError, RecursionError):
        raise NotAnAnswer("the provider's answer is not the JSON object it should be") from None
    if view.has_error:
        raise NotAnAnswer("the provider reported an error", bytes(view.error))
    if view.choices is None:
        raise NotAnAnswer("the provider's answer has no choices")
    return view, members


def rewrite_answer(body: bytes, view: Chunk, members: Members, identity: Identity, meter: Meter) -> bytes:
    """The answer as the caller gets it. Counts into `meter`."""
    usage = view.any_usage
    if usage:
        meter.observe_usage(usage)
    if not meter.has_usage:
        meter.observe_text(body)
    return replace(body, members, {"id": identity.id_json, "model": identity.model_json, "usage": meter.usage_json()})


def error_chunk(identity: Identity, error: bytes, created: int) -> bytes:
    """The one event that ends a stream that failed after its head had gone out. `error` is the JSON of the error object."""
    return _event(identity, created, b'[{"index":0,"delta":{"content":""},"finish_reason":"error"}],"error":' + error)


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
