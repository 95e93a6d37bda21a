"""Mistakes an edge could make, one at a time."""

from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from edge.credit.wallet import Wallet
from edge.journal.recovery.recovery import Recovery
from edge.journal.recovery.scan import Scan
from tests.sim.disk import Crash
from tests.sim.edge import ROOT, Generation, Process, Tray
from usage.protocol import Booted, Granted, Polled
from usage.record import UsageRecord


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
    """Returned credit leaves the lease when the collector has answered, not before the message is sent."""

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


class OverageSwallowed(Wallet):
    """What a provider used beyond its hold is taken from the lease, so the next grants are spent on it once more."""

    def settle(self, hold_nano: int, cost_nano: int, now_s: float) -> None:
        super().settle(hold_nano, cost_nano, now_s)
        over_nano = max(cost_nano - hold_nano, 0)
        self.lease = msgspec.structs.replace(self.lease, settled_nano=self.lease.settled_nano + over_nano)


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


class NotSupervised(Process):
    """A task that died is not started again."""

    def speak(self, cursor: Any) -> Any:
        return None if self.deaths else super().speak(cursor)


class DeafToRecalls(Process):
    """What the collector calls back is kept until it has been idle for long."""

    def on_polled(self, polled: Polled, sent_s: float) -> list[str]:
        super().on_polled(polled, sent_s)
        return []


class LifeFromPoll(Process):
    """Admission life is counted from the moment the answer to a poll came."""

    def on_polled(self, polled: Polled, sent_s: float) -> list[str]:
        found = super().on_polled(polled, sent_s)
        for wallet in self.wallets.values() if polled.is_newest else ():
            wallet.confirm(self.clock())
        return found


class AckedWhenSent(Process):
    """What was sent counts as acknowledged."""

    def speak(self, cursor: Any) -> Any:
        talk = super().speak(cursor)
        if talk is not None and cursor.outbox.epoch != self.epoch:
            cursor.next_seq = cursor.outbox.settled_seq + 1
            try:
                cursor.outbox.inner.ack_now(cursor.outbox.settled_seq)
            except (OSError, Crash) as problem:
                talk.close()
                if isinstance(problem, Crash):
                    raise
                return None
        return talk


class Anonymous(Recovery):
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
        again = msgspec.structs.replace(record, gen_id=f"{record.gen_id}/again", seq=self.journal.next_seq())
        self.journal.settle(again)


class PricedInFloats(Process):
    """The cost is computed in dollars, as a float."""

    def settle(self, generation: Generation, record: UsageRecord) -> None:
        tokens, rates = record.tokens, record.rates
        dollars = rates.request * 1e-12 + tokens.prompt * (rates.input * 1e-12) + tokens.completion * (rates.output * 1e-12)
        generation.final_nano = int(dollars * 1e9)
        super().settle(generation, msgspec.structs.replace(record, cost_nano=int(dollars * 1e9)))


class ClosedTooEarly(Process):
    """An old epoch is closed before all of it was shipped."""

    def speak(self, cursor: Any) -> Any:
        if cursor.outbox.epoch != self.epoch and cursor.waiting > 0:
            cursor.outbox = Hasty(cursor.outbox.inner)
            return self.leave(cursor)
        return super().speak(cursor)


class Hasty(Tray):
    @property
    def settled_seq(self) -> int:
        return self.inner.acked_through


class LateProcess(Process):
    wallet_type = LifeFromReceipt
