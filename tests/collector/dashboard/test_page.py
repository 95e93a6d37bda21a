"""What every page has: it is compressed where that gives nothing away, and its links keep what its address named."""

import pytest

from tests.collector.dashboard.conftest import Browser

pytestmark = pytest.mark.anyio


async def test_page_is_compressed_for_a_browser_that_takes_it(browser: Browser) -> None:
    """The same page, smaller; and plain for who does not say so."""
    await browser.sign_in("alice")
    packed = await browser.http.get("/dashboard/usage", headers={"accept-encoding": "gzip"})
    plain = await browser.http.get("/dashboard/usage", headers={"accept-encoding": "identity"})
    assert (packed.headers["content-encoding"], "content-encoding" in plain.headers) == ("gzip", False)
    assert int(packed.headers["content-length"]) < len(plain.content) / 3
    assert packed.text.count("<tr>") == plain.text.count("<tr>") > 30
    assert packed.headers["vary"] == plain.headers["vary"] == "accept-encoding"


async def test_page_with_a_new_secret_is_not_compressed(browser: Browser) -> None:
    """The length of what is compressed says something of what is in it."""
    await browser.sign_in("alice")
    answer = await browser.post("/dashboard/keys", {"name": "new"}, {"accept-encoding": "gzip"})
    assert 'id="made">sk_live_' in answer.text
    assert "content-encoding" not in answer.headers


async def test_links_keep_a_time_zone_that_was_named(browser: Browser) -> None:
    """As far as the addresses that a page asks for itself."""
    await browser.sign_in("alice")
    page = (await browser.get("/dashboard/usage?tz=Asia/Kathmandu")).text
    assert "Times are of Asia/Kathmandu" in page
    assert 'href="/dashboard/usage?period=day&amp;metric=spend&amp;group=model&amp;tz=Asia%2FKathmandu"' in page
    assert 'href="/dashboard/generations?tz=Asia%2FKathmandu"' in page
    assert "tz=" not in (await browser.get("/dashboard/usage")).text
