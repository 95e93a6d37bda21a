"""What the caller reads of an answer: our id, the model that was asked for, usage with its cost; every other byte the provider's.

Limits: an answer that is no JSON object, or an `error` inside a 200, is no answer; the relay turns it into a Failure.
"""

import msgspec
from msgspec import Raw

from routing.dialects.openai import Chunk, decode_chunk
from routing.failure import Failure, Kind, Sent, Source
from routing.meter import Meter
from routing.openrouter import answer_members, usage_member
from routing.provider_error import failure_of_error as failure_of_error
from routing.refusal import Refusal
from routing.splice import Members, decode_members, replace
from usage.flavor import Flavor

_encode = msgspec.json.encode


class Identity:
    """The names an answer carries: ours instead of the provider's, as JSON texts; and the API it is an answer of."""

    __slots__ = ("created_s", "flavor", "gen_id", "id_json", "model", "model_json", "provider")

    def __init__(self, gen_id: str, model: str, flavor: Flavor, provider: str, created_s: int = 0) -> None:
        self.created_s = created_s
        self.flavor = flavor
        self.provider = provider
        self.gen_id = gen_id
        self.model = model
        self.id_json = Raw(f'"{gen_id}"')
        self.model_json = Raw(_encode(model))


class NotAnAnswer(Exception):
    """The body of a 200 that is none."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure)
        self.failure = failure


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
    meter.observe_answer(body, view.any_usage)
    meter.tier = view.tier or meter.tier
    values = {"id": identity.id_json, "model": identity.model_json, "usage": Raw(meter.usage_json())}
    if identity.flavor is Flavor.OPENROUTER:
        values["usage"] = usage_member(values["usage"])
        values |= answer_members(members, identity.provider, identity.created_s)
    return replace(body, members, values)


def error_event(identity: Identity, refusal: Refusal, created: int) -> bytes:
    """The one event that ends a stream that failed after its head had gone out.

    OpenAI: nothing but the error. Clients (the AI SDK) take an event with `choices` for a part of the answer, and the cut text
    for the whole of it. OpenRouter: a chunk with a choice that ended in an error, and the error.
    """
    body = refusal.body(identity.flavor)
    if identity.flavor is Flavor.OPENAI:
        return b"data: %b\n\n" % body
    choices = b'[{"index":0,"delta":{"content":""},"finish_reason":"error"}]'
    return _event(identity, created, b"%b,%b" % (choices, body[1:-1]))


def length_chunk(identity: Identity, usage: bytes, created: int) -> bytes:
    """The event that ends a stream whose reserved credit is used up."""
    tail = b'[{"index":0,"delta":{},"finish_reason":"length"}],"usage":' + usage + b',"ended_by":"credit"'
    return _event(identity, created, tail)


def usage_chunk(identity: Identity, usage: bytes, created: int) -> bytes:
    """OpenAI's last chunk for `include_usage`, when the provider did not send one itself."""
    return _event(identity, created, b'[],"usage":' + usage)


def _event(identity: Identity, created: int, choices_and_more: bytes) -> bytes:
    if identity.flavor is Flavor.OPENROUTER:
        choices_and_more += b',"provider":' + _encode(identity.provider)
    return b'data: {"id":%b,"object":"chat.completion.chunk","created":%d,"model":%b,"choices":%b}\n\n' % (
        identity.id_json,
        created,
        identity.model_json,
        choices_and_more,
    )
