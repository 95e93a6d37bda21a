"""What each surface makes of a request, and what it refuses of one before anybody is asked: by the member to mend."""

import json
from typing import Any

import pytest

from routing.request.invalid import Invalid
from routing.surfaces import CallerRequest
from routing.surfaces.cohere.embeddings import INPUTS_MAX as COHERE_INPUTS_MAX
from routing.surfaces.cohere.rerank import DOCUMENTS_MAX
from routing.surfaces.gemini.embeddings import REQUESTS_MAX
from routing.surfaces.openai.completions import PROMPTS_MAX
from routing.surfaces.openai.embeddings import INPUTS_MAX
from routing.surfaces.openai.image_edits import IMAGES_MAX
from routing.surfaces.openai.images import PARTIAL_TOKENS
from tests.routing.surfaces.calls import (
    BODIES,
    BY_MEMBER,
    BY_PATH,
    CONTENTS,
    MODEL,
    TURN,
    anything,
    body_of,
    call,
    form,
    read,
    read_form,
    surface,
    without,
)
from usage.record import Tokens

FLAGS = anything("yes", 0, 1, [], {})
COUNTS = anything(0, -1, 1.5, "9", True, 2**53 + 1, 10**400, [1], {})
WRONG: list[tuple[str, tuple[str, ...], tuple[Any, ...]]] = [
    ("echo", ("completions",), FLAGS),
    ("stream", ("chat", "messages", "responses", "completions", "images", "cohere"), FLAGS),
    ("max_tokens", ("chat", "messages", "cohere"), COUNTS),
    ("max_tokens", ("completions",), COUNTS[1:]),
    ("max_output_tokens", ("responses",), COUNTS),
    ("max_tool_calls", ("responses",), COUNTS),
    ("dimensions", ("embeddings",), COUNTS),
    ("output_dimension", ("cohere_embeddings",), COUNTS),
    ("top_n", ("rerank",), COUNTS),
    ("top_k", ("rerank",), COUNTS),
    ("return_documents", ("rerank",), FLAGS),
    ("temperature", ("chat", "responses", "completions", "cohere"), (-0.1, 2.1, "hot", True, [])),
    ("temperature", ("messages",), (-0.1, 1.1, "hot", True, [])),
    ("top_p", ("chat", "messages", "responses", "completions"), (-0.1, 1.1, "x", False)),
    ("p", ("cohere",), (-0.1, 1.1, "x", False)),
    ("n", ("chat", "completions"), (0, 129, 1.5, "2", True)),
    ("n", ("images",), (0, 11, 1.5, "2", True)),
    ("best_of", ("completions",), (0, 21, 1.5, "2", True)),
    ("stop", ("chat", "completions"), (5, ["a", "b", "c", "d", "e"], [1], {})),
    ("stop_sequences", ("cohere",), ("x", [1], {})),
    ("stream_options", ("chat", "completions"), ("x", [], 5)),
    ("partial_images", ("images",), (-1, 4, 0.5, "2", True)),
    ("response_format", ("images",), ("png", 5)),
    ("encoding_format", ("embeddings",), ("hex", 5, [])),
    ("input_type", ("cohere_embeddings",), (5, [])),
    ("embedding_types", ("cohere_embeddings",), ("float", [1])),
    ("input", ("speech",), (5, ["a"], {})),
    ("voice", ("speech",), (5, ["a"])),
    ("stream_format", ("speech",), ("mp3", 5)),
]
REQUIRED = [
    *(("chat", name) for name in ("model", "messages")),
    *(("messages", name) for name in ("model", "messages", "max_tokens")),
    *(("count_tokens", name) for name in ("model", "messages")),
    *(("responses", name) for name in ("model", "input")),
    *(("embeddings", name) for name in ("model", "input")),
    *(("completions", name) for name in ("model", "prompt")),
    *(("moderations", name) for name in ("model", "input")),
    *(("rerank", name) for name in ("model", "query", "documents")),
    *(("images", name) for name in ("model", "prompt")),
    *(("speech", name) for name in ("model", "input")),
    *(("cohere", name) for name in ("model", "messages")),
    *(("cohere_embeddings", name) for name in ("model", "texts")),
    *(("gemini", "contents"), ("gemini_count_tokens", "contents")),
    *(("gemini_embeddings", "content"), ("gemini_batch_embeddings", "requests")),
]


@pytest.mark.parametrize(
    ("format", "name", "value"),
    [(format, name, value) for name, formats, values in WRONG for format in formats for value in values],
    ids=str,
)
def test_member_out_of_its_range_is_named(format: str, name: str, value: Any) -> None:
    """Of another type, too large or too small: what it must be is said, on every surface alike."""
    with pytest.raises(Invalid) as refused:
        read(format, **{name: value})
    assert (refused.value.param, refused.value.code) == (name, "invalid_value")
    assert refused.value.message.startswith(f"'{name}' must be ")


@pytest.mark.parametrize(("name", "formats"), [(name, formats) for name, formats, _ in WRONG if name != "input"])
def test_member_that_is_null_says_nothing(name: str, formats: tuple[str, ...]) -> None:
    """As SDKs send what is not set; but for what has to be there."""
    for format in formats:
        if (format, name) not in REQUIRED:
            assert read(format, **{name: None}).model == MODEL


@pytest.mark.parametrize(("format", "name"), REQUIRED)
def test_member_that_is_missing_is_asked_for(format: str, name: str) -> None:
    with pytest.raises(Invalid) as refused:
        surface(format).read(without(format, name), call(format))
    assert (refused.value.param, refused.value.code) == (name, "missing_required_parameter")
    assert refused.value.message.startswith(f"'{name}' is missing: ")


@pytest.mark.parametrize("format", BODIES)
@pytest.mark.parametrize("body", [b"", b"[]", b'"x"', b"{", b'{"a":}', b"\xff", b'{"model":"\xff"}'])
def test_body_that_is_no_object_is_refused(format: str, body: bytes) -> None:
    """No exception of a parser's, on any surface."""
    with pytest.raises(Invalid) as refused:
        surface(format).read(body, call(format))
    assert (refused.value.param, refused.value.code) == (None, "invalid_json")


@pytest.mark.parametrize("format", BODIES)
def test_envelope_of_the_smallest_request(format: str) -> None:
    """It names its model, is no stream, and asks for nothing that has a price of its own."""
    envelope = read(format)
    assert (envelope.model, envelope.stream, envelope.tier, envelope.cache_life) == (MODEL, False, "", "")
    assert (envelope.options, envelope.preferences, envelope.inline_media) == (None, None, ())
    assert 0 < envelope.prompt_bytes <= envelope.bytes_total
    assert envelope.choices == (0 if format in NO_TEXT else 1)


NO_TEXT = (
    *("count_tokens", "embeddings", "moderations", "rerank"),
    *("gemini_count_tokens", "gemini_embeddings", "gemini_batch_embeddings", "cohere_embeddings"),
)


@pytest.mark.parametrize("format", BY_MEMBER)
@pytest.mark.parametrize("model", [5, "", ["a/b"], {}])
def test_model_that_is_no_name_is_refused(format: str, model: Any) -> None:
    with pytest.raises(Invalid) as refused:
        read(format, model=model)
    assert refused.value.param == "model"


@pytest.mark.parametrize("format", BY_PATH)
@pytest.mark.parametrize("path", ["", "/v1/models", "/v1/models/p/m", "/v1/models/:generateContent", "/v1/models/p/m:sing"])
def test_path_that_names_no_model_or_no_action(format: str, path: str) -> None:
    """There the model is not to be mended in the body."""
    with pytest.raises(Invalid, match="such as /models/google/") as refused:
        surface(format).read(body_of(format), CallerRequest(path, []))
    assert refused.value.param == "model"


@pytest.mark.parametrize("model", ["g", "google/gemini-4", "a/b/c", "a:b", "a b", "ü/m"])
@pytest.mark.parametrize("format", BY_PATH)
def test_model_of_a_path_is_all_between(format: str, model: str) -> None:
    """Slashes and colons included."""
    path = call(format).path.replace(MODEL, model)
    body = body_of(format).replace(f"models/{MODEL}".encode(), f"models/{model}".encode())
    assert surface(format).read(body, CallerRequest(path, [], b"")).model == model


NAMED_FALLBACK = tuple(format for format in BY_MEMBER if format not in ("chat", "speech", "moderations"))


@pytest.mark.parametrize("format", NAMED_FALLBACK)
def test_models_to_fall_back_to_and_wishes_are_read(format: str) -> None:
    """OpenRouter's words to a router, wherever its clients send them."""
    envelope = read(format, model=None, models=["a/x", "b/y"], provider={"order": ["A"], "preferred_max_latency": 1})
    assert envelope.model == "a/x"
    assert envelope.preferences is not None
    assert (envelope.preferences.models, envelope.preferences.order) == (("a/x", "b/y"), ("a",))
    assert envelope.preferences.ignored == ("provider.preferred_max_latency",)


@pytest.mark.parametrize("format", BY_MEMBER)
@pytest.mark.parametrize("provider", [{"quantizations": ["fp8"]}, {"zdr": "yes"}, {"colour": 1}, 5])
def test_demand_that_nobody_can_promise_is_refused(format: str, provider: Any) -> None:
    """On every surface: a demand that was passed over would be broken without a word."""
    with pytest.raises(Invalid) as refused:
        read(format, provider=provider)
    assert (refused.value.param or "").startswith("provider")


KEPT: list[tuple[str, dict[str, Any], str]] = [
    ("messages", {"container": "c_1"}, "container"),
    (
        "messages",
        {"messages": [{"role": "user", "content": [{"type": "document", "source": {"file_id": "f"}}]}]},
        "messages[0].content[0].source.file_id",
    ),
    ("responses", {"previous_response_id": "resp_1"}, "previous_response_id"),
    ("responses", {"conversation": "conv_1"}, "conversation"),
    ("responses", {"prompt": {"id": "pmpt_1"}}, "prompt"),
    ("responses", {"prompt": "pmpt_1"}, "prompt"),
    ("responses", {"background": True}, "background"),
    ("responses", {"store": True}, "store"),
    ("responses", {"input": [{"type": "item_reference", "id": "msg_1"}]}, "input[0]"),
    ("responses", {"input": [TURN, {"type": "item_reference", "id": "msg_1"}]}, "input[1]"),
    ("responses", {"input": [TURN, {"id": "msg_1"}]}, "input[1]"),
    ("responses", {"input": [{"type": None, "id": "msg_1"}]}, "input[0]"),
    ("responses", {"input": ["x", 5, {"type": "item_reference", "id": "msg_1"}]}, "input[2]"),
    (
        "responses",
        {"input": [{"role": "user", "content": [{"type": "input_file", "file_id": "f"}]}]},
        "input[0].content[0].file_id",
    ),
    ("embeddings", {"input": [{"content": [{"type": "file", "file_id": "f"}]}]}, "input[0].content[0].file_id"),
    ("moderations", {"input": [{"type": "file", "file_id": "f"}]}, "input[0].file_id"),
    ("completions", {"prompt_id": "p_1"}, "prompt_id"),
    ("rerank", {"data_sources": ["x"]}, "data_sources"),
    ("cohere", {"documents": [{"data": {"file_id": "f"}}]}, "documents[0].data.file_id"),
    ("gemini", {"cachedContent": "cachedContents/x"}, "cachedContent"),
    ("gemini", {"contents": [{"parts": [{"fileData": {"fileUri": "files/x"}}]}]}, "contents[0].parts[0].fileData.fileUri"),
    ("gemini", {"contents": [{"parts": [{"fileData": {"fileUri": "gs://b/x"}}]}]}, "contents[0].parts[0].fileData.fileUri"),
    (
        "gemini",
        {"contents": [{"parts": [{"fileData": {"fileUri": "https://generativelanguage.googleapis.com/v1/files/x"}}]}]},
        "contents[0].parts[0].fileData.fileUri",
    ),
]


@pytest.mark.parametrize(("format", "members", "path"), KEPT)
def test_reference_to_what_is_kept_at_the_provider_is_seen(format: str, members: dict[str, Any], path: str) -> None:
    """Wherever it stands: whose key is one tenant's may allow it, all others refuse it by this path."""
    options = read(format, **members).options
    assert options is not None
    assert options.state == path


NOT_KEPT: list[tuple[str, dict[str, Any]]] = [
    ("responses", {"store": False, "background": False, "previous_response_id": None, "prompt": None}),
    ("responses", {"input": [{"role": "user", "content": "an item_reference is a kind of item"}]}),
    ("responses", {"input": [{"role": "user", "content": [{"type": "input_text", "text": '"item_reference"'}]}]}),
    (
        "responses",
        {"input": [{"id": "msg_1", "role": "assistant", "content": "hi"}, {"type": "message", "id": "m", "content": []}]},
    ),
    (
        "responses",
        {"input": [{"type": "reasoning", "id": "rs_1", "summary": []}, {"content": "x"}, ["item_reference"], "item_reference"]},
    ),
    ("gemini", {"contents": [{"parts": [{"text": "files/x gs://b fileUri"}]}]}),
    ("gemini", {"contents": [{"parts": [{"functionCall": {"name": "f", "args": {"fileData": {"fileUri": "files/x"}}}}]}]}),
    ("gemini", {"cachedContent": None}),
]


@pytest.mark.parametrize("kind", [rb"item\u005freference", rb"\u0069tem_reference"])
def test_reference_that_is_spelled_with_numbers_is_seen(kind: bytes) -> None:
    """Whoever reads it reads what it says."""
    body = body_of("responses", input=[{"type": "@", "id": "msg_1"}]).replace(b"@", kind)
    options = surface("responses").read(body, call("responses")).options
    assert options is not None
    assert options.state == "input[0]"


@pytest.mark.parametrize(("format", "members"), NOT_KEPT)
def test_what_is_no_reference_is_none(format: str, members: dict[str, Any]) -> None:
    """Words, null, and what a model called a tool with."""
    assert read(format, **members).options is None


UNPRICED: list[tuple[str, dict[str, Any], str]] = [
    *(
        ("messages", {"tools": [{"type": kind, "name": "x"}]}, "tools[0]")
        for kind in ("code_execution_20250522", "web_fetch_20250910", "mcp_toolset", "bash", "web_search", "", "custom_20250101")
    ),
    ("messages", {"tools": [{"name": "f"}, {"type": 5}]}, "tools[1]"),
    *(
        ("responses", {"tools": [{"type": kind}]}, "tools[0]")
        for kind in ("code_interpreter", "file_search", "image_generation", "mcp", "")
    ),
    ("responses", {"tools": [{"type": "function"}, {"type": {"a": 1}}]}, "tools[1]"),
    ("responses", {"reasoning": {"mode": "pro"}}, "reasoning.mode"),
    *(
        ("gemini", {"tools": [{"functionDeclarations": []}, {kind: {}}]}, f"tools[1].{kind}")
        for kind in ("codeExecution", "urlContext", "googleSearchRetrieval", "googleMaps")
    ),
]


@pytest.mark.parametrize(("format", "members", "path"), UNPRICED)
def test_tool_that_runs_at_the_provider_is_refused(format: str, members: dict[str, Any], path: str) -> None:
    """Nothing passes unpriced, and no entry of a table could price these."""
    with pytest.raises(Invalid, match="has no price here") as refused:
        read(format, **members)
    assert (refused.value.param, refused.value.code) == (path, "unpriced_option")


FREE: list[tuple[str, dict[str, Any]]] = [
    *(
        ("messages", {"tools": [{"type": kind, "name": "x"}]})
        for kind in (
            "custom",
            "bash_20250124",
            "text_editor_20250728",
            "computer_20251124",
            "memory_20250818",
            "tool_search_tool_regex_20251119",
        )
    ),
    ("messages", {"tools": [{"name": "f", "input_schema": {}}, {"type": None, "name": "g"}]}),
    ("messages", {"tools": []}),
    ("messages", {"tools": None}),
    *(
        ("responses", {"tools": [{"type": kind}]})
        for kind in ("function", "custom", "local_shell", "shell", "apply_patch", "computer", "tool_search", "namespace")
    ),
    ("responses", {"tools": [{"type": "web_search", "external_web_access": False}]}),
    ("responses", {"reasoning": {"effort": "high"}}),
    ("responses", {"reasoning": {"mode": "standard"}}),
    ("responses", {"reasoning": "high"}),
    ("gemini", {"tools": [{"functionDeclarations": [{"name": "f"}]}]}),
    ("gemini", {"tools": [5, None]}),
    ("gemini", {"tools": {}}),
    ("gemini", {"tools": None}),
    ("gemini", {"serviceTier": "standard"}),
]


@pytest.mark.parametrize(("format", "members"), FREE)
def test_tool_that_runs_at_the_caller_costs_nothing(format: str, members: dict[str, Any]) -> None:
    assert read(format, **members).options is None


SEARCHES: list[tuple[str, dict[str, Any], int | None, tuple[int, ...]]] = [
    ("messages", {"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, None, (0,)),
    ("messages", {"tools": [{"name": "f"}, {"type": "web_search_20250305", "max_uses": 3}]}, 3, (1,)),
    (
        "messages",
        {"tools": [{"type": "web_search_20250305", "max_uses": 3}, {"type": "web_search_20260209", "max_uses": 2}]},
        5,
        (0, 1),
    ),
    ("messages", {"tools": [{"type": "web_search_20250305", "max_uses": 3}, {"type": "web_search_20260209"}]}, None, (0, 1)),
    ("messages", {"tools": [{"type": "web_search_20250305"}, {"type": "web_search_20260209", "max_uses": 3}]}, None, (0, 1)),
    ("messages", {"tools": [{"type": "web_search_20250305", "max_uses": 0}]}, None, (0,)),
    ("messages", {"tools": [{"type": "web_search_20250305", "max_uses": True}]}, None, (0,)),
    ("messages", {"tools": [{"type": "web_search_20250305"}], "tool_choice": {"type": "auto"}}, None, (0,)),
    ("messages", {"tools": [{"type": "web_search_20250305"}], "tool_choice": {"type": "none"}}, None, (0,)),
    ("messages", {"tools": [{"type": "web_search_20250305"}], "tool_choice": {"type": "any"}}, None, ()),
    ("messages", {"tools": [{"type": "web_search_20250305"}], "tool_choice": {"type": "tool", "name": "web_search"}}, None, ()),
    ("responses", {"tools": [{"type": "web_search"}]}, None, (0,)),
    ("responses", {"tools": [{"type": "function"}, {"type": "web_search_preview_2025_03_11"}]}, None, (1,)),
    ("responses", {"tools": [{"type": "web_search"}], "max_tool_calls": 4}, 4, (0,)),
    ("responses", {"tools": [{"type": "web_search"}], "tool_choice": "auto"}, None, (0,)),
    ("responses", {"tools": [{"type": "web_search"}], "tool_choice": "required"}, None, ()),
    ("responses", {"tools": [{"type": "web_search"}], "tool_choice": {"type": "web_search"}}, None, ()),
    ("gemini", {"tools": [{"googleSearch": {}}]}, None, ()),
]


@pytest.mark.parametrize(("format", "members", "most", "offered"), SEARCHES)
def test_search_of_the_web_is_counted_as_often_as_it_may_happen(
    format: str, members: dict[str, Any], most: int | None, offered: tuple[int, ...]
) -> None:
    """How often, where every tool that searches says so; and which of them the model may do without."""
    envelope = read(format, **members)
    assert envelope.options is not None
    assert (envelope.options.search or "").startswith("tools[")
    assert (envelope.options.searches_max, envelope.search_tools) == (most, offered)


@pytest.mark.parametrize(
    ("format", "members", "fields"),
    [
        (
            "messages",
            {"system": "be", "tools": [{"name": "f"}]},
            {"prompt_bytes": len('[{"role": "user", "content": "hi"}]"be"[{"name": "f"}]')},
        ),
        ("messages", {"stream": True, "max_tokens": 7}, {"stream": True, "max_tokens": 7, "include_usage": True}),
        ("messages", {"service_tier": "priority"}, {"tier": "priority"}),
        ("messages", {"service_tier": "standard_only"}, {"tier": "", "options": None}),
        ("messages", {"cache_control": {"type": "ephemeral", "ttl": "1h"}}, {"cache_life": "1h"}),
        ("messages", {"system": [{"type": "text", "text": "x", "cache_control": {"ttl": "1h"}}]}, {"cache_life": "1h"}),
        (
            "messages",
            {"messages": [{"role": "user", "content": [{"type": "image", "source": {"type": "url", "url": "https://x"}}]}]},
            {"remote_images": 1},
        ),
        (
            "messages",
            {"messages": [{"role": "user", "content": [{"type": "image", "source": {"type": "base64", "data": "AAAA"}}]}]},
            {"inline_media": (4,)},
        ),
        (
            "responses",
            {"input": [{"role": "user", "content": [{"type": "input_image", "image_url": "https://x"}]}]},
            {"remote_images": 1},
        ),
        (
            "responses",
            {"input": [{"role": "user", "content": [{"type": "input_file", "file_url": "https://x"}]}]},
            {"remote_others": 1},
        ),
        ("responses", {"max_output_tokens": 5, "stream": True}, {"max_tokens": 5, "stream": True}),
        ("responses", {"service_tier": "flex"}, {"tier": "flex"}),
        ("responses", {"prompt_cache_options": {"ttl": "12h"}}, {"cache_life": "12h"}),
        (
            "responses",
            {"instructions": "be", "text": {"format": {"type": "text"}}},
            {"prompt_bytes": len('"hi""be"{"format": {"type": "text"}}')},
        ),
        ("completions", {}, {"max_tokens": 16, "choices": 1}),
        ("completions", {"max_tokens": 3, "n": 2}, {"max_tokens": 3, "choices": 2}),
        ("completions", {"max_tokens": 0, "echo": True}, {"max_tokens": 0}),
        ("completions", {"n": 2, "best_of": 5}, {"choices": 5}),
        ("completions", {"prompt": ["a", "b", "c"], "n": 2}, {"choices": 6}),
        ("completions", {"prompt": [1, 2, 3]}, {"choices": 1}),
        ("completions", {"prompt": [[1, 2], [3]]}, {"choices": 2}),
        ("completions", {"stream": True, "stream_options": {"include_usage": True}}, {"include_usage": True}),
        ("completions", {"stream": True, "stream_options": {"include_usage": 1}}, {"include_usage": False}),
        ("completions", {"service_tier": "flex"}, {"tier": "flex"}),
        (
            "embeddings",
            {"input": [{"content": [{"type": "image_url", "image_url": {"url": "https://x"}}]}]},
            {"remote_images": 1},
        ),
        (
            "embeddings",
            {"input": [{"content": [{"type": "image_url", "image_url": {"url": "data:,AAAA"}}]}]},
            {"inline_media": (5,)},
        ),
        ("moderations", {"input": [{"type": "image_url", "image_url": {"url": "https://x"}}]}, {"remote_images": 1}),
        ("images", {"n": 3}, {"choices": 3, "pieces": Tokens(images=3)}),
        ("images", {"stream": True}, {"stream": True}),
        ("speech", {"input": "größe"}, {"pieces": Tokens(characters=5)}),
        ("speech", {"stream_format": "sse"}, {"stream": True}),
        ("speech", {"stream_format": "audio"}, {"stream": False}),
        ("speech", {"instructions": "slow"}, {"prompt_bytes": len('"hi""slow"')}),
        ("rerank", {"documents": ["a"] * 100}, {"pieces": Tokens(searches=1)}),
        ("rerank", {"documents": ["a"] * 101}, {"pieces": Tokens(searches=2)}),
        ("rerank", {"documents": ["a" * 498]}, {"pieces": Tokens(searches=1)}),
        ("rerank", {"documents": ["a" * 499] * 51}, {"pieces": Tokens(searches=2)}),
        ("rerank", {"documents": [{"text": "a"}, "b"]}, {"prompt_bytes": len('[{"text": "a"}, "b"]') + 2 * len('"q"')}),
        ("cohere", {"stream": True, "max_tokens": 4}, {"stream": True, "max_tokens": 4, "include_usage": True}),
        ("cohere", {"documents": ["abc"]}, {"prompt_bytes": len('[{"role": "user", "content": "hi"}]["abc"]')}),
        (
            "cohere",
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://x"}}]}]},
            {"remote_images": 1},
        ),
        ("cohere_embeddings", {"images": ["data:image/png;base64,AAAA"], "texts": None}, {"inline_media": (26,)}),
        (
            "cohere_embeddings",
            {"inputs": [{"content": [{"type": "image_url", "image_url": {"url": "data:,AA"}}, {"type": "text", "text": "a"}]}]},
            {"inline_media": (8,)},
        ),
        (
            "cohere_embeddings",
            {"inputs": [{"content": [{"type": "image_url", "image_url": "data:,AA"}]}]},
            {"inline_media": (8,)},
        ),
        ("count_tokens", {"max_tokens": 5}, {"max_tokens": None, "pieces": Tokens(), "is_free": True}),
        ("gemini", {"generationConfig": {"maxOutputTokens": 5, "candidateCount": 2}}, {"max_tokens": 5, "choices": 2}),
        ("gemini", {"serviceTier": "FLEX"}, {"tier": "flex"}),
        ("gemini", {"systemInstruction": {"parts": []}}, {"prompt_bytes": len(json.dumps(CONTENTS) + '{"parts": []}')}),
        (
            "gemini",
            {"contents": [{"parts": [{"inlineData": {"mimeType": "image/png", "data": "AAAA"}}]}]},
            {"inline_media": (4,)},
        ),
        (
            "gemini",
            {"contents": [{"parts": [{"fileData": {"fileUri": "https://x/y.pdf"}}]}]},
            {"remote_others": 1, "options": None},
        ),
        (
            "gemini_count_tokens",
            {"contents": [{"parts": [{"inlineData": {"data": "AAAA"}}]}]},
            {"inline_media": (4,), "is_free": True},
        ),
        ("gemini_embeddings", {"content": {"parts": [{"inlineData": {"data": "AAAA"}}]}}, {"inline_media": (4,)}),
    ],
)
def test_envelope_has_what_decides(format: str, members: dict[str, Any], fields: dict[str, Any]) -> None:
    """What is held, counted and priced of a request is told by its surface."""
    envelope = read(format, **members)
    assert {name: getattr(envelope, name) for name in fields} == fields


@pytest.mark.parametrize("format", [format for format in BODIES if format not in ("count_tokens", "gemini_count_tokens")])
def test_only_a_count_is_free(format: str) -> None:
    assert not read(format).is_free


SENTENCE = 'if (a > b) { return [1, "x"]; } \\ {"content": {}} 😀'


@pytest.mark.parametrize("format", ["embeddings", "moderations", "responses", "completions", "speech"])
def test_text_that_looks_like_json_is_a_text(format: str) -> None:
    """Braces, quotes and brackets in it are nobody's members."""
    name = "prompt" if format == "completions" else "input"
    envelope = read(format, **{name: SENTENCE})
    assert (envelope.remote_images, envelope.options) == (0, None)
    if format in ("embeddings", "moderations", "completions"):
        assert read(format, **{name: [SENTENCE, "b"]}).options is None


ODD_INPUT: list[tuple[str, dict[str, Any], str]] = [
    *(
        ("embeddings", {"input": value}, "input")
        for value in anything(
            5, {}, "", [], [None], [1.5], [-1], [2**31 + 1], [[1], ["a"]], [[[1]]], True, ["a"] * (INPUTS_MAX + 1)
        )
    ),
    *(("moderations", {"input": value}, "input") for value in anything(5, {}, True)),
    *(("responses", {"input": value}, "input") for value in anything(5, {}, True)),
    *(("completions", {"prompt": value}, "prompt") for value in anything(5, {}, True, [], ["a"] * (PROMPTS_MAX + 1))),
    *(("rerank", {"documents": value}, "documents") for value in anything(5, {}, "a", [], ["a"] * (DOCUMENTS_MAX + 1))),
    *(
        (format, {"messages": value}, "messages")
        for format in ("chat", "messages", "cohere")
        for value in anything(5, {}, "a", [])
    ),
    *(
        (format, {"tools": value}, "tools")
        for format in ("chat", "messages", "responses")
        for value in anything(5, "a", [5], [[]])
    ),
    *(
        ("cohere_embeddings", {name: value}, name)
        for name in ("texts", "images", "inputs")
        for value in anything(5, {}, "a", [], ["data:,"] * (COHERE_INPUTS_MAX + 1))
    ),
    ("cohere_embeddings", {"images": ["https://x"]}, "images[0]"),
    ("cohere_embeddings", {"inputs": [{}, {"content": [{"image_url": {"url": "https://x"}}]}]}, "inputs[1]"),
    *(("speech", {"input": value}, "input") for value in anything("", None)),
    ("count_tokens", {"stream": False}, "stream"),
    *(
        ("gemini", {"generationConfig": {name: value}}, f"generationConfig.{name}")
        for name in ("maxOutputTokens", "candidateCount")
        for value in anything(0, -1, 1.5, "9", True, [1], 2**53 + 1, 10**400)
    ),
    ("gemini", {"generationConfig": {"candidateCount": 129}}, "generationConfig.candidateCount"),
    *(("gemini", {"generationConfig": value}, "generationConfig") for value in anything(5, "a", [])),
    *(("gemini", {name: {}}, name) for name in ("generation_config", "system_instruction", "tool_config", "service_tier")),
    ("gemini", {"generationConfig": {"max_output_tokens": 5}}, "generationConfig"),
    ("gemini", {"contents": [{"parts": [{"inline_data": {}}]}]}, "contents[0].parts[0]"),
    ("gemini", {"tools": [{"google_search": {}}]}, "tools[0]"),
    ("gemini_embeddings", {"content": {"parts": [{"fileData": {"fileUri": "https://x"}}]}}, "content"),
    ("gemini_embeddings", {"content": {"parts": [{"fileData": {"fileUri": "files/x"}}]}}, "content.parts[0].fileData.fileUri"),
    ("gemini_batch_embeddings", {"requests": []}, "requests"),
    ("gemini_batch_embeddings", {"requests": [{"content": {}}] * (REQUESTS_MAX + 1)}, "requests"),
    ("gemini_batch_embeddings", {"requests": [{"content": {}}, {"model": f"models/{MODEL}"}]}, "requests[1].content"),
    *(
        ("gemini_batch_embeddings", {"requests": [{"content": {}, "model": model}]}, "requests[0].model")
        for model in ("models/o", 5, "")
    ),
    *(
        (
            "gemini_count_tokens",
            {"generateContentRequest": {"contents": CONTENTS, "model": model}},
            "generateContentRequest.model",
        )
        for model in ("models/other", 5, "")
    ),
    ("gemini_count_tokens", {"generateContentRequest": {"model": f"models/{MODEL}"}}, "contents"),
    ("gemini_count_tokens", {"cachedContent": "cachedContents/x"}, "cachedContent"),
    (
        "gemini_count_tokens",
        {"contents": [{"parts": [{"fileData": {"fileUri": "files/x"}}]}]},
        "contents[0].parts[0].fileData.fileUri",
    ),
]


@pytest.mark.parametrize(("format", "members", "param"), ODD_INPUT)
def test_input_of_another_shape_is_refused_by_its_path(format: str, members: dict[str, Any], param: str) -> None:
    with pytest.raises(Invalid) as refused:
        read(format, **members)
    assert refused.value.param == param


@pytest.mark.parametrize(
    "inputs", [[{"content": 5}], [{"content": {"a": 1}}], [{"content": "a"}], [5, None, "a", []], [{"content": [5, None]}], [{}]]
)
def test_inputs_of_cohere_without_pictures_pass(inputs: list[Any]) -> None:
    """What is no list of parts has no picture in it, and is the provider's to read."""
    assert read("cohere_embeddings", inputs=inputs).inline_media == ()


def test_count_within_a_count_is_read() -> None:
    """Google's request in a request: its prompt is what counts."""
    inner = {"model": f"models/{MODEL}", "contents": CONTENTS, "tools": [{"functionDeclarations": []}]}
    body = json.dumps({"generateContentRequest": inner}).encode()
    envelope = surface("gemini_count_tokens").read(body, call("gemini_count_tokens"))
    assert envelope.prompt_bytes == len(json.dumps(CONTENTS)) + len('[{"functionDeclarations": []}]')


@pytest.mark.parametrize("query", [b"", b"alt=json", b"alt=sse&alt=json", b"ALT=sse", b"alt=%73%73e%00"])
def test_stream_of_gemini_that_is_no_stream_of_events(query: bytes) -> None:
    """A growing JSON array is not made, and that is said."""
    with pytest.raises(Invalid, match="alt=sse") as refused:
        surface("gemini").read(body_of("gemini"), call("gemini", action=1, query=query))
    assert refused.value.param == "alt"


@pytest.mark.parametrize("query", [b"alt=sse", b"key=x&alt=sse", b"alt=%73se"])
def test_stream_of_gemini_is_one_by_its_path(query: bytes) -> None:
    assert surface("gemini").read(body_of("gemini"), call("gemini", action=1, query=query)).stream
    assert not surface("gemini").read(body_of("gemini"), call("gemini", query=query)).stream


def test_partial_pictures_are_held_for() -> None:
    """Each of them costs tokens beside those of the picture."""
    options = read("images", partial_images=3).options
    assert options is not None
    assert options.extra_completion == 3 * PARTIAL_TOKENS


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, {"choices": 1, "stream": False, "pieces": Tokens(images=1), "inline_media": (4,), "prompt_bytes": 4}),
        ({"prompt": "a hat", "n": "2", "mask": b"12345"}, {"choices": 2, "inline_media": (4, 5), "prompt_bytes": 14}),
        ({"stream": "true"}, {"stream": True}),
        ({"stream": "False"}, {"stream": False}),
    ],
)
def test_edit_of_pictures_is_read_from_its_form(fields: dict[str, Any], expected: dict[str, Any]) -> None:
    envelope = read_form("image_edits", model=MODEL, image=b"\x89PNG", **fields)
    assert {name: getattr(envelope, name) for name in expected} == expected
    assert (envelope.model, envelope.content_type) == (MODEL, 'multipart/form-data; boundary="b"')


@pytest.mark.parametrize(
    ("format", "fields", "param"),
    [
        ("image_edits", {"model": MODEL}, "image"),
        ("image_edits", {"model": MODEL, "image": "no file"}, "image"),
        ("image_edits", {"model": MODEL, "image": [b"x"] * (IMAGES_MAX + 1)}, "image"),
        ("image_edits", {"image": b"x"}, "model"),
        ("image_edits", {"model": "", "image": b"x"}, "model"),
        ("image_edits", {"model": [MODEL, "p/n"], "image": b"x"}, "model"),
        *(
            ("image_edits", {"model": MODEL, "image": b"x", "n": value}, "n")
            for value in anything("0", "11", "1.5", "x", "", "01", "٣")
        ),
        *(("image_edits", {"model": MODEL, "image": b"x", "stream": value}, "stream") for value in anything("yes", "2", "TRUE")),
        ("transcriptions", {"model": MODEL}, "file"),
        ("transcriptions", {"model": MODEL, "file": "no file"}, "file"),
        ("transcriptions", {"model": MODEL, "file": b""}, "file"),
        ("transcriptions", {"model": MODEL, "file": [b"x", b"y"]}, "file"),
        ("transcriptions", {"file": b"x"}, "model"),
        ("translations", {"model": MODEL, "file": b"x", "response_format": "mp3"}, "response_format"),
        ("translations", {"model": MODEL, "file": b"x", "response_format": ""}, "response_format"),
    ],
)
def test_form_that_is_wrong_names_its_field(format: str, fields: dict[str, Any], param: str) -> None:
    with pytest.raises(Invalid) as refused:
        read_form(format, **fields)
    assert refused.value.param == param


def test_pictures_of_a_list_are_pictures() -> None:
    """OpenAI's SDK sends several as `image[]`."""
    assert read_form("image_edits", model=MODEL, image_list=[b"1", b"22"]).inline_media == (1, 2)


WAV = b"RIFF" + bytes(4) + b"WAVEfmt " + bytes(12) + (16_000).to_bytes(4, "little") + bytes(3 * 16_000 - 32)


def test_sound_in_a_form_is_held_by_its_seconds() -> None:
    """By its own head; a sound that tells nothing, by its bytes, at the most and most likely."""
    envelope = read_form("transcriptions", model=MODEL, file=WAV, prompt="names", response_format="srt", stream="true")
    assert (envelope.pieces, envelope.pieces_likely) == (Tokens(seconds=3), Tokens(seconds=3))
    assert (envelope.prompt_bytes, envelope.inline_media, envelope.stream) == (len(WAV) + 5, (len(WAV),), True)
    unknown = read_form("translations", model=MODEL, file=bytes(8_000))
    assert (unknown.pieces, unknown.pieces_likely) == (Tokens(seconds=11), Tokens(seconds=2))


def test_sound_in_json_is_read_as_a_form() -> None:
    """OpenRouter's; its own words stay beside the form."""
    sound = {"data": "UklGRg==", "format": "wav"}
    body = json.dumps({"model": MODEL, "input_audio": sound, "provider": {"order": ["p"]}, "session_id": "s"}).encode()
    envelope = surface("transcriptions").read(body, call("transcriptions", (b"content-type", b"application/json")))
    assert (envelope.model, envelope.inline_media, set(envelope.members)) == (MODEL, (4,), {"provider", "session_id"})
    assert envelope.preferences is not None
    assert envelope.preferences.order == ("p",)


def test_form_that_is_none_is_refused() -> None:
    body, _ = form(model=MODEL)
    for format in ("image_edits", "transcriptions"):
        for kind in (b"", b"text/plain", b"multipart/form-data"):
            with pytest.raises(Invalid, match="multipart/form-data") as refused:
                surface(format).read(body, call(format, (b"content-type", kind)))
            assert refused.value.code == "invalid_form"


def test_last_of_two_headers_counts() -> None:
    """As HTTP servers of callers' frameworks read them."""
    assert CallerRequest("/", [(b"a", b"1"), (b"a", b"2")]).header(b"a") == b"2"
    assert CallerRequest("/", []).header(b"a") == b""


@pytest.mark.parametrize(("format", "name"), [("completions", "prompt"), ("embeddings", "input"), ("responses", "reasoning")])
@pytest.mark.parametrize("number", [b"1e999", b"9" * 5_000])
def test_number_that_no_machine_has_is_refused_by_its_member(format: str, name: str, number: bytes) -> None:
    body = body_of(format, **{name: ["@"]}).replace(b'"@"', number)
    with pytest.raises(Invalid) as refused:
        surface(format).read(body, call(format))
    assert refused.value.param == name
