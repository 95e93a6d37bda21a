"""Top-ups by the operator's page: a reference is booked once, whoever sends it and however often."""

import pytest

from collector.accounts.history import credits_of
from tests.collector.dashboard.conftest import Browser

pytestmark = pytest.mark.anyio


async def topped_nano(browser: Browser) -> int:
    credits = await browser.collector.read(lambda tx, now: credits_of(tx, "alice"))
    assert credits is not None
    return credits.topped_nano


async def test_reference_is_booked_once(browser: Browser) -> None:
    """A form that is sent twice, by an impatient finger or a browser that tries again, pays once; another amount is refused."""
    await browser.sign_in("", "operator")
    before = await topped_nano(browser)
    fields = {"account": "alice", "amount": "2.50", "ref": "invoice 7"}
    for _ in range(2):
        assert (await browser.post("/dashboard/top-ups", fields)).status_code == 303
    assert await topped_nano(browser) == before + 2_500_000_000
    assert (await browser.post("/dashboard/top-ups", fields | {"amount": "3"})).status_code == 400
    assert (await browser.get("/dashboard/top-ups")).text.count("invoice 7") == 1


@pytest.mark.parametrize("changed", [{"ref": ""}, {"amount": "0"}, {"amount": "-1"}, {"account": "mallory"}, {"ref": "r" * 201}])
async def test_wrong_top_up_is_not_booked(browser: Browser, changed: dict[str, str]) -> None:
    await browser.sign_in("", "operator")
    before = await topped_nano(browser)
    answer = await browser.post("/dashboard/top-ups", {"account": "alice", "amount": "1", "ref": "x"} | changed)
    assert answer.status_code == 400
    assert "Nothing was booked" in answer.text
    assert await topped_nano(browser) == before
