"""The alerts' page: thresholds and destinations are made, tested, told again and deleted there, as over the API."""

import re

import pytest

from collector.accounts.audit_log import entries
from collector.alerts import tables
from tests.collector.dashboard.conftest import Browser

pytestmark = pytest.mark.anyio
ADDRESS = "https://hooks.example/tollway"


async def do(browser: Browser, what: str, **fields: str) -> int:
    return (await browser.post("/dashboard/alerts", {"do": what, **fields})).status_code


async def test_alert_is_added_shown_and_deleted(browser: Browser) -> None:
    """A balance's and a key's; each change stands in the audit log, with the session that made it."""
    await browser.sign_in("alice")
    await browser.post("/dashboard/keys", {"name": "agent", "limit": "2"})
    row = await browser.collector.read(lambda tx, now: tx.row("SELECT key_id FROM keys WHERE name = 'agent'"))
    assert row is not None
    assert await do(browser, "add-balance", threshold="2.50") == 303
    assert await do(browser, "add-share", percent="80", key_id=row[0]) == 303
    page = re.sub(r"\s+", " ", (await browser.get("/dashboard/alerts")).text)
    assert "Balance below $2.50<" in page
    assert "80 % of the limit of agent" in page
    for alert in await browser.collector.read(lambda tx, now: tables.list_alerts(tx, "alice")):
        assert await do(browser, "drop-alert", id=alert.alert_id) == 303
    assert await browser.collector.read(lambda tx, now: tables.list_alerts(tx, "alice")) == []
    log = await browser.collector.read(lambda tx, now: entries(tx, subject="alice"))
    assert {entry.action for entry in log if "alice, session" in entry.actor} >= {"alert.create", "alert.delete"}


async def test_destination_shows_its_secret_once_and_takes_a_test(browser: Browser) -> None:
    """The test is an event that waits for delivery, and can be sent again."""
    await browser.sign_in("alice")
    made = await browser.post("/dashboard/alerts", {"do": "add-destination", "kind": "webhook", "target": ADDRESS})
    (secret,) = re.findall(r'id="made">([^<]+)<', made.text)
    assert secret.startswith("whsec_")
    assert secret not in (await browser.get("/dashboard/alerts")).text
    (destination,) = await browser.collector.read(lambda tx, now: tables.list_destinations(tx, "alice"))
    assert await do(browser, "test", id=destination.destination_id) == 303
    (event,) = await browser.collector.read(lambda tx, now: tables.list_events(tx, "alice", 10))
    assert await do(browser, "replay", id=event.event_id) == 303
    page = (await browser.get("/dashboard/alerts")).text
    assert "waiting" in page
    assert ADDRESS in page
    assert await do(browser, "drop-destination", id=destination.destination_id) == 303
    assert await browser.collector.read(lambda tx, now: tables.list_destinations(tx, "alice")) == []


@pytest.mark.parametrize(
    "fields",
    [
        {"do": "add-balance", "threshold": "much"},
        {"do": "add-balance", "threshold": "1e3"},
        {"do": "add-balance", "threshold": "NaN"},
        {"do": "add-share", "percent": "0", "key_id": "x"},
        {"do": "add-share", "percent": "101", "key_id": "x"},
        {"do": "add-share", "percent": "80", "key_id": "nobody"},
        {"do": "add-destination", "kind": "webhook", "target": "http://127.0.0.1/"},
        {"do": "add-destination", "kind": "webhook", "target": ""},
        {"do": "add-destination", "kind": "email", "target": "nobody"},
        {"do": "drop-alert", "id": "alr_none"},
        {"do": "test", "id": "dst_none"},
        {"do": "replay", "id": "evt_none"},
        {"do": "nothing"},
    ],
)
async def test_wrong_change_is_refused_with_its_reason(browser: Browser, fields: dict[str, str]) -> None:
    await browser.sign_in("alice")
    answer = await browser.post("/dashboard/alerts", fields)
    assert answer.status_code == 400
    assert 'role="alert"' in answer.text or "This was not done" in answer.text


async def test_another_accounts_destination_is_out_of_reach(browser: Browser) -> None:
    await browser.sign_in("bob")
    assert await do(browser, "add-destination", kind="email", target="ops@example.com") == 303
    (destination,) = await browser.collector.read(lambda tx, now: tables.list_destinations(tx, "bob"))
    await browser.sign_in("alice")
    assert await do(browser, "drop-destination", id=destination.destination_id) == 400
    assert await browser.collector.read(lambda tx, now: tables.list_destinations(tx, "bob")) == [destination]


async def test_read_session_changes_no_alert(browser: Browser) -> None:
    await browser.sign_in("alice", "read")
    assert await do(browser, "add-balance", threshold="1") == 403
    assert "Where to tell" not in (await browser.get("/dashboard/alerts")).text
