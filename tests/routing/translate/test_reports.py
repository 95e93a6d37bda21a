"""What users of other translators reported of their answers, streams, counts and ends, as cases that must not happen here.

The numbers are those of the list of sixty; which tests are about which report says test_report_index.
"""

import json
from typing import Any

import pytest

from routing.metering.meter import Meter
from routing.plan.refusal import Refusal
from routing.table.tariff import Tariff
from routing.translate import Context, Format, downstream_pair
from routing.translate.chat_view import PIECES_MAX
from routing.translate.responses_on_chat.request import Memo
from routing.translate.responses_on_chat.tools import Origin
from routing.wire.sse import TooLong
from tests.routing.translate import streams
from usage.record import Rates

CALLERS: list[Format] = ["messages", "responses"]


def chunk(delta: Any = None, finish: str | None = None, **more: Any) -> bytes:
    choices = [{"index": 0, "delta": delta or {}, "finish_reason": finish}]
    return json.dumps({"id": "c", "model": "m", "choices": choices, **more}, separators=(",", ":")).encode()


def call(index: int | None, id: str | None = None, name: str | None = None, arguments: str | None = None) -> dict[str, Any]:
    function = {key: value for key, value in (("name", name), ("arguments", arguments)) if value is not None}
    given = {"index": index, "id": id, "type": "function", "function": function}
    return {"tool_calls": [{key: value for key, value in given.items() if value is not None}]}


USAGE = {"prompt_tokens": 20, "completion_tokens": 5, "total_tokens": 25, "prompt_tokens_details": {"cached_tokens": 12}}
USED = json.dumps({"id": "c", "choices": [], "usage": USAGE}).encode()


def ran(caller: Format, *chunks: bytes, done: bool = True, memo: Any = None) -> tuple[list[Any], Any]:
    wire = streams.framed("chat", list(chunks))
    chain = streams.chain("chat", caller, memo)
    sent = streams.run(chain, wire if done else wire.removesuffix(b"data: [DONE]\n\n"))
    return streams.events(sent), chain


def calls_of(caller: Format, events: list[Any]) -> list[tuple[str, str, str]]:
    """(id, name, arguments) of the calls that a client reads."""
    if caller == "messages":
        blocks = streams.message_of(events)["blocks"]
        return [(block["id"], block["name"], block["json"]) for block in blocks if block["type"] == "tool_use"]
    items = events[-1]["response"]["output"]
    return [(item["call_id"], item["name"], item["arguments"]) for item in items if item["type"] == "function_call"]


MIXED = [
    chunk(call(0, "a", "f", "")),
    chunk(call(1, "b", "g", "")),
    chunk(call(0, None, None, '{"x":')),
    chunk(call(1, None, None, '{"y":')),
    chunk(call(0, None, None, "1}")),
    chunk(call(1, None, None, "2}")),
]
BAD_INDEX = [chunk(call(0, "a", "f", '{"x":1}')), chunk(call(0, "b", "g", '{"y":2}'))]
NO_INDEX = [chunk(call(None, "a", "f", '{"x":1}')), chunk(call(None, "b", "g", '{"y":')), chunk(call(None, None, None, "2}"))]
EMPTY_ID = [
    chunk(call(0, "a", "f", '{"x":')),
    chunk(call(0, "", None, "1}")),
    chunk(call(1, "b", "g", "")),
    chunk(call(1, "", "", '{"y":2}')),
]


@pytest.mark.parametrize("caller", CALLERS)
@pytest.mark.parametrize("chunks", [MIXED, BAD_INDEX, NO_INDEX, EMPTY_ID], ids=["mixed", "one index", "no index", "empty ids"])
def test_parallel_calls_stay_apart(caller: Format, chunks: list[bytes]) -> None:
    """27, 28, 37: whatever index their fragments have, each argument is with its call, whole."""
    events, _ = ran(caller, *chunks, chunk(finish="tool_calls"), USED)
    assert calls_of(caller, events) == [("a", "f", '{"x":1}'), ("b", "g", '{"y":2}')]


@pytest.mark.parametrize("caller", CALLERS)
def test_every_delta_belongs_to_what_is_open(caller: Format) -> None:
    """28, 29: a block or an item is announced before its first delta and ended after its last."""
    events, _ = ran(caller, chunk({"reasoning": "hm"}), chunk({"content": "so"}), *MIXED, chunk(finish="stop"), USED)
    is_open: set[int] = set()
    for event in events:
        match event["type"]:
            case "content_block_start":
                assert not is_open
                is_open.add(event["index"])
            case "response.output_item.added":
                is_open.add(event["output_index"])
            case "content_block_delta":
                assert event["index"] in is_open
            case "content_block_stop":
                is_open.remove(event["index"])
            case "response.output_item.done":
                is_open.remove(event["output_index"])
            case name if name.endswith(".delta"):
                assert event["output_index"] in is_open
    assert not is_open


def test_end_of_a_response_is_whole() -> None:
    """30 to 33: every event has its type and number, the last the response with id, output and `reasoning_tokens`."""
    events, _ = ran("responses", chunk({"content": "hi"}), chunk(finish="stop"))
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    names = [event["type"] for event in events]
    for name in (
        "response.output_item.added",
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
    ):
        assert names.count(name) == 1
    last = events[-1]
    assert last["type"] == "response.completed"
    assert last["response"]["id"] == "gen-1"
    assert last["response"]["output"][0]["content"][0]["text"] == "hi"
    assert last["response"]["usage"]["output_tokens_details"]["reasoning_tokens"] == 0


@pytest.mark.parametrize("finish", ["stop", "tool_calls", "function_call"])
def test_text_and_a_call_end_as_a_call(finish: str) -> None:
    """34: an agent that reads "end_turn" there stops silently."""
    events, _ = ran("messages", chunk({"content": "so"}), chunk(call(0, "a", "f", "{}")), chunk(finish=finish), USED)
    assert streams.message_of(events)["stop"] == "tool_use"


def test_finish_of_calls_without_any() -> None:
    """39: the word stays, and nothing is made up."""
    events, _ = ran("messages", chunk({"content": "so"}), chunk(finish="tool_calls"), USED)
    assert [block["type"] for block in streams.message_of(events)["blocks"]] == ["text"]


def test_signature_stands_on_its_thought() -> None:
    """38: one signature, on the thinking block before the text."""
    detail = {"type": "reasoning.text", "signature": "S", "format": "anthropic-claude-v1", "index": 0}
    events, _ = ran(
        "messages", chunk({"reasoning": "hm"}), chunk({"reasoning_details": [detail]}), chunk({"content": "so"}, "stop"), USED
    )
    assert streams.same_blocks(streams.message_of(events)["blocks"]) == [("thinking", "hm", "S"), ("text", "so")]


@pytest.mark.parametrize("repeats", [False, True])
def test_provider_that_begins_again(repeats: bool) -> None:
    """40: in the middle of an answer that is an error; the same head twice before it is none."""
    start = b'{"type":"message_start","message":{"id":"m","usage":{"input_tokens":3}}}'
    text = b'{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"hi"}}'
    end = [b'{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":1}}', b'{"type":"message_stop"}']
    chain = streams.chain("messages", "chat")
    events = [start, start, text, *end] if repeats else [start, text, start, text, *end]
    sent = streams.run(chain, streams.framed("messages", events))
    assert bool(chain.error) is not repeats
    assert (b"[DONE]" in sent) is repeats


@pytest.mark.parametrize("caller", CALLERS)
def test_arguments_that_are_no_json_pass(caller: Format) -> None:
    """41: a model may write what it wants; nothing of it is read on the way."""
    events, _ = ran(caller, chunk(call(0, "a", "f", '{"x": tru')), chunk(finish="length"), USED)
    assert calls_of(caller, events) == [("a", "f", '{"x": tru')]


def test_counts_of_a_messages_stream() -> None:
    """42 to 44: never zero at the start; at the end what the provider said behind its finish, the cache beside the input."""
    events, _ = ran("messages", chunk({"content": "hi"}), chunk(finish="stop"), USED)
    assert events[0]["message"]["usage"]["input_tokens"] > 0
    used = events[-2]["usage"]
    assert (used["input_tokens"], used["cache_read_input_tokens"], used["output_tokens"]) == (8, 12, 5)
    assert used["cost"] > 0


def counted(caller: Format, answer: Any) -> tuple[int, int, int, int]:
    """(prompt, read from the cache, written to it, completion) that a client reads; -1 where its format has no place."""
    match caller:
        case "messages":
            used = answer["usage"]
            read, written = used["cache_read_input_tokens"], used["cache_creation_input_tokens"]
            return used["input_tokens"] + read + written, read, written, used["output_tokens"]
        case "responses":
            used = answer["usage"]
            parts = used["input_tokens_details"]
            return used["input_tokens"], parts["cached_tokens"], parts["cache_write_tokens"], used["output_tokens"]
        case "gemini":
            used = answer["usageMetadata"]
            completion = used["candidatesTokenCount"] + used.get("thoughtsTokenCount", 0)
            return used["promptTokenCount"], used["cachedContentTokenCount"], -1, completion
        case "cohere":
            used = answer["usage"]
            return used["tokens"]["input_tokens"], used["cached_tokens"], -1, used["tokens"]["output_tokens"]
    used = answer["usage"]
    parts = used["prompt_tokens_details"]
    return used["prompt_tokens"], parts["cached_tokens"], parts["cache_write_tokens"], used["completion_tokens"]


CACHED = USAGE | {"prompt_tokens_details": {"cached_tokens": 12, "cache_write_tokens": 3}}


@pytest.mark.parametrize("caller", ["chat", "messages", "responses", "gemini", "cohere"])
def test_counts_are_the_same_on_every_surface(caller: Format) -> None:
    """43, 44: cached tokens are neither lost nor counted twice, in a stream as in a whole answer, on one surface as on another,
    also where the usage comes behind the finish."""
    used = json.dumps({"id": "c", "choices": [], "usage": CACHED}).encode()
    events, _ = ran(caller, chunk({"content": "hi"}), chunk(finish="stop"), used)
    last: Any = events[-2] if caller == "messages" else events[-1]
    last = last["response"] if caller == "responses" else last["delta"] if caller == "cohere" else last
    body: dict[str, Any] = {"id": "gen-1", "model": "a/b", "usage": CACHED}
    body["choices"] = [{"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}]
    pair = downstream_pair(caller)
    whole = json.loads(pair.whole(json.dumps(body).encode(), streams.CONTEXT)) if pair is not None else body
    wanted = (20, 12, 3 if caller in ("chat", "messages", "responses") else -1, 5)
    assert counted(caller, last) == counted(caller, whole) == wanted


SERVED: dict[Format, list[bytes]] = {
    "messages": [
        b'{"type":"message_start","message":{"id":"m","usage":{"input_tokens":3,"service_tier":"priority"}}}',
        b'{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"hi"}}',
        b'{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":1}}',
        b'{"type":"message_stop"}',
    ],
    "gemini": [
        b'{"candidates":[{"content":{"parts":[{"text":"hi"}]},"finishReason":"STOP"}],"usageMetadata":{"promptTokenCount":3,'
        b'"candidatesTokenCount":1,"totalTokenCount":4,"trafficType":"ON_DEMAND_PRIORITY"}}'
    ],
    "responses": [
        b'{"type":"response.output_text.delta","output_index":0,"delta":"hi"}',
        b'{"type":"response.completed","response":{"id":"r","output":[],"usage":{"input_tokens":3,"output_tokens":1},'
        b'"service_tier":"priority"}}',
    ],
    "converse": [
        b'{"contentBlockDelta":{"contentBlockIndex":0,"delta":{"text":"hi"}}}',
        b'{"messageStop":{"stopReason":"end_turn"}}',
        b'{"metadata":{"usage":{"inputTokens":3,"outputTokens":1},"serviceTier":{"type":"priority"}}}',
    ],
    "chat": [chunk({"content": "hi"}), chunk(finish="stop"), chunk(service_tier="priority", usage=USAGE)],
}


@pytest.mark.parametrize("caller", ["chat", "messages", "responses", "gemini"])
@pytest.mark.parametrize("provider", SERVED)
def test_tier_that_was_served_is_known(provider: Format, caller: Format) -> None:
    """45: by it the answer is priced, whatever was asked for, and whoever speaks a format with a word for it is told."""
    if caller == provider:
        return
    chain = streams.chain(provider, caller)
    said = streams.run(chain, streams.framed(provider, SERVED[provider]))
    assert chain.meter.tier == "priority"
    words = {"messages": b'"service_tier":"priority"', "responses": b'"service_tier":"priority"', "gemini": b"ON_DEMAND_PRIORITY"}
    assert words.get(caller, b"") in said


def test_tier_that_a_provider_merely_echoes_is_not_believed() -> None:
    """46: the operator says so of it; then what was asked for is charged."""
    dear = Tariff(Rates(input=20, output=40))
    tariff = Tariff(Rates(input=10, output=20), tiers={"priority": dear})
    for trusts, input_rate in ((True, 10), (False, 20)):
        meter = Meter(tariff, 9, asked_tier="priority", trusts_served_tier=trusts)
        meter.tier = "default"
        meter.observe_usage(json.dumps(USAGE).encode())
        assert meter.bill().rates.input == input_rate


@pytest.mark.parametrize(("split", "long"), [({}, 0), ({"ephemeral_1h_input_tokens": 3, "ephemeral_5m_input_tokens": 0}, 3)])
def test_cache_writes_by_their_life(split: dict[str, int], long: int) -> None:
    """47, 48: an hour's writes are told apart; what the split does not say was written for five minutes."""
    usage = {"input_tokens": 1, "cache_creation_input_tokens": 5, "cache_creation": split, "output_tokens": 1}
    start = json.dumps({"type": "message_start", "message": {"id": "m", "usage": usage}}, separators=(",", ":")).encode()
    end = [b'{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":2}}', b'{"type":"message_stop"}']
    text = b'{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"hi"}}'
    chain = streams.chain("messages", "chat")
    streams.run(chain, streams.framed("messages", [start, text, *end]))
    tokens = chain.meter.tokens
    assert (tokens.prompt, tokens.cache_write, tokens.cache_write_1h, tokens.completion) == (6, 5, long, 2)


def test_searches_are_counted() -> None:
    """49: not free."""
    chain = streams.chain("messages", "chat")
    streams.run(chain, streams.wire("anthropic-web-search-tool.1"))
    assert chain.meter.tokens.searches == 1


ERROR = b'{"error":{"message":"busy","code":503}}'


@pytest.mark.parametrize("caller", CALLERS)
def test_error_inside_a_stream(caller: Format) -> None:
    """54, 55: it is not lost, and said in the caller's own family, once, as the last event."""
    events, chain = ran(caller, chunk({"content": "hi"}), ERROR)
    assert b"busy" in chain.error
    failed = streams.events(chain.fail(Refusal(503, "provider_overloaded", "it is overloaded")))
    assert not any(event["type"] in ("message_stop", "response.completed") for event in events)
    (last,) = failed
    if caller == "messages":
        assert (last["type"], last["error"]) == ("error", {"type": "overloaded_error", "message": "it is overloaded"})
    else:
        assert (last["type"], last["response"]["status"]) == ("response.failed", "failed")
        assert last["response"]["error"]["code"] == "server_error"
    assert chain.fail(Refusal(500, "x", "again")) == b""


def test_no_credit_stops_codex() -> None:
    """Its only words for that: `insufficient_quota`."""
    _, chain = ran("responses", chunk({"content": "hi"}), ERROR)
    (last,) = streams.events(chain.fail(Refusal(402, "insufficient_credits", "no credit")))
    assert last["response"]["error"]["code"] == "insufficient_quota"


@pytest.mark.parametrize("caller", CALLERS)
def test_end_of_credit_is_a_regular_end(caller: Format) -> None:
    """An error would make agents ask, and pay, again."""
    chain = streams.chain("chat", caller)
    sent = chain.feed(b"data: " + chunk({"content": "hi"}) + b"\n\n")
    events = streams.events(sent + chain.cut())
    if caller == "messages":
        assert streams.message_of(events)["stop"] == "max_tokens"
        assert events[-1]["type"] == "message_stop"
        assert events[-2]["usage"]["cost"] > 0
    else:
        assert events[-1]["type"] == "response.incomplete"
        assert events[-1]["response"]["incomplete_details"] == {"reason": "max_output_tokens"}
        assert events[-1]["response"]["usage"]["cost"] > 0


@pytest.mark.parametrize("caller", CALLERS)
@pytest.mark.parametrize("done", [False, True])
def test_end_without_done(caller: Format, done: bool) -> None:
    """33, 56: a finish and a clean end are an end; no finish is none."""
    events, chain = ran(caller, chunk({"content": "hi"}), chunk(finish="stop"), USED, done=done)
    assert chain.is_complete
    assert events[-1]["type"] in ("message_stop", "response.completed")
    events, chain = ran(caller, chunk({"content": "hi"}), done=False)
    assert not chain.is_complete
    assert events[-1]["type"] not in ("message_stop", "response.completed")


def test_messages_end_behind_the_stop_reason() -> None:
    """56: a provider that leaves out `message_stop`."""
    text = b'{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"hi"}}'
    delta = b'{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":1}}'
    for events, is_end in (([text, delta], True), ([text], False)):
        chain = streams.chain("messages", "chat")
        assert (b"[DONE]" in streams.run(chain, streams.framed("messages", events))) is is_end
        assert chain.is_complete is is_end


def test_end_goes_out_with_the_settlement() -> None:
    """The last event waits until the stream is over, however its `[DONE]` was cut."""
    for caller in CALLERS:
        chain = streams.chain("chat", caller)
        wire = streams.framed("chat", [chunk({"content": "hi"}), chunk(finish="stop"), USED])
        for at in range(len(wire)):
            sent = chain.feed(wire[at : at + 1])
            is_last = b"message_stop" in sent or b"response.completed" in sent
            assert is_last is (at == len(wire) - 1) is chain.is_over


def test_calls_come_back_as_what_they_were() -> None:
    """Codex' custom tools and namespaces, and long names of Claude Code's tools."""
    memo = Memo({"apply_patch": Origin("apply_patch", "", True), "ns__spawn": Origin("spawn", "ns")})
    patch = chunk(call(0, "a", "apply_patch", json.dumps({"input": "*** Begin\n"})))
    events, _ = ran("responses", patch, chunk(call(1, "b", "ns__spawn", "{}")), chunk(finish="tool_calls"), USED, memo=memo)
    custom, spawn = events[-1]["response"]["output"]
    assert (custom["type"], custom["name"], custom["input"]) == ("custom_tool_call", "apply_patch", "*** Begin\n")
    assert (spawn["type"], spawn["name"], spawn["namespace"]) == ("function_call", "spawn", "ns")
    inputs = [event["delta"] for event in events if event["type"] == "response.custom_tool_call_input.delta"]
    assert inputs == ["*** Begin\n"]
    events, _ = ran("messages", chunk(call(0, "a", "short", "{}")), chunk(finish="tool_calls"), USED, memo={"short": "l" * 90})
    assert calls_of("messages", events) == [("a", "l" * 90, "{}")]


DIGITS = '{"x":1.50,"y":10000000000000000000001}'


@pytest.mark.parametrize("caller", CALLERS)
def test_whole_answer_is_the_stream_put_together(caller: Format) -> None:
    """The same blocks or items, with the digits that a model wrote."""
    message = {
        "role": "assistant", "content": "so", "reasoning": "hm",
        "tool_calls": [{"id": "a", "type": "function", "function": {"name": "f", "arguments": DIGITS}}],
    }  # fmt: skip
    body = {"id": "gen-1", "model": "a/b", "choices": [{"index": 0, "message": message, "finish_reason": "stop"}], "usage": USAGE}
    pair = downstream_pair(caller)
    assert pair is not None
    said = pair.whole(json.dumps(body).encode(), Context("gen-1", "a/b", 5, 9))
    assert b"1.50" in said
    assert b"10000000000000000000001" in said
    answer = json.loads(said)
    if caller == "messages":
        assert [block["type"] for block in answer["content"]] == ["thinking", "text", "tool_use"]
        assert answer["stop_reason"] == "tool_use"
    else:
        assert [item["type"] for item in answer["output"]] == ["reasoning", "message", "function_call"]
        assert answer["status"] == "completed"


@pytest.mark.parametrize("caller", ["messages", "responses", "gemini"])
def test_picture_that_a_model_makes(caller: Format) -> None:
    """It stands where the format has a place for it; elsewhere the answer says that there was one."""
    images = [{"type": "image_url", "image_url": {"url": url}} for url in ("data:image/png;base64,AAAA", "https://x.test/1.png")]
    chunks = (
        chunk({"content": "see"}),
        chunk({"images": images}),
        chunk({"images": "none"}),
        chunk({"content": "?"}),
        chunk(finish="stop"),
    )
    events, _ = ran(caller, *chunks)
    pair = downstream_pair(caller)
    assert pair is not None
    message = {"role": "assistant", "content": "see?", "images": images}
    answer = {"id": "c", "choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}
    whole = json.loads(pair.whole(json.dumps(answer).encode(), streams.CONTEXT))
    for told in (json.dumps(events), json.dumps(whole)):
        assert "https://x.test/1.png" in told
        assert ('{"mimeType": "image/png", "data": "AAAA"}' if caller == "gemini" else "a picture (image/png, 3 bytes)") in told
        assert "see" in told
        assert "?" in told


@pytest.mark.parametrize("caller", CALLERS)
def test_whole_answer_is_as_long_as_it_may_be(caller: Format) -> None:
    """A picture of 12 million bytes in Base64, say: what bounds an event of a stream bounds no whole answer."""
    said = "x" * (16 << 20)
    message = {"role": "assistant", "content": said}
    body = {"id": "gen-1", "model": "a/b", "choices": [{"index": 0, "message": message, "finish_reason": "stop"}], "usage": USAGE}
    pair = downstream_pair(caller)
    assert pair is not None
    assert said.encode() in pair.whole(json.dumps(body).encode(), Context("gen-1", "a/b", 5, 9))


@pytest.mark.parametrize("caller", CALLERS)
def test_event_of_a_stream_is_as_long_as_is_set(caller: Format) -> None:
    """By `line_bytes_max`, and not by a bound of the translator's own."""
    pair = downstream_pair(caller)
    assert pair is not None
    event = b"data: %b\n\n" % chunk({"content": "x" * 1_000})
    assert b"x" * 1_000 in pair.machine(Context("gen-1", "a/b", 5, 9, line_bytes_max=2_000)).feed(event)
    with pytest.raises(TooLong):
        pair.machine(Context("gen-1", "a/b", 5, 9, line_bytes_max=900)).feed(event)


def calls_in(answer: bytes, caller: Format) -> int:
    said = json.loads(answer)
    match caller:
        case "messages":
            return len(said["content"])
        case "gemini":
            return len(said["candidates"][0]["content"]["parts"])
        case "cohere":
            return len(said["message"]["tool_calls"])
        case _:
            return len(said["output"])


@pytest.mark.parametrize("caller", CALLERS)
def test_calls_of_an_answer_are_bounded(caller: Format) -> None:
    """Told in ten events each, and kept, 100,000 of one answer took 400 MiB."""
    pair = downstream_pair(caller)
    assert pair is not None

    def whole(count: int) -> bytes:
        calls = [{"id": f"c{at}", "type": "function", "function": {"name": "f", "arguments": "{}"}} for at in range(count)]
        message = {"role": "assistant", "content": None, "tool_calls": calls}
        choice = {"index": 0, "message": message, "finish_reason": "tool_calls"}
        return json.dumps({"id": "gen-1", "model": "a/b", "choices": [choice], "usage": USAGE}).encode()

    assert calls_in(pair.whole(whole(PIECES_MAX), Context("gen-1", "a/b", 5, 9)), caller) == PIECES_MAX
    with pytest.raises(TooLong):
        pair.whole(whole(PIECES_MAX + 1), Context("gen-1", "a/b", 5, 9))


def test_pages_that_a_text_quotes_are_bounded() -> None:
    """As calls are."""
    pages = [{"type": "url_citation", "url_citation": {"url": "https://a.test", "title": "a"}}] * (PIECES_MAX + 1)
    pair = downstream_pair("responses")
    assert pair is not None
    with pytest.raises(TooLong):
        pair.machine(Context("gen-1", "a/b", 5, 9)).feed(b"data: %b\n\n" % chunk({"content": "x", "annotations": pages}))
