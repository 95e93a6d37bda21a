"""The keys' page: made, shown once, bounded as asked, revoked; and every change in the audit log."""

import re

import pytest

from collector.accounts.audit_log import entries
from collector.accounts.keys import KeyTerms, create_key, list_keys, revoke_key
from collector.accounts.roles import find_credential
from collector.dashboard.account.keys import KEYS_SHOWN
from collector.store.contract import Tx
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


async def test_many_keys_are_shown_a_page_at_a_time_and_found(browser: Browser) -> None:
    """What can be used comes first, newest first; each stands on one page; part of a name or an id finds it."""
    await browser.sign_in("alice")

    def make(tx: Tx, now: int) -> None:
        for number in range(KEYS_SHOWN * 2):
            create_key(tx, "alice", KeyTerms(f"user {number}"), now)
        revoke_key(tx, list_keys(tx, "alice")[-1].key_id)

    await browser.collector.write(make)
    keys = await browser.collector.read(lambda tx, now: list_keys(tx, "alice"))
    pages = [(await browser.get(f"/dashboard/keys?start={start}")).text for start in (0, KEYS_SHOWN, KEYS_SHOWN * 2)]
    shown = [re.findall('<tr id="key-([^"]+)">', page) for page in pages]
    assert [len(each) for each in shown] == [KEYS_SHOWN, KEYS_SHOWN, 1]
    listed = [key_id for each in shown for key_id in each]
    assert sorted(listed) == sorted(key.key_id for key in keys)
    assert listed[-1] == next(key.key_id for key in keys if key.disabled)
    assert ["Next</a>" in page for page in pages] == [True, True, False]
    found = (await browser.get("/dashboard/keys?q=USER 77")).text
    assert len(re.findall('<tr id="key-', found)) == 1
    assert f"key-{keys[5].key_id}" in (await browser.get(f"/dashboard/keys?q={keys[5].key_id}")).text
    assert "None has that" in (await browser.get("/dashboard/keys?q=nothing&start=x")).text


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
        ("credential.create", "account alice"),
        ("credential.revoke", "account alice"),
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
