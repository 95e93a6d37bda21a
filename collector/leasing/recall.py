"""Credit called back: what lies unspent in leases while somebody else is refused for want of it.

Rule: a refusal of a caller who waits recalls the purse that has too little; for a while its grants are single requests and every
node that has a lease of it is told so with its next poll, and returns what no request holds.
Rule: only leases of nodes that were heard of a moment ago count as reachable: what lies with a dead node does not come back by
itself, and its account is told the truth, that the credit is exhausted.
"""

from collector.accounts.keys import key_version
from collector.ledger.ledger import LeaseKey
from collector.store.contract import Tx
from usage.protocol import Poll, Polled

RECALL_MS = 10_000
"""How long a refusal calls back; each further refusal begins it anew."""
SEEN_MS = 5_000
"""How often a poll alone writes that its node lives."""
LIVING_MS = 20_000
CHANGED_MAX = 1_000


def recall(tx: Tx, scope: str, now_ms: int) -> None:
    """Call back the leases of an account, or of one purse of it. The caller has locked the account."""
    tx.run("DELETE FROM recalls WHERE until_ms < ?", now_ms - RECALL_MS)
    tx.run(
        "INSERT INTO recalls (scope, until_ms) VALUES (?, ?) ON CONFLICT (scope) DO UPDATE SET until_ms = excluded.until_ms",
        scope,
        now_ms + RECALL_MS,
    )


def is_recalled(tx: Tx, account: str, purse: str, now_ms: int) -> bool:
    """Whether somebody is waiting for credit of this purse."""
    return tx.row("SELECT scope FROM recalls WHERE scope IN (?, ?) AND until_ms > ?", account, purse, now_ms) is not None


def reachable_nano(tx: Tx, scope: str, asker: LeaseKey, now_ms: int) -> int:
    """What living nodes hold of an account or a purse, but for the asker's own lease, which it knows better."""
    row = tx.row(
        "SELECT CAST(COALESCE(SUM(l.granted_nano - l.settled_nano - l.returned_nano), 0) AS BIGINT) FROM leases l"
        " JOIN epochs e ON e.node = l.node AND e.epoch = l.epoch WHERE l.account = ? AND (l.account = ? OR l.purse = ?)"
        " AND l.state = 'open' AND e.state = 'open' AND e.seen_ms > ? AND NOT (l.node = ? AND l.epoch = ? AND l.purse = ?)",
        scope.partition("/")[0],
        scope,
        scope,
        now_ms - LIVING_MS,
        asker.node,
        asker.epoch,
        asker.purse,
    )
    assert row is not None
    nano: int = row[0]
    return nano


def poll(tx: Tx, message: Poll, now_ms: int) -> tuple[Polled, bool]:
    """What a node has to hear, and whether `touch_epoch` should write that it was heard of. Reads only."""
    row = tx.row(
        "SELECT n.newest_epoch, e.state, e.seen_ms FROM nodes n JOIN epochs e ON e.node = n.node"
        " WHERE n.node = ? AND e.epoch = ?",
        message.node,
        message.epoch,
    )
    is_newest = row is not None and row[0] == message.epoch and row[1] == "open"
    purses = tx.rows(
        "SELECT DISTINCT l.purse FROM leases l JOIN recalls r ON r.scope = l.account OR r.scope = l.purse"
        " WHERE l.node = ? AND l.epoch = ? AND l.state = 'open' AND r.until_ms > ? ORDER BY l.purse",
        message.node,
        message.epoch,
        now_ms,
    )
    changed = tx.rows(
        "SELECT digest, version FROM keys WHERE version > ? ORDER BY version LIMIT ?", message.key_version, CHANGED_MAX
    )
    version = changed[-1][1] if len(changed) == CHANGED_MAX else key_version(tx)
    polled = Polled(is_newest, tuple(row[0] for row in purses), tuple(row[0] for row in changed), version, now_ms)
    return polled, is_newest and row is not None and now_ms - row[2] >= SEEN_MS


def touch_epoch(tx: Tx, message: Poll, now_ms: int) -> None:
    """The node lives."""
    tx.run("UPDATE epochs SET seen_ms = ? WHERE node = ? AND epoch = ?", now_ms, message.node, message.epoch)
