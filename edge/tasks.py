"""The one place that starts asyncio tasks: each has a name and an owner, and its exception is logged rather than lost.

Rule: a task that ends with an exception is reported once, by its name; a cancelled one is not an error.
"""

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

log = logging.getLogger("tollway.tasks")


def start(coro: Coroutine[Any, Any, None], loop: asyncio.AbstractEventLoop) -> "asyncio.Task[None]":
    """A task for an owner who keeps it, of a coroutine that lets no exception out: nothing is booked, which is half the cost."""
    return loop.create_task(coro)


class Tasks:
    """The running tasks of one process. `asyncio.create_task` appears nowhere else, so that none can be forgotten."""

    def __init__(self) -> None:
        self._running: set[asyncio.Task[Any]] = set()

    def __len__(self) -> int:
        return len(self._running)

    def __repr__(self) -> str:
        return f"<Tasks {sorted(task.get_name() for task in self._running)}>"

    def spawn(self, name: str, coro: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Start `coro` under `name`. The result may be awaited, or ignored."""
        task = asyncio.create_task(coro, name=name)  # noqa: TID251 - this is the spawner that the ban points to
        self._running.add(task)
        task.add_done_callback(self._ended)
        return task

    async def drain(self, timeout_s: float) -> bool:
        """Wait until all have ended, then cancel what still runs; True when nothing had to be cancelled."""
        mine = asyncio.current_task()
        waited = {task for task in self._running if task is not mine}
        if waited:
            await asyncio.wait(waited, timeout=timeout_s)
        late = {task for task in self._running if task is not mine}
        for task in late:
            task.cancel()
        if late:
            await asyncio.wait(late)
        return not late

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._running.discard(task)
        if task.cancelled():
            return
        error = task.exception()
        if error is not None:
            log.error("task %s ended with an exception", task.get_name(), exc_info=error)
