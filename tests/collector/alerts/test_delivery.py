"""Alerts told: signed as Standard Webhooks verifies, mailed, tried again on its schedule, once per fall, and again when asked."""

import json
import ssl
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
from aiosmtpd.controller import Controller
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from collector.alerts.delivery import RETRY_S, deliver_due
from collector.alerts.runner import AlertRunner
from tests.collector.api.conftest import Api, api
from tests.collector.facts import Caller, Clock, Node
from tests.http_server import HttpHandler, HttpServer, serving
from tests.ports import free_port

__all__ = ["api"]
pytestmark = pytest.mark.anyio


class Receiver:
    """A webhook's end on a real socket, with scripted answers."""

    server: HttpServer

    def __init__(self) -> None:
        self.got: list[tuple[dict[str, str], bytes]] = []
        self.answers: list[int] = []
        receiver = self

        class Handler(HttpHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                receiver.got.append(({name.lower(): value for name, value in self.headers.items()}, body))
                status = receiver.answers.pop(0) if receiver.answers else 204
                self.send_response(status)
                if 300 <= status < 400:
                    self.send_header("location", "/elsewhere")
                self.end_headers()

        self.handler = Handler

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}/hook"


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    monkeypatch.setenv("TOLLWAY_WEBHOOK_PRIVATE", "yes")
    made = Receiver()
    with serving(made.handler) as made.server:
        yield made


async def destination(api: Api, target: str, kind: str = "webhook") -> Any:
    reply = await api.ask("management", "POST", "/v1/alerts/destinations", {"kind": kind, "target": target})
    assert reply.status == 201, reply.text
    return reply.body


async def test_low_balance_is_told_once_and_signed(api: Api, receiver: Receiver, clock: Clock) -> None:
    """Spent below the threshold: one event, which verifies; more spending tells nothing; topped up and spent again: another."""
    clock.now_ms = time.time_ns() // 1_000_000  # its verifier asks the machine how old a message is
    made = await destination(api, receiver.url)
    await api.ask("management", "POST", "/v1/alerts", {"kind": "balance", "threshold": 999.999})
    runner, node = AlertRunner(api.collector.store, clock), await Node(api.collector).boot()
    runner.tick()
    assert receiver.got == []
    for seq in (1, 2):
        clock.now_ms += 1_000
        await node.link.ingest(node.batch([node.fact(seq, api.caller, 10_000_000)]))
        runner.tick()
    assert len(receiver.got) == 1
    headers, body = receiver.got[0]
    webhook = Webhook(made["secret"])
    webhook.verify(body, headers)
    told = json.loads(body)
    assert (told["type"], told["data"]["account"], told["data"]["balance"]) == ("balance.low", "acme", "999.99")
    with pytest.raises(WebhookVerificationError):
        webhook.verify(body.replace(b"999", b"998"), headers)
    await api.collector.add_credit("acme", 200 * 10**9)
    runner.tick()
    await node.link.ingest(node.batch([node.fact(3, api.caller, 210 * 10**9)]))
    runner.tick()
    assert [json.loads(body)["type"] for _, body in receiver.got] == ["balance.low"] * 2
    assert len({headers["webhook-id"] for headers, _ in receiver.got}) == 2


async def test_share_of_a_keys_limit_is_told(api: Api, receiver: Receiver, clock: Clock) -> None:
    await destination(api, receiver.url)
    row = (await api.ask("management", "POST", "/v1/keys", {"name": "app", "limit": 0.00001, "limit_reset": "daily"})).body
    asked = {"kind": "key_limit", "key_id": row["data"]["key_id"], "percent": 80}
    assert (await api.ask("management", "POST", "/v1/alerts", asked)).status == 201
    caller = Caller(row["key"], row["data"]["hash"], row["data"]["key_id"], "acme", f"acme/{row['data']['key_id']}")
    runner, node = AlertRunner(api.collector.store, clock), await Node(api.collector).boot()
    for seq, cost in ((1, 7_000), (2, 1_000), (3, 1_000)):
        clock.now_ms += 1_000
        await node.link.ingest(node.batch([node.fact(seq, caller, cost)]))
        runner.tick()
    (told,) = [json.loads(body) for _, body in receiver.got]
    assert told["type"] == "key.limit_share"
    assert (told["data"]["spent"], told["data"]["limit"], told["data"]["key_name"]) == ("0.000008", "0.00001", "app")


async def test_delivery_is_tried_on_its_schedule_and_gives_up(api: Api, receiver: Receiver, clock: Clock) -> None:
    """The same id and body each time, later and later; then the destination is disabled and says why; a test brings it back."""
    made = await destination(api, receiver.url)
    path = f"/v1/alerts/destinations/{made['data']['id']}"
    receiver.answers = [500, 302, 404, *[503] * 7]
    event = (await api.ask("management", "POST", f"{path}/test")).data
    waits = []
    for _ in range(len(RETRY_S) + 1):
        before_ms = clock.now_ms
        assert deliver_due(api.collector.store, clock.now_ms, lambda: 0.5) == 1
        rows = api.collector.store.read(lambda tx: tx.rows("SELECT due_ms, state FROM deliveries"))
        waits.append((rows[0][0] - before_ms) // 1000)
        clock.now_ms = rows[0][0]
    assert waits[:-1] == [int(wait * 1.05) for wait in RETRY_S]
    assert len({(headers["webhook-id"], body) for headers, body in receiver.got}) == 1
    assert len(receiver.got) == 10
    (shown,) = (await api.get("management", "/v1/alerts/destinations")).data
    assert (shown["disabled"], shown["problem"]) == (True, "answered 503")
    assert deliver_due(api.collector.store, clock.now_ms + 10**9) == 0
    assert (await api.ask("management", "POST", f"{path}/test")).status == 200
    assert deliver_due(api.collector.store, clock.now_ms) == 1
    (first,) = [one for one in (await api.get("read", "/v1/alerts/events")).data if one["id"] == event["id"]]
    assert first["deliveries"][0]["attempts"] == 10
    assert (await api.ask("management", "POST", f"/v1/alerts/events/{event['id']}/replay")).status == 200
    assert deliver_due(api.collector.store, clock.now_ms) == 1
    assert receiver.got[-1][0]["webhook-id"] == event["id"]


async def test_receiver_that_is_gone_is_left_alone(api: Api, receiver: Receiver, clock: Clock) -> None:
    made = await destination(api, receiver.url)
    receiver.answers = [410]
    await api.ask("management", "POST", f"/v1/alerts/destinations/{made['data']['id']}/test")
    deliver_due(api.collector.store, clock.now_ms)
    (shown,) = (await api.get("management", "/v1/alerts/destinations")).data
    assert (shown["disabled"], shown["problem"]) == (True, "answered 410")


async def test_webhook_inside_is_never_called(
    api: Api, receiver: Receiver, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Named while it was allowed, refused when it is used; and by a name that leads inside."""
    made = await destination(api, receiver.url)
    monkeypatch.delenv("TOLLWAY_WEBHOOK_PRIVATE")
    await api.ask("management", "POST", f"/v1/alerts/destinations/{made['data']['id']}/test")
    deliver_due(api.collector.store, clock.now_ms)
    assert receiver.got == []
    refused = await api.ask("management", "POST", "/v1/alerts/destinations", {"kind": "webhook", "target": receiver.url})
    assert refused.status == 400
    inside = await destination(api, f"https://localhost:{receiver.server.server_port}/")
    await api.ask("management", "POST", f"/v1/alerts/destinations/{inside['data']['id']}/test")
    deliver_due(api.collector.store, clock.now_ms)
    problems = api.collector.store.read(lambda tx: tx.rows("SELECT problem FROM deliveries"))
    assert all("inside" in row[0] or "begins with" in row[0] for row in problems)
    assert receiver.got == []


@pytest.mark.parametrize(
    ("name", "is_trusted", "problem"),
    [("localhost", True, ""), ("localhost", False, "SSLCertVerificationError"), ("elsewhere", True, "SSLCertVerificationError")],
)
async def test_webhook_over_tls_goes_to_whom_its_certificate_names(
    api: Api, receiver: Receiver, clock: Clock, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, is_trusted: bool,
    problem: str,
) -> None:  # fmt: skip
    """A real handshake: told by the name that was looked up, and to nobody whom no authority names so."""
    clock.now_ms = time.time_ns() // 1_000_000  # its verifier asks the machine how old a message is
    authority, stranger = trustme.CA(), trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    receiver.server.context = context
    trusted = tmp_path / "ca.pem"
    (authority if is_trusted else stranger).cert_pem.write_to_path(str(trusted))
    monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
    made = await destination(api, f"https://localhost:{receiver.server.server_port}/hook?a=b")
    await api.ask("management", "POST", f"/v1/alerts/destinations/{made['data']['id']}/test")
    deliver_due(api.collector.store, clock.now_ms)
    ((state, said),) = api.collector.store.read(lambda tx: tx.rows("SELECT state, problem FROM deliveries"))
    assert (state, problem in said) == ("waiting" if problem else "delivered", True)
    assert len(receiver.got) == (0 if problem else 1)
    for headers, body in receiver.got:
        assert headers["host"] == f"localhost:{receiver.server.server_port}"
        Webhook(made["secret"]).verify(body, headers)
        assert json.loads(body)["type"] == "test"


class Mailbox:
    def __init__(self) -> None:
        self.mails: list[Any] = []

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        self.mails.append(envelope)
        return "250 OK"


async def test_alert_is_mailed(api: Api, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    mailbox = Mailbox()
    port = free_port()
    controller = Controller(mailbox, hostname="127.0.0.1", port=port)
    controller.start()
    try:
        monkeypatch.setenv("TOLLWAY_SMTP_URL", f"smtp://127.0.0.1:{port}")
        monkeypatch.setenv("TOLLWAY_SMTP_FROM", "tollway@example.com")
        made = await destination(api, "ops@example.com", "email")
        assert made["secret"] is None
        await api.ask("management", "POST", f"/v1/alerts/destinations/{made['data']['id']}/test")
        assert deliver_due(api.collector.store, clock.now_ms) == 1
    finally:
        controller.stop()
    (mail,) = mailbox.mails
    assert (mail.mail_from, mail.rcpt_tos) == ("tollway@example.com", ["ops@example.com"])
    assert b"Subject: This is a test (acme)" in mail.content
    await api.ask("management", "POST", f"/v1/alerts/destinations/{made['data']['id']}/test")
    deliver_due(api.collector.store, clock.now_ms)
    states = {row[0] for row in api.collector.store.read(lambda tx: tx.rows("SELECT state FROM deliveries"))}
    assert states == {"delivered", "waiting"}


async def test_alert_that_cannot_be_is_refused(api: Api) -> None:
    for body in (
        {"kind": "balance"}, {"kind": "balance", "threshold": -1}, {"kind": "balance", "threshold": 1, "percent": 5},
        {"kind": "key_limit", "percent": 80}, {"kind": "key_limit", "percent": 0, "key_id": "x"}, {"kind": "moon"}, {},
    ):  # fmt: skip
        assert (await api.ask("management", "POST", "/v1/alerts", body)).status == 400, body
    assert (await api.ask("management", "POST", "/v1/alerts", {"kind": "key_limit", "percent": 80, "key_id": "x"})).status == 404
    for target in ("ops", "a@b c", "a@b\r\nBcc: x@y", "@b", "a@", "a@-b..c", "a\u00e4@b.c"):
        reply = await api.ask("management", "POST", "/v1/alerts/destinations", {"kind": "email", "target": target})
        assert reply.status == 400, target
    made = (await api.ask("management", "POST", "/v1/alerts", {"kind": "balance", "threshold": 1})).data
    assert (await api.ask("other management", "DELETE", f"/v1/alerts/{made['id']}")).status == 404
    assert (await api.ask("management", "DELETE", f"/v1/alerts/{made['id']}")).body == {"deleted": True}
