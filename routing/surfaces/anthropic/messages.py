"""Anthropic's Messages: Claude Code, Anthropic's SDKs.

Rule: the caller's `anthropic-version` and the betas that cost nothing reach a provider of the same format as they came. Rule: a
refusal has the status that makes Claude Code stop where trying again cannot help: 402 and 403 end it, a 400 brings five more.
Source: Anthropic's Messages reference; requests of Claude Code 2.1.
"""

import re
from typing import Annotated, Any, Final, Literal

from msgspec import Meta, Raw

from routing.metering.meter import Meter
from routing.plan.preferences import read_preferences
from routing.plan.refusal import Refusal
from routing.request.envelope import Envelope, PositiveInt, members_of
from routing.request.names import words
from routing.request.options import Options, read_options
from routing.request.prompt import Prompt, read_prompts
from routing.rewrite.identity import Identity
from routing.rewrite.messages import MessagesStream, error_body
from routing.rewrite.messages import whole as whole_message
from routing.surfaces import Asked, CallerRequest, ErrorResponse, Machine, ProviderRequest, Whole
from routing.surfaces.anthropic import betas
from routing.surfaces.json_request import (
    body_for,
    check_messages,
    checked,
    checks,
    declined,
    envelope_for,
    is_there,
    missing,
    reported,
    searches_in,
    tools_that_search,
    value_of,
)
from routing.wire.members import Members
from usage.flavor import Flavor

ANSWERS: Final[Literal["json", "bytes"]] = "json"
VERSION: Final = b"2023-06-01"
_CHECKS: Final = checks(
    ("stream", bool, "true or false"),
    ("max_tokens", PositiveInt, "a whole number of at least 1"),
    ("temperature", Annotated[float, Meta(ge=0, le=1)], "a number from 0 to 1"),
    ("top_p", Annotated[float, Meta(ge=0, le=1)], "a number from 0 to 1"),
)
_ORDINARY: Final = words(
    "model messages max_tokens stream system tools tool_choice metadata stop_sequences temperature top_p top_k thinking "
    "output_config context_management diagnostics"
)
_PROMPT: Final = ("messages", "system", "tools")
_CLIENT_TOOLS: Final = re.compile(r"(?:custom|(?:bash|text_editor|computer|memory|tool_search_tool\w*)_\d{8})\Z")
"""Tools that run at the caller, or cost nothing."""
_SEARCH: Final = re.compile(r"web_search_\d{8}\Z")
_VERSION: Final = re.compile(rb"[0-9]{4}-[0-9]{2}-[0-9]{2}\Z")


def read(body: bytes, call: CallerRequest) -> Envelope:
    members = members_of(body)
    values = checked(members, _CHECKS)
    check_messages(members)
    if "max_tokens" not in values:
        raise missing("max_tokens", "the most tokens that the answer may have")
    return envelope_of(members, values, body, call)


def envelope_of(members: Members, values: dict[str, Any], body: bytes, call: CallerRequest) -> Envelope:
    """From members that were checked. Invalid."""
    prompt = read_prompts(members, _PROMPT)
    preferences = read_preferences(members)
    options = _options(members, prompt)
    heads = [(name, call.header(name)) for name in (b"anthropic-version", b"anthropic-beta")]
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
        tier=options.tier,
        cache_life="1h" if "1h" in options.cache_lives else "",
        search_tools=searches_in(members, _SEARCH) if options.search else (),
        heads=tuple((name, value) for name, value in heads if value),
    )


def _options(members: Members, prompt: Prompt) -> Options:
    options = read_options(members, members.keys() - _ORDINARY)
    options.state = options.state or prompt.state
    options.cache_lives |= prompt.cache_lives
    if is_there(members, "tools"):
        _read_tools(members["tools"], options)
    return options


def _read_tools(raw: Raw, options: Options) -> None:
    uses: list[int] = []
    bounded = True
    for path, tool in tools_that_search(raw, "custom", _CLIENT_TOOLS, _SEARCH):
        options.search = options.search or path
        most = value_of(tool, "max_uses", path)
        if isinstance(most, int) and not isinstance(most, bool) and most > 0:
            uses.append(most)
        else:
            bounded = False
    if uses and bounded:
        options.searches_max = sum(uses)


def request(envelope: Envelope, asked: Asked) -> ProviderRequest:
    changes: Members = {}
    cap_max = asked.model.max_output_tokens
    if envelope.max_tokens is not None and cap_max is not None and envelope.max_tokens > cap_max:
        changes["max_tokens"] = Raw(b"%d" % cap_max)
    heads = dict(envelope.heads)
    kept, ignored = betas.split(heads.get(b"anthropic-beta", b""), asked.endpoint.betas)
    version = heads.get(b"anthropic-version", b"")
    head = b"anthropic-version: %b\r\n" % (version if _VERSION.match(version) else VERSION)
    if kept:
        head += b"anthropic-beta: %b\r\n" % kept
    left_out = [*reported(envelope), *(f"anthropic-beta={name}" for name in ignored)]
    more, drops, refused = declined(envelope, asked)
    return ProviderRequest(body_for(envelope, asked, changes | more, drops), head, (*left_out, *refused))


def machine(identity: Identity, meter: Meter, envelope: Envelope, created: int, line_bytes_max: int) -> Machine:
    return MessagesStream(identity, meter, created=created, line_bytes_max=line_bytes_max)


def whole(body: bytes, identity: Identity, meter: Meter, content_type: str) -> Whole:
    return Whole(*whole_message(body, identity, meter))


def error_response(refusal: Refusal, flavor: Flavor, request_id: str) -> ErrorResponse:
    """A provider that is overloaded is Anthropic's 529."""
    status = 529 if refusal.status == 503 else refusal.status
    return ErrorResponse(status, error_body(refusal, request_id), [(b"request-id", request_id.encode())] if request_id else [])
