"""The state of an account under a short name, by which a page knows whether what it shows is still so."""

import hashlib

from collector.accounts.window import day_of
from collector.store.contract import Tx


def version_of(tx: Tx, account: str, now_ms: int) -> str:
    """The name of what a page of this account shows: another one whenever something happened there."""
    balance = tx.row("SELECT available_nano, topped_nano, spent_nano FROM accounts WHERE account = ?", account)
    requests = tx.row(
        "SELECT CAST(COALESCE(SUM(requests), 0) AS BIGINT) FROM usage_days WHERE account = ? AND day >= ?",
        account,
        day_of(now_ms) - 1,
    )
    keys = tx.row("SELECT COUNT(*), MAX(version) FROM keys WHERE account = ?", account)
    return hashlib.sha256(repr((balance, requests, keys)).encode()).hexdigest()[:16]
