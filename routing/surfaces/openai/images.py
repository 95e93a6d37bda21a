"""OpenAI's Images: pictures of a prompt, whole or streamed.

Rule: what a picture costs is bounded by the model's `max_output_tokens` for each, and 100 tokens for each partial one.
Source: OpenAI's API reference.
"""

from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta, Raw

from routing.metering.meter import Meter
from routing.plan.preferences import read_preferences
from routing.request.envelope import Envelope, members_of, model_of
from routing.request.invalid import Invalid
from routing.request.names import words
from routing.request.options import read_options
from routing.rewrite.identity import Identity
from routing.rewrite.media_events import MediaEvents
from routing.rewrite.plain import dressed, id_of, observe, opened
from routing.surfaces import Asked, CallerRequest, Machine, ProviderRequest, Whole
from routing.surfaces.json_request import body_for, checked, checks, is_there, missing, priced, reported
from routing.surfaces.no_stream import error_response as error_response
from routing.wire.members import REFUSED
from usage.record import Tokens

ANSWERS: Final[Literal["json", "bytes"]] = "json"
PARTIAL_TOKENS: Final = 100
_CHECKS: Final = checks(
    ("n", Annotated[int, Meta(ge=1, le=10)], "a whole number from 1 to 10"),
    ("stream", bool, "true or false"),
    ("partial_images", Annotated[int, Meta(ge=0, le=3)], "a whole number from 0 to 3"),
    ("response_format", Literal["url", "b64_json"], "'url' or 'b64_json'"),
)
_ORDINARY: Final = words(
    "model prompt n size quality style background output_format output_compression moderation stream partial_images "
    "response_format user aspect_ratio resolution seed input_fidelity"
)
_decode_data: Final = msgspec.json.Decoder(list[Raw]).decode


def read(body: bytes, call: CallerRequest) -> Envelope:
    members = members_of(body)
    values = checked(members, _CHECKS)
    if not is_there(members, "prompt"):
        raise missing("prompt", "what the picture is to show")
    preferences = read_preferences(members)
    options = read_options(members, members.keys() - _ORDINARY)
    options.extra_completion += PARTIAL_TOKENS * values.get("partial_images", 0)
    images = values.get("n", 1)
    check_streamed(images, values.get("stream", False))
    return Envelope(
        model=model_of(members, preferences),
        members=members,
        bytes_total=len(body),
        stream=values.get("stream", False),
        choices=images,
        prompt_bytes=len(members["prompt"]),
        options=priced(options),
        preferences=preferences,
        pieces=Tokens(images=images),
    )


def check_streamed(images: int, stream: bool) -> None:
    """OpenAI streams one picture. What the usage in each of several last events would count is nowhere said. Invalid."""
    if stream and images > 1:
        raise Invalid("'n' must be 1 where a picture is streamed: send 'stream': false, or ask for each by itself", "n")


def request(envelope: Envelope, asked: Asked) -> ProviderRequest:
    return ProviderRequest(body_for(envelope, asked), b"", reported(envelope))


def machine(identity: Identity, meter: Meter, envelope: Envelope, created: int, line_bytes_max: int) -> Machine:
    return MediaEvents(identity, meter, created=created, line_bytes_max=line_bytes_max)


def whole(body: bytes, identity: Identity, meter: Meter, content_type: str) -> Whole:
    members = opened(body, "data")
    try:
        images = len(_decode_data(members["data"]))
    except (KeyError, *REFUSED):
        images = 0
    observe(members.get("usage"), meter, writes=True)
    meter.observe_pieces(images=images)
    return Whole(dressed(body, members, identity, meter, is_picture=True), "", id_of(members))
