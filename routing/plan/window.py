"""The share of a target's requests that failed lately: what opens a breaker where failures do not come in a row.

Rule: what one caller's content can bring about is that account's: of all that was asked, the account that failed most is left
out, so a target closes to all only for what the others see too. Failures that no content causes are everybody's.
Strategy: counting begins with a failure, so what is well costs nothing; a window ends after its time, or when it has opened.
Limits: ACCOUNTS_MAX accounts are told apart; the rest count as everybody's.
"""

from collections.abc import Sequence
from typing import Final

import msgspec

REQUESTS_MIN: Final = 10
"""Fewer say nothing about a share."""
ACCOUNTS_MAX: Final = 16
EVERYBODY: Final = ""


class Window(msgspec.Struct, frozen=True):
    """`counts`: (account, asked, failed), since `began_s`."""

    began_s: float
    counts: tuple[tuple[str, int, int], ...] = ()

    def after(self, account: str, *, failed: bool) -> "Window":
        """One more request of an account has ended."""
        known = {name: (asked, failures) for name, asked, failures in self.counts}
        name = account if account in known or len(known) < ACCOUNTS_MAX else EVERYBODY
        asked, failures = known.get(name, (0, 0))
        known[name] = (asked + 1, failures + failed)
        return msgspec.structs.replace(self, counts=tuple((each, *counted) for each, counted in known.items()))

    def is_over(self, now_s: float, window_s: float) -> bool:
        return now_s - self.began_s > window_s

    def is_failing_all(self, share: float) -> bool:
        """Whether at least this share failed, and did so without the account that has most failures: left out alone, an account
        that asks for most of all would take its successes with it."""
        if not _is_failing(self.counts, share):
            return False
        accounts = [each for each in self.counts if each[0] != EVERYBODY]
        worst = max(accounts, key=lambda each: each[2], default=None)
        return _is_failing([each for each in self.counts if each is not worst or not each[2]], share)

    def is_failing(self, account: str, share: float) -> bool:
        """Whether at least this share of an account's own failed."""
        return _is_failing([each for each in self.counts if each[0] == account], share)


def _is_failing(counts: Sequence[tuple[str, int, int]], share: float) -> bool:
    asked, failed = sum(each[1] for each in counts), sum(each[2] for each in counts)
    return asked >= REQUESTS_MIN and failed >= share * asked
