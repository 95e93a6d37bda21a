"""`/credits`: what was bought, used and is left. Shapes: WIRE.md 1.7.

Rule: an inference key is told of the credit that it spends from, which a refusal for want of credit tells it anyway; its own
limit is its credit, where it has one. Whoever wants the account reads with a `read` or `management` key. Rule:
`TOLLWAY_INFERENCE_CREDITS=no` takes the account's credit out of all that an inference key reads; its own limit stays.
"""

import os

import msgspec

from collector.accounts import history
from collector.accounts.keys import Key
from collector.accounts.roles import shows_credit
from collector.api.caller import ALL
from collector.api.operation import AccountQuery, Call, Operation
from collector.api.problem import ApiError, missing
from collector.api.shapes import Amount
from collector.leasing.leasing import leased_nano, purse_available, spent_in_window
from collector.store.contract import Tx


class CreditAmounts(msgspec.Struct, frozen=True):
    """`total_credits` less `total_usage` is what is left: `available`, and `leased` to edges at the moment."""

    total_credits: Amount
    total_usage: Amount
    available: Amount
    leased: Amount


class CreditsAnswer(msgspec.Struct, frozen=True):
    data: CreditAmounts


def read_credits(tx: Tx, call: Call) -> CreditsAnswer:
    key = call.caller.key
    if key is not None and key.limit_nano is not None:
        return CreditsAnswer(_of_purse(tx, key, call.now_ms))
    if key is not None and not shows_credit(os.environ):
        raise ApiError(403, "an inference key may not read the account's credit here; use a read or management key", "forbidden")
    credits = history.credits_of(tx, call.account)
    if credits is None:
        raise missing("account", "account")
    return CreditsAnswer(
        CreditAmounts(*map(Amount, (credits.topped_nano, credits.spent_nano, credits.available_nano, credits.leased_nano)))
    )


def grantable_nano(tx: Tx, key: Key, limit_left_nano: int, account_nano: int, now_ms: int) -> int:
    """What a key with a limit may still take; where it may not see the account's credit, as if that were without end."""
    return purse_available(tx, key, account_nano if shows_credit(os.environ) else limit_left_nano, now_ms)[0]


def _of_purse(tx: Tx, key: Key, now_ms: int) -> CreditAmounts:
    """A key with a limit sees its limit as its credit, and what it may still take of it."""
    assert key.limit_nano is not None
    spent_nano = spent_in_window(tx, key, now_ms)
    account = history.credits_of(tx, key.account)
    assert account is not None
    available_nano = grantable_nano(tx, key, max(key.limit_nano - spent_nano, 0), account.available_nano, now_ms)
    return CreditAmounts(*map(Amount, (key.limit_nano, spent_nano, available_nano, leased_nano(tx, key))))


OPERATIONS = (
    Operation("GET", "/credits", "Credit bought, used, and left", ALL, read_credits, CreditsAnswer, AccountQuery, errors=(404,)),
)
