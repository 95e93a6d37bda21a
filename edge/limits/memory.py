"""Gives back to the system what a burst leaves behind: large blocks at once, the rest when the burst is over.

Why: the C library gives back the end of its heap alone, so one small block that lives on behind a burst keeps all below it:
70 MiB after an attack by 3,000 connections.
Strategy: look once a second, which costs a read of /proc. When the process has been busy, or has a tenth more than it had after
the last time, and has then had little to do for some seconds, trim: 5 to 15 ms. What is free within the heap is not seen from
outside, so an idle process trims once a minute in any case: 0.2 ms where there is nothing.
Limits: Linux and glibc. Elsewhere only what Python finds to be garbage is given up.
"""

import asyncio
import contextlib
import ctypes
import gc
import os
from collections.abc import Callable
from time import process_time

LOOK_S = 1.0
IDLE_SHARE = 0.25
"""Of a core: a process that takes less has the milliseconds."""
REST_S = 3.0
"""How long it is idle before it trims."""
PERIOD_S = 60.0
"""An idle process trims as often in any case, a busy one if it has grown; neither looks for garbage, which takes as long as it
has objects."""
GROWTH = 0.1
LARGE_BLOCK_BYTES = 1 << 20
_M_MMAP_THRESHOLD = -3


def return_large_blocks() -> None:
    """Let the C library give blocks of LARGE_BLOCK_BYTES back to the system as soon as they are freed. By itself it raises that
    bound with every large block that it sees, to 32 MiB, and the bodies of an hour ago stay. Without glibc nothing is done."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, LARGE_BLOCK_BYTES)


def resident_bytes() -> int:
    """The memory that this process has; 0 where the system does not say."""
    try:
        with open("/proc/self/statm", encoding="ascii") as facts:
            return int(facts.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def trim() -> None:
    """Give back every free page of the C library's heaps. Without glibc nothing is done."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


class MemoryTrimmer:
    """`resident` gives bytes, `cpu` the seconds that the process has computed for; `collect` finds garbage."""

    __slots__ = ("_collect", "_cpu", "_cpu_s", "_is_due", "_kept", "_resident", "_rested_s", "_since_s", "_trim", "trims_total")

    def __init__(
        self,
        resident: Callable[[], int] = resident_bytes,
        cpu: Callable[[], float] = process_time,
        collect: Callable[[], object] = gc.collect,
        trim: Callable[[], None] = trim,
    ) -> None:
        self._resident = resident
        self._cpu = cpu
        self._collect = collect
        self._trim = trim
        self._cpu_s = cpu()
        self._kept = 0
        """What was left after the last trim, in bytes."""
        self._is_due = True
        """Whether it was busy since the last trim."""
        self._rested_s = 0.0
        self._since_s = 0.0
        self.trims_total = 0

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await asyncio.sleep(LOOK_S)
            self.check(LOOK_S)

    def check(self, passed_s: float) -> None:
        """`passed_s` after the last look: trim if it is worth it and a good moment."""
        self._since_s += passed_s
        cpu_s = self._cpu()
        is_idle = cpu_s - self._cpu_s < IDLE_SHARE * passed_s
        self._cpu_s = cpu_s
        self._rested_s = self._rested_s + passed_s if is_idle else 0.0
        self._is_due = self._is_due or not is_idle
        has_grown = self._resident() > self._kept * (1 + GROWTH)
        if self._rested_s >= REST_S and (self._is_due or has_grown):
            self._collect()
            self._is_due = False
        elif self._since_s < PERIOD_S or not (is_idle or has_grown):
            return
        self._trim()
        self.trims_total += 1
        self._since_s = 0.0
        self._kept = self._resident()
