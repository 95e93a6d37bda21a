"""OpenAI's Moderations: a verdict on texts and images.

It is free at those who offer it; it is authenticated, counted and bounded all the same. Source: OpenAI's API reference.
"""

from typing import Final, Literal

from routing.metering.meter import Meter
from routing.plan.preferences import read_preferences
from routing.request.envelope import Envelope, members_of, model_of
from routing.request.invalid import Invalid
from routing.request.options import read_options
from routing.request.prompt import read_prompt
from routing.rewrite.answer import Identity
from routing.rewrite.plain import dressed, id_of, observe, opened
from routing.surfaces import Asked, CallerRequest, ProviderRequest, Whole
from routing.surfaces.json_request import body_for, first_of, is_there, missing, priced, reported
from routing.surfaces.no_stream import machine as machine
from routing.surfaces.no_stream import told as told

ANSWERS: Final[Literal["json", "bytes"]] = "json"


def read(body: bytes, call: CallerRequest) -> Envelope:
    members = members_of(body)
    if not is_there(members, "input"):
        raise missing("input", "a text, or a list of texts or parts")
    if first_of(members, "input") not in (b'"', b"["):
        raise Invalid("'input' must be a text, or a list of texts or parts", "input")
    prompt = read_prompt(members["input"], "input") if first_of(members, "input") == b"[" else read_prompt(b"[]", "input")
    preferences = read_preferences(members)
    options = read_options(members, members.keys() - {"model", "input"})
    options.state = options.state or prompt.state
    return Envelope(
        model=model_of(members, preferences),
        members=members,
        bytes_total=len(body),
        choices=0,
        prompt_bytes=len(members["input"]),
        remote_images=prompt.images,
        remote_others=prompt.others,
        inline_media=prompt.inline,
        options=priced(options),
        preferences=preferences,
    )


def request(envelope: Envelope, asked: Asked) -> ProviderRequest:
    return ProviderRequest(body_for(envelope, asked), b"", reported(envelope))


def whole(body: bytes, identity: Identity, meter: Meter, content_type: str) -> Whole:
    members = opened(body, "results")
    observe(members.get("usage"), meter)
    return Whole(dressed(body, members, identity, meter), "", id_of(members))
