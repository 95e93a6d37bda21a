"""The collector of a simulated world, watched: an MemoryCollector that counts what no honest message can make it do twice.

Rule: what is wrong raises Violation at the step that made it wrong.
"""

from collections import Counter

from collector.ledger.ledger import AVAILABLE, LATE, OVERAGE, LeaseKey, LeaseRow, Posting
from tests.memory_collector import MemoryCollector
from usage.protocol import Ack, Batch
from usage.record import UsageRecord


class Violation(AssertionError):
    """An invariant does not hold."""


class WatchedCollector(MemoryCollector):
    """`seq_free` names (node, epoch) whose numbers may be given twice because a snapshot of the node's disk was restored."""

    def __init__(self) -> None:
        super().__init__()
        self.grant_ids: set[str] = set()
        self.sums: Counter[str] = Counter()
        self.seqs: dict[tuple[str, int, int], str] = {}
        self.seq_free: set[tuple[str, int]] = set()
        self.changed: set[str] = set()
        self.is_restored = False
        self.charged_nano = 0
        self.recorded_nano = 0

    def post(self, postings: tuple[Posting, ...]) -> None:
        super().post(postings)
        for posting in postings:
            self.changed.add(posting.account)
            self.sums[posting.kind] += posting.amount_nano
            if posting.kind == "grant":
                self._watch_grant(posting)
            elif posting.credit == "revenue":
                self.charged_nano += posting.amount_nano
                if posting.debit in (AVAILABLE, OVERAGE, LATE):
                    self.sums["beyond"] += posting.amount_nano

    def _watch_grant(self, posting: Posting) -> None:
        lease = posting.lease
        assert lease is not None
        if posting.ref in self.grant_ids:
            raise Violation(f"grant {posting.ref} was made twice")
        self.grant_ids.add(posting.ref)
        if self.newest[lease.node] != lease.epoch and lease.epoch:
            raise Violation(f"a grant to {lease}, whose epoch is not the newest")

    def ingest(self, batch: Batch) -> Ack:
        at = (batch.node, batch.epoch)
        known = self.epochs.get(at)
        before = known.acked_through if known else 0
        for record in batch.records:
            self._watch_seq(at, record)
        fresh = {record.gen_id: record.cost_nano for record in batch.records if record.gen_id not in self.records}
        ack = super().ingest(batch)
        self.recorded_nano += sum(cost_nano for gen_id, cost_nano in fresh.items() if gen_id in self.records)
        if ack.acked_through < before:
            raise Violation(f"the acknowledgement of {at} went back from {before} to {ack.acked_through}")
        return ack

    def _watch_seq(self, at: tuple[str, int], record: UsageRecord) -> None:
        other = self.seqs.setdefault((*at, record.seq), record.gen_id)
        # A restored collector asks again for what was acknowledged and deleted since, and is told that it is lost; what it means
        # may still come, late, out of the network.
        is_lost = self.is_restored and "lost-" in other + record.gen_id
        if other != record.gen_id and at not in self.seq_free and not is_lost:
            raise Violation(f"seq {record.seq} of {at} is {other} and {record.gen_id}")

    def check(self) -> None:
        """Balances of accounts that changed; called after each step."""
        for account in self.changed:
            row = self.tables.accounts[account]
            open_nano = sum(
                lease_row.open_nano for lease, lease_row in self.tables.leases.items() if lease.purse.partition("/")[0] == account
            )
            if row.available_nano < 0 or not 0 <= row.spent_nano <= row.topped_nano:
                raise Violation(f"{account} is overspent: {row}")
            if row.available_nano + open_nano != row.topped_nano - row.spent_nano:
                raise Violation(f"{account} does not add up: {row}, {open_nano} in leases")
        self.changed.clear()
        if self.recorded_nano != self.charged_nano:
            raise Violation(f"{self.charged_nano} charged for facts of {self.recorded_nano}")

    def lease_row(self, node: str, epoch: int, purse: str) -> LeaseRow | None:
        """What the collector knows of a lease."""
        return self.tables.leases.get(LeaseKey(node, epoch, purse))
