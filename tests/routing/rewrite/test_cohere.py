"""Cohere's streams and answers that pass: the id and the cost are ours, the rest is the provider's, whatever way it was cut."""

import json
from typing import Any

import pytest

from routing.failures.failure import AttemptFailed
from routing.metering.meter import Meter
from routing.plan.refusal import Refusal
from routing.rewrite.cohere import CohereStream, whole
from routing.table.tariff import Tariff
from tests.routing.cuts import every_cut
from tests.routing.translate.streams import IDENTITY, RATES, events, framed, names, run, wire

STREAMS = names("chunks.txt", "cohere")
BROKEN = Refusal(502, "provider_error", "it broke")


def machine() -> CohereStream:
    return CohereStream(IDENTITY, Meter(Tariff(RATES), 9), created=1, line_bytes_max=1 << 24)


def streamed(*told: dict[str, Any]) -> bytes:
    return framed("cohere", [json.dumps(event, separators=(",", ":")).encode() for event in told])


START = {"type": "message-start", "id": "m", "delta": {"message": {"role": "assistant"}}}
TEXT = {"type": "content-delta", "index": 0, "delta": {"message": {"content": {"text": "hello"}}}}
OPEN = {"type": "content-start", "index": 0, "delta": {"message": {"content": {"type": "text", "text": ""}}}}


@pytest.mark.parametrize("name", STREAMS)
def test_stream_passes_but_for_its_names_and_its_cost(name: str) -> None:
    """Two events change: the one that names the answer and the one that tells its usage."""
    sent, rewrite = wire(name), machine()
    got = run(rewrite, sent)
    before, after = sent.split(b"\n\n"), got.split(b"\n\n")
    changed = [json.loads(new.split(b"data: ")[1]) for old, new in zip(before, after, strict=True) if old != new]
    assert [event["type"] for event in changed] == ["message-start", "message-end"]
    assert changed[0]["id"] == "gen-1"
    assert changed[1]["delta"]["usage"]["cost"] > 0
    assert "usage_source" not in changed[1]["delta"]["usage"]
    assert rewrite.is_complete
    assert rewrite.meter.text_bytes > 0


@pytest.mark.parametrize("name", STREAMS)
def test_stream_cut_anywhere_is_the_same(name: str) -> None:
    """Bytes and counts; in two pieces, cut at each place of a short one, and in pieces of one size."""
    sent, plain = wire(name, is_short=True), machine()
    expected = run(plain, sent)
    for size in (1, 7, 300):
        cut = machine()
        assert run(cut, sent, size) == expected
        assert (cut.meter.deltas, cut.meter.text_bytes) == (plain.meter.deltas, plain.meter.text_bytes)
    for parts in every_cut(sent) if len(sent) < 5_000 else ():
        each = machine()
        assert b"".join([each.feed(part) for part in parts if not each.is_over]) + each.finish() == expected


@pytest.mark.parametrize(("told", "types"), [
    ([START, OPEN, TEXT], ["content-end", "message-end"]),
    ([START], ["message-end"]),
    ([], ["message-start", "message-end"]),
])  # fmt: skip
def test_answer_that_is_cut_for_credit_ends_regularly(told: list[dict[str, Any]], types: list[str]) -> None:
    """As one that has reached its cap, with what is charged; what is open is closed before."""
    rewrite = machine()
    rewrite.feed(streamed(*told))
    end = events(rewrite.cut())
    assert [event["type"] for event in end] == types
    assert end[-1]["delta"]["finish_reason"] == "MAX_TOKENS"
    assert end[-1]["delta"]["usage"]["billed_units"]["input_tokens"] == 9
    assert end[-1]["delta"]["usage"]["cost"] > 0


def test_answer_that_broke_says_so_as_cohere_does() -> None:
    """A finish of ERROR, and the words."""
    rewrite = machine()
    rewrite.feed(streamed(START, OPEN, TEXT))
    assert rewrite.finish() == b""
    assert not rewrite.is_complete
    *_, last = events(rewrite.fail(BROKEN))
    assert (last["delta"]["finish_reason"], last["delta"]["error"]) == ("ERROR", "it broke")


@pytest.mark.parametrize("event", [
    {"message": "too many"},
    {"type": "message-end", "delta": {"finish_reason": "ERROR", "error": "too many"}},
])  # fmt: skip
def test_error_in_a_stream_is_taken_out(event: dict[str, Any]) -> None:
    """Ours is told instead."""
    rewrite = machine()
    sent = rewrite.feed(streamed(START, TEXT)) + rewrite.feed(b"data: " + json.dumps(event).encode() + b"\n\n")
    assert b"too many" not in sent
    assert b"too many" in rewrite.error
    assert not rewrite.is_complete


@pytest.mark.parametrize("usage", [None, {}, {"billed_units": {}}, "x", {"billed_units": {"input_tokens": "7"}}])
def test_usage_that_says_nothing_is_counted(usage: Any) -> None:
    """What is charged is told where the provider tells nothing."""
    rewrite = machine()
    end = {"type": "message-end", "delta": {"finish_reason": "COMPLETE", "usage": usage}}
    last = events(run(rewrite, streamed(START, OPEN, TEXT, end)))[-1]
    told = last["delta"]["usage"]
    assert told["cost"] > 0
    assert told["billed_units"]["output_tokens"] > 0
    assert told["usage_source"] in ("counted", "estimated", "bounded")


@pytest.mark.parametrize("delta", [None, [], 5, "x"])
def test_end_without_a_delta_is_an_end(delta: Any) -> None:
    rewrite = machine()
    last = events(run(rewrite, streamed(START, OPEN, TEXT, {"type": "message-end", "delta": delta})))[-1]
    assert last["delta"]["usage"]["cost"] > 0
    assert rewrite.is_complete


def test_whole_answer_has_our_id_and_its_cost() -> None:
    body = {
        "id": "m",
        "finish_reason": "TOOL_CALL",
        "message": {"role": "assistant", "tool_plan": "I will"},
        "usage": {"billed_units": {"input_tokens": 7, "output_tokens": 3}, "tokens": {"input_tokens": 70, "output_tokens": 3}},
    }
    meter = Meter(Tariff(RATES), 9)
    sent, finish, upstream_id = whole(json.dumps(body).encode(), IDENTITY, meter)
    told = json.loads(sent)
    assert (told["id"], finish, upstream_id) == ("gen-1", "tool_calls", "m")
    assert told["usage"] == {**body["usage"], "cost": told["usage"]["cost"]}  # type: ignore[dict-item]
    assert meter.bill().tokens.prompt == 7


@pytest.mark.parametrize("body", [b'{"message":"invalid api token"}', b"[]", b"{}", b"nonsense"])
def test_whole_answer_that_is_none(body: bytes) -> None:
    with pytest.raises(AttemptFailed):
        whole(body, IDENTITY, Meter(Tariff(RATES), 9))
