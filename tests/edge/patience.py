"""Waiting for what happens in another task or thread, without guessing how long it takes."""

import asyncio
from collections.abc import Callable


async def until(condition: Callable[[], object], timeout_s: float = 5.0) -> None:
    """Let others run until `condition` is true; TimeoutError when that takes absurdly long."""
    async with asyncio.timeout(timeout_s):
        while not condition():  # noqa: ASYNC110 - conditions of any kind; those with an event wait for it
            await asyncio.sleep(0.0005)
