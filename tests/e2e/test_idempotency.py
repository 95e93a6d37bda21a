"""`Idempotency-Key` over real sockets: what callers at once, later ones, and OpenAI's own client get, and what that costs."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import openai
import pytest

from tests.answers import Gate, completion, respond, spoken, stream
from tests.e2e.statement import eventually, generation
from tests.processes import Account, Edge, Reply, get, post
from tests.provider import Provider

AT_ONCE = 20


def request(model: str, **members: Any) -> dict[str, Any]:
    return {"model": f"mock/{model}", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}], **members}


def named(account: Account, name: str = "one") -> dict[str, str]:
    return account.headers | {"idempotency-key": name}


def test_callers_at_once_buy_once(edge: Edge, provider: Provider, new_account: Callable[[str], Account], model: str) -> None:
    """Of twenty the provider is asked by one. The others are told to ask again, and get the same bytes; there is one record."""
    account = new_account("5.00")
    provider.script(model, (Gate(model), *respond(completion())))

    def ask(_: int) -> Reply:
        return post(edge.port, request(model), named(account))

    with ThreadPoolExecutor(AT_ONCE) as pool:
        waiting = [pool.submit(ask, number) for number in range(AT_ONCE)]
        eventually(lambda: sum(each.done() for each in waiting), lambda done: done == AT_ONCE - 1)
        provider.release(model)
        replies = [each.result() for each in waiting]
        again = list(pool.map(ask, range(AT_ONCE)))
    first = next(reply for reply in replies if reply.status == 200)
    others = [reply for reply in replies if reply is not first]
    assert {(reply.status, reply.json()["error"]["code"]) for reply in others} == {(409, "idempotency_in_progress")}
    assert {reply.headers["retry-after"] for reply in others} == {"1"}
    assert {(reply.status, reply.body, reply.headers["idempotency-replayed"]) for reply in again} == {(200, first.body, "true")}
    ids = {reply.headers["x-generation-id"] for reply in (*replies, *again)}
    assert ids == {first.headers["x-generation-id"]}
    assert len(provider.requests[model]) == 1
    assert generation(edge.port, account, ids.pop())["total_cost"] > 0
    listed = get(edge.port, "/api/v1/generations", account.headers).json()["data"]
    assert len(listed) == 1


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/chat/completions", {}),
        ("/api/v1/chat/completions", {}),
        ("/v1/messages", {}),
        ("/v1/responses", {"messages": None, "input": "hi", "max_tokens": None}),
    ],
)
def test_stream_is_not_bought_again(
    edge: Edge, provider: Provider, account: Account, model: str, path: str, body: dict[str, Any]
) -> None:
    """On every surface a repeat is 409 with the generation, which can be read; another body is 422."""
    provider.script(model, stream(spoken()))
    value = {key: value for key, value in request(model, stream=True, **body).items() if value is not None}
    first = post(edge.port, value, named(account, path), path)
    assert first.status == 200, first.body
    again = post(edge.port, value, named(account, path), path)
    gen_id = first.headers["x-generation-id"]
    assert (again.status, again.headers["x-generation-id"]) == (409, gen_id)
    assert gen_id in json.dumps(again.json()["error"])
    assert len(provider.requests[model]) == 1
    assert generation(edge.port, account, gen_id)["id"] == gen_id
    assert post(edge.port, value | {"temperature": 0.5}, named(account, path), path).status == 422


def test_retry_of_an_sdk_goes_through(edge: Edge, provider: Provider, account: Account, model: str) -> None:
    """Two failures that cost nothing, then the answer: the client sends one key with all three."""
    busy = respond({"error": {"message": "later", "type": "server_error"}}, 503)
    provider.script(model, busy, busy, busy, busy, respond(completion()))
    with openai.OpenAI(base_url=edge.base_url, api_key=account.key, max_retries=5, timeout=20) as client:
        said = client.chat.completions.create(**request(model), extra_headers={"idempotency-key": "stainless-node-retry-1"})
    assert said.choices[0].message.content == "Hello there."
