"""The thread in which the journal waits for the medium, so that the event loop need not.

Rule: jobs follow one another. Strategy: a queue there and one `call_soon_threadsafe` back; the two futures and the condition of
an executor cost about as much as the job, fifty times a second.
"""

import asyncio
import errno
import threading
from collections.abc import Callable
from functools import partial
from queue import SimpleQueue

Done = Callable[[Exception | None], None]
_Order = tuple[Callable[[], None], Done, asyncio.AbstractEventLoop]


class Worker:
    """Starts its thread with the first job. `close` lets what was posted end; RuntimeError for what is posted later."""

    def __init__(self, name: str) -> None:
        self._orders: SimpleQueue[_Order | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._is_closed = False

    def post(self, job: Callable[[], None], done: Done) -> None:
        """Run `job` in the thread and then, in the loop that runs now, `done` with what it raised."""
        if self._is_closed:
            raise RuntimeError("the journal's thread has ended")
        if self._thread.ident is None:
            self._thread.start()
        self._orders.put((job, done, asyncio.get_running_loop()))

    async def run(self, call: Callable[..., None], *args: object) -> None:
        """Run `call(*args)` in the thread, and raise what it raises."""
        ended: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()
        self.post(partial(call, *args), lambda error: None if ended.done() else ended.set_result(error))
        error = await ended
        if error is not None:
            raise error

    def close(self) -> None:
        self._is_closed = True
        if self._thread.ident is not None:
            self._orders.put(None)
            self._thread.join()

    def _work(self) -> None:
        while (order := self._orders.get()) is not None:
            job, done, loop = order
            error: Exception | None = None
            try:
                job()
            except BaseException as caught:
                # Whatever it is, the thread lives on: without it nothing would become durable any more, in silence.
                error = caught if isinstance(caught, Exception) else OSError(errno.EIO, f"{type(caught).__name__}: {caught}")
            try:
                loop.call_soon_threadsafe(done, error)
            except RuntimeError:
                pass  # the loop is closed: nobody waits any more
            del order, job, done, error
