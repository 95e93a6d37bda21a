"""Google's embedContent: a vector. Google tells no usage; the prompt is counted.

Source: Google's API reference.
"""

import re
from typing import Final, Literal

import msgspec

from routing.metering.meter import Meter
from routing.request.envelope import Envelope, members_of
from routing.request.invalid import Invalid
from routing.rewrite.answer import Identity
from routing.rewrite.gemini import whole as whole_answer
from routing.surfaces import Asked, CallerRequest, ProviderRequest, Whole
from routing.surfaces.gemini import Seen, model_in
from routing.surfaces.gemini import told as told
from routing.surfaces.json_request import body_for, is_there, missing
from routing.surfaces.no_stream import machine as machine

ANSWERS: Final[Literal["json", "bytes"]] = "json"
_ACTIONS: Final = re.compile(r"/models/(.+):(embedContent)\Z")


def read(body: bytes, call: CallerRequest) -> Envelope:
    model, _ = model_in(call.path, _ACTIONS)
    members = members_of(body)
    if not is_there(members, "content"):
        raise missing("content", "what to make a vector of")
    seen = Seen()
    try:
        seen.look(members["content"], "content")
    except (msgspec.DecodeError, RecursionError) as problem:
        raise Invalid(f"the body cannot be read: {problem}", code="invalid_json") from None
    if seen.state is not None or seen.remote:
        raise Invalid("a file that is kept elsewhere is not read: send its content", seen.state or "content", "stored_state")
    return Envelope(
        model=model,
        members=members,
        bytes_total=len(body),
        choices=0,
        prompt_bytes=len(members["content"]),
        inline_media=tuple(seen.inline),
    )


def request(envelope: Envelope, asked: Asked) -> ProviderRequest:
    return ProviderRequest(body_for(envelope, asked, None, ("model",)))


def whole(body: bytes, identity: Identity, meter: Meter, content_type: str) -> Whole:
    return Whole(*whole_answer(body, identity, meter, "embedding"))
