"""Google's count of a prompt's tokens: free; passed to a provider that speaks it, estimated for any other.

Rule: a request within (`generateContentRequest`) names the model again: it must be the one of the path, and goes on under the
provider's name for it. Source: Google's API reference.
"""

import re
from typing import Final, Literal

import msgspec
from msgspec import Raw

from routing.metering.meter import Meter
from routing.plan.preferences import read_preferences
from routing.request.envelope import Envelope, members_of
from routing.request.invalid import Invalid
from routing.rewrite.identity import Identity
from routing.rewrite.plain import opened
from routing.surfaces import Asked, CallerRequest, ProviderRequest, Whole
from routing.surfaces.gemini.generate_content import Seen, model_in
from routing.surfaces.gemini.generate_content import error_response as error_response
from routing.surfaces.json_request import body_for, is_there, missing, reported
from routing.surfaces.no_stream import machine as machine
from routing.wire.members import Members, decode_members
from usage.record import Tokens

ANSWERS: Final[Literal["json", "bytes"]] = "json"
_ACTIONS: Final = re.compile(r"/models/(.+):(countTokens)\Z")
_WITHIN: Final = "generateContentRequest"
_PROMPT: Final = ("contents", "systemInstruction", "tools")
_decode: Final = msgspec.json.Decoder().decode
_encode: Final = msgspec.json.encode


def read(body: bytes, call: CallerRequest) -> Envelope:
    model, _ = model_in(call.path, _ACTIONS)
    members = members_of(body)
    seen, prompt = Seen(), members
    try:
        if is_there(members, _WITHIN):
            prompt = decode_members(members[_WITHIN])
            named = _decode(prompt["model"]) if is_there(prompt, "model") else model
            if not isinstance(named, str) or named.removeprefix("models/") != model:
                raise Invalid(f"'{_WITHIN}.model' must be the model of the path, models/{model}", f"{_WITHIN}.model")
        if not is_there(prompt, "contents"):
            raise missing("contents", "a list of at least one content")
        for name in _PROMPT:
            if is_there(prompt, name):
                seen.look(prompt[name], name)
    except (msgspec.DecodeError, RecursionError) as problem:
        raise Invalid(f"the body cannot be read: {problem}", code="invalid_json") from None
    state = "cachedContent" if is_there(prompt, "cachedContent") else seen.state
    if state is not None:
        raise Invalid(
            f"'{state}' refers to what is kept at the provider, under a key that all callers share", state, "stored_state"
        )
    return Envelope(
        model=model,
        members=members,
        bytes_total=len(body),
        choices=0,
        prompt_bytes=sum(len(prompt[name]) for name in _PROMPT if name in prompt),
        remote_others=seen.remote,
        inline_media=tuple(seen.inline),
        preferences=read_preferences(members),
        pieces=Tokens(),
        is_free=True,
    )


def request(envelope: Envelope, asked: Asked) -> ProviderRequest:
    changes: Members = {}
    if is_there(envelope.members, _WITHIN):
        own = Raw(_encode(f"models/{asked.model.name}"))
        changes[_WITHIN] = Raw(_encode(decode_members(envelope.members[_WITHIN]) | {"model": own}))
    return ProviderRequest(body_for(envelope, asked, changes, ("model",)), b"", reported(envelope))


def whole(body: bytes, identity: Identity, meter: Meter, content_type: str) -> Whole:
    opened(body, "totalTokens")
    meter.observe_pieces()
    return Whole(body)
