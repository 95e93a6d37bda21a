"""What a burst leaves is given back once it is over, and not while the process is busy."""

import asyncio
import ctypes
import sys

import pytest

from edge.limits.memory import IDLE_SHARE, PATIENCE_S, PAUSE_S, MemoryTrimmer, resident_bytes, trim

MIB = 1 << 20
BUSY_S = IDLE_SHARE * 1.5
"""Of CPU, in each second."""


class Heap:
    """A process of `used` bytes, which has `free` more until it trims; `cpu_s` is what it has computed."""

    def __init__(self) -> None:
        self.used, self.free = 40 * MIB, 0
        self.cpu_s = 0.0
        self.collected = 0
        self.has_trimmed = asyncio.Event()
        self.trimmer = MemoryTrimmer(lambda: self.used + self.free, lambda: self.cpu_s, self.collect, self.trim)

    def collect(self) -> None:
        self.collected += 1

    def trim(self) -> None:
        self.free = 0
        self.has_trimmed.set()

    def pass_time(self, seconds: int, busy_s: float = 0.0) -> int:
        """How many trims there were in it."""
        before = self.trimmer.trims_total
        for _ in range(seconds):
            self.cpu_s += busy_s
            self.trimmer.look(1.0)
        return self.trimmer.trims_total - before


def test_burst_is_given_back_when_it_is_over() -> None:
    """Within seconds; and a process that stays as it is does not trim again."""
    heap = Heap()
    heap.pass_time(10)
    heap.free = 100 * MIB
    assert heap.pass_time(int(PAUSE_S) + 1) == 1
    assert heap.free == 0
    assert heap.pass_time(3_600) == 0


def test_what_grew_by_less_than_a_tenth_is_left() -> None:
    """Nor does what falls back by itself count for the next time."""
    heap = Heap()
    heap.pass_time(10)
    heap.free = 3 * MIB
    assert heap.pass_time(100) == 0
    heap.used, heap.free = 20 * MIB, 0
    heap.pass_time(1)
    heap.free = 3 * MIB
    assert heap.pass_time(int(PAUSE_S) + 1) == 1


def test_busy_process_trims_once_a_minute_and_collects_nothing() -> None:
    """What grows on while it is busy costs it some milliseconds a minute."""
    heap = Heap()
    heap.pass_time(10)
    collected = heap.collected
    heap.free = 100 * MIB
    assert heap.pass_time(int(PATIENCE_S / 2), BUSY_S) == 0
    assert heap.pass_time(int(PATIENCE_S), BUSY_S) == 1
    assert heap.collected == collected


def test_process_that_is_trimmed_in_vain_is_not_trimmed_for_ever() -> None:
    """What is used is no burst."""
    heap = Heap()
    heap.pass_time(10)
    heap.used = 100 * MIB
    assert heap.pass_time(60) == 1


@pytest.mark.anyio
async def test_trimmer_looks_on_until_it_is_cancelled() -> None:
    heap = Heap()
    task = asyncio.create_task(heap.trimmer.run())
    await heap.has_trimmed.wait()
    task.cancel()
    await asyncio.wait({task})
    assert heap.collected


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="this C library gives nothing back")
def test_free_pages_below_a_block_that_lives_are_given_back() -> None:
    """Blocks too small for the C library to give back by itself, with one behind them."""
    assert sys.platform == "linux"
    blocks = [bytes(100_000) for _ in range(1_000)]
    last = bytes(100_000)
    held = resident_bytes()
    del blocks
    trim()
    assert resident_bytes() < held - 50 * MIB
    assert len(last) == 100_000
