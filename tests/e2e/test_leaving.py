"""Waiting and leaving: providers that fall silent, callers that hang up, and what is priced being what is called."""

import http.client
import json
import socket
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from tests.answers import DONE, Delay, Gate, Step, completion, delta, event, respond, spoken, stream, usage_chunk
from tests.e2e.conftest import providers_toml
from tests.e2e.oracle import cost_nano, nano
from tests.e2e.statement import generation
from tests.e2e.test_streams import check_failed_stream
from tests.hostile.beside import chat
from tests.patience import PATIENCE_S
from tests.processes import Account, Edge, Reply, make_account, post
from tests.provider import Provider

MESSAGES: Any = [{"role": "user", "content": "Say hello."}]
STREAM = stream(spoken(prompt=9, tokens=3))
IMPATIENT = """
attempts_max = 1

[providers.silent]
{section}
idle_timeout_s = 1.5
attempts_max = 1

[providers.late]
{section}
first_byte_timeout_s = 3.0
attempts_max = 1

[limits]
keepalive_comment_s = 0.2
"""
"""Each clock at a provider of its own: what is about one of them runs out of no other, however slow the machine is."""


@pytest.fixture(scope="module")
def impatient(provider: Provider, server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    """An edge with short clocks."""
    section = f'base_url = "{provider.base_url}"\napi_key = "none"\nunlisted = {{ input = "1", output = "1" }}'
    table = providers_toml(provider, IMPATIENT.format(section=section))
    with (running := Edge(tmp_path_factory.mktemp("impatient"), table, TOLLWAY_SERVER=server)):
        yield running


def test_silence_commented(impatient: Edge, provider: Provider, model: str) -> None:
    """A silent provider: comments keep the caller's connection, between whole events only."""
    caller = make_account(impatient, model)
    gate = Gate(f"{model}-heard")
    provider.script(model, stream([event(delta(content="a")), gate, event(delta("stop")), event(usage_chunk(1, 1)), DONE]))
    connection, answer = open_stream(impatient, caller, f"mock/{model}")
    with closing(connection):
        begun = b""
        while not begun.partition(b'"a"')[2].endswith(b"\n\n: keep-alive\n\n"):
            begun += answer.read1(65_536)
        provider.release(gate.name)
        blocks = (begun + answer.read()).split(b"\n\n")
    kept = [block for block in blocks if block and block != b": keep-alive"]
    assert [b'"a"' in kept[0], b'"stop"' in kept[1], kept[2:]] == [True, True, [b"data: [DONE]"]]


@pytest.mark.parametrize("noise", [b"", b": keep-alive\n\n"])
def test_silence_ends(impatient: Edge, provider: Provider, model: str, noise: bytes) -> None:
    """Neither our comments nor the provider's own re-arm the idle clock: a stuck stream ends with one error chunk."""
    caller = make_account(impatient, model)
    stuck: list[Step] = [Delay(0.4), noise] * 100 if noise else [Gate(f"{model}-never")]
    head, first, *rest = stream([event(delta(content="a")), *stuck, event(delta("stop")), DONE])
    assert isinstance(head, bytes)
    assert isinstance(first, bytes)
    provider.script(model, (head + first, *rest))
    got = ask_of(impatient, caller, f"silent/{model}")
    check_failed_stream(got, ["a"])
    assert provider.wait_for_request(model).closed.wait(PATIENCE_S)


def test_silence_before_the_head(impatient: Edge, provider: Provider, model: str) -> None:
    """A provider that does not begin in time is told as an error event: comments had kept the connection open until then."""
    caller = make_account(impatient, model)
    provider.script(model, (Gate(f"{model}-never"),))
    got = ask_of(impatient, caller, f"late/{model}")
    assert got.status == 200
    assert got.body.startswith(b": keep-alive\n\n")
    assert b'"provider_timeout"' in got.body
    assert b"[DONE]" not in got.body
    assert provider.wait_for_request(model).closed.wait(PATIENCE_S)


def ask_of(edge: Edge, account: Account, called: str) -> Reply:
    return post(edge.port, {"model": called, "messages": MESSAGES, "stream": True}, account.headers)


def open_stream(edge: Edge, account: Account, called: str) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
    connection = http.client.HTTPConnection("127.0.0.1", edge.port, timeout=PATIENCE_S)
    body = json.dumps({"model": called, "messages": MESSAGES, "stream": True})
    connection.request("POST", "/v1/chat/completions", body, {"content-type": "application/json", **account.headers})
    return connection, connection.getresponse()


def test_caller_leaves(edge: Edge, account: Account, provider: Provider, model: str) -> None:
    """The provider is closed as well; what was produced is charged, and the record says cancelled."""
    provider.script(model, stream([*(event(delta(content=f"{number} ")) for number in range(5)), Gate(f"{model}-never"), DONE]))
    connection, answer = open_stream(edge, account, f"mock/{model}")
    gen_id = answer.headers["x-generation-id"]
    read = b""
    while read.count(b"\n\n") < 5:
        read += answer.read1(65536)
    answer.close()
    connection.close()
    request = provider.wait_for_request(model)
    assert request.closed.wait(PATIENCE_S)
    kept = generation(edge.port, account, gen_id)
    assert kept["cancelled"] is True
    assert kept["native_tokens_completion"] == 5
    assert nano(kept["total_cost"]) == cost_nano(kept["native_tokens_prompt"], 5)


def test_caller_leaves_before_the_answer(edge: Edge, account: Account, provider: Provider, model: str) -> None:
    """A caller that gives up while the provider is thinking closes the provider too."""
    provider.script(model, (Gate(f"{model}-never"),))
    connection = http.client.HTTPConnection("127.0.0.1", edge.port, timeout=PATIENCE_S)
    body = json.dumps({"model": f"mock/{model}", "messages": MESSAGES})
    connection.request("POST", "/v1/chat/completions", body, {"content-type": "application/json", **account.headers})
    request = provider.wait_for_request(model)
    connection.close()
    assert request.closed.wait(PATIENCE_S)


@pytest.mark.parametrize("stream", [False, True])
def test_caller_that_says_no_more_gets_its_answer(
    edge: Edge, account: Account, provider: Provider, model: str, stream: bool
) -> None:
    """Half-closed right behind its request, as `nc -N` does it, a connection is not taken for one that has left; granian does."""
    if edge.env.get("TOLLWAY_SERVER") == "granian":
        return
    provider.script(model, respond(completion()) if not stream else STREAM)
    body = json.dumps({"model": f"mock/{model}", "messages": MESSAGES, "stream": stream}).encode()
    with socket.create_connection(("127.0.0.1", edge.port), timeout=PATIENCE_S) as caller:
        caller.sendall(chat(account.key, body, "Connection: close"))
        caller.shutdown(socket.SHUT_WR)
        got = b"".join(iter(lambda: caller.recv(65_536), b""))
    assert b"HTTP/1.1 200 OK" in got
    assert b'"stop"' in got


def test_callers_that_leave_at_once_cost_nothing(edge: Edge, provider: Provider, model: str) -> None:
    """Request and end came together: the provider is not asked for most of them, and whoever is beside them is served."""
    account = make_account(edge, model, "1.00")
    provider.script(model, respond(completion()))
    body = json.dumps({"model": f"mock/{model}", "messages": MESSAGES}).encode()
    for _ in range(200):
        with socket.create_connection(("127.0.0.1", edge.port), timeout=PATIENCE_S) as caller:
            caller.sendall(chat(account.key, body))
    assert post(edge.port, json.loads(body), account.headers).status == 200
    if edge.env.get("TOLLWAY_SERVER") != "granian":
        assert len(provider.requests[model]) <= 100


def test_caller_leaves_after_done(edge: Edge, account: Account, provider: Provider, model: str) -> None:
    """Hanging up at [DONE], as the SDKs do, is no cancellation, although the provider has not closed its stream yet."""
    provider.script(model, (*stream(spoken(prompt=9, tokens=3))[:-1], Gate(f"{model}-end"), b"0\r\n\r\n"))
    connection, answer = open_stream(edge, account, f"mock/{model}")
    read = b""
    while not read.endswith(DONE):
        read += answer.read1(65536)
    answer.close()
    connection.close()
    kept = generation(edge.port, account, answer.headers["x-generation-id"])
    provider.release(f"{model}-end")
    assert kept["cancelled"] is False
    assert nano(kept["total_cost"]) == cost_nano(9, 3)


@pytest.mark.parametrize("key", ['"model"', '"mod\\u0065l"'])
def test_model_key_duplicated(edge: Edge, account: Account, provider: Provider, model: str, key: str) -> None:
    """A repeated "model" cannot price one model and call another."""
    provider.script(f"{model}-a", respond(completion()))
    provider.script(f"{model}-b", respond(completion()))
    body = f'{{"model":"mock/{model}-a","messages":{json.dumps(MESSAGES)},{key}:"mock/{model}-b"}}'.encode()
    got = post(edge.port, body, account.headers)
    if got.status == 400:
        return
    assert got.status == 200
    (request,) = provider.requests[f"{model}-a"] + provider.requests[f"{model}-b"]
    pairs: list[tuple[str, Any]] = json.loads(request.body, object_pairs_hook=lambda found: found)
    (called,) = [value for name, value in pairs if name == "model"]
    assert json.loads(got.body)["model"] == f"mock/{called}"
    assert generation(edge.port, account, got.headers["x-generation-id"])["model"] == f"mock/{called}"
