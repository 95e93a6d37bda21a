"""The account `demo` of a store that is new, so that the first request can be sent at once."""

from collector.accounts.accounts import add_credit
from collector.accounts.audit_log import Actor, record
from collector.accounts.keys import KeyTerms, create_key
from collector.store.contract import Tx
from usage.pricing import dollars

DEMO_ACCOUNT = "demo"
DEMO_CREDIT_NANO = 5_000_000_000


def make_demo(tx: Tx, now: int) -> str | None:
    """Its key, to be shown once; None where there is an account already."""
    if tx.row("SELECT account FROM accounts LIMIT 1") is not None:
        return None
    add_credit(tx, DEMO_ACCOUNT, DEMO_CREDIT_NANO, "the demo's first credit", now)
    text, key = create_key(tx, DEMO_ACCOUNT, KeyTerms(name="demo"), now)
    actor = Actor("collector", "first start")
    record(tx, actor, "account.create", DEMO_ACCOUNT, {"credit": dollars(DEMO_CREDIT_NANO), "key": key.label}, now)
    return text
