"""An attempt has answered with its first event, not with its status line; and what a body is, its bytes say."""

import asyncio
import gzip
import json
import zlib
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from edge.upstream import Header, Target
from routing.failures.failure import Kind, Sent
from tests.edge.relay.test_relay import ANSWER, COST_NANO, DONE, STREAM, USED, chunk, transport
from tests.edge.rig import JSON, SSE, Caller, Play, Rig, Step, broken
from tests.patience import until

__all__ = ["transport"]
pytestmark = pytest.mark.anyio

BUSY = b'{"error":{"code":503,"message":"busy"}}'
BUSY_EVENT = b"data: " + BUSY + b"\n\n"
ROLE = b'data: {"id":"x","model":"m-1","choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}\n\n'
AZURE = b'data: {"id":"","model":"","choices":[],"prompt_filter_results":[]}\n\n'
CUT = broken(Sent.REQUEST)
BOTH_NANO = 10 * 3_000 + 5 * 4_000
TEXT: list[Header] = [(b"content-type", b"text/plain; charset=utf-8")]


@pytest.fixture(params=[("native", "native"), ("granian", "httpx")], ids=lambda sides: sides[0])
async def rig(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Rig]:
    server, transport = request.param
    async with Rig(tmp_path, server=server, transport=transport) as built:
        yield built


def text_of(caller: Caller) -> str:
    """What a caller of a stream reads."""
    chunks = [event for event in caller.events() if event != DONE[6:-2]]
    return "".join(choice["delta"].get("content") or "" for event in chunks for choice in event.get("choices", ()))


@pytest.mark.parametrize(
    ("headers", "steps"),
    [
        (SSE, [BUSY_EVENT]),
        (SSE, [b": hello\n\n", b": again\n\n" + BUSY_EVENT]),
        (SSE, [AZURE, BUSY_EVENT]),
        (SSE, [AZURE[:10], AZURE[10:] + BUSY_EVENT[:8], BUSY_EVENT[8:]]),
        (SSE, [ROLE + BUSY_EVENT]),
        (SSE, [b'event: error\ndata: {"message":"busy","code":503}\n\n']),
        (SSE, [b'error: {"code":503,"message":"busy"}\n\n']),
        (SSE, [BUSY]),
        (JSON, [BUSY]),
        (JSON, [BUSY_EVENT]),
        (TEXT, [b"\n\n\n", BUSY[:7], BUSY[7:]]),
        ([], [b'{"object":"error","message":"busy","code":503}']),
        ([*JSON, (b"content-encoding", b"gzip")], [gzip.compress(BUSY)]),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
async def test_error_first_goes_to_the_next_target(rig: Rig, headers: list[Header], steps: list[Step], stream: bool) -> None:
    """In a 200, in whatever form: nothing was billed, so the second target is asked, and the first is known to have failed."""
    answer = Play(200, SSE, STREAM) if stream else Play(200, JSON, [ANSWER])
    caller = await rig.ask(first := Play(200, headers, steps), answer, model="both", stream=stream)
    assert caller.status == 200
    assert b"busy" not in caller.body
    assert [target.host for target in rig.stage.targets] == ["provider.test", "other.test"]
    (record,) = rig.records
    assert (record.provider, record.attempts, record.cost_nano, record.end_reason) == ("q", 2, BOTH_NANO, "completed")
    assert rig.table._health
    assert first.aborted
    assert rig.held_nano == 0


@pytest.mark.parametrize("stream", [False, True])
async def test_error_first_that_blames_the_request_is_the_callers(rig: Rig, stream: bool) -> None:
    """A 400 inside a 200 is a 400, and closes nobody."""
    error = b'{"error":{"code":400,"message":"tools[0] is wrong","type":"invalid_request_error"}}'
    caller = await rig.ask(Play(200, SSE, [b"data: " + error + b"\n\n"]), model="both", stream=stream)
    assert (caller.status, caller.json()["error"]["message"]) == (400, "tools[0] is wrong")
    assert len(rig.stage.targets) == 1
    assert rig.records[0].cost_nano == 0


@pytest.mark.parametrize(
    "steps",
    [
        [],
        [b": hi\n\n"],
        [b"\n"],
        [DONE],
        [AZURE],
        [USED, DONE],
        [b"<html>"],
        [broken(Sent.REQUEST)],
        [b": x\n\n", broken(Sent.REQUEST)],
    ],
)
@pytest.mark.parametrize("stream", [False, True])
async def test_answer_that_never_begins_costs_nothing_and_is_not_bought_again(rig: Rig, steps: list[Step], stream: bool) -> None:
    """It may have been billed, so nobody else is asked; the caller hears a status and pays nothing."""
    caller = await rig.ask(Play(200, SSE, steps), model="both", stream=stream)
    assert caller.status == 502
    assert len(rig.stage.targets) == 1
    assert [(record.cost_nano, record.status) for record in rig.records] == [(0, 502)]


async def test_meter_of_a_failed_attempt_is_not_charged(rig: Rig) -> None:
    """What came of an answer that was none (its usage) counts for nothing in the next one."""
    claim = USED.replace(b'"prompt_tokens":10', b'"prompt_tokens":90')
    caller = await rig.ask(Play(200, SSE, [claim, BUSY_EVENT]), Play(200, SSE, STREAM), model="both", stream=True)
    assert caller.status == 200
    assert [record.cost_nano for record in rig.records] == [BOTH_NANO]


async def test_claim_of_a_failed_attempt_is_not_charged_where_the_next_makes_none(rig: Rig) -> None:
    """The next answer is counted, not charged by what the failed attempt claimed."""
    claim = USED.replace(b'"prompt_tokens":10', b'"prompt_tokens":900')
    rest = [chunk("hi"), chunk("", "stop"), DONE]
    caller = await rig.ask(Play(200, SSE, [claim, BUSY_EVENT]), Play(200, SSE, rest), model="both", stream=True)
    assert caller.status == 200
    (record,) = rig.records
    assert (record.usage_source, record.tokens.completion, record.attempts) == ("counted", 1, 2)
    assert record.tokens.prompt < 50


SSE_BYTES = b"".join(STREAM)


@pytest.mark.parametrize("headers", [SSE, JSON, TEXT, []])
@pytest.mark.parametrize("coding", ["", "gzip", "deflate", "bare", "unnamed", "said"])
@pytest.mark.parametrize("sent", ["stream", "whole"])
@pytest.mark.parametrize("stream", [False, True])
async def test_answer_is_what_was_asked_for_whatever_the_provider_labels(
    rig: Rig, headers: list[Header], coding: str, sent: str, stream: bool
) -> None:
    """A stream for who asked for one, a whole answer for who did not; the same text, the same charge, the right label."""
    body, label = coded(SSE_BYTES if sent == "stream" else ANSWER, coding)
    caller = await rig.ask(Play(200, [*headers, *label], [body[:3], body[3:40], body[40:]]), stream=stream)
    assert caller.status == 200
    assert b"content-encoding" not in caller.headers
    if stream:
        assert caller.headers[b"content-type"].startswith(b"text/event-stream")
        assert text_of(caller) == "hello"
        assert caller.body.endswith(DONE)
        assert [event["usage"]["cost"] for event in caller.events()[:-1] if event.get("usage")] == [COST_NANO / 1e9]
    else:
        assert caller.headers[b"content-type"].startswith(b"application/json")
        answer = caller.json()
        assert (answer["choices"][0]["message"]["content"], answer["choices"][0]["finish_reason"]) == ("hello", "stop")
        assert (answer["usage"]["cost"], answer["object"] if sent == "stream" else "") == (
            COST_NANO / 1e9,
            "chat.completion" if sent == "stream" else "",
        )
    (record,) = rig.records
    assert (record.cost_nano, record.end_reason, record.finish_reason) == (COST_NANO, "completed", "stop")


def coded(body: bytes, coding: str) -> tuple[bytes, list[Header]]:
    """The body in a coding and its label: "unnamed" has none, "said" is a label alone."""
    match coding:
        case "gzip":
            return gzip.compress(body), [(b"content-encoding", b"gzip")]
        case "deflate":
            return zlib.compress(body), [(b"content-encoding", b"deflate")]
        case "bare":
            return zlib.compress(body)[2:-4], [(b"content-encoding", b"deflate")]
        case "unnamed":
            return gzip.compress(body), []
        case "said":
            return body, [(b"content-encoding", b"gzip")]
    return body, []


@pytest.mark.parametrize(
    ("coding", "body"),
    [
        (b"br", b"\x0b\x02\x80\x03\x00\x00\x00"),
        (b"zstd", b"\x28\xb5\x2f\xfd\x00\x00\x00"),
        (b"gzip, gzip", b"\x0b\x02\x80\x03\x00\x00\x00"),
        (b"gzip", gzip.compress(ANSWER)[:-12]),
        (b"gzip", b"\x1f\x8b\x08\x00\xff\xff\xff\xff\xff\xff\xff"),
        (b"deflate", b"\xff\xff\xff\xff\xff\xff"),
        (b"gzip", gzip.compress(b" " * (1 << 27))),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
async def test_answer_in_a_coding_that_cannot_be_undone_is_502(rig: Rig, coding: bytes, body: bytes, stream: bool) -> None:
    """Never its bytes under a 200, and never more memory than an answer may take: an honest refusal, free of charge."""
    caller = await rig.ask(Play(200, [*JSON, (b"content-encoding", coding)], [body]), stream=stream)
    assert caller.json()["error"]["code"] in ("provider_invalid_response", "provider_response_too_large")
    assert (caller.status, len(rig.stage.targets)) == (502, 1)
    assert [record.cost_nano for record in rig.records] == [0]


async def test_error_status_in_a_coding_keeps_its_words(rig: Rig) -> None:
    """What stands in front of a provider compresses its errors too."""
    words = gzip.compress(b'{"error":{"message":"messages is required","code":"missing"}}')
    caller = await rig.ask(Play(400, [*JSON, (b"content-encoding", b"gzip")], [words]))
    assert (caller.status, caller.json()["error"]["message"]) == (400, "messages is required")


class Slow(Play):
    """Whose head waits for `comes`."""

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self.comes = False
        self.waits = asyncio.Event()

    async def head(self) -> bool:
        if self.comes:
            return True
        self._is_read = True
        self.waits.set()
        await self._poked.wait()
        self._poked.clear()
        return self.comes

    def arrive(self) -> None:
        self.comes = True
        self.poke()


async def until_sent(caller: Caller, count: int) -> None:
    await until(lambda: len(caller.sent) >= count)


async def waiting(
    rig: Rig, *plays: Play | Exception, path: str = "/v1/chat/completions", **members: Any
) -> tuple[Caller, "asyncio.Task[Caller]"]:
    """A request that waits for the head of a slow provider, whose time for comments has come."""
    rig.table.limits.now = msgspec.structs.replace(rig.table.limits.now, keepalive_comment_s=0.0)
    rig.stage.plays = list(plays)
    caller = rig.caller(**members)
    caller.scope["path"] = path
    task = rig.start(caller)
    assert isinstance(plays[0], Slow)
    await plays[0].waits.wait()
    return caller, task


async def test_comments_keep_a_caller_whose_provider_has_said_nothing(rig: Rig) -> None:
    """They go out under our own head, and the answer follows them."""
    play = Slow(200, SSE, STREAM)
    caller, task = await waiting(rig, play, stream=True)
    for count in (2, 3, 4):
        rig.look(16.0)
        await until_sent(caller, count)
    assert caller.body == b": keep-alive\n\n" * 3
    assert caller.headers[b"content-type"] == b"text/event-stream"
    play.arrive()
    await task
    assert text_of(caller) == "hello"
    assert caller.body.endswith(DONE)
    assert rig.records[0].cost_nano == COST_NANO


async def test_comments_that_went_out_do_not_hinder_another_attempt(rig: Rig) -> None:
    """A comment is no answer: the next target is asked, and its answer follows."""
    play = Slow(503, JSON, [BUSY])
    caller, task = await waiting(rig, play, Play(200, SSE, STREAM), model="both", stream=True)
    rig.look(16.0)
    await until_sent(caller, 2)
    play.arrive()
    await task
    assert (caller.status, caller.is_complete) == (200, True)
    assert text_of(caller) == "hello"
    assert [(record.provider, record.attempts) for record in rig.records] == [("q", 2)]


async def test_failure_after_comments_is_that_of_who_was_asked_last(rig: Rig) -> None:
    """OpenRouter's error event names one target: the last one, as the record does."""
    play = Slow(503, JSON, [BUSY])
    path = "/api/v1/chat/completions"
    caller, task = await waiting(rig, play, Play(503, JSON, [BUSY]), path=path, model="both", stream=True)
    rig.look(16.0)
    await until_sent(caller, 2)
    play.arrive()
    await task
    (event,) = caller.events()
    assert (event["model"], event["provider"]) == ("both", "q")
    assert [record.provider for record in rig.records] == ["q"]


async def test_failure_after_comments_is_told_in_the_stream(rig: Rig) -> None:
    """There is no status any more: one error event, no [DONE], nothing charged."""
    play = Slow(400, JSON, [b'{"error":{"message":"messages is required"}}'])
    caller, task = await waiting(rig, play, stream=True)
    rig.look(16.0)
    await until_sent(caller, 2)
    play.arrive()
    await task
    assert caller.is_complete
    assert caller.events()[-1]["error"]["message"] == "messages is required"
    assert b"[DONE]" not in caller.body
    assert [(record.cost_nano, record.status) for record in rig.records] == [(0, 400)]
    assert rig.held_nano == 0


async def test_comments_keep_a_caller_whose_provider_is_dialled(rig: Rig) -> None:
    """Nothing can be poked there: a connection that is being made, or a large request that goes up."""
    rig.table.limits.now = msgspec.structs.replace(rig.table.limits.now, keepalive_comment_s=0.0)
    is_there, dialled, dial = asyncio.Event(), asyncio.Event(), rig.stage.open

    async def slowly(target: Target, head: bytes, body: Sequence[bytes | memoryview]) -> Play:
        dialled.set()
        await is_there.wait()
        return await dial(target, head, body)

    rig.stage.open = slowly  # type: ignore[method-assign]
    rig.stage.plays = [Play(200, SSE, STREAM), Play(200, JSON, [ANSWER])]
    caller, whole = rig.caller(stream=True), rig.caller()
    tasks = [rig.start(caller), rig.start(whole)]
    await dialled.wait()
    for count in (2, 3):
        rig.look(16.0)
        await until_sent(caller, count)
    assert caller.body == b": keep-alive\n\n" * 2
    assert not whole.sent
    is_there.set()
    await asyncio.gather(*tasks)
    assert text_of(caller) == "hello"
    assert (caller.status, whole.status) == (200, 200)


async def test_caller_of_a_whole_answer_gets_no_comments(rig: Rig) -> None:
    """Its status is still open."""
    play = Slow(200, JSON, [ANSWER])
    caller, task = await waiting(rig, play)
    rig.look(16.0)
    for _ in range(20):
        await asyncio.sleep(0)
    assert not caller.sent
    play.arrive()
    await task
    assert caller.status == 200


async def test_caller_who_leaves_among_comments_is_gone(rig: Rig) -> None:
    """Before the head: the request is cancelled and pays for the prompt."""
    play = Slow(200, SSE, STREAM)
    caller, task = await waiting(rig, play, stream=True)
    rig.look(16.0)
    await until_sent(caller, 2)
    caller.leave()

    def is_over() -> bool:
        rig.look(16.0)
        return task.done()

    await until(is_over)
    assert [(record.end_reason, record.status) for record in rig.records] == [("cancelled", 499)]
    assert play.aborted


CLAIM = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
FINISHES: list[tuple[list[Step], tuple[str, int]]] = [
    ([chunk("hello"), chunk("", "stop")], ("counted", 2)),
    ([chunk("hello"), chunk("", "stop"), b": ping\n\n"], ("counted", 2)),
    ([chunk("hello"), chunk("", "stop"), b'data: {"type":"ping"}\n\n'], ("counted", 2)),
    ([chunk("hello"), chunk("", "stop"), USED], ("provider", 5)),
    (
        [chunk("hello"), chunk("", "stop", usage={"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15})],
        ("provider", 5),
    ),
]


@pytest.mark.parametrize("include_usage", [False, True])
@pytest.mark.parametrize(("steps", "usage"), FINISHES)
async def test_answer_that_has_finished_does_not_wait_for_a_goodbye(
    rig: Rig, steps: list[Step], usage: tuple[str, int], include_usage: bool
) -> None:
    """A connection that stays open, silent or with pings, is given two seconds; then the answer is complete, with its usage."""
    play = Play(200, SSE, steps, ends=False)
    rig.stage.plays = [play]
    more = {"stream_options": {"include_usage": True}} if include_usage else {}
    caller = rig.caller(stream=True, **more)
    task = rig.start(caller)
    await play.is_waiting.wait()
    rig.look(1.0)
    for _ in range(20):
        await asyncio.sleep(0)
    assert not task.done()
    rig.look(2.5)
    await task
    events = caller.events()
    assert caller.is_complete
    assert not any("error" in event for event in events)
    assert [event["usage"]["completion_tokens"] for event in events if event.get("usage")] == [usage[1]]
    assert sum(choice["finish_reason"] == "stop" for event in events for choice in event.get("choices", ())) == 1
    (record,) = rig.records
    assert (record.end_reason, record.usage_source, record.finish_reason) == ("completed", usage[0], "stop")
    assert play.aborted


@pytest.mark.parametrize(
    "beat",
    [
        b": ping\n\n",
        b"\n",
        b"\r\n\r\n",
        b"data:\n\n",
        b'data: {"type":"ping"}\n\n',
        b'data: {"id":"x","choices":[]}\n\n',
        b": pi",
    ],
)
async def test_heartbeats_do_not_keep_a_silent_provider_alive(rig: Rig, beat: bytes) -> None:
    """Only an answer does; a heartbeat in two pieces is one as well."""
    clock: list[float] = []

    def note() -> None:
        (context,) = rig.watch.contexts
        clock.append(context.heard_s)

    rest: list[Step] = [b"ng\n\n", note] if beat == b": pi" else []
    steps: list[Step] = [chunk("one"), note, beat, note, *rest, beat, note]
    play = Play(200, SSE, steps, ends=False)
    rig.stage.plays = [play]
    caller = rig.caller(stream=True)
    task = rig.start(caller)
    await play.is_waiting.wait()
    for _ in range(20):
        await asyncio.sleep(0)
    note()
    assert len(set(clock)) == 1
    rig.look(rig.table.config.providers["p"].idle_timeout_s + 1)
    await task
    assert rig.records[0].end_reason == "timeout"


async def test_choice_that_is_cut_off_is_a_truncated_answer(rig: Rig) -> None:
    """Of two choices one has no finish: the caller is told, even behind a [DONE]."""
    other = chunk("there").replace(b'"index":0', b'"index":1')
    steps: list[Step] = [chunk("hi"), other, chunk("", "stop"), USED, DONE]
    caller = await rig.ask(Play(200, SSE, steps), stream=True, n=2)
    assert caller.events()[-1]["error"]["code"] == "provider_truncated"
    assert b"[DONE]" not in caller.body
    assert rig.records[0].end_reason == "truncated"


async def test_credit_that_is_used_up_ends_each_choice(rig: Rig) -> None:
    words: list[Step] = [chunk("0123456789 " * 2).replace(b'"index":0', b'"index":%d' % (n % 2)) for n in range(300)]
    caller = await rig.ask(Play(200, SSE, words, ends=False), stream=True, n=2, max_tokens=20)
    last = caller.events()[-1]
    assert [(choice["index"], choice["finish_reason"]) for choice in last["choices"]] == [(0, "length"), (1, "length")]


async def test_error_event_behind_half_an_event_stands_alone(rig: Rig) -> None:
    """A line that went out without the blank line of its event does not swallow what we say behind it."""
    steps: list[Step] = [chunk("one"), chunk("two")[:-1], broken(Sent.REQUEST, Kind.BROKEN)]
    caller = await rig.ask(Play(200, SSE, steps), stream=True)
    blocks = [block for block in caller.body.split(b"\n\n") if block]
    assert [block.count(b"data: ") for block in blocks] == [1, 1, 1]
    assert json.loads(blocks[-1][6:])["error"]


async def test_a_relay_that_trusts_the_status_line_would_be_caught(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """The wrong variant: with the head taken for the answer, the second target is never asked."""

    async def trusting(self: Any) -> bytes:
        return bytes(self._rewrite.feed(await self._exchange.read()))

    monkeypatch.setattr("edge.relay.response.stream.StreamForwarder._await_first", trusting)
    await rig.ask(Play(200, SSE, [BUSY_EVENT]), Play(200, SSE, STREAM), model="both", stream=True)
    assert len(rig.stage.targets) == 1
