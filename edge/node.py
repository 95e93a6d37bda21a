"""This edge: everything that runs in one process, how it starts, when it is ready, and how it leaves.

Strategy: it serves at once and takes paid work when the collector has given it an epoch; until then callers get 503 with
`Retry-After`. What must live as long as the process is supervised (`edge.tasks`).
Leaving (`edge.drain`): readiness red, no new paid work, running requests finish or are cut, facts are shipped, credit is
returned, the epoch is closed; what cannot be said to the collector in time stays in the journal for the next start, and is told.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send

from edge.auth.authenticator import Authenticator, Deployment
from edge.auth.client_address import FailedAuthentications
from edge.clock import Clock
from edge.collector_client.epoch import EpochOpener
from edge.collector_client.session import CollectorSession
from edge.collector_client.shipper import Shipper
from edge.credit.accounting import AccountingContext
from edge.credit.credit import COLD_WAIT_S, Credit
from edge.downstream.admission import Admission
from edge.drain import Drain
from edge.journal import Journal, Recovery
from edge.journal.files.disk import Disk
from edge.journal.files.folder import epochs
from edge.journal.recovery.lost_epochs import find_lost
from edge.limits.capacity import connections_max, memory_bytes, raise_descriptors
from edge.limits.fair_start import FairStart
from edge.limits.limiter import RateLimiter
from edge.limits.memory import MemoryTrimmer, resident_bytes
from edge.limits.overload import Overload
from edge.providers.reload import Reloader
from edge.providers.resolver import LazyUpstream
from edge.providers.table import Table
from edge.providers.trials import Trials
from edge.readiness import Readiness, judge
from edge.relay.body import MemoryBudget
from edge.relay.idempotency import TOTAL_BYTES_MAX, IdempotencyKeys
from edge.relay.ids import IdGenerator
from edge.relay.relay import LEAVING, Relay, Shared
from edge.relay.response.own import REQUEST_ID, send_refusal
from edge.relay.watchdog import Watchdog
from edge.settings import Settings
from edge.tasks import Tasks
from edge.telemetry.metrics import Metrics
from edge.telemetry.observers import Observers
from edge.upstream.pool import NativeUpstream
from edge.write_batch import WriteBatch
from routing.plan.refusal import Refusal
from routing.surfaces import CHAT, Entry
from routing.wire.headers import own_request_id
from usage.protocol import Booted, CollectorClient

log = logging.getLogger("tollway.node")
JOIN_WAIT_S, JOIN_LOOK_S = 2.0, 0.1
EMBEDDED_WAIT_S = 3.0
"""So long a request waits for the credit of a collector in this process: its disk may be slow, and no other edge has another."""
SHIP_S_MAX = 5.0
REQUEST_MEMORY_SHARE = 4 * 65_536
"""A request under way may take 64 KiB, and all of them a quarter of the memory."""
_JOINING = Refusal(503, "credit_unverifiable", "this edge has not reached its collector yet; try again", retry_after_s=2.0)
_REVOKED = Refusal(503, "credit_unverifiable", "this edge was revoked by its operator; try another", retry_after_s=5.0)


def admission_of(settings: Settings) -> Admission:
    """The bounds of callers' connections, after what this machine has."""
    bound = connections_max(raise_descriptors(), memory_bytes() // settings.workers)
    return Admission(bound, settings.connections_per_address or max(bound // 4, 1), settings.trusted_proxies)


def idempotency_of(settings: Settings, answer_bytes_max: int) -> IdempotencyKeys:
    """This process's, or those that it shares with the other workers of its supervisor."""
    if settings.supervisor_fd is None:
        return IdempotencyKeys(answer_bytes_max)
    from edge.workers.names import FOLDER, SharedIdempotencyKeys

    return SharedIdempotencyKeys(settings.data.parent / FOLDER, answer_bytes_max)


class Node:
    """One edge process. `chat` is the ASGI callable of the paid path."""

    def __init__(self, settings: Settings, name: str, collector: CollectorClient) -> None:
        self.name = name
        self._settings = settings
        self._collector = collector
        self.metrics = Metrics()
        self.tasks = Tasks(self.metrics.restarts)
        self.write_batch = WriteBatch()
        self.starts = FairStart(self.write_batch)
        self.clock = Clock()
        self.ids = IdGenerator(self.clock)
        self.native = NativeUpstream(self.write_batch)
        self._httpx = LazyUpstream()
        self.table = Table(settings.providers, self.native, self._httpx, settings.region)
        self.reloader = Reloader(settings.providers, self.table)
        limits = self.table.limits
        self.admission = admission_of(settings)
        memory = memory_bytes() // settings.workers
        self.overload = Overload(memory, resident_bytes, limits)
        self.limiter = RateLimiter()
        self.observers = Observers(settings, name)
        self.in_flight = MemoryBudget(
            limits, memory, min(self.admission.connections_max, memory // REQUEST_MEMORY_SHARE), self.overload
        )
        self.watch = Watchdog(self.tasks, limits, self.overload)
        self.idempotency = idempotency_of(settings, min(TOTAL_BYTES_MAX, memory // 32))
        self.drain = Drain(self.watch, settings.drain_notice_s, settings.drain_grace_s)
        self.left = ""
        """What `stop` could not bring to an end; empty when nothing waits for the next start."""
        self.epochs_lost = 0
        self.recovery: Recovery | None = None
        self.journal: Journal | None = None
        self.credit: Credit | None = None
        self.shipper: Shipper | None = None
        self.authenticator: Authenticator | None = None
        """There with the first epoch, and until the process ends: an account can be read while the edge drains."""
        self.failed_authentications = FailedAuthentications(settings.client_address_header, settings.trusted_proxies)
        self._relay: Relay | None = None
        """Who takes paid work now; None: `_refusal` is answered."""
        self._built: Relay | None = None
        self._is_finishing = False
        self._epochs = EpochOpener(settings, name, collector, self.clock)
        self._epoch: tuple[Booted, Journal, Credit, Recovery] | None = None
        """What the first epoch is served with, once there is one."""
        self._relays: dict[str, tuple[Relay, Relay]] = {}
        """Format → Chat's relay, and what was made of it."""
        self._refusal = _JOINING
        self._runners: list[asyncio.Task[Any]] = []

    def paid(self, entry: Entry) -> ASGIApp:
        """Who answers the paid requests of a surface. To be awaited at once."""
        if entry is CHAT:
            return self.chat

        def answer(scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
            relay = self._relay
            if relay is None:
                return self._refuse(scope, send)
            known = self._relays.get(entry.format)
            if known is None or known[0] is not relay:
                # A surface is imported when it is first called.
                known = self._relays[entry.format] = relay, relay.on(entry)
            return known[1](scope, receive, send)

        return answer

    def chat(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """POST /chat/completions. To be awaited at once."""
        relay = self._relay
        return self._refuse(scope, send) if relay is None else relay(scope, receive, send)

    def _refuse(self, scope: Scope, send: Send) -> Awaitable[None]:
        request_id = own_request_id(scope["headers"]) or "req-" + self.ids.draw()
        return send_refusal(send, self._refusal, {**scope, REQUEST_ID: request_id}, [(b"x-request-id", request_id.encode())])

    def readiness(self) -> Readiness:
        """Whether traffic should come."""
        if self.drain.is_leaving:
            return Readiness(("this edge is leaving",))
        failing = self.tasks.failing()
        journal, credit, shipper, recovery = self.journal, self.credit, self.shipper, self.recovery
        if journal is None or credit is None or shipper is None or recovery is None:
            return Readiness((self._epochs.problem or "the collector has given no epoch yet", *failing))
        return judge(journal, credit, shipper, recovery, failing)

    async def start(self) -> None:
        """Begin to serve. Waits a moment for the collector, then goes on joining in the background."""
        self._runners = [
            self.tasks.supervise("watch", self.watch.run),
            self.tasks.supervise("tokens", self.table.resolver.keep_tokens),
            self.tasks.supervise("table", self.reloader.watch),
            self.tasks.supervise("trials", Trials(self.table, self.tasks).run),
            self.tasks.supervise("memory", MemoryTrimmer().run),
        ]
        self.observers.start(self.tasks)
        joining = self.tasks.supervise("join", self._join)
        self._runners.append(joining)
        until_s = time.monotonic() + (self._settings.join_wait_s or JOIN_WAIT_S)
        while not joining.done() and not self.drain.is_leaving and (left_s := until_s - time.monotonic()) > 0:
            await asyncio.wait({joining}, timeout=min(left_s, JOIN_LOOK_S))

    async def _join(self) -> None:
        if self._epoch is None:
            self._epoch = self._serve_epoch(*await self._epochs.open())
        booted, journal, credit, recovery = self._epoch
        self.epochs_lost = await asyncio.to_thread(find_lost, recovery, self.name, booted.open_epochs)
        accounting = AccountingContext(
            self.name, booted.epoch, journal, credit, self.metrics, self.limiter, self.observers.on_record
        )
        self.authenticator = Authenticator(credit, Deployment.of(booted), self.clock)
        shared = Shared(self.watch, self.ids, self.in_flight, self.starts, self.idempotency, self.failed_authentications)
        self._built = Relay(self.table, accounting, self.authenticator, shared)
        self._admit()
        log.info("node %s serves in epoch %d", self.name, booted.epoch)

    def _serve_epoch(self, booted: Booted, journal: Journal) -> tuple[Booted, Journal, Credit, Recovery]:
        """What an epoch is served with. Once: `_join` may be started again, and another epoch would leave this one open."""
        tasks = self.tasks
        journal.join(self.write_batch)
        self.journal = journal
        self.credit = credit = Credit(
            CollectorSession(self.name, booted.epoch, self._collector, self._barred),
            tasks,
            key_version=booted.key_version,
            on_contact=lambda: shipper.resume(),
            unix=self.clock,
            limiter=self.limiter,
            wait_s=COLD_WAIT_S if self._settings.collector_url else EMBEDDED_WAIT_S,
        )
        self.shipper = shipper = Shipper(
            journal,
            self._collector,
            tasks,
            credit,
            ship_interval_s=booted.ship_interval_s,
            unix_ms=self.clock.now_ms,
            limiter=self.limiter,
        )
        shipper.start()
        self.recovery = recovery = Recovery(self._epochs.folder, self.name)
        self._runners += [
            tasks.supervise("credit", credit.run),
            tasks.supervise("limits", lambda: self.limiter.reports.run(credit.poll)),
            tasks.supervise("recovery", lambda: recovery.run(booted.epoch, shipper.adopt)),
        ]
        return booted, journal, credit, recovery

    def _barred(self) -> None:
        """The collector has said that this node is fenced, or revoked, or that it is not revoked any more."""
        credit = self.credit
        assert credit is not None
        fenced = f"another process runs as node {self.name} (give each its own TOLLWAY_NODE)"
        if reason := fenced if credit.is_fenced else credit.revoked:
            log.error("%s: this one takes no more paid work", reason)
        else:
            log.warning("node %s is not revoked any more", self.name)
        self._admit()

    def _admit(self) -> None:
        """Take paid work, unless something stands against it."""
        self._relay, credit = self._built, self.credit
        if self._is_finishing or (credit is not None and credit.is_fenced):
            self._relay, self._refusal = None, LEAVING
        elif credit is not None and credit.revoked:
            self._relay, self._refusal = None, _REVOKED

    async def flush(self, timeout_s: float) -> None:
        """Ship what is settled, for at most `timeout_s`."""
        if self.shipper is not None:
            await self.shipper.flush(timeout_s)

    def has_shipped_leftovers(self) -> bool:
        """Whether nothing of earlier processes waits in the journal's folder."""
        journal = self.journal
        folders = epochs(Disk(), self._epochs.folder, self.name)
        return journal is not None and all(epoch == journal.epoch for epoch in folders)

    async def finish_requests(self) -> None:
        """Take nothing new, and let what runs come to its end, or to its cut."""
        self._is_finishing = True
        self._admit()
        await self.drain.finish_requests()

    async def stop(self) -> None:
        """Leave in good order, within the drain's grace and some seconds. `left` says what was not possible."""
        await self.finish_requests()
        left: list[str] = []
        if self.credit is not None and self.shipper is not None:
            if not await self.credit.drain():
                left.append("leased credit was not returned")
            if not await self.shipper.drain(SHIP_S_MAX):
                left.append(self.shipper.left)
        await self.observers.close()
        self.left = "; ".join(left)
        drain = self.drain
        log.log(
            logging.WARNING if left or drain.cut else logging.INFO,
            "left: %d requests ended, %d were cut; %s",
            drain.ended,
            drain.cut,
            f"for the next start: {self.left}" if left else "everything is shipped, credit returned, the epoch closed",
        )
        for runner in self._runners:
            runner.cancel()
        await self.tasks.drain(1.0)
        await self.native.aclose()
        await self._httpx.aclose()

    def reload(self) -> None:
        """Read providers.toml now, whether or not it seems to have changed."""
        self.tasks.spawn("reload", self.reloader.reload())
