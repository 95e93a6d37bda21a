"""Requests of any kind through every pair: each is translated, or refused with what is wrong; nothing else is raised."""

import json
import random
from typing import Any

import pytest

from routing.request.invalid import Invalid
from routing.translate import DOWNSTREAM, HUB, UPSTREAM, Target, downstream_pair, upstream_pair
from tests.routing.translate.test_requests import PDF, PNG, SCHEMA, TOOL, called

VALUES: list[Any] = [
    None,
    True,
    False,
    0,
    -1,
    1,
    2.5,
    1e300,
    "",
    "x",
    "none",
    "auto",
    [],
    {},
    [None],
    [[]],
    [{}],
    {"type": "x"},
    "\ud83d",
]
CHAT: dict[str, Any] = {
    "model": "m", "max_tokens": 50, "stream": True, "temperature": 0.5, "stop": ["x"], "tools": [TOOL], "tool_choice": "auto",
    "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA}}, "reasoning": {"effort": "low"},
    "messages": [
        {"role": "system", "content": [{"type": "text", "text": "be", "cache_control": {"type": "ephemeral"}}]},
        {"role": "user", "content": [
            {"type": "text", "text": "hi"}, {"type": "image_url", "image_url": {"url": PNG}},
            {"type": "file", "file": {"filename": "a.pdf", "file_data": PDF}},
        ]},
        {"role": "assistant", "content": "so", "tool_calls": [called("c", '{"x":1}')], "reasoning_details": [
            {"type": "reasoning.text", "text": "hm", "signature": "S", "format": "anthropic-claude-v1", "index": 0},
        ]},
        {"role": "tool", "tool_call_id": "c", "content": "k"},
    ],
}  # fmt: skip
MESSAGES: dict[str, Any] = {
    "model": "m", "max_tokens": 50, "system": [{"type": "text", "text": "be"}], "stop_sequences": ["x"],
    "metadata": {"user_id": "u"},
    "thinking": {"type": "enabled", "budget_tokens": 2_000}, "output_config": {"effort": "low"}, "tool_choice": {"type": "auto"},
    "tools": [{"name": "look", "description": "d", "input_schema": SCHEMA}],
    "messages": [
        {"role": "user", "content": [
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AA=="}},
            {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "AA=="}, "title": "t"},
        ]},
        {"role": "assistant", "content": [
            {"type": "thinking", "thinking": "hm", "signature": "S"}, {"type": "redacted_thinking", "data": "D"},
            {"type": "tool_use", "id": "t", "name": "look", "input": {"x": 1}},
        ]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": [{"type": "text", "text": "k"}]}]},
    ],
}  # fmt: skip
RESPONSES: dict[str, Any] = {
    "model": "m", "instructions": "be", "text": {"format": {"type": "text"}, "verbosity": "low"}, "reasoning": {"effort": "low"},
    "include": ["reasoning.encrypted_content"], "tool_choice": "auto", "max_output_tokens": 50, "metadata": {"a": "b"},
    "tools": [
        {"type": "function", "name": "look", "parameters": SCHEMA}, {"type": "custom", "name": "c", "format": {"type": "text"}},
        {"type": "namespace", "name": "ns", "tools": [{"type": "function", "name": "f"}]},
    ],
    "input": [
        {"role": "user", "content": [{"type": "input_text", "text": "hi"}, {"type": "input_image", "image_url": PNG}]},
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}], "encrypted_content": "tollway:f:encrypted::D"},
        {"type": "function_call", "call_id": "c", "name": "look", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c", "output": [{"type": "input_text", "text": "k"}]},
    ],
}  # fmt: skip
GEMINI = {
    "model": "x",
    "stream": True,
    "systemInstruction": {"parts": [{"text": "Be brief."}]},
    "contents": [
        {"role": "user", "parts": [{"text": "hi"}, {"inlineData": {"mimeType": "image/png", "data": "iVBO"}}]},
        {
            "role": "model",
            "parts": [
                {"text": "hm", "thought": True, "thoughtSignature": "c2ln"},
                {"text": "so"},
                {"functionCall": {"id": "c1", "name": "f", "args": {"x": 1}}, "thoughtSignature": "c2ln"},
                {"functionCall": {"name": "g", "args": {}}},
            ],
        },
        {
            "role": "user",
            "parts": [
                {"functionResponse": {"id": "c1", "name": "f", "response": {"output": "1"}}},
                {"functionResponse": {"name": "g", "response": {}}},
                {"text": "and?"},
            ],
        },
    ],
    "tools": [
        {"functionDeclarations": [{"name": "f", "parameters": {"type": "OBJECT", "properties": {"x": {"type": "NUMBER"}}}}]}
    ],
    "toolConfig": {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["f"]}},
    "generationConfig": {
        "maxOutputTokens": 900,
        "temperature": 0.5,
        "topP": 0.9,
        "topK": 3,
        "stopSequences": ["x"],
        "responseMimeType": "application/json",
        "responseSchema": {
            "type": "OBJECT",
            "nullable": True,
            "properties": {"a": {"type": "ARRAY", "items": {"type": "STRING"}}},
        },
        "thinkingConfig": {"includeThoughts": True, "thinkingBudget": 100},
    },
    "safetySettings": [{"category": "x", "threshold": "y"}],
}
COHERE: dict[str, Any] = {
    "model": "m", "stream": True, "max_tokens": 50, "temperature": 0.3, "k": 5, "p": 0.5, "stop_sequences": ["x"], "seed": 1,
    "thinking": {"type": "enabled", "token_budget": 1024}, "strict_tools": True, "tool_choice": "REQUIRED", "priority": 1,
    "response_format": {"type": "json_object", "json_schema": {"type": "object"}}, "citation_options": {"mode": "FAST"},
    "documents": ["a", {"id": "d", "data": {"t": "blue"}}], "safety_mode": "STRICT", "logprobs": False,
    "tools": [{"type": "function", "function": {"name": "f", "description": "d", "parameters": {"type": "object"}}}],
    "messages": [
        {"role": "system", "content": "be"},
        {"role": "user", "content": [{"type": "text", "text": "hi"}, {"type": "image_url", "image_url": {"url": "https://x/a.png"}}]},
        {"role": "assistant", "tool_plan": "I will", "tool_calls": [
            {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}]},
        {"role": "tool", "tool_call_id": "c", "content": [{"type": "document", "document": {"id": "d", "data": {"a": 1}}}]},
        {"role": "assistant", "content": [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "so"}]},
    ],
}  # fmt: skip
STARTS = {"messages": MESSAGES, "responses": RESPONSES, "gemini": GEMINI, "cohere": COHERE}
TARGETS = [
    Target("p", "claude-sonnet-4-6", 9_000),
    Target("p", "gemini-2.5-pro", fetches_urls=False),
    Target("p", "m", traits=HUB),
]


def places(node: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a document."""
    inner = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    return [path, *[place for key, value in inner for place in places(value, (*path, key))]]


def mutated(document: Any, dice: random.Random) -> Any:
    """With a value of any kind at one place, or a place gone, or doubled."""
    copy = json.loads(json.dumps(document))
    place = dice.choice(places(copy)[1:])
    holder = copy
    for key in place[:-1]:
        holder = holder[key]
    match dice.randrange(5):
        case 0:
            del holder[place[-1]]
        case 1 if isinstance(holder, list):
            holder.append(holder[place[-1]])
        case 2 if isinstance(holder, dict):
            holder["unknown_" + str(place[-1])] = dice.choice(VALUES)
        case _:
            holder[place[-1]] = dice.choice(VALUES)
    return copy


def bodies(start: dict[str, Any], seed: int, count: int) -> list[bytes]:
    dice = random.Random(seed)
    found = []
    for _ in range(count):
        document = start
        for _ in range(dice.randrange(1, 4)):
            document = mutated(document, dice)
        found.append(json.dumps(document).encode())
    return found


def tried(call: Any, body: bytes, target: Target) -> bytes:
    """What it was translated to; nothing when it was refused."""
    try:
        sent: bytes = call(body, target).body
    except Invalid as problem:
        return b"" if problem.message else b"no reason"
    json.loads(sent.decode("utf-8", "replace"))
    return sent


@pytest.mark.parametrize("format", [*UPSTREAM, *(f"{name} down" for name in DOWNSTREAM)])
@pytest.mark.parametrize("seed", range(2))
def test_requests_of_any_kind(format: str, seed: int) -> None:
    """A value of another type anywhere, a member that is gone or unknown: said, or refused."""
    name, _, is_down = format.partition(" ")
    pair: Any = downstream_pair(name) if is_down else upstream_pair(name)
    start = json.loads(json.dumps(STARTS[name] if is_down else CHAT))
    if name in ("responses", "cohere") and not is_down:
        # What they have no counterpart of.
        start.pop("stop")
        start["messages"][1]["content"].pop()
    assert any(tried(pair.request, json.dumps(start).encode(), target) for target in TARGETS)
    done = 0
    for number, body in enumerate(bodies(start, seed, 600)):
        sent = tried(pair.request, body, TARGETS[number % len(TARGETS)])
        done += bool(sent)
        if sent and is_down:
            again = upstream_pair("messages")
            assert again is not None
            tried(again.request, sent, TARGETS[0])
    assert done > 20
