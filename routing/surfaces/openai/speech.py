"""OpenAI's Speech: a text read aloud, as bytes of sound or as events with bytes of sound in them.

Rule: characters are known from the request, and a model that is priced by them is exact. A model that is priced by tokens of
sound tells them only in events: of plain bytes they are counted by how long they last. Source: OpenAI's API reference.
"""

from typing import Any, Final, Literal

from routing.failures.provider_error import no_answer, reported_error
from routing.metering.meter import Meter
from routing.plan.preferences import read_preferences
from routing.request.envelope import Envelope, members_of, model_of
from routing.request.names import words
from routing.request.options import read_options
from routing.rewrite.identity import Identity
from routing.rewrite.media_events import MediaEvents
from routing.surfaces import Asked, CallerRequest, Machine, ProviderRequest, Whole
from routing.surfaces.json_request import body_for, checked, checks, missing, priced, reported
from routing.surfaces.no_stream import error_response as error_response
from usage.record import Tokens

ANSWERS: Final[Literal["json", "bytes"]] = "bytes"
TOKENS_PER_S: Final = 21
"""OpenAI: 0.015 dollars a minute at 12 dollars per million tokens."""
_BYTES_PER_S: Final = {"audio/wav": 48_000, "audio/pcm": 48_000, "audio/flac": 24_000, "audio/opus": 4_000, "audio/aac": 8_000}
_MP3_BYTES_PER_S: Final = 8_000
_CHECKS: Final = checks(
    ("input", str, "a text"),
    ("voice", str | dict[str, Any], "the name of a voice"),
    ("stream_format", Literal["sse", "audio"], "'sse' or 'audio'"),
)
_ORDINARY: Final = words("model input voice instructions response_format speed stream_format language")


def read(body: bytes, call: CallerRequest) -> Envelope:
    members = members_of(body)
    values = checked(members, _CHECKS)
    if not values.get("input"):
        raise missing("input", "the text to be read")
    preferences = read_preferences(members)
    options = read_options(members, members.keys() - _ORDINARY)
    return Envelope(
        model=model_of(members, preferences),
        members=members,
        bytes_total=len(body),
        stream=values.get("stream_format") == "sse",
        prompt_bytes=len(members["input"]) + len(members.get("instructions", b"")),
        options=priced(options),
        preferences=preferences,
        pieces=Tokens(characters=len(values["input"])),
    )


def request(envelope: Envelope, asked: Asked) -> ProviderRequest:
    return ProviderRequest(body_for(envelope, asked), b"", reported(envelope))


def machine(identity: Identity, meter: Meter, envelope: Envelope, created: int, line_bytes_max: int) -> Machine:
    return MediaEvents(identity, meter, created=created, line_bytes_max=line_bytes_max)


def whole(body: bytes, identity: Identity, meter: Meter, content_type: str) -> Whole:
    if not body:
        raise no_answer("no sound")
    if body[:1] == b"{":
        raise reported_error(body)
    seconds = -(-len(body) // _BYTES_PER_S.get(content_type.partition(";")[0].strip().lower(), _MP3_BYTES_PER_S))
    if meter.tariff.rates.character:
        meter.observe_pieces(characters=meter.pieces.characters if meter.pieces is not None else 0)
    else:
        meter.deltas += seconds * TOKENS_PER_S
    return Whole(body, "", "", content_type or "audio/mpeg")
