"""Which numbers of an epoch's records have come: all through `acked_through`, and some above a gap.

Rule: `acked_through` is gap-free and never goes back; what came above a gap waits in the table `ahead`.
"""

from collector.store.contract import Tx

SEQ_MAX = 2**62


def advance(tx: Tx, node: str, epoch: int, acked: int, ahead: int, seqs: set[int]) -> tuple[int, int]:
    """(acked_through, how many wait above a gap) after `seqs` came in; what waits is remembered."""
    waiting = {seq for seq in seqs if seq > acked}
    kept: set[int] = set()
    if ahead and acked + 1 in waiting:
        kept = {row[0] for row in tx.rows("SELECT seq FROM ahead WHERE node = ? AND epoch = ?", node, epoch)}
        waiting |= kept
    if waiting and len(waiting) == max(waiting) - acked:
        acked, waiting = acked + len(waiting), set()  # the usual case: all of them, without a gap
    while acked + 1 in waiting:
        acked += 1
        waiting.discard(acked)
    if kept:
        tx.run("DELETE FROM ahead WHERE node = ? AND epoch = ? AND seq <= ?", node, epoch, acked)
    fresh = sorted(waiting - kept)
    if fresh:
        tx.run_many(
            "INSERT INTO ahead (node, epoch, seq) VALUES (?, ?, ?) ON CONFLICT DO NOTHING", [(node, epoch, seq) for seq in fresh]
        )
    if not (ahead or fresh):
        return acked, 0
    row = tx.row("SELECT COUNT(*) FROM ahead WHERE node = ? AND epoch = ?", node, epoch)
    assert row is not None
    return acked, row[0]
