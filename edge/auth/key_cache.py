"""The keys this process has met: found in memory, or looked up at the collector, once for everybody who waits.

Rule: a known key costs no call and no wait; its policy is refreshed in the background.
Limits: 16 look-ups at once and 1,000 waiting, so a flood of invented keys has a bounded price. Keys without the deployment's
mark, which anybody can invent, have an eighth of that to themselves: in a flood of them a real one that was never seen here may
be told to come again, a marked one is not.
"""

import asyncio
from collections.abc import Callable

from edge.auth.policies import RETRY_S, Policies
from edge.collector_client.session import CollectorSession
from edge.tasks import Tasks
from usage.protocol import Acquire, Policy, Unreachable

AT_ONCE_MAX = 16
WAITING_MAX = 1_000
UNMARKED_SHARE = 8


class KeyCache:
    """Policies by digest, and the look-ups under way."""

    def __init__(self, session: CollectorSession, tasks: Tasks, clock: Callable[[], float], wait_s: float) -> None:
        """`wait_s`: how long a request waits for a look-up."""
        self._session = session
        self._tasks = tasks
        self._clock = clock
        self._wait_s = wait_s
        self.policies = Policies()
        self._lookups: dict[str, asyncio.Task[Unreachable | None]] = {}
        self._gate = asyncio.Semaphore(AT_ONCE_MAX)
        self._unmarked_gate = asyncio.Semaphore(AT_ONCE_MAX // UNMARKED_SHARE)
        self._unmarked: set[str] = set()
        """Of the look-ups under way."""

    def find(self, digest: str) -> Policy | None:
        """The policy of a key that was looked up before."""
        now_s = self._clock()
        known = self.policies.find(digest, now_s)
        if known is None:
            return None
        if now_s >= known.refresh_s:
            known.refresh_s = now_s + RETRY_S
            if digest not in self._lookups:
                self._begin(digest)
        return known.policy

    async def look_up(self, digest: str, has_mark: bool = True) -> Policy | None:
        """The policy of a key; None: there is no such key. Raises Unreachable, after `wait_s` at the latest. `has_mark`: it bears
        the deployment's, so it was not invented."""
        now_s = self._clock()
        known = self.policies.find(digest, now_s)
        if known is not None or self.policies.is_missing(digest, now_s):
            return None if known is None else known.policy
        task = self._lookups.get(digest)
        if task is None:
            waiting, most = (
                (len(self._lookups) - len(self._unmarked), WAITING_MAX)
                if has_mark
                else (len(self._unmarked), WAITING_MAX // UNMARKED_SHARE)
            )
            if waiting >= most:
                raise Unreachable("too many unknown keys at once", 1.0)
            task = self._begin(digest, has_mark)
        await asyncio.wait({task}, timeout=self._wait_s)
        if not task.done():
            raise Unreachable("the collector did not answer in time", 1.0)
        problem = task.result()
        if problem is not None:
            raise Unreachable(str(problem), problem.retry_after_s)
        known = self.policies.find(digest, self._clock())
        return None if known is None else known.policy

    def _begin(self, digest: str, has_mark: bool = True) -> "asyncio.Task[Unreachable | None]":
        if not has_mark:
            self._unmarked.add(digest)
        gate = self._gate if has_mark else self._unmarked_gate
        task = self._lookups[digest] = self._tasks.spawn("look up a key", self._look_up(digest, gate))
        return task

    async def _look_up(self, digest: str, gate: asyncio.Semaphore) -> Unreachable | None:
        try:
            async with gate:
                asked_s = self._clock()
                acquired = await self._session.acquire(
                    Acquire(self._session.node, self._session.epoch, self._session.next_id(), digest)
                )
            self.policies.learn(digest, acquired.policy, asked_s)
        except Unreachable as problem:
            return problem
        finally:
            del self._lookups[digest]
            self._unmarked.discard(digest)
        return None
