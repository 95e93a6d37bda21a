"""Streams as they are in the wild: odd framing, broken ends, providers that fall silent or die, callers that leave."""

import json
from typing import Any

import pytest

from tests.answers import (
    DONE,
    Answer,
    Delay,
    End,
    Step,
    bytewise,
    chunk,
    completion,
    cut_at_random,
    delta,
    event,
    head,
    respond,
    spoken,
    stream,
    usage,
    usage_chunk,
)
from tests.e2e.oracle import cost_nano, events, member, nano, substituted
from tests.e2e.statement import generation
from tests.processes import Account, Edge, Reply, post
from tests.provider import Provider

MESSAGES: Any = [{"role": "user", "content": "Say hello."}]


def ask_stream(edge: Edge, account: Account, model: str, **more: Any) -> Reply:
    return post(edge.port, {"model": f"mock/{model}", "messages": MESSAGES, "stream": True} | more, account.headers)


def as_seen(payload: bytes, got: Reply, model: str, usage_json: bytes = b"") -> bytes:
    """A provider's payload as the caller must see it."""
    values = {"id": json.dumps(got.headers["x-generation-id"]).encode(), "model": json.dumps(f"mock/{model}").encode()}
    if usage_json:
        return substituted(payload, values | {"usage": usage_json}, append=True)
    return substituted(payload, values)


def usage_in(got: Reply) -> bytes:
    """The one usage object of a stream."""
    found = [member(payload, "usage") for payload in events(got.body) if payload != b"[DONE]"]
    (only,) = [raw for raw in found if raw not in (b"", b"null")]
    return only


def check_failed_stream(got: Reply, contents: list[str]) -> Any:
    """A 200 whose stream ends with one error event and nothing after it; the error object."""
    assert got.status == 200
    *before, last = map(json.loads, events(got.body))
    assert [value["choices"][0]["delta"].get("content") for value in before] == contents
    assert all("error" not in value for value in before)
    assert list(last) == ["error"]
    assert isinstance(last["error"]["message"], str)
    assert last["error"]["code"]
    assert got.body.endswith(b"\n\n")
    return last["error"]


# --- framing ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cut", [lambda answer: answer, bytewise, lambda answer: cut_at_random(answer, 50, 7)])
def test_stream_crlf(edge: Edge, account: Account, provider: Provider, model: str, cut: Any) -> None:
    """CRLF line ends stay as they are."""
    provider.script(model, cut(stream(spoken(line_end="\r\n"))))
    got = ask_stream(edge, account, model)
    values = [delta(role="assistant", content=""), *(delta(content=word) for word in ("Hel", "lo ", "there."))]
    wanted = [as_seen(json.dumps(value).encode(), got, model) for value in values]
    wanted += [as_seen(json.dumps(delta("stop")).encode(), got, model, usage_in(got)), b"[DONE]"]
    assert got.body == b"".join(b"data: " + payload + b"\r\n\r\n" for payload in wanted)


@pytest.mark.parametrize("cut", [lambda answer: answer, bytewise])
def test_stream_comments(edge: Edge, account: Account, provider: Provider, model: str, cut: Any) -> None:
    """Comments, event names and data without a space pass as they came, at their places."""
    first, last = (json.dumps(value).encode() for value in (delta(content="a"), delta("stop") | {"usage": usage(9, 3)}))
    text = b": PROCESSING\n\nevent: message\ndata:" + first + b"\n\n: keep-alive\n\n\n: again\n\ndata: " + last + b"\n\n" + DONE
    provider.script(model, cut(stream([text])))
    got = ask_stream(edge, account, model)
    wanted = text.replace(first, as_seen(first, got, model)).replace(last, as_seen(last, got, model, usage_in(got)))
    assert got.body == wanted


@pytest.mark.parametrize("cut", [lambda answer: answer, lambda answer: cut_at_random(answer, 50, 11)])
def test_stream_line_of_two_megabytes(edge: Edge, account: Account, provider: Provider, model: str, cut: Any) -> None:
    """One line of 2 MB comes through whole."""
    long = json.dumps(delta(content="x" * 2_000_000 + "é")).encode()
    provider.script(model, cut(stream([b"data: " + long + b"\n\n", event(delta("stop")), event(usage_chunk(9, 500_000)), DONE])))
    got = ask_stream(edge, account, model)
    assert events(got.body)[0] == as_seen(long, got, model)
    assert json.loads(usage_in(got))["completion_tokens"] == 500_000


@pytest.mark.parametrize("cut", [lambda answer: answer, bytewise])
def test_stream_utf8_cut_in_half(edge: Edge, account: Account, provider: Provider, model: str, cut: Any) -> None:
    """A character whose bytes arrive apart is the same character."""
    text = "Grüße, 世界 🎉"
    payload = json.dumps(delta(content=text), ensure_ascii=False).encode()
    at = payload.index("🎉".encode()) + 2
    parts: list[Step] = [b"data: " + payload[:at], Delay(0.05), payload[at:] + b"\n\n", event(delta("stop")), DONE]
    framed = stream(parts)
    provider.script(model, framed if cut is not bytewise else bytewise(tuple(step for step in framed if isinstance(step, bytes))))
    got = ask_stream(edge, account, model)
    assert events(got.body)[0] == as_seen(payload, got, model)


@pytest.mark.parametrize("include_usage", [False, True])
def test_stream_without_done(edge: Edge, account: Account, provider: Provider, model: str, include_usage: bool) -> None:
    """A provider that never says [DONE] is not given one; its usage arrives all the same."""
    provider.script(model, stream(spoken(prompt=7, tokens=5)[:-1], framing="close"))
    options = {"stream_options": {"include_usage": True}} if include_usage else {}
    got = ask_stream(edge, account, model, **options)
    assert b"[DONE]" not in got.body
    assert nano(json.loads(usage_in(got))["cost"]) == cost_nano(7, 5)
    kept = generation(edge.port, account, got.headers["x-generation-id"])
    assert (kept["finish_reason"], kept["cancelled"]) == ("stop", False)


def test_stream_duplicated_usage(edge: Edge, account: Account, provider: Provider, model: str) -> None:
    """Usage in every chunk, cumulative: the last one counts, and the caller sees one."""
    values = [delta(content=str(count)) | {"usage": usage(10, count)} for count in range(1, 5)]
    provider.script(model, stream([*map(event, values), event(delta("stop") | {"usage": usage(10, 5)}), DONE]))
    got = ask_stream(edge, account, model)
    assert nano(json.loads(usage_in(got))["cost"]) == cost_nano(10, 5)


# --- ends that are none ---------------------------------------------------------------------------------------------------------


def test_error_first(edge: Edge, account: Account, provider: Provider, model: str) -> None:
    """An error as the first event of a 200 is a status of its own, not a stream; nothing is charged."""
    provider.script(model, stream([event({"error": {"message": "no capacity", "type": "server_error", "code": 503}})]))
    got = ask_stream(edge, account, model)
    assert got.status in (502, 503)
    assert json.loads(got.body)["error"]["message"]
    assert nano(generation(edge.port, account, got.headers["x-generation-id"])["total_cost"]) == 0


@pytest.mark.parametrize("shape", [{"message": "no capacity", "code": "overloaded"}, "The service is unavailable"])
def test_error_as_json(edge: Edge, account: Account, provider: Provider, model: str, shape: Any) -> None:
    """A 200 with a JSON error, asked for as a stream or not, is an error."""
    provider.script(model, respond({"error": shape}))
    for streamed in (True, False):
        got = ask_stream(edge, account, model, stream=streamed)
        assert got.status in (502, 503), (streamed, got.body)
        assert json.loads(got.body)["error"]["message"]


def test_error_later(edge: Edge, account: Account, provider: Provider, model: str) -> None:
    """An error after content is one error chunk; what was produced is charged."""
    failure = {"error": {"message": "lost a machine", "type": "server_error", "code": 500}}
    provider.script(model, stream([event(delta(content="a")), event(delta(content="b")), Delay(0.05), event(failure), DONE]))
    got = ask_stream(edge, account, model)
    check_failed_stream(got, ["a", "b"])
    kept = generation(edge.port, account, got.headers["x-generation-id"])
    assert kept["native_tokens_completion"] == 2
    assert nano(kept["total_cost"]) == cost_nano(kept["native_tokens_prompt"], 2)


@pytest.mark.parametrize("end", ["close", "reset", "cut chunk", "no finish"])
def test_upstream_dies(edge: Edge, account: Account, provider: Provider, model: str, end: str) -> None:
    """A provider that dies mid-stream gives one error chunk, no [DONE], and a charge for what came."""
    said: list[Step] = [event(delta(content="one ")), event(delta(content="two"))]
    answers: dict[str, Answer] = {
        "close": (*stream(said)[:-1], End()),
        "reset": (*stream(said)[:-1], Delay(0.1), End(reset=True)),
        "cut chunk": (*stream(said)[:-1], chunk(event(delta(content="three")))[:-40], End()),
        "no finish": stream(said),
    }
    provider.script(model, answers[end])
    got = ask_stream(edge, account, model)
    assert b"[DONE]" not in got.body
    check_failed_stream(got, ["one ", "two"])
    kept = generation(edge.port, account, got.headers["x-generation-id"])
    assert kept["native_tokens_completion"] == 2
    assert nano(kept["total_cost"]) == cost_nano(kept["native_tokens_prompt"], 2)


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_answer_truncated(edge: Edge, account: Account, provider: Provider, model: str, framing: str) -> None:
    """A JSON answer that is cut short is a 502, never half an answer."""
    raw = json.dumps(completion("Hello there.")).encode()
    if framing == "length":
        answer: Answer = (head(200, [("content-type", "application/json"), ("content-length", str(len(raw)))]) + raw[:-30], End())
    else:
        answer = (head(200, [("content-type", "application/json"), ("transfer-encoding", "chunked")]), chunk(raw)[:-30], End())
    provider.script(model, answer)
    got = ask_stream(edge, account, model, stream=False)
    assert got.status == 502
    assert json.loads(got.body)["error"]["message"]
    assert len(provider.requests[model]) == 1


def test_upstream_unreachable(edge: Edge, account: Account, provider: Provider, model: str) -> None:
    """A provider that resets before it answers is a 502, and was asked once: it may be billing."""
    provider.script(model, (End(reset=True),))
    assert ask_stream(edge, account, model).status == 502
    assert len(provider.requests[model]) == 1
