"""What a request asks for beside a plain answer: what is found of it, and what is refused of it for every target alike."""

import json
from typing import Any

import pytest

from routing.request.invalid import Invalid
from routing.request.names import CAPS, COUNTS, STATE
from routing.request.options import OPTION_BYTES_MAX, TOOLS_MAX, Options, read_options
from routing.wire.members import decode_members
from tests.routing.surfaces.calls import anything

FUNCTION = {"type": "function", "function": {"name": "f"}}


def found(**members: Any) -> Options:
    raw = decode_members(json.dumps(members).encode())
    return read_options(raw, raw.keys())


FOUND: list[tuple[dict[str, Any], Options]] = [
    *(
        ({name: None}, Options())
        for name in ("service_tier", "tools", "store", "plugins", "modalities", "max_new_tokens", "thread_id")
    ),
    *(({name: "x"}, Options()) for name in ("usage", "provider", "models", "route")),
    *(({name: 5}, Options()) for name in ("seed", "top_k", "anything", "x" * 65)),
    *(({"service_tier": tier}, Options()) for tier in ("", "auto", "default", "standard", "on_demand")),
    ({"service_tier": "flex"}, Options(tier="flex")),
    ({"speed": "fast"}, Options(tier="fast", tier_param="speed")),
    ({"inference_geo": "us"}, Options(tier="us", tier_param="inference_geo")),
    ({"inference_geo": "global"}, Options()),
    ({"store": True}, Options(state="store")),
    ({"store": False}, Options()),
    ({"background": False}, Options()),
    ({"background": True}, Options(state="background")),
    ({"background": 0}, Options(state="background")),
    ({"prompt": {"id": "p"}}, Options(state="prompt")),
    ({"prompt": "a text"}, Options()),
    ({"prompt": ["a"]}, Options()),
    *(({name: 1}, Options()) for name in sorted(COUNTS)),
    ({"web_search_options": {}}, Options(search="web_search_options")),
    ({"search_parameters": {"mode": "off"}}, Options()),
    ({"search_parameters": {"mode": "on", "max_search_results": 7}}, Options(search="search_parameters", searches_max=7)),
    *(({"search_parameters": {"max_search_results": n}}, Options(search="search_parameters")) for n in (0, -1, True, "7", 1.5)),
    ({"enable_search": False}, Options()),
    ({"enable_search": True}, Options(search="enable_search")),
    ({"enable_search": 0}, Options(search="enable_search")),
    ({"plugins": []}, Options()),
    ({"plugins": [{"id": "web", "enabled": False}]}, Options()),
    ({"plugins": [{"id": "web", "enabled": False}, {"id": "response-healing"}]}, Options(ignored=("plugins[1]",))),
    ({"plugins": [{"id": "context-compression"}] * 20}, Options(ignored=tuple(f"plugins[{at}]" for at in range(16)))),
    ({"tools": [FUNCTION]}, Options()),
    ({"tools": []}, Options()),
    ({"tools": [{"function": {"name": "f"}}]}, Options()),
    ({"tools": [{"type": "custom", "custom": {}}, {"type": "function", "name": "f", "strict": True}]}, Options()),
    *(
        ({"tools": [FUNCTION, {"type": kind}]}, Options(search="tools[1]"))
        for kind in ("web_search", "web_search_preview_2025_03_11", "browser_search", "google_search", "x_search")
    ),
    ({"tools": [FUNCTION | {"cache_control": {"type": "ephemeral"}}]}, Options(cache_lives=frozenset(("5m",)))),
    ({"tools": [FUNCTION | {"cache_control": {"ttl": "1h"}}]}, Options(cache_lives=frozenset(("1h",)))),
    ({"cache_control": {"ttl": "1h"}}, Options(cache_lives=frozenset(("1h",)))),
    ({"cache_control": "x"}, Options()),
    ({"prompt_cache_options": {"ttl": "12h"}}, Options(cache_lives=frozenset(("12h",)))),
    ({"prompt_cache_options": {"ttl": 10**30}}, Options(cache_lives=frozenset(("1000000000000000",)))),
    ({"prompt_cache_options": {}}, Options()),
    ({"prompt_cache_options": "12h"}, Options()),
    ({"prediction": {"content": "abc"}}, Options(extra_completion=len('{"content": "abc"}'))),
    ({"modalities": ["text"]}, Options()),
    ({"modalities": ["text", "audio", "image", "audio"]}, Options(audio_output="modalities", image_output="modalities")),
    ({"audio": {"voice": "x"}}, Options(audio_output="audio")),
    ({"audio": {"x": {"file_id": "f"}}}, Options(audio_output="audio", state="audio.x.file_id")),
    *(({"thinking": {name: 9}}, Options(extra_completion=9)) for name in ("budget_tokens", "max_tokens", "thinking_budget")),
    ({"thinking": {"budget_tokens": 9, "max_tokens": 5}}, Options(extra_completion=9)),
    ({"thinking_budget": 9, "max_reasoning_tokens": 4}, Options(extra_completion=13)),
    ({"thinking_budget": 10**30}, Options(extra_completion=2**40)),
    *(({"thinking_budget": value}, Options()) for value in anything(0, -1, True, "9", 1.5, {"effort": "high"}, [])),
    ({"extra_body": {"google": {"cached_content": "x"}}}, Options(state="extra_body.google.cached_content")),
    ({"extra_body": {"cache_control": {"ttl": "1h"}}}, Options(cache_lives=frozenset(("1h",)))),
    ({"anything": [{"a": {"file_id": "f"}}]}, Options(state="anything[0].a.file_id")),
]


@pytest.mark.parametrize(("members", "options"), FOUND, ids=str)
def test_options_of_a_request(members: dict[str, Any], options: Options) -> None:
    """What has a price or is kept is found with its path; what says nothing is nothing."""
    assert found(**members) == options


@pytest.mark.parametrize("name", sorted(STATE - {"prompt", "background"}))
def test_state_is_found_by_its_name(name: str) -> None:
    assert found(**{name: "x"}).state == name


REFUSED: list[tuple[dict[str, Any], str, str]] = [
    *(({name: 5}, name, "unsupported_parameter") for name in sorted(CAPS)),
    *(({name: value}, name, "unsupported_parameter") for name in sorted(COUNTS) for value in anything(2, "1", 0)),
    *(({name: ["a/b"]}, name, "unsupported_parameter") for name in ("fallbacks", "preset")),
    *(({"service_tier": value}, "service_tier", "invalid_value") for value in anything(5, [], {}, True)),
    ({"service_tier": "flex", "speed": "fast"}, "", "unpriced_option"),
    *(({"store": value}, "store", "invalid_value") for value in anything("x", 1, {})),
    *(({"plugins": value}, "plugins", "invalid_value") for value in anything("x", 5, {})),
    *(
        ({"plugins": [{"id": "response-healing"}, value]}, "plugins[1]", "unpriced_option")
        for value in anything({"id": "web"}, {"id": "file-parser", "enabled": True}, {}, "web", None, {"id": ["web"]})
    ),
    *(({"tools": value}, "tools", "invalid_value") for value in anything("x", 5, {}, [5], [[]])),
    ({"tools": [FUNCTION] * (TOOLS_MAX + 1)}, "tools", "invalid_value"),
    *(
        ({"tools": [FUNCTION, {"type": kind}]}, "tools[1]", "unpriced_option")
        for kind in ("code_interpreter", "", 5, ["function"], {"a": 1}, "Function", "file_search")
    ),
    ({"tools": [{}]}, "tools[0]", "unpriced_option"),
    ({"tools": [FUNCTION | {"Type": "web_search"}]}, "tools[0].Type", "ambiguous_member"),
    *(({"modalities": value}, "modalities", "invalid_value") for value in anything("audio", {}, ["video"], [5], [None])),
    ({"Max_Tokens": 5}, "Max_Tokens", "ambiguous_member"),
    ({"maxTokens": 5}, "maxTokens", "ambiguous_member"),
    ({"prompt_cache_options": {"a": "x" * OPTION_BYTES_MAX}}, "prompt_cache_options", "invalid_value"),
]


@pytest.mark.parametrize(("members", "param", "code"), REFUSED, ids=lambda each: str(each)[:60])
def test_option_that_no_table_could_price_is_refused(members: dict[str, Any], param: str, code: str) -> None:
    """By its path, and with what would be right."""
    with pytest.raises(Invalid) as refused:
        found(**members)
    assert refused.value.code == code
    assert refused.value.param == param or (not param and refused.value.param in members)


@pytest.mark.parametrize(
    ("body", "param", "code"),
    [
        (b'{"search_parameters":{"mode":"off","mode":"on"}}', "search_parameters", "ambiguous_member"),
        (b'{"thinking":{"a":1,"\\u0061":2}}', "thinking", "ambiguous_member"),
        (b'{"tools":[{"type":"function","type":"web_search"}]}', "tools", "ambiguous_member"),
        (b'{"service_tier":1e999}', "service_tier", "invalid_value"),
        (b'{"thinking":1e999}', "thinking", "invalid_value"),
        (b'{"tools":[{"type":1e999}]}', "tools[0]", "invalid_value"),
    ],
)
def test_option_that_can_be_read_in_two_ways_or_in_none_is_refused(body: bytes, param: str, code: str) -> None:
    raw = decode_members(body)
    with pytest.raises(Invalid) as refused:
        read_options(raw, raw.keys())
    assert (refused.value.param, refused.value.code) == (param, code)
