"""Whose request begins next, when more have come at once than one turn of the event loop has time for.

Rule: while the loop keeps up, a request begins at once and pays one look. In a turn that is late each account begins one more;
what else it sends waits. The accounts take turns, within an account its keys do, and what one key sends goes first come, first
served: a flood waits behind itself, and a caller beside it, of the same account or another, does not wait behind the flood.
Strategy: who waits is let go a few at a time, with the sockets looked at in between, so callers that leave while they wait are
seen to have left, and cost next to nothing.
Rule: of bodies that take long to read and to send on, one is read at a time, beside the loop, and one is begun to be sent in a
turn.
Limits: what is read and authenticated before is not shared out; one account may have WAITING_MAX waiting, and one of its keys
KEY_SHARE times what that leaves free, so that its other keys find a place.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, TypeVar

from edge.relay.body import overloaded
from edge.write_batch import WriteBatch
from routing.plan.refusal import Denied

TURN_S = 0.03
"""A turn that goes on for longer is late."""
AT_ONCE = 8
"""Of those that wait, begin in one turn."""
WAITING_MAX = 2_048
KEY_SHARE = 7
LARGE_BYTES = 1_048_576
"""A body of so many takes milliseconds to be read, one of 32 MiB a tenth of a second; in another format three times as long."""
ASIDE_BYTES: Final = 262_144
"""Below this, whatever a body is made of takes less than 0.1 s, and most take less than to go aside."""
T = TypeVar("T")


class _Queue:
    """What waits of one account. `keys`: by key, the one whose turn it is first."""

    __slots__ = ("keys", "waiting")

    def __init__(self) -> None:
        self.keys: dict[str, deque[asyncio.Future[None]]] = {}
        self.waiting = 0

    def has_room(self, key: str) -> bool:
        """Whether one more of `key` may wait."""
        own = len(self.keys.get(key, ())) + 1
        return own <= KEY_SHARE * (WAITING_MAX - self.waiting - 1)

    def put(self, key: str, one: "asyncio.Future[None]") -> None:
        self.keys.setdefault(key, deque()).append(one)
        self.waiting += 1

    def take(self) -> "asyncio.Future[None]":
        """The next one; its key is the last one now."""
        key = next(iter(self.keys))
        queue = self.keys.pop(key)
        one = queue.popleft()
        if queue:
            self.keys[key] = queue
        self.waiting -= 1
        return one


class FairStart:
    """For one event loop. `write_batch` knows when the turn began."""

    __slots__ = ("_begun_late", "_is_releasing", "_large", "_late_s", "_waiting", "_write_batch")

    def __init__(self, write_batch: WriteBatch) -> None:
        self._write_batch = write_batch
        self._waiting: dict[str, _Queue] = {}
        """By account; the one whose turn it is first."""
        self._begun_late: set[str] = set()
        """Accounts that have begun one more in the late turn that began at `_late_s`."""
        self._late_s = 0.0
        self._is_releasing = False
        self._large = asyncio.Lock()

    @property
    def waiting(self) -> int:
        return sum(queue.waiting for queue in self._waiting.values())

    def is_late(self, now_s: float) -> bool:
        """Whether it has to be asked at all who begins."""
        return bool(self._waiting) or (self._write_batch.is_due and now_s - self._write_batch.due_s > TURN_S)

    async def wait(self, account: str, key: str, now_s: float) -> bool:
        """Return when a request of `account` with this key may begin; whether it had to wait. Denied: too many of them do."""
        waiting = self._waiting.get(account)
        if waiting is None:
            if self._may_begin(account, now_s):
                return False
            waiting = self._waiting[account] = _Queue()
        elif not waiting.has_room(key):
            raise Denied(overloaded("more requests of this key wait than it may have"))
        loop = asyncio.get_running_loop()
        mine: asyncio.Future[None] = loop.create_future()
        waiting.put(key, mine)
        if not self._is_releasing:
            self._is_releasing = True
            loop.call_soon(self._release, loop)
        await mine
        return True

    async def wait_for_large(self) -> None:
        """Before a body of LARGE_BYTES is sent on: one of these in a turn, with the sockets looked at in between, whoever sent
        them."""
        async with self._large:
            await asyncio.sleep(0)

    def _may_begin(self, account: str, now_s: float) -> bool:
        """Whether an account of which none waits may begin one."""
        batch = self._write_batch
        if not batch.is_due or now_s - batch.due_s <= TURN_S:
            return True
        if batch.due_s != self._late_s:
            self._late_s = batch.due_s
            self._begun_late.clear()
        elif account in self._begun_late:
            return False
        self._begun_late.add(account)
        return True

    def _release(self, loop: asyncio.AbstractEventLoop) -> None:
        waiting = self._waiting
        left = AT_ONCE
        while waiting and left:
            account = next(iter(waiting))
            queue = waiting.pop(account)
            one = queue.take()
            if queue.waiting:
                waiting[account] = queue
            if not one.done():  # it may have been cancelled
                one.set_result(None)
                left -= 1
        self._is_releasing = bool(waiting)
        if waiting:
            loop.call_soon(self._release, loop)


class Aside:
    """Computes beside the event loop what takes long of one request: to read a large body, to say it in another format.

    Rule: what is computed here is pure (`routing`): it shares nothing with the loop, which the interpreter lets in every five
    milliseconds. Rule: of large bodies one is computed at a time, and beside it one of those between, which do not wait for all
    the large ones. One whose request has ended meanwhile is computed to its end, and the next waits for it: no more is held than
    is counted.
    """

    __slots__ = ("_between", "_large", "_threads")

    def __init__(self) -> None:
        self._large = asyncio.Lock()
        self._between = asyncio.Lock()
        self._threads = ThreadPoolExecutor(2, "aside")

    async def run(self, size: int, call: Callable[[], T]) -> T:
        """What `call` returns or raises for a body of `size` bytes."""
        if size < ASIDE_BYTES:
            return call()
        lock = self._large if size >= LARGE_BYTES else self._between
        await lock.acquire()

        def end(job: asyncio.Future[Any]) -> None:
            lock.release()
            if not job.cancelled():
                job.exception()  # nobody may be there any more to hear of it

        job: asyncio.Future[Any] = asyncio.get_running_loop().run_in_executor(self._threads, call)
        job.add_done_callback(end)
        try:
            found: T = await asyncio.shield(job)
            return found
        finally:
            # What the call raised holds this frame, and the job holds it: a circle with the whole body in it, until the next
            # garbage collection.
            del job
