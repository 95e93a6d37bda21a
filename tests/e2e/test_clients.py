"""Clients as their users have them, unmodified, at a provider that refuses what OpenAI refuses: what their users see.

The ones that are quick to install are here; `scripts/soak clients` runs all of them (tests/clients).
"""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.clients.environments import Missing, environment
from tests.clients.matrix import CHECKS, CLIENTS, Client, Matrix, providers_toml, table
from tests.processes import Edge
from tests.provider import Provider

QUICK = ("openai", "openrouter", "node", "node-ai-6", "java")
WIRE = ("openai (Python)", "@openrouter/sdk", "JDK HttpClient")
"""What reaches the servers differently: these run under both; the rest under our own."""


@pytest.fixture(scope="module")
def matrix(provider: Provider, server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Matrix]:
    with (running := Edge(tmp_path_factory.mktemp("clients"), providers_toml(provider), TOLLWAY_SERVER=server)):
        yield Matrix(running, provider)


@pytest.mark.parametrize("client", [client for client in CLIENTS if client.environment in QUICK], ids=lambda client: client.name)
def test_client(matrix: Matrix, server: str, client: Client) -> None:
    """Whole, streamed, tools, schema, image, models, every class of error, an error mid-stream, and leaving."""
    if server != "native" and client.name not in WIRE:
        return
    try:
        with environment(client.environment) as where:
            verdicts = matrix.run(client, where)
    except Missing as missing:
        pytest.skip(str(missing))
    assert list(verdicts) == [check.name for check in CHECKS]
    assert not any(verdicts.values()), table([(client.name, verdicts)])
    assert sum(verdict == "" for verdict in verdicts.values()) >= len(CHECKS) // 2


READ_ALL = """
import sys
from openrouter import OpenRouter
client = OpenRouter(api_key="none", server_url=sys.argv[1])
models = client.models.list().result.data
for model in models:
    author, _, slug = model.id.partition("/")
    if "/" not in slug:
        assert client.endpoints.list(author=author, slug=slug).data.id == model.id
print(len(models))
"""


def test_shipped_table_in_openrouter(tmp_path: Path) -> None:
    """Every model of the table as we ship it is one that OpenRouter's SDK parses, and so are its endpoints."""
    table = (Path(__file__).parents[2] / "providers.toml").read_text()
    keys: dict[str, Any] = dict.fromkeys(re.findall(r'"env:([A-Z0-9_]+)"', table), "offered")
    with Edge(tmp_path, table, **keys) as edge:
        command = [sys.executable, "-c", READ_ALL, edge.openrouter_url]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert int(done.stdout) > 100
