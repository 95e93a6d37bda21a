"""Money in: top-ups with a reference, each once; and what was paid so far.

Rule: a reference names one payment for good, whoever sends it and however often; with other terms it is refused. So a webhook
that comes twice, or an operator who tries again, tops up once. Rule: the ledger's postings are the history; this adds who
vouched.
"""

import msgspec

from collector.accounts.accounts import Mistake, add_credit, take_credit
from collector.store.contract import Tx
from usage.pricing import dollars

REF_CHARS_MAX = 200


class Payment(msgspec.Struct, frozen=True):
    """One entry of the history: a top-up, or a correction, which is negative."""

    posting_id: int
    at_ms: int
    kind: str
    amount_nano: int
    ref: str


def pay(tx: Tx, account: str, amount_nano: int, ref: str, source: str, now_ms: int) -> bool:
    """Top an account up; whether this was new. `ref` has 1 to REF_CHARS_MAX characters."""
    if amount_nano <= 0:
        raise Mistake("credit to add must be more than 0")
    if not _is_new(tx, account, amount_nano, ref, source, now_ms):
        return False
    add_credit(tx, account, amount_nano, ref, now_ms)
    return True


def correct(tx: Tx, account: str, amount_nano: int, ref: str, source: str, now_ms: int) -> bool:
    """Take from what an account has available; whether this was new. Its `ref` is none of a payment."""
    if not _is_new(tx, account, -amount_nano, ref, source, now_ms):
        return False
    take_credit(tx, account, amount_nano, ref, now_ms)
    return True


def _is_new(tx: Tx, account: str, amount_nano: int, ref: str, source: str, now_ms: int) -> bool:
    """Whether this reference is used for the first time, now. Mistake: it was used for something else."""
    if not 0 < len(ref) <= REF_CHARS_MAX or not ref.isprintable():
        raise Mistake(f"ref must have 1 to {REF_CHARS_MAX} printable characters")
    is_new = tx.run(
        "INSERT INTO payments (ref, account, amount_nano, source, at_ms) VALUES (?, ?, ?, ?, ?) ON CONFLICT (ref) DO NOTHING",
        *(ref, account, amount_nano, source, now_ms),
    )
    if is_new:
        return True
    row = tx.row("SELECT account, amount_nano FROM payments WHERE ref = ?", ref)
    assert row is not None
    if (row[0], row[1]) != (account, amount_nano):
        raise Mistake(f"ref {ref!r} was used already, for {dollars(row[1])} dollars of another payment")
    return False


def list_payments(tx: Tx, account: str, before: int = 2**62, count: int = 1_000) -> list[Payment]:
    """An account's top-ups and corrections, newest first; those before a posting's number."""
    return [
        Payment(posting_id, at_ms, kind, amount_nano if kind == "top_up" else -amount_nano, ref)
        for posting_id, at_ms, kind, amount_nano, ref in tx.rows(
            "SELECT posting_id, at_ms, kind, amount_nano, ref FROM postings WHERE account = ? AND posting_id < ?"
            " AND kind IN ('top_up', 'correction') ORDER BY posting_id DESC LIMIT ?",
            account,
            before,
            count,
        )
    ]
