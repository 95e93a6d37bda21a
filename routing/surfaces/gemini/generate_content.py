"""Google's generateContent and streamGenerateContent: the model and the action stand in the path.

Rule: what refers to something kept at Google (a cached content, a file) is refused. Rule: of the two spellings that Google reads
(`maxOutputTokens`, `max_output_tokens`) only its own is taken, and each member once, so that none can undo what was read.
Limits: a stream is one of events (`alt=sse`, as Google's SDKs ask for); the growing JSON array is not made.
"""

import re
from typing import Any, Final, Literal
from urllib.parse import parse_qs

import msgspec
from msgspec import Raw

from routing.metering.meter import Meter
from routing.plan.preferences import read_preferences
from routing.plan.refusal import Refusal
from routing.request.envelope import Envelope, members_of
from routing.request.invalid import Invalid
from routing.request.names import words
from routing.request.options import Options, read_options
from routing.rewrite.gemini import GeminiStream, error_body
from routing.rewrite.gemini import whole as whole_answer
from routing.rewrite.identity import Identity
from routing.surfaces import Asked, CallerRequest, ErrorResponse, Machine, ProviderRequest, Whole
from routing.surfaces.json_request import body_for, is_there, missing, priced, reported
from routing.wire.members import decode_members, replace
from routing.wire.objects import repeats_within
from usage.flavor import Flavor

ANSWERS: Final[Literal["json", "bytes"]] = "json"
ACTIONS: Final = re.compile(r"/models/(.+):(generateContent|streamGenerateContent)\Z")
_SNAKE: Final = words(
    "generation_config system_instruction cached_content tool_config safety_settings service_tier max_output_tokens "
    "candidate_count file_data file_uri inline_data function_declarations google_search code_execution"
)
CHOICES_MAX: Final = 128
_KEPT: Final = ("files/", "gs://", "cachedContents/")
_FREE_TOOLS: Final = frozenset(("functionDeclarations",))
_decode: Final = msgspec.json.decode


def model_in(path: str, actions: re.Pattern[str]) -> tuple[str, str]:
    """(model, action) of a path. Invalid."""
    found = actions.search(path)
    if found is None:
        raise Invalid(
            "the path must name a model and what to do, such as /models/google/gemini-3.8-flash:generateContent", "model"
        )
    return found[1], found[2]


class Seen:
    """What a prompt has beside its text."""

    def __init__(self) -> None:
        self.inline: list[int] = []
        self.remote = 0
        self.state: str | None = None

    def look(self, raw: Raw, path: str) -> None:
        """Invalid: what can be read in two ways. msgspec.DecodeError or RecursionError: what cannot be read."""
        value = _decode(raw)
        if repeats_within(bytes(raw), value):
            raise Invalid(f"'{path}' has an object with the same member twice: send it once", path, "ambiguous_member")
        level = [(value, path)]
        while level:
            node, at = level.pop()
            if isinstance(node, list):
                level += [(each, f"{at}[{index}]") for index, each in enumerate(node)]
            elif isinstance(node, dict):
                for name, inner in node.items():
                    if name in _SNAKE:
                        raise Invalid(
                            f"'{at}.{name}' must be written as Google's API has it, in camel case", at, "ambiguous_member"
                        )
                    if name == "inlineData" and isinstance(inner, dict):
                        data = inner.get("data")
                        self.inline.append(len(data) if isinstance(data, str) else 0)
                    elif name == "fileData" and isinstance(inner, dict):
                        self.remote += 1
                        uri = inner.get("fileUri")
                        if isinstance(uri, str) and (uri.startswith(_KEPT) or "generativelanguage.googleapis.com" in uri):
                            self.state = self.state or f"{at}.fileData.fileUri"
                    elif name not in ("args", "response", "parameters", "parametersJsonSchema"):
                        level.append((inner, f"{at}.{name}"))


def read(body: bytes, call: CallerRequest) -> Envelope:
    model, action = model_in(call.path, ACTIONS)
    members = members_of(body)
    members.pop("model", None)  # the path's is the one that counts
    if snake := sorted(members.keys() & _SNAKE):
        raise Invalid(f"'{snake[0]}' must be written as Google's API has it, in camel case", snake[0], "ambiguous_member")
    if not is_there(members, "contents"):
        raise missing("contents", "a list of at least one content")
    stream = action == "streamGenerateContent"
    if stream and parse_qs(call.query.decode("latin-1")).get("alt") != ["sse"]:
        raise Invalid("send ?alt=sse: a stream is one of server-sent events", "alt")
    seen = Seen()
    try:
        config = _decode(members["generationConfig"]) if is_there(members, "generationConfig") else {}
        for name in ("contents", "systemInstruction", "tools", "generationConfig"):
            if is_there(members, name):
                seen.look(members[name], name)
        tools = _decode(members["tools"]) if is_there(members, "tools") else []
        tier = _decode(members["serviceTier"]) if is_there(members, "serviceTier") else ""
    except (msgspec.DecodeError, RecursionError) as problem:
        raise Invalid(f"the body cannot be read: {problem}", code="invalid_json") from None
    if not isinstance(config, dict):
        raise Invalid("'generationConfig' must be an object", "generationConfig")
    if not isinstance(tier, str):
        raise Invalid("'serviceTier' must be a text", "serviceTier")
    preferences = read_preferences(members)
    options = read_options(members, members.keys() & {"plugins"})
    options.state = "cachedContent" if is_there(members, "cachedContent") else seen.state
    if tier.upper() not in ("", "STANDARD"):
        options.tier, options.tier_param = tier.lower(), "serviceTier"
    _read_tools(tools, options)
    return Envelope(
        model=model,
        members=members,
        bytes_total=len(body),
        stream=stream,
        include_usage=True,
        max_tokens=_count(config, "maxOutputTokens", 2**53),
        choices=_count(config, "candidateCount", CHOICES_MAX) or 1,
        prompt_bytes=sum(len(members[name]) for name in ("contents", "systemInstruction", "tools") if name in members),
        remote_others=seen.remote,
        inline_media=tuple(seen.inline),
        options=priced(options),
        preferences=preferences,
        tier=options.tier,
    )


def _count(config: dict[str, Any], name: str, most: int) -> int | None:
    value = config.get(name)
    if value is not None and (not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= most):
        raise Invalid(f"'generationConfig.{name}' must be a whole number from 1 to {most}", f"generationConfig.{name}")
    return value


def _read_tools(tools: Any, options: Options) -> None:
    for at, tool in enumerate(tools if isinstance(tools, list) else ()):
        for name in tool if isinstance(tool, dict) else ():
            if name in _FREE_TOOLS:
                continue
            path = f"tools[{at}].{name}"
            if name != "googleSearch":
                raise Invalid(f"'{path}' runs at the provider and has no price here", path, "unpriced_option")
            options.search = options.search or path


def request(envelope: Envelope, asked: Asked) -> ProviderRequest:
    members, changes = envelope.members, {}
    cap, cap_max = envelope.max_tokens, asked.model.max_output_tokens
    wanted = asked.cap if cap is None else cap_max if cap_max is not None and cap > cap_max else None
    if wanted is not None:
        config = bytes(members["generationConfig"]) if is_there(members, "generationConfig") else b"{}"
        capped = replace(config, decode_members(config), {"maxOutputTokens": Raw(b"%d" % wanted)})
        changes["generationConfig"] = Raw(capped)
    return ProviderRequest(body_for(envelope, asked, changes, ("model",)), b"", reported(envelope))


def machine(identity: Identity, meter: Meter, envelope: Envelope, created: int, line_bytes_max: int) -> Machine:
    return GeminiStream(identity, meter, created=created, line_bytes_max=line_bytes_max, choices=envelope.choices)


def whole(body: bytes, identity: Identity, meter: Meter, content_type: str) -> Whole:
    return Whole(*whole_answer(body, identity, meter, "candidates", "promptFeedback"))


def error_response(refusal: Refusal, flavor: Flavor, request_id: str) -> ErrorResponse:
    return ErrorResponse(refusal.status, error_body(refusal), [])
