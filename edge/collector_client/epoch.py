"""How this process comes by its epoch and its journal: from a folder that takes what is written, and the collector's word.

Rule: no epoch is asked for before the folder takes what is written, and one that was given is kept until it does: each epoch that
nobody uses would stay open at the collector.
Strategy: it is tried without end, with full jitter; why it has not succeeded is logged once for each reason, and on /readyz.
"""

import asyncio
import logging
import random
import time
import uuid

from edge.clock import Clock
from edge.data_folder import instance_of, prove_writable
from edge.journal import EpochInUse, Journal
from edge.settings import Settings
from usage.protocol import Boot, Booted, CollectorClient, Refused, Unreachable

log = logging.getLogger("tollway.node")
JOURNAL_RETRY_S = 2.0
BOOT_PAUSE_S_MIN, BOOT_PAUSE_S_MAX = 0.25, 10.0


class EpochOpener:
    """`folder`: where the journals of all epochs are. `problem`: why there is no epoch yet, empty before the first failure."""

    def __init__(self, settings: Settings, node: str, collector: CollectorClient, clock: Clock) -> None:
        self.folder = str(settings.data / "journal")
        self.problem = ""
        self._settings = settings
        self._node = node
        self._collector = collector
        self._clock = clock

    async def open(self) -> tuple[Booted, Journal]:
        """An epoch and its journal, waited for without end. A collector that was restored from a backup may give an epoch that is
        known here: then another one is asked for."""
        settings = self._settings
        settings.data.mkdir(parents=True, exist_ok=True)
        booted: Booted | None = None
        while True:
            try:
                prove_writable(settings.data)
                booted = booted or await self._boot()
                return booted, self._open_journal(booted.epoch)
            except EpochInUse as problem:
                log.warning("%s; asking for another epoch", problem)
                booted = None
            except OSError as problem:
                self._report(f"the journal cannot be opened, so no paid work is taken: {problem}")
                await asyncio.sleep(JOURNAL_RETRY_S)

    def _open_journal(self, epoch: int) -> Journal:
        settings = self._settings
        bytes_max = settings.journal_bytes_max // settings.workers
        return Journal.open(self.folder, self._node, epoch, durability=settings.durability, bytes_max=bytes_max)

    async def _boot(self) -> Booted:
        """The collector's word, which also tells its time."""
        boot = Boot(self._node, uuid.uuid4().hex, instance_of(self._settings.data))
        pause_s = BOOT_PAUSE_S_MIN
        while True:
            sent_ns = time.time_ns()
            try:
                booted = await self._collector.boot(boot)
            except (Unreachable, Refused) as problem:
                self._report(f"the collector gave no epoch yet: {problem}")
            else:
                self._clock.learn(booted.now_ms, sent_ns, time.time_ns())
                return booted
            await asyncio.sleep(random.uniform(0, pause_s))
            pause_s = min(pause_s * 2, BOOT_PAUSE_S_MAX)

    def _report(self, problem: str) -> None:
        if problem != self.problem:
            log.warning("%s", problem)
        self.problem = problem
