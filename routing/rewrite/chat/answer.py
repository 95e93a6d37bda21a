"""What the caller reads of an answer: our id, the model that was asked for, usage with its cost; every other byte the provider's.

Limits: an answer that is no JSON object, or an `error` inside a 200 without a text beside it, is no answer; the relay turns it
into a Failure. What a model wrote was paid for, and passes with the error beside it.
"""

import msgspec
from msgspec import Raw

from routing.failures.provider_error import no_answer, reported_error
from routing.metering.meter import TEXT, Meter
from routing.plan.refusal import Refusal
from routing.rewrite.chat.openrouter import answer_members, usage_member
from routing.rewrite.chat.provider_event import error_of
from routing.rewrite.identity import Identity
from routing.wire.members import replace
from routing.wire.repair import Reading, read_object
from usage.flavor import Flavor

_encode = msgspec.json.encode


def open_answer(body: bytes) -> Reading:
    """What is read of a JSON answer; AttemptFailed when it is none."""
    reading = read_object(body)
    if reading is None:
        raise no_answer("no JSON object")
    if (error := error_of(body, reading, ())) and not _has_text(reading):
        raise reported_error(error)
    if reading.chunk.choices is None:
        raise no_answer("no choices")
    return reading


def _has_text(reading: Reading) -> bool:
    return bool(reading.chunk.choices) and any(TEXT.findall(bytes(reading.members.get("choices", b""))))


def rewrite_answer(body: bytes, reading: Reading, identity: Identity, meter: Meter) -> bytes:
    """The answer as the caller gets it. Counts into `meter`."""
    meter.observe_answer(body, reading.usage)
    meter.tier = reading.chunk.tier or meter.tier
    return dressed(body, reading, identity, meter)


def dressed(body: bytes, reading: Reading, identity: Identity, meter: Meter) -> bytes:
    """The answer with our names and the usage that was counted already."""
    members = reading.members
    values = {"id": identity.id_json, "model": identity.model_json, "usage": Raw(meter.usage_json())}
    if identity.flavor is Flavor.OPENROUTER:
        values["usage"] = usage_member(values["usage"])
        values |= answer_members(members, identity.provider, identity.created_s)
    return replace(body, members, values, reading.places)


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


def length_chunk(identity: Identity, usage: bytes, created: int, choices: int = 1) -> bytes:
    """The event that ends a stream, and each of its choices, whose reserved credit is used up."""
    ends = b",".join([b'{"index":%d,"delta":{},"finish_reason":"length"}' % index for index in range(choices)])
    return _event(identity, created, b'[%b],"usage":%b,"ended_by":"credit"' % (ends, usage))


def last_chunk(identity: Identity, usage: bytes, created: int) -> bytes:
    """Usage for a caller that did not ask for a chunk without choices, where there is no finish to tell it with."""
    return _event(identity, created, b'[{"index":0,"delta":{},"finish_reason":null}],"usage":' + usage)


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
