"""How soon a target gives its first token: peak-EWMA, a mean that believes bad news at once and good news slowly.

Source: Finagle's peakEwma balancer; a slow answer counts in full, faster ones bring the figure down over DECAY_S.
Limits: seconds on the caller's monotonic clock; each process has its own view.
"""

from math import exp
from typing import Final

import msgspec

DECAY_S: Final = 10.0
FRESH_S: Final = 0.1
"""Good news so soon after the last would move the mean by a hundredth of itself: they are not waited for."""


class Speed(msgspec.Struct, frozen=True):
    """`first_token_s` as of `at_s`."""

    first_token_s: float
    at_s: float

    def is_fresh(self, first_token_s: float, now_s: float) -> bool:
        """Whether one more answer need not be counted."""
        return now_s - self.at_s < FRESH_S and first_token_s <= self.first_token_s

    def after(self, first_token_s: float, now_s: float) -> "Speed":
        """One more answer has begun."""
        if first_token_s >= self.first_token_s:
            return Speed(first_token_s, now_s)
        weight = exp(-max(now_s - self.at_s, 0.0) / DECAY_S)
        return Speed(self.first_token_s * weight + first_token_s * (1 - weight), now_s)
