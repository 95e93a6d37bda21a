"""Cohere's chat (`/v2/chat`): passed to a provider that speaks it, translated for any other.

Rule: documents are part of the prompt, and are held for like it. Source: Cohere's reference, version 2, and its SDK 7.3.
"""

import re
from typing import Annotated, Any, Final, Literal

from msgspec import Meta, Raw

from routing.metering.meter import Meter
from routing.plan.preferences import read_preferences
from routing.plan.refusal import Refusal
from routing.request.envelope import Envelope, PositiveInt, members_of, model_of
from routing.request.invalid import Invalid
from routing.request.names import words
from routing.request.options import Options, read_options
from routing.request.prompt import Prompt, read_prompt
from routing.rewrite.answer import Identity
from routing.rewrite.cohere import CohereStream, error_body
from routing.rewrite.cohere import whole as whole_answer
from routing.surfaces import Asked, CallerRequest, Machine, ProviderRequest, Told, Whole
from routing.surfaces.json_request import body_for, checked, checks, first_of, is_there, missing, priced, reported
from routing.wire.members import Members
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
_FILLED_LIST: Final = re.compile(rb"\[[ \t\r\n]*[^\] \t\r\n]")


def read(body: bytes, call: CallerRequest) -> Envelope:
    members = members_of(body)
    values: dict[str, Any] = checked(members, _CHECKS)
    if not is_there(members, "messages"):
        raise missing("messages", "a list of at least one message")
    if _FILLED_LIST.match(members["messages"]) is None:
        raise Invalid("'messages' must be a list of at least one message", "messages")
    prompts = [read_prompt(members[name], name) for name in _PROMPT if first_of(members, name) in (b"[", b"{")]
    preferences = read_preferences(members)
    options = _options(members, prompts)
    return Envelope(
        model=model_of(members, preferences),
        members=members,
        bytes_total=len(body),
        stream=values.get("stream", False),
        include_usage=True,
        max_tokens=values.get("max_tokens"),
        prompt_bytes=sum(len(members[name]) for name in _PROMPT if name in members),
        remote_images=sum(prompt.images for prompt in prompts),
        remote_others=sum(prompt.others for prompt in prompts),
        inline_media=tuple(size for prompt in prompts for size in prompt.inline),
        options=options,
        preferences=preferences,
    )


def _options(members: Members, prompts: list[Prompt]) -> Options | None:
    options = read_options(members, members.keys() - _ORDINARY)
    for prompt in prompts:
        options.state = options.state or prompt.state
    return priced(options)


def request(envelope: Envelope, asked: Asked) -> ProviderRequest:
    changes: Members = {}
    cap, cap_max = envelope.max_tokens, asked.model.max_output_tokens
    if cap is None and asked.cap is not None:
        changes["max_tokens"] = Raw(b"%d" % asked.cap)
    elif cap is not None and cap_max is not None and cap > cap_max:
        changes["max_tokens"] = Raw(b"%d" % cap_max)
    return ProviderRequest(body_for(envelope, asked, changes), b"", reported(envelope))


def machine(identity: Identity, meter: Meter, envelope: Envelope, created: int, line_bytes_max: int) -> Machine:
    return CohereStream(identity, meter, created=created, line_bytes_max=line_bytes_max)


def whole(body: bytes, identity: Identity, meter: Meter, content_type: str) -> Whole:
    return Whole(*whole_answer(body, identity, meter))


def told(refusal: Refusal, flavor: Flavor, request_id: str) -> Told:
    return Told(refusal.status, error_body(refusal, request_id), [])
