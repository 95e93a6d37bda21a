"""Foreign text in every place where a page shows some: it is text, whatever it says.

Strategy: the same pages are drawn with a plain text and with a hostile one in every place; their elements and attributes' names
must be the same, one for one. What a page would do with script is another test's (`tests/e2e/test_dashboard.py`).
"""

from html.parser import HTMLParser

import msgspec
import pytest

from collector.accounts.keys import KeyTerms
from collector.dashboard.display.figures import visible
from collector.dashboard.sessions import Visitor, open_session
from tests.collector.dashboard.conftest import Browser
from tests.collector.facts import Node, make_caller
from usage.record import Tried

pytestmark = pytest.mark.anyio

HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "</title></textarea></svg><script src=//evil.example></script>",
    "{{ 7 * 7 }}{% raw %}${7*7}",
    "javascript:alert(1)",
    "&lt;b&gt;&amp;&#60;script&#62;",
    "]]><!--<!DOCTYPE html>",
    "<div hx-get=/dashboard hx-trigger=load hx-nonce=x>",
    "\u202e\u2066rtl\u200b\ufeff",
    '=HYPERLINK("http://evil.example")',
    "z\u0351a\u0321lgo " * 20,
)
PAGES = (
    "/dashboard?account=acme",
    "/dashboard/usage?account=acme",
    "/dashboard/usage?account=acme&group=key",
    "/dashboard/usage?account=acme&group=provider&period=day",
    "/dashboard/usage?account=acme&from=2026-11-20&to=2026-11-22&group=key",
    "/dashboard/generations?account=acme",
    "/dashboard/credit?account=acme",
    "/dashboard/keys?account=acme",
    "/dashboard/top-ups?account=acme",
    "/dashboard/accounts",
    "/dashboard/audit",
    "/dashboard/providers",
    "/dashboard/sessions",
)


class Skeleton(HTMLParser):
    """The elements of a page with the names of their attributes, and the texts, nonces and addresses left out."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, ...]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, *(name for name, _ in attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


async def fill(browser: Browser, text: str) -> str:
    """Put `text` wherever a caller, a provider or an operator can; the id of a generation that has it everywhere."""
    collector = browser.collector
    caller = await make_caller(collector, "acme", 10_000_000_000, KeyTerms(text))
    await collector.add_credit("acme", 1_000, text)
    node = await Node(collector).boot()
    await node.acquire(caller, 10**9)
    fact = msgspec.structs.replace(
        node.fact(1, caller, 333), model=text, provider=text, upstream_model=text, finish_reason=text, user_agent=text,
        request_id=text, upstream_id=text, error=text, upstream_cost_pico=333_000,
        route=text, tried=(Tried(text, text, text, 503),), attempts=2,
    )  # fmt: skip
    assert (await node.link.ingest(node.batch([fact]))).rejected == ()
    await collector.write(lambda tx, now: open_session(tx, Visitor("", "operator", text, text, text), now))
    await browser.sign_in("", "operator")
    return fact.gen_id


async def skeletons(browser: Browser, gen_id: str) -> dict[str, Skeleton]:
    found = {}
    for path in (*PAGES, f"/dashboard/generations/{gen_id}?account=acme"):
        answer = await browser.get(path)
        assert answer.status_code == 200, path
        found[path.partition("gen-")[0]] = Skeleton(answer.text)
    return found


@pytest.mark.parametrize("text", HOSTILE)
async def test_hostile_text_changes_no_element_of_any_page(browser: Browser, plain_browser: Browser, text: str) -> None:
    """Every page has the elements that it has with a plain text, and shows the hostile one as it is."""
    plain = await skeletons(plain_browser, await fill(plain_browser, "plain"))
    hostile = await skeletons(browser, await fill(browser, text))
    for path, page in hostile.items():
        assert sorted(page.found) == sorted(plain[path].found), path
    assert visible(text.strip()) in hostile["/dashboard/generations/"].text
