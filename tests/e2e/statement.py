"""What an account's owner reads back: the record of a generation, the credit, the sum of what was spent; with exact decimals.

Rule: a record may take a moment to reach the collector, so readers wait for it; what never comes fails with what was there
instead.
"""

import time
from collections.abc import Callable
from typing import Any, TypeVar

from tests.e2e.oracle import exact, nano
from tests.patience import PATIENCE_S
from tests.processes import Account, Reply, get

T = TypeVar("T")


def eventually(look: Callable[[], T], is_right: Callable[[T], bool], within_s: float = PATIENCE_S) -> T:
    """What `look` returns as soon as `is_right` says so."""
    ends_s = time.monotonic() + within_s
    while True:
        seen = look()
        if is_right(seen):
            return seen
        assert time.monotonic() < ends_s, f"still {str(seen)[:2000]} after {within_s} s"
        time.sleep(0.02)


def generation(port: int, account: Account, gen_id: str) -> Any:
    """The `data` of /generation, as soon as it is there."""

    def look() -> Reply:
        return get(port, f"/api/v1/generation?id={gen_id}", account.headers)

    return exact(eventually(look, lambda reply: reply.status == 200).body)["data"]


def credit_nano(port: int, account: Account) -> tuple[int, int]:
    """(bought, spent) in nano-dollars, as /credits says now."""
    reply = get(port, "/api/v1/credits", account.headers)
    assert reply.status == 200, reply.body
    data = exact(reply.body)["data"]
    return nano(data["total_credits"]), nano(data["total_usage"])


def wait_spent_nano(port: int, account: Account, spent_nano: int, within_s: float = PATIENCE_S) -> None:
    """Wait until exactly so much was spent."""
    eventually(lambda: credit_nano(port, account)[1], lambda spent: spent == spent_nano, within_s)
