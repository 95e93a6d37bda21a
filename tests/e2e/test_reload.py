"""providers.toml changes while the proxy runs: a right one is used, a wrong one explained while the last good one serves on."""

from collections.abc import Iterator

import pytest

from tests.answers import completion, respond
from tests.e2e.conftest import providers_toml
from tests.e2e.statement import eventually
from tests.processes import Edge, get, make_account, post
from tests.provider import Provider

BODY = {"model": "mock/reload", "messages": [{"role": "user", "content": "hi"}]}


@pytest.fixture
def alone(provider: Provider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    with (running := Edge(tmp_path_factory.mktemp("reload"), providers_toml(provider))):
        yield running


def models(edge: Edge) -> set[str]:
    return {entry["id"] for entry in get(edge.port, "/api/v1/models").json()["data"]}


def test_table_changes_while_it_serves(alone: Edge, provider: Provider) -> None:
    """A new model is there within seconds, and a wrong file changes nothing but the log."""
    account = make_account(alone, "reload")
    provider.script("reload", respond(completion()))
    right = providers_toml(provider)
    assert post(alone.port, BODY, account.headers).status == 200
    alone.rewrite_providers(right + '\n[providers.mock.models."brand-new"]\ninput = "1"\noutput = "1"\n')
    eventually(lambda: models(alone), lambda found: "mock/brand-new" in found)
    alone.rewrite_providers(right + '\n[providers.mock.models."broken"]\ninput = 1.5\n')
    eventually(lambda: alone.log, lambda log: "the last good one keeps serving" in log)
    assert "broken" in alone.log
    assert "mock/brand-new" in models(alone)
    assert post(alone.port, BODY, account.headers).status == 200
