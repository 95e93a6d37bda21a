"""Streams of every format that passes, with members that are none of theirs: nothing raises, what went out is whole events."""

import json
import random
from collections.abc import Iterator
from typing import Any

import pytest

from routing.plan.refusal import Refusal
from routing.rewrite.chat.completions import CompletionsStream
from routing.rewrite.chat.stream import StreamRewrite
from routing.rewrite.cohere import CohereStream
from routing.rewrite.gemini import GeminiStream
from routing.rewrite.media_events import MediaEvents
from routing.rewrite.messages import MessagesStream
from routing.rewrite.responses import ResponsesStream
from routing.wire.sse import TooLong
from tests.routing.cuts import fed
from tests.routing.surfaces.calls import identity, meter
from usage.flavor import Flavor

USED = {"input_tokens": 20, "output_tokens": 2, "total_tokens": 22}
RESPONSE = {"id": "theirs", "object": "response", "model": "m", "status": "completed", "output": [], "usage": USED}
ITEM = {"type": "message", "content": [{"type": "output_text", "text": "hi"}], "results": [{"text": "x"}]}
CHAT = {"id": "theirs", "object": "chat.completion.chunk", "created": 5, "model": "m"}
EVENTS: dict[str, list[dict[str, Any]]] = {
    "messages": [
        {"type": "ping"},
        {
            "type": "message_start",
            "message": {"id": "theirs", "model": "m", "content": [], "usage": {"input_tokens": 20, "service_tier": "x"}},
        },
        {
            "type": "content_block_start",
            "index": 0,
            "content_block": {"type": "mcp_tool_result", "content": [{"type": "text", "text": "x"}]},
        },
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "hello"}},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 2}},
        {"type": "message_stop"},
    ],
    "responses": [
        {"type": "response.created", "response": RESPONSE | {"usage": None, "status": "in_progress"}, "sequence_number": 0},
        {"type": "response.output_text.delta", "delta": "hello", "sequence_number": 1},
        {"type": "response.output_item.done", "item": ITEM, "sequence_number": 2},
        {
            "type": "response.completed",
            "sequence_number": 3,
            "response": RESPONSE
            | {"incomplete_details": {"reason": "x"}, "tool_usage": {"web_search": {"num_requests": 1}}, "service_tier": "x"},
        },
    ],
    "gemini": [
        {
            "candidates": [{"content": {"parts": [{"text": "hi"}]}, "index": 0, "groundingMetadata": {"a": "b"}}],
            "responseId": "theirs",
            "modelVersion": "m",
        },
        {
            "candidates": [{"content": {"parts": [{"text": "hi"}]}, "index": 0}],
            "responseId": "theirs",
            "modelVersion": "m",
            "usageMetadata": {"promptTokenCount": 20},
        },
        {"candidates": [], "promptFeedback": None, "responseId": "theirs"},
        {
            "candidates": [{"content": {"parts": []}, "finishReason": "STOP", "index": 0}],
            "responseId": "theirs",
            "modelVersion": "m",
            "usageMetadata": {"promptTokenCount": 20, "candidatesTokenCount": 2, "totalTokenCount": 22},
        },
    ],
    "cohere": [
        {"type": "message-start", "id": "theirs", "delta": {"message": {"role": "assistant"}}},
        {"type": "debug", "prompt": "x"},
        {"type": "content-start", "index": 0, "delta": {"message": {"content": {"type": "text", "text": ""}}}},
        {"type": "content-delta", "index": 0, "delta": {"message": {"content": {"text": "hello"}}}},
        {"type": "content-end", "index": 0},
        {
            "type": "message-end",
            "delta": {"finish_reason": "COMPLETE", "usage": {"billed_units": {"input_tokens": 20, "output_tokens": 2}}},
        },
    ],
    "media": [
        {"type": "keepalive"},
        {"type": "image_generation.partial_image", "b64_json": "AA"},
        {"type": "transcript.text.delta", "delta": "hello"},
        {"type": "image_generation.completed", "b64_json": "AAAA", "created_at": 5, "usage": USED, "error": None},
    ],
    "chat": [
        CHAT | {"choices": [{"index": 0, "delta": {"role": "assistant", "content": "hello"}, "finish_reason": None}]},
        CHAT
        | {"choices": [{"index": 0, "delta": {"content": "you"}, "finish_reason": None}], "service_tier": "x", "error": None},
        CHAT | {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
        CHAT | {"choices": [], "usage": {"prompt_tokens": 20, "completion_tokens": 2, "total_tokens": 22}},
    ],
}
EVENTS["completions"] = EVENTS["chat"]
VALUES: tuple[bytes, ...] = (
    *(
        b"null",
        b"true",
        b"0",
        b"-1",
        b"1.5",
        b"1e400",
        b"NaN",
        b'""',
        b'"x"',
        b'"\\ud800"',
        b'"a\tb"',
        b'"\\x41"',
        b'"caf\xe9"',
        b"[]",
        b"{}",
    ),
    *(b"[null]", b"[[]]", b"[{}]", b'{"a":1,"a":2}', b"[5]", b'{"text":"\\ud800"}', b'{"type":5}', b"9" * 400, b"9" * 5_000),
    *(b"[" * 900 + b"]" * 900, b'{"a":' * 900 + b"1" + b"}" * 900),
)
BROKEN = Refusal(502, "provider_error", "it broke")


def machine(kind: str, flavor: Flavor = Flavor.OPENAI, *, line_bytes_max: int = 1 << 20, choices: int = 1) -> Any:
    who, used = identity(flavor), meter()
    match kind:
        case "messages":
            return MessagesStream(who, used, created=1, line_bytes_max=line_bytes_max)
        case "responses":
            return ResponsesStream(who, used, created=1, line_bytes_max=line_bytes_max)
        case "gemini":
            return GeminiStream(who, used, created=1, line_bytes_max=line_bytes_max, choices=choices)
        case "cohere":
            return CohereStream(who, used, created=1, line_bytes_max=line_bytes_max)
        case "media":
            return MediaEvents(who, used, created=1, line_bytes_max=line_bytes_max)
        case "chat":
            return StreamRewrite(who, used, include_usage=False, created=1, line_bytes_max=line_bytes_max, choices=choices)
    return CompletionsStream(who, used, include_usage=True, created=1, line_bytes_max=line_bytes_max, choices=choices)


def framed(payload: bytes) -> bytes:
    return b"data: %b\n\n" % payload


def paths(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Of everything in a JSON value."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, each in inner:
        yield (*path, name)
        yield from paths(each, (*path, name))


def put(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    if not path:
        return new
    copy = value.copy()
    copy[path[0]] = put(value[path[0]], path[1:], new)
    return copy


def is_json(payload: bytes) -> bool:
    try:
        json.loads(payload, parse_constant=lambda _: 1 / 0)
    except (ValueError, ZeroDivisionError, RecursionError):
        return False
    return True


def check(kind: str, parts: list[bytes], flavor: Flavor, *, is_sound: bool) -> bytes:
    """What goes out until the stream is over; with the ends that we could put there at each event."""
    rewrite = machine(kind, flavor)
    sent: bytes = b""
    for part in parts:
        if rewrite.is_over:
            break
        sent += rewrite.feed(part)
    sent += rewrite.finish()
    assert rewrite.meter.cost_nano() >= 0
    for end in (rewrite.cut(), rewrite.fail(BROKEN)):
        for line in end.splitlines():
            assert not line.startswith(b"data: {") or is_json(line[6:]) or not is_sound, line
    if is_sound:
        for line in sent.splitlines():
            assert not line.startswith(b"data: {") or is_json(line[6:]), line
    return sent


@pytest.mark.parametrize("kind", EVENTS)
@pytest.mark.parametrize("flavor", Flavor)
def test_member_of_any_value_breaks_no_stream(kind: str, flavor: Flavor) -> None:
    """Each member of each event, however deep, with each value that is none of its own: what was JSON still is."""
    told = EVENTS[kind]
    for at, event in enumerate(told):
        for path in paths(event):
            text = json.dumps(put(event, path, "@@")).encode()
            for value in VALUES:
                changed = text.replace(b'"@@"', value)
                parts = [framed(json.dumps(each).encode()) for each in told]
                parts[at] = framed(changed)
                check(kind, parts, flavor, is_sound=is_json(changed))


@pytest.mark.parametrize("kind", EVENTS)
def test_stream_of_odd_events_is_the_same_however_it_was_cut(kind: str) -> None:
    """Events left out, doubled, interleaved with noise and broken off: in one piece, in events and byte by byte."""
    dice = random.Random(kind)
    noise = [
        b": x\n\n",
        b"event: x\n\n",
        b"data:\n\n",
        b"data: [DONE]\n\n",
        b"data: not json\n\n",
        b"\n",
        b"data: {\n",
        b"id: 5\n",
        b"\xef\xbb\xbf",
    ]
    whole = [json.dumps(each).encode() for each in EVENTS[kind]]
    for _ in range(150):
        events = [framed(each) for each in whole if dice.random() < 0.9]
        for _ in range(dice.randint(0, 3)):
            events.insert(dice.randint(0, len(events)), dice.choice((*noise, *events) if events else noise))
        stream = b"".join(events)
        if dice.random() < 0.3:
            stream = stream[: dice.randint(0, len(stream))]
        at_once = check(kind, [stream], Flavor.OPENAI, is_sound=False)
        assert check(kind, [stream[at : at + 1] for at in range(len(stream))], Flavor.OPENAI, is_sound=False) == at_once
        size = dice.randint(2, 300)
        assert (
            check(kind, [stream[at : at + size] for at in range(0, len(stream), size)], Flavor.OPENAI, is_sound=False) == at_once
        )


@pytest.mark.parametrize("kind", EVENTS)
def test_end_of_ours_is_whole_wherever_the_stream_stops(kind: str) -> None:
    """Cut for credit or broken, behind each event and in the middle of it: only whole events, and each of them JSON."""
    stream = b"".join([framed(json.dumps(each).encode()) for each in EVENTS[kind]])
    for flavor in Flavor:
        for at in range(0, len(stream), 7):
            for name in ("cut", "fail"):
                rewrite = machine(kind, flavor, choices=2)
                sent = rewrite.feed(stream[:at])
                sent += rewrite.cut() if name == "cut" else rewrite.fail(BROKEN)
                for event in sent.replace(b"\r\n", b"\n").split(b"\n\n")[:-1]:
                    payload = b"".join([line[6:] for line in event.split(b"\n") if line.startswith(b"data: ")])
                    assert is_json(payload), (at, name, event)
                assert sent.endswith((b"\n\n", b"\r\n\r\n"))


@pytest.mark.parametrize("kind", EVENTS)
@pytest.mark.parametrize(
    "flood", [b"x" * 5_000, b"data: " + b"x" * 5_000, b": x\n" * 2_000, b"id: x\n" * 2_000, b"data: x\n" * 2_000]
)
def test_event_or_line_without_an_end_is_refused(kind: str, flood: bytes) -> None:
    """What waits for its end is bounded: a provider cannot fill our memory with it."""
    rewrite = machine(kind, line_bytes_max=4_096)
    with pytest.raises(TooLong):
        fed(rewrite.feed, [flood] * 2_000)


@pytest.mark.parametrize("kind", EVENTS)
def test_stream_is_over_and_stays_so(kind: str) -> None:
    """Behind its end nothing is passed, and finishing it again gives nothing."""
    rewrite = machine(kind)
    stream = b"".join([framed(json.dumps(each).encode()) for each in EVENTS[kind]])
    sent = rewrite.feed(stream + (b"data: [DONE]\n\n" if kind in ("chat", "completions") else b"")) + rewrite.finish()
    assert (rewrite.is_complete, rewrite.is_over, rewrite.has_begun) == (True, True, True)
    assert rewrite.upstream_id in ("theirs", "")
    assert b"theirs" not in sent
    assert rewrite.feed(stream) == b""
    assert rewrite.finish() == b""


TOO_LARGE = b',"odd":NaN,"large":"%b"}' % (b"x" * (5 << 20))
"""A strict reader refuses it, and a lenient one takes its time."""


@pytest.mark.parametrize(("kind", "at"), [("messages", 5), ("cohere", 5), ("gemini", 0), ("gemini", 3), ("responses", 3)])
def test_event_too_large_to_be_read_twice_passes_as_it_came(kind: str, at: int) -> None:
    """It breaks nothing: the rest of the stream is served, and ends."""
    names = [b"event: %b\n" % each["type"].encode() if "type" in each else b"" for each in EVENTS[kind]]
    parts = [name + framed(json.dumps(each).encode()) for name, each in zip(names, EVENTS[kind], strict=True)]
    parts[at] = parts[at].replace(b"}\n\n", TOO_LARGE + b"\n\n")
    rewrite = machine(kind, line_bytes_max=1 << 24)
    sent = b"".join([rewrite.feed(part) for part in parts if not rewrite.is_over]) + rewrite.finish()
    assert TOO_LARGE in sent
    assert rewrite.meter.text_bytes > 0
    assert rewrite.meter.cost_nano() > 0


@pytest.mark.parametrize("kind", ["messages", "responses", "cohere", "media", "gemini"])
def test_stream_of_nothing_but_signs_of_life_is_refused(kind: str) -> None:
    """Endless comments would keep a caller waiting for ever."""
    rewrite = machine(kind, line_bytes_max=1 << 24)
    assert rewrite.is_at_boundary
    with pytest.raises(TooLong, match="no more of the answer"):
        fed(rewrite.feed, [b": still here\n\n" * 4_000] * 400)


def test_flood_of_lines_in_one_read_is_refused_with_what_went_before() -> None:
    """The caller gets the chunks that came before it."""
    rewrite = machine("chat")
    chunk = framed(json.dumps(EVENTS["chat"][0]).encode())
    with pytest.raises(TooLong):
        rewrite.feed(chunk * 5 + b": x\n" * 200_000)
    assert b"hello" in rewrite.close()


def test_error_behind_a_part_of_the_answer_keeps_its_usage() -> None:
    """Some providers tell with the error what they bill."""
    broken = {"error": {"message": "busy"}, "usage": {"prompt_tokens": 20, "completion_tokens": 7, "total_tokens": 27}}
    early, late = machine("chat"), machine("chat")
    early.feed(framed(json.dumps(broken).encode()))
    late.feed(framed(json.dumps(EVENTS["chat"][0]).encode()) + framed(json.dumps(broken).encode()))
    assert (early.meter.has_usage, late.meter.has_usage) == (False, True)
    assert late.meter.tokens.completion == 7


def test_error_whose_event_ends_with_done_is_an_error() -> None:
    """What waited for the end of its event is resolved first, and an end behind an error is none."""
    rewrite = machine("chat")
    sent = rewrite.feed(b"event: error\ndata: busy\ndata: [DONE]\n\n")
    assert (sent, rewrite.error, rewrite.is_done) == (b"", b"busy", False)


def test_failed_response_is_an_error() -> None:
    """With its words where it has some, else as it came."""
    for error, words in (({"message": "busy", "code": "x"}, b'"busy"'), (None, b"response.failed")):
        rewrite = machine("responses")
        event = {"type": "response.failed", "response": RESPONSE | {"status": "failed", "error": error}}
        assert rewrite.feed(framed(json.dumps(event).encode())) == b""
        assert words in rewrite.error
        assert not rewrite.is_complete
    quiet = machine("responses")
    quiet.feed(framed(b'{"type":"keepalive","sequence_number":4}'))
    assert (quiet.has_begun, json.loads(quiet.cut().split(b"data: ")[1])["sequence_number"]) == (False, 5)


def test_error_of_gemini_is_taken_out() -> None:
    rewrite = machine("gemini")
    assert rewrite.feed(framed(b'{"error":{"code":503,"message":"busy"}}')) == b""
    assert (b"busy" in rewrite.error, rewrite.is_over) == (True, True)


@pytest.mark.parametrize(
    "status", [b"5", b"null", b"[]", b"{}", b'{"status_code":0}', b'{"status_code":"0"}', b'{"status_code":null}']
)
def test_status_that_is_none_or_good_is_no_error(status: bytes) -> None:
    """MiniMax's good answers carry one, too: what cannot be read of it passes."""
    rewrite = machine("chat")
    event = framed(b'{"id":"x","base_resp":%b}' % status)
    assert (rewrite.feed(event) != b"", rewrite.error) == (True, b"")
    bad = machine("chat")
    bad.feed(framed(b'{"id":"x","base_resp":{"status_code":1004,"status_msg":"busy"}}'))
    assert b"busy" in bad.error


@pytest.mark.parametrize("flavor", Flavor)
@pytest.mark.parametrize(
    "delta",
    [
        b'{"content":"a","reasoning_content":"b"}',
        b'{"content":"a","reasoning":"a"}',
        b'{"content":null,"reasoning_content":"b"}',
        b'{"tool_calls":[{"index":0,"function":{"arguments":"{"}},{"index":1,"function":{"arguments":"}"}}]}',
        b'{"refusal":"no"}',
        b'{"content":""}',
    ],
)
def test_chunk_of_several_texts_is_the_same_by_both_ways(delta: bytes, flavor: Flavor) -> None:
    """Event by event, as most come, and in pieces: what is learned of a chunk with one text is put upon no other."""
    other = b'{"id":"theirs","model":"m","choices":[{"index":0,"delta":%b,"finish_reason":null}]}'
    parts = [framed(other % each) for each in (b'{"content":"x"}', delta, b'{"content":"y"}', delta, delta, b'{"content":"z"}')]

    def fed_in(size: int) -> tuple[bytes, int, int]:
        rewrite = machine("chat", flavor)
        pieces = [part[at : at + size] for part in parts for at in range(0, len(part), size)]
        return b"".join([rewrite.feed(piece) for piece in pieces]), rewrite.meter.deltas, rewrite.meter.text_bytes

    assert fed_in(100_000) == fed_in(13)
