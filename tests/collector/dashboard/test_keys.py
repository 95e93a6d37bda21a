"""The keys' page: made, shown once, bounded as asked, revoked; and every change in the audit log."""

import re

import pytest

from collector.accounts.audit_log import entries
from collector.accounts.roles import find_credential
from tests.collector.dashboard.conftest import Browser
from tests.collector.facts import NOON_MS

pytestmark = pytest.mark.anyio
MADE = re.compile(r'id="made">([^<]+)<')


async def test_key_is_made_with_its_bounds_and_shown_once(browser: Browser) -> None:
    await browser.sign_in("alice")
    fields = {"name": "agent", "limit": "1.50", "limit_reset": "daily", "models": "echo/echo-1, openai/*", "life": "7"}
    (key,) = MADE.findall((await browser.post("/dashboard/keys", fields)).text)
    row = await browser.collector.read(
        lambda tx, now: tx.row("SELECT account, models, limit_nano, limit_reset, expires_ms FROM keys WHERE name = 'agent'")
    )
    assert row == ("alice", "echo/echo-1,openai/*", 1_500_000_000, "daily", NOON_MS + 7 * 86_400_000)
    page = (await browser.get("/dashboard/keys")).text
    assert key not in page
    assert "$0.00 of $1.50 daily" in re.sub(r"\s+", " ", page)


@pytest.mark.parametrize("role", ["read", "management"])
async def test_account_key_is_made_and_revoked(browser: Browser, role: str) -> None:
    """It opens what its role may, until it is revoked; who did it stands in the log."""
    await browser.sign_in("alice")
    (text,) = MADE.findall((await browser.post("/dashboard/keys", {"name": "tool", "role": role})).text)
    found = await browser.collector.read(lambda tx, now: find_credential(tx, text, now))
    assert found is not None
    assert (found.account, found.role) == ("alice", role)
    assert (await browser.post(f"/dashboard/keys/{found.credential_id}/revoke")).status_code == 303
    assert await browser.collector.read(lambda tx, now: find_credential(tx, text, now)) is None
    log = await browser.collector.read(lambda tx, now: entries(tx, subject=found.credential_id))
    assert [(entry.action, entry.actor.partition(",")[0]) for entry in log] == [
        ("key.create", "account alice"),
        ("key.revoke", "account alice"),
    ]


@pytest.mark.parametrize(
    "fields",
    [{"limit": "1e9"}, {"limit": "-1"}, {"limit": "0.0000000001"}, {"limit_reset": "hourly"}, {"life": "8"}, {"name": "n" * 81}],
)
async def test_key_with_wrong_bounds_is_not_made(browser: Browser, fields: dict[str, str]) -> None:
    """The page says why, and nothing is there."""
    await browser.sign_in("alice")
    answer = await browser.post("/dashboard/keys", fields)
    assert answer.status_code == 400
    assert "No key was made" in answer.text
    assert await browser.collector.read(lambda tx, now: tx.row("SELECT COUNT(*) FROM keys WHERE account = 'alice'")) == (1,)
