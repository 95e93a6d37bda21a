"""This edge: everything that runs in one process, how it starts, when it is ready, and how it leaves.

Strategy: it serves at once and takes paid work when the collector has given it an epoch; until then callers get 503 with
`Retry-After`. What must live as long as the process is supervised (`edge.tasks`).
Leaving (`edge.drain`): readiness red, no new paid work, running requests finish or are cut, facts are shipped, credit is
returned, the epoch is closed; what cannot be said to the collector in time stays in the journal for the next start, and is told.
"""

import asyncio
import logging
import random
import time
import uuid
from collections.abc import Awaitable
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send

from edge.auth.authenticator import Authenticator, Deployment
from edge.auth.client_address import FailedAuthentications
from edge.clock import Clock
from edge.collector_client.session import CollectorSession
from edge.collector_client.shipper import Shipper
from edge.credit.accounting import AccountingContext
from edge.credit.credit import COLD_WAIT_S, Credit
from edge.data_folder import instance_of, prove_writable
from edge.downstream.admission import Admission
from edge.drain import Drain
from edge.journal import EpochInUse, Journal, Recovery
from edge.journal.files.disk import Disk
from edge.journal.files.folder import epochs
from edge.journal.recovery.lost_epochs import find_lost
from edge.limits.capacity import connections_max, memory_bytes, raise_descriptors
from edge.limits.fair_start import FairStart
from edge.limits.limiter import RateLimiter
from edge.limits.memory import MemoryTrimmer, resident_bytes
from edge.limits.overload import Overload
from edge.providers.reload import Reloader
from edge.providers.table import LazyUpstream, Table
from edge.providers.trials import Trials
from edge.readiness import Readiness, judge
from edge.relay.body import MemoryBudget
from edge.relay.idempotency import TOTAL_BYTES_MAX, IdempotencyKeys
from edge.relay.ids import IdGenerator
from edge.relay.relay import LEAVING, Relay
from edge.relay.responses import send_refusal
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
from usage.flavor import flavor_of
from usage.protocol import Boot, Booted, CollectorClient, Refused, Unreachable

log = logging.getLogger("tollway.node")
JOIN_WAIT_S, JOIN_LOOK_S = 2.0, 0.1
EMBEDDED_WAIT_S = 3.0
"""So long a request waits for the credit of a collector in this process: its disk may be slow, and no other edge has another."""
SHIP_S_MAX = 5.0
JOURNAL_RETRY_S = 2.0
REQUEST_MEMORY_SHARE = 4 * 65_536
"""A request under way may take 64 KiB, and all of them a quarter of the memory."""
_JOINING = Refusal(503, "credit_unverifiable", "this edge has not reached its collector yet; try again", retry_after_s=2.0)


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
        self._begun: tuple[Booted, Journal, Credit, Recovery] | None = None
        """With the first epoch."""
        self._relays: dict[str, tuple[Relay, Relay]] = {}
        """Format → Chat's relay, and what was made of it."""
        self._refusal = _JOINING
        self._joining_problem = ""
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
        return send_refusal(send, self._refusal, flavor_of(scope["path"]), [(b"x-request-id", request_id.encode())])

    def readiness(self) -> Readiness:
        """Whether traffic should come."""
        if self.drain.is_leaving:
            return Readiness(("this edge is leaving",))
        failing = self.tasks.failing()
        journal, credit, shipper, recovery = self.journal, self.credit, self.shipper, self.recovery
        if journal is None or credit is None or shipper is None or recovery is None:
            return Readiness((self._joining_problem or "the collector has given no epoch yet", *failing))
        return judge(journal, credit, shipper, recovery, failing)

    async def start(self) -> None:
        """Begin to serve. Waits a moment for the collector, then goes on joining in the background."""
        self._runners = [
            self.tasks.supervise("watch", self.watch.run),
            self.tasks.supervise("tokens", self.table.keep_tokens),
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
        settings = self._settings
        settings.data.mkdir(parents=True, exist_ok=True)
        folder = str(settings.data / "journal")
        if self._begun is None:
            self._begun = self._begin(folder, *await self._open_journal(folder))
        booted, journal, credit, recovery = self._begun
        self.epochs_lost = await asyncio.to_thread(find_lost, recovery, self.name, booted.open_epochs)
        accounting = AccountingContext(self.name, booted.epoch, journal, credit, self.metrics, self.limiter, self.observers.told)
        deployment = Deployment.of(booted)
        self.authenticator = Authenticator(credit, deployment, self.clock)
        self._relay = Relay(
            self.table,
            accounting,
            self.watch,
            self.ids,
            self.in_flight,
            deployment,
            self.failed_authentications,
            self.starts,
            self.idempotency,
        )
        log.info("node %s serves in epoch %d", self.name, booted.epoch)

    def _begin(self, folder: str, booted: Booted, journal: Journal) -> tuple[Booted, Journal, Credit, Recovery]:
        """What an epoch is served with. Once: `_join` may be started again, and another epoch would leave this one open."""
        tasks = self.tasks
        journal.join(self.write_batch)
        self.journal = journal
        self.credit = credit = Credit(
            CollectorSession(self.name, booted.epoch, self._collector, self._fenced),
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
        self.recovery = recovery = Recovery(folder, self.name)
        self._runners += [
            tasks.supervise("credit", credit.run),
            tasks.supervise("limits", lambda: self.limiter.reports.run(credit.poll)),
            tasks.supervise("recovery", lambda: recovery.run(booted.epoch, shipper.adopt)),
        ]
        return booted, journal, credit, recovery

    async def _open_journal(self, folder: str) -> tuple[Booted, Journal]:
        """An epoch and its journal. A collector that was restored from a backup may give an epoch that is known here: ask again.

        No epoch is asked for before the folder takes what is written, and one that was given is kept until it does: each epoch
        that nobody uses would stay open at the collector.
        """
        settings = self._settings
        booted: Booted | None = None
        while True:
            try:
                prove_writable(settings.data)
                booted = booted or await self._boot()
                journal = Journal.open(
                    folder,
                    self.name,
                    booted.epoch,
                    durability=settings.durability,
                    bytes_max=settings.journal_bytes_max // settings.workers,
                )
            except EpochInUse as problem:
                log.warning("%s; asking for another epoch", problem)
                booted = None
            except OSError as problem:
                self._say_why_not(f"the journal cannot be opened, so no paid work is taken: {problem}")
                await asyncio.sleep(JOURNAL_RETRY_S)
            else:
                return booted, journal

    async def _boot(self) -> Booted:
        boot = Boot(self.name, uuid.uuid4().hex, instance_of(self._settings.data))
        pause_s = 0.25
        while True:
            sent_ns = time.time_ns()
            try:
                booted = await self._collector.boot(boot)
                self.clock.learn(booted.now_ms, sent_ns, time.time_ns())
                return booted
            except (Unreachable, Refused) as problem:
                self._say_why_not(f"the collector gave no epoch yet: {problem}")
            await asyncio.sleep(random.uniform(0, pause_s))
            pause_s = min(pause_s * 2, 10.0)

    def _say_why_not(self, problem: str) -> None:
        """Once in the log for each reason, and on /readyz until it is over."""
        if problem != self._joining_problem:
            log.warning("%s", problem)
        self._joining_problem = problem

    def _fenced(self) -> None:
        log.error("another process runs as node %s: this one takes no more paid work. Give each its own TOLLWAY_NODE", self.name)
        self._refusal = LEAVING
        self._relay = None

    async def flush(self, timeout_s: float) -> None:
        """Ship what is settled, for at most `timeout_s`."""
        if self.shipper is not None:
            await self.shipper.flush(timeout_s)

    def has_shipped_leftovers(self) -> bool:
        """Whether nothing of earlier processes waits in the journal's folder."""
        journal = self.journal
        folders = epochs(Disk(), str(self._settings.data / "journal"), self.name)
        return journal is not None and all(epoch == journal.epoch for epoch in folders)

    async def finish_requests(self) -> None:
        """Take nothing new, and let what runs come to its end, or to its cut."""
        self._refusal = LEAVING
        self._relay = None
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

    def gauges(self) -> dict[str, float]:
        """What is true at this moment, for /metrics."""
        pool = self.native.stats()
        gauges: dict[str, float] = {
            "ready": float(self.readiness().is_ready),
            "open_requests": len(self.watch.contexts),
            "body_bytes_held": self.in_flight.held_bytes,
            "upstream_connections_open": pool.open,
            "upstream_connections_idle": pool.idle,
            "upstream_connections_opened_total": pool.opened_total,
            "upstream_connections_reused_total": pool.reused_total,
            "resident_bytes": resident_bytes(),
            "failed_authentications_total": self.failed_authentications.total,
            "loop_lag_seconds": self.overload.lag_s,
            "overloaded": float(bool(self.overload.reason)),
            "caller_connections_open": self.admission.open,
            "caller_connections_max": self.admission.connections_max,
            "caller_connections_evicted_total": self.admission.evicted_total,
            "caller_connections_refused_total": self.admission.refused_total,
        }
        gauges["epochs_lost"] = self.epochs_lost
        outcome = self.reloader.outcome
        gauges["config_last_reload_success"] = float(outcome.succeeded)
        gauges["config_last_reload_success_timestamp_seconds"] = self.reloader.used_s
        gauges["config_reloads_total"] = self.reloader.used_total
        gauges["config_reloads_refused_total"] = self.reloader.refused_total
        if self.recovery is not None:
            gauges["orphans_total"] = self.recovery.orphans_total
            gauges["orphans_charged_nano"] = self.recovery.orphans_charged_nano
            gauges["orphans_lost_nano_max"] = self.recovery.orphans_lost_nano
        if self.journal is not None:
            gauges["journal_pending_records"] = self.journal.pending_records
            gauges["journal_pending_bytes"] = self.journal.pending_bytes
            gauges["journal_faults_total"] = self.journal.faults_total
        if self.shipper is not None:
            gauges["shipper_failing_seconds"] = self.shipper.failing_s
            gauges["records_rejected_total"] = self.shipper.rejected_total
            gauges["records_shortened_total"] = self.shipper.shortened_total
            gauges["records_lost_total"] = self.shipper.lost_total
        if self.credit is not None:
            gauges |= {f"credit_{name}": float(value) for name, value in self.credit.totals().items()}
            gauges["credit_calls_total"] = self.credit.calls_total
        return gauges
