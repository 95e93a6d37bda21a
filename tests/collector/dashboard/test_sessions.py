"""Sessions and links: opened once, bounded in time, revocable, and never more than their account and role."""

import pytest

from collector.accounts.accounts import Mistake
from collector.accounts.roles import CredentialTerms, Role, create_credential, revoke_credential
from collector.dashboard.access import COOKIE
from collector.dashboard.sessions import IDLE_MS, LIFE_MS, LINK_MS, list_sessions, make_link, use_link
from tests.collector.dashboard.conftest import Browser
from tests.collector.facts import Clock

pytestmark = pytest.mark.anyio


async def test_page_without_a_session_leads_to_the_sign_in_and_back(browser: Browser) -> None:
    """The page that was asked for is where the sign-in leads to."""
    answer = await browser.get("/dashboard/keys?account=bob")
    assert answer.status_code == 303
    assert answer.headers["location"] == "/dashboard/login?next=%2Fdashboard%2Fkeys%3Faccount%3Dbob"


async def test_session_ends_after_a_day_unused_and_after_a_week(browser: Browser, clock: Clock) -> None:
    """Use keeps it alive for a week, and no longer."""
    await browser.sign_in("alice")
    started = clock.now_ms
    while clock.now_ms + IDLE_MS - 1 < started + LIFE_MS:
        clock.now_ms += IDLE_MS - 1
        assert (await browser.get("/dashboard/keys")).status_code == 200
    clock.now_ms = started + LIFE_MS
    assert (await browser.get("/dashboard/keys")).status_code == 303
    await browser.sign_in("alice")
    clock.now_ms += IDLE_MS
    assert (await browser.get("/dashboard/keys")).status_code == 303


async def test_sign_out_ends_the_session_at_the_server(browser: Browser) -> None:
    """The old cookie opens nothing, wherever it was copied to."""
    secret = await browser.sign_in("alice")
    assert (await browser.post("/dashboard/logout")).headers["location"] == "/dashboard/login"
    browser.use(secret)
    assert (await browser.get("/dashboard/keys")).status_code == 303


async def test_sessions_elsewhere_are_ended_by_this_one(browser: Browser) -> None:
    """One, or all others; not those of another account."""
    theirs = await browser.sign_in("bob")
    first = await browser.sign_in("alice")
    second = await browser.sign_in("alice")
    third = await browser.sign_in("alice")
    sessions = await browser.collector.read(lambda tx, now: list_sessions(tx, "alice", "management", now))
    assert len(sessions) == 3
    bobs = await browser.collector.read(lambda tx, now: list_sessions(tx, "bob", "management", now))
    for digest in (bobs[0].digest, "others"):
        assert (await browser.post("/dashboard/sessions", {"digest": digest})).status_code == 303
    for secret, status in ((first, 303), (second, 303), (third, 200), (theirs, 200)):
        browser.use(secret)
        assert (await browser.get("/dashboard/sessions")).status_code == status


async def test_link_opens_one_session_once(browser: Browser) -> None:
    """Looking at it uses nothing up; the button does."""
    secret = await browser.collector.write(lambda tx, now: make_link(tx, "alice", "read", now))
    assert (await browser.get(f"/dashboard/login/{secret}")).status_code == 200
    answer = await browser.post(f"/dashboard/login/{secret}")
    assert answer.status_code == 303
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith(COOKIE + "=")
    assert {"httponly", "secure", "path=/", "samesite=lax"} <= {part.strip().lower() for part in cookie.split(";")}
    assert "domain=" not in cookie.lower()
    assert (await browser.get("/dashboard/keys")).status_code == 200
    assert (await browser.post("/dashboard/keys", {"name": "x"})).status_code == 403
    assert (await browser.post(f"/dashboard/login/{secret}")).status_code == 401


async def test_link_is_too_old_after_its_life(browser: Browser, clock: Clock) -> None:
    secret = await browser.collector.write(lambda tx, now: make_link(tx, "alice", "management", now))
    clock.now_ms += LINK_MS
    assert await browser.collector.write(lambda tx, now: use_link(tx, secret, now)) is None


async def test_link_for_nobody_is_refused(browser: Browser) -> None:
    with pytest.raises(Mistake, match="no account 'mallory'"):
        await browser.collector.write(lambda tx, now: make_link(tx, "mallory", "management", now))


@pytest.mark.parametrize("role", ["read", "management", "operator"])
async def test_key_opens_a_session_of_its_role(browser: Browser, role: Role) -> None:
    """An account's, or the operator's; and a new session each time, whatever the browser had before."""
    account = "" if role == "operator" else "alice"
    text, _ = await browser.collector.write(lambda tx, now: create_credential(tx, account, CredentialTerms(role, "mine"), now))
    before = await browser.sign_in("bob")
    answer = await browser.post("/dashboard/login", {"key": f" {text} ", "next": "/dashboard/sessions"})
    assert answer.status_code == 303
    assert before not in answer.headers["set-cookie"]
    page = await browser.get("/dashboard/sessions")
    assert f"{role} session" in page.text
    assert "bob" not in page.text


async def test_key_that_opens_nothing_is_told_why(browser: Browser) -> None:
    """An inference key, a revoked one, a malformed one; and where the sign-in would have led stays."""
    text, made = await browser.collector.write(lambda tx, now: create_credential(tx, "alice", CredentialTerms("management"), now))
    await browser.collector.write(lambda tx, now: revoke_credential(tx, made.credential_id))
    inference = await browser.collector.create_key("alice")
    for key, told in ((inference, "An inference key does not open"), (text, "This opens nothing"), ("x", "This opens nothing")):
        answer = await browser.post("/dashboard/login", {"key": key, "next": "/dashboard/keys"})
        assert answer.status_code == 401
        assert told in answer.text
        assert len(key) < 9 or key not in answer.text
        assert 'value="/dashboard/keys"' in answer.text


async def test_failed_sign_ins_are_limited_by_address(browser: Browser) -> None:
    """The eleventh within a minute is not even looked at."""
    statuses = [(await browser.post(f"/dashboard/login/wrong-{number}")).status_code for number in range(11)]
    assert statuses == [401] * 10 + [429]


async def test_refused_sign_in_is_logged_without_what_was_sent(browser: Browser, caplog: pytest.LogCaptureFixture) -> None:
    """By key and by link: the address stands there, nothing of the secret does, also where it stood in the path."""
    secret = await browser.collector.write(lambda tx, now: make_link(tx, "alice", "read", now))
    await browser.post(f"/dashboard/login/{secret[:-1]}")
    await browser.post("/dashboard/login", {"key": "sk_mgmt_" + secret})
    said = [entry.getMessage() for entry in caplog.records if entry.name == "tollway.auth"]
    assert said
    assert all("/dashboard/login:" in line and secret[:8] not in line for line in said)


@pytest.mark.parametrize(
    "target", ["https://evil.example/", "//evil.example/dashboard", "/\\evil.example", "/api/v1/keys", "javascript:alert(1)", ""]
)
async def test_sign_in_leads_to_no_other_place(browser: Browser, target: str) -> None:
    """Whatever the address says, the way back is a page of the dashboard."""
    await browser.sign_in("alice")
    answer = await browser.http.get("/dashboard/welcome-back", params={"next": target})
    assert answer.headers["location"] == "/dashboard"
