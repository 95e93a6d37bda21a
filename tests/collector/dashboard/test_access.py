"""Who may ask for what: every address without a session, from another site, for another account, in a lesser role."""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator

import pytest
from starlette.routing import Route

from collector.dashboard.access import COOKIE, PAGES_AT_ONCE_MAX
from collector.dashboard.live import STREAMS_MAX, Feed
from collector.dashboard.routes import Site
from tests.collector.dashboard.conftest import Browser

pytestmark = pytest.mark.anyio

OPEN = {
    "/",
    "/auth",
    "/dashboard/login",
    "/dashboard/login/{secret}",
    "/dashboard/welcome-back",
    "/dashboard/static/{name}",
    "/dashboard/{path:path}",
}
"""What needs no session."""
PARAMS = {"{gen_id}": "gen-00000000000000000000000000", "{key_id}": "abc123", "{secret}": "x", "{name}": "x", "{path:path}": "x"}


def addresses(browser: Browser, method: str) -> list[tuple[str, str]]:
    """(pattern, an address of it) of every route with this method."""
    found = []
    for route in Site(browser.collector).routes:
        assert isinstance(route, Route)
        if method in (route.methods or ()):
            path = route.path
            for name, value in PARAMS.items():
                path = path.replace(name, value)
            found.append((route.path, path))
    return found


async def test_no_page_is_there_without_a_session(browser: Browser) -> None:
    for pattern, path in addresses(browser, "GET"):
        if pattern not in OPEN:
            answer = await browser.get(path)
            assert (answer.status_code, answer.headers.get("location", "").partition("?")[0]) == (303, "/dashboard/login"), path


async def test_nothing_is_changed_without_a_session(browser: Browser) -> None:
    for pattern, path in addresses(browser, "POST"):
        if pattern not in OPEN:
            assert (await browser.post(path)).status_code == 401, path


@pytest.mark.parametrize(
    "headers",
    [
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"sec-fetch-site": "", "origin": "https://evil.example"},
        {"sec-fetch-site": "", "origin": "null"},
    ],
)
async def test_nothing_is_changed_by_another_site(browser: Browser, headers: dict[str, str]) -> None:
    """With the operator's own session in the browser."""
    await browser.sign_in("", "operator")
    if not headers["sec-fetch-site"]:
        del browser.http.headers["sec-fetch-site"]
        headers = {"origin": headers["origin"]}
    for _, path in addresses(browser, "POST"):
        assert (await browser.post(path, headers=headers)).status_code == 403, path


async def test_operators_pages_are_for_operators(browser: Browser) -> None:
    await browser.sign_in("", "operator")
    allowed = [path for _, path in addresses(browser, "GET") if (await browser.get(path)).status_code == 200]
    await browser.sign_in("alice")
    refused = [path for path in allowed if (await browser.get(path)).status_code == 403]
    assert {"/dashboard/accounts", "/dashboard/top-ups", "/dashboard/nodes", "/dashboard/verify", "/dashboard/audit"} <= set(
        refused
    )


async def test_an_accounts_session_sees_that_account_alone(browser: Browser) -> None:
    """Whatever account the address names."""
    await browser.sign_in("alice")
    page = (await browser.get("/dashboard/keys?account=bob")).text
    assert "key of alice" in page
    assert "key of bob" not in page


async def test_another_accounts_key_cannot_be_revoked(browser: Browser) -> None:
    bobs = await browser.collector.read(lambda tx, now: tx.row("SELECT key_id FROM keys WHERE account = 'bob'"))
    assert bobs is not None
    await browser.sign_in("alice")
    assert (await browser.post(f"/dashboard/keys/{bobs[0]}/revoke")).status_code == 404
    row = await browser.collector.read(lambda tx, now: tx.row("SELECT disabled FROM keys WHERE account = 'bob'"))
    assert row == (0,)


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"x" * 70_000, "application/x-www-form-urlencoded", 413),
        (b"{}", "application/json", 415),
        (b"a=%ff", "application/x-www-form-urlencoded", 400),
    ],
)
async def test_form_that_is_none_is_refused(browser: Browser, body: bytes, kind: str, status: int) -> None:
    await browser.sign_in("alice")
    answer = await browser.http.post("/dashboard/keys", content=body, headers={"content-type": kind})
    assert answer.status_code == status


async def test_session_has_few_pages_under_way_at_once(browser: Browser) -> None:
    """A hundred at once would be everybody's time where the collector is embedded; who asks again is answered, and others are."""
    first = await browser.sign_in("bob")
    other = browser.http.build_request("GET", "/dashboard/keys", headers={"cookie": f"{COOKIE}={first}"})
    await browser.sign_in("alice")
    asked = [browser.get("/dashboard/usage") for _ in range(4 * PAGES_AT_ONCE_MAX)]
    *answers, theirs = await asyncio.gather(*asked, browser.http.send(other))
    statuses = Counter(answer.status_code for answer in answers)
    assert statuses[200] >= PAGES_AT_ONCE_MAX
    assert statuses[429] > 0
    assert statuses.total() == statuses[200] + statuses[429]
    assert theirs.status_code == 200
    assert (await browser.get("/dashboard/usage")).status_code == 200


async def test_account_has_so_many_pages_told_of_its_usage(browser: Browser) -> None:
    """Each that is open looks once a second; one that is closed makes room, and another account has its own."""
    feed = Feed(browser.collector, lambda: False)
    streams = [feed.events("alice", "") for _ in range(STREAMS_MAX)]
    for stream in streams:
        assert await anext(stream) == b": connected\n\n"
    assert not feed.has_room("alice")
    assert feed.has_room("bob")
    for stream in streams:
        assert isinstance(stream, AsyncGenerator)
        await stream.aclose()
    assert feed.has_room("alice")
