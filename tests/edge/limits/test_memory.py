"""What a burst leaves is given back once it is over, and not while the process is busy."""

import asyncio
import ctypes
import sys

import pytest

from edge.limits.memory import IDLE_SHARE, PERIOD_S, REST_S, MemoryTrimmer, resident_bytes, trim

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
            self.trimmer.check(1.0)
        return self.trimmer.trims_total - before


def test_burst_is_given_back_when_it_is_over() -> None:
    """Within seconds, and once."""
    heap = Heap()
    heap.pass_time(10)
    heap.free = 100 * MIB
    heap.pass_time(5, BUSY_S)
    assert heap.free
    assert heap.pass_time(int(REST_S)) == 1
    assert heap.free == 0


def test_what_was_in_use_at_a_trim_is_given_back_when_it_is_free() -> None:
    """It was trimmed in a lull amid the burst, when there was nothing to be given; what the process has does not change when it
    becomes free."""
    heap = Heap()
    heap.used = 140 * MIB
    heap.pass_time(10)
    heap.pass_time(5, BUSY_S)
    heap.used, heap.free = 40 * MIB, 100 * MIB
    heap.pass_time(int(REST_S))
    assert heap.free == 0
    heap.free = heap.used // 20
    heap.pass_time(int(PERIOD_S))
    assert heap.free == 0


def test_growth_without_work_is_given_back() -> None:
    """Connections that only wait take memory too."""
    heap = Heap()
    heap.pass_time(10)
    heap.free = 30 * MIB
    assert heap.pass_time(int(REST_S)) == 1


def test_idle_process_trims_once_a_minute_and_collects_nothing() -> None:
    heap = Heap()
    heap.pass_time(int(REST_S))
    collected = heap.collected
    assert heap.pass_time(10 * int(PERIOD_S)) == 10
    assert heap.collected == collected


def test_busy_process_trims_once_a_minute_if_it_grows() -> None:
    """What grows on while it is busy costs it some milliseconds a minute; what does not grow costs nothing."""
    heap = Heap()
    heap.pass_time(10)
    collected = heap.collected
    assert heap.pass_time(2 * int(PERIOD_S), BUSY_S) == 0
    heap.free = 100 * MIB
    assert heap.pass_time(int(PERIOD_S), BUSY_S) == 1
    assert heap.pass_time(3 * int(PERIOD_S), BUSY_S) == 0
    assert heap.collected == collected


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
    blocks = [b"x" * 100_000 for _ in range(1_000)]  # written: pages of zeros that nobody touched are not resident
    last = b"x" * 100_000
    held = resident_bytes()
    del blocks
    trim()
    assert resident_bytes() < held - 50 * MIB
    assert len(last) == 100_000
