"""One key's page: what it spent, and its bounds changed by the same operation as over the API."""

import json
from html.parser import HTMLParser

import msgspec
import pytest

from collector.accounts.audit_log import entries
from collector.accounts.keys import Key, change_key, list_keys
from collector.dashboard.display import figures
from tests.collector.dashboard.conftest import Browser
from tests.collector.facts import Node, make_caller
from usage.limit import LimitTerms

pytestmark = pytest.mark.anyio


async def key_of(browser: Browser, account: str) -> Key:
    (key,) = await browser.collector.read(lambda tx, now: list_keys(tx, account))
    assert isinstance(key, Key)
    return key


class FormFields(HTMLParser):
    """What a browser sends of the page's fields when nobody touched them: line breaks are none in an input."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.values: dict[str, str] = {}
        self._select = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "input" and given.get("name"):
            self.values[given["name"] or ""] = (given.get("value") or "").replace("\n", "")
        elif tag == "select":
            self._select = given.get("name") or ""
        elif tag == "option" and "selected" in given:
            self.values[self._select] = given.get("value") or ""


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
    assert (await key_of(browser, "alice")).disabled


async def test_revoked_key_is_enabled_again(browser: Browser) -> None:
    """By the page as over the API: it is as it was, and the log says so. Whoever may only read cannot."""
    key, enable = await key_of(browser, "alice"), {"do": "enable"}
    path = f"/dashboard/keys/{key.key_id}"
    await browser.sign_in("alice")
    await browser.post(f"{path}/revoke")
    assert "Enable it again" in (await browser.get(path)).text
    await browser.sign_in("alice", "read")
    assert "Enable it again" not in (await browser.get(path)).text
    assert (await browser.post(path, enable)).status_code == 403
    await browser.sign_in("alice")
    assert (await browser.post(path, enable)).status_code == 303
    now = await key_of(browser, "alice")
    assert msgspec.structs.replace(now, updated_ms=key.updated_ms) == key
    assert "Change it" in (await browser.get(path)).text
    log = await browser.collector.read(lambda tx, now: entries(tx, subject=key.key_id))
    assert [(each.action, json.loads(each.detail)) for each in log[1:]] == [("key.update", {"disabled": "False"})]


@pytest.mark.parametrize(
    ("name", "models"),
    [
        ("\u202egnp.exe\u200b", ("echo/*",)), ("two\nlines ", ("echo/\u202ex", "echo/y")), ("n" * 200, ()),
        ("[U+202E]", ("echo/\u200b",)),
    ],
)  # fmt: skip
async def test_text_that_nobody_touched_is_kept(browser: Browser, name: str, models: tuple[str, ...]) -> None:
    """What does not show is written on the page as its number; saving something else on that page does not save the number."""
    key = await key_of(browser, "alice")
    key = msgspec.structs.replace(key, name=name, models=models)
    await browser.collector.write(lambda tx, now: change_key(tx, key, now))
    await browser.sign_in("alice")
    path = f"/dashboard/keys/{key.key_id}"
    shown = FormFields((await browser.get(path)).text).values
    assert not any(figures.visible(value) != value for value in shown.values())
    assert (await browser.post(path, shown | {"requests_per_minute": "60"})).status_code == 303
    now = await key_of(browser, "alice")
    assert (now.name, now.models, now.limits) == (name, models, LimitTerms(requests_per_minute=60))


async def test_new_name_is_kept_as_it_was_typed(browser: Browser) -> None:
    """Also one with characters that do not show: the page writes them as their numbers, and so does every other one."""
    key = await key_of(browser, "alice")
    await browser.sign_in("alice")
    path = f"/dashboard/keys/{key.key_id}"
    assert (await browser.post(path, fields_of(key, name="\u202egnp.exe"))).status_code == 303
    assert (await key_of(browser, "alice")).name == "\u202egnp.exe"
    assert "[U+202E]gnp.exe" in (await browser.get("/dashboard/keys")).text


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
