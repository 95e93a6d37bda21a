"""How this process leaves: readiness turns red while it still serves, then nothing more is taken, then what runs may end.

Requests alone: credit goes back in `edge.credit.credit.Credit.drain`, records go out in `Shipper.drain`.
Rule: the balancer is told first, for `notice_s`; running requests have until `grace_s` after the signal. What still runs then is
cut: each stream with its error event, each settled, so that it is shipped with the rest.
Rule: whoever is told a second time to go hurries: no notice, no grace.
"""

import asyncio
import logging
from time import monotonic

from edge.relay.context import RequestContext
from edge.relay.watchdog import Watchdog

log = logging.getLogger("tollway.node")
LEFT = 75
"""The exit status of a process that left something for its next start: usage to ship, credit to return (EX_TEMPFAIL)."""
CUT_S_MAX = 3.0
"""How long what was cut may take to say so."""
LOOK_S = POKE_S = 0.1


class Drain:
    """One way out, begun once. Times are seconds."""

    def __init__(self, watch: Watchdog, notice_s: float, grace_s: float) -> None:
        self.is_leaving = False
        self.ended = self.cut = 0
        """How many requests that ran when it began, or when it took no more, came to their end, and how many did not."""
        self._running: set[RequestContext] = set()
        self._watch = watch
        self._notice_s = min(notice_s, grace_s)
        self._grace_s = grace_s
        self._until_s = 0.0
        self._hurried = asyncio.Event()

    def begin(self) -> None:
        """From now on readiness is red."""
        if not self.is_leaving:
            self.is_leaving = True
            self._until_s = monotonic() + self._grace_s
            # Now, and not when the listener has closed: what ends between the two ended while this process left.
            self._running |= self._watch.contexts
            log.info("leaving: %d requests run and have %g s", len(self._watch.contexts), self._grace_s)

    def hurry(self) -> None:
        """Wait for nothing any more."""
        if not self._hurried.is_set():
            log.warning("leaving at once: %d requests are cut", len(self._watch.contexts))
            self._hurried.set()

    async def give_notice(self) -> None:
        """Serve on, red, until balancers have seen it."""
        self.begin()
        await self._wait(self._notice_s)

    async def finish_requests(self) -> None:
        """Wait for what runs, then cut it. The caller takes no new work any more."""
        self.begin()
        contexts = self._watch.contexts
        self._running |= contexts
        while contexts and not self._hurried.is_set() and (left_s := self._until_s - monotonic()) > 0:
            await self._watch.wait_until_empty(min(left_s, LOOK_S))
        self.cut += len(contexts)
        self.ended += len(self._running - contexts)
        self._running.clear()
        until_s = monotonic() + CUT_S_MAX
        while contexts and monotonic() < until_s:
            # A poke is lost on who does not read at that moment, so it is repeated.
            self._watch.cut_all()
            await self._watch.wait_until_empty(POKE_S)

    async def _wait(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._hurried.wait()
        except TimeoutError:
            pass
