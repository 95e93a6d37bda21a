"""One key's page: what it spent, and its bounds changed by the same operation as over the API."""

import json

import pytest

from collector.accounts.accounts import Key, list_keys
from collector.accounts.audit_log import entries
from tests.collector.dashboard.conftest import Browser
from tests.collector.facts import Node, make_caller
from usage.limit import LimitTerms

pytestmark = pytest.mark.anyio


async def key_of(browser: Browser, account: str) -> Key:
    (key,) = await browser.collector.read(lambda tx, now: list_keys(tx, account))
    assert isinstance(key, Key)
    return key


def fields_of(key: Key, **other: str) -> dict[str, str]:
    """The form as the page has it."""
    return {"name": key.name, "limit": "", "limit_reset": key.limit_reset, "models": ""} | other


async def test_key_is_changed_as_over_the_api(browser: Browser) -> None:
    """All of its bounds; a node hears of it; only what changed is in the log."""
    key = await key_of(browser, "alice")
    node = await Node(browser.collector).boot()
    await browser.sign_in("alice")
    changed = fields_of(
        key, name="agent", limit="2.50", limit_reset="weekly", models="echo/*, openai/gpt-4o", requests_per_minute="60"
    )
    assert (await browser.post(f"/dashboard/keys/{key.key_id}", changed)).status_code == 303
    now = await key_of(browser, "alice")
    assert (now.name, now.limit_nano, now.limit_reset) == ("agent", 2_500_000_000, "weekly")
    assert now.models == ("echo/*", "openai/gpt-4o")
    assert now.limits == LimitTerms(requests_per_minute=60)
    assert key.digest in (await node.link.ingest(node.batch([]))).revoked
    page = (await browser.get(f"/dashboard/keys/{key.key_id}")).text
    assert 'value="2.5"' in page
    assert 'value="60"' in page
    again = changed | {"limit": "", "limit_reset": "none", "requests_per_minute": ""}
    assert (await browser.post(f"/dashboard/keys/{key.key_id}", again)).status_code == 303
    log = await browser.collector.read(lambda tx, now: entries(tx, subject=key.key_id))
    assert [(each.action, sorted(json.loads(each.detail))) for each in log] == [
        ("key.update", ["limit_nano", "limit_reset", "limits", "models", "name"]),
        ("key.update", ["limit_nano", "limit_reset", "limits"]),
    ]


@pytest.mark.parametrize(
    "wrong",
    [
        {"limit": "1e3"}, {"limit": "-1"}, {"limit": "0.0000000001"}, {"limit_reset": "hourly"}, {"name": "n" * 81},
        {"requests_per_minute": "0"}, {"tokens_per_minute": "1.5"}, {"concurrent_requests": "²"}, {"tokens_per_minute": "9" * 15},
    ],
)  # fmt: skip
async def test_wrong_change_is_not_made(browser: Browser, wrong: dict[str, str]) -> None:
    """The page says why, and the key is as it was."""
    key = await key_of(browser, "alice")
    await browser.sign_in("alice")
    answer = await browser.post(f"/dashboard/keys/{key.key_id}", fields_of(key) | wrong)
    assert (answer.status_code, "Nothing was changed: " in answer.text) == (400, True)
    assert await key_of(browser, "alice") == key


async def test_key_of_another_account_is_not_there(browser: Browser) -> None:
    key = await key_of(browser, "bob")
    await browser.sign_in("alice")
    assert (await browser.get(f"/dashboard/keys/{key.key_id}")).status_code == 404
    assert (await browser.post(f"/dashboard/keys/{key.key_id}", fields_of(key, name="mine"))).status_code == 404
    await browser.sign_in("bob", "read")
    assert "Change it" not in (await browser.get(f"/dashboard/keys/{key.key_id}")).text
    assert (await browser.post(f"/dashboard/keys/{key.key_id}", fields_of(key, name="mine"))).status_code == 403
    assert await key_of(browser, "bob") == key


async def test_revoked_key_is_shown_and_not_changed(browser: Browser) -> None:
    key = await key_of(browser, "alice")
    await browser.sign_in("alice")
    await browser.post(f"/dashboard/keys/{key.key_id}/revoke")
    assert "Change it" not in (await browser.get(f"/dashboard/keys/{key.key_id}")).text
    assert (await browser.post(f"/dashboard/keys/{key.key_id}", fields_of(key, name="back"))).status_code == 400


async def test_page_has_the_spend_of_that_key_alone(browser: Browser) -> None:
    caller = await make_caller(browser.collector, "acme", 10**12)
    other = await make_caller(browser.collector, "acme", 0)
    node = await Node(browser.collector).boot()
    await node.link.ingest(node.batch([node.fact(1, caller, 3_000_000_000), node.fact(2, other, 4_000_000_000)]))
    await browser.sign_in("acme")
    page = (await browser.get(f"/dashboard/keys/{caller.key_id}")).text
    assert "$3.00" in page
    assert "$4.00" not in page
    assert "$7.00" not in page
