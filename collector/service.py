"""The collector: the six messages of the node protocol and the account operations, over a store.

Strategy: the store blocks, so each piece of work runs in a worker thread; everything that decides is in the modules this one
calls. The same object serves nodes in the same process (`for_node`) and, through `collector.api.node`, nodes elsewhere.
"""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import msgspec

from collector.accounts import accounts
from collector.accounts.keys import KeyTerms, create_key
from collector.accounts.marks import Marks
from collector.accounts.window import DAY_MS
from collector.dashboard.sessions import make_link
from collector.demo import make_demo
from collector.ingest import ingest
from collector.ingest.rejections import kind_of
from collector.leasing import leasing, recall
from collector.leasing.grant import SHARE_PERCENT
from collector.limits.board import LimitBoard
from collector.message_checks import check_acquire, check_node_name, check_numbers, check_owner, check_text
from collector.store.contract import Store, StoreDamaged, StoreUnavailable, T, Tx
from usage.protocol import (
    Ack,
    Acquire,
    Acquired,
    Batch,
    Boot,
    Booted,
    Close,
    Closed,
    CollectorClient,
    Poll,
    Polled,
    Rejected,
    Return,
    Returned,
    Unreachable,
)
from usage.throttle import Throttle

log = logging.getLogger("tollway.collector")
RETRY_AFTER_S = 1.0
AWAITING_MAX = 200
ELSEWHERE_S = 0.2
"""How often those who wait for a batch look for one that another collector took."""

if TYPE_CHECKING:
    from collector.alerts.runner import AlertRunner
    from collector.sinks.contract import Sink
    from collector.sinks.runner import SinkRunner

M = TypeVar("M", Boot, Acquire, Batch, Return, Close, Poll)
A = TypeVar("A", Ack, Polled)


def now_ms() -> int:
    """Unix time in milliseconds, the default clock."""
    return time.time_ns() // 1_000_000


class Collector:
    """`clock_ms` gives Unix milliseconds. Close it after the last call; it closes the store."""

    def __init__(
        self,
        store: Store,
        clock_ms: Callable[[], int] = now_ms,
        *,
        share_percent: int = SHARE_PERCENT,
        sinks: "Sequence[Sink]" = (),
    ) -> None:
        self.store = store
        self.sinks = _runners(store, sinks, clock_ms)
        self._share_percent = share_percent
        self._problem = ""
        """Why the database could not be used just now; said once."""
        self.clock_ms = clock_ms
        self.counts = {"records": 0, "rejected": 0, "batches": 0, "grants": 0}
        self.marks = Marks(self.read)
        self.limits = LimitBoard()
        self.refusals = Throttle()
        """Of credentials, on all paths together."""
        self.rejected_by_kind: Counter[str] = Counter()
        self._arrival = asyncio.Event()
        self._awaiting = 0
        self._alerts: AlertRunner | None = None
        self._threads = ThreadPoolExecutor(store.workers, thread_name_prefix="collector")

    def __repr__(self) -> str:
        return f"<Collector on {self.store!r}>"

    def for_node(self, node: str) -> CollectorClient:
        """The collector as the node `node` in this process sees it."""
        check_node_name(node)
        return _InProcessClient(self, node)

    async def write(self, work: Callable[[Tx, int], T]) -> T:
        """`work(tx, now_ms)` in a transaction; Unreachable when the database cannot now."""
        return await self._call(self.store.write, work)

    async def read(self, work: Callable[[Tx, int], T]) -> T:
        """`work(tx, now_ms)` on one snapshot; Unreachable when the database cannot now."""
        return await self._call(self.store.read, work)

    async def _call(self, transact: Callable[[Callable[[Tx], T]], T], work: Callable[[Tx, int], T]) -> T:
        now = self.clock_ms()
        try:
            outcome = await asyncio.get_running_loop().run_in_executor(self._threads, partial(transact, lambda tx: work(tx, now)))
        except StoreUnavailable as error:
            if str(error) != self._problem:
                self._problem = str(error)
                log.error("the database cannot be used: %s", error)
            is_lasting = isinstance(error, StoreDamaged)
            raise Unreachable(f"the collector's database: {error}", RETRY_AFTER_S, is_lasting=is_lasting) from error
        if self._problem:
            self._problem = ""
            log.info("the database can be used again")
        return outcome

    async def boot(self, message: Boot) -> Booted:
        check_text("boot_id", message.boot_id)
        booted = await self.write(lambda tx, now: leasing.boot(tx, message, now))
        older = f"; older ones are open: {', '.join(map(str, booted.open_epochs))}" if booted.open_epochs else ""
        log.info("node %s begins epoch %d%s", message.node, booted.epoch, older)
        return booted

    async def acquire(self, message: Acquire) -> Acquired:
        if message.want_nano == 0:
            check_text("digest", message.digest)
            return await self.read(lambda tx, now: leasing.look_up(tx, message, now))
        check_acquire(message)
        acquired = await self.write(lambda tx, now: leasing.acquire(tx, message, now, self._share_percent))
        self.counts["grants"] += acquired.granted is not None
        return acquired

    async def ingest(self, message: Batch, unreadable: tuple[Rejected, ...] = ()) -> Ack:
        """`unreadable`: records of the batch that were no records at all, so that the others can pass."""
        check_numbers(message.epoch, message.complete_ms)
        for renewal in message.renew:
            check_acquire(renewal)
        is_full = {runner.sink.name: runner.is_full for runner in self.sinks}
        ack = await self.write(lambda tx, now: ingest.ingest(tx, message, unreadable, now, self._share_percent, is_full))
        for runner in self.sinks:
            runner.wake()
        self._arrival.set()
        self._arrival = asyncio.Event()
        self.counts["batches"] += 1
        self.counts["records"] += len(message.records)
        self.counts["rejected"] += len(ack.rejected)
        self.rejected_by_kind.update(kind_of(one.reason) for one in ack.rejected)
        if ack.rejected:
            reason = ack.rejected[0].reason
            log.error("%d records of node %s are rejected, the first because: %s", len(ack.rejected), message.node, reason)
        self.counts["grants"] += len(ack.leases)
        return self._with_shares(ack, message)

    async def await_batch(self, timeout_s: float) -> bool:
        """Until another batch came in here, or may have at a collector beside us. False at once when too many wait already."""
        if self._awaiting >= AWAITING_MAX:
            return False
        self._awaiting += 1
        try:
            async with asyncio.timeout(min(timeout_s, ELSEWHERE_S)):
                await self._arrival.wait()
        except TimeoutError:
            pass
        finally:
            self._awaiting -= 1
        return True

    async def give_back(self, message: Return) -> Returned:
        check_text("return_id", message.return_id)
        check_text("purse", message.purse)
        check_numbers(message.epoch, message.amount_nano)
        return await self.write(lambda tx, now: leasing.take_back(tx, message, now))

    async def close(self, message: Close) -> Closed:
        check_numbers(message.epoch, message.final_seq)
        closed = await self.write(lambda tx, now: leasing.close(tx, message, now))
        if closed.closed:
            self.limits.drop(message.node, message.epoch)
            log.info("epoch %d of node %s is closed after %d records", message.epoch, message.node, message.final_seq)
        return closed

    async def poll(self, message: Poll) -> Polled:
        check_numbers(message.epoch, message.key_version)
        polled, is_stale = await self.read(lambda tx, now: recall.poll(tx, message, now))
        if is_stale:
            await self.write(lambda tx, now: recall.touch_epoch(tx, message, now))
        return self._with_shares(polled, message)

    def _with_shares(self, answer: A, message: Batch | Poll) -> A:
        """The answer, and with it what the limits that were reported have for this process."""
        if not message.limits:
            return answer
        return msgspec.structs.replace(answer, limits=self.limits.answer(message.node, message.epoch, message.limits))

    async def create_account(self, account: str) -> bool:
        return await self.write(lambda tx, now: accounts.create_account(tx, account, now))

    async def create_key(self, account: str, terms: KeyTerms | None = None) -> str:
        return await self.write(lambda tx, now: create_key(tx, account, terms or KeyTerms(), now)[0])

    async def add_credit(self, account: str, amount_nano: int, ref: str = "") -> None:
        await self.write(lambda tx, now: accounts.add_credit(tx, account, amount_nano, ref, now))

    async def ensure_demo(self) -> str | None:
        """On an empty store: make the account `demo` with 5.00 dollars, and the key to print; else None."""
        return await self.write(make_demo)

    async def make_login_link(self, account: str) -> str:
        """The secret of a link that opens the dashboard of an account once, within a day: for the very first start."""
        return await self.write(lambda tx, now: make_link(tx, account, "management", now, DAY_MS))

    def watch(self) -> None:
        """Let alerts see how things are, and be told, until `shut_down`."""
        if self._alerts is None:
            from collector.alerts.runner import AlertRunner

            self._alerts = AlertRunner(self.store, self.clock_ms)
            self._alerts.start()
            for runner in self.sinks:
                runner.start()

    async def shut_down(self) -> None:
        """Let the work at hand end, and close the store."""
        if self._alerts is not None:
            await asyncio.to_thread(self._alerts.stop)
        for runner in self.sinks:
            await asyncio.to_thread(runner.stop)
        await asyncio.get_running_loop().run_in_executor(None, partial(self._threads.shutdown, wait=True))
        self.store.close()


def _runners(store: Store, sinks: "Sequence[Sink]", clock_ms: Callable[[], int]) -> "list[SinkRunner]":
    if not sinks:
        return []
    from collector.sinks.runner import SinkRunner

    return [SinkRunner(store, sink, clock_ms) for sink in sinks]


class _InProcessClient:
    """The in-process form of the node protocol: a node speaks for itself only, as its token makes it over HTTP."""

    def __init__(self, collector: Collector, node: str) -> None:
        self._collector = collector
        self._node = node

    async def boot(self, message: Boot) -> Booted:
        return await self._collector.boot(self._own(message))

    async def acquire(self, message: Acquire) -> Acquired:
        return await self._collector.acquire(self._own(message))

    async def ingest(self, message: Batch) -> Ack:
        return await self._collector.ingest(self._own(message))

    async def give_back(self, message: Return) -> Returned:
        return await self._collector.give_back(self._own(message))

    async def close(self, message: Close) -> Closed:
        return await self._collector.close(self._own(message))

    async def poll(self, message: Poll) -> Polled:
        return await self._collector.poll(self._own(message))

    def _own(self, message: M) -> M:
        check_owner(message, self._node)
        return message
