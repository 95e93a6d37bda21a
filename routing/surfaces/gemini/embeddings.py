"""Google's embedContent, a vector, and batchEmbedContents, several. Google tells no usage; the prompt is counted.

Rule: each request of a batch names the model again: it must be the one of the path, and goes on under the provider's name for it.

Source: Google's API reference.
"""

import re
from typing import Final, Literal

import msgspec
from msgspec import Raw

from routing.metering.meter import Meter
from routing.plan.preferences import read_preferences
from routing.request.envelope import Envelope, members_of
from routing.request.invalid import Invalid
from routing.request.options import read_options
from routing.rewrite.gemini import whole as whole_answer
from routing.rewrite.identity import Identity
from routing.surfaces import Asked, CallerRequest, ProviderRequest, Whole
from routing.surfaces.gemini.generate_content import Seen, model_in
from routing.surfaces.gemini.generate_content import error_response as error_response
from routing.surfaces.json_request import body_for, is_there, missing, reported
from routing.surfaces.no_stream import machine as machine
from routing.wire.members import Members

REQUESTS_MAX: Final = 2_048
_decode: Final = msgspec.json.Decoder().decode
_decode_requests: Final = msgspec.json.Decoder(list[Members]).decode
_encode: Final = msgspec.json.encode
ANSWERS: Final[Literal["json", "bytes"]] = "json"
_ACTIONS: Final = re.compile(r"/models/(.+):(embedContent|batchEmbedContents)\Z")


def read(body: bytes, call: CallerRequest) -> Envelope:
    model, action = model_in(call.path, _ACTIONS)
    members = members_of(body)
    name, what = ("content", "what to make a vector of") if action == "embedContent" else ("requests", "a list of at least one")
    if not is_there(members, name):
        raise missing(name, what)
    seen = Seen()
    try:
        seen.look(members[name], name)
        if name == "requests":
            _check_batch(_decode_requests(members[name]), model)
    except (msgspec.DecodeError, RecursionError) as problem:
        raise Invalid(f"the body cannot be read: {problem}", code="invalid_json") from None
    if seen.state is not None or seen.remote:
        raise Invalid("a file that is kept elsewhere is not read: send its content", seen.state or name, "stored_state")
    return Envelope(
        model=model,
        members=members,
        bytes_total=len(body),
        choices=0,
        prompt_bytes=len(members[name]),
        inline_media=tuple(seen.inline),
        preferences=read_preferences(members),
        options=read_options(members, {"plugins"}) if is_there(members, "plugins") else None,
    )


def _check_batch(requests: list[Members], model: str) -> None:
    if not 0 < len(requests) <= REQUESTS_MAX:
        raise Invalid(f"'requests' must have from 1 to {REQUESTS_MAX} entries", "requests")
    for at, each in enumerate(requests):
        if not is_there(each, "content"):
            raise missing(f"requests[{at}].content", "what to make a vector of")
        named = _decode(each["model"]) if is_there(each, "model") else model
        if not isinstance(named, str) or named.removeprefix("models/") != model:
            raise Invalid(f"'requests[{at}].model' must be the model of the path, models/{model}", f"requests[{at}].model")


def request(envelope: Envelope, asked: Asked) -> ProviderRequest:
    changes = {}
    if "requests" in envelope.members:
        own = Raw(_encode(f"models/{asked.model.name}"))
        changes["requests"] = Raw(_encode([each | {"model": own} for each in _decode_requests(envelope.members["requests"])]))
    return ProviderRequest(body_for(envelope, asked, changes, ("model",)), b"", reported(envelope))


def whole(body: bytes, identity: Identity, meter: Meter, content_type: str) -> Whole:
    return Whole(*whole_answer(body, identity, meter, "embedding", "embeddings"))
