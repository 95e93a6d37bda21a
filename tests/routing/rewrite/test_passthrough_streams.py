"""Streams of Messages and Responses that pass: two events change, the rest is the provider's, whatever way it was cut."""

import contextlib
import json
import random
from typing import Any

import pytest
from anthropic._models import construct_type as construct_message
from anthropic.lib.streaming._messages import accumulate_event
from anthropic.types import RawMessageStreamEvent
from hypothesis import given
from hypothesis import strategies as st
from openai import omit
from openai._models import construct_type as construct_response
from openai.lib.streaming.responses._responses import ResponseStreamState
from openai.types.responses import ResponseStreamEvent

from routing.metering.meter import Meter
from routing.plan.refusal import Refusal
from routing.rewrite.messages import MessagesStream
from routing.rewrite.messages import whole as whole_message
from routing.rewrite.named_events import NamedEvents
from routing.rewrite.responses import ResponsesStream
from routing.rewrite.responses import whole as whole_response
from routing.table.tariff import Tariff
from routing.wire.sse import TooLong
from tests.routing.translate.streams import IDENTITY, RATES, answer, names, run, wire

KINDS: dict[str, type[NamedEvents]] = {"messages": MessagesStream, "responses": ResponsesStream}
STREAMS = [(kind, name) for kind in KINDS for name in names("chunks.txt", kind) if "wrapper" not in name]
ENDS = ("message_delta", "response.completed", "response.incomplete")
STARTS = ("message_start", "response.created", "response.in_progress", *ENDS)
BROKEN = Refusal(502, "provider_error", "it broke")


def machine(kind: str) -> Any:
    return KINDS[kind](IDENTITY, Meter(Tariff(RATES), 9), created=1, line_bytes_max=1 << 24)


def events(stream: bytes) -> list[dict[str, Any]]:
    """Those that are whole: one recording was broken into lines where it was kept."""
    found = []
    for line in stream.split(b"\n"):
        if line.startswith(b"data: "):
            with contextlib.suppress(json.JSONDecodeError):
                found.append(json.loads(line[6:]))
    return found


def lists_of(stream: bytes) -> list[bytes]:
    return [block for block in stream.split(b"\n\n") if block]


@pytest.mark.parametrize(("kind", "name"), STREAMS)
def test_passthrough_changes_only_the_events_that_name_or_charge(kind: str, name: str) -> None:
    """Every other event goes out in the bytes that came, in their order; ids, model and cost are ours."""
    sent, rewrite = wire(name), machine(kind)
    got = run(rewrite, sent)
    if rewrite.error:
        assert "error" in name
        return
    before, after = lists_of(sent), lists_of(got)
    if name.startswith("anthropic-duplicate"):
        before = [block for at, block in enumerate(before) if not (at and b"message_start" in block)]
    # Some recordings hold several answers: the stream ends with the first one.
    before = before[: len(after)]
    changed = [new for old, new in zip(before, after, strict=True) if old != new]
    assert all(event["type"] in STARTS for block in changed for event in events(block))
    for event in events(got):
        inner = event.get("message") or event.get("response")
        if inner is not None:
            assert (inner["id"], inner["model"]) == ("gen-1", "a/b")
    last = next(event for event in reversed(events(got)) if event["type"] in ENDS)
    usage = last.get("usage") or last["response"]["usage"]
    assert usage["cost"] > 0
    assert "usage_source" not in usage
    assert rewrite.is_complete
    assert rewrite.meter.text_bytes > 0 or "refusal" in name


@pytest.mark.parametrize(("kind", "name"), STREAMS)
def test_passthrough_of_a_stream_cut_anywhere_is_the_same(kind: str, name: str) -> None:
    """Bytes, counts and end do not depend on how TCP cut it."""
    sent = wire(name, is_short=True)
    plain = machine(kind)
    expected = run(plain, sent)
    dice = random.Random(name)
    for size in (1, 7, 300, *(dice.randrange(2, 2000) for _ in range(6))):
        cut = machine(kind)
        assert run(cut, sent, size) == expected
        assert (cut.meter.deltas, cut.meter.text_bytes) == (plain.meter.deltas, plain.meter.text_bytes)
    blocks = machine(kind)
    got = b"".join([blocks.feed(block + b"\n\n") for block in lists_of(sent) if not blocks.is_over]) + blocks.finish()
    assert got == expected
    assert blocks.meter.text_bytes == plain.meter.text_bytes


@pytest.mark.parametrize(("kind", "name"), STREAMS)
def test_passthrough_that_is_cut_for_credit_ends_regularly(kind: str, name: str) -> None:
    """Half an answer ends as one that has reached its cap: with its usage and its last event, and no error."""
    blocks = lists_of(wire(name))
    rewrite = machine(kind)
    for block in blocks[: len(blocks) // 2]:
        rewrite.feed(block + b"\n\n")
    if rewrite.error or rewrite.is_over:
        return
    end = events(rewrite.cut())
    if kind == "messages":
        assert [event["type"] for event in end][-2:] == ["message_delta", "message_stop"]
        assert end[-2]["delta"]["stop_reason"] == "max_tokens"
        assert end[-2]["usage"]["cost"] > 0
    else:
        assert end[-1]["type"] == "response.incomplete"
        response = end[-1]["response"]
        assert response["incomplete_details"] == {"reason": "max_output_tokens"}
        assert response["usage"]["cost"] > 0
        numbers = [event.get("sequence_number", -1) for event in events(b"\n\n".join(blocks[: len(blocks) // 2]))]
        assert end[-1]["sequence_number"] == max(numbers) + 1


@pytest.mark.parametrize(("kind", "name"), STREAMS)
def test_passthrough_is_what_the_sdks_accumulate(kind: str, name: str) -> None:
    """The official SDKs' own accumulators take every event."""
    rewrite = machine(kind)
    got = run(rewrite, wire(name))
    if rewrite.error:
        return
    if kind == "messages":
        snapshot: Any = None
        json_bufs: dict[int, bytes] = {}
        for event in events(got):
            if event["type"] != "ping":
                built: Any = construct_message(type_=RawMessageStreamEvent, value=event)
                snapshot = accumulate_event(event=built, current_snapshot=snapshot, json_bufs=json_bufs)
        assert snapshot.stop_reason
        assert snapshot.id == "gen-1"
        return
    state: Any = ResponseStreamState(input_tools=omit, text_format=omit)
    for event in events(got):
        built = construct_response(type_=ResponseStreamEvent, value=event)
        state.handle_event(built)
    assert built.response.usage.model_extra["cost"] > 0


def test_passthrough_counts_without_usage_what_was_passed_on() -> None:
    """A provider without usage: the text is counted, told as ours, and charged."""
    start = b'event: message_start\ndata: {"type":"message_start","message":{"id":"m","model":"x","content":[]}}\n\n'
    delta = b'event: content_block_delta\ndata: {"type":"content_block_delta","delta":{"type":"text_delta","text":"%b"}}\n\n'
    end = b'event: message_delta\ndata: {"type":"message_delta","delta":{"stop_reason":"end_turn"}}\n\n'
    rewrite = machine("messages")
    got = run(rewrite, start + delta % b"Hello, world" * 3 + end)
    usage = events(got)[-1]["usage"]
    assert (usage["output_tokens"], usage["usage_source"]) == (9, "counted")
    assert usage["cost"] > 0
    assert rewrite.is_complete


def test_passthrough_tells_an_error_and_never_an_end() -> None:
    """A provider's error is taken out; what is told of it is ours. Without an end there is none."""
    for kind in KINDS:
        rewrite = machine(kind)
        got = rewrite.feed(b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"busy"}}\n\n')
        assert got == b""
        assert json.loads(rewrite.error)["message"] == "busy"
        assert events(rewrite.fail(BROKEN))[0]["type"] in ("error", "response.failed")
        cut = machine(kind)
        assert cut.finish() == b""
        assert not cut.is_complete


@given(
    st.lists(st.sampled_from([b"event: x", b"data: {", b'"type":"message_delta"', b"}", b"\n", b"\r", b"\n\n", b"\xff", b"[]"]))
)
def test_passthrough_of_anything_does_not_raise(parts: list[bytes]) -> None:
    """Whatever comes in; what cannot be read passes."""
    for kind in KINDS:
        rewrite = machine(kind)
        try:
            for part in parts:
                rewrite.feed(part)
            rewrite.finish()
            rewrite.cut()
        except TooLong:
            pass


@pytest.mark.parametrize("name", names("json", "messages"))
def test_whole_message_has_our_names_and_its_cost(name: str) -> None:
    """Whole, too, nothing else changes."""
    before = json.loads(answer(name))
    told, finish, upstream_id = whole_message(answer(name), IDENTITY, Meter(Tariff(RATES), 9))
    after = json.loads(told)
    assert (after.pop("id"), after.pop("model")) == ("gen-1", "a/b")
    assert after["usage"].pop("cost") > 0
    assert upstream_id == before.pop("id")
    before.pop("model")
    assert after == before
    assert finish


@pytest.mark.parametrize("name", names("json", "responses"))
def test_whole_response_has_our_names_and_its_cost(name: str) -> None:
    """The same of Responses."""
    before = json.loads(answer(name))
    told, finish, upstream_id = whole_response(answer(name), IDENTITY, Meter(Tariff(RATES), 9))
    after = json.loads(told)
    assert (after.pop("id"), after.pop("model")) == ("gen-1", "a/b")
    assert after["usage"].pop("cost") > 0
    assert upstream_id == before.pop("id")
    before.pop("model")
    assert after == before
    assert finish == "stop"


def _done(text: str, index: int) -> bytes:
    part = {"type": "output_text", "text": text, "annotations": []}
    item = {"id": f"msg_{index}", "type": "message", "role": "assistant", "content": [part]}
    return _named("response.output_item.done", output_index=index, item=item)


def _delta(text: str, index: int) -> bytes:
    return _named("response.output_text.delta", output_index=index, item_id=f"msg_{index}", delta=text)


def _named(kind: str, **members: Any) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), json.dumps({"type": kind, **members}, separators=(",", ":")).encode())


@pytest.mark.parametrize(
    ("stream", "text_bytes"),
    [
        ([_done("x" * 400, 0)], 400),
        ([_delta("x" * 200, 0), _delta("x" * 200, 0), _done("x" * 400, 0)], 400),
        ([_delta("x" * 400, 0), _done("x" * 400, 0), _done("y" * 100, 1)], 500),
        ([_delta("x" * 400, 0), _done("y" * 100, 1), _done("x" * 400, 0)], 500),
    ],
    ids=["whole", "in deltas", "one of each", "one within another"],
)
def test_item_that_comes_whole_counts_before_the_usage_comes(stream: list[bytes], text_bytes: int) -> None:
    """A caller who leaves, and a stream that breaks, pay for text that no delta told, and for none twice."""
    head = _named("response.created", response={"id": "resp_1", "status": "in_progress", "output": []})
    rewrite = machine("responses")
    for event in (head, *stream):
        rewrite.feed(event)
    assert rewrite.meter.text_bytes == text_bytes
    assert rewrite.meter.tokens.completion >= text_bytes // 4


PAGES = [{"file_id": "file_1", "filename": "a.pdf", "score": 0.9, "text": "x" * 40_000}]
ITEMS: list[dict[str, Any]] = [
    {"id": "fs_1", "type": "file_search_call", "status": "completed", "queries": ["q"], "results": PAGES},
    {"id": "ci_1", "type": "code_interpreter_call", "code": "1", "outputs": [{"type": "logs", "text": "x" * 40_000}]},
    {"id": "sh_1", "type": "shell_call_output", "call_id": "c", "output": [{"type": "output", "text": "x" * 40_000}]},
    {"id": "ml_1", "type": "mcp_list_tools", "tools": [{"name": "f", "input_schema": {"default": {"text": "x" * 40_000}}}]},
    {"id": "msg_1", "type": "message", "role": "assistant", "content": [{"type": "output_text", "text": 'y"' + "y" * 397}]},
    {"id": "fc_1", "type": "function_call", "call_id": "d", "name": "f", "arguments": "", "results": None},
]
BLOCKS: list[dict[str, Any]] = [
    {"type": "mcp_tool_use", "id": "u", "name": "f", "input": {}, "server_name": "s"},
    {"type": "mcp_tool_result", "tool_use_id": "u", "is_error": False, "content": [{"type": "text", "text": "x" * 40_000}]},
    {"type": "text", "text": 'y"' + "y" * 397},
]
COUNTED = {"input_tokens": 9, "output_tokens": 100, "total_tokens": 109}


def response(usage: Any) -> bytes:
    done = {"id": "resp_1", "status": "completed", "output": ITEMS, "usage": usage, "model": "m"}
    items = [_named("response.output_item.done", output_index=at, item=item) for at, item in enumerate(ITEMS)]
    return b"".join([*items, _named("response.completed", response=done)])


def message(usage: Any) -> bytes:
    blocks = [
        _named("content_block_start", index=at, content_block=block) + _named("content_block_stop", index=at)
        for at, block in enumerate(BLOCKS)
    ]
    more = {} if usage is None else {"usage": usage}
    return b"".join(
        [
            _named("message_start", message={"id": "m", "model": "x", "content": []}),
            *blocks,
            _named("message_delta", delta={"stop_reason": "end_turn"}, **more),
            _named("message_stop"),
        ]
    )


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("usage", [None, COUNTED], ids=["no usage", "usage"])
def test_what_a_tool_of_the_provider_answers_is_no_text_of_a_models(kind: str, usage: Any) -> None:
    """Whole and in a stream, cut anywhere: it is neither counted nor held against the usage that the provider tells."""
    stream = message(usage) if kind == "messages" else response(usage)
    source = "counted" if usage is None else "provider"
    for size in (7, 100_000):
        rewrite = machine(kind)
        run(rewrite, stream, size)
        assert rewrite.meter.text_bytes == 400
        assert (rewrite.meter.source, rewrite.meter.tokens.completion) == (source, 100)
    meter = Meter(Tariff(RATES), 9)
    if kind == "messages":
        whole_message(json.dumps({"type": "message", "content": BLOCKS, "usage": usage}).encode(), IDENTITY, meter)
    else:
        whole_response(json.dumps({"status": "completed", "output": ITEMS, "usage": usage}).encode(), IDENTITY, meter)
    assert (meter.source, meter.tokens.completion) == (source, 100)
