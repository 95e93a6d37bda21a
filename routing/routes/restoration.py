"""The return of what was closed: a tenth of its requests at once, all of them after RESTORE_S, so that what has just come back is
not overwhelmed by everything that was led around it.

Rule: it only gives way, and only to what is well: whoever has nothing else is asked as ever. Rule: who was never kept out is not
held back now. Strategy: the share grows in a straight line; a request is within it or not by its own dice roll, of which other
digits choose among targets and keys, so that a target gets this share of its own share.
Source: agentgateway's `restore_health`, Envoy's slow start.
"""

from collections.abc import Sequence
from typing import Final

import msgspec

RESTORE_S: Final = 30.0
SHARE_MIN: Final = 0.1
_DIGITS: Final = 1 << 20
"""Beyond them the roll says nothing about which target or key it chooses."""


class Restoration(msgspec.Struct, frozen=True):
    """Since when it is well again (seconds on the caller's monotonic clock), and to which accounts it was closed (None: all)."""

    since_s: float
    accounts: tuple[str, ...] | None = None

    def is_over(self, now_s: float) -> bool:
        return now_s >= self.since_s + RESTORE_S

    def part(self, now_s: float) -> float:
        """How much it gets of the requests that it would get, of those to which it had been closed."""
        passed_s = max(now_s - self.since_s, 0.0)
        return 1.0 if self.is_over(now_s) else min(SHARE_MIN + (1.0 - SHARE_MIN) * passed_s / RESTORE_S, 1.0)

    def share(self, now_s: float, account: str) -> float:
        """The same of an account's requests."""
        return 1.0 if self.accounts is not None and account not in self.accounts else self.part(now_s)

    def gives_way(self, now_s: float, roll: float, account: str) -> bool:
        """Whether another is to be asked first. One roll is one answer, for all that depends on this."""
        share = self.share(now_s, account)
        # Turned by the time, so that two that came back are not held back in the same requests.
        return share < 1.0 and (roll * _DIGITS + self.since_s) % 1.0 >= share


def accounts_kept_out(counts: Sequence[tuple[str, int]] | None, failures: int, own_max: int) -> tuple[str, ...] | None:
    """Whose requests were kept out, of those that failed so often in a row each; None: everybody's."""
    if counts is None or sum(min(count, own_max) for _, count in counts) >= failures:
        return None
    return tuple(name for name, count in counts if count >= failures)
