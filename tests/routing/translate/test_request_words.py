"""What each provider's format can say of a Chat request, and what not: member by member, with the neighbour that is said."""

import json
from typing import Any

import pytest

from routing.request.invalid import Invalid
from routing.translate import UPSTREAM, Format, Target
from tests.routing.translate.test_requests import HI, PDF, PNG, SCHEMA, TOOL, called, downward, upward, user

PLAIN = Target("p", "m", 9_000)
OLD = Target("p", "claude-3-7-sonnet", 9_000)
NEW = Target("p", "claude-sonnet-5-5", 9_000)
NEARBY = Target("p", "claude-sonnet-4-6", 9_000, fetches_urls=False)
GEMINI = Target("p", "gemini-2.5-pro", 9_000)
WORDLESS = Target("p", "gemini-2.0-flash", 9_000)
UNKNOWN = Target("p", "other")
LINK = {"type": "image_url", "image_url": {"url": "https://x.example/a.png"}}
FILM = {"type": "video_url", "video_url": {"url": "data:video/mp4;base64,AA=="}}
SOUND = {"type": "input_audio", "input_audio": {"data": "AA==", "format": "wav"}}
NOTE = {"type": "file", "file": {"filename": "a.txt", "file_data": "data:text/plain;base64,aGk="}}
BROKEN = {"type": "file", "file": {"filename": "a.txt", "file_data": "data:text/plain;base64,/w=="}}
WORD = {"type": "file", "file": {"filename": "a.doc", "file_data": "data:application/msword;base64,AA=="}}
NAMELESS = {"type": "image_url", "image_url": {"url": "https://x.example/a"}}
FORM = {"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA}}
BARE_FORM = {"type": "json_schema", "json_schema": {"name": "n"}}
LOOKED = [*HI, {"role": "assistant", "tool_calls": [called("c")]}]
RESULT = {"role": "tool", "tool_call_id": "c", "content": "k"}
SEEN = [*LOOKED, {**RESULT, "content": [{"type": "text", "text": "k"}, {"type": "image_url", "image_url": {"url": PNG}}]}]
PAGE = {"type": "file", "file": {"file_data": PDF}}
ELSEWHERE = {"type": "file", "file": {"file_data": "https://x.example/a.pdf"}}
MARK = {"type": "ephemeral"}
FORM_PATHS = (
    ("cohere", "response_format"),
    ("converse", "outputConfig"),
    ("gemini", "generationConfig.responseMimeType"),
    ("messages", "output_config"),
)
ANSWER = "contents.2.parts.0.functionResponse.response"


def linked(url: str) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url}}


def after(*turns: dict[str, Any]) -> dict[str, Any]:
    return {"messages": [*HI, *turns]}


def thought(format: str) -> dict[str, Any]:
    """A call that an encrypted thought led to."""
    detail = {"type": "reasoning.encrypted", "data": "S", "format": format, "index": 0}
    return after({"role": "assistant", "tool_calls": [called("c")], "reasoning_details": [detail]}, RESULT)


SEARCHING = Target("p", "m", traits=frozenset(("web_search",)))
MIDWAY = Target("p", "m", traits=frozenset(("mid_system",)))
LATE = after({"role": "system", "content": "b"}, *HI)
CACHED = {"messages": [*LOOKED, {**RESULT, "cache_control": MARK}]}
THOUGHT = {**thought("anthropic-claude-v1"), "tools": [TOOL]}
NOWHERE: list[tuple[dict[str, Any], str]] = [
    ({"reasoning": {"effort": "utmost"}}, "reasoning.effort"),
    (after({"role": "function", "name": "f", "content": "k"}), "messages[1].role"),
    (after({"role": "assistant", "function_call": {"name": "f"}}), "messages[1].function_call"),
    (after({"role": "judge", "content": "k"}), "messages[1].role"),
    (after(RESULT), "messages[1].tool_call_id"),
    (user(linked("ftp://x")), "messages[0].content[0].image_url.url"),
    (user(linked("data:image/png,raw")), "messages[0].content[0].image_url.url"),
    (user({"type": "file", "file": {"file_id": "f"}}), "messages[0].content[0].file.file_id"),
    (user({"type": "file", "file": {"filename": "f"}}), "messages[0].content[0].file.file_data"),
    ({"tools": [{"type": "custom", "custom": {"name": "c"}}]}, "tools[0]"),
    ({"tool_choice": {"type": "mcp"}}, "tool_choice"),
    ({"tool_choice": {"type": "function"}}, "tool_choice.function.name"),
    ({"tool_choice": "perhaps"}, "tool_choice"),
]
"""What no provider's format can say."""


def at(sent: dict[str, Any], path: str) -> Any:
    """What stands at `a.0.b`; None where nothing does."""
    found: Any = sent
    for step in path.split("."):
        found = found[int(step)] if isinstance(found, list) else (found or {}).get(step)
    return found


@pytest.mark.parametrize(
    ("format", "target", "body", "path", "expected"),
    [
        ("cohere", PLAIN, {"reasoning": {"enabled": False}}, "thinking", {"type": "disabled"}),
        ("cohere", PLAIN, {"reasoning_effort": "none"}, "thinking", {"type": "disabled"}),
        ("cohere", PLAIN, {"reasoning": {"max_tokens": 7}}, "thinking", {"type": "enabled", "token_budget": 7}),
        ("cohere", PLAIN, {"reasoning_effort": "low", "max_tokens": 100}, "thinking.token_budget", 20),
        ("cohere", UNKNOWN, {"reasoning": {"enabled": True}}, "thinking.token_budget", 4_096),
        ("cohere", PLAIN, {"response_format": {"type": "text"}}, "response_format", None),
        ("cohere", PLAIN, {"response_format": {"type": "json_object"}}, "response_format", {"type": "json_object"}),
        ("cohere", PLAIN, {"response_format": FORM}, "response_format", {"type": "json_object", "json_schema": SCHEMA}),
        ("cohere", PLAIN, {"tools": [TOOL], "tool_choice": "required"}, "tool_choice", "REQUIRED"),
        ("cohere", PLAIN, {"tools": [TOOL], "tool_choice": "auto"}, "tool_choice", None),
        ("cohere", PLAIN, {"messages": [*LOOKED, {**RESULT, "content": ""}]}, "messages.2.content", ""),
        ("converse", PLAIN, {"service_tier": "flex"}, "serviceTier", {"type": "flex"}),
        ("converse", PLAIN, {"service_tier": "default"}, "serviceTier", None),
        ("converse", PLAIN, {"response_format": {"type": "text"}}, "outputConfig", None),
        ("converse", PLAIN, user(FILM), "messages.0.content.0.video.format", "mp4"),
        ("converse", NEARBY, {"top_k": 5}, "additionalModelRequestFields", {"top_k": 5}),
        ("gemini", GEMINI, {"service_tier": "flex"}, "serviceTier", "FLEX"),
        ("gemini", GEMINI, {"service_tier": "auto"}, "serviceTier", None),
        ("gemini", GEMINI, {"modalities": ["text", "image"]}, "generationConfig.responseModalities", ["TEXT", "IMAGE"]),
        ("gemini", GEMINI, {"response_format": {"type": "text"}}, "generationConfig.responseMimeType", None),
        ("gemini", GEMINI, {"response_format": {"type": "json_object"}}, "generationConfig.responseMimeType", "application/json"),
        ("gemini", GEMINI, {"tools": [TOOL], "tool_choice": "required"}, "toolConfig.functionCallingConfig", {"mode": "ANY"}),
        ("gemini", GEMINI, {"tools": [TOOL]}, "toolConfig", None),
        ("gemini", WORDLESS, {"reasoning_effort": "low"}, "generationConfig.thinkingConfig", None),
        ("gemini", UNKNOWN, {}, "generationConfig", None),
        ("gemini", GEMINI, user(LINK), "contents.0.parts.0.fileData.fileUri", "https://x.example/a.png"),
        ("gemini", GEMINI, {"messages": [*LOOKED, {**RESULT, "content": "{no"}]}, ANSWER, {"output": "{no"}),
        ("gemini", GEMINI, {"messages": [*LOOKED, {**RESULT, "content": '{"a":1}'}]}, ANSWER, {"a": 1}),
        ("messages", NEARBY, {"user": "u"}, "metadata", {"user_id": "u"}),
        ("messages", NEARBY, {"safety_identifier": "s", "user": "u"}, "metadata", {"user_id": "s"}),
        ("messages", NEARBY, {"service_tier": "default"}, "service_tier", None),
        ("messages", NEARBY, {"response_format": {"type": "text"}}, "output_config", None),
        ("messages", NEARBY, {"response_format": FORM}, "output_config.format.schema", SCHEMA),
        ("messages", NEARBY, {"stop": ["a", " b"]}, "stop_sequences", ["a", " b"]),
        ("messages", NEARBY, user(NOTE), "messages.0.content.0.source.data", "hi"),
        ("messages", NEARBY, user(PAGE), "messages.0.content.0.source.media_type", "application/pdf"),
        ("messages", NEW, {"temperature": 1}, "temperature", None),
        ("messages", OLD, {"temperature": 1, "top_k": 3}, "top_k", 3),
        ("messages", OLD, {"reasoning_effort": "minimal", "max_tokens": 1_000}, "thinking", None),
        ("messages", NEARBY, {"reasoning": {"max_tokens": 1_000}, "max_tokens": 8_000}, "output_config.effort", "low"),
        ("messages", NEARBY, {"reasoning": {"max_tokens": 7_000}, "max_tokens": 8_000}, "output_config.effort", "high"),
        ("messages", NEARBY, {"reasoning": {"enabled": True}}, "output_config", None),
        ("messages", NEARBY, {"reasoning": {"enabled": True}}, "thinking", {"type": "adaptive", "display": "summarized"}),
        ("messages", OLD, {"reasoning": {"effort": "none"}}, "thinking", {"type": "disabled"}),
        ("messages", Target("p", "claude-3-haiku"), {"reasoning": {"effort": "none"}}, "thinking", None),
        ("messages", SEARCHING, {"web_search_options": {}}, "tools.0.name", "web_search"),
        ("messages", MIDWAY, LATE, "messages.1.role", "system"),
        ("messages", NEARBY, CACHED, "messages.2.content.0.cache_control", MARK),
        ("messages", OLD, {"reasoning": {"effort": "low", "exclude": True}, "max_tokens": 8_000}, "thinking.display", "omitted"),
        ("responses", PLAIN, user(ELSEWHERE), "input.0.content.0.file_url", "https://x.example/a.pdf"),
        ("gemini", GEMINI, thought("google-gemini-v1"), "contents.1.parts.0.thoughtSignature", "S"),
        ("converse", NEARBY, THOUGHT, "messages.1.content.0.reasoningContent.redactedContent", "S"),
        *((format, NEARBY, {"response_format": {"type": "text", "x": None}}, path, None) for format, path in FORM_PATHS),
        ("responses", PLAIN, {"response_format": {"type": "json_object"}}, "text", {"format": {"type": "json_object"}}),
        ("responses", PLAIN, {"verbosity": "low"}, "text", {"verbosity": "low"}),
        ("responses", PLAIN, {"reasoning_effort": "max"}, "reasoning.effort", "xhigh"),
        ("responses", PLAIN, {"reasoning": {"effort": "none"}}, "reasoning", {"effort": "none"}),
        ("responses", PLAIN, {"reasoning": {"max_tokens": 1_000}, "max_tokens": 8_000}, "reasoning.effort", "low"),
        ("responses", PLAIN, {"reasoning": {"max_tokens": 7_000}, "max_tokens": 8_000}, "reasoning.effort", "high"),
        ("responses", PLAIN, {"reasoning": {"enabled": True, "exclude": True}}, "reasoning", {}),
        ("responses", PLAIN, {"tools": [TOOL], "tool_choice": "required"}, "tool_choice", "required"),
        ("responses", PLAIN, user(SOUND), "input.0.content.0.input_audio", {"data": "AA==", "format": "wav"}),
    ],
)  # fmt: skip
def test_member_is_said_in_the_providers_words(
    format: Format, target: Target, body: dict[str, Any], path: str, expected: Any
) -> None:
    """What says the same as nothing is not said at all."""
    assert at(json.loads(upward(format, body, target).body), path) == expected


@pytest.mark.parametrize(
    ("format", "target", "body", "param"),
    [
        ("cohere", PLAIN, {"response_format": {"type": "grammar"}}, "response_format"),
        ("cohere", PLAIN, {"response_format": BARE_FORM}, "response_format.json_schema.schema"),
        ("cohere", PLAIN, {"messages": SEEN}, "messages[2].content"),
        ("cohere", PLAIN, user(PAGE), "messages[0].content[0]"),
        ("cohere", NEARBY, user(LINK), "messages[0].content[0]"),
        ("cohere", PLAIN, {"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "look"}}}, "tool_choice"),
        ("converse", PLAIN, {"service_tier": "scale"}, "service_tier"),
        ("converse", PLAIN, {"response_format": BARE_FORM}, "response_format.json_schema.schema"),
        ("converse", PLAIN, {"response_format": {"type": "json_object"}}, "response_format"),
        ("converse", PLAIN, {"temperature": 1.5}, "temperature"),
        ("converse", PLAIN, {"top_k": 5}, "top_k"),
        ("converse", PLAIN, user(LINK), "messages[0].content[0]"),
        ("converse", PLAIN, user(SOUND), "messages[0].content[0]"),
        ("converse", PLAIN, {"messages": [*LOOKED, {**RESULT, "content": ""}], "tools": [TOOL]}, "messages[2].content"),
        ("converse", PLAIN, {"messages": [*LOOKED, RESULT]}, "tools"),
        ("converse", PLAIN, {"messages": [*LOOKED, RESULT], "tools": [TOOL], "tool_choice": "none"}, "tool_choice"),
        ("gemini", GEMINI, {"service_tier": "scale"}, "service_tier"),
        ("gemini", GEMINI, {"modalities": ["audio"]}, "modalities"),
        ("gemini", GEMINI, {"response_format": {"type": "grammar"}}, "response_format"),
        ("gemini", GEMINI, {"response_format": BARE_FORM}, "response_format.json_schema.schema"),
        ("gemini", GEMINI, {"reasoning": {"enabled": False}}, "reasoning"),
        ("gemini", NEARBY, user(LINK), "messages[0].content[0]"),
        ("gemini", GEMINI, user(NAMELESS), "messages[0].content[0]"),
        ("messages", NEARBY, {"service_tier": "flex"}, "service_tier"),
        ("messages", NEARBY, {"web_search_options": {}}, "web_search_options"),
        ("messages", NEARBY, {"stop": ["a", " "]}, "stop"),
        ("messages", NEARBY, {"temperature": 1.5}, "temperature"),
        ("messages", NEW, {"temperature": 0.5}, "temperature"),
        ("messages", NEW, {"top_k": 5}, "top_k"),
        ("messages", NEARBY, {"response_format": BARE_FORM}, "response_format.json_schema.schema"),
        ("messages", OLD, {"response_format": FORM}, "response_format"),
        ("messages", NEARBY, {"response_format": {"type": "json_object"}}, "response_format"),
        ("messages", NEARBY, user(LINK), "messages[0].content[0]"),
        ("messages", NEARBY, user(FILM), "messages[0].content[0]"),
        ("messages", NEARBY, user(WORD), "messages[0].content[0]"),
        ("messages", NEARBY, user(BROKEN), "messages[0].content[0]"),
        ("messages", NEARBY, user(linked("data:image/tiff;base64,AA==")), "messages[0].content[0]"),
        ("responses", PLAIN, {"response_format": {"type": "grammar"}}, "response_format"),
        ("responses", NEARBY, user(LINK), "messages[0].content[0]"),
        ("responses", PLAIN, user(FILM), "messages[0].content[0]"),
        ("gemini", PLAIN, {"reasoning_effort": "utmost"}, "reasoning_effort"),
        ("cohere", PLAIN, {"reasoning_effort": "utmost"}, "reasoning_effort"),
        *((format, PLAIN, body, param) for format in UPSTREAM for body, param in NOWHERE),
    ],
)  # fmt: skip
def test_demand_that_a_provider_cannot_meet_is_refused(format: Format, target: Target, body: dict[str, Any], param: str) -> None:
    with pytest.raises(Invalid) as refused:
        upward(format, body, target)
    assert refused.value.param == param


@pytest.mark.parametrize(
    ("format", "target", "body", "ignored"),
    [
        ("converse", PLAIN, {"reasoning_effort": "low"}, ("reasoning_effort",)),
        ("converse", PLAIN, {"reasoning": {"effort": "low"}}, ("reasoning",)),
        ("gemini", WORDLESS, {"reasoning_effort": "low"}, ("reasoning_effort",)),
        ("gemini", WORDLESS, {"reasoning_effort": "none"}, ()),
        ("messages", OLD, {"reasoning_effort": "low", "max_tokens": 1_000}, ("reasoning_effort",)),
        ("messages", NEARBY, after({"role": "assistant", "content": "a", "reasoning": "hm"}, *HI), ("messages[1].reasoning",)),
        *((format, PLAIN, {"tools": [{"type": "web_search"}]}, ("tools[0]",)) for format in UPSTREAM),
    ],
)  # fmt: skip
def test_offer_that_a_provider_does_not_take_is_reported(
    format: Format, target: Target, body: dict[str, Any], ignored: tuple[str, ...]
) -> None:
    """And the request is asked all the same."""
    assert upward(format, body, target).ignored == ignored


@pytest.mark.parametrize(
    ("provider", "model", "call_id", "is_marked"),
    [
        ("openrouter", "x", "toolu_1", True),
        ("mistral", "mistral-large", "", False),
        ("p", "m", "toolu_1", False),
    ],
)
def test_accents_of_a_provider_are_known_by_its_name(provider: str, model: str, call_id: str, is_marked: bool) -> None:
    """Where the table says nothing: a router keeps marks of what to cache, Mistral takes ids of nine letters and digits."""
    use = {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {}}
    mark = {"cache_control": {"type": "ephemeral"}}
    messages = [{"role": "user", "content": [{"type": "text", "text": "hi", **mark}]}, {"role": "assistant", "content": [use]}]
    made = json.loads(downward("messages", {"messages": messages}, Target(provider, model)).body)["messages"]
    found = made[1]["tool_calls"][0]["id"]
    assert found == call_id if call_id else len(found) == 9
    assert ("cache_control" in json.dumps(made[0])) is is_marked


GIVEN = {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]}
CALLING = "functionCallingConfig"
LEVEL = "generationConfig.thinkingConfig.thinkingLevel"


def config(given: dict[str, Any]) -> dict[str, Any]:
    return {**GIVEN, "generationConfig": given}


def thinking(given: dict[str, Any]) -> dict[str, Any]:
    return config({"thinkingConfig": given})


@pytest.mark.parametrize(
    ("format", "body", "path", "expected"),
    [
        ("gemini", {**GIVEN, "toolConfig": {}}, "tool_choice", None),
        ("gemini", {**GIVEN, "toolConfig": {CALLING: {"mode": "NONE"}}}, "tool_choice", None),
        ("gemini", thinking({"thinkingLevel": "high"}), "reasoning", {"effort": "high", "exclude": True}),
        ("gemini", thinking({"thinkingBudget": 0}), "reasoning", {"effort": "none", "exclude": True}),
        ("gemini", thinking({"thinkingBudget": -1}), "reasoning", {"enabled": True, "exclude": True}),
        ("gemini", thinking({"includeThoughts": True}), "reasoning", {"enabled": True}),
        ("gemini", thinking({"includeThoughts": False}), "reasoning", {"exclude": True}),
        ("gemini", thinking({"includeThoughts": None}), "reasoning", None),
        ("gemini", config({"responseMimeType": "text/plain"}), "response_format", None),
        ("cohere", {"messages": HI, "response_format": {"type": "text"}}, "response_format", None),
        ("cohere", {"messages": HI, "response_format": {"type": "text", "json_schema": None}}, "response_format", None),
        ("cohere", {"messages": HI, "thinking": {"type": "disabled"}}, "reasoning", None),
        ("cohere", {"messages": HI, "thinking": {"type": "enabled"}}, "reasoning", {"enabled": True}),
        ("messages", {"thinking": {"type": "disabled"}}, "reasoning", None),
        ("messages", {"thinking": {"type": "adaptive"}}, "reasoning", {"enabled": True}),
        ("messages", {"service_tier": "standard_only"}, "service_tier", "default"),
        ("responses", {"input": "hi", "text": {"format": {"type": "text"}}}, "response_format", None),
        ("responses", {"input": "hi", "text": {"format": {"type": "json_object"}}}, "response_format", {"type": "json_object"}),
    ],
)  # fmt: skip
def test_member_of_a_callers_format_is_said_in_chats_words(
    format: Format, body: dict[str, Any], path: str, expected: Any
) -> None:
    """What says the same as nothing is not said at all."""
    assert at(json.loads(downward(format, body).body), path) == expected


@pytest.mark.parametrize(
    ("format", "body", "param"),
    [
        ("gemini", {"contents": []}, "contents"),
        ("gemini", {"contents": [{"role": "judge", "parts": [{"text": "hi"}]}]}, "contents[0].role"),
        ("gemini", {**GIVEN, "toolConfig": {CALLING: {"mode": "MAYBE"}}}, f"toolConfig.{CALLING}.mode"),
        ("gemini", {**GIVEN, "toolConfig": {CALLING: {"mode": "ANY"}}}, f"toolConfig.{CALLING}"),
        ("gemini", thinking({"thinkingLevel": "utmost"}), LEVEL),
        ("gemini", config({"speechConfig": {"a": 1}}), "generationConfig.speechConfig"),
        ("gemini", config({"somethingNew": 1}), "generationConfig.somethingNew"),
        ("gemini", config({"candidateCount": 2}), "generationConfig.candidateCount"),
        ("gemini", config({"responseMimeType": "text/x.enum"}), "generationConfig.responseMimeType"),
        ("gemini", config({"responseModalities": ["IMAGE"]}), "generationConfig.responseModalities"),
        ("gemini", config({"responseLogprobs": True}), "generationConfig.responseLogprobs"),
        ("gemini", config({"responseSchema": 5}), "generationConfig.responseSchema"),
        ("cohere", {"messages": []}, "messages"),
        ("cohere", {"messages": HI, "response_format": {"type": "grammar"}}, "response_format.type"),
        ("cohere", {"messages": HI, "thinking": {"type": "perhaps"}}, "thinking.type"),
        ("cohere", {"messages": HI, "tool_choice": "REQUIRED"}, "tool_choice"),
        ("cohere", {"messages": HI, "stop_sequences": ["a"] * 5}, "stop_sequences"),
        ("messages", {"messages": []}, "messages"),
        ("messages", {"messages": [{"role": "judge", "content": "hi"}]}, "messages[0].role"),
        ("messages", {"service_tier": "priority"}, "service_tier"),
        ("messages", {"max_tokens": 0}, "max_tokens"),
        ("messages", {"thinking": {"type": "perhaps"}}, "thinking.type"),
        ("messages", {"tool_choice": {"type": "perhaps"}}, "tool_choice.type"),
        ("messages", {"tool_choice": {"type": "any"}}, "tool_choice"),
        ("messages", {"output_config": {"format": {"type": "grammar"}}}, "output_config.format"),
        ("messages", {"stop_sequences": ["a"] * 5}, "stop_sequences"),
        ("responses", {}, "input"),
        ("responses", {"input": []}, "input"),
        ("responses", {"input": [{"role": "judge", "content": "hi"}]}, "input[0].role"),
        ("responses", {"input": [{"type": "item_reference", "id": "x"}]}, "input[0]"),
        ("responses", {"input": [{"type": "compaction"}]}, "input[0]"),
        ("responses", {"input": "hi", "text": {"format": {"type": "grammar"}}}, "text.format"),
        ("responses", {"input": "hi", "reasoning": {"mode": "pro"}}, "reasoning.mode"),
        ("responses", {"input": "hi", "include": ["message.output_text.logprobs"]}, "include[0]"),
        ("responses", {"input": "hi", "tool_choice": "required"}, "tool_choice"),
    ],
)  # fmt: skip
def test_demand_of_a_callers_format_that_chat_cannot_meet_is_refused(format: Format, body: dict[str, Any], param: str) -> None:
    with pytest.raises(Invalid) as refused:
        downward(format, body)
    assert refused.value.param == param
