"""Money in: top-ups once per reference, Stripe's signed word once per session, and statements that add up."""

import csv
import hmac
import io
import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qs

import httpx
import pytest

from collector.accounts.roles import Role
from collector.dashboard.access import COOKIE
from collector.dashboard.sessions import Visitor, open_session
from tests.collector.api.conftest import Api
from tests.collector.facts import NOON_MS, Clock, Node, available_nano
from tests.http_server import HttpHandler, serving

pytestmark = pytest.mark.anyio
SECRET = "whsec_of_the_test"


async def test_top_up_is_once_per_reference(api: Api) -> None:
    before = available_nano(api.collector.store)
    for created in (True, False, False):
        reply = await api.ask("operator", "POST", "/api/v1/topups?account=acme", {"amount": 12.34, "ref": "invoice 7"})
        assert (reply.status, reply.data["created"]) == (200, created)
    assert available_nano(api.collector.store) == before + 12_340_000_000
    for account, amount in (("acme", 1), ("other", 12.34)):
        other = await api.ask("operator", "POST", f"/api/v1/topups?account={account}", {"amount": amount, "ref": "invoice 7"})
        assert other.status == 409
    for body in ({"amount": 0, "ref": "x"}, {"amount": -1, "ref": "x"}, {"amount": 1, "ref": ""}, {"amount": 1}):
        assert (await api.ask("operator", "POST", "/v1/topups?account=acme", body)).status == 400
    assert (await api.ask("operator", "POST", "/v1/topups", {"amount": 1, "ref": "y"})).status == 400
    assert (await api.ask("operator", "POST", "/v1/topups?account=nobody", {"amount": 1, "ref": "y"})).status == 404
    listed = (await api.get("read", "/api/v1/topups")).data
    assert [(row["amount"], row["ref"]) for row in listed] == [(Decimal("12.34"), "invoice 7"), (Decimal(1000), "")]
    first = (await api.get("read", "/api/v1/topups?limit=1")).body
    second = (await api.get("read", f"/api/v1/topups?limit=1&before={first['next_before']}")).body
    assert [*first["data"], *second["data"]] == listed


def event(session: dict[str, Any], kind: str = "checkout.session.completed") -> bytes:
    paid = {
        "id": "cs_1", "payment_status": "paid", "currency": "usd", "amount_subtotal": 2_000, "amount_total": 2_380,
        "metadata": {"tollway_account": "acme"},
    }  # fmt: skip
    return json.dumps({"id": "evt_1", "type": kind, "data": {"object": paid | session}}).encode()


def signature(body: bytes, time_s: int, secret: str = SECRET) -> str:
    """As Stripe documents it."""
    return f"t={time_s},v1={hmac.new(secret.encode(), f'{time_s}.'.encode() + body, 'sha256').hexdigest()},v0=00"


async def test_stripe_tops_up_once_and_only_when_it_signs(api: Api, monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:
    now_s = NOON_MS // 1000

    async def send(body: bytes, header: str) -> Any:
        return await api.http.post("/v1/webhooks/stripe", content=body, headers={"stripe-signature": header})

    body = event({})
    assert (await send(body, signature(body, now_s))).status_code == 400  # no secret, no word
    monkeypatch.setenv("TOLLWAY_STRIPE_WEBHOOK_SECRET", SECRET)
    before = available_nano(api.collector.store)
    bad = (
        "", "t=1", "v1=00", signature(body, now_s, "other"), signature(body, now_s - 301), signature(body, now_s + 301),
        signature(body + b" ", now_s), signature(body, now_s).replace("v1", "v0"), f"t={now_s},t={now_s},v1=0",
        "t=9999999999999999999,v1=",
    )  # fmt: skip
    for header in bad:
        assert (await send(body, header)).status_code == 400, header
    assert available_nano(api.collector.store) == before
    for credited in (True, False):
        reply = await send(body, signature(body, now_s))
        assert reply.json() == {"received": True, "credited": credited}
    assert available_nano(api.collector.store) == before + 20_000_000_000
    for other in (
        event({"id": "cs_2", "payment_status": "unpaid"}), event({"id": "cs_3"}, "invoice.paid"),
        event({"id": "cs_4", "metadata": {}}),
    ):  # fmt: skip
        assert (await send(other, signature(other, now_s))).json() == {"received": True, "credited": False}
    for wrong in (
        event({"id": "cs_5", "currency": "eur"}),
        event({"id": "cs_6", "amount_subtotal": -5}),
        b"{}",
        b"[",
        b"7",
        b"\xff",
    ):
        assert (await send(wrong, signature(wrong, now_s))).status_code == 400
    assert available_nano(api.collector.store) == before + 20_000_000_000
    assert (await api.get("read", "/v1/topups")).data[0]["ref"] == "stripe cs_1"


class Stripe:
    """A scripted Stripe that answers on a real socket."""

    def __init__(self) -> None:
        self.asked: list[tuple[dict[str, list[str]], str]] = []
        self.answer: tuple[int, bytes] = (200, b'{"id": "cs_1", "url": "https://checkout.example/cs_1"}')
        stripe = self

        class Handler(HttpHandler):
            def do_POST(self) -> None:
                form = self.rfile.read(int(self.headers["content-length"])).decode()
                stripe.asked.append((parse_qs(form), self.headers["authorization"]))
                self.send_response(stripe.answer[0])
                self.end_headers()
                self.wfile.write(stripe.answer[1])

        self.handler = Handler


@pytest.fixture
def stripe(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stripe]:
    made = Stripe()
    monkeypatch.setenv("TOLLWAY_STRIPE_KEY", "key of the test")
    monkeypatch.setenv("TOLLWAY_PUBLIC_URL", "https://tollway.example")
    with serving(made.handler) as server:
        monkeypatch.setenv("TOLLWAY_STRIPE_API", f"http://127.0.0.1:{server.server_port}")
        yield made


async def test_checkout_is_opened_at_stripe(api: Api, stripe: Stripe) -> None:
    reply = await api.ask("management", "POST", "/api/v1/topups/checkout", {"amount": 20})
    assert reply.data == {"id": "cs_1", "url": "https://checkout.example/cs_1"}
    form, authorization = stripe.asked[0]
    assert authorization == "Bearer key of the test"
    assert form["line_items[0][price_data][unit_amount]"] == ["2000"]
    assert form["metadata[tollway_account]"] == ["acme"]
    assert form["success_url"] == ["https://tollway.example/dashboard/credit?paid=1"]
    for amount in (0.5, 20.001, 10**7, -1):
        assert (await api.ask("management", "POST", "/api/v1/topups/checkout", {"amount": amount})).status == 400
    for answer in ((402, b"{}"), (200, b"{}"), (200, b"no json"), (500, b"")):
        stripe.answer = answer
        assert (await api.ask("management", "POST", "/v1/topups/checkout", {"amount": 20})).status == 502


async def test_credit_is_bought_from_the_dashboard(api: Api, stripe: Stripe) -> None:
    """The owner's form leads to Stripe's page by a link; what is wrong is said; nothing is credited by coming back."""

    async def ask(method: str, role: Role, fields: dict[str, str] | None = None, query: str = "") -> httpx.Response:
        visitor = Visitor("acme", role, "test", "192.0.2.1", "")
        secret, _ = await api.collector.write(lambda tx, now: open_session(tx, visitor, now))
        headers = {"cookie": f"{COOKIE}={secret}", "sec-fetch-site": "same-origin"}
        return await api.http.request(method, f"/dashboard/credit{query}", headers=headers, data=fields)

    assert 'name="amount"' in (await ask("GET", "management")).text
    assert 'name="amount"' not in (await ask("GET", "read")).text
    assert (await ask("POST", "read", {"amount": "20"})).status_code == 403
    page = await ask("POST", "management", {"amount": "20"})
    assert (page.status_code, 'href="https://checkout.example/cs_1"' in page.text) == (200, True)
    assert stripe.asked[0][0]["metadata[tollway_account]"] == ["acme"]
    for amount in ("0.5", "20.001", "1e2", "-1", "", "nan"):
        refused = await ask("POST", "management", {"amount": amount})
        assert (refused.status_code, "Nothing was bought: " in refused.text) == (400, True), amount
    for answer in ((402, b"{}"), (200, b'{"id": "cs_1", "url": "javascript:alert(1)"}')):
        stripe.answer = answer
        assert (await ask("POST", "management", {"amount": "20"})).status_code == 400
    before = (await api.get("read", "/v1/credits")).data
    assert "once Stripe has told us" in (await ask("GET", "management", query="?paid=1")).text
    assert (await api.get("read", "/v1/credits")).data == before


async def test_checkout_without_stripe_is_not_there(api: Api) -> None:
    assert (await api.ask("management", "POST", "/v1/topups/checkout", {"amount": 20})).status == 404


async def test_statement_adds_up_to_the_balance(api: Api) -> None:
    node = await Node(api.collector).boot()
    await node.link.ingest(node.batch([node.fact(seq, api.caller, 777 * seq) for seq in range(1, 9)]))
    rows = list(csv.DictReader(io.StringIO((await api.get("read", "/v1/invoices.csv?to=2026-12-01")).text)))
    assert {row["kind"] for row in rows} == {"top-up", "usage"}
    assert sum(Decimal(row["amount_usd"]) for row in rows) == Decimal(available_nano(api.collector.store)).scaleb(-9)
