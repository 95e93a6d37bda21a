"""Over real sockets, under both servers: providers whose label, coding, order or end is not what was agreed."""

import gzip
import json
from typing import Any

import pytest

from tests.answers import DONE, Answer, Gate, event, respond, stream
from tests.e2e.oracle import events
from tests.processes import Account, Edge, Reply, post
from tests.provider import Provider

CLAIM = {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}
BASE: dict[str, Any] = {"id": "c", "object": "chat.completion", "created": 7, "model": "m"}
WHOLE = {**BASE, "choices": [{"index": 0, "message": {"role": "assistant", "content": "hello"}, "finish_reason": "stop"}]}
WHOLE["usage"] = CLAIM
SAYS = event({**BASE, "choices": [{"index": 0, "delta": {"content": "hello"}, "finish_reason": None}]})
STOPS = event({**BASE, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
USED = event({**BASE, "choices": [], "usage": CLAIM})
STREAM = SAYS + STOPS + USED + DONE
GZIP = [("content-encoding", "gzip")]


def asked(edge: Edge, account: Account, model: str, *, streams: bool) -> Reply:
    body = {"model": f"mock/{model}", "messages": [{"role": "user", "content": "Say hello."}], "stream": streams}
    return post(edge.port, body, account.headers)


@pytest.mark.parametrize("streams", [False, True])
@pytest.mark.parametrize(
    "answer",
    [
        respond(WHOLE),
        respond(WHOLE, content_type="text/event-stream"),
        respond(gzip.compress(json.dumps(WHOLE).encode()), headers=GZIP),
        respond(STREAM),
        respond(STREAM, content_type="text/plain"),
        stream([gzip.compress(STREAM)], headers=GZIP),
        stream([SAYS, STOPS, USED, DONE]),
    ],
    ids=["whole", "whole-as-stream", "whole-gzip", "stream-as-json", "stream-as-text", "stream-gzip", "stream"],
)
def test_answer_comes_as_it_was_asked_for(
    edge: Edge, account: Account, provider: Provider, model: str, answer: Answer, streams: bool
) -> None:
    """The same text, the same usage, the right type, whatever came."""
    provider.script(model, answer)
    got = asked(edge, account, model, streams=streams)
    assert got.status == 200
    assert "content-encoding" not in got.headers
    if streams:
        assert got.headers["content-type"].startswith("text/event-stream")
        *chunks, last = events(got.body)
        read = [json.loads(payload) for payload in chunks]
        assert last == b"[DONE]"
        assert "".join(c["delta"].get("content") or "" for each in read for c in each["choices"]) == "hello"
        (told,) = [each["usage"] for each in read if each.get("usage")]
    else:
        assert got.headers["content-type"].startswith("application/json")
        read_whole = json.loads(got.body)
        assert read_whole["choices"][0]["message"]["content"] == "hello"
        told = read_whole["usage"]
    assert (told["prompt_tokens"], told["completion_tokens"]) == (5, 2)


def test_answer_that_has_finished_ends_though_the_connection_stays(
    edge: Edge, account: Account, provider: Provider, model: str
) -> None:
    """Two seconds after the finish, not after the idle time-out, and without an error."""
    provider.script(model, stream([SAYS, STOPS, Gate(f"{model}-never")]))
    got = asked(edge, account, model, streams=True)
    last = json.loads(events(got.body)[-1])
    assert (last["choices"][0]["finish_reason"], last["usage"]["usage_source"]) == ("stop", "counted")


@pytest.mark.parametrize("streams", [False, True])
@pytest.mark.parametrize(
    "answer",
    [
        respond(b'{"error":{"message":"\xc4\xe3\xba\xc3","code":"\xc2\xb2"}}'),
        stream([b'data: {"error":{"message":"caf\xe9"}}\n\n']),
        respond(b"\x0b\x02\x80\x03", headers=[("content-encoding", "br")]),
        stream([b'error: {"code":500,"message":"slot"}\n\n']),
        respond(b""),
    ],
    ids=["gbk", "latin-1", "brotli", "llama.cpp", "empty"],
)
def test_answer_that_is_none_is_a_502(
    edge: Edge, account: Account, provider: Provider, model: str, answer: Answer, streams: bool
) -> None:
    """Never a 500 of ours, and never a foreign coding under a 200."""
    provider.script(model, answer)
    got = asked(edge, account, model, streams=streams)
    assert got.status == 502
    assert json.loads(got.body)["error"]["message"]
