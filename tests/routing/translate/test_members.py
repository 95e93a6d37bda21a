"""No member of a request, however deep, is dropped in silence: take it out, and the provider is sent something else, or something
else is reported or refused.

Strategy: a request that says everything is translated; what is refused is taken out and noted, until it goes through. Then each
member is taken out, all of one kind at once, beside the others of its name that are reported under one path.
"""

import copy
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from routing.request.invalid import Invalid
from routing.translate import HUB, DownstreamPair, Format, Target, UpstreamPair, downstream_pair, upstream_pair
from tests.routing.translate import sinks
from tests.routing.translate.asks import MODELS

OPAQUE = frozenset(
    [
        *(
            "parameters",
            "schema",
            "input_schema",
            "parametersJsonSchema",
            "responseSchema",
            "responseJsonSchema",
            "args",
            "response",
        ),
        *(
            "input",
            "cache_control",
            "prompt_cache_breakpoint",
            "action",
            "annotations",
            "citations",
            "caller",
            "data",
            "logprobs",
        ),
        *("extra_content", "input_examples", "partMetadata", "mediaResolution", "videoMetadata", "partialArgs"),
    ]
)
"""What is one value, whatever is in it."""
SAYS_NOTHING = frozenset(
    (
        "messages[].tool_calls[].index",  # they stand in order
        "messages[].tool_calls[].type",  # a call of a function is what a call is
        "messages[].name@tool",  # a result belongs to the id of its call
        "messages[].reasoning_details[].index",
        "messages[].reasoning_details[].id",
        "messages[].reasoning_details[].text@reasoning.text",  # Gemini's thoughts in words: summaries, which nobody wants back
        "messages[].reasoning_details[].type@reasoning.summary",
        "messages[].reasoning_details[].summary@reasoning.summary",
        "messages[].reasoning@assistant",  # what the details say too
        "reasoning.enabled",  # beside an effort
        "contents[].parts[].functionResponse.name",  # beside the id of its call
        "generationConfig.responseMimeType",  # beside a schema
        "tools[].format.type",
        "tool_choice.allowed_tools.tools[].type",
        "response_format.json_schema.name",  # a label
        "response_format.json_schema.strict",  # where a schema is kept to in any case
        "tools[].type",
        "input[].type",
        "input[].id",
        "input[].status",
        "input[].role@additional_tools",
        "input[].summary[].type",
        "input[].content[].type@reasoning",
        "reasoning.mode",
        "systemInstruction.role",
        "contents[].role",
        "messages[].content[].source.media_type@text",  # a text is a text
    )
)
Path = tuple[str | int, ...]


def walk(value: Any, path: Path = ()) -> Iterator[Path]:
    """Every member, the outer ones first."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield (*path, name)
            if name not in OPAQUE:
                yield from walk(inner, (*path, name))
    elif isinstance(value, list):
        for at, inner in enumerate(value):
            yield from walk(inner, (*path, at))


def written(path: Path, *, with_numbers: bool = True) -> str:
    text = ""
    for step in path:
        text += (f"[{step}]" if with_numbers else "[]") if isinstance(step, int) else f".{step}" if text else step
    return text


def parsed(path: str) -> Path:
    return tuple(int(number) if number else name for number, name in re.findall(r"\[(\d+)\]|([^.\[\]]+)", path))


def without(request: Any, *paths: Path) -> Any:
    made = copy.deepcopy(request)
    for path in sorted(paths, key=lambda each: [(isinstance(step, str), step) for step in each], reverse=True):
        holder = made
        for step in path[:-1]:
            holder = holder[step]
        del holder[path[-1]]
    return made


Outcome = tuple[Any, tuple[str, ...], str]


def outcome(pair: UpstreamPair | DownstreamPair, request: Any, target: Target) -> Outcome:
    """(what is sent, what is reported, the path that is refused)."""
    try:
        sent = pair.request(json.dumps({"model": "x", **request}).encode(), target)
    except Invalid as problem:
        return None, (), problem.param or "?"
    return json.loads(sent.body), sent.ignored, ""


def settled(pair: UpstreamPair | DownstreamPair, request: Any, target: Target) -> tuple[Any, Outcome, list[str]]:
    """A request that goes through, what becomes of it, and what was refused before."""
    refused: list[str] = []
    while True:
        found = outcome(pair, request, target)
        if not found[2]:
            return request, found, refused
        refused.append(found[2])
        assert len(refused) < 40, refused
        path = parsed(found[2])
        while path:
            try:
                request = without(request, path)
                break
            except (KeyError, IndexError, TypeError):
                path = path[:-1]
        assert path, f"{found[2]} is nothing that the request has"


def silent(pair: UpstreamPair | DownstreamPair, request: Any, target: Target) -> list[str]:
    """The kinds of members that go nowhere."""
    request, found, _ = settled(pair, request, target)
    kinds: dict[str, list[Path]] = {}
    for path in walk(request):
        kinds.setdefault(kind_of(request, path), []).append(path)
    lost = []
    for kind, paths in kinds.items():
        if kind in SAYS_NOTHING or kind.partition("@")[0] in SAYS_NOTHING:
            continue
        if all(is_told(path, found[1]) for path in paths) or outcome(pair, without(request, *paths), target) != found:
            continue
        namesakes = [path for path in walk(request) if path[-1] == paths[0][-1] and path not in paths]
        namesakes = [
            path for path in namesakes if not any(path[: len(other)] == other for other in (*paths, *namesakes) if other != path)
        ]
        alone = without(request, *namesakes)
        try:
            rest = without(alone, *paths)
        except (KeyError, IndexError):
            continue
        if outcome(pair, rest, target) == outcome(pair, alone, target):
            lost.append(kind)
    return lost


def is_told(path: Path, ignored: tuple[str, ...]) -> bool:
    """Whether it is, or what it is in, is among what was reported."""
    forms = (written(path), written(path, with_numbers=False))
    return any(form == each or form.startswith((f"{each}.", f"{each}[")) for form in forms for each in ignored)


def kind_of(request: Any, path: Path) -> str:
    """A path without numbers, and what it is a member of."""
    holders = [request]
    for step in path[:-1]:
        holders.append(holders[-1][step])
    typed = [holder for holder in holders if isinstance(holder, dict) and holder.keys() & {"type", "role"}]
    of = (typed[-1].get("type") or typed[-1].get("role")) if typed else ""
    return f"{written(path, with_numbers=False)}@{of}"


@pytest.mark.parametrize("choice", [None, *sinks.CHAT_CHOICES], ids=["auto", "function", "allowed_tools"])
@pytest.mark.parametrize("format", sinks.CHAT)
def test_members_of_a_chat_request(format: Format, choice: Any) -> None:
    """At every provider that is spoken to in another format."""
    pair = upstream_pair(format)
    assert pair is not None
    request = sinks.CHAT[format] | ({} if choice is None else {"tool_choice": choice})
    assert silent(pair, request, Target(format, MODELS[format], 64_000)) == []


@pytest.mark.parametrize("traits", [None, frozenset(("reasoning_content",)), HUB], ids=["plain", "thinks aloud", "hub"])
@pytest.mark.parametrize("format", ["messages", "responses", "gemini", "cohere"])
def test_members_of_other_requests(format: Format, traits: frozenset[str] | None) -> None:
    """At a provider that speaks Chat, and on their way to another one."""
    pair = downstream_pair(format)
    assert pair is not None
    request = {"messages": sinks.MESSAGES, "responses": sinks.RESPONSES, "gemini": sinks.GEMINI, "cohere": sinks.COHERE}[format]
    assert silent(pair, request, Target("someone", "m", traits=traits)) == []


def test_loss_is_found() -> None:
    """The search itself: a pair that drops a member deep down is told so."""

    class Forgetful:
        def request(self, body: bytes, target: Target) -> Any:
            pair = upstream_pair("messages")
            assert pair is not None
            return pair.request(body.replace(b'"detail": "high"', b'"detail": "auto"'), target)

    lost = silent(Forgetful(), sinks.CHAT["messages"], Target("x", MODELS["messages"], 64_000))  # type: ignore[arg-type]
    assert "messages[].content[].image_url.detail@image_url" not in lost
    request = without(sinks.CHAT["messages"], ("messages", 2, "content", 2))
    lost = silent(Forgetful(), request, Target("x", MODELS["messages"], 64_000))  # type: ignore[arg-type]
    assert lost == ["messages[].content[].image_url.detail@image_url"]
