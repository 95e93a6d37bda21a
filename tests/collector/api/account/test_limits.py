"""Limits that are set over the API, and what nodes hear of them."""

import pytest

from tests.collector.api.conftest import Api
from usage.protocol import Acquire, Boot, Poll

pytestmark = pytest.mark.anyio


async def test_limits_over_the_api_reach_the_nodes(api: Api) -> None:
    """A manager limits a key, an operator the account; a node hears of the change and is told both; models are narrowed."""
    key = (await api.get("management", "/api/v1/keys")).data[0]
    await api.collector.boot(Boot("n", "b"))
    version = (await api.collector.poll(Poll("n", 1))).key_version
    path = f"/api/v1/keys/{key['hash']}"
    changed = await api.ask("management", "PATCH", path, {"rate_limits": {"requests_per_minute": 60}, "models": ["a/*"]})
    assert changed.data["rate_limits"] == {"requests_per_minute": 60}
    limits = {"tokens_per_minute": 10_000, "hard": True, "models": ["a/b", "c/d"]}
    assert (await api.ask("management", "PUT", "/api/v1/rate_limits", limits)).status == 403
    assert (await api.ask("operator", "PUT", "/api/v1/rate_limits?account=acme", limits)).status == 200
    assert (await api.get("read", "/api/v1/rate_limits")).data == limits
    assert key["hash"] in (await api.collector.poll(Poll("n", 1, version))).changed
    policy = (await api.collector.acquire(Acquire("n", 1, "", key["hash"]))).policy
    assert policy is not None
    assert (policy.limits, policy.account_limits) != (None, None)
    assert policy.limits is not None
    assert policy.limits.requests_per_minute == 60
    assert policy.account_limits is not None
    assert (policy.account_limits.tokens_per_minute, policy.account_limits.hard) == (10_000, True)
    assert policy.models == ("a/b",)
    made = await api.ask("management", "POST", "/api/v1/keys", {"name": "new", "rate_limits": {"concurrent_requests": 3}})
    assert made.data["rate_limits"] == {"concurrent_requests": 3}
    for wrong in ({"requests_per_minute": 0}, {"rpm": 5}, {"requests_per_minute": "5"}, {"models": ["a"]}):
        assert (await api.ask("management", "PATCH", path, {"rate_limits": wrong})).status == 400
    cleared = await api.ask("management", "PATCH", path, {"rate_limits": None})
    assert cleared.data["rate_limits"] == {}
