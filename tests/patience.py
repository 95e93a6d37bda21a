"""Waiting for what happens in another task, thread or process, without guessing how long it takes.

Rule: a test waits for a state. How long it may take to come is no part of what is promised: on a machine that is slow, or that
stands still for some seconds, the state comes later. Figures of time belong to bench/ and scripts/soak.
"""

import asyncio
import time
from collections.abc import Callable

PATIENCE_S = 30.0
"""What takes longer does not come any more."""


async def until(condition: Callable[[], object]) -> None:
    """Let other tasks run until `condition` is true; TimeoutError when that takes absurdly long."""
    async with asyncio.timeout(PATIENCE_S):
        while not condition():  # noqa: ASYNC110 - conditions of any kind; those with an event wait for it
            await asyncio.sleep(0.0005)


def wait_until(condition: Callable[[], object]) -> None:
    """Let other processes and threads run until `condition` is true; it fails when that takes absurdly long."""
    until_s = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < until_s, f"not so within {PATIENCE_S} s"
        time.sleep(0.02)
