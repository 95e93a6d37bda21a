"""OpenAI's Embeddings: texts or tokens in, vectors out, as numbers or in base64.

Rule: what is priced is the prompt alone; a token of a caller that sends tokens is one token, and of a text at most one for each
byte. Source: OpenAI's API reference; OpenRouter's openapi.yaml (`input_type`, input in parts).
"""

from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta, Raw

from routing.metering.meter import Meter
from routing.plan.preferences import read_preferences
from routing.request.envelope import Envelope, PositiveInt, members_of
from routing.request.invalid import Invalid
from routing.request.names import words
from routing.request.options import read_options
from routing.request.prompt import EMPTY, read_prompt
from routing.rewrite.identity import Identity
from routing.rewrite.plain import dressed, id_of, observe, opened
from routing.surfaces import Asked, CallerRequest, ProviderRequest, Whole
from routing.surfaces.json_request import body_for, checked, checks, envelope_for, first_of, is_there, missing, reported
from routing.surfaces.no_stream import error_response as error_response
from routing.surfaces.no_stream import machine as machine
from routing.wire.members import Members

ANSWERS: Final[Literal["json", "bytes"]] = "json"
INPUTS_MAX: Final = 2_048
_CHECKS: Final = checks(
    ("dimensions", PositiveInt, "a whole number of at least 1"),
    ("encoding_format", Literal["float", "base64", "int8", "uint8", "binary", "ubinary"], "'float' or 'base64'"),
)
_ORDINARY: Final = words("model input dimensions encoding_format user input_type truncate task late_chunking normalized")
_TokenId = Annotated[int, Meta(ge=0, le=2**31)]
_decode_input: Final = msgspec.json.Decoder(str | list[str | _TokenId | list[_TokenId] | dict[str, Raw]]).decode


def read(body: bytes, call: CallerRequest) -> Envelope:
    members = members_of(body)
    checked(members, _CHECKS)
    if not is_there(members, "input"):
        raise missing("input", "a text, a list of texts, or tokens")
    _check_input(members)
    has_parts = first_of(members, "input") == b"[" and b"{" in bytes(members["input"])
    prompt = read_prompt(members["input"], "input") if has_parts else EMPTY
    preferences = read_preferences(members)
    options = read_options(members, members.keys() - _ORDINARY)
    options.state = options.state or prompt.state
    return envelope_for(body, members, ("input",), prompt, options, preferences, choices=0)


def _check_input(members: Members) -> None:
    try:
        value: Any = _decode_input(members["input"])
    except (msgspec.DecodeError, RecursionError):
        raise Invalid(
            "'input' must be a text, a list of texts, a list of tokens, or a list of lists of tokens", "input"
        ) from None
    if not value:
        raise Invalid("'input' must not be empty", "input")
    if isinstance(value, list) and not isinstance(value[0], int) and len(value) > INPUTS_MAX:
        raise Invalid(f"'input' must not have more than {INPUTS_MAX} entries: send them in several requests", "input")


def request(envelope: Envelope, asked: Asked) -> ProviderRequest:
    return ProviderRequest(body_for(envelope, asked), b"", reported(envelope))


def whole(body: bytes, identity: Identity, meter: Meter, content_type: str) -> Whole:
    members = opened(body, "data", "embeddings")
    observe(members.get("usage"), meter)
    return Whole(dressed(body, members, identity, meter), "", id_of(members))
