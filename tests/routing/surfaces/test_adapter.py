"""How a request of one surface is served by one target: the bytes pass, or Chat stands between; else where it is, is said."""

import json
from typing import Any

import msgspec
import pytest

from routing.failures.failure import AttemptFailed, Kind
from routing.plan.plan import Plan, plan
from routing.plan.refusal import Refusal
from routing.request.envelope import Envelope
from routing.request.invalid import Invalid
from routing.surfaces import CHAT, SURFACES, Asked
from routing.surfaces.adapter import NO_MEMO, Adapter, adapter_of
from routing.surfaces.admission import NO_ADAPTERS, Admitted, admit, surfaces_of
from routing.surfaces.estimated_count import estimated_count
from routing.table.config import Found, find, parse
from routing.table.endpoint import endpoint
from tests.routing.surfaces.calls import ENTRIES, body_of, call, form, identity, meter, read, surface
from tests.routing.translate.streams import events, run
from usage.flavor import Flavor
from usage.record import Tokens

PRICE = 'unlisted = { input = "1", output = "2" }'
GENERATED = ("chat", "messages", "responses", "gemini", "converse", "cohere")
TABLE = parse(
    "".join(
        f'[providers.{name}]\nbase_url = "https://{name}.test"\napi_key = "none"\nserves = ["{name}"]\n{PRICE}\n'
        for name in GENERATED
    )
    + """
[providers.own]
base_url = "https://own.test"
api_key = "none"
serves = ["messages", "count_tokens", "embeddings"]
[providers.own.models.writer]
input = "1"
output = "2"
serves = ["messages", "count_tokens"]
[providers.own.models.tiered]
input = "1"
output = "2"
serves = ["messages"]
tiers.priority = { input = "2", output = "4" }
[providers.own.models.vectors]
input = "1"
output = "0"
serves = ["embeddings"]
[providers.ranks]
base_url = "https://ranks.test"
api_key = "none"
serves = ["rerank"]
[providers.ranks.models.dumb]
input = "1"
output = "0"
[aliases]
both = ["own/vectors", "own/writer"]
tiers = ["own/writer", "own/tiered"]
mixed = ["chat/m", "messages/m"]
"""
)
WRITES = ("chat", "messages", "responses", "gemini", "cohere")
"""Surfaces on which a model that writes text is offered, whatever its provider speaks."""
SAID = {
    "chat": lambda body: body["choices"][0]["message"]["content"],
    "messages": lambda body: body["content"][0]["text"],
    "responses": lambda body: body["output"][0]["content"][0]["text"],
    "gemini": lambda body: body["candidates"][0]["content"]["parts"][0]["text"],
    "cohere": lambda body: body["message"]["content"][0]["text"],
}
ANSWERS: dict[str, dict[str, Any]] = {
    "chat": {
        "id": "theirs",
        "object": "chat.completion",
        "created": 5,
        "model": "m",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "hello"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 20, "completion_tokens": 2, "total_tokens": 22},
    },
    "messages": {
        "id": "theirs",
        "type": "message",
        "role": "assistant",
        "model": "m",
        "content": [{"type": "text", "text": "hello"}],
        "stop_reason": "end_turn",
        "usage": {"input_tokens": 20, "output_tokens": 2},
    },
    "responses": {
        "id": "theirs",
        "object": "response",
        "status": "completed",
        "model": "m",
        "output": [{"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "hello"}]}],
        "usage": {"input_tokens": 20, "output_tokens": 2, "total_tokens": 22},
    },
    "gemini": {
        "candidates": [{"content": {"role": "model", "parts": [{"text": "hello"}]}, "finishReason": "STOP"}],
        "responseId": "theirs",
        "usageMetadata": {"promptTokenCount": 20, "candidatesTokenCount": 2, "totalTokenCount": 22},
    },
    "converse": {
        "output": {"message": {"role": "assistant", "content": [{"text": "hello"}]}},
        "stopReason": "end_turn",
        "usage": {"inputTokens": 20, "outputTokens": 2, "totalTokens": 22},
    },
    "cohere": {
        "id": "theirs",
        "message": {"role": "assistant", "content": [{"type": "text", "text": "hello"}]},
        "finish_reason": "COMPLETE",
        "usage": {"billed_units": {"input_tokens": 20, "output_tokens": 2}, "tokens": {"input_tokens": 20, "output_tokens": 2}},
    },
}


def target(name: str) -> Found:
    found = find(TABLE, name)
    assert isinstance(found, Found)
    return found


def planned(name: str) -> Plan:
    found = plan(TABLE, frozenset(TABLE.providers), name, (), {}, 0.0, 0.0)
    assert isinstance(found, Plan)
    return found


def adapter(format: str, name: str) -> Adapter:
    found = target(name)
    got = adapter_of(ENTRIES[format], found.provider, found.model)
    assert got is not None
    return got


def asked(made: Adapter, name: str, **more: Any) -> Asked:
    found = target(name)
    return Asked(found.provider, found.model, made.endpoint, **more)


@pytest.mark.parametrize("name", GENERATED)
@pytest.mark.parametrize("format", WRITES)
def test_bytes_pass_where_the_target_speaks_the_callers_format(format: str, name: str) -> None:
    """And nowhere else: there Chat stands between, once or on both sides."""
    made = adapter(format, f"{name}/m")
    assert made.is_translated is (format != name)
    assert (made.upstream is None) == (name in ("chat", format))
    assert (made.downstream is None) == (format in ("chat", name))
    assert made.is_passed is (format == name != "chat")


@pytest.mark.parametrize("name", GENERATED)
@pytest.mark.parametrize("format", WRITES)
@pytest.mark.parametrize("flavor", Flavor)
def test_answer_of_any_format_is_told_in_the_callers(format: str, name: str, flavor: Flavor) -> None:
    """The same words and the same tokens, at the same cost, whoever gave it and whoever asked."""
    made = adapter(format, f"{name}/m")
    request, memo = made.request(read(format), asked(made, f"{name}/m"))
    again, _ = made.request(read(format), asked(made, f"{name}/m"))
    assert b"".join(request.body) == b"".join(again.body)
    used = meter()
    whole = made.whole(json.dumps(ANSWERS[name]).encode(), identity(flavor), used, memo, "application/json")
    body = json.loads(whole.body)
    assert SAID[format](body) == "hello"
    assert (used.tokens, used.source, whole.finish_reason) == (Tokens(20, 2), "provider", "stop")
    assert used.cost_nano() == 20 * 150 + 2 * 600
    usage = body.get("usage") or body["usageMetadata"]
    assert usage["cost"] * 1e9 == pytest.approx(used.cost_nano())


@pytest.mark.parametrize("name", [name for name in GENERATED if name != "gemini"])
@pytest.mark.parametrize("format", [format for format in WRITES if format != "gemini"])
def test_whole_answer_where_a_stream_was_asked_for_is_streamed(format: str, name: str) -> None:
    """Also where the bytes would pass: it was paid for."""
    made = adapter(format, f"{name}/m")
    envelope = read(format, stream=True)
    _, memo = made.request(envelope, asked(made, f"{name}/m"))
    used = meter()
    body = json.dumps(ANSWERS[name]).encode()
    then, stream = made.streamed(body, identity(), used, memo)
    machine = then.machine(identity(), used, envelope, memo, 1, 1 << 20)
    sent = run(machine, stream)
    assert b"hello" in sent
    assert (machine.is_complete, machine.meter.tokens) == (True, Tokens(20, 2))


@pytest.mark.parametrize("format", ["messages", "responses", "cohere"])
def test_error_where_a_stream_was_asked_for_is_the_error(format: str) -> None:
    """A format that passes: what the provider says is kept."""
    made = adapter(format, f"{format}/m")
    body = {"message": "slow"} if format == "cohere" else {"type": "error", "error": {"message": "slow"}}
    with pytest.raises(AttemptFailed) as failed:
        made.streamed(json.dumps(body).encode(), identity(), meter(), NO_MEMO)
    assert (failed.value.failure.kind, failed.value.failure.detail) == (Kind.STREAM_ERROR, "slow")


CHUNKS = (
    b"".join(
        b"data: %b\n\n"
        % json.dumps({"id": "theirs", "object": "chat.completion.chunk", "created": 5, "model": "m", **each}).encode()
        for each in (
            {"choices": [{"index": 0, "delta": {"role": "assistant", "content": "hel"}, "finish_reason": None}]},
            {"choices": [{"index": 0, "delta": {"content": "lo"}, "finish_reason": "stop"}]},
            {"choices": [], "usage": {"prompt_tokens": 20, "completion_tokens": 2, "total_tokens": 22}},
        )
    )
    + b"data: [DONE]\n\n"
)
PIECES: list[dict[str, Any]] = [
    {"type": "message_start", "message": ANSWERS["messages"] | {"content": [], "usage": {"input_tokens": 20}}},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "hello"}},
    {"type": "content_block_stop", "index": 0},
    {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 2}},
    {"type": "message_stop"},
]
EVENTS = b"".join([b"event: %b\ndata: %b\n\n" % (each["type"].encode(), json.dumps(each).encode()) for each in PIECES])


@pytest.mark.parametrize(("name", "stream"), [("chat", CHUNKS), ("messages", EVENTS)])
@pytest.mark.parametrize("format", WRITES)
@pytest.mark.parametrize("flavor", Flavor)
def test_stream_where_a_whole_answer_was_asked_for_is_put_together(format: str, name: str, stream: bytes, flavor: Flavor) -> None:
    """As the caller's format tells a whole one, with its cost."""
    from routing.rewrite.chat.reshape import answer_of

    made = adapter(format, f"{name}/m")
    envelope = read(format)
    _, memo = made.request(envelope, asked(made, f"{name}/m"))
    used = meter()
    machine = made.assembler(identity(flavor), used, envelope, memo, 1, 1 << 20)
    body = json.loads(made.assembled(answer_of(run(machine, stream)), identity(flavor), used, memo))
    assert SAID[format](body) == "hello"
    assert (used.tokens, used.source) == (Tokens(20, 2), "provider")
    usage = body.get("usage") or body["usageMetadata"]
    assert usage["cost"] * 1e9 == pytest.approx(used.cost_nano())


def read_stream(format: str) -> Envelope:
    members = {} if format == "gemini" else {"stream": True}
    return surface(format).read(body_of(format, **members), call(format, action=1 if format == "gemini" else 0))


@pytest.mark.parametrize("format", WRITES)
def test_stream_of_chat_is_told_in_the_callers_format(format: str) -> None:
    """With the cost in it, once."""
    made = adapter(format, "chat/m")
    envelope = read_stream(format)
    _, memo = made.request(envelope, asked(made, "chat/m"))
    used = meter()
    machine = made.machine(identity(), used, envelope, memo, 1, 1 << 20)
    sent = run(machine, CHUNKS)
    assert sent.count(b'"cost":') == 1
    assert (machine.is_complete, used.tokens) == (True, Tokens(20, 2))
    assert events(sent)


STREAMED = (*WRITES, "completions", "images", "speech")


@pytest.mark.parametrize("format", STREAMED)
def test_stream_of_the_callers_own_format_passes(format: str) -> None:
    """Each surface that streams has its own reader of one: an error in it is nobody's answer."""
    made = Adapter(surface(format), endpoint(format))
    machine = made.machine(identity(), meter(), read(format), NO_MEMO, 1, 1 << 20)
    assert machine.feed(b": still here\n\n") in (b": still here\n\n", b"")
    assert not machine.is_complete
    error = b'{"message":"busy"}' if format == "cohere" else b'{"error":{"message":"busy"}}'
    assert b"busy" not in machine.feed(b"data: %b\n\n" % error)
    assert b"busy" in machine.error


def test_stream_of_a_transcript_passes() -> None:
    body, kind = form(model="p/m", file=b"x", stream="true")
    envelope = surface("transcriptions").read(body, call("transcriptions", kind))
    machine = surface("transcriptions").machine(identity(), meter(), envelope, 1, 1 << 20)
    assert machine.feed(b'data: {"type":"transcript.text.delta","delta":"hi"}\n\n').endswith(b"\n\n")
    assert machine.meter.text_bytes == 2


@pytest.mark.parametrize("model", [None, "models/p/m"])
@pytest.mark.parametrize("name", ["chat", "messages", "responses", "cohere"])
@pytest.mark.parametrize("action", [0, 1])
def test_stream_that_a_path_asks_for_is_asked_of_the_provider(name: str, action: int, model: str | None) -> None:
    """Whatever the body says of it: the path decides."""
    members = {} if model is None else {"model": model, "stream": action == 0}
    envelope = surface("gemini").read(body_of("gemini", **members), call("gemini", action=action))
    made = adapter("gemini", f"{name}/m")
    request, _ = made.request(envelope, asked(made, f"{name}/m"))
    body = json.loads(b"".join(request.body))
    assert (body["model"], body.get("stream", False)) == ("m", action == 1)


def test_head_of_an_endpoint_goes_with_what_passes() -> None:
    """A surface that passes on the caller's word for a header has that instead."""
    made = adapter("responses", "responses/m")
    headed = msgspec.structs.replace(made.endpoint, headers=(("api-version", "2026"),))
    asked_there = asked(made, "responses/m")._replace(endpoint=headed)
    assert made.request(read("responses"), asked_there)[0].head == b"api-version: 2026\r\n"
    messages = adapter("messages", "messages/m")
    envelope = surface("messages").read(body_of("messages"), call("messages", (b"anthropic-version", b"2024-01-01")))
    assert messages.request(envelope, asked(messages, "messages/m"))[0].head == b"anthropic-version: 2024-01-01\r\n"
    translated = adapter("chat", "messages/m")
    assert translated.request(read("chat"), asked(translated, "messages/m"))[0].head == b"anthropic-version: 2023-06-01\r\n"


def test_what_a_translated_request_cannot_have_is_refused_by_name() -> None:
    """It is read again as the Chat request that it is: what has no price there is refused like any other."""
    made = adapter("messages", "chat/m")
    with pytest.raises(Invalid) as refused:
        made.request(read("messages", service_tier="priority"), asked(made, "chat/m"))
    assert refused.value.param == "service_tier"
    strict = read("messages", top_k=5, provider={"require_parameters": True})
    with pytest.raises(Invalid) as demanded:
        adapter("messages", "responses/m").request(strict, asked(adapter("messages", "responses/m"), "responses/m"))
    assert demanded.value.param is not None


def test_what_a_translation_leaves_out_is_reported_once() -> None:
    made = adapter("messages", "responses/m")
    request, _ = made.request(read("messages", top_k=5), asked(made, "responses/m"))
    assert len(request.ignored) == len(set(request.ignored)) > 0


@pytest.mark.parametrize(
    ("name", "formats"),
    [
        ("own/writer", {*WRITES, "count_tokens"}),
        ("own/vectors", {"embeddings"}),
        ("chat/m", set(WRITES)),
        ("converse/m", set(WRITES)),
    ],
)
def test_surfaces_of_a_model(name: str, formats: set[str]) -> None:
    """A model that writes is offered to every caller who reads; one that makes vectors on that surface alone."""
    found = target(name)
    assert {entry.format for entry in surfaces_of(found.provider, found.model)} == formats


def admitted(format: str, name: str, **members: Any) -> Admitted | Refusal:
    if format in ("image_edits", "transcriptions"):
        body, kind = form(model=name, image=b"x", file=b"x")
        envelope = surface(format).read(body, call(format, kind))
    else:
        envelope = read(format, **members)
    return admit(ENTRIES[format], envelope, planned(name))


@pytest.mark.parametrize(
    ("format", "name", "where"),
    [
        ("embeddings", "own/writer", "/v1/chat/completions and /v1/messages"),
        ("chat", "own/vectors", "/v1/embeddings"),
        ("messages", "own/vectors", "/v1/embeddings"),
        ("image_edits", "own/vectors", "/v1/embeddings"),
        ("transcriptions", "own/vectors", "/v1/embeddings"),
        ("cohere_embeddings", "own/vectors", "/v1/embeddings"),
        ("gemini", "own/vectors", "/v1/embeddings"),
    ],
)
def test_model_that_is_not_on_a_surface_is_named_with_those_where_it_is(format: str, name: str, where: str) -> None:
    refused = admitted(format, name)
    assert isinstance(refused, Refusal)
    assert (refused.status, refused.code, refused.param) == (404, "model_not_found", "model")
    assert f"{name} is not offered on " in refused.message
    assert where in refused.message
    assert "{model:path}" not in refused.message


def test_model_that_is_on_no_surface_says_only_that() -> None:
    """Its provider serves nothing that it may be asked in."""
    refused = admitted("chat", "ranks/dumb")
    assert isinstance(refused, Refusal)
    assert refused.message.endswith(" here")
    assert refused.metadata == {"surfaces": []}


def test_targets_that_cannot_serve_are_passed_over() -> None:
    """Of several: those that are not on the surface, and those that have no price for what is asked."""
    found = admitted("messages", "both")
    assert not isinstance(found, Refusal)
    assert {attempt.model.id for attempt in found[0]} == set(found[2]) == {"own/writer"}
    tiered = admitted("messages", "tiers", service_tier="priority")
    assert not isinstance(tiered, Refusal)
    assert {attempt.model.id for attempt in tiered[0]} == {"own/tiered"}
    plain = admitted("messages", "tiers")
    assert not isinstance(plain, Refusal)
    assert {attempt.model.id for attempt in plain[0]} == {"own/writer", "own/tiered"}


def test_first_refusal_is_told_where_no_target_can_serve() -> None:
    refused = admitted("messages", "own/writer", service_tier="priority")
    assert isinstance(refused, Refusal)
    assert (refused.code, refused.param) == ("unpriced_option", "service_tier")
    chat = admitted("chat", "chat/m", service_tier="priority")
    assert isinstance(chat, Refusal)
    assert chat.code == "unpriced_option"


def test_plain_chat_needs_no_adapters() -> None:
    """As nearly all requests: nothing is made for them; what is changed of one is told by the model."""
    found = admitted("chat", "chat/m")
    assert not isinstance(found, Refusal)
    assert (found[1], found[2]) == ({}, NO_ADAPTERS)
    fitted = admitted("chat", "chat/m", top_k=5)
    assert not isinstance(fitted, Refusal)
    assert fitted[1]["chat/m"].ignored == ("top_k",)
    mixed = admitted("chat", "mixed", top_k=5)
    assert not isinstance(mixed, Refusal)
    assert (set(mixed[2]), set(mixed[1]), mixed[1]["chat/m"].ignored) == ({"chat/m", "messages/m"}, {"chat/m"}, ("top_k",))
    translated = admitted("chat", "messages/m", top_k=5)
    assert not isinstance(translated, Refusal)
    assert translated[2]["messages/m"].is_translated


@pytest.mark.parametrize("entry", SURFACES, ids=lambda entry: entry.format)
def test_only_some_surfaces_answer_in_bytes(entry: Any) -> None:
    """A sound, or a text that is no JSON: their type and cost stand in the head."""
    made = Adapter(surface(entry.format), adapter("chat", "chat/m").endpoint)
    assert made.answers_bytes is (entry.format in ("speech", "transcriptions", "translations"))


@pytest.mark.parametrize(
    ("format", "name", "member"),
    [
        ("count_tokens", "chat/m", "input_tokens"),
        ("count_tokens", "messages/m", "input_tokens"),
        ("gemini_count_tokens", "chat/m", "totalTokens"),
        ("gemini_count_tokens", "own/writer", "totalTokens"),
    ],
)
def test_count_that_no_provider_makes_is_estimated(format: str, name: str, member: str) -> None:
    """A third of the bytes that a model reads, and said to be an estimate; no window bounds it."""
    envelope = read(format)
    told = json.loads(estimated_count(ENTRIES[format], envelope, planned(name)) or b"{}")
    assert told == {member: -(-envelope.prompt_bytes // 3), "usage_source": "estimated"}


@pytest.mark.parametrize(
    ("format", "name"), [("count_tokens", "own/writer"), ("count_tokens", "own/vectors"), ("chat", "chat/m")]
)
def test_count_is_not_estimated(format: str, name: str) -> None:
    """Where the provider counts, where the model writes no text, and where nothing is counted."""
    assert estimated_count(ENTRIES[format], read(format), planned(name)) is None


def test_chat_of_one_provider_is_the_first_surface() -> None:
    assert CHAT.format == "chat"
    assert msgspec.structs.asdict(planned("chat/m"))["model_id"] == "chat/m"


@pytest.mark.parametrize("name", GENERATED)
@pytest.mark.parametrize("format", WRITES)
def test_wish_that_nobody_can_meet_is_reported_whichever_way_the_request_goes(format: str, name: str) -> None:
    made = adapter(format, f"{name}/m")
    envelope = read(format, provider={"preferred_max_latency": 1})
    found = admit(ENTRIES[format], envelope, planned(f"{name}/m"))
    assert not isinstance(found, Refusal)
    more = {"fit": found[1][f"{name}/m"]} if found[1] else {}
    request, _ = made.request(envelope, asked(made, f"{name}/m", **more))
    assert request.ignored.count("provider.preferred_max_latency") == 1
