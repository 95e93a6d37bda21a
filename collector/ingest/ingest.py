"""One batch of usage facts into the store: screened, charged once, acknowledged.

Rule: `gen_id` is the identity of a fact: it counts once, however often, by whatever batch or epoch it comes. Facts are never
fenced. Rule: `acked_through` is gap-free and never goes back; what came above a gap is kept, and charged, but not acknowledged.
Rule: whatever is acknowledged was committed in the same transaction. A rejected record counts as acknowledged.
Strategy: one posting per purse and term in a batch, one row touched per account, lease and (key, model, provider,
quarter or day).
"""

from collections.abc import Iterable, Mapping
from operator import attrgetter

import msgspec

from collector.accounts.keys import KEY_COLUMNS, Key, find_key, key_from
from collector.ingest.rejections import keep_rejected
from collector.ingest.retention import records_from_ms
from collector.ingest.rollups import roll_up
from collector.ingest.screening import Screen
from collector.ingest.sequence import SEQ_MAX, advance
from collector.leasing.grant import SHARE_PERCENT
from collector.leasing.leasing import grant_credit, is_fenced, lock_node, purse_available
from collector.ledger.bookkeeping import lock_accounts, open_lease, post
from collector.ledger.fingerprint import add_fingerprint, fingerprint
from collector.ledger.ledger import AVAILABLE, LeaseKey, Posting, charge_late, settle
from collector.sinks.outbox import enqueue, skip
from collector.store.contract import RECORD_COLUMNS, Row, Tx, placeholders
from usage.lease import leased_part
from usage.protocol import RECORDS_MAX, Ack, Acquire, Balance, Batch, Granted, Refused, Rejected
from usage.record import RECORD_BYTES_MAX, UsageRecord, fitted

REVOKED_MAX = 1_000
CLOCK_SLACK_MS = 86_400_000
NO_SINKS: Mapping[str, bool] = {}
AHEAD_MS_MAX = 366 * 86_400_000

_encode = msgspec.json.Encoder().encode
_account_of, _key_id_of, _seq_of = map(attrgetter, ("account", "key_id", "seq"))
_columns_of = attrgetter(*(name for name, _ in RECORD_COLUMNS if name != "payload"))


class _Epoch(msgspec.Struct):
    """The row of an epoch, as far as a batch needs it."""

    state: str
    acked_through: int
    ahead: int
    key_cursor: int
    key_sent: int
    key_sent_at: int
    complete_ms: int


def ingest(
    tx: Tx,
    batch: Batch,
    unreadable: tuple[Rejected, ...],
    now_ms: int,
    share_percent: int = SHARE_PERCENT,
    sinks: Mapping[str, bool] = NO_SINKS,
) -> Ack:
    """Take a batch; Refused `too_large` or `invalid` for a batch that is none. `sinks`: who is told of new facts, and whether its
    outbox is full."""
    if len(batch.records) > RECORDS_MAX:
        raise Refused("too_large", f"a batch has at most {RECORDS_MAX} records, this one has {len(batch.records)}")
    newest = lock_node(tx, batch.node, now_ms)
    epoch = _load_epoch(tx, batch, now_ms)
    keys = _load_keys(tx, batch.records)
    accepted, rejected = _screen(batch, {key_id: key.account for key_id, key in keys.items()}, records_from_ms(tx), now_ms)
    rejected += unreadable
    renewals = () if is_fenced(tx, batch.node, batch.epoch, newest) else _own_renewals(batch)
    # All at once: one account after another, in the order that the renewals came in, is how two nodes wait for each other.
    available = lock_accounts(tx, {*map(_account_of, accepted), *accounts_of(tx, renewals)})
    fresh, number = _insert(tx, accepted)
    _charge(tx, batch, fresh, epoch.state, available, now_ms)
    roll_up(tx, fresh)
    if sinks and fresh:
        _enqueue_events(tx, sinks, fresh, now_ms)
    keep_rejected(tx, batch, rejected, now_ms)
    before = epoch.acked_through
    seqs = set(map(_seq_of, accepted)) | {fault.seq for fault in rejected if 0 < fault.seq < SEQ_MAX}
    epoch.acked_through, epoch.ahead = advance(tx, batch.node, batch.epoch, before, epoch.ahead, seqs)
    leases = _renew(tx, renewals, now_ms, share_percent)
    revoked = _revocations(tx, batch, epoch, before)
    if not epoch.ahead:
        epoch.complete_ms = max(epoch.complete_ms, min(batch.complete_ms, now_ms))
    tx.run(
        "UPDATE epochs SET acked_through = ?, ahead = ?, key_cursor = ?, key_sent = ?, key_sent_at = ?, seen_ms = ?,"
        " complete_ms = ? WHERE node = ? AND epoch = ?",
        *(epoch.acked_through, epoch.ahead, epoch.key_cursor, epoch.key_sent, epoch.key_sent_at, now_ms, epoch.complete_ms),
        *(batch.node, batch.epoch),
    )
    if number:
        add_fingerprint(tx, batch.node, batch.epoch, number)
    return Ack(epoch.acked_through, rejected, leases, _balances(tx, accepted, keys, available, now_ms), revoked)


def _load_epoch(tx: Tx, batch: Batch, now_ms: int) -> _Epoch:
    """The epoch's row. One that this store never issued is made: after a restore the facts of the lost future still count."""
    row = tx.row(
        "SELECT state, acked_through, ahead, key_cursor, key_sent, key_sent_at, complete_ms FROM epochs"
        " WHERE node = ? AND epoch = ?",
        batch.node,
        batch.epoch,
    )
    if row is not None:
        return _Epoch(*row)
    if not 0 < batch.epoch <= (now_ms + CLOCK_SLACK_MS) // 1000:
        raise Refused("invalid", f"epoch {batch.epoch} was never issued")
    tx.run("INSERT INTO epochs (node, epoch, seen_ms, fingerprint) VALUES (?, ?, ?, 0)", batch.node, batch.epoch, now_ms)
    return _Epoch("open", 0, 0, 0, 0, 0, 0)


def _load_keys(tx: Tx, records: Iterable[UsageRecord]) -> dict[str, Key]:
    ids = sorted(key_id for key_id in set(map(_key_id_of, records)) if "\0" not in key_id)
    keys: dict[str, Key] = {}
    for start in range(0, len(ids), 500):
        part = ids[start : start + 500]
        for row in tx.rows(f"SELECT {KEY_COLUMNS} FROM keys WHERE key_id IN ({placeholders(len(part))})", *part):
            key = key_from(row)
            keys[key.key_id] = key
    return keys


def _screen(batch: Batch, owners: dict[str, str], from_ms: int, now_ms: int) -> tuple[list[UsageRecord], tuple[Rejected, ...]]:
    faults = Screen(batch.node, batch.epoch, owners, from_ms, now_ms + AHEAD_MS_MAX).faults_of(batch.records)
    if not faults:
        return list(batch.records), ()
    accepted = [record for at, record in enumerate(batch.records) if at not in faults]
    return accepted, tuple(Rejected(batch.records[at].seq, batch.records[at].gen_id, fault) for at, fault in faults.items())


def _insert(tx: Tx, accepted: list[UsageRecord]) -> tuple[list[UsageRecord], int]:
    """Those records that were not here before, the first of two that share a generation id; and their fingerprint."""
    if not accepted:
        return [], 0
    by_id: dict[str, UsageRecord] = {}
    for record in accepted:
        by_id.setdefault(record.gen_id, record)
    rows: list[Row] = [(*_columns_of(r), _payload(r)) for _, r in sorted(by_id.items())]
    new = tx.insert_records(rows)
    number = fingerprint(row for row in rows if row[0] in new)
    if len(new) == len(accepted):
        return accepted, number
    _record_repeats(tx, [record for record in accepted if record.gen_id not in new or by_id[record.gen_id] is not record])
    return [record for record in by_id.values() if record.gen_id in new], number


def _payload(record: UsageRecord) -> str:
    """The record as it is kept: one with a text beyond all measure, of an older edge, loses the text and not its charge."""
    payload = _encode(record)
    return (payload if len(payload) <= RECORD_BYTES_MAX else _encode(fitted(record))).decode()


def _enqueue_events(tx: Tx, sinks: Mapping[str, bool], fresh: list[UsageRecord], now_ms: int) -> None:
    """Write new facts into the outbox of each sink, or count them where it is full: money does not wait for those who listen."""
    enqueue(tx, [sink for sink, is_full in sinks.items() if not is_full], [_payload(record) for record in fresh], now_ms)
    for sink, is_full in sinks.items():
        if is_full:
            skip(tx, sink, len(fresh))


def _record_repeats(tx: Tx, known: list[UsageRecord]) -> None:
    """A generation that came again under another number leaves a note, so that the numbers stay provably gap-free."""
    ids = sorted({record.gen_id for record in known})
    home: dict[str, Row] = {}
    for start in range(0, len(ids), 500):
        part = ids[start : start + 500]
        for gen_id, *at in tx.rows(
            f"SELECT gen_id, node, epoch, seq FROM records WHERE gen_id IN ({placeholders(len(part))})", *part
        ):
            home[gen_id] = tuple(at)
    moved = [(r.node, r.epoch, r.seq, r.gen_id) for r in known if home[r.gen_id] != (r.node, r.epoch, r.seq)]
    if moved:
        tx.run_many("INSERT INTO repeats (node, epoch, seq, gen_id) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING", moved)


def _charge(tx: Tx, batch: Batch, fresh: list[UsageRecord], state: str, available: dict[str, int], now_ms: int) -> None:
    """Post what the new records cost, per purse; `available` is brought up to date."""
    costs: dict[tuple[str, str], tuple[int, int]] = {}
    for record in fresh:
        payer = (record.account, record.purse)
        cost_nano, leased_nano = costs.get(payer, (0, 0))
        costs[payer] = cost_nano + record.cost_nano, leased_nano + leased_part(record.hold_nano, record.cost_nano)
    entries: list[Posting] = []
    for (account, purse), (cost_nano, leased_nano) in sorted(costs.items()):
        lease = LeaseKey(batch.node, batch.epoch, purse)
        left_nano, lease_state = open_lease(tx, lease)
        if state == "open" and lease_state != "forfeited":
            made = settle(account, lease, left_nano, available[account], cost_nano, leased_nano)
        else:
            made = charge_late(account, lease, available[account], cost_nano)
        available[account] -= sum(entry.amount_nano for entry in made if entry.debit == AVAILABLE)
        entries += made
    post(tx, entries, now_ms)


def _own_renewals(batch: Batch) -> tuple[Acquire, ...]:
    """A batch asks for its own process alone."""
    return tuple(message for message in batch.renew if (message.node, message.epoch) == (batch.node, batch.epoch))


def accounts_of(tx: Tx, renewals: Iterable[Acquire]) -> set[str]:
    """The accounts that renewals are paid from."""
    found = (find_key(tx, message.digest) for message in renewals)
    return {key.account for key in found if key is not None}


def _renew(tx: Tx, renewals: Iterable[Acquire], now_ms: int, share_percent: int) -> tuple[Granted, ...]:
    """Grants for the renewals that came along; one that cannot be served is left out, the facts are taken all the same."""
    leases = []
    for message in renewals:
        try:
            granted = grant_credit(tx, message, now_ms, share_percent).granted
        except Refused:
            continue
        if granted is not None:
            leases.append(granted)
    return tuple(leases)


def _balances(
    tx: Tx, accepted: list[UsageRecord], keys: dict[str, Key], available: dict[str, int], now_ms: int
) -> tuple[Balance, ...]:
    """What the purses of this batch could still give."""
    purses = {record.purse: record for record in accepted}
    current = lock_accounts(tx, available)
    balances = []
    for purse, record in sorted(purses.items()):
        key = keys[record.key_id]
        account_nano = current[record.account]
        left_nano = account_nano if purse == record.account else purse_available(tx, key, account_nano, now_ms)[0]
        balances.append(Balance(purse, left_nano))
    return tuple(balances)


def _revocations(tx: Tx, batch: Batch, epoch: _Epoch, acked_before: int) -> tuple[str, ...]:
    """Digests of keys changed since this process last heard, repeated until it proves that it did.

    The proof: its next batch begins above what that acknowledgement acknowledged. An acknowledgement that acknowledges
    nothing new proves nothing, so its news are sent again.
    """
    if epoch.key_sent > epoch.key_cursor and batch.records and batch.records[0].seq > epoch.key_sent_at:
        epoch.key_cursor = epoch.key_sent
    rows = tx.rows("SELECT digest, version FROM keys WHERE version > ? ORDER BY version LIMIT ?", epoch.key_cursor, REVOKED_MAX)
    if rows and epoch.acked_through > acked_before:
        epoch.key_sent, epoch.key_sent_at = rows[-1][1], epoch.acked_through
    return tuple(row[0] for row in rows)
