"""How much credit a node gets at once.

Rule: never more than is available, never less than one worst-case request (`min_nano`); otherwise what the node wants, at most
a share of what is available (SHARE_PERCENT, unless the operator sets another) divided by the nodes active for the account. So a
node that dies strands a share, not the balance; and an outage of the collector is bridged with a share.
Rule: a renewal for which no request waits (`min_nano` 1) counts what the node has of the purse already as its share.
Rule: where that share holds no two requests any more, grants shrink to single requests (`final`), so that the last cents
do not lie in leases where nobody spends them; for the same reason a share is whole requests.
Rule: while a purse is recalled (somebody was refused, and other nodes are asked to return what they do not need) a grant is what
the waiting requests want and no more, and a renewal for which none waits gets nothing.
"""

from collections.abc import Mapping

import msgspec

TTL_S = 900.0
SHARE_PERCENT = 50
ACTIVE_MS = 120_000
"""A node is active for an account when a lease of it was granted to or settled within this time: idle leases go back after it."""


def read_share(environ: Mapping[str, str]) -> int:
    """TOLLWAY_LEASE_SHARE, in percent; ValueError names it."""
    text = environ.get("TOLLWAY_LEASE_SHARE") or str(SHARE_PERCENT)
    if not (text.isascii() and text.isdigit() and len(text) <= 3) or not 1 <= int(text) <= 100:
        raise ValueError(f"TOLLWAY_LEASE_SHARE must be a whole number of percent from 1 to 100, not {text!r}")
    return int(text)


class GrantSize(msgspec.Struct, frozen=True):
    """`amount_nano` 0 means exhausted."""

    amount_nano: int
    low_water_nano: int = 0
    final: bool = False


class PurseState(msgspec.Struct, frozen=True):
    """What a purse could still give, to how many active nodes (the one that asks is one of them), whether it is recalled, and
    what the node that asks has of it already."""

    available_nano: int
    nodes_active: int
    is_recalled: bool = False
    leased_nano: int = 0


def size_grant(want_nano: int, min_nano: int, purse: PurseState, share_percent: int = SHARE_PERCENT) -> GrantSize:
    """The size of a grant. Wanting nothing, or an empty purse, gives 0."""
    available_nano, nodes_active, leased_nano = purse.available_nano, purse.nodes_active, purse.leased_nano
    assert min(want_nano, min_nano) >= 0
    assert nodes_active >= 1
    min_nano = max(min_nano, 1)
    if want_nano == 0 or available_nano < min_nano:
        return GrantSize(0)
    if purse.is_recalled:
        return GrantSize(min(max(want_nano, min_nano), available_nano), 0, True) if min_nano > 1 else GrantSize(0)
    share_nano = available_nano * share_percent // (100 * nodes_active)
    if min_nano == 1 and leased_nano:
        share_nano = (available_nano + leased_nano) * share_percent // (100 * nodes_active) - leased_nano
        if share_nano <= 0:
            return GrantSize(0)
    if share_nano < 2 * min_nano:
        return GrantSize(min_nano, 0, True)
    amount_nano = max(want_nano, min_nano)
    if amount_nano > share_nano:
        amount_nano = share_nano - share_nano % min_nano
    return GrantSize(amount_nano, amount_nano * 3 // 10)
