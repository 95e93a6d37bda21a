"""One edge process of a simulated world: the real wallets, journal, recovery and shipper, without their event loop.

Strategy: coroutines of the real shipper are driven by hand. Where they await the collector they yield the message, and the world
sends them the answer, or throws, when it likes; everything else in them runs to the next await at once.
"""

import types
from collections.abc import Callable, Coroutine, Generator, Iterable
from typing import Any

import msgspec

from edge.collector_client.backoff import Backoff
from edge.collector_client.outbox import OutboxCursor
from edge.collector_client.shipper import Shipper
from edge.credit.wallet import Wallet
from edge.journal import Journal
from edge.journal.recovery.old_epoch import OldEpoch
from edge.journal.recovery.recovery import Recovery
from edge.settings import Durability
from edge.tasks import Tasks
from tests.sim.disk import SimDisk
from usage.protocol import Ack, Acquire, Batch, Boot, Booted, Close, Closed, Granted, Poll, Polled, Return, Returned
from usage.record import Rates, Tokens, UsageRecord

ROOT = "/journal"
SEGMENT_BYTES = 4096
JOURNAL_BYTES = 60_000
WINDOW_BYTES = 3_000


@types.coroutine
def ask(message: Any) -> Generator[Any, Any, Any]:
    """Hand a message to the world and wait for what it sends back."""
    return (yield message)


class Wire:
    """The collector as the real shipper sees it."""

    async def ingest(self, message: Batch) -> Ack:
        ack: Ack = await ask(message)
        return ack

    async def close(self, message: Close) -> Closed:
        closed: Closed = await ask(message)
        return closed

    async def boot(self, message: Boot) -> Booted:
        raise NotImplementedError

    async def acquire(self, message: Acquire) -> Any:
        raise NotImplementedError

    async def poll(self, message: Poll) -> Polled:
        raise NotImplementedError

    async def give_back(self, message: Return) -> Returned:
        raise NotImplementedError


class Tray:
    """An outbox whose acknowledgement does not wait for a thread."""

    def __init__(self, inner: Journal | OldEpoch) -> None:
        self.inner = inner
        self.node = inner.node
        self.epoch = inner.epoch
        self.read_records = inner.read_records

    @property
    def acked_through(self) -> int:
        return self.inner.acked_through

    @property
    def settled_seq(self) -> int:
        return self.inner.settled_seq

    @property
    def shippable_seq(self) -> int:
        return self.inner.shippable_seq

    async def ack(self, acked_through: int) -> None:
        self.inner.ack_now(acked_through)


class SimShipper(Shipper):
    """Rejected records are the world's affair; here the wallets are told of them, and they are let go."""

    async def _keep_dead_letters(self, cursor: OutboxCursor, ack: Ack, records: list[UsageRecord]) -> None:
        rejected = {one.seq for one in ack.rejected if cursor.next_seq <= one.seq <= ack.acked_through}
        if cursor.outbox.epoch == self._journal.epoch:
            self._credit.unsettle([record for record in records if record.seq in rejected])


class Generation(msgspec.Struct, eq=False):
    """The truth about one request, as only the world knows it."""

    gen_id: str
    account: str
    key_id: str
    purse: str
    hold_nano: int
    rates: Rates
    tokens: Tokens
    prompt_max: int
    completion_max: int
    started_ms: int
    epoch: int = 0
    has_intent: bool = False
    is_dispatched: bool = False
    is_sure: bool = False
    """What was last written of it is on the medium."""
    is_doubtful: bool = False
    """A power cut, or a death in the middle of a call, may have taken what was last written of it."""
    is_intent_sure: bool = False
    is_exempt: bool = False
    marks: list[int] = msgspec.field(default_factory=list)
    final_nano: int | None = None
    overage_nano: int = 0


class Process:
    """One run of the edge program. `journal` is None until the collector has given it an epoch."""

    wallet_type: type[Wallet] = Wallet
    durability: Durability = "group"

    def __init__(self, number: int, node: str, disk: SimDisk, clock: Callable[[], float]) -> None:
        self.number = number
        self.node = node
        self.disk = disk
        self.clock = clock
        self.boots = 1
        self.epoch = 0
        self.journal: Journal | None = None
        self.shipper: SimShipper | None = None
        self.cursors: list[OutboxCursor] = []
        self.talks: dict[int, Coroutine[Any, Any, Any]] = {}
        self.busy: dict[int, int] = {}
        self.wallets: dict[str, Wallet] = {}
        self.true_until_s: dict[str, float] = {}
        self.running: list[Generation] = []
        self.forgotten_nano: dict[str, int] = {}
        self.deaths = 0
        """Of its tasks."""
        self.is_fenced = False
        self.is_draining = False
        self.is_gone = self.is_dead = False
        self.recovery = Recovery(ROOT, node, disk=disk, pause=lambda: None)
        self.to_adopt: list[int] = []
        self._ids = 0

    def __repr__(self) -> str:
        return f"<{self.node}#{self.number} epoch {self.epoch}>"

    def next_id(self) -> str:
        self._ids += 1
        return f"{self.number}-{self._ids}"

    @property
    def boot(self) -> Boot:
        return Boot(self.node, f"{self.number}.{self.boots}")

    def join(self, booted: Booted) -> None:
        """Raises EpochInUse, OSError; the world boots again."""
        journal = Journal.open(
            ROOT,
            self.node,
            booted.epoch,
            durability=self.durability,
            bytes_max=JOURNAL_BYTES,
            segment_bytes=SEGMENT_BYTES,
            window_bytes=WINDOW_BYTES,
            disk=self.disk,
        )
        self.journal = journal
        self.epoch = booted.epoch
        self.shipper = SimShipper(journal, Wire(), Tasks(), self, clock=self.clock, backoff=Backoff(lambda: 0.5))
        self.cursors = [OutboxCursor(Tray(journal), self.clock())]
        self.to_adopt = [epoch for epoch in self.recovery.epochs() if epoch != booted.epoch]

    # Credit, as `edge.credit.credit` does it.

    def wallet(self, purse: str, digest: str) -> Wallet:
        found = self.wallets.get(purse)
        if found is None:
            found = self.wallets[purse] = self.wallet_type(purse, digest, self.clock())
        return found

    def acquire(self, wallet: Wallet, demand_nano: int, min_nano: int) -> Acquire:
        asked = wallet.next_ask(self.next_id(), demand_nano, min_nano, self.clock())
        return Acquire(self.node, self.epoch, asked.grant_id, asked.digest, asked.want_nano, asked.min_nano)

    def on_grant(self, granted: Granted, sent_s: float) -> None:
        wallet = self.wallets.get(granted.purse)
        if wallet is not None and wallet.grant(granted, sent_s):
            until_s = max(self.true_until_s.get(granted.purse, 0.0), sent_s + granted.ttl_s)
            self.true_until_s[granted.purse] = until_s

    def on_ack(self, ack: Ack) -> None:
        for granted in ack.leases:
            wallet = self.wallets.get(granted.purse)
            if wallet is not None:
                self.on_grant(granted, wallet.rode_s)
        for balance in ack.balances:
            wallet = self.wallets.get(balance.purse)
            if wallet is not None and balance.available_nano > 0:
                wallet.exhausted = None

    def unsettle(self, records: Iterable[UsageRecord]) -> None:
        """What the credit of an edge does when records are refused."""
        for record in records:
            self.wallet(record.purse, "").unsettle(record.hold_nano, record.cost_nano)

    def on_polled(self, polled: Polled, sent_s: float) -> list[str]:
        """What the credit of an edge does with the answer to a poll; the purses whose free credit goes back now."""
        if polled.is_newest:
            for purse, wallet in self.wallets.items():
                wallet.confirm(sent_s)
                self.true_until_s[purse] = max(self.true_until_s.get(purse, 0.0), sent_s + wallet.ttl_s)
        found = [purse for purse in polled.recalled if purse in self.wallets]
        for purse in found:
            self.wallets[purse].recall()
        return found

    # Facts.

    def settle(self, generation: Generation, record: UsageRecord) -> None:
        wallet = self.wallets[generation.purse]
        wallet.settle(generation.hold_nano, record.cost_nano, self.clock())
        assert self.journal is not None
        self.journal.settle(record)

    def adopt(self) -> int:
        """Recover one dead epoch; its number, 0 when there was none or it lives. Raises OSError."""
        epoch = self.to_adopt[0]
        old = self.recovery.adopt(epoch)
        self.to_adopt.pop(0)
        if old is None:
            return 0
        self.cursors.append(OutboxCursor(Tray(old), self.clock()))
        return epoch

    def speak(self, cursor: OutboxCursor) -> Coroutine[Any, Any, Any] | None:
        """What this cursor has to say to the collector now."""
        shipper = self.shipper
        assert shipper is not None
        is_own = cursor.outbox.epoch == self.epoch
        if cursor.waiting > 0:
            renewals = self.renewals() if is_own else ()
            return shipper._ship(cursor, cursor.read_batch(), renewals)
        if is_own:
            renewals = self.renewals()
            if renewals:
                return shipper._ship(cursor, [], renewals)
            return self.leave(cursor) if self.is_draining and not self.running else None
        return self.leave(cursor)

    def renewals(self) -> tuple[Acquire, ...]:
        """Renewals that go with a batch."""
        now_s = self.clock()
        low = [] if self.is_fenced or self.is_draining else [one for one in self.wallets.values() if one.wants_renewal(now_s)]
        for wallet in low:
            wallet.rode_s = now_s
        return tuple(self.acquire(wallet, 0, 1) for wallet in low)

    async def leave(self, cursor: OutboxCursor) -> None:
        """Close the epoch of a cursor at the collector, and remove its folder."""
        assert self.shipper is not None
        assert isinstance(cursor.outbox, Tray)
        if await self.shipper._close(cursor):
            self.cursors.remove(cursor)
            self.is_gone = cursor.outbox.epoch == self.epoch
            cursor.outbox.inner.close(remove=True)

    def die(self) -> None:
        """Nothing of it runs any more."""
        self.is_dead = True
        for talk in self.talks.values():
            talk.close()
        self.talks.clear()
