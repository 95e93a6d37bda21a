"""Cohere's chat (`/v2/chat`): passed to a provider that speaks it, translated for any other.

Rule: documents are part of the prompt, and are held for like it. Source: Cohere's reference, version 2, and its SDK 7.3.
"""

from typing import Annotated, Any, Final, Literal

from msgspec import Meta

from routing.metering.meter import Meter
from routing.plan.preferences import read_preferences
from routing.plan.refusal import Refusal
from routing.request.envelope import Envelope, PositiveInt, members_of
from routing.request.names import words
from routing.request.options import read_options
from routing.request.prompt import read_prompts
from routing.rewrite.cohere import CohereStream, error_body
from routing.rewrite.cohere import whole as whole_answer
from routing.rewrite.identity import Identity
from routing.surfaces import Asked, CallerRequest, ErrorResponse, Machine, ProviderRequest, Whole
from routing.surfaces.json_request import body_for, capped, check_messages, checked, checks, envelope_for, reported
from usage.flavor import Flavor

ANSWERS: Final[Literal["json", "bytes"]] = "json"
_CHECKS: Final = checks(
    ("stream", bool, "true or false"),
    ("max_tokens", PositiveInt, "a whole number of at least 1"),
    ("temperature", Annotated[float, Meta(ge=0, le=2)], "a number from 0 to 2"),
    ("p", Annotated[float, Meta(ge=0, le=1)], "a number from 0 to 1"),
    ("stop_sequences", list[str], "a list of texts"),
)
_ORDINARY: Final = words(
    "model messages stream tools tool_choice strict_tools documents citation_options response_format safety_mode max_tokens "
    "stop_sequences temperature seed frequency_penalty presence_penalty k p logprobs thinking priority"
)
_PROMPT: Final = ("messages", "tools", "documents", "response_format")


def read(body: bytes, call: CallerRequest) -> Envelope:
    members = members_of(body)
    values: dict[str, Any] = checked(members, _CHECKS)
    check_messages(members)
    prompt = read_prompts(members, _PROMPT)
    preferences = read_preferences(members)
    options = read_options(members, members.keys() - _ORDINARY)
    options.state = options.state or prompt.state
    return envelope_for(
        body,
        members,
        _PROMPT,
        prompt,
        options,
        preferences,
        stream=values.get("stream", False),
        include_usage=True,
        max_tokens=values.get("max_tokens"),
    )


def request(envelope: Envelope, asked: Asked) -> ProviderRequest:
    return ProviderRequest(body_for(envelope, asked, capped(envelope, asked, "max_tokens")), b"", reported(envelope))


def machine(identity: Identity, meter: Meter, envelope: Envelope, created: int, line_bytes_max: int) -> Machine:
    return CohereStream(identity, meter, created=created, line_bytes_max=line_bytes_max)


def whole(body: bytes, identity: Identity, meter: Meter, content_type: str) -> Whole:
    return Whole(*whole_answer(body, identity, meter))


def error_response(refusal: Refusal, flavor: Flavor, request_id: str) -> ErrorResponse:
    return ErrorResponse(refusal.status, error_body(refusal, request_id), [])
