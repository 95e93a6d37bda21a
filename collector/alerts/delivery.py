"""Events on their way: webhooks signed as Standard Webhooks has it, e-mail by SMTP; tried again for three days.

Rule: a delivery is claimed before it is sent, so that two collectors do not send it at once; it may arrive twice all the same,
with the same `webhook-id`. Rule: 2xx is delivered; 410, or the last attempt, disables the destination; anything else is tried
again. Source: Standard Webhooks 1.0 (signature, headers, retry schedule).
"""

import base64
import hmac
import os
import random
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

import msgspec

from collector.alerts.guard import Unsafe, post
from collector.alerts.tables import AlertEvent, Destination, disable_destination, find_destination, find_event
from collector.store.contract import Store, Tx

if TYPE_CHECKING:
    from email.message import EmailMessage

RETRY_S = (5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400)
"""After the first attempt, and each that failed; a tenth of jitter on top."""
CLAIM_MS = 60_000
BATCH = 20
SMTP_TIMEOUT_S = 20.0
SECRET_BYTES = 32


class Delivery(msgspec.Struct, frozen=True):
    """One event on its way to one destination. `attempts`: those made so far."""

    event_id: str
    destination_id: str
    attempts: int
    due_ms: int

    @property
    def is_last(self) -> bool:
        """Whether the attempt that is made now is the last one."""
        return self.attempts >= len(RETRY_S)

    def wait_s(self, roll: float) -> float:
        """From this attempt to the next; `roll` in [0, 1) is its jitter."""
        return 0.0 if self.is_last else RETRY_S[self.attempts] * (1 + roll / 10)


class DeliveryOutcome(msgspec.Struct, frozen=True):
    """`status`: of HTTP, 250 for a mail that was taken, 0 when there was no answer."""

    status: int
    problem: str = ""

    @property
    def is_delivered(self) -> bool:
        return 200 <= self.status < 300


def new_secret(entropy: bytes) -> str:
    """A signing secret in Standard Webhooks' form, of 32 bytes or more."""
    return "whsec_" + base64.b64encode(entropy[:SECRET_BYTES]).decode()


def sign(secret: str, event_id: str, time_s: int, body: bytes) -> str:
    """The value of `webhook-signature`."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    return "v1," + base64.b64encode(hmac.digest(key, f"{event_id}.{time_s}.".encode() + body, "sha256")).decode()


def send_webhook(destination: Destination, event: AlertEvent, now_ms: int) -> DeliveryOutcome:
    """POST the event, signed; what went wrong is in the outcome."""
    body, time_s = event.payload.encode(), now_ms // 1000
    headers = {
        "content-type": "application/json",
        "user-agent": "tollway",
        "webhook-id": event.event_id,
        "webhook-timestamp": str(time_s),
        "webhook-signature": sign(destination.secret, event.event_id, time_s, body),
    }
    try:
        status = post(destination.target, body, headers)
    except Unsafe as error:
        return DeliveryOutcome(0, str(error))
    except OSError as error:
        return DeliveryOutcome(0, f"no answer ({type(error.__cause__ or error).__name__})")
    return DeliveryOutcome(status, "" if 200 <= status < 300 else f"answered {status}")


def send_mail(destination: Destination, event: AlertEvent, now_ms: int) -> DeliveryOutcome:
    """By `TOLLWAY_SMTP_URL` (smtp://user:password@host:port, or smtps://), from `TOLLWAY_SMTP_FROM`."""
    import smtplib
    import ssl

    url = urlsplit(os.environ.get("TOLLWAY_SMTP_URL", ""))
    if url.scheme not in ("smtp", "smtps") or not url.hostname:
        return DeliveryOutcome(0, "mail is not set up here: TOLLWAY_SMTP_URL")
    message = compose(destination.target, os.environ.get("TOLLWAY_SMTP_FROM") or f"tollway@{url.hostname}", event)
    context = ssl.create_default_context()
    try:
        if url.scheme == "smtps":
            server: smtplib.SMTP = smtplib.SMTP_SSL(url.hostname, url.port or 465, timeout=SMTP_TIMEOUT_S, context=context)
        else:
            server = smtplib.SMTP(url.hostname, url.port or 25, timeout=SMTP_TIMEOUT_S)
        with server:
            server.ehlo()
            if url.scheme == "smtp" and server.has_extn("starttls"):
                server.starttls(context=context)
                server.ehlo()
            if url.username:
                server.login(unquote(url.username), unquote(url.password or ""))
            server.send_message(message)
    except smtplib.SMTPResponseException as error:
        return DeliveryOutcome(error.smtp_code, f"the mail server answered {error.smtp_code}")
    except (OSError, smtplib.SMTPException) as error:
        return DeliveryOutcome(0, f"the mail server did not take it ({type(error).__name__})")
    return DeliveryOutcome(250)


def compose(to: str, sender: str, event: AlertEvent) -> "EmailMessage":
    """Plain text, with the event's figures one a line; the same event has the same Message-ID."""
    from email.message import EmailMessage

    body = msgspec.json.decode(event.payload)
    subjects = {
        "balance.low": "Your credit is low",
        "key.limit_share": "A key has used most of its limit",
        "test": "This is a test",
    }
    message = EmailMessage()
    message["From"], message["To"] = sender, to
    message["Subject"] = f"{subjects.get(event.type, event.type)} ({event.account})"
    message["Message-ID"] = f"<{event.event_id}@{sender.rpartition('@')[2]}>"
    message["X-Tollway-Event"] = event.event_id
    figures = "\n".join(f"{name.replace('_', ' ')}: {value}" for name, value in body["data"].items())
    message.set_content(
        f"{subjects.get(event.type, event.type)}.\n\n{figures}\n\nat {body['timestamp']}, event {event.event_id}\n"
    )
    return message


SENDERS: dict[str, Callable[[Destination, AlertEvent, int], DeliveryOutcome]] = {"webhook": send_webhook, "email": send_mail}


def deliver_due(store: Store, now_ms: int, roll: Callable[[], float] = random.random) -> int:
    """Send what is due; how much was tried."""
    due = [
        Delivery(*row)
        for row in store.read(
            lambda tx: tx.rows(
                "SELECT event_id, destination_id, attempts, due_ms FROM deliveries WHERE state = 'waiting' AND due_ms <= ?"
                " ORDER BY due_ms LIMIT ?",
                now_ms,
                BATCH,
            )
        )
    ]
    for delivery in due:
        destination, event = store.write(partial(claim, delivery=delivery, now_ms=now_ms))
        if destination is not None and event is not None:
            outcome = SENDERS[destination.kind](destination, event, now_ms)
            again_ms = now_ms + int(delivery.wait_s(roll()) * 1000)
            store.write(partial(settle, delivery=delivery, outcome=outcome, again_ms=again_ms))
    return len(due)


def claim(tx: Tx, delivery: Delivery, now_ms: int) -> tuple[Destination | None, AlertEvent | None]:
    """Take a delivery, so that no other collector sends it now; (None, None): another one did, or it is not waiting any more."""
    if not tx.run(
        "UPDATE deliveries SET attempts = attempts + 1, due_ms = ? WHERE event_id = ? AND destination_id = ?"
        " AND state = 'waiting' AND due_ms = ?",
        *(now_ms + CLAIM_MS, delivery.event_id, delivery.destination_id, delivery.due_ms),
    ):
        return None, None
    return find_destination(tx, delivery.destination_id), find_event(tx, delivery.event_id)


def settle(tx: Tx, delivery: Delivery, outcome: DeliveryOutcome, again_ms: int) -> None:
    """Write down how an attempt ended; it is tried again at `again_ms`, or its destination is disabled."""
    is_over = delivery.is_last or outcome.status == 410
    state = "delivered" if outcome.is_delivered else "failed" if is_over else "waiting"
    tx.run(
        "UPDATE deliveries SET state = ?, due_ms = ?, status = ?, problem = ? WHERE event_id = ? AND destination_id = ?",
        *(state, again_ms, outcome.status, outcome.problem[:300], delivery.event_id, delivery.destination_id),
    )
    if state == "failed":
        disable_destination(tx, delivery.destination_id, outcome.problem)
