"""What goes to a provider of the caller's own format: the members as they came, the provider's name of the model, caps."""

import json
from typing import Any

import msgspec
import pytest

from routing.request.envelope import Envelope
from routing.surfaces import surface_of
from routing.table.endpoint import Endpoint
from tests.routing.surfaces.calls import (
    BODIES,
    BY_MEMBER,
    BY_PATH,
    CONTENTS,
    ENTRIES,
    MODEL,
    OWN,
    asked,
    body_of,
    call,
    form,
    read,
    read_form,
    sent,
    surface,
)

CAPPED = msgspec.structs.replace(OWN, max_output_tokens=100)
SEARCHING = msgspec.structs.replace(OWN, has_search_price=True)


def changed(format: str, members: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """What a provider gets that is not what the caller sent; None for what it does not get."""
    before = {**BODIES[format], **members}
    after = sent(format, read(format, **members), **changes)
    return {name: after.get(name) for name in [*before, *after] if before.get(name, ...) != after.get(name, ...)}


@pytest.mark.parametrize("format", BY_MEMBER)
def test_model_is_the_providers_own(format: str) -> None:
    """And nothing else of the smallest request changes, but for what makes it safe: no state, and a cap where none is usual."""
    safer: dict[str, dict[str, Any]] = {"responses": {"store": False}, "completions": {"max_tokens": 16}}
    more = safer.get(format, {})
    assert changed(format, {}) == {"model": "own-m", **more}


@pytest.mark.parametrize("format", BY_PATH)
def test_model_of_a_path_is_in_no_body(format: str) -> None:
    """A `model` beside it is passed over: the path decides. Requests within name the model again: as the provider knows it."""
    body = sent(format, read(format, model="models/another/m", stream=True))
    assert "model" not in body
    assert MODEL not in json.dumps(body)
    if format == "gemini_batch_embeddings":
        assert [each["model"] for each in body["requests"]] == ["models/own-m"]
        assert body["requests"][0]["content"] == BODIES["gemini_embeddings"]["content"]


def test_count_within_a_count_names_the_providers_model() -> None:
    inner = {"contents": CONTENTS, "model": f"models/{MODEL}"}
    body = json.dumps({"generateContentRequest": inner}).encode()
    envelope = surface("gemini_count_tokens").read(body, call("gemini_count_tokens"))
    assert sent("gemini_count_tokens", envelope) == {"generateContentRequest": inner | {"model": "models/own-m"}}


@pytest.mark.parametrize("format", [*BY_MEMBER, *BY_PATH])
def test_request_said_twice_is_the_same(format: str) -> None:
    """A retry says it again."""
    envelope = read(format)
    first = surface(format).request(envelope, asked(format))
    assert b"".join(first.body) == b"".join(surface(format).request(envelope, asked(format)).body)


VALUES = b'{"a":1.50e3,"b" : "\\u00fc \xc3\xbc","c":[ ],"d":12345678901234567890123456789}'
MEMBERS = {
    "messages": "metadata",
    "responses": "metadata",
    "completions": "logit_bias",
    "cohere": "citation_options",
    "gemini": "toolConfig",
}


@pytest.mark.parametrize(("format", "name"), MEMBERS.items())
def test_other_members_go_as_the_bytes_that_came(format: str, name: str) -> None:
    """Forms of numbers, escapes and white space are the caller's."""
    text = body_of(format, mark=0).replace(b'"mark": 0', b'"%b": %b' % (name.encode(), VALUES))
    envelope = surface(format).read(text, call(format))
    assert b'"%b":%b' % (name.encode(), VALUES) in b"".join(surface(format).request(envelope, asked(format)).body)


CAPS = dict.fromkeys(("messages", "cohere", "chat", "completions"), "max_tokens") | {"responses": "max_output_tokens"}


@pytest.mark.parametrize(("format", "name"), CAPS.items())
@pytest.mark.parametrize(
    ("own", "cap", "model", "expected"),
    [
        (None, None, OWN, None),
        (None, 50, OWN, 50),
        (None, 50, CAPPED, 50),
        (7, 50, OWN, 7),
        (7, None, CAPPED, 7),
        (100, None, CAPPED, 100),
        (101, None, CAPPED, 100),
        (500, 50, CAPPED, 100),
    ],
)
def test_cap_is_the_callers_own_within_the_models(
    format: str, name: str, own: int | None, cap: int | None, model: Any, expected: int | None
) -> None:
    """Ours is put in only where the caller has none; one beyond what the model gives is lowered to that."""
    if format in ("messages", "completions") and own is None:
        return  # there it has to be there, or is known
    members = {} if own is None else {name: own}
    assert sent(format, read(format, **members), cap=cap, model=model).get(name) == expected


@pytest.mark.parametrize(
    ("config", "cap", "model", "expected"),
    [
        (None, None, OWN, None),
        (None, 50, OWN, {"maxOutputTokens": 50}),
        ({"temperature": 1}, 50, OWN, {"temperature": 1, "maxOutputTokens": 50}),
        ({"maxOutputTokens": 7}, 50, OWN, {"maxOutputTokens": 7}),
        ({"maxOutputTokens": 500, "topK": 2}, 50, CAPPED, {"maxOutputTokens": 100, "topK": 2}),
        ({"maxOutputTokens": None}, 50, OWN, {"maxOutputTokens": 50}),
    ],
)
def test_cap_of_gemini_stands_in_its_configuration(config: Any, cap: int | None, model: Any, expected: Any) -> None:
    """Beside what else is there."""
    members = {} if config is None else {"generationConfig": config}
    assert sent("gemini", read("gemini", **members), cap=cap, model=model).get("generationConfig") == expected


@pytest.mark.parametrize(
    "config",
    [
        b'{"seed":123456789012345678901234567890,"temperature":1.50}',
        b'{"responseSchema":{"enum":["\\ud83d\\ude00"]},"topP":0.30}',
    ],
)
def test_cap_of_gemini_leaves_the_rest_of_its_configuration_as_it_came(config: bytes) -> None:
    """Numbers larger than a machine's, and forms of numbers."""
    body = body_of("gemini")[:-1] + b', "generationConfig": %b}' % config
    envelope = surface("gemini").read(body, call("gemini"))
    got = b"".join(surface("gemini").request(envelope, asked("gemini", cap=50)).body)
    assert config[:-1] + b',"maxOutputTokens":50}' in got


@pytest.mark.parametrize(
    ("members", "has_stream_options", "expected"),
    [
        ({}, True, None),
        ({"stream_options": {"include_usage": True}}, True, None),
        ({"stream": True}, True, {"include_usage": True}),
        ({"stream": True, "stream_options": {"include_usage": False}}, True, {"include_usage": True}),
        ({"stream": True}, False, None),
        ({"stream": True, "stream_options": {"include_usage": True}}, False, None),
    ],
)
@pytest.mark.parametrize("format", ["chat", "completions"])
def test_usage_is_asked_for_where_the_provider_takes_the_word(
    format: str, members: dict[str, Any], has_stream_options: bool, expected: Any
) -> None:
    """Of a stream always; a provider that refuses `stream_options`, and a whole answer, never see them."""
    assert sent(format, read(format, **members), has_stream_options=has_stream_options).get("stream_options") == expected


TO_ROUTER = {"provider": {"order": ["p"], "preferred_max_latency": 1}, "models": ["a/x"], "usage": {"include": True}}


@pytest.mark.parametrize("format", BY_MEMBER)
def test_words_to_a_router_end_here(format: str) -> None:
    """We are the router. A wish among them that cannot be met is reported, on every surface."""
    envelope = read(format, **TO_ROUTER, route="fallback")
    fit = {}
    if format == "chat":
        from routing.plan.fit import Fit
        from routing.plan.fit import fit as fitted

        found = fitted(envelope, asked(format).provider, OWN)
        assert isinstance(found, Fit)
        fit = {"fit": found}
    request = surface(format).request(envelope, asked(format, **fit))
    assert not json.loads(b"".join(request.body)).keys() & {*TO_ROUTER, "route"}
    assert "provider.preferred_max_latency" in request.ignored


WISHED = [{"id": "response-healing"}, {"id": "web", "enabled": False}, {"id": "context-compression"}]


@pytest.mark.parametrize("format", [format for format in BY_MEMBER if format not in ("chat", "count_tokens")])
def test_plugins_that_cost_nothing_are_reported_and_end_here(format: str) -> None:
    """They are OpenRouter's own: no provider has them."""
    request = surface(format).request(read(format, plugins=WISHED), asked(format))
    assert "plugins" not in json.loads(b"".join(request.body))
    assert {"plugins[0]", "plugins[2]"} <= set(request.ignored)


SEARCH = {"messages": {"type": "web_search_20250305", "name": "web_search"}, "responses": {"type": "web_search"}}
FUNCTION = {"messages": {"name": "f", "input_schema": {}}, "responses": {"type": "function", "name": "f"}}


@pytest.mark.parametrize("format", SEARCH)
def test_search_without_a_price_is_declined_and_reported(format: str) -> None:
    """An offer that the model may do without; its other tools stay, and alone it goes with its choice."""
    auto: Any = {"type": "auto"} if format == "messages" else "auto"
    both = read(format, tools=[FUNCTION[format], SEARCH[format]], tool_choice=auto)
    request = surface(format).request(both, asked(format))
    body = json.loads(b"".join(request.body))
    assert (body["tools"], body["tool_choice"], request.ignored) == ([FUNCTION[format]], auto, ("tools[1]",))
    alone = surface(format).request(read(format, tools=[SEARCH[format]], tool_choice=auto), asked(format))
    assert not json.loads(b"".join(alone.body)).keys() & {"tools", "tool_choice", "max_tool_calls"}
    assert alone.ignored == ("tools[0]",)


@pytest.mark.parametrize("format", SEARCH)
def test_search_with_a_price_is_sent(format: str) -> None:
    """Responses has no count of its own for a tool: the model's bound is sent as that of all its calls."""
    body = sent(format, read(format, tools=[SEARCH[format]]), model=SEARCHING)
    assert body["tools"] == [SEARCH[format]]
    if format == "responses":
        assert body["max_tool_calls"] == SEARCHING.searches_max
        own = read(format, tools=[SEARCH[format]], max_tool_calls=2)
        assert sent(format, own, model=SEARCHING)["max_tool_calls"] == 2


@pytest.mark.parametrize(
    ("members", "allows", "expected"),
    [
        ({}, False, False),
        ({"store": False}, False, False),
        ({}, True, False),
        ({"store": True}, True, True),
        ({"store": False}, True, False),
    ],
)
def test_responses_are_kept_only_where_the_key_is_one_tenants(members: dict[str, Any], allows: bool, expected: bool) -> None:
    """And the caller says so: OpenAI keeps what says nothing."""
    provider = msgspec.structs.replace(asked("responses").provider, allow_state=allows)
    assert sent("responses", read("responses", **members), provider=provider)["store"] is expected


VERSION = (b"anthropic-version", b"2024-01-01")


@pytest.mark.parametrize("format", ["messages", "count_tokens"])
@pytest.mark.parametrize(
    ("headers", "head", "ignored"),
    [
        ((), b"anthropic-version: 2023-06-01\r\n", ()),
        ((VERSION,), b"anthropic-version: 2024-01-01\r\n", ()),
        (((b"anthropic-version", b"x\r\nevil: 1"),), b"anthropic-version: 2023-06-01\r\n", ()),
        (((b"anthropic-version", b"2024-01-01\n"),), b"anthropic-version: 2023-06-01\r\n", ()),
        (
            (VERSION, (b"anthropic-beta", b"effort-2025-11-24, , files-api-2025-04-14,prompt-caching-2024-07-31")),
            b"anthropic-version: 2024-01-01\r\nanthropic-beta: effort-2025-11-24,prompt-caching-2024-07-31\r\n",
            ("anthropic-beta=files-api-2025-04-14",),
        ),
        (
            ((b"anthropic-beta", b"files-api-2025-04-14"),),
            b"anthropic-version: 2023-06-01\r\n",
            ("anthropic-beta=files-api-2025-04-14",),
        ),
    ],
)
def test_headers_of_messages_go_on(format: str, headers: Any, head: bytes, ignored: tuple[str, ...]) -> None:
    """The version as it came if it is one, betas that cost nothing; others are reported."""
    envelope = surface(format).read(body_of(format), call(format, *headers))
    request = surface(format).request(envelope, asked(format))
    assert (request.head, request.ignored) == (head, ignored)


def test_beta_that_the_operator_allows_goes_on() -> None:
    own: Endpoint = msgspec.structs.replace(asked("messages").endpoint, betas=("files-api",))
    envelope = surface("messages").read(body_of("messages"), call("messages", (b"anthropic-beta", b"files-api-2025-04-14")))
    request = surface("messages").request(envelope, asked("messages", endpoint=own))
    assert (b"anthropic-beta: files-api-2025-04-14\r\n" in request.head, request.ignored) == (True, ())


@pytest.mark.parametrize("format", [format for format in BY_MEMBER if format != "count_tokens"])
def test_endpoint_with_the_model_in_its_path_and_members_of_its_own(format: str) -> None:
    """As Azure's and Vertex' are: the model is in no body, and what the endpoint wants is in each."""
    own = Endpoint(format, "/models/{model}:x", body=(("anthropic_version", "vertex-1"), ("user", "u")))
    body = sent(format, read(format, user="caller"), endpoint=own)
    assert (body.get("model"), body["anthropic_version"], body["user"]) == (None, "vertex-1", "u")


def test_endpoint_of_chat_with_members_of_its_own() -> None:
    """The model stays in the body where the path does not name it."""
    own = Endpoint("chat", "/chat", body=(("user", "u"),))
    assert changed("chat", {}, endpoint=own) == {"model": "own-m", "user": "u"}


@pytest.mark.parametrize("format", [format for format in BY_MEMBER if format != "count_tokens"])
def test_large_member_is_sent_without_being_copied(format: str) -> None:
    """A body of a picture is several parts, the large ones as they lie in the body that came."""
    request = surface(format).request(read(format, metadata_of_mine="x" * 70_000), asked(format))
    assert any(isinstance(part, memoryview) and len(part) > 70_000 for part in request.body)
    assert json.loads(b"".join(request.body))["metadata_of_mine"] == "x" * 70_000


def parts_of(envelope: Envelope, format: str, **changes: Any) -> tuple[bytes, bytes]:
    request = surface(format).request(envelope, asked(format, **changes))
    return b"".join(request.body), request.head


@pytest.mark.parametrize("format", ["image_edits", "transcriptions", "translations"])
def test_form_goes_on_with_the_providers_model(format: str) -> None:
    """Every other part as it came, and the boundary with it."""
    name = "image" if format == "image_edits" else "file"
    body, head = parts_of(read_form(format, model=MODEL, **{name: b"\x00bytes\xff"}, prompt="ü"), format)
    assert body == form(model="own-m", **{name: b"\x00bytes\xff"}, prompt="ü")[0]
    assert head == b'content-type: multipart/form-data; boundary="b"\r\n'


def test_form_to_an_endpoint_that_names_the_model_has_none() -> None:
    own = Endpoint("image_edits", "/deployments/{model}/edits", headers=(("api-version", "1"),))
    body, head = parts_of(read_form("image_edits", model=MODEL, image=b"x"), "image_edits", endpoint=own)
    assert body == form(image=b"x")[0]
    assert head.endswith(b"api-version: 1\r\n")


def test_sound_in_json_reports_what_ends_here() -> None:
    """OpenRouter's own words but those that are obeyed, and the wishes among those."""
    sound = {"data": "UklGRg==", "format": "wav"}
    wishes = {"provider": {"order": ["p"], "preferred_max_latency": 1}, "session_id": "s", "trace": {}, "user": "u"}
    body = json.dumps({"model": MODEL, "input_audio": sound, **wishes}).encode()
    envelope = surface("transcriptions").read(body, call("transcriptions", (b"content-type", b"application/json")))
    request = surface("transcriptions").request(envelope, asked("transcriptions"))
    assert set(request.ignored) == {"session_id", "trace", "user", "provider.preferred_max_latency"}
    assert b"own-m" in b"".join(request.body)


def test_surface_that_is_never_streamed_has_no_machine() -> None:
    """Its requests cannot ask for one."""
    for format in ("embeddings", "moderations", "rerank", "count_tokens", "gemini_embeddings", "cohere_embeddings"):
        module = surface_of(ENTRIES[format])
        with pytest.raises(AssertionError):
            module.machine(None, None, read(format), 1, 1)  # type: ignore[arg-type]
