"""Worlds with one deliberate mistake each. A simulator that does not catch them proves nothing."""

from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from collector.ledger import LeaseKey, give_back
from edge.journal.scan import Scan
from edge.wallet import Wallet
from tests.offices import Epoch
from tests.sim.books import WatchedOffice
from tests.sim.disk import Crash
from tests.sim.edge import ROOT, Generation, MendedRecovery, Process, Tray
from tests.sim.world import World
from usage.protocol import Ack, Acquire, Acquired, Batch, Booted, Granted
from usage.record import UsageRecord

# The edge's mistakes.


class OldLeaseKept(Process):
    """The lease is kept on disk and spent on by the next process, after a crash."""

    def join(self, booted: Booted) -> None:
        super().join(booted)
        old, self.disk.left_behind = self.disk.left_behind, None
        if old is not None:
            self.wallets = old
            self.true_until_s = {purse: wallet.lease.admit_until_s for purse, wallet in old.items()}

    def die(self) -> None:
        super().die()
        if self.journal is not None:
            self.disk.left_behind = self.wallets


class GrantAppliedAgain(Wallet):
    """Any answer with a grant in it is believed, also one that came before."""

    def grant(self, granted: Granted, sent_s: float) -> bool:
        self.ask = None
        self.receive(granted, sent_s)
        return True


class GrantAskedAnew(Wallet):
    """A request whose answer was lost is repeated under a new id."""

    def next_ask(self, proposed_id: str, demand_nano: int, min_nano: int, now_s: float) -> Any:
        self.ask = None
        return super().next_ask(proposed_id, demand_nano, min_nano, now_s)


class ReturnedStillSpendable(Wallet):
    """Returned credit leaves the lease when the centre has answered, not before the message is sent."""

    def begin_return(self, return_id: str) -> int:
        amount_nano = self.lease.free_nano
        if amount_nano:
            self.returning[return_id] = amount_nano
        return amount_nano

    def end_return(self, return_id: str) -> None:
        amount_nano = self.returning.pop(return_id, 0)
        self.lease = self.lease.after_return(min(amount_nano, self.lease.free_nano))


class LifeFromReceipt(Wallet):
    """Admission life is counted from the moment the answer came."""

    clock: Callable[[], float]

    def receive(self, granted: Granted, sent_s: float) -> None:
        super().receive(granted, max(sent_s, self.clock()))


class HoldsForgotten(Wallet):
    """What is held counts as free."""

    def hold(self, amount_nano: int, now_s: float) -> bool:
        lease = self.lease
        if now_s >= lease.admit_until_s or amount_nano > lease.granted_nano - lease.settled_nano:
            return False
        self.lease = msgspec.structs.replace(lease, held_nano=lease.held_nano + amount_nano)
        return True

    def hold_up_to(self, min_nano: int, want_nano: int, now_s: float) -> int:
        lease = self.lease
        amount_nano = min(lease.granted_nano - lease.settled_nano, want_nano)
        return amount_nano if amount_nano >= min_nano and self.hold(amount_nano, now_s) else 0


class ShippedBeforeDurable(Process):
    """Records are shipped as soon as they are in the kernel, and a power cut takes them."""

    durability = "os"


class AckedWhenSent(Process):
    """What was sent counts as acknowledged."""

    def speak(self, lane: Any) -> Any:
        talk = super().speak(lane)
        if talk is not None and lane.outbox.epoch != self.epoch:
            lane.next_seq = lane.outbox.settled_seq + 1
            try:
                lane.outbox.inner.ack_now(lane.outbox.settled_seq)
            except (OSError, Crash) as problem:
                talk.close()
                if isinstance(problem, Crash):
                    raise
                return None
        return talk


class Anonymous(MendedRecovery):
    """Gives an orphan an id of its own, so that nobody can see that it was charged before."""

    def _missing_records(self, epoch: int, found: Scan) -> Iterator[UsageRecord]:
        for record in super()._missing_records(epoch, found):
            yield msgspec.structs.replace(record, gen_id=f"{record.gen_id}/orphan")


class OrphanChargedTwice(Process):
    """Recovery settles orphans under ids of its own."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.recovery = Anonymous(ROOT, self.node, disk=self.disk, pause=lambda: None)


class ChargedTwiceAtEdge(Process):
    """A record that is sent again is settled again."""

    def settle(self, generation: Generation, record: UsageRecord) -> None:
        super().settle(generation, record)
        assert self.journal is not None
        self.journal.settle(msgspec.structs.replace(record, gen_id=f"{record.gen_id}/again"))


class PricedInFloats(Process):
    """The cost is computed in dollars, as a float."""

    def settle(self, generation: Generation, record: UsageRecord) -> None:
        tokens, rates = record.tokens, record.rates
        dollars = rates.request * 1e-12 + tokens.prompt * (rates.input * 1e-12) + tokens.completion * (rates.output * 1e-12)
        generation.final_nano = int(dollars * 1e9)
        super().settle(generation, msgspec.structs.replace(record, cost_nano=int(dollars * 1e9)))


class ClosedTooEarly(Process):
    """An old epoch is closed before all of it was shipped."""

    def speak(self, lane: Any) -> Any:
        if lane.outbox.epoch != self.epoch and lane.waiting > 0:
            lane.outbox = Hasty(lane.outbox.inner)
            return self.leave(lane)
        return super().speak(lane)


class Hasty(Tray):
    @property
    def settled_seq(self) -> int:
        return self.inner.acked_through


# The centre's mistakes.


class CountedTwice(WatchedOffice):
    """A record that comes again is charged again."""

    def ingest(self, batch: Batch) -> Ack:
        for record in batch.records:
            known = self.records.get(record.gen_id)
            if known is not None:
                self._charge((batch.node, batch.epoch), self.epochs[batch.node, batch.epoch], *payer(record))
        return super().ingest(batch)


def payer(record: UsageRecord) -> tuple[str, str, int]:
    return record.account, record.purse, record.cost_nano


class LeaseSettledAgain(WatchedOffice):
    """A repeated record changes the lease again, though not the account."""

    def ingest(self, batch: Batch) -> Ack:
        for record in batch.records:
            lease = LeaseKey(batch.node, batch.epoch, record.purse)
            row = self.tables.leases.get(lease)
            if record.gen_id in self.records and row is not None:
                row.settled_nano += min(record.cost_nano, row.open_nano)
                self.changed.add(record.account)
        return super().ingest(batch)


class GrantedAgain(WatchedOffice):
    """A repeated request for the same grant is granted again."""

    def _grant(self, message: Acquire) -> Acquired:
        self.grants.pop(message.grant_id, None)
        return super()._grant(message)


class NeverFenced(WatchedOffice):
    """An old epoch may go on getting credit."""

    def _is_fenced(self, node: str, number: int) -> bool:
        return (node, number) not in self.epochs


class EpochNotInKey(WatchedOffice):
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


class BackAtExpiry(WatchedOffice):
    """A lease gives back by itself when its time is over."""

    def acquire(self, message: Acquire) -> Acquired:
        for lease, touched_ms in self.touched_ms.items():
            row = self.tables.leases[lease]
            if self.clock_ms - touched_ms > 900_000 and row.open_nano:
                self.post(give_back(lease.purse.partition("/")[0], lease, row.open_nano, row.open_nano))
        return super().acquire(message)


class AckedBeforeCommit(WatchedOffice):
    """The acknowledgement leaves before the records are written, and now and then the centre dies between the two."""

    died = 0

    def ingest(self, batch: Batch) -> Ack:
        self.died += 1
        if self.died % 10:
            return super().ingest(batch)
        epoch = self.epochs.setdefault((batch.node, batch.epoch), Epoch())
        self._advance(epoch, [record.seq for record in batch.records])
        return Ack(epoch.acked_through)


class GrantedBeyond(WatchedOffice):
    """What was granted is not debited until it is settled."""

    def _grant(self, message: Acquire) -> Acquired:
        acquired = super()._grant(message)
        granted = acquired.granted
        if granted is None or acquired.policy is None:
            return acquired
        return msgspec.structs.replace(acquired, granted=msgspec.structs.replace(granted, granted_nano=2 * granted.granted_nano))


def variant(
    name: str,
    *,
    process: type[Process] = Process,
    office: type[WatchedOffice] = WatchedOffice,
    wallet: type[Wallet] | None = None,
) -> type[World]:
    """A world with this mistake in it."""
    chosen = process if wallet is None else type(f"{name}Process", (process,), {"wallet_type": wallet})
    return type(name, (World,), {"process_type": chosen, "office_type": office})


class LateProcess(Process):
    wallet_type = LifeFromReceipt


class Late(World):
    """Wallets here look at the clock when an answer comes."""

    process_type = LateProcess

    def __init__(self, seed: int, *, trace: bool = False) -> None:
        LifeFromReceipt.clock = staticmethod(lambda: self.now_s)
        super().__init__(seed, trace=trace)


class Forward(World):
    """The bytes leave before the intent is written."""

    def dispatch(self, process: Process, generation: Generation) -> None:
        generation.is_dispatched = True
        self.home[process].generations[generation.gen_id] = generation
        super().dispatch(process, generation)


VARIANTS: dict[str, type[World]] = {
    "old lease spent after a crash": variant("OldLease", process=OldLeaseKept),
    "lease key without epoch": variant("NoEpoch", office=EpochNotInKey),
    "no deduplication": variant("Twice", office=CountedTwice),
    "lease settled again by a repeated record": variant("Again", office=LeaseSettledAgain),
    "give-back at expiry": variant("Expiry", office=BackAtExpiry),
    "shipped before durable": variant("Volatile", process=ShippedBeforeDurable),
    "acknowledged before durable": variant("Early", office=AckedBeforeCommit),
    "acknowledged when sent": variant("Sent", process=AckedWhenSent),
    "orphan charged twice": variant("Orphan", process=OrphanChargedTwice),
    "settled twice at the edge": variant("Double", process=ChargedTwiceAtEdge),
    "float money": variant("Float", process=PricedInFloats),
    "grant_id not idempotent at the centre": variant("Grants", office=GrantedAgain),
    "grant applied twice at the edge": variant("Applied", wallet=GrantAppliedAgain),
    "lost grant asked for under a new id": variant("Anew", wallet=GrantAskedAnew),
    "returned credit still spendable": variant("Returned", wallet=ReturnedStillSpendable),
    "admission life from receipt": Late,
    "holds not counted": variant("Holds", wallet=HoldsForgotten),
    "grants to an old epoch": variant("Unfenced", office=NeverFenced),
    "epoch closed before it was shipped": variant("Closed", process=ClosedTooEarly),
    "granted more than debited": variant("Beyond", office=GrantedBeyond),
    "dispatched before its intent": Forward,
}
