"""What a request asks for beside a plain answer: priced, mapped, reported or refused, for the target that would serve it."""

import contextlib
import json
from typing import Any

import msgspec
import pytest

from routing.plan.fit import AS_SENT, Fit, fit, fit_attempts, is_billable
from routing.plan.plan import Plan, Routes
from routing.plan.preferences import Preferences
from routing.plan.refusal import Refusal
from routing.request.body import rewrite
from routing.request.envelope import Envelope, Invalid, read
from routing.table.config import Found, find, parse
from routing.table.provider import Model, Provider

TABLE = parse("""
[providers.strict]
base_url = "http://127.0.0.1:1/v1"
api_key = "none"
[providers.strict.models.m]
input = "1"
output = "2"
max_output_tokens = 1000
[providers.strict.models.priced]
input = "1"
output = "2"
cache_write = "1.25"
cache_write_1h = "2"
audio_output = "64"
search = "0.01"
tiers = { flex = { input = "0.5", output = "1" }, priority = { input = "2", output = "4" }, fast = { input = "2", output = "4" } }
[providers.wide]
base_url = "http://127.0.0.1:2/v1"
api_key = "none"
allow_state = true
parameters = ["top_k", "min_p", "reasoning", "-logit_bias", "-response_format", "-seed", "-service_tier"]
[providers.wide.models.m]
input = "1"
output = "2"
[providers.wide.models.odd]
input = "1"
output = "2"
parameters = ["-top_k", "seed"]
[providers.wide.models.named]
input = "1"
output = "2"
parameters = ["random_seed"]
[aliases]
both = ["wide/m", "strict/m"]
""")
MESSAGES = [{"role": "user", "content": "hi"}]


def found(name: str) -> tuple[Provider, Model]:
    each = find(TABLE, name)
    assert isinstance(each, Found)
    return each.provider, each.model


def envelope(**members: Any) -> Envelope:
    return read(json.dumps({"model": "m", "messages": MESSAGES, **members}).encode())


def fitted(name: str, **members: Any) -> Fit | Refusal:
    return fit(envelope(**members), *found(name))


def sent(name: str, **members: Any) -> dict[str, Any]:
    """The members that the target gets beside model and messages."""
    request = envelope(**members)
    changes = fit(request, *found(name))
    assert isinstance(changes, Fit), changes
    parts = rewrite(request, "m", cap=None, cap_field="as_sent", has_stream_options=True, fit=changes)
    body: dict[str, Any] = json.loads(b"".join(parts))
    return {key: value for key, value in body.items() if key not in ("model", "messages")}


TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}

UNPRICED: list[tuple[dict[str, Any], str]] = [
    ({"service_tier": "flex"}, "service_tier"),
    ({"service_tier": "priority"}, "service_tier"),
    ({"service_tier": "batch"}, "service_tier"),
    ({"service_tier": "scale"}, "service_tier"),
    ({"service_tier": "ultrafast"}, "service_tier"),
    ({"service_tier": "Priority"}, "service_tier"),
    ({"speed": "fast"}, "speed"),
    ({"inference_geo": "us"}, "inference_geo"),
    ({"web_search_options": {}}, "web_search_options"),
    ({"web_search_options": {"search_context_size": "high"}}, "web_search_options"),
    ({"search_parameters": {"mode": "on"}}, "search_parameters"),
    ({"enable_search": True}, "enable_search"),
    ({"tools": [{"type": "web_search"}]}, "tools[0]"),
    ({"tools": [TOOL, {"type": "web_search_preview"}]}, "tools[1]"),
    ({"tools": [{"type": "browser_search"}]}, "tools[0]"),
    ({"modalities": ["text", "audio"]}, "modalities"),
    ({"audio": {"voice": "alloy", "format": "wav"}}, "audio"),
    ({"modalities": ["image", "text"]}, "modalities"),
    ({"cache_control": {"type": "ephemeral", "ttl": "1h"}}, "cache_control"),
    ({"prompt_cache_options": {"ttl": "12h"}}, "cache_control"),
    (
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "x", "cache_control": {"ttl": "1h"}}]}]},
        "cache_control",
    ),
    ({"tools": [{**TOOL, "cache_control": {"type": "ephemeral", "ttl": "1h"}}]}, "cache_control"),
]


@pytest.mark.parametrize(("members", "param"), UNPRICED)
def test_fit_of_what_has_no_price(members: dict[str, Any], param: str) -> None:
    """Nothing that changes the bill passes unpriced, and the refusal names it and says how it would be allowed."""
    refused = fitted("strict/m", **members)
    assert isinstance(refused, Refusal)
    assert (refused.status, refused.code, refused.param) == (400, "unpriced_option", param)
    assert '[providers.strict.models."m"]' in refused.message


@pytest.mark.parametrize(
    ("members", "param"),
    [
        ({"plugins": [{"id": "web"}]}, "plugins[0]"),
        ({"plugins": [{"id": "response-healing"}, {"id": "file-parser"}]}, "plugins[1]"),
        ({"plugins": ["web"]}, "plugins[0]"),
        ({"tools": [{"type": "code_interpreter", "container": {"type": "auto"}}]}, "tools[0]"),
        ({"tools": [{"type": "file_search", "vector_store_ids": ["vs_1"]}]}, "tools[0]"),
        ({"tools": [{"type": "mcp", "server_url": "https://x"}]}, "tools[0]"),
        ({"tools": [{"google_search": {}}]}, "tools[0]"),
        ({"tools": [{"type": 7}]}, "tools[0]"),
        ({"service_tier": "flex", "speed": "fast"}, None),
    ],
)
def test_options_that_no_entry_can_price(members: dict[str, Any], param: str | None) -> None:
    """What runs at the provider for a fee that the table has no word for is refused for every target."""
    with pytest.raises(Invalid) as caught:
        envelope(**members)
    assert caught.value.code == "unpriced_option"
    assert param is None or caught.value.param == param


@pytest.mark.parametrize(
    "members",
    [
        {"service_tier": "flex"},
        {"service_tier": "priority"},
        {"speed": "fast"},
        {"web_search_options": {}},
        {"tools": [{"type": "web_search"}]},
        {"modalities": ["text", "audio"], "audio": {"voice": "alloy", "format": "wav"}},
    ],
)
def test_fit_of_what_has_a_price(members: dict[str, Any]) -> None:
    """What the entry prices is sent as it came, and reported nowhere; a member that the target does not know is not."""
    changes = fitted("strict/priced", **members)
    assert isinstance(changes, Fit)
    assert sent("strict/priced", **members) == members
    assert changes.ignored == ()


@pytest.mark.parametrize(
    "members",
    [
        {},
        {"service_tier": "auto"},
        {"service_tier": "default"},
        {"service_tier": None},
        {"store": False},
        {"search_parameters": {"mode": "off"}},
        {"tools": [TOOL]},
        {"tools": [{"type": "custom", "custom": {"name": "c"}}]},
        {"tools": []},
        {"modalities": ["text"]},
        {"prediction": {"type": "content", "content": "x"}},
        {"prompt_cache_options": {"ttl": "30m"}},
        {"metadata": {"a": "b"}, "user": "u", "seed": 1},
        {"chat_template_kwargs": {"enable_thinking": False}},
        {"unheard_of": 1},
        {"guided_json": {"type": "object", "properties": {"URL": {}, "Role": {}, "Content": {"Type": "x"}}}},
        {"documents": [{"Data": {"text": "x" * 70_000}}]},
    ],
)
def test_fit_of_what_costs_nothing_more(members: dict[str, Any]) -> None:
    """The plain tier, functions, and members that nobody here knows pass as they came."""
    assert fitted("strict/m", **members) is AS_SENT
    assert sent("strict/m", **members) == members


STATE: list[tuple[dict[str, Any], str]] = [
    ({"store": True}, "store"),
    ({"previous_response_id": "resp_1"}, "previous_response_id"),
    ({"conversation": "conv_1"}, "conversation"),
    ({"prompt": {"id": "pmpt_1"}}, "prompt"),
    ({"container": "cntr_1"}, "container"),
    ({"background": True}, "background"),
    ({"vector_store_ids": ["vs_1"]}, "vector_store_ids"),
    ({"extra_body": {"google": {"cached_content": "cachedContents/1"}}}, "extra_body.google.cached_content"),
    (
        {"messages": [{"role": "user", "content": [{"type": "file", "file": {"file_id": "file-1"}}]}]},
        "messages[0].content[0].file.file_id",
    ),
    ({"messages": [*MESSAGES, {"role": "assistant", "audio": {"id": "audio_1"}}]}, "messages[1].audio.id"),
    ({"messages": [{"role": "user", "content": "x", "attachments": [{"file_id": "f"}]}]}, "messages[0].attachments[0].file_id"),
    (
        {"messages": [{"role": "user", "content": [{"type": "image", "source": {"type": "file", "file_id": "f"}}]}]},
        "messages[0].content[0].source.file_id",
    ),
]


@pytest.mark.parametrize(("members", "param"), STATE)
def test_fit_of_what_is_kept_at_the_provider(members: dict[str, Any], param: str) -> None:
    """All callers share one account there: one would read what another left. Unless the operator says that it is one tenant's."""
    refused = fitted("strict/m", **members)
    assert isinstance(refused, Refusal)
    assert (refused.status, refused.code, refused.param) == (400, "stored_state", param)
    assert "allow_state = true in [providers.strict]" in refused.message
    assert isinstance(fitted("wide/m", **members), Fit)


@pytest.mark.parametrize(
    ("members", "expected", "ignored"),
    [
        ({"usage": {"include": True}}, {}, ()),
        ({"top_k": 40, "temperature": 0.5}, {"temperature": 0.5}, ("top_k",)),
        ({"top_k": 0, "min_p": 0, "repetition_penalty": 1}, {}, ()),
        ({"top_k": None, "transforms": [], "plugins": []}, {}, ()),
        (
            {"transforms": ["middle-out"], "session_id": "s", "trace": {"trace_id": "t"}},
            {},
            ("session_id", "trace", "transforms"),
        ),
        ({"plugins": [{"id": "response-healing"}, {"id": "web", "enabled": False}]}, {}, ("plugins[0]",)),
        ({"reasoning": {"effort": "high"}}, {"reasoning_effort": "high"}, ()),
        ({"reasoning": {"effort": "high"}, "reasoning_effort": "low"}, {"reasoning_effort": "low"}, ()),
        ({"reasoning": {"max_tokens": 100}}, {"reasoning_effort": "low"}, ()),
        ({"reasoning": {"max_tokens": 400}, "max_tokens": 900}, {"max_tokens": 900, "reasoning_effort": "medium"}, ()),
        ({"reasoning": {"max_tokens": 900}}, {"reasoning_effort": "high"}, ()),
        ({"reasoning": {"enabled": False}}, {"reasoning_effort": "none"}, ()),
        ({"reasoning": {"enabled": True}}, {"reasoning_effort": "medium"}, ()),
        ({"reasoning": {"exclude": True}}, {}, ("reasoning",)),
        ({"reasoning": {}}, {}, ()),
        ({"include_reasoning": True}, {}, ()),
        ({"include_reasoning": False}, {}, ("include_reasoning",)),
        (
            {"tools": [{**TOOL, "cache_control": {"type": "ephemeral"}}]},
            {"tools": [TOOL]},
            ("tools[].cache_control",),
        ),
        ({"keep_alive": "5m", "options": {"num_ctx": 4096}}, {}, ("keep_alive", "options")),
        ({"format": "json"}, {"response_format": {"type": "json_object"}}, ()),
        (
            {"format": {"type": "object"}},
            {"response_format": {"type": "json_schema", "json_schema": {"name": "format", "schema": {"type": "object"}}}},
            (),
        ),
        ({"think": False}, {"reasoning_effort": "none"}, ()),
        ({"think": "low"}, {"reasoning_effort": "low"}, ()),
        ({"think": 7}, {}, ("think",)),
        ({"reasoning": [1]}, {}, ("reasoning",)),
        ({"reasoning": {"effort": "extreme"}}, {}, ("reasoning",)),
        ({"provider": {"order": None, "max_price": {"prompt": None}, "zdr": False}}, {}, ()),
        ({"plugins": None, "models": None, "provider": None, "route": None}, {}, ()),
        ({"provider": {"sort": "latency", "preferred_max_latency": 2}}, {}, ("provider.preferred_max_latency",)),
    ],
)
def test_fit_of_another_routers_members(members: dict[str, Any], expected: dict[str, Any], ignored: tuple[str, ...]) -> None:
    """They never reach a provider that does not know them: obeyed, mapped to a counterpart, or reported."""
    assert sent("strict/m", **members) == expected
    changes = fitted("strict/m", **members)
    assert isinstance(changes, Fit)
    assert changes.ignored == ignored


def test_fit_takes_cache_marks_out_of_the_messages() -> None:
    """A mark is an offer. OpenAI refuses a part that has one, so it goes only where it is taken, and is reported elsewhere."""
    marked = [{"role": "user", "content": [{"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}}]}]
    request = envelope(messages=marked)
    changes = fit(request, *found("strict/m"))
    assert isinstance(changes, Fit)
    assert changes.ignored == ("messages[].cache_control",)
    parts = rewrite(request, "m", cap=None, cap_field="as_sent", has_stream_options=True, fit=changes)
    assert json.loads(b"".join(parts))["messages"] == [{"role": "user", "content": [{"type": "text", "text": "x"}]}]


def test_fit_goes_by_the_entrys_parameters() -> None:
    """A provider gets what its entry says that it takes, a model what its own entry changes of that."""
    members = {"top_k": 40, "min_p": 0.1, "reasoning": {"effort": "high"}}
    assert sent("wide/m", **members) == members
    assert sent("wide/m", **members, seed=7) == members
    assert sent("wide/odd", **members, seed=7) == {"min_p": 0.1, "reasoning": {"effort": "high"}, "seed": 7}
    assert sent("wide/named", seed=7) == {"random_seed": 7}
    assert sent("wide/m", logit_bias={}, service_tier="auto", response_format={"type": "text"}) == {}


@pytest.mark.parametrize(
    ("name", "members", "param"),
    [
        ("wide/m", {"response_format": {"type": "json_object"}}, "response_format"),
        ("wide/m", {"logit_bias": {"1": 2}}, "logit_bias"),
        ("strict/m", {"image_config": {"aspect_ratio": "1:1"}}, "image_config"),
        ("wide/m", {"format": "json"}, "format"),
        ("strict/m", {"top_k": 5, "provider": {"require_parameters": True}}, "top_k"),
    ],
)
def test_fit_of_a_demand_that_is_not_taken(name: str, members: dict[str, Any], param: str) -> None:
    """Without it the answer would be another one, so it is refused with its name and the provider's."""
    refused = fitted(name, **members)
    assert isinstance(refused, Refusal)
    assert (refused.status, refused.code, refused.param) == (400, "unsupported_parameter", param)


def test_fit_of_several_targets_leaves_those_that_can() -> None:
    """A demand that one target cannot meet goes to the next; only if none can it is refused."""
    plan = Routes(TABLE, frozenset()).plan("both", (), {}, 0.0, 0.0)
    assert isinstance(plan, Plan)
    assert fit_attempts(envelope(), plan.attempts)[0] is plan.attempts  # type: ignore[index]
    left = fit_attempts(envelope(logit_bias={"1": 2}), plan.attempts)
    assert not isinstance(left, Refusal)
    assert {attempt.model.id for attempt in left[0]} == {"strict/m"}
    refused = fit_attempts(envelope(service_tier="flex"), plan.attempts)
    assert isinstance(refused, Refusal)


@pytest.mark.parametrize(
    "text",
    [
        b'{"model":"m","messages":[1],"service_tier":1e999}',
        b'{"model":"m","messages":[1],"reasoning":%b}' % (b"[" * 3_000 + b"]" * 3_000),
        b'{"model":"m","messages":[1],"extra_body":{"a":1,"a":2}}',
        b'{"model":"m","messages":[1],"thinking":{"budget_tokens":1,"budget_tokens":100000}}',
        b'{"model":"m","messages":[1],"modalities":7}',
        b'{"model":"m","messages":[1],"plugins":{}}',
        b'{"model":"m","messages":[1],"tools":[1]}',
        b'{"model":"m","messages":[1],"tools":[{"type":"web_search","type":"function","function":{}}]}',
        b'{"model":"m","messages":[1],"store":"yes"}',
        b'{"model":"m","messages":[1],"fallbacks":["x"]}',
        b'{"model":"m","messages":[1],"max_output_tokens":5}',
        b'{"model":"m","messages":[1],"n_predict":-1}',
        b'{"model":"m","messages":[1],"best_of":5}',
        b'{"model":"m","messages":[1],"route":"sort"}',
        b'{"model":"m","messages":[1],"models":"x"}',
        b'{"model":"m","messages":[1],"models":["a","b","c","d","e","f","g","h","i"]}',
        b'{"model":"m","messages":[1],"provider":{"oder":["x"]}}',
        b'{"model":"m","messages":[1],"provider":{"zdr":1}}',
        b'{"model":"m","messages":[1],"provider":{"data_collection":"denied"}}',
        b'{"model":"m","messages":[1],"provider":{"max_price":{"prompt":"x"}}}',
        b'{"model":"m","messages":[1],"provider":{"max_price":{"tokens":1}}}',
        b'{"model":"m","messages":[1],"provider":{"max_price":7}}',
        b'{"model":"m","messages":[1],"provider":{"allow_fallbacks":"no"}}',
        b'{"model":"m","messages":[1],"provider":{"sort":"beauty"}}',
        b'{"model":"m","messages":[1],"provider":["x"]}',
        b'{"model":"m","messages":[1],"provider":{"order":[1]}}',
        b'{"model":"m","messages":[1],"provider":1e999}',
        b'{"model":"m","messages":[1],"usage":[]}',
        b'{"model":"m","messages":[1],"thinking":["%b"]}' % (b"x" * 70_000),
        b'{"model":"m","messages":[1],"provider":{"max_price":{"prompt":NaN}}}',
    ],
)
def test_options_that_cannot_be_read(text: bytes) -> None:
    """Whatever is in them, it is a plain error that names the member; never an exception of a parser's."""
    with contextlib.suppress(Invalid):
        assert isinstance(fit(read(text), *found("strict/m")), Refusal)


@pytest.mark.parametrize(
    ("members", "name", "code"),
    [
        ({}, "m", ""),
        ({"temperature": 1}, "m", ""),
        ({"service_tier": "flex"}, "m", "unpriced_option"),
        ({"service_tier": "flex"}, "priced", ""),
        ({"web_search_options": {}}, "m", "unpriced_option"),
        ({"web_search_options": {}}, "priced", ""),
        ({"store": True}, "priced", "stored_state"),
        ({"modalities": ["text", "audio"], "audio": {"voice": "a", "format": "wav"}}, "priced", ""),
        ({"modalities": ["text", "audio"], "audio": {"voice": "a", "format": "wav"}}, "m", "unpriced_option"),
    ],
)
def test_request_of_another_format_is_billable_or_refused(members: dict[str, Any], name: str, code: str) -> None:
    """A translator changes what it says, so nothing is fitted here: but all of it must have a price."""
    provider = TABLE.providers["strict"]
    body = json.dumps({"model": "m", "messages": [{"role": "user", "content": "hi"}], **members}).encode()
    found = is_billable(read(body), provider, provider.models[name])
    assert (found.code if isinstance(found, Refusal) else "") == code
    assert code or found is AS_SENT


def test_request_that_may_search_is_billable_without() -> None:
    """A tool that a model may use, where it has no price: the answer without it is one; not where parameters are required."""
    provider = TABLE.providers["strict"]
    body = json.dumps({"model": "m", "messages": [{"role": "user", "content": "hi"}], "web_search_options": {}}).encode()
    envelope = msgspec.structs.replace(read(body), search_tools=("tools[0]",))
    assert is_billable(envelope, provider, provider.models["m"]) is AS_SENT
    strict = msgspec.structs.replace(envelope, preferences=Preferences(requires_parameters=True))
    refused = is_billable(strict, provider, provider.models["m"])
    assert isinstance(refused, Refusal)
    assert refused.code == "unpriced_option"


@pytest.mark.parametrize(
    ("members", "ignored"),
    [
        (b'"reasoning":{"max_tokens":1e999}', ("reasoning",)),
        (b'"reasoning":[]', ("reasoning",)),
        (b'"reasoning":{"effort":"utmost"}', ("reasoning",)),
        (b'"reasoning":{"exclude":true}', ("reasoning",)),
        (b'"think":{"a":1}', ("think",)),
        (b'"think":5', ("think",)),
        (b'"include_reasoning":"yes"', ("include_reasoning",)),
    ],
)
def test_offer_that_says_nothing_that_is_known_is_reported(members: bytes, ignored: tuple[str, ...]) -> None:
    """Left out, and named; never an error of ours."""
    provider = TABLE.providers["strict"]
    body = b'{"model":"m","messages":[{"role":"user","content":"hi"}],%b}' % members
    found = fit(read(body), provider, provider.models["m"])
    assert isinstance(found, Fit)
    assert found.ignored == ignored


def test_format_of_ollamas_that_is_none_is_refused() -> None:
    """A demand: without it the answer would be another one."""
    provider = TABLE.providers["strict"]
    values: list[Any] = ["xml", 5, []]
    for value in values:
        body = json.dumps({"model": "m", "messages": [{"role": "user", "content": "hi"}], "format": value}).encode()
        refused = fit(read(body), provider, provider.models["m"])
        assert isinstance(refused, Refusal)
        assert (refused.code, refused.param) == ("unsupported_parameter", "format")


def test_fit_is_found_once_for_each_model() -> None:
    """However many keys it may be asked with."""
    config = parse("""
[providers.pool]
base_url = "http://127.0.0.1:1/v1"
api_keys = ["env:A", "env:B"]
models.m = { input = "1", output = "2" }
""")
    planned = Routes(config, frozenset({"env:A", "env:B"})).plan("pool/m", (), {}, 0.0, 0.0)
    assert isinstance(planned, Plan)
    envelope = read(b'{"model":"pool/m","messages":[{"role":"user","content":"hi"}],"top_k":3}')
    found = fit_attempts(envelope, planned.attempts)
    assert not isinstance(found, Refusal)
    assert len(found[0]) == 2
    assert {name: each.ignored for name, each in found[1].items()} == {"pool/m": ("top_k",)}
