"""The one place that starts asyncio tasks: each has a name and an owner, and its exception is logged rather than lost.

Rule: a task that ends with an exception is reported once, by its name; a cancelled one is not an error.
Rule: a task that must live as long as the process is supervised: whatever ends it but our own cancellation is logged and counted,
and it is started again, soon at first and then every RESTART_S_MAX. One that keeps failing is named by `failing`, for readiness.
"""

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import Callable, Coroutine
from typing import Any

log = logging.getLogger("tollway.tasks")
RESTART_S_MIN, RESTART_S_MAX = 0.05, 2.0
FAILING_S = 2.0
"""A supervised task that has failed again and again for so long does not do its work."""
HEALTHY_S = 5.0
"""One that has run for so long without failing does."""


def start(coro: Coroutine[Any, Any, None], loop: asyncio.AbstractEventLoop) -> "asyncio.Task[None]":
    """A task for an owner who keeps it, of a coroutine that lets no exception out: nothing is booked, which is half the cost."""
    return loop.create_task(coro)


class Supervised:
    """A task that must live, and how well it does. `make` gives its coroutine, anew for each start."""

    __slots__ = ("error", "failed_s", "failing_since_s", "make", "name", "restarts", "started_s")

    def __init__(
        self, name: str, make: Callable[[], Coroutine[Any, Any, None]], restarts: defaultdict[str, int] | None = None
    ) -> None:
        self.name = name
        self.make = make
        self.restarts = defaultdict(int) if restarts is None else restarts
        self.error = ""
        self.failing_since_s = self.failed_s = self.started_s = 0.0
        """When the first failure of a row was, the last failure, the last start; seconds of `time.monotonic`."""

    def is_failing(self, now_s: float) -> bool:
        """Whether it has failed again and again for FAILING_S, until just now."""
        return self.failed_s - self.failing_since_s >= FAILING_S and now_s - self.failed_s < HEALTHY_S

    async def run(self) -> None:
        """Until it returns by itself, or is cancelled."""
        pause_s = RESTART_S_MIN
        while True:
            self.started_s = time.monotonic()
            try:
                await self.make()
            except asyncio.CancelledError as error:
                task = asyncio.current_task()
                if task is not None and task.cancelling():
                    raise
                self._failed(error)
            except Exception as error:
                self._failed(error)
            else:
                return
            if self.failing_since_s == self.failed_s:
                pause_s = RESTART_S_MIN
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, RESTART_S_MAX)

    def _failed(self, error: BaseException) -> None:
        self.restarts[self.name] += 1
        self.error = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        self.failed_s = time.monotonic()
        if not self.failing_since_s or self.failed_s - self.started_s >= HEALTHY_S:
            self.failing_since_s = self.failed_s
        log.error("task %s failed (%s) and is started again", self.name, self.error, exc_info=error)


class Tasks:
    """The running tasks of one process. `asyncio.create_task` appears nowhere else, so that none can be forgotten."""

    def __init__(self, restarts: defaultdict[str, int] | None = None) -> None:
        """`restarts` counts, by name, how often supervised tasks were started again."""
        self.restarts = defaultdict(int) if restarts is None else restarts
        self._running: set[asyncio.Task[Any]] = set()
        self.supervised: dict[str, Supervised] = {}

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

    def supervise(self, name: str, make: Callable[[], Coroutine[Any, Any, None]]) -> asyncio.Task[Any]:
        """Start `make()` under `name`, and again whenever it fails, until it returns or the task is cancelled."""
        self.supervised[name] = supervised = Supervised(name, make, self.restarts)
        return self.spawn(name, supervised.run())

    def failing(self) -> list[str]:
        """The supervised tasks that do not do their work, each with its reason."""
        now_s = time.monotonic()
        return [f"task {one.name} fails: {one.error}" for one in self.supervised.values() if one.is_failing(now_s)]

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
