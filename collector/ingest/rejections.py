"""Records that the collector refused: how many, of which node, and why, for those who look after it.

Rule: such a record was charged to nobody, and the edge has taken back what it had paid for it; it stays in the store (and in the
edge's `dead.log`) until a person has looked at it. Limits: a reason may quote what an edge sent, so it is cut where it is shown.
"""

from typing import Final

import msgspec

from collector.ingest.sequence import SEQ_MAX
from collector.ledger.check import Check
from collector.store.contract import Tx
from usage.protocol import Batch, Rejected

REASON_CHARS_MAX: Final = 160
KINDS: Final = (
    ("there is no key", "unknown_key"),
    ("key ", "other_owner"),
    ("purse ", "other_owner"),
    ("cost_nano is negative", "amount"),
    ("cost_nano", "cost"),
    ("hold_nano", "amount"),
    ("upstream_cost_pico", "amount"),
    ("tokens.", "count"),
    ("rates.", "rate"),
    ("gen_id", "id"),
    ("seq ", "seq"),
    ("started_ms", "time"),
    ("the record is of", "other_node"),
    ("not a usage record", "unreadable"),
)
"""How a reason begins → a word for it, of which there are few enough for a label."""


class Rejections(msgspec.Struct, frozen=True):
    """Of one node: how many, and why the last one was refused."""

    count: int = 0
    last_reason: str = ""


def kind_of(reason: str) -> str:
    """A word for a reason."""
    return next((word for start, word in KINDS if reason.startswith(start)), "other")


def rejections_by_node(tx: Tx) -> dict[str, Rejections]:
    """Every node with a refused record."""
    found = {}
    for node, count, last_ms in tx.rows("SELECT node, COUNT(*), MAX(at_ms) FROM rejections GROUP BY node ORDER BY node"):
        row = tx.row("SELECT reason FROM rejections WHERE node = ? AND at_ms = ? ORDER BY epoch, seq LIMIT 1", node, last_ms)
        assert row is not None
        found[node] = Rejections(count, row[0][:REASON_CHARS_MAX])
    return found


def check_rejections(tx: Tx) -> Check:
    """No invariant: what was used and is charged to nobody, with the reasons."""
    rows = rejections_by_node(tx)
    total = sum(each.count for each in rows.values())
    of_nodes = "; ".join(f"node {node} {each.count}, the last because {each.last_reason}" for node, each in rows.items())
    return Check("records that were rejected and charged to nobody", f"{total}: {of_nodes}" if total else "none")


def keep_rejected(tx: Tx, batch: Batch, rejected: tuple[Rejected, ...], now_ms: int) -> None:
    """Refused records are kept for people, as text that any database takes."""
    if not rejected:
        return
    payloads = {(record.seq, record.gen_id): record for record in batch.records}
    rows = []
    for fault in rejected:
        record = payloads.get((fault.seq, fault.gen_id))
        payload = msgspec.json.encode(record).decode() if record is not None else ""
        seq = min(max(fault.seq, -1), SEQ_MAX)
        rows.append((batch.node, batch.epoch, seq, _plain(fault.gen_id), _plain(fault.reason), _plain(payload), now_ms))
    tx.run_many(
        "INSERT INTO rejections (node, epoch, seq, gen_id, reason, payload, at_ms) VALUES (?, ?, ?, ?, ?, ?, ?)"
        " ON CONFLICT DO NOTHING",
        rows,
    )


def _plain(text: str) -> str:
    return text.replace("\0", "\ufffd")[:16_000]
