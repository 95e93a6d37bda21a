"""The limits of all scopes, as this collector knows them: reports come in with batches and polls, shares go out with the answers.

Rule: memory alone; no report costs a transaction. Limits: each collector process has its own. Beside one another they all learn
what nodes used, since each report carries its last minute, but not what the others let them have ahead: what is admitted may then
exceed the bound by what is ahead, a quarter of the limit for each further collector.
"""

import time
from collections.abc import Callable, Iterable

from collector.limits.shared import NODE_S, SharedLimit
from usage.limit import LIMIT_MAX, UNITS, LimitReport, LimitShare, Unit

SCOPES_MAX = 200_000
REPORTS_MAX = 10_000
SCOPE_CHARS_MAX = 200


class LimitBoard:
    """`clock` gives seconds of a monotonic clock; `started_s` is when nothing was known yet. Called from one thread."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, started_s: float | None = None) -> None:
        self._clock = clock
        self._started_s = clock() if started_s is None else started_s
        self._limits: dict[tuple[str, Unit], SharedLimit] = {}
        self._swept_s = clock()
        self.reports_total = 0

    def __len__(self) -> int:
        return len(self._limits)

    def answer(self, node: str, epoch: int, reports: Iterable[LimitReport]) -> tuple[LimitShare, ...]:
        """What each limit that is reported has for this process. What cannot be meant is passed over."""
        now_s = self._clock()
        if now_s - self._swept_s > NODE_S:
            self._sweep(now_s)
        answers = []
        for number, report in enumerate(reports):
            if number >= REPORTS_MAX or not is_sound(report):
                continue
            self.reports_total += 1
            known = self._limits.get((report.scope, report.unit))
            if known is None:
                if len(self._limits) >= SCOPES_MAX:
                    continue
                known = self._limits[report.scope, report.unit] = SharedLimit(report.limit, self._started_s)
            answers.append(known.answer((node, epoch), report, now_s))
        return tuple(answers)

    def drop(self, node: str, epoch: int) -> None:
        """This process has ended."""
        for limit in self._limits.values():
            limit.drop((node, epoch))

    def _sweep(self, now_s: float) -> None:
        """Forget what nobody shares any more."""
        self._swept_s = now_s
        for at, limit in tuple(self._limits.items()):
            if all(now_s - share.seen_s > NODE_S for share in limit.shares.values()):
                del self._limits[at]


def is_sound(report: LimitReport) -> bool:
    """Whether a report can be meant: what is not is left out of every sum."""
    return (
        0 < report.limit <= LIMIT_MAX
        and report.unit in UNITS
        and 0 < len(report.scope) <= SCOPE_CHARS_MAX
        and abs(report.spent) < 2**62
        and abs(report.ceiling) < 2**62
        and 0 <= report.recent <= 2 * LIMIT_MAX
        and 0 <= report.want <= 2 * LIMIT_MAX
    )
