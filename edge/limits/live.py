"""`[limits]` of the table in force: one value, which whoever goes by a limit reads when it does, and keeps no copy of.

Why: a limit that was copied at the start stays what it was when the file changes, and nobody sees that it does. Rule: the table
writes it (`edge.providers.table`), nobody else.
"""

from routing.table.config import Limits


class LiveLimits:
    """`now` is replaced as a whole by a reload. What has begun with it, such as a stream's buffer for one line, ends with it."""

    __slots__ = ("now",)

    def __init__(self, now: Limits | None = None) -> None:
        self.now = now or Limits()
