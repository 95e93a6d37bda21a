"""Answers of the formats beside Chat that a strict reader refuses: they were paid for, so they are served, named and charged."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from routing.failures.failure import AttemptFailed
from routing.metering.meter import Meter
from routing.rewrite.gemini import GeminiStream
from routing.rewrite.gemini import whole as whole_gemini
from routing.rewrite.identity import Identity
from routing.rewrite.messages import MessagesStream
from routing.rewrite.messages import whole as whole_message
from routing.rewrite.named_events import NamedEvents
from routing.rewrite.responses import ResponsesStream
from routing.rewrite.responses import whole as whole_response
from routing.surfaces.openai import embeddings
from routing.table.tariff import Tariff
from tests.routing.translate.streams import IDENTITY, RATES, run
from usage.record import Tokens

WORDS = "word " * 8
MESSAGE = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "their-model",
    "content": [{"type": "text", "text": WORDS}],
    "stop_reason": "end_turn",
    "usage": {"input_tokens": 20, "output_tokens": 12},
}
RESPONSE = {
    "id": "resp_1",
    "object": "response",
    "status": "completed",
    "model": "their-model",
    "output": [{"type": "message", "content": [{"type": "output_text", "text": WORDS}]}],
    "usage": {"input_tokens": 20, "output_tokens": 12, "total_tokens": 32},
}
GEMINI = {
    "candidates": [{"content": {"role": "model", "parts": [{"text": WORDS}]}, "finishReason": "STOP", "index": 0}],
    "usageMetadata": {"promptTokenCount": 20, "candidatesTokenCount": 12, "totalTokenCount": 32},
    "modelVersion": "their-model",
    "responseId": "theirs_1",
}
Whole = Callable[[bytes, Identity, Meter], tuple[bytes, str, str]]
FORMS: dict[str, tuple[dict[str, Any], Whole, type[NamedEvents]]] = {
    "messages": (MESSAGE, whole_message, MessagesStream),
    "responses": (RESPONSE, whole_response, ResponsesStream),
    "gemini": (GEMINI, lambda body, identity, meter: whole_gemini(body, identity, meter, "candidates"), GeminiStream),
}
ODD = {
    "half a surrogate pair": (b"word word ", b"\\ud83d word "),
    "a raw control character": (b"word word ", b"a\tb\x01 "),
    "an escape that JSON does not know": (b"word word ", b"word\\x41 "),
    "bytes that are no UTF-8": (b"word word ", b"caf\xe9 word "),
    "NaN": (b"{", b'{"x":NaN,'),
    "-Infinity in the usage": (b'": 20', b'": 20, "x": -Infinity'),
}


def odd(body: bytes, name: str) -> bytes:
    return body.replace(*ODD[name], 1)


def pieces(form: str) -> list[dict[str, Any]]:
    """A stream that says the whole answer in two pieces, with its usage at the end."""
    if form == "messages":
        return [
            {"type": "message_start", "message": MESSAGE | {"content": [], "stop_reason": None, "usage": {"input_tokens": 20}}},
            {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": WORDS}},
            {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": MESSAGE["usage"]},
            {"type": "message_stop"},
        ]
    if form == "responses":
        return [
            {"type": "response.created", "response": RESPONSE | {"output": [], "usage": None}, "sequence_number": 0},
            {"type": "response.output_text.delta", "delta": WORDS, "sequence_number": 1},
            {"type": "response.completed", "response": RESPONSE, "sequence_number": 2},
        ]
    first = {"content": {"role": "model", "parts": [{"text": WORDS}]}, "index": 0}
    last = {"content": {"role": "model", "parts": []}, "finishReason": "STOP", "index": 0}
    return [GEMINI | {"candidates": [first], "usageMetadata": None}, GEMINI | {"candidates": [last]}]


def streamed(form: str, end: bytes = b"\n\n") -> list[bytes]:
    return [b"data: %b%b" % (json.dumps(each).encode(), end) for each in pieces(form)]


def machine(form: str) -> NamedEvents:
    return FORMS[form][2](IDENTITY, Meter(Tariff(RATES), 9), created=1, line_bytes_max=1 << 20)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", ODD)
def test_whole_answer_that_is_odd_is_served(form: str, name: str) -> None:
    """With our names, at the provider's count, every other byte as it came."""
    value, whole, _ = FORMS[form]
    meter = Meter(Tariff(RATES), 9)
    body = odd(json.dumps(value).encode(), name)
    sent, finish, upstream_id = whole(body, IDENTITY, meter)
    assert (meter.tokens, meter.source, finish) == (Tokens(20, 12), "provider", "stop")
    assert upstream_id in ("msg_1", "resp_1", "theirs_1")
    assert upstream_id.encode() not in sent
    assert b"their-model" not in sent
    assert ODD[name][0] in body or ODD[name][1] in sent
    assert b'"cost":' in sent


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", ODD)
def test_stream_whose_events_are_odd_is_charged_for_what_it_claims(form: str, name: str) -> None:
    """Each event is read that can be: the text counts once, the usage counts, no name of the provider's is passed on."""
    rewrite = machine(form)
    sent = run(rewrite, b"".join(odd(each, name) for each in streamed(form)))
    assert (rewrite.meter.tokens, rewrite.meter.source) == (Tokens(20, 12), "provider")
    assert rewrite.meter.text_bytes <= len(WORDS) + 12
    assert rewrite.is_complete
    assert b"their-model" not in sent
    assert rewrite.upstream_id.encode() not in sent


@pytest.mark.parametrize("form", FORMS)
def test_half_of_an_event_at_the_end_is_none(form: str) -> None:
    """A client that got it would fail on it; it is neither passed nor charged, wherever it was cut."""
    *before, last = streamed(form)
    for cut in range(8, len(last) - 3):
        rewrite = machine(form)
        sent = run(rewrite, b"".join(before) + last[:cut])
        assert rewrite.meter.text_bytes == len(WORDS)
        for line in sent.splitlines():
            assert not line.startswith(b"data:") or json.loads(line[5:])


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("is_cut", [False, True])
def test_events_without_a_blank_line_between_them_are_several(form: str, is_cut: bool) -> None:
    """As Chat's are: read one by one, and charged once."""
    rewrite = machine(form)
    stream = b"".join(streamed(form, b"\n")) + (b'data: {"type":"pi' if is_cut else b"\n")
    sent = run(rewrite, stream)
    assert (rewrite.meter.tokens, rewrite.meter.source) == (Tokens(20, 12), "provider")
    assert rewrite.meter.text_bytes == len(WORDS)
    assert rewrite.is_complete
    assert b"their-model" not in sent


@pytest.mark.parametrize(
    "members", [{"tool_usage": 5}, {"tool_usage": {"web_search": []}}, {"incomplete_details": "max"}, {"service_tier": 7}]
)
def test_response_with_a_member_of_another_type_is_served(members: dict[str, Any]) -> None:
    """A bad member voids itself: in the answer, and in the event that ends a stream."""
    meter = Meter(Tariff(RATES), 9)
    whole_response(json.dumps(RESPONSE | members).encode(), IDENTITY, meter)
    assert meter.tokens == Tokens(20, 12)
    rewrite = machine("responses")
    last = {"type": "response.completed", "response": RESPONSE | members}
    run(rewrite, b"".join(streamed("responses")[:-1]) + b"data: %b\n\n" % json.dumps(last).encode())
    assert (rewrite.meter.tokens, rewrite.is_complete) == (Tokens(20, 12), True)


def test_vector_with_a_number_that_is_none_is_served() -> None:
    """Servers of vectors answer NaN for some texts; the prompt was read all the same."""
    body = b'{"data":[{"embedding":[NaN,0.5],"index":0}],"model":"theirs","usage":{"prompt_tokens":20,"total_tokens":20}}'
    meter = Meter(Tariff(RATES), 9)
    sent = embeddings.whole(body, IDENTITY, meter, "application/json").body
    assert b"[NaN,0.5]" in sent
    assert b"theirs" not in sent
    assert meter.tokens == Tokens(20, 0)


@pytest.mark.parametrize("form", FORMS)
def test_answer_that_is_too_large_to_be_read_twice_is_none(form: str) -> None:
    """A strict reader refuses it, and a lenient one takes its time: bounded."""
    value, whole, _ = FORMS[form]
    with pytest.raises(AttemptFailed):
        whole(b'{"x":NaN,"y":"%b",' % (b"z" * (5 << 20)) + json.dumps(value).encode()[1:], IDENTITY, Meter(Tariff(RATES), 9))
