"""The thread in which the journal waits for the medium, so that the event loop need not. Rule: jobs follow one another."""

import asyncio
import errno
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

Done = Callable[[Exception | None], None]


class SyncWorker:
    """`close` lets what was posted end; RuntimeError for what is posted later."""

    def __init__(self, name: str) -> None:
        self._thread = ThreadPoolExecutor(1, name)

    def post(self, job: Callable[[], None], done: Done) -> None:
        """Run `job` in the thread and then, in the loop that runs now, `done` with what it raised."""
        ended = asyncio.get_running_loop().run_in_executor(self._thread, _caught, job)
        ended.add_done_callback(lambda ended: None if ended.cancelled() else done(ended.result()))

    async def run(self, call: Callable[..., None], *args: object) -> None:
        """Run `call(*args)` in the thread, and raise what it raises."""
        error = await asyncio.get_running_loop().run_in_executor(self._thread, _caught, partial(call, *args))
        if error is not None:
            raise error

    def close(self) -> None:
        self._thread.shutdown()


def _caught(job: Callable[[], None]) -> Exception | None:
    """What `job` raises. What would end a loop or a process must not do so from here: it becomes a fault of the disk."""
    try:
        job()
    except BaseException as caught:
        return caught if isinstance(caught, Exception) else OSError(errno.EIO, f"{type(caught).__name__}: {caught}")
    return None
