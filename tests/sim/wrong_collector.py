"""Mistakes a collector could make, one at a time."""

from typing import Any

import msgspec

from collector.ledger.ledger import LeaseKey, give_back
from tests.memory_collector import Epoch
from tests.sim.invariants import WatchedCollector
from usage.lease import leased_part
from usage.protocol import Ack, Acquire, Acquired, Batch, Policy
from usage.record import UsageRecord


class CountedTwice(WatchedCollector):
    """A record that comes again is charged again."""

    def ingest(self, batch: Batch) -> Ack:
        for record in batch.records:
            known = self.records.get(record.gen_id)
            if known is not None:
                self._charge((batch.node, batch.epoch), self.epochs[batch.node, batch.epoch], *payer(record))
        return super().ingest(batch)


def payer(record: UsageRecord) -> tuple[str, str, int, int]:
    return record.account, record.purse, record.cost_nano, leased_part(record.hold_nano, record.cost_nano)


class OverageFromTheLease(WatchedCollector):
    """What a provider used beyond its hold is taken from the lease too, as far as that goes."""

    def _charge(self, at: tuple[str, int], epoch: Epoch, account: str, purse: str, cost_nano: int, leased_nano: int) -> None:
        super()._charge(at, epoch, account, purse, cost_nano, cost_nano)


class LeaseSettledAgain(WatchedCollector):
    """A repeated record changes the lease again, though not the account."""

    def ingest(self, batch: Batch) -> Ack:
        for record in batch.records:
            lease = LeaseKey(batch.node, batch.epoch, record.purse)
            row = self.tables.leases.get(lease)
            if record.gen_id in self.records and row is not None:
                row.settled_nano += min(record.cost_nano, row.open_nano)
                self.changed.add(record.account)
        return super().ingest(batch)


class RefusedOnly(WatchedCollector):
    """Who is refused is refused; nobody is asked to give back."""

    def _call_back(self, message: Acquire, policy: Policy, by: str, asker: LeaseKey) -> int:
        return 0


class GrantedAgain(WatchedCollector):
    """A repeated request for the same grant is granted again."""

    def _grant(self, message: Acquire) -> Acquired:
        self.grants.pop(message.grant_id, None)
        return super()._grant(message)


class NeverFenced(WatchedCollector):
    """An old epoch may go on getting credit."""

    def _is_fenced(self, node: str, number: int) -> bool:
        return (node, number) not in self.epochs


class EpochNotInKey(WatchedCollector):
    """Leases are kept per node and purse; all epochs share them."""

    def post(self, postings: Any) -> None:
        super().post(
            tuple(
                one if one.lease is None else msgspec.structs.replace(one, lease=LeaseKey(one.lease.node, 0, one.lease.purse))
                for one in postings
            )
        )

    def _open_nano(self, lease: LeaseKey) -> int:
        return super()._open_nano(LeaseKey(lease.node, 0, lease.purse))

    def _nodes_active(self, account: str, node: str) -> int:
        return 1

    def lease_row(self, node: str, epoch: int, purse: str) -> Any:
        return super().lease_row(node, 0, purse)


class BackAtExpiry(WatchedCollector):
    """A lease gives back by itself when its time is over."""

    def acquire(self, message: Acquire) -> Acquired:
        for lease, touched_ms in self.touched_ms.items():
            row = self.tables.leases[lease]
            if self.clock_ms - touched_ms > 900_000 and row.open_nano:
                self.post(give_back(lease.purse.partition("/")[0], lease, row.open_nano, row.open_nano))
        return super().acquire(message)


class AckedBeforeCommit(WatchedCollector):
    """The acknowledgement leaves before the records are written, and now and then the collector dies between the two."""

    died = 0

    def ingest(self, batch: Batch) -> Ack:
        self.died += 1
        if self.died % 10:
            return super().ingest(batch)
        epoch = self.epochs.setdefault((batch.node, batch.epoch), Epoch())
        self._advance(epoch, [record.seq for record in batch.records])
        return Ack(epoch.acked_through)


class GrantedBeyond(WatchedCollector):
    """What was granted is not debited until it is settled."""

    def _grant(self, message: Acquire) -> Acquired:
        acquired = super()._grant(message)
        granted = acquired.granted
        if granted is None or acquired.policy is None:
            return acquired
        return msgspec.structs.replace(acquired, granted=msgspec.structs.replace(granted, granted_nano=2 * granted.granted_nano))
