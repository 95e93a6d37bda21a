"""Cohere's embed (`/v2/embed`): vectors of texts and pictures, in as many kinds as are asked for.

Rule: what Cohere bills is what it names, `meta.billed_units.input_tokens`, and `image_tokens` beside them.
Source: Cohere's reference and SDK 7.3.
"""

from typing import Any, Final, Literal

import msgspec
from msgspec import Raw

from routing.dialects.chat_usage import count
from routing.dialects.cohere import billed_in
from routing.metering.meter import Meter
from routing.plan.preferences import read_preferences
from routing.request.envelope import Envelope, PositiveInt, members_of, model_of
from routing.request.invalid import Invalid
from routing.request.names import words
from routing.request.options import read_options
from routing.rewrite.identity import Identity
from routing.rewrite.plain import dressed, id_of, observe, opened
from routing.surfaces import Asked, CallerRequest, ProviderRequest, Whole
from routing.surfaces.json_request import body_for, checked, checks, is_there, missing, priced, reported
from routing.surfaces.no_stream import error_response as error_response
from routing.surfaces.no_stream import machine as machine

ANSWERS: Final[Literal["json", "bytes"]] = "json"
INPUTS_MAX: Final = 96
"""Cohere's own bound."""
_INPUTS: Final = ("texts", "images", "inputs")
_CHECKS: Final = checks(
    ("input_type", str, "a text such as 'search_document'"),
    ("output_dimension", PositiveInt, "a whole number of at least 1"),
    ("embedding_types", list[str], "a list of texts such as ['float']"),
)
_ORDINARY: Final = words("model texts images inputs input_type embedding_types output_dimension truncate max_tokens priority")
_decode_list: Final = msgspec.json.Decoder(list[Raw]).decode
_decode: Final = msgspec.json.Decoder().decode
_encode: Final = msgspec.json.encode


def read(body: bytes, call: CallerRequest) -> Envelope:
    members = members_of(body)
    checked(members, _CHECKS)
    given = [name for name in _INPUTS if is_there(members, name)]
    if not given:
        raise missing("texts", "a list of at least one text, or 'images' or 'inputs'")
    pictures: list[int] = []
    for name in given:
        try:
            entries = _decode_list(members[name])
            if not 0 < len(entries) <= INPUTS_MAX:
                raise Invalid(f"'{name}' must have from 1 to {INPUTS_MAX} entries", name)
            pictures += _pictures(_decode(members[name]), name)
        except (msgspec.DecodeError, RecursionError):
            raise Invalid(f"'{name}' must be a list", name) from None
    preferences = read_preferences(members)
    options = read_options(members, members.keys() - _ORDINARY)
    return Envelope(
        model=model_of(members, preferences),
        members=members,
        bytes_total=len(body),
        choices=0,
        prompt_bytes=sum(len(members[name]) for name in given),
        inline_media=tuple(pictures),
        options=priced(options),
        preferences=preferences,
    )


def _pictures(value: Any, path: str) -> list[int]:
    """The size of each picture: a text in `images`, an `image_url` in `inputs`. Invalid: one that is not in the request."""
    found: list[int] = []
    for at, each in enumerate(value):
        parts = each.get("content") if isinstance(each, dict) else None
        parts = parts if isinstance(parts, list) else []
        urls = [each] if path == "images" else [_url_of(part) for part in parts if isinstance(part, dict)]
        for url in urls:
            if isinstance(url, str) and url:
                if not url.startswith("data:"):
                    raise Invalid(f"'{path}[{at}]' must be a picture as a data URL", f"{path}[{at}]")
                found.append(len(url))
    return found


def _url_of(part: dict[str, Any]) -> Any:
    image = part.get("image_url")
    return image.get("url") if isinstance(image, dict) else image


def request(envelope: Envelope, asked: Asked) -> ProviderRequest:
    return ProviderRequest(body_for(envelope, asked), b"", reported(envelope))


def whole(body: bytes, identity: Identity, meter: Meter, content_type: str) -> Whole:
    members = opened(body, "embeddings")
    billed = billed_in(members)
    if billed is not None:
        images = count(billed.image_tokens)
        usage = {
            "prompt_tokens": count(billed.input_tokens) + images,
            "prompt_tokens_details": {"image_tokens": images},
        }
        observe(Raw(_encode(usage)), meter)
    return Whole(dressed(body, members, identity, meter), "", id_of(members))
