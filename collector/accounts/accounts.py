"""Accounts: who pays, and what an account is topped up by and corrected by.

Limits: an account's name has no slash, because a purse is `<account>` or `<account>/<key id>`.
"""

import re
from collections.abc import Iterable
from difflib import get_close_matches

from collector.ledger.bookkeeping import lock_accounts, post
from collector.ledger.ledger import TOPPED_NANO_MAX, correct, top_up
from collector.store.contract import Tx
from usage.pricing import dollars

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,62}\Z", re.ASCII)


class Mistake(ValueError):
    """Something the operator asked for cannot be; one clear sentence."""


def nearest(name: str, names: Iterable[str]) -> str:
    """What a mistyped name may have meant, as the end of a sentence; empty when nothing is near."""
    found = get_close_matches(name, list(names), n=3, cutoff=0.6)
    return f"; did you mean {' or '.join(found)}?" if found else ""


def check_name(account: str) -> None:
    """Mistake for what can be no account's name."""
    if NAME.match(account) is None:
        raise Mistake(f"{account!r} is no account name: up to 63 letters, digits, '.', '_', '@' and '-', no slash")


def create_account(tx: Tx, account: str, now_ms: int) -> bool:
    """Whether it is new."""
    check_name(account)
    return (
        tx.run("INSERT INTO accounts (account, created_ms) VALUES (?, ?) ON CONFLICT (account) DO NOTHING", account, now_ms) == 1
    )


def check_account(tx: Tx, account: str, remedy: str = "") -> None:
    """Mistake, with the nearest names and perhaps a remedy, when there is no such account."""
    if tx.row("SELECT account FROM accounts WHERE account = ?", account) is None:
        names = [row[0] for row in tx.rows("SELECT account FROM accounts ORDER BY account")]
        raise Mistake(f"there is no account {account!r}{nearest(account, names)}{remedy}")


def add_credit(tx: Tx, account: str, amount_nano: int, ref: str, now_ms: int) -> None:
    """Top up an account that exists or is made now."""
    if amount_nano <= 0:
        raise Mistake("credit to add must be more than 0")
    create_account(tx, account, now_ms)
    lock_accounts(tx, [account])
    row = tx.row("SELECT topped_nano FROM accounts WHERE account = ?", account)
    assert row is not None
    if row[0] + amount_nano > TOPPED_NANO_MAX:
        raise Mistake(f"an account holds at most {dollars(TOPPED_NANO_MAX)} dollars")
    post(tx, top_up(account, amount_nano, ref), now_ms)


def take_credit(tx: Tx, account: str, amount_nano: int, ref: str, now_ms: int) -> None:
    """Correct a top-up: a new entry that takes from what is available, all or nothing."""
    available_nano = lock_accounts(tx, [account]).get(account)
    if available_nano is None:
        check_account(tx, account)
    assert available_nano is not None
    if not 0 < amount_nano <= available_nano:
        raise Mistake(f"{account} has {dollars(available_nano)} dollars available, so {dollars(amount_nano)} cannot be taken")
    post(tx, correct(account, available_nano, amount_nano, ref), now_ms)
