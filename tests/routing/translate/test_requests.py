"""Requests in another format: what is said, what is refused by its path, what is reported.

The numbered reports are of other translators' users: what went wrong there must not here.
"""

import json
import tracemalloc
from typing import Any

import pytest

from routing.request.invalid import Invalid
from routing.translate import HUB, Format, Target, Translated, downstream_pair, upstream_pair

CLAUDE = Target("anthropic", "claude-sonnet-4-6", 64_000)
OLD_CLAUDE = Target("anthropic", "claude-3-7-sonnet", 64_000)
CHAT = Target("someone", "m")
AGAIN = Target("someone", "m", traits=HUB)
HI = [{"role": "user", "content": "hi"}]
SCHEMA = {"type": "object", "properties": {"x": {"const": 1}}}
TOOL = {"type": "function", "function": {"name": "look", "parameters": SCHEMA}}
PNG = "data:image/png;base64,iVBORw0KGgo="
PDF = "data:application/pdf;base64,JVBERi0="


def upward(format: Format, body: dict[str, Any], target: Target = CLAUDE) -> Translated:
    """A Chat request as a provider of that format gets it."""
    pair = upstream_pair(format)
    assert pair is not None
    return pair.request(json.dumps({"model": "x", "messages": HI, **body}).encode(), target)


def downward(format: Format, body: dict[str, Any], target: Target = CHAT) -> Translated:
    """A caller's request as Chat's."""
    pair = downstream_pair(format)
    assert pair is not None
    start: dict[str, Any] = {"model": "x", "max_tokens": 99, "messages": HI} if format == "messages" else {"model": "x"}
    return pair.request(json.dumps({**start, **body}).encode(), target)


def to_messages(target: Target = CLAUDE, **body: Any) -> dict[str, Any]:
    sent: dict[str, Any] = json.loads(upward("messages", body, target).body)
    return sent


def from_messages(target: Target = CHAT, **body: Any) -> dict[str, Any]:
    sent: dict[str, Any] = json.loads(downward("messages", body, target).body)
    return sent


def from_responses(target: Target = CHAT, **body: Any) -> dict[str, Any]:
    sent: dict[str, Any] = json.loads(downward("responses", body, target).body)
    return sent


def user(*parts: Any) -> dict[str, Any]:
    """A request of one turn with these parts."""
    return {"messages": [{"role": "user", "content": list(parts)}]}


def called(call_id: str = "call_1", arguments: str = "{}", name: str = "look") -> dict[str, Any]:
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


# Chat on Messages


def test_system_prompts_are_blocks_and_keep_their_cache_marks() -> None:
    """Never joined: a cache ends at its mark."""
    mark = {"type": "ephemeral", "ttl": "1h"}
    messages = [
        {"role": "system", "content": [{"type": "text", "text": "a", "cache_control": mark}, {"type": "text", "text": "b"}]},
        {"role": "developer", "content": "c"},
        *HI,
    ]
    assert to_messages(messages=messages)["system"] == [
        {"type": "text", "text": "a", "cache_control": mark},
        {"type": "text", "text": "b"},
        {"type": "text", "text": "c"},
    ]


def test_late_system_prompt_is_moved_and_reported() -> None:
    """Report 1: `role: system` behind the first turn."""
    sent = upward("messages", {"messages": [*HI, {"role": "system", "content": "now"}, *HI]})
    assert sent.ignored == ("messages[1].role",)
    body = json.loads(sent.body)
    assert body["system"] == [{"type": "text", "text": "now"}]
    assert len(body["messages"]) == 1


def test_tool_ids_are_made_acceptable_on_both_sides() -> None:
    """Report 2: dots and colons; the call and its result still fit, and other ids stay."""
    for call_id, stays in (("functions.Bash:0", False), ("toolu_01-x", True)):
        history = [
            *HI,
            {"role": "assistant", "tool_calls": [called(call_id)]},
            {"role": "tool", "tool_call_id": call_id, "content": "k"},
        ]
        _, use, result = to_messages(messages=history)["messages"]
        made = use["content"][0]["id"]
        assert result["content"][0]["tool_use_id"] == made
        assert (made == call_id) is stays
        assert made.replace("-", "").replace("_", "").isalnum()


def test_parallel_results_are_one_turn() -> None:
    """Report 4: split into several user turns they are refused; what the user says stands behind them."""
    history = [
        *HI,
        {"role": "assistant", "content": None, "tool_calls": [called("a"), called("b", '{"x": 1.50}')]},
        {"role": "tool", "tool_call_id": "b", "content": "2"},
        {
            "role": "tool",
            "tool_call_id": "a",
            "content": [{"type": "text", "text": "1"}, {"type": "image_url", "image_url": {"url": PNG}}],
        },
        {"role": "user", "content": "go on"},
    ]
    turns = to_messages(messages=history)["messages"]
    assert [turn["role"] for turn in turns] == ["user", "assistant", "user"]
    assert [block["type"] for block in turns[2]["content"]] == ["tool_result", "tool_result", "text"]
    assert turns[2]["content"][1]["content"][1]["source"]["media_type"] == "image/png"
    assert b'"input":{"x": 1.50}' in upward("messages", {"messages": history}).body


@pytest.mark.parametrize("arguments", ["", "{}", " "])
def test_call_without_arguments_has_an_empty_input(arguments: str) -> None:
    """Anthropic wants an object."""
    history = [*HI, {"role": "assistant", "tool_calls": [called(arguments=arguments)]}]
    assert to_messages(messages=history)["messages"][1]["content"][0]["input"] == {}


def test_signed_thoughts_come_first_and_in_order() -> None:
    """Reports 7 to 9: with their signatures, put together from the pieces that a stream had."""
    format = "anthropic-claude-v1"
    details = [
        {"type": "reasoning.text", "text": "a", "format": format, "index": 0},
        {"type": "reasoning.text", "text": "b", "format": format, "index": 0},
        {"type": "reasoning.text", "signature": "S", "format": format, "index": 0},
        {"type": "reasoning.encrypted", "data": "D", "format": format, "index": 1},
    ]
    history = [
        *HI,
        {"role": "assistant", "content": "c", "reasoning": "ab", "reasoning_details": details, "tool_calls": [called()]},
    ]
    sent = upward("messages", {"messages": history})
    assert json.loads(sent.body)["messages"][1]["content"] == [
        {"type": "thinking", "thinking": "ab", "signature": "S"},
        {"type": "redacted_thinking", "data": "D"},
        {"type": "text", "text": "c"},
        {"type": "tool_use", "id": "call_1", "name": "look", "input": {}},
    ]
    assert sent.ignored == ()


@pytest.mark.parametrize("format", ["google-gemini-v1", "openai-responses-v1", None])
def test_thoughts_of_others_are_reported(format: str | None) -> None:
    """Report 59: a foreign signature is an error there."""
    details = [{"type": "reasoning.encrypted", "data": "D", "format": format, "index": 0}]
    sent = upward("messages", {"messages": [*HI, {"role": "assistant", "content": "c", "reasoning_details": details}, *HI]})
    assert sent.ignored == ("messages[1].reasoning_details[0]",)
    assert b'"D"' not in sent.body


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"response_format": {"type": "json_object"}}, "response_format"),  # report 14
        ({"n": 2}, "n"),  # report 15
        ({"temperature": 1.5}, "temperature"),
        ({"frequency_penalty": 0.5}, "frequency_penalty"),
        ({"logit_bias": {"1": 2}}, "logit_bias"),
        ({"modalities": ["text", "audio"]}, "modalities"),
        ({"stop": " "}, "stop"),
        ({"store": True}, "store"),
        ({"functions": [{"name": "f"}]}, "functions"),
        ({"service_tier": "flex"}, "service_tier"),
        ({"web_search_options": {}}, "web_search_options"),
        ({"no_such_member": 1}, "no_such_member"),
        ({"tools": [{"type": "custom", "custom": {"name": "x"}}]}, "tools[0]"),
        (user({"type": "input_audio", "input_audio": {"data": "AA==", "format": "mp3"}}), "messages[0].content[0]"),
        (user({"type": "file", "file": {"file_id": "f"}}), "messages[0].content[0].file.file_id"),
        (user({"type": "image_url", "image_url": {"url": "data:image/bmp;base64,AA=="}}), "messages[0].content[0]"),
        ({"messages": [*HI, {"role": "tool", "tool_call_id": "x", "content": ""}]}, "messages[1].tool_call_id"),  # report 6
        ({"messages": [*HI, {"role": "assistant", "tool_calls": [called(arguments="{")]}]},
         "messages[1].tool_calls[0].function.arguments"),
        ({"messages": [{"role": "user", "content": ""}]}, "messages"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "messages[0].role"),
        ({"tool_choice": "sometimes", "tools": [TOOL]}, "tool_choice"),
        ({"reasoning_effort": "very"}, "reasoning_effort"),
    ],
)  # fmt: skip
def test_demand_that_messages_cannot_meet(body: dict[str, Any], param: str) -> None:
    """Refused, with its path."""
    with pytest.raises(Invalid) as caught:
        upward("messages", body)
    assert caught.value.param == param
    assert caught.value.message


def test_offers_are_reported_and_may_be_required() -> None:
    """Left out and told; with `require_parameters` they are demands."""
    body = {"seed": 1, "verbosity": "low", "metadata": {"a": "b"}, "messages": [{"role": "user", "content": "hi", "name": "bob"}]}
    assert upward("messages", body).ignored == ("seed", "verbosity", "metadata", "messages[0].name")
    with pytest.raises(Invalid) as caught:
        upward("messages", body, Target("anthropic", "claude-sonnet-4-6", requires_parameters=True))
    assert caught.value.param == "seed"


@pytest.mark.parametrize(
    ("body", "known"),
    [
        ({}, 64_000),
        ({"max_tokens": 7}, 7),
        ({"max_tokens": 7, "max_completion_tokens": 5}, 5),
    ],
)
def test_output_cap_is_always_sent(body: dict[str, Any], known: int) -> None:
    """Report 26: absent is not 0, which means "fill the cache and answer nothing"."""
    assert to_messages(**body)["max_tokens"] == known
    assert to_messages(Target("anthropic", "claude-x"))["max_tokens"] > 0


def test_effort_becomes_what_the_model_knows() -> None:
    """Adaptive models get an effort, older ones a budget in OpenRouter's shares."""
    new = to_messages(reasoning={"effort": "minimal", "exclude": True})
    assert (new["thinking"], new["output_config"]) == ({"type": "adaptive", "display": "omitted"}, {"effort": "low"})
    old = to_messages(OLD_CLAUDE, reasoning_effort="high", max_tokens=10_000)
    assert old["thinking"] == {"type": "enabled", "budget_tokens": 8_000}
    assert to_messages(reasoning={"enabled": False})["thinking"] == {"type": "disabled"}
    assert "thinking" not in to_messages()


def test_budget_without_room_is_reported() -> None:
    """It must be smaller than the cap."""
    sent = upward("messages", {"max_tokens": 500, "reasoning_effort": "high"}, OLD_CLAUDE)
    assert sent.ignored == ("reasoning_effort",)


def test_schema_and_effort_share_a_member() -> None:
    """The schema is copied as it came."""
    schema = {"type": "object", "properties": {"b": {"const": 1.0}, "a": {"$ref": "#/x"}}}
    form = {"type": "json_schema", "json_schema": {"name": "n", "schema": schema, "strict": True}}
    sent = to_messages(response_format=form, reasoning_effort="low")
    assert sent["output_config"] == {"effort": "low", "format": {"type": "json_schema", "schema": schema}}


def test_tools_and_their_choice() -> None:
    """Schemas raw; a tool without parameters takes an object; one that OpenAI would run is an offer."""
    tools = [TOOL, {"type": "function", "function": {"name": "now"}}, {"type": "openrouter:datetime"}]
    sent = upward("messages", {"tools": tools, "tool_choice": "required", "parallel_tool_calls": False})
    body = json.loads(sent.body)
    assert [tool["input_schema"] for tool in body["tools"]] == [
        SCHEMA,
        {"type": "object", "properties": {}},
    ]
    assert body["tool_choice"] == {"type": "any", "disable_parallel_tool_use": True}
    assert sent.ignored == ("tools[2]",)
    named = to_messages(tools=[TOOL], tool_choice={"type": "function", "function": {"name": "look"}})
    assert named["tool_choice"] == {"type": "tool", "name": "look"}
    allowed = {
        "type": "allowed_tools",
        "allowed_tools": {"mode": "auto", "tools": [{"type": "function", "function": {"name": "now"}}]},
    }
    assert [tool["name"] for tool in to_messages(tools=tools[:2], tool_choice=allowed)["tools"]] == ["now"]


def test_media_keep_their_data() -> None:
    """Images and documents, here and elsewhere; whoever fetches nothing is told no address."""
    parts = [
        {"type": "image_url", "image_url": {"url": PNG}},
        {"type": "image_url", "image_url": {"url": "https://x.test/a.png", "detail": "low"}},
        {"type": "file", "file": {"filename": "a.pdf", "file_data": PDF}},
        {"type": "file", "file": {"filename": "a.txt", "file_data": "data:text/plain;base64,aGk="}},
    ]
    sent = upward("messages", {"messages": [{"role": "user", "content": parts}]})
    assert json.loads(sent.body)["messages"][0]["content"] == [
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}},
        {"type": "image", "source": {"type": "url", "url": "https://x.test/a.png"}},
        {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0="}, "title": "a.pdf"},
        {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "hi"}, "title": "a.txt"},
    ]
    assert sent.ignored == ("messages[0].content[1].image_url.detail",)
    with pytest.raises(Invalid) as caught:
        upward(
            "messages",
            {"messages": [{"role": "user", "content": parts}]},
            Target("vertex", "claude-sonnet-4-6", fetches_urls=False),
        )
    assert caught.value.param == "messages[0].content[1]"


def test_model_without_sampling() -> None:
    """Report 23: a value that says nothing is left out, another one is refused."""
    target = Target("anthropic", "claude-opus-5-5", 1_000)
    assert "temperature" not in to_messages(target, temperature=1)
    with pytest.raises(Invalid):
        to_messages(target, temperature=0.5)


# Messages on Chat


def test_agent_history_in_chat() -> None:
    """Thoughts, parallel calls, results with an image and an error, a late system prompt: Claude Code's turn."""
    messages = [
        {"role": "user", "content": [
            {"type": "text", "text": "a"}, {"type": "text", "text": "b", "cache_control": {"type": "ephemeral"}},
        ]},
        {"role": "system", "content": "mind"},
        {"role": "assistant", "content": [
            {"type": "thinking", "thinking": "hm", "signature": ""},
            {"type": "text", "text": "so"},
            {"type": "tool_use", "id": "functions.Bash:0", "name": "Bash", "input": {"c": 1.0}},
            {"type": "tool_use", "id": "toolu_2", "name": "Read", "input": {}},
        ]},
        {"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": "toolu_2", "content": [
                {"type": "text", "text": "seen"},
                {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AA=="}},
            ]},
            {"type": "tool_result", "tool_use_id": "functions.Bash:0", "content": "no", "is_error": True},
            {"type": "text", "text": "go on"},
        ]},
    ]  # fmt: skip
    sent = downward(
        "messages", {"system": [{"type": "text", "text": "x-head"}, {"type": "text", "text": "you"}], "messages": messages}
    )
    body = json.loads(sent.body)["messages"]
    assert body[0] == {"role": "system", "content": "x-head\n\nyou"}  # report 53: the first line stays what it is
    assert body[1] == {"role": "user", "content": "a\n\nb"}
    assert body[2] == {"role": "system", "content": "mind"}
    assert body[3]["content"] == "so"
    assert [(call["id"], call["function"]["arguments"]) for call in body[3]["tool_calls"]] == [
        ("functions.Bash:0", '{"c": 1.0}'),
        ("toolu_2", "{}"),
    ]
    assert [message["role"] for message in body[4:]] == ["tool", "tool", "user"]
    assert (body[4]["tool_call_id"], body[5]["content"]) == ("toolu_2", "Error:\n\nno")
    # Report 16: the image of a result is not lost.
    assert [part["type"] for part in body[6]["content"]] == ["image_url", "text"]
    assert sent.ignored == ("messages[].content[].cache_control", "messages[].content[].thinking")


def test_hub_keeps_what_the_next_pair_can_say() -> None:
    """Messages → Chat → Messages is the same conversation."""
    mark = {"type": "ephemeral"}
    messages = [
        {"role": "user", "content": [{"type": "text", "text": "a", "cache_control": mark}]},
        {"role": "assistant", "content": [
            {"type": "thinking", "thinking": "hm", "signature": "S"},
            {"type": "redacted_thinking", "data": "D"},
            {"type": "text", "text": "so"},
            {"type": "tool_use", "id": "t1", "name": "look", "input": {"x": 1}},
        ]},
        {"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": "t1", "is_error": True, "content": [
                {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AA=="}},
                {"type": "text", "text": "b"},
            ]},
            {"type": "document", "source": {"type": "url", "url": "https://x.test/a.pdf"}, "title": "t"},
        ]},
    ]  # fmt: skip
    tools = [{"name": "look", "description": "d", "input_schema": {"type": "object"}, "cache_control": mark}]
    first = downward(
        "messages", {"messages": messages, "tools": tools, "system": "s", "stop_sequences": ["x"], "top_k": 4}, AGAIN
    )
    assert first.ignored == ()
    pair = upstream_pair("messages")
    assert pair is not None
    second = pair.request(first.body, CLAUDE)
    assert second.ignored == ()
    body = json.loads(second.body)
    assert body["messages"] == messages
    assert body["tools"] == tools
    assert (body["system"], body["stop_sequences"], body["top_k"]) == ([{"type": "text", "text": "s"}], ["x"], 4)


def test_reasoning_content_goes_back_to_who_wants_it() -> None:
    """Report 10: DeepSeek refuses a tool loop without it."""
    messages = [*HI, {"role": "assistant", "content": [
        {"type": "thinking", "thinking": "hm", "signature": ""},
        {"type": "tool_use", "id": "t", "name": "f", "input": {}},
    ]}]  # fmt: skip
    for target in (Target("deepseek", "m"), Target("own", "kimi-k3"), Target("x", "m", traits=frozenset(("reasoning_content",)))):
        sent = from_messages(target, messages=messages)
        assert sent["messages"][1]["reasoning_content"] == "hm"
    messages[1]["content"][1] = {"type": "text", "text": "so"}  # type: ignore[index]
    assert "reasoning_content" not in from_messages(Target("deepseek", "m"), messages=messages)["messages"][1]
    items = [
        {"type": "reasoning", "summary": [], "content": [{"type": "reasoning_text", "text": "hm"}]},
        {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
    ]
    assert from_responses(Target("deepseek", "m"), input=[*HI, *items])["messages"][1]["reasoning_content"] == "hm"


def test_ids_for_mistral_are_nine_letters_and_digits() -> None:
    """Report 3: in the call and in its result."""
    messages = [
        *HI,
        {"role": "assistant", "content": [{"type": "tool_use", "id": "toolu_01", "name": "f", "input": {}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_01", "content": "k"}]},
    ]
    sent = from_messages(Target("mistral", "mistral-large-4"), messages=messages)["messages"]
    made = sent[1]["tool_calls"][0]["id"]
    assert sent[2]["tool_call_id"] == made
    assert len(made) == 9
    assert made.isalnum()


def test_tools_of_messages_in_chat() -> None:
    """Report 17: not sent verbatim; server tools are offers; long names (report 18) are made shorter and remembered."""
    long = "mcp__server__" + "x" * 100
    tools = [
        {"name": "look", "description": "d" * 40_000, "input_schema": {"type": "object"}, "defer_loading": True},
        {"type": "web_search_20250305", "name": "web_search"},
        {"type": "custom", "name": long, "input_schema": {"type": "object"}},
    ]
    choice = {"type": "tool", "name": long, "disable_parallel_tool_use": True}
    sent = downward("messages", {"tools": tools, "tool_choice": choice})
    body = json.loads(sent.body)
    assert [tool["type"] for tool in body["tools"]] == ["function", "function"]
    short = body["tools"][1]["function"]["name"]
    assert len(short) <= 64
    assert sent.memo == {short: long}
    assert body["tool_choice"]["function"]["name"] == short
    assert body["parallel_tool_calls"] is False
    assert sent.ignored == ("tools[].defer_loading", "tools[1]")


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"max_tokens": 0}, "max_tokens"),
        ({"container": "c"}, "container"),
        ({"mcp_servers": [{}]}, "mcp_servers"),
        ({"speed": "fast"}, "speed"),
        ({"stop_sequences": ["a", "b", "c", "d", "e"]}, "stop_sequences"),
        (user({"type": "image", "source": {"type": "file", "file_id": "f"}}), "messages[0].content[0].source"),
        (user({"type": "document", "source": {"type": "url", "url": "https://x"}}), "messages[0].content[0].source"),
        (user({"type": "container_upload", "file_id": "f"}), "messages[0].content[0]"),
        ({"tool_choice": {"type": "any"}, "tools": [{"type": "bash_20250124", "name": "bash"}]}, "tool_choice"),
        ({"nothing_known": 1}, "nothing_known"),
        ({"messages": "hi"}, "messages"),
    ],
)  # fmt: skip
def test_demand_of_messages_that_chat_cannot_meet(body: dict[str, Any], param: str) -> None:
    """Refused, with its path."""
    with pytest.raises(Invalid) as caught:
        downward("messages", body)
    assert caught.value.param == param


def test_what_claude_code_sends_beside() -> None:
    """Reports 20 and 25: its own members are no errors; what is left out is told."""
    body = {
        "thinking": {"type": "adaptive", "display": "omitted"},
        "output_config": {"effort": "high"},
        "context_management": {"edits": [{"type": "clear_thinking_20251015"}]},
        "metadata": {"user_id": json.dumps({"device": "x" * 60, "account": "y" * 60})},
        "diagnostics": {},
    }
    sent = downward("messages", body)
    assert sent.ignored == ("context_management", "metadata.user_id")
    assert json.loads(sent.body)["reasoning"] == {"exclude": True, "enabled": True, "effort": "high"}


# Responses on Chat


def test_codex_history_in_chat() -> None:
    """Thoughts, message and calls of a turn are one message; results follow; namespaces are flattened, custom tools functions."""
    thought = {"type": "reasoning_text", "text": "hm"}
    items = [
        {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "be"}]},
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hi"}]},
        {"type": "reasoning", "id": "rs_1", "summary": [], "content": [thought], "encrypted_content": None},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "so", "annotations": []}]},
        {"type": "function_call", "call_id": "c1", "name": "exec_command", "arguments": '{"x":1}'},
        {"type": "custom_tool_call", "call_id": "c2", "name": "apply_patch", "input": "*** Begin"},
        {"type": "function_call_output", "call_id": "c1", "output": "done"},
        {"type": "custom_tool_call_output", "call_id": "c2", "output": [{"type": "input_image", "image_url": PNG}]},
    ]
    tools = [
        {"type": "function", "name": "exec_command", "parameters": {"type": "object"}, "strict": False},
        {"type": "namespace", "name": "multi_agent_v1", "tools": [{"type": "function", "name": "spawn", "parameters": {}}]},
        {"type": "custom", "name": "apply_patch", "format": {"type": "grammar", "syntax": "lark", "definition": "start: x"}},
        {"type": "web_search", "external_web_access": False},
    ]
    sent = downward("responses", {"input": items, "tools": tools, "instructions": "you", "store": False})
    body = json.loads(sent.body)
    messages = body["messages"]
    assert [message["role"] for message in messages] == ["system", "system", "user", "assistant", "tool", "tool", "user"]
    assert messages[3]["content"] == "so"
    assert [call["function"] for call in messages[3]["tool_calls"]] == [
        {"name": "exec_command", "arguments": '{"x":1}'},
        {"name": "apply_patch", "arguments": '{"input":"*** Begin"}'},
    ]
    assert messages[6]["content"][0]["type"] == "image_url"
    assert [tool["function"]["name"] for tool in body["tools"]] == ["exec_command", "multi_agent_v1__spawn", "apply_patch"]
    assert "start: x" in body["tools"][2]["function"]["description"]
    assert sent.ignored == ("tools[3]", "input[].content")
    assert sent.memo.tools["multi_agent_v1__spawn"].namespace == "multi_agent_v1"


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"previous_response_id": "r"}, "previous_response_id"),  # report 58
        ({"conversation": "c"}, "conversation"),
        ({"store": True}, "store"),
        ({"background": True}, "background"),
        ({"input": [{"type": "item_reference", "id": "x"}]}, "input[0]"),
        ({"input": [{"type": "compaction_trigger"}]}, "input[0]"),  # report 24
        ({"input": [{"role": "user", "content": [{"type": "input_file", "file_id": "f"}]}]}, "input[0].content[0].file_id"),
        ({"reasoning": {"mode": "pro"}}, "reasoning.mode"),
        ({"include": ["message.output_text.logprobs"]}, "include[0]"),
        ({"tool_choice": {"type": "web_search"}, "tools": [{"type": "web_search"}]}, "tool_choice"),
        ({"input": None}, "input"),
    ],
)
def test_demand_of_responses_that_chat_cannot_meet(body: dict[str, Any], param: str) -> None:
    """Refused, with its path."""
    with pytest.raises(Invalid) as caught:
        downward("responses", {"input": "hi", **body})
    assert caught.value.param == param


def test_form_of_the_text_in_responses() -> None:
    """Flat there, nested here."""
    form = {"type": "json_schema", "name": "n", "schema": {"type": "object"}, "strict": True}
    body = from_responses(input="hi", text={"format": form, "verbosity": "low"}, max_output_tokens=9, reasoning={"effort": "low"})
    assert body["response_format"] == {
        "type": "json_schema",
        "json_schema": {"name": "n", "schema": {"type": "object"}, "strict": True},
    }
    assert (body["verbosity"], body["max_tokens"], body["reasoning"]) == ("low", 9, {"effort": "low"})


def test_text_behind_a_call_is_said_before_it() -> None:
    """Report 5: Chat has one place for the words of a message, and Anthropic refuses them behind a call."""
    said = [
        {"type": "text", "text": "a"},
        {"type": "tool_use", "id": "t1", "name": "f", "input": {}},
        {"type": "text", "text": "b"},
    ]
    result = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "content": "1"}]}
    turns = [*HI, {"role": "assistant", "content": said}, result]
    chat = from_messages(max_tokens=9, messages=turns)["messages"]
    assert chat[1]["content"] == "a\n\nb"
    assert [call["id"] for call in chat[1]["tool_calls"]] == ["t1"]
    assert [message["role"] for message in chat] == ["user", "assistant", "tool"]
    again = to_messages(messages=chat)["messages"][1]["content"]
    assert [block["type"] for block in again] == ["text", "tool_use"]


def test_result_without_its_call_is_refused() -> None:
    """Report 6: more results than calls; the path says which."""
    history = [*HI, {"role": "assistant", "tool_calls": [called("a")]}]
    history += [{"role": "tool", "tool_call_id": each, "content": "1"} for each in ("a", "b")]
    with pytest.raises(Invalid) as caught:
        to_messages(messages=history)
    assert caught.value.param == "messages[3].tool_call_id"


def test_first_line_of_the_system_is_not_touched() -> None:
    """Report 53: Claude Code's changes with each version; a cache that is asked for is the provider's to keep."""
    first = "x-anthropic-billing-header: cc_version=2.1.332.a1b; cc_entrypoint=cli;"
    system = [{"type": "text", "text": first}, {"type": "text", "text": "b", "cache_control": {"type": "ephemeral"}}]
    chat = from_messages(Target("p", "m", traits=HUB), max_tokens=9, messages=HI, system=system)
    assert chat["messages"][0]["content"] == system
    assert to_messages(messages=chat["messages"])["system"] == system


MANY = 100_000


def test_declined_paths_are_each_kept_once_however_many() -> None:
    """A hundred thousand: each compared with all before, they took minutes."""
    body = {"input": "x", "store": False, "include": [f"other.{at}" for at in range(MANY)]}
    sent = downward("responses", body)
    assert len(sent.ignored) == len(set(sent.ignored)) == MANY


def test_answers_of_tools_find_their_calls_however_many_are_open() -> None:
    """The last call is answered first; by its id, and by its name."""
    calls = [{"functionCall": {"id": f"c{at}", "name": f"f{at}", "args": {}}} for at in range(MANY // 2)]
    answers = [{"functionResponse": {"id": f"c{at}", "name": "", "response": {}}} for at in reversed(range(1, MANY // 2, 2))]
    answers += [{"functionResponse": {"name": f"f{at}", "response": {}}} for at in reversed(range(0, MANY // 2, 2))]
    contents = [{"role": "model", "parts": calls}, {"role": "user", "parts": answers}]
    said = json.loads(downward("gemini", {"contents": contents}).body)["messages"]
    expected = [f"c{at}" for at in (*reversed(range(1, MANY // 2, 2)), *reversed(range(0, MANY // 2, 2)))]
    assert [message["tool_call_id"] for message in said[1:]] == expected


@pytest.mark.parametrize("format", ["messages", "responses", "gemini", "converse", "cohere"])
def test_address_of_data_has_few_parameters(format: Format) -> None:
    """A megabyte of them is refused, and costs no hundred times its size on the way."""
    url = "data:image/png" + ";a=b" * 250_000 + ";base64,AA=="
    tracemalloc.start()
    try:
        with pytest.raises(Invalid) as refused:
            upward(format, user({"type": "image_url", "image_url": {"url": url}}))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert refused.value.param == "messages[0].content[0].image_url.url"
    assert peak < 16 * len(url)


def test_results_of_many_calls_are_in_the_order_of_the_calls() -> None:
    """A hundred thousand of one turn, the last first: each looked for among all, they took minutes for Google's models."""
    calls = [{"id": f"c{at}", "type": "function", "function": {"name": "f", "arguments": "{}"}} for at in range(MANY)]
    results = [{"role": "tool", "tool_call_id": f"c{at}", "content": str(at)} for at in reversed(range(MANY))]
    messages = [*HI, {"role": "assistant", "content": None, "tool_calls": calls}, *results]
    said = json.loads(upward("gemini", {"messages": messages}).body)["contents"][-1]["parts"]
    assert [part["functionResponse"]["response"]["output"] for part in said] == [str(at) for at in range(MANY)]


@pytest.mark.parametrize("format", ["gemini", "responses", "cohere"])
def test_mark_of_what_to_cache_is_reported_where_there_is_none(format: str) -> None:
    """Not dropped in silence, once for all of them."""
    text = {"type": "text", "text": "hi", "cache_control": {"type": "ephemeral"}}
    said = upward(format, {"messages": [{"role": "user", "content": [text, text]}]})
    assert said.ignored == ("messages[].content[].cache_control",)
    assert b"cache_control" not in said.body
