"""How many lines about one kind of event are logged: a flood of bad requests must not become a flood of disk.

Pure: the time is an argument. Limits: LINES_MAX lines in PERIOD_S; what was left out is told with the next period's first line.
"""

LINES_MAX = 10
PERIOD_S = 10.0


class Throttle:
    """`total`: how many events there were."""

    __slots__ = ("_lines", "_since_s", "_untold", "total")

    def __init__(self) -> None:
        self.total = 0
        self._since_s = float("-inf")
        self._lines = 0
        self._untold = 0

    def note(self, now_s: float) -> str | None:
        """An event. None: say nothing; else say it, and behind it this: empty, or how many were left out before."""
        self.total += 1
        if now_s - self._since_s >= PERIOD_S:
            self._since_s, self._lines = now_s, 0
        if self._lines >= LINES_MAX:
            self._untold += 1
            return None
        self._lines += 1
        untold, self._untold = self._untold, 0
        return f" ({untold} like it were not logged)" if untold else ""
