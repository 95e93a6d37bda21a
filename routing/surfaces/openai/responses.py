"""OpenAI's Responses, stateless: Codex, OpenAI's SDKs and agents.

Rule: what refers to something kept at the provider is refused, and `store` is sent as false: all callers share one account there.
Rule: a refusal has the status that makes Codex stop where trying again cannot help: `insufficient_quota` with 429 ends it, 402
and 403 bring five more.
Source: OpenAI's Responses reference; requests of Codex CLI 0.169.
"""

import re
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta, Raw

from routing.metering.meter import Meter
from routing.plan.preferences import read_preferences
from routing.plan.refusal import Refusal
from routing.request.envelope import Envelope, PositiveInt, members_of
from routing.request.invalid import Invalid
from routing.request.names import words
from routing.request.options import Options, read_options
from routing.request.prompt import Prompt, read_prompts
from routing.rewrite.identity import Identity
from routing.rewrite.responses import ResponsesStream
from routing.rewrite.responses import whole as whole_response
from routing.surfaces import Asked, CallerRequest, ErrorResponse, Machine, ProviderRequest, Whole
from routing.surfaces.json_request import (
    body_for,
    capped,
    checked,
    checks,
    declined,
    envelope_for,
    first_of,
    is_there,
    missing,
    reported,
    searches_in,
    tools_that_search,
    value_of,
)
from routing.wire.members import Members, decode_members
from usage.flavor import Flavor
from usage.retry_after import retry_after_header

ANSWERS: Final[Literal["json", "bytes"]] = "json"
_CHECKS: Final = checks(
    ("stream", bool, "true or false"),
    ("max_output_tokens", PositiveInt, "a whole number of at least 1"),
    ("max_tool_calls", PositiveInt, "a whole number of at least 1"),
    ("temperature", Annotated[float, Meta(ge=0, le=2)], "a number from 0 to 2"),
    ("top_p", Annotated[float, Meta(ge=0, le=1)], "a number from 0 to 1"),
)
_ORDINARY: Final = words(
    "model input instructions stream max_output_tokens max_tool_calls tools tool_choice parallel_tool_calls reasoning text "
    "include prompt_cache_key prompt_cache_retention context_management truncation stream_options metadata user "
    "safety_identifier top_logprobs temperature top_p client_metadata moderation access_programs"
)
_PROMPT: Final = ("input", "instructions", "tools", "text")
_CALLER_TOOLS: Final = re.compile(
    r"(?:function|custom|namespace|local_shell|shell|apply_patch|computer|computer_use_preview|tool_search)\Z"
)
"""Tools that run at the caller."""
_SEARCH: Final = re.compile(r"web_search")
_WAIT_S_MIN: Final = 5.0
_decode_items: Final = msgspec.json.Decoder(list[Raw]).decode


def read(body: bytes, call: CallerRequest) -> Envelope:
    members = members_of(body)
    values = checked(members, _CHECKS)
    if not is_there(members, "input"):
        raise missing("input", "a text or a list of items")
    if first_of(members, "input") not in (b'"', b"["):
        raise Invalid("'input' must be a text or a list of items", "input")
    prompt = read_prompts(members, ("input", "tools"))
    preferences = read_preferences(members)
    options = _options(members, prompt, values)
    return envelope_for(
        body,
        members,
        _PROMPT,
        prompt,
        options,
        preferences,
        stream=values.get("stream", False),
        include_usage=True,
        max_tokens=values.get("max_output_tokens"),
        tier=options.tier,
        cache_life="12h" if "12h" in options.cache_lives else "",
        search_tools=searches_in(members, _SEARCH) if options.search else (),
    )


def _options(members: Members, prompt: Prompt, values: dict[str, Any]) -> Options:
    options = read_options(members, members.keys() - _ORDINARY)
    if is_there(members, "prompt"):
        options.state = options.state or "prompt"
    options.state = options.state or prompt.state
    options.cache_lives |= prompt.cache_lives
    if first_of(members, "input") == b"[":
        options.state = options.state or _reference(members["input"])
    if is_there(members, "reasoning"):
        reasoning = value_of(members, "reasoning")
        if isinstance(reasoning, dict) and reasoning.get("mode") not in (None, "standard"):
            raise Invalid("'reasoning.mode' has no price here but 'standard'", "reasoning.mode", "unpriced_option")
    if is_there(members, "tools"):
        _read_tools(members["tools"], options, values.get("max_tool_calls"))
    return options


def _reference(raw: Raw) -> str | None:
    """The first item that is a reference to one that is kept elsewhere; its type may be left out."""
    for at, each in enumerate(_decode_items(raw)):
        if bytes(memoryview(each)[:1]) == b"{":
            item = decode_members(each)
            kind = value_of(item, "type", f"input[{at}]") if is_there(item, "type") else None
            if kind == "item_reference" or (kind is None and is_there(item, "id") and not is_there(item, "role")):
                return f"input[{at}]"
    return None


def _read_tools(raw: Raw, options: Options, calls_max: int | None) -> None:
    for path, tool in tools_that_search(raw, "function", _CALLER_TOOLS, _SEARCH):
        if bytes(tool.get("external_web_access", b"")) == b"false":
            continue
        options.search = options.search or path
        options.searches_max = calls_max or options.searches_max


def request(envelope: Envelope, asked: Asked) -> ProviderRequest:
    is_callers = asked.provider.allow_state and "store" in envelope.members
    changes: Members = {} if is_callers else {"store": Raw(b"false")}
    changes |= capped(envelope, asked, "max_output_tokens")
    more, drops, refused = declined(envelope, asked)
    if not refused and envelope.options is not None and envelope.options.search and "max_tool_calls" not in envelope.members:
        changes["max_tool_calls"] = Raw(b"%d" % asked.model.searches_max)
    return ProviderRequest(body_for(envelope, asked, changes | more, drops), b"", (*reported(envelope), *refused))


def machine(identity: Identity, meter: Meter, envelope: Envelope, created: int, line_bytes_max: int) -> Machine:
    return ResponsesStream(identity, meter, created=created, line_bytes_max=line_bytes_max)


def whole(body: bytes, identity: Identity, meter: Meter, content_type: str) -> Whole:
    return Whole(*whole_response(body, identity, meter))


def error_response(refusal: Refusal, flavor: Flavor, request_id: str) -> ErrorResponse:
    """Without credit it is OpenAI's own word for it; what may be tried again is not tried at once, nor without end."""
    if refusal.status == 402:
        refusal = msgspec.structs.replace(refusal, status=429, code="insufficient_quota", type="insufficient_quota")
        return ErrorResponse(429, refusal.body(Flavor.OPENAI), [(b"x-should-retry", b"false")])
    headers = []
    if refusal.status in (502, 503):
        headers.append((b"retry-after", retry_after_header(max(_WAIT_S_MIN, refusal.retry_after_s or 0.0)).encode()))
    return ErrorResponse(refusal.status, refusal.body(Flavor.OPENAI), headers)
