"""The account behind a key, read back over the API: credit, key, generation, activity, models; collector embedded and apart."""

import http.client
import json
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import pytest

from tests.answers import completion, respond, spoken, stream
from tests.e2e.conftest import providers_toml
from tests.e2e.oracle import CACHED, INPUT, OUTPUT, cost_nano, exact, nano
from tests.e2e.statement import credit_nano, eventually, generation, wait_spent_nano
from tests.processes import Account, Collector, Edge, Process, Reply, get, make_account, post, run, run_json
from tests.provider import Provider

LISTED = """
[providers.listed]
base_url = "http://127.0.0.1:9/v1"
api_key = "none"

[providers.listed.models.one]
input = "1.5"
output = "2.25"
context_tokens = 32_000
max_output_tokens = 1_000
"""
MESSAGES: Any = [{"role": "user", "content": "Say hello."}]


@dataclass
class House:
    """An edge, and the process that owns its money: itself when the collector is embedded."""

    edge: Edge
    owner: Process

    def get(self, path: str, account: Account) -> Any:
        reply = get(self.edge.port, f"/api/v1{path}", account.headers)
        assert reply.status == 200, (path, reply.status, reply.body[:500])
        return exact(reply.body)["data"]


@pytest.fixture(scope="module", params=["embedded", "apart"])
def house(request: pytest.FixtureRequest, provider: Provider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder = tmp_path_factory.mktemp(request.param)
    table = providers_toml(provider, LISTED)
    if request.param == "embedded":
        with (edge := Edge(folder, table)):
            yield House(edge, edge)
    else:
        with (collector := Collector(folder / "collector")), (edge := Edge(folder / "node", table, collector=collector)):
            yield House(edge, collector)


@pytest.fixture
def caller(house: House, model: str) -> Account:
    return make_account(house.owner, model, "2.50")


def call(house: House, caller: Account, model: str, **more: Any) -> str:
    """One answered request; its generation id."""
    reply = post_verified(house, {"model": f"mock/{model}", "messages": MESSAGES, "max_tokens": 900} | more, caller)
    assert reply.status == 200, reply.body
    return reply.headers["x-generation-id"]


def post_verified(house: House, body: dict[str, Any], caller: Account) -> Reply:
    """The answer to a new account: 503 while its collector stands still for half a second is none, and costs nothing."""
    return eventually(lambda: post(house.edge.port, body, caller.headers), lambda reply: reply.status != 503)


def test_credit_falls_by_the_cost(house: House, caller: Account, provider: Provider, model: str) -> None:
    """Each answer takes exactly its cost, to the nano-dollar, by API and by command line."""
    assert credit_nano(house.edge.port, caller) == (2_500_000_000, 0)
    spent = 0
    for prompt, tokens in ((1, 1), (34, 567), (59, 1)):
        provider.script(model, respond(completion(prompt=prompt, tokens=tokens)))
        call(house, caller, model)
        spent += cost_nano(prompt, tokens)
        wait_spent_nano(house.edge.port, caller, spent)
    assert credit_nano(house.edge.port, caller) == (2_500_000_000, spent)
    shown = run_json(house.owner, "credits", "show", caller.name)
    assert nano(shown["total_usage"]) == spent


def test_credit_added(house: House, caller: Account) -> None:
    """`tollway credits add` is there at once, while the server runs."""
    run(house.owner, "credits", "add", caller.name, "0.75")
    assert credit_nano(house.edge.port, caller) == (3_250_000_000, 0)


def test_generation(house: House, caller: Account, provider: Provider, model: str) -> None:
    """The record of one generation, in OpenRouter's words."""
    provider.script(model, stream(spoken(prompt=40, tokens=3)))
    gen_id = call(house, caller, model, stream=True)
    kept = generation(house.edge.port, caller, gen_id)
    assert kept["id"] == gen_id
    assert kept["model"] == f"mock/{model}"
    assert kept["provider_name"] == "mock"
    assert (kept["streamed"], kept["cancelled"], kept["finish_reason"]) == (True, False, "stop")
    assert (kept["native_tokens_prompt"], kept["native_tokens_completion"]) == (40, 3)
    assert nano(kept["total_cost"]) == nano(kept["usage"]) == cost_nano(40, 3)
    assert kept["created_at"]
    assert kept["latency"] >= 0


def test_generation_of_another(house: House, caller: Account, provider: Provider, model: str) -> None:
    """Nobody reads another account's generation, nor one that never was."""
    provider.script(model, respond(completion()))
    gen_id = call(house, caller, model)
    generation(house.edge.port, caller, gen_id)
    stranger = make_account(house.owner, f"{model}-stranger")
    for path in (f"/api/v1/generation?id={gen_id}", "/api/v1/generation?id=gen-nothing"):
        assert get(house.edge.port, path, stranger.headers).status == 404
    assert get(house.edge.port, "/api/v1/generation", caller.headers).status == 400


def test_key(house: House, caller: Account, provider: Provider, model: str) -> None:
    """/key tells the key's label, masked, and what it spent."""
    provider.script(model, respond(completion(prompt=1000, tokens=100)))
    generation(house.edge.port, caller, call(house, caller, model))
    seen = eventually(lambda: house.get("/key", caller), lambda data: nano(data["usage"]) > 0)
    assert nano(seen["usage"]) == cost_nano(1000, 100)
    assert nano(seen["usage_daily"]) == cost_nano(1000, 100)
    assert caller.key not in str(seen)
    assert seen["label"]


def test_activity(house: House, caller: Account, provider: Provider, model: str) -> None:
    """/activity adds up: one row per day and model, the requests, the tokens, the cost."""
    provider.script(model, respond(completion(prompt=11, tokens=7)))
    for _ in range(3):
        call(house, caller, model)
    wait_spent_nano(house.edge.port, caller, 3 * cost_nano(11, 7))
    today = time.strftime("%Y-%m-%d", time.gmtime())
    rows = [row for row in house.get(f"/activity?date={today}", caller) if row["model"] == f"mock/{model}"]
    assert sum(row["requests"] for row in rows) == 3
    assert sum(row["prompt_tokens"] for row in rows) == 33
    assert sum(row["completion_tokens"] for row in rows) == 21
    assert sum(nano(row["usage"]) for row in rows) == 3 * cost_nano(11, 7)


def test_models(house: House, caller: Account) -> None:
    """/models lists what can be called, with prices per token as decimal strings."""
    listed = {entry["id"]: entry for entry in house.get("/models", caller)}
    entry = listed["listed/one"]
    assert (entry["pricing"]["prompt"], entry["pricing"]["completion"]) == ("0.0000015", "0.00000225")
    assert entry["context_length"] == 32_000
    assert any(name.startswith("echo/") for name in listed)


def test_model_endpoints(house: House, caller: Account) -> None:
    """/models/{author}/{slug}/endpoints tells who serves it and at what price."""
    author_and_slug = next(entry["id"] for entry in house.get("/models", caller) if entry["id"].count("/") == 1)
    data = house.get(f"/models/{author_and_slug}/endpoints", caller)
    assert data["id"] == author_and_slug
    assert data["endpoints"][0]["provider_name"]
    assert data["endpoints"][0]["pricing"]["prompt"]
    assert get(house.edge.port, "/api/v1/models/no/such/endpoints", caller.headers).status == 404


@pytest.mark.parametrize("path", ["/credits", "/key", "/generation?id=gen-x", "/activity"])
def test_account_needs_a_key(house: House, path: str) -> None:
    """Nothing about an account without its key, under either prefix."""
    for prefix in ("/api/v1", "/v1"):
        reply = get(house.edge.port, prefix + path)
        assert reply.status == 401, path
        assert reply.json()["error"]["message"]


def test_key_revoked(house: House, caller: Account, provider: Provider, model: str) -> None:
    """A revoked key is refused soon after, although the edge had it cached."""
    provider.script(model, respond(completion()))
    call(house, caller, model)
    run(house.owner, "keys", "revoke", caller.key_id)
    request = {"model": f"mock/{model}", "messages": MESSAGES, "max_tokens": 900}
    eventually(lambda: post(house.edge.port, request, caller.headers), lambda reply: reply.status == 401)


def test_keys_that_share_a_connection(house: House, caller: Account, provider: Provider, model: str) -> None:
    """A load balancer may send two callers' requests over one connection, each with the head it had before."""
    other = make_account(house.owner, f"{model}-other", "2.50")
    provider.script(model, respond(completion()))
    body = json.dumps({"model": f"mock/{model}", "messages": MESSAGES, "max_tokens": 900})
    with closing(http.client.HTTPConnection("127.0.0.1", house.edge.port, timeout=20)) as connection:
        for account in (caller, caller, caller, other, other, caller, other, other, other, caller):
            connection.request("POST", "/api/v1/chat/completions", body, account.headers | {"content-type": "application/json"})
            reply = connection.getresponse()
            assert reply.status == 200
            gen_id = json.loads(reply.read())["id"]
            assert generation(house.edge.port, account, gen_id)["id"] == gen_id
            stranger = other if account is caller else caller
            assert get(house.edge.port, f"/api/v1/generation?id={gen_id}", stranger.headers).status == 404


def test_key_disabled_models(house: House, caller: Account) -> None:
    """The price of a model that has none is not guessed: it is refused."""
    reply = post_verified(house, {"model": "openai/no-such-model", "messages": MESSAGES}, caller)
    assert reply.status == 404


def test_health(house: House) -> None:
    """/healthz and /readyz answer without a key; the metrics, at the operator's address alone, count requests and money."""
    assert get(house.edge.port, "/healthz").status == 200
    assert get(house.edge.port, "/readyz").status == 200
    assert get(house.edge.port, "/metrics").status == 404
    metrics = get(house.edge.admin_port, "/metrics")
    assert metrics.status == 200
    names = {line.split("{")[0].split(" ")[0] for line in metrics.body.decode().splitlines() if line and not line.startswith("#")}
    for part in ("requests", "tokens", "cost", "first_byte", "overhead", "upstream", "journal"):
        assert any(part in name for name in names), part
    for line in metrics.body.decode().splitlines():
        assert "gen-" not in line
        assert "req-" not in line


def test_verify(house: House, caller: Account) -> None:
    """`collector verify`'s invariants hold on the live store."""
    run(house.owner, "verify")


def test_prices_of_the_oracle() -> None:
    """The oracle's own arithmetic, by hand: 1,000,000 tokens of each kind cost the price itself."""
    assert cost_nano(1_000_000, 0) == nano(INPUT)
    assert cost_nano(1_000_000, 0, 1_000_000) == nano(CACHED)
    assert cost_nano(0, 1_000_000) == nano(OUTPUT)
    assert cost_nano(1, 0) == 124
    assert cost_nano(0, 0) == 0
