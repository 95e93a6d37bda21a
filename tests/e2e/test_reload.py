"""providers.toml changes while the proxy runs: a right one is used, a wrong one explained while the last good one serves on."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.answers import completion, respond
from tests.e2e.conftest import providers_toml
from tests.e2e.statement import eventually
from tests.ports import free_port
from tests.processes import COMMAND, Edge, get, make_account, post
from tests.provider import Provider
from tests.soak.reloads import failed, house_of_reloads, reload_often

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


def tollway(edge: Edge, *arguments: str) -> "subprocess.CompletedProcess[str]":
    env = {**os.environ, "TOLLWAY_ADMIN": f"127.0.0.1:{edge.admin_port}"}
    return subprocess.run([COMMAND, *arguments], env=env, capture_output=True, text=True, timeout=20, check=False)


def test_table_is_put_in_force_on_demand(alone: Edge, provider: Provider) -> None:
    """`tollway reload` says how it went; a file without most of its providers needs --force; `status` says what is in force."""
    right = providers_toml(provider)
    alone.rewrite_providers(right + '\n[providers.mock.models."on-demand"]\ninput = "1"\noutput = "1"\n')
    done = tollway(alone, "reload")
    assert (done.returncode, done.stderr) == (0, "")
    assert "mock/on-demand" in models(alone)
    alone.rewrite_providers(right + "\n[providers.mock\n")
    refused = tollway(alone, "reload")
    assert refused.returncode == 1
    assert "is wrong" in refused.stderr
    state = json.loads(tollway(alone, "status", "--json").stdout)
    assert not state["config"]["succeeded"]
    assert state["config"]["version"] in done.stdout
    assert "the file is not used" in tollway(alone, "status").stdout
    assert post(alone.admin_port, {}, {}, "/reload").status == 403
    assert "config_last_reload_success 0" in get(alone.admin_port, "/metrics").body.decode()
    assert state["config"]["version"] in get(alone.admin_port, "/readyz?verbose").body.decode()


def test_control_without_an_edge(tmp_path: Path) -> None:
    """One sentence, and the status for who is not there."""
    env = {**os.environ, "TOLLWAY_ADMIN": f"127.0.0.1:{free_port()}"}
    done = subprocess.run([COMMAND, "reload"], env=env, cwd=tmp_path, capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 2
    assert "no edge answers at 127.0.0.1" in done.stderr


def test_reloads_under_load_fail_nobody() -> None:
    """Broken, torn, slow and empty files, and rotated secrets, while callers are served: each reload says how it went, and no
    request fails. `scripts/soak reloads` is the long form."""
    with house_of_reloads() as house:
        done = reload_often(house, 1, 12)
        eventually(lambda: len(house.seen), lambda seen: seen > 20)
        assert set(done) == {"broken", "torn", "slow", "empty", "rotated", "edited"}
    assert failed(house) == []
