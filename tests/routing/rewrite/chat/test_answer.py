"""A whole answer: ours are the id, the model and the usage; the rest is the provider's, byte for byte."""

import json

import pytest

from routing.failures.failure import AttemptFailed, Kind, Sent
from routing.failures.provider_error import failure_of_error
from routing.metering.meter import Meter
from routing.plan.refusal import Refusal
from routing.rewrite.chat.answer import error_event, length_chunk, open_answer, rewrite_answer, usage_chunk
from routing.rewrite.identity import Identity
from routing.table.tariff import Tariff
from tests.routing import recordings
from usage.flavor import Flavor
from usage.record import Rates

IDENTITY = Identity("gen-1", 'a/"b', Flavor.OPENAI, "p")
OPENROUTER = Identity("gen-1", 'a/"b', Flavor.OPENROUTER, "p")


def rewritten(body: bytes) -> tuple[bytes, Meter]:
    meter = Meter(Tariff(Rates(input=1_000, output=2_000)), 5)
    reading = open_answer(body)
    return rewrite_answer(body, reading, IDENTITY, meter), meter


@pytest.mark.parametrize("name", recordings.ANSWERS)
def test_answer_of_a_recording_keeps_all_other_bytes(name: str) -> None:
    """What stands before, between and after the three members is untouched."""
    body = recordings.answer(name)
    sent, meter = rewritten(body)
    before, after = json.loads(body), json.loads(sent)
    assert after["id"] == "gen-1"
    assert after["model"] == 'a/"b'
    assert after["usage"]["cost"] > 0
    assert meter.source == "provider"
    for name_of in before.keys() - {"id", "model", "usage"}:
        assert after[name_of] == before[name_of]
    assert list(after) == list(before)
    choices = body[body.index(b'"choices"') :].partition(b'"finish_reason"')[0]
    assert choices in sent


def test_answer_without_usage_gets_a_counted_one() -> None:
    """Some servers send none; then the count is ours and marked."""
    sent, meter = rewritten(b'{"id":"x","model":"m","choices":[{"message":{"content":"one two three"},"finish_reason":"stop"}]}')
    usage = json.loads(sent)["usage"]
    assert usage["usage_source"] == meter.source == "counted"
    assert (usage["prompt_tokens"], usage["completion_tokens"]) == (5, 4)


def test_answer_after_empty_lines_is_read() -> None:
    """DeepSeek keeps a connection alive with empty lines before the JSON."""
    sent, _ = rewritten(b'\n\n\n{"id":"x","model":"m","choices":[],"usage":null}')
    assert sent.startswith(b'\n\n\n{"id":"gen-1"')


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"", Kind.PROTOCOL, 0),
        (b"<html>", Kind.PROTOCOL, 0),
        (b"[" * 50_000, Kind.PROTOCOL, 0),
        (b'{"object":"list"}', Kind.PROTOCOL, 0),
        (b'{"error":{"code":429,"message":"slow"}}', Kind.STREAM_ERROR, 429),
        (b'{"error":"The service is unavailable","code":"x"}', Kind.STREAM_ERROR, 502),
        (b'{"error":{"code":"server_error","status":503}}', Kind.STREAM_ERROR, 503),
        (b'{"error":{"message":7}}', Kind.STREAM_ERROR, 502),
        (b'{"error":[1]}', Kind.STREAM_ERROR, 502),
    ],
)
def test_answer_that_is_none_is_a_failure(body: bytes, kind: Kind, status: int) -> None:
    """A 200 whose body is no answer is reported with what the provider said."""
    with pytest.raises(AttemptFailed) as caught:
        open_answer(body)
    assert (caught.value.failure.kind, caught.value.failure.status) == (kind, status)


def test_failure_of_an_error_keeps_the_message_for_the_record() -> None:
    """The provider's sentence goes into the failure's detail, bounded."""
    failure = failure_of_error(b'{"message":"' + b"m" * 50_000 + b'","code":400}', Sent.HEAD)
    assert (failure.status, failure.sent, len(failure.detail)) == (400, Sent.HEAD, 8_192)


def event(text: bytes) -> dict[str, object]:
    assert text.startswith(b"data: ")
    assert text.endswith(b"\n\n")
    parsed: dict[str, object] = json.loads(text[6:])
    assert (parsed["id"], parsed["model"], parsed["created"]) == ("gen-1", 'a/"b', 7)
    return parsed


def test_events_of_our_own_are_chunks_that_sdks_read() -> None:
    """Cut and usage are ordinary chunks with our id and model."""
    cut = event(length_chunk(IDENTITY, b'{"cost":1}', 7))
    assert cut["choices"] == [{"index": 0, "delta": {}, "finish_reason": "length"}]
    assert cut["ended_by"] == "credit"
    usage = event(usage_chunk(IDENTITY, b'{"cost":1}', 7))
    assert (usage["choices"], usage["usage"]) == ([], {"cost": 1})


BROKE = Refusal(502, "provider_disconnected", "broke", metadata={"provider_name": "p"})


def test_error_event_for_openai() -> None:
    """The error and nothing else: a client that sees choices takes the event for a part of the answer."""
    text = error_event(IDENTITY, BROKE, 7)
    assert text.startswith(b"data: ")
    assert text.endswith(b"\n\n")
    assert json.loads(text[6:]) == {
        "error": {"message": "broke", "type": "upstream_error", "param": None, "code": "provider_disconnected"}
    }


def test_error_event_for_openrouter() -> None:
    """A chunk with a choice that ended in an error, and the error with the status as its code."""
    error = event(error_event(OPENROUTER, BROKE, 7))
    assert error["choices"] == [{"index": 0, "delta": {"content": ""}, "finish_reason": "error"}]
    assert error["provider"] == "p"
    assert error["error"] == {
        "code": 502,
        "message": "broke",
        "metadata": {"error_type": "provider_unavailable", "code": "provider_disconnected", "provider_name": "p"},
    }
