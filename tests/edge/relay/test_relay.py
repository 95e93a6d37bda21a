"""One request through the real relay: what the caller gets, what is charged, and in which order."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from routing.failures.failure import Kind, Sent
from tests.edge.rig import JSON, SSE, Caller, Play, Rig, broken
from tests.patience import PATIENCE_S, until
from usage.pricing import cost_nano
from usage.record import Tokens

pytestmark = pytest.mark.anyio

ANSWER = json.dumps(
    {
        "id": "x",
        "model": "m-1",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "hello"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15},
    }
).encode()
COST_NANO = 10 * 1_000 + 5 * 2_000


def chunk(content: str, finish: str | None = None, **more: Any) -> bytes:
    choices = [{"index": 0, "delta": {"content": content}, "finish_reason": finish}]
    event = {"id": "x", "model": "m-1", "created": 1, "choices": choices, **more}
    return b"data: " + json.dumps(event, separators=(",", ":")).encode() + b"\n\n"


USED = b'data: {"id":"x","model":"m-1","choices":[],"usage":{"prompt_tokens":10,"completion_tokens":5,"total_tokens":15}}\n\n'
DONE = b"data: [DONE]\n\n"
STREAM = [chunk("hel"), chunk("lo"), chunk("", "stop"), USED, DONE]


@pytest.fixture(params=[("native", "native"), ("granian", "httpx")], ids=lambda sides: sides[0])
async def rig(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Rig]:
    server, transport = request.param
    async with Rig(tmp_path, server=server, transport=transport) as built:
        yield built


@pytest.fixture(autouse=True, params=["poured", "read"])
def transport(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Every promise holds whether the transport offers what comes to the sink or leaves it to be read."""
    monkeypatch.setattr(Play, "pours", request.param == "poured")
    return str(request.param)


async def test_answer_is_charged_once_and_nothing_stays_held(rig: Rig) -> None:
    """The cost is tokens times price, and the rest of the hold is free again."""
    caller = await rig.ask(Play(200, JSON, [ANSWER[:20], ANSWER[20:]]))
    assert (caller.status, caller.json()["usage"]["cost"]) == (200, COST_NANO / 1e9)
    (record,) = rig.records
    assert (record.cost_nano, record.tokens, record.end_reason) == (COST_NANO, Tokens(10, 5), "completed")
    assert caller.headers[b"x-generation-id"].decode() == record.gen_id == caller.json()["id"]
    assert rig.held_nano == 0


async def test_stream_is_charged_like_an_answer(rig: Rig) -> None:
    """Streamed or not, the same usage costs the same."""
    caller = await rig.ask(Play(200, SSE, STREAM), stream=True)
    assert caller.body.endswith(DONE)
    assert caller.is_complete
    assert [record.cost_nano for record in rig.records] == [COST_NANO]
    assert caller.events()[-2]["usage"]["cost"] == COST_NANO / 1e9


@pytest.mark.parametrize("stream", [False, True])
async def test_intent_is_in_the_journal_before_the_provider_is_asked(rig: Rig, tmp_path: Path, stream: bool) -> None:
    """No byte leaves before its intent is in the kernel."""
    seen: list[str] = []
    (folder,) = (tmp_path / "journal" / "n").iterdir()
    rig.stage.on_open = lambda: seen.append("".join(path.read_text() for path in sorted(folder.glob("*.log"))))
    await rig.ask(Play(200, SSE, STREAM) if stream else Play(200, JSON, [ANSWER]), stream=stream)
    (text,) = seen
    assert text.count('{"i":') == 1
    assert '{"s":' not in text


@pytest.mark.parametrize("stream", [False, True])
async def test_settlement_stands_before_the_last_byte_goes_out(rig: Rig, tmp_path: Path, stream: bool) -> None:
    """An SDK hangs up at [DONE]; by then the record is in the kernel."""
    (folder,) = (tmp_path / "journal" / "n").iterdir()
    settled: list[int] = []
    rig.stage.plays = [Play(200, SSE, STREAM) if stream else Play(200, JSON, [ANSWER])]
    caller = rig.caller(stream=stream)

    def note(message: dict[str, Any]) -> None:
        if message.get("more_body") is False:
            settled.append("".join(path.read_text() for path in folder.glob("*.log")).count('{"s":'))

    caller.on_arrival = note
    await rig.run(caller)
    assert settled == [1]


async def test_settlement_stands_when_the_caller_cannot_be_told(rig: Rig) -> None:
    """A send that fails does not lose the charge."""
    rig.stage.plays = [Play(200, SSE, STREAM)]
    caller = rig.caller(stream=True)

    def refuse(message: dict[str, Any]) -> None:
        raise ConnectionError

    caller.on_send = refuse
    await rig.run(caller)
    assert len(rig.records) == 1
    assert rig.held_nano == 0


@pytest.mark.parametrize("stream", [False, True])
async def test_request_that_is_stopped_at_its_last_byte_is_charged_once(rig: Rig, stream: bool) -> None:
    """A process that ends takes its requests down wherever they are; a charge that stands is not made again."""
    rig.stage.plays = [Play(200, SSE, STREAM) if stream else Play(200, JSON, [ANSWER])]
    caller = rig.caller(stream=stream)

    def stop(message: dict[str, Any]) -> None:
        if message.get("more_body") is False:
            raise asyncio.CancelledError

    caller.on_send = stop
    with pytest.raises(asyncio.CancelledError):
        await rig.run(caller)
    assert [(record.end_reason, record.cost_nano) for record in rig.records] == [("completed", COST_NANO)]
    assert rig.held_nano == 0


async def test_failure_before_anything_was_sent_is_tried_again(rig: Rig) -> None:
    """A connection that never carried a byte costs nothing to repeat."""
    caller = await rig.ask(broken(Sent.NOTHING, Kind.CONNECT), Play(200, JSON, [ANSWER]))
    assert caller.status == 200
    assert [(record.attempts, record.cost_nano) for record in rig.records] == [(2, COST_NANO)]


async def test_failure_after_the_request_was_written_is_not_tried_again(rig: Rig) -> None:
    """The provider may be working for money already: the caller hears 502 and decides."""
    caller = await rig.ask(broken(Sent.REQUEST), Play(200, JSON, [ANSWER]))
    assert caller.status == 502
    assert len(rig.stage.targets) == 1
    assert [(record.cost_nano, record.status) for record in rig.records] == [(0, 502)]
    assert rig.held_nano == 0


@pytest.mark.parametrize("status", [408, 429, 500, 503, 529])
async def test_status_that_says_not_now_is_tried_elsewhere(rig: Rig, status: int) -> None:
    """The second target of an alias answers, at its own price."""
    caller = await rig.ask(Play(status, JSON, [b"{}"]), Play(200, JSON, [ANSWER]), model="both")
    assert caller.status == 200
    assert [target.host for target in rig.stage.targets] == ["provider.test", "other.test"]
    (record,) = rig.records
    assert (record.provider, record.cost_nano) == ("q", 10 * 3_000 + 5 * 4_000)
    assert record.cost_nano <= record.hold_nano


async def test_status_that_blames_the_request_is_passed_on(rig: Rig) -> None:
    """A 400 is the caller's to mend; it costs nothing and is not repeated."""
    body = b'{"error":{"message":"no such tool","param":"tools","code":"bad_tool"}}'
    caller = await rig.ask(Play(400, JSON, [body]), Play(200, JSON, [ANSWER]), model="both")
    assert (caller.status, caller.json()["error"]["message"]) == (400, "no such tool")
    assert [record.cost_nano for record in rig.records] == [0]


async def test_status_about_stream_options_is_asked_again_without_them(rig: Rig) -> None:
    """A provider that refuses the member we add gets the request without it."""
    refusal = Play(422, JSON, [b'{"detail":"extra_forbidden: stream_options"}'])
    answer = Play(200, SSE, STREAM)
    caller = await rig.ask(refusal, answer, stream=True)
    assert caller.status == 200
    assert "stream_options" in json.loads(refusal.asked)
    assert "stream_options" not in json.loads(answer.asked)


async def test_retry_after_of_the_provider_reaches_the_caller(rig: Rig) -> None:
    """When all attempts fail, what the last one said is what the caller hears."""
    limited = [(b"content-type", b"application/json"), (b"retry-after", b"7")]
    caller = await rig.ask(Play(429, limited, [b"{}"]), Play(429, limited, [b"{}"]))
    assert (caller.status, caller.headers[b"retry-after"]) == (429, b"7")


async def test_stream_that_breaks_ends_with_one_error_and_is_charged_for_what_came(rig: Rig) -> None:
    """No [DONE] is invented, and what was produced is paid."""
    caller = await rig.ask(Play(200, SSE, [chunk("one"), chunk("two"), broken(Sent.REQUEST)]), stream=True)
    *_, last = caller.events()
    assert list(last) == ["error"]
    assert last["error"]["code"] == "provider_disconnected"
    assert b"[DONE]" not in caller.body
    (record,) = rig.records
    assert (record.usage_source, record.tokens.completion) == ("counted", 2)
    assert record.end_reason == "truncated"


async def test_stream_that_ends_without_a_finish_is_reported(rig: Rig) -> None:
    """A clean end of the body is not an end of the answer."""
    caller = await rig.ask(Play(200, SSE, [chunk("one")]), stream=True)
    assert caller.events()[-1]["error"]["code"] == "provider_truncated"
    assert rig.records[0].end_reason == "truncated"


async def test_stream_whose_first_event_is_an_error_is_answered_with_a_status(rig: Rig) -> None:
    """Nothing had gone out: the SDK raises its exception class, once the second attempt has failed as well."""
    busy = b'data: {"error":{"code":503,"message":"busy"}}\n\n'
    caller = await rig.ask(Play(200, SSE, [busy]), Play(200, SSE, [busy]), stream=True)
    assert caller.status == 503
    assert [record.cost_nano for record in rig.records] == [0]


@pytest.mark.parametrize("stream", [False, True])
async def test_answer_with_an_error_inside_is_not_an_answer(rig: Rig, stream: bool) -> None:
    """xAI reports outages with a 200 and JSON."""
    away = b'{"code":"x","error":"The service is unavailable"}'
    caller = await rig.ask(Play(200, JSON, [away]), Play(200, JSON, [away]), stream=stream)
    assert caller.status == 502
    assert rig.records[0].cost_nano == 0


async def test_caller_who_leaves_closes_the_provider_and_pays_what_came(rig: Rig) -> None:
    """By default the upstream is closed at once."""
    play = Play(200, SSE, [chunk("one"), chunk("two")], ends=False)
    rig.stage.plays = [play]
    caller = rig.caller(stream=True)
    task = rig.start(caller)
    await play.is_waiting.wait()
    caller.leave()
    rig.look(1.0)
    await task
    assert play.aborted
    (record,) = rig.records
    assert (record.end_reason, record.status, record.tokens.completion) == ("cancelled", 499, 2)
    assert not caller.is_complete
    assert rig.held_nano == 0


async def test_caller_who_leaves_before_the_answer_pays_the_prompt(rig: Rig) -> None:
    """The provider has it, and may have read it; of a whole answer nothing is known before its end."""
    play = Play(200, JSON, [ANSWER[:20]], ends=False)
    rig.stage.plays = [play]
    caller = rig.caller()
    task = rig.start(caller)
    await play.is_waiting.wait()
    caller.leave()
    rig.look(1.0)
    await task
    (record,) = rig.records
    assert (record.end_reason, record.usage_source, record.tokens.completion) == ("cancelled", "estimated", 0)
    assert record.tokens.prompt > 0
    assert record.cost_nano > 0
    assert rig.held_nano == 0


async def held_at(rig: Rig, caller: Caller, kind: str) -> "asyncio.Task[None]":
    """A request whose server takes no message of that kind (start or body), and has been given one."""
    is_given, never = asyncio.Event(), asyncio.Event()

    async def send(message: Any) -> None:
        if message["type"] == f"http.response.{kind}":
            is_given.set()
            await never.wait()
        caller.sent.append(dict(message))

    task = rig.tasks.spawn("request", rig.relay(caller.scope, caller.receive, send))
    await is_given.wait()
    return task


async def test_caller_who_leaves_while_the_head_is_sent_is_seen_before_the_provider_speaks_again(rig: Rig) -> None:
    """Nobody reads then, so a poke would be lost; a provider that falls silent would hold the request for ever."""
    play = Play(200, SSE, [chunk("one")], ends=False)
    rig.stage.plays = [play]
    caller = rig.caller(stream=True)
    task = await held_at(rig, caller, "start")
    caller.leave()
    rig.look(1.0)
    async with asyncio.timeout(PATIENCE_S):
        await task
    assert play.aborted
    assert [(record.end_reason, record.status) for record in rig.records] == [("cancelled", 499)]


async def test_caller_who_leaves_a_provider_that_bills_on_is_charged_exactly(tmp_path: Path) -> None:
    """With `drain` the answer is read to its end, so that the usage is the provider's."""
    async with Rig(tmp_path, extra='on_disconnect = "drain"') as rig:
        goes_on = asyncio.Event()
        play = Play(200, SSE, [chunk("one")], ends=False)
        rig.stage.plays = [play]
        caller = rig.caller(stream=True)
        task = rig.start(caller)
        await play.is_waiting.wait()
        count = len(caller.sent)
        caller.leave()
        rig.look(1.0)
        play._steps = [*STREAM[1:], b""]
        goes_on.set()
        await task
        (record,) = rig.records
        assert (record.end_reason, record.usage_source, record.cost_nano) == ("cancelled", "provider", COST_NANO)
        assert len(caller.sent) == count


async def test_caller_who_stops_reading_is_dropped(rig: Rig) -> None:
    """A send that takes longer than the bound ends the request."""
    rig.stage.plays = [play := Play(200, SSE, STREAM)]
    task = await held_at(rig, rig.caller(stream=True), "body")
    rig.look(29.0)
    await asyncio.sleep(0)
    assert not task.done()
    rig.look(31.0)
    await task
    assert play.aborted
    assert rig.records[0].end_reason == "cancelled"


async def test_caller_whose_server_holds_the_head_back_is_dropped(rig: Rig) -> None:
    """A server may let the head wait as it does the body: it is the reader's clock that runs then, not the provider's."""
    rig.stage.plays = [play := Play(200, SSE, STREAM)]
    task = await held_at(rig, rig.caller(stream=True), "start")
    rig.look(29.0)
    await asyncio.sleep(0)
    assert not task.done()
    rig.look(31.0)
    await task
    assert play.aborted
    assert [(record.end_reason, record.status) for record in rig.records] == [("cancelled", 499)]


@pytest.mark.parametrize("part", ["start", "body"])
async def test_caller_who_takes_nothing_of_a_whole_answer_is_dropped(rig: Rig, part: str) -> None:
    """An answer that goes out at once has the reader's clock on it, too; it is charged, for it was complete."""
    rig.stage.plays = [Play(200, JSON, [ANSWER])]
    task = await held_at(rig, rig.caller(), part)
    rig.look(29.0)
    await asyncio.sleep(0)
    assert not task.done()
    rig.look(31.0)
    await task
    assert [(record.end_reason, record.cost_nano) for record in rig.records] == [("completed", COST_NANO)]
    assert not rig.watch.contexts


async def test_provider_that_falls_silent_is_given_up(rig: Rig) -> None:
    """The idle clock ends a stream with an error chunk, after comments have kept the caller's side alive."""
    play = Play(200, SSE, [chunk("one")], ends=False)
    rig.stage.plays = [play]
    caller = rig.caller(stream=True)
    task = rig.start(caller)
    await play.is_waiting.wait()
    idle_s = rig.table.config.providers["p"].idle_timeout_s
    rig.look(idle_s + 1)
    await task
    assert caller.events()[-1]["error"]["code"] == "provider_timeout"
    assert rig.records[0].end_reason == "timeout"
    assert play.aborted


async def test_credit_that_reaches_its_reserve_ends_the_stream(rig: Rig) -> None:
    """A provider that ignores the cap is cut off, with a marker, and never beyond what was held."""
    words = [chunk("0123456789 " * 2) for _ in range(200)]
    caller = await rig.ask(Play(200, SSE, words, ends=False), stream=True, max_tokens=20)
    last = caller.events()[-1]
    assert (last["choices"][0]["finish_reason"], last["ended_by"]) == ("length", "credit")
    (record,) = rig.records
    assert record.end_reason == "credit_limit"
    assert len(caller.events()) < 60
    assert b"[DONE]" not in caller.body


async def test_credit_for_less_than_the_models_cap_is_sent_as_a_cap(tmp_path: Path) -> None:
    """A missing max_tokens is capped by what the credit affords."""
    async with Rig(tmp_path, credit_nano=200_000) as rig:
        play = Play(200, JSON, [ANSWER])
        caller = await rig.ask(play)
        assert caller.status == 200
        cap = json.loads(play.asked)["max_tokens"]
        assert 16 <= cap < 100
        (record,) = rig.records
        assert record.hold_nano <= 200_000


async def test_request_whose_intent_cannot_be_written_is_refused_and_costs_nothing(rig: Rig) -> None:
    """The disk fails at the end of the turn, when the intent was taken already: 503, nothing sent, a record of nothing."""
    write, rig.journal._log._write = rig.journal._log._write, lambda fd, data: 0
    caller = await rig.ask(Play(200, JSON, [ANSWER]))
    assert (caller.status, caller.json()["error"]["code"]) == (503, "journal_unavailable")
    assert caller.headers[b"retry-after"] == b"5"
    assert not rig.stage.targets
    assert rig.held_nano == 0
    rig.journal._log._write = write
    await until(lambda: not rig.journal.failure)
    rig.journal.commit()
    (record,) = rig.records
    assert (record.cost_nano, record.status, record.end_reason) == (0, 503, "proxy_error")


async def test_credit_that_does_not_pay_is_refused_with_what_it_would_buy(tmp_path: Path) -> None:
    """402 says how many tokens the rest would buy; nothing is written or sent."""
    async with Rig(tmp_path, credit_nano=100_000) as rig:
        caller = rig.caller(max_tokens=1_000)
        caller.scope["path"] = "/api/v1/chat/completions"
        await rig.run(caller)
        assert caller.status == 402
        error = caller.json()["error"]
        assert error["metadata"]["code"] == "insufficient_credits"
        assert 0 < error["metadata"]["affordable_tokens"] < 50
        assert not rig.stage.targets
        assert not rig.records
        assert rig.journal.running_intents == 0


async def test_credit_that_cannot_be_verified_is_503_not_402(rig: Rig) -> None:
    """Only the collector's word makes a 402."""
    rig.collector.is_reachable = False
    caller = await rig.ask(Play(200, JSON, [ANSWER]))
    assert (caller.status, caller.json()["error"]["code"]) == (503, "credit_unverifiable")
    assert b"retry-after" in caller.headers


async def test_warm_request_asks_the_collector_nothing(rig: Rig) -> None:
    """Once the node holds a lease, no request waits for the collector."""
    await rig.ask(Play(200, JSON, [ANSWER]))
    calls = len(rig.collector.seen)
    rig.collector.gate = asyncio.Event()
    caller = await rig.ask(Play(200, JSON, [ANSWER]))
    assert caller.status == 200
    rig.collector.gate.set()
    assert len(rig.collector.seen) <= calls + 1


async def test_key_that_has_expired_is_refused(rig: Rig) -> None:
    """An expiry holds at the edge without asking the collector again."""
    (digest, policy) = next(iter(rig.in_memory.keys.items()))
    rig.in_memory.keys[digest] = msgspec.structs.replace(policy, expires_ms=1)
    caller = await rig.ask(Play(200, JSON, [ANSWER]))
    assert (caller.status, caller.json()["error"]["message"]) == (401, "this API key has expired")
    assert not rig.records


async def test_record_of_a_failure_costs_nothing_by_its_own_rates(tmp_path: Path) -> None:
    """The collector computes each cost again: a fixed price per request must not stand beside a charge of nothing."""
    async with Rig(tmp_path, extra='[providers.p.models.fixed]\ninput = "0"\noutput = "0"\nrequest = "0.01"\n') as rig:
        await rig.ask(broken(Sent.REQUEST), model="p/fixed")
        await rig.ask(Play(200, JSON, [ANSWER]), model="p/fixed")
        assert [record.cost_nano for record in rig.records] == [0, 10_000_000]
        assert all(record.cost_nano == cost_nano(record.tokens, record.rates) for record in rig.records)


async def test_stream_whose_first_read_holds_text_and_an_error_delivers_the_text(rig: Rig) -> None:
    """What was produced is delivered and paid; the error follows it in the stream, not instead of it."""
    both = chunk("one") + b'data: {"error":{"code":503,"message":"busy"}}\n\n'
    caller = await rig.ask(Play(200, SSE, [both]), stream=True)
    first, last = caller.events()
    assert first["choices"][0]["delta"]["content"] == "one"
    assert last["error"]["code"] == "provider_overloaded"
    assert rig.records[0].tokens.completion == 1


PACE_S = 0.05


async def test_overhead_of_a_stream_does_not_hold_the_providers_pace(rig: Rig) -> None:
    """What a provider takes between its chunks is not our doing; the first byte is timed even in a one-read stream."""
    await rig.ask(Play(200, SSE, [b"".join(STREAM)]), stream=True)
    play = Play(200, SSE, [chunk("one"), lambda: time.sleep(PACE_S), *STREAM[1:]])
    rig.metrics.fold()
    before_s, began_s = rig.metrics.overhead_s.total, time.monotonic()
    await rig.ask(play, stream=True)
    rig.metrics.fold()
    assert 0 < rig.metrics.overhead_s.total - before_s <= time.monotonic() - began_s - PACE_S
    assert sum(rig.metrics.first_byte_s.counts) == 2


async def test_stream_that_breaks_behind_its_finish_is_whole(rig: Rig) -> None:
    """The chunk with the finish was held back for its usage: it still goes out, and the answer is complete."""
    caller = await rig.ask(Play(200, SSE, [chunk("one"), chunk("", "stop"), broken(Sent.REQUEST)]), stream=True)
    assert [event["choices"][0]["finish_reason"] for event in caller.events()] == [None, "stop"]
    assert caller.is_complete
    assert [record.end_reason for record in rig.records] == ["completed"]


async def test_caller_who_left_stays_gone_whatever_ends_the_draining(tmp_path: Path) -> None:
    """A drain that runs out of time is a caller who left, charged for what came, not a time-out of the provider."""
    async with Rig(tmp_path, extra='on_disconnect = "drain"') as rig:
        play = Play(200, SSE, [chunk("one")], ends=False)
        rig.stage.plays = [play]
        caller = rig.caller(stream=True)
        task = rig.start(caller)
        await play.is_waiting.wait()
        caller.leave()
        rig.look(1.0)
        play.is_waiting.clear()
        await play.is_waiting.wait()
        count = len(caller.sent)
        rig.look(60.0)
        await task
        (record,) = rig.records
        assert (record.end_reason, record.status, record.tokens.completion) == ("cancelled", 499, 1)
        assert len(caller.sent) == count


async def test_whole_answer_of_a_caller_who_left_is_499_in_the_record(tmp_path: Path) -> None:
    """Drained to its end, so that the usage is exact; sent to nobody."""
    async with Rig(tmp_path, extra='on_disconnect = "drain"') as rig:
        play = Play(200, JSON, [ANSWER[:20]], ends=False)
        rig.stage.plays = [play]
        caller = rig.caller()
        task = rig.start(caller)
        await play.is_waiting.wait()
        caller.leave()
        rig.look(1.0)
        play._steps = [ANSWER[20:], b""]
        await task
        (record,) = rig.records
        assert (record.end_reason, record.status, record.cost_nano) == ("cancelled", 499, COST_NANO)
        assert not caller.sent


async def test_caller_who_leaves_before_the_first_byte_has_had_none(rig: Rig) -> None:
    """No time to a first byte is told of an answer that had none."""
    play = Play(200, SSE, [], ends=False)
    rig.stage.plays = [play]
    caller = rig.caller(stream=True)
    task = rig.start(caller)
    await play.is_waiting.wait()
    caller.leave()
    rig.look(1.0)
    await task
    assert rig.records[0].ttft_ms == 0
    assert sum(rig.metrics.first_byte_s.counts) == 0


async def test_stream_waits_for_a_send_that_waits(rig: Rig) -> None:
    """While the server holds a chunk back nothing overtakes it, and what waited goes out in order."""
    gate, caller = asyncio.Event(), rig.caller(stream=True)
    whole: list[bytes] = []

    async def send(message: Any) -> None:
        whole.append(message.get("body", b""))
        if b"slow" in whole[-1]:
            await gate.wait()
            await asyncio.sleep(0)
            whole.append(b"<gone>")

    rig.stage.plays = [Play(200, SSE, [chunk("a"), chunk("slow"), chunk("b"), chunk("c"), *STREAM[2:]])]
    request = rig.tasks.spawn("request", rig.relay(caller.scope, caller.receive, send))
    await until(lambda: bool(whole) and b"slow" in whole[-1])
    for _ in range(20):
        await asyncio.sleep(0)
    assert b"slow" in whole[-1]
    gate.set()
    await request
    places = [b"".join(whole).find(mark) for mark in (b'"a"', b'"slow"', b"<gone>", b'"b"', b'"c"', DONE)]
    assert -1 not in places
    assert places == sorted(places)
    assert [record.end_reason for record in rig.records] == ["completed"]


async def test_stream_whose_send_fails_is_settled(rig: Rig) -> None:
    """A server that raises from `send` ends the request, and the hold with it; the connection is given up."""
    caller, play = rig.caller(stream=True), Play(200, SSE, [chunk("a"), chunk("b"), *STREAM[2:]])

    def refuse(message: dict[str, Any]) -> None:
        if b'"b"' in message.get("body", b""):
            raise RuntimeError("the server has closed")

    caller.on_send = refuse
    rig.stage.plays = [play]
    await rig.run(caller)
    assert play.aborted
    assert [record.end_reason for record in rig.records] == ["proxy_error"]
    assert rig.held_nano == 0


async def test_stream_with_a_line_too_long_ends_with_an_error(rig: Rig) -> None:
    """The bound on a line holds wherever the line is met."""
    play = Play(200, SSE, [chunk("a"), *[b"data: " + b"x" * (1 << 23)] * 3, *STREAM[2:]])
    caller = await rig.ask(play, stream=True)
    assert caller.events()[-1]["error"]["code"]
    assert play.aborted
    assert [record.error for record in rig.records] == ["too_large"]
