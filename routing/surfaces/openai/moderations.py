"""OpenAI's Moderations: a verdict on texts and images.

It is free at those who offer it; it is authenticated, counted and bounded all the same. Source: OpenAI's API reference.
"""

from typing import Final, Literal

from routing.metering.meter import Meter
from routing.plan.preferences import read_preferences
from routing.request.envelope import Envelope, members_of
from routing.request.invalid import Invalid
from routing.request.options import read_options
from routing.request.prompt import read_prompts
from routing.rewrite.identity import Identity
from routing.rewrite.plain import dressed, id_of, observe, opened
from routing.surfaces import Asked, CallerRequest, ProviderRequest, Whole
from routing.surfaces.json_request import body_for, envelope_for, first_of, is_there, missing, reported
from routing.surfaces.no_stream import error_response as error_response
from routing.surfaces.no_stream import machine as machine

ANSWERS: Final[Literal["json", "bytes"]] = "json"


def read(body: bytes, call: CallerRequest) -> Envelope:
    members = members_of(body)
    if not is_there(members, "input"):
        raise missing("input", "a text, or a list of texts or parts")
    if first_of(members, "input") not in (b'"', b"["):
        raise Invalid("'input' must be a text, or a list of texts or parts", "input")
    prompt = read_prompts(members, ("input",))
    preferences = read_preferences(members)
    options = read_options(members, members.keys() - {"model", "input"})
    options.state = options.state or prompt.state
    return envelope_for(body, members, ("input",), prompt, options, preferences, choices=0)


def request(envelope: Envelope, asked: Asked) -> ProviderRequest:
    return ProviderRequest(body_for(envelope, asked), b"", reported(envelope))


def whole(body: bytes, identity: Identity, meter: Meter, content_type: str) -> Whole:
    members = opened(body, "results")
    observe(members.get("usage"), meter)
    return Whole(dressed(body, members, identity, meter), "", id_of(members))
