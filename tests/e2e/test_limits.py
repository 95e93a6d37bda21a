"""A limit over three real edges, one of them cut off; and what an operator sets, by command line and API, while they run."""

import asyncio
import random
import re
import resource
from collections.abc import Iterator

import pytest

from tests.e2e.statement import eventually
from tests.load import shot
from tests.processes import Edge, make_account, post, run, run_json
from tests.soak.limits import EDGES, three_edges

ASK = {"model": "echo/echo-1", "messages": [{"role": "user", "content": "hi"}]}


def test_limit_holds_over_edges_and_partition() -> None:
    """In seven seconds 60 callers ask for far more than 300 a minute, and one of three edges loses its collector: what is
    admitted stays within the limit, a tenth, and that edge's third. The long form is `scripts/soak limits`."""
    with three_edges(7, limit=300) as house:

        async def story() -> None:
            async def cut() -> None:
                await asyncio.sleep(2.0)
                house.links[0].is_cut = True

            async with asyncio.TaskGroup() as group:
                group.create_task(cut())
                group.create_task(house.call(9_000, 7.0, 60, random.Random(1)))

        asyncio.run(story())
        assert not house.others
        assert 0.7 * 300 <= len(house.admitted) <= (1.1 + 1 / EDGES) * 300
        assert house.refused


def test_limits_are_set_while_an_edge_serves(edge: Edge, server: str) -> None:
    """By command line for a key and its account, by API for a key; a running edge follows within seconds. `limits show` has
    them, the audit log who set them."""
    name = f"limited-{server}"
    account = make_account(edge, name)
    assert "x-ratelimit-limit-requests" not in post(edge.port, ASK, account.headers).headers
    run(edge, "limits", "set", "--account", name, "--requests-per-minute", "30", "--tokens-per-minute", "90000")
    told = _until_told(edge, account.headers, "30")
    assert told["x-ratelimit-limit-tokens"] == "90000"
    run(edge, "limits", "set", "--key", account.key_id, "--requests-per-minute", "10")
    _until_told(edge, account.headers, "10")
    rows = run_json(edge, "limits", "show", name)
    assert [(row["scope"], row["requests_per_minute"]) for row in rows] == [("account", 30), ("key", 10)]
    actions = [row["action"] for row in run_json(edge, "audit", "--subject", name)]
    assert "account.limits" in actions


FLOOD = 800
LATE_MS = 100


@pytest.fixture
def descriptors() -> Iterator[None]:
    """For the flood and what other tests hold, where the machine lets a process have them; 1,024 is usual."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if 0 < soft < 2 * FLOOD:
        resource.setrlimit(resource.RLIMIT_NOFILE, (2 * FLOOD if hard == resource.RLIM_INFINITY else min(2 * FLOOD, hard), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.usefixtures("descriptors")
def test_key_that_floods_does_not_starve_another_of_its_account(edge: Edge, server: str) -> None:
    """800 requests of one key arrive at once, and one of another key of the account behind them: the edge lets it wait for less
    than half of what it lets the flood wait (`server-timing`), if it is late at all."""
    if server != "native":
        pytest.skip("granian shares its callers out in an order of its own before we see them")
    account = make_account(edge, f"flooded-{server}")
    quiet = str(run_json(edge, "keys", "create", "--account", account.name)["key"])
    for key in (account.key, quiet):
        assert post(edge.port, ASK, {"Authorization": f"Bearer {key}"}).status == 200

    async def story() -> list[float]:
        lines = [await asyncio.open_connection("127.0.0.1", edge.port) for _ in range(FLOOD + 1)]
        for _, writer in lines[:-1]:
            writer.write(shot("flood", account.key, "echo/echo-1", stream=False).wire())
        lines[-1][1].write(shot("quiet", quiet, "echo/echo-1", stream=False).wire())
        waited_ms = []
        for reader, writer in lines:
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200 "), head
            found = re.search(rb"edge;dur=([0-9.]+)", head)
            assert found is not None
            waited_ms.append(float(found[1]))
            writer.transport.abort()
        return waited_ms

    *flood, one = asyncio.run(story())
    assert one < max(flood) / 2 or max(flood) < LATE_MS


def _until_told(edge: Edge, headers: dict[str, str], limit: str) -> dict[str, str]:
    """The headers of the first answer that names this limit."""
    return eventually(lambda: post(edge.port, ASK, headers).headers, lambda told: told.get("x-ratelimit-limit-requests") == limit)
