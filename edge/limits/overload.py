"""Whether this process has so much trouble that new paid work is refused at once: its memory, and the lag of its event loop.

Strategy: a value that one ticker sets and the way in reads, so that a request pays one look. An edge that is late for everybody
serves nobody; one that says 503 at once lets its load balancer choose another.
Limits: a lag counts when it lasts: one late tick, as a garbage collection, a neighbour or a machine that stood still makes it,
is no overload, however late it is.
"""

import logging
from collections.abc import Callable

from edge.limits.live import LiveLimits

LAG_WEIGHT = 0.3
"""Of the newest tick in the average: a stall of 1 s is seen after several ticks like it."""
LATE_MAX = 2.5
"""Times the lag that sheds: a tick counts as no later. Two in a row shed, the first does not."""
MEMORY_SHARE_MAX = 0.85
log = logging.getLogger("tollway.overload")


class Overload:
    """`reason`: why nothing new is taken, or nothing. `resident` gives the bytes of memory that this process has; `memory_max`
    is what it may have, 0 for no bound; how late the loop may be, averaged over a second, is `loop_lag_max_s` of `limits`."""

    __slots__ = ("_limits", "_memory_max", "_resident", "lag_s", "reason")

    def __init__(self, memory_max: int = 0, resident: Callable[[], int] = int, limits: LiveLimits | None = None) -> None:
        self._limits = limits or LiveLimits()
        self._memory_max = memory_max
        self._resident = resident
        self.lag_s = 0.0
        self.reason = ""

    def tick(self, late_s: float) -> None:
        """A timer of the event loop came `late_s` after it was due."""
        lag_max_s = self._limits.now.loop_lag_max_s
        self.lag_s += (min(late_s, LATE_MAX * lag_max_s) - self.lag_s) * LAG_WEIGHT
        reason = ""
        if self.lag_s > lag_max_s:
            reason = "it is late with what it has"
        elif self._memory_max and self._resident() > self._memory_max * MEMORY_SHARE_MAX:
            reason = "its memory is nearly used up"
        if reason != self.reason:
            if reason:
                log.warning("new paid work is refused: %s (lag %.2f s, %d bytes resident)", reason, self.lag_s, self._resident())
            else:
                log.info("new paid work is taken again")
            self.reason = reason
