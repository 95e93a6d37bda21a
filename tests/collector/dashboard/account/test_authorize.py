"""An application gets a key with a limit: it sends the owner's browser, the owner consents, it changes the code for the key."""

from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from collector.accounts.authorization import challenge_of
from tests.collector.dashboard.conftest import Browser

pytestmark = pytest.mark.anyio
VERIFIER = "v" * 50
ASKED = {
    "callback_url": "https://app.example/back?state=7",
    "code_challenge": challenge_of(VERIFIER),
    "code_challenge_method": "S256",
}
GRANTED = ASKED | {"name": "the app", "limit": "1.25", "limit_reset": "monthly", "life": "30", "answer": "grant"}


async def exchange(browser: Browser, code: str, verifier: str = VERIFIER) -> tuple[int, str]:
    answer = await browser.http.post("/api/v1/auth/keys", json={"code": code, "code_verifier": verifier})
    return answer.status_code, answer.json().get("key", "")


async def test_application_gets_a_key_with_the_limit_that_was_consented(browser: Browser) -> None:
    """Through the sign-in, and by the documented way from end to end; the code works once."""
    asked = await browser.get("/auth?" + urlencode(ASKED))
    assert asked.headers["location"].startswith("/dashboard/authorize?")
    to_login = await browser.get(asked.headers["location"])
    assert to_login.headers["location"].startswith("/dashboard/login?next=%2Fdashboard%2Fauthorize")
    await browser.sign_in("alice")
    page = await browser.get(asked.headers["location"])
    assert page.status_code == 200
    assert "app.example" in page.text
    assert "form-action 'self' https://app.example;" in page.headers["content-security-policy"]
    back = await browser.post("/dashboard/authorize", GRANTED)
    assert back.status_code == 303
    parts = urlsplit(back.headers["location"])
    assert (parts.scheme, parts.netloc, parts.path) == ("https", "app.example", "/back")
    query = parse_qs(parts.query)
    assert query["state"] == ["7"]
    status, key = await exchange(browser, query["code"][0])
    assert status == 200
    row = await browser.collector.read(
        lambda tx, now: tx.row("SELECT account, name, limit_nano, limit_reset FROM keys WHERE name = 'the app'")
    )
    assert key.startswith("sk_live_")
    assert row == ("alice", "the app", 1_250_000_000, "monthly")
    assert (await exchange(browser, query["code"][0]))[0] == 403


async def test_another_verifier_gets_nothing(browser: Browser) -> None:
    """Whoever caught the code on its way has no use for it, and spoils it."""
    await browser.sign_in("alice")
    back = await browser.post("/dashboard/authorize", GRANTED)
    code = parse_qs(urlsplit(back.headers["location"]).query)["code"][0]
    assert (await exchange(browser, code, "w" * 50))[0] == 403
    assert (await exchange(browser, code))[0] == 403


async def test_refusal_goes_back_without_a_code(browser: Browser) -> None:
    await browser.sign_in("alice")
    back = await browser.post("/dashboard/authorize", GRANTED | {"answer": "deny"})
    assert parse_qs(urlsplit(back.headers["location"]).query) == {"state": ["7"], "error": ["access_denied"]}


@pytest.mark.parametrize(
    "changed",
    [
        {"callback_url": "http://app.example/back"},
        {"callback_url": "javascript:alert(1)"},
        {"callback_url": "https://user@app.example/"},
        {"callback_url": ""},
        {"code_challenge": "short"},
        {"code_challenge_method": "plain"},
    ],
)
async def test_application_that_asks_wrongly_is_sent_nowhere(browser: Browser, changed: dict[str, str]) -> None:
    """Neither the page nor the form leads to an address that is none."""
    await browser.sign_in("alice")
    for answer in (
        await browser.get("/dashboard/authorize?" + urlencode(ASKED | changed)),
        await browser.post("/dashboard/authorize", GRANTED | changed),
    ):
        assert answer.status_code == 400
        assert "location" not in answer.headers


@pytest.mark.parametrize("changed", [{"limit": "x"}, {"limit_reset": "hourly"}, {"life": "9"}])
async def test_wrong_terms_are_asked_again(browser: Browser, changed: dict[str, str]) -> None:
    await browser.sign_in("alice")
    answer = await browser.post("/dashboard/authorize", GRANTED | changed)
    assert answer.status_code == 400
    assert "Nothing was granted" in answer.text


async def test_read_session_grants_nothing(browser: Browser) -> None:
    await browser.sign_in("alice", "read")
    assert (await browser.get("/dashboard/authorize?" + urlencode(ASKED))).status_code == 403
    assert (await browser.post("/dashboard/authorize", GRANTED)).status_code == 403
