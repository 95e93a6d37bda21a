"""Which machine a node is: one at a time, known by its data folder.

Rule: a second machine of the same name is refused while the first is alive, because giving it an epoch would fence the first: a
setting that was copied must not stop what works. Limits: a copied disk is the same machine here, and fences.
"""

from collector.leasing.recall import LIVING_MS
from collector.store.contract import Tx
from usage.protocol import Refused


def refuse_double(tx: Tx, node: str, instance: str, now_ms: int) -> None:
    """Refused `node_in_use` while the node is alive as another machine. An edge that does not say which it is, is let through."""
    row = tx.row(
        "SELECT n.instance, e.seen_ms FROM nodes n JOIN epochs e ON e.node = n.node AND e.epoch = n.newest_epoch"
        " WHERE n.node = ? AND e.state = 'open'",
        node,
    )
    if row is None or not row[0] or not instance or row[0] == instance or now_ms - row[1] >= LIVING_MS:
        return
    raise Refused(
        "node_in_use",
        f"node {node} runs on another machine, heard of {max(now_ms - row[1], 0) // 1000} s ago. Give each machine a name of its"
        f" own (without TOLLWAY_NODE it names itself); when the other was silent for {LIVING_MS // 1000} s, this one takes over",
    )
