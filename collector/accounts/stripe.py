"""Credit sold by Stripe Checkout: a session for an amount, and the signed webhook that says it was paid.

Rule: only the webhook tops up, once per session, after its signature and age were checked; a browser that comes back proves
nothing. Rule: what is credited is what Stripe says was paid before taxes, in the currency of the books. Source: docs.stripe.com,
"Verify webhook signatures manually", "Create a Checkout Session".
"""

import hmac
import os
from collections.abc import Mapping
from typing import Any

import msgspec

NANO_PER_CENT = 10_000_000
TOLERANCE_S = 300
TIMEOUT_S = 20.0
CENTS_MIN, CENTS_MAX = 100, 99_999_999
PAID = ("checkout.session.completed", "checkout.session.async_payment_succeeded")


class StripeProblem(Exception):
    """Stripe cannot be asked, or does not do it; the message is for the operator's log and says nothing secret."""


class StripeSettings(msgspec.Struct, frozen=True):
    """`TOLLWAY_STRIPE_KEY`, `TOLLWAY_STRIPE_WEBHOOK_SECRET`, `TOLLWAY_STRIPE_API`, `TOLLWAY_PUBLIC_URL`.

    Without a key it is off.
    """

    key: str = ""
    webhook_secret: str = ""
    api: str = "https://api.stripe.com"
    public_url: str = ""

    @staticmethod
    def read(environ: Mapping[str, str] = os.environ) -> "StripeSettings":
        return StripeSettings(
            environ.get("TOLLWAY_STRIPE_KEY", ""),
            environ.get("TOLLWAY_STRIPE_WEBHOOK_SECRET", ""),
            environ.get("TOLLWAY_STRIPE_API") or "https://api.stripe.com",
            environ.get("TOLLWAY_PUBLIC_URL", "").rstrip("/"),
        )


class CheckoutSession(msgspec.Struct, frozen=True):
    """A Checkout Session: where the buyer pays."""

    id: str
    url: str


def create_session(settings: StripeSettings, account: str, cents: int, idempotency_key: str) -> CheckoutSession:
    """Ask Stripe for a session; blocks. StripeProblem."""
    import httpx

    back = f"{settings.public_url}/dashboard/credit"
    form = {
        "mode": "payment",
        "client_reference_id": account,
        "metadata[tollway_account]": account,
        "line_items[0][quantity]": "1",
        "line_items[0][price_data][currency]": "usd",
        "line_items[0][price_data][unit_amount]": str(cents),
        "line_items[0][price_data][product_data][name]": f"Credit for {account}",
        "success_url": f"{back}?paid=1",
        "cancel_url": back,
    }
    headers = {"authorization": f"Bearer {settings.key}"} | ({"idempotency-key": idempotency_key} if idempotency_key else {})
    try:
        reply = httpx.post(f"{settings.api}/v1/checkout/sessions", data=form, headers=headers, timeout=TIMEOUT_S)
        body = msgspec.json.decode(reply.content, type=dict[str, Any])
    except (httpx.HTTPError, msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise StripeProblem(f"no answer that can be read ({type(error).__name__})") from error
    if reply.status_code != 200 or not isinstance(body.get("url"), str) or not isinstance(body.get("id"), str):
        raise StripeProblem(f"status {reply.status_code}")
    return CheckoutSession(body["id"], body["url"])


def is_signed(secret: str, header: str, body: bytes, now_s: int) -> bool:
    """Whether `Stripe-Signature` vouches for these bytes, and is not older than TOLERANCE_S."""
    parts = [part.partition("=")[::2] for part in header.split(",")]
    times = [value for name, value in parts if name.strip() == "t"]
    if not secret or len(times) != 1 or not times[0].isascii() or not times[0].isdigit() or len(times[0]) > 15:
        return False
    if abs(now_s - int(times[0])) > TOLERANCE_S:
        return False
    expected = hmac.digest(secret.encode(), times[0].encode() + b"." + body, "sha256").hex()
    given = [value for name, value in parts if name.strip() == "v1" and value.isascii()]
    return any(hmac.compare_digest(expected, value) for value in given)


class Paid(msgspec.Struct, frozen=True):
    """What an event says was paid: for which account, how much, and the reference that makes it once."""

    account: str
    amount_nano: int
    ref: str


def paid_by(body: bytes) -> Paid | None:
    """The payment that an event tells of; None for one that tells of none. StripeProblem: it cannot be credited."""
    try:
        event = msgspec.json.decode(body, type=dict[str, Any])
        session = event["data"]["object"]
        if event["type"] not in PAID or session.get("payment_status") != "paid":
            return None
        account = session.get("metadata", {}).get("tollway_account")
        if account is None:
            return None
        cents = session.get("amount_subtotal", session.get("amount_total"))
        ref, currency = session["id"], session["currency"]
    except (msgspec.MsgspecError, UnicodeDecodeError, KeyError, TypeError, AttributeError) as error:
        raise StripeProblem("the event is not one that Stripe's documentation shows") from error
    if currency != "usd" or type(cents) is not int or cents <= 0 or not isinstance(account, str) or not isinstance(ref, str):
        raise StripeProblem("the session is not one that was made here: it must be in usd, with an account and an amount")
    return Paid(account, cents * NANO_PER_CENT, f"stripe {ref}")
