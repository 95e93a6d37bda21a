"""Why nothing can be shipped, since when, and whether that will pass by itself: what readiness and the operator are told.

Rule: each kind of refusal is logged once, and that the collector is away once for each absence; a shipper tries without end.
"""

import logging
from collections.abc import Callable

from usage.protocol import Refused, Unreachable

log = logging.getLogger("tollway.shipper")
STALLED_S = 60.0
"""A collector that answers, and refuses what it is sent for so long, does not mend that by itself."""


class Outage:
    """`problem`: empty while what waits can be shipped. `since_s`: seconds of `clock`; None while there is none."""

    __slots__ = ("_clock", "_refusals", "is_lasting", "problem", "since_s")

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._refusals: set[str] = set()
        self.problem = ""
        self.is_lasting = False
        """Whether it will not get better by itself."""
        self.since_s: float | None = None

    @property
    def age_s(self) -> float:
        """For how long nothing of what waits could be shipped; 0 while it can."""
        return 0.0 if self.since_s is None else self._clock() - self.since_s

    def begin(self, problem: str) -> None:
        """Or go on, for this reason."""
        self.problem = problem
        if self.since_s is None:
            self.since_s = self._clock()

    def end(self) -> None:
        """Nothing waits because it could not be shipped."""
        self.problem, self.since_s, self.is_lasting = "", None, False

    def report(self, error: Unreachable | Refused, *, is_first: bool) -> None:
        """A batch was not taken. `is_first`: the one before was."""
        self.begin(str(error))
        if isinstance(error, Unreachable):
            self.is_lasting = error.is_lasting
            if is_first:
                log.warning("usage records wait for the collector: %s", error)
            return
        # It answers, and does not take what it is sent: that does not pass by itself.
        self.is_lasting = self.age_s >= STALLED_S
        if error.code not in self._refusals:
            self._refusals.add(error.code)
            log.error("the collector refuses usage records: %s (%s)", error, error.code)
