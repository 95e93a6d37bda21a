"""Anthropic's count of a prompt's tokens: free; passed to a provider that counts itself, estimated for any other.

Source: Anthropic's reference.
"""

from typing import Final, Literal

import msgspec

from routing.metering.meter import Meter
from routing.request.envelope import Envelope, members_of
from routing.request.invalid import Invalid
from routing.rewrite.identity import Identity
from routing.rewrite.plain import opened
from routing.surfaces import Asked, CallerRequest, ProviderRequest, Whole
from routing.surfaces.anthropic.messages import envelope_of
from routing.surfaces.anthropic.messages import error_response as error_response
from routing.surfaces.anthropic.messages import request as request_message
from routing.surfaces.json_request import is_there, missing
from routing.surfaces.no_stream import machine as machine
from usage.record import Tokens

ANSWERS: Final[Literal["json", "bytes"]] = "json"


def read(body: bytes, call: CallerRequest) -> Envelope:
    members = members_of(body)
    if not is_there(members, "messages"):
        raise missing("messages", "a list of at least one message")
    if is_there(members, "stream"):
        raise Invalid("a count is not streamed", "stream")
    return msgspec.structs.replace(envelope_of(members, {}, body, call), pieces=Tokens(), choices=0, is_free=True)


def request(envelope: Envelope, asked: Asked) -> ProviderRequest:
    return request_message(envelope, asked)


def whole(body: bytes, identity: Identity, meter: Meter, content_type: str) -> Whole:
    opened(body, "input_tokens")
    meter.observe_pieces()
    return Whole(body)
