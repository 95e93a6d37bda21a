"""The caller's stream: byte for byte the provider's, but for the id, the model and the usage."""

import copy
import json
import re
from typing import Any, TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.metering.meter import Meter
from routing.rewrite.chat.event_rewrite import EventRewrite
from routing.rewrite.chat.stream import StreamRewrite
from routing.rewrite.identity import Identity
from routing.table.tariff import Tariff
from tests.routing import recordings
from tests.routing.cuts import every_cut, fed, pieces
from usage.flavor import Flavor
from usage.record import Rates, Tokens

T = TypeVar("T")
RATES = Rates(input=150_000, output=600_000)
USAGE = {
    "azure-model-router.1": Tokens(prompt=15, completion=78, reasoning=64),
    "deepseek-reasoning": None,
    "deepseek-text": Tokens(prompt=13, completion=400),
    "groq-text": None,
    "groq-tool-call": Tokens(prompt=210, completion=15),
    "mistral-text": Tokens(prompt=13, completion=8),
    "mistral-tool-call": Tokens(prompt=124, completion=22),
    "openai-text": Tokens(prompt=16, completion=300),
}


def rewriter(include_usage: bool = False, *, line_bytes_max: int = 1 << 24) -> StreamRewrite:
    meter = Meter(Tariff(RATES), 10)
    identity = Identity("gen-1", "a/b", Flavor.OPENAI, "p")
    return StreamRewrite(identity, meter, include_usage=include_usage, created=7, line_bytes_max=line_bytes_max)


def run(parts: list[bytes], include_usage: bool = False) -> tuple[bytes, StreamRewrite]:
    rewrite = rewriter(include_usage)
    sent = fed(rewrite.feed, parts) + rewrite.finish()
    return sent, rewrite


def clone(rewrite: StreamRewrite) -> StreamRewrite:
    """A copy that goes its own way; `copy.deepcopy` does the same a hundred times slower."""
    twin = shallow(rewrite)
    for name in SLOTS:
        value = getattr(twin, name)
        if isinstance(value, list):
            setattr(twin, name, value[:])
    twin.meter = copy.copy(rewrite.meter)
    twin._lines = shallow(rewrite._lines)
    twin._unfinished = twin._lines.pieces = rewrite._lines.pieces[:]
    twin._ending = shallow(rewrite._ending)
    twin._held = twin._ending.held = [chunk._replace(framing=chunk.framing[:]) for chunk in rewrite._held]
    return twin


def shallow(original: T) -> T:
    twin = object.__new__(type(original))
    for name in {name for kind in type(original).__mro__ for name in getattr(kind, "__slots__", ())}:
        setattr(twin, name, getattr(original, name))
    return twin


SLOTS = (*EventRewrite.__slots__, *StreamRewrite.__slots__)
OF_THE_READS = ("_tail", "is_framing", "is_notable", "_quiet_bytes", "_quiet_lines")
"""What depends on how the bytes came, and may."""


def state(rewrite: StreamRewrite) -> tuple[object, ...]:
    """What a rewriter knows of the stream, to be compared; not what it learned to read it faster."""
    own = [
        getattr(rewrite, name)
        for name in SLOTS
        if name not in ("meter", "_lines", "_identity", "_ending", "_held", "_plain", "_swappable", "_lessons", *OF_THE_READS)
    ]
    held = [(event.line, event.framing) for event in rewrite._held]
    return (own, held, rewrite.meter.tokens, rewrite.meter.source, bool(rewrite._lines.pieces))


def payloads(stream: bytes) -> list[Any]:
    return [json.loads(text) for text in re.findall(rb"^data: (\{.*\})\r?$", stream, re.MULTILINE)]


def expected(name: str, include_usage: bool) -> list[Any]:
    """An oracle of its own: parse all, move the usage, count nothing."""
    events = [json.loads(chunk) for chunk in recordings.chunks(name)]
    usage = None
    for event in events:
        usage = event.get("usage") or (event.get("x_groq") or {}).get("usage") or usage
        event["id"], event["model"] = "gen-1", "a/b"
    final = [event for event in events if not event["choices"] and event.get("usage")]
    events = [event for event in events if event not in final]
    for event in events:
        if event.get("usage"):
            event["usage"] = None
    if include_usage:
        events += final[-1:] or [{"id": "gen-1", "object": "chat.completion.chunk", "model": "a/b", "choices": []}]
    [event for event in events if include_usage or any(choice["finish_reason"] for choice in event["choices"])][-1]["usage"] = (
        usage
    )
    return events


def without_cost(event: Any) -> Any:
    """The event as the provider could have sent it, and the members that are ours taken out."""
    event = copy.deepcopy(event)
    if event.get("usage"):
        event["usage"] = {name: event["usage"][name] for name in ("prompt_tokens", "completion_tokens", "total_tokens")}
    return event


@pytest.mark.parametrize("include_usage", [False, True])
@pytest.mark.parametrize("name", recordings.STREAMS)
def test_stream_of_a_recording_is_the_providers_but_for_the_rules(name: str, include_usage: bool) -> None:
    """Everything but id, model and usage is equal to what the provider sent, and usage is there exactly once."""
    sent, rewrite = run([recordings.wire(name)], include_usage)
    got, wanted = payloads(sent), expected(name, include_usage)
    if include_usage and "created" not in wanted[-1]:
        del got[-1]["created"]
    assert [without_cost(event) for event in got] == [without_cost(event) for event in wanted]
    assert [bool(event.get("usage")) for event in got].count(True) == 1
    assert sent.endswith(b"data: [DONE]\n\n")
    assert rewrite.is_over
    assert rewrite.is_done
    assert rewrite.finish_reason
    if not include_usage and not name.startswith("azure"):
        assert all(event["choices"] for event in got)


@pytest.mark.parametrize("name", recordings.STREAMS)
def test_stream_of_a_recording_keeps_the_bytes_of_plain_chunks(name: str) -> None:
    """Chunks that carry no usage and no finish differ from the provider's in the two tokens alone."""
    sent, _ = run([recordings.wire(name)])
    plain = [chunk for chunk in recordings.chunks(name) if b'"finish_reason":null' in chunk and b'"usage":{' not in chunk]
    assert plain
    swap = re.compile(rb'"(id|model)":"[^"]*"')
    for chunk in plain:
        event = json.loads(chunk)
        own = {b'"id":"%b"' % event["id"].encode(): b'"id":"gen-1"', b'"model":"%b"' % event["model"].encode(): b'"model":"a/b"'}
        wanted = swap.sub(lambda match, own=own: own.get(match[0], match[0]), chunk)  # type: ignore[misc]
        assert b"data: " + wanted + b"\n\n" in sent


@pytest.mark.parametrize("name", recordings.STREAMS)
def test_stream_usage_of_a_recording_is_exact(name: str) -> None:
    """Counts are the provider's, and the cost is counts times rates, rounded up once."""
    sent, rewrite = run([recordings.wire(name)])
    usage = next(event["usage"] for event in payloads(sent) if event.get("usage"))
    tokens = rewrite.meter.tokens
    assert rewrite.meter.source == "provider"
    assert (usage["prompt_tokens"], usage["completion_tokens"]) == (tokens.prompt, tokens.completion)
    if USAGE[name] is not None:
        assert tokens == USAGE[name]
    assert rewrite.meter.cost_nano() == -(-(tokens.prompt * 150_000 + tokens.completion * 600_000) // 1000)
    assert b'"cost":0.' in sent


@pytest.mark.parametrize("include_usage", [False, True])
@pytest.mark.parametrize("name", recordings.STREAMS)
def test_stream_cut_at_every_position_is_the_same(name: str, include_usage: bool) -> None:
    """No cut changes what goes out.

    Between lines the state does not depend on how the bytes came, so it is enough to cut each line at each of its positions, from
    the state before it, and to compare output and state with the line fed whole.
    """
    stream = recordings.wire(name)
    whole, rewrite = run([stream], include_usage)
    rewrite = rewriter(include_usage)
    collected = []
    for line in stream.splitlines(keepends=True):
        before = clone(rewrite)
        out = rewrite.feed(line)
        after = state(rewrite)
        collected.append(out)
        for at in range(1, len(line)):
            cut = clone(before)
            assert cut.feed(line[:at]) + cut.feed(line[at:]) == out
            assert state(cut) == after
    assert b"".join(collected) + rewrite.finish() == whole
    assert run(pieces(stream, 1), include_usage)[0] == whole


CHUNK = b'{"id":"c","model":"m","choices":[{"index":0,"delta":{"content":"%b"},"finish_reason":%b}]%b}'
SAYS = CHUNK % (b"hi", b"null", b"")
STOPS = CHUNK % (b"", b'"stop"', b"")
USED = b'{"id":"c","model":"m","choices":[],"usage":{"prompt_tokens":3,"completion_tokens":1,"total_tokens":4}}'


def events(*texts: bytes, ending: bytes = b"\n") -> bytes:
    return b"".join(b"data: " + text + ending * 2 for text in texts)


def test_stream_with_crlf_keeps_crlf() -> None:
    """Line ends stay as they came, in every cut, and what we add uses them too."""
    stream = events(SAYS, STOPS, USED, b"[DONE]", ending=b"\r\n")
    whole, _ = run([stream], include_usage=True)
    assert whole.count(b"\r\n") == whole.count(b"\n") == 8
    for parts in every_cut(stream):
        assert run(parts, include_usage=True)[0] == whole


def test_stream_with_single_line_feeds_is_read() -> None:
    """Some providers part events by one line feed alone."""
    sent, rewrite = run([b"data: " + SAYS + b"\ndata: " + STOPS + b"\ndata: " + USED + b"\ndata: [DONE]\n"])
    assert [bool(event.get("usage")) for event in payloads(sent)] == [False, True]
    assert rewrite.meter.tokens == Tokens(prompt=3, completion=1)
    assert sent.endswith(b"data: [DONE]\n\n")


def test_stream_comments_pass() -> None:
    """Comments and event lines are the provider's."""
    stream = b": OPENROUTER PROCESSING\n\n" + events(SAYS) + b": x\n\nevent: y\n" + events(STOPS, USED, b"[DONE]")
    sent, _ = run([stream])
    assert sent.startswith(b": OPENROUTER PROCESSING\n\n")
    assert b"\n\n: x\n\nevent: y\n" in sent


def test_stream_without_done_ends_at_its_end() -> None:
    """A finish_reason is a normal end; no [DONE] is invented."""
    sent, rewrite = run([events(SAYS, STOPS)])
    assert b"[DONE]" not in sent
    assert rewrite.is_over
    assert (rewrite.finish_reason, rewrite.meter.source) == ("stop", "counted")
    assert payloads(sent)[-1]["usage"]["usage_source"] == "counted"


def test_stream_without_finish_reason_is_told_apart() -> None:
    """A truncated stream has neither a finish_reason nor [DONE]."""
    _, rewrite = run([events(SAYS)])
    assert (rewrite.finish_reason, rewrite.is_done) == ("", False)


def test_stream_usage_that_comes_in_every_chunk_goes_out_once() -> None:
    """Perplexity sends it cumulatively: the last one counts."""
    used = b',"usage":{"prompt_tokens":3,"completion_tokens":%d,"total_tokens":%d}'
    chunks = [CHUNK % (b"a", b"null", used % (n, n + 3)) for n in (1, 2)] + [CHUNK % (b"", b'"stop"', used % (3, 6))]
    for include_usage in (False, True):
        sent, rewrite = run([events(*chunks, b"[DONE]")], include_usage)
        assert [bool(event.get("usage")) for event in payloads(sent)] == [False, False, not include_usage, True][
            : 3 + include_usage
        ]
        assert rewrite.meter.tokens == Tokens(prompt=3, completion=3)


def test_stream_of_several_choices_merges_usage_into_the_last_finish() -> None:
    """With n > 1 there are several finish chunks."""
    other = STOPS.replace(b'"index":0', b'"index":1')
    sent, _ = run([events(SAYS, STOPS, SAYS, other, USED, b"[DONE]")])
    assert [bool(event.get("usage")) for event in payloads(sent)] == [False, False, False, True]


def test_stream_with_an_error_event_ends_there() -> None:
    """The error is taken out for the relay to report; what follows does not matter."""
    rewrite = rewriter()
    sent = rewrite.feed(events(SAYS, b'{"error":{"code":429,"message":"slow down"}}', SAYS))
    assert len(payloads(sent)) == 1
    assert rewrite.is_over
    assert json.loads(rewrite.error) == {"code": 429, "message": "slow down"}
    assert rewrite.finish() == b""


def test_stream_with_something_unreadable_passes_it() -> None:
    """What cannot be read is not ours to break."""
    sent, rewrite = run([events(SAYS, b"not json", b'{"choices":7}', STOPS, b"[DONE]")])
    assert b"data: not json\n\n" in sent
    assert b'data: {"choices":7}\n\n' in sent
    assert rewrite.finish_reason == "stop"


def test_stream_with_a_character_cut_in_half_is_whole_again() -> None:
    """UTF-8 is never decoded on the way."""
    stream = events(CHUNK % ("größe €".encode(), b"null", b""), STOPS, b"[DONE]")
    whole = run([stream])[0]
    assert "größe €".encode() in whole
    for parts in every_cut(stream):
        assert run(parts)[0] == whole


def test_stream_with_a_line_of_two_megabytes_passes() -> None:
    """An inline image is one line."""
    big = CHUNK % (b"A" * 2_000_000, b"null", b"")
    sent, _ = run(pieces(events(big, STOPS, b"[DONE]"), 65_536))
    assert len(payloads(sent)[0]["choices"][0]["delta"]["content"]) == 2_000_000


def test_stream_content_that_quotes_our_tokens_is_untouched() -> None:
    """Text that looks like a finish, a usage or an id stays text."""
    text = json.dumps('"finish_reason":"stop","usage":{"x":1},"id":"c","model":"m","error":1')[1:-1].encode()
    sent, rewrite = run([events(SAYS, CHUNK % (text, b"null", b""), SAYS, STOPS, b"[DONE]")])
    assert text in sent
    assert len(payloads(sent)) == 4
    assert rewrite.finish_reason == "stop"


def test_stream_after_done_ends_with_the_blank_line() -> None:
    """The line after [DONE] still belongs to the stream; what follows does not."""
    rewrite = rewriter()
    assert rewrite.feed(events(SAYS, STOPS) + b"data: [DONE]\n").endswith(b"data: [DONE]\n")
    assert not rewrite.is_over
    assert rewrite.feed(b"\n" + events(SAYS)) == b"\n"
    assert rewrite.is_over


def test_stream_spares_an_id_of_a_tool_call() -> None:
    """The first `"id"` in a chunk, and equal to the chunk's own."""
    chunk = b'{"choices":[{"index":0,"delta":{"tool_calls":[{"id":"c"}]},"finish_reason":null}],"id":"c","model":"m"}'
    sent, _ = run([events(chunk, STOPS, b"[DONE]")])
    assert payloads(sent)[0]["choices"][0]["delta"]["tool_calls"][0]["id"] == "c"
    assert payloads(sent)[0]["id"] == "gen-1"


PLAIN = b'data: {"id":"x","model":"m","choices":[{"index":0,"delta":{"content":"hi"},"finish_reason":null}]}\n\n'
ODD_TEXTS = (
    b'hi"}}],"usage":{"prompt_tokens":3,"completion_tokens":4},"choices":[{"delta":{"content":"',
    b'hi"},"finish_reason":"stop","delta":{"content":"',
    rb"a \"quoted\" word",
    b"ends in a backslash\\",
    b"two\nlines",
    b"a\rreturn",
    b"",
    "ü".encode(),
)
USAGE_LINE = b'data: {"id":"x","model":"m","choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2}}\n'


@pytest.mark.parametrize("include_usage", [False, True])
@pytest.mark.parametrize("name", recordings.STREAMS)
def test_stream_read_event_by_event_is_the_same(name: str, include_usage: bool) -> None:
    """The short way of a read that is one whole event gives what the long way gives."""
    wire = recordings.wire(name)
    events = [event + b"\n\n" for event in wire.split(b"\n\n")[:-1]]
    assert b"".join(events) == wire
    sent, by_event = run(events, include_usage)
    whole, at_once = run([wire], include_usage)
    assert sent == whole
    assert state(by_event) == state(at_once)


@pytest.mark.parametrize(
    "parts",
    [
        [PLAIN, PLAIN[:40], PLAIN[40:], PLAIN],
        [PLAIN, PLAIN[:-2] + b"\r" + PLAIN + b"\n"],
        [PLAIN, PLAIN.replace(b'"hi"', b'"\r"'), PLAIN],
        [PLAIN, USAGE_LINE, PLAIN, b"\n", PLAIN],
        [PLAIN, PLAIN.replace(b":null", b':"stop"'), PLAIN, b"\n"],
        [PLAIN, PLAIN.replace(b'"delta"', b'"usage":{"prompt_tokens":3,"completion_tokens":4},"delta"'), PLAIN],
        [PLAIN, PLAIN.replace(b'"hi"', b'"hi","error": 1'), PLAIN],
        *([PLAIN, PLAIN, PLAIN.replace(b"hi", text), PLAIN] for text in ODD_TEXTS),
        [PLAIN, PLAIN, PLAIN[:40], PLAIN[40:], PLAIN],
        [PLAIN, PLAIN, PLAIN.replace(b'content":"hi"', b'content":"'), PLAIN],
        [PLAIN, PLAIN, USAGE_LINE, PLAIN, b"\n", PLAIN],
        [PLAIN, PLAIN, PLAIN.replace(b"content", b"refusal"), PLAIN.replace(b"content", b"refusal"), PLAIN],
    ],
)
def test_stream_event_in_an_odd_place_takes_the_long_way(parts: list[bytes]) -> None:
    """After half a line, a swallowed or a held one, or with another line in it, an event is not passed on sight."""
    sent, one_by_one = run(parts)
    bytewise, by_byte = run(pieces(b"".join(parts), 1))
    assert sent == bytewise
    assert state(one_by_one) == state(by_byte)


BETWEEN = (b"\n", b"\n\n", b"\r\n", b": c\n", b": c\n\n", b"event: x\n", b"id: 1\r\n", b"data:\n", b"\xef\xbb\xbf\n")
LINES = (PLAIN[:-2], PLAIN.replace(b'"hi"', b'""')[:-2], PLAIN.replace(b"content", b"refusal")[:-2], USAGE_LINE[:-1])
ENDS = (b"\n", b"\r\n")
EVENTS = st.tuples(st.sampled_from(LINES), st.sampled_from(ENDS), st.lists(st.sampled_from(BETWEEN), max_size=3))


@given(st.lists(EVENTS, max_size=12))
def test_stream_with_anything_between_its_chunks_is_read_alike(events: list[tuple[bytes, bytes, list[bytes]]]) -> None:
    """Blank lines of either kind, several or none, comments and other fields: at once, by line and by byte."""
    wire = PLAIN + b"".join(line + end + b"".join(between) for line, end, between in events)
    sent, at_once = run([wire])
    for parts in (wire.splitlines(keepends=True), pieces(wire, 1)):
        again, cut = run(parts)
        assert again == sent
        assert state(cut) == state(at_once)


def test_a_rewriter_that_does_not_look_at_the_text_would_be_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """The wrong variant: what begins and ends like a plain chunk holds usage, which nobody counts."""
    parts = [PLAIN, PLAIN, PLAIN.replace(b"hi", ODD_TEXTS[0]), PLAIN]
    assert run(parts)[1].meter.source == "provider"
    monkeypatch.setattr("routing.rewrite.chat.stream._find_unplain", lambda *_: None)
    assert run(parts)[1].meter.source == "counted"


def test_stream_whose_chunks_all_differ_is_not_learned_for_ever() -> None:
    rewrite = rewriter()
    for number in range(100):
        assert b"hi" in rewrite.feed(PLAIN.replace(b"null}", b'null,"padding":"%d"}' % number))
    assert rewrite._lessons == 0
    assert rewrite.meter.deltas == 100


def test_stream_of_plain_events_is_at_a_boundary_between_them() -> None:
    """Only there may a comment go in."""
    rewrite = rewriter()
    rewrite.feed(PLAIN)
    assert rewrite.is_at_boundary
    rewrite.feed(PLAIN[:50])
    assert not rewrite.is_at_boundary


def test_stream_that_ends_without_a_last_line_feed_is_read_to_its_end() -> None:
    """Some servers close right after the last byte of `[DONE]`; a reader of events needs the blank line."""
    sent, rewrite = run([PLAIN, b"data: [DONE]"])
    assert sent.endswith(b"data: [DONE]\n\n")
    assert rewrite.is_done


def test_stream_with_an_error_behind_its_finish_loses_no_chunk() -> None:
    """What was held back goes out: the answer is complete, and the error breaks only its provider's goodbye."""
    rewrite = rewriter()
    sent = rewrite.feed(events(SAYS, STOPS, b'{"error":{"code":500}}'))
    assert [event["choices"][0]["finish_reason"] for event in payloads(sent)] == [None, "stop"]
    assert (rewrite.error, rewrite.is_over, rewrite.is_complete) == (b"", True, True)


@pytest.mark.parametrize(
    "rest", [b'"index":0,"delta":{"content":"cut', b'"index":0,"delta":{"conte', b"\xff\xfe word word word", b"[[[[["]
)
@pytest.mark.parametrize("is_alone", [False, True])
def test_broken_json_behind_a_known_beginning_is_counted(rest: bytes, is_alone: bool) -> None:
    """However alike its beginning is to that of the chunks before: what passes unread is counted by its bytes."""
    plain = b'data: {"id":"u","model":"m","choices":[{"index":0,"delta":{"content":"Hi"},"finish_reason":null}]}\n\n'
    broken = plain[: plain.index(b"[{") + 2] + rest + b"\n\n"
    rewrite = rewriter()
    for _ in range(3):
        rewrite.feed(plain)
    counted = rewrite.meter.text_bytes
    rewrite.feed(broken if is_alone else broken + plain)
    assert rewrite.meter.text_bytes - counted >= len(rest)
    assert rewrite.meter.deltas == (4 if is_alone else 5)
