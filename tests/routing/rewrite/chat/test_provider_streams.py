"""Streams as providers really send them, beside the specification: each is read, counted, and delivered to its right end.

Every case is fed whole, byte by byte, cut in two at every position, and with junk behind its end: what goes out, what was counted
and how it ended never depend on it.
"""

import json
import re
from typing import Any, NamedTuple

import pytest

from routing.metering.meter import Meter
from routing.rewrite.chat.stream import StreamRewrite
from routing.rewrite.identity import Identity
from routing.table.tariff import Tariff
from routing.wire.repair import MEMBERS_MAX, read_object, sound_form
from routing.wire.sse import TooLong
from tests.routing.cuts import every_cut, fed
from tests.routing.provider_bytes import bodies
from usage.flavor import Flavor
from usage.record import Rates

RATES = Tariff(Rates(input=150_000, output=600_000))


def chunk(text: str = "", finish: str | None = None, index: int = 0, **more: Any) -> bytes:
    choices = [{"index": index, "delta": {"content": text}, "finish_reason": finish}]
    return json.dumps({"id": "c", "model": "m", "choices": choices, **more}, separators=(",", ":"), ensure_ascii=False).encode()


def used(prompt: int = 3, completion: int = 2) -> dict[str, int]:
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}


def event(*payloads: bytes) -> bytes:
    return b"".join(b"data: %b\n\n" % payload for payload in payloads)


HI, THERE, STOP = chunk("hi"), chunk("there"), chunk("", "stop")
USAGE = json.dumps({"id": "c", "model": "m", "choices": [], "usage": used()}).encode()
ON_CHOICE = chunk("", None, usage=used())
ANNOTATION = b'{"id":"c","model":"m","choices":[{"index":0,"delta":{"annotations":[{"type":"url_citation"}]}}]}'
DONE = b"data: [DONE]\n\n"
ERROR = b'{"error":{"message":"busy","code":503}}'


class Case(NamedTuple):
    """`texts` are the texts of the chunks that a caller reads; `usage` the (prompt, completion) that it is told, once.

    `end`: "done" (with [DONE]), "end" (complete without it), "cut" (truncated) or "error".
    """

    name: str
    stream: bytes
    texts: str = "hi"
    usage: tuple[int, int] | None = (3, 2)
    end: str = "done"
    finish: str = "stop"
    choices: int = 1


COUNTED = (10, 1)
FAILED = ("hi", None, "error", "")
CUT = ("hithere", None, "cut", "stop", 2)
DEEP = chunk("", x=1).replace(b":1}", b":" + b"[" * 9_000 + b"}")
CHOICE_FAILED = b'{"id":"c","choices":[{"index":0,"delta":{"content":""},"error":{"message":"busy","code":503}}]}'
CASES = [
    # Usage, exactly once, whatever the order.
    Case("plain", event(HI, STOP, USAGE) + DONE),
    Case("usage on a choice behind the finish", event(HI, STOP, ON_CHOICE) + DONE),
    Case("usage on a choice behind the finish, that finishes again", event(HI, STOP, chunk("", "stop", usage=used())) + DONE),
    Case("usage with the finish", event(HI, chunk("", "stop", usage=used())) + DONE),
    Case("usage with a finish that has a text", event(chunk("hi", "stop", usage=used())) + DONE),
    Case("annotation between finish and usage", event(HI, STOP, ANNOTATION, USAGE) + DONE),
    Case("empty chunk between finish and usage", event(HI, STOP, chunk(), USAGE) + DONE),
    Case("chunk without choices between finish and usage", event(HI, STOP, b'{"id":"c","choices":[]}', USAGE) + DONE),
    Case("ping between finish and usage", event(HI, STOP, b'{"type":"ping"}', USAGE) + DONE),
    Case("comment between finish and usage", event(HI, STOP) + b": x\n\n" + event(USAGE) + DONE),
    Case("a hundred empty chunks behind the finish", event(HI, STOP, *[chunk()] * 100, USAGE) + DONE),
    Case("two finishes", event(HI, STOP, STOP, USAGE) + DONE),
    Case("two finishes, usage between", event(HI, STOP, USAGE, STOP) + DONE),
    Case("text behind the finish", event(HI, STOP, THERE, USAGE) + DONE, texts="hithere"),
    Case("text behind the finish, and a finish", event(HI, STOP, THERE, STOP, USAGE) + DONE, texts="hithere"),
    Case("usage before the text", event(USAGE, HI, STOP) + DONE),
    Case("usage twice", event(HI, STOP, USAGE.replace(b"3", b"1", 1), USAGE) + DONE),
    Case("usage in every chunk", event(chunk("hi", usage=used(3, 1)), chunk("", "stop", usage=used())) + DONE),
    Case("choices null in the usage chunk", event(HI, STOP, USAGE.replace(b"[]", b"null")) + DONE),
    Case("no choices in the usage chunk", event(HI, STOP, USAGE.replace(b'"choices": [], ', b"")) + DONE),
    Case("usage in choices[0]", event(HI, STOP.replace(b'"delta"', b'"usage":%b,"delta"' % json.dumps(used()).encode())) + DONE),
    Case("usage behind [DONE]", event(HI, STOP) + DONE[:-1] + event(USAGE), usage=COUNTED),
    Case("no usage", event(HI, STOP) + DONE, usage=COUNTED),
    Case("no finish, but [DONE]", event(HI, USAGE) + DONE, finish=""),
    Case("no finish, no usage, but [DONE]", event(HI) + DONE, finish="", usage=COUNTED),
    # Ends.
    Case("[DONE] with a space", event(HI, STOP, USAGE) + b"data: [DONE] \n\n"),
    Case("[DONE] without a space", event(HI, STOP, USAGE) + b"data:[DONE]\n\n"),
    Case("[DONE] twice", event(HI, STOP, USAGE) + b"data: [DONE]\ndata: [DONE]\n\n"),
    Case("[DONE] without a line end", event(HI, STOP, USAGE) + b"data: [DONE]"),
    Case("no line end behind the finish", event(HI) + b"data: " + STOP, end="end", usage=COUNTED),
    Case("no line end behind the usage", event(HI, STOP) + b"data: " + USAGE, end="end"),
    Case("one line end behind the usage", event(HI, STOP) + b"data: " + USAGE + b"\n", end="end"),
    Case("no [DONE]", event(HI, STOP, USAGE), end="end"),
    Case("no finish and no [DONE]", event(HI), end="cut", finish="", usage=None),
    Case("half a line at the end", event(HI) + b'data: {"choices":[{"de', end="cut", finish="", usage=None),
    Case("half a line with an id and a model", event(HI) + b"data: " + HI[:-20], end="cut", finish="", usage=None),
    Case("half a usage at the end", event(HI, STOP) + b"data: " + USAGE[:-9], end="end", usage=COUNTED),
    Case("half of several data lines", event(HI, STOP) + b"data: {\ndata: " + USAGE[1:-9], end="end", usage=COUNTED),
    Case("CR line ends", event(HI, STOP, USAGE).replace(b"\n", b"\r") + b"data: [DONE]\r\r"),
    Case("CRLF line ends", event(HI, STOP, USAGE).replace(b"\n", b"\r\n") + b"data: [DONE]\r\n\r\n"),
    Case("single line feeds", event(HI, STOP, USAGE).replace(b"\n\n", b"\n") + b"data: [DONE]\n"),
    # Readable all the same.
    Case("a byte order mark", b"\xef\xbb\xbf" + event(HI, STOP, USAGE) + DONE),
    Case("an event of several data lines", event(HI.replace(b',"model"', b',\ndata: "model"'), STOP, USAGE) + DONE),
    Case("a usage of several data lines", event(HI, STOP, USAGE.replace(b', "', b',\ndata: "')) + DONE),
    Case("several data lines, CRLF", event(HI.replace(b',"', b',\ndata:"'), STOP, USAGE).replace(b"\n", b"\r\n") + DONE),
    Case("several data lines, a comment between", event(HI.replace(b',"m', b',\n: x\ndata: "m'), STOP, USAGE) + DONE),
    Case("NaN in a chunk", event(chunk("hi", x=1).replace(b'"x":1', b'"x":NaN'), STOP, USAGE) + DONE),
    Case("-Infinity in the last chunk", event(HI, chunk("", "stop", x=1).replace(b":1", b":-Infinity"), USAGE) + DONE),
    Case("a raw control character", event(chunk("hi", note="a").replace(b'"a"', b'"\x01"'), STOP, USAGE) + DONE),
    Case("an escape that JSON does not know", event(chunk("hi", note="a").replace(b'"a"', b'"\\x41"'), STOP, USAGE) + DONE),
    Case("bytes that are no UTF-8", event(chunk("hi", note="a").replace(b'"a"', b'"\xc4\xe3"'), STOP, USAGE) + DONE),
    Case("a key that is no UTF-8", event(HI, STOP, USAGE.replace(b'"total', b'"\xff": 1, "total')) + DONE),
    Case("a finish that is no UTF-8", event(HI, STOP.replace(b"stop", b"\xc4\xe3"), USAGE) + DONE, finish="??"),
    Case("two events in one line", b"data: " + HI + b"data: " + STOP + b"\n\n" + event(USAGE) + DONE),
    Case("three objects in one line", b"data: " + HI + STOP + USAGE + b"\n\n" + DONE),
    Case("a line that is not data", event(HI) + b"retry: 3000\nid: 7\n\n" + event(STOP, USAGE) + DONE),
    # Unreadable: passed, and not free.
    Case("a text that is no JSON", event(HI, b"not json", STOP, USAGE) + DONE),
    Case(
        "deep nesting", event(HI, chunk("", x=1).replace(b":1}", b":" + b"[" * 9_000 + b"}"), STOP, USAGE) + DONE, usage=(3, 2275)
    ),
    # Errors, in their forms.
    Case("error", event(HI, ERROR, HI), end="error", usage=None, finish=""),
    Case("error of a choice", event(HI, CHOICE_FAILED, HI), *FAILED),
    Case("error of a choice that says a text", event(chunk("hi", "error", index=0), USAGE) + DONE, finish="error"),
    Case("error of a choice that is none", event(HI, STOP.replace(b'"delta"', b'"error":null,"delta"'), USAGE) + DONE),
    Case("error behind the finish", event(HI, STOP, ERROR), end="end", usage=COUNTED),
    Case("error behind the finish and the usage", event(HI, STOP, USAGE, ERROR) + DONE, end="end"),
    Case("llama.cpp's field behind the finish", event(HI, STOP, USAGE) + b'error: {"code":500,"message":"busy"}\n\n', end="end"),
    Case("error behind a finish that is one", event(HI, chunk("", "error"), ERROR), *FAILED[:3], "error"),
    Case("llama.cpp's field", event(HI) + b'error: {"code":500,"message":"busy"}\n\n', *FAILED),
    Case("an event named error", event(HI) + b'event: error\ndata: {"message":"busy"}\n\n', *FAILED),
    Case("an event named error, in words", event(HI) + b"event: error\ndata: busy\n\n", *FAILED),
    Case("object error", event(HI, b'{"object":"error","message":"busy"}'), *FAILED),
    Case("type error", event(HI, b'{"type":"error","x":{"message":"busy"}}'), *FAILED),
    Case("FastAPI's detail", event(HI, b'{"detail":"busy"}'), *FAILED),
    Case("code and msg", event(HI, b'{"code":1301,"msg":"busy"}'), *FAILED),
    Case(
        "MiniMax's base_resp",
        event(HI, b'{"choices":null,"base_resp":{"status_code":1008,"status_msg":"busy"}}'),
        *FAILED,
    ),
    Case("JSON without a field", event(HI) + b'{"error":{"message":"busy"}}\n\n', *FAILED),
    Case("error in GBK", event(HI, b'{"error":{"message":"busy \xc4\xe3"}}'), *FAILED),
    Case("error text in latin-1", event(HI, b'{"error":"busy caf\xe9"}'), *FAILED),
    Case("superscript code", event(HI, '{"error":{"message":"busy","code":"²"}}'.encode()), *FAILED),
    # Several choices.
    Case(
        "two choices",
        event(HI, chunk("there", index=1), STOP, chunk("", "length", 1), USAGE) + DONE,
        texts="hithere",
        finish="length",
        choices=2,
    ),
    Case(
        "two choices, one behind the other",
        event(HI, STOP, chunk("there", index=1), chunk("", "stop", 1), USAGE) + DONE,
        texts="hithere",
        choices=2,
    ),
    Case("two choices, one came", event(HI, STOP, USAGE) + DONE, choices=2),
    Case("two choices, one cut off", event(HI, chunk("there", index=1), STOP), *CUT),
    Case(
        "two choices, one cut off, and [DONE]",
        event(HI, chunk("there", index=1), STOP, USAGE) + DONE,
        texts="hithere",
        usage=None,
        end="cut",
        choices=2,
    ),
]


def rewriter(choices: int = 1, *, include_usage: bool = False, flavor: Flavor = Flavor.OPENAI) -> StreamRewrite:
    identity = Identity("gen-1", "a/b", flavor, "p")
    return StreamRewrite(
        identity, Meter(RATES, 10), include_usage=include_usage, created=7, line_bytes_max=1 << 24, choices=choices
    )


def ran(parts: list[bytes], case: Case, *, include_usage: bool, junk: bytes = b"") -> tuple[bytes, StreamRewrite]:
    """What goes out until the stream is over, as the relay reads it: nothing is fed behind that."""
    rewrite = rewriter(case.choices, include_usage=include_usage)
    sent = b""
    for part in [*parts, junk]:
        if not rewrite.is_over:
            sent += rewrite.feed(part)
    return sent if rewrite.is_over else sent + rewrite.finish(), rewrite


def read_as_a_client(stream: bytes) -> list[Any]:
    """The events as the SSE specification dispatches them: data joined, ended by a blank line; JSON where it is."""
    text = stream.decode("utf-8", "replace").replace("\r\n", "\n").replace("\r", "\n")
    dispatched = []
    for block in text.split("\n\n")[:-1]:
        data = [line[5:].removeprefix(" ") for line in block.split("\n") if line.startswith("data:")]
        if data:
            dispatched.append(_json("\n".join(data)))
    return dispatched


def _json(data: str) -> Any:
    for text in (data, sound_form(data.encode())):
        try:
            return json.loads(text, strict=False)
        except (ValueError, RecursionError):
            continue
    return data


@pytest.mark.parametrize("include_usage", [False, True])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_stream_of_a_provider(case: Case, include_usage: bool) -> None:
    """The texts, one usage with the right counts, one end; nothing of the provider's names; every event ended."""
    sent, rewrite = ran([case.stream], case, include_usage=include_usage)
    if case.name.startswith("single line feeds"):
        sent = re.sub(rb"\n+", b"\n\n", sent)
    events = [each for each in read_as_a_client(sent) if isinstance(each, dict)]
    deltas = [choice.get("delta") or {} for each in events for choice in each.get("choices") or ()]
    assert "".join(delta.get("content") or "" for delta in deltas) == case.texts
    assert {each["id"] for each in events if "id" in each} == {"gen-1"}
    assert {each["model"] for each in events if "model" in each} == {"a/b"}
    told = [each["usage"] for each in events if each.get("usage")]
    if case.usage is not None or not include_usage:
        assert [(usage["prompt_tokens"], usage["completion_tokens"]) for usage in told] == ([case.usage] if case.usage else [])
    assert all(isinstance(each["choices"], list) for each in events if each.get("usage"))
    if told and not include_usage:
        assert all(each["choices"] for each in events if each.get("usage"))
    end = "error" if rewrite.error else "cut" if not rewrite.is_complete else "done" if rewrite.is_done else "end"
    assert (end, rewrite.finish_reason) == (case.end, case.finish)
    assert sent.count(b"[DONE]") == (case.end == "done")
    assert b"busy" not in sent
    assert not rewrite.error or b"busy" in rewrite.error
    assert rewrite.is_over
    assert not sent or sent.endswith((b"\n\n", b"\r\n\r\n", b"\r\r"))


@pytest.mark.parametrize("include_usage", [False, True])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_stream_of_a_provider_in_every_cut(case: Case, include_usage: bool) -> None:
    """However TCP split it, and whatever follows its end, the same goes out and the same was counted."""
    whole, known = ran([case.stream], case, include_usage=include_usage)
    stream = case.stream
    cuts = every_cut(stream) if len(stream) < 1_200 else [[stream[:at], stream[at:]] for at in range(1, len(stream), 97)]
    for parts in cuts:
        sent, rewrite = ran(parts, case, include_usage=include_usage)
        assert sent == whole
        assert counted(rewrite) == counted(known)
    if case.end in ("done", "error") and stream.endswith((b"\n\n", b"\r\r", b"\r\n\r\n")):
        for junk in (event(HI), b"\x00\xff junk", DONE, event(ERROR)):
            sent, rewrite = ran([stream], case, include_usage=include_usage, junk=junk)
            assert (sent, counted(rewrite)) == (whole, counted(known))


def counted(rewrite: StreamRewrite) -> tuple[object, ...]:
    meter = rewrite.meter
    return meter.deltas, meter.text_bytes, meter.tokens, rewrite.error, rewrite.is_complete, rewrite.finish_reason


@pytest.mark.parametrize(
    ("payload", "bytes_min"),
    [
        (b"not json at all, but forty bytes of text", 40),
        (b'{"id":"c","model":"m","choices":[{"delta":{"content":"' + b"x" * 400 + b'"}}],"a":' + b"[" * 9_000, 400),
        (b"{" + b",".join(b'"a%d":1' % n for n in range(MEMBERS_MAX + 2)) + b"}", MEMBERS_MAX),
        (b'{"text":"\xc4\xe3\xba\xc3', 10),
    ],
    ids=["words", "deep", "many members", "half"],
)
def test_event_that_is_unread_is_not_free(payload: bytes, bytes_min: int) -> None:
    """It passes with our names as far as they stand before what cannot be read, and its bytes are counted."""
    rewrite = rewriter()
    sent = rewrite.feed(event(payload, STOP) + DONE)
    assert rewrite.meter.text_bytes >= bytes_min
    assert len(sent) > len(payload)
    if payload.startswith(b'{"id"'):
        assert sent.startswith(b'data: {"id":"gen-1","model":"a/b","choices":')


def test_halves_of_a_surrogate_pair_pass_as_they_came_and_are_counted() -> None:
    """JavaScript puts them together again; the names are ours in both chunks."""
    halves = [chunk("?").replace(b"?", half) for half in (rb"\ud83d", rb"\ude00")]
    sent, rewrite = ran([event(*halves, STOP) + DONE], Case("", b""), include_usage=False)
    assert [each["choices"][0]["delta"]["content"] for each in read_as_a_client(sent)[:2]] == ["\ud83d", "\ude00"]
    assert rb"\ud83d" in sent
    assert b'"id":"c"' not in sent
    assert rewrite.meter.deltas == 2


def test_names_are_ours_where_a_strict_reader_refuses() -> None:
    """The bytes that it refuses go out as they came."""
    text = chunk("hi", a=1, z="\x01").replace(b"\\u0001", b"\x01\xff").replace(b'"a":1', b'"a":NaN')
    for flavor in Flavor:
        rewrite = rewriter(flavor=flavor)
        sent = rewrite.feed(event(text))
        assert b'"id":"gen-1"' in sent
        assert b'"model":"a/b"' in sent
        assert b'"a":NaN' in sent
        assert b"\x01\xff" in sent


@pytest.mark.parametrize(
    "text",
    [
        b'"\\ud83d"',
        b'"\\ud83d\\ude00"',
        b'"\\ude00\\ud83d"',
        b"[NaN,-Infinity,Infinity]",
        b'"\\x\\u12\\\\"',
        b'"\xff\x00"',
        b'"a',
    ],
)
def test_sound_form_has_the_same_length(text: bytes) -> None:
    """So what is found in it stands at the same place in the text."""
    assert len(sound_form(text)) == len(text)
    if text.endswith((b'"', b"]")) and text[:2] != b'"a':
        assert read_object(b'{"choices":[],"x":' + text + b"}") is not None


def test_event_of_endless_lines_is_refused() -> None:
    """What waits for the end of its event is bounded like a line."""
    rewrite = StreamRewrite(
        Identity("g", "a/b", Flavor.OPENAI, "p"), Meter(RATES, 1), include_usage=False, created=1, line_bytes_max=10_000
    )
    line = b"data: " + b"x" * 200 + b"\n"
    with pytest.raises(TooLong):
        fed(rewrite.feed, [line] * 100)


@pytest.mark.parametrize(
    ("data", "is_framing"),
    [
        (b": keep-alive\n\n", True),
        (b": keep-al", True),
        (b"\n", True),
        (b"\r\n\r\n", True),
        (b"\r", True),
        (b"data:\n\n", True),
        (b"event: ping\n\n", True),
        (event(b'{"type":"ping"}'), True),
        (event(b'{"id":"c","choices":[]}'), True),
        (event(HI), False),
        (b'data: {"id":"c","choi', False),
        (event(b"not json"), False),
        (b": x\n\n" + event(HI), False),
    ],
)
def test_heartbeat_is_told_from_an_answer(data: bytes, is_framing: bool) -> None:
    """Whether what came belongs to the answer, in one read or in two."""
    for at in (len(data), 1, 3):
        rewrite = rewriter()
        rewrite.feed(event(HI, HI))
        heard = []
        for part in (data[:at], data[at:]):
            if part:
                rewrite.is_framing = False
                rewrite.feed(part)
                heard.append(not rewrite.is_framing)
        if is_framing and data[:4] != b"data" and data[:5] != b"event":
            assert not any(heard)
        else:
            assert heard[-1] is not is_framing or at != len(data)


@pytest.mark.parametrize("seed", range(4))
def test_bytes_of_any_kind_raise_nothing_and_end(seed: int) -> None:
    """The short form of `scripts/soak provider-fuzz`: whatever a provider sends, in whatever pieces, is read to a defined end."""
    for number, body in enumerate(bodies(seed, 250)):
        flavor, include_usage, choices = list(Flavor)[number % 2], number % 3 == 0, 1 + (number % 5 == 0)
        outcomes = []
        for size in (len(body) or 1, 61):
            rewrite = rewriter(choices, include_usage=include_usage, flavor=flavor)
            sent = fed(rewrite.feed, [body[at : at + size] for at in range(0, len(body), size)]) + rewrite.finish()
            assert not sent or sent.endswith((b"\n\n", b"\n\r\n", b"\r\r"))
            outcomes.append((sent, counted(rewrite), rewrite.meter.cost_nano(), rewrite.meter.usage_json()))
        assert outcomes[0] == outcomes[1]
