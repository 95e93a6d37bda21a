"""The official OpenRouter clients against the account's API, unmodified, through an edge: credits, keys, history, sign-in."""

import datetime
import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from openrouter import OpenRouter

from collector.accounts.authorization import challenge_of
from tests.answers import completion, respond
from tests.e2e.conftest import providers_toml
from tests.e2e.oracle import cost_nano
from tests.e2e.statement import wait_spent_nano
from tests.processes import Account, Collector, Edge, get, make_account, post, run_json
from tests.provider import Provider

pytestmark = pytest.mark.filterwarnings("ignore:.*DEPRECATED:DeprecationWarning")
"""The client warns of `rate_limit`, which it requires."""


@pytest.fixture
def caller(edge: Edge, model: str) -> Account:
    return make_account(edge, model, "2.50")


@pytest.fixture
def manager(edge: Edge, caller: Account) -> Iterator[OpenRouter]:
    made = run_json(edge, "keys", "create", "--account", caller.name, "--role", "management")
    with OpenRouter(api_key=made["key"], server_url=edge.openrouter_url) as client:
        yield client


def call(edge: Edge, caller: Account, model: str) -> str:
    body = {"model": f"mock/{model}", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 900}
    reply = post(edge.port, body, caller.headers)
    assert reply.status == 200, reply.body
    return reply.headers["x-generation-id"]


def test_openrouter_client_reads_the_account(
    edge: Edge, caller: Account, manager: OpenRouter, provider: Provider, model: str
) -> None:
    """Credits, the generation, the activity and a query: what was charged, by each."""
    provider.script(model, respond(completion(prompt=1, tokens=1)))
    gen_id = call(edge, caller, model)
    spent = cost_nano(1, 1)
    wait_spent_nano(edge.port, caller, spent)
    credits: Any = manager.credits.get_credits()
    assert (credits.data.total_credits, credits.data.total_usage) == (2.5, spent / 1e9)
    found: Any = manager.generations.get_generation(id=gen_id)
    assert (found.data.id, found.data.total_cost, found.data.tokens_prompt) == (gen_id, spent / 1e9, 1)
    activity: Any = manager.analytics.get_user_activity()
    assert [(row.model, row.requests, row.usage) for row in activity.data] == [(f"mock/{model}", 1, spent / 1e9)]
    now = datetime.datetime.now(datetime.UTC)
    rows: Any = manager.analytics.query_analytics(
        metrics=["usage", "requests"],
        dimensions=["model"],
        granularity="day",
        time_range={"start": now - datetime.timedelta(days=2), "end": now + datetime.timedelta(days=1)},
    )
    assert rows.data.metadata.row_count == 1
    meta: Any = manager.analytics.get_analytics_meta()
    assert "usage" in {metric.name for metric in meta.data.metrics}


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
def test_openrouter_client_for_node_walks_the_account(edge: Edge, caller: Account, provider: Provider, model: str) -> None:
    """All that the Python one is asked, by the TypeScript one, which checks every answer against its own schema."""
    here = Path(__file__).parent
    subprocess.run(["./install"], cwd=here, check=True, timeout=120)
    provider.script(model, respond(completion(prompt=1, tokens=1)))
    gen_id, spent = call(edge, caller, model), cost_nano(1, 1)
    wait_spent_nano(edge.port, caller, spent)
    made = run_json(edge, "keys", "create", "--account", caller.name, "--role", "management")
    given = json.dumps({"base_url": edge.openrouter_url, "key": made["key"], "generation": gen_id})
    done = subprocess.run(
        ["node", "node/account.mjs"], cwd=here, input=given, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr[-4000:]
    seen = json.loads(done.stdout)
    assert seen["credits"] == {"totalCredits": 2.5, "totalUsage": spent / 1e9}
    assert (seen["generation"]["id"], seen["generation"]["totalCost"]) == (gen_id, spent / 1e9)
    assert [(row["model"], row["requests"], row["usage"]) for row in seen["activity"]] == [(f"mock/{model}", 1, spent / 1e9)]
    assert (seen["query"]["data"]["metadata"]["rowCount"], "usage" in seen["meta"]) == (1, True)
    assert (seen["own"]["limit"], seen["own"]["limitReset"], seen["own"]["isManagementKey"]) == (1.5, "monthly", False)
    assert seen["made"] in seen["listed"]
    assert (seen["changed"]["name"], seen["changed"]["limit"], seen["read"]["name"]) == ("renamed", 2, "renamed")
    assert (seen["deleted"], seen["granted"]["limit"], seen["refused"]) == ({"deleted": True}, 3, 401)


def test_openrouter_client_manages_keys(edge: Edge, manager: OpenRouter, caller: Account, provider: Provider, model: str) -> None:
    """Made, listed, read, changed, used, deleted, refused."""
    provider.script(model, respond(completion(prompt=1, tokens=1)))
    made: Any = manager.api_keys.create(name="from the client", limit=1.5, limit_reset="monthly")
    key = Account(caller.name, made.key, made.data.hash)
    with OpenRouter(api_key=made.key, server_url=edge.openrouter_url) as client:
        own: Any = client.api_keys.get_current_key_metadata()
        assert (own.data.limit, own.data.limit_reset, own.data.is_management_key) == (1.5, "monthly", False)
    call(edge, key, model)
    listed: Any = manager.api_keys.list()
    assert made.data.hash in {row.hash for row in listed.data}
    changed: Any = manager.api_keys.update(hash=made.data.hash, name="renamed", limit=2)
    assert (changed.data.name, changed.data.limit) == ("renamed", 2)
    read: Any = manager.api_keys.get(hash=made.data.hash)
    assert read.data.name == "renamed"
    deleted: Any = manager.api_keys.delete(hash=made.data.hash)
    assert deleted.model_dump(by_alias=True) == {"deleted": True}
    assert get(edge.port, "/api/v1/key", key.headers).status == 401


def test_openrouter_client_signs_an_application_in(edge: Edge, manager: OpenRouter) -> None:
    """A code for a challenge, a key for the code and its verifier."""
    verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
    code: Any = manager.o_auth.create_auth_code(
        callback_url="https://app.example/cb", code_challenge=challenge_of(verifier), code_challenge_method="S256", limit=3
    )
    with OpenRouter(server_url=edge.openrouter_url) as client:
        exchanged: Any = client.o_auth.exchange_auth_code_for_api_key(code=code.data.id, code_verifier=verifier)
    with OpenRouter(api_key=exchanged.key, server_url=edge.openrouter_url) as client:
        own: Any = client.api_keys.get_current_key_metadata()
        assert own.data.limit == 3


def test_openai_client_reads_usage_and_costs(
    edge: Edge, caller: Account, manager: OpenRouter, provider: Provider, model: str
) -> None:
    """The administration part of OpenAI's own client, with a read key as its admin key; and its list of models."""
    provider.script(model, respond(completion(prompt=1, tokens=1)))
    call(edge, caller, model)
    wait_spent_nano(edge.port, caller, cost_nano(1, 1))
    key = run_json(edge, "keys", "create", "--account", caller.name, "--role", "read")["key"]
    start = int(time.time()) - 86_400
    with openai.OpenAI(api_key=caller.key, admin_api_key=key, base_url=edge.base_url, max_retries=0, timeout=20) as client:
        usage = client.admin.organization.usage.completions(start_time=start, bucket_width="1d", group_by=["model", "api_key_id"])
        costs = client.admin.organization.usage.costs(start_time=start, group_by=["line_item"])
        assert any(listed.id == "echo/echo-1" for listed in client.models.list())
    (result,) = [result for bucket in usage.data for result in bucket.results]
    seen: Any = result
    assert (seen.input_tokens, seen.output_tokens, seen.num_model_requests, seen.model) == (1, 1, 1, f"mock/{model}")
    (line,) = [result for bucket in costs.data for result in bucket.results]
    told: Any = line
    assert (float(told.amount.value), told.amount.currency, told.line_item) == (cost_nano(1, 1) / 1e9, "usd", f"mock/{model}")


def test_generation_is_there_through_any_edge(provider: Provider, tmp_path: Path, model: str) -> None:
    """Answered by one edge, read through another at once: the first reading waits for it, and is right within the bound."""
    provider.script(model, respond(completion(prompt=1, tokens=1)))
    table = providers_toml(provider)
    with (
        (collector := Collector(tmp_path / "collector")),
        (one := Edge(tmp_path / "one", table, collector=collector, node="one")),
        (other := Edge(tmp_path / "other", table, collector=collector, node="other")),
    ):
        caller = make_account(collector, "acme", "2.50")
        for _ in range(3):
            gen_id = call(one, caller, model)
            reply = get(other.port, f"/api/v1/generation?id={gen_id}", caller.headers)
            assert (reply.status, reply.json()["data"]["id"]) == (200, gen_id)
