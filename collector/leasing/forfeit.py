"""Forfeit: an operator says that the journals of a node's epochs are gone for good, and their credit goes back.

Rule: an epoch that was heard of within FORFEIT_MS is not taken for dead; whoever means it has to say so.
"""

import msgspec

from collector.accounts.accounts import Mistake
from collector.leasing.leasing import end_epoch, lock_node
from collector.ledger.bookkeeping import lock_accounts
from collector.store.contract import Tx, placeholders

FORFEIT_MS = 60_000


class Forfeited(msgspec.Struct, frozen=True):
    """What a forfeit did: the epochs that it ended, the nano-dollars that went back, the epochs that live and were left."""

    epochs: int
    returned_nano: int
    living: tuple[int, ...] = ()


def living_epochs(tx: Tx, node: str, now_ms: int) -> tuple[int, ...]:
    """Open epochs of a node that were heard of within FORFEIT_MS, oldest first."""
    rows = tx.rows("SELECT epoch, seen_ms FROM epochs WHERE node = ? AND state = 'open' ORDER BY epoch", node)
    return tuple(epoch for epoch, seen_ms in rows if now_ms - seen_ms < FORFEIT_MS)


def forfeit(tx: Tx, node: str, now_ms: int, *, with_living: bool = False) -> Forfeited:
    """An operator's word that the journals of a node's epochs are gone for good: they end, and their credit goes back.

    An epoch that was heard of within FORFEIT_MS lives, on a new disk perhaps: it is left alone unless `with_living`.
    """
    if tx.row("SELECT node FROM nodes WHERE node = ?", node) is None:
        raise Mistake(f"there is no node {node!r}; `tollway nodes list` shows them")
    lock_node(tx, node, now_ms)
    rows = tx.rows("SELECT epoch FROM epochs WHERE node = ? AND state = 'open' ORDER BY epoch", node)
    living = () if with_living else living_epochs(tx, node, now_ms)
    dead = [row[0] for row in rows if row[0] not in living]
    if living and not dead:
        raise Mistake(
            f"node {node!r} lives: its epoch {living[-1]} was heard of less than {FORFEIT_MS // 1000} s ago, and nothing else"
            " of it is open. Stop it first, or say --living to end what it is spending"
        )
    lock_accounts(tx, [row[0] for row in tx.rows("SELECT account FROM leases WHERE node = ? AND state = 'open'", node)])
    return Forfeited(len(dead), sum(end_epoch(tx, node, epoch, "forfeited", now_ms) for epoch in dead), living)


def nodes_of_machine(tx: Tx, node: str) -> list[str]:
    """A node and its workers, each of which is a node `<node>@…`: those that there are."""
    begin = f"{node}@"  # not by LIKE, to which fra-1 and FRA-1 are one in SQLite
    rows = tx.rows("SELECT node FROM nodes WHERE node = ? OR substr(node, 1, ?) = ? ORDER BY node", node, len(begin), begin)
    return [row[0] for row in rows]


def forfeit_machine(tx: Tx, node: str, now_ms: int, *, with_living: bool = False) -> Forfeited:
    """`forfeit` of a node and of its workers. Mistake: there is none of them, or all that is open lives."""
    names = nodes_of_machine(tx, node)
    if len(names) < 2:
        return forfeit(tx, names[0] if names else node, now_ms, with_living=with_living)
    for name in names:  # all before any account, as everybody else locks them
        lock_node(tx, name, now_ms)
    accounts = f"SELECT account FROM leases WHERE node IN ({placeholders(len(names))}) AND state = 'open'"
    lock_accounts(tx, [row[0] for row in tx.rows(accounts, *names)])
    living = {} if with_living else {name: living_epochs(tx, name, now_ms) for name in names}
    alive = tuple(epoch for name in names for epoch in living.get(name, ()))
    opened = {name: tx.rows("SELECT epoch FROM epochs WHERE node = ? AND state = 'open'", name) for name in names}
    ended = [
        forfeit(tx, name, now_ms, with_living=with_living) for name in names if len(opened[name]) > len(living.get(name, ()))
    ]
    if alive and not ended:
        raise Mistake(
            f"node {node!r} lives: its workers were heard of less than {FORFEIT_MS // 1000} s ago, and nothing else of them is"
            " open. Stop it first, or say --living to end what they are spending"
        )
    return Forfeited(sum(one.epochs for one in ended), sum(one.returned_nano for one in ended), alive)
