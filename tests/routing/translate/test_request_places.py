"""A request that has everything in it, with each of its places gone or of another kind in turn: said, or refused by its path.

What random mutations (`test_request_bytes`) find by chance is gone through here: no place is left out.
"""

import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest

from routing.request.invalid import Invalid
from routing.translate import DOWNSTREAM, HUB, UPSTREAM, Target, downstream_pair, upstream_pair
from tests.routing.translate.test_request_bytes import places
from tests.routing.translate.test_requests import PDF, PNG, SCHEMA, TOOL, called

MARK = {"type": "ephemeral"}
FORM = {"type": "json_schema", "json_schema": {"name": "n", "description": "d", "schema": SCHEMA, "strict": True}}
CHAT: dict[str, Any] = {
    "model": "m", "max_tokens": 5_000, "max_completion_tokens": 4_000, "stream": True, "temperature": 0.5, "top_p": 0.9,
    "user": "u",
    "tools": [TOOL, {"type": "function", "function": {"name": "f", "description": "d", "parameters": {}, "strict": True}}],
    "tool_choice": {"type": "function", "function": {"name": "look"}}, "parallel_tool_calls": False, "verbosity": "low",
    "response_format": FORM, "reasoning": {"effort": "low", "exclude": False}, "service_tier": "default", "seed": 1,
    "messages": [
        {"role": "system", "content": [{"type": "text", "text": "be", "cache_control": MARK}]},
        {"role": "user", "content": [
            {"type": "text", "text": "hi"}, {"type": "image_url", "image_url": {"url": PNG}},
            {"type": "file", "file": {"filename": "a.pdf", "file_data": PDF}},
        ]},
        {"role": "assistant", "content": "so", "refusal": "no", "tool_calls": [called("c", '{"x":1}'), called("d", "")],
         "reasoning_details": [
            {"type": "reasoning.text", "text": "hm", "signature": "S", "format": "anthropic-claude-v1", "index": 0},
            {"type": "reasoning.encrypted", "data": "D", "format": "google-gemini-v1", "id": "c", "index": 1},
            {"type": "reasoning.summary", "summary": "s", "format": "openai-responses-v1", "index": 2},
            {"type": "reasoning.encrypted", "data": "D", "format": "openai-responses-v1", "id": "r", "index": 3},
        ]},
        {"role": "tool", "tool_call_id": "c", "content": [{"type": "text", "text": "k"}], "is_error": True},
        {"role": "tool", "tool_call_id": "d", "content": "k"},
        {"role": "developer", "content": "late"},
        {"role": "assistant", "content": [{"type": "refusal", "refusal": "no"}], "reasoning": "hm"},
        {"role": "user", "content": "go on", "cache_control": MARK},
    ],
}  # fmt: skip
SOUND: dict[str, Any] = {
    "model": "m",
    "messages": [
        {"role": "user", "content": [
            {"type": "input_audio", "input_audio": {"data": "AA==", "format": "wav"}},
            {"type": "image_url", "image_url": {"url": "https://x.example/a.png"}},
            {"type": "file", "file": {"filename": "a.txt", "file_data": "aGk="}},
        ]},
    ],
}  # fmt: skip
FILM: dict[str, Any] = {
    "model": "m",
    "messages": [{"role": "user", "content": [
        {"type": "video_url", "video_url": {"url": "data:video/mp4;base64,AA=="}},
        {"type": "file", "file": {"filename": "a.txt", "file_data": "data:text/plain;base64,aGk="}},
    ]}],
}  # fmt: skip
MESSAGES: dict[str, Any] = {
    "model": "m", "max_tokens": 50, "system": [{"type": "text", "text": "be", "cache_control": MARK}], "stop_sequences": ["x"],
    "metadata": {"user_id": "u"}, "stream": True, "service_tier": "auto", "temperature": 0.5, "cache_control": MARK,
    "thinking": {"type": "enabled", "budget_tokens": 2_000, "display": "omitted"},
    "output_config": {"effort": "low", "format": {"type": "json_schema", "schema": SCHEMA}},
    "tool_choice": {"type": "tool", "name": "a.b", "disable_parallel_tool_use": True},
    "tools": [
        {"name": "a.b", "description": "d", "input_schema": SCHEMA, "cache_control": MARK, "strict": True},
        {"type": "custom", "name": "c"}, {"type": "web_search_20250305", "name": "web_search"},
    ],
    "messages": [
        {"role": "user", "content": [
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AA=="}, "cache_control": MARK},
            {"type": "image", "source": {"type": "url", "url": "https://x.example/a.png"}},
            {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "AA=="}, "title": "t"},
            {"type": "document", "title": "t", "context": "c", "source": {"type": "text", "media_type": "text/x", "data": "t"}},
            {"type": "document", "source": {"type": "url", "url": "https://x.example/a.pdf"}},
            {"type": "document", "source": {"type": "content", "content": [{"type": "text", "text": "c"}]}, "context": "c"},
            {"type": "search_result", "title": "t", "source": "s", "content": [{"type": "text", "text": "c"}]},
        ]},
        {"role": "assistant", "content": [
            {"type": "thinking", "thinking": "hm", "signature": "S"}, {"type": "redacted_thinking", "data": "D"},
            {"type": "redacted_thinking", "data": "tollway:google-gemini-v1:encrypted:c:D"},
            {"type": "thinking", "thinking": "hm"},
            {"type": "server_tool_use", "id": "s"}, {"type": "web_search_tool_result", "tool_use_id": "s"},
            {"type": "text", "text": "so", "citations": []}, {"type": "tool_use", "id": "t", "name": "a.b", "input": {"x": 1}},
        ]},
        {"role": "user", "content": [{
            "type": "tool_result", "tool_use_id": "t", "is_error": True, "cache_control": MARK, "content": [
                {"type": "text", "text": "k"},
                {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AA=="}},
            ],
        }]},
        {"role": "system", "content": "late"}, {"role": "assistant", "content": "so"}, {"role": "user", "content": "go on"},
    ],
}  # fmt: skip
RESPONSES: dict[str, Any] = {
    "model": "m", "instructions": "be", "stream": True, "user": "u", "temperature": 0.5, "parallel_tool_calls": True,
    "text": {"format": {"type": "json_schema", "name": "n", "schema": SCHEMA, "strict": True}, "verbosity": "low"},
    "reasoning": {"effort": "low", "summary": "auto", "mode": "standard"},
    "include": ["reasoning.encrypted_content", "file_search_call.results"], "max_output_tokens": 50, "metadata": {"a": "b"},
    "tool_choice": {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "look"}]},
    "tools": [
        {"type": "function", "name": "look", "description": "d", "parameters": SCHEMA, "strict": True}, {"type": "web_search"},
        {"type": "custom", "name": "c", "description": "d", "format": {"type": "grammar", "syntax": "lark", "definition": "x"}},
        {"type": "namespace", "name": "ns", "tools": [{"type": "function", "name": "f"}, {"type": "custom", "name": "g"}]},
    ],
    "input": [
        {"role": "developer", "content": "be"},
        {"role": "user", "content": [
            {"type": "input_text", "text": "hi"}, {"type": "input_image", "image_url": PNG, "detail": "low"},
            {"type": "input_file", "filename": "a.pdf", "file_data": PDF}, {"type": "input_file", "file_url": "https://x/a.pdf"},
            {"type": "input_audio", "input_audio": {"data": "AA==", "format": "wav"}},
        ]},
        {"type": "reasoning", "encrypted_content": "tollway:f:signature:i:D", "summary": [{"type": "summary_text", "text": "h"}]},
        {"type": "reasoning", "content": [{"type": "reasoning_text", "text": "hm"}], "summary": []},
        {"type": "message", "role": "assistant", "content": [
            {"type": "output_text", "text": "so"}, {"type": "refusal", "refusal": "no"}]},
        {"type": "function_call", "call_id": "c", "name": "f", "namespace": "ns", "arguments": "{}"},
        {"type": "custom_tool_call", "call_id": "d", "name": "c", "input": "in"},
        {"type": "function_call_output", "call_id": "c", "output": [
            {"type": "input_text", "text": "k"}, {"type": "input_image", "image_url": PNG}]},
        {"type": "custom_tool_call_output", "call_id": "d", "output": "k"}, {"type": "web_search_call", "id": "w"},
        {"type": "additional_tools", "tools": [{"type": "function", "name": "more"}]}, {"role": "user", "content": ""},
    ],
}  # fmt: skip
GEMINI: dict[str, Any] = {
    "model": "m", "stream": True, "systemInstruction": {"role": "user", "parts": [{"text": "be"}]}, "serviceTier": "flex",
    "contents": [
        {"role": "user", "parts": [
            {"text": "hi"}, {"inlineData": {"mimeType": "image/png", "data": "AA==", "displayName": "p"}},
            {"inlineData": {"mimeType": "audio/wav", "data": "AA=="}}, {"inlineData": {"mimeType": "video/mp4", "data": "AA=="}},
            {"inlineData": {"mimeType": "application/pdf", "data": "AA=="}},
            {"fileData": {"mimeType": "image/png", "fileUri": "https://x.example/a.png"}},
            {"fileData": {"mimeType": "application/pdf", "fileUri": "https://x.example/a.pdf"}},
        ]},
        {"role": "model", "parts": [
            {"text": "hm", "thought": True, "thoughtSignature": "c2ln"}, {"text": "so"},
            {"thoughtSignature": "dG9sbHdheTphbnRocm9waWMtY2xhdWRlLXYxOnNpZ25hdHVyZTo6Uw=="},
            {"inlineData": {"mimeType": "image/png", "data": "AA=="}},
            {"functionCall": {"id": "c1", "name": "f.g", "args": {"x": 1}}, "thoughtSignature": "c2ln"},
            {"functionCall": {"name": "g"}},
        ]},
        {"role": "function", "parts": [
            {"functionResponse": {"id": "c1", "name": "f.g", "response": {"output": "1"}, "parts": [
                {"inlineData": {"mimeType": "image/png", "data": "AA=="}}]}},
            {"functionResponse": {"name": "g", "response": {}}}, {"text": "and?"},
        ]},
        {"parts": {"text": "go on"}},
    ],
    "tools": [{"functionDeclarations": [
        {"name": "f.g", "description": "d", "response": {"type": "STRING"}, "parameters": {
            "type": "OBJECT", "nullable": True,
            "properties": {"x": {"type": "ARRAY", "items": {"type": "NUMBER"}, "minItems": "1"}},
            "anyOf": [{"type": "STRING"}], "required": ["x"], "propertyOrdering": ["x"],
        }},
        {"name": "g", "parametersJsonSchema": SCHEMA},
    ]}],
    "toolConfig": {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["f.g", "g"]}},
    "generationConfig": {
        "maxOutputTokens": 900, "temperature": 0.5, "topP": 0.9, "topK": 3, "stopSequences": ["x"], "candidateCount": 1,
        "responseMimeType": "application/json", "responseSchema": {"type": "OBJECT"}, "responseModalities": ["TEXT"],
        "thinkingConfig": {"includeThoughts": True, "thinkingBudget": 100}, "mediaResolution": "LOW", "responseLogprobs": False,
    },
}  # fmt: skip
COHERE: dict[str, Any] = {
    "model": "m", "stream": True, "max_tokens": 50, "temperature": 0.3, "k": 5, "p": 0.5, "stop_sequences": ["x"], "seed": 1,
    "thinking": {"type": "enabled", "token_budget": 1024}, "strict_tools": True, "tool_choice": "REQUIRED", "priority": 1,
    "response_format": {"type": "json_object", "json_schema": {"type": "object"}}, "citation_options": {"mode": "FAST"},
    "documents": ["a", {"id": "d", "data": {"t": "blue"}}, {"data": "b"}], "safety_mode": "STRICT", "logprobs": False,
    "tools": [{"type": "function", "function": {"name": "f.g", "description": "d", "parameters": {"type": "object"}}}],
    "messages": [
        {"role": "system", "content": "be"},
        {"role": "user", "content": [
            {"type": "text", "text": "hi"}, {"type": "image_url", "image_url": {"url": "https://x/a.png", "detail": "low"}}]},
        {"role": "assistant", "tool_plan": "I will", "tool_calls": [
            {"id": "c", "type": "function", "function": {"name": "f.g", "arguments": "{}"}}]},
        {"role": "tool", "tool_call_id": "c", "content": [{"type": "document", "document": {"id": "d", "data": {"a": 1}}}]},
        {"role": "assistant", "content": [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "so"}]},
    ],
}  # fmt: skip
DOWN: dict[str, list[dict[str, Any]]] = {"messages": [MESSAGES], "responses": [RESPONSES], "gemini": [GEMINI], "cohere": [COHERE]}
WAYS = [*(f"chat on {name}" for name in UPSTREAM), *(f"{name} on chat" for name in DOWNSTREAM)]
GONE = object()
VALUES: list[Any] = [
    GONE,
    None,
    True,
    -1,
    2.5,
    "",
    "x",
    [],
    {},
    [None],
    [{}],
    ["x"],
    {"type": "x"},
    {"type": "function"},
    "\ud83d",
]
TARGETS = [
    Target("p", "claude-sonnet-4-6", 9_000),
    Target("p", "claude-3-7-sonnet", None),
    Target("p", "gemini-2.5-flash", fetches_urls=False),
    Target("p", "m", traits=HUB),
    Target("p", "m", traits=frozenset(("short_ids", "reasoning_content", "file_urls"))),
    Target("p", "m", traits=frozenset(("tool_images", "is_error", "cache_control"))),
]


def pair_of(way: str) -> Any:
    first, _, second = way.partition(" on ")
    return upstream_pair(second) if first == "chat" else downstream_pair(first)


def starts(way: str) -> list[dict[str, Any]]:
    """What a pair takes: Chat's, without what this provider has no counterpart of."""
    first, _, second = way.partition(" on ")
    if first != "chat":
        return DOWN[first]
    body = copy.deepcopy(CHAT)
    if second == "cohere":
        del body["tool_choice"], body["messages"][1]["content"][2]
    return [body, SOUND, FILM]


def put(document: dict[str, Any], place: tuple[Any, ...], value: Any) -> dict[str, Any]:
    """The document with another value at a place, or without it."""
    made = copy.deepcopy(document)
    holder: Any = made
    for key in place[:-1]:
        holder = holder[key]
    if value is GONE:
        del holder[place[-1]]
    else:
        holder[place[-1]] = value
    return made


def changed(document: dict[str, Any]) -> Iterator[tuple[tuple[Any, ...], dict[str, Any]]]:
    """(a place, the document with another value there), for each place and value."""
    for place in places(document)[1:]:
        for value in VALUES:
            yield place, put(document, place, value)


def outcome(call: Any, body: bytes, target: Target) -> Any:
    """What a request was translated to, or why it is refused."""
    try:
        return call(body, target)
    except Invalid as problem:
        return problem


def is_said_why(problem: Invalid, document: dict[str, Any]) -> bool:
    """Whether it names what the request has, or should have, and says more than that."""
    top = (problem.param or "").partition("[")[0].partition(".")[0]
    return (problem.param is None or top in document) and len(problem.message) > 20


@pytest.mark.parametrize("way", WAYS)
def test_each_place_of_a_request_is_said_or_refused_by_its_path(way: str) -> None:
    """What goes out is JSON; what is refused names a member that the request has, and says what would be right."""
    call = pair_of(way).request
    said = refused = 0
    for document in starts(way):
        for number, (place, body) in enumerate(changed(document)):
            found = outcome(call, json.dumps(body).encode(), TARGETS[number % len(TARGETS)])
            if isinstance(found, Invalid):
                refused += 1
                assert is_said_why(found, {**document, **body}), (place, found.message)
            else:
                said += 1
                json.loads(found.body)
                assert all(isinstance(path, str) and path for path in found.ignored)
    assert min(said, refused) > 50


@pytest.mark.parametrize("way", WAYS)
def test_request_with_everything_in_it_is_said_somewhere(way: str) -> None:
    """So the places above are ones of a request that is served."""
    body = json.dumps(starts(way)[0]).encode()
    assert not all(isinstance(outcome(pair_of(way).request, body, target), Invalid) for target in TARGETS)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("inside", [b"\xff", b"\xc3", b"\xed\xa0\x80"])
def test_text_that_is_no_unicode_is_said_or_refused(way: str, inside: bytes) -> None:
    """In each string in turn; nobody's mistake is an error of ours."""
    call = pair_of(way).request
    for document in starts(way):
        text = json.dumps(document).encode()
        at = text.find(b'"')
        while at >= 0:
            outcome(call, text[: at + 1] + inside + text[at + 1 :], TARGETS[3])
            at = text.find(b'"', text.find(b'"', at + 1) + 1)


NESTS = [
    (b"[", b"]"),
    (b'{"a":', b"}"),
    (b'{"type":"object","properties":{"x":', b"}}"),
    (b'{"type":"ARRAY","items":', b"}"),
    (b'[{"type":"namespace","name":"n","tools":', b"}]"),
]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("depth", [30, 400, 2_000])
def test_request_that_is_nested_deeply_is_said_or_refused(way: str, depth: int) -> None:
    """Tools, schemas, arguments, documents: as deep as any reader goes, and beyond. What the messages themselves may be nested is
    bounded where they are read first (`routing.request.prompt`)."""
    call, found = pair_of(way).request, 0
    for document in starts(way)[:1]:
        for place in places(document)[1:]:
            if place[-1] not in ("tools", "parameters", "schema", "responseSchema", "input_schema", "input", "args", "data", "x"):
                continue
            found += 1
            text = json.dumps(put(document, place, "@@")).encode()
            for opening, closing in NESTS:
                body = text.replace(b'"@@"', opening * depth + b'"x"' + closing * depth)
                try:
                    outcome(call, body, TARGETS[3])
                except RecursionError:  # its own trace is too long to be shown
                    pytest.fail(f"{place} with {opening!r}", pytrace=False)
    assert found
