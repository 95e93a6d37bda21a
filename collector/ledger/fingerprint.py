"""What the records of an epoch were when they were taken in, as one number per epoch: a change behind the ledger's back is seen.

Rule: the number is the sum of a hash of each record's row, modulo MODULUS; so it does not depend on the order that records come
in, and what is dropped with age is subtracted. Limits: it tells that something was changed, added or lost, and in which epoch; it
is no seal against somebody who can compute it too. Epochs from before there were fingerprints have none and are not compared.
"""

from collections.abc import Iterable
from hashlib import blake2b
from struct import unpack

from collector.ledger.check import Check
from collector.store.contract import RECORD_COLUMNS, Row, Tx

MODULUS = 2**62
_COLUMNS = ", ".join(name for name, _ in RECORD_COLUMNS)
_NAMES = [name for name, _ in RECORD_COLUMNS]
_AT = slice(_NAMES.index("node"), _NAMES.index("epoch") + 1)


def fingerprint(rows: Iterable[Row]) -> int:
    """Of rows of RECORD_COLUMNS."""
    digests = [blake2b(repr(tuple(row)).encode(), digest_size=8).digest() for row in rows]
    numbers: tuple[int, ...] = unpack(f">{len(digests)}Q", b"".join(digests))
    return sum(numbers) % MODULUS


def add_fingerprint(tx: Tx, node: str, epoch: int, number: int) -> None:
    """Records came in, or (`number` of -fingerprint) were dropped."""
    tx.run(
        f"UPDATE epochs SET fingerprint = (fingerprint + ?) & {MODULUS - 1} WHERE node = ? AND epoch = ?",
        number % MODULUS,
        node,
        epoch,
    )


def by_epoch(tx: Tx, before: str = "") -> dict[tuple[str, int], int]:
    """The fingerprint of each epoch's records as they are now, or of those below the generation id `before`."""
    sql = f"SELECT {_COLUMNS} FROM records"
    found: dict[tuple[str, int], int] = {}
    for row in tx.each(sql + " WHERE gen_id < ?", before) if before else tx.each(sql):
        node, epoch = row[_AT]
        found[node, epoch] = (found.get((node, epoch), 0) + fingerprint((row,))) % MODULUS
    return found


def forget_records(tx: Tx, before: str) -> None:
    """The records below this generation id are about to be dropped."""
    for (node, epoch), number in sorted(by_epoch(tx, before).items()):
        add_fingerprint(tx, node, epoch, -number)


def check_fingerprints(tx: Tx) -> Check:
    """The audit's view."""
    now = by_epoch(tx)
    kept = tx.rows("SELECT node, epoch, fingerprint FROM epochs WHERE fingerprint IS NOT NULL ORDER BY node, epoch")
    faults = [
        f"node {node} epoch {epoch}: its records are not what was taken in: one was changed, added or removed afterwards"
        for node, epoch, number in kept
        if number != now.get((node, epoch), 0)
    ]
    return Check("records are what was taken in", f"{len(kept)} epochs", tuple(faults))
