"""The time of day, as the collector has it: windows of keys, expiries and days of usage go by one clock, not by each edge's.

Rule: the collector says its time with each answer to a boot and a poll; a clock of this machine that is wrong by more than
TOLERANCE_MS is put right by that much, and it is said once. Rule: within it nothing is corrected: times of one machine stay in
order. Limits: what a round trip took is not known better than by half; a slow answer corrects nothing that it could explain.
"""

import logging
import time

TOLERANCE_MS = 2_000
_NANO = 1_000_000
log = logging.getLogger("tollway.clock")


class Clock:
    """Unix time. `offset_ns` is what the machine's clock lacks."""

    __slots__ = ("offset_ns",)

    def __init__(self) -> None:
        self.offset_ns = 0

    def now_ns(self) -> int:
        return time.time_ns() + self.offset_ns

    def now_ms(self) -> int:
        return (time.time_ns() + self.offset_ns) // _NANO

    def learn(self, collector_ms: int, sent_ns: int, received_ns: int) -> None:
        """What the collector said its time was, in an answer to what left and came at these times of the machine; 0: nothing."""
        if not collector_ms or received_ns < sent_ns:
            return  # it does not say, or this machine's clock was set meanwhile
        offset_ns = collector_ms * _NANO - (sent_ns + received_ns) // 2
        doubt_ns = max(TOLERANCE_MS * _NANO, received_ns - sent_ns)
        if abs(offset_ns) <= doubt_ns:
            offset_ns = 0
        elif abs(offset_ns - self.offset_ns) <= doubt_ns:
            return  # as it was; no jitter
        if offset_ns != self.offset_ns:
            self.offset_ns = offset_ns
            self._log_offset()

    def _log_offset(self) -> None:
        seconds = self.offset_ns / 1e9
        if not seconds:
            log.info("this machine's clock agrees with the collector's again")
            return
        side = "behind" if seconds > 0 else "ahead of"
        log.warning(
            "this machine's clock is %.0f s %s the collector's, by which times are told until it is set", abs(seconds), side
        )
