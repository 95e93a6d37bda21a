"""Money in over the API: top-ups by the operator, Stripe Checkout by the account's manager, the history, statements as CSV."""

import datetime
from typing import Annotated, Literal

import msgspec
from starlette.requests import Request

from collector.accounts import payments, stripe
from collector.accounts.accounts import Mistake
from collector.accounts.audit_log import Actor, record
from collector.analytics.engine import run
from collector.analytics.query import Query
from collector.api.caller import MANAGERS, OPERATOR, READERS
from collector.api.operation import AccountQuery, Call, DeferredAnswer, Operation, PlainAnswer, check_account
from collector.api.problem import ApiError, wrong
from collector.api.shapes import Amount, Dollars, ms_of, nano_of, timestamp
from collector.api.usage.csv_cells import write_csv
from collector.api.usage.exports import CSV, Range, money
from collector.service import Collector
from collector.store.contract import Tx
from usage.pricing import dollars

PAGE_MAX = 500


class TopUpsQuery(msgspec.Struct, frozen=True):
    limit: Annotated[int, msgspec.Meta(ge=1, le=PAGE_MAX)] = 100
    before: Annotated[int, msgspec.Meta(ge=0, le=2**62)] = 2**62
    account: str = ""


class TopUp(msgspec.Struct, frozen=True):
    """`amount` is negative for a correction."""

    id: int
    kind: Literal["top_up", "correction"]
    amount: Amount
    ref: str
    created_at: str


class TopUpsAnswer(msgspec.Struct, frozen=True):
    """`next_before` null: there are no more."""

    data: list[TopUp]
    next_before: int | None


class NewTopUp(msgspec.Struct, frozen=True):
    """`ref` names the payment for good: sent again it changes nothing."""

    amount: Dollars
    ref: Annotated[str, msgspec.Meta(min_length=1, max_length=payments.REF_CHARS_MAX, pattern=r"^[ -~]+$")]


class Made(msgspec.Struct, frozen=True):
    """`created` false: this reference was paid before, with the same terms."""

    created: bool
    amount: Amount
    ref: str


class MadeAnswer(msgspec.Struct, frozen=True):
    data: Made


def list_topups(tx: Tx, call: Call) -> TopUpsAnswer:
    found = payments.list_payments(tx, call.account, call.query.before, call.query.limit)
    rows = [
        TopUp(
            one.posting_id,
            "top_up" if one.kind == "top_up" else "correction",
            Amount(one.amount_nano),
            one.ref,
            timestamp(one.at_ms),
        )
        for one in found
    ]
    return TopUpsAnswer(rows, found[-1].posting_id if len(found) == call.query.limit else None)


def top_up(tx: Tx, call: Call) -> MadeAnswer:
    amount_nano = nano_of(call.body.amount, "amount")
    if amount_nano == 0:
        raise wrong("amount", "amount must be more than 0")
    check_account(tx, call.account)
    try:
        is_new = payments.pay(tx, call.account, amount_nano, call.body.ref, "operator", call.now_ms)
    except Mistake as error:
        raise ApiError(409, str(error), "ref_used", "ref") from error
    if is_new:
        detail = {"amount": dollars(amount_nano), "ref": call.body.ref}
        record(tx, call.caller.actor, "credit.add", call.account, detail, call.now_ms)
    return MadeAnswer(Made(is_new, Amount(amount_nano), call.body.ref))


class Checkout(msgspec.Struct, frozen=True):
    """Whole cents, from one dollar."""

    amount: Dollars


class CheckoutPage(msgspec.Struct, frozen=True):
    id: str
    url: str


class CheckoutAnswer(msgspec.Struct, frozen=True):
    data: CheckoutPage


def check_out(tx: Tx, call: Call) -> DeferredAnswer:
    settings = stripe.StripeSettings.read()
    if not settings.key:
        raise ApiError(404, "payments by card are not set up here; ask the operator for credit", "not_found")
    cents, rest = divmod(nano_of(call.body.amount, "amount"), stripe.NANO_PER_CENT)
    if rest or not stripe.CENTS_MIN <= cents <= stripe.CENTS_MAX:
        raise wrong("amount", "amount must be whole cents, from 1.00 to 999999.99 dollars")
    account, key = call.account, call.headers.get("idempotency-key", "")

    def ask() -> CheckoutAnswer:
        try:
            session = stripe.create_session(settings, account, cents, key)
        except stripe.StripeProblem as error:
            raise ApiError(502, f"Stripe did not open a checkout: {error}", "payment_provider_failed") from error
        return CheckoutAnswer(CheckoutPage(session.id, session.url))

    return DeferredAnswer(ask)


class Received(msgspec.Struct, frozen=True):
    received: bool
    credited: bool


async def _check_stripe(collector: Collector, request: Request, raw: bytes) -> None:
    """What Stripe has not signed costs no transaction. ApiError."""
    secret, signature = stripe.StripeSettings.read().webhook_secret, request.headers.get("stripe-signature", "")
    if not stripe.is_signed(secret, signature, raw, collector.clock_ms() // 1000):
        raise ApiError(400, "the signature does not vouch for this body, or is too old", "invalid_signature")


def receive_stripe(tx: Tx, call: Call) -> Received:
    """What `_check_stripe` has let in."""
    try:
        paid = stripe.paid_by(call.raw)
    except stripe.StripeProblem as error:
        raise ApiError(400, str(error), "invalid_event") from error
    if paid is None:
        return Received(True, False)
    is_new = payments.pay(tx, paid.account, paid.amount_nano, paid.ref, "stripe", call.now_ms)
    if is_new:
        detail = {"amount": dollars(paid.amount_nano), "ref": paid.ref}
        record(tx, Actor("stripe", call.caller.origin), "credit.add", paid.account, detail, call.now_ms)
    return Received(True, is_new)


def export_statement(tx: Tx, call: Call) -> PlainAnswer:
    """Per month: what was paid in, each with its reference, and what was used of each model."""
    account = call.account
    end_ms = ms_of(call.query.end, "to") if call.query.end else call.now_ms
    start_ms = ms_of(call.query.start, "from") if call.query.start else 0
    if start_ms > end_ms:
        raise wrong("from", "from must be before to")
    rows: list[tuple[str, str, str, str, str, object]] = []
    for one in payments.list_payments(tx, account, count=100_000):
        if start_ms <= one.at_ms < end_ms:
            day = timestamp(one.at_ms)[:10]
            kind = "top-up" if one.kind == "top_up" else "correction"
            rows.append((f"{account}-{day[:7]}", day, kind, "credit", one.ref, money(one.amount_nano)))
    table = run(tx, Query(account, start_ms, end_ms, "UTC", "month", ("model",)), call.now_ms)
    for line in table.lines:
        month = datetime.datetime.fromtimestamp(line.start_ms / 1000, datetime.UTC)
        model = line.group[0] if line.group else "others"
        described = f"{model}, {line.sums.requests} requests"
        rows.append((f"{account}-{month:%Y-%m}", f"{month:%Y-%m-%d}", "usage", described, "", money(-line.sums.cost_nano)))
    rows.sort(key=lambda row: row[:3])
    header = ("invoice", "date", "kind", "description", "ref", "amount_usd")
    return PlainAnswer(write_csv(header, rows), CSV, "invoices.csv")


OPERATIONS = (
    Operation("GET", "/topups", "Top-ups and corrections, newest first", READERS, list_topups, TopUpsAnswer, TopUpsQuery),
    Operation(
        "POST", "/topups", "Top an account up, once per reference", OPERATOR, top_up, MadeAnswer, AccountQuery, NewTopUp,
        has_effect=True, errors=(404,),
    ),
    Operation(
        "POST", "/topups/checkout", "A page of Stripe's to buy credit on", MANAGERS, check_out, CheckoutAnswer, AccountQuery,
        Checkout, errors=(404, 502),
    ),
    Operation(
        "POST", "/webhooks/stripe", "Stripe tells what was paid", frozenset(), receive_stripe, Received, has_effect=True,
        check=_check_stripe,
    ),
    Operation("GET", "/invoices.csv", "What was paid and used, per month", READERS, export_statement, CSV, Range),
)  # fmt: skip
