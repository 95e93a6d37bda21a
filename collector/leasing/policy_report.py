"""What every edge is told of a key, or of an account's keys, and what can still be spent with it, for people.

Rule: it is the policy that edges get with their leases, off the same functions; `tollway explain --as` decides by it.
"""

from typing import Any

import msgspec

from collector.accounts.keys import Key, account_limits
from collector.leasing.leasing import leased_nano, open_nano, purse_available, sum_of
from collector.store.contract import Tx
from usage.pricing import dollars
from usage.protocol import Policy


def policy_of_account(tx: Tx, account: str) -> dict[str, Any] | None:
    """As `policy_of_key`, for any key of an account that has no terms of its own; None: there is no such account."""
    row = tx.row("SELECT available_nano FROM accounts WHERE account = ?", account)
    if row is None:
        return None
    limits = account_limits(tx, account)
    policy = Policy("", "", account, account, models=limits.models, account_limits=None if limits.is_empty else limits)
    return _members(policy, row[0] + open_nano(tx, account), "credits")


def policy_of_key(tx: Tx, key: Key, now_ms: int) -> dict[str, Any]:
    """The policy's members, and `spendable` dollars: what is available and what edges hold; `bounded_by` as in `Acquired`."""
    account_nano = sum_of(tx, "SELECT available_nano FROM accounts WHERE account = ?", key.account)
    spendable_nano, by = purse_available(tx, key, account_nano, now_ms)
    return _members(key.policy(), spendable_nano + leased_nano(tx, key), by)


def _members(policy: Policy, spendable_nano: int, by: str) -> dict[str, Any]:
    members = msgspec.to_builtins(msgspec.structs.replace(policy, digest=""))
    return {**members, "spendable": dollars(spendable_nano), "bounded_by": by}
