"""The ledger is true: what it says of a parameter is what becomes of it, from every caller's format at every provider's.

Rule: the cases are made from the ledger. A rule for which there is no example, or of which nobody said what it means at the other
end, fails.
"""

from typing import Any

import pytest

from routing.translate import Format
from routing.translate.gemini_on_chat.parameters import CONFIG, SAME
from routing.translate.ledger import Ledger
from tests.routing.translate.asks import CALLERS, HI, PAIRS, PROVIDERS, Outcome, ask
from tests.routing.translate.test_ledgers import ALL

SCHEMA = {"type": "object", "properties": {"x": {"type": "string"}}}
PLAIN_TOOL = {"type": "function", "function": {"name": "look", "parameters": SCHEMA}}
CHAT_EXAMPLES: dict[str, Any] = {
    "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "hi"}],
    "model": None,
    "max_tokens": 77,
    "max_completion_tokens": 78,
    "stream": True,
    "temperature": 0.5,
    "top_p": 0.25,
    "top_k": 7,
    "stop": ["END"],
    "seed": 11,
    "n": 2,
    "frequency_penalty": 0.5,
    "presence_penalty": 0.5,
    "tools": [PLAIN_TOOL],
    "tool_choice": "required",
    "parallel_tool_calls": False,
    "response_format": {"type": "json_schema", "json_schema": {"name": "answer", "schema": SCHEMA}},
    "reasoning": {"effort": "low"},
    "reasoning_effort": "low",
    "include_reasoning": False,
    "user": "bob",
    "safety_identifier": "bob-2",
    "service_tier": "priority",
    "web_search_options": {"search_context_size": "low"},
    "metadata": {"a": "b"},
    "verbosity": "low",
    "prediction": {"type": "content", "content": "x"},
    "prompt_cache_key": "k",
    "prompt_cache_options": {"mode": "auto"},
    "prompt_cache_retention": "24h",
    "cache_control": {"type": "ephemeral"},
    "session_id": "s",
    "trace": {"trace_id": "t"},
    "transforms": ["middle-out"],
    "debug": {"echo_upstream_body": True},
    "stop_server_tools_when": [{"type": "step_count_is", "step_count": 3}],
    "moderation": "low",
    "min_p": 0.5,
    "top_a": 0.5,
    "repetition_penalty": 1.5,
    "deferred_tools": [{"name": "t"}],
    "logit_bias": {"1": 5},
    "logprobs": True,
    "top_logprobs": 2,
    "audio": {"voice": "alloy", "format": "mp3"},
    "modalities": ["text", "image"],
    "image_config": {"aspect_ratio": "1:1"},
    "functions": [{"name": "f"}],
    "function_call": {"name": "f"},
    "store": True,
    "plugins": [{"id": "response-healing"}],
    "stream_options": {"include_obfuscation": False},
    "usage": {"include": True},
    "provider": {"allow_fallbacks": True},
    "models": [],
    "route": "fallback",
}
ASIDE = {"provider": {"allow_fallbacks": True}, "models": [], "route": "fallback", "session_id": "s", "trace": {"trace_id": "t"}}
EXAMPLES: dict[Format, dict[str, Any]] = {
    "chat": CHAT_EXAMPLES,
    "messages": {
        **ASIDE,
        "model": None,
        "messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "so"}, {"role": "user", "content": "?"}],
        "system": "Be brief.",
        "tools": [{"name": "look", "input_schema": SCHEMA}],
        "tool_choice": {"type": "any"},
        "max_tokens": 77,
        "stream": True,
        "stop_sequences": ["END"],
        "thinking": {"type": "enabled", "budget_tokens": 1_024},
        "output_config": {"effort": "low"},
        "output_format": {"type": "json_schema", "schema": SCHEMA},
        "metadata": {"user_id": "bob"},
        "service_tier": "standard_only",
        "temperature": 0.5,
        "top_p": 0.25,
        "top_k": 7,
        "cache_control": {"type": "ephemeral"},
        "user": "bob",
        "plugins": [{"id": "response-healing"}],
        "context_management": {"edits": [{"type": "clear_thinking_20251015"}]},
        "compaction": {"enabled": True},
        "diagnostics": {"previous_message_id": None, "x": 1},
        "cache_diagnostics": {"type": "enabled"},
        "deferred_tools": [{"name": "t"}],
        "stop_server_tools_when": [{"type": "step_count_is", "step_count": 3}],
        "container": "c",
        "mcp_servers": [{"type": "url", "url": "https://x.test", "name": "m"}],
        "thread": {"id": "t"},
        "user_profile_id": "u",
        "workspace_id": "w",
        "inference_geo": "us",
        "safeguards": {"x": 1},
        "billing_policy": "x",
        "fallback_credit_token": "x",
        "speed": "fast",
        "fallbacks": [{"model": "x"}],
        "betas": ["a"],
        "anthropic_version": "2023-06-01",
        "anthropic_beta": ["a"],
    },
    "responses": {
        **ASIDE,
        "model": None,
        "input": [{"role": "user", "content": "hi"}],
        "instructions": "Be brief.",
        "tools": [{"type": "function", "name": "look", "parameters": SCHEMA}],
        "tool_choice": "required",
        "text": {"format": {"type": "json_schema", "name": "answer", "schema": SCHEMA}},
        "reasoning": {"effort": "low"},
        "max_output_tokens": 77,
        "stream": True,
        "include": ["reasoning.encrypted_content"],
        "metadata": {"a": "b"},
        "temperature": 0.5,
        "top_p": 0.25,
        "top_k": 7,
        "parallel_tool_calls": False,
        "service_tier": "priority",
        "prompt_cache_key": "k",
        "prompt_cache_options": {"mode": "auto"},
        "prompt_cache_retention": "24h",
        "user": "bob",
        "cache_control": {"type": "ephemeral"},
        "stop": ["END"],
        "safety_identifier": "bob-2",
        "plugins": [{"id": "response-healing"}],
        "frequency_penalty": 0.5,
        "presence_penalty": 0.5,
        "modalities": ["text", "image"],
        "previous_response_id": "r",
        "conversation": "c",
        "prompt": {"id": "p"},
        "background": True,
        "background_options": {"x": 1},
        "store": True,
        "top_logprobs": 2,
        "truncation": "auto",
        "max_tool_calls": 3,
        "moderation": "low",
        "access_programs": ["x"],
        "context_management": [{"type": "compaction"}],
        "deferred_tools": [{"name": "t"}],
        "stop_server_tools_when": [{"type": "step_count_is", "step_count": 3}],
        "debug": {"echo_upstream_body": True},
        "image": {"x": 1},
        "image_config": {"aspect_ratio": "1:1"},
        "stream_options": {"include_obfuscation": False},
        "client_metadata": {"a": "b"},
    },
    "gemini": {
        **ASIDE,
        "model": None,
        "stream": None,
        "contents": [{"role": "user", "parts": [{"text": "hi"}]}],
        "systemInstruction": {"parts": [{"text": "Be brief."}]},
        "tools": [{"functionDeclarations": [{"name": "look", "parametersJsonSchema": SCHEMA}]}],
        "toolConfig": {"functionCallingConfig": {"mode": "ANY"}},
        "generationConfig": {"maxOutputTokens": 77},
        "serviceTier": "PRIORITY",
        "safetySettings": [{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_NONE"}],
        "labels": {"a": "b"},
        "cachedContent": "cachedContents/x",
        "continuationToken": "t",
        "store": True,
        "user": "bob",
        "plugins": [{"id": "response-healing"}],
        "modelArmorConfig": {"x": 1},
    },
    "cohere": {
        **ASIDE,
        "model": None,
        "messages": [{"role": "user", "content": "hi"}],
        "stream": True,
        "tools": [PLAIN_TOOL],
        "tool_choice": "REQUIRED",
        "strict_tools": True,
        "documents": ["It rains."],
        "response_format": {"type": "json_object", "json_schema": SCHEMA},
        "stop_sequences": ["END"],
        "thinking": {"type": "enabled", "token_budget": 1_024},
        "max_tokens": 77,
        "temperature": 0.5,
        "seed": 11,
        "frequency_penalty": 0.5,
        "presence_penalty": 0.5,
        "k": 7,
        "p": 0.25,
        "citation_options": {"mode": "fast"},
        "safety_mode": "STRICT",
        "priority": 3,
        "logprobs": True,
        "user": "bob",
        "plugins": [{"id": "response-healing"}],
    },
}
CONFIG_EXAMPLES: dict[str, Any] = {
    "maxOutputTokens": 77,
    "stopSequences": ["END"],
    "candidateCount": 2,
    "responseMimeType": "application/json",
    "responseSchema": {"type": "OBJECT", "properties": {"x": {"type": "STRING"}}},
    "responseJsonSchema": SCHEMA,
    "responseLogprobs": True,
    "logprobs": 2,
    "thinkingConfig": {"thinkingLevel": "LOW", "includeThoughts": True},
    "responseModalities": ["TEXT", "IMAGE"],
    "temperature": 0.5,
    "topP": 0.25,
    "topK": 7,
    "seed": 11,
    "presencePenalty": 0.5,
    "frequencyPenalty": 0.5,
    "mediaResolution": "MEDIA_RESOLUTION_LOW",
    "audioTimestamp": True,
    "enableEnhancedCivicAnswers": True,
    "routingConfig": {"autoMode": {"x": 1}},
    "modelSelectionConfig": {"x": 1},
    "modelConfig": {"x": 1},
    "speechConfig": {"x": 1},
    "imageConfig": {"aspectRatio": "1:1"},
    "enableAffectiveDialog": True,
    "translationConfig": {"x": 1},
    "audioTranscriptionConfig": {"x": 1},
    "responseFormat": {"x": 1},
}
BESIDE: dict[str, dict[str, Any]] = {
    "tool_choice": {"tools": CHAT_EXAMPLES["tools"]},
    "parallel_tool_calls": {"tools": CHAT_EXAMPLES["tools"]},
    "include_reasoning": {"reasoning_effort": "high"},
    "toolConfig": {"tools": EXAMPLES["gemini"]["tools"]},
    "strict_tools": {"tools": EXAMPLES["cohere"]["tools"]},
}
"""What a parameter needs beside it to say anything."""
TOOLS_OF: dict[Format, Any] = {caller: EXAMPLES[caller]["tools"] for caller in CALLERS}
REFUSED = "refused"
REPORTED = "reported"
SAID = "said"
"""It is what an answer is made of, or a word to us: it changes nothing of what is sent."""
FUNCTION = {"name": "look", "parameters": SCHEMA}
JSON_SCHEMA = {"type": "json_schema", "json_schema": {"name": "answer", "schema": SCHEMA}}
MEANS: dict[str, dict[str, Any]] = {
    "chat_on_messages": {
        "messages": {"system": [{"type": "text", "text": "Be brief."}], "messages.0.content.0.text": "hi"},
        "model": {"model": "claude-sonnet-4-6"},
        "max_tokens": {"max_tokens": 77},
        "max_completion_tokens": {"max_tokens": 78},
        "temperature": {"temperature": 0.5},
        "top_p": {"top_p": 0.25},
        "stop": {"stop_sequences": ["END"]},
        "tools": {"tools": [{"name": "look", "input_schema": SCHEMA}]},
        "tool_choice": {"tool_choice": {"type": "any"}},
        "parallel_tool_calls": {"tool_choice": {"type": "auto", "disable_parallel_tool_use": True}},
        "response_format": {"output_config": {"format": {"type": "json_schema", "schema": SCHEMA}}},
        "reasoning": {"thinking.type": "adaptive", "output_config": {"effort": "low"}},
        "reasoning_effort": {"thinking.type": "adaptive", "output_config": {"effort": "low"}},
        "include_reasoning": {"thinking": {"type": "adaptive", "display": "omitted"}},
        "user": {"metadata": {"user_id": "bob"}},
        "safety_identifier": {"metadata": {"user_id": "bob-2"}},
        "service_tier": REFUSED,
        "web_search_options": REFUSED,
    },
    "chat_on_gemini": {
        "messages": {"systemInstruction": {"parts": [{"text": "Be brief."}]}, "contents.0.parts.0.text": "hi"},
        "model": SAID,
        "max_tokens": {"generationConfig.maxOutputTokens": 77},
        "max_completion_tokens": {"generationConfig.maxOutputTokens": 78},
        "temperature": {"generationConfig.temperature": 0.5},
        "top_p": {"generationConfig.topP": 0.25},
        "top_k": {"generationConfig.topK": 7},
        "seed": {"generationConfig.seed": 11},
        "presence_penalty": {"generationConfig.presencePenalty": 0.5},
        "frequency_penalty": {"generationConfig.frequencyPenalty": 0.5},
        "n": {"generationConfig.candidateCount": 2},
        "stop": {"generationConfig.stopSequences": ["END"]},
        "tools": {"tools": [{"functionDeclarations": [{"name": "look", "parametersJsonSchema": SCHEMA}]}]},
        "tool_choice": {"toolConfig.functionCallingConfig": {"mode": "ANY"}},
        "response_format": {
            "generationConfig.responseMimeType": "application/json",
            "generationConfig.responseJsonSchema": SCHEMA,
        },
        "reasoning": {"generationConfig.thinkingConfig": {"thinkingLevel": "LOW", "includeThoughts": True}},
        "reasoning_effort": {"generationConfig.thinkingConfig": {"thinkingLevel": "LOW", "includeThoughts": True}},
        "include_reasoning": {"generationConfig.thinkingConfig": {"thinkingLevel": "HIGH", "includeThoughts": False}},
        "service_tier": {"serviceTier": "PRIORITY"},
        "modalities": {"generationConfig.responseModalities": ["TEXT", "IMAGE"]},
    },
    "chat_on_converse": {
        "messages": {"system": [{"text": "Be brief."}], "messages.0.content.0.text": "hi"},
        "model": SAID,
        "max_tokens": {"inferenceConfig.maxTokens": 77},
        "max_completion_tokens": {"inferenceConfig.maxTokens": 78},
        "temperature": {"inferenceConfig.temperature": 0.5},
        "top_p": {"inferenceConfig.topP": 0.25},
        "top_k": {"additionalModelRequestFields.top_k": 7},
        "stop": {"inferenceConfig.stopSequences": ["END"]},
        "tools": {"toolConfig.tools": [{"toolSpec": {"name": "look", "inputSchema": {"json": SCHEMA}}}]},
        "tool_choice": {"toolConfig.toolChoice": {"any": {}}},
        "response_format": {"outputConfig.textFormat.type": "json_schema"},
        "reasoning": {"additionalModelRequestFields.output_config.effort": "low"},
        "reasoning_effort": {"additionalModelRequestFields.output_config.effort": "low"},
        "include_reasoning": {"additionalModelRequestFields.thinking.display": "omitted"},
        "service_tier": {"serviceTier": {"type": "priority"}},
    },
    "chat_on_responses": {
        "messages": {"input.0": {"type": "message", "role": "system", "content": "Be brief."}, "input.1.content": "hi"},
        "model": {"model": "gpt-6"},
        "max_tokens": {"max_output_tokens": 77},
        "max_completion_tokens": {"max_output_tokens": 78},
        "response_format": {"text.format": {"type": "json_schema", "name": "answer", "schema": SCHEMA}},
        "tools": {"tools": [{"type": "function", "strict": False, **FUNCTION}]},
        "tool_choice": {"tool_choice": "required"},
        "parallel_tool_calls": {"parallel_tool_calls": False},
        "reasoning": {"reasoning": {"effort": "low", "summary": "auto"}},
        "reasoning_effort": {"reasoning": {"effort": "low", "summary": "auto"}},
        "include_reasoning": {"reasoning": {"effort": "high"}},
        "verbosity": {"text": {"verbosity": "low"}},
    },
    "chat_on_cohere": {
        "messages": {"messages.0": {"role": "system", "content": "Be brief."}, "messages.1.content": "hi"},
        "model": {"model": "command-a"},
        "max_tokens": {"max_tokens": 77},
        "max_completion_tokens": {"max_tokens": 78},
        "stop": {"stop_sequences": ["END"]},
        "tools": {"tools": [PLAIN_TOOL]},
        "tool_choice": {"tool_choice": "REQUIRED"},
        "response_format": {"response_format": {"type": "json_object", "json_schema": SCHEMA}},
        "reasoning": {"thinking.type": "enabled"},
        "reasoning_effort": {"thinking.type": "enabled"},
        "include_reasoning": REPORTED,
    },
    "messages_on_chat": {
        "model": {"model": "m"},
        "messages": {"messages.1": {"role": "assistant", "content": "so"}},
        "system": {"messages.0": {"role": "system", "content": "Be brief."}},
        "tools": {"tools": [PLAIN_TOOL]},
        "tool_choice": {"tool_choice": "required"},
        "max_tokens": {"max_tokens": 77},
        "stream": {"stream": True},
        "stop_sequences": {"stop": ["END"]},
        "thinking": {"reasoning_effort": "medium"},
        "output_config": {"reasoning_effort": "low"},
        "output_format": {"response_format.json_schema.schema": SCHEMA},
        "metadata": {"user": "bob"},
        "service_tier": {"service_tier": "default"},
    },
    "responses_on_chat": {
        "model": {"model": "m"},
        "input": {"messages.0": {"role": "user", "content": "hi"}},
        "instructions": {"messages.0": {"role": "system", "content": "Be brief."}},
        "tools": {"tools": [PLAIN_TOOL]},
        "tool_choice": {"tool_choice": "required"},
        "text": {"response_format": JSON_SCHEMA},
        "reasoning": {"reasoning_effort": "low"},
        "max_output_tokens": {"max_tokens": 77},
        "stream": {"stream": True},
        "include": SAID,
        "metadata": SAID,
    },
    "gemini_on_chat": {
        "model": {"model": "m"},
        "stream": SAID,
        "contents": {"messages.0": {"role": "user", "content": "hi"}},
        "systemInstruction": {"messages.0": {"role": "system", "content": "Be brief."}},
        "tools": {"tools": [PLAIN_TOOL]},
        "toolConfig": {"tool_choice": "required"},
        "generationConfig": {"max_tokens": 77},
        "serviceTier": {"service_tier": "priority"},
    },
    "cohere_on_chat": {
        "model": {"model": "m"},
        "messages": {"messages.0": {"role": "user", "content": "hi"}},
        "stream": {"stream": True},
        "tools": {"tools": [PLAIN_TOOL]},
        "tool_choice": {"tool_choice": "required"},
        "strict_tools": {"tools.0.function.strict": True},
        "documents": {"messages.0.content.0.text": "It rains."},
        "response_format": {"response_format": JSON_SCHEMA},
        "stop_sequences": {"stop": ["END"]},
        "thinking": {"reasoning_effort": "low"},
    },
}
"""Of the parameters that a pair's own code reads, by example: what stands where at the other end."""
for pair_means in MEANS.values():
    # Who reads a request reports them, whoever is asked: no pair has anything to say of them.
    pair_means["plugins"] = REPORTED
CONFIG_MEANS: dict[str, Any] = {
    "maxOutputTokens": {"max_tokens": 77},
    "stopSequences": {"stop": ["END"]},
    "candidateCount": REFUSED,
    "responseMimeType": {"response_format": {"type": "json_object"}},
    "responseSchema": {"response_format": JSON_SCHEMA},
    "responseJsonSchema": {"response_format": JSON_SCHEMA},
    "responseLogprobs": REFUSED,
    "logprobs": REFUSED,
    "thinkingConfig": {"reasoning_effort": "low"},
    "responseModalities": REFUSED,
    **{here: {there: CONFIG_EXAMPLES[here]} for here, there in SAME.items() if here != "topK"},
    "topK": REPORTED,
}


def pair_of(caller: Format, provider: Format) -> str:
    return f"chat_on_{provider}" if caller == "chat" else f"{caller}_on_chat"


def asked(caller: Format, provider: Format, name: str, *, is_required: bool = False) -> tuple[Outcome, Outcome]:
    """(without the parameter, with it)."""
    beside = BESIDE.get(name, {}) if caller in ("chat", "gemini", "cohere") else {}
    if name in ("tool_choice", "parallel_tool_calls"):
        beside = {"tools": TOOLS_OF[caller]}
    base = {**HI[caller], **beside}
    if is_required:
        base["provider"] = {"require_parameters": True}
    value = EXAMPLES[caller][name]
    body = {key: given for key, given in base.items() if name != "max_completion_tokens" or key != "max_tokens"}
    return ask(caller, provider, base), ask(caller, provider, body if value is None else {**body, name: value})


def check(got: Outcome, plain: Outcome, path: str, means: Any) -> None:
    """What became of a parameter is what is said of it."""
    match means:
        case "refused":
            assert got.body is None, f"{path} is not refused"
            assert got.param.startswith(path), got
            assert got.code in ("unsupported_parameter", "stored_state", "unpriced_option"), got
        case "reported":
            assert any(each.startswith(path) for each in got.ignored), f"{path} is not among {got.ignored}"
            assert got.body == plain.body
        case "said":
            assert got.body == plain.body
            assert not any(each.startswith(path) for each in got.ignored)
        case _:
            assert got.body is not None, got
            for at, value in means.items():
                assert got.at(at) == value, f"{path}: {at} is {got.at(at)!r}"
            assert not any(each == path for each in got.ignored)


DIRECT = [
    (caller, provider, name)
    for caller, provider in PAIRS
    if "chat" in (caller, provider)
    for name in ALL[pair_of(caller, provider)]
]


@pytest.mark.parametrize("pair", ALL)
def test_every_rule_has_an_example(pair: str) -> None:
    """And what the pair's code reads has a meaning; nothing is said of what has no rule."""
    caller = "chat" if pair.startswith("chat_on_") else pair.removesuffix("_on_chat")
    ledger = ALL[pair]
    assert [name for name in ledger if name not in EXAMPLES[caller]] == []
    read = {name for name, rule in ledger.items() if rule.kind == "read"}
    assert read <= MEANS[pair].keys()
    assert MEANS[pair].keys() <= ledger.keys()
    assert CONFIG_EXAMPLES.keys() == CONFIG.keys() | SAME.keys()


def meaning(pair: str, ledger: Ledger, name: str, caller: Format) -> Any:
    if name in MEANS[pair]:
        return MEANS[pair][name]
    rule = ledger[name]
    match rule.kind:
        case "demand":
            return REFUSED
        case "offer":
            return REPORTED
        case "renamed":
            return {rule.name: EXAMPLES[caller][name]}
        case _:
            return SAID


@pytest.mark.parametrize(("caller", "provider", "name"), DIRECT, ids=lambda value: str(value))
def test_rule_says_what_the_pair_does(caller: Format, provider: Format, name: str) -> None:
    """A demand is refused by its path, an offer is reported, what is carried stands there with its value and meaning."""
    pair = pair_of(caller, provider)
    ledger = ALL[pair]
    plain, got = asked(caller, provider, name)
    means = meaning(pair, ledger, name, caller)
    if ledger[name].kind == "renamed" and provider == "chat":
        # What a provider of Chat takes of it is the table's word.
        from routing.request.parameters import DEMANDS, OFFERS, OPENAI, OURS

        there = ledger[name].name
        if there in OURS:
            means = SAID
        elif there not in OPENAI:
            means = REPORTED if there in OFFERS else REFUSED if there in DEMANDS else means
    check(got, plain, name, means)
    if means == REPORTED:
        # Plugins are a router's: what we do not have of them is reported whoever is asked, and no provider can be required to.
        _, required = asked(caller, provider, name, is_required=True)
        check(required, plain, name, REPORTED if name == "plugins" else REFUSED)


CHAINED = [
    (caller, provider, name)
    for caller, provider in PAIRS
    if "chat" not in (caller, provider)
    for name in ALL[f"{caller}_on_chat"]
]


@pytest.mark.parametrize("provider", [each for each in PROVIDERS if each != "chat"])
@pytest.mark.parametrize("caller", [each for each in CALLERS if each != "chat"])
def test_rules_of_two_pairs_say_what_both_do(caller: Format, provider: Format) -> None:
    """One behind the other: what the first refuses or reports is, and what it carries falls under the second's rule, by the path
    that the caller knows."""
    if caller == provider:
        return
    ledger, second = ALL[f"{caller}_on_chat"], ALL[f"chat_on_{provider}"]
    for name, rule in ledger.items():
        if rule.kind == "read":
            continue
        plain, got = asked(caller, provider, name)
        means: Any = {"demand": REFUSED, "offer": REPORTED, "meaningless": SAID}.get(rule.kind)
        if rule.kind == "renamed":
            after = second[rule.name]
            value = EXAMPLES[caller][name]
            known = MEANS[f"chat_on_{provider}"].get(rule.name)
            if isinstance(known, dict) and CHAT_EXAMPLES[rule.name] != value:
                continue
            kinds: dict[str, Any] = {"demand": REFUSED, "offer": REPORTED, "meaningless": SAID, "renamed": {after.name: value}}
            means = known if known is not None else kinds[after.kind]
        check(got, plain, name, means)


@pytest.mark.parametrize("name", CONFIG_EXAMPLES)
def test_rule_of_a_gemini_configuration_says_what_is_done(name: str) -> None:
    """They stand one level deeper."""
    plain = ask("gemini", "chat", HI["gemini"])
    got = ask("gemini", "chat", {**HI["gemini"], "generationConfig": {name: CONFIG_EXAMPLES[name]}})
    rule = CONFIG.get(name)
    means = CONFIG_MEANS.get(name) or {"offer": REPORTED, "demand": REFUSED}[rule.kind if rule is not None else ""]
    path = "generationConfig.responseLogprobs" if name == "logprobs" else f"generationConfig.{name}"
    check(got, plain, path, means)


def test_wrong_ledger_is_caught() -> None:
    """The check itself fails on an offer that nobody reports, a demand that passes, and a value that is not carried."""
    plain, got = asked("chat", "messages", "seed")
    check(got, plain, "seed", REPORTED)
    for wrong in (got._replace(ignored=()), got._replace(body={**(got.body or {}), "seed": 11})):
        with pytest.raises(AssertionError):
            check(wrong, plain, "seed", REPORTED)
    with pytest.raises(AssertionError):
        check(got, plain, "seed", REFUSED)
    with pytest.raises(AssertionError):
        check(got, plain, "seed", {"seed": 11})
