"""Streams of pictures, of speech and of transcripts: they pass, the last event tells the cost, and an error is taken out."""

import json
from typing import Any

import pytest

from routing.plan.refusal import Refusal
from routing.rewrite.media_events import MediaEvents
from tests.routing.surfaces.calls import identity, meter
from tests.routing.translate.streams import events, run
from usage.flavor import Flavor
from usage.record import Rates, Tokens

USAGE = {"input_tokens": 20, "output_tokens": 2, "total_tokens": 22}
PARTIAL = {"type": "image_generation.partial_image", "partial_image_index": 0, "b64_json": "AA"}
PICTURE = {"type": "image_generation.completed", "b64_json": "AAAA", "created_at": 5, "usage": USAGE}
SOUND = {"type": "speech.audio.delta", "audio": "AAAA"}
WORDS = {"type": "transcript.text.delta", "delta": "hello there"}
STREAMS: dict[str, list[dict[str, Any]]] = {
    "a picture": [PARTIAL, PICTURE],
    "an edited picture": [PARTIAL, PICTURE | {"type": "image_edit.completed"}],
    "speech": [SOUND, SOUND, {"type": "speech.audio.done", "usage": USAGE}],
    "a transcript": [WORDS, {"type": "transcript.text.done", "text": "hello there", "usage": {"type": "tokens", **USAGE}}],
}
BROKEN = Refusal(502, "provider_error", "it broke")


def machine(rates: Rates | None = None, flavor: Flavor = Flavor.OPENAI) -> MediaEvents:
    used = meter() if rates is None else meter(rates, 0)
    return MediaEvents(identity(flavor), used, created=7, line_bytes_max=1 << 20)


def streamed(*told: Any, named: bool = False, done: bool = False) -> bytes:
    lines = [json.dumps(each).encode() if isinstance(each, dict) else each for each in told]
    heads = [b"event: %b\n" % each["type"].encode() if named and isinstance(each, dict) else b"" for each in told]
    sent = b"".join([b"%bdata: %b\n\n" % (head, line) for head, line in zip(heads, lines, strict=True)])
    return sent + (b"data: [DONE]\n\n" if done else b"")


@pytest.mark.parametrize("name", STREAMS)
@pytest.mark.parametrize("named", [False, True])
def test_stream_passes_but_for_its_cost(name: str, named: bool) -> None:
    """Every event but the last one is the provider's, however it was cut; what is charged is what it says."""
    sent = streamed(*STREAMS[name], named=named)
    rewrite = machine()
    got = run(rewrite, sent)
    for size in (1, 7, 50):
        assert run(machine(), sent, size) == got
    before, after = sent.split(b"\n\n"), got.split(b"\n\n")
    assert before[:-2] == after[:-2]
    last = events(got)[-1]
    assert last["usage"].pop("cost") * 1e9 == pytest.approx(20 * 150 + 2 * 600)
    assert last == STREAMS[name][-1]
    assert (rewrite.meter.tokens, rewrite.meter.source) == (Tokens(20, 2), "provider")
    assert (rewrite.is_complete, rewrite.is_over, rewrite.finish_reason) == (True, True, "stop")


def test_picture_for_openrouters_clients_has_what_their_schema_requires() -> None:
    """Chat's counts beside the provider's, and when it was made; where the provider does not say, by our clock."""
    rewrite = machine(flavor=Flavor.OPENROUTER)
    last = events(run(rewrite, streamed(PICTURE)))[-1]
    assert (last["usage"]["prompt_tokens"], last["usage"]["completion_tokens"], last["created"]) == (20, 2, 5)
    undated = {name: value for name, value in PICTURE.items() if name != "created_at"}
    for event in (undated, PICTURE | {"created_at": None}):
        assert events(run(machine(flavor=Flavor.OPENROUTER), streamed(event)))[-1]["created"] == 7
    sound = run(machine(flavor=Flavor.OPENROUTER), streamed({"type": "speech.audio.done", "usage": USAGE}))
    assert "prompt_tokens" not in events(sound)[-1]["usage"]


@pytest.mark.parametrize(
    ("usage", "seconds"),
    [
        ({"type": "duration", "seconds": 7.2}, 8),
        ({"seconds": 400}, 90),
        ({"seconds": -1}, 0),
        ({"seconds": True}, 90),
        ({"seconds": "7"}, 90),
        ({}, 90),
        (None, 90),
        ("x", 90),
        ([], 90),
    ],
)
def test_seconds_of_a_sound_are_charged_as_they_are_told(usage: Any, seconds: int) -> None:
    """Rounded up, and as many as there can be where nothing is told."""
    rewrite = machine(rates=Rates(second=100_000))
    rewrite.meter.expect(Tokens(seconds=90), None)
    last = events(run(rewrite, streamed(WORDS, {"type": "transcript.text.done", "text": "x", "usage": usage})))[-1]
    assert (rewrite.meter.tokens.seconds, rewrite.meter.cost_nano()) == (seconds, seconds * 100)
    assert last["usage"]["cost"] * 1e9 == pytest.approx(seconds * 100)


@pytest.mark.parametrize(
    "error",
    [
        {"type": "error", "error": {"message": "busy"}},
        {"error": {"message": "busy"}},
        {"type": "error", "message": "busy"},
        {"type": "image_generation.completed", "error": {"message": "busy"}},
        b'{"type":"error","message":"busy"',
    ],
)
@pytest.mark.parametrize("start", [[], [PARTIAL], [SOUND], [WORDS]])
def test_error_in_a_stream_is_taken_out(error: Any, start: list[Any]) -> None:
    """In any of its forms, wherever it stands: what is told of it is ours, and nothing follows."""
    rewrite = machine()
    head = b"event: error\n" if isinstance(error, bytes) else b""
    got = rewrite.feed(streamed(*start) + head + streamed(error, PICTURE))
    assert (b"busy" in got, b"cost" in got) == (False, False)
    assert b"busy" in rewrite.error
    assert (rewrite.is_over, rewrite.is_complete) == (True, False)
    assert rewrite.finish() == b""


@pytest.mark.parametrize("odd", [b"not json", b"5", b"[]", b'{"type":7}', b'"x"', b'{"error":null,"type":"speech.audio.delta"}'])
def test_event_that_is_odd_passes(odd: bytes) -> None:
    got = run(machine(), streamed(odd, PICTURE))
    assert b"data: %b\n\n" % odd in got
    assert b'"cost"' in got


def test_end_of_chats_behind_the_end_is_nothing() -> None:
    rewrite = machine()
    assert b"[DONE]" not in run(rewrite, streamed(*STREAMS["speech"], done=True))
    early = machine()
    assert early.feed(streamed(SOUND, done=True)).endswith(b"data: [DONE]\n\n")
    assert not early.is_complete


def test_sign_of_life_is_no_part_of_an_answer() -> None:
    """As long as nothing else came another provider may be asked."""
    rewrite = machine()
    rewrite.feed(streamed({"type": "keepalive"}))
    assert (rewrite.has_begun, rewrite.is_framing) == (False, True)
    rewrite.feed(streamed(PARTIAL))
    assert (rewrite.has_begun, rewrite.is_framing) == (True, False)


@pytest.mark.parametrize("start", [[], [SOUND], [WORDS]])
def test_stream_that_is_cut_for_credit_or_breaks_says_so(start: list[Any]) -> None:
    """There is no regular end of a sound that is half of one."""
    rewrite = machine()
    rewrite.feed(streamed(*start))
    cut, broke = events(rewrite.cut()), events(rewrite.fail(BROKEN))
    assert [each["type"] for each in cut + broke] == ["error", "error"]
    assert cut[0]["error"]["code"] == "insufficient_credits"
    assert broke[0]["error"]["message"] == "it broke"


def test_transcript_that_is_cut_off_is_counted_by_its_text() -> None:
    rewrite = machine()
    run(rewrite, streamed(WORDS, WORDS))
    assert (rewrite.meter.text_bytes, rewrite.meter.source, rewrite.is_complete) == (22, "counted", False)
