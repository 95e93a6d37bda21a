"""Nodes and their tokens: which machine may speak the node protocol, and under which name.

Rule: a token belongs to one node, is shown once and stored as its digest; it opens the node protocol and nothing else.
"""

import hashlib
import secrets

import msgspec

from collector.accounts.accounts import NAME, Mistake, nearest
from collector.ingest.rejections import Rejections, rejections_by_node
from collector.ingest.sequence import advance
from collector.leasing.forfeit import FORFEIT_MS, nodes_of_machine
from collector.leasing.leasing import lock_node, sum_of
from collector.store.contract import Tx, placeholders
from usage.protocol import Refused

PREFIX = "nt_"
NONE = Rejections()
TOKEN_CHARS = len(PREFIX) + 43


class NodeRow(msgspec.Struct, frozen=True):
    """A node as `nodes list` shows it. `behind` counts facts that wait above a gap, `lost` those an operator gave up,
    `rejected` the records that were refused; `rejected_why` is the reason of the last one.

    `stranded_nano` of what is leased lies in epochs that nobody has heard of for a while: it comes back when their journal is
    found and shipped, or by `nodes forfeit`.
    """

    node: str
    newest_epoch: int
    open_epochs: int
    acked_through: int
    behind: int
    lost: int
    leased_nano: int
    stranded_nano: int
    seen_ms: int
    tokens: int
    rejected: int = 0
    rejected_why: str = ""
    group: str = ""
    is_revoked: bool = False


def digest_of(token: str) -> str:
    """What the store keeps of a token."""
    return hashlib.sha256(token.encode()).hexdigest()


def create_token(tx: Tx, node: str, now_ms: int) -> str:
    """A new token for a node; older ones stay valid until they are revoked, so that a node can be moved over. A node that was
    revoked is admitted again, with its workers."""
    if NAME.match(node) is None or "@" in node:
        raise Mistake(f"{node!r} is no node name: up to 63 letters, digits, '.', '_' and '-' (an @ names its workers)")
    token = issue_token(tx, node, now_ms)
    for name in nodes_of_machine(tx, node):
        tx.run("UPDATE nodes SET revoked_ms = NULL WHERE node = ?", name)
    return token


def issue_token(tx: Tx, node: str, now_ms: int) -> str:
    """A new token for a node, or for a worker that enrolled by its group."""
    lock_node(tx, node, now_ms)
    token = PREFIX + secrets.token_urlsafe(32)
    tx.run(
        "INSERT INTO node_tokens (digest, node, label, created_ms) VALUES (?, ?, ?, ?)",
        digest_of(token),
        node,
        f"{token[:7]}...",
        now_ms,
    )
    tx.run("UPDATE nodes SET revoked_ms = NULL WHERE node = ?", node)
    return token


def revoke_tokens(tx: Tx, node: str, now_ms: int) -> int:
    """Revoke all tokens of a node and its workers, which their group does not admit again; how many were valid."""
    check_machine(tx, node)
    lock_node(tx, node, now_ms)  # a machine whose workers alone are known is known by its name from now on
    names = nodes_of_machine(tx, node)
    theirs = f"node IN ({placeholders(len(names))})"
    tx.run(f"UPDATE nodes SET revoked_ms = ? WHERE {theirs}", now_ms, *names)
    return tx.run(f"UPDATE node_tokens SET revoked_ms = ? WHERE {theirs} AND revoked_ms IS NULL", now_ms, *names)


def revoke_older_tokens(tx: Tx, node: str, now_ms: int) -> int:
    """Revoke what a node's newest token has replaced: the node goes on with that one. How many were valid. A worker has one at
    most, because each that it enrols for ends the one before."""
    check_machine(tx, node)
    lock_node(tx, node, now_ms)
    valid = tx.rows("SELECT digest FROM node_tokens WHERE node = ? AND revoked_ms IS NULL ORDER BY created_ms DESC", node)
    for (digest,) in valid[1:]:
        tx.run("UPDATE node_tokens SET revoked_ms = ? WHERE digest = ?", now_ms, digest)
    return max(len(valid) - 1, 0)


def check_machine(tx: Tx, node: str) -> None:
    """Mistake, with the nearest names, when there is neither such a node nor a worker of one."""
    if not nodes_of_machine(tx, node):
        check_known(tx, node)


def check_known(tx: Tx, node: str) -> None:
    """Mistake, with the nearest names, when there is no such node."""
    if tx.row("SELECT node FROM nodes WHERE node = ?", node) is None:
        names = [row[0] for row in tx.rows("SELECT node FROM nodes ORDER BY node")]
        raise Mistake(f"there is no node {node!r}{nearest(node, names)}; `tollway nodes list` shows all")


def node_of_token(tx: Tx, token: str) -> str:
    """The node that a token belongs to; empty for none. Refused `revoked`: it was that node's."""
    row = tx.row(
        "SELECT t.node, t.revoked_ms, n.revoked_ms FROM node_tokens t LEFT JOIN nodes n ON n.node = t.node WHERE t.digest = ?",
        digest_of(token),
    )
    if row is None:
        return ""
    node, revoked_ms, node_revoked_ms = row
    if revoked_ms is None:
        return str(node)
    machine = node.partition("@")[0]
    why = (
        f"node {machine} was revoked; `tollway nodes create {machine}` admits it again"
        if node_revoked_ms is not None
        else f"this token of node {node} was revoked, and another one is given out"
    )
    raise Refused("revoked", why)


def stranded(tx: Tx, now_ms: int, node: str = "") -> int:
    """Nano-dollars in open leases of epochs that have not been heard of for FORFEIT_MS, of one node or of all."""
    sql = (
        "SELECT CAST(COALESCE(SUM(l.granted_nano - l.settled_nano - l.returned_nano), 0) AS BIGINT) FROM leases l"
        " JOIN epochs e ON e.node = l.node AND e.epoch = l.epoch WHERE l.state = 'open' AND e.seen_ms <= ?"
    )
    return sum_of(tx, sql + " AND l.node = ?", now_ms - FORFEIT_MS, node) if node else sum_of(tx, sql, now_ms - FORFEIT_MS)


def list_nodes(tx: Tx, now_ms: int) -> list[NodeRow]:
    """Every node, with the sums of its epochs and leases."""
    found = []
    rejections = rejections_by_node(tx)
    for node, newest, group, revoked_ms in tx.rows("SELECT node, newest_epoch, node_group, revoked_ms FROM nodes ORDER BY node"):
        epochs = tx.rows("SELECT epoch, state, acked_through, ahead, lost, seen_ms FROM epochs WHERE node = ?", node)
        leased = tx.row(
            "SELECT CAST(COALESCE(SUM(granted_nano - settled_nano - returned_nano), 0) AS BIGINT) FROM leases WHERE node = ?"
            " AND state = 'open'",
            node,
        )
        stranded_nano = stranded(tx, now_ms, node)
        tokens = tx.row("SELECT COUNT(*) FROM node_tokens WHERE node = ? AND revoked_ms IS NULL", node)
        assert leased is not None
        assert tokens is not None
        found.append(
            NodeRow(
                node,
                newest,
                sum(row[1] == "open" for row in epochs),
                sum(row[2] for row in epochs if row[0] == newest),
                sum(row[3] for row in epochs),
                sum(row[4] for row in epochs),
                leased[0],
                stranded_nano,
                max((row[5] for row in epochs), default=0),
                tokens[0],
                rejections.get(node, NONE).count,
                rejections.get(node, NONE).last_reason,
                group,
                revoked_ms is not None,
            )
        )
    return found


def missing(tx: Tx, node: str) -> int:
    """How many facts are missing below those that a node has sent. Mistake: there is no such node."""
    check_known(tx, node)
    return sum_of(
        tx,
        "SELECT CAST(COALESCE(SUM(top - acked - ahead), 0) AS BIGINT) FROM (SELECT MAX(a.seq) AS top, e.acked_through AS acked,"
        " e.ahead AS ahead FROM epochs e JOIN ahead a ON a.node = e.node AND a.epoch = e.epoch WHERE e.node = ?"
        " GROUP BY e.epoch, e.acked_through, e.ahead) gaps",
        node,
    )


def accept_gaps(tx: Tx, node: str, now_ms: int) -> int:
    """Give up the facts that a node will never send again (they were acknowledged by a future that a restore took away).

    Each gap counts as acknowledged from now on, and as lost in the books of its epoch; how many facts were given up.
    """
    check_known(tx, node)
    lock_node(tx, node, now_ms)
    lost_total = 0
    for epoch, acked, ahead in tx.rows("SELECT epoch, acked_through, ahead FROM epochs WHERE node = ? AND ahead > 0", node):
        lost = 0
        while ahead:
            row = tx.row("SELECT MIN(seq) FROM ahead WHERE node = ? AND epoch = ?", node, epoch)
            assert row is not None
            lost += row[0] - acked - 1
            acked, ahead = advance(tx, node, epoch, row[0] - 1, ahead, {row[0]})
        tx.run(
            "UPDATE epochs SET acked_through = ?, ahead = 0, lost = lost + ? WHERE node = ? AND epoch = ?",
            acked,
            lost,
            node,
            epoch,
        )
        lost_total += lost
    return lost_total
